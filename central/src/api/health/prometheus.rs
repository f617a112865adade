//! Central's own figures, and each probe's through Central, as Prometheus reads them (text format 0.0.4).

use std::fmt::Write as _;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::sqlite::WriterFigures;

use super::super::Central;
use super::super::error::ApiError;
use crate::live::ProbeNow;
use crate::scope::Scope;
use crate::store::presence::SILENT_MS;
use crate::store::probes::{self, ProbeRow};

/// Whether customers, sites and probes are named beside the probes' ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// To admins of all customers.
    Shown,
    /// To everybody else.
    LeftOut,
}

/// The text, as it grows.
struct Text(String);

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows only floats")]
const fn float(n: u64) -> f64 {
    n as f64
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows only floats")]
const fn signed(n: i64) -> f64 {
    n as f64
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.0,
            "# HELP farwatch_{name} {help}\n# TYPE farwatch_{name} {kind}"
        );
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        let _ = writeln!(self.0, "farwatch_{name} {value}");
    }

    fn labelled(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "farwatch_{name}{{{labels}}} {value}");
    }
}

/// A label's value: `\`, `"` and line feeds are escaped.
fn label(name: &str, value: &str) -> String {
    let escaped = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{name}=\"{escaped}\"")
}

/// Everything.
pub(super) async fn figures(
    central: &Central,
    scope: Scope,
    names: Names,
) -> Result<String, ApiError> {
    let (customers, devices, incidents, pending, rows) = central
        .read(move |c| {
            let counts = c.query_row(
                "SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM devices WHERE forgotten_ms IS NULL),
                    (SELECT count(*) FROM incidents WHERE resolved_ms IS NULL),
                    (SELECT count(*) FROM outbox WHERE state = 'pending')",
                [],
                |row| Ok::<(i64, i64, i64, i64), _>((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )?;
            let mut rows = probes::list(c, &scope, None, None)?;
            rows.retain(|row| row.revoked.is_none());
            Ok((counts.0, counts.1, counts.2, counts.3, rows))
        })
        .await?;
    let now = central.now();
    let live = central.live.probes().all();
    let reporting = live
        .iter()
        .filter(|(_, probe)| probe.last_heard.is_some_and(|at| now.since(at) < SILENT_MS))
        .count();
    let over_tcp = live.iter().filter(|(_, probe)| probe.is_over_tcp()).count();
    let summary = central.metrics.summary().await?;
    let mut text = Text(String::with_capacity(4_096 + rows.len() * 1_024));
    let gauge = "gauge";
    text.one("customers", gauge, "Customers.", signed(customers));
    text.one(
        "devices",
        gauge,
        "Devices that are not forgotten.",
        signed(devices),
    );
    text.one(
        "incidents_open",
        gauge,
        "Incidents that are not over.",
        signed(incidents),
    );
    text.one(
        "notifications_pending",
        gauge,
        "Notifications not yet sent.",
        signed(pending),
    );
    text.one(
        "probes",
        gauge,
        "Probes that are not revoked.",
        float(live.len() as u64),
    );
    text.one(
        "probes_reporting",
        gauge,
        "Probes heard within the last minute.",
        float(reporting as u64),
    );
    text.one(
        "probes_connected",
        gauge,
        "Probes with a session.",
        float(central.registry.sessions().len() as u64),
    );
    text.one(
        "probes_over_tcp",
        gauge,
        "Probes whose session runs over TCP, because UDP is blocked.",
        float(over_tcp as u64),
    );
    text.one(
        "samples_total",
        "counter",
        "Samples that are here.",
        float(summary.samples),
    );
    text.one(
        "batches_total",
        "counter",
        "Batches committed.",
        float(summary.batches),
    );
    text.one(
        "batches_undecoded",
        gauge,
        "Batches whose layout has not come.",
        float(summary.undecoded),
    );
    text.one(
        "batches_quarantined_total",
        "counter",
        "Batches set aside.",
        float(summary.quarantined),
    );
    text.one(
        "anchors_checked_total",
        "counter",
        "Pairs of anchors compared.",
        float(summary.anchors.checked),
    );
    text.one(
        "anchors_mismatched_total",
        "counter",
        "Pairs of anchors that did not agree.",
        float(summary.anchors.mismatched),
    );
    text.one(
        "samples_per_second",
        gauge,
        "Samples committed a second, over the last minute.",
        central.metrics.samples_per_s(),
    );
    text.one(
        "resident_bytes",
        gauge,
        "Memory that Central uses.",
        float(farwatch_shared::telemetry::resident_bytes()),
    );
    text.one(
        "start_time_seconds",
        gauge,
        "When Central started, seconds since 1970.",
        signed(central.started.secs()),
    );
    writers(
        &mut text,
        &[
            ("central.db", central.store.writer().figures()),
            ("metrics.db", central.metrics.writer().figures()),
        ],
    );
    if let Ok(stat) = nix::sys::statvfs::statvfs(&central.settings.data_dir) {
        let bytes = |blocks: u64| float(blocks.saturating_mul(stat.fragment_size()));
        text.one(
            "disk_free_bytes",
            gauge,
            "Free for Central on its disk.",
            bytes(stat.blocks_available()),
        );
        text.one(
            "disk_total_bytes",
            gauge,
            "Size of its disk.",
            bytes(stat.blocks()),
        );
    }
    of_probes(&mut text, &rows, &live, names, now);
    Ok(text.0)
}

fn writers(text: &mut Text, writers: &[(&str, WriterFigures)]) {
    text.family(
        "writer_waiting",
        "gauge",
        "Jobs that wait for a database's writer.",
    );
    for (file, figures) in writers {
        text.labelled(
            "writer_waiting",
            &label("file", file),
            float(figures.waiting),
        );
    }
    text.family(
        "writer_commits_total",
        "counter",
        "Group commits of a database's writer.",
    );
    for (file, figures) in writers {
        text.labelled(
            "writer_commits_total",
            &label("file", file),
            float(figures.commits),
        );
    }
    text.family(
        "writer_commit_seconds",
        "gauge",
        "How long a commit takes with its fsync, over the last 512.",
    );
    for (file, figures) in writers {
        for (quantile, time) in [("0.5", figures.p50), ("0.99", figures.p99)] {
            if let Some(time) = time {
                let labels = format!("{},{}", label("file", file), label("quantile", quantile));
                text.labelled("writer_commit_seconds", &labels, time.as_secs_f64());
            }
        }
    }
}

/// One figure of a probe; `None` where it is not known.
type Figure = fn(&Known<'_>) -> Option<f64>;

/// What is known of a probe.
struct Known<'a> {
    row: &'a ProbeRow,
    live: Option<&'a ProbeNow>,
    now: Timestamp,
}

impl Known<'_> {
    fn status(&self) -> Option<&farwatch_shared::wire::message::session::Status> {
        let now = self.live.and_then(|live| live.status.as_ref());
        now.map(|(_, status)| status).or(self.row.status.as_ref())
    }
}

/// Name, kind, help, value.
const OF_PROBES: &[(&str, &str, &str, Figure)] = &[
    (
        "probe_connected",
        "gauge",
        "Whether it has a session.",
        |p| {
            let connected = p.live.is_some_and(|live| live.connected_since.is_some());
            Some(f64::from(u8::from(connected)))
        },
    ),
    (
        "probe_over_tcp",
        "gauge",
        "Whether its session runs over TCP, because UDP is blocked.",
        |p| {
            Some(f64::from(u8::from(
                p.live.is_some_and(ProbeNow::is_over_tcp),
            )))
        },
    ),
    (
        "probe_last_heard_seconds",
        "gauge",
        "When it was last heard, seconds since 1970.",
        |p| {
            let heard = p
                .live
                .and_then(|live| live.last_heard)
                .max(p.row.last_heard);
            heard.map(|at| signed(at.secs()))
        },
    ),
    ("probe_devices", "gauge", "Devices that it watches.", |p| {
        p.status().map(|status| f64::from(status.devices))
    }),
    (
        "probe_polls_total",
        "counter",
        "Polls finished since its start.",
        |p| p.status().map(|status| float(status.polls_total)),
    ),
    (
        "probe_polls_overran_total",
        "counter",
        "Polls that did not finish in time, since its start.",
        |p| p.status().map(|status| float(status.polls_overran_total)),
    ),
    (
        "probe_spool_batches",
        "gauge",
        "Batches that Central has not acknowledged.",
        |p| p.status().map(|status| float(status.spool_batches)),
    ),
    ("probe_spool_bytes", "gauge", "Bytes of its spool.", |p| {
        p.status().map(|status| float(status.spool_bytes))
    }),
    (
        "probe_backlog_seconds",
        "gauge",
        "Age of the oldest batch that Central has not acknowledged; 0 when there is none.",
        |p| {
            let oldest = p.status()?.oldest_unacked;
            Some(if oldest == Timestamp(0) {
                0.0
            } else {
                signed((p.now.since(oldest) / 1_000).max(0))
            })
        },
    ),
    (
        "probe_resident_bytes",
        "gauge",
        "Memory that it uses.",
        |p| p.status().map(|status| float(status.rss_bytes)),
    ),
    (
        "probe_clock_offset_seconds",
        "gauge",
        "Its clock against Central's; positive: it is behind.",
        |p| p.live?.clock_offset_ms.map(|ms| signed(ms) / 1_000.0),
    ),
    (
        "probe_certificate_not_after_seconds",
        "gauge",
        "When its certificate ends, seconds since 1970.",
        |p| Some(signed(p.row.not_after.0.secs())),
    ),
];

fn of_probes(
    text: &mut Text,
    rows: &[ProbeRow],
    live: &[(farwatch_shared::id::ProbeId, ProbeNow)],
    names: Names,
    now: Timestamp,
) {
    let live: std::collections::HashMap<_, _> =
        live.iter().map(|(id, probe)| (*id, probe)).collect();
    let known: Vec<(String, Known<'_>)> = rows
        .iter()
        .map(|row| {
            let mut labels = vec![label("id", &row.id.to_string())];
            if names == Names::Shown {
                labels.extend([
                    label("customer", &row.customer_name),
                    label("site", &row.site_name),
                    label("probe", &row.name),
                ]);
            }
            let known = Known {
                row,
                live: live.get(&row.id).copied(),
                now,
            };
            (labels.join(","), known)
        })
        .collect();
    for (name, kind, help, figure) in OF_PROBES {
        text.family(name, kind, help);
        for (labels, known) in &known {
            if let Some(value) = figure(known) {
                text.labelled(name, labels, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        assert_eq!(
            label("site", "a\"} 1\nevil{x=\"\\"),
            r#"site="a\"} 1\nevil{x=\"\\""#
        );
    }
}
