import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router';
import {
  Activity,
  Bell,
  Building2,
  Keyboard,
  KeyRound,
  LayoutDashboard,
  LogOut,
  type LucideIcon,
  MoonStar,
  RadioTower,
  ScrollText,
  Search,
  Server,
  TriangleAlert,
  User as UserIcon,
  Users,
} from 'lucide-react';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { signOut } from '../api/changes';
import { useSessionEnded } from '../api/ended';
import { listen, NOT_LIVE_S } from '../api/live';
import { preferencesOf } from '../api/preferences';
import { incidentsQuery, overviewQuery, sessionQuery, sitesQuery } from '../api/queries';
import { safeZone, zoneName } from '../lib/time';
import { count, initials } from '../lib/units';
import { CrumbPlace } from '../ui/Crumb';
import { Glyph } from '../ui/Glyph';
import { Icon } from '../ui/Icon';
import { setSingleKeys, useKeys } from '../ui/keys';
import { Menu } from '../ui/Menu';
import { toggleTheme } from '../ui/theme';
import { Toasts } from '../ui/toast';
import { Announcer } from './Announcer';
import { Brand } from './Brand';
import { LiveIndicator, NotLiveBar, useSilence } from './LiveBar';
import { ScopeSwitcher } from './ScopeSwitcher';
import { useShownZone } from './SiteZone';
import { StateGlyph } from './StateText';
import { useScope, useUser } from './session';
import { browserZone, ZoneContext } from './zone';

const Palette = lazy(() => import('./Palette').then((module) => ({ default: module.Palette })));
const SignInAgain = lazy(() => import('./SignInAgain').then((module) => ({ default: module.SignInAgain })));
const KeyboardHelp = lazy(() =>
  import('./KeyboardHelp').then((module) => ({ default: module.KeyboardHelp })),
);

const MAIN = [
  { to: '/', icon: LayoutDashboard, text: 'Overview', count: null },
  { to: '/incidents', icon: TriangleAlert, text: 'Incidents', count: 'incidents' },
  { to: '/customers', icon: Building2, text: 'Customers', count: 'customers' },
  { to: '/devices', icon: Server, text: 'Devices', count: 'devices' },
  { to: '/probes', icon: RadioTower, text: 'Probes', count: 'probes' },
] as const;
const CONFIGURE = [
  { to: '/alerting/channels', icon: Bell, text: 'Channels', admin: true },
  { to: '/admin/credentials', icon: KeyRound, text: 'Credentials', admin: false },
  { to: '/admin/users', icon: Users, text: 'Users', admin: true },
  { to: '/admin/audit', icon: ScrollText, text: 'Audit', admin: true },
  { to: '/admin/health', icon: Activity, text: 'Health', admin: true },
] as const;
/** On a phone incidents matter first; the rest is readable. */
const TABS = [MAIN[0], MAIN[1], MAIN[3], MAIN[4], MAIN[2]] as const;

function isHere(path: string, to: string): boolean {
  return to === '/' ? path === '/' : path === to || path.startsWith(`${to}/`);
}

export function Shell() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const user = useUser();
  const scope = useScope();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const [crumb, setCrumb] = useState<HTMLElement | null>(null);
  const [overlay, setOverlay] = useState<'palette' | 'keys' | null>(null);
  const view = useRef<HTMLElement>(null);
  const silence = useSilence();
  const zone = safeZone(preferencesOf(user).time_zone ?? browserZone());
  const siteZone = useShownZone();
  const ended = useSessionEnded();
  const overview = useQuery(overviewQuery(scope)).data;
  const active = useQuery(incidentsQuery(scope, { state: 'active' })).data;

  useEffect(() => listen(client), [client]);
  useEffect(() => setSingleKeys(preferencesOf(user).single_keys !== false), [user]);
  // A new page starts at its top, and a screen reader at its heading.
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs when the path changes
  useEffect(() => {
    view.current?.querySelector('.view')?.scrollTo(0, 0);
    if (document.activeElement === document.body) view.current?.focus({ preventScroll: true });
  }, [path]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        setOverlay((now) => (now === 'palette' ? null : 'palette'));
      }
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  useKeys({
    t: toggleTheme,
    '?': () => setOverlay('keys'),
    '/': () => document.querySelector<HTMLInputElement>('[data-filter]')?.focus(),
    'g o': () => void navigate({ to: '/' }),
    'g i': () => void navigate({ to: '/incidents' }),
    'g c': () => void navigate({ to: '/customers' }),
    'g d': () => void navigate({ to: '/devices' }),
    'g p': () => void navigate({ to: '/probes' }),
  });

  const numbers = {
    incidents: active?.total ?? overview?.incidents_open,
    customers: overview?.customers_total,
    devices: overview?.devices_total,
    probes: overview?.probes_total,
  };
  const leave = () => {
    void signOut(client).then(() => navigate({ to: '/login', search: {} }));
  };
  const openIncidents = numbers.incidents ?? 0;
  return (
    <ZoneContext value={zone}>
      <CrumbPlace value={crumb}>
        <a className="skip" href="#view">
          Skip to content
        </a>
        <div className={`app${silence !== null && silence > NOT_LIVE_S ? ' not-live' : ''}`}>
          <aside className="side">
            <Brand />
            <ScopeSwitcher />
            <nav className="nav" aria-label="Main">
              {MAIN.map((item) => (
                <NavLink
                  key={item.to}
                  {...item}
                  here={isHere(path, item.to)}
                  number={item.count ? numbers[item.count] : undefined}
                  hot={item.count === 'incidents' && openIncidents > 0}
                />
              ))}
              <Pinned path={path} />
              <h2>Configure</h2>
              {CONFIGURE.filter((item) => !item.admin || user?.role === 'admin').map((item) => (
                <NavLink key={item.to} {...item} here={isHere(path, item.to)} />
              ))}
            </nav>
            <CentralHealth />
          </aside>
          <div className="main">
            <header className="top">
              <nav className="crumb" aria-label="Where you are" ref={setCrumb} />
              <span className="grow" />
              <LiveIndicator />
              <span
                className="t2 small hide-s"
                title={`Times on this page are in ${siteZone ?? zone}${siteZone ? ", the site's zone" : ''}`}
              >
                {zoneName(siteZone ?? zone)}
              </span>
              <button
                type="button"
                className="btn search"
                aria-label="Search or go to"
                onClick={() => setOverlay('palette')}
              >
                <Icon of={Search} />
                <span>Search or go to…</span>
                <span className="kbd">{isApple() ? '⌘K' : 'Ctrl K'}</span>
              </button>
              <button
                type="button"
                className="btn ghost icon hide-s"
                aria-label="Switch theme (t)"
                title="Switch theme (t)"
                onClick={toggleTheme}
              >
                <Icon of={MoonStar} />
              </button>
              <button
                type="button"
                className="btn ghost icon hide-s"
                aria-label="Keyboard shortcuts (?)"
                title="Keyboard shortcuts (?)"
                onClick={() => setOverlay('keys')}
              >
                <Icon of={Keyboard} />
              </button>
              {user && (
                <Menu
                  className="row"
                  label={`Signed in as ${user.display_name}`}
                  button={<span className="avatar">{initials(user.display_name)}</span>}
                  items={[
                    {
                      text: 'Profile and preferences',
                      icon: <Icon of={UserIcon} />,
                      onPick: () => void navigate({ to: '/profile' }),
                    },
                    { text: 'Switch theme', icon: <Icon of={MoonStar} />, onPick: toggleTheme },
                    ...(user.role === 'admin'
                      ? [
                          {
                            text: 'Users',
                            icon: <Icon of={Users} />,
                            onPick: () => void navigate({ to: '/admin/users' }),
                          },
                        ]
                      : []),
                    { text: 'Sign out', icon: <Icon of={LogOut} />, onPick: leave },
                  ]}
                />
              )}
            </header>
            <NotLiveBar />
            <main className="view-place" id="view" tabIndex={-1} ref={view}>
              <Outlet />
            </main>
          </div>
          <nav className="tabbar" aria-label="Main">
            {TABS.map((item) => (
              <Link
                key={item.to}
                to={item.to}
                aria-current={isHere(path, item.to) ? 'page' : undefined}
                activeProps={{}}
              >
                <Icon of={item.icon} />
                {item.count === 'incidents' && openIncidents > 0 && (
                  <span className="cnt">{openIncidents}</span>
                )}
                {item.text}
              </Link>
            ))}
          </nav>
        </div>
        <Announcer />
        <Toasts />
        <Suspense>
          {ended && <SignInAgain />}
          {overlay === 'palette' && <Palette onClose={() => setOverlay(null)} />}
          {overlay === 'keys' && <KeyboardHelp onClose={() => setOverlay(null)} />}
        </Suspense>
      </CrumbPlace>
    </ZoneContext>
  );
}

function isApple(): boolean {
  return /Mac|iPhone|iPad/.test(navigator.userAgent);
}

interface NavLinkProps {
  to: (typeof MAIN)[number]['to'] | (typeof CONFIGURE)[number]['to'];
  icon: LucideIcon;
  text: string;
  here: boolean;
  number?: number | undefined;
  hot?: boolean;
}

function NavLink({ to, icon, text, here, number, hot = false }: NavLinkProps) {
  return (
    <Link to={to} aria-current={here ? 'page' : undefined} activeProps={{}} title={text}>
      <Icon of={icon} />
      <span className="lb">{text}</span>
      {number !== undefined && <span className={hot ? 'cnt hot' : 'cnt'}>{count(number)}</span>}
    </Link>
  );
}

/** Sites the user keeps in sight, with their state. */
function Pinned({ path }: { path: string }) {
  const user = useUser();
  const pinned = preferencesOf(user).pinned_sites ?? [];
  const sites =
    useQuery({ ...sitesQuery(), enabled: pinned.length > 0, refetchInterval: 60_000 }).data?.items ?? [];
  const shown = pinned.flatMap((id) => sites.filter((site) => site.id === id));
  if (shown.length === 0) return null;
  return (
    <>
      <h2>Pinned</h2>
      {shown.map((site) => {
        const to = `/customers/${site.customer_id}/${site.id}`;
        return (
          <Link
            key={site.id}
            className="pin"
            to="/customers/$customerId/$siteId"
            params={{ customerId: site.customer_id, siteId: site.id }}
            aria-current={path === to ? 'page' : undefined}
            activeProps={{}}
          >
            <StateGlyph state={site.state} />
            <bdi className="ell">{site.name}</bdi>
          </Link>
        );
      })}
    </>
  );
}

function CentralHealth() {
  const scope = useScope();
  const overview = useQuery(overviewQuery(scope)).data;
  const version = useQuery(sessionQuery).data?.version;
  const central = overview?.central;
  const notes = central?.notes.join('\n');
  return (
    <div className="foot" title={notes || undefined}>
      <div className="row">
        <Glyph
          shape={!central ? 'unknown' : central.healthy ? 'up' : 'warning'}
          label={central?.healthy ? 'Central is healthy' : 'Central needs attention'}
        />
        <span>
          {!central
            ? 'Central'
            : central.healthy
              ? 'Central healthy'
              : (central.notes[0] ?? 'Look at Central')}
        </span>
      </div>
      <span className="num">
        {version}
        {version && central && ' · '}
        {central && `${count(Math.round(central.samples_per_s))} values/s`}
      </span>
    </div>
  );
}
