//! People: passwords, sessions, and the scope that a request acts in.
//!
//! A session is 256 random bits in a cookie; only their hash is kept. Role and customer are read with the session on
//! every request, so a change counts at once. There is no default account: the first admin is made by a one-time link.

pub mod password;
pub mod scope;
pub mod session;
pub mod throttle;

use std::sync::Arc;

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::UserId;
use farwatch_shared::sqlite::SqliteError;
use serde_json::json;
use tokio::sync::watch;

use self::password::{Hasher, HasherBusy};
use self::scope::Scope;
use self::session::{NewSession, Token};
use self::throttle::Throttle;
use crate::store::users::{Account, User};
use crate::store::{Store, audit, sessions, users};

/// Signing in, and who is signed in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Auth {
    store: Store,
    clock: Clock,
    /// Bounds how many passwords are hashed at once.
    pub hasher: Hasher,
    throttle: Arc<Throttle>,
    changed: watch::Sender<u64>,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// No such user, or another password: which one is not said.
    #[error("the user name or the password is not right")]
    Wrong,
    /// Too many attempts.
    #[error("too many attempts")]
    Throttled {
        /// Seconds to wait.
        retry_after_s: u64,
    },
    /// Too many people sign in at once.
    #[error(transparent)]
    Busy(#[from] HasherBusy),
    /// The store's own.
    #[error(transparent)]
    Store(#[from] SqliteError),
}

impl Auth {
    /// Over this store.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        Self {
            store,
            clock,
            hasher: Hasher::new(),
            throttle: Arc::new(Throttle::new()),
            changed: watch::Sender::new(0),
        }
    }

    /// Moves on whenever sessions may have ended: open event streams look again at once.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Sessions may have ended.
    pub fn note_change(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Signs a person in.
    ///
    /// # Errors
    /// [`LoginError`]; a failed attempt is in the audit table.
    pub async fn sign_in(
        &self,
        user_name: &str,
        password: String,
        from_address: &str,
    ) -> Result<(User, NewSession), LoginError> {
        let now = self.clock.now();
        self.throttle
            .ask(user_name, from_address, now)
            .map_err(|retry_after_s| LoginError::Throttled { retry_after_s })?;
        let name = user_name.to_owned();
        let account = self.store.read(move |c| users::account(c, &name)).await?;
        let hash = account
            .as_ref()
            .map(|account| account.password_hash.clone());
        let right = self.hasher.verify(hash, password).await?;
        let Some(Account { user, .. }) = account.filter(|_| right) else {
            self.throttle.failed(user_name, from_address, now);
            self.audit_failure(user_name, from_address, now).await?;
            return Err(LoginError::Wrong);
        };
        self.throttle.succeeded(user_name, from_address, now);
        let session = self
            .begin(user.id.into(), &user.user_name, from_address)
            .await?;
        Ok((user, session))
    }

    /// A session for somebody who has just proved who they are.
    ///
    /// # Errors
    /// The store's own.
    pub async fn begin(
        &self,
        user: UserId,
        user_name: &str,
        from_address: &str,
    ) -> Result<NewSession, SqliteError> {
        let session = NewSession::generate();
        let (hash, csrf) = (session.token.hash(), session.csrf_token.clone());
        let (who, from, now) = (
            user_name.to_owned(),
            from_address.to_owned(),
            self.clock.now(),
        );
        self.store
            .write(move |c| {
                let act = audit::Act {
                    action: "session.create",
                    object_kind: "user",
                    object_id: &user,
                    customer: None,
                    detail: json!({}),
                };
                audit::write_as(c, &who, &from, now, &act)?;
                sessions::create(c, now, hash, user, &csrf, &from)
            })
            .await?;
        Ok(session)
    }

    /// Slows down guessing at one-time links: one address, whatever the token. `Err` is seconds to wait.
    ///
    /// # Errors
    /// Seconds to wait.
    pub fn ask_link(&self, from_address: &str) -> Result<(), u64> {
        self.throttle.ask("", from_address, self.clock.now())
    }

    /// A one-time link that opens nothing was tried.
    pub fn link_failed(&self, from_address: &str) {
        self.throttle.failed("", from_address, self.clock.now());
    }

    /// The session of a cookie, and the scope it gives; `None` when it has ended.
    ///
    /// # Errors
    /// The store's own.
    pub async fn resolve(
        &self,
        token: &Token,
        from_address: &str,
    ) -> Result<Option<(sessions::Session, Scope)>, SqliteError> {
        let (hash, now) = (token.hash(), self.clock.now());
        let session = self
            .store
            .read(move |c| sessions::get(c, now, hash))
            .await?;
        let Some(session) = session else {
            return Ok(None);
        };
        if now.since(session.last_seen) >= sessions::TOUCH_MS {
            self.store
                .write(move |c| sessions::touch(c, now, hash))
                .await?;
        }
        let scope = Scope::of_user(
            session.user_name.clone(),
            session.user,
            session.role,
            session.customer,
            from_address.to_owned(),
        );
        Ok(Some((session, scope)))
    }

    /// Whether a session is still good, without using it.
    ///
    /// # Errors
    /// The store's own.
    pub async fn is_good(&self, hash: [u8; 32]) -> Result<bool, SqliteError> {
        let now = self.clock.now();
        let session = self
            .store
            .read(move |c| sessions::get(c, now, hash))
            .await?;
        Ok(session.is_some())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The store's own.
    pub async fn end(&self, hash: [u8; 32]) -> Result<(), SqliteError> {
        self.store.write(move |c| sessions::delete(c, hash)).await?;
        self.note_change();
        Ok(())
    }

    /// The scope of whoever can open the control socket of this machine: root, or Central's own user.
    #[must_use]
    pub fn local_root(user_name: &str) -> Scope {
        Scope::of_local_root(format!("local {user_name}"))
    }

    async fn audit_failure(
        &self,
        user_name: &str,
        from_address: &str,
        now: Timestamp,
    ) -> Result<(), SqliteError> {
        // The name is kept as typed but shortened: people type passwords into the wrong field.
        let shown: String = user_name.chars().take(3).chain("…".chars()).collect();
        let from = from_address.to_owned();
        self.store
            .write(move |c| {
                let act = audit::Act {
                    action: "session.refused",
                    object_kind: "user",
                    object_id: &shown,
                    customer: None,
                    detail: json!({}),
                };
                audit::write_as(c, "nobody", &from, now, &act)
            })
            .await
    }
}
