import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Plus } from 'lucide-react';
import { useState } from 'react';
import { customersQuery, incidentsQuery, probesQuery } from '../api/queries';
import type { CustomerRow, Id } from '../api/types';
import { CustomerDialog } from '../components/PlaceDialogs';
import { PlaceTable, worstPlaceFirst } from '../components/PlaceTable';
import { useMayNot, useScope } from '../components/session';
import { count, plural } from '../lib/units';
import { Crumb } from '../ui/Crumb';
import { Empty, Loaded } from '../ui/Feedback';
import { Icon } from '../ui/Icon';
import { Panel, Title } from '../ui/Panel';

export function CustomersPage() {
  const query = useQuery(customersQuery);
  const scope = useScope();
  const mayNot = useMayNot('administer');
  const [adding, setAdding] = useState(false);
  const [q, setQ] = useState('');
  const inScope = (query.data?.items ?? []).filter(
    (customer) => scope.kind !== 'customer' || customer.id === scope.id,
  );
  const rows = inScope
    .filter((customer) => customer.name.toLowerCase().includes(q.trim().toLowerCase()))
    .sort(worstPlaceFirst);
  const probes = useQuery(probesQuery(scope)).data;
  const incidents = useQuery(incidentsQuery(scope, { state: 'active' })).data;
  const add = (
    <button
      type="button"
      className="btn pri"
      disabled={mayNot !== undefined}
      title={mayNot}
      onClick={() => setAdding(true)}
    >
      <Icon of={Plus} />
      Add customer
    </button>
  );
  return (
    <div className="view">
      <Crumb here="Customers" title="Customers" />
      <Title acts={add}>{query.data ? sentence(inScope) : 'Customers'}</Title>
      <Panel label="Customers">
        {inScope.length > 10 && (
          <div className="toolbar">
            <input
              className="input flt"
              type="search"
              data-filter
              aria-label="Filter customers"
              placeholder={`Filter ${count(inScope.length)} customers`}
              value={q}
              onChange={(event) => setQ(event.target.value)}
            />
          </div>
        )}
        <Loaded query={query} what="Customers" rows={9}>
          {({ items }) =>
            items.length === 0 ? (
              <Empty title="No customers yet" acts={add}>
                Everything is kept apart by customer: sites, probes, devices, credentials and who may see
                them.
              </Empty>
            ) : (
              <PlaceTable
                head="Customer"
                places={rows}
                before={[
                  { head: 'Sites', of: (customer) => customer.sites },
                  { head: 'Probes', of: (customer) => perCustomer(probes?.items, customer.id) },
                ]}
                after={[
                  { head: 'Open incidents', of: (customer) => perCustomer(incidents?.items, customer.id) },
                ]}
                note={(customer) => customer.note}
                link={(customer, inside) => (
                  <Link className="row b" to="/customers/$customerId" params={{ customerId: customer.id }}>
                    {inside}
                  </Link>
                )}
              />
            )
          }
        </Loaded>
      </Panel>
      {adding && <CustomerDialog onClose={() => setAdding(false)} />}
    </div>
  );
}

/** How many of the customer's there are; undefined while that is not known. Revoked probes watch nothing. */
function perCustomer(
  items: readonly { customer_id: Id; state: string }[] | undefined,
  customer: Id,
): number | undefined {
  return items?.filter((one) => one.customer_id === customer && one.state !== 'revoked').length;
}

function sentence(customers: readonly CustomerRow[]): string {
  const bad = customers.filter(
    (customer) => customer.state === 'down' || customer.state === 'unreachable',
  ).length;
  const all = plural(customers.length, 'customer');
  if (customers.length === 0) return 'No customers yet';
  return bad === 0
    ? `Nothing is down at ${all}`
    : `${count(bad)} of ${all} ${bad === 1 ? 'has' : 'have'} something down`;
}
