import { QueryClient } from '@tanstack/react-query';
import { describe, expect, it, vi } from 'vitest';
import { countStates } from '../lib/state';
import {
  addToBatch,
  applyBatch,
  emptyBatch,
  listAgainAfter,
  patchDevices,
  patchProbes,
  throttledAgain,
} from './live';
import type { DeviceList, DeviceRow, Probe } from './types';

const row = (id: string, change: Partial<DeviceRow> = {}): DeviceRow => ({
  id,
  customer_id: 'c',
  customer_name: 'C',
  site_id: 's',
  site_name: 'S',
  name: id,
  address: '10.0.0.1',
  vendor: null,
  model: null,
  role: null,
  state: 'up',
  state_since: '2026-01-01T00:00:00Z',
  state_reason: null,
  muted_until: null,
  rtt_ms: 1,
  loss_ratio: 0,
  value_at: '2026-01-01T00:00:00Z',
  snmp: 'v3',
  interfaces: 4,
  uptime_s: 1,
  strip: '',
  ...change,
});
const list = (...items: DeviceRow[]): DeviceList => ({
  items,
  next: null,
  total: items.length,
  counts: countStates(items),
});
const down = (id: string) =>
  JSON.stringify({
    id,
    state: 'down',
    state_since: '2026-01-01T00:01:00Z',
    rtt_ms: null,
    loss_ratio: 1,
    value_at: '2026-01-01T00:00:50Z',
  });

describe('live events in the cache', () => {
  it('change the row they are about, recount, and leave the others as they are', () => {
    const before = list(row('a', { state_reason: 'was up' }), row('b'));
    const batch = emptyBatch();
    addToBatch(batch, 'device', down('a'));
    const after = patchDevices(before, batch);
    expect(after.items[0]).toMatchObject({ state: 'down', rtt_ms: null, state_reason: null });
    expect(after.items[1]).toBe(before.items[1]);
    expect(after.counts).toMatchObject({ down: 1, up: 1 });
  });
  it('never make a value look older than it is', () => {
    const batch = emptyBatch();
    addToBatch(
      batch,
      'device',
      JSON.stringify({ ...JSON.parse(down('a')), value_at: '2025-12-31T00:00:00Z' }),
    );
    expect(patchDevices(list(row('a')), batch).items[0]?.value_at).toBe('2026-01-01T00:00:00Z');
  });
  it('without a state only say what to ask for again, and change nothing themselves', () => {
    const client = new QueryClient();
    const before = list(row('a'), row('b'));
    client.setQueryData(['devices', {}], before);
    const batch = emptyBatch();
    addToBatch(batch, 'device', '{"id":"a"}');
    addToBatch(batch, 'values', '{"site_id":"s","device_ids":["a","b",7]}');
    addToBatch(batch, 'probe', '{"id":"p"}');
    const asked: string[] = [];
    applyBatch(client, batch, (key, every) => asked.push(`${key.join('/')} ${every ?? ''}`.trim()));
    expect(client.getQueryData(['devices', {}])).toBe(before);
    expect(asked).toEqual(['devices 1500', 'overview', 'probes', 'probe/p', 'overview']);
    expect([...batch.values]).toEqual(['a', 'b']);
  });
  it('ask for ten thousand rows less often than for ten', () => {
    expect(listAgainAfter(10, true)).toBeLessThan(listAgainAfter(10_000, true));
    expect(listAgainAfter(10_000, true)).toBeLessThan(listAgainAfter(10_000, false));
  });
  it('about devices that are not shown change nothing', () => {
    const batch = emptyBatch();
    addToBatch(batch, 'device', down('elsewhere'));
    const before = list(row('a'));
    expect(patchDevices(before, batch)).toBe(before);
  });
  it('that cannot be read are left out', () => {
    const batch = emptyBatch();
    addToBatch(batch, 'device', '{not json');
    addToBatch(batch, 'device', 'null');
    addToBatch(batch, 'incident', '{"id":"text"}');
    expect(batch.devices.size + batch.incidents.size).toBe(0);
  });
  it('keep the last word on a device when several came', () => {
    const batch = emptyBatch();
    addToBatch(batch, 'device', down('a'));
    addToBatch(batch, 'device', JSON.stringify({ ...JSON.parse(down('a')), state: 'up' }));
    expect(patchDevices(list(row('a')), batch).items[0]?.state).toBe('up');
  });
  it('say which probe was heard', () => {
    // Only what the patch looks at.
    const probe = { id: 'p', state: 'connected', connected: true, last_heard_at: null } as Probe;
    const batch = emptyBatch();
    addToBatch(
      batch,
      'probe',
      JSON.stringify({ id: 'p', state: 'silent', last_heard_at: '2026-01-01T00:00:00Z' }),
    );
    expect(patchProbes({ items: [probe], next: null, total: 1 }, batch).items[0]).toMatchObject({
      state: 'silent',
      connected: false,
      last_heard_at: '2026-01-01T00:00:00Z',
    });
  });
  it('reach every list and the device itself, and ask for the overview again', () => {
    const client = new QueryClient();
    client.setQueryData(['devices', {}], list(row('a')));
    client.setQueryData(['devices', { site_id: 's' }], list(row('a')));
    client.setQueryData(['device', 'a'], row('a'));
    const batch = emptyBatch();
    addToBatch(batch, 'device', down('a'));
    const asked: string[] = [];
    applyBatch(client, batch, (key) => asked.push(key.join('/')));
    for (const key of [
      ['devices', {}],
      ['devices', { site_id: 's' }],
    ]) {
      expect(client.getQueryData<DeviceList>(key)?.items[0]?.state).toBe('down');
    }
    expect(client.getQueryData<DeviceRow>(['device', 'a'])?.state).toBe('down');
    expect(asked).toContain('overview');
  });
  it('after a reset ask for everything anew', () => {
    const client = new QueryClient();
    const invalidate = vi.spyOn(client, 'invalidateQueries');
    const batch = emptyBatch();
    addToBatch(batch, 'reset', '{}');
    applyBatch(client, batch, () => {});
    expect(invalidate).toHaveBeenCalledWith();
  });
  it('do not ask for the same thing more often than it is worth', () => {
    vi.useFakeTimers();
    const client = new QueryClient();
    const invalidate = vi.spyOn(client, 'invalidateQueries');
    const again = throttledAgain(client);
    for (let i = 0; i < 50; i++) again(['overview']);
    expect(invalidate).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(5100);
    expect(invalidate).toHaveBeenCalledTimes(2);
    vi.useRealTimers();
  });
});
