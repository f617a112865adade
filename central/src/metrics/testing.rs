//! Shapes, rows, layouts and batches for the tests of the parts.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "tests use all of it, fuzzing a part"
)]

use std::sync::Arc;

use farwatch_shared::model::{Column, InstanceNo, Metric};

use super::row::Row;
use super::shape::{Form, Shape};

/// The same numbers for the same seed, for ever.
pub(super) struct Seeded(pub(super) u64);

impl Seeded {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(super) fn narrow<T: TryFrom<u64>>(&mut self, n: u64) -> T {
        T::try_from(self.below(n)).ok().unwrap()
    }
}

pub(super) fn metric(name: &str, kind: u8, width: u8) -> Metric {
    Metric {
        name: name.to_owned(),
        kind,
        scale: 0,
        width,
        unit: if kind == 0 {
            "octets".to_owned()
        } else {
            String::new()
        },
    }
}

/// A counter and a gauge by turns.
pub(super) fn shape(columns: u16) -> Arc<Shape> {
    Arc::new(Shape::of(Form {
        group: 1,
        interval_s: 60,
        metrics: vec![metric("ifHCInOctets", 0, 64), metric("sysUpTime", 1, 0)],
        columns: (0..columns)
            .map(|at| Column {
                metric: at % 2,
                instance: InstanceNo(u32::from(at)),
            })
            .collect(),
    }))
}

/// An hour of rows of [`shape`], with every oddity somewhere.
pub(super) fn rows(columns: u16) -> Vec<Row> {
    let mut seeded = Seeded(5);
    (0..60)
        .map(|at| Row {
            batch: at,
            slot_s: 1_700_000_000 + i64::from(at) * 60,
            offset_ms: seeded.narrow::<i32>(90) - 10,
            correction_ms: if at > 50 { -3_000 } else { 0 },
            span_ms: match at % 7 {
                0 => 0,
                1 => u32::MAX,
                _ => 60_000,
            },
            values: (0..columns)
                .map(|_| {
                    let shift = seeded.below(64);
                    (seeded.below(9) > 0).then(|| (seeded.next() >> shift).cast_signed())
                })
                .collect(),
            spans: if at % 11 == 3 {
                vec![(0, 120_000), (columns - 1, 5)]
            } else {
                Vec::new()
            },
            anchors: if at % 13 == 4 {
                vec![(0, 2, seeded.next())]
            } else {
                Vec::new()
            },
        })
        .collect()
}
