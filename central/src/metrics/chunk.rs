//! One sealed hour of one device: per metric one pool of integers over the device's instances.
//!
//! ```text
//! chunk   = CRC-32 of the rest, by whose it is (4 bytes) · version · blocks · block*
//! block   = hash of its shape (8 bytes) · rows · section of heads · one section per metric of the shape
//! section = length · (form · text length · [length of its zstd frame] · text · packed)
//! ```
//!
//! Every section has its length, so one metric is read without the others.

use std::sync::Arc;

use farwatch_shared::id::ProbeId;
use farwatch_shared::model::DeviceNo;
use farwatch_shared::wire::DecodeError;
use farwatch_shared::wire::columns::bytes::{Reader, put, unzigzag, zigzag};
use farwatch_shared::wire::columns::pool::{self, Buffers, Effort, Sources};

use super::row::{Row, put_extras, take_extras};
use super::shape::Shape;
use super::strip::{Head, Line, Strip};

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
/// rows not at all. `whose` is part of its checksum: read as another's it is damaged.
pub(super) fn encode(blocks: &[Block], whose: Whose) -> Vec<u8> {
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
            for column in shape.columns_at(metric) {
                values.extend(rows.iter().filter_map(|row| row.values[column]));
            }
            let mut section = Buffers::default();
            pool::encode(&values, Effort::Smallest, &mut section);
            put_section(section, &mut out);
        }
    }
    whose.sign(&mut out);
    out
}

/// Whose samples of which time: what a body is stored under, mixed into its checksum, so that a row of the file whose
/// number was damaged cannot show one device's samples as another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whose(u32);

impl Whose {
    /// Where nobody's name is mixed in.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) const NOBODY: Self = Self(0);

    /// Somebody.
    #[cfg(test)]
    pub(super) const fn of_test(name: u32) -> Self {
        Self(name)
    }

    /// `time` is the hour of an hour's chunk, the day of a day's.
    pub(super) fn of(probe: ProbeId, device: DeviceNo, time: i64) -> Self {
        let mut hash = crc32fast::Hasher::new();
        hash.update(probe.uuid().as_bytes());
        hash.update(&device.0.to_le_bytes());
        hash.update(&time.to_le_bytes());
        Self(hash.finalize())
    }

    /// Puts the checksum of all that follows into the first four bytes.
    pub(super) fn sign(self, bytes: &mut [u8]) {
        let sum = crc32fast::hash(&bytes[4..]) ^ self.0;
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
    }

    /// What is behind the checksum, if it is right.
    pub(super) fn check(self, bytes: &[u8]) -> Result<Reader<'_>, DecodeError> {
        let mut from = Reader(bytes);
        let sum = from.take(4)?;
        if (crc32fast::hash(from.0) ^ self.0).to_le_bytes() == sum {
            Ok(from)
        } else {
            Err(DecodeError::Inconsistent("its CRC is another"))
        }
    }
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

/// A block of a chunk, its sections not opened yet.
pub(super) struct Part<'a> {
    pub(super) shape: Arc<Shape>,
    pub(super) heads: Arc<Vec<Head>>,
    extras: Extras,
    sections: Vec<Section<'a>>,
}

/// What few rows have.
#[derive(Default)]
struct Extras {
    /// Rows that miss something: a bit for each column that is there.
    holes: Vec<(u32, Vec<u8>)>,
    spans: Vec<(u32, u16, u32)>,
    anchors: Vec<(u32, u16, u8, u64)>,
}

/// The blocks of a chunk. One whose shape `shape_of` does not give is an error: the file is damaged.
pub(super) fn open<'a>(
    bytes: &'a [u8],
    whose: Whose,
    mut shape_of: impl FnMut(u64) -> Option<Arc<Shape>>,
) -> Result<Vec<Part<'a>>, DecodeError> {
    let mut from = whose.check(bytes)?;
    if from.byte()? != VERSION {
        return Err(DecodeError::Inconsistent("a chunk of another version"));
    }
    let mut parts = Vec::new();
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
        let (heads, extras) =
            read_heads(&take_section(&mut from)?.open()?, count, shape.columns())?;
        let sections = (0..shape.form.metrics.len())
            .map(|_| take_section(&mut from))
            .collect::<Result<_, _>>()?;
        parts.push(Part {
            shape,
            heads: Arc::new(heads),
            extras,
            sections,
        });
    }
    Ok(parts)
}

impl Part<'_> {
    /// The lines of a metric's columns; `wanted` says of which.
    pub(super) fn lines(
        &self,
        metric: usize,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Vec<(usize, Line)>, DecodeError> {
        let rows = self.heads.len();
        let columns: Vec<usize> = self.shape.columns_at(metric).collect();
        let holes = |column: usize| {
            let holes = self.extras.holes.iter();
            holes.filter(move |(_, bits)| bits[column / 8] >> (column % 8) & 1 == 0)
        };
        let count = columns
            .iter()
            .map(|&column| rows - holes(column).count())
            .sum();
        let mut values = Vec::new();
        let opened = self.sections[metric].open()?;
        pool::decode(count, &mut opened.sources(), &mut values)?;
        let mut values = &values[..];
        let mut lines = Vec::new();
        for column in columns {
            let present = rows - holes(column).count();
            let (own, rest) = values.split_at(present);
            values = rest;
            if wanted(column) {
                let line = Line {
                    values: spread(own, rows, holes(column).map(|(row, _)| *row)),
                    ..self.extras.line(column)
                };
                lines.push((column, line));
            }
        }
        Ok(lines)
    }

    /// The lines of all columns that `wanted` names; `None` when there is none.
    pub(super) fn strip(
        &self,
        wanted: impl Fn(&Shape, usize) -> bool,
    ) -> Result<Option<Strip>, DecodeError> {
        let shape = &self.shape;
        let mut lines = Vec::new();
        for metric in 0..shape.form.metrics.len() {
            if shape.columns_at(metric).any(|column| wanted(shape, column)) {
                lines.extend(self.lines(metric, |column| wanted(shape, column))?);
            }
        }
        lines.sort_unstable_by_key(|(column, _)| *column);
        Ok((!lines.is_empty()).then(|| Strip {
            shape: shape.clone(),
            heads: self.heads.clone(),
            lines,
        }))
    }
}

impl Extras {
    fn line(&self, column: usize) -> Line {
        let mut line = Line::default();
        for (row, of, span) in &self.spans {
            if usize::from(*of) == column {
                line.spans.push((*row, *span));
            }
        }
        for (row, of, kind, raw) in &self.anchors {
            if usize::from(*of) == column {
                line.anchors.push((*row, *kind, *raw));
            }
        }
        line
    }
}

/// Values among rows of which some are missing.
pub(super) fn spread(
    values: &[i64],
    rows: usize,
    holes: impl Iterator<Item = u32>,
) -> Vec<Option<i64>> {
    let mut all = Vec::with_capacity(rows);
    let mut values = values.iter().map(|value| Some(*value));
    for hole in holes {
        let before = (hole as usize).saturating_sub(all.len());
        all.extend(values.by_ref().take(before));
        all.push(None);
    }
    all.extend(values);
    all.resize(rows, None);
    all
}

/// Reads a chunk as rows.
pub(super) fn decode(
    bytes: &[u8],
    whose: Whose,
    shape_of: impl FnMut(u64) -> Option<Arc<Shape>>,
) -> Result<Vec<Block>, DecodeError> {
    let mut blocks = Vec::new();
    for part in open(bytes, whose, shape_of)? {
        let columns = part.shape.columns();
        let mut rows: Vec<Row> = part
            .heads
            .iter()
            .map(|head| Row {
                slot_s: head.slot_s,
                correction_ms: head.correction_ms,
                offset_ms: head.offset_ms,
                span_ms: head.span_ms,
                values: vec![None; columns],
                ..Row::default()
            })
            .collect();
        for (row, column, span) in &part.extras.spans {
            rows[*row as usize].spans.push((*column, *span));
        }
        for (row, column, kind, raw) in &part.extras.anchors {
            rows[*row as usize].anchors.push((*column, *kind, *raw));
        }
        for metric in 0..part.shape.form.metrics.len() {
            for (column, line) in part.lines(metric, |_| true)? {
                for (row, value) in rows.iter_mut().zip(line.values) {
                    row.values[column] = value;
                }
            }
        }
        blocks.push(Block {
            shape: part.shape,
            rows,
        });
    }
    Ok(blocks)
}

/// Slots by their distance beyond the usual one, spans by their distance from the time between two readings: both
/// nearly always 0.
fn heads(rows: &[Row]) -> Buffers {
    let mut out = Buffers::default();
    let heads = rows.iter().map(|row| {
        let flags = u8::from(row.values.iter().any(Option::is_none))
            | u8::from(!row.spans.is_empty()) << 1
            | u8::from(!row.anchors.is_empty()) << 2;
        (Head::of(row), i64::from(flags))
    });
    write_times(heads, &mut out);
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

fn read_heads(
    opened: &Opened<'_>,
    count: usize,
    columns: usize,
) -> Result<(Vec<Head>, Extras), DecodeError> {
    let mut from = opened.sources();
    let (heads, flags) = read_times(&mut from, count)?;
    let mut text = Reader(from.text);
    let mut extras = Extras::default();
    let mut row = Row::default();
    for (at, flags) in (0_u32..).zip(flags) {
        if flags & 1 != 0 {
            extras
                .holes
                .push((at, text.take(columns.div_ceil(8))?.to_vec()));
        }
        if flags & 6 != 0 {
            take_extras(&mut text, flags & 2 != 0, flags & 4 != 0, columns, &mut row)?;
            let spans = row.spans.drain(..).map(|(column, span)| (at, column, span));
            extras.spans.extend(spans);
            let anchors = row.anchors.drain(..);
            let anchors = anchors.map(|(column, kind, raw)| (at, column, kind, raw));
            extras.anchors.extend(anchors);
        }
    }
    Ok((heads, extras))
}

/// When polls were, as five pools; the last is what the caller says of each.
pub(super) fn write_times(heads: impl Iterator<Item = (Head, i64)>, out: &mut Buffers) {
    let mut streams: [Vec<i64>; 5] = Default::default();
    let (mut slot, mut step, mut read) = (0_i64, 0_i64, 0_i64);
    for (head, flags) in heads {
        let this = head.slot_s.wrapping_sub(slot);
        streams[0].push(this.wrapping_sub(step));
        streams[1].push(i64::from(head.offset_ms));
        streams[2].push(head.correction_ms);
        let at = read_at(head.slot_s, head.offset_ms);
        streams[3].push(span_code(head.span_ms, at.wrapping_sub(read)));
        streams[4].push(flags);
        (slot, step, read) = (head.slot_s, this, at);
    }
    for stream in &streams {
        pool::encode(stream, Effort::Smallest, out);
    }
}

/// Back from [`write_times`].
pub(super) fn read_times(
    from: &mut Sources<'_>,
    count: usize,
) -> Result<(Vec<Head>, Vec<i64>), DecodeError> {
    let mut streams: [Vec<i64>; 5] = Default::default();
    for stream in &mut streams {
        pool::decode(count, from, stream)?;
    }
    let [slots, offsets, corrections, spans, flags] = streams;
    let mut heads = Vec::with_capacity(count);
    let (mut slot, mut step, mut read) = (0_i64, 0_i64, 0_i64);
    let rest = offsets.into_iter().zip(corrections).zip(spans);
    for (beyond, ((offset, correction_ms), span)) in slots.into_iter().zip(rest) {
        step = step.wrapping_add(beyond);
        slot = slot.wrapping_add(step);
        let offset_ms = i32::try_from(offset)
            .map_err(|_| DecodeError::Inconsistent("an offset out of its range"))?;
        let at = read_at(slot, offset_ms);
        heads.push(Head {
            slot_s: slot,
            correction_ms,
            offset_ms,
            span_ms: span_of(span, at.wrapping_sub(read))?,
        });
        read = at;
    }
    Ok((heads, flags))
}

/// Appends a section: its length, then its text (by zstd where that is smaller) and what is packed.
pub(super) fn put_section(section: Buffers, out: &mut Vec<u8>) {
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
pub(super) struct Section<'a>(pub(super) &'a [u8]);

/// A section's two buffers.
pub(super) struct Opened<'a> {
    text: std::borrow::Cow<'a, [u8]>,
    packed: &'a [u8],
}

impl Opened<'_> {
    pub(super) fn sources(&self) -> Sources<'_> {
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
    pub(super) fn open(&self) -> Result<Opened<'a>, DecodeError> {
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
    fn a_chunk_reads_back_whole_or_one_series_of_it() {
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
        let whose = Whose::of_test(7);
        let of = |_: u64| Some(shape.clone());
        let bytes = encode(&[block.clone(), block.clone()], whose);
        let back = decode(&bytes, whose, of).unwrap();
        assert_eq!(back.len(), 2);
        assert_eq!(back[1].rows, rows);

        let all = Strip::of(&block, |_| true);
        let parts = open(&bytes, whose, of).unwrap();
        for column in 0..3 {
            let one = parts[1].strip(|_, of| of == column).unwrap().unwrap();
            assert_eq!(one.heads, all.heads);
            assert_eq!(one.lines, [all.lines[column].clone()]);
        }
        assert!(decode(&bytes, whose, |_| None).is_err());
        assert!(decode(&bytes, Whose::of_test(8), of).is_err(), "another's");
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut], whose, of).is_err());
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
            let block = Block {
                shape: shape.clone(),
                rows: rows.clone(),
            };
            let bytes = encode(&[block], Whose::NOBODY);
            let back = decode(&bytes, Whose::NOBODY, |_| Some(shape.clone())).unwrap();
            assert!(back.len() > 1, "more than one block can hold");
            assert!(back.into_iter().flat_map(|block| block.rows).eq(rows));
        }
    }
}
