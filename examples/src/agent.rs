//! Answers SNMP requests, versions 1, 2c and 3, as a correct agent does.
//!
//! Source: RFC 1157, RFC 3416 (operations), RFC 3584 (v1 beside v2), RFC 3412 and RFC 3414 (version 3).

mod v3;

use crate::ber::{self, Malformed, Reader};
use crate::device::State;
use crate::oid::Oid;
use crate::value::Value;

pub(crate) use v3::Usm;

/// A message of version 1 or 2c, or the inside of one of version 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pdu {
    pub tag: u8,
    pub request_id: i64,
    /// `error-status`, or `non-repeaters` of a GETBULK.
    pub first: i64,
    /// `error-index`, or `max-repetitions` of a GETBULK.
    pub second: i64,
    pub varbinds: Vec<(Oid, Value)>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answer(Vec<u8>),
    /// Nothing is sent: not a message, or not from somebody we answer.
    Silence,
}

/// Answers one message at one moment (seconds since the site opened).
pub(crate) fn answer(state: &mut State, at: f64, message: &[u8]) -> Outcome {
    try_answer(state, at, message).unwrap_or(Outcome::Silence)
}

fn try_answer(state: &mut State, at: f64, message: &[u8]) -> Result<Outcome, Malformed> {
    let mut body = Reader::new(message).inside(ber::SEQUENCE)?;
    let version = body.integer()?;
    if version == VERSION_3 {
        return v3::answer(state, at, message, body);
    }
    let community = body.expect(ber::OCTET_STRING)?.to_vec();
    let access = &state.access;
    let spoken = (version == VERSION_1 && access.v1) || (version == VERSION_2C && access.v2c);
    if !spoken || community != access.community {
        return Ok(Outcome::Silence);
    }
    let pdu = Pdu::read(&mut body)?;
    if version == VERSION_1 && pdu.tag == GET_BULK {
        return Ok(Outcome::Silence);
    }
    let room = state.max_message.saturating_sub(community.len() + HEADERS);
    let Some(response) = perform(state, at, &pdu, version == VERSION_1, room) else {
        return Ok(Outcome::Silence);
    };
    let mut out = Vec::new();
    ber::write(&mut out, ber::SEQUENCE, |out| {
        ber::write_integer(out, ber::INTEGER, version);
        ber::write_bytes(out, ber::OCTET_STRING, &community);
        response.write(out);
    });
    Ok(Outcome::Answer(out))
}

/// What a request gives. `room` is how many octets the list of varbinds may fill; `None` when it asks for nothing.
pub(crate) fn perform(state: &State, at: f64, request: &Pdu, v1: bool, room: usize) -> Option<Pdu> {
    let mut varbinds = Vec::with_capacity(request.varbinds.len());
    match request.tag {
        GET => {
            for (place, (oid, _)) in request.varbinds.iter().enumerate() {
                let value = state.get(oid, at);
                if v1 && hidden_from_v1(&value) {
                    return Some(request.failed(NO_SUCH_NAME, place));
                }
                varbinds.push((oid.clone(), value));
            }
        }
        GET_NEXT => {
            for (place, (oid, _)) in request.varbinds.iter().enumerate() {
                let found = next(state, oid, at, v1);
                if v1 && found.1 == Value::EndOfMibView {
                    return Some(request.failed(NO_SUCH_NAME, place));
                }
                varbinds.push(found);
            }
        }
        GET_BULK => return Some(request.response(bulk(state, at, request, room))),
        // RFC 3584 §4.3: a version 1 manager is told noSuchName, not notWritable.
        SET => return Some(request.failed(if v1 { NO_SUCH_NAME } else { NOT_WRITABLE }, 0)),
        _ => return None,
    }
    if size(&varbinds) > room {
        return Some(request.too_big(v1));
    }
    Some(request.response(varbinds))
}

/// As many varbinds as fit, but never one too many.
fn bulk(state: &State, at: f64, request: &Pdu, room: usize) -> Vec<(Oid, Value)> {
    let non_repeaters = usize::try_from(request.first.max(0))
        .expect("not negative")
        .min(request.varbinds.len());
    let repetitions = usize::try_from(request.second.max(0))
        .expect("not negative")
        .min(MAX_REPETITIONS);
    let mut left = room;
    let mut out = Vec::new();
    let mut take = |out: &mut Vec<(Oid, Value)>, found: (Oid, Value)| {
        let size = size(std::slice::from_ref(&found));
        let fits = size <= left;
        if fits {
            left -= size;
            out.push(found);
        }
        fits
    };
    let (singles, columns) = request.varbinds.split_at(non_repeaters);
    for (oid, _) in singles {
        if !take(&mut out, next(state, oid, at, false)) {
            return out;
        }
    }
    let mut row: Vec<Oid> = columns.iter().map(|(oid, _)| oid.clone()).collect();
    for _ in 0..repetitions {
        let mut ended = true;
        for oid in &mut row {
            let found = next(state, oid, at, false);
            ended &= found.1 == Value::EndOfMibView;
            oid.clone_from(&found.0);
            if !take(&mut out, found) {
                return out;
            }
        }
        if ended {
            break;
        }
    }
    out
}

fn next(state: &State, oid: &Oid, at: f64, v1: bool) -> (Oid, Value) {
    let mut oid = oid.clone();
    while let Some((found, value)) = state.next(&oid, at) {
        if !(v1 && hidden_from_v1(&value)) {
            return (found, value);
        }
        oid = found;
    }
    (oid, Value::EndOfMibView)
}

/// RFC 3584 §4.2: version 1 knows neither 64-bit counters nor exceptions.
fn hidden_from_v1(value: &Value) -> bool {
    matches!(
        value,
        Value::Counter64(_) | Value::NoSuchObject | Value::NoSuchInstance | Value::EndOfMibView
    )
}

fn size(varbinds: &[(Oid, Value)]) -> usize {
    let mut out = Vec::new();
    write_varbinds(&mut out, varbinds);
    out.len()
}

fn write_varbinds(out: &mut Vec<u8>, varbinds: &[(Oid, Value)]) {
    for (oid, value) in varbinds {
        ber::write(out, ber::SEQUENCE, |out| {
            ber::write_oid(out, oid);
            value.write(out);
        });
    }
}

impl Pdu {
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (tag, mut inside) = reader.inside_any()?;
        let (request_id, first, second) = (inside.integer()?, inside.integer()?, inside.integer()?);
        let mut list = inside.inside(ber::SEQUENCE)?;
        let mut varbinds = Vec::new();
        while !list.is_empty() {
            let mut pair = list.inside(ber::SEQUENCE)?;
            varbinds.push((pair.oid()?, Value::read(&mut pair)?));
        }
        Ok(Self {
            tag,
            request_id,
            first,
            second,
            varbinds,
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        ber::write(out, self.tag, |out| {
            ber::write_integer(out, ber::INTEGER, self.request_id);
            ber::write_integer(out, ber::INTEGER, self.first);
            ber::write_integer(out, ber::INTEGER, self.second);
            ber::write(out, ber::SEQUENCE, |out| {
                write_varbinds(out, &self.varbinds)
            });
        });
    }

    fn response(&self, varbinds: Vec<(Oid, Value)>) -> Self {
        Self {
            tag: RESPONSE,
            request_id: self.request_id,
            first: 0,
            second: 0,
            varbinds,
        }
    }

    pub(crate) fn failed(&self, status: i64, place: usize) -> Self {
        let second = i64::try_from(place + 1).expect("a message holds fewer varbinds");
        Self {
            first: status,
            second,
            ..self.response(self.varbinds.clone())
        }
    }

    fn too_big(&self, v1: bool) -> Self {
        let varbinds = if v1 {
            self.varbinds.clone()
        } else {
            Vec::new()
        };
        Self {
            first: TOO_BIG,
            ..self.response(varbinds)
        }
    }
}

pub const GET: u8 = 0xa0;
pub const GET_NEXT: u8 = 0xa1;
pub const RESPONSE: u8 = 0xa2;
pub const SET: u8 = 0xa3;
pub const GET_BULK: u8 = 0xa5;
pub const REPORT: u8 = 0xa8;

const VERSION_1: i64 = 0;
const VERSION_2C: i64 = 1;
const VERSION_3: i64 = 3;

const TOO_BIG: i64 = 1;
const NO_SUCH_NAME: i64 = 2;
const AUTHORIZATION_ERROR: i64 = 16;
const NOT_WRITABLE: i64 = 17;

/// Octets around the varbinds of a community message, at most, without the community.
const HEADERS: usize = 48;
/// No request makes an agent hold more than this many rows.
const MAX_REPETITIONS: usize = 5_000;
