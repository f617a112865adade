//! The loop that owns inventory, schedule, states and readings.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::model::{
    DeviceNo, EventKind, GapReason, InstanceNo, LayoutNo, PollGroup, ProbeGap, Severity,
};
use farwatch_shared::text::DeviceText;
use farwatch_shared::wire::message::batch::EventRecord;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::keep::{Keeper, News, Samples, Stored};
use super::layout::{Layouts, Port, Rhythm};
use super::pending::{Built, Missing, Pending, PingReading, PollReading};
use super::ping_round::{self, Echo, PingJob, Pinged};
use super::poll::{self, PollAnswer, PollJob, PollOutcome};
use super::schedule::{self, Due, Key, Schedule, SlotClock, Work};
use super::{COMMANDS, Command, Known, Listed, Monitor, Totals, is_alive};
use crate::config::site::Site;
use crate::detect::{By, Detector, Moment, NO_STATE, Outcome, Remembered, Seen};
use crate::increase::Counters;
use crate::inventory::facts::{self, Around, Facts};
use crate::inventory::store::{Row, StateRow, Stored as StoredInventory, Tick};
use crate::inventory::{Found, FoundSnmp, Inventory, interfaces, topology};
use crate::snmp::{Limits, Snmp, Target};
use crate::spool::Spool;

/// Polls under way at once: more only wait inside the engine, and cost memory.
pub const POLLS_AT_ONCE: usize = 1_024;
/// Pending samples become durable at least this often: no later than 5 s after their poll.
const FLUSH_EVERY: Duration = Duration::from_secs(3);
/// Values that close a batch early: about 64 KiB, encoded.
const FLUSH_VALUES: usize = 24_000;
/// The tick is stored at least this often, also when there is nothing else to store.
const TICK_EVERY: Duration = Duration::from_secs(10);
/// Readings kept in memory while the disk does not answer; beyond it the oldest wait is over and they are dropped.
const PENDING_LIMIT: usize = 2_000_000;
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
    /// Pings; `None` where the system does not let us.
    pub echo: Option<Arc<dyn Echo>>,
    /// The probe's own addresses, never judged by ICMP.
    pub own: fn() -> Vec<IpAddr>,
    /// What was stored before.
    pub stored: StoredInventory,
    /// When the probe is known to have run last, where `stored` does not say.
    pub last_tick: Option<Timestamp>,
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
    echo: Option<Arc<dyn Echo>>,
    own_addresses: fn() -> Vec<IpAddr>,
    own: HashSet<IpAddr>,
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
    remembered: HashMap<DeviceNo, Remembered>,
    pending: Pending,
    storing: Option<Storing>,
    /// Since when nothing was sampled, and whether in this boot; told once the schedule begins.
    off_since: Option<(Timestamp, bool)>,
    /// When the schedule began.
    begun: Option<Timestamp>,
    checks: BinaryHeap<Reverse<(i64, DeviceNo, By)>>,
    under_way: BTreeSet<(i64, Key)>,
    waiting_polls: VecDeque<(Key, i64)>,
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
            echo: parts.echo,
            own_addresses: parts.own,
            own: HashSet::new(),
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
            remembered: parts.stored.states.into_iter().collect(),
            pending: Pending::default(),
            storing: None,
            off_since,
            begun: None,
            checks: BinaryHeap::new(),
            under_way: BTreeSet::new(),
            waiting_polls: VecDeque::new(),
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
            tokio::select! {
                () = drain.cancelled() => break,
                () = tokio::time::sleep(wake) => self.tick().await,
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
        self.start_checks();
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
        let outcome = self.states().tick(self.now());
        self.tell(outcome).await;
        if self.topology_is_old {
            self.learn_topology();
        }
        if second % 60 == 0 {
            self.own = (self.own_addresses)().into_iter().collect();
        }
        if self.storing.is_none()
            && !self.pending.is_empty()
            && (self.flushed_at.elapsed() >= FLUSH_EVERY || self.pending.values() >= FLUSH_VALUES)
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
        self.count();
    }

    fn count(&mut self) {
        let mut totals = self.totals;
        totals.devices = u32::try_from(self.inventory.len()).unwrap_or(u32::MAX);
        totals.up = 0;
        for device in self.inventory.iter() {
            totals.up += u32::from(self.states().state(device.no).is_some_and(is_alive));
        }
        self.totals = totals;
        self.totals_out.send_replace(totals);
    }

    /// Until when everything is durable once `pending` is.
    fn tick_now(&self) -> Tick {
        let second = self.clock.now().secs();
        let at = self
            .under_way
            .first()
            .map_or(second + 1, |(slot_s, _)| *slot_s)
            .min(second + 1);
        Tick {
            at: Timestamp::from_secs(at),
            boot_id: self.boot_id.clone(),
        }
    }

    fn start(&mut self, due: Vec<Due>) {
        let mut pings = Vec::new();
        for due in due {
            match due {
                Due::Run { key, slot_s } => match key.work {
                    Work::Ping => self.start_ping(key, slot_s, &mut pings),
                    Work::Poll => self.start_poll(key, slot_s),
                    Work::Inventory => self.start_inventory(key.device),
                },
                Due::Missed {
                    key,
                    first_slot_s,
                    slots,
                } => self.missed(key, first_slot_s, slots, GapReason::Overran),
            }
        }
        self.send_pings(pings);
    }

    /// Slots of this work passed without a reading.
    fn missed(&mut self, key: Key, first_slot_s: i64, slots: u32, reason: GapReason) {
        let group = match key.work {
            Work::Ping if self.judged_by_ping(key.device) => PollGroup::Ping,
            Work::Poll => PollGroup::Poll,
            _ => return,
        };
        if reason == GapReason::Overran {
            self.totals.polls_overran_total += u64::from(slots);
        }
        let ports = match (group, self.inventory.get(key.device)) {
            (PollGroup::Poll, Some(device)) => device.private.ports.clone(),
            _ => Arc::default(),
        };
        self.pending.missing(Missing {
            device: key.device,
            group,
            ports,
            rhythm: self.rhythm(key),
            first_slot_s,
            slots,
            reason,
        });
    }

    fn rhythm(&self, key: Key) -> Rhythm {
        let interval_s = match key.work {
            Work::Ping => self.site.icmp_interval_s,
            Work::Poll => self.site.poll_interval_s,
            Work::Inventory => self.site.inventory_interval_s,
        };
        Rhythm {
            interval_s,
            phase_s: schedule::phase(key, interval_s),
        }
    }

    fn start_ping(&mut self, key: Key, slot_s: i64, pings: &mut Vec<PingJob>) {
        let Some(device) = self.inventory.get(key.device) else {
            return;
        };
        let (address, has_snmp) = (device.address, device.has_snmp());
        if self.judges(address) {
            self.under_way.insert((slot_s, key));
            pings.push(PingJob {
                device: key.device,
                address,
                slot_s: Some(slot_s),
            });
        } else if has_snmp {
            // Where ICMP says nothing, SNMP is asked as often: one cheap question.
            self.start_check(key.device, true);
        } else {
            self.schedule.finished(key);
        }
    }

    fn send_pings(&mut self, jobs: Vec<PingJob>) {
        let Some(echo) = self.echo.clone().filter(|_| !jobs.is_empty()) else {
            return;
        };
        let sent = self.now();
        let interval = Duration::from_secs(self.site.icmp_interval_s.into());
        self.jobs.spawn(async move {
            Done::Pinged {
                answers: ping_round::round(&*echo, &jobs, interval).await,
                sent,
            }
        });
    }

    fn start_poll(&mut self, key: Key, slot_s: i64) {
        self.under_way.insert((slot_s, key));
        if self.jobs.len() >= POLLS_AT_ONCE {
            self.waiting_polls.push_back((key, slot_s));
            return;
        }
        let Some((target, device)) = self.target(key.device) else {
            self.under_way.remove(&(slot_s, key));
            self.schedule.finished(key);
            self.missed(key, slot_s, 1, GapReason::NotPermitted);
            self.not_asked(key.device);
            return;
        };
        let job = PollJob {
            device: key.device,
            target,
            ports: device.ports,
            table_changed: device.table_changed,
            uptime_before: self.uptimes.get(&key.device).copied(),
            cheap_first: self.states().snmp_failed(key.device),
            deadline: self.site.poll_deadline(),
        };
        let (snmp, clock) = (self.snmp.clone(), self.clock.clone());
        self.jobs.spawn(async move {
            // The engine keeps the deadline; this is for the day when it does not.
            let limit = job.deadline + Duration::from_secs(2);
            let outcome = tokio::time::timeout(limit, poll::poll(&*snmp, &job))
                .await
                .unwrap_or(PollOutcome::Silent);
            Done::Polled {
                key,
                slot_s,
                ports: job.ports,
                outcome,
                at: Moment {
                    wall: clock.now(),
                    boot_ms: clock.boot_ms(),
                },
            }
        });
    }

    /// A device that may not be asked any more must not look well for ever.
    fn not_asked(&mut self, device: DeviceNo) {
        let at = self.now();
        let why = "its credential is not in the site's configuration any more".to_owned();
        self.jobs.spawn(async move {
            Done::Checked {
                device,
                scheduled: false,
                outcome: Err(PollOutcome::Refused(why)),
                at,
            }
        });
    }

    /// Where a device is asked; `None` when its credential is gone, or it may not be asked.
    fn target(&self, no: DeviceNo) -> Option<(Target, crate::inventory::Private)> {
        let device = self.inventory.get(no)?;
        let credential = self.site.credential(&device.record.credential)?;
        self.site.allows(device.address).then(|| {
            (
                Target {
                    address: SocketAddr::new(device.address, device.record.snmp_port),
                    auth: credential.auth.clone(),
                },
                device.private.clone(),
            )
        })
    }

    fn start_inventory(&mut self, no: DeviceNo) {
        let key = Key {
            device: no,
            work: Work::Inventory,
        };
        let Some((target, _)) = self.target(no).filter(|_| !self.states().snmp_failed(no)) else {
            self.schedule.finished(key);
            return;
        };
        let snmp = self.snmp.clone();
        self.jobs.spawn(async move {
            let limits = Limits::default().with_deadline(INVENTORY_DEADLINE);
            let read = async {
                let reading = snmp
                    .read(&target, &facts::identity_plan(), limits)
                    .await
                    .ok()?;
                if reading.scalars.is_empty() {
                    return None;
                }
                let facts = Facts::read(&reading);
                let around = match snmp.read(&target, &facts::around_plan(), limits).await {
                    Ok(reading) => Around::read(&reading, &facts.interfaces),
                    Err(_) => Around::default(),
                };
                Some(Box::new((facts, around)))
            };
            let read = tokio::time::timeout(INVENTORY_DEADLINE * 3, read)
                .await
                .unwrap_or(None);
            Done::Inventoried { device: no, read }
        });
    }

    fn start_checks(&mut self) {
        let now_ms = self.clock.boot_ms();
        let mut pings = Vec::new();
        while let Some(Reverse((at, device, by))) = self.checks.peek().copied() {
            if at > now_ms {
                break;
            }
            self.checks.pop();
            match by {
                By::Ping => {
                    if let Some(known) = self.inventory.get(device)
                        && self.judges(known.address)
                    {
                        pings.push(PingJob {
                            device,
                            address: known.address,
                            slot_s: None,
                        });
                    }
                }
                By::Snmp => self.start_check(device, false),
            }
        }
        self.send_pings(pings);
    }

    fn start_check(&mut self, device: DeviceNo, scheduled: bool) {
        let Some((target, _)) = self.target(device) else {
            if scheduled {
                self.schedule.finished(Key {
                    device,
                    work: Work::Ping,
                });
            }
            return;
        };
        let (snmp, clock) = (self.snmp.clone(), self.clock.clone());
        self.jobs.spawn(async move {
            let outcome = poll::check(&*snmp, &target).await;
            Done::Checked {
                device,
                scheduled,
                outcome,
                at: Moment {
                    wall: clock.now(),
                    boot_ms: clock.boot_ms(),
                },
            }
        });
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
            Done::Inventoried { device, read } => {
                self.schedule.finished(Key {
                    device,
                    work: Work::Inventory,
                });
                if let Some(read) = read {
                    let (facts, around) = *read;
                    self.inventoried(device, facts, around).await;
                }
            }
        }
        while self.jobs.len() < POLLS_AT_ONCE
            && let Some((key, slot_s)) = self.waiting_polls.pop_front()
        {
            self.start_poll(key, slot_s);
        }
    }

    async fn polled(
        &mut self,
        key: Key,
        slot_s: i64,
        ports: Arc<[Port]>,
        outcome: PollOutcome,
        at: Moment,
    ) {
        self.totals.polls_total += 1;
        let device = key.device;
        if self.inventory.get(device).is_none() {
            return;
        }
        match outcome {
            PollOutcome::Silent => {
                self.missed(key, slot_s, 1, GapReason::NoResponse);
                let out = self.states().seen(device, By::Snmp, Seen::Silence, at);
                self.tell(out).await;
            }
            PollOutcome::Refused(why) => {
                self.missed(key, slot_s, 1, GapReason::NoResponse);
                let out = self
                    .states()
                    .seen(device, By::Snmp, Seen::Refusal(&why), at);
                self.tell(out).await;
            }
            PollOutcome::Read(answer) => self.read(key, slot_s, ports, *answer, at).await,
        }
    }

    async fn read(
        &mut self,
        key: Key,
        slot_s: i64,
        ports: Arc<[Port]>,
        mut answer: PollAnswer,
        at: Moment,
    ) {
        let no = key.device;
        let mut out = self.states().seen(no, By::Snmp, Seen::Answer, at);
        if let Some(ticks) = answer.uptime_ticks {
            out.extend(self.states().uptime(no, ticks, at));
            self.uptimes.insert(no, ticks);
        }
        if let Some((rows, changed)) = answer.rows.take() {
            self.rows_read_again(no, &ports, rows, changed, &mut answer)
                .await;
        }
        if let Some(device) = self.inventory.get(no) {
            for (instance, admin, oper) in &answer.states {
                let told = self.states().interface(
                    no,
                    *instance,
                    || device.interface_name(*instance),
                    *admin,
                    *oper,
                    at,
                );
                out.extend(told);
            }
        }
        self.totals.samples_total += answer.raw.iter().flatten().count() as u64;
        let slot = Timestamp::from_secs(slot_s);
        self.pending.poll(PollReading {
            device: no,
            ports,
            rhythm: self.rhythm(key),
            slot_s,
            offset_ms: i32::try_from(at.wall.since(slot)).unwrap_or(0),
            at_ms: at.boot_ms,
            uptime_ticks: answer.uptime_ticks,
            raw: answer.raw,
            discontinuity: answer.discontinuity,
            missing: if answer.overran {
                GapReason::Overran
            } else {
                GapReason::Partial
            },
        });
        self.totals.polls_overran_total += u64::from(answer.overran);
        if self.inventory.poll_cost(no, answer.cost) {
            self.store_devices(&[no], Vec::new(), Vec::new()).await;
        }
        self.tell(out).await;
    }

    /// The interface table may have been renumbered: values whose index means another interface now are taken back.
    async fn rows_read_again(
        &mut self,
        no: DeviceNo,
        polled: &[Port],
        rows: Vec<facts::InterfaceFacts>,
        changed: Option<u32>,
        answer: &mut PollAnswer,
    ) {
        let Some(device) = self.inventory.get(no) else {
            return;
        };
        let matched = interfaces::match_interfaces(&device.record.interfaces, &rows);
        let moved = polled.iter().any(|port| {
            matched
                .ports
                .iter()
                .find(|now| now.instance == port.instance)
                .is_none_or(|now| now.if_index != port.if_index)
        });
        if moved {
            answer.distrust();
        }
        let gone: Vec<_> = matched
            .records
            .iter()
            .filter(|record| !record.present)
            .map(|record| InstanceNo(record.instance))
            .collect();
        for instance in gone {
            self.states().forget_interface(no, instance);
        }
        if self
            .inventory
            .renumbered(no, matched, changed, self.clock.now())
        {
            self.store_devices(&[no], Vec::new(), Vec::new()).await;
        }
    }

    async fn pinged(&mut self, answers: Vec<(PingJob, Pinged)>, sent: Moment) {
        let mut all = Outcome::default();
        let seen_at = self.now();
        for (job, pinged) in answers {
            let key = Key {
                device: job.device,
                work: Work::Ping,
            };
            if let Some(slot_s) = job.slot_s {
                self.under_way.remove(&(slot_s, key));
                self.schedule.finished(key);
            }
            if self.inventory.get(job.device).is_none() {
                continue;
            }
            let (seen, rtt_us) = match pinged {
                Pinged::Answer { rtt_us } => (Seen::Answer, Some(rtt_us)),
                Pinged::Silence => (Seen::Silence, None),
                Pinged::NotPermitted => {
                    if let Some(slot_s) = job.slot_s {
                        self.missed(key, slot_s, 1, GapReason::NotPermitted);
                    }
                    continue;
                }
            };
            if let Some(slot_s) = job.slot_s {
                self.totals.samples_total += 1 + u64::from(rtt_us.is_some());
                self.pending.ping(PingReading {
                    device: job.device,
                    rhythm: self.rhythm(key),
                    slot_s,
                    offset_ms: i32::try_from(sent.wall.since(Timestamp::from_secs(slot_s)))
                        .unwrap_or(0),
                    rtt_us,
                });
            }
            all.extend(self.states().seen(job.device, By::Ping, seen, seen_at));
        }
        self.tell(all).await;
    }

    async fn inventoried(&mut self, no: DeviceNo, facts: Facts, around: Around) {
        let Some(device) = self.inventory.get(no) else {
            return;
        };
        let found = Found {
            address: device.address,
            ping: None,
            snmp: Some(FoundSnmp {
                port: device.record.snmp_port,
                credential: device.record.credential.clone(),
                version: device.record.snmp.clone(),
                security: device.record.snmp_security.clone(),
                facts,
            }),
            by_person: false,
            at: self.clock.now(),
        };
        let no = self.observe(found).await;
        self.around(no, around).await;
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Site(site) => self.set_site(site).await,
            Command::Found(found, tell) => {
                let no = self.observe(*found).await;
                let _ = tell.send(no);
            }
            Command::Around(no, around) => self.around(no, *around).await,
            Command::Addresses(addresses, sweep) => {
                let news = News {
                    addresses,
                    sweep,
                    ..News::default()
                };
                self.keeper.news(news).await;
            }
            Command::Known(addresses, tell) => {
                let known = addresses.iter().map(|address| self.known(*address));
                let _ = tell.send(known.collect());
            }
            Command::Forget(devices) => {
                let mut retired = Vec::new();
                for no in devices {
                    if self.inventory.retire(no, self.clock.now()) {
                        retired.push(no);
                    }
                }
                self.unwatch(&retired);
                self.store_devices(&retired, Vec::new(), Vec::new()).await;
            }
            Command::Listing(tell) => {
                let _ = tell.send(self.listing());
            }
            Command::Restore(records, highest, tell) => {
                for record in records {
                    if self.inventory.any(DeviceNo(record.device)).is_none() {
                        self.inventory
                            .restore(record, crate::inventory::Private::default());
                    }
                }
                self.inventory.floor(highest);
                let all: Vec<_> = self.inventory.iter().map(|device| device.no).collect();
                self.store_rows(&all).await;
                for no in all {
                    self.watch(no, false);
                }
                let _ = tell.send(());
            }
            Command::OffSince(from) => match self.begun {
                None => self.off_since = Some((from, false)),
                Some(begun) => self.was_off(from, begun, GapReason::ProbeOff),
            },
        }
    }

    fn known(&self, address: IpAddr) -> Option<Known> {
        let device = self.inventory.at(address)?;
        Some(Known {
            device: device.no,
            is_primary: device.address == address,
            credential: device.has_snmp().then(|| device.record.credential.clone()),
            speaks_v3: device.private.speaks_v3,
        })
    }

    fn listing(&self) -> Vec<Listed> {
        self.inventory
            .iter()
            .map(|device| {
                let state = self.states().remember(device.no);
                Listed {
                    device: device.no.0,
                    address: device.record.address.clone(),
                    name: device.name().to_owned(),
                    state: state
                        .as_ref()
                        .map_or("unknown", |state| state.state.as_str())
                        .to_owned(),
                    since: state
                        .as_ref()
                        .map_or_else(String::new, |state| state.since.to_string()),
                    reason: state.map(|state| state.reason).unwrap_or_default(),
                    snmp: device.record.snmp.clone(),
                    credential: device.record.credential.clone(),
                    vendor: device.record.vendor.as_str().to_owned(),
                    interfaces: device.private.ports.len(),
                }
            })
            .collect()
    }

    async fn set_site(&mut self, site: Arc<Site>) {
        for problem in &site.problems {
            tracing::warn!("the site's configuration: {problem}");
        }
        self.site = site;
        self.begin();
        let out_of_range: Vec<_> = self
            .inventory
            .iter()
            .filter(|device| !self.site.allows(device.address))
            .map(|device| device.no)
            .collect();
        for no in &out_of_range {
            self.inventory.retire(*no, self.clock.now());
        }
        self.unwatch(&out_of_range);
        self.store_devices(&out_of_range, Vec::new(), Vec::new())
            .await;
        let all: Vec<_> = self.inventory.iter().map(|device| device.no).collect();
        for no in all {
            self.watch(no, false);
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

    /// Takes what was met at an address: stored, told, scheduled.
    async fn observe(&mut self, found: Found) -> DeviceNo {
        let by_snmp = found.snmp.is_some();
        let detector = self.detector.clone();
        let seen = self.inventory.observe(found, |no| {
            lock(&detector)
                .state(no)
                .is_some_and(|state| !is_alive(state))
        });
        for instance in &seen.gone {
            self.states().forget_interface(seen.device, *instance);
        }
        self.unwatch(&seen.retired);
        self.watch(seen.device, seen.new || seen.changed.contains(&seen.device));
        let mut events = seen.events;
        let mut states = Vec::new();
        if seen.new {
            // It has just answered: what was found is up, and is told so in one breath.
            let by = if by_snmp { By::Snmp } else { By::Ping };
            let now = self.now();
            let out = self.states().seen(seen.device, by, Seen::Answer, now);
            if let (Some(state), Some(event)) =
                (self.states().remember(seen.device), events.first_mut())
                && !out.changed.is_empty()
            {
                event.state = state.state.code();
                states.push(StateRow::of(seen.device, &state));
            }
            tracing::info!(
                device.no = seen.device.0,
                "{}",
                events.first().map_or("", |event| event.text.as_str())
            );
        }
        if seen.new || !seen.changed.is_empty() {
            self.topology_is_old = true;
            self.store_devices(&seen.changed, events, states).await;
        }
        seen.device
    }

    async fn around(&mut self, no: DeviceNo, around: Around) {
        let candidates: Vec<IpAddr> = around
            .candidates()
            .filter(|address| {
                self.site.scope.allows(*address) && self.inventory.at(*address).is_none()
            })
            .collect();
        if !candidates.is_empty() && self.follow.try_send(candidates).is_err() {
            tracing::debug!("discovery is busy: these addresses are met again in an hour");
        }
        if self.inventory.around(no, around, self.clock.now()) {
            self.topology_is_old = true;
            self.store_devices(&[no], Vec::new(), Vec::new()).await;
        }
    }

    /// Schedules a device, and asks it at once when it is new or has new ways to be asked.
    fn watch(&mut self, no: DeviceNo, at_once: bool) {
        let Some(device) = self.inventory.get(no) else {
            return;
        };
        let (address, has_snmp, ping_worked) = (
            device.address,
            device.has_snmp(),
            device.private.ping_worked,
        );
        // What Central sent back has no columns yet: they are read before anything else.
        let unread = device.private == crate::inventory::Private::default();
        let now = self.now();
        let judged = self.judges(address);
        let ping = judged.then_some(ping_worked);
        let snmp = has_snmp.then_some(true);
        let remembered = self.remembered.remove(&no);
        self.states().add(no, ping, snmp, remembered, now);
        let second = now.wall.secs();
        let site = self.site.clone();
        if site.poll_interval_s == 0 {
            return; // no document yet: nothing is asked
        }
        let key = |work| Key { device: no, work };
        if !judged {
            self.layouts.forget(no, PollGroup::Ping);
        }
        if judged || has_snmp {
            self.schedule
                .set(key(Work::Ping), site.icmp_interval_s, second);
        }
        if has_snmp {
            let is_new = !self.schedule.contains(key(Work::Poll));
            self.schedule
                .set(key(Work::Poll), site.poll_interval_s, second);
            self.schedule
                .set(key(Work::Inventory), site.inventory_interval_s, second);
            if at_once && is_new && self.schedule.begin(key(Work::Poll)) {
                let slot_s = self.schedule.current_slot(key(Work::Poll), second);
                self.start_poll(key(Work::Poll), slot_s.unwrap_or(second));
            }
        }
        if has_snmp && unread && self.schedule.begin(key(Work::Inventory)) {
            self.start_inventory(no);
        }
        if at_once && judged {
            self.checks.push(Reverse((now.boot_ms, no, By::Ping)));
        }
    }

    fn unwatch(&mut self, devices: &[DeviceNo]) {
        for no in devices {
            for work in [Work::Ping, Work::Poll, Work::Inventory] {
                self.schedule.remove(Key { device: *no, work });
            }
            self.states().remove(*no);
            self.counters.remove(no);
            self.uptimes.remove(no);
            self.layouts.forget(*no, PollGroup::Ping);
            self.layouts.forget(*no, PollGroup::Poll);
            self.topology_is_old = true;
        }
    }

    /// Whether an address is judged by ICMP: not the probe's own, and not where the system does not let us.
    fn judges(&self, address: IpAddr) -> bool {
        self.echo.is_some() && !address.to_canonical().is_loopback() && !self.own.contains(&address)
    }

    fn judged_by_ping(&self, no: DeviceNo) -> bool {
        self.inventory
            .get(no)
            .is_some_and(|device| self.judges(device.address))
    }

    fn learn_topology(&mut self) {
        self.topology_is_old = false;
        let first = self
            .first_hop
            .or_else(crate::discovery::own::gateway)
            .and_then(|address| self.inventory.at(address))
            .map(|device| device.no);
        self.states()
            .set_parents(topology::parents(&self.inventory, first));
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
            devices: known.iter().map(|device| device.record.clone()).collect(),
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
            layouts,
            new,
            counters,
            from,
            to,
        } = pending.build(&mut self.layouts, &self.counters);
        let samples = Samples {
            epoch: self.spool.epoch(),
            batch,
            layouts,
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
