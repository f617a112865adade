//! The audit table, for admins.

use axum::Json;
use axum::extract::State;
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::Params;
use super::guard::Routes;
use super::sites::OfCustomer;
use crate::auth::scope::Permission;
use crate::scope::Scope;
use crate::store::audit::{self, AuditEntry};
use crate::store::customers;
use crate::store::page::Page;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.add(Permission::Administer, routes!(list_audit))
}

/// What was done, newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", operation_id = "list_audit", params(OfCustomer), responses((status = 200, body = Page<AuditEntry>), (status = 404)))]
async fn list_audit(
    State(central): State<Central>,
    scope: Scope,
    Params(query): Params<OfCustomer>,
) -> Result<Json<Page<AuditEntry>>, ApiError> {
    let (customer, page) = (query.customer(), query.page());
    let found = central
        .read(move |c| {
            if let Some(customer) = customer
                && customers::get(c, &scope, customer)?.is_none()
            {
                return Ok(None);
            }
            audit::list(c, &scope, customer, &page).map(Some)
        })
        .await?;
    found.map(Json).ok_or(ApiError::NotFound)
}
