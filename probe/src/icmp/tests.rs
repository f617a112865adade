use std::net::Ipv6Addr;

use super::*;

/// `None` where ICMP is not permitted, with a printed line.
fn pinger(kind: SocketKind) -> Option<Pinger> {
    match Pinger::bind(PingConfig {
        kind,
        ..PingConfig::default()
    }) {
        Ok(pinger) => Some(pinger),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_address_that_answers_is_told_with_its_round_trip_time() {
    for kind in [SocketKind::Datagram, SocketKind::Raw] {
        let Some(pinger) = pinger(kind) else { continue };
        let outcome = pinger.ping("127.0.0.77".parse().unwrap(), SECOND).await;
        let rtt = outcome.rtt().unwrap_or_else(|| panic!("{outcome:?}"));
        assert!(!rtt.is_zero() && rtt < SECOND, "{rtt:?}");
        assert_eq!(pinger.kind(), kind);
        assert_eq!(pinger.stats().under_way, 0);
    }
}

#[tokio::test]
async fn a_round_tells_each_address_in_its_place() {
    let Some(pinger) = pinger(SocketKind::Any) else {
        return;
    };
    let addresses: Vec<IpAddr> = (1..=250)
        .map(|i| IpAddr::V4(Ipv4Addr::new(127, 0, 3, i)))
        .collect();
    let mut asked = addresses.clone();
    asked.insert(100, "255.255.255.255".parse().unwrap()); // the kernel will not
    asked.push(addresses[0]); // twice in one round
    let outcomes = pinger.round(&asked, Pace::FlatOut, SECOND).await;
    assert_eq!(outcomes.len(), asked.len());
    for (address, outcome) in asked.iter().zip(&outcomes) {
        if address.to_string() == "255.255.255.255" {
            assert!(
                matches!(outcome, PingOutcome::NotSent { .. }),
                "{outcome:?}"
            );
        } else {
            assert!(outcome.is_reply(), "{address} {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_sweep_of_more_than_65536_addresses_loses_none() {
    let Some(pinger) = pinger(SocketKind::Any) else {
        return;
    };
    let addresses = (0..70_000_u32).map(|i| Ipv4Addr::from(0x7f10_0000 + i));
    let mut sweep = pinger.sweep(addresses, Pace::FlatOut, Duration::from_secs(5));
    let mut seen = std::collections::HashSet::new();
    while let Some((address, outcome)) = sweep.next().await {
        assert!(
            outcome.is_reply() || matches!(outcome, PingOutcome::NotSent { .. }),
            "{address} {outcome:?}"
        );
        assert!(seen.insert(address), "{address} twice");
    }
    assert_eq!(seen.len(), 70_000);
    assert_eq!(pinger.stats().under_way, 0);
}

#[tokio::test]
async fn the_pace_is_kept() {
    let Some(pinger) = pinger(SocketKind::Any) else {
        return;
    };
    let addresses: Vec<IpAddr> = (1..=50)
        .map(|i| IpAddr::V4(Ipv4Addr::new(127, 0, 4, i)))
        .collect();
    let start = Instant::now();
    let outcomes = pinger.round(&addresses, Pace::PerSecond(200), SECOND).await;
    let took = start.elapsed();
    assert!(outcomes.iter().all(|outcome| outcome.is_reply()));
    assert!(took >= Duration::from_millis(230), "50 at 200/s: {took:?}");
}

#[tokio::test]
async fn a_sweep_that_is_dropped_leaves_nothing_under_way() {
    let Some(pinger) = pinger(SocketKind::Raw) else {
        return;
    };
    let mut sweep = pinger.sweep(
        (1..=200).map(|i| Ipv4Addr::new(127, 0, 5, i)),
        Pace::FlatOut,
        SECOND,
    );
    sweep.next().await.unwrap();
    drop(sweep);
    assert_eq!(pinger.stats().under_way, 0);
}

/// What the receiving task makes of datagrams, without a network: forged ones above all.
#[tokio::test]
async fn only_a_reply_with_our_token_is_an_answer() {
    let Some(pinger) = pinger(SocketKind::Raw) else {
        return;
    };
    let shared = &pinger.inner.shared;
    let mailbox = Arc::<Mailbox>::default();
    let key = (Ipv4Addr::new(192, 0, 2, 7), 9);
    let request = UnderWay {
        token: [7; TOKEN_OCTETS],
        sent: Sent::now(),
        to: Arc::clone(&mailbox),
        number: 0,
    };
    shared.table().insert(key, request);

    let now = Instant::now();
    assert!(
        shared
            .answered((Ipv4Addr::new(192, 0, 2, 8), 9), &[7; 56], now, None)
            .is_none(),
        "another address"
    );
    assert!(
        shared.answered((key.0, 10), &[7; 56], now, None).is_none(),
        "another number"
    );
    assert!(
        shared.answered(key, &[8; 56], now, None).is_none(),
        "another token"
    );
    assert!(
        shared.answered(key, &[7; 15], now, None).is_none(),
        "half a token"
    );
    shared.errored(key, Ipv4Addr::new(192, 0, 2, 1), 1);
    assert!(
        matches!(mailbox.take()[..], [(0, Told::Error { code: 1, .. })]),
        "an error is told, and ends nothing"
    );
    assert!(shared.answered(key, &[7; 56], now, None).is_some());
    assert!(matches!(mailbox.take()[..], [(0, Told::Reply { .. })]));
    assert!(
        shared.answered(key, &[7; 56], now, None).is_none(),
        "a second time"
    );
    let stats = pinger.stats();
    assert_eq!(
        (
            stats.accepted_total,
            stats.forged_total,
            stats.unknown_total,
            stats.errors_total
        ),
        (1, 2, 3, 1)
    );
}

#[test]
fn a_wall_clock_that_was_set_meanwhile_gives_no_absurd_time() {
    let sent = Sent {
        at: Instant::now(),
        wall_ns: 1_000_000_000,
    };
    let now = sent.at + Duration::from_millis(20);
    let millis = |n: i128| Some(1_000_000_000 + n * 1_000_000);
    assert_eq!(
        sent.rtt(now, millis(12)),
        Duration::from_millis(12),
        "the kernel saw it earlier than we did"
    );
    assert_eq!(sent.rtt(now, millis(-3000)), Duration::from_millis(20));
    assert_eq!(sent.rtt(now, millis(9000)), Duration::from_millis(20));
    assert_eq!(sent.rtt(now, None), Duration::from_millis(20));
}

#[tokio::test]
async fn ipv6_answers_too_where_there_is_any() {
    let Some(pinger) = pinger(SocketKind::Any) else {
        return;
    };
    match pinger.ping(Ipv6Addr::LOCALHOST.into(), SECOND).await {
        PingOutcome::Reply { rtt } => assert!(rtt < SECOND),
        PingOutcome::NotSent { errno } => println!("skipped: no IPv6 here ({errno})"),
        other => panic!("{other:?}"),
    }
}
