//! The way through an HTTP proxy: CONNECT (RFC 9110 §9.3.6), with a name and password where it wants them (RFC 7617).

use std::fmt;
use std::io;
use std::str::FromStr;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroize as _;

use crate::text::DeviceText;

/// A proxy's answer is far shorter.
const LONGEST_ANSWER: usize = 16 * 1024;
/// Fields in it.
const MOST_FIELDS: usize = 64;

/// An HTTP proxy: `http://name:password@host:port`. Does not print its password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Proxy {
    host: String,
    port: u16,
    /// Name and password, as they were written.
    user: Option<(String, String)>,
}

/// Why a text is no proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Another kind of proxy.
    #[error("only HTTP proxies can be used: write http://host:port")]
    Scheme,
    /// No host, or a port that is none.
    #[error("write http://host:port, or http://name:password@host:port")]
    Malformed,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", authority(&self.host, self.port))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some((_, password)) = &mut self.user {
            password.zeroize();
        }
    }
}

impl From<Proxy> for String {
    /// With its password: for the file that keeps it.
    fn from(proxy: Proxy) -> Self {
        let at = authority(&proxy.host, proxy.port);
        match &proxy.user {
            Some((name, password)) => {
                format!("http://{}:{}@{at}", escape(name), escape(password))
            }
            None => format!("http://{at}"),
        }
    }
}

impl TryFrom<String> for Proxy {
    type Error = ProxyError;

    fn try_from(text: String) -> Result<Self, ProxyError> {
        text.parse()
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    /// Reads `http://host:port`; without a scheme HTTP is meant, without a port 3128. `%40` in a password is `@`.
    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let text = text.trim();
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return Err(ProxyError::Scheme),
            None => text,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, at) = match rest.rsplit_once('@') {
            Some((user, at)) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                let unescaped = unescape(name).zip(unescape(password));
                (Some(unescaped.ok_or(ProxyError::Malformed)?), at)
            }
            None => (None, rest),
        };
        let (host, port) = match at.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().map_err(|_| ProxyError::Malformed)?)
            }
            _ => (at, 3_128),
        };
        let host = host.trim_matches(['[', ']']);
        let good = !host.is_empty()
            && port > 0
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c));
        if !good {
            return Err(ProxyError::Malformed);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            user,
        })
    }
}

/// `host:port`, with brackets where IPv6 needs them.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

impl Proxy {
    /// Where it is.
    #[must_use]
    pub(super) fn place(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Asks for a way to `host:port`; the stream is that way afterwards.
    ///
    /// # Errors
    /// [`Refused`], in words that say what to do.
    pub(super) async fn connect<S>(
        &self,
        stream: &mut S,
        host: &str,
        port: u16,
    ) -> Result<(), Refused>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let to = authority(host, port);
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        if let Some((name, password)) = &self.user {
            let both = BASE64.encode(format!("{name}:{password}").as_bytes());
            request.push_str(&format!("Proxy-Authorization: Basic {both}\r\n"));
        }
        request.push_str("\r\n");
        let sent = stream.write_all(request.as_bytes()).await;
        request.zeroize();
        sent?;
        let mut answer = Vec::new();
        // Byte by byte: what follows the answer belongs to the tunnel, and an answer is short.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == LONGEST_ANSWER {
                return Err(Refused::NoProxy);
            }
            answer.push(stream.read_u8().await.map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Refused::NoProxy,
                _ => Refused::Io(error),
            })?);
        }
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(&answer) {
            Ok(httparse::Status::Complete(_)) => {}
            _ => return Err(Refused::NoProxy),
        }
        match response.code {
            Some(200..=299) => Ok(()),
            // 407 by the RFC; some say 401 to a wrong password.
            Some(401 | 407) => Err(Refused::Authentication(self.user.is_some())),
            Some(code) => Err(Refused::Status {
                code,
                reason: DeviceText::name(response.reason.unwrap_or_default().as_bytes())
                    .to_string(),
                to,
            }),
            None => Err(Refused::NoProxy),
        }
    }
}

/// Why a proxy gave no way.
#[derive(Debug, thiserror::Error)]
pub(in crate::link) enum Refused {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it does not speak HTTP")]
    NoProxy,
    #[error("{}", if *.0 { "it does not accept this name and password" } else { "it wants a name and password: write http://name:password@host:port" })]
    Authentication(bool),
    #[error("it refuses CONNECT to {to} ({code} {reason}): allow it there")]
    Status {
        code: u16,
        reason: String,
        to: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_as_people_write_it_and_never_shows_its_password() {
        for (text, host, port, user) in [
            ("http://proxy:8080", "proxy", 8_080, None),
            ("proxy.example.com", "proxy.example.com", 3_128, None),
            ("http://10.0.0.1:3128/", "10.0.0.1", 3_128, None),
            ("http://[2001:db8::1]:80", "2001:db8::1", 80, None),
            (
                "http://me:p%40ss%3Aword@proxy:81",
                "proxy",
                81,
                Some(("me", "p@ss:word")),
            ),
        ] {
            let proxy: Proxy = text.parse().unwrap();
            assert_eq!(proxy.place(), (host, port), "{text}");
            let read = proxy.user.as_ref().map(|(n, p)| (n.as_str(), p.as_str()));
            assert_eq!(read, user);
            assert!(!format!("{proxy} {proxy:?}").contains("ss"), "{proxy}");
            let kept: Proxy = String::from(proxy.clone()).parse().unwrap();
            assert_eq!(kept, proxy);
        }
        for (text, error) in [
            ("https://proxy:1", ProxyError::Scheme),
            ("socks5://proxy:1", ProxyError::Scheme),
            ("", ProxyError::Malformed),
            ("http://proxy:x", ProxyError::Malformed),
            ("http://pro xy:1", ProxyError::Malformed),
            ("http://a\r\nb:1", ProxyError::Malformed),
            ("http://me:%4@proxy:1", ProxyError::Malformed),
        ] {
            assert_eq!(text.parse::<Proxy>().unwrap_err(), error, "{text:?}");
        }
    }

    /// What a proxy answers, and what is said of it.
    #[tokio::test]
    async fn what_a_proxy_answers_is_said_in_words() {
        let proxy: Proxy = "http://me:secret@proxy:1".parse().unwrap();
        for (answer, says) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", ""),
            ("HTTP/1.0 200 OK\r\nVia: x\r\n\r\n", ""),
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                "name and password",
            ),
            (
                "HTTP/1.1 401 Unauthorized\r\n\r\n",
                "does not accept this name and password",
            ),
            (
                "HTTP/1.1 403 Forbidden\r\n\r\n",
                "refuses CONNECT to central:443 (403 Forbidden)",
            ),
            ("220 mail.example.com ESMTP\r\n\r\n", "does not speak HTTP"),
            ("HTTP/1.1 200", "does not speak HTTP"),
        ] {
            let (mut here, mut there) = tokio::io::duplex(64 * 1024);
            there.write_all(answer.as_bytes()).await.unwrap();
            there.shutdown().await.unwrap();
            let connected = proxy.connect(&mut here, "central", 443).await;
            match connected {
                Ok(()) => assert_eq!(says, "", "{answer}"),
                Err(error) => assert!(
                    !says.is_empty() && error.to_string().contains(says),
                    "{answer}: {error}"
                ),
            }
            drop(here);
            let mut asked = String::new();
            there.read_to_string(&mut asked).await.unwrap();
            assert!(
                asked.starts_with("CONNECT central:443 HTTP/1.1\r\n")
                    && asked.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"),
                "{asked}"
            );
        }
    }
}
