import type { Incident, Severity } from '../api/types';

const RANK: Record<Severity, number> = { critical: 0, major: 1, minor: 2, warning: 3, cleared: 4 };

/** What nobody has taken comes first, then by severity, then the newest. */
export function worstFirst(a: Incident, b: Incident): number {
  return (
    RANK[a.severity] - RANK[b.severity] ||
    Number(a.acknowledged_at !== null) - Number(b.acknowledged_at !== null) ||
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

/** How long a closed incident stays in sight, greyed, before it leaves the list. */
export const LINGER_MS = 10_000;

export interface Lingering {
  incident: Incident;
  until: number;
}

/**
 * Which incidents stay greyed: those that were in the list before and are in it no more, for ten seconds. One that
 * opens again goes back to its place.
 */
export function linger(
  before: readonly Incident[],
  now: readonly Incident[],
  lingering: readonly Lingering[],
  at: number,
): Lingering[] {
  const open = new Set(now.map((incident) => incident.id));
  const kept = lingering.filter(({ incident, until }) => until > at && !open.has(incident.id));
  const known = new Set(kept.map(({ incident }) => incident.id));
  const gone = before.filter((incident) => !open.has(incident.id) && !known.has(incident.id));
  return [
    ...kept,
    ...gone.map((incident) => ({
      incident: { ...incident, state: 'resolved' as const, resolved_at: new Date(at).toISOString() },
      until: at + LINGER_MS,
    })),
  ];
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
