import type { Id } from '../api/types';

/** What the whole console is narrowed to; kept in the URL as `scope=c.<id>` or `scope=s.<id>`. */
export type Scope = { kind: 'all' } | { kind: 'customer'; id: Id } | { kind: 'site'; id: Id };

export const ALL: Scope = { kind: 'all' };

export function parseScope(text: string | undefined): Scope {
  const id = text?.slice(2) ?? '';
  if (!/^[0-9a-zA-Z-]+$/.test(id)) return ALL;
  if (text?.startsWith('c.')) return { kind: 'customer', id };
  if (text?.startsWith('s.')) return { kind: 'site', id };
  return ALL;
}

export function scopeText(scope: Scope): string | undefined {
  return scope.kind === 'all' ? undefined : `${scope.kind === 'customer' ? 'c' : 's'}.${scope.id}`;
}

/** The scope as the API's filters. */
export function scopeQuery(scope: Scope): { customer_id?: Id; site_id?: Id } {
  if (scope.kind === 'customer') return { customer_id: scope.id };
  if (scope.kind === 'site') return { site_id: scope.id };
  return {};
}
