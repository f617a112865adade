//! Nothing at a site answers its probe: one incident for the way into it, whatever stands behind.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, DeviceId, ProbeId, SiteId};
use farwatch_shared::model::DeviceState;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::cause::Cause;
use super::rules::resolve;
use crate::live::{Change, Effects};

/// A device is unreachable, and behind no other device: the way into its site is the cause.
pub(super) fn is_cut(
    c: &Connection,
    customer: CustomerId,
    device: DeviceId,
    since: Timestamp,
    now: Timestamp,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    let found: Option<(ProbeId, String, SiteId, String, String, Option<Timestamp>)> = c
        .prepare_cached(
            "SELECT p.id, p.name, s.id, s.name, d.state_reason, d.muted_until_ms FROM devices d \
             JOIN device_numbers n ON n.device_id = d.id JOIN probes p ON p.id = n.probe_id JOIN sites s ON s.id = d.site_id \
             WHERE d.id = ?1 AND d.forgotten_ms IS NULL ORDER BY p.id DESC LIMIT 1",
        )?
        .query_row(params![device], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })
        .optional()?;
    let Some((probe, probe_name, site, site_name, reason, muted)) = found else {
        return Ok(());
    };
    let devices = without_way(c, probe)?;
    let consequence = match devices {
        1 => "1 device unreachable".to_owned(),
        more => format!("{more} devices unreachable"),
    };
    let open: Option<(i64, Option<Timestamp>)> = c
        .prepare_cached(
            "UPDATE incidents SET held_back = max(held_back, ?2), consequence = ?3 WHERE kind = 'site_unreachable' AND probe_id = ?1 \
             AND resolved_ms IS NULL RETURNING id, acknowledged_ms",
        )?
        .query_row(params![probe, devices, consequence], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((incident, acknowledged)) = open {
        let state = if acknowledged.is_some() {
            "acknowledged"
        } else {
            "open"
        };
        effects.push(Change::Incident { incident, state });
        return Ok(());
    }
    if muted.is_some_and(|until| until > now) {
        return Ok(());
    }
    Cause {
        kind: "site_unreachable",
        customer,
        site,
        device: None,
        probe: Some(probe),
        title: &format!("Nothing at {site_name} answers probe {probe_name}"),
        consequence: &consequence,
        held_back: devices,
        since,
        opened: since,
    }
    .opens(c, &reason, now, effects)
}

/// A device is in another state: the incident is over with the last that is unreachable for want of a way.
pub(super) fn reaches(
    c: &Connection,
    device: DeviceId,
    now: Timestamp,
    effects: &mut Effects,
) -> rusqlite::Result<()> {
    let open: Option<(i64, ProbeId)> = c
        .prepare_cached(
            "SELECT i.id, i.probe_id FROM incidents i JOIN device_numbers n ON n.probe_id = i.probe_id AND n.device_id = ?1 \
             WHERE i.kind = 'site_unreachable' AND i.resolved_ms IS NULL",
        )?
        .query_row(params![device], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match open {
        Some((incident, probe)) if without_way(c, probe)? == 0 => resolve(
            c,
            incident,
            "Farwatch",
            "the site answers again",
            now,
            effects,
        ),
        _ => Ok(()),
    }
}

/// How many devices of a probe are unreachable behind no other device.
fn without_way(c: &Connection, probe: ProbeId) -> rusqlite::Result<i64> {
    c.prepare_cached(
        "SELECT count(DISTINCT d.id) FROM device_numbers n JOIN devices d ON d.id = n.device_id WHERE n.probe_id = ?1 \
         AND d.state = ?2 AND d.behind_device_id IS NULL AND d.forgotten_ms IS NULL",
    )?
    .query_row(params![probe, DeviceState::Unreachable.code()], |row| row.get(0))
}
