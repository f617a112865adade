/** Audit entries in words: what Central keeps as `join-token.create` reads "made a join token". */
import type { AuditEntry } from '../api/types';

const VERB: Record<string, string> = {
  create: 'added',
  update: 'changed',
  delete: 'removed',
  add: 'added',
  reset: 'reset',
  revoke: 'revoked',
  void: 'withdrew',
  test: 'tested',
  acknowledge: 'acknowledged',
  resolve: 'resolved',
  forget: 'forgot',
  rename: 'renamed',
};
const WHOLE: Record<string, string> = {
  'session.create': 'signed in',
  'session.refused': 'sign-in refused',
  'setup.link': 'made the set-up link',
  'setup.done': 'set up the first account',
  'join-token.create': 'made a join token',
  'probe.join': 'joined',
  'probe.renew': 'renewed its certificate',
  'site-config.put': 'changed the site configuration',
  'discovery.start': 'asked for discovery',
  'incident.note': 'wrote a note on an incident',
  'device.add': 'added an address',
  'probe.rolled-back': 'came back with an older copy',
  'probe.clone': 'was seen twice',
};

/** "added credential", "made a join token"; an act that is not known stays as Central wrote it. */
export function actText(action: string): string {
  const whole = WHOLE[action];
  if (whole !== undefined) return whole;
  const at = action.lastIndexOf('.');
  const verb = VERB[action.slice(at + 1)];
  if (at < 0 || verb === undefined) return action;
  return `${verb} ${action.slice(0, at).replaceAll(/[-_.]/g, ' ')}`;
}

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** What is worth reading of the detail: no empty fields, no bare ids (those are in the hover text). */
export function detailText(detail: AuditEntry['detail']): string {
  return parts(detail, false).join(', ');
}

/** All of it, for the hover text and the filter. */
export function wholeDetail(detail: AuditEntry['detail']): string {
  return parts(detail, true).join(', ');
}

function parts(detail: AuditEntry['detail'], all: boolean): string[] {
  return Object.entries(detail ?? {}).flatMap(([key, value]) => {
    const plain = typeof value === 'string' ? value : JSON.stringify(value);
    if (!all && (value === null || value === '' || ID.test(plain))) return [];
    const short =
      !all && typeof value === 'object' && value !== null
        ? Object.keys(value)
            .map((name) => name.replaceAll('_', ' '))
            .join(', ')
        : plain;
    return short === '' ? [] : [`${all ? key : key.replaceAll('_', ' ')} ${short}`];
  });
}
