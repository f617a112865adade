//! `central.toml`: read once, checked once; afterwards no value needs checking again.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use farwatch_shared::link::DEFAULT_TCP_PORT;
use farwatch_shared::telemetry::LogConfig;
use serde::Deserialize;

use crate::metrics;

/// Where the file is when nobody says so.
pub const DEFAULT_PATH: &str = "/etc/farwatch/central.toml";
/// Marks an address in `public_addresses` as a TCP door.
const TCP: &str = "tcp://";
const DAY: Duration = Duration::from_secs(86_400);

/// Why the configuration is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error("{path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key that there is none of.
    #[error("{path}")]
    Toml {
        /// Which.
        path: PathBuf,
        /// Why.
        source: toml::de::Error,
    },
    /// A value that cannot be.
    #[error("{key}: {detail}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What to do about it.
        detail: String,
    },
}

fn value(key: &'static str, detail: impl Into<String>) -> ConfigError {
    ConfigError::Value {
        key,
        detail: detail.into(),
    }
}

/// As the file has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    data_dir: Option<PathBuf>,
    listen_probes: Option<String>,
    listen_probes_tcp: Option<String>,
    public_addresses: Vec<String>,
    listen_https: Option<String>,
    listen_http: Option<String>,
    programs_dir: Option<PathBuf>,
    #[serde(with = "humantime_serde")]
    shutdown_grace: Option<Duration>,
    https: RawHttps,
    retention: Retention,
    log: LogConfig,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawHttps {
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

/// How long what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Every single sample.
    #[serde(with = "humantime_serde")]
    pub raw: Duration,
    /// Roll-ups of five minutes.
    #[serde(with = "humantime_serde")]
    pub five_minutes: Duration,
    /// Roll-ups of an hour.
    #[serde(with = "humantime_serde")]
    pub one_hour: Duration,
    /// What devices and probes reported.
    #[serde(with = "humantime_serde")]
    pub events: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            raw: 14 * DAY,
            five_minutes: 90 * DAY,
            one_hour: 730 * DAY,
            events: 365 * DAY,
        }
    }
}

impl Retention {
    /// For the metrics store, in whole days.
    #[must_use]
    pub fn metrics(&self) -> metrics::Settings {
        let days =
            |time: Duration| u32::try_from(time.as_secs() / DAY.as_secs()).unwrap_or(u32::MAX);
        metrics::Settings {
            raw_days: days(self.raw),
            five_minutes_days: days(self.five_minutes),
            hour_days: days(self.one_hour),
        }
    }
}

/// The console's own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsFiles {
    /// PEM, with its chain.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// Where Central listens over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpDoor {
    /// The address.
    pub address: SocketAddr,
    /// A person chose it: Central does not start without it. The default one is left out where it cannot be had.
    pub is_chosen: bool,
}

/// What Central does, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Everything that Central keeps.
    pub data_dir: PathBuf,
    /// Where probes connect (QUIC over UDP).
    pub listen_probes: SocketAddr,
    /// Where probes connect whose networks block UDP (TLS over TCP).
    pub listen_probes_tcp: Option<TcpDoor>,
    /// `host:port` where probes reach it over UDP, best first, one to eight; then `tcp://host:port` of each TCP door that
    /// is not at the port where probes look for it anyway.
    pub public_addresses: Vec<String>,
    /// Console and API over TLS.
    pub listen_https: Option<SocketAddr>,
    /// Console and API over plain HTTP; a loopback address.
    pub listen_http: Option<SocketAddr>,
    /// A certificate of one's own; Central's CA issues one otherwise.
    pub https: Option<HttpsFiles>,
    /// The probe's programs for technicians.
    pub programs_dir: PathBuf,
    /// How long stopping may take.
    pub shutdown_grace: Duration,
    /// How long what is kept.
    pub retention: Retention,
    /// What is logged.
    pub log: LogConfig,
}

/// What the command line says; it wins over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--listen-probes`
    pub listen_probes: Option<String>,
    /// `--listen-probes-tcp`
    pub listen_probes_tcp: Option<String>,
    /// `--listen-https`
    pub listen_https: Option<String>,
    /// `--listen-http`
    pub listen_http: Option<String>,
}

impl Config {
    /// Reads the file (a missing one at the default place is an empty one) and the command line.
    ///
    /// # Errors
    /// [`ConfigError`] names the key.
    pub fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        let path = overrides
            .config
            .as_deref()
            .unwrap_or_else(|| Path::new(DEFAULT_PATH));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error)
                if overrides.config.is_none() && error.kind() == std::io::ErrorKind::NotFound =>
            {
                String::new()
            }
            // Whoever names the data directory may not be allowed to read what is in /etc.
            Err(error)
                if overrides.config.is_none()
                    && overrides.data_dir.is_some()
                    && error.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                String::new()
            }
            Err(source) => {
                return Err(ConfigError::Io {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        Self::parse(path, &text, overrides)
    }

    pub(crate) fn parse(
        path: &Path,
        text: &str,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let mut raw: Raw = toml::from_str(text).map_err(|source| ConfigError::Toml {
            path: path.to_owned(),
            source,
        })?;
        raw.data_dir = overrides.data_dir.clone().or(raw.data_dir);
        raw.listen_probes = overrides.listen_probes.clone().or(raw.listen_probes);
        raw.listen_probes_tcp = overrides
            .listen_probes_tcp
            .clone()
            .or(raw.listen_probes_tcp);
        raw.listen_https = overrides.listen_https.clone().or(raw.listen_https);
        raw.listen_http = overrides.listen_http.clone().or(raw.listen_http);
        raw.check()
    }

    /// Where people reach the console, as they type it.
    #[must_use]
    pub fn console(&self) -> String {
        let host = self
            .public_addresses
            .first()
            .and_then(|address| address.rsplit_once(':'))
            .map_or_else(host_name, |(host, _)| host.to_owned());
        match (self.listen_https, self.listen_http) {
            (Some(https), None) if https.ip().is_loopback() => format!("https://{https}"),
            (Some(https), _) if !https.ip().is_loopback() => {
                format!("https://{host}:{}", https.port())
            }
            (_, Some(http)) => format!("http://{http}"),
            _ => String::new(),
        }
    }

    /// Names that the console's own certificate is for.
    #[must_use]
    pub fn https_names(&self) -> Vec<String> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), host_name()];
        let hosts = self
            .public_addresses
            .iter()
            .filter_map(|address| address.rsplit_once(':'));
        names.extend(hosts.map(|(host, _)| host.trim_matches(['[', ']']).to_owned()));
        names.extend(
            self.listen_https
                .map(|address| address.ip())
                .filter(|ip| !ip.is_unspecified())
                .map(|ip| ip.to_string()),
        );
        names.sort();
        names.dedup();
        names
    }
}

impl Raw {
    fn check(self) -> Result<Config, ConfigError> {
        let listen_probes = address(
            "listen_probes",
            self.listen_probes.as_deref().unwrap_or("[::]:4433"),
        )?
        .ok_or_else(|| {
            value(
                "listen_probes",
                "cannot be off: probes would have nowhere to go",
            )
        })?;
        let listen_probes_tcp = address(
            "listen_probes_tcp",
            self.listen_probes_tcp
                .as_deref()
                .unwrap_or(&format!("[::]:{DEFAULT_TCP_PORT}")),
        )?
        .map(|address| TcpDoor {
            address,
            is_chosen: self.listen_probes_tcp.is_some(),
        });
        let listen_https = address(
            "listen_https",
            self.listen_https.as_deref().unwrap_or("[::]:8443"),
        )?;
        let listen_http = address("listen_http", self.listen_http.as_deref().unwrap_or("off"))?;
        if let Some(http) = listen_http
            && !http.ip().is_loopback()
        {
            return Err(value(
                "listen_http",
                format!(
                    "{http} is not a loopback address: plain HTTP is only for this machine, use listen_https"
                ),
            ));
        }
        let https = match (self.https.certificate_file, self.https.key_file) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(HttpsFiles { certificate, key }),
            _ => {
                return Err(value("https", "certificate_file and key_file go together"));
            }
        };
        let mut public_addresses = if self.public_addresses.is_empty() {
            let host = match listen_probes.ip() {
                ip if ip.is_unspecified() => host_name(),
                IpAddr::V6(v6) => format!("[{v6}]"),
                IpAddr::V4(v4) => v4.to_string(),
            };
            vec![format!("{host}:{}", listen_probes.port())]
        } else {
            self.public_addresses
        };
        check_public(&public_addresses)?;
        if let Some(door) = listen_probes_tcp {
            add_tcp_doors(&mut public_addresses, door.address.port());
        }
        for (key, time) in [
            ("retention.raw", self.retention.raw),
            ("retention.five_minutes", self.retention.five_minutes),
            ("retention.one_hour", self.retention.one_hour),
            ("retention.events", self.retention.events),
        ] {
            if time < DAY {
                return Err(value(key, "at least 1d"));
            }
        }
        Ok(Config {
            data_dir: self
                .data_dir
                .unwrap_or_else(|| PathBuf::from("/var/lib/farwatch-central")),
            listen_probes,
            listen_probes_tcp,
            public_addresses,
            listen_https,
            listen_http,
            https,
            programs_dir: self
                .programs_dir
                .unwrap_or_else(|| PathBuf::from("/usr/local/lib/farwatch")),
            shutdown_grace: self.shutdown_grace.unwrap_or(Duration::from_secs(10)),
            retention: self.retention,
            log: self.log,
        })
    }
}

/// One to eight `host:port`, and as many `tcp://host:port`.
fn check_public(addresses: &[String]) -> Result<(), ConfigError> {
    let doors = addresses.iter().filter(|a| a.starts_with(TCP)).count();
    if doors > 8 || addresses.len() - doors > 8 {
        return Err(value("public_addresses", "at most eight"));
    }
    if doors == addresses.len() {
        return Err(value(
            "public_addresses",
            "write at least one host:port for UDP",
        ));
    }
    for address in addresses {
        let at = address.strip_prefix(TCP).unwrap_or(address);
        let good = address.len() <= 255
            && at.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            });
        if !good {
            return Err(value(
                "public_addresses",
                format!("{address:?} is not host:port"),
            ));
        }
    }
    Ok(())
}

/// Names the TCP door of each host, where nobody has named one and it is not where probes look anyway.
fn add_tcp_doors(addresses: &mut Vec<String>, port: u16) {
    if port == DEFAULT_TCP_PORT || addresses.iter().any(|address| address.starts_with(TCP)) {
        return;
    }
    let hosts = addresses.iter().filter_map(|a| a.rsplit_once(':'));
    let mut doors: Vec<String> = hosts
        .map(|(host, _)| format!("{TCP}{host}:{port}"))
        .collect();
    doors.dedup();
    addresses.append(&mut doors);
}

/// An address to listen on; `off` is none.
fn address(key: &'static str, text: &str) -> Result<Option<SocketAddr>, ConfigError> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        value(
            key,
            format!("{text:?} is not an address: write 127.0.0.1:8080, [::]:8443 or off"),
        )
    })
}

/// This machine's name.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("central.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&Overrides {
            config: Some(path),
            ..Overrides::default()
        })
    }

    #[test]
    fn plain_http_beyond_this_machine_is_refused() {
        assert!(load("listen_http = \"127.0.0.1:8080\"").is_ok());
        assert!(load("listen_http = \"[::1]:8080\"").is_ok());
        for address in ["0.0.0.0:8080", "[::]:8080", "192.0.2.7:80", "nonsense"] {
            let error = load(&format!("listen_http = {address:?}"))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("listen_http: "), "{error}");
        }
    }

    #[test]
    fn unknown_keys_and_half_a_certificate_are_refused() {
        assert!(load("listen = 1").is_err());
        assert!(load("[https]\ncertificate_file = \"/x\"").is_err());
        assert!(load("[retention]\nraw = \"1h\"").is_err());
        assert!(load("listen_probes = \"off\"").is_err());
    }

    #[test]
    fn a_tcp_door_elsewhere_is_named_to_the_probes() {
        let listed = |text: &str| load(text).map(|config| config.public_addresses);
        let udp = "public_addresses = [\"a.example:4433\", \"a.example:5544\"]\n";
        let two = ["a.example:4433", "a.example:5544"];
        assert_eq!(listed(udp).unwrap(), two);
        let moved = format!("{udp}listen_probes_tcp = \"[::]:8444\"");
        let three = [two[0], two[1], "tcp://a.example:8444"];
        assert_eq!(listed(&moved).unwrap(), three);
        let named = "public_addresses = [\"a.example:4433\", \"tcp://b.example:99\"]\nlisten_probes_tcp = \"[::]:8444\"";
        assert_eq!(
            listed(named).unwrap(),
            ["a.example:4433", "tcp://b.example:99"]
        );
        assert!(
            load("listen_probes_tcp = \"off\"")
                .unwrap()
                .listen_probes_tcp
                .is_none()
        );
        assert!(listed("public_addresses = [\"tcp://b.example:99\"]").is_err());
        assert!(listed("public_addresses = [\"a:1\", \"tcp://b.example\"]").is_err());
    }

    #[test]
    fn the_example_shows_every_key_with_its_default() {
        let example = include_str!("../../examples/central.toml");
        let uncommented: String = example
            .lines()
            .map(|line| {
                line.strip_prefix('#')
                    .filter(|rest| rest.contains(" = ") && !rest.starts_with(' '))
                    .unwrap_or(line)
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let (shown, defaults) = (load(&uncommented).unwrap(), load("").unwrap());
        assert_eq!(shown.data_dir, defaults.data_dir);
        assert_eq!(shown.listen_probes, defaults.listen_probes);
        assert_eq!(shown.listen_https, defaults.listen_https);
        let address = |config: &Config| config.listen_probes_tcp.map(|door| door.address);
        assert_eq!(address(&shown), address(&defaults));
        assert_eq!(shown.public_addresses, defaults.public_addresses);
        assert_eq!(shown.programs_dir, defaults.programs_dir);
        assert_eq!(shown.shutdown_grace, defaults.shutdown_grace);
        assert_eq!(shown.retention.metrics(), defaults.retention.metrics());
        assert_eq!(
            (shown.log.filter, shown.log.format),
            (defaults.log.filter, defaults.log.format)
        );
        assert!(
            shown.listen_http.is_some() && shown.https.is_some(),
            "what has no default is shown too"
        );
    }
}
