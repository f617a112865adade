//! The only place that makes identities.
//!
//! TLS has proved that the peer holds the key of the certificate it shows. Whether that certificate may do what the
//! ALPN says, now, is decided here and nowhere else; the whole matrix is the test at the foot of this file.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

use super::name::ProbeName;
use super::verify;
use super::{Alpn, CloseCode};
use crate::clock::Timestamp;
use crate::id::{CustomerId, DeploymentId, ProbeId, SiteId};

/// The same key may ask for a new certificate this long after the old one ended.
pub const RENEW_GRACE_MS: i64 = 90 * 24 * 3_600 * 1_000;

/// Who is at the other end, and what it may do.
#[derive(Clone, Debug)]
pub enum Peer {
    /// A probe of ours, for work.
    Probe(ProbeIdentity),
    /// The key of a probe of ours, for a new certificate and nothing else.
    Renewing(RenewingKey),
    /// Anybody, for a join token and nothing else.
    Joining,
}

/// A probe whose certificate was checked. Whose data it sends comes from here, never from a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeIdentity {
    name: ProbeName,
    key_hash: [u8; 32],
    not_after: Timestamp,
}

impl ProbeIdentity {
    /// Who pays.
    #[must_use]
    pub const fn customer(&self) -> CustomerId {
        self.name.customer
    }

    /// Where.
    #[must_use]
    pub const fn site(&self) -> SiteId {
        self.name.site
    }

    /// Which probe.
    #[must_use]
    pub const fn probe(&self) -> ProbeId {
        self.name.probe
    }

    /// When the certificate of this connection ends.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The same key, for a new certificate.
    #[must_use]
    pub const fn renewing(&self) -> RenewingKey {
        RenewingKey {
            name: self.name,
            key_hash: self.key_hash,
        }
    }
}

/// A key that may have a new certificate under the name it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewingKey {
    name: ProbeName,
    key_hash: [u8; 32],
}

impl RenewingKey {
    /// The name that the new certificate gets.
    #[must_use]
    pub const fn name(&self) -> ProbeName {
        self.name
    }

    /// SHA-256 of the key's `SubjectPublicKeyInfo`.
    #[must_use]
    pub const fn key_hash(&self) -> &[u8; 32] {
        &self.key_hash
    }
}

/// What Central's row says of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Whose it is.
    pub customer: CustomerId,
    /// Where it is.
    pub site: SiteId,
    /// SHA-256 of the `SubjectPublicKeyInfo` that was enrolled.
    pub key_hash: [u8; 32],
    /// Whether it was revoked.
    pub revoked: bool,
}

/// Why a peer may not do what it came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not an ALPN of ours.
    #[error("this protocol is not spoken here")]
    Protocol,
    /// Work and renewal need a certificate.
    #[error("a certificate is needed")]
    NoCertificate,
    /// Joining is for those who have none.
    #[error("a probe that has a certificate does not join again")]
    AlreadyJoined,
    /// Not X.509, or more than the one certificate.
    #[error("the certificate cannot be read")]
    Malformed,
    /// Not signed by our CA.
    #[error("the certificate is not of this Central")]
    Foreign,
    /// Not for TLS clients.
    #[error("the certificate is not for probes")]
    Usage,
    /// Not exactly the name of one probe of this deployment.
    #[error("the certificate does not name a probe of this Central")]
    Name,
    /// Its time has not come.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// Its time is over; it may only renew.
    #[error("the certificate has expired")]
    Expired,
    /// Expired for longer than renewing is allowed.
    #[error("the certificate expired more than 90 days ago: join again with a new token")]
    TooOld,
    /// No such probe, or it belongs elsewhere.
    #[error("this probe is not known here: join again with a new token")]
    Unknown,
    /// Another key than the one that was enrolled.
    #[error("the certificate's key is not the one that was enrolled")]
    WrongKey,
    /// A person revoked it.
    #[error("this probe was revoked")]
    Revoked,
}

impl Refusal {
    /// What the connection is closed with.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Expired => CloseCode::Expired,
            Self::Revoked => CloseCode::Revoked,
            Self::Unknown | Self::TooOld => CloseCode::Unknown,
            _ => CloseCode::Refused,
        }
    }
}

/// What Central trusts: its own CAs and its own name.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Which installation.
    pub deployment: DeploymentId,
    /// CA certificates, newest first.
    pub anchors: Vec<CertificateDer<'static>>,
}

/// Decides who is at the other end of a finished handshake.
///
/// `look_up` reads the probe's row at each handshake, so that a revoked probe is refused from the next one on.
///
/// # Errors
/// [`Refusal`]; nothing may be read from the connection then.
pub fn accept(
    alpn: &[u8],
    chain: &[CertificateDer<'_>],
    now: Timestamp,
    authority: &Authority,
    look_up: impl FnOnce(ProbeId) -> Option<Enrolled>,
) -> Result<Peer, Refusal> {
    match Alpn::from_bytes(alpn).ok_or(Refusal::Protocol)? {
        Alpn::Join if chain.is_empty() => Ok(Peer::Joining),
        Alpn::Join => Err(Refusal::AlreadyJoined),
        Alpn::Work => {
            let shown = Shown::read(chain, authority)?;
            let (name, key_hash) = shown.enrolled(look_up)?;
            shown.in_time(now)?;
            Ok(Peer::Probe(ProbeIdentity {
                name,
                key_hash,
                not_after: shown.not_after,
            }))
        }
        Alpn::Renew => {
            let shown = Shown::read(chain, authority)?;
            let (name, key_hash) = shown.enrolled(look_up)?;
            match shown.in_time(now) {
                Err(Refusal::Expired) if now.since(shown.not_after) > RENEW_GRACE_MS => {
                    Err(Refusal::TooOld)
                }
                // A probe whose clock is ahead comes here early; its key is good all the same.
                Ok(()) | Err(Refusal::Expired) => {
                    Ok(Peer::Renewing(RenewingKey { name, key_hash }))
                }
                Err(other) => Err(other),
            }
        }
    }
}

/// What a certificate of our CA says.
struct Shown {
    name: ProbeName,
    key_hash: [u8; 32],
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Shown {
    fn read(chain: &[CertificateDer<'_>], authority: &Authority) -> Result<Self, Refusal> {
        let leaf = match chain {
            [] => return Err(Refusal::NoCertificate),
            [leaf] => leaf,
            // Our leaves are signed by the CA itself: whoever sends more wants something else.
            _ => return Err(Refusal::Malformed),
        };
        // TLS checked this too; whoever calls is not trusted to have asked TLS.
        verify::chain_to(leaf, &[], &authority.anchors, verify::CLIENT_AUTH)
            .map_err(|_| Refusal::Foreign)?;
        let (rest, certificate) =
            X509Certificate::from_der(leaf).map_err(|_| Refusal::Malformed)?;
        if !rest.is_empty() {
            return Err(Refusal::Malformed);
        }
        if certificate.is_ca() {
            return Err(Refusal::Usage);
        }
        match certificate.extended_key_usage() {
            Ok(Some(usage)) if usage.value.client_auth && !usage.value.any => {}
            _ => return Err(Refusal::Usage),
        }
        let name: ProbeName = sole_uri(&certificate)
            .and_then(|uri| uri.parse().ok())
            .ok_or(Refusal::Name)?;
        if name.deployment != authority.deployment {
            return Err(Refusal::Name);
        }
        let validity = certificate.validity();
        Ok(Self {
            name,
            key_hash: verify::sha256(certificate.public_key().raw),
            not_before: Timestamp::from_secs(validity.not_before.timestamp()),
            not_after: Timestamp::from_secs(validity.not_after.timestamp()),
        })
    }

    fn enrolled(
        &self,
        look_up: impl FnOnce(ProbeId) -> Option<Enrolled>,
    ) -> Result<(ProbeName, [u8; 32]), Refusal> {
        let row = look_up(self.name.probe).ok_or(Refusal::Unknown)?;
        if row.revoked {
            return Err(Refusal::Revoked);
        }
        if (row.customer, row.site) != (self.name.customer, self.name.site) {
            return Err(Refusal::Unknown);
        }
        if row.key_hash != self.key_hash {
            return Err(Refusal::WrongKey);
        }
        Ok((self.name, self.key_hash))
    }

    fn in_time(&self, now: Timestamp) -> Result<(), Refusal> {
        if now < self.not_before {
            Err(Refusal::NotYetValid)
        } else if now > self.not_after {
            Err(Refusal::Expired)
        } else {
            Ok(())
        }
    }
}

/// The URI of a certificate that has exactly one alternative name, and that one a URI.
pub(super) fn sole_uri<'a>(certificate: &X509Certificate<'a>) -> Option<&'a str> {
    let mut found = None;
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
            for name in &names.general_names {
                match (name, found) {
                    (GeneralName::URI(uri), None) => found = Some(*uri),
                    _ => return None,
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
