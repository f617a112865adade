//! Listening (Central) and dialling (the probe): QUIC with TLS 1.3, no resumption, no 0-RTT; over UDP, or over TCP where
//! UDP is blocked.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, EndpointConfig, Runtime as _, ServerConfig, TokioRuntime};
use quinn::{TransportConfig, VarInt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::timeout;

use super::congestion::FlooredConfig;
use super::stream::{Closed, Connection, Transport, plain};
use super::tunnel::client::{NoTunnel, Quiet, TcpRoute, Tunnel};
use super::tunnel::hub::{Hub, TcpDoor};
use super::verify::ServerTrust;
use super::{Alpn, tls, tunnel};

/// A packet goes out at least this often, so that NAT keeps the way open.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A connection on which nothing came for this long has ended.
pub const IDLE: Duration = Duration::from_secs(30);
/// Streams that the peer may have open: events, live, backlog and a few pulls at once; Central opens one.
const PEER_STREAMS: u32 = 12;
/// Bytes of one stream under way; × streams stays below [`CONNECTION_WINDOW`], so that a full stream never stops another.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes of all streams under way.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Bytes handed to the transport and not yet acknowledged by the peer's transport.
const SEND_WINDOW: u64 = 2 * 1024 * 1024;
/// Bytes that the system may hold for Central's socket: some thousand packets.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// Handshakes that may wait for their turn: two seconds' worth. Whoever comes when it is full is told so at once and
/// comes back with jitter; a longer queue would only hold peers that have lost patience.
const WAITING_HANDSHAKES: usize = 512;
/// Bytes of datagrams kept for one, and for all waiting handshakes.
const WAITING_BYTES: (u64, u64) = (16 * 1024, 16 * 1024 * 1024);
/// TCP connections that wait to be accepted.
const TCP_BACKLOG: i32 = 1_024;
/// Not a name in any DNS; who Central is stands in its certificate's URI.
const SERVER_NAME: &str = "central.farwatch.internal";

/// A certificate chain and its key.
pub struct Credentials {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(
            IDLE.try_into().expect("30 s is a valid idle time-out"),
        ))
        .max_concurrent_bidi_streams(VarInt::from_u32(PEER_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .congestion_controller_factory(Arc::new(FlooredConfig::default()))
        .datagram_receive_buffer_size(None);
    Arc::new(transport)
}

/// Central's end.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    hub: Arc<Hub>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.hub.closing.cancel();
        self.hub.closed.cancel();
    }
}

impl Listener {
    /// Listens on `address` (UDP) as `credentials`, for peers whose certificates one of `anchors` signed, or who have none.
    ///
    /// # Errors
    /// The address is taken or not ours, or key and certificate do not fit.
    pub fn bind(
        address: SocketAddr,
        credentials: Credentials,
        anchors: Vec<CertificateDer<'static>>,
    ) -> io::Result<Self> {
        let protocols = Alpn::ALL.iter().map(|a| a.as_bytes().to_vec()).collect();
        let tls = tls::server(credentials, tls::Clients::MayShow(anchors), protocols)
            .map_err(io::Error::other)?;
        let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config
            .transport_config(transport())
            .migration(true)
            .max_incoming(WAITING_HANDSHAKES)
            .incoming_buffer_size(WAITING_BYTES.0)
            .incoming_buffer_size_total(WAITING_BYTES.1);
        let hub = Arc::new(Hub::new(
            TokioRuntime.wrap_udp_socket(listening_socket(address)?)?,
        ));
        let endpoint = Endpoint::new_with_abstract_socket(
            EndpointConfig::default(),
            Some(config),
            hub.clone(),
            Arc::new(TokioRuntime),
        )?;
        Ok(Self { endpoint, hub })
    }

    /// A door for the same peers over TCP, where their networks let no UDP out. It has to be run.
    ///
    /// # Errors
    /// The address is taken or not ours, or key and certificate do not fit.
    pub fn tcp_door(&self, address: SocketAddr, credentials: Credentials) -> io::Result<TcpDoor> {
        let protocols = vec![tunnel::ALPN.to_vec()];
        let tls = tls::server(credentials, tls::Clients::AreNotAsked, protocols)
            .map_err(io::Error::other)?;
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM,
            Some(socket2::Protocol::TCP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // A port of connections that ended a minute ago is free; one that somebody listens on is not.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(TCP_BACKLOG)?;
        TcpDoor::new(socket.into(), Arc::new(tls).into(), self.hub.clone())
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The next peer that knocks; `None` once the listener is closed.
    pub async fn accept(&self) -> Option<Incoming> {
        let inner = self.endpoint.accept().await?;
        Some(Incoming {
            inner,
            hub: self.hub.clone(),
        })
    }

    /// Connections now, handshakes included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.endpoint.open_connections()
    }

    /// Takes nobody new, closes everybody.
    pub fn close(&self, code: super::CloseCode, reason: &str) {
        self.hub.closing.cancel();
        self.endpoint.set_server_config(None);
        self.endpoint.close(code.into(), reason.as_bytes());
    }

    /// Waits until the peers have been told.
    pub async fn idle(&self) {
        self.endpoint.wait_idle().await;
        self.hub.closed.cancel();
    }
}

/// A UDP socket with room for a crowd; `[::]` takes IPv4 as well.
fn listening_socket(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // The system may grant less (net.core.rmem_max); then a crowd loses some packets and sends them again.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl From<super::CloseCode> for VarInt {
    fn from(code: super::CloseCode) -> Self {
        Self::from_u32(code.number())
    }
}

/// Somebody who knocks.
#[derive(Debug)]
pub struct Incoming {
    inner: quinn::Incoming,
    hub: Arc<Hub>,
}

/// A finished handshake, not yet accepted: nothing may be read from it before [`accept`](super::accept()) agrees.
#[derive(Clone, Debug)]
pub struct Handshaken {
    /// What was agreed.
    pub alpn: Vec<u8>,
    /// What the peer showed; TLS has proved that it holds the key.
    pub chain: Vec<CertificateDer<'static>>,
    /// The connection.
    pub connection: Connection,
}

impl Incoming {
    /// Where from; forged unless [`Self::is_address_proved`].
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        let address = self.inner.remote_address();
        plain(self.hub.tcp_peer(address).unwrap_or(address))
    }

    /// Over what.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self.hub.tcp_peer(self.inner.remote_address()) {
            Some(_) => Transport::Tcp,
            None => Transport::Udp,
        }
    }

    /// Whether the peer has shown that it receives what is sent there.
    #[must_use]
    pub fn is_address_proved(&self) -> bool {
        self.inner.remote_address_validated() || self.transport() == Transport::Tcp
    }

    /// Asks the peer to show that it receives there; costs no memory. Somebody who already has is let go.
    pub fn retry(self) {
        if self.inner.may_retry() {
            let _ = self.inner.retry();
        } else {
            self.inner.refuse();
        }
    }

    /// Says no at once.
    pub fn refuse(self) {
        self.inner.refuse();
    }

    /// Says nothing at all.
    pub fn ignore(self) {
        self.inner.ignore();
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// TLS did not agree (another CA, no common protocol), or the peer went away.
    pub async fn shake(self) -> Result<Handshaken, Closed> {
        let address = self.inner.remote_address();
        let tcp_peer = self.hub.tcp_peer(address);
        let connection = self.inner.await?;
        let alpn = connection
            .handshake_data()
            .and_then(|data| data.downcast::<HandshakeData>().ok())
            .and_then(|data| data.protocol)
            .unwrap_or_default();
        let connection = Connection::new(connection, tcp_peer);
        let chain = shown_by(&connection);
        // TLS has checked that the certificate is of our CA.
        if !chain.is_empty() {
            self.hub.knows(address);
        }
        Ok(Handshaken {
            alpn,
            chain,
            connection,
        })
    }
}

/// Why there is no connection to Central.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No socket could be had.
    #[error("no UDP socket")]
    Socket(#[source] io::Error),
    /// No TCP connection.
    #[error("no TCP connection")]
    Tcp(#[source] io::Error),
    /// The proxy on the way gives none.
    #[error("{0}")]
    Proxy(String),
    /// Key and certificate do not fit, or the address cannot be dialled.
    #[error("cannot dial: {0}")]
    Setup(String),
    /// The handshake failed.
    #[error("no handshake")]
    Handshake(#[source] Closed),
    /// Nothing at all came back.
    #[error("no answer within {0:?}")]
    Silence(Duration),
}

/// The ways to Central, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Central's UDP address; `None` when its name cannot be resolved here (a proxy may).
    pub udp: Option<SocketAddr>,
    /// Central's TCP door; `None` when it is not to be tried.
    pub tcp: Option<TcpRoute>,
    /// Which goes first.
    pub first: Transport,
    /// The other is begun when the first has not answered for this long, or has failed.
    pub head_start: Duration,
    /// How long either may take.
    pub deadline: Duration,
}

/// Why neither way led to Central; `None` was not tried.
#[derive(Debug)]
pub struct Unreached {
    /// Over UDP.
    pub udp: Option<DialError>,
    /// Over TCP.
    pub tcp: Option<DialError>,
}

/// The probe's end: one socket per family, made when first needed.
#[derive(Debug, Default)]
pub struct Dialer {
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
}

impl Dialer {
    /// A dialler without sockets yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects by whichever way of a route answers first.
    ///
    /// # Errors
    /// [`Unreached`], once both have failed.
    pub async fn reach(
        &mut self,
        route: &Route,
        alpn: Alpn,
        credentials: Option<Credentials>,
        trust: ServerTrust,
    ) -> Result<Connection, Unreached> {
        let first_failed = tokio::sync::Notify::new();
        // Whoever goes second waits for its turn.
        let turn = |over: Transport| {
            let failed = first_failed.notified();
            async move {
                if over != route.first {
                    let _ = timeout(route.head_start, failed).await;
                }
            }
        };
        let over_udp = async {
            turn(Transport::Udp).await;
            let connected = match route.udp {
                Some(address) => {
                    let (own, trust) = (credentials.clone(), trust.clone());
                    self.connect(address, alpn, own, trust, route.deadline)
                        .await
                        .map_err(Some)
                }
                None => Err(None),
            };
            if connected.is_err() {
                first_failed.notify_one();
            }
            connected
        };
        let over_tcp = async {
            turn(Transport::Tcp).await;
            let connected = match &route.tcp {
                Some(tcp) => {
                    let connecting = connect_tcp(tcp, alpn, credentials.clone(), trust.clone());
                    timeout(route.deadline, connecting)
                        .await
                        .unwrap_or(Err(DialError::Silence(route.deadline)))
                        .map_err(Some)
                }
                None => Err(None),
            };
            if connected.is_err() {
                first_failed.notify_one();
            }
            connected
        };
        tokio::pin!(over_udp, over_tcp);
        tokio::select! {
            udp = &mut over_udp => match udp {
                Ok(connection) => Ok(connection),
                Err(udp) => over_tcp.await.map_err(|tcp| Unreached { udp, tcp }),
            },
            tcp = &mut over_tcp => match tcp {
                Ok(connection) => Ok(connection),
                Err(tcp) => over_udp.await.map_err(|udp| Unreached { udp, tcp }),
            },
        }
    }

    /// Connects over UDP. An `Ok` does not mean that Central accepts the certificate; its first answer does.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn connect(
        &mut self,
        address: SocketAddr,
        alpn: Alpn,
        credentials: Option<Credentials>,
        trust: ServerTrust,
        deadline: Duration,
    ) -> Result<Connection, DialError> {
        let config = client_config(alpn, credentials, trust)?;
        let connecting = self
            .endpoint(address)
            .map_err(DialError::Socket)?
            .connect_with(config, address, SERVER_NAME)
            .map_err(|error| DialError::Setup(error.to_string()))?;
        match timeout(deadline, connecting).await {
            Ok(Ok(connection)) => Ok(Connection::new(connection, None)),
            Ok(Err(quinn::ConnectionError::TimedOut)) => Err(DialError::Silence(deadline)),
            Ok(Err(error)) => Err(DialError::Handshake(error.into())),
            Err(_) => Err(DialError::Silence(deadline)),
        }
    }

    /// Moves to another socket, as a host does whose address changed; connections go on. For tests of NAT rebinding.
    ///
    /// # Errors
    /// No socket.
    pub fn rebind(&self) -> io::Result<()> {
        for (endpoint, any) in [
            (&self.v4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            (&self.v6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        ] {
            if let Some(endpoint) = endpoint {
                endpoint.rebind(std::net::UdpSocket::bind((any, 0))?)?;
            }
        }
        Ok(())
    }

    fn endpoint(&mut self, peer: SocketAddr) -> io::Result<&Endpoint> {
        let (slot, any) = match peer {
            SocketAddr::V4(_) => (&mut self.v4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            SocketAddr::V6(_) => (&mut self.v6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        match slot {
            Some(endpoint) => Ok(endpoint),
            None => {
                let socket = std::net::UdpSocket::bind((any, 0))?;
                let runtime = quinn::default_runtime()
                    .ok_or_else(|| io::Error::other("no runtime to dial in"))?;
                let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, runtime)?;
                Ok(slot.insert(endpoint))
            }
        }
    }
}

fn client_config(
    alpn: Alpn,
    credentials: Option<Credentials>,
    trust: ServerTrust,
) -> Result<ClientConfig, DialError> {
    let setup = |error: &dyn fmt::Display| DialError::Setup(error.to_string());
    let tls = tls::client(credentials, trust, alpn.as_bytes()).map_err(|e| setup(&e))?;
    let crypto = QuicClientConfig::try_from(tls).map_err(|error| setup(&error))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport());
    Ok(config)
}

/// Connects over TCP: a tunnel, and in it what [`Dialer::connect`] does over UDP.
async fn connect_tcp(
    route: &TcpRoute,
    alpn: Alpn,
    credentials: Option<Credentials>,
    trust: ServerTrust,
) -> Result<Connection, DialError> {
    let config = client_config(alpn, credentials, trust.clone())?;
    let tunnel = Tunnel::open(route, trust).await.map_err(|why| match why {
        NoTunnel::Tcp(error) => DialError::Tcp(error),
        NoTunnel::Tls(why) => DialError::Handshake(Closed::Tls(why)),
        proxy @ NoTunnel::Proxy { .. } => DialError::Proxy(proxy.to_string()),
    })?;
    let peer = tunnel.peer;
    let endpoint = Endpoint::new_with_abstract_socket(
        EndpointConfig::default(),
        None,
        Arc::new(tunnel),
        Arc::new(Quiet),
    )
    .map_err(DialError::Tcp)?;
    let connection = endpoint
        .connect_with(config, peer, SERVER_NAME)
        .map_err(|error| DialError::Setup(error.to_string()))?
        .await
        .map_err(|error| DialError::Handshake(error.into()))?;
    Ok(Connection::new(connection, Some(peer)))
}

/// The certificates that the other side of a connection showed, leaf first.
#[must_use]
pub fn shown_by(connection: &Connection) -> Vec<CertificateDer<'static>> {
    connection
        .inner()
        .peer_identity()
        .and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok())
        .map(|chain| *chain)
        .unwrap_or_default()
}
