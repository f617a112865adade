import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { devicesQuery } from '../api/queries';
import { DeviceTable } from '../components/DeviceTable';
import { useScope } from '../components/session';
import { countStates, notUp } from '../lib/state';
import { Crumb } from '../ui/Crumb';
import { Empty } from '../ui/Feedback';

const route = getRouteApi('/app/devices');

export function DevicesPage() {
  const scope = useScope();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery(devicesQuery(scope));
  const items = query.data?.items;
  return (
    <div className="view fill">
      <Crumb here="Devices" title="Devices" />
      <h1 className="sr" tabIndex={-1}>
        Devices: {items ? notUp(countStates(items)) : 'loading'}
      </h1>
      <DeviceTable
        query={query}
        search={search}
        onSearch={(change) =>
          void navigate({ search: (before) => ({ scope: before.scope, ...change }), replace: true })
        }
        empty={
          <Empty
            title="No devices yet"
            acts={
              <Link to="/probes/new" className="btn pri">
                Add probe
              </Link>
            }
          >
            Devices are found by probes. Run one at a site, and what answers there appears here within a
            minute.
          </Empty>
        }
      />
    </div>
  );
}
