//! Two network namespaces joined by a veth pair; gone when dropped.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Half of the addresses answer: see [`super::is_there`]. The far kernel answers as fast as it can.
const RULES: &str = "
table ip sweep {
  chain in {
    type filter hook input priority 0; policy accept;
    icmp type echo-request ip daddr & 0.0.8.0 == 0.0.8.0 drop
    icmp type timestamp-request drop
    tcp flags syn drop
  }
}
";

/// Where it is asked from, and where the addresses are.
#[derive(Debug)]
pub(crate) struct Namespaces {
    near: String,
    far: String,
}

impl Namespaces {
    /// Makes them, under names of this process.
    ///
    /// # Errors
    /// Not root, or `ip` or `nft` are missing.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let id = std::process::id();
        let spaces = Self {
            near: format!("fw-near-{id}"),
            far: format!("fw-far-{id}"),
        };
        spaces
            .set_up()
            .context("namespaces need root, ip and nft")?;
        Ok(spaces)
    }

    fn set_up(&self) -> anyhow::Result<()> {
        let (near, far) = (&self.near, &self.far);
        for line in [
            format!("netns add {near}"),
            format!("netns add {far}"),
            format!("-n {near} link add up0 type veth peer name down0 netns {far}"),
            format!("-n {near} link set lo up"),
            format!("-n {far} link set lo up"),
            format!("-n {near} addr add 198.51.100.1/30 dev up0"),
            format!("-n {far} addr add 198.51.100.2/30 dev down0"),
            format!("-n {near} link set up0 up"),
            format!("-n {far} link set down0 up"),
            format!("-n {near} route add 198.18.0.0/15 via 198.51.100.2"),
            format!("-n {far} route add local 198.18.0.0/15 dev lo"),
        ] {
            ip(&line)?;
        }
        // The far kernel must answer everybody, and not only some a second.
        for setting in [
            "net.ipv4.icmp_ratelimit=0",
            "net.ipv4.icmp_msgs_per_sec=100000000",
            "net.ipv4.icmp_msgs_burst=100000000",
        ] {
            let mut set = Command::new("ip");
            set.args(["netns", "exec", far, "sysctl", "-qw", setting]);
            let _ = set.output(); // not every kernel has each
        }
        let mut nft = Command::new("ip")
            .args(["netns", "exec", far, "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()?;
        let mut rules = nft.stdin.take().context("a pipe")?;
        rules.write_all(RULES.as_bytes())?;
        drop(rules);
        ensure!(nft.wait()?.success(), "nft");
        Ok(())
    }

    /// A command that runs where it is asked from.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.near]);
        command
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in [&self.near, &self.far] {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

fn ip(line: &str) -> anyhow::Result<()> {
    let output = Command::new("ip").args(line.split(' ')).output()?;
    ensure!(
        output.status.success(),
        "ip {line}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
