//! Sweeps a network by ICMP echo, flat out or at a pace, and says what it took.
//!
//! `sweep FIRST COUNT TIMEOUT_MS [PER_SECOND]`: `sweep 127.16.0.1 61440 500`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for the terminal of its author"
)]

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use farwatch_probe::icmp::{Pace, PingConfig, PingOutcome, Pinger};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let first = u32::from(arguments[0].parse::<Ipv4Addr>().unwrap());
    let count: u32 = arguments[1].parse().unwrap();
    let timeout = Duration::from_millis(arguments[2].parse().unwrap());
    let pace = arguments
        .get(3)
        .map_or(Pace::FlatOut, |rate| Pace::PerSecond(rate.parse().unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let pinger = Pinger::bind(PingConfig::default()).unwrap();
        let start = Instant::now();
        let (mut up, mut down, mut other) = (0_u64, 0_u64, 0_u64);
        let mut slowest = Duration::ZERO;
        let mut sweep = pinger.sweep((first..first + count).map(Ipv4Addr::from), pace, timeout);
        while let Some((_, outcome)) = sweep.next().await {
            match outcome {
                PingOutcome::Reply { rtt } => {
                    up += 1;
                    slowest = slowest.max(rtt);
                }
                PingOutcome::Timeout => down += 1,
                PingOutcome::Unreachable { .. } | PingOutcome::NotSent { .. } => other += 1,
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("up={up} down={down} other={other} seconds={seconds:.3} slowest={slowest:?} per_s={:.0}", f64::from(count) / seconds);
        println!("{:?}", pinger.stats());
    });
}
