import type { Incident, Severity } from '../api/types';

const RANK: Record<Severity, number> = { critical: 0, major: 1, minor: 2, warning: 3, cleared: 4 };

/** What nobody has taken comes first, then by severity, then the newest. */
export function worstFirst(a: Incident, b: Incident): number {
  return (
    RANK[a.severity] - RANK[b.severity] ||
    Number(a.state !== 'open') - Number(b.state !== 'open') ||
    (a.opened_at < b.opened_at ? 1 : a.opened_at > b.opened_at ? -1 : b.id - a.id)
  );
}

export type Group = { name: string; items: Incident[] };

/** The list under its headings: critical, warning, notice. */
export function grouped(items: readonly Incident[]): Group[] {
  const groups: Group[] = [
    { name: 'Critical', items: [] },
    { name: 'Warning', items: [] },
    { name: 'Notice', items: [] },
  ];
  for (const incident of [...items].sort(worstFirst)) {
    const rank = RANK[incident.severity];
    groups[rank <= 1 ? 0 : rank <= 3 ? 1 : 2]?.items.push(incident);
  }
  return groups.filter((group) => group.items.length > 0);
}

/** Incidents that came while the reader is not at the top wait above; the rest of the list stays where it is. */
export function holdNew(
  items: readonly Incident[],
  known: ReadonlySet<number>,
  hold: boolean,
): { shown: Incident[]; waiting: number } {
  if (!hold) return { shown: [...items], waiting: 0 };
  const shown = items.filter((incident) => known.has(incident.id));
  return { shown, waiting: items.length - shown.length };
}
