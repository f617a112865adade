//! Samples: committed raw with their ledger, sealed by the hour, and answered from both.
//!
//! ```text
//! commit ─▶ metrics.db: ledger + raw + gaps (one transaction) ─▶ rows in memory, newest values, proofs
//!                                                                  │ an hour has ended and is quiet
//!                                                                  ▼
//!                              days/YYYY-MM-DD.db: chunks + which batches they hold (one transaction)
//!                                                                  │                    │ the day is over
//!                                            metrics.db: raw batches marked, then gone     ▼
//!                                   roll-ups; one row a device with a column per series, in place of its hours
//! ```
//!
//! - [`query`] what can be asked, and the answers
//! - `commit`, `load`, `seal`, `compact`, `read`, `prune`, `lost`: what is done, one file each
//! - `state`, `row`, `strip`, `live`, `proof`: what is in memory
//! - `chunk`, `day`, `rollup`, `shape`, `batches`, `days`, `aside`, `gaps`, `schema`: what is in the files
//! - `bucket`: samples to points; `bound`: how much is enough

pub mod query;

mod aside;
mod batches;
mod bound;
mod bucket;
mod chunk;
mod commit;
mod compact;
mod day;
mod days;
pub mod disk;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod gaps;
mod live;
mod load;
mod lost;
mod proof;
mod prune;
mod read;
mod rollup;
mod row;
mod schema;
mod seal;
mod shape;
mod state;
mod store;
mod strip;
#[cfg(any(test, feature = "fuzz"))]
mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use farwatch_shared::clock::{Clock, Steady, Timestamp};
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{DeviceNo, GapReason, InstanceNo, Lane};
use farwatch_shared::sqlite::{self, SqliteError, Writer};
use farwatch_shared::wire::message::batch::{Batch, Dropped, LayoutsBody};
use farwatch_shared::wire::message::session::{LaneCommitted, WantedLayout};
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use crate::ledger;
use crate::scope::ProbeScope;
pub use crate::store::inbound::ClockCorrection;
use days::{Days, Kind, lock};
use query::{
    AnchorCounts, CommitOutcome, DroppedRange, GapSpan, LaneReport, LastValue, LedgerReport, Range,
    RangeQuery, Source, Summary, TopItem,
};
pub use seal::Pass;
use state::State;
pub use store::SeriesStore;

/// How long what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Days that samples are kept.
    pub raw_days: u32,
    /// Days that roll-ups of 5 minutes are kept.
    pub five_minutes_days: u32,
    /// Days that roll-ups of an hour are kept.
    pub hour_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            raw_days: 14,
            five_minutes_days: 90,
            hour_days: 730,
        }
    }
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// SQLite says no; nothing of the request was kept.
    #[error("the metrics store refused it")]
    Sqlite(#[from] SqliteError),
    /// A query within a reader.
    #[error("the metrics store could not be read")]
    Read(#[from] rusqlite::Error),
    /// The file system says no.
    #[error("the metrics store's files could not be reached")]
    Io(#[from] std::io::Error),
    /// A day of samples is damaged; it is set aside soon and becomes a gap.
    #[error("a day of samples is damaged")]
    Damaged,
    /// More samples than one question may read: ask for a shorter time or fewer series.
    #[error("too many samples for one question")]
    TooMuch,
    /// The runtime is shutting down.
    #[error("the metrics store is stopping")]
    Stopping,
}

/// The handle of the store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    writer: Writer,
    readers: Mutex<Vec<Connection>>,
    days: Days,
    five_minutes: Days,
    hours: Days,
    /// Days with hours that may not be compacted and rolled up.
    to_compact: Mutex<BTreeSet<i64>>,
    state: RwLock<State>,
    /// Held by the one pass that seals.
    sealing: Mutex<()>,
    settings: Settings,
    clock: Clock,
}

/// Idle readers of metrics.db that are kept open.
const READERS: usize = 8;
/// How often hours are looked at.
const PASS_EVERY: Duration = Duration::from_secs(5);
/// Old data is looked for once in so many passes: every ten minutes.
const PRUNE_EVERY: u32 = 120;

impl Metrics {
    /// Opens (or makes) `metrics.db` and `days/` in `data_dir`; a damaged file is set aside and becomes a gap.
    ///
    /// Reads every raw batch that is not sealed, which takes seconds after a crash of a large Central.
    ///
    /// # Errors
    /// [`MetricsError`] when the directory cannot be used at all.
    pub fn open(data_dir: &Path, settings: Settings, clock: Clock) -> Result<Self, MetricsError> {
        // Waits for the writer now and then, which a thread of the runtime may not.
        std::thread::scope(|scope| {
            scope
                .spawn(|| Self::open_blocking(data_dir, settings, clock))
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn open_blocking(
        data_dir: &Path,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, MetricsError> {
        let path = data_dir.join("metrics.db");
        match Self::open_files(data_dir, &path, settings, clock.clone()) {
            Err(error) if error.is_corrupt() => {
                let aside = sqlite::set_aside(&path, clock.now())?;
                if let Err(error) = carry_gaps(&aside, &path) {
                    tracing::error!(error = %farwatch_shared::error::Chain(&error), "what metrics.db knew of gaps could not be carried over");
                }
                // The ledger begins anew: every probe sends again what it still has, and says what it has not.
                tracing::error!(path = %aside.display(), "metrics.db was damaged and is set aside; probes send again what they hold");
                Self::open_files(data_dir, &path, settings, clock)
            }
            other => other,
        }
    }

    fn open_files(
        data_dir: &Path,
        path: &Path,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, MetricsError> {
        let connection = sqlite::open(path, &schema::METRICS)?;
        if !sqlite::is_sound(&connection, path)? {
            return Err(MetricsError::Damaged);
        }
        let writer = Writer::start(connection, path, "metrics")?;
        let folder = |kind| Days::open(kind, data_dir.join("days"), clock.clone());
        let days = folder(Kind::Samples)?;
        let inner = Inner {
            path: path.to_owned(),
            writer,
            readers: Mutex::default(),
            to_compact: Mutex::new(days.within(i64::MIN, i64::MAX).into_iter().collect()),
            days,
            five_minutes: folder(Kind::FiveMinutes)?,
            hours: folder(Kind::Hours)?,
            state: RwLock::default(),
            sealing: Mutex::default(),
            settings,
            clock,
        };
        inner.load().map_err(|error| match error {
            MetricsError::Read(source)
            | MetricsError::Sqlite(SqliteError::Sqlite { source, .. }) => {
                SqliteError::at_start(path, source).into()
            }
            other => other,
        })?;
        Ok(Self(Arc::new(inner)))
    }

    /// Seals hours, merges late data and prunes until `drain`; spawn it once.
    ///
    /// # Errors
    /// [`MetricsError::Stopping`] when the runtime is gone; others are logged and tried again.
    pub async fn run(self, drain: CancellationToken) -> Result<(), MetricsError> {
        let mut passes = 0_u32;
        let newest = self
            .blocking(|inner| {
                inner.with_reader(|c| {
                    c.query_row("SELECT max(updated_ms) FROM lane_progress", [], |row| {
                        row.get(0)
                    })
                })
            })
            .await
            .unwrap_or_default();
        let mut steady = Steady::new(self.0.clock.clone(), newest);
        let mut every = tokio::time::interval(PASS_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while drain.run_until_cancelled(every.tick()).await.is_some() {
            if let Err(error) = self.pass(Pass::Due).await {
                tracing::error!(error = %farwatch_shared::error::Chain(&error), "hours could not be sealed; they stay raw until they can");
            }
            passes = passes.wrapping_add(1);
            if steady.holds()
                && passes % PRUNE_EVERY == 1
                && let Err(error) = self.blocking(Inner::prune).await
            {
                tracing::error!(error = %farwatch_shared::error::Chain(&error), "old samples could not be removed");
            }
        }
        Ok(())
    }

    /// One pass of [`Self::run`], for tests and shutdown.
    ///
    /// # Errors
    /// [`MetricsError`]; what was sealed until then stays sealed.
    pub async fn pass(&self, pass: Pass) -> Result<(), MetricsError> {
        self.blocking(move |inner| inner.seal_pass(pass)).await
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
        let probe = scope.probe();
        // On a thread of its own to the end: a session that goes away meanwhile leaves nothing half known.
        self.blocking(move |inner| inner.commit(probe, correction, batches))
            .await
    }

    /// Keeps layouts (idempotent) and reads the batches that waited for them. Call before the LAYOUTS batch is admitted
    /// in central.db.
    ///
    /// # Errors
    /// [`MetricsError`]: nothing was kept.
    pub async fn put_layouts(
        &self,
        scope: &ProbeScope,
        body: &LayoutsBody,
    ) -> Result<(), MetricsError> {
        let probe = scope.probe();
        let body = body.clone();
        self.blocking(move |inner| inner.put_layouts(probe, &body))
            .await
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
        let probe = scope.probe();
        let dropped = dropped.clone();
        self.blocking(move |inner| inner.dropped(probe, correction, &dropped))
            .await
    }

    /// What is committed of a probe's samples lanes, for the hello's answer.
    ///
    /// # Errors
    /// [`MetricsError::Read`].
    pub async fn committed(&self, probe: ProbeId) -> Result<Vec<LaneCommitted>, MetricsError> {
        self.blocking(move |inner| inner.with_reader(|c| ledger::committed(c, probe)))
            .await
    }

    /// Until when everything of a probe is here without a hole; 0 = nothing is.
    ///
    /// # Errors
    /// [`MetricsError::Read`].
    pub async fn complete_to(&self, probe: ProbeId) -> Result<Timestamp, MetricsError> {
        let now = self.0.clock.now();
        self.blocking(move |inner| inner.with_reader(|c| ledger::complete_to(c, probe, now)))
            .await
    }

    /// Layouts that committed batches name and that have not come.
    #[must_use]
    pub fn want_layouts(&self, probe: ProbeId) -> Vec<WantedLayout> {
        let state = self.0.state();
        state
            .probes
            .get(&probe)
            .map_or_else(Vec::new, state::ProbeState::want_layouts)
    }

    /// The newest slot committed of a probe (corrected time); `None` before the first.
    #[must_use]
    pub fn newest(&self, probe: ProbeId) -> Option<Timestamp> {
        self.0.state().probes.get(&probe)?.newest_at
    }

    /// A stretch of time of some series.
    ///
    /// # Errors
    /// [`MetricsError::Read`]; [`MetricsError::TooMuch`].
    pub async fn range(&self, query: RangeQuery) -> Result<Range, MetricsError> {
        self.blocking(move |inner| inner.range(&query)).await
    }

    /// Mean rates (counters) or means per step over `[from, to)`, `points` of them, per (metric, instance): for
    /// sparklines.
    ///
    /// # Errors
    /// As [`Self::range`].
    pub async fn sparks(
        &self,
        sources: Vec<Source>,
        metrics: Vec<String>,
        from: Timestamp,
        to: Timestamp,
        points: u32,
    ) -> Result<Vec<(Source, String, InstanceNo, Vec<Option<f64>>)>, MetricsError> {
        let points = points.max(1);
        let step_ms = (to.since(from) / i64::from(points)).max(1_000);
        let query = RangeQuery {
            sources,
            metrics,
            instances: None,
            from,
            to,
            step_s: Some(u32::try_from(step_ms / 1_000).unwrap_or(u32::MAX)),
            raw: false,
        };
        let range = self.range(query).await?;
        Ok(range
            .series
            .into_iter()
            .map(|series| {
                let mut line = vec![None; points as usize];
                for point in &series.points {
                    let at = (point.at_ms.max(from.ms()) - from.ms()) / step_ms;
                    if let Some(place) = usize::try_from(at).ok().and_then(|at| line.get_mut(at)) {
                        *place = Some(point.mean);
                    }
                }
                (series.source, series.metric, series.instance, line)
            })
            .collect())
    }

    /// How much counters grew in `[from, to)`, per (source, metric, instance): "errors in the last hour".
    ///
    /// # Errors
    /// As [`Self::range`].
    pub async fn growth(
        &self,
        sources: Vec<Source>,
        metrics: Vec<String>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Source, String, InstanceNo, i64)>, MetricsError> {
        self.blocking(move |inner| inner.growth(&sources, &metrics, from, to))
            .await
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
        self.blocking(move |inner| inner.device_gaps(source, from, to))
            .await
    }

    /// The newest value of every series of a device, from memory.
    #[must_use]
    pub fn last(&self, source: Source) -> Vec<LastValue> {
        let state = self.0.state();
        let groups = state
            .probes
            .get(&source.probe)
            .and_then(|of| of.newest.get(&source.device));
        groups
            .into_iter()
            .flatten()
            .flat_map(|newest| (0..newest.shape.columns()).filter_map(|at| newest.last(at)))
            .collect()
    }

    /// The newest value of one series, from memory.
    #[must_use]
    pub fn last_of(&self, source: Source, metric: &str, instance: InstanceNo) -> Option<LastValue> {
        let state = self.0.state();
        let groups = state
            .probes
            .get(&source.probe)?
            .newest
            .get(&source.device)?;
        groups.iter().find_map(|newest| {
            let column = newest
                .shape
                .columns_of(metric)
                .find(|column| newest.shape.instance(*column) == instance)?;
            newest.last(column)
        })
    }

    /// The `n` greatest newest values of a metric, from memory, greatest first; `score` says by what, `None` leaves one
    /// out.
    ///
    /// `score` is called under the store's lock: it must not ask the store again.
    #[must_use]
    pub fn top(
        &self,
        metric: &str,
        n: usize,
        score: impl FnMut(Source, InstanceNo, f64) -> Option<f64>,
    ) -> Vec<TopItem> {
        live::top(&self.0.state(), metric, n, score)
    }

    /// What is here of one probe, for the checker.
    ///
    /// # Errors
    /// [`MetricsError::Read`].
    pub async fn ledger(&self, probe: ProbeId) -> Result<LedgerReport, MetricsError> {
        let anchors = self.anchors(probe, None);
        self.blocking(move |inner| {
            inner.with_reader(|c| {
                let lanes = ledger::ledger(c, probe)?;
                let layouts: i64 = c
                    .prepare_cached("SELECT count(*) FROM layouts WHERE probe_id = ?1")?
                    .query_row([probe], |row| row.get(0))?;
                Ok(LedgerReport {
                    lanes: lanes.into_iter().map(report).collect(),
                    layouts: layouts.cast_unsigned(),
                    anchors,
                })
            })
        })
        .await
    }

    /// How anchors of a probe (or one device of it) agree with its increases, from memory.
    #[must_use]
    pub fn anchors(&self, probe: ProbeId, device: Option<DeviceNo>) -> AnchorCounts {
        let state = self.0.state();
        let Some(of) = state.probes.get(&probe) else {
            return AnchorCounts::default();
        };
        match device {
            Some(device) => of.tally.devices.get(&device).copied().unwrap_or_default(),
            None => of.tally.total(),
        }
    }

    /// The store in a few numbers.
    ///
    /// # Errors
    /// [`MetricsError::Read`].
    pub async fn summary(&self) -> Result<Summary, MetricsError> {
        let anchors = self
            .0
            .state()
            .probes
            .values()
            .fold(AnchorCounts::default(), |sum, of| {
                sum.plus(of.tally.total())
            });
        self.blocking(move |inner| inner.with_reader(|c| summary(c, anchors)))
            .await
    }

    /// Samples committed a second, over the last minute.
    #[must_use]
    pub fn samples_per_s(&self) -> f64 {
        self.0.state().samples_per_s(self.0.clock.boot_ms())
    }

    /// Removes everything of these probes (their customer or site was deleted).
    ///
    /// # Errors
    /// [`MetricsError`]; what was not removed yet is removed when it is asked again.
    pub async fn delete_probe_data(&self, probes: Vec<ProbeId>) -> Result<(), MetricsError> {
        self.blocking(move |inner| inner.delete_probes(&probes))
            .await
    }

    /// The writer of metrics.db, for a backup on its thread.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.0.writer
    }

    async fn blocking<T, F>(&self, work: F) -> Result<T, MetricsError>
    where
        T: Send + 'static,
        F: FnOnce(&Inner) -> Result<T, MetricsError> + Send + 'static,
    {
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|_| MetricsError::Stopping)?
    }
}

impl MetricsError {
    fn is_corrupt(&self) -> bool {
        match self {
            Self::Damaged => true,
            Self::Sqlite(error) => error.is_corrupt(),
            Self::Read(error) => matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
            ),
            _ => false,
        }
    }
}

impl Inner {
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_reader<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, MetricsError> {
        let idle = lock(&self.readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => sqlite::open_reader(&self.path)?,
        };
        let value = read(&connection).map_err(|source| {
            let error = SqliteError::Sqlite {
                path: self.path.clone(),
                source,
            };
            match self.writer.saw(error) {
                SqliteError::Sqlite { source, .. } => MetricsError::Read(source),
                other => MetricsError::Sqlite(other),
            }
        })?;
        let mut readers = lock(&self.readers);
        if readers.len() < READERS {
            readers.push(connection);
        }
        Ok(value)
    }
}

/// Which gaps there are, and which hours are sealed, is known to this file alone: as much of it as can be read lives on.
fn carry_gaps(aside: &Path, path: &Path) -> Result<(), MetricsError> {
    let old = sqlite::rescue::Wreck::open(aside)?;
    let new = sqlite::open(path, &schema::METRICS)?;
    let step = new.unchecked_transaction()?;
    for table in ["gaps", "hours"] {
        let carried = sqlite::rescue::carry(
            old.connection(),
            &step,
            table,
            sqlite::rescue::There::GivesWay,
        )?;
        tracing::info!(
            table,
            rows = carried.rows,
            whole = carried.whole,
            "carried over"
        );
    }
    step.commit()?;
    Ok(())
}

fn report(lane: ledger::LaneLedger) -> LaneReport {
    LaneReport {
        committed: LaneCommitted {
            epoch: lane.epoch,
            lane: lane.lane.code(),
            watermark: lane.watermark,
            ranges: lane.ranges,
        },
        batches: lane.batches,
        samples: lane.samples,
        undecoded: lane.undecoded,
        quarantined: lane.quarantined,
        dropped: lane
            .dropped_ranges
            .into_iter()
            .filter(|range| range.missing > 0)
            .map(|range| DroppedRange {
                from_seq: range.from_seq,
                to_seq: range.to_seq,
                from: range.from,
                to: range.to,
                reason: GapReason::from_code(range.reason).unwrap_or(GapReason::SpoolOverflow),
            })
            .collect(),
    }
}

fn summary(c: &Connection, anchors: AnchorCounts) -> rusqlite::Result<Summary> {
    let mut summary = c
        .prepare_cached(
            "SELECT coalesce(sum(samples), 0), coalesce(sum(batches), 0), coalesce(sum(undecoded), 0),
                 coalesce(sum(quarantined), 0) FROM lane_progress WHERE lane = ?1",
        )?
        .query_row([Lane::Samples.code()], |row| {
            let count = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
            Ok(Summary {
                samples: count(0)?,
                batches: count(1)?,
                undecoded: count(2)?,
                quarantined: count(3)?,
                gaps: Vec::new(),
                anchors,
            })
        })?;
    let gaps: Vec<(u8, i64)> = c
        .prepare_cached("SELECT reason, count(*) FROM gaps GROUP BY reason ORDER BY reason")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    summary.gaps = gaps
        .into_iter()
        .filter_map(|(reason, count)| Some((GapReason::from_code(reason)?, count.cast_unsigned())))
        .collect();
    Ok(summary)
}
