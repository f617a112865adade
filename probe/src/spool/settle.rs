//! What an answer of Central changes: marks, `dropped` records, new keys.

use std::collections::{BTreeMap, BTreeSet};

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{BatchKey, Epoch, GapReason, Lane};
use farwatch_shared::session::SeqSet;
use farwatch_shared::session::sender::Settlement;
use farwatch_shared::wire::message::batch::{LAYOUTS, LayoutsBody};
use farwatch_shared::wire::{decode, encode};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::append::{self, Made};
use super::{Draft, layouts, start, to_seq, to_sql};

/// A range that is not here any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) epoch: Epoch,
    pub(super) lane: Lane,
    pub(super) from_seq: u64,
    pub(super) to_seq: u64,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) samples: u64,
}

pub(super) fn settle(
    c: &Connection,
    lease: Option<u64>,
    settlements: &[Settlement],
    now: Timestamp,
) -> rusqlite::Result<()> {
    if let Some(lease) = lease {
        c.prepare_cached("UPDATE meta SET lease = ?1")?
            .execute([to_sql(lease)?])?;
    }
    for settlement in settlements {
        let lane = (settlement.epoch, settlement.lane.code());
        for &(from, to) in settlement.acked.ranges() {
            c.prepare_cached(
                "UPDATE batches SET acked_ms = ?5 WHERE epoch = ?1 AND lane = ?2 AND seq BETWEEN ?3 AND ?4 AND acked_ms IS NULL",
            )?
            .execute(params![lane.0, lane.1, to_sql(from)?, to_sql(to)?, now])?;
        }
        if settlement.shared {
            share(c, settlement.epoch, settlement.lane)?;
        }
        // What was pruned since the hello is lost as well.
        let mut lost = settlement.lost.clone();
        for &(from, to) in settlement.lacking.ranges() {
            c.prepare_cached(
                "UPDATE batches SET acked_ms = NULL WHERE epoch = ?1 AND lane = ?2 AND seq BETWEEN ?3 AND ?4",
            )?
            .execute(params![lane.0, lane.1, to_sql(from)?, to_sql(to)?])?;
            let here: SeqSet = c
                .prepare_cached("SELECT seq FROM batches WHERE epoch = ?1 AND lane = ?2 AND seq BETWEEN ?3 AND ?4")?
                .query_map(params![lane.0, lane.1, to_sql(from)?, to_sql(to)?], |row| {
                    row.get::<_, i64>(0).map(to_seq)
                })?
                .collect::<rusqlite::Result<_>>()?;
            lost.extend(&SeqSet::of(from, to).without(&here));
        }
        if !lost.is_empty() {
            lost.subtract(&recorded(c, settlement.epoch, settlement.lane)?);
        }
        for &(from, to) in lost.ranges() {
            declare_lost(c, settlement.epoch, settlement.lane, from, to, now)?;
        }
        c.prepare_cached("DELETE FROM dropped WHERE epoch = ?1 AND lane = ?2 AND to_seq <= ?3")?
            .execute(params![lane.0, lane.1, to_sql(settlement.watermark)?])?;
    }
    Ok(())
}

/// Somebody else has written under this epoch's keys: gaps that were only told under them are told again.
fn share(c: &Connection, epoch: Epoch, lane: Lane) -> rusqlite::Result<()> {
    c.prepare_cached("INSERT INTO shared_epochs (epoch) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([epoch])?;
    c.prepare_cached(
        "INSERT INTO owed (lane, from_ms, to_ms, reason)
         SELECT lane, from_ms, to_ms, reason FROM dropped WHERE epoch = ?1 AND lane = ?2",
    )?
    .execute(params![epoch, lane.code()])?;
    Ok(())
}

/// The seqs of a lane that `dropped` records name.
fn recorded(c: &Connection, epoch: Epoch, lane: Lane) -> rusqlite::Result<SeqSet> {
    c.prepare_cached("SELECT from_seq, to_seq FROM dropped WHERE epoch = ?1 AND lane = ?2")?
        .query_map(params![epoch, lane.code()], |row| {
            Ok((to_seq(row.get(0)?), to_seq(row.get(1)?)))
        })?
        .collect()
}

/// Central lacks it and so do we: a gap with the times that the log of pruned data remembers.
fn declare_lost(
    c: &Connection,
    epoch: Epoch,
    lane: Lane,
    from_seq: u64,
    to_seq: u64,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let known: (Option<Timestamp>, Option<Timestamp>) = c
        .prepare_cached(
            "SELECT min(from_ms), max(to_ms) FROM pruned WHERE epoch = ?1 AND lane = ?2 AND to_seq >= ?3 AND from_seq <= ?4",
        )?
        .query_row(
            params![epoch, lane.code(), to_sql(from_seq)?, to_sql(to_seq)?],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    // Without a trace: between the neighbours that are still here.
    let neighbour = |sql: &str, seq: u64| -> rusqlite::Result<Option<Timestamp>> {
        c.prepare_cached(sql)?
            .query_row(params![epoch, lane.code(), to_sql(seq)?], |row| row.get(0))
            .optional()
    };
    let from = match known.0 {
        Some(from) => from,
        None => neighbour(
            "SELECT to_ms FROM batches WHERE epoch = ?1 AND lane = ?2 AND seq < ?3 ORDER BY seq DESC LIMIT 1",
            from_seq,
        )?
        .unwrap_or_default(),
    };
    let to = match known.1 {
        Some(to) => to,
        None => neighbour(
            "SELECT from_ms FROM batches WHERE epoch = ?1 AND lane = ?2 AND seq > ?3 ORDER BY seq LIMIT 1",
            to_seq,
        )?
        .unwrap_or(now),
    };
    let lost = Lost {
        epoch,
        lane,
        from_seq,
        to_seq,
        from,
        to: to.max(from),
        samples: 0,
    };
    record_dropped(c, &lost, GapReason::TooOld)
}

/// Writes a `dropped` record, counts it, and sees to it that a shared epoch's gap is told under a key of our own as well.
pub(super) fn record_dropped(
    c: &Connection,
    lost: &Lost,
    reason: GapReason,
) -> rusqlite::Result<()> {
    write_record(c, lost, reason)?;
    c.prepare_cached(
        "INSERT INTO dropped_totals (epoch, lane, reason, batches, samples) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET batches = batches + excluded.batches, samples = samples + excluded.samples",
    )?
    .execute(params![
        lost.epoch,
        lost.lane.code(),
        reason.code(),
        to_sql(lost.to_seq - lost.from_seq + 1)?,
        to_sql(lost.samples)?
    ])?;
    if !is_shared(c, lost.epoch)? {
        return Ok(());
    }
    if is_shared(c, start::running(c)?)? {
        c.prepare_cached(
            "INSERT INTO owed (lane, from_ms, to_ms, reason) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![lost.lane.code(), lost.from, lost.to, reason.code()])?;
        Ok(())
    } else {
        append::give_up(c, lost.lane, (lost.from, lost.to), 1, reason)
    }
}

fn is_shared(c: &Connection, epoch: Epoch) -> rusqlite::Result<bool> {
    c.prepare_cached("SELECT EXISTS (SELECT 1 FROM shared_epochs WHERE epoch = ?1)")?
        .query_row([epoch], |row| row.get(0))
}

/// Tells what is owed under keys of the epoch that has just begun.
pub(super) fn pay_owed(c: &Connection) -> rusqlite::Result<()> {
    let owed: Vec<(u8, Timestamp, Timestamp, u8)> = c
        .prepare_cached("SELECT lane, from_ms, to_ms, reason FROM owed ORDER BY id")?
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    for (lane, from, to, reason) in owed {
        if let (Some(lane), Some(reason)) = (Lane::from_code(lane), GapReason::from_code(reason)) {
            append::give_up(c, lane, (from, to), 1, reason)?;
        }
    }
    c.prepare_cached("DELETE FROM owed")?.execute([])?;
    Ok(())
}

/// Joins the record that ends just before with the same reason.
fn write_record(c: &Connection, lost: &Lost, reason: GapReason) -> rusqlite::Result<()> {
    let joined = c
        .prepare_cached(
            "UPDATE dropped SET to_seq = ?4, from_ms = min(from_ms, ?5), to_ms = max(to_ms, ?6)
             WHERE epoch = ?1 AND lane = ?2 AND to_seq = ?3 - 1 AND reason = ?7",
        )?
        .execute(params![
            lost.epoch,
            lost.lane.code(),
            to_sql(lost.from_seq)?,
            to_sql(lost.to_seq)?,
            lost.from,
            lost.to,
            reason.code()
        ])?;
    if joined == 0 {
        c.prepare_cached(
            "INSERT INTO dropped (epoch, lane, from_seq, to_seq, from_ms, to_ms, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET to_seq = max(to_seq, excluded.to_seq), from_ms = min(from_ms, excluded.from_ms),
                 to_ms = max(to_ms, excluded.to_ms)",
        )?
        .execute(params![
            lost.epoch,
            lost.lane.code(),
            to_sql(lost.from_seq)?,
            to_sql(lost.to_seq)?,
            lost.from,
            lost.to,
            reason.code()
        ])?;
    }
    Ok(())
}

pub(super) fn blame(c: &Connection, key: BatchKey) -> rusqlite::Result<u32> {
    c.prepare_cached(
        "UPDATE batches SET closes = closes + 1 WHERE epoch = ?1 AND lane = ?2 AND seq = ?3 RETURNING closes",
    )?
    .query_row(params![key.epoch, key.lane.code(), to_sql(key.seq)?], |row| row.get(0))
    .optional()
    .map(Option::unwrap_or_default)
}

pub(super) fn set_aside(c: &Connection, key: BatchKey, reason: GapReason) -> rusqlite::Result<()> {
    let row: Option<(i64, Timestamp, Timestamp, i64)> = c
        .prepare_cached(
            "SELECT id, from_ms, to_ms, samples FROM batches WHERE epoch = ?1 AND lane = ?2 AND seq = ?3",
        )?
        .query_row(params![key.epoch, key.lane.code(), to_sql(key.seq)?], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((id, from, to, samples)) = row else {
        return Ok(());
    };
    let lost = Lost {
        epoch: key.epoch,
        lane: key.lane,
        from_seq: key.seq,
        to_seq: key.seq,
        from,
        to,
        samples: to_seq(samples),
    };
    record_dropped(c, &lost, reason)?;
    delete(c, id)
}

pub(super) fn delete(c: &Connection, id: i64) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM bodies WHERE id = ?1")?
        .execute([id])?;
    c.prepare_cached("DELETE FROM batches WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// Moves batches into epochs of their own; returns the epoch that is running afterwards.
pub(super) fn rekey(
    c: &Connection,
    conflicts: &[BatchKey],
    made: &Made,
) -> rusqlite::Result<Epoch> {
    let mut by_epoch: BTreeMap<Epoch, BTreeSet<(Lane, u64)>> = BTreeMap::new();
    for key in conflicts {
        by_epoch
            .entry(key.epoch)
            .or_default()
            .insert((key.lane, key.seq));
    }
    let running = start::running(c)?;
    for (epoch, keys) in by_epoch {
        let to = twin(c, epoch, made)?;
        for (lane, seq) in keys {
            let key = BatchKey { epoch, lane, seq };
            move_batch(c, key, to)?;
        }
        if epoch == running {
            // A clone writes under this epoch's numbers: what is made from now on must not mix with it.
            start::begin_epoch(c, running.start())?;
        }
    }
    start::running(c)
}

/// The epoch that takes in what conflicts in `epoch`; made once, with that epoch's layouts.
fn twin(c: &Connection, epoch: Epoch, made: &Made) -> rusqlite::Result<Epoch> {
    let known: Option<Epoch> = c
        .prepare_cached("SELECT to_epoch FROM rekeyed WHERE from_epoch = ?1")?
        .query_row([epoch], |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        return Ok(known);
    }
    let to = start::mint_epoch(c, epoch.start())?;
    c.prepare_cached("INSERT INTO rekeyed (from_epoch, to_epoch) VALUES (?1, ?2)")?
        .execute(params![epoch, to])?;
    let known = layouts::of_epoch(c, epoch)?;
    layouts::put(c, to, &known)?;
    for draft in layouts::drafts(to, None, &known, made.now) {
        append::put(c, to, &draft, made)?;
    }
    Ok(to)
}

fn move_batch(c: &Connection, key: BatchKey, to: Epoch) -> rusqlite::Result<()> {
    let row = c
        .prepare_cached(
            "SELECT id, kind, version, boot_id, boot_ms, from_ms, to_ms, samples, made_ms, body
             FROM batches JOIN bodies USING (id) WHERE epoch = ?1 AND lane = ?2 AND seq = ?3",
        )?
        .query_row(
            params![key.epoch, key.lane.code(), to_sql(key.seq)?],
            |row| {
                let draft = Draft {
                    epoch: None,
                    lane: key.lane,
                    kind: row.get(1)?,
                    version: row.get(2)?,
                    from: row.get(5)?,
                    to: row.get(6)?,
                    samples: to_seq(row.get(7)?),
                    body: row.get(9)?,
                };
                let boot: (String, i64) = (row.get(3)?, row.get(4)?);
                Ok((
                    row.get::<_, i64>(0)?,
                    draft,
                    boot,
                    row.get::<_, Timestamp>(8)?,
                ))
            },
        )
        .optional()?;
    let Some((id, mut draft, (boot_id, boot_ms), made_ms)) = row else {
        return Ok(()); // dropped meanwhile, with its record
    };
    if draft.kind == LAYOUTS
        && let Ok(body) = decode::<LayoutsBody>(&draft.body)
        && body.epoch == key.epoch.0
    {
        draft.body = encode(&LayoutsBody {
            epoch: to.0,
            ..body
        });
    }
    let samples = draft.samples;
    let tick: Timestamp = c
        .prepare_cached("SELECT last_tick_ms FROM meta")?
        .query_row([], |row| row.get(0))?;
    append::put(
        c,
        to,
        &draft,
        &Made {
            boot_id: boot_id.into(),
            boot_ms,
            now: made_ms,
        },
    )?;
    // An old batch under a new key is no new tick, and its old key never counted as ours.
    c.prepare_cached("UPDATE meta SET last_tick_ms = ?1")?
        .execute([tick])?;
    c.prepare_cached("UPDATE lanes SET batches = batches - 1, samples = samples - ?3 WHERE epoch = ?1 AND lane = ?2")?
        .execute(params![key.epoch, key.lane.code(), to_sql(samples)?])?;
    delete(c, id)
}
