//! Bodies of samples batches: as they travel, and with their text as it is inside its zstd frame.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Target;
use crate::clock::Timestamp;
use crate::model::{
    Anchor, Column, DeviceNo, GapRun, InstanceNo, Layout, LayoutNo, Metric, ProbeGap, SampleBatch,
    Scrape,
};
use crate::wire::codec::{BATCH_BYTES, INFLATE_RATIO};
use crate::wire::columns::bytes::{Reader, put};
use crate::wire::columns::pool::{self, Buffers, Effort, Sources};
use crate::wire::columns::{self, Outline};

/// A body holds 8 MiB of values and heads at the most (`columns::outline`); while it is read they lie in memory two or
/// three times, beside its text.
const MEMORY: usize = 40 << 20;

/// The samples lane.
pub const TARGETS: &[Target] = &[
    Target::new("samples_body", body, bodies)
        .longest(BATCH_BYTES)
        .memory(MEMORY, 256)
        .cost(4),
    Target::new("samples_text", text, texts)
        .longest(BATCH_BYTES)
        .memory(MEMORY, 256)
        .cost(10),
    Target::new("pool", one_pool, pools)
        .longest(BATCH_BYTES)
        .memory(16 << 20, 64)
        .cost(2),
];

/// The layouts that the examples name: one column, twenty, none.
#[must_use]
pub fn layouts() -> HashMap<LayoutNo, Layout> {
    let metric = |name: &str, kind: u8, width: u8| Metric {
        name: name.to_owned(),
        kind,
        scale: 0,
        width,
        unit: String::new(),
    };
    let layout = |no: u32, columns: u32| Layout {
        no: LayoutNo(no),
        device: DeviceNo(no),
        group: 1,
        interval_s: 60,
        phase_s: 7,
        valid_from_s: 1_700_000_000,
        metrics: vec![
            metric("ifHCInOctets", 0, 64),
            metric("ifOperStatus", 2, 0),
            metric("sysUpTime", 1, 0),
        ],
        columns: (0..columns)
            .map(|at| Column {
                metric: u16::try_from(at % 3).unwrap(),
                instance: InstanceNo(at / 3),
            })
            .collect(),
    };
    [layout(3, 1), layout(9, 20), layout(4_000_000, 0)]
        .map(|layout| (layout.no, layout))
        .into()
}

/// Batches with every oddity somewhere.
#[must_use]
pub fn batches() -> Vec<SampleBatch> {
    let scrape = |layout: u32, columns: i64, at: i64| Scrape {
        layout: LayoutNo(layout),
        slot_s: 1_700_000_000 + at * 60,
        offset_ms: i32::try_from(at % 50).unwrap() - 3,
        span_ms: if at % 5 == 0 { 0 } else { 60_000 },
        values: (0..columns)
            .map(|column| {
                (at % 7 != 3 || column % 2 == 0).then_some(match column % 3 {
                    0 => (at * 7_919 + column * 104_729) % 1_000_003 * 977,
                    1 => 1 + i64::from(at % 11 == 0),
                    _ => at * 6_000,
                })
            })
            .collect(),
        spans: if at % 6 == 1 && columns > 1 {
            vec![(0, 120_000), (1, 5)]
        } else {
            Vec::new()
        },
    };
    let whole = SampleBatch {
        scrapes: (0..12)
            .flat_map(|at| [scrape(9, 20, at), scrape(3, 1, at)])
            .collect(),
        anchors: (0..6)
            .map(|at| Anchor {
                layout: LayoutNo(9),
                column: at,
                kind: 2,
                slot_s: 1_700_000_000 + i64::from(at),
                raw: u64::MAX - u64::from(at),
            })
            .collect(),
        gaps: vec![
            GapRun {
                layout: LayoutNo(9),
                first_slot_s: 1_700_000_060,
                slots: 4,
                reason: 5,
                columns: vec![0xff, 0x0f, 1],
            },
            GapRun {
                layout: LayoutNo(4_000_000),
                first_slot_s: -5,
                slots: 1,
                reason: 7,
                columns: Vec::new(),
            },
        ],
        probe_gaps: vec![ProbeGap {
            from: Timestamp(1_700_000_000_000),
            to: Timestamp(1_700_000_060_000),
            reason: 2,
        }],
    };
    let small = SampleBatch {
        scrapes: vec![scrape(3, 1, 1), scrape(4_000_000, 0, 2)],
        ..SampleBatch::default()
    };
    let long = SampleBatch {
        scrapes: (0..300).map(|at| scrape(9, 20, at)).collect(),
        ..SampleBatch::default()
    };
    vec![whole, small, long, SampleBatch::default()]
}

/// Those batches as they travel.
#[must_use]
pub fn bodies() -> Vec<Vec<u8>> {
    let layouts = layouts();
    let encode = |batch| columns::encode(batch, &layouts).unwrap();
    batches().iter().map(encode).collect()
}

/// Their text without its zstd frame, with what is packed behind it: length of the text, text, packed.
fn texts() -> Vec<Vec<u8>> {
    bodies()
        .into_iter()
        .map(|body| {
            let mut from = Reader(&body);
            let form = from.byte().unwrap();
            let len: usize = from.narrow().unwrap();
            let text = if form == 0 {
                from.take(len).unwrap().to_vec()
            } else {
                let small = from.narrow().unwrap();
                pool::decompress(from.take(small).unwrap(), len).unwrap()
            };
            let mut out = Vec::new();
            put(text.len() as u64, &mut out);
            out.extend_from_slice(&text);
            out.extend_from_slice(from.0);
            out
        })
        .collect()
}

/// Reads a body and what of it needs no layouts; both say the same.
pub fn body(bytes: &[u8]) -> bool {
    static LAYOUTS: LazyLock<HashMap<LayoutNo, Layout>> = LazyLock::new(layouts);
    let outline = columns::outline(bytes);
    assert_eq!(pool::decoder_panics_total(), 0, "pco panicked");
    let named = columns::layouts_named(bytes);
    assert_eq!(outline.is_ok(), named.is_ok());
    let Ok(batch) = columns::decode(bytes, &*LAYOUTS) else {
        return false;
    };
    agree(
        &outline.expect("a body that is whole has an outline"),
        &batch,
    );
    let again = columns::encode(&batch, &*LAYOUTS).expect("what was read can be written");
    let back = columns::decode(&again, &*LAYOUTS).expect("and read again");
    assert!(back == batch, "it does not travel back");
    true
}

fn agree(outline: &Outline, batch: &SampleBatch) {
    assert_eq!(outline.scrapes.len(), batch.scrapes.len());
    assert_eq!(
        (&outline.anchors, &outline.gaps, &outline.probe_gaps),
        (&batch.anchors, &batch.gaps, &batch.probe_gaps)
    );
    for (head, scrape) in outline.scrapes.iter().zip(&batch.scrapes) {
        for (column, value) in scrape.values.iter().enumerate() {
            assert_eq!(head.has(column), value.is_some());
        }
    }
}

/// The same with the text put into its zstd frame here, so that a change reaches what is inside.
fn text(bytes: &[u8]) -> bool {
    let mut from = Reader(bytes);
    let Ok(text) = from.narrow().and_then(|len| from.take(len)) else {
        return false;
    };
    let Some(small) = pool::compress(text) else {
        return false;
    };
    let mut stored = vec![0];
    put(text.len() as u64, &mut stored);
    stored.extend_from_slice(text);
    stored.extend_from_slice(from.0);
    let mut squeezed = vec![1];
    put(text.len() as u64, &mut squeezed);
    put(small.len() as u64, &mut squeezed);
    squeezed.extend_from_slice(&small);
    squeezed.extend_from_slice(from.0);
    let good = body(&stored);
    if text.len() <= small.len() * INFLATE_RATIO {
        // The longer body may hold more for its length; never less.
        assert!(!body(&squeezed) || good);
    }
    good
}

fn pools() -> Vec<Vec<u8>> {
    let noise = |n: i64, bits: u32| -> Vec<i64> {
        (0..n)
            .map(|at| (at.wrapping_mul(0x5851_f42d_4c95_7f2d) >> (64 - bits)) ^ at)
            .collect()
    };
    let slow: Vec<i64> = (0..400).map(|at| at * 1_000 + at * at % 77).collect();
    [
        vec![7; 50],
        noise(60, 20),
        noise(500, 24),
        noise(90, 63),
        slow,
        vec![i64::MIN, i64::MAX, 0],
    ]
    .iter()
    .map(|values| {
        let mut out = Buffers::default();
        pool::encode(values, Effort::Smallest, &mut out);
        let mut bytes = Vec::new();
        put(values.len() as u64, &mut bytes);
        put(out.text.len() as u64, &mut bytes);
        [bytes, out.text, out.packed].concat()
    })
    .collect()
}

/// How many values, length of the text, text, packed.
fn one_pool(bytes: &[u8]) -> bool {
    let mut from = Reader(bytes);
    let (Ok(n), Ok(text)) = (from.narrow(), from.narrow().and_then(|len| from.take(len))) else {
        return false;
    };
    let mut sources = Sources {
        text,
        packed: from.0,
    };
    let mut values = Vec::new();
    let read = pool::decode(n, &mut sources, &mut values);
    assert_eq!(pool::decoder_panics_total(), 0, "pco panicked");
    if read.is_err() {
        assert!(values.len() <= n, "more than was asked for");
        return false;
    }
    assert_eq!(values.len(), n);
    let mut again = Buffers::default();
    pool::encode(&values, Effort::Smallest, &mut again);
    let mut sources = Sources {
        text: &again.text,
        packed: &again.packed,
    };
    let mut back = Vec::new();
    pool::decode(n, &mut sources, &mut back).expect("what we write can be read");
    assert!(back == values, "it does not travel back");
    true
}
