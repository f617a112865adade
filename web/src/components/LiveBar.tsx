import { useNow } from '../api/clock';
import { LIVE_AGE_S, NOT_LIVE_S, reconnect, useLive } from '../api/live';
import { clockSeconds, duration, durationExact } from '../lib/time';
import { Glyph } from '../ui/Glyph';
import { useZone } from './zone';

/** Seconds since Central was last heard, or null before it ever was. */
export function useSilence(): number | null {
  const { heard } = useLive();
  const now = useNow();
  return heard === null ? null : Math.max(0, Math.floor((now - heard) / 1000));
}

export function LiveIndicator() {
  const silence = useSilence();
  const state =
    silence === null ? 'lost' : silence > NOT_LIVE_S ? 'lost' : silence > LIVE_AGE_S ? 'late' : 'live';
  const text =
    silence === null
      ? 'Connecting'
      : state === 'live'
        ? `Live  ${silence} s ago`
        : state === 'late'
          ? `Last heard ${duration(silence)} ago`
          : `Not live, ${duration(silence)}`;
  return (
    <span className="live" data-live={state}>
      <i />
      <span>{text}</span>
    </span>
  );
}

/** Over the whole width, once nothing was heard for 30 s. */
export function NotLiveBar() {
  const silence = useSilence();
  const zone = useZone();
  const { heard, tries } = useLive();
  if (silence === null || silence <= NOT_LIVE_S || heard === null) return null;
  return (
    <div className="bar-not-live" role="alert">
      <Glyph shape="critical" size="lg" />
      <span className="grow">
        <b className="b">This screen is not live.</b>{' '}
        <span className="t2">
          No data from Central since {clockSeconds(heard, zone)}, {durationExact(silence)} ago.
          {tries > 0 ? ` Reconnecting, try ${tries}.` : ' Reconnecting.'}
        </span>
      </span>
      <button type="button" className="btn" onClick={reconnect}>
        Reconnect
      </button>
    </div>
  );
}
