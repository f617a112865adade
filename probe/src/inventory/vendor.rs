//! What a device is, by simple evidence, where no profile says it: what runs on it, what it is for.

/// Operating system and version in a few words of `sysDescr`.
#[must_use]
pub fn os(sys_descr: &str) -> String {
    let mut words = sys_descr.split_whitespace();
    let first = words.next().unwrap_or_default();
    match first {
        // `uname -a`: system, host, release
        "Linux" | "FreeBSD" | "OpenBSD" | "NetBSD" | "Darwin" => match words.nth(1) {
            Some(release) => format!("{first} {release}"),
            None => first.to_owned(),
        },
        "Hardware:" => sys_descr.find("Software:").map_or_else(
            || "Windows".to_owned(),
            |at| cut(sys_descr[at + "Software:".len()..].trim()),
        ),
        "RouterOS" => "RouterOS".to_owned(),
        _ => {
            let system = sys_descr.split([',', ';']).next().unwrap_or_default();
            let version = sys_descr
                .split_whitespace()
                .skip_while(|word| !word.eq_ignore_ascii_case("version"))
                .nth(1)
                .map(|word| word.trim_end_matches([',', ';']));
            match version {
                Some(version) if !system.contains(version) => {
                    cut(&format!("{} {version}", cut(system)))
                }
                _ => cut(system),
            }
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// What a device is for, in one word of ours; empty where nothing tells.
///
/// `bridge` and `router` are what it says of itself (LLDP's enabled capabilities, `ipForwarding`, a bridge address).
#[must_use]
pub fn role(sys_descr: &str, vendor: &str, bridge: bool, router: bool) -> &'static str {
    let text = format!("{vendor} {sys_descr}").to_lowercase();
    let by_word = ROLES
        .iter()
        .find(|(words, _)| words.iter().any(|word| text.contains(word)));
    match by_word {
        Some((_, role)) => role,
        None if bridge => "switch",
        None if text.contains("linux") || text.contains("windows") || text.contains("bsd") => {
            "server"
        }
        None if router => "router",
        None => "",
    }
}

const ROLES: &[(&[&str], &str)] = &[
    (
        &[
            "jetdirect",
            "printer",
            "laserjet",
            "officejet",
            "bizhub",
            "ecosys",
            "kyocera",
            "lexmark",
            "ricoh",
        ],
        "printer",
    ),
    (
        &[
            "smart-ups",
            "ups ",
            "eaton",
            "powerware",
            "liebert",
            "symmetra",
        ],
        "ups",
    ),
    (&["pdu", "raritan", "power distribution"], "pdu"),
    (&["camera", "axis", "hikvision", "mobotix"], "camera"),
    (
        &["idrac", "integrated lights-out", "ilo ", "bmc", "ipmi"],
        "bmc",
    ),
    (
        &[
            "fortigate",
            "fortinet",
            "palo alto",
            "pan-os",
            "adaptive security appliance",
            "pfsense",
            "opnsense",
            "sonicwall",
            "watchguard",
            "check point",
            "sophos",
        ],
        "firewall",
    ),
    (
        &[
            "access point",
            "aironet",
            "unifi ap",
            "uap-",
            "aruba ap",
            "wireless controller",
            "airos",
            "ruckus",
        ],
        "wireless",
    ),
    (
        &[
            "synology",
            "diskstation",
            "qnap",
            "netapp",
            "truenas",
            "freenas",
        ],
        "nas",
    ),
    (
        &["vmware esx", "esxi", "proxmox", "hyper-v", "xenserver"],
        "hypervisor",
    ),
    (
        &["thermometer", "temperature sensor", "environmental monitor"],
        "sensor",
    ),
    (
        &[
            "routeros",
            "junos olive",
            "vyos",
            "edgeos",
            "edgerouter",
            " router",
            "ios xr",
            "asr9",
            "asr1",
        ],
        "router",
    ),
    (
        &[
            "catalyst",
            " switch",
            "procurve",
            "nexus",
            "nx-os",
            "arista",
            "c2960",
            "c3560",
            "c3750",
            "exos",
            "edgeswitch",
            "dell networking",
            "powerconnect",
            "comware",
            "aos-cx",
        ],
        "switch",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operating_system_is_a_few_words() {
        assert_eq!(
            os("Linux web1 5.10.0-28-amd64 #1 SMP Debian 5.10.209-2 x86_64"),
            "Linux 5.10.0-28-amd64"
        );
        assert_eq!(
            os(
                "Cisco IOS Software, C2960 Software (C2960-LANBASEK9-M), Version 15.0(2)SE11, RELEASE SOFTWARE (fc3)"
            ),
            "Cisco IOS Software 15.0(2)SE11"
        );
        assert_eq!(os("RouterOS CCR1009-7G-1C-1S+"), "RouterOS");
        assert_eq!(
            os(
                "Hardware: Intel64 Family 6 - Software: Windows Version 6.3 (Build 17763 Multiprocessor Free)"
            ),
            "Windows Version 6.3 (Build 17763 Multiprocessor Free)"
        );
        assert_eq!(os(""), "");
    }

    #[test]
    fn a_role_is_what_most_evidence_says() {
        assert_eq!(
            role(
                "HP ETHERNET MULTI-ENVIRONMENT,JETDIRECT",
                "HP",
                false,
                false
            ),
            "printer"
        );
        assert_eq!(
            role("Cisco IOS Software, C2960", "Cisco", false, true),
            "switch"
        );
        assert_eq!(role("Linux gw 5.10", "net-snmp", false, true), "server");
        assert_eq!(role("Some box", "", true, true), "switch");
        assert_eq!(role("Some box", "", false, false), "");
    }
}
