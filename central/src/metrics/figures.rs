//! What the store costs, in figures: samples per CPU second with fsync and sealing, bytes at rest, questions.
//!
//! `cargo test -p farwatch-central --lib figures -- --ignored --nocapture`; `FARWATCH_HOURS=24` for a whole day (the
//! default is 3), `FARWATCH_DEVICES` for another number of devices of 50 series (the default is 200).

use std::time::{Duration, Instant};

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{DeviceNo, Epoch, InstanceNo, Lane, LayoutNo, SampleBatch};
use farwatch_shared::wire::columns;
use farwatch_shared::wire::message::batch::{Batch, LayoutsBody, SAMPLES, layout_hash};

use super::query::{RangeQuery, Source};
use super::{ClockCorrection, Metrics, Pass, Settings};

#[path = "../../benches/metrics/samples.rs"]
#[allow(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shared with the codec's bench, which uses the rest"
)]
mod samples;

use samples::Shape;

/// Samples of one batch at the most.
const BATCH: usize = 2_000;

fn cpu_s() -> f64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap();
    now.tv_sec() as f64 + now.tv_nsec() as f64 / 1e9
}

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
#[ignore = "measures, takes minutes"]
fn figures() {
    for shape in [Shape::Fifty, Shape::Ours] {
        one(
            shape,
            number("FARWATCH_DEVICES", 200),
            number("FARWATCH_HOURS", 3),
        );
    }
}

fn one(shape: Shape, devices: u32, hours: u32) {
    let dir = tempfile::tempdir().unwrap();
    let start_s = 1_795_392_000_i64;
    let clock = Clock::manual(Timestamp::from_secs(start_s));
    let metrics = Metrics::open(dir.path(), Settings::default(), clock.clone()).unwrap();
    let inner = &metrics.0;
    let probe = ProbeId::generate();
    let epoch = Epoch::new(1, 1);
    let layouts = samples::layouts(devices, shape);
    let body = LayoutsBody {
        epoch: epoch.0,
        layouts: layouts
            .values()
            .map(|layout| (layout.clone(), layout_hash(layout)))
            .collect(),
    };
    inner.put_layouts(probe, &body).unwrap();
    let (mut seq, mut count, mut wire) = (0, 0_u64, 0);
    let (mut committing, mut sealing, mut wall) = (0.0, 0.0, 0.0);
    for hour in 0..i64::from(hours) {
        let mut batches = Vec::new();
        let mut samples = SampleBatch::default();
        let mut close = |samples: &mut SampleBatch, second: i64| {
            seq += 1;
            count += samples.samples() as u64;
            let body = columns::encode(samples, &layouts).unwrap();
            wire += body.len();
            *samples = SampleBatch::default();
            batches.push(Batch {
                epoch,
                lane: Lane::Samples.code(),
                seq,
                kind: SAMPLES,
                version: columns::VERSION,
                crc: crc32fast::hash(&body),
                boot_id: String::new(),
                boot_ms: 0,
                from: Timestamp::from_secs(start_s + second),
                to: Timestamp::from_secs(start_s + second),
                body,
            });
        };
        for second in hour * 3_600..(hour + 1) * 3_600 {
            for device in 1..=devices {
                let poll = &layouts[&LayoutNo(device)];
                if second % 60 == i64::from(poll.phase_s) {
                    let step = u64::try_from(second / 60).unwrap();
                    samples
                        .scrapes
                        .push(samples::poll(device, step, shape, poll, start_s));
                }
                if shape == Shape::Ours {
                    let ping = &layouts[&LayoutNo(devices + device)];
                    if second % 10 == i64::from(ping.phase_s) {
                        let step = u64::try_from(second / 10).unwrap();
                        samples
                            .scrapes
                            .push(samples::ping(device, step, ping, start_s));
                    }
                }
            }
            if samples.samples() >= BATCH || second % 5 == 4 && !samples.scrapes.is_empty() {
                close(&mut samples, second);
            }
        }
        let (cpu, started) = (cpu_s(), Instant::now());
        // Sixteen probes' worth arrives together: one group commit.
        for group in batches.chunks(16) {
            inner
                .commit(probe, ClockCorrection::default(), group.to_vec())
                .unwrap();
        }
        committing += cpu_s() - cpu;
        clock.advance(Duration::from_secs(3_600));
        let cpu = cpu_s();
        if hour > 0 {
            inner.seal_pass(Pass::Due).unwrap();
        }
        sealing += cpu_s() - cpu;
        wall += started.elapsed().as_secs_f64();
    }
    clock.advance(Duration::from_secs(600));
    inner.seal_pass(Pass::Due).unwrap();
    let size = |is: fn(&str) -> bool| -> u64 {
        std::fs::read_dir(dir.path().join("days"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| is(&entry.file_name().to_string_lossy()))
            .map(|entry| entry.metadata().unwrap().len())
            .sum()
    };
    let five_minutes = size(|name| name.ends_with(".5min.db"));
    let rolled_hours = size(|name| name.ends_with(".1h.db"));
    let bytes = size(|name| name.ends_with(".db")) - five_minutes - rolled_hours;
    let chunks: u64 = inner
        .days
        .within(i64::MIN, i64::MAX)
        .iter()
        .map(|day| {
            inner
                .days
                .read(*day, |reader| {
                    Ok(reader
                        .connection
                        .query_row("SELECT sum(length(body)) FROM chunks", [], |row| {
                            row.get::<_, i64>(0)
                        })?
                        .cast_unsigned())
                })
                .unwrap()
                .unwrap_or(0)
        })
        .sum();
    let per = |bytes: f64| bytes / count as f64;
    println!("{shape:?}, {devices} devices, {hours} h: {count} samples");
    println!("  wire         {:.3} bytes a sample", per(wire as f64));
    println!(
        "  at rest      {:.3} bytes a sample in chunks, {:.3} in files; roll-ups {:.3} (5 min), {:.3} (1 h)",
        per(chunks as f64),
        per(bytes as f64),
        per(five_minutes as f64),
        per(rolled_hours as f64)
    );
    println!(
        "  committed    {:.2} M samples per CPU second with sealing ({:.0} ns to commit, {:.0} ns to seal each; {wall:.1} s wall)",
        count as f64 / (committing + sealing) / 1e6,
        committing * 1e9 / count as f64,
        sealing * 1e9 / count as f64,
    );
    questions(&metrics, probe, start_s, hours);
}

fn questions(metrics: &Metrics, probe: ProbeId, start_s: i64, hours: u32) {
    let mut times = Vec::new();
    for device in 1..=50 {
        let source = Source {
            probe,
            device: DeviceNo(device),
        };
        let query = RangeQuery {
            sources: vec![source],
            metrics: vec!["ifHCInOctets".to_owned()],
            instances: Some(vec![(source, InstanceNo(3))]),
            from: Timestamp::from_secs(start_s),
            to: Timestamp::from_secs(start_s + i64::from(hours) * 3_600),
            step_s: Some(60),
            raw: false,
        };
        let started = Instant::now();
        let range = metrics.0.range(&query).unwrap();
        times.push(started.elapsed().as_secs_f64() * 1e3);
        assert!(range.series[0].points.len() as i64 >= i64::from(hours) * 60 - 2);
    }
    times.sort_by(f64::total_cmp);
    let started = Instant::now();
    let rounds = 100;
    for _ in 0..rounds {
        assert_eq!(
            metrics
                .top("ifHCInOctets", 10, |_, _, value| Some(value))
                .len(),
            10
        );
    }
    println!(
        "  {hours} h of one series {:.2} ms (median of 50; greatest {:.2}); greatest ten {:.2} ms",
        times[25],
        times[49],
        started.elapsed().as_secs_f64() * 1e3 / f64::from(rounds)
    );
}
