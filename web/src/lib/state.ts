import type { Counts, Probe, Severity, State } from '../api/types';
import { certificateState, certificateText } from './certificate';
import { duration } from './time';
import { count, plural } from './units';

/** Worst first; the order of every list. */
export const STATES = ['down', 'degraded', 'unreachable', 'unknown', 'maintenance', 'up'] as const;
/** The order of the six counts and of the filter chips: what is down, then what hangs behind it. */
export const COUNT_ORDER = ['down', 'unreachable', 'degraded', 'unknown', 'maintenance', 'up'] as const;

export const STATE_WORD: Record<State, string> = {
  down: 'Down',
  degraded: 'Degraded',
  unreachable: 'Unreachable',
  unknown: 'Stale',
  maintenance: 'Maintenance',
  up: 'Up',
};

export const STATE_RANK: Record<State, number> = {
  down: 0,
  degraded: 1,
  unreachable: 2,
  unknown: 3,
  maintenance: 4,
  up: 5,
};

export function isState(text: string | undefined): text is State {
  return text !== undefined && text in STATE_RANK;
}

export function noCounts(): Counts {
  return { down: 0, degraded: 0, unreachable: 0, unknown: 0, maintenance: 0, up: 0 };
}

export function countStates(rows: readonly { state: State }[]): Counts {
  const counts = noCounts();
  for (const row of rows) counts[row.state] += 1;
  return counts;
}

/** The sentence about now: what is down, where, and what hangs behind it. */
export function situation(counts: Counts, customers: readonly { counts: Counts }[], devices: number): string {
  if (devices === 0) return 'No devices yet';
  const parts: string[] = [];
  if (counts.down > 0) {
    const at = customers.filter((customer) => customer.counts.down > 0).length;
    parts.push(`${plural(counts.down, 'device')} down${at > 1 ? ` at ${count(at)} customers` : ''}`);
    if (counts.unreachable > 0) {
      const behind = counts.down === 1 ? 'behind it' : 'behind them';
      parts.push(`${count(counts.unreachable)} unreachable ${behind}`);
    }
  } else if (counts.unreachable > 0) {
    parts.push(`${plural(counts.unreachable, 'device')} unreachable`);
  }
  if (counts.unknown > 0 && parts.length < 2) {
    parts.push(
      parts.length === 0 ? `${plural(counts.unknown, 'device')} stale` : `${count(counts.unknown)} stale`,
    );
  }
  if (counts.degraded > 0 && parts.length < 2) {
    parts.push(
      parts.length === 0
        ? `${plural(counts.degraded, 'device')} degraded`
        : `${count(counts.degraded)} degraded`,
    );
  }
  if (parts.length > 0) return parts.join(', ');
  if (counts.maintenance === devices) return `All ${plural(devices, 'device')} in maintenance`;
  return devices === 1 ? 'The one device is up' : `All ${count(devices)} devices are up`;
}

/** Why the device is in its state. What is up needs no reason: it would only repeat the last event. */
export function stateWhy(device: { state: State; state_reason: string | null }): string | null {
  return device.state === 'up' ? null : device.state_reason;
}

/** "1 down, 12 unreachable, 4 degraded", for a site or a customer; "all 42 up" when nothing is wrong. */
export function notUp(counts: Counts): string {
  const parts = COUNT_ORDER.filter((state) => state !== 'up' && counts[state] > 0).map(
    (state) =>
      `${count(counts[state])} ${state === 'maintenance' ? 'in maintenance' : STATE_WORD[state].toLowerCase()}`,
  );
  if (parts.length > 0) return parts.join(', ');
  return counts.up > 0 ? `all ${count(counts.up)} up` : 'no devices yet';
}

/** How a severity is drawn: two shapes that carry weight, a quiet one for the rest. */
export function severityShape(severity: Severity): 'critical' | 'warning' | 'notice' | 'up' {
  if (severity === 'critical' || severity === 'major') return 'critical';
  if (severity === 'warning' || severity === 'minor') return 'warning';
  return 'notice';
}

/** A probe is not heard of: late after 30 s on the plot, stale after 60 s. */
export const PROBE_LATE_S = 30;
export const PROBE_STALE_S = 60;

export type ProbeShape = 'stale' | 'critical' | 'degraded' | 'up' | 'maint';

export const PROBE_WORD: Record<Probe['state'], string> = {
  connected: 'Reporting',
  late: 'Late',
  silent: 'Not reporting',
  revoked: 'Revoked',
  never_connected: 'Never connected',
};

/** What a person should know about the probe first, or null when all is well. */
export function probeTrouble(probe: Probe, now: number): string | null {
  if (probe.state === 'revoked') return 'revoked';
  if (probe.state === 'never_connected') return 'has not connected yet';
  if (probe.state === 'silent') return 'not reporting';
  const certificate = certificateState(probe.certificate, now);
  if (certificate === 'expired') return `certificate ${certificateText(probe.certificate, now)}`;
  const behind = probe.backlog_behind_s ?? 0;
  if (behind > PROBE_STALE_S) return `${duration(behind)} behind`;
  if (certificate === 'overdue') return `certificate ${certificateText(probe.certificate, now)}`;
  if (probe.clock_offset_ms !== null && Math.abs(probe.clock_offset_ms) > 30_000) {
    return `clock is off by ${Math.round(Math.abs(probe.clock_offset_ms) / 1000)} s`;
  }
  if (probe.state === 'late') return 'late';
  if (probe.anchors.mismatched > 0) return `${plural(probe.anchors.mismatched, 'anchor')} did not match`;
  return probe.notices.find((notice) => notice.severity !== 'cleared')?.text ?? null;
}

export function probeShape(probe: Probe, now: number): ProbeShape {
  if (probe.state === 'revoked') return 'maint';
  if (probe.state === 'silent' || probe.state === 'never_connected') return 'stale';
  if (certificateState(probe.certificate, now) === 'expired') return 'critical';
  return probeTrouble(probe, now) === null ? 'up' : 'degraded';
}

/** For probes stale comes first. */
export const PROBE_RANK: Record<ProbeShape, number> = { stale: 0, critical: 1, degraded: 2, up: 3, maint: 4 };
