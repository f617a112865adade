//! Central's own health: for load balancers, and for Prometheus.

use std::fmt::Write as _;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::guard::Routes;
use crate::auth::scope::Permission;
use crate::auth::session::{Token, Transport, Via};
use crate::store::presence::SILENT_MS;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::Public, routes!(get_health))
        .add(Permission::Public, routes!(get_own_metrics))
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
    // Plain HTTP is bound to loopback, so whoever comes that way is on this machine.
    if via.transport == Transport::Https {
        let session = match Token::from_headers(&headers, via.transport) {
            Some(token) => central.auth.resolve(&token, &via.peer).await?,
            None => None,
        };
        let allowed = session.is_some_and(|(_, scope)| {
            scope.may(Permission::Administer) && scope.customer().is_none()
        });
        if !allowed {
            return Err(ApiError::Unauthorized(
                "sign in as an admin, or ask from this machine",
            ));
        }
    }
    let text = figures(&central).await?;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

async fn figures(central: &Central) -> Result<String, ApiError> {
    let (customers, devices, incidents, pending) = central
        .read(|c| {
            c.query_row(
                "SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM devices WHERE forgotten_ms IS NULL),
                    (SELECT count(*) FROM incidents WHERE resolved_ms IS NULL),
                    (SELECT count(*) FROM outbox WHERE state = 'pending')",
                [],
                |row| {
                    Ok::<(i64, i64, i64, i64), _>((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                },
            )
        })
        .await?;
    let now = central.now();
    let probes = central.live.probes().all();
    let reporting = probes
        .iter()
        .filter(|(_, probe)| probe.last_heard.is_some_and(|at| now.since(at) < SILENT_MS))
        .count();
    let summary = central.metrics.summary().await?;
    let mut text = String::with_capacity(2_048);
    let mut put = |name: &str, kind: &str, help: &str, value: f64| {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "# HELP farwatch_{name} {help}\n# TYPE farwatch_{name} {kind}\nfarwatch_{name} {value}"
        );
    };
    #[expect(clippy::cast_precision_loss, reason = "Prometheus knows only floats")]
    let f = |n: i64| n as f64;
    #[expect(clippy::cast_precision_loss, reason = "Prometheus knows only floats")]
    let u = |n: u64| n as f64;
    put("customers", "gauge", "Customers.", f(customers));
    put(
        "devices",
        "gauge",
        "Devices that are not forgotten.",
        f(devices),
    );
    put(
        "incidents_open",
        "gauge",
        "Incidents that are not over.",
        f(incidents),
    );
    put(
        "notifications_pending",
        "gauge",
        "Notifications not yet sent.",
        f(pending),
    );
    put(
        "probes",
        "gauge",
        "Probes that are not revoked.",
        u(probes.len() as u64),
    );
    put(
        "probes_reporting",
        "gauge",
        "Probes heard within the last minute.",
        u(reporting as u64),
    );
    put(
        "probes_connected",
        "gauge",
        "Probes with a session.",
        u(central.registry.sessions().len() as u64),
    );
    put(
        "samples_total",
        "counter",
        "Samples that are here.",
        u(summary.samples),
    );
    put(
        "batches_total",
        "counter",
        "Batches committed.",
        u(summary.batches),
    );
    put(
        "batches_undecoded",
        "gauge",
        "Batches whose layout has not come.",
        u(summary.undecoded),
    );
    put(
        "batches_quarantined_total",
        "counter",
        "Batches set aside.",
        u(summary.quarantined),
    );
    put(
        "anchors_checked_total",
        "counter",
        "Pairs of anchors compared.",
        u(summary.anchors.checked),
    );
    put(
        "anchors_mismatched_total",
        "counter",
        "Pairs of anchors that did not agree.",
        u(summary.anchors.mismatched),
    );
    put(
        "samples_per_second",
        "gauge",
        "Samples committed a second, over the last minute.",
        central.metrics.samples_per_s(),
    );
    Ok(text)
}
