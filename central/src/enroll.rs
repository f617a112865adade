//! Who may be a probe: the CA, redeeming join tokens, renewing certificates, revoking.
//!
//! - [`ca`] the CA's key and certificate, and what it signs
//! - [`csr`] the one thing taken from a request: its key
//! - [`limit`] how often somebody may ask
//! - [`redeem`] a token becomes a probe
//! - [`renew`] the same key gets a new certificate
//! - [`revocations`] who was revoked, outside every backup

pub mod ca;
pub mod csr;
pub mod limit;
pub mod redeem;
pub mod renew;
pub mod revocations;

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::error::Chain;
use farwatch_shared::id::{CustomerId, DeploymentId, ProbeId};
use farwatch_shared::link::accept::Authority;
use farwatch_shared::link::token::LONGEST_MS;
use farwatch_shared::link::{Enrolled, JoinToken, RenewingKey};
use farwatch_shared::sqlite::{self, SqliteError, Writer};
use farwatch_shared::wire::message::enroll::{CertificateAnswer, JoinRequest, RenewRequest};
use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::watch;

pub use ca::{Ca, CaError};
pub use limit::Limiter;
pub use revocations::Revocations;

use crate::control::Registry;
use redeem::Remembered;

/// The usual life of a probe's certificate; it is renewed at half of it.
pub const LEAF_MS: i64 = 72 * 3_600 * 1_000;

/// Joins and renewals that failed, per address and minute, before the address has to wait.
const FAILURES_PER_MINUTE: f64 = 20.0;
/// Certificates per probe and minute.
const RENEWALS_PER_MINUTE: f64 = 6.0;

/// Why enrolment could not start or act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrollError {
    /// The CA's files.
    #[error("the CA")]
    Ca(#[from] CaError),
    /// The list of revocations.
    #[error("revocations.log")]
    Revocations(#[source] std::io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] SqliteError),
    /// No such probe.
    #[error("there is no such probe")]
    NoSuchProbe,
    /// Nobody could join.
    #[error(
        "no address is configured at which probes reach this Central: one to eight of `host:port` are needed"
    )]
    Addresses,
}

/// A token for the console to show, once.
pub struct NewToken {
    /// What is pasted. Kept nowhere.
    pub text: String,
    /// What `join_tokens.secret_hash` keeps.
    pub secret_hash: [u8; 32],
    /// What `join_tokens.expires_ms` keeps.
    pub expires: Timestamp,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The handle to enrolment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Enroll(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ca: Arc<Ca>,
    clock: Clock,
    writer: Writer,
    reader: Mutex<Connection>,
    revocations: Arc<Revocations>,
    registry: Registry,
    /// Where probes reach this Central, best first; at least one.
    addresses: watch::Sender<Vec<String>>,
    failures: Limiter<IpAddr>,
    renewals: Limiter<ProbeId>,
    remembered: Remembered,
}

impl Enroll {
    /// Opens the CA and the revocations in `data_dir` (making them at the first start), and makes the rows of
    /// `central.db` agree with the revocations: after a restore from a backup a revoked probe stays revoked.
    ///
    /// # Errors
    /// [`EnrollError`]: a key file that others may read, an unreadable list, no address, the database.
    pub async fn open(
        data_dir: &Path,
        central_db: &Path,
        writer: Writer,
        registry: Registry,
        addresses: Vec<String>,
        clock: Clock,
    ) -> Result<Self, EnrollError> {
        check_addresses(&addresses)?;
        let reader = sqlite::open_reader(central_db)?;
        let deployment: DeploymentId = reader
            .query_row("SELECT id FROM deployment", [], |row| row.get(0))
            .map_err(|source| SqliteError::Sqlite {
                path: central_db.to_owned(),
                source,
            })?;
        let ca = Arc::new(Ca::open(&data_dir.join("ca"), deployment)?);
        let revocations = Arc::new(
            Revocations::open(&data_dir.join("revocations.log"))
                .map_err(EnrollError::Revocations)?,
        );
        let this = Self(Arc::new(Inner {
            ca,
            clock,
            writer,
            reader: Mutex::new(reader),
            revocations,
            registry,
            addresses: watch::Sender::new(addresses),
            failures: Limiter::per_minute(FAILURES_PER_MINUTE),
            renewals: Limiter::per_minute(RENEWALS_PER_MINUTE),
            remembered: Remembered::default(),
        }));
        let (revocations, now) = (this.0.revocations.clone(), this.0.clock.now());
        let addresses = this.addresses();
        this.0
            .writer
            .write(move |c| {
                tell_addresses(c, &addresses)?;
                renew::agree_with(c, &revocations, now)
            })
            .await?
            .map_err(EnrollError::Revocations)?;
        Ok(this)
    }

    /// The CA.
    #[must_use]
    pub fn ca(&self) -> &Arc<Ca> {
        &self.0.ca
    }

    /// What the link's door needs to know.
    #[must_use]
    pub fn authority(&self) -> Authority {
        self.0.ca.authority()
    }

    /// Where probes reach this Central.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.0.addresses.borrow().clone()
    }

    /// Changes where probes are told to reach this Central; returns the revision of the list, for the notice that tells
    /// them.
    ///
    /// # Errors
    /// [`EnrollError::Addresses`], or the database.
    pub async fn set_addresses(&self, addresses: Vec<String>) -> Result<u64, EnrollError> {
        check_addresses(&addresses)?;
        let told = addresses.clone();
        let revision = self
            .0
            .writer
            .write(move |c| tell_addresses(c, &told))
            .await?;
        self.0.addresses.send_replace(addresses);
        Ok(revision)
    }

    /// Makes a token; the caller keeps its hash in `join_tokens`, bound to customer and site, and shows its text once.
    /// `valid_ms` is cut to one hour.
    #[must_use]
    pub fn new_token(&self, valid_ms: i64) -> NewToken {
        let valid_ms = valid_ms.clamp(1_000, LONGEST_MS);
        let expires = Timestamp::from_secs(self.0.clock.now().plus_ms(valid_ms).secs());
        let token = JoinToken {
            addresses: self.addresses(),
            ca_key_hash: self.0.ca.key_hash(),
            secret: rand::random(),
            expires,
        };
        NewToken {
            text: token.encode(),
            secret_hash: token.secret_hash(),
            expires,
        }
    }

    /// The row of a probe as each handshake reads it. Blocks for the time of one look-up.
    #[must_use]
    pub fn look_up(&self, probe: ProbeId) -> Option<Enrolled> {
        let reader = self.0.reader.lock().ok()?;
        let row = reader
            .prepare_cached(
                "SELECT customer_id, site_id, key_hash, revoked_ms IS NOT NULL FROM probes WHERE id = ?1",
            )
            .and_then(|mut query| {
                query
                    .query_row([probe], |row| {
                        Ok(Enrolled {
                            customer: row.get(0)?,
                            site: row.get(1)?,
                            key_hash: row.get(2)?,
                            revoked: row.get(3)?,
                        })
                    })
                    .optional()
            });
        match row {
            Ok(row) => row.map(|row| Enrolled {
                revoked: row.revoked || self.is_revoked(probe),
                ..row
            }),
            Err(error) => {
                tracing::error!(probe.id = %probe, error = %Chain(&error), "the row of a probe cannot be read; it is refused");
                None
            }
        }
    }

    /// Whether the list outside the backup names this probe. For whoever registered a session after [`Self::look_up`].
    #[must_use]
    pub fn is_revoked(&self, probe: ProbeId) -> bool {
        self.0.revocations.contains(probe)
    }

    /// Redeems a join token: at most one probe for each, however many ask at once.
    pub async fn join(&self, request: JoinRequest, from: IpAddr) -> CertificateAnswer {
        let now = self.0.clock.now();
        if !self.0.failures.is_free(&from, now) {
            return refused(
                "busy",
                "too many failed attempts from this address: wait a minute",
            );
        }
        let answer = redeem::join(&self.0, request, from, now).await;
        if !answer.refused.is_empty() {
            self.0.failures.take(&from, now);
            tracing::warn!(peer.address = %from, reason = answer.reason, "a join from {from} was refused");
        }
        answer
    }

    /// Gives the key of a probe a new certificate, on a session or after it expired.
    pub async fn renew(
        &self,
        key: RenewingKey,
        request: RenewRequest,
        from: IpAddr,
    ) -> CertificateAnswer {
        let now = self.0.clock.now();
        if !self.0.renewals.take(&key.name().probe, now) {
            return refused(
                "busy",
                "this probe asked for too many certificates: wait a minute",
            );
        }
        renew::renew(&self.0, key, request, from, now).await
    }

    /// Revokes a probe for good: audited, kept in the database and in the list outside the backup, and its session cut.
    /// `false` when it was revoked before.
    ///
    /// # Errors
    /// [`EnrollError`]; when the list cannot be written the row is kept all the same, and the session cut.
    pub async fn revoke(
        &self,
        probe: ProbeId,
        reason: &str,
        who: &str,
        from_address: &str,
    ) -> Result<bool, EnrollError> {
        let now = self.0.clock.now();
        let act = (reason.to_owned(), who.to_owned(), from_address.to_owned());
        let known = self
            .0
            .writer
            .write(move |c| renew::mark_revoked(c, probe, &act.0, &act.1, &act.2, now))
            .await?
            .ok_or(EnrollError::NoSuchProbe)?;
        let (revocations, words) = (self.0.revocations.clone(), reason.to_owned());
        let written =
            tokio::task::spawn_blocking(move || revocations.add(probe, &words, now)).await;
        self.0.registry.cut(probe, "this probe was revoked");
        match written {
            Ok(Ok(())) => Ok(known),
            Ok(Err(error)) => Err(EnrollError::Revocations(error)),
            Err(_) => Err(EnrollError::Store(SqliteError::Stopped)),
        }
    }

    /// After a probe has shown that this Central was restored from a backup: every unused token is void (its secret may
    /// have been used before), and the revocations are read again.
    ///
    /// # Errors
    /// [`EnrollError`].
    pub async fn after_restore(&self) -> Result<(), EnrollError> {
        self.0
            .revocations
            .reload()
            .map_err(EnrollError::Revocations)?;
        let (revocations, now) = (self.0.revocations.clone(), self.0.clock.now());
        self.0
            .writer
            .write(move |c| {
                renew::void_tokens(c, now)?;
                renew::agree_with(c, &revocations, now)
            })
            .await?
            .map_err(EnrollError::Revocations)
    }
}

fn refused(reason: &str, sentence: &str) -> CertificateAnswer {
    CertificateAnswer {
        refused: sentence.to_owned(),
        reason: reason.to_owned(),
        certificate: Vec::new(),
        ca: Vec::new(),
        probe_id: [0; 16],
        site_id: [0; 16],
        customer_id: [0; 16],
        addresses: Vec::new(),
        names: (String::new(), String::new(), String::new()),
    }
}

fn check_addresses(addresses: &[String]) -> Result<(), EnrollError> {
    let sound = |address: &String| !address.is_empty() && address.len() <= 255;
    if (1..=16).contains(&addresses.len()) && addresses.iter().all(sound) {
        Ok(())
    } else {
        Err(EnrollError::Addresses)
    }
}

/// Keeps the list; its revision moves on when it is another than before.
fn tell_addresses(c: &Connection, addresses: &[String]) -> rusqlite::Result<u64> {
    let list = serde_json::Value::from(addresses).to_string();
    c.execute(
        "UPDATE deployment SET addresses = ?1, addresses_revision = addresses_revision + 1 WHERE addresses <> ?1",
        [list],
    )?;
    let revision: i64 = c.query_row("SELECT addresses_revision FROM deployment", [], |row| {
        row.get(0)
    })?;
    Ok(revision.cast_unsigned())
}

/// One line of the audit table, written before the act in the act's own transaction.
struct Act<'a> {
    who: &'a str,
    from_address: &'a str,
    customer: Option<CustomerId>,
    action: &'a str,
    object: (&'a str, &'a dyn fmt::Display),
    detail: serde_json::Value,
}

impl Act<'_> {
    fn write(&self, c: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        c.prepare_cached(
            "INSERT INTO audit (at_ms, who, from_address, customer_id, action, object_kind, object_id, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            now,
            self.who,
            self.from_address,
            self.customer,
            self.action,
            self.object.0,
            self.object.1.to_string(),
            self.detail.to_string(),
        ))?;
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
