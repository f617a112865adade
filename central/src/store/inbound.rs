//! What probes say, into central.db: events, device records, addresses and snapshots.
//!
//! Everything here runs inside one job of the file's writer, beside the ledger's admission of the batch, so a batch and
//! its effects are one transaction. What has changed is returned as [`Effects`], to be told to people after the commit.
//!
//! A **live** batch was made after the session's snapshot and may change states and open incidents. Any other is
//! history: it is kept with its own time, and never pages nor overwrites a newer state.

mod devices;
mod states;

pub(crate) use states::probe_fell_silent;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{DeviceId, InterfaceId};
use farwatch_shared::model::{DeviceState, EventKind, Severity};
use farwatch_shared::wire::message::batch::{
    self, AddressesBody, Batch, DevicesBody, EventRecord, EventsBody, ReadingsBody, ReadingsRecord,
};
use farwatch_shared::wire::message::session::SnapshotPart;
use farwatch_shared::wire::{DecodeError, decode};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::incident::rules;
use crate::live::{Change, Effects};
use crate::scope::ProbeScope;
use crate::store::readings;
use crate::store::value::Time;

/// How a probe's wall clock is brought to ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockCorrection {
    /// Added to the probe's times, ms; 0 within the tolerance.
    pub offset_ms: i64,
    /// The offset was measured in another boot of the probe's machine.
    pub approximate: bool,
}

impl ClockCorrection {
    /// A probe's time in ours.
    #[must_use]
    pub const fn apply(self, at: Timestamp) -> Timestamp {
        at.plus_ms(self.offset_ms)
    }
}

/// Why an events-lane batch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Not readable; it is kept raw and set aside, never asked for again.
    #[error("the batch cannot be read")]
    Undecodable(#[source] DecodeError),
    /// A kind or version from a later release; kept raw until an upgrade reads it.
    #[error("batches of kind {kind} version {version} are not known here")]
    Unknown {
        /// [`Batch::kind`].
        kind: u16,
        /// [`Batch::version`].
        version: u16,
    },
    /// The store's own.
    #[error("the store refused it")]
    Store(#[from] rusqlite::Error),
}

/// Applies one admitted events-lane batch. Layout batches have no effect here: their rows are in metrics.db.
///
/// # Errors
/// [`ApplyError`]; the caller's savepoint takes back whatever was written.
pub fn apply_batch(
    c: &Connection,
    scope: &ProbeScope,
    live: bool,
    batch: &Batch,
    correction: ClockCorrection,
    now: Timestamp,
) -> Result<Effects, ApplyError> {
    let mut effects = Effects::new(scope.customer(), scope.site());
    let mut inbound = Inbound {
        c,
        scope,
        live,
        correction,
        now,
        effects: &mut effects,
    };
    match (batch.kind, batch.version) {
        (batch::EVENTS, 1) => {
            let body: EventsBody = decode(&batch.body).map_err(ApplyError::Undecodable)?;
            for event in &body.events {
                inbound.event(event)?;
            }
        }
        (batch::DEVICES, 1) => {
            let body: DevicesBody = decode(&batch.body).map_err(ApplyError::Undecodable)?;
            for record in &body.devices {
                inbound.device(record)?;
            }
        }
        (batch::READINGS, 1) => {
            let body: ReadingsBody = decode(&batch.body).map_err(ApplyError::Undecodable)?;
            for record in &body.devices {
                inbound.readings(record)?;
            }
        }
        (batch::ADDRESSES, 1) => {
            let body: AddressesBody = decode(&batch.body).map_err(ApplyError::Undecodable)?;
            inbound.addresses(&body)?;
        }
        (batch::LAYOUTS, 1) => {}
        (kind, version) => return Err(ApplyError::Unknown { kind, version }),
    }
    let newest = correction.apply(batch.to).min(now);
    c.prepare_cached("UPDATE probes SET newest_ms = max(newest_ms, ?2) WHERE id = ?1")?
        .execute(params![scope.probe(), newest])?;
    Ok(effects)
}

/// Sets the current states of all of a probe's devices from a whole snapshot, and confirms its lease.
///
/// It alone sets current state at the start of a session, and a condition that is still true is news: a device that is
/// down opens its incident even when it went down while the probe was cut off.
///
/// # Errors
/// The store's own.
pub fn apply_snapshot(
    c: &Connection,
    scope: &ProbeScope,
    parts: &[SnapshotPart],
    correction: ClockCorrection,
    now: Timestamp,
) -> rusqlite::Result<Effects> {
    let mut effects = Effects::new(scope.customer(), scope.site());
    if let Some(first) = parts.first() {
        c.prepare_cached(
            "UPDATE probes SET lease_confirmed = max(lease_confirmed, ?2), epoch = ?3, last_heard_ms = ?4 WHERE id = ?1",
        )?
        .execute(params![
            scope.probe(),
            first.lease.cast_signed(),
            first.epoch,
            now
        ])?;
    }
    rules::probe_is_back(c, scope, now, &mut effects)?;
    states::forget_silence(c, scope)?;
    c.prepare_cached("DELETE FROM orphan_states WHERE probe_id = ?1")?
        .execute(params![scope.probe()])?;
    let mut inbound = Inbound {
        c,
        scope,
        live: true,
        correction,
        now,
        effects: &mut effects,
    };
    // Devices that others stand behind come first, so that their incident is there to count them.
    for part in parts {
        for device in part.devices.iter().filter(|device| device.behind.0 == 0) {
            inbound.device_now(device)?;
        }
    }
    for part in parts {
        for device in part.devices.iter().filter(|device| device.behind.0 != 0) {
            inbound.device_now(device)?;
        }
        for interface in &part.interfaces {
            inbound.interface_now(interface)?;
        }
    }
    effects.push(Change::Probe {
        probe: scope.probe(),
    });
    Ok(effects)
}

/// One batch being applied: where to, whose, and when.
struct Inbound<'a> {
    c: &'a Connection,
    scope: &'a ProbeScope,
    live: bool,
    correction: ClockCorrection,
    now: Timestamp,
    effects: &'a mut Effects,
}

impl Inbound<'_> {
    fn event(&mut self, event: &EventRecord) -> rusqlite::Result<()> {
        let device = self.device_id(event.device.0)?;
        let interface = self.interface_id(event.device.0, event.instance.0)?;
        let at = self.correction.apply(event.at).min(self.now);
        let kind = EventKind::from_code(event.kind);
        let word = kind.map_or_else(
            || format!("kind_{}", event.kind),
            |kind| kind.as_str().to_owned(),
        );
        let detail = serde_json::Value::Object(
            event
                .detail
                .iter()
                .map(|(name, value)| (name.clone(), serde_json::Value::from(value.as_str())))
                .collect(),
        );
        self.c
            .prepare_cached(
                "INSERT INTO events (customer_id, site_id, probe_id, device_no, device_id, interface_id, at_ms, received_ms, late, \
                 approximate, kind, severity, text, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                self.scope.customer(),
                self.scope.site(),
                self.scope.probe(),
                event.device.0,
                device,
                interface,
                at,
                self.now,
                !self.live,
                self.correction.approximate,
                word,
                Severity::from_code(event.severity).unwrap_or(Severity::Warning).code(),
                event.text.as_str(),
                detail.to_string(),
            ])?;
        self.effects.push(Change::Event { device });
        if kind == Some(EventKind::ProbeStarted) {
            states::probe_was_off(self.c, self.scope, event, self.correction)?;
        }
        let Some(device) = device else { return Ok(()) };
        if let Some(state) = DeviceState::from_code(event.state) {
            let behind = event
                .detail
                .iter()
                .find(|(name, _)| name == "behind")
                .and_then(|(_, no)| no.as_str().parse().ok());
            let behind = behind.map_or(Ok(None), |no| self.device_id(no))?;
            self.device_changed_state(device, state, at, event.text.as_str(), behind)?;
        }
        match (kind, interface) {
            (Some(EventKind::DeviceUnwatched), _) if self.live => {
                rules::device_is_forgotten(self.c, device, self.now, self.effects)?;
            }
            (Some(EventKind::InterfaceUp), Some(interface)) if self.live => {
                self.interface_changed_state(device, interface, 1, at)?
            }
            (Some(EventKind::InterfaceDown), Some(interface)) if self.live => {
                self.interface_changed_state(device, interface, 2, at)?
            }
            _ => {}
        }
        Ok(())
    }

    fn readings(&mut self, record: &ReadingsRecord) -> rusqlite::Result<()> {
        let at = Time(self.correction.apply(record.at).min(self.now));
        let scope = self.scope;
        readings::put(self.c, scope.probe(), scope.customer(), record, at)
    }

    fn addresses(&mut self, body: &AddressesBody) -> rusqlite::Result<()> {
        let mut upsert = self.c.prepare_cached(
            "INSERT INTO addresses (probe_id, site_id, customer_id, address, device_no, icmp, snmp, attempts, reason, last_seen_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (probe_id, address) DO UPDATE SET \
             device_no = excluded.device_no, icmp = excluded.icmp, snmp = excluded.snmp, attempts = excluded.attempts, \
             reason = excluded.reason, last_seen_ms = coalesce(excluded.last_seen_ms, last_seen_ms)",
        )?;
        for address in &body.addresses {
            let attempts: Vec<_> = address
                .attempts
                .iter()
                .map(|(credential, port, outcome, at)| {
                    serde_json::json!([credential, port, outcome, self.correction.apply(*at)])
                })
                .collect();
            let seen = (address.last_seen.0 != 0).then(|| self.correction.apply(address.last_seen));
            upsert.execute(params![
                self.scope.probe(),
                self.scope.site(),
                self.scope.customer(),
                address.address,
                address.device,
                address.icmp,
                address.snmp,
                serde_json::Value::from(attempts).to_string(),
                address.reason,
                seen,
            ])?;
        }
        self.effects.push(Change::Discovery);
        Ok(())
    }

    /// The device that this probe's number stands for; `None` while its record has not arrived.
    fn device_id(&self, device_no: u32) -> rusqlite::Result<Option<DeviceId>> {
        if device_no == 0 {
            return Ok(None);
        }
        self.c
            .prepare_cached(
                "SELECT device_id FROM device_numbers WHERE probe_id = ?1 AND device_no = ?2",
            )?
            .query_row(params![self.scope.probe(), device_no], |row| row.get(0))
            .optional()
    }

    fn interface_id(
        &self,
        device_no: u32,
        instance_no: u32,
    ) -> rusqlite::Result<Option<InterfaceId>> {
        if instance_no == 0 {
            return Ok(None);
        }
        self.c
            .prepare_cached("SELECT interface_id FROM interface_numbers WHERE probe_id = ?1 AND device_no = ?2 AND instance_no = ?3")?
            .query_row(params![self.scope.probe(), device_no, instance_no], |row| row.get(0))
            .optional()
    }
}

#[cfg(test)]
mod tests;
