//! LLDP-MIB: what the device says of itself, and what its neighbours say to it (IEEE 802.1AB-2005).

use super::{Mib, octets};
use crate::cabling::Wired;
use crate::kind::{Facts, Kind};
use crate::value::Value;

pub(super) fn fill(mib: &mut Mib, devices: &[Wired], place: usize) {
    let device = &devices[place];
    let facts = device.spec.kind.facts();
    mib.fixed(LOCAL, &[1, 0], Value::Integer(MAC_ADDRESS));
    mib.fixed(LOCAL, &[2, 0], Value::text(device.mac));
    mib.fixed(LOCAL, &[3, 0], Value::text(&device.spec.name));
    mib.fixed(LOCAL, &[4, 0], Value::text(facts.sys_descr));
    mib.fixed(LOCAL, &[5, 0], Value::OctetString(capabilities(&facts)));
    mib.fixed(LOCAL, &[6, 0], Value::OctetString(capabilities(&facts)));
    for (at, port) in device
        .ports
        .iter()
        .enumerate()
        .filter(|(_, port)| port.shape.is_ethernet())
    {
        let (subtype, id) = port_id(device, at);
        mib.fixed(LOCAL, &[7, 1, 2, port.if_index], Value::Integer(subtype));
        mib.fixed(LOCAL, &[7, 1, 3, port.if_index], Value::OctetString(id));
        mib.fixed(
            LOCAL,
            &[7, 1, 4, port.if_index],
            Value::text(port_descr(&port.alias, &port.shape.name)),
        );
        if let Some((other, other_port)) = port.peer
            && devices[other].spec.kind.facts().lldp
        {
            fill_neighbour(mib, port.if_index, &devices[other], other_port);
        }
    }
}

fn fill_neighbour(mib: &mut Mib, local_port: u32, other: &Wired, other_port: usize) {
    let facts = other.spec.kind.facts();
    let port = &other.ports[other_port];
    let (subtype, id) = port_id(other, other_port);
    let columns = [
        (4, Value::Integer(MAC_ADDRESS)),
        (5, Value::text(other.mac)),
        (6, Value::Integer(subtype)),
        (7, Value::OctetString(id)),
        (8, Value::text(port_descr(&port.alias, &port.shape.name))),
        (9, Value::text(&other.spec.name)),
        (10, Value::text(facts.sys_descr)),
        (11, Value::OctetString(capabilities(&facts))),
        (12, Value::OctetString(capabilities(&facts))),
    ];
    for (column, value) in columns {
        mib.fixed(REMOTE, &[1, 1, column, 0, local_port, 1], value);
    }
    let address = [
        vec![0, local_port, 1, 1, 4],
        octets(&other.address.octets()),
    ]
    .concat();
    let management = i64::from(super::system::management_index(other));
    mib.fixed(
        REMOTE,
        &[vec![2, 1, 3], address.clone()].concat(),
        Value::Integer(2),
    );
    mib.fixed(
        REMOTE,
        &[vec![2, 1, 4], address].concat(),
        Value::Integer(management),
    );
}

/// Switches name a port as their console does; small devices send its MAC address.
fn port_id(device: &Wired, at: usize) -> (i64, Vec<u8>) {
    let port = &device.ports[at];
    match device.spec.kind {
        Kind::CampusAccessPoint | Kind::OfficeAccessPoint | Kind::LinuxServer => {
            (MAC_PORT, port.mac.to_vec())
        }
        kind => (
            INTERFACE_NAME,
            super::interfaces::short_name(kind, &port.shape.name).into_bytes(),
        ),
    }
}

fn port_descr<'a>(alias: &'a str, name: &'a str) -> &'a str {
    if alias.is_empty() { name } else { alias }
}

/// `LldpSystemCapabilitiesMap`, first bit first: other, repeater, bridge, access point, router, …, station.
fn capabilities(facts: &Facts) -> Vec<u8> {
    vec![match facts.word {
        "router" | "firewall" => 0x08,
        "switch" => 0x20,
        "access point" => 0x10,
        _ => 0x01,
    }]
}

const LOCAL: &[u32] = &[1, 0, 8802, 1, 1, 2, 1, 3];
const REMOTE: &[u32] = &[1, 0, 8802, 1, 1, 2, 1, 4];
/// `LldpChassisIdSubtype`
const MAC_ADDRESS: i64 = 4;
/// `LldpPortIdSubtype`
const MAC_PORT: i64 = 3;
const INTERFACE_NAME: i64 = 5;
