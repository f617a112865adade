//! Text that came from a device: attacker's input until shown otherwise.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// The longest name kept, in bytes of UTF-8.
pub const NAME_LIMIT: usize = 256;
/// The longest description kept, in bytes of UTF-8.
pub const DESCRIPTION_LIMIT: usize = 1_024;

/// A string made by somebody else's device, safe to show as text.
///
/// Length-capped; control characters, bidirectional overrides and zero-width characters are written out as `\u{202e}`
/// or `\x07`, bytes that are not UTF-8 are read as ISO 8859-1. It is never HTML, a format string or a file name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct DeviceText(String);

impl DeviceText {
    /// A name: at most [`NAME_LIMIT`] bytes, on one line.
    #[must_use]
    pub fn name(raw: &[u8]) -> Self {
        Self(visible(&decode(raw), NAME_LIMIT))
    }

    /// A description: at most [`DESCRIPTION_LIMIT`] bytes; line breaks become spaces.
    #[must_use]
    pub fn description(raw: &[u8]) -> Self {
        let text = decode(raw);
        let one_line = text
            .split(['\r', '\n', '\t'])
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        Self(visible(&one_line, DESCRIPTION_LIMIT))
    }

    /// The safe text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the device said nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for DeviceText {
    /// Whatever arrives over the wire goes through the same door again: a probe may lie too.
    fn from(text: String) -> Self {
        Self(visible(&text, DESCRIPTION_LIMIT))
    }
}

impl From<&str> for DeviceText {
    fn from(text: &str) -> Self {
        Self(visible(text, DESCRIPTION_LIMIT))
    }
}

impl From<DeviceText> for String {
    fn from(text: DeviceText) -> Self {
        text.0
    }
}

impl std::fmt::Display for DeviceText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn decode(raw: &[u8]) -> String {
    let end = raw
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let raw = &raw[..end];
    match std::str::from_utf8(raw) {
        Ok(text) => text.to_owned(),
        Err(_) => raw.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn visible(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    let mut shown = String::new();
    for c in text.trim().chars() {
        shown.clear();
        if hidden(c) {
            let code = u32::from(c);
            let written = if code < 0x100 {
                write!(shown, "\\x{code:02x}")
            } else {
                write!(shown, "\\u{{{code:x}}}")
            };
            written.expect("writing to a string cannot fail");
        } else {
            shown.push(c);
        }
        if out.len() + shown.len() > limit {
            break;
        }
        out.push_str(&shown);
    }
    // What is cut may end in a blank, which would be gone the next time.
    out.truncate(out.trim_end().len());
    out
}

/// Characters that change how their neighbours look, or cannot be seen.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0x00ad | 0x034f | 0x061c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
            | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_made_visible() {
        assert_eq!(
            DeviceText::name("core\u{202e}1ws\u{200b}".as_bytes()).as_str(),
            "core\\u{202e}1ws\\u{200b}"
        );
        assert_eq!(
            DeviceText::name(b"bell\x07 esc\x1b[31m").as_str(),
            "bell\\x07 esc\\x1b[31m"
        );
    }

    #[test]
    fn markup_stays_text_and_latin_1_is_read() {
        assert_eq!(
            DeviceText::name(b"<script>alert(1)</script>").as_str(),
            "<script>alert(1)</script>"
        );
        assert_eq!(DeviceText::name(b"Z\xfcrich\0\0").as_str(), "Zürich");
    }

    #[test]
    fn length_is_capped_at_a_character() {
        let text = DeviceText::name("é".repeat(500).as_bytes());
        assert_eq!(text.as_str().len(), NAME_LIMIT);
        assert!(DeviceText::description(&[b'x'; 70_000]).as_str().len() <= DESCRIPTION_LIMIT);
    }

    #[test]
    fn what_is_cut_at_a_blank_is_the_same_when_it_passes_again() {
        let once =
            DeviceText::description(format!("{} x", "y".repeat(DESCRIPTION_LIMIT - 1)).as_bytes());
        assert_eq!(once.as_str().len(), DESCRIPTION_LIMIT - 1);
        assert_eq!(DeviceText::from(once.as_str()), once);
    }

    #[test]
    fn a_description_is_one_line_and_passing_twice_changes_nothing() {
        let once = DeviceText::description(b"Cisco IOS\r\n  Version 15\t(fc3)\x07");
        assert_eq!(once.as_str(), "Cisco IOS Version 15 (fc3)\\x07");
        assert_eq!(DeviceText::from(once.as_str()), once);
    }
}
