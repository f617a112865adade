import { ApiError, say } from '../api/client';

/** Why a sign-in was refused, in words that say what to do. */
export function saidAtSignIn(error: unknown): string {
  if (error instanceof ApiError && error.status === 429) {
    const wait = error.retryAfter;
    return `Too many tries. Wait ${wait ? `${wait} s` : 'a while'}, then try again.`;
  }
  if (error instanceof ApiError && error.status === 401) return 'User name and password do not match.';
  return say(error);
}
