//! The pretend site: forty devices on loopback that answer SNMP, to see Farwatch work without a network.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use farwatch_examples::timeline::Cycle;
use farwatch_examples::truth::Truth;
use farwatch_examples::{Site, Timeline};
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

/// A company's devices on loopback addresses: routers, switches, access points, servers, printers and more.
///
/// Community `public` for most, SNMPv1 only for two, SNMPv3 (user `monitor`, SHA-256, AES-128) for the core.
/// Durations are written like `90s` or `2m`; an `--…-every` of `0s` switches that part of the programme off.
#[derive(Debug, Parser)]
struct Cli {
    /// Address of the first device; the others follow it.
    #[arg(long, default_value = "127.30.0.1")]
    first: Ipv4Addr,
    /// How many devices; beyond 40 there are more floors of the same.
    #[arg(long, default_value_t = 40)]
    devices: usize,
    /// UDP port that all of them answer at.
    #[arg(long, default_value_t = 1161)]
    port: u16,
    /// The same seed gives the same devices and the same traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Adds hostile agents, one of each sort, at the addresses after the devices'.
    #[arg(long)]
    zoo: bool,
    /// Nothing goes wrong by itself.
    #[arg(long)]
    calm: bool,
    /// Writes what really is and happens to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Keeps in this file when the site first opened, so that its devices outlive this program.
    #[arg(long, value_name = "FILE")]
    remember: Option<PathBuf>,
    /// Ends by itself after this time.
    #[arg(long, value_parser = humantime::parse_duration)]
    lasts: Option<Duration>,
    /// Lists the devices and ends.
    #[arg(long)]
    list: bool,

    #[arg(long, value_parser = humantime::parse_duration, default_value = "90s")]
    reboot_first: Duration,
    #[arg(long, value_parser = humantime::parse_duration, default_value = "5m")]
    reboot_every: Duration,
    #[arg(long, value_parser = humantime::parse_duration, default_value = "10s")]
    reboot_takes: Duration,
    #[arg(long, value_parser = humantime::parse_duration, default_value = "60s")]
    down_first: Duration,
    #[arg(long, value_parser = humantime::parse_duration, default_value = "4m")]
    down_every: Duration,
    #[arg(long, value_parser = humantime::parse_duration, default_value = "45s")]
    down_for: Duration,
    #[arg(long, value_parser = humantime::parse_duration, default_value = "75s")]
    flap_first: Duration,
    #[arg(long, value_parser = humantime::parse_duration, default_value = "3m")]
    flap_every: Duration,
    #[arg(long, value_parser = humantime::parse_duration, default_value = "40s")]
    flap_for: Duration,
    /// The share of requests that one device loses, 0 to 1.
    #[arg(long, default_value_t = 0.2)]
    lossy_share: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let now_ms = Timestamp::now().as_millisecond();
    let opened_ms = match &cli.remember {
        Some(path) => remembered(path, now_ms)?,
        None => now_ms,
    };
    let open_for = Duration::from_millis(u64::try_from(now_ms - opened_ms).unwrap_or(0));
    let port = if cli.list { 0 } else { cli.port };
    let site = Site::builder()
        .first(cli.first)
        .port(port)
        .devices(cli.devices)
        .seed(cli.seed)
        .zoo(cli.zoo)
        .timeline(cli.timeline())
        .open_for(open_for)
        .start()
        .await
        .context(
            "a pretend device could not start; is another pretend site running? (--port, --first)",
        )?;
    if cli.list {
        // A reader that has seen enough, such as `head`, is no failure.
        return list(&site)
            .or_else(|error| {
                if error.kind() == io::ErrorKind::BrokenPipe {
                    Ok(())
                } else {
                    Err(error)
                }
            })
            .context("standard output");
    }
    // Starting took a moment; the truth counts from the devices' own zero.
    let truth_ms = Timestamp::now().as_millisecond() - milliseconds(site.now());
    let truth = cli
        .truth
        .as_deref()
        .map(|path| Truth::begin(path, &site, truth_ms))
        .transpose();
    let truth = truth.context("the truth file cannot be written")?;
    let last = site
        .devices()
        .last()
        .map_or(cli.first, farwatch_examples::Device::address);
    let count = site.devices().len();
    writeln!(
        io::stdout(),
        "pretend site: {count} devices answer at {} to {last}, port {}",
        cli.first,
        site.port()
    )
    .context("standard output")?;
    let truth = until_told_to_stop(&site, truth, cli.lasts).await?;
    if let Some(truth) = truth {
        truth
            .end(&site)
            .context("the truth file cannot be written")?;
    }
    site.stop().await;
    Ok(())
}

async fn until_told_to_stop(
    site: &Site,
    mut truth: Option<Truth>,
    lasts: Option<Duration>,
) -> anyhow::Result<Option<Truth>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut tick = tokio::time::interval(TELL_EVERY);
    let end = tokio::time::sleep(lasts.unwrap_or(Duration::from_secs(FOR_EVER)));
    tokio::pin!(end);
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(truth),
            _ = terminate.recv() => return Ok(truth),
            () = &mut end => return Ok(truth),
            _ = tick.tick() => {
                if let Some(truth) = &mut truth {
                    truth.go_on(site).context("the truth file cannot be written")?;
                }
            }
        }
    }
}

impl Cli {
    fn timeline(&self) -> Timeline {
        if self.calm {
            return Timeline::quiet();
        }
        Timeline {
            reboot: Cycle::new(self.reboot_first, self.reboot_every, self.reboot_takes),
            outage: Cycle::new(self.down_first, self.down_every, self.down_for),
            flap: Cycle::new(self.flap_first, self.flap_every, self.flap_for),
            lossy_share: self.lossy_share,
        }
    }
}

/// When the site first opened, Unix ms: from the file, or now and then for ever.
fn remembered(path: &Path, now_ms: i64) -> anyhow::Result<i64> {
    match std::fs::read_to_string(path) {
        Ok(text) => text
            .trim()
            .parse()
            .with_context(|| format!("{} holds no time", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::write(path, format!("{now_ms}\n"))
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(now_ms)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn milliseconds(seconds: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a site is open for years, not for ages"
    )]
    let ms = (seconds * 1000.0) as i64;
    ms
}

fn list(site: &Site) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for device in site.devices() {
        let access = device.access();
        let version = match (access.users.is_empty(), access.v2c) {
            (false, _) => "v3",
            (true, true) => "v2c",
            (true, false) => "v1",
        };
        let (address, kind, size) = (device.address(), device.kind(), device.size());
        writeln!(
            out,
            "{address}\t{version}\t{kind}\t{size} objects\t{}",
            device.name().escape_debug()
        )?;
    }
    Ok(())
}

const TELL_EVERY: Duration = Duration::from_millis(250);
/// Seconds: thirty years.
const FOR_EVER: u64 = 946_080_000;
