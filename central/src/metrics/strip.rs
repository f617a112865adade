//! Samples by column: the polls of one device as one list, and beside it one line per series.

use std::sync::Arc;

#[cfg(any(test, feature = "fuzz"))]
use super::chunk::Block;
use super::row::Row;
use super::shape::Shape;

/// When one poll was, without its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// As [`Row::slot_s`].
    pub(super) slot_s: i64,
    /// As [`Row::correction_ms`].
    pub(super) correction_ms: i64,
    /// As [`Row::offset_ms`].
    pub(super) offset_ms: i32,
    /// As [`Row::span_ms`].
    pub(super) span_ms: u32,
}

impl Head {
    /// As [`Row::slot_ms`].
    pub(super) const fn slot_ms(&self) -> i64 {
        self.slot_s
            .saturating_mul(1_000)
            .saturating_add(self.correction_ms)
    }

    /// As [`Row::at_ms`].
    pub(super) const fn at_ms(&self) -> i64 {
        self.slot_ms().saturating_add(self.offset_ms as i64)
    }

    pub(super) const fn of(row: &Row) -> Self {
        Self {
            slot_s: row.slot_s,
            correction_ms: row.correction_ms,
            offset_ms: row.offset_ms,
            span_ms: row.span_ms,
        }
    }
}

/// The values of one series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// One per head.
    pub(super) values: Vec<Option<i64>>,
    /// Heads whose increase covers another span: (head, span), ascending.
    pub(super) spans: Vec<(u32, u32)>,
    /// Raw counters: (head, kind, raw), ascending.
    pub(super) anchors: Vec<(u32, u8, u64)>,
}

impl Line {
    /// What the increase at a head covers, ms.
    pub(super) fn span_of(&self, at: usize, head: &Head) -> u32 {
        if self.spans.is_empty() {
            return head.span_ms;
        }
        self.spans
            .iter()
            .find(|(of, _)| *of as usize == at)
            .map_or(head.span_ms, |(_, span)| *span)
    }
}

/// Polls of one shape with the lines of some of its columns.
#[derive(Clone, Debug)]
pub(super) struct Strip {
    pub(super) shape: Arc<Shape>,
    /// Ascending by time.
    pub(super) heads: Arc<Vec<Head>>,
    /// Column of the shape, and its line.
    pub(super) lines: Vec<(usize, Line)>,
}

#[cfg(any(test, feature = "fuzz"))]
impl Strip {
    /// Some columns of rows.
    pub(super) fn of(block: &Block, wanted: impl Fn(usize) -> bool) -> Self {
        let rows = &block.rows;
        let lines = (0..block.shape.columns())
            .filter(|column| wanted(*column))
            .map(|column| {
                let mut line = Line {
                    values: rows.iter().map(|row| row.values[column]).collect(),
                    ..Line::default()
                };
                for (at, row) in (0_u32..).zip(rows) {
                    for (of, span) in &row.spans {
                        if usize::from(*of) == column {
                            line.spans.push((at, *span));
                        }
                    }
                    for (of, kind, raw) in &row.anchors {
                        if usize::from(*of) == column {
                            line.anchors.push((at, *kind, *raw));
                        }
                    }
                }
                (column, line)
            })
            .collect();
        Self {
            shape: block.shape.clone(),
            heads: Arc::new(rows.iter().map(Head::of).collect()),
            lines,
        }
    }
}
