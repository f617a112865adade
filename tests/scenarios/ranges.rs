//! A person narrows the site's ranges, and puts them back.

use std::collections::BTreeMap;
use std::time::Duration;

use farwatch_tests::eventually;
use farwatch_tests::world::World;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn devices_outside_the_ranges_are_kept_not_asked_and_the_same_when_they_are_back() {
    let mut world = World::start(26, |site| site.devices(6)).await.unwrap();
    let before = ids(&world.devices_up(6, SOON).await);
    let gone = ["127.31.26.4", "127.31.26.5", "127.31.26.6"];

    world.site.devices()[4].set_silent(true);
    eventually(SOON, "one is an incident", || async {
        let open = world.central.list("/incidents?state=active").await;
        match open.map_err(|error| error.to_string())?.len() {
            1 => Ok(()),
            open => Err(format!("{open} incidents")),
        }
    })
    .await;
    configure(&world, "127.31.26.0/30");
    let narrow = eventually(SOON, "three devices are not asked", || async {
        let devices = world
            .central
            .list("/devices")
            .await
            .map_err(|error| error.to_string())?;
        let unknown = devices.iter().filter(|device| {
            let reason = device["state_reason"].as_str().unwrap_or_default();
            device["state"] == "unknown" && reason.contains("outside the site's ranges")
        });
        if unknown.count() == gone.len() {
            Ok(devices)
        } else {
            Err(format!("{devices:?}"))
        }
    })
    .await;
    assert_eq!(ids(&narrow), before, "none is forgotten");
    assert!(
        narrow
            .iter()
            .filter(|device| device["state"] == "unknown")
            .all(|device| gone.contains(&device["address"].as_str().unwrap())),
        "{narrow:?}"
    );
    let open = world.central.list("/incidents?state=active").await.unwrap();
    assert_eq!(
        open,
        Vec::<Value>::new(),
        "nobody waits for what is not watched"
    );

    eventually(SOON, "their slots are gaps that say why", || async {
        let found = world.check_counters(false).await;
        let gaps = found.map_err(|error| error.to_string())?.gaps;
        match gaps.get("not_permitted") {
            Some(_) => Ok(()),
            None => Err(format!("{gaps:?}")),
        }
    })
    .await;

    // The one that was silent answers again: nobody asks it.
    world.site.devices()[4].set_silent(false);
    configure(&world, "127.31.26.0/26");
    let after = world.devices_up(6, SOON).await;
    assert_eq!(ids(&after), before, "the same devices as before");
    world.settle().await;
    let found = world.check_counters(true).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    world.end();
}

fn configure(world: &World, range: &str) {
    world
        .central
        .cli(&[
            "site",
            "configure",
            "--site",
            &world.place.site,
            "--range",
            range,
        ])
        .unwrap();
}

fn ids(devices: &[Value]) -> BTreeMap<String, String> {
    devices
        .iter()
        .map(|device| (device["address"].to_string(), device["id"].to_string()))
        .collect()
}
