//! `probe.toml`: what the machine's owner decides. It may only narrow what the site's configuration at Central says.

pub mod site;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farwatch_shared::telemetry::LogConfig;
use ipnet::IpNet;
use serde::Deserialize;

use crate::route::ProxyChoice;
use crate::spool::SpoolLimits;

/// Where everything of a probe is, unless told otherwise.
pub const DATA_DIR: &str = "/var/lib/farwatch-probe";
/// Read when it is there and no other file is named.
pub const CONFIG_FILE: &str = "/etc/farwatch/probe.toml";

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Key, certificate, spool. 0700.
    pub data_dir: PathBuf,
    /// What is logged.
    pub log: LogConfig,
    /// What is left of the site's ranges.
    pub narrow: Narrow,
    /// Address of the device nearest to the probe, where that is not the default gateway: outages are blamed from
    /// there on.
    pub first_hop: Option<IpAddr>,
    /// Device profiles of this site, on top of those that come with the program.
    pub profiles: PathBuf,
    /// The HTTP proxy on the way to Central, where UDP is blocked.
    pub proxy: ProxyChoice,
    /// The usual time between two tries of UDP while TCP carries the session: one to three times as long.
    pub udp_retry: Duration,
    /// Bounds of this machine.
    pub limits: Limits,
    /// Bounds of the spool.
    pub spool: SpoolLimits,
    /// How long stopping may take.
    pub shutdown_grace: Duration,
}

/// `[narrow]`: never widens what Central says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Narrow {
    /// Only what also lies in one of these is asked; empty is no limit.
    pub ranges: Vec<IpNet>,
    /// Never asked, whatever Central says.
    pub exclude: Vec<IpNet>,
    /// At most this many echo requests a second while sweeping.
    pub icmp_rate_per_s: Option<u32>,
}

/// `[limits]`: how much this machine may be used.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Devices watched at the most.
    pub devices: usize,
    /// Polls under way at the same time.
    pub polls_at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            devices: 10_000,
            polls_at_once: 2_000,
        }
    }
}

/// Why the configuration cannot be used. Each names the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file that was named is not readable.
    #[error("{path} cannot be read")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or a key that is not known.
    #[error("{path}: {message}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Line, column and what is wrong.
        message: String,
    },
    /// A value that makes no sense.
    #[error("{path}: {key}: {why}")]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// What to write instead.
        why: &'static str,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    data_dir: Option<PathBuf>,
    #[serde(with = "humantime_serde")]
    shutdown_grace: Option<Duration>,
    first_hop: String,
    profiles: Option<PathBuf>,
    proxy: String,
    #[serde(with = "humantime_serde")]
    udp_retry: Option<Duration>,
    log: LogConfig,
    narrow: Narrow,
    limits: Limits,
    spool: RawSpool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSpool {
    max_mib: u64,
    max_filesystem_ratio: f64,
    #[serde(with = "humantime_serde")]
    keep: Duration,
    #[serde(with = "humantime_serde")]
    replay_window: Duration,
    reserve_mib: u64,
}

impl Default for RawSpool {
    fn default() -> Self {
        let limits = SpoolLimits::default();
        let ms = |ms: i64| Duration::from_millis(ms.unsigned_abs());
        Self {
            max_mib: limits.max_bytes / MIB,
            max_filesystem_ratio: limits.max_fraction,
            keep: ms(limits.unacked_ms),
            replay_window: ms(limits.replay_ms),
            reserve_mib: limits.reserve_bytes / MIB,
        }
    }
}

/// Where a site's own profiles are.
const PROFILES: &str = "/etc/farwatch/profiles";
const MIB: u64 = 1024 * 1024;
/// With the spread: 10 to 30 minutes.
const UDP_RETRY: Duration = Duration::from_secs(600);

impl Config {
    /// Reads `file`, or `/etc/farwatch/probe.toml` when it is there; `data_dir` from the command line wins.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(file: Option<&Path>, data_dir: Option<&Path>) -> Result<Self, ConfigError> {
        let (path, text) = match file {
            Some(path) => (path.to_owned(), read(path)?),
            None if Path::new(CONFIG_FILE).exists() => {
                (CONFIG_FILE.into(), read(Path::new(CONFIG_FILE))?)
            }
            None => (CONFIG_FILE.into(), String::new()),
        };
        Self::parse(&path, &text, data_dir)
    }

    pub(crate) fn parse(
        path: &Path,
        text: &str,
        data_dir: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let raw: Raw = toml::from_str(text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        let value = |key, why| ConfigError::Value {
            path: path.to_owned(),
            key,
            why,
        };
        if !(raw.spool.max_filesystem_ratio > 0.0 && raw.spool.max_filesystem_ratio <= 0.9) {
            return Err(value(
                "spool.max_filesystem_ratio",
                "write a share between 0 and 0.9, e.g. 0.2",
            ));
        }
        if raw.spool.max_mib < 16 {
            return Err(value(
                "spool.max_mib",
                "a spool under 16 MiB holds too little to be of use",
            ));
        }
        if raw.limits.polls_at_once == 0 || raw.limits.devices == 0 {
            return Err(value("limits", "0 would watch nothing"));
        }
        if raw.narrow.icmp_rate_per_s == Some(0) {
            return Err(value(
                "narrow.icmp_rate_per_s",
                "0 would find nothing; leave the line out for the site's own rate",
            ));
        }
        let first_hop = match raw.first_hop.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| {
                value(
                    "first_hop",
                    "write an address like \"192.0.2.1\", or nothing",
                )
            })?),
        };
        let proxy = ProxyChoice::try_from(raw.proxy).map_err(|_| {
            value(
                "proxy",
                "write \"http://host:port\", \"http://name:password@host:port\" or \"off\"",
            )
        })?;
        let udp_retry = raw.udp_retry.unwrap_or(UDP_RETRY);
        if udp_retry < Duration::from_secs(10) {
            return Err(value("udp_retry", "write \"10s\" or more"));
        }
        let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Ok(Self {
            proxy,
            udp_retry,
            data_dir: data_dir
                .map(Path::to_owned)
                .or(raw.data_dir)
                .unwrap_or_else(|| DATA_DIR.into()),
            log: raw.log,
            narrow: raw.narrow,
            first_hop,
            profiles: raw.profiles.unwrap_or_else(|| PROFILES.into()),
            limits: raw.limits,
            spool: SpoolLimits {
                max_bytes: raw.spool.max_mib.saturating_mul(MIB),
                max_fraction: raw.spool.max_filesystem_ratio,
                unacked_ms: ms(raw.spool.keep),
                replay_ms: ms(raw.spool.replay_window),
                reserve_bytes: raw.spool.reserve_mib.saturating_mul(MIB),
                ..SpoolLimits::default()
            },
            shutdown_grace: raw.shutdown_grace.unwrap_or(Duration::from_secs(10)),
        })
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("probe.toml"), text, None).map_err(|error| error.to_string())
    }

    /// The example's commented lines are its defaults: uncommented they change nothing.
    #[test]
    fn the_example_shows_every_key_with_its_default() {
        let example = include_str!("../../examples/probe.toml");
        let uncommented: String = example
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') && rest.contains(" = ") => rest,
                _ => line,
            })
            .fold(String::new(), |text, line| text + line + "\n");
        let (shown, default) = (parse(&uncommented).unwrap(), parse("").unwrap());
        assert_eq!(format!("{shown:?}"), format!("{default:?}"));
        for key in [
            "data_dir",
            "shutdown_grace",
            "max_mib",
            "max_filesystem_ratio",
            "keep",
            "replay_window",
            "reserve_mib",
            "ranges",
            "exclude",
            "devices",
            "polls_at_once",
            "filter",
            "format",
        ] {
            assert!(
                uncommented
                    .lines()
                    .any(|line| line.starts_with(&format!("{key} = "))),
                "{key} is not shown"
            );
        }
    }

    #[test]
    fn a_typing_error_is_named_with_its_line() {
        let error = parse("[narrow]\nrange = [\"10.0.0.0/8\"]\n").unwrap_err();
        assert!(error.contains("range") && error.contains('2'), "{error}");
        let error = parse("[narrow]\nranges = [\"10.0.0.0/99\"]\n").unwrap_err();
        assert!(
            error.contains("10.0.0.0/99") || error.contains("ranges"),
            "{error}"
        );
        assert!(
            parse("[spool]\nmax_filesystem_ratio = 7\n")
                .unwrap_err()
                .contains("between 0 and 0.9")
        );
    }
}
