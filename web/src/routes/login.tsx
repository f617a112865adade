import { useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, useRouter } from '@tanstack/react-router';
import { type FormEvent, useEffect, useState } from 'react';
import { signIn } from '../api/changes';
import { setupQuery } from '../api/queries';
import { Brand } from '../components/Brand';
import { saidAtSignIn } from '../lib/signIn';
import { TextField } from '../ui/Field';

const route = getRouteApi('/login');

/** Says nothing about version, probes or customers: nobody is known here yet. */
export function LoginPage() {
  const { next } = route.useSearch();
  const router = useRouter();
  const client = useQueryClient();
  const setup = useQuery(setupQuery).data;
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | null>(null);
  useEffect(() => {
    document.title = 'Sign in · Farwatch';
  }, []);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!name || !password) {
      setWrong('Type your user name and your password.');
      return;
    }
    setBusy(true);
    setWrong(null);
    signIn(client, { user_name: name, password }).then(
      () => router.history.push(ownPath(next)),
      (error: unknown) => {
        setBusy(false);
        setPassword('');
        setWrong(saidAtSignIn(error));
      },
    );
  };
  return (
    <main className="auth">
      <form onSubmit={submit}>
        <Brand />
        <div>
          <h1>Sign in</h1>
          <p className="t2">{location.host}</p>
        </div>
        {setup?.needed && (
          <p className="notice">
            <span>
              Nobody has an account yet. Open the set-up link that Central printed when it started for the
              first time.
            </span>
          </p>
        )}
        <TextField label="User name" value={name} onChange={setName} autoComplete="username" autoFocus />
        <TextField
          label="Password"
          type="password"
          value={password}
          onChange={setPassword}
          autoComplete="current-password"
          wrong={wrong ?? undefined}
        />
        <button type="submit" className="btn pri lg" disabled={busy}>
          {busy ? 'Signing in…' : 'Sign in'}
        </button>
        <p className="t2 small">
          No account, or the password is lost? Ask an administrator; on Central's own machine{' '}
          <span className="mono">farwatch-central user reset</span> helps.
        </p>
        <p className="fine">Authorised staff only. Every action on a customer's device is recorded.</p>
      </form>
    </main>
  );
}

/** Where to go after the sign-in: only ever a path of our own. */
export function ownPath(next: string | undefined): string {
  return next?.startsWith('/') && !next.startsWith('//') && !next.startsWith('/\\') ? next : '/';
}
