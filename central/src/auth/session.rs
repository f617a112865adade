//! The cookie: its name, its value, and the token against forged requests.

use std::fmt;

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use zeroize::ZeroizeOnDrop;

/// How a request reached us; put beside it by the listener, never read from a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// Which listener.
    pub transport: Transport,
    /// The other side's address, without port.
    pub peer: String,
}

/// Which listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Plain HTTP, on loopback only.
    Http,
    /// TLS.
    Https,
    /// The control socket of this machine.
    Local,
}

impl Transport {
    /// `__Host-` needs TLS, so plain loopback HTTP has a name of its own.
    #[must_use]
    pub const fn cookie_name(self) -> &'static str {
        match self {
            Self::Https => "__Host-farwatch",
            Self::Http | Self::Local => "farwatch",
        }
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http | Self::Local => "http",
        }
    }
}

/// What the cookie holds. Does not print.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct Token([u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// 256 random bits.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// From text; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// As text, for the cookie or the link.
    #[must_use]
    pub fn text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// What is kept. Plain SHA-256 is enough for 256 random bits.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(b"farwatch session\0")
            .chain_update(self.0)
            .finalize()
            .into()
    }

    /// From a request's cookies.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap, transport: Transport) -> Option<Self> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == transport.cookie_name())
            .and_then(|(_, value)| Self::parse(value))
    }
}

/// A session that was just begun.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// For the cookie.
    pub token: Token,
    /// For the page, which repeats it in `x-csrf-token`.
    pub csrf_token: String,
}

impl NewSession {
    /// Both at random.
    #[must_use]
    pub fn generate() -> Self {
        Self {
            token: Token::generate(),
            csrf_token: Token::generate().text(),
        }
    }

    /// The header that sets the cookie.
    #[must_use]
    pub fn set_cookie(&self, transport: Transport) -> HeaderValue {
        cookie(transport, &self.token.text(), "")
    }
}

/// The header that removes the cookie.
#[must_use]
pub fn clear_cookie(transport: Transport) -> HeaderValue {
    cookie(transport, "", "; Max-Age=0")
}

fn cookie(transport: Transport, value: &str, more: &str) -> HeaderValue {
    let secure = match transport {
        Transport::Https => "; Secure",
        Transport::Http | Transport::Local => "",
    };
    let text = format!(
        "{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}",
        transport.cookie_name()
    );
    HeaderValue::from_str(&text).expect("base64url and fixed words are header text")
}

/// Whether a request with effects comes from our own page: `Origin` is ours, or a client that is no browser sent none.
#[must_use]
pub fn is_same_origin(headers: &HeaderMap, host: Option<&str>, transport: Transport) -> bool {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or("?"))
    };
    if let Some(site) = text("sec-fetch-site")
        && site != "same-origin"
        && site != "none"
    {
        return false;
    }
    let Some(origin) = text("origin") else {
        return text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    };
    let Some(host) = host else {
        return false;
    };
    origin
        .strip_prefix(transport.scheme())
        .and_then(|rest| rest.strip_prefix("://"))
        .is_some_and(|ours| ours.eq_ignore_ascii_case(host))
}

/// The host that was asked: HTTP/2 says it in the request's target, HTTP/1 in a header.
#[must_use]
pub fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    uri.authority()
        .map(|authority| authority.as_str())
        .or_else(|| headers.get(header::HOST)?.to_str().ok())
}

/// Whether plain HTTP was asked for by a name of this machine: another name that resolves here is an attack (DNS
/// rebinding).
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_our_own_origin_is_ours() {
        let ours = |pairs: &[(&'static str, &str)]| {
            let headers = headers(pairs);
            let uri = Uri::from_static("/");
            let host = host_of(&uri, &headers);
            is_same_origin(&headers, host, Transport::Https)
        };
        let host = ("host", "noc.example:8443");
        assert!(ours(&[host, ("origin", "https://noc.example:8443")]));
        assert!(ours(&[host]), "no browser");
        for origin in [
            "https://evil.example",
            "http://noc.example:8443",
            "https://noc.example",
            "https://noc.example:8443.evil.example",
            "null",
            "",
        ] {
            assert!(!ours(&[host, ("origin", origin)]), "{origin}");
        }
        assert!(!ours(&[("origin", "https://noc.example:8443")]));
        assert!(!ours(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!ours(&[
            host,
            ("sec-fetch-site", "same-site"),
            ("origin", "https://noc.example:8443")
        ]));
        assert!(
            !ours(&[host, ("sec-fetch-site", "none")]),
            "a browser without an origin"
        );
    }

    #[test]
    fn http_2_names_its_host_in_the_target() {
        let uri = Uri::from_static("https://noc.example:8443/api/v1/session");
        let headers = headers(&[("origin", "https://noc.example:8443")]);
        let host = host_of(&uri, &headers);
        assert_eq!(host, Some("noc.example:8443"));
        assert!(is_same_origin(&headers, host, Transport::Https));
    }

    #[test]
    fn other_names_for_this_machine_are_refused() {
        for host in [
            "127.0.0.1:8080",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8080",
            "127.9.9.9",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "rebind.example:8080",
            "127.0.0.1.example",
            "10.0.0.1",
            "",
            "[fe80::1]:80",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others_and_only_under_its_own_name() {
        let token = Token::generate();
        let cookies = format!("a=b; __Host-farwatch={}; c", token.text());
        let map = headers(&[("cookie", cookies.as_str())]);
        assert_eq!(Token::from_headers(&map, Transport::Https), Some(token));
        assert_eq!(Token::from_headers(&map, Transport::Http), None);
    }

    #[test]
    fn cookies_are_closed_to_scripts_and_other_sites() {
        let session = NewSession::generate();
        let text = session.set_cookie(Transport::Https);
        let text = text.to_str().unwrap();
        for part in [
            "__Host-farwatch=",
            "; Path=/",
            "; HttpOnly",
            "; SameSite=Strict",
            "; Secure",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!format!("{session:?}").contains(&session.token.text()));
    }
}
