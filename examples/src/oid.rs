//! Object identifiers: parse, print, compare.

use std::fmt;
use std::str::FromStr;

/// An object identifier. Ordered the way GETNEXT walks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Oid(pub Vec<u32>);

impl Oid {
    /// This identifier with more parts at its end.
    #[must_use]
    pub fn with(&self, parts: &[u32]) -> Self {
        let mut whole = self.0.clone();
        whole.extend_from_slice(parts);
        Self(whole)
    }

    #[must_use]
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }
}

impl From<&[u32]> for Oid {
    fn from(parts: &[u32]) -> Self {
        Self(parts.to_vec())
    }
}

impl<const N: usize> From<[u32; N]> for Oid {
    fn from(parts: [u32; N]) -> Self {
        Self(parts.to_vec())
    }
}

/// Why a text is no object identifier.
#[derive(Debug)]
pub struct NotAnOid(String);

impl fmt::Display for NotAnOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a dotted object identifier", self.0)
    }
}

impl std::error::Error for NotAnOid {}

impl FromStr for Oid {
    type Err = NotAnOid;

    fn from_str(text: &str) -> Result<Self, NotAnOid> {
        let parts: Result<Vec<u32>, _> = text
            .trim_start_matches('.')
            .split('.')
            .map(str::parse)
            .collect();
        parts.map(Self).map_err(|_| NotAnOid(text.to_owned()))
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            write!(f, "{part}")?;
        }
        Ok(())
    }
}
