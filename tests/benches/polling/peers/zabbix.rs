//! Zabbix' proxy (package zabbix-proxy-sqlite3), whole: it polls, stores in SQLite, and sends.
//!
//! Its database is filled by us, so that it needs no server; every item is due each second, which is more than it
//! manages. Who takes what it sends says "success" and looks no further.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use farwatch_tests::{free_udp_and_tcp_port, gauge};
use rusqlite::{Connection, params};

use crate::fleet::{Fleet, INTERFACES, MEASURED};
use crate::report::Cost;
use crate::responder;

const SCHEMA: &str = "/usr/share/zabbix-proxy-sqlite3/schema.sql.gz";
/// Processes that poll; each waits for its answer.
const POLLERS: u32 = 8;
/// How long it may load its configuration and settle.
const WARMING: Duration = Duration::from_secs(10);
/// What farwatch-probe reads of each interface.
const COLUMNS: [&str; 10] = [
    "1.3.6.1.2.1.31.1.1.1.6",
    "1.3.6.1.2.1.31.1.1.1.7",
    "1.3.6.1.2.1.31.1.1.1.10",
    "1.3.6.1.2.1.31.1.1.1.11",
    "1.3.6.1.2.1.2.2.1.7",
    "1.3.6.1.2.1.2.2.1.8",
    "1.3.6.1.2.1.2.2.1.13",
    "1.3.6.1.2.1.2.2.1.14",
    "1.3.6.1.2.1.2.2.1.19",
    "1.3.6.1.2.1.2.2.1.20",
];

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

pub(super) fn measure(fleet: &Fleet, window: Duration) -> anyhow::Result<Cost> {
    ensure!(
        Path::new(SCHEMA).is_file(),
        "zabbix-proxy-sqlite3 is not installed"
    );
    let dir = tempfile::tempdir()?;
    let database = dir.path().join("proxy.db");
    fill(&database, fleet.port)?;
    let sink = TcpListener::bind("127.0.0.1:0")?;
    let config = dir.path().join("proxy.conf");
    std::fs::write(
        &config,
        config_text(
            dir.path(),
            sink.local_addr()?.port(),
            free_udp_and_tcp_port()?,
        ),
    )?;
    let over = Arc::new(AtomicBool::new(false));
    let taking = take(sink, over.clone())?;
    let child = gauge::on_processor(MEASURED, || {
        Command::new("zabbix_proxy")
            .args(["-f", "-c", &config.display().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    });
    let running = Running(child.context("zabbix_proxy is not installed")?);
    let pid = running.0.id();
    crate::pause(WARMING);
    let load = gauge::load();
    let (before, stored) = (gauge::read(pid)?, stored(&database)?);
    crate::pause(window);
    let (after, stored_after) = (gauge::read(pid)?, self::stored(&database)?);
    let memory = gauge::shared_memory_mib(pid);
    drop(running);
    over.store(true, Ordering::Relaxed);
    let _ = taking.join();
    let per_device = f64::from(1 + INTERFACES) * 10.0 - 9.0;
    let values = stored_after - stored;
    ensure!(values > 0.0, "it stored nothing: {}", log(dir.path()));
    Ok(Cost {
        memory_mib: memory,
        peak_mib: memory,
        load,
        ..super::cost(
            "zabbix_proxy (whole)",
            values / per_device,
            values,
            (after.at - before.at).as_secs_f64(),
            after.cpu_s - before.cpu_s,
        )
    })
}

/// A proxy that has had its configuration: hosts, and an item for each value.
#[expect(
    clippy::disallowed_methods,
    reason = "another program's database, by its own schema"
)]
fn fill(path: &Path, port: u16) -> anyhow::Result<()> {
    let schema = Command::new("zcat").arg(SCHEMA).output()?.stdout;
    let mut c = Connection::open(path)?;
    c.execute_batch("PRAGMA journal_mode = WAL;")?;
    c.execute_batch(&String::from_utf8(schema)?)?;
    let tx = c.transaction()?;
    let mut item = 0;
    for device in 0..super::DEVICES {
        let (host, address) = (10_000 + device, *responder::address(device, port).ip());
        tx.execute(
            "INSERT INTO hosts (hostid, host, name, status) VALUES (?1, ?2, ?2, 0)",
            params![host, format!("device {device}")],
        )?;
        tx.execute(
            "INSERT INTO interface (interfaceid, hostid, main, type, useip, ip, port) VALUES (?1, ?1, 1, 2, 1, ?2, ?3)",
            params![host, address.to_string(), port.to_string()],
        )?;
        tx.execute(
            "INSERT INTO interface_snmp (interfaceid, version, bulk, community) VALUES (?1, 2, 1, 'public')",
            params![host],
        )?;
        let ports = (1..=INTERFACES)
            .flat_map(|port| COLUMNS.iter().map(move |column| format!("{column}.{port}")));
        for oid in std::iter::once("1.3.6.1.2.1.1.3.0".to_owned()).chain(ports) {
            item += 1;
            tx.execute(
                "INSERT INTO items (itemid, type, snmp_oid, hostid, name, key_, delay, value_type, interfaceid, status)
                 VALUES (?1, 20, ?2, ?3, ?2, ?2, '1s', 3, ?3, 0)",
                params![item, oid, host],
            )?;
            tx.execute(
                "INSERT INTO item_rtdata (itemid) VALUES (?1)",
                params![item],
            )?;
        }
    }
    tx.commit()?;
    drop(c);
    // The proxy leaves root's rights where there is a user for it.
    let dir = path.parent().context("a file has a directory")?;
    let _ = Command::new("chown")
        .arg("-R")
        .arg("zabbix")
        .arg(dir)
        .output();
    Ok(())
}

fn config_text(dir: &Path, server: u16, listen: u16) -> String {
    let dir = dir.display();
    format!(
        "Server=127.0.0.1:{server}\nHostname=bench\nLogFile={dir}/proxy.log\nPidFile={dir}/proxy.pid\nSocketDir={dir}\n\
         DBName={dir}/proxy.db\nListenPort={listen}\nStartPollers={POLLERS}\nStartPollersUnreachable=1\n\
         StartPreprocessors=2\nCacheSize=256M\nHistoryCacheSize=256M\nHistoryIndexCacheSize=64M\n\
         ConfigFrequency=3600\nDataSenderFrequency=1\nAllowRoot=1\nTimeout=4\n"
    )
}

/// Values it has put into its database since it started.
#[expect(
    clippy::disallowed_methods,
    reason = "another program's database, by its own schema"
)]
fn stored(path: &Path) -> anyhow::Result<f64> {
    let c = Connection::open(path)?;
    c.busy_timeout(Duration::from_secs(20))?;
    Ok(c.query_row(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'proxy_history'",
        [],
        |row| row.get(0),
    )?)
}

fn log(dir: &Path) -> String {
    let text = std::fs::read_to_string(dir.join("proxy.log")).unwrap_or_default();
    let from = text.len().saturating_sub(300);
    text.get(from..).unwrap_or_default().to_owned()
}

/// Answers whatever it sends: data with success, a question for its configuration (which is short) with a refusal.
fn take(sink: TcpListener, over: Arc<AtomicBool>) -> std::io::Result<std::thread::JoinHandle<()>> {
    sink.set_nonblocking(true)?;
    std::thread::Builder::new()
        .name("sink".to_owned())
        .spawn(move || {
            while !over.load(Ordering::Relaxed) {
                match sink.accept() {
                    Ok((stream, _)) => {
                        let _ = answer(stream);
                    }
                    Err(_) => crate::pause(Duration::from_millis(5)),
                }
            }
        })
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = [0; 13];
    stream.read_exact(&mut head)?;
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let mut body = vec![0; number(5).min(64 << 20) as usize];
    stream.read_exact(&mut body)?;
    let is_data = number(9) >= 300;
    let said = if is_data {
        r#"{"response":"success"}"#
    } else {
        r#"{"response":"failed","info":"none"}"#
    };
    let mut out = b"ZBXD\x01".to_vec();
    out.extend(u32::try_from(said.len()).unwrap_or(0).to_le_bytes());
    out.extend([0; 4]);
    out.extend(said.as_bytes());
    stream.write_all(&out)
}
