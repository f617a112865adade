//! What is old goes; so does what belonged to a probe that was deleted.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use rusqlite::{Connection, TransactionBehavior, params};

use super::days::{Kind, lock, vacuum};
use super::schema::{DAY_MS, day_of, hour_of};
use super::{Inner, MetricsError};
use crate::ledger;

/// Rows that one transaction removes at the most: the writer is not held up.
const ROWS: u32 = 2_000;

impl Inner {
    /// Removes samples, gaps and layouts that are older than what is kept.
    pub(super) fn prune(&self) -> Result<(), MetricsError> {
        let _one = lock(&self.sealing);
        let now = self.clock.now();
        let samples = now.plus_ms(-i64::from(self.settings.raw_days.max(1)).saturating_mul(DAY_MS));
        let first = day_of(hour_of(samples.ms()));
        for day in self.days.delete_before(first) {
            tracing::info!(
                day,
                "samples of a day were removed: they are older than what is kept"
            );
        }
        // Roll-ups outlive them, each for its own time; a file goes when all of it is older.
        let kept = [
            (&self.five_minutes, self.settings.five_minutes_days),
            (&self.hours, self.settings.hour_days),
        ];
        for (files, days) in kept {
            let before = now.plus_ms(-i64::from(days.max(1)).saturating_mul(DAY_MS));
            files.delete_before(files.kind.file_of(hour_of(before.ms())));
        }
        let gaps = now.plus_ms(-i64::from(self.settings.hour_days.max(1)).saturating_mul(DAY_MS));
        while self
            .writer
            .write_blocking(move |c| prune_rows(c, samples, gaps, now))?
            >= ROWS as usize
        {}
        let mut state = self.state_mut();
        for of in state.probes.values_mut() {
            of.forget_idle_epochs(now);
        }
        state.shapes.sweep();
        Ok(())
    }

    /// Removes everything of some probes.
    pub(super) fn delete_probes(&self, probes: &[ProbeId]) -> Result<(), MetricsError> {
        let _one = lock(&self.sealing);
        {
            let mut state = self.state_mut();
            for probe in probes {
                state.probes.remove(probe);
            }
        }
        for files in [&self.days, &self.five_minutes, &self.hours] {
            for file in files.within(i64::MIN, i64::MAX) {
                files.alone(file, |c| delete_from_file(c, files.kind, probes))?;
            }
            // Readers remember sources that are gone.
            files.close_all();
        }
        let probes = probes.to_vec();
        self.writer
            .write_blocking(move |c| probes.iter().try_for_each(|probe| forget(c, *probe)))?;
        Ok(())
    }
}

fn delete_from_file(
    connection: &mut Connection,
    kind: Kind,
    probes: &[ProbeId],
) -> rusqlite::Result<()> {
    // What belonged to a customer is overwritten, not only unlinked.
    connection.pragma_update(None, "secure_delete", true)?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // An id's lower half is its source.
    let tables: &[(&str, &str)] = match kind {
        Kind::Samples => &[
            ("chunks", "id & 4294967295"),
            ("device_days", "id"),
            ("aside", "source"),
        ],
        Kind::FiveMinutes | Kind::Hours => &[("roll_ups", "id & 4294967295")],
    };
    for probe in probes {
        for (table, source) in tables {
            tx.execute(
                &format!(
                    "DELETE FROM {table} WHERE {source} IN (SELECT id FROM sources WHERE probe_id = ?1)"
                ),
                [probe],
            )?;
        }
        tx.execute("DELETE FROM sources WHERE probe_id = ?1", [probe])?;
        if kind == Kind::Samples {
            tx.execute("DELETE FROM sealed WHERE probe_id = ?1", [probe])?;
        }
    }
    tx.commit()?;
    vacuum(connection)
}

fn forget(c: &Connection, probe: ProbeId) -> rusqlite::Result<()> {
    ledger::forget(c, probe)?;
    for table in ["raw", "layouts", "gaps", "hours", "proofs", "proof_counts"] {
        c.execute(&format!("DELETE FROM {table} WHERE probe_id = ?1"), [probe])?;
    }
    Ok(())
}

fn prune_rows(
    c: &Connection,
    samples: Timestamp,
    gaps: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let mut gone = 0;
    // What was set aside, or never had its layout, is kept as long as samples are.
    gone += c.execute(
        "DELETE FROM raw WHERE id IN (SELECT id FROM raw WHERE received_ms < ?1 AND (state <> 0 OR sealed = 1) LIMIT ?2)",
        params![samples, ROWS],
    )?;
    gone += c.execute(
        "DELETE FROM gaps WHERE id IN (SELECT id FROM gaps WHERE to_ms < ?1 LIMIT ?2)",
        params![gaps, ROWS],
    )?;
    c.execute("DELETE FROM hours WHERE hour < ?1", [hour_of(samples.ms())])?;
    gone += ledger::prune_crcs(c, now, ROWS)?;
    // Layouts of epochs of which nothing is raw any more, except each probe's newest.
    c.execute(
        "DELETE FROM layouts WHERE (probe_id, epoch) IN
             (SELECT probe_id, epoch FROM lane_progress AS old WHERE lane = 1 AND updated_ms < ?1
                AND NOT EXISTS (SELECT 1 FROM raw WHERE raw.probe_id = old.probe_id AND raw.epoch = old.epoch)
                AND EXISTS (SELECT 1 FROM lane_progress AS newer WHERE newer.probe_id = old.probe_id AND newer.lane = 1
                    AND newer.updated_ms > old.updated_ms))",
        params![now.plus_ms(-farwatch_shared::session::CRC_WINDOW_MS)],
    )?;
    c.execute(
        "DELETE FROM proofs WHERE NOT EXISTS
             (SELECT 1 FROM layouts WHERE layouts.probe_id = proofs.probe_id AND layouts.epoch = proofs.epoch)",
        [],
    )?;
    Ok(gone)
}
