//! What the uplink reads.

use std::collections::BTreeMap;

use farwatch_shared::model::{BatchKey, Epoch, Lane};
use farwatch_shared::session::sender::{Heads, LaneStock, Order, Stock};
use farwatch_shared::session::{SeqSet, crc};
use farwatch_shared::wire::message::batch::{Batch, Dropped};
use rusqlite::{Connection, params};

use super::{Read, start, to_seq, to_sql};

pub(super) fn stock(c: &Connection) -> rusqlite::Result<Stock> {
    let held = seqs(
        c,
        "SELECT epoch, lane, seq FROM batches ORDER BY epoch, lane, seq",
    )?;
    let waiting = seqs(
        c,
        "SELECT epoch, lane, seq FROM batches INDEXED BY batches_waiting WHERE acked_ms IS NULL ORDER BY lane, id",
    )?;
    let heads = heads(c)?;
    let lanes = heads
        .lanes
        .into_iter()
        .map(|(epoch, lane, next_seq)| {
            let held = held.get(&(epoch, lane)).cloned().unwrap_or_default();
            let acked = match waiting.get(&(epoch, lane)) {
                Some(waiting) => held.without(waiting),
                None => held.clone(),
            };
            LaneStock {
                epoch,
                lane,
                next_seq,
                held,
                acked,
            }
        })
        .collect();
    let (lease, known_from): (i64, _) = c
        .prepare_cached("SELECT lease, known_from_ms FROM meta")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Stock {
        running: heads.running,
        lease: to_seq(lease),
        lanes,
        dropped: heads.dropped,
        known_from,
    })
}

pub(super) fn heads(c: &Connection) -> rusqlite::Result<Heads> {
    let lanes: Vec<(Epoch, u8, i64)> = c
        .prepare_cached("SELECT epoch, lane, next_seq FROM lanes ORDER BY epoch, lane")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    Ok(Heads {
        running: start::running(c)?,
        lanes: lanes
            .into_iter()
            .filter_map(|(epoch, lane, next)| Some((epoch, Lane::from_code(lane)?, to_seq(next))))
            .collect(),
        dropped: dropped(c)?,
    })
}

pub(super) fn dropped(c: &Connection) -> rusqlite::Result<Vec<Dropped>> {
    c.prepare_cached(
        "SELECT epoch, lane, from_seq, to_seq, from_ms, to_ms, reason FROM dropped ORDER BY epoch, lane, from_seq",
    )?
    .query_map([], |row| {
        Ok(Dropped {
            epoch: row.get(0)?,
            lane: row.get(1)?,
            from_seq: to_seq(row.get(2)?),
            to_seq: to_seq(row.get(3)?),
            from: row.get(4)?,
            to: row.get(5)?,
            reason: row.get(6)?,
        })
    })?
    .collect()
}

pub(super) fn read(c: &Connection, order: &Order) -> rusqlite::Result<Read> {
    let mut read = Read::default();
    let mut bytes = 0u64;
    let mut next = order.from_seq;
    let missing = |from: u64, below: u64| {
        (from..below).map(|seq| BatchKey {
            epoch: order.epoch,
            lane: order.lane,
            seq,
        })
    };
    let mut statement = c.prepare_cached(
        "SELECT seq, kind, version, crc, boot_id, boot_ms, from_ms, to_ms, body, size, made_ms
         FROM batches LEFT JOIN bodies USING (id)
         WHERE epoch = ?1 AND lane = ?2 AND seq BETWEEN ?3 AND ?4 ORDER BY seq",
    )?;
    let mut rows = statement.query(params![
        order.epoch,
        order.lane.code(),
        to_sql(order.from_seq)?,
        i64::try_from(order.to_seq).unwrap_or(i64::MAX)
    ])?;
    while let Some(row) = rows.next()? {
        let size = to_seq(row.get(9)?);
        if !read.batches.is_empty() && bytes + size > order.max_bytes {
            return Ok(read);
        }
        let seq = to_seq(row.get(0)?);
        read.missing.extend(missing(next, seq));
        next = seq + 1;
        let body: Vec<u8> = row.get::<_, Option<Vec<u8>>>(8)?.unwrap_or_default();
        let expected: u32 = row.get(3)?;
        if crc(&body) != expected {
            read.damaged.extend(missing(seq, seq + 1));
            continue;
        }
        bytes += size;
        read.batches.push(Batch {
            epoch: order.epoch,
            lane: order.lane.code(),
            seq,
            kind: row.get(1)?,
            version: row.get(2)?,
            crc: expected,
            boot_id: row.get(4)?,
            boot_ms: row.get(5)?,
            closed: row.get(10)?,
            from: row.get(6)?,
            to: row.get(7)?,
            body,
        });
    }
    // An order names no more than a few dozen seqs.
    read.missing.extend(missing(
        next,
        order.to_seq.saturating_add(1).min(next + 4_096),
    ));
    Ok(read)
}

fn seqs(c: &Connection, sql: &str) -> rusqlite::Result<BTreeMap<(Epoch, Lane), SeqSet>> {
    let mut out: BTreeMap<(Epoch, Lane), SeqSet> = BTreeMap::new();
    let mut statement = c.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(lane) = Lane::from_code(row.get(1)?) {
            let seq = to_seq(row.get(2)?);
            out.entry((row.get(0)?, lane)).or_default().insert(seq, seq);
        }
    }
    Ok(out)
}
