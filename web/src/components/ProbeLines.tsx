import { Link } from '@tanstack/react-router';
import { useNow } from '../api/clock';
import type { Probe } from '../api/types';
import { certificateState, certificateText } from '../lib/certificate';
import { PROBE_WORD, type ProbeShape, probeShape } from '../lib/state';
import { duration } from '../lib/time';
import { bytes, count } from '../lib/units';
import { Glyph, type Shape } from '../ui/Glyph';
import { Ago } from './Age';

const GLYPH: Record<ProbeShape, Shape> = {
  stale: 'unknown',
  critical: 'critical',
  degraded: 'warning',
  up: 'up',
  maint: 'notice',
};

export function probeGlyph(shape: ProbeShape): Shape {
  return GLYPH[shape];
}

/** What lies in the probe's spool, in words. */
export function spoolText(probe: Probe): string {
  if (probe.spool.batches === 0) return 'empty';
  const { value, unit } = bytes(probe.spool.bytes);
  return `${count(probe.spool.batches)} batches, ${value} ${unit}`;
}

/** What carries its session. */
export function linkText(probe: Probe): string {
  if (probe.transport === 'tcp') return 'TLS over TCP, because UDP is blocked';
  return probe.transport === 'udp' ? 'QUIC over UDP' : '–';
}

/** The version alone; Central has it with the program's name before it. */
export function versionText(probe: Probe): string | null {
  return probe.version?.replace(/^farwatch-probe\s+/, '') ?? null;
}

export function behindText(probe: Probe): string {
  return probe.backlog_behind_s === null ? 'not known' : `${duration(probe.backlog_behind_s)} behind`;
}

/** How long the certificate still lasts; with a shape only when it was not renewed in time. */
export function Certificate({ probe }: { probe: Probe }) {
  const now = useNow();
  const state = certificateState(probe.certificate, now);
  const text = certificateText(probe.certificate, now);
  if (state === null) return <span className="t3">–</span>;
  if (state === 'good') return <span className="num">{text}</span>;
  return (
    <span className="row num">
      <Glyph shape={state === 'expired' ? 'critical' : 'warning'} />
      {text}
    </span>
  );
}

/** A site's probes in one line each. */
export function ProbeLines({ probes }: { probes: readonly Probe[] }) {
  const now = useNow();
  return (
    <section className="panel" aria-label="Probes of this site" style={{ marginBottom: 12, flex: 'none' }}>
      {probes.map((probe) => (
        <div className="probeline" key={probe.id}>
          <div className="row">
            <Glyph shape={probeGlyph(probeShape(probe, now))} label={PROBE_WORD[probe.state]} />
            <span className="ell">
              <Link className="b" to="/probes/$probeId" params={{ probeId: probe.id }}>
                <bdi>{probe.name}</bdi>
              </Link>{' '}
              <span className="t3">{PROBE_WORD[probe.state].toLowerCase()}</span>
            </span>
          </div>
          <div>
            <small>Last heard</small>
            <Ago at={probe.last_heard_at} />
          </div>
          <div>
            <small>Watches</small>
            <span className="num">{count(probe.devices)} devices</span>
          </div>
          <div>
            <small>Spool</small>
            <span className="num">
              {spoolText(probe)}
              {probe.backlog_behind_s !== null && `, ${behindText(probe)}`}
            </span>
          </div>
          <div>
            <small>Version</small>
            {versionText(probe) ?? <span className="t3">not known</span>}
          </div>
          <div>
            <small>Certificate</small>
            <Certificate probe={probe} />
          </div>
        </div>
      ))}
    </section>
  );
}
