/** Says new critical incidents aloud, at most once in 10 s, counted; everything else stays silent. */
import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { incidentsQuery } from '../api/queries';
import { useScope } from './session';

const EVERY_MS = 10_000;

export function Announcer() {
  const scope = useScope();
  const items = useQuery(incidentsQuery(scope, { state: 'active' })).data?.items;
  const known = useRef<Set<number> | null>(null);
  const waiting = useRef<string[]>([]);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const [text, setText] = useState('');
  useEffect(() => {
    if (!items) return;
    const critical = items.filter((incident) => incident.severity === 'critical');
    const before = known.current;
    known.current = new Set(critical.map((incident) => incident.id));
    if (!before) return; // what was there when the page opened is not new
    const fresh = critical.filter((incident) => !before.has(incident.id));
    if (fresh.length === 0) return;
    waiting.current.push(...fresh.map((incident) => incident.title));
    if (timer.current !== undefined) return;
    const say = () => {
      const titles = waiting.current.splice(0);
      timer.current = undefined;
      if (titles.length === 0) return;
      setText(titles.length === 1 ? `New incident: ${titles[0]}` : `${titles.length} new critical incidents`);
      timer.current = setTimeout(say, EVERY_MS);
    };
    say();
  }, [items]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <div className="sr" aria-live="assertive">
      {text}
    </div>
  );
}
