import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { createCredential, updateCredential } from '../api/changes';
import type {
  AuthProtocol,
  Credential,
  CredentialInput,
  CredentialKind,
  Id,
  PrivProtocol,
  SecurityLevel,
} from '../api/types';
import { FormDialog } from '../ui/Dialog';
import { SelectField, TextField } from '../ui/Field';
import { Glyph } from '../ui/Glyph';
import { toast } from '../ui/toast';

const KINDS: { value: CredentialKind; text: string }[] = [
  { value: 'v3', text: 'SNMPv3, with user' },
  { value: 'v2c', text: 'SNMPv2c, with community' },
  { value: 'v1', text: 'SNMPv1, with community' },
];
const LEVELS: { value: SecurityLevel; text: string }[] = [
  { value: 'authPriv', text: 'authPriv: signed and encrypted' },
  { value: 'authNoPriv', text: 'authNoPriv: signed, not encrypted' },
  { value: 'noAuthNoPriv', text: 'noAuthNoPriv: neither' },
];
const AUTH: { value: AuthProtocol; text: string }[] = [
  { value: 'SHA-256', text: 'SHA-256' },
  { value: 'SHA-512', text: 'SHA-512' },
  { value: 'SHA-384', text: 'SHA-384' },
  { value: 'SHA-224', text: 'SHA-224' },
  { value: 'SHA-1', text: 'SHA-1' },
  { value: 'MD5', text: 'MD5, weak' },
];
const PRIV: { value: PrivProtocol; text: string }[] = [
  { value: 'AES-128', text: 'AES-128' },
  { value: 'AES-256', text: 'AES-256' },
  { value: 'AES-192', text: 'AES-192' },
  { value: 'AES-256-C', text: 'AES-256, Cisco way' },
  { value: 'AES-192-C', text: 'AES-192, Cisco way' },
  { value: 'DES', text: 'DES, weak' },
];
/** RFC 3414 asks for eight. */
const MIN_SECRET = 8;

interface Props {
  customerId: Id;
  /** Edits this one; its secrets are not known here and stay as they are unless typed anew. */
  credential?: Credential;
  onClose: () => void;
  onMade?: (credential: Credential) => void;
}

export function CredentialDialog({ customerId, credential, onClose, onMade }: Props) {
  const client = useQueryClient();
  const old = credential !== undefined;
  const [name, setName] = useState(credential?.name ?? '');
  const [kind, setKind] = useState<CredentialKind>(credential?.kind ?? 'v3');
  const [community, setCommunity] = useState('');
  const [user, setUser] = useState(credential?.user_name ?? '');
  const [level, setLevel] = useState<SecurityLevel>(credential?.security_level ?? 'authPriv');
  const [auth, setAuth] = useState<AuthProtocol>(credential?.auth_protocol ?? 'SHA-256');
  const [authSecret, setAuthSecret] = useState('');
  const [priv, setPriv] = useState<PrivProtocol>(credential?.priv_protocol ?? 'AES-128');
  const [privSecret, setPrivSecret] = useState('');
  const [context, setContext] = useState(credential?.context_name ?? '');

  const hasAuth = kind === 'v3' && level !== 'noAuthNoPriv';
  const hasPriv = kind === 'v3' && level === 'authPriv';
  // A secret of another kind or protocol cannot be kept.
  const keeps = old && credential.kind === kind;
  const keepsAuth =
    keeps && credential.security_level !== 'noAuthNoPriv' && credential.auth_protocol === auth;
  const keepsPriv = keeps && credential.security_level === 'authPriv' && credential.priv_protocol === priv;
  const shortSecret = (secret: string, kept: boolean) => (secret === '' ? !kept : secret.length < MIN_SECRET);
  const ready =
    name.trim() !== '' &&
    (kind === 'v3'
      ? user.trim() !== '' &&
        !(hasAuth && shortSecret(authSecret, keepsAuth)) &&
        !(hasPriv && shortSecret(privSecret, keepsPriv))
      : community !== '' || keeps);
  const secretHelp = (kept: boolean) =>
    kept ? 'Left empty, the secret stays as it is.' : `At least ${MIN_SECRET} characters.`;

  const save = async () => {
    const common = { name: name.trim(), kind };
    const input: Omit<CredentialInput, 'customer_id'> =
      kind === 'v3'
        ? {
            ...common,
            user_name: user.trim(),
            security_level: level,
            ...(hasAuth ? { auth_protocol: auth } : {}),
            ...(hasAuth && authSecret ? { auth_password: authSecret } : {}),
            ...(hasPriv ? { priv_protocol: priv } : {}),
            ...(hasPriv && privSecret ? { priv_password: privSecret } : {}),
            ...(context.trim() ? { context_name: context.trim() } : {}),
          }
        : { ...common, ...(community ? { community } : {}) };
    const made = credential
      ? await updateCredential(client, credential.id, input)
      : await createCredential(client, { customer_id: customerId, ...input });
    toast(credential ? 'Credential saved' : 'Credential added');
    onMade?.(made);
  };
  return (
    <FormDialog
      title={credential ? `Edit ${credential.name}` : 'Add a credential'}
      act={credential ? 'Save credential' : 'Add credential'}
      ready={ready}
      onClose={onClose}
      onAct={save}
      hint="Secrets are sealed and never shown again."
    >
      <div className="fields two">
        <TextField label="Name" value={name} onChange={setName} autoFocus placeholder="kestrel-v3-readonly" />
        <SelectField label="Kind" value={kind} onChange={setKind} options={KINDS} />
      </div>
      {kind === 'v3' ? (
        <>
          <div className="fields two">
            <TextField label="User name" mono value={user} onChange={setUser} autoComplete="off" />
            <SelectField label="Security level" value={level} onChange={setLevel} options={LEVELS} />
          </div>
          {hasAuth && (
            <div className="fields two">
              <SelectField label="Authentication" value={auth} onChange={setAuth} options={AUTH} />
              <TextField
                label="Authentication secret"
                type="password"
                value={authSecret}
                onChange={setAuthSecret}
                autoComplete="new-password"
                help={secretHelp(keepsAuth)}
              />
            </div>
          )}
          {hasPriv && (
            <div className="fields two">
              <SelectField label="Privacy" value={priv} onChange={setPriv} options={PRIV} />
              <TextField
                label="Privacy secret"
                type="password"
                value={privSecret}
                onChange={setPrivSecret}
                autoComplete="new-password"
                help={secretHelp(keepsPriv)}
              />
            </div>
          )}
          <TextField
            label={
              <>
                Context name <span className="t3">optional</span>
              </>
            }
            mono
            value={context}
            onChange={setContext}
          />
        </>
      ) : (
        <TextField
          label="Community"
          type="password"
          value={community}
          onChange={setCommunity}
          autoComplete="new-password"
          help={keeps ? 'Left empty, the community stays as it is.' : undefined}
        />
      )}
      {(kind !== 'v3' || level !== 'authPriv' || auth === 'MD5' || priv === 'DES') && (
        <p className="notice warn">
          <Glyph shape="warning" />
          <span>
            {kind === 'v3'
              ? 'This is weaker than authPriv with SHA-256 and AES-128.'
              : 'A community crosses the network in clear text. Use v3 where the device can.'}
          </span>
        </p>
      )}
    </FormDialog>
  );
}
