/** Finds anything by name and goes there; a local index, so the first hit is there at once. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import {
  Bell,
  Building2,
  KeyRound,
  LayoutDashboard,
  type LucideIcon,
  MapPin,
  MoonStar,
  Plus,
  RadioTower,
  Search,
  Server,
  TriangleAlert,
  User,
  Wifi,
} from 'lucide-react';
import { type KeyboardEvent, type ReactNode, useDeferredValue, useId, useMemo, useState } from 'react';
import { acknowledge, echoProbe } from '../api/changes';
import { say } from '../api/client';
import { customersQuery, devicesQuery, incidentsQuery, probesQuery, sitesQuery } from '../api/queries';
import { find, mark } from '../lib/find';
import { ALL } from '../lib/scope';
import { severityShape } from '../lib/state';
import { count } from '../lib/units';
import { Dialog } from '../ui/Dialog';
import { Glyph } from '../ui/Glyph';
import { Icon } from '../ui/Icon';
import { toggleTheme } from '../ui/theme';
import { toast } from '../ui/toast';

interface Entry {
  key: string;
  text: string;
  name: string;
  about: string;
  glyph: ReactNode;
  run: () => void;
}

const SHOWN = 8;

export function Palette({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate();
  const client = useQueryClient();
  const here = useParams({ strict: false });
  const [q, setQ] = useState('');
  const asked = useDeferredValue(q);
  const [at, setAt] = useState(0);
  const list = useId();
  const devices = useQuery(devicesQuery(ALL)).data?.items;
  const customers = useQuery(customersQuery).data?.items;
  const sites = useQuery(sitesQuery()).data?.items;
  const probes = useQuery(probesQuery(ALL)).data?.items;
  const incidents = useQuery(incidentsQuery(ALL, { state: 'active' })).data?.items;

  const things = useMemo<Entry[]>(() => {
    const all: Entry[] = [];
    for (const device of devices ?? []) {
      all.push({
        key: device.id,
        text: `${device.name} ${device.address} ${device.vendor ?? ''} ${device.model ?? ''}`.toLowerCase(),
        name: device.name,
        about: `${device.customer_name} / ${device.site_name}`,
        glyph: <Glyph shape={device.state} />,
        run: () => void navigate({ to: '/devices/$deviceId', params: { deviceId: device.id } }),
      });
    }
    for (const incident of incidents ?? []) {
      all.push({
        key: `i${incident.id}`,
        text: `${incident.title} ${incident.id}`.toLowerCase(),
        name: incident.title,
        about: `incident ${incident.id}`,
        glyph: <Glyph shape={severityShape(incident.severity)} />,
        run: () =>
          void navigate({ to: '/incidents/$incidentId', params: { incidentId: String(incident.id) } }),
      });
    }
    for (const site of sites ?? []) {
      all.push({
        key: site.id,
        text: `${site.name} ${site.customer_name}`.toLowerCase(),
        name: site.name,
        about: `${site.customer_name}, site`,
        glyph: <Icon of={MapPin} />,
        run: () =>
          void navigate({
            to: '/customers/$customerId/$siteId',
            params: { customerId: site.customer_id, siteId: site.id },
          }),
      });
    }
    for (const customer of customers ?? []) {
      all.push({
        key: customer.id,
        text: customer.name.toLowerCase(),
        name: customer.name,
        about: 'customer',
        glyph: <Icon of={Building2} />,
        run: () => void navigate({ to: '/customers/$customerId', params: { customerId: customer.id } }),
      });
    }
    for (const probe of probes ?? []) {
      all.push({
        key: probe.id,
        text: `${probe.name} ${probe.site_name}`.toLowerCase(),
        name: probe.name,
        about: `${probe.customer_name} / ${probe.site_name}, probe`,
        glyph: <Icon of={RadioTower} />,
        run: () => void navigate({ to: '/probes/$probeId', params: { probeId: probe.id } }),
      });
    }
    return all;
  }, [devices, incidents, sites, customers, probes, navigate]);

  const command = (name: string, about: string, icon: LucideIcon, run: () => void): Entry => ({
    key: name,
    text: name.toLowerCase(),
    name,
    about,
    glyph: <Icon of={icon} />,
    run,
  });
  const tell = (act: Promise<string>) =>
    void act.then(
      (text) => toast(text),
      (error: unknown) => toast(say(error)),
    );
  const commands: Entry[] = [
    ...(here.incidentId
      ? [
          command('Acknowledge this incident', `incident ${here.incidentId}`, TriangleAlert, () =>
            tell(acknowledge(client, Number(here.incidentId)).then(() => 'Acknowledged')),
          ),
        ]
      : []),
    ...(here.probeId
      ? [
          command('Echo this probe', 'round trip', Wifi, () =>
            tell(echoProbe(client, here.probeId ?? '').then((ms) => `The echo took ${count(ms, 1)} ms`)),
          ),
        ]
      : []),
    command('Add a probe', 'wizard', Plus, () => void navigate({ to: '/probes/new' })),
    command('Overview', 'go to', LayoutDashboard, () => void navigate({ to: '/' })),
    command('Incidents', 'go to', TriangleAlert, () => void navigate({ to: '/incidents' })),
    command('Devices', 'go to', Server, () => void navigate({ to: '/devices' })),
    command('Probes', 'go to', RadioTower, () => void navigate({ to: '/probes' })),
    command('Customers', 'go to', Building2, () => void navigate({ to: '/customers' })),
    command('Channels', 'go to', Bell, () => void navigate({ to: '/alerting/channels' })),
    command('Credentials', 'go to', KeyRound, () => void navigate({ to: '/admin/credentials' })),
    command('Profile and preferences', 'go to', User, () => void navigate({ to: '/profile' })),
    command('Switch theme', 'dark or light', MoonStar, toggleTheme),
  ];
  const hits = asked.trim() ? find(things, asked, SHOWN) : [];
  const runs = asked.trim() ? find(commands, asked, 4) : commands.slice(0, 8);
  const all = [...hits, ...runs];
  const picked = Math.min(at, Math.max(0, all.length - 1));

  const run = (entry: Entry | undefined) => {
    if (!entry) return;
    onClose();
    entry.run();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      const step = event.key === 'ArrowDown' ? 1 : -1;
      setAt((picked + step + all.length) % Math.max(1, all.length));
    } else if (event.key === 'Enter') {
      event.preventDefault();
      run(all[picked]);
    }
  };
  const line = (entry: Entry, i: number) => {
    const [before, hit, after] = mark(entry.name, asked);
    return (
      // biome-ignore lint/a11y/useKeyWithClickEvents: the input above takes the keys
      // biome-ignore lint/a11y/useFocusableInteractive: the focus stays in the input, as a combobox does
      <div
        className="opt"
        key={entry.key}
        id={`${list}-${i}`}
        role="option"
        aria-selected={i === picked}
        onMouseMove={() => setAt(i)}
        onClick={() => run(entry)}
      >
        {entry.glyph}
        <bdi className="ell">
          {before}
          <mark>{hit}</mark>
          {after}
        </bdi>
        <span className="t3 ell">{entry.about}</span>
      </div>
    );
  };
  return (
    <Dialog title={null} label="Search or go to" onClose={onClose} className="pal" light>
      <div className="q">
        <Icon of={Search} />
        <input
          role="combobox"
          aria-expanded="true"
          aria-controls={list}
          aria-activedescendant={all.length > 0 ? `${list}-${picked}` : undefined}
          aria-label="Search devices, sites, incidents, commands"
          placeholder="Device, address, site, incident, command"
          autoComplete="off"
          spellCheck={false}
          autoFocus
          value={q}
          onChange={(event) => {
            setQ(event.target.value);
            setAt(0);
          }}
          onKeyDown={onKeyDown}
        />
      </div>
      <div className="hits" id={list} role="listbox" aria-label="Found">
        {hits.length > 0 && (
          <div role="group" aria-label="Jump to">
            <div className="hd" aria-hidden="true">
              Jump to
            </div>
            {hits.map((entry, i) => line(entry, i))}
          </div>
        )}
        {runs.length > 0 && (
          <div role="group" aria-label="Run">
            <div className="hd" aria-hidden="true">
              Run
            </div>
            {runs.map((entry, i) => line(entry, i + hits.length))}
          </div>
        )}
        {all.length === 0 && <p className="empty t2">Nothing is called that.</p>}
      </div>
      <div className="hint" aria-hidden="true">
        <span>
          <span className="kbd">↑↓</span> choose
        </span>
        <span>
          <span className="kbd">Enter</span> open
        </span>
        <span className="push">
          <span className="kbd">Esc</span> close
        </span>
      </div>
    </Dialog>
  );
}
