//! Physical entities (RFC 6933): chassis, modules, supplies, fans, ports, as the device lists them.

use farwatch_shared::oid::{Index, Oid};
use farwatch_shared::text::DeviceText;

use crate::snmp::{Plan, Reading, Rows, TablePlan, Value};

/// One row of `entPhysicalTable`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entity {
    /// `entPhysicalIndex`.
    pub index: u32,
    /// `chassis`, `module`, `powerSupply`, …
    pub class: &'static str,
    /// `entPhysicalDescr`.
    pub descr: DeviceText,
    /// `entPhysicalName`.
    pub name: DeviceText,
    /// `entPhysicalModelName`.
    pub model: DeviceText,
    /// `entPhysicalSerialNum`.
    pub serial: DeviceText,
    /// `entPhysicalMfgName`.
    pub manufacturer: DeviceText,
    /// `entPhysicalHardwareRev`, `FirmwareRev`, `SoftwareRev`.
    pub revisions: [DeviceText; 3],
    /// `entPhysicalContainedIn`; 0 = in nothing.
    pub contained_in: u32,
}

/// What is asked for them.
#[must_use]
pub fn plan() -> Plan {
    Plan {
        scalars: Vec::new(),
        tables: vec![TablePlan {
            columns: COLUMNS.to_vec(),
            rows: Rows::All,
        }],
    }
}

/// Reads the answer to [`plan`].
#[must_use]
pub fn read(reading: &Reading) -> Vec<Entity> {
    let Some(table) = reading.tables.first() else {
        return Vec::new();
    };
    let rows = table.rows().into_iter();
    rows.filter_map(|(row, values)| entity(&row, &values))
        .collect()
}

fn entity(row: &Index, values: &[Option<&Value>]) -> Option<Entity> {
    let value = |at: usize| values.get(at).copied().flatten();
    let text =
        |at: usize| DeviceText::name(value(at).and_then(Value::as_octets).unwrap_or_default());
    let number = |at: usize| value(at).and_then(Value::as_u64).unwrap_or(0);
    Some(Entity {
        index: row.single()?,
        class: class(number(2)),
        descr: text(0),
        name: text(3),
        model: text(9),
        serial: text(7),
        manufacturer: text(8),
        revisions: [text(4), text(5), text(6)],
        contained_in: u32::try_from(number(1)).unwrap_or(0),
    })
}

/// `PhysicalClass` of the IANA-ENTITY-MIB.
const fn class(number: u64) -> &'static str {
    match number {
        1 => "other",
        3 => "chassis",
        4 => "backplane",
        5 => "container",
        6 => "powerSupply",
        7 => "fan",
        8 => "sensor",
        9 => "module",
        10 => "port",
        11 => "stack",
        12 => "cpu",
        13 => "energyObject",
        14 => "battery",
        15 => "storageDrive",
        _ => "unknown",
    }
}

/// `entPhysicalDescr`, `ContainedIn`, `Class`, `Name`, `HardwareRev`, `FirmwareRev`, `SoftwareRev`, `SerialNum`, `MfgName`,
/// `ModelName`.
const COLUMNS: [Oid; 10] = [
    Oid::of(&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 2]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 4]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 5]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 7]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 8]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 9]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 10]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 11]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 12]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 13]),
];
