//! Seeded mutation of everything that reads octets from a device: nothing panics, whatever comes.
//!
//! Each target takes 200,000 inputs; `FARWATCH_FUZZ=100000000` takes that many. The seed of a failure is printed with it.

use std::net::Ipv4Addr;

use farwatch_shared::oid::Oid;
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};

use super::{
    AuthProtocol, PrivProtocol, V3User, Value, VarBind, Version,
    ber::{Reader, Writer, tag},
    message::{Datagram, seal_community},
    pdu::{Answer, ErrorStatus, PduKind, Request},
    recording::Recording,
    v3::{
        clock::{EngineClock, Stamp},
        report::Reason,
        session::{Session, discovery, read_scoped},
    },
};

fn inputs() -> u64 {
    std::env::var("FARWATCH_FUZZ").map_or(200_000, |count| count.parse().unwrap())
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

fn community_message(answer: &Answer) -> Vec<u8> {
    let mut writer = Writer::default();
    answer.write(&mut writer);
    writer.octets(b"public");
    writer.integer(1);
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

/// One of `seeds`, cut, flipped, stretched or spliced with another.
fn mutated(random: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(0..6) {
        if octets.is_empty() {
            break;
        }
        let at = random.random_range(0..octets.len());
        match random.random_range(0..8) {
            0 => octets[at] = random.random(),
            1 => octets[at] ^= 1 << random.random_range(0..8),
            2 => {
                octets[at] =
                    [0, 0x7f, 0x80, 0x81, 0x84, 0xff, 0x30, 0x04][random.random_range(0..8)]
            }
            3 => octets.truncate(at),
            4 => octets.insert(at, random.random()),
            5 => drop(octets.remove(at)),
            6 => {
                let other = &seeds[random.random_range(0..seeds.len())];
                let from = random.random_range(0..other.len());
                octets.splice(at.., other[from..].iter().copied());
            }
            _ => {
                let end = random.random_range(at..=octets.len());
                let again = octets[at..end].to_vec();
                octets.splice(at..at, again);
            }
        }
    }
    octets
}

/// Runs `target` on many mutations of `seeds`, and tells the seed when it panics.
fn fuzz(name: &str, seeds: &[Vec<u8>], mut target: impl FnMut(&[u8])) {
    let mut random = StdRng::seed_from_u64(3412);
    for _ in 0..inputs() {
        let seed = random.next_u64();
        let octets = mutated(&mut StdRng::seed_from_u64(seed), seeds);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(&octets)));
        assert!(
            outcome.is_ok(),
            "{name} panicked on seed {seed}: {octets:02x?}"
        );
    }
}

/// Reads a datagram as the engine would, and all that is in it.
fn read(octets: &[u8]) -> bool {
    match Datagram::read(octets) {
        Ok(Datagram::Community { mut pdu, .. }) => Answer::read(&mut pdu).is_ok_and(|answer| {
            let seen: usize = answer
                .varbinds
                .iter()
                .map(|varbind| format!("{varbind:?}").len())
                .sum();
            seen >= answer.varbinds.len()
        }),
        Ok(Datagram::V3(message)) => read_scoped(message.data).is_ok(),
        Err(_) => false,
    }
}

#[test]
fn no_v1_or_v2c_datagram_makes_the_decoder_panic() {
    let request = Request::get(&[oid("1.3.6.1.2.1.1.3.0")]);
    let seeds = [
        community_message(&every_type()),
        seal_community(Version::V1, b"public", &request, 7),
    ];
    let mut whole = 0_u64;
    fuzz("the v2c decoder", &seeds, |octets| {
        whole += u64::from(read(octets))
    });
    assert!(
        whole > inputs() / 50,
        "the mutations are so wild that they test nothing: {whole}"
    );
}

#[test]
fn no_v3_datagram_makes_the_decoder_panic() {
    let user = V3User::auth_priv(
        "monitor",
        (AuthProtocol::Sha512, "password"),
        (PrivProtocol::Aes256C, "password"),
    );
    let session = Session::derive(&user.unwrap(), b"engine-id");
    let request = Request::get_bulk(0, 10, vec![oid("1.3.6.1.2.1")]);
    let stamp = Stamp {
        boots: 3,
        time: 4000,
    };
    let report = session.seal_as(
        9,
        0,
        stamp,
        &scoped(&Answer {
            kind: PduKind::Report,
            ..every_type()
        }),
    );
    let seeds = [
        discovery(7),
        session.seal("", &request, 8, stamp, 99),
        report,
    ];
    let (mut taken_apart, mut opened) = (0_u64, 0_u64);
    fuzz("the v3 decoder", &seeds, |octets| {
        read(octets);
        if let Ok(Datagram::V3(message)) = Datagram::read(octets) {
            taken_apart += 1;
            opened += u64::from(session.open(&message).is_ok());
        }
    });
    assert!(
        taken_apart > inputs() / 50 && opened > 0,
        "{taken_apart} {opened}"
    );
}

#[test]
fn nothing_inside_a_true_v3_message_makes_the_decoder_panic() {
    let pairs = [PrivProtocol::Des, PrivProtocol::Aes128].map(|cipher| {
        let user = V3User::auth_priv(
            "monitor",
            (AuthProtocol::Md5, "password"),
            (cipher, "password"),
        )
        .unwrap();
        Session::derive(&user, b"engine-id")
    });
    let seeds = [
        scoped(&every_type()),
        scoped(&Answer {
            kind: PduKind::Report,
            ..every_type()
        }),
    ];
    let (mut salt, mut opened) = (0, 0_u64);
    fuzz("the decoder of a decrypted PDU", &seeds, |scoped| {
        salt += 1;
        let readable = read_scoped(Reader::new(scoped)).is_ok();
        if salt % 16 != 0 {
            return; // the ciphers take a hundred times as long as the decoder
        }
        let session = &pairs[usize::from(salt % 32 == 0)];
        let stamp = Stamp {
            boots: 3,
            time: 4000,
        };
        let octets = session.encrypt_as(7, stamp, salt, scoped.to_vec());
        let Ok(Datagram::V3(message)) = Datagram::read(&octets) else {
            panic!("it is a message")
        };
        let is_open = session.open(&message).is_ok();
        assert!(
            is_open || !readable,
            "what can be read in the clear can be read encrypted"
        );
        opened += u64::from(is_open);
    });
    assert!(opened > inputs() / 1000, "{opened}");
}

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
    for step in 0..inputs() {
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

#[test]
fn no_line_makes_a_recording_panic() {
    let seeds = [b"1.3.6.1.2.1.1.1.0|4x|00ff\n1.3.6.1.2.1.1.3.0|67|42\n1.3.6.1|4e|a\\x20\\n\n1.3|68x|9f78043f800000".to_vec()];
    fuzz("the recording", &seeds, |octets| {
        let _ = Recording::parse(octets).map(|recording| recording.len());
        let _ = Reason::from_counter(&Oid::from_ber(octets).unwrap_or_default());
    });
}

/// snmp2's decoder beside ours: what both can read, both read alike.
#[test]
fn snmp2_agrees_with_our_decoder() {
    let (mut agreed, seeds) = (0_u64, [community_message(&every_type())]);
    fuzz("the comparison with snmp2", &seeds, |octets| {
        let Ok(Datagram::Community { id, mut pdu, .. }) = Datagram::read(octets) else {
            return;
        };
        let (Ok(ours), Ok(theirs)) = (Answer::read(&mut pdu), snmp2::Pdu::from_bytes(octets))
        else {
            return;
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
    });
    assert!(agreed > inputs() / 50, "{agreed}");
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
