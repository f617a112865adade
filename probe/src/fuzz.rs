//! Every decoder of bytes from outside as one function, with valid examples: see `farwatch_shared::fuzz`.
//!
//! SNMP and ICMP stand beside what they test; here is what Central says, and what lies in the probe's files.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests: a broken promise is a panic"
)]

use std::path::Path;
use std::sync::LazyLock;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::fuzz::Target;
use farwatch_shared::fuzz::message::golden;
use farwatch_shared::id::{CustomerId, DeploymentId, ProbeId, SiteId};
use farwatch_shared::link::{ProbeName, key_hash_of};
use farwatch_shared::wire::codec::PULL_LIMIT;
use farwatch_shared::wire::message::enroll::CertificateAnswer;
use farwatch_shared::wire::message::pull::SiteDocument;
use farwatch_shared::wire::{decode, encode};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SanType};

use crate::config::site::Site;
use crate::config::{Config, Narrow};
use crate::discovery::own::parse_gateway;
use crate::discovery::sweep::Sweep;
use crate::identity::{Identity, Place};
pub use crate::{icmp, snmp};

/// What Central says, and the probe's files.
pub const TARGETS: &[Target] = &[
    Target::new("site_document_applied", site_document, || {
        let mut longer: SiteDocument = decode(&golden("SiteDocument")).unwrap();
        longer.ranges = [
            "10.0.0.0/22",
            "10.0.2.0/23",
            "2001:db8::/64",
            "192.0.2.7",
            "172.16.0.0/13",
        ]
        .map(str::to_owned)
        .into();
        longer.exclude = vec!["10.0.1.0/24".to_owned()];
        longer.addresses.push(("192.0.2.9".to_owned(), 0));
        let kinds = ["v1", "v2c", "v3"];
        longer.credentials = kinds
            .iter()
            .map(|kind| {
                let mut one = longer.credentials[0].clone();
                one.kind = (*kind).to_owned();
                one.security_level = "authPriv".to_owned();
                one.auth_protocol = "SHA-256".to_owned();
                one.auth_password = "password1".to_owned();
                one.priv_protocol = "AES-128".to_owned();
                one.priv_password = "password2".to_owned();
                one.user_name = "monitor".to_owned();
                one
            })
            .collect();
        vec![golden("SiteDocument"), encode(&longer)]
    })
    .longest(PULL_LIMIT)
    .memory(32 << 20, 160)
    .cost(8),
    Target::new("join_answer", join_answer, || vec![encode(&JOINED.answer)])
        .longest(PULL_LIMIT)
        .memory(3 << 20, 160)
        .cost(4),
    Target::new("place", place, || {
        let file = serde_json::to_vec_pretty(&JOINED.place).unwrap();
        vec![file, serde_json::to_vec(&JOINED.place).unwrap()]
    }),
    Target::new("probe_config", config, || {
        vec![
            include_bytes!("../../examples/probe.toml").to_vec(),
            b"[spool]\nmax_mib = 512\nkeep = \"7d\"\n[narrow]\nranges = [\"10.0.0.0/8\"]\n"
                .to_vec(),
        ]
    })
    .memory(4 << 20, 512)
    .cost(2),
    Target::new("route_table", route_table, || {
        vec![b"Iface\tDestination\tGateway \tFlags\neth0\t0000A8C0\t00000000\t0001\neth0\t00000000\t0100A8C0\t0003\n".to_vec()]
    }),
];

/// Every decoder of this package.
#[must_use]
pub fn targets() -> Vec<Target> {
    [
        TARGETS,
        snmp::fuzz::TARGETS,
        snmp::fuzz::AGENT_TARGETS,
        icmp::fuzz::TARGETS,
    ]
    .concat()
}

/// A document as it arrives, down to the first addresses that would be asked.
fn site_document(bytes: &[u8]) -> bool {
    let Ok(document) = decode::<SiteDocument>(bytes) else {
        return false;
    };
    let own = ["192.168.1.0/24".parse().unwrap()];
    let site = Site::from_document(&document, &own, &Narrow::default());
    assert!(!site.snmp_ports.is_empty() && !site.snmp_ports.contains(&0));
    assert!((1..=3_600).contains(&site.icmp_interval_s));
    assert!((2..=86_400).contains(&site.poll_interval_s));
    assert!((1..=100_000).contains(&site.icmp_rate_per_s));
    assert!(site.credentials.len() <= document.credentials.len());
    for (address, _) in &site.addresses {
        assert!(site.scope.allows_named(*address) && !address.is_multicast());
    }
    let mut sweep = Sweep::new(&site.scope, &["10.0.0.1".parse().unwrap()]);
    for address in sweep.take(512) {
        assert!(site.scope.allows(address.into()), "{address}");
    }
    true
}

/// A probe that has just joined.
struct Joined {
    key: String,
    answer: CertificateAnswer,
    ca_key_hash: [u8; 32],
    place: Place,
}

static JOINED: LazyLock<Joined> = LazyLock::new(|| {
    let name = ProbeName {
        deployment: DeploymentId::from_bytes([1; 16]),
        customer: CustomerId::from_bytes([2; 16]),
        site: SiteId::from_bytes([3; 16]),
        probe: ProbeId::from_bytes([4; 16]),
    };
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(name.to_string().try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&key).unwrap().der().to_vec();
    let ca_key_hash = key_hash_of(&certificate).unwrap();
    let answer = CertificateAnswer {
        refused: String::new(),
        reason: String::new(),
        ca: vec![certificate.clone()],
        certificate,
        probe_id: [4; 16],
        site_id: [3; 16],
        customer_id: [2; 16],
        addresses: vec!["central.example.net:4433".to_owned()],
        names: ("Meyer".into(), "Office".into(), "box-1".into()),
    };
    let key = key.serialize_pem();
    let identity = join(&key, &answer, &ca_key_hash).unwrap();
    Joined {
        place: identity.place().clone(),
        key,
        answer,
        ca_key_hash,
    }
});

fn join(key: &str, answer: &CertificateAnswer, ca_key_hash: &[u8; 32]) -> Option<Identity> {
    let key = KeyPair::from_pem(key).unwrap();
    let now = Timestamp::from_secs(1_800_000_000);
    Identity::joined(Path::new("/nowhere"), key, answer, ca_key_hash, now).ok()
}

/// Central's answer to joining; nothing is written.
fn join_answer(bytes: &[u8]) -> bool {
    let joined = &*JOINED;
    let Ok(answer) = decode::<CertificateAnswer>(bytes) else {
        return false;
    };
    let Some(identity) = join(&joined.key, &answer, &joined.ca_key_hash) else {
        return false;
    };
    assert_eq!(
        identity.name().to_string(),
        format!(
            "spiffe://{}/customer/{}/site/{}/probe/{}",
            identity.name().deployment,
            identity.place().customer_id,
            identity.place().site_id,
            identity.place().probe_id
        )
    );
    true
}

/// `site.json` in the data directory.
fn place(bytes: &[u8]) -> bool {
    let Ok(place) = serde_json::from_slice::<Place>(bytes) else {
        return false;
    };
    let again = serde_json::to_vec(&place).unwrap();
    assert_eq!(serde_json::from_slice::<Place>(&again).unwrap(), place);
    true
}

fn config(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    Config::parse(Path::new("probe.toml"), &text, None).is_ok()
}

fn route_table(bytes: &[u8]) -> bool {
    parse_gateway(&String::from_utf8_lossy(bytes)).is_some()
}
