//! One user at one engine: seals what we ask and opens what it answers.

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::{
    AsyncStreamCipher, BlockDecryptMut, BlockEncryptMut, KeyIvInit, block_padding::NoPadding,
};
use des::Des;

use super::{
    clock::Stamp,
    message::{Draft, Message, flag},
};
use crate::snmp::{
    auth::{PrivProtocol, Secret, SecurityLevel, V3User},
    ber::{BerError, Reader, Writer, tag},
    pdu::{Answer, PduKind, Request},
};

/// A user's keys bound to an engine id.
#[derive(Debug)]
pub(crate) struct Session {
    engine_id: Box<[u8]>,
    user: V3User,
    auth_key: Option<Secret>,
    priv_key: Option<Secret>,
}

/// Why a message that claims to answer us is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Distrust {
    #[error("from another engine or for another user")]
    OtherEngineOrUser,
    #[error("its digest is wrong")]
    WrongDigest,
    #[error("its security level is not the one we asked at")]
    WrongLevel,
    #[error("it cannot be decrypted")]
    Undecryptable,
    #[error(transparent)]
    Malformed(#[from] BerError),
}

/// An answer and whether it is proven to come from the engine we asked.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) answer: Answer,
    pub(crate) authenticated: bool,
}

impl Session {
    /// Takes milliseconds the first time a user's keys are needed: not for an async thread.
    pub(crate) fn derive(user: &V3User, engine_id: &[u8]) -> Self {
        let auth = user.master().zip(user.auth_protocol());
        let priv_key = auth
            .zip(user.priv_protocol())
            .and_then(|((master, hash), cipher)| master.priv_key(hash, cipher, engine_id));
        Self {
            engine_id: engine_id.into(),
            user: user.clone(),
            auth_key: auth.map(|(master, hash)| master.auth_key(hash, engine_id)),
            priv_key,
        }
    }

    pub(crate) fn engine_id(&self) -> &[u8] {
        &self.engine_id
    }

    pub(crate) const fn user(&self) -> &V3User {
        &self.user
    }

    /// The message that asks `request` at `stamp`. `salt` must never come twice.
    pub(crate) fn seal(
        &self,
        context_name: &str,
        request: &Request,
        id: i32,
        stamp: Stamp,
        salt: u64,
    ) -> Vec<u8> {
        let mut writer = Writer::with_capacity(64 + 32 * request.names.len());
        request.write(&mut writer, id);
        writer.octets(context_name.as_bytes());
        writer.octets(&self.engine_id);
        writer.wrap(tag::SEQUENCE, 0);
        let mut data = writer.finish();

        let mut flags = flag::REPORTABLE;
        let mut salt = salt.to_be_bytes();
        let salt = match (self.user.priv_protocol(), &self.priv_key) {
            (Some(cipher), Some(key)) => {
                flags |= flag::PRIV;
                if cipher == PrivProtocol::Des {
                    salt[..4].copy_from_slice(&stamp.boots.to_be_bytes()); // RFC 3414 §8.1.1.1
                }
                encrypt(cipher, key, stamp, salt, &mut data);
                &salt[..]
            }
            _ => &[],
        };
        let auth = self.user.auth_protocol().zip(self.auth_key.as_ref());
        if auth.is_some() {
            flags |= flag::AUTH;
        }
        let draft = Draft {
            msg_id: id,
            flags,
            engine_id: &self.engine_id,
            stamp,
            user_name: self.user.name().as_bytes(),
            digest_octets: auth.map_or(0, |(protocol, _)| protocol.digest_octets()),
            salt,
        };
        let (mut message, digest_at) = draft.write(&data);
        if let Some((protocol, key)) = auth {
            let digest = protocol.digest(key, &[&message]);
            message[digest_at..digest_at + digest.as_slice().len()]
                .copy_from_slice(digest.as_slice());
        }
        message
    }

    /// Reads an answer to a message of this session: RFC 3414 §3.2, but for the time window, which is the caller's.
    ///
    /// A report may come unauthenticated, for an engine that does not know the user has no key for him. An answer never.
    pub(crate) fn open(&self, message: &Message<'_>) -> Result<Opened, Distrust> {
        let level = self.user.security_level();
        if message.flags & flag::AUTH == 0 {
            if message.flags & flag::PRIV != 0 {
                return Err(Distrust::WrongLevel);
            }
            let answer = read_scoped(message.data.clone())?;
            return match (answer.kind, level) {
                (PduKind::Report, _) => Ok(Opened {
                    answer,
                    authenticated: false,
                }),
                (_, SecurityLevel::NoAuthNoPriv) => {
                    self.check_names(message)?;
                    Ok(Opened {
                        answer,
                        authenticated: false,
                    })
                }
                _ => Err(Distrust::WrongLevel),
            };
        }
        self.check_names(message)?;
        let (Some(protocol), Some(key)) = (self.user.auth_protocol(), &self.auth_key) else {
            return Err(Distrust::WrongLevel);
        };
        if !protocol.verify(key, &message.authenticated_parts(), message.digest) {
            return Err(Distrust::WrongDigest);
        }
        let encrypted = message.flags & flag::PRIV != 0;
        let answer = if encrypted {
            let (Some(cipher), Some(key)) = (self.user.priv_protocol(), &self.priv_key) else {
                return Err(Distrust::WrongLevel);
            };
            let mut data = message.data.clone();
            let mut plain = data.octets()?.to_vec();
            data.end()?;
            let salt = message
                .salt
                .try_into()
                .map_err(|_| Distrust::Undecryptable)?;
            decrypt(cipher, key, message.stamp, salt, &mut plain).ok_or(Distrust::Undecryptable)?;
            read_scoped(Reader::new(&plain)).map_err(|_| Distrust::Undecryptable)?
        } else {
            read_scoped(message.data.clone())?
        };
        if answer.kind != PduKind::Report && encrypted != (level == SecurityLevel::AuthPriv) {
            return Err(Distrust::WrongLevel);
        }
        Ok(Opened {
            answer,
            authenticated: true,
        })
    }

    fn check_names(&self, message: &Message<'_>) -> Result<(), Distrust> {
        if message.engine_id == &*self.engine_id && message.user_name == self.user.name().as_bytes()
        {
            Ok(())
        } else {
            Err(Distrust::OtherEngineOrUser)
        }
    }
}

/// The other side, for tests.
#[cfg(any(test, feature = "fuzz"))]
#[allow(clippy::unwrap_used, reason = "the other side, for tests and fuzzing")]
impl Session {
    /// `scoped` in the clear, signed when `flags` say so.
    pub(crate) fn seal_as(&self, msg_id: i32, flags: u8, stamp: Stamp, scoped: &[u8]) -> Vec<u8> {
        self.sign_as(msg_id, flags, stamp, &[], scoped)
    }

    /// `scoped` encrypted and signed.
    pub(crate) fn encrypt_as(
        &self,
        msg_id: i32,
        stamp: Stamp,
        salt: u64,
        mut scoped: Vec<u8>,
    ) -> Vec<u8> {
        let (cipher, salt) = (self.user.priv_protocol().unwrap(), salt.to_be_bytes());
        encrypt(
            cipher,
            self.priv_key.as_ref().unwrap(),
            stamp,
            salt,
            &mut scoped,
        );
        self.sign_as(msg_id, flag::AUTH | flag::PRIV, stamp, &salt, &scoped)
    }

    fn sign_as(&self, msg_id: i32, flags: u8, stamp: Stamp, salt: &[u8], data: &[u8]) -> Vec<u8> {
        let signed = flags & flag::AUTH != 0;
        let protocol = self.user.auth_protocol().unwrap();
        let draft = Draft {
            msg_id,
            flags,
            engine_id: &self.engine_id,
            stamp,
            user_name: self.user.name().as_bytes(),
            digest_octets: if signed { protocol.digest_octets() } else { 0 },
            salt,
        };
        let (mut message, at) = draft.write(data);
        if signed {
            let digest = protocol.digest(self.auth_key.as_ref().unwrap(), &[&message]);
            message[at..at + digest.as_slice().len()].copy_from_slice(digest.as_slice());
        }
        message
    }
}

/// A message that asks an engine who it is (RFC 3414 §4).
pub(crate) fn discovery(id: i32) -> Vec<u8> {
    let mut writer = Writer::default();
    Request::get(&[]).write(&mut writer, id);
    writer.octets(&[]);
    writer.octets(&[]);
    writer.wrap(tag::SEQUENCE, 0);
    let stamp = Stamp { boots: 0, time: 0 };
    let draft = Draft {
        msg_id: id,
        flags: flag::REPORTABLE,
        engine_id: &[],
        stamp,
        user_name: &[],
        digest_octets: 0,
        salt: &[],
    };
    draft.write(&writer.finish()).0
}

/// The PDU of a message without security. What follows the scoped PDU is a cipher's padding.
pub(crate) fn read_scoped(mut data: Reader<'_>) -> Result<Answer, BerError> {
    let mut scoped = data.sequence()?;
    scoped.octets()?; // contextEngineID: proxies may answer with their own
    scoped.octets()?; // contextName
    let answer = Answer::read(&mut scoped)?;
    scoped.end()?;
    Ok(answer)
}

const UNFIT: &str = "the key has the cipher's length, and the IV its block's";

fn encrypt(cipher: PrivProtocol, key: &Secret, stamp: Stamp, salt: [u8; 8], data: &mut Vec<u8>) {
    let key = key.expose();
    let iv = aes_iv(stamp, salt);
    match cipher {
        PrivProtocol::Des => {
            data.resize(data.len().next_multiple_of(8), 0);
            let length = data.len();
            let (key, iv) = des_key_and_iv(key, salt);
            cbc::Encryptor::<Des>::new_from_slices(key, &iv)
                .expect(UNFIT)
                .encrypt_padded_mut::<NoPadding>(data, length)
                .expect("padded to whole blocks above");
        }
        PrivProtocol::Aes128 => cfb_mode::Encryptor::<Aes128>::new_from_slices(key, &iv)
            .expect(UNFIT)
            .encrypt(data),
        PrivProtocol::Aes192 | PrivProtocol::Aes192C => {
            cfb_mode::Encryptor::<Aes192>::new_from_slices(key, &iv)
                .expect(UNFIT)
                .encrypt(data);
        }
        PrivProtocol::Aes256 | PrivProtocol::Aes256C => {
            cfb_mode::Encryptor::<Aes256>::new_from_slices(key, &iv)
                .expect(UNFIT)
                .encrypt(data);
        }
    }
}

/// `None` when the data cannot be this cipher's.
fn decrypt(
    cipher: PrivProtocol,
    key: &Secret,
    stamp: Stamp,
    salt: [u8; 8],
    data: &mut [u8],
) -> Option<()> {
    let key = key.expose();
    let iv = aes_iv(stamp, salt);
    match cipher {
        PrivProtocol::Des => {
            let (key, iv) = des_key_and_iv(key, salt);
            cbc::Decryptor::<Des>::new_from_slices(key, &iv)
                .expect(UNFIT)
                .decrypt_padded_mut::<NoPadding>(data)
                .ok()?;
        }
        PrivProtocol::Aes128 => cfb_mode::Decryptor::<Aes128>::new_from_slices(key, &iv)
            .expect(UNFIT)
            .decrypt(data),
        PrivProtocol::Aes192 | PrivProtocol::Aes192C => {
            cfb_mode::Decryptor::<Aes192>::new_from_slices(key, &iv)
                .expect(UNFIT)
                .decrypt(data);
        }
        PrivProtocol::Aes256 | PrivProtocol::Aes256C => {
            cfb_mode::Decryptor::<Aes256>::new_from_slices(key, &iv)
                .expect(UNFIT)
                .decrypt(data);
        }
    }
    Some(())
}

/// RFC 3826 §3.1.2.1.
fn aes_iv(stamp: Stamp, salt: [u8; 8]) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[..4].copy_from_slice(&stamp.boots.to_be_bytes());
    iv[4..8].copy_from_slice(&stamp.time.to_be_bytes());
    iv[8..].copy_from_slice(&salt);
    iv
}

/// RFC 3414 §8.1.1.1: the second half of the key, xor the salt.
fn des_key_and_iv(key: &[u8], salt: [u8; 8]) -> (&[u8], [u8; 8]) {
    let (key, pre_iv) = key.split_at(8);
    let mut iv = salt;
    iv.iter_mut().zip(pre_iv).for_each(|(iv, pre)| *iv ^= pre);
    (key, iv)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snmp::auth::AuthProtocol;

    #[test]
    fn what_is_encrypted_is_decrypted_by_every_cipher() {
        let stamp = Stamp {
            boots: 7,
            time: 1234,
        };
        for cipher in PrivProtocol::ALL {
            let user =
                V3User::auth_priv("u", (AuthProtocol::Sha1, "password"), (cipher, "password"));
            let session = Session::derive(&user.unwrap(), b"engine");
            let key = session.priv_key.as_ref().unwrap();
            let mut data = b"thirteen byte".to_vec();
            encrypt(cipher, key, stamp, [9; 8], &mut data);
            assert_ne!(&data[..13], b"thirteen byte");
            decrypt(cipher, key, stamp, [9; 8], &mut data).unwrap();
            assert_eq!(&data[..13], b"thirteen byte");
            assert_eq!(
                data.len(),
                if cipher == PrivProtocol::Des { 16 } else { 13 }
            );
        }
    }

    #[test]
    fn des_data_of_broken_blocks_is_refused() {
        let stamp = Stamp {
            boots: 7,
            time: 1234,
        };
        let mut data = [0; 13];
        assert!(
            decrypt(
                PrivProtocol::Des,
                &Secret::new([1; 16]),
                stamp,
                [9; 8],
                &mut data
            )
            .is_none()
        );
    }

    #[test]
    fn the_iv_of_aes_is_boots_time_and_salt() {
        let iv = aes_iv(
            Stamp {
                boots: 0x0102_0304,
                time: 0x0506_0708,
            },
            [9, 10, 11, 12, 13, 14, 15, 16],
        );
        assert_eq!(iv, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]); // RFC 3826 §3.1.2.1
    }
}
