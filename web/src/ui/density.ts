/** How high a row is: chosen per browser, drawn by the token `--row`, known to the table that counts in rows. */
import { useSyncExternalStore } from 'react';

export type Density = 'compact' | 'normal' | 'comfortable';

/** Height of a row in px; tokens.css says the same. */
export const ROW_PX: Record<Density, number> = { compact: 28, normal: 32, comfortable: 40 };

const KEY = 'farwatch.density';
const listeners = new Set<() => void>();

function stored(): Density {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'compact' || value === 'comfortable' ? value : 'normal';
  } catch {
    return 'normal';
  }
}

let density: Density = stored();

function apply(): void {
  if (density === 'normal') delete document.documentElement.dataset.density;
  else document.documentElement.dataset.density = density;
  for (const listener of listeners) listener();
}

export function setDensity(next: Density): void {
  density = next;
  try {
    if (next === 'normal') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  apply();
}

export const startDensity = apply;

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};
export function useDensity(): Density {
  return useSyncExternalStore(subscribe, () => density);
}
