import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useNow } from '../api/clock';
import { healthQuery } from '../api/queries';
import type { HealthReport } from '../api/types';
import { Ago } from '../components/Age';
import { duration } from '../lib/time';
import { bytes, count } from '../lib/units';
import { Crumb } from '../ui/Crumb';
import { Loaded } from '../ui/Feedback';
import { Glyph } from '../ui/Glyph';
import { Panel, Title } from '../ui/Panel';

/** Central itself: what waits, how late it is, whether counters agree, how long the disk lasts. */
export function HealthPage() {
  const query = useQuery(healthQuery);
  const now = useNow();
  const started = query.data && Date.parse(query.data.started_at);
  return (
    <div className="view">
      <Crumb here="Health" title="Health of Central" />
      <Title
        sub={
          query.data &&
          started !== undefined &&
          `Version ${query.data.version}, running for ${duration(Math.max(0, (now - started) / 1000))}`
        }
      >
        Health of Central
      </Title>
      <Loaded query={query} what="Central's health" rows={8}>
        {(report) => <Report report={report} />}
      </Loaded>
    </div>
  );
}

function Report({ report }: { report: HealthReport }) {
  const { ingest, sessions, anchors, notifications, disk } = report;
  return (
    <>
      <Panel label="Notes" title="What to look at">
        {report.notes.length === 0 ? (
          <p className="row pad">
            <Glyph shape="up" /> Nothing: Central is healthy
          </p>
        ) : (
          <ul className="pad">
            {report.notes.map((note) => (
              <li className="row" key={note}>
                <Glyph shape="warning" label="Needs attention" />
                <span>{note}</span>
              </li>
            ))}
          </ul>
        )}
      </Panel>
      <div className="healths">
        <Facts title="Probes">
          <Fact name="Connected" value={`${count(sessions.connected)} of ${count(sessions.probes)}`} />
          <Fact name="Heard within the last minute" value={count(sessions.reporting)} />
          <Fact name="Over TCP, because UDP is blocked" value={count(sessions.over_tcp)} />
        </Facts>
        <Facts title="Samples">
          <Fact name="Committed a second" value={count(Math.round(ingest.samples_per_s))} />
          <Fact name="Here" value={count(ingest.samples)} />
          <Fact name="Batches" value={count(ingest.batches)} />
          <Fact name="Batches that wait for their layout" value={count(ingest.undecoded)} />
          <Fact name="Batches set aside" value={count(ingest.quarantined)} bad={ingest.quarantined > 0} />
        </Facts>
        <Facts title="Proof of the counters">
          <Fact name="Pairs of anchors compared" value={count(anchors.checked)} />
          <Fact name="That did not agree" value={count(anchors.mismatched)} bad={anchors.mismatched > 0} />
          <Fact
            name="Last compared"
            value={anchors.last_checked_at === null ? '–' : <Ago at={anchors.last_checked_at} />}
          />
        </Facts>
        <Facts title="Notifications">
          <Fact name="Not yet sent" value={count(notifications.pending)} />
          <Fact
            name="The oldest of them"
            value={notifications.oldest_s === null ? '–' : duration(notifications.oldest_s)}
            bad={(notifications.oldest_s ?? 0) > 300}
          />
          <Fact name="Given up" value={count(notifications.failed)} bad={notifications.failed > 0} />
        </Facts>
      </div>
      <Panel label="Databases" title="Databases">
        <table className="tbl">
          <thead>
            <tr>
              <th>File</th>
              <th className="r">Jobs waiting</th>
              <th className="r">Commits</th>
              <th className="r">Commit, median</th>
              <th className="r">Commit, 99 %</th>
            </tr>
          </thead>
          <tbody>
            {report.writers.map((writer) => (
              <tr key={writer.name}>
                <td className="b">{writer.name}</td>
                <td className="num r">{count(writer.waiting)}</td>
                <td className="num r">{count(writer.commits)}</td>
                <td className="num r">{ms(writer.commit_ms_p50)}</td>
                <td className="num r">{ms(writer.commit_ms_p99)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Panel>
      <Panel label="Disk" title="Disk">
        <dl className="dl health">
          <Fact name="Free" value={`${size(disk.free_bytes)} of ${size(disk.total_bytes)}`} />
          <Fact name="Central takes" value={size(disk.used_bytes)} />
          {disk.parts.map((part) => (
            <Fact key={part.name} name={PART[part.name] ?? part.name} value={size(part.bytes)} />
          ))}
          <Fact
            name="A day of samples adds"
            value={disk.bytes_per_day === null ? 'known after a whole day' : size(disk.bytes_per_day)}
          />
          <Fact
            name="Still to come until old data goes as fast"
            value={disk.still_to_come_bytes === null ? '–' : size(disk.still_to_come_bytes)}
          />
          <Fact
            name="Full in"
            value={disk.days_left === null ? 'not in sight' : `${count(Math.floor(disk.days_left))} days`}
            bad={disk.days_left !== null && disk.days_left < 30}
          />
        </dl>
      </Panel>
      <Panel label="Probes that are behind" title="Probes whose data waits">
        {report.behind.length === 0 ? (
          <p className="pad t2">Central has acknowledged everything that probes hold.</p>
        ) : (
          <table className="tbl">
            <thead>
              <tr>
                <th>Probe</th>
                <th>Customer</th>
                <th>Site</th>
                <th className="r">Behind</th>
                <th className="r">Batches</th>
                <th className="r">Spool</th>
              </tr>
            </thead>
            <tbody>
              {report.behind.map((probe) => (
                <tr key={probe.probe_id}>
                  <td className="b">
                    <Link to="/probes/$probeId" params={{ probeId: probe.probe_id }}>
                      <bdi>{probe.probe_name}</bdi>
                    </Link>
                  </td>
                  <td>
                    <bdi>{probe.customer_name}</bdi>
                  </td>
                  <td>
                    <bdi>{probe.site_name}</bdi>
                  </td>
                  <td className="num r">{duration(probe.behind_s)}</td>
                  <td className="num r">{count(probe.batches)}</td>
                  <td className="num r">{size(probe.bytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Panel>
    </>
  );
}

const PART: Record<string, string> = {
  'central.db': 'central.db: everything but samples',
  'metrics.db': 'metrics.db: samples of the open hours',
  samples: 'Samples',
  five_minutes: 'Roll-ups of five minutes',
  one_hour: 'Roll-ups of an hour',
};

function size(value: number): string {
  const { value: text, unit } = bytes(value);
  return `${text} ${unit}`;
}

function ms(value: number | null): string {
  return value === null ? '–' : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

function Facts({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Panel label={title} title={title}>
      <dl className="dl health">{children}</dl>
    </Panel>
  );
}

function Fact({ name, value, bad }: { name: string; value: ReactNode; bad?: boolean }) {
  return (
    <>
      <dt>{name}</dt>
      <dd className="num">
        {bad ? (
          <span className="row">
            <Glyph shape="warning" label="Needs attention" />
            {value}
          </span>
        ) : (
          value
        )}
      </dd>
    </>
  );
}
