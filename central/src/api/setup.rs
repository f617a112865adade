//! The first run: a one-time link makes the first admin. Once there is one, there is nothing here.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use farwatch_shared::id::UserId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::{Body, line};
use super::guard::Routes;
use super::session::{Session, signed_in};
use super::users::{check_password, hash};
use crate::auth::scope::{Permission, Role};
use crate::auth::session::{Token, Via};
use crate::store::users::NewUser;
use crate::store::{is_set_up, users};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::Public, routes!(get_setup))
        .add(Permission::Public, routes!(create_setup))
}

/// Whether the first admin is still to be made.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Setup {
    /// `false` once there is an admin.
    needed: bool,
}

/// What the one-time link's page sends.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetupRequest {
    /// From the link.
    token: String,
    /// What the admin signs in with.
    user_name: String,
    /// What others see.
    display_name: String,
    /// At least 12 characters.
    password: String,
}

/// Whether the first admin is still to be made.
#[utoipa::path(get, path = "/api/v1/setup", tag = "setup", operation_id = "get_setup", responses((status = 200, body = Setup)))]
async fn get_setup(State(central): State<Central>) -> Result<Json<Setup>, ApiError> {
    let needed = !central.read(is_set_up).await?;
    Ok(Json(Setup { needed }))
}

/// Makes the first admin, or sets a new password by a reset link. Answers 404 once set-up is over.
#[utoipa::path(post, path = "/api/v1/setup", tag = "setup", operation_id = "create_setup",
    request_body = SetupRequest, responses((status = 201, body = Session), (status = 404)))]
async fn create_setup(
    State(central): State<Central>,
    Extension(via): Extension<Via>,
    Body(request): Body<SetupRequest>,
) -> Result<Response, ApiError> {
    central
        .auth
        .ask_link(&via.peer)
        .map_err(|retry_after_s| ApiError::TooMany { retry_after_s })?;
    let token = Token::parse(&request.token).ok_or(ApiError::NotFound)?;
    let (token_hash, now) = (token.hash(), central.now());
    let open = central
        .read(move |c| users::setup_token_is_open(c, now, token_hash))
        .await?;
    if !open {
        central.auth.link_failed(&via.peer);
        return Err(ApiError::NotFound);
    }
    let user_name = line("user_name", &request.user_name, 64)?;
    let display_name = line("display_name", &request.display_name, 128)?;
    check_password("password", &request.password, &user_name)?;
    let new = NewUser {
        user_name,
        display_name,
        role: Role::Admin,
        customer: None,
        password_hash: hash(&central, request.password).await?,
    };
    let from = via.peer.clone();
    let id: UserId = central
        .write(move |c| users::redeem_setup_token(c, now, &from, token_hash, &new))
        .await?;
    central.auth.note_change();
    let user = central.read(move |c| users::by_id(c, id)).await?;
    let user = user.ok_or(ApiError::NotFound)?;
    let session = central.auth.begin(id, &user.user_name, &via.peer).await?;
    Ok((
        StatusCode::CREATED,
        signed_in(&central, &via, user, &session),
    )
        .into_response())
}
