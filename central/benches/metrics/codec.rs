//! Bytes a sample on the wire, and the time to write and read them.

use std::time::Instant;

use farwatch_shared::model::{LayoutNo, SampleBatch};
use farwatch_shared::wire::columns::{decode, encode};

use crate::samples::{self, Shape};

/// Sizes of batches, and how many devices give so many in five seconds.
const SIZES: [(&str, usize, u32); 4] = [
    ("37 devices", 0, 37),
    ("300", 300, 100),
    ("2,000", 2_000, 500),
    ("40,000", 40_000, 10_000),
];

pub(crate) fn run() {
    println!("samples a batch   polled   bytes   bytes/sample   encode ns   decode ns");
    for shape in [Shape::Fifty, Shape::Ours] {
        for (name, samples, devices) in SIZES {
            one(name, samples, devices, shape);
        }
    }
}

fn one(name: &str, samples: usize, devices: u32, shape: Shape) {
    let layouts = samples::layouts(devices, shape);
    let (mut bytes, mut count, mut batches) = (0, 0, 0_usize);
    let (mut writing, mut reading) = (0.0, 0.0);
    let mut batch = SampleBatch::default();
    let mut close = |batch: &mut SampleBatch| {
        let started = Instant::now();
        let body = encode(batch, &layouts).unwrap();
        writing += started.elapsed().as_secs_f64();
        let started = Instant::now();
        let back = decode(&body, &layouts).unwrap();
        reading += started.elapsed().as_secs_f64();
        assert_eq!(&back, batch);
        bytes += body.len();
        count += batch.samples();
        batches += 1;
        *batch = SampleBatch::default();
    };
    // Second by second, as polls fall due; a batch closes at five seconds or at so many samples.
    for second in 0..(600_000 / i64::from(devices)).clamp(20, 600) {
        for device in 1..=devices {
            let poll = &layouts[&LayoutNo(device)];
            if second % 60 == i64::from(poll.phase_s) {
                let step = (second / 60) as u64 + 100;
                batch
                    .scrapes
                    .push(samples::poll(device, step, shape, poll, 1_700_000_000));
            }
            if shape == Shape::Ours {
                let ping = &layouts[&LayoutNo(devices + device)];
                if second % 10 == i64::from(ping.phase_s) {
                    let step = (second / 10) as u64 + 600;
                    batch
                        .scrapes
                        .push(samples::ping(device, step, ping, 1_700_000_000));
                }
            }
            if samples > 0 && batch.samples() >= samples {
                close(&mut batch);
            }
        }
        if samples == 0 && second % 5 == 4 && !batch.scrapes.is_empty() {
            close(&mut batch);
        }
    }
    let per = 1e9 / count as f64;
    println!(
        "{name:>10} ({:>6})   {:>6}   {:>5}   {:>12.3}   {:>9.0}   {:>9.0}",
        count / batches.max(1),
        if shape == Shape::Fifty {
            "fifty"
        } else {
            "ours"
        },
        bytes / batches.max(1),
        bytes as f64 / count as f64,
        writing * per,
        reading * per,
    );
}
