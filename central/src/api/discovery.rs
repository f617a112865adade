//! How discovery goes at a site, and what it found out about addresses.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use farwatch_shared::id::SiteId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::{IdOf, Params};
use super::guard::Routes;
use super::tell;
use crate::auth::scope::Permission;
use crate::scope::Scope;
use crate::store::addresses::{self, AddressesOnly, DiscoveredAddress};
use crate::store::page::{Page, PageQuery};
use crate::store::value::{Id, Time};
use crate::store::{audit, found, probes, sites};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::See, routes!(get_discovery))
        .add(Permission::Install, routes!(start_discovery))
        .add(Permission::See, routes!(list_discovered_addresses))
}

/// How far one probe's discovery is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ProbeDiscovery {
    /// Which probe.
    probe_id: Id,
    /// Its name.
    probe_name: String,
    /// `idle`, `sweeping`, `identifying`.
    state: String,
    /// The range being swept.
    #[schema(required)]
    range: Option<String>,
    /// Addresses asked in this round.
    swept: u64,
    /// Addresses of this round.
    to_sweep: u64,
    /// Addresses that answered in this round.
    answered: u64,
    /// Devices identified in this round.
    identified: u64,
    /// Start of this round.
    #[schema(required)]
    started_at: Option<Time>,
    /// End of the last round.
    #[schema(required)]
    finished_at: Option<Time>,
}

/// How discovery goes at a site.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Discovery {
    /// One per probe.
    probes: Vec<ProbeDiscovery>,
}

/// Which addresses.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AddressQuery {
    /// In the address or the reason.
    q: Option<String>,
    /// Only some.
    #[param(inline)]
    only: Option<AddressesOnly>,
    /// How many items, at most 10,000; 200 by default.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// An empty object.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Accepted {}

/// How discovery goes.
#[utoipa::path(get, path = "/api/v1/sites/{id}/discovery", tag = "discovery", operation_id = "get_discovery", params(("id" = Id, Path)), responses((status = 200, body = Discovery), (status = 404)))]
async fn get_discovery(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<SiteId>,
) -> Result<Json<Discovery>, ApiError> {
    let rows = central
        .read(move |c| {
            if sites::get(c, &scope, id)?.is_none() {
                return Ok(None);
            }
            probes::list(c, &scope, None, Some(id)).map(Some)
        })
        .await?
        .ok_or(ApiError::NotFound)?;
    let probes = rows
        .into_iter()
        .filter(|row| row.revoked.is_none())
        .map(|row| {
            let live = central.live.probes().get(row.id).and_then(|now| now.status);
            let status = live.map(|(_, status)| status).or(row.status);
            let idle = || "idle".to_owned();
            let Some(status) = status else {
                return ProbeDiscovery {
                    probe_id: row.id.into(),
                    probe_name: row.name,
                    state: idle(),
                    range: None,
                    swept: 0,
                    to_sweep: 0,
                    answered: 0,
                    identified: 0,
                    started_at: None,
                    finished_at: None,
                };
            };
            ProbeDiscovery {
                probe_id: row.id.into(),
                probe_name: row.name,
                state: match status.discovery_state.as_str() {
                    known @ ("sweeping" | "identifying") => known.to_owned(),
                    _ => idle(),
                },
                range: Some(status.discovery_range).filter(|range| !range.is_empty()),
                swept: status.discovery_swept,
                to_sweep: status.discovery_to_sweep,
                answered: status.discovery_answered,
                identified: status.discovery_identified,
                started_at: Time::unless_zero(status.discovery_started),
                finished_at: Time::unless_zero(status.discovery_finished),
            }
        })
        .collect();
    Ok(Json(Discovery { probes }))
}

/// Addresses that ever answered or were named by a person.
#[utoipa::path(get, path = "/api/v1/sites/{id}/discovery/addresses", tag = "discovery", operation_id = "list_discovered_addresses", params(("id" = Id, Path), AddressQuery), responses((status = 200, body = Page<DiscoveredAddress>), (status = 404)))]
async fn list_discovered_addresses(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<SiteId>,
    Params(query): Params<AddressQuery>,
) -> Result<Json<Page<DiscoveredAddress>>, ApiError> {
    let page = PageQuery {
        limit: query.limit,
        after: query.after,
    };
    let found = central
        .read(move |c| addresses::list(c, &scope, id, query.q.as_deref(), query.only, &page))
        .await?;
    found.map(Json).ok_or(ApiError::NotFound)
}

/// Starts a round now, at every connected probe of the site.
#[utoipa::path(post, path = "/api/v1/sites/{id}/discovery", tag = "discovery", operation_id = "start_discovery", params(("id" = Id, Path)), responses((status = 202, body = Accepted), (status = 404), (status = 409)))]
async fn start_discovery(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<SiteId>,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    let now = central.now();
    central
        .write(move |c| {
            let site = found!(sites::get(c, &scope, id)?);
            let act = audit::Act {
                action: "discovery.start",
                object_kind: "site",
                object_id: &id,
                customer: Some(site.customer_id),
                detail: json!({}),
            };
            audit::write(c, &scope, now, &act)?;
            Ok(Ok(()))
        })
        .await?;
    let mut notice = tell::notice(&central, id).await?;
    notice.discover_now = true;
    if central.registry.notify_site(id, &notice) == 0 {
        return Err(ApiError::Conflict(
            "no probe of this site is connected now".into(),
        ));
    }
    Ok((StatusCode::ACCEPTED, Json(Accepted {})))
}
