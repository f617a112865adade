//! Channels: where notifications go. A channel's secret is sealed and leaves only towards its server.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{ChannelId, CustomerId};
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::value::{Id, Time, words};
use super::{Outcome, Refused, audit, customers, found};
use crate::incident::notify::{self, Secrets};
use crate::scope::Scope;
use crate::vault::{Place, Sealed, Vault};

words! {
    /// How a channel delivers.
    pub enum ChannelKind {
        /// SMTP.
        Email => "email",
        /// HTTPS POST.
        Webhook => "webhook",
    }
}

words! {
    /// How the connection to a mail server is protected.
    pub enum MailSecurity {
        /// Not at all.
        None => "none",
        /// Upgraded after connecting.
        Starttls => "starttls",
        /// From the start.
        Tls => "tls",
    }
}

/// Where mail goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailSettings {
    /// Mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: MailSecurity,
    /// Signs in with this name and the channel's secret; empty does not.
    #[serde(default)]
    pub user_name: String,
    /// Sender.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
}

/// Where a webhook goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// An `https` URL; `http` only on this machine.
    pub url: String,
}

/// Settings of one of the kinds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ChannelSettings {
    /// SMTP.
    Email(EmailSettings),
    /// HTTPS.
    Webhook(WebhookSettings),
}

impl ChannelSettings {
    /// Which kind these are of.
    #[must_use]
    pub const fn kind(&self) -> ChannelKind {
        match self {
            Self::Email(_) => ChannelKind::Email,
            Self::Webhook(_) => ChannelKind::Webhook,
        }
    }
}

/// How the last delivery went.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChannelResult {
    /// `sent` or `failed`.
    pub state: String,
    /// When.
    pub at: Time,
    /// What the other side said.
    pub detail: String,
}

/// A channel without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Channel {
    /// Its id.
    pub id: Id,
    /// For people.
    pub name: String,
    /// How it delivers.
    pub kind: ChannelKind,
    /// Incidents of this customer only; `null` is all.
    #[schema(required)]
    pub customer_id: Option<Id>,
    /// Whether it is used.
    pub enabled: bool,
    /// Where it delivers.
    pub settings: ChannelSettings,
    /// Whether a secret is kept.
    pub has_secret: bool,
    /// How the last delivery went.
    #[schema(required)]
    pub last_result: Option<ChannelResult>,
}

const COLUMNS: &str = "SELECT id, name, kind, customer_id, enabled, settings, sealed IS NOT NULL, last_state, last_ms, last_detail
    FROM channels";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Channel> {
    let settings = row.get_ref(5)?.as_str()?;
    let settings = serde_json::from_str(settings).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(5, rusqlite::types::Type::Text, Box::new(error))
    })?;
    let last_state: Option<String> = row.get(7)?;
    let last_at: Option<Time> = row.get(8)?;
    let last_detail: Option<String> = row.get(9)?;
    Ok(Channel {
        id: row.get(0)?,
        name: row.get(1)?,
        kind: row.get(2)?,
        customer_id: row.get(3)?,
        enabled: row.get(4)?,
        settings,
        has_secret: row.get(6)?,
        last_result: last_state.zip(last_at).map(|(state, at)| ChannelResult {
            state,
            at,
            detail: last_detail.unwrap_or_default(),
        }),
    })
}

/// What a person writes of a channel.
#[derive(Clone, Debug)]
pub struct Draft {
    /// For people.
    pub name: String,
    /// Whose incidents.
    pub customer: Option<CustomerId>,
    /// Whether it is used.
    pub enabled: bool,
    /// Where it delivers.
    pub settings: ChannelSettings,
}

/// What happens to the secret.
#[derive(Clone, Default)]
pub enum SecretChange {
    /// Stays.
    #[default]
    Keep,
    /// Goes.
    Clear,
    /// Is replaced.
    Set(Zeroizing<String>),
}

impl std::fmt::Debug for SecretChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep => "Keep",
            Self::Clear => "Clear",
            Self::Set(_) => "Set(..)",
        })
    }
}

/// All that `scope` sees: a narrowed person sees that customer's.
///
/// # Errors
/// SQLite's.
pub fn list(c: &Connection, scope: &Scope) -> rusqlite::Result<Vec<Channel>> {
    c.prepare_cached(&format!(
        "{COLUMNS} WHERE ?1 IS NULL OR customer_id = ?1 ORDER BY name, id"
    ))?
    .query_map([scope.customer()], read)?
    .collect()
}

/// One, when `scope` sees it.
///
/// # Errors
/// SQLite's.
pub fn get(c: &Connection, scope: &Scope, id: ChannelId) -> rusqlite::Result<Option<Channel>> {
    c.prepare_cached(&format!(
        "{COLUMNS} WHERE id = ?1 AND (?2 IS NULL OR customer_id = ?2)"
    ))?
    .query_row((id, scope.customer()), read)
    .optional()
}

fn place(id: ChannelId) -> Place {
    Place {
        customer: None,
        record: id.uuid(),
        field: "channel",
    }
}

/// Makes one.
///
/// # Errors
/// SQLite's.
pub fn create(
    c: &Connection,
    scope: &Scope,
    vault: &Vault,
    now: Timestamp,
    draft: &Draft,
    secret: &SecretChange,
) -> rusqlite::Result<Outcome<ChannelId>> {
    if let Err(refused) = check_customer(c, scope, draft.customer)? {
        return Ok(Err(refused));
    }
    let id = ChannelId::generate();
    let detail =
        json!({ "name": draft.name, "kind": draft.settings.kind(), "settings": draft.settings });
    audit::write(
        c,
        scope,
        now,
        &act("channel.create", &id, draft.customer, detail),
    )?;
    c.execute(
        "INSERT INTO channels (id, customer_id, name, kind, enabled, settings, created_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            id,
            draft.customer,
            &draft.name,
            draft.settings.kind(),
            draft.enabled,
            super::to_json(&draft.settings)?,
            now,
        ),
    )?;
    put_secret(c, vault, id, secret)?;
    Ok(Ok(id))
}

/// Changes one.
///
/// # Errors
/// SQLite's.
pub fn update(
    c: &Connection,
    scope: &Scope,
    vault: &Vault,
    now: Timestamp,
    id: ChannelId,
    draft: &Draft,
    secret: &SecretChange,
) -> rusqlite::Result<Outcome<()>> {
    found!(get(c, scope, id)?);
    if let Err(refused) = check_customer(c, scope, draft.customer)? {
        return Ok(Err(refused));
    }
    let detail = json!({ "name": draft.name, "settings": draft.settings, "enabled": draft.enabled,
        "secret": !matches!(secret, SecretChange::Keep) });
    audit::write(
        c,
        scope,
        now,
        &act("channel.update", &id, draft.customer, detail),
    )?;
    c.execute(
        "UPDATE channels SET customer_id = ?2, name = ?3, kind = ?4, enabled = ?5, settings = ?6 WHERE id = ?1",
        (
            id,
            draft.customer,
            &draft.name,
            draft.settings.kind(),
            draft.enabled,
            super::to_json(&draft.settings)?,
        ),
    )?;
    put_secret(c, vault, id, secret)?;
    Ok(Ok(()))
}

/// Deletes one with what it still had to send.
///
/// # Errors
/// SQLite's.
pub fn delete(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: ChannelId,
) -> rusqlite::Result<Outcome<()>> {
    let channel = found!(get(c, scope, id)?);
    let customer = channel.customer_id.map(CustomerId::from);
    let detail = json!({ "name": channel.name });
    audit::write(c, scope, now, &act("channel.delete", &id, customer, detail))?;
    c.execute("DELETE FROM channels WHERE id = ?1", [id])?;
    Ok(Ok(()))
}

/// Somebody sends a test.
///
/// # Errors
/// SQLite's.
pub fn audit_test(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: ChannelId,
) -> rusqlite::Result<()> {
    audit::write(
        c,
        scope,
        now,
        &act("channel.test", &id, scope.customer(), json!({})),
    )
}

/// How a delivery went.
///
/// # Errors
/// SQLite's.
pub fn put_result(
    c: &Connection,
    now: Timestamp,
    id: ChannelId,
    sent: bool,
    detail: &str,
) -> rusqlite::Result<()> {
    c.execute(
        "UPDATE channels SET last_state = ?2, last_ms = ?3, last_detail = ?4 WHERE id = ?1",
        (id, if sent { "sent" } else { "failed" }, now, detail),
    )?;
    Ok(())
}

/// Opens a channel's secret, for `incident::notify`.
impl Secrets for Vault {
    fn open_channel(
        &self,
        channel: ChannelId,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<String, String> {
        let sealed = Sealed {
            key_id: key_id.to_owned(),
            bytes: sealed.to_vec(),
        };
        let plain = self.unseal(place(channel), &sealed).map_err(|error| {
            format!("the channel's secret does not open ({error}): enter it again")
        })?;
        String::from_utf8(plain.to_vec()).map_err(|_| "the channel's secret is not text".to_owned())
    }
}

/// A channel with its sealed secret, as the outbox reads it, for a test delivery.
///
/// # Errors
/// SQLite's.
pub fn deliverable(
    c: &Connection,
    scope: &Scope,
    id: ChannelId,
) -> rusqlite::Result<Option<notify::Channel>> {
    c.prepare_cached(
        "SELECT id, name, kind, settings, key_id, sealed FROM channels WHERE id = ?1 AND (?2 IS NULL OR customer_id = ?2)",
    )?
    .query_row((id, scope.customer()), |row| {
        Ok(notify::Channel {
            id: row.get(0)?,
            name: row.get(1)?,
            kind: row.get(2)?,
            settings: row.get(3)?,
            key_id: row.get(4)?,
            sealed: row.get(5)?,
        })
    })
    .optional()
}

fn put_secret(
    c: &Connection,
    vault: &Vault,
    id: ChannelId,
    secret: &SecretChange,
) -> rusqlite::Result<()> {
    let sealed = match secret {
        SecretChange::Keep => return Ok(()),
        SecretChange::Clear => None,
        SecretChange::Set(plain) => Some(vault.seal(place(id), plain.as_bytes())),
    };
    let (key_id, bytes) = sealed.map(|s| (s.key_id, s.bytes)).unzip();
    c.execute(
        "UPDATE channels SET key_id = ?2, sealed = ?3 WHERE id = ?1",
        (id, key_id, bytes),
    )?;
    Ok(())
}

fn check_customer(
    c: &Connection,
    scope: &Scope,
    customer: Option<CustomerId>,
) -> rusqlite::Result<Outcome<()>> {
    match customer {
        None if scope.customer().is_some() => Ok(Err(Refused::Forbidden(
            "this account is narrowed to one customer",
        ))),
        None => Ok(Ok(())),
        Some(customer) => {
            found!(customers::get(c, scope, customer)?);
            Ok(Ok(()))
        }
    }
}

fn act<'a>(
    action: &'static str,
    id: &'a ChannelId,
    customer: Option<CustomerId>,
    detail: serde_json::Value,
) -> audit::Act<'a> {
    audit::Act {
        action,
        object_kind: "channel",
        object_id: id,
        customer,
        detail,
    }
}
