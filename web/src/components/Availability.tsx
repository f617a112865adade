import type { Device, State } from '../api/types';
import { STATE_WORD } from '../lib/state';
import { availability, plural } from '../lib/units';
import { Glyph } from '../ui/Glyph';
import { Panel } from '../ui/Panel';

const W = 872;
const H = 26;
const HIGH: Record<State, number> = {
  down: 26,
  unreachable: 26,
  degraded: 18,
  maintenance: 9,
  up: 9,
  unknown: 9,
};

function dayText(day: string): string {
  return new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' }).format(
    new Date(`${day}T12:00:00Z`),
  );
}

/** Thirty days, one block each, worst state of the day; the taller the worse. */
export function Availability({ device }: { device: Device }) {
  const days = device.days;
  const wide = W / Math.max(1, days.length);
  const bad = days.filter((one) => one.state === 'down');
  const known = device.availability_30d !== null ? availability(device.availability_30d) : 'not known yet';
  const marks = [0, 7, 14, 21].flatMap((i) => (days.length >= 28 && days[i] ? [dayText(days[i].day)] : []));
  return (
    <Panel
      title="Availability"
      meta={`${plural(days.length, 'day')} · ${known}${bad.length > 0 ? ` · down on ${plural(bad.length, 'day')}` : ''}`}
      side={
        <span className="legend hide-s">
          <span>
            <Glyph shape="up" />
            up
          </span>
          <span>
            <Glyph shape="degraded" />
            degraded
          </span>
          <span>
            <Glyph shape="down" />
            down
          </span>
          <span>
            <Glyph shape="maintenance" />
            maintenance
          </span>
          <span>
            <Glyph shape="unknown" />
            no data
          </span>
        </span>
      }
    >
      <div className="pad">
        <svg
          className="days"
          viewBox={`0 0 ${W} ${H}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`Availability over ${plural(days.length, 'day')}: ${known}${
            bad.length > 0 ? `, down on ${bad.map((one) => dayText(one.day)).join(', ')}` : ''
          }`}
        >
          {days.map((one, i) => {
            const h = HIGH[one.state];
            const inset = one.state === 'unknown' || one.state === 'unreachable' ? 0.5 : 0;
            return (
              <rect
                key={one.day}
                className={`day ${one.state}`}
                x={i * wide + inset}
                y={H - h + inset}
                width={wide - 3 - 2 * inset}
                height={h - 2 * inset}
                rx="1.5"
              >
                <title>
                  {`${dayText(one.day)}: ${STATE_WORD[one.state].toLowerCase()}${one.availability === null ? '' : `, ${availability(one.availability)}`}`}
                </title>
              </rect>
            );
          })}
        </svg>
        <div className="axis" aria-hidden="true">
          {marks.map((mark) => (
            <span key={mark}>{mark}</span>
          ))}
          <span>today</span>
        </div>
      </div>
    </Panel>
  );
}
