/** Everything the console reads, by name. Keys start with the noun, so that live events can find them. */
import { queryOptions } from '@tanstack/react-query';
import { type Scope, scopeQuery } from '../lib/scope';
import { api, setCsrfToken, take } from './client';
import { learnTime, serverNow } from './clock';
import type { components } from './schema';
import type { Id, SiteConfig } from './types';

/** The most rows one list holds; Central answers no more in one page. */
export const MAX_ROWS = 10_000;

export const sessionQuery = queryOptions({
  queryKey: ['session'],
  queryFn: async ({ signal }) => {
    const asked = Date.now();
    const session = await take(api.GET('/api/v1/session', { signal }));
    learnTime(session.server_time, asked, Date.now());
    setCsrfToken(session.csrf_token);
    return session;
  },
  staleTime: Number.POSITIVE_INFINITY,
  retry: 1,
});

export const setupQuery = queryOptions({
  queryKey: ['setup'],
  queryFn: ({ signal }) => take(api.GET('/api/v1/setup', { signal })),
  staleTime: 0,
});

export const overviewQuery = (scope: Scope) =>
  queryOptions({
    queryKey: ['overview', scopeQuery(scope)],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/overview', { params: { query: scopeQuery(scope) }, signal })),
    refetchInterval: 60_000,
  });

export const customersQuery = queryOptions({
  queryKey: ['customers'],
  queryFn: ({ signal }) =>
    take(api.GET('/api/v1/customers', { params: { query: { limit: MAX_ROWS } }, signal })),
});

export const customerQuery = (id: Id) =>
  queryOptions({
    queryKey: ['customer', id],
    queryFn: ({ signal }) => take(api.GET('/api/v1/customers/{id}', { params: { path: { id } }, signal })),
  });

export const sitesQuery = (customer_id?: Id) =>
  queryOptions({
    queryKey: ['sites', { customer_id }],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/sites', { params: { query: { customer_id, limit: MAX_ROWS } }, signal })),
  });

export const siteQuery = (id: Id) =>
  queryOptions({
    queryKey: ['site', id],
    queryFn: ({ signal }) => take(api.GET('/api/v1/sites/{id}', { params: { path: { id } }, signal })),
  });

export const siteConfigQuery = (id: Id) =>
  queryOptions({
    queryKey: ['site-config', id],
    queryFn: ({ signal }) => readSiteConfig(id, signal),
  });

/** An answer holds all of it; the document only says that a change may leave parts out. */
export async function readSiteConfig(id: Id, signal?: AbortSignal): Promise<SiteConfig> {
  const config = await take(api.GET('/api/v1/sites/{id}/site-config', { params: { path: { id } }, signal }));
  return wholeConfig(config);
}

export function wholeConfig(config: components['schemas']['SiteConfig']): SiteConfig {
  return {
    ranges: [],
    exclude: [],
    credential_ids: [],
    snmp_ports: [161],
    allow_loopback: false,
    icmp_interval_s: 10,
    poll_interval_s: 60,
    inventory_interval_s: 3600,
    discovery_interval_s: 3600,
    icmp_rate_per_s: 100,
    ...config,
  };
}

export const credentialsQuery = (customer_id?: Id) =>
  queryOptions({
    queryKey: ['credentials', { customer_id }],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/credentials', { params: { query: { customer_id, limit: MAX_ROWS } }, signal })),
  });

export const discoveryQuery = (id: Id) =>
  queryOptions({
    queryKey: ['discovery', id],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/sites/{id}/discovery', { params: { path: { id } }, signal })),
  });

export type Only = 'no_snmp' | 'not_a_device';
export const addressesQuery = (id: Id, q: string, only: Only | undefined) =>
  queryOptions({
    queryKey: ['discovery', id, 'addresses', { q, only }],
    queryFn: ({ signal }) =>
      take(
        api.GET('/api/v1/sites/{id}/discovery/addresses', {
          params: { path: { id }, query: { q: q || undefined, only, limit: 1000 } },
          signal,
        }),
      ),
  });

export const joinTokensQuery = (site_id: Id) =>
  queryOptions({
    queryKey: ['join-tokens', { site_id }],
    queryFn: ({ signal }) => take(api.GET('/api/v1/join-tokens', { params: { query: { site_id } }, signal })),
  });

export const joinTokenQuery = (id: Id) =>
  queryOptions({
    queryKey: ['join-token', id],
    queryFn: ({ signal }) => take(api.GET('/api/v1/join-tokens/{id}', { params: { path: { id } }, signal })),
    refetchInterval: 2000,
  });

export const probesQuery = (scope: Scope) =>
  queryOptions({
    queryKey: ['probes', scopeQuery(scope)],
    queryFn: ({ signal }) =>
      take(
        api.GET('/api/v1/probes', { params: { query: { ...scopeQuery(scope), limit: MAX_ROWS } }, signal }),
      ),
    refetchInterval: 10_000,
  });

export const probeQuery = (id: Id) =>
  queryOptions({
    queryKey: ['probe', id],
    queryFn: ({ signal }) => take(api.GET('/api/v1/probes/{id}', { params: { path: { id } }, signal })),
    refetchInterval: 10_000,
  });

export const ledgerQuery = (id: Id) =>
  queryOptions({
    queryKey: ['probe', id, 'ledger'],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/probes/{id}/ledger', { params: { path: { id } }, signal })),
  });

export const probeEventsQuery = (probe_id: Id) =>
  queryOptions({
    queryKey: ['events', { probe_id }],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/events', { params: { query: { probe_id, limit: 50 } }, signal })),
  });

export const devicesQuery = (scope: Scope) =>
  queryOptions({
    queryKey: ['devices', scopeQuery(scope)],
    queryFn: ({ signal }) =>
      take(
        api.GET('/api/v1/devices', { params: { query: { ...scopeQuery(scope), limit: MAX_ROWS } }, signal }),
      ),
    refetchInterval: 120_000,
  });

export const deviceQuery = (id: Id) =>
  queryOptions({
    queryKey: ['device', id],
    queryFn: ({ signal }) => take(api.GET('/api/v1/devices/{id}', { params: { path: { id } }, signal })),
  });

export const interfacesQuery = (id: Id) =>
  queryOptions({
    queryKey: ['device', id, 'interfaces'],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/devices/{id}/interfaces', { params: { path: { id } }, signal })),
  });

export const readingsQuery = (id: Id) =>
  queryOptions({
    queryKey: ['device', id, 'readings'],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/devices/{id}/sensors', { params: { path: { id } }, signal })),
    refetchInterval: 30_000,
  });

export const neighboursQuery = (id: Id) =>
  queryOptions({
    queryKey: ['device', id, 'neighbours'],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/devices/{id}/neighbours', { params: { path: { id } }, signal })),
  });

export const deviceEventsQuery = (id: Id) =>
  queryOptions({
    queryKey: ['device', id, 'events'],
    queryFn: ({ signal }) =>
      take(
        api.GET('/api/v1/devices/{id}/events', { params: { path: { id }, query: { limit: 100 } }, signal }),
      ),
  });

/** A window that ends now is asked for by its length, so that it moves on at each refresh. */
export type Window = { last_ms: number } | { from: number; to: number };

/** `of`: an interface by its id, a sensor, disk or processor by its number; the device itself by default. */
export const rangeQuery = (device: Id, metric: string, window: Window, of?: Id | number, step?: number) =>
  queryOptions({
    queryKey: ['range', device, { metric, of, window, step }],
    queryFn: async ({ signal }) => {
      const to = 'to' in window ? window.to : serverNow();
      const from = 'from' in window ? window.from : to - window.last_ms;
      const answer = await take(
        api.GET('/api/v1/metrics/range', {
          params: {
            query: {
              device,
              metric,
              instance: typeof of === 'string' ? of : undefined,
              reading: typeof of === 'number' ? of : undefined,
              from: new Date(from).toISOString(),
              to: new Date(to).toISOString(),
              step,
            },
          },
          signal,
        }),
      );
      return { ...answer, from, to };
    },
    refetchInterval: 'to' in window ? false : 30_000,
  });

export const topQuery = (metric: string, scope: Scope, n: number) =>
  queryOptions({
    queryKey: ['top', metric, n, scopeQuery(scope)],
    queryFn: ({ signal }) =>
      take(
        api.GET('/api/v1/metrics/top', { params: { query: { metric, n, ...scopeQuery(scope) } }, signal }),
      ),
    refetchInterval: 60_000,
  });

export type IncidentFilter = { state: 'active' | 'resolved'; device_id?: Id };
export const incidentsQuery = (scope: Scope, filter: IncidentFilter) =>
  queryOptions({
    queryKey: ['incidents', { ...filter, ...scopeQuery(scope) }],
    queryFn: ({ signal }) =>
      take(
        api.GET('/api/v1/incidents', {
          params: {
            query: { ...scopeQuery(scope), ...filter, limit: filter.state === 'resolved' ? 200 : 1000 },
          },
          signal,
        }),
      ),
    refetchInterval: 60_000,
  });

export const incidentQuery = (id: number) =>
  queryOptions({
    queryKey: ['incident', id],
    queryFn: ({ signal }) => take(api.GET('/api/v1/incidents/{id}', { params: { path: { id } }, signal })),
  });

export const channelsQuery = queryOptions({
  queryKey: ['channels'],
  queryFn: ({ signal }) => take(api.GET('/api/v1/channels', { signal })),
});

export const usersQuery = queryOptions({
  queryKey: ['users'],
  queryFn: ({ signal }) => take(api.GET('/api/v1/users', { signal })),
});

export const healthQuery = queryOptions({
  queryKey: ['health'],
  queryFn: ({ signal }) => take(api.GET('/api/v1/health', { signal })),
  refetchInterval: 10_000,
});

export const auditQuery = (customer_id?: Id) =>
  queryOptions({
    queryKey: ['audit', { customer_id }],
    queryFn: ({ signal }) =>
      take(api.GET('/api/v1/audit', { params: { query: { customer_id, limit: 500 } }, signal })),
  });
