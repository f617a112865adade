//! A device's sensors, storage and processors with their newest values, and what asking it costs.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::DeviceId;
use farwatch_shared::model::InstanceNo;
use farwatch_shared::wire::message::batch::ReadingRecord;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::error::ApiError;
use super::extract::IdOf;
use super::guard::Routes;
use super::{Central, source};
use crate::auth::scope::Permission;
use crate::metrics::query::{LastValue, Source};
use crate::scope::Scope;
use crate::store::value::{Id, Time, words};
use crate::store::{devices, readings};

/// Points of a sparkline: 24 hours, one per half hour.
const SPARK_POINTS: u32 = 48;
const DAY_MS: i64 = 86_400_000;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.add(Permission::See, routes!(list_sensors))
}

words! {
    /// What kind of thing is read.
    pub(super) enum ReadingClass {
        /// It measures.
        Sensor => "sensor",
        /// It holds data.
        Storage => "storage",
        /// It computes.
        Processor => "processor",
    }
}

words! {
    /// How a sensor is, by the device's own word.
    pub(super) enum SensorStatus {
        /// 1
        Ok => "ok",
        /// 2
        Warning => "warning",
        /// 3
        Critical => "critical",
        /// 0
        Unknown => "unknown",
    }
}

/// A sensor, a disk or memory, or a processor.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Reading {
    /// Its number at this device: `reading` of a range.
    instance: u32,
    /// What kind of thing.
    class: ReadingClass,
    /// What a sensor measures (`temperature`), what holds data (`memory`); empty for a processor.
    kind: String,
    /// For people.
    name: String,
    /// Unit of `value`.
    unit: String,
    /// Metric of `value` and `spark`.
    #[schema(required)]
    metric: Option<String>,
    /// Newest value of a sensor; load of a processor and use of storage, 0 to 1.
    #[schema(required)]
    value: Option<f64>,
    /// How a sensor is, where the device says so.
    #[schema(required)]
    status: Option<SensorStatus>,
    /// All of storage, octets.
    #[schema(required)]
    size_octets: Option<f64>,
    /// What is taken of it, octets.
    #[schema(required)]
    used_octets: Option<f64>,
    /// When the newest value was read.
    #[schema(required)]
    at: Option<Time>,
    /// The object that is read, dotted.
    oid: String,
    /// Over 24 h, 48 points, oldest first; `null` where nothing is known. Of storage what is taken, in octets or as a ratio.
    spark: Vec<Option<f64>>,
}

/// What polls and readings of a device cost it, in the time between its last two readings.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Asking {
    /// SNMP requests.
    requests: f64,
    /// SNMP messages both ways, octets.
    octets: f64,
    /// How long it took to answer them all, ms.
    response_ms: f64,
    /// When that was counted.
    at: Time,
}

/// Everything that a device measures beside its interfaces.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct DeviceReadings {
    /// Sensors by kind and name, then storage, then processors.
    items: Vec<Reading>,
    /// Always none: a device has few enough.
    #[schema(required)]
    next: Option<String>,
    /// How many.
    total: usize,
    /// More than are read of one device.
    left_out: u32,
    /// What asking it costs.
    #[schema(required)]
    asking: Option<Asking>,
}

type Sparks = HashMap<(String, InstanceNo), Vec<Option<f64>>>;

/// The newest values of all sources of a device.
struct Values {
    last: HashMap<(InstanceNo, String), LastValue>,
    sparks: Sparks,
}

impl Values {
    async fn read(
        central: &Central,
        sources: Vec<Source>,
        metrics: Vec<String>,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let mut last: HashMap<(InstanceNo, String), LastValue> = HashMap::new();
        for value in sources.iter().flat_map(|from| central.metrics.last(*from)) {
            let place = (value.instance, value.metric.clone());
            match last.get(&place) {
                Some(known) if known.at >= value.at => {}
                _ => drop(last.insert(place, value)),
            }
        }
        let sparks = if metrics.is_empty() {
            Vec::new()
        } else {
            let from = now.plus_ms(-DAY_MS);
            let drawn = central
                .metrics
                .sparks(sources, metrics, from, now, SPARK_POINTS);
            drawn.await?
        };
        let mut joined = Sparks::new();
        for (_, metric, instance, points) in sparks {
            let known = joined.entry((metric, instance)).or_default();
            if known.is_empty() {
                *known = points;
            } else {
                for (known, point) in known.iter_mut().zip(points) {
                    *known = known.or(point);
                }
            }
        }
        Ok(Self {
            last,
            sparks: joined,
        })
    }

    fn last(&self, instance: InstanceNo, metric: &str) -> Option<&LastValue> {
        self.last.get(&(instance, metric.to_owned()))
    }
}

/// The metric that a thing is drawn by.
fn metric_of(reading: &ReadingRecord) -> Option<&String> {
    let is_shown = |metric: &&String| !matches!(metric.as_str(), "status" | "storageSize");
    reading.metrics.iter().find(is_shown)
}

fn put_together(reading: ReadingRecord, values: &Values) -> Reading {
    let instance = InstanceNo(reading.instance);
    let metric = metric_of(&reading).cloned();
    let last = |metric: &str| values.last(instance, metric);
    let newest = metric.as_deref().and_then(last);
    let (size, used) = (last("storageSize"), last("storageUsed"));
    let status = last("status");
    let ratio = || {
        let (size, used) = (size?.value, used?.value);
        (size > 0.0).then(|| used / size)
    };
    let class = match reading.class.as_str() {
        "storage" => ReadingClass::Storage,
        "processor" => ReadingClass::Processor,
        _ => ReadingClass::Sensor,
    };
    let value = match class {
        ReadingClass::Storage => ratio().or_else(|| newest.map(|newest| newest.value)),
        _ => newest.map(|newest| newest.value),
    };
    let spark = metric
        .as_ref()
        .and_then(|metric| values.sparks.get(&(metric.clone(), instance)));
    Reading {
        instance: reading.instance,
        class,
        kind: reading.kind,
        name: reading.name.as_str().to_owned(),
        unit: match class {
            ReadingClass::Storage => "ratio".to_owned(),
            _ => reading.unit,
        },
        value,
        status: status.map(|status| match status.value {
            1.0 => SensorStatus::Ok,
            2.0 => SensorStatus::Warning,
            3.0 => SensorStatus::Critical,
            _ => SensorStatus::Unknown,
        }),
        size_octets: size.map(|size| size.value),
        used_octets: used.map(|used| used.value),
        at: newest.or(status).map(|value| Time(value.at)),
        oid: reading.oid,
        spark: spark
            .cloned()
            .unwrap_or_else(|| vec![None; SPARK_POINTS as usize]),
        metric,
    }
}

fn asking(values: &Values) -> Option<Asking> {
    let last = |metric| values.last(InstanceNo(0), metric);
    let requests = last("snmpRequests")?;
    Some(Asking {
        requests: requests.value,
        octets: last("snmpOctets")?.value,
        response_ms: last("snmpResponseTime")?.value,
        at: Time(requests.at),
    })
}

/// A device's sensors, storage and processors, and what asking it costs.
#[utoipa::path(get, path = "/api/v1/devices/{id}/sensors", tag = "devices", operation_id = "list_sensors", params(("id" = Id, Path)), responses((status = 200, body = DeviceReadings), (status = 404)))]
async fn list_sensors(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<DeviceId>,
) -> Result<Json<DeviceReadings>, ApiError> {
    let found = central
        .read(move |c| {
            let Some(sources) = devices::sources(c, &scope, id)? else {
                return Ok(None);
            };
            Ok(Some((sources, readings::of_device(c, id)?)))
        })
        .await?;
    let (sources, known) = found.ok_or(ApiError::NotFound)?;
    let mut metrics: Vec<String> = known.all.values().filter_map(metric_of).cloned().collect();
    metrics.sort_unstable();
    metrics.dedup();
    let sources = sources.into_iter().map(source).collect();
    let values = Values::read(&central, sources, metrics, central.now()).await?;
    let asking = asking(&values);
    let all = known.all.into_values();
    let mut readings: Vec<Reading> = all.map(|reading| put_together(reading, &values)).collect();
    readings.sort_by(|a, b| {
        let key = |reading: &Reading| (reading.class as u8, reading.kind.clone());
        key(a).cmp(&key(b)).then_with(|| natural(&a.name, &b.name))
    });
    Ok(Json(DeviceReadings {
        total: readings.len(),
        items: readings,
        next: None,
        left_out: known.left_out,
        asking,
    }))
}

/// "Fan 2" before "Fan 10".
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    let parts = |text: &str| -> Vec<(String, u64)> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let words = rest
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at(words);
            let digits = after
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(after.len());
            let (number, after) = after.split_at(digits);
            parts.push((word.to_lowercase(), number.parse().unwrap_or(0)));
            rest = after;
        }
        parts
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_people_count() {
        let mut names = ["Fan 10", "Fan 2", "fan 1", "Inlet"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["fan 1", "Fan 2", "Fan 10", "Inlet"]);
    }
}
