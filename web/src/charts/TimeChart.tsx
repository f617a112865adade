/**
 * The one wrapper over uPlot: lines with their min to max band, holes hatched and never crossed, loss as bars on the
 * same axis, a crosshair shared by all charts of a page, zoom by dragging, arrows for the keyboard.
 */
import 'uplot/dist/uPlot.min.css';
import { type KeyboardEvent, type ReactNode, useEffect, useId, useMemo, useRef, useState } from 'react';
import uPlot from 'uplot';
import { changeText, clockChanges } from '../lib/dst';
import { align, type Hole, holeText, type Split } from '../lib/gaps';
import { niceCeil } from '../lib/plot';
import { clock, day, zoneName } from '../lib/time';
import { useTheme } from '../ui/theme';
import { type ChartTheme, chartTheme } from './theme';

export interface Line {
  name: string;
  split: Split;
  /** Solid s1 or dashed s2. */
  look: 's1' | 's2';
  band: boolean;
}

/** A limit that the values are read against: a dashed line for a warning, a dotted one for what is critical. */
export interface Limit {
  value: number;
  kind: 'warning' | 'critical';
  text: string;
}

interface Props {
  lines: readonly Line[];
  limits?: readonly Limit[];
  /** When the first value can be there at the earliest (ms); marked when it lies in the window. */
  began?: number;
  /** Share of packets lost (0 to 1) over time (ms). */
  loss?: readonly [number, number][];
  from: number;
  to: number;
  /** The window ends now and moves on. */
  live: boolean;
  step_s: number;
  zone: string;
  height?: number;
  /** Value with its unit, for the tip and the table. */
  say: (value: number) => string;
  /** A number for the axis, and the unit that stands at the top tick. */
  tick: (value: number, max: number) => string;
  unit: (max: number) => string;
  label: string;
  summary: string;
  onZoom: (from: number, to: number) => void;
  onReset: () => void;
}

const AXIS_LEFT = 66;
const AXIS_BOTTOM = 24;
const TOP = 12;
/** A limit is brought into sight once the values come this near to it. */
const NEAR = 0.5;
const NO_LIMITS: readonly Limit[] = [];

export function TimeChart(props: Props) {
  const { lines, loss, from, to, live, step_s, zone, height = 196, say, label, summary } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const { drawn } = useTheme();
  const [at, setAt] = useState<number | null>(null);
  const [asTable, setAsTable] = useState(false);
  const about = useId();
  const latest = useRef(props);
  latest.current = props;

  const shape = lines.map((line) => `${line.look}${line.band}`).join();
  const data = useMemo(() => align(lines.map((line) => line.split)), [lines]);

  // The plot is made anew for another theme, zone or number of lines; data and size are given to the one there is.
  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` and `drawn` stand for the lines and the colours
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const theme = chartTheme();
    const made = new uPlot(
      options(element.clientWidth, height, theme, zone, () => latest.current, setAt),
      toData(data),
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) made.setSize({ width: element.clientWidth, height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape, drawn, zone, height, asTable]);

  // The window is the scale, whatever the points are (see `options`), so a new window draws anew too.
  // biome-ignore lint/correctness/useExhaustiveDependencies: `from` and `to` are read by the scale
  useEffect(() => plot.current?.setData(toData(data), true), [data, from, to]);

  const onKeyDown = (event: KeyboardEvent) => {
    const current = plot.current;
    const xs = data.x;
    if (!current || xs.length === 0) return;
    const jump = event.shiftKey ? 10 : 1;
    const now = at ?? xs.length;
    const next =
      event.key === 'ArrowLeft'
        ? now - jump
        : event.key === 'ArrowRight'
          ? now + jump
          : event.key === 'Home'
            ? 0
            : event.key === 'End'
              ? xs.length - 1
              : null;
    if (event.key === 'Escape') {
      current.setCursor({ left: -10, top: -10 });
      return;
    }
    if (next === null) return;
    event.preventDefault();
    const x = xs[Math.max(0, Math.min(xs.length - 1, next))];
    if (x !== undefined) current.setCursor({ left: current.valToPos(x, 'x'), top: 10 });
  };

  const hint = at === null ? null : data.x[at];
  return (
    <div className="chart">
      <p className="sr" id={about}>
        {summary} Arrow keys read the values one by one.
      </p>
      {asTable ? (
        <ChartTable data={data} lines={lines} loss={loss} zone={zone} say={say} />
      ) : (
        // The plot is one thing to a screen reader: its summary, and the values by arrow keys.
        <div
          className="plot"
          ref={place}
          role="img"
          aria-label={label}
          aria-describedby={about}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys walk the values
          tabIndex={0}
          onKeyDown={onKeyDown}
          onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })}
        />
      )}
      {!asTable && hint !== null && hint !== undefined && (
        <Tip
          left={plot.current?.valToPos(hint, 'x') ?? 0}
          width={(plot.current?.width ?? 0) - AXIS_LEFT}
          title={
            <>
              <b>
                {clock(hint, zone)}
                {step_s >= 60 && `–${clock(hint + step_s * 1000, zone)}`} {zoneName(zone, hint)}
              </b>{' '}
              <span className="t3">{zone === 'UTC' ? day(hint, zone) : `${clock(hint, 'UTC')} UTC`}</span>
            </>
          }
        >
          <TipRows
            at={at ?? 0}
            data={data}
            lines={lines}
            loss={loss}
            step_s={step_s}
            say={say}
            holes={holesAt(lines, hint)}
          />
        </Tip>
      )}
      <div className="row end">
        <span className="t3 small hide-s">{live ? 'Drag to zoom' : 'Double-click shows all again'}</span>
        {!live && (
          <button type="button" className="btn ghost" onClick={props.onReset}>
            Back to now
          </button>
        )}
        <button
          type="button"
          className="btn ghost"
          aria-pressed={asTable}
          onClick={() => setAsTable(!asTable)}
        >
          {asTable ? 'Show as chart' : 'Show as table'}
        </button>
      </div>
      <span className="sr" role="status">
        {hint != null && `${clock(hint, zone)} ${lineTexts(at ?? 0, data, lines, say).join(', ')}`}
      </span>
    </div>
  );
}

type Aligned = ReturnType<typeof align>;

function toData(data: Aligned): uPlot.AlignedData {
  return [data.x, ...data.columns];
}

function holesAt(lines: readonly Line[], x: number): Hole[] {
  return lines.flatMap((line) => line.split.holes).filter((hole) => hole.from <= x && x < hole.to);
}

function lineTexts(
  at: number,
  data: Aligned,
  lines: readonly Line[],
  say: (value: number) => string,
): string[] {
  return lines.map((line, i) => {
    const mean = data.columns[i * 3]?.[at] ?? null;
    return `${line.name} ${mean === null ? 'no data' : say(mean)}`;
  });
}

function lossAt(loss: Props['loss'], x: number | undefined, step_s: number): number | null {
  if (!loss || x === undefined) return null;
  const near = loss.find(([ms]) => Math.abs(ms - x) < (step_s * 1000) / 2 + 1);
  return near ? near[1] : null;
}

function Tip({
  left,
  width,
  title,
  children,
}: {
  left: number;
  width: number;
  title: ReactNode;
  children: ReactNode;
}) {
  // Past the middle it stands on the other side of the crosshair.
  const flip = left > width / 2;
  const x = AXIS_LEFT + 14 + left + (flip ? -12 : 12);
  return (
    <div className="tip" style={{ transform: `translateX(${x}px)${flip ? ' translateX(-100%)' : ''}` }}>
      {title}
      {children}
    </div>
  );
}

function TipRows({
  at,
  data,
  lines,
  loss,
  step_s,
  say,
  holes,
}: {
  at: number;
  data: Aligned;
  lines: readonly Line[];
  loss: Props['loss'];
  step_s: number;
  say: (value: number) => string;
  holes: readonly Hole[];
}) {
  const lost = lossAt(loss, data.x[at], step_s);
  return (
    <table>
      <tbody>
        {lines.flatMap((line, i) => {
          const [mean, min, max] = [0, 1, 2].map((k) => data.columns[i * 3 + k]?.[at] ?? null);
          if (mean === null || mean === undefined) {
            const hole = holes[0];
            return [
              <tr key={line.name}>
                <td>{line.name}</td>
                <td>{hole ? holeText(hole) : 'no data'}</td>
              </tr>,
            ];
          }
          if (!line.band) {
            return [
              <tr key={line.name}>
                <td>{line.name}</td>
                <td>{say(mean)}</td>
              </tr>,
            ];
          }
          return [
            <tr key="max">
              <td>Max</td>
              <td>{max == null ? '–' : say(max)}</td>
            </tr>,
            <tr key="mean">
              <td>
                <b className="b">{line.name}</b>
              </td>
              <td className="b">{say(mean)}</td>
            </tr>,
            <tr key="min">
              <td>Min</td>
              <td>{min == null ? '–' : say(min)}</td>
            </tr>,
          ];
        })}
        {loss && (
          <tr>
            <td>Packets lost</td>
            <td>{lost === null ? '–' : `${Math.round(lost * 1000) / 10} %`}</td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

function ChartTable({
  data,
  lines,
  loss,
  zone,
  say,
}: {
  data: Aligned;
  lines: readonly Line[];
  loss: Props['loss'];
  zone: string;
  say: (value: number) => string;
}) {
  const lost = new Map(loss);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: so that the keyboard can scroll it
    <div className="chart-table" tabIndex={0}>
      <table className="tbl">
        <thead>
          <tr>
            <th>Time, {zoneName(zone)}</th>
            {lines.map((line) => (
              <th className="r" key={line.name}>
                {line.name}
              </th>
            ))}
            {loss && <th className="r">Lost</th>}
          </tr>
        </thead>
        <tbody>
          {data.x
            .map((x, i) => (
              <tr key={x}>
                <td className="num">
                  {day(x, zone)}, {clock(x, zone)}
                </td>
                {lines.map((line, k) => {
                  const value = data.columns[k * 3]?.[i] ?? null;
                  return (
                    <td className="r" key={line.name}>
                      {value === null ? <span className="t3">no data</span> : say(value)}
                    </td>
                  );
                })}
                {loss && (
                  <td className="r">
                    {lost.has(x) ? `${Math.round((lost.get(x) ?? 0) * 1000) / 10} %` : '–'}
                  </td>
                )}
              </tr>
            ))
            .reverse()}
        </tbody>
      </table>
    </div>
  );
}

function options(
  width: number,
  height: number,
  theme: ChartTheme,
  zone: string,
  current: () => Props,
  setAt: (index: number | null) => void,
): uPlot.Options {
  const { lines } = current();
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  lines.forEach((line, i) => {
    const stroke = line.look === 's1' ? theme.s1 : theme.s2;
    const mean: uPlot.Series = { stroke, width: 1.5, spanGaps: false, points: { show: false } };
    if (line.look === 's2') mean.dash = [4, 3];
    const edge: uPlot.Series = { stroke: 'transparent', width: 0, spanGaps: false, points: { show: false } };
    series.push(mean, edge, edge);
    if (line.band) {
      bands.push({ series: [i * 3 + 3, i * 3 + 2], fill: line.look === 's1' ? theme.band : theme.band2 });
    }
  });
  const ratio = () => devicePixelRatio || 1;
  return {
    width,
    height,
    ms: 1,
    tzDate: (ms) => uPlot.tzDate(new Date(ms), zone),
    padding: [TOP, 0, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      sync: { key: 'page' },
      drag: { x: true, y: false, setScale: false },
      points: { size: 7 },
    },
    scales: {
      x: { time: true, range: () => [current().from, current().to] },
      y: {
        range: (_u, min, max) => {
          const low = (min ?? 0) < 0 ? -niceCeil(-(min ?? 0) * 1.08) : 0;
          if (low < 0 && (max ?? 0) <= 0) return [low, 0];
          const most = Math.max(max ?? 0, 1e-9);
          const near = (current().limits ?? NO_LIMITS).filter(({ value }) => most >= value * NEAR);
          return [low, niceCeil(Math.max(most, ...near.map(({ value }) => value)) * 1.08)];
        },
      },
    },
    series,
    bands,
    axes: [
      {
        stroke: theme.text3,
        font: theme.font,
        size: AXIS_BOTTOM,
        gap: 6,
        space: 90,
        grid: { show: false },
        ticks: { show: false },
        border: { show: true, stroke: theme.line2, width: 1 },
        values: (u, splits, _axis, _space, increment) =>
          splits.map((ms) => {
            const x = u.valToPos(ms, 'x');
            if (current().live && x > u.bbox.width / ratio() - 44) return '';
            const text = clock(ms, zone);
            return increment >= 86_400_000 || text === '00:00' ? day(ms, zone) : text;
          }),
      },
      {
        stroke: theme.text3,
        font: theme.font,
        size: AXIS_LEFT,
        gap: 6,
        space: 28,
        grid: { stroke: theme.grid, width: 1 },
        ticks: { show: false },
        values: (_u, splits) => {
          const top = splits[splits.length - 1] ?? 0;
          return splits.map((value, i) => {
            const text = current().tick(value, top);
            return i === splits.length - 1 ? `${text} ${current().unit(top)}` : text;
          });
        },
      },
    ],
    hooks: {
      drawClear: [(u) => drawHoles(u, current().lines, theme, ratio())],
      draw: [
        (u) => {
          drawLoss(u, current().loss ?? [], theme, ratio());
          drawLimits(u, current().limits ?? NO_LIMITS, theme, ratio());
          drawMarks(u, marksOf(current(), zone), theme, ratio());
          if (current().live) drawNow(u, theme, ratio());
        },
      ],
      setCursor: [
        (u) => {
          const index = u.cursor.idx;
          const on = (u.cursor.left ?? -1) >= 0 && index !== null && index !== undefined;
          const mine = u.root.matches(':hover') || u.root.parentElement === document.activeElement;
          setAt(on && mine ? index : null);
        },
      ],
      setSelect: [
        (u) => {
          const { left, width: wide } = u.select;
          if (wide > 4) current().onZoom(u.posToVal(left, 'x'), u.posToVal(left + wide, 'x'));
          u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        },
      ],
      ready: [(u) => u.over.addEventListener('dblclick', () => current().onReset())],
    },
  };
}

/** A hole stays empty and hatched, with what is known about it written at its top when there is room. */
function drawHoles(u: uPlot, lines: readonly Line[], theme: ChartTheme, ratio: number): void {
  const { ctx, bbox } = u;
  const seen = new Set<string>();
  for (const hole of lines.flatMap((line) => line.split.holes)) {
    const key = `${hole.from} ${hole.to}`;
    if (seen.has(key)) continue;
    seen.add(key);
    const left = Math.max(bbox.left, u.valToPos(hole.from, 'x', true));
    const right = Math.min(bbox.left + bbox.width, u.valToPos(hole.to, 'x', true));
    if (right <= left) continue;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, Math.max(ratio, right - left), bbox.height);
    ctx.clip();
    ctx.strokeStyle = theme.line2;
    ctx.lineWidth = 1.2 * ratio;
    ctx.beginPath();
    const pitch = 6 * ratio;
    const start = Math.floor((left - bbox.height) / pitch) * pitch;
    for (let x = start; x < right + bbox.height; x += pitch) {
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
    }
    ctx.stroke();
    ctx.restore();
    label(ctx, holeText(hole), 'no data', left, right, bbox.top + 12 * ratio, theme, ratio);
  }
}

function label(
  ctx: CanvasRenderingContext2D,
  long: string,
  short: string,
  left: number,
  right: number,
  y: number,
  theme: ChartTheme,
  ratio: number,
): void {
  ctx.save();
  ctx.font = theme.font.replace('11px', `${11 * ratio}px`);
  const text =
    ctx.measureText(long).width + 8 * ratio < right - left ? long : right - left > 10 * ratio ? short : '';
  if (text) {
    ctx.textAlign = 'center';
    ctx.lineWidth = 5 * ratio;
    ctx.strokeStyle = theme.surface;
    ctx.strokeText(text, (left + right) / 2, y);
    ctx.fillStyle = theme.text3;
    ctx.fillText(text, (left + right) / 2, y);
  }
  ctx.restore();
}

/** Moments that the reader must know of: the clocks changed, the device was found. */
function marksOf({ from, to, began }: Props, zone: string): { at: number; text: string }[] {
  const marks = clockChanges(zone, from, to).map((change) => ({ at: change.at, text: changeText(change) }));
  if (began !== undefined && began > from && began < to) marks.push({ at: began, text: 'first seen' });
  return marks;
}

function drawMarks(
  u: uPlot,
  marks: readonly { at: number; text: string }[],
  theme: ChartTheme,
  ratio: number,
): void {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.font = theme.font.replace('11px', `${11 * ratio}px`);
  for (const { at, text } of marks) {
    const x = Math.round(u.valToPos(at, 'x', true)) + 0.5;
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = theme.text3;
    ctx.lineWidth = ratio;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const right = x + ctx.measureText(text).width + 10 * ratio > bbox.left + bbox.width;
    ctx.textAlign = right ? 'right' : 'left';
    write(
      ctx,
      text,
      x + (right ? -5 : 5) * ratio,
      bbox.top + bbox.height - 8 * ratio,
      theme.text3,
      theme,
      ratio,
    );
  }
  ctx.restore();
}

/** Limits are named at the left, inside the plot, above their line. */
function drawLimits(u: uPlot, limits: readonly Limit[], theme: ChartTheme, ratio: number): void {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.font = theme.font.replace('11px', `${11 * ratio}px`);
  for (const { value, kind, text } of limits) {
    const y = Math.round(u.valToPos(value, 'y', true)) + 0.5;
    if (y < bbox.top || y > bbox.top + bbox.height) continue;
    const colour = kind === 'critical' ? theme.loss : theme.warning;
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.2 * ratio;
    ctx.setLineDash(kind === 'critical' ? [1.5 * ratio, 3 * ratio] : [5 * ratio, 4 * ratio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.textAlign = 'left';
    write(
      ctx,
      text,
      bbox.left + 6 * ratio,
      y - 5 * ratio,
      kind === 'critical' ? theme.critical : theme.warn,
      theme,
      ratio,
    );
  }
  ctx.restore();
}

/** Text that stays readable over lines: with the ground around it. */
function write(
  ctx: CanvasRenderingContext2D,
  text: string,
  x: number,
  y: number,
  colour: string,
  theme: ChartTheme,
  ratio: number,
): void {
  ctx.setLineDash([]);
  ctx.lineWidth = 4 * ratio;
  ctx.strokeStyle = theme.surface;
  ctx.strokeText(text, x, y);
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}

/** Loss as bars from the axis: 100 % is two fifths of the height, and any loss can be seen. */
function drawLoss(u: uPlot, loss: readonly [number, number][], theme: ChartTheme, ratio: number): void {
  const { ctx, bbox } = u;
  const bottom = bbox.top + bbox.height;
  ctx.save();
  ctx.fillStyle = theme.loss;
  for (const [ms, share] of loss) {
    if (!(share > 0)) continue;
    const x = u.valToPos(ms, 'x', true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    const high = Math.max(3 * ratio, share * bbox.height * 0.4);
    ctx.fillRect(x - 1.5 * ratio, bottom - high, 3 * ratio, high);
  }
  ctx.restore();
}

function drawNow(u: uPlot, theme: ChartTheme, ratio: number): void {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.font = theme.font.replace('11px', `${11 * ratio}px`);
  ctx.fillStyle = theme.text3;
  ctx.textAlign = 'right';
  ctx.textBaseline = 'top';
  ctx.fillText('now', bbox.left + bbox.width, bbox.top + bbox.height + 7 * ratio);
  ctx.restore();
}
