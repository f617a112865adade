//! The protocol data unit of SNMP (RFC 1157 §4.1, RFC 3416 §3), the same in all three versions.

use farwatch_shared::oid::Oid;

use super::{
    ber::{BerError, Reader, Writer, tag},
    value::VarBind,
};

/// What a PDU asks or answers. The numbers are its BER tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PduKind {
    Get = 0xa0,
    GetNext = 0xa1,
    Response = 0xa2,
    GetBulk = 0xa5,
    /// An SNMPv3 engine that cannot answer says why (RFC 3412 §7.1).
    Report = 0xa8,
}

/// What we ask: names without values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) kind: PduKind,
    /// In a GETBULK, how many of the first names are read once.
    pub(crate) non_repeaters: u16,
    /// In a GETBULK, how many rows of the others.
    pub(crate) max_repetitions: u16,
    pub(crate) names: Vec<Oid>,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) kind: PduKind,
    pub(crate) request_id: i32,
    pub(crate) error_status: ErrorStatus,
    /// From 1; 0 means none in particular.
    pub(crate) error_index: usize,
    pub(crate) varbinds: Vec<VarBind>,
}

/// Why an agent refused (RFC 3416 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorStatus {
    NoError,
    TooBig,
    /// SNMPv1: no such object, or not for this community.
    NoSuchName,
    GenErr,
    NoAccess,
    ResourceUnavailable,
    /// The view of this user or community does not reach that far.
    AuthorizationError,
    Other(i32),
}

impl ErrorStatus {
    const fn from_number(number: i32) -> Self {
        match number {
            0 => Self::NoError,
            1 => Self::TooBig,
            2 => Self::NoSuchName,
            5 => Self::GenErr,
            6 => Self::NoAccess,
            13 => Self::ResourceUnavailable,
            16 => Self::AuthorizationError,
            other => Self::Other(other),
        }
    }
}

impl std::fmt::Display for ErrorStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoError => "noError",
            Self::TooBig => "tooBig",
            Self::NoSuchName => "noSuchName",
            Self::GenErr => "genErr",
            Self::NoAccess => "noAccess",
            Self::ResourceUnavailable => "resourceUnavailable",
            Self::AuthorizationError => "authorizationError",
            Self::Other(number) => return write!(f, "error-status {number}"),
        })
    }
}

impl Request {
    pub(crate) fn get(names: &[Oid]) -> Self {
        Self {
            kind: PduKind::Get,
            non_repeaters: 0,
            max_repetitions: 0,
            names: names.to_vec(),
        }
    }

    pub(crate) fn get_next(names: &[Oid]) -> Self {
        Self {
            kind: PduKind::GetNext,
            ..Self::get(names)
        }
    }

    pub(crate) fn get_bulk(non_repeaters: u16, max_repetitions: u16, names: Vec<Oid>) -> Self {
        Self {
            kind: PduKind::GetBulk,
            non_repeaters,
            max_repetitions,
            names,
        }
    }

    /// The whole PDU, back to front, before whatever `writer` already holds.
    pub(crate) fn write(&self, writer: &mut Writer, request_id: i32) {
        let pdu = writer.len();
        for name in self.names.iter().rev() {
            let varbind = writer.len();
            writer.raw(&[tag::NULL, 0]);
            writer.oid(name);
            writer.wrap(tag::SEQUENCE, varbind);
        }
        writer.wrap(tag::SEQUENCE, pdu);
        writer.integer(self.max_repetitions.into());
        writer.integer(self.non_repeaters.into());
        writer.integer(request_id.into());
        writer.wrap(self.kind as u8, pdu);
    }
}

impl Answer {
    /// A varbind takes at least seven octets, so 64 KiB would hold 9,000; no agent sends a tenth of that.
    pub(crate) const MAX_VARBINDS: usize = 4096;

    /// Reads a Response or Report; anything else is of the wrong type.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, BerError> {
        let (found, content) = reader.any()?;
        let kind = match found {
            0xa2 => PduKind::Response,
            0xa8 => PduKind::Report,
            _ => {
                return Err(BerError::WrongType {
                    expected: PduKind::Response as u8,
                    found,
                });
            }
        };
        let mut fields = Reader::new(content);
        let request_id = fields.integer32()?;
        let error_status = ErrorStatus::from_number(fields.integer32()?);
        // some agents count from -1 or put rubbish here when there is no error
        let error_index = fields.integer()?.try_into().unwrap_or(0);
        let mut list = fields.sequence()?;
        fields.end()?;
        // an ordinary varbind takes some twenty octets
        let mut varbinds = spare::take((list.left() / 16).min(256));
        while !list.is_empty() {
            if varbinds.len() == Self::MAX_VARBINDS {
                return Err(BerError::TooMany);
            }
            let mut pair = list.sequence()?;
            let oid = pair.oid()?;
            let value = pair.value()?;
            pair.end()?;
            varbinds.push(VarBind { oid, value });
        }
        Ok(Self {
            kind,
            request_id,
            error_status,
            error_index,
            varbinds,
        })
    }

    /// As an agent would write it: for tests, and for the pretend agents in them.
    #[cfg(any(test, feature = "fuzz"))]
    #[allow(clippy::unwrap_used, reason = "the other side, for tests and fuzzing")]
    pub(crate) fn write(&self, writer: &mut Writer) {
        let pdu = writer.len();
        for VarBind { oid, value } in self.varbinds.iter().rev() {
            let varbind = writer.len();
            writer.value(value);
            writer.oid(oid);
            writer.wrap(tag::SEQUENCE, varbind);
        }
        writer.wrap(tag::SEQUENCE, pdu);
        writer.integer(self.error_index.try_into().unwrap());
        let status = match self.error_status {
            ErrorStatus::NoError => 0,
            ErrorStatus::TooBig => 1,
            ErrorStatus::NoSuchName => 2,
            ErrorStatus::GenErr => 5,
            ErrorStatus::NoAccess => 6,
            ErrorStatus::ResourceUnavailable => 13,
            ErrorStatus::AuthorizationError => 16,
            ErrorStatus::Other(number) => number.into(),
        };
        writer.integer(status);
        writer.integer(self.request_id.into());
        writer.wrap(self.kind as u8, pdu);
    }
}

/// The list of the last answer that was used up: the next one is read into it, and so into the processor's cache. With a
/// new one for each answer, of hundreds under way, every value is fetched from memory twice.
pub(crate) mod spare {
    use std::cell::Cell;

    use crate::snmp::value::VarBind;

    thread_local! {
        static SPARE: Cell<Vec<VarBind>> = const { Cell::new(Vec::new()) };
    }

    /// What an ordinary answer holds: a larger list is not kept.
    const KEPT: usize = 512;

    pub(crate) fn take(capacity: usize) -> Vec<VarBind> {
        let mut list = SPARE.take();
        list.reserve(capacity);
        list
    }

    /// Of an answer whose values went elsewhere.
    pub(crate) fn put_back(mut list: Vec<VarBind>) {
        list.clear();
        if list.capacity() <= KEPT {
            SPARE.set(list);
        }
    }
}

/// The encoded size of one name in a request, or of a name and a value of `value_octets` in an answer.
pub(crate) fn varbind_octets(name: &Oid, value_octets: usize) -> usize {
    let pair = 2 + name.as_ber().len() + value_octets;
    pair + match pair {
        0..0x80 => 2,
        0x80..0x100 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snmp::value::Value;

    fn oid(text: &str) -> Oid {
        text.parse().unwrap()
    }

    #[test]
    fn a_request_is_encoded_as_the_rfc_draws_it() {
        let mut writer = Writer::default();
        Request::get_bulk(
            1,
            10,
            vec![oid("1.3.6.1.2.1.1.3"), oid("1.3.6.1.2.1.2.2.1.10")],
        )
        .write(&mut writer, 0x1234);
        assert_eq!(
            writer.finish(),
            [
                &[0xa5, 0x28, 2, 2, 0x12, 0x34, 2, 1, 1, 2, 1, 10, 0x30, 0x1c][..],
                &[0x30, 0x0b, 6, 7, 0x2b, 6, 1, 2, 1, 1, 3, 5, 0],
                &[0x30, 0x0d, 6, 9, 0x2b, 6, 1, 2, 1, 2, 2, 1, 10, 5, 0][..],
            ]
            .concat()
        );
    }

    #[test]
    fn one_value_of_an_unknown_type_costs_no_other_value() {
        let answer = Answer {
            kind: PduKind::Response,
            request_id: 7,
            error_status: ErrorStatus::NoError,
            error_index: 0,
            varbinds: vec![
                VarBind::new(oid("1.3.1"), Value::Integer(1)),
                VarBind::new(
                    oid("1.3.2"),
                    Value::Unsupported {
                        tag: 0x4f,
                        octets: b"?".as_slice().into(),
                    },
                ),
                VarBind::new(oid("1.3.3"), Value::Integer(3)),
            ],
        };
        let mut writer = Writer::default();
        answer.write(&mut writer);
        let octets = writer.finish();
        assert_eq!(Answer::read(&mut Reader::new(&octets)).unwrap(), answer);
    }

    #[test]
    fn the_size_reckoned_is_the_one_written() {
        let name = oid("1.3.6.1.2.1.2.2.1.10.1");
        for octets in [0, 4, 200] {
            let mut writer = Writer::default();
            writer.octets(&vec![7; octets]);
            let value = writer.len();
            writer.oid(&name);
            writer.wrap(tag::SEQUENCE, 0);
            assert_eq!(writer.len(), varbind_octets(&name, value));
        }
    }
}
