//! Why a device could not be read.

use std::{net::SocketAddr, time::Duration};

use farwatch_shared::oid::Oid;

use super::{ber::BerError, pdu::ErrorStatus, v3::report::Reason};

/// Why a request got no values.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// Nothing came back, after every retry. The usual cause is a wrong community, a firewall, or a device that is off.
    #[error("no response from {target} after {attempts} attempts in {waited:?}")]
    Timeout {
        target: SocketAddr,
        attempts: u32,
        waited: Duration,
    },
    /// The agent answered that it will not.
    #[error("{target} refused: {status}{}", about(.oid.as_ref()))]
    Refused {
        target: SocketAddr,
        status: ErrorStatus,
        oid: Option<Oid>,
    },
    /// SNMPv3: the device answered, and this is what is wrong.
    #[error("{target}: {reason}")]
    Security { target: SocketAddr, reason: Reason },
    /// The answer was ours, and could not be read.
    #[error("response from {target} could not be read")]
    Malformed {
        target: SocketAddr,
        source: BerError,
    },
    /// The answer had other names, or another number of them, than were asked for.
    #[error("{target} answered with {answered} values, not the {asked} asked for in their order")]
    Mismatch {
        target: SocketAddr,
        asked: usize,
        answered: usize,
    },
    /// The operating system has no way to this address.
    #[error("cannot send to {target}")]
    Send {
        target: SocketAddr,
        source: std::io::Error,
    },
    /// The engine was shut down meanwhile.
    #[error("the SNMP engine has stopped")]
    Stopped,
}

impl GetError {
    /// Whether the device was silent, rather than unwilling.
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }
}

fn about(oid: Option<&Oid>) -> String {
    oid.map(|oid| format!(" for {oid}")).unwrap_or_default()
}

/// Why a walk or a table ended before its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    #[error(transparent)]
    Get(#[from] GetError),
    /// The agent would have kept us walking for ever.
    #[error("{target} answered {next} after {previous}, which is not increasing")]
    NotIncreasing {
        target: SocketAddr,
        previous: Oid,
        next: Oid,
    },
    /// More than [`Limits::max_values`](super::Limits::max_values).
    #[error("{target} has more than {max_values} values here")]
    TooManyValues {
        target: SocketAddr,
        max_values: usize,
    },
    /// [`Limits::deadline`](super::Limits::deadline) came first.
    #[error("{target} was not done within {deadline:?}")]
    OutOfTime {
        target: SocketAddr,
        deadline: Duration,
    },
}
