//! Roll-ups: what a device's day says in steps of five minutes and of an hour. Always computed from the day's samples,
//! never added to.
//!
//! ```text
//! roll-up = CRC-32 of the rest, by whose it is (4 bytes) · version · steps of the day · blocks · block*
//! block   = hash of its shape (8 bytes) · per metric, per 64 of its columns: one section
//! section = length · pools: weights (0 is "nothing"), then of the others sums, least, greatest, and last (not of counters)
//! ```

use std::sync::Arc;

use farwatch_shared::wire::DecodeError;
use farwatch_shared::wire::columns::bytes::put;
use farwatch_shared::wire::columns::pool::{self, Buffers, Effort, Sources};

use super::chunk::Whose;
use super::schema::DAY_MS;
use super::shape::Shape;
use super::strip::{Head, Line};

const VERSION: u8 = 2;
/// Rates are kept in millionths per second.
const RATE_UNIT: f64 = 1e6;
/// Steps of a day at the most.
const STEPS_LIMIT: usize = 1_440;
/// Columns that share their pools: far from the limit of a pool, however many interfaces a device has.
const TOGETHER: usize = 64;

/// Steps of five minutes in a day.
pub(super) const FINE: usize = 288;
/// Hours in a day.
pub(super) const COARSE: usize = 24;

/// One step of one series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// Values, or ms that increases cover.
    pub(super) weight: i64,
    /// Of values, or of increases.
    pub(super) sum: i64,
    /// Least value, or least rate in millionths per second.
    pub(super) min: i64,
    /// Greatest.
    pub(super) max: i64,
    /// The last value; nothing of a counter.
    pub(super) last: i64,
}

impl Cell {
    fn add(&mut self, weight: i64, amount: i64, value: i64) {
        if self.weight == 0 {
            (self.min, self.max) = (value, value);
        }
        self.weight = self.weight.saturating_add(weight);
        self.sum = self.sum.saturating_add(amount);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// A rate of a counter's cell, per second.
    #[expect(clippy::cast_precision_loss, reason = "for a chart")]
    pub(super) const fn rate(millionths: i64) -> f64 {
        millionths as f64 / RATE_UNIT
    }
}

/// Some columns of one block, rolled up: each has one cell per step of the day.
#[derive(Clone, Debug)]
pub(super) struct Rolled {
    pub(super) shape: Arc<Shape>,
    /// Length of a step, ms.
    pub(super) step_ms: i64,
    pub(super) columns: Vec<(usize, Vec<Cell>)>,
}

/// Which step of the day each poll is in; none for one of another day.
pub(super) fn steps_of(heads: &[Head], day: i64, steps: usize) -> Vec<Option<u16>> {
    let length = length_ms(steps);
    heads
        .iter()
        .map(|head| {
            let within = head.slot_ms().saturating_sub(day.saturating_mul(DAY_MS));
            let step = u16::try_from(within.div_euclid(length)).ok()?;
            (usize::from(step) < steps).then_some(step)
        })
        .collect()
}

fn length_ms(steps: usize) -> i64 {
    DAY_MS / i64::try_from(steps.max(1)).unwrap_or(DAY_MS)
}

/// Rolls up one column of a day; `places` are of [`steps_of`].
pub(super) fn roll(
    counter: bool,
    heads: &[Head],
    line: &Line,
    places: &[Option<u16>],
    steps: usize,
) -> Vec<Cell> {
    let mut cells = vec![Cell::default(); steps];
    for (at, ((value, place), head)) in line.values.iter().zip(places).zip(heads).enumerate() {
        let (Some(value), Some(place)) = (*value, *place) else {
            continue;
        };
        let cell = &mut cells[usize::from(place)];
        if counter {
            let span = line.span_of(at, head);
            if span > 0 {
                cell.add(i64::from(span), value, millionths_per_s(value, span));
            }
        } else {
            cell.add(1, value, value);
            cell.last = value;
        }
    }
    cells
}

/// Hours from steps of five minutes of the same day.
pub(super) fn coarser(fine: &[Cell]) -> Vec<Cell> {
    fine.chunks(FINE / COARSE)
        .map(|steps| {
            let mut hour = Cell::default();
            for step in steps.iter().filter(|step| step.weight != 0) {
                let (min, max) = match hour.weight {
                    0 => (step.min, step.max),
                    _ => (hour.min.min(step.min), hour.max.max(step.max)),
                };
                hour = Cell {
                    weight: hour.weight.saturating_add(step.weight),
                    sum: hour.sum.saturating_add(step.sum),
                    min,
                    max,
                    last: step.last,
                };
            }
            hour
        })
        .collect()
}

fn millionths_per_s(increase: i64, span_ms: u32) -> i64 {
    // Nearly all fit; the others take the long way.
    if let Some(scaled) = increase.checked_mul(1_000_000_000) {
        let span = i64::from(span_ms);
        if let Some(rounded) = scaled.checked_add(span / 2) {
            return rounded.div_euclid(span);
        }
    }
    let span = i128::from(span_ms);
    let exact = (i128::from(increase) * 1_000_000_000 + span / 2).div_euclid(span);
    i64::try_from(exact).unwrap_or(if increase < 0 { i64::MIN } else { i64::MAX })
}

/// Writes a device's day, block by block, metric by metric.
#[derive(Debug)]
pub(super) struct Encoder {
    steps: usize,
    blocks: u64,
    body: Vec<u8>,
}

impl Encoder {
    pub(super) const fn new(steps: usize) -> Self {
        Self {
            steps,
            blocks: 0,
            body: Vec::new(),
        }
    }

    /// Begins a block; [`Self::metric`] follows for each of the shape's metrics in turn.
    pub(super) fn begin(&mut self, shape: &Shape) {
        self.blocks += 1;
        self.body.extend_from_slice(&shape.hash.to_le_bytes());
    }

    /// The cells of each column of a metric, in the shape's order.
    pub(super) fn metric(&mut self, counter: bool, columns: &[Vec<Cell>]) {
        for columns in columns.chunks(TOGETHER) {
            let mut section = Buffers::default();
            let cells = || columns.iter().flatten();
            let weights: Vec<i64> = cells().map(|cell| cell.weight).collect();
            pool::encode(&weights, Effort::Smallest, &mut section);
            let full = || cells().filter(|cell| cell.weight != 0);
            let mut stream = |of: &mut dyn Iterator<Item = i64>| {
                let values: Vec<i64> = of.collect();
                pool::encode(&values, Effort::Smallest, &mut section);
            };
            // The others by their distance from each other: often small.
            stream(&mut full().map(|cell| cell.sum));
            stream(&mut full().map(|cell| cell.min));
            stream(&mut full().map(|cell| cell.max.wrapping_sub(cell.min)));
            if !counter {
                stream(&mut full().map(|cell| cell.last.wrapping_sub(cell.min)));
            }
            put(section.text.len() as u64, &mut self.body);
            put(section.packed.len() as u64, &mut self.body);
            self.body.extend_from_slice(&section.text);
            self.body.extend_from_slice(&section.packed);
        }
    }

    /// The body.
    pub(super) fn finish(self, whose: Whose) -> Vec<u8> {
        let mut out = vec![0, 0, 0, 0, VERSION];
        put(self.steps as u64, &mut out);
        put(self.blocks, &mut out);
        out.extend_from_slice(&self.body);
        whose.sign(&mut out);
        out
    }
}

/// Reads a roll-up; of the cells only those of columns that `wanted` names.
pub(super) fn decode(
    bytes: &[u8],
    whose: Whose,
    mut shape_of: impl FnMut(u64) -> Option<Arc<Shape>>,
    wanted: impl Fn(&Shape, usize) -> bool,
) -> Result<Vec<Rolled>, DecodeError> {
    let mut from = whose.check(bytes)?;
    if from.byte()? != VERSION {
        return Err(DecodeError::Inconsistent("a roll-up of another version"));
    }
    let steps: usize = from.narrow()?;
    if steps == 0 || steps > STEPS_LIMIT {
        return Err(DecodeError::Inconsistent("another count of steps"));
    }
    let mut blocks = Vec::new();
    for _ in 0..from.count(9)? {
        let hash = u64::from_le_bytes(
            from.take(8)?
                .try_into()
                .map_err(|_| DecodeError::Inconsistent("no shape"))?,
        );
        let shape = shape_of(hash).ok_or(DecodeError::Inconsistent("a shape is missing"))?;
        let mut rolled = Rolled {
            shape: shape.clone(),
            step_ms: length_ms(steps),
            columns: Vec::new(),
        };
        for metric in 0..shape.form.metrics.len() {
            let columns: Vec<usize> = shape.columns_at(metric).collect();
            for columns in columns.chunks(TOGETHER) {
                let (text, packed): (usize, usize) = (from.narrow()?, from.narrow()?);
                let mut sources = Sources {
                    text: from.take(text)?,
                    packed: from.take(packed)?,
                };
                if columns.iter().any(|column| wanted(&shape, *column)) {
                    let counter = shape.is_counter(columns[0]);
                    let cells = read_cells(&mut sources, columns.len() * steps, counter)?;
                    for (column, cells) in columns.iter().zip(cells.chunks(steps)) {
                        if wanted(&shape, *column) {
                            rolled.columns.push((*column, cells.to_vec()));
                        }
                    }
                }
            }
        }
        if !rolled.columns.is_empty() {
            blocks.push(rolled);
        }
    }
    Ok(blocks)
}

fn read_cells(
    sources: &mut Sources<'_>,
    count: usize,
    counter: bool,
) -> Result<Vec<Cell>, DecodeError> {
    let mut weights = Vec::new();
    pool::decode(count, sources, &mut weights)?;
    let full = weights.iter().filter(|weight| **weight != 0).count();
    let mut streams: [Vec<i64>; 4] = Default::default();
    for stream in &mut streams[..if counter { 3 } else { 4 }] {
        pool::decode(full, sources, stream)?;
    }
    streams[3].resize(full, 0);
    let [sums, least, greatest, last] = &streams;
    let mut at = 0;
    Ok(weights
        .into_iter()
        .map(|weight| {
            if weight == 0 {
                return Cell::default();
            }
            let min = least[at];
            let cell = Cell {
                weight,
                sum: sums[at],
                min,
                max: min.wrapping_add(greatest[at]),
                last: if counter {
                    0
                } else {
                    min.wrapping_add(last[at])
                },
            };
            at += 1;
            cell
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::chunk::Block;
    use crate::metrics::row::Row;
    use crate::metrics::strip::Strip;
    use crate::metrics::testing;

    const DAY: i64 = 20_000;

    fn row(slot_s: i64, counter: i64, gauge: i64) -> Row {
        Row {
            slot_s: DAY * 86_400 + slot_s,
            span_ms: 60_000,
            values: vec![Some(counter), Some(gauge), None],
            ..Row::default()
        }
    }

    fn rolled(strip: &Strip, steps: usize) -> Vec<Vec<Cell>> {
        let places = steps_of(&strip.heads, DAY, steps);
        let lines = strip.lines.iter();
        lines
            .map(|(column, line)| {
                let counter = strip.shape.is_counter(*column);
                roll(counter, &strip.heads, line, &places, steps)
            })
            .collect()
    }

    #[test]
    fn a_day_rolls_up_to_what_a_pencil_says_and_reads_back() {
        let shape = testing::shape(3);
        let block = Block {
            shape: shape.clone(),
            rows: vec![
                row(-1, 9, 9),
                row(7_200, 60, 5),
                row(7_260, 120, 9),
                row(7_440, 0, 7),
                row(10_799, 600, -1),
                row(86_400, 9, 9),
            ],
        };
        let strip = Strip::of(&block, |_| true);
        let fine = rolled(&strip, FINE);
        let first = Cell {
            weight: 180_000,
            sum: 180,
            min: 0,
            max: 2_000_000,
            last: 0,
        };
        assert_eq!(fine[0][24], first);
        let gauge = Cell {
            weight: 3,
            sum: 21,
            min: 5,
            max: 9,
            last: 7,
        };
        assert_eq!(fine[1][24], gauge);
        assert_eq!(fine[0][25], Cell::default());
        assert_eq!(fine[0][35].sum, 600);
        let coarse = rolled(&strip, COARSE);
        let from_fine: Vec<Vec<Cell>> = fine.iter().map(|cells| coarser(cells)).collect();
        assert_eq!(coarse, from_fine);
        let hour = Cell {
            weight: 4,
            sum: 20,
            min: -1,
            max: 9,
            last: -1,
        };
        assert_eq!(coarse[1][2], hour);
        let filled = |cells: &[Cell]| cells.iter().filter(|cell| cell.weight > 0).count();
        assert_eq!((filled(&coarse[1]), filled(&coarse[2])), (1, 0));

        let mut encoder = Encoder::new(FINE);
        encoder.begin(&shape);
        encoder.metric(true, &[fine[0].clone(), fine[2].clone()]);
        encoder.metric(false, &[fine[1].clone()]);
        let bytes = encoder.finish(Whose::NOBODY);
        let of = |bytes: &[u8], column: Option<usize>| {
            let wanted = |_: &Shape, of: usize| column.is_none_or(|column| column == of);
            decode(bytes, Whose::NOBODY, |_| Some(shape.clone()), wanted)
        };
        let mut back = of(&bytes, None).unwrap().remove(0);
        back.columns.sort_by_key(|(column, _)| *column);
        let back: Vec<Vec<Cell>> = back.columns.into_iter().map(|(_, cells)| cells).collect();
        assert_eq!(back, fine);
        let one = of(&bytes, Some(1)).unwrap().remove(0);
        assert_eq!(one.columns, [(1, fine[1].clone())]);
        for cut in 0..bytes.len() {
            assert!(of(&bytes[..cut], None).is_err());
        }
    }

    #[test]
    fn rates_are_exact_however_great_the_increase() {
        for (increase, span, expected) in [
            (1_000, 60_000, 16_666_667),
            (-5, 1_000, -5_000_000),
            (i64::MAX, 1, i64::MAX),
            (i64::MIN, 1, i64::MIN),
            (1 << 40, u32::MAX, 256_000_000_060),
        ] {
            assert_eq!(millionths_per_s(increase, span), expected, "{increase}");
        }
    }
}
