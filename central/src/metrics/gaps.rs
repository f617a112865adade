//! What is known to be missing, and why.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{DeviceNo, Epoch, GapReason, GapRun, InstanceNo, Lane, ProbeGap};
use farwatch_shared::wire;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::query::GapSpan;
use super::shape::Known;

/// One gap as a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// 0 is the whole probe.
    pub(super) device: DeviceNo,
    pub(super) group: u8,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) reason: u8,
    /// (metric, instance) of the missing columns; `None` is all of the group.
    pub(super) columns: Option<Vec<(String, u32)>>,
    /// The batch that Central set aside, or the first of those that the probe dropped: the gap goes when they are read.
    pub(super) batch: Option<(Epoch, u64)>,
}

/// A gap of the whole probe has no group of its own.
const ALL_GROUPS: u8 = u8::MAX;

impl Gap {
    pub(super) fn of_probe(gap: &ProbeGap, correction_ms: i64) -> Self {
        Self {
            device: DeviceNo(0),
            group: ALL_GROUPS,
            from: gap.from.plus_ms(correction_ms),
            to: gap.to.plus_ms(correction_ms),
            reason: gap.reason,
            columns: None,
            batch: None,
        }
    }

    /// Central's own, over a time of a probe.
    pub(super) const fn of_time(
        from: Timestamp,
        to: Timestamp,
        reason: GapReason,
        batch: Option<(Epoch, u64)>,
    ) -> Self {
        Self {
            device: DeviceNo(0),
            group: ALL_GROUPS,
            from,
            to,
            reason: reason.code(),
            columns: None,
            batch,
        }
    }

    /// Missing slots of a layout: from the first slot until one interval after the last.
    pub(super) fn of_run(run: &GapRun, known: &Known, correction_ms: i64) -> Self {
        let interval = i64::from(known.layout.interval_s.max(1));
        let from = Timestamp::from_secs(run.first_slot_s).plus_ms(correction_ms);
        let length = i64::from(run.slots.max(1)).saturating_mul(interval);
        let columns = (!run.columns.is_empty()).then(|| {
            (0..known.shape.columns())
                .filter(|column| {
                    run.columns
                        .get(column / 8)
                        .is_some_and(|byte| byte >> (column % 8) & 1 == 1)
                })
                .map(|column| {
                    (
                        known.shape.metric(column).name.clone(),
                        known.shape.instance(column).0,
                    )
                })
                .collect()
        });
        Self {
            device: known.device(),
            group: known.shape.form.group,
            from,
            to: from.plus_ms(length.saturating_mul(1_000)),
            reason: run.reason,
            columns,
            batch: None,
        }
    }
}

/// Keeps a gap. One that goes on where the last of the same kind ended becomes one with it.
pub(super) fn insert(c: &Connection, probe: ProbeId, gap: &Gap) -> rusqlite::Result<()> {
    if gap.to <= gap.from {
        return Ok(());
    }
    let columns = gap.columns.as_ref().map(wire::encode);
    if gap.batch.is_none() {
        let joined = c
            .prepare_cached(
                "UPDATE gaps SET to_ms = ?6 WHERE id =
                     (SELECT id FROM gaps WHERE probe_id = ?1 AND device = ?2 AND to_ms = ?5 AND grp = ?3 AND reason = ?4
                          AND columns IS ?7 AND epoch IS NULL LIMIT 1)",
            )?
            .execute(params![
                probe, gap.device, gap.group, gap.reason, gap.from, gap.to, columns
            ])?;
        if joined > 0 {
            return Ok(());
        }
    }
    c.prepare_cached(
        "INSERT INTO gaps (probe_id, device, grp, from_ms, to_ms, reason, columns, epoch, seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        probe,
        gap.device,
        gap.group,
        gap.from,
        gap.to,
        gap.reason,
        columns,
        gap.batch.map(|(epoch, _)| epoch),
        gap.batch.and_then(|(_, seq)| i64::try_from(seq).ok()),
    ])?;
    Ok(())
}

/// Keeps a gap unless the same one is there.
pub(super) fn insert_once(c: &Connection, probe: ProbeId, gap: &Gap) -> rusqlite::Result<()> {
    let columns = gap.columns.as_ref().map(wire::encode);
    let there: bool = c
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM gaps WHERE probe_id = ?1 AND device = ?2 AND to_ms = ?6 AND grp = ?3
                 AND reason = ?4 AND from_ms = ?5 AND columns IS ?7)",
        )?
        .query_row(
            params![
                probe, gap.device, gap.group, gap.reason, gap.from, gap.to, columns
            ],
            |row| row.get(0),
        )?;
    if there { Ok(()) } else { insert(c, probe, gap) }
}

/// A batch that was set aside could be read after all.
pub(super) fn take_back(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
    seq: u64,
) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM gaps WHERE probe_id = ?1 AND epoch = ?2 AND seq = ?3")?
        .execute(params![probe, epoch, i64::try_from(seq).unwrap_or(0)])?;
    Ok(())
}

/// A batch was admitted: if it was the last missing one of a dropped range, that is no gap any more.
pub(super) fn came_after_all(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
    seq: u64,
) -> rusqlite::Result<()> {
    let range: Option<(i64, i64, i64)> = c
        .prepare_cached(
            "SELECT from_seq, to_seq, missing FROM lane_dropped WHERE probe_id = ?1 AND epoch = ?2 AND lane = ?3
                 AND from_seq <= ?4 ORDER BY from_seq DESC LIMIT 1",
        )?
        .query_row(
            params![probe, epoch, Lane::Samples.code(), seq.cast_signed()],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    match range {
        Some((from, to, missing)) if to >= seq.cast_signed() && missing <= 0 => {
            take_back(c, probe, epoch, from.cast_unsigned())
        }
        _ => Ok(()),
    }
}

/// Gaps of a device (and of its whole probe) that overlap `[from, to)`.
pub(super) fn of_device(
    c: &Connection,
    probe: ProbeId,
    device: DeviceNo,
    from: Timestamp,
    to: Timestamp,
) -> rusqlite::Result<Vec<Gap>> {
    c.prepare_cached(
        "SELECT device, grp, from_ms, to_ms, reason, columns FROM gaps
         WHERE probe_id = ?1 AND device IN (0, ?2) AND to_ms > ?3 AND from_ms < ?4 ORDER BY from_ms",
    )?
    .query_map(params![probe, device, from, to], |row| {
        let columns: Option<Vec<u8>> = row.get(5)?;
        Ok(Gap {
            device: row.get(0)?,
            group: row.get(1)?,
            from: row.get(2)?,
            to: row.get(3)?,
            reason: row.get(4)?,
            columns: columns.and_then(|bytes| wire::decode(&bytes).ok()),
            batch: None,
        })
    })?
    .collect()
}

/// Those of `gaps` that a series of a group misses, cut to `[from, to)`, one for what touches.
pub(super) fn of_series(
    gaps: &[Gap],
    group: u8,
    series: Option<(&str, InstanceNo)>,
    from: Timestamp,
    to: Timestamp,
) -> Vec<GapSpan> {
    let mut spans: Vec<GapSpan> = gaps
        .iter()
        .filter(|gap| gap.group == group || gap.group == ALL_GROUPS)
        .filter(|gap| match (&gap.columns, series) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(columns), Some((metric, instance))) => columns
                .iter()
                .any(|(name, no)| name == metric && *no == instance.0),
        })
        .map(|gap| GapSpan {
            from: gap.from.max(from),
            to: gap.to.min(to),
            // A reason of a later version is not lost time of ours; it is shown as what it is most like.
            reason: GapReason::from_code(gap.reason).unwrap_or(GapReason::NoResponse),
        })
        .collect();
    spans.sort_by_key(|span| (span.reason, span.from));
    let mut merged: Vec<GapSpan> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if last.reason == span.reason && last.to >= span.from => {
                last.to = last.to.max(span.to);
            }
            _ => merged.push(span),
        }
    }
    merged.sort_unstable();
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(from: i64, to: i64, reason: GapReason) -> Gap {
        Gap::of_time(Timestamp(from), Timestamp(to), reason, None)
    }

    #[test]
    fn gaps_of_one_reason_that_touch_are_one_and_others_stay_apart() {
        let gaps = [
            gap(0, 10, GapReason::ProbeOff),
            gap(5, 20, GapReason::NoResponse),
            gap(10, 30, GapReason::ProbeOff),
            gap(40, 90, GapReason::ProbeOff),
        ];
        let spans = of_series(&gaps, 1, None, Timestamp(2), Timestamp(50));
        let shown: Vec<(i64, i64, GapReason)> = spans
            .iter()
            .map(|span| (span.from.ms(), span.to.ms(), span.reason))
            .collect();
        assert_eq!(
            shown,
            [
                (2, 30, GapReason::ProbeOff),
                (5, 20, GapReason::NoResponse),
                (40, 50, GapReason::ProbeOff)
            ]
        );
    }

    #[test]
    fn missing_columns_are_a_gap_of_their_series_alone() {
        let mut partial = gap(0, 10, GapReason::Partial);
        partial.group = 1;
        partial.columns = Some(vec![("ifHCInOctets".to_owned(), 3)]);
        let gaps = [partial];
        let of = |series| of_series(&gaps, 1, series, Timestamp(0), Timestamp(10)).len();
        assert_eq!(of(Some(("ifHCInOctets", InstanceNo(3)))), 1);
        assert_eq!(of(Some(("ifHCInOctets", InstanceNo(4)))), 0);
        assert_eq!(of(Some(("ifHCOutOctets", InstanceNo(3)))), 0);
        assert_eq!(of(None), 0);
    }
}
