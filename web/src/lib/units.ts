/** Numbers with their units: SI with steps of 1000 for what is measured, KiB for what is stored. */

const THIN = '\u202f';
const plain: Intl.NumberFormat[] = [0, 1, 2, 3].map(
  (digits) =>
    new Intl.NumberFormat('en-GB', { minimumFractionDigits: digits, maximumFractionDigits: digits }),
);

/** A number with thin spaces between thousands: 4 147. */
export function count(value: number, digits: 0 | 1 | 2 | 3 = 0): string {
  const text = plain[digits]?.format(value) ?? String(value);
  return text.replaceAll(',', THIN);
}

export interface Measured {
  value: string;
  unit: string;
}

/** Round-trip time: one decimal below 10 ms, none above. */
export function milliseconds(ms: number): Measured {
  if (ms >= 10_000) return { value: count(ms / 1000, 1), unit: 's' };
  return { value: count(ms, ms < 10 ? (ms < 0.095 ? 2 : 1) : 0), unit: 'ms' };
}

const STEPS = ['', 'k', 'M', 'G', 'T', 'P'];

/** Traffic in bit/s: at most three figures, steps of 1000. */
export function bits(bps: number): Measured {
  let scaled = Math.max(0, bps);
  let step = 0;
  while (scaled >= 999.5 && step < STEPS.length - 1) {
    scaled /= 1000;
    step += 1;
  }
  return { value: count(scaled, scaled < 10 && scaled > 0 && step > 0 ? 1 : 0), unit: `${STEPS[step]}bit/s` };
}

/** The speed of a line, without a needless decimal: "1 Gbit/s", "2.5 Gbit/s". */
export function lineSpeed(bps: number): string {
  const { value, unit } = bits(bps);
  return `${value.endsWith('.0') ? value.slice(0, -2) : value} ${unit}`;
}

/** Bytes stored: KiB, MiB, GiB. */
export function bytes(amount: number): Measured {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let scaled = Math.max(0, amount);
  let step = 0;
  while (scaled >= 1023.5 && step < names.length - 1) {
    scaled /= 1024;
    step += 1;
  }
  return { value: count(scaled, step > 0 && scaled < 10 ? 1 : 0), unit: names[step] ?? 'B' };
}

/** A share as percent: 0, 0.3, 3.1, 42, 100. Never rounds a loss to 0 or an outage to 100. */
export function percent(ratio: number): string {
  const p = ratio * 100;
  if (p <= 0) return '0';
  if (p >= 100) return '100';
  if (p < 0.1) return '<0.1';
  if (p > 99.9) return '>99.9';
  return p < 10 ? count(p, 1).replace(/\.0$/, '') : count(p, 0);
}

/** Availability keeps two decimals: 99.12 %, but 100 %. Rounded down, so that only no outage is 100. */
export function availability(ratio: number): string {
  if (ratio >= 1) return '100 %';
  return `${count(Math.floor(ratio * 10_000) / 100, 2)} %`;
}

/** "1 device", "3 devices". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Up to two letters for an avatar. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const first = words[0] ?? '';
  const last = words.length > 1 ? (words[words.length - 1] ?? '') : '';
  return ([...first][0] ?? '?').toUpperCase() + ([...last][0] ?? '').toUpperCase();
}
