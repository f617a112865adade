//! The registry of connected probes, and the control stream of each.
//!
//! - [`echo`] the control stream: requests down, answers up, timed

pub mod echo;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, ProbeId, SiteId};
use farwatch_shared::link::{CloseCode, Connection, ProbeIdentity};
use farwatch_shared::session::Tick;
use farwatch_shared::session::receiver::Rival;
use farwatch_shared::wire::message::session::Notice;
use tokio::sync::mpsc;

pub use echo::{ControlHandle, EchoError, EchoStats, EchoTimings};

/// Notices that wait for one session. They are rare (a person pressed a button); when this many wait the probe is not
/// listening, and whoever sends one is told that it did not get through.
const NOTICES: usize = 32;

/// Who is connected now. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: AtomicU64,
    sessions: Mutex<HashMap<ProbeId, Session>>,
}

/// One session: at most one per probe.
struct Session {
    /// Tells this session from the one before and after it.
    number: u64,
    identity: ProbeIdentity,
    lease: u64,
    confirmed: Arc<AtomicBool>,
    since: Timestamp,
    connection: Connection,
    notices: mpsc::Sender<Notice>,
    control: ControlHandle,
    heard: Arc<Heard>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("number", &self.number)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// When something last came from a probe: by the boot-time clock for decisions, by the wall clock for people.
#[derive(Debug, Default)]
pub struct Heard {
    tick: AtomicI64,
    wall: AtomicI64,
}

impl Heard {
    /// Something came.
    pub fn mark(&self, tick: Tick, now: Timestamp) {
        self.tick.store(tick.0, Ordering::Relaxed);
        self.wall.store(now.ms(), Ordering::Relaxed);
    }

    /// When, by the wall clock.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::Relaxed))
    }

    /// When, by the boot-time clock.
    #[must_use]
    pub fn tick(&self) -> Tick {
        Tick(self.tick.load(Ordering::Relaxed))
    }
}

/// A session's place in the registry; giving it up takes out this session and no other.
#[derive(Debug)]
pub struct Place {
    registry: Registry,
    probe: ProbeId,
    number: u64,
    confirmed: Arc<AtomicBool>,
    /// For the session to mark what it hears.
    pub heard: Arc<Heard>,
}

impl Place {
    /// Tells this session from the one before and after it.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The session's snapshot is committed: it protects its lease from now on.
    pub fn confirmed(&self) {
        self.confirmed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sessions = self.registry.lock();
        if sessions
            .get(&self.probe)
            .is_some_and(|session| session.number == self.number)
        {
            sessions.remove(&self.probe);
        }
    }
}

/// What is shown of a connected probe.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Which probe.
    pub probe: ProbeId,
    /// Where it stands.
    pub site: SiteId,
    /// Who pays.
    pub customer: CustomerId,
    /// Since when this session is.
    pub since: Timestamp,
    /// When something last came.
    pub heard: Timestamp,
    /// Where the connection comes from, now.
    pub address: SocketAddr,
    /// Round trips over the control stream; `None` before the first.
    pub echo: Option<EchoStats>,
}

impl Registry {
    /// Enters a session; the one before it is closed as superseded. `None` when a later lease is here already: this
    /// session is the one that is superseded.
    #[must_use]
    pub fn enter(
        &self,
        identity: ProbeIdentity,
        lease: u64,
        connection: Connection,
        control: ControlHandle,
        (tick, now): (Tick, Timestamp),
    ) -> Option<(Place, mpsc::Receiver<Notice>)> {
        let (notices, waiting) = mpsc::channel(NOTICES);
        let heard = Arc::new(Heard::default());
        heard.mark(tick, now);
        let confirmed = Arc::<AtomicBool>::default();
        let probe = identity.probe();
        let mut sessions = self.lock();
        if sessions
            .get(&probe)
            .is_some_and(|there| there.lease > lease)
        {
            return None;
        }
        // From 1 on: 0 is "none" to whoever shows it.
        let number = self.0.next.fetch_add(1, Ordering::Relaxed) + 1;
        let session = Session {
            number,
            identity,
            lease,
            confirmed: confirmed.clone(),
            since: now,
            connection,
            notices,
            control,
            heard: heard.clone(),
        };
        if let Some(old) = sessions.insert(probe, session) {
            old.connection.close(
                CloseCode::Superseded,
                "a newer session of this probe took over",
            );
        }
        drop(sessions);
        let place = Place {
            registry: self.clone(),
            probe,
            number,
            confirmed,
            heard,
        };
        Some((place, waiting))
    }

    /// Ends a probe's session at once. `false` when it has none.
    pub fn cut(&self, probe: ProbeId, reason: &str) -> bool {
        self.lock().remove(&probe).is_some_and(|session| {
            session.connection.close(CloseCode::Revoked, reason);
            true
        })
    }

    /// Ends every session, in order, as the program stops.
    pub fn close_all(&self, reason: &str) {
        for (_, session) in self.lock().drain() {
            session.connection.close(CloseCode::Shutdown, reason);
        }
    }

    /// Tells a probe something; `false` when it is not connected or does not listen.
    pub fn notify(&self, probe: ProbeId, notice: Notice) -> bool {
        self.lock()
            .get(&probe)
            .is_some_and(|session| session.notices.try_send(notice).is_ok())
    }

    /// Tells every connected probe of a site; how many were told.
    pub fn notify_site(&self, site: SiteId, notice: &Notice) -> usize {
        self.notify_where(notice, |identity| identity.site() == site)
    }

    /// Tells every connected probe; how many were told.
    pub fn notify_all(&self, notice: &Notice) -> usize {
        self.notify_where(notice, |_| true)
    }

    fn notify_where(&self, notice: &Notice, wanted: impl Fn(&ProbeIdentity) -> bool) -> usize {
        self.lock()
            .values()
            .filter(|session| wanted(&session.identity))
            .filter(|session| session.notices.try_send(notice.clone()).is_ok())
            .count()
    }

    /// A round trip over the probe's control stream, now.
    ///
    /// # Errors
    /// [`EchoError`]: not connected, no answer in time, or too many under way.
    pub async fn echo(&self, probe: ProbeId) -> Result<EchoTimings, EchoError> {
        let control = self
            .lock()
            .get(&probe)
            .map(|session| session.control.clone())
            .ok_or(EchoError::NotConnected)?;
        control.echo().await
    }

    /// The session of `probe` that is open now, for whoever judges a hello.
    #[must_use]
    pub fn rival(&self, probe: ProbeId, now: Tick) -> Option<Rival> {
        self.lock().get(&probe).map(|session| Rival {
            lease: session.lease,
            confirmed: session.confirmed.load(Ordering::Relaxed),
            heard_ms_ago: now.since(session.heard.tick()),
        })
    }

    /// What is shown of one probe, when it is connected.
    #[must_use]
    pub fn session(&self, probe: ProbeId) -> Option<SessionInfo> {
        self.lock().get(&probe).map(Session::info)
    }

    /// What is shown of every connected probe.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.lock().values().map(Session::info).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProbeId, Session>> {
        // Each change is one insert or remove: whole whatever happened to the thread that held it.
        self.0
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn info(&self) -> SessionInfo {
        SessionInfo {
            probe: self.identity.probe(),
            site: self.identity.site(),
            customer: self.identity.customer(),
            since: self.since,
            heard: self.heard.at(),
            address: self.connection.remote_address(),
            echo: self.control.stats(),
        }
    }
}
