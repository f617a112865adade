//! Questions over time, answered from memory and day files together.
//!
//! Memory is read first, then the file: an hour that is sealed between the two is seen twice, and the rows whose batch
//! the file names are dropped. The other way round it could be seen not at all.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{AnchorKind, InstanceNo, MetricKind};

use super::aside::{Broken, What};
use super::bucket::{self, How, Rolled, Sample};
use super::chunk::Whose;
use super::days::{self, Days, Holders, ReadError, Reader};
use super::gaps::{self, Gap};
use super::query::{AnchorValue, GapSpan, Increase, Range, RangeQuery, Resolution, Series, Source};
use super::row::Row;
use super::schema::{DAY_MS, HOUR_MS, day_of, hour_of};
use super::seal::not_in;
use super::shape::{Shape, scaled, unit_shown};
use super::state::{Key, Rows};
use super::strip::{Head, Line, Strip};
use super::{Inner, MetricsError};
use super::{chunk, day, rollup};

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

    /// As [`Self::row`].
    fn head(&self, at_ms: i64, slot_ms: i64, span_ms: u32) -> bool {
        let covered = i64::from(span_ms).min(MAX_SPAN_MS);
        slot_ms.max(at_ms) >= self.from && at_ms.saturating_sub(covered).min(slot_ms) < self.to
    }

    /// A row that begins later may still cover time before `to`.
    fn row(&self, row: &Row) -> bool {
        let other = row.spans.iter().map(|(_, span)| *span).max();
        let longest = row.span_ms.max(other.unwrap_or(0));
        self.head(row.at_ms(), row.slot_ms(), longest)
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

    /// Roll-ups of a day; `open` hours of it are answered from samples.
    fn take_rolled(&mut self, day: i64, block: rollup::Rolled, open: &[i64], wanted: &Wanted<'_>) {
        let shape = &block.shape;
        for (column, cells) in block.columns {
            let metric = shape.metric(column);
            let counter = shape.is_counter(column);
            let one = self.one(shape, column);
            let start = day.saturating_mul(DAY_MS);
            for (cell, step) in cells.iter().zip(0_i64..) {
                let at_ms = start.saturating_add(step * block.step_ms);
                if cell.weight != 0
                    && at_ms.saturating_add(block.step_ms) > wanted.from
                    && at_ms < wanted.to
                    && !open.contains(&hour_of(at_ms))
                {
                    one.rolled.push(Rolled::of(at_ms, cell, metric, counter));
                }
            }
        }
    }

    /// What a chunk holds of the series that are wanted.
    fn take_strip(&mut self, strip: Strip, wanted: &Wanted<'_>) {
        for (column, line) in strip.lines {
            self.take_line(
                (&strip.shape, column),
                (&strip.heads, line),
                |_| true,
                wanted,
            );
        }
    }

    /// One series, of the hours that `hours` names.
    fn take_line(
        &mut self,
        (shape, column): (&Arc<Shape>, usize),
        (heads, line): (&[Head], Line),
        hours: impl Fn(i64) -> bool,
        wanted: &Wanted<'_>,
    ) {
        let metric = shape.metric(column);
        let one = self.one(shape, column);
        let before = one.samples.len();
        // Polls of one hour stand together.
        let mut last = (i64::MIN, false);
        let mut taken = |head: &Head, span_ms: u32| {
            let (at_ms, slot_ms) = (head.at_ms(), head.slot_ms());
            let hour = hour_of(slot_ms);
            if hour != last.0 {
                last = (hour, hours(hour));
            }
            (last.1 && wanted.head(at_ms, slot_ms, span_ms)).then_some((at_ms, slot_ms))
        };
        for (at, (head, value)) in heads.iter().zip(&line.values).enumerate() {
            let Some(raw) = *value else {
                continue;
            };
            let span_ms = line.span_of(at, head);
            if let Some((at_ms, slot_ms)) = taken(head, span_ms) {
                one.samples.push(Sample {
                    slot_ms,
                    at_ms,
                    span_ms,
                    raw,
                    value: scaled(metric, raw),
                });
            }
        }
        for (at, kind, raw) in line.anchors {
            let head = &heads[at as usize];
            if let Some((at_ms, _)) = taken(head, head.span_ms) {
                one.anchors.push(AnchorValue {
                    at_ms,
                    raw,
                    kind: AnchorKind::from_code(kind).unwrap_or(AnchorKind::Start),
                });
            }
        }
        self.samples += one.samples.len() - before;
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

/// What is read of one device's day.
struct Asked<'a> {
    source: Source,
    /// Its number in the file.
    id: i64,
    day: i64,
    hours: &'a [i64],
    limit: usize,
}

impl Asked<'_> {
    /// The day's row and the hours beside it. What is damaged is named in `broken` and left out.
    fn read(
        &self,
        reader: &mut Reader,
        wanted: &Wanted<'_>,
        into: &mut Gathered,
        broken: &mut Vec<Broken>,
    ) -> Result<(), ReadError> {
        let (probe, device) = (self.source.probe, self.source.device);
        let name = |what| Broken {
            probe,
            device,
            source: self.id,
            day: self.day,
            what,
            body: Vec::new(),
        };
        let column = |shape: &Shape, column: usize| wanted.column(shape, column);
        let mut gone = Vec::new();
        let day = reader.device_day(self.id)?;
        if let Some(bytes) = &day {
            let whose = Whose::of(probe, device, self.day);
            match day::open(bytes, whose, |hash| reader.shape(hash)) {
                Ok(day) => {
                    for part in &day.parts {
                        broken.extend(self.read_part(part, wanted, into).into_iter().map(name));
                    }
                }
                Err(_) => broken.push(name(What::Day)),
            }
        }
        for &hour in self.hours {
            let Some(bytes) = reader.chunk(self.id, hour)? else {
                gone.push(hour);
                continue;
            };
            let whose = Whose::of(probe, device, hour);
            let strips = chunk::open(&bytes, whose, |hash| reader.shape(hash)).and_then(|parts| {
                let strips = parts.iter().map(|part| part.strip(column));
                strips.collect::<Result<Vec<_>, _>>()
            });
            match strips {
                Ok(strips) => {
                    for strip in strips.into_iter().flatten() {
                        into.take_strip(strip, wanted);
                    }
                }
                Err(_) => broken.push(name(What::Hour(hour))),
            }
            if into.samples > self.limit {
                break;
            }
        }
        if day.is_none() {
            for hour in gone {
                if Holders::of(&reader.connection, probe, hour)?.contains(self.id) {
                    broken.push(name(What::Hour(hour)));
                }
            }
        }
        broken.dedup();
        Ok(())
    }

    /// One block of the day's row; what is damaged of it.
    fn read_part(
        &self,
        part: &day::Part<'_>,
        wanted: &Wanted<'_>,
        into: &mut Gathered,
    ) -> Vec<What> {
        let shape = &part.shape;
        let columns = || (0..shape.columns()).filter(|column| wanted.column(shape, *column));
        if columns().next().is_none() {
            return Vec::new();
        }
        let Ok(times) = part.times() else {
            return vec![What::Day];
        };
        let mut broken = Vec::new();
        for column in columns() {
            match part.line(column, &times) {
                Ok(line) => into.take_line(
                    (shape, column),
                    (&times.heads, line),
                    |hour| self.hours.contains(&hour),
                    wanted,
                ),
                Err(_) => {
                    // Without a sample, but there: its gap is told.
                    into.one(shape, column);
                    broken.push(What::column(shape, column));
                }
            }
        }
        broken
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
        let (mut step_s, chosen) = self.resolve(query, from, to, interval.unwrap_or(60));
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
        // Layouts that are gone, or not yet here, leave what is stored to tell its own interval.
        if interval.is_none()
            && resolution == Resolution::Raw
            && let Some(stored) = gathered
                .iter()
                .flat_map(|(_, of)| of.series.values())
                .map(|one| one.shape.form.interval_s)
                .min()
        {
            (step_s, _) = self.resolve(query, from, to, stored);
        }
        let mut answer = Range {
            step_s,
            resolution,
            series: Vec::new(),
        };
        for (source, of) in gathered {
            let gaps = self.gaps_of_device(source, query.from, query.to)?;
            for ((metric, instance), one) in of.series {
                answer
                    .series
                    .push(draw(source, metric, instance, one, &gaps, query, step_s));
            }
        }
        Ok(answer)
    }

    /// The least interval of what is asked for, as the layouts say it.
    fn interval(&self, sources: &[Source], metrics: &HashSet<&str>) -> Option<u32> {
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
                let mut broken = Vec::new();
                if !from_samples.is_empty()
                    && let Some(id) = reader.source(source.probe, source.device)?
                {
                    let asked = Asked {
                        source,
                        id,
                        day,
                        hours: &from_samples,
                        limit,
                    };
                    asked.read(reader, wanted, &mut gathered, &mut broken)?;
                }
                reader.connection.execute_batch("COMMIT")?;
                Ok((sealed, from_samples, broken))
            })?;
            let (sealed, from_samples, broken) = found.unwrap_or_default();
            for one in broken {
                self.days.report_broken(one);
            }
            if let Some(rolled) = rolled {
                self.read_rolled(rolled, source, wanted, (day, &from_samples), &mut gathered)?;
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
        (day, open): (i64, &[i64]),
        into: &mut Gathered,
    ) -> Result<(), MetricsError> {
        let file = files.kind.file_of(day.saturating_mul(24));
        let found = files.read(file, |reader| {
            let Some(id) = reader.source(source.probe, source.device)? else {
                return Ok(Vec::new());
            };
            let Some(bytes) = reader.roll_up(id, day)? else {
                return Ok(Vec::new());
            };
            Ok(rollup::decode(
                &bytes,
                Whose::of(source.probe, source.device, day),
                |hash| reader.shape(hash),
                |shape, column| wanted.column(shape, column),
            )?)
        })?;
        for block in found.unwrap_or_default() {
            into.take_rolled(day, block, open, wanted);
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

    /// Gaps that are kept, and those of what was found damaged just now.
    fn gaps_of_device(
        &self,
        source: Source,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Gap>, MetricsError> {
        let mut gaps =
            self.with_reader(|c| gaps::of_device(c, source.probe, source.device, from, to))?;
        for one in self.days.broken() {
            let gap = one.gap();
            if (one.probe, one.device) == (source.probe, source.device)
                && gap.to > from
                && gap.from < to
            {
                gaps.push(gap);
            }
        }
        Ok(gaps)
    }

    /// Gaps of everything of one device.
    pub(super) fn device_gaps(
        &self,
        source: Source,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<GapSpan>, MetricsError> {
        let gaps = self.gaps_of_device(source, from, to)?;
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
            ReadError::Other(error) => *error,
        }
    }
}
