//! What TLS checks on both sides.
//!
//! Central: the chain to our CA with validity ignored, no certificate allowed; the rest is
//! [`accept`](super::accept())'s. Probe: the chain to the pinned CA (or to its key's hash, when joining), Central's own
//! name, validity against a time that is never before this program was built.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use sha2::{Digest as _, Sha256};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::accept::sole_uri;
use super::name::parse_central_uri;
use crate::clock::Timestamp;
use crate::id::DeploymentId;

/// `id-kp-clientAuth` must be there, not merely "not excluded" (RFC 5280 §4.2.1.12).
pub(super) const CLIENT_AUTH: KeyUsage =
    KeyUsage::required(&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02]);
/// `id-kp-serverAuth`.
const SERVER_AUTH: KeyUsage = KeyUsage::required(&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01]);

/// The one provider of cryptography in both programs.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// SHA-256 of a certificate's `SubjectPublicKeyInfo`; `None` when it is no certificate.
#[must_use]
pub fn key_hash_of(certificate: &[u8]) -> Option<[u8; 32]> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(sha256(certificate.public_key().raw))
}

/// From when until when a certificate is valid; `None` when it is no certificate.
#[must_use]
pub fn validity_of(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    Some((
        Timestamp::from_secs(validity.not_before.timestamp()),
        Timestamp::from_secs(validity.not_after.timestamp()),
    ))
}

/// The one URI of a certificate; `None` when it has none or other names too.
#[must_use]
pub fn uri_of(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    sole_uri(&certificate).map(str::to_owned)
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Whether `leaf` was signed, for `usage`, by one of `anchors` itself or by a CA that one of them has signed and that
/// was sent along. Validity in time is not looked at.
pub(super) fn chain_to(
    leaf: &CertificateDer<'_>,
    sent: &[CertificateDer<'_>],
    anchors: &[CertificateDer<'_>],
    usage: KeyUsage,
) -> Result<(), rustls::Error> {
    let bad = |error| rustls::Error::InvalidCertificate(error);
    let end = EndEntityCert::try_from(leaf).map_err(|_| bad(CertificateError::BadEncoding))?;
    let (not_before, _) = validity_of(leaf).ok_or(bad(CertificateError::BadEncoding))?;
    let anchors: Vec<TrustAnchor<'_>> = anchors
        .iter()
        .filter_map(|ca| webpki::anchor_from_trusted_cert(ca).ok())
        .collect();
    // A moment at which the leaf is valid: time is judged elsewhere. The CA as trust anchor has no time at all.
    let moment = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        not_before.secs().max(0).unsigned_abs(),
    ));
    let algorithms = provider().signature_verification_algorithms.all;
    match end.verify_for_usage(algorithms, &anchors, sent, moment, usage, None, None) {
        Ok(_) => Ok(()),
        Err(webpki::Error::UnknownIssuer) => Err(bad(CertificateError::UnknownIssuer)),
        Err(webpki::Error::RequiredEkuNotFoundContext(_)) => {
            Err(bad(CertificateError::InvalidPurpose))
        }
        Err(webpki::Error::InvalidSignatureForPublicKey) => {
            Err(bad(CertificateError::BadSignature))
        }
        Err(_) => Err(bad(CertificateError::BadEncoding)),
    }
}

/// Central's side: whose CA, and nothing else.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    anchors: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    pub(super) fn new(anchors: Vec<CertificateDer<'static>>) -> Self {
        Self {
            anchors,
            algorithms: provider().signature_verification_algorithms,
        }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false // joining has none; `accept` refuses the others
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        chain_to(leaf, &[], &self.anchors, CLIENT_AUTH).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General(
            "only TLS 1.3 is spoken here".to_owned(),
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What a probe believes of Central before it speaks.
#[derive(Clone, Debug)]
pub struct ServerTrust {
    /// Which CA signs Central's certificate.
    pub ca: TrustedCa,
    /// Which Central; `None` while joining, when only the CA's key is known.
    pub deployment: Option<DeploymentId>,
    /// The greatest of the system's clock, the time of this build and the last time heard from Central.
    pub now: Timestamp,
}

/// How a probe knows its CA.
#[derive(Clone, Debug)]
pub enum TrustedCa {
    /// By the hash of its public key, out of the join token. Central sends the certificate that fits.
    KeyHash([u8; 32]),
    /// By its certificates, kept since joining.
    Certificates(Vec<CertificateDer<'static>>),
}

/// The probe's side.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    trust: ServerTrust,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    pub(crate) fn new(trust: ServerTrust) -> Self {
        Self {
            trust,
            algorithms: provider().signature_verification_algorithms,
        }
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
    ) -> Result<(), CertificateError> {
        let as_certificate_error = |error| match error {
            rustls::Error::InvalidCertificate(error) => error,
            _ => CertificateError::BadEncoding,
        };
        match &self.trust.ca {
            TrustedCa::Certificates(anchors) => {
                chain_to(leaf, sent, anchors, SERVER_AUTH).map_err(as_certificate_error)?;
            }
            TrustedCa::KeyHash(hash) => {
                let ca = sent
                    .iter()
                    .find(|ca| key_hash_of(ca).as_ref() == Some(hash))
                    .ok_or(CertificateError::UnknownIssuer)?;
                chain_to(leaf, sent, std::slice::from_ref(ca), SERVER_AUTH)
                    .map_err(as_certificate_error)?;
            }
        }
        let (_, parsed) =
            X509Certificate::from_der(leaf).map_err(|_| CertificateError::BadEncoding)?;
        let deployment = sole_uri(&parsed)
            .and_then(|uri| parse_central_uri(uri).ok())
            .ok_or(CertificateError::NotValidForName)?;
        if self.trust.deployment.is_some_and(|ours| ours != deployment) {
            return Err(CertificateError::NotValidForName);
        }
        let (from, until) = validity_of(leaf).ok_or(CertificateError::BadEncoding)?;
        if self.trust.now < from {
            Err(CertificateError::NotValidYet)
        } else if self.trust.now > until {
            Err(CertificateError::Expired)
        } else {
            Ok(())
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(leaf, sent)
            .map(|()| ServerCertVerified::assertion())
            .map_err(rustls::Error::InvalidCertificate)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General(
            "only TLS 1.3 is spoken here".to_owned(),
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
