//! Identities: newtypes over `UUIDv7`, so that a site's id cannot be passed where a probe's is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, ordered by the time of its making.
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// The 16 bytes that SQL keeps.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// From the 16 bytes that SQL keeps.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The UUID itself.
            #[must_use]
            pub const fn uuid(&self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl rusqlite::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                Ok(self.as_bytes().as_slice().into())
            }
        }

        impl rusqlite::types::FromSql for $name {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                <[u8; 16]>::column_result(value).map(Self::from_bytes)
            }
        }
    )*};
}

id! {
    /// Who pays.
    CustomerId,
    /// Where: a place of a customer with a probe in it.
    SiteId,
    /// Our program at a site.
    ProbeId,
    /// What: one device, however many addresses it has. Only Central mints these.
    DeviceId,
    /// One port of a device, whatever its ifIndex is today. Only Central mints these.
    InterfaceId,
    /// A set of secrets by which devices answer.
    CredentialId,
    /// A person.
    UserId,
    /// Where a notification goes.
    ChannelId,
    /// One on-demand action.
    ActionId,
    /// A join token's public name (never its secret).
    TokenId,
    /// This installation of Central, as it appears in certificates.
    DeploymentId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_prints() {
        let id = DeviceId::generate();
        assert_eq!(id.to_string().parse::<DeviceId>().unwrap(), id);
        assert_eq!(DeviceId::from_bytes(*id.as_bytes()), id);
        assert!("not-an-id".parse::<DeviceId>().is_err());
    }
}
