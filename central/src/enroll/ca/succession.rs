//! One CA after another, without a visit to any site.
//!
//! The new CA's key is signed by the one before it (a *bridge*), so whoever pins only the earlier one believes Central's
//! new certificate too. With its next renewal each probe pins both. The earlier key is deleted; its certificate stays
//! until it is retired, for probes that are switched off meanwhile and for join tokens that were handed out before.

use std::fs;
use std::path::{Path, PathBuf};

use farwatch_shared::clock::Timestamp;
use farwatch_shared::file;
use farwatch_shared::id::DeploymentId;
use rcgen::{ExtendedKeyUsagePurpose, KeyPair};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{Ca, CaError, ca_params};

/// Certificates of earlier CAs, newest first.
const EARLIER: &str = "earlier.pem";
/// Each CA's key signed by the CA before it, newest first.
const BRIDGES: &str = "bridges.pem";
/// When the CA followed another, ms since 1970.
const SINCE: &str = "since";
/// As many earlier CAs fit into a handshake beside Central's own certificate.
const MOST_EARLIER: usize = 3;

/// The CAs before the one that signs.
#[derive(Clone, Debug, Default)]
pub(super) struct Earlier {
    /// Newest first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Newest first; the first is the present CA's key, signed by the first of the earlier ones.
    pub bridges: Vec<CertificateDer<'static>>,
    /// When the present CA took over.
    pub since: Option<Timestamp>,
}

impl Earlier {
    /// Reads what lies beside the CA; nothing when there was no CA before it.
    pub(super) fn load(dir: &Path) -> Result<Self, CaError> {
        let certificates = certificates_in(&dir.join(EARLIER))?;
        let bridges = certificates_in(&dir.join(BRIDGES))?;
        let since = fs::read_to_string(dir.join(SINCE))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .map(Timestamp);
        Ok(Self {
            certificates,
            bridges,
            since,
        })
    }
}

/// Makes a new CA in `dir` that follows the one that is there; the earlier key is gone afterwards. All or nothing.
///
/// # Errors
/// [`CaError`]: there is no CA, or as many earlier ones as a handshake can carry.
pub fn rotate(dir: &Path, deployment: DeploymentId, now: Timestamp) -> Result<Ca, CaError> {
    let before = Ca::open(dir, deployment)?;
    if before.earlier.certificates.len() >= MOST_EARLIER {
        return Err(CaError::TooManyEarlier { most: MOST_EARLIER });
    }
    let key = KeyPair::generate()?;
    let params = ca_params(deployment);
    let certificate = params.self_signed(&key)?;
    // Good for Central's own certificate; a probe's is held against the CAs themselves.
    let mut bridge = params.clone();
    bridge.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let bridge = bridge.signed_by(&key, &before.issuer)?;
    let earlier = std::iter::once(&before.certificate).chain(&before.earlier.certificates);
    let bridges = std::iter::once(bridge.der()).chain(&before.earlier.bridges);

    let new = fresh(dir)?;
    let write = |name: &str, content: &str| {
        file::replace(&new.join(name), content.as_bytes()).map_err(|source| CaError::File {
            path: new.join(name),
            source,
        })
    };
    write("ca.key", &key.serialize_pem())?;
    write("ca.pem", &certificate.pem())?;
    write(EARLIER, &pem_of(earlier))?;
    write(BRIDGES, &pem_of(bridges))?;
    write(SINCE, &now.ms().to_string())?;
    take_place(&new, dir)?;
    Ca::open(dir, deployment)
}

/// Forgets the earlier CAs: whoever has not renewed since the present one took over has to join again.
///
/// # Errors
/// [`CaError`].
pub fn retire(dir: &Path, deployment: DeploymentId) -> Result<Ca, CaError> {
    Ca::open(dir, deployment)?;
    // The bridges last: without their earlier certificates nobody asks for them.
    for name in [EARLIER, BRIDGES, SINCE] {
        let path = dir.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(CaError::File { path, source });
            }
            _ => {}
        }
    }
    file::sync_dir(dir).map_err(|source| CaError::File {
        path: dir.to_owned(),
        source,
    })?;
    Ca::open(dir, deployment)
}

/// What a rotation was interrupted at, or the key it replaced, is removed.
pub(super) fn clear(dir: &Path) -> Result<(), CaError> {
    let new = dir.with_extension("new");
    match fs::remove_dir_all(&new) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(CaError::File { path: new, source })
        }
        _ => Ok(()),
    }
}

fn fresh(dir: &Path) -> Result<PathBuf, CaError> {
    clear(dir)?;
    let new = dir.with_extension("new");
    file::make_dir(&new).map_err(|source| CaError::File {
        path: new.clone(),
        source,
    })?;
    Ok(new)
}

/// The two directories change places in one step; the one with the earlier key is removed.
fn take_place(new: &Path, dir: &Path) -> Result<(), CaError> {
    let failed = |source| CaError::File {
        path: dir.to_owned(),
        source,
    };
    let above = dir.parent().unwrap_or(dir);
    renameat_with(CWD, new, CWD, dir, RenameFlags::EXCHANGE)
        .map_err(|error| failed(error.into()))?;
    file::sync_dir(above).map_err(failed)?;
    clear(dir)?;
    file::sync_dir(above).map_err(failed)
}

fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, CaError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(CaError::File {
                path: path.to_owned(),
                source,
            });
        }
    };
    CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| CaError::Unreadable {
            path: path.to_owned(),
            why: error.to_string(),
        })
}

fn pem_of<'a>(certificates: impl Iterator<Item = &'a CertificateDer<'static>>) -> String {
    certificates
        .map(|der| {
            let text = data_encoding::BASE64.encode(der);
            let lines: Vec<_> = text
                .as_bytes()
                .chunks(64)
                .map(String::from_utf8_lossy)
                .collect();
            format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                lines.join("\n")
            )
        })
        .collect()
}
