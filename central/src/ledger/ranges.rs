//! Watermark and ranges of one lane.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{BatchKey, Epoch, GapReason, Lane};
use farwatch_shared::session::{MAX_RANGES, SeqSet};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{to_seq, to_sql};

pub(super) fn watermark(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
    lane: Lane,
) -> rusqlite::Result<i64> {
    c.prepare_cached(
        "SELECT watermark FROM lane_progress WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3",
    )?
    .query_row(params![probe, epoch, lane.code()], |row| row.get(0))
    .optional()
    .map(Option::unwrap_or_default)
}

pub(super) fn is_done(c: &Connection, probe: ProbeId, key: BatchKey) -> rusqlite::Result<bool> {
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

/// Counts a seq as done that is not; false when its range has no room.
pub(super) fn extend(
    c: &Connection,
    probe: ProbeId,
    key: BatchKey,
    latest: Timestamp,
) -> rusqlite::Result<bool> {
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
    join(c, probe, key.epoch, key.lane, (seq, seq), latest)?;
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
pub(super) fn join(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
    lane: Lane,
    (from, to): (i64, i64),
    latest: Timestamp,
) -> rusqlite::Result<()> {
    let at = watermark(c, probe, epoch, lane)?;
    // The usual case: the next seq of a lane without holes.
    let (mut low, mut high) = (from, to);
    let touched: (Option<i64>, Option<i64>, Option<Timestamp>) = c
        .prepare_cached(
            "SELECT min(from_seq), max(to_seq), max(to_ms) FROM lane_ranges WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3
             AND from_seq <= ?5 + 1 AND to_seq >= ?4 - 1",
        )?
        .query_row(params![probe, epoch, lane.code(), from, to], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let latest = touched.2.map_or(latest, |known| known.max(latest));
    if let (Some(first), Some(last), _) = touched {
        low = low.min(first);
        high = high.max(last);
        c.prepare_cached(
            "DELETE FROM lane_ranges WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3 AND from_seq BETWEEN ?4 AND ?5",
        )?
        .execute(params![probe, epoch, lane.code(), low, high])?;
    }
    if low <= at + 1 {
        c.prepare_cached(
            "UPDATE lane_progress SET watermark = max(watermark, ?4), watermark_ms = max(watermark_ms, ?5) WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3",
        )?
        .execute(params![probe, epoch, lane.code(), high, latest])?;
    } else {
        c.prepare_cached(
            "INSERT INTO lane_ranges (probe_id, epoch, lane, from_seq, to_seq, to_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![probe, epoch, lane.code(), low, high, latest])?;
    }
    Ok(())
}

pub(super) fn done_within(
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

pub(super) fn all(
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

/// A seq that a `dropped` record had given up has come: one less is missing.
pub(super) fn not_missing_after_all(
    c: &Connection,
    probe: ProbeId,
    key: BatchKey,
) -> rusqlite::Result<()> {
    let reason: Option<u8> = c
        .prepare_cached(
            "UPDATE lane_dropped SET missing = missing - 1 WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3
             AND from_seq = (SELECT max(from_seq) FROM lane_dropped WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3
                 AND from_seq <= ?4) AND to_seq >= ?4 AND missing > 0 RETURNING reason",
        )?
        .query_row(
            params![probe, key.epoch, key.lane.code(), to_sql(key.seq)?],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(reason) = reason {
        let column = if reason == GapReason::Quarantined.code() {
            "quarantined"
        } else {
            "dropped"
        };
        c.prepare_cached(&format!(
            "UPDATE lane_progress SET {column} = max(0, {column} - 1) WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3"
        ))?
        .execute(params![probe, key.epoch, key.lane.code()])?;
    }
    Ok(())
}
