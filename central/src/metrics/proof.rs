//! The standing proof: a counter's raw value (anchor) must equal the anchor before plus all increases between.
//!
//! Batches are accounted for strictly in the order of their seqs. One that came early waits; one that will never come
//! (dropped, set aside) breaks what was expected of its lane, so that no pair is judged across it.

use std::collections::HashMap;
use std::sync::Arc;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{AnchorKind, DeviceNo, InstanceNo, LayoutNo, SampleBatch};
use farwatch_shared::session::SeqSet;
use farwatch_shared::wire::DecodeError;
use farwatch_shared::wire::columns::bytes::{Reader, put};

use super::query::AnchorCounts;
use super::shape::{Known, Shape};

/// An old epoch's lane leaves memory after this long.
const IDLE_MS: i64 = 2 * 3_600_000;

/// Pairs judged, per device of a probe.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) devices: HashMap<DeviceNo, AnchorCounts>,
    /// Devices whose counts are not on disk yet.
    pub(super) changed: Vec<DeviceNo>,
}

impl Tally {
    fn judge(&mut self, device: DeviceNo, agrees: bool, now: Timestamp) {
        let counts = self.devices.entry(device).or_default();
        counts.checked += 1;
        counts.mismatched += u64::from(!agrees);
        counts.last_checked = Some(now);
        if self.changed.last() != Some(&device) {
            self.changed.push(device);
        }
    }

    pub(super) fn total(&self) -> AnchorCounts {
        self.devices
            .values()
            .fold(AnchorCounts::default(), |sum, one| sum.plus(*one))
    }
}

impl AnchorCounts {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            checked: self.checked + other.checked,
            mismatched: self.mismatched + other.mismatched,
            last_checked: self.last_checked.max(other.last_checked),
        }
    }
}

/// The samples lane of one epoch, as far as it is accounted for.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Every seq up to and including this one is accounted for, or never will be.
    pub(super) cursor: u64,
    /// Readable batches above it.
    pub(super) ahead: SeqSet,
    /// Seqs above it that hold nothing.
    pub(super) gone: SeqSet,
    /// When a batch was last accounted for.
    pub(super) touched: Timestamp,
    /// Accounted for more than is on disk.
    pub(super) dirty: bool,
    /// So much that it should be written soon: raw batches are kept for it alone.
    pub(super) behind: bool,
    polls: HashMap<(DeviceNo, u8), Expected>,
}

/// What the counters of one poll group of one device will say next.
#[derive(Debug)]
struct Expected {
    layout: LayoutNo,
    shape: Arc<Shape>,
    next: Vec<Option<u64>>,
}

impl Expected {
    fn of(layout: LayoutNo, shape: &Arc<Shape>) -> Self {
        Self {
            layout,
            shape: shape.clone(),
            next: vec![None; shape.columns()],
        }
    }

    /// Series that stay keep what is expected of them.
    fn change_to(&mut self, layout: LayoutNo, shape: &Arc<Shape>) {
        if self.shape.hash != shape.hash {
            let mut old: HashMap<(&str, InstanceNo), u64> = HashMap::new();
            for (at, next) in self.next.iter().enumerate() {
                if let Some(next) = next {
                    old.insert(
                        (&self.shape.metric(at).name, self.shape.instance(at)),
                        *next,
                    );
                }
            }
            self.next = (0..shape.columns())
                .map(|at| {
                    old.get(&(shape.metric(at).name.as_str(), shape.instance(at)))
                        .copied()
                })
                .collect();
            self.shape = shape.clone();
        }
        self.layout = layout;
    }
}

impl Lane {
    /// A lane of which everything up to `cursor` is accounted for and nothing is expected.
    pub(super) fn at(cursor: u64) -> Self {
        Self {
            cursor,
            ..Self::default()
        }
    }

    /// Accounts for the batch after the cursor. `known` gives every layout that it names.
    pub(super) fn account<'a>(
        &mut self,
        batch: &SampleBatch,
        known: impl Fn(LayoutNo) -> Option<&'a Known>,
        tally: &mut Tally,
        now: Timestamp,
    ) {
        let mut anchors: HashMap<(LayoutNo, i64), Vec<usize>> = HashMap::new();
        for (at, anchor) in batch.anchors.iter().enumerate() {
            anchors
                .entry((anchor.layout, anchor.slot_s))
                .or_default()
                .push(at);
        }
        for scrape in &batch.scrapes {
            let Some(known) = known(scrape.layout) else {
                continue;
            };
            let expected = expected(&mut self.polls, known);
            for (next, value) in expected.next.iter_mut().zip(&scrape.values) {
                if let (Some(next), Some(value)) = (next, value) {
                    *next = next.wrapping_add(value.cast_unsigned());
                }
            }
            let here = if anchors.is_empty() {
                None
            } else {
                anchors.remove(&(scrape.layout, scrape.slot_s))
            };
            for at in here.into_iter().flatten() {
                settle(expected, known, &batch.anchors[at], tally, now);
            }
        }
        let mut rest: Vec<usize> = anchors.into_values().flatten().collect();
        rest.sort_unstable();
        for at in rest {
            if let Some(known) = known(batch.anchors[at].layout) {
                let expected = expected(&mut self.polls, known);
                settle(expected, known, &batch.anchors[at], tally, now);
            }
        }
        self.cursor += 1;
        self.touched = now;
        self.dirty = true;
        self.tidy();
    }

    /// Whether nothing has come for long and nothing waits: what is on disk is enough.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        self.ahead.is_empty() && !self.dirty && now.since(self.touched) > IDLE_MS
    }

    /// Steps over seqs that hold nothing; whether the next one is readable.
    pub(super) fn skip_gone(&mut self) -> bool {
        while let Some((_, to)) = self.gone.range_at(self.cursor + 1) {
            self.cursor = to;
            self.broken();
        }
        self.tidy();
        self.ahead.contains(self.cursor + 1)
    }

    /// Steps to `seq` without accounting for what lies between.
    pub(super) fn give_up_before(&mut self, seq: u64) {
        if seq > self.cursor + 1 {
            self.cursor = seq - 1;
            self.broken();
            self.tidy();
        }
    }

    fn broken(&mut self) {
        for expected in self.polls.values_mut() {
            expected.next.fill(None);
        }
    }

    fn tidy(&mut self) {
        self.ahead.remove(0, self.cursor);
        self.gone.remove(0, self.cursor);
    }

    /// What has to survive a restart.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(self.polls.len() as u64, &mut out);
        for expected in self.polls.values() {
            put(u64::from(expected.layout.0), &mut out);
            put(expected.next.len() as u64, &mut out);
            for next in &expected.next {
                match next {
                    None => out.push(0),
                    Some(next) => {
                        out.push(1);
                        put(*next, &mut out);
                    }
                }
            }
        }
        out
    }

    /// Back from [`Self::to_bytes`]; polls whose layout is not known any more are left out.
    pub(super) fn from_bytes<'a>(
        cursor: u64,
        bytes: &[u8],
        known: impl Fn(LayoutNo) -> Option<&'a Known>,
    ) -> Result<Self, DecodeError> {
        let mut from = Reader(bytes);
        let mut lane = Self::at(cursor);
        for _ in 0..from.count(2)? {
            let layout = LayoutNo(from.narrow()?);
            let count = from.count(1)?;
            let mut next = Vec::with_capacity(count);
            for _ in 0..count {
                next.push(match from.byte()? {
                    0 => None,
                    _ => Some(from.uint()?),
                });
            }
            if let Some(known) = known(layout)
                && known.shape.columns() == count
            {
                let expected = Expected {
                    layout,
                    shape: known.shape.clone(),
                    next,
                };
                lane.polls
                    .insert((known.device(), known.shape.form.group), expected);
            }
        }
        Ok(lane)
    }
}

fn expected<'p>(
    polls: &'p mut HashMap<(DeviceNo, u8), Expected>,
    known: &Known,
) -> &'p mut Expected {
    let expected = polls
        .entry((known.device(), known.shape.form.group))
        .or_insert_with(|| Expected::of(known.layout.no, &known.shape));
    if expected.layout != known.layout.no {
        expected.change_to(known.layout.no, &known.shape);
    }
    expected
}

fn settle(
    expected: &mut Expected,
    known: &Known,
    anchor: &farwatch_shared::model::Anchor,
    tally: &mut Tally,
    now: Timestamp,
) {
    let column = usize::from(anchor.column);
    let Some(next) = expected.next.get_mut(column) else {
        return;
    };
    if anchor.kind == AnchorKind::Hourly.code()
        && let Some(should) = *next
    {
        let differs = should ^ anchor.raw;
        let agrees = match known.shape.metric(column).width {
            32 => differs & 0xffff_ffff == 0,
            _ => differs == 0,
        };
        if !agrees {
            tracing::warn!(
                device.no = known.device().0,
                metric = known.shape.metric(column).name,
                instance = known.shape.instance(column).0,
                should,
                raw = anchor.raw,
                "a counter's raw value is not the sum of its increases"
            );
        }
        tally.judge(known.device(), agrees, now);
    }
    *next = Some(anchor.raw);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::testing;
    use farwatch_shared::model::{Anchor, Layout, Scrape};

    const NOW: Timestamp = Timestamp(1);

    fn known() -> Known {
        let shape = testing::shape(1);
        let layout = Layout {
            no: LayoutNo(4),
            device: DeviceNo(9),
            group: 1,
            interval_s: 60,
            phase_s: 0,
            valid_from_s: 0,
            metrics: shape.form.metrics.clone(),
            columns: shape.form.columns.clone(),
        };
        Known {
            layout: Arc::new(layout),
            shape,
        }
    }

    fn batch(slot: i64, value: Option<i64>, anchor: Option<(AnchorKind, u64)>) -> SampleBatch {
        let anchors = anchor.map(|(kind, raw)| Anchor {
            layout: LayoutNo(4),
            column: 0,
            kind: kind.code(),
            slot_s: slot,
            raw,
        });
        SampleBatch {
            scrapes: vec![Scrape {
                layout: LayoutNo(4),
                slot_s: slot,
                offset_ms: 0,
                span_ms: 60_000,
                values: vec![value],
                spans: Vec::new(),
            }],
            anchors: anchors.into_iter().collect(),
            ..SampleBatch::default()
        }
    }

    fn run(batches: &[SampleBatch]) -> AnchorCounts {
        let known = known();
        let (mut lane, mut tally) = (Lane::default(), Tally::default());
        for batch in batches {
            lane.account(batch, |_| Some(&known), &mut tally, NOW);
        }
        tally.total()
    }

    fn good() -> Vec<SampleBatch> {
        vec![
            batch(0, None, Some((AnchorKind::Start, u64::MAX - 4))),
            batch(60, Some(10), None),
            batch(120, None, None),
            batch(180, Some(5), Some((AnchorKind::Hourly, 10))),
            batch(240, Some(1), Some((AnchorKind::Hourly, 11))),
        ]
    }

    #[test]
    fn anchors_agree_with_increases_across_a_wrap_and_a_missed_poll() {
        let counts = run(&good());
        assert_eq!((counts.checked, counts.mismatched), (2, 0));
    }

    #[test]
    fn a_missing_a_doubled_and_a_changed_increase_are_each_noticed() {
        let mut missing = good();
        missing.remove(1);
        let mut doubled = good();
        doubled.insert(1, doubled[1].clone());
        let mut changed = good();
        changed[1].scrapes[0].values[0] = Some(11);
        for (name, batches) in [
            ("missing", missing),
            ("doubled", doubled),
            ("changed", changed),
        ] {
            let counts = run(&batches);
            assert_eq!((counts.checked, counts.mismatched), (2, 1), "{name}");
        }
    }

    #[test]
    fn a_pair_across_a_lost_batch_is_not_judged() {
        let known = known();
        let (mut lane, mut tally) = (Lane::default(), Tally::default());
        let all = good();
        lane.account(&all[0], |_| Some(&known), &mut tally, NOW);
        lane.gone.insert(2, 2);
        lane.ahead.insert(3, 5);
        assert!(lane.skip_gone());
        for batch in &all[2..] {
            lane.account(batch, |_| Some(&known), &mut tally, NOW);
        }
        let counts = tally.total();
        assert_eq!(
            (counts.checked, counts.mismatched),
            (1, 0),
            "only the last pair"
        );
        assert_eq!(lane.cursor, 5);
    }

    #[test]
    fn what_is_expected_survives_a_restart() {
        let known = known();
        let (mut lane, mut tally) = (Lane::default(), Tally::default());
        let all = good();
        for batch in &all[..2] {
            lane.account(batch, |_| Some(&known), &mut tally, NOW);
        }
        let mut lane = Lane::from_bytes(2, &lane.to_bytes(), |_| Some(&known)).unwrap();
        for batch in &all[2..] {
            lane.account(batch, |_| Some(&known), &mut tally, NOW);
        }
        let counts = tally.total();
        assert_eq!((counts.checked, counts.mismatched), (2, 0));
    }
}
