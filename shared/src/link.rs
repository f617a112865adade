//! The link: who may speak (identities), over what (QUIC), in which pieces (streams of frames).
//!
//! - [`token`] what a technician pastes
//! - [`name`] the one URI in a certificate
//! - [`accept`](mod@accept) the only place that makes identities
//! - [`verify`] what TLS checks on both sides
//! - [`endpoint`] listen and dial
//! - [`tunnel`] the same over TCP, where UDP is blocked
//! - `congestion` Cubic that a lossy way does not bring to a standstill
//! - [`stream`] connections, and streams of frames with limits
//!
//! The transport is hidden behind "open / accept a stream": whether UDP or TCP carries a connection, nobody else knows.

pub mod accept;
mod congestion;
pub mod endpoint;
pub mod name;
pub mod stream;
mod tls;
pub mod token;
pub mod tunnel;
pub mod verify;

pub use accept::{Authority, Enrolled, Peer, ProbeIdentity, Refusal, RenewingKey, accept};
pub use endpoint::{
    Credentials, DialError, Dialer, Handshaken, Incoming, Listener, Route, Unreached,
};
pub use name::ProbeName;
pub use stream::{
    CloseCode, Closed, Connection, Frame, FrameReceiver, FrameSender, Priority, ReadError,
    Transport,
};
pub use token::JoinToken;
pub use tunnel::client::TcpRoute;
pub use tunnel::hub::TcpDoor;
pub use tunnel::proxy::Proxy;
pub use verify::{ServerTrust, TrustedCa, key_hash_of};

use std::fmt;

/// The UDP port of Central.
pub const DEFAULT_PORT: u16 = 4_433;
/// The TCP port of Central, for networks that let no UDP out.
pub const DEFAULT_TCP_PORT: u16 = 443;

/// What a connection may be used for, agreed in the TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// A session: everything a probe does day by day.
    Work,
    /// Only a new certificate for the key of the one that is shown.
    Renew,
    /// Only a join token for a first certificate.
    Join,
}

impl Alpn {
    /// Every one there is.
    pub const ALL: [Self; 3] = [Self::Work, Self::Renew, Self::Join];

    /// As TLS carries it. The number is the protocol's major version.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Work => b"farwatch/1",
            Self::Renew => b"farwatch-renew/1",
            Self::Join => b"farwatch-join/1",
        }
    }

    /// From TLS; `None` is not ours.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|alpn| alpn.as_bytes() == bytes)
    }
}

impl fmt::Display for Alpn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(self.as_bytes()).expect("ours are ASCII"))
    }
}

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod testing;
