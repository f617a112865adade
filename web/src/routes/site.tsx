import { useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Clock, Ellipsis, Pencil, Pin, PinOff, Plus, StickyNote, Trash2 } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import { updateMe } from '../api/changes';
import { say } from '../api/client';
import { useNow } from '../api/clock';
import { preferencesOf } from '../api/preferences';
import { customerQuery, devicesQuery, incidentsQuery, probesQuery, siteQuery } from '../api/queries';
import { DeviceTable } from '../components/DeviceTable';
import { DiscoveryPanel } from '../components/DiscoveryPanel';
import { Incidents } from '../components/Incidents';
import { DeleteSiteDialog, SiteDialog } from '../components/PlaceDialogs';
import { ProbeLines } from '../components/ProbeLines';
import { SiteConfigPanel } from '../components/SiteConfigForm';
import { SiteZone } from '../components/SiteZone';
import { PlaceGlyph } from '../components/StateText';
import { useMayNot, useUser } from '../components/session';
import type { Scope } from '../lib/scope';
import { notUp } from '../lib/state';
import { clock, safeZone, zoneName } from '../lib/time';
import { count } from '../lib/units';
import type { SiteTab } from '../router';
import { Crumb } from '../ui/Crumb';
import { Empty, Failed } from '../ui/Feedback';
import { Icon } from '../ui/Icon';
import { Menu } from '../ui/Menu';
import { Panel, Title } from '../ui/Panel';
import { toast } from '../ui/toast';

const route = getRouteApi('/app/customers/$customerId/$siteId');

export function SitePage() {
  const { customerId, siteId } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const client = useQueryClient();
  const user = useUser();
  const now = useNow();
  const scope: Scope = { kind: 'site', id: siteId };
  const site = useQuery({ ...siteQuery(siteId), refetchInterval: 60_000 });
  const customer = useQuery(customerQuery(customerId));
  const devices = useQuery(devicesQuery(scope));
  const probes = useQuery(probesQuery(scope));
  const incidents = useQuery(incidentsQuery(scope, { state: 'active' }));
  const mayNot = useMayNot('administer');
  const mayNotEnrol = useMayNot('enrol');
  const [dialog, setDialog] = useState<'edit' | 'remove' | null>(null);
  const tab = search.tab ?? 'devices';
  const data = site.data;
  if (!data) {
    return (
      <div className="view">
        <Crumb here="" title="Site" />
        <h1 className="sr">Site</h1>
        {site.isError && <Failed what="The site" error={site.error} again={site.refetch} />}
      </div>
    );
  }
  const zone = safeZone(data.time_zone);
  const pinned = preferencesOf(user).pinned_sites ?? [];
  const isPinned = pinned.includes(siteId);
  const togglePin = () => {
    const next = isPinned ? pinned.filter((id) => id !== siteId) : [...pinned, siteId];
    updateMe(client, { preferences: { ...user?.preferences, pinned_sites: next } }).catch((error: unknown) =>
      toast(say(error)),
    );
  };
  const tabLink = (name: SiteTab, text: string, n?: number) => (
    <Link
      from="/customers/$customerId/$siteId"
      to="/customers/$customerId/$siteId"
      params={{ customerId, siteId }}
      search={(before) => ({ scope: before.scope, tab: name })}
      activeOptions={{ includeSearch: true }}
      aria-current={tab === name ? 'page' : undefined}
      activeProps={{}}
    >
      {text} {n !== undefined && <span className="n">{count(n)}</span>}
    </Link>
  );
  const addProbe = (
    <Link
      to="/probes/new"
      search={{ customer: customerId, site: siteId }}
      className="btn"
      disabled={mayNotEnrol !== undefined}
    >
      <Icon of={Plus} />
      Add probe
    </Link>
  );
  const live = (probes.data?.items ?? []).filter((probe) => probe.state !== 'revoked');
  const body: Record<SiteTab, ReactNode> = {
    devices: (
      <DeviceTable
        key={siteId}
        query={devices}
        inSite
        search={search}
        onSearch={(change) =>
          void navigate({ search: (before) => ({ ...before, ...change }), replace: true })
        }
        empty={
          <Empty
            title={live.length === 0 ? 'Nothing is watching this site yet' : 'No devices found yet'}
            acts={
              live.length === 0 ? (
                addProbe
              ) : (
                <Link
                  to="/customers/$customerId/$siteId"
                  params={{ customerId, siteId }}
                  search={{ tab: 'discovery' }}
                  className="btn"
                >
                  See the discovery
                </Link>
              )
            }
          >
            {live.length === 0
              ? 'Run one command on any machine there. It connects out to Central, finds the devices and starts measuring, usually within a minute.'
              : 'The probe is looking. The discovery shows how far it is, and why an address is not a device.'}
          </Empty>
        }
      />
    ),
    incidents: (
      <Panel label="Open incidents">
        <Incidents query={incidents} />
      </Panel>
    ),
    discovery: (
      <DiscoveryPanel
        siteId={siteId}
        only={search.only}
        q={search.q ?? ''}
        onSearch={(change) =>
          void navigate({
            search: (before) => ({ ...before, q: undefined, only: undefined, ...change }),
            replace: true,
          })
        }
      />
    ),
    settings: <SiteConfigPanel siteId={siteId} customerId={customerId} />,
  };
  return (
    <SiteZone zone={zone}>
      <div className={tab === 'devices' ? 'view fill' : 'view'}>
        <Crumb
          up={[
            <Link key="c" to="/customers">
              Customers
            </Link>,
            <Link key="n" to="/customers/$customerId" params={{ customerId }}>
              <bdi>{customer.data?.name ?? data.customer_name}</bdi>
            </Link>,
          ]}
          here={<bdi>{data.name}</bdi>}
          title={data.name}
        />
        <Title
          glyph={<PlaceGlyph place={data} size="lg" />}
          sub={notUp(data.counts)}
          acts={
            <>
              {addProbe}
              <Menu
                className="btn icon"
                label="More"
                button={<Icon of={Ellipsis} />}
                items={[
                  {
                    text: isPinned ? 'Take from the side bar' : 'Pin to the side bar',
                    icon: <Icon of={isPinned ? PinOff : Pin} />,
                    onPick: togglePin,
                  },
                  {
                    text: 'Edit site…',
                    icon: <Icon of={Pencil} />,
                    disabled: mayNot,
                    onPick: () => setDialog('edit'),
                  },
                  {
                    text: 'Remove site…',
                    icon: <Icon of={Trash2} />,
                    danger: true,
                    disabled: mayNot,
                    onPick: () => setDialog('remove'),
                  },
                ]}
              />
            </>
          }
        >
          <bdi>{data.name}</bdi>
        </Title>
        <div className="facts">
          <span>
            <Icon of={Clock} small />
            <span className="num">
              {clock(now, zone)} local, {zoneName(zone, now)}
            </span>
          </span>
          {data.note && (
            <span>
              <Icon of={StickyNote} small />
              {data.note}
            </span>
          )}
        </div>
        {live.length > 0 && <ProbeLines probes={live} />}
        <nav className="tabs" aria-label="Site">
          {tabLink('devices', 'Devices', devices.data?.total)}
          {tabLink('incidents', 'Incidents', incidents.data?.total)}
          {tabLink('discovery', 'Discovery')}
          {tabLink('settings', 'Settings')}
        </nav>
        {body[tab]}
      </div>
      {dialog === 'edit' && (
        <SiteDialog site={data} customerId={customerId} onClose={() => setDialog(null)} />
      )}
      {dialog === 'remove' && <DeleteSiteDialog site={data} onClose={() => setDialog(null)} />}
    </SiteZone>
  );
}
