//! Devices that lie, flood, loop and inject: they stop nothing else and reach the page as text.

use std::time::Duration;

use farwatch_tests::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_zoo_of_hostile_agents_stops_nothing_else() {
    let mut world = World::start(30, |site| site.devices(5).zoo(true))
        .await
        .unwrap();
    let honest: Vec<_> = world
        .site
        .devices()
        .iter()
        .filter(|device| device.hostile().is_none())
        .map(|d| d.address().to_string())
        .collect();
    assert!(
        world.site.devices().len() > honest.len() + 5,
        "there is a zoo"
    );
    farwatch_tests::eventually(
        Duration::from_secs(90),
        "every honest device is up",
        || async {
            let devices = world
                .central
                .list("/devices")
                .await
                .map_err(|error| error.to_string())?;
            let up = devices
                .iter()
                .filter(|d| d["state"] == "up" && honest.iter().any(|a| d["address"] == **a))
                .count();
            if up == honest.len() {
                Ok(())
            } else {
                Err(format!("{up} of {}", honest.len()))
            }
        },
    )
    .await;
    world.settle().await;
    let found = world.check_counters(true).await.unwrap();
    let about_honest: Vec<_> = found
        .problems
        .iter()
        .filter(|p| honest.iter().any(|a| p.starts_with(&format!("{a} "))))
        .collect();
    assert!(about_honest.is_empty(), "{about_honest:?}");
    // Nothing that a device said is longer than its cap or hides a control character.
    let devices = world.central.list("/devices").await.unwrap();
    for device in &devices {
        let name = device["name"].as_str().unwrap();
        assert!(
            name.len() <= 256 && !name.chars().any(char::is_control),
            "{name:?}"
        );
    }
    world.end();
}
