//! One value as text or number, as a profile wants it: format, extract, match, mapping, in this order.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use farwatch_shared::profile::model::{Condition, Format, Object, Test};
use farwatch_shared::profile::number_text;

use crate::snmp::Value;

/// A value on its way.
#[derive(Clone, Debug)]
pub(super) enum Cell<'a> {
    Raw(&'a Value),
    Text(Cow<'a, str>),
    Number(f64),
}

impl Cell<'_> {
    /// As text, without NULs and trailing white space.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Raw(value) => text_of(value).map(Cow::Owned),
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Number(number) => Some(number_text(*number).into()),
        }
    }

    /// As a number; of text the one that it begins with.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Raw(Value::OctetString(octets)) => leading_number(&decode(octets)),
            Self::Raw(Value::Oid(_) | Value::IpAddress(_)) => None,
            Self::Raw(value) => value.as_f64().or_else(|| opaque_text(value)?.parse().ok()),
            Self::Text(text) => leading_number(text),
            Self::Number(number) => Some(*number),
        }
        .filter(|number| number.is_finite())
    }
}

/// A value as text: octets as UTF-8, else as ISO 8859-1; no NULs, no white space at the end.
pub(super) fn text_of(value: &Value) -> Option<String> {
    Some(match value {
        Value::OctetString(octets) => decode(octets),
        Value::Oid(oid) => oid.to_string(),
        Value::IpAddress(address) => address.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Opaque(_) => opaque_text(value)?,
        _ => match value.as_u64() {
            Some(number) => number.to_string(),
            None => number_text(value.as_f64()?),
        },
    })
}

/// A REAL in decimal (X.690 §8.5.8) inside an Opaque.
fn opaque_text(value: &Value) -> Option<String> {
    let Value::Opaque(octets) = value else {
        return None;
    };
    let inner = match **octets {
        [0x44, _, ref inner @ ..] => inner,
        ref inner => inner,
    };
    match inner {
        [0x9f, 0x78, 4, rest @ ..] => Some(number_text(
            f32::from_be_bytes(rest.get(..4)?.try_into().ok()?).into(),
        )),
        [0x9f, 0x79, 8, rest @ ..] => Some(number_text(f64::from_be_bytes(
            rest.get(..8)?.try_into().ok()?,
        ))),
        [0x09, length, _, text @ ..] => {
            let text = text.get(..usize::from(*length).checked_sub(1)?)?;
            let number: f64 = str::from_utf8(text).ok()?.trim().parse().ok()?;
            Some(number_text(number))
        }
        _ => None,
    }
}

pub(super) fn decode(octets: &[u8]) -> String {
    let text = match str::from_utf8(octets) {
        Ok(text) => text.replace('\0', ""),
        Err(_) => octets
            .iter()
            .filter(|o| **o != 0)
            .map(|o| char::from(*o))
            .collect(),
    };
    text.trim_end().to_owned()
}

/// The number at the beginning of a text, with a decimal point.
fn leading_number(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        bytes[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let whole = digits(sign);
    let mut end = sign + whole;
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if end == sign {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let power = digits((end + 1 + sign).min(bytes.len()));
        if power > 0 {
            end += 1 + sign + power;
        }
    }
    text[..end].parse().ok()
}

/// What a profile makes of a value. `strictly` (facts): what does not match is nothing; else it stays as it is.
pub(super) fn shaped<'a>(value: &'a Value, object: &Object, strictly: bool) -> Option<Cell<'a>> {
    let mut cell = match object.format {
        Some(format) => formatted(value, format)?,
        None => Cell::Raw(value),
    };
    if let Some(pattern) = &object.extract {
        let found = cell
            .text()
            .and_then(|text| pattern.extract(&text).map(str::to_owned));
        match found {
            Some(found) => cell = Cell::Text(found.into()),
            None if strictly => return None,
            None => {}
        }
    }
    if let Some((pattern, template)) = &object.rewrite {
        let text = pattern.rewrite(&cell.text()?, template)?;
        cell = Cell::Text(text.into());
    }
    Some(cell)
}

/// As [`shaped`], then the mapping's word.
pub(super) fn worded<'a>(value: &'a Value, object: &Object, strictly: bool) -> Option<Cell<'a>> {
    let cell = shaped(value, object, strictly)?;
    let Some(mapping) = &object.mapping else {
        return Some(cell);
    };
    match cell.text().and_then(|text| mapping.word(text.trim())) {
        Some(word) => Some(Cell::Text(word.into())),
        None if strictly => None,
        None => Some(cell),
    }
}

fn formatted(value: &Value, format: Format) -> Option<Cell<'_>> {
    let octets = match value {
        Value::OctetString(octets) => Some(&**octets),
        _ => None,
    };
    let text = match format {
        Format::TextDate => return Some(Cell::Raw(value)),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the sign is what is not meant"
        )]
        Format::Uint32 => {
            return Some(Cell::Number(f64::from(
                Cell::Raw(value).number()? as i64 as u32
            )));
        }
        Format::IpAddress => octets.and_then(address),
        Format::Hex => octets.map(|octets| data_encoding::HEXLOWER.encode(octets)),
        Format::MacAddress => mac_of(value),
        Format::DateAndTime => octets.and_then(date_and_time),
    };
    text.or_else(|| text_of(value))
        .map(|text| Cell::Text(text.into()))
}

/// Four or sixteen octets that are not an address' text already.
fn address(octets: &[u8]) -> Option<String> {
    let is_text = octets
        .iter()
        .all(|o| o.is_ascii_hexdigit() || matches!(o, b'.' | b':'));
    match octets.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).to_string()),
        16 if !is_text => Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).to_string()),
        _ => None,
    }
}

/// Six octets, or the text of them: `aa:bb:cc:dd:ee:ff`.
pub(super) fn mac_of(value: &Value) -> Option<String> {
    let octets = value.as_octets()?;
    let digits = if octets.len() == 6 {
        data_encoding::HEXLOWER.encode(octets)
    } else {
        let text = decode(octets);
        let text = text.trim();
        let parts: Vec<&str> = text.split([':', '-']).collect();
        if parts.len() == 6 && parts.iter().all(|part| matches!(part.len(), 1 | 2)) {
            parts.iter().map(|part| format!("{part:0>2}")).collect()
        } else {
            text.split(['.', '-', ':']).collect()
        }
    };
    if digits.len() != 12 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pairs: Vec<String> = (0..6)
        .map(|i| digits[2 * i..2 * i + 2].to_ascii_lowercase())
        .collect();
    Some(pairs.join(":"))
}

/// `DateAndTime` of SNMPv2-TC: eight octets, or eleven with the zone.
fn date_and_time(octets: &[u8]) -> Option<String> {
    let &[
        high,
        low,
        month,
        day,
        hour,
        minute,
        second,
        _,
        ref zone @ ..,
    ] = octets
    else {
        return None;
    };
    let year = u16::from_be_bytes([high, low]);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    match zone {
        [] => {}
        [sign, hours, minutes] => {
            use std::fmt::Write as _;
            let _ = write!(text, "{}{hours:02}:{minutes:02}", char::from(*sign));
        }
        _ => return None,
    }
    Some(text)
}

/// Whether a value meets a condition; a missing one meets only `not`.
pub(super) fn meets(cell: Option<&Cell<'_>>, condition: &Condition) -> bool {
    let text = cell.and_then(Cell::text);
    condition.tests.iter().all(|test| match (test, &text) {
        (Test::Not(_), None) => true,
        (_, None) => false,
        (Test::Not(words), Some(text)) => !words.iter().any(|word| is_same(text, word)),
        (Test::Equals(words), Some(text)) => words.iter().any(|word| is_same(text, word)),
        (Test::Matches(patterns), Some(text)) => patterns.iter().any(|pattern| pattern.is_in(text)),
        (Test::Above(limit), _) => cell.and_then(Cell::number).is_some_and(|n| n > *limit),
        (Test::Below(limit), _) => cell.and_then(Cell::number).is_some_and(|n| n < *limit),
    })
}

/// The same text, or the same number.
fn is_same(text: &str, word: &str) -> bool {
    if text == word {
        return true;
    }
    match (text.trim().parse::<f64>(), word.trim().parse::<f64>()) {
        #[expect(clippy::float_cmp, reason = "both as they were written")]
        (Ok(a), Ok(b)) => a == b,
        _ => text.trim() == word.trim() || text.trim() == word.trim().trim_start_matches('.'),
    }
}
