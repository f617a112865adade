//! Frames and their one codec: `u32` length, `u16` type, `u16` version, payload; big endian header, bincode payload.

use bincode::config::{Configuration, Fixint, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of the header before each payload.
pub const HEADER: usize = 8;
/// The longest payload of an ordinary frame: 64 KiB of batch plus its envelope.
pub const FRAME_LIMIT: usize = 68 * 1024;
/// The longest payload of an answer to a pull.
pub const PULL_LIMIT: usize = 1024 * 1024;
/// A batch closes at this many encoded bytes.
pub const BATCH_BYTES: usize = 64 * 1024;
/// The most that one payload may take after decompression, in bytes.
pub const INFLATED_LIMIT: usize = 8 * 1024 * 1024;
/// Payloads up to here, and up to [`CLAIM_2`], may claim eight times as much; so may those of a frame, and of a pull.
const CLAIM_1: usize = 1024;
const CLAIM_2: usize = 8 * 1024;
/// The most that a payload may grow when decompressed.
pub const INFLATE_RATIO: usize = 50;

/// A message with a number of its own.
pub trait Message: Serialize + DeserializeOwned {
    /// Frame type.
    const TYPE: u16;
    /// Frame version.
    const VERSION: u16;
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of payload that follow.
    pub len: u32,
    /// What it is; an unknown type is skipped by its length.
    pub kind: u16,
    /// Which version of it.
    pub version: u16,
}

impl Header {
    /// As it travels.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[..4].copy_from_slice(&self.len.to_be_bytes());
        out[4..6].copy_from_slice(&self.kind.to_be_bytes());
        out[6..].copy_from_slice(&self.version.to_be_bytes());
        out
    }

    /// Reads a header; refuses a payload longer than `limit`.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`].
    pub fn parse(bytes: [u8; HEADER], limit: usize) -> Result<Self, DecodeError> {
        let header = Self {
            len: u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            kind: u16::from_be_bytes([bytes[4], bytes[5]]),
            version: u16::from_be_bytes([bytes[6], bytes[7]]),
        };
        if header.len as usize > limit {
            Err(DecodeError::TooLong {
                len: header.len as usize,
                limit,
            })
        } else {
            Ok(header)
        }
    }
}

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than its place allows.
    #[error("{len} bytes, limit {limit}")]
    TooLong {
        /// What was claimed.
        len: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Another type or version than asked for.
    #[error("frame type {kind} version {version} is not known here")]
    Unknown {
        /// Frame type.
        kind: u16,
        /// Frame version.
        version: u16,
    },
    /// The bytes do not follow the struct.
    #[error("malformed")]
    Malformed(#[source] bincode::error::DecodeError),
    /// More bytes than the struct has.
    #[error("{left} bytes left over")]
    LeftOver {
        /// How many.
        left: usize,
    },
    /// The content contradicts itself; says how.
    #[error("inconsistent: {0}")]
    Inconsistent(&'static str),
    /// Decompression failed or outgrew its limit.
    #[error("could not be decompressed within its limits")]
    Inflate,
}

type Config<const N: usize> = Configuration<LittleEndian, Varint, bincode::config::Limit<N>>;

const fn config<const N: usize>() -> Config<N> {
    bincode::config::standard().with_limit::<N>()
}

/// A message's payload, without header.
///
/// # Panics
/// Never for our messages: encoding to memory of plain structs cannot fail.
#[must_use]
pub fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    bincode::serde::encode_to_vec(message, bincode::config::standard())
        .expect("plain structs encode to memory")
}

/// A whole frame: header and payload.
#[must_use]
pub fn frame<M: Message>(message: &M) -> Vec<u8> {
    let payload = encode(message);
    let len = u32::try_from(payload.len()).expect("no frame of ours is near 4 GiB");
    let mut out = Header {
        len,
        kind: M::TYPE,
        version: M::VERSION,
    }
    .to_bytes()
    .to_vec();
    out.extend_from_slice(&payload);
    out
}

/// Reads a payload as `M`; refuses left-over bytes and anything over [`PULL_LIMIT`].
///
/// # Errors
/// [`DecodeError`], and nothing was kept.
pub fn decode<M: DeserializeOwned>(payload: &[u8]) -> Result<M, DecodeError> {
    if payload.len() > PULL_LIMIT {
        return Err(DecodeError::TooLong {
            len: payload.len(),
            limit: PULL_LIMIT,
        });
    }
    // The limit counts claimed bytes of the decoded form, at most eight for one here, and bincode reserves a string or
    // bytes when they are claimed: so a lying length fails before it reserves much more than what came.
    let len = payload.len();
    let read = if len <= CLAIM_1 {
        bincode::serde::decode_from_slice(payload, config::<{ 8 * CLAIM_1 }>())
    } else if len <= CLAIM_2 {
        bincode::serde::decode_from_slice(payload, config::<{ 8 * CLAIM_2 }>())
    } else if len <= FRAME_LIMIT {
        bincode::serde::decode_from_slice(payload, config::<{ 8 * FRAME_LIMIT }>())
    } else {
        bincode::serde::decode_from_slice(payload, config::<INFLATED_LIMIT>())
    };
    let (message, used) = read.map_err(DecodeError::Malformed)?;
    if used == payload.len() {
        Ok(message)
    } else {
        Err(DecodeError::LeftOver {
            left: payload.len() - used,
        })
    }
}

/// Reads a payload that arrived under `header` as `M`.
///
/// # Errors
/// [`DecodeError::Unknown`] when the header names something else.
pub fn decode_as<M: Message>(header: Header, payload: &[u8]) -> Result<M, DecodeError> {
    if header.kind != M::TYPE || header.version != M::VERSION {
        return Err(DecodeError::Unknown {
            kind: header.kind,
            version: header.version,
        });
    }
    decode(payload)
}

/// Fixed-width integers, for keys that are compared as bytes.
#[must_use]
pub fn fixed<M: Serialize>(message: &M) -> Vec<u8> {
    const FIXED: Configuration<LittleEndian, Fixint> =
        bincode::config::standard().with_fixed_int_encoding();
    bincode::serde::encode_to_vec(message, FIXED).expect("plain structs encode to memory")
}
