import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { Plus } from 'lucide-react';
import { useMemo } from 'react';
import { useNow } from '../api/clock';
import { probesQuery } from '../api/queries';
import type { Probe } from '../api/types';
import { Ago } from '../components/Age';
import { probeGlyph, spoolText, versionText } from '../components/ProbeLines';
import { useMayNot, useScope } from '../components/session';
import { certificateState, certificateText } from '../lib/certificate';
import { natural } from '../lib/natural';
import { PROBE_RANK, PROBE_WORD, probeShape, probeTrouble } from '../lib/state';
import { ageSeconds, duration } from '../lib/time';
import { bytes, count, milliseconds, plural } from '../lib/units';
import type { ProbeView } from '../router';
import { Crumb } from '../ui/Crumb';
import type { Column } from '../ui/columns';
import { DataTable } from '../ui/DataTable';
import { Empty, Loaded } from '../ui/Feedback';
import { Glyph } from '../ui/Glyph';
import { Icon } from '../ui/Icon';
import { Title } from '../ui/Panel';

const route = getRouteApi('/app/probes');

/** The state of a row, counted with the time at hand. */
function ProbeName({ probe }: { probe: Probe }) {
  const now = useNow();
  const shape = probeShape(probe, now);
  return (
    <span className="nm">
      <Glyph shape={probeGlyph(shape)} label={PROBE_WORD[probe.state]} />
      <Link to="/probes/$probeId" params={{ probeId: probe.id }} tabIndex={-1} title={probe.name}>
        <bdi>{probe.name}</bdi>
      </Link>
    </span>
  );
}

function ProbeNote({ probe }: { probe: Probe }) {
  const now = useNow();
  const trouble = probeTrouble(probe, now);
  return (
    <span className="t2" title={trouble ?? undefined}>
      {trouble}
    </span>
  );
}

function Certificate({ probe }: { probe: Probe }) {
  const now = useNow();
  const state = certificateState(probe.certificate, now);
  if (!probe.certificate || state === null) return <span className="t3">–</span>;
  const text = certificateText(probe.certificate, now) ?? undefined;
  const left = (Date.parse(probe.certificate.not_after) - now) / 1000;
  return (
    <span className={state === 'good' ? 't2' : undefined} title={text}>
      {state !== 'good' && (
        <Glyph shape={state === 'expired' ? 'critical' : 'warning'} label="not renewed in time" />
      )}{' '}
      {state === 'expired' ? 'expired' : duration(left)}
    </span>
  );
}

const COLUMNS: Column<Probe>[] = [
  {
    id: 'name',
    head: 'Probe',
    min: 116,
    share: 0.8,
    priority: 0,
    className: 'nm',
    roomFor: (probe) => probe.name,
    compare: (a, b) => natural(a.name, b.name),
    cell: (probe) => <ProbeName probe={probe} />,
  },
  {
    id: 'place',
    head: 'Customer / site',
    min: 150,
    share: 2,
    priority: 5,
    compare: (a, b) => natural(a.customer_name, b.customer_name) || natural(a.site_name, b.site_name),
    cell: (probe) => (
      <span className="t2" title={`${probe.customer_name} / ${probe.site_name}`}>
        <bdi>{probe.customer_name}</bdi> <span className="t3">/</span> <bdi>{probe.site_name}</bdi>
      </span>
    ),
  },
  {
    id: 'heard',
    head: 'Last heard',
    min: 104,
    right: true,
    priority: 1,
    className: 'keep',
    compare: (a, b) => ((a.last_heard_at ?? '') < (b.last_heard_at ?? '') ? 1 : -1),
    cell: (probe) => <Ago at={probe.last_heard_at} />,
  },
  {
    id: 'spool',
    head: 'Spool',
    min: 76,
    right: true,
    priority: 6,
    compare: (a, b) => a.spool.bytes - b.spool.bytes,
    cell: (probe) =>
      probe.state === 'silent' ? (
        <span className="t3">not known</span>
      ) : (
        <span className={probe.spool.batches === 0 ? 't3' : undefined} title={spoolText(probe)}>
          {probe.spool.batches === 0
            ? 'empty'
            : `${bytes(probe.spool.bytes).value} ${bytes(probe.spool.bytes).unit}`}
        </span>
      ),
  },
  {
    id: 'behind',
    head: 'Behind',
    min: 76,
    right: true,
    priority: 4,
    compare: (a, b) => (a.backlog_behind_s ?? -1) - (b.backlog_behind_s ?? -1),
    cell: (probe) =>
      probe.backlog_behind_s === null ? (
        <span className="t3">–</span>
      ) : (
        <span className={probe.backlog_behind_s > 60 ? undefined : 't3'}>
          {duration(probe.backlog_behind_s)}
        </span>
      ),
  },
  {
    id: 'left',
    head: 'Time left',
    min: 80,
    right: true,
    priority: 7,
    compare: (a, b) => (a.spool.time_left_s ?? 1e12) - (b.spool.time_left_s ?? 1e12),
    cell: (probe) =>
      probe.spool.time_left_s === null ? (
        <span className="t3">–</span>
      ) : (
        <span className="t2">{duration(probe.spool.time_left_s)}</span>
      ),
  },
  {
    id: 'echo',
    head: 'Echo',
    min: 64,
    right: true,
    priority: 8,
    compare: (a, b) => (a.echo_ms?.p50 ?? -1) - (b.echo_ms?.p50 ?? -1),
    cell: (probe) => {
      if (!probe.echo_ms) return <span className="t3">–</span>;
      const { value, unit } = milliseconds(probe.echo_ms.p50);
      return (
        <span className="t2" title={`99 of 100 within ${count(probe.echo_ms.p99)} ms`}>
          {value} {unit}
        </span>
      );
    },
  },
  {
    id: 'devices',
    head: 'Devices',
    min: 58,
    right: true,
    priority: 3,
    compare: (a, b) => a.devices - b.devices,
    cell: (probe) => count(probe.devices),
  },
  {
    id: 'version',
    head: 'Version',
    min: 62,
    priority: 9,
    compare: (a, b) => natural(a.version ?? '', b.version ?? ''),
    cell: (probe) => <span className="t2">{versionText(probe) ?? '–'}</span>,
  },
  {
    id: 'certificate',
    head: 'Certificate',
    min: 76,
    right: true,
    priority: 4,
    compare: (a, b) => ((a.certificate?.not_after ?? '') < (b.certificate?.not_after ?? '') ? -1 : 1),
    cell: (probe) => <Certificate probe={probe} />,
  },
  {
    id: 'note',
    head: 'Note',
    min: 130,
    share: 1.6,
    priority: 2,
    cell: (probe) => <ProbeNote probe={probe} />,
  },
];

const keyOf = (probe: Probe) => probe.id;
const rowClass = (probe: Probe) => (probe.state === 'silent' ? 'is-stale' : '');

export function ProbesPage() {
  const scope = useScope();
  const search = route.useSearch();
  const navigate = useNavigate();
  const go = route.useNavigate();
  const query = useQuery(probesQuery(scope));
  const now = useNow();
  const minute = Math.floor(now / 60_000) * 60_000;
  const mayNot = useMayNot('enrol');
  const all = query.data?.items ?? [];
  const alive = all.filter((probe) => probe.state !== 'revoked');

  const viewOf = (probe: Probe): Exclude<ProbeView, undefined> => {
    const shape = probeShape(probe, minute);
    return shape === 'maint'
      ? 'revoked'
      : shape === 'stale'
        ? 'silent'
        : shape === 'degraded' || shape === 'critical'
          ? 'attention'
          : 'reporting';
  };
  const q = (search.q ?? '').toLowerCase();
  const matching = all.filter((probe) =>
    `${probe.name} ${probe.customer_name} ${probe.site_name}`.toLowerCase().includes(q),
  );
  const rows = matching.filter((probe) =>
    search.view ? viewOf(probe) === search.view : probe.state !== 'revoked',
  );
  const compare = useMemo(
    () => (a: Probe, b: Probe) =>
      PROBE_RANK[probeShape(a, minute)] - PROBE_RANK[probeShape(b, minute)] || natural(a.name, b.name),
    [minute],
  );
  const chips = [
    { view: 'silent', text: 'Not reporting', shape: 'unknown' },
    { view: 'attention', text: 'Needs attention', shape: 'warning' },
    { view: 'reporting', text: 'Reporting', shape: 'up' },
    { view: 'revoked', text: 'Revoked', shape: 'notice' },
  ] as const;
  const add = (
    <Link to="/probes/new" className="btn pri" disabled={mayNot !== undefined} title={mayNot}>
      <Icon of={Plus} />
      Add probe
    </Link>
  );
  return (
    <div className="view fill">
      <Crumb here="Probes" title="Probes" />
      <Title sub={query.data && alive.length > 0 ? aboutAll(alive, now) : undefined} acts={add}>
        {query.data
          ? alive.length === 0
            ? 'No probe yet'
            : `${count(alive.filter((probe) => probe.connected).length)} of ${plural(alive.length, 'probe')} reporting`
          : 'Probes'}
      </Title>
      <section className="panel vt" aria-label="Probes">
        <div className="toolbar">
          <input
            className="input flt"
            type="search"
            data-filter
            aria-label="Filter by probe, customer, site"
            placeholder="Filter by probe, customer, site"
            value={search.q ?? ''}
            onChange={(event) =>
              void go({
                search: (before) => ({ ...before, q: event.target.value || undefined }),
                replace: true,
              })
            }
          />
          <fieldset className="chips">
            <legend className="sr">Show only</legend>
            {chips.map((chip) => {
              const n = matching.filter((probe) => viewOf(probe) === chip.view).length;
              if (n === 0 && search.view !== chip.view) return null;
              return (
                <button
                  key={chip.view}
                  type="button"
                  className="chip"
                  aria-pressed={search.view === chip.view}
                  onClick={() =>
                    void go({
                      search: (before) => ({
                        ...before,
                        view: before.view === chip.view ? undefined : chip.view,
                      }),
                      replace: true,
                    })
                  }
                >
                  <Glyph shape={chip.shape} />
                  {chip.text} <b>{count(n)}</b>
                </button>
              );
            })}
          </fieldset>
        </div>
        <Loaded query={query} what="Probes" rows={10}>
          {() => (
            <DataTable
              label="Probes"
              rows={rows}
              columns={COLUMNS}
              rowKey={keyOf}
              rowClass={rowClass}
              compare={compare}
              sort={search.sort}
              onSort={(sort) => void go({ search: (before) => ({ ...before, sort }), replace: true })}
              noun={['probe', 'probes']}
              order="not reporting first"
              onOpen={(probe) => void navigate({ to: '/probes/$probeId', params: { probeId: probe.id } })}
              empty={
                all.length === 0 ? (
                  <Empty title="No probe yet" glyph={<Glyph shape="unknown" size="xl" />} acts={add}>
                    A probe is one program on any machine at a site. It connects out to Central; nothing at
                    the site has to accept connections.
                  </Empty>
                ) : (
                  <Empty title="No probe matches" />
                )
              }
            />
          )}
        </Loaded>
      </section>
    </div>
  );
}

function aboutAll(probes: readonly Probe[], now: number): string {
  const parts: string[] = [];
  const behind = Math.max(0, ...probes.map((probe) => probe.backlog_behind_s ?? 0));
  if (behind > 60) parts.push(`oldest data ${duration(behind)} behind`);
  const silent = probes
    .filter((probe) => probe.state === 'silent' && probe.last_heard_at !== null)
    .map((probe) => ageSeconds(probe.last_heard_at ?? '', now));
  if (silent.length > 0) parts.push(`silent for up to ${duration(Math.max(...silent))}`);
  const late = probes.filter(
    (probe) => (certificateState(probe.certificate, now) ?? 'good') !== 'good',
  ).length;
  if (late > 0) parts.push(`${plural(late, 'certificate')} not renewed in time`);
  return parts.join(', ');
}
