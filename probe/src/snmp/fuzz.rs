//! Everything that reads octets from a device, and the recordings that stand for devices in tests.

#![allow(
    clippy::unwrap_used,
    reason = "these are tests: a broken promise is a panic"
)]

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;

use farwatch_shared::fuzz::Target;
use farwatch_shared::oid::Oid;
use farwatch_shared::profile::builtin;
use farwatch_shared::text::{DESCRIPTION_LIMIT, NAME_LIMIT};
use futures::FutureExt as _;

use super::{
    Auth, AuthProtocol, Limits, Plan, PrivProtocol, Reading, Snmp as _, V3User, Value, VarBind,
    Version,
    ber::{Reader, Writer, tag},
    engine,
    message::{Datagram, MAX_DATAGRAM, seal_community},
    pdu::{Answer, ErrorStatus, PduKind, Request},
    recording::{Recording, Recordings},
    v3::{
        clock::Stamp,
        report::Reason,
        session::{Session, discovery, read_scoped},
    },
};
use crate::inventory::around::{elsewhere, elsewhere_plan};
use crate::inventory::facts::{Around, Facts, around_plan, identity_plan, names_plan};
use crate::inventory::vendor;

/// Datagrams.
pub const TARGETS: &[Target] = &[
    of("snmp_community", community, || {
        let request = Request::get(&[oid("1.3.6.1.2.1.1.3.0")]);
        let mut all = vec![
            community_message(&every_type(), 1),
            community_message(&every_type(), 0),
        ];
        all.extend(recorded().iter().map(|answer| community_message(answer, 1)));
        // A request is nobody's answer, and still close to one.
        let mut request = seal_community(Version::V1, b"public", &request, 7);
        let at = request.iter().position(|octet| *octet == 0xa0).unwrap();
        request[at] = 0xa2;
        all.push(request);
        all
    }),
    of("snmp_v3", v3, || {
        let report = Answer {
            kind: PduKind::Report,
            ..every_type()
        };
        let session = &*PAIRS.with_aes;
        vec![
            session.seal_as(9, 0, STAMP, &scoped(&report)),
            session.seal_as(9, 1, STAMP, &scoped(&report)),
            session.encrypt_as(9, STAMP, 99, scoped(&every_type())),
            session.encrypt_as(9, STAMP, 99, scoped(&report)),
        ]
    }),
    of("snmp_v3_inside", v3_inside, || {
        let mut all: Vec<Vec<u8>> = recorded().iter().map(scoped).collect();
        all.push(scoped(&every_type()));
        all
    })
    .cost(4),
    of("snmp_engine", whole_engine, || {
        let report = Answer {
            kind: PduKind::Report,
            ..every_type()
        };
        let session = &*PAIRS.with_aes;
        vec![
            community_message(&every_type(), 1),
            community_message(&every_type(), 0),
            session.seal_as(9, 0, STAMP, &scoped(&report)),
            session.seal_as(9, 1, STAMP, &scoped(&report)),
            session.encrypt_as(9, STAMP, 99, scoped(&every_type())),
        ]
    })
    .cost(2),
];

/// What devices say, as recordings.
pub const AGENT_TARGETS: &[Target] = &[
    Target::new("recording", recording, || vec![every_line()]).memory(2 << 20, 128),
    Target::new("device_facts", device_facts, || {
        let mut all = vec![a_switch()];
        all.extend(recordings());
        all
    })
    .longest(256 * 1024)
    .memory(16 << 20, 256)
    .cost(10),
];

/// A datagram's values take 56 bytes each, however short they were.
const fn of(name: &'static str, read: fn(&[u8]) -> bool, examples: fn() -> Vec<Vec<u8>>) -> Target {
    Target::new(name, read, examples)
        .longest(MAX_DATAGRAM)
        .memory(512 * 1024, 48)
}

const STAMP: Stamp = Stamp {
    boots: 3,
    time: 4_000,
};

struct Pairs {
    with_aes: Box<Session>,
    with_des: Session,
}

static PAIRS: LazyLock<Pairs> = LazyLock::new(|| Pairs {
    with_aes: Box::new(session(AuthProtocol::Sha256, PrivProtocol::Aes128)),
    with_des: session(AuthProtocol::Md5, PrivProtocol::Des),
});

fn session(auth: AuthProtocol, privacy: PrivProtocol) -> Session {
    let user = V3User::auth_priv("monitor", (auth, "password"), (privacy, "password"));
    Session::derive(&user.unwrap(), b"engine-id")
}

fn oid(text: &str) -> Oid {
    text.parse().unwrap()
}

fn every_type() -> Answer {
    let values = [
        Value::Integer(-70_000),
        Value::octets("a device's description, as long as one is".repeat(4)),
        Value::Null,
        Value::Oid(oid("1.3.6.1.4.1.4294967295.1")),
        Value::IpAddress(Ipv4Addr::new(10, 0, 0, 1)),
        Value::Counter32(u32::MAX),
        Value::Gauge32(7),
        Value::TimeTicks(123_456_789),
        Value::Counter64(u64::MAX),
        Value::OpaqueFloat(1.5),
        Value::OpaqueDouble(-2.5),
        Value::Opaque(b"\x30\x03\x02\x01\x05".as_slice().into()),
        Value::NoSuchObject,
        Value::NoSuchInstance,
        Value::EndOfMibView,
        Value::Unsupported {
            tag: 0x45,
            octets: b"?".as_slice().into(),
        },
    ];
    let named = |(n, value)| VarBind::new(oid("1.3.6.1.2.1.2.2.1.10").child(n), value);
    Answer {
        kind: PduKind::Response,
        request_id: 0x1234_5678,
        error_status: ErrorStatus::NoError,
        error_index: 0,
        varbinds: (0..).zip(values).map(named).collect(),
    }
}

fn community_message(answer: &Answer, version: i64) -> Vec<u8> {
    let mut writer = Writer::default();
    answer.write(&mut writer);
    writer.octets(b"public");
    writer.integer(version);
    writer.wrap(tag::SEQUENCE, 0);
    writer.finish()
}

fn scoped(answer: &Answer) -> Vec<u8> {
    let mut writer = Writer::default();
    answer.write(&mut writer);
    writer.octets(b"");
    writer.octets(b"engine-id");
    writer.wrap(tag::SEQUENCE, 0);
    writer.finish()
}

/// Recorded devices, where this machine has them: `FARWATCH_RECORDINGS`, or beside the repository.
fn recordings() -> Vec<Vec<u8>> {
    let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/devices");
    let root = std::env::var_os("FARWATCH_RECORDINGS").map_or(beside, Into::into);
    let mut files = Vec::new();
    let mut directories = vec![root];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|end| end == "snmprec") {
                files.push(path);
            }
        }
    }
    files.sort();
    if files.is_empty() {
        #[expect(clippy::print_stderr, reason = "a test says what it leaves out")]
        {
            eprintln!("no recorded devices here: the examples are our own alone");
        }
    }
    files
        .iter()
        .filter_map(|path| std::fs::read(path).ok())
        .filter(|file| file.len() <= 64 * 1024 && Recording::parse(file).is_ok())
        .take(40)
        .collect()
}

/// A few answers as recorded devices would give them.
fn recorded() -> Vec<Answer> {
    let answer = |file: &Vec<u8>| {
        let recording = Recording::parse(file).unwrap();
        let values = recording.iter().take(25);
        Answer {
            varbinds: values
                .map(|(oid, value)| VarBind::new(oid.clone(), value.clone()))
                .collect(),
            ..every_type()
        }
    };
    recordings().iter().take(10).map(answer).collect()
}

fn every_line() -> Vec<u8> {
    b"1.3.6.1.2.1.1.1.0|4x|00ff\n1.3.6.1.2.1.1.3.0|67|42\n1.3.6.1|4e|a\\x20\\n\n1.3|68x|9f78043f800000\n\
      1.3.6.1.2.1.4.20.1.1.10.0.0.1|64|10.0.0.1\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.9.1\r\n# a remark\n1.3.4|70|7\n"
        .to_vec()
}

/// A switch with a neighbour of each kind.
fn a_switch() -> Vec<u8> {
    let lines = [
        "1.3.6.1.2.1.1.1.0|4|Cisco IOS Software, Version 15.2(7)E",
        "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.9.1.1208",
        "1.3.6.1.2.1.1.3.0|67|12345",
        "1.3.6.1.2.1.1.5.0|4|sw1",
        "1.3.6.1.2.1.17.1.1.0|4x|001122334455",
        "1.3.6.1.6.3.10.2.1.1.0|4x|80001f8801",
        "1.3.6.1.2.1.2.2.1.2.1|4|GigabitEthernet0/1",
        "1.3.6.1.2.1.2.2.1.3.1|2|6",
        "1.3.6.1.2.1.2.2.1.5.1|66|4294967295",
        "1.3.6.1.2.1.2.2.1.6.1|4x|001122334456",
        "1.3.6.1.2.1.2.2.1.10.1|65|17",
        "1.3.6.1.2.1.31.1.1.1.1.1|4|Gi0/1",
        "1.3.6.1.2.1.31.1.1.1.6.1|70|17",
        "1.3.6.1.2.1.31.1.1.1.15.1|66|10000",
        "1.3.6.1.2.1.4.20.1.2.10.0.0.1|2|1",
        "1.3.6.1.2.1.4.34.1.3.1.4.10.0.0.1|2|1",
        "1.3.6.1.2.1.4.34.1.3.2.16.32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.1|2|1",
        "1.3.6.1.2.1.4.22.1.2.1.10.0.0.9|4x|001122334457",
        "1.3.6.1.2.1.47.1.1.1.1.5.1|2|3",
        "1.3.6.1.2.1.47.1.1.1.1.11.1|4|CHASSIS1",
        "1.3.6.1.2.1.47.1.1.1.1.13.1|4|WS-TEST",
        "1.0.8802.1.1.2.1.3.1.0|2|4",
        "1.0.8802.1.1.2.1.3.2.0|4x|001122334455",
        "1.0.8802.1.1.2.1.3.5.0|4x|28",
        "1.0.8802.1.1.2.1.3.7.1.3.1|4|Gi0/1",
        "1.0.8802.1.1.2.1.4.1.1.4.0.1.1|2|4",
        "1.0.8802.1.1.2.1.4.1.1.5.0.1.1|4x|0011223344aa",
        "1.0.8802.1.1.2.1.4.1.1.6.0.1.1|2|5",
        "1.0.8802.1.1.2.1.4.1.1.7.0.1.1|4|Gi0/2",
        "1.0.8802.1.1.2.1.4.1.1.9.0.1.1|4|sw2",
        "1.0.8802.1.1.2.1.4.2.1.3.0.1.1.1.4.10.0.0.2|2|2",
        "1.3.6.1.4.1.9.9.23.1.2.1.1.4.1.7|4x|0a000003",
        "1.3.6.1.4.1.9.9.23.1.2.1.1.6.1.7|4|sw3",
        "1.3.6.1.4.1.9.9.23.1.2.1.1.7.1.7|4|Gi0/3",
    ];
    lines.join("\n").into_bytes()
}

/// Reads an answer; written and read again it is the same octets.
fn travels(answer: &Answer) {
    assert!(answer.varbinds.len() <= Answer::MAX_VARBINDS);
    for varbind in &answer.varbinds {
        assert!(varbind.oid.arcs().count() <= Oid::MAX_ARCS);
        // as logs and the console show it
        let _ = (
            varbind.value.to_string(),
            varbind.value.as_i64(),
            varbind.value.as_f64(),
        );
    }
    let written = |answer: &Answer| {
        let mut writer = Writer::default();
        answer.write(&mut writer);
        writer.finish()
    };
    let once = written(answer);
    let back = Answer::read(&mut Reader::new(&once)).expect("what was read can be written");
    assert_eq!(back.varbinds.len(), answer.varbinds.len());
    assert!(
        written(&back) == once,
        "it does not travel back: {answer:?}"
    );
}

fn community(octets: &[u8]) -> bool {
    let Ok(Datagram::Community { id, mut pdu, .. }) = Datagram::read(octets) else {
        return false;
    };
    let Ok(answer) = Answer::read(&mut pdu) else {
        return false;
    };
    assert_eq!(answer.request_id, id);
    travels(&answer);
    true
}

fn v3(octets: &[u8]) -> bool {
    let Ok(Datagram::V3(message)) = Datagram::read(octets) else {
        return false;
    };
    let opened = [&*PAIRS.with_aes, &PAIRS.with_des].map(|session| session.open(&message));
    for opened in opened.iter().flatten() {
        travels(&opened.answer);
        if let Some(report) = opened.answer.varbinds.first() {
            let _ = Reason::from_counter(&report.oid);
        }
    }
    opened.iter().any(Result::is_ok) || read_scoped(message.data.clone()).is_ok()
}

/// A scoped PDU, readable in the clear, is so encrypted too.
fn v3_inside(scoped: &[u8]) -> bool {
    thread_local! {
        static SALT: Cell<u64> = const { Cell::new(0) };
    }
    let salt = SALT.replace(SALT.get().wrapping_add(1));
    let readable = read_scoped(Reader::new(scoped)).is_ok();
    for session in [&*PAIRS.with_aes, &PAIRS.with_des] {
        let octets = session.encrypt_as(7, STAMP, salt, scoped.to_vec());
        let Ok(Datagram::V3(message)) = Datagram::read(&octets) else {
            panic!("it is a message")
        };
        let is_open = session.open(&message).is_ok();
        // The zeros that DES pads with may complete what was cut off.
        let is_padded = session.user().priv_protocol() == Some(PrivProtocol::Des);
        assert!(is_open == readable || (is_open && is_padded));
    }
    readable
}

fn whole_engine(octets: &[u8]) -> bool {
    engine::fuzz::receive(octets, || {
        session(AuthProtocol::Sha256, PrivProtocol::Aes128)
    })
}

fn recording(file: &[u8]) -> bool {
    let readable = Recording::parse(file).map(|recording| {
        for (oid, value) in recording.iter() {
            let _ = (Reason::from_counter(oid), value.to_string());
        }
    });
    readable.is_ok()
}

fn answer(recording: &Recording, plan: &Plan) -> Reading {
    let address: SocketAddr = ([192, 0, 2, 1], 161).into();
    let devices: Recordings = [(address, recording.clone())].into_iter().collect();
    let target = super::Target::new(address, Auth::v2c("public"));
    let reading = devices
        .read(&target, plan, Limits::default())
        .now_or_never()
        .expect("a recording answers at once");
    reading.unwrap()
}

/// Everything that is read out of a device's tables.
fn device_facts(file: &[u8]) -> bool {
    let Ok(recording) = Recording::parse(file) else {
        return false;
    };
    let facts = Facts::read(&answer(&recording, &identity_plan()));
    for name in [&facts.sys_name, &facts.sys_location, &facts.sys_contact] {
        assert!(name.as_str().len() <= NAME_LIMIT);
    }
    assert!(facts.sys_descr.as_str().len() <= DESCRIPTION_LIMIT);
    for interface in &facts.interfaces {
        assert!(interface.alias.as_str().len() <= DESCRIPTION_LIMIT);
        assert!(interface.mac.len() <= 17, "{}", interface.mac);
    }
    let known = facts.sys_object_id.as_ref().and_then(builtin::enterprise);
    let _ = vendor::os(facts.sys_descr.as_str());
    let _ = vendor::role(
        facts.sys_descr.as_str(),
        known.unwrap_or_default(),
        facts.bridges,
        facts.routes,
    );
    let _ = Facts::read_names(&answer(&recording, &names_plan()));
    let around = Around::read(&answer(&recording, &around_plan()), &facts.interfaces);
    assert!(around.candidates().count() <= recording.len() * 2);
    let _ = elsewhere(&answer(&recording, &elsewhere_plan()), &facts.interfaces);
    let _ = discovery(7);
    true
}

#[cfg(test)]
mod tests {
    use farwatch_shared::fuzz::mutated;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::snmp::v3::clock::EngineClock;

    const INPUTS: u64 = 50_000;

    #[test]
    fn no_boots_and_time_make_the_clock_panic() {
        let mut random = StdRng::seed_from_u64(3414);
        let start = tokio::time::Instant::now();
        let odd = [0, 1, 149, 150, 151, (1 << 31) - 2, (1 << 31) - 1];
        let mut pick = || {
            if random.random() {
                odd[random.random_range(0..7)]
            } else {
                random.random_range(0..1 << 31)
            }
        };
        let mut clock = EngineClock::discovered(Stamp { boots: 1, time: 1 }, start);
        for step in 0..INPUTS {
            let now = start + std::time::Duration::from_secs(u64::from(pick()));
            let stamp = Stamp {
                boots: pick(),
                time: pick(),
            };
            if step % 7 == 0 {
                clock.resynchronize(stamp, now);
            } else {
                clock.accept(stamp, now);
            }
            assert!(clock.stamp(now).time < 1 << 31);
        }
    }

    /// snmp2's decoder beside ours: what both can read, both read alike.
    #[test]
    fn snmp2_agrees_with_our_decoder() {
        let (mut agreed, examples) = (0_u64, [community_message(&every_type(), 1)]);
        for seed in 0..INPUTS {
            let octets = &*mutated(seed, &examples, MAX_DATAGRAM);
            let Ok(Datagram::Community { id, mut pdu, .. }) = Datagram::read(octets) else {
                continue;
            };
            let (Ok(ours), Ok(theirs)) = (Answer::read(&mut pdu), snmp2::Pdu::from_bytes(octets))
            else {
                continue;
            };
            assert_eq!(theirs.req_id, id);
            let theirs: Vec<_> = theirs.varbinds.collect();
            assert!(
                theirs.len() <= ours.varbinds.len(),
                "it stops at what it does not know"
            );
            for ((name, value), our) in theirs.iter().zip(&ours.varbinds) {
                // it keeps the octets of names, padded arcs and all
                if Oid::from_ber(name.as_bytes()).unwrap_or_default() == our.oid
                    && same(value, &our.value) == Some(false)
                {
                    panic!("{our:?} is {value:?} to snmp2");
                }
            }
            agreed += 1;
        }
        assert!(agreed > INPUTS / 50, "{agreed}");
    }

    /// `None` where the two mean to differ.
    fn same(theirs: &snmp2::Value<'_>, ours: &Value) -> Option<bool> {
        Some(match (theirs, ours) {
            (snmp2::Value::Integer(a), Value::Integer(b)) => a == b,
            (snmp2::Value::OctetString(a), Value::OctetString(b))
            | (snmp2::Value::Opaque(a), Value::Opaque(b)) => **a == **b,
            (snmp2::Value::Null, Value::Null) => true,
            (snmp2::Value::ObjectIdentifier(a), Value::Oid(b)) => {
                Oid::from_ber(a.as_bytes()).ok()? == *b
            }
            (snmp2::Value::IpAddress(a), Value::IpAddress(b)) => *a == b.octets(),
            (snmp2::Value::Counter32(a), Value::Counter32(b))
            | (snmp2::Value::Unsigned32(a), Value::Gauge32(b))
            | (snmp2::Value::Timeticks(a), Value::TimeTicks(b)) => a == b,
            // a short one with its sign set: 255 to snmp2, 2⁶⁴-1 to net-snmp and us
            (snmp2::Value::Counter64(a), Value::Counter64(b)) => a == b || *b > u64::MAX >> 8,
            (snmp2::Value::NoSuchObject, Value::NoSuchObject)
            | (snmp2::Value::NoSuchInstance, Value::NoSuchInstance)
            | (snmp2::Value::EndOfMibView, Value::EndOfMibView) => true,
            (snmp2::Value::Opaque(_), Value::OpaqueFloat(_) | Value::OpaqueDouble(_))
            | (_, Value::Unsupported { .. }) => {
                return None;
            }
            _ => false,
        })
    }
}
