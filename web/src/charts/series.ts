/** From what Central stores to what is read: seconds to ms, octets to bits. */
import type { Range, Series } from '../api/types';

/** Factor from the API's unit to ms. */
export function toMilliseconds(unit: string): number {
  if (unit === 's') return 1000;
  if (unit === 'us' || unit === 'µs') return 0.001;
  if (unit === 'ns') return 0.000001;
  return 1;
}

/** Factor from the API's unit to bit/s. */
export function toBits(unit: string): number {
  return /octet|byte/i.test(unit) || /^B(\/s|ps)?$/.test(unit) ? 8 : 1;
}

export function scaled(series: Series, factor: number): Series {
  if (factor === 1) return series;
  return {
    ...series,
    points: series.points.map(([at = null, ...values]) => [
      at,
      ...values.map((value) => (value === null ? null : value * factor)),
    ]),
  };
}

/** What the header says about the points: how often measured, how many put together. */
export function bucketText(range: Pick<Range, 'step_s' | 'source'>, every: string): string {
  const step = range.step_s;
  if (step <= 15 && range.source === 'raw') return every;
  const shown =
    step < 60
      ? `${step} s`
      : step < 3600
        ? `${Math.round(step / 60)} min`
        : `${Math.round(step / 360) / 10} h`;
  return `${every}, shown per ${shown}`;
}
