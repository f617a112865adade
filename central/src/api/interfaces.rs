//! A device's interfaces with their rates.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::DeviceId;
use farwatch_shared::model::InstanceNo;
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
use crate::store::interfaces::Port;
use crate::store::page::Page;
use crate::store::value::{Id, Time, words};
use crate::store::{devices, interfaces};

/// Points of a sparkline: 24 hours, one per half hour.
const SPARK_POINTS: u32 = 48;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
const IN_OCTETS: [&str; 2] = ["ifHCInOctets", "ifInOctets"];
const OUT_OCTETS: [&str; 2] = ["ifHCOutOctets", "ifOutOctets"];

pub(super) fn routes(routes: Routes) -> Routes {
    routes.add(Permission::See, routes!(list_interfaces))
}

words! {
    /// `ifAdminStatus`, RFC 2863.
    pub(super) enum AdminStatus {
        /// 1
        Up => "up",
        /// 2
        Down => "down",
        /// 3
        Testing => "testing",
    }
}

words! {
    /// `ifOperStatus`, RFC 2863.
    pub(super) enum OperStatus {
        /// 1
        Up => "up",
        /// 2
        Down => "down",
        /// 3
        Testing => "testing",
        /// 4
        Unknown => "unknown",
        /// 5
        Dormant => "dormant",
        /// 6
        NotPresent => "notPresent",
        /// 7
        LowerLayerDown => "lowerLayerDown",
    }
}

/// One port.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Interface {
    /// Its id.
    id: Id,
    /// ifIndex today.
    #[schema(required)]
    if_index: Option<u32>,
    /// `ifName`.
    name: String,
    /// `ifDescr`.
    descr: String,
    /// `ifAlias`.
    alias: String,
    /// Its MAC.
    #[schema(required)]
    mac: Option<String>,
    /// `ifType`.
    #[serde(rename = "type")]
    #[schema(required)]
    if_type: Option<u32>,
    /// Bits a second.
    #[schema(required)]
    speed_bps: Option<u64>,
    /// What was configured.
    #[schema(required)]
    admin_status: Option<AdminStatus>,
    /// What it is.
    #[schema(required)]
    oper_status: Option<OperStatus>,
    /// Since when.
    #[schema(required)]
    oper_since: Option<Time>,
    /// Newest rate.
    #[schema(required)]
    in_bps: Option<f64>,
    /// Newest rate.
    #[schema(required)]
    out_bps: Option<f64>,
    /// Newest rate by its speed, 0 to 1.
    #[schema(required)]
    in_utilisation_ratio: Option<f64>,
    /// Newest rate by its speed, 0 to 1.
    #[schema(required)]
    out_utilisation_ratio: Option<f64>,
    /// Errors of the last hour.
    #[schema(required)]
    in_errors_1h: Option<i64>,
    /// Errors of the last hour.
    #[schema(required)]
    out_errors_1h: Option<i64>,
    /// When the newest rate was read.
    #[schema(required)]
    value_at: Option<Time>,
    /// Bits a second over 24 h, 48 points, oldest first; `null` where nothing is known.
    in_spark: Vec<Option<f64>>,
    /// As `in_spark`.
    out_spark: Vec<Option<f64>>,
}

/// Everything that the metrics store says of a device's ports.
struct Values {
    last: HashMap<(Source, InstanceNo), HashMap<String, LastValue>>,
    sparks: HashMap<(Source, String, InstanceNo), Vec<Option<f64>>>,
    growth: HashMap<(Source, String, InstanceNo), i64>,
}

impl Values {
    async fn read(
        central: &Central,
        sources: Vec<Source>,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let mut last: HashMap<_, HashMap<_, _>> = HashMap::new();
        for source in &sources {
            for value in central.metrics.last(*source) {
                last.entry((*source, value.instance))
                    .or_default()
                    .insert(value.metric.clone(), value);
            }
        }
        let names = |list: &[&str]| {
            list.iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let octets = names(&[IN_OCTETS, OUT_OCTETS].concat());
        let sparks = central
            .metrics
            .sparks(
                sources.clone(),
                octets,
                now.plus_ms(-DAY_MS),
                now,
                SPARK_POINTS,
            )
            .await?
            .into_iter()
            .map(|(source, metric, instance, points)| ((source, metric, instance), points))
            .collect();
        let errors = names(&["ifInErrors", "ifOutErrors"]);
        let growth = central
            .metrics
            .growth(sources, errors, now.plus_ms(-HOUR_MS), now)
            .await?
            .into_iter()
            .map(|(source, metric, instance, grown)| ((source, metric, instance), grown))
            .collect();
        Ok(Self {
            last,
            sparks,
            growth,
        })
    }

    /// The newest rate by the first of `metrics` that the port has: (bits a second, when).
    fn rate(&self, places: &[(Source, InstanceNo)], metrics: &[&str]) -> Option<(f64, Timestamp)> {
        metrics.iter().find_map(|metric| {
            places
                .iter()
                .filter_map(|place| self.last.get(place)?.get(*metric))
                .max_by_key(|value| value.at)
                .map(|value| (value.value * 8.0, value.at))
        })
    }

    fn spark(&self, places: &[(Source, InstanceNo)], metrics: &[&str]) -> Vec<Option<f64>> {
        let found = metrics.iter().find_map(|metric| {
            places.iter().find_map(|(source, instance)| {
                self.sparks.get(&(*source, (*metric).to_owned(), *instance))
            })
        });
        match found {
            Some(points) => points
                .iter()
                .map(|point| point.map(|octets| octets * 8.0))
                .collect(),
            None => vec![None; SPARK_POINTS as usize],
        }
    }

    /// The newest state that was read, unless what is stored is `since` later.
    fn status(
        &self,
        places: &[(Source, InstanceNo)],
        metric: &str,
        stored: u8,
        since: Option<Time>,
    ) -> u8 {
        let newest = places
            .iter()
            .filter_map(|place| self.last.get(place)?.get(metric))
            .max_by_key(|value| value.at);
        match newest {
            Some(value) if stored == 0 || since.is_none_or(|since| since.0 <= value.at) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a state's small code"
                )]
                let code = value.value.clamp(0.0, 255.0) as u8;
                code
            }
            _ => stored,
        }
    }

    fn grown(&self, places: &[(Source, InstanceNo)], metric: &str) -> Option<i64> {
        let of = |(source, instance): &(Source, InstanceNo)| {
            self.growth
                .get(&(*source, metric.to_owned(), *instance))
                .copied()
        };
        places.iter().filter_map(of).reduce(|a, b| a + b)
    }
}

fn put_together(port: Port, values: &Values) -> Interface {
    let places: Vec<(Source, InstanceNo)> = port
        .sources
        .iter()
        .map(|(probe, device, instance)| (source((*probe, *device)), *instance))
        .collect();
    let (input, output) = (
        values.rate(&places, &IN_OCTETS),
        values.rate(&places, &OUT_OCTETS),
    );
    let speed = (port.speed_bps > 0).then_some(port.speed_bps);
    #[expect(clippy::cast_precision_loss, reason = "a share of a line's speed")]
    let used = |rate: Option<(f64, Timestamp)>| Some(rate?.0 / speed? as f64);
    let admin = values.status(&places, "ifAdminStatus", port.admin, port.oper_since);
    let oper = values.status(&places, "ifOperStatus", port.oper, port.oper_since);
    let some = |text: String| (!text.is_empty()).then_some(text);
    let word = |code: u8| usize::from(code).checked_sub(1);
    Interface {
        id: port.id.into(),
        if_index: port.if_index,
        name: port.name,
        descr: port.descr,
        alias: port.alias,
        mac: some(port.mac),
        if_type: (port.if_type > 0).then_some(port.if_type),
        speed_bps: speed,
        admin_status: word(admin).and_then(|i| AdminStatus::ALL.get(i).copied()),
        oper_status: word(oper).and_then(|i| OperStatus::ALL.get(i).copied()),
        oper_since: port.oper_since,
        in_bps: input.map(|(rate, _)| rate),
        out_bps: output.map(|(rate, _)| rate),
        in_utilisation_ratio: used(input),
        out_utilisation_ratio: used(output),
        in_errors_1h: values.grown(&places, "ifInErrors"),
        out_errors_1h: values.grown(&places, "ifOutErrors"),
        value_at: input.or(output).map(|(_, at)| Time(at)),
        in_spark: values.spark(&places, &IN_OCTETS),
        out_spark: values.spark(&places, &OUT_OCTETS),
    }
}

/// The present interfaces of a device, by ifIndex.
#[utoipa::path(get, path = "/api/v1/devices/{id}/interfaces", tag = "devices", operation_id = "list_interfaces", params(("id" = Id, Path)), responses((status = 200, body = Page<Interface>), (status = 404)))]
async fn list_interfaces(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<DeviceId>,
) -> Result<Json<Page<Interface>>, ApiError> {
    let found = central
        .read(move |c| {
            let Some(sources) = devices::sources(c, &scope, id)? else {
                return Ok(None);
            };
            Ok(Some((sources, interfaces::of_device(c, id)?)))
        })
        .await?;
    let (sources, ports) = found.ok_or(ApiError::NotFound)?;
    let sources = sources.into_iter().map(source).collect();
    let values = Values::read(&central, sources, central.now()).await?;
    let all = ports
        .into_iter()
        .map(|port| put_together(port, &values))
        .collect();
    Ok(Json(Page::whole(all)))
}
