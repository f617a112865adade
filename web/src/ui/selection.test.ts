import { describe, expect, it } from 'vitest';
import { NOTHING, ranged, toggled } from './selection';

const order = ['a', 'b', 'c', 'd', 'e'];
const keys = (selection: { keys: ReadonlySet<string> }) => [...selection.keys].sort().join('');

describe('a selection', () => {
  it('takes a row in and out again', () => {
    const one = toggled(NOTHING, 'b');
    expect(keys(one)).toBe('b');
    expect(keys(toggled(one, 'b'))).toBe('');
  });
  it('takes a range from the last row taken, in either direction, and keeps what was there', () => {
    const start = toggled(toggled(NOTHING, 'a'), 'd');
    expect(keys(ranged(start, 'b', order))).toBe('abcd');
    expect(keys(ranged(start, 'e', order))).toBe('ade');
  });
  it('takes the row alone when its range has no start, or the start is filtered away', () => {
    expect(keys(ranged(NOTHING, 'c', order))).toBe('c');
    expect(keys(ranged(toggled(NOTHING, 'gone'), 'c', order))).toBe('cgone');
  });
});
