import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { incidentsQuery } from '../api/queries';
import { IncidentList } from '../components/IncidentList';
import { useScope } from '../components/session';
import { plural } from '../lib/units';
import { Crumb } from '../ui/Crumb';
import { Empty } from '../ui/Feedback';
import { Glyph } from '../ui/Glyph';

const route = getRouteApi('/app/incidents');

export function IncidentsPage() {
  const { view } = route.useSearch();
  const scope = useScope();
  const active = useQuery(incidentsQuery(scope, { state: 'active' })).data;
  const open = active?.items.filter((incident) => incident.state === 'open').length ?? 0;
  const sentence = !active
    ? 'Incidents'
    : active.total === 0
      ? 'No open incidents'
      : `${plural(active.total, 'open incident')}, ${open === 0 ? 'all acknowledged' : `${open} not acknowledged`}`;
  return (
    <div className="view bleed">
      <Crumb here="Incidents" title="Incidents" />
      <h1 className="sr" tabIndex={-1}>
        {sentence}
      </h1>
      <div className="split">
        <IncidentList view={view} />
        <div className="dt">
          <Empty title={sentence} glyph={<Glyph shape={open > 0 ? 'critical' : 'up'} size="xl" />}>
            {active && active.total > 0
              ? 'Choose one to see what happened, who was told and what was done.'
              : 'Nothing needs a person now.'}
          </Empty>
        </div>
      </div>
    </div>
  );
}
