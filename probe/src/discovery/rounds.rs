//! The loop: sweep, identify, follow what devices know of each other, again after the interval.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::profile::Library;
use farwatch_shared::wire::message::batch::AddressRecord;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Progress;
use super::identify::{Candidate, Identified, identify};
use super::sweep::{Place, Sweep};
use crate::config::site::Site;
use crate::icmp::Pace;
use crate::monitor::Monitor;
use crate::monitor::ping_round::Echo;
use crate::snmp::Snmp;

/// What discovery is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where the time comes from.
    pub clock: Clock,
    /// Asks devices.
    pub snmp: Arc<dyn Snmp>,
    /// Which device is what.
    pub profiles: Arc<Library>,
    /// Pings; `None` where the system does not let us.
    pub echo: Option<Arc<dyn Echo>>,
    /// Who is told.
    pub monitor: Monitor,
    /// The probe's own addresses.
    pub own: fn() -> Vec<IpAddr>,
    /// The site's document, and each new one.
    pub site: watch::Receiver<Arc<Site>>,
    /// Addresses that devices know of.
    pub follow: mpsc::Receiver<Vec<IpAddr>>,
    /// What people ask for.
    pub requests: mpsc::Receiver<Request>,
    /// Where the last round was.
    pub place: Option<Place>,
}

/// What a person may ask of discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Begin a round now.
    Now,
    /// Look at these addresses now.
    Look(Vec<IpAddr>),
}

/// Requests that may wait: they come from people.
pub const REQUESTS: usize = 64;
/// Lists of addresses that may wait to be followed; one per device that was read.
pub const FOLLOW: usize = 256;
/// Addresses asked at once by SNMP.
const IDENTIFY_AT_ONCE: usize = 256;
/// Candidates that hold the sweep back.
const QUEUE_LIMIT: usize = 1_024;
/// Between two visits at one address, each with a few credentials.
const VISIT_AGAIN: Duration = Duration::from_secs(10);
/// The sweep advances this often.
const STEP: Duration = Duration::from_millis(250);
/// How long an echo of the sweep may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// What discovery found out is told this often.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// Addresses that a person named and that do not answer are asked again this often.
const NAMED_EVERY: Duration = Duration::from_secs(60);

enum Done {
    Pinged(Vec<(IpAddr, bool)>, bool),
    Identified(Box<Identified>),
}

/// The loop itself.
#[derive(Debug)]
pub struct Rounds {
    clock: Clock,
    snmp: Arc<dyn Snmp>,
    profiles: Arc<Library>,
    echo: Option<Arc<dyn Echo>>,
    monitor: Monitor,
    own: fn() -> Vec<IpAddr>,
    site: watch::Receiver<Arc<Site>>,
    follow: mpsc::Receiver<Vec<IpAddr>>,
    requests: mpsc::Receiver<Request>,

    place: Place,
    sweep: Option<Sweep>,
    /// Addresses of this round that did not answer the first echo: asked once more at its end.
    silent: Vec<IpAddr>,
    queue: VecDeque<Candidate>,
    /// Asked in this round by SNMP.
    asked: HashSet<IpAddr>,
    /// To be visited again, with the credentials that are left.
    later: VecDeque<(Instant, Candidate)>,
    pinging: usize,
    identifying: usize,
    records: Vec<AddressRecord>,
    told_at: Instant,
    named_at: Option<Instant>,
    next_round: Option<Instant>,
    progress: Progress,
    progress_out: watch::Sender<Progress>,
    jobs: JoinSet<Done>,
}

impl Rounds {
    /// The loop, and where its progress is seen.
    #[must_use]
    pub fn new(parts: Parts) -> (Self, watch::Receiver<Progress>) {
        let (progress_out, progress) = watch::channel(Progress {
            state: "idle",
            ..Progress::default()
        });
        let rounds = Self {
            clock: parts.clock,
            snmp: parts.snmp,
            profiles: parts.profiles,
            echo: parts.echo,
            monitor: parts.monitor,
            own: parts.own,
            site: parts.site,
            follow: parts.follow,
            requests: parts.requests,
            place: parts.place.unwrap_or_default(),
            sweep: None,
            silent: Vec::new(),
            queue: VecDeque::new(),
            asked: HashSet::new(),
            later: VecDeque::new(),
            pinging: 0,
            identifying: 0,
            records: Vec::new(),
            told_at: Instant::now(),
            named_at: None,
            next_round: None,
            progress: Progress {
                state: "idle",
                ..Progress::default()
            },
            progress_out,
            jobs: JoinSet::new(),
        };
        (rounds, progress)
    }

    /// Runs until `drain`.
    pub async fn run(mut self, drain: CancellationToken) {
        // Nothing is asked before the site's document is there.
        loop {
            if self.site.borrow_and_update().poll_interval_s != 0 {
                break;
            }
            tokio::select! {
                () = drain.cancelled() => return,
                changed = self.site.changed() => if changed.is_err() { return },
            }
        }
        self.progress.finished = Timestamp(self.place.finished_ms);
        self.begin();
        let mut steps = tokio::time::interval(STEP);
        steps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = drain.cancelled() => break,
                _ = steps.tick() => self.step().await,
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => {
                    if let Ok(done) = done {
                        self.done(done);
                    }
                }
                Ok(()) = self.site.changed() => {
                    self.site.mark_unchanged();
                    self.begin();
                }
                Some(addresses) = self.follow.recv() => self.look(addresses, false),
                Some(request) = self.requests.recv() => match request {
                    Request::Now => self.begin(),
                    Request::Look(addresses) => self.look(addresses, true),
                },
            }
            self.start_identifying();
        }
        self.tell().await;
    }

    fn site(&self) -> Arc<Site> {
        self.site.borrow().clone()
    }

    /// Begins a round, or goes on with the one that was under way when the probe stopped.
    fn begin(&mut self) {
        let site = self.site();
        let own = (self.own)();
        let mut sweep = Sweep::new(&site.scope, &own);
        let goes_on = self.sweep.is_none() && self.place.done > 0 && sweep.resume(&self.place);
        if !goes_on {
            self.place = Place {
                ranges: sweep.print(),
                done: 0,
                started_ms: self.clock.now().ms(),
                finished_ms: self.place.finished_ms,
            };
        }
        self.progress = Progress {
            state: "sweeping",
            to_sweep: sweep.total(),
            started: Timestamp(self.place.started_ms),
            finished: self.progress.finished,
            ..Progress::default()
        };
        tracing::info!(
            addresses = sweep.total(),
            "discovery {} over {} addresses",
            if goes_on { "goes on" } else { "begins" },
            sweep.total()
        );
        self.sweep = Some(sweep);
        self.silent.clear();
        self.later.clear();
        self.asked.clear();
        self.named_at = None;
        self.next_round = None;
    }

    async fn step(&mut self) {
        let site = self.site();
        if self.named_at.is_none_or(|at| at.elapsed() >= NAMED_EVERY) {
            self.named_at = Some(Instant::now());
            let named = site.addresses.iter().map(|(address, _)| *address).collect();
            self.look_again(named).await;
        }
        let per_step = usize::try_from(site.icmp_rate_per_s.div_ceil(4)).unwrap_or(1);
        if self.queue.len() < QUEUE_LIMIT
            && let Some(sweep) = &mut self.sweep
        {
            if !sweep.is_over() {
                let addresses = sweep.take(per_step);
                self.progress.swept = sweep.taken();
                self.progress.range = sweep.range();
                let addresses = addresses.into_iter().map(IpAddr::V4).collect();
                self.ask(addresses, site.icmp_rate_per_s, false);
            } else if self.pinging == 0 && !self.silent.is_empty() {
                let at = self.silent.len().saturating_sub(per_step);
                let again = self.silent.split_off(at);
                self.ask(again, site.icmp_rate_per_s, true);
            }
        }
        while let Some((_, candidate)) = self.later.pop_front_if(|(at, _)| *at <= Instant::now()) {
            self.queue.push_back(candidate);
        }
        let swept = self.sweep.as_ref().is_some_and(Sweep::is_over)
            && self.silent.is_empty()
            && self.pinging == 0;
        if self.sweep.is_some() {
            self.progress.state = if swept { "identifying" } else { "sweeping" };
            if swept && self.queue.is_empty() && self.later.is_empty() && self.identifying == 0 {
                self.end_round(&site).await;
            }
        } else if self.next_round.is_some_and(|at| Instant::now() >= at) {
            self.begin();
        }
        if self.told_at.elapsed() >= TELL_EVERY {
            self.tell().await;
        }
        self.progress_out.send_if_modified(|progress| {
            let changed = *progress != self.progress;
            progress.clone_from(&self.progress);
            changed
        });
    }

    async fn end_round(&mut self, site: &Site) {
        self.sweep = None;
        let now = self.clock.now();
        self.place.done = 0;
        self.place.finished_ms = now.ms();
        self.progress.state = "idle";
        self.progress.range.clear();
        self.progress.finished = now;
        tracing::info!(
            answered = self.progress.answered,
            identified = self.progress.identified,
            "discovery is done: {} addresses answered, {} devices",
            self.progress.answered,
            self.progress.identified
        );
        let interval = Duration::from_secs(site.discovery_interval_s.into());
        self.next_round = Some(Instant::now() + interval);
        let place = self.place.clone();
        let records = std::mem::take(&mut self.records);
        self.monitor.addresses(records, Some(place)).await;
        self.told_at = Instant::now();
    }

    async fn tell(&mut self) {
        self.told_at = Instant::now();
        let place = self.sweep.as_ref().map(|sweep| {
            // What is still waiting is asked again after a restart.
            let waiting =
                (self.queue.len() + self.later.len() + self.identifying + self.pinging) as u64;
            Place {
                done: sweep.taken().saturating_sub(waiting),
                ..self.place.clone()
            }
        });
        let moved = place
            .as_ref()
            .is_some_and(|place| place.done != self.place.done);
        if self.records.is_empty() && !moved {
            return;
        }
        if let Some(place) = &place {
            self.place.done = place.done;
        }
        let records = std::mem::take(&mut self.records);
        self.monitor.addresses(records, place).await;
    }

    /// Whether ICMP says anything of an address.
    fn judges(&self, address: IpAddr, own: &[IpAddr]) -> bool {
        self.echo.is_some() && !address.to_canonical().is_loopback() && !own.contains(&address)
    }

    /// Sends echo requests; who cannot be judged by them goes straight to SNMP.
    fn ask(&mut self, addresses: Vec<IpAddr>, rate: u32, again: bool) {
        let own = (self.own)();
        let (judged, other): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .partition(|address| self.judges(*address, &own));
        for address in other {
            self.enqueue(address, None, false);
        }
        let Some(echo) = self.echo.clone().filter(|_| !judged.is_empty()) else {
            return;
        };
        self.pinging += judged.len();
        self.jobs.spawn(async move {
            let outcomes = echo.round(&judged, Pace::PerSecond(rate), PATIENCE).await;
            let answers = judged
                .into_iter()
                .zip(outcomes.into_iter().map(|outcome| outcome.is_reply()))
                .collect();
            Done::Pinged(answers, again)
        });
    }

    /// Addresses that somebody knows of, or a person named: they are looked at whether they answer ping or not.
    fn look(&mut self, addresses: Vec<IpAddr>, by_person: bool) {
        let site = self.site();
        let allowed: Vec<_> = addresses
            .into_iter()
            .filter(|address| {
                site.allows(*address) || (by_person && site.scope.allows_named(*address))
            })
            .filter(|address| by_person || !self.asked.contains(address))
            .collect();
        for address in allowed {
            self.asked.remove(&address);
            self.ask_named(address, by_person);
        }
    }

    async fn look_again(&mut self, named: Vec<IpAddr>) {
        let known = self.monitor.known(named.clone()).await;
        for (address, known) in named.into_iter().zip(known) {
            if known.is_none_or(|known| known.credential.is_none()) {
                self.asked.remove(&address);
                self.ask_named(address, true);
            }
        }
    }

    fn ask_named(&mut self, address: IpAddr, by_person: bool) {
        let own = (self.own)();
        if !self.judges(address, &own) {
            self.enqueue(address, None, by_person);
            return;
        }
        let Some(echo) = self.echo.clone() else {
            return;
        };
        self.asked.insert(address);
        let (snmp, profiles, monitor, clock, site) = (
            self.snmp.clone(),
            self.profiles.clone(),
            self.monitor.clone(),
            self.clock.clone(),
            self.site(),
        );
        self.identifying += 1;
        self.jobs.spawn(async move {
            let outcomes = echo.round(&[address], Pace::FlatOut, PATIENCE).await;
            let candidate = Candidate {
                ping: Some(outcomes.first().is_some_and(|outcome| outcome.is_reply())),
                by_person,
                ..Candidate::at(address)
            };
            Done::Identified(Box::new(
                identify(snmp, profiles, monitor, clock, site, candidate).await,
            ))
        });
    }

    fn enqueue(&mut self, address: IpAddr, ping: Option<bool>, by_person: bool) {
        if self.asked.insert(address) {
            self.queue.push_back(Candidate {
                ping,
                by_person,
                ..Candidate::at(address)
            });
        }
    }

    fn start_identifying(&mut self) {
        while self.identifying < IDENTIFY_AT_ONCE
            && let Some(candidate) = self.queue.pop_front()
        {
            let (snmp, profiles, monitor, clock, site) = (
                self.snmp.clone(),
                self.profiles.clone(),
                self.monitor.clone(),
                self.clock.clone(),
                self.site(),
            );
            self.identifying += 1;
            self.jobs.spawn(async move {
                Done::Identified(Box::new(
                    identify(snmp, profiles, monitor, clock, site, candidate).await,
                ))
            });
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Pinged(answers, again) => {
                self.pinging -= answers.len();
                for (address, answered) in answers {
                    if answered {
                        self.enqueue(address, Some(true), false);
                    } else if !again {
                        self.silent.push(address);
                    }
                }
            }
            Done::Identified(identified) => {
                self.identifying -= 1;
                let Identified {
                    mut candidate,
                    record,
                    is_device,
                    answered,
                    next,
                } = *identified;
                let (seen, known) = candidate.counted;
                candidate.counted = (seen || answered || is_device, known || is_device);
                self.progress.answered += u64::from(candidate.counted.0 && !seen);
                self.progress.identified += u64::from(candidate.counted.1 && !known);
                if next != 0 && (record.is_some() || candidate.ping.is_none()) {
                    self.later
                        .push_back((Instant::now() + VISIT_AGAIN, candidate));
                }
                self.records.extend(record);
            }
        }
    }
}
