//! What happened.

use axum::Json;
use axum::extract::State;
use farwatch_shared::id::{CustomerId, DeviceId, ProbeId, SiteId};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::{IdOf, Params};
use super::guard::Routes;
use crate::auth::scope::Permission;
use crate::scope::Scope;
use crate::store::events::{self, Event, EventFilter};
use crate::store::page::{Page, PageQuery};
use crate::store::value::Id;
use crate::store::{customers, devices, probes, sites};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::See, routes!(list_events))
        .add(Permission::See, routes!(list_device_events))
}

/// Which events.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Only of this customer.
    customer_id: Option<Id>,
    /// Only of this site.
    site_id: Option<Id>,
    /// Only told by this probe.
    probe_id: Option<Id>,
    /// How many items, at most 10,000; 200 by default.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Events, newest first.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "list_events", params(EventQuery), responses((status = 200, body = Page<Event>), (status = 404)))]
async fn list_events(
    State(central): State<Central>,
    scope: Scope,
    Params(query): Params<EventQuery>,
) -> Result<Json<Page<Event>>, ApiError> {
    let which = EventFilter {
        customer: query.customer_id.map(CustomerId::from),
        site: query.site_id.map(SiteId::from),
        probe: query.probe_id.map(ProbeId::from),
        device: None,
    };
    let page = PageQuery {
        limit: query.limit,
        after: query.after,
    };
    let found = central
        .read(move |c| {
            let hidden = [
                match which.customer {
                    Some(id) => customers::get(c, &scope, id)?.is_none(),
                    None => false,
                },
                match which.site {
                    Some(id) => sites::get(c, &scope, id)?.is_none(),
                    None => false,
                },
                match which.probe {
                    Some(id) => probes::get(c, &scope, id)?.is_none(),
                    None => false,
                },
            ];
            if hidden.contains(&true) {
                return Ok(None);
            }
            events::list(c, &scope, which, &page).map(Some)
        })
        .await?;
    found.map(Json).ok_or(ApiError::NotFound)
}

/// Events of one device, newest first.
#[utoipa::path(get, path = "/api/v1/devices/{id}/events", tag = "events", operation_id = "list_device_events", params(("id" = Id, Path), PageQuery), responses((status = 200, body = Page<Event>), (status = 404)))]
async fn list_device_events(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<DeviceId>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Event>>, ApiError> {
    let which = EventFilter {
        device: Some(id),
        ..EventFilter::default()
    };
    let found = central
        .read(move |c| {
            if devices::sources(c, &scope, id)?.is_none() {
                return Ok(None);
            }
            events::list(c, &scope, which, &page).map(Some)
        })
        .await?;
    found.map(Json).ok_or(ApiError::NotFound)
}
