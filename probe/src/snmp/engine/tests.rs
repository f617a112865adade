//! The engine against agents that behave, and against those that do not.

mod agent;
mod security;

use std::time::Duration;

use farwatch_shared::oid::{Index, Oid};
use tokio::time::{Instant, timeout};

use self::agent::{Agent, Asked, IN, OUT, Sent, device, scalar};
use super::{Engine, EngineConfig};
use crate::snmp::{
    Dropped, ErrorStatus, GetError, Limits, Plan, Rows, TablePlan, Value, VarBind, WalkError,
    ber::BerError,
};

const MIB_2: Oid = Oid::of(&[1, 3, 6, 1, 2, 1]);

fn engine() -> Engine {
    Engine::bind(EngineConfig::default()).unwrap()
}

/// Impatient, so that tests are quick.
fn limits() -> Limits {
    Limits {
        deadline: Duration::from_secs(8),
        attempts: 3,
        retry_after: Duration::from_millis(150),
        max_values: 100_000,
    }
}

fn columns(rows: Rows) -> Plan {
    Plan {
        scalars: vec![scalar(1), scalar(3)],
        tables: vec![TablePlan {
            columns: vec![IN, OUT],
            rows,
        }],
    }
}

/// Waits for what another task brings about.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_late_answer_is_still_the_answer() {
    let device = device(3);
    let agent =
        Agent::start(move |asked| vec![asked.reply(&device).after(Duration::from_millis(400))])
            .await;
    let engine = engine();
    let got = engine
        .get(&agent.target(), &[scalar(1)], limits())
        .await
        .unwrap();
    assert_eq!(got[0].value, Value::octets("pretend"));
    eventually(
        "the answers to the second and third attempt are dropped",
        || engine.stats().dropped(Dropped::UnknownId) == 2,
    )
    .await;
    assert_eq!(engine.stats().sent_again_total, 2);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_harms_no_later_request() {
    let device = device(3);
    let mut first = true;
    let agent = Agent::start(move |asked| {
        let delay = if std::mem::take(&mut first) { 200 } else { 0 };
        vec![asked.reply(&device).after(Duration::from_millis(delay))]
    })
    .await;
    let engine = engine();
    let once = Limits::once(Duration::from_millis(100));
    assert!(
        engine
            .get(&agent.target(), &[scalar(1)], once)
            .await
            .unwrap_err()
            .is_silence()
    );
    for _ in 0..10 {
        let got = engine
            .get(&agent.target(), &[scalar(3)], limits())
            .await
            .unwrap();
        assert_eq!(got, [VarBind::new(scalar(3), Value::TimeTicks(4711))]);
    }
    eventually("the late one is counted", || {
        engine.stats().dropped(Dropped::UnknownId) == 1
    })
    .await;
    assert_eq!(engine.stats().under_way, 0);
}

#[tokio::test]
async fn answers_in_another_order_reach_whom_they_belong_to() {
    let device = device(3);
    let mut held: Option<Sent> = None;
    let agent = Agent::start(move |asked| match held.take() {
        None => {
            held = Some(asked.reply(&device));
            Vec::new()
        }
        Some(first) => vec![asked.reply(&device), first],
    })
    .await;
    let engine = Engine::bind(EngineConfig {
        requests_per_device: 2,
        ..EngineConfig::default()
    })
    .unwrap();
    let target = agent.target();
    let (asked_1, asked_3) = ([scalar(1)], [scalar(3)]);
    let (a, b) = tokio::join!(
        engine.get(&target, &asked_1, limits()),
        engine.get(&target, &asked_3, limits())
    );
    assert_eq!(a.unwrap()[0].oid, scalar(1));
    assert_eq!(b.unwrap()[0].oid, scalar(3));
    assert_eq!(agent.asked().len(), 2, "nothing had to be asked again");
}

#[tokio::test]
async fn forged_answers_are_dropped_and_counted_and_the_true_one_is_taken() {
    let device = device(3);
    let agent = Agent::start(move |asked| {
        let mut forged = asked.answer(&device);
        forged.varbinds[0].value = Value::octets("forged");
        let from_elsewhere = Sent::from(asked.seal(&forged)).elsewhere();
        let other_id = asked.seal(&super::super::pdu::Answer {
            request_id: asked.id ^ 1,
            ..forged.clone()
        });
        let other_version = Asked {
            version: 0,
            ..asked.clone()
        }
        .seal(&forged);
        let request_back = asked.octets.clone();
        let cut = asked.octets[..20].to_vec();
        let lie = [
            &[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff][..],
            &asked.octets[2..],
        ]
        .concat();
        let garbage = vec![0xff; 1400];
        let mut sent = vec![from_elsewhere];
        sent.extend(
            [
                other_id,
                other_version,
                request_back,
                cut,
                lie,
                garbage,
                Vec::new(),
            ]
            .map(Sent::from),
        );
        sent.push(asked.reply(&device).after(Duration::from_millis(30)));
        sent
    })
    .await;
    let engine = engine();
    let got = engine
        .get(&agent.target(), &[scalar(1)], limits())
        .await
        .unwrap();
    assert_eq!(got[0].value, Value::octets("pretend"));
    let stats = engine.stats();
    assert_eq!(stats.dropped(Dropped::WrongSource), 1);
    assert_eq!(stats.dropped(Dropped::UnknownId), 1);
    assert_eq!(stats.dropped(Dropped::WrongVersion), 1);
    assert_eq!(stats.accepted_total, 1);
    // our own request, the cut one, the lie, the garbage and the empty one
    assert_eq!(stats.dropped(Dropped::Malformed), 5, "{stats:?}");
    assert_eq!(agent.asked().len(), 1);
}

#[tokio::test]
async fn an_answer_of_ours_that_cannot_be_read_says_so_at_once() {
    let device = device(3);
    let agent = Agent::start(move |asked| {
        let mut octets = asked.seal(&asked.answer(&device));
        let last = octets.len() - 1;
        octets[last - 7] = 0x7f; // the length of the last string
        vec![octets.into()]
    })
    .await;
    let engine = engine();
    let start = Instant::now();
    let error = engine
        .get(&agent.target(), &[scalar(1)], limits())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            GetError::Malformed {
                source: BerError::Truncated,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(start.elapsed() < Duration::from_millis(140));
}

#[tokio::test]
async fn a_walk_that_turns_in_circles_is_cut_and_keeps_what_it_read() {
    let device = device(200);
    let agent = Agent::start(move |asked| {
        let mut answer = asked.answer(&device);
        if answer
            .varbinds
            .iter()
            .any(|varbind| varbind.oid == IN.child(150))
        {
            answer
                .varbinds
                .iter_mut()
                .for_each(|varbind| varbind.oid = IN.child(3));
        }
        vec![asked.seal(&answer).into()]
    })
    .await;
    let walk = engine().walk(&agent.target(), &IN, limits()).await.unwrap();
    assert!(
        matches!(walk.cut, Some(WalkError::NotIncreasing { .. })),
        "{:?}",
        walk.cut
    );
    assert!(walk.varbinds.len() >= 64);
    assert!(walk.varbinds.is_sorted_by(|a, b| a.oid < b.oid));
}

#[tokio::test]
async fn an_endless_device_is_cut_at_the_limit() {
    let agent = Agent::start(|asked| {
        let mut answer = asked.answer(&device(1));
        let last = asked.names[0].last().unwrap();
        for (i, varbind) in (1_u32..).zip(&mut answer.varbinds) {
            *varbind = VarBind::new(
                IN.child(if asked.names[0] == IN { i } else { last + i }),
                Value::Integer(1),
            );
        }
        vec![asked.seal(&answer).into()]
    })
    .await;
    let few = Limits {
        max_values: 1000,
        ..limits()
    };
    let walk = engine().walk(&agent.target(), &IN, few).await.unwrap();
    assert!(matches!(
        walk.cut,
        Some(WalkError::TooManyValues {
            max_values: 1000,
            ..
        })
    ));
    assert!((1000..1200).contains(&walk.varbinds.len()));
}

#[tokio::test]
async fn a_deadline_is_hard_and_keeps_what_was_read() {
    let device = device(1000);
    let agent = Agent::start(move |asked| {
        let mut answer = asked.answer(&device);
        answer.varbinds.truncate(1);
        vec![Sent::from(asked.seal(&answer)).after(Duration::from_millis(40))]
    })
    .await;
    let start = Instant::now();
    let brief = limits().with_deadline(Duration::from_millis(500));
    let walk = engine().walk(&agent.target(), &MIB_2, brief).await.unwrap();
    let took = start.elapsed();
    assert!(
        matches!(walk.cut, Some(WalkError::OutOfTime { .. })),
        "{:?}",
        walk.cut
    );
    assert!(
        (4..20).contains(&walk.varbinds.len()),
        "{}",
        walk.varbinds.len()
    );
    assert!(took < Duration::from_millis(700), "{took:?}");
}

#[tokio::test]
async fn huge_strings_arrive_whole() {
    let mut device = device(1);
    let long = "x".repeat(60_000);
    device.set(scalar(1), Value::octets(&long));
    let agent = Agent::start(move |asked| vec![asked.reply(&device)]).await;
    let got = engine()
        .get(&agent.target(), &[scalar(1)], limits())
        .await
        .unwrap();
    assert_eq!(got[0].value, Value::octets(&long));
}

#[tokio::test]
async fn a_device_that_finds_requests_too_big_is_asked_for_less_and_that_is_remembered() {
    let recorded = device(100);
    let agent = Agent::start(move |asked| {
        let answer = if asked.names.len() > 10 {
            asked.refusal(ErrorStatus::TooBig, 0)
        } else {
            asked.answer(&recorded)
        };
        vec![asked.seal(&answer).into()]
    })
    .await;
    let (engine, target) = (engine(), agent.target());
    let oids: Vec<Oid> = (1..=60).map(|row| IN.child(row)).collect();
    for round in 0..2 {
        let before = agent.asked().len();
        let got = engine.get(&target, &oids, limits()).await.unwrap();
        assert_eq!(got.len(), 60);
        assert_eq!(got[59].value, Value::Counter32(600));
        let asked = agent.asked()[before..].to_vec();
        assert_eq!(
            asked.iter().any(|asked| asked.names.len() > 10),
            round == 0,
            "round {round}"
        );
    }
}

#[tokio::test]
async fn a_device_that_is_silent_when_asked_for_much_is_read_whole_all_the_same() {
    let recorded = device(300);
    let silent = recorded.clone();
    let agent = Agent::start(move |asked| {
        let values = asked.names.len() * asked.max_repetitions.max(1);
        if values > 20 {
            Vec::new()
        } else {
            vec![asked.reply(&silent)]
        }
    })
    .await;
    let (engine, target) = (engine(), agent.target());
    let walk = engine.walk(&target, &MIB_2, limits()).await.unwrap();
    assert!(walk.cut.is_none(), "{:?}", walk.cut);
    assert_eq!(walk.varbinds, recorded.under(&MIB_2).collect::<Vec<_>>());

    let again = engine.walk(&target, &MIB_2, limits()).await.unwrap();
    assert_eq!(again.cost.sent_again, 0, "it was remembered");
    assert!(again.cost.requests < 60, "{:?}", again.cost);
}

#[tokio::test]
async fn a_device_that_is_gone_costs_two_questions_and_no_more() {
    let device = device(2_000);
    let mut left = 3;
    let agent = Agent::start(move |asked| {
        left -= 1;
        if left >= 0 {
            vec![asked.reply(&device)]
        } else {
            Vec::new()
        }
    })
    .await;
    let walk = engine()
        .walk(&agent.target(), &MIB_2, limits())
        .await
        .unwrap();
    assert!(
        matches!(walk.cut, Some(WalkError::Get(GetError::Timeout { .. }))),
        "{:?}",
        walk.cut
    );
    assert!(!walk.varbinds.is_empty());
    assert_eq!(
        agent.asked().len(),
        3 + 3 + 1,
        "three attempts and a single cheap one"
    );
}

#[tokio::test]
async fn lost_datagrams_are_asked_for_again() {
    let recorded = device(100);
    let (lossy, mut n) = (recorded.clone(), 0);
    let agent = Agent::start(move |asked| {
        n += 1;
        if n % 3 == 0 {
            Vec::new()
        } else {
            vec![asked.reply(&lossy)]
        }
    })
    .await;
    let walk = engine()
        .walk(&agent.target(), &MIB_2, limits())
        .await
        .unwrap();
    assert!(walk.cut.is_none());
    assert_eq!(walk.varbinds, recorded.under(&MIB_2).collect::<Vec<_>>());
    assert!(walk.cost.sent_again > 0);
}

#[tokio::test]
async fn v1_drops_the_name_it_does_not_know_and_asks_for_the_others() {
    let recorded = device(5);
    let device = recorded.clone();
    let agent = Agent::start(move |asked| vec![asked.reply(&device)]).await;
    let (engine, target) = (engine(), agent.v1());
    let asked = [scalar(1), scalar(2), IN.child(2), IN.child(99), scalar(3)];
    let got = engine.get(&target, &asked, limits()).await.unwrap();
    assert_eq!(
        got.iter()
            .map(|varbind| varbind.oid.clone())
            .collect::<Vec<_>>(),
        asked
    );
    assert_eq!(got[1].value, Value::NoSuchInstance);
    assert_eq!(got[3].value, Value::NoSuchInstance);
    assert_eq!(got[4].value, Value::TimeTicks(4711));
    assert_eq!(agent.asked().len(), 3);

    let walk = engine
        .walk(&target, &Oid::of(&[1, 3]), limits())
        .await
        .unwrap();
    assert_eq!(
        walk.varbinds.len(),
        recorded.len(),
        "to the end of everything"
    );
    assert!(walk.cut.is_none());
    let reading = engine
        .read(&target, &columns(Rows::All), limits())
        .await
        .unwrap();
    assert_eq!(reading.tables[0].rows().len(), 5);
    assert_eq!(reading.scalars.len(), 2);
    assert!(
        agent.asked().iter().all(|asked| asked.kind != 0xa5),
        "a v1 agent is never asked by GETBULK"
    );
}

#[tokio::test]
async fn a_plan_takes_the_cheapest_way() {
    let recorded = device(48);
    let agent = Agent::start(move |asked| vec![asked.reply(&recorded)]).await;
    let (engine, target) = (engine(), agent.target());
    let rows = |range: std::ops::RangeInclusive<u32>| range.map(Index::from).collect::<Vec<_>>();

    let all = engine
        .read(&target, &columns(Rows::All), limits())
        .await
        .unwrap();
    assert_eq!(all.tables[0].rows().len(), 48);
    assert_eq!(all.scalars.len(), 2);

    // 98 values of some 20 octets: two packets, the scalars riding along
    let known = engine
        .read(&target, &columns(Rows::Known(rows(1..=48))), limits())
        .await
        .unwrap();
    assert_eq!(known.tables[0].rows().len(), 48);
    assert_eq!(known.scalar(&scalar(3)), Some(&Value::TimeTicks(4711)));
    assert_eq!((known.cost.requests, known.cost.varbinds), (2, 98));
    assert_eq!(
        known.tables[0].value(1, &7.into()),
        Some(&Value::Counter64(7 << 40))
    );

    let before = agent.asked().len();
    let only = engine
        .read(&target, &columns(Rows::Only(rows(40..=43))), limits())
        .await
        .unwrap();
    assert_eq!(
        only.tables[0].rows().into_keys().collect::<Vec<_>>(),
        rows(40..=43)
    );
    let asked = &agent.asked()[before..];
    assert_eq!(
        (asked.len(), asked[0].kind, asked[0].names.len()),
        (1, 0xa0, 10)
    );
}

#[tokio::test]
async fn a_column_that_is_refused_costs_no_other() {
    for status in [ErrorStatus::AuthorizationError, ErrorStatus::GenErr] {
        let recorded = device(40);
        let agent = Agent::start(move |asked| {
            let forbidden = |name: &Oid| name.starts_with(&IN);
            let answer = match asked.names.iter().any(forbidden) {
                true => asked.refusal(status, 0),
                false => asked.answer(&recorded),
            };
            vec![asked.seal(&answer).into()]
        })
        .await;
        let (engine, target) = (engine(), agent.target());
        let reading = engine
            .read(&target, &columns(Rows::All), limits())
            .await
            .unwrap();
        let cut = reading.cut.as_ref().unwrap();
        assert!(
            matches!(cut, WalkError::Get(GetError::Refused { status: said, .. }) if *said == status),
            "{cut:?}"
        );
        assert_eq!(reading.tables[0].columns[0].cells.len(), 0);
        assert_eq!(reading.tables[0].columns[1].cells.len(), 40);
        assert_eq!(reading.scalars.len(), 2);

        let again = engine.walk(&target, &OUT, limits()).await.unwrap();
        assert_eq!(
            again.cost.requests, 1,
            "it was not for the size: {:?}",
            again.cost
        );
    }
}

#[tokio::test]
async fn an_agent_without_getbulk_is_read_by_getnext() {
    let recorded = device(20);
    let device = recorded.clone();
    let agent = Agent::start(move |asked| {
        let answer = match asked.kind {
            0xa5 => asked.refusal(ErrorStatus::GenErr, 0),
            _ => asked.answer(&device),
        };
        vec![asked.seal(&answer).into()]
    })
    .await;
    let walk = engine()
        .walk(&agent.target(), &MIB_2, limits())
        .await
        .unwrap();
    assert!(walk.cut.is_none(), "{:?}", walk.cut);
    assert_eq!(walk.varbinds, recorded.under(&MIB_2).collect::<Vec<_>>());
}

#[tokio::test]
async fn scalars_that_could_not_ride_along_are_read_all_the_same() {
    let recorded = device(20);
    let agent = Agent::start(move |asked| {
        let values = asked.names.len() * asked.max_repetitions.max(1);
        if values > 3 {
            Vec::new()
        } else {
            vec![asked.reply(&recorded)]
        }
    })
    .await;
    let reading = engine()
        .read(&agent.target(), &columns(Rows::All), limits())
        .await
        .unwrap();
    assert!(reading.cut.is_none(), "{:?}", reading.cut);
    assert_eq!(reading.scalars.len(), 2);
    assert_eq!(reading.tables[0].rows().len(), 20);
}

#[tokio::test]
async fn rows_that_went_and_rows_that_came_are_told_apart() {
    let mut recorded = device(30);
    recorded.remove(&IN.child(17));
    recorded.remove(&OUT.child(17));
    let agent = Agent::start(move |asked| vec![asked.reply(&recorded)]).await;
    // known from before: 10 to 19, but not 15
    let known: Vec<Index> = (10..=19)
        .filter(|row| *row != 15)
        .map(Index::from)
        .collect();
    let engine = engine();
    let numbers = engine
        .read(
            &agent.target(),
            &columns(Rows::Numbers(known.clone())),
            limits(),
        )
        .await
        .unwrap();
    let reading = engine
        .read(&agent.target(), &columns(Rows::Known(known)), limits())
        .await
        .unwrap();
    assert!(numbers.tables[0].rows().is_empty(), "in other room");
    for (column, row) in (0..2).flat_map(|column| (8..=21).map(move |row| (column, row))) {
        let cell = reading.tables[0].value(column, &row.into());
        for place in [0, 3, 99] {
            assert_eq!(
                numbers.tables[0].number_near(column, row, place),
                cell.and_then(Value::as_u64),
                "column {column}, row {row}"
            );
        }
    }
    let seen: Vec<u32> = reading.tables[0]
        .rows()
        .into_keys()
        .filter_map(|row| row.single())
        .collect();
    assert_eq!(
        seen,
        [10, 11, 12, 13, 14, 15, 16, 18, 19],
        "17 is gone, and 15 came along"
    );
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing_behind() {
    let agent = Agent::start(|_| Vec::new()).await;
    let engine = engine();
    let brief = Duration::from_millis(50);
    assert!(
        timeout(brief, engine.get(&agent.target(), &[scalar(1)], limits()))
            .await
            .is_err()
    );
    assert!(
        timeout(brief, engine.walk(&agent.target(), &MIB_2, limits()))
            .await
            .is_err()
    );
    let stats = engine.stats();
    assert_eq!(
        (stats.under_way, stats.devices),
        (0, 0),
        "not even the device: it never answered"
    );
    assert_eq!(stats.sent_total, 2);
}

#[tokio::test]
async fn a_device_is_asked_one_thing_at_a_time_unless_it_is_allowed_more() {
    for allowed in [1, 4] {
        let device = device(3);
        let busy = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let agent =
            Agent::start(move |asked| vec![asked.reply(&device).after(Duration::from_millis(30))])
                .await;
        let config = EngineConfig {
            requests_per_device: allowed,
            ..EngineConfig::default()
        };
        let engine = Engine::bind(config).unwrap();
        let target = agent.target();
        let oids = [scalar(1)];
        let gets = (0..8).map(|_| engine.get(&target, &oids, limits()));
        let most = async {
            loop {
                busy.fetch_max(
                    engine.stats().under_way,
                    std::sync::atomic::Ordering::Relaxed,
                );
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        tokio::select! {
            results = futures::future::join_all(gets) => assert!(results.iter().all(Result::is_ok)),
            () = most => {}
        }
        assert_eq!(busy.load(std::sync::atomic::Ordering::Relaxed), allowed);
    }
}

#[tokio::test]
async fn ipv6_devices_are_asked_alike() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        println!("skipped: no IPv6 here");
        return;
    }
    let device = device(30);
    let agent = Agent::start_on("::1", move |asked| vec![asked.reply(&device)]).await;
    let walk = engine()
        .walk(&agent.target(), &MIB_2, limits())
        .await
        .unwrap();
    assert!(walk.cut.is_none());
    assert_eq!(walk.varbinds.len(), 62);
}

#[tokio::test]
async fn an_address_without_a_way_to_it_is_told_at_once() {
    let engine = engine();
    let nowhere = crate::snmp::Target::new(
        "255.255.255.255:161".parse().unwrap(),
        crate::snmp::Auth::v2c("public"),
    );
    let start = Instant::now();
    let error = engine
        .get(&nowhere, &[scalar(1)], limits())
        .await
        .unwrap_err();
    assert!(matches!(error, GetError::Send { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_millis(140));
    assert_eq!(engine.stats().devices, 0);
}

#[tokio::test]
async fn hostile_devices_harm_only_themselves() {
    let mut agents = Vec::new();
    for i in 0..60_u32 {
        let device = device(60);
        agents.push(
            Agent::start_on(&format!("127.0.7.{}", i + 1), move |asked| match i % 6 {
                0 => vec![vec![0x30; 1400].into(); 20],
                1 => vec![asked.octets.clone().into(); 20],
                2 => {
                    let mut answer = asked.answer(&device);
                    answer
                        .varbinds
                        .iter_mut()
                        .for_each(|varbind| varbind.oid = IN.child(1));
                    vec![asked.seal(&answer).into()]
                }
                3 => Vec::new(),
                4 => vec![asked.seal(&asked.refusal(ErrorStatus::GenErr, 0)).into()],
                _ => vec![asked.reply(&device)],
            })
            .await,
        );
    }
    let engine = engine();
    let walks = agents.iter().enumerate().map(|(i, agent)| {
        let engine = engine.clone();
        async move {
            let start = Instant::now();
            let walk = engine.walk(&agent.target(), &MIB_2, limits()).await;
            (i % 6, walk, start.elapsed())
        }
    });
    for (kind, walk, took) in futures::future::join_all(walks).await {
        assert!(took < Duration::from_secs(3), "kind {kind} took {took:?}");
        match kind {
            5 => {
                assert_eq!(walk.unwrap().varbinds.len(), 122);
                assert!(
                    took < Duration::from_secs(1),
                    "the honest are on time: {took:?}"
                );
            }
            2 => assert!(walk.unwrap().cut.is_some()),
            _ => assert!(walk.is_err(), "kind {kind}"),
        }
    }
    assert_eq!(engine.stats().under_way, 0);
    assert_eq!(engine.stats().dropped(Dropped::DecoderPanicked), 0);
}
