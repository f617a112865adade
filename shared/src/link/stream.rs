//! Connections, and streams of frames with limits.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures::FutureExt as _;
use quinn::{ConnectionError, VarInt};

use crate::wire::codec::{DecodeError, FRAME_LIMIT, HEADER, Header, Message, decode_as, frame};

macro_rules! close_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal),* $(,)?) => {
        /// Why a connection was closed, as a number that travels. 0 to 6 are those of
        /// [`crate::session::CloseReason`]; the others end a connection that never became a session.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CloseCode {
            $($(#[$doc])* $name,)*
            /// One from a later version.
            Other(u32),
        }

        impl CloseCode {
            /// The number that travels.
            #[must_use]
            pub const fn number(self) -> u32 {
                match self { $(Self::$name => $number,)* Self::Other(number) => number }
            }

            /// From the number that travels.
            #[must_use]
            pub const fn from_number(number: u32) -> Self {
                match number { $($number => Self::$name,)* other => Self::Other(other) }
            }
        }
    };
}

close_codes! {
    /// Nothing was said.
    Unsaid = 0,
    /// The program stops in order.
    Shutdown = 1,
    /// The same probe has a newer session.
    Superseded = 2,
    /// A person revoked the probe.
    Revoked = 3,
    /// Too much at once: later.
    Busy = 4,
    /// The peer broke the protocol.
    Protocol = 5,
    /// The hello, or the identity, is not accepted; the answer or the reason says why.
    Refused = 6,
    /// The certificate has expired: renew.
    Expired = 7,
    /// No such probe, or too long away: join again.
    Unknown = 8,
    /// The peer did not say in time what it had to.
    Late = 9,
    /// All is said (joining, renewing).
    Done = 10,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The other side said so.
    #[error("closed by the other side: {reason}")]
    ByPeer {
        /// For programs.
        code: CloseCode,
        /// For people.
        reason: String,
    },
    /// Nothing came for as long as a connection may be idle.
    #[error("nothing was heard any more")]
    TimedOut,
    /// TLS refused: another CA, a wrong usage.
    #[error("the secure connection was refused: {0}")]
    Tls(String),
    /// This side closed it.
    #[error("closed here")]
    Here,
    /// Anything else that transport says.
    #[error("the connection broke: {0}")]
    Broken(String),
}

impl From<ConnectionError> for Closed {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => Self::ByPeer {
                code: CloseCode::from_number(
                    u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX),
                ),
                reason: printable(&close.reason),
            },
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::LocallyClosed => Self::Here,
            ConnectionError::TransportError(error) if is_tls(error.code) => Self::Tls(error.reason),
            ConnectionError::ConnectionClosed(close) if is_tls(close.error_code) => {
                Self::Tls(printable(&close.reason))
            }
            other => Self::Broken(other.to_string()),
        }
    }
}

/// RFC 9000 §20.1: 0x0100–0x01ff are TLS alerts.
fn is_tls(code: quinn::TransportErrorCode) -> bool {
    (0x100..0x200).contains(&u64::from(code))
}

fn printable(bytes: &[u8]) -> String {
    crate::text::DeviceText::name(bytes).to_string()
}

/// An IPv4 peer of a socket that hears both families is written as IPv4.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// QUIC over UDP, as it should be.
    Udp,
    /// The same through TLS over TCP, because UDP is blocked.
    Tcp,
}

impl Transport {
    /// One word: `udp` or `tcp`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// One connection to a peer.
#[derive(Clone, Debug)]
pub struct Connection {
    quic: quinn::Connection,
    /// The TCP connection around it.
    tcp: Option<Arc<Around>>,
}

/// The TCP connection around a connection.
#[derive(Debug)]
struct Around {
    peer: SocketAddr,
    /// This side has closed the connection itself.
    closed_here: AtomicBool,
}

impl Connection {
    pub(super) fn new(quic: quinn::Connection, tcp_peer: Option<SocketAddr>) -> Self {
        let tcp = tcp_peer.map(|peer| {
            Arc::new(Around {
                peer,
                closed_here: AtomicBool::new(false),
            })
        });
        Self { quic, tcp }
    }

    pub(super) const fn inner(&self) -> &quinn::Connection {
        &self.quic
    }

    /// What carries it.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        match self.tcp {
            Some(_) => Transport::Tcp,
            None => Transport::Udp,
        }
    }

    /// Packets sent and received so far.
    #[must_use]
    pub fn packets(&self) -> (u64, u64) {
        let stats = self.quic.stats();
        (stats.udp_tx.datagrams, stats.udp_rx.datagrams)
    }

    /// Opens a stream; the peer sees it with the first frame. Waits while as many are open as the peer allows.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn open(&self, priority: Priority) -> Result<(FrameSender, FrameReceiver), Closed> {
        let (send, receive) = self.quic.open_bi().await?;
        Ok(wrap(send, receive, priority))
    }

    /// Waits for a stream that the peer opens. May be dropped at any time.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn accept(&self) -> Result<(FrameSender, FrameReceiver), Closed> {
        let (send, receive) = self.quic.accept_bi().await?;
        Ok(wrap(send, receive, Priority::Events))
    }

    /// Ends the connection and everything on it; the peer learns why.
    pub fn close(&self, code: CloseCode, reason: &str) {
        if let Some(tcp) = &self.tcp {
            tcp.closed_here.store(true, Ordering::Relaxed);
        }
        self.quic
            .close(VarInt::from_u32(code.number()), reason.as_bytes());
    }

    /// Waits until the connection has ended, and says why.
    pub async fn closed(&self) -> Closed {
        self.why(self.quic.closed().await)
    }

    /// Why it ended, when it has.
    #[must_use]
    pub fn close_reason(&self) -> Option<Closed> {
        self.quic.close_reason().map(|error| self.why(error))
    }

    /// Where the peer is now; it may move.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        match &self.tcp {
            Some(tcp) => plain(tcp.peer),
            None => plain(self.quic.remote_address()),
        }
    }

    /// Round-trip time as the transport sees it.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.quic.rtt()
    }

    /// A tunnel's end reaches QUIC as an inner fault, or as if this side had closed the connection.
    fn why(&self, error: ConnectionError) -> Closed {
        let closed = Closed::from(error);
        let Some(tcp) = &self.tcp else {
            return closed;
        };
        match closed {
            Closed::Here if tcp.closed_here.load(Ordering::Relaxed) => Closed::Here,
            Closed::Here | Closed::Broken(_) => {
                Closed::Broken(format!("the TCP connection to {} ended", tcp.peer))
            }
            closed => closed,
        }
    }
}

/// Which stream goes first when there is more to send than room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// History.
    Backlog,
    /// Samples of now.
    Live,
    /// Events, acks, pulls.
    Events,
    /// People wait.
    Control,
}

fn wrap(
    send: quinn::SendStream,
    receive: quinn::RecvStream,
    priority: Priority,
) -> (FrameSender, FrameReceiver) {
    let mut sender = FrameSender {
        stream: send,
        waiting: BytesMut::new(),
    };
    sender.set_priority(priority);
    let receiver = FrameReceiver {
        stream: receive,
        held: BytesMut::new(),
        limit: FRAME_LIMIT,
    };
    (sender, receiver)
}

/// Writes frames to a stream.
pub struct FrameSender {
    stream: quinn::SendStream,
    waiting: BytesMut,
}

impl fmt::Debug for FrameSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameSender")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl FrameSender {
    /// Which stream goes first when there is more to send than room.
    pub fn set_priority(&mut self, priority: Priority) {
        // Only a finished stream refuses, and then it no longer matters.
        let _ = self.stream.set_priority(priority as i32);
    }

    /// Takes a message to be sent by the next [`Self::flush`].
    pub fn queue<M: Message>(&mut self, message: &M) {
        self.waiting.extend_from_slice(&frame(message));
    }

    /// Takes a payload that was encoded before (a batch out of the spool).
    pub fn queue_payload(&mut self, kind: u16, version: u16, payload: &[u8]) {
        let header = Header {
            len: u32::try_from(payload.len()).expect("no frame of ours is near 4 GiB"),
            kind,
            version,
        };
        self.waiting.extend_from_slice(&header.to_bytes());
        self.waiting.extend_from_slice(payload);
    }

    /// Hands everything queued to the transport; waits while the peer takes no more. When it is dropped half way, the
    /// next call goes on where it stopped, so that no frame is ever torn.
    ///
    /// # Errors
    /// The stream or its connection has ended.
    pub async fn flush(&mut self) -> Result<(), Closed> {
        while !self.waiting.is_empty() {
            let written = self
                .stream
                .write(&self.waiting)
                .await
                .map_err(write_error)?;
            self.waiting.advance(written);
        }
        Ok(())
    }

    /// Bytes queued and not yet handed to the transport.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// [`Self::queue`] and [`Self::flush`].
    ///
    /// # Errors
    /// The stream or its connection has ended.
    pub async fn send<M: Message>(&mut self, message: &M) -> Result<(), Closed> {
        self.queue(message);
        self.flush().await
    }

    /// Says that nothing more will come. Does not wait until the peer has it.
    pub fn finish(&mut self) {
        let _ = self.stream.finish();
    }

    /// After [`Self::finish`]: waits until the peer has everything, or no longer wants it.
    pub async fn delivered(&self) {
        let _ = self.stream.stopped().await;
    }
}

fn write_error(error: quinn::WriteError) -> Closed {
    match error {
        quinn::WriteError::ConnectionLost(lost) => lost.into(),
        other => Closed::Broken(other.to_string()),
    }
}

/// One frame, not yet read as a message.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What it says it is.
    pub header: Header,
    /// Its payload.
    pub payload: Bytes,
}

impl Frame {
    /// Whether it is an `M`.
    #[must_use]
    pub fn is<M: Message>(&self) -> bool {
        self.header.kind == M::TYPE && self.header.version == M::VERSION
    }

    /// Reads it as an `M`.
    ///
    /// # Errors
    /// It is another message, or malformed.
    pub fn decode<M: Message>(&self) -> Result<M, DecodeError> {
        decode_as(self.header, &self.payload)
    }

    /// Bytes it took on the stream.
    #[must_use]
    pub fn len(&self) -> usize {
        HEADER + self.payload.len()
    }

    /// Whether it has no payload.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }
}

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The connection, or the stream, has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The stream ended in the middle of a frame.
    #[error("the stream ended in the middle of a frame")]
    CutOff,
    /// The frame is longer than its stream allows, or not the message that was due.
    #[error("a frame that may not be there")]
    Frame(#[from] DecodeError),
    /// The stream ended where a frame was due.
    #[error("the stream ended too early")]
    Ended,
}

/// Reads frames from a stream.
pub struct FrameReceiver {
    stream: quinn::RecvStream,
    held: BytesMut,
    limit: usize,
}

impl fmt::Debug for FrameReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReceiver")
            .field("held", &self.held.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Bytes asked of the transport at once.
const CHUNK: usize = 64 * 1024;

impl FrameReceiver {
    /// Allows payloads up to `limit` (an answer to a pull may be longer than other frames).
    #[must_use]
    pub const fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The next frame; `None` when the peer has finished the stream. May be dropped at any time without loss.
    ///
    /// # Errors
    /// [`ReadError`]; the stream is of no use then.
    pub async fn next(&mut self) -> Result<Option<Frame>, ReadError> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            match self.stream.read_chunk(CHUNK, true).await {
                Ok(Some(chunk)) => self.held.extend_from_slice(&chunk.bytes),
                Ok(None) if self.held.is_empty() => return Ok(None),
                Ok(None) => return Err(ReadError::CutOff),
                Err(error) => return Err(read_error(error).into()),
            }
        }
    }

    /// The next frame when it is here already, without waiting.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn next_now(&mut self) -> Result<Option<Frame>, ReadError> {
        self.next().now_or_never().unwrap_or(Ok(None))
    }

    /// The next frame, which has to be an `M`.
    ///
    /// # Errors
    /// [`ReadError`], also when the stream ends first.
    pub async fn expect<M: Message>(&mut self) -> Result<M, ReadError> {
        let frame = self.next().await?.ok_or(ReadError::Ended)?;
        Ok(frame.decode()?)
    }

    /// Tells the peer that nothing more will be read.
    pub fn stop(&mut self) {
        let _ = self.stream.stop(VarInt::from_u32(CloseCode::Done.number()));
    }

    /// A whole frame out of what was received; its length is judged before its payload is waited for.
    fn take(&mut self) -> Result<Option<Frame>, DecodeError> {
        let Some(head) = self.held.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let header = Header::parse(*head, self.limit)?;
        let whole = HEADER + header.len as usize;
        if self.held.len() < whole {
            return Ok(None);
        }
        let mut bytes = self.held.split_to(whole);
        bytes.advance(HEADER);
        Ok(Some(Frame {
            header,
            payload: bytes.freeze(),
        }))
    }
}

fn read_error(error: quinn::ReadError) -> Closed {
    match error {
        quinn::ReadError::ConnectionLost(lost) => lost.into(),
        other => Closed::Broken(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_code_reads_back_its_number() {
        for number in (0..20).chain([u32::MAX]) {
            assert_eq!(CloseCode::from_number(number).number(), number);
        }
        assert_eq!(CloseCode::from_number(10), CloseCode::Done);
    }
}
