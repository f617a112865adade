//! The probe's side: what the hello says, what is sent next on which stream, what an answer means.
//!
//! One [`Sender`] lives as long as the process: it remembers over sessions which batches it has sent. Each session runs
//! `hello` → `answer` → (the driver settles the spool) → `begin` → `next`/`sent`/`ack`/`refresh` … → `closed`.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::model::{BatchKey, Epoch, Lane};
use crate::session::{HELLO_LANES, MAX_RANGES, Progress, SeqSet, Stream, Tick, UNDECIDED_BYTES};
use crate::wire::codec::BATCH_BYTES;
use crate::wire::message::batch::Dropped;
use crate::wire::message::session::{Ack, Hello, HelloAnswer, LaneHeld, WantedLayout};

mod bucket;
mod lane;
mod redial;
mod stock;

pub use bucket::Bucket;
pub use redial::Redial;
pub use stock::{Heads, LaneStock, Settlement, Stock};

use super::CloseReason;
use lane::LaneOut;

/// What a sender may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Undecided bytes of a session, all streams.
    pub undecided_bytes: u64,
    /// Bytes a second on the backlog stream. The default, 1 MB/s, is ten times the live rate of any probe whose live
    /// batches fill less than 100 kB/s (about 4 million samples a minute).
    pub backlog_bytes_per_s: u64,
    /// Ranges that Central keeps per lane.
    pub max_ranges: usize,
    /// Batches that one order names at the most.
    pub order_batches: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            undecided_bytes: UNDECIDED_BYTES,
            backlog_bytes_per_s: 1_000_000,
            max_ranges: MAX_RANGES,
            order_batches: 64,
        }
    }
}

/// What a hello says beside the spool's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The program, e.g. `farwatch-probe 0.1.0`.
    pub program: String,
    /// The machine's name.
    pub host_name: String,
    /// Operating system and architecture.
    pub os: String,
    /// This boot of the machine.
    pub boot_id: String,
    /// Wall clock.
    pub now: Timestamp,
    /// Boot-time clock, ms.
    pub boot_ms: i64,
    /// The highest device number ever minted here.
    pub highest_device_no: u32,
}

/// What Central made of the hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// No session; dial again at `redial_at`.
    Refused {
        /// `clone`, `busy`, `revoked`, `version`.
        word: String,
        /// Not before this.
        redial_at: Tick,
    },
    /// Carry this out, then call [`Sender::begin`].
    Accepted(Greeting),
}

/// What the driver does between the hello's answer and the first push, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// To be stored, fsynced, together with `settlements`: `spool.greet(lease, settlements)`.
    pub lease: u64,
    /// What Central has and lacks, lane by lane.
    pub settlements: Vec<Settlement>,
    /// Then, when set: a new epoch whose start counter is above this one: `spool.start_epoch(above)`.
    pub new_epoch_above: Option<u32>,
    /// Then, when set: time that neither Central nor this store accounts for (the store is younger than what Central
    /// has): commit a `ProbeGap` (`probe_off`) over it, with `spool::account_from` in the same transaction.
    pub unaccounted: Option<(Timestamp, Timestamp)>,
    /// Central was restored from a backup.
    pub restored: bool,
    /// Layouts to send again: `spool.emit_layouts`.
    pub want_layouts: Vec<WantedLayout>,
}

/// Where the session's own data begins. Read the states for the snapshot after this, under the lock that commits events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The lease of the session.
    pub lease: u64,
    /// The running epoch.
    pub epoch: Epoch,
    /// Events of this epoch from here on are live.
    pub events_from_seq: u64,
    /// Samples of this epoch from here on are live.
    pub samples_from_seq: u64,
}

/// What to do on one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Read these from the spool and send them.
    Send(Order),
    /// The backlog's rate is used up until then.
    Wait(Tick),
    /// Nothing to send, or the window is full: ask again after an ack or a refresh.
    Idle,
}

/// Batches to send: read from `from_seq` on, at least one, no further than `to_seq` and `max_bytes`; then say
/// [`Sender::sent`] for each, or [`Sender::missing`] for one that the spool does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// On which stream.
    pub stream: Stream,
    /// Of which start.
    pub epoch: Epoch,
    /// Of which lane.
    pub lane: Lane,
    /// First seq, inclusive.
    pub from_seq: u64,
    /// Last seq, inclusive.
    pub to_seq: u64,
    /// Bodies together, except that one batch always goes.
    pub max_bytes: u64,
}

/// What an ack means for the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acked {
    /// To be stored in one transaction: `spool.settle`.
    pub settlement: Settlement,
    /// To be given new keys: `spool.rekey`, then [`Sender::refresh`].
    pub conflicts: Vec<BatchKey>,
    /// To be sent again, each once a session: `spool.emit_layouts`, then [`Sender::refresh`].
    pub want_layouts: Vec<WantedLayout>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Central said so.
    ByPeer(CloseReason),
    /// Timeout, reset, no route; or the attempt's deadline.
    Lost,
    /// We said so.
    ByUs,
}

/// What follows the end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfterClose {
    /// The batch that may have made Central close: count it with `spool.blame`; at [`super::POISON_CLOSES`] set it aside
    /// with `spool.set_aside` (reason `quarantined`).
    pub blamed: Option<BatchKey>,
    /// Dial again then.
    pub redial_at: Tick,
}

/// The probe's half of delivery.
#[derive(Clone, Debug)]
pub struct Sender {
    limits: Limits,
    phase: Phase,
    lanes: BTreeMap<(Lane, Epoch), LaneOut>,
    /// Lanes that the hello or its answer had no room for: not touched in this session.
    left_out: BTreeSet<(Lane, Epoch)>,
    dropped: BTreeMap<(Lane, Epoch, u64), Told>,
    flights: BTreeMap<BatchKey, Flight>,
    undecided: u64,
    sent_total: u64,
    /// Undecided at a close that Central made: sent first and alone, oldest first.
    suspects: Vec<BatchKey>,
    layouts_sent: BTreeSet<WantedLayout>,
    known_from: Timestamp,
    bucket: Bucket,
    redial: Redial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Apart,
    Greeting { epoch: Epoch },
    Greeted { lease: u64 },
    Open(Marks),
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    bytes: u64,
    order: u64,
}

/// A dropped range, and how far it was told in this session.
#[derive(Clone, Debug)]
struct Told {
    dropped: Dropped,
    to_seq: u64,
}

impl Sender {
    /// A sender that knows nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            phase: Phase::Apart,
            lanes: BTreeMap::new(),
            left_out: BTreeSet::new(),
            dropped: BTreeMap::new(),
            flights: BTreeMap::new(),
            undecided: 0,
            sent_total: 0,
            suspects: Vec::new(),
            layouts_sent: BTreeSet::new(),
            known_from: Timestamp(0),
            bucket: Bucket::new(limits.backlog_bytes_per_s),
            redial: Redial::default(),
        }
    }

    /// The first frame of a session, from the spool's state now.
    pub fn hello(&mut self, stock: &Stock, facts: Facts) -> Hello {
        self.take_stock(stock);
        self.phase = Phase::Greeting {
            epoch: stock.running,
        };
        let mut held: Vec<LaneHeld> = stock.lanes.iter().map(LaneStock::to_held).collect();
        // The running epoch first, then what waits longest; what does not fit waits for another session.
        let waiting: BTreeSet<(Lane, Epoch)> = self
            .lanes
            .iter()
            .filter(|(_, lane)| lane.held != lane.acked)
            .map(|(key, _)| *key)
            .collect();
        held.sort_by_key(|lane| {
            let key = (Lane::from_code(lane.lane), lane.epoch);
            let waits = key.0.is_some_and(|code| waiting.contains(&(code, key.1)));
            (lane.epoch != stock.running, !waits, lane.epoch, lane.lane)
        });
        held.truncate(HELLO_LANES);
        let named: BTreeSet<(Epoch, u8)> = held.iter().map(|l| (l.epoch, l.lane)).collect();
        self.left_out = self
            .lanes
            .keys()
            .filter(|(lane, epoch)| !named.contains(&(*epoch, lane.code())))
            .copied()
            .collect();
        Hello {
            versions: vec![1],
            program: facts.program,
            host_name: facts.host_name,
            os: facts.os,
            epoch: stock.running,
            lease: stock.lease,
            boot_id: facts.boot_id,
            now: facts.now,
            boot_ms: facts.boot_ms,
            held,
            highest_device_no: facts.highest_device_no,
        }
    }

    /// Reads Central's answer. `random` spreads the next attempt when it is a refusal.
    pub fn answer(&mut self, answer: &HelloAnswer, now: Tick, random: u64) -> Answered {
        let Phase::Greeting { epoch: running } = self.phase else {
            return self.refuse("protocol", 0, now, random);
        };
        if !answer.refused.is_empty() {
            return self.refuse(&answer.refused, answer.retry_after_ms, now, random);
        }
        if answer.version != 1 {
            return self.refuse("version", answer.retry_after_ms, now, random);
        }
        let mut settlements = Vec::new();
        let dropped = self.dropped_seqs();
        for (key, lane) in &mut self.lanes {
            let told = answer
                .committed
                .iter()
                .find(|told| told.epoch == key.1 && told.lane == key.0.code());
            let Some(told) = told else {
                self.left_out.insert(*key);
                continue;
            };
            let gone = dropped.get(key);
            settlements.push(lane.greet(*key, told, gone, answer.new_epoch));
        }
        let newest = answer
            .committed
            .iter()
            .map(|told| told.epoch.start())
            .chain(self.lanes.keys().map(|(_, epoch)| epoch.start()))
            .max();
        self.phase = Phase::Greeted {
            lease: answer.lease,
        };
        Answered::Accepted(Greeting {
            lease: answer.lease,
            settlements,
            new_epoch_above: answer
                .new_epoch
                .then(|| newest.unwrap_or(0).max(running.start())),
            unaccounted: (answer.newest_committed.ms() > 0
                && answer.newest_committed < self.known_from)
                .then_some((answer.newest_committed, self.known_from)),
            restored: answer.restored,
            want_layouts: self.new_wants(&answer.want_layouts),
        })
    }

    /// Opens the session for pushing, with the spool as it is after everything in [`Greeting`] was carried out.
    ///
    /// # Panics
    /// When no answer was accepted before.
    pub fn begin(&mut self, heads: &Heads, now: Tick) -> Marks {
        let Phase::Greeted { lease } = self.phase else {
            panic!("begin follows an accepted answer");
        };
        self.refresh(heads);
        let next = |lane| {
            self.lanes
                .get(&(lane, heads.running))
                .map_or(1, |out| out.next_seq)
        };
        let marks = Marks {
            lease,
            epoch: heads.running,
            events_from_seq: next(Lane::Events),
            samples_from_seq: next(Lane::Samples),
        };
        self.bucket.start(now);
        self.phase = Phase::Open(marks);
        marks
    }

    /// Whether batches may be sent.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Takes up what became durable, was dropped or was given a new key since the last look.
    pub fn refresh(&mut self, heads: &Heads) {
        for &(epoch, lane, next_seq) in &heads.lanes {
            let out = self.lanes.entry((lane, epoch)).or_default();
            out.grow(next_seq);
        }
        let mut dropped = BTreeMap::new();
        for record in &heads.dropped {
            let Some(lane) = Lane::from_code(record.lane) else {
                continue;
            };
            if let Some(out) = self.lanes.get_mut(&(lane, record.epoch)) {
                out.lose(record.from_seq, record.to_seq);
            }
            let key = (lane, record.epoch, record.from_seq);
            let to_seq = self.dropped.get(&key).map_or(0, |told| told.to_seq);
            let told = Told {
                dropped: record.clone(),
                to_seq,
            };
            dropped.insert(key, told);
        }
        self.dropped = dropped;
    }

    /// Dropped ranges to tell on the events stream now; each once a session, again when it has grown.
    pub fn next_dropped(&mut self) -> Vec<Dropped> {
        if !self.is_open() {
            return Vec::new();
        }
        let mut out = Vec::new();
        for ((lane, epoch, _), told) in &mut self.dropped {
            if told.to_seq < told.dropped.to_seq && !self.left_out.contains(&(*lane, *epoch)) {
                told.to_seq = told.dropped.to_seq;
                out.push(told.dropped.clone());
            }
        }
        out
    }

    /// What to send on `stream` now. Ask the streams in the order of [`Stream::ALL`].
    pub fn next(&mut self, stream: Stream, now: Tick) -> Next {
        let Phase::Open(marks) = self.phase else {
            return Next::Idle;
        };
        if let Some(next) = self.next_suspect(stream, &marks) {
            return next;
        }
        // Live data and events always find room that the backlog may not take.
        let kept_free = match stream {
            Stream::Events => 0,
            Stream::Live => self.limits.undecided_bytes / 16,
            Stream::Backlog => self.limits.undecided_bytes / 8,
        };
        let taken = self.undecided.saturating_add(kept_free);
        let room = self.limits.undecided_bytes.saturating_sub(taken);
        if room < BATCH_BYTES as u64 && !self.flights.is_empty() {
            return Next::Idle;
        }
        let Some(mut order) = self.pick(stream, &marks) else {
            return Next::Idle;
        };
        order.max_bytes = room;
        if stream == Stream::Backlog {
            match self.bucket.ready(now) {
                Ok(bytes) => order.max_bytes = room.min(bytes),
                Err(at) => return Next::Wait(at),
            }
        }
        Next::Send(order)
    }

    /// A batch was handed to the stream.
    pub fn sent(&mut self, stream: Stream, key: BatchKey, bytes: u64) {
        if let Some(lane) = self.lanes.get_mut(&(key.lane, key.epoch)) {
            lane.sent(key.seq);
        }
        if stream == Stream::Backlog {
            self.bucket.take(bytes);
        }
        self.sent_total += 1;
        let flight = Flight {
            bytes,
            order: self.sent_total,
        };
        if let Some(before) = self.flights.insert(key, flight) {
            self.undecided -= before.bytes;
        }
        self.undecided += bytes;
    }

    /// The spool does not have this batch (any more): it is not asked for again.
    pub fn missing(&mut self, key: BatchKey) {
        if let Some(lane) = self.lanes.get_mut(&(key.lane, key.epoch)) {
            lane.lose(key.seq, key.seq);
        }
    }

    /// Reads an ack.
    pub fn ack(&mut self, ack: &Ack) -> Acked {
        let told = Progress::from(&ack.committed);
        let epoch = ack.committed.epoch;
        let mut settlement = Settlement::of(epoch, Lane::Events, told.watermark());
        let mut conflicts = Vec::new();
        if let Some(code) = Lane::from_code(ack.committed.lane)
            && let Some(lane) = self.lanes.get_mut(&(code, epoch))
        {
            settlement.lane = code;
            for &seq in &ack.decided {
                let key = BatchKey {
                    epoch,
                    lane: code,
                    seq,
                };
                let Some(flight) = self.flights.remove(&key) else {
                    continue; // not sent in this session: not ours to believe
                };
                self.undecided -= flight.bytes;
                self.suspects.retain(|suspect| *suspect != key);
                if ack.conflicts.contains(&seq) {
                    lane.lose(seq, seq);
                    conflicts.push(key);
                } else if told.holds(seq) {
                    lane.acked.insert(seq, seq);
                    settlement.acked.insert(seq, seq);
                } else {
                    lane.again(seq);
                }
            }
            lane.told(&told);
            let of_lane = |seq| BatchKey {
                epoch,
                lane: code,
                seq,
            };
            for key in self.flights.range(of_lane(0)..=of_lane(u64::MAX)) {
                lane.theirs.cover(key.0.seq, key.0.seq);
            }
        }
        if !settlement.acked.is_empty() {
            self.redial.useful();
        }
        Acked {
            settlement,
            conflicts,
            want_layouts: self.new_wants(&ack.want_layouts),
        }
    }

    /// The session is over, or never came to be.
    pub fn closed(&mut self, why: Closed, now: Tick, random: u64) -> AfterClose {
        let blames = matches!(why, Closed::ByPeer(reason) if reason.blames_a_batch());
        let mut blamed = None;
        if blames && !self.flights.is_empty() {
            let mut undecided: Vec<(u64, BatchKey)> = self
                .flights
                .iter()
                .map(|(key, flight)| (flight.order, *key))
                .collect();
            undecided.sort_unstable();
            let mut suspects: Vec<BatchKey> = undecided.into_iter().map(|(_, key)| key).collect();
            blamed = suspects.first().copied();
            suspects.extend(
                self.suspects
                    .iter()
                    .filter(|key| !self.flights.contains_key(key)),
            );
            self.suspects = suspects;
        }
        self.leave();
        AfterClose {
            blamed,
            redial_at: self.redial.after_failure(now, random),
        }
    }

    /// Bytes and batches sent and not yet decided.
    #[must_use]
    pub fn undecided(&self) -> (u64, usize) {
        (self.undecided, self.flights.len())
    }

    /// Batches that wait to be sent, in lanes of this session.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.lanes
            .iter()
            .filter(|(key, _)| !self.left_out.contains(key))
            .map(|(_, lane)| lane.todo.count())
            .sum()
    }

    fn refuse(&mut self, word: &str, retry_after_ms: u32, now: Tick, random: u64) -> Answered {
        self.leave();
        Answered::Refused {
            word: word.to_owned(),
            redial_at: self
                .redial
                .after_refusal(now, i64::from(retry_after_ms), random),
        }
    }

    fn leave(&mut self) {
        self.phase = Phase::Apart;
        self.flights.clear();
        self.undecided = 0;
        self.layouts_sent.clear();
        for told in self.dropped.values_mut() {
            told.to_seq = 0;
        }
    }

    /// Starts over from the spool's state, keeping only what this process remembers of what it has sent.
    fn take_stock(&mut self, stock: &Stock) {
        self.leave();
        let mut before = std::mem::take(&mut self.lanes);
        for lane in &stock.lanes {
            let key = (lane.lane, lane.epoch);
            let ours = before.remove(&key).map_or_else(SeqSet::new, |out| out.ours);
            self.lanes.insert(key, LaneOut::new(lane, ours));
        }
        self.known_from = stock.known_from;
        self.refresh(&stock.heads());
    }

    fn dropped_seqs(&self) -> BTreeMap<(Lane, Epoch), SeqSet> {
        let mut out: BTreeMap<(Lane, Epoch), SeqSet> = BTreeMap::new();
        for ((lane, epoch, _), told) in &self.dropped {
            out.entry((*lane, *epoch))
                .or_default()
                .insert(told.dropped.from_seq, told.dropped.to_seq);
        }
        out
    }

    fn new_wants(&mut self, wants: &[WantedLayout]) -> Vec<WantedLayout> {
        wants
            .iter()
            .filter(|want| self.layouts_sent.insert(**want))
            .copied()
            .collect()
    }

    /// While there are suspects, they go one by one, and nothing else does.
    fn next_suspect(&mut self, stream: Stream, marks: &Marks) -> Option<Next> {
        let (lanes, left_out, flights) = (&self.lanes, &self.left_out, &self.flights);
        self.suspects.retain(|key| {
            let at = (key.lane, key.epoch);
            flights.contains_key(key)
                || lanes
                    .get(&at)
                    .is_some_and(|lane| lane.todo.contains(key.seq))
                    && !left_out.contains(&at)
        });
        let suspect = *self.suspects.first()?;
        if !self.flights.is_empty() || stream_of(suspect, marks) != stream {
            return Some(Next::Idle);
        }
        Some(Next::Send(Order {
            stream,
            epoch: suspect.epoch,
            lane: suspect.lane,
            from_seq: suspect.seq,
            to_seq: suspect.seq,
            max_bytes: BATCH_BYTES as u64,
        }))
    }

    fn pick(&self, stream: Stream, marks: &Marks) -> Option<Order> {
        let own = |lane, from_seq: u64| {
            let out = self.lanes.get(&(lane, marks.epoch))?;
            self.order(stream, (lane, marks.epoch), out, from_seq, u64::MAX)
        };
        match stream {
            Stream::Events => own(Lane::Events, marks.events_from_seq),
            Stream::Live => own(Lane::Samples, marks.samples_from_seq),
            // Events of all epochs before samples (they carry the layouts), oldest epoch first.
            Stream::Backlog => self
                .lanes
                .iter()
                .filter(|(key, _)| !self.left_out.contains(key))
                .find_map(|(&key, out)| {
                    let below = match key {
                        (Lane::Events, epoch) if epoch == marks.epoch => marks.events_from_seq,
                        (Lane::Samples, epoch) if epoch == marks.epoch => marks.samples_from_seq,
                        _ => u64::MAX,
                    };
                    self.order(stream, key, out, 1, below)
                }),
        }
    }

    /// The lowest waiting batches of a lane in `from..below`, unless they would need a range that Central has no room for.
    fn order(
        &self,
        stream: Stream,
        (lane, epoch): (Lane, Epoch),
        out: &LaneOut,
        from: u64,
        below: u64,
    ) -> Option<Order> {
        let first = out.todo.next_present(from).filter(|seq| *seq < below)?;
        if out.theirs.ranges().len() + RANGES_KEPT_FREE.min(self.limits.max_ranges / 2)
            >= self.limits.max_ranges
            && out.theirs.is_apart(first)
        {
            return None;
        }
        let (_, last) = out.todo.range_at(first)?;
        let last = last
            .min(below - 1)
            .min(first.saturating_add(self.limits.order_batches - 1));
        Some(Order {
            stream,
            epoch,
            lane,
            from_seq: first,
            to_seq: last,
            max_bytes: 0,
        })
    }
}

/// Ranges left free for what arrives in another order than it was sent.
const RANGES_KEPT_FREE: usize = 16;

/// The stream on which a batch travels.
fn stream_of(key: BatchKey, marks: &Marks) -> Stream {
    match key.lane {
        Lane::Events if key.epoch == marks.epoch && key.seq >= marks.events_from_seq => {
            Stream::Events
        }
        Lane::Samples if key.epoch == marks.epoch && key.seq >= marks.samples_from_seq => {
            Stream::Live
        }
        _ => Stream::Backlog,
    }
}
