//! The audit table: append-only, written before the act, in the act's transaction.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::CustomerId;
use rusqlite::Connection;
use serde::Serialize;
use utoipa::ToSchema;

use super::filter::Filter;
use super::page::{Page, PageQuery};
use super::value::{Id, Time, count};
use crate::scope::Scope;

/// One thing that somebody did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Its place, without holes.
    pub id: i64,
    /// When.
    pub at: Time,
    /// The user's name, `probe …`, or `local …` for the control socket.
    pub who: String,
    /// Where they sat.
    pub from_address: String,
    /// What they did: `customer.create`.
    pub action: String,
    /// To what kind of thing.
    pub object_kind: String,
    /// To which one.
    pub object_id: String,
    /// Whose it is, where it is somebody's.
    #[schema(required)]
    pub customer_id: Option<Id>,
    /// What changed; never a secret.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

/// What is about to be done.
#[derive(Clone, Debug)]
pub struct Act<'a> {
    /// `customer.create`.
    pub action: &'static str,
    /// `customer`.
    pub object_kind: &'static str,
    /// Which one.
    pub object_id: &'a dyn AsText,
    /// Whose it is.
    pub customer: Option<CustomerId>,
    /// What changes; never a secret.
    pub detail: serde_json::Value,
}

/// An object's id, whatever its type.
pub trait AsText: std::fmt::Display + std::fmt::Debug {}
impl<T: std::fmt::Display + std::fmt::Debug> AsText for T {}

/// Writes what `scope` is about to do. Call it before the act, in the same job.
///
/// # Errors
/// SQLite's: then the act must not happen, and does not, because the job ends here.
pub fn write(c: &Connection, scope: &Scope, now: Timestamp, act: &Act<'_>) -> rusqlite::Result<()> {
    write_as(c, scope.who(), scope.from_address(), now, act)
}

/// The same for someone without a scope: a failed login, a probe.
///
/// # Errors
/// SQLite's.
pub fn write_as(
    c: &Connection,
    who: &str,
    from_address: &str,
    now: Timestamp,
    act: &Act<'_>,
) -> rusqlite::Result<()> {
    c.prepare_cached(
        "INSERT INTO audit (at_ms, who, from_address, customer_id, action, object_kind, object_id, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        now,
        who,
        from_address,
        act.customer,
        act.action,
        act.object_kind,
        act.object_id.to_string(),
        act.detail.to_string(),
    ))?;
    Ok(())
}

/// The newest entries first; of one customer, or of all that `scope` sees.
///
/// # Errors
/// SQLite's.
pub fn list(
    c: &Connection,
    scope: &Scope,
    customer: Option<CustomerId>,
    query: &PageQuery,
) -> rusqlite::Result<Page<AuditEntry>> {
    let mut filter = Filter::new();
    filter
        .and_if("customer_id = ?", scope.customer())
        .and_if("customer_id = ?", customer);
    let total = c.query_row(
        &filter.sql("SELECT count(*) FROM audit", ""),
        filter.values().as_slice(),
        |row| count(row, 0),
    )?;
    filter.and_if("id < ?", query.after::<i64>());
    filter.and_plain("TRUE");
    let mut values = filter.values();
    let limit = query.limit();
    let more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    values.push(&more);
    let items = c
        .prepare_cached(&filter.sql(
            "SELECT id, at_ms, who, from_address, action, object_kind, object_id, customer_id, detail FROM audit",
            "ORDER BY id DESC LIMIT ?",
        ))?
        .query_map(values.as_slice(), |row| {
            Ok(AuditEntry {
                id: row.get(0)?,
                at: row.get(1)?,
                who: row.get(2)?,
                from_address: row.get(3)?,
                action: row.get(4)?,
                object_kind: row.get(5)?,
                object_id: row.get(6)?,
                customer_id: row.get(7)?,
                detail: super::json(row.get_ref(8)?.as_str()?)?,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Page::from_overfull(items, limit, total, |entry| entry.id))
}

/// What `audit verify` found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AuditProof {
    /// Entries there are.
    pub entries: i64,
    /// The lowest and highest number.
    pub first_id: i64,
    /// The highest number.
    pub last_id: i64,
    /// The highest number ever given (SQLite's own sequence).
    pub given: i64,
    /// Whether no number is missing from 1 to the last, and the sequence agrees.
    pub whole: bool,
}

/// Counts entries: their numbers run from 1 to the last without a hole, and the sequence knows of no more.
///
/// # Errors
/// SQLite's.
pub fn verify(c: &Connection) -> rusqlite::Result<AuditProof> {
    let (entries, first_id, last_id): (i64, i64, i64) = c.query_row(
        "SELECT count(*), coalesce(min(id), 0), coalesce(max(id), 0) FROM audit",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let given: i64 = c.query_row(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'audit'",
        [],
        |row| row.get(0),
    )?;
    let whole = entries == last_id && given == last_id && (entries == 0 || first_id == 1);
    Ok(AuditProof {
        entries,
        first_id,
        last_id,
        given,
        whole,
    })
}
