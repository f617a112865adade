//! A model of the probe's spool: every call is one transaction, whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{SLOT_MS, Truths};
use crate::clock::Timestamp;
use crate::model::{BatchKey, Epoch, GapReason, Lane};
use crate::session::SeqSet;
use crate::session::crc;
use crate::session::sender::{Heads, LaneStock, Order, Settlement, Stock};
use crate::wire::message::batch::{Batch, Dropped, EVENTS, LAYOUTS, SAMPLES};

/// What a body says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// Index of its truth.
    pub(super) id: u64,
    /// Samples: the layout's epoch. Layouts: whose. Events: the state it tells of.
    pub(super) number: u64,
    /// Slots before `slot`, from here on, that are a gap.
    pub(super) gap_from: i64,
    /// The slot of its sample.
    pub(super) slot: i64,
}

impl Content {
    pub(super) fn to_body(self) -> Vec<u8> {
        let mut body = Vec::with_capacity(32);
        for n in [
            self.id,
            self.number,
            self.gap_from.cast_unsigned(),
            self.slot.cast_unsigned(),
        ] {
            body.extend_from_slice(&n.to_le_bytes());
        }
        body
    }

    pub(super) fn of(body: &[u8]) -> Self {
        let n = |at: usize| u64::from_le_bytes(body[at * 8..at * 8 + 8].try_into().unwrap());
        Self {
            id: n(0),
            number: n(1),
            gap_from: n(2).cast_signed(),
            slot: n(3).cast_signed(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) content: Content,
    pub(super) kind: u16,
    pub(super) acked_ms: Option<i64>,
    pub(super) order: u64,
    pub(super) closes: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Spool {
    pub(super) starts: u32,
    pub(super) running: u64,
    pub(super) lease: u64,
    pub(super) last_slot: i64,
    pub(super) known_from: i64,
    pub(super) lanes: BTreeMap<(Lane, Epoch), u64>,
    pub(super) rows: BTreeMap<BatchKey, Row>,
    pub(super) dropped: BTreeMap<(Lane, Epoch, u64), Dropped>,
    /// (lane, epoch) → (seq, first slot, last slot) of what was pruned.
    #[expect(
        clippy::type_complexity,
        reason = "the line above says it shorter than a name would"
    )]
    pub(super) pruned: BTreeMap<(Lane, Epoch), Vec<(u64, i64, i64)>>,
    pub(super) layouts: BTreeSet<Epoch>,
    pub(super) twins: BTreeMap<Epoch, Epoch>,
    /// Epochs under whose keys somebody else may have written.
    pub(super) shared: BTreeSet<Epoch>,
    /// Gaps to be told under a key of the next epoch.
    owed: Vec<(Lane, i64, i64, GapReason)>,
    pub(super) appended: u64,
}

impl Spool {
    pub(super) fn running(&self) -> Epoch {
        Epoch(self.running)
    }

    pub(super) fn start_epoch(&mut self, above: u32, random: u64) -> Epoch {
        let epoch = self.mint_epoch(above, random);
        self.running = epoch.0;
        for (lane, first, last, reason) in std::mem::take(&mut self.owed) {
            self.give_up(lane, first, last, reason);
        }
        epoch
    }

    fn mint_epoch(&mut self, above: u32, random: u64) -> Epoch {
        self.starts = self.starts.max(above) + 1;
        Epoch::new(self.starts, (random >> 32) as u32)
    }

    pub(super) fn append(
        &mut self,
        epoch: Epoch,
        lane: Lane,
        kind: u16,
        content: Content,
    ) -> BatchKey {
        let next = self.lanes.entry((lane, epoch)).or_insert(1);
        let key = BatchKey {
            epoch,
            lane,
            seq: *next,
        };
        *next += 1;
        self.appended += 1;
        let row = Row {
            content,
            kind,
            acked_ms: None,
            order: self.appended,
            closes: 0,
        };
        self.rows.insert(key, row);
        if kind == SAMPLES {
            self.last_slot = content.slot;
        }
        if kind == LAYOUTS {
            self.layouts.insert(Epoch(content.number));
        }
        key
    }

    /// A gap under a key that never had a row: the disk was full, or the old key is not ours alone.
    pub(super) fn give_up(
        &mut self,
        lane: Lane,
        first_slot: i64,
        last_slot: i64,
        reason: GapReason,
    ) {
        let epoch = self.running();
        let next = self.lanes.entry((lane, epoch)).or_insert(1);
        let seq = *next;
        *next += 1;
        self.record(BatchKey { epoch, lane, seq }, first_slot, last_slot, reason);
    }

    pub(super) fn stock(&self) -> Stock {
        let mut lanes: BTreeMap<(Lane, Epoch), LaneStock> = self
            .lanes
            .iter()
            .map(|(&(lane, epoch), &next_seq)| {
                let stock = LaneStock {
                    epoch,
                    lane,
                    next_seq,
                    held: SeqSet::new(),
                    acked: SeqSet::new(),
                };
                ((lane, epoch), stock)
            })
            .collect();
        for (key, row) in &self.rows {
            let lane = lanes.get_mut(&(key.lane, key.epoch)).unwrap();
            lane.held.insert(key.seq, key.seq);
            if row.acked_ms.is_some() {
                lane.acked.insert(key.seq, key.seq);
            }
        }
        Stock {
            running: self.running(),
            lease: self.lease,
            lanes: lanes.into_values().collect(),
            dropped: self.dropped.values().cloned().collect(),
            known_from: Timestamp(self.known_from * SLOT_MS),
        }
    }

    pub(super) fn heads(&self) -> Heads {
        Heads {
            running: self.running(),
            lanes: self
                .lanes
                .iter()
                .map(|(&(lane, epoch), &next)| (epoch, lane, next))
                .collect(),
            dropped: self.dropped.values().cloned().collect(),
        }
    }

    /// At most `limit` batches of an order, and seqs that are not there.
    pub(super) fn read(
        &self,
        order: &Order,
        limit: usize,
        bytes: impl Fn(u64) -> u64,
    ) -> (Vec<(Batch, u64)>, Vec<BatchKey>) {
        let (mut out, mut missing, mut total) = (Vec::new(), Vec::new(), 0);
        for seq in order.from_seq..=order.to_seq {
            let key = BatchKey {
                epoch: order.epoch,
                lane: order.lane,
                seq,
            };
            let Some(row) = self.rows.get(&key) else {
                missing.push(key);
                continue;
            };
            let size = bytes(row.content.id);
            if out.len() >= limit || (!out.is_empty() && total + size > order.max_bytes) {
                break;
            }
            total += size;
            let body = row.content.to_body();
            let batch = Batch {
                epoch: key.epoch,
                lane: key.lane.code(),
                seq,
                kind: row.kind,
                version: 1,
                crc: crc(&body),
                boot_id: String::new(),
                boot_ms: 0,
                closed: Timestamp(row.content.slot * SLOT_MS),
                from: Timestamp(row.content.gap_from * SLOT_MS),
                to: Timestamp(row.content.slot * SLOT_MS),
                body,
            };
            out.push((batch, size));
        }
        (out, missing)
    }

    pub(super) fn settle(&mut self, lease: Option<u64>, settlements: &[Settlement], now: i64) {
        if let Some(lease) = lease {
            self.lease = lease;
        }
        for settlement in settlements {
            let key = |seq| BatchKey {
                epoch: settlement.epoch,
                lane: settlement.lane,
                seq,
            };
            for &(from, to) in settlement.acked.ranges() {
                for (_, row) in self.rows.range_mut(key(from)..=key(to)) {
                    row.acked_ms.get_or_insert(now);
                }
            }
            if settlement.shared {
                self.shared.insert(settlement.epoch);
                let told: Vec<Dropped> = self.dropped.values().cloned().collect();
                for dropped in told {
                    if (dropped.epoch, dropped.lane) == (settlement.epoch, settlement.lane.code()) {
                        let reason = GapReason::from_code(dropped.reason).unwrap();
                        let slots = (dropped.from.ms() / SLOT_MS, dropped.to.ms() / SLOT_MS);
                        self.owed.push((settlement.lane, slots.0, slots.1, reason));
                    }
                }
            }
            // What was pruned since the hello is lost as well.
            let mut lost = settlement.lost.clone();
            for &(from, to) in settlement.lacking.ranges() {
                lost.insert(from, to);
                for (at, row) in self.rows.range_mut(key(from)..=key(to)) {
                    row.acked_ms = None;
                    lost.remove(at.seq, at.seq);
                }
            }
            for dropped in self.dropped.values() {
                if (dropped.epoch, dropped.lane) == (settlement.epoch, settlement.lane.code()) {
                    lost.remove(dropped.from_seq, dropped.to_seq);
                }
            }
            for &(from, to) in lost.ranges() {
                let at = (settlement.lane, settlement.epoch);
                let log = self.pruned.get(&at).cloned().unwrap_or_default();
                for seq in from..=to {
                    let known = log.iter().find(|entry| entry.0 == seq);
                    let (first, last) =
                        known.map_or((0, now / SLOT_MS), |entry| (entry.1, entry.2));
                    self.record(key(seq), first, last, GapReason::TooOld);
                }
            }
            let watermark = settlement.watermark;
            self.dropped.retain(|at, dropped| {
                (at.0, at.1) != (settlement.lane, settlement.epoch) || dropped.to_seq > watermark
            });
        }
    }

    pub(super) fn rekey(&mut self, conflicts: &[BatchKey], truths: &mut Truths, random: u64) {
        let running = self.running();
        let mut moved_running = false;
        for &key in conflicts {
            let Some(row) = self.rows.remove(&key) else {
                continue;
            };
            let twin = match self.twins.get(&key.epoch) {
                Some(twin) => *twin,
                None => {
                    let twin = self.mint_epoch(key.epoch.start(), random);
                    self.twins.insert(key.epoch, twin);
                    if self.layouts.contains(&key.epoch) {
                        let content = truths.aux(twin.0);
                        self.append(twin, Lane::Events, LAYOUTS, content);
                    }
                    twin
                }
            };
            truths.rekeyed(row.content.id);
            let mut content = row.content;
            if row.kind != EVENTS && content.number == key.epoch.0 {
                content.number = twin.0;
            }
            let last_slot = self.last_slot;
            self.append(twin, key.lane, row.kind, content);
            self.last_slot = last_slot;
            moved_running |= key.epoch == running;
        }
        if moved_running {
            self.start_epoch(0, random.rotate_left(17));
        }
    }

    pub(super) fn set_aside(&mut self, key: BatchKey, reason: GapReason, truths: &mut Truths) {
        if let Some(row) = self.rows.remove(&key) {
            truths.dropped(row.content.id);
            self.record(key, row.content.gap_from, row.content.slot, reason);
        }
    }

    /// Keeps at most `cap` rows: acknowledged ones go first, then the oldest unsent samples, then events.
    pub(super) fn make_room(&mut self, cap: usize, truths: &mut Truths, forget_dropped: bool) {
        while self.rows.len() > cap {
            let oldest = |wanted: &dyn Fn(&BatchKey, &Row) -> bool| {
                self.rows
                    .iter()
                    .filter(|(key, row)| wanted(key, row))
                    .min_by_key(|(_, row)| row.order)
                    .map(|(key, _)| *key)
            };
            if let Some(key) = oldest(&|_, row| row.acked_ms.is_some()) {
                self.prune(key, truths);
            } else if let Some(key) =
                oldest(&|key, _| key.lane == Lane::Samples).or_else(|| oldest(&|_, _| true))
            {
                if forget_dropped {
                    self.rows.remove(&key);
                } else {
                    self.set_aside(key, GapReason::SpoolOverflow, truths);
                }
            }
        }
    }

    pub(super) fn prune_before(&mut self, before: i64, truths: &mut Truths) {
        let old: Vec<BatchKey> = self
            .rows
            .iter()
            .filter(|(_, row)| row.acked_ms.is_some_and(|at| at < before))
            .map(|(key, _)| *key)
            .collect();
        for key in old {
            self.prune(key, truths);
        }
    }

    fn prune(&mut self, key: BatchKey, truths: &mut Truths) {
        if let Some(row) = self.rows.remove(&key) {
            truths.pruned(row.content.id);
            self.pruned.entry((key.lane, key.epoch)).or_default().push((
                key.seq,
                row.content.gap_from,
                row.content.slot,
            ));
        }
    }

    fn record(&mut self, key: BatchKey, first_slot: i64, last_slot: i64, reason: GapReason) {
        if self.shared.contains(&key.epoch) {
            // What Central has under this key may be another's: the gap is told under a key of our own as well.
            if self.shared.contains(&self.running()) {
                self.owed.push((key.lane, first_slot, last_slot, reason));
            } else {
                self.give_up(key.lane, first_slot, last_slot, reason);
            }
        }
        let joined = self.dropped.values_mut().find(|dropped| {
            dropped.epoch == key.epoch
                && dropped.lane == key.lane.code()
                && dropped.to_seq + 1 == key.seq
                && dropped.reason == reason.code()
        });
        let (from, to) = (
            Timestamp(first_slot * SLOT_MS),
            Timestamp(last_slot * SLOT_MS),
        );
        if let Some(dropped) = joined {
            dropped.to_seq = key.seq;
            dropped.from = dropped.from.min(from);
            dropped.to = dropped.to.max(to);
            return;
        }
        let dropped = Dropped {
            epoch: key.epoch,
            lane: key.lane.code(),
            from_seq: key.seq,
            to_seq: key.seq,
            from,
            to,
            reason: reason.code(),
        };
        self.dropped.insert((key.lane, key.epoch, key.seq), dropped);
    }
}
