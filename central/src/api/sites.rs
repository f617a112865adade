//! Sites.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use farwatch_shared::id::{CustomerId, SiteId};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::Central;
use super::customers::{ConfirmDelete, drop_probes};
use super::error::ApiError;
use super::extract::{Body, IdOf, Params, line, text};
use super::guard::Routes;
use super::tell::config_changed;
use crate::auth::scope::Permission;
use crate::scope::Scope;
use crate::store::devices::DeviceFilter;
use crate::store::overview::SiteRow;
use crate::store::page::{Page, PageQuery};
use crate::store::sites::SiteChange;
use crate::store::value::Id;
use crate::store::{customers, sites};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::See, routes!(list_sites))
        .add(Permission::Administer, routes!(create_site))
        .add(Permission::See, routes!(get_site))
        .add(Permission::Administer, routes!(update_site, delete_site))
}

/// Of which customer, and which part.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfCustomer {
    /// Only of this customer.
    pub(super) customer_id: Option<Id>,
    /// How many items, at most 10,000; 200 by default.
    pub(super) limit: Option<usize>,
    /// The `next` of the page before.
    pub(super) after: Option<String>,
}

impl OfCustomer {
    pub(super) fn page(&self) -> PageQuery {
        PageQuery {
            limit: self.limit,
            after: self.after.clone(),
        }
    }

    pub(super) fn customer(&self) -> Option<CustomerId> {
        self.customer_id.map(Into::into)
    }
}

/// A new site.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateSite {
    /// Whose.
    customer_id: Id,
    /// Unique at its customer.
    name: String,
    /// IANA name; UTC by default.
    #[serde(default)]
    time_zone: Option<String>,
    /// For people.
    #[serde(default)]
    note: String,
}

/// What changes of a site.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateSite {
    /// New name.
    #[serde(default)]
    name: Option<String>,
    /// New time zone.
    #[serde(default)]
    time_zone: Option<String>,
    /// New note.
    #[serde(default)]
    note: Option<String>,
}

fn check_zone(zone: &str) -> Result<String, ApiError> {
    jiff::tz::TimeZone::get(zone)
        .map(|_| zone.to_owned())
        .map_err(|_| ApiError::field("time_zone", "write an IANA name: Europe/Zurich"))
}

/// Sites, worst first.
#[utoipa::path(get, path = "/api/v1/sites", tag = "sites", operation_id = "list_sites", params(OfCustomer), responses((status = 200, body = Page<SiteRow>)))]
async fn list_sites(
    State(central): State<Central>,
    scope: Scope,
    Params(query): Params<OfCustomer>,
) -> Result<Json<Page<SiteRow>>, ApiError> {
    let customer = query.customer();
    let which = DeviceFilter {
        customer,
        site: None,
    };
    let rows = central
        .fleet(&scope, which, move |c, scope, fleet| {
            if let Some(customer) = customer
                && customers::get(c, scope, customer)?.is_none()
            {
                return Ok(None);
            }
            fleet.sites(c, scope, customer).map(Some)
        })
        .await?
        .ok_or(ApiError::NotFound)?;
    Ok(Json(Page::of_sorted(rows, &query.page(), |row| {
        (row.state.0.code(), row.name.to_lowercase(), row.id)
    })))
}

async fn row(central: &Central, scope: &Scope, id: SiteId) -> Result<SiteRow, ApiError> {
    let which = DeviceFilter {
        customer: None,
        site: Some(id),
    };
    let rows = central
        .fleet(scope, which, |c, scope, fleet| fleet.sites(c, scope, None))
        .await?;
    rows.into_iter()
        .find(|row| row.id == id.into())
        .ok_or(ApiError::NotFound)
}

/// Makes a site.
#[utoipa::path(post, path = "/api/v1/sites", tag = "sites", operation_id = "create_site", request_body = CreateSite, responses((status = 201, body = SiteRow), (status = 404), (status = 409)))]
async fn create_site(
    State(central): State<Central>,
    scope: Scope,
    Body(body): Body<CreateSite>,
) -> Result<(StatusCode, Json<SiteRow>), ApiError> {
    let name = line("name", &body.name, 200)?;
    let note = text("note", &body.note, 10_000)?;
    let zone = check_zone(body.time_zone.as_deref().unwrap_or("UTC"))?;
    let customer = CustomerId::from(body.customer_id);
    let (now, acting) = (central.now(), scope.clone());
    let id = central
        .write(move |c| sites::create(c, &acting, now, customer, &name, &zone, &note))
        .await?;
    Ok((StatusCode::CREATED, Json(row(&central, &scope, id).await?)))
}

/// One site.
#[utoipa::path(get, path = "/api/v1/sites/{id}", tag = "sites", operation_id = "get_site", params(("id" = Id, Path)), responses((status = 200, body = SiteRow), (status = 404)))]
async fn get_site(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<SiteId>,
) -> Result<Json<SiteRow>, ApiError> {
    row(&central, &scope, id).await.map(Json)
}

/// Changes a site.
#[utoipa::path(patch, path = "/api/v1/sites/{id}", tag = "sites", operation_id = "update_site", params(("id" = Id, Path)), request_body = UpdateSite, responses((status = 200, body = SiteRow), (status = 404), (status = 409)))]
async fn update_site(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<SiteId>,
    Body(body): Body<UpdateSite>,
) -> Result<Json<SiteRow>, ApiError> {
    let change = SiteChange {
        name: body.name.map(|name| line("name", &name, 200)).transpose()?,
        time_zone: body.time_zone.as_deref().map(check_zone).transpose()?,
        note: body
            .note
            .map(|note| text("note", &note, 10_000))
            .transpose()?,
    };
    let (now, acting) = (central.now(), scope.clone());
    central
        .write(move |c| sites::update(c, &acting, now, id, &change))
        .await?;
    config_changed(&central, id).await?;
    row(&central, &scope, id).await.map(Json)
}

/// Deletes a site with its probes and devices.
#[utoipa::path(delete, path = "/api/v1/sites/{id}", tag = "sites", operation_id = "delete_site", params(("id" = Id, Path)), request_body = ConfirmDelete, responses((status = 204), (status = 404), (status = 422)))]
async fn delete_site(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<SiteId>,
    Body(body): Body<ConfirmDelete>,
) -> Result<StatusCode, ApiError> {
    let now = central.now();
    let probes = central
        .write(move |c| sites::delete(c, &scope, now, id, &body.confirm_name))
        .await?;
    drop_probes(&central, probes).await?;
    Ok(StatusCode::NO_CONTENT)
}
