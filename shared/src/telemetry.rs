//! Logs: sentences that stand alone, with fields to search by.

use std::str::FromStr;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// `[log]` of both programs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `level` in files: what is logged, as `tracing` filters say it: `info`, `info,farwatch_probe::snmp=debug`.
    #[serde(alias = "level")]
    pub filter: String,
    /// `text` for people, `json` for machines.
    pub format: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: "text".to_owned(),
        }
    }
}

/// Why the lights would not come on.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("log.level {0:?} is none of error, warn, info, debug, trace: try \"info\"")]
    Filter(String),
    /// Neither text nor json.
    #[error("log.format {0:?} is neither \"text\" nor \"json\"")]
    Format(String),
}

/// Logs to standard error from here on. A second call changes nothing (tests share a process).
///
/// # Errors
/// [`TelemetryError`] says which setting to mend.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = read_filter(&config.filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(BoxMakeWriter::new(std::io::stderr));
    let done = match config.format.as_str() {
        "text" => builder.with_target(false).try_init(),
        "json" => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
        other => return Err(TelemetryError::Format(other.to_owned())),
    };
    if done.is_err() {
        tracing::debug!("logging was already on");
    }
    Ok(())
}

/// A lone word that is no level would be taken for a module's name, and the log would be empty.
fn read_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    let unread = || TelemetryError::Filter(filter.to_owned());
    let is_level = |part: &str| !part.is_empty() && part.trim().parse::<LevelFilter>().is_ok();
    if !filter
        .split(',')
        .all(|part| part.contains('=') || is_level(part))
    {
        return Err(unread());
    }
    EnvFilter::from_str(filter).map_err(|_| unread())
}

/// Resident memory of this process, bytes, from `/proc/self/statm` (second field, in pages); 0 where there is none.
#[must_use]
pub fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|bytes| u64::try_from(bytes).ok())
        .unwrap_or(4_096);
    pages.saturating_mul(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_refused_and_named() {
        for filter in ["info", "warn,farwatch_probe::snmp=debug", "off", "TRACE"] {
            assert!(read_filter(filter).is_ok(), "{filter}");
        }
        for filter in ["verbose", "", "info,farwatch_probe", "info=verbose"] {
            let said = read_filter(filter).unwrap_err().to_string();
            assert!(said.contains(filter) && said.contains("debug"), "{said}");
        }
    }
}
