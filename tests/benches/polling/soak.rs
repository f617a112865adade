//! Hours under load: memory of both programs, what waits, and how fast people are answered meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use farwatch_tests::{Kill, gauge};
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use super::farwatch::{Watched, Work};
use super::fleet::Fleet;

/// How things stood after a minute of it.
#[derive(Clone, Copy, Debug, Serialize)]
struct Minute {
    at_min: f64,
    probe_mib: f64,
    central_mib: f64,
    probe_cpu_s: f64,
    central_cpu_s: f64,
    polls: f64,
    samples: f64,
    overran: f64,
    devices_up: f64,
    unsent_mib: f64,
    /// The slowest of the answers to what people ask.
    slowest_ms: f64,
}

/// Watches the fleet for `time` while somebody looks on; each minute is a line of JSON.
///
/// # Errors
/// Memory grew, polls were late, batches piled up, devices went down, people waited.
pub(crate) async fn run(
    fleet: &Fleet,
    work: Work,
    time: Duration,
    to: Option<&Path>,
) -> anyhow::Result<()> {
    let mut watched = Watched::start(fleet.port, work.devices).await?;
    watched.configure(work.interval_s, PING_S)?;
    let start = Instant::now();
    let mut every = tokio::time::interval(Duration::from_secs(60));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every.tick().await;
    let mut minutes: Vec<Minute> = Vec::new();
    while start.elapsed() < time {
        every.tick().await;
        minutes.push(look(&watched, start).await?);
        let lines: Result<Vec<_>, _> = minutes.iter().map(serde_json::to_string).collect();
        let lines = lines?;
        super::say(lines.last().map_or("", String::as_str));
        if let Some(path) = to {
            std::fs::write(path, lines.join("\n") + "\n")?;
        }
    }
    watched.probe.end(Kill::Politely);
    watched.central.end(Kill::Politely);
    judge(&minutes)
}

async fn look(watched: &Watched, start: Instant) -> anyhow::Result<Minute> {
    let status = watched.status();
    let of = |name: &str| status[name].as_f64().unwrap_or(0.0);
    let central = watched.central.process().context("Central runs")?.id();
    let probe = watched.pid()?;
    let devices = watched.central.list("/devices").await?;
    let device = devices.first().context("no device")?["id"].clone();
    let range = format!(
        "/metrics/range?device={}&metric=ifHCInOctets",
        device.as_str().unwrap_or_default()
    );
    let mut slowest_ms = 0.0_f64;
    for path in [
        "/overview",
        "/devices?limit=100",
        "/incidents",
        "/health",
        range.as_str(),
    ] {
        let asked = Instant::now();
        watched.central.get(path).await?;
        slowest_ms = slowest_ms.max(asked.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(Minute {
        at_min: start.elapsed().as_secs_f64() / 60.0,
        probe_mib: gauge::memory_mib(probe)?.0,
        central_mib: gauge::memory_mib(central)?.0,
        probe_cpu_s: gauge::read(probe)?.cpu_s,
        central_cpu_s: gauge::read(central)?.cpu_s,
        polls: of("polls_total"),
        samples: of("samples_total"),
        overran: of("polls_overran_total"),
        devices_up: of("devices_up"),
        unsent_mib: status["spool"]["unacknowledged_bytes"]
            .as_f64()
            .unwrap_or(0.0)
            / 1_048_576.0,
        slowest_ms,
    })
}

/// The last quarter against the second: the first one fills caches.
fn judge(minutes: &[Minute]) -> anyhow::Result<()> {
    let quarter = minutes.len() / 4;
    ensure!(quarter > 0, "too short to be judged");
    let last = minutes.last().context("nothing was seen")?;
    let second = &minutes[quarter..quarter * 2];
    let fourth = &minutes[minutes.len() - quarter..];
    let mut wrong = Vec::new();
    for (who, of) in [
        (
            "the probe",
            (|m: &Minute| m.probe_mib) as fn(&Minute) -> f64,
        ),
        ("Central", |m| m.central_mib),
    ] {
        let (before, after) = (median(second, of), median(fourth, of));
        super::say(&format!(
            "{who}: {before:.1} MiB in the second quarter, {after:.1} in the last"
        ));
        if after > before * GROWTH + GROWTH_MIB {
            wrong.push(format!("{who} grew from {before:.1} to {after:.1} MiB"));
        }
    }
    super::say(&format!(
        "slowest answer to people: median {:.1} ms, most {:.1} ms; {:.0} polls, {:.0} samples",
        median(minutes, |m| m.slowest_ms),
        minutes.iter().map(|m| m.slowest_ms).fold(0.0, f64::max),
        last.polls,
        last.samples
    ));
    // Those of the first minute were made late by the new interval.
    let late = last.overran - minutes[0].overran;
    if late > 0.0 {
        wrong.push(format!("{late:.0} polls were late"));
    }
    if fourth.iter().all(|m| m.unsent_mib > UNSENT_MIB) {
        wrong.push(format!("{:.1} MiB wait for Central", last.unsent_mib));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

fn median(minutes: &[Minute], of: impl Fn(&Minute) -> f64) -> f64 {
    let mut values: Vec<f64> = minutes.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Between two echo requests to a device.
const PING_S: u32 = 10;
/// More than this is growth: a twentieth, and what an allocator keeps or gives back.
const GROWTH: f64 = 1.05;
const GROWTH_MIB: f64 = 4.0;
/// A minute's batches of the largest fleet.
const UNSENT_MIB: f64 = 16.0;
