//! Customers: who pays.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::CustomerId;
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::json;

use super::value::Time;
use super::{Outcome, Refused, audit, found};
use crate::scope::Scope;

/// One customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// Unique, whatever the case.
    pub name: String,
    /// For people.
    pub note: String,
    /// When it was made.
    pub created_at: Time,
}

const COLUMNS: &str = "SELECT id, name, note, created_ms FROM customers";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Customer> {
    Ok(Customer {
        id: row.get(0)?,
        name: row.get(1)?,
        note: row.get(2)?,
        created_at: row.get(3)?,
    })
}

/// All that `scope` sees, by name.
///
/// # Errors
/// SQLite's.
pub fn list(c: &Connection, scope: &Scope) -> rusqlite::Result<Vec<Customer>> {
    c.prepare_cached(&format!(
        "{COLUMNS} WHERE ?1 IS NULL OR id = ?1 ORDER BY name"
    ))?
    .query_map([scope.customer()], read)?
    .collect()
}

/// One, when `scope` sees it.
///
/// # Errors
/// SQLite's.
pub fn get(c: &Connection, scope: &Scope, id: CustomerId) -> rusqlite::Result<Option<Customer>> {
    if !scope.sees(id) {
        return Ok(None);
    }
    c.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?
        .query_row([id], read)
        .optional()
}

/// Makes one.
///
/// # Errors
/// SQLite's; a name that is taken is a constraint violation.
pub fn create(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    name: &str,
    note: &str,
) -> rusqlite::Result<Outcome<CustomerId>> {
    if scope.customer().is_some() {
        return Ok(Err(Refused::Forbidden(
            "this account is narrowed to one customer",
        )));
    }
    let id = CustomerId::generate();
    audit::write(
        c,
        scope,
        now,
        &act("customer.create", &id, json!({ "name": name })),
    )?;
    c.execute(
        "INSERT INTO customers (id, name, note, created_ms) VALUES (?1, ?2, ?3, ?4)",
        (id, name, note, now),
    )?;
    Ok(Ok(id))
}

/// Renames one or changes its note.
///
/// # Errors
/// SQLite's; a name that is taken is a constraint violation.
pub fn update(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: CustomerId,
    name: Option<&str>,
    note: Option<&str>,
) -> rusqlite::Result<Outcome<()>> {
    found!(get(c, scope, id)?);
    audit::write(
        c,
        scope,
        now,
        &act(
            "customer.update",
            &id,
            json!({ "name": name, "note": note }),
        ),
    )?;
    c.execute(
        "UPDATE customers SET name = coalesce(?2, name), note = coalesce(?3, note) WHERE id = ?1",
        (id, name, note),
    )?;
    if name.is_some() {
        c.execute(
            "UPDATE site_configs SET revision = revision + 1 WHERE customer_id = ?1",
            [id],
        )?;
    }
    Ok(Ok(()))
}

/// Deletes one with everything it has, when `confirm_name` is its name.
///
/// # Errors
/// SQLite's.
pub fn delete(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: CustomerId,
    confirm_name: &str,
) -> rusqlite::Result<Outcome<Vec<farwatch_shared::id::ProbeId>>> {
    let customer = found!(get(c, scope, id)?);
    if scope.customer().is_some() {
        return Ok(Err(Refused::Forbidden(
            "this account is narrowed to one customer",
        )));
    }
    if customer.name != confirm_name {
        return Ok(Err(Refused::Invalid {
            field: "confirm_name",
            detail: "write the customer's name exactly as it stands".to_owned(),
        }));
    }
    let probes = c
        .prepare("SELECT id FROM probes WHERE customer_id = ?1")?
        .query_map([id], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    audit::write(
        c,
        scope,
        now,
        &act("customer.delete", &id, json!({ "name": customer.name })),
    )?;
    c.execute("DELETE FROM customers WHERE id = ?1", [id])?;
    Ok(Ok(probes))
}

fn act<'a>(action: &'static str, id: &'a CustomerId, detail: serde_json::Value) -> audit::Act<'a> {
    audit::Act {
        action,
        object_kind: "customer",
        object_id: id,
        customer: Some(*id),
        detail,
    }
}
