//! What discovery found out about addresses, device or not.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::SiteId;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::page::{Page, PageQuery};
use super::value::{Id, Time, words};
use super::{Outcome, Refused, audit, found, site_config, sites};
use crate::scope::Scope;

words! {
    /// Which addresses are wanted.
    pub enum AddressesOnly {
        /// Devices that speak no SNMP with us.
        NoSnmp => "no_snmp",
        /// Addresses that became no device.
        NotADevice => "not_a_device",
    }
}

/// The last attempt with one credential.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Attempt {
    /// Which credential.
    pub credential_name: String,
    /// Which port.
    pub port: u16,
    /// `answered`, `no response`, `wrong auth password`, …
    pub outcome: String,
    /// When.
    pub at: Time,
}

/// What is known of one address.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DiscoveredAddress {
    /// The address.
    pub address: String,
    /// Found by which probe.
    pub probe_id: Id,
    /// The device it belongs to.
    #[schema(required)]
    pub device_id: Option<Id>,
    /// `answered`, `silent`, `not_judged`.
    pub icmp: String,
    /// `answered`, `no_answer`, `not_tried`, `refused`.
    pub snmp: String,
    /// One per credential.
    pub attempts: Vec<Attempt>,
    /// One sentence: why it is no device, or speaks no SNMP.
    pub reason: String,
    /// When it last answered anything.
    #[schema(required)]
    pub last_seen_at: Option<Time>,
}

/// Addresses of a site that contain `q` (in the address or the reason), in the order of their text.
///
/// # Errors
/// SQLite's.
pub fn list(
    c: &Connection,
    scope: &Scope,
    site: SiteId,
    q: Option<&str>,
    only: Option<AddressesOnly>,
    query: &PageQuery,
) -> rusqlite::Result<Option<Page<DiscoveredAddress>>> {
    if sites::get(c, scope, site)?.is_none() {
        return Ok(None);
    }
    let like = q.map(|q| {
        let escaped = q
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_");
        format!("%{escaped}%")
    });
    let all = c
        .prepare_cached(
            "SELECT a.address, a.probe_id, n.device_id, a.icmp, a.snmp, a.attempts, a.reason, a.last_seen_ms
             FROM addresses a LEFT JOIN device_numbers n ON n.probe_id = a.probe_id AND n.device_no = a.device_no
             WHERE a.site_id = ?1
               AND (?2 IS NULL OR a.address LIKE ?2 ESCAPE '\\' OR a.reason LIKE ?2 ESCAPE '\\')
               AND (?3 IS NOT 'no_snmp' OR (n.device_id IS NOT NULL AND a.snmp <> 'answered'))
               AND (?3 IS NOT 'not_a_device' OR n.device_id IS NULL)",
        )?
        .query_map((site, like, only), |row| {
            let attempts: Vec<(String, u16, String, Timestamp)> =
                super::json(row.get_ref(5)?.as_str()?)?;
            Ok(DiscoveredAddress {
                address: row.get(0)?,
                probe_id: row.get(1)?,
                device_id: row.get(2)?,
                icmp: row.get(3)?,
                snmp: row.get(4)?,
                attempts: attempts
                    .into_iter()
                    .map(|(credential_name, port, outcome, at)| Attempt {
                        credential_name,
                        port,
                        outcome,
                        at: Time(at),
                    })
                    .collect(),
                reason: row.get(6)?,
                last_seen_at: row.get::<_, Option<Timestamp>>(7)?.and_then(Time::unless_zero),
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let key = |item: &DiscoveredAddress| (address_key(&item.address), item.probe_id);
    let mut all = all;
    all.sort_by_cached_key(key);
    Ok(Some(Page::of_sorted(all, query, key)))
}

/// Sorts 10.0.0.9 before 10.0.0.10, and what is no address last.
#[must_use]
pub fn address_key(address: &str) -> (u8, u128, String) {
    match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(v4)) => (0, u32::from(v4).into(), String::new()),
        Ok(std::net::IpAddr::V6(v6)) => (1, v6.into(), String::new()),
        Err(_) => (2, 0, address.to_owned()),
    }
}

/// A person adds one address to what the site's probes watch.
///
/// # Errors
/// SQLite's.
pub fn add(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    site: SiteId,
    address: std::net::IpAddr,
    port: u16,
) -> rusqlite::Result<Outcome<()>> {
    let customer = found!(sites::get(c, scope, site)?).customer_id;
    let config = found!(site_config::get(c, scope, site)?);
    if let Err(why) = site_config::check_net(address.into(), config.settings.allow_loopback) {
        return Ok(Err(Refused::Invalid {
            field: "address",
            detail: why.to_owned(),
        }));
    }
    let count: i64 = c.query_row(
        "SELECT count(*) FROM added_addresses WHERE site_id = ?1",
        [site],
        |row| row.get(0),
    )?;
    if count >= 4_096 {
        return Ok(Err(Refused::Conflict(
            "this site has 4,096 added addresses: use a range instead".to_owned(),
        )));
    }
    audit::write(
        c,
        scope,
        now,
        &audit::Act {
            action: "device.add",
            object_kind: "site",
            object_id: &site,
            customer: Some(customer),
            detail: json!({ "address": address, "port": port }),
        },
    )?;
    c.execute(
        "INSERT INTO added_addresses (site_id, address, port, added_ms, added_by) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET port = excluded.port",
        (site, address.to_string(), port, now, scope.who()),
    )?;
    site_config::touch(c, site)?;
    Ok(Ok(()))
}
