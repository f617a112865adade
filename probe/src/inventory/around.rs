//! Who is around a device: LLDP, CDP and ARP as every device has them, else where only some keep their neighbours.

use std::net::Ipv4Addr;

use farwatch_shared::oid::Oid;
use farwatch_shared::text::DeviceText;
use farwatch_shared::wire::message::batch::NeighbourRecord;

use super::facts::{Around, InterfaceFacts, around_plan, named, octets_at};
use crate::snmp::{Limits, Plan, Reading, Rows, Snmp, Table, TablePlan, Target, Value, WalkError};

/// Asks a device who is around it.
///
/// # Errors
/// It does not answer.
pub async fn around(
    snmp: &dyn Snmp,
    target: &Target,
    limits: Limits,
    interfaces: &[InterfaceFacts],
) -> Result<Around, WalkError> {
    let reading = snmp.read(target, &around_plan(), limits).await?;
    let mut around = Around::read(&reading, interfaces);
    if around.neighbours.is_empty() && reading.cut.is_none() {
        let reading = snmp.read(target, &elsewhere_plan(), limits).await?;
        around.neighbours = elsewhere(&reading, interfaces);
    }
    Ok(around)
}

/// What is asked where the usual tables have no neighbour.
#[must_use]
pub fn elsewhere_plan() -> Plan {
    let whole = |columns: &[Oid]| TablePlan {
        columns: columns.to_vec(),
        rows: Rows::All,
    };
    Plan {
        scalars: Vec::new(),
        tables: vec![
            whole(&LLDP_V2),
            whole(&TIMETRA_LLDP),
            whole(&[TIMETRA_PORT]),
            whole(&FDP),
        ],
    }
}

/// Reads the answer to [`elsewhere_plan`].
#[must_use]
pub fn elsewhere(reading: &Reading, interfaces: &[InterfaceFacts]) -> Vec<NeighbourRecord> {
    let [v2, timetra, ports, fdp] = reading.tables.as_slice() else {
        return Vec::new();
    };
    let name = |if_index: u32| {
        let port = interfaces.iter().find(|port| port.if_index == if_index);
        port.map(|port| port.name.clone())
    };
    let described = |if_index: u32| {
        let (_, values) = ports
            .rows()
            .into_iter()
            .find(|(row, _)| row.arcs().next() == Some(if_index))?;
        // "1/1/2, 10-Gig Ethernet"
        let text = octets_at(&values, 0);
        let end = text.iter().position(|octet| *octet == b',');
        Some(DeviceText::name(&text[..end.unwrap_or(text.len())]))
    };
    let mut neighbours = lldp(v2, name);
    neighbours.extend(lldp(timetra, |port| name(port).or_else(|| described(port))));
    for (row, values) in fdp.rows() {
        let octets = |at: usize| octets_at(&values, at);
        let Some(if_index) = row.arcs().next() else {
            continue;
        };
        if octets(0).is_empty() && octets(2).is_empty() {
            continue;
        }
        let vendor = values.get(3).copied().flatten().and_then(Value::as_u64);
        neighbours.push(NeighbourRecord {
            protocol: if vendor == Some(2) { "cdp" } else { "fdp" }.to_owned(),
            local_port: name(if_index).unwrap_or_default(),
            remote_name: DeviceText::name(octets(0)),
            remote_port: DeviceText::name(octets(2)),
            remote_address: <[u8; 4]>::try_from(octets(1))
                .map(|octets| Ipv4Addr::from(octets).to_string())
                .unwrap_or_default(),
            ..NeighbourRecord::default()
        });
    }
    neighbours
}

/// A table of remote systems whose rows are (time, `ifIndex`, destination, neighbour).
fn lldp(table: &Table, port: impl Fn(u32) -> Option<DeviceText>) -> Vec<NeighbourRecord> {
    let rows = table.rows().into_iter();
    rows.filter_map(|(row, values)| {
        let octets = |at: usize| octets_at(&values, at);
        let subtype = |at: usize| values.get(at).copied().flatten().and_then(Value::as_u64);
        if [1, 3, 5].iter().all(|at| octets(*at).is_empty()) {
            return None;
        }
        let if_index = row.arcs().nth(1)?;
        Some(NeighbourRecord {
            protocol: "lldp".to_owned(),
            local_port: port(if_index).unwrap_or_default(),
            remote_name: DeviceText::name(octets(5)),
            remote_port: named(octets(3), subtype(2) == Some(3)),
            remote_chassis: named(octets(1), subtype(0) == Some(4)),
            ..NeighbourRecord::default()
        })
    })
    .collect()
}

/// LLDP-V2-MIB (IEEE 802.1AB-2009): `lldpV2RemChassisIdSubtype`, `ChassisId`, `PortIdSubtype`, `PortId`, `PortDesc`,
/// `SysName`.
const LLDP_V2: [Oid; 6] = [
    Oid::of(&[1, 3, 111, 2, 802, 1, 1, 13, 1, 4, 1, 1, 5]),
    Oid::of(&[1, 3, 111, 2, 802, 1, 1, 13, 1, 4, 1, 1, 6]),
    Oid::of(&[1, 3, 111, 2, 802, 1, 1, 13, 1, 4, 1, 1, 7]),
    Oid::of(&[1, 3, 111, 2, 802, 1, 1, 13, 1, 4, 1, 1, 8]),
    Oid::of(&[1, 3, 111, 2, 802, 1, 1, 13, 1, 4, 1, 1, 9]),
    Oid::of(&[1, 3, 111, 2, 802, 1, 1, 13, 1, 4, 1, 1, 10]),
];
/// TIMETRA-LLDP-MIB (Nokia SR OS): `tmnxLldpRemChassisIdSubtype` and so on, as above.
const TIMETRA_LLDP: [Oid; 6] = [
    Oid::of(&[1, 3, 6, 1, 4, 1, 6527, 3, 1, 2, 59, 4, 1, 1, 4]),
    Oid::of(&[1, 3, 6, 1, 4, 1, 6527, 3, 1, 2, 59, 4, 1, 1, 5]),
    Oid::of(&[1, 3, 6, 1, 4, 1, 6527, 3, 1, 2, 59, 4, 1, 1, 6]),
    Oid::of(&[1, 3, 6, 1, 4, 1, 6527, 3, 1, 2, 59, 4, 1, 1, 7]),
    Oid::of(&[1, 3, 6, 1, 4, 1, 6527, 3, 1, 2, 59, 4, 1, 1, 8]),
    Oid::of(&[1, 3, 6, 1, 4, 1, 6527, 3, 1, 2, 59, 4, 1, 1, 9]),
];
/// `tmnxLldpLocPortDesc`, by (`ifIndex`, destination).
const TIMETRA_PORT: Oid = Oid::of(&[1, 3, 6, 1, 4, 1, 6527, 3, 1, 2, 59, 3, 1, 1, 4]);
/// FOUNDRY-SN-SWITCH-GROUP-MIB: `snFdpCacheDeviceId`, `Address`, `DevicePort`, `VendorId` (1 FDP, 2 CDP).
const FDP: [Oid; 4] = [
    Oid::of(&[1, 3, 6, 1, 4, 1, 1991, 1, 1, 3, 20, 1, 2, 1, 1, 3]),
    Oid::of(&[1, 3, 6, 1, 4, 1, 1991, 1, 1, 3, 20, 1, 2, 1, 1, 5]),
    Oid::of(&[1, 3, 6, 1, 4, 1, 1991, 1, 1, 3, 20, 1, 2, 1, 1, 7]),
    Oid::of(&[1, 3, 6, 1, 4, 1, 1991, 1, 1, 3, 20, 1, 2, 1, 1, 10]),
];

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{answer, recording};
    use super::*;

    #[test]
    fn neighbours_are_found_where_only_some_vendors_keep_them() {
        let interfaces = [InterfaceFacts {
            if_index: 7,
            name: "ethernet1/1/1".into(),
            ..InterfaceFacts::default()
        }];
        let reading = answer(
            recording(&[
                "1.3.111.2.802.1.1.13.1.4.1.1.5.0.7.1.3|2|4",
                "1.3.111.2.802.1.1.13.1.4.1.1.6.0.7.1.3|4x|aabbccddeeff",
                "1.3.111.2.802.1.1.13.1.4.1.1.7.0.7.1.3|2|5",
                "1.3.111.2.802.1.1.13.1.4.1.1.8.0.7.1.3|4|eth9",
                "1.3.111.2.802.1.1.13.1.4.1.1.10.0.7.1.3|4|leaf-2",
                "1.3.6.1.4.1.1991.1.1.3.20.1.2.1.1.3.7.1|4|icx-4",
                "1.3.6.1.4.1.1991.1.1.3.20.1.2.1.1.5.7.1|4x|0a000004",
                "1.3.6.1.4.1.1991.1.1.3.20.1.2.1.1.7.7.1|4|ethernet2",
                "1.3.6.1.4.1.1991.1.1.3.20.1.2.1.1.10.7.1|2|1",
                "1.3.6.1.4.1.6527.3.1.2.59.3.1.1.4.35684352.1|4|1/1/1, 10-Gig Ethernet",
                "1.3.6.1.4.1.6527.3.1.2.59.4.1.1.7.5.35684352.1.2|4|35717120",
                "1.3.6.1.4.1.6527.3.1.2.59.4.1.1.9.5.35684352.1.2|4|pe-2",
            ]),
            &elsewhere_plan(),
        );
        let told: Vec<_> = elsewhere(&reading, &interfaces)
            .into_iter()
            .map(|n| {
                [
                    n.protocol,
                    n.local_port.to_string(),
                    n.remote_name.to_string(),
                    n.remote_port.to_string(),
                    n.remote_chassis.to_string(),
                    n.remote_address,
                ]
                .join(" ")
            })
            .collect();
        assert_eq!(
            told,
            [
                "lldp ethernet1/1/1 leaf-2 eth9 aa:bb:cc:dd:ee:ff ",
                "lldp 1/1/1 pe-2 35717120  ",
                "fdp ethernet1/1/1 icx-4 ethernet2  10.0.0.4",
            ]
        );
    }
}
