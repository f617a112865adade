//! What the site's document at Central asks of this probe, checked, and narrowed by `probe.toml`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use farwatch_shared::wire::message::pull::{CredentialRecord, SiteDocument};
use ipnet::{IpNet, Ipv4Net};

use super::Narrow;
use crate::snmp::{Auth, AuthProtocol, CredentialError, PrivProtocol, V3User};

/// The site as this probe works it. Nothing in it needs checking again.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Of the document.
    pub revision: u64,
    /// Customer, site, probe: names for people.
    pub names: (String, String, String),
    /// Which addresses may be asked.
    pub scope: Scope,
    /// Addresses that a person added: (address, port; `None` = the site's ports).
    pub addresses: Vec<(IpAddr, Option<u16>)>,
    /// Ports where SNMP is tried, in order.
    pub snmp_ports: Vec<u16>,
    /// Between two echo requests to one device.
    pub icmp_interval_s: u32,
    /// Between two polls.
    pub poll_interval_s: u32,
    /// Between two readings of names and neighbours.
    pub inventory_interval_s: u32,
    /// Between two rounds of discovery.
    pub discovery_interval_s: u32,
    /// Echo requests a second while sweeping.
    pub icmp_rate_per_s: u32,
    /// In the order they are tried: v3 first.
    pub credentials: Vec<Credential>,
    /// What is wrong with the document, one sentence each.
    pub problems: Vec<String>,
}

/// A set of secrets by which devices answer.
#[derive(Clone)]
pub struct Credential {
    /// For people.
    pub name: String,
    /// `v1`, `v2c`, `v3`.
    pub version: &'static str,
    /// For v3: level and protocols in words; else empty.
    pub security: String,
    /// The secrets.
    pub auth: std::sync::Arc<Auth>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Which addresses may be asked at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only these.
    pub ranges: Vec<IpNet>,
    /// And none of these.
    pub exclude: Vec<IpNet>,
    /// `probe.toml`: if given, only these of `ranges`.
    pub only: Vec<IpNet>,
    /// Whether 127/8 may be asked.
    pub allow_loopback: bool,
}

impl Scope {
    /// Whether an address may be asked. Link-local, multicast and the like never.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        self.is_permitted(address)
            && within(&self.ranges)
            && !within(&self.exclude)
            && (self.only.is_empty() || within(&self.only))
    }

    /// Whether a single address that a person named may be asked: it need not lie in a range.
    #[must_use]
    pub fn allows_named(&self, address: IpAddr) -> bool {
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        self.is_permitted(address)
            && !within(&self.exclude)
            && (self.only.is_empty() || within(&self.only))
    }

    fn is_permitted(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) if v4.is_loopback() => {
                self.allow_loopback && v4 != Ipv4Addr::new(127, 255, 255, 255)
            }
            IpAddr::V4(v4) => {
                !(v4.is_link_local()
                    || v4.is_multicast()
                    || v4.is_broadcast()
                    || v4.is_unspecified()
                    || v4.octets()[0] == 0
                    || v4.octets()[0] >= 240)
            }
            IpAddr::V6(v6) if v6.is_loopback() => self.allow_loopback,
            IpAddr::V6(v6) => {
                !(v6.is_multicast() || v6.is_unspecified() || v6.segments()[0] & 0xffc0 == 0xfe80)
            }
        }
    }

    /// The IPv4 networks to sweep, without overlaps. IPv6 is never swept: its networks are too large.
    #[must_use]
    pub fn to_sweep(&self) -> Vec<Ipv4Net> {
        let nets = self.ranges.iter().filter_map(|net| match net {
            IpNet::V4(net) => Some(net.trunc()),
            IpNet::V6(_) => None,
        });
        Ipv4Net::aggregate(&nets.collect())
    }
}

impl Site {
    /// Reads a document. What cannot be used is left out and named in `problems`; the rest counts.
    ///
    /// `own` are the probe's own networks, used where the document names no range; `narrow` is `probe.toml`'s word.
    #[must_use]
    pub fn from_document(document: &SiteDocument, own: &[Ipv4Net], narrow: &Narrow) -> Self {
        let mut problems = Vec::new();
        let mut nets = |texts: &[String], what: &str| -> Vec<IpNet> {
            texts
                .iter()
                .filter_map(|text| match parse_net(text) {
                    Some(net) => Some(net),
                    None => {
                        problems.push(format!("{what} {text:?} is no network in CIDR form"));
                        None
                    }
                })
                .collect()
        };
        let mut ranges = nets(&document.ranges, "range");
        let mut exclude = nets(&document.exclude, "excluded range");
        exclude.extend(&narrow.exclude);
        if document.ranges.is_empty() {
            ranges = own.iter().copied().filter_map(own_range).collect();
        }
        ranges.retain(|net| match net {
            IpNet::V4(v4) if v4.prefix_len() < SMALLEST_PREFIX => {
                problems.push(format!(
                    "range {net} is larger than a /{SMALLEST_PREFIX} and is not swept: name the parts that are in use"
                ));
                false
            }
            IpNet::V6(v6) => {
                problems.push(format!(
                    "range {v6} is not swept: IPv6 devices are found by their neighbours, or added by address"
                ));
                true
            }
            IpNet::V4(_) => true,
        });
        let scope = Scope {
            ranges,
            exclude,
            only: narrow.ranges.clone(),
            allow_loopback: document.allow_loopback,
        };
        let mut addresses = Vec::new();
        for (text, port) in &document.addresses {
            match text.parse::<IpAddr>() {
                Ok(address) if scope.allows_named(address) => {
                    addresses.push((address, (*port != 0).then_some(*port)));
                }
                Ok(address) => problems.push(format!("address {address} may not be asked")),
                Err(_) => problems.push(format!("address {text:?} is none")),
            }
        }
        let mut credentials = Vec::new();
        for record in &document.credentials {
            match Credential::from_record(record) {
                Ok(credential) => credentials.push(credential),
                Err(error) => {
                    problems.push(format!(
                        "credential {:?} cannot be used: {error}",
                        record.name
                    ));
                }
            }
        }
        credentials.sort_by_key(|credential| credential.version != "v3");
        let mut snmp_ports: Vec<u16> = document
            .snmp_ports
            .iter()
            .copied()
            .filter(|port| *port != 0)
            .collect();
        if snmp_ports.is_empty() {
            snmp_ports.push(161);
        }
        Self {
            revision: document.revision,
            names: document.names.clone(),
            scope,
            addresses,
            snmp_ports,
            icmp_interval_s: document.icmp_interval_s.clamp(1, 3_600),
            poll_interval_s: document.poll_interval_s.clamp(2, 86_400),
            inventory_interval_s: document.inventory_interval_s.clamp(30, 604_800),
            discovery_interval_s: document.discovery_interval_s.clamp(30, 2_592_000),
            icmp_rate_per_s: document
                .icmp_rate_per_s
                .min(narrow.icmp_rate_per_s.unwrap_or(u32::MAX))
                .clamp(1, 100_000),
            credentials,
            problems,
        }
    }

    /// The credential of that name.
    #[must_use]
    pub fn credential(&self, name: &str) -> Option<&Credential> {
        self.credentials
            .iter()
            .find(|credential| credential.name == name)
    }

    /// Whether an address may be asked, because it lies in a range or because a person named it.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        self.scope.allows(address) || self.named(address).is_some()
    }

    /// Whether a person named this address; and at which port.
    #[must_use]
    pub fn named(&self, address: IpAddr) -> Option<Option<u16>> {
        self.addresses
            .iter()
            .find(|(named, _)| *named == address)
            .map(|(_, port)| *port)
    }

    /// Between two readings of sensors, storage and processors: they change slowly, and reading them is dear to some
    /// devices.
    #[must_use]
    pub fn readings_interval_s(&self) -> u32 {
        self.poll_interval_s.max(READINGS_S)
    }

    /// How long a poll may take.
    #[must_use]
    pub fn poll_deadline(&self) -> Duration {
        let interval = Duration::from_secs(self.poll_interval_s.into());
        (interval * 4 / 5).min(POLL_DEADLINE)
    }
}

/// Sensors are read no more often than this, in seconds.
const READINGS_S: u32 = 60;

impl Credential {
    /// Checks a credential of the document.
    ///
    /// # Errors
    /// Why it cannot be used, without its secrets.
    pub fn from_record(record: &CredentialRecord) -> Result<Self, CredentialError> {
        let (version, security, auth) = match record.kind.as_str() {
            "v1" => ("v1", String::new(), Auth::v1(&record.community)),
            "v3" => {
                let auth = || record.auth_protocol.parse::<AuthProtocol>();
                let user = match record.security_level.as_str() {
                    "authPriv" => V3User::auth_priv(
                        &record.user_name,
                        (auth()?, &record.auth_password),
                        (
                            record.priv_protocol.parse::<PrivProtocol>()?,
                            &record.priv_password,
                        ),
                    )?,
                    "authNoPriv" => {
                        V3User::auth(&record.user_name, auth()?, &record.auth_password)?
                    }
                    _ => V3User::no_auth(&record.user_name)?,
                };
                let mut words = vec![user.security_level().to_string()];
                words.extend(user.auth_protocol().map(|protocol| protocol.to_string()));
                words.extend(user.priv_protocol().map(|protocol| protocol.to_string()));
                let user = if record.context_name.is_empty() {
                    user
                } else {
                    user.in_context(&record.context_name)
                };
                ("v3", words.join(", "), Auth::V3(user))
            }
            _ => ("v2c", String::new(), Auth::v2c(&record.community)),
        };
        Ok(Self {
            name: record.name.clone(),
            version,
            security,
            auth: std::sync::Arc::new(auth),
        })
    }
}

/// A network, or a single address.
pub(super) fn parse_net(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        .map(|net| net.trunc())
}

/// A network of the probe's own, as far as it is swept without being asked for: at most a /22.
fn own_range(net: Ipv4Net) -> Option<IpNet> {
    let address = net.addr();
    if address.is_loopback() || address.is_link_local() || net.prefix_len() > 30 {
        return None;
    }
    let prefix = net.prefix_len().max(22);
    Ipv4Net::new(address, prefix)
        .ok()
        .map(|net| IpNet::V4(net.trunc()))
}

/// The largest range that is swept.
const SMALLEST_PREFIX: u8 = 12;
/// The longest a poll may take.
const POLL_DEADLINE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use farwatch_shared::clock::Timestamp;

    use super::*;

    fn document() -> SiteDocument {
        SiteDocument {
            revision: 3,
            names: Default::default(),
            ranges: Vec::new(),
            exclude: Vec::new(),
            addresses: Vec::new(),
            snmp_ports: Vec::new(),
            allow_loopback: false,
            icmp_interval_s: 10,
            poll_interval_s: 60,
            inventory_interval_s: 3_600,
            discovery_interval_s: 3_600,
            icmp_rate_per_s: 100,
            credentials: Vec::new(),
            at: Timestamp(0),
        }
    }

    fn site(ranges: &[&str], exclude: &[&str], loopback: bool) -> Site {
        let document = SiteDocument {
            ranges: ranges.iter().map(ToString::to_string).collect(),
            exclude: exclude.iter().map(ToString::to_string).collect(),
            allow_loopback: loopback,
            ..document()
        };
        Site::from_document(
            &document,
            &["192.168.4.7/16".parse().unwrap()],
            &Narrow::default(),
        )
    }

    fn allows(site: &Site, address: &str) -> bool {
        site.allows(address.parse().unwrap())
    }

    #[test]
    fn without_ranges_its_own_network_is_swept_up_to_a_22() {
        let site = site(&[], &[], false);
        assert_eq!(
            site.scope.to_sweep(),
            vec!["192.168.4.0/22".parse().unwrap()]
        );
        assert!(allows(&site, "192.168.7.255") && !allows(&site, "192.168.8.1"));
    }

    #[test]
    fn loopback_link_local_and_multicast_need_more_than_a_range() {
        let all = [
            "127.0.0.0/8",
            "169.254.0.0/16",
            "224.0.0.0/12",
            "10.0.0.0/24",
            "0.0.0.0/8",
            "::1/128",
            "fe80::/64",
        ];
        let closed = site(&all, &[], false);
        let open = site(&all, &[], true);
        for never in [
            "169.254.169.254",
            "224.0.0.5",
            "255.255.255.255",
            "0.0.0.0",
            "fe80::1",
            "127.255.255.255",
        ] {
            assert!(!allows(&closed, never) && !allows(&open, never), "{never}");
        }
        assert!(!allows(&closed, "127.0.0.1") && !allows(&closed, "::ffff:127.0.0.1"));
        assert!(allows(&closed, "10.0.0.9"));
        let small = site(&["127.0.10.0/24"], &["127.0.10.8/29"], true);
        assert!(
            allows(&small, "127.0.10.1")
                && !allows(&small, "127.0.10.9")
                && !allows(&small, "127.0.11.1")
        );
    }

    #[test]
    fn the_site_itself_may_only_narrow() {
        let document = SiteDocument {
            ranges: vec!["10.0.0.0/16".to_owned()],
            addresses: vec![("10.9.9.9".to_owned(), 0), ("10.0.5.9".to_owned(), 1161)],
            ..document()
        };
        let site = Site::from_document(
            &document,
            &[],
            &Narrow {
                ranges: vec!["10.0.5.0/24".parse().unwrap()],
                ..Narrow::default()
            },
        );
        assert!(
            allows(&site, "10.0.5.1") && !allows(&site, "10.0.6.1") && !allows(&site, "10.9.9.9")
        );
        assert_eq!(site.named("10.0.5.9".parse().unwrap()), Some(Some(1161)));
        assert_eq!(site.problems.len(), 1);
    }

    #[test]
    fn v3_comes_first_and_what_cannot_be_used_is_named_without_its_secret() {
        let v3 = |name: &str, password: &str| CredentialRecord {
            name: name.to_owned(),
            kind: "v3".to_owned(),
            user_name: "u".to_owned(),
            security_level: "authNoPriv".to_owned(),
            auth_protocol: "SHA-256".to_owned(),
            auth_password: password.to_owned(),
            ..CredentialRecord::default()
        };
        let v2c = CredentialRecord {
            name: "public".to_owned(),
            kind: "v2c".to_owned(),
            community: "public".to_owned(),
            ..CredentialRecord::default()
        };
        let document = SiteDocument {
            credentials: vec![v2c, v3("good", "long enough"), v3("bad", "tiny")],
            ..document()
        };
        let site = Site::from_document(&document, &[], &Narrow::default());
        let names: Vec<_> = site.credentials.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, vec!["good", "public"]);
        assert_eq!(site.credentials[0].security, "authNoPriv, SHA-256");
        assert!(site.problems[0].contains("bad") && !site.problems[0].contains("tiny"));
    }

    #[test]
    fn a_range_too_large_to_sweep_is_said() {
        let site = site(&["10.0.0.0/8", "10.1.0.0/24"], &[], false);
        assert_eq!(site.scope.to_sweep(), vec!["10.1.0.0/24".parse().unwrap()]);
        assert_eq!(site.problems.len(), 1);
    }
}
