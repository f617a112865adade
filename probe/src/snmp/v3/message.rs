//! An SNMPv3 message with the user-based security model's parameters (RFC 3412 §6, RFC 3414 §2.4).

use super::clock::Stamp;
use crate::snmp::ber::{BerError, Reader, Writer, tag};

/// msgFlags.
pub(crate) mod flag {
    pub(crate) const AUTH: u8 = 1;
    pub(crate) const PRIV: u8 = 2;
    pub(crate) const REPORTABLE: u8 = 4;
}

/// The security model of RFC 3414.
const USM: i64 = 3;
/// What we say we can take: the largest UDP payload.
const OUR_MAX_SIZE: i64 = 65_507;

/// A received message, taken apart and not yet believed.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) msg_id: i32,
    pub(crate) flags: u8,
    pub(crate) engine_id: &'a [u8],
    pub(crate) stamp: Stamp,
    pub(crate) user_name: &'a [u8],
    pub(crate) digest: &'a [u8],
    pub(crate) salt: &'a [u8],
    /// The scoped PDU: a SEQUENCE, or an OCTET STRING when it is encrypted.
    pub(crate) data: Reader<'a>,
    /// The message before, within and after its digest.
    whole: &'a [u8],
    digest_at: usize,
}

impl<'a> Message<'a> {
    /// The fields after `version`, which the caller has read from `fields`, within the message `whole`.
    pub(crate) fn read(whole: &'a [u8], mut fields: Reader<'a>) -> Result<Self, BerError> {
        let mut header = fields.sequence()?;
        let msg_id = header.integer32()?;
        header.unsigned31()?; // msgMaxSize: any; that RFC 3412 wants 484 or more is the sender's business
        let &[flags] = header.octets()? else {
            return Err(BerError::OutOfRange);
        };
        if header.integer()? != USM {
            return Err(BerError::OutOfRange);
        }
        header.end()?;

        let mut outer = Reader::new(fields.octets()?);
        let mut usm = outer.sequence()?;
        outer.end()?;
        let engine_id = usm.octets()?;
        let stamp = Stamp {
            boots: usm.unsigned31()?,
            time: usm.unsigned31()?,
        };
        let user_name = usm.octets()?;
        let digest = usm.octets()?;
        let salt = usm.octets()?;
        usm.end()?;

        let digest_at = digest.as_ptr().addr() - whole.as_ptr().addr();
        Ok(Self {
            msg_id,
            flags,
            engine_id,
            stamp,
            user_name,
            digest,
            salt,
            data: fields,
            whole,
            digest_at,
        })
    }

    /// The message as it was when its digest was reckoned, with zeros in the place of the digest.
    pub(crate) fn authenticated_parts(&self) -> [&'a [u8]; 3] {
        const ZEROS: [u8; 64] = [0; 64];
        let end = self.digest_at + self.digest.len();
        [
            &self.whole[..self.digest_at],
            &ZEROS[..self.digest.len().min(64)],
            &self.whole[end..],
        ]
    }
}

/// A message to be sent.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) msg_id: i32,
    pub(crate) flags: u8,
    pub(crate) engine_id: &'a [u8],
    pub(crate) stamp: Stamp,
    pub(crate) user_name: &'a [u8],
    pub(crate) digest_octets: usize,
    pub(crate) salt: &'a [u8],
}

impl Draft<'_> {
    /// The message around `data`, the encoded scoped PDU; and where its digest, still zeros, stands.
    pub(crate) fn write(&self, data: &[u8]) -> (Vec<u8>, usize) {
        let mut writer = Writer::with_capacity(data.len() + 160);
        if self.flags & flag::PRIV == 0 {
            writer.raw(data);
        } else {
            writer.octets(data);
        }
        let usm = writer.len();
        writer.octets(self.salt);
        let after_digest = writer.len();
        writer.octets(&[0; 64][..self.digest_octets]);
        writer.octets(self.user_name);
        writer.integer(self.stamp.time.into());
        writer.integer(self.stamp.boots.into());
        writer.octets(self.engine_id);
        writer.wrap(tag::SEQUENCE, usm);
        writer.wrap(tag::OCTET_STRING, usm);
        let header = writer.len();
        writer.integer(USM);
        writer.octets(&[self.flags]);
        writer.integer(OUR_MAX_SIZE);
        writer.integer(self.msg_id.into());
        writer.wrap(tag::SEQUENCE, header);
        writer.integer(3); // version
        writer.wrap(tag::SEQUENCE, 0);
        let message = writer.finish();
        let digest_at = message.len() - after_digest - self.digest_octets;
        (message, digest_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_apart_as_it_was_put_together() {
        let draft = Draft {
            msg_id: 0x7fff_fff0,
            flags: flag::AUTH | flag::PRIV | flag::REPORTABLE,
            engine_id: b"engine-id",
            stamp: Stamp {
                boots: 7,
                time: 300,
            },
            user_name: b"monitor",
            digest_octets: 24,
            salt: b"saltsalt",
        };
        let (octets, digest_at) = draft.write(&[0xaa; 200]);
        let mut fields = Reader::new(&octets).sequence().unwrap();
        assert_eq!(fields.integer().unwrap(), 3);
        let mut message = Message::read(&octets, fields).unwrap();
        assert_eq!(message.digest_at, digest_at);
        assert_eq!(message.msg_id, draft.msg_id);
        assert_eq!(message.flags, draft.flags);
        assert_eq!(message.stamp, draft.stamp);
        assert_eq!(message.digest, [0; 24]);
        assert_eq!(
            (message.engine_id, message.user_name, message.salt),
            (&b"engine-id"[..], &b"monitor"[..], &b"saltsalt"[..])
        );
        assert_eq!(message.authenticated_parts().concat(), octets);
        assert_eq!(message.data.octets().unwrap(), [0xaa; 200]);
    }

    #[test]
    fn a_time_beyond_its_range_is_refused_before_anything_is_reckoned_with_it() {
        let mut usm = Writer::default();
        for field in [&b""[..], b"", b"user"] {
            usm.octets(field);
        }
        usm.integer(i64::MAX);
        usm.integer(1);
        usm.octets(b"engine-id");
        usm.wrap(tag::SEQUENCE, 0);
        usm.wrap(tag::OCTET_STRING, 0);
        let header = usm.len();
        usm.integer(USM);
        usm.octets(&[0]);
        usm.integer(i64::from(i32::MAX)); // a msgMaxSize beyond any datagram is fine
        usm.integer(1);
        usm.wrap(tag::SEQUENCE, header);
        let octets = usm.finish();
        assert_eq!(
            Message::read(&octets, Reader::new(&octets)).unwrap_err(),
            BerError::OutOfRange
        );
    }
}
