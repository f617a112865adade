//! A real HTTP proxy (tinyproxy) on loopback that wants a name and password.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use crate::process::free_udp_and_tcp_port;

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Tinyproxy {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

/// Starts it; `None` where it is not installed.
///
/// # Errors
/// It is there and does not start.
pub async fn start(name: &str, password: &str) -> anyhow::Result<Option<Tinyproxy>> {
    let dir = tempfile::tempdir()?;
    let port = free_udp_and_tcp_port()?;
    let file = dir.path().join("tinyproxy.conf");
    // No ConnectPort line: CONNECT may go to any port.
    let config = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 50\nBasicAuth {name} {password}\n"
    );
    std::fs::write(&file, config)?;
    let spawned = Command::new("tinyproxy")
        .arg("-d")
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("tinyproxy"),
    };
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    crate::eventually(Duration::from_secs(20), "tinyproxy listens", || async {
        tokio::net::TcpStream::connect(address)
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    Ok(Some(Tinyproxy {
        child,
        address,
        _dir: dir,
    }))
}

impl Tinyproxy {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
