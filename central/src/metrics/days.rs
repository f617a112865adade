//! The day files: where they are, who reads them, what becomes of a damaged one.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use farwatch_shared::clock::Clock;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::DeviceNo;
use farwatch_shared::sqlite::{self, SqliteError};
use farwatch_shared::wire::DecodeError;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::batches::BatchSet;
use super::schema::{DAY, DAY_MS};
use super::shape::Shape;

/// Idle readers kept open, over all files: each has a page cache of its own.
const READERS: usize = 24;

/// The folder of day files.
#[derive(Debug)]
pub(super) struct Days {
    folder: PathBuf,
    clock: Clock,
    there: Mutex<BTreeSet<i64>>,
    readers: Mutex<Vec<(i64, Reader)>>,
    /// Days whose file was found damaged; the next pass sets them aside.
    damaged: Mutex<BTreeSet<i64>>,
}

/// A day file open to read, with what it has looked up.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) connection: Connection,
    shapes: HashMap<u64, Arc<Shape>>,
    sources: HashMap<(ProbeId, DeviceNo), i64>,
}

impl Days {
    pub(super) fn open(folder: PathBuf, clock: Clock) -> std::io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let mut there = BTreeSet::new();
        for entry in std::fs::read_dir(&folder)? {
            if let Some(day) = entry?.file_name().to_str().and_then(day_of_name) {
                there.insert(day);
            }
        }
        Ok(Self {
            folder,
            clock,
            there: Mutex::new(there),
            readers: Mutex::default(),
            damaged: Mutex::default(),
        })
    }

    pub(super) fn path(&self, day: i64) -> PathBuf {
        self.folder.join(name_of(day))
    }

    /// Days that have a file, ascending, from `first` to `last`.
    pub(super) fn within(&self, first: i64, last: i64) -> Vec<i64> {
        if first > last {
            return Vec::new();
        }
        lock(&self.there).range(first..=last).copied().collect()
    }

    pub(super) fn has(&self, day: i64) -> bool {
        lock(&self.there).contains(&day)
    }

    /// Opens a day's file for the one thread that seals.
    pub(super) fn writer(&self, day: i64) -> Result<Connection, SqliteError> {
        let connection = sqlite::open(&self.path(day), &DAY)?;
        lock(&self.there).insert(day);
        Ok(connection)
    }

    /// Runs `read` on a reader of that day; `None` when there is no file, or it is damaged (then it is set aside soon).
    pub(super) fn read<T>(
        &self,
        day: i64,
        read: impl FnOnce(&mut Reader) -> Result<T, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        if !self.has(day) || lock(&self.damaged).contains(&day) {
            return Ok(None);
        }
        let idle = {
            let mut readers = lock(&self.readers);
            readers
                .iter()
                .rposition(|(at, _)| *at == day)
                .map(|at| readers.remove(at).1)
        };
        let result = idle
            .map_or_else(|| Reader::open(&self.path(day)), Ok)
            .and_then(|mut reader| read(&mut reader).map(|value| (value, reader)));
        match result {
            Ok((value, reader)) => {
                let mut readers = lock(&self.readers);
                readers.push((day, reader));
                if readers.len() > READERS {
                    readers.remove(0);
                }
                Ok(Some(value))
            }
            Err(error) if error.is_damage() => {
                tracing::error!(
                    day = name_of(day),
                    error = %farwatch_shared::error::Chain(&error),
                    "a day of samples cannot be read and will be set aside"
                );
                lock(&self.damaged).insert(day);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Which batches an hour of a probe holds.
    pub(super) fn sealed(&self, probe: ProbeId, hour: i64) -> Result<BatchSet, ReadError> {
        let found = self.read(super::schema::day_of(hour), |reader| {
            sealed(&reader.connection, probe, hour)
        })?;
        Ok(found.flatten().unwrap_or_default())
    }

    /// A day's file turned out to be damaged.
    pub(super) fn report_damaged(&self, day: i64) {
        lock(&self.damaged).insert(day);
    }

    /// Moves damaged files aside; returns their days.
    pub(super) fn set_damaged_aside(&self) -> Vec<i64> {
        let days = std::mem::take(&mut *lock(&self.damaged));
        let mut gone = Vec::new();
        for day in days {
            self.close(day);
            match sqlite::set_aside(&self.path(day), self.clock.now()) {
                Ok(aside) => {
                    tracing::error!(path = %aside.display(), "a damaged day of samples was set aside");
                    lock(&self.there).remove(&day);
                    gone.push(day);
                }
                Err(error) => {
                    tracing::error!(day = name_of(day), %error, "a damaged day of samples could not be set aside");
                    lock(&self.damaged).insert(day);
                }
            }
        }
        gone
    }

    /// Deletes files of days before `day`.
    pub(super) fn delete_before(&self, day: i64) -> Vec<i64> {
        let old: Vec<i64> = lock(&self.there).range(..day).copied().collect();
        for &day in &old {
            self.close(day);
            let path = self.path(day);
            for suffix in ["", "-wal", "-shm"] {
                let mut name = path.clone().into_os_string();
                name.push(suffix);
                let _ = std::fs::remove_file(name);
            }
            lock(&self.there).remove(&day);
        }
        old
    }

    fn close(&self, day: i64) {
        lock(&self.readers).retain(|(at, _)| *at != day);
    }

    /// All readers are opened anew: files were changed in a way that what they remember does not follow.
    pub(super) fn close_all(&self) {
        lock(&self.readers).clear();
    }
}

/// Why a day file could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("the day file could not be opened")]
    Open(#[from] SqliteError),
    #[error("the day file could not be read")]
    Sqlite(#[from] rusqlite::Error),
    #[error("a chunk is damaged")]
    Chunk(#[from] DecodeError),
}

impl ReadError {
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Open(error) => error.is_corrupt(),
            Self::Chunk(_) => true,
            Self::Sqlite(error) => {
                matches!(
                    error.sqlite_error_code(),
                    Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
                ) || matches!(
                    error,
                    rusqlite::Error::SqlInputError { .. } | rusqlite::Error::InvalidColumnType(..)
                )
            }
        }
    }
}

/// Which batches an hour of a probe holds; `None` when it is not sealed.
pub(super) fn sealed(
    connection: &Connection,
    probe: ProbeId,
    hour: i64,
) -> Result<Option<BatchSet>, ReadError> {
    let bytes: Option<Vec<u8>> = connection
        .prepare_cached("SELECT batches FROM sealed WHERE probe_id = ?1 AND hour = ?2")?
        .query_row(params![probe, hour], |row| row.get(0))
        .optional()?;
    Ok(bytes
        .map(|bytes| BatchSet::from_bytes(&bytes))
        .transpose()?)
}

impl Reader {
    fn open(path: &Path) -> Result<Self, ReadError> {
        let connection = sqlite::open_reader(path)?;
        Ok(Self {
            connection,
            shapes: HashMap::new(),
            sources: HashMap::new(),
        })
    }

    /// A shape by its hash.
    pub(super) fn shape(&mut self, hash: u64) -> Option<Arc<Shape>> {
        if let Some(shape) = self.shapes.get(&hash) {
            return Some(shape.clone());
        }
        let shape = Arc::new(shape(&self.connection, hash)?);
        self.shapes.insert(hash, shape.clone());
        Some(shape)
    }

    /// A device's number in this file; `None` when the file has nothing of it.
    pub(super) fn source(
        &mut self,
        probe: ProbeId,
        device: DeviceNo,
    ) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.sources.get(&(probe, device)) {
            return Ok(Some(*id));
        }
        let id = self
            .connection
            .prepare_cached("SELECT id FROM sources WHERE probe_id = ?1 AND device = ?2")?
            .query_row(params![probe, device], |row| row.get(0))
            .optional()?;
        if let Some(id) = id {
            self.sources.insert((probe, device), id);
        }
        Ok(id)
    }

    /// A chunk's bytes.
    pub(super) fn chunk(&self, source: i64, hour: i64) -> rusqlite::Result<Option<Vec<u8>>> {
        self.connection
            .prepare_cached("SELECT body FROM chunks WHERE id = ?1")?
            .query_row([chunk_id(source, hour)], |row| row.get(0))
            .optional()
    }
}

/// A shape by its hash, from an open day file.
pub(super) fn shape(connection: &Connection, hash: u64) -> Option<Shape> {
    let bytes: Vec<u8> = connection
        .prepare_cached("SELECT body FROM shapes WHERE hash = ?1")
        .ok()?
        .query_row([hash.cast_signed()], |row| row.get(0))
        .ok()?;
    Shape::from_bytes(&bytes)
        .ok()
        .filter(|shape| shape.hash == hash)
}

/// The row of a chunk.
pub(super) const fn chunk_id(source: i64, hour: i64) -> i64 {
    hour.rem_euclid(24) << 32 | source
}

fn name_of(day: i64) -> String {
    let date = jiff::Timestamp::from_millisecond(day.saturating_mul(DAY_MS)).map(|at| {
        let text = at.to_string();
        text.split('T').next().unwrap_or_default().to_owned()
    });
    format!("{}.db", date.unwrap_or_else(|_| format!("day{day}")))
}

fn day_of_name(name: &str) -> Option<i64> {
    let date = name.strip_suffix(".db")?;
    if let Some(day) = date.strip_prefix("day") {
        return day.parse().ok();
    }
    let at: jiff::Timestamp = format!("{date}T00:00:00Z").parse().ok()?;
    Some(at.as_millisecond().div_euclid(DAY_MS))
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_file_is_named_by_its_date() {
        assert_eq!(name_of(20_780), "2026-11-23.db");
        for day in [-1, 0, 20_780, 2_932_896, i64::MAX / DAY_MS - 1] {
            assert_eq!(day_of_name(&name_of(day)), Some(day), "{}", name_of(day));
        }
        assert_eq!(day_of_name("2026-11-23.db-wal"), None);
        assert_eq!(day_of_name("2026-11-23.db.damaged-7"), None);
    }
}
