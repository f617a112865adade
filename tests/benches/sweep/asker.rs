//! The probe's ICMP engine, alone in a process, so that what it costs is seen from outside.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use farwatch_probe::icmp::{Pace, PingConfig, Pinger};

/// What this program is called with to be the asker.
pub(crate) const ARGUMENT: &str = "--ask";

/// `COUNT PACE`: sweeps so many addresses at that pace (0 is flat out) and writes those that answered, one a line.
///
/// # Errors
/// No ICMP here.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let [count, pace] = args else {
        anyhow::bail!("{ARGUMENT} COUNT PACE");
    };
    let count: u32 = count.parse()?;
    let pace = match pace.parse()? {
        0 => Pace::FlatOut,
        pace => Pace::PerSecond(pace),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let found = runtime.block_on(async {
        let pinger = Pinger::bind(PingConfig::default()).context("ICMP")?;
        let addresses = (0..count).map(super::address);
        let mut sweep = pinger.sweep(addresses, pace, Duration::from_millis(500));
        let (mut found, mut told) = (Vec::new(), 0);
        while let Some((address, outcome)) = sweep.next().await {
            told += 1;
            if outcome.is_reply() {
                found.push(address);
            }
        }
        ensure!(told == count, "{told} of {count} outcomes");
        Ok(found)
    })?;
    let lines: Vec<String> = found.iter().map(|address| format!("{address}\n")).collect();
    Ok(std::io::stdout().write_all(lines.concat().as_bytes())?)
}
