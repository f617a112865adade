//! What was found damaged: set aside as it was found, its time a gap; the rest of the day stays readable.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{DeviceNo, GapReason};
use rusqlite::{Connection, params};

use super::days::{Holders, ReadError, chunk_id};
use super::gaps::{self, Gap};
use super::schema::{DAY_MS, HOUR_MS};
use super::shape::Shape;
use super::{Inner, MetricsError};

/// How much of a device's day it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// An hour's chunk.
    Hour(i64),
    /// The whole day's row.
    Day,
    /// One series of the day's row.
    Column {
        /// Poll group.
        group: u8,
        /// Metric.
        metric: String,
        /// Instance.
        instance: u32,
    },
}

impl What {
    pub(super) fn column(shape: &Shape, column: usize) -> Self {
        Self::Column {
            group: shape.form.group,
            metric: shape.metric(column).name.clone(),
            instance: shape.instance(column).0,
        }
    }
}

/// A damaged part of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) probe: ProbeId,
    pub(super) device: DeviceNo,
    /// The device's number in the day's file.
    pub(super) source: i64,
    pub(super) day: i64,
    pub(super) what: What,
    /// As it was found.
    pub(super) body: Vec<u8>,
}

impl Broken {
    /// The time that is missing now.
    pub(super) fn gap(&self) -> Gap {
        let (from, to) = match self.what {
            What::Hour(hour) => (hour, hour.saturating_add(1)),
            What::Day | What::Column { .. } => (
                self.day.saturating_mul(24),
                self.day.saturating_add(1).saturating_mul(24),
            ),
        };
        let at = |hour: i64| Timestamp(hour.saturating_mul(HOUR_MS));
        let mut gap = Gap::of_time(at(from), at(to), GapReason::Quarantined, None);
        gap.device = self.device;
        if let What::Column {
            group,
            metric,
            instance,
        } = &self.what
        {
            gap.group = *group;
            gap.columns = Some(vec![(metric.clone(), *instance)]);
        }
        gap
    }

    /// Takes it out of the way of readers, and keeps it as it was found.
    pub(super) fn set_aside(&self, tx: &Connection, now: Timestamp) -> Result<(), ReadError> {
        self.keep(tx, now)?;
        match self.what {
            What::Hour(hour) => tx
                .prepare_cached("DELETE FROM chunks WHERE id = ?1")?
                .execute([chunk_id(self.source, hour)])?,
            What::Day => tx
                .prepare_cached("DELETE FROM device_days WHERE id = ?1")?
                .execute([self.source])?,
            // The day's row is written anew without it.
            What::Column { .. } => return Ok(()),
        };
        let hours = match self.what {
            What::Hour(hour) => hour..=hour,
            What::Day | What::Column { .. } => self.day * 24..=self.day * 24 + 23,
        };
        for hour in hours {
            let mut holders = Holders::of(tx, self.probe, hour)?;
            if holders.contains(self.source) {
                holders.remove(self.source);
                tx.prepare_cached(
                    "UPDATE sealed SET sources = ?3 WHERE probe_id = ?1 AND hour = ?2",
                )?
                .execute(params![
                    self.probe,
                    hour,
                    holders.to_bytes(self.probe, hour)
                ])?;
            }
        }
        Ok(())
    }

    /// Keeps it as it was found.
    pub(super) fn keep(&self, tx: &Connection, now: Timestamp) -> Result<(), ReadError> {
        let hour = match self.what {
            What::Hour(hour) => Some(hour),
            What::Day | What::Column { .. } => None,
        };
        tx.prepare_cached(
            "INSERT INTO aside (source, hour, found_ms, body) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![self.source, hour, now, self.body])?;
        Ok(())
    }
}

impl Inner {
    /// Says that the time of damaged parts is missing. Before they are set aside: a kill between the two finds them again,
    /// and the gap is the same.
    pub(super) fn gaps_of(&self, broken: &[Broken]) -> Result<(), MetricsError> {
        if broken.is_empty() {
            return Ok(());
        }
        let gaps: Vec<(ProbeId, Gap)> = broken.iter().map(|one| (one.probe, one.gap())).collect();
        self.writer.write_blocking(move |c| {
            gaps.iter()
                .try_for_each(|(probe, gap)| gaps::insert_once(c, *probe, gap))
        })?;
        Ok(())
    }
}

const _: () = assert!(DAY_MS == 24 * HOUR_MS);
