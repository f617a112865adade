//! What no probe can see: a probe that fell silent, and a mute that ended while its device is still down.

use std::time::Duration;

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::error::Chain;
use farwatch_shared::id::{CustomerId, DeviceId, ProbeId, SiteId};
use farwatch_shared::model::DeviceState;
use farwatch_shared::sqlite::{SqliteError, Writer};
use rusqlite::{Connection, params};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::outbox::Outbox;
use super::rules;
use crate::live::{Change, Effects, Live, ProbeNow};
use crate::store::inbound::probe_fell_silent;

/// How often silence is looked for: with the 60 s mark this keeps the promise of 90 s with room.
const EVERY: Duration = Duration::from_secs(5);
/// After its own start Central waits this long for probes to come back before it calls any of them silent: they redial
/// within 5 s, and Central's own absence is not theirs.
const GRACE_AFTER_START_MS: i64 = 60_000;

/// The watch over silent probes and ended mutes.
#[derive(Debug)]
pub struct Watch {
    writer: Writer,
    live: Live,
    outbox: Outbox,
    clock: Clock,
    started_boot_ms: i64,
}

impl Watch {
    /// A watch that begins now.
    #[must_use]
    pub fn new(writer: Writer, live: Live, outbox: Outbox, clock: Clock) -> Self {
        let started_boot_ms = clock.boot_ms();
        Self {
            writer,
            live,
            outbox,
            clock,
            started_boot_ms,
        }
    }

    /// Looks every five seconds until `drain`.
    ///
    /// # Errors
    /// The writer has stopped.
    pub async fn run(self, drain: CancellationToken) -> Result<(), SqliteError> {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while drain.run_until_cancelled(ticks.tick()).await.is_some() {
            match self.look().await {
                Err(SqliteError::Stopped) => return Err(SqliteError::Stopped),
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "the watch over silent probes could not write; it tries again")
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// One look.
    ///
    /// # Errors
    /// The store's own; whatever was not written is found again at the next look.
    pub async fn look(&self) -> Result<(), SqliteError> {
        let now = self.clock.now();
        if self.clock.boot_ms().saturating_sub(self.started_boot_ms) >= GRACE_AFTER_START_MS {
            for (probe, state) in self.live.probes().newly_silent(now) {
                if let Err(error) = self.call_silent(probe, state, now).await {
                    self.live.probes().not_yet_silent(probe);
                    return Err(error);
                }
            }
        }
        let unmuted = self
            .writer
            .write(move |c| still_down_after_mute(c, now))
            .await?;
        for effects in unmuted {
            self.tell(&effects);
        }
        Ok(())
    }

    async fn call_silent(
        &self,
        probe: ProbeId,
        state: ProbeNow,
        now: Timestamp,
    ) -> Result<(), SqliteError> {
        let last_heard = state.last_heard.unwrap_or(now);
        let effects = self
            .writer
            .write(move |c| {
                let mut effects = Effects::new(state.customer, state.site);
                rules::probe_is_silent(
                    c,
                    state.customer,
                    state.site,
                    probe,
                    last_heard,
                    now,
                    &mut effects,
                )?;
                probe_fell_silent(c, probe, last_heard)?;
                effects.push(Change::Probe { probe });
                Ok(effects)
            })
            .await?;
        tracing::warn!(probe.id = %probe, "a probe stopped reporting; its devices are unknown");
        self.tell(&effects);
        Ok(())
    }

    fn tell(&self, effects: &Effects) {
        self.live.publish(effects);
        if effects.has_incidents() {
            self.outbox.wake();
        }
    }
}

/// Devices that are down, no longer muted, and have no open incident: the condition still true is news.
fn still_down_after_mute(c: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Effects>> {
    let ended = c
        .prepare_cached(
            "SELECT d.id, d.customer_id, d.site_id, d.state_since_ms FROM devices d WHERE d.state = ?1 AND d.muted_until_ms <= ?2 \
             AND d.forgotten_ms IS NULL AND NOT EXISTS (SELECT 1 FROM incidents i WHERE i.kind = 'device_down' \
             AND i.device_id = d.id AND i.resolved_ms IS NULL)",
        )?
        .query_map(params![DeviceState::Down.code(), now], |row| {
            Ok((row.get::<_, DeviceId>(0)?, row.get::<_, CustomerId>(1)?, row.get::<_, SiteId>(2)?, row.get::<_, Timestamp>(3)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut all = Vec::new();
    for (device, customer, site, since) in ended {
        let mut effects = Effects::new(customer, site);
        rules::device_is(
            c,
            customer,
            device,
            DeviceState::Down,
            since,
            now,
            &mut effects,
        )?;
        if !effects.changes().is_empty() {
            all.push(effects);
        }
    }
    Ok(all)
}
