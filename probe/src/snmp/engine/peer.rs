//! What is remembered of one device between requests: how much it takes at once, and its SNMPv3 engine.

use std::{
    net::SocketAddr,
    num::NonZeroU16,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use super::link::Link;
use crate::snmp::{
    auth::V3User,
    v3::{
        clock::{EngineClock, Stamp},
        session::Session,
    },
};

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) link: Arc<Link>,
    /// A place for each request that may be under way.
    pub(crate) requests: Semaphore,
    /// One walk at a time: two would take turns in the agent's caches, and both be slow.
    pub(crate) walks: Semaphore,
    /// One discovery at a time.
    pub(crate) discovering: tokio::sync::Mutex<()>,
    answered: AtomicBool,
    learned: Mutex<Learned>,
    engine: Mutex<Option<KnownEngine>>,
}

/// What an SNMPv3 discovery found, and what was derived for it.
#[derive(Debug)]
struct KnownEngine {
    id: Arc<[u8]>,
    clock: EngineClock,
    /// One for each user that asks: seldom more than one.
    sessions: Vec<Arc<Session>>,
}

/// Values in an answer that says how large this device's values are.
const LONG_ANSWER: usize = 24;
/// Users remembered of one device. A credential test tries a handful.
const MAX_SESSIONS: usize = 4;

/// How a device is best asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Learned {
    /// Names in one GET.
    pub(crate) get: Size,
    /// Values in one answer to a GETBULK.
    pub(crate) bulk: Size,
    /// Smoothed round-trip time, once known.
    pub(crate) rtt: Option<Duration>,
    /// Octets that a value of its last long answer took, with its name; once known.
    pub(crate) varbind_octets: Option<NonZeroU16>,
}

/// How much a device is asked for at once: halves when it was too much, grows slowly when it was enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    limit: u16,
    /// Full answers since `limit` last changed.
    full: u16,
    /// Full answers before a little more is tried.
    patience: u16,
}

impl Size {
    /// A packet's worth of counters: what nearly every agent answers, and the others cut.
    const START: u16 = 80;
    const MAX: u16 = 512;
    const PATIENCE: u16 = 16;
    /// Where too much is met with silence, each try costs seconds.
    const PATIENCE_AFTER_SILENCE: u16 = 1024;

    const fn new() -> Self {
        Self {
            limit: Self::START,
            full: 0,
            patience: Self::PATIENCE,
        }
    }

    pub(crate) fn limit(self) -> usize {
        self.limit.into()
    }

    /// `asked` were too many, said the device.
    pub(crate) fn shrink(&mut self, asked: usize) {
        let half = u16::try_from(asked / 2).unwrap_or(Self::MAX).max(1);
        *self = Self {
            limit: half.min(self.limit),
            full: 0,
            ..*self
        };
    }

    /// `asked` were too many, for nothing came.
    pub(crate) fn shrink_after_silence(&mut self, asked: usize) {
        self.shrink(asked);
        self.patience = Self::PATIENCE_AFTER_SILENCE;
    }

    /// `asked` were answered.
    pub(crate) fn succeeded(&mut self, asked: usize) {
        if asked < self.limit() {
            return;
        }
        self.full += 1;
        if self.full >= self.patience {
            *self = Self {
                limit: (self.limit + self.limit.div_ceil(8)).min(Self::MAX),
                full: 0,
                ..*self
            };
        }
    }
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, link: Arc<Link>, requests_at_once: usize) -> Self {
        Self {
            address,
            link,
            requests: Semaphore::new(requests_at_once),
            walks: Semaphore::new(1),
            discovering: tokio::sync::Mutex::default(),
            answered: AtomicBool::new(false),
            learned: Mutex::new(Learned {
                get: Size::new(),
                bulk: Size::new(),
                rtt: None,
                varbind_octets: None,
            }),
            engine: Mutex::default(),
        }
    }

    /// Whether it ever answered anything.
    pub(crate) fn has_answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    pub(crate) fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned
            .lock()
            .expect("nothing panics while it holds this")
    }

    /// Remembers how large this device's values are: the next call fills its packets from the first on.
    pub(crate) fn note_size(&self, varbinds: usize, octets: usize) {
        if varbinds >= LONG_ANSWER {
            let each = u16::try_from(octets.div_ceil(varbinds)).unwrap_or(u16::MAX);
            self.learned().varbind_octets = NonZeroU16::new(each);
        }
    }

    pub(crate) fn note_answer(&self, rtt: Option<Duration>) {
        self.answered.store(true, Relaxed);
        if let Some(rtt) = rtt {
            let smoothed = &mut self.learned().rtt;
            *smoothed = Some(smoothed.map_or(rtt, |old| (old * 7 + rtt) / 8)); // RFC 6298 §2.3
        }
    }

    fn engine(&self) -> MutexGuard<'_, Option<KnownEngine>> {
        self.engine
            .lock()
            .expect("nothing panics while it holds this")
    }

    pub(crate) fn engine_id(&self) -> Option<Arc<[u8]>> {
        self.engine().as_ref().map(|engine| Arc::clone(&engine.id))
    }

    /// Takes over what a discovery found. A known engine keeps its keys, and its clock when that was proven: a discovery
    /// is not authenticated.
    pub(crate) fn discovered(&self, engine_id: &[u8], stamp: Stamp, now: Instant) {
        let mut engine = self.engine();
        let clock = EngineClock::discovered(stamp, now);
        match &mut *engine {
            Some(known) if *known.id == *engine_id => known.clock = clock,
            other => {
                *other = Some(KnownEngine {
                    id: engine_id.into(),
                    clock,
                    sessions: Vec::new(),
                })
            }
        }
    }

    pub(crate) fn session(&self, user: &V3User) -> Option<Arc<Session>> {
        let engine = self.engine();
        engine
            .as_ref()?
            .sessions
            .iter()
            .find(|session| session.user().is(user))
            .cloned()
    }

    pub(crate) fn add_session(&self, session: &Arc<Session>) {
        if let Some(engine) = &mut *self.engine()
            && *engine.id == *session.engine_id()
        {
            if engine.sessions.len() == MAX_SESSIONS {
                engine.sessions.remove(0);
            }
            engine.sessions.push(Arc::clone(session));
        }
    }

    /// What time to put into a message.
    pub(crate) fn stamp(&self, now: Instant) -> Stamp {
        self.engine()
            .as_ref()
            .map_or(Stamp { boots: 0, time: 0 }, |engine| {
                engine.clock.stamp(now)
            })
    }

    /// Judges the time of an authenticated message, and follows it when it is ahead.
    pub(crate) fn is_timely(&self, engine_id: &[u8], stamp: Stamp, now: Instant) -> bool {
        match &mut *self.engine() {
            Some(engine) if *engine.id == *engine_id => engine.clock.accept(stamp, now),
            _ => false,
        }
    }

    /// Takes over the time of an authenticated notInTimeWindow report.
    pub(crate) fn resynchronize(&self, engine_id: &[u8], stamp: Stamp, now: Instant) {
        if let Some(engine) = &mut *self.engine()
            && *engine.id == *engine_id
        {
            engine.clock.resynchronize(stamp, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_halves_at_once_and_grows_slowly() {
        let mut size = Size::new();
        size.shrink(60);
        assert_eq!(size.limit(), 30);
        size.shrink(60);
        assert_eq!(
            size.limit(),
            30,
            "an answer that was still on its way is no news"
        );
        (0..15).for_each(|_| size.succeeded(30));
        assert_eq!(size.limit(), 30);
        size.succeeded(10);
        assert_eq!(size.limit(), 30, "small ones prove nothing");
        size.succeeded(30);
        assert_eq!(size.limit(), 34);
        (0..10).for_each(|_| size.shrink(1));
        assert_eq!(size.limit(), 1);
        size.shrink_after_silence(2);
        (0..1000).for_each(|_| size.succeeded(1));
        assert_eq!(size.limit(), 1);
        (0..200_000).for_each(|_| size.succeeded(512));
        assert_eq!(size.limit(), usize::from(Size::MAX));
    }
}
