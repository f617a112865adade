//! People, for admins.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use farwatch_shared::id::UserId;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::{Body, IdOf, Params, line};
use super::guard::Routes;
use crate::auth::password::objection;
use crate::auth::scope::{Permission, Role};
use crate::scope::Scope;
use crate::store::page::{Page, PageQuery};
use crate::store::users::{self, NewUser, User};
use crate::store::value::Id;

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::Administer, routes!(list_users, create_user))
        .add(Permission::Administer, routes!(delete_user))
}

/// A new person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateUser {
    /// What they sign in with.
    user_name: String,
    /// What others see.
    display_name: String,
    /// At least 12 characters.
    password: String,
    /// What they may do.
    role: Role,
    /// The only customer that exists for them; absent is all.
    #[serde(default)]
    customer_id: Option<Id>,
}

/// Says why a password is not taken.
pub(super) fn check_password(field: &str, password: &str, user_name: &str) -> Result<(), ApiError> {
    objection(password, user_name).map_or(Ok(()), |why| Err(ApiError::field(field, why)))
}

/// Hashes a password that was checked.
pub(super) async fn hash(central: &Central, password: String) -> Result<String, ApiError> {
    central
        .auth
        .hasher
        .hash(password)
        .await
        .map_err(|_| ApiError::Busy)
}

/// Everybody that this admin sees.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", operation_id = "list_users", params(PageQuery), responses((status = 200, body = Page<User>)))]
async fn list_users(
    State(central): State<Central>,
    scope: Scope,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<User>>, ApiError> {
    let all = central.read(move |c| users::list(c, &scope)).await?;
    Ok(Json(Page::of_sorted(all, &page, |user| {
        (user.user_name.to_lowercase(), user.id)
    })))
}

/// Makes an account.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", operation_id = "create_user", request_body = CreateUser, responses((status = 201, body = User)))]
async fn create_user(
    State(central): State<Central>,
    scope: Scope,
    Body(body): Body<CreateUser>,
) -> Result<(StatusCode, Json<User>), ApiError> {
    let user_name = line("user_name", &body.user_name, 64)?;
    check_password("password", &body.password, &user_name)?;
    let new = NewUser {
        display_name: line("display_name", &body.display_name, 128)?,
        user_name,
        role: body.role,
        customer: body.customer_id.map(Into::into),
        password_hash: hash(&central, body.password).await?,
    };
    let (now, acting) = (central.now(), scope.clone());
    let id = central
        .write(move |c| users::create(c, &acting, now, &new))
        .await?;
    let user = central.read(move |c| users::get(c, &scope, id)).await?;
    Ok((StatusCode::CREATED, Json(user.ok_or(ApiError::NotFound)?)))
}

/// Deletes an account and ends its sessions.
#[utoipa::path(delete, path = "/api/v1/users/{id}", tag = "users", operation_id = "delete_user", params(("id" = Id, Path)), responses((status = 204)))]
async fn delete_user(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<UserId>,
) -> Result<StatusCode, ApiError> {
    let now = central.now();
    central
        .write(move |c| users::delete(c, &scope, now, id))
        .await?;
    central.auth.note_change();
    Ok(StatusCode::NO_CONTENT)
}
