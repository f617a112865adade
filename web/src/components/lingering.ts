import { useEffect, useRef, useState } from 'react';
import { serverNow } from '../api/clock';
import type { Incident } from '../api/types';
import { type Lingering, linger } from '../lib/incidents';
import { scopeText } from '../lib/scope';
import { useScope } from './session';

const none: Incident[] = [];

/** The open incidents with those that were just closed: they stay for ten seconds, greyed, where they stood. */
export function useLingering(items: Incident[] | undefined): Incident[] {
  const where = scopeText(useScope());
  const last = useRef<{ items: Incident[]; where: string | undefined } | null>(null);
  const [closed, setClosed] = useState<Lingering[]>([]);
  useEffect(() => {
    if (!items) return;
    const before = last.current;
    last.current = { items, where };
    // Another scope shows other incidents; those that are not in it were not closed.
    if (before === null || before.where !== where) {
      setClosed((now) => (now.length === 0 ? now : []));
      return;
    }
    setClosed((now) => {
      const next = linger(before.items, items, now, serverNow());
      return next.length === 0 && now.length === 0 ? now : next;
    });
  }, [items, where]);
  useEffect(() => {
    if (closed.length === 0) return;
    const wait = Math.max(0, Math.min(...closed.map(({ until }) => until)) - serverNow());
    const timer = setTimeout(
      () => setClosed((now) => now.filter(({ until }) => until > serverNow())),
      wait + 20,
    );
    return () => clearTimeout(timer);
  }, [closed]);
  if (!items) return none;
  const open = new Set(items.map(({ id }) => id));
  const greyed = closed.filter(({ incident }) => !open.has(incident.id));
  return greyed.length === 0 ? items : [...items, ...greyed.map(({ incident }) => incident)];
}
