import { describe, expect, it } from 'vitest';
import type { Top } from '../api/types';
import { ownPath } from './login';
import { talkers } from './overview';

describe('after the sign-in', () => {
  it('only ever goes to a path of our own', () => {
    expect(ownPath('/devices?q=a')).toBe('/devices?q=a');
    for (const bad of [
      'https://evil.example',
      '//evil.example',
      '/\\evil.example',
      'javascript:alert(1)',
      undefined,
    ]) {
      expect(ownPath(bad)).toBe('/');
    }
  });
});

describe('top talkers', () => {
  it('put both directions of an interface together, busiest first', () => {
    const item = (name: string, value: number) => ({
      device_id: name,
      device_name: name,
      customer_name: 'C',
      site_name: 'S',
      interface_id: 'i',
      interface_name: 'wan',
      value,
      unit: 'octets/s',
      at: '2026-01-01T00:00:00Z',
      utilisation_ratio: null,
    });
    const into: Top = { items: [item('a', 10), item('b', 5)] };
    const out: Top = { items: [item('b', 20)] };
    const found = talkers(into, out);
    expect(found.map((one) => [one.item.device_name, one.most])).toEqual([
      ['b', 160],
      ['a', 80],
    ]);
    expect(found[0]?.into?.value).toBe(5);
    expect(found[1]?.out).toBeUndefined();
  });
});
