//! The store as the rest of Central may see it one day: a distributed engine takes its place behind this.

use farwatch_shared::model::InstanceNo;
use farwatch_shared::wire::message::batch::Batch;

use super::query::{CommitOutcome, LastValue, Range, RangeQuery, Source};
use super::{ClockCorrection, Metrics, MetricsError};
use crate::scope::ProbeScope;

/// Samples in, time series out.
pub trait SeriesStore {
    /// Keeps batches; when it returns they are durable and readable.
    fn append(
        &self,
        scope: &ProbeScope,
        correction: ClockCorrection,
        batches: Vec<Batch>,
    ) -> impl Future<Output = Result<CommitOutcome, MetricsError>> + Send;

    /// A stretch of time of some series.
    fn range(&self, query: RangeQuery) -> impl Future<Output = Result<Range, MetricsError>> + Send;

    /// The newest value of one series.
    fn last(&self, source: Source, metric: &str, instance: InstanceNo) -> Option<LastValue>;
}

impl SeriesStore for Metrics {
    async fn append(
        &self,
        scope: &ProbeScope,
        correction: ClockCorrection,
        batches: Vec<Batch>,
    ) -> Result<CommitOutcome, MetricsError> {
        self.commit(scope, correction, batches).await
    }

    async fn range(&self, query: RangeQuery) -> Result<Range, MetricsError> {
        Self::range(self, query).await
    }

    fn last(&self, source: Source, metric: &str, instance: InstanceNo) -> Option<LastValue> {
        self.last_of(source, metric, instance)
    }
}
