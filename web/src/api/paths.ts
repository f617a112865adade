/**
 * The routes of the API in the shape openapi-fetch reads, until `schema.d.ts` is generated from Central's document.
 */
import type * as T from './types';

interface Ask {
  path?: object;
  query?: object;
  body?: unknown;
}
type Op<Out, In extends Ask = Record<never, never>> = {
  parameters: {
    query?: In extends { query: infer Q } ? Q : never;
    header?: never;
    cookie?: never;
  } & (In extends { path: infer P } ? { path: P } : { path?: never });
  responses: { 200: { headers: Record<string, unknown>; content: { 'application/json': Out } } };
} & (In extends { body: infer B }
  ? { requestBody: { content: { 'application/json': B } } }
  : { requestBody?: never });
type ById<Id = string> = { path: { id: Id } };
type Page = { limit?: number; after?: string };
type InScope = { customer_id?: T.Id; site_id?: T.Id };

export interface paths {
  '/api/v1/setup': {
    get: Op<T.Setup>;
    post: Op<
      T.Session,
      { body: { token: string; user_name: string; display_name: string; password: string } }
    >;
  };
  '/api/v1/session': {
    get: Op<T.Session>;
    post: Op<T.Session, { body: { user_name: string; password: string } }>;
    delete: Op<never>;
  };
  '/api/v1/me': {
    get: Op<T.User>;
    patch: Op<
      T.User,
      {
        body: {
          display_name?: string;
          preferences?: T.Preferences;
          password?: { current: string; new: string };
        };
      }
    >;
  };
  '/api/v1/users': {
    get: Op<T.List<T.User>>;
    post: Op<
      T.User,
      {
        body: {
          user_name: string;
          display_name: string;
          password: string;
          role: T.Role;
          customer_id?: T.Id | null;
        };
      }
    >;
  };
  '/api/v1/users/{id}': { delete: Op<never, ById> };
  '/api/v1/overview': { get: Op<T.Overview, { query: InScope }> };
  '/api/v1/customers': {
    get: Op<T.List<T.CustomerRow>, { query: Page }>;
    post: Op<T.CustomerRow, { body: { name: string; note?: string } }>;
  };
  '/api/v1/customers/{id}': {
    get: Op<T.CustomerRow, ById>;
    patch: Op<T.CustomerRow, ById & { body: { name?: string; note?: string } }>;
    delete: Op<never, ById & { body: { confirm_name: string } }>;
  };
  '/api/v1/sites': {
    get: Op<T.List<T.SiteRow>, { query: { customer_id?: T.Id } & Page }>;
    post: Op<T.SiteRow, { body: { customer_id: T.Id; name: string; time_zone?: string; note?: string } }>;
  };
  '/api/v1/sites/{id}': {
    get: Op<T.SiteRow, ById>;
    patch: Op<T.SiteRow, ById & { body: { name?: string; time_zone?: string; note?: string } }>;
    delete: Op<never, ById & { body: { confirm_name: string } }>;
  };
  '/api/v1/sites/{id}/site-config': {
    get: Op<T.SiteConfig, ById>;
    put: Op<T.SiteConfig, ById & { body: T.SiteConfigInput }>;
  };
  '/api/v1/sites/{id}/discovery': {
    get: Op<T.Discovery, ById>;
    post: Op<Record<string, never>, ById>;
  };
  '/api/v1/sites/{id}/discovery/addresses': {
    get: Op<
      T.List<T.DiscoveredAddress>,
      ById & { query: { q?: string; only?: 'no_snmp' | 'not_a_device' } & Page }
    >;
  };
  '/api/v1/credentials': {
    get: Op<T.List<T.Credential>, { query: { customer_id?: T.Id } & Page }>;
    post: Op<T.Credential, { body: T.CredentialInput }>;
  };
  '/api/v1/credentials/{id}': {
    patch: Op<T.Credential, ById & { body: Partial<T.CredentialInput> }>;
    delete: Op<never, ById>;
  };
  '/api/v1/join-tokens': {
    get: Op<T.List<T.JoinToken>, { query: { site_id?: T.Id } & Page }>;
    post: Op<T.JoinTokenCreated, { body: { site_id: T.Id; probe_name?: string; valid_for_s?: number } }>;
  };
  '/api/v1/join-tokens/{id}': { get: Op<T.JoinToken, ById>; delete: Op<never, ById> };
  '/api/v1/probes': { get: Op<T.List<T.Probe>, { query: InScope & Page }> };
  '/api/v1/probes/{id}': {
    get: Op<T.Probe, ById>;
    patch: Op<T.Probe, ById & { body: { name: string } }>;
    delete: Op<never, ById & { body: { reason: string } }>;
  };
  '/api/v1/probes/{id}/echo': { post: Op<{ rtt_ms: number }, ById> };
  '/api/v1/probes/{id}/ledger': { get: Op<T.Ledger, ById> };
  '/api/v1/devices': {
    get: Op<T.DeviceList, { query: InScope & Page & { state?: T.State; q?: string; sort?: string } }>;
    post: Op<Record<string, never>, { body: { site_id: T.Id; address: string; snmp_port?: number } }>;
  };
  '/api/v1/devices/{id}': {
    get: Op<T.Device, ById>;
    patch: Op<
      T.Device,
      ById & { body: { display_name?: string | null; note?: string; muted_until?: T.Time | null } }
    >;
    delete: Op<never, ById>;
  };
  '/api/v1/devices/{id}/interfaces': { get: Op<T.List<T.Interface>, ById> };
  '/api/v1/devices/{id}/neighbours': { get: Op<T.List<T.Neighbour>, ById> };
  '/api/v1/devices/{id}/events': { get: Op<T.List<T.Event>, ById & { query: Page }> };
  '/api/v1/events': {
    get: Op<T.List<T.Event>, { query: InScope & Page & { probe_id?: T.Id } }>;
  };
  '/api/v1/metrics/range': {
    get: Op<
      T.Range,
      {
        query: {
          device: T.Id;
          metric: string;
          instance?: string;
          from: T.Time;
          to: T.Time;
          step?: number;
        };
      }
    >;
  };
  '/api/v1/metrics/top': {
    get: Op<T.Top, { query: InScope & { metric: string; n?: number } }>;
  };
  '/api/v1/incidents': {
    get: Op<
      T.List<T.Incident>,
      {
        query: InScope &
          Page & {
            state?: 'open' | 'acknowledged' | 'resolved' | 'active';
            device_id?: T.Id;
          };
      }
    >;
  };
  '/api/v1/incidents/{id}': { get: Op<T.Incident, ById<number>> };
  '/api/v1/incidents/{id}/acknowledge': {
    post: Op<T.Incident, ById<number> & { body: { note?: string } }>;
  };
  '/api/v1/incidents/{id}/resolve': {
    post: Op<T.Incident, ById<number> & { body: { note?: string } }>;
  };
  '/api/v1/incidents/{id}/notes': {
    post: Op<T.Incident, ById<number> & { body: { text: string } }>;
  };
  '/api/v1/channels': {
    get: Op<T.List<T.Channel>>;
    post: Op<T.Channel, { body: T.ChannelInput }>;
  };
  '/api/v1/channels/{id}': {
    patch: Op<T.Channel, ById & { body: Partial<T.ChannelInput> }>;
    delete: Op<never, ById>;
  };
  '/api/v1/channels/{id}/test': { post: Op<T.ChannelTest, ById> };
  '/api/v1/audit': { get: Op<T.List<T.AuditEntry>, { query: { customer_id?: T.Id } & Page }> };
}
