//! What a samples body says without its layouts: which layouts, when each poll was, anchors and gaps.

use std::collections::BTreeSet;

use super::bytes::{Reader, put, unzigzag, zigzag};
use super::pool::{self, Buffers, Effort, Sources};
use super::{EncodeError, LayoutLookup};
use crate::clock::Timestamp;
use crate::model::{Anchor, GapRun, LayoutNo, ProbeGap, SampleBatch, Scrape};
use crate::wire::DecodeError;
use crate::wire::codec::INFLATE_RATIO;

/// The most that one body may hold, in cells of 16 bytes: 8 MiB in memory. A value (present or not) is one; what else a
/// body holds weighs as much as it takes while it is read.
pub(super) const CELL_LIMIT: usize = pool::POOL_LIMIT;
/// Cells that a body of any length may hold; beyond them 50 for each byte.
const CELLS_FREE: usize = 64 * 1024;

const LAYOUT_CELLS: usize = 4;
const SCRAPE_CELLS: usize = 12;
const SPAN_CELLS: usize = 1;
const ANCHOR_CELLS: usize = 4;
const GAP_CELLS: usize = 4;
const PROBE_GAP_CELLS: usize = 2;

/// How many cells a body of that many bytes may hold.
pub(super) fn cells_in(body_len: usize) -> usize {
    body_len
        .saturating_mul(INFLATE_RATIO)
        .saturating_add(CELLS_FREE)
        .min(CELL_LIMIT)
}

/// A samples body without its values. Readable before any layout is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Every layout named, ascending.
    pub layouts: Vec<LayoutNo>,
    /// Columns of each of them, as the probe counted; 0 where no scrape names it.
    pub columns: Vec<u16>,
    /// Polls, without values.
    pub scrapes: Vec<ScrapeHead>,
    /// Raw counters.
    pub anchors: Vec<Anchor>,
    /// Missing slots of layouts.
    pub gaps: Vec<GapRun>,
    /// Missing time of the whole probe.
    pub probe_gaps: Vec<ProbeGap>,
}

/// One poll, without values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeHead {
    /// Index into [`Outline::layouts`].
    pub layout: usize,
    /// As [`Scrape::slot_s`].
    pub slot_s: i64,
    /// As [`Scrape::offset_ms`].
    pub offset_ms: i32,
    /// As [`Scrape::span_ms`].
    pub span_ms: u32,
    /// Bit i of byte i/8 is set where column i has a value; empty when all have.
    pub present: Vec<u8>,
    /// As [`Scrape::spans`].
    pub spans: Vec<(u16, u32)>,
}

impl ScrapeHead {
    /// Whether a column has a value.
    #[must_use]
    pub fn has(&self, column: usize) -> bool {
        self.present.is_empty()
            || self
                .present
                .get(column / 8)
                .is_some_and(|byte| byte >> (column % 8) & 1 == 1)
    }
}

impl Outline {
    /// The same of a batch that is being encoded.
    pub(super) fn of(
        batch: &SampleBatch,
        layouts: &impl LayoutLookup,
    ) -> Result<Self, EncodeError> {
        let named: BTreeSet<LayoutNo> = batch
            .scrapes
            .iter()
            .map(|scrape| scrape.layout)
            .chain(batch.anchors.iter().map(|anchor| anchor.layout))
            .chain(batch.gaps.iter().map(|gap| gap.layout))
            .collect();
        let named: Vec<LayoutNo> = named.into_iter().collect();
        let mut columns = vec![0; named.len()];
        let mut scrapes = Vec::with_capacity(batch.scrapes.len());
        for scrape in &batch.scrapes {
            let layout = named
                .binary_search(&scrape.layout)
                .expect("every scrape's layout was collected above");
            let known = layouts
                .layout(scrape.layout)
                .ok_or(EncodeError::NoLayout(scrape.layout))?;
            let wide = u16::try_from(known.columns.len())
                .ok()
                .filter(|_| known.columns.len() == scrape.values.len())
                .ok_or(EncodeError::Columns(scrape.layout))?;
            columns[layout] = wide;
            scrapes.push(ScrapeHead {
                layout,
                slot_s: scrape.slot_s,
                offset_ms: scrape.offset_ms,
                span_ms: scrape.span_ms,
                present: presence(scrape),
                spans: scrape.spans.clone(),
            });
        }
        let outline = Self {
            layouts: named,
            columns,
            scrapes,
            anchors: batch.anchors.clone(),
            gaps: batch.gaps.clone(),
            probe_gaps: batch.probe_gaps.clone(),
        };
        if outline.cells() > CELL_LIMIT {
            return Err(EncodeError::TooMany(outline.cells()));
        }
        Ok(outline)
    }

    /// All that it holds and stands for, in cells; a reader counts the same.
    pub(super) fn cells(&self) -> usize {
        let scrapes = self.scrapes.iter().map(|scrape| {
            let wide = usize::from(self.columns[scrape.layout]);
            SCRAPE_CELLS + wide + SPAN_CELLS * scrape.spans.len()
        });
        let gaps = self.gaps.iter().map(|gap| gap_cells(gap.columns.len()));
        scrapes.sum::<usize>()
            + gaps.sum::<usize>()
            + LAYOUT_CELLS * self.layouts.len()
            + ANCHOR_CELLS * self.anchors.len()
            + PROBE_GAP_CELLS * self.probe_gaps.len()
    }

    pub(super) fn write(&self, effort: Effort, out: &mut Buffers) {
        put(self.layouts.len() as u64, &mut out.text);
        let mut before = 0;
        for (no, columns) in self.layouts.iter().zip(&self.columns) {
            put(u64::from(no.0 - before), &mut out.text);
            put(u64::from(*columns), &mut out.text);
            before = no.0;
        }
        self.write_scrapes(effort, out);
        self.write_anchors(effort, out);
        let text = &mut out.text;
        put(self.gaps.len() as u64, text);
        for gap in &self.gaps {
            put(self.index(gap.layout) as u64, text);
            put(zigzag(gap.first_slot_s), text);
            put(u64::from(gap.slots), text);
            text.push(gap.reason);
            put(gap.columns.len() as u64, text);
            text.extend_from_slice(&gap.columns);
        }
        put(self.probe_gaps.len() as u64, text);
        for gap in &self.probe_gaps {
            put(zigzag(gap.from.ms()), text);
            put(zigzag(gap.to.ms().wrapping_sub(gap.from.ms())), text);
            text.push(gap.reason);
        }
    }

    fn write_scrapes(&self, effort: Effort, out: &mut Buffers) {
        put(self.scrapes.len() as u64, &mut out.text);
        let streams = Streams::of(&self.scrapes);
        for stream in [
            &streams.layouts,
            &streams.slots,
            &streams.offsets,
            &streams.spans,
        ] {
            pool::encode(stream, effort, out);
        }
        let text = &mut out.text;
        let partial = self
            .scrapes
            .iter()
            .filter(|scrape| !scrape.present.is_empty());
        put(partial.count() as u64, text);
        let mut next = 0;
        for (at, scrape) in self.scrapes.iter().enumerate() {
            if !scrape.present.is_empty() {
                put((at - next) as u64, text);
                text.extend_from_slice(&scrape.present);
                next = at + 1;
            }
        }
        let with_spans = self
            .scrapes
            .iter()
            .filter(|scrape| !scrape.spans.is_empty());
        put(with_spans.count() as u64, text);
        next = 0;
        for (at, scrape) in self.scrapes.iter().enumerate() {
            if !scrape.spans.is_empty() {
                put((at - next) as u64, text);
                next = at + 1;
                put(scrape.spans.len() as u64, text);
                for (column, span_ms) in &scrape.spans {
                    put(u64::from(*column), text);
                    put(u64::from(*span_ms), text);
                }
            }
        }
    }

    fn write_anchors(&self, effort: Effort, out: &mut Buffers) {
        put(self.anchors.len() as u64, &mut out.text);
        let mut before = 0_i64;
        let mut slot = 0_i64;
        let mut streams: [Vec<i64>; 5] = Default::default();
        for anchor in &self.anchors {
            let layout = i64::try_from(self.index(anchor.layout)).unwrap_or(i64::MAX);
            streams[0].push(layout - before);
            streams[1].push(i64::from(anchor.column));
            streams[2].push(i64::from(anchor.kind));
            streams[3].push(anchor.slot_s.wrapping_sub(slot));
            streams[4].push(anchor.raw.cast_signed());
            before = layout;
            slot = anchor.slot_s;
        }
        for stream in &streams {
            pool::encode(stream, effort, out);
        }
    }

    fn index(&self, no: LayoutNo) -> usize {
        self.layouts
            .binary_search(&no)
            .expect("every layout named was collected")
    }

    pub(super) fn read(from: &mut Sources<'_>, body_len: usize) -> Result<Self, DecodeError> {
        let mut room = Room(cells_in(body_len));
        let mut text = Reader(from.text);
        let named = room.of(text.count(2)?, LAYOUT_CELLS)?;
        let mut outline = Self::default();
        let mut no = 0_u32;
        for at in 0..named {
            let step: u32 = text.narrow()?;
            if at > 0 && step == 0 {
                return Err(DecodeError::Inconsistent("a layout is named twice"));
            }
            no = no
                .checked_add(step)
                .ok_or(DecodeError::Inconsistent("a layout's number is too great"))?;
            outline.layouts.push(LayoutNo(no));
            outline.columns.push(text.narrow()?);
        }
        from.text = text.0;
        outline.read_scrapes(from, &mut room)?;
        outline.read_anchors(from, &mut room)?;
        let mut text = Reader(from.text);
        for _ in 0..text.count(5)? {
            let layout = outline.named(text.narrow()?)?;
            let first_slot_s = text.int()?;
            let slots = text.narrow()?;
            let reason = text.byte()?;
            let wide = text.count(1)?;
            room.of(1, gap_cells(wide))?;
            outline.gaps.push(GapRun {
                layout,
                first_slot_s,
                slots,
                reason,
                columns: text.take(wide)?.to_vec(),
            });
        }
        for _ in 0..room.of(text.count(3)?, PROBE_GAP_CELLS)? {
            let start = text.int()?;
            outline.probe_gaps.push(ProbeGap {
                from: Timestamp(start),
                to: Timestamp(start.wrapping_add(text.int()?)),
                reason: text.byte()?,
            });
        }
        from.text = text.0;
        Ok(outline)
    }

    fn read_scrapes(&mut self, from: &mut Sources<'_>, room: &mut Room) -> Result<(), DecodeError> {
        let mut text = Reader(from.text);
        let count = room.of(text.narrow()?, SCRAPE_CELLS)?;
        from.text = text.0;
        let mut streams = Streams::default();
        for stream in [
            &mut streams.layouts,
            &mut streams.slots,
            &mut streams.offsets,
            &mut streams.spans,
        ] {
            pool::decode(count, from, stream)?;
        }
        self.scrapes = streams.into_scrapes(self.layouts.len())?;
        for scrape in &self.scrapes {
            room.of(1, usize::from(self.columns[scrape.layout]))?;
        }
        let mut text = Reader(from.text);
        let mut next = 0_usize;
        for _ in 0..text.count(2)? {
            let scrape = at_step(&mut self.scrapes, &mut next, text.narrow()?)?;
            let wide = usize::from(self.columns[scrape.layout]).div_ceil(8);
            scrape.present = text.take(wide)?.to_vec();
        }
        next = 0;
        for _ in 0..text.count(4)? {
            let scrape = at_step(&mut self.scrapes, &mut next, text.narrow()?)?;
            for _ in 0..room.of(text.count(2)?, SPAN_CELLS)? {
                let column: u16 = text.narrow()?;
                if column >= self.columns[scrape.layout] {
                    return Err(DecodeError::Inconsistent("a span of no column"));
                }
                scrape.spans.push((column, text.narrow()?));
            }
        }
        from.text = text.0;
        Ok(())
    }

    fn read_anchors(&mut self, from: &mut Sources<'_>, room: &mut Room) -> Result<(), DecodeError> {
        let mut text = Reader(from.text);
        let count = room.of(text.narrow()?, ANCHOR_CELLS)?;
        from.text = text.0;
        let mut streams: [Vec<i64>; 5] = Default::default();
        for stream in &mut streams {
            pool::decode(count, from, stream)?;
        }
        let [layouts, columns, kinds, slots, raws] = streams;
        let (mut layout, mut slot) = (0_i64, 0_i64);
        let rest = columns.into_iter().zip(kinds).zip(slots).zip(raws);
        for (step, (((column, kind), slot_step), raw)) in layouts.into_iter().zip(rest) {
            layout = layout.wrapping_add(step);
            slot = slot.wrapping_add(slot_step);
            self.anchors.push(Anchor {
                layout: self.named(usize::try_from(layout).unwrap_or(usize::MAX))?,
                column: u16::try_from(column)
                    .map_err(|_| DecodeError::Inconsistent("a column's number"))?,
                kind: u8::try_from(kind)
                    .map_err(|_| DecodeError::Inconsistent("a kind of anchor"))?,
                slot_s: slot,
                raw: raw.cast_unsigned(),
            });
        }
        Ok(())
    }

    fn named(&self, index: usize) -> Result<LayoutNo, DecodeError> {
        self.layouts
            .get(index)
            .copied()
            .ok_or(DecodeError::Inconsistent("a layout that is not named"))
    }
}

/// Cells that may still be read, so that no lie is believed before its room is paid for.
struct Room(usize);

impl Room {
    /// Takes room for `count` things of `cells` each, and gives the count back.
    fn of(&mut self, count: usize, cells: usize) -> Result<usize, DecodeError> {
        self.0 = self
            .0
            .checked_sub(count.saturating_mul(cells))
            .ok_or(DecodeError::Inflate)?;
        Ok(count)
    }
}

const fn gap_cells(columns_bytes: usize) -> usize {
    GAP_CELLS + columns_bytes / 16
}

fn presence(scrape: &Scrape) -> Vec<u8> {
    if scrape.values.iter().all(Option::is_some) {
        return Vec::new();
    }
    let mut bits = vec![0; scrape.values.len().div_ceil(8)];
    for (column, value) in scrape.values.iter().enumerate() {
        bits[column / 8] |= u8::from(value.is_some()) << (column % 8);
    }
    bits
}

fn at_step<'a>(
    scrapes: &'a mut [ScrapeHead],
    next: &mut usize,
    step: usize,
) -> Result<&'a mut ScrapeHead, DecodeError> {
    let at = next.saturating_add(step);
    *next = at.saturating_add(1);
    scrapes
        .get_mut(at)
        .ok_or(DecodeError::Inconsistent("a poll that is not there"))
}

/// The heads of scrapes as columns of their own; layouts and slots as differences, because they hardly change.
#[derive(Default)]
struct Streams {
    layouts: Vec<i64>,
    slots: Vec<i64>,
    offsets: Vec<i64>,
    spans: Vec<i64>,
}

impl Streams {
    fn of(scrapes: &[ScrapeHead]) -> Self {
        let mut streams = Self::default();
        let (mut layout, mut slot, mut span) = (0_i64, 0_i64, 0_i64);
        for scrape in scrapes {
            let index = i64::try_from(scrape.layout).unwrap_or(i64::MAX);
            streams.layouts.push(index - layout);
            streams.slots.push(scrape.slot_s.wrapping_sub(slot));
            streams.offsets.push(i64::from(scrape.offset_ms));
            // 0 is "no span"; others by their distance from the last one, moved aside by one.
            let this = i64::from(scrape.span_ms);
            streams.spans.push(if this == 0 {
                0
            } else {
                unzigzag(zigzag(this - span) + 1)
            });
            if this != 0 {
                span = this;
            }
            layout = index;
            slot = scrape.slot_s;
        }
        streams
    }

    fn into_scrapes(self, layouts: usize) -> Result<Vec<ScrapeHead>, DecodeError> {
        let (mut layout, mut slot, mut span) = (0_i64, 0_i64, 0_i64);
        let mut scrapes = Vec::with_capacity(self.layouts.len());
        for at in 0..self.layouts.len() {
            layout = layout.wrapping_add(self.layouts[at]);
            slot = slot.wrapping_add(self.slots[at]);
            let index = usize::try_from(layout)
                .ok()
                .filter(|index| *index < layouts)
                .ok_or(DecodeError::Inconsistent("a layout that is not named"))?;
            let span_ms = if self.spans[at] == 0 {
                0
            } else {
                span = span.wrapping_add(unzigzag(zigzag(self.spans[at]) - 1));
                u32::try_from(span)
                    .ok()
                    .filter(|span| *span > 0)
                    .ok_or(DecodeError::Inconsistent("a span out of its range"))?
            };
            scrapes.push(ScrapeHead {
                layout: index,
                slot_s: slot,
                offset_ms: i32::try_from(self.offsets[at])
                    .map_err(|_| DecodeError::Inconsistent("an offset out of its range"))?,
                span_ms,
                present: Vec::new(),
                spans: Vec::new(),
            });
        }
        Ok(scrapes)
    }
}
