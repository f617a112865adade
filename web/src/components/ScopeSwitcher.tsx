import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { Building2, ChevronsUpDown } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { customersQuery, sitesQuery } from '../api/queries';
import { find } from '../lib/find';
import { natural } from '../lib/natural';
import { ALL, type Scope, scopeText } from '../lib/scope';
import { Icon } from '../ui/Icon';
import { StateGlyph } from './StateText';
import { useScope } from './session';

/** Narrows every page to one customer or one site; the URL keeps it. */
export function ScopeSwitcher() {
  const scope = useScope();
  const navigate = useNavigate();
  const [open, setOpen] = useState(false);
  const [q, setQ] = useState('');
  const root = useRef<HTMLDivElement>(null);
  const customers = useQuery(customersQuery).data?.items ?? [];
  const sites = useQuery({ ...sitesQuery(), enabled: open || scope.kind === 'site' }).data?.items ?? [];

  useEffect(() => {
    if (!open) return;
    const away = (event: PointerEvent) => {
      if (event.target instanceof Node && !root.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener('pointerdown', away);
    return () => document.removeEventListener('pointerdown', away);
  }, [open]);

  const name =
    scope.kind === 'customer'
      ? (customers.find((customer) => customer.id === scope.id)?.name ?? 'One customer')
      : scope.kind === 'site'
        ? (sites.find((site) => site.id === scope.id)?.name ?? 'One site')
        : 'All customers';
  const pick = (next: Scope) => {
    setOpen(false);
    setQ('');
    void navigate({ to: '.', search: (search) => ({ ...search, scope: scopeText(next) }) });
    root.current?.querySelector('button')?.focus();
  };
  const options = [...customers]
    .sort((a, b) => natural(a.name, b.name))
    .flatMap((customer) => [
      {
        key: customer.id,
        text: customer.name.toLowerCase(),
        name: customer.name,
        state: customer.state,
        inner: false,
        scope: { kind: 'customer', id: customer.id } as const,
      },
      ...sites
        .filter((site) => site.customer_id === customer.id)
        .sort((a, b) => natural(a.name, b.name))
        .map((site) => ({
          key: site.id,
          text: `${site.name} ${customer.name}`.toLowerCase(),
          name: site.name,
          state: site.state,
          inner: true,
          scope: { kind: 'site', id: site.id } as const,
        })),
    ]);
  const shown = q ? find(options, q, 40) : options.slice(0, 400);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape for all that is inside
    <div
      className="scope"
      ref={root}
      onKeyDown={(event) => {
        if (event.key === 'Escape') setOpen(false);
      }}
    >
      <button
        type="button"
        aria-haspopup="dialog"
        aria-expanded={open}
        aria-label={`Shown: ${name}. Change`}
        title={name}
        data-narrow={scope.kind !== 'all'}
        onClick={() => setOpen(!open)}
      >
        <Icon of={Building2} />
        <span className="ell grow lb">{name}</span>
        <span className="lb row">
          <Icon of={ChevronsUpDown} small />
        </span>
      </button>
      {open && (
        <div className="menu" role="dialog" aria-label="Show one customer or site">
          <input
            className="input"
            // biome-ignore lint/a11y/noAutofocus: the person just opened this to type
            autoFocus
            placeholder="Customer or site"
            aria-label="Find a customer or a site"
            value={q}
            onChange={(event) => setQ(event.target.value)}
          />
          <ul>
            {!q && (
              <li>
                <button type="button" className="opt" onClick={() => pick(ALL)}>
                  <Icon of={Building2} />
                  All customers
                </button>
              </li>
            )}
            {shown.map((option) => (
              <li key={option.key}>
                <button type="button" className="opt" onClick={() => pick(option.scope)}>
                  <span className={option.inner ? 'row ell t2' : 'row ell b'}>
                    {option.inner && <span />}
                    <StateGlyph state={option.state} />
                    <bdi className="ell">{option.name}</bdi>
                  </span>
                </button>
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}
