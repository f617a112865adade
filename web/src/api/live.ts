/**
 * One stream of events per tab, into the query cache.
 *
 * Events say what changed. Where one carries the new state, lists are patched at once; else it says which query is out
 * of date, and long lists are asked for again less often. Events are put together for 250 ms, so that the page paints
 * at most four times a second.
 */
import type { QueryClient } from '@tanstack/react-query';
import { useSyncExternalStore } from 'react';
import { countStates, isState } from '../lib/state';
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
export interface ProbeEvent {
  id: string;
  state: Probe['state'];
  last_heard_at: Time | null;
}

/** What came in since the last paint. */
export interface Batch {
  /** Devices and probes whose new state came with the event. */
  devices: Map<string, DeviceEvent>;
  probes: Map<string, ProbeEvent>;
  /** Devices and probes of which we only know that something changed. */
  changedDevices: Set<string>;
  changedProbes: Set<string>;
  /** Devices with new values. */
  values: Set<string>;
  incidents: Set<number>;
  eventsOf: Set<string>;
  configs: Set<string>;
  discoveries: Set<string>;
  reset: boolean;
}

export function emptyBatch(): Batch {
  return {
    devices: new Map(),
    probes: new Map(),
    changedDevices: new Set(),
    changedProbes: new Set(),
    values: new Set(),
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
      if (!id) break;
      // An event of Central's own making: with a state it has all the rest.
      if (isState(text('state') ?? undefined)) batch.devices.set(id, body as unknown as DeviceEvent);
      else batch.changedDevices.add(id);
      break;
    case 'probe':
      if (!id) break;
      // As above.
      if (text('state')) batch.probes.set(id, body as unknown as ProbeEvent);
      else batch.changedProbes.add(id);
      break;
    case 'values': {
      const ids = Array.isArray(body.device_ids) ? body.device_ids : [body.device_id];
      for (const one of ids) if (typeof one === 'string') batch.values.add(one);
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
  if (!device) return row;
  const { state, state_since, rtt_ms, loss_ratio, value_at } = device;
  // A reason belongs to the state it was given for; a value never gets older than it was.
  const state_reason = state === row.state ? row.state_reason : null;
  const newer = value_at !== null && (row.value_at === null || value_at > row.value_at);
  return {
    ...row,
    state,
    state_since,
    rtt_ms,
    loss_ratio,
    state_reason,
    value_at: newer ? value_at : row.value_at,
  };
}

/** The list with the batch in it: changed rows are new objects, all others stay the same. */
export function patchDevices(list: DeviceList, batch: Batch): DeviceList {
  if (batch.devices.size === 0) return list;
  let changed = false;
  const items = list.items.map((row) => {
    const next = patchRow(row, batch);
    if (next !== row) changed = true;
    return next;
  });
  if (!changed) return list;
  return { ...list, items, counts: countStates(items) };
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
  device: 5000,
  probe: 2000,
  probes: 2000,
};

/** A long list is asked for again less often: for a changed state soon, for new values at leisure. */
export function listAgainAfter(rows: number, states: boolean): number {
  if (rows <= 500) return states ? 1500 : 10_000;
  if (rows <= 2000) return states ? 3000 : 15_000;
  return states ? 8000 : 30_000;
}

type Again = (key: readonly unknown[], every?: number) => void;

/** Gives a batch to the cache. `again` asks for queries by key, throttled. */
export function applyBatch(client: QueryClient, batch: Batch, again: Again): void {
  if (batch.reset) {
    void client.invalidateQueries();
    return;
  }
  const rows = Math.max(
    0,
    ...client
      .getQueriesData<DeviceList>({ queryKey: ['devices'] })
      .map(([, list]) => list?.items.length ?? 0),
  );
  if (batch.devices.size > 0) {
    client.setQueriesData<DeviceList>({ queryKey: ['devices'] }, (list) => list && patchDevices(list, batch));
    for (const id of batch.devices.keys()) {
      client.setQueryData<Device>(['device', id], (device) => device && patchRow(device, batch));
    }
  }
  if (batch.changedDevices.size > 0) again(['devices'], listAgainAfter(rows, true));
  else if (batch.values.size > 0) again(['devices'], listAgainAfter(rows, false));
  for (const id of new Set([...batch.devices.keys(), ...batch.changedDevices, ...batch.values])) {
    // Only what somebody looks at is asked for; the rest would fill the throttle for nothing.
    if (
      client
        .getQueryCache()
        .find({ queryKey: ['device', id] })
        ?.isActive()
    )
      again(['device', id]);
  }
  if (batch.devices.size + batch.changedDevices.size > 0) again(['overview']);

  if (batch.probes.size > 0) {
    client.setQueriesData<List<Probe>>({ queryKey: ['probes'] }, (list) => list && patchProbes(list, batch));
    for (const id of batch.probes.keys()) {
      client.setQueryData<Probe>(['probe', id], (probe) => probe && patchProbe(probe, batch));
    }
  }
  if (batch.changedProbes.size > 0) again(['probes']);
  for (const id of batch.changedProbes) again(['probe', id]);
  if (batch.probes.size + batch.changedProbes.size > 0) again(['overview']);

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
    again(['sites']);
    again(['site', id]);
  }
}

/** Asks for queries again, the same key at most every so often; what comes too early is kept for later. */
export function throttledAgain(client: QueryClient): Again {
  const last = new Map<string, number>();
  const waiting = new Map<string, { due: number; timer: ReturnType<typeof setTimeout> }>();
  return (key, every = AGAIN_AFTER[String(key[0])] ?? 3000) => {
    const name = JSON.stringify(key);
    const due = Math.max(Date.now(), (last.get(name) ?? 0) + every);
    const before = waiting.get(name);
    if (before && before.due <= due) return;
    clearTimeout(before?.timer);
    const ask = () => {
      waiting.delete(name);
      if (last.size > 5000) last.clear();
      last.set(name, Date.now());
      void client.invalidateQueries({ queryKey: key }, { cancelRefetch: false });
    };
    if (due <= Date.now()) ask();
    else waiting.set(name, { due, timer: setTimeout(ask, due - Date.now()) });
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
const SILENT_MS = 20_000;

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

  // A connection that is open and silent is dead: Central ticks every 5 s.
  const watch = setInterval(() => {
    const silent = state.heard === null ? 0 : serverNow() - state.heard;
    if (silent > SILENT_MS && source?.readyState === EventSource.OPEN && !document.hidden) {
      missed = true;
      open();
    }
  }, 5000);

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
      // A refused stream is closed for good by the browser: try again ourselves, slower each time. It may be that
      // the session is over; any question finds that out.
      if (source?.readyState === EventSource.CLOSED && !stopped) {
        void client.refetchQueries({ queryKey: ['overview'], type: 'active' });
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
    clearInterval(watch);
    source?.close();
    reconnectNow = null;
    setState({ heard: null, tries: 0 });
  };
}

function timeOf(event: MessageEvent): void {
  const body = parse(String(event.data));
  if (typeof body?.server_time === 'string') learnTime(body.server_time, Date.now(), Date.now());
}
