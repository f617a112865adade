//! The devices of this site: who they are, under numbers that stay for ever.
//!
//! - [`who`] asking a device who it is;  [`facts`] what it says of itself
//! - [`around`] who is around it
//! - [`evidence`] is this the same device?
//! - [`interfaces`] who an interface is, whatever its index
//! - [`packed`] interfaces while nobody looks at them
//! - [`vendor`] maker, system, purpose
//! - [`topology`] who stands before whom
//! - [`store`] its tables in the spool's file;  [`copy`] a copy beside it
//!
//! Numbers are minted here, above whatever Central has ever seen of this probe, and never used twice.

pub mod around;
pub mod copy;
pub mod entity;
pub mod evidence;
pub mod facts;
pub mod interfaces;
mod packed;
pub mod store;
pub mod topology;
pub mod vendor;
pub mod who;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{DeviceNo, EventKind, InstanceNo, Severity};
use farwatch_shared::profile::builtin;
use farwatch_shared::text::DeviceText;
use farwatch_shared::wire::message::batch::{DeviceRecord, EventRecord, InterfaceRecord};
use serde::{Deserialize, Serialize};

use crate::detect::NO_STATE;
use crate::monitor::layout::Port;
use evidence::{Evidence, Verdict};
use facts::{Around, Facts, NEIGHBOURS_LIMIT};
use packed::Packed;

/// What discovery met at an address.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where.
    pub address: IpAddr,
    /// Whether it answers echo requests; `None` where that is not judged.
    pub ping: Option<bool>,
    /// What SNMP told, where it answers.
    pub snmp: Option<FoundSnmp>,
    /// Whether a person named this address.
    pub by_person: bool,
    /// When.
    pub at: Timestamp,
}

/// What SNMP told.
#[derive(Clone, Debug)]
pub struct FoundSnmp {
    /// Where its agent listens.
    pub port: u16,
    /// Name of the credential that works.
    pub credential: String,
    /// `v1`, `v2c`, `v3`.
    pub version: String,
    /// For v3: level and protocols.
    pub security: String,
    /// The rest.
    pub facts: Facts,
}

/// One device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its number.
    pub no: DeviceNo,
    /// Where it is asked.
    pub address: IpAddr,
    /// As Central knows it, without its interfaces: [`Device::whole`] has them.
    pub record: DeviceRecord,
    /// What only this probe needs to know.
    pub private: Private,
    packed: Packed,
}

/// What only this probe needs to know of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Private {
    /// Interfaces that are polled.
    pub ports: Arc<[Port]>,
    /// How many more it has than are polled of one device; known once its table was read.
    #[serde(skip)]
    pub left_out: u32,
    /// `ifTableLastChange` when `ports` were read.
    pub table_changed: Option<u32>,
    /// Whether it ever answered echo requests.
    pub ping_worked: bool,
    /// Whether it ever answered by SNMPv3: then no weaker version is ever tried.
    pub speaks_v3: bool,
}

/// What came of an observation.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Which device it is.
    pub device: DeviceNo,
    /// It was not known before.
    pub new: bool,
    /// Devices whose records are to be stored and sent, those merged into another or replaced included.
    pub changed: Vec<DeviceNo>,
    /// Devices that are no longer watched.
    pub retired: Vec<DeviceNo>,
    /// Interfaces that are gone: they are no longer judged.
    pub gone: Vec<InstanceNo>,
    /// To be told.
    pub events: Vec<EventRecord>,
}

/// All devices of this probe.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    devices: BTreeMap<DeviceNo, Device>,
    by_address: HashMap<IpAddr, DeviceNo>,
    last: u32,
    changes: u64,
}

impl Inventory {
    /// Puts back what was stored, or what Central sent.
    pub fn restore(&mut self, record: DeviceRecord, private: Private) {
        self.last = self.last.max(record.device);
        let Ok(address) = record.address.parse() else {
            return;
        };
        let no = DeviceNo(record.device);
        self.changes += 1;
        let mut device = Device {
            no,
            address,
            record,
            private,
            packed: Packed::default(),
        };
        device.pack();
        if !device.record.retired {
            self.index(&device);
        }
        self.devices.insert(no, device);
    }

    /// Central knows numbers up to this one: none of them is minted again.
    pub fn floor(&mut self, highest: u32) {
        self.last = self.last.max(highest);
    }

    /// Rises with every change that may make it more or fewer devices, or ports.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// The highest number ever given.
    #[must_use]
    pub const fn highest(&self) -> u32 {
        self.last
    }

    /// A device that is watched.
    #[must_use]
    pub fn get(&self, no: DeviceNo) -> Option<&Device> {
        self.devices
            .get(&no)
            .filter(|device| !device.record.retired)
    }

    /// A device, watched or not.
    #[must_use]
    pub fn any(&self, no: DeviceNo) -> Option<&Device> {
        self.devices.get(&no)
    }

    /// The device that has this address.
    #[must_use]
    pub fn at(&self, address: IpAddr) -> Option<&Device> {
        self.get(*self.by_address.get(&address)?)
    }

    /// All that are watched, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Device> {
        self.devices
            .values()
            .filter(|device| !device.record.retired)
    }

    /// How many are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether no device was ever known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// Takes what was met at an address. `is_down` says of a known device that it does not answer where it was: one that
    /// is met elsewhere has moved.
    pub fn observe(&mut self, found: Found, is_down: impl Fn(DeviceNo) -> bool) -> Observed {
        self.changes += 1;
        let mut out = Observed {
            device: DeviceNo(0),
            new: false,
            changed: Vec::new(),
            retired: Vec::new(),
            gone: Vec::new(),
            events: Vec::new(),
        };
        let no = match self.recognise(&found, &mut out) {
            Some(no) => no,
            None => self.mint(&found, &mut out),
        };
        out.device = no;
        let Some(mut device) = self.devices.remove(&no) else {
            return out;
        };
        device.unpack();
        let before = device.clone();
        let moved = device.address != found.address
            && (is_down(no) || device.record.snmp == "none" && found.snmp.is_some());
        if moved {
            device.address = found.address;
            device.record.address = found.address.to_string();
        }
        device.add_address(
            found.address,
            if found.by_person {
                "person"
            } else {
                "discovery"
            },
        );
        device.private.ping_worked |= found.ping == Some(true);
        if let Some(snmp) = found.snmp {
            device.learn(snmp, device.address == found.address || moved, &mut out);
        }
        device.record.at = found.at;
        if !out.new {
            out.events.extend(device.news_since(&before, found.at));
        }
        if out.new || device.differs_from(&before) {
            out.changed.push(no);
        }
        self.index(&device);
        let own: Vec<IpAddr> = device.own_addresses().collect();
        device.pack();
        self.devices.insert(no, device);
        self.absorb(no, &own, &mut out);
        out
    }

    /// Takes who is around a device; `true` when that changed.
    pub fn around(&mut self, no: DeviceNo, around: Around, at: Timestamp) -> bool {
        let Some(device) = self.devices.get_mut(&no) else {
            return false;
        };
        let mut neighbours = around.neighbours;
        neighbours.truncate(NEIGHBOURS_LIMIT);
        let interfaces = device.interfaces();
        for neighbour in &mut neighbours {
            let local = interfaces.iter().find(|interface| {
                interface.present
                    && !neighbour.local_port.is_empty()
                    && [&interface.name, &interface.descr, &interface.alias]
                        .contains(&&neighbour.local_port)
            });
            neighbour.local_instance = local.map_or(0, |interface| interface.instance);
        }
        if device.record.neighbours == neighbours {
            return false;
        }
        device.record.neighbours = neighbours;
        device.record.at = at;
        true
    }

    /// The interface table was read again between two inventories; `true` when anything in it changed.
    pub fn renumbered(
        &mut self,
        no: DeviceNo,
        matched: interfaces::Matched,
        changed: Option<u32>,
        at: Timestamp,
    ) -> bool {
        let Some(device) = self.devices.get_mut(&no) else {
            return false;
        };
        self.changes += 1;
        device.unpack();
        let before = device.clone();
        device.record.interfaces = matched.records;
        if *device.private.ports != *matched.ports {
            device.private.ports = matched.ports.into();
        }
        device.private.left_out = matched.left_out;
        device.private.table_changed = changed;
        device.fit();
        let differs = device.differs_from(&before);
        if differs {
            device.record.at = at;
        }
        device.pack();
        differs
    }

    /// What a poll of a device costs: told when it has changed by much.
    pub fn poll_cost(&mut self, no: DeviceNo, cost: (u32, u32, u32)) -> bool {
        let Some(device) = self.devices.get_mut(&no) else {
            return false;
        };
        let (requests, varbinds, _) = device.record.poll_cost;
        let far = |a: u32, b: u32| a.abs_diff(b) * 4 > a.max(b);
        if far(requests, cost.0) || far(varbinds, cost.1) {
            device.record.poll_cost = cost;
            return true;
        }
        false
    }

    /// The device is no longer watched: forgotten by a person, or out of the ranges.
    pub fn retire(&mut self, no: DeviceNo, at: Timestamp) -> bool {
        let Some(device) = self
            .devices
            .get_mut(&no)
            .filter(|device| !device.record.retired)
        else {
            return false;
        };
        self.changes += 1;
        device.record.retired = true;
        device.record.at = at;
        self.by_address.retain(|_, owner| *owner != no);
        true
    }

    /// Which known device this is.
    fn recognise(&mut self, found: &Found, out: &mut Observed) -> Option<DeviceNo> {
        let at_address = self.at(found.address).map(|device| device.no);
        let Some(snmp) = &found.snmp else {
            return at_address;
        };
        let evidence = Evidence::of_facts(&snmp.facts);
        if let Some(no) = at_address {
            let known = &self.devices[&no];
            let was = Evidence::of_record(&known.record);
            let here = known.address == found.address;
            let same = if here {
                was.still_at_its_address(&evidence)
            } else {
                !matches!(was.compare(&evidence), Verdict::Different(_))
            };
            if same {
                return Some(no);
            }
            self.by_address.remove(&found.address);
            if here {
                // Another device has taken its place.
                self.retire(no, found.at);
                out.retired.push(no);
                out.changed.push(no);
            }
        }
        self.iter()
            .filter(|device| evidence.touches(&device.record))
            .find(|device| {
                matches!(
                    Evidence::of_record(&device.record).compare(&evidence),
                    Verdict::Same(_)
                )
            })
            .map(|device| device.no)
    }

    fn mint(&mut self, found: &Found, out: &mut Observed) -> DeviceNo {
        self.last += 1;
        let no = DeviceNo(self.last);
        out.new = true;
        let name = found
            .snmp
            .as_ref()
            .map(|snmp| snmp.facts.sys_name.as_str())
            .filter(|name| !name.is_empty());
        let text = match name {
            Some(name) => format!("found {name} at {}", found.address),
            None => format!("found at {}", found.address),
        };
        out.events.push(news(
            no,
            EventKind::DeviceFound,
            Severity::Cleared,
            &text,
            found.at,
        ));
        let device = Device {
            no,
            address: found.address,
            record: DeviceRecord {
                device: no.0,
                at: found.at,
                address: found.address.to_string(),
                snmp: "none".to_owned(),
                ..DeviceRecord::default()
            },
            private: Private::default(),
            packed: Packed::default(),
        };
        self.devices.insert(no, device);
        no
    }

    /// Devices that were known by ping alone at addresses that now turn out to be this one's.
    fn absorb(&mut self, no: DeviceNo, own: &[IpAddr], out: &mut Observed) {
        for address in own {
            let Some(other) = self
                .by_address
                .get(address)
                .copied()
                .filter(|other| *other != no)
            else {
                self.by_address.insert(*address, no);
                continue;
            };
            let by_ping_alone = self
                .get(other)
                .is_some_and(|device| device.record.snmp == "none" && device.address == *address);
            if by_ping_alone {
                self.retire(other, out_at(&self.devices, no));
                out.retired.push(other);
                out.changed.push(other);
                self.by_address.insert(*address, no);
            }
        }
    }

    fn index(&mut self, device: &Device) {
        self.by_address.insert(device.address, device.no);
        for (address, source) in &device.record.addresses {
            if source != "own"
                && let Ok(address) = address.parse()
            {
                self.by_address.entry(address).or_insert(device.no);
            }
        }
        for address in device.own_addresses() {
            self.by_address.entry(address).or_insert(device.no);
        }
    }
}

fn out_at(devices: &BTreeMap<DeviceNo, Device>, no: DeviceNo) -> Timestamp {
    devices
        .get(&no)
        .map_or_else(Timestamp::default, |device| device.record.at)
}

impl Device {
    /// Its best name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.record.sys_name.is_empty() {
            &self.record.address
        } else {
            self.record.sys_name.as_str()
        }
    }

    /// Its interfaces, unpacked.
    #[must_use]
    pub fn interfaces(&self) -> Vec<InterfaceRecord> {
        self.packed.interfaces()
    }

    /// As Central knows it.
    #[must_use]
    pub fn whole(&self) -> DeviceRecord {
        DeviceRecord {
            interfaces: self.interfaces(),
            ..self.record.clone()
        }
    }

    fn pack(&mut self) {
        self.packed = Packed::of(std::mem::take(&mut self.record.interfaces));
    }

    fn unpack(&mut self) {
        self.record.interfaces = std::mem::take(&mut self.packed).interfaces();
    }

    /// Whether it is asked by SNMP.
    #[must_use]
    pub fn has_snmp(&self) -> bool {
        self.record.snmp != "none" && !self.record.snmp.is_empty()
    }

    /// The name of an interface, for people.
    #[must_use]
    pub fn interface_name(&self, instance: InstanceNo) -> String {
        let interfaces = self.interfaces();
        let record = interfaces
            .iter()
            .find(|interface| interface.instance == instance.0);
        match record {
            Some(record) if !record.name.is_empty() => record.name.as_str().to_owned(),
            Some(record) if !record.descr.is_empty() => record.descr.as_str().to_owned(),
            _ => format!("interface {instance}"),
        }
    }

    fn own_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.record
            .addresses
            .iter()
            .filter(|(_, source)| source == "own")
            .filter_map(|(address, _)| address.parse().ok())
    }

    fn add_address(&mut self, address: IpAddr, source: &str) {
        let text = address.to_string();
        let addresses = &mut self.record.addresses;
        let room = addresses.len() < ADDRESSES_LIMIT;
        match addresses.iter_mut().find(|(known, _)| *known == text) {
            Some((_, known)) if known == "own" => source.clone_into(known),
            Some(_) => {}
            None if room => addresses.push((text, source.to_owned())),
            None => {}
        }
    }

    /// Takes what it told of itself.
    fn learn(&mut self, snmp: FoundSnmp, polled_here: bool, out: &mut Observed) {
        let facts = snmp.facts;
        let record = &mut self.record;
        if polled_here || record.snmp == "none" {
            record.snmp_port = snmp.port;
            record.credential = snmp.credential;
            self.private.speaks_v3 |= snmp.version == "v3";
            record.snmp = snmp.version;
            record.snmp_security = snmp.security;
        }
        record.sys_name = facts.sys_name.clone();
        record.sys_descr = facts.sys_descr.clone();
        record.sys_object_id = facts
            .sys_object_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        record.sys_location = facts.sys_location.clone();
        record.sys_contact = facts.sys_contact.clone();
        let told = &facts.told;
        let registered = facts.sys_object_id.as_ref().and_then(builtin::enterprise);
        let vendor = said(&told.vendor, registered.unwrap_or_default());
        record.vendor = DeviceText::name(vendor.as_bytes());
        let os = match (told.os.as_str(), told.os_version.as_str()) {
            ("", _) => vendor::os(facts.sys_descr.as_str()),
            (os, "") => os.to_owned(),
            (os, version) => format!("{os} {version}"),
        };
        record.os = DeviceText::name(os.as_bytes());
        let guessed = vendor::role(
            facts.sys_descr.as_str(),
            vendor,
            facts.bridges,
            facts.routes,
        );
        said(&told.role, guessed).clone_into(&mut record.role);
        let (model, serial) = (
            said(&told.model, facts.model.as_str()),
            said(&told.serial, facts.serial.as_str()),
        );
        if facts.whole || !model.is_empty() {
            record.model = DeviceText::name(model.as_bytes());
        }
        if facts.whole || !serial.is_empty() {
            record.serial = DeviceText::name(serial.as_bytes());
        }
        if facts.whole || !facts.interfaces.is_empty() {
            let matched = interfaces::match_interfaces(&record.interfaces, &facts.interfaces);
            out.gone = matched
                .records
                .iter()
                .filter(|interface| !interface.present)
                .map(|interface| InstanceNo(interface.instance))
                .collect();
            record.interfaces = matched.records;
            if *self.private.ports != *matched.ports {
                self.private.ports = matched.ports.into();
            }
            self.private.left_out = matched.left_out;
            self.private.table_changed = facts.table_changed;
        }
        let interface_mac = || {
            record
                .interfaces
                .iter()
                .filter(|interface| interface.present)
                .map(|interface| interface.mac.as_str())
                .find(|mac| !mac.is_empty())
                .unwrap_or_default()
                .to_owned()
        };
        record.mac = if facts.chassis_mac.is_empty() {
            interface_mac()
        } else {
            facts.chassis_mac.clone()
        };
        for (kind, value) in [
            ("engine_id", facts.engine_id.as_str()),
            ("serial", facts.serial.as_str()),
            ("chassis_mac", facts.chassis_mac.as_str()),
            ("sys_name", facts.sys_name.as_str()),
        ] {
            let known = record.evidence.iter_mut().find(|(known, _)| known == kind);
            match known {
                Some((_, known)) if !value.is_empty() => *known = DeviceText::from(value),
                None if !value.is_empty() => {
                    record
                        .evidence
                        .push((kind.to_owned(), DeviceText::from(value)));
                }
                _ => {}
            }
        }
        let own: Vec<String> = facts.addresses.iter().map(ToString::to_string).collect();
        record
            .addresses
            .retain(|(address, source)| source != "own" || own.contains(address));
        for address in facts.addresses {
            self.add_address(address, "own");
        }
        self.fit();
    }

    /// Makes the record fit into one batch: what is gone goes first, then the last interfaces.
    fn fit(&mut self) {
        while farwatch_shared::wire::encode(&self.record).len() > RECORD_LIMIT_BYTES {
            let interfaces = &mut self.record.interfaces;
            let gone = interfaces.iter().rposition(|interface| !interface.present);
            match gone {
                Some(at) => drop(interfaces.remove(at)),
                None if interfaces.is_empty() => return,
                None => interfaces.truncate(interfaces.len() * 7 / 8),
            }
        }
        let kept: Vec<u32> = self
            .record
            .interfaces
            .iter()
            .map(|interface| interface.instance)
            .collect();
        if self
            .private
            .ports
            .iter()
            .any(|port| !kept.contains(&port.instance.0))
        {
            let before = self.private.ports.len();
            let ports = self.private.ports.iter().copied();
            self.private.ports = ports
                .filter(|port| kept.contains(&port.instance.0))
                .collect();
            let gone = before - self.private.ports.len();
            self.private.left_out += u32::try_from(gone).unwrap_or(u32::MAX);
        }
    }

    fn differs_from(&self, before: &Self) -> bool {
        let timeless = |device: &Self| DeviceRecord {
            at: Timestamp::default(),
            poll_cost: (0, 0, 0),
            ..device.record.clone()
        };
        self.private != before.private || timeless(self) != timeless(before)
    }

    /// What a person would want to know of a change.
    fn news_since(&self, before: &Self, at: Timestamp) -> Vec<EventRecord> {
        let (was, is) = (&before.record, &self.record);
        let mut told = Vec::new();
        let fields = [
            ("name", was.sys_name.as_str(), is.sys_name.as_str()),
            ("software", was.os.as_str(), is.os.as_str()),
            ("model", was.model.as_str(), is.model.as_str()),
            ("serial", was.serial.as_str(), is.serial.as_str()),
            ("address", &was.address, &is.address),
        ];
        for (field, was, is) in fields {
            if !was.is_empty() && !is.is_empty() && was != is {
                let text = format!("{field} changed from {was} to {is}");
                let mut event = news(
                    self.no,
                    EventKind::DeviceChanged,
                    Severity::Cleared,
                    &text,
                    at,
                );
                event.detail = vec![
                    ("field".to_owned(), DeviceText::from(field)),
                    ("before".to_owned(), DeviceText::from(was)),
                    ("after".to_owned(), DeviceText::from(is)),
                ];
                told.push(event);
            }
        }
        if !was.credential.is_empty() && was.credential != is.credential {
            let text = format!(
                "answers to credential {} now, not to {}",
                is.credential, was.credential
            );
            told.push(news(
                self.no,
                EventKind::CredentialChanged,
                Severity::Cleared,
                &text,
                at,
            ));
        }
        told
    }
}

/// What profiles say, else what is known without them.
fn said<'a>(told: &'a str, otherwise: &'a str) -> &'a str {
    if told.is_empty() { otherwise } else { told }
}

fn news(
    no: DeviceNo,
    kind: EventKind,
    severity: Severity,
    text: &str,
    at: Timestamp,
) -> EventRecord {
    EventRecord {
        at,
        kind: kind.code(),
        severity: severity.code(),
        device: no,
        instance: InstanceNo(0),
        state: NO_STATE,
        text: DeviceText::from(text),
        detail: Vec::new(),
    }
}

/// Addresses kept of one device.
const ADDRESSES_LIMIT: usize = 256;
/// A record is one batch: 64 KiB, with room for its envelope.
const RECORD_LIMIT_BYTES: usize = 60 * 1_024;

#[cfg(test)]
mod tests;
