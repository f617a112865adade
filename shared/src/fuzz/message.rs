//! Frames and messages: what decodes travels back, and text from devices is safe.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Target;
use crate::text::{DESCRIPTION_LIMIT, DeviceText};
use crate::wire::codec::{FRAME_LIMIT, HEADER, Header, PULL_LIMIT, decode_as};
use crate::wire::message::batch::{
    AddressesBody, Batch, DeviceRecord, DevicesBody, Dropped, EventsBody, LayoutsBody,
    ReadingsBody, layout_hash,
};
use crate::wire::message::control::{ControlRefused, Echo, EchoAnswer};
use crate::wire::message::enroll::{CertificateAnswer, JoinRequest, RenewRequest};
use crate::wire::message::pull::{Addresses, Inventory, PullRefused, PullRequest, SiteDocument};
use crate::wire::message::session::{
    Ack, Hello, HelloAnswer, Notice, SnapshotPart, Status, StreamOpen,
};
use crate::wire::{decode, encode};

/// Messages of frames, bodies of batches, and frames as a stream has them.
pub const TARGETS: &[Target] = &[
    of("frames", frames, every_frame),
    of("hello", hello, || {
        examples("Hello", |m: &mut Hello| grow(&mut m.held, 90))
    }),
    of("hello_answer", hello_answer, || {
        examples("HelloAnswer", |m: &mut HelloAnswer| {
            grow(&mut m.committed[0].ranges, 300);
            grow(&mut m.committed, 5);
            grow(&mut m.want_layouts, 50);
        })
    }),
    of("snapshot_part", snapshot_part, || {
        examples("SnapshotPart", |m: &mut SnapshotPart| {
            grow(&mut m.devices, 100);
            grow(&mut m.interfaces, 100);
        })
    }),
    of("status", status, || {
        examples("Status", |m: &mut Status| grow(&mut m.notices, 20))
    }),
    of("ack", ack, || {
        examples("Ack", |m: &mut Ack| {
            grow(&mut m.decided, 64);
            grow(&mut m.conflicts, 64);
        })
    }),
    of("notice", notice, || {
        examples("Notice", |m: &mut Notice| grow(&mut m.add_addresses, 20))
    }),
    of("batch", batch, || {
        examples("Batch", |m: &mut Batch| {
            m.body = golden("DevicesBody").repeat(4)
        })
    }),
    of("dropped", dropped, || {
        examples("Dropped", |_: &mut Dropped| ())
    }),
    of("echo", echo, || {
        let mut all = examples("Echo", |m: &mut Echo| m.payload = vec![7; 1_024]);
        all.extend(examples("EchoAnswer", |m: &mut EchoAnswer| {
            m.payload = vec![7; 1_024]
        }));
        all.extend(examples("ControlRefused", |_: &mut ControlRefused| ()));
        all.extend(examples("StreamOpen", |_: &mut StreamOpen| ()));
        all
    }),
    of("join_request", join_request, || {
        let mut all = examples("JoinRequest", |m: &mut JoinRequest| m.csr = vec![0x30; 300]);
        all.extend(examples("RenewRequest", |m: &mut RenewRequest| {
            m.csr = vec![0x30; 300]
        }));
        all
    }),
    of("certificate_answer", certificate_answer, || {
        examples("CertificateAnswer", |m: &mut CertificateAnswer| {
            m.certificate = vec![0x30; 500];
            grow(&mut m.ca, 3);
            grow(&mut m.addresses, 8);
        })
    })
    .longest(PULL_LIMIT),
    of("pull", pull, || {
        let mut all = examples("PullRequest", |m: &mut PullRequest| {
            m.argument = vec![0x30; 300]
        });
        all.extend(examples("PullRefused", |_: &mut PullRefused| ()));
        all.extend(examples("Addresses", |m: &mut Addresses| {
            grow(&mut m.addresses, 8)
        }));
        all
    })
    .longest(PULL_LIMIT),
    of("site_document", site_document, || {
        examples("SiteDocument", |m: &mut SiteDocument| {
            grow(&mut m.ranges, 20);
            grow(&mut m.credentials, 5);
        })
    })
    .longest(PULL_LIMIT),
    of("inventory", inventory, || {
        examples("Inventory", |m: &mut Inventory| {
            grow(&mut m.devices[0].interfaces, 10);
            grow(&mut m.devices, 4);
        })
    })
    .longest(PULL_LIMIT),
    of("events_body", events_body, || {
        examples("EventsBody", |m: &mut EventsBody| grow(&mut m.events, 50))
    }),
    of("layouts_body", layouts_body, || {
        examples("LayoutsBody", |m: &mut LayoutsBody| {
            grow(&mut m.layouts[0].0.columns, 200);
            grow(&mut m.layouts, 3);
        })
    }),
    of("devices_body", devices_body, || {
        examples("DevicesBody", |m: &mut DevicesBody| {
            grow(&mut m.devices[0].interfaces, 40);
            grow(&mut m.devices[0].neighbours, 10);
            grow(&mut m.devices, 2);
        })
    }),
    of("addresses_body", addresses_body, || {
        examples("AddressesBody", |m: &mut AddressesBody| {
            grow(&mut m.addresses[0].attempts, 5);
            grow(&mut m.addresses, 30);
        })
    }),
    of("readings_body", readings_body, || {
        examples("ReadingsBody", |m: &mut ReadingsBody| {
            grow(&mut m.devices[0].readings, 60);
            grow(&mut m.devices, 3);
        })
    }),
];

/// The memory that a message takes: bincode's lists reserve up to 1 MiB before their first element, three deep at the
/// most; then the worst is a list of empty lists, 24 bytes for each one on the wire, in a buffer that doubles, written and
/// read again.
const fn of(name: &'static str, read: fn(&[u8]) -> bool, examples: fn() -> Vec<Vec<u8>>) -> Target {
    Target::new(name, read, examples).memory(3 << 20, 160)
}

/// The golden bytes of a message or body.
#[must_use]
pub fn golden(name: &str) -> Vec<u8> {
    include_str!("../../../tests/fixtures/wire/v1.txt")
        .lines()
        .filter_map(|line| line.rsplit_once(' '))
        .find(|(head, _)| head.split(' ').next() == Some(name))
        .map(|(_, hex)| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap())
        .expect("every message has golden bytes")
}

/// The golden bytes, and a longer one.
fn examples<M: Serialize + DeserializeOwned>(
    name: &str,
    more: impl FnOnce(&mut M),
) -> Vec<Vec<u8>> {
    let golden = golden(name);
    let mut longer: M = decode(&golden).unwrap();
    more(&mut longer);
    vec![golden, encode(&longer)]
}

/// Repeats what is there until there are `n`.
fn grow<T: Clone>(list: &mut Vec<T>, n: usize) {
    let seed = list.clone();
    list.extend(seed.into_iter().cycle().take(n));
}

fn every_frame() -> Vec<Vec<u8>> {
    let frame = |kind: u16, payload: &[u8]| {
        let len = u32::try_from(payload.len()).unwrap();
        let header = Header {
            len,
            kind,
            version: 1,
        };
        [&header.to_bytes()[..], payload].concat()
    };
    let messages = include_str!("../../../tests/fixtures/wire/v1.txt").lines();
    let all: Vec<Vec<u8>> = messages
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let kind = fields[1].parse().unwrap();
            (!fields[0].ends_with("Body")).then(|| frame(kind, &golden(fields[0])))
        })
        .collect();
    vec![all.concat(), all[..3].concat(), all[6..9].concat()]
}

/// Decodes an `M`; what decodes is written and read again as the same.
fn travels<M>(bytes: &[u8], look: impl FnOnce(&M)) -> bool
where
    M: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let Ok(message) = decode::<M>(bytes) else {
        return false;
    };
    look(&message);
    let again = encode(&message);
    if again.len() <= PULL_LIMIT {
        let back: M = decode(&again).expect("what we write can be read");
        assert!(back == message, "it does not travel back: {message:?}");
    }
    true
}

fn safe<'a>(texts: impl IntoIterator<Item = &'a DeviceText>) {
    for text in texts {
        let text = text.as_str();
        assert!(text.len() <= DESCRIPTION_LIMIT, "{} bytes", text.len());
        assert!(
            !text
                .chars()
                .any(|c| c.is_control() || c == '\u{202e}' || c == '\u{200b}'),
            "{text:?}"
        );
    }
}

fn device(record: &DeviceRecord) {
    safe([
        &record.sys_name,
        &record.sys_descr,
        &record.sys_location,
        &record.sys_contact,
        &record.vendor,
        &record.model,
        &record.os,
        &record.serial,
        &record.dns_name,
    ]);
    safe(record.evidence.iter().map(|(_, value)| value));
    for interface in &record.interfaces {
        safe([&interface.name, &interface.descr, &interface.alias]);
    }
    for neighbour in &record.neighbours {
        safe([
            &neighbour.local_port,
            &neighbour.remote_name,
            &neighbour.remote_port,
            &neighbour.remote_chassis,
        ]);
    }
}

/// Calls `each` with the frames of a stream, until one is longer than allowed or cut off.
pub fn each_frame(mut bytes: &[u8], mut each: impl FnMut(Header, &[u8])) {
    while let Some((head, rest)) = bytes.split_first_chunk::<HEADER>() {
        let Ok(header) = Header::parse(*head, FRAME_LIMIT) else {
            return;
        };
        assert!(header.len as usize <= FRAME_LIMIT);
        assert_eq!(&header.to_bytes(), head);
        let Some((payload, rest)) = rest.split_at_checked(header.len as usize) else {
            return;
        };
        each(header, payload);
        bytes = rest;
    }
}

fn frames(bytes: &[u8]) -> bool {
    let mut good = false;
    each_frame(bytes, |header, payload| {
        macro_rules! try_each {
            ($($message:ty),* $(,)?) => { $(good |= decode_as::<$message>(header, payload).is_ok();)* };
        }
        try_each!(
            Hello,
            HelloAnswer,
            SnapshotPart,
            Status,
            Ack,
            Notice,
            StreamOpen,
            Batch,
            Dropped,
            Echo,
            EchoAnswer,
            ControlRefused,
            JoinRequest,
            RenewRequest,
            CertificateAnswer,
            PullRequest,
            PullRefused,
            SiteDocument,
            Inventory,
            Addresses,
        );
    });
    good
}

/// Reads a [`Hello`].
pub fn hello(bytes: &[u8]) -> bool {
    travels::<Hello>(bytes, |_| ())
}

fn hello_answer(bytes: &[u8]) -> bool {
    travels::<HelloAnswer>(bytes, |_| ())
}

fn snapshot_part(bytes: &[u8]) -> bool {
    travels::<SnapshotPart>(bytes, |_| ())
}

fn status(bytes: &[u8]) -> bool {
    travels::<Status>(bytes, |_| ())
}

fn ack(bytes: &[u8]) -> bool {
    travels::<Ack>(bytes, |_| ())
}

fn notice(bytes: &[u8]) -> bool {
    travels::<Notice>(bytes, |_| ())
}

fn batch(bytes: &[u8]) -> bool {
    travels::<Batch>(bytes, |_| ())
}

fn dropped(bytes: &[u8]) -> bool {
    travels::<Dropped>(bytes, |_| ())
}

fn echo(bytes: &[u8]) -> bool {
    travels::<Echo>(bytes, |_| ())
        | travels::<EchoAnswer>(bytes, |_| ())
        | travels::<ControlRefused>(bytes, |_| ())
        | travels::<StreamOpen>(bytes, |_| ())
}

fn join_request(bytes: &[u8]) -> bool {
    travels::<JoinRequest>(bytes, |_| ()) | travels::<RenewRequest>(bytes, |_| ())
}

fn certificate_answer(bytes: &[u8]) -> bool {
    travels::<CertificateAnswer>(bytes, |_| ())
}

fn pull(bytes: &[u8]) -> bool {
    travels::<PullRequest>(bytes, |_| ())
        | travels::<PullRefused>(bytes, |_| ())
        | travels::<Addresses>(bytes, |_| ())
}

fn site_document(bytes: &[u8]) -> bool {
    travels::<SiteDocument>(bytes, |_| ())
}

fn inventory(bytes: &[u8]) -> bool {
    travels::<Inventory>(bytes, |it| it.devices.iter().for_each(device))
}

fn events_body(bytes: &[u8]) -> bool {
    travels::<EventsBody>(bytes, |it| {
        for event in &it.events {
            safe([&event.text]);
            safe(event.detail.iter().map(|(_, value)| value));
        }
    })
}

fn layouts_body(bytes: &[u8]) -> bool {
    travels::<LayoutsBody>(bytes, |it| {
        for (layout, _) in &it.layouts {
            let _ = layout_hash(layout);
        }
    })
}

fn devices_body(bytes: &[u8]) -> bool {
    travels::<DevicesBody>(bytes, |it| it.devices.iter().for_each(device))
}

fn addresses_body(bytes: &[u8]) -> bool {
    travels::<AddressesBody>(bytes, |_| ())
}

fn readings_body(bytes: &[u8]) -> bool {
    travels::<ReadingsBody>(bytes, |it| {
        let readings = it.devices.iter().flat_map(|device| &device.readings);
        safe(readings.map(|reading| &reading.name));
    })
}
