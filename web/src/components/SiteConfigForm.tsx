/** What the probes of a site may look at, with which credentials, how often. One revision is edited at a time. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { ArrowDown, ArrowUp, Plus, X } from 'lucide-react';
import { type FormEvent, useState } from 'react';
import { saveSiteConfig } from '../api/changes';
import { ApiError, say } from '../api/client';
import { credentialsQuery, readSiteConfig, siteConfigQuery } from '../api/queries';
import type { Credential, Id, SiteConfig, SiteConfigInput } from '../api/types';
import { addresses, isRange, splitList } from '../lib/cidr';
import { changedFields } from '../lib/conflict';
import { absolute, interval } from '../lib/time';
import { count, plural } from '../lib/units';
import { Loaded } from '../ui/Feedback';
import { TextField } from '../ui/Field';
import { Glyph } from '../ui/Glyph';
import { Icon } from '../ui/Icon';
import { Panel } from '../ui/Panel';
import { toast } from '../ui/toast';
import { CredentialDialog } from './CredentialDialog';
import { credentialAbout } from './credentialText';
import { useMayNot } from './session';
import { useZone } from './zone';

export function SiteConfigPanel({ siteId, customerId }: { siteId: Id; customerId: Id }) {
  const config = useQuery({ ...siteConfigQuery(siteId), refetchOnMount: 'always' });
  return (
    <Loaded query={config} what="The site's configuration" rows={8}>
      {(data) => <SiteConfigForm key={siteId} config={data} customerId={customerId} />}
    </Loaded>
  );
}

export function inputOf(config: SiteConfig): SiteConfigInput {
  const { site_id: _site, updated_at: _at, updated_by: _by, ...input } = config;
  return input;
}

const INTERVALS = [
  ['icmp_interval_s', 'Ping every', 1, 3600],
  ['poll_interval_s', 'Read counters every', 10, 86_400],
  ['inventory_interval_s', 'Read inventory every', 60, 604_800],
  ['discovery_interval_s', 'Look for devices every', 60, 604_800],
] as const;

const FIELD_WORD: Record<string, string> = {
  ranges: 'ranges',
  exclude: 'exceptions',
  credential_ids: 'credentials',
  snmp_ports: 'SNMP ports',
  allow_loopback: 'loopback',
  icmp_interval_s: 'ping interval',
  poll_interval_s: 'counter interval',
  inventory_interval_s: 'inventory interval',
  discovery_interval_s: 'discovery interval',
  icmp_rate_per_s: 'ping rate',
};

function SiteConfigForm({ config, customerId }: { config: SiteConfig; customerId: Id }) {
  const client = useQueryClient();
  const zone = useZone();
  const mayNot = useMayNot('configureSite');
  // What is edited is based on one revision; a newer one on the server does not overwrite what is being typed.
  const [base, setBase] = useState(config);
  const [ranges, setRanges] = useState(config.ranges.join('\n'));
  const [exclude, setExclude] = useState(config.exclude.join('\n'));
  const [ports, setPorts] = useState(config.snmp_ports.join(', '));
  const [picked, setPicked] = useState(config.credential_ids);
  const [loopback, setLoopback] = useState(config.allow_loopback);
  const [numbers, setNumbers] = useState<Record<string, string>>(numbersOf(config));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [theirs, setTheirs] = useState<SiteConfig | null>(null);
  const [adding, setAdding] = useState(false);

  const load = (from: SiteConfig) => {
    setBase(from);
    setRanges(from.ranges.join('\n'));
    setExclude(from.exclude.join('\n'));
    setPorts(from.snmp_ports.join(', '));
    setPicked(from.credential_ids);
    setLoopback(from.allow_loopback);
    setNumbers(numbersOf(from));
    setTheirs(null);
    setError(null);
  };
  const rangeList = splitList(ranges);
  const excludeList = splitList(exclude);
  const portList = splitList(ports);
  const badRange = rangeList.find((range) => !isRange(range));
  const badExclude = excludeList.find((range) => !isRange(range));
  const badPort = portList.find((port) => !/^\d+$/.test(port) || Number(port) < 1 || Number(port) > 65_535);
  const badNumber = (name: string, least: number, most: number) => {
    const text = numbers[name] ?? '';
    return /^\d+$/.test(text) && Number(text) >= least && Number(text) <= most
      ? undefined
      : `A whole number from ${count(least)} to ${count(most)}.`;
  };
  const anyBad =
    badRange !== undefined ||
    badExclude !== undefined ||
    badPort !== undefined ||
    badNumber('icmp_rate_per_s', 1, 10_000) !== undefined ||
    INTERVALS.some(([name, , least, most]) => badNumber(name, least, most) !== undefined);

  const edited: SiteConfigInput = {
    ...inputOf(base),
    ranges: rangeList,
    exclude: excludeList,
    snmp_ports: portList.map(Number),
    credential_ids: picked,
    allow_loopback: loopback,
    icmp_interval_s: Number(numbers.icmp_interval_s),
    poll_interval_s: Number(numbers.poll_interval_s),
    inventory_interval_s: Number(numbers.inventory_interval_s),
    discovery_interval_s: Number(numbers.discovery_interval_s),
    icmp_rate_per_s: Number(numbers.icmp_rate_per_s),
  };
  const dirty = changedFields(inputOf(base), edited).length > 0;

  const save = async (revision: number) => {
    setBusy(true);
    setError(null);
    try {
      const saved = await saveSiteConfig(client, base.site_id, { ...edited, revision });
      load(saved);
      toast('Saved; the probes take it at once');
    } catch (cause) {
      if (cause instanceof ApiError && cause.status === 409) {
        setTheirs(await readSiteConfig(base.site_id));
      } else {
        setError(cause);
      }
    } finally {
      setBusy(false);
    }
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!anyBad) save(base.revision).catch(setError);
  };
  const credentials = useQuery(credentialsQuery(customerId)).data?.items ?? [];
  return (
    <>
      <form onSubmit={submit} className="stack" noValidate>
        {theirs && (
          <div className="notice warn" role="alert">
            <Glyph shape="warning" size="lg" />
            <span className="grow">
              <b className="b">Somebody else saved this site meanwhile.</b>{' '}
              <span className="t2">
                {theirs.updated_by} changed{' '}
                {changedFields(inputOf(base), inputOf(theirs))
                  .map((field) => FIELD_WORD[field] ?? field)
                  .join(', ') || 'nothing you see'}{' '}
                at {absolute(theirs.updated_at, zone)}.
              </span>
            </span>
            <button type="button" className="btn" onClick={() => load(theirs)}>
              Take theirs
            </button>
            <button
              type="button"
              className="btn"
              onClick={() => {
                setBase({ ...base, revision: theirs.revision });
                setTheirs(null);
                save(theirs.revision).catch(setError);
              }}
            >
              Save mine over it
            </button>
          </div>
        )}
        <Panel title="What the probes look at">
          <div className="pad fields two">
            <TextField
              label="Ranges"
              mono
              rows={4}
              value={ranges}
              onChange={setRanges}
              placeholder="10.20.0.0/20"
              disabled={mayNot !== undefined}
              wrong={badRange ? `${badRange} is not an address or a network like 10.20.0.0/20.` : undefined}
              help={
                rangeList.length === 0
                  ? 'Empty: the subnets the probe stands in.'
                  : `${plural(addresses(rangeList), 'address', 'addresses')}`
              }
            />
            <TextField
              label="Except"
              mono
              rows={4}
              value={exclude}
              onChange={setExclude}
              disabled={mayNot !== undefined}
              wrong={badExclude ? `${badExclude} is not an address or a network.` : undefined}
              help="Addresses and networks that are never asked."
            />
            <TextField
              label="SNMP ports"
              value={ports}
              onChange={setPorts}
              disabled={mayNot !== undefined}
              wrong={badPort ? `${badPort} is not a port.` : undefined}
              help="Usually 161 alone."
            />
            <label className="check tall">
              <input
                type="checkbox"
                checked={loopback}
                disabled={mayNot !== undefined}
                onChange={(event) => setLoopback(event.target.checked)}
              />
              <span>
                Loopback addresses too
                <small className="t2" style={{ display: 'block' }}>
                  For trying out with pretend devices on the probe's own machine.
                </small>
              </span>
            </label>
          </div>
        </Panel>
        <Panel title="SNMP credentials" meta="tried in this order; v3 always comes first">
          <CredentialPicker
            all={credentials}
            picked={picked}
            onPick={setPicked}
            disabled={mayNot !== undefined}
            onAdd={() => setAdding(true)}
          />
        </Panel>
        <Panel title="How often" meta="in seconds">
          <div className="pad fields three">
            {INTERVALS.map(([name, label, least, most]) => (
              <TextField
                key={name}
                label={label}
                value={numbers[name] ?? ''}
                onChange={(value) => setNumbers({ ...numbers, [name]: value })}
                disabled={mayNot !== undefined}
                wrong={badNumber(name, least, most)}
                help={/^\d+$/.test(numbers[name] ?? '') ? interval(Number(numbers[name])) : undefined}
              />
            ))}
            <TextField
              label="Pings per second, at most"
              value={numbers.icmp_rate_per_s ?? ''}
              onChange={(value) => setNumbers({ ...numbers, icmp_rate_per_s: value })}
              disabled={mayNot !== undefined}
              wrong={badNumber('icmp_rate_per_s', 1, 10_000)}
              help="Keeps the search gentle."
            />
          </div>
        </Panel>
        {error !== null && (
          <p className="notice crit" role="alert">
            <Glyph shape="critical" />
            <span>{say(error)}</span>
          </p>
        )}
        <div className="row end">
          <span className="t3 small grow">
            Revision {base.revision}, saved by {base.updated_by} at {absolute(base.updated_at, zone)}
          </span>
          {dirty && (
            <button type="button" className="btn ghost lg" onClick={() => load(base)}>
              Undo my changes
            </button>
          )}
          <button
            type="submit"
            className="btn pri lg"
            disabled={busy || anyBad || !dirty || mayNot !== undefined}
            title={mayNot ?? (dirty ? undefined : 'Nothing was changed')}
          >
            Save site configuration
          </button>
        </div>
      </form>
      {adding && (
        <CredentialDialog
          customerId={customerId}
          onClose={() => setAdding(false)}
          onMade={(credential) => setPicked([...picked, credential.id])}
        />
      )}
    </>
  );
}

function numbersOf(config: SiteConfig): Record<string, string> {
  return {
    icmp_interval_s: String(config.icmp_interval_s),
    poll_interval_s: String(config.poll_interval_s),
    inventory_interval_s: String(config.inventory_interval_s),
    discovery_interval_s: String(config.discovery_interval_s),
    icmp_rate_per_s: String(config.icmp_rate_per_s),
  };
}

interface PickerProps {
  all: readonly Credential[];
  picked: readonly Id[];
  onPick: (ids: Id[]) => void;
  onAdd: () => void;
  disabled?: boolean;
}

/** The credentials that are tried, in their order, and those that could be. */
export function CredentialPicker({ all, picked, onPick, onAdd, disabled = false }: PickerProps) {
  const chosen = picked.map((id) => ({ id, credential: all.find((one) => one.id === id) }));
  const others = all.filter((one) => !picked.includes(one.id));
  const move = (i: number, by: number) => {
    const next = [...picked];
    const [id] = next.splice(i, 1);
    if (id !== undefined) next.splice(i + by, 0, id);
    onPick(next);
  };
  return (
    <div className="pad stack">
      {chosen.length === 0 && <p className="t2">No credential yet: devices are pinged, SNMP is not tried.</p>}
      {chosen.length > 0 && (
        <ol>
          {chosen.map(({ id, credential }, i) => (
            <li className="row check" key={id}>
              <span className="t3 num">{i + 1}.</span>
              <bdi className="b">{credential?.name ?? 'a credential you may not see'}</bdi>
              <span className="t2 small ell">{credential && credentialAbout(credential)}</span>
              {credential?.weak && <span className="tag warn">weak</span>}
              <span className="grow" />
              <button
                type="button"
                className="btn ghost icon"
                aria-label={`Try ${credential?.name ?? 'it'} earlier`}
                disabled={disabled || i === 0}
                onClick={() => move(i, -1)}
              >
                <Icon of={ArrowUp} small />
              </button>
              <button
                type="button"
                className="btn ghost icon"
                aria-label={`Try ${credential?.name ?? 'it'} later`}
                disabled={disabled || i === chosen.length - 1}
                onClick={() => move(i, 1)}
              >
                <Icon of={ArrowDown} small />
              </button>
              <button
                type="button"
                className="btn ghost icon"
                aria-label={`Do not try ${credential?.name ?? 'it'}`}
                disabled={disabled}
                onClick={() => onPick(picked.filter((one) => one !== id))}
              >
                <Icon of={X} small />
              </button>
            </li>
          ))}
        </ol>
      )}
      <div className="row wrap">
        {others.map((credential) => (
          <button
            key={credential.id}
            type="button"
            className="chip"
            disabled={disabled}
            onClick={() => onPick([...picked, credential.id])}
          >
            <Icon of={Plus} small />
            <bdi>{credential.name}</bdi>
          </button>
        ))}
        <button type="button" className="btn" disabled={disabled} onClick={onAdd}>
          <Icon of={Plus} />
          New credential…
        </button>
      </div>
    </div>
  );
}
