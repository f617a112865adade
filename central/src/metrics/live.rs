//! The newest value of every series, in dense arrays.

use std::collections::HashMap;
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{Epoch, InstanceNo, MetricKind};

use super::query::{LastValue, Source, TopItem};
use super::row::Row;
use super::shape::{Shape, scaled, unit_shown};
use super::state::{Key, State};

/// One series' newest value: 16 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    value: i64,
    /// Unix seconds, Central's time; 0 is "never".
    at_s: u32,
    span_ms: u32,
}

/// The newest values of one poll group of one device.
#[derive(Debug)]
pub(super) struct Newest {
    pub(super) shape: Arc<Shape>,
    /// The batch of the newest row.
    key: Key,
    cells: Vec<Cell>,
}

impl Newest {
    fn new(shape: Arc<Shape>) -> Self {
        let cells = vec![Cell::default(); shape.columns()];
        Self {
            shape,
            key: (Epoch(0), 0),
            cells,
        }
    }

    /// Takes over what the series were before their layout changed.
    fn succeed(&mut self, before: &Self) {
        let old: HashMap<(&str, InstanceNo), Cell> = (0..before.shape.columns())
            .map(|at| {
                let key = (
                    before.shape.metric(at).name.as_str(),
                    before.shape.instance(at),
                );
                (key, before.cells[at])
            })
            .collect();
        for (at, cell) in self.cells.iter_mut().enumerate() {
            let key = (self.shape.metric(at).name.as_str(), self.shape.instance(at));
            if let Some(value) = old.get(&key) {
                *cell = *value;
            }
        }
    }

    /// A row of an earlier batch is history where it says less than what is here. A later batch is newer whatever its
    /// clock says; a later time is newer whatever its batch is called (the probe's store may have been lost).
    fn take(&mut self, key: Key, row: &Row) {
        let later = key >= self.key;
        self.key = self.key.max(key);
        let at_s = u32::try_from(row.at_ms().div_euclid(1_000)).unwrap_or(0);
        for (column, value) in row.values.iter().enumerate() {
            if let Some(value) = *value
                && (later || at_s >= self.cells[column].at_s)
            {
                let span_ms = if row.spans.is_empty() {
                    row.span_ms
                } else {
                    row.span_of(column)
                };
                self.cells[column] = Cell {
                    value,
                    at_s,
                    span_ms,
                };
            }
        }
    }

    /// A column's newest value (a counter's rate), and when it was read.
    pub(super) fn value(&self, column: usize) -> Option<(f64, Timestamp)> {
        let cell = self.cells[column];
        let metric = self.shape.metric(column);
        let mut value = scaled(metric, cell.value);
        if metric.kind == MetricKind::Counter.code() {
            if cell.span_ms == 0 {
                return None;
            }
            value /= f64::from(cell.span_ms) / 1_000.0;
        }
        (cell.at_s > 0).then_some((value, Timestamp::from_secs(i64::from(cell.at_s))))
    }

    pub(super) fn last(&self, column: usize) -> Option<LastValue> {
        let (value, at) = self.value(column)?;
        let metric = self.shape.metric(column);
        Some(LastValue {
            metric: metric.name.clone(),
            instance: self.shape.instance(column),
            kind: MetricKind::from_code(metric.kind).unwrap_or(MetricKind::Gauge),
            unit: unit_shown(metric),
            value,
            at,
        })
    }
}

/// A row becomes the newest of its device's group, unless it is history.
pub(super) fn take(groups: &mut Vec<Newest>, key: Key, shape: &Arc<Shape>, row: &Row) {
    let group = shape.form.group;
    let at = groups
        .iter()
        .position(|newest| newest.shape.form.group == group);
    let newest = match at {
        None => {
            groups.push(Newest::new(shape.clone()));
            groups.len() - 1
        }
        Some(at) if groups[at].shape.hash == shape.hash => at,
        Some(at) => {
            let at_s = row.at_ms().div_euclid(1_000);
            let newer = key >= groups[at].key;
            let after = |cell: &Cell| i64::from(cell.at_s) <= at_s;
            if !newer && !groups[at].cells.iter().all(after) {
                // History of an older layout: it may still hold the newest of a series, but not the list of series.
                return;
            }
            let mut next = Newest::new(shape.clone());
            next.succeed(&groups[at]);
            next.key = groups[at].key;
            groups[at] = next;
            at
        }
    };
    groups[newest].take(key, row);
}

/// The `n` greatest newest values of a metric, greatest first.
pub(super) fn top(
    state: &State,
    metric: &str,
    n: usize,
    mut score: impl FnMut(Source, InstanceNo, f64) -> Option<f64>,
) -> Vec<TopItem> {
    // Devices of one shape share the answer to "which columns".
    let mut columns: HashMap<u64, Vec<usize>> = HashMap::new();
    let mut best: Vec<TopItem> = Vec::with_capacity(n.saturating_add(1).min(10_001));
    for (probe, of) in &state.probes {
        for (device, groups) in &of.newest {
            let source = Source {
                probe: *probe,
                device: *device,
            };
            for newest in groups {
                let shape = &newest.shape;
                let columns = columns
                    .entry(shape.hash)
                    .or_insert_with(|| shape.columns_of(metric).collect());
                for &column in &*columns {
                    let Some((value, at)) = newest.value(column) else {
                        continue;
                    };
                    let Some(score) = score(source, shape.instance(column), value) else {
                        continue;
                    };
                    if score.is_nan() {
                        continue;
                    }
                    if best.len() >= n && best.last().is_none_or(|last| last.score >= score) {
                        continue;
                    }
                    let place = best.partition_point(|item| item.score >= score);
                    let item = TopItem {
                        source,
                        instance: shape.instance(column),
                        value,
                        score,
                        unit: unit_shown(shape.metric(column)),
                        at,
                    };
                    best.insert(place, item);
                    best.truncate(n);
                }
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::testing;

    fn row(slot_s: i64, values: [i64; 3]) -> Row {
        Row {
            slot_s,
            span_ms: 60_000,
            values: values.iter().copied().map(Some).collect(),
            ..Row::default()
        }
    }

    const LIVE: Key = (Epoch(5), 9);
    const BACKLOG: Key = (Epoch(5), 3);

    #[test]
    fn history_does_not_overwrite_what_is_newer() {
        let shape = testing::shape(3);
        let mut groups = Vec::new();
        take(
            &mut groups,
            LIVE,
            &shape,
            &row(1_700_000_060, [600, 5, 6_000]),
        );
        take(&mut groups, BACKLOG, &shape, &row(1_700_000_000, [1, 1, 1]));
        let last = groups[0].last(0).unwrap();
        assert_eq!((last.value, last.unit.as_str()), (10.0, "octets/s"));
        assert_eq!(last.at, Timestamp::from_secs(1_700_000_060));
        assert_eq!(groups[0].last(1).unwrap().value, 5.0);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_freeze_what_is_shown() {
        let shape = testing::shape(3);
        let mut groups = Vec::new();
        take(
            &mut groups,
            BACKLOG,
            &shape,
            &row(1_900_000_000, [600, 5, 6_000]),
        );
        take(&mut groups, LIVE, &shape, &row(1_700_000_000, [60, 1, 1]));
        assert_eq!(groups[0].last(1).unwrap().value, 1.0);
        // A probe whose store was lost counts its starts anew.
        take(
            &mut groups,
            (Epoch(1), 1),
            &shape,
            &row(1_700_000_060, [60, 2, 1]),
        );
        assert_eq!(groups[0].last(1).unwrap().value, 2.0);
    }

    #[test]
    fn a_new_layout_keeps_the_values_of_series_that_stay() {
        let mut groups = Vec::new();
        let first = row(1_700_000_000, [60, 7, 120]);
        take(&mut groups, BACKLOG, &testing::shape(3), &first);
        let wider = testing::shape(4);
        let sparse = Row {
            slot_s: 1_700_000_060,
            span_ms: 60_000,
            values: vec![None, Some(8), None, None],
            ..Row::default()
        };
        take(&mut groups, LIVE, &wider, &sparse);
        assert_eq!(groups[0].last(0).unwrap().value, 1.0);
        assert_eq!(groups[0].last(1).unwrap().value, 8.0);
        assert!(groups[0].last(3).is_none());
    }

    #[test]
    fn a_series_costs_sixteen_bytes() {
        assert_eq!(size_of::<Cell>(), 16);
    }
}
