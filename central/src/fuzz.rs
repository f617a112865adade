//! Every decoder of bytes from outside as one function, with valid examples: see `farwatch_shared::fuzz`.
//!
//! The metrics store and the API stand beside what they test; here is what probes send to central.db, and the files.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests: a broken promise is a panic"
)]

use std::cell::RefCell;
use std::path::Path;
use std::sync::LazyLock;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::fuzz::Target;
use farwatch_shared::fuzz::message::golden;
use farwatch_shared::id::{CustomerId, ProbeId, SiteId};
use farwatch_shared::model::Epoch;
use farwatch_shared::wire::message::batch::{
    ADDRESSES, Batch, DEVICES, DeviceRecord, DevicesBody, EVENTS, EventsBody,
};
use farwatch_shared::wire::message::session::SnapshotPart;
use farwatch_shared::wire::{decode, encode};
use rcgen::{CertificateParams, KeyPair};
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::backup::Manifest;
use crate::config::{Config, Overrides};
use crate::enroll::csr;
use crate::scope::ProbeScope;
use crate::store::inbound::{ApplyError, ClockCorrection, apply_batch, apply_snapshot};
use crate::vault::{Place, Sealed, Vault};
pub use crate::{api, metrics};

/// What probes send to central.db, and the files.
pub const TARGETS: &[Target] = &[
    Target::new("csr", request, || {
        vec![REQUEST.clone(), BARE_REQUEST.clone()]
    })
    .longest(8 * 1024)
    .cost(4),
    Target::new("events_applied", applied, inbound)
        .memory(24 << 20, 512)
        .cost(20),
    Target::new("sealed_secret", sealed, || vec![SEALED.clone()])
        .longest(8 * 1024)
        .cost(4),
    Target::new("manifest", manifest, || {
        let text = format!(
            r#"{{"version":"0.1.0","created_at":"2026-11-23T08:00:00Z","files":[{{"name":"central.db","bytes":4096,"sha256":"{0}"}},{{"name":"days/2026-11-22.db","bytes":9,"sha256":"{0}"}}]}}"#,
            "ab".repeat(32)
        );
        vec![text.into_bytes()]
    }),
    Target::new("central_config", config, || {
        let bare: String = include_str!("../../examples/central.toml")
            .lines()
            .map(|line| {
                line.strip_prefix('#')
                    .filter(|rest| !rest.starts_with(' '))
                    .unwrap_or(line)
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        vec![
            include_bytes!("../../examples/central.toml").to_vec(),
            bare.into_bytes(),
        ]
    })
    .memory(4 << 20, 512)
    .cost(4),
];

/// Every decoder of this package.
#[must_use]
pub fn targets() -> Vec<Target> {
    [TARGETS, metrics::fuzz::TARGETS, api::fuzz::TARGETS].concat()
}

static REQUEST: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    let request = params.serialize_request(&KeyPair::generate().unwrap());
    request.unwrap().der().to_vec()
});

/// As the probe makes it: without any name.
static BARE_REQUEST: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params.serialize_request(&KeyPair::generate().unwrap());
    request.unwrap().der().to_vec()
});

/// A certificate request: only its own key passes, and only with its proof.
fn request(bytes: &[u8]) -> bool {
    static GOOD: LazyLock<[[u8; 32]; 2]> =
        LazyLock::new(|| [&REQUEST, &BARE_REQUEST].map(|it| csr::read(it).unwrap().hash));
    let Ok(read) = csr::read(bytes) else {
        return false;
    };
    assert!(
        GOOD.contains(&read.hash),
        "another key passes without its proof"
    );
    true
}

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// A first byte says what it is and whether it is live, a second how wrong the probe's clock is; then the body.
fn inbound() -> Vec<Vec<u8>> {
    let mut devices: DevicesBody = decode(&golden("DevicesBody")).unwrap();
    let other = DeviceRecord {
        device: 8,
        address: "10.0.0.8".to_owned(),
        ..devices.devices[0].clone()
    };
    devices.devices.push(other);
    let mut events: EventsBody = decode(&golden("EventsBody")).unwrap();
    let first = events.events[0].clone();
    for kind in 0..40 {
        let mut event = first.clone();
        event.kind = kind;
        event.state = u8::try_from(kind % 6).unwrap();
        event.instance.0 = u32::from(kind % 3 == 0);
        events.events.push(event);
    }
    let mut snapshot: SnapshotPart = decode(&golden("SnapshotPart")).unwrap();
    let mut behind = snapshot.devices[0].clone();
    behind.device.0 = 8;
    snapshot.devices.push(behind);
    let with = |head: [u8; 2], body: &[u8]| [&head[..], body].concat();
    vec![
        with([0x81, 0], &golden("EventsBody")),
        with([0x81, 0], &encode(&events)),
        with([0x01, 1], &encode(&events)),
        with([0x83, 0], &encode(&devices)),
        with([0x84, 0], &golden("AddressesBody")),
        with([0x80, 0], &encode(&snapshot)),
        with([0x80, 2], &encode(&snapshot)),
    ]
}

struct Bench {
    c: Connection,
    scope: ProbeScope,
}

impl Bench {
    fn new() -> Self {
        let c = Connection::open_in_memory().unwrap();
        for migration in crate::store::SCHEMA.migrations {
            c.execute_batch(migration).unwrap();
        }
        let (customer, site, probe) = (
            CustomerId::generate(),
            SiteId::generate(),
            ProbeId::generate(),
        );
        c.execute(
            "INSERT INTO customers (id, name, created_ms) VALUES (?1, 'Kestrel', 0)",
            [customer],
        )
        .unwrap();
        c.execute(
            "INSERT INTO sites (id, customer_id, name, created_ms) VALUES (?1, ?2, 'Rotterdam', 0)",
            params![site, customer],
        )
        .unwrap();
        c.execute(
            "INSERT INTO probes (id, customer_id, site_id, name, key_hash, created_ms, certificate_not_after_ms) VALUES (?1, ?2, ?3, 'rtm-1', x'', 0, 0)",
            params![probe, customer, site],
        )
        .unwrap();
        let bench = Self {
            c,
            scope: ProbeScope::new(customer, site, probe),
        };
        // Devices that events can be about.
        let devices = inbound().swap_remove(3);
        bench.apply(&devices).unwrap();
        bench
    }

    fn apply(&self, bytes: &[u8]) -> Result<(), ApplyError> {
        let (Some(head), clock) = (bytes.first(), bytes.get(1).copied().unwrap_or(0)) else {
            return Err(ApplyError::Unknown {
                kind: 0,
                version: 0,
            });
        };
        let body = bytes.get(2..).unwrap_or_default();
        let correction = ClockCorrection {
            offset_ms: [0, 3_600_000, i64::MAX, i64::MIN][usize::from(clock % 4)],
            approximate: clock & 4 != 0,
        };
        let kind = match head & 0x7f {
            1 => EVENTS,
            3 => DEVICES,
            4 => ADDRESSES,
            _ => {
                let part = decode::<SnapshotPart>(body).map_err(ApplyError::Undecodable)?;
                apply_snapshot(&self.c, &self.scope, &[part], correction, NOW)?;
                return Ok(());
            }
        };
        let batch = Batch {
            epoch: Epoch(7),
            lane: 0,
            seq: 1,
            kind,
            version: 1,
            crc: 0,
            boot_id: String::new(),
            boot_ms: 0,
            closed: NOW,
            from: NOW,
            to: NOW,
            body: body.to_vec(),
        };
        apply_batch(
            &self.c,
            &self.scope,
            head & 0x80 != 0,
            &batch,
            correction,
            NOW,
        )?;
        Ok(())
    }
}

/// Into central.db, and taken back again.
fn applied(bytes: &[u8]) -> bool {
    thread_local! {
        static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
    }
    BENCH.with_borrow_mut(|bench| {
        let bench = bench.get_or_insert_with(Bench::new);
        bench.c.execute_batch("SAVEPOINT one").unwrap();
        let outcome = bench.apply(bytes);
        bench
            .c
            .execute_batch("ROLLBACK TO one; RELEASE one")
            .unwrap();
        match outcome {
            Ok(()) => true,
            Err(ApplyError::Store(error)) => {
                panic!("what a probe says is no reason for the store to refuse it: {error}")
            }
            Err(_) => false,
        }
    })
}

static PLACE: Place = Place {
    customer: Some(CustomerId::from_bytes([2; 16])),
    record: Uuid::from_u128(7),
    field: "secrets",
};

static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    Vault::from_key([9; 32])
        .seal(PLACE, br#"{"community":"public"}"#)
        .bytes
});

/// Only what was sealed opens.
fn sealed(bytes: &[u8]) -> bool {
    let vault = Vault::from_key([9; 32]);
    let opened = vault.unseal(
        PLACE,
        &Sealed {
            key_id: vault.key_id().to_owned(),
            bytes: bytes.to_vec(),
        },
    );
    assert_eq!(opened.is_ok(), bytes == *SEALED, "something else opened");
    opened.is_ok()
}

fn manifest(bytes: &[u8]) -> bool {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else {
        return false;
    };
    let again = serde_json::to_vec(&manifest).unwrap();
    let back: Manifest = serde_json::from_slice(&again).unwrap();
    assert_eq!(
        (back.files, back.created_at),
        (manifest.files, manifest.created_at)
    );
    true
}

fn config(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let read = Config::parse(Path::new("central.toml"), &text, &Overrides::default());
    if let Ok(config) = &read {
        assert!((1..=16).contains(&config.public_addresses.len()));
        let _ = (config.console(), config.https_names());
    }
    read.is_ok()
}
