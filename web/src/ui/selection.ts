/** Which rows of a table are selected, by key: x takes one, shift-x all from the last one taken. */

export interface Selection {
  readonly keys: ReadonlySet<string>;
  /** The row a range starts at. */
  readonly anchor: string | null;
}

export const NOTHING: Selection = { keys: new Set(), anchor: null };

/** Takes the row in, or out again. */
export function toggled(selection: Selection, key: string): Selection {
  const keys = new Set(selection.keys);
  if (!keys.delete(key)) keys.add(key);
  return { keys, anchor: key };
}

/** Adds everything between the anchor and the row, in the order shown; without an anchor the row alone. */
export function ranged(selection: Selection, key: string, order: readonly string[]): Selection {
  const from = selection.anchor === null ? -1 : order.indexOf(selection.anchor);
  const to = order.indexOf(key);
  if (from < 0 || to < 0) return toggled(selection, key);
  const keys = new Set(selection.keys);
  for (const one of order.slice(Math.min(from, to), Math.max(from, to) + 1)) keys.add(one);
  return { keys, anchor: selection.anchor };
}
