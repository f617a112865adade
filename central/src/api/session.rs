//! Signing in and out.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::Body;
use super::guard::Routes;
use crate::auth::LoginError;
use crate::auth::scope::Permission;
use crate::auth::session::{NewSession, Token, Via, clear_cookie};
use crate::store::users::{self, User};
use crate::store::value::Time;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::Public, routes!(get_session, create_session))
        .add(Permission::See, routes!(delete_session))
}

/// Who is signed in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// `null` when nobody is.
    #[schema(required)]
    user: Option<User>,
    /// To be repeated in `x-csrf-token` by every request with effects.
    #[schema(required)]
    csrf_token: Option<String>,
    /// Central's clock.
    server_time: Time,
    /// Central's version; `null` when nobody is signed in.
    #[schema(required)]
    version: Option<String>,
}

/// User name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    /// What they sign in with.
    user_name: String,
    /// Their password.
    password: String,
}

fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// The answer to a successful sign-in: the session, and its cookie.
pub(super) fn signed_in(
    central: &Central,
    via: &Via,
    user: User,
    session: &NewSession,
) -> Response {
    let body = Session {
        user: Some(user),
        csrf_token: Some(session.csrf_token.clone()),
        server_time: Time(central.now()),
        version: Some(version()),
    };
    let mut response = Json(body).into_response();
    response
        .headers_mut()
        .insert(header::SET_COOKIE, session.set_cookie(via.transport));
    response
}

/// Who is signed in: nobody is an answer too.
#[utoipa::path(get, path = "/api/v1/session", tag = "session", operation_id = "get_session", responses((status = 200, body = Session)))]
async fn get_session(
    State(central): State<Central>,
    Extension(via): Extension<Via>,
    headers: HeaderMap,
) -> Result<Json<Session>, ApiError> {
    let found = match Token::from_headers(&headers, via.transport) {
        Some(token) => central.auth.resolve(&token, &via.peer).await?,
        None => None,
    };
    let server_time = Time(central.now());
    let Some((session, scope)) = found else {
        return Ok(Json(Session {
            user: None,
            csrf_token: None,
            server_time,
            version: None,
        }));
    };
    let user = central
        .read(move |c| users::get(c, &scope, session.user))
        .await?;
    Ok(Json(Session {
        user,
        csrf_token: Some(session.csrf_token),
        server_time,
        version: Some(version()),
    }))
}

/// Signs in.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", operation_id = "create_session",
    request_body = SignIn, responses((status = 200, body = Session), (status = 401), (status = 429)))]
async fn create_session(
    State(central): State<Central>,
    Extension(via): Extension<Via>,
    headers: HeaderMap,
    Body(request): Body<SignIn>,
) -> Result<Response, ApiError> {
    let SignIn {
        user_name,
        password,
    } = request;
    if user_name.len() > 256 || password.len() > 4_096 {
        return Err(ApiError::Unauthorized(
            "the user name or the password is not right",
        ));
    }
    let (user, session) = central
        .auth
        .sign_in(user_name.trim(), password, &via.peer)
        .await
        .map_err(|error| match error {
            LoginError::Wrong => {
                ApiError::Unauthorized("the user name or the password is not right")
            }
            LoginError::Throttled { retry_after_s } => ApiError::TooMany { retry_after_s },
            LoginError::Busy(_) => ApiError::Busy,
            LoginError::Store(error) => error.into(),
        })?;
    // A session that the browser still had ends: no cookie is ever carried over a sign-in.
    if let Some(old) = Token::from_headers(&headers, via.transport) {
        central.auth.end(old.hash()).await?;
    }
    Ok(signed_in(&central, &via, user, &session))
}

/// Signs out.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session", operation_id = "delete_session", responses((status = 204)))]
async fn delete_session(
    State(central): State<Central>,
    Extension(via): Extension<Via>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(token) = Token::from_headers(&headers, via.transport) {
        central.auth.end(token.hash()).await?;
    }
    Ok((
        StatusCode::NO_CONTENT,
        [(header::SET_COOKIE, clear_cookie(via.transport))],
    )
        .into_response())
}
