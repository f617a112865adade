import { useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { BellOff, BellRing, ChevronDown, Pencil, StickyNote, Trash2 } from 'lucide-react';
import { type ReactNode, useMemo, useState } from 'react';
import { updateDevice } from '../api/changes';
import { say } from '../api/client';
import { useNow } from '../api/clock';
import {
  deviceEventsQuery,
  deviceQuery,
  devicesQuery,
  interfacesQuery,
  neighboursQuery,
  probeQuery,
  readingsQuery,
  siteQuery,
  type Window,
} from '../api/queries';
import type { Device, Probe } from '../api/types';
import { PingChart } from '../charts/PingChart';
import { Ago, OldTag } from '../components/Age';
import { Availability } from '../components/Availability';
import { ForgetDialog, MuteDialog, NoteDialog, RenameDialog } from '../components/DeviceDialogs';
import { EventList } from '../components/EventList';
import { InterfaceTable, inUse, sortedInterfaces } from '../components/InterfaceTable';
import { ReadingTable } from '../components/ReadingTable';
import { SiteZone } from '../components/SiteZone';
import { StateGlyph } from '../components/StateText';
import { useMayNot } from '../components/session';
import { natural } from '../lib/natural';
import { sortedReadings } from '../lib/readings';
import { STATE_WORD, stateWhy } from '../lib/state';
import {
  absolute,
  ageSeconds,
  clock,
  clockOrDay,
  clockSeconds,
  duration,
  durationExact,
  safeZone,
  zoneName,
} from '../lib/time';
import { bytes, count, milliseconds, percent, plural } from '../lib/units';
import { Crumb } from '../ui/Crumb';
import { Empty, Failed, Loaded, Skeleton } from '../ui/Feedback';
import { Glyph } from '../ui/Glyph';
import { Icon } from '../ui/Icon';
import { useKeys } from '../ui/keys';
import { Menu } from '../ui/Menu';
import { Panel } from '../ui/Panel';
import { toast } from '../ui/toast';

const route = getRouteApi('/app/devices/$deviceId');

const WINDOWS = {
  '1h': 3_600_000,
  '6h': 21_600_000,
  '24h': 86_400_000,
  '7d': 604_800_000,
  '30d': 2_592_000_000,
};
type WindowName = keyof typeof WINDOWS;
const isWindowName = (text: string | undefined): text is WindowName => text !== undefined && text in WINDOWS;

/** From and to of the URL (RFC 3339), when both are there and in order. */
function windowOf(search: { from?: string; to?: string; last?: string }): Window {
  const from = Date.parse(search.from ?? '');
  const to = Date.parse(search.to ?? '');
  if (from < to) return { from, to };
  return { last_ms: WINDOWS[isWindowName(search.last) ? search.last : '24h'] };
}

export function DevicePage() {
  const { deviceId } = route.useParams();
  const device = useQuery(deviceQuery(deviceId));
  if (!device.data) {
    return (
      <div className="view">
        <Crumb here="" title="Device" />
        <h1 className="sr">Device</h1>
        {device.isError ? (
          <Failed what="The device" error={device.error} again={device.refetch} />
        ) : (
          <Skeleton rows={12} />
        )}
      </div>
    );
  }
  return <DeviceView key={deviceId} device={device.data} />;
}

type DialogName = 'rename' | 'note' | 'mute' | 'forget';

function DeviceView({ device }: { device: Device }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const client = useQueryClient();
  const now = useNow();
  const site = useQuery(siteQuery(device.site_id)).data;
  const probe = useQuery({ ...probeQuery(device.probe_id ?? ''), enabled: device.probe_id !== null }).data;
  const interfaces = useQuery(interfacesQuery(device.id));
  const events = useQuery(deviceEventsQuery(device.id));
  const mayNot = useMayNot('editDevice');
  const mayNotForget = useMayNot('forgetDevice');
  const [dialog, setDialog] = useState<DialogName | null>(null);
  const zone = safeZone(site?.time_zone);
  const stale = device.state === 'unknown';
  const window = useMemo(() => windowOf(search), [search]);
  const close = () => setDialog(null);
  const zoom = (from: number, to: number) =>
    void navigate({
      search: (before) => ({
        ...before,
        from: new Date(from).toISOString(),
        to: new Date(to).toISOString(),
        last: undefined,
      }),
    });
  const reset = () =>
    void navigate({ search: (before) => ({ ...before, from: undefined, to: undefined, last: undefined }) });
  const pick = (name: WindowName) =>
    void navigate({
      search: (before) => ({
        ...before,
        from: undefined,
        to: undefined,
        last: name === '24h' ? undefined : name,
      }),
      replace: true,
    });
  const unmute = () => {
    updateDevice(client, device.id, { muted_until: null }).then(
      () => toast(`${device.name} is no longer muted`),
      (error: unknown) => toast(say(error)),
    );
  };
  useKeys(
    mayNot === undefined
      ? { r: () => setDialog('rename'), m: () => setDialog('mute'), n: () => setDialog('note') }
      : {},
  );
  const muted = device.muted_until !== null && Date.parse(device.muted_until) > now;
  const all = useMemo(() => sortedInterfaces(interfaces.data?.items ?? []), [interfaces.data]);
  const used = all.filter((one) => inUse(one, device.first_seen_at) || one.id === search.if);
  const shown = search.all === '1' || used.length === 0 ? all : used;
  const current: WindowName | undefined =
    'last_ms' in window ? (isWindowName(search.last) ? search.last : '24h') : undefined;
  return (
    <SiteZone zone={zone}>
      <div className="view">
        <Crumb
          up={[
            <Link key="c" to="/customers/$customerId" params={{ customerId: device.customer_id }}>
              <bdi>{device.customer_name}</bdi>
            </Link>,
            <Link
              key="s"
              to="/customers/$customerId/$siteId"
              params={{ customerId: device.customer_id, siteId: device.site_id }}
            >
              <bdi>{device.site_name}</bdi>
            </Link>,
          ]}
          here={<bdi>{device.name}</bdi>}
          title={device.name}
        />
        {stale && <StaleNotice device={device} probe={probe} zone={zone} />}
        <div className="title">
          <StateGlyph state={device.state} size="xl" />
          <h1 tabIndex={-1}>
            <bdi>{device.name}</bdi>
          </h1>
          <span className="t2 ell" title={device.state_reason ?? undefined}>
            {STATE_WORD[device.state]}
            {stateWhy(device) && ` · ${stateWhy(device)}`} ·{' '}
            <span className="num" title={absolute(device.state_since, zone)}>
              for {duration(ageSeconds(device.state_since, now))}
            </span>
          </span>
          {device.incident_id !== null && (
            <Link
              className={device.state === 'degraded' ? 'tag warn' : 'tag crit'}
              to="/incidents/$incidentId"
              params={{ incidentId: String(device.incident_id) }}
            >
              <Glyph shape={device.state === 'degraded' ? 'warning' : 'critical'} />
              incident {device.incident_id}
            </Link>
          )}
          {muted && device.muted_until && (
            <span className="tag mt" title={absolute(device.muted_until, zone)}>
              muted until {clock(device.muted_until, zone)}
            </span>
          )}
          <span className="grow" />
          <div className="seg hide-s" role="group" aria-label="Time shown">
            {(Object.keys(WINDOWS) as WindowName[]).map((name) => (
              <button key={name} type="button" aria-pressed={name === current} onClick={() => pick(name)}>
                {name.replace(/(\d+)/, '$1 ')}
              </button>
            ))}
          </div>
          <Menu
            button={
              <>
                Actions
                <Icon of={ChevronDown} small />
              </>
            }
            items={[
              {
                text: 'Rename…',
                icon: <Icon of={Pencil} />,
                disabled: mayNot,
                onPick: () => setDialog('rename'),
              },
              {
                text: 'Note…',
                icon: <Icon of={StickyNote} />,
                disabled: mayNot,
                onPick: () => setDialog('note'),
              },
              muted
                ? { text: 'Unmute', icon: <Icon of={BellRing} />, disabled: mayNot, onPick: unmute }
                : {
                    text: 'Mute until…',
                    icon: <Icon of={BellOff} />,
                    disabled: mayNot,
                    onPick: () => setDialog('mute'),
                  },
              {
                text: 'Forget device…',
                icon: <Icon of={Trash2} />,
                danger: true,
                disabled: mayNotForget,
                onPick: () => setDialog('forget'),
              },
            ]}
          />
        </div>
        <div className={stale ? 'dev old' : 'dev'}>
          <div className="stack">
            <Identity device={device} zone={zone} />
            <Neighbours device={device} />
            {device.evidence.length > 0 && <Evidence device={device} />}
          </div>
          <div className="stack">
            <Availability device={device} />
            <PingChart
              device={device.id}
              window={window}
              zone={zone}
              began={Date.parse(device.first_seen_at)}
              {...(pingNotJudged(device) ? { whyNone: NOT_JUDGED } : {})}
              onZoom={zoom}
              onReset={reset}
            />
            <Panel
              title="Interfaces"
              meta={
                interfaces.data &&
                (shown.length < all.length
                  ? `${count(shown.length)} of ${count(all.length)} shown: in use`
                  : plural(all.length, 'interface'))
              }
              side={
                used.length > 0 && used.length < all.length ? (
                  <button
                    type="button"
                    className="link"
                    onClick={() =>
                      void navigate({
                        search: (before) => ({ ...before, all: search.all === '1' ? undefined : '1' }),
                        replace: true,
                      })
                    }
                  >
                    {search.all === '1' ? 'Only those in use' : 'Show all'}
                  </button>
                ) : undefined
              }
            >
              <Loaded query={interfaces} what="Interfaces" rows={6}>
                {() =>
                  all.length === 0 ? (
                    <Empty title="No interfaces">
                      {device.snmp === 'none'
                        ? 'This device answers ping only. With an SNMP credential that fits, its interfaces are read too.'
                        : 'They are read with the first inventory, usually within a minute.'}
                    </Empty>
                  ) : (
                    <InterfaceTable
                      device={device}
                      interfaces={shown}
                      open={search.if}
                      onOpen={(id) =>
                        void navigate({ search: (before) => ({ ...before, if: id }), replace: true })
                      }
                      window={window}
                      stale={stale}
                      onZoom={zoom}
                      onReset={reset}
                    />
                  )
                }
              </Loaded>
            </Panel>
            <Readings device={device} window={window} stale={stale} onZoom={zoom} onReset={reset} />
            <Panel title="Events" meta={`newest first, ${zoneName(zone)}`}>
              <Loaded query={events} what="Events" rows={5}>
                {({ items }) => <EventList events={items} />}
              </Loaded>
            </Panel>
          </div>
        </div>
      </div>
      {dialog === 'rename' && <RenameDialog device={device} onClose={close} />}
      {dialog === 'note' && <NoteDialog device={device} onClose={close} />}
      {dialog === 'mute' && <MuteDialog device={device} onClose={close} />}
      {dialog === 'forget' && <ForgetDialog device={device} onClose={close} />}
    </SiteZone>
  );
}

/** What being monitored costs a device. */
function Asked({ device }: { device: Device }) {
  const asking = useQuery({ ...readingsQuery(device.id), enabled: device.snmp !== 'none' }).data?.asking;
  if (!asking) return null;
  const traffic = bytes(asking.octets);
  const time = milliseconds(asking.response_ms);
  const every = Math.max(60, device.poll?.interval_s ?? 60);
  return (
    <span
      title={`SNMP, both ways, ${every === 60 ? 'a minute' : `every ${every} s`}; it took ${time.value} ${time.unit} to answer`}
    >
      {plural(asking.requests, 'request')}, {traffic.value} {traffic.unit}
    </span>
  );
}

/** Sensors, then storage and processors; nothing where there is nothing. */
function Readings(props: {
  device: Device;
  window: Window;
  stale: boolean;
  onZoom: (from: number, to: number) => void;
  onReset: () => void;
}) {
  const query = useQuery({ ...readingsQuery(props.device.id), enabled: props.device.snmp !== 'none' });
  const all = useMemo(() => sortedReadings(query.data?.items ?? []), [query.data]);
  const sensors = all.filter((one) => one.class === 'sensor');
  const others = all.filter((one) => one.class !== 'sensor');
  const leftOut = query.data?.left_out ?? 0;
  return (
    <>
      {sensors.length > 0 && (
        <Panel
          title="Sensors"
          meta={`${plural(sensors.length, 'sensor')}${leftOut > 0 ? `; ${count(leftOut)} more are not read` : ''}`}
        >
          <ReadingTable {...props} readings={sensors} />
        </Panel>
      )}
      {others.length > 0 && (
        <Panel title="Storage and processors">
          <ReadingTable {...props} readings={others} />
        </Panel>
      )}
    </>
  );
}

function StaleNotice({ device, probe, zone }: { device: Device; probe: Probe | undefined; zone: string }) {
  const now = useNow();
  const heard = probe?.last_heard_at ?? device.value_at;
  return (
    <div className="notice old" role="status">
      <Glyph shape="unknown" size="lg" />
      <div className="grow">
        <b className="b">
          Probe <bdi>{device.probe_name}</bdi> has not reported
          {heard ? ` for ${durationExact(ageSeconds(heard, now))}` : ' yet'}.
        </b>{' '}
        <span className="t2">
          These are the last values{device.value_at && `, from ${clockSeconds(device.value_at, zone)}`}. The
          device may be fine.
        </span>
      </div>
      {device.probe_id !== null && (
        <Link className="btn" to="/probes/$probeId" params={{ probeId: device.probe_id }}>
          Open probe
        </Link>
      )}
    </div>
  );
}

function Identity({ device, zone }: { device: Device; zone: string }) {
  const rows: [string, ReactNode, boolean?][] = [
    ['Vendor', device.vendor],
    ['Model', device.model],
    ['OS', device.os],
    ['Serial', device.serial && <span className="mono">{device.serial}</span>],
    [
      'Address',
      <span className="num" key="a">
        {device.address}
      </span>,
    ],
    ...device.addresses
      .filter((one) => one.address !== device.address)
      .slice(0, 6)
      .map<[string, ReactNode]>((one) => [
        'also',
        <span className="num t2" key={one.address} title={`from ${one.source}`}>
          {one.address}
        </span>,
      ]),
    ['MAC', device.mac && <span className="mono">{device.mac}</span>],
    [
      'Uptime',
      device.uptime_s !== null && (
        <>
          <span className="dim">{duration(device.uptime_s)}</span> <OldTag at={device.value_at} />
        </>
      ),
    ],
    [
      'Name',
      device.sys_name && device.sys_name !== device.name ? <bdi key="n">{device.sys_name}</bdi> : null,
    ],
    ['Location', device.sys_location && <bdi key="w">{device.sys_location}</bdi>],
    ['Contact', device.sys_contact && <bdi key="c">{device.sys_contact}</bdi>],
    ['Role', device.role],
    [
      'Polled by',
      device.probe_id !== null && (
        <Link className="link" to="/probes/$probeId" params={{ probeId: device.probe_id }}>
          <bdi>{device.probe_name}</bdi>
        </Link>
      ),
    ],
    ['SNMP', device.snmp === 'none' ? 'ping only' : snmpText(device)],
    ['Credential', device.credential_name && <bdi>{device.credential_name}</bdi>],
    ['Latency', <Latency key="l" device={device} />],
    ['Last ping', pingNotJudged(device) ? null : <Ago key="i" at={device.last_ping_at} />],
    ['Last SNMP', device.snmp === 'none' ? null : <Ago key="s" at={device.last_snmp_at} />],
    [
      'Poll',
      device.poll && (
        <span title={`${count(device.poll.requests)} requests, ${count(device.poll.varbinds)} values`}>
          every {device.poll.interval_s} s, in {milliseconds(device.poll.duration_ms).value}{' '}
          {milliseconds(device.poll.duration_ms).unit}
        </span>
      ),
    ],
    ['Asked', <Asked key="q" device={device} />],
    [
      'Anchors',
      device.anchors.checked > 0 &&
        (device.anchors.mismatched > 0 ? (
          <span className="row">
            <Glyph shape="warning" />
            {count(device.anchors.mismatched)} of {count(device.anchors.checked)} differ
          </span>
        ) : (
          `${count(device.anchors.checked)} agree`
        )),
    ],
    [
      'First seen',
      <span key="f" title={absolute(device.first_seen_at, zone)}>
        {clockOrDay(device.first_seen_at, zone, Date.parse(device.value_at ?? device.first_seen_at))}
      </span>,
    ],
  ];
  return (
    <Panel title="Identity">
      <dl className="dl">
        {rows
          .filter(([, value]) => value !== null && value !== '' && value !== false)
          .map(([name, value], i) => (
            // "also" repeats; the list has a fixed order.
            // biome-ignore lint/suspicious/noArrayIndexKey: see above
            <div key={i} style={{ display: 'contents' }}>
              <dt>{name}</dt>
              <dd
                className={name === 'SNMP' ? 'wraps' : undefined}
                title={typeof value === 'string' ? value : undefined}
              >
                {value}
              </dd>
            </div>
          ))}
        {device.note && (
          <>
            <dt>Note</dt>
            <dd className="wraps">{device.note}</dd>
          </>
        )}
        {device.sys_descr && (
          <>
            <dt>Says</dt>
            <dd className="wraps t2 small">
              <bdi>{device.sys_descr}</bdi>
            </dd>
          </>
        )}
      </dl>
    </Panel>
  );
}

/** "v3, authPriv, SHA-256, AES-128", or the version alone. */
function snmpText(device: Device): string {
  const security = device.snmp_security;
  return !security || security === device.snmp ? device.snmp : `${device.snmp}, ${security}`;
}

/** Ping says nothing of addresses that always answer, such as those of the probe's own machine. */
function pingNotJudged(device: Device): boolean {
  const primary = device.addresses.find((one) => one.primary) ?? device.addresses[0];
  return device.last_ping_at === null && primary?.icmp === 'not_judged';
}

function Latency({ device }: { device: Device }) {
  if (device.rtt_ms === null) {
    const why = device.state === 'down' ? 'no reply' : pingNotJudged(device) ? 'ping is not used' : null;
    return (
      <span className="t3" title={why === 'ping is not used' ? NOT_JUDGED : undefined}>
        {why ?? 'not measured yet'}
      </span>
    );
  }
  const { value, unit } = milliseconds(device.rtt_ms);
  return (
    <span className="num dim">
      {value} {unit}
      {device.loss_ratio !== null && device.loss_ratio > 0 && `, ${percent(device.loss_ratio)} % lost`}{' '}
      <OldTag at={device.value_at} />
    </span>
  );
}

const NOT_JUDGED =
  "An address of the probe's own machine always answers, so ping would say nothing of the device.";

function Neighbours({ device }: { device: Device }) {
  const query = useQuery(neighboursQuery(device.id));
  const siblings = useQuery({
    ...devicesQuery({ kind: 'site', id: device.site_id }),
    enabled: (query.data?.total ?? 0) > 0,
  });
  const state = new Map((siblings.data?.items ?? []).map((one) => [one.id, one.state]));
  const protocols = [...new Set((query.data?.items ?? []).map((one) => one.protocol.toUpperCase()))].join(
    ', ',
  );
  return (
    <Panel title="Neighbours" meta={protocols || undefined}>
      <Loaded query={query} what="Neighbours" rows={3}>
        {({ items }) =>
          items.length === 0 ? (
            <p className="pad t2">Names none by LLDP or CDP.</p>
          ) : (
            <table className="tbl">
              <tbody>
                {[...items]
                  .sort((a, b) => natural(a.local_port, b.local_port))
                  .map((one) => {
                    const known = one.device_id ? state.get(one.device_id) : undefined;
                    return (
                      <tr key={`${one.local_port} ${one.remote_chassis} ${one.remote_port}`}>
                        <td className="t2">{one.local_port}</td>
                        <td className="b max" title={one.remote_name}>
                          {one.device_id ? (
                            <Link
                              className="row"
                              to="/devices/$deviceId"
                              params={{ deviceId: one.device_id }}
                            >
                              {known && <StateGlyph state={known} />}
                              <bdi className="ell">{one.remote_name}</bdi>
                            </Link>
                          ) : (
                            <span className="row" title="Not one of the devices known here">
                              <Glyph shape="notice" />
                              <bdi className="ell t2">{one.remote_name || one.remote_chassis}</bdi>
                            </span>
                          )}
                          {one.remote_port && (
                            <div className="t3 ell" title={one.remote_port}>
                              <bdi>{one.remote_port}</bdi>
                            </div>
                          )}
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

const EVIDENCE: Record<string, string> = {
  chassis_mac: 'Chassis MAC',
  engine_id: 'SNMP engine',
  serial: 'Serial',
  sys_name: 'Name',
  mac: 'MAC',
  address: 'Address',
};

/** By what the device is known again when its address changes. */
function Evidence({ device }: { device: Device }) {
  return (
    <Panel title="Known by" meta="at any address">
      <dl className="dl">
        {device.evidence.slice(0, 8).map((one) => (
          <div key={`${one.kind} ${one.value}`} style={{ display: 'contents' }}>
            <dt>{EVIDENCE[one.kind] ?? one.kind.replaceAll('_', ' ')}</dt>
            <dd className="mono" title={one.value}>
              {one.value}
            </dd>
          </div>
        ))}
      </dl>
    </Panel>
  );
}
