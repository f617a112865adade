//! How much a probe may ask of Central.

use super::*;
use crate::metrics::bound::POLLS_OF_AN_HOUR;

fn files(rig: &Rig) -> usize {
    rig.metrics.0.days.within(i64::MIN, i64::MAX).len()
}

fn gaps(rig: &Rig, from_s: i64, to_s: i64) -> Vec<(i64, GapReason)> {
    let (from, to) = (Timestamp::from_secs(from_s), Timestamp::from_secs(to_s));
    let gaps = rig.metrics.0.device_gaps(rig.source(1), from, to).unwrap();
    gaps.iter()
        .map(|gap| (gap.from.secs(), gap.reason))
        .collect()
}

#[test]
fn a_batch_spread_over_many_days_makes_no_files_and_is_a_gap() {
    let mut rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    let spread = SampleBatch {
        scrapes: (0..10)
            .map(|day| scrape(1, START_S - day * 86_400, [Some(1), Some(1), Some(1)]))
            .collect(),
        ..SampleBatch::default()
    };
    let outcome = rig.commit(vec![batch(EPOCH, 1, &spread, &layouts)]);
    assert_eq!(
        (outcome.committed[0].watermark, outcome.samples),
        (1, 0),
        "done, and not shown"
    );
    rig.seal(Pass::Everything);
    assert_eq!(files(&rig), 0);
    let said = gaps(&rig, START_S - 20 * 86_400, START_S + 60);
    assert_eq!(said.len(), 10);
    assert!(
        said.iter()
            .all(|(_, reason)| *reason == GapReason::Quarantined)
    );
    let report = rig
        .metrics
        .0
        .with_reader(|c| ledger::ledger(c, rig.probe()))
        .unwrap();
    assert_eq!((report[0].quarantined, report[0].undecoded), (1, 0));
    // Two days are what midnight does to a batch.
    let midnight = SampleBatch {
        scrapes: spread.scrapes[..2].to_vec(),
        ..SampleBatch::default()
    };
    rig.commit(vec![batch(EPOCH, 2, &midnight, &layouts)]);
    rig.kill();
    rig.seal(Pass::Everything);
    assert_eq!(files(&rig), 2);
    assert_eq!(
        shown(&rig, 1, START_S - 86_400, START_S + 60)[&(1, "sysUpTime".to_owned(), 0)].len(),
        2
    );
}

#[test]
fn what_is_older_than_samples_are_kept_is_said_and_spoils_no_roll_up() {
    let rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    let samples = one(scrape(1, START_S, [Some(600), Some(1), Some(1)]));
    rig.commit(vec![batch(EPOCH, 1, &samples, &layouts)]);
    rig.clock.advance(Duration::from_secs(2 * 86_400));
    rig.seal(Pass::Due);
    rig.clock.advance(Duration::from_secs(14 * 86_400));
    rig.metrics.0.prune().unwrap();
    let hours = || at(&rig, Resolution::Hour, START_S, START_S + 86_400, 3_600);
    let before = hours();
    assert_eq!(before[0].points.len(), 1);
    let late = one(scrape(1, START_S + 120, [Some(1), Some(1), Some(1)]));
    let waits = one(scrape(2, START_S + 180, [Some(1), Some(1), Some(1)]));
    let both = super::layouts(2);
    rig.commit(vec![
        batch(EPOCH, 2, &late, &layouts),
        batch(EPOCH, 3, &waits, &both),
    ]);
    rig.put_layouts(EPOCH, &both);
    rig.seal(Pass::Everything);
    assert_eq!(files(&rig), 0);
    assert_eq!(
        gaps(&rig, START_S, START_S + 86_400),
        [
            (START_S + 120, GapReason::TooOld),
            (START_S + 180, GapReason::TooOld)
        ]
    );
    let after: Vec<_> = hours().into_iter().map(|series| series.points).collect();
    assert!(
        after
            .iter()
            .zip(&before)
            .all(|(after, before)| *after == before.points)
    );
}

#[test]
fn days_far_ahead_are_few_whatever_a_probe_says() {
    let rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    for seq in 1..=300_u64 {
        let day = i64::try_from(seq).unwrap() * 7;
        let samples = one(scrape(
            1,
            START_S + day * 86_400,
            [Some(1), Some(1), Some(1)],
        ));
        rig.commit(vec![batch(EPOCH, seq, &samples, &layouts)]);
        if seq % 50 == 0 {
            rig.seal(Pass::Everything);
        }
    }
    assert_eq!(files(&rig), 8);
    let (from, to) = (START_S, START_S + 3_000 * 86_400);
    let values = shown(&rig, 1, from, to)[&(1, "sysUpTime".to_owned(), 0)].len();
    assert_eq!((values, gaps(&rig, from, to).len()), (8, 292));
    // What is of now comes in as ever.
    let samples = one(scrape(1, START_S + 60, [Some(1), Some(1), Some(1)]));
    assert_eq!(
        rig.commit(vec![batch(EPOCH, 301, &samples, &layouts)])
            .samples,
        3
    );
}

#[test]
fn an_hour_that_is_full_takes_no_more() {
    let mut rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    let made = |seq: u64, slot_s: i64| {
        batch(
            EPOCH,
            seq,
            &one(scrape(1, slot_s, [Some(1), Some(1), Some(1)])),
            &layouts,
        )
    };
    rig.commit(vec![made(1, START_S)]);
    rig.clock.advance(Duration::from_secs(7_200));
    rig.seal(Pass::Due);
    let set = |rig: &Rig, polls: u64| {
        let written = rig.metrics.0.days.write(START_S / 86_400, |tx| {
            tx.execute("UPDATE sealed SET polls = ?1", [polls.cast_signed()])?;
            Ok(())
        });
        written.unwrap();
    };
    set(&rig, POLLS_OF_AN_HOUR - 1);
    assert_eq!(rig.commit(vec![made(2, START_S + 60)]).samples, 3);
    assert_eq!(
        rig.commit(vec![made(3, START_S + 120)]).samples,
        0,
        "in memory and sealed together"
    );
    rig.seal(Pass::Everything);
    rig.kill();
    assert_eq!(rig.commit(vec![made(4, START_S + 180)]).samples, 0);
    assert_eq!(
        rig.commit(vec![made(5, START_S + 3_600)]).samples,
        3,
        "the next hour is empty"
    );
    let said = gaps(&rig, START_S, START_S + 3_600);
    assert_eq!(
        said,
        [
            (START_S + 120, GapReason::Quarantined),
            (START_S + 180, GapReason::Quarantined)
        ]
    );
}
