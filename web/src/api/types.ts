/**
 * The shapes of the API, one name per schema of the OpenAPI document.
 *
 * Times are RFC 3339 in UTC, ids are UUID text. Text that came from a device is plain text already made safe by
 * Central; it goes into text nodes only.
 */

export type Time = string;
export type Id = string;

export type State = 'down' | 'degraded' | 'unreachable' | 'unknown' | 'maintenance' | 'up';
export type Severity = 'critical' | 'major' | 'minor' | 'warning' | 'cleared';
export type GapReason =
  | 'probe_off'
  | 'probe_restart'
  | 'spool_overflow'
  | 'disk_full'
  | 'no_response'
  | 'partial'
  | 'overran'
  | 'not_permitted'
  | 'quarantined'
  | 'too_old';
export type Counts = Record<State, number>;
export type Role = 'admin' | 'viewer' | 'technician' | 'operator';

export interface List<T> {
  items: T[];
  next: string | null;
  total: number;
}

/** RFC 9457 `application/problem+json`. */
export interface Problem {
  type?: string;
  title: string;
  status: number;
  detail?: string;
  instance?: string;
  errors?: { field: string; detail: string }[];
}

export interface Setup {
  needed: boolean;
}
export interface Session {
  user: User | null;
  csrf_token: string | null;
  server_time: Time;
  version: string | null;
}
export interface Preferences {
  theme?: 'dark' | 'light' | 'system';
  time_zone?: string;
  single_keys?: boolean;
  pinned_sites?: Id[];
  columns?: string[];
}
export interface User {
  id: Id;
  user_name: string;
  display_name: string;
  role: Role;
  customer_id: Id | null;
  created_at: Time;
  preferences: Preferences;
}

export interface Overview {
  server_time: Time;
  counts: Counts;
  customers_total: number;
  sites_total: number;
  devices_total: number;
  probes_total: number;
  probes_reporting: number;
  incidents_open: number;
  incidents_unacknowledged: number;
  customers: CustomerRow[];
  events_histogram: { at: Time; critical: number; warning: number }[];
  central: { healthy: boolean; samples_per_s: number; notes: string[] };
}

export interface CustomerRow {
  id: Id;
  name: string;
  note: string;
  created_at: Time;
  state: State;
  sites: number;
  devices: number;
  counts: Counts;
  /** 48 characters, one per 30 min, oldest first: u g d r m s n. */
  strip: string;
  availability_24h: number | null;
}
export interface SiteRow {
  id: Id;
  customer_id: Id;
  customer_name: string;
  name: string;
  time_zone: string;
  note: string;
  created_at: Time;
  state: State;
  probes: number;
  devices: number;
  counts: Counts;
  strip: string;
  availability_24h: number | null;
}

export interface SiteConfigInput {
  revision: number;
  ranges: string[];
  exclude: string[];
  credential_ids: Id[];
  snmp_ports: number[];
  allow_loopback: boolean;
  icmp_interval_s: number;
  poll_interval_s: number;
  inventory_interval_s: number;
  discovery_interval_s: number;
  icmp_rate_per_s: number;
}
export interface SiteConfig extends SiteConfigInput {
  site_id: Id;
  updated_at: Time;
  updated_by: string;
}

export type CredentialKind = 'v1' | 'v2c' | 'v3';
export type SecurityLevel = 'noAuthNoPriv' | 'authNoPriv' | 'authPriv';
export type AuthProtocol = 'MD5' | 'SHA-1' | 'SHA-224' | 'SHA-256' | 'SHA-384' | 'SHA-512';
export type PrivProtocol = 'DES' | 'AES-128' | 'AES-192' | 'AES-256' | 'AES-192-C' | 'AES-256-C';
export interface Credential {
  id: Id;
  customer_id: Id;
  site_id: Id | null;
  name: string;
  kind: CredentialKind;
  user_name: string | null;
  security_level: SecurityLevel | null;
  auth_protocol: AuthProtocol | null;
  priv_protocol: PrivProtocol | null;
  context_name: string | null;
  weak: boolean;
  created_at: Time;
  updated_at: Time;
  used_by_sites: number;
}
/** Secrets go one way: no answer ever holds them. */
export interface CredentialInput {
  customer_id: Id;
  site_id?: Id | null;
  name: string;
  kind: CredentialKind;
  community?: string;
  user_name?: string;
  security_level?: SecurityLevel;
  auth_protocol?: AuthProtocol;
  auth_password?: string;
  priv_protocol?: PrivProtocol;
  priv_password?: string;
  context_name?: string;
}

export interface DiscoveryProbe {
  probe_id: Id;
  probe_name: string;
  state: 'idle' | 'sweeping' | 'identifying';
  range: string | null;
  swept: number;
  to_sweep: number;
  answered: number;
  identified: number;
  started_at: Time | null;
  finished_at: Time | null;
}
export interface Discovery {
  probes: DiscoveryProbe[];
}
export interface DiscoveredAddress {
  address: string;
  probe_id: Id;
  device_id: Id | null;
  icmp: 'answered' | 'silent' | 'not_judged';
  snmp: 'answered' | 'no_answer' | 'not_tried' | 'refused';
  attempts: { credential_name: string; port: number; outcome: string; at: Time }[];
  reason: string;
  last_seen_at: Time | null;
}

export interface JoinTokenCreated {
  id: Id;
  site_id: Id;
  /** Shown once; never part of a URL. */
  token: string;
  command: string;
  expires_at: Time;
}
export interface JoinToken {
  id: Id;
  site_id: Id;
  probe_name: string | null;
  created_at: Time;
  created_by: string;
  expires_at: Time;
  state: 'open' | 'used' | 'expired' | 'void';
  probe_id: Id | null;
  used_at: Time | null;
  progress?: {
    connected_at: Time | null;
    devices: number;
    first_value_at: Time | null;
    last_failure: string | null;
  };
}

export interface Probe {
  id: Id;
  customer_id: Id;
  customer_name: string;
  site_id: Id;
  site_name: string;
  name: string;
  state: 'connected' | 'late' | 'silent' | 'revoked' | 'never_connected';
  connected: boolean;
  last_heard_at: Time | null;
  connected_since: Time | null;
  address: string | null;
  version: string | null;
  host_name: string | null;
  os: string | null;
  spool: {
    batches: number;
    bytes: number;
    oldest_unacked_at: Time | null;
    time_left_s: number | null;
    replay_window_s: number | null;
  };
  backlog_behind_s: number | null;
  clock_offset_ms: number | null;
  clock_approximate: boolean;
  certificate: { not_after: Time; renew_after: Time } | null;
  echo_ms: { p50: number; p99: number; last: number; at: Time } | null;
  lease: number;
  epoch: string;
  notices: { severity: Severity; text: string; at: Time }[];
  devices: number;
  created_at: Time;
  revoked_at: Time | null;
  anchors: Anchors & { last_checked_at: Time | null };
}
export interface Anchors {
  checked: number;
  mismatched: number;
}
export interface Ledger {
  probe_id: Id;
  lanes: {
    epoch: string;
    lane: 'events' | 'samples';
    watermark: number;
    ranges: number[][];
    batches: number;
    samples: number;
    undecoded: number;
    quarantined: number;
    dropped: { from_seq: number; to_seq: number; from: Time; to: Time }[];
  }[];
  layouts: number;
  anchors: Anchors;
}

export interface DeviceRow {
  id: Id;
  customer_id: Id;
  customer_name: string;
  site_id: Id;
  site_name: string;
  name: string;
  address: string;
  vendor: string | null;
  model: string | null;
  role: string | null;
  state: State;
  state_since: Time;
  state_reason: string | null;
  muted_until: Time | null;
  rtt_ms: number | null;
  loss_ratio: number | null;
  value_at: Time | null;
  snmp: 'v1' | 'v2c' | 'v3' | 'none';
  interfaces: number;
  uptime_s: number | null;
  strip: string;
}
export interface DeviceList extends List<DeviceRow> {
  counts: Counts;
}
export interface Device extends DeviceRow {
  names: string[];
  sys_name: string | null;
  sys_descr: string | null;
  sys_object_id: string | null;
  sys_location: string | null;
  sys_contact: string | null;
  serial: string | null;
  mac: string | null;
  os: string | null;
  addresses: { address: string; primary: boolean; icmp: string; snmp: string; source: string }[];
  probe_id: Id;
  probe_name: string;
  note: string;
  display_name: string | null;
  credential_name: string | null;
  snmp_security: string | null;
  last_ping_at: Time | null;
  last_snmp_at: Time | null;
  availability_24h: number | null;
  availability_30d: number | null;
  days: { day: string; state: State; availability: number | null }[];
  evidence: { kind: string; value: string; at: Time }[];
  incident_id: number | null;
  first_seen_at: Time;
  poll: { interval_s: number; requests: number; varbinds: number; duration_ms: number } | null;
  anchors: Anchors;
}
export interface Interface {
  id: Id;
  if_index: number | null;
  name: string;
  descr: string;
  alias: string;
  mac: string | null;
  type: number | null;
  speed_bps: number | null;
  admin_status: 'up' | 'down' | 'testing' | null;
  oper_status: 'up' | 'down' | 'testing' | 'unknown' | 'dormant' | 'notPresent' | 'lowerLayerDown' | null;
  oper_since: Time | null;
  in_bps: number | null;
  out_bps: number | null;
  in_utilisation_ratio: number | null;
  out_utilisation_ratio: number | null;
  in_errors_1h: number | null;
  out_errors_1h: number | null;
  value_at: Time | null;
  in_spark: (number | null)[];
  out_spark: (number | null)[];
}
export interface Neighbour {
  protocol: 'lldp' | 'cdp';
  local_port: string;
  remote_name: string;
  remote_port: string;
  remote_chassis: string;
  device_id: Id | null;
}
export interface Event {
  id: Id;
  at: Time;
  received_at: Time;
  late: boolean;
  time_approximate: boolean;
  kind: string;
  severity: Severity;
  device_id: Id | null;
  interface_id: Id | null;
  text: string;
  detail: Record<string, unknown>;
}

export interface Range {
  unit: string;
  step_s: number;
  source: 'raw' | '5min' | '1h';
  series: Series[];
}
export interface Series {
  labels: { metric: string; instance: string | null; interface_id: Id | null };
  /** [ms since 1970, mean, min, max] */
  points: (number | null)[][];
  gaps: Gap[];
}
export interface Gap {
  from: number;
  to: number;
  reason: GapReason;
}
export interface Top {
  items: TopItem[];
}
export interface TopItem {
  device_id: Id;
  device_name: string;
  customer_name: string;
  site_name: string;
  interface_id: Id | null;
  interface_name: string | null;
  value: number;
  unit: string;
  at: Time;
  utilisation_ratio: number | null;
}

export interface Incident {
  id: number;
  kind: 'device_down' | 'probe_silent';
  severity: Severity;
  state: 'open' | 'acknowledged' | 'resolved';
  title: string;
  consequence: string;
  customer_id: Id;
  customer_name: string;
  site_id: Id;
  site_name: string;
  device_id: Id | null;
  probe_id: Id | null;
  opened_at: Time;
  acknowledged_at: Time | null;
  acknowledged_by: string | null;
  resolved_at: Time | null;
  held_back: number;
  notes: { at: Time; by: string; text: string }[];
  timeline: { at: Time; text: string; kind: string }[];
  notifications: {
    channel_name: string;
    state: 'pending' | 'sent' | 'failed';
    at: Time;
    detail: string | null;
  }[];
}

export interface EmailSettings {
  host: string;
  port: number;
  security: 'none' | 'starttls' | 'tls';
  user_name: string;
  from: string;
  to: string[];
}
export interface WebhookSettings {
  url: string;
}
interface ChannelBase {
  id: Id;
  name: string;
  customer_id: Id | null;
  enabled: boolean;
  has_secret: boolean;
  last_result: { state: string; at: Time; detail: string | null } | null;
}
export type Channel = ChannelBase &
  ({ kind: 'email'; settings: EmailSettings } | { kind: 'webhook'; settings: WebhookSettings });
export type ChannelInput = {
  name: string;
  customer_id?: Id | null;
  enabled: boolean;
  secret?: string;
} & ({ kind: 'email'; settings: EmailSettings } | { kind: 'webhook'; settings: WebhookSettings });
export interface ChannelTest {
  state: 'sent' | 'failed';
  detail: string | null;
}

export interface AuditEntry {
  id: Id;
  at: Time;
  who: string;
  from_address: string | null;
  action: string;
  object_kind: string;
  object_id: string | null;
  customer_id: Id | null;
  detail: Record<string, unknown>;
}
