//! What is too old goes: events, transitions, sent notifications, ended sessions. The audit table stays.

use std::time::Duration;

use farwatch_shared::clock::{Steady, Timestamp};
use farwatch_shared::error::Chain;
use farwatch_shared::sqlite::SqliteError;
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use crate::api::Central;
use crate::config::Retention;
use crate::store::{rescue, reserve};

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(600);
/// The spare copy of central.db is made anew once in so many rounds: every hour.
const SPARE_EVERY: u32 = 6;
/// Rows of one table in one transaction: live work waits no longer for it than for a large batch.
const AT_ONCE: i64 = 5_000;
const DAY_MS: i64 = 86_400_000;

pub(super) async fn run(
    central: Central,
    retention: Retention,
    drain: CancellationToken,
) -> Result<(), SqliteError> {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut rounds = 0_u32;
    let newest = central.store.read(newest).await.unwrap_or_default();
    let mut steady = Steady::new(central.clock.clone(), newest);
    let keep_ms = i64::try_from(retention.events.as_millis()).unwrap_or(i64::MAX);
    while drain.run_until_cancelled(ticks.tick()).await.is_some() {
        let now = central.clock.now();
        keep_reserve(&central).await;
        if rounds.is_multiple_of(SPARE_EVERY) {
            keep_spare(&central).await;
        }
        rounds = rounds.wrapping_add(1);
        if !steady.holds() {
            tracing::warn!(
                "the clock was set far, or is far from what is stored: nothing is removed for its age until it has stood for a day"
            );
            continue;
        }
        loop {
            match central.store.write(move |c| round(c, now, keep_ms)).await {
                Ok(true) if !drain.is_cancelled() => {}
                Ok(_) => break,
                Err(SqliteError::Stopped) => return Err(SqliteError::Stopped),
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "what is too old could not be removed; it is tried again");
                    break;
                }
            }
        }
    }
    Ok(())
}

async fn keep_spare(central: &Central) {
    let dir = central.settings.data_dir.clone();
    if let Ok(Err(why)) = tokio::task::spawn_blocking(move || rescue::keep_spare(&dir)).await {
        tracing::warn!("no spare copy of central.db was made: {why}");
    }
}

async fn keep_reserve(central: &Central) {
    let dir = central.settings.data_dir.clone();
    match tokio::task::spawn_blocking(move || reserve::keep(&dir)).await {
        Ok(Ok(true)) | Err(_) => {}
        Ok(Ok(false)) => {
            tracing::warn!("the disk is nearly full: there is no room for the reserve")
        }
        Ok(Err(error)) => tracing::warn!(%error, "the reserve could not be made"),
    }
}

/// The newest moment at which anything is known to have been written here.
fn newest(c: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    c.query_row(
        "SELECT nullif(max(coalesce((SELECT max(last_heard_ms) FROM probes), 0),
            coalesce((SELECT at_ms FROM audit ORDER BY id DESC LIMIT 1), 0)), 0)",
        [],
        |row| row.get(0),
    )
}

/// Removes a part; `true` when there may be more.
fn round(c: &Connection, now: Timestamp, keep_ms: i64) -> rusqlite::Result<bool> {
    let old = now.plus_ms(-keep_ms);
    let mut most = 0;
    most = most.max(c.execute(
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at_ms < ?1 LIMIT ?2)",
        (old, AT_ONCE),
    )?);
    // The transition that is still in force stays, however old it is.
    most = most.max(c.execute(
        "DELETE FROM device_states WHERE (device_id, from_ms) IN (
            SELECT s.device_id, s.from_ms FROM device_states s WHERE s.from_ms < ?1
              AND EXISTS (SELECT 1 FROM device_states n WHERE n.device_id = s.device_id AND n.from_ms > s.from_ms AND n.from_ms <= ?1)
            LIMIT ?2)",
        (old, AT_ONCE),
    )?);
    most = most.max(c.execute(
        "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE resolved_ms < ?1 LIMIT ?2)",
        (old, AT_ONCE),
    )?);
    c.execute("DELETE FROM setup_tokens WHERE expires_ms < ?1", [now])?;
    c.execute(
        "DELETE FROM join_tokens WHERE expires_ms < ?1 AND used_ms IS NULL",
        [now.plus_ms(-30 * DAY_MS)],
    )?;
    c.execute(
        "DELETE FROM sessions WHERE last_seen_ms < ?1",
        [now.plus_ms(-DAY_MS)],
    )?;
    Ok(most >= usize::try_from(AT_ONCE).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn old_events_go_and_the_state_in_force_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Timestamp(1)).unwrap();
        let left: (i64, i64, i64) = store
            .write(|c| {
                c.execute_batch(
                    "INSERT INTO customers (id, name, created_ms) VALUES (zeroblob(16), 'a', 0);
                     INSERT INTO sites (id, customer_id, name, created_ms) VALUES (zeroblob(16), zeroblob(16), 's', 0);
                     INSERT INTO devices (id, customer_id, site_id, record, name, address, state_since_ms, first_seen_ms)
                        VALUES (zeroblob(16), zeroblob(16), zeroblob(16), '{}', 'd', '192.0.2.1', 0, 0);
                     INSERT INTO device_states (device_id, from_ms, state) VALUES (zeroblob(16), 10, 5), (zeroblob(16), 20, 0), (zeroblob(16), 200, 5);
                     INSERT INTO events (customer_id, site_id, at_ms, received_ms, late, kind, severity, text, detail)
                        VALUES (zeroblob(16), zeroblob(16), 10, 10, 0, 'x', 4, '', '{}'), (zeroblob(16), zeroblob(16), 200, 200, 0, 'x', 4, '', '{}');",
                )?;
                round(c, Timestamp(250), 150)?;
                c.query_row(
                    "SELECT (SELECT count(*) FROM events), (SELECT min(from_ms) FROM device_states), (SELECT count(*) FROM device_states)",
                    [],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )
            })
            .await
            .unwrap();
        assert_eq!(left, (1, 20, 2));
    }
}
