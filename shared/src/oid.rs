//! Object identifiers: parse, print, compare, prefix, index.
//!
//! An [`Oid`] is kept the way it travels (BER, RFC 3417 §8): up to 22 octets in place, longer ones shared. Nearly every
//! OID of a MIB takes one octet an arc, so an `Oid` is 24 bytes, is read from a packet without an allocation, and a
//! prefix of octets is a prefix of arcs. Order is the order of the arcs (RFC 2578 §7.1.3), not of the octets.

use std::{cmp::Ordering, fmt, hash, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An object identifier of at least two arcs; or empty, which only a device's value can be.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Oid(Octets);

/// What follows a column in the name of an instance: `7` in `ifInOctets.7`, `10.0.0.1` in `ipAdEntAddr.10.0.0.1`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Index(Octets);

/// Why something is no object identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OidError {
    /// Text that is no dotted list of numbers below 2³².
    #[error("not a dotted list of numbers")]
    NotNumbers,
    /// One arc, or none, where two are needed.
    #[error("an object identifier has at least two numbers")]
    TooShort,
    /// More than [`Oid::MAX_ARCS`].
    #[error("an object identifier has at most 128 numbers")]
    TooLong,
    /// The first arc is 0, 1 or 2; under 0 and 1 the second is below 40; under 2 it is below 2³² − 80.
    #[error("no object identifier starts with these two numbers")]
    BadRoot,
    /// Octets that end within an arc, or an arc of 2³² or more.
    #[error("object identifier is not encoded by the rules")]
    BadEncoding,
}

impl Oid {
    /// RFC 2578 §3.5.
    pub const MAX_ARCS: usize = 128;

    /// An OID known when the program is written: `const IF_INDEX: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 2, 2, 1, 1]);`
    ///
    /// # Panics
    /// When it is no OID, or takes more than 22 octets. In a constant that is an error of the compiler.
    #[must_use]
    pub const fn of(arcs: &[u32]) -> Self {
        assert!(
            arcs.len() >= 2
                && arcs[0] <= 2
                && (arcs[0] == 2 || arcs[1] < 40)
                && arcs[1] < u32::MAX - 80
        );
        let mut bytes = [0; INLINE];
        let mut len = put_arc(&mut bytes, 0, arcs[0] * 40 + arcs[1]);
        let mut i = 2;
        while i < arcs.len() {
            len = put_arc(&mut bytes, len, arcs[i]);
            i += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "len is at most INLINE")]
        Self(Octets::Inline {
            len: len as u8,
            bytes,
        })
    }

    pub fn from_arcs(arcs: &[u32]) -> Result<Self, OidError> {
        let (&[first, second], rest) = arcs.split_first_chunk::<2>().ok_or(OidError::TooShort)?;
        if arcs.len() > Self::MAX_ARCS {
            return Err(OidError::TooLong);
        }
        if first > 2 || (first < 2 && second >= 40) {
            return Err(OidError::BadRoot);
        }
        let root = second.checked_add(first * 40).ok_or(OidError::BadRoot)?;
        let mut build = Build::default();
        build.arc(root);
        rest.iter().for_each(|&arc| build.arc(arc));
        Ok(Self(build.finish()))
    }

    /// From the content octets of a BER OBJECT IDENTIFIER. No octets at all give the empty OID, which devices do send.
    ///
    /// Leading zeros of an arc (`80 01`), which BER forbids, are dropped, so that equal OIDs have equal octets.
    pub fn from_ber(octets: &[u8]) -> Result<Self, OidError> {
        let arcs = check(octets)?;
        if arcs.count >= Self::MAX_ARCS {
            return Err(OidError::TooLong); // the first is two
        }
        if arcs.padded {
            let mut build = Build::default();
            RawArcs(octets).for_each(|arc| build.arc(arc));
            return Ok(Self(build.finish()));
        }
        Ok(Self(Octets::new(octets)))
    }

    /// The content octets of its BER encoding.
    #[must_use]
    pub fn as_ber(&self) -> &[u8] {
        self.0.as_slice()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_ber().is_empty()
    }

    /// Its numbers, from the root.
    #[must_use]
    pub fn arcs(&self) -> Arcs<'_> {
        Arcs {
            root: true,
            second: None,
            rest: RawArcs(self.as_ber()),
        }
    }

    /// The last number: the row in a table with a simple index.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.arcs().last()
    }

    /// Whether this OID is `prefix` or lies under it. Everything lies under the empty OID.
    #[must_use]
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.as_ber().starts_with(prefix.as_ber())
    }

    /// Whether this is the instance of `column` in the row `index`.
    #[must_use]
    pub fn is_instance(&self, column: &Self, index: &Index) -> bool {
        let (octets, row) = (self.as_ber(), index.0.as_slice());
        octets.len() == column.as_ber().len() + row.len()
            && octets.ends_with(row)
            && octets.starts_with(column.as_ber())
    }

    /// The row of `column` that this is the instance of, where rows have an index of one number.
    #[must_use]
    pub fn row_under(&self, column: &Self) -> Option<u32> {
        let mut arcs = RawArcs(self.as_ber().strip_prefix(column.as_ber())?);
        arcs.next().filter(|_| arcs.0.is_empty())
    }

    /// The order of two that both lie under `prefix`: only what follows it is looked at.
    #[must_use]
    pub fn cmp_under(&self, other: &Self, prefix: &Self) -> Ordering {
        let from = prefix.as_ber().len();
        match (self.as_ber().get(from..), other.as_ber().get(from..)) {
            (Some(a), Some(b)) => compare(a, b),
            _ => self.cmp(other),
        }
    }

    /// What follows `prefix`; `None` when this OID does not lie under it.
    #[must_use]
    pub fn index_under(&self, prefix: &Self) -> Option<Index> {
        let rest = self.as_ber().strip_prefix(prefix.as_ber())?;
        (!prefix.is_empty()).then(|| Index(Octets::new(rest)))
    }

    /// The instance of this column in the row `index`.
    #[must_use]
    pub fn with_index(&self, index: &Index) -> Self {
        let mut build = Build::from(self.as_ber());
        build.octets(index.0.as_slice());
        Self(build.finish())
    }

    /// One step down.
    #[must_use]
    pub fn child(&self, arc: u32) -> Self {
        let mut build = Build::from(self.as_ber());
        build.arc(arc);
        Self(build.finish())
    }

    /// One step up; `None` at two arcs.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let octets = self.as_ber();
        let end = arc_start(octets, octets.len().checked_sub(1)?);
        (end > 0).then(|| Self(Octets::new(&octets[..end])))
    }
}

impl Index {
    #[must_use]
    pub fn from_arcs(arcs: &[u32]) -> Self {
        let mut build = Build::default();
        arcs.iter().for_each(|&arc| build.arc(arc));
        Self(build.finish())
    }

    #[must_use]
    pub fn arcs(&self) -> RawArcs<'_> {
        RawArcs(self.0.as_slice())
    }

    /// Its number, when it has only one: an ifIndex.
    #[must_use]
    pub fn single(&self) -> Option<u32> {
        let mut arcs = self.arcs();
        arcs.next().filter(|_| arcs.next().is_none())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.as_slice().is_empty()
    }
}

impl From<u32> for Index {
    fn from(arc: u32) -> Self {
        Self::from_arcs(&[arc])
    }
}

impl Ord for Oid {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.as_ber(), other.as_ber())
    }
}

impl PartialOrd for Oid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Index {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.0.as_slice(), other.0.as_slice())
    }
}

impl PartialOrd for Index {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Oid {
    type Err = OidError;

    /// `1.3.6.1` or `.1.3.6.1`.
    fn from_str(text: &str) -> Result<Self, OidError> {
        Self::from_arcs(&numbers(text.strip_prefix('.').unwrap_or(text))?)
    }
}

impl FromStr for Index {
    type Err = OidError;

    fn from_str(text: &str) -> Result<Self, OidError> {
        Ok(Self::from_arcs(&numbers(text)?))
    }
}

impl TryFrom<&[u32]> for Oid {
    type Error = OidError;

    fn try_from(arcs: &[u32]) -> Result<Self, OidError> {
        Self::from_arcs(arcs)
    }
}

fn numbers(text: &str) -> Result<Vec<u32>, OidError> {
    let mut arcs = Vec::with_capacity(16);
    for part in text.split('.') {
        // `u32::from_str` would take a sign
        if !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(OidError::NotNumbers);
        }
        if arcs.len() == Oid::MAX_ARCS {
            return Err(OidError::TooLong);
        }
        arcs.push(part.parse().map_err(|_| OidError::NotNumbers)?);
    }
    Ok(arcs)
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dotted(f, self.arcs())
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dotted(f, self.arcs())
    }
}

fn dotted(f: &mut fmt::Formatter<'_>, arcs: impl Iterator<Item = u32>) -> fmt::Result {
    for (i, arc) in arcs.enumerate() {
        let dot = if i == 0 { "" } else { "." };
        write!(f, "{dot}{arc}")?;
    }
    Ok(())
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Oid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Oid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            Ok(Self::default())
        } else {
            text.parse().map_err(de::Error::custom)
        }
    }
}

impl Serialize for Index {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            Ok(Self::default())
        } else {
            text.parse().map_err(de::Error::custom)
        }
    }
}

/// The numbers of an [`Oid`].
#[derive(Debug, Clone)]
pub struct Arcs<'a> {
    root: bool,
    second: Option<u32>,
    rest: RawArcs<'a>,
}

impl Iterator for Arcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if let Some(second) = self.second.take() {
            return Some(second);
        }
        let arc = self.rest.next()?;
        if !std::mem::take(&mut self.root) {
            return Some(arc);
        }
        let first = (arc / 40).min(2); // the first two travel as one: X·40 + Y
        self.second = Some(arc - first * 40);
        Some(first)
    }
}

/// The numbers of an [`Index`].
#[derive(Debug, Clone)]
pub struct RawArcs<'a>(&'a [u8]);

impl Iterator for RawArcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let mut arc: u32 = 0;
        while let Some((&octet, rest)) = self.0.split_first() {
            self.0 = rest;
            arc = arc << 7 | u32::from(octet & 0x7f);
            if octet < 0x80 {
                return Some(arc);
            }
        }
        None
    }
}

/// Arcs in base 128: complete, each below 2³² and without leading zeros, whoever made them.
#[derive(Clone)]
enum Octets {
    Inline { len: u8, bytes: [u8; INLINE] },
    Shared(Arc<[u8]>),
}

/// What fits beside the length in 24 bytes.
const INLINE: usize = 22;

impl Octets {
    fn new(octets: &[u8]) -> Self {
        match u8::try_from(octets.len()) {
            Ok(len) if octets.len() <= INLINE => {
                let mut bytes = [0; INLINE];
                bytes[..octets.len()].copy_from_slice(octets);
                Self::Inline { len, bytes }
            }
            _ => Self::Shared(octets.into()),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Shared(octets) => octets,
        }
    }
}

impl Default for Octets {
    fn default() -> Self {
        Self::Inline {
            len: 0,
            bytes: [0; INLINE],
        }
    }
}

impl PartialEq for Octets {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Octets {}

impl hash::Hash for Octets {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

/// Octets being put together: on the stack while they are few.
#[derive(Default)]
struct Build {
    len: usize,
    bytes: [u8; INLINE],
    spilled: Vec<u8>,
}

impl Build {
    fn octets(&mut self, octets: &[u8]) {
        if self.spilled.is_empty() && self.len + octets.len() <= INLINE {
            self.bytes[self.len..self.len + octets.len()].copy_from_slice(octets);
        } else {
            if self.spilled.is_empty() {
                self.spilled.extend_from_slice(&self.bytes[..self.len]);
            }
            self.spilled.extend_from_slice(octets);
        }
        self.len += octets.len();
    }

    fn arc(&mut self, arc: u32) {
        let mut bytes = [0; INLINE];
        let len = put_arc(&mut bytes, 0, arc);
        self.octets(&bytes[..len]);
    }

    fn finish(self) -> Octets {
        if self.spilled.is_empty() {
            Octets::new(&self.bytes[..self.len])
        } else {
            Octets::Shared(self.spilled.into())
        }
    }
}

impl From<&[u8]> for Build {
    fn from(octets: &[u8]) -> Self {
        let mut build = Self::default();
        build.octets(octets);
        build
    }
}

const fn put_arc(bytes: &mut [u8; INLINE], at: usize, arc: u32) -> usize {
    let mut shift = 28;
    while shift > 0 && arc >> shift == 0 {
        shift -= 7;
    }
    let mut at = at;
    loop {
        let more = if shift > 0 { 0x80 } else { 0 };
        bytes[at] = (arc >> shift & 0x7f) as u8 | more;
        at += 1;
        if shift == 0 {
            return at;
        }
        shift -= 7;
    }
}

struct Checked {
    count: usize,
    padded: bool,
}

/// Every arc is complete and below 2³².
fn check(octets: &[u8]) -> Result<Checked, OidError> {
    if octets.is_ascii() {
        return Ok(Checked {
            count: octets.len(), // each is an arc
            padded: false,
        });
    }
    let (mut count, mut padded, mut arc) = (0, false, 0_u64);
    let mut within = false;
    for &octet in octets {
        padded |= !within && octet == 0x80;
        arc = arc << 7 | u64::from(octet & 0x7f);
        if arc > u64::from(u32::MAX) {
            return Err(OidError::BadEncoding);
        }
        within = octet >= 0x80;
        if !within {
            count += 1;
            arc = 0;
        }
    }
    if within {
        Err(OidError::BadEncoding)
    } else {
        Ok(Checked { count, padded })
    }
}

/// By arcs: where the octets first differ, the two arcs they belong to decide.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let Some(at) = a.iter().zip(b).position(|(x, y)| x != y) else {
        return a.len().cmp(&b.len());
    };
    // Nearly always the arcs that differ take one octet each: they are the numbers.
    if (a[at] | b[at]) < 0x80 && (at == 0 || a[at - 1] < 0x80) {
        return a[at].cmp(&b[at]);
    }
    let start = arc_start(a, at);
    let arc = |octets| RawArcs(octets).next();
    arc(&a[start..]).cmp(&arc(&b[start..]))
}

/// Where the arc begins that has an octet at `at`.
fn arc_start(octets: &[u8], at: usize) -> usize {
    octets[..at]
        .iter()
        .rposition(|&octet| octet < 0x80)
        .map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn oid(text: &str) -> Oid {
        text.parse().unwrap()
    }

    #[test]
    fn an_oid_is_small_and_so_is_what_may_hold_one() {
        assert_eq!(size_of::<Oid>(), 24);
        assert_eq!(size_of::<Option<Oid>>(), 24);
    }

    #[test]
    fn text_goes_in_and_comes_out() {
        for text in [
            "1.3.6.1.2.1.1.3.0",
            "0.0",
            "2.999.3",
            "1.3.6.1.4.1.4294967295",
            "2.4294967215",
        ] {
            assert_eq!(oid(text).to_string(), text);
        }
        assert_eq!(oid(".1.3.6"), oid("1.3.6"));
    }

    #[test]
    fn what_is_no_oid_is_refused_with_the_reason() {
        let refused = |text: &str| text.parse::<Oid>().unwrap_err();
        assert_eq!(refused(""), OidError::NotNumbers);
        assert_eq!(refused("1"), OidError::TooShort);
        assert_eq!(refused("1.3.+6"), OidError::NotNumbers);
        assert_eq!(refused("1.3..6"), OidError::NotNumbers);
        assert_eq!(refused("1.3.4294967296"), OidError::NotNumbers);
        assert_eq!(refused("1.40"), OidError::BadRoot);
        assert_eq!(refused("3.1"), OidError::BadRoot);
        assert_eq!(refused("2.4294967216"), OidError::BadRoot);
        assert_eq!(refused(&vec!["1"; 129].join(".")), OidError::TooLong);
        assert_eq!(Oid::from_ber(&[0x2b, 0x81]), Err(OidError::BadEncoding));
        assert_eq!(
            Oid::from_ber(&[0x2b, 0x90, 0x80, 0x80, 0x80, 0x00]),
            Err(OidError::BadEncoding)
        );
        assert_eq!(Oid::from_ber(&[0x2b; 128]), Err(OidError::TooLong));
    }

    #[test]
    fn the_encoding_is_that_of_the_standard() {
        assert_eq!(
            oid("1.3.6.1.4.1.2680.1.2.7.3.2.0").as_ber(),
            b"\x2b\x06\x01\x04\x01\x94\x78\x01\x02\x07\x03\x02\x00"
        ); // ITU-T X.690
        assert_eq!(oid("2.999.3").as_ber(), [0x88, 0x37, 0x03]);
        assert_eq!(
            Oid::of(&[1, 3, 6, 1, 2, 1, 1, 3, 0]),
            oid("1.3.6.1.2.1.1.3.0")
        );
        assert_eq!(
            Oid::from_ber(&[0x2b, 0x80, 0x06]).unwrap(),
            oid("1.3.6"),
            "a padded arc is the same arc"
        );
        assert!(Oid::from_ber(&[]).unwrap().is_empty());
    }

    #[test]
    fn an_instance_is_a_column_and_an_index() {
        let column = oid("1.3.6.1.2.1.4.20.1.1");
        let instance = oid("1.3.6.1.2.1.4.20.1.1.10.0.0.200");
        let index = instance.index_under(&column).unwrap();
        assert_eq!(index.arcs().collect::<Vec<_>>(), [10, 0, 0, 200]);
        assert_eq!(index.to_string(), "10.0.0.200");
        assert_eq!(index.single(), None);
        assert_eq!(column.with_index(&index), instance);
        assert_eq!(instance.index_under(&oid("1.3.6.1.2.1.4.20.1.2")), None);
        assert_eq!(
            column.child(128).index_under(&column).unwrap().single(),
            Some(128)
        );
        assert_eq!(column.child(300).parent().unwrap(), column);
        assert_eq!(oid("1.3").parent(), None);
    }

    #[test]
    fn a_prefix_ends_where_an_arc_ends() {
        assert!(oid("1.3.6.1").starts_with(&oid("1.3.6")));
        assert!(oid("1.3.6").starts_with(&oid("1.3.6")));
        assert!(!oid("1.3.6").starts_with(&oid("1.3.6.1")));
        assert!(!oid("1.3.61").starts_with(&oid("1.3.6")));
        assert!(
            !oid("1.3.200").starts_with(&oid("1.3.1")),
            "200 is 81 48 in octets"
        );
    }

    #[test]
    fn serde_speaks_dotted_text() {
        let json = serde_json::to_string(&oid("1.3.6.1")).unwrap();
        assert_eq!(json, "\"1.3.6.1\"");
        assert_eq!(serde_json::from_str::<Oid>(&json).unwrap(), oid("1.3.6.1"));
        assert!(serde_json::from_str::<Oid>("\"1.x\"").is_err());
    }

    fn any_arcs() -> impl Strategy<Value = Vec<u32>> {
        let arc = prop_oneof![
            0..3_u32,
            0..300_u32,
            any::<u32>(),
            Just(127),
            Just(128),
            Just(16_383),
            Just(16_384)
        ];
        (0..3_u32, 0..40_u32, prop::collection::vec(arc, 0..40))
            .prop_map(|(a, b, rest)| [vec![a, b], rest].concat())
    }

    proptest! {
        #[test]
        fn order_and_prefix_are_those_of_the_arcs(a in any_arcs(), b in any_arcs(), cut in 2..42_usize) {
            let (x, y) = (Oid::from_arcs(&a).unwrap(), Oid::from_arcs(&b).unwrap());
            prop_assert_eq!(x.arcs().collect::<Vec<_>>(), a.clone());
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.starts_with(&y), a.starts_with(&b));
            prop_assert_eq!(Oid::from_ber(x.as_ber()).unwrap(), x.clone());
            prop_assert_eq!(x.to_string().parse::<Oid>().unwrap(), x.clone());
            let cut = cut.min(a.len());
            let prefix = Oid::from_arcs(&a[..cut]).unwrap();
            prop_assert!(x.starts_with(&prefix));
            let index = x.index_under(&prefix).unwrap();
            prop_assert_eq!(index.arcs().collect::<Vec<_>>(), &a[cut..]);
            prop_assert_eq!(&prefix.with_index(&index), &x);
            let other = Oid::from_arcs(&[&a[..cut], &b[..]].concat()).unwrap();
            prop_assert_eq!(x.cmp_under(&other, &prefix), x.cmp(&other));
            prop_assert!(x.is_instance(&prefix, &index));
            prop_assert_eq!(other.is_instance(&prefix, &index), other == x);
            prop_assert_eq!(x.row_under(&prefix), index.single());
        }

        #[test]
        fn any_octets_are_an_oid_or_an_error(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(oid) = Oid::from_ber(&octets) {
                prop_assert_eq!(oid.is_empty(), octets.is_empty());
                if !oid.is_empty() {
                    prop_assert_eq!(oid.to_string().parse::<Oid>().unwrap(), oid);
                }
            }
        }
    }
}
