//! Work C: samples on the wire and into the store, a peer beside it.
//!
//! `cargo bench -p farwatch-tests --bench ingest -- [options]`; `tests/benches/README.md` says which, and what came out.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    reason = "a bench measures and prints, and waits for a peer to rest; nothing depends on it"
)]

#[path = "../samples/feed.rs"]
#[allow(dead_code, reason = "shared with the other bench, which uses the rest")]
mod feed;
#[path = "../samples/http.rs"]
#[allow(dead_code, reason = "shared with the other bench, which uses the rest")]
mod http;
#[path = "../samples/measure.rs"]
#[allow(dead_code, reason = "shared with the other bench, which uses the rest")]
mod measure;
#[path = "../samples/peer.rs"]
#[allow(dead_code, reason = "shared with the other bench, which uses the rest")]
mod peer;
#[path = "../samples/set.rs"]
#[allow(dead_code, reason = "shared with the other bench, which uses the rest")]
mod set;

use std::path::Path;
use std::time::Duration;

use farwatch_central::metrics::{Metrics, Pass, Settings};
use farwatch_shared::clock::{Clock, Timestamp};

use feed::Cut;
use measure::{Options, Results, cpu_s};
use set::{INTERVAL_S, PER, Set};

/// A Monday, 2026-11-23 00:00 UTC.
const START_S: i64 = 1_795_392_000;
const HOUR_STEPS: usize = 60;

fn main() -> anyhow::Result<()> {
    let options = Options::read();
    let mut results = Results::new("ingest");
    let hours = options.number("--hours", 4);
    let devices = options.number("--devices", 200);
    let only = options.text("--only").unwrap_or("");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let set = match options.text("--samples") {
        Some(file) => Set::read(Path::new(file), devices, hours * HOUR_STEPS)?,
        None => Set::own(devices, hours * HOUR_STEPS),
    };
    if only.is_empty() || only == "wire" {
        wire(&set, &mut results, &options);
    }
    if only.is_empty() || only == "known" {
        runtime.block_on(known(&set, &mut results, &options))?;
    }
    if only.is_empty() || only == "new" {
        runtime.block_on(new(&mut results, &options))?;
    }
    if !options.has("--no-peer") && (only.is_empty() || only == "peer") {
        theirs(&set, &mut results)?;
    }
    results.finish(options.text("--json"))
}

/// The same two works with the peer: series it has not seen, then series it knows.
fn theirs(set: &Set, results: &mut Results) -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let Some(peer) = peer::Peer::start(data.path())? else {
        results.say(
            "peer",
            "victoria-metrics is not installed; only ours is measured",
        );
        return Ok(());
    };
    let fresh = Set::own(1_000, 20);
    let start_s = START_S - 86_400;
    let (cpu, bytes) = peer::write(&peer, &fresh, (0, fresh.steps), start_s, 2_000)?;
    let samples = (fresh.devices * PER * fresh.steps) as f64;
    results.add(
        "peer: new series, 2,000 a request",
        samples / cpu,
        "samples/CPU s",
        "VictoriaMetrics",
    );
    results.add(
        "peer: wire, not compressed",
        bytes as f64 / samples,
        "B/sample",
        "VictoriaMetrics",
    );
    let (cpu, _) = peer::write(&peer, set, (0, set.steps), START_S, 10_000)?;
    let samples = (set.devices * PER * set.steps) as f64;
    results.add(
        "peer: known series, 10,000 a request",
        samples / cpu,
        "samples/CPU s",
        "VictoriaMetrics",
    );
    Ok(())
}

/// Bytes a sample of a batch's body.
fn wire(set: &Set, results: &mut Results, options: &Options) {
    let jitter_ms = options.number("--jitter", 5) as u64;
    for (samples, goal) in [
        (300, "4 (small sites)"),
        (2_000, "1.5 / 1.3"),
        (10_000, "1.5 / 1.3"),
    ] {
        let cut = Cut {
            samples,
            jitter_ms,
            start_s: START_S,
        };
        let before = cpu_s();
        // Two hours: the first readings and an hour's anchors are among them.
        let made = feed::probes(set, 1)[0].make(set, 0, set.steps.min(2 * HOUR_STEPS), cut);
        let each = (cpu_s() - before) * 1e9 / made.samples as f64;
        let key = format!("wire, {samples} a batch");
        results.add(
            &key,
            made.bytes as f64 / made.samples as f64,
            "B/sample",
            goal,
        );
        results.add(
            &format!("{key}: made and encoded"),
            each,
            "ns CPU/sample",
            "",
        );
    }
}

/// Series known: one long run, hour by hour, each hour sealed and rolled up, the day compacted when it has ended.
async fn known(set: &Set, results: &mut Results, options: &Options) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let clock = Clock::manual(Timestamp::from_secs(START_S));
    let metrics = Metrics::open(dir.path(), Settings::default(), clock.clone())?;
    let mut probes = feed::probes(set, options.number("--probes", 4));
    for probe in &probes {
        metrics
            .put_layouts(&probe.scope, &probe.layouts_body())
            .await?;
    }
    let cut = Cut {
        samples: options.number("--batch", 2_000),
        jitter_ms: options.number("--jitter", 5) as u64,
        start_s: START_S,
    };
    let group = options.number("--group", 16);
    let (mut samples, mut committing, mut sealing, mut wall) = (0, 0.0, 0.0, Duration::ZERO);
    for hour in 0..set.steps / HOUR_STEPS {
        let mut work = Vec::new();
        for probe in &mut probes {
            let made = probe.make(set, hour * HOUR_STEPS, (hour + 1) * HOUR_STEPS, cut);
            samples += made.samples;
            work.push((probe.scope, made.batches));
        }
        let (before, started) = (cpu_s(), std::time::Instant::now());
        feed::commit(&metrics, work, group).await?;
        committing += cpu_s() - before;
        clock.advance(Duration::from_secs(3_600));
        let before = cpu_s();
        metrics.pass(Pass::Due).await?;
        sealing += cpu_s() - before;
        wall += started.elapsed();
    }
    // The last hour has been quiet for long, and the day is over.
    let before = cpu_s();
    clock.advance(Duration::from_secs(26 * 3_600));
    metrics.pass(Pass::Due).await?;
    let compacting = cpu_s() - before;
    let per = |cpu: f64| cpu * 1e9 / samples as f64;
    let all = committing + sealing + compacting;
    results.add(
        "known series, whole",
        samples as f64 / all,
        "samples/CPU s",
        "1 M / 2 M",
    );
    results.add(
        "known: committed with fsync",
        per(committing),
        "ns CPU/sample",
        "",
    );
    results.add(
        "known: sealed and rolled up",
        per(sealing),
        "ns CPU/sample",
        "",
    );
    results.add(
        "known: days compacted",
        per(compacting),
        "ns CPU/sample",
        "",
    );
    results.add(
        "known: wall",
        samples as f64 / wall.as_secs_f64(),
        "samples/s",
        "",
    );
    let days = measure::bytes_under(&dir.path().join("days"));
    results.add(
        "known: day files and roll-ups",
        days as f64 / samples as f64,
        "B/sample",
        "",
    );
    Ok(())
}

/// Series new: layouts and samples of devices that were never seen, 20 readings each.
async fn new(results: &mut Results, options: &Options) -> anyhow::Result<()> {
    let set = Set::own(options.number("--new-devices", 1_000), 20);
    let dir = tempfile::tempdir()?;
    let clock = Clock::manual(Timestamp::from_secs(START_S));
    let metrics = Metrics::open(dir.path(), Settings::default(), clock.clone())?;
    let cut = Cut {
        samples: options.number("--batch", 2_000),
        jitter_ms: 5,
        start_s: START_S,
    };
    let mut work = Vec::new();
    let mut layouts = Vec::new();
    let mut samples = 0;
    for probe in &mut feed::probes(&set, options.number("--new-probes", 10)) {
        layouts.push((probe.scope, probe.layouts_body()));
        let made = probe.make(&set, 0, set.steps, cut);
        samples += made.samples;
        work.push((probe.scope, made.batches));
    }
    let (memory, _) = measure::memory_of(std::process::id());
    let before = cpu_s();
    for (scope, body) in &layouts {
        metrics.put_layouts(scope, body).await?;
    }
    feed::commit(&metrics, work, options.number("--group", 16)).await?;
    let committing = cpu_s() - before;
    clock.advance(Duration::from_secs(20 * INTERVAL_S as u64 + 3_600));
    metrics.pass(Pass::Due).await?;
    let all = cpu_s() - before;
    results.add(
        "new series, whole",
        samples as f64 / all,
        "samples/CPU s",
        "0.5 M / 0.8 M",
    );
    results.add(
        "new: committed with fsync",
        committing * 1e9 / samples as f64,
        "ns CPU/sample",
        "",
    );
    let series = (set.devices * PER) as f64;
    results.add("new: series", series, "series", "");
    // Layouts, newest values and proofs; the hours themselves are sealed by now.
    let grown = measure::memory_of(std::process::id()).0 - memory;
    results.add("new: memory", grown * 1_048_576.0 / series, "B/series", "");
    Ok(())
}
