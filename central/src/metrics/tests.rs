//! The store as a whole, against a model that keeps everything in one map.

mod bounds;
mod damage;
mod days;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::{CustomerId, ProbeId, SiteId};
use farwatch_shared::model::{
    Anchor, AnchorKind, Column, DeviceNo, Epoch, GapReason, GapRun, InstanceNo, Lane, Layout,
    LayoutNo, ProbeGap, SampleBatch, Scrape,
};
use farwatch_shared::wire::columns;
use farwatch_shared::wire::message::batch::{Batch, Dropped, LayoutsBody, SAMPLES, layout_hash};

use super::query::{RangeQuery, Resolution, Series, Source};
use super::seal::Frozen;
use super::testing::{Seeded, metric};
use super::*;

/// A Monday, 2026-11-23 00:00 UTC.
const START_S: i64 = 1_795_392_000;
const HOUR_S: i64 = 3_600;

struct Rig {
    dir: tempfile::TempDir,
    clock: Clock,
    scope: ProbeScope,
    metrics: Metrics,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_secs(START_S));
        let metrics = Metrics::open(dir.path(), Settings::default(), clock.clone()).unwrap();
        Self {
            dir,
            clock,
            scope: ProbeScope::new(
                CustomerId::generate(),
                SiteId::generate(),
                ProbeId::generate(),
            ),
            metrics,
        }
    }

    fn probe(&self) -> ProbeId {
        self.scope.probe()
    }

    fn source(&self, device: u32) -> Source {
        Source {
            probe: self.probe(),
            device: DeviceNo(device),
        }
    }

    fn commit(&self, batches: Vec<Batch>) -> CommitOutcome {
        self.metrics
            .0
            .commit(self.probe(), ClockCorrection::default(), batches)
            .unwrap()
    }

    fn seal(&self, pass: Pass) {
        self.metrics.0.seal_pass(pass).unwrap();
    }

    fn put_layouts(&self, epoch: Epoch, layouts: &HashMap<LayoutNo, Layout>) {
        let body = LayoutsBody {
            epoch: epoch.0,
            layouts: layouts
                .values()
                .map(|layout| (layout.clone(), layout_hash(layout)))
                .collect(),
        };
        self.metrics.0.put_layouts(self.probe(), &body).unwrap();
    }

    /// As `kill -9` leaves it: the files as they are at this moment, opened by a new process.
    fn kill(&mut self) {
        let next = tempfile::tempdir().unwrap();
        copy(self.dir.path(), next.path());
        self.metrics = Metrics::open(next.path(), Settings::default(), self.clock.clone()).unwrap();
        self.dir = next;
    }

    fn range(
        &self,
        device: u32,
        metrics: &[&str],
        from_s: i64,
        to_s: i64,
        step: Option<u32>,
    ) -> Vec<Series> {
        self.metrics
            .0
            .range(&RangeQuery {
                sources: vec![self.source(device)],
                metrics: metrics.iter().map(|name| (*name).to_owned()).collect(),
                instances: None,
                from: Timestamp::from_secs(from_s),
                to: Timestamp::from_secs(to_s),
                step_s: step,
                raw: true,
            })
            .unwrap()
            .series
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else if !entry.file_name().to_str().unwrap().ends_with("-shm") {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Device `n` has layout `n`: two interfaces with a counter each, and an uptime.
fn layouts(devices: u32) -> HashMap<LayoutNo, Layout> {
    (1..=devices)
        .map(|no| {
            let layout = Layout {
                no: LayoutNo(no),
                device: DeviceNo(no),
                group: 1,
                interval_s: 60,
                phase_s: 0,
                valid_from_s: 0,
                metrics: vec![metric("ifHCInOctets", 0, 64), metric("sysUpTime", 1, 0)],
                columns: vec![
                    Column {
                        metric: 0,
                        instance: InstanceNo(1),
                    },
                    Column {
                        metric: 0,
                        instance: InstanceNo(2),
                    },
                    Column {
                        metric: 1,
                        instance: InstanceNo(0),
                    },
                ],
            };
            (layout.no, layout)
        })
        .collect()
}

fn scrape(layout: u32, slot_s: i64, values: [Option<i64>; 3]) -> Scrape {
    Scrape {
        layout: LayoutNo(layout),
        slot_s,
        offset_ms: 250,
        span_ms: 60_000,
        values: values.to_vec(),
        spans: Vec::new(),
    }
}

fn batch(
    epoch: Epoch,
    seq: u64,
    samples: &SampleBatch,
    layouts: &HashMap<LayoutNo, Layout>,
) -> Batch {
    let body = columns::encode(samples, layouts).unwrap();
    let slots = || samples.scrapes.iter().map(|scrape| scrape.slot_s);
    Batch {
        epoch,
        lane: Lane::Samples.code(),
        seq,
        kind: SAMPLES,
        version: columns::VERSION,
        crc: crc32fast::hash(&body),
        boot_id: String::new(),
        boot_ms: 0,
        closed: Timestamp::from_secs(slots().max().unwrap_or(START_S)),
        from: Timestamp::from_secs(slots().min().unwrap_or(START_S)),
        to: Timestamp::from_secs(slots().max().unwrap_or(START_S)),
        body,
    }
}

fn one(scrape: Scrape) -> SampleBatch {
    SampleBatch {
        scrapes: vec![scrape],
        ..SampleBatch::default()
    }
}

const EPOCH: Epoch = Epoch::new(1, 77);

/// (device, metric, instance) → slot → value: what must be shown, each once.
type Model = BTreeMap<(u32, String, u32), BTreeMap<i64, i64>>;

fn shown(rig: &Rig, devices: u32, from_s: i64, to_s: i64) -> Model {
    let mut shown = Model::new();
    for device in 1..=devices {
        for series in rig.range(
            device,
            &["ifHCInOctets", "sysUpTime"],
            from_s,
            to_s,
            Some(60),
        ) {
            let key = (device, series.metric.clone(), series.instance.0);
            let slots = shown.entry(key).or_default();
            let mut put = |slot_s: i64, value: i64| {
                assert!(
                    slots.insert(slot_s, value).is_none(),
                    "slot {slot_s} of device {device} twice"
                );
            };
            if series.metric == "sysUpTime" {
                for point in &series.points {
                    let value = format!("{}", point.mean).parse().unwrap();
                    put(point.at_ms / 1_000, value);
                }
            } else {
                for grown in &series.increases {
                    assert_eq!(grown.span_ms, 60_000);
                    put((grown.at_ms - 250) / 1_000, grown.increase);
                }
            }
        }
    }
    shown.retain(|_, slots| !slots.is_empty());
    shown
}

fn note(model: &mut Model, samples: &SampleBatch) {
    for scrape in &samples.scrapes {
        let names = [("ifHCInOctets", 1), ("ifHCInOctets", 2), ("sysUpTime", 0)];
        for ((name, instance), value) in names.iter().zip(&scrape.values) {
            if let Some(value) = value {
                model
                    .entry((scrape.layout.0, (*name).to_owned(), *instance))
                    .or_default()
                    .insert(scrape.slot_s, *value);
            }
        }
    }
}

/// Batches in any order, repeated, over several hours, with layouts late, hours sealed at any moment, kills between any
/// two steps and in the middle of sealing: what is shown equals the model, every sample once.
#[test]
fn whatever_happens_every_sample_is_shown_once() {
    let seeds: u64 = std::env::var("FARWATCH_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(8);
    for seed in 1..=seeds {
        any_history(seed);
    }
}

fn any_history(seed: u64) {
    const DEVICES: u32 = 3;
    let mut seeded = Seeded(seed);
    let mut rig = Rig::new();
    let layouts = layouts(DEVICES);
    let epochs = [EPOCH, Epoch::new(2, 5)];
    let mut said = [false; 2];
    let mut model = Model::new();
    let mut sent: Vec<(Batch, SampleBatch, bool)> = Vec::new();
    let mut next = [1_u64; 2];
    let mut slot = START_S + 20 * 60;
    for step in 0..120 {
        match seeded.below(12) {
            // A new batch is made; its delivery comes later, or never, or often.
            0..=4 => {
                let epoch = usize::from(step > 70);
                let mut samples = SampleBatch::default();
                for _ in 0..=seeded.below(4) {
                    slot += 60;
                    for device in 1..=DEVICES {
                        let values = [0, 0, 0].map(|_: i32| {
                            (seeded.below(10) > 0).then(|| seeded.narrow::<i64>(1 << 40))
                        });
                        samples.scrapes.push(scrape(device, slot, values));
                    }
                }
                let made = batch(epochs[epoch], next[epoch], &samples, &layouts);
                next[epoch] += 1;
                sent.push((made, samples, false));
            }
            5..=7 if !sent.is_empty() => {
                let count = usize::try_from(seeded.below(4)).unwrap() + 1;
                let mut group = Vec::new();
                for _ in 0..count {
                    let at = usize::try_from(seeded.below(sent.len() as u64)).unwrap();
                    if group.iter().all(|(other, _)| *other != at) {
                        group.push((at, sent[at].0.clone()));
                    }
                }
                let batches = group.iter().map(|(_, batch)| batch.clone()).collect();
                let outcome = rig.commit(batches);
                assert!(outcome.conflicts.is_empty());
                for (at, _) in group {
                    sent[at].2 = true;
                }
            }
            8 => {
                let epoch = usize::from(step > 70);
                rig.put_layouts(epochs[epoch], &layouts);
                said[epoch] = true;
            }
            9 => {
                rig.clock.advance(Duration::from_secs(seeded.below(1_200)));
                rig.seal(if seeded.below(3) == 0 {
                    Pass::Everything
                } else {
                    Pass::Due
                });
            }
            10 if seeded.below(2) == 0 => half_compact(&rig),
            10 => half_seal(&rig, &mut seeded),
            11 => rig.kill(),
            _ => {}
        }
        if step % 10 == 9 {
            model.clear();
            for (batch, samples, _) in sent.iter().filter(|(_, _, arrived)| *arrived) {
                if said[usize::from(batch.epoch != EPOCH)] {
                    note(&mut model, samples);
                }
            }
            assert_eq!(
                shown(&rig, DEVICES, START_S, slot + HOUR_S),
                model,
                "seed {seed}, step {step}"
            );
        }
    }
    for epoch in epochs {
        rig.put_layouts(epoch, &layouts);
    }
    rig.commit(sent.iter().map(|(batch, _, _)| batch.clone()).collect());
    rig.seal(Pass::Everything);
    rig.kill();
    model.clear();
    for (_, samples, _) in &sent {
        note(&mut model, samples);
    }
    assert_eq!(
        shown(&rig, DEVICES, START_S, slot + HOUR_S),
        model,
        "seed {seed}, at the end"
    );
    let report = rig
        .metrics
        .0
        .with_reader(|c| ledger::ledger(c, rig.probe()))
        .unwrap();
    let samples: u64 = report.iter().map(|lane| lane.samples).sum();
    assert_eq!(
        samples,
        model.values().map(|slots| slots.len() as u64).sum::<u64>(),
        "seed {seed}"
    );
    assert_eq!(report.iter().map(|lane| lane.undecoded).sum::<u64>(), 0);
}

/// The day file has the hour, and nobody else knows it yet.
fn half_seal(rig: &Rig, seeded: &mut Seeded) {
    let inner = &rig.metrics.0;
    let hours: Vec<i64> = inner
        .state()
        .probes
        .get(&rig.probe())
        .map(|of| of.hours.keys().copied().collect())
        .unwrap_or_default();
    if hours.is_empty() {
        return;
    }
    let hour = hours[usize::try_from(seeded.below(hours.len() as u64)).unwrap()];
    if let Some(rows) = inner.freeze(rig.probe(), hour) {
        let probe = rig.probe();
        inner.write_hours(&[Frozen { probe, hour, rows }]).unwrap();
    }
}

/// The roll-ups of every day are written, and the days themselves do not know it.
fn half_compact(rig: &Rig) {
    let inner = &rig.metrics.0;
    for day in inner.days.within(i64::MIN, i64::MAX) {
        inner
            .each_done(day, |inner, group| inner.write_rolled(day, &group))
            .unwrap();
    }
}

#[test]
fn a_batch_whose_layout_comes_later_is_acknowledged_and_then_shown_once() {
    let mut rig = Rig::new();
    let layouts = layouts(1);
    let samples = one(scrape(1, START_S, [Some(1), Some(2), Some(3)]));
    let outcome = rig.commit(vec![batch(EPOCH, 1, &samples, &layouts)]);
    assert_eq!(outcome.committed[0].watermark, 1);
    assert_eq!(outcome.want_layouts.len(), 1);
    assert_eq!(outcome.want_layouts[0].layout, LayoutNo(1));
    assert!(shown(&rig, 1, START_S, START_S + 60).is_empty());
    rig.kill();
    assert_eq!(rig.metrics.want_layouts(rig.probe()).len(), 1);
    rig.put_layouts(EPOCH, &layouts);
    rig.put_layouts(EPOCH, &layouts);
    assert!(rig.metrics.want_layouts(rig.probe()).is_empty());
    assert_eq!(shown(&rig, 1, START_S, START_S + 60).len(), 3);
    rig.kill();
    assert_eq!(shown(&rig, 1, START_S, START_S + 60).len(), 3);
}

#[test]
fn what_cannot_be_read_is_kept_acknowledged_and_a_gap() {
    let mut rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    let samples = one(scrape(1, START_S, [Some(1), Some(2), Some(3)]));
    let mut later = batch(EPOCH, 1, &samples, &layouts);
    later.version = 9;
    let outcome = rig.commit(vec![later]);
    assert_eq!(outcome.committed[0].watermark, 1);
    let good = one(scrape(1, START_S + 60, [Some(1), Some(2), Some(3)]));
    rig.commit(vec![batch(EPOCH, 2, &good, &layouts)]);
    let gaps = |rig: &Rig| {
        let series = rig.range(1, &["sysUpTime"], START_S, START_S + HOUR_S, None);
        series[0].gaps.clone()
    };
    assert_eq!(gaps(&rig).len(), 1);
    assert_eq!(gaps(&rig)[0].reason, GapReason::Quarantined);
    assert_eq!(
        rig.metrics
            .0
            .with_reader(|c| summary(c, AnchorCounts::default()))
            .unwrap()
            .quarantined,
        1
    );
    // An upgrade reads that version.
    rig.metrics
        .0
        .writer
        .write_blocking(|c| c.execute("UPDATE raw SET version = 1", []))
        .unwrap();
    rig.kill();
    assert_eq!(gaps(&rig), []);
    let all = shown(&rig, 1, START_S, START_S + HOUR_S);
    assert_eq!(all.values().map(BTreeMap::len).sum::<usize>(), 6);
}

#[test]
fn dropped_seqs_are_a_gap_until_they_come_after_all() {
    let rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    let make = |seq: u64| {
        let slot = START_S + i64::try_from(seq).unwrap() * 60;
        batch(
            EPOCH,
            seq,
            &one(scrape(1, slot, [Some(1), Some(1), Some(1)])),
            &layouts,
        )
    };
    rig.commit(vec![make(1), make(2)]);
    let dropped = |from: u64, to: u64| Dropped {
        epoch: EPOCH,
        lane: Lane::Samples.code(),
        from_seq: from,
        to_seq: to,
        from: Timestamp::from_secs(START_S + 60 * i64::try_from(from).unwrap()),
        to: Timestamp::from_secs(START_S + 60 * i64::try_from(to).unwrap()),
        reason: GapReason::SpoolOverflow.code(),
    };
    let tell = |dropped: &Dropped| {
        rig.metrics
            .0
            .dropped(rig.probe(), ClockCorrection::default(), dropped)
            .unwrap()
    };
    // Everything had come: no gap.
    assert_eq!(tell(&dropped(1, 2)).watermark, 2);
    assert!(
        rig.metrics
            .0
            .device_gaps(rig.source(1), Timestamp(0), Timestamp(i64::MAX))
            .unwrap()
            .is_empty()
    );
    assert_eq!(tell(&dropped(3, 4)).watermark, 4);
    tell(&dropped(3, 4));
    let gaps = rig
        .metrics
        .0
        .device_gaps(rig.source(1), Timestamp(0), Timestamp(i64::MAX))
        .unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].reason, GapReason::SpoolOverflow);
    assert_eq!(gaps[0].from, Timestamp::from_secs(START_S + 180));
    let slots = || -> Vec<i64> {
        shown(&rig, 1, START_S, START_S + HOUR_S)[&(1, "sysUpTime".to_owned(), 0)]
            .keys()
            .map(|slot| (slot - START_S) / 60)
            .collect()
    };
    let all = (Timestamp(0), Timestamp(i64::MAX));
    rig.commit(vec![make(3), make(5)]);
    assert_eq!(slots(), [1, 2, 3, 5]);
    let gaps = || {
        rig.metrics
            .0
            .device_gaps(rig.source(1), all.0, all.1)
            .unwrap()
    };
    assert_eq!(gaps().len(), 1, "the fourth is still missing");
    rig.commit(vec![make(4), make(4), make(3)]);
    assert_eq!(slots(), [1, 2, 3, 4, 5]);
    assert!(gaps().is_empty());
}

#[test]
fn gaps_reach_the_series_they_belong_to() {
    let rig = Rig::new();
    let layouts = layouts(2);
    rig.put_layouts(EPOCH, &layouts);
    let mut samples = SampleBatch::default();
    for device in 1..=2 {
        samples.scrapes.push(scrape(device, START_S, [Some(1); 3]));
    }
    let run = |layout: u32, slot: i64, slots: u32, reason: GapReason, columns: Vec<u8>| GapRun {
        layout: LayoutNo(layout),
        first_slot_s: START_S + slot * 60,
        slots,
        reason: reason.code(),
        columns,
    };
    samples.gaps = vec![
        run(1, 1, 2, GapReason::NoResponse, Vec::new()),
        run(1, 3, 1, GapReason::NoResponse, Vec::new()),
        run(1, 9, 1, GapReason::Partial, vec![0b010]),
    ];
    samples.probe_gaps = vec![ProbeGap {
        from: Timestamp::from_secs(START_S - 600),
        to: Timestamp::from_secs(START_S),
        reason: GapReason::ProbeRestart.code(),
    }];
    rig.commit(vec![batch(EPOCH, 1, &samples, &layouts)]);
    let gaps = |device: u32, metric: &str, instance: u32| -> Vec<(i64, i64, GapReason)> {
        rig.range(device, &[metric], START_S - HOUR_S, START_S + HOUR_S, None)
            .into_iter()
            .find(|series| series.instance == InstanceNo(instance))
            .unwrap()
            .gaps
            .iter()
            .map(|gap| {
                (
                    (gap.from.secs() - START_S) / 60,
                    (gap.to.secs() - START_S) / 60,
                    gap.reason,
                )
            })
            .collect()
    };
    let restart = (-10, 0, GapReason::ProbeRestart);
    let silent = (1, 4, GapReason::NoResponse);
    assert_eq!(gaps(1, "ifHCInOctets", 1), [restart, silent]);
    assert_eq!(
        gaps(1, "ifHCInOctets", 2),
        [restart, silent, (9, 10, GapReason::Partial)]
    );
    assert_eq!(gaps(2, "ifHCInOctets", 2), [restart]);
}

#[test]
fn rates_cover_missed_polls_and_cross_the_hour_sealed_or_not() {
    let rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    let edge = START_S + HOUR_S;
    let mut late = scrape(1, edge + 60, [Some(9_000), Some(0), Some(1)]);
    late.span_ms = 180_000;
    late.offset_ms = 0;
    late.spans = vec![(1, 60_000)];
    let mut first = scrape(1, edge - 120, [Some(600), Some(0), Some(1)]);
    first.offset_ms = 0;
    rig.commit(vec![
        batch(EPOCH, 1, &one(first), &layouts),
        batch(EPOCH, 2, &one(late), &layouts),
    ]);
    let rates = || -> Vec<(i64, f64)> {
        let series = rig.range(1, &["ifHCInOctets"], edge - 180, edge, Some(90));
        assert_eq!(series[0].unit, "octets/s");
        series[0]
            .points
            .iter()
            .map(|point| ((point.at_ms / 1_000) - edge, point.mean))
            .collect()
    };
    let expected = [(-180, (600.0 + 50.0 * 30.0) / 90.0), (-90, 50.0)];
    assert_eq!(rates(), expected);
    rig.clock.advance(Duration::from_secs(3 * 3_600));
    rig.seal(Pass::Due);
    assert!(rig.metrics.0.state().probes[&rig.probe()].hours.is_empty());
    assert_eq!(rates(), expected);
    let grown = rig
        .metrics
        .0
        .growth(
            &[rig.source(1)],
            &["ifHCInOctets".to_owned()],
            Timestamp::from_secs(START_S),
            Timestamp::from_secs(edge + HOUR_S),
        )
        .unwrap();
    assert_eq!(
        grown
            .iter()
            .map(|(_, _, instance, sum)| (instance.0, *sum))
            .collect::<Vec<_>>(),
        [(1, 9_600), (2, 0)]
    );
}

/// Ten minutes of one counter, with an anchor at each end.
fn proof_batches(layouts: &HashMap<LayoutNo, Layout>) -> Vec<SampleBatch> {
    (0..=10_i64)
        .map(|at| {
            let value = (at > 0).then_some(10);
            let mut samples = one(scrape(1, START_S + at * 60, [value, value, Some(at)]));
            let anchor = match at {
                0 => Some((AnchorKind::Start, 1_000)),
                10 => Some((AnchorKind::Hourly, 1_100)),
                _ => None,
            };
            if let Some((kind, raw)) = anchor {
                samples.anchors = (0..2)
                    .map(|column| Anchor {
                        layout: layouts[&LayoutNo(1)].no,
                        column,
                        kind: kind.code(),
                        slot_s: START_S + at * 60,
                        raw,
                    })
                    .collect();
            }
            samples
        })
        .collect()
}

fn anchors_after(
    change: impl Fn(&mut Vec<SampleBatch>),
    kills: bool,
    order: &[usize],
) -> (u64, u64) {
    let mut rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    let mut samples = proof_batches(&layouts);
    change(&mut samples);
    let batches: Vec<Batch> = samples
        .iter()
        .zip(1..)
        .map(|(samples, seq)| batch(EPOCH, seq, samples, &layouts))
        .collect();
    for &at in order {
        rig.commit(vec![batches[at].clone()]);
        if kills {
            rig.clock.advance(Duration::from_secs(700));
            rig.seal(Pass::Everything);
            rig.kill();
        }
    }
    rig.seal(Pass::Everything);
    let counts = rig.metrics.anchors(rig.probe(), Some(DeviceNo(1)));
    (counts.checked, counts.mismatched)
}

#[test]
fn anchors_prove_that_nothing_is_missing_and_nothing_doubled() {
    let in_order: Vec<usize> = (0..11).collect();
    let mixed = [0, 10, 3, 2, 1, 9, 8, 4, 7, 6, 5];
    for kills in [false, true] {
        for order in [&in_order[..], &mixed[..]] {
            assert_eq!(
                anchors_after(|_| {}, kills, order),
                (2, 0),
                "kills: {kills}"
            );
        }
        let lost = |samples: &mut Vec<SampleBatch>| samples[4].scrapes[0].values[0] = None;
        assert_eq!(anchors_after(lost, kills, &mixed), (2, 1));
        let doubled = |samples: &mut Vec<SampleBatch>| {
            let mut again = samples[4].scrapes[0].clone();
            again.slot_s += 1;
            samples[4].scrapes.push(again);
        };
        assert_eq!(anchors_after(doubled, kills, &in_order), (2, 2));
    }
    // A batch that has not come yet: nothing is judged.
    assert_eq!(anchors_after(|_| {}, true, &mixed[..10]), (0, 0));
}

#[test]
fn a_restored_ledger_does_not_double_what_is_sealed() {
    let mut rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    let batches: Vec<Batch> = (0..120)
        .map(|at| {
            let samples = one(scrape(1, START_S + at * 60, [Some(at), Some(1), Some(at)]));
            batch(EPOCH, at.cast_unsigned() + 1, &samples, &layouts)
        })
        .collect();
    rig.commit(batches[..30].to_vec());
    let backup = tempfile::tempdir().unwrap();
    copy(rig.dir.path(), backup.path());
    rig.commit(batches[30..].to_vec());
    rig.clock.advance(Duration::from_secs(4 * 3_600));
    rig.seal(Pass::Due);
    let before = shown(&rig, 1, START_S, START_S + 3 * HOUR_S);
    assert_eq!(before.values().map(BTreeMap::len).sum::<usize>(), 360);
    // metrics.db of yesterday, day files of today.
    let mixed = tempfile::tempdir().unwrap();
    copy(rig.dir.path(), mixed.path());
    for name in ["metrics.db", "metrics.db-wal"] {
        let _ = std::fs::remove_file(mixed.path().join(name));
        if backup.path().join(name).exists() {
            std::fs::copy(backup.path().join(name), mixed.path().join(name)).unwrap();
        }
    }
    rig.metrics = Metrics::open(mixed.path(), Settings::default(), rig.clock.clone()).unwrap();
    rig.dir = mixed;
    assert_eq!(
        rig.metrics
            .0
            .with_reader(|c| ledger::committed(c, rig.probe()))
            .unwrap()[0]
            .watermark,
        30
    );
    assert_eq!(shown(&rig, 1, START_S, START_S + 3 * HOUR_S), before);
    rig.commit(batches.clone());
    assert_eq!(shown(&rig, 1, START_S, START_S + 3 * HOUR_S), before);
    rig.seal(Pass::Everything);
    assert_eq!(shown(&rig, 1, START_S, START_S + 3 * HOUR_S), before);
    // The other way round: the day files are lost.
    let lost = tempfile::tempdir().unwrap();
    copy(rig.dir.path(), lost.path());
    std::fs::remove_dir_all(lost.path().join("days")).unwrap();
    Metrics::open(lost.path(), Settings::default(), rig.clock.clone()).unwrap();
}

#[test]
fn a_damaged_day_is_set_aside_and_becomes_a_gap() {
    let mut rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    let samples = one(scrape(1, START_S, [Some(1), Some(1), Some(1)]));
    rig.commit(vec![batch(EPOCH, 1, &samples, &layouts)]);
    rig.clock.advance(Duration::from_secs(2 * 3_600));
    rig.seal(Pass::Due);
    rig.kill();
    let day = rig.dir.path().join("days/2026-11-23.db");
    assert!(
        day.exists(),
        "{:?}",
        std::fs::read_dir(rig.dir.path().join("days"))
            .unwrap()
            .collect::<Vec<_>>()
    );
    let mut bytes = std::fs::read(&day).unwrap();
    let len = bytes.len();
    for byte in &mut bytes[100..len] {
        *byte ^= 0x5a;
    }
    std::fs::write(&day, bytes).unwrap();
    let _ = std::fs::remove_file(day.with_extension("db-wal"));
    rig.kill();
    assert!(shown(&rig, 1, START_S, START_S + HOUR_S).is_empty());
    rig.seal(Pass::Due);
    let gaps = rig
        .metrics
        .0
        .device_gaps(
            rig.source(1),
            Timestamp::from_secs(START_S),
            Timestamp::from_secs(START_S + HOUR_S),
        )
        .unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].reason, GapReason::Quarantined);
    assert!(!rig.dir.path().join("days/2026-11-23.db").exists());
    let later = one(scrape(1, START_S + 60, [Some(1), Some(1), Some(1)]));
    rig.commit(vec![batch(EPOCH, 2, &later, &layouts)]);
    rig.clock.advance(Duration::from_secs(7_200));
    rig.seal(Pass::Due);
    assert_eq!(shown(&rig, 1, START_S, START_S + HOUR_S).len(), 3);
}

#[test]
fn a_damaged_metrics_db_is_set_aside_and_the_store_opens() {
    let rig = Rig::new();
    rig.commit(vec![]);
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("metrics.db"), vec![0x55; 100_000]).unwrap();
    let metrics = Metrics::open(other.path(), Settings::default(), rig.clock.clone()).unwrap();
    assert!(metrics.newest(rig.probe()).is_none());
    let aside = std::fs::read_dir(other.path())
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains("damaged")
        })
        .count();
    assert_eq!(aside, 1);
}

#[test]
fn old_days_go_and_so_does_a_deleted_probe() {
    let mut rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    for day in 0..3_i64 {
        let samples = one(scrape(
            1,
            START_S + day * 86_400,
            [Some(1), Some(1), Some(1)],
        ));
        rig.commit(vec![batch(
            EPOCH,
            day.cast_unsigned() + 1,
            &samples,
            &layouts,
        )]);
    }
    rig.clock.advance(Duration::from_secs(15 * 86_400));
    rig.seal(Pass::Due);
    rig.metrics.0.prune().unwrap();
    let left = |rig: &Rig| {
        shown(rig, 1, START_S, START_S + 4 * 86_400)
            .get(&(1, "sysUpTime".to_owned(), 0))
            .map_or(0, BTreeMap::len)
    };
    assert_eq!(left(&rig), 2, "the first day is more than 14 days old");
    rig.metrics.0.delete_probes(&[rig.probe()]).unwrap();
    assert_eq!(left(&rig), 0);
    assert!(rig.metrics.last(rig.source(1)).is_empty());
    rig.kill();
    assert_eq!(left(&rig), 0);
    assert!(
        rig.metrics
            .0
            .with_reader(|c| ledger::committed(c, rig.probe()))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn the_newest_values_are_there_after_a_restart_also_when_sealed() {
    let mut rig = Rig::new();
    let layouts = layouts(2);
    rig.put_layouts(EPOCH, &layouts);
    let mut samples = SampleBatch::default();
    for device in 1..=2 {
        samples.scrapes.push(scrape(
            device,
            START_S + 60,
            [Some(600 * i64::from(device)), None, Some(7)],
        ));
    }
    rig.commit(vec![batch(EPOCH, 1, &samples, &layouts)]);
    let top = |rig: &Rig| -> Vec<(u32, f64)> {
        rig.metrics
            .top("ifHCInOctets", 10, |_, _, value| Some(value))
            .iter()
            .map(|item| (item.source.device.0, item.value))
            .collect()
    };
    assert_eq!(top(&rig), [(2, 20.0), (1, 10.0)]);
    rig.kill();
    assert_eq!(top(&rig), [(2, 20.0), (1, 10.0)]);
    rig.clock.advance(Duration::from_secs(2 * 3_600));
    rig.seal(Pass::Due);
    rig.kill();
    assert_eq!(top(&rig), [(2, 20.0), (1, 10.0)]);
    let last = rig
        .metrics
        .last_of(rig.source(1), "sysUpTime", InstanceNo(0))
        .unwrap();
    assert_eq!(
        (last.value, last.at),
        (7.0, Timestamp::from_secs(START_S + 60))
    );
    assert_eq!(
        rig.metrics.newest(rig.probe()),
        Some(Timestamp::from_secs(START_S + 60))
    );
    assert_eq!(
        rig.metrics.top("ifHCInOctets", 1, |_, _, v| Some(-v)).len(),
        1
    );
    assert!(
        rig.metrics
            .top("ifHCInOctets", 0, |_, _, v| Some(v))
            .is_empty()
    );
}

#[test]
fn a_corrected_clock_moves_what_is_shown_and_both_times_are_kept() {
    let rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    let samples = one(scrape(1, START_S - 86_400, [Some(1), Some(1), Some(1)]));
    let correction = ClockCorrection {
        offset_ms: 86_400_000,
        approximate: true,
    };
    rig.metrics
        .0
        .commit(
            rig.probe(),
            correction,
            vec![batch(EPOCH, 1, &samples, &layouts)],
        )
        .unwrap();
    let at =
        |rig: &Rig| rig.range(1, &["sysUpTime"], START_S, START_S + 60, None)[0].points[0].at_ms;
    assert_eq!(at(&rig), START_S * 1_000);
    rig.seal(Pass::Everything);
    assert_eq!(at(&rig), START_S * 1_000);
    let day = START_S / 86_400;
    let of_the_probe = |rig: &Rig| {
        let found = rig.metrics.0.days.read(day, |reader| {
            let id = reader.source(rig.probe(), DeviceNo(1))?.unwrap();
            let body = reader.device_day(id)?.unwrap();
            let whose = chunk::Whose::of(rig.probe(), DeviceNo(1), day);
            let opened = day::open(&body, whose, |hash| reader.shape(hash))?;
            Ok(opened.parts[0].times()?.heads[0].slot_s)
        });
        found.unwrap().unwrap()
    };
    assert_eq!(of_the_probe(&rig), START_S - 86_400);
}

#[test]
fn odd_questions_have_plain_answers() {
    let rig = Rig::new();
    assert!(rig.range(1, &["rtt"], START_S, START_S, None).is_empty());
    assert!(rig.range(1, &[], START_S, START_S - 10, None).is_empty());
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    let samples = one(scrape(1, START_S, [Some(1), Some(1), Some(1)]));
    rig.commit(vec![batch(EPOCH, 1, &samples, &layouts)]);
    let series = rig.range(1, &["sysUpTime"], START_S + 60, START_S + 120, None);
    assert_eq!((series.len(), series[0].points.len()), (1, 0));
    assert_eq!(
        rig.range(1, &["sysUpTime"], i64::MIN / 2_000, i64::MAX / 2_000, None)[0]
            .points
            .len(),
        1
    );
}

fn at(rig: &Rig, resolution: Resolution, from_s: i64, to_s: i64, step: u32) -> Vec<Series> {
    let mut series = rig
        .metrics
        .0
        .range_from(
            &RangeQuery {
                sources: vec![rig.source(1)],
                metrics: vec!["ifHCInOctets".to_owned(), "sysUpTime".to_owned()],
                instances: None,
                from: Timestamp::from_secs(from_s),
                to: Timestamp::from_secs(to_s),
                step_s: Some(step),
                raw: false,
            },
            Some(resolution),
        )
        .unwrap()
        .series;
    // Extremes are kept in millionths.
    for point in series.iter_mut().flat_map(|series| &mut series.points) {
        for value in [&mut point.mean, &mut point.min, &mut point.max] {
            *value = (*value * 1e4).round() / 1e4;
        }
    }
    series
}

#[test]
fn roll_ups_say_what_the_samples_say_and_outlive_them() {
    let mut rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    let mut seeded = Seeded(3);
    let polls = 30 * 60_i64;
    let mut batches: Vec<Batch> = (0..polls)
        .map(|poll| {
            let mut one_poll = scrape(
                1,
                START_S + 60 + poll * 60,
                [Some(60_000), Some(seeded.narrow(1 << 30)), Some(poll)],
            );
            // Read when its slot ends, so that what it covers lies within one step.
            one_poll.offset_ms = 0;
            one_poll.slot_s -= 1;
            one_poll.span_ms = 59_000;
            batch(EPOCH, poll.cast_unsigned() + 1, &one(one_poll), &layouts)
        })
        .collect();
    let late = batches.split_off(1_500);
    let held_back: Vec<Batch> = batches.drain(100..160).collect();
    let to = START_S + 31 * HOUR_S;
    let same = |rig: &Rig, step: u32, resolution: Resolution| {
        let rolled = at(rig, resolution, START_S, to, step);
        let samples = at(rig, Resolution::Raw, START_S, to, step);
        for (rolled, samples) in rolled.iter().zip(&samples) {
            let other = rolled
                .points
                .iter()
                .zip(&samples.points)
                .find(|(one, other)| one != other);
            assert_eq!(other, None, "{resolution:?} {step}");
        }
        assert!(rolled == samples, "{resolution:?} {step}");
    };
    for (batches, everything) in [(batches, false), (held_back, false), (late, true)] {
        rig.commit(batches);
        for sealed in [false, true] {
            if sealed {
                rig.clock.advance(Duration::from_secs(25 * 3_600));
                rig.seal(if everything {
                    Pass::Everything
                } else {
                    Pass::Due
                });
            }
            same(&rig, 300, Resolution::FiveMinutes);
            same(&rig, 900, Resolution::FiveMinutes);
            same(&rig, 3_600, Resolution::Hour);
            same(&rig, 21_600, Resolution::Hour);
            rig.kill();
        }
    }
    // A damaged file of roll-ups is computed anew from the samples.
    let before = at(&rig, Resolution::Hour, START_S, to, 3_600);
    assert_eq!(before[2].points.len(), 30);
    let file = rig.dir.path().join("days/2026-11.1h.db");
    std::fs::write(&file, vec![0x33; 50_000]).unwrap();
    let _ = std::fs::remove_file(file.with_extension("db-wal"));
    rig.kill();
    at(&rig, Resolution::Hour, START_S, to, 3_600);
    rig.seal(Pass::Due);
    assert!(at(&rig, Resolution::Hour, START_S, to, 3_600) == before);
    // Samples go after two weeks; the hours stay, and ninety days are drawn from them.
    rig.clock.advance(Duration::from_secs(60 * 86_400));
    rig.metrics.0.prune().unwrap();
    assert!(
        at(&rig, Resolution::Raw, START_S, to, 3_600)
            .iter()
            .all(|series| series.points.is_empty())
    );
    assert!(at(&rig, Resolution::Hour, START_S, to, 3_600) == before);
    let now = rig.clock.now().secs();
    let quarter = rig
        .metrics
        .0
        .range(&RangeQuery {
            sources: vec![rig.source(1)],
            metrics: vec!["sysUpTime".to_owned()],
            instances: None,
            from: Timestamp::from_secs(now - 90 * 86_400),
            to: Timestamp::from_secs(now),
            step_s: None,
            raw: false,
        })
        .unwrap();
    assert_eq!(
        (quarter.resolution, quarter.step_s),
        (Resolution::Hour, 21_600)
    );
    let points = &quarter.series[0].points;
    assert!(points.len() >= 5 && points.len() <= 600, "{}", points.len());
    // An hour of a month ago is answered from five minutes.
    let old = rig.range(1, &["sysUpTime"], START_S, START_S + HOUR_S, None);
    assert!(
        old.iter().all(|series| series.points.is_empty()),
        "samples themselves are gone"
    );
    let drawn = rig
        .metrics
        .0
        .range(&RangeQuery {
            sources: vec![rig.source(1)],
            metrics: vec!["sysUpTime".to_owned()],
            instances: None,
            from: Timestamp::from_secs(START_S),
            to: Timestamp::from_secs(START_S + HOUR_S),
            step_s: None,
            raw: false,
        })
        .unwrap();
    assert_eq!(
        (drawn.resolution, drawn.step_s, drawn.series[0].points.len()),
        (Resolution::FiveMinutes, 300, 12)
    );
    rig.metrics.0.delete_probes(&[rig.probe()]).unwrap();
    assert!(at(&rig, Resolution::Hour, START_S, to, 3_600).is_empty());
}

#[test]
fn an_epoch_that_was_idle_goes_on_where_it_was() {
    let mut rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    let newer = Epoch::new(2, 1);
    rig.put_layouts(newer, &layouts);
    let samples = proof_batches(&layouts);
    let batches: Vec<Batch> = samples
        .iter()
        .zip(1..)
        .map(|(samples, seq)| batch(EPOCH, seq, samples, &layouts))
        .collect();
    // The middle of an old epoch is backlog that takes its time.
    rig.commit(batches[..3].to_vec());
    rig.commit(batches[4..6].to_vec());
    rig.clock.advance(Duration::from_secs(4 * 3_600));
    let live = one(scrape(1, START_S + 4 * HOUR_S, [Some(1), Some(1), Some(1)]));
    rig.commit(vec![batch(newer, 1, &live, &layouts)]);
    for _ in 0..3 {
        rig.seal(Pass::Everything);
        rig.clock.advance(Duration::from_secs(3 * 3_600));
        rig.metrics.0.prune().unwrap();
    }
    rig.commit(batches[3..4].to_vec());
    rig.seal(Pass::Everything);
    rig.clock.advance(Duration::from_secs(3 * 3_600));
    rig.seal(Pass::Everything);
    rig.metrics.0.prune().unwrap();
    assert_eq!(rig.metrics.0.state().probes[&rig.probe()].lanes.len(), 1);
    rig.kill();
    rig.commit(batches[6..].to_vec());
    let counts = rig.metrics.anchors(rig.probe(), None);
    assert_eq!((counts.checked, counts.mismatched), (2, 0));
    // Everything is accounted for and sealed: nothing raw is left.
    rig.seal(Pass::Everything);
    rig.seal(Pass::Everything);
    let raw: i64 = rig
        .metrics
        .0
        .with_reader(|c| c.query_row("SELECT count(*) FROM raw", [], |row| row.get(0)))
        .unwrap();
    assert_eq!(raw, 0);
}

#[test]
fn a_damaged_raw_batch_is_set_aside_with_a_gap_and_nothing_of_it_is_shown() {
    let mut rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    for at in 0..3_i64 {
        let samples = one(scrape(1, START_S + at * 60, [Some(1), Some(1), Some(at)]));
        rig.commit(vec![batch(
            EPOCH,
            at.cast_unsigned() + 1,
            &samples,
            &layouts,
        )]);
    }
    rig.metrics
        .0
        .writer
        .write_blocking(|c| {
            let body: Vec<u8> =
                c.query_row("SELECT body FROM raw WHERE seq = 2", [], |row| row.get(0))?;
            let mut body = body;
            let last = body.len() - 1;
            body[last] ^= 1;
            c.execute("UPDATE raw SET body = ?1 WHERE seq = 2", [body])
        })
        .unwrap();
    for _ in 0..2 {
        rig.kill();
        let all = shown(&rig, 1, START_S, START_S + HOUR_S);
        let slots: Vec<i64> = all[&(1, "sysUpTime".to_owned(), 0)]
            .values()
            .copied()
            .collect();
        assert_eq!(slots, [0, 2]);
        let gaps = rig.range(1, &["sysUpTime"], START_S, START_S + HOUR_S, None)[0]
            .gaps
            .clone();
        assert_eq!(gaps.len(), 1);
        assert_eq!(gaps[0].reason, GapReason::Quarantined);
    }
}

#[tokio::test]
async fn the_handle_works_on_any_thread_of_a_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp::from_secs(START_S));
    let scope = ProbeScope::new(
        CustomerId::generate(),
        SiteId::generate(),
        ProbeId::generate(),
    );
    let open = || Metrics::open(dir.path(), Settings::default(), clock.clone()).unwrap();
    let metrics = open();
    let layouts = layouts(1);
    let samples = one(scrape(1, START_S, [Some(60), Some(120), Some(3)]));
    let mut unreadable = batch(EPOCH, 1, &samples, &layouts);
    unreadable.version = 7;
    let outcome = metrics
        .commit(&scope, ClockCorrection::default(), vec![unreadable])
        .await
        .unwrap();
    assert_eq!(outcome.committed[0].watermark, 1);
    let body = LayoutsBody {
        epoch: EPOCH.0,
        layouts: layouts
            .values()
            .map(|layout| (layout.clone(), layout_hash(layout)))
            .collect(),
    };
    metrics.put_layouts(&scope, &body).await.unwrap();
    metrics
        .writer()
        .write(|c| c.execute("UPDATE raw SET version = 1", []))
        .await
        .unwrap();
    drop(metrics);
    // What an older version set aside is read at start, which writes.
    let metrics = open();
    let source = Source {
        probe: scope.probe(),
        device: DeviceNo(1),
    };
    assert_eq!(metrics.last(source).len(), 3);
    assert_eq!(metrics.committed(scope.probe()).await.unwrap().len(), 1);
    let hour = (
        Timestamp::from_secs(START_S - HOUR_S),
        Timestamp::from_secs(START_S + HOUR_S),
    );
    let sparks = metrics
        .sparks(
            vec![source],
            vec!["sysUpTime".to_owned()],
            hour.0,
            hour.1,
            4,
        )
        .await
        .unwrap();
    assert_eq!(sparks[0].3, [None, None, Some(3.0), None]);
    let grown = metrics
        .growth(
            vec![source],
            vec!["ifHCInOctets".to_owned()],
            hour.0,
            hour.1,
        )
        .await
        .unwrap();
    assert_eq!(grown.iter().map(|(_, _, _, sum)| *sum).sum::<i64>(), 180);
    assert!(
        metrics
            .gaps(source, hour.0, hour.1)
            .await
            .unwrap()
            .is_empty()
    );
    let summary = metrics.summary().await.unwrap();
    assert_eq!(
        (summary.samples, summary.batches, summary.undecoded),
        (3, 1, 0)
    );
    assert_eq!(metrics.ledger(scope.probe()).await.unwrap().layouts, 1);
    clock.advance(Duration::from_secs(7_200));
    metrics.pass(Pass::Due).await.unwrap();
    let drain = CancellationToken::new();
    drain.cancel();
    metrics.clone().run(drain).await.unwrap();
    metrics
        .delete_probe_data(vec![scope.probe()])
        .await
        .unwrap();
    assert!(metrics.last(source).is_empty());
}
