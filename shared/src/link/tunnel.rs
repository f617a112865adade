//! QUIC's packets through TLS over TCP, for networks that let no UDP out.
//!
//! ```text
//! quinn ─ packets ─▶ u16 length + packet ═TLS 1.3 over TCP (through an HTTP proxy)═▶ Central's hub ─▶ the same quinn
//! ```
//!
//! What runs inside is the very link that runs over UDP: identities, streams, priorities, windows and close codes are
//! decided in one place, and a session cannot tell the difference. TLS around it hides nothing that QUIC does not hide
//! already; it is there because firewalls let it pass, and it proves Central to the probe before a packet is sent. Packets
//! that a slow TCP connection cannot take are dropped as a full router would, so that QUIC slows down.
//!
//! - [`client`] the probe's end: one TCP connection per connection
//! - [`hub`] Central's end: all tunnels beside the UDP socket
//! - [`proxy`] the way through an HTTP proxy (CONNECT)

pub(super) mod client;
pub(super) mod hub;
pub mod proxy;

use std::io;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What both ends agree on in the TLS handshake.
pub(super) const ALPN: &[u8] = b"farwatch-tunnel/1";
/// Longer than any packet of ours (quinn: 1,472 bytes).
const LARGEST: usize = 1_500;
/// Packets that wait for TCP to take them; beyond, packets are dropped.
const QUEUE: usize = 128;
/// Bytes that the system may hold unsent: what waits there can no longer be overtaken.
const UNSENT: u32 = 64 * 1024;
/// Packets written together.
const TOGETHER: usize = 32;
/// Bytes read at once.
const READ: usize = 16 * 1024;
/// Both ends of a living connection say something every 10 s; a tunnel that brings nothing for this long has no
/// connection inside.
const QUIET: Duration = Duration::from_secs(45);

/// A packet that came through a tunnel.
#[derive(Debug)]
struct Packet {
    /// Which, of those that share an inbox.
    tunnel: u64,
    bytes: Bytes,
}

/// Carries packets both ways until either side ends.
async fn carry<S>(
    stream: S,
    tunnel: u64,
    inbox: mpsc::Sender<Packet>,
    outbound: mpsc::Receiver<Bytes>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send,
{
    let (read, write) = tokio::io::split(stream);
    tokio::select! {
        ended = bring(read, tunnel, inbox) => ended,
        ended = take(write, outbound) => ended,
    }
}

async fn bring(
    mut stream: impl AsyncRead + Unpin,
    tunnel: u64,
    inbox: mpsc::Sender<Packet>,
) -> io::Result<()> {
    let mut held = BytesMut::new();
    loop {
        while let Some(bytes) = next_packet(&mut held)? {
            if inbox.send(Packet { tunnel, bytes }).await.is_err() {
                return Ok(());
            }
        }
        held.reserve(READ);
        let read = timeout(QUIET, stream.read_buf(&mut held))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "nothing came"))??;
        if read == 0 {
            return Ok(());
        }
    }
}

async fn take(
    mut stream: impl AsyncWrite + Unpin,
    mut outbound: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    let (mut packets, mut buffer) = (Vec::with_capacity(TOGETHER), BytesMut::new());
    while outbound.recv_many(&mut packets, TOGETHER).await > 0 {
        for packet in packets.drain(..) {
            let length = u16::try_from(packet.len()).expect("QUIC's packets are below 1,500 bytes");
            buffer.put_u16(length);
            buffer.extend_from_slice(&packet);
        }
        stream.write_all_buf(&mut buffer).await?;
        stream.flush().await?;
    }
    stream.shutdown().await
}

/// A whole packet out of what was read. Its length is judged before its bytes are waited for.
fn next_packet(held: &mut BytesMut) -> io::Result<Option<Bytes>> {
    let Some(head) = held.first_chunk::<2>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes(*head));
    if length == 0 || length > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not a packet of this protocol",
        ));
    }
    if held.len() < 2 + length {
        return Ok(None);
    }
    held.advance(2);
    Ok(Some(held.split_to(length).freeze()))
}

/// The datagrams of one transmit, which may hold several of one size.
fn datagrams(transmit: &quinn::udp::Transmit<'_>) -> impl Iterator<Item = Bytes> {
    let size = transmit
        .segment_size
        .unwrap_or(transmit.contents.len())
        .max(1);
    transmit.contents.chunks(size).map(Bytes::copy_from_slice)
}

/// For both ends: small writes go at once, and little waits where it cannot be overtaken.
fn tune(stream: &tokio::net::TcpStream) {
    // Either is a matter of speed alone.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod framing {
    use super::*;

    #[test]
    fn packets_are_cut_where_they_end_however_they_arrive() {
        let mut stream = Vec::new();
        let packets: Vec<Vec<u8>> = (1..60_usize)
            .map(|i| vec![u8::try_from(i).unwrap(); i * 25])
            .collect();
        for packet in &packets {
            stream.extend_from_slice(&u16::try_from(packet.len()).unwrap().to_be_bytes());
            stream.extend_from_slice(packet);
        }
        for piece in [1, 2, 3, 7, 1_000, stream.len()] {
            let (mut held, mut found) = (BytesMut::new(), Vec::new());
            for chunk in stream.chunks(piece) {
                held.extend_from_slice(chunk);
                while let Some(packet) = next_packet(&mut held).unwrap() {
                    found.push(packet.to_vec());
                }
            }
            assert_eq!(found, packets, "in pieces of {piece}");
            assert!(held.is_empty());
        }
    }

    #[test]
    fn a_length_that_no_packet_has_ends_the_tunnel_before_its_bytes_come() {
        for length in [0_u16, 1_501, u16::MAX] {
            let mut held = BytesMut::from(&length.to_be_bytes()[..]);
            assert!(next_packet(&mut held).is_err(), "{length}");
        }
        // An HTTP request, as a scanner sends it.
        assert!(next_packet(&mut BytesMut::from(&b"GET / HTTP/1.1\r\n"[..])).is_err());
    }
}
