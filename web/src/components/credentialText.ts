import type { Credential } from '../api/types';

/** "v3, authPriv, SHA-256, AES-128" */
export function credentialAbout(credential: Credential): string {
  if (credential.kind !== 'v3') return `${credential.kind}, community`;
  return ['v3', credential.security_level, credential.auth_protocol, credential.priv_protocol]
    .filter(Boolean)
    .join(', ');
}
