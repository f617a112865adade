//! Who asks: communities (v1, v2c) and users (v3). Nothing secret here prints, and all of it is wiped when dropped.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, OnceLock},
};

use zeroize::Zeroizing;

use super::v3::key::Master;

/// How a device is asked, and with which secret.
#[derive(Clone)]
pub enum Auth {
    V1(Community),
    V2c(Community),
    V3(V3User),
}

impl Auth {
    pub fn v1(community: impl AsRef<[u8]>) -> Self {
        Self::V1(Community::new(community))
    }

    pub fn v2c(community: impl AsRef<[u8]>) -> Self {
        Self::V2c(Community::new(community))
    }

    #[must_use]
    pub const fn version(&self) -> Version {
        match self {
            Self::V1(_) => Version::V1,
            Self::V2c(_) => Version::V2c,
            Self::V3(_) => Version::V3,
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1(_) | Self::V2c(_) => write!(f, "{}", self.version()),
            Self::V3(user) => user.fmt(f),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    V1,
    V2c,
    V3,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2c => "v2c",
            Self::V3 => "v3",
        })
    }
}

/// Octets that must not be seen.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(crate) fn new(octets: impl AsRef<[u8]>) -> Self {
        Self(Zeroizing::new(octets.as_ref().to_vec()))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// The password of v1 and v2c, which crosses the network in the clear.
#[derive(Clone, Debug)]
pub struct Community(Arc<Secret>);

impl Community {
    pub fn new(community: impl AsRef<[u8]>) -> Self {
        Self(Arc::new(Secret::new(community)))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

/// An SNMPv3 user (RFC 3414): cheap to clone, its keys derived once for all its clones and contexts.
#[derive(Clone)]
pub struct V3User {
    user: Arc<User>,
    context_name: Arc<str>,
}

struct User {
    name: Box<str>,
    auth: Option<(AuthProtocol, Secret)>,
    privacy: Option<(PrivProtocol, Secret)>,
    /// Hashing a password takes a megabyte of it, some milliseconds: see [`V3User::master`].
    master: OnceLock<Master>,
}

impl V3User {
    /// noAuthNoPriv: a name and no secret.
    pub fn no_auth(name: &str) -> Result<Self, CredentialError> {
        Self::build(name, None, None)
    }

    /// authNoPriv.
    pub fn auth(
        name: &str,
        protocol: AuthProtocol,
        password: &str,
    ) -> Result<Self, CredentialError> {
        Self::build(name, Some((protocol, password)), None)
    }

    /// authPriv.
    pub fn auth_priv(
        name: &str,
        (auth, auth_password): (AuthProtocol, &str),
        (privacy, priv_password): (PrivProtocol, &str),
    ) -> Result<Self, CredentialError> {
        Self::build(
            name,
            Some((auth, auth_password)),
            Some((privacy, priv_password)),
        )
    }

    fn build(
        name: &str,
        auth: Option<(AuthProtocol, &str)>,
        privacy: Option<(PrivProtocol, &str)>,
    ) -> Result<Self, CredentialError> {
        if name.is_empty() || name.len() > 32 {
            return Err(CredentialError::UserName);
        }
        let long_enough = |password: &str| password.len() >= MIN_PASSWORD;
        if auth.is_some_and(|(_, password)| !long_enough(password)) {
            return Err(CredentialError::ShortAuthPassword);
        }
        if privacy.is_some_and(|(_, password)| !long_enough(password)) {
            return Err(CredentialError::ShortPrivPassword);
        }
        let user = User {
            name: name.into(),
            auth: auth.map(|(protocol, password)| (protocol, Secret::new(password))),
            privacy: privacy.map(|(protocol, password)| (protocol, Secret::new(password))),
            master: OnceLock::new(),
        };
        Ok(Self {
            user: Arc::new(user),
            context_name: Arc::default(),
        })
    }

    /// The same user in another context (RFC 3411 §3.3.1); the default context has the empty name.
    #[must_use]
    pub fn in_context(&self, context_name: &str) -> Self {
        Self {
            user: Arc::clone(&self.user),
            context_name: context_name.into(),
        }
    }

    /// The same user asking without encryption. `None` when there is nothing to take away.
    ///
    /// Tells a wrong priv password, which most agents meet with silence, from a device that is gone.
    pub(crate) fn without_privacy(&self) -> Option<Self> {
        self.user.privacy.as_ref()?;
        let user = User {
            name: self.user.name.clone(),
            auth: self.user.auth.clone(),
            privacy: None,
            master: self.user.master.clone(),
        };
        Some(Self {
            user: Arc::new(user),
            context_name: Arc::clone(&self.context_name),
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.user.name
    }

    #[must_use]
    pub fn context_name(&self) -> &str {
        &self.context_name
    }

    #[must_use]
    pub fn auth_protocol(&self) -> Option<AuthProtocol> {
        self.user.auth.as_ref().map(|(protocol, _)| *protocol)
    }

    #[must_use]
    pub fn priv_protocol(&self) -> Option<PrivProtocol> {
        self.user.privacy.as_ref().map(|(protocol, _)| *protocol)
    }

    #[must_use]
    pub fn security_level(&self) -> SecurityLevel {
        match (&self.user.auth, &self.user.privacy) {
            (Some(_), Some(_)) => SecurityLevel::AuthPriv,
            (Some(_), None) => SecurityLevel::AuthNoPriv,
            (None, _) => SecurityLevel::NoAuthNoPriv,
        }
    }

    /// The keys of RFC 3414 §A.2 before they are bound to an engine. The first call takes milliseconds: not for an async
    /// thread.
    pub(crate) fn master(&self) -> Option<&Master> {
        let (protocol, password) = self.user.auth.as_ref()?;
        Some(self.user.master.get_or_init(|| {
            let privacy = self
                .user
                .privacy
                .as_ref()
                .map(|(_, password)| password.expose());
            Master::derive(*protocol, password.expose(), privacy)
        }))
    }

    /// Whether [`V3User::master`] would answer at once.
    pub(crate) fn has_master(&self) -> bool {
        self.user.auth.is_none() || self.user.master.get().is_some()
    }

    /// Whether both have the same keys: clones of one, in whatever context.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.user, &other.user)
    }
}

impl fmt::Debug for V3User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v3 {} {}", self.name(), self.security_level())
    }
}

/// RFC 3414 §11.2.
const MIN_PASSWORD: usize = 8;

/// Why a credential cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    #[error("the user name is empty or longer than 32 octets")]
    UserName,
    #[error("the auth password has fewer than 8 characters, which SNMPv3 does not allow")]
    ShortAuthPassword,
    #[error("the priv password has fewer than 8 characters, which SNMPv3 does not allow")]
    ShortPrivPassword,
    #[error("{0:?} is no auth protocol: MD5, SHA-1, SHA-224, SHA-256, SHA-384 or SHA-512")]
    AuthProtocol(String),
    #[error("{0:?} is no priv protocol: DES, AES-128, AES-192, AES-256, AES-192-C or AES-256-C")]
    PrivProtocol(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecurityLevel {
    NoAuthNoPriv,
    AuthNoPriv,
    AuthPriv,
}

impl fmt::Display for SecurityLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAuthNoPriv => "noAuthNoPriv",
            Self::AuthNoPriv => "authNoPriv",
            Self::AuthPriv => "authPriv",
        })
    }
}

/// RFC 3414 (MD5, SHA-1) and RFC 7860 (SHA-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthProtocol {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl AuthProtocol {
    pub const ALL: [Self; 6] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
    ];
}

impl fmt::Display for AuthProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

impl FromStr for AuthProtocol {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, CredentialError> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.to_string().eq_ignore_ascii_case(text))
            .ok_or_else(|| CredentialError::AuthProtocol(text.into()))
    }
}

/// RFC 3414 (DES), RFC 3826 (AES-128), and the drafts for longer keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrivProtocol {
    Des,
    Aes128,
    /// Keys lengthened as in draft-blumenthal-aes-usm-04 §3.1.2.1: net-snmp and most others.
    Aes192,
    Aes256,
    /// Keys lengthened as in draft-reeder-snmpv3-usm-3desede-00 §2.1: Cisco.
    Aes192C,
    Aes256C,
}

impl PrivProtocol {
    pub const ALL: [Self; 6] = [
        Self::Des,
        Self::Aes128,
        Self::Aes192,
        Self::Aes256,
        Self::Aes192C,
        Self::Aes256C,
    ];
}

impl fmt::Display for PrivProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Des => "DES",
            Self::Aes128 => "AES-128",
            Self::Aes192 => "AES-192",
            Self::Aes256 => "AES-256",
            Self::Aes192C => "AES-192-C",
            Self::Aes256C => "AES-256-C",
        })
    }
}

impl FromStr for PrivProtocol {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Self, CredentialError> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.to_string().eq_ignore_ascii_case(text))
            .ok_or_else(|| CredentialError::PrivProtocol(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_under_eight_characters_is_refused_with_a_clear_error() {
        for password in ["", "1234567"] {
            let auth = V3User::auth("monitor", AuthProtocol::Sha256, password).unwrap_err();
            assert_eq!(auth, CredentialError::ShortAuthPassword);
            let privacy = V3User::auth_priv(
                "monitor",
                (AuthProtocol::Sha256, "12345678"),
                (PrivProtocol::Aes128, password),
            );
            assert_eq!(privacy.unwrap_err(), CredentialError::ShortPrivPassword);
        }
        assert_eq!(V3User::no_auth("").unwrap_err(), CredentialError::UserName);
    }

    #[test]
    fn nothing_secret_prints() {
        let user = V3User::auth_priv(
            "monitor",
            (AuthProtocol::Md5, "hush-hush"),
            (PrivProtocol::Des, "hush-hush"),
        );
        let seen = format!(
            "{:?} {:?} {:?}",
            Auth::v2c("hush"),
            Auth::V3(user.unwrap()),
            Community::new("hush")
        );
        assert_eq!(seen, "v2c v3 monitor authPriv Community([hidden])");
    }

    #[test]
    fn protocols_are_named_as_the_api_names_them() {
        for protocol in AuthProtocol::ALL {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        for protocol in PrivProtocol::ALL {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert!("SHA-3".parse::<AuthProtocol>().is_err());
    }
}
