//! Hours from memory into day files, and raw batches away once nothing needs them.
//!
//! No transaction spans two files. First the day file takes the chunks and says which batches they hold; then
//! metrics.db marks those batches; then memory forgets. A kill between any two leaves both holding the same rows, and
//! whoever reads drops those whose batch the day file names.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{DeviceNo, Epoch};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::aside::{Broken, What};
use super::batches::BatchSet;
use super::chunk::{self, Block, Whose};
use super::commit::{Content, Raw, read, sql_seq};
use super::days::{self, Days, Holders, ReadError, chunk_id};
use super::query::AnchorCounts;
use super::row::Row;
use super::schema::{HOUR_MS, day_of, hour_of};
use super::shape::Shape;
use super::state::{Key, ProbeState, Rows};
use super::{Inner, MetricsError, days::lock};

/// An hour that has ended is sealed when nothing has come for this long.
const QUIET_MS: i64 = 60_000;
/// Late data of an hour that is sealed already waits this long for more.
const LATE_QUIET_MS: i64 = 600_000;
/// Late data of one hour beyond this does not wait.
const LATE_BYTES: usize = 8 << 20;
/// Rows in memory of all probes beyond this: hours are sealed oldest first, whether quiet or not.
const MEMORY_BYTES: usize = 384 << 20;
/// How often a pass begins that meets damaged files: each sets one aside.
const ATTEMPTS: u32 = 4;
/// Hours of probes that are sealed in one transaction.
const TOGETHER: usize = 64;
/// A batch that is sealed and still not accounted for after this long never will be.
const ACCOUNT_MS: i64 = 48 * HOUR_MS;

/// Which hours to seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Those that are due.
    Due,
    /// All there are, the running one too.
    Everything,
}

impl Inner {
    /// One pass: catches up with proofs, seals what is due, marks raw batches.
    ///
    /// A file that turns out to be damaged is set aside, and the pass begins anew: what waits is not held up by it.
    pub(super) fn seal_pass(&self, pass: Pass) -> Result<(), MetricsError> {
        let _one = lock(&self.sealing);
        for _ in 1..ATTEMPTS {
            match self.seal_once(pass) {
                Err(error) if error.is_corrupt() || !self.are_sound() => {
                    tracing::warn!(error = %farwatch_shared::error::Chain(&error), "a pass met a damaged file and begins anew");
                }
                other => return other,
            }
        }
        self.seal_once(pass)
    }

    fn are_sound(&self) -> bool {
        let mut files = [&self.days, &self.five_minutes, &self.hours].into_iter();
        files.all(Days::are_sound)
    }

    fn seal_once(&self, pass: Pass) -> Result<(), MetricsError> {
        self.lost_days()?;
        self.set_broken_aside()?;
        self.catch_up()?;
        // By hour and probe: of one file, and in the order of its pages.
        for group in self
            .due(pass)
            .chunk_by(|one, other| day_of(one.1) == day_of(other.1))
        {
            for group in group.chunks(TOGETHER) {
                self.seal(group)?;
            }
        }
        let probes: Vec<ProbeId> = self.state().probes.keys().copied().collect();
        for probes in probes.chunks(TOGETHER) {
            let none = probes.iter().map(|probe| (*probe, None)).collect();
            self.mark_finished(none)?;
        }
        self.compact_pass(pass)
    }

    fn due(&self, pass: Pass) -> Vec<(ProbeId, i64)> {
        let now = self.clock.now();
        let running = hour_of(now.ms());
        let state = self.state();
        let mut due = Vec::new();
        let mut rest = Vec::new();
        let mut bytes = 0;
        for (probe, of) in &state.probes {
            bytes += of.bytes();
            for (hour, rows) in &of.hours {
                if rows.open.batches.is_empty() && rows.frozen.is_none() {
                    continue;
                }
                let quiet = now.since(rows.touched);
                let first = rows.sealed.is_empty();
                let is_due = pass == Pass::Everything
                    || rows.frozen.is_some()
                    || rows.open.bytes > LATE_BYTES * 8
                    || (*hour < running
                        && (quiet < 0
                            || if first {
                                quiet >= QUIET_MS
                            } else {
                                quiet >= LATE_QUIET_MS || rows.open.bytes > LATE_BYTES
                            }));
                if is_due {
                    due.push((*probe, *hour));
                } else {
                    rest.push((*hour, *probe, rows.open.bytes));
                }
            }
        }
        rest.sort_unstable_by_key(|(hour, probe, _)| (*hour, *probe));
        for (hour, probe, size) in rest {
            if bytes <= MEMORY_BYTES {
                break;
            }
            bytes -= size;
            due.push((probe, hour));
        }
        // By file and source, which is the order of the file's pages.
        due.sort_unstable_by_key(|(probe, hour)| (*hour, *probe));
        due
    }

    /// Seals hours of one day, in one transaction of its file.
    fn seal(&self, due: &[(ProbeId, i64)]) -> Result<(), MetricsError> {
        let frozen: Vec<Frozen> = due
            .iter()
            .filter_map(|(probe, hour)| {
                let rows = self.freeze(*probe, *hour)?;
                Some(Frozen {
                    probe: *probe,
                    hour: *hour,
                    rows,
                })
            })
            .collect();
        match self.write_hours(&frozen) {
            Ok(()) => {}
            Err(error) if error.is_damage() => {
                tracing::error!(error = %farwatch_shared::error::Chain(&error), "a day of samples cannot be written and is set aside");
                self.lost_days()?;
                // What was sealed there is gone, but for what could be saved; what is in memory is not.
                self.write_hours(&frozen)?;
            }
            Err(error) => return Err(error.into()),
        }
        farwatch_shared::failpoint::hit("S1");
        {
            let mut state = self.state_mut();
            for one in &frozen {
                if let Some(of) = state.probes.get_mut(&one.probe) {
                    of.forget_frozen(one.hour);
                }
            }
        }
        let sealed = frozen.iter().map(|one| (one.probe, Some(one.hour)));
        self.mark_finished(sealed.collect())?;
        farwatch_shared::failpoint::hit("S2");
        Ok(())
    }

    pub(super) fn freeze(&self, probe: ProbeId, hour: i64) -> Option<Arc<Rows>> {
        let mut state = self.state_mut();
        let entry = state.probes.get_mut(&probe)?.hours.get_mut(&hour)?;
        if entry.frozen.is_none() {
            if entry.open.batches.is_empty() {
                return None;
            }
            entry.frozen = Some(Arc::new(std::mem::take(&mut entry.open)));
        }
        entry.frozen.clone()
    }

    /// Merges hours into their day's file, in one transaction.
    pub(super) fn write_hours(&self, hours: &[Frozen]) -> Result<(), ReadError> {
        let Some(day) = hours.first().map(|one| day_of(one.hour)) else {
            return Ok(());
        };
        self.days.write(day, |tx| {
            let mut broken = Vec::new();
            for one in hours {
                write_hour(tx, one, &mut broken)?;
            }
            if !broken.is_empty() {
                // Said first, in the other file; a kill before this one is written finds them again.
                self.gaps_of(&broken)
                    .map_err(|error| ReadError::Other(Box::new(error)))?;
                let now = self.clock.now();
                broken.iter().try_for_each(|one| one.keep(tx, now))?;
            }
            Ok(())
        })?;
        lock(&self.to_compact).insert(day);
        Ok(())
    }

    /// Raw batches whose hours are all sealed are marked; those that are accounted for as well go. With each probe the
    /// hour that was sealed just now.
    fn mark_finished(&self, probes: Vec<(ProbeId, Option<i64>)>) -> Result<(), MetricsError> {
        let marks: Vec<Mark> = {
            let mut state = self.state_mut();
            probes
                .into_iter()
                .filter_map(|(probe, sealed)| {
                    Mark::take(probe, state.probes.get_mut(&probe)?, sealed)
                })
                .collect()
        };
        if marks.is_empty() {
            return Ok(());
        }
        let before = self.clock.now().plus_ms(-ACCOUNT_MS);
        let marks = Arc::new(marks);
        let told = marks.clone();
        let written = self.writer.write_blocking(move |c| {
            let given_up = told.iter().map(|mark| mark.write(c, before));
            given_up.collect::<rusqlite::Result<Vec<_>>>()
        });
        let mut state = self.state_mut();
        match written {
            Ok(given_up) => {
                for (mark, given_up) in marks.iter().zip(given_up) {
                    let Some(of) = state.probes.get_mut(&mark.probe) else {
                        continue;
                    };
                    for (epoch, seq) in given_up {
                        let lane = of.lanes.entry(epoch).or_default();
                        tracing::warn!(probe.id = %mark.probe, batch.seq = seq, "a hole in the lane was not filled in time; anchors across it are not judged");
                        lane.give_up_before(seq + 1);
                    }
                }
                Ok(())
            }
            Err(error) => {
                for mark in marks.iter() {
                    if let Some(of) = state.probes.get_mut(&mark.probe) {
                        mark.give_back(of);
                    }
                }
                Err(error.into())
            }
        }
    }

    /// Accounts for batches that came before their turn, now that it has come.
    fn catch_up(&self) -> Result<(), MetricsError> {
        let lanes: Vec<(ProbeId, Epoch)> = {
            let mut state = self.state_mut();
            state
                .probes
                .iter_mut()
                .flat_map(|(probe, of)| {
                    of.lanes
                        .iter_mut()
                        .filter_map(|(epoch, lane)| lane.skip_gone().then_some((*probe, *epoch)))
                        .collect::<Vec<_>>()
                })
                .collect()
        };
        for (probe, epoch) in lanes {
            self.catch_up_lane(probe, epoch)?;
        }
        Ok(())
    }

    fn catch_up_lane(&self, probe: ProbeId, epoch: Epoch) -> Result<(), MetricsError> {
        let layouts = self.layouts(probe, epoch)?;
        loop {
            let next = {
                let mut state = self.state_mut();
                let Some(lane) = state
                    .probes
                    .get_mut(&probe)
                    .and_then(|of| of.lanes.get_mut(&epoch))
                else {
                    return Ok(());
                };
                if !lane.skip_gone() {
                    return Ok(());
                }
                lane.cursor + 1
            };
            let raw = self.with_reader(|c| {
                c.prepare_cached(&format!(
                    "SELECT {} FROM raw WHERE probe_id = ?1 AND epoch = ?2 AND seq = ?3",
                    Raw::COLUMNS
                ))?
                .query_row(params![probe, epoch, sql_seq(next)], Raw::of)
                .optional()
            })?;
            let content = raw.map(|raw| read(raw.kind, raw.version, &raw.body, &layouts));
            let now = self.clock.now();
            let mut state = self.state_mut();
            let of = state.probes.entry(probe).or_default();
            if let Some(Content::Samples(batch, layouts)) = content {
                of.account((epoch, next), &batch, &layouts, now);
                of.lanes.entry(epoch).or_default().behind = true;
            } else {
                let lane = of.lanes.entry(epoch).or_default();
                lane.ahead.remove(next, next);
                lane.gone.insert(next, next);
            }
        }
    }
}

/// Rows of an hour that nothing is added to any more.
#[derive(Debug)]
pub(super) struct Frozen {
    pub(super) probe: ProbeId,
    pub(super) hour: i64,
    pub(super) rows: Arc<Rows>,
}

/// What is to be said in metrics.db of one probe after some of its hours were sealed.
#[derive(Debug)]
struct Mark {
    probe: ProbeId,
    sealed: Option<i64>,
    /// Batches of which everything is sealed.
    finished: Vec<Key>,
    /// How far each lane is accounted for, and what it expects.
    lanes: Vec<(Epoch, u64, Vec<u8>)>,
    counts: Vec<(DeviceNo, AnchorCounts)>,
}

impl Mark {
    /// `None`: there is nothing to say.
    fn take(probe: ProbeId, of: &mut ProbeState, sealed: Option<i64>) -> Option<Self> {
        let behind = of.lanes.values().any(|lane| lane.behind);
        if of.finished.is_empty() && sealed.is_none() && !behind {
            return None;
        }
        let lanes = of
            .lanes
            .iter_mut()
            .map(|(epoch, lane)| {
                (lane.dirty, lane.behind) = (false, false);
                (*epoch, lane.cursor, lane.to_bytes())
            })
            .collect();
        let mut changed = std::mem::take(&mut of.tally.changed);
        changed.sort_unstable();
        changed.dedup();
        let count = |device| of.tally.devices.get(&device).copied().unwrap_or_default();
        Some(Self {
            probe,
            sealed,
            finished: std::mem::take(&mut of.finished),
            lanes,
            counts: changed
                .into_iter()
                .map(|device| (device, count(device)))
                .collect(),
        })
    }

    /// It could not be written: the next pass says it again.
    fn give_back(&self, of: &mut ProbeState) {
        of.finished.extend(&self.finished);
        for lane in of.lanes.values_mut() {
            (lane.dirty, lane.behind) = (true, true);
        }
        let devices = self.counts.iter().map(|(device, _)| *device);
        of.tally.changed.extend(devices);
    }

    /// Batches that hold up a lane and are older than `before` are given up; returns the last of each such lane.
    fn write(&self, c: &Connection, before: Timestamp) -> rusqlite::Result<Vec<(Epoch, u64)>> {
        let probe = self.probe;
        if let Some(hour) = self.sealed {
            c.prepare_cached(
                "INSERT INTO hours (probe_id, hour) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            )?
            .execute(params![probe, hour])?;
        }
        for (epoch, seq) in &self.finished {
            c.prepare_cached(
                "UPDATE raw SET sealed = 1 WHERE probe_id = ?1 AND epoch = ?2 AND seq = ?3 AND state = 0",
            )?
            .execute(params![probe, epoch, sql_seq(*seq)])?;
        }
        let mut given_up = Vec::new();
        for (epoch, cursor, body) in &self.lanes {
            c.prepare_cached(
                "INSERT INTO proofs (probe_id, epoch, seq, body) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET seq = excluded.seq, body = excluded.body",
            )?
            .execute(params![probe, epoch, sql_seq(*cursor), body])?;
            let old: Option<i64> = c
                .prepare_cached(
                    "SELECT max(seq) FROM raw WHERE probe_id = ?1 AND epoch = ?2 AND sealed = 1 AND seq > ?3 AND received_ms < ?4",
                )?
                .query_row(params![probe, epoch, sql_seq(*cursor), before], |row| row.get(0))?;
            given_up.extend(old.map(|seq| (*epoch, seq.cast_unsigned())));
            c.prepare_cached(
                "DELETE FROM raw WHERE probe_id = ?1 AND epoch = ?2 AND sealed = 1 AND (seq <= ?3 OR received_ms < ?4)",
            )?
            .execute(params![probe, epoch, sql_seq(*cursor), before])?;
        }
        for (device, counts) in &self.counts {
            c.prepare_cached(
                "INSERT INTO proof_counts (probe_id, device, checked, mismatched, last_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET checked = excluded.checked, mismatched = excluded.mismatched, last_ms = excluded.last_ms",
            )?
            .execute(params![
                probe,
                device,
                counts.checked.cast_signed(),
                counts.mismatched.cast_signed(),
                counts.last_checked.unwrap_or_default()
            ])?;
        }
        Ok(given_up)
    }
}

fn write_hour(tx: &Connection, one: &Frozen, broken: &mut Vec<Broken>) -> Result<(), ReadError> {
    let (probe, hour, rows) = (one.probe, one.hour, &one.rows);
    let mut batches = days::sealed(tx, probe, hour)?.unwrap_or_default();
    let keep: Vec<bool> = rows
        .batches
        .iter()
        .map(|(epoch, seq)| !batches.contains(*epoch, *seq))
        .collect();
    if !keep.contains(&true) {
        return Ok(());
    }
    let mut holders = Holders::of(tx, probe, hour)?;
    let written = write_chunks(tx, one, &keep, &mut holders, broken)?;
    for (epoch, seq) in &rows.batches {
        batches.insert(*epoch, *seq);
    }
    tx.prepare_cached(
        "INSERT INTO sealed (probe_id, hour, batches, samples, polls, sources) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET batches = excluded.batches, samples = samples + excluded.samples,
             polls = polls + excluded.polls, sources = excluded.sources, rolled = CASE rolled WHEN 2 THEN 2 ELSE 0 END",
    )?
    .execute(params![
        probe,
        hour,
        days::sealed_bytes(&batches, probe, hour),
        written.samples,
        written.polls,
        holders.to_bytes(probe, hour)
    ])?;
    Ok(())
}

/// What an hour took.
#[derive(Default)]
struct Written {
    samples: i64,
    polls: i64,
}

fn write_chunks(
    tx: &Connection,
    one: &Frozen,
    keep: &[bool],
    holders: &mut Holders,
    broken: &mut Vec<Broken>,
) -> Result<Written, ReadError> {
    let (probe, hour, rows) = (one.probe, one.hour, &one.rows);
    let mut shapes: HashMap<u64, Arc<Shape>> = HashMap::new();
    let mut written = Written::default();
    let mut devices: Vec<_> = rows.devices.iter().collect();
    devices.sort_unstable_by_key(|(device, _)| **device);
    for (device, logs) in devices {
        let mut blocks: BTreeMap<u64, Block> = BTreeMap::new();
        for log in logs {
            if let std::collections::hash_map::Entry::Vacant(entry) = shapes.entry(log.shape.hash) {
                days::put_shape(tx, &log.shape)?;
                entry.insert(log.shape.clone());
            }
            let block = blocks.entry(log.shape.hash).or_insert_with(|| Block {
                shape: log.shape.clone(),
                rows: Vec::new(),
            });
            log.each(|row| {
                if keep.get(row.batch as usize).copied().unwrap_or(false) {
                    written.samples += row.values.iter().flatten().count() as i64;
                    written.polls += 1;
                    block.rows.push(row.clone());
                }
            });
        }
        let source = days::put_source(tx, probe, *device)?;
        holders.insert(source);
        let id = chunk_id(source, hour);
        let before: Option<Vec<u8>> = tx
            .prepare_cached("SELECT body FROM chunks WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        let whose = Whose::of(probe, *device, hour);
        if let Some(body) = before {
            let of = |hash: u64| {
                shapes
                    .get(&hash)
                    .cloned()
                    .or_else(|| days::shape(tx, hash).map(Arc::new))
            };
            match chunk::decode(&body, whose, of) {
                Ok(old) => merge(&mut blocks, old),
                Err(error) => {
                    tracing::error!(probe.id = %probe, device.no = device.0, hour, error = %farwatch_shared::error::Chain(&error), "an hour's samples are damaged and are set aside");
                    broken.push(Broken {
                        probe,
                        device: *device,
                        source,
                        day: day_of(hour),
                        what: What::Hour(hour),
                        body,
                    });
                }
            }
        }
        let mut blocks: Vec<Block> = blocks.into_values().collect();
        for block in &mut blocks {
            block.rows.sort_by_key(Row::at_ms);
        }
        tx.prepare_cached(
            "INSERT INTO chunks (id, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body",
        )?
        .execute(params![id, chunk::encode(&blocks, whose)])?;
    }
    Ok(written)
}

fn merge(blocks: &mut BTreeMap<u64, Block>, old: Vec<Block>) {
    for old in old {
        blocks
            .entry(old.shape.hash)
            .or_insert_with(|| Block {
                shape: old.shape.clone(),
                rows: Vec::new(),
            })
            .rows
            .extend(old.rows);
    }
}

/// The set of batches that an hour holds, for whoever merges what it read from memory with what it read from the file.
pub(super) fn not_in<'a>(batches: &'a [Key], sealed: &'a BatchSet) -> impl Fn(u32) -> bool + 'a {
    move |batch| {
        batches
            .get(batch as usize)
            .is_some_and(|(epoch, seq)| !sealed.contains(*epoch, *seq))
    }
}
