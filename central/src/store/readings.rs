//! What devices measure beside their interfaces: sensors, storage, processors.

use std::collections::BTreeMap;

use farwatch_shared::id::{CustomerId, DeviceId, ProbeId};
use farwatch_shared::model::DeviceNo;
use farwatch_shared::wire::message::batch::{ReadingRecord, ReadingsRecord};
use rusqlite::{Connection, params};

use super::value::Time;

/// Replaces what is known of one device of a probe.
///
/// # Errors
/// SQLite's.
pub fn put(
    c: &Connection,
    probe: ProbeId,
    customer: CustomerId,
    record: &ReadingsRecord,
    at: Time,
) -> rusqlite::Result<()> {
    let json = serde_json::to_string(record).expect("a record of texts and numbers is JSON");
    c.prepare_cached(
        "INSERT INTO device_readings (probe_id, device_no, customer_id, record, at_ms) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT DO UPDATE SET record = excluded.record, at_ms = excluded.at_ms",
    )?
    .execute(params![probe, record.device, customer, json, at])?;
    Ok(())
}

/// What a device that the caller already saw measures.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// By their numbers, which are the same whichever probe reads them; the newest word counts.
    pub all: BTreeMap<u32, ReadingRecord>,
    /// More than its probe reads.
    pub left_out: u32,
}

/// What a device that the caller already saw measures.
///
/// # Errors
/// SQLite's.
pub fn of_device(c: &Connection, device: DeviceId) -> rusqlite::Result<Readings> {
    let mut statement = c.prepare_cached(
        "SELECT r.record, r.probe_id, r.device_no FROM device_readings r \
         JOIN device_numbers n ON n.probe_id = r.probe_id AND n.device_no = r.device_no \
         WHERE n.device_id = ?1 ORDER BY r.at_ms",
    )?;
    let mut readings = Readings::default();
    let mut rows = statement.query([device])?;
    while let Some(row) = rows.next()? {
        let record: ReadingsRecord = match serde_json::from_str(row.get_ref(0)?.as_str()?) {
            Ok(record) => record,
            Err(error) => {
                let (probe, no): (ProbeId, DeviceNo) = (row.get(1)?, row.get(2)?);
                tracing::error!(probe.id = %probe, device.no = no.0, %error, "what a device measures cannot be read");
                continue;
            }
        };
        readings.left_out = record.left_out;
        let of_probe = record.readings.into_iter();
        readings
            .all
            .extend(of_probe.map(|reading| (reading.instance, reading)));
    }
    Ok(readings)
}
