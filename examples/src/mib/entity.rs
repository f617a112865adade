//! ENTITY-MIB: the box, its power supply, and its serial number (RFC 6933).

use super::{Cell, Mib, mib2};
use crate::cabling::Wired;
use crate::kind::Kind;
use crate::oid::Oid;
use crate::value::Value;

pub(super) fn fill(mib: &mut Mib, device: &Wired) {
    let facts = device.spec.kind.facts();
    if matches!(
        device.spec.kind,
        Kind::Printer | Kind::ColourPrinter | Kind::Camera | Kind::OldSwitch
    ) {
        return; // small firmware has none
    }
    let object_id: Oid = facts.sys_object_id.parse().expect("a constant of ours");
    let name = format!("{} {}", facts.vendor, facts.model);
    row(
        mib,
        1,
        &[
            (2, Value::text(&name)),
            (3, Value::Oid(object_id)),
            (4, Value::Integer(0)),
            (5, Value::Integer(CHASSIS)),
            (6, Value::Integer(1)),
            (7, Value::text("Chassis")),
            (8, Value::text("V02")),
            (9, Value::text("")),
            (10, Value::text(facts.software)),
            (11, Value::text(&device.serial)),
            (12, Value::text(facts.vendor)),
            (13, Value::text(facts.model)),
            (16, Value::Integer(1)),
        ],
    );
    if !facts.bridge && device.spec.kind != Kind::Router {
        return;
    }
    let part = |kind: i64, name: &str| {
        vec![
            (2, Value::text(name)),
            (3, Value::Oid(Oid::from([0, 0]))),
            (4, Value::Integer(1)),
            (5, Value::Integer(kind)),
            (6, Value::Integer(1)),
            (7, Value::text(name)),
        ]
    };
    row(mib, 2, &part(POWER_SUPPLY, "Power Supply 1"));
    row(mib, 3, &part(SENSOR, "Inlet Temperature"));
    // ENTITY-SENSOR-MIB (RFC 3433): degrees Celsius, tenths.
    let sensor: &[u32] = mib2![99, 1, 1, 1];
    mib.fixed(sensor, &[1, 3], Value::Integer(8));
    mib.fixed(sensor, &[2, 3], Value::Integer(9));
    mib.fixed(sensor, &[3, 3], Value::Integer(1));
    mib.rule(
        sensor,
        &[4, 3],
        Cell::Wave {
            middle: 315.0,
            swing: 45.0,
            period_s: 3600.0,
            gauge: false,
        },
    );
    mib.fixed(sensor, &[5, 3], Value::Integer(1));
}

fn row(mib: &mut Mib, index: u32, columns: &[(u32, Value)]) {
    for (column, value) in columns {
        mib.fixed(mib2![47, 1, 1, 1, 1], &[*column, index], value.clone());
    }
}

/// `PhysicalClass`
const CHASSIS: i64 = 3;
const POWER_SUPPLY: i64 = 6;
const SENSOR: i64 = 8;
