//! Machines that are short of everything: descriptors, memory, names. The programs go on, and say what is missing.

use std::time::Duration;

use farwatch_tests::shim::Shim;
use farwatch_tests::{Kill, eventually, world::World};

const SOON: Duration = Duration::from_secs(60);
const DEVICES: usize = 6;

fn and(
    mut envs: farwatch_tests::shim::Envs,
    name: &str,
    value: &str,
) -> farwatch_tests::shim::Envs {
    envs.push((name.to_owned(), value.to_owned()));
    envs
}

#[tokio::test(flavor = "multi_thread")]
async fn few_descriptors_and_little_memory_stop_nothing() {
    let Some(shim) = Shim::build() else { return };
    let mut world = World::start(69, |site| site.devices(DEVICES))
        .await
        .unwrap();
    world.devices_up(DEVICES, SOON).await;
    for (name, probe, central) in [
        ("FARWATCH_NOFILE", "40", "160"),
        ("FARWATCH_AS", "1500000000", "2500000000"),
    ] {
        world.probe.end(Kill::Politely);
        world.central.end(Kill::Politely);
        world.probe.set_envs(and(shim.envs(), name, probe));
        world.central.set_envs(and(shim.envs(), name, central));
        world.central.restart(&[]).await.unwrap();
        world.probe.start(&[]).unwrap();
        world.devices_up(DEVICES, SOON).await;
        // More silent connections than there are descriptors: people get in all the same, while they are held.
        let address = world.central.http_address();
        let held = futures::future::join_all(
            (0..300).map(|_| tokio::time::timeout(SOON, tokio::net::TcpStream::connect(address))),
        )
        .await;
        eventually(SOON, "Central answers a newcomer", || async {
            let newcomer = reqwest::Client::new().get(format!("http://{address}/"));
            let answer = newcomer.timeout(Duration::from_secs(5)).send().await;
            answer.map(|_| ()).map_err(|error| error.to_string())
        })
        .await;
        drop(held);
        world.devices_up(DEVICES, SOON).await;
        world.ledgers_agree(SOON).await;
        assert!(
            !world.probe.has_ended() && !world.central.has_ended(),
            "{name}"
        );
    }
    world.settle().await;
    let found = world.check_counters(true).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    world.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_never_answered_do_not_keep_a_probe_from_polling() {
    let Some(shim) = Shim::build() else { return };
    let mut world = World::start(70, |site| site.devices(DEVICES))
        .await
        .unwrap();
    world.devices_up(DEVICES, SOON).await;
    world.ledgers_agree(SOON).await;
    world.probe.end(Kill::Politely);
    // Central has moved to a name; the address is what was there before it.
    let path = world.probe.dir.join("site.json");
    let mut place: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    place["earlier_addresses"] = place["addresses"].clone();
    place["addresses"] = serde_json::json!(["central.example.com:4433"]);
    std::fs::write(&path, place.to_string()).unwrap();
    world
        .probe
        .set_envs(and(shim.envs(), "FARWATCH_DNS", "blackhole"));
    world.probe.start(&[]).unwrap();
    eventually(SOON, "it polls while nobody answers for names", || async {
        let status = world.probe.status().map_err(|error| error.to_string())?;
        let fresh = status["polls_total"]
            .as_u64()
            .is_some_and(|polls| polls > 3 * DEVICES as u64);
        if status["running"] == true && fresh {
            Ok(())
        } else {
            Err(status["polls_total"].to_string())
        }
    })
    .await;
    world.devices_up(DEVICES, SOON).await;
    world.settle().await;
    let found = world.check_counters(true).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    world.end();
}
