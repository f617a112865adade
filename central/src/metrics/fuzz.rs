//! What lies in the metrics store's files, and what a probe's batch does to it.

#![allow(
    clippy::unwrap_used,
    reason = "these are tests: a broken promise is a panic"
)]

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::fuzz::Target;
use farwatch_shared::fuzz::samples;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{DeviceNo, Epoch, Lane as LaneCode, LayoutNo};
use farwatch_shared::wire::message::batch::{Batch, LayoutsBody, SAMPLES, layout_hash};
use farwatch_shared::wire::{columns, decode, encode};

use super::batches::BatchSet;
use super::bucket::{self, How, Sample};
use super::chunk::{self, Block, Whose};
use super::proof::Lane;
use super::query::{RangeQuery, Source};
use super::rollup::FINE;
use super::row::Row;
use super::shape::{self, Known, Shape, Shapes};
use super::strip::Strip;
use super::{ClockCorrection, Metrics, Pass, Settings, day, rollup, testing};

/// Chunks, roll-ups and what else lies in the files; and the store as a whole.
pub const TARGETS: &[Target] = &[
    // 100,000 rows, as decoded, written and read again; with three columns 200 bytes each.
    Target::new("day_chunk", day_chunk, || {
        vec![chunk::encode(&blocks(), Whose::NOBODY)]
    })
    .longest(256 * 1024)
    .memory(112 << 20, 64)
    .cost(4),
    Target::new("device_day", device_day, || vec![write_day(&strips())])
        .longest(256 * 1024)
        .memory(112 << 20, 64)
        .cost(4),
    Target::new("roll_up", roll_up, || vec![rolled()])
        .longest(256 * 1024)
        .memory(4 << 20, 1_600)
        .cost(2),
    Target::new("batch_set", batch_set, || {
        let mut set = BatchSet::default();
        for (epoch, seq) in [(7, 1), (7, 2), (7, 9), (u64::MAX, 4), (8, 1 << 60)] {
            set.insert(Epoch(epoch), seq);
        }
        vec![set.to_bytes(), BatchSet::default().to_bytes()]
    }),
    Target::new("shape", shape, || {
        vec![testing::shape(3).to_bytes(), testing::shape(200).to_bytes()]
    })
    .memory(3 << 20, 128),
    Target::new("proof", proof, || {
        vec![vec![1, 3, 1, 1, 0xff, 1], vec![2, 3, 1, 0, 9, 2, 0, 0]]
    }),
    Target::new("samples_stored", stored, || {
        let bodies = samples::bodies();
        bodies.iter().map(|body| [&[0], &**body].concat()).collect()
    })
    .memory(160 << 20, 1_024)
    .within_ms(2_000)
    .cost(400),
];

fn blocks() -> Vec<Block> {
    let shape = testing::shape(3);
    let mut rows = testing::rows(3);
    for row in &mut rows {
        row.batch = 0;
    }
    rows.sort_by_key(Row::slot_ms);
    let few = rows[..7].to_vec();
    [rows, few]
        .map(|rows| Block {
            shape: shape.clone(),
            rows,
        })
        .into()
}

fn strips() -> Vec<Strip> {
    let blocks = blocks();
    blocks
        .iter()
        .map(|block| Strip::of(block, |_| true))
        .collect()
}

fn write_day(strips: &[Strip]) -> Vec<u8> {
    let mut encoder = day::Encoder::default();
    for strip in strips {
        let mut block = day::Encoder::begin(&strip.shape, &strip.heads);
        for (column, line) in &strip.lines {
            block.column(*column, line);
        }
        encoder.end(block);
    }
    encoder.finish(Whose::NOBODY)
}

fn rolled() -> Vec<u8> {
    let mut encoder = rollup::Encoder::new(FINE);
    for strip in strips() {
        let day = super::schema::day_of(super::schema::hour_of(1_700_000_000_000));
        let places = rollup::steps_of(&strip.heads, day, FINE);
        encoder.begin(&strip.shape);
        for metric in 0..strip.shape.form.metrics.len() {
            let of = |column: usize| usize::from(strip.shape.form.columns[column].metric) == metric;
            let counter = shape::is_counter(&strip.shape.form.metrics[metric]);
            let lines = strip.lines.iter().filter(|(column, _)| of(*column));
            let cells: Vec<_> = lines
                .map(|(_, line)| rollup::roll(counter, &strip.heads, line, &places, FINE))
                .collect();
            encoder.metric(counter, &cells);
        }
    }
    encoder.finish(Whose::NOBODY)
}

/// As it is, and with its checksum put right.
fn both(bytes: &[u8], read: impl Fn(&[u8]) -> bool) -> bool {
    let mut right = bytes.to_vec();
    if let Some((sum, rest)) = right.split_first_chunk_mut::<4>() {
        *sum = crc32fast::hash(rest).to_le_bytes();
    }
    read(bytes) | read(&right)
}

fn shape_of(_hash: u64) -> Option<Arc<Shape>> {
    static SHAPE: LazyLock<Arc<Shape>> = LazyLock::new(|| testing::shape(3));
    Some(SHAPE.clone())
}

fn day_chunk(bytes: &[u8]) -> bool {
    both(bytes, |bytes| {
        let Ok(all) = chunk::decode(bytes, Whose::NOBODY, shape_of) else {
            return false;
        };
        let parts = chunk::open(bytes, Whose::NOBODY, shape_of).expect("it was just read");
        for (part, block) in parts.iter().zip(&all) {
            let one = part
                .strip(|_, column| column == 1)
                .expect("a part of what is whole");
            let rows = block.rows.iter().map(|row| row.values[1]);
            assert!(
                one.expect("a column").lines[0]
                    .1
                    .values
                    .iter()
                    .copied()
                    .eq(rows)
            );
        }
        let again = chunk::encode(&all, Whose::NOBODY);
        let back =
            chunk::decode(&again, Whose::NOBODY, shape_of).expect("what we write can be read");
        // A long block is written as several, an empty one not at all: the rows are the same.
        let rows = |blocks: Vec<Block>| blocks.into_iter().flat_map(|block| block.rows);
        assert!(rows(back).eq(rows(all)), "it does not travel back");
        true
    })
}

/// As it is, and with the checksum of its head put right; those of its sections stay wrong where they were changed.
fn device_day(bytes: &[u8]) -> bool {
    let mut right = bytes.to_vec();
    if let Some((len, rest)) = right.split_first_chunk_mut::<4>() {
        let len = u32::from_le_bytes(*len) as usize;
        if let Some((sum, head)) = rest
            .get_mut(..len)
            .and_then(<[u8]>::split_first_chunk_mut::<4>)
        {
            *sum = crc32fast::hash(head).to_le_bytes();
        }
    }
    let read = |bytes: &[u8]| {
        let Ok(day) = day::open(bytes, Whose::NOBODY, shape_of) else {
            return false;
        };
        let strips: Result<Vec<_>, _> = day
            .parts
            .iter()
            .map(|part| part.strip(|_, _| true))
            .collect();
        let Ok(strips) = strips else {
            return false;
        };
        let strips: Vec<Strip> = strips.into_iter().flatten().collect();
        let again = write_day(&strips);
        let day = day::open(&again, Whose::NOBODY, shape_of).expect("what we write can be read");
        let full = strips.iter().filter(|strip| !strip.heads.is_empty());
        for (part, before) in day.parts.iter().zip(full) {
            let back = part
                .strip(|_, _| true)
                .expect("it is whole")
                .expect("all columns");
            assert!(back.lines == before.lines, "it does not travel back");
        }
        true
    };
    read(bytes) | read(&right)
}

fn roll_up(bytes: &[u8]) -> bool {
    both(bytes, |bytes| {
        let all = rollup::decode(bytes, Whose::NOBODY, shape_of, |_, _| true);
        let one = rollup::decode(bytes, Whose::NOBODY, shape_of, |_, column| column == 1);
        let (Ok(all), Ok(one)) = (all, one) else {
            return false;
        };
        for (one, all) in one.iter().zip(&all) {
            let same = all.columns.iter().find(|(column, _)| *column == 1);
            assert!(same == one.columns.first(), "a part of what is whole");
        }
        true
    })
}

fn batch_set(bytes: &[u8]) -> bool {
    let Ok(set) = BatchSet::from_bytes(bytes) else {
        return false;
    };
    assert_eq!(BatchSet::from_bytes(&set.to_bytes()).unwrap(), set);
    true
}

fn shape(bytes: &[u8]) -> bool {
    let gap_columns: Result<Vec<u8>, _> = decode(bytes);
    if let Ok(columns) = gap_columns {
        assert_eq!(decode::<Vec<u8>>(&encode(&columns)).unwrap(), columns);
    }
    let Ok(shape) = Shape::from_bytes(bytes) else {
        return false;
    };
    for column in 0..shape.columns() {
        let _ = (
            shape.metric(column),
            shape.instance(column),
            shape.is_counter(column),
        );
    }
    assert_eq!(Shape::from_bytes(&shape.to_bytes()).unwrap(), shape);
    true
}

fn proof(bytes: &[u8]) -> bool {
    static KNOWN: LazyLock<Known> = LazyLock::new(|| {
        let layout = samples::layouts().remove(&LayoutNo(3)).unwrap();
        Shapes::default().know(layout).unwrap()
    });
    let known = |no| (no == LayoutNo(3)).then_some(&*KNOWN);
    let Ok(lane) = Lane::from_bytes(7, bytes, known) else {
        return false;
    };
    let again = lane.to_bytes();
    let back = Lane::from_bytes(7, &again, known).unwrap().to_bytes();
    assert!(back == again, "it does not travel back");
    true
}

struct Bench {
    metrics: Metrics,
    _dir: tempfile::TempDir,
    commits: u32,
}

const NOW_S: i64 = 1_700_000_600;

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_secs(NOW_S));
        let metrics = Metrics::open(dir.path(), Settings::default(), clock).unwrap();
        Self {
            metrics,
            _dir: dir,
            commits: 0,
        }
    }

    fn commit(&mut self, offset_ms: i64, body: &[u8]) {
        self.commits += 1;
        let (probe, epoch) = (ProbeId::generate(), Epoch(7));
        let layouts = samples::layouts().into_values();
        let layouts = LayoutsBody {
            epoch: epoch.0,
            layouts: layouts
                .map(|layout| (layout.clone(), layout_hash(&layout)))
                .collect(),
        };
        let inner = &self.metrics.0;
        inner.put_layouts(probe, &layouts).unwrap();
        let batch = Batch {
            epoch,
            lane: LaneCode::Samples.code(),
            seq: 1,
            kind: SAMPLES,
            version: columns::VERSION,
            crc: farwatch_shared::session::crc(body),
            boot_id: String::new(),
            boot_ms: 0,
            closed: Timestamp::from_secs(NOW_S),
            from: Timestamp::from_secs(NOW_S),
            to: Timestamp::from_secs(NOW_S),
            body: body.to_vec(),
        };
        let correction = ClockCorrection {
            offset_ms,
            approximate: false,
        };
        inner.commit(probe, correction, vec![batch]).unwrap();
        let sources: Vec<Source> = [3, 9, 4_000_000]
            .map(|device| Source {
                probe,
                device: DeviceNo(device),
            })
            .into();
        for source in &sources {
            let _ = self.metrics.last(*source);
        }
        let _ = self
            .metrics
            .top("ifHCInOctets", 10, |_, _, value| Some(value));
        let _ = self.metrics.anchors(probe, None);
        let range = |from, to, step_s| {
            inner
                .range(&RangeQuery {
                    sources: sources.clone(),
                    metrics: ["ifHCInOctets", "ifOperStatus", "sysUpTime"]
                        .map(str::to_owned)
                        .into(),
                    instances: None,
                    from: Timestamp(from),
                    to: Timestamp(to),
                    step_s,
                    raw: true,
                })
                .unwrap()
        };
        let before = range(1_699_990_000_000, 1_700_030_000_000, Some(60));
        range(1_699_990_000_000, 1_700_030_000_000, None);
        range(0, 253_402_300_799_999, None);
        // Each other day is another file: what says many days is kept in memory here.
        let days = columns::decode(body, &samples::layouts()).map_or(0, |batch| {
            let days = batch.scrapes.iter().map(|scrape| scrape.slot_s / 86_400);
            days.collect::<std::collections::BTreeSet<_>>().len()
        });
        if days <= 8 {
            inner.seal_pass(Pass::Everything).unwrap();
            let after = range(1_699_990_000_000, 1_700_030_000_000, Some(60));
            assert!(
                inner.days.are_sound(),
                "a day was written that cannot be read"
            );
            assert_eq!(
                before.series, after.series,
                "sealed, it shows something else"
            );
        }
    }
}

/// A batch as a probe might send it, kept and asked for; the first byte says how wrong the probe's clock is.
fn stored(bytes: &[u8]) -> bool {
    thread_local! {
        static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
    }
    let Some((clock, body)) = bytes.split_first() else {
        return false;
    };
    let offset_ms = [0, 3_600_000, i64::MAX, i64::MIN][usize::from(clock % 4)];
    // Taken out while it works: what panics leaves nothing half done behind.
    let mut bench = BENCH.take().unwrap_or_else(Bench::new);
    bench.commit(offset_ms, body);
    if bench.commits < 64 {
        BENCH.set(Some(bench));
    }
    columns::decode(body, &samples::layouts()).is_ok()
}

/// How many points a question draws, of samples at its edges and far outside.
pub(crate) fn points(from: i64, to: i64, step_s: Option<u32>) -> usize {
    let step_s = bucket::choose_step(step_s, from, to, 60);
    assert!(step_s > 0);
    let at = |at_ms: i64, span_ms| Sample {
        slot_ms: at_ms,
        at_ms,
        span_ms,
        raw: 1,
        value: 1.0,
    };
    let samples = [
        at(i64::MIN, u32::MAX),
        at(from, 60_000),
        at(to.saturating_sub(1), u32::MAX),
        at(to, u32::MAX),
        at(i64::MAX, 1),
    ];
    [How::Rate, How::Mean, How::Last]
        .map(|how| {
            bucket::each(&samples, how, from, to);
            bucket::steps(&samples, &[], how, from, to, i64::from(step_s) * 1_000).len()
        })
        .into_iter()
        .max()
        .unwrap_or(0)
}
