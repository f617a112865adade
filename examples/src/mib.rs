//! What a device answers: every object it has, as a value or as a rule for the moment it is asked.

mod bridge;
mod entity;
mod host;
mod interfaces;
mod lldp;
mod system;

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::cabling::Wired;
use crate::oid::Oid;
use crate::traffic::Column;
use crate::value::Value;

/// How an object's value comes about.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Fixed(Value),
    /// `sysUpTime`: hundredths of a second since the device started.
    UpTime,
    /// Seconds since it started: `snmpEngineTime`.
    EngineTime,
    EngineBoots,
    /// A counter of the port at this place; 64 bits wide or 32.
    Count {
        port: usize,
        column: Column,
        wide: bool,
    },
    AdminStatus(usize),
    OperStatus(usize),
    LastChange(usize),
    Discontinuity(usize),
    /// A gauge that swings: the middle, how far, how long a turn takes (seconds).
    Wave {
        middle: f64,
        swing: f64,
        period_s: f64,
        gauge: bool,
    },
}

/// A device's objects in the order of GETNEXT.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mib {
    cells: BTreeMap<Oid, Cell>,
}

impl Mib {
    /// Everything the device at `place` has.
    pub(crate) fn of(devices: &[Wired], place: usize) -> Self {
        let mut mib = Self::default();
        let device = &devices[place];
        system::fill(&mut mib, device);
        interfaces::fill(&mut mib, device);
        system::fill_addresses(&mut mib, devices, place);
        entity::fill(&mut mib, device);
        host::fill(&mut mib, device);
        let facts = device.spec.kind.facts();
        if facts.bridge {
            bridge::fill(&mut mib, devices, place);
        }
        if facts.lldp {
            lldp::fill(&mut mib, devices, place);
        }
        mib
    }

    pub(crate) fn get(&self, oid: &Oid) -> Option<&Cell> {
        self.cells.get(oid)
    }

    pub(crate) fn next(&self, oid: &Oid) -> Option<(&Oid, &Cell)> {
        self.cells
            .range((Bound::Excluded(oid.clone()), Bound::Unbounded))
            .next()
    }

    /// Whether there is an object of this name with another instance.
    pub(crate) fn has_sibling(&self, oid: &Oid) -> bool {
        let Some((_, parent)) = oid.0.split_last() else {
            return false;
        };
        let parent = Oid::from(parent);
        self.next(&parent)
            .is_some_and(|(found, _)| found.starts_with(&parent))
    }

    pub(crate) fn set(&mut self, oid: Oid, cell: Cell) {
        self.cells.insert(oid, cell);
    }

    pub(crate) fn remove(&mut self, prefix: &Oid) {
        self.cells.retain(|oid, _| !oid.starts_with(prefix));
    }

    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    fn fixed(&mut self, prefix: &[u32], tail: &[u32], value: Value) {
        self.set(Oid::from(prefix).with(tail), Cell::Fixed(value));
    }

    fn rule(&mut self, prefix: &[u32], tail: &[u32], cell: Cell) {
        self.set(Oid::from(prefix).with(tail), cell);
    }
}

/// `mib-2` and a path below it.
macro_rules! mib2 {
    ($($part:expr),* $(,)?) => { &[1, 3, 6, 1, 2, 1, $($part),*] };
}
use mib2;

/// An index made of octets.
fn octets(bytes: &[u8]) -> Vec<u32> {
    bytes.iter().copied().map(u32::from).collect()
}

pub(crate) use system::engine_id;
