import { describe, expect, it } from 'vitest';
import type { Incident } from '../api/types';
import { addresses, isRange, rangeSize, splitList } from './cidr';
import { changedFields } from './conflict';
import { csv } from './csv';
import { find, mark } from './find';
import { nextRow } from './grid';
import { grouped, holdNew, linger } from './incidents';
import { byAddress, natural } from './natural';
import { parseScope, scopeQuery, scopeText } from './scope';
import { noCounts, notUp, situation } from './state';

describe('order', () => {
  it('counts in names as people do', () => {
    expect(['sw-10', 'sw-2', 'SW-1'].sort(natural)).toEqual(['SW-1', 'sw-2', 'sw-10']);
  });
  it('sorts addresses by number, IPv4 first', () => {
    expect(['fe80::2', '10.0.0.10', '10.0.0.9', 'fe80::10', '9.9.9.9'].sort(byAddress)).toEqual([
      '9.9.9.9',
      '10.0.0.9',
      '10.0.0.10',
      'fe80::2',
      'fe80::10',
    ]);
  });
});

describe('the keys of a table', () => {
  it.each([
    ['ArrowDown', -1, 0],
    ['j', 4, 5],
    ['k', 0, 0],
    ['ArrowUp', -1, 0],
    ['PageDown', 0, 20],
    ['PageUp', 30, 10],
    ['Home', 50, 0],
    ['End', 0, 99],
    ['PageDown', 95, 99],
  ])('%s from row %d goes to row %d', (key, from, to) => {
    expect(nextRow(key, from, 100, 20)).toBe(to);
  });
  it('leaves other keys, and an empty table, alone', () => {
    expect(nextRow('x', 3, 100, 20)).toBeNull();
    expect(nextRow('End', 0, 0, 20)).toBeNull();
  });
});

describe('ranges', () => {
  it('are networks and addresses of both families', () => {
    for (const good of ['10.0.0.0/8', '10.1.2.3', 'fd00::/64', '::1', '2001:db8::1/128', '0.0.0.0/0']) {
      expect(isRange(good), good).toBe(true);
    }
    for (const bad of [
      '10.0.0/8',
      '10.0.0.0/33',
      '300.1.1.1',
      'fd00::/129',
      ':::',
      '1::2::3',
      'x',
      '',
      '10.0.0.0/',
      '1.2.3.4/8/8',
    ]) {
      expect(isRange(bad), bad).toBe(false);
    }
  });
  it('know how many addresses they are', () => {
    expect(rangeSize('10.20.0.0/20')).toBe(4096);
    expect(addresses(splitList('10.23.0.0/22, 10.23.8.0/24\n10.9.9.9'))).toBe(1281);
  });
});

describe('finding', () => {
  const index = ['core-sw1', 'score-display', 'sw-core-1', 'edge'].map((text) => ({ text }));
  it('puts the start of a name first, then the start of a word', () => {
    expect(find(index, 'core', 5).map(({ text }) => text)).toEqual([
      'core-sw1',
      'sw-core-1',
      'score-display',
    ]);
  });
  it('wants every word', () => {
    expect(find(index, 'core disp', 5).map(({ text }) => text)).toEqual(['score-display']);
  });
  it('marks what was found', () => {
    expect(mark('Core-sw1', 'core')).toEqual(['', 'Core', '-sw1']);
    expect(mark('edge', 'zz')).toEqual(['edge', '', '']);
  });
});

describe('the scope', () => {
  it('goes into the URL and back', () => {
    expect(scopeText(parseScope('c.0190-ab'))).toBe('c.0190-ab');
    expect(scopeQuery(parseScope('s.77'))).toEqual({ site_id: '77' });
  });
  it('is everything when the URL holds nonsense', () => {
    expect(parseScope('c.<script>')).toEqual({ kind: 'all' });
    expect(parseScope(undefined)).toEqual({ kind: 'all' });
  });
});

describe('the sentence about now', () => {
  const at = (change: object) => ({ ...noCounts(), ...change });
  it('says what is down, where, and what hangs behind', () => {
    const counts = at({ down: 3, unreachable: 12, up: 100 });
    const customers = [{ counts: at({ down: 1 }) }, { counts: at({ down: 2 }) }, { counts: at({}) }];
    expect(situation(counts, customers, 115)).toBe(
      '3 devices down at 2 customers, 12 unreachable behind them',
    );
  });
  it('is calm when all is well, and honest when nothing is known', () => {
    expect(situation(at({ up: 7 }), [], 7)).toBe('All 7 devices are up');
    expect(situation(at({ unknown: 18, up: 2 }), [], 20)).toBe('18 devices stale');
    expect(situation(at({}), [], 0)).toBe('No devices yet');
    expect(notUp(at({ down: 1, unreachable: 2, up: 5 }))).toBe('1 down, 2 unreachable');
  });
});

describe('a conflict', () => {
  it('names what the other changed, and not the revision', () => {
    const mine = { revision: 3, ranges: ['a'], port: [161] };
    expect(changedFields(mine, { revision: 4, ranges: ['a', 'b'], port: [161] })).toEqual(['ranges']);
  });
});

describe('an export', () => {
  it('quotes what must be quoted and defuses formulas', () => {
    expect(csv([['a,b', 'say "hi"', '=1+1', '-3.5', '@x']])).toBe('"a,b","say ""hi""",\'=1+1,-3.5,\'@x\r\n');
  });
});

describe('incidents', () => {
  const one = (id: number, severity: Incident['severity'], state: Incident['state'] = 'open') =>
    // Only what the order looks at.
    ({
      id,
      severity,
      state,
      opened_at: `2026-01-01T00:00:0${id}Z`,
      acknowledged_at: state === 'acknowledged' ? `2026-01-01T00:01:0${id}Z` : null,
    }) as Incident;
  it('are grouped by severity, what nobody has taken first', () => {
    const groups = grouped([
      one(1, 'warning'),
      one(2, 'critical', 'acknowledged'),
      one(3, 'major'),
      one(4, 'critical'),
    ]);
    expect(groups.map((group) => [group.name, group.items.map(({ id }) => id)])).toEqual([
      ['Critical', [4, 2, 3]],
      ['Warning', [1]],
    ]);
  });
  it('stay greyed for ten seconds after they were closed, where they stood', () => {
    const both = [one(1, 'critical'), one(2, 'critical')];
    const after = linger(both, [one(2, 'critical')], [], 1000);
    expect(after.map(({ incident, until }) => [incident.id, incident.state, until])).toEqual([
      [1, 'resolved', 11_000],
    ]);
    const closed = after.map(({ incident }) => incident);
    expect(grouped([one(2, 'critical'), ...closed])[0]?.items.map(({ id }) => id)).toEqual([2, 1]);
    expect(linger([one(2, 'critical')], [one(2, 'critical')], after, 10_999)).toHaveLength(1);
    expect(linger([one(2, 'critical')], [one(2, 'critical')], after, 11_000)).toHaveLength(0);
  });
  it('come back to their place when they open again', () => {
    const after = linger([one(1, 'critical')], [], [], 1000);
    expect(linger([], [one(1, 'critical')], after, 2000)).toHaveLength(0);
  });
  it('wait above while somebody reads', () => {
    const held = holdNew([one(1, 'critical'), one(2, 'critical')], new Set([1]), true);
    expect(held.waiting).toBe(1);
    expect(held.shown.map(({ id }) => id)).toEqual([1]);
    expect(holdNew([one(1, 'critical'), one(2, 'critical')], new Set([1]), false).waiting).toBe(0);
  });
});
