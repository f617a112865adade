//! A damaged `central.db`: never a crash loop. What can be read of it is carried over into a new file, the damaged one is
//! set aside by name, and people are told.
//!
//! The new file is made beside the old one and takes its name only when it is whole: a crash in between begins again.

use std::io;
use std::path::{Path, PathBuf};

use farwatch_shared::clock::Timestamp;
use farwatch_shared::error::Chain;
use farwatch_shared::id::DeploymentId;
use farwatch_shared::sqlite::rescue::{There, Wreck, carry, drop_orphans, tables};
use farwatch_shared::sqlite::{self, SqliteError};
use rusqlite::Connection;

use super::{SCHEMA, audit};

/// What says which batches of events are here. When events were lost these go as well: probes then send again what they
/// still hold, and what is here twice over is better than what is nowhere.
const LEDGER: [&str; 4] = ["lane_crcs", "lane_dropped", "lane_progress", "lane_ranges"];

/// Not taken from the spare copy: tokens that may have been used since, sessions that may have ended, notifications that
/// may have been sent, and what says which batches are here.
const ONCE: [&str; 8] = [
    "join_tokens",
    "lane_crcs",
    "lane_dropped",
    "lane_progress",
    "lane_ranges",
    "outbox",
    "sessions",
    "setup_tokens",
];
/// A copy of the file from within the last hour, for what its damage takes.
const SPARE: &str = "db.spare";

/// Makes the spare copy anew, where there is room for it.
///
/// # Errors
/// In words; the copy of before stays.
pub fn keep_spare(data_dir: &Path) -> Result<(), String> {
    let path = super::Store::path_in(data_dir);
    let stat = nix::sys::statvfs::statvfs(data_dir).map_err(|error| error.to_string())?;
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    let size = std::fs::metadata(&path).map_or(0, |meta| meta.len());
    if free < size.saturating_mul(4) {
        return Err("there is no room for it".to_owned());
    }
    let new = path.with_extension("db.spare-new");
    let attempt = || -> io::Result<()> {
        remove(&new)?;
        crate::backup::copy_database(&path, &new).map_err(io::Error::other)?;
        std::fs::rename(&new, path.with_extension(SPARE))?;
        sync_directory(&path)
    };
    attempt().map_err(|error| error.to_string())
}

/// Opens the file, rescued when it has to be.
pub(super) fn open(
    data_dir: &Path,
    path: &Path,
    now: Timestamp,
) -> Result<Connection, SqliteError> {
    let rescued = path.with_extension("db.rescued");
    if rescued.exists() && !path.exists() {
        take_place(&rescued, path).map_err(|error| on_disk(path, error))?;
    }
    let opened = sqlite::open(path, &SCHEMA)
        .and_then(|connection| sqlite::check_at_start(&connection, path).map(|()| connection));
    match opened {
        Err(error) if error.is_corrupt() => {
            tracing::error!(error = %Chain(&error), "central.db is damaged: what can be read of it is carried over");
            rescue(data_dir, path, &rescued, now)?;
            sqlite::open(path, &SCHEMA)
        }
        other => other,
    }
}

fn rescue(data_dir: &Path, path: &Path, rescued: &Path, now: Timestamp) -> Result<(), SqliteError> {
    let at = |source| SqliteError::Sqlite {
        path: path.to_owned(),
        source,
    };
    let io = |error| on_disk(path, error);
    let making = path.with_extension("db.rescue");
    for stale in [&making, rescued] {
        remove(stale).map_err(io)?;
    }
    let new = sqlite::open(&making, &SCHEMA)?;
    let said = carry_over(data_dir, path, &new, now).map_err(at)?;
    new.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .map_err(at)?;
    drop(new);
    std::fs::rename(&making, rescued).map_err(io)?;
    sync_directory(path).map_err(io)?;
    let aside = sqlite::set_aside(path, now).map_err(io)?;
    take_place(rescued, path).map_err(io)?;
    tracing::error!(path = %aside.display(), "central.db was damaged and is set aside; {said}");
    Ok(())
}

/// In one transaction; in words, what was lost.
fn carry_over(
    data_dir: &Path,
    path: &Path,
    new: &Connection,
    now: Timestamp,
) -> rusqlite::Result<String> {
    new.pragma_update(None, "foreign_keys", false)?;
    let step = new.unchecked_transaction()?;
    let mut torn = Vec::new();
    let wreck = Wreck::open(path).ok();
    for table in tables(&step)? {
        let whole = match &wreck {
            Some(wreck) => carry(wreck.connection(), &step, &table, There::GivesWay)?.whole,
            None => false,
        };
        if !whole {
            torn.push(table);
        }
    }
    drop(wreck);
    // What the wreck does not give is as it was an hour ago at the most, but for what was only to be used once.
    if !torn.is_empty()
        && let Ok(spare) = sqlite::open_reader(&path.with_extension(SPARE))
    {
        for table in torn.iter().filter(|table| !ONCE.contains(&table.as_str())) {
            carry(&spare, &step, table, There::Stays)?;
        }
    }
    let gone = drop_orphans(&step)?;
    let mut rows = 0;
    for table in tables(&step)? {
        rows += step.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
            row.get::<_, i64>(0)
        })?;
    }
    if !torn.is_empty() || gone > 0 {
        for table in LEDGER {
            step.execute(&format!("DELETE FROM {table}"), [])?;
        }
    }
    let known: i64 = step.query_row("SELECT count(*) FROM deployment", [], |row| row.get(0))?;
    if known == 0
        && let Some(deployment) = deployment_of_ca(data_dir)
    {
        step.execute(
            "INSERT INTO deployment (one, id, created_ms) VALUES (1, ?1, ?2)",
            (deployment, now),
        )?;
    }
    let said = if torn.is_empty() {
        format!("{rows} rows were carried over, {gone} had lost what they belong to")
    } else {
        format!(
            "{rows} rows were carried over, {gone} had lost what they belong to; not all could be read of: {}",
            torn.join(", ")
        )
    };
    let act = audit::Act {
        action: "store.rescue",
        object_kind: "store",
        object_id: &"central.db",
        customer: None,
        detail: serde_json::json!({ "rows": rows, "orphans": gone, "torn": torn }),
    };
    audit::write_as(&step, "central", "", now, &act)?;
    step.commit()?;
    Ok(said)
}

/// The CA's certificate says which installation this is: with another id no probe would know us.
fn deployment_of_ca(data_dir: &Path) -> Option<DeploymentId> {
    let pem = std::fs::read(data_dir.join("ca/ca.pem")).ok()?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok()?.rsplit(' ').next()?.parse().ok()
}

fn take_place(rescued: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(rescued, path)?;
    sync_directory(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => std::fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.to_owned().into_os_string();
        name.push(suffix);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn on_disk(path: &Path, error: io::Error) -> SqliteError {
    SqliteError::Sqlite {
        path: path.to_owned(),
        source: rusqlite::Error::ToSqlConversionFailure(Box::new(error)),
    }
}

/// Files of this directory that were damaged and set aside, for whoever looks after it.
#[must_use]
pub fn set_aside_in(data_dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = [data_dir.to_owned(), data_dir.join("days")]
        .iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok())
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            name.rsplit_once(".damaged-")
                .is_some_and(|(_, when)| when.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn a_damaged_file_is_set_aside_and_what_can_be_read_lives_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Timestamp(1)).unwrap();
        let before = store
            .write(|c| {
                for at in 0..3_000_i64 {
                    c.execute(
                        "INSERT INTO customers (id, name, created_ms) VALUES (?1, ?2, 0)",
                        (
                            at.to_be_bytes().repeat(2),
                            format!("customer {at} {}", "x".repeat(200)),
                        ),
                    )?;
                }
                crate::store::deployment(c)
            })
            .await
            .unwrap();
        drop(store);
        let path = dir.path().join("central.db");
        // The writer's thread closes the file, and with it the log, when it is through.
        while dir.path().join("central.db-wal").exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        let half = bytes.len() / 2;
        bytes[half..half + 20_000].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let store = Store::open(dir.path(), Timestamp(7)).unwrap();
        let (customers, after): (i64, DeploymentId) = store
            .read(|c| {
                let customers =
                    c.query_row("SELECT count(*) FROM customers", [], |row| row.get(0))?;
                Ok((customers, crate::store::deployment(c)?))
            })
            .await
            .unwrap();
        assert_eq!(before, after);
        assert!(customers > 2_000, "{customers}");
        assert_eq!(set_aside_in(dir.path()), ["central.db.damaged-7"]);
    }

    #[tokio::test]
    async fn what_the_damage_took_comes_from_the_spare_copy() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Timestamp(1)).unwrap();
        for id in 1..=2_u8 {
            store
                .write(move |c| {
                    c.execute(
                        "INSERT INTO customers (id, name, created_ms) VALUES (?1, ?2, 0)",
                        ([id; 16], format!("customer {id}")),
                    )
                })
                .await
                .unwrap();
            if id == 1 {
                keep_spare(dir.path()).unwrap();
            }
        }
        drop(store);
        while dir.path().join("central.db-wal").exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        // The first page says what is where: without it nothing can be read.
        let path = dir.path().join("central.db");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[..16_384].fill(0x33);
        std::fs::write(&path, bytes).unwrap();
        let store = Store::open(dir.path(), Timestamp(8)).unwrap();
        let names: Vec<String> = store
            .read(|c| {
                c.prepare("SELECT name FROM customers")?
                    .query_map([], |row| row.get(0))?
                    .collect()
            })
            .await
            .unwrap();
        assert_eq!(names, ["customer 1"]);
    }
}
