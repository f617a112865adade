#![allow(clippy::type_complexity, reason = "a table of a test")]

use std::time::Duration;

use farwatch_shared::model::{Column, DeviceNo, InstanceNo, LayoutNo, Metric};
use farwatch_shared::session::{REPLAY_WINDOW_MS, SeqSet, crc};
use farwatch_shared::wire::decode;
use farwatch_shared::wire::message::batch::{EVENTS, LAYOUTS, LayoutsBody, SAMPLES};

use super::*;

const START: Timestamp = Timestamp(1_763_900_000_000);

struct Rig {
    dir: tempfile::TempDir,
    clock: Clock,
    limits: SpoolLimits,
}

impl Rig {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: Clock::manual(START),
            limits: SpoolLimits {
                reserve_bytes: 256 * 1024,
                ..SpoolLimits::default()
            },
        }
    }

    fn open(&self) -> (Spool, Opened) {
        Spool::open(self.dir.path(), self.limits, self.clock.clone()).unwrap()
    }

    /// A samples batch whose content tells it from others.
    fn samples(&self, n: u64, bytes: usize) -> Draft {
        let mut body = n.to_le_bytes().to_vec();
        body.resize(bytes.max(8), 7);
        let now = self.clock.now();
        Draft {
            epoch: None,
            lane: Lane::Samples,
            kind: SAMPLES,
            version: 1,
            from: now.plus_ms(-5_000),
            to: now,
            samples: 10,
            body,
        }
    }

    fn event(&self, n: u64) -> Draft {
        Draft {
            lane: Lane::Events,
            kind: EVENTS,
            samples: 0,
            ..self.samples(n, 16)
        }
    }
}

fn order(epoch: Epoch, lane: Lane, from_seq: u64, to_seq: u64) -> Order {
    Order {
        stream: farwatch_shared::session::Stream::Backlog,
        epoch,
        lane,
        from_seq,
        to_seq,
        max_bytes: 1_000_000,
    }
}

fn key(epoch: Epoch, lane: Lane, seq: u64) -> BatchKey {
    BatchKey { epoch, lane, seq }
}

fn acked(epoch: Epoch, from: u64, to: u64) -> Settlement {
    let mut settlement = Settlement::of(epoch, Lane::Samples, to);
    settlement.acked = SeqSet::of(from, to);
    settlement
}

fn layout(no: u32) -> Layout {
    Layout {
        no: LayoutNo(no),
        device: DeviceNo(1),
        group: 1,
        interval_s: 60,
        phase_s: 3,
        valid_from_s: 0,
        metrics: vec![Metric {
            name: "ifHCInOctets".to_owned(),
            kind: 0,
            scale: 0,
            width: 64,
            unit: "octets".to_owned(),
        }],
        columns: vec![Column {
            metric: 0,
            instance: InstanceNo(1),
        }],
    }
}

fn held(stock: &Stock, epoch: Epoch, lane: Lane) -> (Vec<(u64, u64)>, Vec<(u64, u64)>) {
    stock
        .lanes
        .iter()
        .find(|held| held.epoch == epoch && held.lane == lane)
        .map(|held| (held.held.ranges().to_vec(), held.acked.ranges().to_vec()))
        .unwrap_or_default()
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart_under_a_new_epoch() {
    let rig = Rig::new();
    let (spool, first) = rig.open();
    assert!(first.is_new && first.last_tick.is_none());
    for n in 0..5 {
        let keys = spool
            .commit(vec![rig.samples(n, 100), rig.event(n)], |_| Ok(()))
            .await
            .unwrap();
        assert_eq!(keys[0], key(first.epoch, Lane::Samples, n + 1));
        assert_eq!(keys[1], key(first.epoch, Lane::Events, n + 1));
        rig.clock.advance(Duration::from_secs(5));
    }
    drop(spool);
    let (spool, second) = rig.open();
    assert_eq!(second.last_tick, Some(START.plus_ms(20_000)));
    assert!(!second.is_new && second.epoch.start() == first.epoch.start() + 1);
    let stock = spool.stock().await.unwrap();
    assert_eq!(
        held(&stock, first.epoch, Lane::Samples),
        (vec![(1, 5)], vec![])
    );
    let read = spool
        .read(order(first.epoch, Lane::Samples, 2, 4))
        .await
        .unwrap();
    assert_eq!(
        read.batches.iter().map(|b| b.seq).collect::<Vec<_>>(),
        [2, 3, 4]
    );
    assert!(read.batches.iter().all(|b| crc(&b.body) == b.crc));
    let next = spool
        .commit(vec![rig.samples(9, 8)], |_| Ok(()))
        .await
        .unwrap();
    assert_eq!(next[0], key(second.epoch, Lane::Samples, 1));
}

#[tokio::test]
async fn a_batch_and_what_moves_with_it_are_stored_together_or_not_at_all() {
    let rig = Rig::new();
    let (spool, opened) = rig.open();
    spool
        .commit(vec![rig.samples(1, 8)], |c| {
            kept::put(c, "reading", 7, b"one")
        })
        .await
        .unwrap();
    let failed = spool
        .commit(vec![rig.samples(2, 8)], |c| {
            kept::put(c, "reading", 7, b"two")?;
            c.execute("INSERT INTO nowhere VALUES (1)", [])?;
            Ok(())
        })
        .await;
    assert!(failed.is_err());
    let reading = spool.reading(|c| kept::get(c, "reading", 7)).await.unwrap();
    assert_eq!(reading.as_deref(), Some(&b"one"[..]));
    let stock = spool.stock().await.unwrap();
    assert_eq!(held(&stock, opened.epoch, Lane::Samples).0, [(1, 1)]);
}

#[tokio::test]
async fn drafts_of_another_epoch_are_refused() {
    let rig = Rig::new();
    let (spool, opened) = rig.open();
    let mut watch = spool.watch_epoch();
    let moved = spool.start_epoch(40).await.unwrap();
    assert!(watch.has_changed().unwrap() && *watch.borrow_and_update() == moved);
    assert_eq!(moved.start(), 41);
    let old = Draft {
        epoch: Some(opened.epoch),
        ..rig.samples(1, 8)
    };
    let refused = spool.commit(vec![old], |c| kept::put(c, "x", 1, b"")).await;
    assert!(matches!(refused, Err(SpoolError::EpochMoved { running }) if running == moved));
    let none = spool.reading(|c| kept::get(c, "x", 1)).await.unwrap();
    assert_eq!(none, None);
}

#[tokio::test]
async fn acknowledged_data_stays_for_the_window_and_goes_with_its_layouts() {
    let rig = Rig::new();
    let (spool, opened) = rig.open();
    spool
        .commit_layouts(opened.epoch, vec![layout(1)])
        .await
        .unwrap();
    spool
        .commit(vec![rig.samples(1, 100)], |_| Ok(()))
        .await
        .unwrap();
    spool.settle(acked(opened.epoch, 1, 1)).await.unwrap();
    spool.start_epoch(0).await.unwrap();
    rig.clock
        .advance(Duration::from_millis(REPLAY_WINDOW_MS as u64 - 60_000));
    spool.maintain().await.unwrap();
    let stock = spool.stock().await.unwrap();
    assert_eq!(
        held(&stock, opened.epoch, Lane::Samples),
        (vec![(1, 1)], vec![(1, 1)])
    );
    let layouts = || {
        spool.reading(|c| {
            c.query_row("SELECT count(*) FROM layouts", [], |row| {
                row.get::<_, i64>(0)
            })
        })
    };
    assert_eq!(layouts().await.unwrap(), 1);
    rig.clock.advance(Duration::from_secs(120));
    spool.maintain().await.unwrap();
    let stock = spool.stock().await.unwrap();
    assert_eq!(held(&stock, opened.epoch, Lane::Samples), (vec![], vec![]));
    assert_eq!(layouts().await.unwrap(), 0);
    // Restored from an older copy, Central lacks it: the gap has the times of what was pruned.
    let mut lacks = Settlement::of(opened.epoch, Lane::Samples, 0);
    lacks.lost = SeqSet::of(1, 1);
    spool.greet(5, vec![lacks]).await.unwrap();
    let stock = spool.stock().await.unwrap();
    assert_eq!(stock.lease, 5);
    let told = &stock.dropped[0];
    assert_eq!(
        (told.from_seq, told.to_seq, told.reason),
        (1, 1, GapReason::TooOld.code())
    );
    assert_eq!((told.from, told.to), (START.plus_ms(-5_000), START));
}

#[tokio::test]
async fn what_a_restored_central_lacks_waits_again_and_what_was_pruned_meanwhile_is_lost() {
    let rig = Rig::new();
    let (spool, opened) = rig.open();
    for n in 0..4 {
        spool
            .commit(vec![rig.samples(n, 8)], |_| Ok(()))
            .await
            .unwrap();
    }
    spool.settle(acked(opened.epoch, 1, 4)).await.unwrap();
    spool
        .writing(|c| {
            c.execute_batch("DELETE FROM bodies WHERE id = 2; DELETE FROM batches WHERE id = 2")
        })
        .await
        .unwrap();
    let mut lacks = Settlement::of(opened.epoch, Lane::Samples, 1);
    lacks.lacking = SeqSet::of(2, 3);
    spool.greet(2, vec![lacks]).await.unwrap();
    let stock = spool.stock().await.unwrap();
    assert_eq!(
        held(&stock, opened.epoch, Lane::Samples),
        (vec![(1, 1), (3, 4)], vec![(1, 1), (4, 4)])
    );
    assert_eq!((stock.dropped[0].from_seq, stock.dropped[0].to_seq), (2, 2));
    spool
        .settle(Settlement::of(opened.epoch, Lane::Samples, 2))
        .await
        .unwrap();
    assert!(
        spool.stock().await.unwrap().dropped.is_empty(),
        "Central has passed it"
    );
}

#[tokio::test]
async fn a_full_spool_drops_acknowledged_data_then_the_oldest_unsent_samples() {
    let mut rig = Rig::new();
    rig.limits.max_bytes = 3 * 1024 * 1024;
    let (spool, opened) = rig.open();
    for n in 0..20 {
        spool
            .commit(vec![rig.samples(n, 60_000), rig.event(n)], |_| Ok(()))
            .await
            .unwrap();
    }
    spool.settle(acked(opened.epoch, 5, 10)).await.unwrap();
    for n in 20..200 {
        spool
            .commit(vec![rig.samples(n, 60_000)], |_| Ok(()))
            .await
            .unwrap();
        spool.maintain().await.unwrap();
        let status = spool.status().await.unwrap();
        assert!(status.file_bytes < 16 * 1024 * 1024, "{status:?}");
    }
    let stock = spool.stock().await.unwrap();
    let (samples, acked) = held(&stock, opened.epoch, Lane::Samples);
    assert!(acked.is_empty());
    assert_eq!(samples.len(), 1, "{samples:?}");
    assert_eq!(samples[0].1, 200);
    assert!((20..55).contains(&(200 - samples[0].0)), "{samples:?}");
    assert_eq!(
        held(&stock, opened.epoch, Lane::Events).0,
        [(1, 20)],
        "events go last"
    );
    // Every seq is held, acknowledged or in a record.
    let mut known = SeqSet::of(5, 10);
    known.insert(samples[0].0, samples[0].1);
    for dropped in &stock.dropped {
        assert_eq!(dropped.reason, GapReason::SpoolOverflow.code());
        known.insert(dropped.from_seq, dropped.to_seq);
    }
    assert_eq!(known.ranges(), &[(1, 200)]);
    let status = spool.status().await.unwrap();
    assert!(status.replay_window_s < 48 * 3_600, "{status:?}");
}

#[tokio::test]
async fn a_full_disk_stops_nothing_and_each_loss_is_recorded() {
    let rig = Rig::new();
    let (spool, opened) = rig.open();
    let mut kept_keys = Vec::new();
    for n in 0..10 {
        kept_keys.extend(
            spool
                .commit(vec![rig.samples(n, 60_000)], |_| Ok(()))
                .await
                .unwrap(),
        );
    }
    spool.settle(acked(opened.epoch, 1, 3)).await.unwrap();
    for cycle in 0..50 {
        // The file may not grow by a page: what SQLite says when the disk is full.
        let pages = |n: i64| {
            move |c: &mut Connection| {
                let now: i64 = c
                    .pragma_query_value(None, "page_count", |row| row.get(0))
                    .unwrap();
                c.pragma_update(None, "max_page_count", now + n).unwrap();
            }
        };
        spool.writer.alone(pages(0)).await.unwrap();
        for n in 0..4 {
            rig.clock.advance(Duration::from_secs(5));
            match spool
                .commit(vec![rig.samples(100 + cycle * 10 + n, 60_000)], |_| Ok(()))
                .await
            {
                Ok(keys) => kept_keys.extend(keys),
                Err(SpoolError::Full) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        spool.writer.alone(pages(1_000_000)).await.unwrap();
        kept_keys.extend(
            spool
                .commit(vec![rig.samples(cycle, 60_000)], |_| Ok(()))
                .await
                .unwrap(),
        );
    }
    let stock = spool.stock().await.unwrap();
    let lane = stock
        .lanes
        .iter()
        .find(|lane| lane.lane == Lane::Samples)
        .unwrap();
    let mut known = lane.held.clone();
    known.extend(&SeqSet::of(1, 3));
    for dropped in &stock.dropped {
        known.insert(dropped.from_seq, dropped.to_seq);
    }
    assert_eq!(
        known.ranges(),
        &[(1, lane.next_seq - 1)],
        "each seq is held, was acknowledged, or is recorded"
    );
    assert!(
        stock
            .dropped
            .iter()
            .any(|dropped| dropped.reason == GapReason::DiskFull.code())
    );
    assert!(
        kept_keys.len() >= 200,
        "most commits found room: {}",
        kept_keys.len()
    );
    assert!(lane.held.contains(lane.next_seq - 1));
}

#[tokio::test]
async fn with_no_room_at_all_the_span_is_told_when_there_is_room_again() {
    let rig = Rig::new();
    let (spool, opened) = rig.open();
    spool
        .writer
        .alone(|c| {
            let pages: i64 = c
                .pragma_query_value(None, "page_count", |row| row.get(0))
                .unwrap();
            c.pragma_update(None, "max_page_count", pages).unwrap();
        })
        .await
        .unwrap();
    for n in 0..3 {
        let full = spool
            .commit(vec![rig.samples(n, 60_000)], |c| kept::put(c, "x", 1, b""))
            .await;
        assert!(matches!(full, Err(SpoolError::Full)), "{full:?}");
        rig.clock.advance(Duration::from_secs(5));
    }
    spool
        .writer
        .alone(|c| c.pragma_update(None, "max_page_count", 1_000_000).unwrap())
        .await
        .unwrap();
    let keys = spool
        .commit(vec![rig.samples(9, 60_000)], |_| Ok(()))
        .await
        .unwrap();
    assert_eq!(keys[0], key(opened.epoch, Lane::Samples, 4));
    let stock = spool.stock().await.unwrap();
    let told = &stock.dropped[0];
    assert_eq!(
        (told.from_seq, told.to_seq, told.reason),
        (1, 3, GapReason::DiskFull.code())
    );
    assert_eq!(
        (told.from, told.to),
        (START.plus_ms(-5_000), START.plus_ms(10_000))
    );
    assert_eq!(spool.reading(|c| kept::get(c, "x", 1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_batch_that_is_damaged_on_disk_is_set_aside_with_a_gap() {
    let rig = Rig::new();
    let (spool, opened) = rig.open();
    for n in 0..3 {
        spool
            .commit(vec![rig.samples(n, 64)], |_| Ok(()))
            .await
            .unwrap();
    }
    spool
        .writing(|c| c.execute("UPDATE bodies SET body = x'00' WHERE id = 2", []))
        .await
        .unwrap();
    let read = spool
        .read(order(opened.epoch, Lane::Samples, 1, 3))
        .await
        .unwrap();
    let bad = key(opened.epoch, Lane::Samples, 2);
    assert_eq!((read.batches.len(), read.damaged.clone()), (2, vec![bad]));
    spool.set_aside(bad, GapReason::Quarantined).await.unwrap();
    let read = spool
        .read(order(opened.epoch, Lane::Samples, 1, 3))
        .await
        .unwrap();
    assert_eq!((read.damaged.len(), read.missing), (0, vec![bad]));
    let heads = spool.heads().await.unwrap();
    assert_eq!(
        (heads.dropped[0].from_seq, heads.dropped[0].reason),
        (2, GapReason::Quarantined.code())
    );
}

#[tokio::test]
async fn a_batch_blamed_three_times_says_so() {
    let rig = Rig::new();
    let (spool, opened) = rig.open();
    let keys = spool
        .commit(vec![rig.samples(0, 64)], |_| Ok(()))
        .await
        .unwrap();
    for n in 1..=3 {
        assert_eq!(spool.blame(keys[0]).await.unwrap(), n);
    }
    assert_eq!(
        spool
            .blame(key(opened.epoch, Lane::Events, 9))
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn conflicts_move_with_their_layouts_into_an_epoch_of_their_own() {
    let rig = Rig::new();
    let (spool, opened) = rig.open();
    spool
        .commit_layouts(opened.epoch, vec![layout(1), layout(2)])
        .await
        .unwrap();
    for n in 0..3 {
        spool
            .commit(vec![rig.samples(n, 64)], |_| Ok(()))
            .await
            .unwrap();
    }
    let conflicts = vec![
        key(opened.epoch, Lane::Samples, 2),
        key(opened.epoch, Lane::Events, 1),
    ];
    spool.rekey(conflicts.clone()).await.unwrap();
    spool.rekey(conflicts).await.unwrap();
    let running = spool.epoch();
    assert_ne!(
        running, opened.epoch,
        "layouts are minted anew beside a clone"
    );
    let stock = spool.stock().await.unwrap();
    assert_eq!(stock.running, running);
    assert_eq!(
        held(&stock, opened.epoch, Lane::Samples).0,
        [(1, 1), (3, 3)]
    );
    let twin = stock
        .lanes
        .iter()
        .find(|lane| lane.epoch != opened.epoch && lane.lane == Lane::Samples)
        .unwrap();
    assert_eq!(twin.held.ranges(), &[(1, 1)]);
    let moved = spool
        .read(order(twin.epoch, Lane::Samples, 1, 1))
        .await
        .unwrap();
    assert_eq!(moved.batches[0].body[..8], 1u64.to_le_bytes());
    let layouts = spool
        .read(order(twin.epoch, Lane::Events, 1, 2))
        .await
        .unwrap();
    assert_eq!(
        layouts.batches.len(),
        2,
        "the layouts of the epoch, and the batch in conflict"
    );
    for batch in layouts.batches {
        assert_eq!(batch.kind, LAYOUTS);
        let body: LayoutsBody = decode(&batch.body).unwrap();
        assert_eq!((body.epoch, body.layouts.len()), (twin.epoch.0, 2));
    }
}

#[tokio::test]
async fn a_gap_under_keys_that_somebody_else_used_is_told_under_our_own_as_well() {
    let rig = Rig::new();
    let (spool, opened) = rig.open();
    for n in 0..3 {
        spool
            .commit(vec![rig.samples(n, 64)], |_| Ok(()))
            .await
            .unwrap();
    }
    spool
        .set_aside(
            key(opened.epoch, Lane::Samples, 1),
            GapReason::SpoolOverflow,
        )
        .await
        .unwrap();
    let mut shared = Settlement::of(opened.epoch, Lane::Samples, 50);
    shared.shared = true;
    spool.greet(3, vec![shared]).await.unwrap();
    let running = spool.start_epoch(0).await.unwrap();
    spool
        .set_aside(key(opened.epoch, Lane::Samples, 2), GapReason::Quarantined)
        .await
        .unwrap();
    let dropped = spool.heads().await.unwrap().dropped;
    let ours: Vec<(u64, u8)> = dropped
        .iter()
        .filter(|told| told.epoch == running)
        .map(|told| (told.from_seq, told.reason))
        .collect();
    assert_eq!(
        ours,
        [
            (1, GapReason::SpoolOverflow.code()),
            (2, GapReason::Quarantined.code())
        ]
    );
}

#[tokio::test]
async fn layouts_are_sent_again_when_they_are_wanted() {
    let rig = Rig::new();
    let (spool, opened) = rig.open();
    let many: Vec<Layout> = (1..=2_000).map(layout).collect();
    let keys = spool.commit_layouts(opened.epoch, many).await.unwrap();
    assert!(keys.len() > 1, "split at 64 KiB");
    let moved = spool.start_epoch(0).await.unwrap();
    let want = |no| WantedLayout {
        epoch: opened.epoch,
        layout: LayoutNo(no),
    };
    spool
        .emit_layouts(vec![want(1_500), want(9_999), want(3)])
        .await
        .unwrap();
    let read = spool.read(order(moved, Lane::Events, 1, 1)).await.unwrap();
    let body: LayoutsBody = decode(&read.batches[0].body).unwrap();
    assert_eq!(body.epoch, opened.epoch.0);
    assert_eq!(
        body.layouts.iter().map(|l| l.0.no.0).collect::<Vec<_>>(),
        [1_500, 3]
    );
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_a_fresh_one_begun() {
    let rig = Rig::new();
    let (spool, first) = rig.open();
    for n in 0..50 {
        spool
            .commit(vec![rig.samples(n, 60_000)], |_| Ok(()))
            .await
            .unwrap();
    }
    spool.greet(17, vec![]).await.unwrap();
    drop(spool);
    let path = rig.dir.path().join(FILE);
    // The writing thread folds its log in when it ends.
    let limit = std::time::Instant::now() + Duration::from_secs(20);
    while std::fs::metadata(rig.dir.path().join("spool.db-wal")).is_ok_and(|meta| meta.len() > 0) {
        assert!(std::time::Instant::now() < limit);
        std::thread::yield_now();
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 200_000].fill(0x5A);
    std::fs::write(&path, &bytes).unwrap();
    let (spool, second) = rig.open();
    assert!(second.is_new);
    let aside = second.set_aside.unwrap();
    assert!(aside.exists() && aside != path);
    assert!(
        second.epoch.start() > first.epoch.start(),
        "the start counter was still readable"
    );
    assert_eq!(spool.stock().await.unwrap().lease, 17, "so was the lease");
    spool
        .commit(vec![rig.samples(1, 64)], |_| Ok(()))
        .await
        .unwrap();
    drop(spool);
    // No crash loop: the next start finds a sound file.
    assert!(rig.open().1.set_aside.is_none());
}

#[tokio::test]
async fn garbage_instead_of_a_file_is_set_aside_too() {
    let rig = Rig::new();
    std::fs::write(rig.dir.path().join(FILE), vec![0x11; 50_000]).unwrap();
    let (spool, opened) = rig.open();
    assert!(opened.set_aside.is_some() && opened.is_new);
    spool
        .commit(vec![rig.samples(1, 64)], |_| Ok(()))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_report_counts_what_was_made_held_and_dropped() {
    let rig = Rig::new();
    let (spool, opened) = rig.open();
    for n in 0..4 {
        spool
            .commit(vec![rig.samples(n, 64)], |_| Ok(()))
            .await
            .unwrap();
    }
    spool.settle(acked(opened.epoch, 1, 2)).await.unwrap();
    spool
        .set_aside(key(opened.epoch, Lane::Samples, 3), GapReason::Quarantined)
        .await
        .unwrap();
    let report = spool.ledger().await.unwrap();
    let lane = &report.lanes[0];
    assert_eq!(
        (lane.lane, lane.batches, lane.samples, lane.next_seq),
        ("samples", 4, 40, 5)
    );
    assert_eq!(
        (lane.held.clone(), lane.acked.clone()),
        (vec![(1, 2), (4, 4)], vec![(1, 2)])
    );
    assert_eq!(lane.dropped_totals[0].samples, 10);
    assert_eq!(report_of_file(rig.dir.path()).unwrap(), report);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["lanes"][0]["epoch"], opened.epoch.to_string());
}

#[tokio::test]
async fn unsent_data_goes_after_seven_days_but_not_because_a_clock_was_set() {
    let rig = Rig::new();
    let (spool, opened) = rig.open();
    spool
        .commit(vec![rig.samples(1, 64)], |_| Ok(()))
        .await
        .unwrap();
    rig.clock.set_wall(START.plus_ms(20 * 365 * 86_400_000));
    spool.maintain().await.unwrap();
    let stock = spool.stock().await.unwrap();
    assert_eq!(held(&stock, opened.epoch, Lane::Samples).0, [(1, 1)]);
    rig.clock.advance(Duration::from_secs(7 * 86_400 + 60));
    spool.maintain().await.unwrap();
    let stock = spool.stock().await.unwrap();
    assert!(held(&stock, opened.epoch, Lane::Samples).0.is_empty());
    assert_eq!(stock.dropped[0].reason, GapReason::TooOld.code());
}
