//! Secrets at rest: sealed with a key that is a file of its own, opened only for the probe that needs them.
//!
//! XChaCha20-Poly1305 with a random nonce. Each customer has a key derived from the vault's, and what is sealed is bound
//! to its customer, record and field: a row copied to another place does not open. A copy of the database alone
//! reveals nothing; a copy of the database with `vault.key` does.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use data_encoding::HEXLOWER;
use farwatch_shared::file;
use farwatch_shared::id::CustomerId;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Name of the key's file in the data directory, and of the systemd credential that takes its place.
pub const KEY_FILE: &str = "vault.key";
const NONCE: usize = 24;

/// Why the vault's key could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The file system says no.
    #[error("{path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error(
        "{path} can be read by others (mode {mode:o}): chmod 600 it, and replace the SNMP credentials if somebody may have"
    )]
    Mode {
        /// Which file.
        path: PathBuf,
        /// What it is.
        mode: u32,
    },
    /// Not 64 hexadecimal digits.
    #[error("{path} is not a vault key: 64 hexadecimal digits are wanted")]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
}

/// Why something sealed did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Sealed under another key: the vault key was replaced.
    #[error("it is sealed under another vault key")]
    OtherKey,
    /// The bytes, the customer, the record or the field are not those of the sealing.
    #[error("it was changed or moved since it was sealed")]
    Tampered,
}

/// Something sealed, as SQL keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Which vault key.
    pub key_id: String,
    /// Nonce, then ciphertext.
    pub bytes: Vec<u8>,
}

/// What binds a secret to its place.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Whose; `None` for what belongs to the MSP itself.
    pub customer: Option<CustomerId>,
    /// Which row.
    pub record: Uuid,
    /// Which field of it.
    pub field: &'static str,
}

/// The key that seals. Does not print itself.
#[derive(Clone)]
pub struct Vault {
    key: Zeroizing<[u8; 32]>,
    key_id: String,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// Takes the key from the systemd credential `vault.key` where there is one, else from `vault.key` in `data_dir`,
    /// which is made at the first start (0600).
    ///
    /// # Errors
    /// [`VaultError`]: not readable, readable by others, or not a key.
    pub fn open(data_dir: &Path) -> Result<Self, VaultError> {
        if let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY") {
            let path = PathBuf::from(directory).join(KEY_FILE);
            if path.exists() {
                return Self::read(&path, false);
            }
        }
        let path = data_dir.join(KEY_FILE);
        if !path.exists() {
            Self::make(&path).map_err(|source| VaultError::Io {
                path: path.clone(),
                source,
            })?;
        }
        Self::read(&path, true)
    }

    /// From the key itself.
    #[must_use]
    pub fn from_key(key: [u8; 32]) -> Self {
        let digest = Sha256::digest([b"farwatch vault key id\0".as_slice(), &key].concat());
        Self {
            key: Zeroizing::new(key),
            key_id: HEXLOWER.encode(&digest[..8]),
        }
    }

    fn make(path: &Path) -> std::io::Result<()> {
        let key = Zeroizing::new(rand::random::<[u8; 32]>());
        let line = Zeroizing::new(format!("{}\n", HEXLOWER.encode(key.as_slice())));
        file::replace(path, line.as_bytes())
    }

    fn read(path: &Path, check_mode: bool) -> Result<Self, VaultError> {
        let at = |source| VaultError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = std::fs::File::open(path).map_err(at)?;
        let mode = file.metadata().map_err(at)?.permissions().mode() & 0o777;
        if check_mode && mode & 0o077 != 0 {
            return Err(VaultError::Mode {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(at)?;
        let malformed = || VaultError::Malformed {
            path: path.to_owned(),
        };
        let bytes = Zeroizing::new(
            HEXLOWER
                .decode(text.trim().as_bytes())
                .map_err(|_| malformed())?,
        );
        let key: [u8; 32] = bytes.as_slice().try_into().map_err(|_| malformed())?;
        Ok(Self::from_key(key))
    }

    /// Names the key, so that a sealed row says under which one it is.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Seals `plain` for its place.
    #[must_use]
    pub fn seal(&self, place: Place, plain: &[u8]) -> Sealed {
        let nonce: [u8; NONCE] = rand::random();
        let sealed = self
            .cipher(place.customer)
            .encrypt(
                XNonce::from_slice(&nonce),
                Payload {
                    msg: plain,
                    aad: &associated(place),
                },
            )
            .expect("secrets are far shorter than the cipher's limit of 256 GiB");
        Sealed {
            key_id: self.key_id.clone(),
            bytes: [nonce.as_slice(), &sealed].concat(),
        }
    }

    /// Opens what was sealed for exactly this place.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn unseal(&self, place: Place, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if sealed.key_id != self.key_id {
            return Err(OpenError::OtherKey);
        }
        let (nonce, bytes) = sealed
            .bytes
            .split_at_checked(NONCE)
            .ok_or(OpenError::Tampered)?;
        self.cipher(place.customer)
            .decrypt(
                XNonce::from_slice(nonce),
                Payload {
                    msg: bytes,
                    aad: &associated(place),
                },
            )
            .map(Zeroizing::new)
            .map_err(|_| OpenError::Tampered)
    }

    /// The customer's key. All inputs have fixed lengths, so a plain hash is a sound derivation.
    fn cipher(&self, customer: Option<CustomerId>) -> XChaCha20Poly1305 {
        let owner = customer.map_or([0; 16], |customer| *customer.as_bytes());
        let mut hash = Sha256::new();
        hash.update(b"farwatch vault customer key 1\0");
        hash.update(self.key.as_slice());
        hash.update(owner);
        let key = Zeroizing::new(<[u8; 32]>::from(hash.finalize()));
        XChaCha20Poly1305::new(Key::from_slice(key.as_slice()))
    }
}

fn associated(place: Place) -> Vec<u8> {
    let owner = place
        .customer
        .map_or([0; 16], |customer| *customer.as_bytes());
    [
        b"farwatch sealed 1\0".as_slice(),
        &owner,
        place.record.as_bytes(),
        place.field.as_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(customer: CustomerId) -> Place {
        Place {
            customer: Some(customer),
            record: Uuid::now_v7(),
            field: "secrets",
        }
    }

    #[test]
    fn what_is_sealed_opens_only_in_its_own_place() {
        let vault = Vault::from_key([7; 32]);
        let here = place(CustomerId::generate());
        let sealed = vault.seal(here, b"public");
        assert_eq!(vault.unseal(here, &sealed).unwrap().as_slice(), b"public");
        let elsewhere = [
            place(here.customer.unwrap()),
            Place {
                customer: Some(CustomerId::generate()),
                ..here
            },
            Place {
                customer: None,
                ..here
            },
            Place {
                field: "other",
                ..here
            },
        ];
        for other in elsewhere {
            assert_eq!(vault.unseal(other, &sealed), Err(OpenError::Tampered));
        }
        for i in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[i] ^= 1;
            assert_eq!(vault.unseal(here, &changed), Err(OpenError::Tampered));
        }
        assert_eq!(
            Vault::from_key([8; 32]).unseal(here, &sealed),
            Err(OpenError::OtherKey)
        );
    }

    #[test]
    fn the_key_file_is_made_once_and_kept_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let first = Vault::open(dir.path()).unwrap();
        let path = dir.path().join(KEY_FILE);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(Vault::open(dir.path()).unwrap().key_id(), first.key_id());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            Vault::open(dir.path()),
            Err(VaultError::Mode { mode: 0o644, .. })
        ));
    }

    #[test]
    fn the_vault_does_not_print_its_key() {
        let vault = Vault::from_key([0x41; 32]);
        let shown = format!("{vault:?}");
        assert!(
            !shown.contains("4141") && !shown.contains("AAAA") && !shown.contains("65, 65"),
            "{shown}"
        );
    }
}
