import { describe, expect, it } from 'vitest';
import {
  availability,
  bits,
  bytes,
  count,
  initials,
  lineSpeed,
  milliseconds,
  percent,
  plural,
} from './units';

const THIN = '\u202f';
const say = ({ value, unit }: { value: string; unit: string }) => `${value} ${unit}`;

describe('units', () => {
  it('put a thin space between thousands', () => {
    expect(count(4147)).toBe(`4${THIN}147`);
    expect(plural(1, 'device')).toBe('1 device');
    expect(plural(2200, 'device')).toBe(`2${THIN}200 devices`);
  });
  it.each([
    [0.04, '0.04 ms'],
    [0.6, '0.6 ms'],
    [9.94, '9.9 ms'],
    [41.6, '42 ms'],
    [148, '148 ms'],
    [12_300, '12.3 s'],
  ])('%d ms has one decimal below ten', (ms, text) => {
    expect(say(milliseconds(ms))).toBe(text);
  });
  it.each([
    [0, '0 bit/s'],
    [950, '950 bit/s'],
    [9000, '9.0 kbit/s'],
    [712e6, '712 Mbit/s'],
    [999.6e6, '1.0 Gbit/s'],
    [6.4e9, '6.4 Gbit/s'],
  ])('%d bit/s steps by thousand', (bps, text) => {
    expect(say(bits(bps))).toBe(text);
  });
  it('names a line without a needless decimal', () => {
    expect(lineSpeed(1e9)).toBe('1 Gbit/s');
    expect(lineSpeed(2.5e9)).toBe('2.5 Gbit/s');
    expect(lineSpeed(1e8)).toBe('100 Mbit/s');
  });
  it('counts what is stored by 1024', () => {
    expect(say(bytes(0))).toBe('0 B');
    expect(say(bytes(41_300_000))).toBe('39 MiB');
  });
  it('never rounds a loss away nor an outage to all', () => {
    expect(percent(0)).toBe('0');
    expect(percent(0.0004)).toBe('<0.1');
    expect(percent(0.031)).toBe('3.1');
    expect(percent(0.9995)).toBe('>99.9');
    expect(percent(1)).toBe('100');
    expect(availability(0.99999)).toBe('99.99 %');
    expect(availability(1)).toBe('100 %');
  });
  it('makes initials of any name', () => {
    expect(initials('Dami Okafor')).toBe('DO');
    expect(initials('ada')).toBe('A');
    expect(initials('')).toBe('?');
    expect(initials('😀 x')).toBe('😀X');
  });
});
