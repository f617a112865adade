//! Rows out of a damaged file: what can still be read is carried over, the rest is counted.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// A damaged file opened to be read as far as it can be: a copy beside it, which goes when this is dropped. SQLite reads
/// nothing of a file that is shorter than its first page says; the copy is as long.
#[derive(Debug)]
pub struct Wreck {
    connection: Option<Connection>,
    copy: PathBuf,
}

impl Wreck {
    /// Copies and opens it.
    ///
    /// # Errors
    /// No room for a copy, or SQLite cannot open it at all.
    pub fn open(path: &Path) -> Result<Self, super::SqliteError> {
        let mut this = Self {
            connection: None,
            copy: path.with_extension("db.reading"),
        };
        this.copy_from(path)
            .map_err(|error| super::SqliteError::Sqlite {
                path: this.copy.clone(),
                source: rusqlite::Error::ToSqlConversionFailure(Box::new(error)),
            })?;
        this.connection = Some(super::open_reader(&this.copy)?);
        Ok(this)
    }

    /// To read from.
    ///
    /// # Panics
    /// Never: it was opened.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("it was opened")
    }

    fn copy_from(&self, path: &Path) -> std::io::Result<()> {
        for suffix in ["", "-wal"] {
            match std::fs::copy(beside(path, suffix), beside(&self.copy, suffix)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        lengthen(&self.copy)
    }
}

impl Drop for Wreck {
    fn drop(&mut self) {
        self.connection = None;
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&self.copy, suffix));
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes a file as long as its first page says (bytes 16 and 28 of the file format).
fn lengthen(copy: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(copy)?;
    let mut head = [0; 32];
    if file.read_exact_at(&mut head, 0).is_err() {
        return Ok(()); // not even a first page
    }
    let page = match u64::from(u16::from_be_bytes([head[16], head[17]])) {
        1 => 65_536,
        size => size,
    };
    let pages = u64::from(u32::from_be_bytes([head[28], head[29], head[30], head[31]]));
    let length = file.metadata()?.len();
    // A damaged head may say anything; nobody cut off more than sixteen times what is left.
    let wanted = page.saturating_mul(pages).min(length.saturating_mul(16));
    if wanted > length {
        file.set_len(wanted)?;
    }
    Ok(())
}

/// What becomes of a row that is there already when another with its key is carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// It gives way.
    GivesWay,
    /// It stays.
    Stays,
}

/// What became of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Rows that are in the new file.
    pub rows: u64,
    /// Whether the table was read from end to end.
    pub whole: bool,
}

/// Looks behind a damaged spot so often, each time twice as far, before it gives up.
const LOOKS: u32 = 48;
/// Damaged spots of a table that are looked behind.
const SPOTS: u32 = 1_000;

/// Carries over the rows of `table` that can be read.
///
/// From the front until something is in the way, from the back, and by row number from behind each damaged spot to the next.
/// Rows that the new file's own rules refuse (types, checks) stay behind.
///
/// # Errors
/// The new file's own; what is wrong with the old one only leaves rows behind.
pub fn carry(
    old: &Connection,
    new: &Connection,
    table: &str,
    there: There,
) -> rusqlite::Result<Carried> {
    let columns = columns(new, table)?;
    let known = columns_or_none(old, table);
    let shared: Vec<&str> = columns
        .iter()
        .map(String::as_str)
        .filter(|name| known.iter().any(|known| known == name))
        .collect();
    let mut carried = Carried::default();
    if shared.is_empty() {
        return Ok(carried);
    }
    let list = shared.join(", ");
    let places = vec!["?"; shared.len()].join(", ");
    let or = match there {
        There::GivesWay => "REPLACE",
        There::Stays => "IGNORE",
    };
    let put = format!("INSERT OR {or} INTO {table} ({list}) VALUES ({places})");
    let mut refused = false;
    let key = key_of(new, table)?;
    // The number of the row, where rows have one.
    let number = if key == "rowid" { "rowid" } else { "0" };
    // Whether the end was reached, and the number of the last row that was read.
    let mut pass = |order: &str| -> rusqlite::Result<(bool, Option<i64>)> {
        let mut last = None;
        let Ok(mut select) = old.prepare(&format!("SELECT {number}, {list} FROM {table} {order}"))
        else {
            return Ok((false, last));
        };
        let Ok(mut rows) = select.query([]) else {
            return Ok((false, last));
        };
        let mut put = new.prepare_cached(&put)?;
        loop {
            let Ok(row) = rows.next() else {
                return Ok((false, last));
            };
            let Some(row) = row else {
                return Ok((true, last));
            };
            last = row.get(0).ok().or(last);
            let values: rusqlite::Result<Vec<Value>> =
                (1..=shared.len()).map(|at| row.get(at)).collect();
            match values.map(|values| put.execute(params_from_iter(values))) {
                Ok(Ok(_)) => {}
                Ok(Err(error)) if super::is_full(&error) => return Err(error),
                Ok(Err(_)) | Err(_) => refused = true,
            }
        }
    };
    let (mut whole, mut last) = pass("")?;
    if !whole {
        pass(&format!("ORDER BY {key} DESC"))?;
        let (mut ended, mut spots) = (key != "rowid", 0);
        while !ended && spots < SPOTS {
            spots += 1;
            let before = last;
            for look in 0..LOOKS {
                let from = last.unwrap_or(0).saturating_add(1 << look);
                let (end, read) = pass(&format!("WHERE rowid >= {from} ORDER BY rowid"))?;
                ended = end;
                last = read.or(last);
                if end || read.is_some() {
                    break;
                }
            }
            ended |= last == before;
        }
    }
    whole &= !refused;
    carried.whole = whole;
    carried.rows = new.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
        row.get::<_, i64>(0).map(i64::unsigned_abs)
    })?;
    Ok(carried)
}

/// Removes rows whose parent did not make it, and theirs, until every row has its parent. Returns how many went.
///
/// # Errors
/// SQLite's.
pub fn drop_orphans(new: &Connection) -> rusqlite::Result<u64> {
    let mut gone = 0;
    loop {
        let mut now = 0;
        for table in tables(new)? {
            let parents: Vec<(String, String, Option<String>)> = new
                .prepare(&format!("PRAGMA foreign_key_list({table})"))?
                .query_map([], |row| Ok((row.get(2)?, row.get(3)?, row.get(4)?)))?
                .collect::<Result<_, _>>()?;
            for (parent, from, to) in parents {
                let to = to.unwrap_or_else(|| "id".to_owned());
                now += new.execute(
                    &format!(
                        "DELETE FROM {table} WHERE {from} IS NOT NULL AND {from} NOT IN (SELECT {to} FROM {parent})"
                    ),
                    [],
                )?;
            }
        }
        gone += now as u64;
        if now == 0 {
            return Ok(gone);
        }
    }
}

/// The tables of a file, its own ones.
///
/// # Errors
/// SQLite's.
pub fn tables(c: &Connection) -> rusqlite::Result<Vec<String>> {
    c.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    )?
    .query_map([], |row| row.get(0))?
    .collect()
}

fn columns(c: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    c.prepare(&format!("PRAGMA table_info({table})"))?
        .query_map([], |row| row.get(1))?
        .collect()
}

fn columns_or_none(c: &Connection, table: &str) -> Vec<String> {
    columns(c, table).unwrap_or_default()
}

/// What a table is ordered by on disk.
fn key_of(c: &Connection, table: &str) -> rusqlite::Result<String> {
    let mut key: Vec<(i64, String)> = c
        .prepare(&format!("PRAGMA table_info({table})"))?
        .query_map([], |row| Ok((row.get(5)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    key.retain(|(place, _)| *place > 0);
    key.sort();
    let without_rowid = c.prepare(&format!("SELECT rowid FROM {table}")).is_err();
    if !without_rowid || key.is_empty() {
        return Ok("rowid".to_owned());
    }
    let names: Vec<String> = key.into_iter().map(|(_, name)| name).collect();
    Ok(names.join(" DESC, "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_before_and_behind_the_damage_are_carried_over_and_orphans_go() {
        let dir = tempfile::tempdir().unwrap();
        let schema = super::super::Schema {
            application_id: 1,
            migrations: &["CREATE TABLE p (id INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT;
                 CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER NOT NULL REFERENCES p (id) ON DELETE CASCADE) STRICT;"],
        };
        let path = dir.path().join("old.db");
        {
            let old = super::super::open(&path, &schema).unwrap();
            for id in 0..2_000_i64 {
                old.execute("INSERT INTO p VALUES (?1, ?2)", (id, "x".repeat(500)))
                    .unwrap();
                old.execute("INSERT INTO c VALUES (?1, ?1)", [id]).unwrap();
            }
            old.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
                .unwrap();
        }
        let mut bytes = std::fs::read(&path).unwrap();
        let half = bytes.len() / 2 / 16_384 * 16_384;
        bytes[half..half + 16_384].fill(0x5a);
        // And the end is missing.
        bytes.truncate(bytes.len() - 40_000);
        std::fs::write(&path, bytes).unwrap();
        let wreck = Wreck::open(&path).unwrap();
        let old = wreck.connection();
        let new = super::super::open(&dir.path().join("new.db"), &schema).unwrap();
        new.pragma_update(None, "foreign_keys", false).unwrap();
        let (parents, children) = (
            carry(old, &new, "p", There::GivesWay).unwrap(),
            carry(old, &new, "c", There::GivesWay).unwrap(),
        );
        assert!(!parents.whole && parents.rows > 1_200, "{parents:?}");
        let gone = drop_orphans(&new).unwrap();
        assert_eq!(children.rows - gone, parents.rows);
    }
}
