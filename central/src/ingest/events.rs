//! The events lane into central.db: admitted and applied in one transaction, each batch under its own savepoint.

use std::panic::{AssertUnwindSafe, catch_unwind};

use farwatch_shared::clock::Timestamp;
use farwatch_shared::failpoint;
use farwatch_shared::model::{Epoch, GapReason, Lane};
use farwatch_shared::session::receiver::Decided;
use farwatch_shared::wire;
use farwatch_shared::wire::message::batch::{Batch, Dropped};
use farwatch_shared::wire::message::session::LaneCommitted;
use rusqlite::{Connection, params};

use crate::ledger::{self, Admission, Entry};
use crate::live::Effects;
use crate::scope::ProbeScope;
use crate::store::inbound::{ApplyError, ClockCorrection, apply_batch};

/// One batch as the session saw it.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) batch: Batch,
    /// False: history.
    pub(super) live: bool,
    /// False: its body is not what its crc says; it is set aside.
    pub(super) sound: bool,
    pub(super) correction: ClockCorrection,
}

/// What one commit did.
#[derive(Debug, Default)]
pub(super) struct Committed {
    pub(super) decided: Vec<Decided>,
    pub(super) effects: Vec<Effects>,
}

/// The job of one group: everything in it, or nothing.
///
/// Whatever a probe may have put into a batch harms that batch only: what cannot be applied is kept as it came and
/// acknowledged. An error means that the file could not be written.
pub(super) fn commit(
    c: &Connection,
    scope: &ProbeScope,
    lease: u64,
    group: &[Arrived],
    now: Timestamp,
) -> rusqlite::Result<Committed> {
    // A session that has lost its lease to a newer one may still bring history, but no states.
    let holds_lease = confirmed_lease(c, scope)? <= lease;
    let mut done = Committed::default();
    for arrived in group {
        let epoch = arrived.batch.epoch;
        let at = match done
            .decided
            .iter()
            .position(|decided| decided.committed.epoch == epoch)
        {
            Some(at) => at,
            None => {
                done.decided.push(nothing_decided(epoch));
                done.decided.len() - 1
            }
        };
        let decided = &mut done.decided[at];
        decided.seqs.push(arrived.batch.seq);
        if !arrived.sound {
            ledger::mark_dropped(c, scope.probe(), &set_aside(&arrived.batch), now)?;
            continue;
        }
        let entry = Entry::of(&arrived.batch, Lane::Events);
        match ledger::admit(c, scope.probe(), &entry, now)? {
            Admission::New => {
                let live = arrived.live && holds_lease;
                done.effects.extend(apply(c, scope, live, arrived, now)?);
            }
            Admission::Conflict => decided.conflicts.push(arrived.batch.seq),
            Admission::Repeat | Admission::Full => {}
        }
    }
    for decided in &mut done.decided {
        let epoch = decided.committed.epoch;
        decided.committed = ledger::committed_lane(c, scope.probe(), epoch, Lane::Events)?;
    }
    failpoint::hit("C3");
    Ok(done)
}

/// The lease whose snapshot was committed last.
pub(super) fn confirmed_lease(c: &Connection, scope: &ProbeScope) -> rusqlite::Result<u64> {
    let lease: i64 = c
        .prepare_cached("SELECT lease_confirmed FROM probes WHERE id = ?1")?
        .query_row([scope.probe()], |row| row.get(0))?;
    Ok(lease.cast_unsigned())
}

/// A range that the probe dropped, or that was set aside, in this file.
pub(super) fn dropped(
    c: &Connection,
    scope: &ProbeScope,
    dropped: &Dropped,
    now: Timestamp,
) -> rusqlite::Result<LaneCommitted> {
    ledger::mark_dropped(c, scope.probe(), dropped, now)?;
    ledger::committed_lane(c, scope.probe(), dropped.epoch, Lane::Events)
}

/// The dropped range that stands for a batch whose body is damaged.
pub(super) fn set_aside(batch: &Batch) -> Dropped {
    Dropped {
        epoch: batch.epoch,
        lane: batch.lane,
        from_seq: batch.seq,
        to_seq: batch.seq,
        from: batch.from,
        to: batch.to,
        reason: GapReason::Quarantined.code(),
    }
}

const fn nothing_decided(epoch: Epoch) -> Decided {
    Decided {
        committed: LaneCommitted {
            epoch,
            lane: Lane::Events.code(),
            watermark: 0,
            ranges: Vec::new(),
        },
        seqs: Vec::new(),
        conflicts: Vec::new(),
        want_layouts: Vec::new(),
    }
}

fn apply(
    c: &Connection,
    scope: &ProbeScope,
    live: bool,
    arrived: &Arrived,
    now: Timestamp,
) -> rusqlite::Result<Option<Effects>> {
    let batch = &arrived.batch;
    match attempt(c, scope, live, batch, arrived.correction, now)? {
        Ok(effects) => Ok(Some(effects)),
        Err(why) => {
            tracing::warn!(probe.id = %scope.probe(), batch.seq, "an events batch is kept as it came: {why}");
            c.prepare_cached(
                "INSERT INTO undecoded_events (probe_id, epoch, seq, received_ms, why, batch)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                scope.probe(),
                batch.epoch,
                batch.seq.cast_signed(),
                now,
                why,
                wire::encode(batch)
            ])?;
            c.prepare_cached(
                "UPDATE lane_progress SET undecoded = undecoded + 1 WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3",
            )?
            .execute(params![scope.probe(), batch.epoch, Lane::Events.code()])?;
            Ok(None)
        }
    }
}

/// Applies a batch under a savepoint of its own. The inner error is the batch's fault, the outer one the file's.
fn attempt(
    c: &Connection,
    scope: &ProbeScope,
    live: bool,
    batch: &Batch,
    correction: ClockCorrection,
    now: Timestamp,
) -> rusqlite::Result<Result<Effects, String>> {
    c.execute_batch("SAVEPOINT batch")?;
    // A fault in the applying code must not end the one thread that writes for everybody.
    let applied = catch_unwind(AssertUnwindSafe(|| {
        apply_batch(c, scope, live, batch, correction, now)
    }));
    let why = match applied {
        Ok(Ok(effects)) => {
            c.execute_batch("RELEASE batch")?;
            return Ok(Ok(effects));
        }
        Ok(Err(ApplyError::Store(error))) if !is_the_batchs_fault(&error) => return Err(error),
        Ok(Err(error)) => farwatch_shared::error::Chain(&error).to_string(),
        Err(_) => "the program failed over it".to_owned(),
    };
    c.execute_batch("ROLLBACK TO batch; RELEASE batch")?;
    Ok(Err(why))
}

/// Whether an error comes from what a batch says (a value that no column takes) and not from the file.
fn is_the_batchs_fault(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, ParameterOutOfRange, TooBig, TypeMismatch};
    match error {
        rusqlite::Error::SqliteFailure(code, _) => matches!(
            code.code,
            ConstraintViolation | TypeMismatch | TooBig | ParameterOutOfRange
        ),
        rusqlite::Error::ToSqlConversionFailure(_)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => true,
        _ => false,
    }
}

/// At start: batches that an older version could not apply, applied as history by this one. Returns how many were.
///
/// # Errors
/// SQLite's.
pub fn apply_undecoded(c: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    let mut rows = c.prepare(
        "SELECT u.probe_id, u.epoch, u.seq, u.batch, p.customer_id, p.site_id FROM undecoded_events u
         JOIN probes p ON p.id = u.probe_id",
    )?;
    let rows = rows
        .query_map([], |row| {
            let scope = ProbeScope::new(row.get(4)?, row.get(5)?, row.get(0)?);
            Ok((
                scope,
                row.get::<_, Epoch>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, Vec<u8>>(3)?,
            ))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut applied = 0;
    for (scope, epoch, seq, bytes) in rows {
        let Ok(batch) = wire::decode::<Batch>(&bytes) else {
            continue;
        };
        let unknown = ClockCorrection {
            offset_ms: 0,
            approximate: true,
        };
        if attempt(c, &scope, false, &batch, unknown, now)?.is_ok() {
            c.execute(
                "DELETE FROM undecoded_events WHERE probe_id = ?1 AND epoch = ?2 AND seq = ?3",
                params![scope.probe(), epoch, seq],
            )?;
            ledger::decoded(c, scope.probe(), epoch, Lane::Events, 1, 0, false)?;
            applied += 1;
        }
    }
    Ok(applied)
}
