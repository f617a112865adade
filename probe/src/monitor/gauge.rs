//! Sensors, storage, processors and the cost of asking as columns: which metric, which instance, which integer.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{Column, DeviceNo, InstanceNo, Metric, MetricKind};
use farwatch_shared::oid::Oid;
use farwatch_shared::profile::model::{SensorKind, Status};
use farwatch_shared::text::DeviceText;
use farwatch_shared::wire::message::batch::{ReadingRecord, ReadingsRecord};
use sha2::{Digest as _, Sha256};

use crate::profile::known::Known;
use crate::snmp::Cost;

/// One column of a layout of readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gauge {
    /// Whose value.
    pub instance: InstanceNo,
    /// Of what.
    pub metric: GaugeMetric,
}

/// What a column tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GaugeMetric {
    /// Requests sent to the device since the slot before.
    Requests,
    /// Octets of SNMP messages, both ways, since the slot before.
    Octets,
    /// How long the device took to answer them all.
    ResponseTime,
    /// A sensor's value.
    Sensor(SensorKind),
    /// How a sensor is: 1 ok, 2 warning, 3 critical, 0 not known.
    Status,
    /// All of a disk or of memory.
    StorageSize,
    /// What is taken of it.
    StorageUsed,
    /// That, where the device tells no more.
    StorageUsedRatio,
    /// How busy a processor is.
    ProcessorLoad,
}

impl GaugeMetric {
    /// As it stands in a layout.
    #[must_use]
    pub fn describe(self) -> Metric {
        let (name, scale, unit) = match self {
            Self::Requests => ("snmpRequests", 0, "requests"),
            Self::Octets => ("snmpOctets", 0, "octets"),
            Self::ResponseTime => ("snmpResponseTime", 0, "ms"),
            Self::Sensor(kind) => (kind.word(), -3, kind.unit()),
            Self::Status => ("status", 0, ""),
            Self::StorageSize => ("storageSize", 0, "octets"),
            Self::StorageUsed => ("storageUsed", 0, "octets"),
            Self::StorageUsedRatio => ("storageUsedRatio", -4, "ratio"),
            Self::ProcessorLoad => ("processorLoad", -4, "ratio"),
        };
        let kind = match self {
            Self::Status => MetricKind::State,
            _ => MetricKind::Gauge,
        };
        Metric {
            name: name.to_owned(),
            kind: kind.code(),
            scale,
            width: 0,
            unit: unit.to_owned(),
        }
    }

    /// The integer for a value; `None` for what no instrument shows.
    #[must_use]
    pub fn encode(self, value: f64) -> Option<i64> {
        let scaled = (value * 10_f64.powi(-i32::from(self.describe().scale))).round();
        #[expect(clippy::cast_possible_truncation, reason = "held against its limit")]
        (scaled.abs() <= GREATEST).then_some(scaled as i64)
    }
}

/// Beyond this a value is nonsense, and would not survive a way through JSON.
const GREATEST: f64 = 9_007_199_254_740_991.0; // 2^53 - 1

/// Of a status, as it is stored.
#[must_use]
pub const fn status_code(status: Status) -> i64 {
    match status {
        Status::Ok => 1,
        Status::Warning => 2,
        Status::Critical => 3,
        Status::Unknown | Status::Absent => 0,
    }
}

/// The layout's metrics and columns, for Central.
#[must_use]
pub fn described(gauges: &[Gauge]) -> (Vec<Metric>, Vec<Column>) {
    let mut metrics = Vec::new();
    let columns = gauges.iter().map(|gauge| {
        let place = metrics.iter().position(|known| *known == gauge.metric);
        let place = place.unwrap_or_else(|| {
            metrics.push(gauge.metric);
            metrics.len() - 1
        });
        Column {
            metric: u16::try_from(place).expect("there are a few dozen metrics"),
            instance: gauge.instance,
        }
    });
    let columns = columns.collect();
    (
        metrics.into_iter().map(GaugeMetric::describe).collect(),
        columns,
    )
}

/// What a device measures, as it is read.
#[derive(Clone, Debug, Default)]
pub struct Described {
    /// The columns of its layout, cost first.
    pub gauges: Arc<[Gauge]>,
    /// Which number a thing has, by its print; sorted.
    numbers: Box<[(u64, InstanceNo)]>,
}

/// What a device measures, as Central is told: nobody here needs it afterwards.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// For people.
    readings: Vec<ReadingRecord>,
    /// More than are read of one device.
    left_out: u32,
}

impl Telling {
    /// As it travels.
    #[must_use]
    pub fn record(self, device: DeviceNo, at: Timestamp) -> ReadingsRecord {
        ReadingsRecord {
            device: device.0,
            at,
            readings: self.readings,
            left_out: self.left_out,
        }
    }
}

/// What is measured of one thing.
struct One {
    class: &'static str,
    kind: &'static str,
    name: String,
    unit: String,
    oid: Oid,
    values: Vec<(GaugeMetric, Option<f64>)>,
}

/// Everything that was found, in an order of its own that does not depend on values.
fn all(known: &Known) -> Vec<One> {
    let sensors = known.sensors.iter().map(|sensor| {
        let mut values = Vec::new();
        if sensor.kind != SensorKind::State {
            values.push((GaugeMetric::Sensor(sensor.kind), sensor.value));
        }
        if let Some(status) = sensor.status {
            #[expect(clippy::cast_precision_loss, reason = "0 to 3")]
            values.push((GaugeMetric::Status, Some(status_code(status) as f64)));
        }
        One {
            class: "sensor",
            kind: sensor.kind.word(),
            name: sensor.name.clone(),
            unit: sensor.unit.clone(),
            oid: sensor.oid.clone(),
            values,
        }
    });
    let storage = known.storage.iter().map(|storage| {
        let ratio = storage.used_percent.map(|percent| percent / 100.0);
        let values = if storage.size_bytes.is_some() && storage.used_bytes.is_some() {
            vec![
                (GaugeMetric::StorageSize, storage.size_bytes),
                (GaugeMetric::StorageUsed, storage.used_bytes),
            ]
        } else {
            vec![(GaugeMetric::StorageUsedRatio, ratio)]
        };
        One {
            class: "storage",
            kind: storage.kind.word(),
            name: storage.name.clone(),
            unit: String::new(),
            oid: storage.oid.clone(),
            values,
        }
    });
    let processors = known.processors.iter().map(|processor| One {
        class: "processor",
        kind: "",
        name: processor.name.clone(),
        unit: "ratio".to_owned(),
        oid: processor.oid.clone(),
        values: vec![(GaugeMetric::ProcessorLoad, Some(processor.load_ratio))],
    });
    sensors.chain(storage).chain(processors).collect()
}

impl Described {
    /// From a reading of all of it.
    #[must_use]
    pub fn of(known: &Known) -> (Self, Telling) {
        let mut numbers = Vec::new();
        let mut taken = HashSet::new();
        let mut ones = all(known);
        let left_out = ones.len().saturating_sub(READINGS_LIMIT);
        ones.truncate(READINGS_LIMIT);
        let mut gauges: Vec<Gauge> = COST.to_vec();
        let mut readings = Vec::new();
        for one in ones {
            let print = print(&one);
            let instance = number_of(print, &mut taken);
            numbers.push((print, instance));
            let metrics = one.values.iter().map(|(metric, _)| *metric);
            gauges.extend(metrics.clone().map(|metric| Gauge { instance, metric }));
            readings.push(ReadingRecord {
                instance: instance.0,
                class: one.class.to_owned(),
                kind: one.kind.to_owned(),
                name: DeviceText::name(one.name.as_bytes()),
                unit: one.unit,
                metrics: metrics.map(|metric| metric.describe().name).collect(),
                oid: one.oid.to_string(),
            });
        }
        numbers.sort_unstable();
        let described = Self {
            gauges: gauges.into(),
            numbers: numbers.into(),
        };
        let telling = Telling {
            readings,
            left_out: u32::try_from(left_out).unwrap_or(u32::MAX),
        };
        (described, telling)
    }

    /// The values of a reading, one per column.
    #[must_use]
    pub fn values(&self, known: &Known, cost: Cost) -> Vec<Option<i64>> {
        let mut values = BTreeMap::new();
        for one in all(known) {
            let print = print(&one);
            let place = self
                .numbers
                .binary_search_by_key(&print, |(known, _)| *known);
            let Ok(place) = place else {
                continue;
            };
            let instance = self.numbers[place].1;
            for (metric, value) in one.values {
                let value = value.and_then(|value| metric.encode(value));
                values.insert(Gauge { instance, metric }, value);
            }
        }
        let octets = cost.sent_octets + cost.received_octets;
        let spent = [
            i64::from(cost.requests),
            i64::try_from(octets).unwrap_or(i64::MAX),
            i64::try_from(cost.duration.as_millis()).unwrap_or(i64::MAX),
        ];
        let readings = self.gauges.iter().skip(COST.len());
        spent
            .into_iter()
            .map(Some)
            .chain(readings.map(|gauge| values.get(gauge).copied().flatten()))
            .collect()
    }
}

/// What a thing is known by: what is read, whatever it is called.
fn print(one: &One) -> u64 {
    let digest = Sha256::digest(format!("{} {} {}", one.class, one.kind, one.oid));
    let first = digest.first_chunk().expect("a digest has 32 bytes");
    u64::from_be_bytes(*first)
}

/// A thing's number: made from its print, so that the same object has the same one after a lost spool, at another probe,
/// and after a module was pulled and put back. Interfaces are numbered from 1, far below.
fn number_of(print: u64, taken: &mut HashSet<u32>) -> InstanceNo {
    let mut number = FIRST | u32::try_from(print >> 34).expect("30 bits");
    while !taken.insert(number) {
        number = FIRST | number.wrapping_add(1) & (FIRST - 1);
    }
    InstanceNo(number)
}

/// Readings of one device at the most: their description fits into one batch.
pub const READINGS_LIMIT: usize = 500;
/// The numbers of readings begin here.
const FIRST: u32 = 1 << 30;
/// What asking cost: columns that every layout of readings begins with.
const COST: [Gauge; 3] = [
    cost(GaugeMetric::Requests),
    cost(GaugeMetric::Octets),
    cost(GaugeMetric::ResponseTime),
];

const fn cost(metric: GaugeMetric) -> Gauge {
    Gauge {
        instance: InstanceNo(0),
        metric,
    }
}
