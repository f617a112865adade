/** What a user chose for the console; the API keeps it as it is, so it is read with care. */
import type { Id, User } from './types';

export interface Preferences {
  time_zone?: string;
  /** False switches single-key shortcuts off. */
  single_keys?: boolean;
  pinned_sites?: Id[];
  /** Columns of the device table that are hidden. */
  columns?: string[];
}

const none: Preferences = {};
const read = new WeakMap<User, Preferences>();

export function preferencesOf(user: User | null | undefined): Preferences {
  if (!user) return none;
  let known = read.get(user);
  if (!known) {
    known = parse(user.preferences);
    read.set(user, known);
  }
  return known;
}

function parse(raw: Record<string, unknown>): Preferences {
  const texts = (value: unknown) =>
    Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : undefined;
  const { time_zone, single_keys, pinned_sites, columns } = raw ?? {};
  return {
    ...(typeof time_zone === 'string' ? { time_zone } : {}),
    ...(typeof single_keys === 'boolean' ? { single_keys } : {}),
    ...(texts(pinned_sites) ? { pinned_sites: texts(pinned_sites) } : {}),
    ...(texts(columns) ? { columns: texts(columns) } : {}),
  };
}
