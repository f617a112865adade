//! The probe's end: one TCP connection, and over it one QUIC connection.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tracing::instrument::WithSubscriber as _;

use super::hub::received;
use super::proxy::{Proxy, Refused};
use super::{ALPN, Packet, QUEUE, carry, datagrams, tune};
use crate::link::tls;
use crate::link::verify::ServerTrust;

/// Packets that wait for the endpoint.
const INBOX: usize = 256;
/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 8;
/// Between the beginnings of two attempts.
const STAGGER: Duration = Duration::from_millis(250);

/// Where Central listens for tunnels, and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpRoute {
    /// Name or address of Central. A proxy resolves it itself.
    pub host: String,
    /// Central's TCP port.
    pub port: u16,
    /// The HTTP proxy on the way.
    pub proxy: Option<Proxy>,
}

impl fmt::Display for TcpRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", super::proxy::authority(&self.host, self.port))?;
        match &self.proxy {
            Some(proxy) => write!(f, " through the proxy {proxy}"),
            None => Ok(()),
        }
    }
}

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub(in crate::link) enum NoTunnel {
    /// No TCP connection.
    #[error(transparent)]
    Tcp(io::Error),
    /// The proxy.
    #[error("the proxy {proxy}: {why}")]
    Proxy { proxy: Proxy, why: Refused },
    /// Somebody else answers, or opens TLS on the way.
    #[error("{0}")]
    Tls(String),
}

/// What quinn takes for its socket.
pub(in crate::link) struct Tunnel {
    pub(in crate::link) peer: SocketAddr,
    local: SocketAddr,
    out: mpsc::Sender<Bytes>,
    inbox: Mutex<mpsc::Receiver<Packet>>,
    /// Ends with the endpoint.
    _carrier: JoinSet<()>,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl Tunnel {
    /// Connects, and proves that it is Central who answers.
    pub(in crate::link) async fn open(
        route: &TcpRoute,
        trust: ServerTrust,
    ) -> Result<Self, NoTunnel> {
        let stream = match &route.proxy {
            None => connect(&route.host, route.port)
                .await
                .map_err(NoTunnel::Tcp)?,
            Some(proxy) => {
                let refused = |why| NoTunnel::Proxy {
                    proxy: proxy.clone(),
                    why,
                };
                let (host, port) = proxy.place();
                let connected = connect(host, port).await;
                let mut stream = connected.map_err(|error| refused(Refused::Io(error)))?;
                proxy
                    .connect(&mut stream, &route.host, route.port)
                    .await
                    .map_err(refused)?;
                stream
            }
        };
        tune(&stream);
        let peer = stream.peer_addr().map_err(NoTunnel::Tcp)?;
        let local = stream.local_addr().map_err(NoTunnel::Tcp)?;
        let config = tls::client(None, trust, ALPN).map_err(|e| NoTunnel::Tls(e.to_string()))?;
        // Who answers stands in the certificate's URI; the name is for firewalls that want to see one.
        let name = ServerName::try_from(route.host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| NoTunnel::Tls(format!("{} is not a name", route.host)))?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|error| match error.get_ref() {
                Some(of_tls) if of_tls.is::<rustls::Error>() => NoTunnel::Tls(of_tls.to_string()),
                _ => NoTunnel::Tcp(error),
            })?;
        let (out, outbound) = mpsc::channel(QUEUE);
        let (into, inbox) = mpsc::channel(INBOX);
        let mut carrier = JoinSet::new();
        carrier.spawn(async move {
            if let Err(error) = carry(stream, 0, into, outbound).await {
                tracing::debug!("the tunnel to Central ended: {error}");
            }
        });
        Ok(Self {
            peer,
            local,
            out,
            inbox: Mutex::new(inbox),
            _carrier: carrier,
        })
    }
}

/// Connects to whichever address of a host answers first; each next one is begun a little later (RFC 8305).
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let host = host.trim_matches(['[', ']']);
    let mut attempts: FuturesUnordered<_> = tokio::net::lookup_host((host, port))
        .await?
        .take(MOST_ADDRESSES)
        .zip(0..)
        .map(|(address, turn)| async move {
            tokio::time::sleep(STAGGER * turn).await;
            TcpStream::connect(address).await
        })
        .collect();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// A tunnel never makes its endpoint wait: what TCP cannot take is dropped.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for Tunnel {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        for packet in datagrams(transmit) {
            if self.out.try_send(packet).is_err() {
                break; // full: dropped, as a router does; or ended, which poll_recv tells
            }
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let mut filled = 0;
        while filled < bufs.len().min(meta.len()) {
            match inbox.poll_recv(cx) {
                Poll::Ready(Some(packet)) => {
                    if let Some(room) = bufs[filled].get_mut(..packet.bytes.len()) {
                        room.copy_from_slice(&packet.bytes);
                        meta[filled] = received(packet.bytes.len(), self.peer);
                        filled += 1;
                    }
                }
                Poll::Ready(None) if filled == 0 => {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if filled > 0 {
            Poll::Ready(Ok(filled))
        } else {
            Poll::Pending
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// The runtime of a tunnel's endpoint. A TCP connection that ends is nothing for the log of errors: whoever uses the
/// connection says so.
#[derive(Debug)]
pub(in crate::link) struct Quiet;

impl Runtime for Quiet {
    fn new_timer(&self, at: std::time::Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let silent = tracing::subscriber::NoSubscriber::new();
        TokioRuntime.spawn(Box::pin(future.with_subscriber(silent)));
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> std::time::Instant {
        TokioRuntime.now()
    }
}
