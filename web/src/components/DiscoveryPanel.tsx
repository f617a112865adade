/** How far the search for devices is, and for each address why it is not (wholly) a device. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Plus, Radar } from 'lucide-react';
import { useDeferredValue, useState } from 'react';
import { addAddress, startDiscovery } from '../api/changes';
import { say } from '../api/client';
import { addressesQuery, discoveryQuery, type Only } from '../api/queries';
import type { DiscoveredAddress, DiscoveryProbe, Id } from '../api/types';
import { isRange } from '../lib/cidr';
import { byAddress } from '../lib/natural';
import { count, plural } from '../lib/units';
import { FormDialog } from '../ui/Dialog';
import { Empty, Loaded } from '../ui/Feedback';
import { TextField } from '../ui/Field';
import { Glyph } from '../ui/Glyph';
import { Icon } from '../ui/Icon';
import { Panel } from '../ui/Panel';
import { toast } from '../ui/toast';
import { Ago } from './Age';
import { useMayNot } from './session';

interface Props {
  siteId: Id;
  only: Only | undefined;
  q: string;
  onSearch: (change: { only?: Only | undefined; q?: string | undefined }) => void;
}

export function DiscoveryPanel({ siteId, only, q, onSearch }: Props) {
  const client = useQueryClient();
  const mayNot = useMayNot('configureSite');
  const [adding, setAdding] = useState(false);
  const discovery = useQuery({ ...discoveryQuery(siteId), refetchInterval: 5000 });
  const asked = useDeferredValue(q);
  const found = useQuery({ ...addressesQuery(siteId, asked, only), placeholderData: (before) => before });
  const start = () => {
    startDiscovery(client, siteId).then(
      () => toast('Discovery was asked for'),
      (error: unknown) => toast(say(error)),
    );
  };
  return (
    <div className="stack">
      <Panel
        title="Progress"
        side={
          <span className="row push">
            <button
              type="button"
              className="btn"
              disabled={mayNot !== undefined}
              title={mayNot}
              onClick={() => setAdding(true)}
            >
              <Icon of={Plus} />
              Add one address…
            </button>
            <button
              type="button"
              className="btn"
              disabled={mayNot !== undefined}
              title={mayNot}
              onClick={start}
            >
              <Icon of={Radar} />
              Discover now
            </button>
          </span>
        }
      >
        <Loaded query={discovery} what="Discovery" rows={2}>
          {({ probes }) =>
            probes.length === 0 ? (
              <Empty
                title="Nothing is watching this site yet"
                acts={
                  <Link to="/probes/new" search={{ site: siteId }} className="btn pri">
                    Add probe
                  </Link>
                }
              >
                Discovery is done by a probe at the site.
              </Empty>
            ) : (
              <table className="tbl">
                <thead>
                  <tr>
                    <th>Probe</th>
                    <th>Now</th>
                    <th style={{ width: '30%' }}>Asked</th>
                    <th className="r">Answered</th>
                    <th className="r">Identified</th>
                    <th className="r">Last finished</th>
                  </tr>
                </thead>
                <tbody>
                  {probes.map((probe) => (
                    <tr key={probe.probe_id}>
                      <td className="b">
                        <bdi>{probe.probe_name}</bdi>
                      </td>
                      <td className="t2">{progressText(probe)}</td>
                      <td>
                        <Progress probe={probe} />
                      </td>
                      <td className="r">{count(probe.answered)}</td>
                      <td className="r">{count(probe.identified)}</td>
                      <td className="r">
                        <Ago at={probe.finished_at} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )
          }
        </Loaded>
      </Panel>
      <Panel
        title="Addresses"
        meta={found.data && `${plural(found.data.total, 'address', 'addresses')}, and why`}
      >
        <div className="toolbar">
          <input
            className="input flt"
            type="search"
            data-filter
            aria-label="Find an address"
            placeholder="Find an address"
            value={q}
            onChange={(event) => onSearch({ only, q: event.target.value || undefined })}
          />
          <fieldset className="chips">
            <legend className="sr">Show only</legend>
            {(
              [
                ['no_snmp', 'No SNMP'],
                ['not_a_device', 'Not a device'],
              ] as const
            ).map(([value, text]) => (
              <button
                key={value}
                type="button"
                className="chip"
                aria-pressed={only === value}
                onClick={() => onSearch({ q: q || undefined, only: only === value ? undefined : value })}
              >
                {text}
              </button>
            ))}
          </fieldset>
        </div>
        <Loaded query={found} what="Addresses" rows={8}>
          {({ items }) =>
            items.length === 0 ? (
              <Empty title={q || only ? 'No address matches' : 'No address has answered yet'} />
            ) : (
              <div className="scroll-x">
                <table className="tbl">
                  <thead>
                    <tr>
                      <th>Address</th>
                      <th>Ping</th>
                      <th>SNMP</th>
                      <th>Why</th>
                      <th>Last try per credential</th>
                      <th className="r">Last seen</th>
                    </tr>
                  </thead>
                  <tbody>
                    {[...items]
                      .sort((a, b) => byAddress(a.address, b.address))
                      .map((address) => (
                        <AddressRow key={`${address.probe_id} ${address.address}`} address={address} />
                      ))}
                  </tbody>
                </table>
              </div>
            )
          }
        </Loaded>
      </Panel>
      {adding && <AddAddressDialog siteId={siteId} onClose={() => setAdding(false)} />}
    </div>
  );
}

export function progressText(probe: DiscoveryProbe): string {
  if (probe.state === 'sweeping') return `asking ${probe.range ?? 'its ranges'}`;
  if (probe.state === 'identifying') return 'finding out what answered';
  return 'waiting for the next round';
}

export function Progress({ probe }: { probe: DiscoveryProbe }) {
  const share = probe.to_sweep > 0 ? Math.min(1, probe.swept / probe.to_sweep) : 0;
  // What is over needs no bar that shines.
  if (probe.state === 'idle') {
    return <span className="num t2 small">{plural(probe.to_sweep, 'address', 'addresses')}</span>;
  }
  return (
    <div className="row">
      <div
        className="bar grow"
        role="progressbar"
        aria-label="Addresses asked"
        aria-valuemin={0}
        aria-valuemax={probe.to_sweep}
        aria-valuenow={probe.swept}
      >
        <i style={{ width: `${share * 100}%` }} />
      </div>
      <span className="num t2 small">
        {count(probe.swept)} of {count(probe.to_sweep)}
      </span>
    </div>
  );
}

const ICMP: Record<string, string> = { answered: 'answers', silent: 'silent', not_judged: 'not judged' };
const SNMP: Record<string, string> = {
  answered: 'answers',
  no_answer: 'no answer',
  not_tried: 'not tried',
  refused: 'refused',
};

function AddressRow({ address }: { address: DiscoveredAddress }) {
  return (
    <tr>
      <td className="b num">
        {address.device_id ? (
          <Link to="/devices/$deviceId" params={{ deviceId: address.device_id }}>
            {address.address}
          </Link>
        ) : (
          address.address
        )}
      </td>
      <td className={address.icmp === 'answered' ? '' : 't2'}>{ICMP[address.icmp] ?? address.icmp}</td>
      <td>
        <span className="row">
          <Glyph
            shape={address.snmp === 'answered' ? 'up' : address.snmp === 'refused' ? 'warning' : 'notice'}
          />
          {SNMP[address.snmp] ?? address.snmp}
        </span>
      </td>
      <td className="t2 wrap" style={{ minWidth: 200 }}>
        {address.reason}
      </td>
      <td className="t2 wrap small">
        {address.attempts.map((attempt) => (
          <div key={`${attempt.credential_name} ${attempt.port}`}>
            <bdi className="b">{attempt.credential_name}</bdi>
            {attempt.port !== 161 && ` port ${attempt.port}`}: {attempt.outcome}
          </div>
        ))}
      </td>
      <td className="r">
        <Ago at={address.last_seen_at} />
      </td>
    </tr>
  );
}

function AddAddressDialog({ siteId, onClose }: { siteId: Id; onClose: () => void }) {
  const client = useQueryClient();
  const [address, setAddress] = useState('');
  const [port, setPort] = useState('');
  const bad = address.trim() !== '' && (!isRange(address.trim()) || address.includes('/'));
  const badPort = port !== '' && !(/^\d+$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535);
  return (
    <FormDialog
      title="Add one address"
      act="Add address"
      ready={address.trim() !== '' && !bad && !badPort}
      onClose={onClose}
      onAct={async () => {
        await addAddress(client, {
          site_id: siteId,
          address: address.trim(),
          ...(port ? { snmp_port: Number(port) } : {}),
        });
        toast(`The probe was asked to look at ${address.trim()}`);
      }}
    >
      <p className="t2">The probe looks at it at once, also when it lies outside the ranges.</p>
      <TextField
        label="Address"
        mono
        value={address}
        onChange={setAddress}
        autoFocus
        wrong={bad ? 'This is not one IPv4 or IPv6 address.' : undefined}
      />
      <TextField
        label="SNMP port"
        value={port}
        onChange={setPort}
        placeholder="161"
        wrong={badPort ? 'A port is a number from 1 to 65535.' : undefined}
      />
    </FormDialog>
  );
}
