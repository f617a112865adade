import { createContext, useContext } from 'react';

/** The zone times are shown in: a site's own on its pages, the user's elsewhere. */
export const ZoneContext = createContext('UTC');

export function useZone(): string {
  return useContext(ZoneContext);
}

export function browserZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
}
