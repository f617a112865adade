//! One page: every customer, what is wrong now, how old each value is.

use axum::Json;
use axum::extract::State;
use farwatch_shared::id::{CustomerId, SiteId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::Params;
use super::guard::Routes;
use crate::auth::scope::Permission;
use crate::scope::Scope;
use crate::store::devices::DeviceFilter;
use crate::store::events::EventBin;
use crate::store::overview::CustomerRow;
use crate::store::presence::SILENT_MS;
use crate::store::value::{Counts, Id, Time};
use crate::store::{customers, events, incidents, probes, sites};

pub(super) fn routes(routes: Routes) -> Routes {
    routes.add(Permission::See, routes!(get_overview))
}

/// Of which customer or site.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OverviewQuery {
    /// Only of this customer.
    customer_id: Option<Id>,
    /// Only of this site.
    site_id: Option<Id>,
}

/// How Central itself is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CentralHealth {
    /// Whether there is nothing to note.
    healthy: bool,
    /// Samples committed a second, over the last minute.
    samples_per_s: f64,
    /// What a person should know.
    notes: Vec<String>,
}

/// Everything at a glance.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Overview {
    /// Central's clock.
    server_time: Time,
    /// Devices per state.
    counts: Counts,
    /// Customers.
    customers_total: u64,
    /// Sites.
    sites_total: u64,
    /// Devices.
    devices_total: u64,
    /// Probes that are not revoked.
    probes_total: u64,
    /// Probes heard within the last minute.
    probes_reporting: u64,
    /// Incidents that are not over.
    incidents_open: u64,
    /// Of those, the ones that nobody has taken.
    incidents_unacknowledged: u64,
    /// Worst first.
    customers: Vec<CustomerRow>,
    /// The last 24 hours in 96 bins of 15 minutes.
    events_histogram: Vec<EventBin>,
    /// How Central itself is.
    central: CentralHealth,
}

/// Everything at a glance.
#[utoipa::path(get, path = "/api/v1/overview", tag = "overview", operation_id = "get_overview", params(OverviewQuery), responses((status = 200, body = Overview)))]
async fn get_overview(
    State(central): State<Central>,
    scope: Scope,
    Params(query): Params<OverviewQuery>,
) -> Result<Json<Overview>, ApiError> {
    let which = DeviceFilter {
        customer: query.customer_id.map(CustomerId::from),
        site: query.site_id.map(SiteId::from),
    };
    let (now, heard) = (central.now(), central.heard());
    let central_health = health(&central);
    let overview = central
        .fleet(&scope, which, move |c, scope, fleet| {
            if let Some(customer) = which.customer
                && customers::get(c, scope, customer)?.is_none()
            {
                return Ok(None);
            }
            let all_sites = sites::list(c, scope, which.customer)?;
            let site_customer = match which.site {
                Some(site) => match all_sites.iter().find(|known| known.id == site) {
                    Some(site) => Some(site.customer_id),
                    None => return Ok(None),
                },
                None => None,
            };
            let wanted = which.customer.or(site_customer);
            let mut rows = fleet.customers(c, scope)?;
            rows.retain(|row| wanted.is_none_or(|only| row.id == only.into()));
            let mut probes = probes::list(c, scope, which.customer, which.site)?;
            probes.retain(|probe| probe.revoked.is_none());
            let reporting = probes
                .iter()
                .filter(|probe| {
                    let at = heard.0.get(&probe.id).copied().or(probe.last_heard);
                    at.is_some_and(|at| now.since(at) < SILENT_MS)
                })
                .count();
            let (open, unacknowledged) =
                incidents::count_active(c, scope, which.customer, which.site)?;
            let sites_total = match which.site {
                Some(_) => 1,
                None => all_sites.len() as u64,
            };
            Ok(Some(Overview {
                server_time: Time(now),
                counts: fleet.counts(),
                customers_total: rows.len() as u64,
                sites_total,
                devices_total: fleet.devices.len() as u64,
                probes_total: probes.len() as u64,
                probes_reporting: reporting as u64,
                incidents_open: open,
                incidents_unacknowledged: unacknowledged,
                customers: rows,
                events_histogram: events::histogram(c, scope, which.customer, which.site, now)?,
                central: central_health,
            }))
        })
        .await?;
    overview.map(Json).ok_or(ApiError::NotFound)
}

/// What a person should know of Central itself.
pub(super) fn notes(central: &Central) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(free) = free_ratio(&central.settings.data_dir)
        && free < 0.05
    {
        notes.push(format!(
            "Central's disk is {:.0} % full",
            (1.0 - free) * 100.0
        ));
    }
    notes.extend(
        crate::store::rescue::set_aside_in(&central.settings.data_dir)
            .into_iter()
            .map(|name| {
                format!("A damaged file was set aside as {name}: what could be read of it lives on. Delete it when nobody needs it any more.")
            }),
    );
    notes
}

fn health(central: &Central) -> CentralHealth {
    let notes = notes(central);
    CentralHealth {
        healthy: notes.is_empty(),
        samples_per_s: central.metrics.samples_per_s(),
        notes,
    }
}

fn free_ratio(path: &std::path::Path) -> Option<f64> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    let total = stat.blocks();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share, shown as a whole percentage"
    )]
    (total > 0).then(|| stat.blocks_available() as f64 / total as f64)
}
