//! Who is let in: handshakes within limits, one decision, then joining, renewing or a session.

use std::net::IpAddr;
use std::time::Duration;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::link::verify::validity_of;
use farwatch_shared::link::{CloseCode, Connection, Handshaken, Incoming, Listener, Peer, accept};
use farwatch_shared::wire::message::enroll::{CertificateAnswer, JoinRequest, RenewRequest};
use rustls::pki_types::CertificateDer;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::{Ingest, PullSource, SampleStore};

/// How long a handshake may take; the peer has given up long before.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long somebody who is let in may take to say what for.
pub(super) const FIRST_WORD: Duration = Duration::from_secs(10);
/// How long a last answer may take to arrive.
pub(super) const LAST_WORD: Duration = Duration::from_secs(5);
/// A join or renewal request is far below this.
const REQUEST_BYTES: usize = 16 * 1024;

/// A peer whose turn has come.
#[derive(Debug)]
pub(super) struct Admitted {
    incoming: Incoming,
    turn: OwnedSemaphorePermit,
}

impl<S: SampleStore, P: PullSource> Ingest<S, P> {
    /// The next peer, once there is room for its handshake; the rest waits in the transport, in bounded memory.
    pub(super) async fn next(&self, listener: &Listener) -> Option<Admitted> {
        let turn = self.0.handshakes.clone().acquire_owned().await.ok()?;
        let incoming = listener.accept().await?;
        Some(Admitted { incoming, turn })
    }

    /// Sends away who has to show first that it receives where it says it is: from that address came many, or there
    /// is a crowd. Costs neither memory nor a key exchange.
    pub(super) fn screen(&self, admitted: Admitted) -> Option<Admitted> {
        let incoming = &admitted.incoming;
        if !incoming.is_address_proved() {
            let from = incoming.remote_address().ip();
            let crowd = self.0.handshakes.available_permits() < super::HANDSHAKES / 2;
            if !self.0.knocks.take(&from, self.0.clock.now()) || crowd {
                admitted.incoming.retry();
                return None;
            }
        }
        Some(admitted)
    }

    /// Everything of one connection.
    pub(super) async fn serve(self, admitted: Admitted) {
        let Admitted { incoming, turn } = admitted;
        let from = incoming.remote_address().ip();
        let shaken = match timeout(HANDSHAKE, incoming.shake()).await {
            Ok(Ok(shaken)) => shaken,
            Ok(Err(error)) => {
                tracing::debug!(peer.address = %from, "no handshake: {error}");
                return;
            }
            Err(_) => return,
        };
        let Handshaken {
            alpn,
            chain,
            connection,
        } = shaken;
        let (enroll, now) = (self.0.enroll.clone(), self.0.clock.now());
        let decided = tokio::task::spawn_blocking(move || {
            accept(
                &alpn,
                &chain,
                not_before(now, &chain),
                &enroll.authority(),
                |probe| enroll.look_up(probe),
            )
        })
        .await;
        drop(turn);
        match decided {
            Ok(Ok(Peer::Probe(identity))) => self.session(connection, identity).await,
            Ok(Ok(Peer::Renewing(key))) => {
                self.converse(&connection, from, |request: RenewRequest| {
                    self.0.enroll.renew(key, request, from)
                })
                .await;
            }
            Ok(Ok(Peer::Joining)) => {
                self.converse(&connection, from, |request: JoinRequest| {
                    self.0.enroll.join(request, from)
                })
                .await;
            }
            Ok(Err(refusal)) => {
                tracing::warn!(peer.address = %from, "a peer at {from} was refused: {refusal}");
                connection.close(refusal.close_code(), &refusal.to_string());
            }
            Err(_) => connection.close(CloseCode::Busy, "Central could not decide"),
        }
    }

    /// One question, one answer, and good-bye.
    async fn converse<M, F>(
        &self,
        connection: &Connection,
        from: IpAddr,
        answer: impl FnOnce(M) -> F,
    ) where
        M: farwatch_shared::wire::Message,
        F: Future<Output = CertificateAnswer>,
    {
        let asked = timeout(FIRST_WORD, async {
            let (send, receive) = connection.accept().await.ok()?;
            let request: M = receive.with_limit(REQUEST_BYTES).expect().await.ok()?;
            Some((send, request))
        })
        .await;
        let Ok(Some((mut send, request))) = asked else {
            tracing::debug!(peer.address = %from, "a peer did not say what it wants");
            connection.close(CloseCode::Protocol, "no request came");
            return;
        };
        let answer = answer(request).await;
        if send.send(&answer).await.is_ok() {
            send.finish();
            let _ = timeout(LAST_WORD, send.delivered()).await;
        }
        connection.close(CloseCode::Done, "");
    }
}

/// The time that a certificate is judged by: it was made before it is shown, so that a clock of ours which says otherwise
/// is behind. Nobody gains by this: what is not signed by our CA is refused before its time is looked at.
fn not_before(now: Timestamp, chain: &[CertificateDer<'_>]) -> Timestamp {
    chain
        .first()
        .and_then(|leaf| validity_of(leaf))
        .map_or(now, |(made, _)| now.max(made))
}
