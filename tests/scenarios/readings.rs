//! What devices measure: found out by their profiles, named and numbered once, followed from then on.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use farwatch_tests::{Kill, binary, eventually, world::World};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn sensors_storage_and_processors_are_followed_and_keep_their_numbers() {
    let mut world = World::start(122, |site| site.devices(30)).await.unwrap();
    let devices = world.devices_up(30, SOON).await;
    let mut first = Vec::new();
    for device in &devices {
        first.push(measured(&world, device, None).await);
    }
    let classes: BTreeSet<&str> = first
        .iter()
        .flat_map(readings)
        .filter_map(|reading| reading["class"].as_str())
        .collect();
    assert_eq!(
        classes,
        BTreeSet::from(["processor", "sensor", "storage"]),
        "the site has all of them"
    );
    let by_community = devices.iter().zip(&first);
    let by_community: Vec<_> = by_community.filter(|(d, _)| d["snmp"] == "v2c").collect();
    assert!(by_community.len() > 10, "{}", by_community.len());
    for (device, shown) in by_community {
        let said = tested(&world, device);
        let named = |list: &str| -> BTreeSet<String> {
            let all = said[list].as_array().into_iter().flatten();
            all.map(|one| one["name"].as_str().unwrap().to_owned())
                .collect()
        };
        let expected: BTreeSet<String> = ["sensors", "storage", "processors"]
            .into_iter()
            .flat_map(named)
            .collect();
        let names: BTreeSet<String> = readings(shown)
            .map(|reading| reading["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, expected, "{}", device["name"]);
    }
    // The store is lost: the same things keep their numbers, so that their history goes on.
    world.probe.end(Kill::Hard);
    for name in ["spool.db", "spool.db-wal", "spool.db-shm"] {
        let _ = std::fs::remove_file(world.probe.dir.join(name));
    }
    world.probe.start(&[]).unwrap();
    for (device, before) in devices.iter().zip(&first) {
        let after = measured(&world, device, Some(before)).await;
        let numbers = |shown: &Value| -> BTreeSet<u64> {
            readings(shown)
                .map(|reading| reading["instance"].as_u64().unwrap())
                .collect()
        };
        assert_eq!(numbers(before), numbers(&after), "{}", device["name"]);
        let Some(one) = readings(&after).next() else {
            continue;
        };
        let drawn = world
            .central
            .get(&format!(
                "/metrics/range?device={}&metric={}&reading={}&step=60",
                device["id"].as_str().unwrap(),
                one["metric"].as_str().unwrap(),
                one["instance"],
            ))
            .await
            .unwrap();
        let series = &drawn["series"][0];
        assert_eq!(series["labels"]["instance"], one["name"], "{drawn}");
        assert!(!series["points"].as_array().unwrap().is_empty(), "{drawn}");
    }
    world.settle().await;
    let found = world.check_counters(false).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    world.end();
}

fn readings(shown: &Value) -> impl Iterator<Item = &Value> {
    shown["items"].as_array().into_iter().flatten()
}

/// Waits until everything that a device measures has a value that is newer than `before`'s.
async fn measured(world: &World, device: &Value, before: Option<&Value>) -> Value {
    let path = format!("/devices/{}/sensors", device["id"].as_str().unwrap());
    eventually(SOON, "every reading has a value", || async {
        let shown = world
            .central
            .get(&path)
            .await
            .map_err(|error| error.to_string())?;
        let asking = shown["asking"]["at"].as_str().ok_or("not read yet")?;
        if before.is_some_and(|before| before["asking"]["at"].as_str() >= Some(asking)) {
            return Err("only old values".to_owned());
        }
        if shown["asking"]["requests"].as_f64() < Some(1.0) {
            return Err(format!("asking costs nothing: {}", shown["asking"]));
        }
        let mut valueless = readings(&shown).filter(|one| one["value"].is_null());
        if let Some(one) = valueless.find(|one| one["status"].is_null()) {
            return Err(one.to_string());
        }
        drop(valueless);
        Ok(shown)
    })
    .await
}

/// What the same profiles make of the device when a person asks it.
fn tested(world: &World, device: &Value) -> Value {
    let address = device["address"].as_str().unwrap();
    let port = world.site.port().to_string();
    let said = Command::new(binary("farwatch-probe").unwrap())
        .args(["profile", "test", "--json", address, "--port", &port])
        .args(["--community", "public"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text} {}", String::from_utf8_lossy(&said.stderr)))
}
