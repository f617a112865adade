import type { State } from '../api/types';
import { STATE_WORD, STATES } from './state';
import { duration } from './time';

/** One tick of the 24 h strip, 30 min wide. `none` is before the first data. */
export type Tick = State | 'none';

const LETTER: Record<string, Tick> = {
  u: 'up',
  g: 'degraded',
  d: 'down',
  r: 'unreachable',
  m: 'maintenance',
  s: 'unknown',
  n: 'none',
};

/** Reads Central's 48 letters, oldest first; a letter that is not known counts as no data. */
export function ticks(strip: string): Tick[] {
  return [...strip].map((letter) => LETTER[letter] ?? 'none');
}

/** Height is severity, so that the strip reads without colour. */
const HEIGHT: Record<Tick, number> = {
  down: 1,
  unreachable: 1,
  degraded: 0.68,
  maintenance: 0.36,
  up: 0.36,
  unknown: 0.12,
  none: 0,
};

export const STRIP_HEIGHT = 18;
const WIDTH = 4;
const GAP = 1.4;

export function stripWidth(n: number): number {
  return Math.max(1, n * (WIDTH + GAP) - GAP);
}

/** One SVG path per state that occurs: cheap in a table of thousands. */
export function stripPaths(all: readonly Tick[]): { tick: Tick; d: string }[] {
  const paths = new Map<Tick, string>();
  all.forEach((tick, i) => {
    const height = STRIP_HEIGHT * HEIGHT[tick];
    if (height === 0) return;
    const inset = tick === 'unreachable' ? 0.5 : 0; // hollow: the stroke stays inside the tick
    const x = i * (WIDTH + GAP) + inset;
    const y = STRIP_HEIGHT - height + inset;
    const w = WIDTH - 2 * inset;
    const h = height - 2 * inset;
    paths.set(tick, `${paths.get(tick) ?? ''}M${x.toFixed(1)} ${y.toFixed(1)}h${w}v${h.toFixed(1)}h-${w}z`);
  });
  return [...paths].map(([tick, d]) => ({ tick, d }));
}

/** The strip in words, for a screen reader. */
export function stripText(all: readonly Tick[]): string {
  const parts = STATES.filter((state) => state !== 'up')
    .map((state) => ({ state, slots: all.filter((tick) => tick === state).length }))
    .filter(({ slots }) => slots > 0)
    .map(({ state, slots }) => `${STATE_WORD[state].toLowerCase()} in ${duration(slots * 1800)}`);
  const none = all.filter((tick) => tick === 'none').length;
  if (none === all.length) return 'Last 24 hours: no data yet';
  if (none > 0) parts.push(`no data in the first ${duration(none * 1800)}`);
  return `Last 24 hours: ${parts.length > 0 ? parts.join(', ') : 'up throughout'}`;
}
