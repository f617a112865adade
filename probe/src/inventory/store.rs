//! The inventory in the spool's file: what is told to Central is stored with the batch that tells it, or not at all.

use std::collections::HashMap;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::error::Chain;
use farwatch_shared::model::{DeviceNo, DeviceState};
use farwatch_shared::wire::message::batch::DeviceRecord;
use farwatch_shared::wire::{decode, encode};
use rusqlite::Connection;

use super::{Device, Inventory, Private};
use crate::detect::Remembered;
use crate::spool::kept;

/// Kinds of [`kept`].
const RECORD: &str = "device";
const PRIVATE: &str = "device_private";
const STATE: &str = "device_state";
const NUMBERS: &str = "numbers";
const TICK: &str = "tick";
const SWEEP: &str = "sweep";
const TOLD: &str = "device_readings";

/// What a device's row holds, encoded: to be written inside a commit.
#[derive(Clone, Debug)]
pub struct Row {
    key: i64,
    record: Vec<u8>,
    private: Vec<u8>,
}

impl Row {
    /// Encodes a device.
    #[must_use]
    pub fn of(device: &Device) -> Self {
        Self {
            key: device.no.0.into(),
            record: encode(&device.whole()),
            private: encode(&device.private),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// SQLite's.
    pub fn put(&self, c: &Connection) -> rusqlite::Result<()> {
        kept::put(c, RECORD, self.key, &self.record)?;
        kept::put(c, PRIVATE, self.key, &self.private)
    }
}

/// The state of a device, as it is remembered over a restart.
#[derive(Clone, Debug)]
pub struct StateRow {
    key: i64,
    value: Vec<u8>,
}

impl StateRow {
    /// Encodes it.
    #[must_use]
    pub fn of(device: DeviceNo, state: &Remembered) -> Self {
        Self {
            key: device.0.into(),
            value: encode(&(state.state.code(), state.since, state.reason.clone())),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// SQLite's.
    pub fn put(&self, c: &Connection) -> rusqlite::Result<()> {
        kept::put(c, STATE, self.key, &self.value)
    }
}

/// Everything that is read back at start.
#[derive(Debug, Default)]
pub struct Stored {
    /// The devices.
    pub inventory: Inventory,
    /// Their last states.
    pub states: Vec<(DeviceNo, Remembered)>,
    /// Every slot before it is durable or covered by a gap.
    pub tick: Option<Tick>,
    /// What Central was told that devices measure.
    pub told: HashMap<DeviceNo, Told>,
    /// The inventory was complete once: it is ours, and need not be asked of Central.
    pub is_complete: bool,
}

/// What Central was told that a device measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Told {
    /// Tells it from what was told before.
    pub print: u64,
    /// When.
    pub at: Timestamp,
}

/// Until when, and in which boot, everything was durable.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tick {
    /// Wall clock.
    pub at: Timestamp,
    /// Boot of the machine.
    pub boot_id: String,
}

/// Reads all of it. A row that cannot be read is left out and said.
///
/// # Errors
/// SQLite's.
pub fn load(c: &Connection) -> rusqlite::Result<Stored> {
    let mut stored = Stored::default();
    for (no, record) in kept::all(c, RECORD)? {
        let Ok(record) = decode::<DeviceRecord>(&record) else {
            tracing::warn!("the record of device {no} cannot be read and is made anew");
            continue;
        };
        let private = kept::get(c, PRIVATE, no)?
            .and_then(|private| match decode::<Private>(&private) {
                Ok(private) => Some(private),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "what was known of device {no} is read anew");
                    None
                }
            })
            .unwrap_or_default();
        stored.inventory.restore(record, private);
    }
    for (no, state) in kept::all(c, STATE)? {
        let decoded = decode::<(u8, Timestamp, String)>(&state).ok();
        if let (Ok(no), Some((code, since, reason))) = (u32::try_from(no), decoded)
            && let Some(state) = DeviceState::from_code(code)
        {
            let remembered = Remembered {
                state,
                since,
                reason,
                still_holds: false,
            };
            stored.states.push((DeviceNo(no), remembered));
        }
    }
    for (no, told) in kept::all(c, TOLD)? {
        if let (Ok(no), Ok(told)) = (u32::try_from(no), decode(&told)) {
            stored.told.insert(DeviceNo(no), told);
        }
    }
    if let Some(highest) = highest(c)? {
        stored.inventory.floor(highest);
        stored.is_complete = true;
    }
    stored.tick = kept::get(c, TICK, 0)?.and_then(|value| decode(&value).ok());
    Ok(stored)
}

/// The highest number given, if the inventory is ours.
///
/// # Errors
/// SQLite's.
pub fn highest(c: &Connection) -> rusqlite::Result<Option<u32>> {
    Ok(kept::get(c, NUMBERS, 0)?.and_then(|value| decode(&value).ok()))
}

/// Gives every device's record as it is stored, until `take` has enough.
///
/// # Errors
/// SQLite's.
pub fn each_record(c: &Connection, take: impl FnMut(&[u8]) -> bool) -> rusqlite::Result<()> {
    kept::each(c, RECORD, take)
}

/// The inventory is ours from here on, and no number up to `highest` is minted again.
///
/// # Errors
/// SQLite's.
pub fn put_highest(c: &Connection, highest: u32) -> rusqlite::Result<()> {
    kept::put(c, NUMBERS, 0, &encode(&highest))
}

/// Stores what Central was told that a device measures.
///
/// # Errors
/// SQLite's.
pub fn put_told(c: &Connection, device: DeviceNo, told: &Told) -> rusqlite::Result<()> {
    kept::put(c, TOLD, device.0.into(), &encode(told))
}

/// Stores until when everything is durable.
///
/// # Errors
/// SQLite's.
pub fn put_tick(c: &Connection, tick: &Tick) -> rusqlite::Result<()> {
    kept::put(c, TICK, 0, &encode(tick))
}

/// Forgets a device for good: its state; its record stays, so that its number is never given again.
///
/// # Errors
/// SQLite's.
pub fn remove_state(c: &Connection, device: DeviceNo) -> rusqlite::Result<()> {
    kept::remove(c, STATE, device.0.into())
}

/// Where the sweep is, so that it goes on after a restart.
///
/// # Errors
/// SQLite's.
pub fn put_sweep(c: &Connection, place: &crate::discovery::sweep::Place) -> rusqlite::Result<()> {
    kept::put(c, SWEEP, 0, &encode(place))
}

/// Where the sweep was.
///
/// # Errors
/// SQLite's.
pub fn sweep(c: &Connection) -> rusqlite::Result<Option<crate::discovery::sweep::Place>> {
    Ok(kept::get(c, SWEEP, 0)?.and_then(|value| decode(&value).ok()))
}
