//! Tokens used twice or late, strangers, revoked probes: nothing.

use std::time::{Duration, Instant};

use farwatch_tests::probe::Probe;
use farwatch_tests::{eventually, world::World};
use reqwest::Method;
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_token_joins_one_probe_once() {
    let world = World::start(40, |site| site.devices(1)).await.unwrap();
    let token = world.central.token(&world.place.site).unwrap();
    let beside = |name: &str| world.probe.dir.with_file_name(name);
    Probe::join(&beside("second"), &token).unwrap();
    let again = Probe::join(&beside("third"), &token)
        .unwrap_err()
        .to_string();
    assert!(again.contains("used"), "{again}");
    let mut mangled = token.clone().into_bytes();
    let middle = mangled.len() / 2;
    mangled[middle] = if mangled[middle] == b'a' { b'b' } else { b'a' };
    let mangled = Probe::join(&beside("fourth"), &String::from_utf8(mangled).unwrap())
        .unwrap_err()
        .to_string();
    assert!(mangled.contains("token"), "{mangled}");
    assert_eq!(world.central.list("/probes").await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_probe_is_cut_within_a_second_and_stays_out() {
    let mut world = World::start(41, |site| site.devices(2)).await.unwrap();
    world.devices_up(2, SOON).await;
    let probe = world.probe_id().await.unwrap();
    world
        .central
        .send(
            Method::DELETE,
            &format!("/probes/{probe}"),
            json!({ "reason": "stolen" }),
        )
        .await
        .unwrap();
    let revoked = Instant::now();
    eventually(Duration::from_secs(5), "it is cut", || async {
        let now = world
            .central
            .get(&format!("/probes/{probe}"))
            .await
            .map_err(|error| error.to_string())?;
        if now["connected"] == false {
            Ok(())
        } else {
            Err(now["state"].to_string())
        }
    })
    .await;
    assert!(
        revoked.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        revoked.elapsed()
    );
    let samples = world.central.cli(&["summary"]).unwrap()["samples"].clone();
    world.probe.is_refused("revoked").await;
    assert!(!world.probe.is_well(), "check says so");
    let now = world
        .central
        .get(&format!("/probes/{probe}"))
        .await
        .unwrap();
    assert_eq!(
        (now["state"].as_str(), now["connected"].as_bool()),
        (Some("revoked"), Some(false))
    );
    assert_eq!(
        world.central.cli(&["summary"]).unwrap()["samples"],
        samples,
        "nothing of it is taken any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_of_another_central_learns_and_changes_nothing() {
    let ours = World::start(42, |site| site.devices(1)).await.unwrap();
    let theirs = World::start(43, |site| site.devices(1)).await.unwrap();
    theirs.devices_up(1, SOON).await;
    // Their probe, with their certificate, dials our Central.
    let token = ours.central.token(&ours.place.site).unwrap();
    let stranger = ours.probe.dir.with_file_name("stranger");
    let mine = Probe::join(&stranger, &token).unwrap();
    for name in ["key.pem", "certificate.pem"] {
        std::fs::copy(theirs.probe.dir.join(name), stranger.join(name)).unwrap();
    }
    let mut mine = mine;
    mine.start(&[]).unwrap();
    mine.is_refused("").await;
    assert!(!mine.is_well(), "check says so");
    let probes = ours.central.list("/probes").await.unwrap();
    let connected: Vec<_> = probes
        .iter()
        .filter(|probe| probe["connected"] == true)
        .collect();
    assert_eq!(connected.len(), 1, "{probes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn central_comes_back_with_another_ca_and_nobody_has_to_go_anywhere() {
    let mut world = World::start(48, |site| site.devices(2)).await.unwrap();
    world.devices_up(2, SOON).await;
    let token = world.central.token(&world.place.site).unwrap();
    let before = world.central.cli(&["ca", "show"]).unwrap();
    assert_eq!(before["earlier"], 0);
    let running = world.central.cli(&["ca", "rotate"]).unwrap_err();
    assert!(running.to_string().contains("stop it"), "{running}");
    world.central.end(farwatch_tests::Kill::Politely);
    // Certificates count whole seconds.
    let joined = Instant::now();
    eventually(SOON, "a second later than the joining", || async {
        let later = joined.elapsed() > Duration::from_secs(1);
        later.then_some(()).ok_or_else(|| "not yet".to_owned())
    })
    .await;
    let after = world.central.cli(&["ca", "rotate"]).unwrap();
    assert_eq!(after["earlier"], 1);
    assert_ne!(after["sha256"], before["sha256"]);
    let early = world.central.cli(&["ca", "retire"]).unwrap_err();
    assert!(early.to_string().contains("not renewed"), "{early}");
    world.central.restart(&[]).await.unwrap();
    world.ledgers_agree(SOON).await;
    let probes = world.central.list("/probes").await.unwrap();
    assert_eq!(probes.len(), 1, "the same probe, not another");
    // A token that was handed out before names the earlier CA.
    Probe::join(&world.probe.dir.with_file_name("late"), &token).unwrap();
    world.settle().await;
    let found = world.check_counters(true).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    world.end();
}
