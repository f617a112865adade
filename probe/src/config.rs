//! What this probe was told: `probe.toml` here, the site's document from Central.
//!
//! The file may only narrow what the document asks. It is read once; after [`Config::load`] nothing needs checking again.

pub mod site;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farwatch_shared::telemetry::LogConfig;
use ipnet::IpNet;
use serde::Deserialize;

use crate::spool::SpoolLimits;

/// Where the file is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/farwatch/probe.toml";
/// Where everything is kept unless the file or `--data-dir` says otherwise.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/farwatch-probe";

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Key, certificate, spool.
    pub data_dir: PathBuf,
    /// How long stopping may take.
    pub shutdown_grace: Duration,
    /// Address of the device nearest to the probe, where the default gateway is not it.
    pub first_hop: Option<IpAddr>,
    /// Bounds of the spool.
    pub spool: SpoolLimits,
    /// What of the site's document counts here.
    pub narrow: Narrow,
    /// Logs.
    pub log: LogConfig,
}

/// `[narrow]`, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrow {
    /// Only what lies in these; empty is no limit.
    pub ranges: Vec<IpNet>,
    /// Never these.
    pub exclude: Vec<IpNet>,
    /// Echo requests a second at the most.
    pub icmp_rate_per_s: Option<u32>,
}

/// Why the configuration cannot be used. Each says which key to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not readable.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML, or has a key that does not exist.
    #[error("{path} is not as it should be")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value makes no sense.
    #[error("{key} = {value:?}: {why}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What would do.
        why: &'static str,
    },
}

impl Config {
    /// Reads the file. With `path` it must be there; without, the default place may be empty.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: Option<&Path>, data_dir: Option<&Path>) -> Result<Self, ConfigError> {
        let at = path.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match std::fs::read_to_string(at) {
            Ok(text) => text,
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                String::new()
            }
            Err(source) => {
                return Err(ConfigError::Read {
                    path: at.to_owned(),
                    source,
                });
            }
        };
        let raw: Raw = toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: at.to_owned(),
            source: Box::new(source),
        })?;
        let mut config = raw.check()?;
        if let Some(data_dir) = data_dir {
            data_dir.clone_into(&mut config.data_dir);
        }
        Ok(config)
    }
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    data_dir: PathBuf,
    #[serde(with = "humantime_serde")]
    shutdown_grace: Duration,
    first_hop: String,
    spool: RawSpool,
    narrow: RawNarrow,
    log: RawLog,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSpool {
    max_bytes: String,
    max_filesystem_ratio: f64,
    #[serde(with = "humantime_serde")]
    keep: Duration,
    #[serde(with = "humantime_serde")]
    replay_window: Duration,
    reserve: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawNarrow {
    ranges: Vec<String>,
    exclude: Vec<String>,
    icmp_rate_per_s: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    format: String,
    level: String,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from(DEFAULT_DATA_DIR),
            shutdown_grace: Duration::from_secs(10),
            first_hop: String::new(),
            spool: RawSpool::default(),
            narrow: RawNarrow::default(),
            log: RawLog::default(),
        }
    }
}

impl Default for RawSpool {
    fn default() -> Self {
        let limits = SpoolLimits::default();
        let ms = |ms: i64| Duration::from_millis(ms.unsigned_abs());
        Self {
            max_bytes: "4GiB".to_owned(),
            max_filesystem_ratio: limits.max_fraction,
            keep: ms(limits.unacked_ms),
            replay_window: ms(limits.replay_ms),
            reserve: true,
        }
    }
}

impl Default for RawLog {
    fn default() -> Self {
        let log = LogConfig::default();
        Self {
            format: log.format,
            level: log.filter,
        }
    }
}

impl Raw {
    fn check(self) -> Result<Config, ConfigError> {
        let first_hop = match self.first_hop.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| ConfigError::Value {
                key: "first_hop",
                value: text.to_owned(),
                why: "an address like 192.0.2.1, or nothing",
            })?),
        };
        if !(0.001..=0.95).contains(&self.spool.max_filesystem_ratio) {
            return Err(ConfigError::Value {
                key: "spool.max_filesystem_ratio",
                value: self.spool.max_filesystem_ratio.to_string(),
                why: "between 0.001 and 0.95",
            });
        }
        let defaults = SpoolLimits::default();
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let spool = SpoolLimits {
            max_bytes: bytes("spool.max_bytes", &self.spool.max_bytes)?,
            max_fraction: self.spool.max_filesystem_ratio,
            unacked_ms: ms(self.spool.keep),
            replay_ms: ms(self.spool.replay_window),
            reserve_bytes: if self.spool.reserve {
                defaults.reserve_bytes
            } else {
                0
            },
            ..defaults
        };
        Ok(Config {
            data_dir: self.data_dir,
            shutdown_grace: self.shutdown_grace,
            first_hop,
            spool,
            narrow: Narrow {
                ranges: nets("narrow.ranges", &self.narrow.ranges)?,
                exclude: nets("narrow.exclude", &self.narrow.exclude)?,
                icmp_rate_per_s: self.narrow.icmp_rate_per_s,
            },
            log: LogConfig {
                filter: self.log.level,
                format: self.log.format,
            },
        })
    }
}

fn nets(key: &'static str, texts: &[String]) -> Result<Vec<IpNet>, ConfigError> {
    texts
        .iter()
        .map(|text| {
            site::parse_net(text).ok_or_else(|| ConfigError::Value {
                key,
                value: text.clone(),
                why: "networks in CIDR form, like 192.0.2.0/24",
            })
        })
        .collect()
}

/// `4GiB`, `500MB`, `1000000`.
fn bytes(key: &'static str, text: &str) -> Result<u64, ConfigError> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match text[digits..].trim() {
        "" | "B" => Some(1_u64),
        "kB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        "TiB" => Some(1 << 40),
        _ => None,
    };
    let number = text[..digits].parse::<u64>().ok();
    match (number, factor) {
        (Some(number), Some(factor)) => number.checked_mul(factor),
        _ => None,
    }
    .filter(|bytes| *bytes >= 1 << 20)
    .ok_or_else(|| ConfigError::Value {
        key,
        value: text.to_owned(),
        why: "a size of at least 1MiB, like 500MB or 4GiB",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        toml::from_str::<Raw>(text).unwrap().check()
    }

    #[test]
    fn the_example_shows_every_key_with_its_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/probe.toml");
        let Ok(text) = std::fs::read_to_string(path) else {
            return;
        };
        let shown: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                // a commented key, not a sentence
                Some(rest) if !rest.starts_with(' ') && rest.contains(" = ") => rest,
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let shown = parse(&shown).unwrap();
        let default = parse("").unwrap();
        assert_eq!(shown.data_dir, default.data_dir);
        assert_eq!(shown.shutdown_grace, default.shutdown_grace);
        assert_eq!(format!("{:?}", shown.spool), format!("{:?}", default.spool));
        assert_eq!(shown.log.filter, default.log.filter);
        assert!(shown.narrow.ranges.is_empty() && shown.narrow.exclude.is_empty());
    }

    #[test]
    fn a_key_that_does_not_exist_is_refused() {
        assert!(toml::from_str::<Raw>("dta_dir = \"/x\"").is_err());
        assert!(toml::from_str::<Raw>("[narrow]\nrange = []").is_err());
    }

    #[test]
    fn sizes_and_networks_are_read_as_people_write_them() {
        let config = parse("[spool]\nmax_bytes = \"500MB\"\n[narrow]\nranges = [\"10.0.0.0/8\"]").unwrap();
        assert_eq!(config.spool.max_bytes, 500_000_000);
        assert_eq!(config.narrow.ranges, vec!["10.0.0.0/8".parse().unwrap()]);
        for wrong in ["[spool]\nmax_bytes = \"4 cows\"", "[spool]\nmax_bytes = \"12\"", "first_hop = \"router\"", "[narrow]\nexclude = [\"10.0.0.0/99\"]"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
