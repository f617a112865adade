//! The Basic Encoding Rules, as far as SNMP uses them (RFC 3417 §8): definite lengths, low tags.
//!
//! Our own, not snmp2's: its iterators end in silence at a type they do not know, so that a walk looks complete; it
//! writes into its input through a cast pointer; and it has no limits. The reader here never recurses, so that nesting
//! costs nothing; it checks every length against what is there before it touches it, and says what was wrong.
//! The test `snmp2_agrees_with_our_decoder` holds the two side by side.

use std::net::Ipv4Addr;

use farwatch_shared::oid::Oid;

use super::value::Value;

pub(crate) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const IP_ADDRESS: u8 = 0x40;
    pub(crate) const COUNTER32: u8 = 0x41;
    pub(crate) const GAUGE32: u8 = 0x42;
    pub(crate) const TIME_TICKS: u8 = 0x43;
    pub(crate) const OPAQUE: u8 = 0x44;
    pub(crate) const COUNTER64: u8 = 0x46;
    /// `SNMPv2p`, and still about.
    pub(crate) const UINTEGER32: u8 = 0x47;
    pub(crate) const NO_SUCH_OBJECT: u8 = 0x80;
    pub(crate) const NO_SUCH_INSTANCE: u8 = 0x81;
    pub(crate) const END_OF_MIB_VIEW: u8 = 0x82;
}

/// Why octets are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BerError {
    #[error("ends within a value")]
    Truncated,
    #[error("a length is indefinite, or of more than four octets")]
    BadLength,
    #[error("found type {found:#04x} where {expected:#04x} belongs")]
    WrongType { expected: u8, found: u8 },
    #[error("a number is empty or too large")]
    BadNumber,
    #[error("an object identifier is not encoded by the rules")]
    BadOid,
    #[error("octets follow where nothing should")]
    Trailing,
    #[error("more values than one message may hold")]
    TooMany,
    #[error("a field is outside its range")]
    OutOfRange,
    #[error("it met a defect of our decoder")]
    Defect,
}

/// Reads tag, length, value; one after another.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn left(&self) -> usize {
        self.rest.len()
    }

    /// Whatever comes next: its tag and its content.
    pub(crate) fn any(&mut self) -> Result<(u8, &'a [u8]), BerError> {
        let (&tag, rest) = self.rest.split_first().ok_or(BerError::Truncated)?;
        let (&first, rest) = rest.split_first().ok_or(BerError::Truncated)?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (octets, rest) = rest
                    .split_at_checked(usize::from(first & 0x7f))
                    .ok_or(BerError::Truncated)?;
                (
                    octets
                        .iter()
                        .fold(0, |length, &octet| length << 8 | usize::from(octet)),
                    rest,
                )
            }
            _ => return Err(BerError::BadLength),
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(BerError::Truncated)?;
        self.rest = rest;
        Ok((tag, content))
    }

    /// The content of what comes next, which has to be a `tag`.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<&'a [u8], BerError> {
        let found = *self.rest.first().ok_or(BerError::Truncated)?;
        if found != tag {
            return Err(BerError::WrongType {
                expected: tag,
                found,
            });
        }
        self.any().map(|(_, content)| content)
    }

    pub(crate) fn sequence(&mut self) -> Result<Self, BerError> {
        self.expect(tag::SEQUENCE).map(Self::new)
    }

    pub(crate) fn octets(&mut self) -> Result<&'a [u8], BerError> {
        self.expect(tag::OCTET_STRING)
    }

    pub(crate) fn integer(&mut self) -> Result<i64, BerError> {
        integer(self.expect(tag::INTEGER)?)
    }

    /// An INTEGER (0..2147483647), as the fields of messages are.
    pub(crate) fn unsigned31(&mut self) -> Result<u32, BerError> {
        u32::try_from(self.integer()?)
            .ok()
            .filter(|&n| n < 1 << 31)
            .ok_or(BerError::OutOfRange)
    }

    pub(crate) fn integer32(&mut self) -> Result<i32, BerError> {
        i32::try_from(self.integer()?).map_err(|_| BerError::OutOfRange)
    }

    pub(crate) fn oid(&mut self) -> Result<Oid, BerError> {
        Oid::from_ber(self.expect(tag::OID)?).map_err(|_| BerError::BadOid)
    }

    pub(crate) fn value(&mut self) -> Result<Value, BerError> {
        let (tag, content) = self.any()?;
        Ok(match tag {
            tag::INTEGER => Value::Integer(integer(content)?),
            tag::OCTET_STRING => Value::OctetString(content.into()),
            tag::NULL => Value::Null,
            tag::OID => Value::Oid(Oid::from_ber(content).map_err(|_| BerError::BadOid)?),
            tag::IP_ADDRESS => match <[u8; 4]>::try_from(content) {
                Ok(octets) => Value::IpAddress(Ipv4Addr::from(octets)),
                Err(_) => Value::Unsupported {
                    tag,
                    octets: content.into(),
                }, // some put IPv6 addresses here
            },
            tag::COUNTER32 => Value::Counter32(unsigned32(content)?),
            tag::GAUGE32 | tag::UINTEGER32 => Value::Gauge32(unsigned32(content)?),
            tag::TIME_TICKS => Value::TimeTicks(unsigned32(content)?),
            tag::COUNTER64 => Value::Counter64(unsigned64(content)?),
            tag::OPAQUE => opaque(content),
            tag::NO_SUCH_OBJECT => Value::NoSuchObject,
            tag::NO_SUCH_INSTANCE => Value::NoSuchInstance,
            tag::END_OF_MIB_VIEW => Value::EndOfMibView,
            _ => Value::Unsupported {
                tag,
                octets: content.into(),
            },
        })
    }

    pub(crate) const fn end(&self) -> Result<(), BerError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(BerError::Trailing)
        }
    }
}

fn integer(content: &[u8]) -> Result<i64, BerError> {
    let sign = if *content.first().ok_or(BerError::BadNumber)? < 0x80 {
        0
    } else {
        0xff
    };
    let octets = match content {
        // a redundant sign octet more than eight can hold
        [first, rest @ ..] if content.len() == 9 && *first == sign => rest,
        _ if content.len() <= 8 => content,
        _ => return Err(BerError::BadNumber),
    };
    let mut wide = [sign; 8];
    wide[8 - octets.len()..].copy_from_slice(octets);
    Ok(i64::from_be_bytes(wide))
}

/// A number of 32 bits without sign.
///
/// Agents that forget the leading zero send large ones as if negative (`41 04 ff ff ff fe`); they are taken for what
/// they mean, as net-snmp does.
fn unsigned32(content: &[u8]) -> Result<u32, BerError> {
    let wide = integer(content)?;
    u32::try_from(wide)
        .or_else(|_| i32::try_from(wide).map(i32::cast_unsigned))
        .map_err(|_| BerError::BadNumber)
}

fn unsigned64(content: &[u8]) -> Result<u64, BerError> {
    let octets = match content {
        [] => return Err(BerError::BadNumber),
        [0, rest @ ..] if content.len() == 9 => rest,
        _ if content.len() <= 8 => content,
        _ => return Err(BerError::BadNumber),
    };
    // the sign of a short one, so that `46 01 ff` is as far from 255 as it is in net-snmp
    let mut wide = [if content[0] < 0x80 { 0 } else { 0xff }; 8];
    wide[8 - octets.len()..].copy_from_slice(octets);
    Ok(u64::from_be_bytes(wide))
}

/// net-snmp's floats travel within an Opaque as `9f 78 04 …` and `9f 79 08 …`.
fn opaque(content: &[u8]) -> Value {
    match *content {
        [0x9f, 0x78, 4, a, b, c, d] => Value::OpaqueFloat(f32::from_be_bytes([a, b, c, d])),
        [0x9f, 0x79, 8, a, b, c, d, e, f, g, h] => {
            Value::OpaqueDouble(f64::from_be_bytes([a, b, c, d, e, f, g, h]))
        }
        _ => Value::Opaque(content.into()),
    }
}

/// Writes from the back to the front, so that every length is known when its turn comes.
///
/// What is to stand first is therefore written last.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// The message, back to front.
    reversed: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            reversed: Vec::with_capacity(capacity),
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.reversed.reverse();
        self.reversed
    }

    /// Octets written so far: what [`Writer::finish`] will have after the next one written.
    pub(crate) fn len(&self) -> usize {
        self.reversed.len()
    }

    pub(crate) fn raw(&mut self, octets: &[u8]) {
        self.reversed.extend(octets.iter().rev());
    }

    /// Closes what was written since `start` under one tag.
    pub(crate) fn wrap(&mut self, tag: u8, start: usize) {
        let length = self.reversed.len() - start;
        self.head(tag, length);
    }

    fn head(&mut self, tag: u8, length: usize) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low octet is what is meant"
        )]
        match length {
            0..=0x7f => self.reversed.push(length as u8),
            0x80..=0xff => self.reversed.extend([length as u8, 0x81]),
            0x100..=0xffff => self
                .reversed
                .extend([length as u8, (length >> 8) as u8, 0x82]),
            _ => self.reversed.extend([
                length as u8,
                (length >> 8) as u8,
                (length >> 16) as u8,
                0x83,
            ]),
        }
        self.reversed.push(tag);
    }

    pub(crate) fn tlv(&mut self, tag: u8, content: &[u8]) {
        self.raw(content);
        self.head(tag, content.len());
    }

    pub(crate) fn octets(&mut self, content: &[u8]) {
        self.tlv(tag::OCTET_STRING, content);
    }

    pub(crate) fn oid(&mut self, oid: &Oid) {
        // RFC 3416 knows no empty name; 0.0 is what everybody sends for it
        self.tlv(tag::OID, if oid.is_empty() { &[0] } else { oid.as_ber() });
    }

    pub(crate) fn integer(&mut self, n: i64) {
        self.signed(tag::INTEGER, n);
    }

    /// The fewest octets that keep the sign.
    fn signed(&mut self, tag: u8, n: i64) {
        let octets = n.to_be_bytes();
        let spare = octets
            .windows(2)
            .take_while(|pair| {
                (pair[0] == 0 && pair[1] < 0x80) || (pair[0] == 0xff && pair[1] >= 0x80)
            })
            .count();
        self.tlv(tag, &octets[spare..]);
    }
}

/// As an agent writes: for the pretend agents of the tests.
#[cfg(any(test, feature = "fuzz"))]
impl Writer {
    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Integer(n) => self.integer(*n),
            Value::OctetString(octets) => self.octets(octets),
            Value::Null => self.tlv(tag::NULL, &[]),
            Value::Oid(oid) => self.oid(oid),
            Value::IpAddress(address) => self.tlv(tag::IP_ADDRESS, &address.octets()),
            Value::Counter32(n) => self.signed(tag::COUNTER32, (*n).into()),
            Value::Gauge32(n) => self.signed(tag::GAUGE32, (*n).into()),
            Value::TimeTicks(n) => self.signed(tag::TIME_TICKS, (*n).into()),
            Value::Counter64(n) => match i64::try_from(*n) {
                Ok(n) => self.signed(tag::COUNTER64, n),
                Err(_) => {
                    let start = self.len();
                    self.raw(&n.to_be_bytes());
                    self.raw(&[0]);
                    self.wrap(tag::COUNTER64, start);
                }
            },
            Value::OpaqueFloat(x) => self.float(&[0x9f, 0x78, 4], &x.to_be_bytes()),
            Value::OpaqueDouble(x) => self.float(&[0x9f, 0x79, 8], &x.to_be_bytes()),
            Value::Opaque(octets) => self.tlv(tag::OPAQUE, octets),
            Value::NoSuchObject => self.tlv(tag::NO_SUCH_OBJECT, &[]),
            Value::NoSuchInstance => self.tlv(tag::NO_SUCH_INSTANCE, &[]),
            Value::EndOfMibView => self.tlv(tag::END_OF_MIB_VIEW, &[]),
            Value::Unsupported { tag, octets } => self.tlv(*tag, octets),
        }
    }

    fn float(&mut self, head: &[u8], octets: &[u8]) {
        let start = self.len();
        self.raw(octets);
        self.raw(head);
        self.wrap(tag::OPAQUE, start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &Value) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.value(value);
        writer.finish()
    }

    fn read(octets: &[u8]) -> Result<Value, BerError> {
        Reader::new(octets).value()
    }

    #[test]
    fn every_value_comes_back_as_it_went() {
        let long: String = "x".repeat(70_000);
        for value in [
            Value::Integer(0),
            Value::Integer(127),
            Value::Integer(128),
            Value::Integer(-128),
            Value::Integer(-129),
            Value::Integer(i64::MIN),
            Value::Counter32(u32::MAX),
            Value::Gauge32(1 << 31),
            Value::TimeTicks(0),
            Value::Counter64(u64::MAX),
            Value::Counter64(1 << 63),
            Value::Counter64(255),
            Value::octets(""),
            Value::octets("a".repeat(127)),
            Value::octets("b".repeat(128)),
            Value::octets("c".repeat(256)),
            Value::octets(long),
            Value::Oid("1.3.6.1.4.1.9.1.2954".parse().unwrap()),
            Value::IpAddress(Ipv4Addr::new(10, 0, 0, 255)),
            Value::OpaqueFloat(-0.25),
            Value::OpaqueDouble(1e300),
            Value::Opaque(b"\x9f\x78\x05".as_slice().into()),
            Value::Null,
            Value::NoSuchObject,
            Value::NoSuchInstance,
            Value::EndOfMibView,
            Value::Unsupported {
                tag: 0x45,
                octets: b"nsap".as_slice().into(),
            },
        ] {
            assert_eq!(read(&written(&value)).unwrap(), value);
        }
    }

    #[test]
    fn numbers_take_the_fewest_octets() {
        assert_eq!(written(&Value::Integer(128)), [2, 2, 0, 0x80]);
        assert_eq!(written(&Value::Integer(-1)), [2, 1, 0xff]);
        assert_eq!(
            written(&Value::Counter32(u32::MAX)),
            [0x41, 5, 0, 0xff, 0xff, 0xff, 0xff]
        );
        assert_eq!(written(&Value::Counter64(u64::MAX))[..3], [0x46, 9, 0]);
    }

    #[test]
    fn careless_agents_are_understood() {
        assert_eq!(
            read(&[0x41, 4, 0xff, 0xff, 0xff, 0xfe]).unwrap(),
            Value::Counter32(u32::MAX - 1),
            "no leading zero"
        );
        assert_eq!(
            read(&[0x41, 6, 0, 0, 0, 0, 0, 7]).unwrap(),
            Value::Counter32(7),
            "padded"
        );
        assert_eq!(
            read(&[2, 0x84, 0, 0, 0, 1, 5]).unwrap(),
            Value::Integer(5),
            "a long length for a short value"
        );
        assert_eq!(read(&[0x47, 1, 5]).unwrap(), Value::Gauge32(5), "SNMPv2p");
        assert_eq!(
            read(&[6, 0]).unwrap(),
            Value::Oid(Oid::default()),
            "an empty OID"
        );
    }

    #[test]
    fn lies_are_refused_by_name() {
        assert_eq!(read(&[]), Err(BerError::Truncated));
        assert_eq!(read(&[4]), Err(BerError::Truncated));
        assert_eq!(read(&[4, 3, 1, 2]), Err(BerError::Truncated));
        assert_eq!(
            read(&[4, 0x84, 0xff, 0xff, 0xff, 0xff]),
            Err(BerError::Truncated)
        );
        assert_eq!(
            read(&[4, 0x80, 0, 0]),
            Err(BerError::BadLength),
            "indefinite"
        );
        assert_eq!(read(&[4, 0x85, 0, 0, 0, 0, 0]), Err(BerError::BadLength));
        assert_eq!(read(&[4, 0xff]), Err(BerError::BadLength));
        assert_eq!(read(&[2, 0]), Err(BerError::BadNumber));
        assert_eq!(
            read(&[2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
            Err(BerError::BadNumber)
        );
        assert_eq!(
            read(&[0x41, 5, 1, 0, 0, 0, 0]),
            Err(BerError::BadNumber),
            "2³² is no Counter32"
        );
        assert_eq!(read(&[6, 1, 0x81]), Err(BerError::BadOid));
        assert_eq!(
            Reader::new(&[5, 0]).octets(),
            Err(BerError::WrongType {
                expected: 4,
                found: 5
            })
        );
        let mut boots = Reader::new(&[2, 5, 0, 0x80, 0, 0, 0]);
        assert_eq!(boots.unsigned31(), Err(BerError::OutOfRange));
    }
}
