//! CPU time, memory and sizes of this process and of others; options; one table and one JSON file of results.

use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

/// CPU seconds of this process so far, all threads, user and system.
pub(crate) fn cpu_s() -> f64 {
    let now = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("Linux has this clock");
    now.tv_sec() as f64 + now.tv_nsec() as f64 / 1e9
}

/// CPU seconds of another process so far (in steps of 10 ms).
pub(crate) fn cpu_of(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    let ticks = |at| {
        after
            .split(' ')
            .nth(at)
            .and_then(|text: &str| text.parse::<u64>().ok())
    };
    (ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)) as f64 / 100.0
}

/// Resident memory of a process, MiB: now and at its greatest.
pub(crate) fn memory_of(pid: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    let mib = |name| field(name).unwrap_or(0.0) / 1024.0;
    (mib("VmRSS:"), mib("VmHWM:"))
}

/// Load average of the last minute.
pub(crate) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0.0)
}

/// Bytes of all files under a folder.
pub(crate) fn bytes_under(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(of) if of.is_dir() => bytes_under(&entry.path()),
            Ok(of) => of.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Waits until a process has used no CPU for three seconds.
pub(crate) fn settle(pid: u32) {
    let mut before = -1.0;
    let mut now = cpu_of(pid);
    while now - before > 0.03 {
        before = now;
        std::thread::sleep(Duration::from_secs(3));
        now = cpu_of(pid);
    }
}

/// Options of the form `--name value`.
pub(crate) struct Options(Vec<String>);

impl Options {
    pub(crate) fn read() -> Self {
        Self(
            std::env::args()
                .skip(1)
                .filter(|word| word != "--bench")
                .collect(),
        )
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|word| word == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    pub(crate) fn number(&self, name: &str, default: usize) -> usize {
        self.text(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|word| word == name)
    }
}

/// Results, printed as they come and written at the end.
pub(crate) struct Results {
    rows: Vec<(String, String, String)>,
    json: Map<String, Value>,
}

impl Results {
    pub(crate) fn new(bench: &str) -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu
            .lines()
            .find_map(|line| {
                line.strip_prefix("model name")?
                    .split_once(": ")
                    .map(|(_, name)| name.to_owned())
            })
            .unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let machine = json!({ "cpu": model, "cores": cores, "load_at_start": load() });
        let mut json = Map::new();
        json.insert("bench".to_owned(), bench.into());
        json.insert("machine".to_owned(), machine);
        println!("{bench}: {model}, {cores} cores, load {}", load());
        Self {
            rows: Vec::new(),
            json,
        }
    }

    /// One figure, with what it is held to.
    pub(crate) fn add(&mut self, key: &str, figure: f64, unit: &str, goal: &str) {
        let digits = if figure >= 1_000.0 { 0 } else { 3 };
        println!("  {key:<44} {figure:>12.digits$} {unit:<22} {goal}");
        self.rows.push((
            key.to_owned(),
            format!("{figure:.digits$} {unit}"),
            goal.to_owned(),
        ));
        self.json.insert(
            key.to_owned(),
            json!({ "value": figure, "unit": unit, "goal": goal }),
        );
    }

    pub(crate) fn say(&mut self, key: &str, text: &str) {
        println!("  {key}: {text}");
        self.json.insert(key.to_owned(), text.into());
    }

    /// Prints the table and writes the file.
    pub(crate) fn finish(mut self, path: Option<&str>) -> anyhow::Result<()> {
        self.json.insert("load_at_end".to_owned(), load().into());
        println!("\n| figure | measured | must / aim |\n| --- | --- | --- |");
        for (key, figure, goal) in &self.rows {
            println!("| {key} | {figure} | {goal} |");
        }
        if let Some(path) = path {
            std::fs::write(path, serde_json::to_string_pretty(&self.json)?)?;
        }
        Ok(())
    }
}
