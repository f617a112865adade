//! The site's configuration: one document, edited with its revision.

use axum::Json;
use axum::extract::State;
use farwatch_shared::id::SiteId;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::{Body, IdOf};
use super::guard::Routes;
use super::tell::config_changed;
use crate::auth::scope::Permission;
use crate::live::{Change, Effects};
use crate::scope::Scope;
use crate::store::site_config::{self, SiteConfig, SiteSettings};
use crate::store::value::Id;
use crate::store::{found, sites};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::See, routes!(get_site_config))
        .add(Permission::Install, routes!(put_site_config))
}

/// The whole document, and the revision that was edited.
#[derive(Deserialize, ToSchema)]
pub(super) struct PutSiteConfig {
    /// The one that was edited; another one in force answers 409.
    revision: u64,
    /// What the probes shall do.
    #[serde(flatten)]
    settings: SiteSettings,
}

/// A site's configuration.
#[utoipa::path(get, path = "/api/v1/sites/{id}/site-config", tag = "site-config", operation_id = "get_site_config", params(("id" = Id, Path)), responses((status = 200, body = SiteConfig), (status = 404)))]
async fn get_site_config(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<SiteId>,
) -> Result<Json<SiteConfig>, ApiError> {
    let config = central
        .read(move |c| site_config::get(c, &scope, id))
        .await?;
    config.map(Json).ok_or(ApiError::NotFound)
}

/// Replaces it; its probes pull it at once.
#[utoipa::path(put, path = "/api/v1/sites/{id}/site-config", tag = "site-config", operation_id = "put_site_config", params(("id" = Id, Path)), request_body = PutSiteConfig, responses((status = 200, body = SiteConfig), (status = 404), (status = 409), (status = 422)))]
async fn put_site_config(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<SiteId>,
    Body(body): Body<PutSiteConfig>,
) -> Result<Json<SiteConfig>, ApiError> {
    let (now, acting) = (central.now(), scope.clone());
    central
        .write_and_tell(move |c| {
            let site = found!(sites::get(c, &acting, id)?);
            let put = site_config::put(c, &acting, now, id, body.revision, &body.settings)?;
            Ok(put.map(|_| {
                let mut effects = Effects::new(site.customer_id, id);
                effects.push(Change::Config);
                effects
            }))
        })
        .await?;
    config_changed(&central, id).await?;
    let config = central
        .read(move |c| site_config::get(c, &scope, id))
        .await?;
    config.map(Json).ok_or(ApiError::NotFound)
}
