/** Everything the console changes: ask Central, then say which queries are out of date. */
import type { QueryClient } from '@tanstack/react-query';
import { api, done, setCsrfToken, take } from './client';
import { sessionQuery, wholeConfig } from './queries';
import type {
  ChannelChange,
  ChannelInput,
  CredentialChange,
  CredentialInput,
  Device,
  Id,
  Incident,
  Role,
  Session,
  SiteConfigInput,
  User,
} from './types';

function signedIn(client: QueryClient, session: Session): void {
  setCsrfToken(session.csrf_token);
  client.clear();
  client.setQueryData(sessionQuery.queryKey, session);
}

export async function signIn(
  client: QueryClient,
  body: { user_name: string; password: string },
): Promise<void> {
  signedIn(client, await take(api.POST('/api/v1/session', { body })));
}

/** After the session ended: the same as signing in, but what is on the screen stays. */
export async function signInAgain(
  client: QueryClient,
  body: { user_name: string; password: string },
): Promise<User> {
  const session = await take(api.POST('/api/v1/session', { body }));
  if (session.user === null) throw new Error('Central signed nobody in.');
  setCsrfToken(session.csrf_token);
  client.setQueryData(sessionQuery.queryKey, session);
  void client.invalidateQueries({ predicate: (query) => query.queryKey !== sessionQuery.queryKey });
  return session.user;
}

export async function signOut(client: QueryClient): Promise<void> {
  await done(api.DELETE('/api/v1/session'));
  setCsrfToken(null);
  client.clear();
}

export async function setUp(
  client: QueryClient,
  body: { token: string; user_name: string; display_name: string; password: string },
): Promise<void> {
  signedIn(client, await take(api.POST('/api/v1/setup', { body })));
}

export async function updateMe(
  client: QueryClient,
  body: {
    display_name?: string;
    preferences?: Record<string, unknown>;
    password?: { current: string; new: string };
  },
): Promise<User> {
  const user = await take(api.PATCH('/api/v1/me', { body }));
  client.setQueryData(sessionQuery.queryKey, (session) => session && { ...session, user });
  return user;
}

export async function createUser(
  client: QueryClient,
  body: { user_name: string; display_name: string; password: string; role: Role; customer_id?: Id | null },
): Promise<User> {
  const user = await take(api.POST('/api/v1/users', { body }));
  await client.invalidateQueries({ queryKey: ['users'] });
  return user;
}

export async function deleteUser(client: QueryClient, id: Id): Promise<void> {
  await done(api.DELETE('/api/v1/users/{id}', { params: { path: { id } } }));
  await client.invalidateQueries({ queryKey: ['users'] });
}

/** After customers or sites changed, everything that counts them is asked for again. */
async function placesChanged(client: QueryClient): Promise<void> {
  await Promise.all(
    ['customers', 'customer', 'sites', 'site', 'overview'].map((noun) =>
      client.invalidateQueries({ queryKey: [noun] }),
    ),
  );
}

export async function createCustomer(client: QueryClient, body: { name: string; note?: string }) {
  const customer = await take(api.POST('/api/v1/customers', { body }));
  await placesChanged(client);
  return customer;
}

export async function updateCustomer(client: QueryClient, id: Id, body: { name?: string; note?: string }) {
  const customer = await take(api.PATCH('/api/v1/customers/{id}', { params: { path: { id } }, body }));
  await placesChanged(client);
  return customer;
}

export async function deleteCustomer(client: QueryClient, id: Id, confirm_name: string): Promise<void> {
  await done(api.DELETE('/api/v1/customers/{id}', { params: { path: { id } }, body: { confirm_name } }));
  await placesChanged(client);
}

export async function createSite(
  client: QueryClient,
  body: { customer_id: Id; name: string; time_zone?: string; note?: string },
) {
  const site = await take(api.POST('/api/v1/sites', { body }));
  await placesChanged(client);
  return site;
}

export async function updateSite(
  client: QueryClient,
  id: Id,
  body: { name?: string; time_zone?: string; note?: string },
) {
  const site = await take(api.PATCH('/api/v1/sites/{id}', { params: { path: { id } }, body }));
  await placesChanged(client);
  return site;
}

export async function deleteSite(client: QueryClient, id: Id, confirm_name: string): Promise<void> {
  await done(api.DELETE('/api/v1/sites/{id}', { params: { path: { id } }, body: { confirm_name } }));
  await placesChanged(client);
}

export async function saveSiteConfig(client: QueryClient, id: Id, body: SiteConfigInput) {
  const answer = await take(api.PUT('/api/v1/sites/{id}/site-config', { params: { path: { id } }, body }));
  const config = wholeConfig(answer);
  client.setQueryData(['site-config', id], config);
  return config;
}

export async function startDiscovery(client: QueryClient, id: Id): Promise<void> {
  await done(api.POST('/api/v1/sites/{id}/discovery', { params: { path: { id } } }));
  await client.invalidateQueries({ queryKey: ['discovery', id] });
}

export async function createCredential(client: QueryClient, body: CredentialInput) {
  const credential = await take(api.POST('/api/v1/credentials', { body }));
  await client.invalidateQueries({ queryKey: ['credentials'] });
  return credential;
}

export async function updateCredential(client: QueryClient, id: Id, body: CredentialChange) {
  const credential = await take(api.PATCH('/api/v1/credentials/{id}', { params: { path: { id } }, body }));
  await client.invalidateQueries({ queryKey: ['credentials'] });
  return credential;
}

export async function deleteCredential(client: QueryClient, id: Id): Promise<void> {
  await done(api.DELETE('/api/v1/credentials/{id}', { params: { path: { id } } }));
  await client.invalidateQueries({ queryKey: ['credentials'] });
}

export async function createJoinToken(
  client: QueryClient,
  body: { site_id: Id; probe_name?: string; valid_for_s?: number },
) {
  const token = await take(api.POST('/api/v1/join-tokens', { body }));
  await client.invalidateQueries({ queryKey: ['join-tokens'] });
  return token;
}

export async function voidJoinToken(client: QueryClient, id: Id): Promise<void> {
  await done(api.DELETE('/api/v1/join-tokens/{id}', { params: { path: { id } } }));
  await client.invalidateQueries({ queryKey: ['join-tokens'] });
}

export async function renameProbe(client: QueryClient, id: Id, name: string) {
  const probe = await take(api.PATCH('/api/v1/probes/{id}', { params: { path: { id } }, body: { name } }));
  await client.invalidateQueries({ queryKey: ['probes'] });
  client.setQueryData(['probe', id], probe);
  return probe;
}

export async function revokeProbe(client: QueryClient, id: Id, reason: string): Promise<void> {
  await done(api.DELETE('/api/v1/probes/{id}', { params: { path: { id } }, body: { reason } }));
  await Promise.all([
    client.invalidateQueries({ queryKey: ['probes'] }),
    client.invalidateQueries({ queryKey: ['probe', id] }),
  ]);
}

/** Round trip to the probe and back, in ms. */
export async function echoProbe(client: QueryClient, id: Id): Promise<number> {
  const { rtt_ms } = await take(api.POST('/api/v1/probes/{id}/echo', { params: { path: { id } } }));
  void client.invalidateQueries({ queryKey: ['probe', id], exact: true });
  return rtt_ms;
}

export async function addAddress(
  client: QueryClient,
  body: { site_id: Id; address: string; snmp_port?: number },
): Promise<void> {
  await done(api.POST('/api/v1/devices', { body }));
  await client.invalidateQueries({ queryKey: ['discovery', body.site_id] });
}

export async function updateDevice(
  client: QueryClient,
  id: Id,
  body: { display_name?: string | null; note?: string; muted_until?: string | null },
): Promise<Device> {
  const device = await take(api.PATCH('/api/v1/devices/{id}', { params: { path: { id } }, body }));
  client.setQueryData(['device', id], device);
  void client.invalidateQueries({ queryKey: ['devices'] });
  return device;
}

export async function forgetDevice(client: QueryClient, id: Id): Promise<void> {
  await done(api.DELETE('/api/v1/devices/{id}', { params: { path: { id } } }));
  await Promise.all([
    client.invalidateQueries({ queryKey: ['devices'] }),
    client.invalidateQueries({ queryKey: ['overview'] }),
  ]);
}

function incidentChanged(client: QueryClient, incident: Incident): Incident {
  client.setQueryData(['incident', incident.id], incident);
  void client.invalidateQueries({ queryKey: ['incidents'] });
  void client.invalidateQueries({ queryKey: ['overview'] });
  return incident;
}

export async function acknowledge(client: QueryClient, id: number, note?: string): Promise<Incident> {
  const answer = await take(
    api.POST('/api/v1/incidents/{id}/acknowledge', { params: { path: { id } }, body: note ? { note } : {} }),
  );
  return incidentChanged(client, answer);
}

export async function resolve(client: QueryClient, id: number, note?: string): Promise<Incident> {
  const answer = await take(
    api.POST('/api/v1/incidents/{id}/resolve', { params: { path: { id } }, body: note ? { note } : {} }),
  );
  return incidentChanged(client, answer);
}

export async function addNote(client: QueryClient, id: number, text: string): Promise<Incident> {
  const answer = await take(
    api.POST('/api/v1/incidents/{id}/notes', { params: { path: { id } }, body: { text } }),
  );
  return incidentChanged(client, answer);
}

export async function createChannel(client: QueryClient, body: ChannelInput) {
  const channel = await take(api.POST('/api/v1/channels', { body }));
  await client.invalidateQueries({ queryKey: ['channels'] });
  return channel;
}

export async function updateChannel(client: QueryClient, id: Id, body: ChannelChange) {
  const channel = await take(api.PATCH('/api/v1/channels/{id}', { params: { path: { id } }, body }));
  await client.invalidateQueries({ queryKey: ['channels'] });
  return channel;
}

export async function deleteChannel(client: QueryClient, id: Id): Promise<void> {
  await done(api.DELETE('/api/v1/channels/{id}', { params: { path: { id } } }));
  await client.invalidateQueries({ queryKey: ['channels'] });
}

export async function testChannel(client: QueryClient, id: Id) {
  const result = await take(api.POST('/api/v1/channels/{id}/test', { params: { path: { id } } }));
  void client.invalidateQueries({ queryKey: ['channels'] });
  return result;
}
