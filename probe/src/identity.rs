//! Who this probe is: its key, certificate and CA, as files of their own, so that a damaged database costs no site visit.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::{CustomerId, ProbeId, SiteId};
use farwatch_shared::link::verify::{TrustedCa, uri_of, validity_of};
use farwatch_shared::link::{Credentials, ProbeName, Proxy, ServerTrust, key_hash_of};
use farwatch_shared::wire::message::enroll::CertificateAnswer;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::route::{self, ProxyChoice};

/// No clock before this is believed: this program did not exist yet.
const BUILT: Timestamp = Timestamp::from_secs(1_793_000_000); // 2026-10-26
/// What Central says of the time is kept up to here, so that one wrong clock there locks nobody out for good.
const LATEST: Timestamp = Timestamp::from_secs(1_793_000_000 + 20 * 365 * 24 * 3_600);
/// The time heard from Central is written down when it has moved on by this much.
const HEARD_STEP_MS: i64 = 3_600 * 1_000;

/// Why the identity cannot be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file or directory.
    #[error("{path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner may read the key.
    #[error("{path} may be read by others (mode {mode:o}): chmod 600 it")]
    TooOpen {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file holds something else.
    #[error("{path} cannot be used: {why}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Central's answer does not fit this probe.
    #[error("Central answered with a certificate that does not fit: {0}")]
    Unfit(&'static str),
    /// Making or using the key failed.
    #[error("the key")]
    Key(#[from] rcgen::Error),
}

/// What is known of the place, beside the certificate. `site.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Who pays.
    pub customer_id: CustomerId,
    /// Where.
    pub site_id: SiteId,
    /// Which probe.
    pub probe_id: ProbeId,
    /// Names for people.
    pub customer_name: String,
    /// Names for people.
    pub site_name: String,
    /// Names for people.
    pub probe_name: String,
    /// Where Central is, best first.
    pub addresses: Vec<String>,
    /// Which list that is.
    pub addresses_revision: u64,
    /// The list before it, tried when the new one does not answer, so that Central can move.
    pub earlier_addresses: Vec<String>,
    /// The HTTP proxy that joining used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// The last time heard from Central; certificates are never judged by an earlier clock.
    pub heard: Timestamp,
}

/// This probe's identity.
pub struct Identity {
    dir: PathBuf,
    key: KeyPair,
    certificate: CertificateDer<'static>,
    ca: Vec<CertificateDer<'static>>,
    name: ProbeName,
    place: Place,
    not_before: Timestamp,
    not_after: Timestamp,
    /// From 0 to 1: where in its window this probe renews, so that a thousand that joined together do not.
    spread: f64,
    /// The HTTP proxy in use.
    proxy: Option<Proxy>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("name", &self.name)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the identity in `dir`; `None` when this probe has not joined yet.
    ///
    /// # Errors
    /// [`IdentityError`]: a key that others may read, files that do not fit each other.
    pub fn load(dir: &Path) -> Result<Option<Self>, IdentityError> {
        let place_path = dir.join("site.json");
        let text = match fs::read(&place_path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(file(&place_path, source)),
        };
        let place: Place =
            serde_json::from_slice(&text).map_err(|error| unreadable(&place_path, &error))?;
        let key = load_key(dir)?.ok_or_else(|| {
            file(
                &dir.join("key.pem"),
                io::Error::from(io::ErrorKind::NotFound),
            )
        })?;
        let certificate_path = dir.join("certificate.pem");
        let certificate = CertificateDer::from_pem_file(&certificate_path)
            .map_err(|error| unreadable(&certificate_path, &error))?;
        let ca_path = dir.join("ca.pem");
        let ca = CertificateDer::pem_file_iter(&ca_path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unreadable(&ca_path, &error))?;
        Self::new(dir, key, certificate, ca, place).map(Some)
    }

    fn new(
        dir: &Path,
        key: KeyPair,
        certificate: CertificateDer<'static>,
        ca: Vec<CertificateDer<'static>>,
        place: Place,
    ) -> Result<Self, IdentityError> {
        let name = check(&certificate, &key)?;
        let (not_before, not_after) =
            validity_of(&certificate).ok_or(IdentityError::Unfit("it has no validity"))?;
        Ok(Self {
            dir: dir.to_owned(),
            key,
            ca,
            name,
            proxy: place.proxy.clone(),
            place,
            not_before,
            not_after,
            spread: spread(&certificate),
            certificate,
        })
    }

    /// Keeps what joining gave. `site.json` is written last: it says that the probe has joined.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn keep_joined(
        dir: &Path,
        key: KeyPair,
        answer: &CertificateAnswer,
        ca_key_hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let this = Self::joined(dir, key, answer, ca_key_hash, now)?;
        this.write_certificates()?;
        this.write_place()?;
        Ok(this)
    }

    /// What an answer to joining makes this probe, before anything is written.
    pub(crate) fn joined(
        dir: &Path,
        key: KeyPair,
        answer: &CertificateAnswer,
        ca_key_hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let ca: Vec<_> = answer
            .ca
            .iter()
            .map(|der| CertificateDer::from(der.clone()))
            .collect();
        if !ca
            .iter()
            .any(|ca| key_hash_of(ca).as_ref() == Some(ca_key_hash))
        {
            return Err(IdentityError::Unfit(
                "the token's CA is not among those it names",
            ));
        }
        let certificate = CertificateDer::from(answer.certificate.clone());
        let (customer_name, site_name, probe_name) = answer.names.clone();
        let place = Place {
            customer_id: CustomerId::from_bytes(answer.customer_id),
            site_id: SiteId::from_bytes(answer.site_id),
            probe_id: ProbeId::from_bytes(answer.probe_id),
            customer_name,
            site_name,
            probe_name,
            addresses: answer.addresses.clone(),
            addresses_revision: 0,
            earlier_addresses: Vec::new(),
            proxy: None,
            heard: now.min(LATEST),
        };
        let this = Self::new(dir, key, certificate, ca, place)?;
        if (this.name.customer, this.name.site, this.name.probe)
            != (
                this.place.customer_id,
                this.place.site_id,
                this.place.probe_id,
            )
        {
            return Err(IdentityError::Unfit(
                "its name is not the one that was told",
            ));
        }
        Ok(this)
    }

    /// Keeps a renewed certificate. Everything but its time is as before.
    ///
    /// # Errors
    /// [`IdentityError`]; the old one stays.
    pub fn keep_renewed(&mut self, answer: &CertificateAnswer) -> Result<(), IdentityError> {
        let certificate = CertificateDer::from(answer.certificate.clone());
        if check(&certificate, &self.key)? != self.name {
            return Err(IdentityError::Unfit("it names another probe"));
        }
        let (not_before, not_after) =
            validity_of(&certificate).ok_or(IdentityError::Unfit("it has no validity"))?;
        let ca: Vec<_> = answer
            .ca
            .iter()
            .map(|der| CertificateDer::from(der.clone()))
            .collect();
        if ca.is_empty() || ca.iter().any(|ca| key_hash_of(ca).is_none()) {
            return Err(IdentityError::Unfit("it comes without its CA"));
        }
        (self.certificate, self.ca) = (certificate, ca);
        (self.not_before, self.not_after) = (not_before, not_after);
        self.write_certificates()
    }

    /// Keeps a newer list of Central's addresses, and the one before it.
    ///
    /// # Errors
    /// [`IdentityError::File`].
    pub fn keep_addresses(
        &mut self,
        addresses: Vec<String>,
        revision: u64,
    ) -> Result<(), IdentityError> {
        if addresses.is_empty() {
            return Ok(());
        }
        if addresses != self.place.addresses {
            self.place.earlier_addresses = std::mem::replace(&mut self.place.addresses, addresses);
        }
        self.place.addresses_revision = revision;
        self.write_place()
    }

    /// Keeps the names that people gave.
    ///
    /// # Errors
    /// [`IdentityError::File`].
    pub fn keep_names(&mut self, names: &(String, String, String)) -> Result<(), IdentityError> {
        let (customer, site, probe) = names.clone();
        let place = Place {
            customer_name: customer,
            site_name: site,
            probe_name: probe,
            ..self.place.clone()
        };
        if place == self.place {
            return Ok(());
        }
        self.place = place;
        self.write_place()
    }

    /// Keeps the time that Central told, at most once an hour.
    ///
    /// # Errors
    /// [`IdentityError::File`].
    pub fn keep_time(&mut self, now: Timestamp) -> Result<(), IdentityError> {
        let now = now.min(LATEST);
        if now.since(self.place.heard) < HEARD_STEP_MS {
            return Ok(());
        }
        self.place.heard = now;
        self.write_place()
    }

    /// What is known of the place.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The name in the certificate.
    #[must_use]
    pub const fn name(&self) -> ProbeName {
        self.name
    }

    /// Where Central may be: the list of now, then what is only in the one before.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let mut all = self.place.addresses.clone();
        for address in &self.place.earlier_addresses {
            if !all.contains(address) {
                all.push(address.clone());
            }
        }
        all
    }

    /// The same, with the TCP door of each and the proxy on the way.
    #[must_use]
    pub fn places(&self) -> Vec<route::Place> {
        route::places(&self.addresses(), self.proxy.as_ref())
    }

    /// The UDP ports of Central, for people: `4433`, or `4433 or 443`.
    #[must_use]
    pub fn udp_ports(&self) -> String {
        let mut ports: Vec<String> = Vec::new();
        for address in self
            .places()
            .iter()
            .filter_map(|place| place.udp.as_deref())
        {
            let port = address.rsplit(':').next().unwrap_or(address).to_owned();
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        ports.join(" or ")
    }

    /// Settles which HTTP proxy is used, by what the machine's owner says.
    pub fn settle_proxy(&mut self, choice: &ProxyChoice) {
        self.proxy = choice.settle(self.place.proxy.as_ref());
    }

    /// Keeps the HTTP proxy that joining used.
    ///
    /// # Errors
    /// [`IdentityError::File`].
    pub fn keep_proxy(&mut self, proxy: Option<Proxy>) -> Result<(), IdentityError> {
        self.place.proxy.clone_from(&proxy);
        self.proxy = proxy;
        self.write_place()
    }

    /// Certificate and key, for TLS.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        Credentials {
            chain: vec![self.certificate.clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der())),
        }
    }

    /// What Central's certificate is held against.
    #[must_use]
    pub fn trust(&self, clock: &Clock) -> ServerTrust {
        ServerTrust {
            ca: TrustedCa::Certificates(self.ca.clone()),
            deployment: Some(self.name.deployment),
            now: self.believed(clock),
        }
    }

    /// The time that certificates are judged by: the greatest of the clock, the last time heard, and the time of this
    /// program's making.
    #[must_use]
    pub fn believed(&self, clock: &Clock) -> Timestamp {
        clock.now().max(self.place.heard).max(BUILT)
    }

    /// A request for a new certificate for this key.
    ///
    /// # Errors
    /// [`IdentityError::Key`].
    pub fn csr(&self) -> Result<Vec<u8>, IdentityError> {
        csr(&self.key)
    }

    /// When the certificate ends.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// When to ask for a new one: around half its life, spread by a tenth of it.
    #[must_use]
    pub fn renew_after(&self) -> Timestamp {
        let life = self.not_after.since(self.not_before);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "hours in ms are far below 2^52"
        )]
        let share = (life as f64 * (0.45 + 0.1 * self.spread)) as i64;
        self.not_before.plus_ms(share)
    }

    /// Whether the certificate has ended, as far as this probe can know.
    #[must_use]
    pub fn is_expired(&self, clock: &Clock) -> bool {
        self.believed(clock) > self.not_after
    }

    fn write_certificates(&self) -> Result<(), IdentityError> {
        let ca: String = self.ca.iter().map(|ca| pem(ca)).collect();
        write(&self.dir.join("ca.pem"), ca.as_bytes())?;
        write(
            &self.dir.join("certificate.pem"),
            pem(&self.certificate).as_bytes(),
        )
    }

    fn write_place(&self) -> Result<(), IdentityError> {
        let path = self.dir.join("site.json");
        let text =
            serde_json::to_vec_pretty(&self.place).map_err(|error| unreadable(&path, &error))?;
        write(&path, &text)
    }
}

/// Makes `dir` (0700) and this probe's key in it, or reads the one that an earlier attempt to join left there: whoever
/// asks again with the same key is the same probe.
///
/// # Errors
/// [`IdentityError`].
pub fn key_in(dir: &Path) -> Result<KeyPair, IdentityError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| file(dir, source))?;
    if let Some(key) = load_key(dir)? {
        return Ok(key);
    }
    let key = KeyPair::generate()?;
    let pem = Zeroizing::new(key.serialize_pem());
    write(&dir.join("key.pem"), pem.as_bytes())?;
    Ok(key)
}

/// A certificate request for `key`, without any name: Central gives the name.
///
/// # Errors
/// [`IdentityError::Key`].
pub fn csr(key: &KeyPair) -> Result<Vec<u8>, IdentityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}

fn load_key(dir: &Path) -> Result<Option<KeyPair>, IdentityError> {
    let path = dir.join("key.pem");
    let mode = match fs::metadata(&path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(file(&path, source)),
    };
    if mode & 0o077 != 0 {
        return Err(IdentityError::TooOpen {
            path,
            mode: mode & 0o777,
        });
    }
    let pem = Zeroizing::new(fs::read_to_string(&path).map_err(|source| file(&path, source))?);
    KeyPair::from_pem(&pem)
        .map(Some)
        .map_err(|error| unreadable(&path, &error))
}

/// The name in a certificate of this key.
fn check(certificate: &CertificateDer<'_>, key: &KeyPair) -> Result<ProbeName, IdentityError> {
    use sha2::Digest as _;
    let own: [u8; 32] = sha2::Sha256::digest(key.subject_public_key_info()).into();
    if key_hash_of(certificate) != Some(own) {
        return Err(IdentityError::Unfit("it is for another key"));
    }
    uri_of(certificate)
        .and_then(|uri| uri.parse().ok())
        .ok_or(IdentityError::Unfit("it does not name a probe"))
}

fn pem(der: &[u8]) -> String {
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    let text = data_encoding::BASE64.encode(der);
    for line in text.as_bytes().chunks(64) {
        out.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

fn file(path: &Path, source: io::Error) -> IdentityError {
    IdentityError::File {
        path: path.to_owned(),
        source,
    }
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> IdentityError {
    IdentityError::Unreadable {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), IdentityError> {
    farwatch_shared::file::replace(path, content).map_err(|source| file(path, source))
}

/// The time that Central's certificate is judged by while joining.
#[must_use]
pub fn believed_before_joining(clock: &Clock) -> Timestamp {
    clock.now().max(BUILT)
}

/// From 0 to 1, the same for a certificate whenever it is looked at.
fn spread(certificate: &CertificateDer<'_>) -> f64 {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(certificate);
    f64::from(u16::from_be_bytes([hash[0], hash[1]])) / f64::from(u16::MAX)
}
