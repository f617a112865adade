//! The values a device may answer, and their bytes.
//!
//! Source: RFC 2578 §7.1, RFC 3416 §3.

use crate::ber::{self, Malformed, Reader};
use crate::oid::Oid;

/// One value of a varbind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Integer(i64),
    OctetString(Vec<u8>),
    Null,
    Oid(Oid),
    IpAddress([u8; 4]),
    Counter32(u32),
    Gauge32(u32),
    TimeTicks(u32),
    Counter64(u64),
    NoSuchObject,
    NoSuchInstance,
    EndOfMibView,
}

impl Value {
    /// A text, as the octets it is.
    #[must_use]
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self::OctetString(text.as_ref().to_vec())
    }

    /// The number in it, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Integer(n) => u64::try_from(*n).ok(),
            Self::Counter32(n) | Self::Gauge32(n) | Self::TimeTicks(n) => Some(u64::from(*n)),
            Self::Counter64(n) => Some(*n),
            _ => None,
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(n) => ber::write_integer(out, ber::INTEGER, *n),
            Self::OctetString(bytes) => ber::write_bytes(out, ber::OCTET_STRING, bytes),
            Self::Null => ber::write_bytes(out, ber::NULL, &[]),
            Self::Oid(oid) => ber::write_oid(out, oid),
            Self::IpAddress(address) => ber::write_bytes(out, ber::IP_ADDRESS, address),
            Self::Counter32(n) => ber::write_unsigned(out, ber::COUNTER32, u64::from(*n)),
            Self::Gauge32(n) => ber::write_unsigned(out, ber::GAUGE32, u64::from(*n)),
            Self::TimeTicks(n) => ber::write_unsigned(out, ber::TIME_TICKS, u64::from(*n)),
            Self::Counter64(n) => ber::write_unsigned(out, ber::COUNTER64, *n),
            Self::NoSuchObject => ber::write_bytes(out, ber::NO_SUCH_OBJECT, &[]),
            Self::NoSuchInstance => ber::write_bytes(out, ber::NO_SUCH_INSTANCE, &[]),
            Self::EndOfMibView => ber::write_bytes(out, ber::END_OF_MIB_VIEW, &[]),
        }
    }

    /// Reads one value. Types we do not know are read as null: what a manager sends in a request is ignored anyway.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (tag, content) = reader.any()?;
        let unsigned = |limit: u64| ber::unsigned(content).map(|n| n.min(limit));
        Ok(match tag {
            ber::INTEGER => Self::Integer(ber::integer(content)?),
            ber::OCTET_STRING => Self::OctetString(content.to_vec()),
            ber::OID => Self::Oid(ber::oid(content)?),
            ber::IP_ADDRESS => Self::IpAddress(content.try_into().map_err(|_| Malformed)?),
            ber::COUNTER32 => Self::Counter32(narrow(unsigned(u64::from(u32::MAX))?)),
            ber::GAUGE32 => Self::Gauge32(narrow(unsigned(u64::from(u32::MAX))?)),
            ber::TIME_TICKS => Self::TimeTicks(narrow(unsigned(u64::from(u32::MAX))?)),
            ber::COUNTER64 => Self::Counter64(unsigned(u64::MAX)?),
            ber::NO_SUCH_OBJECT => Self::NoSuchObject,
            ber::NO_SUCH_INSTANCE => Self::NoSuchInstance,
            ber::END_OF_MIB_VIEW => Self::EndOfMibView,
            _ => Self::Null,
        })
    }
}

/// The low 32 bits: what a 32-bit counter shows of a larger count.
pub(crate) fn narrow(n: u64) -> u32 {
    u32::try_from(n & u64::from(u32::MAX)).expect("masked to 32 bits")
}
