//! SQLite as both programs use it: pragmas, version floor, migrations, one writer thread per file.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub mod rescue;

mod pulse;

use pulse::Pulse;
pub use pulse::WriterFigures;

/// The oldest SQLite without the WAL-reset race (sqlite.org/wal.html#walresetbug).
pub const VERSION_FLOOR: i32 = 3_051_003;
/// `PRAGMA user_version` counts migrations; `PRAGMA application_id` tells whose file it is.
const PAGE_SIZE: u32 = 16_384;
/// The write-ahead log is truncated when it has grown beyond this.
const WAL_TRUNCATE_BYTES: u64 = 64 * 1024 * 1024;
/// Jobs that may wait for the writer; beyond it callers wait, which is what holds a flood back.
const WRITER_QUEUE: usize = 1_024;
/// Jobs that share one transaction at the most.
const GROUP_LIMIT: usize = 512;

/// Why a file could not be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// The library is older than [`VERSION_FLOOR`].
    #[error(
        "SQLite {found} is linked; 3.51.3 or newer is needed (older ones can lose committed data)"
    )]
    TooOld {
        /// What is linked.
        found: &'static str,
    },
    /// The file was made by a newer version of this program.
    #[error(
        "{path} has schema {found}, this program knows {known}: start the newer version again, or restore the backup made before it"
    )]
    FromTheFuture {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Another program's file.
    #[error("{path} is not a file of this program")]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// SQLite says no.
    #[error("{path}: SQLite")]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The writer has ended.
    #[error("the writer has stopped")]
    Stopped,
}

impl SqliteError {
    /// Whether the file itself is damaged and has to be set aside.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        // Too big: a length that nothing of ours has, read where something else lies.
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, TooBig};
        match self {
            Self::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(DatabaseCorrupt | NotADatabase | TooBig)
            ),
            Self::Foreign { .. } => true,
            _ => false,
        }
    }

    /// Of a file that was just opened, that its schema fits and that this program alone writes: what is not there, or
    /// cannot have been written, is damage like any other.
    #[must_use]
    pub fn at_start(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::Unknown;
        let missing = matches!(source, rusqlite::Error::QueryReturnedNoRows)
            || source.sqlite_error_code() == Some(Unknown);
        if missing || is_misread(&source) {
            damage(path, source.to_string())
        } else {
            Self::Sqlite {
                path: path.to_owned(),
                source,
            }
        }
    }

    /// Whether a value was read that cannot have been written: pages that hang together may be another table's.
    #[must_use]
    pub const fn is_misread(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. } if is_misread(source))
    }

    /// Whether there was no room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => is_full(source),
            _ => false,
        }
    }
}

const fn is_misread(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
    };
    matches!(
        error,
        FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | Utf8Error(..)
    )
}

fn damage(path: &Path, found: String) -> SqliteError {
    SqliteError::Sqlite {
        path: path.to_owned(),
        source: rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error {
                code: rusqlite::ErrorCode::DatabaseCorrupt,
                extended_code: rusqlite::ffi::SQLITE_CORRUPT,
            },
            Some(found),
        ),
    }
}

/// Whether an error of SQLite says that there was no room on the disk.
#[must_use]
pub fn is_full(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DiskFull, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(DiskFull | SystemIoFailure))
}

/// What a file must look like: its id and its migrations, in order, never edited once released.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// `PRAGMA application_id`.
    pub application_id: i32,
    /// SQL, one per step; the file's `user_version` counts those done.
    pub migrations: &'static [&'static str],
}

/// Opens (or makes) a file for its one writer: WAL, `synchronous=FULL`, own checkpoints, migrated.
///
/// # Errors
/// [`SqliteError`]; the file is as it was, or every migration up to some step is whole.
pub fn open(path: &Path, schema: &Schema) -> Result<Connection, SqliteError> {
    check_version()?;
    let at = |source| SqliteError::Sqlite {
        path: path.to_owned(),
        source,
    };
    make_private(path);
    let mut connection = connect(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )
    .map_err(at)?;
    connection
        .pragma_update(None, "page_size", PAGE_SIZE)
        .map_err(at)?;
    connection
        .pragma_update(None, "auto_vacuum", "INCREMENTAL")
        .map_err(at)?;
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .map_err(at)?;
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(at)?;
    connection
        .pragma_update(None, "wal_autocheckpoint", 0)
        .map_err(at)?;
    connection
        .pragma_update(None, "journal_size_limit", WAL_TRUNCATE_BYTES.cast_signed())
        .map_err(at)?;
    connection
        .pragma_update(None, "foreign_keys", true)
        .map_err(at)?;
    migrate(&mut connection, path, schema)?;
    Ok(connection)
}

/// Opens an existing file to read only. No read transaction may last over 5 s.
///
/// # Errors
/// [`SqliteError::Sqlite`] when it is not there or not readable.
pub fn open_reader(path: &Path) -> Result<Connection, SqliteError> {
    check_version()?;
    let at = |source| SqliteError::Sqlite {
        path: path.to_owned(),
        source,
    };
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(at)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(at)?;
    Ok(connection)
}

/// Makes a new file for the owner alone; SQLite gives the files beside it (`-wal`, `-shm`) the same mode. Where this
/// cannot be done, SQLite says why in its next call.
///
/// Its name is on disk before anything is committed: SQLite syncs the directory for its log only.
fn make_private(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let made = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path);
    if made.is_ok()
        && let Some(directory) = path.parent()
    {
        let synced = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
        if let Err(error) = synced {
            tracing::warn!(%error, path = %path.display(), "the name of a new file could not be synced");
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that opens a file"
)]
fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

fn check_version() -> Result<(), SqliteError> {
    if rusqlite::version_number() < VERSION_FLOOR {
        Err(SqliteError::TooOld {
            found: rusqlite::version(),
        })
    } else {
        Ok(())
    }
}

fn migrate(connection: &mut Connection, path: &Path, schema: &Schema) -> Result<(), SqliteError> {
    let at = |source| SqliteError::Sqlite {
        path: path.to_owned(),
        source,
    };
    let known = u32::try_from(schema.migrations.len()).expect("a handful of migrations");
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(at)?;
    let owner: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(at)?;
    if owner != schema.application_id && (owner != 0 || found != 0) {
        return Err(SqliteError::Foreign {
            path: path.to_owned(),
        });
    }
    if found > known {
        return Err(SqliteError::FromTheFuture {
            path: path.to_owned(),
            found,
            known,
        });
    }
    for (done, sql) in (1..=known).zip(schema.migrations).skip(found as usize) {
        let step = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(at)?;
        step.execute_batch(sql).map_err(at)?;
        step.pragma_update(None, "application_id", schema.application_id)
            .map_err(at)?;
        step.pragma_update(None, "user_version", done).map_err(at)?;
        step.commit().map_err(at)?;
    }
    Ok(())
}

/// Whether a file's pages hang together (`PRAGMA quick_check`).
///
/// # Errors
/// [`SqliteError::Sqlite`] when it cannot even be asked.
pub fn is_sound(connection: &Connection, path: &Path) -> Result<bool, SqliteError> {
    says_ok(connection, path, "PRAGMA quick_check(1)")
}

fn says_ok(connection: &Connection, path: &Path, check: &str) -> Result<bool, SqliteError> {
    let word: String = connection
        .query_row(check, [], |row| row.get(0))
        .map_err(|source| SqliteError::Sqlite {
            path: path.to_owned(),
            source,
        })?;
    Ok(word == "ok")
}

/// A file up to this size is checked at each start (about half a second); a larger one when it is suspected.
const CHECKED_BYTES: u64 = 256 * 1024 * 1024;
/// A file that is suspected again so soon after it was found sound is damaged in a way that no check finds.
const CLEARED_FOR: Duration = Duration::from_secs(3_600);

/// Leaves word that a file is to be checked whole at the next start.
pub fn suspect(path: &Path) {
    let found_sound = || std::fs::metadata(cleared(path))?.modified();
    let again = found_sound().is_ok_and(|at| at.elapsed().unwrap_or_default() < CLEARED_FOR);
    let word: &[u8] = if again { AGAIN } else { b"" };
    if let Err(error) = std::fs::write(suspicion(path), word) {
        tracing::warn!(%error, path = %path.display(), "a damaged file could not be marked");
    }
}

const AGAIN: &[u8] = b"again";

/// Whether a file that was just opened hangs together; not asked of a large one that nobody suspects.
///
/// # Errors
/// [`SqliteError::Sqlite`]; of damage, [`SqliteError::is_corrupt`] holds.
pub fn check_at_start(connection: &Connection, path: &Path) -> Result<(), SqliteError> {
    let suspected = std::fs::read(suspicion(path)).ok();
    let small = std::fs::metadata(path).is_ok_and(|meta| meta.len() <= CHECKED_BYTES);
    let sound = match &suspected {
        Some(word) if word == AGAIN => false,
        Some(_) => says_ok(connection, path, "PRAGMA integrity_check(1)")?,
        None if small => is_sound(connection, path)?,
        None => true,
    };
    if !sound {
        return Err(damage(path, "a check found damage".to_owned()));
    }
    if suspected.is_some() {
        let _ = std::fs::rename(suspicion(path), cleared(path));
    }
    Ok(())
}

fn suspicion(path: &Path) -> PathBuf {
    path.with_extension("db.suspect")
}

fn cleared(path: &Path) -> PathBuf {
    path.with_extension("db.cleared")
}

/// Moves a damaged file (and its `-wal`, `-shm`, `-journal`) aside under a name with the time; returns that name.
///
/// # Errors
/// The file system's own.
pub fn set_aside(path: &Path, now: crate::clock::Timestamp) -> std::io::Result<PathBuf> {
    let name = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let aside = path.with_file_name(format!("{name}.damaged-{}", now.ms()));
    std::fs::rename(path, &aside)?;
    for word in [suspicion(path), cleared(path)] {
        let _ = std::fs::remove_file(word);
    }
    for suffix in ["-wal", "-shm", "-journal"] {
        let from = path.with_file_name(format!("{name}{suffix}"));
        if from.exists() {
            std::fs::rename(
                &from,
                path.with_file_name(format!("{name}.damaged-{}{suffix}", now.ms())),
            )?;
        }
    }
    Ok(aside)
}

type Job = Box<dyn FnOnce(&Connection) -> rusqlite::Result<Box<dyn FnOnce() + Send>> + Send>;
type Refusal = Box<dyn FnOnce(rusqlite::Error) + Send>;

enum Message {
    Write { job: Job, refuse: Refusal },
    Plain(Box<dyn FnOnce(&mut Connection) + Send>),
}

/// The handle to the one thread that writes a file. Cheap to clone; the thread ends when the last clone is gone.
#[derive(Clone)]
pub struct Writer {
    sender: std_mpsc::SyncSender<Message>,
    path: PathBuf,
    damaged: CancellationToken,
    pulse: Arc<Pulse>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the thread that owns `connection` from now on.
    ///
    /// It begins a transaction as soon as a job is there, takes every job that is waiting (at most 512) into it, each
    /// under its own savepoint, commits, and only then answers: an answer means "on disk". One job that fails rolls
    /// back alone. It alone checkpoints: passive after each commit, truncating beyond 64 MiB.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn start(connection: Connection, path: &Path, name: &str) -> std::io::Result<Self> {
        let (sender, jobs) = std_mpsc::sync_channel(WRITER_QUEUE);
        let owned = path.to_owned();
        let pulse = Arc::new(Pulse::default());
        let felt = pulse.clone();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(connection, &owned, &jobs, &felt))?;
        Ok(Self {
            sender,
            path: path.to_owned(),
            damaged: CancellationToken::new(),
            pulse,
        })
    }

    /// How busy it is, and how long its commits take.
    #[must_use]
    pub fn figures(&self) -> WriterFigures {
        self.pulse.figures()
    }

    /// Cancelled once the file turned out to be damaged, here or ([`Self::saw`]) to whoever reads it: the process is to
    /// end in order, so that its next start sets the file aside.
    #[must_use]
    pub const fn damaged(&self) -> &CancellationToken {
        &self.damaged
    }

    /// Notes an error of this file; returns it.
    pub fn saw(&self, error: SqliteError) -> SqliteError {
        if error.is_corrupt() && !self.damaged.is_cancelled() {
            tracing::error!(error = %crate::error::Chain(&error), "a file is damaged");
            suspect(&self.path);
            self.damaged.cancel();
        }
        error
    }

    /// Runs `job` in a group commit; the answer comes after the commit is on disk.
    ///
    /// # Errors
    /// [`SqliteError::Sqlite`] with the job's error or the commit's: nothing of this job was kept.
    pub async fn write<T, F>(&self, job: F) -> Result<T, SqliteError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (message, answer) = self.message(job);
        self.send(message).await?;
        answer
            .await
            .map_err(|_| SqliteError::Stopped)?
            .map_err(|error| self.saw(error))
    }

    /// The same for a thread that may block.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_blocking<T, F>(&self, job: F) -> Result<T, SqliteError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (message, answer) = self.message(job);
        self.pulse.waiting.fetch_add(1, Ordering::Relaxed);
        self.sender
            .send(message)
            .map_err(|_| SqliteError::Stopped)?;
        answer
            .blocking_recv()
            .map_err(|_| SqliteError::Stopped)?
            .map_err(|error| self.saw(error))
    }

    /// Runs `job` on the writer's thread outside any transaction (backup, checkpoint, vacuum).
    ///
    /// # Errors
    /// [`SqliteError::Stopped`].
    pub async fn alone<T, F>(&self, job: F) -> Result<T, SqliteError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> T + Send + 'static,
    {
        let (tell, answer) = oneshot::channel();
        let message = Message::Plain(Box::new(move |connection| {
            let _ = tell.send(job(connection));
        }));
        self.send(message).await?;
        answer.await.map_err(|_| SqliteError::Stopped)
    }

    fn message<T, F>(&self, job: F) -> (Message, oneshot::Receiver<Result<T, SqliteError>>)
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (tell, answer) = oneshot::channel();
        let path = self.path.clone();
        // Whoever holds the sender answers: the commit, or the refusal.
        let tell = Arc::new(std::sync::Mutex::new(Some(tell)));
        let refused = tell.clone();
        let take = |tell: &std::sync::Mutex<Option<oneshot::Sender<_>>>| {
            tell.lock().ok().and_then(|mut tell| tell.take())
        };
        let job: Job = Box::new(move |connection| {
            let value = job(connection)?;
            Ok(Box::new(move || {
                if let Some(tell) = take(&tell) {
                    let _ = tell.send(Ok(value));
                }
            }))
        });
        let refuse: Refusal = Box::new(move |source| {
            if let Some(tell) = take(&refused) {
                let _ = tell.send(Err(SqliteError::Sqlite { path, source }));
            }
        });
        (Message::Write { job, refuse }, answer)
    }

    async fn send(&self, message: Message) -> Result<(), SqliteError> {
        self.pulse.waiting.fetch_add(1, Ordering::Relaxed);
        match self.sender.try_send(message) {
            Ok(()) => Ok(()),
            Err(std_mpsc::TrySendError::Disconnected(_)) => Err(SqliteError::Stopped),
            Err(std_mpsc::TrySendError::Full(message)) => {
                let sender = self.sender.clone();
                match tokio::task::spawn_blocking(move || sender.send(message)).await {
                    Ok(Ok(())) => Ok(()),
                    _ => Err(SqliteError::Stopped),
                }
            }
        }
    }
}

fn run(mut connection: Connection, path: &Path, jobs: &std_mpsc::Receiver<Message>, pulse: &Pulse) {
    while let Ok(first) = jobs.recv() {
        let mut group = Vec::new();
        let mut plain = None;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Write { job, refuse } => group.push((job, refuse)),
                Message::Plain(job) => {
                    plain = Some(job);
                    break;
                }
            }
            next = if group.len() < GROUP_LIMIT {
                jobs.try_recv().ok()
            } else {
                None
            };
        }
        if !group.is_empty() {
            let (began, jobs) = (Instant::now(), group.len());
            commit(&mut connection, group);
            pulse.committed(began.elapsed());
            pulse.done(jobs);
            crate::failpoint::hit("P9");
            checkpoint(&connection, path);
        }
        if let Some(job) = plain {
            if catch_unwind(AssertUnwindSafe(|| job(&mut connection))).is_err() {
                tracing::error!("a job of the database's writer panicked");
            }
            pulse.done(1);
        }
    }
    let _ = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
}

fn commit(connection: &mut Connection, group: Vec<(Job, Refusal)>) {
    let mut transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate)
    {
        Ok(transaction) => transaction,
        Err(error) => return refuse_all(group.into_iter().map(|(_, refuse)| refuse), &error),
    };
    let mut done = Vec::with_capacity(group.len());
    let mut jobs = group.into_iter();
    while let Some((job, refuse)) = jobs.next() {
        match in_savepoint(&mut transaction, job) {
            Ok(tell) => done.push((tell, refuse)),
            Err(error) if transaction.is_autocommit() => {
                // A full disk or an I/O error rolled the whole transaction back: nothing of this group was kept.
                let others = done.into_iter().map(|(_, refuse)| refuse);
                let others = others.chain(jobs.map(|(_, refuse)| refuse));
                return refuse_all(std::iter::once(refuse).chain(others), &error);
            }
            Err(error) => refuse(error),
        }
    }
    match transaction.commit() {
        Ok(()) => done.into_iter().for_each(|(tell, _)| tell()),
        Err(error) => refuse_all(done.into_iter().map(|(_, refuse)| refuse), &error),
    }
}

fn in_savepoint(
    transaction: &mut rusqlite::Transaction<'_>,
    job: Job,
) -> rusqlite::Result<Box<dyn FnOnce() + Send>> {
    let savepoint = transaction.savepoint()?;
    // A defect of ours in one job is that job's error: the thread serves all others, for as long as the process runs.
    let tell = catch_unwind(AssertUnwindSafe(|| job(&savepoint))).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        tracing::error!(panic = said, "a job of the database's writer panicked");
        Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERNAL),
            Some("a defect: see the log".to_owned()),
        ))
    })?;
    savepoint.commit()?;
    Ok(tell)
}

/// An error of SQLite cannot be cloned; each caller gets the code and the words.
fn refuse_all(refusals: impl Iterator<Item = Refusal>, error: &rusqlite::Error) {
    for refuse in refusals {
        let copy = match error {
            rusqlite::Error::SqliteFailure(code, words) => {
                rusqlite::Error::SqliteFailure(*code, words.clone())
            }
            other => rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error {
                    code: rusqlite::ErrorCode::Unknown,
                    extended_code: 1,
                },
                Some(other.to_string()),
            ),
        };
        refuse(copy);
    }
}

fn checkpoint(connection: &Connection, path: &Path) {
    let name = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let wal =
        std::fs::metadata(path.with_file_name(format!("{name}-wal"))).map_or(0, |meta| meta.len());
    let sql = if wal > WAL_TRUNCATE_BYTES {
        "PRAGMA wal_checkpoint(TRUNCATE)"
    } else {
        "PRAGMA wal_checkpoint(PASSIVE)"
    };
    if let Err(error) = connection.query_row(sql, [], |_| Ok(())) {
        tracing::warn!(%error, path = %path.display(), "a checkpoint failed; the write-ahead log grows until one works");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: Schema = Schema {
        application_id: 0x4657_0001,
        migrations: &[
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT",
            "ALTER TABLE t ADD COLUMN w INTEGER",
        ],
    };

    fn file() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        (dir, path)
    }

    #[test]
    fn a_new_file_is_durable_and_migrated() {
        let (_dir, path) = file();
        let connection = open(&path, &SCHEMA).unwrap();
        let pragma = |name: &str| {
            connection
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                .unwrap()
        };
        assert_eq!(pragma("synchronous"), rusqlite::types::Value::Integer(2));
        assert_eq!(
            pragma("journal_mode"),
            rusqlite::types::Value::Text("wal".into())
        );
        assert_eq!(pragma("page_size"), rusqlite::types::Value::Integer(16_384));
        assert_eq!(pragma("user_version"), rusqlite::types::Value::Integer(2));
        assert!(is_sound(&connection, &path).unwrap());
    }

    #[test]
    fn an_older_file_is_brought_up_and_a_newer_one_refused() {
        let (_dir, path) = file();
        let first = Schema {
            migrations: &SCHEMA.migrations[..1],
            ..SCHEMA
        };
        open(&path, &first)
            .unwrap()
            .execute("INSERT INTO t (v) VALUES ('kept')", [])
            .unwrap();
        let now = open(&path, &SCHEMA).unwrap();
        let kept: (String, Option<i64>) = now
            .query_row("SELECT v, w FROM t", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(kept, ("kept".to_owned(), None));
        drop(now);
        assert!(matches!(
            open(&path, &first),
            Err(SqliteError::FromTheFuture {
                found: 2,
                known: 1,
                ..
            })
        ));
    }

    #[test]
    fn damage_is_told_from_other_failures_and_set_aside() {
        let (_dir, path) = file();
        std::fs::write(&path, vec![0x55; 40_000]).unwrap();
        let error = open(&path, &SCHEMA).unwrap_err();
        assert!(error.is_corrupt(), "{error:?}");
        let aside = set_aside(&path, crate::clock::Timestamp(7)).unwrap();
        assert!(aside.ends_with("a.db.damaged-7"));
        open(&path, &SCHEMA).unwrap();
    }

    #[tokio::test]
    async fn one_bad_job_rolls_back_alone() {
        let (_dir, path) = file();
        let writer = Writer::start(open(&path, &SCHEMA).unwrap(), &path, "test").unwrap();
        let good = writer.write(|c| c.execute("INSERT INTO t (id, v) VALUES (1, 'a')", []));
        let bad = writer.write(|c| {
            c.execute("INSERT INTO t (id, v) VALUES (2, 'b')", [])?;
            c.execute("INSERT INTO t (id, v) VALUES (1, 'again')", [])
        });
        let also = writer.write(|c| c.execute("INSERT INTO t (id, v) VALUES (3, 'c')", []));
        let (good, bad, also) = tokio::join!(good, bad, also);
        assert_eq!(good.unwrap(), 1);
        assert!(bad.is_err());
        assert_eq!(also.unwrap(), 1);
        let ids: Vec<i64> = open_reader(&path)
            .unwrap()
            .prepare("SELECT id FROM t ORDER BY id")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(ids, [1, 3]);
    }

    #[tokio::test]
    async fn a_defect_in_one_job_stops_nobody_else() {
        let (_dir, path) = file();
        let writer = Writer::start(open(&path, &SCHEMA).unwrap(), &path, "test").unwrap();
        let bad = writer.write(|c| {
            c.execute("INSERT INTO t (id, v) VALUES (1, 'a')", [])?;
            assert_eq!(c.last_insert_rowid(), 2, "a defect");
            Ok(())
        });
        let also = writer.write(|c| c.execute("INSERT INTO t (id, v) VALUES (3, 'c')", []));
        let (bad, also) = tokio::join!(bad, also);
        assert!(!bad.unwrap_err().is_corrupt());
        assert_eq!(also.unwrap(), 1);
        let alone = writer.alone(|c| assert!(c.is_autocommit() && c.last_insert_rowid() == 7));
        alone.await.unwrap_err();
        let count =
            |c: &Connection| c.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
        assert_eq!(writer.write(count).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_thousand_writers_share_few_commits_and_all_are_on_disk() {
        let (_dir, path) = file();
        let writer = Writer::start(open(&path, &SCHEMA).unwrap(), &path, "test").unwrap();
        let writes = (0..1_500i64).map(|id| {
            let writer = writer.clone();
            async move {
                writer
                    .write(move |c| c.execute("INSERT INTO t (id, v) VALUES (?1, 'x')", [id]))
                    .await
                    .unwrap()
            }
        });
        futures::future::join_all(writes).await;
        let count: i64 = open_reader(&path)
            .unwrap()
            .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
            .unwrap();
        assert_eq!(count, 1_500);
        let pages: i64 = writer
            .alone(|c| {
                c.query_row("PRAGMA page_count", [], |row| row.get(0))
                    .unwrap()
            })
            .await
            .unwrap();
        assert!(pages > 0);
    }
}
