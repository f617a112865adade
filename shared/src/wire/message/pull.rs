//! Pulls: the probe opens a stream, asks once, reads the answer, closes it.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::wire::Message;
use crate::wire::message::batch::DeviceRecord;

/// `PullRequest::what`: answered by [`SiteDocument`].
pub const SITE_DOCUMENT: u16 = 1;
/// `PullRequest::what`: answered by [`Inventory`] parts.
pub const INVENTORY: u16 = 2;
/// `PullRequest::what`: answered by [`Addresses`].
pub const ADDRESSES: u16 = 3;
/// `PullRequest::what`: answered by [`crate::wire::message::enroll::CertificateAnswer`]; `argument` is a CSR.
pub const RENEW: u16 = 4;

/// Probe → Central, first and only frame of a pull stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// What is wanted.
    pub what: u16,
    /// For [`INVENTORY`]: continue after this device number.
    pub after: u64,
    /// Meaning depends on `what`.
    pub argument: Vec<u8>,
}
impl Message for PullRequest {
    const TYPE: u16 = 64;
    const VERSION: u16 = 1;
}

/// Central → probe instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRefused {
    /// Why, in words.
    pub reason: String,
}
impl Message for PullRefused {
    const TYPE: u16 = 65;
    const VERSION: u16 = 1;
}

/// The site's configuration, credentials opened for this probe.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteDocument {
    /// Its revision.
    pub revision: u64,
    /// Customer, site, probe: names for people.
    pub names: (String, String, String),
    /// CIDRs; empty = the probe's own subnets.
    pub ranges: Vec<String>,
    /// CIDRs never touched.
    pub exclude: Vec<String>,
    /// Single addresses added by a person: (address, port; 0 = the site's ports).
    pub addresses: Vec<(String, u16)>,
    /// Ports where SNMP is tried.
    pub snmp_ports: Vec<u16>,
    /// Whether 127/8 may be asked.
    pub allow_loopback: bool,
    /// Seconds.
    pub icmp_interval_s: u32,
    /// Seconds.
    pub poll_interval_s: u32,
    /// Seconds.
    pub inventory_interval_s: u32,
    /// Seconds.
    pub discovery_interval_s: u32,
    /// Echo requests a second while sweeping.
    pub icmp_rate_per_s: u32,
    /// In the order they are tried.
    pub credentials: Vec<CredentialRecord>,
    /// Central's clock.
    pub at: Timestamp,
}
impl Message for SiteDocument {
    const TYPE: u16 = 66;
    const VERSION: u16 = 1;
}

impl std::fmt::Debug for SiteDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SiteDocument")
            .field("revision", &self.revision)
            .field("ranges", &self.ranges)
            .finish_non_exhaustive()
    }
}

/// One credential, in clear inside the session. Does not print its secrets.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRecord {
    /// 16 bytes of a [`crate::id::CredentialId`].
    pub id: [u8; 16],
    /// For people and for "last attempt per credential".
    pub name: String,
    /// `v1`, `v2c`, `v3`.
    pub kind: String,
    /// v1, v2c.
    pub community: String,
    /// v3.
    pub user_name: String,
    /// `noAuthNoPriv`, `authNoPriv`, `authPriv`.
    pub security_level: String,
    /// As in the API: `SHA-256`.
    pub auth_protocol: String,
    /// v3.
    pub auth_password: String,
    /// As in the API: `AES-128`, `AES-256-C`.
    pub priv_protocol: String,
    /// v3.
    pub priv_password: String,
    /// v3.
    pub context_name: String,
}

impl std::fmt::Debug for CredentialRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialRecord")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// What Central has of this probe's devices, so that a probe with an empty inventory gives them their old numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// As the probe last said them, in the order of their numbers.
    pub devices: Vec<DeviceRecord>,
    /// Ask again with `after` = the last number; false at the end.
    pub more: bool,
}
impl Message for Inventory {
    const TYPE: u16 = 67;
    const VERSION: u16 = 1;
}

/// Where Central is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Its revision.
    pub revision: u64,
    /// `host:port`, best first.
    pub addresses: Vec<String>,
}
impl Message for Addresses {
    const TYPE: u16 = 68;
    const VERSION: u16 = 1;
}
