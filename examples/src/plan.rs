//! Which devices there are and how they are cabled: a tree, so that every neighbour table agrees with its neighbour's.

use std::net::Ipv4Addr;

use crate::hostile::Hostile;
use crate::kind::Kind;
use crate::traffic::mix;
use crate::usm::User;

/// What a device answers to.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub v1: bool,
    pub v2c: bool,
    pub community: Vec<u8>,
    /// Who may ask by SNMPv3; nobody when empty.
    pub users: Vec<User>,
}

impl Access {
    /// Community `public`, by v1 and v2c.
    #[must_use]
    pub fn public() -> Self {
        Self::community("public")
    }

    /// This community, by v1 and v2c.
    #[must_use]
    pub fn community(community: &str) -> Self {
        Self {
            v1: true,
            v2c: true,
            community: community.as_bytes().to_vec(),
            users: Vec::new(),
        }
    }

    /// Community `public`, by v1 alone.
    #[must_use]
    pub fn only_v1() -> Self {
        Self {
            v2c: false,
            ..Self::public()
        }
    }

    /// SNMPv3 alone, for this user.
    #[must_use]
    pub fn only_v3(user: User) -> Self {
        Self {
            users: vec![user],
            ..Self::default()
        }
    }
}

/// One device before it is started.
#[derive(Clone, Debug)]
pub struct DeviceSpec {
    pub kind: Kind,
    /// `sysName`, as the octets it sends.
    pub name: Vec<u8>,
    /// `sysLocation`, likewise.
    pub location: Vec<u8>,
    pub access: Access,
    /// Place in the list of the device that it is plugged into; must be an earlier one.
    pub uplink: Option<usize>,
    /// What the site's programme does to it.
    pub part: Part,
    /// For how long it had been running when the site opened, in seconds.
    pub age_s: u32,
    /// Set for an agent that must never be trusted.
    pub hostile: Option<Hostile>,
}

/// A device's part in the site's programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Part {
    #[default]
    Steady,
    Reboots,
    GoesAway,
    LosesRequests,
    /// Its port with this ifIndex loses its link now and then.
    Flaps(u32),
    /// Its 32-bit counters are set so high that they wrap within minutes.
    Wraps,
}

impl DeviceSpec {
    #[must_use]
    pub fn new(kind: Kind, name: &str, access: Access) -> Self {
        let age_s = 3 * 86_400
            + u32::try_from(mix(name.len() as u64) % 4_000_000).expect("below four million");
        Self {
            kind,
            name: name.as_bytes().to_vec(),
            location: b"Hauptstrasse 1, server room".to_vec(),
            access,
            uplink: None,
            part: Part::Steady,
            age_s,
            hostile: None,
        }
    }

    #[must_use]
    pub fn at(mut self, location: impl AsRef<[u8]>) -> Self {
        self.location = location.as_ref().to_vec();
        self
    }

    #[must_use]
    pub fn behind(mut self, uplink: usize) -> Self {
        self.uplink = Some(uplink);
        self
    }

    #[must_use]
    pub fn playing(mut self, part: Part) -> Self {
        self.part = part;
        self
    }
}

/// A company's site of `count` devices. The first forty are one of each story; more are further floors of the same.
#[must_use]
pub fn company(count: usize) -> Vec<DeviceSpec> {
    let mut devices: Vec<DeviceSpec> = Vec::with_capacity(count);
    for floor in 0..count.div_ceil(FLOOR.len()) {
        for place in 0..FLOOR.len().min(count - floor * FLOOR.len()) {
            devices.push(one(floor, place));
        }
    }
    devices
}

/// Agents that do what no agent may, one of each sort.
#[must_use]
pub fn zoo() -> Vec<DeviceSpec> {
    Hostile::ALL
        .into_iter()
        .map(|hostile| {
            let name = format!("zoo-{}", hostile.word());
            let mut spec =
                DeviceSpec::new(Kind::AccessSwitch, &name, Access::public()).at("the zoo");
            spec.hostile = Some(hostile);
            spec
        })
        .collect()
}

/// The address of the device at this place, counted from the first one's.
#[must_use]
pub fn address(first: Ipv4Addr, place: usize) -> Ipv4Addr {
    let offset = u32::try_from(place).expect("fewer devices than addresses");
    Ipv4Addr::from(u32::from(first).wrapping_add(offset))
}

fn one(floor: usize, place: usize) -> DeviceSpec {
    let (kind, name, location, uplink, access) = FLOOR[place];
    let name = if floor == 0 {
        name.to_owned()
    } else {
        format!("{name}-{}", floor + 1)
    };
    let access = match access {
        How::V1 => Access::only_v1(),
        How::V2c => Access::public(),
        How::V3 => Access::only_v3(User::monitor()),
    };
    let mut spec = DeviceSpec::new(kind, &name, access).at(location);
    let place_in_all = floor * FLOOR.len() + place;
    spec.uplink = match uplink {
        Some(uplink) => Some(floor * FLOOR.len() + uplink - 1),
        None => (floor > 0).then_some(0),
    };
    spec.age_s = 86_400
        + u32::try_from(mix(place_in_all as u64) % 20_000_000).expect("below twenty million");
    if floor == 0 {
        spec.part = match place + 1 {
            6 => Part::Flaps(9),
            8 => Part::Reboots,
            11 => Part::Wraps,
            15 => Part::LosesRequests,
            18 => Part::GoesAway,
            _ => Part::Steady,
        };
    }
    spec
}

/// kind, sysName, sysLocation, number (from 1) of the device it is plugged into, how it is asked.
type Row = (Kind, &'static str, &'static [u8], Option<usize>, How);

#[derive(Clone, Copy)]
enum How {
    V1,
    V2c,
    V3,
}

#[rustfmt::skip]
const FLOOR: [Row; 40] = [
    (Kind::Router, "rtr-edge-01", b"HQ, server room, rack 1", None, How::V3),
    (Kind::Firewall, "fw-edge-01", b"HQ, server room, rack 1", Some(1), How::V3),
    (Kind::CoreSwitch, "sw-core-01", b"HQ, server room, rack 1", Some(2), How::V3),
    (Kind::CampusCore, "sw-core-02", b"HQ, server room, rack 2", Some(3), How::V2c),
    (Kind::AccessSwitch, "sw-floor1-01", b"HQ, floor 1, closet west", Some(3), How::V2c),
    (Kind::AccessSwitch, "sw-floor1-02", b"HQ, floor 1, closet east", Some(3), How::V2c),
    (Kind::SmartSwitch, "sw-floor2-01", b"HQ, floor 2, closet west", Some(4), How::V2c),
    (Kind::CloudSwitch, "sw-floor2-02", b"HQ, floor 2, closet east", Some(4), How::V2c),
    (Kind::SmartSwitch, "sw-plant-01", b"Plant, hall A", Some(4), How::V2c),
    (Kind::AccessSwitch, "sw-plant-02", b"Plant, hall B", Some(3), How::V3),
    (Kind::OldSwitch, "sw-archive", b"Plant, archive, behind the shelf", Some(4), How::V1),
    (Kind::CampusAccessPoint, "ap-floor1-01", b"HQ, floor 1, corridor", Some(5), How::V2c),
    (Kind::CampusAccessPoint, "ap-floor1-02", b"HQ, floor 1, canteen", Some(6), How::V2c),
    (Kind::CampusAccessPoint, "ap-floor2-01", b"HQ, floor 2, corridor", Some(7), How::V2c),
    (Kind::OfficeAccessPoint, "ap-yard", b"Yard, mast 2", Some(9), How::V2c),
    (Kind::OfficeAccessPoint, "ap-plant-01", b"Plant, hall A, truss", Some(9), How::V2c),
    (Kind::OfficeAccessPoint, "ap-plant-02", b"Plant, hall B, truss", Some(10), How::V2c),
    (Kind::OfficeAccessPoint, "ap-gate", b"Gate house", Some(10), How::V2c),
    (Kind::Ups, "ups-01", b"HQ, server room, rack 1", Some(3), How::V2c),
    (Kind::Ups, "ups-02", b"Plant, hall A", Some(9), How::V2c),
    (Kind::Pdu, "pdu-rack1", b"HQ, server room, rack 1", Some(4), How::V2c),
    // ISO 8859-1, as old firmware sends it: not UTF-8.
    (Kind::Printer, "prn-floor1", b"B\xfcro 1.12", Some(5), How::V2c),
    (Kind::Printer, "prn-floor2", b"HQ, floor 2, copy room", Some(7), How::V2c),
    (Kind::ColourPrinter, "prn-management", b"HQ, floor 2, office 2.01", Some(8), How::V2c),
    (Kind::Printer, "prn-labels", b"Plant, hall B, shipping", Some(10), How::V2c),
    (Kind::LinuxServer, "srv-web-01", b"HQ, server room, rack 2", Some(3), How::V3),
    (Kind::LinuxServer, "srv-db-01", b"HQ, server room, rack 2", Some(3), How::V3),
    (Kind::LinuxServer, "srv-backup-01", b"HQ, server room, rack 2", Some(4), How::V3),
    (Kind::LinuxServer, "srv-build-01", b"HQ, server room, rack 2", Some(3), How::V2c),
    (Kind::LinuxServer, "srv-monitor-01", b"HQ, server room, rack 2", Some(3), How::V2c),
    (Kind::LinuxServer, "srv-files-01", b"HQ, server room, rack 2", Some(4), How::V2c),
    (Kind::Nas, "nas-01", b"HQ, server room, rack 2", Some(4), How::V2c),
    (Kind::Nas, "nas-plant", b"Plant, hall A, office", Some(9), How::V2c),
    (Kind::Camera, "cam-gate", b"Gate house", Some(10), How::V2c),
    (Kind::Camera, "cam-yard", b"Yard, mast 2", Some(9), How::V2c),
    (Kind::Camera, "cam-shipping", b"Plant, hall B, shipping", Some(10), How::V2c),
    (Kind::Camera, "cam-entrance", b"HQ, entrance", Some(5), How::V1),
    (Kind::SmartSwitch, "sw-floor2-03", b"HQ, floor 2, meeting rooms", Some(8), How::V2c),
    (Kind::OfficeAccessPoint, "<script>alert(1)</script>", b"<img src=x onerror=alert(2)>", Some(38), How::V2c),
    (Kind::OfficeAccessPoint, "ap-\u{202e}gnissim\u{2066}-\u{200b}01\u{2069}", b"HQ, floor 2\x07\x1b[31m", Some(38), How::V2c),
];
