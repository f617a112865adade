/** An invented MSP: nine customers, 4,000 devices, one silent probe, gaps, and names that try to harm the page. */
import type {
  AuditEntry,
  Channel,
  Counts,
  Credential,
  CustomerRow,
  Device,
  DeviceRow,
  HealthReport,
  Incident,
  Probe,
  SiteConfig,
  SiteRow,
  State,
  User,
} from '../api/types';
import { noCounts, STATE_RANK } from '../lib/state';
import { hash, idOf, random } from './random';

export const START = Date.now();
export const ago = (s: number) => new Date(Date.now() - s * 1000).toISOString();
const at = (s: number) => new Date(START - s * 1000).toISOString();

const LETTER: Record<State, string> = {
  up: 'u',
  degraded: 'g',
  down: 'd',
  unreachable: 'r',
  maintenance: 'm',
  unknown: 's',
};
type Mark = [from: number, length: number, state: State];
export function strip(marks: readonly Mark[]): string {
  const all = Array<string>(48).fill('u');
  for (const [from, length, state] of marks) all.fill(LETTER[state], from, Math.min(48, from + length));
  return all.join('');
}

interface Plan {
  name: string;
  zone: string;
  sites: string[];
  devices: number;
  bad: Partial<Counts>;
  available: number;
  marks: Mark[];
}
const PLANS: Plan[] = [
  {
    name: 'Kestrel Logistics',
    zone: 'Europe/Amsterdam',
    sites: ['Rotterdam DC', 'Antwerp hub', 'Hamburg yard', 'Gdańsk depot'],
    devices: 412,
    bad: { down: 1, degraded: 4, unreachable: 12, maintenance: 1 },
    available: 0.9912,
    marks: [
      [31, 2, 'degraded'],
      [46, 1, 'degraded'],
      [47, 1, 'down'],
    ],
  },
  {
    name: 'Osprey Retail',
    zone: 'Europe/London',
    sites: [
      'Leeds store',
      'York store',
      'Bath store',
      'Derby store',
      'Truro store',
      'Hull store',
      'Swindon hub',
    ],
    devices: 318,
    bad: { unknown: 18 },
    available: 0.9983,
    marks: [
      [21, 1, 'degraded'],
      [47, 1, 'unknown'],
    ],
  },
  {
    name: 'Volta Precision',
    zone: 'Europe/Berlin',
    sites: ['Hall A', 'Hall B', 'Office'],
    devices: 465,
    bad: { down: 1 },
    available: 0.9971,
    marks: [
      [31, 1, 'degraded'],
      [43, 5, 'down'],
    ],
  },
  {
    name: 'Northgate Schools Trust',
    zone: 'Europe/London',
    sites: [
      'Elm Road',
      'Park Lane',
      'St Mary’s',
      'Castle',
      'Riverside',
      'Hillside',
      'Oakwood',
      'Central',
      'Annexe',
    ],
    devices: 1206,
    bad: { down: 1, degraded: 2 },
    available: 0.9994,
    marks: [
      [14, 1, 'degraded'],
      [30, 3, 'degraded'],
      [45, 3, 'down'],
    ],
  },
  {
    name: 'Meridian Foods',
    zone: 'Europe/Paris',
    sites: ['Lyon plant', 'Dijon plant', 'Lille depot', 'Nantes depot', 'Paris office'],
    devices: 684,
    bad: { degraded: 3 },
    available: 0.9997,
    marks: [
      [31, 3, 'degraded'],
      [40, 2, 'degraded'],
      [46, 2, 'degraded'],
    ],
  },
  {
    name: 'Brightwater Dental',
    zone: 'Europe/London',
    sites: ['Head office', 'Cardiff', 'Bristol', 'Exeter', 'Poole', 'Bath'],
    devices: 241,
    bad: { degraded: 1 },
    available: 1,
    marks: [[42, 6, 'degraded']],
  },
  {
    name: 'Tamarack Hotels',
    zone: 'Europe/Zurich',
    sites: ['Geneva', 'Basel', 'Lugano', 'Davos', 'Chur'],
    devices: 597,
    bad: { maintenance: 4 },
    available: 0.9999,
    marks: [
      [2, 1, 'down'],
      [44, 4, 'maintenance'],
    ],
  },
  {
    name: 'Alder & Finch LLP',
    zone: 'Europe/London',
    sites: ['London', 'Leeds'],
    devices: 136,
    bad: {},
    available: 1,
    marks: [],
  },
  {
    name: 'St Columba’s Hospice',
    zone: 'Europe/Dublin',
    sites: ['Main house'],
    devices: 88,
    bad: {},
    available: 1,
    marks: [[27, 1, 'degraded']],
  },
];

const KINDS = [
  ['sw', 'Cisco', 'Catalyst 9300-24T', 'switch'],
  ['acc-sw', 'Aruba', 'CX 6200F 48G', 'switch'],
  ['ap', 'Aruba', 'AP-515', 'access point'],
  ['fw', 'Fortinet', 'FortiGate 100F', 'firewall'],
  ['rt', 'MikroTik', 'CCR2004-16G', 'router'],
  ['srv', 'Dell', 'PowerEdge R650', 'server'],
  ['ups', 'APC', 'Smart-UPS SRT 5000', 'ups'],
  ['nas', 'Synology', 'RS2423+', 'storage'],
  ['prn', 'Brother', 'HL-L6400DW', 'printer'],
  ['scan', 'Moxa', 'NPort 5410', 'gateway'],
] as const;

export const customers: CustomerRow[] = [];
export const sites: SiteRow[] = [];
export const probes: Probe[] = [];
export const devices: DeviceRow[] = [];
export const configs = new Map<string, SiteConfig>();

function emptyConfig(site_id: string): SiteConfig {
  return {
    site_id,
    revision: 3,
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
    updated_at: at(90_000),
    updated_by: 'dami',
  };
}

export function addCustomer(name: string, note = ''): CustomerRow {
  const row: CustomerRow = {
    id: idOf(`customer ${name}`),
    name,
    note,
    created_at: at(20_000_000),
    state: 'unknown',
    sites: 0,
    devices: 0,
    counts: noCounts(),
    strip: 'n'.repeat(48),
    availability_24h: null,
  };
  customers.push(row);
  return row;
}

export function addSite(customer: CustomerRow, name: string, zone: string, note = ''): SiteRow {
  const row: SiteRow = {
    id: idOf(`site ${customer.name} ${name}`),
    customer_id: customer.id,
    customer_name: customer.name,
    name,
    time_zone: zone,
    note,
    created_at: at(19_000_000),
    state: 'unknown',
    probes: 0,
    devices: 0,
    counts: noCounts(),
    strip: 'n'.repeat(48),
    availability_24h: null,
  };
  sites.push(row);
  configs.set(row.id, emptyConfig(row.id));
  return row;
}

function addProbe(site: SiteRow, name: string, n: number): Probe {
  const next = random(hash(name));
  const silent = site.name === 'Leeds store' && site.customer_name.startsWith('Osprey');
  const behind = site.name === 'Gdańsk depot';
  const expiring = site.name === 'Geneva';
  const probe: Probe = {
    id: idOf(`probe ${name}`),
    customer_id: site.customer_id,
    customer_name: site.customer_name,
    site_id: site.id,
    site_name: site.name,
    name,
    state: silent ? 'silent' : 'connected',
    connected: !silent,
    last_heard_at: silent ? at(862) : at(1 + next() * 8),
    connected_since: silent ? null : at(86_400 * (1 + next() * 20)),
    address: `203.0.113.${10 + n}:47${100 + n}`,
    transport: n % 4 === 3 ? 'tcp' : 'udp',
    version: next() < 0.1 ? '1.3.9' : '1.4.2',
    host_name: `${name}.local`,
    os: 'Debian GNU/Linux 13, x86_64',
    spool: {
      batches: behind ? 1824 : next() < 0.15 ? 2 : 0,
      bytes: behind ? 41_300_000 : 9_200,
      oldest_unacked_at: behind ? at(250) : null,
      limit_bytes: 1_073_741_824,
      time_left_s: 259_200,
      replay_window_s: 86_400,
    },
    backlog_behind_s: silent ? null : behind ? 250 : 0,
    clock_offset_ms: Math.round((next() - 0.5) * 90),
    clock_approximate: false,
    certificate: {
      // 72 h, renewed at half life; one has missed its turn.
      not_after: at(-3600 * (expiring ? 11 : 40 + next() * 30)),
      renew_after: at(-3600 * (expiring ? -25 : 4 + next() * 30)),
    },
    echo_ms: silent
      ? null
      : { p50: 8 + next() * 40, p99: 60 + next() * 80, last: 8 + next() * 50, at: at(20) },
    lease: 41,
    config_revision: 3,
    epoch: Math.floor(next() * 2 ** 48)
      .toString(16)
      .padStart(16, '0'),
    notices: expiring
      ? [{ severity: 'warning', text: 'certificate renewal failed twice: connection reset', at: at(52_200) }]
      : [],
    devices: 0,
    created_at: at(8_000_000),
    revoked_at: null,
    anchors: { checked: Math.floor(next() * 90_000), mismatched: 0, last_checked_at: at(14) },
  };
  probes.push(probe);
  return probe;
}

export function addDevice(
  site: SiteRow,
  name: string,
  kind: (typeof KINDS)[number],
  address: string,
  state: State,
  reason: string | null = null,
  rtt: number | null = null,
  since = 60 * 60 * 24 * 9,
): DeviceRow {
  const silentSince = state === 'unknown' ? 862 : 0;
  const dead = state === 'down' || state === 'unreachable';
  const row: DeviceRow = {
    id: idOf(`device ${site.id} ${name} ${address}`),
    customer_id: site.customer_id,
    customer_name: site.customer_name,
    site_id: site.id,
    site_name: site.name,
    name,
    address,
    vendor: kind[1],
    model: kind[2],
    role: kind[3],
    state,
    state_since: at(since),
    state_reason: reason,
    muted_until: null,
    rtt_ms: dead ? null : rtt,
    loss_ratio: dead ? 1 : 0,
    value_at: at(silentSince || (dead ? since : 1 + (Math.abs(hash(name + address)) % 9))),
    snmp: kind[3] === 'access point' && Math.abs(hash(name)) % 7 === 0 ? 'none' : 'v3',
    interfaces: 8 + (Math.abs(hash(name)) % 44),
    uptime_s: 86_400 * (4 + (Math.abs(hash(address)) % 320)),
    strip: strip(
      state === 'up'
        ? Math.abs(hash(name + address)) % 25 === 0
          ? [[Math.abs(hash(address)) % 46, 1, 'degraded']]
          : []
        : state === 'unknown'
          ? [[47, 1, 'unknown']]
          : [[47 - Math.min(40, Math.floor(since / 1800)), 48, state]],
    ),
  };
  devices.push(row);
  return row;
}

const K = Object.fromEntries(KINDS.map((kind) => [kind[0], kind])) as Record<
  string,
  (typeof KINDS)[number] // by the line before: every short name is a key
>;
const kind = (name: string) => K[name] ?? KINDS[0];

/** Names that a hostile device may carry; Central has made control and bidi characters visible already. */
export const HOSTILE = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(2)>',
  'switch\\u{202e}fdp.exe',
  'мост-٣ ראוטר',
  `${'very-long-name-'.repeat(16)}end`,
];

function rotterdam(site: SiteRow): void {
  const put = (
    name: string,
    of: string,
    ip: string,
    state: State = 'up',
    rtt: number | null = 1.2,
    reason: string | null = null,
    since?: number,
  ) => addDevice(site, name, kind(of), `10.20.${ip}`, state, reason, rtt, since);
  put('wan-rt1', 'rt', '0.2', 'up', 2.1);
  put('lte-gw1', 'rt', '0.3', 'up', 41.6);
  put('edge-fw1', 'fw', '0.1', 'degraded', 148, 'latency 148 ms, above 80 ms', 670);
  put('edge-fw2', 'fw', '0.4', 'up', 0.8);
  put('core-sw1', 'sw', '1.1', 'down', null, 'no answer to 43 pings', 428);
  put('core-sw2', 'sw', '1.2', 'up', 0.6);
  for (let i = 1; i <= 3; i++)
    put(`acc-sw${i}`, 'acc-sw', `1.1${i}`, 'unreachable', null, 'behind core-sw1', 425);
  for (let i = 4; i <= 6; i++) put(`acc-sw${i}`, 'acc-sw', `1.1${i}`, 'up', 0.7 + i / 10);
  for (let i = 1; i <= 12; i++) {
    const cut = i < 7;
    put(
      `ap-${i}`,
      'ap',
      `8.${10 + i}`,
      cut ? 'unreachable' : i === 9 ? 'degraded' : 'up',
      cut ? null : i === 9 ? 38.4 : 1.8 + i / 9,
      cut ? 'behind core-sw1' : i === 9 ? 'loss 3.1 %, above 2 %' : null,
      cut ? 425 : 180,
    );
  }
  for (const [name, of, ip] of [
    ['nas1', 'nas', '4.20'],
    ['nvr1', 'nas', '4.30'],
    ['prn-wh1', 'prn', '6.11'],
  ] as const) {
    put(name, of, ip, 'unreachable', null, 'behind core-sw1', 425);
  }
  put('scan-gw1', 'scan', '6.40', 'degraded', 2.8, 'SNMP credentials rejected', 31_000);
  put('ups2', 'ups', '9.12', 'degraded', 1.1, 'replace battery, runtime 6 min', 15_900);
  put('pdu-b', 'ups', '9.22', 'maintenance', 1.6, 'muted by hand', 5_000);
  for (let i = 1; i <= 3; i++) put(`esx${i}`, 'srv', `2.1${i}`, 'up', 0.4);
  for (const [i, name] of HOSTILE.entries()) put(name, 'prn', `66.${i + 1}`, 'up', 3.1 + i);
}

const SPECIAL: Record<string, [name: string, reason: string, of: string, site: string, since: number]> = {
  'Volta Precision down': ['cnc-sw2', 'no answer to 62 pings', 'sw', 'Hall B', 8460],
  'Northgate Schools Trust down': ['ap-gym-2', 'no answer to 840 pings', 'ap', 'Elm Road', 6130],
  'Meridian Foods degraded': ['fw-main', 'loss 2.4 %, above 2 %', 'fw', 'Lyon plant', 1512],
  'Brightwater Dental degraded': ['nas1', 'latency 112 ms, above 80 ms', 'nas', 'Head office', 11_220],
};

function shortOf(name: string): string {
  return name
    .normalize('NFD')
    .toLowerCase()
    .replace(/[^a-z]/g, '')
    .slice(0, 3);
}

function build(): void {
  let n = 0;
  PLANS.forEach((plan, c) => {
    const customer = addCustomer(plan.name, c === 0 ? 'gold, 24x7, Joost Vermeer +31 10 555 0142' : '');
    const own = plan.sites.map((name) =>
      addSite(customer, name, plan.zone, name === 'Rotterdam DC' ? 'Waalhaven Oostzijde, gate 4' : ''),
    );
    const [first] = own;
    const left: Partial<Counts> = { ...plan.bad };
    if (c === 0 && first) {
      rotterdam(first);
      for (const state of ['down', 'degraded', 'unreachable', 'maintenance'] as const) delete left[state];
    }
    own.forEach((site, s) => {
      n += 1;
      addProbe(site, `${shortOf(plan.name)}-${shortOf(site.name)}-${s === 0 ? 1 : s}`, n);
    });
    const next = random(42 + c);
    const more = plan.devices - (c === 0 ? devices.length : 0);
    for (let i = 0; i < more; i++) {
      const site = own[i % own.length];
      if (!site) continue;
      const of = KINDS[Math.floor(next() ** 1.6 * KINDS.length)] ?? KINDS[0];
      let state: State = 'up';
      for (const candidate of ['down', 'degraded', 'unknown', 'maintenance'] as const) {
        const remaining = left[candidate] ?? 0;
        if (remaining > 0 && (candidate !== 'unknown' || site.name === 'Leeds store')) {
          left[candidate] = remaining - 1;
          state = candidate;
          break;
        }
      }
      const special = SPECIAL[`${plan.name} ${state}`];
      const address = `10.${40 + c}.${i >> 8}.${i & 255 || 1}`;
      const rtt = of[3] === 'access point' ? 1.5 + next() * 3 : 0.4 + next() * 2;
      if (special && state !== 'up') {
        delete SPECIAL[`${plan.name} ${state}`];
        const where = own.find((one) => one.name === special[3]) ?? site;
        addDevice(
          where,
          special[0],
          kind(special[2]),
          address,
          state,
          special[1],
          40 + next() * 80,
          special[4],
        );
      } else {
        const reason =
          state === 'degraded'
            ? 'loss 2.9 %, above 2 %'
            : state === 'maintenance'
              ? 'muted until 16:00'
              : null;
        const name = `${of[0]}-${1 + Math.floor(i / own.length)}`;
        addDevice(
          site,
          name,
          of,
          address,
          state,
          reason,
          state === 'up' && i % 211 === 7 ? 20 + next() * 45 : rtt,
          state === 'up' ? undefined : state === 'unknown' ? 862 : 2400,
        );
      }
    }
    customer.strip = strip(plan.marks);
    customer.availability_24h = plan.available;
    own.forEach((site, s) => {
      site.strip = s === 0 ? strip(plan.marks) : strip([]);
      site.availability_24h = s === 0 ? plan.available : 1;
    });
  });
  recount();
}

/** Sums up sites and customers after devices changed. */
export function recount(): void {
  const bySite = new Map<string, DeviceRow[]>();
  for (const device of devices) {
    const list = bySite.get(device.site_id);
    if (list) list.push(device);
    else bySite.set(device.site_id, [device]);
  }
  const worst = (counts: Counts): State =>
    (Object.keys(STATE_RANK) as State[]) // the keys of a Record<State, …> are states
      .sort((a, b) => STATE_RANK[a] - STATE_RANK[b])
      .find((state) => counts[state] > 0) ?? 'unknown';
  for (const site of sites) {
    const own = bySite.get(site.id) ?? [];
    site.counts = noCounts();
    for (const device of own) site.counts[device.state] += 1;
    site.devices = own.length;
    const here = probes.filter((probe) => probe.site_id === site.id && probe.state !== 'revoked');
    site.probes = here.length;
    for (const probe of here) probe.devices = own.length;
    site.state = worst(site.counts);
  }
  for (const customer of customers) {
    const own = sites.filter((site) => site.customer_id === customer.id);
    customer.sites = own.length;
    customer.counts = noCounts();
    for (const site of own) {
      for (const state of Object.keys(site.counts) as State[]) customer.counts[state] += site.counts[state]; // as above
    }
    customer.devices = own.reduce((sum, site) => sum + site.devices, 0);
    customer.state = worst(customer.counts);
  }
}

build();

export const users: User[] = [
  {
    id: idOf('user dami'),
    user_name: 'dami',
    display_name: 'Dami Okafor',
    role: 'admin',
    customer_id: null,
    created_at: at(9_000_000),
    preferences: {
      pinned_sites: sites
        .filter((site) => ['Rotterdam DC', 'Leeds store', 'Lyon plant'].includes(site.name))
        .map((site) => site.id)
        .slice(0, 3),
    },
  },
  {
    id: idOf('user lena'),
    user_name: 'lena',
    display_name: 'Lena Maas',
    role: 'technician',
    customer_id: null,
    created_at: at(7_000_000),
    preferences: {},
  },
  {
    id: idOf('user kestrel'),
    user_name: 'kestrel-it',
    display_name: 'Kestrel IT',
    role: 'viewer',
    customer_id: customers[0]?.id ?? null,
    created_at: at(3_000_000),
    preferences: {},
  },
];

const deviceNamed = (name: string) => devices.find((device) => device.name === name);

export const incidents: Incident[] = [];
function addIncident(
  id: number,
  about: DeviceRow | Probe | undefined,
  title: string,
  consequence: string,
  age: number,
  who: string | null,
  held = 0,
  severity: Incident['severity'] = 'critical',
): void {
  if (!about) return;
  const isProbe = 'spool' in about;
  incidents.push({
    id,
    kind: isProbe ? 'probe_silent' : 'device_down',
    severity,
    state: who ? 'acknowledged' : 'open',
    title,
    consequence,
    customer_id: about.customer_id,
    customer_name: about.customer_name,
    site_id: about.site_id,
    site_name: about.site_name,
    device_id: isProbe ? null : about.id,
    probe_id: isProbe ? about.id : null,
    opened_at: at(age),
    acknowledged_at: who ? at(age - 180) : null,
    acknowledged_by: who,
    resolved_at: null,
    held_back: held,
    notes: who ? [{ at: at(age - 170), by: who, text: 'On it, called the site.' }] : [],
    timeline: [
      { at: at(age), text: 'Incident opened', kind: 'opened' },
      { at: at(age - 2), text: 'Sent to NOC e-mail', kind: 'notified' },
      ...(held > 0
        ? [
            {
              at: at(age - 14),
              text: `${held} notifications held back: one cause, one incident`,
              kind: 'held_back',
            },
          ]
        : []),
      ...(who ? [{ at: at(age - 180), text: `Acknowledged by ${who}`, kind: 'acknowledged' }] : []),
    ],
    notifications: [
      { channel_name: 'NOC e-mail', state: 'sent', at: at(age - 2), detail: '250 2.0.0 queued' },
      {
        channel_name: 'Tickets',
        state: held > 0 ? 'failed' : 'sent',
        at: at(age - 3),
        detail: held > 0 ? 'answer 503, next try in 40 s' : '',
      },
    ],
  });
}
addIncident(2417, deviceNamed('core-sw1'), 'core-sw1 is down, 12 unreachable behind it', '', 428, null, 12);
addIncident(
  2416,
  probes.find((probe) => probe.state === 'silent'),
  'Probe osp-lee-1 stopped reporting',
  '18 devices stale',
  862,
  'Dami Okafor',
);
addIncident(2411, deviceNamed('cnc-sw2'), 'cnc-sw2 is down', 'no answer to 62 pings', 8460, 'Lena Maas');
addIncident(2409, deviceNamed('ap-gym-2'), 'ap-gym-2 is down', '', 6130, null, 0, 'major');
addIncident(
  2414,
  deviceNamed('edge-fw1'),
  'edge-fw1 latency 148 ms, above 80 ms',
  'for 11 min',
  670,
  null,
  0,
  'warning',
);
addIncident(
  2412,
  deviceNamed('fw-main'),
  'fw-main loss 2.4 %, above 2 %',
  'for 25 min',
  1512,
  null,
  0,
  'warning',
);
addIncident(
  2405,
  deviceNamed('ups2'),
  'ups2 battery needs replacing',
  'runtime 6 min',
  15_900,
  'Lena Maas',
  0,
  'minor',
);
addIncident(
  2401,
  deviceNamed(HOSTILE[0] ?? ''),
  '<script>alert(1)</script> is down',
  '<b>bold</b>',
  88_000,
  null,
);
const closedOne = incidents.find((incident) => incident.id === 2401);
if (closedOne) {
  closedOne.state = 'resolved';
  closedOne.resolved_at = at(80_000);
}

export const credentials: Credential[] = customers.flatMap((customer, i) => [
  {
    id: idOf(`credential ${i} v3`),
    customer_id: customer.id,
    site_id: null,
    name: `${shortOf(customer.name)}-v3-readonly`,
    kind: 'v3',
    user_name: 'farwatch',
    security_level: 'authPriv',
    auth_protocol: 'SHA-256',
    priv_protocol: 'AES-128',
    context_name: null,
    weak: false,
    created_at: at(6_000_000),
    updated_at: at(2_000_000),
    used_by_sites: customer.sites,
  },
  ...(i % 3 === 0
    ? [
        {
          id: idOf(`credential ${i} v2c`),
          customer_id: customer.id,
          site_id: null,
          name: 'old printers',
          kind: 'v2c' as const,
          user_name: null,
          security_level: null,
          auth_protocol: null,
          priv_protocol: null,
          context_name: null,
          weak: true,
          created_at: at(6_000_000),
          updated_at: at(5_000_000),
          used_by_sites: 1,
        },
      ]
    : []),
]);
for (const config of configs.values()) {
  const site = sites.find((one) => one.id === config.site_id);
  config.ranges = ['10.20.0.0/20', '10.20.66.0/24'];
  config.credential_ids = credentials
    .filter((one) => one.customer_id === site?.customer_id)
    .map((one) => one.id);
}

export const channels: Channel[] = [
  {
    id: idOf('channel email'),
    name: 'NOC e-mail',
    kind: 'email',
    customer_id: null,
    enabled: true,
    settings: {
      host: 'smtp.msp.example',
      port: 587,
      security: 'starttls',
      user_name: 'farwatch',
      from: 'farwatch@msp.example',
      to: ['noc@msp.example'],
    },
    has_secret: true,
    last_result: { state: 'sent', at: at(426), detail: '250 2.0.0 queued' },
  },
  {
    id: idOf('channel tickets'),
    name: 'Tickets',
    kind: 'webhook',
    customer_id: null,
    enabled: true,
    settings: { url: 'https://desk.example.net/api/tickets' },
    has_secret: true,
    last_result: { state: 'failed', at: at(425), detail: 'answer 503, tried 3 times' },
  },
  {
    id: idOf('channel kestrel'),
    name: 'Kestrel on-site',
    kind: 'email',
    customer_id: customers[0]?.id ?? null,
    enabled: false,
    settings: {
      host: 'smtp.msp.example',
      port: 587,
      security: 'starttls',
      user_name: '',
      from: 'farwatch@msp.example',
      to: ['it@kestrel.example'],
    },
    has_secret: false,
    last_result: null,
  },
];

export const audit: AuditEntry[] = [
  ['dami', 'incident acknowledged', 'incident', '2416', 700],
  ['lena', 'incident acknowledged', 'incident', '2411', 8200],
  ['dami', 'site configuration saved', 'site', sites[0]?.id ?? '', 90_000],
  ['dami', 'join token created', 'site', sites[3]?.id ?? '', 95_000],
  ['lena', 'credential created', 'credential', credentials[0]?.id ?? '', 200_000],
  ['dami', 'signed in', 'session', '', 280_000],
].map(([who, action, object_kind, object_id, age], i) => ({
  id: 900 - i,
  at: at(Number(age)),
  who: String(who),
  from_address: '198.51.100.23',
  action: String(action),
  object_kind: String(object_kind),
  object_id: String(object_id),
  customer_id: i < 5 ? (customers[0]?.id ?? null) : null,
  detail: i === 2 ? { changed: ['ranges'], revision: 3 } : {},
}));

/** A device's page, made up around its row. */
export function fullDevice(row: DeviceRow): Device {
  const next = random(hash(row.id));
  const probe = probes.find((one) => one.site_id === row.site_id);
  const incident = incidents.find((one) => one.device_id === row.id && one.state !== 'resolved');
  const days = Array.from({ length: 30 }, (_, i) => {
    const day = new Date(START - (29 - i) * 86_400_000).toISOString().slice(0, 10);
    const state: State =
      i === 29
        ? row.state === 'unknown'
          ? 'unknown'
          : row.state
        : i === 9 || i === 23
          ? 'down'
          : i === 22
            ? 'degraded'
            : i === 16
              ? 'maintenance'
              : 'up';
    return { day, state, availability: state === 'down' ? 0.994 : state === 'unknown' ? null : 1 };
  });
  return {
    ...row,
    names: [row.name],
    sys_name: row.name,
    sys_descr: `${row.vendor} ${row.model} Software, Version 17.9.4a, RELEASE SOFTWARE <b>(fc3)</b>`,
    sys_object_id: '1.3.6.1.4.1.9.1.2494',
    sys_location: 'Rack B2, U38',
    sys_contact: 'noc@msp.example',
    serial: `FCW${Math.floor(next() * 9000 + 1000)}L0QD`,
    mac: '04:d5:90:3c:11:a2',
    os: 'IOS XE 17.9.4a',
    addresses: [
      { address: row.address, primary: true, icmp: 'answered', snmp: 'answered', source: 'discovery' },
      {
        address: row.address.replace(/^10\./, '172.'),
        primary: false,
        icmp: 'answered',
        snmp: 'not_tried',
        source: 'ipAddressTable',
      },
    ],
    probe_id: probe?.id ?? '',
    probe_name: probe?.name ?? '',
    note: row.name === 'edge-fw1' ? 'HA primary; edge-fw2 takes over within 5 s.' : '',
    display_name: null,
    credential_name: row.snmp === 'none' ? null : 'kes-v3-readonly',
    snmp_security: row.snmp === 'none' ? null : 'v3, authPriv, SHA-256',
    last_ping_at: row.value_at,
    last_snmp_at: row.value_at,
    availability_24h: 0.9991,
    availability_30d: 0.9996,
    days,
    evidence: [
      { kind: 'engine id', value: '80001f8880a3f1b2c4d5e6', at: at(40_000) },
      { kind: 'serial', value: 'FCW2541L0QD', at: at(40_000) },
      { kind: 'MAC', value: '04:d5:90:3c:11:a2', at: at(40_000) },
    ],
    incident_id: incident?.id ?? null,
    first_seen_at: at(7_000_000),
    poll: row.snmp === 'none' ? null : { interval_s: 60, requests: 14, varbinds: 412, duration_ms: 184 },
    anchors: { checked: 1204, mismatched: 0, last_checked_at: at(60) },
  };
}

export const health: HealthReport = {
  version: '0.1.0',
  started_at: at(5 * 86_400),
  resident_bytes: 412_000_000,
  notes: [],
  writers: [
    { name: 'central.db', waiting: 0, commits: 81_204, commit_ms_p50: 1.2, commit_ms_p99: 9.4 },
    { name: 'metrics.db', waiting: 2, commits: 2_310_447, commit_ms_p50: 2.1, commit_ms_p99: 14.8 },
  ],
  ingest: { samples_per_s: 41_300, samples: 17_842_000_112, batches: 9_213_004, undecoded: 0, quarantined: 0 },
  sessions: { probes: probes.length, reporting: probes.length - 1, connected: probes.length - 1, over_tcp: 2 },
  behind: [],
  anchors: { checked: 1_204_331, mismatched: 0, last_checked_at: at(4) },
  notifications: { pending: 0, oldest_s: null, failed: 0 },
  disk: {
    total_bytes: 500_000_000_000,
    free_bytes: 381_000_000_000,
    used_bytes: 42_100_000_000,
    parts: [
      { name: 'central.db', bytes: 310_000_000 },
      { name: 'metrics.db', bytes: 690_000_000 },
      { name: 'samples', bytes: 38_000_000_000 },
      { name: 'five_minutes', bytes: 2_600_000_000 },
      { name: 'one_hour', bytes: 500_000_000 },
    ],
    bytes_per_day: 3_150_000_000,
    still_to_come_bytes: 61_000_000_000,
    days_left: null,
  },
};
