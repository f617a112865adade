//! From passwords to keys: RFC 3414 §A.2, RFC 7860 §9.3, and the two drafts that make them longer.

use hmac::{
    Hmac, Mac,
    digest::{Digest, KeyInit},
};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::snmp::auth::{AuthProtocol, PrivProtocol, Secret};

/// Runs `$body` with `$H` the hash function of `$protocol`.
macro_rules! with_hash {
    ($protocol:expr, $H:ident => $body:expr) => {
        match $protocol {
            AuthProtocol::Md5 => {
                type $H = Md5;
                $body
            }
            AuthProtocol::Sha1 => {
                type $H = Sha1;
                $body
            }
            AuthProtocol::Sha224 => {
                type $H = Sha224;
                $body
            }
            AuthProtocol::Sha256 => {
                type $H = Sha256;
                $body
            }
            AuthProtocol::Sha384 => {
                type $H = Sha384;
                $body
            }
            AuthProtocol::Sha512 => {
                type $H = Sha512;
                $body
            }
        }
    };
}

/// The keys of a user before they are bound to an engine: Ku of RFC 3414 §A.2.1.
#[derive(Debug, Clone)]
pub(crate) struct Master {
    auth: Secret,
    privacy: Option<Secret>,
}

impl Master {
    /// Hashes a megabyte for each password.
    pub(crate) fn derive(protocol: AuthProtocol, auth: &[u8], privacy: Option<&[u8]>) -> Self {
        Self {
            auth: password_to_key(protocol, auth),
            privacy: privacy.map(|password| password_to_key(protocol, password)),
        }
    }

    pub(crate) fn auth_key(&self, protocol: AuthProtocol, engine_id: &[u8]) -> Secret {
        localize(protocol, self.auth.expose(), engine_id)
    }

    /// As long as the cipher wants it. With the Reeder extension this hashes another megabyte.
    pub(crate) fn priv_key(
        &self,
        hash: AuthProtocol,
        cipher: PrivProtocol,
        engine_id: &[u8],
    ) -> Option<Secret> {
        let short = localize(hash, self.privacy.as_ref()?.expose(), engine_id);
        let wanted = cipher.key_octets();
        let mut key = Zeroizing::new(short.expose().to_vec());
        let mut last = short;
        while key.len() < wanted {
            let more = match cipher {
                PrivProtocol::Aes192C | PrivProtocol::Aes256C => {
                    last = localize(
                        hash,
                        password_to_key(hash, last.expose()).expose(),
                        engine_id,
                    );
                    last.clone()
                }
                _ => with_hash!(hash, H => Secret::new(H::digest(key.as_slice()))),
            };
            key.extend_from_slice(more.expose());
        }
        Some(Secret::new(&key[..wanted]))
    }
}

/// RFC 3414 §A.2.1 and §A.2.2. The password is not empty: `V3User` sees to that.
fn password_to_key(protocol: AuthProtocol, password: &[u8]) -> Secret {
    /// What the password is repeated to.
    const EXPANDED: usize = 1 << 20;
    let times = 4096_usize.div_ceil(password.len());
    let block = Zeroizing::new(password.repeat(times)); // starts with the password again after its last octet
    with_hash!(protocol, H => {
        let mut hash = H::new();
        let mut left = EXPANDED;
        while left > 0 {
            let part = left.min(block.len());
            hash.update(&block[..part]);
            left -= part;
        }
        Secret::new(hash.finalize())
    })
}

/// Kul of RFC 3414 §2.6.
fn localize(protocol: AuthProtocol, key: &[u8], engine_id: &[u8]) -> Secret {
    with_hash!(protocol, H => {
        Secret::new(H::new().chain_update(key).chain_update(engine_id).chain_update(key).finalize())
    })
}

impl PrivProtocol {
    /// For DES the key and the pre-IV (RFC 3414 §8.1.1.1).
    const fn key_octets(self) -> usize {
        match self {
            Self::Des | Self::Aes128 => 16,
            Self::Aes192 | Self::Aes192C => 24,
            Self::Aes256 | Self::Aes256C => 32,
        }
    }
}

impl AuthProtocol {
    /// The length of msgAuthenticationParameters: fixed by the protocol, never by the sender.
    pub(crate) const fn digest_octets(self) -> usize {
        match self {
            Self::Md5 | Self::Sha1 => 12,
            Self::Sha224 => 16,
            Self::Sha256 => 24,
            Self::Sha384 => 32,
            Self::Sha512 => 48,
        }
    }

    /// The digest of a message given in parts, cut to its length.
    pub(crate) fn digest(self, key: &Secret, parts: &[&[u8]]) -> Digested {
        let mut octets = [0; 48];
        let len = self.digest_octets();
        with_hash!(self, H => {
            let mut mac = <Hmac<H> as KeyInit>::new_from_slice(key.expose()).expect("HMAC takes a key of any length");
            parts.iter().for_each(|part| mac.update(part));
            octets[..len].copy_from_slice(&mac.finalize().into_bytes()[..len]);
        });
        Digested { octets, len }
    }

    /// In constant time. `received` of another length than the protocol's is wrong.
    pub(crate) fn verify(self, key: &Secret, parts: &[&[u8]], received: &[u8]) -> bool {
        received.len() == self.digest_octets()
            && self.digest(key, parts).as_slice().ct_eq(received).into()
    }
}

/// What [`AuthProtocol::digest`] gives.
pub(crate) struct Digested {
    octets: [u8; 48],
    len: usize,
}

impl Digested {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .chars()
            .filter_map(|c| c.to_digit(16))
            .map(|digit| u8::try_from(digit).unwrap())
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    fn engine_id() -> Vec<u8> {
        hex("00 00 00 00 00 00 00 00 00 00 00 02")
    }

    #[test]
    fn passwords_become_the_keys_of_rfc_3414() {
        // §A.3.1 and §A.3.2
        for (protocol, ku, kul) in [
            (
                AuthProtocol::Md5,
                "9faf3283884e92834ebc9847d8edd963",
                "526f5eed9fcce26f8964c2930787d82b",
            ),
            (
                AuthProtocol::Sha1,
                "9fb5cc0381497b3793528939ff788d5d79145211",
                "6695febc9288e36282235fc7151f128497b38f3f",
            ),
        ] {
            assert_eq!(password_to_key(protocol, b"maplesyrup").expose(), hex(ku));
            let master = Master::derive(protocol, b"maplesyrup", None);
            assert_eq!(master.auth_key(protocol, &engine_id()).expose(), hex(kul));
        }
    }

    #[test]
    fn a_priv_key_is_the_start_of_the_localized_key() {
        // RFC 3414 §8.2.1 and RFC 3826 §1.2: the first 16 octets of Kul
        let master = Master::derive(AuthProtocol::Sha1, b"maplesyrup", Some(b"maplesyrup"));
        for cipher in [PrivProtocol::Des, PrivProtocol::Aes128] {
            let key = master
                .priv_key(AuthProtocol::Sha1, cipher, &engine_id())
                .unwrap();
            assert_eq!(key.expose(), hex("6695febc9288e36282235fc7151f1284"));
        }
    }

    #[test]
    fn short_keys_grow_as_the_drafts_say() {
        let kul = "6695febc9288e36282235fc7151f128497b38f3f";
        let master = Master::derive(AuthProtocol::Sha1, b"maplesyrup", Some(b"maplesyrup"));
        // draft-reeder-snmpv3-usm-3desede-00 §B.2 gives the longer key for this password and engine
        let reeder = master
            .priv_key(AuthProtocol::Sha1, PrivProtocol::Aes256C, &engine_id())
            .unwrap();
        assert_eq!(
            reeder.expose(),
            hex(&format!("{kul} 9b8b6d78936ba6e7d19dfd9c"))
        );
        let md5 = Master::derive(AuthProtocol::Md5, b"maplesyrup", Some(b"maplesyrup"));
        let reeder = md5
            .priv_key(AuthProtocol::Md5, PrivProtocol::Aes256C, &engine_id())
            .unwrap();
        assert_eq!(
            reeder.expose(),
            hex("526f5eed9fcce26f8964c2930787d82b 79eff44a90650ee0a3a40abfac5acc12")
        );
        // draft-blumenthal-aes-usm-04 §3.1.2.1: Kul' = Kul || H(Kul)
        let blumenthal = master
            .priv_key(AuthProtocol::Sha1, PrivProtocol::Aes256, &engine_id())
            .unwrap();
        let more = hex("505e07eb9af25568fa1f5dbe1bf2e6a0e36ea40a");
        assert_eq!(blumenthal.expose(), &[hex(kul), more].concat()[..32]);
        let shorter = master
            .priv_key(AuthProtocol::Sha1, PrivProtocol::Aes192, &engine_id())
            .unwrap();
        assert_eq!(shorter.expose(), &blumenthal.expose()[..24]);
    }

    #[test]
    fn digests_are_those_of_the_standards() {
        // RFC 2202 §2 and §3, RFC 4231 §4.3: key "Jefe", "what do ya want for nothing?"
        for (protocol, digest) in [
            (AuthProtocol::Md5, "750c783e6ab0b503eaa86e310a5db738"),
            (
                AuthProtocol::Sha1,
                "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
            ),
            (
                AuthProtocol::Sha224,
                "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
            ),
            (
                AuthProtocol::Sha256,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                AuthProtocol::Sha384,
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
            ),
            (
                AuthProtocol::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let key = Secret::new("Jefe");
            let parts: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
            let wanted = &hex(digest)[..protocol.digest_octets()];
            assert_eq!(protocol.digest(&key, &parts).as_slice(), wanted);
            assert!(protocol.verify(&key, &parts, wanted));
            assert!(
                !protocol.verify(&key, &parts, &wanted[..1]),
                "net-snmp once took a digest of one octet"
            );
            assert!(!protocol.verify(&key, &parts, &[]));
            assert!(!protocol.verify(&key, &parts, &[wanted, &[0]].concat()));
            let mut wrong = wanted.to_vec();
            wrong[0] ^= 1;
            assert!(!protocol.verify(&key, &parts, &wrong));
        }
    }
}
