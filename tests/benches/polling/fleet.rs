//! The devices that are asked: those of `../shared/bench/fleet` when it is there and built, else our own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use farwatch_tests::{free_udp_and_tcp_port, gauge};

use super::responder::Responder;

/// Devices that answer; they end with this.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// Where they answer.
    pub(crate) port: u16,
    /// Who plays them.
    pub(crate) name: &'static str,
    _ours: Option<Responder>,
    theirs: Option<Child>,
}

impl Fleet {
    /// Starts them on processor 0, each reply `delay` late.
    ///
    /// # Errors
    /// No port, or the program does not start.
    pub(crate) fn start(program: Option<&Path>, delay: Duration) -> anyhow::Result<Self> {
        let port = free_udp_and_tcp_port()?;
        let Some(program) = program else {
            let ours =
                gauge::on_processor(RESPONDER, || Responder::start(port, INTERFACES, delay))?;
            return Ok(Self {
                port,
                name: "own responder",
                _ours: Some(ours),
                theirs: None,
            });
        };
        let mut command = Command::new(program);
        let (at, interfaces) = (port.to_string(), INTERFACES.to_string());
        let late = delay.as_millis().to_string();
        command
            .args([
                "--port",
                &at,
                "--interfaces",
                &interfaces,
                "--duration",
                "0",
            ])
            .args(["--latency-ms", &late])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = gauge::on_processor(RESPONDER, || command.spawn());
        Ok(Self {
            port,
            name: "fleet",
            _ours: None,
            theirs: Some(child.context("starting fleet")?),
        })
    }

    /// The faster one, where it was built: `FLEET` names it, or it lies where its own scripts put it.
    pub(crate) fn program() -> Option<PathBuf> {
        let named = std::env::var_os("FLEET").map(PathBuf::from);
        let usual = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../shared/bench/poll-peers/build/fleet/release/fleet");
        named.or(Some(usual)).filter(|path| path.is_file())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(child) = &mut self.theirs {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Interfaces of a device.
pub(crate) const INTERFACES: u32 = 24;
/// The responder's processor, which Central shares; who is measured has the other.
pub(crate) const RESPONDER: usize = 0;
/// Where who is measured runs.
pub(crate) const MEASURED: usize = 1;
