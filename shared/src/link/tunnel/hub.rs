//! Central's end: every tunnel beside the UDP socket, so that one QUIC endpoint serves both.
//!
//! A tunnel's peer is told from others by an address out of `100::/64`, which RFC 6666 sets aside for nobody; people are
//! shown the TCP peer's.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Packet, QUEUE, carry, datagrams, tune};

/// Packets of all tunnels that wait for the endpoint; beyond, TCP makes the probes wait.
const INBOX: usize = 2_048;
/// TLS handshakes at one time.
const HANDSHAKES: usize = 64;
/// Tunnels of peers that have not shown a certificate of ours; and of those, from one address.
const STRANGERS: (usize, usize) = (512, 64);
/// How long a peer may take from its TCP connection to its certificate.
const PATIENCE: Duration = Duration::from_secs(15);
/// Accepting goes on after this when the system has no more file descriptors.
const BREATH: Duration = Duration::from_millis(200);

/// What the endpoint takes for its socket.
pub(in crate::link) struct Hub {
    udp: Arc<dyn AsyncUdpSocket>,
    tunnels: RwLock<HashMap<u64, Tunnel>>,
    next: AtomicU64,
    into: mpsc::Sender<Packet>,
    inbox: Mutex<mpsc::Receiver<Packet>>,
    /// Whether the tunnels are asked first, in turn with UDP: neither starves the other.
    tunnels_first: AtomicBool,
    /// Nobody new is taken.
    pub(in crate::link) closing: CancellationToken,
    /// All was said; the tunnels may go.
    pub(in crate::link) closed: CancellationToken,
}

#[derive(Debug)]
struct Tunnel {
    peer: SocketAddr,
    out: mpsc::Sender<Bytes>,
    known: Arc<Notify>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("udp", &self.udp)
            .finish_non_exhaustive()
    }
}

/// The address that stands for a tunnel.
fn address_of(tunnel: u64) -> SocketAddr {
    let high = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0).to_bits();
    SocketAddr::new(
        IpAddr::V6(Ipv6Addr::from_bits(high | u128::from(tunnel))),
        1,
    )
}

/// The tunnel that an address stands for.
fn tunnel_of(address: SocketAddr) -> Option<u64> {
    let IpAddr::V6(v6) = address.ip() else {
        return None;
    };
    (v6.segments()[..4] == [0x100, 0, 0, 0])
        .then(|| u64::try_from(v6.to_bits() & u128::from(u64::MAX)).expect("64 bits are left"))
}

impl Hub {
    pub(in crate::link) fn new(udp: Arc<dyn AsyncUdpSocket>) -> Self {
        let (into, inbox) = mpsc::channel(INBOX);
        Self {
            udp,
            tunnels: RwLock::default(),
            next: AtomicU64::new(1),
            into,
            inbox: Mutex::new(inbox),
            tunnels_first: AtomicBool::new(false),
            closing: CancellationToken::new(),
            closed: CancellationToken::new(),
        }
    }

    /// The TCP peer behind a tunnel's address; `None` is a UDP peer.
    pub(in crate::link) fn tcp_peer(&self, address: SocketAddr) -> Option<SocketAddr> {
        let tunnel = tunnel_of(address)?;
        let tunnels = self.tunnels.read().unwrap_or_else(PoisonError::into_inner);
        // A tunnel that has just ended leaves a peer that nobody can reach.
        let nobody = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
        Some(tunnels.get(&tunnel).map_or(nobody, |tunnel| tunnel.peer))
    }

    /// The peer has shown a certificate of ours: its tunnel may stay.
    pub(in crate::link) fn knows(&self, address: SocketAddr) {
        let Some(tunnel) = tunnel_of(address) else {
            return;
        };
        let tunnels = self.tunnels.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(tunnel) = tunnels.get(&tunnel) {
            tunnel.known.notify_one();
        }
    }

    fn open(&self, peer: SocketAddr) -> (u64, mpsc::Receiver<Bytes>, Arc<Notify>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (out, outbound) = mpsc::channel(QUEUE);
        let known = Arc::new(Notify::new());
        let tunnel = Tunnel {
            peer,
            out,
            known: known.clone(),
        };
        let mut tunnels = self.tunnels.write().unwrap_or_else(PoisonError::into_inner);
        tunnels.insert(id, tunnel);
        (id, outbound, known)
    }

    fn end(&self, tunnel: u64) {
        let mut tunnels = self.tunnels.write().unwrap_or_else(PoisonError::into_inner);
        tunnels.remove(&tunnel);
    }

    fn send(&self, tunnel: u64, transmit: &Transmit<'_>) {
        let tunnels = self.tunnels.read().unwrap_or_else(PoisonError::into_inner);
        let Some(tunnel) = tunnels.get(&tunnel) else {
            return; // as a packet to a host that is gone
        };
        for packet in datagrams(transmit) {
            if tunnel.out.try_send(packet).is_err() {
                return; // full: dropped, as a router does
            }
        }
    }

    fn poll_tunnels(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let mut filled = 0;
        while filled < bufs.len().min(meta.len()) {
            let Poll::Ready(Some(packet)) = inbox.poll_recv(cx) else {
                break;
            };
            if let Some(room) = bufs[filled].get_mut(..packet.bytes.len()) {
                room.copy_from_slice(&packet.bytes);
                meta[filled] = received(packet.bytes.len(), address_of(packet.tunnel));
                filled += 1;
            }
        }
        if filled > 0 {
            Poll::Ready(Ok(filled))
        } else {
            Poll::Pending
        }
    }

    fn poll_udp(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let polled = self.udp.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = &polled {
            for meta in &mut meta[..*count] {
                // Nobody sends from there; whoever forges it must not be taken for a tunnel.
                if tunnel_of(meta.addr).is_some() {
                    meta.len = 0;
                }
            }
        }
        polled
    }
}

/// What is known of a packet that came through a tunnel.
pub(super) fn received(len: usize, from: SocketAddr) -> RecvMeta {
    RecvMeta {
        addr: from,
        len,
        stride: len,
        ..RecvMeta::default()
    }
}

impl AsyncUdpSocket for Hub {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.udp.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        match tunnel_of(transmit.destination) {
            Some(tunnel) => {
                self.send(tunnel, transmit);
                Ok(())
            }
            None => self.udp.try_send(transmit),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.tunnels_first.fetch_not(Ordering::Relaxed) {
            match self.poll_tunnels(cx, bufs, meta) {
                Poll::Pending => self.poll_udp(cx, bufs, meta),
                ready => ready,
            }
        } else {
            match self.poll_udp(cx, bufs, meta) {
                Poll::Pending => self.poll_tunnels(cx, bufs, meta),
                ready => ready,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.udp.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.udp.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.udp.may_fragment()
    }
}

/// Where tunnels come in.
pub struct TcpDoor {
    listener: TcpListener,
    tls: TlsAcceptor,
    hub: Arc<Hub>,
    strangers: Arc<Crowd>,
    handshakes: Arc<Semaphore>,
}

/// Peers that have not shown who they are, by address.
#[derive(Debug, Default)]
struct Crowd(Mutex<HashMap<IpAddr, usize>>);

/// A place in the crowd.
#[derive(Debug)]
struct Stranger {
    crowd: Arc<Crowd>,
    from: IpAddr,
}

impl Crowd {
    /// A place for one more, unless there are too many.
    fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Stranger> {
        let mut crowd = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let here = crowd.get(&from).copied().unwrap_or_default();
        let all: usize = crowd.values().sum();
        if all >= STRANGERS.0 || here >= STRANGERS.1 {
            return None;
        }
        crowd.insert(from, here + 1);
        Some(Stranger {
            crowd: self.clone(),
            from,
        })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut crowd = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = crowd.get_mut(&self.from) {
            *here -= 1;
            if *here == 0 {
                crowd.remove(&self.from);
            }
        }
    }
}

impl fmt::Debug for TcpDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpDoor")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl TcpDoor {
    pub(in crate::link) fn new(
        listener: std::net::TcpListener,
        tls: TlsAcceptor,
        hub: Arc<Hub>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            tls,
            hub,
            strangers: Arc::default(),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Takes tunnels in until the listener that it belongs to is closed and has told its peers.
    ///
    /// # Errors
    /// Never; the type is what tasks have.
    pub async fn run(self) -> Result<(), std::convert::Infallible> {
        let mut tunnels = JoinSet::new();
        let (closing, closed) = (self.hub.closing.clone(), self.hub.closed.clone());
        let accepting = async {
            loop {
                tokio::select! {
                    accepted = self.listener.accept() => match accepted {
                        Ok((stream, peer)) => {
                            // Beyond the crowd a connection is closed at once: it cost the peer as much.
                            if let Some(stranger) = self.strangers.enter(peer.ip().to_canonical()) {
                                tunnels.spawn(self.tunnel(stream, peer, stranger));
                            }
                        }
                        Err(error) => {
                            tracing::warn!(%error, "no TCP connection of a probe could be taken");
                            tokio::time::sleep(BREATH).await;
                        }
                    },
                    Some(_) = tunnels.join_next() => {}
                    () = closing.cancelled() => break,
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = closed.cancelled() => {}
        }
        closed.cancelled().await;
        Ok(())
    }

    /// One tunnel from its first byte to its last.
    fn tunnel(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        stranger: Stranger,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (tls, hub, handshakes) = (self.tls.clone(), self.hub.clone(), self.handshakes.clone());
        async move {
            tune(&stream);
            let shaken = timeout(PATIENCE, async {
                let _turn = handshakes.acquire().await.map_err(io::Error::other)?;
                tls.accept(stream).await
            })
            .await;
            let stream = match shaken {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::debug!(peer.address = %peer, "no TLS handshake over TCP: {error}");
                    return;
                }
                Err(_) => return,
            };
            let (id, outbound, known) = hub.open(peer);
            let _ends = Ends(&hub, id);
            let mut carrying = Box::pin(carry(stream, id, hub.into.clone(), outbound));
            let ended = tokio::select! {
                ended = &mut carrying => ended,
                known = timeout(PATIENCE, known.notified()) => match known {
                    Ok(()) => {
                        drop(stranger);
                        carrying.await
                    }
                    Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it did not say who it is")),
                },
            };
            if let Err(error) = ended {
                tracing::debug!(peer.address = %peer, "a tunnel over TCP ended: {error}");
            }
        }
    }
}

/// Takes a tunnel off the hub, however its task ends.
struct Ends<'a>(&'a Hub, u64);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.end(self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_for_one_tunnel_and_no_real_peer_has_it() {
        for tunnel in [1, 2, u64::from(u32::MAX) + 7, u64::MAX] {
            assert_eq!(tunnel_of(address_of(tunnel)), Some(tunnel));
        }
        for address in [
            "192.0.2.1:4433",
            "[2001:db8::1]:4433",
            "[::ffff:192.0.2.1]:4433",
            "[100:0:0:1::1]:4433",
            "[::1]:1",
        ] {
            assert_eq!(tunnel_of(address.parse().unwrap()), None, "{address}");
        }
    }
}
