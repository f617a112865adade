//! Where Central is, and a new certificate when the old one has ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use farwatch_shared::link::{
    Alpn, CloseCode, Closed, Connection, DialError, Dialer, Priority, ReadError,
};
use farwatch_shared::session::ATTEMPT_DEADLINE_MS;
use farwatch_shared::wire::codec::PULL_LIMIT;
use farwatch_shared::wire::message::enroll::{CertificateAnswer, RenewRequest};
use tokio::time::timeout;

use super::{Ended, Parts};
use crate::join::resolve;

/// One attempt, from its first packet on.
pub(super) const DEADLINE: Duration = Duration::from_millis(ATTEMPT_DEADLINE_MS.unsigned_abs());
/// Somebody else answers at Central's address: that takes a person to mend.
const STRANGER: Duration = Duration::from_secs(30);

/// Which address is tried next, over which sockets.
#[derive(Debug)]
pub(super) struct Dialing {
    dialer: Dialer,
    /// Counts attempts; an address that works is kept.
    turn: usize,
    /// Central has said that the certificate has ended. Our own clock is not asked: it may be years off.
    renew: bool,
}

impl Dialing {
    pub(super) fn new() -> Self {
        Self {
            dialer: Dialer::new(),
            turn: 0,
            renew: false,
        }
    }

    /// What the end of a session says about the next dialling.
    pub(super) fn failed(&mut self, code: Option<CloseCode>) {
        if code == Some(CloseCode::Expired) {
            self.renew = true;
        }
    }

    /// A connection for work; an ended certificate is renewed on the way.
    pub(super) async fn dial(&mut self, parts: &Arc<Parts>) -> Result<Connection, Ended> {
        let address = self.next_address(parts).await?;
        if self.renew {
            let connection = self.connect(parts, address, Alpn::Renew).await?;
            self.renew(parts, &connection).await?;
            self.renew = false;
        }
        self.connect(parts, address, Alpn::Work).await
    }

    async fn connect(
        &mut self,
        parts: &Arc<Parts>,
        address: SocketAddr,
        alpn: Alpn,
    ) -> Result<Connection, Ended> {
        let (credentials, trust) = {
            let identity = parts.identity();
            (identity.credentials(), identity.trust(&parts.clock))
        };
        let dialled = self
            .dialer
            .connect(address, alpn, Some(credentials), trust, DEADLINE)
            .await;
        dialled.map_err(|error| {
            self.turn += 1;
            match error {
                DialError::Silence(_) => Ended::lost(format!(
                    "no answer from {address} over UDP: Central is down, or a firewall on the way blocks UDP port {}",
                    address.port()
                )),
                DialError::Handshake(Closed::Tls(why)) => Ended {
                    not_before: STRANGER,
                    ..Ended::lost(format!("the server at {address} is not our Central ({why}), or this machine's clock is wrong"))
                },
                DialError::Handshake(closed) => Ended::lost(format!("{address}: {closed}")),
                other => Ended::lost(format!(
                    "{address}: {}",
                    farwatch_shared::error::Chain(&other)
                )),
            }
        })
    }

    /// The address whose turn it is. A name is resolved each time, so that Central may move.
    async fn next_address(&mut self, parts: &Parts) -> Result<SocketAddr, Ended> {
        let hosts = parts.identity().addresses();
        let mut problem = "no address of Central is known".to_owned();
        let mut found = Vec::new();
        for host in &hosts {
            match resolve(host).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => problem = format!("{host} cannot be resolved: {error}"),
            }
        }
        if found.is_empty() {
            return Err(Ended::lost(problem));
        }
        let address = found[self.turn % found.len()];
        parts
            .status
            .send_modify(|status| status.address = address.to_string());
        Ok(address)
    }

    async fn renew(&self, parts: &Arc<Parts>, connection: &Connection) -> Result<(), Ended> {
        let csr = parts
            .identity()
            .csr()
            .map_err(|error| Ended::lost(error.to_string()))?;
        let asked = timeout(DEADLINE, async {
            let (mut send, receive) = connection.open(Priority::Events).await?;
            send.send(&RenewRequest { csr }).await?;
            send.finish();
            receive
                .with_limit(PULL_LIMIT)
                .expect::<CertificateAnswer>()
                .await
        })
        .await;
        let answer = match asked {
            Ok(Ok(answer)) => answer,
            Ok(Err(ReadError::Closed(closed))) => return Err(Ended::by(&closed)),
            Ok(Err(error)) => return Err(Ended::lost(error.to_string())),
            Err(_) => return Err(Ended::lost("Central did not answer a renewal")),
        };
        connection.close(CloseCode::Done, "");
        if !answer.refused.is_empty() {
            let code = match answer.reason.as_str() {
                "revoked" => Some(CloseCode::Revoked),
                _ => None,
            };
            return Err(Ended {
                code,
                ..Ended::lost(format!("Central renews nothing: {}", answer.refused))
            });
        }
        let kept = parts
            .keep("the renewed certificate", move |identity| {
                identity.keep_renewed(&answer)
            })
            .await;
        if !kept {
            return Err(Ended::lost("the renewed certificate could not be kept"));
        }
        tracing::info!("the certificate had ended and was renewed");
        parts.tell_certificate();
        Ok(())
    }
}
