//! The nouns of delivery: epochs, lanes, layouts, scrapes, gaps, events, states.
//!
//! Wire structs carry small integers (no enum travels); the enums here read them and keep what they do not know.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// One process start of one probe: start counter in the upper 32 bits, random below.
///
/// Greater means started later, as long as the probe's store was not rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of the `start`-th start, told apart from a clone's by `random`.
    #[must_use]
    pub const fn new(start: u32, random: u32) -> Self {
        Self((start as u64) << 32 | random as u64)
    }

    /// Which start of the probe this is.
    #[must_use]
    pub const fn start(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl rusqlite::ToSql for Epoch {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(self.0.cast_signed().into())
    }
}

impl rusqlite::types::FromSql for Epoch {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        i64::column_result(value).map(|n| Self(n.cast_unsigned()))
    }
}

macro_rules! code {
    ($(#[$doc:meta])* $name:ident : $repr:ty { $($(#[$vdoc:meta])* $variant:ident = $code:literal => $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant = $code),* }

        impl $name {
            /// Every one there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The number that travels and is stored.
            #[must_use]
            pub const fn code(self) -> $repr {
                self as $repr
            }

            /// From the number that travels; `None` is one from a later version.
            #[must_use]
            pub const fn from_code(code: $repr) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The word of the API and of logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// From the word of the API.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

code! {
    /// A numbered sequence inside an epoch. Events go first and are dropped last.
    Lane: u8 {
        /// Events, layouts, device records, outcomes.
        Events = 0 => "events",
        /// Scrapes, anchors and gaps.
        Samples = 1 => "samples",
    }
}

code! {
    /// State of a device, worst first. The console's word for `Unknown` is "Stale".
    DeviceState: u8 {
        /// Every means that ever worked failed, after the retries.
        Down = 0 => "down",
        /// Answers, outside its limits; or ICMP fails while SNMP answers.
        Degraded = 1 => "degraded",
        /// Nobody could ask, because its parent is down.
        Unreachable = 2 => "unreachable",
        /// The probe is silent, or the data old.
        Unknown = 3 => "unknown",
        /// Muted by a person.
        Maintenance = 4 => "maintenance",
        /// ICMP or SNMP answers.
        Up = 5 => "up",
    }
}

code! {
    /// RFC 8632 perceived severity.
    Severity: u8 {
        /// Service is affected, act now.
        Critical = 0 => "critical",
        /// Service is affected.
        Major = 1 => "major",
        /// Not yet affected, act.
        Minor = 2 => "minor",
        /// A coming fault.
        Warning = 3 => "warning",
        /// It is over, or it was only news.
        Cleared = 4 => "cleared",
    }
}

code! {
    /// Why samples are known to be missing.
    GapReason: u8 {
        /// The probe was not running.
        ProbeOff = 1 => "probe_off",
        /// The probe was starting again.
        ProbeRestart = 2 => "probe_restart",
        /// The spool was full and its oldest unsent data made room.
        SpoolOverflow = 3 => "spool_overflow",
        /// The disk was full.
        DiskFull = 4 => "disk_full",
        /// The device was asked and did not answer.
        NoResponse = 5 => "no_response",
        /// The device answered some of what was asked.
        Partial = 6 => "partial",
        /// The poll did not finish, or could not start, within its interval.
        Overran = 7 => "overran",
        /// The probe or the site may not ask that.
        NotPermitted = 8 => "not_permitted",
        /// The batch could not be read and was set aside.
        Quarantined = 9 => "quarantined",
        /// Older than what is kept.
        TooOld = 10 => "too_old",
    }
}

code! {
    /// What a column holds.
    MetricKind: u8 {
        /// Increase since the last durable reading.
        Counter = 0 => "counter",
        /// The value itself.
        Gauge = 1 => "gauge",
        /// A small integer with a meaning (`ifOperStatus`).
        State = 2 => "state",
    }
}

code! {
    /// Which poll of a device a layout belongs to; each has its own interval.
    PollGroup: u8 {
        /// ICMP round: `rtt`, `loss_ratio`.
        Ping = 0 => "ping",
        /// States and counters.
        Poll = 1 => "poll",
        /// Sensors, storage, processors, and what asking the device cost.
        Readings = 2 => "readings",
    }
}

code! {
    /// Why a counter's raw value was sent.
    AnchorKind: u8 {
        /// First reading after a start, or of a new series.
        Start = 0 => "start",
        /// First reading after the device reset the counter.
        Reset = 1 => "reset",
        /// The hourly proof: equal to the anchor before plus all increases between, modulo the counter's width.
        Hourly = 2 => "hourly",
    }
}

code! {
    /// What happened.
    EventKind: u16 {
        /// A device was found by discovery.
        DeviceFound = 1 => "device_found",
        /// A device answers again.
        DeviceUp = 2 => "device_up",
        /// A device stopped answering.
        DeviceDown = 3 => "device_down",
        /// A device answers outside its limits.
        DeviceDegraded = 4 => "device_degraded",
        /// A device's parent is down.
        DeviceUnreachable = 5 => "device_unreachable",
        /// `sysUpTime` (or the engine's boots) says the device started again.
        DeviceRebooted = 6 => "device_rebooted",
        /// Name, software or serial changed.
        DeviceChanged = 7 => "device_changed",
        /// `ifOperStatus` left `up`.
        InterfaceDown = 8 => "interface_down",
        /// `ifOperStatus` is `up` again.
        InterfaceUp = 9 => "interface_up",
        /// A credential stopped or started working.
        CredentialChanged = 10 => "credential_changed",
        /// The probe says something about itself.
        ProbeNotice = 11 => "probe_notice",
        /// The probe's process started.
        ProbeStarted = 12 => "probe_started",
        /// More state changes than are worth a page.
        DeviceFlapping = 13 => "device_flapping",
        /// A device may not be asked any more: it left the site's ranges.
        DeviceUnwatched = 14 => "device_unwatched",
    }
}

/// A device's number at one probe; minted by the probe, never reused. 0 is the probe itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceNo(pub u32);

/// An instance's number (an interface) at one device of one probe; 0 is the device itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceNo(pub u32);

/// A layout's number inside an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayoutNo(pub u32);

macro_rules! number_in_sql {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl rusqlite::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                Ok(i64::from(self.0).into())
            }
        }
        impl rusqlite::types::FromSql for $name {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                u32::column_result(value).map(Self)
            }
        }
    )*};
}
number_in_sql!(DeviceNo, InstanceNo, LayoutNo);

/// The key of a batch at one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchKey {
    /// The start that made it.
    pub epoch: Epoch,
    /// Its sequence.
    pub lane: Lane,
    /// Its place, from 1, without holes.
    pub seq: u64,
}

impl fmt::Display for BatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.epoch, self.lane, self.seq)
    }
}

/// What a layout says of one metric.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Metric {
    /// The MIB symbol (`ifHCInOctets`), or ours (`rtt`, `loss_ratio`).
    pub name: String,
    /// [`MetricKind`] code.
    pub kind: u8,
    /// A value is `integer × 10^scale` in `unit`; 0 for counters and states.
    pub scale: i8,
    /// Bits of the counter (32 or 64); 0 when not a counter.
    pub width: u8,
    /// Unit of the value: `ms`, `ratio`, `octets`, `packets`, `s`, or empty.
    pub unit: String,
}

/// One column: which metric of which instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    /// Index into the layout's `metrics`.
    pub metric: u16,
    /// Whose value it is.
    pub instance: InstanceNo,
}

/// The columns of one poll of one device, named once per epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Layout {
    /// Its number in the epoch.
    pub no: LayoutNo,
    /// Whose values these are.
    pub device: DeviceNo,
    /// [`PollGroup`] code.
    pub group: u8,
    /// Seconds between two slots.
    pub interval_s: u32,
    /// Slots fall where `unix seconds mod interval_s == phase_s`.
    pub phase_s: u32,
    /// The first slot it describes, unix seconds.
    pub valid_from_s: i64,
    /// The metrics that columns point at.
    pub metrics: Vec<Metric>,
    /// In the order of a scrape's values.
    pub columns: Vec<Column>,
}

/// One poll of one device, as it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrape {
    /// Which columns.
    pub layout: LayoutNo,
    /// The slot it belongs to, unix seconds of the probe's clock.
    pub slot_s: i64,
    /// When the answer was really read, in ms after the slot.
    pub offset_ms: i32,
    /// Milliseconds since the last durable reading, which counters' increases cover; 0 where there was none.
    pub span_ms: u32,
    /// One per column; `None` is missing and covered by a [`GapRun`] with reason `partial` (or an anchor, for a counter's first reading).
    pub values: Vec<Option<i64>>,
    /// Columns whose increase covers another span: (column, `span_ms`).
    pub spans: Vec<(u16, u32)>,
}

/// A counter's raw value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Which layout.
    pub layout: LayoutNo,
    /// Which column.
    pub column: u16,
    /// [`AnchorKind`] code.
    pub kind: u8,
    /// Slot of the reading, unix seconds.
    pub slot_s: i64,
    /// The raw counter.
    pub raw: u64,
}

/// Slots of one layout known to be missing, run-length coded. The probe alone authors these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapRun {
    /// Which layout.
    pub layout: LayoutNo,
    /// First missing slot, unix seconds.
    pub first_slot_s: i64,
    /// How many slots, each `interval_s` after the one before; at least 1.
    pub slots: u32,
    /// [`GapReason`] code.
    pub reason: u8,
    /// Which columns (bit i of byte i/8); empty means all.
    pub columns: Vec<u8>,
}

/// A time in which nothing of this probe was sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeGap {
    /// From, inclusive, probe's wall clock.
    pub from: Timestamp,
    /// Until, exclusive.
    pub to: Timestamp,
    /// [`GapReason`] code.
    pub reason: u8,
}

/// Everything one samples batch says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleBatch {
    /// Polls, in the order they finished.
    pub scrapes: Vec<Scrape>,
    /// Raw counters.
    pub anchors: Vec<Anchor>,
    /// Missing slots of layouts.
    pub gaps: Vec<GapRun>,
    /// Missing time of the whole probe.
    pub probe_gaps: Vec<ProbeGap>,
}

impl SampleBatch {
    /// How many samples: present values of all scrapes.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.scrapes
            .iter()
            .map(|scrape| scrape.values.iter().flatten().count())
            .sum()
    }
}
