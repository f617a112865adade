import { useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { acknowledge } from '../api/changes';
import { say } from '../api/client';
import type { Incident } from '../api/types';
import { severityShape } from '../lib/state';
import { initials } from '../lib/units';
import { Glyph } from '../ui/Glyph';
import { toast } from '../ui/toast';
import { Since } from './Age';
import { useMayNot } from './session';

/** One cause, one row: what is wrong, where, since when. Acknowledge is a button of its own beside the link. */
export function IncidentRow({
  incident,
  current = false,
  view,
}: {
  incident: Incident;
  current?: boolean;
  view?: 'unacknowledged' | 'mine' | 'closed';
}) {
  const client = useQueryClient();
  const [busy, setBusy] = useState(false);
  const mayNot = useMayNot('acknowledge');
  const acked = incident.state === 'acknowledged';
  const closed = incident.state === 'resolved';
  const take = () => {
    setBusy(true);
    acknowledge(client, incident.id)
      .then(
        () => toast(`Acknowledged: ${incident.title}`),
        (error: unknown) => toast(say(error)),
      )
      .finally(() => setBusy(false));
  };
  return (
    <div
      className={`inc${acked ? ' acked' : ''}${closed ? ' done' : ''}`}
      aria-current={current ? 'true' : undefined}
    >
      <Glyph
        shape={closed ? 'up' : severityShape(incident.severity)}
        label={closed ? 'resolved' : incident.severity}
      />
      <div className="grow">
        <Link
          className="ti ell"
          to="/incidents/$incidentId"
          params={{ incidentId: String(incident.id) }}
          search={(before) => ({ scope: before.scope, view })}
          title={incident.title}
        >
          {incident.title}
        </Link>
        <div className="su ell">
          {incident.consequence && `${incident.consequence} · `}
          <bdi>{incident.customer_name}</bdi> / <bdi>{incident.site_name}</bdi>
        </div>
      </div>
      <div>
        <div className="age">
          <Since at={closed ? (incident.resolved_at ?? incident.opened_at) : incident.opened_at} />
          {closed && ' ago'}
        </div>
        {closed ? (
          <div className="ack">resolved</div>
        ) : acked ? (
          <div className="ack" title={incident.acknowledged_by ?? undefined}>
            <span className="avatar s" aria-hidden="true">
              {initials(incident.acknowledged_by ?? '?')}
            </span>
            acknowledged
          </div>
        ) : (
          <div className="ack">
            <button
              type="button"
              className="ackb"
              disabled={busy || mayNot !== undefined}
              title={mayNot}
              onClick={take}
            >
              Acknowledge
            </button>
          </div>
        )}
      </div>
    </div>
  );
}
