//! What a device says of itself: the plans that ask for it, and the answers as facts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use farwatch_shared::oid::{Index, Oid};
use farwatch_shared::text::DeviceText;
use farwatch_shared::wire::message::batch::NeighbourRecord;

use crate::monitor::plan::{
    self, ADMIN_STATUS, HAS_DISCONTINUITY, IF_COUNTER_DISCONTINUITY_TIME, IF_TABLE_LAST_CHANGE,
    INTERFACE, Mask, OPER_STATUS, SYS_UP_TIME,
};
use crate::snmp::{Plan, Reading, Rows, TablePlan, Value};

/// Who a device says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// RFC 3418.
    pub sys_name: DeviceText,
    /// RFC 3418.
    pub sys_descr: DeviceText,
    /// RFC 3418.
    pub sys_object_id: Option<Oid>,
    /// RFC 3418.
    pub sys_location: DeviceText,
    /// RFC 3418.
    pub sys_contact: DeviceText,
    /// Hundredths of a second.
    pub uptime_ticks: Option<u32>,
    /// RFC 3411, as hex; empty where it is not told.
    pub engine_id: String,
    /// ENTITY-MIB, of the chassis.
    pub serial: DeviceText,
    /// ENTITY-MIB, of the chassis.
    pub model: DeviceText,
    /// LLDP's chassis id or the bridge's address, `aa:bb:cc:dd:ee:ff`; empty where it is not told.
    pub chassis_mac: String,
    /// Its own addresses, loopback and link-local ones left out.
    pub addresses: Vec<IpAddr>,
    /// It has a bridge's address, or says that it bridges.
    pub bridges: bool,
    /// It says that it routes.
    pub routes: bool,
    /// `ifTableLastChange`, where it is told.
    pub table_changed: Option<u32>,
    /// Rows of the interface table, by index.
    pub interfaces: Vec<InterfaceFacts>,
    /// What its profiles read.
    pub told: Told,
    /// Requests, varbinds, ms that this cost.
    pub cost: (u32, u32, u32),
    /// Whether the interface table was read to its end.
    pub whole: bool,
}

/// What profiles say of a device; empty where they do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Who makes it.
    pub vendor: String,
    /// As it stands on the box.
    pub model: String,
    /// What runs on it.
    pub os: String,
    /// Which version of that.
    pub os_version: String,
    /// Of the chassis.
    pub serial: String,
    /// What it is for.
    pub role: String,
}

/// One row of the interface table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// Its index today.
    pub if_index: u32,
    /// `ifName`.
    pub name: DeviceText,
    /// `ifDescr`.
    pub descr: DeviceText,
    /// `ifAlias`.
    pub alias: DeviceText,
    /// `aa:bb:cc:dd:ee:ff`, or empty.
    pub mac: String,
    /// `ifType`.
    pub if_type: u32,
    /// Bits a second; 0 = not known.
    pub speed_bps: u64,
    /// `ifAdminStatus`; 0 = not told.
    pub admin: u8,
    /// `ifOperStatus`; 0 = not told.
    pub oper: u8,
    /// Which columns it has and are worth polling.
    pub mask: Mask,
}

/// What a device knows of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// LLDP and CDP neighbours.
    pub neighbours: Vec<NeighbourRecord>,
    /// Addresses in its ARP table.
    pub arp: Vec<Ipv4Addr>,
}

/// What is asked to know a device.
#[must_use]
pub fn identity_plan() -> Plan {
    Plan {
        scalars: vec![
            SYS_DESCR,
            SYS_OBJECT_ID,
            SYS_UP_TIME,
            SYS_CONTACT,
            SYS_NAME,
            SYS_LOCATION,
            IP_FORWARDING,
            BRIDGE_ADDRESS,
            ENGINE_ID,
            IF_TABLE_LAST_CHANGE,
            LLDP_CHASSIS_SUBTYPE,
            LLDP_CHASSIS,
            LLDP_CAPABILITIES,
            LLDP_SYS_NAME,
        ],
        tables: vec![
            whole(interface_columns()),
            whole(vec![IP_AD_ENT_IF_INDEX]),
            whole(vec![IP_ADDRESS_IF_INDEX]),
            whole(ENTITY.to_vec()),
        ],
    }
}

/// What is asked to know who is around a device.
#[must_use]
pub fn around_plan() -> Plan {
    Plan {
        scalars: Vec::new(),
        tables: vec![
            whole(LLDP_REMOTE.to_vec()),
            whole(vec![LLDP_REMOTE_ADDRESS]),
            whole(LLDP_LOCAL_PORT.to_vec()),
            whole(CDP.to_vec()),
            whole(vec![ARP]),
        ],
    }
}

/// What is asked to see whether indexes still mean the same: names alone.
#[must_use]
pub fn names_plan() -> Plan {
    Plan {
        scalars: vec![IF_TABLE_LAST_CHANGE],
        tables: vec![whole(interface_columns())],
    }
}

fn whole(columns: Vec<Oid>) -> TablePlan {
    TablePlan {
        columns,
        rows: Rows::All,
    }
}

/// Descriptions first, then [`INTERFACE`], then the discontinuity time.
fn interface_columns() -> Vec<Oid> {
    let mut columns = DESCRIBING.to_vec();
    columns.extend(INTERFACE.iter().map(|column| Oid::of(column.oid)));
    columns.push(IF_COUNTER_DISCONTINUITY_TIME);
    columns
}

impl Facts {
    /// Reads the answer to [`identity_plan`].
    #[must_use]
    pub fn read(reading: &Reading) -> Self {
        let text = |oid: &Oid| {
            reading
                .scalar(oid)
                .and_then(Value::as_octets)
                .unwrap_or_default()
        };
        let table = |at: usize| reading.tables.get(at);
        let bridge = text(&BRIDGE_ADDRESS);
        let lldp_says_mac = reading
            .scalar(&LLDP_CHASSIS_SUBTYPE)
            .and_then(Value::as_u64)
            == Some(4);
        let chassis_mac = if lldp_says_mac {
            mac(text(&LLDP_CHASSIS))
        } else {
            mac(bridge)
        };
        let capabilities = text(&LLDP_CAPABILITIES).first().copied().unwrap_or(0);
        let (serial, model) = table(3).map(chassis).unwrap_or_default();
        let mut addresses = table(1).map(ip_ad_ent).unwrap_or_default();
        addresses.extend(table(2).map(ip_address).unwrap_or_default());
        addresses.retain(is_own_address);
        addresses.sort_unstable();
        addresses.dedup();
        Self {
            // Some answer LLDP-MIB and no system group.
            sys_name: [&SYS_NAME, &LLDP_SYS_NAME]
                .map(|oid| DeviceText::name(text(oid)))
                .into_iter()
                .find(|name| !name.as_str().is_empty())
                .unwrap_or_default(),
            sys_descr: DeviceText::description(text(&SYS_DESCR)),
            sys_object_id: reading
                .scalar(&SYS_OBJECT_ID)
                .and_then(Value::as_oid)
                .cloned(),
            sys_location: DeviceText::name(text(&SYS_LOCATION)),
            sys_contact: DeviceText::name(text(&SYS_CONTACT)),
            uptime_ticks: reading.scalar(&SYS_UP_TIME).and_then(ticks),
            engine_id: hex(text(&ENGINE_ID)),
            serial,
            model,
            chassis_mac,
            addresses,
            bridges: !mac(bridge).is_empty() || capabilities & 0x20 != 0,
            routes: capabilities & 0x08 != 0
                || reading.scalar(&IP_FORWARDING).and_then(Value::as_u64) == Some(1),
            table_changed: reading.scalar(&IF_TABLE_LAST_CHANGE).and_then(ticks),
            interfaces: table(0).map(interfaces).unwrap_or_default(),
            told: Told::default(),
            cost: cost(reading),
            whole: reading.cut.is_none(),
        }
    }

    /// It answered, and said nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sys_object_id.is_none()
            && self.uptime_ticks.is_none()
            && self.sys_descr.is_empty()
            && self.sys_name.is_empty()
            && self.interfaces.is_empty()
    }

    /// Reads the answer to [`names_plan`]: the rows alone.
    #[must_use]
    pub fn read_names(reading: &Reading) -> (Vec<InterfaceFacts>, Option<u32>, bool) {
        (
            reading.tables.first().map(interfaces).unwrap_or_default(),
            reading.scalar(&IF_TABLE_LAST_CHANGE).and_then(ticks),
            reading.cut.is_none(),
        )
    }
}

impl Around {
    /// Reads the answer to [`around_plan`]. Ports are named as the device's own LLDP table names them.
    #[must_use]
    pub fn read(reading: &Reading, interfaces: &[InterfaceFacts]) -> Self {
        let mut around = Self::default();
        if let [lldp, addresses, local, cdp, arp] = reading.tables.as_slice() {
            let port_name = |number: u32| -> DeviceText {
                let row = Index::from(number);
                let is_name = matches!(local.value(0, &row).and_then(Value::as_u64), Some(5 | 7));
                let words = |column| local.value(column, &row).and_then(Value::as_octets);
                let id = words(1).filter(|_| is_name);
                let by_index = interfaces
                    .iter()
                    .find(|facts| facts.if_index == number)
                    .map(|facts| facts.name.clone());
                match id.or_else(|| words(2)).filter(|text| !text.is_empty()) {
                    Some(text) => DeviceText::name(text),
                    None => by_index.unwrap_or_default(),
                }
            };
            for (row, values) in lldp.rows() {
                let octets = |at: usize| octets_at(&values, at);
                // Some agents keep a row for every port, with nothing in it.
                if [1, 3, 5].iter().all(|at| octets(*at).is_empty()) {
                    continue;
                }
                // (time, port, neighbour); some leave out the time, or all but the neighbour.
                let arcs: Vec<u32> = row.arcs().collect();
                let port = arcs.get(1).copied();
                let subtype = |at: usize| values.get(at).copied().flatten().and_then(Value::as_u64);
                around.neighbours.push(NeighbourRecord {
                    protocol: "lldp".to_owned(),
                    local_port: port.map(port_name).unwrap_or_default(),
                    local_instance: 0,
                    remote_name: DeviceText::name(octets(5)),
                    remote_port: named(octets(3), subtype(2) == Some(3)),
                    remote_chassis: named(octets(1), subtype(0) == Some(4)),
                    remote_address: management_address(addresses, &arcs)
                        .map(|address| address.to_string())
                        .unwrap_or_default(),
                });
            }
            for (row, values) in cdp.rows() {
                let octets = |at: usize| octets_at(&values, at);
                let Some(if_index) = row.arcs().next() else {
                    continue;
                };
                if (0..4).all(|at| octets(at).is_empty()) {
                    continue;
                }
                around.neighbours.push(NeighbourRecord {
                    protocol: "cdp".to_owned(),
                    local_port: interfaces
                        .iter()
                        .find(|facts| facts.if_index == if_index)
                        .map(|facts| facts.name.clone())
                        .unwrap_or_default(),
                    local_instance: 0,
                    remote_name: DeviceText::name(octets(1)),
                    remote_port: DeviceText::name(octets(2)),
                    remote_chassis: DeviceText::default(),
                    remote_address: <[u8; 4]>::try_from(octets(0))
                        .map(|octets| Ipv4Addr::from(octets).to_string())
                        .unwrap_or_default(),
                });
            }
            around.arp = arp
                .rows()
                .into_keys()
                .filter_map(|row| {
                    let arcs: Vec<u32> = row.arcs().collect();
                    v4(arcs.get(1..5)?)
                })
                .take(ARP_LIMIT)
                .collect();
        }
        around
    }

    /// Where more devices may be.
    pub fn candidates(&self) -> impl Iterator<Item = IpAddr> {
        let named = self
            .neighbours
            .iter()
            .filter_map(|neighbour| neighbour.remote_address.parse().ok());
        self.arp.iter().copied().map(IpAddr::V4).chain(named)
    }
}

pub(super) fn octets_at<'a>(values: &[Option<&'a Value>], at: usize) -> &'a [u8] {
    let value = values.get(at).copied().flatten();
    value.and_then(Value::as_octets).unwrap_or_default()
}

/// An LLDP identifier: a MAC address where it says so and is one, else text.
pub(super) fn named(octets: &[u8], is_mac: bool) -> DeviceText {
    match mac(octets) {
        mac if is_mac && !mac.is_empty() => DeviceText::from(mac),
        _ => DeviceText::name(octets),
    }
}

fn cost(reading: &Reading) -> (u32, u32, u32) {
    (
        reading.cost.requests,
        reading.cost.varbinds,
        u32::try_from(reading.cost.duration.as_millis()).unwrap_or(u32::MAX),
    )
}

fn ticks(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|ticks| u32::try_from(ticks).ok())
}

fn interfaces(table: &crate::snmp::Table) -> Vec<InterfaceFacts> {
    let first = DESCRIBING.len();
    table
        .rows()
        .into_iter()
        .filter_map(|(row, values)| {
            let if_index = row.single()?;
            let value = |at: usize| values.get(at).copied().flatten();
            let octets = |at: usize| value(at).and_then(Value::as_octets).unwrap_or_default();
            let number = |at: usize| value(at).and_then(Value::as_u64).unwrap_or(0);
            let mut present: Mask = 0;
            for (i, column) in INTERFACE.iter().enumerate() {
                let usable = match value(first + i) {
                    Some(Value::Counter64(_)) => true,
                    Some(value) => {
                        value.as_u64().is_some()
                            && column.counter != Some(crate::increase::Width::Bits64)
                    }
                    None => false,
                };
                present |= Mask::from(usable) << i;
            }
            if value(first + INTERFACE.len()).and_then(ticks).is_some() {
                present |= HAS_DISCONTINUITY;
            }
            let described = !octets(0).is_empty() || !octets(4).is_empty() || value(1).is_some();
            (described || present & !HAS_DISCONTINUITY != 0).then(|| InterfaceFacts {
                if_index,
                name: DeviceText::name(octets(4)),
                descr: DeviceText::name(octets(0)),
                alias: DeviceText::name(octets(6)),
                mac: mac(octets(3)),
                if_type: u32::try_from(number(1)).unwrap_or(0),
                speed_bps: speed(number(2), number(5)),
                admin: u8::try_from(number(first + ADMIN_STATUS)).unwrap_or(0),
                oper: u8::try_from(number(first + OPER_STATUS)).unwrap_or(0),
                mask: plan::preferred(present),
            })
        })
        .collect()
}

/// `ifHighSpeed` (Mbit/s) where `ifSpeed` cannot say it (RFC 2863 §3.1.1).
const fn speed(if_speed: u64, high_speed: u64) -> u64 {
    if if_speed >= u32::MAX as u64 || if_speed == 0 {
        high_speed.saturating_mul(1_000_000)
    } else {
        if_speed
    }
}

/// Serial and model of the chassis: the first of class chassis (3), else stack (11), else the first that has a serial.
fn chassis(table: &crate::snmp::Table) -> (DeviceText, DeviceText) {
    let mut best: Option<(u8, DeviceText, DeviceText)> = None;
    for values in table.rows().into_values() {
        let octets = |at: usize| {
            values
                .get(at)
                .copied()
                .flatten()
                .and_then(Value::as_octets)
                .unwrap_or_default()
        };
        let class = values.first().copied().flatten().and_then(Value::as_u64);
        let rank = match class {
            Some(3) => 0,
            Some(11) => 1,
            _ => 2,
        };
        let (serial, model) = (DeviceText::name(octets(1)), DeviceText::name(octets(2)));
        let says = !serial.is_empty() || (rank < 2 && !model.is_empty());
        if says && best.as_ref().is_none_or(|(held, _, _)| rank < *held) {
            best = Some((rank, serial, model));
        }
    }
    best.map_or_else(Default::default, |(_, serial, model)| (serial, model))
}

fn ip_ad_ent(table: &crate::snmp::Table) -> Vec<IpAddr> {
    table
        .rows()
        .into_keys()
        .filter_map(|row| {
            let arcs: Vec<u32> = row.arcs().collect();
            (arcs.len() == 4).then(|| v4(&arcs).map(IpAddr::V4))?
        })
        .collect()
}

/// `ipAddressTable`'s index: type, length, octets (RFC 4293).
fn ip_address(table: &crate::snmp::Table) -> Vec<IpAddr> {
    table
        .rows()
        .into_keys()
        .filter_map(|row| {
            let arcs: Vec<u32> = row.arcs().collect();
            inet(arcs.first().copied()?, arcs.get(1..)?)
        })
        .collect()
}

/// The management address of one LLDP neighbour: index (time, port, neighbour, type, length, octets…).
fn management_address(table: &crate::snmp::Table, neighbour: &[u32]) -> Option<IpAddr> {
    table.rows().into_keys().find_map(|row| {
        let arcs: Vec<u32> = row.arcs().collect();
        let rest = arcs.strip_prefix(neighbour)?;
        inet(*rest.first()?, rest.get(1..)?)
    })
}

/// An address of type 1 (IPv4) or 2 (IPv6), its length first.
fn inet(kind: u32, arcs: &[u32]) -> Option<IpAddr> {
    match (kind, arcs) {
        (1, [4, octets @ ..]) if octets.len() == 4 => v4(octets).map(IpAddr::V4),
        (2, [16, octets @ ..]) if octets.len() == 16 => {
            let mut bytes = [0; 16];
            for (byte, arc) in bytes.iter_mut().zip(octets) {
                *byte = u8::try_from(*arc).ok()?;
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

fn v4(arcs: &[u32]) -> Option<Ipv4Addr> {
    let &[a, b, c, d] = arcs else { return None };
    let octet = |arc| u8::try_from(arc).ok();
    Some(Ipv4Addr::new(octet(a)?, octet(b)?, octet(c)?, octet(d)?))
}

/// Addresses that are this device's and nobody else's.
fn is_own_address(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !v4.is_loopback() && !v4.is_unspecified() && !v4.is_link_local() && !v4.is_broadcast()
        }
        IpAddr::V6(v6) => {
            !v6.is_loopback() && !v6.is_unspecified() && v6.segments()[0] & 0xffc0 != 0xfe80
        }
    }
}

/// Six octets (eight on InfiniBand) in colon form, also where a device writes them out (`00-60-A7-0A-7F-96`); empty for
/// anything else, and for addresses that mean nothing.
#[must_use]
pub fn mac(octets: &[u8]) -> String {
    let written = (octets.len() == WRITTEN_MAC)
        .then(|| written(octets))
        .flatten();
    let octets = written.as_ref().map_or(octets, <[u8; 6]>::as_slice);
    let meaningless =
        |octets: &[u8]| octets.iter().all(|o| *o == 0) || octets.iter().all(|o| *o == 0xff);
    if !matches!(octets.len(), 6 | 8) || meaningless(octets) {
        return String::new();
    }
    octets
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}

/// Characters of a MAC address that is written out.
const WRITTEN_MAC: usize = 17;

fn written(text: &[u8]) -> Option<[u8; 6]> {
    let mut octets = [0; 6];
    for (octet, part) in octets.iter_mut().zip(text.chunks(3)) {
        let (digits, after) = part.split_at_checked(2)?;
        if !matches!(after, [] | [b'-' | b':']) {
            return None;
        }
        // A sign is a number to `from_str_radix`, and no digit.
        let digits = std::str::from_utf8(digits)
            .ok()
            .filter(|text| !text.starts_with('+'))?;
        *octet = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(octets)
}

/// Octets as hex.
#[must_use]
pub fn hex(octets: &[u8]) -> String {
    octets
        .iter()
        .take(64)
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

/// Neighbours kept of one device: they are part of its record, which must fit into a batch.
pub(super) const NEIGHBOURS_LIMIT: usize = 128;
/// Addresses followed from one device's ARP table.
const ARP_LIMIT: usize = 4_096;

const SYS_DESCR: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 1, 0]);
const SYS_OBJECT_ID: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 2, 0]);
const SYS_CONTACT: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 4, 0]);
const SYS_NAME: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 5, 0]);
const SYS_LOCATION: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 6, 0]);
const IP_FORWARDING: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 4, 1, 0]);
/// `dot1dBaseBridgeAddress` (RFC 4188).
const BRIDGE_ADDRESS: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 17, 1, 1, 0]);
/// `snmpEngineID` (RFC 3411).
const ENGINE_ID: Oid = Oid::of(&[1, 3, 6, 1, 6, 3, 10, 2, 1, 1, 0]);
/// LLDP-MIB (IEEE 802.1AB).
const LLDP_CHASSIS_SUBTYPE: Oid = Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 3, 1, 0]);
const LLDP_SYS_NAME: Oid = Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 3, 3, 0]);
const LLDP_CHASSIS: Oid = Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 3, 2, 0]);
const LLDP_CAPABILITIES: Oid = Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 3, 6, 0]);
/// `ipAdEntIfIndex`; the address is its index.
const IP_AD_ENT_IF_INDEX: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 4, 20, 1, 2]);
/// `ipAddressIfIndex` (RFC 4293); the address is its index.
const IP_ADDRESS_IF_INDEX: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 4, 34, 1, 3]);
/// `ipNetToMediaPhysAddress`; the address is in its index.
const ARP: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 4, 22, 1, 2]);
/// `entPhysicalClass`, `SerialNum`, `ModelName` (RFC 6933).
const ENTITY: [Oid; 3] = [
    Oid::of(&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 5]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 11]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 13]),
];
/// `ifDescr`, `ifType`, `ifSpeed`, `ifPhysAddress`, `ifName`, `ifHighSpeed`, `ifAlias`.
const DESCRIBING: [Oid; 7] = [
    Oid::of(&[1, 3, 6, 1, 2, 1, 2, 2, 1, 2]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 2, 2, 1, 3]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 2, 2, 1, 5]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 2, 2, 1, 6]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 1]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 15]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 18]),
];
/// `lldpRemChassisIdSubtype`, `ChassisId`, `PortIdSubtype`, `PortId`, `PortDesc`, `SysName`.
const LLDP_REMOTE: [Oid; 6] = [
    Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 4, 1, 1, 4]),
    Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 4, 1, 1, 5]),
    Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 4, 1, 1, 6]),
    Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 4, 1, 1, 7]),
    Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 4, 1, 1, 8]),
    Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 4, 1, 1, 9]),
];
/// `lldpRemManAddrIfSubtype`; the address is in its index.
const LLDP_REMOTE_ADDRESS: Oid = Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 4, 2, 1, 3]);
/// `lldpLocPortIdSubtype`, `PortId`, `PortDesc`.
const LLDP_LOCAL_PORT: [Oid; 3] = [
    Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 3, 7, 1, 2]),
    Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 3, 7, 1, 3]),
    Oid::of(&[1, 0, 8802, 1, 1, 2, 1, 3, 7, 1, 4]),
];
/// CISCO-CDP-MIB: `cdpCacheAddress`, `DeviceId`, `DevicePort`, `Platform`.
const CDP: [Oid; 4] = [
    Oid::of(&[1, 3, 6, 1, 4, 1, 9, 9, 23, 1, 2, 1, 1, 4]),
    Oid::of(&[1, 3, 6, 1, 4, 1, 9, 9, 23, 1, 2, 1, 1, 6]),
    Oid::of(&[1, 3, 6, 1, 4, 1, 9, 9, 23, 1, 2, 1, 1, 7]),
    Oid::of(&[1, 3, 6, 1, 4, 1, 9, 9, 23, 1, 2, 1, 1, 8]),
];

#[cfg(test)]
pub(super) mod tests;
