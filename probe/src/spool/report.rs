//! What `Status`, `farwatch-probe status` and `spool ledger` say.

use std::path::Path;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{GapReason, Lane};
use farwatch_shared::sqlite::{self, SqliteError};
use farwatch_shared::wire::message::batch::Dropped;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::{FILE, SpoolLimits, stock, to_seq};

/// The spool in a few numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SpoolStatus {
    /// Batches not acknowledged.
    pub waiting_batches: u64,
    /// Bytes of them.
    pub waiting_bytes: u64,
    /// Bytes of the file and its log.
    pub file_bytes: u64,
    /// Bytes it may hold.
    pub limit_bytes: u64,
    /// Earliest time in what is not acknowledged; 0 = nothing waits.
    pub oldest_unacked: Timestamp,
    /// Seconds until unsent data would have to go, were Central out of reach, at the rate of the last hours; -1 = not known yet.
    pub time_left_s: i64,
    /// How long acknowledged data is kept at present, seconds: less than 48 h when space is short.
    pub replay_window_s: u64,
}

/// Everything the spool knows about what it made, held and lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SpoolReport {
    /// The running epoch, 16 hex digits.
    pub running: String,
    /// The lease last stored.
    pub lease: u64,
    /// Every lane of every epoch that is remembered.
    pub lanes: Vec<LaneReport>,
}

/// One lane of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneReport {
    /// 16 hex digits.
    pub epoch: String,
    /// `events` or `samples`.
    pub lane: &'static str,
    /// The lowest seq still here; `next_seq` when there is none.
    pub first_seq: u64,
    /// The seq that the next batch will get.
    pub next_seq: u64,
    /// Batches ever made under these keys, dropped ones included.
    pub batches: u64,
    /// Samples in them.
    pub samples: u64,
    /// Seqs still here, inclusive ranges.
    pub held: Vec<(u64, u64)>,
    /// Those of them that are acknowledged.
    pub acked: Vec<(u64, u64)>,
    /// `dropped` records that Central has not passed yet.
    pub dropped: Vec<Dropped>,
    /// Everything ever dropped, by reason.
    pub dropped_totals: Vec<DroppedTotal>,
}

/// What went unsent for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DroppedTotal {
    /// Why: the words of the API.
    pub reason: &'static str,
    /// Batches.
    pub batches: u64,
    /// Samples in them, as far as they were ever stored.
    pub samples: u64,
}

/// The report of a spool that may be in use by a running probe.
///
/// # Errors
/// [`SqliteError`]: no such file, or not readable.
pub fn report_of_file(data_dir: &Path) -> Result<SpoolReport, SqliteError> {
    let path = data_dir.join(FILE);
    let mut connection = sqlite::open_reader(&path)?;
    let at = |source| SqliteError::Sqlite {
        path: path.clone(),
        source,
    };
    let transaction = connection.transaction().map_err(at)?;
    report(&transaction).map_err(at)
}

pub(super) fn report(c: &Connection) -> rusqlite::Result<SpoolReport> {
    let stock = stock::stock(c)?;
    let lanes = stock
        .lanes
        .iter()
        .map(|lane| {
            let at = params![lane.epoch, lane.lane.code()];
            let (batches, samples) = c
                .prepare_cached("SELECT batches, samples FROM lanes WHERE epoch = ?1 AND lane = ?2")?
                .query_row(at, |row| Ok((to_seq(row.get(0)?), to_seq(row.get(1)?))))?;
            let dropped_totals = c
                .prepare_cached("SELECT reason, batches, samples FROM dropped_totals WHERE epoch = ?1 AND lane = ?2")?
                .query_map(at, |row| {
                    Ok(DroppedTotal {
                        reason: GapReason::from_code(row.get(0)?).map_or("unknown", GapReason::as_str),
                        batches: to_seq(row.get(1)?),
                        samples: to_seq(row.get(2)?),
                    })
                })?
                .collect::<Result<_, _>>()?;
            Ok(LaneReport {
                epoch: lane.epoch.to_string(),
                lane: lane.lane.as_str(),
                first_seq: lane.held.first().unwrap_or(lane.next_seq),
                next_seq: lane.next_seq,
                batches,
                samples,
                held: lane.held.ranges().to_vec(),
                acked: lane.acked.ranges().to_vec(),
                dropped: stock
                    .dropped
                    .iter()
                    .filter(|dropped| dropped.epoch == lane.epoch && dropped.lane == lane.lane.code())
                    .cloned()
                    .collect(),
                dropped_totals,
            })
        })
        .collect::<rusqlite::Result<_>>()?;
    Ok(SpoolReport {
        running: stock.running.to_string(),
        lease: stock.lease,
        lanes,
    })
}

pub(super) fn status(
    c: &Connection,
    path: &Path,
    limits: &SpoolLimits,
    bound: u64,
    bytes_per_s: u64,
    now: Timestamp,
) -> rusqlite::Result<SpoolStatus> {
    let (waiting_batches, waiting_bytes): (i64, i64) = c
        .prepare_cached("SELECT count(*), coalesce(sum(size), 0) FROM batches INDEXED BY batches_waiting WHERE acked_ms IS NULL")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut oldest = Timestamp(0);
    for lane in Lane::ALL {
        let first: Option<Timestamp> = c
            .prepare_cached("SELECT min(from_ms) FROM (SELECT from_ms FROM batches WHERE acked_ms IS NULL AND lane = ?1 ORDER BY id LIMIT 1)")?
            .query_row([lane.code()], |row| row.get(0))?;
        if let Some(first) = first
            && (oldest.ms() == 0 || first < oldest)
        {
            oldest = first;
        }
    }
    let (squeezed, oldest_acked): (Timestamp, Option<Timestamp>) = c
        .prepare_cached("SELECT squeezed_ms, (SELECT min(acked_ms) FROM batches WHERE acked_ms IS NOT NULL) FROM meta")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let whole = limits.replay_ms;
    let replay_ms = if squeezed.ms() > 0 && now.since(squeezed) < whole {
        oldest_acked
            .map_or(0, |oldest| now.since(oldest))
            .clamp(0, whole)
    } else {
        whole
    };
    let name = path.with_extension("db-wal");
    let bytes_of = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    let left = bound.saturating_sub(to_seq(waiting_bytes));
    let by_size = left
        .checked_div(bytes_per_s)
        .map(|s| i64::try_from(s).unwrap_or(i64::MAX));
    let by_age = if oldest.ms() == 0 {
        limits.unacked_ms / 1_000
    } else {
        (limits.unacked_ms - now.since(oldest)).max(0) / 1_000
    };
    Ok(SpoolStatus {
        waiting_batches: to_seq(waiting_batches),
        waiting_bytes: to_seq(waiting_bytes),
        file_bytes: bytes_of(path) + bytes_of(&name),
        limit_bytes: bound,
        oldest_unacked: oldest,
        time_left_s: by_size.map_or(-1, |s| s.min(by_age)),
        replay_window_s: replay_ms.unsigned_abs() / 1_000,
    })
}
