//! Our programs as processes: started with a log of their own, ended by id.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How a process is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// `SIGTERM`: it may finish what it holds.
    Politely,
    /// `SIGKILL`: as a power cut does to a process.
    Hard,
}

/// One of our programs, running.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` (`farwatch-central`, `farwatch-probe`), its log appended to `log`.
    ///
    /// # Errors
    /// It was not built: `cargo build --workspace` first.
    pub fn start(
        program: &str,
        args: &[&str],
        envs: &[(String, String)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .context("the log")?;
        let child = Command::new(binary(program)?)
            .args(args)
            .envs(envs.iter().cloned())
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it and waits for its end; one that has ended already is fine.
    pub fn end(&mut self, how: Kill) -> Option<ExitStatus> {
        let signal = if how == Kill::Hard {
            Signal::SIGKILL
        } else {
            Signal::SIGTERM
        };
        self.signal(signal);
        self.child.wait().ok()
    }

    /// Sends a signal, e.g. `SIGSTOP`.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
    }

    /// Its exit status, when it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.end(Kill::Hard);
        }
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(4_000);
            eprintln!(
                "--- end of {}\n{}",
                self.log.display(),
                log.get(from..).unwrap_or(&log)
            );
        }
    }
}

/// Runs one of our programs to its end; its standard output as JSON when there is any.
///
/// # Errors
/// It failed: with what it said.
pub(crate) fn run(program: &str, args: &[&str]) -> anyhow::Result<serde_json::Value> {
    run_under(program, args, &[])
}

/// The same with more environment.
///
/// # Errors
/// It failed: with what it said.
pub(crate) fn run_under(
    program: &str,
    args: &[&str],
    envs: &[(String, String)],
) -> anyhow::Result<serde_json::Value> {
    let output = Command::new(binary(program)?)
        .env("RUST_BACKTRACE", "0")
        .envs(envs.iter().cloned())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {program}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "{program} {}: {}: {said}{}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(serde_json::from_str(said.trim()).unwrap_or(serde_json::Value::Null))
}

/// A port that is free on 127.0.0.1 for UDP and TCP at the moment of asking.
///
/// # Errors
/// None could be found.
pub fn free_udp_and_tcp_port() -> anyhow::Result<u16> {
    for _ in 0..50 {
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let port = tcp.local_addr()?.port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1")
}

/// Beside the test's own binary: `target/<profile>/<program>`; or where `FARWATCH_PROGRAMS` says.
///
/// # Errors
/// It is not built.
pub fn binary(program: &str) -> anyhow::Result<PathBuf> {
    let me = std::env::current_exe()?;
    let path = match std::env::var_os("FARWATCH_PROGRAMS") {
        Some(dir) => PathBuf::from(dir),
        None => me
            .parent()
            .and_then(Path::parent)
            .context("a test lives in target/<profile>/deps")?
            .to_owned(),
    }
    .join(program);
    if path.exists() {
        Ok(path)
    } else {
        bail!(
            "{} is not built: run `cargo build --workspace` first",
            path.display()
        )
    }
}
