//! Columns as the store keeps them: what layouts of many devices and epochs have in common.

use std::collections::HashMap;
use std::sync::Arc;

use farwatch_shared::model::{Column, DeviceNo, InstanceNo, Layout, Metric, MetricKind};
use farwatch_shared::wire::{DecodeError, decode, encode};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// The columns of a poll, without whose and since when.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The first 8 bytes of SHA-256 over the content.
    pub(super) hash: u64,
    pub(super) form: Form,
}

/// A shape's content, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Form {
    pub(super) group: u8,
    pub(super) interval_s: u32,
    pub(super) metrics: Vec<Metric>,
    pub(super) columns: Vec<Column>,
}

impl Shape {
    pub(super) fn of(form: Form) -> Self {
        let digest = sha2::Sha256::digest(encode(&form));
        let hash = u64::from_le_bytes(
            digest[..8]
                .try_into()
                .expect("a digest has more than eight bytes"),
        );
        Self { hash, form }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        encode(&self.form)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let form: Form = decode(bytes)?;
        let metrics = form.metrics.len();
        if form
            .columns
            .iter()
            .any(|column| usize::from(column.metric) >= metrics)
        {
            return Err(DecodeError::Inconsistent("a column of no metric"));
        }
        Ok(Self::of(form))
    }

    pub(super) fn metric(&self, column: usize) -> &Metric {
        &self.form.metrics[usize::from(self.form.columns[column].metric)]
    }

    pub(super) fn instance(&self, column: usize) -> InstanceNo {
        self.form.columns[column].instance
    }

    pub(super) fn columns(&self) -> usize {
        self.form.columns.len()
    }

    pub(super) fn is_counter(&self, column: usize) -> bool {
        is_counter(self.metric(column))
    }

    /// Columns of the metric at that place.
    pub(super) fn columns_at(&self, metric: usize) -> impl Iterator<Item = usize> {
        self.form
            .columns
            .iter()
            .enumerate()
            .filter(move |(_, column)| usize::from(column.metric) == metric)
            .map(|(at, _)| at)
    }

    /// Columns of a metric of that name.
    pub(super) fn columns_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.form
            .columns
            .iter()
            .enumerate()
            .filter(move |(_, column)| self.form.metrics[usize::from(column.metric)].name == name)
            .map(|(at, _)| at)
    }
}

/// A layout of one probe's epoch.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) layout: Arc<Layout>,
    pub(super) shape: Arc<Shape>,
}

impl Known {
    pub(super) fn device(&self) -> DeviceNo {
        self.layout.device
    }
}

/// Shapes in use, each once however many devices have it.
#[derive(Debug, Default)]
pub(super) struct Shapes(HashMap<u64, Arc<Shape>>);

impl Shapes {
    pub(super) fn of(&mut self, form: Form) -> Arc<Shape> {
        let shape = Shape::of(form);
        self.0
            .entry(shape.hash)
            .or_insert_with(|| Arc::new(shape))
            .clone()
    }

    /// A layout with its shape; `None` when a column points outside its metrics.
    pub(super) fn know(&mut self, layout: Layout) -> Option<Known> {
        let metrics = layout.metrics.len();
        if layout
            .columns
            .iter()
            .any(|column| usize::from(column.metric) >= metrics)
        {
            return None;
        }
        let shape = self.of(Form {
            group: layout.group,
            interval_s: layout.interval_s,
            metrics: layout.metrics.clone(),
            columns: layout.columns.clone(),
        });
        Some(Known {
            layout: Arc::new(layout),
            shape,
        })
    }

    /// Forgets shapes that nobody holds any more.
    pub(super) fn sweep(&mut self) {
        self.0.retain(|_, shape| Arc::strong_count(shape) > 1);
    }
}

/// Whether a metric's values are increases.
pub(super) const fn is_counter(metric: &Metric) -> bool {
    metric.kind == MetricKind::Counter.code()
}

/// What a value stands for, as points show it: scaled; a counter's increase as it is.
pub(super) fn scaled(metric: &Metric, value: i64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a chart's point has 53 bits; integers are kept whole in the store"
    )]
    let value = value as f64;
    match metric.scale {
        0 => value,
        scale if scale < 0 => value / 10_f64.powi(-i32::from(scale)),
        scale => value * 10_f64.powi(i32::from(scale)),
    }
}

/// The unit of what is shown: per second for a counter.
pub(super) fn unit_shown(metric: &Metric) -> String {
    if is_counter(metric) {
        format!("{}/s", metric.unit)
    } else {
        metric.unit.clone()
    }
}
