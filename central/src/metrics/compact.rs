//! A day that is over: its hours become one row a device, and its roll-ups are computed from that.
//!
//! Roll-ups are written first, then (in one transaction of the day's file) the rows, without the hours they are made of,
//! and that the roll-ups say what is there. A kill between any two leaves hours that are done once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use farwatch_shared::id::ProbeId;
use farwatch_shared::model::DeviceNo;
use farwatch_shared::wire::DecodeError;
use rusqlite::{Connection, params};

use super::aside::{Broken, What};
use super::chunk::{self, Whose};
use super::day;
use super::days::{self, Days, Holders, ReadError, Reader, lock};
use super::query::Resolution;
use super::rollup::{self, COARSE, Cell, FINE};
use super::schema::{DAY_MS, HOUR_MS};
use super::seal::Pass;
use super::shape::{Shape, is_counter};
use super::strip::{Head, Line};
use super::{Inner, MetricsError};

/// A day is over this long after its end: late batches have had their time, and no start looks for newest values in it
/// any more (these are read from hours).
const SETTLED_MS: i64 = (super::load::RECENT_HOURS + 1) * HOUR_MS;
/// Bytes written together: one transaction in each of three files.
const TOGETHER: usize = 16 << 20;
/// Devices read in one transaction.
const AT_ONCE: usize = 64;

/// What is to be done of one probe's day.
struct Work {
    probe: ProbeId,
    /// Its roll-ups were lost: all devices, not only those with hours.
    all: bool,
}

/// One device's day, done.
struct Done {
    probe: ProbeId,
    device: DeviceNo,
    source: i64,
    /// Hours that are in `body` now.
    hours: Vec<i64>,
    body: Vec<u8>,
    shapes: Vec<Arc<Shape>>,
    fine: Vec<u8>,
    coarse: Vec<u8>,
}

/// What is written together.
#[derive(Default)]
pub(super) struct Group {
    done: Vec<Done>,
    broken: Vec<Broken>,
    /// Probes of which nothing is left to do.
    finished: Vec<ProbeId>,
    bytes: usize,
}

impl Inner {
    /// Compacts days that are over and that nothing in memory belongs to.
    pub(super) fn compact_pass(&self, pass: Pass) -> Result<(), MetricsError> {
        self.lost_roll_ups()?;
        let days: Vec<i64> = lock(&self.to_compact).iter().copied().collect();
        for day in days {
            if pass == Pass::Everything || self.is_over(day) {
                self.compact_day(day)?;
                lock(&self.to_compact).remove(&day);
            }
        }
        Ok(())
    }

    fn is_over(&self, day: i64) -> bool {
        let end = day.saturating_add(1).saturating_mul(DAY_MS);
        let over = self.clock.now().ms() >= end.saturating_add(SETTLED_MS);
        over && !self.state().probes.values().any(|of| {
            let hours = day.saturating_mul(24)..=day.saturating_mul(24).saturating_add(23);
            of.hours.range(hours).next().is_some()
        })
    }

    fn compact_day(&self, day: i64) -> Result<(), MetricsError> {
        let mut group = Group::default();
        let mut any = false;
        self.each_done(day, |inner, done| {
            any = true;
            group.take(done);
            if group.bytes > TOGETHER {
                inner.write_group(day, std::mem::take(&mut group))?;
            }
            Ok(())
        })?;
        if any {
            self.write_group(day, group)?;
            self.days.shrink(day)?;
        }
        Ok(())
    }

    /// Reads what is to be done and gives it on, some devices at a time.
    pub(super) fn each_done(
        &self,
        day: i64,
        mut give: impl FnMut(&Self, Group) -> Result<(), MetricsError>,
    ) -> Result<(), MetricsError> {
        let work = self.days.read(day, |reader| work(&reader.connection))?;
        for work in work.unwrap_or_default() {
            let sources = self
                .days
                .read(day, |reader| reader.sources_of(work.probe))?
                .unwrap_or_default();
            for sources in sources.chunks(AT_ONCE) {
                let group = self.days.read(day, |reader| {
                    let mut group = Group::default();
                    for (source, device) in sources {
                        let one = One {
                            probe: work.probe,
                            device: *device,
                            source: *source,
                            day,
                        };
                        group
                            .done
                            .extend(one.build(reader, work.all, &mut group.broken)?);
                    }
                    Ok(group)
                })?;
                // `None`: the file turned out to be damaged; the next pass goes on with what is left of it.
                let Some(group) = group else {
                    return Ok(());
                };
                give(self, group)?;
            }
            let group = Group {
                finished: vec![work.probe],
                ..Group::default()
            };
            give(self, group)?;
        }
        Ok(())
    }

    /// Writes one device's day anew without what is damaged of it.
    pub(super) fn rebuild(&self, broken: &Broken) -> Result<(), MetricsError> {
        let one = One {
            probe: broken.probe,
            device: broken.device,
            source: broken.source,
            day: broken.day,
        };
        let found = self.days.read(broken.day, |reader| {
            let mut group = Group::default();
            // The file may be another one by now.
            if reader.source(one.probe, one.device)? != Some(one.source) {
                return Ok((group, false));
            }
            group
                .done
                .extend(one.build(reader, true, &mut group.broken)?);
            let open = !days::not_rolled(&reader.connection, one.probe)?.is_empty();
            Ok((group, open))
        })?;
        let Some((group, open)) = found else {
            return Ok(());
        };
        if open {
            return self.write_group(broken.day, group);
        }
        // Its roll-ups were computed when it was whole, and stay.
        self.gaps_of(&group.broken)?;
        self.write_days(broken.day, group)
    }

    fn write_group(&self, day: i64, group: Group) -> Result<(), MetricsError> {
        self.write_rolled(day, &group)?;
        farwatch_shared::failpoint::hit("S3");
        self.gaps_of(&group.broken)?;
        self.write_days(day, group)?;
        farwatch_shared::failpoint::hit("S4");
        Ok(())
    }

    /// The roll-ups, each resolution in its own file.
    pub(super) fn write_rolled(&self, day: i64, group: &Group) -> Result<(), MetricsError> {
        write_roll_ups(&self.five_minutes, day, &group.done, |done| &done.fine)?;
        write_roll_ups(&self.hours, day, &group.done, |done| &done.coarse)?;
        Ok(())
    }

    fn write_days(&self, day: i64, group: Group) -> Result<(), MetricsError> {
        let now = self.clock.now();
        self.days.write(day, |tx| {
            for broken in &group.broken {
                broken.set_aside(tx, now)?;
            }
            for done in &group.done {
                tx.prepare_cached(
                    "INSERT INTO device_days (id, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body",
                )?
                .execute(params![done.source, done.body])?;
                for hour in &done.hours {
                    tx.prepare_cached("DELETE FROM chunks WHERE id = ?1")?
                        .execute([days::chunk_id(done.source, *hour)])?;
                }
            }
            for probe in &group.finished {
                tx.prepare_cached("UPDATE sealed SET rolled = 1 WHERE probe_id = ?1 AND rolled <> 1")?
                    .execute([probe])?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Damaged roll-ups are set aside and, as far as their samples are kept, computed anew.
    fn lost_roll_ups(&self) -> Result<(), MetricsError> {
        for files in [&self.five_minutes, &self.hours] {
            for (file, _) in files.set_damaged_aside() {
                for day in self.days.within(i64::MIN, i64::MAX) {
                    if files.kind.file_of(day.saturating_mul(24)) == file {
                        self.days.write(day, |tx| {
                            tx.execute("UPDATE sealed SET rolled = 2", [])?;
                            Ok(())
                        })?;
                        lock(&self.to_compact).insert(day);
                    }
                }
            }
        }
        Ok(())
    }

    /// The files of a resolution's roll-ups.
    pub(super) const fn rolled(&self, resolution: Resolution) -> Option<&Days> {
        match resolution {
            Resolution::Raw => None,
            Resolution::FiveMinutes => Some(&self.five_minutes),
            Resolution::Hour => Some(&self.hours),
        }
    }
}

impl Group {
    fn take(&mut self, other: Self) {
        let size = |done: &Done| done.body.len() + done.fine.len() + done.coarse.len();
        self.bytes += other.done.iter().map(size).sum::<usize>();
        self.done.extend(other.done);
        self.broken.extend(other.broken);
        self.finished.extend(other.finished);
    }
}

fn work(c: &Connection) -> Result<Vec<Work>, ReadError> {
    let work = c
        .prepare_cached(
            "SELECT probe_id, max(rolled) FROM sealed WHERE rolled <> 1 GROUP BY probe_id ORDER BY probe_id",
        )?
        .query_map([], |row| {
            Ok(Work {
                probe: row.get(0)?,
                all: row.get::<_, i64>(1)? == 2,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(work)
}

/// A device's day in its file.
struct One {
    probe: ProbeId,
    device: DeviceNo,
    source: i64,
    day: i64,
}

/// A part of a day as it is stored.
enum Piece<'a> {
    Hour(i64, chunk::Part<'a>),
    Day(day::Part<'a>, day::Times),
}

impl One {
    /// `None`: there is nothing to do. What is damaged is left out and named in `broken`.
    fn build(
        &self,
        reader: &mut Reader,
        all: bool,
        broken: &mut Vec<Broken>,
    ) -> Result<Option<Done>, ReadError> {
        let mut hours = Vec::new();
        for hour in self.day * 24..self.day * 24 + 24 {
            if let Some(body) = reader.chunk(self.source, hour)? {
                hours.push((hour, body));
            }
        }
        if hours.is_empty() && !all {
            return Ok(None);
        }
        let before = reader.device_day(self.source)?;
        if before.is_none() {
            self.find_gone(reader, &hours, broken)?;
        }
        if hours.is_empty() && before.is_none() {
            return Ok(None);
        }
        let mut without = BTreeSet::new();
        let mut done = loop {
            match self.merge(reader, &hours, before.as_deref(), &without) {
                Ok(done) => break done,
                Err((what, error)) => {
                    tracing::error!(
                        probe.id = %self.probe, device.no = self.device.0, ?what,
                        error = %farwatch_shared::error::Chain(&error),
                        "samples are damaged and are set aside"
                    );
                    // Left out once more, it would be found no more.
                    if !without.insert(what) {
                        return Err(error.into());
                    }
                }
            }
        };
        done.hours = hours.iter().map(|(hour, _)| *hour).collect();
        for what in without {
            let body = match &what {
                What::Hour(hour) => hours
                    .iter()
                    .find(|(of, _)| of == hour)
                    .map(|(_, body)| body),
                What::Day | What::Column { .. } => before.as_ref(),
            };
            broken.push(Broken {
                probe: self.probe,
                device: self.device,
                source: self.source,
                day: self.day,
                what,
                body: body.cloned().unwrap_or_default(),
            });
        }
        Ok(Some(done))
    }

    /// Hours that are said to be here, without a row of their own and without the day's.
    fn find_gone(
        &self,
        reader: &Reader,
        hours: &[(i64, Vec<u8>)],
        broken: &mut Vec<Broken>,
    ) -> Result<(), ReadError> {
        for hour in self.day * 24..self.day * 24 + 24 {
            if hours.iter().all(|(of, _)| *of != hour)
                && Holders::of(&reader.connection, self.probe, hour)?.contains(self.source)
            {
                broken.push(Broken {
                    probe: self.probe,
                    device: self.device,
                    source: self.source,
                    day: self.day,
                    what: What::Hour(hour),
                    body: Vec::new(),
                });
            }
        }
        Ok(())
    }

    fn merge(
        &self,
        reader: &mut Reader,
        hours: &[(i64, Vec<u8>)],
        before: Option<&[u8]>,
        without: &BTreeSet<What>,
    ) -> Result<Done, (What, DecodeError)> {
        let mut blocks: BTreeMap<u64, Vec<Piece<'_>>> = BTreeMap::new();
        if let Some(before) = before.filter(|_| !without.contains(&What::Day)) {
            let whose = Whose::of(self.probe, self.device, self.day);
            let failed = |error| (What::Day, error);
            let day = day::open(before, whose, |hash| reader.shape(hash)).map_err(failed)?;
            for part in day.parts {
                let times = part.times().map_err(failed)?;
                let pieces = blocks.entry(part.shape.hash).or_default();
                pieces.push(Piece::Day(part, times));
            }
        }
        for (hour, body) in hours {
            let what = What::Hour(*hour);
            if without.contains(&what) {
                continue;
            }
            let whose = Whose::of(self.probe, self.device, *hour);
            let parts = chunk::open(body, whose, |hash| reader.shape(hash))
                .map_err(|error| (what, error))?;
            for part in parts {
                let pieces = blocks.entry(part.shape.hash).or_default();
                pieces.push(Piece::Hour(*hour, part));
            }
        }
        let mut body = day::Encoder::default();
        let mut fine = rollup::Encoder::new(FINE);
        let mut coarse = rollup::Encoder::new(COARSE);
        let mut shapes = Vec::new();
        for pieces in blocks.into_values() {
            let shape = pieces[0].shape().clone();
            let (heads, places) = in_order(&pieces);
            let steps = rollup::steps_of(&heads, self.day, FINE);
            let mut block = day::Encoder::begin(&shape, &heads);
            fine.begin(&shape);
            coarse.begin(&shape);
            for metric in 0..shape.form.metrics.len() {
                let mut cells = Vec::new();
                let counter = is_counter(&shape.form.metrics[metric]);
                for (column, line) in lines_of(&pieces, metric, &places, without)? {
                    block.column(column, &line);
                    cells.push(rollup::roll(counter, &heads, &line, &steps, FINE));
                }
                fine.metric(counter, &cells);
                let cells: Vec<Vec<Cell>> =
                    cells.iter().map(|cells| rollup::coarser(cells)).collect();
                coarse.metric(counter, &cells);
            }
            body.end(block);
            shapes.push(shape);
        }
        let whose = Whose::of(self.probe, self.device, self.day);
        Ok(Done {
            probe: self.probe,
            device: self.device,
            source: self.source,
            hours: Vec::new(),
            body: body.finish(whose),
            shapes,
            fine: fine.finish(whose),
            coarse: coarse.finish(whose),
        })
    }
}

impl Piece<'_> {
    fn shape(&self) -> &Arc<Shape> {
        match self {
            Self::Hour(_, part) => &part.shape,
            Self::Day(part, _) => &part.shape,
        }
    }

    fn heads(&self) -> &Arc<Vec<Head>> {
        match self {
            Self::Hour(_, part) => &part.heads,
            Self::Day(_, times) => &times.heads,
        }
    }

    fn lines(
        &self,
        metric: usize,
        without: &BTreeSet<What>,
    ) -> Result<Vec<(usize, Line)>, (What, DecodeError)> {
        match self {
            Self::Hour(hour, part) => part
                .lines(metric, |_| true)
                .map_err(|error| (What::Hour(*hour), error)),
            Self::Day(part, times) => part
                .shape
                .columns_at(metric)
                .map(|column| {
                    let what = What::column(&part.shape, column);
                    let line = if without.contains(&what) {
                        Line {
                            values: vec![None; times.heads.len()],
                            ..Line::default()
                        }
                    } else {
                        part.line(column, times).map_err(|error| (what, error))?
                    };
                    Ok((column, line))
                })
                .collect(),
        }
    }
}

/// All heads by time, and where each one's place is among them (`None`: they are in order as they are).
fn in_order(pieces: &[Piece<'_>]) -> (Vec<Head>, Option<Vec<u32>>) {
    let heads: Vec<Head> = pieces
        .iter()
        .flat_map(|piece| piece.heads().iter().copied())
        .collect();
    if heads.is_sorted_by_key(Head::at_ms) {
        return (heads, None);
    }
    let mut order: Vec<u32> = (0..).take(heads.len()).collect();
    order.sort_by_key(|at| heads[*at as usize].at_ms());
    let sorted = order.iter().map(|at| heads[*at as usize]).collect();
    let mut places = vec![0; heads.len()];
    for (place, at) in (0..).zip(&order) {
        places[*at as usize] = place;
    }
    (sorted, Some(places))
}

/// The lines of a metric's columns over all pieces.
fn lines_of(
    pieces: &[Piece<'_>],
    metric: usize,
    places: &Option<Vec<u32>>,
    without: &BTreeSet<What>,
) -> Result<Vec<(usize, Line)>, (What, DecodeError)> {
    let mut all: Vec<(usize, Line)> = Vec::new();
    let mut base = 0_u32;
    for piece in pieces {
        let lines = piece.lines(metric, without)?;
        if all.is_empty() {
            all = lines;
        } else {
            for ((_, all), (_, line)) in all.iter_mut().zip(lines) {
                all.values.extend(line.values);
                let spans = line.spans.into_iter();
                all.spans.extend(spans.map(|(at, span)| (at + base, span)));
                let anchors = line.anchors.into_iter();
                all.anchors
                    .extend(anchors.map(|(at, kind, raw)| (at + base, kind, raw)));
            }
        }
        base += u32::try_from(piece.heads().len()).unwrap_or(u32::MAX);
    }
    if let Some(places) = places {
        for (_, line) in &mut all {
            let place = |at: u32| places[at as usize];
            let mut values = vec![None; line.values.len()];
            for (value, place) in line.values.iter().zip(places) {
                values[*place as usize] = *value;
            }
            line.values = values;
            line.spans.iter_mut().for_each(|(at, _)| *at = place(*at));
            line.spans.sort_by_key(|(at, _)| *at);
            line.anchors
                .iter_mut()
                .for_each(|(at, ..)| *at = place(*at));
            line.anchors.sort_by_key(|(at, ..)| *at);
        }
    }
    Ok(all)
}

fn write_roll_ups(
    files: &Days,
    day: i64,
    done: &[Done],
    body: impl Fn(&Done) -> &Vec<u8>,
) -> Result<(), ReadError> {
    if done.is_empty() {
        return Ok(());
    }
    files.write(files.kind.file_of(day.saturating_mul(24)), |tx| {
        for one in done {
            for shape in &one.shapes {
                days::put_shape(tx, shape)?;
            }
            let source = days::put_source(tx, one.probe, one.device)?;
            tx.prepare_cached(
                "INSERT INTO roll_ups (id, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = excluded.body",
            )?
            .execute(params![days::roll_up_id(source, day), body(one)])?;
        }
        Ok(())
    })
}
