import type { Gap, GapReason, Series } from '../api/types';

/** A stretch of the time axis (ms) without data, and why. */
export interface Hole {
  from: number;
  to: number;
  reason: GapReason | null;
}

export const GAP_WORD: Record<GapReason, string> = {
  probe_off: 'no data, the probe was off',
  probe_restart: 'no data, the probe restarted',
  spool_overflow: "no data, the probe's spool was full",
  disk_full: "no data, the probe's disk was full",
  no_response: 'no answer',
  partial: 'no data, the answer was incomplete',
  overran: 'no data, the poll took too long',
  not_permitted: 'no data, not permitted',
  quarantined: 'no data, set aside as unreadable',
  too_old: 'no data, too old to keep',
};

export function holeText(hole: Hole): string {
  return hole.reason === null ? 'no data' : GAP_WORD[hole.reason];
}

/** What a chart draws: columns of equal length with holes as nulls, and the holes to hatch. */
export interface Split {
  x: number[];
  mean: (number | null)[];
  min: (number | null)[];
  max: (number | null)[];
  holes: Hole[];
}

export interface SplitOptions {
  /** Seconds between two points. */
  step_s: number;
  /** Reasons that are an answer in themselves: a device that was asked and said nothing is down, not unknown. */
  answered?: readonly GapReason[];
  /** End of the window (ms): a stretch up to it without points is a hole too, if `open` is set. */
  to?: number;
  open?: boolean;
}

/**
 * Breaks a series where nothing was measured, so that no line is ever drawn across a hole.
 *
 * A hole is where Central says there is a gap, or where two points lie more than two and a half steps apart
 * without a word of why. Points that fall inside a gap are kept: they were measured.
 */
export function split(series: Pick<Series, 'points' | 'gaps'>, options: SplitOptions): Split {
  const step = Math.max(1, options.step_s) * 1000;
  const answered = options.answered ?? [];
  const known = mergeGaps(series.gaps);
  const out: Split = { x: [], mean: [], min: [], max: [], holes: [] };
  const put = (x: number, mean: number | null, min: number | null, max: number | null) => {
    out.x.push(x);
    out.mean.push(mean);
    out.min.push(min);
    out.max.push(max);
  };
  const breakBetween = (a: number, b: number) => {
    const middle = Math.round((a + b) / 2);
    if (middle > a && middle < b) put(middle, null, null, null);
  };

  for (const gap of known) {
    if (!answered.includes(gap.reason)) out.holes.push({ from: gap.from, to: gap.to, reason: gap.reason });
  }
  let last: number | null = null;
  for (const [at, mean = null, min = null, max = null] of series.points) {
    if (at == null) continue;
    if (last !== null) {
      const between = known.some((gap) => gap.from < at && gap.to > (last ?? at));
      const silent = at - last > 2.5 * step;
      if (between || silent) breakBetween(last, at);
      if (silent && !between) out.holes.push({ from: last + step, to: at, reason: null });
    }
    put(at, mean, min ?? mean, max ?? mean);
    last = at;
  }
  if (options.open && options.to !== undefined && last !== null && options.to - last > 2.5 * step) {
    const covered = known.some((gap) => gap.to >= (options.to ?? 0) - step);
    if (!covered) out.holes.push({ from: last + step, to: options.to, reason: null });
  }
  out.holes.sort((a, b) => a.from - b.from);
  return out;
}

/** Joins gaps of the same reason that touch or overlap. */
export function mergeGaps(gaps: readonly Gap[]): Gap[] {
  const sorted = [...gaps].sort((a, b) => a.from - b.from);
  const merged: Gap[] = [];
  for (const gap of sorted) {
    const before = merged[merged.length - 1];
    if (before && before.reason === gap.reason && gap.from <= before.to) {
      before.to = Math.max(before.to, gap.to);
    } else {
      merged.push({ ...gap });
    }
  }
  return merged;
}

/** Puts several split series on one time axis, as uPlot wants them. */
export function align(splits: readonly Split[]): { x: number[]; columns: (number | null)[][] } {
  const x = [...new Set(splits.flatMap((one) => one.x))].sort((a, b) => a - b);
  const columns = splits.flatMap((one) => {
    const at = new Map(one.x.map((ms, i) => [ms, i]));
    const pick = (from: (number | null)[]) =>
      x.map((ms) => {
        const i = at.get(ms);
        return i === undefined ? null : (from[i] ?? null);
      });
    return [pick(one.mean), pick(one.min), pick(one.max)];
  });
  return { x, columns };
}
