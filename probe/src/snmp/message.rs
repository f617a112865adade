//! Messages of SNMPv1 and v2c (RFC 1157 §4, RFC 1901 §3), and the look at a datagram that tells whose answer it is.

use super::{
    auth::Version,
    ber::{BerError, Reader, Writer, tag},
    pdu::{PduKind, Request},
    v3::message::Message,
};

/// The largest datagram UDP can carry; nothing longer is ever read.
pub(crate) const MAX_DATAGRAM: usize = 65_535;

/// The message that asks `request` with a community.
pub(crate) fn seal_community(
    version: Version,
    community: &[u8],
    request: &Request,
    id: i32,
) -> Vec<u8> {
    let mut writer = Writer::with_capacity(48 + community.len() + 32 * request.names.len());
    request.write(&mut writer, id);
    writer.octets(community);
    writer.integer(if version == Version::V1 { 0 } else { 1 });
    writer.wrap(tag::SEQUENCE, 0);
    writer.finish()
}

/// A datagram as far as it can be read before it is known whose answer it is.
#[derive(Debug)]
pub(crate) enum Datagram<'a> {
    Community {
        version: Version,
        id: i32,
        /// The PDU, yet to be read.
        pdu: Reader<'a>,
    },
    V3(Message<'a>),
}

impl<'a> Datagram<'a> {
    pub(crate) fn read(octets: &'a [u8]) -> Result<Self, BerError> {
        let mut outer = Reader::new(octets);
        let mut fields = outer.sequence()?;
        let version = match fields.integer()? {
            0 => Version::V1,
            1 => Version::V2c,
            3 => {
                outer.end()?; // the digest would not cover it; in v1 and v2c it is padding
                return Message::read(octets, fields).map(Self::V3);
            }
            _ => return Err(BerError::OutOfRange),
        };
        fields.octets()?; // the community: the id, the address and the port say whose answer it is
        let (kind, content) = fields.clone().any()?;
        if kind != PduKind::Response as u8 {
            return Err(BerError::WrongType {
                expected: PduKind::Response as u8,
                found: kind,
            });
        }
        let id = Reader::new(content).integer32()?;
        Ok(Self::Community {
            version,
            id,
            pdu: fields,
        })
    }

    /// The id that our request carried: the PDU's, or the message's in v3.
    pub(crate) const fn id(&self) -> i32 {
        match self {
            Self::Community { id, .. } => *id,
            Self::V3(message) => message.msg_id,
        }
    }

    pub(crate) const fn version(&self) -> Version {
        match self {
            Self::Community { version, .. } => *version,
            Self::V3(_) => Version::V3,
        }
    }
}
