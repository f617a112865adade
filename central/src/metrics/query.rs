//! What can be asked of the metrics store, and its answers.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{AnchorKind, DeviceNo, GapReason, InstanceNo, MetricKind};
use farwatch_shared::wire::message::session::{LaneCommitted, WantedLayout};

/// One device as one probe numbers it. Callers map `DeviceId` to its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Which probe.
    pub probe: ProbeId,
    /// Its number there.
    pub device: DeviceNo,
}

/// A stretch of time of some series.
#[derive(Clone, Debug)]
pub struct RangeQuery {
    /// Whose series.
    pub sources: Vec<Source>,
    /// Names of metrics (`ifHCInOctets`).
    pub metrics: Vec<String>,
    /// Only these instances of these sources; `None` is all.
    pub instances: Option<Vec<(Source, InstanceNo)>>,
    /// From, inclusive.
    pub from: Timestamp,
    /// Until, exclusive.
    pub to: Timestamp,
    /// Seconds between two points; `None` chooses one that gives at most 600.
    pub step_s: Option<u32>,
    /// Also give counters' increases and anchors as they came.
    pub raw: bool,
}

/// What points were made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Samples.
    Raw,
    /// Roll-ups of five minutes.
    FiveMinutes,
    /// Roll-ups of an hour.
    Hour,
}

impl Resolution {
    /// The word of the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::FiveMinutes => "5min",
            Self::Hour => "1h",
        }
    }
}

/// The answer to a [`RangeQuery`].
#[derive(Clone, Debug)]
pub struct Range {
    /// Seconds between two points.
    pub step_s: u32,
    /// What they were made from.
    pub resolution: Resolution,
    /// Ordered by source, metric, instance. A series that exists without a point in the range has only gaps.
    pub series: Vec<Series>,
}

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Whose.
    pub source: Source,
    /// Which metric.
    pub metric: String,
    /// Of which instance; 0 is the device itself.
    pub instance: InstanceNo,
    /// What kind of values.
    pub kind: MetricKind,
    /// Unit of the points: the metric's, per second for a counter (`octets/s`).
    pub unit: String,
    /// Ascending in time. No line is to be drawn across a gap.
    pub points: Vec<Point>,
    /// Known to be missing, ascending; overlapping ranges of one reason are one.
    pub gaps: Vec<GapSpan>,
    /// Counters as they came, when asked for.
    pub increases: Vec<Increase>,
    /// Counters' raw values, when asked for.
    pub anchors: Vec<AnchorValue>,
}

/// One point of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Start of its step, ms since 1970; for single samples the slot.
    pub at_ms: i64,
    /// Mean over the covered time of the step; a counter's is a rate per second.
    pub mean: f64,
    /// Smallest in the step.
    pub min: f64,
    /// Greatest in the step.
    pub max: f64,
}

/// A time that is known to be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GapSpan {
    /// From, inclusive.
    pub from: Timestamp,
    /// Until, exclusive.
    pub to: Timestamp,
    /// Why.
    pub reason: GapReason,
}

/// A counter's growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Increase {
    /// When it was read, ms since 1970.
    pub at_ms: i64,
    /// The time before it that the increase covers, ms.
    pub span_ms: u32,
    /// How much.
    pub increase: i64,
}

/// A counter's raw value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnchorValue {
    /// When it was read, ms since 1970.
    pub at_ms: i64,
    /// The counter.
    pub raw: u64,
    /// Why it was sent.
    pub kind: AnchorKind,
}

/// The newest value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct LastValue {
    /// Which metric.
    pub metric: String,
    /// Of which instance.
    pub instance: InstanceNo,
    /// What kind.
    pub kind: MetricKind,
    /// Unit of `value`.
    pub unit: String,
    /// The value; a counter's is its last rate per second.
    pub value: f64,
    /// When it was read.
    pub at: Timestamp,
}

/// One of the greatest.
#[derive(Clone, Debug, PartialEq)]
pub struct TopItem {
    /// Whose.
    pub source: Source,
    /// Of which instance.
    pub instance: InstanceNo,
    /// The value; a counter's is its last rate per second.
    pub value: f64,
    /// What the items are ordered by: `value`, unless the caller scored it.
    pub score: f64,
    /// Unit of `value`.
    pub unit: String,
    /// When it was read.
    pub at: Timestamp,
}

/// How counters' anchors agree with the sums of their increases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnchorCounts {
    /// Pairs of anchors that were compared.
    pub checked: u64,
    /// Pairs that did not agree.
    pub mismatched: u64,
    /// When the last pair was compared.
    pub last_checked: Option<Timestamp>,
}

/// What Central has of one probe's samples.
#[derive(Clone, Debug, Default)]
pub struct LedgerReport {
    /// One per epoch.
    pub lanes: Vec<LaneReport>,
    /// Layouts known of this probe.
    pub layouts: u64,
    /// Of all its devices.
    pub anchors: AnchorCounts,
}

/// What Central has of one epoch of one lane.
#[derive(Clone, Debug)]
pub struct LaneReport {
    /// Watermark and ranges.
    pub committed: LaneCommitted,
    /// Batches committed.
    pub batches: u64,
    /// Samples in the decoded ones.
    pub samples: u64,
    /// Batches whose layout has not come.
    pub undecoded: u64,
    /// Batches set aside.
    pub quarantined: u64,
    /// Seqs that the probe dropped and Central never had.
    pub dropped: Vec<DroppedRange>,
}

/// Seqs that never came, because the probe had no room for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DroppedRange {
    /// First seq.
    pub from_seq: u64,
    /// Last seq.
    pub to_seq: u64,
    /// Earliest time in them.
    pub from: Timestamp,
    /// Latest time in them.
    pub to: Timestamp,
    /// Why.
    pub reason: GapReason,
}

/// The store in a few numbers.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Samples shown.
    pub samples: u64,
    /// Batches committed.
    pub batches: u64,
    /// Batches whose layout has not come.
    pub undecoded: u64,
    /// Batches set aside.
    pub quarantined: u64,
    /// Gap records by reason.
    pub gaps: Vec<(GapReason, u64)>,
    /// Of all probes.
    pub anchors: AnchorCounts,
}

/// What became of batches; to be acknowledged only now.
#[derive(Clone, Debug, Default)]
pub struct CommitOutcome {
    /// Each epoch's state after the commit, for the acks.
    pub committed: Vec<LaneCommitted>,
    /// Batches (epoch, seq) that are here with another content.
    pub conflicts: Vec<(farwatch_shared::model::Epoch, u64)>,
    /// Layouts that are missing.
    pub want_layouts: Vec<WantedLayout>,
    /// Samples that were new.
    pub samples: u64,
    /// Devices with new samples, for the live view.
    pub devices: Vec<DeviceNo>,
    /// The newest slot among them.
    pub newest: Option<Timestamp>,
}
