//! Everything an agent must never do, one sort each: what a probe has to live with.
//!
//! All of them would answer v1 and v2c with community `public`, so discovery finds whatever can be found.

use std::time::Duration;

use crate::agent::{self, GET_BULK, GET_NEXT, Outcome, Pdu};
use crate::ber::{self, Malformed, Reader};
use crate::device::State;
use crate::oid::Oid;
use crate::traffic::mix;
use crate::value::Value;

/// A sort of misbehaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hostile {
    /// Random octets.
    Garbage,
    /// The message says that it is longer than it is.
    LyingLength,
    /// A length of 4 GiB in the middle.
    HugeLength,
    /// The reply is cut in the middle.
    Truncated,
    /// Sequences in sequences, a thousand deep.
    Nested,
    /// GETNEXT answers what was asked.
    NotIncreasing,
    /// GETNEXT answers something smaller.
    Decreasing,
    /// A table that never ends, in good order.
    Endless,
    /// Another request's id.
    WrongRequestId,
    /// The reply comes from another port.
    OtherPort,
    /// The reply comes from another address.
    OtherAddress,
    /// Every text is 60,000 octets long.
    EnormousStrings,
    /// Names with control characters, markup, broken UTF-8.
    NastyStrings,
    /// Hundreds of varbinds that nobody asked for.
    TooManyVarbinds,
    /// Numbers where texts belong and texts where numbers belong.
    WrongTypes,
    /// A type that no standard knows.
    UnknownType,
    /// The request itself comes back.
    Echo,
    /// Each reply two hundred times.
    Flood,
    /// The right reply, twenty seconds late.
    Late,
    /// A version 3 report of an engine at the end of its time, whatever was asked.
    ForgedReport,
    /// Nothing.
    Silent,
}

/// One datagram to send.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) after: Duration,
    pub(crate) from: From,
    pub(crate) bytes: Vec<u8>,
}

/// Where a datagram leaves from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Own,
    OtherPort,
    OtherAddress,
}

impl Reply {
    pub(crate) fn own(bytes: Vec<u8>) -> Self {
        Self {
            after: Duration::ZERO,
            from: From::Own,
            bytes,
        }
    }
}

impl Hostile {
    pub const ALL: [Self; 21] = [
        Self::Garbage,
        Self::LyingLength,
        Self::HugeLength,
        Self::Truncated,
        Self::Nested,
        Self::NotIncreasing,
        Self::Decreasing,
        Self::Endless,
        Self::WrongRequestId,
        Self::OtherPort,
        Self::OtherAddress,
        Self::EnormousStrings,
        Self::NastyStrings,
        Self::TooManyVarbinds,
        Self::WrongTypes,
        Self::UnknownType,
        Self::Echo,
        Self::Flood,
        Self::Late,
        Self::ForgedReport,
        Self::Silent,
    ];

    /// A word for its name and the truth file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Garbage => "garbage",
            Self::LyingLength => "lying-length",
            Self::HugeLength => "huge-length",
            Self::Truncated => "truncated",
            Self::Nested => "nested",
            Self::NotIncreasing => "not-increasing",
            Self::Decreasing => "decreasing",
            Self::Endless => "endless",
            Self::WrongRequestId => "wrong-request-id",
            Self::OtherPort => "other-port",
            Self::OtherAddress => "other-address",
            Self::EnormousStrings => "enormous-strings",
            Self::NastyStrings => "nasty-strings",
            Self::TooManyVarbinds => "too-many-varbinds",
            Self::WrongTypes => "wrong-types",
            Self::UnknownType => "unknown-type",
            Self::Echo => "echo",
            Self::Flood => "flood",
            Self::Late => "late",
            Self::ForgedReport => "forged-report",
            Self::Silent => "silent",
        }
    }
}

/// What such an agent sends for a message.
pub(crate) fn replies(hostile: Hostile, state: &mut State, at: f64, message: &[u8]) -> Vec<Reply> {
    match hostile {
        Hostile::Silent => return Vec::new(),
        Hostile::Garbage => return vec![Reply::own(noise(at))],
        Hostile::Nested => return vec![Reply::own(nested())],
        Hostile::Echo => return vec![Reply::own(message.to_vec())],
        Hostile::ForgedReport => return vec![Reply::own(forged_report())],
        _ => {}
    }
    let Outcome::Answer(honest) = agent::answer(state, at, message) else {
        return Vec::new();
    };
    let bytes = match hostile {
        Hostile::LyingLength => lying(honest),
        Hostile::HugeLength => huge(honest),
        Hostile::Truncated => honest[..honest.len() / 2].to_vec(),
        Hostile::OtherPort => {
            return vec![Reply {
                from: From::OtherPort,
                ..Reply::own(honest)
            }];
        }
        Hostile::OtherAddress => {
            return vec![Reply {
                from: From::OtherAddress,
                ..Reply::own(honest)
            }];
        }
        Hostile::Flood => return vec![Reply::own(honest); 200],
        Hostile::Late => {
            return vec![Reply {
                after: Duration::from_secs(20),
                ..Reply::own(honest)
            }];
        }
        _ => twisted(hostile, message, &honest).unwrap_or(honest),
    };
    vec![Reply::own(bytes)]
}

/// A well-formed message with the wrong content.
fn twisted(hostile: Hostile, message: &[u8], honest: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (_, _, asked) = split(message)?;
    let (version, community, mut pdu) = split(honest)?;
    let walks = matches!(asked.tag, GET_NEXT | GET_BULK);
    match hostile {
        Hostile::WrongRequestId => pdu.request_id = pdu.request_id.wrapping_add(1) & 0x7fff_ffff,
        Hostile::NotIncreasing if walks => {
            for ((oid, value), (asked, _)) in
                pdu.varbinds.iter_mut().zip(asked.varbinds.iter().cycle())
            {
                (*oid, *value) = (asked.clone(), Value::Integer(1));
            }
        }
        Hostile::Decreasing if walks => {
            for (place, (oid, value)) in pdu.varbinds.iter_mut().enumerate() {
                let down =
                    1_000_000 - u32::try_from(place).expect("a message holds fewer varbinds");
                (*oid, *value) = (Oid::from([1, 3, 6, 1, 2, 1, 1, 9, down]), Value::Integer(1));
            }
        }
        Hostile::Endless if walks => endless(&mut pdu, &asked),
        Hostile::EnormousStrings => texts(&mut pdu, &vec![b'A'; 60_000], 1),
        Hostile::NastyStrings => texts(&mut pdu, NASTY, usize::MAX),
        Hostile::TooManyVarbinds => {
            let more = (0..500).map(|n| {
                (
                    Oid::from([1, 3, 6, 1, 4, 1, 99_999, n]),
                    Value::Counter64(u64::MAX),
                )
            });
            pdu.varbinds.extend(more);
        }
        Hostile::WrongTypes => {
            for (_, value) in &mut pdu.varbinds {
                *value = match value {
                    Value::OctetString(_) | Value::Oid(_) => Value::Integer(-7),
                    _ => Value::text("not a number"),
                };
            }
        }
        Hostile::UnknownType => {
            return Ok(unknown_type(write(version, &community, &pdu), &pdu));
        }
        _ => {}
    }
    Ok(write(version, &community, &pdu))
}

/// Every column has one more row, for ever.
fn endless(pdu: &mut Pdu, asked: &Pdu) {
    let columns = asked.varbinds.len().max(1);
    for place in 0..pdu.varbinds.len() {
        let before = if place < columns {
            &asked.varbinds[place].0
        } else {
            &pdu.varbinds[place - columns].0
        };
        let mut oid = before.clone();
        match oid.0.last_mut() {
            // Past the column's number: count on.
            Some(last) if before.0.len() > 10 => *last = last.saturating_add(1),
            _ => oid = oid.with(&[1]),
        }
        pdu.varbinds[place] = (oid, Value::Counter32(1));
    }
}

/// Replaces the first few texts.
fn texts(pdu: &mut Pdu, text: &[u8], most: usize) {
    let texts = pdu
        .varbinds
        .iter_mut()
        .filter(|(_, value)| matches!(value, Value::OctetString(_)));
    for (_, value) in texts.take(most) {
        *value = Value::text(text);
    }
}

fn split(message: &[u8]) -> Result<(i64, Vec<u8>, Pdu), Malformed> {
    let mut body = Reader::new(message).inside(ber::SEQUENCE)?;
    Ok((
        body.integer()?,
        body.expect(ber::OCTET_STRING)?.to_vec(),
        Pdu::read(&mut body)?,
    ))
}

fn write(version: i64, community: &[u8], pdu: &Pdu) -> Vec<u8> {
    let mut out = Vec::new();
    ber::write(&mut out, ber::SEQUENCE, |out| {
        ber::write_integer(out, ber::INTEGER, version);
        ber::write_bytes(out, ber::OCTET_STRING, community);
        pdu.write(out);
    });
    out
}

fn noise(at: f64) -> Vec<u8> {
    let seed = at.to_bits();
    let length = usize::try_from(mix(seed) % 1400).expect("below 1400");
    (0..length)
        .map(|n| mix(seed ^ n as u64).to_be_bytes()[0])
        .collect()
}

fn lying(mut honest: Vec<u8>) -> Vec<u8> {
    match honest[1] {
        short @ ..=0x7e => honest[1] = short + 1,
        // The first octet of a long length.
        _ => honest[2] = honest[2].saturating_add(1),
    }
    honest
}

fn huge(mut honest: Vec<u8>) -> Vec<u8> {
    let middle = honest.len() / 2;
    honest.splice(middle..middle, [0x30, 0x84, 0xff, 0xff, 0xff, 0xff]);
    honest
}

fn nested() -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..1000 {
        let mut outer = Vec::new();
        ber::write_bytes(&mut outer, ber::SEQUENCE, &out);
        out = outer;
    }
    out
}

/// Gives the last value a tag that means nothing: the message ends with it.
fn unknown_type(mut message: Vec<u8>, pdu: &Pdu) -> Vec<u8> {
    if let Some((_, last)) = pdu.varbinds.last() {
        let mut value = Vec::new();
        last.write(&mut value);
        let tag = message.len() - value.len();
        message[tag] = 0x47;
    }
    message
}

fn forged_report() -> Vec<u8> {
    let mut out = Vec::new();
    ber::write(&mut out, ber::SEQUENCE, |out| {
        ber::write_integer(out, ber::INTEGER, 3);
        ber::write(out, ber::SEQUENCE, |out| {
            ber::write_integer(out, ber::INTEGER, 1);
            ber::write_integer(out, ber::INTEGER, 65_535);
            ber::write_bytes(out, ber::OCTET_STRING, &[0]);
            ber::write_integer(out, ber::INTEGER, 3);
        });
        ber::write(out, ber::OCTET_STRING, |out| {
            ber::write(out, ber::SEQUENCE, |out| {
                ber::write_bytes(out, ber::OCTET_STRING, b"\x80\0\0\x09\x03forged");
                ber::write_integer(out, ber::INTEGER, 0x7fff_ffff);
                ber::write_integer(out, ber::INTEGER, i64::MAX);
                ber::write_bytes(out, ber::OCTET_STRING, b"");
                ber::write_bytes(out, ber::OCTET_STRING, b"");
                ber::write_bytes(out, ber::OCTET_STRING, b"");
            });
        });
        ber::write(out, ber::SEQUENCE, |out| {
            ber::write_bytes(out, ber::OCTET_STRING, b"");
            ber::write_bytes(out, ber::OCTET_STRING, b"");
            let stat = (
                Oid::from([1, 3, 6, 1, 6, 3, 15, 1, 1, 4, 0]),
                Value::Counter32(1),
            );
            Pdu {
                tag: agent::REPORT,
                request_id: 0,
                first: 0,
                second: 0,
                varbinds: vec![stat],
            }
            .write(out);
        });
    });
    out
}

const NASTY: &[u8] = b"<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\0\x07\x1b[2J\x1b]0;owned\x07\r\n\xff\xfe\xc3\x28\
    \xe2\x80\xae\xe2\x81\xa6{{7*7}}${7*7}'; DROP TABLE devices;--%n%s";
