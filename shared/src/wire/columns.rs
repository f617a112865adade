//! The body of a samples batch ([`SAMPLES`], version 1): columns pooled per metric over the whole batch.
//!
//! ```text
//! form u8 · length of the text · [length of its zstd frame] · text · packed
//! text   = outline (layouts, heads of scrapes, anchors, gaps) · one pool per metric
//! packed = the pools that pco made smaller
//! ```
//!
//! The order of a pool follows from the layouts alone: metrics by name, then layouts by number, columns in their order,
//! scrapes in theirs. So the values carry no names, and nothing but the [`Outline`] can be read before the layouts came.
//! Numbers are variable-length integers, seven bits a byte, signed ones zigzag.

pub mod pool;

pub mod bytes;
mod outline;

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

pub use outline::{Outline, ScrapeHead};

use crate::model::{Layout, LayoutNo, SampleBatch, Scrape};
use crate::wire::DecodeError;
use crate::wire::codec::{INFLATE_RATIO, INFLATED_LIMIT};
use bytes::{Reader, put};
use pool::{Buffers, Effort, Sources};

#[expect(unused_imports, reason = "the module's documentation names it")]
use crate::wire::message::batch::SAMPLES;

/// The version of the body that is written.
pub const VERSION: u16 = 1;

/// The text as it is.
const STORED: u8 = 0;
/// The text by zstd.
const ZSTD: u8 = 1;

/// The layouts of one epoch.
pub trait LayoutLookup {
    /// The layout of that number, if it is known.
    fn layout(&self, no: LayoutNo) -> Option<&Layout>;
}

impl<S: BuildHasher> LayoutLookup for HashMap<LayoutNo, Layout, S> {
    fn layout(&self, no: LayoutNo) -> Option<&Layout> {
        self.get(&no)
    }
}

impl<S: BuildHasher> LayoutLookup for HashMap<LayoutNo, Arc<Layout>, S> {
    fn layout(&self, no: LayoutNo) -> Option<&Layout> {
        self.get(&no).map(|layout| &**layout)
    }
}

impl LayoutLookup for BTreeMap<LayoutNo, Layout> {
    fn layout(&self, no: LayoutNo) -> Option<&Layout> {
        self.get(&no)
    }
}

impl LayoutLookup for BTreeMap<LayoutNo, Arc<Layout>> {
    fn layout(&self, no: LayoutNo) -> Option<&Layout> {
        self.get(&no).map(|layout| &**layout)
    }
}

/// Why a batch has no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A scrape names a layout that is not there.
    #[error("layout {0} is not known")]
    NoLayout(LayoutNo),
    /// A scrape has not one value per column, or the layout points outside its metrics.
    #[error("a scrape does not have the columns of layout {0}")]
    Columns(LayoutNo),
    /// No decoder would accept so many values.
    #[error("{0} values in one batch")]
    TooMany(usize),
}

/// The body of `batch`.
///
/// # Errors
/// [`EncodeError`]; the batch contradicts its layouts.
pub fn encode(batch: &SampleBatch, layouts: &impl LayoutLookup) -> Result<Vec<u8>, EncodeError> {
    let outline = Outline::of(batch, layouts)?;
    let order = Order::of(&outline, |no| layouts.layout(no)).map_err(EncodeError::Columns)?;
    let body = write(batch, &outline, &order, Effort::Smallest);
    // A body that shrank more than a decoder accepts is written again without the forms that shrink so much.
    if open(&body).is_ok() && outline.cells() <= outline::cells_in(body.len()) {
        Ok(body)
    } else {
        Ok(write(batch, &outline, &order, Effort::Plain))
    }
}

fn write(batch: &SampleBatch, outline: &Outline, order: &Order<'_>, effort: Effort) -> Vec<u8> {
    let mut out = Buffers::default();
    outline.write(effort, &mut out);
    let mut values = Vec::new();
    for parts in order.metrics.values() {
        values.clear();
        for &(layout, column) in parts {
            values.extend(
                order.scrapes[layout]
                    .iter()
                    .filter_map(|&scrape| batch.scrapes[scrape].values[column]),
            );
        }
        pool::encode(&values, effort, &mut out);
    }
    let small = match effort {
        Effort::Smallest if out.text.len() >= 64 => pool::compress(&out.text),
        _ => None,
    };
    let mut body = Vec::with_capacity(out.text.len() + out.packed.len() + 8);
    match small.filter(|small| small.len() + 3 < out.text.len()) {
        Some(small) if out.text.len() <= small.len() * INFLATE_RATIO => {
            body.push(ZSTD);
            put(out.text.len() as u64, &mut body);
            put(small.len() as u64, &mut body);
            body.extend_from_slice(&small);
        }
        _ => {
            body.push(STORED);
            put(out.text.len() as u64, &mut body);
            body.extend_from_slice(&out.text);
        }
    }
    body.extend_from_slice(&out.packed);
    body
}

/// A body whose text has been taken out of its wrapping.
struct Opened<'a> {
    text: std::borrow::Cow<'a, [u8]>,
    packed: &'a [u8],
}

fn open(body: &[u8]) -> Result<Opened<'_>, DecodeError> {
    let mut reader = Reader(body);
    let form = reader.byte()?;
    let len: usize = reader.narrow()?;
    if len > INFLATED_LIMIT {
        return Err(DecodeError::TooLong {
            len,
            limit: INFLATED_LIMIT,
        });
    }
    let text = match form {
        STORED => reader.take(len)?.into(),
        ZSTD => {
            let small_len: usize = reader.narrow()?;
            let small = reader.take(small_len)?;
            if len > small.len().saturating_mul(INFLATE_RATIO) {
                return Err(DecodeError::Inflate);
            }
            pool::decompress(small, len)
                .ok_or(DecodeError::Inflate)?
                .into()
        }
        _ => return Err(DecodeError::Inconsistent("a body of an unknown form")),
    };
    Ok(Opened {
        text,
        packed: reader.0,
    })
}

/// What a body says without its layouts.
///
/// # Errors
/// [`DecodeError`].
pub fn outline(body: &[u8]) -> Result<Outline, DecodeError> {
    let opened = open(body)?;
    let mut from = Sources {
        text: &opened.text,
        packed: opened.packed,
    };
    Outline::read(&mut from, body.len())
}

/// Every layout that a body names, in its scrapes, anchors or gaps; ascending.
///
/// # Errors
/// [`DecodeError`].
pub fn layouts_named(body: &[u8]) -> Result<Vec<LayoutNo>, DecodeError> {
    outline(body).map(|outline| outline.layouts)
}

/// The batch of a body.
///
/// # Errors
/// [`DecodeError`]; `Inconsistent("a layout is missing")` when one that a scrape names is not known.
pub fn decode(body: &[u8], layouts: &impl LayoutLookup) -> Result<SampleBatch, DecodeError> {
    let opened = open(body)?;
    let mut from = Sources {
        text: &opened.text,
        packed: opened.packed,
    };
    let outline = Outline::read(&mut from, body.len())?;
    let mut has_scrapes = vec![false; outline.layouts.len()];
    for scrape in &outline.scrapes {
        has_scrapes[scrape.layout] = true;
    }
    let counted = outline.layouts.iter().zip(&outline.columns);
    for ((no, columns), _) in counted.zip(has_scrapes).filter(|(_, has)| *has) {
        let layout = layouts.layout(*no).ok_or(MISSING)?;
        if layout.columns.len() != usize::from(*columns) {
            return Err(DecodeError::Inconsistent("another count of columns"));
        }
    }
    let order = Order::of(&outline, |no| layouts.layout(no))
        .map_err(|_| DecodeError::Inconsistent("a column of no metric"))?;
    let mut scrapes: Vec<Scrape> = outline
        .scrapes
        .iter()
        .map(|head| Scrape {
            layout: outline.layouts[head.layout],
            slot_s: head.slot_s,
            offset_ms: head.offset_ms,
            span_ms: head.span_ms,
            values: vec![None; usize::from(outline.columns[head.layout])],
            spans: head.spans.clone(),
        })
        .collect();
    let mut values = Vec::new();
    for parts in order.metrics.values() {
        let places = || {
            parts.iter().flat_map(|&(layout, column)| {
                order.scrapes[layout]
                    .iter()
                    .map(move |&scrape| (scrape, column))
                    .filter(|&(scrape, column)| outline.scrapes[scrape].has(column))
            })
        };
        values.clear();
        pool::decode(places().count(), &mut from, &mut values)?;
        for ((scrape, column), value) in places().zip(&values) {
            scrapes[scrape].values[column] = Some(*value);
        }
    }
    if !from.text.is_empty() || !from.packed.is_empty() {
        return Err(DecodeError::LeftOver {
            left: from.text.len() + from.packed.len(),
        });
    }
    Ok(SampleBatch {
        scrapes,
        anchors: outline.anchors,
        gaps: outline.gaps,
        probe_gaps: outline.probe_gaps,
    })
}

/// A layout that a scrape names is not known.
const MISSING: DecodeError = DecodeError::Inconsistent("a layout is missing");

/// Which values stand in which pool, and in which order; both ends derive it from outline and layouts.
struct Order<'a> {
    /// Per metric: (index of the layout, column).
    metrics: BTreeMap<MetricKey<'a>, Vec<(usize, usize)>>,
    /// Per layout: its scrapes.
    scrapes: Vec<Vec<usize>>,
}

type MetricKey<'a> = (&'a str, u8, i8, u8, &'a str);

impl<'a> Order<'a> {
    fn of(
        outline: &Outline,
        layouts: impl Fn(LayoutNo) -> Option<&'a Layout>,
    ) -> Result<Self, LayoutNo> {
        let mut scrapes = vec![Vec::new(); outline.layouts.len()];
        for (at, scrape) in outline.scrapes.iter().enumerate() {
            scrapes[scrape.layout].push(at);
        }
        let mut metrics: BTreeMap<MetricKey<'a>, Vec<(usize, usize)>> = BTreeMap::new();
        for (index, no) in outline.layouts.iter().enumerate() {
            if scrapes[index].is_empty() {
                continue;
            }
            let layout = layouts(*no).ok_or(*no)?;
            let mut columns = vec![Vec::new(); layout.metrics.len()];
            for (column, what) in layout.columns.iter().enumerate() {
                columns
                    .get_mut(usize::from(what.metric))
                    .ok_or(*no)?
                    .push((index, column));
            }
            for (metric, columns) in layout.metrics.iter().zip(columns) {
                if !columns.is_empty() {
                    let key = (
                        metric.name.as_str(),
                        metric.kind,
                        metric.scale,
                        metric.width,
                        metric.unit.as_str(),
                    );
                    metrics.entry(key).or_default().extend(columns);
                }
            }
        }
        Ok(Self { metrics, scrapes })
    }
}

#[cfg(test)]
mod tests;
