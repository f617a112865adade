//! Every message as bytes: what was released never changes. (That no bytes whatever make a reader fall: `tests/bytes`.)
//!
//! `tests/fixtures/wire/v1.txt` holds one line per message: name, type, version, payload in hex. A change of a released
//! message fails here: make a new version beside it. `FARWATCH_BLESS=1 cargo test -p farwatch-shared --test wire` writes
//! the file anew, which is right only for messages that no release has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::model::{Column, DeviceNo, Epoch, InstanceNo, Layout, LayoutNo, Metric};
use farwatch_shared::wire::codec::{FRAME_LIMIT, HEADER, Header, decode_as, frame};
use farwatch_shared::wire::message::batch::{
    AddressRecord, AddressesBody, Batch, DeviceRecord, DevicesBody, Dropped, EventRecord,
    EventsBody, InterfaceRecord, LayoutsBody, NeighbourRecord, ReadingRecord, ReadingsBody,
    ReadingsRecord,
};
use farwatch_shared::wire::message::control::{ControlRefused, Echo, EchoAnswer};
use farwatch_shared::wire::message::enroll::{CertificateAnswer, JoinRequest, RenewRequest};
use farwatch_shared::wire::message::pull::{
    Addresses, CredentialRecord, Inventory, PullRefused, PullRequest, SiteDocument,
};
use farwatch_shared::wire::message::session::{
    Ack, DeviceNow, Hello, HelloAnswer, InterfaceNow, LaneCommitted, LaneHeld, Notice,
    SnapshotPart, Status, StreamOpen, WantedLayout,
};
use farwatch_shared::wire::{DecodeError, Message, decode, encode};

type Reader = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

/// One message: what it is called, its numbers, its bytes, and how it is read (and written again).
struct Golden {
    name: &'static str,
    kind: u16,
    version: u16,
    payload: Vec<u8>,
    reader: Reader,
}

fn message<M: Message>(name: &'static str, message: &M) -> Golden {
    Golden {
        name,
        kind: M::TYPE,
        version: M::VERSION,
        payload: encode(message),
        reader: |bytes| decode::<M>(bytes).map(|read| encode(&read)),
    }
}

macro_rules! messages {
    ($($name:ident = $value:expr),* $(,)?) => { vec![$(message(stringify!($name), &$value)),*] };
}

/// Bodies of batches: numbered by `Batch::kind`, not by a frame's type.
macro_rules! bodies {
    ($($name:ident ($kind:expr) = $value:expr),* $(,)?) => {
        vec![$(Golden {
            name: stringify!($name),
            kind: $kind,
            version: 1,
            payload: encode::<$name>(&$value),
            reader: |bytes| decode::<$name>(bytes).map(|read| encode(&read)),
        }),*]
    };
}

const AT: Timestamp = Timestamp(1_795_000_000_123);
const EPOCH: Epoch = Epoch::new(3, 0xdead_beef);

fn committed() -> LaneCommitted {
    LaneCommitted {
        epoch: EPOCH,
        lane: 1,
        watermark: 70_000,
        ranges: vec![(70_002, 70_009), (80_000, 80_000)],
    }
}

fn wanted() -> WantedLayout {
    WantedLayout {
        epoch: EPOCH,
        layout: LayoutNo(9),
    }
}

fn device() -> DeviceRecord {
    DeviceRecord {
        device: 7,
        at: AT,
        address: "10.0.0.7".into(),
        snmp_port: 161,
        addresses: vec![("10.0.0.7".into(), "polled".into())],
        snmp: "v3".into(),
        snmp_security: "authPriv SHA-256 AES-128".into(),
        credential: "core".into(),
        sys_name: "sw-1".into(),
        sys_descr: "Switch <b>\u{202e}".into(),
        sys_object_id: "1.3.6.1.4.1.9.1.1".into(),
        sys_location: "Keller".into(),
        sys_contact: "noc".into(),
        vendor: "Cisco".into(),
        model: "C9300".into(),
        os: "IOS XE 17".into(),
        serial: "FOC1".into(),
        mac: "aa:bb:cc:dd:ee:ff".into(),
        role: "switch".into(),
        dns_name: "sw-1.example.net".into(),
        evidence: vec![("serial".into(), "FOC1".into())],
        interfaces: vec![InterfaceRecord {
            instance: 1,
            if_index: 10_101,
            name: "Gi1/0/1".into(),
            descr: "GigabitEthernet1/0/1".into(),
            alias: "uplink".into(),
            mac: "aa:bb:cc:dd:ee:01".into(),
            if_type: 6,
            speed_bps: 1_000_000_000,
            present: true,
        }],
        neighbours: vec![NeighbourRecord {
            protocol: "lldp".into(),
            local_port: "Gi1/0/1".into(),
            local_instance: 1,
            remote_name: "sw-2".into(),
            remote_port: "Gi1/0/2".into(),
            remote_chassis: "aa:bb:cc:dd:ee:02".into(),
            remote_address: "10.0.0.8".into(),
        }],
        poll_cost: (3, 120, 45),
        retired: false,
    }
}

fn layout() -> Layout {
    Layout {
        no: LayoutNo(9),
        device: DeviceNo(7),
        group: 1,
        interval_s: 60,
        phase_s: 17,
        valid_from_s: AT.secs(),
        metrics: vec![Metric {
            name: "ifHCInOctets".into(),
            kind: 0,
            scale: 0,
            width: 64,
            unit: "octets".into(),
        }],
        columns: vec![Column {
            metric: 0,
            instance: InstanceNo(1),
        }],
    }
}

fn golden() -> Vec<Golden> {
    let mut all = messages![
        Hello = Hello {
            versions: vec![1],
            program: "farwatch-probe 0.1.0".into(),
            host_name: "box-1".into(),
            os: "Linux 6.1 x86_64".into(),
            epoch: EPOCH,
            lease: 5,
            boot_id: "1b2c".into(),
            now: AT,
            boot_ms: 86_400_000,
            held: vec![LaneHeld {
                epoch: EPOCH,
                lane: 0,
                first_seq: 1,
                next_seq: 300
            }],
            highest_device_no: 37,
        },
        HelloAnswer = HelloAnswer {
            version: 1,
            refused: String::new(),
            retry_after_ms: 0,
            lease: 6,
            new_epoch: true,
            restored: false,
            now: AT,
            committed: vec![committed()],
            want_layouts: vec![wanted()],
            newest_committed: AT,
            highest_device_no: 37,
            config_revision: 4,
            addresses_revision: 1,
        },
        SnapshotPart = SnapshotPart {
            lease: 6,
            part: 0,
            parts: 1,
            epoch: EPOCH,
            events_from_seq: 300,
            samples_from_seq: 900,
            at: AT,
            devices: vec![DeviceNow {
                device: DeviceNo(7),
                state: 0,
                since: AT,
                reason: "no answer to 4 pings".into(),
                behind: DeviceNo(1),
                uptime_ms: -1,
                last_ping: AT,
                last_snmp: Timestamp(0),
            }],
            interfaces: vec![InterfaceNow {
                device: DeviceNo(7),
                instance: InstanceNo(1),
                admin: 1,
                oper: 2,
                since: AT,
            }],
        },
        Status = Status {
            now: AT,
            boot_ms: 86_400_000,
            spool_batches: 12,
            spool_bytes: 1 << 20,
            spool_limit_bytes: 4 << 30,
            oldest_unacked: AT,
            time_left_s: -1,
            replay_window_s: 172_800,
            certificate_not_after: AT,
            certificate_renew_after: AT,
            config_revision: 4,
            devices: 37,
            polls_total: 1_000_000,
            polls_overran_total: 2,
            rss_bytes: 48 << 20,
            notices: vec!["the clock is 3 s behind".into()],
            discovery_state: "sweeping".into(),
            discovery_range: "10.0.0.0/22".into(),
            discovery_swept: 100,
            discovery_to_sweep: 1_024,
            discovery_answered: 37,
            discovery_identified: 30,
            discovery_started: AT,
            discovery_finished: Timestamp(0),
        },
        Ack = Ack {
            committed: committed(),
            decided: vec![70_000, 80_000],
            conflicts: vec![70_001],
            want_layouts: vec![wanted()],
            config_revision: 4,
            addresses_revision: 1,
        },
        Notice = Notice {
            config_revision: 5,
            addresses_revision: 1,
            discover_now: true,
            add_addresses: vec!["10.0.0.9".into()],
            forget_devices: vec![DeviceNo(7)],
        },
        StreamOpen = StreamOpen { kind: 2 },
        Batch = Batch {
            epoch: EPOCH,
            lane: 1,
            seq: 70_000,
            kind: 16,
            version: 1,
            crc: 0x0102_0304,
            boot_id: "1b2c".into(),
            boot_ms: 86_400_000,
            closed: AT,
            from: AT,
            to: AT,
            body: vec![1, 2, 3],
        },
        Dropped = Dropped {
            epoch: EPOCH,
            lane: 1,
            from_seq: 5,
            to_seq: 9,
            from: AT,
            to: AT,
            reason: 3,
        },
        Echo = Echo {
            id: [1; 16],
            payload: vec![0; 4]
        },
        EchoAnswer = EchoAnswer {
            id: [1; 16],
            payload: vec![0; 4],
            held_us: 250
        },
        ControlRefused = ControlRefused {
            kind: 40,
            version: 1,
            reason: "not known".into()
        },
        JoinRequest = JoinRequest {
            secret: [9; 32],
            csr: vec![0x30, 0x00],
            host_name: "box-1".into(),
            program: "farwatch-probe 0.1.0".into(),
        },
        RenewRequest = RenewRequest {
            csr: vec![0x30, 0x00]
        },
        CertificateAnswer = CertificateAnswer {
            refused: "this token was used before".into(),
            reason: "token_used".into(),
            certificate: vec![0x30, 0x01],
            ca: vec![vec![0x30, 0x02]],
            probe_id: [1; 16],
            site_id: [2; 16],
            customer_id: [3; 16],
            addresses: vec!["central.example.net:4433".into()],
            names: ("Meyer".into(), "Office".into(), "box-1".into()),
        },
        PullRequest = PullRequest {
            what: 2,
            after: 37,
            argument: vec![1]
        },
        PullRefused = PullRefused {
            reason: "not now".into()
        },
        SiteDocument = SiteDocument {
            revision: 4,
            names: ("Meyer".into(), "Office".into(), "box-1".into()),
            ranges: vec!["10.0.0.0/22".into()],
            exclude: vec!["10.0.3.0/24".into()],
            addresses: vec![("10.0.9.1".into(), 1_161)],
            snmp_ports: vec![161],
            allow_loopback: false,
            icmp_interval_s: 10,
            poll_interval_s: 60,
            inventory_interval_s: 3_600,
            discovery_interval_s: 3_600,
            icmp_rate_per_s: 100,
            credentials: vec![CredentialRecord {
                id: [4; 16],
                name: "core".into(),
                kind: "v3".into(),
                community: String::new(),
                user_name: "noc".into(),
                security_level: "authPriv".into(),
                auth_protocol: "SHA-256".into(),
                auth_password: "secret-1".into(),
                priv_protocol: "AES-128".into(),
                priv_password: "secret-2".into(),
                context_name: String::new(),
            }],
            at: AT,
        },
        Inventory = Inventory {
            devices: vec![device()],
            more: true
        },
        Addresses = Addresses {
            revision: 1,
            addresses: vec!["central.example.net:4433".into()]
        },
    ];
    all.extend(bodies![
        EventsBody(1) = EventsBody {
            events: vec![EventRecord {
                at: AT,
                kind: 3,
                severity: 0,
                device: DeviceNo(7),
                instance: InstanceNo(0),
                state: 0,
                text: "no answer to 4 pings".into(),
                detail: vec![("sent".into(), "4".into())],
            }],
        },
        LayoutsBody(2) = LayoutsBody {
            epoch: EPOCH.0,
            layouts: vec![(layout(), 42)]
        },
        DevicesBody(3) = DevicesBody {
            devices: vec![device()]
        },
        AddressesBody(4) = AddressesBody {
            addresses: vec![AddressRecord {
                address: "10.0.0.9".into(),
                device: 0,
                icmp: "answered".into(),
                snmp: "no_answer".into(),
                attempts: vec![("core".into(), 161, "no response".into(), AT)],
                reason: "answers ping, speaks no SNMP".into(),
                last_seen: AT,
            }],
        },
        ReadingsBody(5) = ReadingsBody {
            devices: vec![ReadingsRecord {
                device: 7,
                at: AT,
                readings: vec![ReadingRecord {
                    instance: 0x4000_0007,
                    class: "sensor".into(),
                    kind: "temperature".into(),
                    name: "Inlet".into(),
                    unit: "celsius".into(),
                    metrics: vec!["temperature".into(), "status".into()],
                    oid: "1.3.6.1.2.1.99.1.1.1.4.7".into(),
                }],
                left_out: 2,
            }],
        },
    ]);
    all
}

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/wire/v1.txt")
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[test]
fn the_bytes_of_every_message_are_those_that_were_released() {
    let now: String = golden()
        .iter()
        .map(|it| {
            format!(
                "{} {} {} {}\n",
                it.name,
                it.kind,
                it.version,
                hex(&it.payload)
            )
        })
        .collect();
    if std::env::var_os("FARWATCH_BLESS").is_some() {
        std::fs::create_dir_all(fixture().parent().unwrap()).unwrap();
        std::fs::write(fixture(), &now).unwrap();
    }
    let released = std::fs::read_to_string(fixture()).expect("the fixture is committed");
    let by_name = |text: &str| -> BTreeMap<String, String> {
        text.lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
            .collect()
    };
    let (now, released) = (by_name(&now), by_name(&released));
    for (name, bytes) in &released {
        assert_eq!(
            now.get(name),
            Some(bytes),
            "{name} changed: make a new version beside it"
        );
    }
    assert_eq!(
        now.len(),
        released.len(),
        "a new message has no golden bytes yet"
    );
}

#[test]
fn golden_bytes_are_read_and_written_again_as_they_were() {
    for it in golden() {
        assert_eq!((it.reader)(&it.payload).unwrap(), it.payload, "{}", it.name);
        let mut longer = it.payload.clone();
        longer.push(0);
        assert!(
            (it.reader)(&longer).is_err(),
            "{}: a byte too many",
            it.name
        );
        for cut in 0..it.payload.len() {
            assert!(
                (it.reader)(&it.payload[..cut]).is_err(),
                "{} cut at {cut}",
                it.name
            );
        }
    }
}

#[test]
fn every_message_is_here_under_a_number_of_its_own() {
    let sources = [
        include_str!("../src/wire/message/session.rs"),
        include_str!("../src/wire/message/batch.rs"),
        include_str!("../src/wire/message/control.rs"),
        include_str!("../src/wire/message/enroll.rs"),
        include_str!("../src/wire/message/pull.rs"),
    ];
    let golden = golden();
    let mut seen = 0;
    for name in sources
        .iter()
        .flat_map(|source| source.lines())
        .filter_map(|line| line.strip_prefix("impl Message for "))
    {
        let name = name.trim_end_matches(" {");
        assert!(
            golden.iter().any(|it| it.name == name),
            "{name} has no golden bytes"
        );
        seen += 1;
    }
    let frames: Vec<_> = golden
        .iter()
        .filter(|it| !it.name.ends_with("Body"))
        .collect();
    assert_eq!(frames.len(), seen);
    let mut numbers: Vec<_> = frames.iter().map(|it| (it.kind, it.version)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), seen, "two messages under one number");
}

#[test]
fn no_enum_and_nothing_that_bincode_cannot_bound_travels() {
    for source in [
        include_str!("../src/wire/message/session.rs"),
        include_str!("../src/wire/message/batch.rs"),
        include_str!("../src/wire/message/control.rs"),
        include_str!("../src/wire/message/enroll.rs"),
        include_str!("../src/wire/message/pull.rs"),
    ] {
        for banned in [
            "pub enum",
            "Box<",
            "flatten",
            "untagged",
            "skip_serializing_if",
            "Vec<()>",
        ] {
            assert!(!source.contains(banned), "{banned} on the wire");
        }
    }
}

/// `SplitMix64`: the same inputs every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[test]
fn whatever_the_header_nothing_beyond_the_limit_is_waited_for() {
    let mut random = Random(11);
    for _ in 0..200_000 {
        let bytes: [u8; HEADER] = random.next().to_be_bytes();
        match Header::parse(bytes, FRAME_LIMIT) {
            Ok(header) => {
                assert!(header.len as usize <= FRAME_LIMIT);
                assert_eq!(header.to_bytes(), bytes);
            }
            Err(DecodeError::TooLong { len, limit }) => assert!(len > limit),
            Err(other) => panic!("{other}"),
        }
    }
    let frame = frame(&StreamOpen { kind: 3 });
    let header = Header::parse(*frame.first_chunk().unwrap(), FRAME_LIMIT).unwrap();
    assert_eq!(
        decode_as::<StreamOpen>(header, &frame[HEADER..]).unwrap(),
        StreamOpen { kind: 3 }
    );
    assert!(matches!(
        decode_as::<Ack>(header, &frame[HEADER..]),
        Err(DecodeError::Unknown {
            kind: 7,
            version: 1
        })
    ));
}

#[test]
fn what_prints_does_not_print_secrets() {
    let printed = golden()
        .into_iter()
        .find(|it| it.name == "SiteDocument")
        .map(|it| decode::<SiteDocument>(&it.payload).unwrap())
        .map(|document| format!("{document:?} {:?}", document.credentials))
        .unwrap();
    assert!(!printed.contains("secret-"), "{printed}");
}

/// What a mutation loop found: 128 bytes that claimed a body of 7 MiB, and had it reserved.
#[test]
fn a_short_payload_that_claims_megabytes_is_refused_for_its_claim() {
    let mut batch: Batch = decode(
        &golden()
            .into_iter()
            .find(|it| it.name == "Batch")
            .unwrap()
            .payload,
    )
    .unwrap();
    batch.body = vec![7; 3];
    let honest = encode(&batch);
    // The body is last: its length, then its bytes.
    let mut lying = honest[..honest.len() - 4].to_vec();
    lying.push(252);
    lying.extend_from_slice(&7_000_000_u32.to_le_bytes());
    let error = decode::<Batch>(&lying).unwrap_err();
    let DecodeError::Malformed(why) = error else {
        panic!("{error}")
    };
    assert_eq!(
        why.to_string(),
        bincode::error::DecodeError::LimitExceeded.to_string()
    );
}

#[test]
fn the_longest_lists_of_the_smallest_numbers_are_within_what_a_payload_may_claim() {
    let mut ack: Ack = decode(
        &golden()
            .into_iter()
            .find(|it| it.name == "Ack")
            .unwrap()
            .payload,
    )
    .unwrap();
    for decided in [100, 900, 1_100, 8_000, 9_000, 60_000] {
        ack.decided = vec![1; decided];
        let bytes = encode(&ack);
        assert_eq!(decode::<Ack>(&bytes).unwrap(), ack, "{} bytes", bytes.len());
    }
    let mut notice: Notice = decode(
        &golden()
            .into_iter()
            .find(|it| it.name == "Notice")
            .unwrap()
            .payload,
    )
    .unwrap();
    for addresses in [1_000, 8_000, 65_000] {
        notice.add_addresses = vec![String::new(); addresses];
        assert_eq!(decode::<Notice>(&encode(&notice)).unwrap(), notice);
    }
}
