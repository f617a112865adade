//! Small things that other parts keep in the spool's file: inventory, last readings, schedule.
//!
//! They move with a batch or not at all. To be called inside the `extra` of `Spool::commit`, or `Spool::writing`.

use rusqlite::{Connection, OptionalExtension as _, params};

/// Stores one thing, in place of the one before.
///
/// # Errors
/// SQLite's own.
pub fn put(c: &Connection, kind: &str, key: i64, value: &[u8]) -> rusqlite::Result<()> {
    c.prepare_cached(
        "INSERT INTO kept (kind, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute(params![kind, key, value])?;
    Ok(())
}

/// One thing.
///
/// # Errors
/// SQLite's own.
pub fn get(c: &Connection, kind: &str, key: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    c.prepare_cached("SELECT value FROM kept WHERE kind = ?1 AND key = ?2")?
        .query_row(params![kind, key], |row| row.get(0))
        .optional()
}

/// Everything of one kind, by key.
///
/// # Errors
/// SQLite's own.
pub fn all(c: &Connection, kind: &str) -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
    c.prepare_cached("SELECT key, value FROM kept WHERE kind = ?1 ORDER BY key")?
        .query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Gives everything of one kind by key, one after the other, until `take` has enough.
///
/// # Errors
/// SQLite's own.
pub fn each(
    c: &Connection,
    kind: &str,
    mut take: impl FnMut(&[u8]) -> bool,
) -> rusqlite::Result<()> {
    let mut statement = c.prepare_cached("SELECT value FROM kept WHERE kind = ?1 ORDER BY key")?;
    let mut rows = statement.query([kind])?;
    while let Some(row) = rows.next()? {
        if !take(row.get_ref(0)?.as_blob()?) {
            break;
        }
    }
    Ok(())
}

/// Forgets one thing.
///
/// # Errors
/// SQLite's own.
pub fn remove(c: &Connection, kind: &str, key: i64) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM kept WHERE kind = ?1 AND key = ?2")?
        .execute(params![kind, key])?;
    Ok(())
}

/// Forgets everything of one kind.
///
/// # Errors
/// SQLite's own.
pub fn clear(c: &Connection, kind: &str) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM kept WHERE kind = ?1")?
        .execute([kind])?;
    Ok(())
}
