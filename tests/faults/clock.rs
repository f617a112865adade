//! Clocks that jump, start at 1970, sleep, and differ: nothing is refused for its time, nothing lost, order is by seq,
//! and what is shown is at the right time.
//!
//! The true time of a reading is told by the device itself: its `sysUpTime` runs with the test's clock, which nobody moves.

use std::collections::BTreeMap;
use std::time::Duration;

use farwatch_tests::shim::{Hands, Shim};
use farwatch_tests::{Kill, eventually, world::World};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(90);
const DEVICES: usize = 3;
const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const YEAR: i64 = 365 * 24 * HOUR;

/// Waits until Central has so many samples more than now.
async fn more(world: &World, samples: u64) {
    let count = || -> Result<u64, String> {
        let summary = world
            .central
            .cli(&["summary"])
            .map_err(|error| error.to_string())?;
        summary["samples"]
            .as_u64()
            .ok_or_else(|| "no count".to_owned())
    };
    let before = count().unwrap();
    eventually(SOON, "samples go on", || async {
        match count()? {
            now if now >= before + samples => Ok(()),
            now => Err(format!("{now} after {before}")),
        }
    })
    .await;
}

/// How far shown times of `sysUpTime` are from the truth, ms, per device: shown minus uptime is the moment of its boot.
async fn boots(world: &World, from: &str, to: &str) -> BTreeMap<String, Vec<(i64, i64)>> {
    let mut all = BTreeMap::new();
    for device in world.central.list("/devices").await.unwrap() {
        let id = device["id"].as_str().unwrap();
        let range = world
            .central
            .get(&format!(
                "/metrics/range?device={id}&metric=sysUpTime&from={from}&to={to}&step=1"
            ))
            .await
            .unwrap();
        let points = range["series"][0]["points"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let boots = points.iter().filter_map(boot_of).collect();
        all.insert(device["address"].to_string(), boots);
    }
    all
}

/// (shown at, moment of boot), ms.
fn boot_of(point: &Value) -> Option<(i64, i64)> {
    let at = point[0].as_i64()?;
    #[expect(clippy::cast_possible_truncation, reason = "an uptime of minutes")]
    let uptime_ms = (point[1].as_f64()? * 1_000.0) as i64;
    Some((at, at - uptime_ms))
}

async fn start(shim: &Shim, net: u8) -> (World, Hands, Hands) {
    let (of_central, of_probe) = (shim.hands("central").unwrap(), shim.hands("probe").unwrap());
    let envs = (of_central.envs(), of_probe.envs());
    let world = World::under(tempfile::tempdir().unwrap(), net, envs, |site| {
        site.devices(DEVICES)
    })
    .await
    .unwrap();
    world.devices_up(DEVICES, SOON).await;
    more(&world, 100).await;
    (world, of_central, of_probe)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_whose_clock_jumps_loses_nothing_and_is_shown_at_the_right_time() {
    let Some(shim) = Shim::build() else { return };
    let (mut world, _central, clock) = start(&shim, 66).await;
    let jumps = [
        10 * YEAR,
        0,
        -10 * YEAR,
        HOUR,
        -HOUR,
        SECOND,
        2 * SECOND,
        3 * SECOND,
        -SECOND,
        0,
    ];
    for _ in 0..super::scaled(1) {
        for off in jumps {
            clock.set_wall(off);
            more(&world, 60).await;
        }
    }
    clock.set_wall(0);
    // A boot with a dead battery: 1970, with a boot-time clock of its own.
    world.probe.end(Kill::Hard);
    clock.boots().unwrap();
    let now = farwatch_shared::clock::Clock::system().now().ms();
    clock.set_wall(-now + 60 * SECOND);
    world.probe.start(&[]).unwrap();
    more(&world, 100).await;
    world.devices_up(DEVICES, SOON).await;
    clock.set_wall(0);
    more(&world, 60).await;
    world.settle().await;

    let found = world.check_counters(true).await.unwrap();
    let lost: Vec<&String> = found
        .problems
        .iter()
        .filter(|problem| problem.contains("anchor") || problem.contains("the device says"))
        .collect();
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(found.anchors > 0);
    let now = farwatch_shared::clock::Clock::system().now();
    let (from, to) = (
        now.plus_ms(-HOUR / 2).to_string(),
        now.plus_ms(HOUR / 2).to_string(),
    );
    let mut worst = 0;
    for (device, boots) in boots(&world, &from, &to).await {
        assert!(boots.len() > 10, "{device}: {boots:?}");
        // The first readings were taken with an untouched clock.
        let mut first: Vec<i64> = boots.iter().take(5).map(|(_, boot)| *boot).collect();
        first.sort_unstable();
        let truth = first[2];
        for (at, boot) in &boots {
            let error = (boot - truth).abs();
            worst = worst.max(error);
            assert!(
                error <= 2 * SECOND,
                "{device}: shown at {at}, {error} ms from the truth"
            );
        }
    }
    println!(
        "{} samples, {} anchors, {} problems of slots, worst shown time {worst} ms off, gaps {:?}",
        found.samples,
        found.anchors,
        found.problems.len(),
        found.gaps
    );
    world.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_sleeps_leaves_a_gap_and_goes_on() {
    let Some(shim) = Shim::build() else { return };
    let (mut world, central, probe) = start(&shim, 67).await;
    for hours in [1, 30] {
        // Both at once: an hour goes by in which the probe's machine slept.
        let time = Duration::from_secs(hours * 3_600);
        probe.sleep(time);
        central.sleep(time);
        world.central.sign_in().await.unwrap();
        more(&world, 60).await;
    }
    world.central.sign_in().await.unwrap();
    world.devices_up(DEVICES, SOON).await;
    world.ledgers_agree(SOON).await;
    let found = world.check_counters(false).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(
        !found.gaps.is_empty(),
        "31 hours without a sample and no gap says so"
    );
    world.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn central_whose_clock_jumps_calls_nobody_silent_and_keeps_everything() {
    let Some(shim) = Shim::build() else { return };
    let (mut world, central, _probe) = start(&shim, 68).await;
    let before = world.central.cli(&["summary"]).unwrap()["samples"]
        .as_u64()
        .unwrap();
    for off in [HOUR, -HOUR, 10 * YEAR, 0, -10 * YEAR, 0] {
        central.set_wall(off);
        // What a jump forward ends is a session of a person, which is right.
        world.central.sign_in().await.unwrap();
        more(&world, 60).await;
        if off == 10 * YEAR {
            continue; // a start with this clock is looked at below
        }
        // A restart with the wrong clock: probes come back.
        world.central.end(Kill::Politely);
        world.central.restart(&[]).await.unwrap();
        world.central.sign_in().await.unwrap();
        more(&world, 60).await;
        world.devices_up(DEVICES, SOON).await;
    }
    // A start ten years ahead: certificates have ended by that clock, probes wait; nothing is thrown away for its age.
    world.central.end(Kill::Politely);
    central.set_wall(10 * YEAR);
    world.central.restart(&[]).await.unwrap();
    world.probe.is_refused("certificate").await;
    world.central.end(Kill::Politely);
    central.set_wall(0);
    world.central.restart(&[]).await.unwrap();
    // Whoever was told to join again asks only now and then; nobody waits for that here.
    world.probe.end(Kill::Hard);
    world.probe.start(&[]).unwrap();
    world.central.sign_in().await.unwrap();
    more(&world, 60).await;
    world.devices_up(DEVICES, SOON).await;
    let kept = world.central.cli(&["summary"]).unwrap()["samples"]
        .as_u64()
        .unwrap();
    assert!(kept >= before + 11 * 60, "{before}, then {kept}");
    let incidents = world.central.list("/incidents").await.unwrap();
    assert!(incidents.is_empty(), "{incidents:?}");
    world.ledgers_agree(SOON).await;
    let found = world.check_counters(false).await.unwrap();
    let lost: Vec<&String> = found
        .problems
        .iter()
        .filter(|problem| problem.contains("anchor "))
        .collect();
    assert!(lost.is_empty(), "{lost:#?}");
    // Set back by an hour, and the probe falls silent: nothing stays green.
    central.set_wall(-HOUR);
    world.central.sign_in().await.unwrap();
    more(&world, 30).await;
    let pid = world.probe.process().unwrap();
    pid.signal(nix::sys::signal::Signal::SIGSTOP);
    let stopped = std::time::Instant::now();
    eventually(
        Duration::from_secs(120),
        "every device is stale",
        || async {
            let devices = world
                .central
                .list("/devices")
                .await
                .map_err(|error| error.to_string())?;
            let stale = devices
                .iter()
                .filter(|device| device["state"] == "unknown")
                .count();
            if stale == DEVICES {
                Ok(())
            } else {
                Err(stale.to_string())
            }
        },
    )
    .await;
    println!("stale after {:?}", stopped.elapsed());
    world
        .probe
        .process()
        .unwrap()
        .signal(nix::sys::signal::Signal::SIGCONT);
    world.end();
}
