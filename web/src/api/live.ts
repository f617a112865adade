/**
 * One stream of events per tab, into the query cache.
 *
 * Events carry a little state (a device's, a probe's) that is patched into lists at once; for the rest they say
 * which query is out of date. They are put together for 250 ms, so that the page paints at most four times a second.
 */
import type { QueryClient } from '@tanstack/react-query';
import { useSyncExternalStore } from 'react';
import { countStates } from '../lib/state';
import { learnTime, serverNow } from './clock';
import type { Device, DeviceList, DeviceRow, List, Probe, State, Time } from './types';

export interface DeviceEvent {
  id: string;
  state: State;
  state_since: Time;
  rtt_ms: number | null;
  loss_ratio: number | null;
  value_at: Time | null;
}
export interface ValuesEvent {
  device_id: string;
  value_at: Time;
}
export interface ProbeEvent {
  id: string;
  state: Probe['state'];
  last_heard_at: Time | null;
}

/** What came in since the last paint. */
export interface Batch {
  devices: Map<string, DeviceEvent>;
  values: Map<string, ValuesEvent>;
  probes: Map<string, ProbeEvent>;
  incidents: Set<number>;
  eventsOf: Set<string>;
  configs: Set<string>;
  discoveries: Set<string>;
  reset: boolean;
}

export function emptyBatch(): Batch {
  return {
    devices: new Map(),
    values: new Map(),
    probes: new Map(),
    incidents: new Set(),
    eventsOf: new Set(),
    configs: new Set(),
    discoveries: new Set(),
    reset: false,
  };
}

/** Puts one event into the batch; what cannot be read is left out, the next full answer will hold it. */
export function addToBatch(batch: Batch, kind: string, data: string): void {
  if (kind === 'reset') {
    batch.reset = true;
    return;
  }
  const body = parse(data);
  if (body === null) return;
  const text = (key: string) => (typeof body[key] === 'string' ? body[key] : null);
  const id = text('id');
  switch (kind) {
    case 'device':
      // Central's own event, checked by its schema on that side; a wrong field shows until the next full answer.
      if (id) batch.devices.set(id, body as unknown as DeviceEvent);
      break;
    case 'probe':
      // As above.
      if (id) batch.probes.set(id, body as unknown as ProbeEvent);
      break;
    case 'values': {
      const device_id = text('device_id');
      const value_at = text('value_at');
      if (device_id && value_at) batch.values.set(device_id, { device_id, value_at });
      break;
    }
    case 'incident':
      if (typeof body.id === 'number') batch.incidents.add(body.id);
      break;
    case 'event': {
      const device_id = text('device_id');
      if (device_id) batch.eventsOf.add(device_id);
      break;
    }
    case 'config': {
      const site_id = text('site_id');
      if (site_id) batch.configs.add(site_id);
      break;
    }
    case 'discovery': {
      const site_id = text('site_id');
      if (site_id) batch.discoveries.add(site_id);
      break;
    }
  }
}

function parse(data: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(data);
    // An object by the check before; its fields are looked at one by one.
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** One row with what the batch says about it; the same object when it says nothing. */
export function patchRow<T extends DeviceRow>(row: T, batch: Batch): T {
  const device = batch.devices.get(row.id);
  const values = batch.values.get(row.id);
  if (!device && !values) return row;
  let next = row;
  if (device) {
    const { state, state_since, rtt_ms, loss_ratio, value_at } = device;
    // A reason belongs to the state it was given for.
    const state_reason = state === row.state ? row.state_reason : null;
    next = {
      ...next,
      state,
      state_since,
      rtt_ms,
      loss_ratio,
      state_reason,
      value_at: value_at ?? row.value_at,
    };
  }
  if (values && (next.value_at === null || values.value_at > next.value_at)) {
    next = { ...next, value_at: values.value_at };
  }
  return next;
}

/** The list with the batch in it: changed rows are new objects, all others stay the same. */
export function patchDevices(list: DeviceList, batch: Batch): DeviceList {
  if (batch.devices.size === 0 && batch.values.size === 0) return list;
  let changed = false;
  const items = list.items.map((row) => {
    const next = patchRow(row, batch);
    if (next !== row) changed = true;
    return next;
  });
  if (!changed) return list;
  return { ...list, items, counts: batch.devices.size > 0 ? countStates(items) : list.counts };
}

export function patchProbes(list: List<Probe>, batch: Batch): List<Probe> {
  if (batch.probes.size === 0) return list;
  const items = list.items.map((probe) => patchProbe(probe, batch));
  return items.every((probe, i) => probe === list.items[i]) ? list : { ...list, items };
}

export function patchProbe(probe: Probe, batch: Batch): Probe {
  const event = batch.probes.get(probe.id);
  if (!event) return probe;
  return {
    ...probe,
    state: event.state,
    connected: event.state === 'connected' || event.state === 'late',
    last_heard_at: event.last_heard_at ?? probe.last_heard_at,
  };
}

/** Queries that are asked for again at most this often (ms), however many events say they are out of date. */
const AGAIN_AFTER: Record<string, number> = {
  overview: 5000,
  incidents: 1000,
  incident: 1000,
  discovery: 1500,
  device: 3000,
  probe: 3000,
  range: 10_000,
};

/** Gives a batch to the cache. `again` asks for queries by key, throttled. */
export function applyBatch(
  client: QueryClient,
  batch: Batch,
  again: (key: readonly unknown[]) => void,
): void {
  if (batch.reset) {
    void client.invalidateQueries();
    return;
  }
  if (batch.devices.size > 0 || batch.values.size > 0) {
    client.setQueriesData<DeviceList>({ queryKey: ['devices'] }, (list) => list && patchDevices(list, batch));
    for (const id of new Set([...batch.devices.keys(), ...batch.values.keys()])) {
      client.setQueryData<Device>(['device', id], (device) => device && patchRow(device, batch));
      again(['device', id]);
    }
    if (batch.devices.size > 0) again(['overview']);
  }
  if (batch.probes.size > 0) {
    client.setQueriesData<List<Probe>>({ queryKey: ['probes'] }, (list) => list && patchProbes(list, batch));
    for (const id of batch.probes.keys()) {
      client.setQueryData<Probe>(['probe', id], (probe) => probe && patchProbe(probe, batch));
    }
    again(['overview']);
  }
  if (batch.incidents.size > 0) {
    again(['incidents']);
    again(['overview']);
    for (const id of batch.incidents) again(['incident', id]);
  }
  for (const id of batch.eventsOf) again(['device', id, 'events']);
  if (batch.eventsOf.size > 0) again(['overview']);
  for (const id of batch.configs) again(['site-config', id]);
  for (const id of batch.discoveries) {
    again(['discovery', id]);
    again(['devices']);
    again(['sites']);
    again(['site', id]);
  }
}

/** Asks for queries again, the same key at most every so often; what comes too early is kept for later. */
export function throttledAgain(client: QueryClient): (key: readonly unknown[]) => void {
  const last = new Map<string, number>();
  const waiting = new Set<string>();
  return (key) => {
    const name = JSON.stringify(key);
    if (waiting.has(name)) return;
    const every = AGAIN_AFTER[String(key[0])] ?? 3000;
    const ask = () => {
      waiting.delete(name);
      last.set(name, Date.now());
      if (last.size > 5000) last.clear();
      void client.invalidateQueries({ queryKey: key }, { cancelRefetch: false });
    };
    const wait = (last.get(name) ?? 0) + every - Date.now();
    if (wait <= 0) {
      ask();
    } else {
      waiting.add(name);
      setTimeout(ask, wait);
    }
  };
}

/** How the stream is doing: when Central was last heard (ms, its clock) and how many tries it has been away. */
export interface LiveState {
  heard: number | null;
  tries: number;
}

let state: LiveState = { heard: null, tries: 0 };
const listeners = new Set<() => void>();
function setState(next: LiveState): void {
  state = next;
  for (const listener of listeners) listener();
}
export function useLive(): LiveState {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => state,
  );
}

/** From this age (s) on the indicator shows it; from the second on the screen is said not to be live. */
export const LIVE_AGE_S = 10;
export const NOT_LIVE_S = 30;

const KINDS = ['device', 'values', 'incident', 'probe', 'event', 'config', 'discovery', 'reset'] as const;
const PAINT_EVERY_MS = 250;

let reconnectNow: (() => void) | null = null;
/** The button "Reconnect": does not wait for the next try. */
export function reconnect(): void {
  reconnectNow?.();
}

/** Listens until the returned function is called. */
export function listen(client: QueryClient): () => void {
  const again = throttledAgain(client);
  let source: EventSource | null = null;
  let batch = emptyBatch();
  let painting: ReturnType<typeof setTimeout> | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let missed = false;
  let stopped = false;

  const paint = () => {
    painting = undefined;
    if (document.hidden) return; // kept until the page is looked at again
    const all = batch;
    batch = emptyBatch();
    applyBatch(client, all, again);
  };
  const heard = () => setState({ heard: serverNow(), tries: 0 });

  const open = () => {
    clearTimeout(retry);
    source?.close();
    source = new EventSource('/api/v1/live', { withCredentials: true });
    source.addEventListener('hello', (event) => {
      timeOf(event);
      heard();
      if (missed) {
        missed = false;
        void client.invalidateQueries();
      }
    });
    source.addEventListener('tick', (event) => {
      timeOf(event);
      heard();
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        addToBatch(batch, kind, String(event.data));
        heard();
        painting ??= setTimeout(paint, PAINT_EVERY_MS);
      });
    }
    source.addEventListener('error', () => {
      missed = true;
      setState({ heard: state.heard, tries: state.tries + 1 });
      // A refused stream is closed for good by the browser: try again ourselves, slower each time.
      if (source?.readyState === EventSource.CLOSED && !stopped) {
        clearTimeout(retry);
        retry = setTimeout(open, Math.min(15_000, 1000 * 2 ** Math.min(4, state.tries)));
      }
    });
  };

  const shown = () => {
    if (!document.hidden) paint();
  };
  document.addEventListener('visibilitychange', shown);
  reconnectNow = open;
  open();
  return () => {
    stopped = true;
    document.removeEventListener('visibilitychange', shown);
    clearTimeout(retry);
    clearTimeout(painting);
    source?.close();
    reconnectNow = null;
    setState({ heard: null, tries: 0 });
  };
}

function timeOf(event: MessageEvent): void {
  const body = parse(String(event.data));
  if (typeof body?.server_time === 'string') learnTime(body.server_time, Date.now(), Date.now());
}
