//! One sealed hour of one device: per metric one pool of integers over the device's instances.
//!
//! ```text
//! chunk   = CRC-32 of the rest (4 bytes) · version · blocks · block*
//! block   = hash of its shape (8 bytes) · rows · section of heads · one section per metric of the shape
//! section = length · (form · text length · [length of its zstd frame] · text · packed)
//! ```
//!
//! Every section has its length, so one metric is read without the others.

use std::sync::Arc;

use farwatch_shared::wire::DecodeError;
use farwatch_shared::wire::columns::bytes::{Reader, put, unzigzag, zigzag};
use farwatch_shared::wire::columns::pool::{self, Buffers, Effort, Sources};

use super::row::{Row, put_extras, take_extras};
use super::shape::Shape;

const VERSION: u8 = 1;
const STORED: u8 = 0;
const ZSTD: u8 = 1;
/// Rows of one block at the most: a day of polls a second apart, so that damage cannot ask for more.
const ROWS_LIMIT: usize = 100_000;
/// Values of one block at the most, present or not: 1 GiB in memory.
const VALUES_LIMIT: usize = 64 << 20;

/// Rows of one shape.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) shape: Arc<Shape>,
    /// Ascending by slot.
    pub(super) rows: Vec<Row>,
}

/// A chunk of blocks; one that a reader would find too long is written as several, one after the other, and one without
/// rows not at all.
pub(super) fn encode(blocks: &[Block]) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0, VERSION];
    let parts: Vec<(&Shape, &[Row])> = blocks
        .iter()
        .flat_map(|block| {
            let parts = block.rows.chunks(rows_in_a_block(&block.shape));
            parts.map(|rows| (&*block.shape, rows))
        })
        .collect();
    put(parts.len() as u64, &mut out);
    for (shape, rows) in parts {
        out.extend_from_slice(&shape.hash.to_le_bytes());
        put(rows.len() as u64, &mut out);
        put_section(heads(rows), &mut out);
        let mut values = Vec::new();
        for metric in 0..shape.form.metrics.len() {
            values.clear();
            for (column, what) in shape.form.columns.iter().enumerate() {
                if usize::from(what.metric) == metric {
                    values.extend(rows.iter().filter_map(|row| row.values[column]));
                }
            }
            let mut section = Buffers::default();
            pool::encode(&values, Effort::Smallest, &mut section);
            put_section(section, &mut out);
        }
    }
    let crc = crc32fast::hash(&out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out
}

/// How many rows of a shape a reader takes in one block: each metric's values are one pool.
fn rows_in_a_block(shape: &Shape) -> usize {
    let mut columns = vec![0_usize; shape.form.metrics.len()];
    for column in &shape.form.columns {
        columns[usize::from(column.metric)] += 1;
    }
    let widest = columns.into_iter().max().unwrap_or(0).max(1);
    let all = shape.columns().max(1);
    ROWS_LIMIT
        .min(pool::POOL_LIMIT / widest)
        .min(VALUES_LIMIT / all)
        .max(1)
}

/// Reads a chunk; of the values only those of metrics that `wanted` names (all others are `None`).
///
/// Blocks whose shape `shape_of` does not give are an error: the file is damaged.
pub(super) fn decode(
    bytes: &[u8],
    mut shape_of: impl FnMut(u64) -> Option<Arc<Shape>>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Block>, DecodeError> {
    let mut from = Reader(bytes);
    let crc = from.take(4)?;
    if crc32fast::hash(from.0).to_le_bytes() != crc {
        return Err(DecodeError::Inconsistent("its CRC is another"));
    }
    if from.byte()? != VERSION {
        return Err(DecodeError::Inconsistent("a chunk of another version"));
    }
    let mut blocks = Vec::new();
    for _ in 0..from.count(10)? {
        let hash = u64::from_le_bytes(
            from.take(8)?
                .try_into()
                .map_err(|_| DecodeError::Inconsistent("no shape"))?,
        );
        let shape = shape_of(hash).ok_or(DecodeError::Inconsistent("a shape is missing"))?;
        let count: usize = from.narrow()?;
        if count > ROWS_LIMIT || count.saturating_mul(shape.columns()) > VALUES_LIMIT {
            return Err(DecodeError::Inconsistent("too many rows"));
        }
        let needed = shape.form.metrics.iter().any(|metric| wanted(&metric.name));
        let heads = take_section(&mut from)?;
        let mut rows = if needed {
            read_heads(&heads.open()?, count, shape.columns())?
        } else {
            Vec::new()
        };
        for (index, metric) in shape.form.metrics.iter().enumerate() {
            let section = take_section(&mut from)?;
            if needed && wanted(&metric.name) {
                fill(&mut rows, &shape, index, &section.open()?)?;
            }
        }
        if needed {
            // Until here a `Some` only said that there is a value.
            for (column, what) in shape.form.columns.iter().enumerate() {
                if !wanted(&shape.form.metrics[usize::from(what.metric)].name) {
                    for row in &mut rows {
                        row.values[column] = None;
                    }
                }
            }
            blocks.push(Block { shape, rows });
        }
    }
    Ok(blocks)
}

fn fill(
    rows: &mut [Row],
    shape: &Shape,
    metric: usize,
    section: &Opened<'_>,
) -> Result<(), DecodeError> {
    let columns: Vec<usize> = shape
        .form
        .columns
        .iter()
        .enumerate()
        .filter(|(_, what)| usize::from(what.metric) == metric)
        .map(|(column, _)| column)
        .collect();
    let count = columns
        .iter()
        .map(|&column| {
            rows.iter()
                .filter(|row| row.values[column].is_some())
                .count()
        })
        .sum();
    let mut values = Vec::new();
    pool::decode(count, &mut section.sources(), &mut values)?;
    let mut values = values.into_iter();
    for column in columns {
        for row in rows.iter_mut() {
            if let Some(value) = &mut row.values[column] {
                *value = values.next().unwrap_or_default();
            }
        }
    }
    Ok(())
}

/// Slots by their distance beyond the usual one, spans by their distance from the time between two readings: both
/// nearly always 0.
fn heads(rows: &[Row]) -> Buffers {
    let mut out = Buffers::default();
    let mut streams: [Vec<i64>; 5] = Default::default();
    let (mut slot, mut step, mut read) = (0_i64, 0_i64, 0_i64);
    for row in rows {
        let this = row.slot_s.wrapping_sub(slot);
        streams[0].push(this.wrapping_sub(step));
        streams[1].push(i64::from(row.offset_ms));
        streams[2].push(row.correction_ms);
        let at = read_at(row.slot_s, row.offset_ms);
        streams[3].push(span_code(row.span_ms, at.wrapping_sub(read)));
        let flags = u8::from(row.values.iter().any(Option::is_none))
            | u8::from(!row.spans.is_empty()) << 1
            | u8::from(!row.anchors.is_empty()) << 2;
        streams[4].push(i64::from(flags));
        (slot, step, read) = (row.slot_s, this, at);
    }
    for stream in &streams {
        pool::encode(stream, Effort::Smallest, &mut out);
    }
    for row in rows {
        if row.values.iter().any(Option::is_none) {
            let mut bits = vec![0; row.values.len().div_ceil(8)];
            for (column, value) in row.values.iter().enumerate() {
                bits[column / 8] |= u8::from(value.is_some()) << (column % 8);
            }
            out.text.extend_from_slice(&bits);
        }
        put_extras(row, &mut out.text);
    }
    out
}

const fn read_at(slot_s: i64, offset_ms: i32) -> i64 {
    slot_s.wrapping_mul(1_000).wrapping_add(offset_ms as i64)
}

/// 0: the time since the reading before; -1: none; else moved aside.
fn span_code(span_ms: u32, since: i64) -> i64 {
    if span_ms == 0 {
        -1
    } else {
        match i64::from(span_ms).wrapping_sub(since) {
            0 => 0,
            off => unzigzag(zigzag(off).wrapping_add(1)),
        }
    }
}

fn span_of(code: i64, since: i64) -> Result<u32, DecodeError> {
    let span = match code {
        -1 => return Ok(0),
        0 => since,
        code => since.wrapping_add(unzigzag(zigzag(code).wrapping_sub(1))),
    };
    u32::try_from(span).map_err(|_| DecodeError::Inconsistent("a span out of its range"))
}

fn read_heads(opened: &Opened<'_>, count: usize, columns: usize) -> Result<Vec<Row>, DecodeError> {
    let mut from = opened.sources();
    let mut streams: [Vec<i64>; 5] = Default::default();
    for stream in &mut streams {
        pool::decode(count, &mut from, stream)?;
    }
    let mut text = Reader(from.text);
    let [slots, offsets, corrections, spans, flags] = streams;
    let mut rows = Vec::with_capacity(count);
    let (mut slot, mut step, mut read) = (0_i64, 0_i64, 0_i64);
    let rest = offsets.into_iter().zip(corrections).zip(spans).zip(flags);
    for (beyond, (((offset, correction_ms), span), flags)) in slots.into_iter().zip(rest) {
        step = step.wrapping_add(beyond);
        slot = slot.wrapping_add(step);
        let offset_ms = i32::try_from(offset)
            .map_err(|_| DecodeError::Inconsistent("an offset out of its range"))?;
        let at = read_at(slot, offset_ms);
        let mut row = Row {
            slot_s: slot,
            offset_ms,
            correction_ms,
            span_ms: span_of(span, at.wrapping_sub(read))?,
            values: vec![Some(0); columns],
            ..Row::default()
        };
        read = at;
        if flags & 1 != 0 {
            let bits = text.take(columns.div_ceil(8))?;
            for (column, value) in row.values.iter_mut().enumerate() {
                if bits[column / 8] >> (column % 8) & 1 == 0 {
                    *value = None;
                }
            }
        }
        take_extras(&mut text, flags & 2 != 0, flags & 4 != 0, columns, &mut row)?;
        rows.push(row);
    }
    Ok(rows)
}

fn put_section(section: Buffers, out: &mut Vec<u8>) {
    let small = (section.text.len() >= 64)
        .then(|| pool::compress(&section.text))
        .flatten()
        .filter(|small| small.len() + 3 < section.text.len());
    let mut body = Vec::with_capacity(section.packed.len() + 16);
    if let Some(small) = small {
        body.push(ZSTD);
        put(section.text.len() as u64, &mut body);
        put(small.len() as u64, &mut body);
        body.extend_from_slice(&small);
    } else {
        body.push(STORED);
        put(section.text.len() as u64, &mut body);
        body.extend_from_slice(&section.text);
    }
    body.extend_from_slice(&section.packed);
    put(body.len() as u64, out);
    out.extend_from_slice(&body);
}

/// A section in its wrapping.
struct Section<'a>(&'a [u8]);

/// A section's two buffers.
struct Opened<'a> {
    text: std::borrow::Cow<'a, [u8]>,
    packed: &'a [u8],
}

impl Opened<'_> {
    fn sources(&self) -> Sources<'_> {
        Sources {
            text: &self.text,
            packed: self.packed,
        }
    }
}

fn take_section<'a>(from: &mut Reader<'a>) -> Result<Section<'a>, DecodeError> {
    let len = from.narrow()?;
    from.take(len).map(Section)
}

impl<'a> Section<'a> {
    fn open(&self) -> Result<Opened<'a>, DecodeError> {
        let mut from = Reader(self.0);
        let form = from.byte()?;
        let len: usize = from.narrow()?;
        let text = match form {
            STORED => from.take(len)?.into(),
            ZSTD if len <= 64 << 20 => {
                let small = from.narrow()?;
                pool::decompress(from.take(small)?, len)
                    .ok_or(DecodeError::Inflate)?
                    .into()
            }
            _ => return Err(DecodeError::Inconsistent("a section of an unknown form")),
        };
        Ok(Opened {
            text,
            packed: from.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::testing;

    #[test]
    fn a_chunk_reads_back_whole_or_one_metric_of_it() {
        let shape = testing::shape(3);
        let mut rows = testing::rows(3);
        for row in &mut rows {
            row.batch = 0;
        }
        rows.sort_by_key(Row::slot_ms);
        let block = Block {
            shape: shape.clone(),
            rows: rows.clone(),
        };
        let bytes = encode(&[block.clone(), block]);
        let back = decode(&bytes, |_| Some(shape.clone()), |_| true).unwrap();
        assert_eq!(back.len(), 2);
        assert_eq!(back[1].rows, rows);

        let name = &shape.metric(0).name;
        let one = decode(&bytes, |_| Some(shape.clone()), |metric| metric == name).unwrap();
        for (all, one) in rows.iter().zip(&one[0].rows) {
            for column in 0..3 {
                let expected = if shape.metric(column).name == *name {
                    all.values[column]
                } else {
                    None
                };
                assert_eq!(one.values[column], expected);
            }
        }
        assert!(decode(&bytes, |_| None, |_| true).is_err());
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut], |_| Some(shape.clone()), |_| true).is_err());
        }
    }

    /// A chunk that is written and cannot be read counts as damage, and takes the whole day with it: 600 interfaces polled
    /// every three seconds were enough, and so was a probe that says one moment a hundred thousand times.
    #[test]
    fn whatever_is_written_can_be_read_however_many_rows_an_hour_has() {
        let of = |columns: u16| {
            let mut form = testing::shape(columns).form.clone();
            for column in &mut form.columns {
                column.metric = 0;
            }
            Arc::new(Shape::of(form))
        };
        for (columns, count) in [(600_u16, 1_200), (1, ROWS_LIMIT + 1)] {
            let shape = of(columns);
            let rows: Vec<Row> = (0..count)
                .map(|at| Row {
                    slot_s: 1_700_000_000 + i64::try_from(at % 3_600).unwrap(),
                    values: vec![Some(i64::try_from(at % 7).unwrap()); columns.into()],
                    ..Row::default()
                })
                .collect();
            let bytes = encode(&[Block {
                shape: shape.clone(),
                rows: rows.clone(),
            }]);
            let back = decode(&bytes, |_| Some(shape.clone()), |_| true).unwrap();
            assert!(back.len() > 1, "more than one block can hold");
            assert!(back.into_iter().flat_map(|block| block.rows).eq(rows));
        }
    }
}
