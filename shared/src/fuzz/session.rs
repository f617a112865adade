//! Both halves of delivery, each fed with whatever the other side might send.

use super::Target;
use super::message::{each_frame, golden};
use crate::clock::Timestamp;
use crate::model::{BatchKey, Epoch, Lane};
use crate::session::receiver::{Decided, Known, LeaseRow, Receiver, SnapshotStep, Verdict, judge};
use crate::session::sender::{Answered, Facts, LaneStock, Limits, Next, Sender, Stock};
use crate::session::{CloseReason, Progress, SeqSet, Stream, Tick, crc};
use crate::wire::codec::{FRAME_LIMIT, decode_as, frame};
use crate::wire::decode;
use crate::wire::message::batch::{Batch, Dropped};
use crate::wire::message::session::{Ack, Hello, HelloAnswer, LaneCommitted, SnapshotPart};

/// What Central says to a probe, and a probe to Central: whole streams of frames.
pub const TARGETS: &[Target] = &[
    Target::new("session_at_probe", at_probe, from_central)
        .memory(4 << 20, 192)
        .cost(4),
    Target::new("session_at_central", at_central, from_probe)
        .memory(4 << 20, 192)
        .cost(4),
];

/// The epoch of the golden messages.
const EPOCH: Epoch = Epoch::new(3, 0xdead_beef);

fn stock() -> Stock {
    let lane = |lane, next_seq| LaneStock {
        epoch: EPOCH,
        lane,
        next_seq,
        held: SeqSet::of(next_seq - 200, next_seq - 1),
        acked: SeqSet::of(next_seq - 200, next_seq - 150),
    };
    Stock {
        running: EPOCH,
        lease: 5,
        lanes: vec![lane(Lane::Events, 300), lane(Lane::Samples, 70_100)],
        dropped: vec![decode(&golden("Dropped")).unwrap()],
        known_from: Timestamp(1_795_000_000_000),
    }
}

fn from_central() -> Vec<Vec<u8>> {
    let mut answer: HelloAnswer = decode(&golden("HelloAnswer")).unwrap();
    answer.new_epoch = false;
    answer.committed[0].watermark = 69_950;
    answer.committed[0].ranges = vec![(69_960, 69_970), (70_050, 70_060)];
    let mut ack: Ack = decode(&golden("Ack")).unwrap();
    ack.committed = answer.committed[0].clone();
    ack.committed.watermark = 70_020;
    ack.decided = (69_951..70_020).collect();
    ack.conflicts = vec![70_001];
    let golden: Ack = decode(&golden("Ack")).unwrap();
    vec![
        [frame(&answer), frame(&ack)].concat(),
        [frame(&answer), frame(&ack), frame(&golden)].concat(),
    ]
}

/// Plays the probe of the stock above against the frames of a Central.
fn at_probe(bytes: &[u8]) -> bool {
    let mut sender = Sender::new(Limits::default());
    let stock = stock();
    sender.hello(&stock, Facts::default());
    let heads = stock.heads();
    let mut now = Tick(0);
    let mut answered = false;
    let mut good = false;
    each_frame(bytes, |header, payload| {
        now = Tick(now.0 + 1_000);
        if let Ok(answer) = decode_as::<HelloAnswer>(header, payload)
            && !answered
        {
            answered = true;
            if let Answered::Accepted(greeting) = sender.answer(&answer, now, 7) {
                for settlement in &greeting.settlements {
                    within(&settlement.acked);
                    within(&settlement.lacking);
                }
                sender.begin(&heads, now);
            }
        } else if let Ok(ack) = decode_as::<Ack>(header, payload)
            && sender.is_open()
        {
            send(&mut sender, now);
            let acked = sender.ack(&ack);
            within(&acked.settlement.acked);
            within(&acked.settlement.lacking);
            assert!(acked.conflicts.iter().all(|key| key.seq < 70_100));
            sender.refresh(&heads);
            sender.next_dropped();
            good = true;
        }
        assert!(sender.waiting() <= 400 && sender.undecided().1 <= 400);
    });
    sender.closed(
        crate::session::sender::Closed::ByPeer(CloseReason::Protocol),
        now,
        9,
    );
    good
}

/// Only what the probe has can be settled.
fn within(seqs: &SeqSet) {
    assert!(seqs.last().is_none_or(|last| last < 70_100), "{seqs:?}");
}

fn send(sender: &mut Sender, now: Tick) {
    for stream in Stream::ALL {
        for _ in 0..16 {
            let Next::Send(order) = sender.next(stream, now) else {
                break;
            };
            for seq in order.from_seq..=order.to_seq {
                let key = BatchKey {
                    epoch: order.epoch,
                    lane: order.lane,
                    seq,
                };
                sender.sent(stream, key, 1_000);
            }
        }
    }
}

fn from_probe() -> Vec<Vec<u8>> {
    let hello: Hello = decode(&golden("Hello")).unwrap();
    let mut part: SnapshotPart = decode(&golden("SnapshotPart")).unwrap();
    part.lease = 7;
    part.parts = 2;
    let mut second = part.clone();
    second.part = 1;
    let mut batch: Batch = decode(&golden("Batch")).unwrap();
    batch.crc = crc(&batch.body);
    let mut late = batch.clone();
    late.seq = 5;
    let dropped: Dropped = decode(&golden("Dropped")).unwrap();
    let opening = [frame(&hello), frame(&part), frame(&second)].concat();
    vec![
        [opening.clone(), frame(&batch), frame(&dropped)].concat(),
        [
            opening,
            frame(&late),
            frame(&batch),
            frame(&batch),
            frame(&dropped),
        ]
        .concat(),
    ]
}

/// Plays a Central that knows the probe against the frames of a probe.
fn at_central(bytes: &[u8]) -> bool {
    let row = LeaseRow {
        offered: 6,
        confirmed: 6,
    };
    let mut receiver: Option<Receiver> = None;
    let mut progress = Progress::default();
    let mut good = false;
    each_frame(bytes, |header, payload| {
        let Some(session) = &mut receiver else {
            let Ok(hello) = decode_as::<Hello>(header, payload) else {
                return;
            };
            if let Verdict::Accept(accept) = judge(row, &hello, None) {
                let mut session = Receiver::new(&accept, Tick(0));
                let committed = |epoch, lane| LaneCommitted {
                    epoch,
                    lane,
                    watermark: u64::MAX >> 1,
                    ranges: vec![(u64::MAX - 9, u64::MAX - 1); 1_024],
                };
                let known = Known {
                    committed: hello
                        .held
                        .iter()
                        .map(|held| committed(held.epoch, held.lane))
                        .chain([committed(EPOCH, 0)])
                        .take(64)
                        .collect(),
                    ..Known::default()
                };
                let answer = frame(&session.answer(&accept, &hello, known));
                assert!(
                    answer.len() <= FRAME_LIMIT,
                    "an answer of {} bytes",
                    answer.len()
                );
                receiver = Some(session);
            }
            return;
        };
        if let Ok(part) = decode_as::<SnapshotPart>(header, payload) {
            if let Ok(SnapshotStep::Complete(_)) = session.snapshot_part(part) {
                session.confirmed();
            }
        } else if let Ok(batch) = decode_as::<Batch>(header, payload) {
            if session.batch(&batch).is_ok() {
                progress.admit_within(batch.seq, 1_024);
                session.ack(Decided {
                    committed: progress.to_committed(batch.epoch, Lane::Samples),
                    seqs: vec![batch.seq],
                    conflicts: Vec::new(),
                    want_layouts: Vec::new(),
                });
                good = true;
            }
        } else if let Ok(dropped) = decode_as::<Dropped>(header, payload)
            && session.dropped(&dropped).is_ok()
        {
            progress.cover(dropped.from_seq, dropped.to_seq);
            assert!(progress.holds(dropped.to_seq));
        }
    });
    good
}
