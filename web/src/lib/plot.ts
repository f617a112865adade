/** Geometry of the small plots drawn as plain SVG. */

/** A sparkline: one path that breaks at nulls, and the area under it when nothing is missing. */
export function sparkPath(
  values: readonly (number | null)[],
  width: number,
  height: number,
): { line: string; area: string } {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return { line: '', area: '' };
  const high = Math.max(...known) * 1.05;
  const low = Math.min(...known, high * 0.55);
  const span = high - low || 1;
  let line = '';
  let pen = false;
  let first = 0;
  let last = 0;
  values.forEach((value, i) => {
    if (value === null) {
      pen = false;
      return;
    }
    const x = values.length > 1 ? (i / (values.length - 1)) * width : width;
    const y = height - 1.5 - ((value - low) / span) * (height - 3);
    if (line === '') first = x;
    line += `${pen ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = true;
    last = x;
  });
  const whole = !values.includes(null) && values.length > 1;
  return { line, area: whole ? `${line}L${last.toFixed(1)} ${height}L${first.toFixed(1)} ${height}Z` : '' };
}

/** Where an age (s) lies on the freshness plot's log axis, 1 s to 30 min. */
export function ageX(age: number, width: number): number {
  const share = Math.log10(Math.max(1, Math.min(1800, age))) / Math.log10(1800);
  return 6 + share * (width - 14);
}

/** Stacks dots that fall on the same place: for each x the height of its dot, counted from the axis. */
export function stackDots(xs: readonly number[], pitch: number): { x: number; level: number }[] {
  const columns = new Map<number, number>();
  return xs.map((x) => {
    const column = Math.round(x / pitch) * pitch;
    const level = columns.get(column) ?? 0;
    columns.set(column, level + 1);
    return { x: column, level };
  });
}

/** A round number at or above `value`: 1, 2, 2.5, 5 times a power of ten. */
export function niceCeil(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const share = value / power;
  const step = [1, 2, 2.5, 4, 5, 8, 10].find((candidate) => share <= candidate + 1e-9) ?? 10;
  return step * power;
}
