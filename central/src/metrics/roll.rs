//! The pass that rolls up sealed hours, and what it leaves to be read.
//!
//! A sealed hour says in its own file whether its roll-ups are computed from what it holds. They are written first, then
//! it is said; a kill between the two computes them once more.

use std::collections::BTreeMap;
use std::sync::Arc;

use farwatch_shared::id::ProbeId;
use farwatch_shared::model::DeviceNo;
use rusqlite::{Connection, TransactionBehavior, params};

use super::chunk;
use super::days::{self, Days, ReadError, lock, roll_up_id};
use super::query::Resolution;
use super::rollup::{self, Rolled};
use super::shape::Shape;
use super::{Inner, MetricsError};

/// Hours of probes that are rolled up in one transaction.
const TOGETHER: u32 = 64;
/// No further hour is begun beyond so many hours of devices: some 12 MB.
const DEVICES: usize = 4_000;

/// One hour of one device, rolled up.
struct Done {
    probe: ProbeId,
    device: DeviceNo,
    hour: i64,
    shapes: Vec<Arc<Shape>>,
    fine: Vec<u8>,
    coarse: Vec<u8>,
}

impl Inner {
    /// Rolls up what was sealed since the last pass.
    pub(super) fn roll_pass(&self) -> Result<(), MetricsError> {
        self.lost_roll_ups()?;
        let days: Vec<i64> = lock(&self.to_roll).iter().copied().collect();
        for day in days {
            while self.roll_some(day)? {}
            lock(&self.to_roll).remove(&day);
        }
        Ok(())
    }

    /// Whether there is more.
    fn roll_some(&self, day: i64) -> Result<bool, MetricsError> {
        let found = self.days.read(day, |reader| {
            let mut hours: Vec<(ProbeId, i64)> = reader
                .connection
                .prepare_cached(
                    "SELECT probe_id, hour FROM sealed WHERE rolled = 0 ORDER BY hour LIMIT ?1",
                )?
                .query_map([TOGETHER], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let mut done = Vec::new();
            let mut begun = 0;
            for (probe, hour) in &hours {
                if done.len() > DEVICES {
                    break;
                }
                begun += 1;
                let sources: Vec<(i64, DeviceNo)> = reader
                    .connection
                    .prepare_cached(
                        "SELECT id, device FROM sources WHERE probe_id = ?1 ORDER BY id",
                    )?
                    .query_map([probe], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<Result<_, _>>()?;
                for (source, device) in sources {
                    let Some(bytes) = reader.chunk(source, *hour)? else {
                        continue;
                    };
                    let blocks = chunk::decode(&bytes, |hash| reader.shape(hash), |_| true)?;
                    let roll = |steps| {
                        let rolled: Vec<Rolled> = blocks
                            .iter()
                            .map(|block| rollup::roll(block, *hour, steps))
                            .collect();
                        rollup::encode(&rolled)
                    };
                    done.push(Done {
                        probe: *probe,
                        device,
                        hour: *hour,
                        fine: roll(12),
                        coarse: roll(1),
                        shapes: blocks.into_iter().map(|block| block.shape).collect(),
                    });
                }
            }
            hours.truncate(begun);
            Ok((hours, done))
        })?;
        let Some((hours, done)) = found else {
            return Ok(false);
        };
        if hours.is_empty() {
            return Ok(false);
        }
        write(&self.five_minutes, &done, |done| &done.fine)?;
        write(&self.hours, &done, |done| &done.coarse)?;
        let mut connection = self.days.writer(day)?;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (probe, hour) in hours {
            tx.prepare_cached("UPDATE sealed SET rolled = 1 WHERE probe_id = ?1 AND hour = ?2")?
                .execute(params![probe, hour])?;
        }
        tx.commit()?;
        Ok(true)
    }

    /// Damaged roll-ups are set aside and, as far as their samples are kept, computed anew.
    fn lost_roll_ups(&self) -> Result<(), MetricsError> {
        for files in [&self.five_minutes, &self.hours] {
            for file in files.set_damaged_aside() {
                for day in self.days.within(i64::MIN, i64::MAX) {
                    if files.kind.file_of(day.saturating_mul(24)) == file {
                        self.days
                            .writer(day)?
                            .execute("UPDATE sealed SET rolled = 0", [])?;
                        lock(&self.to_roll).insert(day);
                    }
                }
            }
        }
        Ok(())
    }

    /// The files of a resolution's roll-ups.
    pub(super) const fn rolled(&self, resolution: Resolution) -> Option<&Days> {
        match resolution {
            Resolution::Raw => None,
            Resolution::FiveMinutes => Some(&self.five_minutes),
            Resolution::Hour => Some(&self.hours),
        }
    }
}

fn write(files: &Days, done: &[Done], body: impl Fn(&Done) -> &Vec<u8>) -> Result<(), ReadError> {
    let mut by_file: BTreeMap<i64, Vec<&Done>> = BTreeMap::new();
    for one in done {
        by_file
            .entry(files.kind.file_of(one.hour))
            .or_default()
            .push(one);
    }
    for (file, done) in by_file {
        let written = files
            .writer(file)
            .map_err(ReadError::from)
            .and_then(|mut connection| write_file(&mut connection, &done, &body));
        if let Err(error) = written {
            if error.is_damage() {
                files.report_damaged(file);
            }
            return Err(error);
        }
    }
    Ok(())
}

fn write_file(
    connection: &mut Connection,
    done: &[&Done],
    body: impl Fn(&Done) -> &Vec<u8>,
) -> Result<(), ReadError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for one in done {
        for shape in &one.shapes {
            days::put_shape(&tx, shape)?;
        }
        let source = days::put_source(&tx, one.probe, one.device)?;
        tx.prepare_cached(
            "INSERT INTO roll_ups (id, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body",
        )?
        .execute(params![roll_up_id(source, one.hour), body(one)])?;
    }
    tx.commit()?;
    connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")?;
    Ok(())
}
