//! Batches: the envelope that travels, and what events-lane batches hold.
//!
//! `Batch::kind` and `Batch::version` say what `body` is: [`EVENTS`], [`LAYOUTS`], [`DEVICES`], [`ADDRESSES`], [`READINGS`]
//! in the events lane, [`SAMPLES`] in the samples lane (see [`crate::wire::columns`]).

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::model::{DeviceNo, Epoch, InstanceNo, Layout};
use crate::text::DeviceText;
use crate::wire::Message;

/// Body is [`EventsBody`].
pub const EVENTS: u16 = 1;
/// Body is [`LayoutsBody`].
pub const LAYOUTS: u16 = 2;
/// Body is [`DevicesBody`].
pub const DEVICES: u16 = 3;
/// Body is [`AddressesBody`].
pub const ADDRESSES: u16 = 4;
/// Body is [`ReadingsBody`].
pub const READINGS: u16 = 5;
/// Body is a [`crate::model::SampleBatch`] in the form of [`crate::wire::columns`].
pub const SAMPLES: u16 = 16;

/// One batch, probe → Central, on the events, live or backlog stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The start that made it.
    pub epoch: Epoch,
    /// [`crate::model::Lane`] code.
    pub lane: u8,
    /// Its place in the lane, from 1.
    pub seq: u64,
    /// What the body is.
    pub kind: u16,
    /// Which version of it.
    pub version: u16,
    /// CRC-32 of the body.
    pub crc: u32,
    /// Boot of the machine in which it was made.
    pub boot_id: String,
    /// Boot-time clock when it was closed, ms.
    pub boot_ms: i64,
    /// The wall clock at that moment: all times in it are of this clock.
    pub closed: Timestamp,
    /// Earliest time in it, probe's wall clock.
    pub from: Timestamp,
    /// Latest time in it.
    pub to: Timestamp,
    /// At most 64 KiB.
    #[serde(with = "bytes_form")]
    pub body: Vec<u8>,
}
impl Message for Batch {
    const TYPE: u16 = 16;
    const VERSION: u16 = 1;
}

/// Seqs that were dropped unsent at the probe; travels on the events stream, repeated until the watermark passes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The start that made them.
    pub epoch: Epoch,
    /// [`crate::model::Lane`] code.
    pub lane: u8,
    /// First seq, inclusive.
    pub from_seq: u64,
    /// Last seq, inclusive.
    pub to_seq: u64,
    /// Earliest time in them.
    pub from: Timestamp,
    /// Latest time in them.
    pub to: Timestamp,
    /// [`crate::model::GapReason`] code: `spool_overflow`, `disk_full`, `quarantined` or `too_old`.
    pub reason: u8,
}
impl Message for Dropped {
    const TYPE: u16 = 17;
    const VERSION: u16 = 1;
}

/// Body of an [`EVENTS`] batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsBody {
    /// In the order they happened.
    pub events: Vec<EventRecord>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// When, probe's wall clock.
    pub at: Timestamp,
    /// [`crate::model::EventKind`] code.
    pub kind: u16,
    /// [`crate::model::Severity`] code.
    pub severity: u8,
    /// To which device; 0 = the probe itself.
    pub device: DeviceNo,
    /// To which instance; 0 = the device itself.
    pub instance: InstanceNo,
    /// A device state after it ([`crate::model::DeviceState`] code), or 255.
    pub state: u8,
    /// One sentence fragment without the device's name: "no answer to 4 pings".
    pub text: DeviceText,
    /// Measured values, by field name.
    pub detail: Vec<(String, DeviceText)>,
}

/// Body of a [`LAYOUTS`] batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutsBody {
    /// The epoch that the layouts' numbers belong to.
    pub epoch: u64,
    /// Each with its hash ([`layout_hash`]).
    pub layouts: Vec<(Layout, u64)>,
}

/// Tells two layouts of one number apart: the first 8 bytes of SHA-256 over the encoded layout.
#[must_use]
pub fn layout_hash(layout: &Layout) -> u64 {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(crate::wire::encode(layout));
    u64::from_le_bytes(
        digest[..8]
            .try_into()
            .expect("a digest has more than eight bytes"),
    )
}

/// Body of a [`DEVICES`] batch: what is known of devices, sent when first known and when it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicesBody {
    /// Whole records: each replaces the one before.
    pub devices: Vec<DeviceRecord>,
}

/// What a probe knows of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)] // Central keeps it as JSON: what an older one lacks is empty, not unreadable
pub struct DeviceRecord {
    /// Its number here.
    pub device: u32,
    /// When this was found out.
    pub at: Timestamp,
    /// The address that is polled.
    pub address: String,
    /// SNMP port.
    pub snmp_port: u16,
    /// Every address known: (address, where from).
    pub addresses: Vec<(String, String)>,
    /// `none`, `v1`, `v2c`, `v3`.
    pub snmp: String,
    /// For v3: level and protocols in words; else empty.
    pub snmp_security: String,
    /// Name of the credential that works.
    pub credential: String,
    /// RFC 3418 system group.
    pub sys_name: DeviceText,
    /// As the device says it.
    pub sys_descr: DeviceText,
    /// Dotted.
    pub sys_object_id: String,
    /// As the device says it.
    pub sys_location: DeviceText,
    /// As the device says it.
    pub sys_contact: DeviceText,
    /// Known vendor, or empty.
    pub vendor: DeviceText,
    /// Known model, or empty.
    pub model: DeviceText,
    /// Operating system and version, or empty.
    pub os: DeviceText,
    /// Chassis serial, or empty.
    pub serial: DeviceText,
    /// Chassis MAC, `aa:bb:cc:dd:ee:ff`, or empty.
    pub mac: String,
    /// `switch`, `router`, …, or empty.
    pub role: String,
    /// Name by reverse look-up, or empty.
    pub dns_name: DeviceText,
    /// Evidence of identity: (kind, value); kinds `engine_id`, `serial`, `chassis_mac`, `address`, `sys_name`.
    pub evidence: Vec<(String, DeviceText)>,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceRecord>,
    /// LLDP and CDP neighbours.
    pub neighbours: Vec<NeighbourRecord>,
    /// Cost of one poll: requests, varbinds, ms.
    pub poll_cost: (u32, u32, u32),
    /// True when a person forgot it or it left the ranges: no longer watched.
    pub retired: bool,
}

/// What a probe knows of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)] // Central keeps it as JSON: what an older one lacks is empty, not unreadable
pub struct InterfaceRecord {
    /// Its number at this device.
    pub instance: u32,
    /// ifIndex today.
    pub if_index: u32,
    /// `ifName`.
    pub name: DeviceText,
    /// `ifDescr`.
    pub descr: DeviceText,
    /// `ifAlias`.
    pub alias: DeviceText,
    /// `aa:bb:cc:dd:ee:ff`, or empty.
    pub mac: String,
    /// `ifType` (`IANAifType`).
    pub if_type: u32,
    /// Bits a second; 0 = not known.
    pub speed_bps: u64,
    /// False once it is gone from the device.
    pub present: bool,
}

/// A neighbour by LLDP or CDP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)] // Central keeps it as JSON: what an older one lacks is empty, not unreadable
pub struct NeighbourRecord {
    /// `lldp` or `cdp`.
    pub protocol: String,
    /// Our port's name.
    pub local_port: DeviceText,
    /// Our port's instance; 0 = not known.
    pub local_instance: u32,
    /// Its system name.
    pub remote_name: DeviceText,
    /// Its port.
    pub remote_port: DeviceText,
    /// Its chassis id, MAC in colon form where it is one.
    pub remote_chassis: DeviceText,
    /// Its management address, or empty.
    pub remote_address: String,
}

/// Body of an [`ADDRESSES`] batch: what discovery found out about addresses, device or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressesBody {
    /// Whole records: each replaces the one before for its address.
    pub addresses: Vec<AddressRecord>,
}

/// What discovery knows of one address that ever answered or was named by a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRecord {
    /// The address.
    pub address: String,
    /// The device it belongs to; 0 = none.
    pub device: u32,
    /// `answered`, `silent`, `not_judged`.
    pub icmp: String,
    /// `answered`, `no_answer`, `not_tried`, `refused`.
    pub snmp: String,
    /// Last attempt per credential: (credential name, port, outcome, when).
    pub attempts: Vec<(String, u16, String, Timestamp)>,
    /// One sentence: why it is (not) a device, or speaks no SNMP.
    pub reason: String,
    /// When it last answered anything; 0 = never.
    pub last_seen: Timestamp,
}

/// Body of a [`READINGS`] batch: what devices measure, beside their interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadingsBody {
    /// Whole records: each replaces the one before for its device.
    pub devices: Vec<ReadingsRecord>,
}

/// What one device measures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)] // Central keeps it as JSON: what an older one lacks is empty, not unreadable
pub struct ReadingsRecord {
    /// Its number at the probe.
    pub device: u32,
    /// When this was found out.
    pub at: Timestamp,
    /// In the order of their names.
    pub readings: Vec<ReadingRecord>,
    /// More than these, which are not read.
    pub left_out: u32,
}

/// A sensor, a disk or memory, or a processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)] // Central keeps it as JSON: what an older one lacks is empty, not unreadable
pub struct ReadingRecord {
    /// Its number at this device: the same for the same object, whoever reads it.
    pub instance: u32,
    /// `sensor`, `storage`, `processor`.
    pub class: String,
    /// What a sensor measures (`temperature`), what holds data (`memory`); empty for a processor.
    pub kind: String,
    /// For people.
    pub name: DeviceText,
    /// Unit of a sensor's value; empty where it has none.
    pub unit: String,
    /// Metrics that its values are found under: of a sensor its kind and `status`; `storageUsed`, `storageSize`,
    /// `storageUsedRatio`; `processorLoad`.
    pub metrics: Vec<String>,
    /// The object that is read, dotted.
    pub oid: String,
}

/// Bytes as bytes, not as a sequence of numbers.
mod bytes_form {
    use serde::{Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Self::Value, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}
