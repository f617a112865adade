import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { Check, Circle, Pencil } from 'lucide-react';
import { type FormEvent, useEffect, useState } from 'react';
import { createCustomer, createSite, saveSiteConfig, setUp } from '../api/changes';
import { ApiError, say } from '../api/client';
import { readSiteConfig, setupQuery } from '../api/queries';
import { Brand } from '../components/Brand';
import { ZoneField } from '../components/ZoneField';
import { browserZone } from '../components/zone';
import { addresses, isRange, splitList } from '../lib/cidr';
import { count } from '../lib/units';
import { Empty } from '../ui/Feedback';
import { TextField } from '../ui/Field';
import { Glyph } from '../ui/Glyph';
import { Icon } from '../ui/Icon';

/** The least a password has; Central says the same. */
export const MIN_PASSWORD = 12;

/** The token stands behind the #, which no browser sends and no proxy logs; it is taken out of the address at once. */
function takeToken(): string {
  if (location.pathname !== '/setup') return '';
  const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? '';
  if (token) history.replaceState(history.state, '', location.pathname + location.search);
  return token;
}

// Read once, when the page's code is loaded: rendering twice must not lose it.
const tokenFromLink = takeToken();

type Step = 'account' | 'place';

export function SetupPage() {
  const setup = useQuery(setupQuery);
  const navigate = useNavigate();
  const [step, setStep] = useState<Step>('account');
  useEffect(() => {
    document.title = 'Set up · Farwatch';
  }, []);
  return (
    <div className="setup">
      <aside>
        <Brand />
        <ol className="prog" aria-label="Steps">
          <StepLine
            state={step === 'account' ? 'now' : 'done'}
            name="First account"
            about="an administrator"
          />
          <StepLine
            state={step === 'place' ? 'now' : 'pend'}
            name="First customer and site"
            about="can be renamed"
          />
          <StepLine state="pend" name="First probe" about="about one minute" />
        </ol>
      </aside>
      <main>
        {step === 'place' ? (
          <PlaceForm />
        ) : setup.data?.needed === false && !tokenFromLink ? (
          <>
            <h1 className="sr">Set up</h1>
            <Empty
              title="This Central is already set up"
              acts={
                <Link to="/login" className="btn pri">
                  Sign in
                </Link>
              }
            >
              The set-up link works once. If the password is lost, run farwatch-central user reset on
              Central's own machine.
            </Empty>
          </>
        ) : (
          <AccountForm
            first={setup.data?.needed !== false}
            onDone={(first) => (first ? setStep('place') : void navigate({ to: '/' }))}
          />
        )}
      </main>
    </div>
  );
}

function StepLine({ state, name, about }: { state: 'done' | 'now' | 'pend'; name: string; about: string }) {
  const icon = state === 'done' ? Check : state === 'now' ? Pencil : Circle;
  return (
    <li className={state} aria-current={state === 'now' ? 'step' : undefined}>
      <span className="mk">
        <Icon of={icon} small />
      </span>
      <div>
        <b>{name}</b>
        <p>{about}</p>
      </div>
    </li>
  );
}

function AccountForm({ first, onDone }: { first: boolean; onDone: (first: boolean) => void }) {
  const client = useQueryClient();
  const [token, setToken] = useState(tokenFromLink);
  const [userName, setUserName] = useState('');
  const [displayName, setDisplayName] = useState('');
  const [password, setPassword] = useState('');
  const [again, setAgain] = useState('');
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    // The link pasted into a tab that already shows this page changes only the hash.
    const onHash = () => setToken((before) => takeToken() || before);
    addEventListener('hashchange', onHash);
    return () => removeEventListener('hashchange', onHash);
  }, []);
  const short = password.length < MIN_PASSWORD;
  const differs = password !== again;
  const field = (name: string) => (error instanceof ApiError ? error.field(name) : undefined);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (!token || !userName.trim() || short || differs) return;
    setBusy(true);
    setError(null);
    const body = {
      token: token.trim(),
      user_name: userName.trim(),
      display_name: displayName.trim() || userName.trim(),
      password,
    };
    setUp(client, body).then(
      () => onDone(first),
      (cause: unknown) => {
        setBusy(false);
        setError(cause);
      },
    );
  };
  return (
    <form onSubmit={submit} noValidate>
      <div>
        <h1>{first ? 'Make the first account' : 'Set a new password'}</h1>
        <p className="t2">
          {first
            ? 'It may do everything. More people can be added later.'
            : 'For an administrator who lost theirs: write the same user name and a new password.'}
        </p>
      </div>
      {!tokenFromLink && (
        <TextField
          label="Set-up token"
          mono
          value={token}
          onChange={setToken}
          autoComplete="off"
          help="Central printed a link when it started for the first time; the token is what follows #token=."
          wrong={tried && !token ? 'The token is missing.' : undefined}
        />
      )}
      <TextField
        label="User name"
        value={userName}
        onChange={setUserName}
        autoComplete="username"
        autoFocus
        wrong={(tried && !userName.trim() ? 'Choose a user name.' : undefined) ?? field('user_name')}
      />
      <TextField
        label={
          <>
            Your name <span className="t3">optional</span>
          </>
        }
        value={displayName}
        onChange={setDisplayName}
        autoComplete="name"
        wrong={field('display_name')}
      />
      <TextField
        label="Password"
        type="password"
        value={password}
        onChange={setPassword}
        autoComplete="new-password"
        help={`At least ${MIN_PASSWORD} characters. A sentence is easy to remember.`}
        wrong={
          (tried && short ? `At least ${MIN_PASSWORD} characters are needed.` : undefined) ??
          field('password')
        }
      />
      <TextField
        label="Password again"
        type="password"
        value={again}
        onChange={setAgain}
        autoComplete="new-password"
        wrong={tried && differs ? 'The two passwords differ.' : undefined}
      />
      {error !== null && (
        <p className="notice crit" role="alert">
          <Glyph shape="critical" />
          <span>
            {error instanceof ApiError &&
            (error.status === 404 || error.status === 403 || error.status === 401)
              ? 'The set-up link is not valid: it was used, has run out, or was not copied whole. Central prints a new one when it is started again without an account.'
              : say(error)}
          </span>
        </p>
      )}
      <div className="row end">
        <button type="submit" className="btn pri lg" disabled={busy}>
          {first ? 'Create account' : 'Set password'}
        </button>
      </div>
    </form>
  );
}

function PlaceForm() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [customer, setCustomer] = useState('');
  const [site, setSite] = useState('');
  const [zone, setZone] = useState(browserZone());
  const [ranges, setRanges] = useState('');
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const list = splitList(ranges);
  const bad = list.find((range) => !isRange(range));

  const save = async () => {
    const made = await createCustomer(client, { name: customer.trim() });
    const place = await createSite(client, { customer_id: made.id, name: site.trim(), time_zone: zone });
    if (list.length > 0) {
      const config = await readSiteConfig(place.id);
      const { site_id: _site, updated_at: _at, updated_by: _by, ...input } = config;
      await saveSiteConfig(client, place.id, { ...input, ranges: list });
    }
    await navigate({ to: '/probes/new', search: { customer: made.id, site: place.id } });
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (!customer.trim() || !site.trim() || bad) return;
    setBusy(true);
    setError(null);
    save().catch((cause: unknown) => {
      setBusy(false);
      setError(cause);
    });
  };
  return (
    <form onSubmit={submit} noValidate>
      <div>
        <h1>Who are you looking after first?</h1>
        <p className="t2">You can rename all of this later. One customer with one site is enough to start.</p>
      </div>
      <TextField
        label="Customer name"
        value={customer}
        onChange={setCustomer}
        autoFocus
        wrong={tried && !customer.trim() ? 'The customer needs a name.' : undefined}
      />
      <TextField
        label="Site name"
        value={site}
        onChange={setSite}
        wrong={tried && !site.trim() ? 'The site needs a name.' : undefined}
      />
      <ZoneField
        label="Site time zone"
        value={zone}
        onChange={setZone}
        help="Charts of this site show this zone. Tooltips add UTC."
      />
      <TextField
        label={
          <>
            Subnets to look at <span className="t3">optional</span>
          </>
        }
        value={ranges}
        onChange={setRanges}
        placeholder="10.20.0.0/20"
        wrong={bad ? `${bad} is not an address or a network like 10.20.0.0/20.` : undefined}
        help={
          list.length > 0
            ? `${count(addresses(list))} addresses`
            : 'Left empty, the probe looks at the subnets it stands in.'
        }
      />
      {error !== null && (
        <p className="notice crit" role="alert">
          <Glyph shape="critical" />
          <span>{say(error)}</span>
        </p>
      )}
      <div className="row">
        <Link to="/" className="btn ghost lg">
          Later
        </Link>
        <span className="grow" />
        <button type="submit" className="btn pri lg" disabled={busy}>
          Create and add a probe
        </button>
      </div>
    </form>
  );
}
