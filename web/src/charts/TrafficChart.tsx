import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { rangeQuery, type Window } from '../api/queries';
import type { Id, Range, Series } from '../api/types';
import { split } from '../lib/gaps';
import { BUSY } from '../lib/limits';
import { bits, lineSpeed } from '../lib/units';
import { Failed, Skeleton } from '../ui/Feedback';
import { bucketText, scaled, toBits } from './series';
import { type Limit, type Line, TimeChart } from './TimeChart';

interface Props {
  device: Id;
  instance: Id;
  name: string;
  window: Window;
  zone: string;
  pollEvery: number;
  /** The line's speed in bit/s, for the limit. */
  speed: number | null;
  began?: number;
  onZoom: (from: number, to: number) => void;
  onReset: () => void;
}

const NOTHING: Series = {
  labels: { metric: '', instance: '', interface_id: null },
  unit: '',
  points: [],
  gaps: [],
};

/** In and out of one interface; in is solid, out dashed. */
export function TrafficChart({
  device,
  instance,
  name,
  window,
  zone,
  pollEvery,
  speed,
  began,
  onZoom,
  onReset,
}: Props) {
  const into = useQuery({
    ...rangeQuery(device, 'ifHCInOctets', window, instance),
    placeholderData: (before) => before,
  });
  const out = useQuery({
    ...rangeQuery(device, 'ifHCOutOctets', window, instance),
    placeholderData: (before) => before,
  });
  const live = 'last_ms' in window;
  const range = into.data;
  const lines = useMemo<Line[]>(() => {
    const line = (data: (Range & { to: number }) | undefined, label: string, look: 's1' | 's2'): Line => ({
      name: label,
      look,
      band: false,
      split: split(scaled(data?.series[0] ?? NOTHING, toBits(data?.series[0]?.unit ?? data?.unit ?? '')), {
        step_s: data?.step_s ?? pollEvery,
        to: data?.to,
        open: live,
      }),
    });
    return [line(into.data, 'In', 's1'), line(out.data, 'Out', 's2')];
  }, [into.data, out.data, live, pollEvery]);
  const limits = useMemo<Limit[]>(
    () =>
      speed ? [{ value: speed * BUSY, kind: 'warning', text: `${BUSY * 100} % of ${lineSpeed(speed)}` }] : [],
    [speed],
  );
  if (into.isError && !range) return <Failed what="Traffic" error={into.error} again={into.refetch} />;
  if (!range) return <Skeleton rows={6} />;
  const most = Math.max(0, ...lines.flatMap((line) => line.split.mean.filter((value) => value !== null)));
  const say = (bps: number) => {
    const { value, unit } = bits(bps);
    return `${value} ${unit}`;
  };
  return (
    <div>
      <div className="row pad">
        <b className="b">
          Traffic on <bdi>{name}</bdi>
        </b>
        <span className="t3 small">{bucketText(range, `counters every ${pollEvery} s`)}</span>
        <span className="legend push">
          <span>
            <i />
            in
          </span>
          <span>
            <i className="o" />
            out
          </span>
          <span>
            <i className="gap" />
            no data
          </span>
        </span>
      </div>
      <TimeChart
        lines={lines}
        from={range.from}
        to={range.to}
        live={live}
        step_s={range.step_s}
        zone={zone}
        height={168}
        say={say}
        tick={(value, max) => {
          const per = 1000 ** Math.floor(Math.log10(Math.max(1, max)) / 3);
          return String(Math.round((value / per) * 100) / 100);
        }}
        unit={(max) => bits(max).unit}
        limits={limits}
        {...(began === undefined ? {} : { began })}
        label={`Traffic on ${name}`}
        summary={`Traffic on ${name}, at most ${say(most)}.`}
        onZoom={onZoom}
        onReset={onReset}
      />
    </div>
  );
}
