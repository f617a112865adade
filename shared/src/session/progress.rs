//! What Central has of one lane: a watermark and ranges above it.

use super::{MAX_RANGES, SeqSet};
use crate::model::{Epoch, Lane};
use crate::wire::message::session::LaneCommitted;

/// Whether a seq is new to a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Now counted as done; store it in the same transaction.
    New,
    /// Was done before.
    Done,
    /// It would be one range too many; the probe sends the lowest hole first and this one again later.
    Full,
}

/// What is done of one lane of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    done: SeqSet,
}

impl Progress {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            done: SeqSet::new(),
        }
    }

    /// As it was told or stored: `watermark` and ranges above it.
    #[must_use]
    pub fn from_parts(watermark: u64, ranges: &[(u64, u64)]) -> Self {
        let mut done = SeqSet::of(1, watermark);
        for &(from, to) in ranges {
            done.insert(from.max(1), to);
        }
        Self { done }
    }

    /// Every seq up to and including this one is done.
    #[must_use]
    pub fn watermark(&self) -> u64 {
        self.done.next_absent(1) - 1
    }

    /// Done ranges above the watermark.
    #[must_use]
    pub fn ranges(&self) -> &[(u64, u64)] {
        let all = self.done.ranges();
        if self.done.first() == Some(1) {
            &all[1..]
        } else {
            all
        }
    }

    /// Whether `seq` is done.
    #[must_use]
    pub fn holds(&self, seq: u64) -> bool {
        self.done.contains(seq)
    }

    /// Everything that is done.
    #[must_use]
    pub const fn done(&self) -> &SeqSet {
        &self.done
    }

    /// Whether `seq` would need a range of its own.
    #[must_use]
    pub fn is_apart(&self, seq: u64) -> bool {
        seq > 1 && !self.done.contains(seq - 1) && !self.done.contains(seq + 1)
    }

    /// Counts `seq` as done, unless it was or there is no room for its range.
    pub fn admit(&mut self, seq: u64) -> Admit {
        self.admit_within(seq, MAX_RANGES)
    }

    /// The same with room for `max_ranges`.
    pub fn admit_within(&mut self, seq: u64, max_ranges: usize) -> Admit {
        if seq == 0 || self.done.contains(seq) {
            Admit::Done
        } else if self.ranges().len() >= max_ranges && self.is_apart(seq) {
            Admit::Full
        } else {
            self.done.insert(seq, seq);
            Admit::New
        }
    }

    /// Counts `from..=to` as done; returns what was not before. Never refused: what is gone cannot be sent later.
    pub fn cover(&mut self, from: u64, to: u64) -> SeqSet {
        let range = SeqSet::of(from.max(1), to);
        let missing = range.without(&self.done);
        self.done.insert(from.max(1), to);
        missing
    }

    /// Counts everything as done that `other` has done.
    pub fn extend(&mut self, other: &Self) {
        self.done.extend(&other.done);
    }

    /// As it travels: the lowest [`MAX_RANGES`] ranges.
    #[must_use]
    pub fn to_committed(&self, epoch: Epoch, lane: Lane) -> LaneCommitted {
        LaneCommitted {
            epoch,
            lane: lane.code(),
            watermark: self.watermark(),
            ranges: self.ranges().iter().take(MAX_RANGES).copied().collect(),
        }
    }
}

impl From<&LaneCommitted> for Progress {
    fn from(told: &LaneCommitted) -> Self {
        Self::from_parts(told.watermark, &told.ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_hole_moves_the_watermark_past_the_ranges() {
        let mut lane = Progress::new();
        for seq in [1, 2, 4, 5, 7] {
            assert_eq!(lane.admit(seq), Admit::New);
        }
        assert_eq!(
            (lane.watermark(), lane.ranges()),
            (2, &[(4, 5), (7, 7)][..])
        );
        assert_eq!(lane.admit(4), Admit::Done);
        assert_eq!(lane.admit(3), Admit::New);
        assert_eq!((lane.watermark(), lane.ranges()), (5, &[(7, 7)][..]));
        assert_eq!(lane.cover(5, 9).ranges(), &[(6, 6), (8, 9)]);
        assert_eq!((lane.watermark(), lane.ranges()), (9, &[][..]));
    }

    #[test]
    fn at_the_cap_only_holes_and_neighbours_are_admitted() {
        let mut lane = Progress::new();
        for n in 0..MAX_RANGES as u64 {
            assert_eq!(lane.admit(10 + 3 * n), Admit::New);
        }
        let beyond = 10 + 3 * MAX_RANGES as u64;
        assert_eq!(lane.admit(beyond), Admit::Full);
        assert!(!lane.holds(beyond));
        assert_eq!(lane.admit(11), Admit::New, "a neighbour needs no range");
        assert_eq!(lane.admit(1), Admit::New, "the lowest hole needs no range");
        let told = lane.to_committed(Epoch(1), Lane::Samples);
        assert_eq!(Progress::from(&told), lane);
    }
}
