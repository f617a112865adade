import { describe, expect, it } from 'vitest';
import type { Probe } from '../api/types';
import { certificateState, certificateText } from './certificate';
import { probeShape, probeTrouble } from './state';

const HOUR = 3_600_000;
const issued = Date.parse('2026-11-20T00:00:00Z');
/** As Central issues them: 72 h, to be renewed at half life. */
const certificate = {
  not_after: new Date(issued + 72 * HOUR).toISOString(),
  renew_after: new Date(issued + 36 * HOUR).toISOString(),
};
const probe = {
  state: 'connected',
  backlog_behind_s: 0,
  certificate,
  clock_offset_ms: 0,
  anchors: { checked: 0, mismatched: 0, last_checked_at: null },
  notices: [],
} as unknown as Probe; // only what trouble looks at
const at = (hours: number) => issued + hours * HOUR;

describe('the certificate of a probe', () => {
  it('says nothing while it is renewed at half life, though it always ends within three days', () => {
    for (const hours of [0, 1, 35.9, 36, 40, 53.9]) {
      expect(certificateState(certificate, at(hours)), `after ${hours} h`).toBe('good');
      expect(probeTrouble(probe, at(hours))).toBeNull();
      expect(probeShape(probe, at(hours))).toBe('up');
    }
    expect(certificateText(certificate, at(20))).toBe('ends in 2 d 4 h');
  });
  it('warns once renewal is overdue by a quarter of the life, and says since when', () => {
    expect(certificateState(certificate, at(54))).toBe('overdue');
    expect(certificateState(certificate, at(71.9))).toBe('overdue');
    expect(probeTrouble(probe, at(56.5))).toBe('certificate was to be renewed 20 h ago');
    expect(probeShape(probe, at(56.5))).toBe('degraded');
  });
  it('is critical from the moment it has expired', () => {
    expect(certificateState(certificate, at(72))).toBe('expired');
    expect(probeTrouble(probe, at(72.5))).toBe('certificate expired 30 min ago');
    expect(probeShape(probe, at(72.5))).toBe('critical');
  });
  it('follows the life it was given, not a number of days', () => {
    const year = {
      not_after: new Date(issued + 8760 * HOUR).toISOString(),
      renew_after: new Date(issued + 4380 * HOUR).toISOString(),
    };
    expect(certificateState(year, at(6000))).toBe('good');
    expect(certificateState(year, at(6571))).toBe('overdue');
  });
  it('is not judged where there is none, and a silent probe is silent first', () => {
    expect(certificateState(null, at(0))).toBeNull();
    expect(certificateText(null, at(0))).toBeNull();
    expect(probeTrouble({ ...probe, state: 'silent' }, at(100))).toBe('not reporting');
    expect(probeShape({ ...probe, state: 'silent' }, at(100))).toBe('stale');
  });
});
