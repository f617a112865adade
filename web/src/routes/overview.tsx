import { type UseQueryResult, useQueries, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useMemo } from 'react';
import { useNow } from '../api/clock';
import { incidentsQuery, overviewQuery, probesQuery, rangeQuery, topQuery } from '../api/queries';
import type { Incident, List, Overview, Probe, Top, TopItem } from '../api/types';
import { toBits, toMilliseconds } from '../charts/series';
import { Bars } from '../components/Bars';
import { EventHistogram } from '../components/EventHistogram';
import { FreshnessPlot } from '../components/FreshnessPlot';
import { IncidentRow } from '../components/IncidentRow';
import { useLingering } from '../components/lingering';
import { PlaceTable, worstPlaceFirst } from '../components/PlaceTable';
import { probeGlyph } from '../components/ProbeLines';
import { Spark } from '../components/Spark';
import { useScope } from '../components/session';
import { worstFirst } from '../lib/incidents';
import { BUSY, SLOW_MS } from '../lib/limits';
import type { Scope } from '../lib/scope';
import {
  COUNT_ORDER,
  PROBE_RANK,
  PROBE_WORD,
  probeShape,
  probeTrouble,
  STATE_WORD,
  situation,
} from '../lib/state';
import { ageSeconds, duration } from '../lib/time';
import { bits, count, milliseconds, percent, plural } from '../lib/units';
import { Changing } from '../ui/Changing';
import { Crumb } from '../ui/Crumb';
import { Empty, Loaded } from '../ui/Feedback';
import { Glyph } from '../ui/Glyph';
import { Panel } from '../ui/Panel';

const SHOWN = 7;

export function OverviewPage() {
  const scope = useScope();
  const overview = useQuery(overviewQuery(scope));
  const incidents = useQuery(incidentsQuery(scope, { state: 'active' }));
  const probes = useQuery(probesQuery(scope));
  const data = overview.data;
  return (
    <div className="view">
      <Crumb here="Overview" title="Overview" />
      <div className="title">
        <h1 tabIndex={-1}>
          {data
            ? situation(data.counts, data.customers, data.devices_total)
            : overview.isError
              ? 'Overview'
              : '\u00a0'}
        </h1>
      </div>
      <div className="stack">
        {data ? (
          <CountBar overview={data} />
        ) : (
          <Panel label="Devices by state">
            <Loaded query={overview} what="The overview" rows={3}>
              {() => null}
            </Loaded>
          </Panel>
        )}
        {data && data.probes_total === 0 ? (
          <FirstSteps customers={data.customers_total} />
        ) : (
          <>
            <div className="ov2">
              <Customers overview={overview} />
              <Incidents incidents={incidents} />
            </div>
            <div className="ov3">
              <Freshness probes={probes} />
              <WorstLatency scope={scope} />
              <TopTalkers scope={scope} />
            </div>
          </>
        )}
      </div>
    </div>
  );
}

function CountBar({ overview }: { overview: Overview }) {
  return (
    <section className="panel counts" aria-label="Devices by state">
      {COUNT_ORDER.map((state) => (
        <Link
          key={state}
          to="/devices"
          search={(before) => ({ scope: before.scope, st: state })}
          className={overview.counts[state] === 0 ? 'zero' : undefined}
        >
          <span className="v">
            <Glyph shape={state} />
            <Changing value={overview.counts[state]}>{count(overview.counts[state])}</Changing>
          </span>
          <span className="l">{STATE_WORD[state]}</span>
        </Link>
      ))}
      <EventHistogram bins={overview.events_histogram} />
    </section>
  );
}

function FirstSteps({ customers }: { customers: number }) {
  return (
    <Panel title="Nothing is watched yet">
      <Empty
        title={customers === 0 ? 'Start with one customer and one site' : 'The next step is a probe'}
        glyph={<Glyph shape="unknown" size="xl" />}
        acts={
          customers === 0 ? (
            <Link to="/customers" className="btn pri">
              Add a customer
            </Link>
          ) : (
            <>
              <Link to="/probes/new" className="btn pri">
                Add probe
              </Link>
              <Link to="/customers" className="btn">
                Customers
              </Link>
            </>
          )
        }
      >
        {customers === 0 ? 'Then run' : 'Run'} one command on any machine at the site. The probe connects out
        to Central, finds the devices and starts measuring, usually within a minute.
      </Empty>
    </Panel>
  );
}

function Customers({ overview }: { overview: UseQueryResult<Overview> }) {
  const data = overview.data;
  return (
    <Panel
      title="Customers"
      meta={
        data &&
        `${plural(data.customers_total, 'customer')} · ${plural(data.sites_total, 'site')} · ${plural(data.devices_total, 'device')}`
      }
      side={
        <Link to="/customers" className="link">
          All customers
        </Link>
      }
    >
      <Loaded query={overview} what="Customers" rows={9}>
        {({ customers }) => (
          <PlaceTable
            head="Customer"
            places={[...customers].sort(worstPlaceFirst).slice(0, 12)}
            before={[{ head: 'Sites', of: (customer) => customer.sites }]}
            link={(customer, inside) => (
              <Link className="row b" to="/customers/$customerId" params={{ customerId: customer.id }}>
                {inside}
              </Link>
            )}
          />
        )}
      </Loaded>
    </Panel>
  );
}

function Incidents({ incidents }: { incidents: UseQueryResult<List<Incident>> }) {
  const data = incidents.data;
  const shown = useLingering(data?.items);
  const open = data?.items.filter((incident) => incident.state === 'open').length ?? 0;
  return (
    <Panel
      title="Open incidents"
      label="Open incidents"
      meta={
        data && (data.total === 0 ? undefined : `${count(open)} not acknowledged of ${count(data.total)}`)
      }
      side={
        <Link to="/incidents" className="link">
          All incidents
        </Link>
      }
    >
      <Loaded query={incidents} what="Incidents" rows={6}>
        {() =>
          shown.length === 0 ? (
            <Empty
              title="No open incidents"
              glyph={<Glyph shape="up" size="xl" />}
              acts={
                <Link to="/incidents" search={{ view: 'closed' }} className="btn">
                  Show closed
                </Link>
              }
            >
              Nothing needs a person now.
            </Empty>
          ) : (
            <div>
              {[...shown]
                .sort(worstFirst)
                .slice(0, 6)
                .map((incident) => (
                  <IncidentRow key={incident.id} incident={incident} />
                ))}
            </div>
          )
        }
      </Loaded>
    </Panel>
  );
}

function Freshness({ probes }: { probes: UseQueryResult<List<Probe>> }) {
  const now = useNow();
  const all = (probes.data?.items ?? []).filter((probe) => probe.state !== 'revoked');
  const reporting = all.filter((probe) => probe.connected).length;
  const trouble = all
    .map((probe) => ({ probe, why: probeTrouble(probe, now), shape: probeShape(probe, now) }))
    .filter(({ why }) => why !== null)
    .sort((a, b) => PROBE_RANK[a.shape] - PROBE_RANK[b.shape])
    .slice(0, 4);
  return (
    <Panel
      title="Probe freshness"
      meta={probes.data && `${count(reporting)} of ${count(all.length)} reporting`}
      side={
        <Link to="/probes" className="link">
          All probes
        </Link>
      }
    >
      <Loaded query={probes} what="Probes" rows={5}>
        {() =>
          all.length === 0 ? (
            <Empty
              title="No probe yet"
              acts={
                <Link to="/probes/new" className="btn pri">
                  Add probe
                </Link>
              }
            >
              A probe is one program on any machine at the site.
            </Empty>
          ) : (
            <>
              <div className="pad">
                <FreshnessPlot probes={all} />
              </div>
              <table className="tbl">
                <tbody>
                  {trouble.map(({ probe, why, shape }) => (
                    <tr key={probe.id}>
                      <td className="b">
                        <Link className="row" to="/probes/$probeId" params={{ probeId: probe.id }}>
                          <Glyph shape={probeGlyph(shape)} label={PROBE_WORD[probe.state]} />
                          <bdi>{probe.name}</bdi>
                        </Link>
                      </td>
                      <td className="t2 max" title={why ?? undefined}>
                        {why}
                      </td>
                      <td className={shape === 'stale' ? 'r' : 'r t3'}>
                        {probe.last_heard_at ? duration(ageSeconds(probe.last_heard_at, now)) : '–'}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}

const DAY_MS = 86_400_000;

function WorstLatency({ scope }: { scope: Scope }) {
  const top = useQuery(topQuery('rtt', scope, SHOWN));
  const items = top.data?.items.slice(0, SHOWN) ?? [];
  const sparks = useQueries({
    queries: items.map((item) => ({
      ...rangeQuery(item.device_id, 'rtt', { last_ms: DAY_MS }, undefined, 1800),
      refetchInterval: 300_000,
    })),
  });
  return (
    <Panel
      title="Worst latency"
      meta="now"
      side={
        <Link to="/devices" search={(before) => ({ scope: before.scope, sort: '-rtt' })} className="link">
          Devices
        </Link>
      }
    >
      <Loaded query={top} what="Latency" rows={SHOWN}>
        {() =>
          items.length === 0 ? (
            <Empty title="No latency measured yet" />
          ) : (
            <table className="tbl">
              <tbody>
                {items.map((item, i) => {
                  const ms = item.value * toMilliseconds(item.unit);
                  const { value, unit } = milliseconds(ms);
                  const points = sparks[i]?.data?.series[0]?.points.map(([, mean = null]) => mean) ?? [];
                  return (
                    <tr key={item.device_id}>
                      <td className="b">
                        <Link to="/devices/$deviceId" params={{ deviceId: item.device_id }}>
                          <bdi>{item.device_name}</bdi>
                        </Link>
                      </td>
                      <td className="t2 max" title={`${item.customer_name} / ${item.site_name}`}>
                        {shortName(item.customer_name)}
                      </td>
                      <td>
                        <Spark
                          values={points}
                          width={84}
                          {...(ms >= SLOW_MS ? { look: 'warn' as const } : {})}
                        />
                      </td>
                      <td className="r">
                        {ms >= SLOW_MS && <Glyph shape="warning" label="slow" />} {value}{' '}
                        <span className="t3">{unit}</span>
                      </td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          )
        }
      </Loaded>
    </Panel>
  );
}

/** A customer in a narrow column: its first word, the whole on hover. */
function shortName(name: string): string {
  return name.length <= 14 ? name : (name.split(' ')[0] ?? name);
}

interface Talker {
  item: TopItem;
  into: TopItem | undefined;
  out: TopItem | undefined;
  most: number;
}

/** Puts the two directions of an interface together, busiest first. */
export function talkers(into: Top | undefined, out: Top | undefined): Talker[] {
  const key = (item: TopItem) => `${item.device_id} ${item.interface_id ?? ''}`;
  const all = new Map<string, Talker>();
  for (const item of into?.items ?? []) all.set(key(item), { item, into: item, out: undefined, most: 0 });
  for (const item of out?.items ?? []) {
    const other = all.get(key(item));
    all.set(key(item), { item: other?.item ?? item, into: other?.into, out: item, most: 0 });
  }
  const rate = (item: TopItem | undefined) => (item ? item.value * toBits(item.unit) : 0);
  return [...all.values()]
    .map((talker) => ({ ...talker, most: Math.max(rate(talker.into), rate(talker.out)) }))
    .sort((a, b) => b.most - a.most);
}

function TopTalkers({ scope }: { scope: Scope }) {
  const into = useQuery(topQuery('ifHCInOctets', scope, 30));
  const out = useQuery(topQuery('ifHCOutOctets', scope, 30));
  const rows = useMemo(() => talkers(into.data, out.data).slice(0, SHOWN), [into.data, out.data]);
  return (
    <Panel
      title="Top talkers"
      meta="now"
      side={
        <span className="legend">
          <span>
            <i />
            in
          </span>
          <span>
            <i className="o" />
            out
          </span>
        </span>
      }
    >
      <Loaded query={into} what="Traffic" rows={SHOWN}>
        {() =>
          rows.length === 0 ? (
            <Empty title="No traffic measured yet">Counters need two polls before there is a rate.</Empty>
          ) : (
            <table className="tbl">
              <tbody>
                {rows.map(({ item, into: a, out: b, most }) => {
                  const { value, unit } = bits(most);
                  const busy = Math.max(a?.utilisation_ratio ?? -1, b?.utilisation_ratio ?? -1);
                  const name = `${item.device_name} ${item.interface_name ?? ''}`;
                  return (
                    <tr key={`${item.device_id} ${item.interface_id}`}>
                      <td className="b max" title={name}>
                        <Link
                          to="/devices/$deviceId"
                          params={{ deviceId: item.device_id }}
                          search={{ if: item.interface_id ?? undefined }}
                        >
                          <bdi>{name}</bdi>
                        </Link>
                      </td>
                      <td className="t2 hide-s">{shortName(item.customer_name)}</td>
                      <td style={{ width: 72 }}>
                        <Bars into={a?.utilisation_ratio ?? null} out={b?.utilisation_ratio ?? null} />
                      </td>
                      <td className="r">
                        {busy >= BUSY && <Glyph shape="warning" label="nearly full" />}{' '}
                        {busy < 0 ? <span className="t3">–</span> : `${percent(busy)} %`}
                      </td>
                      <td className="r t2">
                        {value} <span className="t3">{unit}</span>
                      </td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          )
        }
      </Loaded>
    </Panel>
  );
}
