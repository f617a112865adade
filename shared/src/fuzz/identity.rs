//! Tokens, names, certificates and object identifiers.

use std::sync::LazyLock;

use data_encoding::BASE32_NOPAD;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::Digest as _;

use super::Target;
use crate::clock::Timestamp;
use crate::id::{CustomerId, DeploymentId, ProbeId, SiteId};
use crate::link::name::{central_uri, parse_central_uri};
use crate::link::testing::{FROM, Forge, Leaf, row};
use crate::link::token::PREFIX;
use crate::link::verify::{ServerVerifier, uri_of, validity_of};
use crate::link::{
    Alpn, Enrolled, JoinToken, ProbeName, ServerTrust, TrustedCa, accept, key_hash_of,
};
use crate::oid::{Index, Oid};

/// What joins and proves, and OIDs.
pub const TARGETS: &[Target] = &[
    Target::new("token", token, || {
        vec![
            a_token().encode().into_bytes(),
            format!(" \"{}\"\r\n", a_token().encode()).into_bytes(),
        ]
    }),
    Target::new("token_content", token_content, || {
        vec![
            BASE32_NOPAD
                .decode(a_token().encode()[PREFIX.len()..].to_uppercase().as_bytes())
                .map(|bytes| bytes[..bytes.len() - 4].to_vec())
                .unwrap(),
        ]
    }),
    Target::new("name", name, || {
        let name = PKI.name;
        vec![
            name.to_string().into_bytes(),
            central_uri(name.deployment).into_bytes(),
        ]
    }),
    Target::new("certificate", certificate, || {
        vec![
            PKI.probe.chain[0].to_vec(),
            PKI.central.chain[0].to_vec(),
            PKI.forge.certificate.to_vec(),
        ]
    })
    .longest(16 * 1024)
    .cost(20),
    Target::new("oid_ber", oid_ber, || {
        ["1.3.6.1.2.1.2.2.1.10.4294967295", "2.4294967215.1", "0.0"]
            .map(|oid| oid.parse::<Oid>().unwrap().as_ber().to_vec())
            .into()
    })
    .longest(1_024),
    Target::new("oid_text", oid_text, || {
        ["1.3.6.1.2.1.2.2.1.10.4294967295", ".1.3.6.1.4.1.9", "2.999"]
            .map(|oid| oid.as_bytes().to_vec())
            .into()
    })
    .longest(4_096),
];

fn a_token() -> JoinToken {
    JoinToken {
        addresses: vec![
            "central.example.net:4433".to_owned(),
            "[2001:db8::1]:4433".to_owned(),
        ],
        ca_key_hash: [7; 32],
        secret: [9; 32],
        expires: Timestamp::from_secs(1_795_000_000),
    }
}

fn token(bytes: &[u8]) -> bool {
    let Ok(token) = String::from_utf8_lossy(bytes).parse::<JoinToken>() else {
        return false;
    };
    assert!((1..=16).contains(&token.addresses.len()));
    assert_eq!(token.encode().parse::<JoinToken>().as_ref(), Ok(&token));
    true
}

/// The content with its checksum put right.
fn token_content(bytes: &[u8]) -> bool {
    let sum = &sha2::Sha256::digest(bytes)[..4];
    let text = BASE32_NOPAD.encode(&[bytes, sum].concat());
    token(format!("{PREFIX}{text}").as_bytes())
}

fn name(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let probe = text.parse::<ProbeName>();
    let central = parse_central_uri(&text);
    if let Ok(name) = probe {
        assert_eq!(name.to_string(), text);
    }
    if let Ok(deployment) = central {
        assert_eq!(central_uri(deployment), text);
    }
    probe.is_ok() || central.is_ok()
}

/// A CA, its Central and one of its probes.
struct Pki {
    forge: Forge,
    name: ProbeName,
    probe: crate::link::Credentials,
    central: crate::link::Credentials,
    row: Enrolled,
}

static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let deployment = DeploymentId::from_bytes([1; 16]);
    let forge = Forge::new(deployment);
    let name = ProbeName {
        deployment,
        customer: CustomerId::from_bytes([2; 16]),
        site: SiteId::from_bytes([3; 16]),
        probe: ProbeId::from_bytes([4; 16]),
    };
    let probe = forge.sign(Leaf::of(&name));
    Pki {
        name,
        row: row(&name, &probe),
        central: forge.central(),
        probe,
        forge,
    }
});

/// Whatever is shown: only the certificate that was enrolled is a probe, and only Central's is Central.
fn certificate(bytes: &[u8]) -> bool {
    let pki = &*PKI;
    let shown = CertificateDer::from(bytes);
    let readable = key_hash_of(bytes).is_some();
    let _ = (validity_of(bytes), uri_of(bytes));
    for alpn in Alpn::ALL {
        let peer = accept(
            alpn.as_bytes(),
            std::slice::from_ref(&shown),
            FROM,
            &pki.forge.authority(),
            |_| Some(pki.row),
        );
        assert!(
            peer.is_err() || bytes == &*pki.probe.chain[0],
            "a certificate that nobody signed is a probe"
        );
    }
    for ca in [
        TrustedCa::KeyHash(pki.forge.ca_key_hash()),
        TrustedCa::Certificates(vec![pki.forge.certificate.clone()]),
    ] {
        let verifier = ServerVerifier::new(ServerTrust {
            ca,
            deployment: None,
            now: FROM,
        });
        let host = ServerName::try_from("farwatch").unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1));
        for (leaf, sent) in [
            (&shown, &pki.forge.certificate),
            (&pki.central.chain[0], &shown),
        ] {
            let verdict =
                verifier.verify_server_cert(leaf, std::slice::from_ref(sent), &host, &[], now);
            assert!(
                verdict.is_err() || *leaf == pki.central.chain[0],
                "a certificate that nobody signed is Central's"
            );
        }
    }
    readable
}

fn oid_ber(bytes: &[u8]) -> bool {
    let Ok(oid) = Oid::from_ber(bytes) else {
        return false;
    };
    assert!(oid.arcs().count() <= Oid::MAX_ARCS);
    assert_eq!(Oid::from_ber(oid.as_ber()).as_ref(), Ok(&oid));
    if !oid.is_empty() {
        assert_eq!(oid.to_string().parse::<Oid>().as_ref(), Ok(&oid));
    }
    true
}

fn oid_text(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(index) = text.parse::<Index>() {
        assert_eq!(index.to_string().parse::<Index>().as_ref(), Ok(&index));
    }
    let Ok(oid) = text.parse::<Oid>() else {
        return false;
    };
    assert!(oid.arcs().count() <= Oid::MAX_ARCS);
    assert_eq!(oid.to_string().parse::<Oid>().as_ref(), Ok(&oid));
    assert_eq!(Oid::from_ber(oid.as_ber()).as_ref(), Ok(&oid));
    true
}
