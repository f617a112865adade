//! Roll-ups: what an hour's chunk says in steps of five minutes and of the hour. Always computed from the whole chunk,
//! never added to.
//!
//! ```text
//! roll-up = CRC-32 of the rest (4 bytes) · version · steps of the hour · blocks · block*
//! block   = hash of its shape (8 bytes) · one section per metric
//! section = length · pools: weights (0 is "nothing"), then of the others sums, least, greatest, last
//! ```

use std::sync::Arc;

use farwatch_shared::wire::DecodeError;
use farwatch_shared::wire::columns::bytes::{Reader, put};
use farwatch_shared::wire::columns::pool::{self, Buffers, Effort, Sources};

use super::chunk::Block;
use super::schema::HOUR_MS;
use super::shape::Shape;

const VERSION: u8 = 1;
/// Rates are kept in millionths per second.
const RATE_UNIT: f64 = 1e6;
/// Steps of an hour at the most.
const STEPS_LIMIT: usize = 60;

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
    /// The last value, or the last rate.
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
        self.last = value;
    }

    /// A rate of a counter's cell, per second.
    #[expect(clippy::cast_precision_loss, reason = "for a chart")]
    pub(super) const fn rate(millionths: i64) -> f64 {
        millionths as f64 / RATE_UNIT
    }
}

/// One block, rolled up: `cells[column * steps + step]`.
#[derive(Clone, Debug)]
pub(super) struct Rolled {
    pub(super) shape: Arc<Shape>,
    pub(super) steps: usize,
    pub(super) cells: Vec<Cell>,
}

/// Rolls up an hour's block into `steps` equal steps.
pub(super) fn roll(block: &Block, hour: i64, steps: usize) -> Rolled {
    let columns = block.shape.columns();
    let mut cells = vec![Cell::default(); columns * steps];
    let length = HOUR_MS / i64::try_from(steps).unwrap_or(1);
    for row in &block.rows {
        let within = row.slot_ms().saturating_sub(hour.saturating_mul(HOUR_MS));
        let Ok(step) = usize::try_from(within / length) else {
            continue;
        };
        if step >= steps {
            continue;
        }
        for (column, value) in row.values.iter().enumerate() {
            let Some(value) = *value else {
                continue;
            };
            let cell = &mut cells[column * steps + step];
            if block.shape.is_counter(column) {
                let span = row.span_of(column);
                if span > 0 {
                    cell.add(i64::from(span), value, millionths_per_s(value, span));
                }
            } else {
                cell.add(1, value, value);
            }
        }
    }
    Rolled {
        shape: block.shape.clone(),
        steps,
        cells,
    }
}

fn millionths_per_s(increase: i64, span_ms: u32) -> i64 {
    let span = i128::from(span_ms);
    let exact = (i128::from(increase) * 1_000_000_000 + span / 2).div_euclid(span);
    i64::try_from(exact).unwrap_or(if increase < 0 { i64::MIN } else { i64::MAX })
}

/// As a file keeps it; all blocks have as many steps.
pub(super) fn encode(blocks: &[Rolled]) -> Vec<u8> {
    let steps = blocks.first().map_or(1, |block| block.steps);
    let mut out = vec![0, 0, 0, 0, VERSION];
    put(steps as u64, &mut out);
    put(blocks.len() as u64, &mut out);
    for block in blocks {
        out.extend_from_slice(&block.shape.hash.to_le_bytes());
        for metric in 0..block.shape.form.metrics.len() {
            let cells: Vec<&Cell> = cells_of(&block.shape, metric, steps)
                .map(|at| &block.cells[at])
                .collect();
            let mut section = Buffers::default();
            let weights: Vec<i64> = cells.iter().map(|cell| cell.weight).collect();
            pool::encode(&weights, Effort::Smallest, &mut section);
            let full: Vec<&Cell> = cells.into_iter().filter(|cell| cell.weight != 0).collect();
            // The others by their distance from the mean or from each other: often small.
            for stream in [
                full.iter().map(|cell| cell.sum).collect::<Vec<_>>(),
                full.iter().map(|cell| cell.min).collect(),
                full.iter()
                    .map(|cell| cell.max.wrapping_sub(cell.min))
                    .collect(),
                full.iter()
                    .map(|cell| cell.last.wrapping_sub(cell.min))
                    .collect(),
            ] {
                pool::encode(&stream, Effort::Smallest, &mut section);
            }
            put(section.text.len() as u64, &mut out);
            put(section.packed.len() as u64, &mut out);
            out.extend_from_slice(&section.text);
            out.extend_from_slice(&section.packed);
        }
    }
    let crc = crc32fast::hash(&out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Reads a roll-up; of the cells only those of metrics that `wanted` names.
pub(super) fn decode(
    bytes: &[u8],
    mut shape_of: impl FnMut(u64) -> Option<Arc<Shape>>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Rolled>, DecodeError> {
    let mut from = Reader(bytes);
    let crc = from.take(4)?;
    if crc32fast::hash(from.0).to_le_bytes() != crc {
        return Err(DecodeError::Inconsistent("its CRC is another"));
    }
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
        let mut cells = vec![Cell::default(); shape.columns() * steps];
        let mut any = false;
        for (index, metric) in shape.form.metrics.iter().enumerate() {
            let (text, packed): (usize, usize) = (from.narrow()?, from.narrow()?);
            let mut sources = Sources {
                text: from.take(text)?,
                packed: from.take(packed)?,
            };
            if !wanted(&metric.name) {
                continue;
            }
            any = true;
            let places: Vec<usize> = cells_of(&shape, index, steps).collect();
            let mut weights = Vec::new();
            pool::decode(places.len(), &mut sources, &mut weights)?;
            let full: Vec<(usize, i64)> = places
                .into_iter()
                .zip(weights)
                .filter(|(_, weight)| *weight != 0)
                .collect();
            let mut streams: [Vec<i64>; 4] = Default::default();
            for stream in &mut streams {
                pool::decode(full.len(), &mut sources, stream)?;
            }
            for (at, (place, weight)) in full.into_iter().enumerate() {
                let min = streams[1][at];
                cells[place] = Cell {
                    weight,
                    sum: streams[0][at],
                    min,
                    max: min.wrapping_add(streams[2][at]),
                    last: min.wrapping_add(streams[3][at]),
                };
            }
        }
        if any {
            blocks.push(Rolled {
                shape,
                steps,
                cells,
            });
        }
    }
    Ok(blocks)
}

/// Places of a metric's cells, by column and step.
fn cells_of(shape: &Shape, metric: usize, steps: usize) -> impl Iterator<Item = usize> {
    shape
        .form
        .columns
        .iter()
        .enumerate()
        .filter(move |(_, what)| usize::from(what.metric) == metric)
        .flat_map(move |(column, _)| column * steps..(column + 1) * steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::row::Row;
    use crate::metrics::testing;

    fn row(slot_s: i64, counter: i64, gauge: i64) -> Row {
        Row {
            slot_s,
            span_ms: 60_000,
            values: vec![Some(counter), Some(gauge), None],
            ..Row::default()
        }
    }

    #[test]
    fn an_hour_rolls_up_to_what_a_pencil_says_and_reads_back() {
        let shape = testing::shape(3);
        let hour = 500_000;
        let start = hour * 3_600;
        let block = Block {
            shape: shape.clone(),
            rows: vec![
                row(start, 60, 5),
                row(start + 60, 120, 9),
                row(start + 240, 0, 7),
                row(start + 3_599, 600, -1),
            ],
        };
        let fine = roll(&block, hour, 12);
        assert_eq!(
            fine.cells[0],
            Cell {
                weight: 180_000,
                sum: 180,
                min: 0,
                max: 2_000_000,
                last: 0
            }
        );
        assert_eq!(
            fine.cells[12],
            Cell {
                weight: 3,
                sum: 21,
                min: 5,
                max: 9,
                last: 7
            }
        );
        assert_eq!(fine.cells[1], Cell::default());
        assert_eq!(fine.cells[11].sum, 600);
        let coarse = roll(&block, hour, 1);
        assert_eq!(
            coarse.cells[1],
            Cell {
                weight: 4,
                sum: 20,
                min: -1,
                max: 9,
                last: -1
            }
        );

        let bytes = encode(std::slice::from_ref(&fine));
        let back = decode(&bytes, |_| Some(shape.clone()), |_| true).unwrap();
        assert_eq!(back[0].cells, fine.cells);
        let one = decode(&bytes, |_| Some(shape.clone()), |name| name == "sysUpTime").unwrap();
        assert_eq!(one[0].cells[0], Cell::default());
        assert_eq!(one[0].cells[12], fine.cells[12]);
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut], |_| Some(shape.clone()), |_| true).is_err());
        }
    }
}
