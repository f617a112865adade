//! Central away, Central restored, the probe's store gone, the probe copied.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use farwatch_tests::probe::Probe;
use farwatch_tests::{Kill, eventually, world::World};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn while_central_is_away_the_probe_watches_on_and_tells_it_all_afterwards() {
    let mut world = World::start(20, |site| site.devices(6)).await.unwrap();
    world.devices_up(6, SOON).await;
    world.central.end(Kill::Politely);
    // A device goes down and comes back, another goes down and stays: nobody sees it but the probe.
    world.site.devices()[4].set_silent(true);
    world.site.devices()[5].set_silent(true);
    eventually(SOON, "the probe has seen both go", || async {
        down(&world, 2)
    })
    .await;
    let status = world.probe.status().unwrap();
    assert!(
        status.to_string().contains(&world.site.devices()[0].name()),
        "status names the devices while Central is away: {status}"
    );
    world.site.devices()[4].set_silent(false);
    eventually(SOON, "the probe has seen one come back", || async {
        down(&world, 1)
    })
    .await;

    world.central.restart(&[]).await.unwrap();
    let back = Instant::now();
    world.devices_up(5, SOON).await;
    let open = eventually(SOON, "the one that is still down is news", || async {
        let open = world
            .central
            .list("/incidents?state=active")
            .await
            .map_err(|error| error.to_string())?;
        if open.len() == 1 {
            Ok(open)
        } else {
            Err(format!("{open:?}"))
        }
    })
    .await;
    // Redial (≤ 5 s) and the hello come before the ten seconds of the promise.
    assert!(
        back.elapsed() < Duration::from_secs(20),
        "the live view took {:?}",
        back.elapsed()
    );
    assert_eq!(
        open[0]["title"],
        format!("{} is down", world.site.devices()[5].name())
    );
    world.settle().await;
    let all = world.central.list("/incidents").await.unwrap();
    assert_eq!(all.len(), 1, "what came late opened nothing: {all:?}");
    let found = world.check_counters(false).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    world.end();
}

fn down(world: &World, count: usize) -> Result<(), String> {
    let status = world.probe.status().map_err(|error| error.to_string())?;
    let devices = status["devices"].as_array().cloned().unwrap_or_default();
    let down = devices
        .iter()
        .filter(|device| device["state"] == "down")
        .count();
    if down == count {
        Ok(())
    } else {
        Err(format!("{down} of {} are down", devices.len()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn central_restored_from_a_backup_is_complete_again() {
    let mut world = World::start(21, |site| site.devices(5)).await.unwrap();
    world.devices_up(5, SOON).await;
    world.ledgers_agree(SOON).await;
    let backup = world.central.dir.with_file_name("backup");
    world
        .central
        .cli(&["backup", &backup.display().to_string()])
        .unwrap();
    // Life goes on after the backup: these samples are in no backup, and the probe has them acknowledged.
    let samples = world.central.cli(&["summary"]).unwrap()["samples"]
        .as_u64()
        .unwrap();
    eventually(SOON, "more samples were committed", || async {
        let now = world
            .central
            .cli(&["summary"])
            .map_err(|error| error.to_string())?["samples"]
            .as_u64()
            .unwrap_or(0);
        if now > samples + 100 {
            Ok(())
        } else {
            Err(format!("{now}"))
        }
    })
    .await;
    world.central.end(Kill::Hard);
    world
        .central
        .cli(&["restore", &backup.display().to_string()])
        .unwrap();
    world.central.restart(&[]).await.unwrap();
    world.devices_up(5, SOON).await;
    world.settle().await;
    let found = world.check_counters(true).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(!found.gaps.contains_key("too_old"), "{found:?}");
    world.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_lost_its_store_finds_the_same_devices_again() {
    let mut world = World::start(22, |site| site.devices(5)).await.unwrap();
    let ids = |devices: &[serde_json::Value]| {
        devices
            .iter()
            .map(|d| d["id"].to_string())
            .collect::<BTreeSet<_>>()
    };
    let before = world.devices_up(5, SOON).await;
    world.ledgers_agree(SOON).await;
    world.probe.end(Kill::Hard);
    for name in ["spool.db", "spool.db-wal", "spool.db-shm"] {
        let _ = std::fs::remove_file(world.probe.dir.join(name));
    }
    assert!(!world.probe.dir.join("spool.db").exists());
    world.probe.start(&[]).unwrap();
    world.devices_up(5, SOON).await;
    // Long enough for another discovery to have minted strangers, had it wanted to.
    world.settle().await;
    let after = world.central.list("/devices").await.unwrap();
    assert_eq!(ids(&before), ids(&after), "same devices, same ids");
    let found = world.check_counters(false).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(!found.gaps.contains_key("not_permitted"), "{found:?}");
    world.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_lost_its_store_while_central_is_away_watches_the_same_devices_on() {
    let mut world = World::start(121, |site| site.devices(5)).await.unwrap();
    let numbers = |status: &serde_json::Value| {
        let devices = status["devices"].as_array().cloned().unwrap_or_default();
        devices
            .iter()
            .map(|d| (d["address"].to_string(), d["device"].to_string()))
            .collect::<BTreeMap<_, _>>()
    };
    let before = world.devices_up(5, SOON).await;
    eventually(SOON, "the inventory was copied", || async {
        let bytes = std::fs::metadata(world.probe.dir.join("devices.bin"));
        bytes.map(drop).map_err(|error| error.to_string())
    })
    .await;
    world.ledgers_agree(SOON).await;
    let known = numbers(&world.probe.status().unwrap());
    assert_eq!(known.len(), 5, "{known:?}");
    world.probe.end(Kill::Hard);
    world.central.end(Kill::Hard);
    for name in ["spool.db", "spool.db-wal", "spool.db-shm"] {
        let _ = std::fs::remove_file(world.probe.dir.join(name));
    }
    world.probe.start(&[]).unwrap();
    let mut polled = numbers(&serde_json::Value::Null);
    eventually(SOON, "the devices are polled without Central", || {
        let status = world.probe.status().ok();
        let up = status.as_ref().and_then(|s| s["devices_up"].as_u64());
        polled = status.as_ref().map(&numbers).unwrap_or_default();
        async move {
            (up == Some(5))
                .then_some(())
                .ok_or_else(|| format!("{up:?}"))
        }
    })
    .await;
    assert_eq!(polled, known, "same devices, same numbers");
    world.central.restart(&[]).await.unwrap();
    world.devices_up(5, SOON).await;
    world.settle().await;
    let after = world.central.list("/devices").await.unwrap();
    let ids = |devices: &[serde_json::Value]| {
        devices
            .iter()
            .map(|d| d["id"].to_string())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(ids(&before), ids(&after), "same devices, same ids");
    let found = world.check_counters(false).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(!found.gaps.contains_key("not_permitted"), "{found:?}");
    world.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_probe_is_noticed_and_overwrites_nothing() {
    let mut world = World::start(23, |site| site.devices(4)).await.unwrap();
    world.devices_up(4, SOON).await;
    world.ledgers_agree(SOON).await;
    // A snapshot of the machine, taken while the probe was off and started beside it.
    world.probe.end(Kill::Politely);
    let copy = world.probe.dir.with_file_name("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(&world.probe.dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
    }
    world.probe.start(&[]).unwrap();
    let probe = world.probe_id().await.unwrap();
    eventually(SOON, "the original is connected again", || async {
        let now = world
            .central
            .get(&format!("/probes/{probe}"))
            .await
            .map_err(|error| error.to_string())?;
        if now["connected"] == true {
            Ok(())
        } else {
            Err(now["state"].to_string())
        }
    })
    .await;
    world.ledgers_agree(SOON).await;
    let mut clone = Probe::at(&copy);
    clone.start(&[]).unwrap();
    eventually(SOON, "the admin is told", || async {
        let now = world
            .central
            .get(&format!("/probes/{probe}"))
            .await
            .map_err(|error| error.to_string())?;
        if now["notices"].to_string().contains("clone")
            || now["notices"].to_string().contains("copied")
        {
            Ok(())
        } else {
            Err(now["notices"].to_string())
        }
    })
    .await;
    clone.end(Kill::Hard);
    world.settle().await;
    let found = world.check_counters(true).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    world.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_probe_is_one_incident_and_leaves_nothing_green() {
    let mut world = World::start(24, |site| site.devices(4)).await.unwrap();
    world.devices_up(4, SOON).await;
    // Past Central's own grace after its start, in which it calls nobody silent.
    world
        .probe
        .process()
        .unwrap()
        .signal(nix::sys::signal::Signal::SIGSTOP);
    let stopped = Instant::now();
    eventually(
        Duration::from_secs(150),
        "every device is stale, by one incident",
        || async {
            let devices = world
                .central
                .list("/devices")
                .await
                .map_err(|error| error.to_string())?;
            let open = world
                .central
                .list("/incidents?state=active")
                .await
                .map_err(|error| error.to_string())?;
            let stale = devices
                .iter()
                .filter(|device| device["state"] == "unknown")
                .count();
            if stale == 4 && open.len() == 1 && open[0]["kind"] == "probe_silent" {
                Ok(())
            } else {
                Err(format!("{stale} stale, {open:?}"))
            }
        },
    )
    .await;
    assert!(
        stopped.elapsed() < Duration::from_secs(130),
        "{:?}",
        stopped.elapsed()
    );
    world
        .probe
        .process()
        .unwrap()
        .signal(nix::sys::signal::Signal::SIGCONT);
    world.devices_up(4, SOON).await;
    let open = world.central.list("/incidents?state=active").await.unwrap();
    assert!(open.is_empty(), "{open:?}");
    world.end();
}
