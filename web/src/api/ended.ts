/** The session ended while a page is open: the page stays as it is, and asks to sign in again. */
import { useSyncExternalStore } from 'react';

let ended = false;
const listeners = new Set<() => void>();

export function setSessionEnded(now: boolean): void {
  if (ended === now) return;
  ended = now;
  for (const listener of listeners) listener();
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};
export function useSessionEnded(): boolean {
  return useSyncExternalStore(subscribe, () => ended);
}
