//! Up, degraded, down, unreachable, rebooted, flapping: readings in, events out. No I/O, time is an argument.
//!
//! - [`blame`] whose fault it is that a device is silent: its own, its parent's, or the way into the site's
//! - [`means`] one way of asking a device, and what it was last heard by
//! - [`flap`] more changes than are worth a page
//! - [`interface`] ports
//!
//! Why a state is what it is can always be said in one sentence: every decision is made from facts with times. A device
//! is `down` when every means that ever worked has failed once and three retries after; before it is said, its parents
//! must have been heard since, or are the cause (then it is `unreachable`).

mod blame;
pub mod flap;
pub mod interface;
pub mod means;

use std::collections::BTreeMap;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{DeviceNo, DeviceState, EventKind, InstanceNo, Severity};
use farwatch_shared::text::DeviceText;
use farwatch_shared::wire::message::batch::EventRecord;
use farwatch_shared::wire::message::session::{DeviceNow, InterfaceNow};

use crate::increase::Uptime;
use blame::Blame;
use flap::{Flap, FlapChange};
use interface::{Interfaces, PortNews};
use means::Means;

/// One moment on both clocks: the wall's is shown, the boot-time clock is reckoned with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Wall clock.
    pub wall: Timestamp,
    /// Boot-time clock, ms.
    pub boot_ms: i64,
}

/// A way of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// An echo request.
    Ping,
    /// A get of `sysUpTime`.
    Snmp,
}

/// What an asked device did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// It answered.
    Answer,
    /// It did not answer in time.
    Silence,
    /// It answered that it will not say (a credential that is no longer accepted): alive, and not well.
    Refusal(&'a str),
}

/// A device to ask again soon, outside its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which.
    pub device: DeviceNo,
    /// How.
    pub by: By,
    /// Not before this, boot-time clock, ms.
    pub at_ms: i64,
}

/// What came of a reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// To be made durable at once, in this order.
    pub events: Vec<EventRecord>,
    /// To be asked.
    pub checks: Vec<Check>,
    /// Devices whose state changed.
    pub changed: Vec<DeviceNo>,
}

/// What is known of a device from before this process started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its state then.
    pub state: DeviceState,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
    /// It was so a moment ago: the probe was only started again.
    pub still_holds: bool,
}

#[derive(Clone, Debug)]
struct Device {
    ping: Means,
    snmp: Means,
    state: DeviceState,
    since: Timestamp,
    reason: String,
    behind: DeviceNo,
    remembered: Option<Remembered>,
    /// Every means failed; waits until then for its parents to be heard.
    held_until_ms: Option<i64>,
    flap: Flap,
    uptime: Option<Uptime>,
    interfaces: Interfaces,
}

/// The states of all devices of a site.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    devices: BTreeMap<DeviceNo, Device>,
    parents: BTreeMap<DeviceNo, Vec<DeviceNo>>,
    children: BTreeMap<DeviceNo, Vec<DeviceNo>>,
    way: blame::Way,
    alive: u32,
}

impl Detector {
    /// Starts watching a device; `ping` and `snmp` say by which means it has ever answered.
    ///
    /// What is `remembered` of a moment ago still holds; of longer ago it only tells what is no news.
    pub fn add(
        &mut self,
        device: DeviceNo,
        ping: Option<bool>,
        snmp: Option<bool>,
        remembered: Option<Remembered>,
        now: Moment,
    ) {
        self.devices.entry(device).or_insert_with(|| {
            let mut new = Device {
                ping: Means::new(ping),
                snmp: Means::new(snmp),
                state: DeviceState::Unknown,
                since: now.wall,
                reason: "not asked yet".to_owned(),
                behind: DeviceNo(0),
                remembered: None,
                held_until_ms: None,
                flap: Flap::default(),
                uptime: None,
                interfaces: Interfaces::default(),
            };
            match remembered {
                Some(before) if before.still_holds => {
                    new.state = before.state;
                    new.since = before.since;
                    new.reason = before.reason;
                }
                before => new.remembered = before,
            }
            new
        });
        self.set_means(device, ping, snmp);
    }

    /// Which means count from now on: `None` is not asked (the probe's own addresses by ping), `Some(worked)` is.
    pub fn set_means(&mut self, device: DeviceNo, ping: Option<bool>, snmp: Option<bool>) {
        if let Some(device) = self.devices.get_mut(&device) {
            device.ping.set(ping);
            device.snmp.set(snmp);
        }
    }

    /// A device that may not be asked, and why: nothing is known of it until it may be asked again.
    pub fn not_asked(&mut self, no: DeviceNo, why: &str, now: Moment) -> Outcome {
        let mut out = Outcome::default();
        self.set_means(no, None, None);
        let Some(device) = self.devices.get_mut(&no) else {
            return out;
        };
        if device.state == DeviceState::Unknown && device.reason == why {
            return out;
        }
        device.state = DeviceState::Unknown;
        why.clone_into(&mut device.reason);
        device.behind = DeviceNo(0);
        device.held_until_ms = None;
        let before = device.remembered.take();
        if let Some(before) = before.filter(|before| before.reason == why) {
            device.since = before.since;
            return out; // it was so before the probe stopped
        }
        device.since = now.wall;
        out.changed.push(no);
        let kind = EventKind::DeviceUnwatched;
        out.events
            .push(device.event(no, kind, Severity::Cleared, why, now));
        out
    }

    /// Stops watching a device.
    pub fn remove(&mut self, device: DeviceNo) {
        self.devices.remove(&device);
        let parents = std::mem::take(&mut self.parents);
        self.set_parents(parents);
    }

    /// Who stands before whom, as seen from the probe. Devices without a parent are judged for themselves.
    pub fn set_parents(&mut self, parents: BTreeMap<DeviceNo, Vec<DeviceNo>>) {
        self.parents = parents;
        self.children.clear();
        for (child, parents) in &mut self.parents {
            parents.retain(|parent| parent != child && self.devices.contains_key(parent));
            for parent in parents {
                self.children.entry(*parent).or_default().push(*child);
            }
        }
    }

    /// A device was asked.
    pub fn seen(&mut self, no: DeviceNo, by: By, seen: Seen<'_>, now: Moment) -> Outcome {
        let mut out = Outcome::default();
        let Some(device) = self.devices.get_mut(&no) else {
            return out;
        };
        let was_dead = device.is_dead();
        let retry = match by {
            By::Ping => device.ping.take(seen, now),
            By::Snmp => device.snmp.take(seen, now),
        };
        if let Some(at_ms) = retry {
            out.ask(no, by, at_ms);
        }
        let other = match by {
            By::Ping => (&mut device.snmp, By::Snmp),
            By::Snmp => (&mut device.ping, By::Ping),
        };
        let heard = !matches!(seen, Seen::Silence);
        match seen {
            // The first silence asks the other means too: whether it is alive must be known from after it.
            Seen::Silence if other.0.is_older_than_failure(now.boot_ms) => {
                out.ask(no, other.1, now.boot_ms);
            }
            Seen::Answer | Seen::Refusal(_) if was_dead && other.0.failed() => {
                other.0.forgive(now.boot_ms);
                out.ask(no, other.1, now.boot_ms + RETRY_MS);
            }
            _ => {}
        }
        self.judge(no, now, &mut out);
        self.judge_children(no, was_dead, now, &mut out);
        if heard {
            self.way_is_open(now, &mut out);
        }
        out
    }

    /// Time passes: what waited for a parent, or for a quiet time, is decided.
    pub fn tick(&mut self, now: Moment) -> Outcome {
        let mut out = Outcome::default();
        let mut held = Vec::new();
        self.alive = 0;
        for (no, device) in &mut self.devices {
            let alive = matches!(device.state, DeviceState::Up | DeviceState::Degraded);
            self.alive += u32::from(alive);
            if device.held_until_ms.is_some_and(|at| at <= now.boot_ms) {
                held.push(*no);
            }
            if let Some(FlapChange::Steady) = device.flap.tick(now.boot_ms) {
                let text = format!("steady again: {}", device.state);
                out.events.push(device.event(
                    *no,
                    EventKind::DeviceFlapping,
                    Severity::Cleared,
                    &text,
                    now,
                ));
            }
        }
        for no in held {
            self.judge(no, now, &mut out);
        }
        out
    }

    /// Devices that were alive when [`Detector::tick`] last looked.
    #[must_use]
    pub const fn alive(&self) -> u32 {
        self.alive
    }

    /// `sysUpTime` was read.
    pub fn uptime(&mut self, no: DeviceNo, ticks: u32, now: Moment) -> Outcome {
        let mut out = Outcome::default();
        let Some(device) = self.devices.get_mut(&no) else {
            return out;
        };
        let uptime = Uptime {
            ticks,
            at_ms: now.boot_ms,
        };
        if let Some(before) = device.uptime
            && before.restarted(uptime)
        {
            let text = format!("started again {} ago", span(i64::from(ticks) / 100));
            let mut event =
                device.event(no, EventKind::DeviceRebooted, Severity::Warning, &text, now);
            event.detail.push((
                "uptime_before_s".to_owned(),
                DeviceText::from((before.ticks / 100).to_string()),
            ));
            event.detail.push((
                "uptime_s".to_owned(),
                DeviceText::from((ticks / 100).to_string()),
            ));
            out.events.push(event);
        }
        device.uptime = Some(uptime);
        out
    }

    /// A port's states were read (RFC 2863: `ifAdminStatus`, `ifOperStatus`).
    pub fn interface(
        &mut self,
        no: DeviceNo,
        instance: InstanceNo,
        name: impl FnOnce() -> String,
        admin: Option<u8>,
        oper: Option<u8>,
        now: Moment,
    ) -> Outcome {
        let mut out = Outcome::default();
        let Some(device) = self.devices.get_mut(&no) else {
            return out;
        };
        let (kind, severity, word) = match device.interfaces.take(instance, admin, oper, now.wall) {
            Some(PortNews::Down(word)) => (EventKind::InterfaceDown, Severity::Minor, word),
            Some(PortNews::Up) => (EventKind::InterfaceUp, Severity::Cleared, "up"),
            None => return out,
        };
        let mut event = device.event(no, kind, severity, &format!("{} is {word}", name()), now);
        event.instance = instance;
        event.state = NO_STATE;
        out.events.push(event);
        out
    }

    /// A port is gone from its device, or no longer watched.
    pub fn forget_interface(&mut self, no: DeviceNo, instance: InstanceNo) {
        if let Some(device) = self.devices.get_mut(&no) {
            device.interfaces.forget(instance);
        }
    }

    /// The state of one device, since when, and why.
    #[must_use]
    pub fn told(&self, no: DeviceNo) -> Option<(DeviceState, Timestamp, &str)> {
        let device = self.devices.get(&no)?;
        Some((device.state, device.since, &device.reason))
    }

    /// The state of one device.
    #[must_use]
    pub fn state(&self, no: DeviceNo) -> Option<DeviceState> {
        Some(self.devices.get(&no)?.state)
    }

    /// Since when, and why: to be remembered over a restart.
    #[must_use]
    pub fn remember(&self, no: DeviceNo) -> Option<Remembered> {
        let device = self.devices.get(&no)?;
        Some(Remembered {
            state: device.state,
            since: device.since,
            reason: device.reason.clone(),
            still_holds: false,
        })
    }

    /// Whether SNMP is known to fail: such a device is asked cheaply first.
    #[must_use]
    pub fn snmp_failed(&self, no: DeviceNo) -> bool {
        self.devices
            .get(&no)
            .is_some_and(|device| device.snmp.failed())
    }

    /// All current states, from memory.
    #[must_use]
    pub fn snapshot(&self, now: Moment) -> (Vec<DeviceNow>, Vec<InterfaceNow>) {
        let mut ports = Vec::new();
        let devices = self
            .devices
            .iter()
            .map(|(no, device)| {
                ports.extend(device.interfaces.snapshot(*no));
                device.now(*no, now)
            })
            .collect();
        (devices, ports)
    }

    /// Decides one device's state from what is known.
    fn judge(&mut self, no: DeviceNo, now: Moment, out: &mut Outcome) {
        let Some(device) = self.devices.get(&no) else {
            return;
        };
        let (state, reason, behind) = match device.verdict() {
            Verdict::Undecided => return,
            Verdict::Alive(state, reason) => (state, reason, DeviceNo(0)),
            Verdict::Dead(reason) => match self.blame(no, now, out) {
                Blame::Itself => (DeviceState::Down, reason, DeviceNo(0)),
                Blame::Parent(parent) => (
                    DeviceState::Unreachable,
                    format!("behind device {parent}, which is down"),
                    parent,
                ),
                Blame::Way => (DeviceState::Unreachable, blame::WAY.to_owned(), DeviceNo(0)),
                Blame::Unclear => {
                    if let Some(device) = self.devices.get_mut(&no) {
                        device
                            .held_until_ms
                            .get_or_insert(now.boot_ms + PARENT_HOLD_MS);
                    }
                    return;
                }
            },
        };
        if let Some(device) = self.devices.get_mut(&no) {
            device.held_until_ms = None;
            device.become_state(no, state, reason, behind, now, out);
        }
    }
}

enum Verdict {
    Undecided,
    Alive(DeviceState, String),
    Dead(String),
}

impl Device {
    /// What the means say together.
    fn verdict(&self) -> Verdict {
        let used: Vec<_> = [(&self.ping, "ping"), (&self.snmp, "SNMP")]
            .into_iter()
            .filter(|(means, _)| means.counts())
            .collect();
        if used.is_empty() {
            return Verdict::Undecided;
        }
        if used
            .iter()
            .all(|(means, _)| means.failed() && !means.refuses())
        {
            let words: Vec<_> = used.iter().map(|(means, word)| means.why(word)).collect();
            return Verdict::Dead(words.join(", "));
        }
        if let Some((means, word)) = used.iter().find(|(means, _)| means.refuses()) {
            return Verdict::Alive(DeviceState::Degraded, means.why(word));
        }
        if !used.iter().any(|(means, _)| means.answers()) {
            return Verdict::Undecided;
        }
        let failed = used.iter().find(|(means, _)| means.failed());
        match failed {
            Some((failed, word)) => {
                // What still answers must have been heard since the other fell silent.
                let heard = self.last_heard_ms() > failed.failing_since_ms();
                if heard {
                    Verdict::Alive(
                        DeviceState::Degraded,
                        format!("{}, though it answers otherwise", failed.why(word)),
                    )
                } else {
                    Verdict::Undecided
                }
            }
            None if self.state == DeviceState::Degraded
                && used.iter().any(|(means, _)| means.is_failing()) =>
            {
                Verdict::Undecided
            }
            None => Verdict::Alive(DeviceState::Up, "answers".to_owned()),
        }
    }

    fn is_dead(&self) -> bool {
        matches!(self.verdict(), Verdict::Dead(_))
    }

    fn last_heard_ms(&self) -> i64 {
        self.ping.heard_ms().max(self.snmp.heard_ms())
    }

    /// Since when no means has answered.
    fn silent_since_ms(&self) -> i64 {
        [&self.ping, &self.snmp]
            .into_iter()
            .filter(|means| means.counts())
            .map(|means| means.failing_since_ms())
            .max()
            .unwrap_or(i64::MIN)
    }

    fn become_state(
        &mut self,
        no: DeviceNo,
        state: DeviceState,
        reason: String,
        behind: DeviceNo,
        now: Moment,
        out: &mut Outcome,
    ) {
        let before = self.state;
        if before == state && self.behind == behind {
            self.reason = reason;
            return;
        }
        self.state = state;
        self.reason = reason;
        self.behind = behind;
        if before == state {
            return; // only the cause moved
        }
        out.changed.push(no);
        let first_word = before == DeviceState::Unknown;
        if first_word
            && let Some(remembered) = self.remembered.take()
            && remembered.state == state
        {
            // As it was before the probe stopped: told, because Central must know; Central knows that it is no news.
            self.since = remembered.since;
            let (kind, severity) = kind_of(state);
            let text = format!("as before: {}", self.reason);
            out.events.push(self.event(no, kind, severity, &text, now));
            return;
        }
        let outage_s = now.wall.since(self.since) / 1_000;
        self.since = now.wall;
        let (kind, severity) = kind_of(state);
        let text = if state == DeviceState::Up && is_outage(before) {
            format!("answers again after {}", span(outage_s))
        } else {
            self.reason.clone()
        };
        let mut event = self.event(no, kind, severity, &text, now);
        if behind.0 != 0 {
            event
                .detail
                .push(("behind".to_owned(), DeviceText::from(behind.to_string())));
        }
        if first_word {
            out.events.push(event);
            return; // nothing changed that was known before
        }
        let change = self.flap.changed(now.boot_ms);
        if self.flap.is_flapping() {
            event
                .detail
                .push(("flapping".to_owned(), DeviceText::from("true")));
        }
        out.events.push(event);
        if let Some(FlapChange::Flapping(times)) = change {
            let text = format!("changed {times} times in {}", span(flap::WINDOW_MS / 1_000));
            out.events.push(self.event(
                no,
                EventKind::DeviceFlapping,
                Severity::Warning,
                &text,
                now,
            ));
        }
    }

    fn event(
        &self,
        no: DeviceNo,
        kind: EventKind,
        severity: Severity,
        text: &str,
        now: Moment,
    ) -> EventRecord {
        EventRecord {
            at: now.wall,
            kind: kind.code(),
            severity: severity.code(),
            device: no,
            instance: InstanceNo(0),
            state: self.state.code(),
            text: DeviceText::from(text),
            detail: Vec::new(),
        }
    }

    fn now(&self, no: DeviceNo, now: Moment) -> DeviceNow {
        DeviceNow {
            device: no,
            state: self.state.code(),
            since: self.since,
            reason: self.reason.clone(),
            behind: self.behind,
            uptime_ms: self.uptime.map_or(-1, |uptime| {
                i64::from(uptime.ticks) * 10 + now.boot_ms.saturating_sub(uptime.at_ms)
            }),
            last_ping: self.ping.heard_at(),
            last_snmp: self.snmp.heard_at(),
        }
    }
}

impl Outcome {
    /// Adds what came of another reading.
    pub fn extend(&mut self, other: Self) {
        self.events.extend(other.events);
        self.checks.extend(other.checks);
        self.changed.extend(other.changed);
    }

    fn ask(&mut self, device: DeviceNo, by: By, at_ms: i64) {
        let check = Check { device, by, at_ms };
        if !self.checks.contains(&check) {
            self.checks.push(check);
        }
    }
}

const fn kind_of(state: DeviceState) -> (EventKind, Severity) {
    match state {
        DeviceState::Down => (EventKind::DeviceDown, Severity::Critical),
        DeviceState::Degraded => (EventKind::DeviceDegraded, Severity::Warning),
        DeviceState::Unreachable => (EventKind::DeviceUnreachable, Severity::Minor),
        _ => (EventKind::DeviceUp, Severity::Cleared),
    }
}

const fn is_outage(state: DeviceState) -> bool {
    matches!(state, DeviceState::Down | DeviceState::Unreachable)
}

/// A length of time as people say it: `45 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
#[must_use]
pub fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match () {
        () if seconds < 120 => format!("{seconds} s"),
        () if minutes < 60 => format!("{minutes} min"),
        () if hours < 24 => format!("{hours} h {} min", minutes % 60),
        () => format!("{days} d {} h", hours % 24),
    }
}

/// `EventRecord::state` of what says nothing of a device's state.
pub const NO_STATE: u8 = 255;
/// Between a silence and the next try.
pub const RETRY_MS: i64 = 1_000;
/// How long a silent device waits for its parents to be asked.
pub const PARENT_HOLD_MS: i64 = 10_000;

#[cfg(test)]
mod tests;
