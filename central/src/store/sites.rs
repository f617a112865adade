//! Sites: a place of a customer with a probe in it.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, ProbeId, SiteId};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::json;

use super::value::{Time, count};
use super::{Outcome, Refused, audit, customers, found, site_config};
use crate::scope::Scope;

/// One site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// Whose.
    pub customer_id: CustomerId,
    /// Name of whose.
    pub customer_name: String,
    /// Unique at its customer.
    pub name: String,
    /// IANA name of its time zone.
    pub time_zone: String,
    /// For people.
    pub note: String,
    /// When it was made.
    pub created_at: Time,
    /// Probes that are not revoked.
    pub probes: u64,
}

const COLUMNS: &str =
    "SELECT s.id, s.customer_id, u.name, s.name, s.time_zone, s.note, s.created_ms,
    (SELECT count(*) FROM probes p WHERE p.site_id = s.id AND p.revoked_ms IS NULL)
    FROM sites s JOIN customers u ON u.id = s.customer_id";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Site> {
    Ok(Site {
        id: row.get(0)?,
        customer_id: row.get(1)?,
        customer_name: row.get(2)?,
        name: row.get(3)?,
        time_zone: row.get(4)?,
        note: row.get(5)?,
        created_at: row.get(6)?,
        probes: count(row, 7)?,
    })
}

/// All that `scope` sees, of one customer or of all, by customer and name.
///
/// # Errors
/// SQLite's.
pub fn list(
    c: &Connection,
    scope: &Scope,
    customer: Option<CustomerId>,
) -> rusqlite::Result<Vec<Site>> {
    c.prepare_cached(&format!(
        "{COLUMNS} WHERE (?1 IS NULL OR s.customer_id = ?1) AND (?2 IS NULL OR s.customer_id = ?2) ORDER BY u.name, s.name"
    ))?
    .query_map((scope.customer(), customer), read)?
    .collect()
}

/// One, when `scope` sees it.
///
/// # Errors
/// SQLite's.
pub fn get(c: &Connection, scope: &Scope, id: SiteId) -> rusqlite::Result<Option<Site>> {
    c.prepare_cached(&format!(
        "{COLUMNS} WHERE s.id = ?1 AND (?2 IS NULL OR s.customer_id = ?2)"
    ))?
    .query_row((id, scope.customer()), read)
    .optional()
}

/// Makes one, with the default configuration at revision 1.
///
/// # Errors
/// SQLite's; a name that is taken is a constraint violation.
pub fn create(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    customer: CustomerId,
    name: &str,
    time_zone: &str,
    note: &str,
) -> rusqlite::Result<Outcome<SiteId>> {
    if customers::get(c, scope, customer)?.is_none() {
        return Ok(Err(Refused::NotFound));
    }
    let id = SiteId::generate();
    let detail = json!({ "name": name, "time_zone": time_zone });
    audit::write(c, scope, now, &act("site.create", &id, customer, detail))?;
    c.execute(
        "INSERT INTO sites (id, customer_id, name, time_zone, note, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (id, customer, name, time_zone, note, now),
    )?;
    site_config::create_default(c, scope, now, id, customer)?;
    Ok(Ok(id))
}

/// What of a site changes; `None` keeps it.
#[derive(Clone, Debug, Default)]
pub struct SiteChange {
    /// New name.
    pub name: Option<String>,
    /// New time zone.
    pub time_zone: Option<String>,
    /// New note.
    pub note: Option<String>,
}

/// Changes one.
///
/// # Errors
/// SQLite's; a name that is taken is a constraint violation.
pub fn update(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: SiteId,
    change: &SiteChange,
) -> rusqlite::Result<Outcome<()>> {
    let site = found!(get(c, scope, id)?);
    let detail = json!({ "name": change.name, "time_zone": change.time_zone, "note": change.note });
    audit::write(
        c,
        scope,
        now,
        &act("site.update", &id, site.customer_id, detail),
    )?;
    c.execute(
        "UPDATE sites SET name = coalesce(?2, name), time_zone = coalesce(?3, time_zone), note = coalesce(?4, note) WHERE id = ?1",
        (id, &change.name, &change.time_zone, &change.note),
    )?;
    if change.name.is_some() {
        site_config::touch(c, id)?;
    }
    Ok(Ok(()))
}

/// Deletes one with its probes and devices, when `confirm_name` is its name; returns the probes that are to be cut off.
///
/// # Errors
/// SQLite's.
pub fn delete(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: SiteId,
    confirm_name: &str,
) -> rusqlite::Result<Outcome<Vec<ProbeId>>> {
    let site = found!(get(c, scope, id)?);
    if site.name != confirm_name {
        return Ok(Err(Refused::Invalid {
            field: "confirm_name",
            detail: "write the site's name exactly as it stands".to_owned(),
        }));
    }
    let probes = c
        .prepare("SELECT id FROM probes WHERE site_id = ?1")?
        .query_map([id], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let detail = json!({ "name": site.name });
    audit::write(
        c,
        scope,
        now,
        &act("site.delete", &id, site.customer_id, detail),
    )?;
    // Incidents and events name their site without a foreign key, so that a deleted site leaves none behind.
    c.execute("DELETE FROM incidents WHERE site_id = ?1", [id])?;
    c.execute("DELETE FROM events WHERE site_id = ?1", [id])?;
    c.execute("DELETE FROM sites WHERE id = ?1", [id])?;
    Ok(Ok(probes))
}

fn act<'a>(
    action: &'static str,
    id: &'a SiteId,
    customer: CustomerId,
    detail: serde_json::Value,
) -> audit::Act<'a> {
    audit::Act {
        action,
        object_kind: "site",
        object_id: id,
        customer: Some(customer),
        detail,
    }
}
