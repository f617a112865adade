//! Opening the file, also a damaged one, and beginning an epoch.

use std::path::{Path, PathBuf};

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::error::Chain;
use farwatch_shared::model::Epoch;
use farwatch_shared::sqlite::{self, SqliteError};
use rusqlite::{Connection, params};

use super::{SCHEMA, SpoolError, SpoolLimits, settle, space};

/// How a start went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The epoch of this start.
    pub epoch: Epoch,
    /// Until when the probe is known to have run: author a gap (`probe_restart` within the same boot, else `probe_off`)
    /// from here to the first poll. `None`: this is the file's first start.
    pub last_tick: Option<Timestamp>,
    /// From when on this file accounts for all time; what Central has not received of the time before is lost, and
    /// `Greeting::unaccounted` will say so.
    pub known_from: Timestamp,
    /// There was no file, or it was damaged: the inventory is to be pulled before numbers are minted.
    pub is_new: bool,
    /// Where a damaged file is now.
    pub set_aside: Option<PathBuf>,
}

pub(super) fn open(
    path: &Path,
    limits: &SpoolLimits,
    clock: &Clock,
) -> Result<(Connection, Opened), SpoolError> {
    let attempt = || match try_open(path, clock, None) {
        Err(error) if error.is_full() => {
            space::release_reserve(path);
            try_open(path, clock, None)
        }
        other => other,
    };
    let opened = match attempt() {
        Err(error) if error.is_corrupt() => {
            tracing::error!(error = %Chain(&error), "the spool's file is damaged; it is set aside and a fresh one begun");
            let known = salvage(path);
            let aside = sqlite::set_aside(path, clock.now()).map_err(|source| SpoolError::Io {
                path: path.to_owned(),
                source,
            })?;
            let (connection, opened) = try_open(path, clock, Some(known))?;
            let set_aside = Some(aside);
            (
                connection,
                Opened {
                    set_aside,
                    ..opened
                },
            )
        }
        other => other?,
    };
    space::keep_reserve(path, limits);
    Ok(opened)
}

/// `begun_anew`: start counter and lease of the file before this one.
fn try_open(
    path: &Path,
    clock: &Clock,
    begun_anew: Option<(i64, i64)>,
) -> Result<(Connection, Opened), SqliteError> {
    let at = at(path);
    let connection = sqlite::open(path, &SCHEMA)?;
    // One statement over each table's root finds gross damage in any file.
    connection
        .query_row(
            "SELECT (SELECT count(*) FROM meta) + (SELECT count(*) FROM lanes) + (SELECT count(*) FROM dropped)",
            [],
            |row| row.get::<_, i64>(0),
        )
        .map_err(&at)?;
    sqlite::check_at_start(&connection, path)?;
    if let Some((starts, lease)) = begun_anew {
        connection
            .execute(
                "UPDATE meta SET starts = ?1, lease = ?2",
                params![starts, lease],
            )
            .map_err(&at)?;
    }
    let starts: u32 = connection
        .query_row("SELECT starts FROM meta", [], |row| row.get(0))
        .map_err(&at)?;
    let is_new = starts == 0 || begun_anew.is_some();
    if is_new {
        account_from(&connection, clock.now()).map_err(&at)?;
    }
    let (last_tick, known_from): (Timestamp, Timestamp) = connection
        .query_row("SELECT last_tick_ms, known_from_ms FROM meta", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(&at)?;
    let epoch = begin_epoch(&connection, 0).map_err(&at)?;
    let opened = Opened {
        epoch,
        // An earlier process may have ended before it stored anything: then its time counts from the file's first start.
        last_tick: (!is_new).then_some(last_tick.max(known_from)),
        known_from,
        is_new,
        set_aside: None,
    };
    Ok((connection, opened))
}

/// Start counter and lease of a damaged file, where they can still be read: else 0, and Central will say.
fn salvage(path: &Path) -> (i64, i64) {
    sqlite::open_reader(path)
        .ok()
        .and_then(|connection| {
            connection
                .query_row("SELECT starts, lease FROM meta", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .ok()
        })
        .unwrap_or((0, 0))
}

/// Begins a new epoch, its start counter above `above` and all of our own.
pub(super) fn begin_epoch(c: &Connection, above: u32) -> rusqlite::Result<Epoch> {
    let epoch = mint_epoch(c, above)?;
    c.execute("UPDATE meta SET running = ?1", [epoch])?;
    settle::pay_owed(c)?;
    Ok(epoch)
}

/// Takes the next start counter without making it the running epoch.
pub(super) fn mint_epoch(c: &Connection, above: u32) -> rusqlite::Result<Epoch> {
    let start: u32 = c.query_row(
        "UPDATE meta SET starts = max(starts, ?1) + 1 RETURNING starts",
        [above.min(u32::MAX / 4)],
        |row| row.get(0),
    )?;
    Ok(Epoch::new(start, rand::random()))
}

/// Notes that this store accounts for all time from `from` on: with the gap over the time before its birth, in the same
/// transaction.
pub(super) fn account_from(c: &Connection, from: Timestamp) -> rusqlite::Result<()> {
    c.execute("UPDATE meta SET known_from_ms = ?1", [from])?;
    Ok(())
}

pub(super) fn running(c: &Connection) -> rusqlite::Result<Epoch> {
    c.prepare_cached("SELECT running FROM meta")?
        .query_row([], |row| row.get(0))
}

fn at(path: &Path) -> impl Fn(rusqlite::Error) -> SqliteError + '_ {
    move |source| SqliteError::at_start(path, source)
}
