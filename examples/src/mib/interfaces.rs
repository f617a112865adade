//! IF-MIB: ifTable and, where the device has it, ifXTable (RFC 2863).

use super::{Cell, Mib, mib2};
use crate::cabling::{PortState, Wired};
use crate::kind::Kind;
use crate::oid::Oid;
use crate::traffic::Column;
use crate::value::Value;

pub(super) fn fill(mib: &mut Mib, device: &Wired) {
    let count = i64::try_from(device.ports.len()).expect("a device has few ports");
    mib.fixed(mib2![2], &[1, 0], Value::Integer(count));
    for (place, port) in device.ports.iter().enumerate() {
        fill_row(mib, place, port, device.spec.kind);
        if device.spec.kind.facts().wide_counters {
            fill_extension(mib, place, port, device.spec.kind);
        }
    }
}

fn fill_row(mib: &mut Mib, place: usize, port: &PortState, kind: Kind) {
    let entry: &[u32] = mib2![2, 2, 1];
    let at = |column: u32| [column, port.if_index];
    let count = |column: Column| Cell::Count {
        port: place,
        column,
        wide: false,
    };
    let speed = port.shape.speed_mbps.saturating_mul(1_000_000);
    mib.fixed(entry, &at(1), Value::Integer(i64::from(port.if_index)));
    mib.fixed(entry, &at(2), Value::text(descr(kind, port)));
    mib.fixed(entry, &at(3), Value::Integer(port.shape.if_type));
    mib.fixed(entry, &at(4), Value::Integer(1500));
    mib.fixed(entry, &at(5), Value::Gauge32(speed));
    mib.fixed(entry, &at(6), Value::text(physical(port)));
    mib.rule(entry, &at(7), Cell::AdminStatus(place));
    mib.rule(entry, &at(8), Cell::OperStatus(place));
    mib.rule(entry, &at(9), Cell::LastChange(place));
    mib.rule(entry, &at(10), count(Column::InOctets));
    mib.rule(entry, &at(11), count(Column::InUcastPkts));
    mib.rule(entry, &at(12), count(Column::InMulticastPkts));
    mib.rule(entry, &at(13), count(Column::InDiscards));
    mib.rule(entry, &at(14), count(Column::InErrors));
    mib.fixed(entry, &at(15), Value::Counter32(0));
    mib.rule(entry, &at(16), count(Column::OutOctets));
    mib.rule(entry, &at(17), count(Column::OutUcastPkts));
    mib.rule(entry, &at(18), count(Column::OutMulticastPkts));
    mib.rule(entry, &at(19), count(Column::OutDiscards));
    mib.rule(entry, &at(20), count(Column::OutErrors));
    mib.fixed(entry, &at(21), Value::Gauge32(0));
    mib.fixed(entry, &at(22), Value::Oid(Oid::from([0, 0])));
}

fn fill_extension(mib: &mut Mib, place: usize, port: &PortState, kind: Kind) {
    let entry: &[u32] = mib2![31, 1, 1, 1];
    let at = |column: u32| [column, port.if_index];
    let count = |column: Column, wide: bool| Cell::Count {
        port: place,
        column,
        wide,
    };
    mib.fixed(
        entry,
        &at(1),
        Value::text(short_name(kind, &port.shape.name)),
    );
    let columns = [
        (Column::InMulticastPkts, 2, 8),
        (Column::InBroadcastPkts, 3, 9),
        (Column::OutMulticastPkts, 4, 12),
        (Column::OutBroadcastPkts, 5, 13),
    ];
    for (column, narrow, wide) in columns {
        mib.rule(entry, &at(narrow), count(column, false));
        mib.rule(entry, &at(wide), count(column, true));
    }
    mib.rule(entry, &at(6), count(Column::InOctets, true));
    mib.rule(entry, &at(7), count(Column::InUcastPkts, true));
    mib.rule(entry, &at(10), count(Column::OutOctets, true));
    mib.rule(entry, &at(11), count(Column::OutUcastPkts, true));
    mib.fixed(entry, &at(14), Value::Integer(1));
    mib.fixed(entry, &at(15), Value::Gauge32(port.shape.speed_mbps));
    mib.fixed(entry, &at(16), Value::Integer(2));
    mib.fixed(
        entry,
        &at(17),
        Value::Integer(if port.shape.is_ethernet() { 1 } else { 2 }),
    );
    mib.fixed(entry, &at(18), Value::text(&port.alias));
    mib.rule(entry, &at(19), Cell::Discontinuity(place));
}

fn descr(kind: Kind, port: &PortState) -> String {
    match kind {
        Kind::SmartSwitch => format!("Ethernet Port {}", port.if_index),
        Kind::Printer => {
            "HP ETHERNET MULTI-ENVIRONMENT,ROM none,JETDIRECT,JD153,EEPROM JSI24180012".to_owned()
        }
        _ => port.shape.name.clone(),
    }
}

/// `ifName`, which LLDP repeats as the port's id: the short form that the console of the device uses.
pub(super) fn short_name(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Router | Kind::CoreSwitch => name
            .replace("FortyGigabitEthernet", "Fo")
            .replace("TenGigabitEthernet", "Te")
            .replace("GigabitEthernet", "Gi")
            .replace("Loopback", "Lo")
            .replace("Vlan", "Vl"),
        _ => name.to_owned(),
    }
}

fn physical(port: &PortState) -> Vec<u8> {
    if port.shape.is_ethernet() {
        port.mac.to_vec()
    } else {
        Vec::new()
    }
}
