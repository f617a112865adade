//! A crowd of probes that come back at once: how long until all have a session again, and how Central feels meanwhile.
//!
//! `FARWATCH_CROWD=10000 cargo bench -p farwatch-tests --bench crowd` after `cargo build --release`. Each probe of the
//! crowd has joined for real; it dials, greets and reports as a probe does, over QUIC on loopback. Then Central is killed
//! and started again, and ended in order and started again.

#![allow(clippy::unwrap_used, reason = "a bench fails where it stands")]
#![allow(clippy::print_stdout, reason = "its results are what it prints")]

mod client;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use client::{Client, Counts};
use farwatch_probe::identity::Identity;
use farwatch_shared::clock::Clock;
use farwatch_shared::link::Dialer;
use farwatch_tests::Kill;
use farwatch_tests::central::Central;
use futures::StreamExt as _;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Joins under way at once.
const JOINING: usize = 24;
/// Longer than any promise.
const LIMIT: Duration = Duration::from_secs(900);

/// What one return of the crowd showed.
struct Round {
    what: &'static str,
    half: Duration,
    all: Duration,
    failed: u64,
    dialled: u64,
    refused: u64,
    page_p95: Duration,
    page_worst: Duration,
    rss_mib: u64,
    cpu: f64,
}

#[tokio::main(flavor = "multi_thread")]
async fn main() -> anyhow::Result<()> {
    let size = std::env::var("FARWATCH_CROWD")
        .ok()
        .and_then(|size| size.parse().ok())
        .unwrap_or(1_000);
    let dir = tempfile::tempdir()?;
    let mut central = Central::start(&dir.path().join("central")).await?;
    let began = Instant::now();
    let identities = join_all(&mut central, &dir.path().join("probes"), size).await?;
    println!("{size} probes joined in {:.1?}", began.elapsed());

    let (counts, clock, end) = (
        Arc::new(Counts::default()),
        Clock::system(),
        CancellationToken::new(),
    );
    let mut crowd = JoinSet::new();
    for identity in &identities {
        let client = Client::new(identity, central.address(), &clock, &counts);
        crowd.spawn(client.run(Dialer::new(), end.clone()));
    }
    let mut rounds = vec![all_there(&central, &counts, size, "all dial at once").await?];
    central.end(Kill::Hard);
    nobody_there(&counts).await;
    central.restart(&[]).await?;
    rounds.push(all_there(&central, &counts, size, "Central was killed").await?);
    central.end(Kill::Politely);
    nobody_there(&counts).await;
    central.restart(&[]).await?;
    rounds.push(all_there(&central, &counts, size, "Central was restarted").await?);
    end.cancel();
    while crowd.join_next().await.is_some() {}
    central.end(Kill::Politely);
    show(size, &rounds);
    Ok(())
}

/// One join token and one join per probe, several at once.
async fn join_all(central: &mut Central, dir: &Path, size: usize) -> anyhow::Result<Vec<Identity>> {
    let place = central.place("Crowd", &["127.31.90.0/26"], 1_161, &[])?;
    let clock = Clock::system();
    let mut tokens = Vec::with_capacity(size);
    for number in 0..size {
        let body = json!({ "site_id": place.site, "probe_name": format!("probe-{number}") });
        let made = central.post("/join-tokens", body).await?;
        tokens.push(made["token"].as_str().unwrap().to_owned());
    }
    let joins = tokens.into_iter().enumerate().map(|(number, token)| {
        let (at, clock) = (dir.join(number.to_string()), &clock);
        async move {
            farwatch_probe::join::join(&token, &at, None, None, clock).await?;
            anyhow::Ok(Identity::load(&at)?.expect("it has joined"))
        }
    });
    let joined: Vec<_> = futures::stream::iter(joins)
        .buffer_unordered(JOINING)
        .collect()
        .await;
    joined.into_iter().collect()
}

/// Waits until every probe has its session; meanwhile a page is asked for again and again.
async fn all_there(
    central: &Central,
    counts: &Counts,
    size: usize,
    what: &'static str,
) -> anyhow::Result<Round> {
    let began = Instant::now();
    let before = [&counts.failed, &counts.dialled, &counts.refused]
        .map(|count| count.load(Ordering::Relaxed));
    let pid = central.process().unwrap().id();
    let cpu_before = cpu_seconds(pid);
    let (mut half, mut pages) = (None, Vec::new());
    loop {
        let asked = Instant::now();
        central.get("/overview").await?;
        pages.push(asked.elapsed());
        let sessions = counts.sessions.load(Ordering::Relaxed);
        if sessions * 2 >= size {
            half.get_or_insert_with(|| began.elapsed());
        }
        if sessions == size {
            break;
        }
        anyhow::ensure!(
            began.elapsed() < LIMIT,
            "{sessions} of {size} after {LIMIT:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let all = began.elapsed();
    pages.sort();
    let [failed, dialled, refused] = [&counts.failed, &counts.dialled, &counts.refused]
        .map(|count| count.load(Ordering::Relaxed));
    Ok(Round {
        what,
        half: half.unwrap_or(all),
        all,
        failed: failed - before[0],
        dialled: dialled - before[1],
        refused: refused - before[2],
        page_p95: pages[(pages.len() * 95 / 100).min(pages.len() - 1)],
        page_worst: *pages.last().unwrap(),
        rss_mib: peak_rss_mib(pid),
        cpu: cpu_seconds(pid) - cpu_before,
    })
}

async fn nobody_there(counts: &Counts) {
    farwatch_tests::eventually(LIMIT, "every probe has noticed", || async {
        match counts.sessions.load(Ordering::Relaxed) {
            0 => Ok(()),
            left => Err(left),
        }
    })
    .await;
}

fn show(size: usize, rounds: &[Round]) {
    println!("\n{size} probes, one machine for both sides");
    println!(
        "| return | half back | all back | dials | failed | refused | page p95 | page worst | Central's peak memory | Central's CPU |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for round in rounds {
        println!(
            "| {} | {:.1?} | {:.1?} | {} | {} | {} | {:.0?} | {:.0?} | {} MiB | {:.1} s |",
            round.what,
            round.half,
            round.all,
            round.dialled,
            round.failed,
            round.refused,
            round.page_p95,
            round.page_worst,
            round.rss_mib,
            round.cpu
        );
    }
}

/// `VmHWM` of `/proc/PID/status`.
fn peak_rss_mib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .map_or(0, |kib| kib / 1_024)
}

/// User and system time of `/proc/PID/stat`, in seconds (100 ticks each).
fn cpu_seconds(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}
