//! The ways to Central: each of its addresses over UDP, and the TCP door behind the same name.
//!
//! Central's list has `host:port` (UDP) and, where its TCP door is not at port 443 of the same host, `tcp://host:port`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use farwatch_shared::link::{DEFAULT_PORT, DEFAULT_TCP_PORT, Proxy, TcpRoute};
use serde::Deserialize;

/// How long a name may take to resolve.
pub const RESOLVE: Duration = Duration::from_secs(4);
/// Marks an address of the list as a TCP door.
const TCP: &str = "tcp://";

/// One place where Central is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `host:port` over UDP; `None` is a TCP door alone.
    pub udp: Option<String>,
    /// Its TCP door.
    pub tcp: TcpRoute,
}

/// What the machine's owner says of proxies. `proxy` in `probe.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ProxyChoice {
    /// As joining used, else as the environment says.
    #[default]
    AsJoined,
    /// None at all.
    Off,
    /// This one.
    Through(Proxy),
}

impl TryFrom<String> for ProxyChoice {
    type Error = farwatch_shared::link::tunnel::proxy::ProxyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "" => Ok(Self::AsJoined),
            "off" => Ok(Self::Off),
            text => text.parse().map(Self::Through),
        }
    }
}

impl ProxyChoice {
    /// The proxy to use, with the one that joining used.
    #[must_use]
    pub fn settle(&self, joined: Option<&Proxy>) -> Option<Proxy> {
        match self {
            Self::Off => None,
            Self::Through(proxy) => Some(proxy.clone()),
            Self::AsJoined => joined.cloned().or_else(of_environment),
        }
    }
}

/// The proxy that the environment names (`HTTPS_PROXY`, `https_proxy`); one that cannot be used is none.
#[must_use]
pub fn of_environment() -> Option<Proxy> {
    let named = ["HTTPS_PROXY", "https_proxy"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
    match named.parse() {
        Ok(proxy) => Some(proxy),
        Err(error) => {
            tracing::warn!("HTTPS_PROXY is not used: {error}");
            None
        }
    }
}

/// The places behind Central's list of addresses, in its order.
#[must_use]
pub fn places(addresses: &[String], proxy: Option<&Proxy>) -> Vec<Place> {
    let doors: Vec<(String, u16)> = addresses
        .iter()
        .filter_map(|address| address.strip_prefix(TCP))
        .map(|at| split(at, DEFAULT_TCP_PORT))
        .collect();
    let route = |(host, port): (String, u16)| TcpRoute {
        host,
        port,
        proxy: proxy.cloned(),
    };
    let mut places: Vec<Place> = Vec::new();
    for address in addresses.iter().filter(|a| !a.starts_with(TCP)) {
        let (host, _) = split(address, DEFAULT_PORT);
        let door = doors.iter().find(|(name, _)| *name == host).cloned();
        places.push(Place {
            udp: Some(address.clone()),
            tcp: route(door.unwrap_or((host, DEFAULT_TCP_PORT))),
        });
    }
    for door in doors {
        if !places.iter().any(|place| place.tcp.host == door.0) {
            places.push(Place {
                udp: None,
                tcp: route(door),
            });
        }
    }
    places
}

/// The socket addresses behind `host:port`; a port may be left out.
///
/// # Errors
/// The resolver's, or that it took too long.
pub async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = split(address, DEFAULT_PORT);
    let found = tokio::time::timeout(RESOLVE, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the resolver did not answer"))??;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() {
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ))
    } else {
        Ok(addresses)
    }
}

/// Host (without brackets) and port of `host`, `host:port`, `[v6]:port` or a bare IPv6 address.
fn split(address: &str, port: u16) -> (String, u16) {
    let (host, port) = match address.rsplit_once(':') {
        Some((host, text)) if !host.contains(':') || host.ends_with(']') => match text.parse() {
            Ok(port) => (host, port),
            Err(_) => (address, port),
        },
        _ => (address, port),
    };
    (host.trim_matches(['[', ']']).to_owned(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_told_apart_however_they_are_written() {
        for (address, host, port) in [
            ("central:4433", "central", 4_433),
            ("10.0.0.1:99", "10.0.0.1", 99),
            ("[2001:db8::1]:99", "2001:db8::1", 99),
            ("central", "central", 4_433),
            ("2001:db8::1", "2001:db8::1", 4_433),
            ("[2001:db8::1]", "2001:db8::1", 4_433),
        ] {
            assert_eq!(split(address, DEFAULT_PORT), (host.to_owned(), port));
        }
    }

    #[test]
    fn every_place_has_the_tcp_door_of_its_own_host() {
        let list: Vec<String> = [
            "one.example.com:4433",
            "[2001:db8::1]:4433",
            "tcp://one.example.com:8444",
            "tcp://other.example.com",
        ]
        .map(str::to_owned)
        .to_vec();
        let found: Vec<_> = places(&list, None)
            .into_iter()
            .map(|place| (place.udp, place.tcp.host, place.tcp.port))
            .collect();
        assert_eq!(
            found,
            [
                (Some(list[0].clone()), "one.example.com".to_owned(), 8_444),
                (Some(list[1].clone()), "2001:db8::1".to_owned(), 443),
                (None, "other.example.com".to_owned(), 443),
            ]
        );
        let proxy: Proxy = "http://proxy:3128".parse().unwrap();
        let through = places(&list, Some(&proxy));
        assert!(through.iter().all(|p| p.tcp.proxy == Some(proxy.clone())));
    }

    #[test]
    fn the_file_wins_over_joining() {
        let kept: Proxy = "http://kept:1".parse().unwrap();
        let choice = |text: &str| ProxyChoice::try_from(text.to_owned()).unwrap();
        assert_eq!(choice("").settle(Some(&kept)), Some(kept.clone()));
        assert_eq!(choice("off").settle(Some(&kept)), None);
        let other = choice("http://other:2").settle(Some(&kept)).unwrap();
        assert_eq!(other.to_string(), "http://other:2");
        assert!(ProxyChoice::try_from("socks://x:1".to_owned()).is_err());
    }
}
