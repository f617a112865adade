import { describe, expect, it } from 'vitest';
import {
  absolute,
  ageSeconds,
  clock,
  clockOrDay,
  duration,
  durationExact,
  interval,
  safeZone,
  zoneName,
} from './time';

describe('durations', () => {
  it.each([
    [0, '0 s'],
    [-5, '0 s'],
    [59.9, '59 s'],
    [60, '1 min'],
    [428, '7 min'],
    [3600, '1 h 00 min'],
    [8460, '2 h 21 min'],
    [86_400, '1 d'],
    [90_000, '1 d 1 h'],
    [86_400 * 321 + 7200, '321 d'],
  ])('%d s is %s', (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });
  it('keeps the seconds of a notice that counts', () => {
    expect(durationExact(862)).toBe('14 min 22 s');
    expect(durationExact(42)).toBe('42 s');
    expect(durationExact(8460)).toBe('2 h 21 min');
  });
  it('says a set interval without empty minutes', () => {
    expect(interval(3600)).toBe('1 h');
    expect(interval(5400)).toBe('1 h 30 min');
  });
  it('shows no negative age when the clocks disagree', () => {
    expect(ageSeconds('2026-03-17T13:32:08Z', Date.parse('2026-03-17T13:32:00Z'))).toBe(0);
  });
});

describe('clock times', () => {
  const at = '2026-03-17T13:32:08Z';
  it('are shown in the zone that is asked for', () => {
    expect(clock(at, 'Europe/Amsterdam')).toBe('14:32');
    expect(clock(at, 'UTC')).toBe('13:32');
  });
  it('name the zone, and follow its summer time', () => {
    expect(zoneName('Europe/Amsterdam', Date.parse(at))).toMatch(/CET|GMT\+1/);
    expect(zoneName('Europe/Amsterdam', Date.parse('2026-07-01T00:00:00Z'))).toMatch(/CEST|GMT\+2/);
    expect(absolute(at, 'Europe/Amsterdam')).toContain('17 Mar 2026, 14:32:08');
  });
  it('carry the day when it was another', () => {
    const now = Date.parse(at);
    expect(clockOrDay(at, 'UTC', now)).toBe('13:32:08');
    expect(clockOrDay('2026-03-16T13:32:08Z', 'UTC', now)).toBe('16 Mar, 13:32');
  });
  it('fall back to UTC for a zone nobody knows', () => {
    expect(safeZone('Mars/Olympus')).toBe('UTC');
    expect(safeZone(null)).toBe('UTC');
    expect(safeZone('Europe/Paris')).toBe('Europe/Paris');
  });
});
