/** Customers or sites in one table: what is not up, the last 24 hours on one shared axis, availability. */
import type { ReactNode } from 'react';
import type { Counts, State } from '../api/types';
import { natural } from '../lib/natural';
import { STATE_RANK } from '../lib/state';
import { availability, count } from '../lib/units';
import { Pairs, PlaceGlyph } from './StateText';
import { Strip } from './Strip';
import { StripAxis } from './StripAxis';

interface Place {
  id: string;
  name: string;
  state: State;
  devices: number;
  counts: Counts;
  strip: string;
  availability_24h: number | null;
}

/** A number of its own, left of the devices or right of the availability. */
export interface PlaceNumber<T> {
  head: string;
  of: (place: T) => number | undefined;
}

interface Props<T extends Place> {
  head: string;
  places: readonly T[];
  /** The place's name as a link to its page; what it is given is drawn inside. */
  link: (place: T, inside: ReactNode) => ReactNode;
  before?: readonly PlaceNumber<T>[];
  after?: readonly PlaceNumber<T>[];
  note?: (place: T) => string;
}

/** Below this, availability stands out. */
const FINE = 0.999;

export function worstPlaceFirst(a: Place, b: Place): number {
  // One without devices has no state to compare; it comes last.
  return (
    Number(a.devices === 0) - Number(b.devices === 0) ||
    STATE_RANK[a.state] - STATE_RANK[b.state] ||
    natural(a.name, b.name)
  );
}

export function PlaceTable<T extends Place>({ head, places, link, before = [], after = [], note }: Props<T>) {
  return (
    <div className="scroll-x">
      <table className="tbl">
        <thead>
          <tr>
            <th>{head}</th>
            {before.map((one) => (
              <th key={one.head} className="r hide-s">
                {one.head}
              </th>
            ))}
            <th className="r hide-s">Devices</th>
            <th>Not up</th>
            <th className="strip-col">
              <StripAxis />
            </th>
            <th className="r" title="Availability in the last 24 hours">
              Avail.
            </th>
            {after.map((one) => (
              <th key={one.head} className="r hide-s">
                {one.head}
              </th>
            ))}
            {note && <th className="hide-s">Note</th>}
          </tr>
        </thead>
        <tbody>
          {places.map((place) => (
            <tr key={place.id}>
              <td className="place-name" title={place.name}>
                {link(
                  place,
                  <>
                    <PlaceGlyph place={place} />
                    <bdi className="ell">{place.name}</bdi>
                  </>,
                )}
              </td>
              {before.map((one) => (
                <PlainNumber key={one.head} n={one.of(place)} />
              ))}
              <PlainNumber n={place.devices} />
              <td>
                <Pairs counts={place.counts} />
              </td>
              <td>
                <Strip strip={place.strip} />
              </td>
              <td className={(place.availability_24h ?? 1) < FINE ? 'r' : 'r t2'}>
                {place.availability_24h === null ? (
                  <span className="t3">–</span>
                ) : (
                  availability(place.availability_24h)
                )}
              </td>
              {after.map((one) => (
                <PlainNumber key={one.head} n={one.of(place)} loud />
              ))}
              {note && (
                <td className="t2 ell hide-s" style={{ maxWidth: 180 }} title={note(place)}>
                  {note(place)}
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function PlainNumber({ n, loud = false }: { n: number | undefined; loud?: boolean }) {
  const quiet = n === undefined || n === 0;
  return (
    <td className={`r hide-s ${quiet ? 't3' : loud ? '' : 't2'}`}>{n === undefined ? '–' : count(n)}</td>
  );
}
