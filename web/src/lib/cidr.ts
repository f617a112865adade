/** What a person typed as ranges: split at commas, spaces and new lines. */
export function splitList(text: string): string[] {
  return text.split(/[\s,;]+/).filter(Boolean);
}

/** True for an IPv4 or IPv6 network or address as Central takes them. */
export function isRange(text: string): boolean {
  return rangeSize(text) !== null;
}

/** How many addresses a range has, or null when it is not a range. IPv6 networks count up to 2^53. */
export function rangeSize(text: string): number | null {
  const [address = '', prefix, ...rest] = text.split('/');
  if (rest.length > 0) return null;
  const width = isV4(address) ? 32 : isV6(address) ? 128 : 0;
  if (width === 0) return null;
  if (prefix === undefined) return 1;
  if (!/^\d{1,3}$/.test(prefix)) return null;
  const length = Number(prefix);
  if (length > width) return null;
  return 2 ** Math.min(53, width - length);
}

export function addresses(ranges: readonly string[]): number {
  return ranges.reduce((sum, range) => sum + (rangeSize(range) ?? 0), 0);
}

function isV4(text: string): boolean {
  const parts = text.split('.');
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
}

function isV6(text: string): boolean {
  if (!/^[0-9a-f:]+$/i.test(text) || !text.includes(':')) return false;
  const halves = text.split('::');
  if (halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === '' ? [] : half.split(':')));
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return false;
  return halves.length === 2 ? groups.length < 8 : groups.length === 8;
}
