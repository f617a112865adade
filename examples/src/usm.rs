//! SNMPv3's User-based Security Model, from the agent's side: HMAC-SHA-1 and HMAC-SHA-256, AES-128.
//!
//! Source: RFC 3414 (USM), RFC 3826 (AES), RFC 7860 (SHA-2).

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};

use aes::Aes128;
use cfb_mode::cipher::{AsyncStreamCipher, KeyIvInit};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How a message is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthProtocol {
    Sha1,
    Sha256,
}

impl AuthProtocol {
    /// Octets of the truncated HMAC.
    #[must_use]
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 12,
            Self::Sha256 => 24,
        }
    }
}

/// Somebody who may ask. Without `auth` by noAuthNoPriv, without `privacy` by authNoPriv.
#[derive(Clone)]
pub struct User {
    pub name: String,
    pub auth: Option<(AuthProtocol, String)>,
    /// The AES-128 password.
    pub privacy: Option<String>,
}

impl User {
    /// The demo's user: `monitor`, SHA-256, AES-128.
    #[must_use]
    pub fn monitor() -> Self {
        Self::private(
            "monitor",
            AuthProtocol::Sha256,
            MONITOR_AUTH,
            MONITOR_PRIVACY,
        )
    }

    #[must_use]
    pub fn private(
        name: &str,
        auth: AuthProtocol,
        auth_password: &str,
        privacy_password: &str,
    ) -> Self {
        Self {
            privacy: Some(privacy_password.to_owned()),
            ..Self::authentic(name, auth, auth_password)
        }
    }

    #[must_use]
    pub fn authentic(name: &str, auth: AuthProtocol, password: &str) -> Self {
        Self {
            auth: Some((auth, password.to_owned())),
            ..Self::open(name)
        }
    }

    #[must_use]
    pub fn open(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            auth: None,
            privacy: None,
        }
    }

    /// This user's keys at one engine.
    #[must_use]
    pub fn keys(&self, engine_id: &[u8]) -> Keys {
        let auth = self
            .auth
            .as_ref()
            .map(|(protocol, password)| (*protocol, key(*protocol, password, engine_id)));
        let privacy =
            self.auth
                .as_ref()
                .zip(self.privacy.as_ref())
                .map(|((protocol, _), password)| {
                    let key = key(*protocol, password, engine_id);
                    key[..16]
                        .try_into()
                        .expect("every digest has at least 16 octets")
                });
        Keys {
            name: self.name.clone().into_bytes(),
            auth,
            privacy,
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The demo's passwords, which its script gives Central too. They guard nothing but pretend devices.
pub const MONITOR_AUTH: &str = "look-but-do-not-touch";
pub const MONITOR_PRIVACY: &str = "between-you-and-me";

/// A user's localized keys.
#[derive(Clone)]
pub struct Keys {
    pub name: Vec<u8>,
    auth: Option<(AuthProtocol, Vec<u8>)>,
    privacy: Option<[u8; 16]>,
}

impl Keys {
    #[must_use]
    pub fn can_authenticate(&self) -> bool {
        self.auth.is_some()
    }

    #[must_use]
    pub fn can_encrypt(&self) -> bool {
        self.privacy.is_some()
    }

    /// Octets of this user's digest.
    #[must_use]
    pub fn digest_len(&self) -> usize {
        self.auth
            .as_ref()
            .map_or(0, |(protocol, _)| protocol.digest_len())
    }

    /// The digest of a whole message whose digest field is all zeros.
    #[must_use]
    pub fn digest(&self, message: &[u8]) -> Vec<u8> {
        match &self.auth {
            None => Vec::new(),
            Some((AuthProtocol::Sha1, key)) => truncated(mac::<Hmac<Sha1>>(key, message), 12),
            Some((AuthProtocol::Sha256, key)) => truncated(mac::<Hmac<Sha256>>(key, message), 24),
        }
    }

    /// Whether a message's digest is right; `at` is where it stands in the message.
    #[must_use]
    pub fn verifies(&self, message: &[u8], at: usize, digest: &[u8]) -> bool {
        let mut blank = message.to_vec();
        let Some(field) = blank.get_mut(at..at + digest.len()) else {
            return false;
        };
        field.fill(0);
        digest.len() == self.digest_len() && bool::from(self.digest(&blank).ct_eq(digest))
    }

    /// Encrypts or, with `decrypt`, decrypts a scoped PDU. `None` without a privacy key or with a bad salt.
    #[must_use]
    pub fn cipher(
        &self,
        data: &[u8],
        boots: u32,
        time: u32,
        salt: &[u8],
        decrypt: bool,
    ) -> Option<Vec<u8>> {
        let key = self.privacy.as_ref()?;
        let mut iv = [0; 16];
        iv[..4].copy_from_slice(&boots.to_be_bytes());
        iv[4..8].copy_from_slice(&time.to_be_bytes());
        iv[8..].copy_from_slice(salt.get(..8).filter(|_| salt.len() == 8)?);
        let mut data = data.to_vec();
        if decrypt {
            cfb_mode::Decryptor::<Aes128>::new(key.into(), &iv.into()).decrypt(&mut data);
        } else {
            cfb_mode::Encryptor::<Aes128>::new(key.into(), &iv.into()).encrypt(&mut data);
        }
        Some(data)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("name", &String::from_utf8_lossy(&self.name))
            .finish_non_exhaustive()
    }
}

/// By protocol and password: the digest of the stretched password.
type Masters = HashMap<(AuthProtocol, String), Vec<u8>>;

fn key(protocol: AuthProtocol, password: &str, engine_id: &[u8]) -> Vec<u8> {
    // The first step hashes a mebibyte; forty devices share it.
    static MASTERS: LazyLock<Mutex<Masters>> = LazyLock::new(Mutex::default);
    let mut masters = MASTERS.lock().unwrap_or_else(PoisonError::into_inner);
    let master = masters
        .entry((protocol, password.to_owned()))
        .or_insert_with(|| match protocol {
            AuthProtocol::Sha1 => stretch::<Sha1>(password),
            AuthProtocol::Sha256 => stretch::<Sha256>(password),
        });
    match protocol {
        AuthProtocol::Sha1 => localize::<Sha1>(master, engine_id),
        AuthProtocol::Sha256 => localize::<Sha256>(master, engine_id),
    }
}

/// RFC 3414 §A.2: the digest of the password repeated to 1,048,576 octets.
fn stretch<D: Digest>(password: &str) -> Vec<u8> {
    let mut digest = D::new();
    let password = if password.is_empty() {
        b"\0"
    } else {
        password.as_bytes()
    };
    let block: Vec<u8> = password
        .iter()
        .copied()
        .cycle()
        .take(password.len() * 64)
        .collect();
    let mut left = 1_048_576;
    while left > 0 {
        let part = &block[..block.len().min(left)];
        digest.update(part);
        left -= part.len();
    }
    digest.finalize().to_vec()
}

fn localize<D: Digest>(master: &[u8], engine_id: &[u8]) -> Vec<u8> {
    D::new()
        .chain_update(master)
        .chain_update(engine_id)
        .chain_update(master)
        .finalize()
        .to_vec()
}

fn mac<M: Mac + hmac::digest::KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac =
        <M as hmac::digest::KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn truncated(mut digest: Vec<u8>, len: usize) -> Vec<u8> {
    digest.truncate(len);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3414 §A.3.2.
    #[test]
    fn the_rfcs_password_gives_the_rfcs_key() {
        let engine_id = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
        let key = key(AuthProtocol::Sha1, "maplesyrup", &engine_id);
        let expected = "6695febc9288e36282235fc7151f128497b38f3f";
        assert_eq!(
            key.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>(),
            expected
        );
    }

    #[test]
    fn what_is_encrypted_is_decrypted_again_and_only_with_the_same_salt() {
        let keys = User::monitor().keys(b"engine-id");
        let secret = keys.cipher(b"scoped pdu", 3, 77, &[1; 8], false).unwrap();
        assert_ne!(secret, b"scoped pdu");
        assert_eq!(
            keys.cipher(&secret, 3, 77, &[1; 8], true).unwrap(),
            b"scoped pdu"
        );
        assert_ne!(
            keys.cipher(&secret, 3, 77, &[2; 8], true).unwrap(),
            b"scoped pdu"
        );
        assert_eq!(keys.cipher(&secret, 3, 77, &[1; 7], true), None);
    }

    #[test]
    fn one_changed_bit_breaks_the_digest() {
        let keys = User::monitor().keys(b"engine-id");
        let mut message = b"head ........................ tail".to_vec();
        message[5..29].fill(0);
        let digest = keys.digest(&message);
        message[5..29].copy_from_slice(&digest);
        assert!(keys.verifies(&message, 5, &digest));
        message[0] ^= 1;
        assert!(!keys.verifies(&message, 5, &digest));
    }
}
