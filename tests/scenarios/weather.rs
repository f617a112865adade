//! A bad network between probe and Central: loss, duplicates, reordering, small packets, a NAT that forgets, one-way blocks.

use std::time::{Duration, Instant};

use farwatch_tests::eventually;
use farwatch_tests::proxy::{Proxy, Weather};
use farwatch_tests::world::World;
use reqwest::Method;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
/// Turns each of the rows' amounts up: the nightly and the release runs.
const SCALE: &str = "FARWATCH_SCALE";

#[tokio::test(flavor = "multi_thread")]
async fn thirty_percent_loss_with_duplicates_and_reordering_loses_nothing() {
    let proxy = proxy().await;
    let mut world = World::behind(&proxy, 60, |site| site.devices(6))
        .await
        .unwrap();
    world.devices_up(6, SOON).await;
    proxy.set(Weather {
        loss: 0.3,
        duplicate: 0.2,
        reorder: 0.5,
        delay: Duration::from_millis(50),
        jitter: Duration::from_millis(100),
        ..Weather::default()
    });
    let limit = SOON * u32::try_from(scale()).unwrap();
    samples_grow(&world, 3_000 * scale(), limit).await;
    // The control stream lives in the same weather. Central waits 5 s for each echo; how fast they are is measured here,
    // and judged by a benchmark.
    let asked = 20 * usize::try_from(scale()).unwrap();
    let mut times = Vec::new();
    for _ in 0..asked {
        times.extend(echo(&world).await);
    }
    times.sort();
    println!("echo: {} of {asked} within 5 s, {times:?}", times.len());
    assert!(
        times.len() * 2 > asked,
        "the control stream is not usable: {times:?}"
    );
    all_is_there(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nat_that_forgets_costs_no_session_and_no_sample() {
    let proxy = proxy().await;
    let mut world = World::behind(&proxy, 61, |site| site.devices(6))
        .await
        .unwrap();
    world.devices_up(6, SOON).await;
    let since = probe(&world).await["connected_since"].clone();
    for round in 0..15 * scale() {
        proxy.rebind();
        let took = samples_grow(&world, 1, SOON).await;
        println!("round {round}: samples again after {took:?}");
    }
    assert_eq!(
        probe(&world).await["connected_since"],
        since,
        "it is the same session"
    );
    all_is_there(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_above_1200_bytes_may_vanish_at_any_time() {
    let proxy = proxy().await;
    proxy.set(Weather {
        largest: Some(1_200),
        ..Weather::default()
    });
    let mut world = World::behind(&proxy, 62, |site| site.devices(6))
        .await
        .unwrap();
    world.devices_up(6, SOON).await;
    for largest in [None, Some(1_400), Some(1_280), Some(1_200)] {
        // First long enough for the path's size to be found and used, then smaller in the middle of it.
        proxy.set(Weather {
            largest,
            ..Weather::default()
        });
        let took = samples_grow(&world, 500, SOON).await;
        println!("at most {largest:?} bytes: {took:?}");
    }
    all_is_there(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_is_blocked_in_one_direction_is_said_and_loses_nothing() {
    let proxy = proxy().await;
    let mut world = World::behind(&proxy, 63, |site| site.devices(6))
        .await
        .unwrap();
    world.devices_up(6, SOON).await;
    for (up, down) in [(true, false), (false, true), (true, true)] {
        proxy.set(Weather {
            blocked_up: up,
            blocked_down: down,
            ..Weather::default()
        });
        eventually(SOON, "the probe says that it is not connected", || async {
            let status = world.probe.status().map_err(|error| error.to_string())?;
            match status["connected"] == false && status["last_error"].is_string() {
                true => Ok(()),
                false => Err(status["link"].to_string()),
            }
        })
        .await;
        proxy.set(Weather::default());
        eventually(SOON, "and is back by itself", || async {
            let now = probe(&world).await;
            if now["state"] == "connected" {
                Ok(())
            } else {
                Err(now["state"].clone())
            }
        })
        .await;
    }
    all_is_there(&mut world).await;
}

/// Every sample is there once or covered, in fair weather again.
pub(super) async fn all_is_there(world: &mut World) {
    all_is_there_but(world, &[]).await;
}

/// The same where gaps for these reasons were brought about too.
pub(super) async fn all_is_there_but(world: &mut World, reasons: &[&str]) {
    world.settle().await;
    let found = world.check_counters(true).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(found.samples > 100, "{found:?}");
    assert!(
        found.gaps.keys().all(
            |reason| ["no_response", "partial"].contains(&reason.as_str())
                || reasons.contains(&reason.as_str())
        ),
        "{:?}",
        found.gaps
    );
    world.end();
}

pub(super) async fn proxy() -> Proxy {
    let seed = std::env::var("FARWATCH_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    eprintln!("seed {seed}: repeat with FARWATCH_SEED={seed}");
    Proxy::open(seed).await.unwrap()
}

pub(super) fn scale() -> u64 {
    let scale = std::env::var(SCALE).ok();
    scale.and_then(|scale| scale.parse().ok()).unwrap_or(1)
}

/// Waits until so many more samples are committed; how long that took.
pub(super) async fn samples_grow(world: &World, more: u64, limit: Duration) -> Duration {
    let (before, began) = (samples(world), Instant::now());
    eventually(limit, "samples arrive all the same", || async {
        match samples(world) - before {
            now if now >= more => Ok(()),
            now => Err(now),
        }
    })
    .await;
    began.elapsed()
}

fn samples(world: &World) -> u64 {
    world.central.cli(&["summary"]).unwrap()["samples"]
        .as_u64()
        .unwrap()
}

async fn probe(world: &World) -> Value {
    world.central.list("/probes").await.unwrap()[0].clone()
}

/// How long an echo took; `None` when it did not come back in time.
async fn echo(world: &World) -> Option<Duration> {
    let id = world.probe_id().await.unwrap();
    let began = Instant::now();
    let path = format!("/probes/{id}/echo");
    let (status, answer) = world
        .central
        .call(Method::POST, &path, Some(json!({})))
        .await
        .unwrap();
    assert!(
        status.is_success() || [409, 504].contains(&status.as_u16()),
        "{status} {answer}"
    );
    status.is_success().then(|| began.elapsed())
}
