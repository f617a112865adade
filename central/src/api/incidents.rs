//! Incidents: seen, taken, resolved, commented.

use axum::Json;
use axum::extract::State;
use farwatch_shared::id::{CustomerId, DeviceId, SiteId};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::{Body, IdOf, OptionalBody, Params, text};
use super::guard::Routes;
use crate::auth::scope::Permission;
use crate::scope::Scope;
use crate::store::incidents::{self, Incident, IncidentFilter, IncidentsWanted, Step};
use crate::store::page::{Page, PageQuery};
use crate::store::value::Id;
use crate::store::{customers, devices, sites};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::See, routes!(list_incidents))
        .add(Permission::See, routes!(get_incident))
        .add(Permission::Operate, routes!(acknowledge_incident))
        .add(Permission::Operate, routes!(resolve_incident))
        .add(Permission::Operate, routes!(note_incident))
}

/// Which incidents.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct IncidentQuery {
    /// How far they are; all by default.
    #[param(inline)]
    state: Option<IncidentsWanted>,
    /// Only of this customer.
    customer_id: Option<Id>,
    /// Only of this site.
    site_id: Option<Id>,
    /// Only of this device.
    device_id: Option<Id>,
    /// How many items, at most 10,000; 200 by default.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// What somebody adds.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IncidentStepBody {
    /// A few words; may be absent.
    #[serde(default)]
    note: String,
}

/// What somebody writes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IncidentNoteBody {
    /// At most 10,000 characters.
    text: String,
}

/// Incidents, newest first.
#[utoipa::path(get, path = "/api/v1/incidents", tag = "incidents", operation_id = "list_incidents", params(IncidentQuery), responses((status = 200, body = Page<Incident>), (status = 404)))]
async fn list_incidents(
    State(central): State<Central>,
    scope: Scope,
    Params(query): Params<IncidentQuery>,
) -> Result<Json<Page<Incident>>, ApiError> {
    let which = IncidentFilter {
        state: query.state,
        customer: query.customer_id.map(CustomerId::from),
        site: query.site_id.map(SiteId::from),
        device: query.device_id.map(DeviceId::from),
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
                match which.device {
                    Some(id) => devices::sources(c, &scope, id)?.is_none(),
                    None => false,
                },
            ];
            if hidden.contains(&true) {
                return Ok(None);
            }
            incidents::list(c, &scope, which, &page).map(Some)
        })
        .await?;
    found.map(Json).ok_or(ApiError::NotFound)
}

async fn get(central: &Central, scope: Scope, id: i64) -> Result<Json<Incident>, ApiError> {
    let found = central.read(move |c| incidents::get(c, &scope, id)).await?;
    found.map(Json).ok_or(ApiError::NotFound)
}

/// One incident with its notes, steps and notifications.
#[utoipa::path(get, path = "/api/v1/incidents/{id}", tag = "incidents", operation_id = "get_incident", params(("id" = i64, Path)), responses((status = 200, body = Incident), (status = 404)))]
async fn get_incident(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<i64>,
) -> Result<Json<Incident>, ApiError> {
    get(&central, scope, id).await
}

async fn take(
    central: Central,
    scope: Scope,
    id: i64,
    step: Step,
    note: String,
) -> Result<Json<Incident>, ApiError> {
    let (now, acting) = (central.now(), scope.clone());
    central
        .write_and_tell(move |c| incidents::step(c, &acting, now, id, &step, &note))
        .await?;
    get(&central, scope, id).await
}

/// Somebody takes an incident.
#[utoipa::path(post, path = "/api/v1/incidents/{id}/acknowledge", tag = "incidents", operation_id = "acknowledge_incident", params(("id" = i64, Path)), request_body = IncidentStepBody, responses((status = 200, body = Incident), (status = 404), (status = 409)))]
async fn acknowledge_incident(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<i64>,
    OptionalBody(body): OptionalBody<IncidentStepBody>,
) -> Result<Json<Incident>, ApiError> {
    let note = text("note", &body.note, 10_000)?;
    take(central, scope, id, Step::Acknowledge, note).await
}

/// Somebody says that it is over.
#[utoipa::path(post, path = "/api/v1/incidents/{id}/resolve", tag = "incidents", operation_id = "resolve_incident", params(("id" = i64, Path)), request_body = IncidentStepBody, responses((status = 200, body = Incident), (status = 404), (status = 409)))]
async fn resolve_incident(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<i64>,
    OptionalBody(body): OptionalBody<IncidentStepBody>,
) -> Result<Json<Incident>, ApiError> {
    let note = text("note", &body.note, 10_000)?;
    take(central, scope, id, Step::Resolve, note).await
}

/// Somebody writes something.
#[utoipa::path(post, path = "/api/v1/incidents/{id}/notes", tag = "incidents", operation_id = "note_incident", params(("id" = i64, Path)), request_body = IncidentNoteBody, responses((status = 200, body = Incident), (status = 404), (status = 422)))]
async fn note_incident(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<i64>,
    Body(body): Body<IncidentNoteBody>,
) -> Result<Json<Incident>, ApiError> {
    let note = text("text", &body.text, 10_000)?;
    if note.is_empty() {
        return Err(ApiError::field("text", "must not be empty"));
    }
    take(central, scope, id, Step::Note, note).await
}
