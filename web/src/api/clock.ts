/**
 * Central's time as this browser knows it, and a tick each second for what counts up.
 *
 * Ages are measured against Central, never against this machine: a browser five minutes fast shows no age wrong.
 */
import { useSyncExternalStore } from 'react';

let offset = 0;
let best = Number.POSITIVE_INFINITY;

/** Learns the offset from an answer; the quickest exchange so far is the one to trust, one second later any is. */
export function learnTime(serverTime: string, asked: number, answered: number): void {
  const at = Date.parse(serverTime);
  if (Number.isNaN(at)) return;
  const trip = answered - asked;
  const found = at - (asked + trip / 2);
  if (trip <= best || Math.abs(found - offset) > trip + 1000) {
    best = trip;
    offset = found;
  }
}

/** Now at Central, in ms since 1970. */
export function serverNow(): number {
  return Date.now() + offset;
}

let second = Math.floor(serverNow() / 1000);
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function tick(): void {
  second = Math.floor(serverNow() / 1000);
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(tick, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

function current(): number {
  if (timer === undefined) second = Math.floor(serverNow() / 1000);
  return second;
}

/** Now at Central (ms), again each second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, current) * 1000;
}
