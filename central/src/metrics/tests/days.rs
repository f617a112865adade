//! What becomes of hours when their day is over, of late batches, and of what is old.

use super::*;

/// Polls of some devices, a minute apart, as many batches.
fn polls(devices: u32, from_s: i64, count: i64, first_seq: u64, seed: u64) -> (Vec<Batch>, Model) {
    let layouts = layouts(devices);
    let mut seeded = Seeded(seed);
    let mut model = Model::new();
    let batches = (first_seq..)
        .zip(0..count)
        .map(|(seq, poll)| {
            let mut samples = SampleBatch::default();
            for device in 1..=devices {
                let values = [0, 0, 0]
                    .map(|_: i32| (seeded.below(20) > 0).then(|| seeded.narrow::<i64>(1 << 40)));
                let slot_s = from_s + poll * 60;
                samples.scrapes.push(scrape(device, slot_s, values));
            }
            note(&mut model, &samples);
            batch(EPOCH, seq, &samples, &layouts)
        })
        .collect();
    (batches, model)
}

fn count(rig: &Rig, day: i64, table: &str) -> i64 {
    let found = rig.metrics.0.days.read(day, |reader| {
        let sql = format!("SELECT count(*) FROM {table}");
        Ok(reader.connection.query_row(&sql, [], |row| row.get(0))?)
    });
    found.unwrap().unwrap_or(0)
}

const DAY: i64 = START_S / 86_400;

#[test]
fn a_day_that_is_over_is_one_row_a_device_and_says_the_same() {
    let mut rig = Rig::new();
    rig.put_layouts(EPOCH, &layouts(3));
    let (batches, model) = polls(3, START_S, 24 * 60, 1, 5);
    for hour in batches.chunks(60) {
        rig.commit(hour.to_vec());
        rig.clock.advance(Duration::from_secs(3_600));
        rig.seal(Pass::Due);
    }
    rig.clock.advance(Duration::from_secs(600));
    rig.seal(Pass::Due);
    assert_eq!(
        (count(&rig, DAY, "chunks"), count(&rig, DAY, "device_days")),
        (72, 0)
    );
    assert_eq!(shown(&rig, 3, START_S, START_S + 86_400), model);
    rig.clock.advance(Duration::from_secs(4 * 3_600));
    rig.seal(Pass::Due);
    assert_eq!(
        (count(&rig, DAY, "chunks"), count(&rig, DAY, "device_days")),
        (0, 3)
    );
    assert_eq!(shown(&rig, 3, START_S, START_S + 86_400), model);
    let free = rig.metrics.0.days.read(DAY, |reader| {
        let count = reader
            .connection
            .query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
        Ok(count?)
    });
    assert_eq!(free.unwrap(), Some(0), "what was freed is given back");
    rig.kill();
    assert_eq!(shown(&rig, 3, START_S, START_S + 86_400), model);
    // Nothing is left to do, and doing it again changes nothing.
    rig.seal(Pass::Everything);
    assert_eq!(
        (count(&rig, DAY, "chunks"), count(&rig, DAY, "device_days")),
        (0, 3)
    );
    assert_eq!(shown(&rig, 3, START_S, START_S + 86_400), model);
}

#[test]
fn late_batches_wait_until_they_are_quiet_and_then_are_in_the_day_once() {
    let mut rig = Rig::new();
    rig.put_layouts(EPOCH, &layouts(2));
    let (mut batches, model) = polls(2, START_S, 120, 1, 6);
    let late = batches.split_off(90);
    rig.commit(batches);
    rig.clock.advance(Duration::from_secs(30 * 3_600));
    rig.seal(Pass::Due);
    assert_eq!(count(&rig, DAY, "device_days"), 2, "the day is over");
    let held = |rig: &Rig| {
        let (set, polls) = rig
            .metrics
            .0
            .days
            .sealed(rig.probe(), START_S / 3_600 + 1)
            .unwrap();
        (set.of(EPOCH).unwrap().contains(120), polls)
    };
    assert_eq!(held(&rig), (false, 60));
    rig.commit(late[..29].to_vec());
    rig.clock.advance(Duration::from_secs(599));
    rig.commit(late[29..].to_vec());
    rig.clock.advance(Duration::from_secs(599));
    rig.seal(Pass::Due);
    assert_eq!(held(&rig), (false, 60), "more may come");
    assert_eq!(shown(&rig, 2, START_S, START_S + 7_200), model);
    rig.clock.advance(Duration::from_secs(1));
    rig.seal(Pass::Due);
    assert_eq!(held(&rig), (true, 120));
    assert_eq!(
        (count(&rig, DAY, "chunks"), count(&rig, DAY, "device_days")),
        (0, 2)
    );
    assert_eq!(shown(&rig, 2, START_S, START_S + 7_200), model);
    // Again, as after a restored metrics.db: they are known in the day's file.
    rig.kill();
    rig.commit(late);
    rig.seal(Pass::Everything);
    assert_eq!(shown(&rig, 2, START_S, START_S + 7_200), model);
}

#[test]
fn many_late_samples_do_not_wait() {
    let rig = Rig::new();
    let columns: Vec<Column> = (1..=2_000)
        .map(|instance| Column {
            metric: 0,
            instance: InstanceNo(instance),
        })
        .collect();
    let mut layout = layouts(1).remove(&LayoutNo(1)).unwrap();
    layout.columns = columns;
    let layouts = HashMap::from([(layout.no, layout)]);
    rig.put_layouts(EPOCH, &layouts);
    let mut seeded = Seeded(9);
    let mut made = |seq: u64, first: i64, polls: i64| {
        let scrapes = (first..first + polls)
            .map(|poll| Scrape {
                values: (0..2_000)
                    .map(|_| Some((seeded.next() >> 1).cast_signed()))
                    .collect(),
                ..scrape(1, START_S + poll, [None; 3])
            })
            .collect();
        batch(
            EPOCH,
            seq,
            &SampleBatch {
                scrapes,
                ..SampleBatch::default()
            },
            &layouts,
        )
    };
    rig.commit(vec![made(1, 0, 1)]);
    rig.clock.advance(Duration::from_secs(7_200));
    rig.seal(Pass::Due);
    let held = |seq: u64| {
        let (set, _) = rig
            .metrics
            .0
            .days
            .sealed(rig.probe(), START_S / 3_600)
            .unwrap();
        set.of(EPOCH).unwrap().contains(seq)
    };
    assert!(held(1));
    rig.commit(vec![made(2, 1, 100)]);
    rig.seal(Pass::Due);
    assert!(!held(2), "two megabytes wait");
    for seq in 3..=5 {
        rig.commit(vec![made(seq, i64::try_from(seq).unwrap() * 200, 150)]);
    }
    rig.seal(Pass::Due);
    assert!(held(2) && held(5), "ten do not");
}

#[test]
fn an_increase_between_two_days_is_on_both_sides_of_midnight() {
    let rig = Rig::new();
    let layouts = layouts(1);
    rig.put_layouts(EPOCH, &layouts);
    for (seq, slot_s) in (1..).zip([START_S + 86_340, START_S + 86_430]) {
        let samples = one(scrape(1, slot_s, [Some(60_000), Some(0), Some(1)]));
        rig.commit(vec![batch(EPOCH, seq, &samples, &layouts)]);
    }
    let rates = || {
        let from = START_S + 86_340;
        let series = rig.range(1, &["ifHCInOctets"], from, from + 120, Some(60));
        let points = series[0].points.iter();
        points
            .map(|point| point.at_ms / 1_000 - START_S)
            .collect::<Vec<_>>()
    };
    let before = rates();
    rig.clock.advance(Duration::from_secs(3 * 86_400));
    rig.seal(Pass::Due);
    assert_eq!(count(&rig, DAY, "device_days"), 1);
    assert_eq!(rates(), before);
    assert_eq!(before.len(), 2);
}

#[test]
fn each_resolution_goes_when_its_time_is_over() {
    let rig = Rig::new();
    rig.put_layouts(EPOCH, &layouts(1));
    let (batches, _) = polls(1, START_S, 30, 1, 7);
    rig.commit(batches);
    let files = |rig: &Rig| {
        let mut names: Vec<String> = std::fs::read_dir(rig.dir.path().join("days"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".db"))
            .collect();
        names.sort();
        names
    };
    rig.clock.advance(Duration::from_secs(2 * 86_400));
    rig.seal(Pass::Due);
    let (raw, fine, coarse) = ("2026-11-23.db", "2026-11-23.5min.db", "2026-11.1h.db");
    for (days, left) in [
        (0, &[fine, raw, coarse][..]),
        (13, &[fine, coarse]),
        (80, &[coarse]),
        (640, &[coarse]),
        (40, &[]),
    ] {
        rig.clock.advance(Duration::from_secs(days * 86_400));
        rig.metrics.0.prune().unwrap();
        assert_eq!(files(&rig), left, "after {days} days more");
    }
}

#[test]
fn the_hours_of_many_probes_are_sealed_together() {
    let rig = Rig::new();
    let layouts = layouts(1);
    let probes: Vec<ProbeId> = (0..150).map(|_| ProbeId::generate()).collect();
    let samples = one(scrape(1, START_S, [Some(1), Some(2), Some(3)]));
    for probe in &probes {
        let body = LayoutsBody {
            epoch: EPOCH.0,
            layouts: layouts
                .values()
                .map(|layout| (layout.clone(), layout_hash(layout)))
                .collect(),
        };
        rig.metrics.0.put_layouts(*probe, &body).unwrap();
        let batches = vec![batch(EPOCH, 1, &samples, &layouts)];
        rig.metrics
            .0
            .commit(*probe, ClockCorrection::default(), batches)
            .unwrap();
    }
    rig.clock.advance(Duration::from_secs(7_200));
    rig.seal(Pass::Due);
    for probe in &probes {
        assert!(
            rig.metrics
                .0
                .days
                .sealed(*probe, START_S / 3_600)
                .unwrap()
                .0
                .contains(EPOCH, 1)
        );
    }
    let left: i64 = rig
        .metrics
        .0
        .with_reader(|c| c.query_row("SELECT count(*) FROM raw", [], |row| row.get(0)))
        .unwrap();
    assert_eq!(left, 0, "what is sealed and accounted for is raw no more");
}
