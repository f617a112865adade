import { useNow } from '../api/clock';
import { absolute, ageSeconds, duration, OLD_AFTER_S } from '../lib/time';
import { useZone } from './zone';

/** How long ago, counting; the absolute time on hover. Old ages are plain text, fresh ones quiet. */
export function Ago({ at, loud = false }: { at: string | null; loud?: boolean }) {
  const now = useNow();
  const zone = useZone();
  if (at === null) return <span className="t3">never</span>;
  const age = ageSeconds(at, now);
  return (
    <time dateTime={at} title={absolute(at, zone)} className={age > 60 || loud ? 'num' : 't3 num'}>
      {duration(age)} ago
    </time>
  );
}

/** A plain age: "7 min". */
export function Since({ at }: { at: string }) {
  const now = useNow();
  const zone = useZone();
  return (
    <time dateTime={at} title={absolute(at, zone)} className="num">
      {duration(ageSeconds(at, now))}
    </time>
  );
}

/** The dashed tag that says a value is old; nothing while it is fresh. */
export function OldTag({ at, after = OLD_AFTER_S }: { at: string | null; after?: number }) {
  const now = useNow();
  const zone = useZone();
  if (at === null) return null;
  const age = ageSeconds(at, now);
  if (age < after) return null;
  return (
    <span className="age-tag" title={absolute(at, zone)}>
      {duration(age)} old
    </span>
  );
}

/** The age of a device's newest value: a tag once it is stale, loud once it is late. */
export function ValueAge({ at, stale }: { at: string | null; stale: boolean }) {
  const now = useNow();
  const zone = useZone();
  if (at === null) return <span className="t3">no value yet</span>;
  const age = ageSeconds(at, now);
  if (stale) {
    return (
      <span className="age-tag" title={absolute(at, zone)}>
        {duration(age)} old
      </span>
    );
  }
  return (
    <time dateTime={at} title={absolute(at, zone)} className={age > 60 ? 'num' : 't3 num'}>
      {duration(age)} ago
    </time>
  );
}
