//! Central, one customer with one site, a pretend site on loopback, and a joined probe.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;
use farwatch_examples::{Builder, Site};
use farwatch_shared::clock::{Clock, Timestamp};
use serde_json::Value;

use crate::central::{Central, Place};
use crate::checker::{Found, RawSeries};
use crate::eventually;
use crate::probe::Probe;
use crate::process::{Kill, free_udp_and_tcp_port};
use crate::proxy::Proxy;
use crate::shim::Envs;

/// How often the probes of the tests poll.
pub const POLL: Duration = Duration::from_secs(2);
/// Counters of the interfaces that the checker looks at.
const COUNTERS: &str = "ifHCInOctets,ifHCOutOctets,ifInOctets,ifOutOctets";

/// All that a scenario needs; everything ends when it is dropped.
#[derive(Debug)]
pub struct World {
    /// The MSP's server.
    pub central: Central,
    /// The program at the site.
    pub probe: Probe,
    /// The devices.
    pub site: Site,
    /// Whose and where.
    pub place: Place,
    _dir: tempfile::TempDir,
}

impl World {
    /// Starts it all: devices from 127.31.`net`.1 on, shaped by `shape`. The probe is joined and running.
    ///
    /// # Errors
    /// Whatever failed, in words.
    pub async fn start(net: u8, shape: impl FnOnce(Builder) -> Builder) -> anyhow::Result<Self> {
        Self::start_with(net, free_udp_and_tcp_port()?, &[], shape).await
    }

    /// The same with more arguments of `site configure`, and devices on a port that others use too.
    ///
    /// # Errors
    /// Whatever failed, in words.
    pub async fn start_with(
        net: u8,
        port: u16,
        configure: &[&str],
        shape: impl FnOnce(Builder) -> Builder,
    ) -> anyhow::Result<Self> {
        let builder = Site::builder()
            .first(Ipv4Addr::new(127, 31, net, 1))
            .port(port);
        let site = shape(builder).start().await.context("the pretend site")?;
        let range = format!("127.31.{net}.0/26");
        Self::around(site, &format!("Customer {net}"), &range, configure).await
    }

    /// The same around devices that run already, in `range`.
    ///
    /// # Errors
    /// Whatever failed, in words.
    pub async fn around(
        site: Site,
        customer: &str,
        range: &str,
        configure: &[&str],
    ) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let central = Central::start(&dir.path().join("central")).await?;
        Self::joined(site, customer, range, configure, dir, central, "")
    }

    /// The same, with a TCP door that leads past `proxy`, and a probe with this `probe.toml`.
    ///
    /// # Errors
    /// Whatever failed, in words.
    pub async fn behind_with_tcp(proxy: &Proxy, net: u8, probe_toml: &str) -> anyhow::Result<Self> {
        let builder = Site::builder()
            .first(Ipv4Addr::new(127, 31, net, 1))
            .port(free_udp_and_tcp_port()?)
            .devices(6);
        let site = builder.start().await.context("the pretend site")?;
        let dir = tempfile::tempdir()?;
        let config = format!("public_addresses = [\"{}\"]\n", proxy.address());
        let central = Central::start_with_tcp(&dir.path().join("central"), &config).await?;
        proxy.forward_to(central.address());
        let (customer, range) = (format!("Customer {net}"), format!("127.31.{net}.0/26"));
        Self::joined(site, &customer, &range, &[], dir, central, probe_toml)
    }

    /// Devices from 127.31.`net`.1 on, and a probe that reaches Central only through `proxy`.
    ///
    /// # Errors
    /// Whatever failed, in words.
    pub async fn behind(
        proxy: &Proxy,
        net: u8,
        shape: impl FnOnce(Builder) -> Builder,
    ) -> anyhow::Result<Self> {
        let builder = Site::builder()
            .first(Ipv4Addr::new(127, 31, net, 1))
            .port(free_udp_and_tcp_port()?);
        let site = shape(builder).start().await.context("the pretend site")?;
        let dir = tempfile::tempdir()?;
        let config = format!("public_addresses = [\"{}\"]\n", proxy.address());
        let central = Central::start_with(&dir.path().join("central"), &config).await?;
        proxy.forward_to(central.address());
        let (customer, range) = (format!("Customer {net}"), format!("127.31.{net}.0/26"));
        Self::joined(site, &customer, &range, &[], dir, central, "")
    }

    /// Devices from 127.31.`net`.1 on, both programs with an environment of their own, their data in `dir`: `central` and
    /// `probe`.
    ///
    /// # Errors
    /// Whatever failed, in words.
    pub async fn under(
        dir: tempfile::TempDir,
        net: u8,
        (of_central, of_probe): (Envs, Envs),
        shape: impl FnOnce(Builder) -> Builder,
    ) -> anyhow::Result<Self> {
        let builder = Site::builder()
            .first(Ipv4Addr::new(127, 31, net, 1))
            .port(free_udp_and_tcp_port()?);
        let site = shape(builder).start().await.context("the pretend site")?;
        let central = Central::start_under(&dir.path().join("central"), "", of_central).await?;
        let (customer, range) = (format!("Customer {net}"), format!("127.31.{net}.0/26"));
        Self::joined_under(site, (&customer, &range), &[], dir, central, ("", of_probe))
    }

    fn joined(
        site: Site,
        customer: &str,
        range: &str,
        configure: &[&str],
        dir: tempfile::TempDir,
        central: Central,
        probe_toml: &str,
    ) -> anyhow::Result<Self> {
        Self::joined_under(
            site,
            (customer, range),
            configure,
            dir,
            central,
            (probe_toml, Envs::new()),
        )
    }

    fn joined_under(
        site: Site,
        (customer, range): (&str, &str),
        configure: &[&str],
        dir: tempfile::TempDir,
        central: Central,
        (probe_toml, of_probe): (&str, Envs),
    ) -> anyhow::Result<Self> {
        let mut more = vec![
            "--credential-v2c",
            "public=public",
            "--credential-v1",
            "older=public",
            "--credential-v3",
            "core=monitor:SHA-256:look-but-do-not-touch:AES-128:between-you-and-me",
            "--poll-interval",
            "2s",
            "--icmp-interval",
            "2s",
            "--discovery-interval",
            "60s",
        ];
        more.extend(configure);
        let place = central.place(customer, &[range], site.port(), &more)?;
        let token = central.token(&place.site)?;
        let mut probe = Probe::join_with(&dir.path().join("probe"), &token, probe_toml, of_probe)?;
        probe.start(&[])?;
        Ok(Self {
            central,
            probe,
            site,
            place,
            _dir: dir,
        })
    }

    /// Waits until Central lists this many devices that are `up`.
    pub async fn devices_up(&self, count: usize, limit: Duration) -> Vec<Value> {
        eventually(limit, &format!("{count} devices are up"), || async {
            let devices = self
                .central
                .list("/devices")
                .await
                .map_err(|error| error.to_string())?;
            let up = devices
                .iter()
                .filter(|device| device["state"] == "up")
                .count();
            if up == count {
                Ok(devices)
            } else {
                Err(format!("{up} of {} are up", devices.len()))
            }
        })
        .await
    }

    /// Stops all traffic, so that every counter stands still, and waits until the probe has read and Central shown it.
    pub async fn settle(&self) {
        for device in self.site.devices() {
            for port in device.ports() {
                device.set_link(port.if_index, false);
            }
        }
        let still = Clock::system()
            .now()
            .plus_ms(i64::try_from(2 * POLL.as_millis()).expect("a few seconds"));
        eventually(
            Duration::from_secs(60),
            "every counter was read twice since",
            || async {
                self.all_read_after(still)
                    .await
                    .map_err(|error| format!("{error:#}"))
            },
        )
        .await;
        self.ledgers_agree(Duration::from_secs(60)).await;
    }

    /// Every port of every honest device that answers was read at `moment` or later.
    async fn all_read_after(&self, moment: Timestamp) -> anyhow::Result<()> {
        for device in self.central.list("/devices").await? {
            let address = device["address"].as_str().context("an address")?;
            let agent = address
                .parse()
                .ok()
                .and_then(|address| self.site.device_at(address));
            if agent.is_none_or(|agent| agent.hostile().is_some() || agent.is_silent()) {
                continue;
            }
            anyhow::ensure!(device["state"] == "up", "{address} is not up");
            let id = crate::central::id(&device)?;
            let ports = self
                .central
                .list(&format!("/devices/{id}/interfaces"))
                .await?;
            let read_at: Vec<_> = ports
                .iter()
                .filter_map(|port| port["value_at"].as_str())
                .collect();
            let oldest = read_at.iter().min().copied().unwrap_or("no time yet");
            anyhow::ensure!(
                ports.is_empty() || !read_at.is_empty() && oldest >= moment.to_string().as_str(),
                "{address} was read at {oldest}"
            );
        }
        Ok(())
    }

    /// Waits until Central has committed everything that is durable at the probe.
    pub async fn ledgers_agree(&self, limit: Duration) {
        eventually(limit, "both ledgers say the same", || async {
            let held = self.probe.ledger().map_err(|error| error.to_string())?;
            let probe = self.probe_id().await.map_err(|error| error.to_string())?;
            let shown = self
                .central
                .get(&format!("/probes/{probe}/ledger"))
                .await
                .map_err(|error| error.to_string())?;
            match crate::checker::ledgers(&held, &shown) {
                problems if problems.is_empty() => Ok(()),
                problems => Err(problems.join("; ")),
            }
        })
        .await;
    }

    /// The one probe of the site.
    ///
    /// # Errors
    /// There is none.
    pub async fn probe_id(&self) -> anyhow::Result<String> {
        let probes = self.central.list("/probes").await?;
        crate::central::id(probes.first().context("a probe")?)
    }

    /// Looks at every counter of every device, with the device's own truth when `still` (nothing moves any more).
    ///
    /// # Errors
    /// The API does not answer.
    pub async fn check_counters(&self, still: bool) -> anyhow::Result<Found> {
        let mut found = Found::default();
        for device in self.central.list("/devices").await? {
            let id = crate::central::id(&device)?;
            let address: Ipv4Addr = device["address"].as_str().context("an address")?.parse()?;
            let interfaces = self
                .central
                .list(&format!("/devices/{id}/interfaces"))
                .await?;
            let range = self
                .central
                .get(&format!(
                    "/metrics/range?device={id}&metric={COUNTERS}&raw=true"
                ))
                .await?;
            for series in range["series"].as_array().context("series")? {
                let labels = &series["labels"];
                let metric = labels["metric"].as_str().unwrap_or_default();
                let interface = interfaces
                    .iter()
                    .find(|interface| interface["id"] == labels["interface_id"]);
                let if_index = interface.and_then(|interface| interface["if_index"].as_u64());
                let truth = match (still, if_index, self.site.device_at(address)) {
                    (true, Some(if_index), Some(device)) if device.hostile().is_none() => {
                        truth(device, metric, u32::try_from(if_index)?)
                    }
                    _ => None,
                };
                let name = format!(
                    "{address} {} {metric}",
                    interface.map_or("?", |i| i["name"].as_str().unwrap_or("?"))
                );
                let raw = RawSeries::read(&name, series);
                let interval = i64::try_from(POLL.as_millis()).expect("two seconds");
                found.and(raw.check_counter(interval, truth));
            }
        }
        Ok(found)
    }

    /// Ends both programs, politely.
    pub fn end(&mut self) {
        self.probe.end(Kill::Politely);
        self.central.end(Kill::Politely);
    }
}

fn truth(device: &farwatch_examples::Device, metric: &str, if_index: u32) -> Option<u64> {
    use farwatch_examples::Column;
    let column = match metric {
        "ifHCInOctets" | "ifInOctets" => Column::InOctets,
        "ifHCOutOctets" | "ifOutOctets" => Column::OutOctets,
        _ => return None,
    };
    let value = device.counter(if_index, column);
    Some(if metric.starts_with("ifHC") {
        value
    } else {
        value & u64::from(u32::MAX)
    })
}
