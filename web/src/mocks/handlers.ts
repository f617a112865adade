/** The API as it would answer, over the invented data. Each browser tab has its own copy, gone with the tab. */
import { HttpResponse, http } from 'msw';
import type { Device, JoinToken, Probe, Session } from '../api/types';
import { countStates } from '../lib/state';
import {
  addCustomer,
  addDevice,
  addSite,
  ago,
  audit,
  channels,
  configs,
  credentials,
  customers,
  devices,
  fullDevice,
  health,
  incidents,
  probes,
  recount,
  sites,
  users,
} from './data';
import { hash, idOf, random } from './random';
import { events, interfaces, neighbours, range, readings } from './series';

const query = new URLSearchParams(location.search);
/** `?mock=setup`, `?mock=login`, `?mock=empty`, `?mock=broken`: other first states, kept for the tab. */
const wanted = query.get('mock') ?? sessionStorage.getItem('mock') ?? '';
if (query.get('mock')) sessionStorage.setItem('mock', wanted);

let signedIn = wanted !== 'login' && wanted !== 'setup';
let password = 'farwatch';
let setupNeeded = wanted === 'setup';
if (wanted === 'empty') {
  customers.length = 0;
  sites.length = 0;
  probes.length = 0;
  devices.length = 0;
  incidents.length = 0;
  channels.length = 0;
  credentials.length = 0;
}
const CSRF = 'mock-csrf';
if (wanted === 'many') {
  // As many as one list holds, to see that it stays quick.
  for (let i = 0; devices.length < 10_000; i++) {
    const like = devices[i % 4000];
    if (like) devices.push({ ...like, id: idOf(`many ${i}`), name: `${like.name}-${i}` });
  }
}
const overrides = new Map<string, Partial<Device>>();
const tokens = new Map<string, Omit<JoinToken, 'progress'> & { begun: number }>();

const session = (): Session => ({
  user: signedIn ? (users[0] ?? null) : null,
  csrf_token: signedIn ? CSRF : null,
  server_time: new Date().toISOString(),
  version: signedIn ? '1.4.2' : null,
});

let request = 0;
function problem(
  status: number,
  title: string,
  detail?: string,
  fields?: { field: string; detail: string }[],
) {
  request += 1;
  const instance = `7f2c-${(0x91a0 + request).toString(16)}`;
  return HttpResponse.json(
    { type: 'about:blank', title, status, detail, instance, errors: fields },
    { status, headers: { 'content-type': 'application/problem+json' } },
  );
}
const list = <T>(items: T[]) => HttpResponse.json({ items, next: null, total: items.length });
const gone = () => problem(404, 'Not found');
const nothing = () => new HttpResponse(null, { status: 204 });

function inScope(url: string): (one: { customer_id: string | null; site_id?: string | null }) => boolean {
  const params = new URL(url).searchParams;
  const customer = params.get('customer_id');
  const site = params.get('site_id');
  return (one) => (!customer || one.customer_id === customer) && (!site || one.site_id === site);
}

/** Fresh ages: whoever is connected was heard within seconds, and what is up was measured as lately. */
function lively(): void {
  for (const probe of probes) {
    if (probe.connected) probe.last_heard_at = ago(1 + (Math.abs(hash(probe.id)) % 9) * 0.9);
  }
  for (const device of devices) {
    if (device.state === 'up' || device.state === 'degraded' || device.state === 'maintenance') {
      device.value_at = ago(1 + (Math.abs(hash(device.id)) % 9));
    }
  }
}
setInterval(lively, 5000);

type Body = Record<string, unknown>;
// Mock handlers believe their own page: the shape was checked by the types of the caller.
const bodyOf = async (asked: Request) => (await asked.json()) as Body;

const API = '*/api/v1';
export const handlers = [
  http.all(`${API}/*`, ({ request: asked }) => {
    const path = new URL(asked.url).pathname;
    const open = /\/(session|setup)$/.test(path);
    if (!signedIn && !open) return problem(401, 'Sign in first');
    if (asked.method !== 'GET' && !open && asked.headers.get('x-csrf-token') !== CSRF) {
      return problem(403, 'The request did not come from this page', 'x-csrf-token is missing');
    }
    if (wanted === 'broken' && /metrics|overview/.test(path)) {
      return problem(504, 'Gateway Timeout', 'the metric store took longer than 10 s to answer');
    }
    return undefined;
  }),

  http.get(`${API}/setup`, () => HttpResponse.json({ needed: setupNeeded })),
  http.post(`${API}/setup`, async ({ request: asked }) => {
    const body = await bodyOf(asked);
    if (!setupNeeded || body.token !== 'mock-token') return gone();
    setupNeeded = false;
    signedIn = true;
    password = String(body.password);
    return HttpResponse.json(session(), { status: 201 });
  }),
  http.get(`${API}/session`, () => HttpResponse.json(session())),
  http.post(`${API}/session`, async ({ request: asked }) => {
    const body = await bodyOf(asked);
    if (body.password === 'slow') return problem(429, 'Too many tries');
    if (body.password !== password) return problem(401, 'User name and password do not match');
    signedIn = true;
    sessionStorage.removeItem('mock');
    return HttpResponse.json(session());
  }),
  http.delete(`${API}/session`, () => {
    signedIn = false;
    return nothing();
  }),
  http.get(`${API}/me`, () => HttpResponse.json(users[0])),
  http.patch(`${API}/me`, async ({ request: asked }) => {
    const { password: change, ...body } = await bodyOf(asked);
    if (change && typeof change === 'object' && 'current' in change && change.current !== password) {
      return problem(422, 'Unprocessable Entity', undefined, [
        { field: 'password.current', detail: 'this is not the password in force' },
      ]);
    }
    if (users[0]) users[0] = { ...users[0], ...body };
    return HttpResponse.json(users[0]);
  }),
  http.get(`${API}/users`, () => list(users)),
  http.post(`${API}/users`, async ({ request: asked }) => {
    const body = await bodyOf(asked);
    const user = {
      id: idOf(String(body.user_name)),
      created_at: ago(0),
      preferences: {},
      customer_id: null,
      ...body,
    };
    users.push(user as never); // a mock: the page sent all fields of a user
    return HttpResponse.json(user, { status: 201 });
  }),
  http.delete(`${API}/users/:id`, ({ params }) => {
    users.splice(
      users.findIndex((user) => user.id === params.id),
      1,
    );
    return nothing();
  }),

  http.get(`${API}/overview`, ({ request: asked }) => {
    const here = inScope(asked.url);
    const shown = devices.filter(here);
    const rows = customers.filter((customer) => here({ customer_id: customer.id, site_id: null }));
    const own = incidents.filter((one) => one.state !== 'resolved' && here(one));
    const next = random(99);
    const bin = 900_000;
    const start = Math.floor(Date.now() / bin) * bin - 95 * bin;
    return HttpResponse.json({
      server_time: new Date().toISOString(),
      counts: countStates(shown),
      customers_total: customers.length,
      sites_total: sites.filter((site) => here({ customer_id: site.customer_id, site_id: site.id })).length,
      devices_total: shown.length,
      probes_total: probes.filter(here).length,
      probes_reporting: probes.filter((probe) => probe.connected && here(probe)).length,
      incidents_open: own.length,
      incidents_unacknowledged: own.filter((one) => one.state === 'open').length,
      customers: rows,
      events_histogram: Array.from({ length: 96 }, (_, i) => {
        let warning = next() < 0.55 ? Math.floor(next() * 3) : 0;
        let critical = next() < 0.05 ? 1 : 0;
        if (i > 61 && i < 67) {
          warning += 4 + Math.floor(next() * 3);
          critical += i === 62 ? 2 : 0;
        }
        if (i > 92) {
          warning += 2;
          critical += i === 94 ? 5 : i === 95 ? 3 : 0;
        }
        if (customers.length === 0) warning = critical = 0;
        return { at: new Date(start + i * bin).toISOString(), critical, warning };
      }),
      central: { healthy: true, samples_per_s: 9140, notes: [] },
    });
  }),

  http.get(`${API}/customers`, () => list(customers)),
  http.post(`${API}/customers`, async ({ request: asked }) => {
    const body = await bodyOf(asked);
    return HttpResponse.json(addCustomer(String(body.name), String(body.note ?? '')), { status: 201 });
  }),
  http.get(`${API}/customers/:id`, ({ params }) => {
    const found = customers.find((one) => one.id === params.id);
    return found ? HttpResponse.json(found) : gone();
  }),
  http.patch(`${API}/customers/:id`, async ({ params, request: asked }) => {
    const found = customers.find((one) => one.id === params.id);
    if (!found) return gone();
    Object.assign(found, await bodyOf(asked));
    return HttpResponse.json({ ...found });
  }),
  http.delete(`${API}/customers/:id`, ({ params }) => {
    customers.splice(
      customers.findIndex((one) => one.id === params.id),
      1,
    );
    return nothing();
  }),
  http.get(`${API}/sites`, ({ request: asked }) => {
    const customer = new URL(asked.url).searchParams.get('customer_id');
    return list(sites.filter((site) => !customer || site.customer_id === customer));
  }),
  http.post(`${API}/sites`, async ({ request: asked }) => {
    const body = await bodyOf(asked);
    const customer = customers.find((one) => one.id === body.customer_id);
    if (!customer) return gone();
    const site = addSite(
      customer,
      String(body.name),
      String(body.time_zone ?? 'UTC'),
      String(body.note ?? ''),
    );
    recount();
    return HttpResponse.json(site, { status: 201 });
  }),
  http.get(`${API}/sites/:id`, ({ params }) => {
    const found = sites.find((one) => one.id === params.id);
    return found ? HttpResponse.json(found) : gone();
  }),
  http.patch(`${API}/sites/:id`, async ({ params, request: asked }) => {
    const found = sites.find((one) => one.id === params.id);
    if (!found) return gone();
    Object.assign(found, await bodyOf(asked));
    return HttpResponse.json({ ...found });
  }),
  http.delete(`${API}/sites/:id`, ({ params }) => {
    sites.splice(
      sites.findIndex((one) => one.id === params.id),
      1,
    );
    return nothing();
  }),
  http.get(`${API}/sites/:id/site-config`, ({ params }) => {
    const config = configs.get(String(params.id));
    return config ? HttpResponse.json(config) : gone();
  }),
  http.put(`${API}/sites/:id/site-config`, async ({ params, request: asked }) => {
    const config = configs.get(String(params.id));
    const body = await bodyOf(asked);
    if (!config) return gone();
    if (body.revision !== config.revision) return problem(409, 'Somebody else saved this site meanwhile');
    const next = {
      ...config,
      ...body,
      revision: config.revision + 1,
      updated_at: ago(0),
      updated_by: 'dami',
    };
    configs.set(config.site_id, next);
    return HttpResponse.json(next);
  }),
  http.get(`${API}/sites/:id/discovery`, ({ params }) => {
    const own = probes.filter((probe) => probe.site_id === params.id && probe.state !== 'revoked');
    return HttpResponse.json({
      probes: own.map((probe) => ({
        probe_id: probe.id,
        probe_name: probe.name,
        state: 'sweeping',
        range: '10.20.0.0/20',
        swept: 812 + (Math.floor(Date.now() / 1000) % 400),
        to_sweep: 4352,
        answered: probe.devices,
        identified: Math.floor(probe.devices * 0.9),
        started_at: ago(41),
        finished_at: ago(3640),
      })),
    });
  }),
  http.post(`${API}/sites/:id/discovery`, () => HttpResponse.json({}, { status: 202 })),
  http.get(`${API}/sites/:id/discovery/addresses`, ({ params, request: asked }) => {
    const search = new URL(asked.url).searchParams;
    const probe = probes.find((one) => one.site_id === params.id);
    const own = devices.filter((device) => device.site_id === params.id).slice(0, 24);
    const rows = [
      ...own.map((device, i) => ({
        address: device.address,
        probe_id: probe?.id ?? '',
        device_id: device.id,
        icmp: device.state === 'up' ? 'answered' : 'silent',
        snmp: i % 5 === 4 ? 'refused' : 'answered',
        attempts:
          i % 5 === 4
            ? [
                {
                  credential_name: 'kes-v3-readonly',
                  port: 161,
                  outcome: 'wrong auth password',
                  at: ago(300),
                },
                { credential_name: 'old printers', port: 161, outcome: 'no response', at: ago(296) },
              ]
            : [{ credential_name: 'kes-v3-readonly', port: 161, outcome: 'answered', at: ago(300) }],
        reason:
          i % 5 === 4
            ? 'It answers ping, and SNMP knows the user but not the password.'
            : 'Identified by its engine id.',
        last_seen_at: ago(20),
      })),
      {
        address: '10.20.3.77',
        probe_id: probe?.id ?? '',
        device_id: null,
        icmp: 'answered',
        snmp: 'no_answer',
        attempts: [{ credential_name: 'kes-v3-readonly', port: 161, outcome: 'no response', at: ago(500) }],
        reason:
          'It answers ping. No credential got an answer on port 161: SNMP is off, or a filter is between.',
        last_seen_at: ago(31),
      },
      {
        address: '10.20.3.78',
        probe_id: probe?.id ?? '',
        device_id: null,
        icmp: 'silent',
        snmp: 'not_tried',
        attempts: [],
        reason: 'It never answered ping, so SNMP was not tried.',
        last_seen_at: null,
      },
    ];
    const q = search.get('q') ?? '';
    const only = search.get('only');
    return list(
      rows.filter(
        (row) =>
          row.address.includes(q) &&
          (only !== 'no_snmp' || row.snmp !== 'answered') &&
          (only !== 'not_a_device' || row.device_id === null),
      ),
    );
  }),

  http.get(`${API}/credentials`, ({ request: asked }) => {
    const customer = new URL(asked.url).searchParams.get('customer_id');
    return list(credentials.filter((one) => !customer || one.customer_id === customer));
  }),
  http.post(`${API}/credentials`, async ({ request: asked }) => {
    const { community, auth_password, priv_password, ...body } = await bodyOf(asked);
    const made = {
      id: idOf(`credential ${String(body.name)} ${Date.now()}`),
      site_id: null,
      user_name: null,
      security_level: null,
      auth_protocol: null,
      priv_protocol: null,
      context_name: null,
      weak: community !== undefined,
      created_at: ago(0),
      updated_at: ago(0),
      used_by_sites: 0,
      ...body,
    };
    credentials.push(made as never); // a mock, as above
    return HttpResponse.json(made, { status: 201 });
  }),
  http.patch(`${API}/credentials/:id`, async ({ params, request: asked }) => {
    const found = credentials.find((one) => one.id === params.id);
    if (!found) return gone();
    const { community, auth_password, priv_password, ...body } = await bodyOf(asked);
    Object.assign(found, body, { updated_at: ago(0) });
    return HttpResponse.json({ ...found });
  }),
  http.delete(`${API}/credentials/:id`, ({ params }) => {
    credentials.splice(
      credentials.findIndex((one) => one.id === params.id),
      1,
    );
    return nothing();
  }),

  http.post(`${API}/join-tokens`, async ({ request: asked }) => {
    const body = await bodyOf(asked);
    const id = idOf(`token ${Date.now()}`);
    const token = 'fwj_4mKq7VtR2xWz9NdB8sLhYc3PfJ6g';
    const expires_at = ago(-1800);
    tokens.set(id, {
      id,
      site_id: String(body.site_id),
      probe_name: body.probe_name ? String(body.probe_name) : null,
      created_at: ago(0),
      created_by: 'dami',
      expires_at,
      state: 'open',
      probe_id: null,
      used_at: null,
      last_failure: null,
      begun: Date.now(),
    });
    const command = `curl -fsSL ${location.origin}/install.sh | sudo sh -s -- --central ${location.host} --token ${token}`;
    return HttpResponse.json({ id, site_id: body.site_id, token, command, expires_at }, { status: 201 });
  }),
  http.get(`${API}/join-tokens`, () => list([...tokens.values()])),
  http.delete(`${API}/join-tokens/:id`, ({ params }) => {
    tokens.delete(String(params.id));
    return nothing();
  }),
  http.get(`${API}/join-tokens/:id`, ({ params }) => {
    const token = tokens.get(String(params.id));
    if (!token) return gone();
    const s = (Date.now() - token.begun) / 1000;
    const silent = wanted === 'silent';
    const probe = probes.find((one) => one.site_id === token.site_id) ?? probes[0];
    const used = !silent && s > 6;
    const when = (after: number) =>
      !silent && s > after ? new Date(token.begun + after * 1000).toISOString() : null;
    return HttpResponse.json({
      ...token,
      state: used ? 'used' : 'open',
      used_at: when(6),
      probe_id: used ? (probe?.id ?? null) : null,
      progress: {
        connected_at: when(8),
        devices: !silent && s > 10 ? Math.min(23, Math.floor((s - 10) * 2)) : 0,
        first_value_at: when(20),
        last_failure: null,
      },
    });
  }),

  http.get(`${API}/probes`, ({ request: asked }) => {
    lively();
    return list(probes.filter(inScope(asked.url)));
  }),
  http.get(`${API}/probes/:id`, ({ params }) => {
    lively();
    const found = probes.find((one) => one.id === params.id);
    return found ? HttpResponse.json(found) : gone();
  }),
  http.patch(`${API}/probes/:id`, async ({ params, request: asked }) => {
    const found = probes.find((one) => one.id === params.id);
    if (!found) return gone();
    Object.assign(found, await bodyOf(asked));
    return HttpResponse.json({ ...found });
  }),
  http.delete(`${API}/probes/:id`, ({ params }) => {
    const found: Probe | undefined = probes.find((one) => one.id === params.id);
    if (found) Object.assign(found, { state: 'revoked', connected: false, revoked_at: ago(0) });
    return nothing();
  }),
  http.post(`${API}/probes/:id/echo`, () => HttpResponse.json({ rtt_ms: 14.2 + Math.random() * 4 })),
  http.get(`${API}/probes/:id/ledger`, ({ params }) => {
    const probe = probes.find((one) => one.id === params.id);
    return HttpResponse.json({
      probe_id: params.id,
      lanes: (['events', 'samples'] as const).map((lane) => ({
        epoch: probe?.epoch ?? '',
        lane,
        watermark: lane === 'events' ? 2114 : 884_120,
        ranges: [],
        batches: lane === 'events' ? 402 : 60_211,
        samples: lane === 'events' ? 2114 : 9_214_003,
        undecoded: 0,
        quarantined: 0,
        dropped: [],
      })),
      layouts: 3,
      anchors: { checked: 12_044, mismatched: 0 },
    });
  }),

  http.get(`${API}/devices`, ({ request: asked }) => {
    lively();
    const items = devices.filter(inScope(asked.url)).map((row) => ({ ...row, ...overrides.get(row.id) }));
    return HttpResponse.json({ items, next: null, total: items.length, counts: countStates(items) });
  }),
  http.post(`${API}/devices`, async ({ request: asked }) => {
    const body = await bodyOf(asked);
    const site = sites.find((one) => one.id === body.site_id);
    if (site)
      addDevice(
        site,
        String(body.address),
        ['host', '', '', 'server'] as never,
        String(body.address),
        'up',
        null,
        1,
      ); // a mock
    return HttpResponse.json({}, { status: 202 });
  }),
  http.get(`${API}/devices/:id`, ({ params }) => {
    lively();
    const row = devices.find((one) => one.id === params.id);
    return row ? HttpResponse.json({ ...fullDevice(row), ...overrides.get(row.id) }) : gone();
  }),
  http.patch(`${API}/devices/:id`, async ({ params, request: asked }) => {
    const row = devices.find((one) => one.id === params.id);
    if (!row) return gone();
    const body = (await bodyOf(asked)) as Partial<Device>; // as above
    const change = { ...overrides.get(row.id), ...body };
    if (body.display_name !== undefined) change.name = body.display_name ?? row.name;
    overrides.set(row.id, change);
    return HttpResponse.json({ ...fullDevice(row), ...change });
  }),
  http.delete(`${API}/devices/:id`, ({ params }) => {
    devices.splice(
      devices.findIndex((one) => one.id === params.id),
      1,
    );
    recount();
    return nothing();
  }),
  http.get(`${API}/devices/:id/interfaces`, ({ params }) => {
    const row = devices.find((one) => one.id === params.id);
    return row ? list(interfaces(row)) : gone();
  }),
  http.get(`${API}/devices/:id/sensors`, ({ params }) => {
    const row = devices.find((one) => one.id === params.id);
    return row ? HttpResponse.json(readings(row)) : gone();
  }),
  http.get(`${API}/devices/:id/neighbours`, ({ params }) => {
    const row = devices.find((one) => one.id === params.id);
    return row ? list(neighbours(row)) : gone();
  }),
  http.get(`${API}/devices/:id/events`, ({ params }) =>
    list(events(devices.find((one) => one.id === params.id))),
  ),
  http.get(`${API}/events`, () => list(events(undefined))),

  http.get(`${API}/metrics/range`, ({ request: asked }) => {
    const search = new URL(asked.url).searchParams;
    const row = devices.find((one) => one.id === search.get('device'));
    if (!row) return gone();
    const from = Date.parse(search.get('from') ?? '');
    const to = Date.parse(search.get('to') ?? '');
    return HttpResponse.json(
      range(
        row,
        search.get('metric') ?? 'rtt',
        search.get('instance') ?? search.get('reading') ?? '',
        from,
        to,
        Number(search.get('step') ?? 0),
      ),
    );
  }),
  http.get(`${API}/metrics/top`, ({ request: asked }) => {
    const search = new URL(asked.url).searchParams;
    const metric = search.get('metric') ?? 'rtt';
    const n = Number(search.get('n') ?? 10);
    const shown = devices.filter(inScope(asked.url));
    if (metric === 'rtt') {
      return HttpResponse.json({
        items: shown
          .filter((row) => row.rtt_ms !== null && row.state !== 'unknown')
          .sort((a, b) => (b.rtt_ms ?? 0) - (a.rtt_ms ?? 0))
          .slice(0, n)
          .map((row) => ({
            device_id: row.id,
            device_name: row.name,
            customer_name: row.customer_name,
            site_name: row.site_name,
            interface_id: null,
            interface_name: null,
            value: row.rtt_ms,
            unit: 'ms',
            at: row.value_at,
            utilisation_ratio: null,
          })),
      });
    }
    const routers = shown.filter((row) => row.role === 'firewall' || row.role === 'router').slice(0, 14);
    return HttpResponse.json({
      items: routers.slice(0, n).map((row, i) => {
        const ratio =
          (metric === 'ifHCOutOctets' ? 0.94 : 0.71) / (1 + i * (metric === 'ifHCOutOctets' ? 0.55 : 0.2));
        return {
          device_id: row.id,
          device_name: row.name,
          customer_name: row.customer_name,
          site_name: row.site_name,
          interface_id: idOf(`if ${row.id} wan1`),
          interface_name: 'wan1',
          value: (ratio * 1e9) / 8,
          unit: 'octets/s',
          at: row.value_at,
          utilisation_ratio: ratio,
        };
      }),
    });
  }),

  http.get(`${API}/incidents`, ({ request: asked }) => {
    const state = new URL(asked.url).searchParams.get('state');
    const here = inScope(asked.url);
    return list(
      incidents.filter(
        (one) => here(one) && (state === 'active' ? one.state !== 'resolved' : !state || one.state === state),
      ),
    );
  }),
  http.get(`${API}/incidents/:id`, ({ params }) => {
    const found = incidents.find((one) => one.id === Number(params.id));
    return found ? HttpResponse.json(found) : gone();
  }),
  http.post(`${API}/incidents/:id/:act`, async ({ params, request: asked }) => {
    const found = incidents.find((one) => one.id === Number(params.id));
    if (!found) return gone();
    const body = await bodyOf(asked);
    const text = String(body.text ?? body.note ?? '');
    if (text) found.notes = [...found.notes, { at: ago(0), by: 'Dami Okafor', text }];
    if (params.act === 'acknowledge') {
      Object.assign(found, {
        state: 'acknowledged',
        acknowledged_at: ago(0),
        acknowledged_by: 'Dami Okafor',
      });
      found.timeline = [
        ...found.timeline,
        { at: ago(0), text: 'Acknowledged by Dami Okafor', kind: 'acknowledged' },
      ];
    }
    if (params.act === 'resolve') Object.assign(found, { state: 'resolved', resolved_at: ago(0) });
    return HttpResponse.json({ ...found });
  }),

  http.get(`${API}/channels`, () => list(channels)),
  http.post(`${API}/channels`, async ({ request: asked }) => {
    const { secret, ...body } = await bodyOf(asked);
    const made = {
      id: idOf(`channel ${String(body.name)}`),
      has_secret: secret !== undefined,
      last_result: null,
      ...body,
    };
    channels.push(made as never); // a mock, as above
    return HttpResponse.json(made, { status: 201 });
  }),
  http.patch(`${API}/channels/:id`, async ({ params, request: asked }) => {
    const found = channels.find((one) => one.id === params.id);
    if (!found) return gone();
    Object.assign(found, await bodyOf(asked));
    return HttpResponse.json({ ...found });
  }),
  http.delete(`${API}/channels/:id`, ({ params }) => {
    channels.splice(
      channels.findIndex((one) => one.id === params.id),
      1,
    );
    return nothing();
  }),
  http.post(`${API}/channels/:id/test`, ({ params }) => {
    const found = channels.find((one) => one.id === params.id);
    const good = found?.kind === 'email';
    return HttpResponse.json({
      state: good ? 'sent' : 'failed',
      detail: good ? '250 2.0.0 queued' : 'answer 503 from desk.example.net',
    });
  }),
  http.get(`${API}/audit`, () => list(audit)),
  http.get(`${API}/health`, () => HttpResponse.json(health)),

  http.get(`${API}/live`, () => {
    const text = new TextEncoder();
    let seq = 0;
    let timer: ReturnType<typeof setInterval> | undefined;
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        const send = (kind: string, data: object) => {
          seq += 1;
          controller.enqueue(text.encode(`id: ${seq}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`));
        };
        const server_time = () => new Date().toISOString();
        send('hello', { server_time: server_time(), seq: 0 });
        timer = setInterval(() => {
          if (seq % 10 === 0) send('tick', { server_time: server_time() });
          const row = devices[Math.floor(Math.random() * Math.min(60, devices.length))];
          if (row && row.state === 'up') {
            row.value_at = server_time();
            row.rtt_ms = (row.rtt_ms ?? 1) * (0.95 + Math.random() * 0.1);
            send('device', {
              id: row.id,
              state: row.state,
              state_since: row.state_since,
              rtt_ms: row.rtt_ms,
              loss_ratio: row.loss_ratio,
              value_at: row.value_at,
            });
          } else {
            send('tick', { server_time: server_time() });
          }
        }, 500);
      },
      cancel() {
        clearInterval(timer);
      },
    });
    return new HttpResponse(stream, {
      headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' },
    });
  }),
];
