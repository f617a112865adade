//! BRIDGE-MIB: which address a switch has learned at which port (RFC 4188).

use std::ops::Range;

use super::{Mib, mib2, octets};
use crate::cabling::Wired;
use crate::value::Value;

pub(super) fn fill(mib: &mut Mib, devices: &[Wired], place: usize) {
    let device = &devices[place];
    let bridge: &[u32] = mib2![17];
    let ports: Vec<usize> = (0..device.ports.len())
        .filter(|at| device.ports[*at].shape.is_ethernet())
        .collect();
    mib.fixed(bridge, &[1, 1, 0], Value::text(device.mac));
    mib.fixed(
        bridge,
        &[1, 2, 0],
        Value::Integer(i64::try_from(ports.len()).expect("a device has few ports")),
    );
    for at in &ports {
        let number = bridge_port(*at);
        mib.fixed(
            bridge,
            &[1, 4, 1, 1, number],
            Value::Integer(i64::from(number)),
        );
        mib.fixed(
            bridge,
            &[1, 4, 1, 2, number],
            Value::Integer(i64::from(device.ports[*at].if_index)),
        );
    }
    for other in same_floor(place, devices.len()).filter(|other| *other != place) {
        let mac = devices[other].mac;
        let number = i64::from(bridge_port(towards(devices, place, other)));
        let index = octets(&mac);
        let entry = |column: u32| [vec![4, 3, 1, column], index.clone()].concat();
        mib.fixed(bridge, &entry(1), Value::text(mac));
        mib.fixed(bridge, &entry(2), Value::Integer(number));
        mib.fixed(bridge, &entry(3), Value::Integer(3));
    }
}

/// The devices that share a broadcast domain with this one.
pub(super) fn same_floor(place: usize, count: usize) -> Range<usize> {
    let first = place / 40 * 40;
    first..(first + 40).min(count)
}

/// The port that leads from one device towards another: down the branch that holds it, else up.
fn towards(devices: &[Wired], from: usize, to: usize) -> usize {
    let mut at = to;
    while let Some((above, port)) = devices[at].ports[devices[at].uplink].peer {
        if above == from {
            return port;
        }
        at = above;
    }
    devices[from].uplink
}

fn bridge_port(at: usize) -> u32 {
    u32::try_from(at + 1).expect("a device has few ports")
}
