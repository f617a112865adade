//! One poll as the store handles it, and its compact form in memory.

use std::sync::Arc;

use farwatch_shared::wire::DecodeError;
use farwatch_shared::wire::columns::bytes::{Reader, put, unzigzag, zigzag};

use super::shape::Shape;

/// One poll of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// Index of its batch in the hour that holds it; means nothing once sealed.
    pub(super) batch: u32,
    /// Its slot by the probe's clock, unix seconds.
    pub(super) slot_s: i64,
    /// When the answer was read, ms after the slot.
    pub(super) offset_ms: i32,
    /// Added to the probe's times, ms.
    pub(super) correction_ms: i64,
    /// What increases cover, ms; 0 where there was no reading before.
    pub(super) span_ms: u32,
    /// One per column.
    pub(super) values: Vec<Option<i64>>,
    /// Columns whose increase covers another span.
    pub(super) spans: Vec<(u16, u32)>,
    /// Raw counters: (column, kind, raw).
    pub(super) anchors: Vec<(u16, u8, u64)>,
}

impl Row {
    /// The slot in Central's time, ms: where it is shown.
    pub(super) const fn slot_ms(&self) -> i64 {
        self.slot_s
            .saturating_mul(1_000)
            .saturating_add(self.correction_ms)
    }

    /// When it was read, in Central's time, ms.
    pub(super) const fn at_ms(&self) -> i64 {
        self.slot_ms().saturating_add(self.offset_ms as i64)
    }

    /// What a column's increase covers, ms.
    pub(super) fn span_of(&self, column: usize) -> u32 {
        self.spans
            .iter()
            .find(|(at, _)| usize::from(*at) == column)
            .map_or(self.span_ms, |(_, span)| *span)
    }
}

/// Rows of one shape, some two bytes a sample.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) shape: Arc<Shape>,
    rows: u32,
    slot_s: i64,
    bytes: Vec<u8>,
}

const HOLES: u8 = 1;
const SPANS: u8 = 2;
const ANCHORS: u8 = 4;
const CORRECTED: u8 = 8;

impl Log {
    pub(super) const fn new(shape: Arc<Shape>) -> Self {
        Self {
            shape,
            rows: 0,
            slot_s: 0,
            bytes: Vec::new(),
        }
    }

    pub(super) const fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a row that has as many values as the shape has columns.
    pub(super) fn push(&mut self, row: &Row) {
        let out = &mut self.bytes;
        let holes = row.values.iter().any(Option::is_none);
        let mut flags = 0;
        for (set, flag) in [
            (holes, HOLES),
            (!row.spans.is_empty(), SPANS),
            (!row.anchors.is_empty(), ANCHORS),
            (row.correction_ms != 0, CORRECTED),
        ] {
            flags |= if set { flag } else { 0 };
        }
        out.push(flags);
        put(u64::from(row.batch), out);
        put(zigzag(row.slot_s.wrapping_sub(self.slot_s)), out);
        put(zigzag(i64::from(row.offset_ms)), out);
        put(u64::from(row.span_ms), out);
        if row.correction_ms != 0 {
            put(zigzag(row.correction_ms), out);
        }
        if holes {
            let mut bits = vec![0; row.values.len().div_ceil(8)];
            for (column, value) in row.values.iter().enumerate() {
                bits[column / 8] |= u8::from(value.is_some()) << (column % 8);
            }
            out.extend_from_slice(&bits);
        }
        for value in row.values.iter().flatten() {
            put(zigzag(*value), out);
        }
        put_extras(row, out);
        self.slot_s = row.slot_s;
        self.rows += 1;
    }

    /// Calls `f` with each row, in the order they came. Stops early, never panics, should the bytes be wrong.
    pub(super) fn each(&self, mut f: impl FnMut(&Row)) {
        let mut from = Reader(&self.bytes);
        let mut row = Row::default();
        for _ in 0..self.rows {
            if self.read(&mut from, &mut row).is_err() {
                debug_assert!(false, "a log reads back what it was given");
                return;
            }
            f(&row);
        }
    }

    fn read(&self, from: &mut Reader<'_>, row: &mut Row) -> Result<(), DecodeError> {
        let columns = self.shape.columns();
        let flags = from.byte()?;
        row.batch = from.narrow()?;
        row.slot_s = row.slot_s.wrapping_add(from.int()?);
        row.offset_ms = i32::try_from(from.int()?)
            .map_err(|_| DecodeError::Inconsistent("an offset out of its range"))?;
        row.span_ms = from.narrow()?;
        row.correction_ms = if flags & CORRECTED == 0 {
            0
        } else {
            from.int()?
        };
        row.values.clear();
        if flags & HOLES == 0 {
            for _ in 0..columns {
                row.values.push(Some(from.int()?));
            }
        } else {
            let bits = from.take(columns.div_ceil(8))?;
            for column in 0..columns {
                row.values
                    .push(if bits[column / 8] >> (column % 8) & 1 == 1 {
                        Some(unzigzag(from.uint()?))
                    } else {
                        None
                    });
            }
        }
        row.spans.clear();
        row.anchors.clear();
        take_extras(from, flags & SPANS != 0, flags & ANCHORS != 0, columns, row)
    }
}

/// Spans and anchors, where there are any.
pub(super) fn put_extras(row: &Row, out: &mut Vec<u8>) {
    if !row.spans.is_empty() {
        put(row.spans.len() as u64, out);
        for (column, span) in &row.spans {
            put(u64::from(*column), out);
            put(u64::from(*span), out);
        }
    }
    if !row.anchors.is_empty() {
        put(row.anchors.len() as u64, out);
        for (column, kind, raw) in &row.anchors {
            put(u64::from(*column), out);
            out.push(*kind);
            put(*raw, out);
        }
    }
}

/// Back from [`put_extras`].
pub(super) fn take_extras(
    from: &mut Reader<'_>,
    spans: bool,
    anchors: bool,
    columns: usize,
    row: &mut Row,
) -> Result<(), DecodeError> {
    let column = |from: &mut Reader<'_>| {
        from.narrow::<u16>().and_then(|column| {
            if usize::from(column) < columns {
                Ok(column)
            } else {
                Err(DecodeError::Inconsistent("no such column"))
            }
        })
    };
    if spans {
        for _ in 0..from.count(2)? {
            row.spans.push((column(from)?, from.narrow()?));
        }
    }
    if anchors {
        for _ in 0..from.count(3)? {
            row.anchors
                .push((column(from)?, from.byte()?, from.uint()?));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::testing;

    #[test]
    fn a_log_reads_back_its_rows() {
        let shape = testing::shape(3);
        let mut log = Log::new(shape);
        let rows = testing::rows(3);
        for row in &rows {
            log.push(row);
        }
        let mut back = Vec::new();
        log.each(|row| back.push(row.clone()));
        assert_eq!(back, rows);
    }
}
