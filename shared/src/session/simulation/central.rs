//! A model of Central: two files, each with its own age; one receiver per session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Broken;
use super::spool::Content;
use super::world::{Rules, SLOT_MS};
use crate::clock::Timestamp;
use crate::model::{BatchKey, Epoch, Lane, LayoutNo};
use crate::session::progress::Admit;
use crate::session::receiver::{
    Accept, BatchStep, Decided, Known, LeaseRow, Receiver, SnapshotStep,
};
use crate::session::{Progress, Stream};
use crate::wire::message::batch::{Batch, Dropped, LAYOUTS, SAMPLES};
use crate::wire::message::session::{
    Ack, Hello, HelloAnswer, LaneCommitted, SnapshotPart, WantedLayout,
};

/// One of central.db and metrics.db.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) leases: BTreeMap<usize, LeaseRow>,
    pub(super) lanes: BTreeMap<(usize, Lane, Epoch), Progress>,
    pub(super) crcs: BTreeMap<(usize, BatchKey), u32>,
    pub(super) shown: BTreeMap<(usize, BatchKey), Content>,
    /// (probe, lane, first slot, last slot) that is known to be missing, from `dropped` records.
    pub(super) gaps: Vec<(usize, Lane, i64, i64)>,
    pub(super) layouts: BTreeSet<(usize, Epoch)>,
    /// The latest slot in each done seq of the samples lane.
    pub(super) ends: BTreeMap<(usize, BatchKey), i64>,
    /// What the devices' state was last said to be.
    pub(super) state: BTreeMap<usize, u64>,
}

impl File {
    pub(super) fn committed(&self, probe: usize) -> Vec<LaneCommitted> {
        self.lanes
            .range((probe, Lane::Events, Epoch(0))..(probe + 1, Lane::Events, Epoch(0)))
            .map(|((_, lane, epoch), progress)| progress.to_committed(*epoch, *lane))
            .collect()
    }

    /// Until when the samples of a probe are here without a hole; see `ledger::complete_to` at Central.
    pub(super) fn complete_to(&self, probe: usize) -> i64 {
        let key = |epoch, seq| BatchKey {
            epoch,
            lane: Lane::Samples,
            seq,
        };
        let end = |epoch, from, to| {
            self.ends
                .range((probe, key(epoch, from))..=(probe, key(epoch, to)))
                .map(|(_, slot)| *slot)
                .max()
        };
        let newest = end_of_all(self.ends.iter().filter(|(at, _)| at.0 == probe));
        let mut complete = newest.unwrap_or(0);
        for ((owner, lane, epoch), progress) in &self.lanes {
            if *owner != probe || *lane != Lane::Samples || progress.ranges().is_empty() {
                continue;
            }
            let below = end(*epoch, 0, progress.watermark());
            let older = || {
                let earlier = self
                    .ends
                    .iter()
                    .filter(|(at, _)| at.0 == probe && at.1.epoch < *epoch);
                end_of_all(earlier)
            };
            // With nothing before it, the lowest range is where knowledge begins.
            let first = || {
                let range = progress.ranges().first()?;
                end(*epoch, range.0, range.1)
            };
            if let Some(slot) = below.or_else(older).or_else(first) {
                complete = complete.min(slot);
            }
        }
        complete
    }
}

fn end_of_all<'a>(ends: impl Iterator<Item = (&'a (usize, BatchKey), &'a i64)>) -> Option<i64> {
    ends.map(|(_, slot)| *slot).max()
}

pub(super) enum Up {
    Hello(Hello),
    Snapshot(SnapshotPart, u64),
    Dropped(Dropped),
    Batch(Batch),
}

pub(super) enum Down {
    Answer(HelloAnswer),
    Ack(Ack),
}

/// What a session's task has yet to do, each a step of its own.
pub(super) enum Op {
    Answer(Box<(Accept, Hello)>),
    Confirm(Vec<SnapshotPart>, u64),
    Drop(Dropped),
    PutLayouts(Vec<Epoch>),
    Commit(Stream, Vec<(Batch, BatchStep)>),
    /// Only with a rule broken: the data, after the watermark was committed on its own.
    Store(Vec<(BatchKey, Content)>),
    Ack(Stream, Vec<Decided>),
}

pub(super) struct Session {
    pub(super) probe: usize,
    pub(super) receiver: Receiver,
    pub(super) confirmed: bool,
    pub(super) inbox: Vec<(Stream, Batch, BatchStep)>,
    pub(super) ops: VecDeque<Op>,
}

impl Session {
    pub(super) fn new(
        probe: usize,
        accept: Accept,
        hello: Hello,
        now: crate::session::Tick,
    ) -> Self {
        let receiver = Receiver::new(&accept, now);
        Self {
            probe,
            receiver,
            confirmed: false,
            inbox: Vec::new(),
            ops: VecDeque::from([Op::Answer(Box::new((accept, hello)))]),
        }
    }

    /// Takes a frame; `Err` closes the session.
    pub(super) fn take(&mut self, stream: Stream, up: Up) -> Result<(), Broken> {
        match up {
            Up::Hello(_) => Err(Broken::new("a second hello")),
            Up::Snapshot(part, state) => match self.receiver.snapshot_part(part) {
                Ok(SnapshotStep::Complete(parts)) => {
                    self.ops.push_back(Op::Confirm(parts, state));
                    Ok(())
                }
                Ok(SnapshotStep::More) => Ok(()),
                Err(error) => Err(Broken::new(error)),
            },
            Up::Dropped(dropped) => {
                self.receiver.dropped(&dropped).map_err(Broken::new)?;
                self.ops.push_back(Op::Drop(dropped));
                Ok(())
            }
            Up::Batch(batch) => {
                let step = self.receiver.batch(&batch).map_err(Broken::new)?;
                self.inbox.push((stream, batch, step));
                Ok(())
            }
        }
    }

    /// Whether the next step is the answer to the hello.
    pub(super) fn is_to_answer(&self) -> bool {
        matches!(self.ops.front(), Some(Op::Answer(_)))
    }

    pub(super) fn has_work(&self) -> bool {
        !self.ops.is_empty() || !self.inbox.is_empty()
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub(super) events: File,
    pub(super) samples: File,
}

impl Files {
    fn of(&mut self, lane: Lane) -> &mut File {
        match lane {
            Lane::Events => &mut self.events,
            Lane::Samples => &mut self.samples,
        }
    }

    /// One step of a session's task; what it sends goes down its streams.
    pub(super) fn step(
        &mut self,
        session: &mut Session,
        now: i64,
        rules: &Rules,
    ) -> Vec<(Stream, Down)> {
        let Some(op) = session.ops.pop_front() else {
            self.group(session, rules);
            return Vec::new();
        };
        let probe = session.probe;
        match op {
            Op::Answer(pair) => {
                let (accept, hello) = *pair;
                let mut committed = self.events.committed(probe);
                committed.extend(self.samples.committed(probe));
                let known = Known {
                    committed,
                    want_layouts: self.undecoded(probe),
                    newest_committed: Timestamp(self.samples.complete_to(probe) * SLOT_MS),
                    now: Timestamp(now),
                    ..Known::default()
                };
                let answer = session.receiver.answer(&accept, &hello, known);
                vec![(Stream::Events, Down::Answer(answer))]
            }
            Op::Confirm(parts, state) => {
                let row = self.events.leases.entry(probe).or_default();
                assert!(!parts.is_empty());
                row.confirmed = row.confirmed.max(session.receiver.lease());
                self.events.state.insert(probe, state);
                session.receiver.confirmed();
                session.confirmed = true;
                Vec::new()
            }
            Op::Drop(dropped) => {
                let lane = Lane::from_code(dropped.lane).unwrap();
                let file = self.of(lane);
                let progress = file.lanes.entry((probe, lane, dropped.epoch)).or_default();
                let missing = progress.cover(dropped.from_seq, dropped.to_seq);
                let committed = progress.to_committed(dropped.epoch, lane);
                if lane == Lane::Samples {
                    for seq in missing.ranges().iter().flat_map(|range| range.0..=range.1) {
                        let key = BatchKey {
                            epoch: dropped.epoch,
                            lane,
                            seq,
                        };
                        file.ends.insert((probe, key), dropped.to.ms() / SLOT_MS);
                    }
                }
                if !missing.is_empty() && !rules.gapless_drop {
                    let slots = (dropped.from.ms() / SLOT_MS, dropped.to.ms() / SLOT_MS);
                    file.gaps.push((probe, lane, slots.0, slots.1));
                }
                let decided = Decided {
                    committed,
                    seqs: Vec::new(),
                    conflicts: Vec::new(),
                    want_layouts: Vec::new(),
                };
                session
                    .ops
                    .push_front(Op::Ack(Stream::Events, vec![decided]));
                Vec::new()
            }
            Op::PutLayouts(epochs) => {
                self.samples
                    .layouts
                    .extend(epochs.into_iter().map(|epoch| (probe, epoch)));
                Vec::new()
            }
            Op::Commit(stream, batches) => {
                let (decided, apart) = self.commit(probe, batches, rules);
                if rules.ack_before_commit {
                    return Vec::new();
                }
                session.ops.push_front(Op::Ack(stream, decided));
                if !apart.is_empty() {
                    session.ops.push_front(Op::Store(apart));
                }
                Vec::new()
            }
            Op::Store(contents) => {
                for (key, content) in contents {
                    self.of(key.lane).shown.insert((probe, key), content);
                }
                Vec::new()
            }
            Op::Ack(stream, decided) => decided
                .into_iter()
                .map(|decided| (stream, Down::Ack(session.receiver.ack(decided))))
                .collect(),
        }
    }

    /// Makes a group commit of what waits for one file on one stream.
    fn group(&mut self, session: &mut Session, rules: &Rules) {
        let Some((stream, _, step)) = session.inbox.first() else {
            return;
        };
        let (stream, lane) = (*stream, lane_of(step));
        let mut group = Vec::new();
        let mut rest = Vec::new();
        for (on, batch, step) in session.inbox.drain(..) {
            if on == stream && lane_of(&step) == lane {
                group.push((batch, step));
            } else {
                rest.push((on, batch, step));
            }
        }
        session.inbox = rest;
        let layouts: Vec<Epoch> = group
            .iter()
            .filter(|(batch, _)| batch.kind == LAYOUTS)
            .map(|(batch, _)| Epoch(Content::of(&batch.body).number))
            .collect();
        if !layouts.is_empty() {
            session.ops.push_back(Op::PutLayouts(layouts));
        }
        if rules.ack_before_commit {
            // Pretend: everything is done already.
            let mut pretended = self.clone();
            let (decided, _) = pretended.commit(session.probe, group.clone(), rules);
            session.ops.push_back(Op::Ack(stream, decided));
        }
        session.ops.push_back(Op::Commit(stream, group));
    }

    fn commit(
        &mut self,
        probe: usize,
        batches: Vec<(Batch, BatchStep)>,
        rules: &Rules,
    ) -> (Vec<Decided>, Vec<(BatchKey, Content)>) {
        let mut decided: BTreeMap<(Lane, Epoch), Decided> = BTreeMap::new();
        let mut apart = Vec::new();
        for (batch, step) in batches {
            let lane = lane_of(&step);
            let live = matches!(step, BatchStep::Commit { live: true, .. });
            let layout = (probe, Epoch(Content::of(&batch.body).number));
            let decodable = self.samples.layouts.contains(&layout);
            let file = self.of(lane);
            let progress = file.lanes.entry((probe, lane, batch.epoch)).or_default();
            let key = BatchKey {
                epoch: batch.epoch,
                lane,
                seq: batch.seq,
            };
            let content = Content::of(&batch.body);
            let answer = decided
                .entry((lane, batch.epoch))
                .or_insert_with(|| Decided {
                    committed: progress.to_committed(batch.epoch, lane),
                    seqs: Vec::new(),
                    conflicts: Vec::new(),
                    want_layouts: Vec::new(),
                });
            answer.seqs.push(batch.seq);
            let mut admit = if rules.admit_repeats && progress.holds(batch.seq) {
                Admit::New
            } else {
                progress.admit_within(batch.seq, rules.max_ranges)
            };
            // Given up by a `dropped` record, and here it is after all (or a clone's under the same key).
            if admit == Admit::Done && !file.crcs.contains_key(&(probe, key)) {
                admit = Admit::New;
            }
            match admit {
                Admit::New => {
                    file.crcs.insert((probe, key), batch.crc);
                    if lane == Lane::Samples {
                        file.ends.insert((probe, key), content.slot);
                    }
                    if rules.watermark_apart {
                        apart.push((key, content));
                    } else if rules.admit_repeats {
                        // A second row for the same key: shown twice.
                        let mut twice = key;
                        while file.shown.contains_key(&(probe, twice)) {
                            twice.seq += 1_000_000;
                        }
                        file.shown.insert((probe, twice), content);
                    } else {
                        file.shown.insert((probe, key), content);
                    }
                    if batch.kind == crate::wire::message::batch::EVENTS
                        && (live || rules.late_sets_state)
                    {
                        file.state.insert(probe, content.number);
                    }
                    if batch.kind == SAMPLES && !decodable {
                        answer.want_layouts.push(WantedLayout {
                            epoch: Epoch(content.number),
                            layout: LayoutNo(1),
                        });
                    }
                }
                Admit::Done => {
                    let crc = file.crcs.get(&(probe, key));
                    if crc.is_some_and(|crc| *crc != batch.crc) && !rules.no_crc {
                        answer.conflicts.push(batch.seq);
                    }
                }
                Admit::Full => {}
            }
            answer.committed =
                file.lanes[&(probe, lane, batch.epoch)].to_committed(batch.epoch, lane);
        }
        (decided.into_values().collect(), apart)
    }

    fn undecoded(&self, probe: usize) -> Vec<WantedLayout> {
        let wanted: BTreeSet<WantedLayout> = self
            .samples
            .shown
            .iter()
            .filter(|(at, _)| at.0 == probe)
            .map(|(_, content)| Epoch(content.number))
            .filter(|epoch| !self.samples.layouts.contains(&(probe, *epoch)))
            .map(|epoch| WantedLayout {
                epoch,
                layout: LayoutNo(1),
            })
            .collect();
        wanted.into_iter().collect()
    }
}

fn lane_of(step: &BatchStep) -> Lane {
    match step {
        BatchStep::Commit { lane, .. } | BatchStep::SetAside { lane, .. } => *lane,
    }
}
