import { useNow } from '../api/clock';
import type { Event } from '../api/types';
import { severityShape } from '../lib/state';
import { absolute, clockOrDay } from '../lib/time';
import { Empty } from '../ui/Feedback';
import { Glyph } from '../ui/Glyph';
import { useZone } from './zone';

/** What happened, newest first; times in the page's zone. */
export function EventList({ events }: { events: readonly Event[] }) {
  const zone = useZone();
  const now = useNow();
  if (events.length === 0) return <Empty title="Nothing happened yet" />;
  return (
    <div className="scroll-x">
      <table className="tbl">
        <tbody>
          {events.map((event) => (
            <tr key={event.id}>
              <td className="t2 num" title={absolute(event.at, zone)}>
                {event.time_approximate && '≈ '}
                {clockOrDay(event.at, zone, now)}
              </td>
              <td className="max wrap" style={{ minWidth: 200 }}>
                <span className="row">
                  <Glyph
                    shape={event.severity === 'cleared' ? 'up' : severityShape(event.severity)}
                    label={event.severity}
                  />
                  <bdi className="b">{event.text}</bdi>
                </span>
              </td>
              <td className="t3 small">
                {event.late && (
                  <span title={`Received ${absolute(event.received_at, zone)}`}>received late</span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
