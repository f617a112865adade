//! Interfaces of a device.

use farwatch_shared::id::{DeviceId, InterfaceId, ProbeId};
use farwatch_shared::model::{DeviceNo, InstanceNo};
use rusqlite::{Connection, OptionalExtension as _};

use super::value::{Time, count};
use crate::scope::Scope;

/// One port, as the tables know it.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its id.
    pub id: InterfaceId,
    /// ifIndex today.
    pub if_index: Option<u32>,
    /// `ifName`.
    pub name: String,
    /// `ifDescr`.
    pub descr: String,
    /// `ifAlias`.
    pub alias: String,
    /// Its MAC, or empty.
    pub mac: String,
    /// `ifType`; 0 = not known.
    pub if_type: u32,
    /// Bits a second; 0 = not known.
    pub speed_bps: u64,
    /// `ifAdminStatus`; 0 = not known.
    pub admin: u8,
    /// `ifOperStatus`; 0 = not known.
    pub oper: u8,
    /// Since when.
    pub oper_since: Option<Time>,
    /// Where its samples are.
    pub sources: Vec<(ProbeId, DeviceNo, InstanceNo)>,
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Port> {
    Ok(Port {
        id: row.get(0)?,
        if_index: row.get(1)?,
        name: row.get(2)?,
        descr: row.get(3)?,
        alias: row.get(4)?,
        mac: row.get(5)?,
        if_type: row.get(6)?,
        speed_bps: count(row, 7)?,
        admin: row.get(8)?,
        oper: row.get(9)?,
        oper_since: row.get(10)?,
        sources: Vec::new(),
    })
}

const COLUMNS: &str = "SELECT id, if_index, name, descr, alias, mac, if_type, speed_bps, admin, oper, oper_since_ms FROM interfaces";

/// The present interfaces of a device that the caller already saw, by ifIndex.
///
/// # Errors
/// SQLite's.
pub fn of_device(c: &Connection, device: DeviceId) -> rusqlite::Result<Vec<Port>> {
    let mut ports = c
        .prepare_cached(&format!(
            "{COLUMNS} WHERE device_id = ?1 AND present = 1 ORDER BY if_index, name, id"
        ))?
        .query_map([device], read)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for port in &mut ports {
        port.sources = sources(c, port.id)?;
    }
    Ok(ports)
}

/// One of them with its device, when `scope` sees it.
///
/// # Errors
/// SQLite's.
pub fn get(
    c: &Connection,
    scope: &Scope,
    id: InterfaceId,
) -> rusqlite::Result<Option<(DeviceId, Port)>> {
    let device: Option<DeviceId> = c
        .prepare_cached(
            "SELECT device_id FROM interfaces WHERE id = ?1 AND (?2 IS NULL OR customer_id = ?2)",
        )?
        .query_row((id, scope.customer()), |row| row.get(0))
        .optional()?;
    let Some(device) = device else {
        return Ok(None);
    };
    let mut port = c
        .prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?
        .query_row([id], read)?;
    port.sources = sources(c, id)?;
    Ok(Some((device, port)))
}

/// Which interface an instance of a probe's device is.
///
/// # Errors
/// SQLite's.
pub fn of_instance(
    c: &Connection,
    probe: ProbeId,
    device: DeviceNo,
    instance: InstanceNo,
) -> rusqlite::Result<Option<(InterfaceId, String, u64)>> {
    c.prepare_cached(
        "SELECT i.id, CASE i.name WHEN '' THEN i.descr ELSE i.name END, i.speed_bps
         FROM interface_numbers n JOIN interfaces i ON i.id = n.interface_id
         WHERE n.probe_id = ?1 AND n.device_no = ?2 AND n.instance_no = ?3",
    )?
    .query_row((probe, device, instance), |row| {
        Ok((row.get(0)?, row.get(1)?, count(row, 2)?))
    })
    .optional()
}

fn sources(
    c: &Connection,
    id: InterfaceId,
) -> rusqlite::Result<Vec<(ProbeId, DeviceNo, InstanceNo)>> {
    c.prepare_cached(
        "SELECT probe_id, device_no, instance_no FROM interface_numbers WHERE interface_id = ?1",
    )?
    .query_map([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
    .collect()
}
