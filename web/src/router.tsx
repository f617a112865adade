/** The map of the console: every page has an address, and what is looked at is in it. */
import type { QueryClient } from '@tanstack/react-query';
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
  retainSearchParams,
} from '@tanstack/react-router';
import {
  channelsQuery,
  customersQuery,
  deviceQuery,
  devicesQuery,
  incidentQuery,
  incidentsQuery,
  interfacesQuery,
  overviewQuery,
  probeQuery,
  probesQuery,
  sessionQuery,
  setupQuery,
  siteQuery,
  sitesQuery,
} from './api/queries';
import { NotFound, PageFailed } from './components/NotFound';
import { Shell } from './components/Shell';
import { parseScope } from './lib/scope';
import { LoginPage } from './routes/login';
import { SetupPage } from './routes/setup';

interface Context {
  queryClient: QueryClient;
}

/** One value of the query string, if it is text. */
function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
type Raw = Record<string, unknown>;

const root = createRootRouteWithContext<Context>()({
  validateSearch: (raw: Raw): { scope?: string } => ({ scope: text(raw.scope) }),
  search: { middlewares: [retainSearchParams(['scope'])] },
  component: Outlet,
  notFoundComponent: NotFound,
  errorComponent: PageFailed,
});

const login = createRoute({
  getParentRoute: () => root,
  path: 'login',
  validateSearch: (raw: Raw): { next?: string } => ({ next: text(raw.next) }),
  component: LoginPage,
});

const setup = createRoute({
  getParentRoute: () => root,
  path: 'setup',
  loader: ({ context }) => void context.queryClient.prefetchQuery(setupQuery),
  component: SetupPage,
});

/** Everything behind the sign-in, inside the shell. */
const app = createRoute({
  getParentRoute: () => root,
  id: 'app',
  beforeLoad: async ({ context, location }) => {
    const session = await context.queryClient.ensureQueryData(sessionQuery);
    if (session.user === null) throw redirect({ to: '/login', search: { next: location.href } });
  },
  component: Shell,
  notFoundComponent: NotFound,
  errorComponent: PageFailed,
});

const overview = createRoute({
  getParentRoute: () => app,
  path: '/',
  loaderDeps: ({ search }) => ({ scope: search.scope }),
  loader: ({ context, deps }) => {
    void context.queryClient.prefetchQuery(overviewQuery(parseScope(deps.scope)));
    void context.queryClient.prefetchQuery(incidentsQuery(parseScope(deps.scope), { state: 'active' }));
  },
  component: lazyRouteComponent(() => import('./routes/overview'), 'OverviewPage'),
});

const customers = createRoute({
  getParentRoute: () => app,
  path: 'customers',
  loader: ({ context }) => void context.queryClient.prefetchQuery(customersQuery),
  component: lazyRouteComponent(() => import('./routes/customers'), 'CustomersPage'),
});

const customer = createRoute({
  getParentRoute: () => app,
  path: 'customers/$customerId',
  loader: ({ context, params }) => void context.queryClient.prefetchQuery(sitesQuery(params.customerId)),
  component: lazyRouteComponent(() => import('./routes/customer'), 'CustomerPage'),
});

const SITE_TABS = ['devices', 'incidents', 'discovery', 'settings'] as const;
export type SiteTab = (typeof SITE_TABS)[number];

const site = createRoute({
  getParentRoute: () => app,
  path: 'customers/$customerId/$siteId',
  validateSearch: (
    raw: Raw,
  ): { tab?: SiteTab; st?: string; q?: string; sort?: string; only?: 'no_snmp' | 'not_a_device' } => ({
    tab: SITE_TABS.find((tab) => tab === raw.tab),
    st: text(raw.st),
    q: text(raw.q),
    sort: text(raw.sort),
    only: raw.only === 'no_snmp' || raw.only === 'not_a_device' ? raw.only : undefined,
  }),
  loader: ({ context, params }) => {
    void context.queryClient.prefetchQuery(siteQuery(params.siteId));
    void context.queryClient.prefetchQuery(devicesQuery({ kind: 'site', id: params.siteId }));
  },
  component: lazyRouteComponent(() => import('./routes/site'), 'SitePage'),
});

const devices = createRoute({
  getParentRoute: () => app,
  path: 'devices',
  validateSearch: (raw: Raw): { st?: string; q?: string; sort?: string } => ({
    st: text(raw.st),
    q: text(raw.q),
    sort: text(raw.sort),
  }),
  loaderDeps: ({ search }) => ({ scope: search.scope }),
  loader: ({ context, deps }) => void context.queryClient.prefetchQuery(devicesQuery(parseScope(deps.scope))),
  component: lazyRouteComponent(() => import('./routes/devices'), 'DevicesPage'),
});

const device = createRoute({
  getParentRoute: () => app,
  path: 'devices/$deviceId',
  validateSearch: (raw: Raw): { from?: string; to?: string; last?: string; if?: string; all?: string } => ({
    from: text(raw.from),
    to: text(raw.to),
    last: text(raw.last),
    if: text(raw.if),
    all: text(raw.all),
  }),
  loader: ({ context, params }) => {
    void context.queryClient.prefetchQuery(deviceQuery(params.deviceId));
    void context.queryClient.prefetchQuery(interfacesQuery(params.deviceId));
  },
  component: lazyRouteComponent(() => import('./routes/device'), 'DevicePage'),
});

const INCIDENT_VIEWS = ['unacknowledged', 'mine', 'closed'] as const;
export type IncidentView = (typeof INCIDENT_VIEWS)[number] | undefined;
const incidentSearch = (raw: Raw): { view?: IncidentView } => ({
  view: INCIDENT_VIEWS.find((view) => view === raw.view),
});

const incidents = createRoute({
  getParentRoute: () => app,
  path: 'incidents',
  validateSearch: incidentSearch,
  loaderDeps: ({ search }) => ({ scope: search.scope }),
  loader: ({ context, deps }) =>
    void context.queryClient.prefetchQuery(incidentsQuery(parseScope(deps.scope), { state: 'active' })),
  component: lazyRouteComponent(() => import('./routes/incidents'), 'IncidentsPage'),
});

const incident = createRoute({
  getParentRoute: () => app,
  path: 'incidents/$incidentId',
  validateSearch: incidentSearch,
  loader: ({ context, params }) =>
    void context.queryClient.prefetchQuery(incidentQuery(Number(params.incidentId))),
  component: lazyRouteComponent(() => import('./routes/incident'), 'IncidentPage'),
});

const PROBE_VIEWS = ['silent', 'attention', 'reporting', 'revoked'] as const;
export type ProbeView = (typeof PROBE_VIEWS)[number] | undefined;

const probes = createRoute({
  getParentRoute: () => app,
  path: 'probes',
  validateSearch: (raw: Raw): { view?: ProbeView; q?: string; sort?: string } => ({
    view: PROBE_VIEWS.find((view) => view === raw.view),
    q: text(raw.q),
    sort: text(raw.sort),
  }),
  loaderDeps: ({ search }) => ({ scope: search.scope }),
  loader: ({ context, deps }) => void context.queryClient.prefetchQuery(probesQuery(parseScope(deps.scope))),
  component: lazyRouteComponent(() => import('./routes/probes'), 'ProbesPage'),
});

const probeNew = createRoute({
  getParentRoute: () => app,
  path: 'probes/new',
  validateSearch: (raw: Raw): { customer?: string; site?: string } => ({
    customer: text(raw.customer),
    site: text(raw.site),
  }),
  component: lazyRouteComponent(() => import('./routes/probe-new'), 'ProbeNewPage'),
});

const probe = createRoute({
  getParentRoute: () => app,
  path: 'probes/$probeId',
  loader: ({ context, params }) => void context.queryClient.prefetchQuery(probeQuery(params.probeId)),
  component: lazyRouteComponent(() => import('./routes/probe'), 'ProbePage'),
});

const channels = createRoute({
  getParentRoute: () => app,
  path: 'alerting/channels',
  loader: ({ context }) => void context.queryClient.prefetchQuery(channelsQuery),
  component: lazyRouteComponent(() => import('./routes/channels'), 'ChannelsPage'),
});

const credentials = createRoute({
  getParentRoute: () => app,
  path: 'admin/credentials',
  component: lazyRouteComponent(() => import('./routes/credentials'), 'CredentialsPage'),
});

const users = createRoute({
  getParentRoute: () => app,
  path: 'admin/users',
  component: lazyRouteComponent(() => import('./routes/users'), 'UsersPage'),
});

const audit = createRoute({
  getParentRoute: () => app,
  path: 'admin/audit',
  component: lazyRouteComponent(() => import('./routes/audit'), 'AuditPage'),
});

const health = createRoute({
  getParentRoute: () => app,
  path: 'admin/health',
  component: lazyRouteComponent(() => import('./routes/health'), 'HealthPage'),
});

const profile = createRoute({
  getParentRoute: () => app,
  path: 'profile',
  component: lazyRouteComponent(() => import('./routes/profile'), 'ProfilePage'),
});

const tree = root.addChildren([
  login,
  setup,
  app.addChildren([
    overview,
    customers,
    customer,
    site,
    devices,
    device,
    incidents,
    incident,
    probes,
    probeNew,
    probe,
    channels,
    credentials,
    users,
    audit,
    health,
    profile,
  ]),
]);

export function makeRouter(queryClient: QueryClient) {
  return createRouter({
    routeTree: tree,
    context: { queryClient },
    defaultPreload: 'intent',
    defaultPreloadStaleTime: 0,
    scrollRestoration: false,
    // Plain query strings, as a person would write them into a ticket.
    parseSearch: (search) => Object.fromEntries(new URLSearchParams(search)),
    stringifySearch: (search) => {
      const params = new URLSearchParams();
      for (const [key, value] of Object.entries(search)) {
        if (typeof value === 'string' && value !== '') params.set(key, value);
      }
      const query = params.toString();
      return query ? `?${query}` : '';
    },
  });
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
