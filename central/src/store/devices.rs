//! Devices: lists without their long records, and one whole.

use std::collections::{HashMap, HashSet};

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, DeviceId, ProbeId, SiteId};
use farwatch_shared::model::{DeviceNo, DeviceState};
use farwatch_shared::wire::message::batch::DeviceRecord;
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::filter::Filter;
use super::presence::DevicePresence;
use super::value::{Id, State, Time, count};
use super::{Outcome, audit, found, strips};
use crate::incident::rules;
use crate::live::{Change, Effects};
use crate::scope::Scope;

/// One device in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeviceRow {
    /// Its id.
    pub id: Id,
    /// Whose.
    pub customer_id: Id,
    /// Whose, by name.
    pub customer_name: String,
    /// Where.
    pub site_id: Id,
    /// Where, by name.
    pub site_name: String,
    /// What a person called it, else what it calls itself, else its address.
    pub name: String,
    /// The address that is polled.
    pub address: String,
    /// Maker.
    #[schema(required)]
    pub vendor: Option<String>,
    /// Model.
    #[schema(required)]
    pub model: Option<String>,
    /// `switch`, `router`, …
    #[schema(required)]
    pub role: Option<String>,
    /// Its state now.
    pub state: State,
    /// Since when.
    pub state_since: Time,
    /// Why, in a few words.
    #[schema(required)]
    pub state_reason: Option<String>,
    /// Quiet until then.
    #[schema(required)]
    pub muted_until: Option<Time>,
    /// Newest round-trip time.
    #[schema(required)]
    pub rtt_ms: Option<f64>,
    /// Newest loss, 0 to 1.
    #[schema(required)]
    pub loss_ratio: Option<f64>,
    /// When the newest value was read.
    #[schema(required)]
    pub value_at: Option<Time>,
    /// `none`, `v1`, `v2c`, `v3`.
    pub snmp: String,
    /// Present interfaces.
    pub interfaces: u64,
    /// Seconds since it started, as far as it answers now.
    #[schema(required)]
    pub uptime_s: Option<i64>,
    /// 48 letters, one per half hour, oldest first: `u` up, `g` degraded, `d` down, `r` unreachable, `m` maintenance, `s` stale, `n` nothing yet.
    pub strip: String,
}

/// Which devices.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeviceFilter {
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// Of this site.
    pub site: Option<SiteId>,
}

/// A device as lists read it, its state already decided.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Which.
    pub id: DeviceId,
    /// Whose.
    pub customer: CustomerId,
    /// Where.
    pub site: SiteId,
    /// Its state now.
    pub state: DeviceState,
    /// Since when.
    pub since: Timestamp,
    /// What people see.
    pub name: String,
    /// The address that is polled.
    pub address: String,
    vendor: String,
    model: String,
    role: String,
    snmp: String,
    reason: String,
    muted_until: Option<Timestamp>,
    uptime_ms: Option<i64>,
    uptime_at: Option<Timestamp>,
}

impl Listed {
    /// Whether `q` (lower case) is in its name, address, vendor, model or role.
    #[must_use]
    pub fn matches(&self, q: &str) -> bool {
        [
            &self.name,
            &self.address,
            &self.vendor,
            &self.model,
            &self.role,
        ]
        .iter()
        .any(|text| text.to_lowercase().contains(q))
    }
}

/// Every device that `scope` sees and that is not forgotten, in no order.
///
/// # Errors
/// SQLite's.
pub fn listed(
    c: &Connection,
    scope: &Scope,
    which: DeviceFilter,
    presence: &DevicePresence,
    now: Timestamp,
) -> rusqlite::Result<Vec<Listed>> {
    let mut filter = Filter::new();
    filter
        .and_if("customer_id = ?", scope.customer())
        .and_if("customer_id = ?", which.customer)
        .and_if("site_id = ?", which.site)
        .and_plain("forgotten_ms IS NULL");
    let sql = filter.sql(
        "SELECT id, customer_id, site_id, state, state_since_ms, coalesce(display_name, name), address, vendor, model, role,
            snmp, state_reason, muted_until_ms, uptime_ms, uptime_at_ms FROM devices INDEXED BY devices_in_lists",
        "",
    );
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query(filter.values().as_slice())?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let id: DeviceId = row.get(0)?;
        let said = DeviceState::from_code(row.get(3)?).unwrap_or(DeviceState::Unknown);
        let since: Timestamp = row.get(4)?;
        let muted_until: Option<Timestamp> = row.get(12)?;
        let state = presence.state(id, said, muted_until, now);
        let since = if state == DeviceState::Unknown && said != DeviceState::Unknown {
            since.max(presence.heard(id))
        } else {
            since
        };
        let (name, address): (String, String) = (row.get(5)?, row.get(6)?);
        all.push(Listed {
            id,
            customer: row.get(1)?,
            site: row.get(2)?,
            state,
            since,
            name: if name.is_empty() {
                address.clone()
            } else {
                name
            },
            address,
            vendor: row.get(7)?,
            model: row.get(8)?,
            role: row.get(9)?,
            snmp: row.get(10)?,
            reason: row.get(11)?,
            muted_until,
            uptime_ms: row.get(13)?,
            uptime_at: row.get(14)?,
        });
    }
    Ok(all)
}

/// Names that rows carry beside their ids, read once per list.
#[derive(Clone, Debug)]
pub struct Names {
    customers: HashMap<CustomerId, String>,
    sites: HashMap<SiteId, String>,
    interfaces: HashMap<DeviceId, u64>,
}

impl Names {
    /// Reads them.
    ///
    /// # Errors
    /// SQLite's.
    pub fn read(c: &Connection) -> rusqlite::Result<Self> {
        fn map<K: rusqlite::types::FromSql + Eq + std::hash::Hash>(
            c: &Connection,
            sql: &str,
        ) -> rusqlite::Result<HashMap<K, String>> {
            c.prepare_cached(sql)?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        }
        Ok(Self {
            customers: map(c, "SELECT id, name FROM customers")?,
            sites: map(c, "SELECT id, name FROM sites")?,
            interfaces: c
                .prepare_cached("SELECT device_id, interfaces FROM interface_counts")?
                .query_map([], |row| Ok((row.get(0)?, count(row, 1)?)))?
                .collect::<rusqlite::Result<_>>()?,
        })
    }

    /// Of a customer.
    #[must_use]
    pub fn customer(&self, id: CustomerId) -> String {
        self.customers.get(&id).cloned().unwrap_or_default()
    }

    /// Of a site.
    #[must_use]
    pub fn site(&self, id: SiteId) -> String {
        self.sites.get(&id).cloned().unwrap_or_default()
    }
}

/// What memory knows of a device's newest values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Newest {
    /// Round-trip time.
    pub rtt_ms: Option<f64>,
    /// Loss, 0 to 1.
    pub loss_ratio: Option<f64>,
    /// When the newest of all was read.
    pub at: Option<Timestamp>,
    /// Seconds since it started, and when it said so.
    pub uptime: Option<(f64, Timestamp)>,
}

impl DeviceRow {
    /// Puts a row together.
    #[must_use]
    pub fn new(
        listed: Listed,
        names: &Names,
        day: Option<&strips::Day>,
        newest: Newest,
        now: Timestamp,
    ) -> Self {
        let some = |text: String| (!text.is_empty()).then_some(text);
        // A snapshot says it, and each poll since.
        #[expect(clippy::cast_possible_truncation, reason = "497 days at the most")]
        let polled = newest
            .uptime
            .map(|(seconds, at)| ((seconds * 1_000.0) as i64, at));
        let told = listed.uptime_ms.zip(listed.uptime_at);
        let uptime_ms = polled.into_iter().chain(told).max_by_key(|(_, at)| *at);
        let answers = matches!(listed.state, DeviceState::Up | DeviceState::Degraded);
        Self {
            id: listed.id.into(),
            customer_id: listed.customer.into(),
            customer_name: names.customer(listed.customer),
            site_id: listed.site.into(),
            site_name: names.site(listed.site),
            name: listed.name,
            address: listed.address,
            vendor: some(listed.vendor),
            model: some(listed.model),
            role: some(listed.role),
            state: State(listed.state),
            state_since: Time(listed.since),
            state_reason: some(listed.reason),
            muted_until: listed.muted_until.filter(|until| *until > now).map(Time),
            rtt_ms: newest.rtt_ms,
            loss_ratio: newest.loss_ratio,
            value_at: newest.at.map(Time),
            snmp: listed.snmp,
            interfaces: names.interfaces.get(&listed.id).copied().unwrap_or(0),
            uptime_s: uptime_ms
                .filter(|(up, _)| answers && *up >= 0)
                .map(|(up, at)| (up + now.since(at).max(0)) / 1_000),
            strip: day
                .copied()
                .unwrap_or_default()
                .with_now(listed.state)
                .strip(),
        }
    }
}

/// What only the page of one device shows, from the tables.
#[derive(Clone, Debug)]
pub struct Whole {
    /// Which.
    pub id: DeviceId,
    /// Whose.
    pub customer: CustomerId,
    /// Where.
    pub site: SiteId,
    /// What a person called it.
    pub display_name: Option<String>,
    /// What a person wrote of it.
    pub note: String,
    /// What the probe said last.
    pub record: DeviceRecord,
    /// When it last answered ping.
    pub last_ping: Option<Time>,
    /// When it last answered SNMP.
    pub last_snmp: Option<Time>,
    /// When it was found.
    pub first_seen: Time,
    /// The probe that watches it, and its number there; the one heard last when there are several.
    pub probe: Option<(ProbeId, DeviceNo, String)>,
    /// (kind, value, when).
    pub evidence: Vec<(String, String, Time)>,
    /// The incident that is not over.
    pub incident: Option<i64>,
    /// (address, icmp, snmp) as discovery saw them.
    pub seen: Vec<(String, String, String)>,
}

/// One, when `scope` sees it and it is not forgotten.
///
/// # Errors
/// SQLite's.
pub fn get(c: &Connection, scope: &Scope, id: DeviceId) -> rusqlite::Result<Option<Whole>> {
    let whole = c
        .prepare_cached(
            "SELECT id, customer_id, site_id, display_name, note, record, last_ping_ms, last_snmp_ms, first_seen_ms
             FROM devices WHERE id = ?1 AND forgotten_ms IS NULL AND (?2 IS NULL OR customer_id = ?2)",
        )?
        .query_row((id, scope.customer()), |row| {
            let time = |i| {
                Ok::<_, rusqlite::Error>(
                    row.get::<_, Option<Timestamp>>(i)?.and_then(Time::unless_zero),
                )
            };
            Ok(Whole {
                id: row.get(0)?,
                customer: row.get(1)?,
                site: row.get(2)?,
                display_name: row.get(3)?,
                note: row.get(4)?,
                record: super::json(row.get_ref(5)?.as_str()?)?,
                last_ping: time(6)?,
                last_snmp: time(7)?,
                first_seen: row.get(8)?,
                probe: None,
                evidence: Vec::new(),
                incident: None,
                seen: Vec::new(),
            })
        })
        .optional()?;
    let Some(mut whole) = whole else {
        return Ok(None);
    };
    whole.probe = c
        .prepare_cached(
            "SELECT n.probe_id, n.device_no, p.name FROM device_numbers n JOIN probes p ON p.id = n.probe_id
             WHERE n.device_id = ?1 ORDER BY p.revoked_ms IS NULL DESC, p.last_heard_ms DESC LIMIT 1",
        )?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    whole.evidence = c
        .prepare_cached(
            "SELECT kind, value, at_ms FROM device_evidence WHERE device_id = ?1 ORDER BY kind, value",
        )?
        .query_map([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    whole.incident = c
        .prepare_cached(
            "SELECT id FROM incidents WHERE device_id = ?1 AND resolved_ms IS NULL ORDER BY id DESC LIMIT 1",
        )?
        .query_row([id], |row| row.get(0))
        .optional()?;
    if let Some((probe, number, _)) = &whole.probe {
        whole.seen = c
            .prepare_cached(
                "SELECT address, icmp, snmp FROM addresses WHERE probe_id = ?1 AND device_no = ?2",
            )?
            .query_map((probe, number), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
    }
    Ok(Some(whole))
}

/// The numbers that a device has at its probes: where its samples are.
///
/// # Errors
/// SQLite's.
pub fn sources(
    c: &Connection,
    scope: &Scope,
    id: DeviceId,
) -> rusqlite::Result<Option<Vec<(ProbeId, DeviceNo)>>> {
    let seen = c
        .prepare_cached("SELECT customer_id FROM devices WHERE id = ?1 AND forgotten_ms IS NULL")?
        .query_row([id], |row| row.get::<_, CustomerId>(0))
        .optional()?
        .is_some_and(|customer| scope.sees(customer));
    if !seen {
        return Ok(None);
    }
    c.prepare_cached("SELECT probe_id, device_no FROM device_numbers WHERE device_id = ?1")?
        .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()
        .map(Some)
}

/// Probes whose devices may be among those asked for.
///
/// # Errors
/// SQLite's.
pub fn probes_of(
    c: &Connection,
    scope: &Scope,
    which: DeviceFilter,
) -> rusqlite::Result<HashSet<ProbeId>> {
    let mut filter = Filter::new();
    filter
        .and_if("customer_id = ?", scope.customer())
        .and_if("customer_id = ?", which.customer)
        .and_if("site_id = ?", which.site);
    c.prepare_cached(&filter.sql("SELECT id FROM probes", ""))?
        .query_map(filter.values().as_slice(), |row| row.get(0))?
        .collect()
}

/// A device with the names that stand beside it.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its id.
    pub id: DeviceId,
    /// Its name, or its address.
    pub name: String,
    /// Whose it is.
    pub customer_name: String,
    /// Where it stands.
    pub site_name: String,
}

/// The device that a probe calls by a number; `None` when it is not one of those asked for, or was forgotten.
///
/// # Errors
/// SQLite's.
pub fn of_number(
    c: &Connection,
    scope: &Scope,
    which: DeviceFilter,
    probe: ProbeId,
    number: DeviceNo,
) -> rusqlite::Result<Option<Named>> {
    c.prepare_cached(
        "SELECT d.id, coalesce(d.display_name, d.name), d.address, customers.name, sites.name
         FROM device_numbers n JOIN devices d ON d.id = n.device_id
         JOIN customers ON customers.id = d.customer_id JOIN sites ON sites.id = d.site_id
         WHERE n.probe_id = ?1 AND n.device_no = ?2 AND d.forgotten_ms IS NULL
             AND (?3 IS NULL OR d.customer_id = ?3) AND (?4 IS NULL OR d.customer_id = ?4)
             AND (?5 IS NULL OR d.site_id = ?5)",
    )?
    .query_row(
        (probe, number, scope.customer(), which.customer, which.site),
        |row| {
            let (name, address): (String, String) = (row.get(1)?, row.get(2)?);
            Ok(Named {
                id: row.get(0)?,
                name: if name.is_empty() { address } else { name },
                customer_name: row.get(3)?,
                site_name: row.get(4)?,
            })
        },
    )
    .optional()
}

/// What a person changes of a device; the outer `None` keeps.
#[derive(Clone, Debug, Default)]
pub struct DeviceChange {
    /// Their name for it; `Some(None)` takes the device's own again.
    pub display_name: Option<Option<String>>,
    /// What they write of it.
    pub note: Option<String>,
    /// Quiet until then; `Some(None)` ends the quiet.
    pub muted_until: Option<Option<Timestamp>>,
}

/// Changes one.
///
/// # Errors
/// SQLite's.
pub fn update(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: DeviceId,
    change: &DeviceChange,
) -> rusqlite::Result<Outcome<Effects>> {
    let device = found!(get(c, scope, id)?);
    let muted = change
        .muted_until
        .map(|until| until.map(|at| at.to_string()));
    let detail =
        json!({ "display_name": change.display_name, "note": change.note, "muted_until": muted });
    audit::write(
        c,
        scope,
        now,
        &act("device.update", &id, device.customer, detail),
    )?;
    if let Some(name) = &change.display_name {
        c.execute(
            "UPDATE devices SET display_name = ?2 WHERE id = ?1",
            (id, name),
        )?;
    }
    if let Some(note) = &change.note {
        c.execute("UPDATE devices SET note = ?2 WHERE id = ?1", (id, note))?;
    }
    if let Some(until) = change.muted_until {
        c.execute(
            "UPDATE devices SET muted_until_ms = ?2 WHERE id = ?1",
            (id, until),
        )?;
    }
    let mut effects = Effects::new(device.customer, device.site);
    effects.push(Change::Device { device: id });
    Ok(Ok(effects))
}

/// Where the probes are to be told, and what to publish.
pub type Forgotten = (SiteId, Vec<(ProbeId, DeviceNo)>, Effects);

/// Forgets one: it leaves every list, its probes are told, its open incident ends. Its history stays until it is too old.
///
/// # Errors
/// SQLite's.
pub fn forget(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    id: DeviceId,
) -> rusqlite::Result<Outcome<Forgotten>> {
    let device = found!(get(c, scope, id)?);
    let sources = found!(sources(c, scope, id)?);
    let detail = json!({ "address": device.record.address });
    audit::write(
        c,
        scope,
        now,
        &act("device.forget", &id, device.customer, detail),
    )?;
    c.execute(
        "UPDATE devices SET forgotten_ms = ?2 WHERE id = ?1",
        (id, now),
    )?;
    c.execute(
        "DELETE FROM added_addresses WHERE site_id = ?1 AND address = ?2",
        (device.site, &device.record.address),
    )?;
    let mut effects = Effects::new(device.customer, device.site);
    rules::device_is_forgotten(c, id, now, &mut effects)?;
    effects.push(Change::Device { device: id });
    super::site_config::touch(c, device.site)?;
    Ok(Ok((device.site, sources, effects)))
}

/// `sw2` before `sw10`, whatever the case.
#[must_use]
pub fn natural_key(text: &str) -> String {
    let mut key = String::with_capacity(text.len() + 8);
    let mut digits = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        push_number(&mut key, &mut digits);
        key.push(c);
    }
    push_number(&mut key, &mut digits);
    key
}

fn push_number(key: &mut String, digits: &mut String) {
    if digits.is_empty() {
        return;
    }
    for _ in digits.len()..10 {
        key.push('0');
    }
    key.push_str(digits);
    digits.clear();
}

fn act<'a>(
    action: &'static str,
    id: &'a DeviceId,
    customer: CustomerId,
    detail: serde_json::Value,
) -> audit::Act<'a> {
    audit::Act {
        action,
        object_kind: "device",
        object_id: id,
        customer: Some(customer),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_people_read_them() {
        let mut names = ["SW10", "sw2", "core", "sw2b", "10.0.0.10", "10.0.0.9"];
        names.sort_by_key(|name| natural_key(name));
        assert_eq!(
            names,
            ["10.0.0.9", "10.0.0.10", "core", "sw2", "sw2b", "SW10"]
        );
    }
}
