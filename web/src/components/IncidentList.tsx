/** The list at the left of incidents: grouped by severity; new ones wait above while somebody reads. */
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { ArrowUp } from 'lucide-react';
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from 'react';
import { incidentsQuery } from '../api/queries';
import type { Incident } from '../api/types';
import { nextRow } from '../lib/grid';
import { grouped, holdNew } from '../lib/incidents';
import { count, plural } from '../lib/units';
import type { IncidentView } from '../router';
import { Empty, Loaded } from '../ui/Feedback';
import { Glyph } from '../ui/Glyph';
import { Icon } from '../ui/Icon';
import { IncidentRow } from './IncidentRow';
import { useLingering } from './lingering';
import { useScope, useUser } from './session';

export function IncidentList({ current, view }: { current?: number; view: IncidentView }) {
  const scope = useScope();
  const user = useUser();
  const navigate = useNavigate();
  const active = useQuery(incidentsQuery(scope, { state: 'active' }));
  const closed = useQuery({ ...incidentsQuery(scope, { state: 'resolved' }), enabled: view === 'closed' });
  const scroll = useRef<HTMLDivElement>(null);
  const [busy, setBusy] = useState(false);
  const [known, setKnown] = useState<ReadonlySet<number>>(new Set());

  const items = active.data?.items ?? [];
  const withClosed = useLingering(active.data?.items);
  const mine = (incident: Incident) =>
    incident.acknowledged_by !== null &&
    (incident.acknowledged_by === user?.display_name || incident.acknowledged_by === user?.user_name);
  const open = items.filter((incident) => incident.state === 'open');
  const picked =
    view === 'unacknowledged'
      ? withClosed.filter((incident) => incident.acknowledged_at === null)
      : view === 'mine'
        ? withClosed.filter(mine)
        : view === 'closed'
          ? (closed.data?.items ?? [])
          : withClosed;
  const { shown, waiting } = holdNew(picked, known, busy && known.size > 0 && view !== 'closed');
  const ids = items.map((incident) => incident.id).join();
  // biome-ignore lint/correctness/useExhaustiveDependencies: `ids` stands for the items
  useEffect(() => {
    // Once seen, always known: what is closed and stays in sight for a while is not new.
    if (!busy) setKnown((before) => new Set([...before, ...items.map((incident) => incident.id)]));
  }, [ids, busy]);

  const groups = useMemo(
    () => (view === 'closed' ? [{ name: 'Closed, newest first', items: shown }] : grouped(shown)),
    [shown, view],
  );
  const chips: { view: IncidentView; text: string; n?: number }[] = [
    { view: undefined, text: 'Open', n: active.data?.total },
    { view: 'unacknowledged', text: 'Not acknowledged', n: active.data && open.length },
    { view: 'mine', text: 'Mine', n: active.data && items.filter(mine).length },
    { view: 'closed', text: 'Closed' },
  ];
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const links = [...(scroll.current?.querySelectorAll<HTMLElement>('a.ti') ?? [])];
    const at = links.findIndex((link) => link.matches(':focus'));
    const next = nextRow(event.key, at, links.length, 8);
    if (next === null) return;
    event.preventDefault();
    links[next]?.focus();
  };
  return (
    <section
      className="lst"
      aria-label="Incidents"
      onMouseEnter={() => setBusy(true)}
      onMouseLeave={() => setBusy((scroll.current?.scrollTop ?? 0) > 0)}
    >
      <fieldset className="toolbar">
        <legend className="sr">Show</legend>
        {chips.map((chip) => (
          <button
            key={chip.text}
            type="button"
            className="chip"
            aria-pressed={chip.view === view}
            onClick={() =>
              void navigate({ to: '.', search: (before) => ({ ...before, view: chip.view }), replace: true })
            }
          >
            {chip.text} {chip.n !== undefined && <b>{count(chip.n)}</b>}
          </button>
        ))}
      </fieldset>
      {waiting > 0 && (
        <button
          type="button"
          className="notice"
          onClick={() => setKnown(new Set([...known, ...items.map((one) => one.id)]))}
        >
          <Icon of={ArrowUp} />
          <span className="grow">{plural(waiting, 'new incident')} above</span>
          <span className="link">Show</span>
        </button>
      )}
      {/* biome-ignore lint/a11y/noStaticElementInteractions: arrow keys walk the links inside */}
      <div
        className="scroll"
        ref={scroll}
        onKeyDown={onKeyDown}
        onScroll={(event) => setBusy(event.currentTarget.scrollTop > 0)}
        onFocus={() => setBusy(true)}
        onBlur={() => setBusy(false)}
      >
        <Loaded query={view === 'closed' ? closed : active} what="Incidents" rows={8}>
          {() =>
            shown.length === 0 ? (
              <Empty title={emptyTitle(view)} glyph={<Glyph shape="up" size="xl" />} />
            ) : (
              groups.map((group) => (
                <div key={group.name}>
                  <h2 className="grp">
                    <span>{group.name}</span>
                    <span>{count(group.items.length)}</span>
                  </h2>
                  {group.items.map((incident) => (
                    <IncidentRow
                      key={incident.id}
                      incident={incident}
                      current={incident.id === current}
                      {...(view ? { view } : {})}
                    />
                  ))}
                </div>
              ))
            )
          }
        </Loaded>
      </div>
      <div className="vt-foot" aria-hidden="true">
        <span>
          <span className="kbd">j</span> <span className="kbd">k</span> move
        </span>
        <span>
          <span className="kbd">a</span> acknowledge
        </span>
        <span>
          <span className="kbd">c</span> note
        </span>
      </div>
    </section>
  );
}

function emptyTitle(view: IncidentView): string {
  if (view === 'unacknowledged') return 'Everything is acknowledged';
  if (view === 'mine') return 'You have acknowledged nothing that is open';
  if (view === 'closed') return 'Nothing was closed yet';
  return 'No open incidents';
}
