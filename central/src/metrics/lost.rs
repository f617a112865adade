//! A day's file that SQLite itself finds damaged: set aside, what can still be read of it saved, the rest a gap.
//!
//! Every chunk has a checksum by whose it is, so that whatever is read out of a torn file is either right or left. The rest
//! of the hours that metrics.db knows to be sealed there is said to be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{DeviceNo, GapReason};
use farwatch_shared::sqlite;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::chunk::{self, Whose};
use super::day;
use super::days::{self, Holders, ReadError, chunk_id, lock};
use super::gaps::{self, Gap};
use super::schema::{HOUR_MS, day_of};
use super::shape::Shape;
use super::{Inner, MetricsError};

/// What could be read of a damaged file.
#[derive(Default)]
struct Saved {
    shapes: BTreeMap<u64, Arc<Shape>>,
    hours: Vec<Hour>,
    devices: Vec<Device>,
    /// Hours of which somebody had samples whose device cannot be told any more.
    nameless: Vec<(ProbeId, i64)>,
}

/// A sealed hour of a probe.
struct Hour {
    probe: ProbeId,
    hour: i64,
    batches: Vec<u8>,
    holders: Holders,
    samples: i64,
    polls: i64,
    rolled: i64,
}

/// A device's bodies.
struct Device {
    probe: ProbeId,
    device: DeviceNo,
    day: Option<Vec<u8>>,
    hours: Vec<(i64, Vec<u8>)>,
    /// Hours that it has samples of.
    sealed: Vec<i64>,
    /// Hours that could not be read; all of them when the day's row could not.
    lost: Vec<i64>,
}

impl Inner {
    /// Day files that were damaged are set aside; what they held and cannot be read becomes a gap.
    pub(super) fn lost_days(&self) -> Result<(), MetricsError> {
        for (day, aside) in self.days.set_damaged_aside() {
            let saved = save(day, &aside).unwrap_or_else(|error| {
                tracing::warn!(path = %aside.display(), error = %farwatch_shared::error::Chain(&error), "nothing could be saved of a damaged day");
                Saved::default()
            });
            let gaps = saved.gaps();
            let kept: Vec<(ProbeId, i64)> =
                saved.hours.iter().map(|of| (of.probe, of.hour)).collect();
            // Gaps first: a kill before the new file is whole leaves a gap too many, never one too few.
            self.writer
                .write_blocking(move |c| lose_day(c, day, &kept, &gaps))?;
            if !saved.hours.is_empty() {
                tracing::warn!(
                    day,
                    hours = saved.hours.len(),
                    devices = saved.devices.len(),
                    "a part of a damaged day could be saved"
                );
                self.days.write(day, |tx| saved.write(tx))?;
                lock(&self.to_compact).insert(day);
            }
            let mut state = self.state_mut();
            for of in state.probes.values_mut() {
                for (hour, rows) in &mut of.hours {
                    if day_of(*hour) == day {
                        (rows.sealed, rows.sealed_polls) = (Arc::default(), 0);
                    }
                }
            }
        }
        Ok(())
    }

    /// Parts of days that readers found damaged are set aside; their time becomes a gap.
    pub(super) fn set_broken_aside(&self) -> Result<(), MetricsError> {
        for one in self.days.broken() {
            self.rebuild(&one)?;
            self.days.forget_broken(&one);
        }
        Ok(())
    }
}

/// Reads what can be read, each part for itself.
fn save(day: i64, path: &Path) -> Result<Saved, ReadError> {
    let c = sqlite::open_reader(path)?;
    let bodies = rows(&c, "SELECT body FROM shapes", |row| {
        row.get::<_, Vec<u8>>(0)
    })?;
    let shapes = bodies
        .iter()
        .filter_map(|body| Shape::from_bytes(body).ok())
        .map(|shape| (shape.hash, Arc::new(shape)))
        .collect();
    let hours = rows(
        &c,
        "SELECT probe_id, hour, batches, samples, polls, rolled, sources FROM sealed",
        |row| {
            let (probe, hour, sources) = (row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(6)?);
            Ok(Hour {
                probe,
                hour,
                batches: row.get(2)?,
                holders: Holders::from_bytes(&sources, probe, hour)
                    .map_err(|_| rusqlite::Error::InvalidQuery)?,
                samples: row.get(3)?,
                polls: row.get(4)?,
                rolled: row.get(5)?,
            })
        },
    )?;
    let mut saved = Saved {
        shapes,
        hours,
        devices: Vec::new(),
        nameless: Vec::new(),
    };
    saved.hours.retain(|of| {
        day_of(of.hour) == day && days::sealed_from(&of.batches, of.probe, of.hour).is_ok()
    });
    // The table and its index say the same; where one of them was changed, the other is right.
    let mut sources = BTreeSet::new();
    for by in ["NOT INDEXED", "INDEXED BY sqlite_autoindex_sources_1"] {
        let sql = format!("SELECT id, probe_id, device FROM sources {by}");
        sources.extend(rows(&c, &sql, |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, ProbeId>(1)?,
                row.get::<_, DeviceNo>(2)?,
            ))
        })?);
    }
    let known: BTreeSet<i64> = sources.iter().map(|(source, ..)| *source).collect();
    saved.nameless = saved
        .hours
        .iter()
        .filter(|of| !of.holders.are_among(&known))
        .map(|of| (of.probe, of.hour))
        .collect();
    for (source, probe, device) in sources {
        let sealed: Vec<i64> = saved
            .hours
            .iter()
            .filter(|of| of.probe == probe && of.holders.contains(source))
            .map(|of| of.hour)
            .collect();
        let of = device_of(&c, day, (source, probe, device), &sealed, &saved.shapes);
        saved.devices.push(of);
    }
    Ok(saved)
}

/// Rows of a table until the first that cannot be read.
fn rows<T>(
    c: &Connection,
    sql: &str,
    read: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, ReadError> {
    let mut statement = c.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Ok(Some(row)) = rows.next() {
        if let Ok(one) = read(row) {
            all.push(one);
        }
    }
    Ok(all)
}

fn device_of(
    c: &Connection,
    day: i64,
    (source, probe, device): (i64, ProbeId, DeviceNo),
    sealed: &[i64],
    shapes: &BTreeMap<u64, Arc<Shape>>,
) -> Device {
    let shape_of = |hash: u64| shapes.get(&hash).cloned();
    let body = |sql: &str, id: i64| -> Result<Option<Vec<u8>>, ()> {
        c.prepare_cached(sql)
            .and_then(|mut statement| statement.query_row([id], |row| row.get(0)).optional())
            .map_err(|_| ())
    };
    let mut of = Device {
        probe,
        device,
        day: None,
        hours: Vec::new(),
        sealed: sealed.to_vec(),
        lost: Vec::new(),
    };
    match body("SELECT body FROM device_days WHERE id = ?1", source) {
        Ok(None) => {}
        Ok(Some(body)) if day::open(&body, Whose::of(probe, device, day), shape_of).is_ok() => {
            of.day = Some(body);
        }
        Ok(Some(_)) | Err(()) => of.lost = sealed.to_vec(),
    }
    for &hour in sealed {
        match body(
            "SELECT body FROM chunks WHERE id = ?1",
            chunk_id(source, hour),
        ) {
            Ok(Some(body))
                if chunk::open(&body, Whose::of(probe, device, hour), shape_of).is_ok() =>
            {
                of.hours.push((hour, body));
            }
            Ok(None) if of.day.is_some() => {}
            Ok(_) | Err(()) => of.lost.push(hour),
        }
    }
    of.lost.sort_unstable();
    of.lost.dedup();
    of
}

impl Saved {
    /// What a device misses in hours that are saved as a whole; where nobody knows which device, any of the probe's may.
    fn gaps(&self) -> Vec<(ProbeId, Gap)> {
        let named = self
            .devices
            .iter()
            .flat_map(|of| of.lost.iter().map(|hour| (of.probe, gap(*hour, of.device))));
        let nameless = self.nameless.iter();
        named
            .chain(nameless.map(|(probe, hour)| (*probe, gap(*hour, DeviceNo(0)))))
            .collect()
    }

    fn write(&self, tx: &Connection) -> Result<(), ReadError> {
        for shape in self.shapes.values() {
            days::put_shape(tx, shape)?;
        }
        let mut held: BTreeMap<(ProbeId, i64), Holders> = BTreeMap::new();
        for of in &self.devices {
            let source = days::put_source(tx, of.probe, of.device)?;
            let chunks = of.hours.iter().map(|(hour, _)| hour);
            let of_day = of.sealed.iter().filter(|_| of.day.is_some());
            for hour in chunks.chain(of_day) {
                held.entry((of.probe, *hour)).or_default().insert(source);
            }
        }
        for of in &self.hours {
            let holders = held.remove(&(of.probe, of.hour)).unwrap_or_default();
            tx.prepare_cached(
                "INSERT INTO sealed (probe_id, hour, batches, samples, polls, rolled, sources)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                of.probe,
                of.hour,
                of.batches,
                of.samples,
                of.polls,
                of.rolled,
                holders.to_bytes(of.probe, of.hour)
            ])?;
        }
        for of in &self.devices {
            let source = days::put_source(tx, of.probe, of.device)?;
            if let Some(body) = &of.day {
                tx.prepare_cached("INSERT INTO device_days (id, body) VALUES (?1, ?2)")?
                    .execute(params![source, body])?;
            }
            for (hour, body) in &of.hours {
                tx.prepare_cached("INSERT INTO chunks (id, body) VALUES (?1, ?2)")?
                    .execute(params![chunk_id(source, *hour), body])?;
            }
        }
        Ok(())
    }
}

fn gap(hour: i64, device: DeviceNo) -> Gap {
    let at = |hour: i64| Timestamp(hour.saturating_mul(HOUR_MS));
    let mut gap = Gap::of_time(
        at(hour),
        at(hour.saturating_add(1)),
        GapReason::Quarantined,
        None,
    );
    gap.device = device;
    gap
}

fn lose_day(
    c: &Connection,
    day: i64,
    kept: &[(ProbeId, i64)],
    gaps: &[(ProbeId, Gap)],
) -> rusqlite::Result<()> {
    let hours: Vec<(ProbeId, i64)> = c
        .prepare(
            "SELECT probe_id, hour FROM hours WHERE hour BETWEEN ?1 AND ?2 ORDER BY probe_id, hour",
        )?
        .query_map([day * 24, day * 24 + 23], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    for (probe, hour) in hours.iter().filter(|of| !kept.contains(of)) {
        gaps::insert_once(c, *probe, &gap(*hour, DeviceNo(0)))?;
        c.execute(
            "DELETE FROM hours WHERE probe_id = ?1 AND hour = ?2",
            params![probe, hour],
        )?;
    }
    for (probe, gap) in gaps {
        gaps::insert_once(c, *probe, gap)?;
    }
    Ok(())
}
