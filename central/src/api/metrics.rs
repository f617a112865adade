//! Samples: a stretch of time, and the greatest now.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, DeviceId, InterfaceId, SiteId};
use farwatch_shared::model::InstanceNo;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::error::ApiError;
use super::extract::Params;
use super::guard::Routes;
use super::{Central, source};
use crate::auth::scope::Permission;
use crate::metrics::query::{GapSpan, RangeQuery as MetricsQuery, Series, Source, TopItem};
use crate::scope::Scope;
use crate::store::devices::DeviceFilter;
use crate::store::value::{GapReason, Id, Time};
use crate::store::{customers, devices, interfaces, readings, sites};

/// Points that one answer may hold.
const MOST_POINTS: i64 = 100_000;
const DAY_MS: i64 = 86_400_000;
/// RFC 3339 has years of four digits.
const YEAR_10000_MS: i64 = 253_402_300_800_000;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::See, routes!(get_range))
        .add(Permission::See, routes!(get_top))
}

/// Which series, and when.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RangeQuery {
    /// Whose.
    device: Id,
    /// One or more names, separated by commas: `rtt`, `ifHCInOctets`.
    metric: String,
    /// Only this interface; all instances by default.
    instance: Option<Id>,
    /// Only this sensor, disk or processor: its `instance` among the device's readings.
    reading: Option<u32>,
    /// RFC 3339 or milliseconds since 1970; 24 hours ago by default.
    from: Option<String>,
    /// RFC 3339 or milliseconds since 1970; now by default.
    to: Option<String>,
    /// Seconds between two points; 0 or none is chosen to give at most 600.
    step: Option<u32>,
    /// Also counters' increases and anchors as they came.
    raw: Option<bool>,
}

/// Whose series.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SeriesLabels {
    /// Name of the metric.
    metric: String,
    /// The interface's name; empty for the device itself.
    instance: String,
    /// The interface.
    #[schema(required)]
    interface_id: Option<Id>,
}

/// A time that is known to be missing, ms since 1970.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct RangeGap {
    /// From, inclusive.
    from: i64,
    /// Until, exclusive.
    to: i64,
    /// Why.
    reason: GapReason,
}

/// One series of an answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct RangeSeries {
    /// Whose.
    labels: SeriesLabels,
    /// Unit of its points.
    unit: String,
    /// `[ms since 1970, mean, min, max]`
    #[schema(value_type = Vec<Vec<f64>>)]
    points: Vec<(i64, f64, f64, f64)>,
    /// No line is to be drawn across these.
    gaps: Vec<RangeGap>,
    /// With `raw`: `[at_ms, span_ms, increase]`
    #[serde(skip_serializing_if = "Option::is_none")]
    increases: Option<Vec<[i64; 3]>>,
    /// With `raw`: `[at_ms, raw_value, kind]`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Vec<Object>>>)]
    anchors: Option<Vec<(i64, u64, &'static str)>>,
}

/// A stretch of time of some series.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Range {
    /// Unit of the first series; each has its own.
    unit: String,
    /// Seconds between two points.
    step_s: u32,
    /// `raw`, `5min`, `1h`: what the points were made from.
    source: String,
    /// Ordered by metric and instance.
    series: Vec<RangeSeries>,
}

fn time(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let parsed = match text.parse::<i64>() {
        Ok(ms) => Some(ms),
        Err(_) => text
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|at| at.as_millisecond()),
    };
    match parsed {
        Some(ms) if (0..YEAR_10000_MS).contains(&ms) => Ok(Some(Timestamp(ms))),
        _ => Err(ApiError::field(
            field,
            "write 2026-11-23T08:00:00Z or milliseconds since 1970",
        )),
    }
}

/// What a [`RangeQuery`] asks for, checked.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) step_s: Option<u32>,
    pub(super) metrics: Vec<String>,
}

impl RangeQuery {
    /// # Errors
    /// Which field is wrong, and how to write it.
    pub(super) fn check(&self, now: Timestamp) -> Result<Wanted, ApiError> {
        let to = time("to", self.to.as_deref())?.unwrap_or(now);
        let from = time("from", self.from.as_deref())?.unwrap_or_else(|| to.plus_ms(-DAY_MS));
        if from >= to {
            return Err(ApiError::field("from", "must be before `to`"));
        }
        let step_s = self.step.filter(|step| *step > 0);
        if step_s.is_some_and(|step| to.since(from) / (i64::from(step) * 1_000) > MOST_POINTS) {
            return Err(ApiError::field(
                "step",
                "more than 100,000 points: take a longer step",
            ));
        }
        let metrics: Vec<String> = self
            .metric
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        if metrics.is_empty() || metrics.len() > 32 || self.metric.len() > 2_048 {
            return Err(ApiError::field(
                "metric",
                "one to 32 names, separated by commas",
            ));
        }
        Ok(Wanted {
            from,
            to,
            step_s,
            metrics,
        })
    }
}

/// A stretch of time of some series of one device.
#[utoipa::path(get, path = "/api/v1/metrics/range", tag = "metrics", operation_id = "get_range", params(RangeQuery), responses((status = 200, body = Range), (status = 404), (status = 422)))]
async fn get_range(
    State(central): State<Central>,
    scope: Scope,
    Params(query): Params<RangeQuery>,
) -> Result<Json<Range>, ApiError> {
    let Wanted {
        from,
        to,
        step_s,
        metrics,
    } = query.check(central.now())?;
    let device = DeviceId::from(query.device);
    let only = query.instance.map(InterfaceId::from);
    let reading = query.reading.map(InstanceNo);
    let (sources, instances, names) = central
        .read(move |c| {
            let Some(sources) = devices::sources(c, &scope, device)? else {
                return Ok(None);
            };
            let ports = match only {
                None if reading.is_some() => Vec::new(),
                None => interfaces::of_device(c, device)?,
                Some(id) => match interfaces::get(c, &scope, id)? {
                    Some((owner, port)) if owner == device => vec![port],
                    _ => return Ok(None),
                },
            };
            let mut names: HashMap<(Source, InstanceNo), (Option<Id>, String)> = HashMap::new();
            for (no, one) in readings::of_device(c, device)?.all {
                for from in &sources {
                    let name = one.name.as_str().to_owned();
                    names.insert((source(*from), InstanceNo(no)), (None, name));
                }
            }
            for port in ports {
                let name = if port.name.is_empty() {
                    port.descr
                } else {
                    port.name
                };
                for (probe, number, instance) in port.sources {
                    names.insert(
                        (source((probe, number)), instance),
                        (Some(port.id.into()), name.clone()),
                    );
                }
            }
            let instances = match reading {
                Some(reading) => {
                    let of = |from| (source(from), reading);
                    Some(sources.iter().copied().map(of).collect())
                }
                None => only.map(|_| {
                    let ports = names.iter().filter(|(_, (port, _))| port.is_some());
                    ports.map(|(place, _)| *place).collect()
                }),
            };
            Ok(Some((sources, instances, names)))
        })
        .await?
        .ok_or(ApiError::NotFound)?;
    let raw = query.raw.unwrap_or(false);
    let range = central
        .metrics
        .range(MetricsQuery {
            sources: sources.into_iter().map(source).collect(),
            metrics,
            instances,
            from,
            to,
            step_s,
            raw,
        })
        .await?;
    let series: Vec<RangeSeries> = range
        .series
        .into_iter()
        .map(|series| one_series(series, &names, raw))
        .collect();
    Ok(Json(Range {
        unit: series
            .first()
            .map_or_else(String::new, |series| series.unit.clone()),
        step_s: range.step_s,
        source: range.resolution.as_str().to_owned(),
        series,
    }))
}

fn one_series(
    series: Series,
    names: &HashMap<(Source, InstanceNo), (Option<Id>, String)>,
    raw: bool,
) -> RangeSeries {
    let named = names.get(&(series.source, series.instance));
    let gap = |gap: &GapSpan| RangeGap {
        from: gap.from.ms(),
        to: gap.to.ms(),
        reason: GapReason(gap.reason),
    };
    RangeSeries {
        labels: SeriesLabels {
            metric: series.metric,
            instance: named.map_or_else(String::new, |(_, name)| name.clone()),
            interface_id: named.and_then(|(id, _)| *id),
        },
        unit: series.unit,
        points: series
            .points
            .iter()
            .map(|point| (point.at_ms, point.mean, point.min, point.max))
            .collect(),
        gaps: series.gaps.iter().map(gap).collect(),
        increases: raw.then(|| {
            series
                .increases
                .iter()
                .map(|one| [one.at_ms, one.span_ms.into(), one.increase])
                .collect()
        }),
        anchors: raw.then(|| {
            series
                .anchors
                .iter()
                .map(|anchor| (anchor.at_ms, anchor.raw, anchor.kind.as_str()))
                .collect()
        }),
    }
}

/// By what, and of what.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TopQuery {
    /// `rtt`, `loss_ratio`, `ifHCInOctets`, … or `utilisation` (the busier direction by the line's speed).
    metric: String,
    /// How many, at most 100; 10 by default.
    n: Option<usize>,
    /// Only of this customer.
    customer_id: Option<Id>,
    /// Only of this site.
    site_id: Option<Id>,
}

/// One of the greatest.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TopEntry {
    /// Which device.
    device_id: Id,
    /// Its name.
    device_name: String,
    /// Whose.
    customer_name: String,
    /// Where.
    site_name: String,
    /// Which interface.
    #[schema(required)]
    interface_id: Option<Id>,
    /// Its name.
    #[schema(required)]
    interface_name: Option<String>,
    /// The newest value.
    value: f64,
    /// Its unit.
    unit: String,
    /// When it was read.
    at: Time,
    /// The rate by the line's speed, where it is a rate of octets.
    #[schema(required)]
    utilisation_ratio: Option<f64>,
}

/// The greatest.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Top {
    /// Greatest first.
    items: Vec<TopEntry>,
}

/// The greatest newest values.
#[utoipa::path(get, path = "/api/v1/metrics/top", tag = "metrics", operation_id = "get_top", params(TopQuery), responses((status = 200, body = Top), (status = 404)))]
async fn get_top(
    State(central): State<Central>,
    scope: Scope,
    Params(query): Params<TopQuery>,
) -> Result<Json<Top>, ApiError> {
    let which = DeviceFilter {
        customer: query.customer_id.map(CustomerId::from),
        site: query.site_id.map(SiteId::from),
    };
    let n = query.n.unwrap_or(10).clamp(1, 100);
    let app = central.clone();
    let found = central
        .read(move |c| {
            let hidden = match (which.customer, which.site) {
                (Some(customer), _) if customers::get(c, &scope, customer)?.is_none() => true,
                (_, Some(site)) => sites::get(c, &scope, site)?.is_none(),
                _ => false,
            };
            if hidden {
                return Ok(None);
            }
            top(c, &app, &scope, which, &query.metric, n).map(Some)
        })
        .await?;
    Ok(Json(Top {
        items: found.ok_or(ApiError::NotFound)?,
    }))
}

/// The greatest are found in memory among the probes that the scope sees; only these few are looked up.
fn top(
    c: &rusqlite::Connection,
    central: &Central,
    scope: &Scope,
    which: DeviceFilter,
    metric: &str,
    n: usize,
) -> rusqlite::Result<Vec<TopEntry>> {
    let probes = devices::probes_of(c, scope, which)?;
    let utilisation = metric == "utilisation";
    let speeds = if utilisation {
        speeds(c)?
    } else {
        HashMap::new()
    };
    let wanted: &[&str] = if utilisation {
        &["ifHCInOctets", "ifHCOutOctets"]
    } else {
        &[metric]
    };
    // Some may be of devices that were forgotten: then more are asked for.
    let mut most = 2 * n;
    loop {
        let mut items: Vec<TopItem> = Vec::new();
        for metric in wanted {
            let found = central
                .metrics
                .top(metric, most, |source, instance, value| {
                    if !probes.contains(&source.probe) {
                        return None;
                    }
                    if utilisation {
                        let speed = speeds.get(&(source, instance))?;
                        Some(value * 8.0 / speed)
                    } else {
                        Some(value)
                    }
                });
            items.extend(found);
        }
        let all = items.len() < most;
        items.sort_by(|a, b| b.score.total_cmp(&a.score));
        if utilisation {
            let mut seen = std::collections::HashSet::new();
            items.retain(|item| seen.insert((item.source, item.instance)));
        }
        let mut entries = Vec::with_capacity(n);
        for item in items {
            if entries.len() < n {
                entries.extend(entry(c, scope, which, item, utilisation)?);
            }
        }
        if all || entries.len() >= n {
            return Ok(entries);
        }
        most *= 8;
    }
}

/// `None`: its device is not one of those asked for.
fn entry(
    c: &rusqlite::Connection,
    scope: &Scope,
    which: DeviceFilter,
    item: TopItem,
    utilisation: bool,
) -> rusqlite::Result<Option<TopEntry>> {
    let (probe, number) = (item.source.probe, item.source.device);
    let Some(device) = devices::of_number(c, scope, which, probe, number)? else {
        return Ok(None);
    };
    let port = interfaces::of_instance(c, probe, number, item.instance)?;
    #[expect(clippy::cast_precision_loss, reason = "a share of a line's speed")]
    let ratio = port
        .as_ref()
        .filter(|(_, _, speed)| *speed > 0 && item.unit.starts_with("octets"))
        .map(|(_, _, speed)| item.value * 8.0 / *speed as f64);
    let (interface_id, interface_name) = port.map(|(id, name, _)| (Id::from(id), name)).unzip();
    Ok(Some(TopEntry {
        device_id: device.id.into(),
        device_name: device.name,
        customer_name: device.customer_name,
        site_name: device.site_name,
        interface_id,
        interface_name,
        value: if utilisation { item.score } else { item.value },
        unit: if utilisation {
            "ratio".to_owned()
        } else {
            item.unit
        },
        at: Time(item.at),
        utilisation_ratio: ratio,
    }))
}

/// Bits a second of every interface whose speed is known.
fn speeds(c: &rusqlite::Connection) -> rusqlite::Result<HashMap<(Source, InstanceNo), f64>> {
    c.prepare_cached(
        "SELECT n.probe_id, n.device_no, n.instance_no, i.speed_bps FROM interface_numbers n
         JOIN interfaces i ON i.id = n.interface_id WHERE i.speed_bps > 0",
    )?
    .query_map([], |row| {
        Ok((
            (source((row.get(0)?, row.get(1)?)), row.get(2)?),
            row.get::<_, f64>(3)?,
        ))
    })?
    .collect()
}
