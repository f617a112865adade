//! A network of its own at the end of a cable, for what loopback does not show: ICMP, silence, a pulled plug.
//!
//! The test runs itself again inside a fresh network namespace ([`inside`]); there [`Cable`] makes a second one, joined
//! by a veth pair, in which a pretend site answers. Nothing leaves the machine.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context as _, ensure};
use farwatch_examples::{Builder, Site};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use tokio::sync::{mpsc, oneshot};

/// Set for the process inside the namespace.
const INSIDE: &str = "FARWATCH_TEST_NAMESPACE";
/// This end and that end.
const HERE: &str = "office";
const THERE: &str = "devices";

/// Runs the ignored test `inner` of this program inside a new network namespace; says so when there can be none.
///
/// # Panics
/// The inner test failed.
pub fn inside(inner: &str) {
    let program = std::env::current_exe().expect("the test's own path");
    let run = Command::new("unshare")
        .args(["--net", "--"])
        .arg(program)
        .args(["--exact", inner, "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .output();
    let run = match run {
        Ok(run) => run,
        Err(error) => return skipped(&error.to_string()),
    };
    let said = String::from_utf8_lossy(&run.stdout);
    let wrong = String::from_utf8_lossy(&run.stderr);
    if !said.contains("running 1 test") {
        return skipped(&wrong);
    }
    assert!(
        run.status.success() && said.contains("1 passed"),
        "{said}{wrong}"
    );
}

fn skipped(why: &str) {
    eprintln!("skipped: no network namespace can be made here: {why}");
}

/// The way to the other network, which is gone when this is dropped.
#[derive(Debug)]
pub struct Cable {
    /// Commands to be run over there.
    orders: mpsc::Sender<Order>,
}

type Order = (String, oneshot::Sender<anyhow::Result<()>>);

impl Cable {
    /// Lays it: this end is `here`, in a /24; at the other are the site's devices, and hosts at `others` that only answer
    /// pings.
    ///
    /// # Errors
    /// This is not a namespace of [`inside`], or a command failed: with what it said.
    pub async fn lay(
        here: Ipv4Addr,
        others: &[Ipv4Addr],
        site: Builder,
    ) -> anyhow::Result<(Self, Site)> {
        ensure!(
            std::env::var_os(INSIDE).is_some(),
            "only inside a namespace"
        );
        run("ip link set lo up")?;
        run(&format!("ip link add {HERE} type veth peer name {THERE}"))?;
        run(&format!("ip addr add {here}/24 dev {HERE}"))?;
        run(&format!("ip link set {HERE} up"))?;

        let (tell_thread, thread) = oneshot::channel();
        let (plugged_in, has_link) = oneshot::channel();
        let (tell_site, started) = oneshot::channel();
        let (orders, wanted) = mpsc::channel(1);
        let hosts = [site.addresses(), others.to_vec()].concat();
        // A thread may leave the namespace of its process; what it makes from then on is in its own.
        std::thread::Builder::new()
            .name(THERE.into())
            .spawn(move || {
                let moved = unshare(CloneFlags::CLONE_NEWNET).map(|()| gettid());
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async {
                    let _ = tell_thread.send(moved);
                    if has_link.await.is_ok() {
                        let _ = tell_site.send(settle(hosts, site).await);
                        obey(wanted).await;
                    }
                });
            })?;
        let thread = thread.await?.context("a second namespace")?;
        run(&format!("ip link set {THERE} netns {thread}"))?;
        let _ = plugged_in.send(());
        let site = started.await??;
        Ok((Self { orders }, site))
    }

    /// Whether the hosts over there answer pings (SNMP is answered all the same).
    ///
    /// # Errors
    /// The command's own.
    pub async fn answer_pings(&self, yes: bool) -> anyhow::Result<()> {
        let ignore = i32::from(!yes);
        self.order(format!(
            "sysctl -q -w net.ipv4.icmp_echo_ignore_all={ignore}"
        ))
        .await
    }

    /// Plugs the cable in or pulls it.
    ///
    /// # Errors
    /// The command's own.
    pub async fn plug(&self, in_: bool) -> anyhow::Result<()> {
        let state = if in_ { "up" } else { "down" };
        self.order(format!("ip link set {THERE} {state}")).await
    }

    async fn order(&self, line: String) -> anyhow::Result<()> {
        let (tell, answer) = oneshot::channel();
        self.orders.send((line, tell)).await?;
        answer.await?
    }
}

/// Moves in: addresses first, then the devices.
async fn settle(hosts: Vec<Ipv4Addr>, site: Builder) -> anyhow::Result<Site> {
    run("ip link set lo up")?;
    for host in hosts {
        run(&format!("ip addr add {host}/24 dev {THERE}"))?;
    }
    run(&format!("ip link set {THERE} up"))?;
    site.start().await.context("the pretend site")
}

async fn obey(mut wanted: mpsc::Receiver<Order>) {
    while let Some((line, tell)) = wanted.recv().await {
        let _ = tell.send(run(&line));
    }
}

fn run(line: &str) -> anyhow::Result<()> {
    let mut words = line.split_whitespace();
    let program = words.next().context("a program")?;
    let run = Command::new(program)
        .args(words)
        .output()
        .context(line.to_owned())?;
    ensure!(
        run.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&run.stderr)
    );
    Ok(())
}
