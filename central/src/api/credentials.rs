//! Credentials: what is secret goes in and never comes out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use farwatch_shared::id::{CredentialId, CustomerId, SiteId};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::{Body, IdOf, Params, line, optional_line};
use super::guard::Routes;
use super::sites::OfCustomer;
use super::tell::config_changed;
use crate::auth::scope::Permission;
use crate::scope::Scope;
use crate::store::credentials::{
    self, AuthProtocol, Credential, CredentialKind, Draft, PrivProtocol, Secrets, SecurityLevel,
};
use crate::store::customers;
use crate::store::page::Page;
use crate::store::value::{Change, Id};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::See, routes!(list_credentials))
        .add(Permission::Install, routes!(create_credential))
        .add(
            Permission::Install,
            routes!(update_credential, delete_credential),
        )
}

/// A new credential. v1 and v2c have a community; v3 has the rest.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateCredential {
    /// Whose.
    customer_id: Id,
    /// The only site it is for; absent is all of the customer's.
    #[serde(default)]
    site_id: Option<Id>,
    /// Unique at its customer.
    name: String,
    /// Which SNMP.
    kind: CredentialKind,
    /// v1, v2c; write-only.
    #[serde(default)]
    community: Option<String>,
    /// v3.
    #[serde(default)]
    user_name: Option<String>,
    /// v3.
    #[serde(default)]
    security_level: Option<SecurityLevel>,
    /// v3.
    #[serde(default)]
    auth_protocol: Option<AuthProtocol>,
    /// v3; write-only, at least 8 characters.
    #[serde(default)]
    auth_password: Option<String>,
    /// v3.
    #[serde(default)]
    priv_protocol: Option<PrivProtocol>,
    /// v3; write-only, at least 8 characters.
    #[serde(default)]
    priv_password: Option<String>,
    /// v3.
    #[serde(default)]
    context_name: Option<String>,
}

/// What changes of a credential; a secret that is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateCredential {
    /// New name.
    #[serde(default)]
    name: Option<String>,
    /// Another SNMP.
    #[serde(default)]
    kind: Option<CredentialKind>,
    /// v1, v2c; write-only.
    #[serde(default)]
    community: Option<String>,
    /// v3.
    #[serde(default)]
    user_name: Option<String>,
    /// v3.
    #[serde(default)]
    security_level: Option<SecurityLevel>,
    /// v3.
    #[serde(default)]
    auth_protocol: Option<AuthProtocol>,
    /// v3; write-only.
    #[serde(default)]
    auth_password: Option<String>,
    /// v3.
    #[serde(default)]
    priv_protocol: Option<PrivProtocol>,
    /// v3; write-only.
    #[serde(default)]
    priv_password: Option<String>,
    /// v3; `null` clears it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    context_name: Change<String>,
}

fn secret(field: &'static str, text: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(text) = text else {
        return Ok(None);
    };
    if text.len() > 256 || text.contains('\0') {
        return Err(ApiError::field(field, "at most 256 bytes, and no NUL"));
    }
    Ok(Some(text))
}

/// The credentials of a customer.
#[utoipa::path(get, path = "/api/v1/credentials", tag = "credentials", operation_id = "list_credentials", params(OfCustomer), responses((status = 200, body = Page<Credential>)))]
async fn list_credentials(
    State(central): State<Central>,
    scope: Scope,
    Params(query): Params<OfCustomer>,
) -> Result<Json<Page<Credential>>, ApiError> {
    let customer = query.customer();
    let all = central
        .read(move |c| {
            if let Some(customer) = customer
                && customers::get(c, &scope, customer)?.is_none()
            {
                return Ok(None);
            }
            credentials::list(c, &scope, customer).map(Some)
        })
        .await?
        .ok_or(ApiError::NotFound)?;
    Ok(Json(Page::of_sorted(all, &query.page(), |one| {
        (one.name.to_lowercase(), one.id)
    })))
}

async fn get(central: &Central, scope: Scope, id: CredentialId) -> Result<Credential, ApiError> {
    let found = central
        .read(move |c| credentials::get(c, &scope, id))
        .await?;
    found.ok_or(ApiError::NotFound)
}

/// Keeps a credential, its secrets sealed.
#[utoipa::path(post, path = "/api/v1/credentials", tag = "credentials", operation_id = "create_credential", request_body = CreateCredential, responses((status = 201, body = Credential), (status = 404), (status = 409), (status = 422)))]
async fn create_credential(
    State(central): State<Central>,
    scope: Scope,
    Body(body): Body<CreateCredential>,
) -> Result<(StatusCode, Json<Credential>), ApiError> {
    let draft = Draft {
        name: line("name", &body.name, 128)?,
        kind: body.kind,
        user_name: body
            .user_name
            .map(|name| line("user_name", &name, 32))
            .transpose()?,
        security_level: body.security_level,
        auth_protocol: body.auth_protocol,
        priv_protocol: body.priv_protocol,
        context_name: body
            .context_name
            .map(|name| optional_line("context_name", &name, 255))
            .transpose()?,
        secrets: {
            let mut secrets = Secrets::default();
            secrets.community = secret("community", body.community)?.unwrap_or_default();
            secrets.auth_password =
                secret("auth_password", body.auth_password)?.unwrap_or_default();
            secrets.priv_password =
                secret("priv_password", body.priv_password)?.unwrap_or_default();
            secrets
        },
    };
    let (customer, site) = (
        CustomerId::from(body.customer_id),
        body.site_id.map(SiteId::from),
    );
    let (now, acting, vault) = (central.now(), scope.clone(), central.vault.clone());
    let id = central
        .write(move |c| credentials::create(c, &acting, &vault, now, customer, site, draft))
        .await?;
    Ok((StatusCode::CREATED, Json(get(&central, scope, id).await?)))
}

/// Changes a credential; the sites that try it get it at once.
#[utoipa::path(patch, path = "/api/v1/credentials/{id}", tag = "credentials", operation_id = "update_credential", params(("id" = Id, Path)), request_body = UpdateCredential, responses((status = 200, body = Credential), (status = 404), (status = 409), (status = 422)))]
async fn update_credential(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<CredentialId>,
    Body(body): Body<UpdateCredential>,
) -> Result<Json<Credential>, ApiError> {
    let name = body.name.map(|name| line("name", &name, 128)).transpose()?;
    let user_name = body
        .user_name
        .map(|name| line("user_name", &name, 32))
        .transpose()?;
    let context_name = match body.context_name {
        Change::Set(Some(name)) => Change::Set(Some(optional_line("context_name", &name, 255)?)),
        other => other,
    };
    let community = secret("community", body.community)?;
    let auth_password = secret("auth_password", body.auth_password)?;
    let priv_password = secret("priv_password", body.priv_password)?;
    let edit = move |mut draft: Draft| {
        draft.name = name.unwrap_or(draft.name);
        draft.kind = body.kind.unwrap_or(draft.kind);
        draft.user_name = user_name.or(draft.user_name);
        draft.security_level = body.security_level.or(draft.security_level);
        draft.auth_protocol = body.auth_protocol.or(draft.auth_protocol);
        draft.priv_protocol = body.priv_protocol.or(draft.priv_protocol);
        if let Change::Set(name) = context_name {
            draft.context_name = name;
        }
        if let Some(community) = community {
            draft.secrets.community = community;
        }
        if let Some(password) = auth_password {
            draft.secrets.auth_password = password;
        }
        if let Some(password) = priv_password {
            draft.secrets.priv_password = password;
        }
        draft
    };
    let (now, acting, vault) = (central.now(), scope.clone(), central.vault.clone());
    let sites = central
        .write(move |c| credentials::update(c, &acting, &vault, now, id, edit))
        .await?;
    tell(&central, sites).await?;
    get(&central, scope, id).await.map(Json)
}

/// Deletes a credential; the sites that tried it do so no more.
#[utoipa::path(delete, path = "/api/v1/credentials/{id}", tag = "credentials", operation_id = "delete_credential", params(("id" = Id, Path)), responses((status = 204), (status = 404)))]
async fn delete_credential(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<CredentialId>,
) -> Result<StatusCode, ApiError> {
    let now = central.now();
    let sites = central
        .write(move |c| credentials::delete(c, &scope, now, id))
        .await?;
    tell(&central, sites).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn tell(central: &Central, sites: Vec<SiteId>) -> Result<(), ApiError> {
    for site in sites {
        config_changed(central, site).await?;
    }
    Ok(())
}
