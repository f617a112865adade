//! One pretend device: what it answers now, and the knobs that change it.

mod state;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::agent::{self, Outcome};
use crate::cabling::Wired;
use crate::hostile::{self, Hostile, Reply};
use crate::mib::Cell;
use crate::oid::Oid;
use crate::plan::Access;
use crate::site::SiteClock;
use crate::timeline::Cycle;
use crate::traffic::{Column, mix, unit};
use crate::value::Value;

pub(crate) use state::{Options, State};

/// A handle on a running device. Cheap to clone; every method acts at once.
#[derive(Clone, Debug)]
pub struct Device {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) clock: Arc<SiteClock>,
    socket: SocketAddrV4,
    kind_word: &'static str,
    hostile: Option<Hostile>,
}

/// What a device has been asked and what it made of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Datagrams that reached it.
    pub requests: u64,
    /// Datagrams that it answered.
    pub answered: u64,
    /// Requests that it lost on purpose.
    pub dropped: u64,
    /// Requests that came while it was off or away.
    pub unheard: u64,
    /// Not SNMP, or not from somebody it answers.
    pub refused: u64,
}

/// One of its ports, as a test wants to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub if_index: u32,
    pub name: String,
    pub up: bool,
    /// Address of the device at the other end.
    pub leads_to: Option<Ipv4Addr>,
}

impl Device {
    pub(crate) fn new(
        wired: &Arc<Vec<Wired>>,
        place: usize,
        port: u16,
        clock: Arc<SiteClock>,
        options: &Options,
    ) -> Self {
        let device = &wired[place];
        let shared = Shared {
            socket: SocketAddrV4::new(device.address, port),
            kind_word: device.spec.kind.facts().word,
            hostile: device.spec.hostile,
            state: Mutex::new(State::new(wired, place, options)),
            clock,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Where it answers.
    #[must_use]
    pub fn socket(&self) -> SocketAddrV4 {
        self.shared.socket
    }

    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        *self.shared.socket.ip()
    }

    /// `router`, `switch`, …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.shared.kind_word
    }

    #[must_use]
    pub fn hostile(&self) -> Option<Hostile> {
        self.shared.hostile
    }

    /// Its `sysName`, as text for people.
    #[must_use]
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.state().own.spec.name).into_owned()
    }

    #[must_use]
    pub fn engine_id(&self) -> Vec<u8> {
        self.state().usm.engine_id.clone()
    }

    #[must_use]
    pub fn serial(&self) -> String {
        self.state().own.serial.clone()
    }

    #[must_use]
    pub fn access(&self) -> Access {
        self.state().access.clone()
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    #[must_use]
    pub fn ports(&self) -> Vec<Port> {
        let now = self.shared.clock.now();
        let state = self.state();
        let ports = state.own.ports.iter();
        ports
            .map(|port| Port {
                if_index: port.if_index,
                name: port.shape.name.clone(),
                up: port.is_up(now),
                leads_to: port.peer.map(|(device, _)| state.network[device].address),
            })
            .collect()
    }

    /// What it says at this moment to a GET of this object: the truth to compare with.
    #[must_use]
    pub fn value(&self, oid: &Oid) -> Value {
        self.value_at(oid, self.shared.clock.now())
    }

    /// What it said or will say at a moment (seconds since the site opened), if nobody turns a knob.
    #[must_use]
    pub fn value_at(&self, oid: &Oid, at: f64) -> Value {
        self.state().get(oid, at)
    }

    /// The whole of a 64-bit counter now, also of a device that shows only 32 bits of it.
    ///
    /// # Panics
    /// If there is no such port.
    #[must_use]
    pub fn counter(&self, if_index: u32, column: Column) -> u64 {
        let now = self.shared.clock.now();
        let state = self.state();
        let port = state.port(if_index);
        state.count(port, column, now)
    }

    /// How many objects it has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.state().mib.len()
    }

    /// Whether it can be asked at this moment.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.state().is_reachable(self.shared.clock.now())
    }

    // Knobs.

    /// Sets a counter to a value; it grows on from there until the next reboot.
    pub fn set_counter(&self, if_index: u32, column: Column, value: u64) {
        let now = self.shared.clock.now();
        let mut state = self.state();
        let port = state.port(if_index);
        let missing = value.wrapping_sub(state.count(port, column, now));
        let added = &mut state.own.ports[port].added;
        let before = added.get(&column).map_or(0, |(_, sum)| *sum);
        added.insert(column, (now, before.wrapping_add(missing)));
    }

    /// Clears a port's counters, as an operator does, and says so in `ifCounterDiscontinuityTime`.
    pub fn clear_counters(&self, if_index: u32) {
        let now = self.shared.clock.now();
        let mut state = self.state();
        let port = state.port(if_index);
        let port = &mut state.own.ports[port];
        port.cleared_at = Some(now);
        port.added.clear();
    }

    /// Loses this share of the requests, 0 to 1.
    pub fn set_drop_share(&self, share: f64) {
        self.state().drop_share = share;
    }

    /// Answers nothing (`true`) or again as before; it runs on meanwhile.
    pub fn set_silent(&self, silent: bool) {
        self.state().silent = silent;
    }

    /// Whether it was told to answer nothing.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.state().silent
    }

    /// Answers every request this much later.
    pub fn set_reply_after(&self, after: Duration) {
        self.state().reply_after = after;
    }

    /// Sends no message larger than this; fewer rows, or `tooBig`.
    pub fn set_max_message(&self, octets: usize) {
        self.state().max_message = octets;
    }

    /// Stays silent where a reply would be larger than this, as some agents do instead of sending fewer rows.
    pub fn set_silent_over(&self, octets: Option<usize>) {
        self.state().silent_over = octets;
    }

    /// Restarts it: silent for `takes`, then with counters and `sysUpTime` from zero and one boot more.
    pub fn reboot(&self, takes: Duration) {
        let now = self.shared.clock.now();
        self.state().restarts.push((now, now + takes.as_secs_f64()));
    }

    /// Plugs a cable in or pulls it: `ifOperStatus`. The counters stand still while it is out.
    pub fn set_link(&self, if_index: u32, up: bool) {
        self.change_port(if_index, |port| port.link_up = up);
    }

    /// `ifAdminStatus`, and with it the link.
    pub fn set_admin(&self, if_index: u32, up: bool) {
        self.change_port(if_index, |port| port.admin_up = up);
    }

    /// Gives a port another ifIndex, as some devices do when they restart. Name, counters and cable stay.
    pub fn move_port(&self, if_index: u32, to: u32) {
        let mut state = self.state();
        let port = state.port(if_index);
        state.own.ports[port].if_index = to;
        state.rebuild();
    }

    /// Makes one object answer this, for as long as it is not set again.
    pub fn set_value(&self, oid: Oid, value: Value) {
        let mut state = self.state();
        state.mib.set(oid.clone(), Cell::Fixed(value.clone()));
        state.set.insert(oid, value);
    }

    /// Takes every object below this name away, until the device's tables are next rebuilt.
    pub fn remove(&self, prefix: &Oid) {
        self.state().mib.remove(prefix);
    }

    pub fn set_sys_name(&self, name: impl AsRef<[u8]>) {
        self.set_value(Oid::from([1, 3, 6, 1, 2, 1, 1, 5, 0]), Value::text(name));
    }

    /// Changes what it answers to.
    pub fn set_access(&self, access: Access) {
        let mut state = self.state();
        state.usm.users = access
            .users
            .iter()
            .map(|user| user.keys(&state.usm.engine_id))
            .collect();
        state.access = access;
    }

    pub(crate) fn hear(&self, message: &[u8]) -> Vec<Reply> {
        let now = self.shared.clock.now();
        let mut state = self.state();
        state.counts.requests += 1;
        if !state.is_reachable(now) {
            state.counts.unheard += 1;
            return Vec::new();
        }
        if unit(mix(state.seed ^ mix(state.counts.requests))) < state.drop_share {
            state.counts.dropped += 1;
            return Vec::new();
        }
        let replies = match self.shared.hostile {
            Some(hostile) => hostile::replies(hostile, &mut state, now, message),
            None => match agent::answer(&mut state, now, message) {
                Outcome::Answer(bytes)
                    if state.silent_over.is_none_or(|most| bytes.len() <= most) =>
                {
                    vec![Reply {
                        after: state.reply_after,
                        ..Reply::own(bytes)
                    }]
                }
                Outcome::Answer(_) | Outcome::Silence => Vec::new(),
            },
        };
        if replies.is_empty() {
            state.counts.refused += 1
        } else {
            state.counts.answered += 1
        }
        replies
    }

    /// What the site's programme did to it after one moment and up to another.
    pub(crate) fn edges(&self, from: f64, to: f64) -> Vec<(f64, &'static str, Option<u32>)> {
        let state = self.state();
        let named = |cycle: Option<Cycle>,
                     begins: &'static str,
                     ends: &'static str,
                     if_index: Option<u32>| {
            let edges = cycle.map(|cycle| cycle.edges(from, to)).unwrap_or_default();
            edges
                .into_iter()
                .map(move |(at, begin)| (at, if begin { begins } else { ends }, if_index))
        };
        let mut all: Vec<_> = named(state.outages, "device_down", "device_up", None)
            .chain(named(
                state.reboots,
                "device_restarts",
                "device_rebooted",
                None,
            ))
            .collect();
        for port in &state.own.ports {
            all.extend(named(
                port.flap,
                "interface_down",
                "interface_up",
                Some(port.if_index),
            ));
        }
        all
    }

    fn change_port(&self, if_index: u32, change: impl FnOnce(&mut crate::cabling::PortState)) {
        let now = self.shared.clock.now();
        let mut state = self.state();
        let port = state.port(if_index);
        let port = &mut state.own.ports[port];
        if !(port.admin_up && port.link_up) {
            port.held_down_s += now - port.changed_at.unwrap_or(0.0);
        }
        change(port);
        port.changed_at = Some(now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
