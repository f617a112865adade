//! The person who asks.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::{Body, line};
use super::guard::{Routes, SessionHash};
use super::users::{check_password, hash};
use crate::auth::scope::Permission;
use crate::scope::Scope;
use crate::store::users::{self, OwnChange, User};

/// Preferences are the console's own; this is what one person may keep.
const PREFERENCES_LIMIT: usize = 16 * 1_024;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.add(Permission::See, routes!(get_me, update_me))
}

/// Old and new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordChange {
    /// The one that is in force.
    current: String,
    /// At least 12 characters.
    new: String,
}

/// What people change of themselves.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MeChange {
    /// What others see.
    #[serde(default)]
    display_name: Option<String>,
    /// What the console remembers, whole.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    preferences: Option<serde_json::Map<String, serde_json::Value>>,
    /// Ends all other sessions.
    #[serde(default)]
    password: Option<PasswordChange>,
}

/// The person who asks.
#[utoipa::path(get, path = "/api/v1/me", tag = "me", operation_id = "get_me", responses((status = 200, body = User)))]
async fn get_me(State(central): State<Central>, scope: Scope) -> Result<Json<User>, ApiError> {
    let id = scope.user().ok_or(ApiError::NotFound)?;
    let user = central.read(move |c| users::get(c, &scope, id)).await?;
    user.map(Json).ok_or(ApiError::NotFound)
}

/// Changes their name, preferences or password.
#[utoipa::path(patch, path = "/api/v1/me", tag = "me", operation_id = "update_me", request_body = MeChange, responses((status = 200, body = User)))]
async fn update_me(
    State(central): State<Central>,
    session: Option<Extension<SessionHash>>,
    scope: Scope,
    Body(change): Body<MeChange>,
) -> Result<Json<User>, ApiError> {
    let id = scope.user().ok_or(ApiError::NotFound)?;
    let display_name = match &change.display_name {
        Some(name) => Some(line("display_name", name, 128)?),
        None => None,
    };
    let preferences = change.preferences.map(serde_json::Value::Object);
    if preferences
        .as_ref()
        .is_some_and(|p| p.to_string().len() > PREFERENCES_LIMIT)
    {
        return Err(ApiError::field("preferences", "at most 16 KiB"));
    }
    let password_hash = match change.password {
        None => None,
        Some(PasswordChange { current, new }) => {
            let name = scope.who().to_owned();
            let account = central.read(move |c| users::account(c, &name)).await?;
            let hash_now = account.ok_or(ApiError::NotFound)?.password_hash;
            let right = central.auth.hasher.verify(Some(hash_now), current).await;
            if !right.map_err(|_| ApiError::Busy)? {
                return Err(ApiError::field(
                    "password.current",
                    "this is not the password in force",
                ));
            }
            check_password("password.new", &new, scope.who())?;
            Some(hash(&central, new).await?)
        }
    };
    let own = OwnChange {
        display_name,
        preferences,
        password_hash,
    };
    let (now, acting) = (central.now(), scope.clone());
    let keep = session
        .map(|Extension(SessionHash(hash))| hash.to_vec())
        .unwrap_or_default();
    let changes_password = own.password_hash.is_some();
    central
        .write(move |c| users::update_own(c, &acting, now, &own, &keep))
        .await?;
    if changes_password {
        central.auth.note_change();
    }
    let user = central.read(move |c| users::get(c, &scope, id)).await?;
    user.map(Json).ok_or(ApiError::NotFound)
}
