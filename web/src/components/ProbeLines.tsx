import { Link } from '@tanstack/react-router';
import { useNow } from '../api/clock';
import type { Probe } from '../api/types';
import { PROBE_WORD, probeShape } from '../lib/state';
import { duration } from '../lib/time';
import { bytes, count } from '../lib/units';
import { Glyph, type Shape } from '../ui/Glyph';
import { Ago } from './Age';

export function probeGlyph(shape: ReturnType<typeof probeShape>): Shape {
  return shape === 'stale'
    ? 'unknown'
    : shape === 'degraded'
      ? 'warning'
      : shape === 'maint'
        ? 'notice'
        : 'up';
}

/** What lies in the probe's spool, in words. */
export function spoolText(probe: Probe): string {
  if (probe.spool.batches === 0) return 'empty';
  const { value, unit } = bytes(probe.spool.bytes);
  return `${count(probe.spool.batches)} batches, ${value} ${unit}`;
}

export function behindText(probe: Probe): string {
  return probe.backlog_behind_s === null ? 'not known' : `${duration(probe.backlog_behind_s)} behind`;
}

export function certificateDays(probe: Probe, now: number): number | null {
  return probe.certificate ? Math.floor((Date.parse(probe.certificate.not_after) - now) / 86_400_000) : null;
}

/** A site's probes in one line each. */
export function ProbeLines({ probes }: { probes: readonly Probe[] }) {
  const now = useNow();
  return (
    <section className="panel" aria-label="Probes of this site" style={{ marginBottom: 12, flex: 'none' }}>
      {probes.map((probe) => {
        const days = certificateDays(probe, now);
        return (
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
                {spoolText(probe)}, {behindText(probe)}
              </span>
            </div>
            <div>
              <small>Version</small>
              {probe.version ?? <span className="t3">not known</span>}
            </div>
            <div>
              <small>Certificate</small>
              <span className="num">{days === null ? '–' : days < 0 ? 'expired' : `${days} days left`}</span>
            </div>
          </div>
        );
      })}
    </section>
  );
}
