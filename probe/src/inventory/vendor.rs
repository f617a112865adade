//! What a device is, by simple evidence: who made it, what runs on it, what it is for.
//!
//! Numbers are those of IANA's list of private enterprises; only makers of network equipment that is met at sites.

use farwatch_shared::oid::Oid;

/// The maker by `sysObjectID`; `None` where the number is not in the table.
#[must_use]
pub fn vendor(sys_object_id: &Oid) -> Option<&'static str> {
    let mut arcs = sys_object_id.arcs();
    if !PRIVATE.iter().all(|arc| arcs.next() == Some(*arc)) {
        return None;
    }
    let number = arcs.next()?;
    let at = ENTERPRISES
        .binary_search_by_key(&number, |(number, _)| *number)
        .ok()?;
    Some(ENTERPRISES[at].1)
}

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

/// `1.3.6.1.4.1`
const PRIVATE: [u32; 6] = [1, 3, 6, 1, 4, 1];

/// (enterprise number, maker), ascending.
const ENTERPRISES: &[(u32, &str)] = &[
    (2, "IBM"),
    (9, "Cisco"),
    (11, "HP"),
    (18, "Bay Networks"),
    (23, "Novell"),
    (36, "DEC"),
    (42, "Sun Microsystems"),
    (43, "3Com"),
    (45, "Nortel"),
    (52, "Enterasys"),
    (63, "Apple"),
    (72, "Retix"),
    (94, "Nokia"),
    (111, "Oracle"),
    (116, "Hitachi"),
    (119, "NEC"),
    (161, "Motorola"),
    (166, "Shiva"),
    (171, "D-Link"),
    (193, "Ericsson"),
    (207, "Allied Telesis"),
    (211, "Fujitsu"),
    (231, "Fujitsu Siemens"),
    (232, "Compaq"),
    (236, "Samsung"),
    (253, "Xerox"),
    (311, "Microsoft"),
    (318, "APC"),
    (343, "Intel"),
    (367, "Ricoh"),
    (368, "Axis"),
    (388, "Zebra (Symbol)"),
    (476, "Liebert"),
    (529, "Ascend"),
    (534, "Eaton"),
    (637, "Alcatel-Lucent"),
    (641, "Lexmark"),
    (664, "ADTRAN"),
    (674, "Dell"),
    (705, "MGE UPS"),
    (789, "NetApp"),
    (800, "Alcatel"),
    (850, "Tripp Lite"),
    (890, "Zyxel"),
    (1248, "Epson"),
    (1347, "Kyocera"),
    (1588, "Brocade"),
    (1602, "Canon"),
    (1718, "Server Technology"),
    (1872, "Alteon"),
    (1916, "Extreme Networks"),
    (1991, "Foundry (Brocade)"),
    (2001, "Oki"),
    (2011, "Huawei"),
    (2021, "UCD-SNMP"),
    (2272, "Nortel (Passport)"),
    (2334, "Packeteer"),
    (2352, "Redback"),
    (2385, "Sharp"),
    (2435, "Brother"),
    (2544, "ADVA"),
    (2590, "Konica"),
    (2606, "Rittal"),
    (2620, "Check Point"),
    (2636, "Juniper"),
    (2699, "Printer Working Group"),
    (3076, "Altiga (Cisco)"),
    (3097, "WatchGuard"),
    (3181, "Microsens"),
    (3224, "NetScreen (Juniper)"),
    (3309, "Nomadix"),
    (3375, "F5"),
    (3417, "Blue Coat"),
    (3808, "CyberPower"),
    (3902, "ZTE"),
    (3955, "Linksys"),
    (4413, "Broadcom (FASTPATH)"),
    (4526, "Netgear"),
    (4881, "Ruijie"),
    (5528, "APC (NetBotz)"),
    (5624, "Enterasys"),
    (5951, "Citrix NetScaler"),
    (6027, "Force10 (Dell)"),
    (6321, "Ceragon (Calix)"),
    (6486, "Alcatel-Lucent Enterprise"),
    (6527, "Nokia (TiMetra)"),
    (6574, "Synology"),
    (6876, "VMware"),
    (6889, "Avaya"),
    (7779, "Infoblox"),
    (8072, "net-snmp"),
    (8691, "Moxa"),
    (8741, "SonicWall"),
    (8744, "Colubris (HP)"),
    (8886, "Raisecom"),
    (9148, "Acme Packet"),
    (9694, "Arbor"),
    (9839, "Carel"),
    (10002, "Ubiquiti (airOS)"),
    (10418, "Avocent"),
    (10734, "TippingPoint"),
    (10876, "Supermicro"),
    (11863, "TP-Link"),
    (12148, "Eltek"),
    (12325, "FreeBSD (begemot)"),
    (12356, "Fortinet"),
    (13742, "Raritan"),
    (14179, "Airespace (Cisco)"),
    (14525, "Trapeze (Juniper)"),
    (14823, "Aruba"),
    (14988, "MikroTik"),
    (17163, "Riverbed"),
    (17373, "Geist"),
    (17713, "Cambium (Canopy)"),
    (18248, "Papouch"),
    (18334, "Konica Minolta"),
    (19046, "Lenovo"),
    (19746, "Data Domain"),
    (20632, "Barracuda"),
    (21013, "Xirrus"),
    (21067, "Sophos (Astaro)"),
    (21239, "Geist (Vertiv)"),
    (21796, "HW group"),
    (22626, "Comet System"),
    (23867, "Silver Peak"),
    (24681, "QNAP"),
    (25053, "Ruckus"),
    (25461, "Palo Alto Networks"),
    (25506, "H3C"),
    (26543, "IBM (BNT)"),
    (28507, "Gude"),
    (29671, "Meraki (Cisco)"),
    (30065, "Arista"),
    (30155, "OpenBSD"),
    (31034, "Schleifenbauer"),
    (33049, "Mellanox"),
    (35098, "Pica8"),
    (35265, "Eltex"),
    (39165, "Hikvision"),
    (40310, "Cumulus Networks"),
    (41112, "Ubiquiti"),
    (43356, "Mimosa"),
    (44641, "VyOS"),
    (47196, "Aruba (CX)"),
    (50536, "TrueNAS (iXsystems)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn by(oid: &str) -> Option<&'static str> {
        vendor(&oid.parse().unwrap())
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(ENTERPRISES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(ENTERPRISES.len() >= 100);
    }

    #[test]
    fn makers_are_known_by_their_number() {
        assert_eq!(by("1.3.6.1.4.1.9.1.1208"), Some("Cisco"));
        assert_eq!(by("1.3.6.1.4.1.14988.1"), Some("MikroTik"));
        assert_eq!(by("1.3.6.1.4.1.4000000.1"), None);
        assert_eq!(by("1.3.6.1.2.1.1"), None);
        assert_eq!(by("0.0"), None);
    }

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
