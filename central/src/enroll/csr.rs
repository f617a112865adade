//! The one thing taken from a certificate request: its key, and the proof that the asker holds it.

use rcgen::{PublicKeyData as _, SubjectPublicKeyInfo};
use rustls::pki_types::CertificateSigningRequestDer;
use sha2::Digest as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

/// No request of ours is near this long.
const LIMIT: usize = 4 * 1024;
/// An uncompressed point on P-256 (SEC 1 §2.3.3).
const POINT: usize = 65;

/// Why a request is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// Not PKCS#10, or more than that.
    #[error("the certificate request cannot be read")]
    Malformed,
    /// The asker does not hold the key.
    #[error("the certificate request is not signed by its own key")]
    NoProof,
    /// Not a key on P-256.
    #[error("the certificate request's key is not on the curve P-256")]
    Key,
}

/// A public key whose holder has asked.
#[derive(Debug)]
pub struct RequestedKey {
    /// The key.
    pub key: SubjectPublicKeyInfo,
    /// SHA-256 of its `SubjectPublicKeyInfo`.
    pub hash: [u8; 32],
}

/// Reads a request (RFC 2986). Its subject, its names and every extension are not even looked at.
///
/// # Errors
/// [`CsrError`].
pub fn read(csr: &[u8]) -> Result<RequestedKey, CsrError> {
    if csr.len() > LIMIT {
        return Err(CsrError::Malformed);
    }
    let csr = CertificateSigningRequestDer::from(csr);
    let (rest, request) =
        X509CertificationRequest::from_der(&csr).map_err(|_| CsrError::Malformed)?;
    if !rest.is_empty() {
        return Err(CsrError::Malformed);
    }
    let raw = request.certification_request_info.subject_pki.raw;
    let key = SubjectPublicKeyInfo::from_der(raw).map_err(|_| CsrError::Key)?;
    let point = key.der_bytes();
    if key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256
        || point.len() != POINT
        || point[0] != 4
        || key.subject_public_key_info() != raw
    {
        return Err(CsrError::Key);
    }
    request.verify_signature().map_err(|_| CsrError::NoProof)?;
    Ok(RequestedKey {
        hash: sha2::Sha256::digest(raw).into(),
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn request(key: &KeyPair) -> Vec<u8> {
        let params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
        params.serialize_request(key).unwrap().der().to_vec()
    }

    #[test]
    fn only_the_key_is_taken_and_only_from_its_holder() {
        let key = KeyPair::generate().unwrap();
        let csr = request(&key);
        assert_eq!(read(&csr).unwrap().key.der_bytes(), key.public_key_raw());

        let mut forged = csr.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert!(read(&forged).is_err());
        let other = KeyPair::generate().unwrap();
        let at = csr
            .windows(POINT)
            .position(|window| window == key.public_key_raw())
            .unwrap();
        let mut stolen = csr.clone();
        stolen[at..at + POINT].copy_from_slice(other.public_key_raw());
        assert_eq!(read(&stolen).unwrap_err(), CsrError::NoProof);

        let mut longer = csr.clone();
        longer.push(0);
        assert_eq!(read(&longer).unwrap_err(), CsrError::Malformed);
        assert_eq!(read(&[]).unwrap_err(), CsrError::Malformed);
        assert_eq!(read(&vec![0x30; 10_000]).unwrap_err(), CsrError::Malformed);
    }

    #[test]
    fn other_kinds_of_key_are_refused() {
        for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            assert_eq!(read(&request(&key)).unwrap_err(), CsrError::Key);
        }
    }
}
