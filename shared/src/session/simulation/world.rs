//! The world: probers (also cloned ones), Central, connections that lose, delay, duplicate and reorder; one step at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::central::{Down, Files, Session, Up};
use super::rng::Rng;
use super::spool::{Content, Spool};
use crate::clock::Timestamp;
use crate::model::{BatchKey, Epoch, GapReason, Lane};
use crate::session::receiver::{Freshness, LeaseRow, Rival, Verdict, freshness, judge, refusal};
use crate::session::sender::{
    Acked, Answered, Closed, Facts, Greeting, Limits, Next, Sender, Settlement,
};
use crate::session::{CloseReason, MAX_RANGES, POISON_CLOSES, Stream, Tick};
use crate::wire::message::batch::{EVENTS, LAYOUTS, SAMPLES};
use crate::wire::message::session::{SnapshotPart, WantedLayout};

/// Between two polls, ms.
pub(super) const SLOT_MS: i64 = 5_000;

/// The rules that a test may break, to see that the checker notices.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one broken rule")]
pub(super) struct Rules {
    pub(super) ack_before_commit: bool,
    pub(super) watermark_apart: bool,
    pub(super) admit_repeats: bool,
    pub(super) forget_dropped: bool,
    pub(super) gapless_drop: bool,
    pub(super) no_crc: bool,
    pub(super) believe_watermarks: bool,
    pub(super) forget_lacking: bool,
    pub(super) late_sets_state: bool,
    pub(super) race_of_sessions: bool,
    pub(super) no_start_gap: bool,
    pub(super) never_quarantine: bool,
    pub(super) max_ranges: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            ack_before_commit: false,
            watermark_apart: false,
            admit_repeats: false,
            forget_dropped: false,
            gapless_drop: false,
            no_crc: false,
            believe_watermarks: false,
            forget_lacking: false,
            late_sets_state: false,
            race_of_sessions: false,
            no_start_gap: false,
            never_quarantine: false,
            max_ranges: MAX_RANGES,
        }
    }
}

/// What really happened to one batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Truth {
    pub(super) probe: usize,
    pub(super) lane: Lane,
    pub(super) slot: i64,
    pub(super) poison: bool,
    /// Its store was rolled back, deleted or copied over: nobody can send it (again).
    pub(super) destroyed: bool,
    pub(super) dropped: bool,
    pub(super) pruned: bool,
    /// How often it was given a new key: two copies of a probe that both hold it do so twice.
    pub(super) rekeyed: u32,
    /// Made by the machinery itself (layouts sent again).
    pub(super) aux: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Truths(pub(super) Vec<Truth>);

impl Truths {
    fn add(&mut self, truth: Truth) -> u64 {
        self.0.push(truth);
        self.0.len() as u64 - 1
    }

    pub(super) fn aux(&mut self, number: u64) -> Content {
        let id = self.add(Truth {
            probe: usize::MAX,
            lane: Lane::Events,
            slot: 0,
            poison: false,
            destroyed: false,
            dropped: false,
            pruned: false,
            rekeyed: 0,
            aux: true,
        });
        Content {
            id,
            number,
            gap_from: 0,
            slot: 0,
        }
    }

    fn at(&mut self, id: u64) -> &mut Truth {
        &mut self.0[usize::try_from(id).unwrap()]
    }

    pub(super) fn dropped(&mut self, id: u64) {
        self.at(id).dropped = true;
    }

    pub(super) fn rekeyed(&mut self, id: u64) {
        self.at(id).rekeyed += 1;
    }

    pub(super) fn pruned(&mut self, id: u64) {
        self.at(id).pruned = true;
    }
}

/// What the probe's driver has yet to do, each a step of its own.
#[derive(Clone, Debug)]
enum Op {
    Greet(Box<Greeting>),
    StartEpoch(u32),
    Unaccounted(Timestamp, Timestamp),
    Emit(Vec<WantedLayout>),
    Begin,
    Settle(Settlement),
    Rekey(Vec<BatchKey>),
    Blame(BatchKey),
}

#[derive(Clone, Debug)]
struct Process {
    sender: Sender,
    ops: VecDeque<Op>,
    conn: Option<usize>,
    last_slot: i64,
    redial_at: Tick,
    layouts_of: Option<Epoch>,
    owed: Option<(i64, i64)>,
}

pub(super) struct Prober {
    pub(super) probe: usize,
    pub(super) spool: Spool,
    process: Option<Process>,
    /// Ended for good, or not begun.
    pub(super) gone: bool,
    up_at: i64,
}

#[derive(Default)]
struct Conn {
    prober: usize,
    up: [VecDeque<Up>; 3],
    down: [VecDeque<Down>; 3],
    probe_open: bool,
    session: Option<Session>,
    /// Central has closed, and why; the probe learns of it later.
    closed: Option<Option<CloseReason>>,
    hello_taken: bool,
}

/// How this seed treats its world.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    pub(super) steps: u64,
    pub(super) probes: usize,
    pub(super) spool_rows: usize,
    pub(super) replay_ms: i64,
    pub(super) batch_bytes: u64,
    pub(super) limits: Limits,
    /// One in so many steps is a fault; 0 = never.
    pub(super) faults: u64,
    pub(super) reorder: bool,
    pub(super) clones: bool,
    pub(super) rollbacks: bool,
    pub(super) restores: bool,
    pub(super) poison: u64,
    pub(super) full_disks: bool,
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) rules: Rules,
    weather: Weather,
    pub(super) now: i64,
    pub(super) probers: Vec<Prober>,
    conns: BTreeMap<usize, Conn>,
    next_conn: usize,
    zombies: Vec<Session>,
    pub(super) files: Files,
    central_up_at: i64,
    network_up_at: i64,
    disk_full_until: i64,
    pub(super) truths: Truths,
    state: Vec<u64>,
    shown_state: BTreeMap<usize, u64>,
    heard: BTreeMap<usize, i64>,
    backups: Vec<Files>,
    spool_copies: Vec<(usize, Spool)>,
    vm_copies: Vec<(usize, Spool, Process)>,
    /// States may go back in these: a clone, a rollback, a restored Central.
    pub(super) states_may_regress: bool,
    /// No new samples: the last words are being delivered.
    quiet: bool,
    log: Option<Vec<String>>,
}

macro_rules! note {
    ($world:expr, $($text:tt)*) => {
        if let Some(log) = &mut $world.log {
            log.push(format!("{:>8} {}", $world.now, format_args!($($text)*)));
        }
    };
}

impl World {
    pub(super) fn new(seed: u64, weather: Weather, rules: Rules, logged: bool) -> Self {
        let mut world = Self {
            rng: Rng::new(seed),
            rules,
            now: 1_000_000 * SLOT_MS,
            probers: Vec::new(),
            conns: BTreeMap::new(),
            next_conn: 0,
            zombies: Vec::new(),
            files: Files::default(),
            central_up_at: 0,
            network_up_at: 0,
            disk_full_until: 0,
            truths: Truths::default(),
            state: vec![0; weather.probes],
            shown_state: BTreeMap::new(),
            heard: BTreeMap::new(),
            backups: Vec::new(),
            spool_copies: Vec::new(),
            vm_copies: Vec::new(),
            states_may_regress: weather.clones || weather.rollbacks || weather.restores,
            quiet: false,
            log: logged.then(Vec::new),
            weather,
        };
        for probe in 0..world.weather.probes {
            world.probers.push(Prober {
                probe,
                spool: Spool::default(),
                process: None,
                gone: false,
                up_at: 0,
            });
        }
        world
    }

    pub(super) fn take_log(&mut self) -> Vec<String> {
        self.log.take().unwrap_or_default()
    }

    /// Runs the storm, then lets everything heal; says what is wrong.
    pub(super) fn run(&mut self) -> Result<(), String> {
        for _ in 0..self.weather.steps {
            self.step()?;
        }
        self.heal()
    }

    fn step(&mut self) -> Result<(), String> {
        if self.weather.faults > 0 && self.rng.one_in(self.weather.faults) {
            self.fault();
        }
        match self.rng.below(10) {
            0 => {
                let ms = match self.rng.below(8) {
                    0 => self.rng.below(40_000),
                    1..4 => self.rng.below(6_000),
                    _ => self.rng.below(500),
                };
                self.advance(ms.cast_signed());
            }
            1..4 => {
                let prober = self.rng.index(self.probers.len());
                self.prober_step(prober);
            }
            4..7 => {
                let open: Vec<usize> = self.conns.keys().copied().collect();
                if !open.is_empty() {
                    let conn = open[self.rng.index(open.len())];
                    self.deliver(conn);
                }
            }
            _ => self.central_step(),
        }
        self.check_always()
    }

    fn advance(&mut self, ms: i64) {
        self.now += ms;
        for prober in 0..self.probers.len() {
            self.tick(prober);
        }
        let (now, central_up) = (self.now, self.central_up());
        let mut silent = Vec::new();
        for (id, conn) in &mut self.conns {
            let probe = self.probers[conn.prober].probe;
            if let Some(session) = &mut conn.session {
                if conn.probe_open && central_up && now >= self.network_up_at {
                    session.receiver.heard(Tick(now));
                    self.heard.insert(probe, now);
                } else if now - session.receiver.last_heard().0 > 30_000 {
                    silent.push(*id);
                }
            }
        }
        for id in silent {
            self.central_closes(id, None);
        }
    }

    const fn central_up(&self) -> bool {
        self.now >= self.central_up_at
    }

    // The probe's side.

    fn tick(&mut self, at: usize) {
        let slot = self.now / SLOT_MS;
        if self.probers[at].gone {
            return;
        }
        if self.probers[at].process.is_none() {
            if self.now >= self.probers[at].up_at {
                self.start(at, slot);
            }
            return;
        }
        let prober = &mut self.probers[at];
        let probe = prober.probe;
        let Some(process) = &mut prober.process else {
            return;
        };
        if slot <= process.last_slot || self.quiet {
            return;
        }
        let first = process.last_slot + 1;
        process.last_slot = slot;
        if self.now < self.disk_full_until {
            let from = process.owed.map_or(first, |owed| owed.0);
            process.owed = Some((from, slot));
            return;
        }
        if let Some((from, to)) = process.owed.take() {
            prober
                .spool
                .give_up(Lane::Samples, from, to, GapReason::DiskFull);
            prober.spool.last_slot = to;
        }
        let epoch = prober.spool.running();
        if process.layouts_of != Some(epoch) {
            process.layouts_of = Some(epoch);
            let content = self.truths.aux(epoch.0);
            prober.spool.append(epoch, Lane::Events, LAYOUTS, content);
        }
        let poison = self.weather.poison > 0 && self.rng.one_in(self.weather.poison);
        let id = self.truths.add(Truth {
            probe,
            lane: Lane::Samples,
            slot,
            poison,
            destroyed: false,
            dropped: false,
            pruned: false,
            rekeyed: 0,
            aux: false,
        });
        let content = Content {
            id,
            number: epoch.0,
            gap_from: first,
            slot,
        };
        let key = prober.spool.append(epoch, Lane::Samples, SAMPLES, content);
        note!(
            self,
            "probe {probe}#{at} made {key} id {id} slots {first}..={slot}{}",
            if poison { " poison" } else { "" }
        );
        if self.rng.one_in(3) {
            self.state[probe] += 1;
            let id = self.truths.add(Truth {
                probe,
                lane: Lane::Events,
                slot,
                poison: false,
                destroyed: false,
                dropped: false,
                pruned: false,
                rekeyed: 0,
                aux: false,
            });
            let content = Content {
                id,
                number: self.state[probe],
                gap_from: slot,
                slot,
            };
            let key = prober.spool.append(epoch, Lane::Events, EVENTS, content);
            note!(
                self,
                "probe {probe}#{at} event {key} id {id} state {}",
                self.state[probe]
            );
        }
        let before = self.now - self.weather.replay_ms;
        prober.spool.prune_before(before, &mut self.truths);
        prober.spool.make_room(
            self.weather.spool_rows,
            &mut self.truths,
            self.rules.forget_dropped,
        );
    }

    fn start(&mut self, at: usize, slot: i64) {
        let random = self.rng.next();
        let prober = &mut self.probers[at];
        if prober.spool.starts == 0 {
            prober.spool.known_from = slot;
            prober.spool.last_slot = slot - 1;
        }
        let epoch = prober.spool.start_epoch(0, random);
        let last_slot = if self.rules.no_start_gap {
            slot - 1
        } else {
            prober.spool.last_slot
        };
        prober.process = Some(Process {
            sender: Sender::new(self.weather.limits),
            ops: VecDeque::new(),
            conn: None,
            last_slot,
            redial_at: Tick(self.now),
            layouts_of: None,
            owed: None,
        });
        note!(
            self,
            "probe {}#{at} starts epoch {epoch}",
            self.probers[at].probe
        );
    }

    fn prober_step(&mut self, at: usize) {
        let Some(process) = &mut self.probers[at].process else {
            return;
        };
        if let Some(op) = process.ops.pop_front() {
            self.prober_op(at, op);
        } else if let Some(conn) = process.conn {
            self.push(at, conn);
        } else if self.now >= process.redial_at.0 {
            self.dial(at);
        }
    }

    fn dial(&mut self, at: usize) {
        let random = self.rng.next();
        let reachable = self.central_up() && self.now >= self.network_up_at;
        let prober = &mut self.probers[at];
        let Some(process) = &mut prober.process else {
            return;
        };
        if !reachable {
            process.redial_at = process
                .sender
                .closed(Closed::Lost, Tick(self.now), random)
                .redial_at;
            return;
        }
        let stock = prober.spool.stock();
        let facts = Facts {
            now: Timestamp(self.now),
            boot_ms: self.now,
            ..Facts::default()
        };
        let hello = process.sender.hello(&stock, facts);
        note!(
            self,
            "probe {}#{at} dials with lease {}",
            prober.probe,
            hello.lease
        );
        let mut conn = Conn {
            prober: at,
            probe_open: true,
            ..Conn::default()
        };
        conn.up[Stream::Events as usize].push_back(Up::Hello(hello));
        process.conn = Some(self.next_conn);
        self.conns.insert(self.next_conn, conn);
        self.next_conn += 1;
    }

    /// Sends one order, or the dropped ranges.
    fn push(&mut self, at: usize, id: usize) {
        let prober = &mut self.probers[at];
        let (Some(process), Some(conn)) = (&mut prober.process, self.conns.get_mut(&id)) else {
            return;
        };
        if !process.sender.is_open() {
            return;
        }
        process.sender.refresh(&prober.spool.heads());
        for dropped in process.sender.next_dropped() {
            note!(
                self,
                "probe {}#{at} tells dropped {dropped:?}",
                prober.probe
            );
            conn.up[Stream::Events as usize].push_back(Up::Dropped(dropped));
        }
        for stream in Stream::ALL {
            let Next::Send(order) = process.sender.next(stream, Tick(self.now)) else {
                continue;
            };
            let limit = 1 + self.rng.index(8);
            let size = self.weather.batch_bytes;
            let (batches, missing) = prober
                .spool
                .read(&order, limit, |id| 1 + (id * 7_919) % size);
            for key in missing {
                process.sender.missing(key);
            }
            for (batch, bytes) in batches {
                let key = BatchKey {
                    epoch: batch.epoch,
                    lane: order.lane,
                    seq: batch.seq,
                };
                note!(
                    self,
                    "probe {}#{at} sends {key} on {stream:?}",
                    prober.probe
                );
                process.sender.sent(stream, key, bytes);
                conn.up[stream as usize].push_back(Up::Batch(batch));
            }
            break;
        }
    }

    fn prober_op(&mut self, at: usize, op: Op) {
        let random = self.rng.next();
        let prober = &mut self.probers[at];
        let probe = prober.probe;
        note!(self, "probe {probe}#{at} does {op:?}");
        let Some(process) = &mut prober.process else {
            return;
        };
        let spool = &mut prober.spool;
        match op {
            Op::Greet(greeting) => {
                spool.settle(Some(greeting.lease), &greeting.settlements, self.now);
                if let Some(above) = greeting.new_epoch_above {
                    process.ops.push_back(Op::StartEpoch(above));
                }
                if let Some((from, to)) = greeting.unaccounted {
                    process.ops.push_back(Op::Unaccounted(from, to));
                }
                process.ops.push_back(Op::Begin);
                process.ops.push_back(Op::Emit(greeting.want_layouts));
            }
            Op::StartEpoch(above) => {
                spool.start_epoch(above, random);
            }
            Op::Unaccounted(from, to) => {
                let (from, to) = (from.ms() / SLOT_MS, to.ms() / SLOT_MS - 1);
                let mut content = self.truths.aux(spool.running);
                (content.gap_from, content.slot) = (from, to);
                let last_slot = spool.last_slot;
                spool.append(spool.running(), Lane::Samples, SAMPLES, content);
                (spool.last_slot, spool.known_from) = (last_slot, from);
            }
            Op::Emit(wants) => {
                for want in wants {
                    if spool.layouts.contains(&want.epoch) {
                        let content = self.truths.aux(want.epoch.0);
                        spool.append(spool.running(), Lane::Events, LAYOUTS, content);
                    }
                }
            }
            Op::Begin => {
                if let Some(conn) = process.conn.and_then(|id| self.conns.get_mut(&id)) {
                    let marks = process.sender.begin(&spool.heads(), Tick(self.now));
                    let part = SnapshotPart {
                        lease: marks.lease,
                        part: 0,
                        parts: 1,
                        epoch: marks.epoch,
                        events_from_seq: marks.events_from_seq,
                        samples_from_seq: marks.samples_from_seq,
                        at: Timestamp(self.now),
                        devices: Vec::new(),
                        interfaces: Vec::new(),
                    };
                    let up = Up::Snapshot(part, self.state[probe]);
                    conn.up[Stream::Events as usize].push_back(up);
                }
            }
            Op::Settle(settlement) => {
                spool.settle(None, &[settlement], self.now);
            }
            Op::Rekey(keys) => spool.rekey(&keys, &mut self.truths, random),
            Op::Blame(key) => {
                let closes = spool.rows.get_mut(&key).map_or(0, |row| {
                    row.closes += 1;
                    row.closes
                });
                if closes >= POISON_CLOSES && !self.rules.never_quarantine {
                    spool.set_aside(key, GapReason::Quarantined, &mut self.truths);
                }
            }
        }
    }

    fn probe_closed(&mut self, at: usize, why: Closed) {
        let random = self.rng.next();
        let now = Tick(self.now);
        let Some(process) = &mut self.probers[at].process else {
            return;
        };
        if let Some(conn) = process.conn.take().and_then(|id| self.conns.get_mut(&id)) {
            conn.probe_open = false;
            conn.down = Default::default();
        }
        // What had not been done of the greeting goes with the session; what is on disk stays.
        process.ops.retain(|op| {
            matches!(
                op,
                Op::Settle(_) | Op::Rekey(_) | Op::Emit(_) | Op::Blame(_)
            )
        });
        let after = process.sender.closed(why, now, random);
        process.redial_at = after.redial_at;
        if let Some(key) = after.blamed {
            process.ops.push_back(Op::Blame(key));
        }
        note!(
            self,
            "probe {}#{at} session over: {why:?}, blamed {:?}",
            self.probers[at].probe,
            after.blamed
        );
    }

    fn answered(&mut self, at: usize, down: Down) {
        let random = self.rng.next();
        let Some(process) = &mut self.probers[at].process else {
            return;
        };
        match down {
            Down::Answer(mut answer) if self.rules.forget_lacking && answer.refused.is_empty() => {
                // Whatever was acknowledged once is thought to be there still.
                self.rules.forget_lacking = false;
                for lane in self.probers[at].spool.stock().lanes {
                    for told in &mut answer.committed {
                        if (told.epoch, told.lane) == (lane.epoch, lane.lane.code()) {
                            let mut progress = crate::session::Progress::from(&*told);
                            for &(from, to) in lane.acked.ranges() {
                                progress.cover(from, to);
                            }
                            *told = progress.to_committed(lane.epoch, lane.lane);
                        }
                    }
                }
                self.answered(at, Down::Answer(answer));
                self.rules.forget_lacking = true;
            }
            Down::Answer(answer) => match process.sender.answer(&answer, Tick(self.now), random) {
                Answered::Accepted(greeting) => {
                    process.ops.push_back(Op::Greet(Box::new(greeting)))
                }
                Answered::Refused { word, redial_at } => {
                    note!(self, "#{at} refused: {word}");
                    process.redial_at = redial_at;
                    if let Some(conn) = process.conn.take().and_then(|id| self.conns.get_mut(&id)) {
                        conn.probe_open = false;
                    }
                }
            },
            Down::Ack(mut ack) => {
                note!(self, "#{at} gets {ack:?}");
                if self.rules.believe_watermarks {
                    let told = crate::session::Progress::from(&ack.committed);
                    ack.decided = told
                        .done()
                        .ranges()
                        .iter()
                        .flat_map(|r| r.0..=r.1)
                        .collect();
                }
                let Acked {
                    settlement,
                    conflicts,
                    want_layouts,
                } = process.sender.ack(&ack);
                process.ops.push_back(Op::Settle(settlement));
                if !conflicts.is_empty() {
                    process.ops.push_back(Op::Rekey(conflicts));
                }
                if !want_layouts.is_empty() {
                    process.ops.push_back(Op::Emit(want_layouts));
                }
            }
        }
    }

    // The wire.

    fn deliver(&mut self, id: usize) {
        let (central_up, reorder) = (self.central_up(), self.weather.reorder);
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let lane = self.rng.index(3);
        let upward = self.rng.one_in(2);
        if upward {
            if !central_up || conn.closed.is_some() {
                conn.up = Default::default();
                self.forget(id);
                return;
            }
            // Live and backlog are read only once the snapshot is confirmed; the events stream waits for it in between.
            let events = lane == Stream::Events as usize;
            let ready = match &conn.session {
                None => events && !conn.hello_taken,
                Some(session) => session.receiver.is_open() || (events && session.ops.is_empty()),
            };
            if !ready {
                return;
            }
            let queue = &mut conn.up[lane];
            let at = if reorder && !events {
                self.rng.index(queue.len().min(4))
            } else {
                0
            };
            let Some(up) = queue.remove(at) else {
                self.forget(id);
                return;
            };
            if let Up::Batch(batch) = &up
                && reorder
                && !events
                && self.rng.one_in(8)
            {
                queue.push_back(Up::Batch(batch.clone()));
            }
            self.central_takes(id, lane, up);
        } else if conn.probe_open {
            let at = conn.prober;
            let queue = &mut conn.down[lane];
            let index = if reorder && lane != Stream::Events as usize {
                self.rng.index(queue.len().min(4))
            } else {
                0
            };
            if let Some(down) = queue.remove(index) {
                if let Down::Ack(ack) = &down
                    && reorder
                    && self.rng.one_in(8)
                {
                    queue.push_back(Down::Ack(ack.clone()));
                }
                self.answered(at, down);
            } else if let Some(reason) = conn.closed {
                let why = reason.map_or(Closed::Lost, Closed::ByPeer);
                self.probe_closed(at, why);
                self.forget(id);
            }
        } else {
            self.forget(id);
        }
    }

    /// Drops a connection that nobody holds any more.
    fn forget(&mut self, id: usize) {
        if let Some(conn) = self.conns.get(&id)
            && !conn.probe_open
            && conn.session.is_none()
            && (conn.closed.is_some() || conn.up.iter().all(VecDeque::is_empty))
        {
            self.conns.remove(&id);
        }
    }

    // Central's side.

    fn central_takes(&mut self, id: usize, lane: usize, up: Up) {
        let stream = [Stream::Backlog, Stream::Live, Stream::Events][lane];
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let probe = self.probers[conn.prober].probe;
        if conn.probe_open {
            self.heard.insert(probe, self.now);
        }
        if let Some(session) = &mut conn.session {
            session.receiver.heard(Tick(self.now));
            if let Up::Batch(batch) = &up {
                let content = Content::of(&batch.body);
                if self.truths.at(content.id).poison {
                    note!(self, "Central chokes on {}/{}", batch.epoch, batch.seq);
                    self.central_closes(id, Some(CloseReason::Unsaid));
                    return;
                }
            }
            if let Err(broken) = session.take(stream, up) {
                note!(self, "Central: {broken:?}");
                self.central_closes(id, Some(CloseReason::Protocol));
            }
            return;
        }
        let Up::Hello(hello) = up else {
            return;
        };
        conn.hello_taken = true;
        let rival = self.conns.iter().find_map(|(other, conn)| {
            let session = conn.session.as_ref()?;
            (*other != id && session.probe == probe).then(|| {
                let rival = Rival {
                    lease: session.receiver.lease(),
                    confirmed: session.confirmed,
                    heard_ms_ago: self.now - session.receiver.last_heard().0,
                };
                (*other, rival)
            })
        });
        let row = self
            .files
            .events
            .leases
            .get(&probe)
            .copied()
            .unwrap_or_default();
        let verdict = judge(row, &hello, rival.map(|rival| rival.1));
        note!(
            self,
            "Central judges lease {} of probe {probe} against {row:?}: {verdict:?}",
            hello.lease
        );
        match verdict {
            Verdict::Refuse(refuse) => {
                let answer = refusal(&refuse, Timestamp(self.now));
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.down[Stream::Events as usize].push_back(Down::Answer(answer));
                }
            }
            Verdict::Accept(accept) => {
                let stored: LeaseRow = accept.row;
                self.files.events.leases.insert(probe, stored);
                if let Some((other, _)) = rival {
                    self.central_closes(other, Some(CloseReason::Superseded));
                }
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.session = Some(Session::new(probe, accept, hello, Tick(self.now)));
                }
            }
        }
    }

    /// Ends a session at Central; jobs that it has handed to the files may still be carried out.
    fn central_closes(&mut self, id: usize, reason: Option<CloseReason>) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.closed = Some(reason);
            if let Some(session) = conn.session.take()
                && session.has_work()
            {
                self.zombies.push(session);
            }
        }
    }

    fn central_step(&mut self) {
        if !self.central_up() {
            return;
        }
        if !self.zombies.is_empty() && self.rng.one_in(3) {
            let at = self.rng.index(self.zombies.len());
            self.files
                .step(&mut self.zombies[at], self.now, &self.rules);
            if !self.zombies[at].has_work() {
                self.zombies.swap_remove(at);
            }
            return;
        }
        let busy: Vec<usize> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.session.as_ref().is_some_and(Session::has_work))
            .map(|(id, _)| *id)
            .collect();
        if busy.is_empty() {
            return;
        }
        let id = busy[self.rng.index(busy.len())];
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if let Some(session) = &mut conn.session {
            // The hello is answered when the jobs of earlier sessions are done.
            if session.is_to_answer()
                && !self.rules.race_of_sessions
                && self
                    .zombies
                    .iter()
                    .any(|zombie| zombie.probe == session.probe)
            {
                return;
            }
            for (stream, down) in self.files.step(session, self.now, &self.rules) {
                conn.down[stream as usize].push_back(down);
            }
        }
    }

    // Faults.

    fn fault(&mut self) {
        let at = self.rng.index(self.probers.len());
        match self.rng.below(14) {
            0..3 => self.lose_connection(at),
            3..5 => self.crash_probe(at),
            5..7 => self.crash_central(),
            7 => self.network_up_at = self.now + self.rng.below(90_000).cast_signed(),
            8 if self.weather.full_disks => {
                self.disk_full_until = self.now + self.rng.below(30_000).cast_signed();
                note!(self, "disk full until {}", self.disk_full_until);
            }
            9 => {
                let prober = &self.probers[at];
                if self.weather.rollbacks {
                    self.spool_copies.push((at, prober.spool.clone()));
                }
                if let Some(process) = &prober.process
                    && (self.weather.clones || self.weather.rollbacks)
                {
                    let copy = (at, prober.spool.clone(), process.clone());
                    self.vm_copies.push(copy);
                }
                if self.weather.restores {
                    self.backups.push(self.files.clone());
                }
                note!(self, "copies are made");
            }
            10 if self.weather.rollbacks => self.roll_back(at),
            11 if self.weather.clones => self.clone_or_end(at),
            12 if self.weather.restores => self.restore_central(),
            13 if self.weather.rollbacks && self.rng.one_in(3) => {
                note!(self, "the spool of #{at} is deleted");
                self.crash_probe(at);
                self.probers[at].spool = Spool::default();
                self.destroy(self.probers[at].probe);
            }
            _ => {}
        }
    }

    fn lose_connection(&mut self, at: usize) {
        let Some(id) = self.probers[at]
            .process
            .as_ref()
            .and_then(|process| process.conn)
        else {
            return;
        };
        note!(self, "the connection of #{at} is lost");
        if let Some(conn) = self.conns.get_mut(&id) {
            // What was under way may still arrive, up to some point.
            for queue in &mut conn.up {
                let kept = self.rng.index(queue.len() + 1);
                queue.truncate(kept);
            }
        }
        self.probe_closed(at, Closed::Lost);
    }

    fn crash_probe(&mut self, at: usize) {
        self.lose_connection(at);
        note!(self, "#{at} crashes");
        let down = self.rng.below(60_000).cast_signed();
        self.probers[at].process = None;
        self.probers[at].up_at = self.now + down;
    }

    fn crash_central(&mut self) {
        note!(self, "Central crashes");
        self.zombies.clear();
        let ids: Vec<usize> = self.conns.keys().copied().collect();
        for id in ids {
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.session = None;
                conn.closed.get_or_insert(None);
                for queue in &mut conn.down {
                    let kept = self.rng.index(queue.len() + 1);
                    queue.truncate(kept);
                }
            }
        }
        self.central_up_at = self.now + self.rng.below(40_000).cast_signed();
    }

    fn roll_back(&mut self, at: usize) {
        let probe = self.probers[at].probe;
        if self.rng.one_in(2) {
            let copies: Vec<usize> = (0..self.spool_copies.len())
                .filter(|n| self.spool_copies[*n].0 == at)
                .collect();
            if !copies.is_empty() {
                let copy = self.spool_copies[copies[self.rng.index(copies.len())]]
                    .1
                    .clone();
                self.crash_probe(at);
                self.probers[at].spool = copy;
                note!(
                    self,
                    "#{at} is rolled back, lease {}",
                    self.probers[at].spool.lease
                );
            }
        } else {
            let copies: Vec<usize> = (0..self.vm_copies.len())
                .filter(|n| self.vm_copies[*n].0 == at)
                .collect();
            if !copies.is_empty() {
                let (_, spool, process) =
                    self.vm_copies[copies[self.rng.index(copies.len())]].clone();
                self.lose_connection(at);
                self.resume(at, spool, process);
                note!(
                    self,
                    "#{at} is resumed from a snapshot, lease {}",
                    self.probers[at].spool.lease
                );
            }
        }
        self.destroy(probe);
    }

    fn resume(&mut self, at: usize, spool: Spool, process: Process) {
        let conn = process.conn;
        self.probers[at].spool = spool;
        self.probers[at].process = Some(Process {
            conn: None,
            ..process
        });
        if conn.is_some() {
            self.probe_closed(at, Closed::Lost);
        }
    }

    /// A second holder of the same identity begins, or one of two ends for good.
    fn clone_or_end(&mut self, at: usize) {
        let probe = self.probers[at].probe;
        let others = self
            .probers
            .iter()
            .filter(|other| other.probe == probe && !other.gone);
        if others.count() > 1 {
            if self.rng.one_in(4) {
                self.crash_probe(at);
                self.probers[at].gone = true;
                self.probers[at].spool = Spool::default();
                note!(self, "#{at} is gone for good");
                self.destroy(probe);
            }
            return;
        }
        let Some((_, spool, process)) = self
            .vm_copies
            .iter()
            .rev()
            .find(|copy| copy.0 == at)
            .cloned()
        else {
            return;
        };
        let twin = self.probers.len();
        self.probers.push(Prober {
            probe,
            spool: Spool::default(),
            process: None,
            gone: false,
            up_at: 0,
        });
        self.resume(twin, spool, process);
        note!(self, "#{twin} is a clone of #{at}");
    }

    fn restore_central(&mut self) {
        if self.backups.is_empty() {
            return;
        }
        self.crash_central();
        let (one, other) = (
            self.rng.index(self.backups.len()),
            self.rng.index(self.backups.len()),
        );
        match self.rng.below(3) {
            0 => self.files.events = self.backups[one].events.clone(),
            1 => self.files.samples = self.backups[one].samples.clone(),
            _ => {
                self.files.events = self.backups[one].events.clone();
                self.files.samples = self.backups[other].samples.clone();
            }
        }
        note!(self, "Central is restored from backups {one}, {other}");
    }

    /// What no living store holds cannot be sent again by anybody.
    fn destroy(&mut self, probe: usize) {
        let held: BTreeSet<u64> = self
            .probers
            .iter()
            .filter(|prober| prober.probe == probe && !prober.gone)
            .flat_map(|prober| prober.spool.rows.values().map(|row| row.content.id))
            .collect();
        for (id, truth) in self.truths.0.iter_mut().enumerate() {
            if truth.probe == probe && !held.contains(&(id as u64)) {
                truth.destroyed = true;
            }
        }
    }

    // The end.

    /// No more faults: all that can be delivered is, within a bounded time.
    fn heal(&mut self) -> Result<(), String> {
        note!(self, "the storm is over");
        (self.central_up_at, self.network_up_at, self.disk_full_until) = (0, 0, 0);
        self.weather.faults = 0;
        self.weather.poison = 0;
        let all: Vec<usize> = (0..self.probers.len())
            .filter(|at| !self.probers[*at].gone)
            .collect();
        let mut probes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for at in all {
            probes.entry(self.probers[at].probe).or_default().push(at);
        }
        // Of several holders one after the other.
        let rounds = probes.values().map(Vec::len).max().unwrap_or(0);
        for round in 0..rounds {
            for holders in probes.values() {
                for (n, at) in holders.iter().enumerate() {
                    if n == round || holders.len() == 1 {
                        self.probers[*at].up_at = 0;
                    } else if n > round || holders.len() > 1 {
                        self.lose_connection(*at);
                        self.probers[*at].process = None;
                        self.probers[*at].up_at = i64::MAX;
                    }
                }
            }
            let ats: Vec<usize> = probes
                .values()
                .filter_map(|holders| holders.get(if holders.len() == 1 { 0 } else { round }))
                .copied()
                .collect();
            self.drain(&ats)?;
        }
        super::check::at_rest(self)
    }

    fn drain(&mut self, ats: &[usize]) -> Result<(), String> {
        let mut idle = 0;
        for turn in 0..6_000u64 {
            self.quiet = turn > 200;
            let mut moved = false;
            if turn % 16 == 0 {
                self.advance(if turn < 2_000 { 700 } else { 5_000 });
            }
            for at in ats {
                self.prober_step(*at);
            }
            let open: Vec<usize> = self.conns.keys().copied().collect();
            for id in open {
                for _ in 0..6 {
                    self.deliver(id);
                }
            }
            for _ in 0..4 {
                self.central_step();
            }
            moved |= !ats.iter().all(|at| self.is_drained(*at));
            idle = if moved { 0 } else { idle + 1 };
            self.check_always()?;
            if idle > 24 && self.quiet {
                return Ok(());
            }
        }
        let stuck = ats
            .iter()
            .find(|at| !self.is_drained(**at))
            .copied()
            .unwrap_or(0);
        Err(format!(
            "nothing moves any more: {}",
            self.why_not_drained(stuck)
        ))
    }

    fn is_drained(&self, at: usize) -> bool {
        let prober = &self.probers[at];
        let Some(process) = &prober.process else {
            return false;
        };
        let settled = prober.spool.rows.values().all(|row| row.acked_ms.is_some());
        process.conn.is_some()
            && process.ops.is_empty()
            && process.sender.is_open()
            && settled
            && prober.spool.dropped.is_empty()
    }

    fn why_not_drained(&self, at: usize) -> String {
        let prober = &self.probers[at];
        let waiting: Vec<String> = prober
            .spool
            .rows
            .iter()
            .filter(|(_, row)| row.acked_ms.is_none())
            .map(|(key, _)| key.to_string())
            .take(5)
            .collect();
        let process = prober.process.as_ref();
        format!(
            "#{at} conn {:?} open {:?} undecided {:?} waiting {waiting:?} dropped {:?}",
            process.map(|process| process.conn),
            process.map(|process| process.sender.is_open()),
            process.map(|process| process.sender.undecided()),
            prober.spool.dropped
        )
    }

    /// What must hold at every moment.
    fn check_always(&mut self) -> Result<(), String> {
        for prober in &self.probers {
            // I5: bounded on disk and in memory.
            if prober.spool.rows.len() > self.weather.spool_rows + 64 {
                return Err(format!(
                    "I5: {} rows in a spool for {}",
                    prober.spool.rows.len(),
                    self.weather.spool_rows
                ));
            }
            if let Some(process) = &prober.process {
                let (bytes, batches) = process.sender.undecided();
                if bytes > self.weather.limits.undecided_bytes && batches > 8 {
                    return Err(format!("I5: {bytes} bytes undecided"));
                }
            }
        }
        for (probe, state) in &self.files.events.state {
            // I6: no older state over a newer one, none that the probe has not said; old data is not green.
            let before = self.shown_state.insert(*probe, *state).unwrap_or(0);
            if !self.states_may_regress && *state < before {
                return Err(format!(
                    "I6: probe {probe} was shown in state {before}, now in {state}"
                ));
            }
            if *state > self.state[*probe] {
                return Err(format!("I6: state {state} was never said by probe {probe}"));
            }
            let heard = self.heard.get(probe).copied().unwrap_or(0);
            let silent = freshness(Tick(heard), Tick(self.now)) == Freshness::Silent;
            if !silent && self.now - heard > 90_000 {
                return Err(format!(
                    "I6: probe {probe} is fresh after {} ms",
                    self.now - heard
                ));
            }
        }
        for ((_, lane, epoch), progress) in &self.files.samples.lanes {
            let allowed = self.rules.max_ranges + 64;
            if progress.ranges().len() > allowed {
                return Err(format!(
                    "I5: {} ranges in {epoch}/{lane}",
                    progress.ranges().len()
                ));
            }
        }
        Ok(())
    }
}
