use farwatch_shared::session::{Admit, MAX_RANGES, Progress};
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_763_900_000_000);
const EPOCH: Epoch = Epoch(7 << 32);

fn file() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

fn entry(seq: u64, crc: u32) -> Entry {
    Entry {
        key: BatchKey {
            epoch: EPOCH,
            lane: Lane::Samples,
            seq,
        },
        crc,
        to: NOW.plus_ms(seq.cast_signed() * 5_000),
        samples: 10,
        undecoded: false,
    }
}

fn dropped(from_seq: u64, to_seq: u64, reason: GapReason) -> Dropped {
    Dropped {
        epoch: EPOCH,
        lane: Lane::Samples.code(),
        from_seq,
        to_seq,
        from: NOW.plus_ms(from_seq.cast_signed() * 5_000 - 5_000),
        to: NOW.plus_ms(to_seq.cast_signed() * 5_000),
        reason: reason.code(),
    }
}

fn lane(c: &Connection, probe: ProbeId) -> LaneLedger {
    ledger(c, probe).unwrap().remove(0)
}

proptest! {
    #[test]
    fn it_agrees_with_the_machine(steps in prop::collection::vec((0u8..4, 1u64..40, 0u64..6), 1..60)) {
        let c = file();
        let probe = ProbeId::generate();
        let mut model = Progress::new();
        for (kind, seq, len) in steps {
            if kind == 0 {
                let missing = mark_dropped(&c, probe, &dropped(seq, seq + len, GapReason::SpoolOverflow), NOW).unwrap();
                prop_assert_eq!(missing, model.cover(seq, seq + len));
            } else {
                let before = model.holds(seq);
                let admission = admit(&c, probe, &entry(seq, 9), NOW).unwrap();
                match model.admit(seq) {
                    Admit::New => prop_assert_eq!(admission, Admission::New),
                    Admit::Done => prop_assert!(before && matches!(admission, Admission::Repeat | Admission::New)),
                    Admit::Full => prop_assert_eq!(admission, Admission::Full),
                }
            }
            let told = committed_lane(&c, probe, EPOCH, Lane::Samples).unwrap();
            prop_assert_eq!(told, model.to_committed(EPOCH, Lane::Samples));
        }
    }
}

#[test]
fn the_watermark_goes_back_with_the_callers_transaction() {
    let mut c = file();
    let probe = ProbeId::generate();
    admit(&c, probe, &entry(1, 5), NOW).unwrap();
    let transaction = c.transaction().unwrap();
    assert_eq!(
        admit(&transaction, probe, &entry(2, 6), NOW).unwrap(),
        Admission::New
    );
    transaction.rollback().unwrap();
    assert_eq!(
        committed_lane(&c, probe, EPOCH, Lane::Samples)
            .unwrap()
            .watermark,
        1
    );
    assert_eq!(admit(&c, probe, &entry(2, 6), NOW).unwrap(), Admission::New);
    let lane = lane(&c, probe);
    assert_eq!((lane.batches, lane.samples, lane.watermark), (2, 20, 2));
}

#[test]
fn a_repeat_is_told_from_a_clones_content() {
    let c = file();
    let (probe, other) = (ProbeId::generate(), ProbeId::generate());
    for seq in [1, 300, 5] {
        assert_eq!(
            admit(&c, probe, &entry(seq, 70), NOW).unwrap(),
            Admission::New
        );
        assert_eq!(
            admit(&c, probe, &entry(seq, 70), NOW).unwrap(),
            Admission::Repeat
        );
        assert_eq!(
            admit(&c, probe, &entry(seq, 71), NOW).unwrap(),
            Admission::Conflict
        );
    }
    assert_eq!(admit(&c, probe, &entry(9, 0), NOW).unwrap(), Admission::New);
    assert_eq!(
        admit(&c, probe, &entry(9, 0), NOW).unwrap(),
        Admission::Repeat,
        "a crc that is 0"
    );
    assert_eq!(
        admit(&c, other, &entry(1, 71), NOW).unwrap(),
        Admission::New,
        "another probe's lane"
    );
    let lane = lane(&c, probe);
    assert_eq!((lane.repeats, lane.conflicts, lane.batches), (4, 3, 4));
    forget(&c, probe).unwrap();
    assert!(ledger(&c, probe).unwrap().is_empty());
    assert_eq!(ledger(&c, other).unwrap().len(), 1);
}

#[test]
fn a_repeat_is_known_for_ever_and_newer_content_under_an_old_key_as_well() {
    let c = file();
    let probe = ProbeId::generate();
    // Nothing is committed before it was made.
    let then = |seq| Entry {
        to: NOW,
        ..entry(seq, 1_000)
    };
    for seq in 1..=600 {
        admit(&c, probe, &then(seq), NOW).unwrap();
    }
    let later = NOW.plus_ms(CRC_WINDOW_MS + 1_000);
    assert_eq!(prune_crcs(&c, NOW, 10).unwrap(), 0);
    assert_eq!(prune_crcs(&c, later, 10).unwrap(), 3);
    assert_eq!(
        admit(&c, probe, &then(5), later).unwrap(),
        Admission::Repeat
    );
    let rolled_back = Entry {
        to: later,
        ..entry(5, 2_000)
    };
    assert_eq!(
        admit(&c, probe, &rolled_back, later).unwrap(),
        Admission::Conflict
    );
    assert_eq!(lane(&c, probe).batches, 600);
}

#[test]
fn a_dropped_range_leaves_a_gap_only_for_what_had_not_come() {
    let c = file();
    let probe = ProbeId::generate();
    for seq in [1, 2, 4] {
        admit(&c, probe, &entry(seq, 1), NOW).unwrap();
    }
    let told = dropped(2, 6, GapReason::SpoolOverflow);
    assert_eq!(
        mark_dropped(&c, probe, &told, NOW).unwrap().ranges(),
        &[(3, 3), (5, 6)]
    );
    assert!(
        mark_dropped(&c, probe, &told, NOW).unwrap().is_empty(),
        "told again"
    );
    let grown = dropped(2, 8, GapReason::SpoolOverflow);
    assert_eq!(
        mark_dropped(&c, probe, &grown, NOW).unwrap().ranges(),
        &[(7, 8)]
    );
    assert!(
        mark_dropped(&c, probe, &dropped(1, 2, GapReason::DiskFull), NOW)
            .unwrap()
            .is_empty()
    );
    let now = lane(&c, probe);
    assert_eq!(
        (now.watermark, now.dropped, now.dropped_ranges.len()),
        (8, 5, 1)
    );
    assert_eq!(now.dropped_ranges[0].missing, 5);
    let drawn = gaps(&c, probe, NOW, NOW.plus_ms(3_600_000)).unwrap();
    assert_eq!((drawn.len(), drawn[0].2.to), (1, NOW.plus_ms(40_000)));
    // Under way when it was dropped: it comes after all, and is shown.
    assert_eq!(
        admit(&c, probe, &entry(5, 77), NOW).unwrap(),
        Admission::New
    );
    assert_eq!(
        admit(&c, probe, &entry(5, 77), NOW).unwrap(),
        Admission::Repeat
    );
    let now = lane(&c, probe);
    assert_eq!(
        (now.dropped, now.dropped_ranges[0].missing, now.batches),
        (4, 4, 4)
    );
    mark_dropped(&c, probe, &dropped(9, 9, GapReason::Quarantined), NOW).unwrap();
    assert_eq!(lane(&c, probe).quarantined, 1);
}

#[test]
fn at_the_cap_only_holes_and_neighbours_are_admitted() {
    let c = file();
    let probe = ProbeId::generate();
    for n in 0..MAX_RANGES as u64 {
        assert_eq!(
            admit(&c, probe, &entry(10 + 3 * n, 1), NOW).unwrap(),
            Admission::New
        );
    }
    let beyond = 10 + 3 * MAX_RANGES as u64;
    assert_eq!(
        admit(&c, probe, &entry(beyond, 1), NOW).unwrap(),
        Admission::Full
    );
    assert_eq!(
        admit(&c, probe, &entry(11, 1), NOW).unwrap(),
        Admission::New
    );
    assert_eq!(admit(&c, probe, &entry(1, 1), NOW).unwrap(), Admission::New);
    let told = committed_lane(&c, probe, EPOCH, Lane::Samples).unwrap();
    assert_eq!((told.watermark, told.ranges.len()), (1, MAX_RANGES));
    assert_eq!(
        admit(&c, probe, &entry(12, 1), NOW).unwrap(),
        Admission::New,
        "two ranges become one"
    );
    assert_eq!(
        admit(&c, probe, &entry(beyond, 1), NOW).unwrap(),
        Admission::New
    );
}

#[test]
fn a_lost_stores_holes_begin_where_everything_was_complete() {
    let c = file();
    let probe = ProbeId::generate();
    assert_eq!(complete_to(&c, probe, NOW).unwrap(), Timestamp(0));
    admit(&c, probe, &entry(7, 1), NOW).unwrap();
    assert_eq!(
        complete_to(&c, probe, NOW).unwrap(),
        entry(7, 1).to,
        "knowledge begins with it"
    );
    for seq in 1..=3 {
        admit(&c, probe, &entry(seq, 1), NOW).unwrap();
    }
    assert_eq!(newest(&c, probe).unwrap(), entry(7, 1).to);
    assert_eq!(
        complete_to(&c, probe, NOW).unwrap(),
        entry(3, 1).to,
        "before the hole"
    );
    mark_dropped(&c, probe, &dropped(4, 6, GapReason::SpoolOverflow), NOW).unwrap();
    assert_eq!(complete_to(&c, probe, NOW).unwrap(), entry(7, 1).to);
    let mut next = entry(2, 1);
    next.key.epoch = Epoch(8 << 32);
    next.to = NOW.plus_ms(90_000);
    admit(&c, probe, &next, NOW).unwrap();
    assert_eq!(
        complete_to(&c, probe, NOW).unwrap(),
        entry(7, 1).to,
        "the next epoch lacks its first"
    );
    let later = NOW.plus_ms(CRC_WINDOW_MS + 1);
    assert_eq!(
        complete_to(&c, probe, later).unwrap(),
        next.to,
        "a hole of long ago is history"
    );
}

#[test]
fn what_is_decoded_later_is_counted_then() {
    let c = file();
    let probe = ProbeId::generate();
    let raw = Entry {
        samples: 0,
        undecoded: true,
        ..entry(1, 1)
    };
    admit(&c, probe, &raw, NOW).unwrap();
    assert_eq!(lane(&c, probe).undecoded, 1);
    decoded(&c, probe, EPOCH, Lane::Samples, 1, 33, false).unwrap();
    let now = lane(&c, probe);
    assert_eq!((now.undecoded, now.samples, now.quarantined), (0, 33, 0));
}
