import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Ellipsis, Pencil, Plus, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { customerQuery, incidentsQuery, sitesQuery } from '../api/queries';
import { Incidents } from '../components/Incidents';
import { CustomerDialog, DeleteCustomerDialog, SiteDialog } from '../components/PlaceDialogs';
import { PlaceTable, worstPlaceFirst } from '../components/PlaceTable';
import { PlaceGlyph } from '../components/StateText';
import { useMayNot } from '../components/session';
import { notUp } from '../lib/state';
import { count, plural } from '../lib/units';
import { Crumb } from '../ui/Crumb';
import { Empty, Failed, Loaded } from '../ui/Feedback';
import { Icon } from '../ui/Icon';
import { Menu } from '../ui/Menu';
import { Panel, Title } from '../ui/Panel';

const route = getRouteApi('/app/customers/$customerId');

export function CustomerPage() {
  const { customerId } = route.useParams();
  const customer = useQuery(customerQuery(customerId));
  const sites = useQuery(sitesQuery(customerId));
  const incidents = useQuery(incidentsQuery({ kind: 'customer', id: customerId }, { state: 'active' }));
  const mayNot = useMayNot('administer');
  const [dialog, setDialog] = useState<'edit' | 'site' | 'remove' | null>(null);
  const data = customer.data;
  if (!data) {
    return (
      <div className="view">
        <Crumb
          up={[
            <Link key="c" to="/customers">
              Customers
            </Link>,
          ]}
          here=""
          title="Customer"
        />
        <h1 className="sr">Customer</h1>
        {customer.isError && <Failed what="The customer" error={customer.error} again={customer.refetch} />}
      </div>
    );
  }
  const close = () => setDialog(null);
  const addSite = (
    <button
      type="button"
      className="btn"
      disabled={mayNot !== undefined}
      title={mayNot}
      onClick={() => setDialog('site')}
    >
      <Icon of={Plus} />
      Add site
    </button>
  );
  return (
    <div className="view">
      <Crumb
        up={[
          <Link key="c" to="/customers">
            Customers
          </Link>,
        ]}
        here={<bdi>{data.name}</bdi>}
        title={data.name}
      />
      <Title
        glyph={<PlaceGlyph place={data} size="lg" />}
        sub={`${notUp(data.counts)} at ${plural(data.sites, 'site')}`}
        acts={
          <>
            {addSite}
            <Menu
              className="btn icon"
              label="More"
              button={<Icon of={Ellipsis} />}
              items={[
                {
                  text: 'Edit customer…',
                  icon: <Icon of={Pencil} />,
                  disabled: mayNot,
                  onPick: () => setDialog('edit'),
                },
                {
                  text: 'Remove customer…',
                  icon: <Icon of={Trash2} />,
                  danger: true,
                  disabled: mayNot,
                  onPick: () => setDialog('remove'),
                },
              ]}
            />
          </>
        }
      >
        <bdi>{data.name}</bdi>
      </Title>
      {data.note && <p className="facts">{data.note}</p>}
      <div className="stack">
        <Panel label="Sites">
          <Loaded query={sites} what="Sites" rows={5}>
            {({ items }) =>
              items.length === 0 ? (
                <Empty title="No site yet" acts={addSite}>
                  A site is one place with its own network. Each has one probe or more.
                </Empty>
              ) : (
                <PlaceTable
                  head="Site"
                  places={[...items].sort(worstPlaceFirst)}
                  before={[{ head: 'Probes', of: (site) => site.probes }]}
                  link={(site, inside) => (
                    <Link
                      className="row b"
                      to="/customers/$customerId/$siteId"
                      params={{ customerId, siteId: site.id }}
                    >
                      {inside}
                    </Link>
                  )}
                />
              )
            }
          </Loaded>
        </Panel>
        <Panel title="Open incidents" meta={incidents.data && count(incidents.data.total)}>
          <Incidents query={incidents} />
        </Panel>
      </div>
      {dialog === 'edit' && <CustomerDialog customer={data} onClose={close} />}
      {dialog === 'site' && <SiteDialog customerId={customerId} onClose={close} />}
      {dialog === 'remove' && <DeleteCustomerDialog customer={data} onClose={close} />}
    </div>
  );
}
