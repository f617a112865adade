import { expect, test } from 'vitest';
import type { Reading } from '../api/types';
import { amountText, kindWord, measured, shown, sortedReadings } from './readings';

const reading = (change: Partial<Reading>): Reading => ({
  instance: 1,
  class: 'sensor',
  kind: 'temperature',
  name: 'Inlet',
  unit: 'celsius',
  metric: 'temperature',
  value: 31.5,
  status: null,
  size_octets: null,
  used_octets: null,
  at: null,
  oid: '1.3',
  spark: [],
  ...change,
});

test('values are said with three figures and their sign', () => {
  expect(measured(31.5, 'celsius')).toEqual({ value: '31.5', unit: '°C' });
  expect(measured(-3.25, 'dBm')).toEqual({ value: '-3.25', unit: 'dBm' });
  expect(measured(4200, 'rpm')).toEqual({ value: '4\u202f200', unit: 'rpm' });
  expect(measured(0, 'ampere')).toEqual({ value: '0', unit: 'A' });
  expect(kindWord('apparent_power')).toBe('Apparent power');
});

test('storage is said as a share and as an amount', () => {
  const disk = reading({
    class: 'storage',
    value: 0.4,
    size_octets: 8 * 2 ** 30,
    used_octets: 3.2 * 2 ** 30,
  });
  expect(shown(disk)).toEqual({ value: '40', unit: '%' });
  expect(amountText(disk)).toBe('3.2 of 8.0 GiB');
  expect(shown(reading({ value: null }))).toBeNull();
});

test('what needs a look comes first', () => {
  const names = sortedReadings([
    reading({ name: 'Fan 10', kind: 'fan' }),
    reading({ name: 'Fan 2', kind: 'fan' }),
    reading({ name: 'Data', class: 'storage', kind: 'disk', value: 0.97 }),
    reading({ name: 'PSU 2', status: 'critical' }),
  ]).map((one) => one.name);
  expect(names).toEqual(['PSU 2', 'Data', 'Fan 2', 'Fan 10']);
});
