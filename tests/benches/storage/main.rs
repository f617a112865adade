//! Work D: what samples cost at rest, and questions over HTTP, a peer beside it.
//!
//! `cargo bench -p farwatch-tests --bench storage -- [options]`; `tests/benches/README.md` says which, and what came out.

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
mod fleet;
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
use std::time::{Duration, Instant};

use farwatch_central::metrics::{Metrics, Pass, Settings};
use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_tests::Kill;
use farwatch_tests::central::Central;

use feed::{Cut, Probe};
use measure::{Options, Results};
use set::{INTERVAL_S, PER, Set};

const HOUR_STEPS: usize = 60;
const DAY_S: i64 = 86_400;

fn main() -> anyhow::Result<()> {
    let options = Options::read();
    let mut results = Results::new("storage");
    let hours = options.number("--hours", 24);
    let devices = options.number("--devices", 200);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let set = match options.text("--samples") {
        Some(file) => Set::read(Path::new(file), devices, hours * HOUR_STEPS)?,
        None => Set::own(devices, hours * HOUR_STEPS),
    };
    runtime.block_on(ours(&set, &mut results, &options))?;
    if !options.has("--no-peer") {
        theirs(&set, &mut results)?;
    }
    results.finish(options.text("--json"))
}

/// Midnight so many days before today, UTC.
fn midnight(days_ago: i64) -> i64 {
    let now = Clock::system().now().secs();
    (now.div_euclid(DAY_S) - days_ago) * DAY_S
}

async fn ours(set: &Set, results: &mut Results, options: &Options) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut central = Central::start(dir.path()).await?;
    let place = central.place("Bench", &["127.0.0.0/30"], 1161, &[])?;
    central.end(Kill::Politely);

    // A day that ended yesterday at midnight, in the very files of that Central.
    let start_s = midnight(2);
    let clock = Clock::manual(Timestamp::from_secs(start_s));
    let metrics = Metrics::open(dir.path(), Settings::default(), clock.clone())?;
    let cut = Cut {
        samples: options.number("--batch", 2_000),
        jitter_ms: options.number("--jitter", 5) as u64,
        start_s,
    };
    let mut probe = feed::probes(set, 1)
        .remove(0)
        .at(&place.customer, &place.site)?;
    let samples = fill(&metrics, &clock, set, &mut probe, cut).await?;
    let days = dir.path().join("days");
    clock.advance(Duration::from_secs(600));
    metrics.pass(Pass::Due).await?;
    let size = |ending: &str| file_bytes(&days, ending) as f64 / samples as f64;
    results.add(
        "disk, hours sealed, raw + index",
        size("-raw"),
        "B/sample",
        "",
    );
    clock.advance(Duration::from_secs(5 * 3_600));
    metrics.pass(Pass::Due).await?;
    results.add(
        "disk, day compacted, raw + index",
        size("-raw"),
        "B/sample",
        "1.0 / 0.9",
    );
    results.add("disk, roll-ups of 5 min", size(".5min.db"), "B/sample", "");
    results.add("disk, roll-ups of 1 h", size(".1h.db"), "B/sample", "");
    let rest = file_bytes(dir.path(), "metrics.db") as f64 / samples as f64;
    results.add("disk, metrics.db after it", rest, "B/sample", "");
    drop(metrics);

    // Ten thousand devices more, each with a newest round-trip time of this moment.
    let many = options.number("--list", 10_000);
    let (before, _) = measure::memory_of(std::process::id());
    let wide = fleet::ping(&place, many)?;
    fleet::tell(dir.path(), &probe, &wide).await?;
    let (after, _) = measure::memory_of(std::process::id());
    results.say(
        "own memory while filling",
        &format!("{before:.0} to {after:.0} MiB"),
    );

    let started = Instant::now();
    central.restart(&[]).await?;
    results.add(
        "start-up to healthy",
        started.elapsed().as_secs_f64(),
        "s",
        "10 (live view)",
    );
    let pid = central.process().unwrap().id();
    let (resident, _) = measure::memory_of(pid);
    let series = set.devices * PER + many;
    results.add("resident after the start", resident, "MiB", "");
    results.say("series it holds", &series.to_string());

    questions(&central, set, start_s, results).await?;
    results.add(
        "resident after the questions",
        measure::memory_of(pid).0,
        "MiB",
        "",
    );
    central.end(Kill::Politely);
    Ok(())
}

async fn fill(
    metrics: &Metrics,
    clock: &Clock,
    set: &Set,
    probe: &mut Probe,
    cut: Cut,
) -> anyhow::Result<u64> {
    metrics
        .put_layouts(&probe.scope, &probe.layouts_body())
        .await?;
    let mut samples = 0;
    for hour in 0..set.steps / HOUR_STEPS {
        let made = probe.make(set, hour * HOUR_STEPS, (hour + 1) * HOUR_STEPS, cut);
        samples += made.samples;
        feed::commit(metrics, vec![(probe.scope, made.batches)], 16).await?;
        clock.advance(Duration::from_secs(3_600));
        metrics.pass(Pass::Due).await?;
    }
    Ok(samples)
}

/// Bytes of files whose names end so; `-raw` is all that holds samples.
fn file_bytes(folder: &Path, ending: &str) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            if ending == "-raw" {
                !name.contains("5min") && !name.contains("1h") && !name.ends_with("-shm")
            } else {
                name.contains(ending) && !name.ends_with("-shm")
            }
        })
        .map(|entry| entry.metadata().map_or(0, |of| of.len()))
        .sum()
}

async fn questions(
    central: &Central,
    set: &Set,
    start_s: i64,
    results: &mut Results,
) -> anyhow::Result<()> {
    let items = central.list("/devices?q=sw-").await?;
    let device = items
        .iter()
        .find(|item| item["name"] == "sw-0042")
        .and_then(|item| item["id"].as_str())
        .ok_or_else(|| anyhow::anyhow!("sw-0042 is not in the list: {} are", items.len()))?;
    let ports = central
        .get(&format!("/devices/{device}/interfaces"))
        .await?;
    let port = ports["items"][2]["id"].as_str().unwrap().to_owned();
    let cookie = format!("Cookie: {}\r\n", central.cookie());
    let mut http = http::Http::connect(central.http_port(), &cookie)?;
    let (from, to) = (
        start_s * 1_000,
        (start_s + set.steps as i64 * INTERVAL_S) * 1_000,
    );
    let range = |step: u32| {
        format!(
            "/api/v1/metrics/range?device={device}&metric=ifHCInOctets&instance={port}&from={from}&to={to}&step={step}"
        )
    };
    for (step, name) in [
        (0, "300 s, as the console asks"),
        (60, "60 s, every sample"),
    ] {
        let (median, worst, bytes) = http.time(51, |_| range(step))?;
        results.add(
            &format!("24 h of one series, {name}"),
            median,
            "ms over HTTP",
            "3 / 1",
        );
        results.say(
            "  greatest of 51, bytes",
            &format!("{worst:.2} ms, {bytes}"),
        );
    }
    let (median, worst, bytes) =
        http.time(51, |_| "/api/v1/metrics/top?metric=rtt&n=10".to_owned())?;
    results.add(
        "greatest ten of 10,000 series",
        median,
        "ms over HTTP",
        "5 / 2",
    );
    results.say(
        "  greatest of 51, bytes",
        &format!("{worst:.2} ms, {bytes}"),
    );
    let (median, worst, bytes) = http.time(11, |_| "/api/v1/devices?limit=10000".to_owned())?;
    results.add("10,000-device list", median, "ms over HTTP", "100 / 30");
    results.say(
        "  greatest of 11, bytes",
        &format!("{worst:.2} ms, {bytes}"),
    );
    Ok(())
}

fn theirs(set: &Set, results: &mut Results) -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let Some(peer) = peer::Peer::start(data.path())? else {
        results.say(
            "peer",
            "victoria-metrics is not installed; only ours is measured",
        );
        return Ok(());
    };
    let start_s = midnight(2);
    let (cpu, _) = peer::write(&peer, set, (0, set.steps), start_s, 10_000)?;
    let samples = (set.devices * PER * set.steps) as f64;
    results.add(
        "peer: remote write, 10,000 a request",
        samples / cpu,
        "samples/CPU s",
        "VictoriaMetrics",
    );
    let (bytes, index) = peer::merged(&peer, data.path())?;
    results.add(
        "peer: disk, merged",
        bytes as f64 / samples,
        "B/sample",
        "VictoriaMetrics",
    );
    results.add(
        "peer: disk, index",
        index as f64 / samples,
        "B/sample",
        "VictoriaMetrics",
    );
    peer::questions(&peer, set, start_s, results)?;
    results.add(
        "peer: resident",
        measure::memory_of(peer.pid()).0,
        "MiB",
        "VictoriaMetrics",
    );
    Ok(())
}
