/** Sensors, storage and processors as people read them. */
import type { Reading } from '../api/types';
import { natural } from './natural';
import { bytes, count, type Measured, percent } from './units';

const UNITS: Record<string, string> = {
  celsius: '°C',
  percent: '%',
  volt: 'V',
  ampere: 'A',
  watt: 'W',
  'volt-ampere': 'VA',
  'kilowatt-hour': 'kWh',
  hertz: 'Hz',
  minute: 'min',
  metre: 'm',
  octets: 'B',
};

const KINDS: Record<string, string> = {
  apparent_power: 'Apparent power',
  reactive_power: 'Reactive power',
  power_factor: 'Power factor',
  dbm: 'Optical power',
  snr: 'Signal to noise',
};

/** What a sensor measures, in a word. */
export function kindWord(kind: string): string {
  const word = KINDS[kind] ?? kind.replaceAll('_', ' ');
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** A measured value: three figures are enough, a whole number stays one. */
export function measured(value: number, unit: string): Measured {
  const size = Math.abs(value);
  const digits = Number.isInteger(value) || size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return { value: count(value, digits), unit: UNITS[unit] ?? unit };
}

/** The newest value; storage and processors as a share. */
export function shown(reading: Reading): Measured | null {
  if (reading.value === null) return null;
  if (reading.class !== 'sensor') return { value: percent(reading.value), unit: '%' };
  return measured(reading.value, reading.unit);
}

/** "3.1 of 7.8 GiB" */
export function amountText(reading: Reading): string {
  if (reading.size_octets === null) return '';
  const size = bytes(reading.size_octets);
  if (reading.used_octets === null) return `${size.value} ${size.unit}`;
  const used = bytes(reading.used_octets);
  return used.unit === size.unit
    ? `${used.value} of ${size.value} ${size.unit}`
    : `${used.value} ${used.unit} of ${size.value} ${size.unit}`;
}

/** Almost full: nobody wants to learn it from the day after. */
export const FULL = 0.9;

/** What needs a look comes first: 0 critical, 1 warning, 2 the rest. */
export function urgency(reading: Reading): number {
  if (reading.status === 'critical') return 0;
  if (reading.status === 'warning') return 1;
  // Memory is meant to be used.
  const fills = reading.class === 'storage' && (reading.kind === 'disk' || reading.kind === 'flash');
  return fills && (reading.value ?? 0) >= FULL ? 1 : 2;
}

export function sortedReadings(all: readonly Reading[]): Reading[] {
  return [...all].sort(
    (a, b) => urgency(a) - urgency(b) || natural(a.kind, b.kind) || natural(a.name, b.name),
  );
}
