//! A probe is dropped into a site: devices appear, their values are the agents' own, their troubles are told.

use std::time::Duration;

use farwatch_tests::{eventually, world::World};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_found_by_discovery_and_shown_with_their_own_values() {
    let mut world = World::start(1, |site| site.devices(12)).await.unwrap();
    let devices = world.devices_up(world.site.devices().len(), SOON).await;
    for device in world.site.devices() {
        let shown = devices
            .iter()
            .find(|shown| shown["address"] == device.address().to_string());
        let shown = shown.unwrap_or_else(|| panic!("{} is not shown", device.address()));
        assert_eq!(shown["name"], device.name(), "{}", device.address());
        assert!(
            shown["interfaces"] == device.ports().len(),
            "{}: {shown}",
            device.address()
        );
    }
    eventually(
        SOON,
        "every port's state and every device's last answer are shown",
        || async {
            for device in &devices {
                states_are_true(&world, device).await?;
            }
            Ok::<_, String>(())
        },
    )
    .await;
    world.settle().await;
    let found = world.check_counters(true).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(found.samples > 100, "{found:?}");
    assert!(
        found.anchors > 24,
        "every device was compared with itself: {found:?}"
    );
    world.end();
}

/// Each port's state as the device has it, from the first poll on: no change of state is needed for it to be known.
async fn states_are_true(world: &World, device: &Value) -> Result<(), String> {
    let id = device["id"].as_str().ok_or("no id")?;
    let whole = world.central.get(&format!("/devices/{id}")).await;
    let whole = whole.map_err(|error| error.to_string())?;
    if whole["last_snmp_at"].is_null() {
        return Err(format!("{id} has no last_snmp_at"));
    }
    let address = device["address"]
        .as_str()
        .and_then(|text| text.parse().ok());
    let agent = world
        .site
        .device_at(address.ok_or("no address")?)
        .ok_or("no agent")?;
    let shown = world
        .central
        .list(&format!("/devices/{id}/interfaces"))
        .await;
    let shown = shown.map_err(|error| error.to_string())?;
    for port in agent.ports() {
        let Some(one) = shown.iter().find(|one| one["if_index"] == port.if_index) else {
            return Err(format!("{id} lacks {}", port.name));
        };
        let word = if port.up { "up" } else { "down" };
        if one["admin_status"].is_null() || one["oper_status"] != word {
            return Err(format!("{} is {word}: {one}", port.name));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_falls_silent_is_one_incident_and_its_return_ends_it() {
    let world = World::start(2, |site| site.devices(6)).await.unwrap();
    world.devices_up(6, SOON).await;
    let quiet = &world.site.devices()[5];
    quiet.set_silent(true);
    let incident = eventually(SOON, "an incident is open", || async {
        let open = world
            .central
            .list("/incidents?state=active")
            .await
            .map_err(|error| error.to_string())?;
        match open.as_slice() {
            [only] => Ok(only.clone()),
            other => Err(format!("{} are open", other.len())),
        }
    })
    .await;
    assert_eq!(incident["title"], format!("{} is down", quiet.name()));
    assert_eq!(incident["kind"], "device_down");
    quiet.set_silent(false);
    eventually(SOON, "the incident is resolved", || async {
        let one = world
            .central
            .get(&format!("/incidents/{}", incident["id"]))
            .await
            .map_err(|error| error.to_string())?;
        if one["state"] == "resolved" {
            Ok(())
        } else {
            Err(one["state"].to_string())
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_is_told_and_leaves_no_spike() {
    let world = World::start(3, |site| site.devices(3)).await.unwrap();
    let devices = world.devices_up(3, SOON).await;
    let device = &world.site.devices()[0];
    let id = devices
        .iter()
        .find(|d| d["address"] == device.address().to_string())
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // A few polls before the reboot, so that there is something to compare with.
    eventually(SOON, "the device was polled", || rates(&world, &id, 3)).await;
    let before = fastest(&rates(&world, &id, 3).await.unwrap());
    device.reboot(Duration::from_secs(1));
    eventually(SOON, "the reboot is told", || async {
        let events = world
            .central
            .list(&format!("/devices/{id}/events"))
            .await
            .map_err(|error| error.to_string())?;
        if events
            .iter()
            .any(|event| event["kind"] == "device_rebooted")
        {
            Ok(())
        } else {
            Err(format!("{} events", events.len()))
        }
    })
    .await;
    let again = eventually(SOON, "the device was polled again", || {
        rates(&world, &id, 8)
    })
    .await;
    assert!(
        fastest(&again) < before.max(1.0) * 20.0,
        "a spike: {before} B/s before, {} B/s after",
        fastest(&again)
    );
}

async fn rates(world: &World, device: &str, points: usize) -> Result<Value, String> {
    let path = format!("/metrics/range?device={device}&metric=ifHCInOctets,ifInOctets&step=2");
    let range = world
        .central
        .get(&path)
        .await
        .map_err(|error| error.to_string())?;
    let most = range["series"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|s| s["points"].as_array().map_or(0, Vec::len))
        .max();
    if most.unwrap_or(0) >= points {
        Ok(range)
    } else {
        Err(format!("{most:?} points"))
    }
}

fn fastest(range: &Value) -> f64 {
    let points = range["series"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|s| s["points"].as_array().into_iter().flatten());
    points
        .filter_map(|point| point[3].as_f64())
        .fold(0.0, f64::max)
}
