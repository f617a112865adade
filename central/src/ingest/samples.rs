//! The samples lane as ingest sees it: somewhere that commits, and only then answers.

use std::future::Future;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::wire::message::batch::{Batch, Dropped, LayoutsBody};
use farwatch_shared::wire::message::session::{LaneCommitted, WantedLayout};

use crate::metrics::query::CommitOutcome;
use crate::metrics::{Metrics, MetricsError};
use crate::scope::ProbeScope;
use crate::store::inbound::ClockCorrection;

/// Where samples are committed: metrics.db, and a stand-in in tests.
pub trait SampleStore: Clone + Send + Sync + 'static {
    /// Why it could not. Whatever it is, nothing was kept, and nothing may be acknowledged.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Commits batches with their ledger in one transaction; when it returns they are on disk.
    fn commit(
        &self,
        scope: &ProbeScope,
        correction: ClockCorrection,
        batches: Vec<Batch>,
    ) -> impl Future<Output = Result<CommitOutcome, Self::Error>> + Send;

    /// Keeps layouts; the same ones again change nothing.
    fn put_layouts(
        &self,
        scope: &ProbeScope,
        body: &LayoutsBody,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Marks seqs that the probe dropped as done.
    fn dropped(
        &self,
        scope: &ProbeScope,
        correction: ClockCorrection,
        dropped: &Dropped,
    ) -> impl Future<Output = Result<LaneCommitted, Self::Error>> + Send;

    /// What is committed of a probe, for the hello's answer.
    fn committed(
        &self,
        probe: ProbeId,
    ) -> impl Future<Output = Result<Vec<LaneCommitted>, Self::Error>> + Send;

    /// Layouts that committed batches name and that have not come.
    fn want_layouts(&self, probe: ProbeId) -> Vec<WantedLayout>;

    /// Until when everything of a probe is here without a hole; 0 = nothing is.
    fn complete_to(
        &self,
        probe: ProbeId,
    ) -> impl Future<Output = Result<Timestamp, Self::Error>> + Send;
}

impl SampleStore for Metrics {
    type Error = MetricsError;

    async fn commit(
        &self,
        scope: &ProbeScope,
        correction: ClockCorrection,
        batches: Vec<Batch>,
    ) -> Result<CommitOutcome, MetricsError> {
        Self::commit(self, scope, correction, batches).await
    }

    async fn put_layouts(
        &self,
        scope: &ProbeScope,
        body: &LayoutsBody,
    ) -> Result<(), MetricsError> {
        Self::put_layouts(self, scope, body).await
    }

    async fn dropped(
        &self,
        scope: &ProbeScope,
        correction: ClockCorrection,
        dropped: &Dropped,
    ) -> Result<LaneCommitted, MetricsError> {
        Self::dropped(self, scope, correction, dropped).await
    }

    async fn committed(&self, probe: ProbeId) -> Result<Vec<LaneCommitted>, MetricsError> {
        Self::committed(self, probe).await
    }

    fn want_layouts(&self, probe: ProbeId) -> Vec<WantedLayout> {
        Self::want_layouts(self, probe)
    }

    async fn complete_to(&self, probe: ProbeId) -> Result<Timestamp, MetricsError> {
        Self::complete_to(self, probe).await
    }
}
