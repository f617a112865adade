//! Disks that fill up and are freed again: the probe polls on and says what it had to drop, Central stops acknowledging
//! and stays readable; nobody has to come.

use std::time::{Duration, Instant};

use farwatch_tests::tmpfs::{self, SmallDisk};
use farwatch_tests::{eventually, world::World};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const SOON: Duration = Duration::from_secs(60);
const DEVICES: usize = 5;

#[test]
fn a_probe_on_a_full_disk_polls_on_and_accounts_for_what_it_drops() {
    tmpfs::inside("full::probe_inside");
}

#[test]
fn central_on_a_full_disk_acknowledges_nothing_and_stays_readable() {
    tmpfs::inside("full::central_inside");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "only inside a mount namespace"]
async fn probe_inside() {
    let mut dice = StdRng::seed_from_u64(super::seed());
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(&dir.path().join("probe"), 24).unwrap();
    let mut world = World::under(dir, 64, Default::default(), |site| site.devices(DEVICES))
        .await
        .unwrap();
    world.devices_up(DEVICES, SOON).await;
    let cycles = super::scaled(6);
    let began = Instant::now();
    for cycle in 0..cycles {
        disk.fill(if cycle % 3 == 2 {
            dice.random_range(0..200_000)
        } else {
            0
        })
        .unwrap();
        if cycle % 2 == 0 {
            // Whatever it lets go is taken at once: no reserve helps.
            polled_twice(&world).await;
            disk.fill(0).unwrap();
        }
        polled_twice(&world).await;
        if cycle % 4 == 3 {
            world.probe.end(farwatch_tests::Kill::Hard);
            world.probe.start(&[]).unwrap();
            polled_twice(&world).await;
        }
        assert!(
            !world.probe.has_ended(),
            "cycle {cycle}: {}",
            world
                .probe
                .process()
                .map_or_else(String::new, farwatch_tests::Process::log)
        );
        world.devices_up(DEVICES, SOON).await;
        disk.free_again().unwrap();
        if cycle % 2 == 1 {
            polled_twice(&world).await;
        }
    }
    println!(
        "{cycles} times full and free again in {:?}",
        began.elapsed()
    );
    eventually(SOON, "the reserve is there again", || async {
        if world.probe.dir.join("reserve").exists() {
            Ok(())
        } else {
            Err("no reserve")
        }
    })
    .await;
    world.settle().await;
    let found = world.check_counters(true).await.unwrap();
    println!("{} samples, gaps {:?}", found.samples, found.gaps);
    assert_eq!(found.problems, Vec::<String>::new());
    world.end();
}

/// Waits until the running probe has polled every device twice more; its status is told on a full disk too.
async fn polled_twice(world: &World) {
    let polls = || -> Result<u64, String> {
        let status = world.probe.status().map_err(|error| error.to_string())?;
        if status["running"] != true {
            return Err("not running".to_owned());
        }
        status["polls_total"]
            .as_u64()
            .ok_or_else(|| "no count".to_owned())
    };
    let before = eventually(SOON, "the probe tells its status", || async { polls() }).await;
    eventually(SOON, "it polls on", || async {
        match polls()? {
            // A new process counts from nothing.
            now if now >= before + 2 * DEVICES as u64 || now < before => Ok(()),
            now => Err(format!("{now} after {before}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "only inside a mount namespace"]
async fn central_inside() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(&dir.path().join("central"), 64).unwrap();
    let mut world = World::under(dir, 65, Default::default(), |site| site.devices(DEVICES))
        .await
        .unwrap();
    world.devices_up(DEVICES, SOON).await;
    world.ledgers_agree(SOON).await;
    let cycles = super::scaled(3);
    let (mut reads, mut most_waiting) = (Vec::new(), 0);
    for cycle in 0..cycles {
        disk.fill(0).unwrap();
        // Somebody signs in on the full disk: that is what the reserve is for. Then the reserve is gone as well.
        world.central.sign_in().await.unwrap();
        disk.fill(0).unwrap();
        // SQLite's log is a file that has room inside for a while.
        let waiting = eventually(
            3 * SOON,
            "the probe keeps what Central does not take",
            || async {
                let status = world.probe.status().map_err(|error| error.to_string())?;
                match status["spool"]["waiting_batches"].as_u64() {
                    Some(waiting) if waiting >= 3 => Ok(waiting),
                    other => Err(format!("{other:?} wait")),
                }
            },
        )
        .await;
        most_waiting = most_waiting.max(waiting);
        for path in ["/devices", "/overview", "/incidents", "/probes"] {
            for _ in 0..5 {
                let asked = Instant::now();
                world.central.get(path).await.unwrap();
                reads.push(asked.elapsed());
            }
        }
        let overview = world.central.get("/overview").await.unwrap();
        assert_eq!(overview["central"]["healthy"], false, "{overview}");
        assert!(
            overview["central"]["notes"].to_string().contains("full"),
            "{overview}"
        );
        assert!(world.central.healthy().await, "cycle {cycle}");
        assert!(!world.central.has_ended() && !world.probe.has_ended());
        disk.free_again().unwrap();
        world.ledgers_agree(SOON).await;
        world.devices_up(DEVICES, SOON).await;
    }
    reads.sort_unstable();
    println!(
        "{cycles} times full and free again; {} reads while full, p95 {:?}; {most_waiting} batches waited at the most",
        reads.len(),
        reads[reads.len() * 95 / 100]
    );
    world.settle().await;
    let found = world.check_counters(true).await.unwrap();
    println!("{} samples, gaps {:?}", found.samples, found.gaps);
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(
        found.gaps.is_empty(),
        "nothing was lost at the probe: {:?}",
        found.gaps
    );
    world.end();
}
