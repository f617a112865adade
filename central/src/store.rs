//! `central.db`: one file per noun, customer first in every query.
//!
//! Reads run on a few read-only connections, writes through the file's one writer. Every function takes a scope
//! ([`crate::scope`]), and rows of another customer do not exist for it.

pub mod addresses;
pub mod audit;
pub mod channels;
pub mod credentials;
pub mod customers;
pub mod devices;
pub mod events;
pub mod filter;
pub mod inbound;
pub mod incidents;
pub mod interfaces;
pub mod overview;
pub mod page;
pub mod presence;
pub mod probes;
pub mod readings;
pub mod rescue;
pub mod reserve;
pub mod sessions;
pub mod site_config;
pub mod sites;
pub mod strips;
pub mod tokens;
pub mod users;
pub mod value;

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::DeploymentId;
use farwatch_shared::sqlite::{self, Schema, SqliteError, Writer};
use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::Semaphore;

/// What `central.db` looks like.
pub const SCHEMA: Schema = Schema {
    application_id: 0x4657_0001,
    migrations: &[
        include_str!("store/migrations/0001_first_light.sql"),
        include_str!("store/migrations/0002_ledger.sql"),
        include_str!("store/migrations/0003_lists.sql"),
        include_str!("store/migrations/0004_undecoded.sql"),
        include_str!("store/migrations/0005_readings.sql"),
    ],
};

/// Reads at one time; more wait. SQLite reads are a few hundred microseconds, so few are enough.
const READERS: usize = 4;

/// The handle to `central.db`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Writer,
    readers: Arc<Readers>,
    path: PathBuf,
}

/// What a job answers, its type put aside: handlers have a hundred of them.
type Answer = Box<dyn Any + Send>;
type Job = Box<dyn FnOnce(&Connection) -> rusqlite::Result<Answer> + Send>;

fn own<T: 'static>(answer: Answer) -> T {
    *answer
        .downcast()
        .expect("the answer has the type of the job that made it")
}

#[derive(Debug)]
struct Readers {
    free: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Store {
    /// Opens (or makes) `central.db` in `data_dir`. A damaged one is set aside, and what can still be read of it is
    /// carried over ([`rescue`]).
    ///
    /// # Errors
    /// [`SqliteError`]: from the future, foreign, or not readable.
    pub fn open(data_dir: &Path, now: Timestamp) -> Result<Self, SqliteError> {
        let path = Self::path_in(data_dir);
        let connection = rescue::open(data_dir, &path, now)?;
        connection
            .execute(
                "INSERT INTO deployment (one, id, created_ms) VALUES (1, ?1, ?2) ON CONFLICT DO NOTHING",
                (DeploymentId::generate(), now),
            )
            .map_err(|source| SqliteError::Sqlite {
                path: path.clone(),
                source,
            })?;
        let free = (0..READERS)
            .map(|_| sqlite::open_reader(&path))
            .collect::<Result<Vec<_>, _>>()?;
        let writer = Writer::start(connection, &path, "central.db").map_err(|error| {
            SqliteError::Sqlite {
                path: path.clone(),
                source: rusqlite::Error::ToSqlConversionFailure(Box::new(error)),
            }
        })?;
        Ok(Self {
            writer,
            readers: Arc::new(Readers {
                free: Mutex::new(free),
                permits: Semaphore::new(READERS),
            }),
            path,
        })
    }

    /// The one writer of this file, for those who commit much (ingest).
    #[must_use]
    pub const fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Where the file of a data directory is.
    #[must_use]
    pub fn path_in(data_dir: &Path) -> PathBuf {
        data_dir.join("central.db")
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `query` on a read-only connection, off the async threads, in one read transaction.
    ///
    /// # Errors
    /// [`SqliteError::Sqlite`] with the query's error; [`SqliteError::Stopped`] when it panicked.
    pub async fn read<T, F>(&self, query: F) -> Result<T, SqliteError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let query: Job = Box::new(move |c| Ok(Box::new(query(c)?)));
        self.read_any(query).await.map(own)
    }

    /// As [`Self::read`], compiled once and not once per query.
    async fn read_any(&self, query: Job) -> Result<Answer, SqliteError> {
        let readers = self.readers.clone();
        let _permit = readers
            .permits
            .acquire()
            .await
            .map_err(|_| SqliteError::Stopped)?;
        let readers = self.readers.clone();
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || {
            let spare = readers.free.lock().ok().and_then(|mut free| free.pop());
            let connection = match spare {
                Some(connection) => connection,
                None => sqlite::open_reader(&path)?,
            };
            let answer = connection
                .execute_batch("BEGIN")
                .and_then(|()| query(&connection));
            let ended = connection.execute_batch("COMMIT");
            if ended.is_ok()
                && let Ok(mut free) = readers.free.lock()
            {
                free.push(connection);
            }
            answer.map_err(|source| SqliteError::Sqlite { path, source })
        })
        .await
        .map_err(|_| SqliteError::Stopped)?
        .map_err(|error| self.writer.saw(error))
    }

    /// Runs `job` in a group commit; the answer comes once it is on disk.
    ///
    /// # Errors
    /// [`SqliteError`]: nothing of this job was kept.
    pub async fn write<T, F>(&self, job: F) -> Result<T, SqliteError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let job: Job = Box::new(move |c| Ok(Box::new(job(c)?)));
        self.write_any(job).await.map(own)
    }

    async fn write_any(&self, job: Job) -> Result<Answer, SqliteError> {
        let done = self.writer.write(job).await;
        if let Err(error) = &done
            && error.is_full()
            && let Some(data_dir) = self.path.parent()
            && reserve::release(data_dir)
        {
            tracing::error!(
                "the disk is full: the reserve was let go, so that a person can still sign in and make room"
            );
        }
        done
    }
}

/// This installation's id, as it stands in certificates.
///
/// # Errors
/// SQLite's.
pub fn deployment(c: &Connection) -> rusqlite::Result<DeploymentId> {
    c.query_row("SELECT id FROM deployment", [], |row| row.get(0))
}

/// Whether any user exists: set-up is over for good.
///
/// # Errors
/// SQLite's.
pub fn is_set_up(c: &Connection) -> rusqlite::Result<bool> {
    Ok(c.query_row("SELECT 1 FROM users LIMIT 1", [], |_| Ok(()))
        .optional()?
        .is_some())
}

/// JSON text of a column; what cannot be read is as if it were not there (an older version wrote it).
pub(crate) fn json<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// JSON text for a column.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// Why a write did not happen, for whoever asked for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It does not exist, or not for this scope.
    #[error("not found")]
    NotFound,
    /// This scope sees it, and may not do that to it.
    #[error("{0}")]
    Forbidden(&'static str),
    /// It is not as the caller thinks.
    #[error("{0}")]
    Conflict(String),
    /// A field cannot be that.
    #[error("{field}: {detail}")]
    Invalid {
        /// Which field of the body.
        field: &'static str,
        /// What to do about it.
        detail: String,
    },
}

/// What a write job says: done, or refused without an error of SQLite.
pub type Outcome<T> = Result<T, Refused>;

/// Returns from the job when the row is not there for this scope.
macro_rules! found {
    ($row:expr) => {
        match $row {
            Some(row) => row,
            None => return Ok(Err($crate::store::Refused::NotFound)),
        }
    };
}
pub(crate) use found;
