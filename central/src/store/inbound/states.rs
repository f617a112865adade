//! States of devices and interfaces, now and in history.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{DeviceId, InterfaceId};
use farwatch_shared::model::DeviceState;
use farwatch_shared::wire::message::batch::EventRecord;
use farwatch_shared::wire::message::session::{DeviceNow, InterfaceNow};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{ClockCorrection, Inbound};
use crate::incident::rules;
use crate::live::Change;
use crate::scope::ProbeScope;

impl Inbound<'_> {
    /// One device of a snapshot.
    pub(super) fn device_now(&mut self, device: &DeviceNow) -> rusqlite::Result<()> {
        let Some(id) = self.device_id(device.device.0)? else {
            let state = serde_json::to_string(device).expect("a plain struct is JSON");
            self.c
                .prepare_cached("INSERT OR REPLACE INTO orphan_states (probe_id, device_no, state) VALUES (?1, ?2, ?3)")?
                .execute(params![self.scope.probe(), device.device, state])?;
            return Ok(());
        };
        let Some(state) = DeviceState::from_code(device.state) else {
            return Ok(());
        };
        let behind = self.device_id(device.behind.0)?;
        let since = self.correction.apply(device.since).min(self.now);
        self.c
            .prepare_cached(
                "UPDATE devices SET uptime_ms = ?2, uptime_at_ms = ?3, last_ping_ms = coalesce(?4, last_ping_ms), \
                 last_snmp_ms = coalesce(?5, last_snmp_ms) WHERE id = ?1",
            )?
            .execute(params![
                id,
                (device.uptime_ms >= 0).then_some(device.uptime_ms),
                self.now,
                self.known(device.last_ping),
                self.known(device.last_snmp),
            ])?;
        self.device_changed_state(id, state, since, &device.reason, behind)
    }

    /// One interface of a snapshot.
    pub(super) fn interface_now(&mut self, interface: &InterfaceNow) -> rusqlite::Result<()> {
        let since = self.known(interface.since);
        let Some(id) = self.interface_id(interface.device.0, interface.instance.0)? else {
            return Ok(());
        };
        self.c
            .prepare_cached(
                // A probe that has just started knows a port's state only since then: what was so before is so for longer.
                "UPDATE interfaces SET admin = ?2, oper = ?3, \
                 oper_since_ms = CASE WHEN oper = ?3 THEN coalesce(min(oper_since_ms, ?4), oper_since_ms, ?4) ELSE ?4 END WHERE id = ?1",
            )?
            .execute(params![id, interface.admin, interface.oper, since])?;
        Ok(())
    }

    pub(super) fn interface_changed_state(
        &mut self,
        device: DeviceId,
        interface: InterfaceId,
        oper: u8,
        at: Timestamp,
    ) -> rusqlite::Result<()> {
        self.c
            .prepare_cached("UPDATE interfaces SET oper = ?2, oper_since_ms = ?3 WHERE id = ?1")?
            .execute(params![interface, oper, at])?;
        self.effects.push(Change::Device { device });
        Ok(())
    }

    /// A device is in `state` since `at`: history in any case, and the current state with its incident when live.
    pub(super) fn device_changed_state(
        &mut self,
        device: DeviceId,
        state: DeviceState,
        at: Timestamp,
        reason: &str,
        behind: Option<DeviceId>,
    ) -> rusqlite::Result<()> {
        remember(self.c, device, state, at)?;
        if !self.live {
            return Ok(());
        }
        self.c
            .prepare_cached("UPDATE devices SET state = ?2, state_since_ms = ?3, state_reason = ?4, behind_device_id = ?5 WHERE id = ?1")?
            .execute(params![device, state.code(), at, reason, behind])?;
        self.effects.push(Change::Device { device });
        rules::device_is(
            self.c,
            self.scope.customer(),
            device,
            state,
            at,
            self.now,
            self.effects,
        )
    }

    fn known(&self, at: Timestamp) -> Option<Timestamp> {
        (at.0 != 0).then(|| self.correction.apply(at).min(self.now))
    }
}

/// Adds a transition to a device's history, unless it only repeats the state that holds there already.
fn remember(
    c: &Connection,
    device: DeviceId,
    state: DeviceState,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let before: Option<u8> = c
        .prepare_cached("SELECT state FROM device_states WHERE device_id = ?1 AND from_ms <= ?2 ORDER BY from_ms DESC LIMIT 1")?
        .query_row(params![device, at], |row| row.get(0))
        .optional()?;
    if before != Some(state.code()) {
        c.prepare_cached(
            "INSERT INTO device_states (device_id, from_ms, state, said) VALUES (?1, ?2, ?3, 1) \
             ON CONFLICT (device_id, from_ms) DO UPDATE SET state = excluded.state, said = 1",
        )?
        .execute(params![device, at, state.code()])?;
    }
    Ok(())
}

/// Marks every device of a silent probe unknown in history, from when it was last heard.
///
/// # Errors
/// The store's own.
pub(crate) fn probe_fell_silent(
    c: &Connection,
    probe: farwatch_shared::id::ProbeId,
    since: Timestamp,
) -> rusqlite::Result<()> {
    c.prepare_cached(
        "INSERT OR IGNORE INTO device_states (device_id, from_ms, state, said) \
         SELECT n.device_id, ?2, ?3, 0 FROM device_numbers n JOIN devices d ON d.id = n.device_id \
         WHERE n.probe_id = ?1 AND d.forgotten_ms IS NULL",
    )?
    .execute(params![probe, since, DeviceState::Unknown.code()])?;
    Ok(())
}

/// The probe is back: what it saw meanwhile is on its way, so the guess goes. What it did not see it says by itself.
pub(super) fn forget_silence(c: &Connection, scope: &ProbeScope) -> rusqlite::Result<()> {
    c.prepare_cached(
        "DELETE FROM device_states WHERE said = 0 AND state = ?2 AND device_id IN \
         (SELECT device_id FROM device_numbers WHERE probe_id = ?1) AND from_ms > \
         (SELECT coalesce(max(at_ms), 0) FROM events WHERE probe_id = ?1 AND kind = 'probe_started')",
    )?
    .execute(params![scope.probe(), DeviceState::Unknown.code()])?;
    Ok(())
}

/// A probe that started says from when to when nobody watched (`off_from_ms`, `off_to_ms`): unknown, not green.
pub(super) fn probe_was_off(
    c: &Connection,
    scope: &ProbeScope,
    event: &EventRecord,
    correction: ClockCorrection,
) -> rusqlite::Result<()> {
    let field = |name: &str| {
        let value = event.detail.iter().find(|(key, _)| key == name)?;
        value
            .1
            .as_str()
            .parse::<i64>()
            .ok()
            .map(|ms| correction.apply(Timestamp(ms)))
    };
    let (Some(from), Some(to)) = (field("off_from_ms"), field("off_to_ms")) else {
        return Ok(());
    };
    if from >= to {
        return Ok(());
    }
    probe_fell_silent(c, scope.probe(), from)?;
    // After it, what held before holds again until the probe says otherwise.
    c.prepare_cached(
        "INSERT OR IGNORE INTO device_states (device_id, from_ms, state, said) \
         SELECT n.device_id, ?3, (SELECT s.state FROM device_states s WHERE s.device_id = n.device_id AND s.from_ms < ?2 \
         ORDER BY s.from_ms DESC LIMIT 1), 1 FROM device_numbers n WHERE n.probe_id = ?1 AND EXISTS \
         (SELECT 1 FROM device_states s WHERE s.device_id = n.device_id AND s.from_ms < ?2)",
    )?
    .execute(params![scope.probe(), from, to])?;
    Ok(())
}
