/** Making, changing and removing customers and sites. */
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import {
  createCustomer,
  createSite,
  deleteCustomer,
  deleteSite,
  updateCustomer,
  updateSite,
} from '../api/changes';
import type { CustomerRow, Id, SiteRow } from '../api/types';
import { plural } from '../lib/units';
import { DangerDialog, FormDialog } from '../ui/Dialog';
import { TextField } from '../ui/Field';
import { toast } from '../ui/toast';
import { ZoneField } from './ZoneField';
import { browserZone } from './zone';

interface Closing {
  onClose: () => void;
}

export function CustomerDialog({ customer, onClose }: Closing & { customer?: CustomerRow }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [name, setName] = useState(customer?.name ?? '');
  const [note, setNote] = useState(customer?.note ?? '');
  const save = async () => {
    if (customer) {
      await updateCustomer(client, customer.id, { name: name.trim(), note });
      toast('Customer saved');
    } else {
      const made = await createCustomer(client, { name: name.trim(), note });
      await navigate({ to: '/customers/$customerId', params: { customerId: made.id } });
    }
  };
  return (
    <FormDialog
      title={customer ? `Edit ${customer.name}` : 'Add a customer'}
      act={customer ? 'Save customer' : 'Add customer'}
      ready={name.trim() !== ''}
      onClose={onClose}
      onAct={save}
    >
      <TextField label="Name" value={name} onChange={setName} autoFocus />
      <TextField
        label="Note"
        value={note}
        onChange={setNote}
        rows={3}
        help="Contract, contact, what one should know. Everyone who sees the customer sees it."
      />
    </FormDialog>
  );
}

export function DeleteCustomerDialog({ customer, onClose }: Closing & { customer: CustomerRow }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  return (
    <DangerDialog
      title={`Remove ${customer.name}?`}
      name={customer.name}
      act={`Remove ${customer.name}`}
      onClose={onClose}
      onAct={async () => {
        await deleteCustomer(client, customer.id, customer.name);
        toast(`${customer.name} was removed`);
        await navigate({ to: '/customers' });
      }}
    >
      <p>
        Its {plural(customer.sites, 'site')} and {plural(customer.devices, 'device')} go with it, and all they
        ever measured. Its probes are revoked. This cannot be taken back.
      </p>
    </DangerDialog>
  );
}

export function SiteDialog({ site, customerId, onClose }: Closing & { site?: SiteRow; customerId: Id }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [name, setName] = useState(site?.name ?? '');
  const [zone, setZone] = useState(site?.time_zone ?? browserZone());
  const [note, setNote] = useState(site?.note ?? '');
  const save = async () => {
    if (site) {
      await updateSite(client, site.id, { name: name.trim(), time_zone: zone, note });
      toast('Site saved');
    } else {
      const made = await createSite(client, {
        customer_id: customerId,
        name: name.trim(),
        time_zone: zone,
        note,
      });
      await navigate({ to: '/customers/$customerId/$siteId', params: { customerId, siteId: made.id } });
    }
  };
  return (
    <FormDialog
      title={site ? `Edit ${site.name}` : 'Add a site'}
      act={site ? 'Save site' : 'Add site'}
      ready={name.trim() !== ''}
      onClose={onClose}
      onAct={save}
    >
      <TextField label="Name" value={name} onChange={setName} autoFocus />
      <ZoneField label="Time zone" value={zone} onChange={setZone} help="The site's pages show this zone." />
      <TextField
        label="Note"
        value={note}
        onChange={setNote}
        rows={3}
        help="Address, on-site contact, access."
      />
    </FormDialog>
  );
}

export function DeleteSiteDialog({ site, onClose }: Closing & { site: SiteRow }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  return (
    <DangerDialog
      title={`Remove ${site.name}?`}
      name={site.name}
      act={`Remove ${site.name}`}
      onClose={onClose}
      onAct={async () => {
        await deleteSite(client, site.id, site.name);
        toast(`${site.name} was removed`);
        await navigate({ to: '/customers/$customerId', params: { customerId: site.customer_id } });
      }}
    >
      <p>
        Its {plural(site.devices, 'device')} go with it, and all they ever measured. Its{' '}
        {plural(site.probes, 'probe')} {site.probes === 1 ? 'is' : 'are'} revoked. This cannot be taken back.
      </p>
    </DangerDialog>
  );
}
