//! Probes as the console sees them. Their sessions are `ingest`'s, their certificates `enroll`'s.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, ProbeId, SiteId};
use farwatch_shared::wire::message::session::Status;
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::value::{Severity, Time, count};
use super::{Outcome, audit, found, site_config};
use crate::scope::Scope;

/// What a person should know of a probe.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProbeNotice {
    /// How bad.
    pub severity: Severity,
    /// One sentence.
    pub text: String,
    /// Since when.
    pub at: Time,
}

/// One probe, as the table knows it.
#[derive(Clone, Debug)]
pub struct ProbeRow {
    /// Its id.
    pub id: ProbeId,
    /// Whose.
    pub customer: CustomerId,
    /// Whose, by name.
    pub customer_name: String,
    /// Where.
    pub site: SiteId,
    /// Where, by name.
    pub site_name: String,
    /// Its name.
    pub name: String,
    /// When it joined.
    pub created: Time,
    /// When it was revoked.
    pub revoked: Option<Time>,
    /// The lease of its session.
    pub lease: u64,
    /// The start that it runs.
    pub epoch: farwatch_shared::model::Epoch,
    /// The program.
    pub program: String,
    /// The machine's name.
    pub host_name: String,
    /// Operating system.
    pub os: String,
    /// Where it dialled from.
    pub address: String,
    /// When the session began; `None` when there is none.
    pub connected: Option<Time>,
    /// When it was last heard.
    pub last_heard: Option<Timestamp>,
    /// When its certificate ends.
    pub not_after: Time,
    /// Newest slot or event committed.
    pub newest: Timestamp,
    /// The last status frame.
    pub status: Option<Status>,
    /// What Central noted of it.
    pub notices: Vec<ProbeNotice>,
    /// Devices that it watches.
    pub devices: u64,
}

const COLUMNS: &str = "SELECT p.id, p.customer_id, u.name, p.site_id, s.name, p.name, p.created_ms, p.revoked_ms, p.lease_confirmed,
    p.epoch, p.program, p.host_name, p.os, p.peer_address, p.connected_ms, p.last_heard_ms, p.certificate_not_after_ms,
    p.newest_ms, p.last_status, p.notices,
    (SELECT count(*) FROM device_numbers n JOIN devices d ON d.id = n.device_id WHERE n.probe_id = p.id AND d.forgotten_ms IS NULL)
    FROM probes p JOIN sites s ON s.id = p.site_id JOIN customers u ON u.id = p.customer_id";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<ProbeRow> {
    Ok(ProbeRow {
        id: row.get(0)?,
        customer: row.get(1)?,
        customer_name: row.get(2)?,
        site: row.get(3)?,
        site_name: row.get(4)?,
        name: row.get(5)?,
        created: row.get(6)?,
        revoked: row.get(7)?,
        lease: count(row, 8)?,
        epoch: row.get(9)?,
        program: row.get(10)?,
        host_name: row.get(11)?,
        os: row.get(12)?,
        address: row.get(13)?,
        connected: row.get(14)?,
        last_heard: row.get(15)?,
        not_after: row.get(16)?,
        newest: row.get(17)?,
        status: serde_json::from_str(row.get_ref(18)?.as_str()?).ok(),
        notices: super::json(row.get_ref(19)?.as_str()?)?,
        devices: count(row, 20)?,
    })
}

/// All that `scope` sees, by name.
///
/// # Errors
/// SQLite's.
pub fn list(
    c: &Connection,
    scope: &Scope,
    customer: Option<CustomerId>,
    site: Option<SiteId>,
) -> rusqlite::Result<Vec<ProbeRow>> {
    c.prepare_cached(&format!(
        "{COLUMNS} WHERE (?1 IS NULL OR p.customer_id = ?1) AND (?2 IS NULL OR p.customer_id = ?2)
         AND (?3 IS NULL OR p.site_id = ?3) ORDER BY p.name, p.id"
    ))?
    .query_map((scope.customer(), customer, site), read)?
    .collect()
}

/// One, when `scope` sees it.
///
/// # Errors
/// SQLite's.
pub fn get(c: &Connection, scope: &Scope, id: ProbeId) -> rusqlite::Result<Option<ProbeRow>> {
    c.prepare_cached(&format!(
        "{COLUMNS} WHERE p.id = ?1 AND (?2 IS NULL OR p.customer_id = ?2)"
    ))?
    .query_row((id, scope.customer()), read)
    .optional()
}

/// Renames one.
///
/// # Errors
/// SQLite's.
pub fn rename(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: ProbeId,
    name: &str,
) -> rusqlite::Result<Outcome<SiteId>> {
    let probe = found!(get(c, scope, id)?);
    let detail = json!({ "name": name });
    audit::write(
        c,
        scope,
        now,
        &act("probe.rename", &id, probe.customer, detail),
    )?;
    c.execute("UPDATE probes SET name = ?2 WHERE id = ?1", (id, name))?;
    site_config::touch(c, probe.site)?;
    Ok(Ok(probe.site))
}

fn act<'a>(
    action: &'static str,
    id: &'a ProbeId,
    customer: CustomerId,
    detail: serde_json::Value,
) -> audit::Act<'a> {
    audit::Act {
        action,
        object_kind: "probe",
        object_id: id,
        customer: Some(customer),
        detail,
    }
}
