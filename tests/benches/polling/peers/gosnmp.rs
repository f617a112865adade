//! gosnmp (packages golang-go and golang-github-gosnmp-gosnmp-dev): it only fetches.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use farwatch_tests::gauge;
use serde_json::Value;

use crate::fleet::{Fleet, MEASURED};
use crate::report::Cost;

const SOURCES: &str = "/usr/share/gocode";

pub(super) fn measure(fleet: &Fleet, delay: Duration, window: Duration) -> anyhow::Result<Cost> {
    ensure!(
        Path::new(SOURCES).join("src/github.com/gosnmp").is_dir(),
        "golang-github-gosnmp-gosnmp-dev is not installed"
    );
    let dir = tempfile::tempdir()?;
    let source = dir.path().join("src/asker");
    std::fs::create_dir_all(&source)?;
    std::fs::write(source.join("main.go"), include_str!("gosnmp.go"))?;
    let program = dir.path().join("asker");
    let built = Command::new("go")
        .current_dir(&source)
        .env("GO111MODULE", "off")
        .env("GOPATH", format!("{}:{SOURCES}", dir.path().display()))
        .env("GOCACHE", dir.path().join("cache"))
        .args(["build", "-o", &program.display().to_string(), "."])
        .output()
        .context("golang-go is not installed")?;
    ensure!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let at_once = if delay.is_zero() { 64 } else { 1_000 };
    let args = [
        u64::from(fleet.port),
        u64::from(super::DEVICES),
        window.as_secs(),
        at_once,
    ]
    .map(|n| n.to_string());
    let load = gauge::load();
    let mut child = gauge::on_processor(MEASURED, || {
        Command::new(&program)
            .env("GOMAXPROCS", "1")
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
    })?;
    let (mut last, mut peak) = (gauge::read(child.id())?, 0.0);
    let deadline = Instant::now() + window + Duration::from_secs(30);
    while child.try_wait()?.is_none() && Instant::now() < deadline {
        if let (Ok(reading), Ok((_, highest))) =
            (gauge::read(child.id()), gauge::memory_mib(child.id()))
        {
            (last, peak) = (reading, highest);
        }
        crate::pause(Duration::from_millis(10));
    }
    let _ = child.kill();
    let said: Value = serde_json::from_slice(&child.wait_with_output()?.stdout)?;
    let of = |name: &str| said[name].as_f64().unwrap_or(0.0);
    ensure!(of("failed") * 100.0 < of("polls"), "it failed: {said}");
    Ok(Cost {
        memory_mib: peak,
        peak_mib: peak,
        load,
        ..super::cost(
            "gosnmp (fetch only)",
            of("polls"),
            of("values"),
            of("seconds"),
            last.cpu_s,
        )
    })
}
