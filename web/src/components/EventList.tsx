import { Link } from '@tanstack/react-router';
import { useNow } from '../api/clock';
import type { Event } from '../api/types';
import { severityShape } from '../lib/state';
import { absolute, clockOrDay } from '../lib/time';
import { Empty } from '../ui/Feedback';
import { Glyph } from '../ui/Glyph';
import { useZone } from './zone';

interface Props {
  events: readonly Event[];
  /** Each event says which device it is about; a device's own page need not. */
  named?: boolean;
}

/** What happened, newest first; times in the page's zone. */
export function EventList({ events, named = false }: Props) {
  const zone = useZone();
  const now = useNow();
  if (events.length === 0) return <Empty title="Nothing happened yet" />;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: so that the keyboard can scroll it
    <div className="scroll-x" tabIndex={0}>
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
                  {named && event.device_id !== null && (
                    <Link className="b" to="/devices/$deviceId" params={{ deviceId: event.device_id }}>
                      <bdi>{event.device_name ?? 'device'}</bdi>
                    </Link>
                  )}
                  <bdi className={named && event.device_id !== null ? undefined : 'b'}>{event.text}</bdi>
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
