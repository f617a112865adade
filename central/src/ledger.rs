//! What is committed of each probe's batches: watermark, ranges, crcs, counts; in the caller's transaction.
//!
//! The same tables stand in central.db (events lane) and in metrics.db (samples lane): each file proves its own data,
//! and either may be restored to another age. Nothing here begins or ends a transaction. A repeat is known for ever by
//! the watermark; the crc, kept as long as a probe may hold a batch, tells a repeat from a clone's other content.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{BatchKey, Epoch, GapReason, Lane};
use farwatch_shared::session::{CRC_WINDOW_MS, MAX_RANGES, SeqSet};
use farwatch_shared::wire::message::batch::{Batch, Dropped};
use farwatch_shared::wire::message::session::LaneCommitted;
use rusqlite::{Connection, OptionalExtension as _, params};

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
    let admission = if is_done(c, probe, key)? {
        compare(c, probe, entry)?
    } else if extend(c, probe, key)? {
        Admission::New
    } else {
        Admission::Full
    };
    match admission {
        Admission::New => {
            put_crc(c, probe, key, entry.crc, now)?;
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
    let done = done_within(c, probe, dropped.epoch, lane, from, to)?;
    let missing = SeqSet::of(dropped.from_seq.max(1), dropped.to_seq).without(&done);
    if missing.is_empty() {
        return Ok(missing);
    }
    join(c, probe, dropped.epoch, lane, from, to)?;
    let count = to_sql(missing.count())?;
    let quarantined = dropped.reason == GapReason::Quarantined.code();
    c.prepare_cached(
        "UPDATE lane_progress SET dropped = dropped + ?4, quarantined = quarantined + ?5, updated_ms = ?6
         WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3",
    )?
    .execute(params![
        probe,
        dropped.epoch,
        dropped.lane,
        if quarantined { 0 } else { count },
        if quarantined { count } else { 0 },
        now
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
        watermark: to_seq(watermark(c, probe, epoch, lane)?),
        ranges: ranges(c, probe, epoch, lane)?,
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
            let ranges = ranges(c, probe, epoch, lane)?;
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

fn watermark(c: &Connection, probe: ProbeId, epoch: Epoch, lane: Lane) -> rusqlite::Result<i64> {
    c.prepare_cached(
        "SELECT watermark FROM lane_progress WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3",
    )?
    .query_row(params![probe, epoch, lane.code()], |row| row.get(0))
    .optional()
    .map(Option::unwrap_or_default)
}

fn is_done(c: &Connection, probe: ProbeId, key: BatchKey) -> rusqlite::Result<bool> {
    let seq = to_sql(key.seq)?;
    if seq <= watermark(c, probe, key.epoch, key.lane)? {
        return Ok(true);
    }
    c.prepare_cached(
        "SELECT to_seq >= ?4 FROM lane_ranges WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3 AND from_seq <= ?4
         ORDER BY from_seq DESC LIMIT 1",
    )?
    .query_row(params![probe, key.epoch, key.lane.code(), seq], |row| row.get(0))
    .optional()
    .map(Option::unwrap_or_default)
}

/// A done seq comes again: the same content, or a clone's?
fn compare(c: &Connection, probe: ProbeId, entry: &Entry) -> rusqlite::Result<Admission> {
    let key = entry.key;
    let known: Option<Vec<u8>> = c
        .prepare_cached(
            "SELECT substr(crcs, ?5, 4) FROM lane_crcs WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3 AND block = ?4",
        )?
        .query_row(
            params![probe, key.epoch, key.lane.code(), block(key.seq)?, offset(key.seq) + 1],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(bytes) = known {
        let crc = bytes.try_into().map_or(0, u32::from_le_bytes);
        // 0: dropped or set aside before it came, or a crc that is 0.
        return Ok(if crc == 0 || crc == entry.crc {
            Admission::Repeat
        } else {
            Admission::Conflict
        });
    }
    // The crc is gone: what is committed was committed before the horizon. A batch with a later time is another one.
    let horizon: Timestamp = c
        .prepare_cached("SELECT crcs_pruned_ms FROM ledger_meta")?
        .query_row([], |row| row.get(0))?;
    Ok(if horizon.ms() > 0 && entry.to > horizon {
        Admission::Conflict
    } else {
        Admission::Repeat
    })
}

/// Counts a seq as done that is not; false when its range has no room.
fn extend(c: &Connection, probe: ProbeId, key: BatchKey) -> rusqlite::Result<bool> {
    let seq = to_sql(key.seq)?;
    let at = watermark(c, probe, key.epoch, key.lane)?;
    if seq > at + 1 && !touches(c, probe, key, seq)? {
        let count: i64 = c
            .prepare_cached(
                "SELECT count(*) FROM lane_ranges WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3",
            )?
            .query_row(params![probe, key.epoch, key.lane.code()], |row| row.get(0))?;
        if usize::try_from(count).is_ok_and(|count| count >= MAX_RANGES) {
            return Ok(false);
        }
    }
    join(c, probe, key.epoch, key.lane, seq, seq)?;
    Ok(true)
}

fn touches(c: &Connection, probe: ProbeId, key: BatchKey, seq: i64) -> rusqlite::Result<bool> {
    c.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM lane_ranges WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3
             AND from_seq = ?4 + 1)
         OR coalesce((SELECT to_seq = ?4 - 1 FROM lane_ranges WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3
             AND from_seq < ?4 ORDER BY from_seq DESC LIMIT 1), 0)",
    )?
    .query_row(params![probe, key.epoch, key.lane.code(), seq], |row| row.get(0))
}

/// Adds `from..=to` to a lane's ranges, joining what touches, and lets the watermark swallow what has reached it.
fn join(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
    lane: Lane,
    from: i64,
    to: i64,
) -> rusqlite::Result<()> {
    let at = watermark(c, probe, epoch, lane)?;
    // The usual case: the next seq of a lane without holes.
    let (mut low, mut high) = (from, to);
    let touched: (Option<i64>, Option<i64>) = c
        .prepare_cached(
            "SELECT min(from_seq), max(to_seq) FROM lane_ranges WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3
             AND from_seq <= ?5 + 1 AND to_seq >= ?4 - 1",
        )?
        .query_row(params![probe, epoch, lane.code(), from, to], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if let (Some(first), Some(last)) = touched {
        low = low.min(first);
        high = high.max(last);
        c.prepare_cached(
            "DELETE FROM lane_ranges WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3 AND from_seq BETWEEN ?4 AND ?5",
        )?
        .execute(params![probe, epoch, lane.code(), low, high])?;
    }
    if low <= at + 1 {
        c.prepare_cached(
            "UPDATE lane_progress SET watermark = max(watermark, ?4) WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3",
        )?
        .execute(params![probe, epoch, lane.code(), high])?;
    } else {
        c.prepare_cached(
            "INSERT INTO lane_ranges (probe_id, epoch, lane, from_seq, to_seq) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![probe, epoch, lane.code(), low, high])?;
    }
    Ok(())
}

fn done_within(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
    lane: Lane,
    from: i64,
    to: i64,
) -> rusqlite::Result<SeqSet> {
    let mut done = SeqSet::of(1, to_seq(watermark(c, probe, epoch, lane)?));
    let mut statement = c.prepare_cached(
        "SELECT from_seq, to_seq FROM lane_ranges WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3
         AND from_seq <= ?5 AND to_seq >= ?4",
    )?;
    let mut rows = statement.query(params![probe, epoch, lane.code(), from, to])?;
    while let Some(row) = rows.next()? {
        done.insert(to_seq(row.get(0)?), to_seq(row.get(1)?));
    }
    Ok(done)
}

fn put_crc(
    c: &Connection,
    probe: ProbeId,
    key: BatchKey,
    crc: u32,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let at = params![probe, key.epoch, key.lane.code(), block(key.seq)?];
    let known: Option<Vec<u8>> = c
        .prepare_cached(
            "SELECT crcs FROM lane_crcs WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3 AND block = ?4",
        )?
        .query_row(at, |row| row.get(0))
        .optional()?;
    let mut crcs = known.unwrap_or_default();
    let offset = usize::try_from(offset(key.seq)).expect("an offset is below 1,024");
    if crcs.len() < offset + 4 {
        crcs.resize(offset + 4, 0);
    }
    crcs[offset..offset + 4].copy_from_slice(&crc.to_le_bytes());
    c.prepare_cached(
        "INSERT INTO lane_crcs (probe_id, epoch, lane, block, crcs, newest_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET crcs = excluded.crcs, newest_ms = max(newest_ms, excluded.newest_ms)",
    )?
    .execute(params![
        probe,
        key.epoch,
        key.lane.code(),
        block(key.seq)?,
        crcs,
        now
    ])?;
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

fn ranges(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
    lane: Lane,
) -> rusqlite::Result<Vec<(u64, u64)>> {
    c.prepare_cached(
        "SELECT from_seq, to_seq FROM lane_ranges WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3
         ORDER BY from_seq",
    )?
    .query_map(params![probe, epoch, lane.code()], |row| {
        Ok((to_seq(row.get(0)?), to_seq(row.get(1)?)))
    })?
    .take(MAX_RANGES)
    .collect()
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

/// Seqs of one row of crcs.
const BLOCK: u64 = 256;

fn block(seq: u64) -> rusqlite::Result<i64> {
    to_sql(seq / BLOCK)
}

/// Where a seq's crc starts in its row.
fn offset(seq: u64) -> i64 {
    i64::try_from(seq % BLOCK * 4).unwrap_or(0)
}

fn to_sql(n: u64) -> rusqlite::Result<i64> {
    i64::try_from(n).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

fn to_seq(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
