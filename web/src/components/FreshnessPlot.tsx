import { useNow } from '../api/clock';
import type { Probe } from '../api/types';
import { ageX, stackDots } from '../lib/plot';
import { PROBE_LATE_S, probeShape } from '../lib/state';
import { ageSeconds, duration } from '../lib/time';
import { plural } from '../lib/units';

const W = 340;
const H = 88;
const AXIS = H - 16;
const TICKS = [
  [1, '1 s'],
  [10, '10 s'],
  [30, '30 s'],
  [300, '5 min'],
  [1800, '30 min'],
] as const;

/** One dot per probe on a log axis of its age; those that are late carry their name. */
export function FreshnessPlot({ probes }: { probes: readonly Probe[] }) {
  const now = useNow();
  const heard = probes
    .filter((probe) => probe.last_heard_at !== null && probe.state !== 'revoked')
    .map((probe) => ({ probe, age: ageSeconds(probe.last_heard_at ?? '', now) }));
  const fresh = heard.filter(({ age }) => age <= PROBE_LATE_S);
  const late = heard.filter(({ age }) => age > PROBE_LATE_S).sort((a, b) => b.age - a.age);
  const dots = stackDots(
    fresh.map(({ age }) => ageX(age, W)),
    7,
  );
  const label = `Age of the last word from ${plural(heard.length, 'probe')}: ${fresh.length} under ${PROBE_LATE_S} s${late
    .slice(0, 4)
    .map(({ probe, age }) => `, ${probe.name} ${duration(age)}`)
    .join('')}`;
  return (
    <svg className="fresh" viewBox={`0 0 ${W} ${H}`} role="img" aria-label={label}>
      <rect className="late" x={ageX(30, W)} y="0" width={W - ageX(30, W)} height={AXIS} rx="3" />
      <line x1="0" x2={W} y1={AXIS} y2={AXIS} />
      {fresh.map(({ probe }, i) => {
        const dot = dots[i];
        if (!dot) return null;
        const shape = probeShape(probe, now);
        return (
          <circle
            key={probe.id}
            className={shape === 'degraded' || shape === 'critical' ? `dot ${shape}` : 'dot'}
            cx={dot.x}
            cy={Math.max(4, H - 21 - dot.level * 6.6)}
            r="2.6"
          >
            <title>{probe.name}</title>
          </circle>
        );
      })}
      {late.slice(0, 4).map(({ probe, age }, i) => {
        const x = ageX(age, W);
        const y = H - 23 - i * 13;
        return (
          <g key={probe.id}>
            <circle
              cx={x}
              cy={y}
              r="4.4"
              fill="none"
              stroke="var(--stale)"
              strokeWidth="1.4"
              strokeDasharray="2.2 1.57"
            />
            <text className="name" x={x - 9} y={y + 4} textAnchor="end">
              {probe.name.length > 24 ? `${probe.name.slice(0, 23)}…` : probe.name}
            </text>
          </g>
        );
      })}
      <text x={ageX(30, W) + 6} y="12">
        late after 30 s
      </text>
      {TICKS.map(([s, text]) => (
        <text
          key={s}
          x={s === 1800 ? W : s === 1 ? 0 : ageX(s, W)}
          y={H - 2}
          textAnchor={s === 1800 ? 'end' : s === 1 ? 'start' : 'middle'}
        >
          {text}
        </text>
      ))}
    </svg>
  );
}
