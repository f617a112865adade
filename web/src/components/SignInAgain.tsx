/** Over a page whose session has ended: signs the same person in again, and nothing that was typed is lost. */
import { useQueryClient } from '@tanstack/react-query';
import { useRouter } from '@tanstack/react-router';
import { type FormEvent, useEffect, useRef, useState } from 'react';
import { signInAgain } from '../api/changes';
import { setSessionEnded } from '../api/ended';
import { reconnect } from '../api/live';
import { sessionQuery } from '../api/queries';
import { saidAtSignIn } from '../lib/signIn';
import { Dialog } from '../ui/Dialog';
import { TextField } from '../ui/Field';
import { useUser } from './session';

export function SignInAgain() {
  const client = useQueryClient();
  const router = useRouter();
  const user = useUser();
  const [name, setName] = useState(user?.user_name ?? '');
  const [password, setPassword] = useState('');
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string | undefined>(undefined);
  const form = useRef<HTMLFormElement>(null);
  // The name is known; the dialog would put the focus there.
  useEffect(() => form.current?.querySelector<HTMLInputElement>('[type="password"]')?.focus(), []);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!name || !password || busy) return;
    setBusy(true);
    setWrong(undefined);
    signInAgain(client, { user_name: name, password }).then(
      (who) => {
        setSessionEnded(false);
        reconnect();
        // Somebody else may see other things: no page of the one before stays.
        if (user && who.id !== user.id) location.assign('/');
      },
      (error: unknown) => {
        setBusy(false);
        setPassword('');
        setWrong(saidAtSignIn(error));
      },
    );
  };
  const leave = () => {
    setSessionEnded(false);
    client.setQueryData(
      sessionQuery.queryKey,
      (session) => session && { ...session, user: null, csrf_token: null },
    );
    void router.invalidate();
  };
  return (
    <Dialog title="Your session has ended" onClose={() => {}}>
      <form ref={form} onSubmit={submit} noValidate>
        <div className="body">
          <p className="t2">Sign in to go on where you were. What you typed on this page is still there.</p>
          <TextField label="User name" value={name} onChange={setName} autoComplete="username" />
          <TextField
            label="Password"
            type="password"
            value={password}
            onChange={setPassword}
            autoComplete="current-password"
            wrong={wrong}
          />
        </div>
        <footer>
          <button type="button" className="btn lg" onClick={leave}>
            Leave this page
          </button>
          <button type="submit" className="btn lg pri" disabled={busy || !name || !password}>
            {busy ? 'Signing in…' : 'Sign in again'}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
