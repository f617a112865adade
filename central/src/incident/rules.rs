//! Which states open and resolve an incident. One open incident per cause; what stands behind it is held back.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, DeviceId, ProbeId, SiteId};
use farwatch_shared::model::DeviceState;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::cause::{self, Cause};
use super::way;
use crate::live::{Change, Effects};
use crate::scope::ProbeScope;

/// A device is in `state`, live. Opens, resolves, or holds back.
///
/// # Errors
/// The store's own.
pub fn device_is(
    c: &Connection,
    customer: CustomerId,
    device: DeviceId,
    state: DeviceState,
    since: Timestamp,
    now: Timestamp,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    if state != DeviceState::Unreachable {
        way::reaches(c, device, now, effects)?;
    }
    match state {
        DeviceState::Down => device_is_down(c, customer, device, since, now, effects),
        DeviceState::Unreachable => hold_back(c, customer, device, since, now, effects),
        DeviceState::Up | DeviceState::Degraded => {
            resolve_device(c, device, "the device answers again", now, effects)
        }
        DeviceState::Unknown | DeviceState::Maintenance => Ok(()),
    }
}

fn device_is_down(
    c: &Connection,
    customer: CustomerId,
    device: DeviceId,
    since: Timestamp,
    now: Timestamp,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    let found: Option<(SiteId, String, String, Option<Timestamp>)> = c
        .prepare_cached(
            "SELECT site_id, coalesce(display_name, name), state_reason, muted_until_ms FROM devices WHERE id = ?1 AND forgotten_ms IS NULL",
        )?
        .query_row(params![device], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((site, name, reason, muted)) = found else {
        return Ok(());
    };
    if muted.is_some_and(|until| until > now) {
        return Ok(());
    }
    Cause {
        kind: "device_down",
        customer,
        site,
        device: Some(device),
        probe: None,
        title: &format!("{name} is down"),
        consequence: &reason,
        held_back: 0,
        since,
        opened: since,
    }
    .opens(c, &reason, now, effects)
}

/// The device that stands before this one is down: count it there instead of opening another line.
fn hold_back(
    c: &Connection,
    customer: CustomerId,
    device: DeviceId,
    since: Timestamp,
    now: Timestamp,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    // What was its own line a moment ago is a consequence now.
    resolve_device(
        c,
        device,
        "held back: a device before it is down",
        now,
        effects,
    )?;
    let behind: Option<DeviceId> = c
        .prepare_cached("SELECT behind_device_id FROM devices WHERE id = ?1")?
        .query_row(params![device], |row| row.get(0))?;
    if behind.is_none() {
        return way::is_cut(c, customer, device, since, now, effects);
    }
    let cause: Option<(i64, DeviceId, Option<Timestamp>)> = c
        .prepare_cached(
            "SELECT i.id, i.device_id, i.acknowledged_ms FROM devices d JOIN incidents i ON i.device_id = d.behind_device_id \
             AND i.kind = 'device_down' AND i.resolved_ms IS NULL WHERE d.id = ?1",
        )?
        .query_row(params![device], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((incident, parent, acknowledged)) = cause else {
        return Ok(());
    };
    let (name, reason, behind): (String, String, i64) = c
        .prepare_cached(
            "SELECT coalesce(d.display_name, d.name), d.state_reason, (SELECT count(*) FROM devices b WHERE b.behind_device_id = d.id \
             AND b.state = ?2 AND b.forgotten_ms IS NULL) FROM devices d WHERE d.id = ?1",
        )?
        .query_row(params![parent, DeviceState::Unreachable.code()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    c.prepare_cached("UPDATE incidents SET held_back = max(held_back, ?2), title = ?3, consequence = ?4 WHERE id = ?1")?.execute(
        params![incident, behind, format!("{name} is down, {behind} unreachable behind it"), reason],
    )?;
    effects.push(Change::Incident {
        incident,
        state: if acknowledged.is_some() {
            "acknowledged"
        } else {
            "open"
        },
    });
    Ok(())
}

fn resolve_device(
    c: &Connection,
    device: DeviceId,
    why: &str,
    now: Timestamp,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    let open: Option<i64> = c
        .prepare_cached("SELECT id FROM incidents WHERE kind = 'device_down' AND device_id = ?1 AND resolved_ms IS NULL")?
        .query_row(params![device], |row| row.get(0))
        .optional()?;
    open.map_or(Ok(()), |incident| {
        resolve(c, incident, "Farwatch", why, now, effects)
    })
}

/// A device left the lists: nothing of it is anybody's work any more.
///
/// # Errors
/// The store's own.
pub fn device_is_forgotten(
    c: &Connection,
    device: DeviceId,
    now: Timestamp,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    resolve_device(c, device, "the device is no longer watched", now, effects)?;
    way::reaches(c, device, now, effects)
}

/// A probe said nothing for a minute: one incident, whatever stands behind it.
///
/// # Errors
/// The store's own.
pub fn probe_is_silent(
    c: &Connection,
    customer: CustomerId,
    site: SiteId,
    probe: ProbeId,
    last_heard: Timestamp,
    now: Timestamp,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    let (name, devices): (String, i64) = c
        .prepare_cached(
            "SELECT name, (SELECT count(DISTINCT n.device_id) FROM device_numbers n JOIN devices d ON d.id = n.device_id \
             WHERE n.probe_id = p.id AND d.forgotten_ms IS NULL) FROM probes p WHERE p.id = ?1",
        )?
        .query_row(params![probe], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let consequence = if devices == 1 {
        "1 device is stale".to_owned()
    } else {
        format!("{devices} devices are stale")
    };
    Cause {
        kind: "probe_silent",
        customer,
        site,
        device: None,
        probe: Some(probe),
        title: &format!("Probe {name} stopped reporting"),
        consequence: &consequence,
        held_back: devices,
        since: last_heard,
        opened: now,
    }
    .opens(c, &format!("last heard {last_heard}"), now, effects)
}

/// A probe's session was accepted and its states are current again.
///
/// # Errors
/// The store's own.
pub fn probe_is_back(
    c: &Connection,
    scope: &ProbeScope,
    now: Timestamp,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    resolve_probe(c, scope.probe(), "the probe reports again", now, effects)
}

/// A probe was revoked: its silence is meant.
///
/// # Errors
/// The store's own.
pub fn resolve_probe(
    c: &Connection,
    probe: ProbeId,
    why: &str,
    now: Timestamp,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    let open: Option<i64> = c
        .prepare_cached("SELECT id FROM incidents WHERE kind = 'probe_silent' AND probe_id = ?1 AND resolved_ms IS NULL")?
        .query_row(params![probe], |row| row.get(0))
        .optional()?;
    open.map_or(Ok(()), |incident| {
        resolve(c, incident, "Farwatch", why, now, effects)
    })
}

/// A person (or the cause's end) resolves an incident; resolving twice changes nothing.
///
/// # Errors
/// The store's own.
pub fn resolve(
    c: &Connection,
    incident: i64,
    who: &str,
    why: &str,
    now: Timestamp,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    let customer: Option<CustomerId> = c
        .prepare_cached("UPDATE incidents SET resolved_ms = ?2, resolved_by = ?3 WHERE id = ?1 AND resolved_ms IS NULL RETURNING customer_id")?
        .query_row(params![incident, now, who], |row| row.get(0))
        .optional()?;
    if let Some(customer) = customer {
        entry(c, incident, "resolved", who, why, now)?;
        cause::is_over(c, customer, incident, now)?;
        effects.push(Change::Incident {
            incident,
            state: "resolved",
        });
    }
    Ok(())
}

/// Adds a line to an incident's timeline.
///
/// # Errors
/// The store's own.
pub fn entry(
    c: &Connection,
    incident: i64,
    kind: &str,
    who: &str,
    text: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    c.prepare_cached("INSERT INTO incident_entries (incident_id, at_ms, kind, who, text) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![incident, now, kind, who, text])?;
    Ok(())
}
