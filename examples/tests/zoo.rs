//! The zoo's agents do what they are there for, and the site's programme happens when it says.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use farwatch_examples::agent::{GET_NEXT, Pdu};
use farwatch_examples::ber::{self, Reader};
use farwatch_examples::timeline::Cycle;
use farwatch_examples::truth::Truth;
use farwatch_examples::{Column, Device, Hostile, Oid, Site, Timeline, Value};
use tokio::net::UdpSocket;

#[tokio::test]
async fn every_hostile_agent_misbehaves_in_its_own_way() {
    let site = Site::builder().port(0).zoo(true).start().await.unwrap();
    for device in site
        .devices()
        .iter()
        .filter(|device| device.hostile().is_some())
    {
        let hostile = device.hostile().unwrap();
        let answer = ask(device).await;
        match hostile {
            Hostile::Silent | Hostile::Late => assert_eq!(answer, None, "{hostile:?}"),
            Hostile::OtherPort => {
                let (from, bytes) = answer.expect("it answers");
                assert_eq!(from.ip(), IpAddr::V4(device.address()));
                assert_ne!(from.port(), site.port());
                assert!(right(&bytes), "only the port is wrong");
            }
            Hostile::OtherAddress => {
                let (from, bytes) = answer.expect("it answers");
                assert_ne!(from.ip(), IpAddr::V4(device.address()));
                assert!(right(&bytes), "only the address is wrong");
            }
            Hostile::Flood | Hostile::NastyStrings => {
                assert!(right(&answer.expect("it answers").1), "{hostile:?}")
            }
            _ => {
                let (from, bytes) = answer.expect("it answers");
                assert_eq!(from, SocketAddr::from(device.socket()), "{hostile:?}");
                assert!(!right(&bytes), "{hostile:?} answered as it should");
            }
        }
    }
    assert_eq!(site.devices().len(), 40 + Hostile::ALL.len());
}

#[tokio::test]
async fn the_programme_happens_at_its_times_and_the_truth_is_written_down() {
    let seconds = Duration::from_secs;
    let timeline = Timeline {
        reboot: Cycle::new(seconds(1_000), seconds(10_000), seconds(100)),
        outage: Cycle::new(seconds(2_000), seconds(10_000), seconds(100)),
        flap: Cycle::new(seconds(3_000), seconds(10_000), seconds(100)),
        lossy_share: 0.0,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("truth.jsonl");
    let site = Site::builder()
        .port(0)
        .timeline(timeline)
        .start()
        .await
        .unwrap();
    let mut truth = Truth::begin(&path, &site, 1_700_000_000_000).unwrap();
    let (flapping, rebooting, leaving) = (site.device(5), site.device(7), site.device(17));
    let port_up = |device: &Device| {
        device
            .ports()
            .iter()
            .find(|port| port.if_index == 9)
            .unwrap()
            .up
    };

    site.advance(seconds(1_050));
    assert!(!rebooting.is_reachable() && leaving.is_reachable());
    site.advance(seconds(1_000));
    assert!(rebooting.is_reachable() && !leaving.is_reachable());
    truth.go_on(&site).unwrap();
    site.advance(seconds(1_000));
    assert!(leaving.is_reachable() && !port_up(flapping));
    let still = flapping.counter(9, Column::InOctets);
    site.advance(seconds(10));
    assert_eq!(
        flapping.counter(9, Column::InOctets),
        still,
        "no link, no traffic"
    );
    site.advance(seconds(1_000));
    assert!(port_up(flapping));
    assert!(flapping.counter(9, Column::InOctets) > still);
    truth.end(&site).unwrap();

    let written = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = written
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told: Vec<(&str, &str, &str)> = lines
        .iter()
        .filter(|line| !["device", "counts"].contains(&line["event"].as_str().unwrap()))
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or("");
            (text("event"), text("address"), text("at"))
        })
        .collect();
    assert_eq!(
        told[1..7],
        [
            ("device_restarts", "127.30.0.8", "2023-11-14T22:30:00Z"),
            ("device_rebooted", "127.30.0.8", "2023-11-14T22:31:40Z"),
            ("device_down", "127.30.0.18", "2023-11-14T22:46:40Z"),
            ("device_up", "127.30.0.18", "2023-11-14T22:48:20Z"),
            ("interface_down", "127.30.0.6", "2023-11-14T23:03:20Z"),
            ("interface_up", "127.30.0.6", "2023-11-14T23:05:00Z"),
        ]
    );
    assert_eq!(
        lines
            .iter()
            .filter(|line| line["event"] == "device")
            .count(),
        40
    );
}

#[tokio::test]
async fn a_site_that_opened_earlier_goes_on_where_it_would_be() {
    let long_ago = Duration::from_secs(100_000);
    let site = Site::builder()
        .port(0)
        .timeline(Timeline::default())
        .start()
        .await
        .unwrap();
    let later = Site::builder()
        .port(0)
        .timeline(Timeline::default())
        .open_for(long_ago)
        .start()
        .await
        .unwrap();
    let (boots, octets) = (
        Oid::from([1, 3, 6, 1, 6, 3, 10, 2, 1, 2, 0]),
        Oid::from([1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6, 501]),
    );
    let at = long_ago.as_secs_f64() + 50.0;
    assert_eq!(
        site.device(3).value_at(&octets, at),
        later.device(3).value_at(&octets, at)
    );
    let reboots = later.device(7).value(&boots).number().unwrap()
        - site.device(7).value(&boots).number().unwrap();
    assert_eq!(reboots, (100_000 - 100) / 300 + 1);
}

#[tokio::test]
async fn narrow_counters_wrap_within_minutes_where_they_should() {
    let site = Site::builder().port(0).start().await.unwrap();
    let old = site.device(10);
    let column = |if_index| Oid::from([1, 3, 6, 1, 2, 1, 2, 2, 1, 10, if_index]);
    let up: Vec<u32> = old
        .ports()
        .iter()
        .filter(|port| port.up)
        .map(|port| port.if_index)
        .collect();
    assert!(up.len() > 3);
    for if_index in up {
        let at = |ten_seconds: u32| {
            old.value_at(&column(if_index), f64::from(ten_seconds) * 10.0)
                .number()
        };
        let wraps = (3..40).filter(|now| at(now + 1) < at(*now)).count();
        assert!(
            (1..10).contains(&wraps),
            "port {if_index} wraps {wraps} times"
        );
    }
}

#[tokio::test]
async fn knobs_change_what_is_said_at_once() {
    let site = Site::builder().port(0).start().await.unwrap();
    let switch = site.device(3);
    let in_octets = |if_index| Oid::from([1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6, if_index]);
    let discontinuity = Oid::from([1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 19, 501]);
    assert_eq!(switch.value(&discontinuity), Value::TimeTicks(0));
    switch.clear_counters(501);
    assert!(switch.value(&in_octets(501)).number().unwrap() < 100_000_000);
    assert_ne!(switch.value(&discontinuity), Value::TimeTicks(0));

    switch.set_link(502, false);
    switch.set_counter(502, Column::InOctets, 42);
    switch.move_port(502, 777);
    assert_eq!(switch.value(&in_octets(777)), Value::Counter64(42));
    assert_eq!(switch.value(&in_octets(502)), Value::NoSuchInstance);

    switch.set_sys_name("renamed");
    assert_eq!(
        switch.value(&Oid::from([1, 3, 6, 1, 2, 1, 1, 5, 0])),
        Value::text("renamed")
    );
    switch.set_silent(true);
    assert_eq!(ask(switch).await, None);
    switch.set_silent(false);
    assert!(ask(switch).await.is_some());
    switch.set_drop_share(1.0);
    assert_eq!(ask(switch).await, None);
    let counts = switch.counts();
    assert_eq!(
        (
            counts.requests,
            counts.answered,
            counts.unheard,
            counts.dropped
        ),
        (3, 1, 1, 1)
    );
}

const REQUEST_ID: i64 = 4711;

/// One GETNEXT of two columns, and who answered what within a moment.
async fn ask(device: &Device) -> Option<(SocketAddr, Vec<u8>)> {
    let column = |number| (Oid::from([1, 3, 6, 1, 2, 1, 2, 2, 1, number]), Value::Null);
    let varbinds = vec![column(2), column(10)];
    let mut request = Vec::new();
    ber::write(&mut request, ber::SEQUENCE, |out| {
        ber::write_integer(out, ber::INTEGER, 1);
        ber::write_bytes(out, ber::OCTET_STRING, b"public");
        Pdu {
            tag: GET_NEXT,
            request_id: REQUEST_ID,
            first: 0,
            second: 0,
            varbinds,
        }
        .write(out);
    });
    let socket = UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a socket on loopback");
    socket
        .send_to(&request, device.socket())
        .await
        .expect("a socket on loopback");
    let mut buffer = vec![0; 65_535];
    let moment = Duration::from_millis(300);
    let (length, from) = tokio::time::timeout(moment, socket.recv_from(&mut buffer))
        .await
        .ok()?
        .expect("a socket on loopback");
    Some((from, buffer[..length].to_vec()))
}

/// Whether this is what a correct agent says: the id that was asked, two rows in order, a text and a counter.
fn right(bytes: &[u8]) -> bool {
    let read = || {
        let mut body = Reader::new(bytes).inside(ber::SEQUENCE)?;
        let version = body.integer()?;
        body.expect(ber::OCTET_STRING)?;
        Ok::<_, ber::Malformed>((version, Pdu::read(&mut body)?))
    };
    let Ok((1, pdu)) = read() else { return false };
    let rows: Vec<_> = pdu
        .varbinds
        .iter()
        .map(|(oid, value)| (oid.0.get(9).copied(), oid.0.len(), value))
        .collect();
    let fits = |text: &Vec<u8>| text.len() < 1000;
    pdu.request_id == REQUEST_ID
        && matches!(&rows[..], [(Some(2), 11, Value::OctetString(text)), (Some(10), 11, Value::Counter32(_))] if fits(text))
}
