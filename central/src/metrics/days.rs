//! Files of one stretch of time each: where they are, who reads them, what becomes of a damaged one.
//!
//! `days/2026-11-23.db` samples of a day · `days/2026-11-23.5min.db` and `days/2026-11.1h.db` their roll-ups. Old data
//! goes by deleting a file.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use farwatch_shared::clock::Clock;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{DeviceNo, Epoch};
use farwatch_shared::sqlite::{self, SqliteError};
use farwatch_shared::wire::DecodeError;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::aside::Broken;
use super::batches::BatchSet;
use super::chunk::Whose;
use super::schema::{DAY, ROLL_UPS, day_of};
use super::shape::Shape;

/// Idle readers kept open, over all files: each has a page cache of its own.
const READERS: usize = 24;
/// A file up to this size is checked whole at each start: some tenths of a second.
const CHECKED_BYTES: u64 = 64 * 1024 * 1024;

/// What one file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Samples of a day.
    Samples,
    /// Roll-ups of five minutes, of a day.
    FiveMinutes,
    /// Roll-ups of an hour, of a month.
    Hours,
}

impl Kind {
    /// The number of the file that an hour is in: days since 1970, or months since the year 0.
    pub(super) fn file_of(self, hour: i64) -> i64 {
        match self {
            Self::Samples | Self::FiveMinutes => day_of(hour),
            Self::Hours => month_of(day_of(hour)),
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Samples => ".db",
            Self::FiveMinutes => ".5min.db",
            Self::Hours => ".1h.db",
        }
    }

    const fn schema(self) -> &'static sqlite::Schema {
        match self {
            Self::Samples => &DAY,
            Self::FiveMinutes | Self::Hours => &ROLL_UPS,
        }
    }

    fn name(self, file: i64) -> String {
        let stem = match self {
            Self::Samples | Self::FiveMinutes => date_of(file).map(|date| date.to_string()),
            Self::Hours => Some(format!(
                "{:04}-{:02}",
                file.div_euclid(12),
                file.rem_euclid(12) + 1
            )),
        };
        // Hours that no calendar has: a probe's clock may say anything.
        let stem = stem.unwrap_or_else(|| format!("day{file}"));
        format!("{stem}{}", self.suffix())
    }

    fn parse(self, name: &str) -> Option<i64> {
        let stem = name.strip_suffix(self.suffix())?;
        match self {
            Self::Samples | Self::FiveMinutes => match stem.strip_prefix("day") {
                Some(day) => day.parse().ok(),
                None => Some(day_from(stem.parse().ok()?)),
            },
            Self::Hours => {
                let (year, month) = stem.rsplit_once('-')?;
                Some(year.parse::<i64>().ok()? * 12 + month.parse::<i64>().ok()? - 1)
            }
        }
    }
}

const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

fn date_of(day: i64) -> Option<jiff::civil::Date> {
    EPOCH
        .checked_add(jiff::Span::new().try_days(day).ok()?)
        .ok()
}

fn day_from(date: jiff::civil::Date) -> i64 {
    date.duration_since(EPOCH).as_hours() / 24
}

/// The day on which a month begins.
fn first_of_month(month: i64) -> Option<i64> {
    let year = i16::try_from(month.div_euclid(12)).ok()?;
    let month = i8::try_from(month.rem_euclid(12) + 1).ok()?;
    jiff::civil::Date::new(year, month, 1).ok().map(day_from)
}

fn month_of(day: i64) -> i64 {
    date_of(day).map_or(day / 30, |date| {
        i64::from(date.year()) * 12 + i64::from(date.month()) - 1
    })
}

/// The files of one kind in the folder `days`.
#[derive(Debug)]
pub(super) struct Days {
    pub(super) kind: Kind,
    folder: PathBuf,
    clock: Clock,
    there: Mutex<BTreeSet<i64>>,
    readers: Mutex<Vec<(i64, Reader)>>,
    /// Files whose list of devices was looked at.
    looked_at: Mutex<BTreeSet<i64>>,
    /// How often readers were closed: one that was at work meanwhile is not kept.
    closed: AtomicU64,
    /// The file that was written last, open.
    writer: Mutex<Option<(i64, Connection)>>,
    /// Days whose file was found damaged; the next pass sets them aside.
    damaged: Mutex<BTreeSet<i64>>,
    /// Parts of days that were found damaged; the next pass sets them aside. Until then their gaps are told from here.
    broken: Mutex<Vec<Broken>>,
}

/// A day file open to read, with what it has looked up.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) connection: Connection,
    shapes: HashMap<u64, Arc<Shape>>,
    sources: HashMap<(ProbeId, DeviceNo), i64>,
}

impl Days {
    pub(super) fn open(kind: Kind, folder: PathBuf, clock: Clock) -> std::io::Result<Self> {
        make_durably(&folder)?;
        let (mut there, mut begun) = (BTreeSet::new(), Vec::new());
        for entry in std::fs::read_dir(&folder)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            there.extend(kind.parse(name));
            begun.extend(name.strip_suffix("-journal").and_then(|of| kind.parse(of)));
        }
        let this = Self {
            kind,
            folder,
            clock,
            there: Mutex::new(there),
            readers: Mutex::default(),
            looked_at: Mutex::default(),
            closed: AtomicU64::new(0),
            writer: Mutex::default(),
            damaged: Mutex::default(),
            broken: Mutex::default(),
        };
        begun.into_iter().for_each(|day| this.finish_making(day));
        this.check_small();
        Ok(this)
    }

    /// What a damaged page hides is missed by nobody who asks for something else: small files are looked at whole at each
    /// start. (Large ones tell when they are read.)
    fn check_small(&self) {
        for day in self.within(i64::MIN, i64::MAX) {
            let path = self.path(day);
            let small = std::fs::metadata(&path).is_ok_and(|meta| meta.len() <= CHECKED_BYTES);
            if !small {
                continue;
            }
            let sound = sqlite::open_reader(&path).and_then(|c| sqlite::is_sound(&c, &path));
            match sound {
                Ok(true) => {}
                Ok(false) => self.report_damaged(day),
                Err(error) if error.is_corrupt() => self.report_damaged(day),
                Err(error) => {
                    tracing::warn!(day = self.kind.name(day), error = %farwatch_shared::error::Chain(&error), "a day's file could not be checked");
                }
            }
        }
    }

    /// A file that was being made when the power went has a journal, which only a writer may roll back: until then
    /// nobody could read it.
    fn finish_making(&self, day: i64) {
        match self.connect(day) {
            Ok(_) => {}
            Err(error) if error.is_corrupt() => self.report_damaged(day),
            Err(error) => {
                tracing::warn!(day = self.kind.name(day), error = %farwatch_shared::error::Chain(&error), "a day's file that was being made could not be finished");
            }
        }
    }

    pub(super) fn path(&self, day: i64) -> PathBuf {
        self.folder.join(self.kind.name(day))
    }

    /// Days that have a file, ascending, from `first` to `last`.
    pub(super) fn within(&self, first: i64, last: i64) -> Vec<i64> {
        if first > last {
            return Vec::new();
        }
        lock(&self.there).range(first..=last).copied().collect()
    }

    /// Days from `first` to `last` that these files may hold, and `more`; ascending, each once.
    pub(super) fn days_of(&self, files: &[i64], first: i64, last: i64, more: Vec<i64>) -> Vec<i64> {
        let mut days: BTreeSet<i64> = more.into_iter().collect();
        for &file in files {
            match self.kind {
                Kind::Samples | Kind::FiveMinutes => {
                    days.insert(file);
                }
                Kind::Hours => {
                    if let (Some(from), Some(to)) = (first_of_month(file), first_of_month(file + 1))
                    {
                        days.extend(first.max(from)..=last.min(to - 1));
                    }
                }
            }
        }
        days.into_iter().collect()
    }

    pub(super) fn has(&self, day: i64) -> bool {
        lock(&self.there).contains(&day)
    }

    /// Opens a day's file for the one thread that seals.
    fn connect(&self, day: i64) -> Result<Connection, SqliteError> {
        let connection = sqlite::open(&self.path(day), self.kind.schema())?;
        lock(&self.there).insert(day);
        Ok(connection)
    }

    /// Writes into a day's file (made when there is none), in one transaction.
    pub(super) fn write<T>(
        &self,
        day: i64,
        write: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let mut idle = lock(&self.writer);
        let open = idle.take().filter(|(of, _)| *of == day);
        let result: Result<_, ReadError> = open
            .map_or_else(|| Ok(self.connect(day)?), |(_, open)| Ok(open))
            .and_then(|mut connection: Connection| {
                let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let value = write(&tx)?;
                tx.commit()?;
                // Raw batches go after this: what was written must not hang on a log whose damage nobody would notice.
                connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
                Ok((value, connection))
            });
        match result {
            Ok((value, connection)) => {
                *idle = Some((day, connection));
                Ok(value)
            }
            Err(error) => {
                if error.is_damage() {
                    self.report_damaged(day);
                }
                Err(error)
            }
        }
    }

    /// Runs `work` on a writer of that day outside any transaction.
    pub(super) fn alone<T>(
        &self,
        day: i64,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ReadError> {
        *lock(&self.writer) = None;
        let result = self
            .connect(day)
            .map_err(ReadError::from)
            .and_then(|mut connection| Ok(work(&mut connection)?));
        if result.as_ref().is_err_and(ReadError::is_damage) {
            self.report_damaged(day);
        }
        result
    }

    /// Gives what was freed in a day's file back to the file system.
    pub(super) fn shrink(&self, day: i64) -> Result<(), ReadError> {
        self.alone(day, |connection| vacuum(connection))
    }

    /// Runs `read` on a reader of that day; `None` when there is no file, or it was made and holds nothing yet, or it is
    /// damaged (then it is set aside soon).
    pub(super) fn read<T>(
        &self,
        day: i64,
        read: impl FnOnce(&mut Reader) -> Result<T, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        if !self.has(day) || lock(&self.damaged).contains(&day) {
            return Ok(None);
        }
        let closed = self.closed.load(Ordering::Acquire);
        let idle = {
            let mut readers = lock(&self.readers);
            readers
                .iter()
                .rposition(|(at, _)| *at == day)
                .map(|at| readers.remove(at).1)
        };
        let result = idle
            .map_or_else(|| self.open_reader(day), |idle| Ok(Some(idle)))
            .and_then(|reader| {
                let Some(mut reader) = reader else {
                    return Ok(None);
                };
                read(&mut reader).map(|value| Some((value, reader)))
            });
        match result {
            Ok(None) => Ok(None),
            Ok(Some((value, reader))) => {
                let mut readers = lock(&self.readers);
                if closed == self.closed.load(Ordering::Acquire) {
                    readers.push((day, reader));
                }
                if readers.len() > READERS {
                    readers.remove(0);
                }
                Ok(Some(value))
            }
            Err(error) if error.is_damage() => {
                tracing::error!(
                    day = self.kind.name(day),
                    error = %farwatch_shared::error::Chain(&error),
                    "a day of samples cannot be read and will be set aside"
                );
                lock(&self.damaged).insert(day);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A part of a day turned out to be damaged.
    pub(super) fn report_broken(&self, one: Broken) {
        let mut broken = lock(&self.broken);
        if !broken.contains(&one) {
            tracing::error!(probe.id = %one.probe, device.no = one.device.0, day = self.kind.name(one.day), what = ?one.what, "samples are damaged and will be set aside");
            broken.push(one);
        }
    }

    /// What was found and is not set aside yet.
    pub(super) fn broken(&self) -> Vec<Broken> {
        lock(&self.broken).clone()
    }

    /// It is set aside, and its gap is kept.
    pub(super) fn forget_broken(&self, one: &Broken) {
        lock(&self.broken).retain(|of| of != one);
    }

    /// Which batches an hour of a probe holds, and how many polls.
    pub(super) fn sealed(&self, probe: ProbeId, hour: i64) -> Result<(BatchSet, u64), ReadError> {
        let found = self.read(self.kind.file_of(hour), |reader| {
            let set = sealed(&reader.connection, probe, hour)?;
            Ok((
                set.unwrap_or_default(),
                polls(&reader.connection, probe, hour)?,
            ))
        })?;
        Ok(found.unwrap_or_default())
    }

    /// How many polls an hour of a probe holds.
    pub(super) fn polls(&self, probe: ProbeId, hour: i64) -> Result<u64, ReadError> {
        let found = self.read(self.kind.file_of(hour), |reader| {
            Ok(polls(&reader.connection, probe, hour)?)
        })?;
        Ok(found.unwrap_or(0))
    }

    /// Whether no file was found damaged since the last pass.
    pub(super) fn are_sound(&self) -> bool {
        lock(&self.damaged).is_empty()
    }

    /// A device that is not found for damage of the list would look like one without samples: the list is checked once.
    fn open_reader(&self, day: i64) -> Result<Option<Reader>, ReadError> {
        let Some(reader) = Reader::open(&self.path(day))? else {
            return Ok(None);
        };
        if !lock(&self.looked_at).contains(&day) {
            let said: String =
                reader
                    .connection
                    .query_row("PRAGMA integrity_check(sources)", [], |row| row.get(0))?;
            if said != "ok" {
                return Err(DecodeError::Inconsistent("its list of devices is torn").into());
            }
            lock(&self.looked_at).insert(day);
        }
        Ok(Some(reader))
    }

    /// A day's file turned out to be damaged.
    pub(super) fn report_damaged(&self, day: i64) {
        lock(&self.damaged).insert(day);
    }

    /// Moves damaged files aside; returns their days, and where they are.
    pub(super) fn set_damaged_aside(&self) -> Vec<(i64, PathBuf)> {
        let days = std::mem::take(&mut *lock(&self.damaged));
        let mut gone = Vec::new();
        for day in days {
            self.close(day);
            match sqlite::set_aside(&self.path(day), self.clock.now()) {
                Ok(aside) => {
                    tracing::error!(path = %aside.display(), "a damaged day of samples was set aside");
                    lock(&self.there).remove(&day);
                    lock(&self.looked_at).remove(&day);
                    gone.push((day, aside));
                }
                Err(error) => {
                    tracing::error!(day = self.kind.name(day), %error, "a damaged day of samples could not be set aside");
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
        let mut readers = lock(&self.readers);
        self.closed.fetch_add(1, Ordering::AcqRel);
        readers.retain(|(at, _)| *at != day);
        drop(readers);
        lock(&self.writer).take_if(|(at, _)| *at == day);
    }

    /// All readers are opened anew: files were changed in a way that what they remember does not follow.
    pub(super) fn close_all(&self) {
        let mut readers = lock(&self.readers);
        self.closed.fetch_add(1, Ordering::AcqRel);
        readers.clear();
        drop(readers);
        *lock(&self.writer) = None;
    }
}

/// Gives the pages that nothing is in back to the file system.
pub(super) fn vacuum(connection: &Connection) -> rusqlite::Result<()> {
    // It frees one page a row.
    let mut statement = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
}

/// Makes a folder whose name is on disk before anything is kept in it.
fn make_durably(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    match folder.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
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
    #[error("what belongs beside the day file could not be written")]
    Other(#[source] Box<super::MetricsError>),
}

impl ReadError {
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Open(error) => error.is_corrupt(),
            Self::Chunk(_) => true,
            Self::Other(_) => false,
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
        .map(|bytes| sealed_from(&bytes, probe, hour))
        .transpose()?)
}

/// Which sources have samples of an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holders(BatchSet);

impl Holders {
    pub(super) fn contains(&self, source: i64) -> bool {
        self.0.contains(Epoch(0), source.cast_unsigned())
    }

    pub(super) fn are_among(&self, known: &BTreeSet<i64>) -> bool {
        let ranges = self
            .0
            .of(Epoch(0))
            .map(farwatch_shared::session::SeqSet::ranges)
            .unwrap_or_default();
        ranges
            .iter()
            .flat_map(|&(first, last)| first..=last)
            .all(|source| known.contains(&source.cast_signed()))
    }

    pub(super) fn insert(&mut self, source: i64) {
        self.0.insert(Epoch(0), source.cast_unsigned());
    }

    pub(super) fn remove(&mut self, source: i64) {
        self.0.remove(Epoch(0), source.cast_unsigned());
    }

    /// Of an hour of a probe; empty when it is not sealed.
    pub(super) fn of(
        connection: &Connection,
        probe: ProbeId,
        hour: i64,
    ) -> Result<Self, ReadError> {
        let bytes: Option<Vec<u8>> = connection
            .prepare_cached("SELECT sources FROM sealed WHERE probe_id = ?1 AND hour = ?2")?
            .query_row(params![probe, hour], |row| row.get(0))
            .optional()?;
        let set = bytes.map(|bytes| Self::from_bytes(&bytes, probe, hour));
        Ok(set.transpose()?.unwrap_or_default())
    }

    pub(super) fn from_bytes(bytes: &[u8], probe: ProbeId, hour: i64) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let whose = Whose::of(probe, DeviceNo(u32::MAX), hour);
        BatchSet::from_bytes(whose.check(bytes)?.0).map(Self)
    }

    pub(super) fn to_bytes(&self, probe: ProbeId, hour: i64) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend(self.0.to_bytes());
        Whose::of(probe, DeviceNo(u32::MAX), hour).sign(&mut bytes);
        bytes
    }
}

fn polls(connection: &Connection, probe: ProbeId, hour: i64) -> rusqlite::Result<u64> {
    let polls: Option<i64> = connection
        .prepare_cached("SELECT polls FROM sealed WHERE probe_id = ?1 AND hour = ?2")?
        .query_row(params![probe, hour], |row| row.get(0))
        .optional()?;
    Ok(polls.unwrap_or(0).cast_unsigned())
}

/// Back from [`sealed_bytes`].
pub(super) fn sealed_from(
    bytes: &[u8],
    probe: ProbeId,
    hour: i64,
) -> Result<BatchSet, DecodeError> {
    BatchSet::from_bytes(Whose::of(probe, DeviceNo(0), hour).check(bytes)?.0)
}

/// Which batches an hour holds, with a checksum by whose it is.
pub(super) fn sealed_bytes(set: &BatchSet, probe: ProbeId, hour: i64) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(set.to_bytes());
    Whose::of(probe, DeviceNo(0), hour).sign(&mut bytes);
    bytes
}

/// Hours of a probe whose roll-ups are not computed from what the file holds.
pub(super) fn not_rolled(connection: &Connection, probe: ProbeId) -> rusqlite::Result<Vec<i64>> {
    connection
        .prepare_cached(
            "SELECT hour FROM sealed WHERE probe_id = ?1 AND rolled <> 1 ORDER BY hour",
        )?
        .query_map([probe], |row| row.get(0))?
        .collect()
}

impl Reader {
    /// `None` when the file has no tables yet: its maker died between making it and its first commit.
    fn open(path: &Path) -> Result<Option<Self>, ReadError> {
        let connection = sqlite::open_reader(path)?;
        let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((version > 0).then(|| Self {
            connection,
            shapes: HashMap::new(),
            sources: HashMap::new(),
        }))
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

    /// Devices of a probe in this file.
    pub(super) fn sources_of(&self, probe: ProbeId) -> Result<Vec<(i64, DeviceNo)>, ReadError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, device FROM sources WHERE probe_id = ?1 ORDER BY id")?;
        let sources = statement.query_map([probe], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(sources.collect::<Result<_, _>>()?)
    }

    /// A roll-up's bytes.
    pub(super) fn roll_up(&self, source: i64, day: i64) -> rusqlite::Result<Option<Vec<u8>>> {
        self.connection
            .prepare_cached("SELECT body FROM roll_ups WHERE id = ?1")?
            .query_row([roll_up_id(source, day)], |row| row.get(0))
            .optional()
    }

    /// A device's day.
    pub(super) fn device_day(&self, source: i64) -> rusqlite::Result<Option<Vec<u8>>> {
        self.connection
            .prepare_cached("SELECT body FROM device_days WHERE id = ?1")?
            .query_row([source], |row| row.get(0))
            .optional()
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

/// Keeps a shape in a file.
pub(super) fn put_shape(tx: &Connection, shape: &Shape) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO shapes (hash, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![shape.hash.cast_signed(), shape.to_bytes()])?;
    Ok(())
}

/// The number of a device in a file, made when there is none.
pub(super) fn put_source(
    tx: &Connection,
    probe: ProbeId,
    device: DeviceNo,
) -> rusqlite::Result<i64> {
    let known = tx
        .prepare_cached("SELECT id FROM sources WHERE probe_id = ?1 AND device = ?2")?
        .query_row(params![probe, device], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    tx.prepare_cached("INSERT INTO sources (probe_id, device) VALUES (?1, ?2)")?
        .execute(params![probe, device])?;
    Ok(tx.last_insert_rowid())
}

/// The row of a roll-up.
pub(super) const fn roll_up_id(source: i64, day: i64) -> i64 {
    (day << 32) | source
}

/// The row of a chunk.
pub(super) const fn chunk_id(source: i64, hour: i64) -> i64 {
    (hour.rem_euclid(24) << 32) | source
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_time() {
        let hour = 20_780 * 24 + 5;
        for (kind, name) in [
            (Kind::Samples, "2026-11-23.db"),
            (Kind::FiveMinutes, "2026-11-23.5min.db"),
            (Kind::Hours, "2026-11.1h.db"),
        ] {
            assert_eq!(kind.name(kind.file_of(hour)), name);
            for other in [Kind::Samples, Kind::FiveMinutes, Kind::Hours] {
                let read = other.parse(name);
                assert_eq!(read, (other == kind).then(|| kind.file_of(hour)), "{name}");
            }
            for hour in [
                -1,
                0,
                24 * 2_900_000,
                i64::MAX / 3_600_000,
                i64::MIN / 3_600_000,
            ] {
                let file = kind.file_of(hour);
                assert_eq!(
                    kind.parse(&kind.name(file)),
                    Some(file),
                    "{}",
                    kind.name(file)
                );
            }
            assert_eq!(kind.parse(&format!("{name}-wal")), None);
            assert_eq!(kind.parse(&format!("{name}.damaged-7")), None);
        }
    }
}
