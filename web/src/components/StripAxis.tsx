import { useNow } from '../api/clock';
import { clock } from '../lib/time';
import { useZone } from './zone';

/** The time axis that the strips of a column share: 24 h, in thirds. */
export function StripAxis() {
  const now = useNow();
  const zone = useZone();
  const start = Math.floor(now / 1_800_000) * 1_800_000 - 23.5 * 3_600_000;
  return (
    <div className="axis">
      <span className="sr">Last 24 hours</span>
      {[0, 8, 16].map((hours) => (
        <span key={hours}>{clock(start + hours * 3_600_000, zone)}</span>
      ))}
      <span>now</span>
    </div>
  );
}
