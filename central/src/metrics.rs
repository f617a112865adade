//! Samples: committed raw with their ledger, sealed by the hour, and answered from both.

pub mod query;

use std::path::Path;

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{DeviceNo, InstanceNo};
use farwatch_shared::wire::message::batch::{Batch, Dropped, LayoutsBody};
use farwatch_shared::wire::message::session::{LaneCommitted, WantedLayout};
use tokio_util::sync::CancellationToken;

use crate::scope::ProbeScope;
use query::{
    AnchorCounts, CommitOutcome, GapSpan, LastValue, LedgerReport, Range, RangeQuery, Source,
    Summary, TopItem,
};

/// How a probe's wall clock is brought to ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockCorrection {
    /// Added to the probe's times, ms; 0 within the tolerance.
    pub offset_ms: i64,
    /// The offset was measured in another boot of the probe's machine.
    pub approximate: bool,
}

/// How long what is kept, and when it is sealed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Days that samples are kept.
    pub raw_days: u32,
    /// Days that roll-ups of 5 minutes are kept.
    pub five_minutes_days: u32,
    /// Days that roll-ups of an hour are kept.
    pub hour_days: u32,
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// SQLite says no; nothing of the request was kept.
    #[error("the metrics store refused it")]
    Sqlite(#[from] farwatch_shared::sqlite::SqliteError),
    /// A query within a reader.
    #[error("the metrics store could not be read")]
    Read(#[from] rusqlite::Error),
    /// The file system says no.
    #[error("the metrics store's files could not be reached")]
    Io(#[from] std::io::Error),
}

/// The handle of the store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {}

#[expect(
    unused_variables,
    clippy::unused_async,
    clippy::needless_pass_by_value,
    clippy::allow_attributes_without_reason,
    reason = "signatures first; bodies follow within the hour"
)]
impl Metrics {
    /// Opens (or makes) `metrics.db` and `days/` in `data_dir`; a damaged file is set aside and becomes a gap.
    ///
    /// # Errors
    /// [`MetricsError`] when the directory cannot be used at all.
    pub fn open(data_dir: &Path, settings: Settings, clock: Clock) -> Result<Self, MetricsError> {
        unimplemented!()
    }
    /// Seals hours, merges late data, rolls up and prunes until `drain`; spawn it once.
    pub async fn run(self, drain: CancellationToken) -> Result<(), MetricsError> {
        unimplemented!()
    }
    /// Commits samples-lane batches with their ledger in one transaction. When it returns they are on disk and readable.
    ///
    /// # Errors
    /// [`MetricsError`]: nothing was kept, nothing may be acknowledged.
    pub async fn commit(
        &self,
        scope: &ProbeScope,
        correction: ClockCorrection,
        batches: Vec<Batch>,
    ) -> Result<CommitOutcome, MetricsError> {
        unimplemented!()
    }
    /// Keeps layouts (idempotent) and decodes the batches that waited for them. Call before the LAYOUTS batch is admitted in central.db.
    ///
    /// # Errors
    /// [`MetricsError`]: nothing was kept.
    pub async fn put_layouts(
        &self,
        scope: &ProbeScope,
        body: &LayoutsBody,
    ) -> Result<(), MetricsError> {
        unimplemented!()
    }
    /// Marks seqs that the probe dropped as done; a gap covers those that had not come.
    ///
    /// # Errors
    /// [`MetricsError`]: nothing was kept.
    pub async fn dropped(
        &self,
        scope: &ProbeScope,
        correction: ClockCorrection,
        dropped: &Dropped,
    ) -> Result<LaneCommitted, MetricsError> {
        unimplemented!()
    }
    /// What is committed of a probe's samples lanes, for the hello's answer.
    ///
    /// # Errors
    /// [`MetricsError::Read`].
    pub async fn committed(&self, probe: ProbeId) -> Result<Vec<LaneCommitted>, MetricsError> {
        unimplemented!()
    }
    /// Layouts that committed batches name and that have not come.
    pub fn want_layouts(&self, probe: ProbeId) -> Vec<WantedLayout> {
        unimplemented!()
    }
    /// The newest slot committed of a probe (corrected time); `None` before the first.
    pub fn newest(&self, probe: ProbeId) -> Option<Timestamp> {
        unimplemented!()
    }
    /// A stretch of time of some series.
    ///
    /// # Errors
    /// [`MetricsError::Read`].
    pub async fn range(&self, query: RangeQuery) -> Result<Range, MetricsError> {
        unimplemented!()
    }
    /// Mean rates (counters) or means per step over `[from, to)`, `points` of them, per (metric, instance): for sparklines.
    ///
    /// # Errors
    /// [`MetricsError::Read`].
    pub async fn sparks(
        &self,
        sources: Vec<Source>,
        metrics: Vec<String>,
        from: Timestamp,
        to: Timestamp,
        points: u32,
    ) -> Result<Vec<(Source, String, InstanceNo, Vec<Option<f64>>)>, MetricsError> {
        unimplemented!()
    }
    /// How much counters grew in `[from, to)`, per (source, metric, instance): "errors in the last hour".
    ///
    /// # Errors
    /// [`MetricsError::Read`].
    pub async fn growth(
        &self,
        sources: Vec<Source>,
        metrics: Vec<String>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Source, String, InstanceNo, i64)>, MetricsError> {
        unimplemented!()
    }
    /// Gaps of a whole device (every column missing) in `[from, to)`.
    ///
    /// # Errors
    /// [`MetricsError::Read`].
    pub async fn gaps(
        &self,
        source: Source,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<GapSpan>, MetricsError> {
        unimplemented!()
    }
    /// The newest value of every series of a device, from memory.
    pub fn last(&self, source: Source) -> Vec<LastValue> {
        unimplemented!()
    }
    /// The newest value of one series, from memory.
    pub fn last_of(&self, source: Source, metric: &str, instance: InstanceNo) -> Option<LastValue> {
        unimplemented!()
    }
    /// The `n` greatest newest values of a metric, from memory, greatest first; `score` says by what, `None` leaves one out.
    pub fn top(
        &self,
        metric: &str,
        n: usize,
        score: impl FnMut(Source, InstanceNo, f64) -> Option<f64>,
    ) -> Vec<TopItem> {
        unimplemented!()
    }
    /// What is here of one probe, for the checker.
    ///
    /// # Errors
    /// [`MetricsError::Read`].
    pub async fn ledger(&self, probe: ProbeId) -> Result<LedgerReport, MetricsError> {
        unimplemented!()
    }
    /// How anchors of a probe (or one device of it) agree with its increases, from memory.
    pub fn anchors(&self, probe: ProbeId, device: Option<DeviceNo>) -> AnchorCounts {
        unimplemented!()
    }
    /// The store in a few numbers.
    ///
    /// # Errors
    /// [`MetricsError::Read`].
    pub async fn summary(&self) -> Result<Summary, MetricsError> {
        unimplemented!()
    }
    /// Samples committed a second, over the last minute.
    pub fn samples_per_s(&self) -> f64 {
        unimplemented!()
    }
    /// Removes everything of these probes (their customer or site was deleted).
    ///
    /// # Errors
    /// [`MetricsError`].
    pub async fn delete_probe_data(&self, probes: Vec<ProbeId>) -> Result<(), MetricsError> {
        unimplemented!()
    }
}
