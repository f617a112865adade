//! Prometheus' `snmp_exporter` (package prometheus-snmp-exporter): it fetches and writes text; nobody stores it.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use farwatch_tests::{free_udp_and_tcp_port, gauge};

use crate::fleet::{Fleet, MEASURED};
use crate::report::Cost;
use crate::responder;

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn measure(fleet: &Fleet, delay: Duration, window: Duration) -> anyhow::Result<Cost> {
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("snmp.yml");
    std::fs::write(&config, include_str!("exporter.yml"))?;
    let listen = format!("127.0.0.1:{}", free_udp_and_tcp_port()?);
    let child = gauge::on_processor(MEASURED, || {
        Command::new("prometheus-snmp-exporter")
            .env("GOMAXPROCS", "1")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.listen-address={listen}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    });
    let running = Running(child.context("prometheus-snmp-exporter is not installed")?);
    let pid = running.0.id();
    let at_once = if delay.is_zero() { 16 } else { 256 };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .build()?;
        farwatch_tests::eventually(Duration::from_secs(10), "the exporter answers", || async {
            client.get(format!("http://{listen}/")).send().await
        })
        .await;
        let (polls, values, next) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let load = gauge::load();
        let before = gauge::read(pid)?;
        let end = before.at + window;
        let ask = || async {
            while Instant::now() < end {
                let number = next.fetch_add(1, Ordering::Relaxed) % u64::from(super::DEVICES);
                let number = u32::try_from(number).expect("fewer than there are devices");
                let target = responder::address(number, fleet.port);
                let url = format!("http://{listen}/snmp?module=polled&target={target}");
                let text = client
                    .get(url)
                    .send()
                    .await?
                    .error_for_status()?
                    .text()
                    .await?;
                let lines = text.lines().filter(|line| !line.starts_with('#'));
                let own = lines.filter(|line| !line.starts_with("snmp_scrape"));
                values.fetch_add(own.count() as u64, Ordering::Relaxed);
                polls.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        };
        let asked = (0..at_once).map(|_| ask());
        for outcome in crate::together(asked.collect()).await {
            outcome?;
        }
        let after = gauge::read(pid)?;
        let (memory, peak) = gauge::memory_mib(pid)?;
        let count = |of: &AtomicU64| {
            f64::from(u32::try_from(of.load(Ordering::Relaxed)).unwrap_or(u32::MAX))
        };
        ensure!(count(&polls) > 0.0, "it answered nothing");
        Ok(Cost {
            memory_mib: memory,
            peak_mib: peak,
            load,
            ..super::cost(
                "snmp_exporter (fetch only)",
                count(&polls),
                count(&values),
                (after.at - before.at).as_secs_f64(),
                after.cpu_s - before.cpu_s,
            )
        })
    })
}
