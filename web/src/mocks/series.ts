/** Invented measurements: quiet noise, a bad hour, a hole where the probe was off. */
import type {
  DeviceReadings,
  DeviceRow,
  Event,
  GapReason,
  Interface,
  Neighbour,
  Range,
  Reading,
} from '../api/types';
import { ago, devices } from './data';
import { hash, idOf, random } from './random';

const HOUR = 3_600_000;

function wave(seed: string, base: number, n: number, jitter: number): number[] {
  const next = random(hash(seed));
  let x = 0;
  return Array.from({ length: n }, (_, i) => {
    x = x * 0.72 + (next() - 0.5) * jitter * 2;
    return Math.max(base * 0.2, base * (1 + x + 0.1 * Math.sin((i / n) * 6.3)));
  });
}

export function range(
  device: DeviceRow,
  metric: string,
  instance: string,
  from: number,
  to: number,
  wanted: number,
): Range {
  const span = to - from;
  const step_s =
    wanted > 0 ? wanted : Math.max(10, Math.ceil(span / 600_000 / 10) * 10, span > 20 * HOUR ? 900 : 10);
  const step = step_s * 1000;
  const n = Math.max(2, Math.floor(span / step));
  const now = Date.now();
  const bad = device.name === 'edge-fw1';
  const base =
    metric === 'rtt'
      ? bad
        ? 24
        : (device.rtt_ms ?? 2.2)
      : metric === 'loss_ratio'
        ? 0
        : 2 ** (16 + (Math.abs(hash(instance + metric)) % 9));
  const values = wave(device.id + metric + instance, base || 1, n, metric === 'rtt' ? 0.12 : 0.3);
  const next = random(hash(device.id + metric));
  // Everything stops where the probe was off, and, for a silent probe, where it fell silent.
  const off: [number, number, GapReason][] = [[now - 7.6 * HOUR, now - 6.83 * HOUR, 'probe_off']];
  if (device.state === 'unknown') off.push([now - 862_000, now, 'probe_off']);
  const dead =
    device.state === 'down' || device.state === 'unreachable'
      ? Date.parse(device.state_since)
      : Number.POSITIVE_INFINITY;
  const points: number[][] = [];
  values.forEach((value, i) => {
    const at = from + i * step;
    if (off.some(([a, b]) => at >= a - step && at < b)) return;
    const slow = bad && (at > now - HOUR || (at > now - 8.4 * HOUR && at < now - 7.6 * HOUR));
    if (metric === 'loss_ratio') {
      const lost = at >= dead - step ? 1 : slow && next() < 0.7 ? 0.01 : next() < 0.03 ? 0.004 : 0;
      points.push([at, lost, 0, lost > 0 ? 1 : 0]);
      return;
    }
    if (at >= dead - step) return;
    const v = slow ? value * (at > now - HOUR ? 5.4 : 3.4) : value;
    points.push([at, v, v * (0.62 + next() * 0.15), v * (1.25 + next() * 0.5)]);
  });
  const gaps = off
    .filter(([a, b]) => b > from && a < to)
    .map(([a, b, reason]) => ({ from: Math.max(from, a), to: Math.min(to, b), reason }));
  if (dead < to && metric !== 'loss_ratio') {
    gaps.push({ from: Math.max(from, dead), to, reason: 'no_response' });
  }
  return {
    unit: metric === 'rtt' ? 'ms' : metric === 'loss_ratio' ? 'ratio' : 'octets/s',
    step_s,
    source: step_s >= 3600 ? '1h' : step_s >= 300 ? '5min' : 'raw',
    series: [
      {
        labels: { metric, instance: instance ? 'wan1' : '', interface_id: instance || null },
        unit: metric === 'rtt' ? 'ms' : metric === 'loss_ratio' ? 'ratio' : 'octets/s',
        points,
        gaps,
      },
    ],
  };
}

const PORTS = ['wan1', 'wan2', 'port3', 'port4', 'port9', 'ha1', 'port12'];
const ALIAS = [
  'Fibre, wan-rt1 sfp2',
  'LTE backup, lte-gw1',
  'core-sw1 Te1/0/47',
  'core-sw2 Te1/0/47',
  'mgmt-sw1',
  'edge-fw2 ha1',
  '<img src=x onerror=alert(3)>',
];
const SPEED = [1e9, 1e8, 1e10, 1e10, 1e9, 1e9, 1e9];
const USED = [0.71, 0.006, 0, 0.06, 0.02, 0.03, 0.94];

const SENSORS: [kind: string, name: string, unit: string, value: number | null, status: Reading['status']][] =
  [
    ['temperature', 'Inlet', 'celsius', 24.5, 'ok'],
    ['temperature', 'CPU', 'celsius', 61, 'warning'],
    ['fan', 'Fan 1', 'rpm', 4200, 'ok'],
    ['fan', 'Fan 2', 'rpm', 4180, 'ok'],
    ['voltage', '12 V rail', 'volt', 12.06, null],
    ['dbm', 'Te1/0/47 receive', 'dBm', -3.25, null],
    ['state', 'Power supply 1', '', null, 'ok'],
    ['state', 'Power supply 2', '', null, 'critical'],
  ];
const GIB = 2 ** 30;
const STORAGE: [kind: string, name: string, size: number, used: number][] = [
  ['memory', 'Memory', 8 * GIB, 5.1 * GIB],
  ['flash', 'flash:', 4 * GIB, 3.8 * GIB],
];

export function readings(device: DeviceRow): DeviceReadings {
  if (device.snmp === 'none') return { items: [], next: null, total: 0, left_out: 0, asking: null };
  const at = device.state === 'up' ? ago(24) : device.value_at;
  const base = { status: null, size_octets: null, used_octets: null, at, oid: '1.3.6.1.2.1.99.1.1.1.4.1' };
  const sensors = SENSORS.map<Reading>(([kind, name, unit, value, status], i) => ({
    ...base,
    instance: i + 1,
    class: 'sensor',
    kind,
    name,
    unit,
    metric: value === null ? null : kind,
    value,
    status,
    spark: value === null ? [] : spark(`${device.id}${name}`, Math.abs(value) + 1),
  }));
  const storage = STORAGE.map<Reading>(([kind, name, size, used], i) => ({
    ...base,
    instance: i + 100,
    class: 'storage',
    kind,
    name,
    unit: 'ratio',
    metric: 'storageUsed',
    value: used / size,
    size_octets: size,
    used_octets: used,
    spark: spark(`${device.id}${name}`, used),
  }));
  const processor: Reading = {
    ...base,
    instance: 200,
    class: 'processor',
    kind: '',
    name: 'Processor',
    unit: 'ratio',
    metric: 'processorLoad',
    value: 0.37,
    spark: spark(`${device.id}cpu`, 0.37),
  };
  return {
    items: [...sensors, ...storage, processor],
    next: null,
    total: sensors.length + storage.length + 1,
    left_out: 0,
    asking: { requests: 9, octets: 4_812, response_ms: 86, at: at ?? ago(24) },
  };
}

export function interfaces(device: DeviceRow): Interface[] {
  if (device.snmp === 'none') return [];
  const stale = device.state === 'unknown' || device.state === 'down' || device.state === 'unreachable';
  const rows: Interface[] = PORTS.map((name, i) => {
    const speed = SPEED[i] ?? 1e9;
    const down = i === 2;
    const into = (USED[i] ?? 0) * speed;
    const out = into * 0.31;
    return {
      id: idOf(`if ${device.id} ${name}`),
      if_index: i + 1,
      name,
      descr: `Interface ${name}`,
      alias: ALIAS[i] ?? '',
      mac: '04:d5:90:3c:11:a2',
      type: 6,
      speed_bps: speed,
      admin_status: 'up',
      oper_status: down ? 'down' : 'up',
      oper_since: down ? ago(430) : ago(900_000),
      in_bps: down ? 0 : into,
      out_bps: down ? 0 : out,
      in_utilisation_ratio: down ? 0 : (USED[i] ?? 0),
      out_utilisation_ratio: down ? 0 : (USED[i] ?? 0) * 0.31,
      in_errors_1h: i === 6 ? 214 : 0,
      out_errors_1h: 0,
      value_at: stale ? device.value_at : ago(24),
      in_spark: spark(`${device.id}${name}in`, into + 1),
      out_spark: spark(`${device.id}${name}out`, out + 1),
    };
  });
  for (let i = 8; i <= 22; i++) {
    const off = i % 4 === 0;
    rows.push({
      id: idOf(`if ${device.id} ${i}`),
      if_index: i,
      name: `port${i + 5}`,
      descr: `Interface port${i + 5}`,
      alias: '',
      mac: null,
      type: i === 22 ? 24 : 6,
      speed_bps: 1e9,
      admin_status: off ? 'down' : 'up',
      oper_status: 'down',
      oper_since: ago(5_000_000),
      in_bps: null,
      out_bps: null,
      in_utilisation_ratio: null,
      out_utilisation_ratio: null,
      in_errors_1h: null,
      out_errors_1h: null,
      value_at: ago(24),
      in_spark: [],
      out_spark: [],
    });
  }
  return rows;
}

function spark(seed: string, base: number): (number | null)[] {
  const values: (number | null)[] = wave(seed, base, 48, 0.3);
  values.fill(null, 33, 34);
  return values;
}

export function neighbours(device: DeviceRow): Neighbour[] {
  const others = devices.filter((one) => one.site_id === device.site_id && one.id !== device.id).slice(0, 4);
  return [
    ...others.map((other, i) => ({
      protocol: i === 3 ? ('cdp' as const) : ('lldp' as const),
      local_port: PORTS[i] ?? 'port1',
      remote_name: other.name,
      remote_port: `Te1/0/${47 - i}`,
      remote_chassis: '04:d5:90:3c:11:a2',
      device_id: other.id,
    })),
    {
      protocol: 'lldp',
      local_port: 'port12',
      remote_name: '<i>unknown</i> phone',
      remote_port: 'eth0',
      remote_chassis: '00:04:f2:11:22:33',
      device_id: null,
    },
  ];
}

export function events(device: DeviceRow | undefined): Event[] {
  const make = (
    i: number,
    age: number,
    severity: Event['severity'],
    text: string,
    kind: string,
    late = false,
  ): Event => ({
    id: i,
    at: ago(age),
    received_at: ago(late ? age - 2400 : age),
    late,
    time_approximate: late,
    kind,
    severity,
    device_id: device?.id ?? null,
    device_name: device?.name ?? null,
    probe_id: null,
    site_id: device?.site_id ?? '',
    interface_id: null,
    text,
    detail: {},
  });
  return [
    make(1, 430, 'critical', 'port3 went down', 'interface_down'),
    make(2, 670, 'warning', 'latency above 80 ms, opened incident 2414', 'device_degraded'),
    make(3, 24_600, 'cleared', 'data resumed after 46 min, the probe was off', 'probe_connected', true),
    make(4, 30_200, 'warning', 'restarted: uptime fell from 214 d to 2 min', 'device_rebooted'),
    make(5, 91_000, 'cleared', '<script>alert(4)</script> came up', 'interface_up'),
  ];
}
