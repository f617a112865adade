//! The whole probe, joined to a whole Central: discovered devices, a steady window, what it cost.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use farwatch_tests::central::{Central, Place};
use farwatch_tests::probe::Probe;
use farwatch_tests::{Kill, gauge};
use serde_json::Value;

use super::fleet::{Fleet, MEASURED, RESPONDER};
use super::report::Cost;
use super::responder;

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// How many devices.
    pub(crate) devices: u32,
    /// How often each is polled.
    pub(crate) interval_s: u32,
    /// How far away each is.
    pub(crate) delay: Duration,
    /// How long the steady window lasts.
    pub(crate) window: Duration,
}

/// A site that is watched.
pub(crate) struct Watched {
    pub(crate) central: Central,
    place: Place,
    pub(crate) probe: Probe,
    port: u16,
    devices: u32,
    _dir: tempfile::TempDir,
}

/// Discovers the devices once, then measures each work in turn with a fresh process.
///
/// # Errors
/// Whatever failed, in words.
pub(crate) async fn measure(fleet: &Fleet, works: &[Work]) -> anyhow::Result<Vec<Cost>> {
    let devices = works.first().context("no work")?.devices;
    let mut watched = Watched::start(fleet.port, devices).await?;
    let discovered = gauge::memory_mib(watched.pid()?)?;
    let mut costs = Vec::new();
    for work in works {
        let mut cost = watched.steady(*work).await?;
        cost.after_discovery_mib = discovered.1;
        super::say(&cost.line());
        costs.push(cost);
    }
    watched.probe.end(Kill::Politely);
    watched.central.end(Kill::Politely);
    Ok(costs)
}

impl Watched {
    /// Joins a probe to a Central of its own, and waits until it has found and read them all.
    pub(crate) async fn start(port: u16, devices: u32) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let central = {
            let path = dir.path().join("central");
            let starting = Central::start(&path);
            // Only the calling thread is pinned, so the start is waited for there.
            pinned(RESPONDER, starting).await?
        };
        if let Some(process) = central.process() {
            renice(process.id());
        }
        let ranges = responder::ranges(devices);
        let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
        let place = central.place("Bench", &ranges, port, &SETTINGS)?;
        let token = central.token(&place.site)?;
        let mut probe = Probe::join(&dir.path().join("probe"), &token)?;
        std::fs::write(
            dir.path().join("probe/probe.toml"),
            format!("[limits]\ndevices = {}\n", devices.max(10_000)),
        )?;
        start_probe(&mut probe)?;
        let watched = Self {
            central,
            place,
            probe,
            port,
            devices,
            _dir: dir,
        };
        watched.all_found().await?;
        Ok(watched)
    }

    /// The probe's process.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.probe.process().context("the probe runs")?.id())
    }

    /// Waits until every device is known, read and up.
    async fn all_found(&self) -> anyhow::Result<()> {
        let limit = Duration::from_secs(60 + u64::from(self.devices) / 20);
        let start = Instant::now();
        loop {
            let status = status(&self.probe.dir);
            let whole = status["devices_up"].as_u64() == Some(self.devices.into())
                && status["discovery"]["state"] == "idle";
            if whole {
                return Ok(());
            }
            if start.elapsed() > limit {
                bail!(
                    "{} of {} devices are up after {limit:?}",
                    status["devices_up"],
                    self.devices
                );
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Sets the intervals of polls and of pings.
    pub(crate) fn configure(&self, poll_s: u32, icmp_s: u32) -> anyhow::Result<()> {
        self.central.cli(&[
            "site",
            "configure",
            "--site",
            &self.place.site,
            "--snmp-port",
            &self.port.to_string(),
            "--poll-interval",
            &format!("{poll_s}s"),
            "--icmp-interval",
            &format!("{icmp_s}s"),
        ])?;
        Ok(())
    }

    /// What the probe says of itself.
    pub(crate) fn status(&self) -> Value {
        status(&self.probe.dir)
    }

    /// Sets the interval, starts the probe anew, and measures from when its polls flow.
    async fn steady(&mut self, work: Work) -> anyhow::Result<Cost> {
        self.configure(work.interval_s, 3_600)?;
        self.probe.end(Kill::Politely);
        let _ = std::fs::remove_file(self.probe.dir.join("status.json"));
        let _ = std::fs::remove_file(self.probe.dir.join("status.json.next"));
        let spawned = Instant::now();
        start_probe(&mut self.probe)?;
        let pid = self.pid()?;
        let mut began = None;
        // Two rounds: with the first, and again a minute later, every counter's raw value is sent; then only hourly.
        let settled = Duration::from_secs(u64::from(work.interval_s)) * 2 + SETTLING;
        let (first, cpu_first) = loop {
            let (status, cpu) = next_status(&self.probe.dir, pid).await?;
            if status["polls_total"].as_u64().unwrap_or(0) > 0 && began.is_none() {
                began = Some(spawned.elapsed());
            }
            if spawned.elapsed() >= settled {
                break (status, cpu);
            }
        };
        let load = gauge::load();
        let (last, cpu_last) = loop {
            let (status, cpu) = next_status(&self.probe.dir, pid).await?;
            if cpu.at - cpu_first.at >= work.window {
                break (status, cpu);
            }
        };
        let of = |status: &Value, name: &str| status[name].as_f64().unwrap_or(0.0);
        let grown = |name: &str| of(&last, name) - of(&first, name);
        let span_s = (of(&last, "at_ms") - of(&first, "at_ms")) / 1_000.0;
        let polls = grown("polls_total");
        ensure!(polls > 0.0, "nothing was polled: {}", last["notices"]);
        let cpu_s = cpu_last.cpu_s - cpu_first.cpu_s;
        let (memory, peak) = gauge::memory_mib(pid)?;
        Ok(Cost {
            who: "farwatch-probe".to_owned(),
            devices: work.devices,
            interval_s: work.interval_s,
            delay_ms: u64::try_from(work.delay.as_millis())?,
            devices_per_s: polls / span_s,
            values_per_device: grown("samples_total") / polls,
            cpu_s_per_1000: cpu_s / polls * 1_000.0,
            cpu_share: cpu_s / span_s,
            memory_mib: memory,
            peak_mib: peak,
            after_discovery_mib: 0.0,
            overran: grown("polls_overran_total"),
            start_s: began.map_or(0.0, |began| began.as_secs_f64()),
            unsent_mib: of(&last["spool"], "unacknowledged_bytes") / 1_048_576.0,
            load,
        })
    }
}

fn start_probe(probe: &mut Probe) -> anyhow::Result<()> {
    let config = probe.dir.join("probe.toml");
    gauge::on_processor(MEASURED, || {
        probe.start_with(&["--config", &config.display().to_string()], &[])
    })
}

async fn pinned<T>(processor: usize, starting: impl Future<Output = T>) -> T {
    // The runtime has one thread: nothing else is started meanwhile.
    let held = gauge::Pin::to(processor);
    let made = starting.await;
    drop(held);
    made
}

/// Central yields to the responder, whose processor it shares.
fn renice(pid: u32) {
    let pid = pid.to_string();
    let _ = Command::new("renice")
        .args(["-n", "10", "-p", &pid])
        .output();
}

fn status(dir: &Path) -> Value {
    let text = std::fs::read_to_string(dir.join("status.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// The next status that the probe writes, and what it had used when it was there.
async fn next_status(dir: &Path, pid: u32) -> anyhow::Result<(Value, gauge::Reading)> {
    // The file changes place with the next one: its inode tells, and costs nobody's time.
    let place = || std::fs::metadata(dir.join("status.json")).map_or(0, |meta| meta.ino());
    let (before, start) = (place(), Instant::now());
    loop {
        if place() != before {
            let used = gauge::read(pid)?;
            let status = status(dir);
            if status["at_ms"].is_i64() {
                return Ok((status, used));
            }
        }
        ensure!(start.elapsed() < Duration::from_secs(60), "no status");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How the devices are found, and nothing but polls from then on.
const SETTINGS: [&str; 12] = [
    "--credential-v2c",
    "public=public",
    "--poll-interval",
    "60s",
    "--icmp-interval",
    "3600s",
    "--discovery-interval",
    "604800s",
    "--inventory-interval",
    "604800s",
    "--icmp-rate",
    "10000",
];
/// How long a started probe is left alone, beside two intervals.
const SETTLING: Duration = Duration::from_secs(10);
