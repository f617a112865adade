//! What a process costs, from /proc: for benches, which have a peer's process beside ours.

use std::fs;
use std::time::Instant;

use anyhow::Context as _;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// What processes have used up to a moment.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// When.
    pub at: Instant,
    /// User and system time of all of them, seconds.
    pub cpu_s: f64,
}

/// CPU of a process and of its children that still run, in the kernel's steps of 10 ms.
///
/// # Errors
/// It has ended.
pub fn read(pid: u32) -> anyhow::Result<Reading> {
    let mut ticks = ticks(pid)?;
    for child in children(pid) {
        ticks += self::ticks(child).unwrap_or(0);
    }
    Ok(Reading {
        at: Instant::now(),
        cpu_s: seconds(ticks)?,
    })
}

/// CPU of this process's children that have ended, seconds.
///
/// # Errors
/// None on Linux.
pub fn ended_children_s() -> anyhow::Result<f64> {
    seconds(fields(std::process::id(), [13, 14])?)
}

/// Resident memory, MiB: now and at its highest.
///
/// # Errors
/// It has ended.
pub fn memory_mib(pid: u32) -> anyhow::Result<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> anyhow::Result<f64> {
        let line = text.lines().find(|line| line.starts_with(name));
        let kib: u64 = line
            .and_then(|line| line.split_whitespace().nth(1))
            .with_context(|| format!("{name} of process {pid}"))?
            .parse()?;
        Ok(to_f64(kib) / 1_024.0)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// Memory of a process and its children, MiB, with what they share counted once.
#[must_use]
pub fn shared_memory_mib(pid: u32) -> f64 {
    let of = |pid: u32| -> u64 {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("Pss:"));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or(0)
    };
    to_f64(of(pid) + children(pid).into_iter().map(of).sum::<u64>()) / 1_024.0
}

/// The load average of the last minute.
#[must_use]
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

/// The processor's name and the kernel, in one line.
#[must_use]
pub fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unnamed processor", |(_, name)| name);
    let cores = info.lines().filter(|l| l.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} × {name}, Linux {}", kernel.trim())
}

/// This thread on one processor, and all that it starts meanwhile. Without that processor nothing is pinned.
#[derive(Debug)]
pub struct Pin(Option<CpuSet>);

impl Pin {
    /// Until it is dropped.
    #[must_use]
    pub fn to(number: usize) -> Self {
        let me = Pid::from_raw(0);
        let mut one = CpuSet::new();
        let before = sched_getaffinity(me)
            .ok()
            .filter(|before| before.is_set(number).unwrap_or(false));
        let pinned = one.set(number).and_then(|()| sched_setaffinity(me, &one));
        Self(before.filter(|_| pinned.is_ok()))
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = sched_setaffinity(Pid::from_raw(0), before);
        }
    }
}

/// Runs `start` with this thread on one processor: what it starts stays there.
pub fn on_processor<T>(number: usize, start: impl FnOnce() -> T) -> T {
    let _pin = Pin::to(number);
    start()
}

/// User and system time.
fn ticks(pid: u32) -> anyhow::Result<u64> {
    fields(pid, [11, 12])
}

/// The sum of two fields of /proc/PID/stat, counted from after the name.
fn fields(pid: u32, places: [usize; 2]) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name stands in brackets and may hold blanks.
    let (_, rest) = text.rsplit_once(')').context("a line of /proc/PID/stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let mut sum = 0;
    for place in places {
        sum += fields.get(place).context("a short line")?.parse::<u64>()?;
    }
    Ok(sum)
}

fn seconds(ticks: u64) -> anyhow::Result<f64> {
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("ticks a second")?;
    Ok(to_f64(ticks) / to_f64(u64::try_from(per_second)?))
}

fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds and mebibytes of a bench"
)]
const fn to_f64(n: u64) -> f64 {
    n as f64
}
