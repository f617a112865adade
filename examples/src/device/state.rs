//! All of a device that changes, and what each of its objects says at a moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Counts;
use crate::agent::Usm;
use crate::cabling::Wired;
use crate::mib::{Cell, Mib};
use crate::oid::Oid;
use crate::plan::{Access, Part};
use crate::timeline::{Cycle, Timeline};
use crate::traffic::{Column, mix, unit};
use crate::value::{Value, narrow};

/// All of a device that changes.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(super) mib: Mib,
    /// Values set by hand.
    pub(super) set: HashMap<Oid, Value>,
    pub(super) own: Wired,
    /// Everybody as they were plugged in; this device's own copy is `own`.
    pub(super) network: Arc<Vec<Wired>>,
    pub(super) place: usize,
    pub(crate) access: Access,
    pub(crate) usm: Usm,
    pub(crate) max_message: usize,
    pub(super) first_boots: u32,
    pub(super) age_s: f64,
    pub(super) reboots: Option<Cycle>,
    pub(super) outages: Option<Cycle>,
    pub(super) silent: bool,
    pub(super) drop_share: f64,
    pub(super) reply_after: Duration,
    pub(super) silent_over: Option<usize>,
    /// When reboots by hand begin and end.
    pub(super) restarts: Vec<(f64, f64)>,
    pub(super) counts: Counts,
    pub(super) seed: u64,
}

/// What a site gives each of its devices.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) timeline: Timeline,
}

impl State {
    pub(crate) fn new(wired: &Arc<Vec<Wired>>, place: usize, options: &Options) -> Self {
        let device = &wired[place];
        let seed = mix(options.seed ^ mix(0xdec1de ^ place as u64));
        let engine_id = crate::mib::engine_id(device);
        let keys = device
            .spec
            .access
            .users
            .iter()
            .map(|user| user.keys(&engine_id))
            .collect();
        let plays = |part: Part| device.spec.part == part;
        Self {
            mib: Mib::of(wired, place),
            set: HashMap::new(),
            access: device.spec.access.clone(),
            usm: Usm::new(engine_id, keys, seed),
            max_message: device.spec.kind.facts().max_message,
            first_boots: 1 + u32::try_from(seed % 40).expect("below forty"),
            age_s: f64::from(device.spec.age_s),
            reboots: options.timeline.reboot.filter(|_| plays(Part::Reboots)),
            outages: options.timeline.outage.filter(|_| plays(Part::GoesAway)),
            silent: false,
            drop_share: if plays(Part::LosesRequests) {
                options.timeline.lossy_share
            } else {
                0.0
            },
            reply_after: Duration::ZERO,
            silent_over: None,
            restarts: Vec::new(),
            counts: Counts::default(),
            seed,
            own: device.clone(),
            network: Arc::clone(wired),
            place,
        }
    }

    pub(crate) fn get(&self, oid: &Oid, at: f64) -> Value {
        match self.mib.get(oid) {
            Some(cell) => self.value(cell, at),
            None if self.mib.has_sibling(oid) => Value::NoSuchInstance,
            None => Value::NoSuchObject,
        }
    }

    pub(crate) fn next(&self, oid: &Oid, at: f64) -> Option<(Oid, Value)> {
        self.mib
            .next(oid)
            .map(|(found, cell)| (found.clone(), self.value(cell, at)))
    }

    pub(crate) fn boots(&self, at: f64) -> u32 {
        let by_hand = self.restarts.iter().filter(|(_, end)| *end <= at).count();
        let by_hand = u32::try_from(by_hand).expect("a test restarts it a few times");
        self.first_boots + by_hand + self.reboots.map_or(0, |cycle| cycle.ended(at))
    }

    /// Seconds since it started.
    pub(crate) fn engine_time(&self, at: f64) -> u32 {
        whole(at - self.booted_at(at))
    }

    pub(super) fn is_reachable(&self, at: f64) -> bool {
        let away = self.outages.is_some_and(|cycle| cycle.during(at));
        let restarting = self.reboots.is_some_and(|cycle| cycle.during(at));
        let by_hand = self
            .restarts
            .iter()
            .any(|(from, to)| *from <= at && at < *to);
        !(self.silent || away || restarting || by_hand)
    }

    fn booted_at(&self, at: f64) -> f64 {
        let ends = self
            .restarts
            .iter()
            .map(|(_, end)| *end)
            .filter(|end| *end <= at);
        ends.chain(self.reboots.and_then(|cycle| cycle.last_end(at)))
            .fold(-self.age_s, f64::max)
    }

    fn value(&self, cell: &Cell, at: f64) -> Value {
        let own = &self.own;
        let booted_at = self.booted_at(at);
        let ticks = |moment: f64| Value::TimeTicks(ticks(moment - booted_at));
        match cell {
            Cell::Fixed(value) => value.clone(),
            Cell::UpTime => ticks(at),
            Cell::EngineTime => Value::Integer(i64::from(self.engine_time(at))),
            Cell::EngineBoots => Value::Integer(i64::from(self.boots(at))),
            Cell::Count {
                port,
                column,
                wide: true,
            } => Value::Counter64(self.count(*port, *column, at)),
            Cell::Count {
                port,
                column,
                wide: false,
            } => Value::Counter32(narrow(self.count(*port, *column, at))),
            Cell::AdminStatus(port) => {
                Value::Integer(if own.ports[*port].admin_up { 1 } else { 2 })
            }
            Cell::OperStatus(port) => {
                Value::Integer(if own.ports[*port].is_up(at) { 1 } else { 2 })
            }
            Cell::LastChange(port) => {
                let port = &own.ports[*port];
                let flapped = port.flap.and_then(|flap| flap.last_edge(at));
                let last = [flapped, port.changed_at]
                    .into_iter()
                    .flatten()
                    .fold(booted_at, f64::max);
                ticks(last)
            }
            Cell::Discontinuity(port) => {
                let cleared = own.ports[*port]
                    .cleared_at
                    .filter(|cleared| *cleared > booted_at);
                cleared.map_or(Value::TimeTicks(0), ticks)
            }
            Cell::Wave {
                middle,
                swing,
                period_s,
                gauge,
            } => {
                let turn = std::f64::consts::TAU * (at / period_s + unit(mix(self.seed)));
                let value = whole(middle + swing * turn.sin());
                if *gauge {
                    Value::Gauge32(value)
                } else {
                    Value::Integer(i64::from(value))
                }
            }
        }
    }

    pub(super) fn count(&self, port: usize, column: Column, at: f64) -> u64 {
        let port = &self.own.ports[port];
        let from = port.cleared_at.unwrap_or(f64::MIN).max(self.booted_at(at));
        let flow = match column {
            Column::InOctets
            | Column::InUcastPkts
            | Column::InMulticastPkts
            | Column::InBroadcastPkts
            | Column::InErrors
            | Column::InDiscards => port.inward,
            _ => port.outward,
        };
        let flowed = flow.between(column, port.active_s(from), port.active_s(at));
        let added = port
            .added
            .get(&column)
            .filter(|(when, _)| *when >= from && *when <= at)
            .map_or(0, |(_, sum)| *sum);
        flowed.wrapping_add(added)
    }

    pub(super) fn port(&self, if_index: u32) -> usize {
        let ports = &self.own.ports;
        let found = ports.iter().position(|port| port.if_index == if_index);
        found.unwrap_or_else(|| panic!("no port has ifIndex {if_index}"))
    }

    pub(super) fn rebuild(&mut self) {
        let mut network = self.network.to_vec();
        network[self.place] = self.own.clone();
        self.mib = Mib::of(&network, self.place);
        for (oid, value) in &self.set {
            self.mib.set(oid.clone(), Cell::Fixed(value.clone()));
        }
    }
}

/// `TimeTicks`: they wrap after 497 days, as a device's do.
fn ticks(seconds: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and below 2^63"
    )]
    let hundredths = (seconds.max(0.0) * 100.0) as u64;
    narrow(hundredths)
}

fn whole(value: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from float saturates"
    )]
    let value = value as u32;
    value
}
