/** When a probe's certificate deserves a person: never for being short, only for not being renewed in time. */
import type { Probe } from '../api/types';
import { duration } from './time';

export type CertificateState = 'good' | 'overdue' | 'expired';

/**
 * A probe renews from `renew_after` on, at half of the life, and tries again until it succeeds. Until a quarter of the
 * life has passed after that, the other half is still plenty and nothing is said.
 */
export function certificateState(
  certificate: Probe['certificate'] | null,
  now: number,
): CertificateState | null {
  if (!certificate) return null;
  const ends = Date.parse(certificate.not_after);
  const renew = Date.parse(certificate.renew_after);
  if (now >= ends) return 'expired';
  return now < renew + (ends - renew) / 2 ? 'good' : 'overdue';
}

/** The same in words, with how long: "ends in 2 d 4 h", "was to be renewed 20 h ago", "expired 5 min ago". */
export function certificateText(certificate: Probe['certificate'] | null, now: number): string | null {
  const state = certificateState(certificate, now);
  if (!certificate || state === null) return null;
  if (state === 'expired') return `expired ${since(certificate.not_after, now)} ago`;
  if (state === 'overdue') return `was to be renewed ${since(certificate.renew_after, now)} ago`;
  return `ends in ${duration((Date.parse(certificate.not_after) - now) / 1000)}`;
}

/** Hours and days are enough here; minutes only below an hour. */
function since(time: string, now: number): string {
  return duration((now - Date.parse(time)) / 1000).replace(/ h \d\d min$/, ' h');
}
