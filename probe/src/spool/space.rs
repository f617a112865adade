//! How much room there is, and what goes when there is not enough.

use std::path::{Path, PathBuf};

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{Epoch, GapReason, Lane};
use farwatch_shared::session::{REPLAY_WINDOW_MS, UNACKED_WINDOW_MS};
use rusqlite::{Connection, params};

use super::append::Made;
use super::settle::{self, Lost};
use super::{layouts, to_seq, to_sql};

/// What the spool may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpoolLimits {
    /// Bytes of the file.
    pub max_bytes: u64,
    /// Part of the file system (0 to 1); the lesser of both counts.
    pub max_fraction: f64,
    /// How long what is not acknowledged is kept, ms.
    pub unacked_ms: i64,
    /// How long what is acknowledged is kept, ms.
    pub replay_ms: i64,
    /// Bytes of the reserve file that is let go when the disk is full.
    pub reserve_bytes: u64,
    /// Part of the file system (0 to 1); the lesser of both counts.
    pub reserve_fraction: f64,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self {
            max_bytes: 4 * 1024 * 1024 * 1024,
            max_fraction: 0.2,
            unacked_ms: UNACKED_WINDOW_MS,
            replay_ms: REPLAY_WINDOW_MS,
            reserve_bytes: 64 * 1024 * 1024,
            reserve_fraction: 0.05,
        }
    }
}

/// Rows that one pass deletes: a transaction of a few ten megabytes at the most.
const PASS_ROWS: u32 = 256;
/// What a row takes beside its body, indices included.
const ROW_BYTES: u64 = 400;
/// An age beyond this is a clock that was set, not time that passed, ms.
const PLAUSIBLE_AGE_MS: i64 = 60 * 24 * 3_600 * 1_000;
/// Spans of the log of pruned data are joined up to this length, ms.
const PRUNED_SPAN_MS: i64 = 3_600 * 1_000;
/// The log of pruned data is kept this long, ms.
const PRUNED_KEPT_MS: i64 = 90 * 24 * 3_600 * 1_000;
/// Lanes without any batch are remembered up to this many.
const EMPTY_LANES: u32 = 400;

/// What one pass of pruning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) pruned: usize,
    pub(super) dropped: usize,
    /// There is more to do.
    pub(super) more: bool,
}

/// How large the file may be now, bytes.
pub(super) fn bound(limits: &SpoolLimits, path: &Path) -> u64 {
    let share = part_of(
        file_system_bytes(path).map(|(total, _)| total),
        limits.max_fraction,
    );
    limits.max_bytes.min(share)
}

/// (total, available to us) of the file system.
fn file_system_bytes(path: &Path) -> Option<(u64, u64)> {
    let stat = nix::sys::statvfs::statvfs(path.parent()?).ok()?;
    let fragment = stat.fragment_size();
    Some((stat.blocks() * fragment, stat.blocks_available() * fragment))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a file system need not be exact to the byte"
)]
fn part_of(total: Option<u64>, fraction: f64) -> u64 {
    total.map_or(u64::MAX, |total| {
        (total as f64 * fraction.clamp(0.0, 1.0)) as u64
    })
}

/// Bytes of the file that hold something.
pub(super) fn used(c: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| c.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok(to_seq(pages * pragma("page_size")?))
}

/// Makes room for `bytes` more under `bound`, in the transaction that will use it.
pub(super) fn make_room(
    c: &Connection,
    bound: u64,
    bytes: u64,
    reason: GapReason,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let wanted = used(c)?.saturating_add(bytes).saturating_add(ROW_BYTES);
    if wanted > bound {
        // A little more than needed, so that not every commit has to.
        free_pages(c, (wanted - bound).saturating_add(bound / 256), reason, now)?;
    }
    Ok(())
}

/// Deletes batches worth `bytes`: acknowledged ones, then the oldest unsent samples, then the oldest unsent events.
pub(super) fn free_pages(
    c: &Connection,
    bytes: u64,
    reason: GapReason,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut need = bytes.saturating_add(64 * 1024);
    while need > 0 {
        let freed = prune_oldest(c, Timestamp(i64::MAX), Some(need), now)?;
        if freed.rows == 0 {
            break;
        }
        c.prepare_cached("UPDATE meta SET squeezed_ms = ?1")?
            .execute([now])?;
        need = need.saturating_sub(freed.bytes);
    }
    for lane in [Lane::Samples, Lane::Events] {
        while need > 0 {
            let freed = drop_oldest(c, lane, Some(need), reason, |_| true)?;
            if freed.rows == 0 {
                break;
            }
            need = need.saturating_sub(freed.bytes);
        }
    }
    Ok(())
}

/// One bounded pass: what is older than its window, and what is over the bound.
pub(super) fn prune(
    c: &Connection,
    limits: &SpoolLimits,
    bound: u64,
    made: &Made,
) -> rusqlite::Result<Pass> {
    let now = made.now;
    let mut pass = Pass::default();
    let pruned = prune_oldest(c, now.plus_ms(-limits.replay_ms), None, now)?;
    pass.pruned = pruned.rows;
    for lane in [Lane::Samples, Lane::Events] {
        let dropped = drop_oldest(c, lane, None, GapReason::TooOld, |row| {
            let age = if row.boot_id == *made.boot_id {
                made.boot_ms - row.boot_ms
            } else {
                now.since(row.made)
            };
            (limits.unacked_ms..PLAUSIBLE_AGE_MS.max(limits.unacked_ms + 1)).contains(&age)
        })?;
        pass.dropped += dropped.rows;
    }
    pass.more = pass.pruned.max(pass.dropped) >= PASS_ROWS as usize;
    if !pass.more {
        let over = used(c)?.saturating_sub(bound);
        if over > 0 {
            free_pages(c, over.min(16 * 1024 * 1024), GapReason::SpoolOverflow, now)?;
            pass.dropped += 1;
        }
        tidy(c, now)?;
    }
    Ok(pass)
}

struct Freed {
    rows: usize,
    bytes: u64,
}

struct Row {
    id: i64,
    epoch: Epoch,
    lane: Lane,
    seq: u64,
    from: Timestamp,
    to: Timestamp,
    samples: u64,
    size: u64,
    boot_id: String,
    boot_ms: i64,
    made: Timestamp,
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: row.get(0)?,
        epoch: row.get(1)?,
        lane: Lane::from_code(row.get(2)?).unwrap_or(Lane::Samples),
        seq: to_seq(row.get(3)?),
        from: row.get(4)?,
        to: row.get(5)?,
        samples: to_seq(row.get(6)?),
        size: to_seq(row.get(7)?),
        boot_id: row.get(8)?,
        boot_ms: row.get(9)?,
        made: row.get(10)?,
    })
}

/// Deletes acknowledged batches, those acknowledged longest ago first, and logs how far.
fn prune_oldest(
    c: &Connection,
    before: Timestamp,
    need: Option<u64>,
    now: Timestamp,
) -> rusqlite::Result<Freed> {
    let rows: Vec<Row> = c
        .prepare_cached(
            "SELECT id, epoch, lane, seq, from_ms, to_ms, samples, size, boot_id, boot_ms, made_ms FROM batches
             WHERE acked_ms IS NOT NULL AND acked_ms < ?1 ORDER BY acked_ms, id LIMIT ?2",
        )?
        .query_map(params![before, PASS_ROWS], row)?
        .collect::<Result<_, _>>()?;
    let mut freed = Freed { rows: 0, bytes: 0 };
    for row in rows {
        if need.is_some_and(|need| freed.bytes >= need) {
            break;
        }
        log_pruned(c, &row)?;
        settle::delete(c, row.id)?;
        freed.rows += 1;
        freed.bytes += row.size + ROW_BYTES;
    }
    if freed.rows > 0 {
        c.prepare_cached("DELETE FROM pruned WHERE to_ms < ?1")?
            .execute([now.plus_ms(-PRUNED_KEPT_MS)])?;
    }
    Ok(freed)
}

fn log_pruned(c: &Connection, row: &Row) -> rusqlite::Result<()> {
    let at = params![
        row.epoch,
        row.lane.code(),
        to_sql(row.seq)?,
        row.from,
        row.to,
        PRUNED_SPAN_MS
    ];
    let joined = c
        .prepare_cached(
            "UPDATE pruned SET to_seq = ?3, from_ms = min(from_ms, ?4), to_ms = max(to_ms, ?5)
             WHERE epoch = ?1 AND lane = ?2 AND to_seq = ?3 - 1 AND ?5 - from_ms < ?6",
        )?
        .execute(at)?;
    if joined == 0 {
        c.prepare_cached(
            "INSERT INTO pruned (epoch, lane, from_seq, to_seq, from_ms, to_ms) VALUES (?1, ?2, ?3, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![row.epoch, row.lane.code(), to_sql(row.seq)?, row.from, row.to])?;
    }
    Ok(())
}

/// Deletes the oldest unsent batches of a lane as long as `goes` says so, each with its `dropped` record.
fn drop_oldest(
    c: &Connection,
    lane: Lane,
    need: Option<u64>,
    reason: GapReason,
    goes: impl Fn(&Row) -> bool,
) -> rusqlite::Result<Freed> {
    let rows: Vec<Row> = c
        .prepare_cached(
            "SELECT id, epoch, lane, seq, from_ms, to_ms, samples, size, boot_id, boot_ms, made_ms FROM batches
             WHERE acked_ms IS NULL AND lane = ?1 ORDER BY id LIMIT ?2",
        )?
        .query_map(params![lane.code(), PASS_ROWS], row)?
        .collect::<Result<_, _>>()?;
    let mut freed = Freed { rows: 0, bytes: 0 };
    for row in rows {
        if need.is_some_and(|need| freed.bytes >= need) || !goes(&row) {
            break;
        }
        let lost = Lost {
            epoch: row.epoch,
            lane: row.lane,
            from_seq: row.seq,
            to_seq: row.seq,
            from: row.from,
            to: row.to,
            samples: row.samples,
        };
        settle::record_dropped(c, &lost, reason)?;
        settle::delete(c, row.id)?;
        freed.rows += 1;
        freed.bytes += row.size + ROW_BYTES;
    }
    Ok(freed)
}

/// Forgets what no batch needs any more.
fn tidy(c: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    layouts::forget(c)?;
    // Lanes that are empty and long done with; the newest few hundred stay, so that Central can still say what it lacks.
    c.prepare_cached(
        "DELETE FROM lanes WHERE (epoch, lane) IN (
             SELECT epoch, lane FROM lanes AS old
             WHERE last_ms < ?1 AND epoch <> (SELECT running FROM meta)
               AND NOT EXISTS (SELECT 1 FROM batches WHERE batches.epoch = old.epoch AND batches.lane = old.lane)
               AND NOT EXISTS (SELECT 1 FROM dropped WHERE dropped.epoch = old.epoch AND dropped.lane = old.lane)
             ORDER BY epoch DESC LIMIT -1 OFFSET ?2)",
    )?
    .execute(params![now.plus_ms(-REPLAY_WINDOW_MS), EMPTY_LANES])?;
    Ok(())
}

/// Gives free pages back to the file system, a few megabytes at a time.
pub(super) fn shrink(c: &Connection) -> rusqlite::Result<()> {
    let pragma = |name| c.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (free, pages) = (pragma("freelist_count")?, pragma("page_count")?);
    if free > 1_024 && free > pages / 4 {
        let mut step = c.prepare("PRAGMA incremental_vacuum(512)")?;
        let mut rows = step.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}

fn reserve_path(path: &Path) -> PathBuf {
    path.with_file_name("reserve")
}

/// Lets the reserve go: deleting needs room too.
pub(super) fn release_reserve(path: &Path) {
    if std::fs::remove_file(reserve_path(path)).is_ok() {
        tracing::warn!("the disk is full: the reserve was let go, old batches make room");
    }
}

/// Makes the reserve again once there is room for it twice over.
pub(super) fn keep_reserve(path: &Path, limits: &SpoolLimits) {
    let reserve = reserve_path(path);
    let Some((total, available)) = file_system_bytes(path) else {
        return;
    };
    let bytes = limits
        .reserve_bytes
        .min(part_of(Some(total), limits.reserve_fraction));
    let there = std::fs::metadata(&reserve).map_or(0, |meta| meta.len());
    if bytes == 0 || there >= bytes || available < bytes.saturating_mul(2) {
        return;
    }
    let made = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&reserve)
        .and_then(|file| {
            let len = i64::try_from(bytes).unwrap_or(i64::MAX);
            nix::fcntl::posix_fallocate(&file, 0, len).map_err(std::io::Error::from)
        });
    if let Err(error) = made {
        tracing::debug!(%error, "the reserve could not be made");
        let _ = std::fs::remove_file(&reserve);
    }
}

/// Bytes committed lately, for "time left at this rate".
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    from_ms: i64,
    bytes: u64,
}

impl Rate {
    pub(super) const fn new(boot_ms: i64) -> Self {
        Self {
            from_ms: boot_ms,
            bytes: 0,
        }
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes + ROW_BYTES);
    }

    /// Bytes a second over the last one to two hours; 0 when nothing is known yet.
    pub(super) fn bytes_per_s(&mut self, boot_ms: i64) -> u64 {
        let elapsed = (boot_ms - self.from_ms).max(1).unsigned_abs();
        let per_s = self.bytes.saturating_mul(1_000) / elapsed;
        if elapsed > 2 * 3_600_000 {
            // Half of the past is forgotten.
            self.from_ms = boot_ms - 3_600_000;
            self.bytes = per_s.saturating_mul(3_600);
        }
        if elapsed < 10_000 { 0 } else { per_s }
    }
}
