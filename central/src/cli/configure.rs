//! `site configure`: what is named changes, what is not stays.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::ask::{Ask, word};

/// What changes of a site's configuration.
#[derive(Debug, Args)]
pub struct Configure {
    /// Which site (its id).
    #[arg(long)]
    site: String,
    /// Swept (CIDR); again for more.
    #[arg(long, value_name = "CIDR")]
    range: Vec<String>,
    /// Never touched (CIDR); again for more.
    #[arg(long, value_name = "CIDR")]
    exclude: Vec<String>,
    /// Where SNMP is tried; again for more.
    #[arg(long, value_name = "PORT")]
    snmp_port: Vec<u16>,
    /// 127/8 may be asked.
    #[arg(long)]
    allow_loopback: bool,
    /// `NAME=COMMUNITY`; again for more.
    #[arg(long, value_name = "NAME=COMMUNITY")]
    credential_v1: Vec<Community>,
    /// `NAME=COMMUNITY`; again for more.
    #[arg(long, value_name = "NAME=COMMUNITY")]
    credential_v2c: Vec<Community>,
    /// `NAME=USER[:AUTH-PROTOCOL:PASSWORD[:PRIV-PROTOCOL:PASSWORD]]`; again for more.
    #[arg(long, value_name = "NAME=USER:…")]
    credential_v3: Vec<V3>,
    /// Between two pings.
    #[arg(long, value_parser = duration)]
    icmp_interval: Option<Duration>,
    /// Between two polls.
    #[arg(long, value_parser = duration)]
    poll_interval: Option<Duration>,
    /// Between two inventories.
    #[arg(long, value_parser = duration)]
    inventory_interval: Option<Duration>,
    /// Between two discoveries.
    #[arg(long, value_parser = duration)]
    discovery_interval: Option<Duration>,
    /// Echo requests a second while sweeping.
    #[arg(long, value_name = "N")]
    icmp_rate: Option<u32>,
}

/// `30s`, `10m`, `1h`.
///
/// # Errors
/// One sentence.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime_serde::re::humantime::parse_duration(text)
        .map_err(|_| format!("{text:?} is not a duration: write 30s, 10m or 1h"))
}

/// A v1 or v2c credential. Does not print its community.
#[derive(Clone)]
struct Community {
    name: String,
    community: String,
}

impl fmt::Debug for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Community")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl FromStr for Community {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, community) = text.split_once('=').ok_or("write NAME=COMMUNITY")?;
        Ok(Self {
            name: name.to_owned(),
            community: community.to_owned(),
        })
    }
}

/// A v3 credential. Does not print its passwords.
#[derive(Clone)]
struct V3 {
    name: String,
    body: Value,
}

impl fmt::Debug for V3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("V3")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl FromStr for V3 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write NAME=USER[:AUTH-PROTOCOL:PASSWORD[:PRIV-PROTOCOL:PASSWORD]]";
        let (name, rest) = text.split_once('=').ok_or(form)?;
        let parts: Vec<&str> = rest.split(':').collect();
        let mut body = json!({ "name": name, "kind": "v3", "user_name": parts.first() });
        let level = match parts.len() {
            1 => "noAuthNoPriv",
            3 => "authNoPriv",
            5 => "authPriv",
            _ => return Err(form.to_owned()),
        };
        body["security_level"] = level.into();
        if let [_, protocol, password, ..] = parts[..] {
            body["auth_protocol"] = protocol.into();
            body["auth_password"] = password.into();
        }
        if let [_, _, _, protocol, password] = parts[..] {
            body["priv_protocol"] = protocol.into();
            body["priv_password"] = password.into();
        }
        Ok(Self {
            name: name.to_owned(),
            body,
        })
    }
}

impl Configure {
    /// Applies it, credentials first.
    ///
    /// # Errors
    /// What Central said.
    pub async fn apply(&self, ask: &Ask) -> anyhow::Result<Value> {
        let site_path = format!("/api/v1/sites/{}", word(&self.site));
        let site = ask.get(&site_path).await?;
        let customer = site["customer_id"]
            .as_str()
            .context("a site has a customer")?;
        let ids = self.credentials(ask, customer).await?;
        let path = format!("{site_path}/site-config");
        let mut config = ask.get(&path).await?;
        let body = config
            .as_object_mut()
            .context("a configuration is an object")?;
        for gone in ["site_id", "updated_at", "updated_by"] {
            body.remove(gone);
        }
        let mut put = |key: &str, value: Value| body.insert(key.to_owned(), value);
        if !self.range.is_empty() {
            put("ranges", json!(self.range));
        }
        if !self.exclude.is_empty() {
            put("exclude", json!(self.exclude));
        }
        if !self.snmp_port.is_empty() {
            put("snmp_ports", json!(self.snmp_port));
        }
        if self.allow_loopback {
            put("allow_loopback", json!(true));
        }
        if !ids.is_empty() {
            put("credential_ids", json!(ids));
        }
        for (key, time) in [
            ("icmp_interval_s", self.icmp_interval),
            ("poll_interval_s", self.poll_interval),
            ("inventory_interval_s", self.inventory_interval),
            ("discovery_interval_s", self.discovery_interval),
        ] {
            if let Some(time) = time {
                put(key, json!(time.as_secs()));
            }
        }
        if let Some(rate) = self.icmp_rate {
            put("icmp_rate_per_s", json!(rate));
        }
        ask.send("PUT", &path, Some(&config)).await
    }

    /// Makes or changes the named credentials; their ids, in the order in which they are tried.
    async fn credentials(&self, ask: &Ask, customer: &str) -> anyhow::Result<Vec<String>> {
        let community = |kind: &str, one: &Community| {
            let body = json!({ "name": one.name, "kind": kind, "community": one.community });
            (one.name.clone(), body)
        };
        let v3 = self
            .credential_v3
            .iter()
            .map(|one| (one.name.clone(), one.body.clone()));
        let v2c = self.credential_v2c.iter().map(|one| community("v2c", one));
        let v1 = self.credential_v1.iter().map(|one| community("v1", one));
        let list = ask
            .all(&format!("/api/v1/credentials?customer_id={customer}"))
            .await?;
        let known = list["items"].as_array().cloned().unwrap_or_default();
        let mut ids = Vec::new();
        for (name, mut body) in v3.chain(v2c).chain(v1) {
            let same = known.iter().find(|one| {
                one["name"]
                    .as_str()
                    .is_some_and(|n| n.eq_ignore_ascii_case(&name))
            });
            let made = match same.and_then(|one| one["id"].as_str()) {
                Some(id) => {
                    ask.send("PATCH", &format!("/api/v1/credentials/{id}"), Some(&body))
                        .await?
                }
                None => {
                    body["customer_id"] = customer.into();
                    ask.post("/api/v1/credentials", &body).await?
                }
            };
            ids.push(
                made["id"]
                    .as_str()
                    .context("a credential has an id")?
                    .to_owned(),
            );
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v3_credential_is_read_by_its_length_and_never_printed() {
        let full: V3 = "mon=ops:SHA-256:auth-canary:AES-128:priv-canary"
            .parse()
            .unwrap();
        assert_eq!(full.body["security_level"], "authPriv");
        assert_eq!(full.body["priv_protocol"], "AES-128");
        assert!(!format!("{full:?}").contains("canary"));
        assert_eq!(
            "n=u".parse::<V3>().unwrap().body["security_level"],
            "noAuthNoPriv"
        );
        assert_eq!(
            "n=u:SHA-1:password".parse::<V3>().unwrap().body["security_level"],
            "authNoPriv"
        );
        assert!("n=u:SHA-1".parse::<V3>().is_err());
        assert!("nothing".parse::<V3>().is_err());
    }
}
