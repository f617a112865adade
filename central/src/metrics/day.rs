//! One device's day, one column per series: what hours become when their day is over.
//!
//! ```text
//! day    = CRC-32 of the head, by whose it is (4 bytes) · version · length of the head · head · sections
//! head   = blocks · (hash of its shape (8 bytes) · rows · index of its times · one index per column)*
//! index  = length of the section · its CRC-32 (4 bytes)
//! times  = pools as in an hour's chunk · exceptions: spans, anchors
//! column = runs of missing values · section of the pool of the others
//! ```
//!
//! The index gives each series' place: a question about one reads the head, the times and that column. An anchor is kept
//! as its distance from what the anchor before and the increases since make it: nearly always 0.

use std::borrow::Cow;
use std::sync::Arc;

use farwatch_shared::wire::DecodeError;
use farwatch_shared::wire::columns::bytes::{Reader, put, unzigzag, zigzag};
use farwatch_shared::wire::columns::pool::{self, Buffers, Effort, Sources};

use super::chunk::{Section, Whose, put_section, read_times, spread, write_times};
use super::shape::Shape;
#[cfg(any(test, feature = "fuzz"))]
use super::strip::Strip;
use super::strip::{Head, Line};

const VERSION: u8 = 1;
/// Rows of one block at the most, as in an hour's chunk.
const ROWS_LIMIT: usize = 100_000;
/// Values that one block stands for at the most.
const VALUES_LIMIT: usize = 256 << 20;

/// Writes a day, block by block and column by column, so that a device of many series is never in memory whole.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    head: Vec<u8>,
    sections: Vec<u8>,
    blocks: u64,
}

impl Encoder {
    /// Begins a block; [`BlockEncoder::column`] follows for each of its columns, in any order, then [`Self::end`].
    pub(super) fn begin<'a>(shape: &'a Shape, heads: &'a [Head]) -> BlockEncoder<'a> {
        let parts = heads
            .chunks(ROWS_LIMIT)
            .map(|heads| PartEncoder {
                heads,
                columns: vec![Vec::new(); shape.columns()],
                exceptions: Exceptions::default(),
            })
            .collect();
        BlockEncoder { shape, parts }
    }

    /// Takes over a block.
    pub(super) fn end(&mut self, block: BlockEncoder<'_>) {
        for part in block.parts {
            self.blocks += 1;
            let mut times = Buffers::default();
            write_times(part.heads.iter().map(|head| (*head, 0)), &mut times);
            part.exceptions.write(&mut times.text);
            let mut section = Vec::new();
            put_section(times, &mut section);
            self.head.extend_from_slice(&block.shape.hash.to_le_bytes());
            put(part.heads.len() as u64, &mut self.head);
            self.section(&section);
            for column in part.columns {
                self.section(&column);
            }
        }
    }

    fn section(&mut self, bytes: &[u8]) {
        put(bytes.len() as u64, &mut self.head);
        self.head
            .extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
        self.sections.extend_from_slice(bytes);
    }

    /// The body.
    pub(super) fn finish(self, whose: Whose) -> Vec<u8> {
        let mut head = vec![0, 0, 0, 0, VERSION];
        put(self.blocks, &mut head);
        head.extend_from_slice(&self.head);
        whose.sign(&mut head);
        let mut out = Vec::with_capacity(4 + head.len() + self.sections.len());
        out.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(&self.sections);
        out
    }
}

/// A block on its way; one that is too long for a reader is several.
#[derive(Debug)]
pub(super) struct BlockEncoder<'a> {
    shape: &'a Shape,
    parts: Vec<PartEncoder<'a>>,
}

#[derive(Debug)]
struct PartEncoder<'a> {
    heads: &'a [Head],
    columns: Vec<Vec<u8>>,
    exceptions: Exceptions,
}

impl BlockEncoder<'_> {
    /// One column's line, as long as the block.
    pub(super) fn column(&mut self, column: usize, line: &Line) {
        let mut from = 0;
        for part in &mut self.parts {
            let to = from + part.heads.len();
            let line = cut(line, from, to);
            part.exceptions
                .add(column, &line, width_of(self.shape, column));
            write_column(&line.values, &mut part.columns[column]);
            from = to;
        }
    }
}

/// How many bits of a counter's raw value count.
fn width_of(shape: &Shape, column: usize) -> u8 {
    shape.metric(column).width
}

fn cut(line: &Line, from: usize, to: usize) -> Cow<'_, Line> {
    if from == 0 && to >= line.values.len() {
        return Cow::Borrowed(line);
    }
    let place = |at: u32| {
        let at = at as usize;
        (from..to)
            .contains(&at)
            .then(|| u32::try_from(at - from).unwrap_or(u32::MAX))
    };
    Cow::Owned(Line {
        values: line.values[from..to].to_vec(),
        spans: line
            .spans
            .iter()
            .filter_map(|(at, span)| Some((place(*at)?, *span)))
            .collect(),
        anchors: line
            .anchors
            .iter()
            .filter_map(|(at, kind, raw)| Some((place(*at)?, *kind, *raw)))
            .collect(),
    })
}

/// Spans and anchors: (row, column, …).
#[derive(Debug, Default)]
struct Exceptions {
    spans: Vec<(u32, u32, u32)>,
    anchors: Vec<(u32, u32, u8, u64)>,
}

impl Exceptions {
    fn add(&mut self, column: usize, line: &Line, width: u8) {
        let column = u32::try_from(column).unwrap_or(u32::MAX);
        for (row, span) in &line.spans {
            self.spans.push((*row, column, *span));
        }
        let mut proof = Proof::new(width);
        let mut next = 0;
        for (row, kind, raw) in &line.anchors {
            proof.pass(&line.values, &mut next, *row);
            self.anchors
                .push((*row, column, *kind, proof.distance(*raw)));
        }
    }

    fn write(mut self, out: &mut Vec<u8>) {
        // By row: counters of one poll are anchored together.
        self.spans.sort_by_key(|(row, column, _)| (*row, *column));
        self.anchors
            .sort_by_key(|(row, column, _, _)| (*row, *column));
        put(self.spans.len() as u64, out);
        let mut place = Place::default();
        for (row, column, span) in self.spans {
            place.write(row, column, out);
            put(u64::from(span), out);
        }
        put(self.anchors.len() as u64, out);
        let mut place = Place::default();
        for (row, column, kind, distance) in self.anchors {
            place.write(row, column, out);
            out.push(kind);
            put(zigzag(distance.cast_signed()), out);
        }
    }

    fn read(from: &mut Reader<'_>, rows: usize, columns: usize) -> Result<Self, DecodeError> {
        let mut all = Self::default();
        let mut place = Place::default();
        for _ in 0..from.count(3)? {
            let (row, column) = place.read(from, rows, columns)?;
            all.spans.push((row, column, from.narrow()?));
        }
        let mut place = Place::default();
        for _ in 0..from.count(4)? {
            let (row, column) = place.read(from, rows, columns)?;
            let kind = from.byte()?;
            let distance = unzigzag(from.uint()?).cast_unsigned();
            all.anchors.push((row, column, kind, distance));
        }
        Ok(all)
    }

    fn line(&self, column: usize, values: Vec<Option<i64>>, width: u8) -> Line {
        let mine = |of: u32| of as usize == column;
        let spans = self.spans.iter().filter(|(_, of, _)| mine(*of));
        let spans = spans.map(|(row, _, span)| (*row, *span)).collect();
        let mut proof = Proof::new(width);
        let mut next = 0;
        let mut anchors = Vec::new();
        for (row, _, kind, distance) in self.anchors.iter().filter(|(_, of, _, _)| mine(*of)) {
            proof.pass(&values, &mut next, *row);
            anchors.push((*row, *kind, proof.raw(*distance)));
        }
        Line {
            values,
            spans,
            anchors,
        }
    }
}

/// Row and column, by the distance from the one before.
#[derive(Default)]
struct Place {
    row: u32,
    column: u32,
}

impl Place {
    fn write(&mut self, row: u32, column: u32, out: &mut Vec<u8>) {
        put(u64::from(row - self.row), out);
        if row > self.row {
            self.column = 0;
        }
        put(u64::from(column - self.column), out);
        (self.row, self.column) = (row, column);
    }

    fn read(
        &mut self,
        from: &mut Reader<'_>,
        rows: usize,
        columns: usize,
    ) -> Result<(u32, u32), DecodeError> {
        let (step, right): (u32, u32) = (from.narrow()?, from.narrow()?);
        if step > 0 {
            self.column = 0;
        }
        self.row = self.row.saturating_add(step);
        self.column = self.column.saturating_add(right);
        if self.row as usize >= rows || self.column as usize >= columns {
            return Err(DecodeError::Inconsistent("an exception outside its block"));
        }
        Ok((self.row, self.column))
    }
}

/// What a counter's anchor should be.
struct Proof {
    mask: u64,
    expected: u64,
}

impl Proof {
    const fn new(width: u8) -> Self {
        Self {
            mask: if width == 32 { 0xffff_ffff } else { u64::MAX },
            expected: 0,
        }
    }

    /// Adds the increases up to and including a row.
    fn pass(&mut self, values: &[Option<i64>], next: &mut usize, row: u32) {
        let end = (row as usize + 1).min(values.len());
        for value in values.get(*next..end).into_iter().flatten().flatten() {
            self.expected = self.expected.wrapping_add(value.cast_unsigned());
        }
        *next = (*next).max(end);
    }

    fn distance(&mut self, raw: u64) -> u64 {
        let distance = raw.wrapping_sub(self.expected & self.mask);
        self.expected = raw;
        distance
    }

    fn raw(&mut self, distance: u64) -> u64 {
        let raw = distance.wrapping_add(self.expected & self.mask);
        self.expected = raw;
        raw
    }
}

fn write_column(values: &[Option<i64>], out: &mut Vec<u8>) {
    // Missing: how many runs, then how many present before each, and how long it is.
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut present = 0;
    let mut within = false;
    for value in values {
        match (value, within) {
            (None, true) => {
                if let Some((_, length)) = runs.last_mut() {
                    *length += 1;
                }
            }
            (None, false) => {
                runs.push((present, 1));
                (present, within) = (0, true);
            }
            (Some(_), _) => {
                present += 1;
                within = false;
            }
        }
    }
    put(runs.len() as u64, out);
    for (before, length) in runs {
        put(before as u64, out);
        put(length as u64, out);
    }
    let there: Vec<i64> = values.iter().copied().flatten().collect();
    let mut section = Buffers::default();
    pool::encode(&there, Effort::Smallest, &mut section);
    put_section(section, out);
}

fn read_column(bytes: &[u8], rows: usize) -> Result<Vec<Option<i64>>, DecodeError> {
    let mut from = Reader(bytes);
    let mut holes = Vec::new();
    let mut at = 0_usize;
    for _ in 0..from.count(2)? {
        let (before, length): (usize, usize) = (from.narrow()?, from.narrow()?);
        at = at.saturating_add(before);
        let end = at.saturating_add(length);
        if end > rows {
            return Err(DecodeError::Inconsistent("a hole outside its column"));
        }
        holes.extend((at..end).filter_map(|row| u32::try_from(row).ok()));
        at = end;
    }
    let len: usize = from.narrow()?;
    let section = Section(from.take(len)?).open()?;
    let mut values = Vec::new();
    pool::decode(rows - holes.len(), &mut section.sources(), &mut values)?;
    Ok(spread(&values, rows, holes.into_iter()))
}

/// A day whose head is read.
#[derive(Debug)]
pub(super) struct Day<'a> {
    pub(super) parts: Vec<Part<'a>>,
}

/// One block of a day.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) shape: Arc<Shape>,
    rows: usize,
    times: &'a [u8],
    times_sum: [u8; 4],
    columns: Vec<(&'a [u8], [u8; 4])>,
}

/// Reads a day's head; sections are checked when they are read.
pub(super) fn open<'a>(
    bytes: &'a [u8],
    whose: Whose,
    mut shape_of: impl FnMut(u64) -> Option<Arc<Shape>>,
) -> Result<Day<'a>, DecodeError> {
    let mut all = Reader(bytes);
    let len = u32::from_le_bytes(four(&mut all)?) as usize;
    let mut from = whose.check(all.take(len)?)?;
    if from.byte()? != VERSION {
        return Err(DecodeError::Inconsistent("a day of another version"));
    }
    let mut parts = Vec::new();
    for _ in 0..from.count(14)? {
        let hash = u64::from_le_bytes(
            from.take(8)?
                .try_into()
                .map_err(|_| DecodeError::Inconsistent("no shape"))?,
        );
        let shape = shape_of(hash).ok_or(DecodeError::Inconsistent("a shape is missing"))?;
        let rows: usize = from.narrow()?;
        if rows > ROWS_LIMIT || rows.saturating_mul(shape.columns()) > VALUES_LIMIT {
            return Err(DecodeError::Inconsistent("too many rows"));
        }
        let mut section = |from: &mut Reader<'_>| {
            let len: usize = from.narrow()?;
            let sum = four(from)?;
            Ok::<_, DecodeError>((all.take(len)?, sum))
        };
        let (times, times_sum) = section(&mut from)?;
        let columns = (0..shape.columns())
            .map(|_| section(&mut from))
            .collect::<Result<_, _>>()?;
        parts.push(Part {
            shape,
            rows,
            times,
            times_sum,
            columns,
        });
    }
    Ok(Day { parts })
}

fn four(from: &mut Reader<'_>) -> Result<[u8; 4], DecodeError> {
    from.take(4)?
        .try_into()
        .map_err(|_| DecodeError::Inconsistent("ends too early"))
}

fn sound(bytes: &[u8], sum: [u8; 4]) -> Result<(), DecodeError> {
    if crc32fast::hash(bytes).to_le_bytes() == sum {
        Ok(())
    } else {
        Err(DecodeError::Inconsistent("a section's CRC is another"))
    }
}

/// Times of a block, and what few of its rows have.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) heads: Arc<Vec<Head>>,
    exceptions: Exceptions,
}

impl Part<'_> {
    /// When its polls were.
    pub(super) fn times(&self) -> Result<Times, DecodeError> {
        sound(self.times, self.times_sum)?;
        let mut from = Reader(self.times);
        let len: usize = from.narrow()?;
        let section = Section(from.take(len)?).open()?;
        let mut sources: Sources<'_> = section.sources();
        let (heads, _) = read_times(&mut sources, self.rows)?;
        let mut text = Reader(sources.text);
        Ok(Times {
            heads: Arc::new(heads),
            exceptions: Exceptions::read(&mut text, self.rows, self.shape.columns())?,
        })
    }

    /// One column.
    pub(super) fn line(&self, column: usize, times: &Times) -> Result<Line, DecodeError> {
        let (bytes, sum) = self.columns[column];
        sound(bytes, sum)?;
        let values = read_column(bytes, self.rows)?;
        let width = width_of(&self.shape, column);
        Ok(times.exceptions.line(column, values, width))
    }

    /// The lines of all columns that `wanted` names; `None` when there is none.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn strip(
        &self,
        wanted: impl Fn(&Shape, usize) -> bool,
    ) -> Result<Option<Strip>, DecodeError> {
        let columns: Vec<usize> = (0..self.shape.columns())
            .filter(|column| wanted(&self.shape, *column))
            .collect();
        if columns.is_empty() {
            return Ok(None);
        }
        let times = self.times()?;
        let lines = columns
            .into_iter()
            .map(|column| Ok((column, self.line(column, &times)?)))
            .collect::<Result<_, DecodeError>>()?;
        Ok(Some(Strip {
            shape: self.shape.clone(),
            heads: times.heads,
            lines,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::chunk::Block;
    use crate::metrics::row::Row;
    use crate::metrics::testing;

    const NOBODY: Whose = Whose::NOBODY;

    fn block() -> Block {
        let mut rows = testing::rows(3);
        rows.sort_by_key(Row::at_ms);
        Block {
            shape: testing::shape(3),
            rows,
        }
    }

    fn write(strip: &Strip) -> Vec<u8> {
        let mut block = Encoder::begin(&strip.shape, &strip.heads);
        for (column, line) in &strip.lines {
            block.column(*column, line);
        }
        let mut encoder = Encoder::default();
        encoder.end(block);
        encoder.finish(NOBODY)
    }

    #[test]
    fn a_day_reads_back_whole_or_one_series_of_it() {
        let all = Strip::of(&block(), |_| true);
        let bytes = write(&all);
        let shape = all.shape.clone();
        let day = open(&bytes, NOBODY, |_| Some(shape.clone())).unwrap();
        let back = day.parts[0].strip(|_, _| true).unwrap().unwrap();
        assert_eq!(back.heads, all.heads);
        assert_eq!(back.lines, all.lines);
        let one = day.parts[0]
            .strip(|_, column| column == 2)
            .unwrap()
            .unwrap();
        assert_eq!(one.lines, all.lines[2..]);
        assert!(open(&bytes, Whose::of_test(9), |_| Some(shape.clone())).is_err());
        assert!(open(&bytes, NOBODY, |_| None).is_err());
    }

    /// Whatever byte is another: the day is refused, or one series of it, or nothing changed. Never another value.
    #[test]
    fn a_changed_byte_is_noticed_wherever_it_is() {
        let all = Strip::of(&block(), |_| true);
        let bytes = write(&all);
        let shape = all.shape.clone();
        let mut refused = (0, 0);
        for at in 0..bytes.len() {
            for bit in [0, 3, 7] {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let Ok(day) = open(&changed, NOBODY, |_| Some(shape.clone())) else {
                    refused.0 += 1;
                    continue;
                };
                for column in 0..3 {
                    match day.parts[0].strip(|_, of| of == column) {
                        Ok(strip) => {
                            let strip = strip.unwrap();
                            assert_eq!(strip.heads, all.heads, "byte {at}");
                            assert_eq!(strip.lines[0], all.lines[column], "byte {at}");
                        }
                        Err(_) => refused.1 += 1,
                    }
                }
            }
        }
        assert!(refused.0 > 50 && refused.1 > 500, "{refused:?}");
        for cut in 0..bytes.len() {
            let day = open(&bytes[..cut], NOBODY, |_| Some(shape.clone()));
            assert!(day.is_err(), "{cut}");
        }
    }

    #[test]
    fn an_anchor_that_agrees_costs_next_to_nothing() {
        let shape = testing::shape(2);
        let polls = 1_440_u32;
        let rows = |anchored: bool| -> Vec<Row> {
            let mut raw = u64::MAX - 5_000_000;
            (0..polls)
                .map(|at| {
                    let grown = i64::from(at) * 37 % 10_000;
                    raw = raw.wrapping_add(grown.cast_unsigned());
                    Row {
                        slot_s: 1_700_000_000 + i64::from(at) * 60,
                        span_ms: 60_000,
                        values: vec![Some(grown), Some(1)],
                        anchors: if anchored && at % 60 == 7 {
                            vec![(0, 1, raw)]
                        } else {
                            Vec::new()
                        },
                        ..Row::default()
                    }
                })
                .collect()
        };
        let of = |anchored| {
            let block = Block {
                shape: shape.clone(),
                rows: rows(anchored),
            };
            write(&Strip::of(&block, |_| true))
        };
        let (with, without) = (of(true), of(false));
        assert!(
            with.len() < without.len() + 60,
            "{} {}",
            with.len(),
            without.len()
        );
        let day = open(&with, NOBODY, |_| Some(shape.clone())).unwrap();
        let strip = day.parts[0]
            .strip(|_, column| column == 0)
            .unwrap()
            .unwrap();
        let expected: Vec<u64> = rows(true)
            .iter()
            .flat_map(|row| row.anchors.iter().map(|(_, _, raw)| *raw))
            .collect();
        let back: Vec<u64> = strip.lines[0]
            .1
            .anchors
            .iter()
            .map(|(_, _, raw)| *raw)
            .collect();
        assert_eq!(back, expected);
    }
}
