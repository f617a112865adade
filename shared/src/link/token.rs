//! What a technician pastes: where Central is, how to know it, and the right to join once.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

use crate::clock::Timestamp;

/// Every token starts like this; the digit is the version of what follows.
pub const PREFIX: &str = "fwj1_";
/// The longest a token may be used, whoever makes it.
pub const LONGEST_MS: i64 = 3_600 * 1_000;
/// The usual life of a token.
pub const DEFAULT_MS: i64 = 30 * 60 * 1_000;
/// Addresses in one token at the most: eight, and the TCP door of each.
const MOST_ADDRESSES: usize = 16;
/// Bytes of SHA-256 that tell a mangled paste.
const CHECKSUM: usize = 4;

/// A join token, opened. Does not print its secret, and wipes it when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// `host:port` of Central (UDP), best first, and `tcp://host:port` of TCP doors; one to sixteen.
    pub addresses: Vec<String>,
    /// SHA-256 of the CA's public key (SubjectPublicKeyInfo): nobody is trusted on first use.
    pub ca_key_hash: [u8; 32],
    /// Central keeps only its hash.
    pub secret: [u8; 32],
    /// Useless afterwards. Rounded down to the second.
    pub expires: Timestamp,
}

/// Why a paste is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Something else was pasted.
    #[error(
        "a join token starts with {PREFIX}: copy it again from the console, from its first character on"
    )]
    NotAToken,
    /// A later version of Central made it.
    #[error("this join token is of a newer kind: update this program")]
    TooNew,
    /// A character that no token has.
    #[error("the token has a {0:?} in it, which no token has: copy it again from the console")]
    Character(char),
    /// It ends too early.
    #[error("the token is cut off: copy it again from the console, to its last character")]
    CutOff,
    /// A character was changed, lost or added.
    #[error(
        "the token was changed on its way (its checksum is wrong): copy it again from the console"
    )]
    Checksum,
}

impl Drop for JoinToken {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("addresses", &self.addresses)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl JoinToken {
    /// The line to paste.
    ///
    /// # Panics
    /// With no address, more than sixteen, or one over 255 bytes: Central's configuration is checked for that.
    #[must_use]
    pub fn encode(&self) -> String {
        assert!(
            (1..=MOST_ADDRESSES).contains(&self.addresses.len()),
            "a token has one to {MOST_ADDRESSES} addresses"
        );
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&self.secret);
        bytes.extend_from_slice(&self.ca_key_hash);
        let seconds = u32::try_from(self.expires.secs().clamp(0, i64::from(u32::MAX)))
            .expect("clamped to 32 bits");
        bytes.extend_from_slice(&seconds.to_be_bytes());
        for address in &self.addresses {
            let length = u8::try_from(address.len()).expect("an address has at most 255 bytes");
            bytes.push(length);
            bytes.extend_from_slice(address.as_bytes());
        }
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        let text = format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_lowercase());
        bytes.zeroize();
        text
    }

    /// What Central keeps of the secret.
    #[must_use]
    pub fn secret_hash(&self) -> [u8; 32] {
        secret_hash(&self.secret)
    }
}

/// What Central keeps of a token's secret. Plain SHA-256 is enough for 256 random bits.
#[must_use]
pub fn secret_hash(secret: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"farwatch join token\0")
        .chain_update(secret)
        .finalize()
        .into()
}

impl FromStr for JoinToken {
    type Err = TokenError;

    /// Reads a paste: capitals or not, with line breaks and blanks where a terminal put them.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text: String = text
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\''))
            .collect::<String>()
            .to_lowercase();
        let Some(body) = text.strip_prefix(PREFIX) else {
            return Err(if text.starts_with("fwj") && text.contains('_') {
                TokenError::TooNew
            } else {
                TokenError::NotAToken
            });
        };
        let body = body.to_uppercase();
        if let Some(c) = body.chars().find(|c| !matches!(c, 'A'..='Z' | '2'..='7')) {
            return Err(TokenError::Character(c));
        }
        let bytes = BASE32_NOPAD
            .decode(body.as_bytes())
            .map_err(|error| match error.kind {
                data_encoding::DecodeKind::Length => TokenError::CutOff,
                _ => TokenError::Checksum,
            })?;
        Self::read(&bytes)
    }
}

impl JoinToken {
    fn read(bytes: &[u8]) -> Result<Self, TokenError> {
        const FIXED: usize = 32 + 32 + 4;
        if bytes.len() < FIXED + CHECKSUM {
            return Err(TokenError::CutOff);
        }
        let (content, sum) = bytes.split_at(bytes.len() - CHECKSUM);
        if checksum(content) != sum {
            return Err(TokenError::Checksum);
        }
        let (fixed, mut rest) = content.split_at(FIXED);
        let mut addresses = Vec::new();
        while let Some((length, tail)) = rest.split_first() {
            let length = usize::from(*length);
            if tail.len() < length || addresses.len() == MOST_ADDRESSES {
                return Err(TokenError::Checksum);
            }
            let (address, tail) = tail.split_at(length);
            let address = std::str::from_utf8(address).map_err(|_| TokenError::Checksum)?;
            addresses.push(address.to_owned());
            rest = tail;
        }
        if addresses.is_empty() {
            return Err(TokenError::Checksum);
        }
        let array = |from: usize| -> [u8; 32] {
            fixed[from..from + 32]
                .try_into()
                .expect("32 bytes were cut")
        };
        let seconds = u32::from_be_bytes(fixed[64..].try_into().expect("4 bytes were cut"));
        Ok(Self {
            addresses,
            secret: array(0),
            ca_key_hash: array(32),
            expires: Timestamp::from_secs(i64::from(seconds)),
        })
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::digest(bytes);
    digest[..CHECKSUM].try_into().expect("a digest is longer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
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

    #[test]
    fn a_token_reads_back_however_a_terminal_broke_it() {
        let text = token().encode();
        assert_eq!(text.parse(), Ok(token()));
        assert_eq!(text.to_uppercase().parse(), Ok(token()));
        let (left, right) = text.split_at(70);
        assert_eq!(format!(" \"{left}\r\n  {right}\"\n").parse(), Ok(token()));
    }

    #[test]
    fn every_single_slip_is_noticed_and_said() {
        let text = token().encode();
        for at in PREFIX.len()..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(other).unwrap();
            assert!(changed.parse::<JoinToken>().is_err(), "changed at {at}");
            assert!(text[..at].parse::<JoinToken>().is_err(), "cut at {at}");
        }
        assert_eq!("hello".parse::<JoinToken>(), Err(TokenError::NotAToken));
        assert_eq!("fwj2_abc".parse::<JoinToken>(), Err(TokenError::TooNew));
        assert_eq!("fwj1_".parse::<JoinToken>(), Err(TokenError::CutOff));
        assert_eq!(
            "fwj1_ab0c".parse::<JoinToken>(),
            Err(TokenError::Character('0'))
        );
        assert_eq!(
            "fwj1_abäc".parse::<JoinToken>(),
            Err(TokenError::Character('Ä'))
        );
        assert_eq!(
            text[..text.len() - 8].parse::<JoinToken>(),
            Err(TokenError::Checksum)
        );
    }

    #[test]
    fn a_token_does_not_print_its_secret() {
        assert!(!format!("{:?}", token()).contains("secret"));
        assert_ne!(token().secret_hash(), [9; 32]);
    }
}
