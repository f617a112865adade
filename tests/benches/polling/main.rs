//! Polling: the real probe, joined to a real Central, and its peers at the same work.
//!
//! ```text
//! cargo build --release && cargo bench -p farwatch-tests --bench polling -- [--devices 200,1000] [--every 2,60]
//!     [--delay-ms 0] [--window-s 30] [--peers all] [--json FILE] [--plot FILE] [--soak-min 120]
//! ```
//!
//! - [`mib`], [`responder`] devices of our own;  [`fleet`] those, or faster ones where there are some
//! - [`farwatch`] ours;  [`peers`] theirs
//! - [`soak`] hours of ours instead of a comparison
//! - [`report`] table, JSON and plot

mod farwatch;
mod fleet;
mod mib;
mod peers;
mod report;
mod responder;
mod soak;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use farwatch_tests::gauge;

use self::farwatch::Work;
use self::fleet::Fleet;
use self::report::Cost;

/// What is to be run.
#[derive(Clone, Debug)]
struct Options {
    devices: Vec<u32>,
    every_s: Vec<u32>,
    delay: Duration,
    window: Duration,
    peers: Vec<String>,
    json: Option<PathBuf>,
    plot: Option<PathBuf>,
    soak: Option<Duration>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::read(std::env::args().skip(1))?;
    let fleet = Fleet::start(Fleet::program().as_deref(), options.delay)?;
    say(&format!("{}; devices: {}", gauge::machine(), fleet.name));
    say(&Cost::head());
    let mut costs = Vec::new();
    // One thread, so that where a program is started is where it stays.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if let Some(time) = options.soak {
        let work = Work {
            devices: options.devices[0],
            interval_s: options.every_s[0],
            delay: options.delay,
            window: options.window,
        };
        return runtime.block_on(soak::run(&fleet, work, time, options.json.as_deref()));
    }
    for &devices in &options.devices {
        let works: Vec<Work> = options
            .every_s
            .iter()
            .map(|&interval_s| Work {
                devices,
                interval_s,
                delay: options.delay,
                window: options.window,
            })
            .collect();
        costs.extend(runtime.block_on(farwatch::measure(&fleet, &works))?);
    }
    for peer in &options.peers {
        match peers::measure(peer, &fleet, options.delay, options.window) {
            Ok(cost) => {
                say(&cost.line());
                costs.push(cost);
            }
            Err(error) => say(&format!("{peer:<26} left out: {error:#}")),
        }
    }
    if let Some(path) = &options.plot {
        let ours: Vec<&Cost> = costs.iter().filter(|c| c.who == "farwatch-probe").collect();
        report::plot(path, &ours)?;
    }
    if let Some(path) = &options.json {
        report::write(path, &gauge::machine(), fleet.name, &costs)?;
    }
    Ok(())
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            devices: vec![200],
            every_s: vec![2],
            delay: Duration::ZERO,
            window: Duration::from_secs(30),
            peers: peers::ALL.map(str::to_owned).to_vec(),
            json: None,
            plot: None,
            soak: None,
        };
        while let Some(arg) = args.next() {
            if arg == "--bench" {
                continue; // cargo's own
            }
            let value = args
                .next()
                .with_context(|| format!("{arg} wants a value"))?;
            match arg.as_str() {
                "--devices" => options.devices = numbers(&value)?,
                "--every" => options.every_s = numbers(&value)?,
                "--delay-ms" => options.delay = Duration::from_millis(value.parse()?),
                "--window-s" => options.window = Duration::from_secs(value.parse()?),
                "--peers" => options.peers = peers::named(&value),
                "--json" => options.json = Some(value.into()),
                "--plot" => options.plot = Some(value.into()),
                "--soak-min" => {
                    options.soak = Some(Duration::from_secs(value.parse::<u64>()? * 60))
                }
                _ => bail!("{arg} is not known: see the head of benches/polling/main.rs"),
            }
        }
        Ok(options)
    }
}

fn numbers(text: &str) -> anyhow::Result<Vec<u32>> {
    text.split(',').map(|part| Ok(part.parse()?)).collect()
}

/// Nothing is asked of a peer while it works: only the time must pass.
#[expect(clippy::disallowed_methods, reason = "a bench lets time pass")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// All of them at once, in this thread.
async fn together<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut left: Vec<_> = all.into_iter().map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        for (one, outcome) in left.iter_mut().filter(|(_, outcome)| outcome.is_none()) {
            if let std::task::Poll::Ready(value) = one.as_mut().poll(context) {
                *outcome = Some(value);
            }
        }
        if left.iter().all(|(_, outcome)| outcome.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    left.into_iter()
        .filter_map(|(_, outcome)| outcome)
        .collect()
}

/// A line of the table.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
