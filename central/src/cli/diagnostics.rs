//! `farwatch-central diagnostics`: everything that helps to find a fault, in one file, without secrets.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use farwatch_shared::bundle::Bundle;
use farwatch_shared::clock::{Clock, boot_id};
use serde_json::json;

use super::ask::Ask;
use crate::config::Config;

/// What Central says of itself.
const ASKED: [(&str, &str); 4] = [
    ("health.json", "/api/v1/health"),
    ("summary.json", "/local/summary"),
    ("probes.json", "/api/v1/probes?limit=10000"),
    ("audit-verify.json", "/local/audit-verify"),
];
/// What the machine allows and how it is set up; each is read as it stands.
const OF_THE_MACHINE: [(&str, &str); 6] = [
    ("rmem_max", "/proc/sys/net/core/rmem_max"),
    ("limits", "/proc/self/limits"),
    ("meminfo", "/proc/meminfo"),
    ("loadavg", "/proc/loadavg"),
    ("uptime", "/proc/uptime"),
    ("os-release", "/etc/os-release"),
];

/// Writes the bundle; where it is.
///
/// # Errors
/// The file is there already or cannot be written. What cannot be had is named in the bundle instead.
pub(super) async fn write(
    ask: &Ask,
    config: &Config,
    to: Option<PathBuf>,
) -> anyhow::Result<PathBuf> {
    let now = Clock::system().now();
    let folder = format!("farwatch-central-{}", now.secs());
    let path = to.unwrap_or_else(|| PathBuf::from(format!("{folder}.tar.gz")));
    let mut bundle = Bundle::create(&path, &folder, now)
        .with_context(|| format!("{} cannot be made", path.display()))?;
    let about = json!({
        "program": concat!("farwatch-central ", env!("CARGO_PKG_VERSION")),
        "at": now.to_string(),
        "boot_id": boot_id(),
        "sqlite": rusqlite::version(),
        "files": files(&config.data_dir),
    });
    bundle.add("about.json", about.to_string().as_bytes())?;
    // Its settings are paths, addresses and times: secrets are never written there.
    bundle.add("settings.txt", format!("{config:#?}\n").as_bytes())?;
    for (name, asked) in ASKED {
        let said = ask
            .get(asked)
            .await
            .map(|said| format!("{said:#}\n").into_bytes());
        bundle.add_or_why(name, said.map_err(|error| format!("{error:#}")))?;
    }
    for (name, path) in OF_THE_MACHINE {
        bundle.add_or_why(&format!("machine/{name}"), std::fs::read(path))?;
    }
    bundle.finish()?;
    Ok(path)
}

/// Names and sizes of what is in the data directory and in `days`; no contents.
fn files(dir: &Path) -> Vec<serde_json::Value> {
    [dir.to_owned(), dir.join("days")]
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| {
            let bytes = entry.metadata().map(|meta| meta.len()).ok();
            json!({ "name": entry.path().strip_prefix(dir).unwrap_or(&entry.path()), "bytes": bytes })
        })
        .collect()
}
