//! Is this the same device? Serial, chassis MAC and engine id decide; an address alone only suggests.

use super::facts::Facts;
use farwatch_shared::wire::message::batch::DeviceRecord;

/// What tells devices apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Chassis serial, junk left out.
    pub serial: String,
    /// Chassis MAC.
    pub mac: String,
    /// SNMP engine id, hex.
    pub engine_id: String,
    /// What it calls itself.
    pub sys_name: String,
}

/// What a comparison says, and by which evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One device.
    Same(&'static str),
    /// Two devices.
    Different(&'static str),
    /// Nothing tells.
    Unknown,
}

impl Evidence {
    /// Of a device that has just been asked.
    #[must_use]
    pub fn of_facts(facts: &Facts) -> Self {
        Self {
            serial: meaningful(facts.serial.as_str()),
            mac: facts.chassis_mac.clone(),
            engine_id: facts.engine_id.clone(),
            sys_name: facts.sys_name.as_str().to_owned(),
        }
    }

    /// Of a device that is known.
    #[must_use]
    pub fn of_record(record: &DeviceRecord) -> Self {
        let of = |kind: &str| {
            record
                .evidence
                .iter()
                .find(|(known, _)| known == kind)
                .map_or_else(String::new, |(_, value)| value.as_str().to_owned())
        };
        Self {
            serial: meaningful(&of("serial")),
            mac: of("chassis_mac"),
            engine_id: of("engine_id"),
            sys_name: record.sys_name.as_str().to_owned(),
        }
    }

    /// Whether anything at all is common: a quick look before [`Evidence::compare`], which makes texts.
    #[must_use]
    pub fn touches(&self, record: &DeviceRecord) -> bool {
        record.evidence.iter().any(|(kind, value)| {
            let ours = match kind.as_str() {
                "serial" => &self.serial,
                "chassis_mac" => &self.mac,
                "engine_id" => &self.engine_id,
                _ => return false,
            };
            !ours.is_empty() && (value.as_str() == ours || value.as_str().trim() == ours)
        })
    }

    /// Whether two devices met at different addresses are one.
    ///
    /// Copies of a virtual machine share an engine id; so one engine id counts only with one name.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Verdict {
        match (
            given(&self.serial, &other.serial),
            given(&self.mac, &other.mac),
        ) {
            (Some(false), _) => return Verdict::Different("serial"),
            (_, Some(false)) => return Verdict::Different("chassis_mac"),
            (Some(true), _) => return Verdict::Same("serial"),
            (_, Some(true)) => return Verdict::Same("chassis_mac"),
            (None, None) => {}
        }
        match given(&self.engine_id, &other.engine_id) {
            Some(false) => Verdict::Different("engine_id"),
            Some(true) if self.sys_name == other.sys_name => Verdict::Same("engine_id"),
            _ => Verdict::Unknown,
        }
    }

    /// Whether the device at an address is still the one that was there: much may change in a device's life, its serial
    /// does not; and one that has another MAC or engine, and another name, is another one.
    #[must_use]
    pub fn still_at_its_address(&self, now: &Self) -> bool {
        if let Some(same) = given(&self.serial, &now.serial) {
            return same;
        }
        let renamed = given(&self.sys_name, &now.sys_name) == Some(false);
        let other = given(&self.mac, &now.mac) == Some(false)
            || given(&self.engine_id, &now.engine_id) == Some(false);
        !(renamed && other)
    }
}

/// Whether both are given, and then whether they are equal.
fn given(a: &str, b: &str) -> Option<bool> {
    (!a.is_empty() && !b.is_empty()).then(|| a == b)
}

/// A serial, unless it is what makers write where there is none.
fn meaningful(serial: &str) -> String {
    let serial = serial.trim();
    let lower = serial.to_lowercase();
    let first = lower.chars().next();
    let junk = serial.len() < 4
        || lower.chars().all(|c| Some(c) == first)
        || [
            "none",
            "n/a",
            "unknown",
            "not specified",
            "default",
            "serial",
            "to be filled",
            "123456",
        ]
        .iter()
        .any(|word| lower.starts_with(word));
    if junk {
        String::new()
    } else {
        serial.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(serial: &str, mac: &str, engine_id: &str, sys_name: &str) -> Evidence {
        Evidence {
            serial: meaningful(serial),
            mac: mac.to_owned(),
            engine_id: engine_id.to_owned(),
            sys_name: sys_name.to_owned(),
        }
    }

    #[test]
    fn the_strongest_evidence_decides() {
        let a = evidence("FOC1234X", "aa", "80", "core");
        assert_eq!(
            a.compare(&evidence("FOC1234X", "", "", "renamed")),
            Verdict::Same("serial")
        );
        assert_eq!(
            a.compare(&evidence("FOC9999X", "", "80", "core")),
            Verdict::Different("serial")
        );
        assert_eq!(
            a.compare(&evidence("", "bb", "80", "core")),
            Verdict::Different("chassis_mac")
        );
        assert_eq!(
            a.compare(&evidence("", "", "80", "core")),
            Verdict::Same("engine_id")
        );
        assert_eq!(
            a.compare(&evidence("", "", "80", "copy")),
            Verdict::Unknown,
            "copies of one machine are not one machine"
        );
        assert_eq!(a.compare(&evidence("", "", "", "core")), Verdict::Unknown);
    }

    #[test]
    fn what_has_nothing_in_common_is_never_the_same() {
        let texts = ["", "FOC1234X", " FOC1234X", "aa"];
        let all = || {
            texts
                .iter()
                .flat_map(|a| texts.iter().map(move |b| (*a, *b)))
        };
        for ((serial, mac), engine_id) in all().zip(texts.iter().copied().cycle()) {
            let known = DeviceRecord {
                evidence: [
                    ("serial", serial),
                    ("chassis_mac", mac),
                    ("engine_id", engine_id),
                ]
                .map(|(kind, value)| (kind.to_owned(), value.into()))
                .to_vec(),
                ..DeviceRecord::default()
            };
            for (serial, mac) in all() {
                let met = evidence(serial, mac, "aa", "");
                let verdict = Evidence::of_record(&known).compare(&met);
                assert!(met.touches(&known) || !matches!(verdict, Verdict::Same(_)));
            }
        }
    }

    #[test]
    fn two_members_with_one_mac_and_two_serials_are_two() {
        let (a, b) = (
            evidence("AAAA1", "aa", "", ""),
            evidence("BBBB2", "aa", "", ""),
        );
        assert_eq!(a.compare(&b), Verdict::Different("serial"));
    }

    #[test]
    fn words_that_stand_for_no_serial_are_no_serial() {
        for junk in [
            "0000000000",
            "N/A",
            "None",
            "unknown",
            "1",
            "To be filled by O.E.M.",
        ] {
            assert_eq!(evidence(junk, "", "", "").serial, "", "{junk}");
        }
        assert_eq!(evidence("SN-00112", "", "", "").serial, "SN-00112");
    }

    #[test]
    fn a_device_may_change_at_its_address_without_being_another() {
        let before = evidence("", "aa", "80", "core");
        assert!(before.still_at_its_address(&evidence("", "aa", "80", "renamed")));
        assert!(before.still_at_its_address(&evidence("", "bb", "81", "core")));
        assert!(before.still_at_its_address(&evidence("", "", "", "")));
        assert!(!before.still_at_its_address(&evidence("", "bb", "81", "printer")));
        let with_serial = evidence("FOC1234X", "", "", "core");
        assert!(!with_serial.still_at_its_address(&evidence("FOC9999X", "", "", "core")));
    }
}
