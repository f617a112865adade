//! The session with Central, from the probe's side: dial, hello, push, pull, answer.
//!
//! ```text
//! dial ─▶ hello, lease (fsynced) ─▶ snapshot ─▶ events ┐
//!                                              live    ├─ batches up, acks down into the spool
//!                                              backlog ┘
//!                                   control: echo, at once · pulls: one stream each
//! ```
//!
//! - [`dial`] where Central is, and a new certificate when the old one has ended
//! - [`session`] one session, from its hello to its end
//! - [`push`] the three streams of batches
//! - [`control`] what Central asks
//! - [`pull`] what the probe asks
//! - [`snapshot`] all states, in parts

mod control;
mod dial;
mod pull;
mod push;
mod session;
mod snapshot;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::error::Chain;
use farwatch_shared::link::{CloseCode, Closed, Connection};
use farwatch_shared::model::{BatchKey, DeviceNo, GapReason};
use farwatch_shared::session::sender::{self, Limits, Sender};
use farwatch_shared::session::{CloseReason, POISON_CLOSES, Tick};
use farwatch_shared::wire::message::session::{DeviceNow, InterfaceNow, Status};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use pull::{PullError, Puller};

use crate::identity::{Identity, IdentityError};
use crate::spool::{Spool, SpoolError};
use dial::Dialing;

/// What this program says of itself.
pub const PROGRAM: &str = concat!("farwatch-probe ", env!("CARGO_PKG_VERSION"));
/// Wishes of people that wait for the app. They are few; when this many wait the app has stopped taking them.
const WISHES: usize = 64;
/// A revoked or unknown probe asks this seldom whether that has changed.
const OUTCAST: Duration = Duration::from_secs(300);

/// All current states, from memory.
#[derive(Clone, Debug, Default)]
pub struct States {
    /// Every device.
    pub devices: Vec<DeviceNow>,
    /// Every interface.
    pub interfaces: Vec<InterfaceNow>,
}

/// What the rest of the probe tells the uplink. Every answer comes from memory, at once.
pub trait Source: Send + Sync + 'static {
    /// Every state now. An event's state is in here before the event is committed to the spool, else a snapshot between
    /// the two would set the state back.
    fn states(&self) -> States;

    /// The highest device number ever minted here; 0 with an empty inventory.
    fn highest_device_no(&self) -> u32;

    /// Puts into a status what the uplink does not know: devices, polls, discovery, applied configuration, notices.
    fn vitals(&self, status: &mut Status);
}

/// Newest revisions that Central has told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revisions {
    /// Of the site's configuration.
    pub config: u64,
    /// Of the list of Central's addresses; the uplink pulls that itself.
    pub addresses: u64,
    /// Counts sessions: whoever could not pull tries again when it moves.
    pub session: u64,
    /// The highest device number that Central knows of this probe; never mint at or below it.
    pub highest_device_no: u32,
}

/// What a person asked for at Central.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Start discovery now.
    Discover,
    /// Watch these addresses, if the site's ranges allow it.
    Add(Vec<String>),
    /// No longer watch these devices.
    Forget(Vec<DeviceNo>),
}

/// How the link is, for `farwatch-probe status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LinkStatus {
    /// Whether there is a session.
    pub connected: bool,
    /// Where Central is, or was tried last.
    pub address: String,
    /// What carries the session: `udp`, or `tcp` where UDP is blocked; empty while there is none.
    pub transport: String,
    /// Since when the session is, or is not.
    pub since: Timestamp,
    /// Why there is none, in a sentence; empty while there is one.
    pub problem: String,
    /// Round-trip time, ms.
    pub rtt_ms: u64,
    /// The lease of the session.
    pub lease: u64,
    /// Bytes sent and not yet acknowledged.
    pub undecided_bytes: u64,
    /// Batches that wait to be sent.
    pub waiting_batches: u64,
    /// Echoes answered since the start.
    pub echoes: u64,
    /// When the certificate ends.
    pub certificate_not_after: Timestamp,
    /// When it will be renewed.
    pub certificate_renew_after: Timestamp,
}

/// What others hold of the uplink. Cheap to clone.
#[derive(Clone, Debug)]
pub struct UplinkHandle {
    revisions: watch::Receiver<Revisions>,
    status: watch::Receiver<LinkStatus>,
    puller: Puller,
}

impl UplinkHandle {
    /// Tells when Central has something newer.
    #[must_use]
    pub fn revisions(&self) -> watch::Receiver<Revisions> {
        self.revisions.clone()
    }

    /// How the link is.
    #[must_use]
    pub fn status(&self) -> LinkStatus {
        self.status.borrow().clone()
    }

    /// Tells when the link changes.
    #[must_use]
    pub fn watch_status(&self) -> watch::Receiver<LinkStatus> {
        self.status.clone()
    }

    /// Pulls from Central.
    #[must_use]
    pub const fn puller(&self) -> &Puller {
        &self.puller
    }
}

/// Why the uplink ended before it was asked to. Each is a fault of this machine; losing Central is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UplinkError {
    /// The spool.
    #[error("the spool")]
    Spool(#[from] SpoolError),
}

/// The uplink.
#[derive(Debug)]
pub struct Uplink {
    parts: Arc<Parts>,
    dialing: Dialing,
    /// A session over TCP has found that UDP works: the next one begins here.
    ready: Option<Connection>,
}

/// What every part of the uplink works with.
struct Parts {
    identity: Mutex<Identity>,
    spool: Spool,
    source: Arc<dyn Source>,
    clock: Clock,
    sender: Mutex<Sender>,
    revisions: watch::Sender<Revisions>,
    status: watch::Sender<LinkStatus>,
    session: watch::Sender<Option<Connection>>,
    wishes: mpsc::Sender<Wish>,
    /// The usual time between two tries of UDP during a session over TCP.
    udp_retry: Duration,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl Uplink {
    /// An uplink, the handle for others, and what people wish for.
    #[must_use]
    pub fn new(
        identity: Identity,
        spool: Spool,
        source: Arc<dyn Source>,
        limits: Limits,
        udp_retry: Duration,
        clock: Clock,
    ) -> (Self, UplinkHandle, mpsc::Receiver<Wish>) {
        let (wishes, wished) = mpsc::channel(WISHES);
        let (revisions, revisions_told) = watch::channel(Revisions::default());
        let (status, status_told) = watch::channel(LinkStatus {
            since: clock.now(),
            problem: "not dialled yet".to_owned(),
            certificate_not_after: identity.not_after(),
            certificate_renew_after: identity.renew_after(),
            ..LinkStatus::default()
        });
        let (session, session_told) = watch::channel(None);
        let parts = Parts {
            identity: Mutex::new(identity),
            spool,
            source,
            clock,
            sender: Mutex::new(Sender::new(limits)),
            revisions,
            status,
            session,
            wishes,
            udp_retry,
        };
        let handle = UplinkHandle {
            revisions: revisions_told,
            status: status_told,
            puller: Puller::new(session_told),
        };
        let uplink = Self {
            parts: Arc::new(parts),
            dialing: Dialing::new(udp_retry),
            ready: None,
        };
        (uplink, handle, wished)
    }

    /// Dials, and dials again, until `drain`.
    ///
    /// # Errors
    /// [`UplinkError`]: only what is wrong with this machine.
    pub async fn run(mut self, drain: CancellationToken) -> Result<(), UplinkError> {
        while !drain.is_cancelled() {
            let ended = self.attempt(&drain).await;
            let wait = self.after(ended).await?;
            drain.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        Ok(())
    }

    /// One dialling, and the session when it comes to one.
    async fn attempt(&mut self, drain: &CancellationToken) -> Ended {
        let dialled = match self.ready.take() {
            Some(ready) => Some(Ok(ready)),
            None => {
                drain
                    .run_until_cancelled(self.dialing.dial(&self.parts))
                    .await
            }
        };
        match dialled {
            Some(Ok(connection)) => {
                let (over, began) = (connection.transport(), Instant::now());
                let udp_after = self.dialing.first_udp_retry();
                let mut ended = session::run(&self.parts, connection, udp_after, drain).await;
                self.dialing.session_ended(over, began.elapsed(), &ended);
                self.ready = ended.next.take();
                ended
            }
            Some(Err(ended)) => ended,
            None => Ended::by(&Closed::Here),
        }
    }

    /// What follows the end of an attempt or a session; how long to wait before the next.
    async fn after(&mut self, ended: Ended) -> Result<Duration, UplinkError> {
        self.parts.session.send_replace(None);
        let now = self.parts.tick();
        if ended.refused_until.is_none() {
            let after = self.parts.sender().closed(ended.why, now, rand::random());
            if let Some(key) = after.blamed {
                self.blame(key).await?;
            }
            self.parts.tell_down(&ended.problem);
            self.dialing.failed(ended.code);
            let wait = ms_until(after.redial_at, now);
            if self.ready.is_some() {
                return Ok(Duration::ZERO);
            }
            return Ok(match ended.code {
                Some(CloseCode::Revoked | CloseCode::Unknown) => OUTCAST,
                Some(CloseCode::Expired) => Duration::ZERO,
                _ => wait.max(ended.not_before),
            });
        }
        self.parts.tell_down(&ended.problem);
        Ok(ended
            .refused_until
            .map_or(Duration::ZERO, |until| ms_until(until, now)))
    }

    async fn blame(&self, key: BatchKey) -> Result<(), UplinkError> {
        let closes = self.parts.spool.blame(key).await?;
        tracing::warn!(
            "Central closed the session while batch {key} was under way, for the {closes}. time"
        );
        if closes >= POISON_CLOSES {
            self.parts
                .spool
                .set_aside(key, GapReason::Quarantined)
                .await?;
        }
        Ok(())
    }
}

/// How an attempt or a session ended.
#[derive(Debug)]
struct Ended {
    why: sender::Closed,
    code: Option<CloseCode>,
    /// A sentence for people.
    problem: String,
    /// The sender has already said when to come back.
    refused_until: Option<Tick>,
    not_before: Duration,
    /// The handshake went through and then nothing more: over UDP, somebody on the way may block it.
    silent: bool,
    /// Where the next session begins.
    next: Option<Connection>,
}

impl Ended {
    fn lost(problem: impl Into<String>) -> Self {
        Self {
            why: sender::Closed::Lost,
            code: None,
            problem: problem.into(),
            refused_until: None,
            not_before: Duration::ZERO,
            silent: false,
            next: None,
        }
    }

    fn by(closed: &Closed) -> Self {
        match closed {
            Closed::ByPeer { code, reason } => Self {
                why: sender::Closed::ByPeer(CloseReason::from_code(code.number())),
                code: Some(*code),
                ..Self::lost(if reason.is_empty() {
                    format!("Central closed the session ({code:?})")
                } else {
                    format!("Central: {reason}")
                })
            },
            Closed::Here => Self {
                why: sender::Closed::ByUs,
                ..Self::lost("closed here")
            },
            Closed::TimedOut => Self {
                silent: true,
                ..Self::lost(closed.to_string())
            },
            other => Self::lost(other.to_string()),
        }
    }
}

fn ms_until(at: Tick, now: Tick) -> Duration {
    Duration::from_millis(u64::try_from(at.since(now)).unwrap_or(0))
}

impl Parts {
    fn tick(&self) -> Tick {
        Tick(self.clock.boot_ms())
    }

    fn sender(&self) -> MutexGuard<'_, Sender> {
        // The state machine's methods do not panic half way.
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn identity(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the identity's files, off the async threads. A disk that refuses is logged: the link goes on.
    async fn keep<F>(self: &Arc<Self>, what: &'static str, change: F) -> bool
    where
        F: FnOnce(&mut Identity) -> Result<(), IdentityError> + Send + 'static,
    {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || change(&mut this.identity())).await;
        match done {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(error = %Chain(&error), "{what} could not be kept");
                false
            }
            Err(_) => false,
        }
    }

    fn tell_certificate(&self) {
        let (not_after, renew_after) = {
            let identity = self.identity();
            (identity.not_after(), identity.renew_after())
        };
        self.status.send_modify(|status| {
            status.certificate_not_after = not_after;
            status.certificate_renew_after = renew_after;
        });
    }

    fn tell_up(&self, link: &Connection, lease: u64) {
        let now = self.clock.now();
        self.status.send_modify(|status| {
            status.connected = true;
            status.address = link.remote_address().to_string();
            link.transport().as_str().clone_into(&mut status.transport);
            status.since = now;
            status.problem.clear();
            status.lease = lease;
        });
    }

    fn tell_down(&self, problem: &str) {
        let now = self.clock.now();
        let mut news = false;
        self.status.send_modify(|status| {
            news = status.connected || status.problem != problem;
            if status.connected {
                status.connected = false;
                status.transport.clear();
                status.since = now;
            }
            problem.clone_into(&mut status.problem);
        });
        if news {
            tracing::warn!("no session with Central: {problem}");
        }
    }

    /// Takes up what became durable since the last look.
    async fn refresh(&self) -> Result<(), SpoolError> {
        let heads = self.spool.heads().await?;
        self.sender().refresh(&heads);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
