//! The crc of what is committed: tells a repeat from a clone's other content under the same key.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{BatchKey, Epoch, Lane};
use farwatch_shared::session::SeqSet;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Entry, to_sql};

/// What is known of a seq that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The same content, as far as can be known.
    Same,
    /// Other content.
    Other,
    /// No content: a `dropped` record said that it would not come.
    GivenUp,
}

/// Compares a batch with what is committed under its key.
pub(super) fn compare(c: &Connection, probe: ProbeId, entry: &Entry) -> rusqlite::Result<Known> {
    let key = entry.key;
    let known: Option<Vec<u8>> = c
        .prepare_cached(
            "SELECT substr(crcs, ?5, 4) FROM lane_crcs WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3 AND block = ?4",
        )?
        .query_row(
            params![probe, key.epoch, key.lane.code(), block(key.seq)?, offset(key.seq) + 1],
            // SQLite cuts NULL out of an empty blob: a block of which everything was given up.
            |row| Ok(row.get::<_, Option<Vec<u8>>>(0)?.unwrap_or_default()),
        )
        .optional()?;
    if let Some(bytes) = known {
        let crc = bytes.try_into().map_or(0, u32::from_le_bytes);
        return Ok(if crc == stored(entry.crc) {
            Known::Same
        } else if crc == 0 {
            Known::GivenUp
        } else {
            Known::Other
        });
    }
    // The crc is gone: what is committed was committed before the horizon. A batch with a later time is another one.
    let horizon: Timestamp = c
        .prepare_cached("SELECT crcs_pruned_ms FROM ledger_meta")?
        .query_row([], |row| row.get(0))?;
    Ok(if horizon.ms() > 0 && entry.to > horizon {
        Known::Other
    } else {
        Known::Same
    })
}

/// Remembers the crc of what is committed now.
pub(super) fn put(
    c: &Connection,
    probe: ProbeId,
    key: BatchKey,
    crc: u32,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let known: Option<Vec<u8>> = c
        .prepare_cached(
            "SELECT crcs FROM lane_crcs WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3 AND block = ?4",
        )?
        .query_row(
            params![probe, key.epoch, key.lane.code(), block(key.seq)?],
            |row| row.get(0),
        )
        .optional()?;
    let mut crcs = known.unwrap_or_default();
    let offset = usize::try_from(offset(key.seq)).expect("an offset is below 1,024");
    if crcs.len() < offset + 4 {
        crcs.resize(offset + 4, 0);
    }
    crcs[offset..offset + 4].copy_from_slice(&stored(crc).to_le_bytes());
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

/// Remembers that seqs are done without content.
pub(super) fn give_up(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
    lane: Lane,
    seqs: &SeqSet,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut insert = c.prepare_cached(
        "INSERT INTO lane_crcs (probe_id, epoch, lane, block, crcs, newest_ms) VALUES (?1, ?2, ?3, ?4, x'', ?5)
         ON CONFLICT DO UPDATE SET newest_ms = max(newest_ms, excluded.newest_ms)",
    )?;
    let blocks = seqs
        .ranges()
        .iter()
        .flat_map(|&(from, to)| from / BLOCK..=to / BLOCK);
    // A range beyond this is no probe's of ours; its late batches are then taken for repeats.
    for block in blocks.take(GIVEN_UP_BLOCKS) {
        insert.execute(params![probe, epoch, lane.code(), to_sql(block)?, now])?;
    }
    Ok(())
}

/// 0 means "no content".
fn stored(crc: u32) -> u32 {
    crc.max(1)
}

/// Seqs of one row.
const BLOCK: u64 = 256;
/// Rows that one `dropped` record makes at the most: a million seqs.
const GIVEN_UP_BLOCKS: usize = 4_096;

fn block(seq: u64) -> rusqlite::Result<i64> {
    to_sql(seq / BLOCK)
}

/// Where a seq's crc starts in its row.
fn offset(seq: u64) -> i64 {
    i64::try_from(seq % BLOCK * 4).unwrap_or(0)
}
