import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Ellipsis, Pencil, Plus, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { deleteCredential } from '../api/changes';
import { credentialsQuery, customersQuery } from '../api/queries';
import type { Credential } from '../api/types';
import { Ago } from '../components/Age';
import { CredentialDialog } from '../components/CredentialDialog';
import { credentialAbout } from '../components/credentialText';
import { useMayNot, useScope } from '../components/session';
import { natural } from '../lib/natural';
import { count, plural } from '../lib/units';
import { Crumb } from '../ui/Crumb';
import { DangerDialog } from '../ui/Dialog';
import { Empty, Loaded } from '../ui/Feedback';
import { Icon } from '../ui/Icon';
import { Menu } from '../ui/Menu';
import { Panel, Title } from '../ui/Panel';
import { toast } from '../ui/toast';

type Open = { what: 'new' } | { what: 'edit' | 'remove'; credential: Credential };

export function CredentialsPage() {
  const scope = useScope();
  const customerId = scope.kind === 'customer' ? scope.id : undefined;
  const query = useQuery(credentialsQuery(customerId));
  const customers = useQuery(customersQuery).data?.items ?? [];
  const mayNot = useMayNot('configureSite');
  const [open, setOpen] = useState<Open | null>(null);
  const [forCustomer, setForCustomer] = useState('');
  const chosen = customerId ?? (forCustomer || (customers.length === 1 ? customers[0]?.id : undefined));
  const nameOf = (id: string) => customers.find((one) => one.id === id)?.name ?? '';
  const items = query.data?.items ?? [];
  const weak = items.filter((one) => one.weak).length;
  const close = () => setOpen(null);
  return (
    <div className="view">
      <Crumb here="Credentials" title="Credentials" />
      <Title
        sub={weak > 0 ? `${count(weak)} of them weak` : undefined}
        acts={
          <>
            {customerId === undefined && customers.length > 1 && (
              <select
                className="input auto"
                aria-label="Customer of the new credential"
                value={forCustomer}
                onChange={(event) => setForCustomer(event.target.value)}
              >
                <option value="">For which customer?</option>
                {[...customers]
                  .sort((a, b) => natural(a.name, b.name))
                  .map((one) => (
                    <option key={one.id} value={one.id}>
                      {one.name}
                    </option>
                  ))}
              </select>
            )}
            <button
              type="button"
              className="btn pri"
              disabled={mayNot !== undefined || !chosen}
              title={mayNot ?? (chosen ? undefined : 'Choose the customer first')}
              onClick={() => setOpen({ what: 'new' })}
            >
              <Icon of={Plus} />
              Add credential
            </button>
          </>
        }
      >
        {query.data
          ? items.length === 0
            ? 'No credentials yet'
            : plural(items.length, 'credential')
          : 'Credentials'}
      </Title>
      <Panel label="Credentials">
        <Loaded query={query} what="Credentials" rows={5}>
          {() =>
            items.length === 0 ? (
              <Empty title="No SNMP credential yet">
                Without one devices are pinged, and nothing inside them is read. A credential belongs to one
                customer and is only ever tried at that customer's sites.
              </Empty>
            ) : (
              <div className="scroll-x">
                <table className="tbl">
                  <thead>
                    <tr>
                      <th>Name</th>
                      <th>Customer</th>
                      <th>Kind</th>
                      <th>User</th>
                      <th className="r">Used by</th>
                      <th className="r">Changed</th>
                      <th />
                    </tr>
                  </thead>
                  <tbody>
                    {[...items]
                      .sort(
                        (a, b) =>
                          natural(nameOf(a.customer_id), nameOf(b.customer_id)) || natural(a.name, b.name),
                      )
                      .map((credential) => (
                        <tr key={credential.id}>
                          <td className="b">
                            <span className="row">
                              <bdi>{credential.name}</bdi>
                              {credential.weak && <span className="tag warn">weak</span>}
                            </span>
                          </td>
                          <td className="t2">{nameOf(credential.customer_id)}</td>
                          <td className="t2 max">{credentialAbout(credential)}</td>
                          <td className="mono t2">{credential.user_name ?? '–'}</td>
                          <td className="r">
                            {credential.used_by_sites === 0 ? (
                              <span className="t3">no site</span>
                            ) : (
                              plural(credential.used_by_sites, 'site')
                            )}
                          </td>
                          <td className="r">
                            <Ago at={credential.updated_at} />
                          </td>
                          <td>
                            <Menu
                              className="btn ghost icon"
                              label={`More for ${credential.name}`}
                              button={<Icon of={Ellipsis} />}
                              items={[
                                {
                                  text: 'Edit…',
                                  icon: <Icon of={Pencil} />,
                                  disabled: mayNot,
                                  onPick: () => setOpen({ what: 'edit', credential }),
                                },
                                {
                                  text: 'Remove…',
                                  icon: <Icon of={Trash2} />,
                                  danger: true,
                                  disabled: mayNot,
                                  onPick: () => setOpen({ what: 'remove', credential }),
                                },
                              ]}
                            />
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
      {open?.what === 'new' && chosen && <CredentialDialog customerId={chosen} onClose={close} />}
      {open?.what === 'edit' && (
        <CredentialDialog
          customerId={open.credential.customer_id}
          credential={open.credential}
          onClose={close}
        />
      )}
      {open?.what === 'remove' && <RemoveDialog credential={open.credential} onClose={close} />}
    </div>
  );
}

function RemoveDialog({ credential, onClose }: { credential: Credential; onClose: () => void }) {
  const client = useQueryClient();
  return (
    <DangerDialog
      title={`Remove ${credential.name}?`}
      name={credential.name}
      act={`Remove ${credential.name}`}
      onClose={onClose}
      onAct={async () => {
        await deleteCredential(client, credential.id);
        toast(`${credential.name} was removed`);
      }}
    >
      <p>
        {credential.used_by_sites === 0
          ? 'No site uses it.'
          : `${plural(credential.used_by_sites, 'site')} ${credential.used_by_sites === 1 ? 'uses' : 'use'} it. Devices that answer to no other credential are only pinged from then on.`}
      </p>
    </DangerDialog>
  );
}
