import type { Overview } from '../api/types';
import { clock } from '../lib/time';
import { plural } from '../lib/units';
import { Glyph } from '../ui/Glyph';
import { useZone } from './zone';

const W = 384;
const H = 40;

/** Events of the last 24 h in bins of 15 min, critical on top of warning. */
export function EventHistogram({ bins }: { bins: Overview['events_histogram'] }) {
  const zone = useZone();
  const most = Math.max(8, ...bins.map((bin) => bin.critical + bin.warning));
  const wide = W / Math.max(1, bins.length);
  const unit = (H - 2) / most;
  let warning = '';
  let critical = '';
  bins.forEach((bin, i) => {
    const x = (i * wide).toFixed(1);
    const w = (wide * 0.72).toFixed(1);
    const low = bin.warning * unit;
    const high = bin.critical * unit;
    if (low > 0) warning += `M${x} ${H}v-${low.toFixed(1)}h${w}v${low.toFixed(1)}z`;
    if (high > 0)
      critical += `M${x} ${(H - low - (low > 0 ? 1 : 0)).toFixed(1)}v-${high.toFixed(1)}h${w}v${high.toFixed(1)}z`;
  });
  const sum = (pick: (bin: Overview['events_histogram'][number]) => number) =>
    bins.reduce((total, bin) => total + pick(bin), 0);
  const label = `Events in the last 24 hours: ${plural(
    sum((bin) => bin.critical),
    'critical event',
  )}, ${plural(
    sum((bin) => bin.warning),
    'warning',
  )}`;
  const marks = [0, 24, 48, 72].flatMap((i) => (bins[i] ? [bins[i].at] : []));
  return (
    <div className="ev">
      <div className="row">
        <span className="t2 small">Events, last 24 h</span>
        <span className="legend push">
          <span>
            <Glyph shape="critical" />
            critical
          </span>
          <span>
            <Glyph shape="warning" />
            warning
          </span>
        </span>
      </div>
      <svg
        className="hist"
        viewBox={`0 0 ${W} ${H}`}
        height={H}
        preserveAspectRatio="none"
        role="img"
        aria-label={label}
      >
        <path className="base" d={`M0 ${H - 0.5}H${W}`} />
        <path className="w" d={warning} />
        <path className="c" d={critical} />
      </svg>
      <div className="axis" aria-hidden="true">
        {marks.map((at) => (
          <span key={at}>{clock(at, zone)}</span>
        ))}
        <span>now</span>
      </div>
    </div>
  );
}
