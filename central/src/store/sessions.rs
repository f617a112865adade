//! Login sessions: only hashes are kept, so a copy of the file signs nobody in.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, UserId};
use rusqlite::{Connection, OptionalExtension as _};

use crate::scope::Role;

/// A session ends this long after it was last used.
pub const IDLE_MS: i64 = 30 * 60 * 1_000;
/// And this long after it began, used or not.
pub const LIFETIME_MS: i64 = 12 * 60 * 60 * 1_000;
/// `last_seen_ms` is written at most this often.
pub const TOUCH_MS: i64 = 60_000;

/// A session that is good now, and whose it is.
#[derive(Clone, Debug)]
pub struct Session {
    /// SHA-256 of the cookie's value.
    pub token_hash: [u8; 32],
    /// What unsafe requests must repeat.
    pub csrf_token: String,
    /// When it was last written that it is used.
    pub last_seen: Timestamp,
    /// Whose.
    pub user: UserId,
    /// What they sign in with.
    pub user_name: String,
    /// In which role, as of now.
    pub role: Role,
    /// For which customer, as of now.
    pub customer: Option<CustomerId>,
}

/// Begins one.
///
/// # Errors
/// SQLite's.
pub fn create(
    c: &Connection,
    now: Timestamp,
    token_hash: [u8; 32],
    user: UserId,
    csrf_token: &str,
    from_address: &str,
) -> rusqlite::Result<()> {
    c.execute(
        "DELETE FROM sessions WHERE created_ms <= ?1 OR last_seen_ms <= ?2",
        (now.plus_ms(-LIFETIME_MS), now.plus_ms(-IDLE_MS)),
    )?;
    c.execute(
        "INSERT INTO sessions (token_hash, user_id, csrf_token, created_ms, last_seen_ms, from_address)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
        (token_hash, user, csrf_token, now, from_address),
    )?;
    Ok(())
}

/// The session of this cookie, unless it has ended. Role and customer are read with it: a change counts at once.
///
/// # Errors
/// SQLite's.
pub fn get(
    c: &Connection,
    now: Timestamp,
    token_hash: [u8; 32],
) -> rusqlite::Result<Option<Session>> {
    c.prepare_cached(
        "SELECT s.csrf_token, s.last_seen_ms, u.id, u.user_name, u.role, u.customer_id
         FROM sessions s JOIN users u ON u.id = s.user_id
         WHERE s.token_hash = ?1 AND s.created_ms > ?2 AND s.last_seen_ms > ?3",
    )?
    .query_row(
        (token_hash, now.plus_ms(-LIFETIME_MS), now.plus_ms(-IDLE_MS)),
        |row| {
            Ok(Session {
                token_hash,
                csrf_token: row.get(0)?,
                last_seen: row.get(1)?,
                user: row.get(2)?,
                user_name: row.get(3)?,
                role: row.get(4)?,
                customer: row.get(5)?,
            })
        },
    )
    .optional()
}

/// It is in use.
///
/// # Errors
/// SQLite's.
pub fn touch(c: &Connection, now: Timestamp, token_hash: [u8; 32]) -> rusqlite::Result<()> {
    c.execute(
        "UPDATE sessions SET last_seen_ms = max(last_seen_ms, ?2) WHERE token_hash = ?1",
        (token_hash, now),
    )?;
    Ok(())
}

/// Ends one.
///
/// # Errors
/// SQLite's.
pub fn delete(c: &Connection, token_hash: [u8; 32]) -> rusqlite::Result<()> {
    c.execute("DELETE FROM sessions WHERE token_hash = ?1", [token_hash])?;
    Ok(())
}
