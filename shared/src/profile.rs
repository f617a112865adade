//! Device profiles: which device is this, and what is worth reading from it. YAML in, checked profiles out, a note for
//! everything that cannot be taken as it stands.
//!
//! The format is the one that Datadog and Netdata share, with sensors, storage, processors and more ways to tell devices
//! apart (`README.md` beside the profiles).
//!
//! - [`model`] what a profile says;  [`pattern`] its regular expressions
//! - `yaml`, `read` a file's text to what it says
//! - [`builtin`] those that come with the program
//! - [`library`] many files: parts put together, and which of them are for a device

pub mod builtin;
pub mod library;
pub mod model;
pub mod pattern;
mod read;
mod yaml;

use std::sync::Arc;

pub use self::library::{Applied, Library, Presence, SourceFile};

/// Something about a file that its author should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How bad it is.
    pub level: Level,
    /// The file's name.
    pub file: Arc<str>,
    /// From 1; 0 = the file as a whole.
    pub line: u32,
    /// One line.
    pub what: String,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}:{}: {}: {}",
            self.file,
            self.line,
            self.level.word(),
            self.what
        )
    }
}

/// How bad a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It is taken, but not as its author may think.
    Warning,
    /// An entry is left out.
    Error,
}

impl Level {
    /// For people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a device is for, in our words.
const ROLES: &[&str] = &[
    "switch",
    "router",
    "firewall",
    "access_point",
    "wireless_controller",
    "ups",
    "pdu",
    "printer",
    "nas",
    "server",
    "hypervisor",
    "camera",
    "sensor",
    "phone",
    "bmc",
    "load_balancer",
    "console_server",
    "appliance",
];
/// Other profiles' words for ours.
const ROLE_WORDS: &[(&str, &str)] = &[
    ("accesspoint", "access_point"),
    ("wirelesslancontroller", "wireless_controller"),
    ("wlc", "wireless_controller"),
    ("wirelesscontroller", "wireless_controller"),
    ("storage", "nas"),
    ("loadbalancer", "load_balancer"),
    ("serverloadbalancer", "load_balancer"),
    ("adc", "load_balancer"),
    ("consoleserver", "console_server"),
    ("roomalertmonitor", "sensor"),
    ("firewallfirepower", "firewall"),
    ("switchwlc", "switch"),
    ("switchbop", "switch"),
    ("sdwan", "router"),
    ("vpn", "firewall"),
    ("ucs", "server"),
    ("mediagateway", "appliance"),
    ("wave", "appliance"),
    ("clearpass", "appliance"),
    ("smb", "appliance"),
    ("secureemailgateway", "appliance"),
    ("icm", "appliance"),
    ("proxy", "appliance"),
    ("sbc", "appliance"),
    ("wireless", "access_point"),
    ("ipphone", "phone"),
    ("environment", "sensor"),
];

/// Our word for a role as somebody writes it (`Wireless LAN Controller`); `None` where we have none.
#[must_use]
pub fn role(word: &str) -> Option<&'static str> {
    let letters: String = word
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    ROLES
        .iter()
        .find(|role| role.chars().filter(|c| *c != '_').eq(letters.chars()))
        .copied()
        .or_else(|| {
            ROLE_WORDS
                .iter()
                .find(|(other, _)| *other == letters)
                .map(|(_, role)| *role)
        })
}

/// A number as people and mappings write it: whole ones without a point, others with ten digits.
#[must_use]
pub fn number_text(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e18 {
        return format!("{number:.0}").replace("-0", if number == 0.0 { "0" } else { "-0" });
    }
    tidy(number).to_string()
}

/// A number with ten digits: what was computed in binary shows no tail.
#[must_use]
pub fn tidy(number: f64) -> f64 {
    if number.fract() == 0.0 {
        return number;
    }
    format!("{number:.9e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod words {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let pairs = [
            (0.0, "0"),
            (-0.0, "0"),
            (-10.0, "-10"),
            (12.0, "12"),
            (0.1 + 0.2, "0.3"),
            (1.0 / 3.0, "0.3333333333"),
            (231.45 * 0.1, "23.145"),
        ];
        for (number, text) in pairs {
            assert_eq!(number_text(number), text);
        }
    }

    #[test]
    fn roles_are_known_by_many_words() {
        for (word, ours) in [
            ("Switch", "switch"),
            ("Access Point", "access_point"),
            ("WLC", "wireless_controller"),
        ] {
            assert_eq!(role(word), Some(ours));
        }
        assert_eq!(role("Toaster"), None);
    }
}
