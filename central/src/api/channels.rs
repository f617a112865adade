//! Channels: where notifications go. Only admins see them; a channel's secret goes in and never comes out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use farwatch_shared::id::ChannelId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::Central;
use super::error::ApiError;
use super::extract::{Body, IdOf, Params, line};
use super::guard::Routes;
use crate::auth::scope::Permission;
use crate::incident::notify::Notification;
use crate::scope::Scope;
use crate::store::channels::{
    self, Channel, ChannelKind, ChannelSettings, Draft, EmailSettings, SecretChange,
    WebhookSettings,
};
use crate::store::page::{Page, PageQuery};
use crate::store::value::{Change, Id, words};

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(
            Permission::Administer,
            routes!(list_channels, create_channel),
        )
        .add(
            Permission::Administer,
            routes!(update_channel, delete_channel),
        )
        .add(Permission::Administer, routes!(test_channel))
}

const fn yes() -> bool {
    true
}

/// A new channel.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateChannel {
    /// For people.
    name: String,
    /// How it delivers; its settings are of this kind.
    kind: ChannelKind,
    /// Incidents of this customer only; absent is all.
    #[serde(default)]
    customer_id: Option<Id>,
    /// Whether it is used.
    #[serde(default = "yes")]
    enabled: bool,
    /// Where it delivers.
    settings: ChannelSettings,
    /// SMTP password or bearer token; write-only.
    #[serde(default)]
    secret: Option<String>,
}

/// What changes of a channel.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateChannel {
    /// New name.
    #[serde(default)]
    name: Option<String>,
    /// Only with settings of this kind.
    #[serde(default)]
    kind: Option<ChannelKind>,
    /// Another customer; `null` is all.
    #[serde(default)]
    #[schema(value_type = Option<Id>)]
    customer_id: Change<Id>,
    /// Whether it is used.
    #[serde(default)]
    enabled: Option<bool>,
    /// Where it delivers.
    #[serde(default)]
    settings: Option<ChannelSettings>,
    /// A new secret; `null` removes it; write-only.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    secret: Change<String>,
}

words! {
    /// How a test delivery went.
    pub(super) enum TestState {
        /// The other side took it.
        Sent => "sent",
        /// It did not.
        Failed => "failed",
    }
}

/// How a test delivery went.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ChannelTest {
    /// Whether the other side took it.
    state: TestState,
    /// What the other side said.
    detail: String,
}

fn check(kind: ChannelKind, settings: &ChannelSettings) -> Result<(), ApiError> {
    if settings.kind() != kind {
        return Err(ApiError::field("settings", "are of another kind"));
    }
    match settings {
        ChannelSettings::Email(email) => check_email(email),
        ChannelSettings::Webhook(webhook) => check_webhook(webhook),
    }
}

fn check_email(email: &EmailSettings) -> Result<(), ApiError> {
    let is_host = |host: &str| {
        !host.is_empty()
            && host.len() <= 253
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'))
    };
    if !is_host(&email.host) {
        return Err(ApiError::field(
            "settings.host",
            "write a host's name or address",
        ));
    }
    if email.port == 0 {
        return Err(ApiError::field("settings.port", "usually 587, 465 or 25"));
    }
    if email.user_name.chars().any(char::is_control) {
        return Err(ApiError::field(
            "settings.user_name",
            "must not have control characters",
        ));
    }
    let is_mailbox = |text: &str| text.parse::<lettre::message::Mailbox>().is_ok();
    if !is_mailbox(&email.from) {
        return Err(ApiError::field("settings.from", "write a mail address"));
    }
    if email.to.is_empty() || email.to.len() > 100 || !email.to.iter().all(|to| is_mailbox(to)) {
        return Err(ApiError::field("settings.to", "one to 100 mail addresses"));
    }
    Ok(())
}

/// Which addresses a webhook may reach is Central's network's business; what is plainly no webhook is refused here.
fn check_webhook(webhook: &WebhookSettings) -> Result<(), ApiError> {
    let url: reqwest::Url = webhook
        .url
        .parse()
        .map_err(|_| ApiError::field("settings.url", "write an https URL"))?;
    let local = match url.host_str() {
        Some(host) => crate::auth::session::is_loopback_host(host),
        None => return Err(ApiError::field("settings.url", "write an https URL")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ApiError::field(
            "settings.url",
            "put the password into the secret, not the URL",
        ));
    }
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        _ => {
            return Err(ApiError::field(
                "settings.url",
                "only https (http only to this machine)",
            ));
        }
    }
    let metadata = match url
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .parse()
    {
        Ok(std::net::IpAddr::V4(v4)) => v4.is_link_local() || v4.is_unspecified(),
        Ok(std::net::IpAddr::V6(v6)) => v6.is_unicast_link_local() || v6.is_unspecified(),
        Err(_) => false,
    };
    if metadata {
        return Err(ApiError::field(
            "settings.url",
            "link-local addresses are not called",
        ));
    }
    Ok(())
}

fn check_secret(secret: &str) -> Result<(), ApiError> {
    if secret.len() > 4_096 || secret.chars().any(char::is_control) {
        return Err(ApiError::field(
            "secret",
            "at most 4,096 bytes, no control characters",
        ));
    }
    Ok(())
}

/// Channels, by name.
#[utoipa::path(get, path = "/api/v1/channels", tag = "channels", operation_id = "list_channels", params(PageQuery), responses((status = 200, body = Page<Channel>)))]
async fn list_channels(
    State(central): State<Central>,
    scope: Scope,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<Channel>>, ApiError> {
    let all = central.read(move |c| channels::list(c, &scope)).await?;
    Ok(Json(Page::of_sorted(all, &page, |channel| {
        (channel.name.to_lowercase(), channel.id)
    })))
}

async fn get(central: &Central, scope: Scope, id: ChannelId) -> Result<Channel, ApiError> {
    let found = central.read(move |c| channels::get(c, &scope, id)).await?;
    found.ok_or(ApiError::NotFound)
}

/// Makes a channel, its secret sealed.
#[utoipa::path(post, path = "/api/v1/channels", tag = "channels", operation_id = "create_channel", request_body = CreateChannel, responses((status = 201, body = Channel), (status = 422)))]
async fn create_channel(
    State(central): State<Central>,
    scope: Scope,
    Body(body): Body<CreateChannel>,
) -> Result<(StatusCode, Json<Channel>), ApiError> {
    check(body.kind, &body.settings)?;
    let draft = Draft {
        name: line("name", &body.name, 128)?,
        customer: body.customer_id.map(Into::into),
        enabled: body.enabled,
        settings: body.settings,
    };
    let secret = match body.secret {
        None => SecretChange::Keep,
        Some(secret) => {
            check_secret(&secret)?;
            SecretChange::Set(Zeroizing::new(secret))
        }
    };
    let (now, acting, vault) = (central.now(), scope.clone(), central.vault.clone());
    let id = central
        .write(move |c| channels::create(c, &acting, &vault, now, &draft, &secret))
        .await?;
    Ok((StatusCode::CREATED, Json(get(&central, scope, id).await?)))
}

/// Changes a channel.
#[utoipa::path(patch, path = "/api/v1/channels/{id}", tag = "channels", operation_id = "update_channel", params(("id" = Id, Path)), request_body = UpdateChannel, responses((status = 200, body = Channel), (status = 404), (status = 422)))]
async fn update_channel(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<ChannelId>,
    Body(body): Body<UpdateChannel>,
) -> Result<Json<Channel>, ApiError> {
    let before = get(&central, scope.clone(), id).await?;
    let settings = body.settings.unwrap_or(before.settings);
    check(body.kind.unwrap_or_else(|| settings.kind()), &settings)?;
    let draft = Draft {
        name: body
            .name
            .map_or(Ok(before.name), |name| line("name", &name, 128))?,
        customer: match body.customer_id {
            Change::Keep => before.customer_id,
            Change::Set(customer) => customer,
        }
        .map(Into::into),
        enabled: body.enabled.unwrap_or(before.enabled),
        settings,
    };
    let secret = match body.secret {
        Change::Keep => SecretChange::Keep,
        Change::Set(None) => SecretChange::Clear,
        Change::Set(Some(secret)) => {
            check_secret(&secret)?;
            SecretChange::Set(Zeroizing::new(secret))
        }
    };
    let (now, acting, vault) = (central.now(), scope.clone(), central.vault.clone());
    central
        .write(move |c| channels::update(c, &acting, &vault, now, id, &draft, &secret))
        .await?;
    get(&central, scope, id).await.map(Json)
}

/// Deletes a channel.
#[utoipa::path(delete, path = "/api/v1/channels/{id}", tag = "channels", operation_id = "delete_channel", params(("id" = Id, Path)), responses((status = 204), (status = 404)))]
async fn delete_channel(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<ChannelId>,
) -> Result<StatusCode, ApiError> {
    let now = central.now();
    central
        .write(move |c| channels::delete(c, &scope, now, id))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a test notification now, and says how it went.
#[utoipa::path(post, path = "/api/v1/channels/{id}/test", tag = "channels", operation_id = "test_channel", params(("id" = Id, Path)), responses((status = 200, body = ChannelTest), (status = 404)))]
async fn test_channel(
    State(central): State<Central>,
    scope: Scope,
    IdOf(id): IdOf<ChannelId>,
) -> Result<Json<ChannelTest>, ApiError> {
    let now = central.now();
    let channel = central
        .write(move |c| {
            let Some(channel) = channels::deliverable(c, &scope, id)? else {
                return Ok(Err(crate::store::Refused::NotFound));
            };
            channels::audit_test(c, &scope, now, id)?;
            Ok(Ok(channel))
        })
        .await?;
    let sent = central
        .sender
        .send(&channel, &Notification::test(&channel.name, now))
        .await;
    let (state, detail) = match sent {
        Ok(detail) => (TestState::Sent, detail),
        Err(detail) => (TestState::Failed, detail),
    };
    let (at, text) = (central.now(), detail.clone());
    central
        .store
        .write(move |c| channels::put_result(c, at, id, state == TestState::Sent, &text))
        .await?;
    Ok(Json(ChannelTest { state, detail }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_goes_out_over_https_and_not_to_the_machine_room() {
        let check = |url: &str| {
            check_webhook(&WebhookSettings {
                url: url.to_owned(),
            })
            .is_ok()
        };
        for url in [
            "https://hooks.example/x",
            "http://127.0.0.1:9000/hook",
            "https://192.0.2.7/",
        ] {
            assert!(check(url), "{url}");
        }
        for url in [
            "http://hooks.example/x",
            "https://169.254.169.254/latest/meta-data",
            "https://2852039166/",
            "https://[fe80::1]/",
            "https://0.0.0.0/",
            "file:///etc/passwd",
            "gopher://x",
            "https://user:pass@hooks.example/",
            "nonsense",
        ] {
            assert!(!check(url), "{url}");
        }
    }
}
