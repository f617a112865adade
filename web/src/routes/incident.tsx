import { useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import {
  Bell,
  Check,
  CircleAlert,
  CircleCheck,
  GitBranch,
  type LucideIcon,
  MessageSquare,
  RadioTower,
  Send,
  Server,
  UserCheck,
} from 'lucide-react';
import { type ReactNode, useState } from 'react';
import { acknowledge, addNote, resolve } from '../api/changes';
import { ApiError, say } from '../api/client';
import { useNow } from '../api/clock';
import { devicesQuery, incidentQuery, siteQuery } from '../api/queries';
import type { Incident } from '../api/types';
import { IncidentList } from '../components/IncidentList';
import { SiteZone } from '../components/SiteZone';
import { StateGlyph } from '../components/StateText';
import { useMayNot } from '../components/session';
import { natural } from '../lib/natural';
import { severityShape } from '../lib/state';
import { absolute, ageSeconds, clock, clockOrDay, duration, safeZone, zoneName } from '../lib/time';
import { plural } from '../lib/units';
import { Crumb } from '../ui/Crumb';
import { FormDialog } from '../ui/Dialog';
import { Failed, Skeleton } from '../ui/Feedback';
import { TextField } from '../ui/Field';
import { Glyph } from '../ui/Glyph';
import { Icon } from '../ui/Icon';
import { useKeys } from '../ui/keys';
import { Panel } from '../ui/Panel';
import { toast } from '../ui/toast';

const route = getRouteApi('/app/incidents/$incidentId');

export function IncidentPage() {
  const { incidentId } = route.useParams();
  const { view } = route.useSearch();
  const id = Number(incidentId);
  const incident = useQuery({ ...incidentQuery(id), enabled: Number.isSafeInteger(id) });
  return (
    <div className="view bleed">
      <Crumb
        up={[
          <Link key="i" to="/incidents" search={(before) => ({ ...before, view })}>
            Incidents
          </Link>,
        ]}
        here={`Incident ${incidentId}`}
        title={`Incident ${incidentId}`}
      />
      <div className="split one">
        <IncidentList current={id} view={view} />
        <div className="dt">
          {incident.data ? (
            <IncidentView key={id} incident={incident.data} />
          ) : incident.isError || !Number.isSafeInteger(id) ? (
            <Failed
              what="The incident"
              error={incident.error ?? new ApiError({ title: 'Not found', status: 404 })}
              again={incident.refetch}
            />
          ) : (
            <Skeleton rows={10} />
          )}
        </div>
      </div>
    </div>
  );
}

interface Entry {
  at: string;
  icon: LucideIcon;
  title: ReactNode;
  text?: string | null;
}

const KIND_ICON: Record<string, LucideIcon> = {
  opened: CircleAlert,
  acknowledged: UserCheck,
  resolved: CircleCheck,
  note: MessageSquare,
  notified: Send,
  notification: Send,
  grouped: GitBranch,
  held_back: GitBranch,
};

/** Notes are in the timeline by their own texts; what Central says of them there is left out. */
export function timeline(incident: Incident): Entry[] {
  const own = incident.timeline
    .filter((entry) => entry.kind !== 'note')
    .map<Entry>((entry) => ({ at: entry.at, icon: KIND_ICON[entry.kind] ?? Bell, title: entry.text }));
  const notes = incident.notes.map<Entry>((note) => ({
    at: note.at,
    icon: MessageSquare,
    title: <>Note by {note.by}</>,
    text: note.text,
  }));
  return [...own, ...notes].sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
}

function IncidentView({ incident }: { incident: Incident }) {
  const client = useQueryClient();
  const now = useNow();
  const site = useQuery(siteQuery(incident.site_id)).data;
  const zone = safeZone(site?.time_zone);
  const mayNot = useMayNot('acknowledge');
  const [dialog, setDialog] = useState<'note' | 'resolve' | null>(null);
  const [busy, setBusy] = useState(false);
  const done = incident.state === 'resolved';
  const take = () => {
    if (incident.state !== 'open' || mayNot !== undefined || busy) return;
    setBusy(true);
    acknowledge(client, incident.id)
      .then(
        () => toast('Acknowledged'),
        (error: unknown) => toast(say(error)),
      )
      .finally(() => setBusy(false));
  };
  useKeys({
    a: take,
    c: () => {
      if (mayNot === undefined) setDialog('note');
    },
  });
  return (
    <SiteZone zone={zone}>
      <div className="title tight">
        <Glyph
          shape={done ? 'up' : severityShape(incident.severity)}
          size="xl"
          label={done ? 'resolved' : incident.severity}
        />
        <h1 tabIndex={-1}>
          <bdi>{incident.title}</bdi>
        </h1>
        <span className="grow" />
        <button
          type="button"
          className="btn icon"
          aria-label="Write a note (c)"
          title={mayNot ?? 'Write a note (c)'}
          disabled={mayNot !== undefined}
          onClick={() => setDialog('note')}
        >
          <Icon of={MessageSquare} />
        </button>
        {!done && (
          <button
            type="button"
            className="btn"
            disabled={mayNot !== undefined}
            title={mayNot}
            onClick={() => setDialog('resolve')}
          >
            <Icon of={Check} />
            Resolve…
          </button>
        )}
        {incident.state === 'open' && (
          <button
            type="button"
            className="btn pri"
            disabled={busy || mayNot !== undefined}
            title={mayNot}
            onClick={take}
          >
            Acknowledge <span className="kbd">a</span>
          </button>
        )}
      </div>
      <div className="facts">
        <span>Incident {incident.id}</span>
        <span>
          <Link
            className="link"
            to="/customers/$customerId/$siteId"
            params={{ customerId: incident.customer_id, siteId: incident.site_id }}
          >
            <bdi>{incident.customer_name}</bdi> / <bdi>{incident.site_name}</bdi>
          </Link>
        </span>
        <span title={absolute(incident.opened_at, zone)}>
          opened {clockOrDay(incident.opened_at, zone, now)} {zoneName(zone, Date.parse(incident.opened_at))}
        </span>
        {incident.resolved_at ? (
          <span title={absolute(incident.resolved_at, zone)}>
            resolved after{' '}
            {duration((Date.parse(incident.resolved_at) - Date.parse(incident.opened_at)) / 1000)}
          </span>
        ) : (
          <span className="num">open for {duration(ageSeconds(incident.opened_at, now))}</span>
        )}
        <span>
          {incident.acknowledged_by
            ? `acknowledged by ${incident.acknowledged_by}${incident.acknowledged_at ? ` at ${clock(incident.acknowledged_at, zone)}` : ''}`
            : done
              ? 'never acknowledged'
              : 'not acknowledged'}
        </span>
      </div>
      <div className="stack">
        {incident.consequence && (
          <Panel title="What it means">
            <p className="pad">
              {incident.consequence}
              {incident.held_back > 0 && (
                <span className="t2"> · {plural(incident.held_back, 'notification')} held back</span>
              )}
            </p>
          </Panel>
        )}
        <Concerned incident={incident} />
        <div className="inc2">
          <Panel title="Timeline" meta={`${zoneName(zone)}, newest first`}>
            <ol className="tl">
              {timeline(incident).map((entry, i) => (
                // Entries only ever get more at the front; their times may be equal.
                // biome-ignore lint/suspicious/noArrayIndexKey: see above
                <li key={i}>
                  <time dateTime={entry.at} title={absolute(entry.at, zone)}>
                    {clockOrDay(entry.at, zone, now)}
                  </time>
                  <span className="dot">
                    <Icon of={entry.icon} small />
                  </span>
                  <div>
                    <bdi>{entry.title}</bdi>
                    {entry.text && <p>{entry.text}</p>}
                  </div>
                </li>
              ))}
            </ol>
          </Panel>
          <Panel title="Who was told">
            {incident.notifications.length === 0 ? (
              <p className="pad t2">Nobody: no channel was set up for this customer when it opened.</p>
            ) : (
              <table className="tbl">
                <tbody>
                  {incident.notifications.map((one) => (
                    <tr key={`${one.channel_name} ${one.at} ${one.state}`}>
                      <td className="b">
                        <span className="row">
                          <Glyph
                            shape={
                              one.state === 'sent' ? 'up' : one.state === 'failed' ? 'warning' : 'notice'
                            }
                          />
                          <bdi>{one.channel_name}</bdi>
                        </span>
                      </td>
                      <td className="t2 wrap small">
                        {one.state === 'pending' ? 'waiting' : one.state}
                        {one.detail && `, ${one.detail}`}
                      </td>
                      <td className="r t3" title={absolute(one.at, zone)}>
                        {clock(one.at, zone)}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )}
          </Panel>
        </div>
      </div>
      {dialog === 'note' && (
        <NoteDialog
          title={`Note on incident ${incident.id}`}
          act="Add note"
          onClose={() => setDialog(null)}
          onAct={(text) => addNote(client, incident.id, text)}
          needed
        />
      )}
      {dialog === 'resolve' && (
        <NoteDialog
          title={`Resolve: ${incident.title}`}
          act={`Resolve incident ${incident.id}`}
          onClose={() => setDialog(null)}
          onAct={(text) => resolve(client, incident.id, text || undefined)}
          about="It closes by itself when the cause is gone. Resolved by hand while the cause is still there, it opens again only when it happens anew."
        />
      )}
    </SiteZone>
  );
}

/** The device or probe it is about, and the site's devices that cannot be asked because of it. */
function Concerned({ incident }: { incident: Incident }) {
  const devices = useQuery(devicesQuery({ kind: 'site', id: incident.site_id })).data?.items ?? [];
  const own = devices.find((device) => device.id === incident.device_id);
  const behind =
    incident.state === 'resolved'
      ? []
      : devices
          .filter((device) =>
            incident.kind === 'probe_silent' ? device.state === 'unknown' : device.state === 'unreachable',
          )
          .sort((a, b) => natural(a.name, b.name));
  const word = incident.kind === 'probe_silent' ? 'stale' : 'unreachable';
  return (
    <Panel
      title={
        behind.length > 0 ? `${plural(behind.length, 'device')} at this site ${word}` : 'What it is about'
      }
      side={
        <Link
          className="link"
          to="/customers/$customerId/$siteId"
          params={{ customerId: incident.customer_id, siteId: incident.site_id }}
        >
          Open site
        </Link>
      }
    >
      <div className="kids">
        {own && (
          <Link to="/devices/$deviceId" params={{ deviceId: own.id }}>
            <StateGlyph state={own.state} />
            <bdi className="ell b">{own.name}</bdi>
          </Link>
        )}
        {!own && incident.device_id && (
          <Link to="/devices/$deviceId" params={{ deviceId: incident.device_id }}>
            <Icon of={Server} />
            Open device
          </Link>
        )}
        {incident.probe_id && (
          <Link to="/probes/$probeId" params={{ probeId: incident.probe_id }}>
            <Icon of={RadioTower} />
            Open probe
          </Link>
        )}
        {behind.slice(0, 40).map((device) => (
          <Link key={device.id} to="/devices/$deviceId" params={{ deviceId: device.id }}>
            <StateGlyph state={device.state} />
            <bdi className="ell">{device.name}</bdi>
          </Link>
        ))}
      </div>
    </Panel>
  );
}

interface NoteProps {
  title: string;
  act: string;
  about?: string;
  needed?: boolean;
  onClose: () => void;
  onAct: (text: string) => Promise<unknown>;
}

function NoteDialog({ title, act, about, needed = false, onClose, onAct }: NoteProps) {
  const [text, setText] = useState('');
  return (
    <FormDialog
      title={title}
      act={act}
      ready={!needed || text.trim() !== ''}
      onClose={onClose}
      onAct={async () => {
        await onAct(text.trim());
        toast('Done');
      }}
    >
      {about && <p className="t2">{about}</p>}
      <TextField
        label={needed ? 'Note' : 'Note, if there is something to say'}
        rows={4}
        value={text}
        onChange={setText}
        autoFocus
      />
    </FormDialog>
  );
}
