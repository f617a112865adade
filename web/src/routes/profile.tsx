import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { updateMe } from '../api/changes';
import { ApiError, say } from '../api/client';
import { preferencesOf } from '../api/preferences';
import type { User } from '../api/types';
import { useUser } from '../components/session';
import { ZoneField } from '../components/ZoneField';
import { browserZone } from '../components/zone';
import { Crumb } from '../ui/Crumb';
import { type Density, setDensity, useDensity } from '../ui/density';
import { TextField } from '../ui/Field';
import { Glyph } from '../ui/Glyph';
import { Panel, Title } from '../ui/Panel';
import { setTheme, type Theme, useTheme } from '../ui/theme';
import { toast } from '../ui/toast';
import { MIN_PASSWORD } from './setup';
import { ROLES } from './users';

export function ProfilePage() {
  const user = useUser();
  return (
    <div className="view">
      <Crumb here="Profile" title="Profile" />
      <Title sub={user ? ROLES.find((role) => role.value === user.role)?.text : undefined}>
        {user?.display_name ?? 'Profile'}
      </Title>
      {user && (
        <div className="wiz">
          <Preferences key={user.id} user={user} />
          <PasswordForm />
        </div>
      )}
    </div>
  );
}

const THEMES: { value: Theme; text: string }[] = [
  { value: 'system', text: 'As the system' },
  { value: 'dark', text: 'Dark' },
  { value: 'light', text: 'Light' },
];

const DENSITIES: { value: Density; text: string }[] = [
  { value: 'compact', text: 'Compact' },
  { value: 'normal', text: 'Normal' },
  { value: 'comfortable', text: 'Comfortable' },
];

function Preferences({ user }: { user: User }) {
  const client = useQueryClient();
  const { theme } = useTheme();
  const density = useDensity();
  const [name, setName] = useState(user.display_name);
  const [zone, setZone] = useState(preferencesOf(user).time_zone ?? browserZone());
  const [keys, setKeys] = useState(preferencesOf(user).single_keys !== false);
  const [busy, setBusy] = useState(false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    updateMe(client, {
      display_name: name.trim() || user.user_name,
      preferences: { ...user.preferences, time_zone: zone, single_keys: keys },
    })
      .then(
        () => toast('Saved'),
        (error: unknown) => toast(say(error)),
      )
      .finally(() => setBusy(false));
  };
  return (
    <Panel title="Preferences">
      <form className="pad fields" onSubmit={submit}>
        <TextField label="Your name" value={name} onChange={setName} autoComplete="name" />
        <ZoneField
          label="Time zone"
          value={zone}
          onChange={setZone}
          help="For pages over several sites. A site's own pages show the site's zone."
        />
        <div className="field">
          <span className="name" id="theme-name">
            Theme, on this browser
          </span>
          <div className="seg" role="group" aria-labelledby="theme-name">
            {THEMES.map((one) => (
              <button
                key={one.value}
                type="button"
                aria-pressed={one.value === theme}
                onClick={() => setTheme(one.value)}
              >
                {one.text}
              </button>
            ))}
          </div>
        </div>
        <div className="field">
          <span className="name" id="density-name">
            Rows, on this browser
          </span>
          <div className="seg" role="group" aria-labelledby="density-name">
            {DENSITIES.map((one) => (
              <button
                key={one.value}
                type="button"
                aria-pressed={one.value === density}
                onClick={() => setDensity(one.value)}
              >
                {one.text}
              </button>
            ))}
          </div>
        </div>
        <label className="check">
          <input type="checkbox" checked={keys} onChange={(event) => setKeys(event.target.checked)} />
          <span>Single-key shortcuts, such as t, / and j</span>
        </label>
        <div className="row end">
          <button type="submit" className="btn pri lg" disabled={busy}>
            Save preferences
          </button>
        </div>
      </form>
    </Panel>
  );
}

function PasswordForm() {
  const client = useQueryClient();
  const [current, setCurrent] = useState('');
  const [next, setNext] = useState('');
  const [again, setAgain] = useState('');
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const short = next !== '' && next.length < MIN_PASSWORD;
  const differs = again !== '' && next !== again;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    updateMe(client, { password: { current, new: next } })
      .then(
        () => {
          setCurrent('');
          setNext('');
          setAgain('');
          toast('The password was changed');
        },
        (cause: unknown) => setError(cause),
      )
      .finally(() => setBusy(false));
  };
  const field = (name: string) => (error instanceof ApiError ? error.field(name) : undefined);
  const wrongNow = field('password.current');
  const wrongNew = field('password.new');
  return (
    <Panel title="Password">
      <form className="pad fields" onSubmit={submit}>
        <TextField
          label="Password now"
          type="password"
          value={current}
          onChange={setCurrent}
          autoComplete="current-password"
          wrong={wrongNow && 'This is not your password.'}
        />
        <TextField
          label="New password"
          type="password"
          value={next}
          onChange={setNext}
          autoComplete="new-password"
          wrong={short ? `At least ${MIN_PASSWORD} characters are needed.` : wrongNew}
          help={`At least ${MIN_PASSWORD} characters.`}
        />
        <TextField
          label="New password again"
          type="password"
          value={again}
          onChange={setAgain}
          autoComplete="new-password"
          wrong={differs ? 'The two passwords differ.' : undefined}
        />
        {error !== null && !wrongNow && !wrongNew && (
          <p className="notice crit" role="alert">
            <Glyph shape="critical" />
            <span>{say(error)}</span>
          </p>
        )}
        <div className="row end">
          <button
            type="submit"
            className="btn pri lg"
            disabled={busy || !current || next.length < MIN_PASSWORD || next !== again}
          >
            Change password
          </button>
        </div>
      </form>
    </Panel>
  );
}
