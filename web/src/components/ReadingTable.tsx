import { Fragment, useState } from 'react';
import type { Window } from '../api/queries';
import type { Device, Reading } from '../api/types';
import { ReadingChart } from '../charts/ReadingChart';
import { amountText, kindWord, shown, urgency } from '../lib/readings';
import { Glyph, type Shape } from '../ui/Glyph';
import { OldTag } from './Age';
import { Spark } from './Spark';
import { useZone } from './zone';

interface Props {
  device: Device;
  readings: readonly Reading[];
  window: Window;
  stale: boolean;
  onZoom: (from: number, to: number) => void;
  onReset: () => void;
}

const STATUS: Record<string, { shape: Shape; word: string }> = {
  ok: { shape: 'up', word: 'OK' },
  warning: { shape: 'warning', word: 'Warning' },
  critical: { shape: 'critical', word: 'Critical' },
  unknown: { shape: 'unknown', word: 'Not known' },
};

/** More rows than fit into a look wait for a click. */
const AT_FIRST = 24;

/** Sensors, disks and processors with their newest value; a click shows the line. */
export function ReadingTable({ device, readings, window, stale, onZoom, onReset }: Props) {
  const zone = useZone();
  const [open, setOpen] = useState<number>();
  const [all, setAll] = useState(false);
  const rows = all ? readings : readings.slice(0, AT_FIRST);
  const amounts = readings.some((one) => amountText(one) !== '');
  return (
    <div className="scroll-x">
      <table className="tbl">
        <thead>
          <tr>
            <th>Name</th>
            <th>Kind</th>
            <th>24 h</th>
            {amounts && <th className="r">Used</th>}
            <th className="r">Now</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((one) => {
            const isOpen = open === one.instance;
            return (
              <Fragment key={one.instance}>
                <tr className={isOpen ? 'open' : undefined}>
                  <td className="b max">
                    {one.metric === null ? (
                      <span className="row b">
                        <Status one={one} stale={stale} />
                        <bdi>{one.name}</bdi>
                      </span>
                    ) : (
                      <button
                        type="button"
                        className="row b"
                        aria-expanded={isOpen}
                        title={isOpen ? 'Close the chart' : `Show the chart · ${one.oid}`}
                        onClick={() => setOpen(isOpen ? undefined : one.instance)}
                      >
                        <Status one={one} stale={stale} />
                        <bdi>{one.name}</bdi>
                      </button>
                    )}
                  </td>
                  <td className="t2">{one.class === 'processor' ? 'Processor' : kindWord(one.kind)}</td>
                  <td>
                    {one.metric !== null && (
                      <Spark values={one.spark} {...(stale ? { look: 'off' as const } : {})} />
                    )}
                  </td>
                  {amounts && <td className="r t2">{amountText(one)}</td>}
                  <td className={stale ? 'r t3' : 'r'}>
                    <Value one={one} />
                    {!stale && one.at && (
                      <>
                        {' '}
                        <OldTag at={one.at} after={Math.max(240, 3 * (device.poll?.interval_s ?? 60))} />
                      </>
                    )}
                  </td>
                </tr>
                {isOpen && (
                  <tr className="detail">
                    <td colSpan={amounts ? 5 : 4}>
                      <ReadingChart
                        device={device.id}
                        reading={one}
                        window={window}
                        zone={zone}
                        began={Date.parse(device.first_seen_at)}
                        onZoom={onZoom}
                        onReset={onReset}
                      />
                    </td>
                  </tr>
                )}
              </Fragment>
            );
          })}
        </tbody>
      </table>
      {rows.length < readings.length && (
        <p className="pad">
          <button type="button" className="link" onClick={() => setAll(true)}>
            Show all {readings.length}
          </button>
        </p>
      )}
    </div>
  );
}

function Status({ one, stale }: { one: Reading; stale: boolean }) {
  if (stale) return <Glyph shape="unknown" label="Stale" />;
  if (one.status === null) {
    return urgency(one) < 2 ? <Glyph shape="warning" label="Nearly full" /> : null;
  }
  const { shape, word } = STATUS[one.status] ?? { shape: 'unknown' as const, word: one.status };
  return <Glyph shape={shape} label={word} />;
}

function Value({ one }: { one: Reading }) {
  const value = shown(one);
  if (value === null) {
    return one.status === null ? (
      <span className="t3">–</span>
    ) : (
      <span className="t2">{STATUS[one.status]?.word ?? one.status}</span>
    );
  }
  return (
    <>
      {value.value} <span className="t3">{value.unit}</span>
    </>
  );
}
