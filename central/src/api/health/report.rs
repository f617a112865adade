//! Central's own health for its admins: what waits, how late it is, whether counters agree, how long the disk lasts.

use std::collections::HashMap;
use std::path::Path;

use axum::Json;
use axum::extract::State;
use farwatch_shared::clock::Timestamp;
use farwatch_shared::sqlite::WriterFigures;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Central;
use super::super::error::ApiError;
use super::super::probes::spool_of;
use crate::metrics::disk::{DayFile, Forecast};
use crate::scope::Scope;
use crate::store::presence::SILENT_MS;
use crate::store::probes;
use crate::store::value::{Id, Time};

/// Probes named that are furthest behind.
const FURTHEST_BEHIND: usize = 10;

/// Central's own health.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in super::super) struct HealthReport {
    /// Its version.
    version: &'static str,
    /// When it started.
    started_at: Time,
    /// Memory that it uses, bytes.
    resident_bytes: u64,
    /// What a person should know.
    notes: Vec<String>,
    /// Its databases' writers.
    writers: Vec<WriterHealth>,
    /// What probes bring.
    ingest: IngestHealth,
    /// Who is connected.
    sessions: SessionHealth,
    /// Probes that hold data which Central has not acknowledged, the furthest behind first; at most ten.
    behind: Vec<ProbeBehind>,
    /// Whether counters' raw values agree with the sum of their increases.
    anchors: AnchorHealth,
    /// Notifications.
    notifications: NotificationHealth,
    /// The disk.
    disk: DiskHealth,
}

/// The one thread that writes a database.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct WriterHealth {
    /// Which file.
    name: &'static str,
    /// Jobs that wait for it now.
    waiting: u64,
    /// Commits since the start.
    commits: u64,
    /// How long commits take with their fsync, ms, over the last 512; null before the first.
    #[schema(required)]
    commit_ms_p50: Option<f64>,
    /// The slowest in a hundred of them.
    #[schema(required)]
    commit_ms_p99: Option<f64>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct IngestHealth {
    /// Samples committed a second, over the last minute.
    samples_per_s: f64,
    /// Samples that are here.
    samples: u64,
    /// Batches committed.
    batches: u64,
    /// Batches whose layout has not come yet.
    undecoded: u64,
    /// Batches set aside.
    quarantined: u64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct SessionHealth {
    /// Probes that are not revoked.
    probes: u64,
    /// Those heard within the last minute.
    reporting: u64,
    /// Those with a session.
    connected: u64,
    /// Those whose session runs over TCP, because UDP is blocked.
    over_tcp: u64,
}

/// A probe whose data waits.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ProbeBehind {
    /// Which probe.
    probe_id: Id,
    /// Its name.
    probe_name: String,
    /// Whose, by name.
    customer_name: String,
    /// Where, by name.
    site_name: String,
    /// Batches that wait there.
    batches: u64,
    /// Bytes of its spool.
    bytes: u64,
    /// Age of the oldest, seconds.
    behind_s: i64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct AnchorHealth {
    /// Pairs compared.
    checked: u64,
    /// Pairs that did not agree.
    mismatched: u64,
    /// When the last pair was compared.
    #[schema(required)]
    last_checked_at: Option<Time>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct NotificationHealth {
    /// Not yet sent.
    pending: u64,
    /// The oldest of them, seconds; null when there is none.
    #[schema(required)]
    oldest_s: Option<i64>,
    /// Given up.
    failed: u64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct DiskHealth {
    /// Bytes of the file system.
    total_bytes: u64,
    /// Free for Central.
    free_bytes: u64,
    /// What Central itself takes.
    used_bytes: u64,
    /// The parts of it.
    parts: Vec<DiskPart>,
    /// What a day of samples adds, roll-ups included, by the last whole days; null before there is one.
    #[schema(required)]
    bytes_per_day: Option<u64>,
    /// What Central will still grow by until old data goes as fast as new comes; null before a whole day.
    #[schema(required)]
    still_to_come_bytes: Option<u64>,
    /// Days until the disk is full; null when it is not in sight: retention ends the growth first, or it is not known yet.
    #[schema(required)]
    days_left: Option<f64>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
struct DiskPart {
    /// `central.db`, `metrics.db`, `samples`, `five_minutes`, `one_hour`.
    name: &'static str,
    /// Bytes.
    bytes: u64,
}

/// Central's own health.
#[utoipa::path(get, path = "/api/v1/health", tag = "health", operation_id = "get_health_report", responses((status = 200, body = HealthReport), (status = 403)))]
pub(super) async fn get_health_report(
    State(central): State<Central>,
    scope: Scope,
) -> Result<Json<HealthReport>, ApiError> {
    if scope.customer().is_some() {
        return Err(ApiError::Forbidden(
            "Central's own health is for admins of all customers".into(),
        ));
    }
    let now = central.now();
    let summary = central.metrics.summary().await?;
    let (rows, notifications) = central
        .read(move |c| {
            let rows = probes::list(c, &scope, None, None)?;
            let notifications = c.query_row(
                "SELECT count(*) FILTER (WHERE state = 'pending'), min(created_ms) FILTER (WHERE state = 'pending'),
                    count(*) FILTER (WHERE state = 'failed') FROM outbox",
                [],
                |row| {
                    let (pending, oldest, failed): (i64, Option<Timestamp>, i64) =
                        (row.get(0)?, row.get(1)?, row.get(2)?);
                    Ok(NotificationHealth {
                        pending: pending.cast_unsigned(),
                        oldest_s: oldest.map(|oldest| (now.since(oldest) / 1_000).max(0)),
                        failed: failed.cast_unsigned(),
                    })
                },
            )?;
            Ok((rows, notifications))
        })
        .await?;
    let live = central.live.probes().all();
    let heard = |at: Timestamp| now.since(at) < SILENT_MS;
    let sessions = SessionHealth {
        probes: live.len() as u64,
        reporting: live
            .iter()
            .filter(|(_, p)| p.last_heard.is_some_and(heard))
            .count() as u64,
        connected: live
            .iter()
            .filter(|(_, p)| p.connected_since.is_some())
            .count() as u64,
        over_tcp: live.iter().filter(|(_, p)| p.is_over_tcp()).count() as u64,
    };
    let by_id: HashMap<_, _> = live.iter().map(|(id, probe)| (*id, probe)).collect();
    let mut behind: Vec<ProbeBehind> = rows
        .iter()
        .filter(|row| row.revoked.is_none())
        .filter_map(|row| {
            let status = by_id.get(&row.id).and_then(|probe| probe.status.as_ref());
            let spool = spool_of(status.map(|(_, status)| status).or(row.status.as_ref()));
            let oldest = spool.oldest_unacked_at?;
            Some(ProbeBehind {
                probe_id: row.id.into(),
                probe_name: row.name.clone(),
                customer_name: row.customer_name.clone(),
                site_name: row.site_name.clone(),
                batches: spool.batches,
                bytes: spool.bytes,
                behind_s: (now.since(oldest.0) / 1_000).max(0),
            })
        })
        .collect();
    behind.sort_by_key(|probe| std::cmp::Reverse(probe.behind_s));
    behind.truncate(FURTHEST_BEHIND);
    let disk = disk(&central, now)?;
    let mut notes = super::super::overview::notes(&central);
    notes.extend(disk.days_left.filter(|days| *days < 30.0).map(|days| {
        format!("Central's disk is full in {days:.0} days at this rate: make room, or keep samples for a shorter time (retention in central.toml)")
    }));
    if summary.anchors.mismatched > 0 {
        notes.push(format!(
            "{} of {} pairs of anchors do not agree: counters were changed at devices, or samples are missing; the devices' pages say which",
            summary.anchors.mismatched, summary.anchors.checked
        ));
    }
    if summary.quarantined > 0 {
        notes.push(format!(
            "{} batches could not be read and were set aside: they become readable with an update, or stay gaps",
            summary.quarantined
        ));
    }
    Ok(Json(HealthReport {
        version: env!("CARGO_PKG_VERSION"),
        started_at: Time(central.started),
        resident_bytes: farwatch_shared::telemetry::resident_bytes(),
        notes,
        writers: vec![
            writer("central.db", central.store.writer().figures()),
            writer("metrics.db", central.metrics.writer().figures()),
        ],
        ingest: IngestHealth {
            samples_per_s: central.metrics.samples_per_s(),
            samples: summary.samples,
            batches: summary.batches,
            undecoded: summary.undecoded,
            quarantined: summary.quarantined,
        },
        sessions,
        behind,
        anchors: AnchorHealth {
            checked: summary.anchors.checked,
            mismatched: summary.anchors.mismatched,
            last_checked_at: summary.anchors.last_checked.map(Time),
        },
        notifications,
        disk,
    }))
}

fn writer(name: &'static str, figures: WriterFigures) -> WriterHealth {
    WriterHealth {
        name,
        waiting: figures.waiting,
        commits: figures.commits,
        commit_ms_p50: figures.p50.map(|time| time.as_secs_f64() * 1_000.0),
        commit_ms_p99: figures.p99.map(|time| time.as_secs_f64() * 1_000.0),
    }
}

fn disk(central: &Central, now: Timestamp) -> Result<DiskHealth, ApiError> {
    let dir = &central.settings.data_dir;
    let stat = nix::sys::statvfs::statvfs(dir).map_err(|error| ApiError::Internal(error.into()))?;
    let free_bytes = stat.blocks_available().saturating_mul(stat.fragment_size());
    let days: Vec<DayFile> = central
        .metrics
        .day_files()
        .map_err(|error| ApiError::Internal(error.into()))?;
    let of = |name: &str| {
        days.iter()
            .filter(|day| day.what == name)
            .map(|day| day.bytes)
            .sum::<u64>()
    };
    let parts = vec![
        DiskPart {
            name: "central.db",
            bytes: database_bytes(dir, "central.db"),
        },
        DiskPart {
            name: "metrics.db",
            bytes: database_bytes(dir, "metrics.db"),
        },
        DiskPart {
            name: "samples",
            bytes: of("samples"),
        },
        DiskPart {
            name: "five_minutes",
            bytes: of("five_minutes"),
        },
        DiskPart {
            name: "one_hour",
            bytes: of("one_hour"),
        },
    ];
    let forecast = Forecast::of(&days, &central.metrics.settings(), now);
    Ok(DiskHealth {
        total_bytes: stat.blocks().saturating_mul(stat.fragment_size()),
        free_bytes,
        used_bytes: parts.iter().map(|part| part.bytes).sum(),
        parts,
        bytes_per_day: forecast.map(|forecast| forecast.bytes_per_day),
        still_to_come_bytes: forecast.map(|forecast| forecast.still_to_come),
        days_left: forecast.and_then(|forecast| forecast.days_left(free_bytes)),
    })
}

/// A database and what SQLite keeps beside it.
fn database_bytes(dir: &Path, name: &str) -> u64 {
    ["", "-wal", "-shm"]
        .iter()
        .filter_map(|suffix| std::fs::metadata(dir.join(format!("{name}{suffix}"))).ok())
        .map(|file| file.len())
        .sum()
}
