//! Join tokens: made here, redeemed by `enroll`. Only the secret's hash is kept.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, ProbeId, SiteId, TokenId};
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::value::{Id, Time, count, words};
use super::{Outcome, Refused, audit, found, sites};
use crate::scope::Scope;

words! {
    /// What has become of a join token.
    pub enum JoinTokenState {
        /// It can be used.
        Open => "open",
        /// A probe has joined with it.
        Used => "used",
        /// Too late.
        Expired => "expired",
        /// Withdrawn.
        Void => "void",
    }
}

/// A join token, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JoinToken {
    /// Its public name.
    pub id: Id,
    /// The site that its probe will stand at.
    pub site_id: Id,
    /// The name that its probe will have.
    #[schema(required)]
    pub probe_name: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// By whom.
    pub created_by: String,
    /// Until when it can be used.
    pub expires_at: Time,
    /// What has become of it.
    pub state: JoinTokenState,
    /// The probe that joined.
    #[schema(required)]
    pub probe_id: Option<Id>,
    /// When it joined.
    #[schema(required)]
    pub used_at: Option<Time>,
    /// Why the last attempt with it failed.
    #[schema(required)]
    pub last_failure: Option<String>,
}

const COLUMNS: &str = "SELECT id, site_id, probe_name, created_ms, created_by, expires_ms, used_ms, probe_id, void, last_failure
    FROM join_tokens";

fn read(row: &rusqlite::Row<'_>, now: Timestamp) -> rusqlite::Result<JoinToken> {
    let expires_at: Time = row.get(5)?;
    let used_at: Option<Time> = row.get(6)?;
    let void: bool = row.get(8)?;
    let state = match (used_at, void) {
        (Some(_), _) => JoinTokenState::Used,
        (None, true) => JoinTokenState::Void,
        (None, false) if expires_at.0 <= now => JoinTokenState::Expired,
        (None, false) => JoinTokenState::Open,
    };
    Ok(JoinToken {
        id: row.get(0)?,
        site_id: row.get(1)?,
        probe_name: row.get(2)?,
        created_at: row.get(3)?,
        created_by: row.get(4)?,
        expires_at,
        state,
        probe_id: row.get(7)?,
        used_at,
        last_failure: row.get(9)?,
    })
}

/// Keeps a new token's hash, bound to `site` and its customer.
///
/// # Errors
/// SQLite's.
pub fn create(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    site: SiteId,
    secret_hash: [u8; 32],
    probe_name: Option<&str>,
    expires: Timestamp,
) -> rusqlite::Result<Outcome<TokenId>> {
    let site = found!(sites::get(c, scope, site)?);
    let id = TokenId::generate();
    let detail =
        json!({ "site_id": site.id, "probe_name": probe_name, "expires_at": expires.to_string() });
    audit::write(
        c,
        scope,
        now,
        &act("join-token.create", &id, site.customer_id, detail),
    )?;
    c.execute(
        "INSERT INTO join_tokens (id, customer_id, site_id, secret_hash, probe_name, created_ms, created_by, expires_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        (
            id,
            site.customer_id,
            site.id,
            secret_hash,
            probe_name,
            now,
            scope.who(),
            expires,
        ),
    )?;
    Ok(Ok(id))
}

/// All that `scope` sees, newest first.
///
/// # Errors
/// SQLite's.
pub fn list(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    site: Option<SiteId>,
) -> rusqlite::Result<Vec<JoinToken>> {
    c.prepare_cached(&format!(
        "{COLUMNS} WHERE (?1 IS NULL OR customer_id = ?1) AND (?2 IS NULL OR site_id = ?2) ORDER BY id DESC"
    ))?
    .query_map((scope.customer(), site), |row| read(row, now))?
    .collect()
}

/// One, when `scope` sees it.
///
/// # Errors
/// SQLite's.
pub fn get(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: TokenId,
) -> rusqlite::Result<Option<JoinToken>> {
    c.prepare_cached(&format!(
        "{COLUMNS} WHERE id = ?1 AND (?2 IS NULL OR customer_id = ?2)"
    ))?
    .query_row((id, scope.customer()), |row| read(row, now))
    .optional()
}

/// Withdraws one that is not used yet.
///
/// # Errors
/// SQLite's.
pub fn void(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: TokenId,
) -> rusqlite::Result<Outcome<()>> {
    let token = found!(get(c, scope, now, id)?);
    if token.state == JoinTokenState::Used {
        return Ok(Err(Refused::Conflict(
            "this token is used: revoke the probe instead".to_owned(),
        )));
    }
    let site = found!(sites::get(c, scope, token.site_id.into())?);
    audit::write(
        c,
        scope,
        now,
        &act("join-token.void", &id, site.customer_id, json!({})),
    )?;
    c.execute("UPDATE join_tokens SET void = 1 WHERE id = ?1", [id])?;
    Ok(Ok(()))
}

/// What the wizard watches: how far the probe of a token has come.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct JoinProgress {
    /// When it first connected.
    #[schema(required)]
    pub connected_at: Option<Time>,
    /// Devices it has found.
    pub devices: u64,
    /// When the first value was committed.
    #[schema(required)]
    pub first_value_at: Option<Time>,
    /// Why the last attempt failed.
    #[schema(required)]
    pub last_failure: Option<String>,
}

/// How far the probe of `token` has come.
///
/// # Errors
/// SQLite's.
pub fn progress(c: &Connection, token: &JoinToken) -> rusqlite::Result<JoinProgress> {
    let mut progress = JoinProgress {
        last_failure: token.last_failure.clone(),
        ..JoinProgress::default()
    };
    let Some(probe) = token.probe_id else {
        return Ok(progress);
    };
    let probe = ProbeId::from(probe);
    let row: Option<(Option<Timestamp>, Timestamp)> = c
        .query_row(
            "SELECT coalesce(connected_ms, last_heard_ms), newest_ms FROM probes WHERE id = ?1",
            [probe],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    if let Some((connected, newest)) = row {
        progress.connected_at = connected.map(Time);
        progress.first_value_at = Time::unless_zero(newest);
    }
    progress.devices = c.query_row(
        "SELECT count(*) FROM device_numbers n JOIN devices d ON d.id = n.device_id
         WHERE n.probe_id = ?1 AND d.forgotten_ms IS NULL",
        [probe],
        |row| count(row, 0),
    )?;
    Ok(progress)
}

fn act<'a>(
    action: &'static str,
    id: &'a TokenId,
    customer: CustomerId,
    detail: serde_json::Value,
) -> audit::Act<'a> {
    audit::Act {
        action,
        object_kind: "join-token",
        object_id: id,
        customer: Some(customer),
        detail,
    }
}
