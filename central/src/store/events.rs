//! What happened, newest first.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, DeviceId, ProbeId, SiteId};
use rusqlite::Connection;
use serde::Serialize;
use utoipa::ToSchema;

use super::filter::Filter;
use super::page::{Page, PageQuery};
use super::value::{Id, Severity, Time, count};
use crate::scope::Scope;

/// One thing that happened.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Event {
    /// In the order it was committed.
    pub id: i64,
    /// When it happened, by the probe's clock, corrected.
    pub at: Time,
    /// When Central committed it.
    pub received_at: Time,
    /// It came from a backlog: history, not news.
    pub late: bool,
    /// The probe's clock could not be corrected for certain.
    pub time_approximate: bool,
    /// `device_down`, `interface_up`, …
    pub kind: String,
    /// How bad.
    pub severity: Severity,
    /// Where.
    pub site_id: Id,
    /// Told by which probe.
    #[schema(required)]
    pub probe_id: Option<Id>,
    /// To which device.
    #[schema(required)]
    pub device_id: Option<Id>,
    /// Its name now.
    #[schema(required)]
    pub device_name: Option<String>,
    /// To which interface.
    #[schema(required)]
    pub interface_id: Option<Id>,
    /// One sentence.
    pub text: String,
    /// Measured values, by name.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

/// Which events.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventFilter {
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// Of this site.
    pub site: Option<SiteId>,
    /// Told by this probe.
    pub probe: Option<ProbeId>,
    /// Of this device.
    pub device: Option<DeviceId>,
}

/// Events that `scope` sees, newest first.
///
/// # Errors
/// SQLite's.
pub fn list(
    c: &Connection,
    scope: &Scope,
    which: EventFilter,
    query: &PageQuery,
) -> rusqlite::Result<Page<Event>> {
    let mut filter = Filter::new();
    filter
        .and_if("e.device_id = ?", which.device)
        .and_if(
            "e.customer_id = ?",
            which.customer.or_else(|| scope.customer()),
        )
        .and_if(
            "e.customer_id = ?",
            scope.customer().filter(|_| which.customer.is_some()),
        )
        .and_if("e.site_id = ?", which.site)
        .and_if("e.probe_id = ?", which.probe);
    let total = c.query_row(
        &filter.sql("SELECT count(*) FROM events e", ""),
        filter.values().as_slice(),
        |row| count(row, 0),
    )?;
    let after: Option<(Timestamp, i64)> = query.after();
    filter.and_pair_if("(e.at_ms, e.id) < (?, ?)", after);
    let limit = query.limit();
    let more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut values = filter.values();
    values.push(&more);
    let sql = filter.sql(
        "SELECT e.id, e.at_ms, e.received_ms, e.late, e.approximate, e.kind, e.severity, e.site_id, e.probe_id, e.device_id,
            (SELECT coalesce(d.display_name, d.name) FROM devices d WHERE d.id = e.device_id), e.interface_id, e.text, e.detail
         FROM events e",
        "ORDER BY e.at_ms DESC, e.id DESC LIMIT ?",
    );
    let items = c
        .prepare_cached(&sql)?
        .query_map(values.as_slice(), |row| {
            Ok(Event {
                id: row.get(0)?,
                at: row.get(1)?,
                received_at: row.get(2)?,
                late: row.get(3)?,
                time_approximate: row.get(4)?,
                kind: row.get(5)?,
                severity: row.get(6)?,
                site_id: row.get(7)?,
                probe_id: row.get(8)?,
                device_id: row.get(9)?,
                device_name: row.get(10)?,
                interface_id: row.get(11)?,
                text: row.get(12)?,
                detail: super::json(row.get_ref(13)?.as_str()?)?,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Page::from_overfull(items, limit, total, |event| {
        (event.at.0, event.id)
    }))
}

/// Events of 15 minutes.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct EventBin {
    /// Start of the 15 minutes.
    pub at: Time,
    /// Critical and major ones.
    pub critical: u64,
    /// Minor ones and warnings.
    pub warning: u64,
}

const BIN_MS: i64 = 15 * 60 * 1_000;
const BINS: usize = 96;

/// The last 24 hours in 96 bins, oldest first.
///
/// # Errors
/// SQLite's.
pub fn histogram(
    c: &Connection,
    scope: &Scope,
    customer: Option<CustomerId>,
    site: Option<SiteId>,
    now: Timestamp,
) -> rusqlite::Result<Vec<EventBin>> {
    let last = now.ms().div_euclid(BIN_MS);
    let first = last - BINS as i64 + 1;
    let mut bins: Vec<EventBin> = (first..=last)
        .map(|bin| EventBin {
            at: Time(Timestamp(bin * BIN_MS)),
            critical: 0,
            warning: 0,
        })
        .collect();
    let mut filter = Filter::new();
    filter
        .and("at_ms >= ?", first * BIN_MS)
        .and("at_ms <= ?", now)
        .and_plain("severity <= 3")
        .and_if("customer_id = ?", scope.customer())
        .and_if("customer_id = ?", customer)
        .and_if("site_id = ?", site);
    let sql = filter.sql(
        "SELECT at_ms / 900000, severity <= 1, count(*) FROM events",
        "GROUP BY 1, 2",
    );
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query(filter.values().as_slice())?;
    while let Some(row) = rows.next()? {
        let bin: i64 = row.get(0)?;
        let happened = count(row, 2)?;
        let Some(bin) = usize::try_from(bin - first)
            .ok()
            .and_then(|i| bins.get_mut(i))
        else {
            continue;
        };
        if row.get(1)? {
            bin.critical += happened;
        } else {
            bin.warning += happened;
        }
    }
    Ok(bins)
}
