import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Ellipsis, Pencil, Plus, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { createChannel, deleteChannel, testChannel, updateChannel } from '../api/changes';
import { say } from '../api/client';
import { channelsQuery, customersQuery } from '../api/queries';
import type { Channel, ChannelInput, EmailSettings, Id } from '../api/types';
import { Ago } from '../components/Age';
import { useMayNot } from '../components/session';
import { natural } from '../lib/natural';
import { plural } from '../lib/units';
import { Crumb } from '../ui/Crumb';
import { DangerDialog, FormDialog } from '../ui/Dialog';
import { Empty, Loaded } from '../ui/Feedback';
import { SelectField, TextField } from '../ui/Field';
import { Glyph } from '../ui/Glyph';
import { Icon } from '../ui/Icon';
import { Menu } from '../ui/Menu';
import { Panel, Title } from '../ui/Panel';
import { toast } from '../ui/toast';

type Open = { what: 'new' } | { what: 'edit' | 'remove'; channel: Channel };

export function ChannelsPage() {
  const query = useQuery(channelsQuery);
  const mayNot = useMayNot('administer');
  const [open, setOpen] = useState<Open | null>(null);
  const items = query.data?.items ?? [];
  const failing = items.filter(
    (channel) => channel.enabled && channel.last_result?.state === 'failed',
  ).length;
  const add = (
    <button
      type="button"
      className="btn pri"
      disabled={mayNot !== undefined}
      title={mayNot}
      onClick={() => setOpen({ what: 'new' })}
    >
      <Icon of={Plus} />
      New channel
    </button>
  );
  const close = () => setOpen(null);
  return (
    <div className="view">
      <Crumb here="Channels" title="Channels" />
      <Title acts={add}>
        {!query.data
          ? 'Channels'
          : items.length === 0
            ? 'Nobody is told of incidents yet'
            : failing > 0
              ? `${plural(failing, 'channel')} could not deliver`
              : `Incidents go out by ${plural(items.filter((one) => one.enabled).length, 'channel')}`}
      </Title>
      <Panel label="Channels">
        <Loaded query={query} what="Channels" rows={4}>
          {() =>
            items.length === 0 ? (
              <Empty title="No channel yet" acts={add}>
                A channel sends incidents out, by e-mail or to a web address. Without one they are only seen
                here.
              </Empty>
            ) : (
              <div className="scroll-x">
                <table className="tbl">
                  <thead>
                    <tr>
                      <th>Channel</th>
                      <th>Kind</th>
                      <th>Goes to</th>
                      <th>For</th>
                      <th>Last delivery</th>
                      <th />
                    </tr>
                  </thead>
                  <tbody>
                    {[...items]
                      .sort((a, b) => natural(a.name, b.name))
                      .map((channel) => (
                        <Row
                          key={channel.id}
                          channel={channel}
                          mayNot={mayNot}
                          onOpen={(what) => setOpen({ what, channel })}
                        />
                      ))}
                  </tbody>
                </table>
              </div>
            )
          }
        </Loaded>
      </Panel>
      {open?.what === 'new' && <ChannelDialog onClose={close} />}
      {open?.what === 'edit' && <ChannelDialog channel={open.channel} onClose={close} />}
      {open?.what === 'remove' && <RemoveDialog channel={open.channel} onClose={close} />}
    </div>
  );
}

interface RowProps {
  channel: Channel;
  mayNot: string | undefined;
  onOpen: (what: 'edit' | 'remove') => void;
}

function Row({ channel, mayNot, onOpen }: RowProps) {
  const client = useQueryClient();
  const customers = useQuery(customersQuery).data?.items ?? [];
  const [busy, setBusy] = useState(false);
  const [result, setResult] = useState<{ good: boolean; text: string } | null>(null);
  const last = channel.last_result;
  const shape = !channel.enabled
    ? 'maintenance'
    : last?.state === 'failed'
      ? 'warning'
      : last
        ? 'up'
        : 'notice';
  const word = !channel.enabled
    ? 'switched off'
    : last?.state === 'failed'
      ? 'failing'
      : last
        ? 'delivers'
        : 'not used yet';
  const send = () => {
    setBusy(true);
    setResult(null);
    testChannel(client, channel.id)
      .then(
        (answer) =>
          setResult({
            good: answer.state === 'sent',
            text: answer.state === 'sent' ? 'The test was delivered' : (answer.detail ?? 'The test failed'),
          }),
        (error: unknown) => setResult({ good: false, text: say(error) }),
      )
      .finally(() => setBusy(false));
  };
  const toggle = () => {
    updateChannel(client, channel.id, { enabled: !channel.enabled }).then(
      () => toast(channel.enabled ? `${channel.name} is off` : `${channel.name} is on`),
      (error: unknown) => toast(say(error)),
    );
  };
  return (
    <tr>
      <td className="b">
        <span className="row">
          <Glyph shape={shape} label={word} />
          <bdi>{channel.name}</bdi>
          {!channel.enabled && <span className="t3">off</span>}
        </span>
      </td>
      <td className="t2">{channel.kind === 'email' ? 'E-mail' : 'Webhook'}</td>
      <td className="t2 max" title={goesTo(channel)}>
        {goesTo(channel)}
      </td>
      <td className="t2">
        {channel.customer_id === null
          ? 'all customers'
          : (customers.find((customer) => customer.id === channel.customer_id)?.name ?? 'one customer')}
      </td>
      <td className="wrap" style={{ minWidth: 280 }}>
        {result ? (
          <span className="row" role="status">
            <Glyph shape={result.good ? 'up' : 'critical'} />
            {result.text}
          </span>
        ) : last ? (
          <span>
            {last.state === 'failed' ? 'failed' : 'delivered'} <Ago at={last.at} />
            {last.detail && <span className="t2"> · {last.detail}</span>}
          </span>
        ) : (
          <span className="t3">never</span>
        )}
      </td>
      <td>
        <span className="row end">
          <button
            type="button"
            className="btn"
            disabled={busy || mayNot !== undefined}
            title={mayNot}
            onClick={send}
          >
            {busy ? 'Sending…' : 'Send test'}
          </button>
          <Menu
            className="btn ghost icon"
            label={`More for ${channel.name}`}
            button={<Icon of={Ellipsis} />}
            items={[
              { text: 'Edit…', icon: <Icon of={Pencil} />, disabled: mayNot, onPick: () => onOpen('edit') },
              { text: channel.enabled ? 'Switch off' : 'Switch on', disabled: mayNot, onPick: toggle },
              {
                text: 'Remove…',
                icon: <Icon of={Trash2} />,
                danger: true,
                disabled: mayNot,
                onPick: () => onOpen('remove'),
              },
            ]}
          />
        </span>
      </td>
    </tr>
  );
}

function goesTo(channel: Channel): string {
  return 'url' in channel.settings ? `POST ${channel.settings.url}` : channel.settings.to.join(', ');
}

function RemoveDialog({ channel, onClose }: { channel: Channel; onClose: () => void }) {
  const client = useQueryClient();
  return (
    <DangerDialog
      title={`Remove ${channel.name}?`}
      name={channel.name}
      act={`Remove ${channel.name}`}
      onClose={onClose}
      onAct={async () => {
        await deleteChannel(client, channel.id);
        toast(`${channel.name} was removed`);
      }}
    >
      <p>{goesTo(channel)} is no longer told of incidents.</p>
    </DangerDialog>
  );
}

const SECURITY: { value: EmailSettings['security']; text: string; port: string }[] = [
  { value: 'starttls', text: 'STARTTLS', port: '587' },
  { value: 'tls', text: 'TLS from the start', port: '465' },
  { value: 'none', text: 'None, in clear text', port: '25' },
];

function ChannelDialog({ channel, onClose }: { channel?: Channel; onClose: () => void }) {
  const client = useQueryClient();
  const customers = useQuery(customersQuery).data?.items ?? [];
  const email = channel && !('url' in channel.settings) ? channel.settings : null;
  const hook = channel && 'url' in channel.settings ? channel.settings : null;
  const [kind, setKind] = useState<'email' | 'webhook'>(channel?.kind ?? 'email');
  const [name, setName] = useState(channel?.name ?? '');
  const [customer, setCustomer] = useState<Id | ''>(channel?.customer_id ?? '');
  const [host, setHost] = useState(email?.host ?? '');
  const [port, setPort] = useState(String(email?.port ?? 587));
  const [security, setSecurity] = useState<EmailSettings['security']>(email?.security ?? 'starttls');
  const [user, setUser] = useState(email?.user_name ?? '');
  const [from, setFrom] = useState(email?.from ?? '');
  const [to, setTo] = useState(email?.to.join(', ') ?? '');
  const [url, setUrl] = useState(hook?.url ?? '');
  const [secret, setSecret] = useState('');
  const recipients = to.split(/[\s,;]+/).filter(Boolean);
  const badUrl = url !== '' && !/^https?:\/\/[^\s/]+/.test(url);
  const badPort = !/^\d+$/.test(port) || Number(port) < 1 || Number(port) > 65_535;
  const ready =
    name.trim() !== '' &&
    (kind === 'email'
      ? host.trim() !== '' &&
        !badPort &&
        from.includes('@') &&
        recipients.length > 0 &&
        recipients.every((one) => one.includes('@'))
      : url !== '' && !badUrl);
  const save = async () => {
    const common = {
      name: name.trim(),
      customer_id: customer || null,
      enabled: channel?.enabled ?? true,
      ...(secret ? { secret } : {}),
    };
    const input: ChannelInput =
      kind === 'email'
        ? {
            ...common,
            kind,
            settings: {
              host: host.trim(),
              port: Number(port),
              security,
              user_name: user.trim(),
              from: from.trim(),
              to: recipients,
            },
          }
        : { ...common, kind, settings: { url: url.trim() } };
    if (channel) await updateChannel(client, channel.id, input);
    else await createChannel(client, input);
    toast(channel ? 'Channel saved' : 'Channel added; send a test to see that it works');
  };
  return (
    <FormDialog
      title={channel ? `Edit ${channel.name}` : 'New channel'}
      act={channel ? 'Save channel' : 'Add channel'}
      ready={ready}
      wide
      onClose={onClose}
      onAct={save}
      hint="Secrets are sealed and never shown again."
    >
      <div className="fields three">
        <SelectField
          label="Kind"
          value={kind}
          onChange={setKind}
          disabled={channel !== undefined}
          options={[
            { value: 'email', text: 'E-mail (SMTP)' },
            { value: 'webhook', text: 'Webhook' },
          ]}
        />
        <TextField label="Name" value={name} onChange={setName} autoFocus placeholder="NOC e-mail" />
        <SelectField
          label="For"
          value={customer}
          onChange={setCustomer}
          options={[
            { value: '', text: 'All customers' },
            ...customers.map((one) => ({ value: one.id, text: one.name })),
          ]}
        />
      </div>
      {kind === 'email' ? (
        <>
          <div className="fields three">
            <TextField label="Mail server" value={host} onChange={setHost} placeholder="smtp.example.net" />
            <SelectField
              label="Security"
              value={security}
              onChange={(value) => {
                setSecurity(value);
                setPort(SECURITY.find((one) => one.value === value)?.port ?? port);
              }}
              options={SECURITY}
            />
            <TextField
              label="Port"
              value={port}
              onChange={setPort}
              wrong={badPort ? 'A port is a number from 1 to 65535.' : undefined}
            />
          </div>
          <div className="fields two">
            <TextField
              label={
                <>
                  User name <span className="t3">optional</span>
                </>
              }
              value={user}
              onChange={setUser}
              autoComplete="off"
            />
            <TextField
              label="Password"
              type="password"
              value={secret}
              onChange={setSecret}
              autoComplete="new-password"
              help={channel?.has_secret ? 'Left empty, it stays as it is.' : undefined}
            />
          </div>
          <TextField
            label="From"
            type="email"
            value={from}
            onChange={setFrom}
            placeholder="farwatch@msp.example"
          />
          <TextField
            label="To"
            value={to}
            onChange={setTo}
            placeholder="noc@msp.example"
            help="Several with commas."
          />
        </>
      ) : (
        <>
          <TextField
            label="Address"
            type="url"
            mono
            value={url}
            onChange={setUrl}
            placeholder="https://desk.example.net/api/tickets"
            wrong={badUrl ? 'It begins with https:// or http://.' : undefined}
            help="Central posts JSON there when an incident opens, is acknowledged, or closes."
          />
          <TextField
            label={
              <>
                Secret <span className="t3">optional</span>
              </>
            }
            type="password"
            value={secret}
            onChange={setSecret}
            autoComplete="new-password"
            help={
              channel?.has_secret
                ? 'Left empty, it stays as it is.'
                : 'Sent as a bearer token, so that the receiver knows it is from here.'
            }
          />
        </>
      )}
    </FormDialog>
  );
}
