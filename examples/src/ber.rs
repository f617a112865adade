//! The part of the Basic Encoding Rules that SNMP uses, both ways.
//!
//! Definite lengths only, as RFC 3417 §8 demands. The reader never looks past the end it was given.

use crate::oid::Oid;

pub const INTEGER: u8 = 0x02;
pub const OCTET_STRING: u8 = 0x04;
pub const NULL: u8 = 0x05;
pub const OID: u8 = 0x06;
pub const SEQUENCE: u8 = 0x30;
pub const IP_ADDRESS: u8 = 0x40;
pub const COUNTER32: u8 = 0x41;
pub const GAUGE32: u8 = 0x42;
pub const TIME_TICKS: u8 = 0x43;
pub const COUNTER64: u8 = 0x46;
pub const NO_SUCH_OBJECT: u8 = 0x80;
pub const NO_SUCH_INSTANCE: u8 = 0x81;
pub const END_OF_MIB_VIEW: u8 = 0x82;

/// The bytes are not what they should be. An agent drops such a message; it needs no more reason than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Reads a run of elements and knows where in the whole message it is.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    whole: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    #[must_use]
    pub fn new(whole: &'a [u8]) -> Self {
        Self {
            whole,
            at: 0,
            end: whole.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    /// The next element's tag and content.
    pub fn any(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let (tag, from, to) = self.bounds()?;
        Ok((tag, self.whole.get(from..to).ok_or(Malformed)?))
    }

    /// The content of the next element, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.any()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(Malformed),
        }
    }

    /// A reader over the next element's content, which must have this tag.
    pub fn inside(&mut self, tag: u8) -> Result<Self, Malformed> {
        match self.bounds()? {
            (found, at, end) if found == tag => Ok(Self {
                whole: self.whole,
                at,
                end,
            }),
            _ => Err(Malformed),
        }
    }

    /// Like [`Self::inside`], for an element of any tag.
    pub fn inside_any(&mut self) -> Result<(u8, Self), Malformed> {
        let (tag, at, end) = self.bounds()?;
        Ok((
            tag,
            Self {
                whole: self.whole,
                at,
                end,
            },
        ))
    }

    pub fn integer(&mut self) -> Result<i64, Malformed> {
        integer(self.expect(INTEGER)?)
    }

    pub fn oid(&mut self) -> Result<Oid, Malformed> {
        oid(self.expect(OID)?)
    }

    /// Where the next unread byte is in the whole message.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    fn bounds(&mut self) -> Result<(u8, usize, usize), Malformed> {
        let tag = self.byte()?;
        let first = self.byte()?;
        let length = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x84 => {
                let mut length = 0_usize;
                for _ in 0..first & 0x7f {
                    length = (length << 8) | usize::from(self.byte()?);
                }
                length
            }
            _ => return Err(Malformed),
        };
        let from = self.at;
        let to = from
            .checked_add(length)
            .filter(|to| *to <= self.end)
            .ok_or(Malformed)?;
        self.at = to;
        Ok((tag, from, to))
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        if self.at >= self.end {
            return Err(Malformed);
        }
        let byte = *self.whole.get(self.at).ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }
}

pub(crate) fn integer(content: &[u8]) -> Result<i64, Malformed> {
    if content.is_empty() || content.len() > 8 {
        return Err(Malformed);
    }
    let start = if content[0] & 0x80 == 0 { 0 } else { -1 };
    Ok(content
        .iter()
        .fold(start, |sum: i64, byte| (sum << 8) | i64::from(*byte)))
}

pub(crate) fn unsigned(content: &[u8]) -> Result<u64, Malformed> {
    if content.is_empty() || content.len() > 9 {
        return Err(Malformed);
    }
    Ok(content
        .iter()
        .fold(0, |sum: u64, byte| (sum << 8) | u64::from(*byte)))
}

pub(crate) fn oid(content: &[u8]) -> Result<Oid, Malformed> {
    let mut parts = Vec::with_capacity(content.len() + 1);
    let mut part = 0_u64;
    let mut under_way = false;
    for byte in content {
        part = (part << 7) | u64::from(byte & 0x7f);
        if part > u64::from(u32::MAX) + 80 {
            return Err(Malformed);
        }
        under_way = byte & 0x80 != 0;
        if under_way {
            continue;
        }
        if parts.is_empty() {
            let first = (part / 40).min(2);
            parts.push(u32::try_from(first).map_err(|_| Malformed)?);
            part -= first * 40;
        }
        parts.push(u32::try_from(part).map_err(|_| Malformed)?);
        part = 0;
        if parts.len() > 128 {
            return Err(Malformed);
        }
    }
    if under_way {
        Err(Malformed)
    } else {
        Ok(Oid(parts))
    }
}

/// Writes an element whose content `fill` writes.
pub fn write(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let start = out.len();
    fill(out);
    let length = length_bytes(out.len() - start);
    out.splice(start..start, length);
}

pub fn write_bytes(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    out.extend(length_bytes(content.len()));
    out.extend_from_slice(content);
}

pub fn write_integer(out: &mut Vec<u8>, tag: u8, n: i64) {
    let bytes = n.to_be_bytes();
    let skip = (0..7).take_while(|&at| {
        let sign = bytes[at + 1] & 0x80;
        (bytes[at] == 0 && sign == 0) || (bytes[at] == 0xff && sign != 0)
    });
    write_bytes(out, tag, &bytes[skip.count()..]);
}

pub fn write_unsigned(out: &mut Vec<u8>, tag: u8, n: u64) {
    let mut bytes = [0; 9];
    bytes[1..].copy_from_slice(&n.to_be_bytes());
    let skip = (0..8).take_while(|&at| bytes[at] == 0 && bytes[at + 1] & 0x80 == 0);
    write_bytes(out, tag, &bytes[skip.count()..]);
}

pub fn write_oid(out: &mut Vec<u8>, oid: &Oid) {
    let parts = &oid.0;
    write(out, OID, |out| {
        let first = parts.first().copied().unwrap_or(0);
        let second = parts.get(1).copied().unwrap_or(0);
        write_part(out, u64::from(first) * 40 + u64::from(second));
        for part in parts.iter().skip(2) {
            write_part(out, u64::from(*part));
        }
    });
}

fn write_part(out: &mut Vec<u8>, part: u64) {
    let groups = (64 - part.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let bits = u8::try_from((part >> (7 * group)) & 0x7f).expect("masked to 7 bits");
        out.push(if group == 0 { bits } else { bits | 0x80 });
    }
}

fn length_bytes(length: usize) -> Vec<u8> {
    if let Ok(short) = u8::try_from(length)
        && short < 0x80
    {
        return vec![short];
    }
    let bytes = length.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    let count = u8::try_from(bytes.len() - skip).expect("a usize has 8 bytes");
    let mut whole = vec![0x80 | count];
    whole.extend_from_slice(&bytes[skip..]);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_oids_come_back_as_they_went() {
        for n in [
            0,
            1,
            127,
            128,
            255,
            256,
            32_767,
            32_768,
            -1,
            -128,
            -129,
            i64::MAX,
            i64::MIN,
        ] {
            let mut out = Vec::new();
            write_integer(&mut out, INTEGER, n);
            assert_eq!(Reader::new(&out).integer(), Ok(n));
        }
        for n in [0, 127, 128, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            write_unsigned(&mut out, COUNTER64, n);
            assert_eq!(unsigned(Reader::new(&out).any().unwrap().1), Ok(n));
        }
        for text in [
            "1.3.6.1.2.1.1.1.0",
            "1.0.8802.1.1.2",
            "0.0",
            "2.100.3",
            "1.3.4294967295.128",
        ] {
            let oid: Oid = text.parse().unwrap();
            let mut out = Vec::new();
            write_oid(&mut out, &oid);
            assert_eq!(Reader::new(&out).oid().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_length_past_the_end_is_refused() {
        assert_eq!(Reader::new(&[0x04, 0x05, 1, 2]).any(), Err(Malformed));
        assert_eq!(
            Reader::new(&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff]).any(),
            Err(Malformed)
        );
        assert_eq!(Reader::new(&[0x04, 0x80, 0, 0]).any(), Err(Malformed));
    }

    #[test]
    fn a_long_content_gets_a_long_length() {
        let mut out = Vec::new();
        write_bytes(&mut out, OCTET_STRING, &[7; 300]);
        assert_eq!(out[..4], [0x04, 0x82, 0x01, 0x2c]);
        assert_eq!(Reader::new(&out).expect(OCTET_STRING).unwrap().len(), 300);
    }
}
