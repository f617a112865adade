//! What a device answers: typed values, each with its name.

use std::{fmt, net::Ipv4Addr};

use farwatch_shared::oid::Oid;

/// One value, with its exact type (RFC 2578 §7.1, RFC 3416 §3).
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// INTEGER and Integer32. Wider than the standard's 32 bits, because some agents are.
    Integer(i64),
    OctetString(Box<[u8]>),
    Null,
    Oid(Oid),
    IpAddress(Ipv4Addr),
    Counter32(u32),
    /// Gauge32, Unsigned32 and the old `UInteger32`.
    Gauge32(u32),
    /// Hundredths of a second.
    TimeTicks(u32),
    Counter64(u64),
    /// An Opaque with a float in it (tags `9f 78`), as net-snmp and many sensors send.
    OpaqueFloat(f32),
    OpaqueDouble(f64),
    Opaque(Box<[u8]>),
    /// The device knows no such object.
    NoSuchObject,
    /// It knows the object, but not this row. From a v1 agent, which cannot tell, always this one.
    NoSuchInstance,
    EndOfMibView,
    /// A type no standard names, kept so that its neighbours in the packet are not lost.
    Unsupported {
        tag: u8,
        octets: Box<[u8]>,
    },
}

/// A name and its value.
#[derive(Clone, PartialEq)]
pub struct VarBind {
    pub oid: Oid,
    pub value: Value,
}

impl VarBind {
    #[must_use]
    pub fn new(oid: Oid, value: Value) -> Self {
        Self { oid, value }
    }
}

impl Value {
    #[must_use]
    pub fn octets(octets: impl AsRef<[u8]>) -> Self {
        Self::OctetString(octets.as_ref().into())
    }

    /// Whether it says "there is nothing here" in one of its three ways.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::NoSuchObject | Self::NoSuchInstance | Self::EndOfMibView
        )
    }

    /// Any whole number that is not negative, whatever its type: counters, gauges, ticks, integers.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Counter32(n) | Self::Gauge32(n) | Self::TimeTicks(n) => Some(n.into()),
            Self::Counter64(n) => Some(n),
            Self::Integer(n) => n.try_into().ok(),
            _ => None,
        }
    }

    /// Any whole number that fits, whatever its type.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::Integer(n) => Some(n),
            _ => self.as_u64()?.try_into().ok(),
        }
    }

    /// Any number, floats included. Above 2⁵³ not exact.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::OpaqueFloat(x) => Some(x.into()),
            Self::OpaqueDouble(x) => Some(x),
            Self::Integer(n) => Some(n as f64),
            _ => self.as_u64().map(|n| n as f64),
        }
    }

    /// The octets of an OCTET STRING or Opaque: bytes of the device, not yet text.
    #[must_use]
    pub fn as_octets(&self) -> Option<&[u8]> {
        match self {
            Self::OctetString(octets) | Self::Opaque(octets) => Some(octets),
            _ => None,
        }
    }

    #[must_use]
    pub const fn as_oid(&self) -> Option<&Oid> {
        match self {
            Self::Oid(oid) => Some(oid),
            _ => None,
        }
    }

    /// The type by the name its standard gives it.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Integer(_) => "INTEGER",
            Self::OctetString(_) => "OCTET STRING",
            Self::Null => "NULL",
            Self::Oid(_) => "OBJECT IDENTIFIER",
            Self::IpAddress(_) => "IpAddress",
            Self::Counter32(_) => "Counter32",
            Self::Gauge32(_) => "Gauge32",
            Self::TimeTicks(_) => "TimeTicks",
            Self::Counter64(_) => "Counter64",
            Self::OpaqueFloat(_) => "Opaque float",
            Self::OpaqueDouble(_) => "Opaque double",
            Self::Opaque(_) => "Opaque",
            Self::NoSuchObject => "noSuchObject",
            Self::NoSuchInstance => "noSuchInstance",
            Self::EndOfMibView => "endOfMibView",
            Self::Unsupported { .. } => "unsupported",
        }
    }
}

/// The value alone. Strings are escaped: what a device sends may hold anything.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::OctetString(octets) => write!(f, "\"{}\"", octets.escape_ascii()),
            Self::Oid(oid) => write!(f, "{oid}"),
            Self::IpAddress(address) => write!(f, "{address}"),
            Self::Counter32(n) | Self::Gauge32(n) | Self::TimeTicks(n) => write!(f, "{n}"),
            Self::Counter64(n) => write!(f, "{n}"),
            Self::OpaqueFloat(x) => write!(f, "{x}"),
            Self::OpaqueDouble(x) => write!(f, "{x}"),
            Self::Opaque(octets) => write!(f, "\"{}\"", octets.escape_ascii()),
            Self::Unsupported { tag, octets } => {
                write!(f, "type {tag:#04x}, {} octets", octets.len())
            }
            Self::Null | Self::NoSuchObject | Self::NoSuchInstance | Self::EndOfMibView => {
                f.write_str(self.type_name())
            }
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_missing() || matches!(self, Self::Null | Self::Unsupported { .. }) {
            return write!(f, "{self}");
        }
        write!(f, "{}: {self}", self.type_name())
    }
}

impl fmt::Debug for VarBind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?}", self.oid, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varbind_is_small() {
        assert_eq!(size_of::<Value>(), 32);
        assert_eq!(size_of::<VarBind>(), 56);
    }

    #[test]
    fn numbers_are_numbers_whatever_their_type() {
        assert_eq!(Value::Counter64(u64::MAX).as_u64(), Some(u64::MAX));
        assert_eq!(Value::Counter64(u64::MAX).as_i64(), None);
        assert_eq!(Value::Integer(-3).as_u64(), None);
        assert_eq!(Value::Integer(-3).as_i64(), Some(-3));
        assert_eq!(Value::OpaqueFloat(1.5).as_f64(), Some(1.5));
        assert_eq!(Value::octets("7").as_u64(), None);
    }

    #[test]
    fn what_a_device_sends_cannot_reach_a_terminal_raw() {
        assert_eq!(Value::octets(b"a\x1b[2J\n").to_string(), "\"a\\x1b[2J\\n\"");
    }
}
