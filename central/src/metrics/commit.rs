//! Batches and layouts into the store: admitted, kept raw, and readable when the call returns.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{Epoch, GapReason, Lane, Layout, LayoutNo, ProbeGap, SampleBatch};
use farwatch_shared::session::SeqSet;
use farwatch_shared::wire;
use farwatch_shared::wire::columns;
use farwatch_shared::wire::message::batch::{Batch, Dropped, LayoutsBody, SAMPLES, layout_hash};
use farwatch_shared::wire::message::session::LaneCommitted;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::batches::BatchSet;
use super::gaps::{self, Gap};
use super::query::CommitOutcome;
use super::schema::hour_of;
use super::state::{EpochLayouts, Key, ProbeState, State, place};
use super::{ClockCorrection, Inner, MetricsError, load};
use crate::ledger::{self, Admission, Entry};

/// States of a raw row.
pub(super) const READABLE: u8 = 0;
pub(super) const WAITING: u8 = 1;
pub(super) const SET_ASIDE: u8 = 2;

/// What a body turned out to be.
#[derive(Debug)]
pub(super) enum Content {
    /// Readable, with the layouts it was read by.
    Samples(SampleBatch, Arc<EpochLayouts>),
    /// These layouts have not come.
    Waits(Vec<LayoutNo>),
    /// Not readable by this version.
    Bad,
}

/// Reads a body; `layouts` are those of its epoch.
pub(super) fn read(kind: u16, version: u16, body: &[u8], layouts: &Arc<EpochLayouts>) -> Content {
    if kind != SAMPLES || version != columns::VERSION {
        return Content::Bad;
    }
    let known = |no: &LayoutNo| layouts.known(*no).is_some();
    match columns::decode(body, &**layouts) {
        Ok(batch) => {
            let named = batch.anchors.iter().map(|anchor| anchor.layout);
            let named = named.chain(batch.gaps.iter().map(|gap| gap.layout));
            let missing: BTreeSet<LayoutNo> = named.filter(|no| !known(no)).collect();
            if missing.is_empty() {
                Content::Samples(batch, layouts.clone())
            } else {
                Content::Waits(missing.into_iter().collect())
            }
        }
        Err(error) => {
            let mut missing = columns::layouts_named(body).unwrap_or_default();
            missing.retain(|no| !known(no));
            if missing.is_empty() {
                tracing::warn!(error = %farwatch_shared::error::Chain(&error), "a samples batch cannot be read");
                Content::Bad
            } else {
                Content::Waits(missing)
            }
        }
    }
}

struct Prepared {
    batch: Batch,
    content: Content,
    /// Gaps of layouts wait for them; gaps of the probe are said at once.
    gaps: Vec<Gap>,
    fresh: bool,
}

/// Gaps of a batch that is readable.
fn layout_gaps(batch: &SampleBatch, layouts: &EpochLayouts, correction_ms: i64) -> Vec<Gap> {
    batch
        .gaps
        .iter()
        .filter_map(|run| Some(Gap::of_run(run, layouts.known(run.layout)?, correction_ms)))
        .collect()
}

/// Gaps of the whole probe, which no layout is needed for.
fn probe_gaps(body: &[u8], content: &Content, correction_ms: i64) -> Vec<Gap> {
    let of = |gaps: &[ProbeGap]| {
        gaps.iter()
            .map(|gap| Gap::of_probe(gap, correction_ms))
            .collect()
    };
    match content {
        Content::Samples(batch, _) => of(&batch.probe_gaps),
        Content::Waits(_) | Content::Bad => {
            columns::outline(body).map_or_else(|_| Vec::new(), |outline| of(&outline.probe_gaps))
        }
    }
}

impl Inner {
    /// Blocks until the batches are on disk.
    pub(super) fn commit(
        &self,
        probe: ProbeId,
        correction: ClockCorrection,
        batches: Vec<Batch>,
    ) -> Result<CommitOutcome, MetricsError> {
        let epochs: BTreeSet<Epoch> = batches.iter().map(|batch| batch.epoch).collect();
        let mut layouts = HashMap::new();
        for &epoch in &epochs {
            layouts.insert(epoch, self.layouts(probe, epoch)?);
        }
        let offset = correction.offset_ms;
        let mut prepared = Vec::with_capacity(batches.len());
        for batch in batches {
            let mut content = read(
                batch.kind,
                batch.version,
                &batch.body,
                &layouts[&batch.epoch],
            );
            let mut gaps = probe_gaps(&batch.body, &content, offset);
            let beyond = match &content {
                Content::Samples(samples, layouts) => {
                    let key = (batch.epoch, batch.seq);
                    self.beyond(probe, key, samples, layouts, offset)?
                }
                Content::Waits(_) | Content::Bad => None,
            };
            match &content {
                _ if let Some((_, instead)) = beyond => {
                    gaps.extend(instead);
                    content = Content::Bad;
                }
                Content::Samples(samples, layouts) => {
                    gaps.extend(layout_gaps(samples, layouts, offset));
                }
                Content::Bad => gaps.push(Gap::of_time(
                    batch.from.plus_ms(offset),
                    batch.to.plus_ms(offset.saturating_add(1)),
                    GapReason::Quarantined,
                    Some((batch.epoch, batch.seq)),
                )),
                Content::Waits(_) => {}
            }
            prepared.push(Prepared {
                batch,
                content,
                gaps,
                fresh: false,
            });
        }
        let now = self.clock.now();
        let (prepared, mut outcome) = self
            .writer
            .write_blocking(move |c| keep(c, probe, correction, prepared, &epochs, now))?;
        self.remember(probe, offset, prepared, &mut outcome);
        Ok(outcome)
    }

    /// What was committed becomes readable.
    fn remember(
        &self,
        probe: ProbeId,
        correction_ms: i64,
        prepared: Vec<Prepared>,
        outcome: &mut CommitOutcome,
    ) {
        let now = self.clock.now();
        let mut late = Vec::new();
        let mut fresh = Vec::new();
        for one in prepared.into_iter().filter(|one| one.fresh) {
            let key = (one.batch.epoch, one.batch.seq);
            match one.content {
                Content::Samples(batch, layouts) => fresh.push((key, batch, layouts)),
                Content::Waits(missing) => late.push((key, Some(missing))),
                Content::Bad => late.push((key, None)),
            }
        }
        self.add(probe, correction_ms, fresh, now, Some(outcome));
        let mut arrived = false;
        let mut state = self.state_mut();
        let of = state.probes.entry(probe).or_default();
        for (key, missing) in late {
            match missing {
                None => {
                    of.lanes.entry(key.0).or_default().gone.insert(key.1, key.1);
                }
                Some(missing) => {
                    // They may have come while the batch was being committed.
                    let known = of.epochs.get(&key.0);
                    arrived |= missing
                        .iter()
                        .all(|no| known.is_some_and(|layouts| layouts.known(*no).is_some()));
                    of.waiting.insert(key, missing);
                }
            }
        }
        drop(state);
        if arrived {
            for epoch in outcome.committed.iter().map(|lane| lane.epoch) {
                // What was committed stays committed; it is read with the next layouts, or at the next start.
                if let Err(error) = self.read_waiting(probe, epoch) {
                    tracing::error!(probe.id = %probe, error = %farwatch_shared::error::Chain(&error), "committed batches could not be read");
                }
            }
        }
        outcome.want_layouts = self
            .state()
            .probes
            .get(&probe)
            .map_or_else(Vec::new, ProbeState::want_layouts);
    }

    /// Adds committed, readable batches to what is in memory.
    pub(super) fn add(
        &self,
        probe: ProbeId,
        correction_ms: i64,
        batches: Vec<(Key, SampleBatch, Arc<EpochLayouts>)>,
        now: Timestamp,
        outcome: Option<&mut CommitOutcome>,
    ) {
        let mut accounted = Vec::with_capacity(batches.len());
        let mut hours = BTreeSet::new();
        for (_, batch, layouts) in &batches {
            for scrape in &batch.scrapes {
                if layouts.known(scrape.layout).is_some() {
                    let slot_ms = scrape.slot_s.saturating_mul(1_000);
                    hours.insert(hour_of(slot_ms.saturating_add(correction_ms)));
                }
            }
            for anchor in &batch.anchors {
                let slot_ms = anchor.slot_s.saturating_mul(1_000);
                hours.insert(hour_of(slot_ms.saturating_add(correction_ms)));
            }
        }
        let sealed = self.sealed_sets(probe, hours.into_iter().collect());
        let samples: usize = batches.iter().map(|(_, batch, _)| batch.samples()).sum();
        {
            let mut state = self.state_mut();
            state.count(samples as u64, self.clock.boot_ms());
            let of = state.probes.entry(probe).or_default();
            for (key, batch, layouts) in batches {
                of.account(key, &batch, &layouts, now);
                accounted.push((key, place(batch, &layouts, correction_ms)));
            }
            let sealed_of = |hour: i64| {
                sealed
                    .get(&hour)
                    .cloned()
                    .unwrap_or_else(|| (Arc::new(BatchSet::default()), 0))
            };
            for (key, placed) in &mut accounted {
                of.add(*key, placed, sealed_of, now);
            }
        }
        if let Some(outcome) = outcome {
            outcome.samples += samples as u64;
            for one in accounted.iter().flat_map(|(_, placed)| placed) {
                outcome.devices.push(one.device);
                let at = Timestamp(one.row.slot_ms());
                outcome.newest = outcome.newest.max(Some(at));
            }
            outcome.devices.sort_unstable();
            outcome.devices.dedup();
        }
    }

    /// What day files hold of hours that are not in memory.
    fn sealed_sets(&self, probe: ProbeId, hours: Vec<i64>) -> HashMap<i64, (Arc<BatchSet>, u64)> {
        let absent: Vec<i64> = {
            let state = self.state();
            let of = state.probes.get(&probe);
            hours
                .into_iter()
                .filter(|hour| of.is_none_or(|of| !of.hours.contains_key(hour)))
                .collect()
        };
        let mut sets = HashMap::new();
        for hour in absent {
            // Not to know it costs only memory: whoever reads, and whoever seals, asks the file again.
            let (set, polls) = self.days.sealed(probe, hour).unwrap_or_else(|error| {
                tracing::warn!(error = %farwatch_shared::error::Chain(&error), "a day of samples could not be asked what it holds");
                (BatchSet::default(), 0)
            });
            sets.insert(hour, (Arc::new(set), polls));
        }
        sets
    }

    /// The layouts of an epoch, from memory or from the file.
    pub(super) fn layouts(
        &self,
        probe: ProbeId,
        epoch: Epoch,
    ) -> Result<Arc<EpochLayouts>, MetricsError> {
        let known = self
            .state()
            .probes
            .get(&probe)
            .and_then(|of| of.epochs.get(&epoch).cloned());
        if let Some(known) = known {
            return Ok(known);
        }
        let (stored, lane) = self.with_reader(|c| {
            Ok((
                stored_layouts(c, probe, epoch)?,
                load::stored_lane(c, probe, epoch)?,
            ))
        })?;
        let mut state = self.state_mut();
        // Layouts that came meanwhile are in memory already, and stay.
        let layouts = know(&mut state, stored);
        let of = state.probes.entry(probe).or_default();
        of.lanes
            .entry(epoch)
            .or_insert_with(|| lane.into_lane(probe, &layouts));
        Ok(of
            .epochs
            .entry(epoch)
            .or_insert_with(|| Arc::new(layouts))
            .clone())
    }

    /// Keeps layouts, then reads what waited for them.
    pub(super) fn put_layouts(
        &self,
        probe: ProbeId,
        body: &LayoutsBody,
    ) -> Result<(), MetricsError> {
        let epoch = Epoch(body.epoch);
        self.layouts(probe, epoch)?;
        let mut fresh = Vec::new();
        {
            let state = self.state();
            let known = state
                .probes
                .get(&probe)
                .and_then(|of| of.epochs.get(&epoch));
            for (layout, hash) in &body.layouts {
                if layout_hash(layout) != *hash {
                    tracing::warn!(probe.id = %probe, layout = layout.no.0, "a layout is not what its hash says; it is left out");
                } else if let Some(before) = known.and_then(|layouts| layouts.known(layout.no)) {
                    if *before.layout != *layout {
                        tracing::error!(probe.id = %probe, layout = layout.no.0, "a layout came with another content under the same number; the first stays");
                    }
                } else {
                    fresh.push((layout.clone(), *hash));
                }
            }
        }
        if !fresh.is_empty() {
            let rows: Vec<(Layout, u64)> = fresh.clone();
            self.writer
                .write_blocking(move |c| insert_layouts(c, probe, epoch, &rows))?;
            let mut state = self.state_mut();
            let fresh = know(
                &mut state,
                fresh.into_iter().map(|(layout, _)| layout).collect(),
            );
            let of = state.probes.entry(probe).or_default();
            let epochs = of.epochs.entry(epoch).or_default();
            let mut all = (**epochs).clone();
            for (no, known) in fresh.0 {
                all.0.entry(no).or_insert(known);
            }
            *epochs = Arc::new(all);
        }
        self.read_waiting(probe, epoch)
    }

    /// Reads batches of an epoch whose layouts have all come.
    pub(super) fn read_waiting(&self, probe: ProbeId, epoch: Epoch) -> Result<(), MetricsError> {
        let layouts = self.layouts(probe, epoch)?;
        let ready: Vec<Key> = {
            let mut state = self.state_mut();
            let Some(of) = state.probes.get_mut(&probe) else {
                return Ok(());
            };
            let ready: Vec<Key> = of
                .waiting
                .range((epoch, 0)..=(epoch, u64::MAX))
                .filter(|(_, missing)| missing.iter().all(|no| layouts.known(*no).is_some()))
                .map(|(key, _)| *key)
                .collect();
            for key in &ready {
                of.waiting.remove(key);
            }
            ready
        };
        for key in ready {
            self.read_again(probe, key, &layouts)?;
        }
        Ok(())
    }

    /// Reads one raw batch that could not be read before; changes its row and counts in one transaction.
    pub(super) fn read_again(
        &self,
        probe: ProbeId,
        key: Key,
        layouts: &Arc<EpochLayouts>,
    ) -> Result<(), MetricsError> {
        let Some(raw) = self.with_reader(|c| raw_row(c, probe, key))? else {
            return Ok(());
        };
        if raw.state == READABLE {
            return Ok(());
        }
        let correction_ms = raw.correction_ms;
        let content = read(raw.kind, raw.version, &raw.body, layouts);
        let beyond = match &content {
            Content::Samples(batch, layouts) => {
                self.beyond(probe, key, batch, layouts, correction_ms)?
            }
            Content::Waits(_) | Content::Bad => None,
        };
        if let Some((_, gaps)) = beyond {
            return self.put_aside(probe, key, raw.state, gaps);
        }
        let (state, samples, gaps) = match &content {
            Content::Samples(batch, layouts) => (
                READABLE,
                batch.samples() as u64,
                layout_gaps(batch, layouts, correction_ms),
            ),
            Content::Bad if raw.state == WAITING => {
                let gap = Gap::of_time(
                    raw.from.plus_ms(correction_ms),
                    raw.to.plus_ms(correction_ms.saturating_add(1)),
                    GapReason::Quarantined,
                    Some(key),
                );
                (SET_ASIDE, 0, vec![gap])
            }
            Content::Bad | Content::Waits(_) => return Ok(()),
        };
        let before = raw.state;
        let changed = self.writer.write_blocking(move |c| {
            change_state(c, probe, key, (before, state), samples, &gaps)
        })?;
        if !changed {
            return Ok(());
        }
        match content {
            Content::Samples(batch, layouts) => {
                let batch = vec![(key, batch, layouts)];
                self.add(probe, correction_ms, batch, self.clock.now(), None);
                Ok(())
            }
            _ => {
                let mut state = self.state_mut();
                let of = state.probes.entry(probe).or_default();
                of.lanes.entry(key.0).or_default().gone.insert(key.1, key.1);
                Ok(())
            }
        }
    }

    /// A batch that waited turned out to be beyond bounds; one that was set aside before stays so.
    fn put_aside(
        &self,
        probe: ProbeId,
        key: Key,
        before: u8,
        gaps: Vec<Gap>,
    ) -> Result<(), MetricsError> {
        if before != WAITING {
            return Ok(());
        }
        self.writer
            .write_blocking(move |c| change_state(c, probe, key, (before, SET_ASIDE), 0, &gaps))?;
        let mut state = self.state_mut();
        let of = state.probes.entry(probe).or_default();
        of.lanes.entry(key.0).or_default().gone.insert(key.1, key.1);
        Ok(())
    }

    /// A raw batch is not what was received: nothing of it is shown, its time is a gap.
    pub(super) fn set_aside(&self, probe: ProbeId, raw: &Raw) -> Result<(), MetricsError> {
        tracing::error!(probe.id = %probe, batch.seq = raw.key.1, "a raw batch is damaged and is set aside");
        let key = raw.key;
        let before = raw.state;
        let gap = Gap::of_time(
            raw.from.plus_ms(raw.correction_ms),
            raw.to.plus_ms(raw.correction_ms.saturating_add(1)),
            GapReason::Quarantined,
            Some(key),
        );
        self.writer
            .write_blocking(move |c| change_state(c, probe, key, (before, SET_ASIDE), 0, &[gap]))?;
        let mut state = self.state_mut();
        let of = state.probes.entry(probe).or_default();
        let lane = of.lanes.entry(key.0).or_default();
        lane.ahead.remove(key.1, key.1);
        lane.gone.insert(key.1, key.1);
        Ok(())
    }

    /// Marks what the probe dropped as done.
    pub(super) fn dropped(
        &self,
        probe: ProbeId,
        correction: ClockCorrection,
        dropped: &Dropped,
    ) -> Result<LaneCommitted, MetricsError> {
        let here = self.sealed_seqs(probe, correction.offset_ms, dropped)?;
        let now = self.clock.now();
        let told = dropped.clone();
        let offset = correction.offset_ms;
        let (missing, committed) = self.writer.write_blocking(move |c| {
            let missing = ledger::mark_dropped(c, probe, &told, now)?;
            // What a day file holds is not lost, even where the ledger was restored to an age that does not know it.
            if !missing.without(&here).is_empty() {
                let reason = GapReason::from_code(told.reason).unwrap_or(GapReason::SpoolOverflow);
                let (from, to) = (told.from.plus_ms(offset), told.to.plus_ms(offset + 1));
                let range = Some((told.epoch, told.from_seq.max(1)));
                gaps::insert(c, probe, &Gap::of_time(from, to, reason, range))?;
            }
            let committed = ledger::committed_lane(c, probe, told.epoch, Lane::Samples)?;
            Ok((missing, committed))
        })?;
        let mut state = self.state_mut();
        let of = state.probes.entry(probe).or_default();
        let lane = of.lanes.entry(dropped.epoch).or_default();
        lane.gone.extend(&missing);
        lane.skip_gone();
        Ok(committed)
    }

    /// Seqs of a dropped range that day files hold.
    fn sealed_seqs(
        &self,
        probe: ProbeId,
        correction_ms: i64,
        dropped: &Dropped,
    ) -> Result<SeqSet, MetricsError> {
        /// Hours looked at for one range: a week and a day.
        const HOURS: i64 = 8 * 24;
        let last = hour_of(dropped.to.plus_ms(correction_ms).ms());
        let first = hour_of(dropped.from.plus_ms(correction_ms).ms()).max(last - HOURS);
        let mut seqs = SeqSet::new();
        for hour in first..=last {
            if self.days.has(super::schema::day_of(hour)) {
                let (set, _) = self.days.sealed(probe, hour)?;
                if let Some(held) = set.of(dropped.epoch) {
                    seqs.extend(&held.intersection(&SeqSet::of(dropped.from_seq, dropped.to_seq)));
                }
            }
        }
        Ok(seqs)
    }
}

fn know(state: &mut State, layouts: Vec<Layout>) -> EpochLayouts {
    let mut known = EpochLayouts::default();
    for layout in layouts {
        let no = layout.no;
        match state.shapes.know(layout) {
            Some(one) => {
                known.0.insert(no, Arc::new(one));
            }
            None => tracing::warn!(
                layout = no.0,
                "a layout points outside its metrics; it is left out"
            ),
        }
    }
    known
}

/// The job of one commit: admits, keeps, says what became of each.
fn keep(
    c: &Connection,
    probe: ProbeId,
    correction: ClockCorrection,
    mut prepared: Vec<Prepared>,
    epochs: &BTreeSet<Epoch>,
    now: Timestamp,
) -> rusqlite::Result<(Vec<Prepared>, CommitOutcome)> {
    let mut outcome = CommitOutcome::default();
    for one in &mut prepared {
        let batch = &one.batch;
        let mut entry = Entry::of(batch, Lane::Samples);
        match &one.content {
            Content::Samples(samples, _) => entry.samples = samples.samples() as u64,
            Content::Waits(_) | Content::Bad => entry.undecoded = true,
        }
        match ledger::admit(c, probe, &entry, now)? {
            Admission::New => one.fresh = true,
            Admission::Conflict => outcome.conflicts.push((batch.epoch, batch.seq)),
            Admission::Repeat | Admission::Full => {}
        }
        if !one.fresh {
            continue;
        }
        let state = match &one.content {
            Content::Samples(..) => READABLE,
            Content::Waits(_) => WAITING,
            Content::Bad => {
                ledger::decoded(c, probe, batch.epoch, Lane::Samples, 1, 0, true)?;
                SET_ASIDE
            }
        };
        c.prepare_cached(
            "INSERT INTO raw (probe_id, epoch, seq, kind, version, crc, received_ms, correction_ms, approximate, from_ms,
                 to_ms, state, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            probe,
            batch.epoch,
            sql_seq(batch.seq),
            batch.kind,
            batch.version,
            batch.crc,
            now,
            correction.offset_ms,
            correction.approximate,
            batch.from,
            batch.to,
            state,
            batch.body
        ])?;
        gaps::came_after_all(c, probe, batch.epoch, batch.seq)?;
        for gap in &one.gaps {
            gaps::insert(c, probe, gap)?;
        }
    }
    for &epoch in epochs {
        outcome
            .committed
            .push(ledger::committed_lane(c, probe, epoch, Lane::Samples)?);
    }
    Ok((prepared, outcome))
}

fn change_state(
    c: &Connection,
    probe: ProbeId,
    key: Key,
    (before, after): (u8, u8),
    samples: u64,
    gaps: &[Gap],
) -> rusqlite::Result<bool> {
    let changed = c
        .prepare_cached(
            "UPDATE raw SET state = ?4 WHERE probe_id = ?1 AND epoch = ?2 AND seq = ?3 AND state = ?5",
        )?
        .execute(params![probe, key.0, sql_seq(key.1), after, before])?;
    if changed == 0 {
        return Ok(false);
    }
    if before == READABLE {
        ledger::decoded(c, probe, key.0, Lane::Samples, 1, 0, true)?;
    } else if before == SET_ASIDE {
        gaps::take_back(c, probe, key.0, key.1)?;
        // It was counted as set aside, not as undecoded.
        ledger::decoded(c, probe, key.0, Lane::Samples, 0, samples, false)?;
    } else {
        ledger::decoded(
            c,
            probe,
            key.0,
            Lane::Samples,
            1,
            samples,
            after == SET_ASIDE,
        )?;
    }
    for gap in gaps {
        gaps::insert(c, probe, gap)?;
    }
    Ok(true)
}

/// A raw batch.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) key: Key,
    pub(super) kind: u16,
    pub(super) version: u16,
    pub(super) correction_ms: i64,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) state: u8,
    pub(super) sealed: bool,
    pub(super) body: Vec<u8>,
    crc: u32,
}

impl Raw {
    pub(super) const COLUMNS: &'static str =
        "epoch, seq, kind, version, crc, correction_ms, from_ms, to_ms, state, sealed, body";

    pub(super) fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: (row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()),
            kind: row.get(2)?,
            version: row.get(3)?,
            crc: row.get(4)?,
            correction_ms: row.get(5)?,
            from: row.get(6)?,
            to: row.get(7)?,
            state: row.get(8)?,
            sealed: row.get(9)?,
            body: row.get(10)?,
        })
    }

    /// Whether the body is what was received; what was not said to have a CRC is believed.
    pub(super) fn is_sound(&self) -> bool {
        crc32fast::hash(&self.body) == self.crc
    }
}

fn raw_row(c: &Connection, probe: ProbeId, key: Key) -> rusqlite::Result<Option<Raw>> {
    c.prepare_cached(&format!(
        "SELECT {} FROM raw WHERE probe_id = ?1 AND epoch = ?2 AND seq = ?3",
        Raw::COLUMNS
    ))?
    .query_row(params![probe, key.0, sql_seq(key.1)], Raw::of)
    .optional()
}

pub(super) const fn sql_seq(seq: u64) -> i64 {
    seq.cast_signed()
}

pub(super) fn stored_layouts(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
) -> rusqlite::Result<Vec<Layout>> {
    let mut statement = c.prepare_cached(
        "SELECT hash, body FROM layouts WHERE probe_id = ?1 AND epoch = ?2 ORDER BY no",
    )?;
    let rows = statement.query_map(params![probe, epoch], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let mut layouts = Vec::new();
    for row in rows {
        let (hash, body) = row?;
        match wire::decode(&body) {
            Ok(layout) if layout_hash(&layout) == hash.cast_unsigned() => layouts.push(layout),
            // A layout with a flipped bit would show values under another's name.
            Ok(layout) => {
                tracing::error!(probe.id = %probe, layout = layout.no.0, "a stored layout is not what its hash says; it is left out");
            }
            Err(error) => {
                tracing::error!(probe.id = %probe, error = %farwatch_shared::error::Chain(&error), "a stored layout cannot be read");
            }
        }
    }
    Ok(layouts)
}

fn insert_layouts(
    c: &Connection,
    probe: ProbeId,
    epoch: Epoch,
    layouts: &[(Layout, u64)],
) -> rusqlite::Result<()> {
    for (layout, hash) in layouts {
        c.prepare_cached(
            "INSERT INTO layouts (probe_id, epoch, no, hash, body) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            probe,
            epoch,
            layout.no,
            hash.cast_signed(),
            wire::encode(layout)
        ])?;
    }
    Ok(())
}
