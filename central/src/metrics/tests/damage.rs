//! Bytes that are not what was written.

use super::*;

const DEVICES: u32 = 4;
const HOURS: i64 = 6;

/// Some hours of some devices in one day's file, whole in it; and what they say.
fn sealed(compacted: bool) -> (Rig, Model) {
    let mut rig = Rig::new();
    let layouts = layouts(DEVICES);
    rig.put_layouts(EPOCH, &layouts);
    let mut seeded = Seeded(4);
    let mut model = Model::new();
    for (seq, poll) in (1..).zip(0..HOURS * 60) {
        let mut samples = SampleBatch::default();
        for device in 1..=DEVICES {
            let values = [0, 0, 0].map(|_: i32| Some(seeded.narrow::<i64>(1 << 40)));
            samples
                .scrapes
                .push(scrape(device, START_S + poll * 60, values));
        }
        note(&mut model, &samples);
        rig.commit(vec![batch(EPOCH, seq, &samples, &layouts)]);
    }
    rig.clock
        .advance(Duration::from_secs(if compacted { 30 } else { 7 } * 3_600));
    rig.seal(Pass::Due);
    rig.metrics.0.days.shrink(START_S / 86_400).unwrap();
    rig.kill();
    (rig, model)
}

/// What of the model is shown, and what is covered by a gap; anything else fails.
fn judge(rig: &Rig, model: &Model, place: &str) -> (usize, usize) {
    let (from, to) = (START_S, START_S + HOURS * HOUR_S);
    let shown = shown(rig, DEVICES, from, to);
    for (key, slots) in &shown {
        for (slot, value) in slots {
            assert_eq!(
                model.get(key).and_then(|of| of.get(slot)),
                Some(value),
                "{place}: {key:?} at {slot}"
            );
        }
    }
    let mut covered = 0;
    for device in 1..=DEVICES {
        let (start, end) = (Timestamp::from_secs(from), Timestamp::from_secs(to));
        let of_device = rig
            .metrics
            .0
            .device_gaps(rig.source(device), start, end)
            .unwrap();
        let mut gaps = HashMap::new();
        for series in rig.range(device, &["ifHCInOctets", "sysUpTime"], from, to, Some(60)) {
            gaps.insert((series.metric, series.instance.0), series.gaps);
        }
        for ((of, metric, instance), slots) in model.iter().filter(|((of, ..), _)| *of == device) {
            let there = shown.get(&(*of, metric.clone(), *instance));
            // A series of which nothing is left is not in the answer; then the device's gaps say it.
            let gaps = gaps.get(&(metric.clone(), *instance)).unwrap_or(&of_device);
            for slot in slots.keys() {
                if there.is_some_and(|there| there.contains_key(slot)) {
                    continue;
                }
                covered += 1;
                let at = Timestamp::from_secs(*slot);
                let said = gaps.iter().any(|gap| gap.from <= at && at < gap.to);
                assert!(
                    said,
                    "{place}: {metric} {instance} of device {device} at {slot} is neither shown nor a gap"
                );
            }
        }
    }
    (shown.values().map(BTreeMap::len).sum(), covered)
}

/// Whatever byte of a day's file is another: every sample is shown as it was or is covered by a gap, at once and for good,
/// and the store goes on.
fn any_byte(compacted: bool) {
    let (rig, model) = sealed(compacted);
    let all: usize = model.values().map(BTreeMap::len).sum();
    assert_eq!(judge(&rig, &model, "whole"), (all, 0));
    let name = "days/2026-11-23.db";
    let whole = std::fs::read(rig.dir.path().join(name)).unwrap();
    // Most of a small file is room that nobody reads.
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let mut seeded = Seeded(u64::from(compacted) + 20);
    let (mut hit, mut in_part) = (0, 0);
    for _ in 0..rounds() {
        let at = used[usize::try_from(seeded.below(used.len() as u64)).unwrap()];
        let bit = seeded.below(8);
        let place = format!("bit {bit} of byte {at} of {}", whole.len());
        let mut changed = whole.clone();
        changed[at] ^= 1 << bit;
        let dir = tempfile::tempdir().unwrap();
        copy(rig.dir.path(), dir.path());
        std::fs::write(dir.path().join(name), changed).unwrap();
        let _ = std::fs::remove_file(dir.path().join(format!("{name}-wal")));
        let metrics = Metrics::open(dir.path(), Settings::default(), rig.clock.clone()).unwrap();
        let mut other = Rig {
            dir,
            clock: rig.clock.clone(),
            scope: rig.scope,
            metrics,
        };
        // Found by whoever asks first; a file that SQLite refuses is a gap with the next pass.
        shown(&other, DEVICES, START_S, START_S + HOURS * HOUR_S);
        if other.metrics.0.days.are_sound() {
            judge(&other, &model, &place);
        }
        other.seal(Pass::Due);
        let (left, covered) = judge(&other, &model, &place);
        other.kill();
        other.seal(Pass::Everything);
        judge(&other, &model, &format!("{place}, after a kill and a pass"));
        hit += usize::from(covered > 0);
        in_part += usize::from(covered > 0 && left > all / 2);
    }
    assert!(hit > 5, "{hit} hits");
    assert!(
        in_part * 10 > hit * 5,
        "of {hit} hits, {in_part} cost less than half of the day"
    );
}

fn rounds() -> u64 {
    let rounds = std::env::var("FARWATCH_ROUNDS").ok();
    rounds.and_then(|text| text.parse().ok()).unwrap_or(40)
}

#[test]
fn a_changed_byte_costs_only_what_it_hit_of_hours() {
    any_byte(false);
}

#[test]
fn a_changed_byte_costs_only_what_it_hit_of_a_day() {
    any_byte(true);
}

#[test]
fn a_damaged_series_of_a_day_is_a_gap_of_its_own_and_kept_aside() {
    let (mut rig, model) = sealed(true);
    let day = START_S / 86_400;
    let (id, mut body): (i64, Vec<u8>) = rig
        .metrics
        .0
        .days
        .read(day, |reader| {
            let id = reader.source(rig.probe(), DeviceNo(2))?.unwrap();
            Ok((id, reader.device_day(id)?.unwrap()))
        })
        .unwrap()
        .unwrap();
    // The last column is the uptime.
    let last = body.len() - 9;
    body[last] ^= 4;
    let written = rig.metrics.0.days.write(day, |tx| {
        tx.execute(
            "UPDATE device_days SET body = ?2 WHERE id = ?1",
            rusqlite::params![id, body],
        )?;
        Ok(())
    });
    written.unwrap();
    let of_uptime = usize::try_from(HOURS * 60).unwrap();
    let all: usize = model.values().map(BTreeMap::len).sum();
    assert_eq!(
        judge(&rig, &model, "just found"),
        (all - of_uptime, of_uptime)
    );
    rig.seal(Pass::Due);
    rig.kill();
    assert_eq!(
        judge(&rig, &model, "set aside"),
        (all - of_uptime, of_uptime)
    );
    let aside = rig.metrics.0.days.read(day, |reader| {
        let mut statement = reader.connection.prepare("SELECT body FROM aside")?;
        let bodies = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
        Ok(bodies.collect::<Result<Vec<_>, _>>()?)
    });
    assert_eq!(aside.unwrap().unwrap(), [body], "as it was found");
    // Roll-ups were computed when it was whole.
    let hours = at(
        &rig,
        Resolution::Hour,
        START_S,
        START_S + HOURS * HOUR_S,
        3_600,
    );
    assert_eq!(hours[2].points.len(), 6);
}

/// Nobody can tell any more whose the samples were: any of the probe's devices may miss them.
#[test]
fn a_day_that_lost_its_table_of_devices_is_a_gap() {
    let (mut rig, model) = sealed(false);
    let path = rig.dir.path().join("days/2026-11-23.db");
    let (pages, size) = {
        let c = sqlite::open_reader(&path).unwrap();
        let size: u32 = c
            .query_row("PRAGMA page_size", [], |row| row.get(0))
            .unwrap();
        let mut statement = c
            .prepare("SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'sources'")
            .unwrap();
        let pages = statement.query_map([], |row| row.get::<_, u32>(0)).unwrap();
        (pages.collect::<Result<Vec<_>, _>>().unwrap(), size)
    };
    assert_eq!(pages.len(), 2, "a table and its index");
    let mut bytes = std::fs::read(&path).unwrap();
    for page in pages {
        bytes[((page - 1) * size) as usize..(page * size) as usize].fill(0x5a);
    }
    std::fs::write(&path, bytes).unwrap();
    let _ = std::fs::remove_file(path.with_extension("db-wal"));
    rig.kill();
    shown(&rig, DEVICES, START_S, START_S + HOURS * HOUR_S);
    rig.seal(Pass::Due);
    let all = model.values().map(BTreeMap::len).sum();
    assert_eq!(judge(&rig, &model, "without names"), (0, all));
}

/// A late batch for an hour whose chunk is damaged: the old samples become a gap, the new ones are shown.
#[test]
fn a_late_batch_for_a_damaged_hour_is_shown_beside_the_gap() {
    let (mut rig, model) = sealed(false);
    let day = START_S / 86_400;
    let written = rig.metrics.0.days.write(day, |tx| {
        tx.execute(
            "UPDATE chunks SET body = zeroblob(70) WHERE id = (SELECT min(id) FROM chunks)",
            [],
        )?;
        Ok(())
    });
    written.unwrap();
    let late = one(scrape(1, START_S + 30, [Some(7), Some(8), Some(9)]));
    rig.commit(vec![batch(EPOCH, 9_000, &late, &layouts(DEVICES))]);
    rig.seal(Pass::Everything);
    rig.kill();
    let mut more = model.clone();
    note(&mut more, &late);
    let all: usize = more.values().map(BTreeMap::len).sum();
    assert_eq!(judge(&rig, &more, "merged"), (all - 180, 180));
    let shown = shown(&rig, 1, START_S, START_S + HOUR_S);
    assert_eq!(
        shown[&(1, "sysUpTime".to_owned(), 0)],
        BTreeMap::from([(START_S + 30, 9)])
    );
}
