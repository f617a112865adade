//! What is committed of each probe's batches: watermark, ranges, crcs, counts; in the caller's transaction.
//!
//! The same tables stand in central.db (events lane) and in metrics.db (samples lane): each file proves its own data,
//! and either may be restored to another age. Nothing here begins or ends a transaction. A repeat is known for ever by
//! the watermark; the crc, kept as long as a probe may hold a batch, tells a repeat from a clone's other content.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{BatchKey, Epoch, GapReason, Lane};
use farwatch_shared::session::{CRC_WINDOW_MS, SeqSet};
use farwatch_shared::wire::message::batch::{Batch, Dropped};
use farwatch_shared::wire::message::session::LaneCommitted;
use rusqlite::{Connection, params};

mod crcs;
mod ranges;

use crcs::Known;

/// The tables, for the migrations of both files.
pub const SCHEMA: &str = include_str!("store/migrations/0002_ledger.sql");

/// Whether a batch is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Counted as done now: store it in this transaction.
    New,
    /// Committed before, the same content (or set aside, or dropped): ack it, store nothing.
    Repeat,
    /// Something else is committed under its key: name it in `Ack.conflicts`, store nothing.
    Conflict,
    /// It would need one range too many: decided but not done; the probe sends it again after the lowest hole.
    Full,
}

/// A batch as the ledger sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key at the probe.
    pub key: BatchKey,
    /// CRC-32 of its body.
    pub crc: u32,
    /// Newest time in it, probe's clock.
    pub to: Timestamp,
    /// Samples in it, as far as it could be decoded.
    pub samples: u64,
    /// Kept raw because its layout or form is not known (yet).
    pub undecoded: bool,
}

impl Entry {
    /// Of a batch whose lane is known; samples and `undecoded` are the caller's to set.
    #[must_use]
    pub const fn of(batch: &Batch, lane: Lane) -> Self {
        Self {
            key: BatchKey {
                epoch: batch.epoch,
                lane,
                seq: batch.seq,
            },
            crc: batch.crc,
            to: batch.to,
            samples: 0,
            undecoded: false,
        }
    }
}

/// One lane for the ledger API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneLedger {
    /// Which start.
    pub epoch: Epoch,
    /// Which lane.
    pub lane: Lane,
    /// Every seq up to and including this one is done.
    pub watermark: u64,
    /// Done ranges above it.
    pub ranges: Vec<(u64, u64)>,
    /// Batches admitted.
    pub batches: u64,
    /// Samples in them.
    pub samples: u64,
    /// Batches kept raw.
    pub undecoded: u64,
    /// Batches set aside.
    pub quarantined: u64,
    /// Seqs dropped at the probe and not committed before.
    pub dropped: u64,
    /// Batches that came again.
    pub repeats: u64,
    /// Batches with other content under a committed key.
    pub conflicts: u64,
    /// Newest time in a committed batch, probe's clock; 0 = none.
    pub newest: Timestamp,
    /// Dropped ranges.
    pub dropped_ranges: Vec<DroppedRange>,
}

/// A range that a probe dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DroppedRange {
    /// First seq, inclusive.
    pub from_seq: u64,
    /// Last seq, inclusive.
    pub to_seq: u64,
    /// Earliest time in it, probe's clock.
    pub from: Timestamp,
    /// Latest time in it.
    pub to: Timestamp,
    /// [`GapReason`] code.
    pub reason: u8,
    /// How many of its seqs had not been committed: with 0 there is no gap.
    pub missing: u64,
}

/// Admits one batch: the watermark moves in the caller's transaction or not at all.
///
/// # Errors
/// SQLite's own; the caller's transaction (or savepoint) must then be rolled back.
pub fn admit(
    c: &Connection,
    probe: ProbeId,
    entry: &Entry,
    now: Timestamp,
) -> rusqlite::Result<Admission> {
    let key = entry.key;
    let seq = to_sql(key.seq)?;
    c.prepare_cached(
        "INSERT INTO lane_progress (probe_id, epoch, lane) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?
    .execute(params![probe, key.epoch, key.lane.code()])?;
    let admission = if ranges::is_done(c, probe, key)? {
        match crcs::compare(c, probe, entry)? {
            Known::Same => Admission::Repeat,
            Known::Other => Admission::Conflict,
            // Given up by a `dropped` record, and here it is after all, or a clone's under the same key.
            Known::GivenUp => {
                ranges::not_missing_after_all(c, probe, key)?;
                Admission::New
            }
        }
    } else if ranges::extend(c, probe, key, entry.to)? {
        Admission::New
    } else {
        Admission::Full
    };
    match admission {
        Admission::New => {
            crcs::put(c, probe, key, entry.crc, now)?;
            c.prepare_cached(
                "UPDATE lane_progress SET batches = batches + 1, samples = samples + ?4, undecoded = undecoded + ?5,
                     newest_ms = max(newest_ms, ?6), updated_ms = ?7
                 WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3",
            )?
            .execute(params![
                probe,
                key.epoch,
                key.lane.code(),
                to_sql(entry.samples)?,
                entry.undecoded,
                entry.to,
                now
            ])?;
        }
        Admission::Repeat | Admission::Conflict => {
            let column = if admission == Admission::Repeat {
                "repeats"
            } else {
                "conflicts"
            };
            c.prepare_cached(&format!(
                "UPDATE lane_progress SET {column} = {column} + 1 WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3"
            ))?
            .execute(params![probe, key.epoch, key.lane.code()])?;
        }
        Admission::Full => {
            tracing::debug!(probe.id = %probe, batch.seq = seq, "no room for one more range of this lane");
        }
    }
    Ok(admission)
}

/// Marks a range as done that the probe dropped; returns the seqs that were not committed before.
///
/// Empty: everything had come, there is no gap. Else the caller draws one over `from`..`to`. Telling it again changes
/// nothing, unless the range has grown.
///
/// # Errors
/// As [`admit`].
pub fn mark_dropped(
    c: &Connection,
    probe: ProbeId,
    dropped: &Dropped,
    now: Timestamp,
) -> rusqlite::Result<SeqSet> {
    let Some(lane) = Lane::from_code(dropped.lane) else {
        return Ok(SeqSet::new());
    };
    let (from, to) = (to_sql(dropped.from_seq.max(1))?, to_sql(dropped.to_seq)?);
    c.prepare_cached(
        "INSERT INTO lane_progress (probe_id, epoch, lane) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?
    .execute(params![probe, dropped.epoch, dropped.lane])?;
    let done = ranges::done_within(c, probe, dropped.epoch, lane, from, to)?;
    let missing = SeqSet::of(dropped.from_seq.max(1), dropped.to_seq).without(&done);
    if missing.is_empty() {
        return Ok(missing);
    }
    ranges::join(c, probe, dropped.epoch, lane, (from, to), dropped.to)?;
    crcs::give_up(c, probe, dropped.epoch, lane, &missing, now)?;
    let count = to_sql(missing.count())?;
    let quarantined = dropped.reason == GapReason::Quarantined.code();
    c.prepare_cached(
        "UPDATE lane_progress SET dropped = dropped + ?4, quarantined = quarantined + ?5,
             newest_ms = max(newest_ms, ?7), updated_ms = ?6
         WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3",
    )?
    .execute(params![
        probe,
        dropped.epoch,
        dropped.lane,
        if quarantined { 0 } else { count },
        if quarantined { count } else { 0 },
        now,
        dropped.to
    ])?;
    c.prepare_cached(
        "INSERT INTO lane_dropped (probe_id, epoch, lane, from_seq, to_seq, from_ms, to_ms, reason, missing)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (probe_id, epoch, lane, from_seq) DO UPDATE SET to_seq = max(to_seq, excluded.to_seq),
             from_ms = min(from_ms, excluded.from_ms), to_ms = max(to_ms, excluded.to_ms), missing = missing + excluded.missing",
    )?
    .execute(params![
        probe,
        dropped.epoch,
        dropped.lane,
        from,
        to,
        dropped.from,
        dropped.to,
        dropped.reason,
        count
    ])?;
    Ok(missing)
}

/// One lane as it travels in acks.
///
/// # Errors
/// SQLite's own.
pub fn committed_lane(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
    lane: Lane,
) -> rusqlite::Result<LaneCommitted> {
    Ok(LaneCommitted {
        epoch,
        lane: lane.code(),
        watermark: to_seq(ranges::watermark(c, probe, epoch, lane)?),
        ranges: ranges::all(c, probe, epoch, lane)?,
    })
}

/// Every lane of a probe that this file knows, for the hello's answer.
///
/// # Errors
/// SQLite's own.
pub fn committed(c: &Connection, probe: ProbeId) -> rusqlite::Result<Vec<LaneCommitted>> {
    lanes(c, probe)?
        .into_iter()
        .map(|(epoch, lane)| committed_lane(c, probe, epoch, lane))
        .collect()
}

/// Everything the ledger API shows of a probe from this file.
///
/// # Errors
/// SQLite's own.
pub fn ledger(c: &Connection, probe: ProbeId) -> rusqlite::Result<Vec<LaneLedger>> {
    lanes(c, probe)?
        .into_iter()
        .map(|(epoch, lane)| {
            let dropped_ranges = dropped_ranges(c, probe, epoch, lane)?;
            let ranges = ranges::all(c, probe, epoch, lane)?;
            c.prepare_cached(
                "SELECT watermark, batches, samples, undecoded, quarantined, dropped, repeats, conflicts, newest_ms
                 FROM lane_progress WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3",
            )?
            .query_row(params![probe, epoch, lane.code()], |row| {
                let count = |n| row.get::<_, i64>(n).map(to_seq);
                Ok(LaneLedger {
                    epoch,
                    lane,
                    watermark: count(0)?,
                    ranges,
                    batches: count(1)?,
                    samples: count(2)?,
                    undecoded: count(3)?,
                    quarantined: count(4)?,
                    dropped: count(5)?,
                    repeats: count(6)?,
                    conflicts: count(7)?,
                    newest: row.get(8)?,
                    dropped_ranges,
                })
            })
        })
        .collect()
}

/// Dropped ranges of a probe with something missing that overlap a time, for drawing gaps: (epoch, lane, range).
///
/// # Errors
/// SQLite's own.
pub fn gaps(
    c: &Connection,
    probe: ProbeId,
    from: Timestamp,
    to: Timestamp,
) -> rusqlite::Result<Vec<(Epoch, Lane, DroppedRange)>> {
    c.prepare_cached(
        "SELECT epoch, lane, from_seq, to_seq, from_ms, to_ms, reason, missing FROM lane_dropped
         WHERE probe_id = ?1 AND to_ms >= ?2 AND from_ms <= ?3 AND missing > 0 ORDER BY from_ms",
    )?
    .query_map(params![probe, from, to], |row| {
        let lane = Lane::from_code(row.get(1)?).unwrap_or(Lane::Samples);
        Ok((row.get(0)?, lane, dropped_range(row, 2)?))
    })?
    .collect()
}

/// Batches that were kept raw could be decoded after all (`samples` in them), or were set aside for good (`samples` 0).
///
/// # Errors
/// SQLite's own.
pub fn decoded(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
    lane: Lane,
    batches: u64,
    samples: u64,
    set_aside: bool,
) -> rusqlite::Result<()> {
    c.prepare_cached(
        "UPDATE lane_progress SET undecoded = max(0, undecoded - ?4), samples = samples + ?5, quarantined = quarantined + ?6
         WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3",
    )?
    .execute(params![
        probe,
        epoch,
        lane.code(),
        to_sql(batches)?,
        to_sql(samples)?,
        if set_aside { to_sql(batches)? } else { 0 }
    ])?;
    Ok(())
}

/// Until when everything of a probe is here without a hole, for `HelloAnswer::newest_committed`.
///
/// From metrics.db: before the lowest hole of any lane that moved lately, else the newest time of all; 0 = nothing yet.
///
/// A probe whose store is younger than this writes a gap from here on: holes of its lost store are then covered.
///
/// # Errors
/// SQLite's own.
pub fn complete_to(c: &Connection, probe: ProbeId, now: Timestamp) -> rusqlite::Result<Timestamp> {
    let mut complete = newest(c, probe)?;
    let holes: Vec<(Epoch, u8, Timestamp, i64)> = c
        .prepare_cached(
            "SELECT epoch, lane, watermark_ms, watermark FROM lane_progress WHERE probe_id = ?1 AND updated_ms > ?2
             AND EXISTS (SELECT 1 FROM lane_ranges WHERE lane_ranges.probe_id = lane_progress.probe_id
                 AND lane_ranges.epoch = lane_progress.epoch AND lane_ranges.lane = lane_progress.lane)",
        )?
        .query_map(params![probe, now.plus_ms(-CRC_WINDOW_MS)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    for (epoch, lane, watermark_ms, watermark) in holes {
        let before = if watermark > 0 {
            Some(watermark_ms)
        } else {
            // Nothing below the hole: an earlier epoch ends before it, or knowledge begins with the lowest range.
            c.prepare_cached(
                "SELECT coalesce((SELECT max(newest_ms) FROM lane_progress WHERE probe_id = ?1 AND epoch < ?2 AND newest_ms > 0),
                     (SELECT to_ms FROM lane_ranges WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3 ORDER BY from_seq LIMIT 1))",
            )?
            .query_row(params![probe, epoch, lane], |row| row.get(0))?
        };
        complete = complete.min(before.unwrap_or(complete));
    }
    Ok(complete)
}

/// The newest time in any committed batch of a probe; 0 = none.
///
/// # Errors
/// SQLite's own.
pub fn newest(c: &Connection, probe: ProbeId) -> rusqlite::Result<Timestamp> {
    c.prepare_cached("SELECT max(newest_ms) FROM lane_progress WHERE probe_id = ?1")?
        .query_row([probe], |row| row.get::<_, Option<Timestamp>>(0))
        .map(Option::unwrap_or_default)
}

/// Forgets the crcs of what was committed longer ago than any probe may hold a batch; at most `limit` rows at a time.
///
/// Returns how many rows went.
///
/// # Errors
/// SQLite's own.
pub fn prune_crcs(c: &Connection, now: Timestamp, limit: u32) -> rusqlite::Result<usize> {
    prune_crcs_before(c, now.plus_ms(-CRC_WINDOW_MS), limit)
}

/// The same with a moment of the caller's.
///
/// # Errors
/// SQLite's own.
pub fn prune_crcs_before(c: &Connection, before: Timestamp, limit: u32) -> rusqlite::Result<usize> {
    let gone = c
        .prepare_cached(
            "DELETE FROM lane_crcs WHERE (probe_id, epoch, lane, block) IN
                 (SELECT probe_id, epoch, lane, block FROM lane_crcs WHERE newest_ms < ?1 LIMIT ?2)",
        )?
        .execute(params![before, limit])?;
    if gone > 0 {
        c.prepare_cached("UPDATE ledger_meta SET crcs_pruned_ms = max(crcs_pruned_ms, ?1)")?
            .execute([before])?;
    }
    Ok(gone)
}

/// Forgets a probe that was deleted with its data.
///
/// # Errors
/// SQLite's own.
pub fn forget(c: &Connection, probe: ProbeId) -> rusqlite::Result<()> {
    for table in ["lane_progress", "lane_ranges", "lane_crcs", "lane_dropped"] {
        c.prepare_cached(&format!("DELETE FROM {table} WHERE probe_id = ?1"))?
            .execute([probe])?;
    }
    Ok(())
}

fn lanes(c: &Connection, probe: ProbeId) -> rusqlite::Result<Vec<(Epoch, Lane)>> {
    let all: Vec<(Epoch, u8)> = c
        .prepare_cached(
            "SELECT epoch, lane FROM lane_progress WHERE probe_id = ?1 ORDER BY epoch, lane",
        )?
        .query_map([probe], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(all
        .into_iter()
        .filter_map(|(epoch, lane)| Some((epoch, Lane::from_code(lane)?)))
        .collect())
}

fn dropped_ranges(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
    lane: Lane,
) -> rusqlite::Result<Vec<DroppedRange>> {
    c.prepare_cached(
        "SELECT from_seq, to_seq, from_ms, to_ms, reason, missing FROM lane_dropped
         WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3 ORDER BY from_seq",
    )?
    .query_map(params![probe, epoch, lane.code()], |row| {
        dropped_range(row, 0)
    })?
    .collect()
}

fn dropped_range(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<DroppedRange> {
    Ok(DroppedRange {
        from_seq: to_seq(row.get(at)?),
        to_seq: to_seq(row.get(at + 1)?),
        from: row.get(at + 2)?,
        to: row.get(at + 3)?,
        reason: row.get(at + 4)?,
        missing: to_seq(row.get(at + 5)?),
    })
}

fn to_sql(n: u64) -> rusqlite::Result<i64> {
    i64::try_from(n).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

fn to_seq(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

#[cfg(test)]
mod tests;
