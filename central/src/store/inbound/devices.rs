//! Device records: which device is that, and what is known of it.
//!
//! A probe's number is mapped to a [`DeviceId`] once. A new number belongs to a device of the same site that shares
//! strong evidence (engine id, serial, chassis MAC) or, where nothing contradicts, its address. That is how history
//! goes on when a probe is replaced, and how two probes of one site see one device.

use std::collections::BTreeMap;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{DeviceId, InterfaceId};
use farwatch_shared::model::DeviceState;
use farwatch_shared::wire::message::batch::{DeviceRecord, InterfaceRecord};
use farwatch_shared::wire::message::session::DeviceNow;
use rusqlite::{OptionalExtension as _, params};

use super::Inbound;
use crate::incident::rules;
use crate::live::Change;

/// Evidence by which two numbers are one device.
const STRONG: [&str; 3] = ["engine_id", "serial", "chassis_mac"];
/// Names shorter than this are no name.
const NO_NAME: &str = "unnamed device";

impl Inbound<'_> {
    /// Takes in one whole record.
    pub(super) fn device(&mut self, record: &DeviceRecord) -> rusqlite::Result<()> {
        if record.device == 0 {
            return Ok(());
        }
        let at = self.correction.apply(record.at).min(self.now);
        let known = self.device_id(record.device)?;
        let device = match known {
            Some(device) => device,
            None => match self.same_device(record)? {
                Some(device) => device,
                None => self.mint(record, at)?,
            },
        };
        let json = serde_json::to_string(record).expect("a plain struct is JSON");
        self.c
            .prepare_cached(
                "INSERT INTO device_numbers (probe_id, device_no, device_id, customer_id, record) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (probe_id, device_no) DO UPDATE SET record = excluded.record",
            )?
            .execute(params![self.scope.probe(), record.device, device, self.scope.customer(), json])?;
        self.describe(device, record, &json)?;
        self.keep_evidence(device, record, at)?;
        for interface in &record.interfaces {
            self.interface(device, record.device, interface)?;
        }
        self.retire(device, record.retired)?;
        if known.is_none() {
            self.adopt_orphans(device, record.device)?;
        }
        self.effects.push(Change::Mapped {
            probe: self.scope.probe(),
            device_no: record.device,
            device,
        });
        self.effects.push(Change::Device { device });
        Ok(())
    }

    /// A device of this site that the record is about, when its number is new here.
    fn same_device(&self, record: &DeviceRecord) -> rusqlite::Result<Option<DeviceId>> {
        let strong = strong_evidence(record);
        let mut by_evidence = self.c.prepare_cached(
            "SELECT e.device_id FROM device_evidence e JOIN devices d ON d.id = e.device_id \
             WHERE e.site_id = ?1 AND e.kind = ?2 AND e.value = ?3 AND d.forgotten_ms IS NULL ORDER BY e.at_ms DESC",
        )?;
        for (kind, value) in &strong {
            let found = by_evidence
                .query_map(params![self.scope.site(), kind, value], |row| {
                    row.get::<_, DeviceId>(0)
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            for device in found {
                if self.may_be(device, &strong)? {
                    return Ok(Some(device));
                }
            }
        }
        let by_address = self
            .c
            .prepare_cached("SELECT id FROM devices WHERE site_id = ?1 AND address = ?2 AND forgotten_ms IS NULL")?
            .query_map(params![self.scope.site(), record.address], |row| row.get::<_, DeviceId>(0))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for device in by_address {
            if self.may_be(device, &strong)? {
                return Ok(Some(device));
            }
        }
        Ok(None)
    }

    /// Nothing speaks against it: no strong evidence of the same kind differs, and this probe does not tell them apart.
    fn may_be(&self, device: DeviceId, strong: &BTreeMap<&str, &str>) -> rusqlite::Result<bool> {
        let told_apart: bool = self
            .c
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM device_numbers WHERE device_id = ?1 AND probe_id = ?2 \
                 AND json_extract(record, '$.retired') = 0)",
            )?
            .query_row(params![device, self.scope.probe()], |row| row.get(0))?;
        if told_apart {
            return Ok(false);
        }
        let mut held = self
            .c
            .prepare_cached("SELECT kind, value FROM device_evidence WHERE device_id = ?1")?;
        let held = held
            .query_map(params![device], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(strong.iter().all(|(kind, value)| {
            let mut same_kind = held.iter().filter(|(k, _)| k == kind).peekable();
            same_kind.peek().is_none() || same_kind.any(|(_, v)| v == value)
        }))
    }

    fn mint(&self, record: &DeviceRecord, at: Timestamp) -> rusqlite::Result<DeviceId> {
        let device = DeviceId::generate();
        self.c
            .prepare_cached(
                "INSERT INTO devices (id, customer_id, site_id, record, name, address, state, state_since_ms, first_seen_ms) \
                 VALUES (?1, ?2, ?3, '{}', ?4, ?5, ?6, ?7, ?7)",
            )?
            .execute(params![
                device,
                self.scope.customer(),
                self.scope.site(),
                name_of(record),
                record.address,
                DeviceState::Unknown.code(),
                at
            ])?;
        Ok(device)
    }

    fn describe(
        &self,
        device: DeviceId,
        record: &DeviceRecord,
        json: &str,
    ) -> rusqlite::Result<()> {
        self.c
            .prepare_cached(
                "UPDATE devices SET record = ?2, name = ?3, address = ?4, vendor = ?5, model = ?6, role = ?7, snmp = ?8 WHERE id = ?1",
            )?
            .execute(params![
                device,
                json,
                name_of(record),
                record.address,
                record.vendor.as_str(),
                record.model.as_str(),
                record.role,
                record.snmp
            ])?;
        Ok(())
    }

    fn keep_evidence(
        &self,
        device: DeviceId,
        record: &DeviceRecord,
        at: Timestamp,
    ) -> rusqlite::Result<()> {
        let mut upsert = self.c.prepare_cached(
            "INSERT INTO device_evidence (site_id, kind, value, device_id, at_ms) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (site_id, kind, value, device_id) DO UPDATE SET at_ms = excluded.at_ms",
        )?;
        for (kind, value) in &record.evidence {
            upsert.execute(params![self.scope.site(), kind, value.as_str(), device, at])?;
        }
        Ok(())
    }

    fn interface(
        &self,
        device: DeviceId,
        device_no: u32,
        record: &InterfaceRecord,
    ) -> rusqlite::Result<()> {
        if record.instance == 0 {
            return Ok(());
        }
        let interface = match self.interface_id(device_no, record.instance)? {
            Some(interface) => interface,
            None => {
                let interface = match self.same_interface(device, device_no, record)? {
                    Some(interface) => interface,
                    None => self.mint_interface(device)?,
                };
                self.c
                    .prepare_cached("INSERT INTO interface_numbers (probe_id, device_no, instance_no, interface_id) VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![self.scope.probe(), device_no, record.instance, interface])?;
                interface
            }
        };
        self.c
            .prepare_cached(
                "UPDATE interfaces SET if_index = ?2, name = ?3, descr = ?4, alias = ?5, mac = ?6, if_type = ?7, speed_bps = ?8, \
                 present = ?9 WHERE id = ?1",
            )?
            .execute(params![
                interface,
                record.if_index,
                record.name.as_str(),
                record.descr.as_str(),
                record.alias.as_str(),
                record.mac,
                record.if_type,
                record.speed_bps.cast_signed(),
                record.present,
            ])?;
        Ok(())
    }

    /// A port of this device with the same name, which this probe has under no other number.
    fn same_interface(
        &self,
        device: DeviceId,
        device_no: u32,
        record: &InterfaceRecord,
    ) -> rusqlite::Result<Option<InterfaceId>> {
        self.c
            .prepare_cached(
                "SELECT id FROM interfaces i WHERE device_id = ?1 AND name = ?2 AND descr = ?3 AND NOT EXISTS \
                 (SELECT 1 FROM interface_numbers n WHERE n.interface_id = i.id AND n.probe_id = ?4 AND n.device_no = ?5) LIMIT 1",
            )?
            .query_row(
                params![device, record.name.as_str(), record.descr.as_str(), self.scope.probe(), device_no],
                |row| row.get(0),
            )
            .optional()
    }

    fn mint_interface(&self, device: DeviceId) -> rusqlite::Result<InterfaceId> {
        let interface = InterfaceId::generate();
        self.c
            .prepare_cached(
                "INSERT INTO interfaces (id, device_id, customer_id, name, descr, alias, mac, if_type, speed_bps, present) \
                 VALUES (?1, ?2, ?3, '', '', '', '', 0, 0, 1)",
            )?
            .execute(params![interface, device, self.scope.customer()])?;
        Ok(interface)
    }

    /// A device that no probe watches any more leaves the lists; one that is watched again comes back.
    fn retire(&mut self, device: DeviceId, retired: bool) -> rusqlite::Result<()> {
        if !retired {
            return Ok(());
        }
        let gone = self
            .c
            .prepare_cached(
                "UPDATE devices SET forgotten_ms = ?2 WHERE id = ?1 AND forgotten_ms IS NULL AND NOT EXISTS \
                 (SELECT 1 FROM device_numbers WHERE device_id = ?1 AND json_extract(record, '$.retired') = 0)",
            )?
            .execute(params![device, self.now])?;
        if gone > 0 {
            rules::device_is_forgotten(self.c, device, self.now, self.effects)?;
        }
        Ok(())
    }

    /// Events and states that came before the record.
    fn adopt_orphans(&mut self, device: DeviceId, device_no: u32) -> rusqlite::Result<()> {
        self.c
            .prepare_cached("UPDATE events SET device_id = ?3 WHERE probe_id = ?1 AND device_no = ?2 AND device_id IS NULL")?
            .execute(params![self.scope.probe(), device_no, device])?;
        let waiting: Option<String> = self
            .c
            .prepare_cached(
                "DELETE FROM orphan_states WHERE probe_id = ?1 AND device_no = ?2 RETURNING state",
            )?
            .query_row(params![self.scope.probe(), device_no], |row| row.get(0))
            .optional()?;
        if let Some(now) = waiting.and_then(|text| serde_json::from_str::<DeviceNow>(&text).ok()) {
            // The state is the snapshot's, even when the record itself is history.
            let live = std::mem::replace(&mut self.live, true);
            let done = self.device_now(&now);
            self.live = live;
            done?;
        }
        Ok(())
    }
}

fn strong_evidence(record: &DeviceRecord) -> BTreeMap<&str, &str> {
    record
        .evidence
        .iter()
        .filter(|(kind, value)| STRONG.contains(&kind.as_str()) && !value.is_empty())
        .map(|(kind, value)| (kind.as_str(), value.as_str()))
        .collect()
}

/// What a list calls it, unless a person named it.
fn name_of(record: &DeviceRecord) -> &str {
    [
        record.sys_name.as_str(),
        record.dns_name.as_str(),
        record.address.as_str(),
    ]
    .into_iter()
    .find(|name| !name.is_empty())
    .unwrap_or(NO_NAME)
}
