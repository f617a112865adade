//! TLS configurations of both sides: TLS 1.3, no resumption, no early data.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::endpoint::Credentials;
use super::verify::{ClientVerifier, ServerTrust, ServerVerifier, provider};

/// Whom Central asks for a certificate.
pub(super) enum Clients {
    /// Whoever has one of these CAs' shows it; none is let in too.
    MayShow(Vec<CertificateDer<'static>>),
    /// Nobody: who they are is settled further in.
    AreNotAsked,
}

/// Central's side.
pub(super) fn server(
    credentials: Credentials,
    clients: Clients,
    protocols: Vec<Vec<u8>>,
) -> Result<rustls::ServerConfig, rustls::Error> {
    let builder = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match clients {
        Clients::MayShow(anchors) => {
            builder.with_client_cert_verifier(Arc::new(ClientVerifier::new(anchors)))
        }
        Clients::AreNotAsked => builder.with_no_client_auth(),
    };
    let mut tls = builder.with_single_cert(credentials.chain, credentials.key)?;
    tls.alpn_protocols = protocols;
    // A resumed handshake would show no certificate: a revoked one would pass.
    tls.send_tls13_tickets = 0;
    tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    tls.max_early_data_size = 0;
    Ok(tls)
}

/// The probe's side.
pub(super) fn client(
    credentials: Option<Credentials>,
    trust: ServerTrust,
    protocol: &[u8],
) -> Result<rustls::ClientConfig, rustls::Error> {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous() // the name of the method; ours checks more than the usual one
        .with_custom_certificate_verifier(Arc::new(ServerVerifier::new(trust)));
    let mut tls = match credentials {
        Some(own) => builder.with_client_auth_cert(own.chain, own.key)?,
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![protocol.to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    tls.enable_early_data = false;
    Ok(tls)
}
