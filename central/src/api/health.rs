//! Central's own health: for load balancers, for Prometheus, and for its admins.

mod prometheus;
mod report;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::guard::Routes;
use crate::auth::Auth;
use crate::auth::scope::Permission;
use crate::auth::session::{Token, Transport, Via};
use prometheus::Names;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::Public, routes!(get_health))
        .add(Permission::Public, routes!(get_own_metrics))
}

pub(super) fn api_routes(routes: Routes) -> Routes {
    routes.add(Permission::Administer, routes!(report::get_health_report))
}

/// Whether Central answers and can read its database.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = String)))]
async fn get_health(State(central): State<Central>) -> Result<&'static str, ApiError> {
    central.read(crate::store::is_set_up).await?;
    Ok("ok\n")
}

/// Central's own figures, for Prometheus: from this machine, or for a signed-in admin.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String), (status = 401)))]
async fn get_own_metrics(
    State(central): State<Central>,
    Extension(via): Extension<Via>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let session = match Token::from_headers(&headers, via.transport) {
        Some(token) => central.auth.resolve(&token, &via.peer).await?,
        None => None,
    };
    let admin = session
        .map(|(_, scope)| scope)
        .filter(|scope| scope.may(Permission::Administer) && scope.customer().is_none());
    let text = match admin {
        Some(scope) => prometheus::figures(&central, scope, Names::Shown).await?,
        // Plain HTTP is bound to loopback, so whoever comes that way is on this machine; whose the probes are is
        // nothing for everybody there.
        None if via.transport != Transport::Https => {
            prometheus::figures(&central, Auth::local_root("metrics"), Names::LeftOut).await?
        }
        None => {
            return Err(ApiError::Unauthorized(
                "sign in as an admin, or ask from this machine",
            ));
        }
    };
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
