import { useQuery } from '@tanstack/react-query';
import { useRouterState } from '@tanstack/react-router';
import { sessionQuery } from '../api/queries';
import type { Role, User } from '../api/types';
import { parseScope, type Scope } from '../lib/scope';

/** Who is signed in; inside the shell there always is somebody. */
export function useUser(): User | null {
  return useQuery(sessionQuery).data?.user ?? null;
}

/** What the role may do; Central checks it again, this only says it beforehand. */
const ALLOWED = {
  acknowledge: ['admin', 'operator'],
  editDevice: ['admin', 'operator'],
  forgetDevice: ['admin', 'technician'],
  enrol: ['admin', 'technician'],
  configureSite: ['admin', 'technician'],
  administer: ['admin'],
} as const satisfies Record<string, readonly Role[]>;

export type Act = keyof typeof ALLOWED;

/** Undefined when the act is allowed, else the reason why not, for the disabled button. */
export function useMayNot(act: Act): string | undefined {
  const user = useUser();
  const roles: readonly Role[] = ALLOWED[act];
  if (user && roles.includes(user.role)) return undefined;
  return `Needs the role ${roles.join(' or ')}`;
}

/** What the console is narrowed to, from the URL. */
export function useScope(): Scope {
  const text = useRouterState({ select: (state) => state.location.search.scope });
  return parseScope(text);
}
