//! A probe with a good certificate and bad intentions harms its own session and nobody else's.

use std::time::Duration;

use farwatch_shared::clock::{Timestamp, boot_id};
use farwatch_shared::link::{
    Alpn, CloseCode, Closed, Connection, Dialer, FrameReceiver, FrameSender, Priority,
};
use farwatch_shared::model::{Epoch, Lane};
use farwatch_shared::wire;
use farwatch_shared::wire::codec::{FRAME_LIMIT, HEADER, Header};
use farwatch_shared::wire::message::batch::{Batch, EVENTS, SAMPLES};
use farwatch_shared::wire::message::pull::{PullRefused, PullRequest, SITE_DOCUMENT, SiteDocument};
use farwatch_shared::wire::message::session::{Ack, Hello, HelloAnswer, SnapshotPart, StreamOpen};

use crate::hall::{Box, Hall, SOON};

const EPOCH: Epoch = Epoch::new(1, 77);

/// A connection with a probe's certificate, before any word.
async fn knock(hall: &Hall, probe: &Box, alpn: Alpn) -> Connection {
    let identity = Box::identity(&probe.dir);
    let trust = identity.trust(&hall.clock);
    Dialer::new()
        .connect(
            hall.address,
            alpn,
            Some(identity.credentials()),
            trust,
            SOON,
        )
        .await
        .unwrap()
}

fn hello(hall: &Hall) -> Hello {
    Hello {
        versions: vec![1],
        program: "hostile".into(),
        host_name: "box".into(),
        os: String::new(),
        epoch: EPOCH,
        lease: 0,
        boot_id: boot_id(),
        now: hall.clock.now(),
        boot_ms: hall.clock.boot_ms(),
        held: Vec::new(),
        highest_device_no: 0,
    }
}

/// A session up to the hello's answer. Each is the first of a probe of its own, so that leases do not matter.
struct Session {
    link: Connection,
    send: FrameSender,
    receive: FrameReceiver,
    answer: HelloAnswer,
}

async fn greeted(hall: &Hall, probe: &Box) -> Session {
    let link = knock(hall, probe, Alpn::Work).await;
    let (mut send, mut receive) = link.open(Priority::Events).await.unwrap();
    send.send(&hello(hall)).await.unwrap();
    let answer: HelloAnswer = receive.expect().await.unwrap();
    assert_eq!(answer.refused, "");
    Session {
        link,
        send,
        receive,
        answer,
    }
}

impl Session {
    fn snapshot(&self) -> SnapshotPart {
        SnapshotPart {
            lease: self.answer.lease,
            part: 0,
            parts: 1,
            epoch: EPOCH,
            events_from_seq: 1,
            samples_from_seq: 1,
            at: self.answer.now,
            devices: Vec::new(),
            interfaces: Vec::new(),
        }
    }

    async fn open(mut self) -> Self {
        let snapshot = self.snapshot();
        self.send.send(&snapshot).await.unwrap();
        self
    }

    /// How Central ends it.
    async fn ends(mut self) -> CloseCode {
        let _ = self.send.flush().await;
        match tokio::time::timeout(SOON, self.link.closed())
            .await
            .expect("Central closes")
        {
            Closed::ByPeer { code, .. } => code,
            other => panic!("{other:?}"),
        }
    }
}

fn batch(lane: Lane, seq: u64, kind: u16, body: &[u8]) -> Batch {
    Batch {
        epoch: EPOCH,
        lane: lane.code(),
        seq,
        kind,
        version: 1,
        crc: crc32(body),
        boot_id: boot_id(),
        boot_ms: 0,
        closed: Timestamp(0),
        from: Timestamp(0),
        to: Timestamp(0),
        body: body.to_vec(),
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_protocol_ends_its_own_session_and_no_other() {
    let hall = Hall::open().await;
    let mut honest = Box::join(&hall, "honest").await;
    honest.start();
    honest.connected().await;
    let mut number = 0;
    let mut fresh = async || {
        number += 1;
        let probe = Box::join(&hall, &format!("hostile-{number}")).await;
        greeted(&hall, &probe).await
    };
    let mut ends = Vec::new();

    let mut early = fresh().await;
    early.send.queue(&batch(Lane::Samples, 1, SAMPLES, b"x"));
    ends.push(("a batch before the snapshot", early.ends().await));

    let mut giant = fresh().await;
    giant.send.queue_payload(16, 1, &vec![0; FRAME_LIMIT + 1]);
    ends.push(("a frame over the limit", giant.ends().await));

    let mut garbage = fresh().await;
    garbage.send.queue_payload(3, 1, &[0xff; 100]);
    ends.push(("a snapshot of garbage", garbage.ends().await));

    let mut lying = fresh().await;
    lying.send.queue_payload(
        3,
        1,
        &[
            1, 0, 1, 0, 0, 0, 0, 253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
        ],
    );
    ends.push(("a length that lies", lying.ends().await));

    let mut parts = fresh().await;
    let many = SnapshotPart {
        parts: u32::MAX,
        ..parts.snapshot()
    };
    parts.send.queue(&many);
    ends.push((
        "a snapshot of four thousand million parts",
        parts.ends().await,
    ));

    let mut lease = fresh().await;
    let other = SnapshotPart {
        lease: 99,
        ..lease.snapshot()
    };
    lease.send.queue(&other);
    ends.push(("another lease", lease.ends().await));

    let mut lane = fresh().await.open().await;
    lane.send.queue(&Batch {
        lane: 7,
        ..batch(Lane::Events, 1, EVENTS, b"")
    });
    ends.push(("a lane that is none", lane.ends().await));

    for seq in [0, u64::MAX] {
        let mut session = fresh().await.open().await;
        session.send.queue(&batch(Lane::Events, seq, EVENTS, b""));
        ends.push(("a seq out of range", session.ends().await));
    }

    let twice = fresh().await.open().await;
    for _ in 0..2 {
        let (mut send, _receive) = twice.link.open(Priority::Live).await.unwrap();
        send.send(&StreamOpen { kind: 2 }).await.unwrap();
        std::mem::forget((send, _receive));
    }
    ends.push(("two live streams", twice.ends().await));

    let again = fresh().await.open().await;
    ends.push(("a second snapshot", again.open().await.ends().await));

    for (what, code) in ends {
        assert_eq!(code, CloseCode::Protocol, "{what}");
    }
    honest.samples(5, 1_000).await;
    honest.all_acknowledged().await;
    assert_eq!(hall.samples.count(), 5, "only the honest one's");
    assert_eq!(hall.registry.sessions().len(), 1);
    honest.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_applied_is_kept_and_acknowledged() {
    let hall = Hall::open().await;
    let probe = Box::join(&hall, "one").await;
    let mut session = greeted(&hall, &probe).await.open().await;
    let damaged = Batch {
        crc: 1,
        ..batch(Lane::Events, 1, EVENTS, b"damaged")
    };
    let unreadable = batch(Lane::Events, 2, EVENTS, &[0xff; 40]);
    let unknown = batch(Lane::Events, 3, 999, b"from the future");
    let damaged_samples = Batch {
        crc: 1,
        ..batch(Lane::Samples, 1, SAMPLES, b"damaged")
    };
    for batch in [damaged, unreadable, unknown, damaged_samples] {
        session.send.queue(&batch);
    }
    session.send.flush().await.unwrap();
    let (mut events, mut samples) = (0, 0);
    while events < 3 || samples < 1 {
        let ack: Ack = tokio::time::timeout(SOON, session.receive.expect())
            .await
            .unwrap()
            .unwrap();
        let watermark = ack.committed.watermark;
        if ack.committed.lane == Lane::Events.code() {
            events = watermark
        } else {
            samples = watermark
        }
    }
    assert_eq!(hall.count("SELECT count(*) FROM undecoded_events").await, 2);
    assert_eq!(hall.count("SELECT quarantined FROM lane_progress").await, 1);
    assert_eq!(hall.samples.dropped().len(), 1);
    assert!(session.link.close_reason().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_and_streams_are_held_back() {
    let hall = Hall::open().await;
    let mut honest = Box::join(&hall, "honest").await;
    honest.start();
    honest.connected().await;
    let probe = Box::join(&hall, "hostile").await;
    let mut session = greeted(&hall, &probe).await.open().await;

    // Streams: as many as the transport allows, each silent; the next one is not even opened.
    let mut open = Vec::new();
    let beyond = tokio::time::timeout(Duration::from_millis(500), async {
        loop {
            let (mut send, receive) = session.link.open(Priority::Live).await.unwrap();
            send.queue_payload(9_999, 1, b"of a later version");
            send.flush().await.unwrap();
            open.push((send, receive));
        }
    })
    .await;
    assert!(beyond.is_err());
    assert!(open.len() < 20, "{} streams", open.len());

    // Frames of no known type, a hundred thousand of them: skipped, while the other probe is served.
    let flood = async {
        for _ in 0..1_000 {
            for _ in 0..100 {
                session.send.queue_payload(9_999, 1, b"");
            }
            session.send.flush().await.unwrap();
        }
        session
            .send
            .send(&batch(Lane::Samples, 1, SAMPLES, b"after the flood"))
            .await
            .unwrap();
        session.receive.expect::<Ack>().await.unwrap()
    };
    let served = async {
        for _ in 0..20 {
            assert!(hall.registry.echo(honest.id).await.is_ok());
        }
        honest.samples(5, 1_000).await;
        honest.all_acknowledged().await;
    };
    let (ack, ()) = tokio::join!(flood, served);
    assert_eq!(ack.committed.watermark, 1);
    assert_eq!(hall.samples.count(), 6);
    honest.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulls_without_end_are_refused() {
    let hall = Hall::open().await;
    let probe = Box::join(&hall, "one").await;
    let session = greeted(&hall, &probe).await.open().await;
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..650 {
        let (mut send, mut receive) = session.link.open(Priority::Events).await.unwrap();
        send.send(&PullRequest {
            what: SITE_DOCUMENT,
            after: 0,
            argument: Vec::new(),
        })
        .await
        .unwrap();
        send.finish();
        let frame = receive.next().await.unwrap().unwrap();
        answered += usize::from(frame.is::<SiteDocument>());
        refused += usize::from(frame.is::<PullRefused>());
    }
    assert!(
        answered >= 500 && refused > 0,
        "{answered} answered, {refused} refused"
    );
    assert!(session.link.close_reason().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_from_whoever_is_not_let_in() {
    let hall = Hall::open().await;
    let probe = Box::join(&hall, "one").await;
    // A good certificate does not join again.
    let link = knock(&hall, &probe, Alpn::Join).await;
    let closed = tokio::time::timeout(SOON, link.closed()).await.unwrap();
    assert!(
        matches!(
            closed,
            Closed::ByPeer {
                code: CloseCode::Refused,
                ..
            }
        ),
        "{closed:?}"
    );
    // No certificate does not work. Whether the stream still opens is a race that does not matter.
    let trust = Box::identity(&probe.dir).trust(&hall.clock);
    let link = Dialer::new()
        .connect(hall.address, Alpn::Work, None, trust, SOON)
        .await
        .unwrap();
    if let Ok((mut send, _receive)) = link.open(Priority::Events).await {
        let _ = send.send(&hello(&hall)).await;
    }
    let closed = tokio::time::timeout(SOON, link.closed()).await.unwrap();
    assert!(
        matches!(
            closed,
            Closed::ByPeer {
                code: CloseCode::Refused,
                ..
            }
        ),
        "{closed:?}"
    );
    // Renewing is not working: a hello there is no request.
    let link = knock(&hall, &probe, Alpn::Renew).await;
    let (mut send, _receive) = link.open(Priority::Events).await.unwrap();
    send.send(&hello(&hall)).await.unwrap();
    let closed = tokio::time::timeout(SOON, link.closed()).await.unwrap();
    assert!(
        matches!(
            closed,
            Closed::ByPeer {
                code: CloseCode::Protocol,
                ..
            }
        ),
        "{closed:?}"
    );
    assert!(hall.registry.sessions().is_empty());
    assert_eq!(hall.count("SELECT lease_offered FROM probes").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_is_none_is_shown_out() {
    let hall = Hall::open().await;
    let probe = Box::join(&hall, "one").await;
    let payloads: [(u16, Vec<u8>); 4] = [
        (1, vec![0xff; 64]),
        (1, Vec::new()),
        (16, wire::encode(&batch(Lane::Events, 1, EVENTS, b""))),
        (9_999, vec![0; 10]),
    ];
    for (kind, payload) in payloads {
        let link = knock(&hall, &probe, Alpn::Work).await;
        let (mut send, _receive) = link.open(Priority::Events).await.unwrap();
        send.queue_payload(kind, 1, &payload);
        let _ = send.flush().await;
        let closed = tokio::time::timeout(SOON, link.closed()).await.unwrap();
        assert!(
            matches!(
                closed,
                Closed::ByPeer {
                    code: CloseCode::Protocol,
                    ..
                }
            ),
            "{closed:?}"
        );
    }
    let header = Header {
        len: u32::MAX,
        kind: 1,
        version: 1,
    }
    .to_bytes();
    assert_eq!(header.len(), HEADER);
    let session = greeted(&hall, &probe).await;
    assert_eq!(
        session.answer.lease, 1,
        "none of them had been given a lease"
    );
}
