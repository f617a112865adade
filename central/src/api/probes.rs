//! Probes: how they are, and what Central has of them.

use std::sync::PoisonError;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, ProbeId, SiteId};
use farwatch_shared::link::Transport;
use farwatch_shared::model::{Lane, Severity as SeverityCode};
use farwatch_shared::wire::message::session::Status;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::{Body, IdOf, OptionalBody, Params, line, optional_line};
use super::guard::Routes;
use super::tell::config_changed;
use crate::auth::scope::Permission;
use crate::control::EchoError;
use crate::ledger::{self, LaneLedger};
use crate::live::ProbeNow;
use crate::metrics::query::{AnchorCounts, LaneReport};
use crate::scope::Scope;
use crate::store::page::{Page, PageQuery};
use crate::store::probes::{self, ProbeNotice, ProbeRow};
use crate::store::value::{Id, Severity, Time, words};
use crate::store::{customers, sites};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::See, routes!(list_probes))
        .add(Permission::See, routes!(get_probe))
        .add(Permission::Install, routes!(update_probe, revoke_probe))
        .add(Permission::See, routes!(echo_probe))
        .add(Permission::See, routes!(get_ledger))
}

words! {
    /// How a probe is.
    pub(super) enum ProbeState {
        /// It has a session and was heard within 30 s.
        Connected => "connected",
        /// Not heard for 30 s, or its session ended.
        Late => "late",
        /// Not heard for 60 s: its devices are unknown.
        Silent => "silent",
        /// Revoked for good.
        Revoked => "revoked",
        /// It has joined and never connected.
        NeverConnected => "never_connected",
    }
}

/// What waits at the probe.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(super) struct ProbeSpool {
    /// Unacknowledged batches.
    pub(super) batches: u64,
    /// Bytes of its spool file.
    pub(super) bytes: u64,
    /// Bytes it may grow to.
    limit_bytes: u64,
    /// Time of the oldest unacknowledged batch.
    #[schema(required)]
    pub(super) oldest_unacked_at: Option<Time>,
    /// Seconds until it is full at the present rate; `null` when not in sight.
    #[schema(required)]
    time_left_s: Option<i64>,
    /// How long acknowledged data is kept at present, seconds.
    #[schema(required)]
    replay_window_s: Option<u64>,
}

/// Its certificate.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct ProbeCertificate {
    /// When it ends.
    not_after: Time,
    /// When it will be renewed.
    renew_after: Time,
}

/// How fast it answers on the control stream.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct ProbeEcho {
    /// Half of the answers were faster.
    p50: f64,
    /// Of a hundred answers one was slower.
    p99: f64,
    /// The last one.
    last: f64,
    /// When the last one came.
    at: Time,
}

/// How anchors agree with the sums of increases.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(super) struct Anchors {
    /// Pairs that were compared.
    pub(super) checked: u64,
    /// Pairs that did not agree.
    pub(super) mismatched: u64,
    /// When the last pair was compared.
    #[schema(required)]
    pub(super) last_checked_at: Option<Time>,
}

impl From<AnchorCounts> for Anchors {
    fn from(counts: AnchorCounts) -> Self {
        Self {
            checked: counts.checked,
            mismatched: counts.mismatched,
            last_checked_at: counts.last_checked.map(Time),
        }
    }
}

/// One probe.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Probe {
    /// Its id.
    id: Id,
    /// Whose.
    customer_id: Id,
    /// Whose, by name.
    customer_name: String,
    /// Where.
    site_id: Id,
    /// Where, by name.
    site_name: String,
    /// Its name.
    name: String,
    /// How it is.
    state: ProbeState,
    /// Whether it has a session now.
    connected: bool,
    /// When anything last came from it.
    #[schema(required)]
    last_heard_at: Option<Time>,
    /// Start of its session.
    #[schema(required)]
    connected_since: Option<Time>,
    /// Where it dialled from.
    #[schema(required)]
    address: Option<String>,
    /// What carries its session: `udp` (QUIC), or `tcp` where its network blocks UDP; null while it has none.
    #[schema(required)]
    transport: Option<&'static str>,
    /// Its program.
    #[schema(required)]
    version: Option<String>,
    /// The machine's name.
    #[schema(required)]
    host_name: Option<String>,
    /// Operating system.
    #[schema(required)]
    os: Option<String>,
    /// What waits there.
    spool: ProbeSpool,
    /// How far the oldest unacknowledged data is behind, seconds.
    #[schema(required)]
    backlog_behind_s: Option<i64>,
    /// Its clock against ours, ms; positive: it is behind.
    #[schema(required)]
    clock_offset_ms: Option<i64>,
    /// The offset could not be measured in the same boot.
    clock_approximate: bool,
    /// Its certificate.
    certificate: ProbeCertificate,
    /// How fast it answers on the control stream.
    #[schema(required)]
    echo_ms: Option<ProbeEcho>,
    /// The lease of its session.
    lease: u64,
    /// The start that it runs.
    epoch: String,
    /// What a person should know.
    notices: Vec<ProbeNotice>,
    /// Devices that it watches.
    devices: u64,
    /// When it joined.
    created_at: Time,
    /// When it was revoked.
    #[schema(required)]
    revoked_at: Option<Time>,
    /// How its counters' anchors agree.
    anchors: Anchors,
    /// Revision of the site's configuration that it applies.
    #[schema(required)]
    config_revision: Option<u64>,
}

/// Which probes.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ProbeQuery {
    /// Only of this customer.
    customer_id: Option<Id>,
    /// Only of this site.
    site_id: Option<Id>,
    /// How many items, at most 10,000; 200 by default.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// A new name.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateProbe {
    /// What people call it.
    name: String,
}

/// Why it is revoked.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeProbe {
    /// For the audit log.
    #[serde(default)]
    reason: String,
}

/// There and back.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Echo {
    /// Milliseconds.
    rtt_ms: f64,
}

/// Seqs that were dropped at the probe.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct LedgerDropped {
    /// First seq.
    from_seq: u64,
    /// Last seq.
    to_seq: u64,
    /// Earliest time in them.
    from: Time,
    /// Latest time in them.
    to: Time,
}

/// What Central has of one epoch of one lane.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct LedgerLane {
    /// 16 hexadecimal digits.
    epoch: String,
    /// `events` or `samples`.
    lane: String,
    /// Every seq up to and including this one is done.
    watermark: u64,
    /// Done ranges above it, inclusive.
    ranges: Vec<[u64; 2]>,
    /// Batches committed.
    batches: u64,
    /// Samples in the decoded ones.
    samples: u64,
    /// Batches whose layout has not come.
    undecoded: u64,
    /// Batches set aside.
    quarantined: u64,
    /// What the probe dropped and Central never had.
    dropped: Vec<LedgerDropped>,
}

/// What Central has of one probe, for a checker.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Ledger {
    /// Which probe.
    probe_id: Id,
    /// One per epoch and lane.
    lanes: Vec<LedgerLane>,
    /// Layouts known.
    layouts: u64,
    /// How its counters' anchors agree.
    anchors: Anchors,
}

/// What waits at a probe, by its last status.
pub(super) fn spool_of(status: Option<&Status>) -> ProbeSpool {
    status.map_or_else(ProbeSpool::default, |status| ProbeSpool {
        batches: status.spool_batches,
        bytes: status.spool_bytes,
        limit_bytes: status.spool_limit_bytes,
        oldest_unacked_at: Time::unless_zero(status.oldest_unacked),
        time_left_s: Some(status.time_left_s).filter(|left| *left >= 0),
        replay_window_s: Some(status.replay_window_s),
    })
}

fn put_together(central: &Central, row: ProbeRow, now: Timestamp) -> Probe {
    let live = central.live.probes().get(row.id);
    let heard = live.as_ref().and_then(|p| p.last_heard).or(row.last_heard);
    let state = match (&row.revoked, &live) {
        (Some(_), _) => ProbeState::Revoked,
        (None, Some(live)) => ProbeState::from_word(live.state(now)).unwrap_or(ProbeState::Late),
        (None, None) if heard.is_none() => ProbeState::NeverConnected,
        (None, None) => ProbeState::Silent,
    };
    let connected_since = live
        .as_ref()
        .and_then(|now: &ProbeNow| now.connected_since)
        .filter(|_| row.revoked.is_none());
    let status = live
        .as_ref()
        .and_then(|p| p.status.clone())
        .map(|(_, status)| status)
        .or(row.status);
    let session = central.registry.session(row.id);
    let echoed = {
        let echoed = central
            .echoed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        echoed.get(&row.id).copied()
    };
    let some = |text: String| (!text.is_empty()).then_some(text);
    let mut notices = row.notices;
    if let Some(status) = &status {
        notices.extend(status.notices.iter().map(|text| ProbeNotice {
            severity: Severity(SeverityCode::Warning),
            text: farwatch_shared::text::DeviceText::from(text.as_str()).into(),
            at: Time(heard.unwrap_or(now)),
        }));
    }
    let spool = spool_of(status.as_ref());
    let not_after = status
        .as_ref()
        .and_then(|status| Time::unless_zero(status.certificate_not_after))
        .unwrap_or(row.not_after);
    let renew_after = status
        .as_ref()
        .and_then(|status| Time::unless_zero(status.certificate_renew_after))
        .unwrap_or_else(|| Time(row.not_after.0.plus_ms(-HALF_LEAF_MS)));
    Probe {
        id: row.id.into(),
        customer_id: row.customer.into(),
        customer_name: row.customer_name,
        site_id: row.site.into(),
        site_name: row.site_name,
        name: row.name,
        state,
        connected: connected_since.is_some(),
        last_heard_at: heard.map(Time),
        connected_since: connected_since.map(Time),
        address: some(live.as_ref().map_or(row.address, |p| p.peer.clone())),
        transport: connected_since
            .and_then(|_| live.as_ref()?.transport)
            .map(Transport::as_str),
        version: some(row.program),
        host_name: some(row.host_name),
        os: some(row.os),
        backlog_behind_s: spool
            .oldest_unacked_at
            .map(|oldest| (now.since(oldest.0) / 1_000).max(0)),
        spool,
        clock_offset_ms: live.as_ref().and_then(|p| p.clock_offset_ms),
        clock_approximate: live.as_ref().is_some_and(|p| p.clock_approximate),
        certificate: ProbeCertificate {
            not_after,
            renew_after,
        },
        echo_ms: session
            .and_then(|session| session.echo.zip(echoed))
            .map(|(stats, at)| ProbeEcho {
                p50: ms(stats.p50),
                p99: ms(stats.p99),
                last: ms(stats.last.rtt),
                at: Time(at),
            }),
        lease: row.lease,
        epoch: row.epoch.to_string(),
        notices,
        devices: row.devices,
        created_at: row.created,
        revoked_at: row.revoked,
        anchors: central.metrics.anchors(row.id, None).into(),
        config_revision: status.map(|status| status.config_revision),
    }
}

fn ms(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Half of a certificate's usual 72 h, for a probe that never said when it renews.
const HALF_LEAF_MS: i64 = 36 * 3_600 * 1_000;

/// Probes, by name.
#[utoipa::path(get, path = "/api/v1/probes", tag = "probes", operation_id = "list_probes", params(ProbeQuery), responses((status = 200, body = Page<Probe>)))]
async fn list_probes(
    State(central): State<Central>,
    scope: Scope,
    Params(query): Params<ProbeQuery>,
) -> Result<Json<Page<Probe>>, ApiError> {
    let customer = query.customer_id.map(CustomerId::from);
    let site = query.site_id.map(SiteId::from);
    let page = PageQuery {
        limit: query.limit,
        after: query.after,
    };
    let rows = central
        .read(move |c| {
            let hidden = match (customer, site) {
                (Some(customer), _) if customers::get(c, &scope, customer)?.is_none() => true,
                (_, Some(site)) => sites::get(c, &scope, site)?.is_none(),
                _ => false,
            };
            if hidden {
                return Ok(None);
            }
            probes::list(c, &scope, customer, site).map(Some)
        })
        .await?
        .ok_or(ApiError::NotFound)?;
    let now = central.now();
    let page = Page::of_sorted(rows, &page, |row| (row.name.clone(), Id::from(row.id)));
    Ok(Json(page.map(|row| put_together(&central, row, now))))
}

async fn get(central: &Central, scope: Scope, id: ProbeId) -> Result<Json<Probe>, ApiError> {
    let row = central.read(move |c| probes::get(c, &scope, id)).await?;
    let row = row.ok_or(ApiError::NotFound)?;
    Ok(Json(put_together(central, row, central.now())))
}

/// One probe.
#[utoipa::path(get, path = "/api/v1/probes/{id}", tag = "probes", operation_id = "get_probe", params(("id" = Id, Path)), responses((status = 200, body = Probe), (status = 404)))]
async fn get_probe(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<ProbeId>,
) -> Result<Json<Probe>, ApiError> {
    get(&central, scope, id).await
}

/// Renames a probe.
#[utoipa::path(patch, path = "/api/v1/probes/{id}", tag = "probes", operation_id = "update_probe", params(("id" = Id, Path)), request_body = UpdateProbe, responses((status = 200, body = Probe), (status = 404)))]
async fn update_probe(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<ProbeId>,
    Body(body): Body<UpdateProbe>,
) -> Result<Json<Probe>, ApiError> {
    let name = line("name", &body.name, 128)?;
    let (now, acting) = (central.now(), scope.clone());
    let site = central
        .write(move |c| probes::rename(c, &acting, now, id, &name))
        .await?;
    config_changed(&central, site).await?;
    get(&central, scope, id).await
}

/// Revokes a probe for good; its session ends within a second.
#[utoipa::path(delete, path = "/api/v1/probes/{id}", tag = "probes", operation_id = "revoke_probe", params(("id" = Id, Path)), request_body(content = RevokeProbe), responses((status = 204), (status = 404), (status = 409)))]
async fn revoke_probe(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<ProbeId>,
    OptionalBody(body): OptionalBody<RevokeProbe>,
) -> Result<StatusCode, ApiError> {
    let reason = optional_line("reason", &body.reason, 500)?;
    let seen = scope.clone();
    let row = central.read(move |c| probes::get(c, &seen, id)).await?;
    if row.ok_or(ApiError::NotFound)?.revoked.is_some() {
        return Err(ApiError::Conflict("this probe is already revoked".into()));
    }
    central
        .enroll
        .revoke(id, &reason, scope.who(), scope.from_address())
        .await
        .map_err(|error| ApiError::Internal(error.into()))?;
    Ok(StatusCode::NO_CONTENT)
}

/// There and back on the control stream.
#[utoipa::path(post, path = "/api/v1/probes/{id}/echo", tag = "probes", operation_id = "echo_probe", params(("id" = Id, Path)), responses((status = 200, body = Echo), (status = 404), (status = 409, description = "not connected"), (status = 504)))]
async fn echo_probe(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<ProbeId>,
) -> Result<Json<Echo>, ApiError> {
    let row = central.read(move |c| probes::get(c, &scope, id)).await?;
    row.ok_or(ApiError::NotFound)?;
    let timings = central
        .registry
        .echo(id)
        .await
        .map_err(|error| match error {
            EchoError::NotConnected => ApiError::Conflict("this probe is not connected now".into()),
            EchoError::Late => ApiError::Probe(
                StatusCode::GATEWAY_TIMEOUT,
                "the probe did not answer in time".into(),
            ),
            EchoError::Busy => ApiError::Busy,
        })?;
    let mut echoed = central
        .echoed
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    echoed.insert(id, central.now());
    Ok(Json(Echo {
        rtt_ms: ms(timings.rtt),
    }))
}

fn dropped(from_seq: u64, to_seq: u64, from: Timestamp, to: Timestamp) -> LedgerDropped {
    LedgerDropped {
        from_seq,
        to_seq,
        from: Time(from),
        to: Time(to),
    }
}

fn samples_lane(report: LaneReport) -> LedgerLane {
    let committed = report.committed;
    LedgerLane {
        epoch: committed.epoch.to_string(),
        lane: Lane::from_code(committed.lane)
            .map_or("unknown", Lane::as_str)
            .to_owned(),
        watermark: committed.watermark,
        ranges: committed
            .ranges
            .into_iter()
            .map(|(from, to)| [from, to])
            .collect(),
        batches: report.batches,
        samples: report.samples,
        undecoded: report.undecoded,
        quarantined: report.quarantined,
        dropped: report
            .dropped
            .into_iter()
            .map(|range| dropped(range.from_seq, range.to_seq, range.from, range.to))
            .collect(),
    }
}

fn events_lane(lane: LaneLedger) -> LedgerLane {
    LedgerLane {
        epoch: lane.epoch.to_string(),
        lane: lane.lane.as_str().to_owned(),
        watermark: lane.watermark,
        ranges: lane
            .ranges
            .into_iter()
            .map(|(from, to)| [from, to])
            .collect(),
        batches: lane.batches,
        samples: lane.samples,
        undecoded: lane.undecoded,
        quarantined: lane.quarantined,
        dropped: lane
            .dropped_ranges
            .into_iter()
            .filter(|range| range.missing > 0)
            .map(|range| dropped(range.from_seq, range.to_seq, range.from, range.to))
            .collect(),
    }
}

/// What Central has of a probe: for a checker that compares it with the probe's own ledger.
#[utoipa::path(get, path = "/api/v1/probes/{id}/ledger", tag = "probes", operation_id = "get_ledger", params(("id" = Id, Path)), responses((status = 200, body = Ledger), (status = 404)))]
async fn get_ledger(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<ProbeId>,
) -> Result<Json<Ledger>, ApiError> {
    // The events lane is proved by central.db, the samples lane by metrics.db.
    let events = central
        .read(move |c| {
            if probes::get(c, &scope, id)?.is_none() {
                return Ok(None);
            }
            ledger::ledger(c, id).map(Some)
        })
        .await?
        .ok_or(ApiError::NotFound)?;
    let report = central.metrics.ledger(id).await?;
    let samples = report.lanes.into_iter().map(samples_lane);
    Ok(Json(Ledger {
        probe_id: id.into(),
        lanes: events.into_iter().map(events_lane).chain(samples).collect(),
        layouts: report.layouts,
        anchors: report.anchors.into(),
    }))
}
