/** Columns of the one table: which fit, how much room names need, and how a sort stands in the URL. */
import type { SortingState } from '@tanstack/react-table';
import type { ReactNode } from 'react';

export interface Column<T> {
  id: string;
  head: string;
  cell: (row: T) => ReactNode;
  /** Compares for an ascending sort; without it the column cannot be sorted. */
  compare?: (a: T, b: T) => number;
  /** The least width in px, and its share of what is left. */
  min: number;
  share?: number;
  right?: boolean;
  /** Text whose length the column makes room for, within reason: names are cut last. */
  roomFor?: (row: T) => string;
  /** Columns with the highest number go first when there is no room; 0 stays. */
  priority: number;
  className?: string;
}

/** Between two columns, in px. */
const GAP = 12;

/** Which columns fit, the least important left out first. */
export function fitting<T>(columns: readonly Column<T>[], width: number): Column<T>[] {
  const kept = [...columns];
  const need = () => kept.reduce((sum, column) => sum + column.min + GAP, 28 - GAP);
  while (kept.length > 1 && need() > width) {
    let worst = 0;
    kept.forEach((column, i) => {
      if (column.priority > (kept[worst]?.priority ?? 0)) worst = i;
    });
    if ((kept[worst]?.priority ?? 0) === 0) break;
    kept.splice(worst, 1);
  }
  return kept;
}

const MAX_ROOM = 216;

/** Width (px) that nineteen of twenty of the texts need with their glyph; a single long one widens nothing. */
export function roomNeeded(texts: readonly string[], perChar = 7.4, extra = 30): number {
  if (texts.length === 0) return 0;
  const lengths = texts.map((text) => text.length).sort((a, b) => a - b);
  const most = lengths[Math.min(lengths.length - 1, Math.ceil(lengths.length * 0.95) - 1)] ?? 0;
  return Math.min(MAX_ROOM, Math.ceil(most * perChar) + extra);
}

/** Names stand bold beside a glyph; other text needs less. */
export function roomFor<T>(column: Column<T>, rows: readonly T[]): number {
  if (!column.roomFor) return 0;
  const texts = rows.map(column.roomFor);
  return column.className === 'nm' ? roomNeeded(texts) : roomNeeded(texts, 6.7, 4);
}

export function parseSort(sort: string | undefined): SortingState {
  return (sort ?? '')
    .split(',')
    .filter(Boolean)
    .map((key) => (key.startsWith('-') ? { id: key.slice(1), desc: true } : { id: key, desc: false }));
}

export function sortText(state: SortingState): string | undefined {
  return state.map(({ id, desc }) => (desc ? `-${id}` : id)).join(',') || undefined;
}
