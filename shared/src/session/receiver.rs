//! Central's side of one session: what a frame of the probe means, what may be committed, what is answered.
//!
//! What is committed lives in SQL, in the transaction of the data (`ledger` at Central); the machine holds only the
//! session: its lease, its snapshot, what it has asked for, when it last heard the probe.

use std::collections::BTreeSet;

use crate::clock::Timestamp;
use crate::model::{Epoch, GapReason, Lane};
use crate::session::{LATE_AFTER_MS, MAX_RANGES, SILENT_AFTER_MS, Tick};
use crate::wire::codec::BATCH_BYTES;
use crate::wire::message::batch::{Batch, Dropped};
use crate::wire::message::session::{
    Ack, Hello, HelloAnswer, LaneCommitted, SnapshotPart, WantedLayout,
};

mod lease;
mod snapshot;

pub use lease::{Accept, LeaseRow, Refuse, Rival, Verdict, judge};
pub use snapshot::{Assembly, SnapshotStep};

/// The answer to a hello stays below the limit of an ordinary frame.
const ANSWER_BYTES: usize = 60 * 1024;

/// The probe broke the protocol: close with [`super::CloseReason::Protocol`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// A batch or a dropped range before the snapshot has confirmed the lease.
    #[error("a batch came before the snapshot")]
    BeforeSnapshot,
    /// A snapshot part with another lease, epoch or number of parts, or too many of them.
    #[error("a snapshot part does not fit: {0}")]
    Snapshot(&'static str),
    /// A batch or dropped range that no probe of ours makes.
    #[error("a batch does not make sense: {0}")]
    Batch(&'static str),
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchStep {
    /// Admit it and store it in one transaction, then ack.
    Commit {
        /// Events go to central.db, samples to metrics.db.
        lane: Lane,
        /// False: history. It never pages and never overwrites a newer state.
        live: bool,
    },
    /// The body is not what its crc says: mark the seq as dropped (`quarantined`, `from`..`to` of the batch), then ack.
    SetAside {
        /// Which lane.
        lane: Lane,
        /// Why there is a gap.
        reason: GapReason,
    },
}

/// How fresh a probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// Heard within 30 s.
    Fresh,
    /// Not heard for 30 s: a mark, no state changes.
    Late,
    /// Not heard for 60 s: its devices are `unknown`, one incident.
    Silent,
}

/// How fresh a probe is that was last heard at `heard`; for a probe without a session as well.
#[must_use]
pub const fn freshness(heard: Tick, now: Tick) -> Freshness {
    match now.since(heard) {
        ..LATE_AFTER_MS => Freshness::Fresh,
        LATE_AFTER_MS..SILENT_AFTER_MS => Freshness::Late,
        _ => Freshness::Silent,
    }
}

/// What the answer to an accepted hello says beside the lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What both files have committed of this probe; any order.
    pub committed: Vec<LaneCommitted>,
    /// Layouts that committed but undecoded batches name.
    pub want_layouts: Vec<WantedLayout>,
    /// Newest slot or event committed, ever.
    pub newest_committed: Timestamp,
    /// The highest device number known.
    pub highest_device_no: u32,
    /// Newest revision of the site's configuration.
    pub config_revision: u64,
    /// Newest revision of the list of addresses.
    pub addresses_revision: u64,
    /// Central's wall clock.
    pub now: Timestamp,
}

/// What one group commit decided of one lane's batches that came on one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The lane after the commit.
    pub committed: LaneCommitted,
    /// Every seq of the group, admitted, repeated, conflicting or without room.
    pub seqs: Vec<u64>,
    /// Those with other content than what is committed.
    pub conflicts: Vec<u64>,
    /// Layouts that the batches name and that are not known.
    pub want_layouts: Vec<WantedLayout>,
}

/// Central's half of one session.
#[derive(Clone, Debug)]
pub struct Receiver {
    lease: u64,
    phase: Phase,
    asked: BTreeSet<WantedLayout>,
    heard: Tick,
    config_revision: u64,
    addresses_revision: u64,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Waiting for the snapshot's parts.
    Collecting(Assembly),
    /// The driver is committing snapshot and lease.
    Confirming(Marks),
    Open(Marks),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marks {
    epoch: Epoch,
    events_from_seq: u64,
    samples_from_seq: u64,
}

impl Receiver {
    /// A session that [`judge`] has accepted; its lease row is stored, its answer is about to go.
    #[must_use]
    pub fn new(accept: &Accept, now: Tick) -> Self {
        Self {
            lease: accept.lease,
            phase: Phase::Collecting(Assembly::new(accept.lease)),
            asked: BTreeSet::new(),
            heard: now,
            config_revision: 0,
            addresses_revision: 0,
        }
    }

    /// The answer to the hello, within the limit of its frame.
    pub fn answer(&mut self, accept: &Accept, hello: &Hello, known: Known) -> HelloAnswer {
        self.config_revision = known.config_revision;
        self.addresses_revision = known.addresses_revision;
        let want_layouts = self.wants(&known.want_layouts);
        HelloAnswer {
            version: 1,
            refused: String::new(),
            retry_after_ms: 0,
            lease: accept.lease,
            new_epoch: accept.new_epoch,
            restored: accept.restored,
            now: known.now,
            committed: told_to(hello, &known.committed),
            want_layouts,
            newest_committed: known.newest_committed,
            highest_device_no: known.highest_device_no,
            config_revision: known.config_revision,
            addresses_revision: known.addresses_revision,
        }
    }

    /// The lease of this session.
    #[must_use]
    pub const fn lease(&self) -> u64 {
        self.lease
    }

    /// Takes a part of the snapshot.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn snapshot_part(&mut self, part: SnapshotPart) -> Result<SnapshotStep, Broken> {
        let Phase::Collecting(assembly) = &mut self.phase else {
            return Err(Broken::Snapshot("a second snapshot"));
        };
        let step = assembly.take(part)?;
        if let SnapshotStep::Complete(parts) = &step
            && let Some(first) = parts.first()
        {
            self.phase = Phase::Confirming(Marks {
                epoch: first.epoch,
                events_from_seq: first.events_from_seq,
                samples_from_seq: first.samples_from_seq,
            });
        }
        Ok(step)
    }

    /// The snapshot and `lease_confirmed` are on disk: batches may come.
    pub fn confirmed(&mut self) {
        if let Phase::Confirming(marks) = self.phase {
            self.phase = Phase::Open(marks);
        }
    }

    /// Whether [`Self::confirmed`] was said: until then the live and backlog streams are not read.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Looks at a batch that was read from any stream.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn batch(&mut self, batch: &Batch) -> Result<BatchStep, Broken> {
        let Phase::Open(marks) = self.phase else {
            return Err(Broken::BeforeSnapshot);
        };
        let lane = Lane::from_code(batch.lane).ok_or(Broken::Batch("unknown lane"))?;
        if batch.seq == 0 || batch.seq > MAX_SEQ {
            return Err(Broken::Batch("seq out of range"));
        }
        if batch.body.len() > BATCH_BYTES {
            return Err(Broken::Batch("body over 64 KiB"));
        }
        if crate::session::crc(&batch.body) != batch.crc {
            return Ok(BatchStep::SetAside {
                lane,
                reason: GapReason::Quarantined,
            });
        }
        let from_seq = match lane {
            Lane::Events => marks.events_from_seq,
            Lane::Samples => marks.samples_from_seq,
        };
        let live = batch.epoch == marks.epoch && batch.seq >= from_seq;
        Ok(BatchStep::Commit { lane, live })
    }

    /// Looks at a dropped range: its lane says which file marks it.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn dropped(&mut self, dropped: &Dropped) -> Result<Lane, Broken> {
        if !self.is_open() {
            return Err(Broken::BeforeSnapshot);
        }
        if dropped.from_seq == 0 || dropped.to_seq < dropped.from_seq || dropped.to_seq > MAX_SEQ {
            return Err(Broken::Batch("dropped range out of range"));
        }
        Lane::from_code(dropped.lane).ok_or(Broken::Batch("unknown lane"))
    }

    /// The ack of what was committed; only from the commit's callback.
    pub fn ack(&mut self, decided: Decided) -> Ack {
        let want_layouts = self.wants(&decided.want_layouts);
        Ack {
            committed: decided.committed,
            decided: decided.seqs,
            conflicts: decided.conflicts,
            want_layouts,
            config_revision: self.config_revision,
            addresses_revision: self.addresses_revision,
        }
    }

    /// Newer revisions, to be told with the next ack.
    pub fn revisions(&mut self, config_revision: u64, addresses_revision: u64) {
        self.config_revision = config_revision;
        self.addresses_revision = addresses_revision;
    }

    /// Anything arrived on any stream.
    pub fn heard(&mut self, now: Tick) {
        self.heard = self.heard.max(now);
    }

    /// When the probe was last heard.
    #[must_use]
    pub const fn last_heard(&self) -> Tick {
        self.heard
    }

    /// Each layout is asked for once a session, a bounded number at a time.
    fn wants(&mut self, wants: &[WantedLayout]) -> Vec<WantedLayout> {
        wants
            .iter()
            .filter(|want| self.asked.insert(**want))
            .take(WANTS_AT_ONCE)
            .copied()
            .collect()
    }
}

/// No probe gets this far; refuses numbers that SQL cannot keep.
const MAX_SEQ: u64 = i64::MAX as u64 - 1;
/// Layouts asked for in one frame.
const WANTS_AT_ONCE: usize = 1_024;

/// The refusal of a hello as it travels.
#[must_use]
pub fn refusal(refuse: &Refuse, now: Timestamp) -> HelloAnswer {
    HelloAnswer {
        version: 1,
        refused: refuse.word.to_owned(),
        retry_after_ms: refuse.retry_after_ms,
        lease: 0,
        new_epoch: false,
        restored: false,
        now,
        committed: Vec::new(),
        want_layouts: Vec::new(),
        newest_committed: Timestamp(0),
        highest_device_no: 0,
        config_revision: 0,
        addresses_revision: 0,
    }
}

/// What is committed of the lanes that the hello names, in its order, as many as fit; and the newest epoch known.
fn told_to(hello: &Hello, committed: &[LaneCommitted]) -> Vec<LaneCommitted> {
    let mut out: Vec<LaneCommitted> = Vec::new();
    let mut bytes = 0;
    for held in &hello.held {
        let found = committed
            .iter()
            .find(|told| told.epoch == held.epoch && told.lane == held.lane);
        let mut told = found.cloned().unwrap_or(LaneCommitted {
            epoch: held.epoch,
            lane: held.lane,
            watermark: 0,
            ranges: Vec::new(),
        });
        told.ranges.truncate(MAX_RANGES);
        bytes += crate::wire::encode(&told).len();
        if bytes > ANSWER_BYTES {
            break;
        }
        out.push(told);
    }
    let newest = committed.iter().max_by_key(|told| told.epoch);
    if let Some(newest) = newest
        && !out.iter().any(|told| told.epoch == newest.epoch)
    {
        out.push(LaneCommitted {
            ranges: Vec::new(),
            ..newest.clone()
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_late_at_thirty_seconds_and_silent_at_sixty() {
        let heard = Tick(1_000);
        assert_eq!(freshness(heard, Tick(30_999)), Freshness::Fresh);
        assert_eq!(freshness(heard, Tick(31_000)), Freshness::Late);
        assert_eq!(freshness(heard, Tick(60_999)), Freshness::Late);
        assert_eq!(freshness(heard, Tick(61_000)), Freshness::Silent);
        assert_eq!(freshness(heard, Tick(0)), Freshness::Fresh);
    }
}
