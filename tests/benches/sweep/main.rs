//! ICMP sweep: the probe's engine and its peers, over addresses of which half are dead.
//!
//! ```text
//! cargo bench -p farwatch-tests --bench sweep -- [--runs 3] [--json FILE]
//! ```
//!
//! Two network namespaces joined by a veth pair; the far one answers for 198.18.0.0/15 (a range set aside for benchmarks,
//! RFC 2544) but for every other block of 2,048 addresses. Needs root, `ip` and `nft`; without them it says so and ends.
//! What the far side's kernel does counts for whoever asked: it is done in the asker's time.

mod asker;
mod namespaces;

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use farwatch_tests::gauge;
use serde::Serialize;

use self::namespaces::Namespaces;

/// One sweep of one program.
#[derive(Debug, Default, Serialize)]
struct Swept {
    who: String,
    hosts: u32,
    found: usize,
    /// Whether those found are exactly those that are there.
    exact: bool,
    wall_s: f64,
    hosts_per_s: f64,
    cpu_us_per_host: f64,
    load: String,
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    if args.first().is_some_and(|arg| arg == asker::ARGUMENT) {
        return asker::run(&args[1..]);
    }
    let (mut runs, mut json) = (3, None);
    for pair in args.chunks(2) {
        match pair {
            [name, value] if name == "--runs" => runs = value.parse()?,
            [name, value] if name == "--json" => json = Some(PathBuf::from(value)),
            _ => bail!("not known: {}", pair.join(" ")),
        }
    }
    let namespaces = match Namespaces::make() {
        Ok(namespaces) => namespaces,
        Err(error) => {
            say(&format!("left out: {error:#}"));
            return Ok(());
        }
    };
    say(&gauge::machine());
    say(&format!(
        "{:<34}{:>8}{:>8}{:>7}{:>9}{:>11}{:>13}{:>7}",
        "who", "hosts", "found", "exact", "wall s", "hosts/s", "CPU us/host", "load"
    ));
    let dir = tempfile::tempdir()?;
    let mut all = Vec::new();
    for (count, pace) in [(4_096, 0), (61_440, 0), (122_880, 0), (20_480, 10_000)] {
        all.push(ours(&namespaces, count, pace, runs)?);
        say(&all[all.len() - 1].line());
    }
    let list = |count: u32| -> anyhow::Result<PathBuf> {
        let path = dir.path().join(count.to_string());
        let lines: Vec<String> = (0..count).map(|n| format!("{}\n", address(n))).collect();
        std::fs::write(&path, lines.concat())?;
        Ok(path)
    };
    let flat = ["-q", "-a", "-r", "0", "-t", "500", "-i", "0", "-f"];
    let paced = ["-q", "-a", "-r", "0", "-t", "500", "-i", "0.1", "-f"];
    let nmap = [
        "-sn",
        "-n",
        "-PE",
        "--send-ip",
        "-T5",
        "--min-rate",
        "20000",
        "--max-retries",
        "0",
        "-oG",
        "-",
        "-iL",
    ];
    let peers: [(&str, &str, &[&str], u32); 5] = [
        ("fping, flat out", "fping", &flat, 4_096),
        ("fping, flat out", "fping", &flat, 61_440),
        ("fping, flat out", "fping", &flat, 122_880),
        ("fping, 10,000 a second", "fping", &paced, 20_480),
        ("nmap -sn -T5, no retry", "nmap", &nmap, 61_440),
    ];
    for (who, program, options, count) in peers {
        match theirs(
            &namespaces,
            who,
            program,
            options,
            &list(count)?,
            count,
            runs,
        ) {
            Ok(swept) => {
                say(&swept.line());
                all.push(swept);
            }
            Err(error) => say(&format!("{who:<34}{count:>8} left out: {error:#}")),
        }
    }
    if let Some(path) = json {
        let whole = serde_json::json!({ "machine": gauge::machine(), "sweeps": all });
        std::fs::write(path, serde_json::to_string_pretty(&whole)? + "\n")?;
    }
    Ok(())
}

/// The probe's engine in a process of its own, in the asking namespace.
fn ours(spaces: &Namespaces, count: u32, pace: u32, runs: u32) -> anyhow::Result<Swept> {
    let me = std::env::current_exe()?;
    let args = [
        asker::ARGUMENT.to_owned(),
        count.to_string(),
        pace.to_string(),
    ];
    let who = match pace {
        0 => "farwatch, flat out".to_owned(),
        pace => format!("farwatch, {pace} a second"),
    };
    measured(spaces, &who, count, runs, |command| {
        command.arg(&me).args(&args);
    })
}

fn theirs(
    spaces: &Namespaces,
    who: &str,
    program: &str,
    options: &[&str],
    list: &Path,
    count: u32,
    runs: u32,
) -> anyhow::Result<Swept> {
    measured(spaces, who, count, runs, |command| {
        command.arg(program).args(options).arg(list);
    })
}

/// Runs it `runs` times; what it cost is the mean, found is of the last run, exact of all.
fn measured(
    spaces: &Namespaces,
    who: &str,
    count: u32,
    runs: u32,
    describe: impl Fn(&mut Command),
) -> anyhow::Result<Swept> {
    let there: Vec<Ipv4Addr> = (0..count).filter(|n| is_there(*n)).map(address).collect();
    let mut swept = Swept {
        who: who.to_owned(),
        hosts: count,
        exact: true,
        load: gauge::load(),
        ..Swept::default()
    };
    let before = gauge::ended_children_s()?;
    for _ in 0..runs {
        let mut command = spaces.command();
        describe(&mut command);
        let start = Instant::now();
        let output = gauge::on_processor(1, || {
            command.stdin(Stdio::null()).stderr(Stdio::piped()).output()
        })
        .context("ip netns exec")?;
        swept.wall_s += start.elapsed().as_secs_f64() / f64::from(runs);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut found: Vec<Ipv4Addr> = text.lines().filter_map(found_in).collect();
        ensure!(
            !found.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
                .lines()
                .next()
                .unwrap_or("it found nothing")
        );
        found.sort_unstable();
        swept.found = found.len();
        swept.exact &= found == there;
    }
    let used = gauge::ended_children_s()? - before;
    swept.cpu_us_per_host = used / f64::from(runs) / f64::from(count) * 1e6;
    swept.hosts_per_s = f64::from(count) / swept.wall_s;
    Ok(swept)
}

/// The address that a line says is up: a line of fping and of ours, or nmap's `Host: … Status: Up`.
fn found_in(line: &str) -> Option<Ipv4Addr> {
    match line.strip_prefix("Host: ") {
        Some(rest) if rest.contains("Status: Up") => rest.split(' ').next()?.parse().ok(),
        Some(_) => None,
        None => line.trim().parse().ok(),
    }
}

/// The address of a number: from 198.18.0.0 on.
fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + number)
}

/// Every other block of 2,048 addresses answers.
const fn is_there(number: u32) -> bool {
    number & 0x800 == 0
}

impl Swept {
    fn line(&self) -> String {
        format!(
            "{:<34}{:>8}{:>8}{:>7}{:>9.2}{:>11.0}{:>13.1}{:>7}",
            self.who,
            self.hosts,
            self.found,
            if self.exact { "yes" } else { "NO" },
            self.wall_s,
            self.hosts_per_s,
            self.cpu_us_per_host,
            self.load
        )
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
