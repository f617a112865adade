//! What only this machine may: through the control socket, as root or Central's own user.

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use farwatch_shared::id::ProbeId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::{Body, OptionalBody, line};
use super::guard::Routes;
use super::probes::Anchors;
use crate::auth::scope::Permission;
use crate::auth::session::Token;
use crate::scope::Scope;
use crate::store::audit::{self, AuditProof};
use crate::store::devices::DeviceFilter;
use crate::store::users;
use crate::store::value::{Counts, Id, Time};

/// How long a set-up or reset link can be used.
pub const LINK_MS: i64 = 30 * 60 * 1_000;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::Local, routes!(create_setup_link))
        .add(Permission::Local, routes!(begin_backup))
        .add(Permission::Local, routes!(verify_audit))
        .add(Permission::Local, routes!(get_summary))
}

/// Whose password; nobody's is the first admin's.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetupLinkRequest {
    /// Resets this person's password.
    #[serde(default)]
    user_name: Option<String>,
}

/// A one-time link.
#[derive(Serialize, ToSchema)]
struct SetupLink {
    /// To be opened in a browser.
    link: String,
    /// Until when.
    expires_at: Time,
}

/// Makes a one-time link: for the first admin, or to reset a password.
#[utoipa::path(post, path = "/local/setup-link", request_body = SetupLinkRequest, responses((status = 200, body = SetupLink)))]
async fn create_setup_link(
    State(central): State<Central>,
    scope: Scope,
    OptionalBody(body): OptionalBody<SetupLinkRequest>,
) -> Result<Json<SetupLink>, ApiError> {
    let token = Token::generate();
    let (hash, now) = (token.hash(), central.now());
    let expires = now.plus_ms(LINK_MS);
    let user_name = body
        .user_name
        .map(|name| line("user_name", &name, 64))
        .transpose()?;
    central
        .write(move |c| users::put_setup_token(c, &scope, now, hash, expires, user_name.as_deref()))
        .await?;
    Ok(Json(SetupLink {
        link: format!("{}/setup#token={}", central.settings.console, token.text()),
        expires_at: Time(expires),
    }))
}

/// Where to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BackupRequest {
    /// A directory that is new or empty.
    #[schema(value_type = String)]
    directory: PathBuf,
}

/// A backup begins, and is noted: the command copies by itself, since the service may write nowhere else.
#[utoipa::path(post, path = "/local/backup", request_body = BackupRequest, responses((status = 204)))]
async fn begin_backup(
    State(central): State<Central>,
    scope: Scope,
    Body(body): Body<BackupRequest>,
) -> Result<StatusCode, ApiError> {
    let (now, shown) = (central.now(), body.directory.display().to_string());
    central
        .write(move |c| {
            let act = audit::Act {
                action: "backup.create",
                object_kind: "directory",
                object_id: &shown,
                customer: None,
                detail: serde_json::json!({}),
            };
            audit::write(c, &scope, now, &act).map(Ok)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether no entry of the audit table is missing.
#[utoipa::path(get, path = "/local/audit-verify", responses((status = 200, body = AuditProof)))]
async fn verify_audit(State(central): State<Central>) -> Result<Json<AuditProof>, ApiError> {
    central.read(audit::verify).await.map(Json)
}

/// What the ledger has of one probe, in a few numbers.
#[derive(Serialize, ToSchema)]
struct SummaryProbe {
    /// Which.
    id: Id,
    /// Its name.
    name: String,
    /// Samples committed.
    samples: u64,
    /// Batches committed.
    batches: u64,
}

/// Everything in a few numbers: what `demo.sh` prints at its end.
#[derive(Serialize, ToSchema)]
struct Summary {
    /// Customers.
    customers: u64,
    /// Sites.
    sites: u64,
    /// Devices.
    devices: u64,
    /// Devices per state.
    states: Counts,
    /// Probes with a session.
    probes_connected: u64,
    /// Probes.
    probes: Vec<SummaryProbe>,
    /// Samples shown.
    samples: u64,
    /// Batches committed.
    batches: u64,
    /// Batches whose layout has not come.
    undecoded: u64,
    /// Batches set aside.
    quarantined: u64,
    /// Gap records by reason.
    gaps: BTreeMap<&'static str, u64>,
    /// How counters' anchors agree with their increases.
    anchors: Anchors,
    /// Incidents that are not over.
    incidents_open: u64,
}

/// Everything in a few numbers.
#[utoipa::path(get, path = "/local/summary", responses((status = 200, body = Summary)))]
async fn get_summary(
    State(central): State<Central>,
    scope: Scope,
) -> Result<Json<Summary>, ApiError> {
    let metrics = central.metrics.summary().await?;
    let (counts, customers, sites, rows, open) = central
        .fleet(&scope, DeviceFilter::default(), |c, scope, fleet| {
            let customers = crate::store::customers::list(c, scope)?.len() as u64;
            let sites = crate::store::sites::list(c, scope, None)?.len() as u64;
            let rows: Vec<(ProbeId, String)> = crate::store::probes::list(c, scope, None, None)?
                .into_iter()
                .map(|probe| (probe.id, probe.name))
                .collect();
            let (open, _) = crate::store::incidents::count_active(c, scope, None, None)?;
            Ok((fleet.counts(), customers, sites, rows, open))
        })
        .await?;
    let mut probes = Vec::with_capacity(rows.len());
    for (id, name) in rows {
        let report = central.metrics.ledger(id).await?;
        probes.push(SummaryProbe {
            id: id.into(),
            name,
            samples: report.lanes.iter().map(|lane| lane.samples).sum(),
            batches: report.lanes.iter().map(|lane| lane.batches).sum(),
        });
    }
    Ok(Json(Summary {
        customers,
        sites,
        devices: counts.total(),
        states: counts,
        probes_connected: central.registry.sessions().len() as u64,
        probes,
        samples: metrics.samples,
        batches: metrics.batches,
        undecoded: metrics.undecoded,
        quarantined: metrics.quarantined,
        gaps: metrics
            .gaps
            .iter()
            .map(|(reason, count)| (reason.as_str(), *count))
            .collect(),
        anchors: metrics.anchors.into(),
        incidents_open: open,
    }))
}
