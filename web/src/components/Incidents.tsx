import type { UseQueryResult } from '@tanstack/react-query';
import type { Incident, List } from '../api/types';
import { worstFirst } from '../lib/incidents';
import { Empty, Loaded } from '../ui/Feedback';
import { Glyph } from '../ui/Glyph';
import { IncidentRow } from './IncidentRow';

/** A short list of open incidents inside another page. */
export function Incidents({ query }: { query: UseQueryResult<List<Incident>> }) {
  return (
    <Loaded query={query} what="Incidents" rows={2}>
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="No open incidents" glyph={<Glyph shape="up" size="xl" />} />
        ) : (
          <div>
            {[...items].sort(worstFirst).map((incident) => (
              <IncidentRow key={incident.id} incident={incident} />
            ))}
          </div>
        )
      }
    </Loaded>
  );
}
