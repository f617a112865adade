import type { Counts, State } from '../api/types';
import { COUNT_ORDER, STATE_WORD } from '../lib/state';
import { count } from '../lib/units';
import { Glyph } from '../ui/Glyph';

/** The first three kinds of trouble with their numbers; a dash when there is none. */
export function Pairs({ counts }: { counts: Counts }) {
  const not = COUNT_ORDER.filter((state) => state !== 'up' && counts[state] > 0).slice(0, 3);
  if (not.length === 0) return <span className="t3">–</span>;
  return (
    <span className="pairs">
      {not.map((state) => (
        <span key={state} title={STATE_WORD[state]}>
          <Glyph shape={state} label={STATE_WORD[state]} />
          {count(counts[state])}
        </span>
      ))}
    </span>
  );
}

/** Glyph with its name, for the first column of a row. */
export function StateGlyph({ state, size }: { state: State; size?: 'lg' | 'xl' }) {
  return <Glyph shape={state} label={STATE_WORD[state]} size={size} />;
}

/** A customer or a site: one without devices has no state to be proud of. */
export function PlaceGlyph({
  place,
  size,
}: {
  place: { state: State; devices: number };
  size?: 'lg' | 'xl';
}) {
  if (place.devices === 0) return <Glyph shape="notice" label="No devices yet" {...(size ? { size } : {})} />;
  return <StateGlyph state={place.state} {...(size ? { size } : {})} />;
}

/** Filter chips, one per state that occurs, with their numbers. */
export function StateChips({
  counts,
  picked,
  onPick,
}: {
  counts: Counts;
  picked: State | undefined;
  onPick: (state: State | undefined) => void;
}) {
  return (
    <fieldset className="chips">
      <legend className="sr">Filter by state</legend>
      {COUNT_ORDER.filter((state) => counts[state] > 0 || state === picked).map((state) => (
        <button
          key={state}
          type="button"
          className="chip"
          aria-pressed={state === picked}
          onClick={() => onPick(state === picked ? undefined : state)}
        >
          <Glyph shape={state} />
          {STATE_WORD[state]} <b>{count(counts[state])}</b>
        </button>
      ))}
    </fieldset>
  );
}
