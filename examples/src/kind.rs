//! What each kind of device says of itself, as the real ones do.

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Router,
    Firewall,
    CoreSwitch,
    CampusCore,
    AccessSwitch,
    SmartSwitch,
    CloudSwitch,
    /// Speaks only SNMPv1 and has only 32-bit counters.
    OldSwitch,
    CampusAccessPoint,
    OfficeAccessPoint,
    Ups,
    Printer,
    ColourPrinter,
    LinuxServer,
    Nas,
    Pdu,
    Camera,
}

/// The facts that a kind's devices share.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// A word for people and for the truth file.
    pub word: &'static str,
    pub vendor: &'static str,
    pub model: &'static str,
    pub sys_object_id: &'static str,
    pub sys_descr: &'static str,
    /// The first three octets of its MAC addresses.
    pub oui: [u8; 3],
    /// The vendor's IANA number, which an engine id begins with.
    pub enterprise: u32,
    /// `sysServices` (RFC 3418): a sum of 2^(layer − 1).
    pub services: i64,
    /// Whether it has LLDP-MIB.
    pub lldp: bool,
    /// Whether it has ifXTable, and with it 64-bit counters.
    pub wide_counters: bool,
    /// Whether it forwards frames and tells where it learned which address.
    pub bridge: bool,
    /// The largest SNMP message it sends, in octets.
    pub max_message: usize,
    pub software: &'static str,
}

impl Kind {
    #[must_use]
    pub fn facts(self) -> Facts {
        match self {
            Self::Router => Facts {
                word: "router",
                vendor: "Cisco",
                model: "ISR4331/K9",
                sys_object_id: "1.3.6.1.4.1.9.1.2068",
                sys_descr: "Cisco IOS Software [Amsterdam], ISR Software (X86_64_LINUX_IOSD-UNIVERSALK9-M), \
                            Version 17.3.4a, RELEASE SOFTWARE (fc3)\r\nTechnical Support: http://www.cisco.com/techsupport\r\n\
                            Copyright (c) 1986-2021 by Cisco Systems, Inc.",
                oui: [0x70, 0x0f, 0x6a],
                enterprise: 9,
                services: 78,
                max_message: 1472,
                software: "17.3.4a",
                ..SWITCH
            }
            .without_bridge(),
            Self::Firewall => Facts {
                word: "firewall",
                vendor: "Fortinet",
                model: "FGT_60F",
                sys_object_id: "1.3.6.1.4.1.12356.101.1.644",
                sys_descr: "FortiGate-60F v7.2.8,build1639,240313 (GA.M)",
                oui: [0x94, 0xff, 0x3c],
                enterprise: 12_356,
                services: 78,
                software: "v7.2.8",
                ..SWITCH
            }
            .without_bridge(),
            Self::CoreSwitch => Facts {
                vendor: "Cisco",
                model: "C9300-24UX",
                sys_object_id: "1.3.6.1.4.1.9.1.2494",
                sys_descr: "Cisco IOS Software [Bengaluru], Catalyst L3 Switch Software (CAT9K_IOSXE), Version 17.6.5, \
                            RELEASE SOFTWARE (fc2)\r\nTechnical Support: http://www.cisco.com/techsupport",
                oui: [0x00, 0xb6, 0x70],
                enterprise: 9,
                services: 6,
                max_message: 1472,
                software: "17.6.5",
                ..SWITCH
            },
            Self::CampusCore => Facts {
                vendor: "Juniper",
                model: "EX4300-24T",
                sys_object_id: "1.3.6.1.4.1.2636.1.1.1.2.63",
                sys_descr: "Juniper Networks, Inc. ex4300-24t Ethernet Switch, kernel JUNOS 20.4R3-S7, \
                            Build date: 2023-04-10 09:33:06 UTC Copyright (c) 1996-2023 Juniper Networks, Inc.",
                oui: [0x40, 0xa6, 0x77],
                enterprise: 2636,
                services: 6,
                software: "20.4R3-S7",
                ..SWITCH
            },
            Self::AccessSwitch => SWITCH,
            Self::SmartSwitch => Facts {
                vendor: "Zyxel",
                model: "XGS1935-28",
                sys_object_id: "1.3.6.1.4.1.890.1.15",
                sys_descr: "XGS1935-28",
                oui: [0xbc, 0xcf, 0x4f],
                enterprise: 890,
                max_message: 1472,
                software: "V4.90(ACHX.1)",
                ..SWITCH
            },
            Self::CloudSwitch => Facts {
                vendor: "MikroTik",
                model: "CRS328-24P-4S+",
                sys_object_id: "1.3.6.1.4.1.14988.1",
                sys_descr: "RouterOS CRS328-24P-4S+",
                oui: [0x48, 0x8f, 0x5a],
                enterprise: 14_988,
                services: 78,
                software: "7.14.3 (stable)",
                ..SWITCH
            },
            Self::OldSwitch => Facts {
                vendor: "D-Link",
                model: "DES-3028",
                sys_object_id: "1.3.6.1.4.1.171.10.63.6",
                sys_descr: "D-Link DES-3028 Fast Ethernet Switch",
                oui: [0x00, 0x1e, 0x58],
                enterprise: 171,
                services: 3,
                lldp: false,
                wide_counters: false,
                max_message: 1472,
                software: "Build 2.94.B01",
                ..SWITCH
            },
            Self::CampusAccessPoint => Facts {
                vendor: "Aruba",
                model: "AP-225",
                sys_object_id: "1.3.6.1.4.1.14823.1.2.59",
                sys_descr: "ArubaOS (MODEL: 225), Version 8.10.0.7-8.10.0.7",
                oui: [0x94, 0xb4, 0x0f],
                enterprise: 14_823,
                software: "8.10.0.7",
                ..ACCESS_POINT
            },
            Self::OfficeAccessPoint => ACCESS_POINT,
            Self::Ups => Facts {
                word: "ups",
                vendor: "APC",
                model: "Smart-UPS X 1500",
                sys_object_id: "1.3.6.1.4.1.318.1.3.27",
                sys_descr: "APC Web/SNMP Management Card (MB:v4.1.0 PF:v7.0.8 PN:apc_hw05_aos_708.bin AF1:v7.0.8 \
                            AN1:apc_hw05_sumx_708.bin MN:AP9631 HR:08 SN: ZA1815031283 MD:04/10/2018)",
                oui: [0x28, 0x29, 0x86],
                enterprise: 318,
                services: 72,
                lldp: false,
                max_message: 1472,
                software: "v7.0.8",
                ..ACCESS_POINT
            },
            Self::Printer => Facts {
                word: "printer",
                vendor: "HP",
                model: "LaserJet M507",
                sys_object_id: "1.3.6.1.4.1.11.2.3.9.1",
                sys_descr: "HP ETHERNET MULTI-ENVIRONMENT,ROM none,JETDIRECT,JD153,EEPROM JSI24180012,CIDATE 01/27/2021",
                oui: [0x80, 0xe8, 0x2c],
                enterprise: 11,
                services: 64,
                lldp: false,
                wide_counters: false,
                max_message: 1472,
                software: "2411252_058475",
                ..ACCESS_POINT
            },
            Self::ColourPrinter => Facts {
                vendor: "Konica Minolta",
                model: "bizhub C250i",
                sys_object_id: "1.3.6.1.4.1.18334.1.1.1.2.1.181.2.4",
                sys_descr: "KONICA MINOLTA bizhub C250i",
                oui: [0x00, 0x20, 0x6b],
                enterprise: 18_334,
                software: "G00-R3",
                ..Self::Printer.facts()
            },
            Self::LinuxServer => Facts {
                word: "server",
                vendor: "net-snmp",
                model: "PowerEdge R450",
                sys_object_id: "1.3.6.1.4.1.8072.3.2.10",
                sys_descr: "Linux srv 6.1.0-21-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.90-1 (2024-05-03) x86_64",
                oui: [0xb0, 0x7b, 0x25],
                enterprise: 8072,
                services: 72,
                software: "Debian 12.5",
                ..ACCESS_POINT
            },
            Self::Nas => Facts {
                word: "nas",
                vendor: "Synology",
                model: "RS2423+",
                sys_object_id: "1.3.6.1.4.1.8072.3.2.10",
                sys_descr: "Linux nas 5.10.55+ #69057 SMP Fri Jan 12 17:02:28 CST 2024 x86_64",
                oui: [0x00, 0x11, 0x32],
                enterprise: 6574,
                services: 72,
                lldp: false,
                software: "DSM 7.2-64570",
                ..ACCESS_POINT
            },
            Self::Pdu => Facts {
                word: "pdu",
                vendor: "Server Technology",
                model: "CWG-24V2",
                sys_object_id: "1.3.6.1.4.1.1718.3",
                sys_descr: "Sentry Switched CDU",
                oui: [0x00, 0x0a, 0x9c],
                enterprise: 1718,
                services: 72,
                lldp: false,
                max_message: 1472,
                software: "Version 7.1c",
                ..ACCESS_POINT
            },
            Self::Camera => Facts {
                word: "camera",
                vendor: "Samsung",
                model: "SND-6084R",
                sys_object_id: "1.3.6.1.4.1.36849.1.2.64",
                sys_descr: "SAMSUNG iPolis H264 Premium Level IP Camera",
                oui: [0x00, 0x09, 0x18],
                enterprise: 36_849,
                services: 72,
                lldp: false,
                max_message: 1472,
                software: "3.02_170216",
                ..ACCESS_POINT
            },
        }
    }

    /// Its ports, in the order of their ifIndex. The last Ethernet port is the uplink.
    #[must_use]
    pub fn ports(self) -> Vec<PortShape> {
        let gigabit = |n: u32, name: fn(u32) -> String| {
            (1..=n)
                .map(|i| PortShape::ethernet(name(i), 1_000))
                .collect()
        };
        let mut ports: Vec<PortShape> =
            match self {
                Self::Router => (0..3)
                    .map(|i| PortShape::ethernet(format!("GigabitEthernet0/0/{i}"), 1_000))
                    .collect(),
                Self::Firewall => [
                    "wan1",
                    "wan2",
                    "dmz",
                    "internal1",
                    "internal2",
                    "internal3",
                    "internal4",
                    "internal5",
                ]
                .map(|name| PortShape::ethernet(name.to_owned(), 1_000))
                .to_vec(),
                Self::CoreSwitch => (1..=24)
                    .map(|i| PortShape::ethernet(format!("TenGigabitEthernet1/0/{i}"), 10_000))
                    .chain((1..=2).map(|i| {
                        PortShape::ethernet(format!("FortyGigabitEthernet1/1/{i}"), 40_000)
                    }))
                    .collect(),
                Self::CampusCore => (0..24)
                    .map(|i| PortShape::ethernet(format!("ge-0/0/{i}"), 1_000))
                    .chain((0..4).map(|i| PortShape::ethernet(format!("xe-0/1/{i}"), 10_000)))
                    .collect(),
                Self::AccessSwitch => gigabit(16, |i| format!("1/1/{i}")),
                Self::SmartSwitch => gigabit(28, |i| format!("swp{i:02}")),
                Self::CloudSwitch => (1..=24)
                    .map(|i| PortShape::ethernet(format!("ether{i}"), 1_000))
                    .chain((1..=4).map(|i| PortShape::ethernet(format!("sfp-sfpplus{i}"), 10_000)))
                    .collect(),
                Self::OldSwitch => (1..=24)
                    .map(|i| PortShape::ethernet(format!("D-Link DES-3028 R2.94 Port {i}"), 100))
                    .chain((25..=28).map(|i| {
                        PortShape::ethernet(format!("D-Link DES-3028 R2.94 Port {i}"), 1_000)
                    }))
                    .collect(),
                Self::CampusAccessPoint | Self::OfficeAccessPoint => {
                    vec![PortShape::ethernet("eth0".to_owned(), 1_000)]
                }
                Self::LinuxServer => vec![PortShape::ethernet("eno1".to_owned(), 10_000)],
                Self::Nas => vec![
                    PortShape::ethernet("eth1".to_owned(), 1_000),
                    PortShape::ethernet("eth0".to_owned(), 1_000),
                ],
                Self::Ups | Self::Printer | Self::ColourPrinter | Self::Pdu | Self::Camera => {
                    vec![PortShape::ethernet("eth0".to_owned(), 100)]
                }
            };
        ports.extend(match self {
            Self::Router => vec![PortShape::other("Loopback0", LOOPBACK, 8_000)],
            Self::Firewall => vec![PortShape::other("ssl.root", TUNNEL, 0)],
            Self::CoreSwitch => vec![PortShape::other("Vlan1", VIRTUAL, 1_000)],
            Self::CampusAccessPoint | Self::OfficeAccessPoint => {
                vec![
                    PortShape::other("wifi0", WIRELESS, 867),
                    PortShape::other("wifi1", WIRELESS, 300),
                ]
            }
            Self::LinuxServer => vec![PortShape::other("lo", LOOPBACK, 10)],
            Self::Nas => vec![PortShape::other("lo", LOOPBACK, 0)],
            _ => Vec::new(),
        });
        ports
    }

    /// What one of its ports carries that leads to a user or to itself, in octets per second (in, out).
    #[must_use]
    pub fn own_traffic(self) -> (f64, f64) {
        match self {
            Self::LinuxServer => (9e6, 14e6),
            Self::Nas => (6e6, 11e6),
            Self::CampusAccessPoint | Self::OfficeAccessPoint => (1.6e6, 4e5),
            Self::Camera => (3e3, 7e5),
            Self::Printer | Self::ColourPrinter => (9e3, 1.2e3),
            Self::Ups | Self::Pdu => (4e2, 6e2),
            Self::OldSwitch => (1.9e6, 6e5),
            _ => (2.5e5, 6e4),
        }
    }
}

/// One port of a kind.
#[derive(Clone, Debug)]
pub struct PortShape {
    pub name: String,
    /// `ifType` (`IANAifType`).
    pub if_type: i64,
    pub speed_mbps: u32,
}

impl PortShape {
    fn ethernet(name: String, speed_mbps: u32) -> Self {
        Self {
            name,
            if_type: ETHERNET,
            speed_mbps,
        }
    }

    fn other(name: &str, if_type: i64, speed_mbps: u32) -> Self {
        Self {
            name: name.to_owned(),
            if_type,
            speed_mbps,
        }
    }

    #[must_use]
    pub fn is_ethernet(&self) -> bool {
        self.if_type == ETHERNET
    }
}

impl Facts {
    fn without_bridge(self) -> Self {
        Self {
            bridge: false,
            ..self
        }
    }
}

pub const ETHERNET: i64 = 6;
pub const LOOPBACK: i64 = 24;
const VIRTUAL: i64 = 53;
const WIRELESS: i64 = 71;
const TUNNEL: i64 = 131;

const SWITCH: Facts = Facts {
    word: "switch",
    vendor: "Aruba",
    model: "6100 12G CL4 2SFP+",
    sys_object_id: "1.3.6.1.4.1.47196.4.1.1.1.254",
    sys_descr: "Aruba JL679A PL.10.10.1060",
    oui: [0x64, 0xe8, 0x81],
    enterprise: 47_196,
    services: 2,
    lldp: true,
    wide_counters: true,
    bridge: true,
    max_message: 8192,
    software: "PL.10.10.1060",
};

const ACCESS_POINT: Facts = Facts {
    word: "access point",
    vendor: "Ruckus",
    model: "R850",
    sys_object_id: "1.3.6.1.4.1.25053.3.1.5.15",
    sys_descr: "Ruckus Wireless R850",
    oui: [0xb4, 0x79, 0xc8],
    enterprise: 25_053,
    services: 66,
    lldp: true,
    wide_counters: true,
    bridge: false,
    max_message: 65_507,
    software: "200.15.6.12.304",
};
