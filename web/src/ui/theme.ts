import { useSyncExternalStore } from 'react';

export type Theme = 'dark' | 'light' | 'system';

const KEY = 'farwatch.theme';
const listeners = new Set<() => void>();
const media = matchMedia('(prefers-color-scheme: light)');

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'dark' || value === 'light' ? value : 'system';
  } catch {
    return 'system';
  }
}

let theme: Theme = stored();

function apply(): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  for (const listener of listeners) listener();
}

export function setTheme(next: Theme): void {
  theme = next;
  try {
    if (next === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  apply();
}

/** The theme that is drawn now. */
export function drawn(): 'dark' | 'light' {
  return theme === 'system' ? (media.matches ? 'light' : 'dark') : theme;
}

export function toggleTheme(): void {
  setTheme(drawn() === 'dark' ? 'light' : 'dark');
}

export function startTheme(): void {
  apply();
  media.addEventListener('change', apply);
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};
export function useTheme(): { theme: Theme; drawn: 'dark' | 'light' } {
  useSyncExternalStore(subscribe, () => `${theme} ${drawn()}`);
  return { theme, drawn: drawn() };
}
