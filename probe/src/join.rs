//! `farwatch-probe join`: from a pasted token to a probe, or a sentence that says what is wrong.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use farwatch_shared::clock::Clock;
use farwatch_shared::error::Chain;
use farwatch_shared::link::token::TokenError;
use farwatch_shared::link::{
    Alpn, CloseCode, Closed, Connection, DialError, Dialer, JoinToken, Priority, Proxy, ReadError,
    Route, ServerTrust, Transport, TrustedCa,
};
use farwatch_shared::wire::codec::PULL_LIMIT;
use farwatch_shared::wire::message::enroll::{CertificateAnswer, JoinRequest};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use crate::identity::{self, Identity, IdentityError, Place};
use crate::route::{self, resolve};

/// How long any of Central's addresses may take to answer, over either way; with the names' resolution and [`HEAD_START`]
/// below the 15 s in which blocked UDP is said.
const ANSWER: Duration = Duration::from_secs(8);
/// What UDP has on TCP.
const HEAD_START: Duration = Duration::from_secs(2);
/// How long Central may take to decide, once connected.
const DECIDE: Duration = Duration::from_secs(10);

/// Why this machine did not become a probe. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The paste is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// There is an identity already.
    #[error(
        "this machine has joined already, as \"{0}\": to join again, stop the service and move its data directory away"
    )]
    AlreadyJoined(String),
    /// No address could be resolved.
    #[error("{host} cannot be resolved: check the name, and this machine's DNS")]
    Dns {
        /// Which name.
        host: String,
        /// What the resolver says.
        #[source]
        source: io::Error,
    },
    /// Nothing came back.
    #[error(
        "no answer from {address} over UDP within {} s: a firewall on the way blocks UDP port {}, or Central is not running there; allow outgoing UDP to it and try again ({tcp})",
        within.as_secs(), address.port()
    )]
    NoAnswer {
        /// Where.
        address: SocketAddr,
        /// How long was waited.
        within: Duration,
        /// What became of TCP.
        tcp: String,
    },
    /// The name cannot be resolved here, and the proxy leads nowhere.
    #[error("{0}")]
    Tcp(String),
    /// Somebody else answers there.
    #[error(
        "the server at {address} is not the Central that made this token ({why}): make a new token in the console you mean to join"
    )]
    OtherCentral {
        /// Where.
        address: SocketAddr,
        /// What TLS says.
        why: String,
    },
    /// Central said no.
    #[error("Central refuses: {sentence}")]
    Refused {
        /// One word, for programs.
        reason: String,
        /// What to do.
        sentence: String,
    },
    /// The connection broke half way.
    #[error("the connection to {address} broke while joining: try again with the same token")]
    Broke {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// Central answered nothing after connecting.
    #[error("{address} answers, but decides nothing: try again with the same token")]
    Undecided {
        /// Where.
        address: SocketAddr,
    },
    /// The network does not even let us try.
    #[error("cannot dial {address}")]
    Dial {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: DialError,
    },
    /// The data directory.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Joins with a pasted token, where UDP is blocked over TCP (through `proxy`); the identity is in `data_dir` then.
///
/// # Errors
/// [`JoinError`], within 15 s when nothing answers. A token that was not refused can be used again.
pub async fn join(
    token: &str,
    data_dir: &Path,
    name: Option<&str>,
    proxy: Option<Proxy>,
    clock: &Clock,
) -> Result<Place, JoinError> {
    join_within(token, data_dir, name, proxy, clock, ANSWER).await
}

async fn join_within(
    token: &str,
    data_dir: &Path,
    name: Option<&str>,
    proxy: Option<Proxy>,
    clock: &Clock,
    patience: Duration,
) -> Result<Place, JoinError> {
    let token: JoinToken = token.parse()?;
    if let Some(identity) = Identity::load(data_dir)? {
        return Err(JoinError::AlreadyJoined(
            identity.place().probe_name.clone(),
        ));
    }
    let key = identity::key_in(data_dir)?;
    let (address, connection) = connect(&token, proxy.as_ref(), clock, patience).await?;
    let request = JoinRequest {
        secret: token.secret,
        csr: identity::csr(&key)?,
        host_name: name.map_or_else(host_name, str::to_owned),
        program: crate::uplink::PROGRAM.to_owned(),
    };
    let answer = tokio::time::timeout(DECIDE, ask(&connection, &request))
        .await
        .map_err(|_| JoinError::Undecided { address })?
        .map_err(|source| JoinError::Broke { address, source })?;
    connection.close(CloseCode::Done, "");
    if !answer.refused.is_empty() {
        return Err(JoinError::Refused {
            reason: answer.reason,
            sentence: answer.refused,
        });
    }
    let mut identity =
        Identity::keep_joined(data_dir, key, &answer, &token.ca_key_hash, clock.now())?;
    if proxy.is_some() {
        identity.keep_proxy(proxy)?;
    }
    Ok(identity.place().clone())
}

/// This machine's name.
#[must_use]
pub fn host_name() -> String {
    nix::sys::utsname::uname().map_or_else(
        |_| "probe".to_owned(),
        |uname| uname.nodename().to_string_lossy().into_owned(),
    )
}

async fn ask(
    connection: &Connection,
    request: &JoinRequest,
) -> Result<CertificateAnswer, ReadError> {
    let (mut send, receive) = connection.open(Priority::Events).await?;
    send.send(request).await?;
    send.finish();
    receive.with_limit(PULL_LIMIT).expect().await
}

/// Tries every address of the token at once; the first that answers wins.
async fn connect(
    token: &JoinToken,
    proxy: Option<&Proxy>,
    clock: &Clock,
    patience: Duration,
) -> Result<(SocketAddr, Connection), JoinError> {
    let mut failure = None;
    let mut attempts = FuturesUnordered::new();
    for place in route::places(&token.addresses, proxy) {
        let resolved = match &place.udp {
            Some(host) => resolve(host).await,
            None => Ok(Vec::new()),
        };
        let targets = match resolved {
            Ok(addresses) if addresses.is_empty() => vec![None],
            Ok(addresses) => addresses.into_iter().map(Some).collect(),
            Err(source) => {
                let host = place.udp.clone().unwrap_or_default();
                worse(&mut failure, JoinError::Dns { host, source });
                // The proxy may know the name.
                proxy.iter().map(|_| None).collect()
            }
        };
        attempts.extend(targets.into_iter().map(|udp| {
            let route = Route {
                udp,
                tcp: Some(place.tcp.clone()),
                first: Transport::Udp,
                head_start: HEAD_START.min(patience),
                deadline: patience,
            };
            dial(token, route, clock)
        }));
    }
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(connected) => return Ok(connected),
            Err(error) => worse(&mut failure, error),
        }
    }
    Err(failure.unwrap_or(JoinError::Token(TokenError::CutOff)))
}

async fn dial(
    token: &JoinToken,
    route: Route,
    clock: &Clock,
) -> Result<(SocketAddr, Connection), JoinError> {
    let trust = ServerTrust {
        ca: TrustedCa::KeyHash(token.ca_key_hash),
        deployment: None,
        now: identity::believed_before_joining(clock),
    };
    let unreached = match Dialer::new().reach(&route, Alpn::Join, None, trust).await {
        Ok(connection) => return Ok((connection.remote_address(), connection)),
        Err(unreached) => unreached,
    };
    let tcp = match (&route.tcp, &unreached.tcp) {
        (Some(to), Some(DialError::Silence(_))) => format!("over TCP {to} does not answer either"),
        (Some(to), Some(error)) => format!("over TCP to {to}: {}", Chain(error)),
        _ => "TCP was not tried".to_owned(),
    };
    Err(match (route.udp, unreached.udp) {
        (Some(address), Some(DialError::Silence(within))) => JoinError::NoAnswer {
            address,
            within,
            tcp,
        },
        (Some(address), Some(DialError::Handshake(Closed::Tls(why)))) => {
            JoinError::OtherCentral { address, why }
        }
        (Some(address), Some(source)) => JoinError::Dial { address, source },
        _ => JoinError::Tcp(tcp),
    })
}

/// Several addresses failed: the one that came furthest says the most.
fn worse(kept: &mut Option<JoinError>, new: JoinError) {
    const fn telling(error: &JoinError) -> u8 {
        match error {
            JoinError::OtherCentral { .. } => 3,
            JoinError::NoAnswer { .. } | JoinError::Tcp(_) => 2,
            JoinError::Dial { .. } => 1,
            _ => 0,
        }
    }
    if kept
        .as_ref()
        .is_none_or(|kept| telling(&new) > telling(kept))
    {
        *kept = Some(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farwatch_shared::clock::Timestamp;

    fn token(addresses: &[&str]) -> String {
        JoinToken {
            addresses: addresses.iter().map(|&a| a.to_owned()).collect(),
            ca_key_hash: [1; 32],
            secret: [2; 32],
            expires: Timestamp::from_secs(4_000_000_000),
        }
        .encode()
    }

    #[tokio::test]
    async fn a_mangled_paste_is_said_before_anything_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("new");
        let mangled = token(&["127.0.0.1:1"]).replace('a', "b");
        let error = join(&mangled, &at, None, None, &Clock::system())
            .await
            .unwrap_err();
        assert!(
            matches!(error, JoinError::Token(TokenError::Checksum)),
            "{error}"
        );
        assert!(!at.exists());
    }

    #[tokio::test]
    async fn blocked_udp_is_said_within_fifteen_seconds() {
        // A socket that takes everything and answers nothing, as behind a firewall.
        let hole = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = hole.local_addr().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let error = join_within(
            &token(&[&address.to_string()]),
            dir.path(),
            None,
            None,
            &Clock::system(),
            Duration::from_millis(300),
        )
        .await
        .unwrap_err();
        assert!(matches!(error, JoinError::NoAnswer { .. }), "{error}");
        assert!(error.to_string().contains("UDP"), "{error}");
        const {
            assert!(route::RESOLVE.as_secs() + HEAD_START.as_secs() + ANSWER.as_secs() < 15);
        };
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let error = join(
            &token(&["no-such-host.invalid:4433"]),
            dir.path(),
            None,
            None,
            &Clock::system(),
        )
        .await
        .unwrap_err();
        assert!(matches!(error, JoinError::Dns { .. }), "{error}");
        assert!(
            error.to_string().contains("no-such-host.invalid"),
            "{error}"
        );
    }
}
