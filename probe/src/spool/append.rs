//! New batches: keys without holes, in the transaction of their data.

use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{BatchKey, Epoch, GapReason, Lane};
use rusqlite::{Connection, params};

use super::{Draft, Owed, settle, start, to_seq, to_sql};

/// In which boot, and when: both clocks are read at one moment, so that Central can tell when something was whatever
/// happens to the wall clock later.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) boot_id: Arc<str>,
    pub(super) boot_ms: i64,
    pub(super) now: Timestamp,
}

/// Appends drafts to the running epoch; `None` when one of them was encoded for another epoch, and nothing is written.
pub(super) fn append(
    c: &Connection,
    drafts: &[Draft],
    made: &Made,
) -> rusqlite::Result<Option<Vec<BatchKey>>> {
    let running = start::running(c)?;
    if drafts
        .iter()
        .any(|draft| draft.epoch.is_some_and(|epoch| epoch != running))
    {
        return Ok(None);
    }
    drafts
        .iter()
        .map(|draft| put(c, running, draft, made))
        .collect::<rusqlite::Result<_>>()
        .map(Some)
}

/// Appends one batch to any epoch.
pub(super) fn put(
    c: &Connection,
    epoch: Epoch,
    draft: &Draft,
    made: &Made,
) -> rusqlite::Result<BatchKey> {
    let seq = next_seqs(c, epoch, draft.lane, 1, draft.samples, draft.to)?;
    c.prepare_cached(
        "INSERT INTO batches (epoch, lane, seq, kind, version, crc, boot_id, boot_ms, from_ms, to_ms, samples, made_ms, size)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        epoch,
        draft.lane.code(),
        to_sql(seq)?,
        draft.kind,
        draft.version,
        farwatch_shared::session::crc(&draft.body),
        &*made.boot_id,
        made.boot_ms,
        draft.from,
        draft.to,
        to_sql(draft.samples)?,
        made.now,
        to_sql(draft.body.len() as u64)?
    ])?;
    c.prepare_cached("INSERT INTO bodies (id, body) VALUES (?1, ?2)")?
        .execute(params![c.last_insert_rowid(), draft.body])?;
    if draft.lane == Lane::Samples {
        // A gap of long ago does not move it back; a clock that was ahead may.
        c.prepare_cached(
            "UPDATE meta SET last_tick_ms = ?1 WHERE ?1 > last_tick_ms OR last_tick_ms > ?2",
        )?
        .execute(params![draft.to, made.now])?;
    }
    Ok(BatchKey {
        epoch,
        lane: draft.lane,
        seq,
    })
}

/// Records batches that never got a key because the disk was full.
pub(super) fn pay(c: &Connection, owed: &[Owed]) -> rusqlite::Result<()> {
    for owed in owed {
        let span = (owed.from, owed.to);
        give_up(c, owed.lane, span, owed.batches, GapReason::DiskFull)?;
    }
    Ok(())
}

/// Tells a gap under keys that never had a batch: seqs of the running epoch are taken and dropped at once.
pub(super) fn give_up(
    c: &Connection,
    lane: Lane,
    (from, to): (Timestamp, Timestamp),
    batches: u64,
    reason: GapReason,
) -> rusqlite::Result<()> {
    let epoch = start::running(c)?;
    let first = next_seqs(c, epoch, lane, batches, 0, to)?;
    let lost = settle::Lost {
        epoch,
        lane,
        from_seq: first,
        to_seq: first + batches - 1,
        from,
        to,
        samples: 0,
    };
    settle::record_dropped(c, &lost, reason)
}

/// Takes `count` seqs of a lane; returns the first.
fn next_seqs(
    c: &Connection,
    epoch: Epoch,
    lane: Lane,
    count: u64,
    samples: u64,
    at: Timestamp,
) -> rusqlite::Result<u64> {
    let next: i64 = c
        .prepare_cached(
            "INSERT INTO lanes (epoch, lane, next_seq, batches, samples, last_ms) VALUES (?1, ?2, 1 + ?3, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET next_seq = next_seq + ?3, batches = batches + ?3, samples = samples + ?4, last_ms = ?5
             RETURNING next_seq",
        )?
        .query_row(
            params![epoch, lane.code(), to_sql(count)?, to_sql(samples)?, at],
            |row| row.get(0),
        )?;
    Ok(to_seq(next) - count)
}
