//! Questions over time, answered from memory and day files together.
//!
//! Memory is read first, then the file: an hour that is sealed between the two is seen twice, and the rows whose batch
//! the file names are dropped. The other way round it could be seen not at all.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{AnchorKind, InstanceNo, MetricKind};

use super::bucket::{self, How, Rolled, Sample};
use super::days::{self, Days, ReadError};
use super::gaps::{self, Gap};
use super::query::{AnchorValue, GapSpan, Increase, Range, RangeQuery, Resolution, Series, Source};
use super::row::Row;
use super::schema::{DAY_MS, HOUR_MS, day_of, hour_of};
use super::seal::not_in;
use super::shape::{Shape, scaled, unit_shown};
use super::state::{Key, Rows};
use super::{Inner, MetricsError};
use super::{chunk, rollup};

/// Samples that one question may read: some 200 MB while it is answered.
const READ_LIMIT: usize = 4_000_000;
/// Questions about no more than this are answered from samples as long as these are kept: two days and a half.
const SAMPLES_MS: i64 = 60 * HOUR_MS;

/// What is asked of one source.
struct Wanted<'a> {
    metrics: &'a HashSet<&'a str>,
    instances: Option<&'a HashSet<InstanceNo>>,
    from: i64,
    to: i64,
}

impl Wanted<'_> {
    fn column(&self, shape: &Shape, column: usize) -> bool {
        self.metrics.contains(shape.metric(column).name.as_str())
            && self
                .instances
                .is_none_or(|instances| instances.contains(&shape.instance(column)))
    }

    /// A row that begins later may still cover time before `to`.
    fn row(&self, row: &Row) -> bool {
        let covered = i64::from(row.span_ms)
            .max(
                row.spans
                    .iter()
                    .map(|(_, span)| i64::from(*span))
                    .max()
                    .unwrap_or(0),
            )
            .min(MAX_SPAN_MS);
        let at = row.at_ms();
        row.slot_ms().max(at) >= self.from
            && at.saturating_sub(covered).min(row.slot_ms()) < self.to
    }
}

/// An increase that covers more than this begins outside what a question looks at.
const MAX_SPAN_MS: i64 = 6 * 3_600_000;

/// Samples of some series of one source.
#[derive(Default)]
struct Gathered {
    series: BTreeMap<(String, InstanceNo), One>,
    samples: usize,
}

struct One {
    shape: Arc<Shape>,
    column: usize,
    samples: Vec<Sample>,
    rolled: Vec<Rolled>,
    anchors: Vec<AnchorValue>,
}

impl Gathered {
    fn one(&mut self, shape: &Arc<Shape>, column: usize) -> &mut One {
        self.series
            .entry((shape.metric(column).name.clone(), shape.instance(column)))
            .or_insert_with(|| One {
                shape: shape.clone(),
                column,
                samples: Vec::new(),
                rolled: Vec::new(),
                anchors: Vec::new(),
            })
    }

    /// Roll-ups of an hour.
    fn take_rolled(&mut self, hour: i64, block: &rollup::Rolled, wanted: &Wanted<'_>) {
        let shape = &block.shape;
        let length_ms = HOUR_MS / i64::try_from(block.steps).unwrap_or(1);
        for column in (0..shape.columns()).filter(|column| wanted.column(shape, *column)) {
            let metric = shape.metric(column);
            let counter = shape.is_counter(column);
            let one = self.one(shape, column);
            let cells = &block.cells[column * block.steps..(column + 1) * block.steps];
            for (cell, step) in cells.iter().zip(0_i64..) {
                let at_ms = hour
                    .saturating_mul(HOUR_MS)
                    .saturating_add(step * length_ms);
                if cell.weight != 0
                    && at_ms.saturating_add(length_ms) > wanted.from
                    && at_ms < wanted.to
                {
                    one.rolled.push(Rolled::of(at_ms, cell, metric, counter));
                }
            }
        }
    }

    /// The columns of a shape that are wanted, with the place of their series.
    fn take(&mut self, shape: &Arc<Shape>, wanted: &Wanted<'_>, rows: &[Row]) {
        self.samples += rows.len()
            * (0..shape.columns())
                .filter(|column| wanted.column(shape, *column))
                .count();
        for column in 0..shape.columns() {
            if !wanted.column(shape, column) {
                continue;
            }
            let metric = shape.metric(column);
            let one = self.one(shape, column);
            for row in rows {
                if let Some(raw) = row.values[column] {
                    one.samples.push(Sample {
                        slot_ms: row.slot_ms(),
                        at_ms: row.at_ms(),
                        span_ms: row.span_of(column),
                        raw,
                        value: scaled(metric, raw),
                    });
                }
                for (of, kind, raw) in &row.anchors {
                    if usize::from(*of) == column {
                        one.anchors.push(AnchorValue {
                            at_ms: row.at_ms(),
                            raw: *raw,
                            kind: AnchorKind::from_code(*kind).unwrap_or(AnchorKind::Start),
                        });
                    }
                }
            }
        }
    }
}

/// What memory held of one hour of one source.
struct Pending {
    batches: Vec<Key>,
    blocks: Vec<(Arc<Shape>, Vec<Row>)>,
}

impl Inner {
    /// Answers a question about some series.
    pub(super) fn range(&self, query: &RangeQuery) -> Result<Range, MetricsError> {
        self.range_from(query, None)
    }

    /// The same, from what the caller says.
    pub(super) fn range_from(
        &self,
        query: &RangeQuery,
        resolution: Option<Resolution>,
    ) -> Result<Range, MetricsError> {
        let metrics: HashSet<&str> = query.metrics.iter().map(String::as_str).collect();
        let (from, to) = (query.from.ms(), query.to.ms().max(query.from.ms()));
        let interval = self.interval(&query.sources, &metrics);
        let (step_s, chosen) = self.resolve(query, from, to, interval);
        let resolution = resolution.unwrap_or(chosen);
        let mut gathered = Vec::new();
        let mut samples = 0;
        for source in &query.sources {
            let instances: Option<HashSet<InstanceNo>> = query.instances.as_ref().map(|all| {
                all.iter()
                    .filter(|(of, _)| of == source)
                    .map(|(_, instance)| *instance)
                    .collect()
            });
            let wanted = Wanted {
                metrics: &metrics,
                instances: instances.as_ref(),
                from,
                to,
            };
            let mut of = self.gather(
                *source,
                &wanted,
                resolution,
                READ_LIMIT.saturating_sub(samples),
            )?;
            self.add_known(*source, &wanted, &mut of);
            samples += of.samples;
            gathered.push((*source, of));
        }
        let mut answer = Range {
            step_s,
            resolution,
            series: Vec::new(),
        };
        for (source, of) in gathered {
            let gaps = self.with_reader(|c| {
                gaps::of_device(c, source.probe, source.device, query.from, query.to)
            })?;
            for ((metric, instance), one) in of.series {
                answer
                    .series
                    .push(draw(source, metric, instance, one, &gaps, query, step_s));
            }
        }
        Ok(answer)
    }

    /// The least interval of what is asked for; a minute when nothing is known of it.
    fn interval(&self, sources: &[Source], metrics: &HashSet<&str>) -> u32 {
        let state = self.state();
        sources
            .iter()
            .filter_map(|source| state.probes.get(&source.probe)?.newest.get(&source.device))
            .flatten()
            .map(|newest| &newest.shape.form)
            .filter(|form| {
                form.metrics
                    .iter()
                    .any(|metric| metrics.contains(metric.name.as_str()))
            })
            .map(|form| form.interval_s)
            .min()
            .unwrap_or(60)
    }

    /// Seconds between points, and what they are made from: samples as long as they are kept and few enough.
    fn resolve(&self, query: &RangeQuery, from: i64, to: i64, interval: u32) -> (u32, Resolution) {
        let step = bucket::choose_step(query.step_s, from, to, interval);
        let now = self.clock.now().ms();
        let kept = |days: u32| from >= now.saturating_sub(i64::from(days).saturating_mul(DAY_MS));
        let short = to.saturating_sub(from) <= SAMPLES_MS;
        let samples = kept(self.settings.raw_days) && (short || !step.is_multiple_of(300));
        let hours = step.is_multiple_of(3_600) && !short;
        if query.raw || samples {
            (step, Resolution::Raw)
        } else if kept(self.settings.five_minutes_days) && !hours {
            (step.next_multiple_of(300), Resolution::FiveMinutes)
        } else {
            (step.next_multiple_of(3_600), Resolution::Hour)
        }
    }

    /// Series that exist without a sample in the range are answered with their gaps.
    fn add_known(&self, source: Source, wanted: &Wanted<'_>, into: &mut Gathered) {
        let state = self.state();
        let groups = state
            .probes
            .get(&source.probe)
            .and_then(|of| of.newest.get(&source.device));
        let shapes: Vec<Arc<Shape>> = groups
            .into_iter()
            .flatten()
            .map(|newest| newest.shape.clone())
            .collect();
        drop(state);
        for shape in shapes {
            into.take(&shape, wanted, &[]);
        }
    }

    fn gather(
        &self,
        source: Source,
        wanted: &Wanted<'_>,
        resolution: Resolution,
        limit: usize,
    ) -> Result<Gathered, MetricsError> {
        let first = hour_of(wanted.from);
        // One hour more: what was read then may cover time of the last.
        let last = hour_of(wanted.to.saturating_sub(1)).saturating_add(1);
        let mut pending = self.pending(source, wanted, first, last);
        let mut gathered = Gathered::default();
        let rolled = self.rolled(resolution);
        let mut days = self.days.within(day_of(first), day_of(last));
        if let Some(rolled) = rolled {
            let files = rolled.within(rolled.kind.file_of(first), rolled.kind.file_of(last));
            days = rolled.days_of(&files, day_of(first), day_of(last), days);
        }
        for day in days {
            let hours = first.max(day * 24)..=last.min(day * 24 + 23);
            // One read transaction: chunks and what they hold must be of the same moment.
            let found = self.days.read(day, |reader| {
                reader.connection.execute_batch("BEGIN")?;
                let mut sealed = Vec::new();
                for hour in hours.clone().filter(|hour| pending.contains_key(hour)) {
                    if let Some(set) = days::sealed(&reader.connection, source.probe, hour)? {
                        sealed.push((hour, set));
                    }
                }
                let from_samples: Vec<i64> = if rolled.is_none() {
                    hours.clone().collect()
                } else {
                    days::not_rolled(&reader.connection, source.probe)?
                        .into_iter()
                        .filter(|hour| hours.contains(hour))
                        .collect()
                };
                if let Some(id) = reader.source(source.probe, source.device)? {
                    for &hour in &from_samples {
                        let Some(bytes) = reader.chunk(id, hour)? else {
                            continue;
                        };
                        let blocks = chunk::decode(
                            &bytes,
                            |hash| reader.shape(hash),
                            |metric| wanted.metrics.contains(metric),
                        )?;
                        for mut block in blocks {
                            block.rows.retain(|row| wanted.row(row));
                            gathered.take(&block.shape, wanted, &block.rows);
                        }
                        if gathered.samples > limit {
                            break;
                        }
                    }
                }
                reader.connection.execute_batch("COMMIT")?;
                Ok((sealed, from_samples))
            })?;
            let (sealed, from_samples) = found.unwrap_or_default();
            if let Some(rolled) = rolled {
                let hours = hours.filter(|hour| !from_samples.contains(hour));
                self.read_rolled(rolled, source, wanted, hours.collect(), &mut gathered)?;
            }
            for (hour, set) in sealed {
                if let Some(of) = pending.get_mut(&hour) {
                    let keep = not_in(&of.batches, &set);
                    for (_, rows) in &mut of.blocks {
                        rows.retain(|row| keep(row.batch));
                    }
                }
            }
            if gathered.samples > limit {
                return Err(MetricsError::TooMuch);
            }
        }
        for of in pending.into_values() {
            for (shape, rows) in of.blocks {
                gathered.take(&shape, wanted, &rows);
            }
        }
        for one in gathered.series.values_mut() {
            one.rolled.sort_by_key(|rolled| rolled.at_ms);
            one.samples
                .sort_by_key(|sample| (sample.slot_ms, sample.at_ms));
            one.anchors.sort_by_key(|anchor| anchor.at_ms);
        }
        Ok(gathered)
    }

    fn read_rolled(
        &self,
        files: &Days,
        source: Source,
        wanted: &Wanted<'_>,
        hours: Vec<i64>,
        into: &mut Gathered,
    ) -> Result<(), MetricsError> {
        let Some(file) = hours.first().map(|hour| files.kind.file_of(*hour)) else {
            return Ok(());
        };
        let found = files.read(file, |reader| {
            let mut blocks = Vec::new();
            let Some(id) = reader.source(source.probe, source.device)? else {
                return Ok(blocks);
            };
            for hour in hours {
                if let Some(bytes) = reader.roll_up(id, hour)? {
                    let rolled = rollup::decode(
                        &bytes,
                        |hash| reader.shape(hash),
                        |metric| wanted.metrics.contains(metric),
                    )?;
                    blocks.extend(rolled.into_iter().map(|block| (hour, block)));
                }
            }
            Ok(blocks)
        })?;
        for (hour, block) in found.unwrap_or_default() {
            into.take_rolled(hour, &block, wanted);
        }
        Ok(())
    }

    /// Rows in memory, copied.
    fn pending(
        &self,
        source: Source,
        wanted: &Wanted<'_>,
        first: i64,
        last: i64,
    ) -> BTreeMap<i64, Pending> {
        let state = self.state();
        let mut pending = BTreeMap::new();
        let Some(of) = state.probes.get(&source.probe) else {
            return pending;
        };
        if first > last {
            return pending;
        }
        for (hour, rows) in of.hours.range(first..=last) {
            let mut all = Pending {
                batches: Vec::new(),
                blocks: Vec::new(),
            };
            for rows in rows.frozen.as_deref().into_iter().chain([&rows.open]) {
                copy(rows, source, wanted, &mut all);
            }
            if !all.blocks.is_empty() {
                pending.insert(*hour, all);
            }
        }
        pending
    }

    /// How much counters grew in `[from, to)`.
    pub(super) fn growth(
        &self,
        sources: &[Source],
        metrics: &[String],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Source, String, InstanceNo, i64)>, MetricsError> {
        let names: HashSet<&str> = metrics.iter().map(String::as_str).collect();
        let wanted = Wanted {
            metrics: &names,
            instances: None,
            from: from.ms(),
            to: to.ms(),
        };
        let mut grown = Vec::new();
        for source in sources {
            for ((metric, instance), one) in self
                .gather(*source, &wanted, Resolution::Raw, READ_LIMIT)?
                .series
            {
                if !one.shape.is_counter(one.column) {
                    continue;
                }
                let sum = one
                    .samples
                    .iter()
                    .filter(|sample| (from.ms()..to.ms()).contains(&sample.at_ms))
                    .fold(0_i64, |sum, sample| sum.saturating_add(sample.raw));
                grown.push((*source, metric, instance, sum));
            }
        }
        Ok(grown)
    }

    /// Gaps of everything of one device.
    pub(super) fn device_gaps(
        &self,
        source: Source,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<GapSpan>, MetricsError> {
        let gaps =
            self.with_reader(|c| gaps::of_device(c, source.probe, source.device, from, to))?;
        let groups: HashSet<u8> = gaps.iter().map(|gap| gap.group).collect();
        let mut spans: Vec<GapSpan> = groups
            .into_iter()
            .flat_map(|group| gaps::of_series(&gaps, group, None, from, to))
            .collect();
        spans.sort_unstable();
        spans.dedup();
        Ok(spans)
    }
}

fn copy(rows: &Rows, source: Source, wanted: &Wanted<'_>, into: &mut Pending) {
    let Some(logs) = rows.devices.get(&source.device) else {
        return;
    };
    let base = u32::try_from(into.batches.len()).unwrap_or(u32::MAX);
    let mut any = false;
    for log in logs {
        if !(0..log.shape.columns()).any(|column| wanted.column(&log.shape, column)) {
            continue;
        }
        let mut kept = Vec::new();
        log.each(|row| {
            if wanted.row(row) {
                let mut row = row.clone();
                row.batch += base;
                kept.push(row);
            }
        });
        any = true;
        into.blocks.push((log.shape.clone(), kept));
    }
    if any {
        into.batches.extend_from_slice(&rows.batches);
    }
}

fn draw(
    source: Source,
    metric: String,
    instance: InstanceNo,
    one: One,
    gaps: &[Gap],
    query: &RangeQuery,
    step_s: u32,
) -> Series {
    let of = one.shape.metric(one.column);
    let kind = MetricKind::from_code(of.kind).unwrap_or(MetricKind::Gauge);
    let how = match kind {
        MetricKind::Counter => How::Rate,
        MetricKind::Gauge => How::Mean,
        MetricKind::State => How::Last,
    };
    let (from, to) = (query.from.ms(), query.to.ms());
    let points = if step_s <= one.shape.form.interval_s && one.rolled.is_empty() {
        bucket::each(&one.samples, how, from, to)
    } else {
        let step_ms = i64::from(step_s) * 1_000;
        bucket::steps(&one.samples, &one.rolled, how, from, to, step_ms)
    };
    let spans = gaps::of_series(
        gaps,
        one.shape.form.group,
        Some((&metric, instance)),
        query.from,
        query.to,
    );
    let within = |at: i64| (from..to).contains(&at);
    let mut series = Series {
        source,
        unit: unit_shown(of),
        metric,
        instance,
        kind,
        points,
        gaps: spans,
        increases: Vec::new(),
        anchors: Vec::new(),
    };
    if query.raw {
        if kind == MetricKind::Counter {
            series.increases = one
                .samples
                .iter()
                .filter(|sample| within(sample.at_ms))
                .map(|sample| Increase {
                    at_ms: sample.at_ms,
                    span_ms: sample.span_ms,
                    increase: sample.raw,
                })
                .collect();
        }
        series.anchors = one
            .anchors
            .into_iter()
            .filter(|anchor| within(anchor.at_ms))
            .collect();
    }
    series
}

impl From<ReadError> for MetricsError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Open(error) => Self::Sqlite(error),
            ReadError::Sqlite(error) => Self::Read(error),
            ReadError::Chunk(_) => Self::Damaged,
        }
    }
}
