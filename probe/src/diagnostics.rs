//! `farwatch-probe diagnostics`: everything that helps to find a fault, in one file, without secrets.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use farwatch_shared::bundle::{Bundle, without_secrets};
use farwatch_shared::clock::{Clock, boot_id};
use farwatch_shared::error::Chain;
use serde_json::json;

use crate::config::{CONFIG_FILE, Config};
use crate::{check, spool, status};

/// What the machine allows and how it is set up; each is read as it stands.
const OF_THE_MACHINE: [(&str, &str); 7] = [
    ("ping_group_range", "/proc/sys/net/ipv4/ping_group_range"),
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
pub async fn write(
    config: &Config,
    config_file: Option<&Path>,
    to: Option<&Path>,
    clock: &Clock,
) -> anyhow::Result<PathBuf> {
    let now = clock.now();
    let folder = format!("farwatch-probe-{}", now.secs());
    let path = to.map_or_else(|| PathBuf::from(format!("{folder}.tar.gz")), Path::to_owned);
    let findings = check::look(config, clock).await;
    let mut bundle = Bundle::create(&path, &folder, now)
        .with_context(|| format!("{} cannot be made", path.display()))?;
    let about = json!({
        "program": crate::uplink::PROGRAM,
        "at": now.to_string(),
        "boot_id": boot_id(),
        "data_dir": config.data_dir,
        "sqlite": rusqlite::version(),
        "files": files(&config.data_dir),
    });
    bundle.add("about.json", about.to_string().as_bytes())?;
    bundle.add("check.json", &serde_json::to_vec_pretty(&findings)?)?;
    let file = config_file.unwrap_or_else(|| Path::new(CONFIG_FILE));
    let text = std::fs::read_to_string(file);
    bundle.add_or_why(
        "probe.toml",
        text.map(|text| without_secrets(&text).into_bytes()),
    )?;
    bundle.add_or_why(
        "status.json",
        std::fs::read(config.data_dir.join(status::FILE)),
    )?;
    let ledger = spool::report_of_file(&config.data_dir)
        .map_err(|error| Chain(&error).to_string())
        .and_then(|report| serde_json::to_vec_pretty(&report).map_err(|error| error.to_string()));
    bundle.add_or_why("ledger.json", ledger)?;
    for (name, path) in OF_THE_MACHINE {
        bundle.add_or_why(&format!("machine/{name}"), std::fs::read(path))?;
    }
    bundle.finish()?;
    Ok(path)
}

/// Names, sizes and modes of what is in the data directory; no contents.
fn files(dir: &Path) -> serde_json::Value {
    use std::os::unix::fs::PermissionsExt as _;
    let list = || -> io::Result<Vec<serde_json::Value>> {
        std::fs::read_dir(dir)?
            .map(|entry| {
                let entry = entry?;
                let meta = entry.metadata()?;
                Ok(json!({
                    "name": entry.file_name().to_string_lossy(),
                    "bytes": meta.len(),
                    "mode": format!("{:o}", meta.permissions().mode() & 0o7777),
                }))
            })
            .collect()
    };
    list().map_or_else(|error| json!(error.to_string()), |files| json!(files))
}
