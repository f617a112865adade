//! Incidents as people see and handle them. They are opened by `incident`, never here.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, DeviceId, SiteId};
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::filter::Filter;
use super::page::{Page, PageQuery};
use super::value::{Id, Severity, Time, count, words};
use super::{Outcome, Refused, audit, found};
use crate::incident::rules;
use crate::live::{Change, Effects};
use crate::scope::Scope;

words! {
    /// How far an incident is.
    pub enum IncidentState {
        /// Nobody has seen it.
        Open => "open",
        /// Somebody works on it.
        Acknowledged => "acknowledged",
        /// It is over.
        Resolved => "resolved",
    }
}

words! {
    /// Which incidents are wanted.
    pub enum IncidentsWanted {
        /// Not seen by anybody.
        Open => "open",
        /// Somebody works on them.
        Acknowledged => "acknowledged",
        /// Over.
        Resolved => "resolved",
        /// Open or acknowledged.
        Active => "active",
    }
}

/// What somebody wrote.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IncidentNote {
    /// When.
    pub at: Time,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
}

/// One step of an incident.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IncidentStep {
    /// When.
    pub at: Time,
    /// What happened, in words.
    pub text: String,
    /// `opened`, `acknowledged`, `resolved`, `note`, `consequence`, `notified`.
    pub kind: String,
}

/// Who was told.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IncidentNotification {
    /// Through which channel.
    pub channel_name: String,
    /// `pending`, `sent`, `failed`.
    pub state: String,
    /// When it was sent, or is to be tried next.
    pub at: Time,
    /// What the other side said.
    pub detail: String,
}

/// One cause, somebody's work.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Incident {
    /// Its number.
    pub id: i64,
    /// `device_down`, `probe_silent`, `site_unreachable`.
    pub kind: String,
    /// How bad.
    pub severity: Severity,
    /// How far.
    pub state: IncidentState,
    /// The cause, in one line.
    pub title: String,
    /// What follows from it, in one line.
    pub consequence: String,
    /// Whose.
    pub customer_id: Id,
    /// Whose, by name.
    pub customer_name: String,
    /// Where.
    pub site_id: Id,
    /// Where, by name.
    pub site_name: String,
    /// Which device.
    #[schema(required)]
    pub device_id: Option<Id>,
    /// Which probe.
    #[schema(required)]
    pub probe_id: Option<Id>,
    /// When it began.
    pub opened_at: Time,
    /// When somebody took it.
    #[schema(required)]
    pub acknowledged_at: Option<Time>,
    /// Who took it.
    #[schema(required)]
    pub acknowledged_by: Option<String>,
    /// When it was over.
    #[schema(required)]
    pub resolved_at: Option<Time>,
    /// Alerts that this one stands for.
    pub held_back: u64,
    /// What people wrote (only of a single incident).
    pub notes: Vec<IncidentNote>,
    /// Its steps (only of a single incident).
    pub timeline: Vec<IncidentStep>,
    /// Who was told (only of a single incident).
    pub notifications: Vec<IncidentNotification>,
}

const COLUMNS: &str = "SELECT i.id, i.kind, i.severity, i.title, i.consequence, i.customer_id, u.name, i.site_id,
    coalesce(s.name, ''), i.device_id, i.probe_id, i.opened_ms, i.acknowledged_ms, i.acknowledged_by, i.resolved_ms, i.held_back
    FROM incidents i JOIN customers u ON u.id = i.customer_id LEFT JOIN sites s ON s.id = i.site_id";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Incident> {
    let acknowledged_at: Option<Time> = row.get(12)?;
    let resolved_at: Option<Time> = row.get(14)?;
    let state = match (resolved_at, acknowledged_at) {
        (Some(_), _) => IncidentState::Resolved,
        (None, Some(_)) => IncidentState::Acknowledged,
        (None, None) => IncidentState::Open,
    };
    Ok(Incident {
        id: row.get(0)?,
        kind: row.get(1)?,
        severity: row.get(2)?,
        state,
        title: row.get(3)?,
        consequence: row.get(4)?,
        customer_id: row.get(5)?,
        customer_name: row.get(6)?,
        site_id: row.get(7)?,
        site_name: row.get(8)?,
        device_id: row.get(9)?,
        probe_id: row.get(10)?,
        opened_at: row.get(11)?,
        acknowledged_at,
        acknowledged_by: row.get(13)?,
        resolved_at,
        held_back: count(row, 15)?,
        notes: Vec::new(),
        timeline: Vec::new(),
        notifications: Vec::new(),
    })
}

/// Which incidents.
#[derive(Clone, Copy, Debug, Default)]
pub struct IncidentFilter {
    /// How far they are.
    pub state: Option<IncidentsWanted>,
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// Of this site.
    pub site: Option<SiteId>,
    /// Of this device.
    pub device: Option<DeviceId>,
}

/// Incidents that `scope` sees, newest first.
///
/// # Errors
/// SQLite's.
pub fn list(
    c: &Connection,
    scope: &Scope,
    which: IncidentFilter,
    query: &PageQuery,
) -> rusqlite::Result<Page<Incident>> {
    let mut filter = Filter::new();
    filter
        .and_if("i.customer_id = ?", scope.customer())
        .and_if("i.customer_id = ?", which.customer)
        .and_if("i.site_id = ?", which.site)
        .and_if("i.device_id = ?", which.device);
    match which.state {
        Some(IncidentsWanted::Open) => {
            filter.and_plain("i.resolved_ms IS NULL AND i.acknowledged_ms IS NULL");
        }
        Some(IncidentsWanted::Acknowledged) => {
            filter.and_plain("i.resolved_ms IS NULL AND i.acknowledged_ms IS NOT NULL");
        }
        Some(IncidentsWanted::Resolved) => {
            filter.and_plain("i.resolved_ms IS NOT NULL");
        }
        Some(IncidentsWanted::Active) => {
            filter.and_plain("i.resolved_ms IS NULL");
        }
        None => {}
    }
    let total = c.query_row(
        &filter.sql("SELECT count(*) FROM incidents i", ""),
        filter.values().as_slice(),
        |row| count(row, 0),
    )?;
    filter.and_if("i.id < ?", query.after::<i64>());
    let limit = query.limit();
    let more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut values = filter.values();
    values.push(&more);
    let items = c
        .prepare_cached(&filter.sql(COLUMNS, "ORDER BY i.id DESC LIMIT ?"))?
        .query_map(values.as_slice(), read)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Page::from_overfull(items, limit, total, |incident| {
        incident.id
    }))
}

/// One with its notes, steps and notifications, when `scope` sees it.
///
/// # Errors
/// SQLite's.
pub fn get(c: &Connection, scope: &Scope, id: i64) -> rusqlite::Result<Option<Incident>> {
    let found = c
        .prepare_cached(&format!(
            "{COLUMNS} WHERE i.id = ?1 AND (?2 IS NULL OR i.customer_id = ?2)"
        ))?
        .query_row((id, scope.customer()), read)
        .optional()?;
    let Some(mut incident) = found else {
        return Ok(None);
    };
    let mut statement = c.prepare_cached(
        "SELECT at_ms, kind, who, text FROM incident_entries WHERE incident_id = ?1 ORDER BY at_ms, rowid",
    )?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        let (at, kind): (Time, String) = (row.get(0)?, row.get(1)?);
        let (by, text): (String, String) = (row.get(2)?, row.get(3)?);
        if kind == "note" {
            incident.notes.push(IncidentNote {
                at,
                by: by.clone(),
                text: text.clone(),
            });
        }
        let text = match (by.is_empty(), text.is_empty()) {
            (true, _) => text,
            (false, true) => by,
            (false, false) => format!("{by}: {text}"),
        };
        incident.timeline.push(IncidentStep { at, text, kind });
    }
    incident.notifications = c
        .prepare_cached(
            "SELECT n.name, o.state, coalesce(o.done_ms, o.next_ms), o.detail FROM outbox o
             JOIN channels n ON n.id = o.channel_id WHERE o.incident_id = ?1 ORDER BY o.id",
        )?
        .query_map([id], |row| {
            Ok(IncidentNotification {
                channel_name: row.get(0)?,
                state: row.get(1)?,
                at: row.get(2)?,
                detail: row.get(3)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(incident))
}

/// How many are not over, and how many of those nobody has taken: (open, unacknowledged).
///
/// # Errors
/// SQLite's.
pub fn count_active(
    c: &Connection,
    scope: &Scope,
    customer: Option<CustomerId>,
    site: Option<SiteId>,
) -> rusqlite::Result<(u64, u64)> {
    c.prepare_cached(
        "SELECT count(*), count(*) FILTER (WHERE acknowledged_ms IS NULL) FROM incidents
         WHERE resolved_ms IS NULL AND (?1 IS NULL OR customer_id = ?1) AND (?2 IS NULL OR customer_id = ?2)
           AND (?3 IS NULL OR site_id = ?3)",
    )?
    .query_row((scope.customer(), customer, site), |row| {
        Ok((count(row, 0)?, count(row, 1)?))
    })
}

/// What a person does with an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Takes it.
    Acknowledge,
    /// Says that it is over.
    Resolve,
    /// Writes something.
    Note,
}

/// Does `step`, with a note where there is one. What it changed is to be published after the commit.
///
/// # Errors
/// SQLite's.
pub fn step(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: i64,
    step: &Step,
    note: &str,
) -> rusqlite::Result<Outcome<Effects>> {
    let incident = found!(get(c, scope, id)?);
    let (action, kind) = match step {
        Step::Acknowledge => ("incident.acknowledge", "acknowledged"),
        Step::Resolve => ("incident.resolve", "resolved"),
        Step::Note => ("incident.note", "note"),
    };
    let refused = match (step, incident.state) {
        (Step::Acknowledge | Step::Resolve, IncidentState::Resolved) => {
            Some("this incident is already resolved".to_owned())
        }
        (Step::Acknowledge, IncidentState::Acknowledged) => Some(format!(
            "{} has already acknowledged it",
            incident.acknowledged_by.as_deref().unwrap_or("somebody")
        )),
        _ => None,
    };
    if let Some(why) = refused {
        return Ok(Err(Refused::Conflict(why)));
    }
    let customer = CustomerId::from(incident.customer_id);
    audit::write(
        c,
        scope,
        now,
        &audit::Act {
            action,
            object_kind: "incident",
            object_id: &id,
            customer: Some(customer),
            detail: json!({ "note": note }),
        },
    )?;
    let mut effects = Effects::new(customer, incident.site_id.into());
    match step {
        Step::Acknowledge => {
            c.execute(
                "UPDATE incidents SET acknowledged_ms = ?2, acknowledged_by = ?3 WHERE id = ?1",
                (id, now, scope.who()),
            )?;
            rules::entry(c, id, kind, scope.who(), note, now)?;
            effects.push(Change::Incident {
                incident: id,
                state: "acknowledged",
            });
        }
        Step::Resolve => rules::resolve(c, id, scope.who(), note, now, &mut effects)?,
        Step::Note => {
            rules::entry(c, id, kind, scope.who(), note, now)?;
            effects.push(Change::Incident {
                incident: id,
                state: incident.state.as_str(),
            });
        }
    }
    Ok(Ok(effects))
}
