/** A page whose times are a site's own: in its zone, and the top bar says which. */
import { type ReactNode, useEffect, useSyncExternalStore } from 'react';
import { ZoneContext } from './zone';

let shown: string | null = null;
const listeners = new Set<() => void>();
function show(zone: string | null): void {
  shown = zone;
  for (const listener of listeners) listener();
}
const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

/** The zone of the page in sight, or null when it has none of its own. */
export function useShownZone(): string | null {
  return useSyncExternalStore(subscribe, () => shown);
}

export function SiteZone({ zone, children }: { zone: string; children: ReactNode }) {
  useEffect(() => {
    show(zone);
    return () => show(null);
  }, [zone]);
  return <ZoneContext value={zone}>{children}</ZoneContext>;
}
