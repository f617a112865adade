//! One cause, one incident: opened, gone on with when the cause comes back soon, and never beside a person's word.
//!
//! What comes and goes is one incident with many lines. The first time it comes it is told at once. When it comes back
//! within [`WINDOW_MS`] the incident is open again at once, and told only if it stays: nobody is woken by what is over
//! before they have looked.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{ChannelId, CustomerId, DeviceId, ProbeId, SiteId};
use farwatch_shared::model::Severity;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::rules::entry;
use crate::live::{Change, Effects};

/// What comes back so soon after it ended is the same incident, ms.
const WINDOW_MS: i64 = 30 * 60_000;
/// What came back and stays for so long is told, ms.
const STAYS_MS: i64 = 3 * 60_000;

/// Why there is an incident.
#[derive(Debug)]
pub(super) struct Cause<'a> {
    pub kind: &'static str,
    pub customer: CustomerId,
    pub site: SiteId,
    pub device: Option<DeviceId>,
    pub probe: Option<ProbeId>,
    /// The incident's line: what is wrong, with the names people gave.
    pub title: &'a str,
    pub consequence: &'a str,
    /// What stands behind the cause.
    pub held_back: i64,
    /// Since when it is so; a person who closed the incident after that meant this very outage.
    pub since: Timestamp,
    /// When people say it began; never after now.
    pub opened: Timestamp,
}

impl Cause<'_> {
    /// Opens the incident, or goes on with the one that ended a moment ago; `why` is the timeline's line.
    ///
    /// # Errors
    /// The store's own.
    pub(super) fn opens(
        &self,
        c: &Connection,
        why: &str,
        now: Timestamp,
        effects: &mut Effects,
    ) -> rusqlite::Result<()> {
        if self.closed_by_hand(c)? {
            return Ok(());
        }
        let (incident, tell) = match self.goes_on(c, now)? {
            Some(incident) => (Some(incident), now.plus_ms(STAYS_MS)),
            None => (self.begins(c, now)?, now),
        };
        let Some(incident) = incident else {
            return Ok(());
        };
        entry(c, incident, "opened", "Farwatch", why, now)?;
        queue(c, self.customer, incident, "opened", now, tell)?;
        effects.push(Change::Incident {
            incident,
            state: "open",
        });
        Ok(())
    }

    /// A person closed this outage's incident: the same outage does not open it again, not even after a reconnect.
    fn closed_by_hand(&self, c: &Connection) -> rusqlite::Result<bool> {
        c.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM incidents WHERE kind = ?1 AND device_id IS ?2 AND probe_id IS ?3 \
             AND resolved_ms >= ?4 AND resolved_by <> 'Farwatch')",
        )?
        .query_row(params![self.kind, self.device, self.probe, self.since], |row| row.get(0))
    }

    /// Opens again what ended less than a window ago; `None` when nothing did.
    fn goes_on(&self, c: &Connection, now: Timestamp) -> rusqlite::Result<Option<i64>> {
        let ended: Option<(i64, Timestamp, i64)> = c
            .prepare_cached(
                "SELECT i.id, i.opened_ms, (SELECT count(*) FROM incident_entries e WHERE e.incident_id = i.id AND e.kind = 'opened') \
                 FROM incidents i WHERE i.resolved_ms > ?4 AND i.kind = ?1 AND i.device_id IS ?2 AND i.probe_id IS ?3 \
                 AND i.resolved_by = 'Farwatch' AND NOT EXISTS (SELECT 1 FROM incidents o WHERE o.resolved_ms IS NULL \
                 AND o.kind = ?1 AND o.device_id IS ?2 AND o.probe_id IS ?3) ORDER BY i.id DESC LIMIT 1",
            )?
            .query_row(params![self.kind, self.device, self.probe, now.plus_ms(-WINDOW_MS)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((incident, opened, times)) = ended else {
            return Ok(None);
        };
        let minutes = now.since(opened).max(0) / 60_000;
        let title = format!("{}, {} times in {} min", self.title, times + 1, minutes + 1);
        c.prepare_cached(
            "UPDATE incidents SET resolved_ms = NULL, resolved_by = NULL, title = ?2, consequence = ?3, \
             held_back = max(held_back, ?4) WHERE id = ?1",
        )?
        .execute(params![incident, title, self.consequence, self.held_back])?;
        Ok(Some(incident))
    }

    /// A new incident; `None` when it is open already.
    fn begins(&self, c: &Connection, now: Timestamp) -> rusqlite::Result<Option<i64>> {
        c.prepare_cached(
            "INSERT INTO incidents (customer_id, site_id, kind, device_id, probe_id, severity, title, consequence, held_back, opened_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING RETURNING id",
        )?
        .query_row(
            params![
                self.customer,
                self.site,
                self.kind,
                self.device,
                self.probe,
                Severity::Critical.code(),
                self.title,
                self.consequence,
                self.held_back,
                self.opened.min(now)
            ],
            |row| row.get(0),
        )
        .optional()
    }
}

/// An incident is over: what was not told yet is not told any more, and its end only to whom its beginning was.
///
/// # Errors
/// The store's own.
pub(super) fn is_over(
    c: &Connection,
    customer: CustomerId,
    incident: i64,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let untold = c
        .prepare_cached(
            "DELETE FROM outbox WHERE incident_id = ?1 AND what = 'opened' AND state = 'pending' AND attempts = 0 AND next_ms > ?2",
        )?
        .execute(params![incident, now])?;
    if untold == 0 {
        queue(c, customer, incident, "resolved", now, now)?;
    }
    Ok(())
}

/// Puts a notification into the outbox of each channel of the customer (and of those for all customers).
fn queue(
    c: &Connection,
    customer: CustomerId,
    incident: i64,
    what: &str,
    now: Timestamp,
    tell: Timestamp,
) -> rusqlite::Result<()> {
    let times: i64 = c
        .prepare_cached(
            "SELECT count(*) FROM incident_entries WHERE incident_id = ?1 AND kind = ?2",
        )?
        .query_row(params![incident, what], |row| row.get(0))?;
    let dedup_key = match times {
        0 | 1 => format!("farwatch-{incident}-{what}"),
        more => format!("farwatch-{incident}-{what}-{more}"),
    };
    let channels = c
        .prepare_cached("SELECT id FROM channels WHERE enabled = 1 AND (customer_id IS NULL OR customer_id = ?1)")?
        .query_map(params![customer], |row| row.get::<_, ChannelId>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut insert = c.prepare_cached(
        "INSERT INTO outbox (channel_id, incident_id, what, dedup_key, next_ms, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT DO NOTHING",
    )?;
    for channel in channels {
        insert.execute(params![channel, incident, what, dedup_key, tell, now])?;
    }
    Ok(())
}
