import { useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Ban, Ellipsis, Pencil, Wifi } from 'lucide-react';
import { useState } from 'react';
import { echoProbe, renameProbe, revokeProbe } from '../api/changes';
import { say } from '../api/client';
import { useNow } from '../api/clock';
import { discoveryQuery, ledgerQuery, probeEventsQuery, probeQuery, siteQuery } from '../api/queries';
import type { Ledger, Probe } from '../api/types';
import { Ago, Since } from '../components/Age';
import { Progress, progressText } from '../components/DiscoveryPanel';
import { EventList } from '../components/EventList';
import { behindText, Certificate, linkText, probeGlyph, spoolText, versionText } from '../components/ProbeLines';
import { SiteZone } from '../components/SiteZone';
import { useMayNot } from '../components/session';
import { PROBE_STALE_S, PROBE_WORD, probeShape, probeTrouble, severityShape } from '../lib/state';
import { absolute, ageSeconds, duration, durationExact, safeZone } from '../lib/time';
import { count, milliseconds, plural } from '../lib/units';
import { Crumb } from '../ui/Crumb';
import { DangerDialog, FormDialog } from '../ui/Dialog';
import { Failed, Loaded, Skeleton } from '../ui/Feedback';
import { TextField } from '../ui/Field';
import { Glyph } from '../ui/Glyph';
import { Icon } from '../ui/Icon';
import { Menu } from '../ui/Menu';
import { Panel, Title } from '../ui/Panel';
import { toast } from '../ui/toast';

const route = getRouteApi('/app/probes/$probeId');

export function ProbePage() {
  const { probeId } = route.useParams();
  const probe = useQuery(probeQuery(probeId));
  if (!probe.data) {
    return (
      <div className="view">
        <Crumb
          up={[
            <Link key="p" to="/probes">
              Probes
            </Link>,
          ]}
          here=""
          title="Probe"
        />
        <h1 className="sr">Probe</h1>
        {probe.isError ? (
          <Failed what="The probe" error={probe.error} again={probe.refetch} />
        ) : (
          <Skeleton rows={10} />
        )}
      </div>
    );
  }
  return <ProbeView key={probeId} probe={probe.data} />;
}

function ProbeView({ probe }: { probe: Probe }) {
  const client = useQueryClient();
  const now = useNow();
  const site = useQuery(siteQuery(probe.site_id)).data;
  const zone = safeZone(site?.time_zone);
  const mayNot = useMayNot('enrol');
  const ledger = useQuery({ ...ledgerQuery(probe.id), refetchInterval: 15_000 });
  const events = useQuery({ ...probeEventsQuery(probe.id), refetchInterval: 30_000 });
  const discovery = useQuery({ ...discoveryQuery(probe.site_id), refetchInterval: 10_000 });
  const [dialog, setDialog] = useState<'rename' | 'revoke' | null>(null);
  const [echo, setEcho] = useState<{ busy: boolean; text: string | null }>({ busy: false, text: null });
  const revoked = probe.state === 'revoked';
  const shape = probeShape(probe, now);
  const trouble = probeTrouble(probe, now);
  const silent = probe.last_heard_at === null ? null : ageSeconds(probe.last_heard_at, now);

  const sendEcho = () => {
    setEcho({ busy: true, text: null });
    echoProbe(client, probe.id).then(
      (ms) =>
        setEcho({ busy: false, text: `${milliseconds(ms).value} ${milliseconds(ms).unit} there and back` }),
      (error: unknown) => setEcho({ busy: false, text: say(error) }),
    );
  };
  const mine = discovery.data?.probes.filter((one) => one.probe_id === probe.id) ?? [];
  const cannotEcho = revoked
    ? 'The probe is revoked'
    : probe.connected
      ? undefined
      : 'Needs the probe, which is not connected';
  return (
    <SiteZone zone={zone}>
      <div className="view">
        <Crumb
          up={[
            <Link key="p" to="/probes">
              Probes
            </Link>,
          ]}
          here={<bdi>{probe.name}</bdi>}
          title={probe.name}
        />
        {!revoked && silent !== null && silent > PROBE_STALE_S && (
          <div className="notice old" role="status">
            <Glyph shape="unknown" size="lg" />
            <div className="grow">
              <b className="b">Not heard of for {durationExact(silent)}.</b>{' '}
              <span className="t2">
                It goes on measuring and keeps the data on its own disk
                {probe.spool.time_left_s !== null && ` for about ${duration(probe.spool.time_left_s)} more`}.
                Check that its machine is on and reaches Central by UDP and TCP; on it, run{' '}
                <span className="mono">farwatch-probe check</span>.
              </span>
            </div>
          </div>
        )}
        <Title
          glyph={<Glyph shape={probeGlyph(shape)} size="lg" label={PROBE_WORD[probe.state]} />}
          sub={
            trouble && trouble !== PROBE_WORD[probe.state].toLowerCase()
              ? `${PROBE_WORD[probe.state]} · ${trouble}`
              : PROBE_WORD[probe.state]
          }
          acts={
            <>
              {echo.text && (
                <span className="t2 small num" role="status">
                  {echo.text}
                </span>
              )}
              <button
                type="button"
                className="btn"
                disabled={cannotEcho !== undefined || echo.busy}
                title={cannotEcho ?? 'Asks the probe over the control stream and times the answer'}
                onClick={sendEcho}
              >
                <Icon of={Wifi} />
                {echo.busy ? 'Waiting…' : 'Echo'}
              </button>
              <Menu
                className="btn icon"
                label="More"
                button={<Icon of={Ellipsis} />}
                items={[
                  {
                    text: 'Rename…',
                    icon: <Icon of={Pencil} />,
                    disabled: mayNot,
                    onPick: () => setDialog('rename'),
                  },
                  {
                    text: 'Revoke probe…',
                    icon: <Icon of={Ban} />,
                    danger: true,
                    disabled: revoked ? 'It is revoked already' : mayNot,
                    onPick: () => setDialog('revoke'),
                  },
                ]}
              />
            </>
          }
        >
          <bdi>{probe.name}</bdi>
        </Title>
        <div className="dev">
          <div className="stack">
            <Identity probe={probe} zone={zone} />
          </div>
          <div className="stack">
            <LinkPanel probe={probe} zone={zone} />
            {probe.notices.length > 0 && (
              <Panel title="Notices" meta="from the probe itself">
                <table className="tbl">
                  <tbody>
                    {probe.notices.map((notice) => (
                      <tr key={`${notice.at} ${notice.text}`}>
                        <td className="max wrap">
                          <span className="row">
                            <Glyph
                              shape={notice.severity === 'cleared' ? 'up' : severityShape(notice.severity)}
                              label={notice.severity}
                            />
                            <bdi>{notice.text}</bdi>
                          </span>
                        </td>
                        <td className="r">
                          <Ago at={notice.at} />
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </Panel>
            )}
            {mine.length > 0 && (
              <Panel
                title="Discovery"
                side={
                  <Link
                    className="link"
                    to="/customers/$customerId/$siteId"
                    params={{ customerId: probe.customer_id, siteId: probe.site_id }}
                    search={{ tab: 'discovery' }}
                  >
                    Addresses, and why
                  </Link>
                }
              >
                {mine.map((one) => (
                  <div className="pad" key={one.probe_id}>
                    <Progress probe={one} />
                    <p className="t2 small">
                      {progressText(one)} · {count(one.answered)} answered, {count(one.identified)} identified
                    </p>
                  </div>
                ))}
              </Panel>
            )}
            <Panel title="Ledger" meta="what Central has of what this probe measured">
              <Loaded query={ledger} what="The ledger" rows={3}>
                {(data) => <LedgerTable ledger={data} zone={zone} />}
              </Loaded>
            </Panel>
            <Panel title="Events" meta="newest first">
              <Loaded query={events} what="Events" rows={4}>
                {({ items }) => <EventList events={items} named />}
              </Loaded>
            </Panel>
          </div>
        </div>
      </div>
      {dialog === 'rename' && <RenameDialog probe={probe} onClose={() => setDialog(null)} />}
      {dialog === 'revoke' && (
        <DangerDialog
          title={`Revoke ${probe.name}?`}
          name={probe.name}
          act={`Revoke ${probe.name}`}
          reason
          onClose={() => setDialog(null)}
          onAct={async (reason) => {
            await revokeProbe(client, probe.id, reason);
            toast(`${probe.name} is revoked`);
          }}
        >
          <p>
            Its connection ends within a second and it can never come back with this identity. The{' '}
            {plural(probe.devices, 'device')} it watches at {probe.site_name} become stale unless another
            probe watches them. What it has measured and not yet delivered ({spoolText(probe)}) is lost. What
            Central already has stays.
          </p>
          <p className="notice warn">
            <Glyph shape="warning" />
            <span>
              It is{' '}
              {new Intl.DateTimeFormat('en-GB', {
                timeZone: zone,
                hour: '2-digit',
                minute: '2-digit',
              }).format(now)}{' '}
              at this site.
            </span>
          </p>
        </DangerDialog>
      )}
    </SiteZone>
  );
}

function RenameDialog({ probe, onClose }: { probe: Probe; onClose: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState(probe.name);
  return (
    <FormDialog
      title={`Rename ${probe.name}`}
      act="Save name"
      ready={name.trim() !== ''}
      onClose={onClose}
      onAct={async () => {
        await renameProbe(client, probe.id, name.trim());
        toast('Name saved');
      }}
    >
      <TextField label="Name" value={name} onChange={setName} autoFocus />
    </FormDialog>
  );
}

function Identity({ probe, zone }: { probe: Probe; zone: string }) {
  return (
    <Panel title="Identity">
      <dl className="dl">
        <dt>Customer</dt>
        <dd>
          <Link className="link" to="/customers/$customerId" params={{ customerId: probe.customer_id }}>
            <bdi>{probe.customer_name}</bdi>
          </Link>
        </dd>
        <dt>Site</dt>
        <dd>
          <Link
            className="link"
            to="/customers/$customerId/$siteId"
            params={{ customerId: probe.customer_id, siteId: probe.site_id }}
          >
            <bdi>{probe.site_name}</bdi>
          </Link>
        </dd>
        <dt>Watches</dt>
        <dd>{plural(probe.devices, 'device')}</dd>
        <dt>Host</dt>
        <dd title={probe.host_name ?? undefined}>
          <bdi>{probe.host_name ?? '–'}</bdi>
        </dd>
        <dt>System</dt>
        <dd className="wraps">{probe.os ?? '–'}</dd>
        <dt>Version</dt>
        <dd>{versionText(probe) ?? '–'}</dd>
        <dt>Comes from</dt>
        <dd className="num">{probe.address ?? '–'}</dd>
        <dt>Link</dt>
        <dd>{linkText(probe)}</dd>
        <dt>Epoch</dt>
        <dd className="mono" title={probe.epoch}>
          {probe.epoch}
        </dd>
        <dt>Lease</dt>
        <dd className="num">{count(probe.lease)}</dd>
        <dt>Added</dt>
        <dd title={absolute(probe.created_at, zone)}>
          <Ago at={probe.created_at} />
        </dd>
        {probe.revoked_at && (
          <>
            <dt>Revoked</dt>
            <dd>
              <Ago at={probe.revoked_at} loud />
            </dd>
          </>
        )}
      </dl>
    </Panel>
  );
}

/** Everything between the probe and Central: heard, spool, clock, certificate, echo, anchors. */
function LinkPanel({ probe, zone }: { probe: Probe; zone: string }) {
  const silent = probe.state === 'silent';
  return (
    <Panel title="Link to Central">
      <dl className={silent ? 'dl wide old' : 'dl wide'}>
        <dt>Last heard</dt>
        <dd className="keep">
          <Ago at={probe.last_heard_at} loud />
        </dd>
        <dt>Connected</dt>
        <dd>
          {probe.connected && probe.connected_since ? (
            <>
              for <Since at={probe.connected_since} />
            </>
          ) : (
            'no'
          )}
        </dd>
        <dt>Spool</dt>
        <dd>
          <span className="dim">{spoolText(probe)}</span>{' '}
          {silent && <span className="age-tag">as last heard</span>}
        </dd>
        <dt>Behind</dt>
        <dd>
          {probe.backlog_behind_s === null && probe.spool.batches === 0 ? 'nothing' : behindText(probe)}
          {probe.spool.oldest_unacked_at && (
            <span className="t3">, oldest from {absolute(probe.spool.oldest_unacked_at, zone)}</span>
          )}
        </dd>
        <dt>Time left</dt>
        <dd>
          {probe.spool.time_left_s === null
            ? 'not known'
            : `about ${duration(probe.spool.time_left_s)} until its spool is full, if Central stays away`}
        </dd>
        <dt>Replay window</dt>
        <dd>{probe.spool.replay_window_s === null ? 'not known' : duration(probe.spool.replay_window_s)}</dd>
        <dt>Clock</dt>
        <dd>
          {probe.clock_offset_ms === null ? 'not known' : clockText(probe.clock_offset_ms)}
          {probe.clock_approximate && <span className="t3">, times are approximate</span>}
        </dd>
        <dt>Certificate</dt>
        <dd>
          {probe.certificate ? (
            <span className="row">
              <Certificate probe={probe} />
              <span className="t3">
                at {absolute(probe.certificate.not_after, zone)}; renews itself from{' '}
                {absolute(probe.certificate.renew_after, zone)}
              </span>
            </span>
          ) : (
            'none'
          )}
        </dd>
        <dt>Echo</dt>
        <dd>
          {probe.echo_ms ? (
            <span className="num">
              half within {milliseconds(probe.echo_ms.p50).value} ms, 99 of 100 within{' '}
              {milliseconds(probe.echo_ms.p99).value} ms,{' '}
              <span className="t3">
                last {milliseconds(probe.echo_ms.last).value} ms <Ago at={probe.echo_ms.at} />
              </span>
            </span>
          ) : (
            'not measured yet'
          )}
        </dd>
        <dt>Anchors</dt>
        <dd>
          {probe.anchors.checked === 0 ? (
            'none checked yet'
          ) : (
            <span className="row">
              <Glyph shape={probe.anchors.mismatched > 0 ? 'warning' : 'up'} />
              <span>
                {count(probe.anchors.checked)} checked,{' '}
                {probe.anchors.mismatched > 0
                  ? `${count(probe.anchors.mismatched)} did not match`
                  : 'all match'}
                {probe.anchors.last_checked_at && (
                  <span className="t3">
                    , last <Ago at={probe.anchors.last_checked_at} />
                  </span>
                )}
              </span>
            </span>
          )}
        </dd>
      </dl>
    </Panel>
  );
}

function clockText(offset_ms: number): string {
  const off = Math.abs(offset_ms);
  if (off < 50) return 'agrees with Central';
  const text = off < 1000 ? `${Math.round(off)} ms` : `${count(off / 1000, 1)} s`;
  return `${text} ${offset_ms > 0 ? 'ahead of' : 'behind'} Central`;
}

function LedgerTable({ ledger, zone }: { ledger: Ledger; zone: string }) {
  const dropped = ledger.lanes.flatMap((lane) => lane.dropped.map((one) => ({ lane: lane.lane, ...one })));
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: so that the keyboard can scroll it */}
      <div className="scroll-x" tabIndex={0}>
        <table className="tbl">
          <thead>
            <tr>
              <th>Epoch</th>
              <th>Lane</th>
              <th className="r">Complete up to</th>
              <th className="r">Above it</th>
              <th className="r">Batches</th>
              <th className="r">Samples</th>
              <th className="r">Undecoded</th>
              <th className="r">Set aside</th>
            </tr>
          </thead>
          <tbody>
            {ledger.lanes.map((lane) => (
              <tr key={`${lane.epoch} ${lane.lane}`}>
                <td className="mono t2">{lane.epoch}</td>
                <td>{lane.lane}</td>
                <td className="r">{count(lane.watermark)}</td>
                <td className="r t2">
                  {lane.ranges.length === 0 ? '–' : plural(lane.ranges.length, 'range')}
                </td>
                <td className="r">{count(lane.batches)}</td>
                <td className="r">{count(lane.samples)}</td>
                <td className={lane.undecoded > 0 ? 'r' : 'r t3'}>{count(lane.undecoded)}</td>
                <td className={lane.quarantined > 0 ? 'r' : 'r t3'}>{count(lane.quarantined)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {dropped.length > 0 && (
        <div className="pad">
          <p className="t2 small">Dropped by the probe, because its spool was full:</p>
          {dropped.slice(0, 10).map((one) => (
            <p className="small num" key={`${one.lane} ${one.from_seq}`}>
              {one.lane} {count(one.from_seq)}–{count(one.to_seq)}, {absolute(one.from, zone)} to{' '}
              {absolute(one.to, zone)}
            </p>
          ))}
        </div>
      )}
    </>
  );
}
