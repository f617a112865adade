//! Customers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use farwatch_shared::id::{CustomerId, ProbeId};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::{Body, IdOf, Params, line, text};
use super::guard::Routes;
use crate::auth::scope::Permission;
use crate::scope::Scope;
use crate::store::customers;
use crate::store::devices::DeviceFilter;
use crate::store::overview::CustomerRow;
use crate::store::page::{Page, PageQuery};
use crate::store::value::Id;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::See, routes!(list_customers))
        .add(Permission::Administer, routes!(create_customer))
        .add(Permission::See, routes!(get_customer))
        .add(
            Permission::Administer,
            routes!(update_customer, delete_customer),
        )
}

/// A new customer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateCustomer {
    /// Unique, whatever the case.
    name: String,
    /// For people.
    #[serde(default)]
    note: String,
}

/// What changes of a customer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateCustomer {
    /// New name.
    #[serde(default)]
    name: Option<String>,
    /// New note.
    #[serde(default)]
    note: Option<String>,
}

/// So that nobody deletes the wrong one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfirmDelete {
    /// The name, exactly as it stands.
    pub(super) confirm_name: String,
}

/// Customers, worst first.
#[utoipa::path(get, path = "/api/v1/customers", tag = "customers", operation_id = "list_customers", params(PageQuery), responses((status = 200, body = Page<CustomerRow>)))]
async fn list_customers(
    State(central): State<Central>,
    scope: Scope,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<CustomerRow>>, ApiError> {
    let rows = central
        .fleet(&scope, DeviceFilter::default(), |c, scope, fleet| {
            fleet.customers(c, scope)
        })
        .await?;
    Ok(Json(Page::of_sorted(rows, &page, |row| {
        (row.state.0.code(), row.name.to_lowercase(), row.id)
    })))
}

async fn row(central: &Central, scope: &Scope, id: CustomerId) -> Result<CustomerRow, ApiError> {
    let which = DeviceFilter {
        customer: Some(id),
        site: None,
    };
    let rows = central
        .fleet(scope, which, |c, scope, fleet| fleet.customers(c, scope))
        .await?;
    rows.into_iter()
        .find(|row| row.id == id.into())
        .ok_or(ApiError::NotFound)
}

/// Makes a customer.
#[utoipa::path(post, path = "/api/v1/customers", tag = "customers", operation_id = "create_customer", request_body = CreateCustomer, responses((status = 201, body = CustomerRow), (status = 409)))]
async fn create_customer(
    State(central): State<Central>,
    scope: Scope,
    Body(body): Body<CreateCustomer>,
) -> Result<(StatusCode, Json<CustomerRow>), ApiError> {
    let name = line("name", &body.name, 200)?;
    let note = text("note", &body.note, 10_000)?;
    let (now, acting) = (central.now(), scope.clone());
    let id = central
        .write(move |c| customers::create(c, &acting, now, &name, &note))
        .await?;
    Ok((StatusCode::CREATED, Json(row(&central, &scope, id).await?)))
}

/// One customer.
#[utoipa::path(get, path = "/api/v1/customers/{id}", tag = "customers", operation_id = "get_customer", params(("id" = Id, Path)), responses((status = 200, body = CustomerRow), (status = 404)))]
async fn get_customer(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<CustomerId>,
) -> Result<Json<CustomerRow>, ApiError> {
    row(&central, &scope, id).await.map(Json)
}

/// Renames a customer or changes its note.
#[utoipa::path(patch, path = "/api/v1/customers/{id}", tag = "customers", operation_id = "update_customer", params(("id" = Id, Path)), request_body = UpdateCustomer, responses((status = 200, body = CustomerRow), (status = 404), (status = 409)))]
async fn update_customer(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<CustomerId>,
    Body(body): Body<UpdateCustomer>,
) -> Result<Json<CustomerRow>, ApiError> {
    let name = body.name.map(|name| line("name", &name, 200)).transpose()?;
    let note = body
        .note
        .map(|note| text("note", &note, 10_000))
        .transpose()?;
    let (now, acting) = (central.now(), scope.clone());
    central
        .write(move |c| customers::update(c, &acting, now, id, name.as_deref(), note.as_deref()))
        .await?;
    row(&central, &scope, id).await.map(Json)
}

/// Deletes a customer with everything it has.
#[utoipa::path(delete, path = "/api/v1/customers/{id}", tag = "customers", operation_id = "delete_customer", params(("id" = Id, Path)), request_body = ConfirmDelete, responses((status = 204), (status = 404), (status = 422)))]
async fn delete_customer(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<CustomerId>,
    Body(body): Body<ConfirmDelete>,
) -> Result<StatusCode, ApiError> {
    let now = central.now();
    let probes = central
        .write(move |c| customers::delete(c, &scope, now, id, &body.confirm_name))
        .await?;
    drop_probes(&central, probes).await?;
    central.auth.note_change();
    Ok(StatusCode::NO_CONTENT)
}

/// Their rows are gone: their sessions end, and their samples go.
pub(super) async fn drop_probes(central: &Central, probes: Vec<ProbeId>) -> Result<(), ApiError> {
    for probe in &probes {
        central
            .registry
            .cut(*probe, "this probe's site was deleted");
    }
    if !probes.is_empty() {
        central.metrics.delete_probe_data(probes).await?;
    }
    Ok(())
}
