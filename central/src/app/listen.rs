//! The listeners of console and API: HTTPS, plain HTTP on loopback, and the control socket of this machine.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use axum::serve::IncomingStream;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use farwatch_shared::lifecycle::Lifecycle;
use farwatch_shared::link::Credentials;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use super::guard::{Guard, HEAD, places};
use super::{SocketPath, user_name};
use crate::api::{self, Central};
use crate::auth::session::{Transport, Via};
use crate::config::Config;

/// How long an HTTP/2 peer that sends nothing may take to answer a ping.
const PONG: Duration = Duration::from_secs(20);
/// What answers under way get when Central ends.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Who is at the other end of the control socket.
#[derive(Clone, Debug)]
struct LocalUser(String);

impl Connected<IncomingStream<'_, UnixListener>> for LocalUser {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(match stream.io().peer_cred() {
            Ok(peer) => user_name(nix::unistd::Uid::from_raw(peer.uid())),
            Err(_) => "unknown".to_owned(),
        })
    }
}

/// Says how a request came in; no header is believed.
fn reached_by(router: Router, transport: Transport) -> Router {
    router.layer(from_fn(
        move |ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request, next: Next| {
            request.extensions_mut().insert(Via {
                transport,
                peer: peer.ip().to_canonical().to_string(),
            });
            next.run(request)
        },
    ))
}

fn reached_locally(router: Router) -> Router {
    router.layer(from_fn(
        |ConnectInfo(LocalUser(user)): ConnectInfo<LocalUser>, mut request: Request, next: Next| {
            request.extensions_mut().insert(Via {
                transport: Transport::Local,
                peer: user,
            });
            next.run(request)
        },
    ))
}

/// Binds and serves all that the configuration says.
///
/// # Errors
/// An address is taken, or a certificate cannot be read.
pub(super) async fn start(
    config: &Config,
    central: &Central,
    life: &Lifecycle,
) -> anyhow::Result<()> {
    let (router, _) = api::router(central.clone());
    if let Some(address) = config.listen_http {
        let listener = TcpListener::bind(address)
            .await
            .and_then(TcpListener::into_std)
            .with_context(|| format!("listen_http {address}"))?;
        let handle = Handle::new();
        // Without TLS no browser speaks HTTP/2.
        let mut server = axum_server::from_tcp(listener)?
            .http1_only()
            .map(|acceptor| Guard::new(acceptor, places()))
            .handle(handle.clone());
        limits(server.http_builder());
        let service = reached_by(router.clone(), Transport::Http);
        let serving = server.serve(service.into_make_service_with_connect_info::<SocketAddr>());
        life.spawn("http", until_drained(serving, handle, life.drain()));
    }
    if let Some(address) = config.listen_https {
        let tls = tls(config, central)?;
        let listener = TcpListener::bind(address)
            .await
            .and_then(TcpListener::into_std)
            .with_context(|| format!("listen_https {address}"))?;
        let handle = Handle::new();
        let mut server = axum_server::from_tcp_rustls(listener, tls)?
            .map(|acceptor| Guard::new(acceptor, places()))
            .handle(handle.clone());
        limits(server.http_builder());
        let service = reached_by(router, Transport::Https);
        let serving = server.serve(service.into_make_service_with_connect_info::<SocketAddr>());
        life.spawn("https", until_drained(serving, handle, life.drain()));
    }
    let socket = SocketPath::of(&config.data_dir)?;
    let path = socket.path();
    // We hold the directory's lock: whoever left it here is gone.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| path.display().to_string())?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let (router, _) = api::local_router(central.clone());
    life.spawn("control socket", local(listener, router, life.drain()));
    Ok(())
}

/// How long the head of a request may take, and how long a connection is kept between two.
fn limits(builder: &mut Builder<TokioExecutor>) {
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD)
        .keep_alive_timeout(PONG);
}

/// Serves until told to drain; answers under way get a moment.
async fn until_drained(
    serving: impl Future<Output = io::Result<()>>,
    handle: Handle<SocketAddr>,
    drain: CancellationToken,
) -> io::Result<()> {
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => ended,
        () = drain.cancelled() => {
            handle.graceful_shutdown(Some(LAST_ANSWERS));
            serving.await
        }
    }
}

async fn local(listener: UnixListener, router: Router, drain: CancellationToken) -> io::Result<()> {
    let service = reached_locally(router);
    axum::serve(
        listener,
        service.into_make_service_with_connect_info::<LocalUser>(),
    )
    .with_graceful_shutdown(drain.cancelled_owned())
    .await
}

/// The certificate that was given, else one of Central's own CA for this machine's names.
fn tls(config: &Config, central: &Central) -> anyhow::Result<RustlsConfig> {
    let Credentials { chain, key } = match &config.https {
        Some(files) => {
            let chain = CertificateDer::pem_file_iter(&files.certificate)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .with_context(|| {
                    format!("https.certificate_file {}", files.certificate.display())
                })?;
            let key = PrivateKeyDer::from_pem_file(&files.key)
                .with_context(|| format!("https.key_file {}", files.key.display()))?;
            Credentials { chain, key }
        }
        None => central
            .enroll
            .ca()
            .https_credentials(&config.https_names(), central.clock.now())
            .context("the console's certificate")?,
    };
    let mut server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the console's certificate and its key")?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(std::sync::Arc::new(server)))
}
