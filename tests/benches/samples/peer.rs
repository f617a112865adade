//! VictoriaMetrics beside it: the same samples by Prometheus remote write, the same questions.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::http::Http;
use super::measure::{self, Results};
use super::set::{PER, Set};

const PROGRAM: &str = "victoria-metrics";

/// A running peer; ends with this.
pub(crate) struct Peer {
    child: Child,
    port: u16,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// `None`: it is not installed.
    pub(crate) fn start(data: &Path) -> anyhow::Result<Option<Self>> {
        let port = farwatch_tests::free_udp_and_tcp_port()?;
        let child = Command::new(PROGRAM)
            .arg(format!("-storageDataPath={}", data.display()))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .args(["-retentionPeriod=100y", "-search.disableCache"])
            .env("GOMAXPROCS", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let peer = Self { child, port };
        let started = Instant::now();
        while Http::connect(port, "")
            .and_then(|mut http| http.get("/health"))
            .is_err()
        {
            anyhow::ensure!(
                started.elapsed() < Duration::from_secs(30),
                "{PROGRAM} does not answer"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Some(peer))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn connect(&self) -> anyhow::Result<Http> {
        Http::connect(self.port, "")
    }
}

/// Steps `[from, to)` of the whole set in the order of time, so many samples a request; CPU seconds of the peer until it
/// rests, and bytes sent.
pub(crate) fn write(
    peer: &Peer,
    set: &Set,
    steps: (usize, usize),
    start_s: i64,
    each: usize,
) -> anyhow::Result<(f64, u64)> {
    measure::settle(peer.pid());
    let before = measure::cpu_of(peer.pid());
    let mut http = peer.connect()?;
    let more = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n\
                X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
    let mut request = Vec::new();
    let (mut count, mut bytes) = (0, 0);
    for step in steps.0..steps.1 {
        for series in 0..set.devices * PER {
            let at_ms = (start_s + step as i64 * super::set::INTERVAL_S) * 1_000;
            one(&mut request, series, at_ms, set.shown(series, step));
            count += 1;
            if count == each {
                bytes += post(&mut http, more, &mut request)?;
                count = 0;
            }
        }
    }
    if count > 0 {
        bytes += post(&mut http, more, &mut request)?;
    }
    let _ = http.get("/internal/force_flush");
    measure::settle(peer.pid());
    Ok((measure::cpu_of(peer.pid()) - before, bytes))
}

fn post(http: &mut Http, more: &str, request: &mut Vec<u8>) -> anyhow::Result<u64> {
    let body = snappy(request);
    http.post("/api/v1/write", more, &body)
        .context("remote write")?;
    request.clear();
    Ok(body.len() as u64)
}

/// Snappy's framing with nothing compressed: the receiver pays less than it would.
fn snappy(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + plain.len() / 16_384 + 16);
    varint(plain.len() as u64, &mut out);
    for part in plain.chunks(65_536) {
        out.push(61 << 2);
        out.extend_from_slice(&(part.len() as u16).wrapping_sub(1).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}

const NAMES: [&str; 8] = [
    "ifHCInOctets",
    "ifHCOutOctets",
    "ifInErrors",
    "ifOutErrors",
    "ifOperStatus",
    "ifHighSpeed",
    "sysUpTime",
    "ping_ms",
];

/// One `TimeSeries` with one sample, as a remote-write request holds it.
fn one(out: &mut Vec<u8>, series: usize, at_ms: i64, value: f64) {
    let (device, k) = (series / PER, series % PER);
    let name = if k < 48 { NAMES[k % 6] } else { NAMES[k - 42] };
    let mut body = Vec::with_capacity(160);
    let mut label = |key: &str, value: &str| {
        let mut label = Vec::new();
        field(1, key.as_bytes(), &mut label);
        field(2, value.as_bytes(), &mut label);
        field(1, &label, &mut body);
    };
    label("__name__", name);
    label(
        "device",
        &format!("sw-{device:04}.site{:03}.example", device / 20),
    );
    if k < 48 {
        label("ifIndex", &(k / 6 + 1).to_string());
        label("ifName", &format!("Gi1/0/{}", k / 6 + 1));
    }
    label("tenant", &format!("customer-{:02}", device / 100));
    let mut sample = vec![0x09];
    sample.extend_from_slice(&value.to_le_bytes());
    sample.push(0x10);
    varint(at_ms.cast_unsigned(), &mut sample);
    field(2, &sample, &mut body);
    field(1, &body, out);
}

fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The same two questions.
pub(crate) fn questions(
    peer: &Peer,
    set: &Set,
    start_s: i64,
    results: &mut Results,
) -> anyhow::Result<()> {
    let mut http = peer.connect()?;
    let end = start_s + set.steps as i64 * super::set::INTERVAL_S;
    let (median, _, _) = http.time(21, |at| {
        let query = format!("ifHCInOctets%7Bdevice%3D%22sw-{:04}.site{:03}.example%22%2CifIndex%3D%223%22%7D", at + 40, (at + 40) / 20);
        format!("/api/v1/query_range?query=rate({query}%5B5m%5D)&start={start_s}&end={end}&step=60&nocache=1")
    })?;
    results.add(
        "peer: one series, rate, its whole time, 60 s",
        median,
        "ms over HTTP",
        "VictoriaMetrics",
    );
    let (median, _, _) = http.time(11, |_| {
        format!(
            "/api/v1/query?query=topk(10%2C%7Bdevice!%3D%22%22%7D)&time={}&nocache=1",
            end - 30
        )
    })?;
    results.add(
        "peer: greatest ten of all series",
        median,
        "ms over HTTP",
        "VictoriaMetrics",
    );
    Ok(())
}

/// Disk after everything is merged, bytes: data, index.
pub(crate) fn merged(peer: &Peer, data: &Path) -> anyhow::Result<(u64, u64)> {
    peer.connect()?.get("/internal/force_merge")?;
    std::thread::sleep(Duration::from_secs(5));
    measure::settle(peer.pid());
    Ok((
        measure::bytes_under(&data.join("data")),
        measure::bytes_under(&data.join("indexdb")),
    ))
}
