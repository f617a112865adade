//! Who the device is: the system group, its SNMP engine, its addresses (RFC 3418, RFC 3411, RFC 4293's older tables).

use super::{Cell, Mib, mib2, octets};
use crate::cabling::Wired;
use crate::kind::{Kind, LOOPBACK};
use crate::oid::Oid;
use crate::value::Value;

pub(super) fn fill(mib: &mut Mib, device: &Wired) {
    let facts = device.spec.kind.facts();
    let system: &[u32] = mib2![1];
    let object_id: Oid = facts.sys_object_id.parse().expect("a constant of ours");
    mib.fixed(system, &[1, 0], Value::text(sys_descr(device)));
    mib.fixed(system, &[2, 0], Value::Oid(object_id));
    mib.rule(system, &[3, 0], Cell::UpTime);
    mib.fixed(system, &[4, 0], Value::text("it@example.com"));
    mib.fixed(system, &[5, 0], Value::text(&device.spec.name));
    mib.fixed(system, &[6, 0], Value::text(&device.spec.location));
    mib.fixed(system, &[7, 0], Value::Integer(facts.services));
    if has_engine(device.spec.kind)
        && (device.spec.access.v2c || !device.spec.access.users.is_empty())
    {
        let engine: &[u32] = &[1, 3, 6, 1, 6, 3, 10, 2, 1];
        mib.fixed(engine, &[1, 0], Value::OctetString(engine_id(device)));
        mib.rule(engine, &[2, 0], Cell::EngineBoots);
        mib.rule(engine, &[3, 0], Cell::EngineTime);
        mib.fixed(
            engine,
            &[4, 0],
            Value::Integer(i64::try_from(facts.max_message).expect("a datagram's size")),
        );
    }
}

/// Own addresses, and for what routes also the neighbours' by ARP.
pub(super) fn fill_addresses(mib: &mut Mib, devices: &[Wired], place: usize) {
    let device = &devices[place];
    let ip: &[u32] = mib2![4];
    let routes = matches!(
        device.spec.kind,
        Kind::Router | Kind::Firewall | Kind::CoreSwitch
    );
    mib.fixed(ip, &[1, 0], Value::Integer(if routes { 1 } else { 2 }));
    let management = management_index(device);
    let mut own = vec![(device.address.octets(), management, [255, 255, 255, 0])];
    if let Some(loopback) = device.ports.iter().find(|port| port.shape.name == "lo") {
        own.push(([127, 0, 0, 1], loopback.if_index, [255, 0, 0, 0]));
    }
    for (address, if_index, mask) in own {
        let index = octets(&address);
        let entry = |column: u32| [vec![20, 1, column], index.clone()].concat();
        mib.fixed(ip, &entry(1), Value::IpAddress(address));
        mib.fixed(ip, &entry(2), Value::Integer(i64::from(if_index)));
        mib.fixed(ip, &entry(3), Value::IpAddress(mask));
        mib.fixed(ip, &entry(4), Value::Integer(1));
        mib.fixed(ip, &entry(5), Value::Integer(65_535));
    }
    if !routes {
        return;
    }
    for other in super::bridge::same_floor(place, devices.len()).filter(|other| *other != place) {
        let other = &devices[other];
        let address = other.address.octets();
        let index = [vec![management], octets(&address)].concat();
        let entry = |column: u32| [vec![22, 1, column], index.clone()].concat();
        mib.fixed(ip, &entry(1), Value::Integer(i64::from(management)));
        mib.fixed(ip, &entry(2), Value::text(other.mac));
        mib.fixed(ip, &entry(3), Value::IpAddress(address));
        mib.fixed(ip, &entry(4), Value::Integer(3));
    }
}

/// RFC 3411, `SnmpEngineID`, format 3: the vendor's number and a MAC address.
pub(crate) fn engine_id(device: &Wired) -> Vec<u8> {
    let enterprise = device.spec.kind.facts().enterprise | 0x8000_0000;
    [&enterprise.to_be_bytes()[..], &[3], &device.mac].concat()
}

/// The ifIndex that carries the device's own address.
pub(super) fn management_index(device: &Wired) -> u32 {
    let logical = device
        .ports
        .iter()
        .find(|port| !port.shape.is_ethernet() && port.shape.if_type != LOOPBACK);
    let port = logical
        .filter(|_| device.spec.kind == Kind::CoreSwitch)
        .unwrap_or(&device.ports[device.uplink]);
    port.if_index
}

/// Simple firmware has no engine group.
fn has_engine(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Printer | Kind::ColourPrinter | Kind::Camera | Kind::Pdu | Kind::OldSwitch
    )
}

fn sys_descr(device: &Wired) -> String {
    let descr = device.spec.kind.facts().sys_descr;
    let name = String::from_utf8_lossy(&device.spec.name);
    match device.spec.kind {
        Kind::LinuxServer => descr.replacen("srv", &name, 1),
        Kind::Nas => descr.replacen("nas", &name, 1),
        _ => descr.to_owned(),
    }
}
