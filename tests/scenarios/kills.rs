//! `kill -9` of both programs at random moments and at every named step: nothing lost, nothing doubled, nothing unsaid.

use std::time::Duration;

use farwatch_tests::{Kill, world::World};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Steps of RELIABILITY's delivery contract at which a process can be told to end itself.
const PROBE_STEPS: [&str; 9] = ["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9"];
const CENTRAL_STEPS: [&str; 8] = ["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8"];
/// Kills of each side; more by `FARWATCH_KILLS`.
const KILLS: u32 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn thirty_kills_a_side_lose_nothing_and_double_nothing() {
    let kills = number("FARWATCH_KILLS", KILLS);
    let seed = number("FARWATCH_SEED", rand::random());
    println!("seed {seed}: repeat with FARWATCH_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(u64::from(seed));
    let mut world = World::start(10, |site| site.devices(8)).await.unwrap();
    world.devices_up(8, Duration::from_secs(60)).await;

    let before = samples(&world);
    let mut of_itself = 0;
    for round in 0..kills {
        // The probe dies by hand at a random moment, or by itself at a step.
        let step = format!(
            "{}:{}",
            PROBE_STEPS[round as usize % PROBE_STEPS.len()],
            dice.random_range(1..6)
        );
        of_itself += u32::from(lives_for(&mut dice, || world.probe.has_ended()).await);
        world.probe.end(Kill::Hard);
        world.probe.start(&[("FARWATCH_FAILPOINT", &step)]).unwrap();
        // Central likewise.
        let step = format!(
            "{}:{}",
            CENTRAL_STEPS[round as usize % CENTRAL_STEPS.len()],
            dice.random_range(1..12)
        );
        of_itself += u32::from(lives_for(&mut dice, || world.central.has_ended()).await);
        world.central.end(Kill::Hard);
        world
            .central
            .spawn(&[("FARWATCH_FAILPOINT", &step)])
            .unwrap();
    }
    println!(
        "{kills} kills a side, {of_itself} of them by the programs themselves at a named step"
    );
    world.probe.end(Kill::Hard);
    world.central.end(Kill::Hard);
    world.central.restart(&[]).await.unwrap();
    let kept = samples(&world) - before;
    world.probe.start(&[]).unwrap();
    world.devices_up(8, Duration::from_secs(60)).await;
    world.settle().await;
    let found = world.check_counters(true).await.unwrap();
    println!("{kept} samples were committed while they were being killed");
    assert!(
        kept > 100,
        "nobody lived long enough for the kills to mean anything"
    );
    println!(
        "{} samples, {} anchors, gaps {:?}",
        found.samples, found.anchors, found.gaps
    );
    assert_eq!(found.problems, Vec::<String>::new(), "seed {seed}");
    assert!(found.anchors > 0 && found.samples > 0);
    assert!(
        kills < KILLS || of_itself > 5,
        "the named steps were hardly reached: {of_itself}"
    );
    world.end();
}

/// Lets a process live for a short random time; whether it ended by itself.
async fn lives_for(dice: &mut StdRng, mut has_ended: impl FnMut() -> bool) -> bool {
    let until = tokio::time::Instant::now() + Duration::from_millis(dice.random_range(300..3_000));
    while tokio::time::Instant::now() < until {
        if has_ended() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn samples(world: &World) -> u64 {
    let summary = world.central.cli(&["summary"]).unwrap();
    summary["samples"].as_u64().unwrap()
}
