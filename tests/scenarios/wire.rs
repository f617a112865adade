//! On a network with a cable: what pings say, and what a pulled plug does.

use std::net::Ipv4Addr;
use std::time::Duration;

use farwatch_examples::Site;
use farwatch_shared::clock::Clock;
use farwatch_tests::cable::{self, Cable};
use farwatch_tests::{Kill, eventually, world::World};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);
const HERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 250);
/// Between two pings.
const SLOT_MS: i64 = 2_000;
/// A thing that answers pings and nothing else.
const MUTE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 30);

#[test]
fn pings_and_a_plug_are_judged_on_a_network_of_its_own() {
    cable::inside("wire::inside");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by pings_and_a_plug_are_judged_on_a_network_of_its_own"]
async fn inside() {
    let site = Site::builder()
        .first(Ipv4Addr::new(10, 77, 0, 1))
        .port(161)
        .devices(5);
    let (cable, site) = Cable::lay(HERE, &[MUTE], site).await.unwrap();
    let mut world = World::around(site, "Cable", "10.77.0.0/24", &[])
        .await
        .unwrap();
    let devices = world.devices_up(6, SOON).await;
    let mute = devices
        .iter()
        .find(|device| device["address"] == MUTE.to_string());
    assert_eq!(mute.unwrap()["snmp"], "none");
    eventually(SOON, "every device has been pinged for a while", || async {
        for device in &devices {
            let pings = Pings::read(&world, device).await?;
            if pings.loss.len() < 5 || pings.rtt.len() < 5 {
                return Err(format!("{}: {pings:?}", device["address"]));
            }
            assert!(pings.loss.iter().all(|(_, loss)| *loss == 0.0), "{pings:?}");
            assert!(pings.rtt.iter().all(|(_, rtt)| *rtt > 0.0), "{pings:?}");
            assert_eq!(pings.gaps, Vec::<Value>::new());
        }
        Ok::<_, String>(())
    })
    .await;

    // Pings are dropped on the way, SNMP is not: five are degraded, and the one that knows nothing else is down.
    cable.answer_pings(false).await.unwrap();
    eventually(SOON, "five are degraded, one is down", || {
        states(&world, &[("degraded", 5), ("down", 1)])
    })
    .await;
    let open = incidents(&world, 1).await;
    assert_eq!(open[0]["kind"], "device_down");
    let lost = eventually(SOON, "the loss is shown", || async {
        let now = list(&world, "/devices").await?;
        if now
            .iter()
            .all(|device| device["loss_ratio"] == 1.0 && device["rtt_ms"].is_null())
        {
            return Ok(now);
        }
        Err(format!("{now:?}"))
    })
    .await;
    assert_eq!(lost.len(), 6);
    cable.answer_pings(true).await.unwrap();
    world.devices_up(6, SOON).await;
    incidents(&world, 0).await;
    for device in &devices {
        let pings = Pings::read(&world, device).await.unwrap();
        let lost: Vec<_> = pings.loss.iter().filter(|(_, loss)| *loss == 1.0).collect();
        let (Some((first, _)), Some((last, _))) = (lost.first(), lost.last()) else {
            panic!("no loss is shown: {pings:?}")
        };
        assert!(
            !pings.rtt.iter().any(|(at, _)| (first..last).contains(&at)),
            "there was no answer: {pings:?}"
        );
        assert_eq!(
            pings.gaps,
            Vec::<Value>::new(),
            "lost pings are values, not gaps"
        );
    }

    // Now nothing gets through; what the devices counted meanwhile is covered, and nobody is left over afterwards.
    cable.plug(false).await.unwrap();
    eventually(SOON, "nobody answers, and nobody is blamed", || {
        states(&world, &[("unreachable", 6)])
    })
    .await;
    let open = incidents(&world, 1).await;
    assert_eq!(open[0]["kind"], "site_unreachable");
    eventually(SOON, "the one incident counts them all", || async {
        let open = list(&world, "/incidents?state=active").await?;
        match open[0]["consequence"].as_str() {
            Some("6 devices unreachable") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    cable.plug(true).await.unwrap();
    world.devices_up(6, SOON).await;
    incidents(&world, 0).await;
    world.settle().await;
    let found = world.check_counters(true).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(found.samples > 100, "{found:?}");

    // The probe dies in the middle of its pings: each of their slots has a value, or a gap that says why.
    for _ in 0..5 {
        world.probe.end(Kill::Hard);
        world.probe.start(&[]).unwrap();
        let started = Clock::system().now().ms();
        eventually(SOON, "it pings again", || async {
            let pings = Pings::read(&world, &devices[0]).await?;
            match pings.loss.last() {
                Some((at, _)) if *at > started => Ok(()),
                last => Err(format!("{last:?}")),
            }
        })
        .await;
    }
    world.settle().await;
    for device in &devices {
        let pings = Pings::read(&world, device).await.unwrap();
        assert_eq!(pings.nowhere(), Vec::<i64>::new(), "{pings:?}");
        assert!(!pings.gaps.is_empty(), "five kills leave gaps");
    }
    world.end();
}

/// What is shown of a device's pings: (ms, value).
#[derive(Debug, Default)]
struct Pings {
    rtt: Vec<(i64, f64)>,
    loss: Vec<(i64, f64)>,
    gaps: Vec<Value>,
}

impl Pings {
    async fn read(world: &World, device: &Value) -> Result<Self, String> {
        let id = device["id"].as_str().ok_or("no id")?;
        let from = Clock::system().now().plus_ms(-300_000).ms();
        let path = format!("/metrics/range?device={id}&metric=rtt,loss_ratio&step=2&from={from}");
        let range = world.central.get(&path).await;
        let range = range.map_err(|error| error.to_string())?;
        let mut pings = Self::default();
        for series in range["series"].as_array().into_iter().flatten() {
            let points = series["points"].as_array().into_iter().flatten();
            let points = points.filter_map(|point| Some((point[0].as_i64()?, point[1].as_f64()?)));
            match series["labels"]["metric"].as_str() {
                Some("rtt") => pings.rtt.extend(points),
                Some("loss_ratio") => pings.loss.extend(points),
                other => return Err(format!("{other:?}")),
            }
            pings
                .gaps
                .extend(series["gaps"].as_array().cloned().unwrap_or_default());
        }
        Ok(pings)
    }

    /// Slots between the first and the last that are neither shown nor covered.
    fn nowhere(&self) -> Vec<i64> {
        let covered = |slot: i64| {
            self.gaps.iter().any(|gap| {
                let (from, to) = (gap["from"].as_i64().unwrap(), gap["to"].as_i64().unwrap());
                (from - SLOT_MS..=to + SLOT_MS / 2).contains(&slot)
            })
        };
        let slots = self.loss.windows(2).flat_map(|pair| {
            let slots = (1..).map(move |nth| pair[0].0 + nth * SLOT_MS);
            slots.take_while(move |slot| *slot < pair[1].0)
        });
        slots.filter(|slot| !covered(*slot)).collect()
    }
}

async fn list(world: &World, path: &str) -> Result<Vec<Value>, String> {
    world
        .central
        .list(path)
        .await
        .map_err(|error| error.to_string())
}

async fn states(world: &World, wanted: &[(&str, usize)]) -> Result<(), String> {
    let now = list(world, "/devices").await?;
    for (state, count) in wanted {
        let found = now
            .iter()
            .filter(|device| device["state"] == *state)
            .count();
        if found != *count {
            return Err(format!("{found} are {state}"));
        }
    }
    Ok(())
}

async fn incidents(world: &World, count: usize) -> Vec<Value> {
    eventually(SOON, &format!("{count} incidents are open"), || async {
        let open = list(world, "/incidents?state=active").await?;
        if open.len() == count {
            Ok(open)
        } else {
            Err(format!("{open:?}"))
        }
    })
    .await
}
