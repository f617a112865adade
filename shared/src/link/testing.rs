//! A CA that signs whatever a test wants.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "tests of the link use all of it, fuzzing a part"
)]

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

use super::accept::{Authority, Enrolled};
use super::endpoint::Credentials;
use super::name::{ProbeName, central_uri};
use super::verify::{key_hash_of, sha256};
use crate::clock::Timestamp;
use crate::id::{CustomerId, DeploymentId, ProbeId, SiteId};

pub(crate) const FROM: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const UNTIL: Timestamp = Timestamp::from_secs(1_800_000_000 + 72 * 3_600);

pub(crate) struct Forge {
    pub(crate) deployment: DeploymentId,
    pub(crate) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// What a forged leaf says.
pub(crate) struct Leaf {
    pub(crate) names: Vec<SanType>,
    pub(crate) usage: Vec<ExtendedKeyUsagePurpose>,
    pub(crate) is_ca: bool,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

impl Leaf {
    pub(crate) fn of(name: &ProbeName) -> Self {
        Self::named(&name.to_string())
    }

    pub(crate) fn named(uri: &str) -> Self {
        Self {
            names: vec![SanType::URI(uri.try_into().unwrap())],
            usage: vec![ExtendedKeyUsagePurpose::ClientAuth],
            is_ca: false,
            from: FROM,
            until: UNTIL,
        }
    }

    fn params(self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "leaf");
        params.subject_alt_names = self.names;
        params.extended_key_usages = self.usage;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.not_before = OffsetDateTime::from_unix_timestamp(self.from.secs()).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(self.until.secs()).unwrap();
        params.serial_number = Some(SerialNumber::from_slice(&[1, 2, 3]));
        if self.is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        }
        params
    }
}

impl Forge {
    pub(crate) fn new(deployment: DeploymentId) -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Farwatch CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            deployment,
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn authority(&self) -> Authority {
        Authority {
            deployment: self.deployment,
            anchors: vec![self.certificate.clone()],
        }
    }

    pub(crate) fn name(&self) -> ProbeName {
        ProbeName {
            deployment: self.deployment,
            customer: CustomerId::generate(),
            site: SiteId::generate(),
            probe: ProbeId::generate(),
        }
    }

    pub(crate) fn sign(&self, leaf: Leaf) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf.params().signed_by(&key, &self.issuer).unwrap();
        credentials(certificate.der().clone(), &key)
    }

    /// A leaf that another leaf signed.
    pub(crate) fn sign_by_leaf(&self, middle: Leaf, leaf: Leaf) -> Credentials {
        let middle_key = KeyPair::generate().unwrap();
        let params = middle.params();
        let middle = params.signed_by(&middle_key, &self.issuer).unwrap();
        let issuer = Issuer::new(params, middle_key);
        let key = KeyPair::generate().unwrap();
        let certificate = leaf.params().signed_by(&key, &issuer).unwrap();
        let mut own = credentials(certificate.der().clone(), &key);
        own.chain.push(middle.der().clone());
        own
    }

    pub(crate) fn central(&self) -> Credentials {
        let mut leaf = Leaf::named(&central_uri(self.deployment));
        leaf.usage = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let mut own = self.sign(leaf);
        own.chain.push(self.certificate.clone());
        own
    }

    pub(crate) fn ca_key_hash(&self) -> [u8; 32] {
        key_hash_of(&self.certificate).unwrap()
    }
}

pub(crate) fn self_signed(leaf: Leaf) -> Credentials {
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.params().self_signed(&key).unwrap();
    credentials(certificate.der().clone(), &key)
}

fn credentials(certificate: CertificateDer<'static>, key: &KeyPair) -> Credentials {
    Credentials {
        chain: vec![certificate],
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    }
}

/// The row of a probe that enrolled with the key of `own`.
pub(crate) fn row(name: &ProbeName, own: &Credentials) -> Enrolled {
    Enrolled {
        customer: name.customer,
        site: name.site,
        key_hash: key_hash_of(&own.chain[0]).unwrap_or_else(|| sha256(b"")),
        revoked: false,
    }
}
