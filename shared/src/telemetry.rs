//! Logs: sentences that stand alone, with fields to search by.

use std::str::FromStr;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
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
    #[error("log.filter {filter:?} is not a filter: try \"info\"")]
    Filter {
        /// What was given.
        filter: String,
        /// Why.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Neither text nor json.
    #[error("log.format {0:?} is neither \"text\" nor \"json\"")]
    Format(String),
}

/// Logs to standard error from here on. A second call changes nothing (tests share a process).
///
/// # Errors
/// [`TelemetryError`] says which setting to mend.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::from_str(&config.filter).map_err(|source| TelemetryError::Filter {
        filter: config.filter.clone(),
        source,
    })?;
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
