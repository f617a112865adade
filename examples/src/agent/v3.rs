//! Version 3: who asks, whether it is really them, and what they may learn of why not.

use super::{AUTHORIZATION_ERROR, Outcome, Pdu, REPORT, perform};
use crate::ber::{self, Malformed, Reader};
use crate::device::State;
use crate::oid::Oid;
use crate::usm::Keys;
use crate::value::Value;

/// An agent's version 3 side: its name, its users, and how often each refusal happened.
#[derive(Debug, Clone)]
pub(crate) struct Usm {
    pub(crate) engine_id: Vec<u8>,
    pub(crate) users: Vec<Keys>,
    stats: [u32; 7],
    salt: u64,
}

impl Usm {
    pub(crate) fn new(engine_id: Vec<u8>, users: Vec<Keys>, seed: u64) -> Self {
        Self {
            engine_id,
            users,
            stats: [0; 7],
            salt: seed,
        }
    }
}

/// The parts of a version 3 message's header that an answer needs.
struct Header {
    message_id: i64,
    max_size: usize,
    flags: u8,
    engine_id: Vec<u8>,
    boots: i64,
    time: i64,
    user: Vec<u8>,
    digest: Vec<u8>,
    digest_at: usize,
    salt: Vec<u8>,
}

/// How an answer is protected.
#[derive(Clone, Copy)]
struct Level<'a> {
    keys: Option<&'a Keys>,
    encrypt: bool,
}

pub(super) fn answer(
    state: &mut State,
    at: f64,
    message: &[u8],
    body: Reader<'_>,
) -> Result<Outcome, Malformed> {
    if state.usm.users.is_empty() {
        return Ok(Outcome::Silence);
    }
    let (header, mut data) = Header::read(body)?;
    let plain = Level {
        keys: None,
        encrypt: false,
    };
    // RFC 3414 §3.2, in its order.
    if header.engine_id != state.usm.engine_id {
        return Ok(report(state, at, &header, UNKNOWN_ENGINE_IDS, plain));
    }
    let Some(keys) = state
        .usm
        .users
        .iter()
        .find(|keys| keys.name == header.user)
        .cloned()
    else {
        return Ok(report(state, at, &header, UNKNOWN_USER_NAMES, plain));
    };
    let (auth, encrypt) = (header.flags & AUTH != 0, header.flags & PRIV != 0);
    if (auth && !keys.can_authenticate()) || (encrypt && !(auth && keys.can_encrypt())) {
        return Ok(report(state, at, &header, UNSUPPORTED_LEVELS, plain));
    }
    if auth && !keys.verifies(message, header.digest_at, &header.digest) {
        return Ok(report(state, at, &header, WRONG_DIGESTS, plain));
    }
    let level = Level {
        keys: auth.then_some(&keys),
        encrypt: false,
    };
    let apart = (i64::from(state.engine_time(at)) - header.time).abs();
    if auth && (header.boots != i64::from(state.boots(at)) || apart > TIME_WINDOW) {
        return Ok(report(state, at, &header, NOT_IN_TIME_WINDOWS, level));
    }
    let decrypted;
    let mut scoped = if encrypt {
        let secret = data.expect(ber::OCTET_STRING)?;
        let (boots, time) = (clamp(header.boots), clamp(header.time));
        let Some(found) = keys.cipher(secret, boots, time, &header.salt, true) else {
            return Ok(report(state, at, &header, DECRYPTION_ERRORS, level));
        };
        decrypted = found;
        // A wrong privacy password gives noise, which is told like any other failure to decrypt.
        match Reader::new(&decrypted).inside(ber::SEQUENCE) {
            Ok(scoped) => scoped,
            Err(Malformed) => return Ok(report(state, at, &header, DECRYPTION_ERRORS, level)),
        }
    } else {
        data.inside(ber::SEQUENCE)?
    };
    let level = Level { encrypt, ..level };
    let context_engine_id = scoped.expect(ber::OCTET_STRING)?.to_vec();
    let context_name = scoped.expect(ber::OCTET_STRING)?.to_vec();
    let request = Pdu::read(&mut scoped)?;
    let entitled = auth == keys.can_authenticate() && encrypt == keys.can_encrypt();
    let room = state
        .max_message
        .min(header.max_size)
        .saturating_sub(HEADERS + context_name.len() + header.user.len());
    let response = if entitled {
        perform(state, at, &request, false, room)
    } else {
        Some(request.failed(AUTHORIZATION_ERROR, 0))
    };
    let Some(response) = response else {
        return Ok(Outcome::Silence);
    };
    Ok(Outcome::Answer(seal(
        state,
        at,
        &header,
        (&context_engine_id, &context_name),
        &response,
        level,
    )))
}

/// Tells a manager what it may know of a refusal, if it asked to be told.
fn report(state: &mut State, at: f64, header: &Header, which: usize, level: Level<'_>) -> Outcome {
    state.usm.stats[which] = state.usm.stats[which].wrapping_add(1);
    if header.flags & REPORTABLE == 0 {
        return Outcome::Silence;
    }
    let last = u32::try_from(which).expect("one of six");
    let varbinds = vec![(
        Oid::from([1, 3, 6, 1, 6, 3, 15, 1, 1, last, 0]),
        Value::Counter32(state.usm.stats[which]),
    )];
    let pdu = Pdu {
        tag: REPORT,
        request_id: 0,
        first: 0,
        second: 0,
        varbinds,
    };
    let engine_id = state.usm.engine_id.clone();
    Outcome::Answer(seal(state, at, header, (&engine_id, b""), &pdu, level))
}

fn seal(
    state: &mut State,
    at: f64,
    header: &Header,
    context: (&[u8], &[u8]),
    pdu: &Pdu,
    level: Level<'_>,
) -> Vec<u8> {
    let (boots, time) = (state.boots(at), state.engine_time(at));
    let mut scoped = Vec::new();
    ber::write(&mut scoped, ber::SEQUENCE, |out| {
        ber::write_bytes(out, ber::OCTET_STRING, context.0);
        ber::write_bytes(out, ber::OCTET_STRING, context.1);
        pdu.write(out);
    });
    let mut salt = Vec::new();
    let keys = level.keys;
    if let Some(keys) = keys.filter(|_| level.encrypt) {
        state.usm.salt = state.usm.salt.wrapping_add(1);
        salt = state.usm.salt.to_be_bytes().to_vec();
        let secret = keys
            .cipher(&scoped, boots, time, &salt, false)
            .expect("the request was decrypted with this key");
        scoped.clear();
        ber::write_bytes(&mut scoped, ber::OCTET_STRING, &secret);
    }
    let mut flags = 0;
    if keys.is_some() {
        flags |= AUTH;
    }
    if level.encrypt {
        flags |= PRIV;
    }
    let digest = vec![0; keys.map_or(0, Keys::digest_len)];
    let engine_id = &state.usm.engine_id;
    let max_message = i64::try_from(state.max_message).expect("a datagram's size");
    let mut message = Vec::new();
    ber::write(&mut message, ber::SEQUENCE, |out| {
        ber::write_integer(out, ber::INTEGER, super::VERSION_3);
        ber::write(out, ber::SEQUENCE, |out| {
            ber::write_integer(out, ber::INTEGER, header.message_id);
            ber::write_integer(out, ber::INTEGER, max_message);
            ber::write_bytes(out, ber::OCTET_STRING, &[flags]);
            ber::write_integer(out, ber::INTEGER, SECURITY_MODEL_USM);
        });
        ber::write(out, ber::OCTET_STRING, |out| {
            ber::write(out, ber::SEQUENCE, |out| {
                ber::write_bytes(out, ber::OCTET_STRING, engine_id);
                ber::write_integer(out, ber::INTEGER, i64::from(boots));
                ber::write_integer(out, ber::INTEGER, i64::from(time));
                ber::write_bytes(out, ber::OCTET_STRING, &header.user);
                ber::write_bytes(out, ber::OCTET_STRING, &digest);
                ber::write_bytes(out, ber::OCTET_STRING, &salt);
            });
        });
        out.extend_from_slice(&scoped);
    });
    if let Some(keys) = keys {
        let mut body = Reader::new(&message)
            .inside(ber::SEQUENCE)
            .expect("we wrote it");
        body.integer().expect("we wrote it");
        let (own, _) = Header::read(body).expect("we wrote it");
        let digest = keys.digest(&message);
        message[own.digest_at..own.digest_at + digest.len()].copy_from_slice(&digest);
    }
    message
}

impl Header {
    /// Reads what follows the version; gives the header and a reader that stands before the scoped PDU.
    fn read(mut body: Reader<'_>) -> Result<(Self, Reader<'_>), Malformed> {
        let mut global = body.inside(ber::SEQUENCE)?;
        let message_id = global.integer()?;
        let max_size = usize::try_from(global.integer()?).map_err(|_| Malformed)?;
        let flags = *global.expect(ber::OCTET_STRING)?.first().ok_or(Malformed)?;
        if global.integer()? != SECURITY_MODEL_USM || max_size < 484 {
            return Err(Malformed);
        }
        let mut security = body.inside(ber::OCTET_STRING)?.inside(ber::SEQUENCE)?;
        let engine_id = security.expect(ber::OCTET_STRING)?.to_vec();
        let (boots, time) = (security.integer()?, security.integer()?);
        let user = security.expect(ber::OCTET_STRING)?.to_vec();
        let digest = security.expect(ber::OCTET_STRING)?.to_vec();
        let digest_at = security.position() - digest.len();
        let salt = security.expect(ber::OCTET_STRING)?.to_vec();
        let header = Self {
            message_id,
            max_size,
            flags,
            engine_id,
            boots,
            time,
            user,
            digest,
            digest_at,
            salt,
        };
        Ok((header, body))
    }
}

fn clamp(n: i64) -> u32 {
    u32::try_from(n.clamp(0, i64::from(u32::MAX))).expect("clamped to 32 bits")
}

const AUTH: u8 = 1;
const PRIV: u8 = 2;
const REPORTABLE: u8 = 4;
const SECURITY_MODEL_USM: i64 = 3;
/// Seconds by which a message may be early or late (RFC 3414 §3.2 step 7).
const TIME_WINDOW: i64 = 150;
/// Octets around the varbinds of a version 3 message, at most, without the names.
const HEADERS: usize = 200;

// usmStats (RFC 3414 §5): the last part of the counter's name.
const UNSUPPORTED_LEVELS: usize = 1;
const NOT_IN_TIME_WINDOWS: usize = 2;
const UNKNOWN_USER_NAMES: usize = 3;
const UNKNOWN_ENGINE_IDS: usize = 4;
const WRONG_DIGESTS: usize = 5;
const DECRYPTION_ERRORS: usize = 6;
