//! The world: probers (also cloned ones), Central, connections that lose, delay, duplicate and reorder; one step at a time.

macro_rules! note {
    ($world:expr, $($text:tt)*) => {
        if let Some(log) = &mut $world.log {
            log.push(format!("{:>8} {}", $world.now, format_args!($($text)*)));
        }
    };
}

mod faults;
mod heal;
mod probe;
mod wire;

use std::collections::{BTreeMap, VecDeque};

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

    fn sample(&mut self, probe: usize, slot: i64) -> u64 {
        self.add(Truth {
            probe,
            lane: Lane::Samples,
            slot,
            poison: false,
            destroyed: false,
            dropped: false,
            pruned: false,
            rekeyed: 0,
            aux: false,
        })
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
    /// Begins with every second batch delivered: as many ranges as Central keeps.
    pub(super) crowded: bool,
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
    /// Central may have been restored from a backup.
    pub(super) restores: bool,
    log: Option<Vec<String>>,
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
            restores: weather.restores,
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
        if world.weather.crowded {
            world.crowd();
        }
        world
    }

    /// Central has every second batch of a long outage: all its ranges but a few are taken.
    fn crowd(&mut self) {
        self.weather.spool_rows = 4 * MAX_RANGES;
        self.weather.limits = Limits::default();
        self.weather.batch_bytes = 1_000;
        self.rules.max_ranges = MAX_RANGES;
        let random = self.rng.next();
        let first = self.now / SLOT_MS;
        let spool = &mut self.probers[0].spool;
        (spool.known_from, spool.last_slot) = (first, first - 1);
        let epoch = spool.start_epoch(0, random);
        let layouts = self.truths.aux(epoch.0);
        spool.append(epoch, Lane::Events, LAYOUTS, layouts);
        let made = 2 * (MAX_RANGES as i64 - 8);
        for slot in first..first + made {
            let id = self.truths.sample(0, slot);
            let content = Content {
                id,
                number: epoch.0,
                gap_from: slot,
                slot,
            };
            let key = spool.append(epoch, Lane::Samples, SAMPLES, content);
            if key.seq.is_multiple_of(2) {
                let file = &mut self.files.samples;
                let lane = file.lanes.entry((0, Lane::Samples, epoch)).or_default();
                lane.admit(key.seq);
                file.crcs
                    .insert((0, key), crate::session::crc(&content.to_body()));
                file.shown.insert((0, key), content);
                file.ends.insert((0, key), slot);
            }
        }
        self.now += made * SLOT_MS;
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
