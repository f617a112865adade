import { useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Check, Circle, Clock, LifeBuoy, Plus, X } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import { createJoinToken, saveSiteConfig } from '../api/changes';
import { ApiError, say } from '../api/client';
import { useNow } from '../api/clock';
import {
  credentialsQuery,
  customersQuery,
  devicesQuery,
  discoveryQuery,
  joinTokenQuery,
  probeQuery,
  siteConfigQuery,
  sitesQuery,
} from '../api/queries';
import type { Id, JoinToken, JoinTokenCreated, SiteConfig } from '../api/types';
import { CredentialDialog } from '../components/CredentialDialog';
import { Progress } from '../components/DiscoveryPanel';
import { CustomerDialog, SiteDialog } from '../components/PlaceDialogs';
import { CredentialPicker, inputOf } from '../components/SiteConfigForm';
import { StateGlyph } from '../components/StateText';
import { useMayNot } from '../components/session';
import { useZone } from '../components/zone';
import { addresses, isRange, splitList } from '../lib/cidr';
import { natural } from '../lib/natural';
import { clockSeconds, durationExact } from '../lib/time';
import { count, plural } from '../lib/units';
import { cutCommand, type StepState, watchSteps } from '../lib/wizard';
import { CopyButton } from '../ui/CopyButton';
import { Crumb } from '../ui/Crumb';
import { Loaded } from '../ui/Feedback';
import { SelectField, TextField } from '../ui/Field';
import { Glyph } from '../ui/Glyph';
import { Icon } from '../ui/Icon';
import { Panel, Title } from '../ui/Panel';

const route = getRouteApi('/app/probes/new');

/** Where, what it may look at, one command, and watching it come up. */
export function ProbeNewPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const mayNot = useMayNot('enrol');
  const customers = useQuery(customersQuery);
  const sites = useQuery(sitesQuery());
  const [name, setName] = useState('');
  const [made, setMade] = useState<{ token: JoinTokenCreated; at: number } | null>(null);
  const [dialog, setDialog] = useState<'customer' | 'site' | null>(null);

  const all = [...(sites.data?.items ?? [])].sort((a, b) => natural(a.name, b.name));
  const bySite = all.find((site) => site.id === search.site);
  const customerId =
    bySite?.customer_id ??
    search.customer ??
    (customers.data?.items.length === 1 ? customers.data.items[0]?.id : undefined);
  const own = all.filter((site) => site.customer_id === customerId);
  const site = bySite ?? (own.length === 1 ? own[0] : undefined);
  const customer = customers.data?.items.find((one) => one.id === customerId);
  const go = (next: { customer?: string | undefined; site?: string | undefined }) => {
    setMade(null);
    void navigate({ search: (before) => ({ scope: before.scope, ...next }), replace: true });
  };
  return (
    <div className="view">
      <Crumb
        up={[
          <Link key="p" to="/probes">
            Probes
          </Link>,
        ]}
        here="Add probe"
        title="Add probe"
      />
      <Title>{site && customer ? `Add a probe at ${customer.name} / ${site.name}` : 'Add a probe'}</Title>
      {mayNot && (
        <p className="notice warn">
          <Glyph shape="warning" />
          <span>
            <b className="b">You may look, not touch.</b> {mayNot}.
          </span>
        </p>
      )}
      <div className="wiz">
        <div className="stack">
          <Panel title="1. Where it goes">
            <div className="pad fields three">
              <div>
                <SelectField
                  label="Customer"
                  value={customerId ?? ''}
                  onChange={(id) => (id === '+' ? setDialog('customer') : go({ customer: id || undefined }))}
                  options={[
                    { value: '', text: customers.data ? 'Choose…' : 'Loading…' },
                    ...[...(customers.data?.items ?? [])]
                      .sort((a, b) => natural(a.name, b.name))
                      .map((one) => ({ value: one.id, text: one.name })),
                    { value: '+', text: 'New customer…' },
                  ]}
                />
              </div>
              <SelectField
                label="Site"
                value={site?.id ?? ''}
                disabled={!customerId}
                onChange={(id) =>
                  id === '+' ? setDialog('site') : go({ customer: customerId, site: id || undefined })
                }
                options={[
                  { value: '', text: customerId ? 'Choose…' : 'Customer first' },
                  ...own.map((one) => ({ value: one.id, text: one.name })),
                  { value: '+', text: 'New site…' },
                ]}
              />
              <TextField
                label={
                  <>
                    Probe name <span className="t3">optional</span>
                  </>
                }
                value={name}
                onChange={setName}
                placeholder="its machine's name"
                disabled={made !== null}
              />
            </div>
          </Panel>
          {site && <MayScan key={site.id} siteId={site.id} customerId={site.customer_id} />}
          {site && (
            <CommandPanel
              siteId={site.id}
              name={name}
              made={made?.token ?? null}
              mayNot={mayNot}
              onMade={(token, at) => setMade({ token, at })}
            />
          )}
        </div>
        <WatchPanel made={made} customerId={customerId} siteId={site?.id} />
      </div>
      {dialog === 'customer' && <CustomerDialog onClose={() => setDialog(null)} />}
      {dialog === 'site' && customerId && (
        <SiteDialog customerId={customerId} onClose={() => setDialog(null)} />
      )}
    </div>
  );
}

function MayScan({ siteId, customerId }: { siteId: Id; customerId: Id }) {
  const config = useQuery({ ...siteConfigQuery(siteId), refetchOnMount: 'always' });
  return (
    <Panel title="2. What it may look at" meta="can be changed later">
      <Loaded query={config} what="The site's configuration" rows={4}>
        {(data) => <ScanForm key={data.revision} config={data} customerId={customerId} />}
      </Loaded>
    </Panel>
  );
}

function ScanForm({ config, customerId }: { config: SiteConfig; customerId: Id }) {
  const client = useQueryClient();
  const credentials = useQuery(credentialsQuery(customerId)).data?.items ?? [];
  const mayNot = useMayNot('configureSite');
  const [ranges, setRanges] = useState(config.ranges.join(', '));
  const [picked, setPicked] = useState(config.credential_ids);
  const [loopback, setLoopback] = useState(config.allow_loopback);
  const [ports, setPorts] = useState(config.snmp_ports.join(', '));
  const [adding, setAdding] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const list = splitList(ranges);
  const bad = list.find((range) => !isRange(range));
  const portList = splitList(ports).map(Number);
  const badPort = portList.some((port) => !Number.isInteger(port) || port < 1 || port > 65_535);
  const dirty =
    list.join() !== config.ranges.join() ||
    picked.join() !== config.credential_ids.join() ||
    loopback !== config.allow_loopback ||
    portList.join() !== config.snmp_ports.join();

  const save = async (credential_ids: Id[]) => {
    setBusy(true);
    setError(null);
    try {
      await saveSiteConfig(client, config.site_id, {
        ...inputOf(config),
        ranges: list,
        credential_ids,
        allow_loopback: loopback,
        snmp_ports: portList,
      });
    } catch (cause) {
      if (cause instanceof ApiError && cause.status === 409) {
        setError('Somebody else saved this site meanwhile. Their version is shown now; put yours in again.');
        await client.invalidateQueries({ queryKey: ['site-config', config.site_id] });
      } else {
        setError(say(cause));
      }
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <div className="pad fields two">
        <TextField
          label="Subnets"
          mono
          value={ranges}
          onChange={setRanges}
          placeholder="10.23.0.0/22, 10.23.8.0/24"
          disabled={mayNot !== undefined}
          wrong={bad ? `${bad} is not an address or a network like 10.23.0.0/22.` : undefined}
          help={
            list.length === 0
              ? 'Empty: the subnets the probe stands in.'
              : plural(addresses(list), 'address', 'addresses')
          }
        />
        <TextField
          label="SNMP ports"
          value={ports}
          onChange={setPorts}
          disabled={mayNot !== undefined}
          wrong={badPort ? 'Ports are numbers from 1 to 65535.' : undefined}
          help="Usually 161 alone."
        />
      </div>
      <h3 className="grp">
        <span>SNMP credentials, tried in this order. No other is tried.</span>
      </h3>
      <CredentialPicker
        all={credentials}
        picked={picked}
        onPick={setPicked}
        disabled={mayNot !== undefined}
        onAdd={() => setAdding(true)}
      />
      <div className="form-foot">
        <label className="check grow">
          <input
            type="checkbox"
            checked={loopback}
            disabled={mayNot !== undefined}
            onChange={(event) => setLoopback(event.target.checked)}
          />
          <span className="t2">Loopback addresses too, for pretend devices</span>
        </label>
        {error && (
          <span className="wrong" role="alert">
            <Glyph shape="critical" />
            {error}
          </span>
        )}
        <button
          type="button"
          className="btn"
          disabled={!dirty || busy || bad !== undefined || badPort || mayNot !== undefined}
          title={mayNot ?? (dirty ? undefined : 'It is saved')}
          onClick={() => void save(picked)}
        >
          {dirty ? 'Save' : 'Saved'}
        </button>
      </div>
      {adding && (
        <CredentialDialog
          customerId={customerId}
          onClose={() => setAdding(false)}
          onMade={(credential) => {
            const next = [...picked, credential.id];
            setPicked(next);
            if (!bad && !badPort) void save(next);
          }}
        />
      )}
    </>
  );
}

interface CommandProps {
  siteId: Id;
  name: string;
  made: JoinTokenCreated | null;
  mayNot: string | undefined;
  onMade: (token: JoinTokenCreated, at: number) => void;
}

function CommandPanel({ siteId, name, made, mayNot, onMade }: CommandProps) {
  const client = useQueryClient();
  const now = useNow();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const make = () => {
    setBusy(true);
    setError(null);
    createJoinToken(client, { site_id: siteId, ...(name.trim() ? { probe_name: name.trim() } : {}) })
      .then(
        (token) => onMade(token, now),
        (cause: unknown) => setError(say(cause)),
      )
      .finally(() => setBusy(false));
  };
  const [before, token, after] = made ? cutCommand(made.command, made.token) : ['', '', ''];
  const left = made ? (Date.parse(made.expires_at) - now) / 1000 : 0;
  return (
    <Panel title="3. Run one command on the probe machine">
      <div className="pad stack">
        {made ? (
          <>
            <div className="cmd">
              <code className="grow">
                {before}
                <span className="tok">{token}</span>
                {after}
              </code>
              <CopyButton text={made.command} />
            </div>
            <p className="row wrap t2 small">
              <Icon of={Clock} small />
              {left > 0 ? (
                <span className="num">
                  Works once, for another {durationExact(left)}. It is not shown again.
                </span>
              ) : (
                <span>This token has run out.</span>
              )}
              <button type="button" className="link" disabled={busy} onClick={make}>
                New token
              </button>
            </p>
          </>
        ) : (
          <div className="row">
            <button
              type="button"
              className="btn pri"
              disabled={busy || mayNot !== undefined}
              title={mayNot}
              onClick={make}
            >
              <Icon of={Plus} />
              Make the command
            </button>
            <span className="t2 small">It holds a token that works once and runs out after 30 min.</span>
          </div>
        )}
        {error && (
          <p className="notice crit" role="alert">
            <Glyph shape="critical" />
            <span>{error}</span>
          </p>
        )}
        <p className="t2">
          The probe connects out to <span className="mono">{location.hostname}</span>. Nothing at the
          customer's site has to accept connections.{' '}
          <a className="link" href="/install.sh" target="_blank" rel="noreferrer">
            Read the script first
          </a>
        </p>
      </div>
    </Panel>
  );
}

interface WatchProps {
  made: { token: JoinTokenCreated; at: number } | null;
  customerId: Id | undefined;
  siteId: Id | undefined;
}

function WatchPanel({ made, customerId, siteId }: WatchProps) {
  const now = useNow();
  const zone = useZone();
  const query = useQuery({ ...joinTokenQuery(made?.token.id ?? ''), enabled: made !== null });
  const token = made ? query.data : undefined;
  const waited = made ? (now - made.at) / 1000 : 0;
  const steps = watchSteps(token, waited);
  const started = steps.connected !== 'pend';
  const discovery = useQuery({
    ...discoveryQuery(siteId ?? ''),
    enabled: made !== null && started && siteId !== undefined,
    refetchInterval: 2000,
  });
  const probe = useQuery({ ...probeQuery(token?.probe_id ?? ''), enabled: token?.probe_id != null }).data;
  const mine = discovery.data?.probes.find((one) => one.probe_id === token?.probe_id);
  const progress = token?.progress;
  const time = (at: string | null | undefined) => (at ? clockSeconds(at, zone) : null);
  return (
    <Panel
      title="4. Watch it come up"
      side={
        <span className="meta push">
          {!made
            ? ''
            : token?.used_at
              ? `${durationExact((now - Date.parse(token.used_at)) / 1000)} since the command ran`
              : 'nothing heard yet'}
        </span>
      }
    >
      <div className="pad">
        <ol className="prog" aria-live="polite">
          <Step state={made ? steps.waiting : 'pend'} name={waitingName(token)} time={time(token?.used_at)}>
            {steps.waiting === 'bad'
              ? 'Make a new one and run the command again.'
              : token?.state === 'used'
                ? probe?.address && `from ${probe.address}`
                : 'Run the command. This page follows along by itself; you may close it.'}
          </Step>
          <Step state={steps.connected} name="Connected" time={time(progress?.connected_at)}>
            {probe && steps.connected === 'done'
              ? [probe.name, probe.version && `version ${probe.version}`, probe.os, 'certificate issued']
                  .filter(Boolean)
                  .join(', ')
              : 'Usually 5 s after the command starts'}
          </Step>
          <Step
            state={steps.discovering}
            name={
              progress && progress.devices > 0
                ? `Discovering, ${plural(progress.devices, 'device')}`
                : 'Discovering devices'
            }
          >
            {mine ? (
              <>
                {count(mine.answered)} answered, {count(mine.identified)} identified
                <Progress probe={mine} />
              </>
            ) : (
              'It asks every address it may look at'
            )}
          </Step>
          <Step state={steps.values} name="First values" time={time(progress?.first_value_at)}>
            {steps.values === 'done'
              ? 'Charts have begun.'
              : 'Charts start as soon as two polls are in, about 1 min'}
          </Step>
        </ol>
        {progress?.last_failure && (
          <p className="notice crit" role="alert">
            <Glyph shape="critical" />
            <span>
              <b className="b">A probe with this token was refused.</b> {progress.last_failure}
            </span>
          </p>
        )}
        {made && steps.silent && (
          <div className="notice" role="status">
            <Icon of={LifeBuoy} />
            <div>
              <b className="b">Nothing after a minute?</b>
              <p className="t2">
                Check that the machine reaches <span className="mono">{location.hostname}</span> by UDP and by
                TCP on the probe port, and that its clock is right. The installer prints the reason it
                stopped; on the machine, <span className="mono">farwatch-probe check</span> names what does
                not work. A refused token shows here.
              </p>
            </div>
          </div>
        )}
      </div>
      {started && siteId && customerId && <Found siteId={siteId} customerId={customerId} />}
    </Panel>
  );
}

function waitingName(token: JoinToken | undefined): string {
  if (token?.state === 'used') return 'Token used';
  if (token?.state === 'expired') return 'The token ran out';
  if (token?.state === 'void') return 'The token was withdrawn';
  return 'Waiting for the probe';
}

function Step({
  state,
  name,
  time = null,
  children,
}: {
  state: StepState;
  name: string;
  time?: string | null;
  children: ReactNode;
}) {
  return (
    <li className={state} aria-current={state === 'now' ? 'step' : undefined}>
      <span className="mk">
        {state === 'now' ? (
          <span className="spin" />
        ) : (
          <Icon of={state === 'done' ? Check : state === 'bad' ? X : Circle} small />
        )}
      </span>
      <div>
        <b>{name}</b>
        {/* A bar may be inside, so not a paragraph. */}
        <div className="t2 small">{children}</div>
      </div>
      {time && <time>{time}</time>}
    </li>
  );
}

const FOUND_SHOWN = 8;

function Found({ siteId, customerId }: { siteId: Id; customerId: Id }) {
  const query = useQuery({ ...devicesQuery({ kind: 'site', id: siteId }), refetchInterval: 3000 });
  const items = query.data?.items ?? [];
  if (items.length === 0) return null;
  const newest = [...items].sort((a, b) => (a.state_since < b.state_since ? 1 : -1)).slice(0, FOUND_SHOWN);
  return (
    <>
      <table className="tbl">
        <thead>
          <tr>
            <th>Found</th>
            <th>Address</th>
            <th>Identified as</th>
            <th className="r">SNMP</th>
          </tr>
        </thead>
        <tbody>
          {newest.map((device) => (
            <tr key={device.id}>
              <td className="b">
                <Link className="row" to="/devices/$deviceId" params={{ deviceId: device.id }}>
                  <StateGlyph state={device.state} />
                  <bdi>{device.name}</bdi>
                </Link>
              </td>
              <td className="t2 num">{device.address}</td>
              <td className="t2 max">
                {[device.vendor, device.model].filter(Boolean).join(' ') || 'not known'}
              </td>
              <td className="r">
                {device.snmp === 'none' ? <span className="t2">ping only</span> : device.snmp}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <div className="vt-foot">
        <span>
          {count(newest.length)} of {count(items.length)} shown, newest on top
        </span>
        <Link className="btn push" to="/customers/$customerId/$siteId" params={{ customerId, siteId }}>
          Open site
        </Link>
      </div>
    </>
  );
}
