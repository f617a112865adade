//! The site's configuration: one revisioned document, edited in the console, pulled by the site's probes.

use std::net::IpAddr;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CredentialId, CustomerId, SiteId};
use farwatch_shared::wire::message::pull::{CredentialRecord, SiteDocument};
use ipnet::IpNet;
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::value::{Id, Time, count};
use super::{Outcome, Refused, audit, credentials, found, sites};
use crate::scope::{ProbeScope, Scope};
use crate::vault::Vault;

/// What the site's probes do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteSettings {
    /// CIDRs that are swept; empty = the probe's own subnets.
    #[serde(default)]
    pub ranges: Vec<String>,
    /// CIDRs that are never touched.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// In the order they are tried (the probe takes v3 first).
    #[serde(default)]
    pub credential_ids: Vec<Id>,
    /// Where SNMP is tried.
    #[serde(default = "default_ports")]
    pub snmp_ports: Vec<u16>,
    /// Whether 127/8 may be asked (demo and tests).
    #[serde(default)]
    pub allow_loopback: bool,
    /// Seconds between two pings.
    #[serde(default = "default_icmp")]
    pub icmp_interval_s: u32,
    /// Seconds between two polls.
    #[serde(default = "default_poll")]
    pub poll_interval_s: u32,
    /// Seconds between two inventories.
    #[serde(default = "default_hour")]
    pub inventory_interval_s: u32,
    /// Seconds between two discoveries.
    #[serde(default = "default_hour")]
    pub discovery_interval_s: u32,
    /// Echo requests a second while sweeping.
    #[serde(default = "default_rate")]
    pub icmp_rate_per_s: u32,
}

const fn default_icmp() -> u32 {
    10
}
const fn default_poll() -> u32 {
    60
}
const fn default_hour() -> u32 {
    3_600
}
const fn default_rate() -> u32 {
    100
}
fn default_ports() -> Vec<u16> {
    vec![161]
}

impl Default for SiteSettings {
    fn default() -> Self {
        Self {
            ranges: Vec::new(),
            exclude: Vec::new(),
            credential_ids: Vec::new(),
            snmp_ports: default_ports(),
            allow_loopback: false,
            icmp_interval_s: default_icmp(),
            poll_interval_s: default_poll(),
            inventory_interval_s: default_hour(),
            discovery_interval_s: default_hour(),
            icmp_rate_per_s: default_rate(),
        }
    }
}

/// The document with its revision.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SiteConfig {
    /// Whose.
    pub site_id: Id,
    /// Goes up with every change, also of a credential that it names.
    pub revision: u64,
    /// What the probes do.
    #[serde(flatten)]
    pub settings: SiteSettings,
    /// When it was last edited.
    pub updated_at: Time,
    /// By whom.
    pub updated_by: String,
}

/// One of the site, when `scope` sees it.
///
/// # Errors
/// SQLite's.
pub fn get(c: &Connection, scope: &Scope, site: SiteId) -> rusqlite::Result<Option<SiteConfig>> {
    if sites::get(c, scope, site)?.is_none() {
        return Ok(None);
    }
    c.prepare_cached(
        "SELECT site_id, revision, document, updated_ms, updated_by FROM site_configs WHERE site_id = ?1",
    )?
    .query_row([site], |row| {
        Ok(SiteConfig {
            site_id: row.get(0)?,
            revision: count(row, 1)?,
            settings: super::json(row.get_ref(2)?.as_str()?)?,
            updated_at: row.get(3)?,
            updated_by: row.get(4)?,
        })
    })
    .optional()
}

pub(super) fn create_default(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    site: SiteId,
    customer: CustomerId,
) -> rusqlite::Result<()> {
    c.execute(
        "INSERT INTO site_configs (site_id, customer_id, revision, document, updated_ms, updated_by)
         VALUES (?1, ?2, 1, ?3, ?4, ?5)",
        (
            site,
            customer,
            super::to_json(&SiteSettings::default())?,
            now,
            scope.who(),
        ),
    )?;
    Ok(())
}

/// The revision goes up: a probe that holds the old one pulls again.
///
/// # Errors
/// SQLite's.
pub fn touch(c: &Connection, site: SiteId) -> rusqlite::Result<()> {
    c.execute(
        "UPDATE site_configs SET revision = revision + 1 WHERE site_id = ?1",
        [site],
    )?;
    Ok(())
}

pub(super) fn remove_credential(
    c: &Connection,
    site: SiteId,
    credential: CredentialId,
) -> rusqlite::Result<()> {
    let document: String = c.query_row(
        "SELECT document FROM site_configs WHERE site_id = ?1",
        [site],
        |row| row.get(0),
    )?;
    let mut settings: SiteSettings = super::json(&document)?;
    settings
        .credential_ids
        .retain(|id| *id != Id::from(credential));
    c.execute(
        "UPDATE site_configs SET revision = revision + 1, document = ?2 WHERE site_id = ?1",
        (site, super::to_json(&settings)?),
    )?;
    Ok(())
}

/// Replaces the document, when `revision` is the one that was edited.
///
/// # Errors
/// SQLite's.
pub fn put(
    c: &Connection,
    scope: &Scope,
    now: Timestamp,
    site: SiteId,
    revision: u64,
    settings: &SiteSettings,
) -> rusqlite::Result<Outcome<u64>> {
    let before = found!(get(c, scope, site)?);
    let customer = found!(sites::get(c, scope, site)?).customer_id;
    if before.revision != revision {
        return Ok(Err(Refused::Conflict(format!(
            "somebody changed it meanwhile: this is revision {}, you edited {revision}",
            before.revision
        ))));
    }
    if let Err(refused) = check(settings) {
        return Ok(Err(refused));
    }
    for id in &settings.credential_ids {
        let usable =
            credentials::get(c, scope, CredentialId::from(*id))?.is_some_and(|credential| {
                credential.customer_id == customer.into()
                    && credential.site_id.is_none_or(|only| only == site.into())
            });
        if !usable {
            return Ok(Err(Refused::Invalid {
                field: "credential_ids",
                detail: format!("{id} is not a credential of this site or its customer"),
            }));
        }
    }
    audit::write(
        c,
        scope,
        now,
        &audit::Act {
            action: "site-config.put",
            object_kind: "site",
            object_id: &site,
            customer: Some(customer),
            detail: json!({ "revision": revision + 1, "settings": settings }),
        },
    )?;
    c.execute(
        "UPDATE site_configs SET revision = ?2, document = ?3, updated_ms = ?4, updated_by = ?5 WHERE site_id = ?1",
        (site, (revision + 1).cast_signed(), super::to_json(settings)?, now, scope.who()),
    )?;
    Ok(Ok(revision + 1))
}

pub(crate) fn check(settings: &SiteSettings) -> Outcome<()> {
    let invalid = |field, detail: String| Refused::Invalid { field, detail };
    for range in &settings.ranges {
        let net = parse_net(range).ok_or_else(|| {
            invalid(
                "ranges",
                format!("{range:?} is not a range: write 192.0.2.0/24"),
            )
        })?;
        check_net(net, settings.allow_loopback)
            .map_err(|why| invalid("ranges", format!("{range}: {why}")))?;
    }
    for range in &settings.exclude {
        parse_net(range).ok_or_else(|| {
            invalid(
                "exclude",
                format!("{range:?} is not a range: write 192.0.2.0/24"),
            )
        })?;
    }
    if settings.ranges.len() > 1_000 || settings.exclude.len() > 1_000 {
        return Err(invalid("ranges", "at most 1,000 ranges".to_owned()));
    }
    if settings.snmp_ports.is_empty()
        || settings.snmp_ports.len() > 8
        || settings.snmp_ports.contains(&0)
    {
        return Err(invalid(
            "snmp_ports",
            "one to eight ports from 1 to 65535".to_owned(),
        ));
    }
    let bounds = [
        ("icmp_interval_s", settings.icmp_interval_s, 1, 3_600),
        ("poll_interval_s", settings.poll_interval_s, 1, 86_400),
        (
            "inventory_interval_s",
            settings.inventory_interval_s,
            60,
            604_800,
        ),
        (
            "discovery_interval_s",
            settings.discovery_interval_s,
            60,
            604_800,
        ),
        ("icmp_rate_per_s", settings.icmp_rate_per_s, 1, 10_000),
    ];
    for (field, value, low, high) in bounds {
        if !(low..=high).contains(&value) {
            return Err(invalid(field, format!("from {low} to {high}")));
        }
    }
    Ok(())
}

/// A range, or a single address as a range of one.
#[must_use]
pub fn parse_net(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        .map(|net| net.trunc())
}

/// Whether addresses of this range may be asked at all.
///
/// # Errors
/// Why not, in a few words.
pub fn check_net(net: IpNet, allow_loopback: bool) -> Result<(), &'static str> {
    let address = match net.network() {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 @ IpAddr::V4(_) => v4,
    };
    if address.is_loopback() && !allow_loopback {
        return Err("this machine itself (127/8) is only for the demo: turn allow_loopback on");
    }
    if address.is_multicast() || address.is_unspecified() {
        return Err("not an address of devices");
    }
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(_) => false,
    };
    if link_local {
        return Err("link-local addresses are not asked");
    }
    let widest = match net {
        IpNet::V4(_) => 12,
        IpNet::V6(_) => 112,
    };
    if net.prefix_len() < widest {
        return Err("too wide: at most /12, or /112 of IPv6");
    }
    Ok(())
}

/// What the probe of `scope` pulls: its site's settings, with the credentials opened.
///
/// # Errors
/// SQLite's; `QueryReturnedNoRows` when the probe's row is gone.
pub fn document_for_probe(
    c: &Connection,
    scope: &ProbeScope,
    vault: &Vault,
    now: Timestamp,
) -> rusqlite::Result<SiteDocument> {
    let names = c.query_row(
        "SELECT u.name, s.name, p.name FROM probes p JOIN sites s ON s.id = p.site_id JOIN customers u ON u.id = s.customer_id
         WHERE p.id = ?1 AND s.id = ?2 AND u.id = ?3",
        (scope.probe(), scope.site(), scope.customer()),
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let (revision, document): (u64, String) = c.query_row(
        "SELECT revision, document FROM site_configs WHERE site_id = ?1 AND customer_id = ?2",
        (scope.site(), scope.customer()),
        |row| Ok((count(row, 0)?, row.get(1)?)),
    )?;
    let settings: SiteSettings = super::json(&document)?;
    let addresses = c
        .prepare_cached(
            "SELECT address, port FROM added_addresses WHERE site_id = ?1 ORDER BY added_ms",
        )?
        .query_map([scope.site()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut opened = Vec::with_capacity(settings.credential_ids.len());
    for id in &settings.credential_ids {
        opened.extend(open_credential(
            c,
            scope.customer(),
            vault,
            CredentialId::from(*id),
        )?);
    }
    Ok(SiteDocument {
        revision,
        names,
        ranges: settings.ranges,
        exclude: settings.exclude,
        addresses,
        snmp_ports: settings.snmp_ports,
        allow_loopback: settings.allow_loopback,
        icmp_interval_s: settings.icmp_interval_s,
        poll_interval_s: settings.poll_interval_s,
        inventory_interval_s: settings.inventory_interval_s,
        discovery_interval_s: settings.discovery_interval_s,
        icmp_rate_per_s: settings.icmp_rate_per_s,
        credentials: opened,
        at: now,
    })
}

fn open_credential(
    c: &Connection,
    customer: CustomerId,
    vault: &Vault,
    id: CredentialId,
) -> rusqlite::Result<Option<CredentialRecord>> {
    let row = c
        .prepare_cached(
            "SELECT name, kind, user_name, security_level, auth_protocol, priv_protocol, context_name
             FROM credentials WHERE id = ?1 AND customer_id = ?2",
        )?
        .query_row((id, customer), |row| {
            let text = |i| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(i)?.unwrap_or_default());
            Ok(CredentialRecord {
                id: *id.as_bytes(),
                name: text(0)?,
                kind: text(1)?,
                user_name: text(2)?,
                security_level: text(3)?,
                auth_protocol: text(4)?,
                priv_protocol: text(5)?,
                context_name: text(6)?,
                ..CredentialRecord::default()
            })
        })
        .optional()?;
    let Some(mut record) = row else {
        return Ok(None);
    };
    match credentials::secrets(c, vault, customer, id)? {
        Ok(secrets) => {
            record.community.clone_from(&secrets.community);
            record.auth_password.clone_from(&secrets.auth_password);
            record.priv_password.clone_from(&secrets.priv_password);
            Ok(Some(record))
        }
        Err(error) => {
            tracing::error!(credential.id = %id, %error, "a credential does not open; enter its secrets again");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_must_not_be_asked_are_refused() {
        let check = |text: &str, loopback| check_net(parse_net(text).unwrap(), loopback);
        for text in [
            "127.0.0.0/8",
            "127.0.0.1",
            "::1/128",
            "::ffff:127.0.0.1/128",
        ] {
            assert!(check(text, false).is_err(), "{text}");
        }
        assert!(check("127.0.1.0/24", true).is_ok());
        for text in [
            "224.0.0.0/8",
            "0.0.0.0/0",
            "169.254.169.254",
            "10.0.0.0/8",
            "255.255.255.255",
            "2001:db8::/64",
        ] {
            assert!(check(text, true).is_err(), "{text}");
        }
        for text in ["10.20.0.0/16", "192.0.2.7", "2001:db8::1/120"] {
            assert!(check(text, false).is_ok(), "{text}");
        }
        for text in ["10.0.0.0/33", "2130706433", "0x7f.1", "example.org", ""] {
            assert!(parse_net(text).is_none(), "{text}");
        }
    }
}
