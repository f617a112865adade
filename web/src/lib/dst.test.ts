import { describe, expect, it } from 'vitest';
import { changeText, clockChanges, offsetMinutes } from './dst';

const at = (time: string) => Date.parse(time);
const week = (start: string) => [at(start), at(start) + 7 * 86_400_000] as const;

describe('the change of the clocks', () => {
  it('is found to the minute, forward in spring and back in autumn', () => {
    const [spring] = clockChanges('Europe/Amsterdam', ...week('2026-03-25T09:30:00Z'));
    expect(spring).toEqual({ at: at('2026-03-29T01:00:00Z'), minutes: 60 });
    const [autumn] = clockChanges('Europe/Amsterdam', ...week('2026-10-20T00:00:00Z'));
    expect(autumn).toEqual({ at: at('2026-10-25T01:00:00Z'), minutes: -60 });
    expect(autumn && changeText(autumn)).toBe('clocks −1 h');
  });
  it('is half an hour where it is', () => {
    const [change] = clockChanges('Australia/Lord_Howe', ...week('2026-10-01T00:00:00Z'));
    expect(change && changeText(change)).toBe('clocks +30 min');
  });
  it('is not there in other weeks, nor in zones that never change', () => {
    expect(clockChanges('Europe/Amsterdam', ...week('2026-11-20T00:00:00Z'))).toEqual([]);
    expect(clockChanges('UTC', ...week('2026-03-25T00:00:00Z'))).toEqual([]);
    expect(offsetMinutes('Asia/Kolkata', at('2026-01-01T00:00:00Z'))).toBe(330);
    expect(offsetMinutes('America/St_Johns', at('2026-01-01T00:00:00Z'))).toBe(-210);
  });
});
