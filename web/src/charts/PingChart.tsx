import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { rangeQuery, type Window } from '../api/queries';
import type { Id, Series } from '../api/types';
import { type Split, split } from '../lib/gaps';
import { SLOW_MS } from '../lib/limits';
import { duration, zoneName } from '../lib/time';
import { count, milliseconds, percent } from '../lib/units';
import { Empty, Failed, Skeleton } from '../ui/Feedback';
import { Panel } from '../ui/Panel';
import { bucketText, scaled, toMilliseconds } from './series';
import { type Limit, TimeChart } from './TimeChart';

const NOTHING: Series = {
  labels: { metric: 'rtt', instance: '', interface_id: null },
  unit: '',
  points: [],
  gaps: [],
};

const LIMITS: readonly Limit[] = [{ value: SLOW_MS, kind: 'warning', text: `slow, ${SLOW_MS} ms` }];

interface Props {
  device: Id;
  window: Window;
  zone: string;
  icmpEvery?: number;
  /** Why there is nothing to show, when that is known. */
  whyNone?: string;
  began?: number;
  onZoom: (from: number, to: number) => void;
  onReset: () => void;
}

export function PingChart({ device, window, zone, icmpEvery = 10, whyNone, began, onZoom, onReset }: Props) {
  const rtt = useQuery({ ...rangeQuery(device, 'rtt', window), placeholderData: (before) => before });
  const lost = useQuery({ ...rangeQuery(device, 'loss_ratio', window), placeholderData: (before) => before });
  const live = 'last_ms' in window;
  const made = useMemo(() => {
    const range = rtt.data;
    if (!range) return null;
    const raw = range.series[0] ?? NOTHING;
    const series = scaled(raw, toMilliseconds(raw.unit || range.unit));
    // A device that was asked and said nothing is down: 100 % loss, not a hole.
    const parts = split(series, {
      step_s: range.step_s,
      answered: ['no_response'],
      to: range.to,
      open: live,
    });
    const loss = (lost.data?.series[0]?.points ?? []).flatMap<[number, number]>(([at = null, mean = null]) =>
      at === null || mean === null ? [] : [[at, mean]],
    );
    // Asked all the time and never answered: that is known, so it is not a hole.
    const holes = parts.holes.filter(
      (hole) =>
        hole.reason !== null || !loss.some(([at, share]) => share >= 1 && at >= hole.from && at < hole.to),
    );
    return {
      range,
      lines: [{ name: 'Average', split: { ...parts, holes }, look: 's1' as const, band: true }],
      loss,
    };
  }, [rtt.data, lost.data, live]);

  return (
    <Panel
      title="Latency and packet loss"
      meta={`${made ? bucketText(made.range, `ping every ${icmpEvery} s`) : `ping every ${icmpEvery} s`}, ${zoneName(zone)}`}
      side={
        <span className="legend">
          <span>
            <i />
            average
          </span>
          <span>
            <i className="band" />
            min to max
          </span>
          <span>
            <i className="lo" />
            loss
          </span>
          <span>
            <i className="gap" />
            no data
          </span>
        </span>
      }
    >
      {made && nothing(made) ? (
        <Empty title="No latency was measured in this time">
          {whyNone ?? 'The first values come within half a minute of the device being found.'}
        </Empty>
      ) : made ? (
        <TimeChart
          lines={made.lines}
          loss={made.loss}
          from={made.range.from}
          to={made.range.to}
          live={live}
          step_s={made.range.step_s}
          zone={zone}
          say={(ms) => {
            const { value, unit } = milliseconds(ms);
            return `${value} ${unit}`;
          }}
          tick={(ms, max) => count(ms, max < 1 ? 2 : max < 5 ? 1 : 0)}
          unit={() => 'ms'}
          limits={LIMITS}
          {...(began === undefined ? {} : { began })}
          label="Latency and packet loss"
          summary={summary(made)}
          onZoom={onZoom}
          onReset={onReset}
        />
      ) : rtt.isError ? (
        <Failed what="Latency" error={rtt.error} again={rtt.refetch} />
      ) : (
        <Skeleton rows={7} />
      )}
    </Panel>
  );
}

function nothing(made: { lines: { split: Split }[]; loss: [number, number][] }): boolean {
  return (
    made.loss.length === 0 &&
    made.lines.every(({ split }) => split.x.length === 0 && split.holes.length === 0)
  );
}

function summary(made: {
  range: { from: number; to: number };
  lines: {
    split: { mean: (number | null)[]; max: (number | null)[]; holes: { from: number; to: number }[] };
  }[];
  loss: [number, number][];
}): string {
  const parts = made.lines[0]?.split;
  const means = (parts?.mean ?? []).filter((value) => value !== null);
  if (means.length === 0) return 'No latency was measured in this time.';
  const average = means.reduce((sum, value) => sum + value, 0) / means.length;
  const worst = Math.max(...(parts?.max ?? []).filter((value) => value !== null));
  const missing = (parts?.holes ?? []).reduce((sum, hole) => sum + hole.to - hole.from, 0) / 1000;
  const lost = made.loss.reduce((most, [, share]) => Math.max(most, share), 0);
  return [
    `Latency over ${duration((made.range.to - made.range.from) / 1000)}:`,
    `average ${milliseconds(average).value} ms, worst ${milliseconds(worst).value} ms,`,
    lost > 0 ? `loss up to ${percent(lost)} percent,` : 'no loss,',
    missing > 0 ? `no data for ${duration(missing)}.` : 'no gaps.',
  ].join(' ');
}
