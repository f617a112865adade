//! Where Central is, over UDP or TCP, and a new certificate when the old one has ended.
//!
//! UDP goes first; TCP is tried when UDP has been silent for a while, so that a herd that comes back to a busy Central does
//! not knock twice. Where UDP let a handshake through and then nothing more, TCP goes first. A session over TCP tries UDP
//! now and then, and moves when it answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use farwatch_shared::link::{
    Alpn, CloseCode, Closed, Connection, DialError, Dialer, Priority, ReadError, Route, TcpRoute,
    Transport, Unreached,
};
use farwatch_shared::session::ATTEMPT_DEADLINE_MS;
use farwatch_shared::wire::codec::PULL_LIMIT;
use farwatch_shared::wire::message::enroll::{CertificateAnswer, RenewRequest};
use tokio::time::{Instant, timeout};

use super::{Ended, Parts};
use crate::route::resolve;

/// One attempt, from its first packet on.
pub(super) const DEADLINE: Duration = Duration::from_millis(ATTEMPT_DEADLINE_MS.unsigned_abs());
/// Somebody else answers at Central's address: that takes a person to mend.
const STRANGER: Duration = Duration::from_secs(30);
/// What the way that goes first has on the other, where nothing says that it works.
const HEAD_START: Duration = Duration::from_secs(2);
/// UDP that has worked before may be silent for this long before TCP is tried: Central may be starting.
const PATIENCE: Duration = Duration::from_secs(10);
/// A session over UDP that lasted this long says that UDP works here.
const LASTED: Duration = Duration::from_secs(600);

/// Which address is tried next, over which sockets, and over what first.
#[derive(Debug)]
pub(super) struct Dialing {
    dialer: Dialer,
    /// Counts attempts; an address that works is kept.
    turn: usize,
    /// Central has said that the certificate has ended. Our own clock is not asked: it may be years off.
    renew: bool,
    /// UDP has led to Central since this program started.
    udp_worked: bool,
    /// Since when attempts over UDP were not answered.
    udp_silent: Option<Instant>,
    first: Transport,
    /// The last session over UDP soon fell silent: networks that let only the first packets pass look like UDP that
    /// works until it is used.
    fell_silent: bool,
    /// The usual time between two tries of UDP during a session over TCP.
    udp_retry: Duration,
}

/// One of Central's addresses, both ways.
#[derive(Debug)]
struct Target {
    udp: Option<SocketAddr>,
    tcp: TcpRoute,
}

impl Dialing {
    pub(super) fn new(udp_retry: Duration) -> Self {
        Self {
            dialer: Dialer::new(),
            turn: 0,
            renew: false,
            udp_worked: false,
            udp_silent: None,
            first: Transport::Udp,
            fell_silent: false,
            udp_retry,
        }
    }

    /// What the end of a session says about the next dialling.
    pub(super) fn failed(&mut self, code: Option<CloseCode>) {
        if code == Some(CloseCode::Expired) {
            self.renew = true;
        }
    }

    /// What a session over one transport says about both.
    pub(super) fn session_ended(&mut self, over: Transport, lasted: Duration, ended: &Ended) {
        match over {
            Transport::Udp => {
                self.first = if ended.silent {
                    Transport::Tcp
                } else {
                    Transport::Udp
                };
                if lasted >= LASTED {
                    self.fell_silent = false;
                } else if ended.silent {
                    self.fell_silent = true;
                }
            }
            Transport::Tcp => self.first = Transport::Tcp,
        }
    }

    /// When a session over TCP tries UDP for the first time: soon, unless UDP has let it down before.
    pub(super) fn first_udp_retry(&self) -> Duration {
        let usual = spread(self.udp_retry);
        if self.fell_silent { usual } else { usual / 10 }
    }

    /// A connection for work; an ended certificate is renewed on the way.
    pub(super) async fn dial(&mut self, parts: &Arc<Parts>) -> Result<Connection, Ended> {
        let target = self.next_target(parts).await?;
        if self.renew {
            let connection = self.connect(parts, &target, Alpn::Renew).await?;
            self.renew(parts, &connection).await?;
            self.renew = false;
        }
        self.connect(parts, &target, Alpn::Work).await
    }

    async fn connect(
        &mut self,
        parts: &Arc<Parts>,
        target: &Target,
        alpn: Alpn,
    ) -> Result<Connection, Ended> {
        let (credentials, trust) = {
            let identity = parts.identity();
            (identity.credentials(), identity.trust(&parts.clock))
        };
        let began = Instant::now();
        let route = self.route(target, began);
        let reached = self
            .dialer
            .reach(&route, alpn, Some(credentials), trust)
            .await;
        match reached {
            Ok(connection) => {
                if connection.transport() == Transport::Udp {
                    (self.udp_worked, self.udp_silent) = (true, None);
                }
                Ok(connection)
            }
            Err(unreached) => {
                self.turn += 1;
                match &unreached.udp {
                    Some(DialError::Silence(_)) => {
                        self.udp_silent.get_or_insert(began);
                    }
                    Some(_) => self.udp_silent = None,
                    None => {}
                }
                Err(explain(target, &unreached))
            }
        }
    }

    fn route(&self, target: &Target, now: Instant) -> Route {
        let silent = self
            .udp_silent
            .map_or(Duration::ZERO, |since| now.duration_since(since));
        let head_start = match self.first {
            Transport::Udp if self.udp_worked => PATIENCE.saturating_sub(silent),
            _ => HEAD_START,
        };
        Route {
            udp: target.udp,
            tcp: (head_start < DEADLINE || target.udp.is_none()).then(|| target.tcp.clone()),
            first: self.first,
            head_start,
            deadline: DEADLINE,
        }
    }

    /// The address whose turn it is. A name is resolved each time, so that Central may move.
    async fn next_target(&mut self, parts: &Parts) -> Result<Target, Ended> {
        let places = parts.identity().places();
        let mut problem = "no address of Central is known".to_owned();
        let mut found = Vec::new();
        for place in places {
            let target = |udp| Target {
                udp,
                tcp: place.tcp.clone(),
            };
            let Some(host) = &place.udp else {
                found.push(target(None));
                continue;
            };
            match resolve(host).await {
                Ok(addresses) => found.extend(addresses.into_iter().map(|to| target(Some(to)))),
                // The proxy may know the name.
                Err(_) if place.tcp.proxy.is_some() => found.push(target(None)),
                Err(error) => problem = format!("{host} cannot be resolved: {error}"),
            }
        }
        if found.is_empty() {
            return Err(Ended::lost(problem));
        }
        let target = found.swap_remove(self.turn % found.len());
        parts.status.send_modify(|status| {
            status.address = target
                .udp
                .map_or_else(|| target.tcp.to_string(), |to| to.to_string());
        });
        Ok(target)
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

/// Why Central cannot be reached, in a sentence that names what to open.
fn explain(target: &Target, unreached: &Unreached) -> Ended {
    let stranger = [&unreached.udp, &unreached.tcp]
        .into_iter()
        .any(|error| matches!(error, Some(DialError::Handshake(Closed::Tls(_)))));
    let udp = target.udp.zip(unreached.udp.as_ref()).map(|(to, error)| {
        match error {
            DialError::Silence(_) => format!(
                "no answer from {to} over UDP: Central is down, or a firewall on the way blocks UDP port {}",
                to.port()
            ),
            DialError::Handshake(Closed::Tls(why)) => {
                format!("the server at {to} is not our Central ({why}), or this machine's clock is wrong")
            }
            other => format!("{to}: {}", farwatch_shared::error::Chain(other)),
        }
    });
    let tcp = unreached.tcp.as_ref().map(|error| {
        let to = &target.tcp;
        match error {
            DialError::Silence(_) => format!("no answer over TCP from {to} either"),
            DialError::Handshake(Closed::Tls(why)) => {
                format!("over TCP somebody else answers as {to} ({why})")
            }
            other => format!("over TCP to {to}: {}", farwatch_shared::error::Chain(other)),
        }
    });
    let problem = [udp, tcp].into_iter().flatten().collect::<Vec<_>>();
    Ended {
        not_before: if stranger { STRANGER } else { Duration::ZERO },
        ..Ended::lost(problem.join("; "))
    }
}

/// From one to three times as long: a thousand probes do not try together.
fn spread(usual: Duration) -> Duration {
    usual.mul_f64(1.0 + 2.0 * rand::random::<f64>())
}

/// Waits until UDP leads to Central, trying now and then.
pub(super) async fn over_udp(parts: &Parts, first: Duration, usual: Duration) -> Connection {
    let mut wait = first;
    let mut dialer = Dialer::new();
    loop {
        tokio::time::sleep(wait).await;
        wait = spread(usual);
        let places = parts.identity().places();
        for host in places.iter().filter_map(|place| place.udp.as_deref()) {
            for address in resolve(host).await.unwrap_or_default() {
                let (credentials, trust) = {
                    let identity = parts.identity();
                    (identity.credentials(), identity.trust(&parts.clock))
                };
                let connected = dialer
                    .connect(address, Alpn::Work, Some(credentials), trust, DEADLINE)
                    .await;
                match connected {
                    Ok(connection) => return connection,
                    Err(error) => tracing::debug!("UDP to {address} is still blocked: {error}"),
                }
            }
        }
    }
}
