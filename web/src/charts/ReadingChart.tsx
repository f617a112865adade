import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { rangeQuery, type Window } from '../api/queries';
import type { Id, Reading } from '../api/types';
import { split } from '../lib/gaps';
import { measured } from '../lib/readings';
import { duration } from '../lib/time';
import { bytes, count, type Measured, percent } from '../lib/units';
import { Empty, Failed, Skeleton } from '../ui/Feedback';
import { TimeChart } from './TimeChart';

interface Props {
  device: Id;
  reading: Reading;
  window: Window;
  zone: string;
  began?: number;
  onZoom: (from: number, to: number) => void;
  onReset: () => void;
}

/** A sensor, disk or processor over time. */
export function ReadingChart({ device, reading, window, zone, began, onZoom, onReset }: Props) {
  const metric = reading.metric ?? '';
  const query = useQuery({
    ...rangeQuery(device, metric, window, reading.instance),
    enabled: metric !== '',
    placeholderData: (before) => before,
  });
  const live = 'last_ms' in window;
  const made = useMemo(() => {
    const range = query.data;
    const series = range?.series[0];
    if (!range) return null;
    if (!series) return { range, unit: '', lines: [] };
    const parts = split(series, { step_s: range.step_s, answered: [], to: range.to, open: live });
    return {
      range,
      unit: series.unit,
      lines: [{ name: reading.name, split: parts, look: 's1' as const, band: true }],
    };
  }, [query.data, live, reading.name]);
  if (!made) {
    return query.isError ? (
      <Failed what={reading.name} error={query.error} again={query.refetch} />
    ) : (
      <Skeleton rows={5} />
    );
  }
  const line = made.lines[0];
  if (!line || (line.split.x.length === 0 && line.split.holes.length === 0)) {
    return <Empty title="Nothing was read in this time">The first value comes within a minute.</Empty>;
  }
  const write = (value: number): Measured => writeAs(value, made.unit);
  const say = (value: number) => {
    const { value: text, unit } = write(value);
    return `${text} ${unit}`.trim();
  };
  const means = line.split.mean.filter((value) => value !== null);
  const average = means.reduce((sum, value) => sum + value, 0) / Math.max(1, means.length);
  return (
    <TimeChart
      lines={made.lines}
      from={made.range.from}
      to={made.range.to}
      live={live}
      step_s={made.range.step_s}
      zone={zone}
      height={148}
      say={say}
      tick={(value) => write(value).value}
      unit={(most) => write(most).unit}
      {...(began === undefined ? {} : { began })}
      label={reading.name}
      summary={`${reading.name} over ${duration((made.range.to - made.range.from) / 1000)}: average ${say(average)}.`}
      onZoom={onZoom}
      onReset={onReset}
    />
  );
}

function writeAs(value: number, unit: string): Measured {
  if (unit === 'ratio') return { value: value >= 0.1 ? percent(value) : count(value * 100, 1), unit: '%' };
  return unit === 'octets' ? bytes(value) : measured(value, unit);
}
