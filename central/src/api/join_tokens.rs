//! Join tokens: shown once, used once.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use farwatch_shared::id::{SiteId, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::{Body, IdOf, Params, line};
use super::guard::Routes;
use super::install::install_command;
use crate::auth::scope::Permission;
use crate::scope::Scope;
use crate::store::page::{Page, PageQuery};
use crate::store::sites;
use crate::store::tokens::{self, JoinProgress, JoinToken};
use crate::store::value::{Id, Time};

/// The usual life of a token.
const DEFAULT_S: u32 = 1_800;
/// The longest.
const LONGEST_S: u32 = 3_600;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(
            Permission::Install,
            routes!(list_join_tokens, create_join_token),
        )
        .add(
            Permission::Install,
            routes!(get_join_token, delete_join_token),
        )
}

/// A new token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateJoinToken {
    /// Where its probe will stand.
    site_id: Id,
    /// What its probe will be called; the machine's name by default.
    #[serde(default)]
    probe_name: Option<String>,
    /// Seconds; 1,800 by default, 3,600 at most.
    #[serde(default)]
    valid_for_s: Option<u32>,
}

/// A token with its secret: shown this once.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedJoinToken {
    /// Its public name.
    id: Id,
    /// Where its probe will stand.
    site_id: Id,
    /// What `farwatch-probe join` takes.
    token: String,
    /// The one line to paste on the machine at the site.
    command: String,
    /// Until when it can be used.
    expires_at: Time,
}

/// A token, and how far its probe has come.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct JoinTokenProgress {
    /// The token.
    #[serde(flatten)]
    token: JoinToken,
    /// How far its probe has come.
    progress: JoinProgress,
}

/// Of which site.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TokenQuery {
    /// Only of this site.
    site_id: Option<Id>,
    /// How many items, at most 10,000; 200 by default.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Tokens, newest first.
#[utoipa::path(get, path = "/api/v1/join-tokens", tag = "join-tokens", operation_id = "list_join_tokens", params(TokenQuery), responses((status = 200, body = Page<JoinToken>)))]
async fn list_join_tokens(
    State(central): State<Central>,
    scope: Scope,
    Params(query): Params<TokenQuery>,
) -> Result<Json<Page<JoinToken>>, ApiError> {
    let (now, site) = (central.now(), query.site_id.map(SiteId::from));
    let page = PageQuery {
        limit: query.limit,
        after: query.after,
    };
    let all = central
        .read(move |c| {
            if let Some(site) = site
                && sites::get(c, &scope, site)?.is_none()
            {
                return Ok(None);
            }
            tokens::list(c, &scope, now, site).map(Some)
        })
        .await?
        .ok_or(ApiError::NotFound)?;
    Ok(Json(Page::of_sorted(all, &page, |token| {
        std::cmp::Reverse(token.id)
    })))
}

/// Makes a token: its secret is shown this once and kept nowhere.
#[utoipa::path(post, path = "/api/v1/join-tokens", tag = "join-tokens", operation_id = "create_join_token", request_body = CreateJoinToken, responses((status = 201, body = CreatedJoinToken), (status = 404), (status = 422)))]
async fn create_join_token(
    State(central): State<Central>,
    scope: Scope,
    Body(body): Body<CreateJoinToken>,
) -> Result<(StatusCode, Json<CreatedJoinToken>), ApiError> {
    let valid_s = body.valid_for_s.unwrap_or(DEFAULT_S);
    if !(60..=LONGEST_S).contains(&valid_s) {
        return Err(ApiError::field("valid_for_s", "from 60 to 3,600 seconds"));
    }
    let name = match body.probe_name.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(name) => Some(line("probe_name", name, 128)?),
    };
    let new = central.enroll.new_token(i64::from(valid_s) * 1_000);
    let (hash, expires, site, now) = (
        new.secret_hash,
        new.expires,
        SiteId::from(body.site_id),
        central.now(),
    );
    let id = central
        .write(move |c| tokens::create(c, &scope, now, site, hash, name.as_deref(), expires))
        .await?;
    let created = CreatedJoinToken {
        id: id.into(),
        site_id: site.into(),
        command: install_command(&central, &new.text).await?,
        token: new.text,
        expires_at: Time(expires),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// A token, and how far its probe has come.
#[utoipa::path(get, path = "/api/v1/join-tokens/{id}", tag = "join-tokens", operation_id = "get_join_token", params(("id" = Id, Path)), responses((status = 200, body = JoinTokenProgress), (status = 404)))]
async fn get_join_token(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<TokenId>,
) -> Result<Json<JoinTokenProgress>, ApiError> {
    let now = central.now();
    let found = central
        .read(move |c| {
            let Some(token) = tokens::get(c, &scope, now, id)? else {
                return Ok(None);
            };
            let progress = tokens::progress(c, &token)?;
            Ok(Some(JoinTokenProgress { token, progress }))
        })
        .await?;
    let mut found = found.ok_or(ApiError::NotFound)?;
    if let Some(probe) = found.token.probe_id {
        let live = central.live.probes().get(probe.into());
        let since = live.and_then(|now| now.connected_since).map(Time);
        found.progress.connected_at = found.progress.connected_at.or(since);
        let newest = central.metrics.newest(probe.into()).map(Time);
        found.progress.first_value_at = found.progress.first_value_at.or(newest);
    }
    Ok(Json(found))
}

/// Withdraws a token.
#[utoipa::path(delete, path = "/api/v1/join-tokens/{id}", tag = "join-tokens", operation_id = "delete_join_token", params(("id" = Id, Path)), responses((status = 204), (status = 404), (status = 409)))]
async fn delete_join_token(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<TokenId>,
) -> Result<StatusCode, ApiError> {
    let now = central.now();
    central
        .write(move |c| tokens::void(c, &scope, now, id))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
