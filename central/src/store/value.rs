//! Values as SQL and the API write them: times, ids, words.

use std::borrow::Cow;
use std::fmt;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{DeviceState, GapReason as GapReasonCode, Severity as SeverityCode};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{RefOr, schema::SchemaType};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

/// A moment, as RFC 3339 in UTC in the API and milliseconds since 1970 in SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Timestamp);

impl Time {
    /// `None` where SQL or the wire say 0 for "never".
    #[must_use]
    pub fn unless_zero(at: Timestamp) -> Option<Self> {
        (at.ms() != 0).then_some(Self(at))
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let at: jiff::Timestamp = text
            .parse()
            .map_err(|_| de::Error::custom("not a time: write it as 2026-11-23T08:00:00Z"))?;
        Ok(Self(Timestamp(at.as_millisecond())))
    }
}

impl FromSql for Time {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Timestamp::column_result(value).map(Self)
    }
}

impl ToSql for Time {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339, UTC"))
            .into()
    }
}

impl ToSchema for Time {
    fn name() -> Cow<'static, str> {
        "Time".into()
    }
}

/// An identity as the API shows it: the text of a UUID. Inside, the typed ids of `shared::id` are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(pub Uuid);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(|bytes| Self(Uuid::from_bytes(bytes)))
    }
}

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_bytes().as_slice().into())
    }
}

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
            .into()
    }
}

impl ToSchema for Id {
    fn name() -> Cow<'static, str> {
        "Id".into()
    }
}

macro_rules! id_from {
    ($($name:ident),*) => {$(
        impl From<farwatch_shared::id::$name> for Id {
            fn from(id: farwatch_shared::id::$name) -> Self {
                Self(id.uuid())
            }
        }
        impl From<Id> for farwatch_shared::id::$name {
            fn from(id: Id) -> Self {
                Self::from(id.0)
            }
        }
    )*};
}
id_from!(
    CustomerId,
    SiteId,
    ProbeId,
    DeviceId,
    InterfaceId,
    CredentialId,
    UserId,
    ChannelId,
    TokenId
);

fn word_schema(words: impl Iterator<Item = &'static str>) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .enum_values(Some(words))
        .into()
}

/// An enum of the shared model, as a word in the API and a small number in SQL.
macro_rules! coded {
    ($(#[$doc:meta])* $name:ident wraps $inner:ty as $label:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = Cow::<'de, str>::deserialize(deserializer)?;
                <$inner>::from_word(&word).map(Self).ok_or_else(|| de::Error::custom("not a word of this list"))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let code = u8::column_result(value)?;
                <$inner>::from_code(code).map(Self).ok_or(FromSqlError::OutOfRange(code.into()))
            }
        }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.0.code().into())
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                word_schema(<$inner>::ALL.iter().map(|one| one.as_str()))
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                $label.into()
            }
        }
    };
}

coded! {
    /// State of a device, worst first.
    State wraps DeviceState as "State"
}
coded! {
    /// RFC 8632 severity.
    Severity wraps SeverityCode as "Severity"
}
coded! {
    /// Why samples are missing.
    GapReason wraps GapReasonCode as "GapReason"
}

/// A closed list of words, the same in the API and in SQL.
macro_rules! words {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident => $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $($(#[$vdoc])* $variant),* }

        #[allow(unreachable_pub, reason = "of a private list of words they are private too")]
        impl $name {
            /// Every one there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// From the word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::from_word(&word).ok_or_else(|| {
                    serde::de::Error::custom(concat!("not one of:", $(" ", $word),*))
                })
            }
        }

        impl rusqlite::types::FromSql for $name {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                Self::from_word(value.as_str()?).ok_or(rusqlite::types::FromSqlError::InvalidType)
            }
        }

        impl rusqlite::types::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::SchemaType::new(utoipa::openapi::schema::Type::String))
                    .enum_values(Some(Self::ALL.iter().map(|one| one.as_str())))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}
pub(crate) use words;

/// A count from SQL, which only knows signed numbers.
pub(crate) fn count(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(index).map(|n| n.max(0).cast_unsigned())
}

/// How many devices are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// Every means that ever worked failed.
    pub down: u64,
    /// Answers, outside its limits.
    pub degraded: u64,
    /// Its parent is down.
    pub unreachable: u64,
    /// The probe is silent or the data old.
    pub unknown: u64,
    /// Muted by a person.
    pub maintenance: u64,
    /// Answers.
    pub up: u64,
}

impl Counts {
    /// One more device in `state`.
    pub fn add(&mut self, state: DeviceState) {
        match state {
            DeviceState::Down => self.down += 1,
            DeviceState::Degraded => self.degraded += 1,
            DeviceState::Unreachable => self.unreachable += 1,
            DeviceState::Unknown => self.unknown += 1,
            DeviceState::Maintenance => self.maintenance += 1,
            DeviceState::Up => self.up += 1,
        }
    }

    /// All devices.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.down + self.degraded + self.unreachable + self.unknown + self.maintenance + self.up
    }

    /// The worst state that any device is in; `None` without devices.
    #[must_use]
    pub fn worst(&self) -> Option<DeviceState> {
        let of = |state: &DeviceState| match state {
            DeviceState::Down => self.down,
            DeviceState::Degraded => self.degraded,
            DeviceState::Unreachable => self.unreachable,
            DeviceState::Unknown => self.unknown,
            DeviceState::Maintenance => self.maintenance,
            DeviceState::Up => self.up,
        };
        DeviceState::ALL.iter().copied().find(|state| of(state) > 0)
    }
}

/// A field of a `PATCH`: absent leaves the value, `null` clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// Not in the body.
    #[default]
    Keep,
    /// `null`, or a new value.
    Set(Option<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::Set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_what_it_writes() {
        let time = Time(Timestamp(1_763_900_000_123));
        let text = serde_json::to_string(&time).unwrap();
        assert_eq!(text, "\"2025-11-23T12:13:20.123Z\"");
        assert_eq!(serde_json::from_str::<Time>(&text).unwrap(), time);
        assert!(serde_json::from_str::<Time>("\"yesterday\"").is_err());
    }

    #[test]
    fn the_worst_state_wins() {
        let mut counts = Counts::default();
        assert_eq!(counts.worst(), None);
        counts.add(DeviceState::Up);
        counts.add(DeviceState::Degraded);
        assert_eq!(counts.worst(), Some(DeviceState::Degraded));
        assert_eq!(counts.total(), 2);
    }
}
