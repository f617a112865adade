//! The session on the events stream: hello and its answer, snapshot, status, acks, notices.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::model::{DeviceNo, Epoch, InstanceNo, LayoutNo};
use crate::wire::Message;

/// What a probe still has of one lane of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneHeld {
    /// Which start.
    pub epoch: Epoch,
    /// [`crate::model::Lane`] code.
    pub lane: u8,
    /// The lowest seq still in the spool (acknowledged or not); `next_seq` when nothing is.
    pub first_seq: u64,
    /// The seq that the next batch will get (for an old epoch: one past its last).
    pub next_seq: u64,
}

/// First frame of a session, probe → Central, on the events stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The versions of the session that this probe speaks, best first.
    pub versions: Vec<u16>,
    /// The program, e.g. `farwatch-probe 0.1.0`.
    pub program: String,
    /// The machine's name.
    pub host_name: String,
    /// Operating system and architecture.
    pub os: String,
    /// The running epoch.
    pub epoch: Epoch,
    /// The lease last fsynced here; 0 before the first.
    pub lease: u64,
    /// This boot of the machine.
    pub boot_id: String,
    /// Wall clock at sending.
    pub now: Timestamp,
    /// Boot-time clock at sending, ms.
    pub boot_ms: i64,
    /// What the spool holds, every retained epoch and lane.
    pub held: Vec<LaneHeld>,
    /// The highest device number ever minted here; 0 with an empty inventory.
    pub highest_device_no: u32,
}
impl Message for Hello {
    const TYPE: u16 = 1;
    const VERSION: u16 = 1;
}

/// What Central has committed of one lane of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneCommitted {
    /// Which start.
    pub epoch: Epoch,
    /// [`crate::model::Lane`] code.
    pub lane: u8,
    /// Every seq up to and including this one is done.
    pub watermark: u64,
    /// Done ranges above it, inclusive, ascending, at most 1,024.
    pub ranges: Vec<(u64, u64)>,
}

/// Central's answer to [`Hello`]. The session counts only from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// The version both speak; 0 = none, and the session is refused.
    pub version: u16,
    /// Empty when accepted; else `clone`, `busy`, `revoked`, `version`.
    pub refused: String,
    /// When refused: do not dial again before this many ms.
    pub retry_after_ms: u32,
    /// The lease of this session; the probe fsyncs it before its first push.
    pub lease: u64,
    /// The probe was rolled back or cloned (its lease was lower): it must start a new epoch before it makes another batch.
    pub new_epoch: bool,
    /// Central was restored from a backup (the probe's lease was higher).
    pub restored: bool,
    /// Central's wall clock at sending.
    pub now: Timestamp,
    /// What is committed, for lanes of `Hello::held` (in that order, as many as the frame has room for; one left out is
    /// not touched in this session; one of which nothing is known has watermark 0) and for the newest epoch known.
    pub committed: Vec<LaneCommitted>,
    /// Layouts that committed but undecoded batches name.
    pub want_layouts: Vec<WantedLayout>,
    /// Until when the samples of this probe are committed without a hole; 0 before the first. A probe whose store is younger starts its `probe_off` gap here.
    pub newest_committed: Timestamp,
    /// The highest device number that Central knows of this probe; a probe never mints one at or below it.
    pub highest_device_no: u32,
    /// Newest revision of the site's configuration, credentials included.
    pub config_revision: u64,
    /// Newest revision of the list of Central's addresses.
    pub addresses_revision: u64,
}
impl Message for HelloAnswer {
    const TYPE: u16 = 2;
    const VERSION: u16 = 1;
}

/// A layout that Central lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WantedLayout {
    /// Which start.
    pub epoch: Epoch,
    /// Which one.
    pub layout: LayoutNo,
}

/// State of one device now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNow {
    /// Which device.
    pub device: DeviceNo,
    /// [`crate::model::DeviceState`] code.
    pub state: u8,
    /// Since when, probe's clock.
    pub since: Timestamp,
    /// Why, in a few words.
    pub reason: String,
    /// The device (its number) that stands before it and is down; 0 = none.
    pub behind: DeviceNo,
    /// `sysUpTime` in ms at `since` of the newest reading; -1 when not known.
    pub uptime_ms: i64,
    /// When it last answered ping; 0 = never.
    pub last_ping: Timestamp,
    /// When it last answered SNMP; 0 = never.
    pub last_snmp: Timestamp,
}

/// State of one interface now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceNow {
    /// Whose.
    pub device: DeviceNo,
    /// Which.
    pub instance: InstanceNo,
    /// `ifAdminStatus` (RFC 2863); 0 = not known.
    pub admin: u8,
    /// `ifOperStatus`; 0 = not known.
    pub oper: u8,
    /// Since when.
    pub since: Timestamp,
}

/// A part of all current states, from memory; ≤ 64 KiB each. Applied when every part has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPart {
    /// The lease that the probe has fsynced.
    pub lease: u64,
    /// From 0.
    pub part: u32,
    /// How many there are.
    pub parts: u32,
    /// The running epoch.
    pub epoch: Epoch,
    /// Batches of this epoch with a lower seq are history: they never page and never overwrite a state.
    pub events_from_seq: u64,
    /// The same for samples.
    pub samples_from_seq: u64,
    /// Probe's clock.
    pub at: Timestamp,
    /// Devices.
    pub devices: Vec<DeviceNow>,
    /// Interfaces.
    pub interfaces: Vec<InterfaceNow>,
}
impl Message for SnapshotPart {
    const TYPE: u16 = 3;
    const VERSION: u16 = 1;
}

/// How the probe is, every 5 s on the events stream; not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Wall clock at sending.
    pub now: Timestamp,
    /// Boot-time clock at sending, ms.
    pub boot_ms: i64,
    /// Unacknowledged batches.
    pub spool_batches: u64,
    /// Bytes of the spool file.
    pub spool_bytes: u64,
    /// Bytes it may grow to.
    pub spool_limit_bytes: u64,
    /// Time of the oldest unacknowledged batch; 0 = none.
    pub oldest_unacked: Timestamp,
    /// Seconds until the spool is full at the present rate; -1 = not in sight.
    pub time_left_s: i64,
    /// How long acknowledged data is kept at present, seconds.
    pub replay_window_s: u64,
    /// When the certificate ends.
    pub certificate_not_after: Timestamp,
    /// When it will be renewed.
    pub certificate_renew_after: Timestamp,
    /// Configuration that is applied.
    pub config_revision: u64,
    /// Devices watched.
    pub devices: u32,
    /// Polls finished since start.
    pub polls_total: u64,
    /// Polls that did not finish in time, since start.
    pub polls_overran_total: u64,
    /// Resident memory of the process.
    pub rss_bytes: u64,
    /// What a person should know of this probe, in sentences; empty when all is well.
    pub notices: Vec<String>,
    /// State of discovery: `idle`, `sweeping`, `identifying`.
    pub discovery_state: String,
    /// The range being swept, or empty.
    pub discovery_range: String,
    /// Addresses asked in this round.
    pub discovery_swept: u64,
    /// Addresses of this round.
    pub discovery_to_sweep: u64,
    /// Addresses that answered in this round.
    pub discovery_answered: u64,
    /// Devices identified in this round.
    pub discovery_identified: u64,
    /// Start of this round; 0 = none yet.
    pub discovery_started: Timestamp,
    /// End of the last round; 0 = none yet.
    pub discovery_finished: Timestamp,
}
impl Message for Status {
    const TYPE: u16 = 4;
    const VERSION: u16 = 1;
}

/// What is committed now; Central → probe, on the stream whose batches it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The lane's state after the commit.
    pub committed: LaneCommitted,
    /// Seqs of the batches that this ack decides: of this lane and epoch, arrived on this stream, none before answered.
    /// In `conflicts`: other content. In `committed`: done. In neither: no room for its range, to be sent again later.
    pub decided: Vec<u64>,
    /// Seqs of this lane and epoch that Central already has with another content (crc): the probe gives these batches a new key in its running epoch.
    pub conflicts: Vec<u64>,
    /// Layouts that Central lacks.
    pub want_layouts: Vec<WantedLayout>,
    /// Newest revision of the site's configuration.
    pub config_revision: u64,
    /// Newest revision of the list of Central's addresses.
    pub addresses_revision: u64,
}
impl Message for Ack {
    const TYPE: u16 = 5;
    const VERSION: u16 = 1;
}

/// Something new is to be pulled, or the session is about to end; Central → probe, on the events stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Newest revision of the site's configuration.
    pub config_revision: u64,
    /// Newest revision of the list of Central's addresses.
    pub addresses_revision: u64,
    /// Start discovery now.
    pub discover_now: bool,
    /// Addresses that a person asked to add as devices (site's ranges apply).
    pub add_addresses: Vec<String>,
    /// Device numbers that a person asked to forget.
    pub forget_devices: Vec<DeviceNo>,
}
impl Message for Notice {
    const TYPE: u16 = 6;
    const VERSION: u16 = 1;
}

/// `StreamOpen::kind`: samples made since the session's snapshot.
pub const LIVE: u8 = 2;
/// `StreamOpen::kind`: batches older than the session, oldest first.
pub const BACKLOG: u8 = 3;

/// First frame of a stream of batches that is not the events stream; probe → Central.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamOpen {
    /// [`LIVE`] or [`BACKLOG`].
    pub kind: u8,
}
impl Message for StreamOpen {
    const TYPE: u16 = 7;
    const VERSION: u16 = 1;
}
