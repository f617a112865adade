import { Fragment } from 'react';
import { serverNow, useNow } from '../api/clock';
import type { Window } from '../api/queries';
import type { Device, Interface, State } from '../api/types';
import { TrafficChart } from '../charts/TrafficChart';
import { BUSY } from '../lib/limits';
import { natural } from '../lib/natural';
import { clockOrDay } from '../lib/time';
import { bits, count, lineSpeed } from '../lib/units';
import { Glyph } from '../ui/Glyph';
import { OldTag, Since } from './Age';
import { Bars } from './Bars';
import { Spark } from './Spark';
import { useZone } from './zone';

/**
 * The state an interface is drawn with. Switched off by hand is not a fault, and a socket that nobody has plugged
 * anything into since Farwatch knows it is none either: only a link that went down is.
 */
export function interfaceState(
  one: Interface,
  stale: boolean,
  firstSeen: string,
): { state: State | 'notice'; word: string } {
  if (stale) return { state: 'unknown', word: 'Stale' };
  if (one.admin_status === 'down') return { state: 'maintenance', word: 'Switched off' };
  switch (one.oper_status) {
    case 'up':
      return { state: 'up', word: 'Up' };
    case 'dormant':
    case 'testing':
      return { state: 'degraded', word: one.oper_status === 'testing' ? 'Testing' : 'Dormant' };
    case 'down':
    case 'lowerLayerDown':
    case 'notPresent':
      return !wentDown(one, firstSeen)
        ? { state: 'notice', word: 'Not connected' }
        : { state: 'down', word: 'Down' };
    default:
      return { state: 'unknown', word: 'Not known' };
  }
}

/** The first look at a device takes a moment; what was down by then was down before. */
const FIRST_LOOK_MS = 120_000;

function wentDown(one: Interface, firstSeen: string): boolean {
  return one.oper_since !== null && Date.parse(one.oper_since) > Date.parse(firstSeen) + FIRST_LOOK_MS;
}

/** In use: up, or gone down within a week though nobody switched it off. */
export function inUse(one: Interface, firstSeen: string): boolean {
  if (one.type === 24) return false; // softwareLoopback, IANAifType
  if (one.oper_status === 'up') return true;
  if (one.admin_status === 'down') return false;
  return wentDown(one, firstSeen) && serverNow() - Date.parse(one.oper_since ?? '') < 7 * 86_400_000;
}

export function sortedInterfaces(all: readonly Interface[]): Interface[] {
  return [...all].sort((a, b) => (a.if_index ?? 1e9) - (b.if_index ?? 1e9) || natural(a.name, b.name));
}

interface Props {
  device: Device;
  interfaces: readonly Interface[];
  open: string | undefined;
  onOpen: (id: string | undefined) => void;
  window: Window;
  stale: boolean;
  onZoom: (from: number, to: number) => void;
  onReset: () => void;
}

export function InterfaceTable({ device, interfaces, open, onOpen, window, stale, onZoom, onReset }: Props) {
  const zone = useZone();
  const now = useNow();
  return (
    <div className="scroll-x">
      <table className="tbl">
        <thead>
          <tr>
            <th>Interface</th>
            <th>Description</th>
            <th>Speed</th>
            <th>In, 24 h</th>
            <th>Out, 24 h</th>
            <th style={{ width: 96 }}>Utilisation</th>
            <th className="r">In</th>
            <th className="r">Out</th>
            <th className="r">Errors, 1 h</th>
          </tr>
        </thead>
        <tbody>
          {interfaces.map((one) => {
            const { state, word } = interfaceState(one, stale, device.first_seen_at);
            const errors = (one.in_errors_1h ?? 0) + (one.out_errors_1h ?? 0);
            const unknownErrors = one.in_errors_1h === null && one.out_errors_1h === null;
            const down = state === 'down' || state === 'maintenance' || state === 'notice';
            const isOpen = open === one.id;
            const about = one.alias || (one.descr !== one.name ? one.descr : '');
            return (
              <Fragment key={one.id}>
                <tr className={isOpen ? 'open' : undefined}>
                  <td className="b">
                    <button
                      type="button"
                      className="row b"
                      aria-expanded={isOpen}
                      title={isOpen ? 'Close the traffic chart' : 'Show the traffic chart'}
                      onClick={() => onOpen(isOpen ? undefined : one.id)}
                    >
                      <Glyph shape={state} label={word} />
                      <bdi>{one.name || `interface ${one.if_index ?? ''}`}</bdi>
                    </button>
                  </td>
                  <td className="t2 max" title={about}>
                    <bdi>{about}</bdi>
                  </td>
                  <td className="t2">
                    {one.speed_bps ? lineSpeed(one.speed_bps) : <span className="t3">–</span>}
                  </td>
                  {down ? (
                    <td colSpan={5} className={state === 'notice' ? 't3' : 't2'}>
                      {state === 'maintenance'
                        ? 'Switched off'
                        : state === 'notice'
                          ? 'Not connected'
                          : 'Link down'}
                      {one.oper_since && state !== 'notice' && (
                        <>
                          {' '}
                          since {clockOrDay(one.oper_since, zone, now)}, <Since at={one.oper_since} />
                        </>
                      )}
                    </td>
                  ) : (
                    <>
                      <td>
                        <Spark values={one.in_spark} {...(stale ? { look: 'off' as const } : {})} />
                      </td>
                      <td>
                        <Spark values={one.out_spark} look={stale ? 'off' : 's2'} />
                      </td>
                      <td>
                        <Bars into={one.in_utilisation_ratio} out={one.out_utilisation_ratio} off={stale} />
                      </td>
                      <td className={stale ? 'r t3' : 'r'}>
                        <Rate bps={one.in_bps} busy={stale ? null : one.in_utilisation_ratio} />
                      </td>
                      <td className={stale ? 'r t3' : 'r'}>
                        <Rate bps={one.out_bps} busy={stale ? null : one.out_utilisation_ratio} />
                        {!stale && one.value_at && (
                          <>
                            {' '}
                            <OldTag
                              at={one.value_at}
                              after={Math.max(180, 3 * (device.poll?.interval_s ?? 60))}
                            />
                          </>
                        )}
                      </td>
                    </>
                  )}
                  <td className={errors > 0 ? 'r' : 'r t3'}>
                    {errors > 100 && !stale && <Glyph shape="warning" label="many errors" />}{' '}
                    {unknownErrors ? '–' : count(errors)}
                  </td>
                </tr>
                {isOpen && (
                  <tr className="detail">
                    <td colSpan={9}>
                      <TrafficChart
                        device={device.id}
                        instance={one.id}
                        name={one.name}
                        window={window}
                        zone={zone}
                        speed={one.speed_bps}
                        began={Date.parse(device.first_seen_at)}
                        pollEvery={device.poll?.interval_s ?? 60}
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
    </div>
  );
}

function Rate({ bps, busy }: { bps: number | null; busy: number | null }) {
  if (bps === null) return <span className="t3">–</span>;
  const { value, unit } = bits(bps);
  return (
    <>
      {busy !== null && busy >= BUSY && <Glyph shape="warning" label="nearly full" />} {value}{' '}
      <span className="t3">{unit}</span>
    </>
  );
}
