//! What profiles made of a device.

use std::collections::BTreeMap;
use std::sync::Arc;

use farwatch_shared::oid::{Index, Oid};
use farwatch_shared::profile::model::{Fact, SensorKind, Status, StorageKind};

/// Everything that was found out.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Who it is.
    pub facts: BTreeMap<Fact, Found>,
    /// What it measures.
    pub sensors: Vec<Sensor>,
    /// Disks and memory.
    pub storage: Vec<Storage>,
    /// Processors.
    pub processors: Vec<Processor>,
    /// The rest.
    pub metrics: Vec<MetricValue>,
    /// Which profiles, the best first, and what each was told by.
    pub profiles: Vec<(Arc<str>, String)>,
}

/// A fact, and whose word it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// For people.
    pub text: String,
    /// The profile that said it.
    pub profile: Arc<str>,
    /// The object it was read from; `None` where the profile itself says so.
    pub oid: Option<Oid>,
}

/// One sensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensor {
    /// What it measures.
    pub kind: SensorKind,
    /// For people.
    pub name: String,
    /// In its unit; of a state the device's number, where it has one.
    pub value: Option<f64>,
    /// Empty where it has none.
    pub unit: String,
    /// How it is, where the device says so.
    pub status: Option<Status>,
    /// The device's word for its state.
    pub word: Option<String>,
    /// Where it is read.
    pub oid: Oid,
    /// Its row; `None` for a scalar.
    pub index: Option<Index>,
    /// Whose word it is.
    pub file: Arc<str>,
}

/// A disk, or memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// For people.
    pub name: String,
    /// Which.
    pub kind: StorageKind,
    /// All of it.
    pub size_bytes: Option<f64>,
    /// What is taken.
    pub used_bytes: Option<f64>,
    /// 0 to 100.
    pub used_percent: Option<f64>,
    /// Where it is read.
    pub oid: Oid,
    /// Whose word it is.
    pub file: Arc<str>,
}

/// A processor.
#[derive(Clone, Debug, PartialEq)]
pub struct Processor {
    /// For people.
    pub name: String,
    /// 0 to 1.
    pub load_ratio: f64,
    /// Where it is read.
    pub oid: Oid,
    /// Whose word it is.
    pub file: Arc<str>,
}

/// A metric of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricValue {
    /// The MIB's symbol.
    pub name: String,
    /// Scaled; `None` where only a word was said.
    pub value: Option<f64>,
    /// The word for it, where it has one.
    pub word: Option<String>,
    /// UCUM.
    pub unit: Option<String>,
    /// What tells it from others.
    pub tags: BTreeMap<String, String>,
    /// Where it is read.
    pub oid: Oid,
    /// Whose word it is.
    pub file: Arc<str>,
}
