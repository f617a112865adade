import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useNow } from '../api/clock';
import { auditQuery, customersQuery } from '../api/queries';
import type { AuditEntry } from '../api/types';
import { useScope } from '../components/session';
import { useZone } from '../components/zone';
import { actText, detailText, wholeDetail } from '../lib/audit';
import { absolute, clockOrDay, zoneName } from '../lib/time';
import { count } from '../lib/units';
import { Crumb } from '../ui/Crumb';
import { Empty, Loaded } from '../ui/Feedback';
import { Panel, Title } from '../ui/Panel';

export function AuditPage() {
  const scope = useScope();
  const zone = useZone();
  const now = useNow();
  const query = useQuery(auditQuery(scope.kind === 'customer' ? scope.id : undefined));
  const customers = useQuery(customersQuery).data?.items ?? [];
  const [q, setQ] = useState('');
  const items = (query.data?.items ?? []).filter((entry) => textOf(entry).includes(q.trim().toLowerCase()));
  return (
    <div className="view">
      <Crumb here="Audit" title="Audit" />
      <Title sub={query.data && `${count(query.data.total)} entries, newest first, ${zoneName(zone)}`}>
        Who did what
      </Title>
      <Panel label="Audit log">
        <div className="toolbar">
          <input
            className="input flt"
            type="search"
            data-filter
            aria-label="Filter by person, act, object"
            placeholder="Filter by person, act, object"
            value={q}
            onChange={(event) => setQ(event.target.value)}
          />
        </div>
        <Loaded query={query} what="The audit log" rows={10}>
          {() =>
            items.length === 0 ? (
              <Empty title={q ? 'No entry matches' : 'Nothing was done yet'} />
            ) : (
              // biome-ignore lint/a11y/noNoninteractiveTabindex: so that the keyboard can scroll it
              <div className="scroll-x" tabIndex={0}>
                <table className="tbl">
                  <thead>
                    <tr>
                      <th>When</th>
                      <th>Who</th>
                      <th>From</th>
                      <th>What</th>
                      <th>On</th>
                      <th>Customer</th>
                      <th>Detail</th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((entry) => (
                      <tr key={entry.id}>
                        <td className="num t2" title={absolute(entry.at, zone)}>
                          {clockOrDay(entry.at, zone, now)}
                        </td>
                        <td className="b">
                          <bdi>{entry.who}</bdi>
                        </td>
                        <td className="num t2">{entry.from_address ?? '–'}</td>
                        <td title={entry.action}>{actText(entry.action)}</td>
                        <td className="t2" title={entry.object_id ?? undefined}>
                          {entry.object_kind.replaceAll('-', ' ')}
                        </td>
                        <td className="t2">
                          {customers.find((customer) => customer.id === entry.customer_id)?.name ?? '–'}
                        </td>
                        <td className="t2 small max" title={wholeDetail(entry.detail)}>
                          {detailText(entry.detail)}
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
    </div>
  );
}

function textOf(entry: AuditEntry): string {
  return `${entry.who} ${entry.action} ${actText(entry.action)} ${entry.object_kind} ${entry.object_id ?? ''} ${wholeDetail(entry.detail)}`.toLowerCase();
}
