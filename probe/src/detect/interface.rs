//! Ports: `ifOperStatus` against `ifAdminStatus` (RFC 2863). A port that was switched off is no fault.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{DeviceNo, InstanceNo};
use farwatch_shared::wire::message::session::InterfaceNow;

#[derive(Clone, Copy, Debug)]
struct Port {
    instance: InstanceNo,
    admin: u8,
    oper: u8,
    since: Timestamp,
}

/// The ports of one device, by instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Interfaces {
    ports: Vec<Port>,
}

/// What happened to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortNews {
    /// It left `up` for this, though it is switched on.
    Down(&'static str),
    /// It is up again.
    Up,
}

impl Interfaces {
    /// Takes a reading; the first of a port is no news.
    pub(super) fn take(
        &mut self,
        instance: InstanceNo,
        admin: Option<u8>,
        oper: Option<u8>,
        at: Timestamp,
    ) -> Option<PortNews> {
        let place = match self
            .ports
            .binary_search_by_key(&instance, |port| port.instance)
        {
            Ok(place) => place,
            Err(place) => {
                self.ports.insert(
                    place,
                    Port {
                        instance,
                        admin: admin.unwrap_or(0),
                        oper: oper.unwrap_or(0),
                        since: at,
                    },
                );
                return None;
            }
        };
        let port = &mut self.ports[place];
        let before = *port;
        port.admin = admin.unwrap_or(before.admin);
        port.oper = oper.unwrap_or(before.oper);
        if port.oper == before.oper {
            return None;
        }
        port.since = at;
        match (before.oper, port.oper) {
            (UP, oper) if port.admin == UP => down_word(oper).map(PortNews::Down),
            (oper, UP) if down_word(oper).is_some() => Some(PortNews::Up),
            _ => None,
        }
    }

    pub(super) fn forget(&mut self, instance: InstanceNo) {
        self.ports.retain(|port| port.instance != instance);
    }

    pub(super) fn snapshot(&self, device: DeviceNo) -> impl Iterator<Item = InterfaceNow> {
        self.ports.iter().map(move |port| InterfaceNow {
            device,
            instance: port.instance,
            admin: port.admin,
            oper: port.oper,
            since: port.since,
        })
    }
}

/// `ifOperStatus` up, and `ifAdminStatus` up.
const UP: u8 = 1;

/// Words for states in which a port carries nothing and should; `dormant` and `testing` are no outage.
const fn down_word(oper: u8) -> Option<&'static str> {
    match oper {
        2 => Some("down"),
        6 => Some("not present"),
        7 => Some("down, because the layer below it is"),
        _ => None,
    }
}
