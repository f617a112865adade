//! From a list of devices to ports, cables and flows: which port leads where, and what runs through it.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::kind::{ETHERNET, Kind, LOOPBACK, PortShape};
use crate::plan::{self, DeviceSpec, Part};
use crate::timeline::{Cycle, Timeline};
use crate::traffic::{Column, Flow, mix, unit};

/// A device with its place in the network.
#[derive(Clone, Debug)]
pub(crate) struct Wired {
    pub(crate) spec: DeviceSpec,
    pub(crate) address: Ipv4Addr,
    /// Its own MAC address, which LLDP calls its chassis.
    pub(crate) mac: [u8; 6],
    pub(crate) serial: String,
    pub(crate) ports: Vec<PortState>,
    /// Place of the port that leads towards the router.
    pub(crate) uplink: usize,
}

/// One port and all that is known of it. Times are seconds since the site opened.
#[derive(Clone, Debug)]
pub(crate) struct PortState {
    pub(crate) if_index: u32,
    pub(crate) shape: PortShape,
    pub(crate) mac: [u8; 6],
    pub(crate) alias: String,
    /// (place of the device, place of its port) at the other end.
    pub(crate) peer: Option<(usize, usize)>,
    pub(crate) inward: Flow,
    pub(crate) outward: Flow,
    pub(crate) admin_up: bool,
    pub(crate) link_up: bool,
    pub(crate) flap: Option<Cycle>,
    /// When `admin_up` or `link_up` was last changed by hand.
    pub(crate) changed_at: Option<f64>,
    /// Seconds that hands have kept it down, up to `changed_at`.
    pub(crate) held_down_s: f64,
    /// When its counters were last cleared by hand.
    pub(crate) cleared_at: Option<f64>,
    /// What was added to a counter by hand, and when; a reboot or clearing undoes it.
    pub(crate) added: HashMap<Column, (f64, u64)>,
}

impl PortState {
    pub(crate) fn is_up(&self, at: f64) -> bool {
        self.admin_up && self.link_up && !self.flap.is_some_and(|flap| flap.during(at))
    }

    /// For how long it has been up: the time that its traffic knows.
    pub(crate) fn active_s(&self, at: f64) -> f64 {
        let flapped = self.flap.map_or(0.0, |flap| flap.seconds_inside(at));
        let down_by_hand = !(self.admin_up && self.link_up);
        let held = if down_by_hand {
            // What was never up has seen no traffic at all.
            self.changed_at.map_or(at, |since| (at - since).max(0.0))
        } else {
            0.0
        };
        at - flapped - self.held_down_s - held
    }
}

/// Plugs every device in where its plan says.
pub(crate) fn wire(
    specs: Vec<DeviceSpec>,
    first: Ipv4Addr,
    seed: u64,
    timeline: &Timeline,
) -> Vec<Wired> {
    let mut devices: Vec<Wired> = specs
        .into_iter()
        .enumerate()
        .map(|(place, spec)| unplugged(place, spec, plan::address(first, place), seed))
        .collect();
    for place in 0..devices.len() {
        plug_in(&mut devices, place);
    }
    let totals = totals(&devices);
    for (place, total) in totals.iter().enumerate() {
        load_uplink(
            &mut devices,
            place,
            *total,
            mix(seed ^ (place as u64) << 20),
        );
    }
    for device in &mut devices {
        if let Part::Flaps(if_index) = device.spec.part
            && let Some(port) = device
                .ports
                .iter_mut()
                .find(|port| port.if_index == if_index)
        {
            port.flap = timeline.flap;
            (port.admin_up, port.link_up) = (true, true);
        }
        if device.spec.part == Part::Wraps {
            let age_s = f64::from(device.spec.age_s);
            device
                .ports
                .iter_mut()
                .for_each(|port| about_to_wrap(port, age_s));
        }
    }
    devices
}

fn unplugged(place: usize, spec: DeviceSpec, address: Ipv4Addr, seed: u64) -> Wired {
    let facts = spec.kind.facts();
    let stirred = mix(seed ^ mix(place as u64));
    let mac = |port: usize| {
        let number = u32::try_from(place).expect("fewer devices than addresses");
        let tail =
            (number * 64 + u32::try_from(port).expect("a device has few ports")).to_be_bytes();
        [
            facts.oui[0],
            facts.oui[1],
            facts.oui[2],
            tail[1],
            tail[2],
            tail[3],
        ]
    };
    let shapes = spec.kind.ports();
    let uplink = shapes
        .iter()
        .rposition(PortShape::is_ethernet)
        .expect("every kind has an Ethernet port");
    let ports = shapes.into_iter().enumerate().map(|(at, shape)| {
        let own = mix(stirred ^ (at as u64 + 1));
        let (inward, outward) = spec.kind.own_traffic();
        let scale = if shape.if_type == ETHERNET {
            0.2 + 1.8 * unit(own)
        } else if shape.if_type == LOOPBACK {
            0.02
        } else {
            0.4
        };
        let user_port = facts.bridge && shape.is_ethernet() && at != uplink;
        PortState {
            if_index: first_index(spec.kind) + u32::try_from(at).expect("a device has few ports"),
            mac: mac(at + 1),
            alias: String::new(),
            peer: None,
            // A user's port takes in what the user sends.
            inward: Flow::new(outward * scale, errors(own), mix(own)),
            outward: Flow::new(inward * scale, 0.0, mix(own ^ 1)),
            admin_up: !(user_port && own % 100 >= 94),
            link_up: !(user_port && own % 100 >= 55),
            flap: None,
            changed_at: None,
            held_down_s: 0.0,
            cleared_at: None,
            added: HashMap::new(),
            shape,
        }
    });
    let mut device = Wired {
        address,
        mac: mac(0),
        serial: serial(stirred),
        ports: ports.collect(),
        uplink,
        spec,
    };
    if !facts.bridge {
        // Whatever else a leaf or a router has, only what is plugged in carries a link.
        for (at, port) in device.ports.iter_mut().enumerate() {
            port.link_up = !port.shape.is_ethernet() || at == uplink;
        }
    }
    device
}

/// A cable from the device's uplink port to the first free port of the device it is behind.
fn plug_in(devices: &mut [Wired], place: usize) {
    let Some(above) = devices[place].spec.uplink.filter(|above| *above < place) else {
        return;
    };
    let free = devices[above]
        .ports
        .iter()
        .enumerate()
        .position(|(at, port)| {
            at != devices[above].uplink && port.shape.is_ethernet() && port.peer.is_none()
        });
    let Some(free) = free else { return };
    let uplink = devices[place].uplink;
    let alias = |name: &[u8]| format!("to {}", String::from_utf8_lossy(name));
    let (alias_up, alias_down) = (
        alias(&devices[above].spec.name),
        alias(&devices[place].spec.name),
    );
    let port = &mut devices[place].ports[uplink];
    (port.peer, port.alias, port.link_up, port.admin_up) =
        (Some((above, free)), alias_up, true, true);
    let port = &mut devices[above].ports[free];
    (port.peer, port.alias, port.link_up, port.admin_up) =
        (Some((place, uplink)), alias_down, true, true);
}

/// What runs towards each device and back, in octets per second: its own and that of all behind it.
fn totals(devices: &[Wired]) -> Vec<(f64, f64)> {
    let mut totals: Vec<(f64, f64)> = devices
        .iter()
        .map(|device| {
            let facts = device.spec.kind.facts();
            if !facts.bridge {
                return if facts.services == ROUTING {
                    (0.0, 0.0)
                } else {
                    device.spec.kind.own_traffic()
                };
            }
            let users = device.ports.iter().enumerate().filter(|(at, port)| {
                *at != device.uplink
                    && port.peer.is_none()
                    && port.shape.is_ethernet()
                    && port.is_up(0.0)
            });
            users.fold((0.0, 0.0), |sum, (_, port)| {
                (sum.0 + port.outward.mean(), sum.1 + port.inward.mean())
            })
        })
        .collect();
    for place in (0..devices.len()).rev() {
        let uplink = &devices[place].ports[devices[place].uplink];
        let limit = f64::from(uplink.shape.speed_mbps) * 125_000.0 * 0.6;
        totals[place] = (totals[place].0.min(limit), totals[place].1.min(limit));
        if let Some((above, _)) = uplink.peer {
            // Half of it stays within the floor.
            totals[above] = (
                totals[above].0 + totals[place].0 * 0.5,
                totals[above].1 + totals[place].1 * 0.5,
            );
        }
    }
    totals
}

/// Both ends of a cable see the same flows.
fn load_uplink(devices: &mut [Wired], place: usize, (down, up): (f64, f64), seed: u64) {
    let uplink = devices[place].uplink;
    let (down, up) = (
        Flow::new(down.max(200.0), errors(seed), seed),
        Flow::new(up.max(200.0), 0.0, mix(seed)),
    );
    let port = &mut devices[place].ports[uplink];
    (port.inward, port.outward) = (down, up);
    if let Some((above, at)) = port.peer {
        let port = &mut devices[above].ports[at];
        (port.inward, port.outward) = (up, down);
    } else if devices[place].spec.kind == Kind::Router {
        port.alias = "ISP A, 1 Gbit/s, contract 4711-0815".to_owned();
    }
}

/// Some ports have a bad cable.
fn errors(seed: u64) -> f64 {
    match mix(seed) % 20 {
        0 => 0.4,
        1 => 0.02,
        _ => 0.0,
    }
}

/// Puts the octet counters so high that 32 bits are full two to six minutes after the site opens.
fn about_to_wrap(port: &mut PortState, age_s: f64) {
    let in_s = 120.0 + f64::from(port.if_index % 5) * 60.0;
    for (column, flow) in [
        (Column::InOctets, port.inward),
        (Column::OutOctets, port.outward),
    ] {
        // What it has counted since it started takes no part: it wraps when this much more has come.
        let by_then = flow.between(column, -age_s, in_s);
        port.added
            .insert(column, (0.0, (1_u64 << 32).wrapping_sub(by_then)));
    }
}

fn first_index(kind: Kind) -> u32 {
    match kind {
        Kind::CampusCore => 501,
        Kind::CampusAccessPoint | Kind::OfficeAccessPoint | Kind::LinuxServer => 2,
        _ => 1,
    }
}

fn serial(stirred: u64) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPRSTUVWXYZ0123456789";
    let letter = |at: u32| {
        let place = usize::try_from((stirred >> (5 * at)) % LETTERS.len() as u64)
            .expect("below the alphabet's length");
        char::from(LETTERS[place])
    };
    (0..11).map(letter).collect()
}

/// `sysServices` of what only routes: its traffic is that of the devices behind it.
const ROUTING: i64 = 78;

#[cfg(test)]
mod tests {
    use super::*;

    fn company() -> Vec<Wired> {
        wire(
            plan::company(40),
            Ipv4Addr::new(127, 30, 0, 1),
            1,
            &Timeline::default(),
        )
    }

    #[test]
    fn every_device_but_the_router_is_plugged_in_and_both_ends_agree() {
        let devices = company();
        for (place, device) in devices.iter().enumerate().skip(1) {
            let uplink = &device.ports[device.uplink];
            let (above, at) = uplink
                .peer
                .unwrap_or_else(|| panic!("{place} has no cable"));
            let other = &devices[above].ports[at];
            assert_eq!(other.peer, Some((place, device.uplink)));
            assert_eq!(
                (other.inward, other.outward),
                (uplink.outward, uplink.inward)
            );
        }
    }

    #[test]
    fn no_two_ports_share_a_mac_address_and_no_two_devices_a_serial() {
        let devices = company();
        let mut macs: Vec<_> = devices
            .iter()
            .flat_map(|device| device.ports.iter().map(|port| port.mac))
            .collect();
        macs.extend(devices.iter().map(|device| device.mac));
        let mut serials: Vec<_> = devices.iter().map(|device| device.serial.clone()).collect();
        let (all_macs, all_serials) = (macs.len(), serials.len());
        macs.sort_unstable();
        macs.dedup();
        serials.sort_unstable();
        serials.dedup();
        assert_eq!((macs.len(), serials.len()), (all_macs, all_serials));
    }

    #[test]
    fn an_uplink_carries_less_than_its_speed() {
        for device in company() {
            for port in &device.ports {
                let limit = f64::from(port.shape.speed_mbps) * 125_000.0;
                assert!(
                    port.inward.mean() <= limit || limit == 0.0,
                    "{:?}",
                    port.shape
                );
            }
        }
    }
}
