//! What the spool tells the sender, and what the sender tells the spool.

use crate::clock::Timestamp;
use crate::model::{Epoch, Lane};
use crate::session::SeqSet;
use crate::wire::message::batch::Dropped;
use crate::wire::message::session::LaneHeld;

/// The spool at the start of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stock {
    /// The epoch of new batches.
    pub running: Epoch,
    /// The lease last stored; 0 before the first.
    pub lease: u64,
    /// Every lane of every epoch that is remembered.
    pub lanes: Vec<LaneStock>,
    /// Ranges dropped unsent, until Central's watermark has passed them.
    pub dropped: Vec<Dropped>,
    /// From here on this store accounts for all time, with samples or gaps: its birth, or the start of the gap that was
    /// written for the time before.
    pub known_from: Timestamp,
}

impl Stock {
    /// The part that changes during a session.
    #[must_use]
    pub fn heads(&self) -> Heads {
        Heads {
            running: self.running,
            lanes: self
                .lanes
                .iter()
                .map(|lane| (lane.epoch, lane.lane, lane.next_seq))
                .collect(),
            dropped: self.dropped.clone(),
        }
    }
}

/// One lane at the start of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStock {
    /// Which start.
    pub epoch: Epoch,
    /// Which lane.
    pub lane: Lane,
    /// The seq that the next batch will get.
    pub next_seq: u64,
    /// Batches in the spool, acknowledged or not.
    pub held: SeqSet,
    /// Those of them that are acknowledged.
    pub acked: SeqSet,
}

impl LaneStock {
    /// As the hello says it.
    #[must_use]
    pub fn to_held(&self) -> LaneHeld {
        LaneHeld {
            epoch: self.epoch,
            lane: self.lane.code(),
            first_seq: self.held.first().unwrap_or(self.next_seq),
            next_seq: self.next_seq,
        }
    }
}

/// What grows and is lost during a session; cheap to read after each commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    /// The epoch of new batches.
    pub running: Epoch,
    /// (epoch, lane, the seq that the next batch will get).
    pub lanes: Vec<(Epoch, Lane, u64)>,
    /// Ranges dropped unsent, until Central's watermark has passed them.
    pub dropped: Vec<Dropped>,
}

/// What the spool writes down of one lane, all of it in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Which start.
    pub epoch: Epoch,
    /// Which lane.
    pub lane: Lane,
    /// Central's watermark: `dropped` records at or below it have done their work.
    pub watermark: u64,
    /// To be marked as acknowledged.
    pub acked: SeqSet,
    /// Acknowledged once, but Central lacks them (it was restored): to be sent again and kept until acknowledged anew.
    pub lacking: SeqSet,
    /// Neither here nor at Central, and in no `dropped` record: to be recorded as dropped, reason `too_old`.
    pub lost: SeqSet,
    /// Somebody else has written under this epoch's keys (a copy of this probe, or its lost future): what was or will be
    /// dropped of it is told under a key of our own as well, because Central may have other content under the old one.
    pub shared: bool,
}

impl Settlement {
    /// Nothing but a watermark.
    #[must_use]
    pub const fn of(epoch: Epoch, lane: Lane, watermark: u64) -> Self {
        Self {
            epoch,
            lane,
            watermark,
            acked: SeqSet::new(),
            lacking: SeqSet::new(),
            lost: SeqSet::new(),
            shared: false,
        }
    }
}
