//! What probes bring: accepted at the door, committed, and only then acknowledged.
//!
//! ```text
//! door: handshake → link::accept ─┬─ join, renew: one question, one answer
//!                                 └─ session: hello → snapshot → batches ─ commit ─ ack
//! ```
//!
//! - [`door`] who is let in, and how many at a time
//! - [`hello`] the lease, and what the answer says
//! - [`session`] one task per session: streams, acks, notices
//! - [`events`] the events lane into central.db
//! - [`samples`] the samples lane, behind a trait
//! - [`pulls`] what probes pull
//! - [`clock`] how far a probe's clock is from ours
//!
//! A hostile probe harms only its own session: every length is judged before it is waited for, no stream is read while
//! its last group is being committed, and what a batch says is applied under a savepoint of its own.

mod clock;
mod door;
mod events;
mod hello;
mod pulls;
mod samples;
mod session;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farwatch_shared::clock::Clock;
use farwatch_shared::error::Chain;
use farwatch_shared::id::ProbeId;
use farwatch_shared::lifecycle::Lifecycle;
use farwatch_shared::link::{CloseCode, Listener};
use farwatch_shared::session::Tick;
use farwatch_shared::sqlite::{self, SqliteError, Writer};
use rusqlite::Connection;
use tokio::sync::Semaphore;

pub use events::apply_undecoded;
pub use pulls::PullSource;
pub use samples::SampleStore;

use clock::ProbeClock;

use crate::control::Registry;
use crate::enroll::{Enroll, Limiter};
use crate::incident::outbox::Outbox;
use crate::live::{Effects, Live};

/// Handshakes at one time: at 8 ms of CPU each, more would only make all of them late.
const HANDSHAKES: usize = 64;
/// Handshakes per address and minute that need not show first that they receive there.
const KNOCKS_PER_MINUTE: f64 = 600.0;
/// Pulls per probe and minute.
const PULLS_PER_MINUTE: f64 = 600.0;

/// The parts that ingest works with.
#[derive(Debug)]
pub struct Parts<S, P> {
    /// The one writer of central.db.
    pub writer: Writer,
    /// Tokens, certificates, revocations.
    pub enroll: Enroll,
    /// Who is connected.
    pub registry: Registry,
    /// What pages are told.
    pub live: Live,
    /// Woken when a commit has opened or resolved an incident.
    pub outbox: Outbox,
    /// The samples lane.
    pub samples: S,
    /// The site's document.
    pub pulls: P,
    /// Time.
    pub clock: Clock,
}

/// Central's end of every session.
#[derive(Debug)]
pub struct Ingest<S, P>(Arc<Inner<S, P>>);

impl<S, P> Clone for Ingest<S, P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Inner<S, P> {
    writer: Writer,
    reader: Mutex<Connection>,
    enroll: Enroll,
    registry: Registry,
    live: Live,
    outbox: Outbox,
    samples: S,
    pulls: P,
    clock: Clock,
    handshakes: Arc<Semaphore>,
    knocks: Limiter<IpAddr>,
    pull_limit: Limiter<ProbeId>,
    /// As the sessions of each probe measured it; the next one begins there.
    clocks: Mutex<HashMap<ProbeId, ProbeClock>>,
}

impl<S: SampleStore, P: PullSource> Ingest<S, P> {
    /// Ready to run.
    ///
    /// # Errors
    /// `central_db` cannot be read.
    pub fn new(central_db: &Path, parts: Parts<S, P>) -> Result<Self, SqliteError> {
        Ok(Self(Arc::new(Inner {
            reader: Mutex::new(sqlite::open_reader(central_db)?),
            writer: parts.writer,
            enroll: parts.enroll,
            registry: parts.registry,
            live: parts.live,
            outbox: parts.outbox,
            samples: parts.samples,
            pulls: parts.pulls,
            clock: parts.clock,
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
            knocks: Limiter::per_minute(KNOCKS_PER_MINUTE),
            pull_limit: Limiter::per_minute(PULLS_PER_MINUTE),
            clocks: Mutex::default(),
        })))
    }

    /// Takes probes in until `life` drains; each session is a task of its own. Then every session is closed in order, so
    /// that its probe knows to come back, and nothing that was committed stays unacknowledged for long.
    ///
    /// # Errors
    /// Never; the type is what [`Lifecycle::spawn`] wants.
    pub async fn run(
        self,
        listener: Listener,
        life: Lifecycle,
    ) -> Result<(), std::convert::Infallible> {
        let drain = life.drain();
        while let Some(Some(incoming)) = drain.run_until_cancelled(self.next(&listener)).await {
            if let Some(incoming) = self.screen(incoming) {
                let this = self.clone();
                life.spawn_short("probe", async move { this.serve(incoming).await });
            }
        }
        self.0.registry.close_all("Central stops; it will be back");
        listener.close(CloseCode::Shutdown, "Central stops; it will be back");
        listener.idle().await;
        Ok(())
    }
}

impl<S, P> Inner<S, P> {
    fn tick(&self) -> Tick {
        Tick(self.clock.boot_ms())
    }

    fn clocks(&self) -> MutexGuard<'_, HashMap<ProbeId, ProbeClock>> {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells people what a commit has changed.
    fn publish(&self, effects: &Effects) {
        self.live.publish(effects);
        if effects.has_incidents() {
            self.outbox.wake();
        }
    }
}

impl<S: SampleStore, P: PullSource> Inner<S, P> {
    /// A short read, off the async threads; an error becomes a sentence for the probe.
    async fn read<T, F>(self: &Arc<Self>, query: F) -> Result<T, String>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let connection = this.reader.lock().unwrap_or_else(PoisonError::into_inner);
            query(&connection)
        })
        .await;
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::error!(error = %Chain(&error), "central.db could not be read for a probe");
                Err("Central could not read its store".to_owned())
            }
            Err(_) => Err("Central could not read its store".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
