//! One lane of one epoch as the sender sees it.

use super::stock::{LaneStock, Settlement};
use crate::model::{Epoch, Lane};
use crate::session::{MAX_RANGES, Progress, SeqSet};
use crate::wire::message::session::LaneCommitted;

#[derive(Clone, Debug)]
pub(super) struct LaneOut {
    pub(super) next_seq: u64,
    /// In the spool.
    pub(super) held: SeqSet,
    /// In the spool and acknowledged there.
    pub(super) acked: SeqSet,
    /// Sent by this process in a session at whose hello Central did not have them: what it has of these is ours.
    pub(super) ours: SeqSet,
    /// In the spool, not known to be at Central as ours, not in flight.
    pub(super) todo: SeqSet,
    /// What Central had at the hello.
    greeted: Progress,
    /// What Central has as far as it told in this session.
    told: Progress,
    /// The same, with what is in flight.
    pub(super) theirs: Progress,
}

impl Default for LaneOut {
    fn default() -> Self {
        Self {
            next_seq: 1,
            held: SeqSet::new(),
            acked: SeqSet::new(),
            ours: SeqSet::new(),
            todo: SeqSet::new(),
            greeted: Progress::new(),
            told: Progress::new(),
            theirs: Progress::new(),
        }
    }
}

impl LaneOut {
    pub(super) fn new(stock: &LaneStock, ours: SeqSet) -> Self {
        Self {
            next_seq: stock.next_seq,
            held: stock.held.clone(),
            acked: stock.acked.clone(),
            todo: stock.held.without(&stock.acked),
            ours,
            ..Self::default()
        }
    }

    /// Weighs what the hello's answer says of this lane.
    ///
    /// A batch that is not acknowledged here counts as delivered only when this process has sent it while Central
    /// did not have its seq, and nobody else held the session since: else what Central has may be a clone's.
    pub(super) fn greet(
        &mut self,
        (lane, epoch): (Lane, Epoch),
        committed: &LaneCommitted,
        dropped: Option<&SeqSet>,
        new_epoch: bool,
    ) -> Settlement {
        let told = Progress::from(committed);
        // With all ranges used up, what lies above them was not told.
        let known_to = match committed.ranges.last() {
            Some(last) if committed.ranges.len() >= MAX_RANGES => last.1,
            _ => u64::MAX,
        };
        if new_epoch {
            self.ours = SeqSet::new();
        }
        let mut believed = self.acked.clone();
        believed.extend(&self.ours);
        let done = self.held.intersection(told.done()).intersection(&believed);
        let mut settlement = Settlement::of(epoch, lane, told.watermark());
        settlement.shared = new_epoch;
        settlement.acked = done.without(&self.acked);
        settlement.lacking = self.acked.without(told.done());
        settlement.lost = SeqSet::of(1, (self.next_seq - 1).min(known_to))
            .without(&self.held)
            .without(told.done());
        if let Some(dropped) = dropped {
            settlement.lost.subtract(dropped);
        }
        self.todo = self.held.without(&done);
        self.acked = done;
        self.theirs = told.clone();
        self.greeted = told.clone();
        self.told = told;
        settlement
    }

    /// New batches are in the spool.
    pub(super) fn grow(&mut self, next_seq: u64) {
        if next_seq > self.next_seq {
            self.held.insert(self.next_seq, next_seq - 1);
            self.todo.insert(self.next_seq, next_seq - 1);
            self.next_seq = next_seq;
        }
    }

    /// Batches are no longer in the spool.
    pub(super) fn lose(&mut self, from: u64, to: u64) {
        self.held.remove(from, to);
        self.acked.remove(from, to);
        self.todo.remove(from, to);
    }

    pub(super) fn sent(&mut self, seq: u64) {
        self.todo.remove(seq, seq);
        if !self.greeted.holds(seq) {
            self.ours.insert(seq, seq);
        }
        self.theirs.cover(seq, seq);
    }

    /// Decided, but not taken: to be sent once more.
    pub(super) fn again(&mut self, seq: u64) {
        if self.held.contains(seq) {
            self.todo.insert(seq, seq);
        }
    }

    /// Central told more; acks of several streams may come in another order than their commits.
    pub(super) fn told(&mut self, told: &Progress) {
        self.told.extend(told);
        self.theirs = self.told.clone();
    }
}
