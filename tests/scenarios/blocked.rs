//! Networks that let no UDP out: the same session over TCP, and back to UDP when that is open again.

use std::time::{Duration, Instant};

use farwatch_tests::proxy::Weather;
use farwatch_tests::world::World;
use farwatch_tests::{Kill, eventually, tinyproxy};

use super::weather::{all_is_there, all_is_there_but, proxy, samples_grow, scale};

const SOON: Duration = Duration::from_secs(60);
const NO_UDP: Weather = Weather {
    blocked_up: true,
    blocked_down: true,
    ..Weather::FAIR
};
/// UDP is tried again soon: after 1 to 3 s, then every 10 to 30 s.
const EAGER: &str = "udp_retry = \"10s\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_may_send_no_udp_joins_and_works_over_tcp_and_says_so() {
    let proxy = proxy().await;
    proxy.set(NO_UDP);
    let began = Instant::now();
    let mut world = World::behind_with_tcp(&proxy, 70, EAGER).await.unwrap();
    let joined = began.elapsed();
    let connected = carried_by(&world, "tcp").await;
    println!("started and joined after {joined:?}, session over TCP {connected:?} later");
    world.devices_up(6, SOON).await;
    let probe = world.central.list("/probes").await.unwrap()[0].clone();
    assert_eq!(probe["transport"], "tcp", "{probe}");
    eventually(SOON, "the console is told what to open", || async {
        let probe = world.central.list("/probes").await.unwrap()[0].clone();
        let port = proxy.address().port().to_string();
        let notices = probe["notices"].to_string();
        match notices.contains("UDP") && notices.contains(&port) {
            true => Ok(()),
            false => Err(notices),
        }
    })
    .await;
    // It works so: no problem, and yet said.
    let check = world.probe.check().unwrap();
    let said = |what: &str| {
        let findings = check["findings"].as_array().unwrap();
        let of = findings.iter().find(|finding| finding["what"] == what);
        of.map(|finding| finding["says"].as_str().unwrap().to_owned())
    };
    assert!(
        said("udp").unwrap().contains("meanwhile TCP is used"),
        "{check}"
    );
    assert!(said("tcp").unwrap().contains("over TCP"), "{check}");
    // A start of the program, as after a reboot.
    let before = world.probe.status().unwrap()["started"].clone();
    world.probe.end(Kill::Hard);
    world.probe.start(&[]).unwrap();
    let began = Instant::now();
    eventually(SOON, "it is connected again", || async {
        let status = world.probe.status().map_err(|error| error.to_string())?;
        match status["started"] != before && status["transport"] == "tcp" {
            true => Ok(()),
            false => Err(status["last_error"].to_string()),
        }
    })
    .await;
    println!(
        "after a start: session over TCP within {:?}",
        began.elapsed()
    );
    proxy.set(Weather::FAIR);
    let back = carried_by(&world, "udp").await;
    println!("UDP open again: moved after {back:?}");
    all_is_there_but(&mut world, &["probe_restart"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_that_is_cut_in_the_middle_of_a_session_loses_nothing() {
    let proxy = proxy().await;
    let mut world = World::behind_with_tcp(&proxy, 71, EAGER).await.unwrap();
    world.devices_up(6, SOON).await;
    carried_by(&world, "udp").await;
    let mut took = Vec::new();
    for _ in 0..2 * scale() {
        proxy.set(NO_UDP);
        took.push(carried_by(&world, "tcp").await);
        samples_grow(&world, 100, SOON).await;
        proxy.set(Weather::FAIR);
        took.push(carried_by(&world, "udp").await);
        samples_grow(&world, 100, SOON).await;
    }
    println!("cut and opened in turn, switched after {took:.1?}");
    all_is_there(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firewall_that_lets_only_the_first_packets_pass_is_seen_through() {
    let proxy = proxy().await;
    let mut world = World::behind_with_tcp(&proxy, 72, EAGER).await.unwrap();
    world.devices_up(6, SOON).await;
    for first in [1, 40] {
        proxy.set(Weather {
            first_only: Some(first),
            ..Weather::FAIR
        });
        let took = carried_by(&world, "tcp").await;
        println!("only the first {first} packets pass: over TCP after {took:?}");
        samples_grow(&world, 200, SOON).await;
        proxy.set(Weather::FAIR);
        carried_by(&world, "udp").await;
    }
    all_is_there(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_proxy_with_a_password_leads_to_central() {
    let Some(http) = tinyproxy::start("probe", "open-sesame").await.unwrap() else {
        println!("left out: tinyproxy is not here");
        return;
    };
    let udp = proxy().await;
    udp.set(NO_UDP);
    let wrong = format!("proxy = \"http://probe:wrong@{}\"\n", http.address());
    let refused = World::behind_with_tcp(&udp, 73, &wrong).await.unwrap_err();
    let said = format!("{refused:#}");
    assert!(
        said.contains("does not accept this name and password") && !said.contains("wrong@"),
        "{said}"
    );
    let right = format!("proxy = \"http://probe:open-sesame@{}\"\n", http.address());
    let mut world = World::behind_with_tcp(&udp, 73, &right).await.unwrap();
    carried_by(&world, "tcp").await;
    world.devices_up(6, SOON).await;
    let status = world.probe.status().unwrap();
    assert_eq!(status["central"], http.address().to_string(), "{status}");
    for file in ["probe.log", "status.json"] {
        let text = std::fs::read_to_string(world.probe.dir.join(file)).unwrap();
        assert!(
            !text.contains("open-sesame") && !text.contains("open-sesame"),
            "{file}"
        );
    }
    drop(http);
    eventually(SOON, "a proxy that is gone is named", || async {
        let status = world.probe.status().unwrap();
        let said = status["last_error"].as_str().unwrap_or_default().to_owned();
        match said.contains("the proxy http://127.0.0.1") {
            true => Ok(()),
            false => Err(said),
        }
    })
    .await;
    world.end();
}

/// Waits until the session is carried so; how long that took.
async fn carried_by(world: &World, transport: &str) -> Duration {
    let began = Instant::now();
    eventually(SOON, &format!("a session over {transport}"), || async {
        let status = world.probe.status().map_err(|error| error.to_string())?;
        match status["transport"] == transport {
            true => Ok(()),
            false => Err(format!("{} {}", status["transport"], status["last_error"])),
        }
    })
    .await;
    began.elapsed()
}
