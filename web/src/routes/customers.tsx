import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Plus } from 'lucide-react';
import { useState } from 'react';
import { customersQuery } from '../api/queries';
import type { CustomerRow } from '../api/types';
import { CustomerDialog } from '../components/PlaceDialogs';
import { Pairs, PlaceGlyph } from '../components/StateText';
import { Strip } from '../components/Strip';
import { StripAxis } from '../components/StripAxis';
import { useMayNot, useScope } from '../components/session';
import { natural } from '../lib/natural';
import { STATE_RANK } from '../lib/state';
import { availability, count, plural } from '../lib/units';
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
    .sort((a, b) => STATE_RANK[a.state] - STATE_RANK[b.state] || natural(a.name, b.name));
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
              <div className="scroll-x">
                <table className="tbl">
                  <thead>
                    <tr>
                      <th>Customer</th>
                      <th className="r hide-s">Sites</th>
                      <th className="r hide-s">Devices</th>
                      <th>Not up</th>
                      <th style={{ width: '34%', minWidth: 150 }}>
                        <StripAxis />
                      </th>
                      <th className="r">Avail. 24 h</th>
                      <th>Note</th>
                    </tr>
                  </thead>
                  <tbody>
                    {rows.map((customer) => (
                      <tr key={customer.id}>
                        <td>
                          <Link
                            className="row b"
                            to="/customers/$customerId"
                            params={{ customerId: customer.id }}
                          >
                            <PlaceGlyph place={customer} />
                            <bdi>{customer.name}</bdi>
                          </Link>
                        </td>
                        <td className="r t2 hide-s">{count(customer.sites)}</td>
                        <td className="r t2 hide-s">{count(customer.devices)}</td>
                        <td>
                          <Pairs counts={customer.counts} />
                        </td>
                        <td>
                          <Strip strip={customer.strip} />
                        </td>
                        <td className="r">
                          {customer.availability_24h === null ? (
                            <span className="t3">–</span>
                          ) : (
                            availability(customer.availability_24h)
                          )}
                        </td>
                        <td className="t2 ell" style={{ maxWidth: 180 }} title={customer.note}>
                          {customer.note}
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            )
          }
        </Loaded>
      </Panel>
      {adding && <CustomerDialog onClose={() => setAdding(false)} />}
    </div>
  );
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
