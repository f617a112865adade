//! People, and the one-time tokens by which they set a password.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, UserId};
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::value::{Id, Time};
use super::{Outcome, Refused, audit, customers, found};
use crate::scope::{Role, Scope};

/// A person, as the API shows them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct User {
    /// Their id.
    pub id: Id,
    /// What they sign in with.
    pub user_name: String,
    /// What others see.
    pub display_name: String,
    /// What they may do.
    pub role: Role,
    /// The only customer that exists for them; `null` is all.
    #[schema(required)]
    pub customer_id: Option<Id>,
    /// When the account was made.
    pub created_at: Time,
    /// What the console remembers for them.
    #[schema(value_type = Object)]
    pub preferences: serde_json::Value,
}

/// What signing in needs.
#[derive(Clone, Debug)]
pub struct Account {
    /// Who.
    pub user: User,
    /// Argon2id, in the PHC form.
    pub password_hash: String,
}

/// A new person.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// What they sign in with.
    pub user_name: String,
    /// What others see.
    pub display_name: String,
    /// What they may do.
    pub role: Role,
    /// The only customer that exists for them.
    pub customer: Option<CustomerId>,
    /// Argon2id, in the PHC form.
    pub password_hash: String,
}

const COLUMNS: &str =
    "SELECT id, user_name, display_name, role, customer_id, created_ms, preferences FROM users";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<User> {
    let preferences: serde_json::Value = super::json(row.get_ref(6)?.as_str()?)?;
    Ok(User {
        id: row.get(0)?,
        user_name: row.get(1)?,
        display_name: row.get(2)?,
        role: row.get(3)?,
        customer_id: row.get(4)?,
        created_at: row.get(5)?,
        preferences: if preferences.is_object() {
            preferences
        } else {
            json!({})
        },
    })
}

/// All that `scope` sees: a narrowed admin sees the people of that customer.
///
/// # Errors
/// SQLite's.
pub fn list(c: &Connection, scope: &Scope) -> rusqlite::Result<Vec<User>> {
    c.prepare_cached(&format!(
        "{COLUMNS} WHERE ?1 IS NULL OR customer_id = ?1 ORDER BY user_name"
    ))?
    .query_map([scope.customer()], read)?
    .collect()
}

/// One person, for themselves and for the admin who sees them.
///
/// # Errors
/// SQLite's.
pub fn get(c: &Connection, scope: &Scope, id: UserId) -> rusqlite::Result<Option<User>> {
    c.prepare_cached(&format!(
        "{COLUMNS} WHERE id = ?1 AND (?2 IS NULL OR customer_id = ?2)"
    ))?
    .query_row((id, scope.customer()), read)
    .optional()
}

/// One person, for themselves, right after they proved who they are.
///
/// # Errors
/// SQLite's.
pub fn by_id(c: &Connection, id: UserId) -> rusqlite::Result<Option<User>> {
    c.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?
        .query_row([id], read)
        .optional()
}

/// Whether a one-time token opens anything now.
///
/// # Errors
/// SQLite's.
pub fn setup_token_is_open(
    c: &Connection,
    now: Timestamp,
    hash: [u8; 32],
) -> rusqlite::Result<bool> {
    let token: Option<Option<UserId>> = c
        .query_row(
            "SELECT user_id FROM setup_tokens WHERE token_hash = ?1 AND expires_ms > ?2",
            (hash, now),
            |row| row.get(0),
        )
        .optional()?;
    Ok(match token {
        None => false,
        Some(Some(_)) => true,
        Some(None) => !super::is_set_up(c)?,
    })
}

/// What signing in needs, by user name. Takes no scope: nobody is signed in yet.
///
/// # Errors
/// SQLite's.
pub fn account(c: &Connection, user_name: &str) -> rusqlite::Result<Option<Account>> {
    let found = c
        .prepare_cached(&format!("{COLUMNS} WHERE user_name = ?1"))?
        .query_row([user_name], read)
        .optional()?;
    let Some(user) = found else {
        return Ok(None);
    };
    let password_hash = c.query_row(
        "SELECT password_hash FROM users WHERE id = ?1",
        [user.id],
        |row| row.get(0),
    )?;
    Ok(Some(Account {
        user,
        password_hash,
    }))
}

/// Makes one.
///
/// # Errors
/// SQLite's; a user name that is taken is a constraint violation.
pub fn create(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    new: &NewUser,
) -> rusqlite::Result<Outcome<UserId>> {
    if scope.customer().is_some() && new.customer != scope.customer() {
        return Ok(Err(Refused::Forbidden(
            "this account is narrowed to one customer",
        )));
    }
    if let Some(customer) = new.customer
        && customers::get(c, scope, customer)?.is_none()
    {
        return Ok(Err(Refused::NotFound));
    }
    let id = UserId::generate();
    let detail =
        json!({ "user_name": new.user_name, "role": new.role, "customer_id": new.customer });
    audit::write(
        c,
        scope,
        now,
        &act("user.create", &id, new.customer, detail),
    )?;
    insert(c, now, id, new)?;
    Ok(Ok(id))
}

fn insert(c: &Connection, now: Timestamp, id: UserId, new: &NewUser) -> rusqlite::Result<()> {
    c.execute(
        "INSERT INTO users (id, user_name, display_name, role, customer_id, password_hash, created_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            id,
            &new.user_name,
            &new.display_name,
            new.role,
            new.customer,
            &new.password_hash,
            now,
        ),
    )?;
    Ok(())
}

/// Deletes one and ends their sessions. The last admin of all customers stays.
///
/// # Errors
/// SQLite's.
pub fn delete(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: UserId,
) -> rusqlite::Result<Outcome<()>> {
    let user = found!(get(c, scope, id)?);
    let others: i64 = c.query_row(
        "SELECT count(*) FROM users WHERE role = 'admin' AND customer_id IS NULL AND id <> ?1",
        [id],
        |row| row.get(0),
    )?;
    if others == 0 && user.role == Role::Admin && user.customer_id.is_none() {
        return Ok(Err(Refused::Conflict(
            "this is the last admin: make another one first".to_owned(),
        )));
    }
    let detail = json!({ "user_name": user.user_name });
    audit::write(
        c,
        scope,
        now,
        &act("user.delete", &id, user.customer_id.map(Into::into), detail),
    )?;
    c.execute("DELETE FROM users WHERE id = ?1", [id])?;
    Ok(Ok(()))
}

/// What people change of themselves.
#[derive(Clone, Debug, Default)]
pub struct OwnChange {
    /// New name for others.
    pub display_name: Option<String>,
    /// New preferences, whole.
    pub preferences: Option<serde_json::Value>,
    /// New hash; ends the other sessions.
    pub password_hash: Option<String>,
}

/// Changes the person who asks.
///
/// # Errors
/// SQLite's.
pub fn update_own(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    change: &OwnChange,
    keep_session: &[u8],
) -> rusqlite::Result<Outcome<()>> {
    let id = found!(scope.user());
    if change.display_name.is_some() || change.password_hash.is_some() {
        let detail = json!({ "display_name": change.display_name, "password": change.password_hash.is_some() });
        audit::write(
            c,
            scope,
            now,
            &act("user.update", &id, scope.customer(), detail),
        )?;
    }
    let preferences = change.preferences.as_ref().map(ToString::to_string);
    c.execute(
        "UPDATE users SET display_name = coalesce(?2, display_name), preferences = coalesce(?3, preferences),
         password_hash = coalesce(?4, password_hash) WHERE id = ?1",
        (id, &change.display_name, preferences, &change.password_hash),
    )?;
    if change.password_hash.is_some() {
        c.execute(
            "DELETE FROM sessions WHERE user_id = ?1 AND token_hash <> ?2",
            (id, keep_session),
        )?;
    }
    Ok(Ok(()))
}

/// Keeps the hash of a one-time token: for the first admin, or to reset `user_name`'s password. Older ones go.
///
/// # Errors
/// SQLite's.
pub fn put_setup_token(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    hash: [u8; 32],
    expires: Timestamp,
    user_name: Option<&str>,
) -> rusqlite::Result<Outcome<()>> {
    let user = match user_name {
        Some(name) => Some(found!(account(c, name)?).user),
        None if super::is_set_up(c)? => {
            return Ok(Err(Refused::Conflict(
                "set-up is done: an admin exists (see `user reset`)".to_owned(),
            )));
        }
        None => None,
    };
    let user_id = user.as_ref().map(|user| UserId::from(user.id));
    let object = user
        .as_ref()
        .map_or_else(|| "first admin".to_owned(), |u| u.user_name.clone());
    audit::write(
        c,
        scope,
        now,
        &audit::Act {
            action: "setup.link",
            object_kind: "user",
            object_id: &object,
            customer: None,
            detail: json!({}),
        },
    )?;
    c.execute(
        "DELETE FROM setup_tokens WHERE user_id IS ?1 OR expires_ms <= ?2",
        (user_id, now),
    )?;
    c.execute(
        "INSERT INTO setup_tokens (token_hash, expires_ms, user_id) VALUES (?1, ?2, ?3)",
        (hash, expires, user_id),
    )?;
    Ok(Ok(()))
}

/// Uses a one-time token up, and makes the first admin or sets a password; `None` when it opens nothing.
///
/// # Errors
/// SQLite's.
pub fn redeem_setup_token(
    c: &Connection,
    now: Timestamp,
    from_address: &str,
    hash: [u8; 32],
    new: &NewUser,
) -> rusqlite::Result<Outcome<UserId>> {
    let token: Option<Option<UserId>> = c
        .query_row(
            "DELETE FROM setup_tokens WHERE token_hash = ?1 AND expires_ms > ?2 RETURNING user_id",
            (hash, now),
            |row| row.get(0),
        )
        .optional()?;
    let resets = found!(token);
    let id = match resets {
        Some(user) => user,
        None if super::is_set_up(c)? => return Ok(Err(Refused::NotFound)),
        None => UserId::generate(),
    };
    audit::write_as(
        c,
        &new.user_name,
        from_address,
        now,
        &act(
            if resets.is_some() {
                "user.reset"
            } else {
                "setup.done"
            },
            &id,
            None,
            json!({ "user_name": new.user_name }),
        ),
    )?;
    if resets.is_some() {
        c.execute(
            "UPDATE users SET password_hash = ?2 WHERE id = ?1",
            (id, &new.password_hash),
        )?;
        c.execute("DELETE FROM sessions WHERE user_id = ?1", [id])?;
    } else {
        insert(c, now, id, new)?;
        c.execute("DELETE FROM setup_tokens WHERE user_id IS NULL", [])?;
    }
    Ok(Ok(id))
}

fn act<'a>(
    action: &'static str,
    id: &'a UserId,
    customer: Option<CustomerId>,
    detail: serde_json::Value,
) -> audit::Act<'a> {
    audit::Act {
        action,
        object_kind: "user",
        object_id: id,
        customer,
        detail,
    }
}
