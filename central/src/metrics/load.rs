//! From the files into memory, at start.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{DeviceNo, Epoch, Lane as LaneCode, SampleBatch};
use farwatch_shared::session::SeqSet;
use farwatch_shared::wire::message::session::LaneCommitted;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::chunk::Whose;
use super::commit::{Content, READABLE, Raw, SET_ASIDE, WAITING, read};
use super::proof::Lane;
use super::query::AnchorCounts;
use super::schema::{day_of, hour_of};
use super::state::{EpochLayouts, Key};
use super::{Inner, MetricsError, chunk, live};
use crate::ledger;

/// Hours back from now in which a series' newest value is looked for.
pub(super) const RECENT_HOURS: i64 = 3;
/// Batches that are decoded before they are added together.
const TOGETHER: usize = 256;

impl Inner {
    /// Fills an empty state.
    pub(super) fn load(&self) -> Result<(), MetricsError> {
        let (probes, recent) = self.with_reader(|c| Ok((known_probes(c)?, recent_hours(c)?)))?;
        for (probe, hour) in recent {
            if hour >= hour_of(self.clock.now().ms()) - RECENT_HOURS {
                self.load_newest(probe, hour)?;
            }
        }
        for probe in probes {
            self.load_probe(probe)?;
        }
        Ok(())
    }

    fn load_probe(&self, probe: ProbeId) -> Result<(), MetricsError> {
        let (counts, epochs) =
            self.with_reader(|c| Ok((stored_counts(c, probe)?, raw_epochs(c, probe)?)))?;
        self.state_mut()
            .probes
            .entry(probe)
            .or_default()
            .tally
            .devices = counts;
        for epoch in epochs {
            self.load_epoch(probe, epoch)?;
        }
        Ok(())
    }

    fn load_epoch(&self, probe: ProbeId, epoch: Epoch) -> Result<(), MetricsError> {
        let layouts = self.layouts(probe, epoch)?;
        let mut after = -1;
        loop {
            let rows = self.with_reader(|c| raw_after(c, probe, epoch, after))?;
            let Some(last) = rows.last() else {
                break;
            };
            after = last.key.1.cast_signed();
            let mut groups: BTreeMap<i64, Vec<(Key, SampleBatch, Arc<EpochLayouts>)>> =
                BTreeMap::new();
            for raw in rows {
                if !raw.is_sound() {
                    if raw.state != SET_ASIDE {
                        self.set_aside(probe, &raw)?;
                    }
                    continue;
                }
                match read(raw.kind, raw.version, &raw.body, &layouts) {
                    Content::Samples(batch, layouts) if raw.state == READABLE => {
                        if raw.sealed {
                            self.account_only(probe, raw.key, &batch, &layouts);
                        } else {
                            groups
                                .entry(raw.correction_ms)
                                .or_default()
                                .push((raw.key, batch, layouts));
                        }
                    }
                    // Its layouts came, or this version reads what an older one did not.
                    Content::Samples(..) => self.read_again(probe, raw.key, &layouts)?,
                    Content::Waits(missing) => {
                        let mut state = self.state_mut();
                        let of = state.probes.entry(probe).or_default();
                        of.waiting.insert(raw.key, missing);
                    }
                    Content::Bad if raw.state == WAITING => {
                        self.read_again(probe, raw.key, &layouts)?;
                    }
                    Content::Bad if raw.state == READABLE => self.set_aside(probe, &raw)?,
                    Content::Bad => {}
                }
            }
            for (correction_ms, batches) in groups {
                self.add(probe, correction_ms, batches, self.clock.now(), None);
            }
        }
        Ok(())
    }

    fn account_only(&self, probe: ProbeId, key: Key, batch: &SampleBatch, layouts: &EpochLayouts) {
        let now = self.clock.now();
        let mut state = self.state_mut();
        let of = state.probes.entry(probe).or_default();
        of.account(key, batch, layouts, now);
    }

    /// The newest values of a sealed hour, so that a series without open data still has one.
    fn load_newest(&self, probe: ProbeId, hour: i64) -> Result<(), MetricsError> {
        let found = self.days.read(day_of(hour), |reader| {
            let sources = reader.sources_of(probe)?;
            let mut last = Vec::new();
            for (source, device) in sources {
                let Some(bytes) = reader.chunk(source, hour)? else {
                    continue;
                };
                // Damage is dealt with by whoever asks for samples; a newest value is only shown if it is sound.
                let whose = Whose::of(probe, device, hour);
                let blocks = chunk::decode(&bytes, whose, |hash| reader.shape(hash));
                last.extend(blocks.into_iter().flatten().map(|block| (device, block)));
            }
            Ok(last)
        })?;
        let mut state = self.state_mut();
        for (device, block) in found.unwrap_or_default() {
            let shape = state.shapes.of(block.shape.form.clone());
            let of = state.probes.entry(probe).or_default();
            for row in &block.rows {
                let at = Timestamp(row.slot_ms());
                of.newest_at = of.newest_at.max(Some(at));
                live::take(
                    of.newest.entry(device).or_default(),
                    (Epoch(0), 0),
                    &shape,
                    row,
                );
            }
        }
        Ok(())
    }
}

fn known_probes(c: &Connection) -> rusqlite::Result<BTreeSet<ProbeId>> {
    c.prepare_cached("SELECT DISTINCT probe_id FROM lane_progress")?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn recent_hours(c: &Connection) -> rusqlite::Result<Vec<(ProbeId, i64)>> {
    c.prepare_cached("SELECT probe_id, max(hour) FROM hours GROUP BY probe_id")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn stored_counts(
    c: &Connection,
    probe: ProbeId,
) -> rusqlite::Result<HashMap<DeviceNo, AnchorCounts>> {
    c.prepare_cached(
        "SELECT device, checked, mismatched, last_ms FROM proof_counts WHERE probe_id = ?1",
    )?
    .query_map([probe], |row| {
        let counts = AnchorCounts {
            checked: row.get::<_, i64>(1)?.cast_unsigned(),
            mismatched: row.get::<_, i64>(2)?.cast_unsigned(),
            last_checked: Some(row.get(3)?),
        };
        Ok((row.get(0)?, counts))
    })?
    .collect()
}

/// A lane as the file knows it.
pub(super) struct StoredLane {
    proof: Option<(u64, Vec<u8>)>,
    done: LaneCommitted,
    /// (seq, state) of every raw batch.
    raw: Vec<(u64, u8)>,
}

pub(super) fn stored_lane(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
) -> rusqlite::Result<StoredLane> {
    let proof = c
        .prepare_cached("SELECT seq, body FROM proofs WHERE probe_id = ?1 AND epoch = ?2")?
        .query_row(params![probe, epoch], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
        })
        .optional()?;
    let raw = c
        .prepare_cached("SELECT seq, state FROM raw WHERE probe_id = ?1 AND epoch = ?2")?
        .query_map(params![probe, epoch], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    Ok(StoredLane {
        proof,
        done: ledger::committed_lane(c, probe, epoch, LaneCode::Samples)?,
        raw,
    })
}

impl StoredLane {
    /// Readable batches are ahead; what is done without one is gone; what waits for a layout is neither.
    pub(super) fn into_lane(self, probe: ProbeId, layouts: &EpochLayouts) -> Lane {
        let mut lane = match self.proof {
            None => Lane::default(),
            Some((cursor, body)) => Lane::from_bytes(cursor, &body, |no| layouts.known(no))
                .unwrap_or_else(|error| {
                    tracing::warn!(probe.id = %probe, error = %farwatch_shared::error::Chain(&error), "a proof begins anew");
                    Lane::at(cursor)
                }),
        };
        let mut gone = SeqSet::of(1, self.done.watermark);
        for (from, to) in self.done.ranges {
            gone.insert(from, to);
        }
        for (seq, state) in self.raw {
            if state == READABLE {
                lane.ahead.insert(seq, seq);
            }
            if state != SET_ASIDE {
                gone.remove(seq, seq);
            }
        }
        lane.ahead.remove(0, lane.cursor);
        gone.remove(0, lane.cursor);
        lane.gone = gone;
        lane
    }
}

/// Epochs with raw batches, and the newest epoch, which will go on.
fn raw_epochs(c: &Connection, probe: ProbeId) -> rusqlite::Result<BTreeSet<Epoch>> {
    let mut epochs: BTreeSet<Epoch> = c
        .prepare_cached("SELECT DISTINCT epoch FROM raw WHERE probe_id = ?1")?
        .query_map([probe], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let newest: Option<Epoch> = c
        .prepare_cached(
            "SELECT epoch FROM lane_progress WHERE probe_id = ?1 ORDER BY updated_ms DESC LIMIT 1",
        )?
        .query_map([probe], |row| row.get(0))?
        .next()
        .transpose()?;
    epochs.extend(newest);
    Ok(epochs)
}

fn raw_after(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
    after: i64,
) -> rusqlite::Result<Vec<Raw>> {
    c.prepare_cached(&format!(
        "SELECT {} FROM raw WHERE probe_id = ?1 AND epoch = ?2 AND seq > ?3 ORDER BY seq LIMIT {TOGETHER}",
        Raw::COLUMNS
    ))?
    .query_map(params![probe, epoch, after], Raw::of)?
    .collect()
}
