//! The loop that owns inventory, schedule, states and readings.
//!
//! - [`asking`] what is due is asked, beside the loop
//! - [`answers`] what came back becomes samples, states and records
//! - [`devices`] which devices are watched
//! - [`measuring`] their sensors, storage and processors
//!
//! What was read waits in memory until a batch of it is durable; only then the counters' readings advance.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::model::{
    DeviceNo, EventKind, GapReason, InstanceNo, LayoutNo, ProbeGap, Severity,
};
use farwatch_shared::profile::Library;
use farwatch_shared::text::DeviceText;
use farwatch_shared::wire::message::batch::EventRecord;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::keep::{Keeper, News, Samples, Stored};
use super::layout::{Layouts, Port};
use super::pending::{Built, Pending};
use super::ping_round::{Echo, PingJob, Pinged};
use super::poll::PollOutcome;
use super::readings::ReadingsAnswer;
use super::schedule::{Key, Schedule, SlotClock, Work};
use super::{COMMANDS, Command, Monitor, Totals};
use crate::config::site::Site;
use crate::detect::{By, Detector, Moment, NO_STATE, Outcome, Remembered, Seen};
use crate::increase::Counters;
use crate::inventory::Inventory;
use crate::inventory::facts::{Around, Facts};
use crate::inventory::store::{Row, StateRow, Stored as StoredInventory, Tick, Told};
use crate::profile::watch::Ways;
use crate::snmp::Snmp;
use crate::spool::Spool;

use measuring::Measuring;

mod answers;
mod asking;
mod clock;
mod devices;
mod measuring;

/// How much may be done here.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Devices watched at the most.
    pub devices: usize,
    /// Polls under way at once: more only wait inside the engine, and cost memory.
    pub polls_at_once: usize,
}

/// Pending samples become durable at least this often: no later than 5 s after their poll.
const FLUSH_EVERY: Duration = Duration::from_secs(3);
/// Values that close a batch early: about 64 KiB, encoded.
const FLUSH_VALUES: usize = 40_000;
/// The tick is stored at least this often, also when there is nothing else to store.
const TICK_EVERY: Duration = Duration::from_secs(10);
/// Readings kept in memory while the disk does not answer; beyond it the oldest wait is over and they are dropped.
const PENDING_LIMIT: usize = 2_000_000;
/// Polls started at once, and when the next ones are: a second's polls leave in volleys that every buffer on their way
/// holds, and 12,800 of them in a second.
const VOLLEY: usize = 256;
const VOLLEY_EVERY: Duration = Duration::from_millis(20);
/// The detector is told that time passes, and figures are counted, no more often than this: both look at every device.
const JUDGE_EVERY_MS: i64 = 500;
/// A gap shorter than this, in the same boot, is a restart.
const RESTART_MS: i64 = 300_000;

/// What the monitor is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where the time comes from.
    pub clock: Clock,
    /// What makes durable.
    pub keeper: Keeper,
    /// For its epoch.
    pub spool: Spool,
    /// Asks devices.
    pub snmp: Arc<dyn Snmp>,
    /// Which device is what.
    pub profiles: Arc<Library>,
    /// Pings; `None` where the system does not let us.
    pub echo: Option<Arc<dyn Echo>>,
    /// The probe's own addresses, never judged by ICMP.
    pub own: fn() -> Vec<IpAddr>,
    /// What was stored before.
    pub stored: StoredInventory,
    /// When the probe is known to have run last, where `stored` does not say.
    pub last_tick: Option<Timestamp>,
    /// How much may be done here.
    pub load: Load,
    /// Device nearest to the probe, where `probe.toml` names it.
    pub first_hop: Option<IpAddr>,
    /// Addresses that devices know of: discovery follows them.
    pub follow: mpsc::Sender<Vec<IpAddr>>,
}

/// What came back from work that runs beside the loop.
enum Done {
    Polled {
        key: Key,
        slot_s: i64,
        ports: Arc<[Port]>,
        outcome: PollOutcome,
        at: Moment,
    },
    Pinged {
        answers: Vec<(PingJob, Pinged)>,
        sent: Moment,
    },
    Checked {
        device: DeviceNo,
        scheduled: bool,
        outcome: Result<Option<u32>, PollOutcome>,
        at: Moment,
    },
    Measured {
        key: Key,
        slot_s: i64,
        answer: Option<Box<ReadingsAnswer>>,
        at: Moment,
    },
    Inventoried {
        device: DeviceNo,
        read: Option<Box<(Facts, Around)>>,
    },
}

/// The loop itself.
#[derive(Debug)]
pub struct Working {
    clock: Clock,
    keeper: Keeper,
    spool: Spool,
    snmp: Arc<dyn Snmp>,
    profiles: Arc<Library>,
    echo: Option<Arc<dyn Echo>>,
    own_addresses: fn() -> Vec<IpAddr>,
    own: HashSet<IpAddr>,
    load: Load,
    first_hop: Option<IpAddr>,
    follow: mpsc::Sender<Vec<IpAddr>>,

    site: Arc<Site>,
    inventory: Inventory,
    /// Shared with whoever tells Central the states: never held for longer than it takes to read or change it.
    detector: Arc<Mutex<Detector>>,
    highest: Arc<AtomicU32>,
    schedule: Schedule,
    slots: SlotClock,
    layouts: Layouts,
    counters: HashMap<DeviceNo, (Arc<[Port]>, Counters)>,
    uptimes: HashMap<DeviceNo, u32>,
    measuring: HashMap<DeviceNo, Measuring>,
    ways: Arc<Ways>,
    /// What Central was told that devices measure.
    told: HashMap<DeviceNo, Told>,
    remembered: HashMap<DeviceNo, Remembered>,
    pending: Pending,
    storing: Option<Storing>,
    /// Since when nothing was sampled, and whether in this boot; told once the schedule begins.
    off_since: Option<(Timestamp, bool)>,
    /// When the schedule began.
    begun: Option<Timestamp>,
    /// From when on devices that Central sent back are asked.
    restored: Option<Timestamp>,
    checks: BinaryHeap<Reverse<(i64, DeviceNo, By)>>,
    under_way: BTreeSet<(i64, Key)>,
    /// Wall clock minus boot-time clock that slots are counted by, ms.
    base_ms: i64,
    waiting_polls: VecDeque<(Key, i64)>,
    /// Polls that may still start before `volley_at`, when the next ones may.
    volley: usize,
    volley_at: Instant,
    /// When the detector was last told that time passes, boot-time clock, ms.
    judged_ms: i64,
    /// [`Inventory::changes`] when devices were last counted.
    counted: u64,
    rereads: devices::Rereads,
    topology_is_old: bool,
    totals: Totals,
    totals_out: watch::Sender<Totals>,
    boot_id: String,
    stored_tick_at: Instant,
    flushed_at: Instant,

    commands: mpsc::Receiver<Command>,
    jobs: JoinSet<Done>,
}

/// A batch on its way to the disk.
#[derive(Debug)]
struct Storing {
    /// What it was made of, should it have to be made again.
    pending: Pending,
    /// Counters that count once it is durable.
    counting: HashMap<DeviceNo, (Arc<[Port]>, Counters)>,
    /// Layouts that go with it.
    new: Vec<LayoutNo>,
    answer: oneshot::Receiver<Stored>,
}

impl Working {
    /// The handle, and the loop to run.
    #[must_use]
    pub fn new(parts: Parts) -> (Monitor, Self) {
        let (commands, queue) = mpsc::channel(COMMANDS);
        let (totals_out, totals) = watch::channel(Totals::default());
        let now = parts.clock.now();
        let base_ms = now.ms().saturating_sub(parts.clock.boot_ms());
        let boot_id = farwatch_shared::clock::boot_id();
        let off_since = match &parts.stored.tick {
            Some(tick) => Some((tick.at, tick.boot_id == boot_id)),
            None => parts.last_tick.map(|at| (at, false)),
        };
        let detector = Arc::new(Mutex::new(Detector::default()));
        let highest = Arc::new(AtomicU32::new(parts.stored.inventory.highest()));
        let monitor = Monitor {
            commands,
            totals,
            detector: detector.clone(),
            highest: highest.clone(),
            clock: parts.clock.clone(),
        };
        let mut working = Self {
            slots: SlotClock::new(now.secs()),
            clock: parts.clock,
            keeper: parts.keeper,
            spool: parts.spool,
            snmp: parts.snmp,
            profiles: parts.profiles,
            echo: parts.echo,
            own_addresses: parts.own,
            own: HashSet::new(),
            load: parts.load,
            first_hop: parts.first_hop,
            follow: parts.follow,
            site: Arc::default(),
            inventory: parts.stored.inventory,
            detector,
            highest,
            schedule: Schedule::default(),
            layouts: Layouts::default(),
            counters: HashMap::new(),
            uptimes: HashMap::new(),
            measuring: HashMap::new(),
            ways: Arc::default(),
            told: parts.stored.told,
            remembered: parts.stored.states.into_iter().collect(),
            pending: Pending::default(),
            storing: None,
            off_since,
            begun: None,
            restored: None,
            checks: BinaryHeap::new(),
            under_way: BTreeSet::new(),
            base_ms,
            waiting_polls: VecDeque::new(),
            volley: VOLLEY,
            volley_at: Instant::now(),
            judged_ms: 0,
            counted: u64::MAX,
            rereads: devices::Rereads::default(),
            topology_is_old: true,
            totals: Totals::default(),
            totals_out,
            boot_id,
            stored_tick_at: Instant::now(),
            flushed_at: Instant::now(),
            commands: queue,
            jobs: JoinSet::new(),
        };
        working.own = (working.own_addresses)().into_iter().collect();
        // Before anybody asks: a snapshot must not be empty only because the probe has just begun.
        let still_holds = working.off_since.is_some_and(|(from, same_boot)| {
            same_boot && (0..RESTART_MS).contains(&now.since(from))
        });
        for remembered in working.remembered.values_mut() {
            remembered.still_holds = still_holds;
        }
        let known: Vec<_> = working.inventory.iter().map(|device| device.no).collect();
        for no in known {
            working.watch(no, false);
        }
        (monitor, working)
    }

    /// Watches until `drain`, then makes durable what was read.
    ///
    /// # Errors
    /// The spool's file is damaged: the process ends in order and sets it aside at its next start.
    pub async fn run(mut self, drain: CancellationToken) -> Result<(), BrokenStore> {
        let mut epoch = self.spool.watch_epoch();
        let started = EventRecord {
            at: self.clock.now(),
            kind: EventKind::ProbeStarted.code(),
            severity: Severity::Cleared.code(),
            device: DeviceNo(0),
            instance: InstanceNo(0),
            state: NO_STATE,
            text: DeviceText::from(concat!(
                "farwatch-probe ",
                env!("CARGO_PKG_VERSION"),
                " started"
            )),
            detail: Vec::new(),
        };
        self.keeper
            .news(News {
                events: vec![started],
                ..News::default()
            })
            .await;
        loop {
            let wake = self.next_wake();
            let may_start = self.may_start();
            tokio::select! {
                () = drain.cancelled() => break,
                () = tokio::time::sleep(wake) => self.tick().await,
                () = tokio::time::sleep_until(self.volley_at), if may_start => self.start_waiting(),
                Some(command) = self.commands.recv() => self.command(command).await,
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => {
                    if let Ok(done) = done {
                        self.done(done).await;
                    }
                }
                stored = stored(&mut self.storing) => self.stored(stored)?,
                Ok(()) = epoch.changed() => self.layouts.renumber(),
            }
        }
        self.finish().await
    }

    /// Everything that was read becomes durable; what is under way is given up, and its slots are covered by the gap
    /// that the next start writes.
    async fn finish(mut self) -> Result<(), BrokenStore> {
        self.jobs.abort_all();
        if self.storing.is_some() {
            let outcome = stored(&mut self.storing).await;
            self.stored(outcome)?;
        }
        let mut whole = self.off_since.is_none();
        if !self.pending.is_empty() {
            self.flush().await;
            let outcome = stored(&mut self.storing).await;
            whole &= outcome == Stored::Durable;
            self.stored(outcome)?;
        }
        if whole {
            let tick = self.tick_now();
            self.keeper.tick(tick).await;
        }
        self.keeper.flush().await;
        Ok(())
    }

    fn states(&self) -> MutexGuard<'_, Detector> {
        lock(&self.detector)
    }

    fn now(&self) -> Moment {
        Moment {
            wall: self.clock.now(),
            boot_ms: self.clock.boot_ms(),
        }
    }

    /// Until the next second, or the next check.
    fn next_wake(&self) -> Duration {
        let now = self.now();
        let to_second = 1_000 - now.wall.ms().rem_euclid(1_000);
        let to_check = self
            .checks
            .peek()
            .map_or(i64::MAX, |Reverse((at, ..))| (at - now.boot_ms).max(0));
        Duration::from_millis(u64::try_from(to_second.min(to_check)).unwrap_or(1_000))
    }

    async fn tick(&mut self) {
        self.follow_clock();
        self.start_checks();
        self.reread();
        let second = match self.slots.step(self.clock.now().secs()) {
            Ok(second) => second,
            Err(second) => {
                tracing::warn!("the clock was set back: slots are counted anew");
                self.schedule.rebase(second);
                self.layouts.renumber();
                second
            }
        };
        let due = self.schedule.due(second);
        self.start(due);
        let now = self.now();
        if !(0..JUDGE_EVERY_MS).contains(&(now.boot_ms - self.judged_ms)) {
            self.judged_ms = now.boot_ms;
            let outcome = self.states().tick(now);
            self.tell(outcome).await;
            self.count();
        }
        if self.topology_is_old {
            self.learn_topology();
        }
        if second % 60 == 0 {
            self.own = (self.own_addresses)().into_iter().collect();
        }
        if self.storing.is_none()
            && !self.pending.is_empty()
            && self.flushed_at.elapsed() >= FLUSH_EVERY
        {
            self.flush().await;
        } else if self.stored_tick_at.elapsed() >= TICK_EVERY
            && self.off_since.is_none()
            && self.pending.is_empty()
            && self.storing.is_none()
        {
            self.stored_tick_at = Instant::now();
            let tick = self.tick_now();
            self.keeper.tick(tick).await;
        }
    }

    fn count(&mut self) {
        let alive = self.states().alive();
        self.totals.up = alive;
        if self.counted != self.inventory.changes() {
            self.counted = self.inventory.changes();
            self.totals.devices = u32::try_from(self.inventory.len()).unwrap_or(u32::MAX);
            let wide = self.inventory.iter().filter(|d| d.private.left_out > 0);
            self.totals.devices_too_wide = u32::try_from(wide.count()).unwrap_or(u32::MAX);
        }
        self.totals_out.send_replace(self.totals);
    }

    /// Until when everything is durable once `pending` is.
    fn tick_now(&self) -> Tick {
        let first = self.under_way.first().map(|(slot_s, _)| *slot_s);
        let at = self.slots.done_until(first);
        Tick {
            at: Timestamp::from_secs(at),
            boot_id: self.boot_id.clone(),
        }
    }

    async fn done(&mut self, done: Done) {
        match done {
            Done::Polled {
                key,
                slot_s,
                ports,
                outcome,
                at,
            } => {
                let slot_s = self.slot_now(slot_s, key);
                let at = self.moment_now(at);
                self.under_way.remove(&(slot_s, key));
                self.schedule.finished(key);
                self.polled(key, slot_s, ports, outcome, at).await;
            }
            Done::Pinged { answers, sent } => self.pinged(answers, sent).await,
            Done::Checked {
                device,
                scheduled,
                outcome,
                at,
            } => {
                if scheduled {
                    self.schedule.finished(Key {
                        device,
                        work: Work::Ping,
                    });
                }
                let mut all = Outcome::default();
                match outcome {
                    _ if !self.may_ask(device) => {}
                    Ok(ticks) => {
                        all.extend(self.states().seen(device, By::Snmp, Seen::Answer, at));
                        if let Some(ticks) = ticks {
                            all.extend(self.states().uptime(device, ticks, at));
                        }
                    }
                    Err(PollOutcome::Refused(why)) => {
                        all.extend(
                            self.states()
                                .seen(device, By::Snmp, Seen::Refusal(&why), at),
                        );
                    }
                    Err(_) => {
                        all.extend(self.states().seen(device, By::Snmp, Seen::Silence, at));
                    }
                }
                self.tell(all).await;
            }
            Done::Measured {
                key,
                slot_s,
                answer,
                at,
            } => {
                let slot_s = self.slot_now(slot_s, key);
                let at = self.moment_now(at);
                self.under_way.remove(&(slot_s, key));
                self.schedule.finished(key);
                self.was_measured(key, slot_s, answer, at).await;
            }
            Done::Inventoried { device, read } => {
                self.schedule.finished(Key {
                    device,
                    work: Work::Inventory,
                });
                self.was_read(device, read.as_ref().is_some_and(|read| read.0.whole));
                if let Some(read) = read {
                    let (facts, around) = *read;
                    self.inventoried(device, facts, around).await;
                }
            }
        }
        if self.storing.is_none() && self.pending.values() >= FLUSH_VALUES {
            self.flush().await;
        }
        if self.may_start() {
            self.start_waiting();
        }
    }

    /// From the next second on all slots are worked; what lies before is a gap.
    fn begin(&mut self) {
        if self.begun.is_some() {
            return;
        }
        let now = self.clock.now();
        let begun = Timestamp::from_secs(now.secs() + 1);
        self.begun = Some(begun);
        self.slots = SlotClock::new(now.secs());
        if let Some((from, same_boot)) = self.off_since.take() {
            let restart = same_boot && begun.since(from) < RESTART_MS;
            let reason = if restart {
                GapReason::ProbeRestart
            } else {
                GapReason::ProbeOff
            };
            self.was_off(from, begun, reason);
        }
    }

    fn was_off(&mut self, from: Timestamp, to: Timestamp, reason: GapReason) {
        if from < to {
            let reason = reason.code();
            self.pending.probe_gap(ProbeGap { from, to, reason });
        }
    }

    /// Tells what happened, and asks again where that is needed to be sure.
    async fn tell(&mut self, outcome: Outcome) {
        for check in outcome.checks {
            self.checks
                .push(Reverse((check.at_ms, check.device, check.by)));
        }
        if outcome.events.is_empty() && outcome.changed.is_empty() {
            return;
        }
        let states = outcome
            .changed
            .iter()
            .filter_map(|no| Some(StateRow::of(*no, &self.states().remember(*no)?)))
            .collect();
        for event in &outcome.events {
            let name = self
                .inventory
                .get(event.device)
                .map_or("the probe", |device| device.name());
            tracing::info!(device.no = event.device.0, "{name}: {}", event.text);
        }
        self.keeper
            .news(News {
                events: outcome.events,
                states,
                ..News::default()
            })
            .await;
    }

    async fn store_devices(
        &mut self,
        devices: &[DeviceNo],
        events: Vec<EventRecord>,
        states: Vec<StateRow>,
    ) {
        if devices.is_empty() && events.is_empty() {
            return;
        }
        let known: Vec<_> = devices
            .iter()
            .filter_map(|no| self.inventory.any(*no))
            .collect();
        let news = News {
            rows: known.iter().map(|device| Row::of(device)).collect(),
            devices: known.iter().map(|device| device.whole()).collect(),
            forgotten: known
                .iter()
                .filter(|device| device.record.retired)
                .map(|device| device.no)
                .collect(),
            highest: Some(self.told_highest()),
            events,
            states,
            ..News::default()
        };
        self.keeper.news(news).await;
    }

    fn told_highest(&self) -> u32 {
        let highest = self.inventory.highest();
        self.highest.store(highest, Ordering::Relaxed);
        highest
    }

    /// Stores what Central has told: it need not be told again.
    async fn store_rows(&mut self, devices: &[DeviceNo]) {
        let news = News {
            rows: devices
                .iter()
                .filter_map(|no| self.inventory.any(*no))
                .map(Row::of)
                .collect(),
            highest: Some(self.told_highest()),
            ..News::default()
        };
        self.keeper.news(news).await;
    }

    /// Hands what is pending to the keeper. One batch at a time: what is read meanwhile counts from what it says.
    async fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let Built {
            batch,
            shapes,
            new,
            counters,
            from,
            to,
        } = pending.build(&mut self.layouts, &self.counters);
        let samples = Samples {
            epoch: self.spool.epoch(),
            batch,
            shapes,
            new,
            from,
            to,
            tick: self.tick_now(),
        };
        self.flushed_at = Instant::now();
        self.stored_tick_at = Instant::now();
        let new = samples.new.iter().map(|layout| layout.no).collect();
        let answer = self.keeper.samples(samples).await;
        self.storing = Some(Storing {
            pending,
            counting: counters,
            new,
            answer,
        });
    }

    fn stored(&mut self, outcome: Stored) -> Result<(), BrokenStore> {
        let Some(storing) = self.storing.take() else {
            return Ok(());
        };
        match outcome {
            Stored::Durable => self.counters.extend(storing.counting),
            Stored::Lost => self.layouts.untold(&storing.new),
            Stored::Later => {
                self.layouts.untold(&storing.new);
                self.pending.put_back(storing.pending);
            }
            Stored::EpochMoved => {
                self.layouts.renumber();
                self.pending.put_back(storing.pending);
            }
            Stored::Broken => return Err(BrokenStore),
        }
        if self.pending.values() > PENDING_LIMIT {
            tracing::warn!("the disk has had no room for long: samples in memory are let go");
            self.pending.give_up();
        }
        Ok(())
    }
}

/// The detector's methods do not panic half way.
pub(super) fn lock(detector: &Mutex<Detector>) -> MutexGuard<'_, Detector> {
    detector.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The outcome of the batch that is being stored; never, while there is none.
async fn stored(storing: &mut Option<Storing>) -> Stored {
    match storing {
        Some(storing) => (&mut storing.answer).await.unwrap_or(Stored::Lost),
        None => std::future::pending().await,
    }
}

/// The spool's file is damaged; it is set aside at the next start.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the spool cannot be written any more")]
pub struct BrokenStore;

/// How long reading a device's names, and then its neighbours, may take.
const INVENTORY_DEADLINE: Duration = Duration::from_secs(30);
