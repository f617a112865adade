//! What the store knows in memory: layouts, open hours, newest values, proofs. Rebuilt from the files at start.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{DeviceNo, Epoch, Layout, LayoutNo, SampleBatch};
use farwatch_shared::wire::columns::LayoutLookup;
use farwatch_shared::wire::message::session::WantedLayout;

use super::batches::BatchSet;
use super::live::{self, Newest};
use super::proof::{Lane, Tally};
use super::row::{Log, Row};
use super::schema::hour_of;
use super::shape::{Known, Shape, Shapes};

/// The layouts of one epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct EpochLayouts(pub(super) HashMap<LayoutNo, Arc<Known>>);

impl LayoutLookup for EpochLayouts {
    fn layout(&self, no: LayoutNo) -> Option<&Layout> {
        self.0.get(&no).map(|known| &*known.layout)
    }
}

impl EpochLayouts {
    pub(super) fn known(&self, no: LayoutNo) -> Option<&Known> {
        self.0.get(&no).map(|known| &**known)
    }
}

/// A batch of the samples lane.
pub(super) type Key = (Epoch, u64);

/// Everything.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) shapes: Shapes,
    pub(super) probes: HashMap<ProbeId, ProbeState>,
    rate: Rate,
}

/// One probe.
#[derive(Debug, Default)]
pub(super) struct ProbeState {
    /// Layouts of epochs that are in use; each is replaced, never changed, so that decoders hold on to theirs.
    pub(super) epochs: HashMap<Epoch, Arc<EpochLayouts>>,
    pub(super) newest: HashMap<DeviceNo, Vec<Newest>>,
    pub(super) hours: BTreeMap<i64, Hour>,
    pub(super) lanes: HashMap<Epoch, Lane>,
    pub(super) tally: Tally,
    /// Committed batches that wait for layouts.
    pub(super) waiting: BTreeMap<Key, Vec<LayoutNo>>,
    /// Hours that each readable batch has rows in and that are not sealed yet.
    pub(super) unsealed: HashMap<Key, Vec<i64>>,
    /// Batches without an unsealed hour, to be marked with the next pass.
    pub(super) finished: Vec<Key>,
    /// Newest slot.
    pub(super) newest_at: Option<Timestamp>,
}

/// Rows of one hour that no day file holds yet.
#[derive(Debug, Default)]
pub(super) struct Hour {
    /// Being sealed; nothing is added to it any more.
    pub(super) frozen: Option<Arc<Rows>>,
    /// Growing.
    pub(super) open: Rows,
    /// What the day file holds already: rows of these batches are not added again.
    pub(super) sealed: Arc<BatchSet>,
    /// Polls that the day file holds already.
    pub(super) sealed_polls: u64,
    /// When something was last added.
    pub(super) touched: Timestamp,
}

/// Rows of one hour of one probe.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub(super) batches: Vec<Key>,
    pub(super) devices: HashMap<DeviceNo, Vec<Log>>,
    pub(super) bytes: usize,
    pub(super) samples: u64,
    pub(super) polls: u64,
}

impl Hour {
    /// Polls of the hour, in memory and sealed.
    pub(super) fn polls(&self) -> u64 {
        let frozen = self.frozen.as_ref().map_or(0, |rows| rows.polls);
        self.sealed_polls + frozen + self.open.polls
    }
}

impl Rows {
    fn begin(&mut self, key: Key) -> u32 {
        if self.batches.last() != Some(&key) {
            self.batches.push(key);
        }
        u32::try_from(self.batches.len() - 1).unwrap_or(u32::MAX)
    }

    fn add(&mut self, device: DeviceNo, shape: &Arc<Shape>, row: &Row) {
        let logs = self.devices.entry(device).or_default();
        let log = match logs.iter().position(|log| log.shape.hash == shape.hash) {
            Some(at) => &mut logs[at],
            None => {
                logs.push(Log::new(shape.clone()));
                logs.last_mut().expect("one was pushed")
            }
        };
        let before = log.len_bytes();
        log.push(row);
        self.bytes += log.len_bytes() - before;
        self.samples += row.values.iter().flatten().count() as u64;
        self.polls += 1;
    }
}

/// One poll on its way into an hour.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) hour: i64,
    pub(super) device: DeviceNo,
    pub(super) shape: Arc<Shape>,
    pub(super) row: Row,
}

/// A batch's polls as rows, each with its hour; anchors beside the poll of their slot.
pub(super) fn place(batch: SampleBatch, layouts: &EpochLayouts, correction_ms: i64) -> Vec<Placed> {
    let mut anchors: HashMap<(LayoutNo, i64), Vec<RowAnchor>> = HashMap::new();
    for anchor in &batch.anchors {
        anchors
            .entry((anchor.layout, anchor.slot_s))
            .or_default()
            .push((anchor.column, anchor.kind, anchor.raw));
    }
    let mut placed = Vec::with_capacity(batch.scrapes.len());
    let mut put = |known: &Known, row: Row| {
        placed.push(Placed {
            hour: hour_of(row.slot_ms()),
            device: known.device(),
            shape: known.shape.clone(),
            row,
        });
    };
    for scrape in batch.scrapes {
        let Some(known) = layouts.known(scrape.layout) else {
            continue;
        };
        let here = if anchors.is_empty() {
            None
        } else {
            anchors.remove(&(scrape.layout, scrape.slot_s))
        };
        let row = Row {
            batch: 0,
            slot_s: scrape.slot_s,
            offset_ms: scrape.offset_ms,
            correction_ms,
            span_ms: scrape.span_ms,
            values: scrape.values,
            spans: scrape.spans,
            anchors: within(here.unwrap_or_default(), &known.shape),
        };
        put(known, row);
    }
    let mut alone: Vec<_> = anchors.into_iter().collect();
    alone.sort_unstable_by_key(|((layout, slot), _)| (*slot, *layout));
    for ((layout, slot_s), anchors) in alone {
        if let Some(known) = layouts.known(layout) {
            let row = Row {
                slot_s,
                correction_ms,
                values: vec![None; known.shape.columns()],
                anchors: within(anchors, &known.shape),
                ..Row::default()
            };
            put(known, row);
        }
    }
    placed
}

/// Column, kind, raw value.
type RowAnchor = (u16, u8, u64);

fn within(mut anchors: Vec<RowAnchor>, shape: &Shape) -> Vec<RowAnchor> {
    anchors.retain(|(column, _, _)| usize::from(*column) < shape.columns());
    anchors
}

impl ProbeState {
    /// Adds a committed batch's rows to their hours and to the newest values; `touched` gives the devices.
    pub(super) fn add(
        &mut self,
        key: Key,
        placed: &mut [Placed],
        sealed_of: impl Fn(i64) -> (Arc<BatchSet>, u64),
        now: Timestamp,
    ) {
        let mut hours: Vec<i64> = Vec::with_capacity(2);
        for one in placed.iter_mut() {
            let hour = self.hours.entry(one.hour).or_insert_with(|| {
                let (sealed, sealed_polls) = sealed_of(one.hour);
                Hour {
                    sealed,
                    sealed_polls,
                    ..Hour::default()
                }
            });
            let at = Timestamp(one.row.slot_ms());
            self.newest_at = self.newest_at.max(Some(at));
            live::take(
                self.newest.entry(one.device).or_default(),
                key,
                &one.shape,
                &one.row,
            );
            if hour.sealed.contains(key.0, key.1) {
                continue;
            }
            one.row.batch = hour.open.begin(key);
            hour.open.add(one.device, &one.shape, &one.row);
            hour.touched = now;
            if !hours.contains(&one.hour) {
                hours.push(one.hour);
            }
        }
        if hours.is_empty() {
            self.finished.push(key);
        } else {
            self.unsealed.insert(key, hours);
        }
        self.hours
            .retain(|_, hour| hour.frozen.is_some() || !hour.open.batches.is_empty());
    }

    /// An hour's rows are in its day file: nothing in memory holds them any more.
    pub(super) fn forget_frozen(&mut self, hour: i64) {
        let Some(entry) = self.hours.get_mut(&hour) else {
            return;
        };
        let Some(frozen) = entry.frozen.take() else {
            return;
        };
        let mut sealed = (*entry.sealed).clone();
        for (epoch, seq) in &frozen.batches {
            sealed.insert(*epoch, *seq);
            if let Some(left) = self.unsealed.get_mut(&(*epoch, *seq)) {
                left.retain(|at| *at != hour);
                if left.is_empty() {
                    self.unsealed.remove(&(*epoch, *seq));
                    self.finished.push((*epoch, *seq));
                }
            }
        }
        entry.sealed = Arc::new(sealed);
        entry.sealed_polls += frozen.polls;
        if entry.open.batches.is_empty() {
            self.hours.remove(&hour);
        }
    }

    /// Layouts and proofs of old epochs that nothing comes from are read again when something does.
    pub(super) fn forget_idle_epochs(&mut self, now: Timestamp) {
        let newest = self
            .lanes
            .iter()
            .max_by_key(|(epoch, lane)| (lane.touched, **epoch))
            .map(|(epoch, _)| *epoch);
        let idle: Vec<Epoch> = self
            .lanes
            .iter()
            .filter(|(epoch, lane)| Some(**epoch) != newest && lane.is_idle(now))
            .map(|(epoch, _)| *epoch)
            .filter(|epoch| {
                let held = (*epoch, 0)..=(*epoch, u64::MAX);
                self.waiting.range(held).next().is_none()
                    && !self.unsealed.keys().any(|(of, _)| of == epoch)
                    && !self.finished.iter().any(|(of, _)| of == epoch)
            })
            .collect();
        for epoch in idle {
            self.lanes.remove(&epoch);
            self.epochs.remove(&epoch);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.hours
            .values()
            .map(|hour| hour.open.bytes + hour.frozen.as_ref().map_or(0, |rows| rows.bytes))
            .sum()
    }

    pub(super) fn want_layouts(&self) -> Vec<WantedLayout> {
        let mut wanted: Vec<WantedLayout> = self
            .waiting
            .iter()
            .flat_map(|((epoch, _), layouts)| {
                layouts.iter().map(|layout| WantedLayout {
                    epoch: *epoch,
                    layout: *layout,
                })
            })
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// Accounts for a decoded batch if its turn has come; else remembers that it is there.
    pub(super) fn account(
        &mut self,
        key: Key,
        batch: &SampleBatch,
        layouts: &EpochLayouts,
        now: Timestamp,
    ) {
        let lane = self.lanes.entry(key.0).or_default();
        lane.skip_gone();
        if key.1 == lane.cursor + 1 {
            lane.account(batch, |no| layouts.known(no), &mut self.tally, now);
            lane.skip_gone();
        } else if key.1 > lane.cursor {
            lane.ahead.insert(key.1, key.1);
        }
    }
}

impl State {
    pub(super) fn count(&mut self, samples: u64, boot_ms: i64) {
        self.rate.count(samples, boot_ms);
    }

    pub(super) fn samples_per_s(&self, boot_ms: i64) -> f64 {
        self.rate.per_s(boot_ms)
    }
}

/// Samples of the last minute.
#[derive(Debug, Default)]
struct Rate {
    /// Of which second, boot-time ms, how many.
    seconds: VecDeque<(i64, u64)>,
    /// When the first was counted.
    since_ms: Option<i64>,
}

impl Rate {
    const WINDOW_MS: i64 = 60_000;
    const SHORTEST_MS: i64 = 10_000;

    fn count(&mut self, samples: u64, boot_ms: i64) {
        let second = boot_ms / 1_000 * 1_000;
        self.since_ms.get_or_insert(second);
        match self.seconds.back_mut() {
            Some((at, sum)) if *at == second => *sum += samples,
            _ => self.seconds.push_back((second, samples)),
        }
        while self
            .seconds
            .front()
            .is_some_and(|(at, _)| boot_ms - at > Self::WINDOW_MS)
        {
            self.seconds.pop_front();
        }
    }

    fn per_s(&self, boot_ms: i64) -> f64 {
        let sum: u64 = self
            .seconds
            .iter()
            .filter(|(at, _)| boot_ms - at <= Self::WINDOW_MS)
            .map(|(_, samples)| samples)
            .sum();
        // In the first minute, since the first: over less than ten seconds one batch would look like a flood.
        let counted = self.since_ms.map_or(0, |since| boot_ms - since);
        let seconds = counted.clamp(Self::SHORTEST_MS, Self::WINDOW_MS) / 1_000;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate to look at needs no 53rd bit"
        )]
        let rate = sum as f64 / seconds as f64;
        rate
    }
}
