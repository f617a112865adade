/** Sorting that holds still: live data never moves what somebody is about to click. */
import { useMemo, useRef, useState } from 'react';

export interface Held<T> {
  rows: readonly T[];
  /** How many rows would move if the order were made anew. */
  moved: number;
  /** Makes the order anew. */
  release: () => void;
}

/**
 * The rows in the order of `compare`. While `hold` is true the order stays as it was: changed rows change in place,
 * rows that are gone go, new ones are added at the end.
 */
export function inHeldOrder<T>(
  rows: readonly T[],
  before: readonly string[],
  keyOf: (row: T) => string,
): readonly T[] {
  const byKey = new Map(rows.map((row) => [keyOf(row), row]));
  const kept: T[] = [];
  for (const key of before) {
    const row = byKey.get(key);
    if (row !== undefined) {
      kept.push(row);
      byKey.delete(key);
    }
  }
  return [...kept, ...byKey.values()];
}

/** How many rows stand elsewhere than they would. */
export function countMoved<T>(now: readonly T[], ideal: readonly T[]): number {
  let moved = 0;
  for (let i = 0; i < now.length; i++) if (now[i] !== ideal[i]) moved += 1;
  return moved;
}

export function useHeldOrder<T>(
  rows: readonly T[],
  compare: (a: T, b: T) => number,
  keyOf: (row: T) => string,
  hold: boolean,
): Held<T> {
  const ideal = useMemo(() => [...rows].sort(compare), [rows, compare]);
  const [released, setReleased] = useState(0);
  const memory = useRef<{ keys: string[]; compare: unknown; released: number }>({
    keys: [],
    compare: null,
    released: -1,
  });
  const shown = useMemo(() => {
    const last = memory.current;
    const fresh = !hold || last.compare !== compare || last.released !== released;
    const next = fresh ? ideal : inHeldOrder(rows, last.keys, keyOf);
    memory.current = { keys: next.map(keyOf), compare, released };
    return next;
  }, [ideal, rows, hold, compare, released, keyOf]);
  const moved = useMemo(() => (shown === ideal ? 0 : countMoved(shown, ideal)), [shown, ideal]);
  return { rows: shown, moved, release: () => setReleased(released + 1) };
}
