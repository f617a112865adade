//! The same work by others, where they are installed (Debian packages).

mod exporter;
mod gosnmp;
mod zabbix;

use std::time::Duration;

use anyhow::bail;

use super::fleet::Fleet;
use super::report::Cost;

/// Every peer this bench knows.
pub(crate) const ALL: [&str; 3] = ["gosnmp", "snmp_exporter", "zabbix_proxy"];
/// Devices that a peer polls, again and again.
const DEVICES: u32 = 200;

/// `all`, `none`, or names with commas.
pub(crate) fn named(text: &str) -> Vec<String> {
    match text {
        "all" => ALL.map(str::to_owned).to_vec(),
        "none" => Vec::new(),
        names => names.split(',').map(str::to_owned).collect(),
    }
}

/// Lets a peer poll for about `window`, as fast as it can.
///
/// # Errors
/// It is not here, or failed.
pub(crate) fn measure(
    peer: &str,
    fleet: &Fleet,
    delay: Duration,
    window: Duration,
) -> anyhow::Result<Cost> {
    let cost = match peer {
        "gosnmp" => gosnmp::measure(fleet, delay, window)?,
        "snmp_exporter" => exporter::measure(fleet, delay, window)?,
        "zabbix_proxy" => zabbix::measure(fleet, window)?,
        _ => bail!("not known: {}", ALL.join(", ")),
    };
    Ok(Cost {
        devices: DEVICES,
        delay_ms: u64::try_from(delay.as_millis())?,
        ..cost
    })
}

/// What `polls` of so many `values` took.
fn cost(who: &str, polls: f64, values: f64, seconds: f64, cpu_s: f64) -> Cost {
    Cost {
        who: who.to_owned(),
        devices_per_s: polls / seconds,
        values_per_device: values / polls,
        cpu_s_per_1000: cpu_s / polls * 1_000.0,
        cpu_share: cpu_s / seconds,
        ..Cost::default()
    }
}
