//! The CA: its key and certificate on disk, and what it signs.
//!
//! - [`succession`] one CA after another

pub mod succession;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use farwatch_shared::clock::Timestamp;
use farwatch_shared::file;
use farwatch_shared::id::DeploymentId;
use farwatch_shared::link::accept::Authority;
use farwatch_shared::link::name::central_uri;
use farwatch_shared::link::{Credentials, ProbeName, key_hash_of};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use time::OffsetDateTime;

use self::succession::Earlier;
use super::LEAF_MS;

/// The CA and Central's own certificate are valid from before the first release on, so that a probe whose clock has
/// not been set yet (it starts at 1970, and is then read as the time of the build) can dial.
const EPOCH_S: i64 = 1_767_225_600; // 2026-01-01
/// Whoever replaces the CA does it on purpose (row 22 of the failure modes), never because a day has come.
const CA_YEARS: i64 = 50;
/// A leaf begins this much before it is signed, for probes whose clock is a little behind Central's.
const BACKDATED_MS: i64 = 3_600 * 1_000;
/// Browsers accept no certificate of a server that is valid for longer.
const HTTPS_DAYS: i64 = 397;

/// Why there is no CA.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// A file or directory.
    #[error("{path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner may read the key.
    #[error(
        "{path} may be read by others (mode {mode:o}): chmod 600 it, and think about who has read it"
    )]
    TooOpen {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// One of the two files is there without the other.
    #[error("{missing} is missing while its partner is there: restore both from the same backup")]
    Half {
        /// Which.
        missing: PathBuf,
    },
    /// The files hold something else.
    #[error("{path} holds no CA of this program: {why}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another earlier CA would not fit into a handshake.
    #[error("{most} earlier CAs are still trusted: retire them first (farwatch-central ca retire)")]
    TooManyEarlier {
        /// As many may be trusted.
        most: usize,
    },
    /// Signing failed.
    #[error("signing failed")]
    Sign(#[from] rcgen::Error),
}

/// The CA of this deployment.
pub struct Ca {
    deployment: DeploymentId,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    key_hash: [u8; 32],
    earlier: Earlier,
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca")
            .field("deployment", &self.deployment)
            .finish_non_exhaustive()
    }
}

impl Ca {
    /// Opens `ca.key` and `ca.pem` in `dir`, or makes them when neither is there.
    ///
    /// # Errors
    /// [`CaError`]: a key that others may read is refused, half a CA too.
    pub fn open(dir: &Path, deployment: DeploymentId) -> Result<Self, CaError> {
        let (key, certificate) = (dir.join("ca.key"), dir.join("ca.pem"));
        match (key.exists(), certificate.exists()) {
            (false, false) => Self::make(dir, deployment)?,
            (true, false) => {
                return Err(CaError::Half {
                    missing: certificate,
                });
            }
            (false, true) => return Err(CaError::Half { missing: key }),
            (true, true) => {}
        }
        succession::clear(dir)?;
        let mut ca = Self::load(&key, &certificate, deployment)?;
        ca.earlier = Earlier::load(dir)?;
        Ok(ca)
    }

    /// A CA in memory, for tests and tools.
    ///
    /// # Errors
    /// [`CaError::Sign`].
    pub fn generate(deployment: DeploymentId) -> Result<Self, CaError> {
        let key = KeyPair::generate()?;
        let params = ca_params(deployment);
        let certificate = params.self_signed(&key)?.der().clone();
        Self::new(deployment, certificate, Issuer::new(params, key))
    }

    fn new(
        deployment: DeploymentId,
        certificate: CertificateDer<'static>,
        issuer: Issuer<'static, KeyPair>,
    ) -> Result<Self, CaError> {
        let key_hash = key_hash_of(&certificate).ok_or(rcgen::Error::CouldNotParseCertificate)?;
        Ok(Self {
            deployment,
            certificate,
            issuer,
            key_hash,
            earlier: Earlier::default(),
        })
    }

    /// Both files or none: they are made beside `dir`, which then takes its name. A crash in between leaves no half CA.
    fn make(dir: &Path, deployment: DeploymentId) -> Result<(), CaError> {
        let new = dir.with_extension("new");
        let attempt = || -> io::Result<()> {
            if new.exists() {
                fs::remove_dir_all(&new)?;
            }
            file::make_dir(&new)?;
            let key = KeyPair::generate().map_err(io::Error::other)?;
            let certificate = ca_params(deployment)
                .self_signed(&key)
                .map_err(io::Error::other)?;
            file::replace(&new.join("ca.key"), key.serialize_pem().as_bytes())?;
            file::replace(&new.join("ca.pem"), certificate.pem().as_bytes())?;
            fs::rename(&new, dir)?;
            file::sync_dir(dir.parent().unwrap_or(dir))
        };
        attempt().map_err(|source| CaError::File {
            path: dir.to_owned(),
            source,
        })?;
        tracing::info!("a new certificate authority was made in {}", dir.display());
        Ok(())
    }

    fn load(
        key_path: &Path,
        certificate_path: &Path,
        deployment: DeploymentId,
    ) -> Result<Self, CaError> {
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| CaError::File { path, source }
        };
        let unreadable = |path: &Path, why: &dyn std::fmt::Display| CaError::Unreadable {
            path: path.to_owned(),
            why: why.to_string(),
        };
        let mode = fs::metadata(key_path)
            .map_err(file(key_path))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(CaError::TooOpen {
                path: key_path.to_owned(),
                mode: mode & 0o777,
            });
        }
        let pem = zeroize::Zeroizing::new(fs::read_to_string(key_path).map_err(file(key_path))?);
        let key = KeyPair::from_pem(&pem).map_err(|error| unreadable(key_path, &error))?;
        let certificate = CertificateDer::from_pem_file(certificate_path)
            .map_err(|error| unreadable(certificate_path, &error))?;
        let fits = key_hash_of(&certificate) == Some(sha256(&key.subject_public_key_info()));
        if !fits {
            return Err(unreadable(
                certificate_path,
                &"it is not the certificate of ca.key",
            ));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| unreadable(certificate_path, &error))?;
        Self::new(deployment, certificate, issuer)
    }

    /// SHA-256 of the CA's public key, which join tokens carry.
    #[must_use]
    pub const fn key_hash(&self) -> [u8; 32] {
        self.key_hash
    }

    /// The CA's certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What a probe is to trust, in DER: this CA and those before it, newest first.
    #[must_use]
    pub fn trusted(&self) -> Vec<Vec<u8>> {
        self.anchors().map(|anchor| anchor.to_vec()).collect()
    }

    /// When this CA followed another whose certificate is still trusted.
    #[must_use]
    pub const fn since(&self) -> Option<Timestamp> {
        self.earlier.since
    }

    /// How many CAs before this one are still trusted.
    #[must_use]
    pub fn earlier(&self) -> usize {
        self.earlier.certificates.len()
    }

    fn anchors(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        std::iter::once(&self.certificate).chain(&self.earlier.certificates)
    }

    /// What the link's door needs to know.
    #[must_use]
    pub fn authority(&self) -> Authority {
        Authority {
            deployment: self.deployment,
            anchors: self.anchors().cloned().collect(),
        }
    }

    /// Which installation this is.
    #[must_use]
    pub const fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// A probe's certificate: 72 h, for TLS clients, with the probe's one name and nothing of its own saying.
    ///
    /// # Errors
    /// The key cannot be signed.
    pub fn issue(
        &self,
        name: &ProbeName,
        key: &impl PublicKeyData,
        now: Timestamp,
    ) -> Result<(CertificateDer<'static>, Timestamp), rcgen::Error> {
        let not_after = Timestamp::from_secs(now.plus_ms(LEAF_MS).secs());
        let mut params = leaf_params(now.plus_ms(-BACKDATED_MS), not_after)?;
        params
            .distinguished_name
            .push(DnType::CommonName, format!("probe {}", name.probe));
        params.subject_alt_names = vec![SanType::URI(name.to_string().try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(key, &self.issuer)?;
        Ok((leaf.der().clone(), not_after))
    }

    /// Central's own certificate on the link. Its key lives in memory only, and it is as long-lived as the CA: whoever
    /// could steal it could sign another, and a probe with a clock years ahead must not be locked out.
    ///
    /// # Errors
    /// Signing failed.
    pub fn central_credentials(&self) -> Result<Credentials, CaError> {
        let mut params = leaf_params(Timestamp::from_secs(EPOCH_S), ca_end())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Farwatch Central");
        params.subject_alt_names = vec![SanType::URI(central_uri(self.deployment).try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.credentials(&params)
    }

    /// A certificate for HTTPS under `names` (host names and addresses), for as long as browsers allow. A probe does not
    /// take it for Central: it does not carry Central's name.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate.
    pub fn https_credentials(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<Credentials, CaError> {
        let until = now.plus_ms(HTTPS_DAYS * 24 * 3_600 * 1_000);
        let mut params = leaf_params(now.plus_ms(-BACKDATED_MS), until)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Farwatch Central");
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse::<IpAddr>() {
                Ok(address) => Ok(SanType::IpAddress(address)),
                Err(_) => Ok(SanType::DnsName(name.as_str().try_into()?)),
            })
            .collect::<Result<_, rcgen::Error>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.credentials(&params)
    }

    fn credentials(&self, params: &CertificateParams) -> Result<Credentials, CaError> {
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        // The bridges lead whoever knows only an earlier CA to this one; a join token names any of them.
        let chain = std::iter::once(leaf.der())
            .chain([&self.certificate])
            .chain(&self.earlier.bridges)
            .chain(&self.earlier.certificates);
        Ok(Credentials {
            chain: chain.cloned().collect(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        })
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

fn ca_end() -> Timestamp {
    Timestamp::from_secs(EPOCH_S + CA_YEARS * 365 * 24 * 3_600)
}

fn moment(at: Timestamp) -> Result<OffsetDateTime, rcgen::Error> {
    // X.509 knows the years 1950 to 9999; a clock outside 1970–9999 is not worth a certificate.
    OffsetDateTime::from_unix_timestamp(at.secs().max(0)).map_err(|_| rcgen::Error::Time)
}

fn ca_params(deployment: DeploymentId) -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = format!("Farwatch CA {deployment}");
    params.distinguished_name.push(DnType::CommonName, name);
    // A CA signs leaves, and the key of the CA that follows it.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = moment(Timestamp::from_secs(EPOCH_S)).expect("a fixed moment");
    params.not_after = moment(ca_end()).expect("a fixed moment");
    params.serial_number = Some(serial());
    params
}

fn leaf_params(from: Timestamp, until: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.not_before = moment(from)?;
    params.not_after = moment(until)?;
    params.serial_number = Some(serial());
    Ok(params)
}

/// 126 random bits: RFC 5280 §4.1.2.2 wants a positive number of at most 20 octets.
fn serial() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::random();
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_is_the_same_after_a_restart_and_refuses_loose_modes() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("ca");
        let deployment = DeploymentId::generate();
        let first = Ca::open(&dir, deployment).unwrap();
        let again = Ca::open(&dir, deployment).unwrap();
        assert_eq!(first.key_hash(), again.key_hash());
        assert_eq!(first.certificate(), again.certificate());

        let key = dir.join("ca.key");
        assert_eq!(
            fs::metadata(&key).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
            0o700
        );
        for mode in [0o640, 0o604, 0o644, 0o660] {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            assert!(
                matches!(Ca::open(&dir, deployment), Err(CaError::TooOpen { .. })),
                "{mode:o}"
            );
        }
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::remove_file(dir.join("ca.pem")).unwrap();
        assert!(matches!(
            Ca::open(&dir, deployment),
            Err(CaError::Half { .. })
        ));
    }

    #[test]
    fn a_key_of_another_ca_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let deployment = DeploymentId::generate();
        Ca::open(&one, deployment).unwrap();
        Ca::open(&two, deployment).unwrap();
        fs::copy(two.join("ca.key"), one.join("ca.key")).unwrap();
        assert!(matches!(
            Ca::open(&one, deployment),
            Err(CaError::Unreadable { .. })
        ));
    }
}
