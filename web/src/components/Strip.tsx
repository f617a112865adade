import { memo } from 'react';
import { STRIP_HEIGHT, stripPaths, stripText, stripWidth, ticks } from '../lib/strip';

/** The last 24 hours in 48 ticks of 30 min: the taller, the worse. */
export const Strip = memo(function Strip({ strip }: { strip: string }) {
  const all = ticks(strip);
  return (
    <svg
      className="strip"
      viewBox={`0 0 ${stripWidth(all.length)} ${STRIP_HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={stripText(all)}
    >
      {stripPaths(all).map(({ tick, d }) => (
        <path key={tick} className={tick} d={d} />
      ))}
    </svg>
  );
});
