//! Listening (Central) and dialling (the probe): QUIC with TLS 1.3, no resumption, no 0-RTT.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, TransportConfig, VarInt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Alpn;
use super::congestion::FlooredConfig;
use super::stream::{Closed, Connection, plain};
use super::verify::{ClientVerifier, ServerTrust, ServerVerifier, provider};

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
#[derive(Clone, Debug)]
pub struct Listener(Endpoint);

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
        let mut tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_client_cert_verifier(Arc::new(ClientVerifier::new(anchors)))
            .with_single_cert(credentials.chain, credentials.key)
            .map_err(io::Error::other)?;
        tls.alpn_protocols = Alpn::ALL.iter().map(|a| a.as_bytes().to_vec()).collect();
        // A resumed handshake would show no certificate: a revoked one would pass.
        tls.send_tls13_tickets = 0;
        tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        tls.max_early_data_size = 0;
        let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config
            .transport_config(transport())
            .migration(true)
            .max_incoming(WAITING_HANDSHAKES)
            .incoming_buffer_size(WAITING_BYTES.0)
            .incoming_buffer_size_total(WAITING_BYTES.1);
        let runtime =
            quinn::default_runtime().ok_or_else(|| io::Error::other("no runtime to listen in"))?;
        let socket = listening_socket(address)?;
        Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime).map(Self)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The next peer that knocks; `None` once the listener is closed.
    pub async fn accept(&self) -> Option<Incoming> {
        self.0.accept().await.map(Incoming)
    }

    /// Connections now, handshakes included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.open_connections()
    }

    /// Takes nobody new, closes everybody.
    pub fn close(&self, code: super::CloseCode, reason: &str) {
        self.0.set_server_config(None);
        self.0.close(code.into(), reason.as_bytes());
    }

    /// Waits until the peers have been told.
    pub async fn idle(&self) {
        self.0.wait_idle().await;
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
pub struct Incoming(quinn::Incoming);

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
        plain(self.0.remote_address())
    }

    /// Whether the peer has shown that it receives what is sent there.
    #[must_use]
    pub fn is_address_proved(&self) -> bool {
        self.0.remote_address_validated()
    }

    /// Asks the peer to show that it receives there; costs no memory. Somebody who already has is let go.
    pub fn retry(self) {
        if self.0.may_retry() {
            let _ = self.0.retry();
        } else {
            self.0.refuse();
        }
    }

    /// Says no at once.
    pub fn refuse(self) {
        self.0.refuse();
    }

    /// Says nothing at all.
    pub fn ignore(self) {
        self.0.ignore();
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// TLS did not agree (another CA, no common protocol), or the peer went away.
    pub async fn shake(self) -> Result<Handshaken, Closed> {
        let connection = self.0.await?;
        let alpn = connection
            .handshake_data()
            .and_then(|data| data.downcast::<HandshakeData>().ok())
            .and_then(|data| data.protocol)
            .unwrap_or_default();
        let chain = connection
            .peer_identity()
            .and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok())
            .map(|chain| *chain)
            .unwrap_or_default();
        Ok(Handshaken {
            alpn,
            chain,
            connection: Connection::new(connection),
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

    /// Connects. An `Ok` does not mean that Central accepts the certificate; its first answer does.
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
        let setup = |error: &dyn fmt::Display| DialError::Setup(error.to_string());
        let tls = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| setup(&error))?
            .dangerous() // the name of the method; ours checks more than the usual one
            .with_custom_certificate_verifier(Arc::new(ServerVerifier::new(trust)));
        let mut tls = match credentials {
            Some(own) => tls
                .with_client_auth_cert(own.chain, own.key)
                .map_err(|error| setup(&error))?,
            None => tls.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        tls.resumption = rustls::client::Resumption::disabled();
        tls.enable_early_data = false;
        let crypto = QuicClientConfig::try_from(tls).map_err(|error| setup(&error))?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(transport());
        let connecting = self
            .endpoint(address)
            .map_err(DialError::Socket)?
            .connect_with(config, address, SERVER_NAME)
            .map_err(|error| setup(&error))?;
        match tokio::time::timeout(deadline, connecting).await {
            Ok(Ok(connection)) => Ok(Connection::new(connection)),
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
