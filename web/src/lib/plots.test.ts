import { describe, expect, it } from 'vitest';
import { scaled, toBits, toMilliseconds } from '../charts/series';
import { align, mergeGaps, split } from './gaps';
import { ageX, niceCeil, sparkPath, stackDots } from './plot';
import { stripPaths, stripText, ticks } from './strip';
import { cutCommand, watchSteps } from './wizard';

const minute = 60_000;
const points = (...at: number[]) => at.map((m) => [m * minute, m, m - 1, m + 1]);

describe('splitting a series at its gaps', () => {
  it('breaks the line where Central says there is a gap, and keeps why', () => {
    const parts = split(
      {
        points: points(0, 1, 2, 6, 7),
        gaps: [{ from: 2.5 * minute, to: 5.5 * minute, reason: 'probe_off' }],
      },
      { step_s: 60 },
    );
    expect(parts.holes).toEqual([{ from: 2.5 * minute, to: 5.5 * minute, reason: 'probe_off' }]);
    expect(parts.mean).toEqual([0, 1, 2, null, 6, 7]);
    expect(parts.x).toEqual([...parts.x].sort((a, b) => a - b));
  });
  it('never draws across a hole nobody explained', () => {
    const parts = split({ points: points(0, 1, 9), gaps: [] }, { step_s: 60 });
    expect(parts.mean).toEqual([0, 1, null, 9]);
    expect(parts.holes).toEqual([{ from: 2 * minute, to: 9 * minute, reason: null }]);
  });
  it('takes a silence after a question for an answer: no hatching, yet no line', () => {
    const gaps = [{ from: 1.5 * minute, to: 4 * minute, reason: 'no_response' as const }];
    const parts = split({ points: points(0, 1, 5), gaps }, { step_s: 60, answered: ['no_response'] });
    expect(parts.holes).toEqual([]);
    expect(parts.mean).toContain(null);
  });
  it('leaves an ordinary jitter of the points alone', () => {
    const parts = split({ points: points(0, 1.2, 2.1, 3.9), gaps: [] }, { step_s: 60 });
    expect(parts.mean).not.toContain(null);
  });
  it('hatches up to now when the points stop without a word', () => {
    const parts = split({ points: points(0, 1), gaps: [] }, { step_s: 60, to: 10 * minute, open: true });
    expect(parts.holes).toEqual([{ from: 2 * minute, to: 10 * minute, reason: null }]);
  });
  it('joins gaps of one reason and keeps two reasons apart', () => {
    expect(
      mergeGaps([
        { from: 5, to: 9, reason: 'probe_off' },
        { from: 0, to: 5, reason: 'probe_off' },
        { from: 9, to: 12, reason: 'disk_full' },
      ]),
    ).toEqual([
      { from: 0, to: 9, reason: 'probe_off' },
      { from: 9, to: 12, reason: 'disk_full' },
    ]);
  });
  it('puts two series on one axis', () => {
    const a = split({ points: points(0, 1), gaps: [] }, { step_s: 60 });
    const b = split({ points: points(1, 2), gaps: [] }, { step_s: 60 });
    const { x, columns } = align([a, b]);
    expect(x).toEqual([0, minute, 2 * minute]);
    expect(columns[0]).toEqual([0, 1, null]);
    expect(columns[3]).toEqual([null, 1, 2]);
  });
});

describe('units of a series', () => {
  it('are turned into what is read, nulls kept', () => {
    const labels = { metric: 'rtt', instance: '', interface_id: null };
    expect(scaled({ labels, unit: 's', points: [[7, 0.5, null, 1]], gaps: [] }, 1000).points).toEqual([
      [7, 500, null, 1000],
    ]);
    expect(toMilliseconds('s')).toBe(1000);
    expect(toBits('octets/s')).toBe(8);
    expect(toBits('bit/s')).toBe(1);
  });
});

describe('the strip', () => {
  it('is one path per state, and taller when worse', () => {
    const paths = stripPaths(ticks(`${'u'.repeat(46)}gd`));
    expect(paths.map(({ tick }) => tick)).toEqual(['up', 'degraded', 'down']);
    expect(paths[2]?.d).toContain('v18.0');
    expect(paths[0]?.d).toContain('v6.5');
  });
  it('can be read aloud', () => {
    expect(stripText(ticks('u'.repeat(48)))).toBe('Last 24 hours: up throughout');
    expect(stripText(ticks(`${'u'.repeat(45)}ddg`))).toBe(
      'Last 24 hours: down in 1 h 00 min, degraded in 30 min',
    );
    expect(stripText(ticks('n'.repeat(48)))).toBe('Last 24 hours: no data yet');
  });
  it('takes a letter it does not know for no data', () => {
    expect(ticks('u?')).toEqual(['up', 'none']);
  });
});

describe('small plots', () => {
  it('break at what is missing and fill only what is whole', () => {
    const broken = sparkPath([1, null, 2], 10, 18);
    expect(broken.line.match(/M/g)).toHaveLength(2);
    expect(broken.area).toBe('');
    expect(sparkPath([1, 2], 10, 18).area).not.toBe('');
    expect(sparkPath([null], 10, 18).line).toBe('');
  });
  it('lay ages on a log axis', () => {
    expect(ageX(0, 340)).toBe(6);
    expect(ageX(1e9, 340)).toBeCloseTo(332);
    expect(ageX(30, 340)).toBeGreaterThan(ageX(10, 340));
    expect(stackDots([10, 11, 24], 7)).toEqual([
      { x: 7, level: 0 },
      { x: 14, level: 0 },
      { x: 21, level: 0 },
    ]);
    expect(stackDots([10, 10], 7)[1]).toEqual({ x: 7, level: 1 });
  });
  it('round the axis up to something that reads well', () => {
    expect([0, 0.7, 3, 11, 99, 216, 1000].map(niceCeil)).toEqual([1, 0.8, 4, 20, 100, 250, 1000]);
  });
});

describe('watching a probe come up', () => {
  const token = (change: object) => ({
    id: 't',
    site_id: 's',
    probe_name: null,
    created_at: '',
    created_by: '',
    expires_at: '',
    last_failure: null,
    state: 'open' as const,
    probe_id: null,
    used_at: null,
    progress: { connected_at: null, devices: 0, first_value_at: null, last_failure: null },
    ...change,
  });
  it('waits, and after a minute of silence says what to check', () => {
    expect(watchSteps(token({}), 10)).toMatchObject({ waiting: 'now', connected: 'pend', silent: false });
    expect(watchSteps(token({}), 61).silent).toBe(true);
  });
  it('follows it through all steps', () => {
    const progress = { connected_at: 'x', devices: 3, first_value_at: null, last_failure: null };
    expect(watchSteps(token({ state: 'used' }), 70)).toMatchObject({ waiting: 'done', connected: 'now' });
    expect(watchSteps(token({ state: 'used', progress }), 70)).toMatchObject({
      connected: 'done',
      discovering: 'now',
      values: 'pend',
      silent: false,
    });
    expect(
      watchSteps(token({ state: 'used', progress: { ...progress, first_value_at: 'x' } }), 70),
    ).toMatchObject({
      discovering: 'done',
      values: 'done',
    });
  });
  it('says when the token ran out', () => {
    expect(watchSteps(token({ state: 'expired' }), 4000)).toMatchObject({ waiting: 'bad', silent: false });
  });
  it('marks the token in the command', () => {
    expect(cutCommand('run --token abc now', 'abc')).toEqual(['run --token ', 'abc', ' now']);
    expect(cutCommand('run', 'abc')).toEqual(['run', '', '']);
  });
});
