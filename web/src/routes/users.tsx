import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import { useState } from 'react';
import { createUser, deleteUser } from '../api/changes';
import { customersQuery, usersQuery } from '../api/queries';
import type { Role, User } from '../api/types';
import { Ago } from '../components/Age';
import { useMayNot, useUser } from '../components/session';
import { natural } from '../lib/natural';
import { initials, plural } from '../lib/units';
import { Crumb } from '../ui/Crumb';
import { DangerDialog, FormDialog } from '../ui/Dialog';
import { Loaded } from '../ui/Feedback';
import { SelectField, TextField } from '../ui/Field';
import { Icon } from '../ui/Icon';
import { Panel, Title } from '../ui/Panel';
import { toast } from '../ui/toast';
import { MIN_PASSWORD } from './setup';

export const ROLES: { value: Role; text: string; about: string }[] = [
  { value: 'admin', text: 'Administrator', about: 'everything' },
  {
    value: 'technician',
    text: 'Technician',
    about: 'see; probes, site configuration, credentials',
  },
  { value: 'operator', text: 'Operator', about: 'see; acknowledge, mute, rename, note' },
  { value: 'viewer', text: 'Viewer', about: 'see' },
];

export function UsersPage() {
  const me = useUser();
  const query = useQuery(usersQuery);
  const customers = useQuery(customersQuery).data?.items ?? [];
  const mayNot = useMayNot('administer');
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<User | null>(null);
  const role = (user: User) => ROLES.find((one) => one.value === user.role);
  return (
    <div className="view">
      <Crumb here="Users" title="Users" />
      <Title
        acts={
          <button
            type="button"
            className="btn pri"
            disabled={mayNot !== undefined}
            title={mayNot}
            onClick={() => setAdding(true)}
          >
            <Icon of={Plus} />
            Add user
          </button>
        }
      >
        {query.data ? `${plural(query.data.total, 'person', 'people')} may sign in` : 'Users'}
      </Title>
      <Panel label="Users">
        <Loaded query={query} what="Users" rows={4}>
          {({ items }) => (
            <div className="scroll-x">
              <table className="tbl">
                <thead>
                  <tr>
                    <th>Name</th>
                    <th>User name</th>
                    <th>Role</th>
                    <th>Sees</th>
                    <th className="r">Added</th>
                    <th />
                  </tr>
                </thead>
                <tbody>
                  {[...items]
                    .sort((a, b) => natural(a.display_name, b.display_name))
                    .map((user) => (
                      <tr key={user.id}>
                        <td className="b">
                          <span className="row">
                            <span className="avatar s" aria-hidden="true">
                              {initials(user.display_name)}
                            </span>
                            <bdi>{user.display_name}</bdi>
                            {user.id === me?.id && <span className="t3">you</span>}
                          </span>
                        </td>
                        <td className="t2">{user.user_name}</td>
                        <td className="max" title={role(user)?.about}>
                          {role(user)?.text} <span className="t3">{role(user)?.about}</span>
                        </td>
                        <td className="t2">
                          {user.customer_id === null
                            ? 'all customers'
                            : (customers.find((one) => one.id === user.customer_id)?.name ?? 'one customer')}
                        </td>
                        <td className="r">
                          <Ago at={user.created_at} />
                        </td>
                        <td className="r">
                          <button
                            type="button"
                            className="btn"
                            disabled={mayNot !== undefined || user.id === me?.id}
                            title={user.id === me?.id ? 'You cannot remove yourself' : mayNot}
                            onClick={() => setRemoving(user)}
                          >
                            Remove…
                          </button>
                        </td>
                      </tr>
                    ))}
                </tbody>
              </table>
            </div>
          )}
        </Loaded>
      </Panel>
      {adding && <AddDialog onClose={() => setAdding(false)} />}
      {removing && <RemoveDialog user={removing} onClose={() => setRemoving(null)} />}
    </div>
  );
}

function AddDialog({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const customers = useQuery(customersQuery).data?.items ?? [];
  const [userName, setUserName] = useState('');
  const [displayName, setDisplayName] = useState('');
  const [password, setPassword] = useState('');
  const [role, setRole] = useState<Role>('operator');
  const [customer, setCustomer] = useState('');
  const short = password !== '' && password.length < MIN_PASSWORD;
  return (
    <FormDialog
      title="Add a user"
      act="Add user"
      ready={userName.trim() !== '' && password.length >= MIN_PASSWORD}
      onClose={onClose}
      onAct={async () => {
        await createUser(client, {
          user_name: userName.trim(),
          display_name: displayName.trim() || userName.trim(),
          password,
          role,
          customer_id: customer || null,
        });
        toast('User added');
      }}
    >
      <div className="fields two">
        <TextField label="User name" value={userName} onChange={setUserName} autoFocus autoComplete="off" />
        <TextField label="Name" value={displayName} onChange={setDisplayName} autoComplete="off" />
      </div>
      <TextField
        label="First password"
        type="password"
        value={password}
        onChange={setPassword}
        autoComplete="new-password"
        wrong={short ? `At least ${MIN_PASSWORD} characters are needed.` : undefined}
        help="Hand it over yourself; it can be changed in the profile."
      />
      <div className="fields two">
        <SelectField
          label="Role"
          value={role}
          onChange={setRole}
          options={ROLES}
          help={ROLES.find((one) => one.value === role)?.about}
        />
        <SelectField
          label="Sees"
          value={customer}
          onChange={setCustomer}
          options={[
            { value: '', text: 'All customers' },
            ...customers.map((one) => ({ value: one.id, text: one.name })),
          ]}
        />
      </div>
    </FormDialog>
  );
}

function RemoveDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const client = useQueryClient();
  return (
    <DangerDialog
      title={`Remove ${user.display_name}?`}
      name={user.user_name}
      act={`Remove ${user.display_name}`}
      onClose={onClose}
      onAct={async () => {
        await deleteUser(client, user.id);
        toast(`${user.display_name} was removed`);
      }}
    >
      <p>They are signed out everywhere at once. What they did stays in the audit log under their name.</p>
    </DangerDialog>
  );
}
