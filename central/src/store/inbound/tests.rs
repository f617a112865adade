//! A probe tells its story; the tables must say the same.

use farwatch_shared::id::{ChannelId, CustomerId, ProbeId, SiteId};
use farwatch_shared::model::{Epoch, Lane};
use farwatch_shared::text::DeviceText;
use farwatch_shared::wire::encode;
use farwatch_shared::wire::message::batch::{DeviceRecord, InterfaceRecord};
use farwatch_shared::wire::message::session::{DeviceNow, InterfaceNow};

use super::*;

const T0: Timestamp = Timestamp(1_800_000_000_000);

struct Bench {
    c: Connection,
    scope: ProbeScope,
    seq: u64,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch(include_str!("../migrations/0001_first_light.sql"))
            .unwrap();
        let (customer, site) = (CustomerId::generate(), SiteId::generate());
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
            "INSERT INTO channels (id, name, kind, settings, created_ms) VALUES (?1, 'NOC', 'webhook', '{}', 0)",
            [ChannelId::generate()],
        )
        .unwrap();
        let scope = Self::enrol(&c, customer, site, "rtm-1");
        Self {
            c,
            scope,
            seq: 0,
            now: T0,
        }
    }

    fn enrol(c: &Connection, customer: CustomerId, site: SiteId, name: &str) -> ProbeScope {
        let probe = ProbeId::generate();
        c.execute(
            "INSERT INTO probes (id, customer_id, site_id, name, key_hash, created_ms, certificate_not_after_ms) VALUES (?1, ?2, ?3, ?4, x'', 0, 0)",
            params![probe, customer, site, name],
        )
        .unwrap();
        ProbeScope::new(customer, site, probe)
    }

    fn batch(&mut self, kind: u16, body: Vec<u8>) -> Batch {
        self.seq += 1;
        Batch {
            epoch: Epoch::new(1, 1),
            lane: Lane::Events.code(),
            seq: self.seq,
            kind,
            version: 1,
            crc: 0,
            boot_id: String::new(),
            boot_ms: 0,
            closed: self.now,
            from: self.now,
            to: self.now,
            body,
        }
    }

    fn devices(&mut self, devices: Vec<DeviceRecord>) -> Effects {
        let batch = self.batch(batch::DEVICES, encode(&DevicesBody { devices }));
        apply_batch(
            &self.c,
            &self.scope,
            true,
            &batch,
            ClockCorrection::default(),
            self.now,
        )
        .unwrap()
    }

    fn event(
        &mut self,
        live: bool,
        kind: EventKind,
        device: u32,
        state: DeviceState,
        at: Timestamp,
    ) -> Effects {
        self.event_with(live, kind, device, state, at, &[])
    }

    fn event_with(
        &mut self,
        live: bool,
        kind: EventKind,
        device: u32,
        state: DeviceState,
        at: Timestamp,
        detail: &[(&str, &str)],
    ) -> Effects {
        let event = EventRecord {
            at,
            kind: kind.code(),
            severity: 0,
            device: farwatch_shared::model::DeviceNo(device),
            instance: farwatch_shared::model::InstanceNo(0),
            state: state.code(),
            text: DeviceText::from("no answer to 4 pings"),
            detail: detail
                .iter()
                .map(|(name, value)| ((*name).to_owned(), DeviceText::from(*value)))
                .collect(),
        };
        let batch = self.batch(
            batch::EVENTS,
            encode(&EventsBody {
                events: vec![event],
            }),
        );
        apply_batch(
            &self.c,
            &self.scope,
            live,
            &batch,
            ClockCorrection::default(),
            self.now,
        )
        .unwrap()
    }

    fn snapshot(&self, devices: Vec<DeviceNow>) -> Effects {
        let part = SnapshotPart {
            lease: 1,
            part: 0,
            parts: 1,
            epoch: Epoch::new(1, 1),
            events_from_seq: 1,
            samples_from_seq: 1,
            at: self.now,
            devices,
            interfaces: vec![InterfaceNow {
                device: farwatch_shared::model::DeviceNo(1),
                instance: farwatch_shared::model::InstanceNo(1),
                admin: 1,
                oper: 2,
                since: self.now,
            }],
        };
        apply_snapshot(
            &self.c,
            &self.scope,
            &[part],
            ClockCorrection::default(),
            self.now,
        )
        .unwrap()
    }

    fn one<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        self.c
            .query_row(sql, [], |row| row.get(0))
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

fn record(no: u32, address: &str, serial: &str) -> DeviceRecord {
    let mut evidence = vec![("address".to_owned(), DeviceText::from(address))];
    if !serial.is_empty() {
        evidence.push(("serial".to_owned(), DeviceText::from(serial)));
    }
    DeviceRecord {
        device: no,
        at: T0,
        address: address.to_owned(),
        snmp: "v2c".to_owned(),
        sys_name: DeviceText::from(format!("dev-{no}")),
        serial: DeviceText::from(serial),
        evidence,
        interfaces: vec![InterfaceRecord {
            instance: 1,
            if_index: 7,
            name: DeviceText::from("eth0"),
            present: true,
            ..Default::default()
        }],
        ..DeviceRecord::default()
    }
}

fn device_now(no: u32, state: DeviceState, since: Timestamp, behind: u32) -> DeviceNow {
    DeviceNow {
        device: farwatch_shared::model::DeviceNo(no),
        state: state.code(),
        since,
        reason: "no answer to 4 pings".to_owned(),
        behind: farwatch_shared::model::DeviceNo(behind),
        uptime_ms: -1,
        last_ping: Timestamp(0),
        last_snmp: Timestamp(0),
    }
}

#[test]
fn a_probe_that_is_replaced_finds_the_same_devices_and_interfaces_again() {
    let mut bench = Bench::new();
    bench.devices(vec![
        record(1, "10.0.0.1", "FCW1"),
        record(2, "10.0.0.2", ""),
    ]);
    let before: String =
        bench.one("SELECT group_concat(hex(id)) FROM (SELECT id FROM devices ORDER BY id)");
    // A new probe at the same site numbers them the other way round, and one has moved to another address.
    bench.scope = Bench::enrol(
        &bench.c,
        bench.scope.customer(),
        bench.scope.site(),
        "rtm-2",
    );
    bench.devices(vec![
        record(1, "10.0.0.2", ""),
        record(2, "10.0.0.9", "FCW1"),
    ]);
    let after: String =
        bench.one("SELECT group_concat(hex(id)) FROM (SELECT id FROM devices ORDER BY id)");
    assert_eq!(before, after);
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM interfaces"), 2);
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM interface_numbers"),
        4
    );
    assert_eq!(bench.one::<String>("SELECT address FROM devices d JOIN device_evidence e ON e.device_id = d.id WHERE e.value = 'FCW1'"), "10.0.0.9");
}

#[test]
fn another_serial_at_the_same_address_is_another_device() {
    let mut bench = Bench::new();
    bench.devices(vec![record(1, "10.0.0.1", "OLD")]);
    bench.devices(vec![record(2, "10.0.0.1", "NEW")]);
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM devices"), 2);
}

#[test]
fn what_one_probe_tells_apart_is_never_merged() {
    let mut bench = Bench::new();
    // Two devices with a cloned serial: the probe has seen both at once.
    bench.devices(vec![
        record(1, "10.0.0.1", "CLONE"),
        record(2, "10.0.0.2", "CLONE"),
    ]);
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM devices"), 2);
}

#[test]
fn the_same_address_at_two_sites_is_two_devices() {
    let mut bench = Bench::new();
    bench.devices(vec![record(1, "192.168.1.1", "")]);
    let site = SiteId::generate();
    bench
        .c
        .execute(
            "INSERT INTO sites (id, customer_id, name, created_ms) VALUES (?1, ?2, 'Lyon', 0)",
            params![site, bench.scope.customer()],
        )
        .unwrap();
    bench.scope = Bench::enrol(&bench.c, bench.scope.customer(), site, "lyo-1");
    bench.devices(vec![record(1, "192.168.1.1", "")]);
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM devices"), 2);
}

#[test]
fn a_device_that_goes_down_opens_one_incident_and_its_return_resolves_it() {
    let mut bench = Bench::new();
    bench.devices(vec![record(1, "10.0.0.1", "A")]);
    let effects = bench.event(true, EventKind::DeviceDown, 1, DeviceState::Down, T0);
    assert!(effects.has_incidents());
    bench.event(true, EventKind::DeviceDown, 1, DeviceState::Down, T0);
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM incidents"), 1);
    assert_eq!(
        bench.one::<String>("SELECT title FROM incidents"),
        "dev-1 is down"
    );
    bench.now = T0.plus_ms(60_000);
    bench.event(true, EventKind::DeviceUp, 1, DeviceState::Up, bench.now);
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM incidents WHERE resolved_ms IS NULL"),
        0
    );
    assert_eq!(
        bench.one::<String>("SELECT group_concat(what) FROM (SELECT what FROM outbox ORDER BY id)"),
        "opened,resolved"
    );
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM device_states"), 2);
}

/// Notifications that would have gone out by now, in order.
const TOLD: &str = "SELECT coalesce(group_concat(what), '') FROM (SELECT what FROM outbox WHERE next_ms <= ?1 ORDER BY id)";

impl Bench {
    fn told(&self) -> String {
        self.c
            .query_row(TOLD, [self.now], |row| row.get(0))
            .unwrap()
    }

    fn after_s(&mut self, seconds: i64, state: DeviceState) {
        self.now = self.now.plus_ms(seconds * 1_000);
        let kind = match state {
            DeviceState::Down => EventKind::DeviceDown,
            _ => EventKind::DeviceUp,
        };
        self.event(true, kind, 1, state, self.now);
    }
}

#[test]
fn a_device_that_comes_and_goes_is_one_incident_and_one_page() {
    let mut bench = Bench::new();
    bench.devices(vec![record(1, "10.0.0.1", "A")]);
    for _ in 0..600 {
        bench.after_s(2, DeviceState::Down);
        bench.after_s(1, DeviceState::Up);
    }
    assert_eq!(bench.told(), "opened,resolved");
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM incidents"), 1);
    assert_eq!(
        bench.one::<String>("SELECT title FROM incidents"),
        "dev-1 is down, 600 times in 30 min"
    );
    assert_eq!(
        bench.one::<i64>(
            "SELECT count(*) FROM incident_entries WHERE kind IN ('opened', 'resolved')"
        ),
        1_200
    );
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM device_states"),
        1_200
    );
}

#[test]
fn a_device_that_came_back_and_fails_for_good_is_told_after_three_minutes() {
    let mut bench = Bench::new();
    bench.devices(vec![record(1, "10.0.0.1", "A")]);
    bench.after_s(1, DeviceState::Down);
    bench.after_s(60, DeviceState::Up);
    bench.after_s(60, DeviceState::Down);
    let open = "SELECT count(*) FROM incidents WHERE resolved_ms IS NULL";
    assert_eq!(bench.one::<i64>(open), 1, "the console shows it at once");
    bench.now = bench.now.plus_ms(179_000);
    assert_eq!(bench.told(), "opened,resolved");
    bench.now = bench.now.plus_ms(1_000);
    assert_eq!(bench.told(), "opened,resolved,opened");
    bench.after_s(600, DeviceState::Up);
    assert_eq!(bench.told(), "opened,resolved,opened,resolved");
    assert_eq!(
        bench.one::<i64>("SELECT count(DISTINCT dedup_key) FROM outbox"),
        4
    );
}

#[test]
fn an_outage_half_an_hour_after_the_last_is_another_incident() {
    let mut bench = Bench::new();
    bench.devices(vec![record(1, "10.0.0.1", "A")]);
    bench.after_s(1, DeviceState::Down);
    bench.after_s(60, DeviceState::Up);
    bench.after_s(30 * 60, DeviceState::Down);
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM incidents"), 2);
    assert_eq!(bench.told(), "opened,resolved,opened");
}

#[test]
fn late_data_is_history_and_opens_nothing() {
    let mut bench = Bench::new();
    bench.devices(vec![record(1, "10.0.0.1", "A")]);
    bench.snapshot(vec![device_now(1, DeviceState::Up, T0, 0)]);
    let effects = bench.event(
        false,
        EventKind::DeviceDown,
        1,
        DeviceState::Down,
        T0.plus_ms(-3_600_000),
    );
    assert!(!effects.has_incidents());
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM incidents"), 0);
    assert_eq!(
        bench.one::<u8>("SELECT state FROM devices"),
        DeviceState::Up.code()
    );
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM events WHERE late = 1"),
        1
    );
    assert_eq!(
        bench.one::<u8>("SELECT state FROM device_states ORDER BY from_ms LIMIT 1"),
        DeviceState::Down.code()
    );
}

#[test]
fn a_condition_still_true_after_an_outage_is_news() {
    let mut bench = Bench::new();
    bench.devices(vec![record(1, "10.0.0.1", "A")]);
    bench.snapshot(vec![device_now(
        1,
        DeviceState::Down,
        T0.plus_ms(-1_000),
        0,
    )]);
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM incidents WHERE resolved_ms IS NULL"),
        1
    );
    assert_eq!(bench.one::<u8>("SELECT oper FROM interfaces"), 2);
    // Reconnecting ten times says it once.
    for _ in 0..10 {
        bench.snapshot(vec![device_now(
            1,
            DeviceState::Down,
            T0.plus_ms(-1_000),
            0,
        )]);
    }
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM outbox"), 1);
}

#[test]
fn devices_behind_a_device_that_is_down_are_held_back_under_its_incident() {
    let mut bench = Bench::new();
    bench.devices(
        (1..=5)
            .map(|no| record(no, &format!("10.0.0.{no}"), ""))
            .collect(),
    );
    let mut now: Vec<_> = (2..=5)
        .map(|no| device_now(no, DeviceState::Unreachable, T0, 1))
        .collect();
    now.push(device_now(1, DeviceState::Down, T0, 0));
    bench.snapshot(now);
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM incidents"), 1);
    assert_eq!(bench.one::<i64>("SELECT held_back FROM incidents"), 4);
    assert_eq!(
        bench.one::<String>("SELECT title FROM incidents"),
        "dev-1 is down, 4 unreachable behind it"
    );
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM outbox"), 1);
}

#[test]
fn a_live_event_says_behind_whom_a_device_stands() {
    let mut bench = Bench::new();
    bench.devices(vec![record(1, "10.0.0.1", "A"), record(2, "10.0.0.2", "B")]);
    bench.event(true, EventKind::DeviceDown, 1, DeviceState::Down, T0);
    bench.event_with(
        true,
        EventKind::DeviceUnreachable,
        2,
        DeviceState::Unreachable,
        T0,
        &[("behind", "1")],
    );
    assert_eq!(
        bench.one::<String>("SELECT title FROM incidents"),
        "dev-1 is down, 1 unreachable behind it"
    );
}

#[test]
fn a_site_that_nothing_answers_from_is_one_incident_until_its_last_device_is_judged() {
    let mut bench = Bench::new();
    bench.devices(
        (1..=4)
            .map(|no| record(no, &format!("10.0.0.{no}"), ""))
            .collect(),
    );
    for no in 1..=4 {
        let (kind, state) = (EventKind::DeviceUnreachable, DeviceState::Unreachable);
        bench.event(true, kind, no, state, T0);
    }
    let open = "SELECT count(*) FROM incidents WHERE resolved_ms IS NULL";
    assert_eq!(bench.one::<i64>(open), 1);
    assert_eq!(
        bench.one::<String>("SELECT kind || ': ' || consequence FROM incidents"),
        "site_unreachable: 4 devices unreachable"
    );
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM outbox"), 1);
    // The same states again, as a reconnect tells them: no news.
    bench.snapshot(
        (1..=4)
            .map(|no| device_now(no, DeviceState::Unreachable, T0, 0))
            .collect(),
    );
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM incidents"), 1);
    // Late news open nothing and end nothing.
    bench.event(false, EventKind::DeviceUp, 1, DeviceState::Up, T0);
    assert_eq!(bench.one::<i64>(open), 1);
    for no in 1..=3 {
        bench.event(true, EventKind::DeviceUp, no, DeviceState::Up, bench.now);
    }
    assert_eq!(bench.one::<i64>(open), 1, "one is still out of reach");
    bench.event(true, EventKind::DeviceDown, 4, DeviceState::Down, bench.now);
    assert_eq!(
        bench.one::<String>("SELECT kind FROM incidents WHERE resolved_ms IS NULL"),
        "device_down",
        "it is its own fault"
    );
    assert_eq!(bench.one::<i64>(open), 1);
}

#[test]
fn a_muted_device_stays_quiet_and_a_hand_resolved_outage_stays_resolved() {
    let mut bench = Bench::new();
    bench.devices(vec![record(1, "10.0.0.1", "A"), record(2, "10.0.0.2", "B")]);
    bench
        .c
        .execute(
            "UPDATE devices SET muted_until_ms = ?1 WHERE name = 'dev-1'",
            [T0.plus_ms(60_000)],
        )
        .unwrap();
    bench.event(true, EventKind::DeviceDown, 1, DeviceState::Down, T0);
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM incidents"), 0);
    bench.event(true, EventKind::DeviceDown, 2, DeviceState::Down, T0);
    let incident = bench.one::<i64>("SELECT id FROM incidents");
    let mut effects = Effects::new(bench.scope.customer(), bench.scope.site());
    bench.now = T0.plus_ms(5_000);
    rules::resolve(&bench.c, incident, "ada", "known", bench.now, &mut effects).unwrap();
    bench.snapshot(vec![device_now(2, DeviceState::Down, T0, 0)]);
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM incidents WHERE resolved_ms IS NULL"),
        0
    );
    // The next outage is another one.
    bench.now = T0.plus_ms(100_000);
    bench.event(true, EventKind::DeviceUp, 2, DeviceState::Up, bench.now);
    bench.now = T0.plus_ms(200_000);
    bench.event(true, EventKind::DeviceDown, 2, DeviceState::Down, bench.now);
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM incidents WHERE resolved_ms IS NULL"),
        1
    );
}

#[test]
fn a_state_that_comes_before_its_record_waits_for_it() {
    let mut bench = Bench::new();
    bench.snapshot(vec![device_now(9, DeviceState::Down, T0, 0)]);
    bench.event(true, EventKind::DeviceFound, 9, DeviceState::Down, T0);
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM incidents"), 0);
    bench.devices(vec![record(9, "10.0.0.9", "")]);
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM incidents WHERE resolved_ms IS NULL"),
        1
    );
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM events WHERE device_id IS NOT NULL"),
        1
    );
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM orphan_states"), 0);
}

#[test]
fn a_silent_probe_is_one_incident_and_its_devices_are_not_green_meanwhile() {
    let mut bench = Bench::new();
    bench.devices(
        (1..=3)
            .map(|no| record(no, &format!("10.0.0.{no}"), ""))
            .collect(),
    );
    let up = |bench: &Bench| {
        (1..=3)
            .map(|no| device_now(no, DeviceState::Up, bench.now.plus_ms(-10_000), 0))
            .collect::<Vec<_>>()
    };
    bench.snapshot(up(&bench));
    let (customer, site, probe) = (
        bench.scope.customer(),
        bench.scope.site(),
        bench.scope.probe(),
    );
    let mut effects = Effects::new(customer, site);
    bench.now = T0.plus_ms(70_000);
    rules::probe_is_silent(&bench.c, customer, site, probe, T0, bench.now, &mut effects).unwrap();
    probe_fell_silent(&bench.c, probe, T0).unwrap();
    assert_eq!(
        bench.one::<String>("SELECT title || '; ' || consequence FROM incidents"),
        "Probe rtm-1 stopped reporting; 3 devices are stale"
    );
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM device_states WHERE state = 3"),
        3
    );
    bench.now = T0.plus_ms(200_000);
    bench.snapshot(up(&bench));
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM incidents WHERE resolved_ms IS NULL"),
        0
    );
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM device_states WHERE state = 3"),
        0,
        "the probe kept watching"
    );
}

#[test]
fn a_start_says_when_nobody_watched() {
    let mut bench = Bench::new();
    bench.devices(vec![record(1, "10.0.0.1", "")]);
    bench.snapshot(vec![device_now(
        1,
        DeviceState::Up,
        T0.plus_ms(-100_000),
        0,
    )]);
    let body = EventsBody {
        events: vec![EventRecord {
            at: T0,
            kind: EventKind::ProbeStarted.code(),
            severity: 4,
            device: farwatch_shared::model::DeviceNo(0),
            instance: farwatch_shared::model::InstanceNo(0),
            state: 255,
            text: DeviceText::from("started"),
            detail: vec![
                (
                    "off_from_ms".to_owned(),
                    DeviceText::from((T0.0 - 50_000).to_string()),
                ),
                ("off_to_ms".to_owned(), DeviceText::from(T0.0.to_string())),
            ],
        }],
    };
    let batch = bench.batch(batch::EVENTS, encode(&body));
    apply_batch(
        &bench.c,
        &bench.scope,
        true,
        &batch,
        ClockCorrection::default(),
        bench.now,
    )
    .unwrap();
    assert_eq!(
        bench.one::<String>(
            "SELECT group_concat(state) FROM (SELECT state FROM device_states ORDER BY from_ms)"
        ),
        "5,3,5"
    );
}

#[test]
fn a_wrong_probe_clock_is_corrected_and_never_in_the_future() {
    let mut bench = Bench::new();
    bench.devices(vec![record(1, "10.0.0.1", "")]);
    let event = |at| {
        encode(&EventsBody {
            events: vec![EventRecord {
                at,
                kind: EventKind::DeviceDown.code(),
                severity: 0,
                device: farwatch_shared::model::DeviceNo(1),
                instance: farwatch_shared::model::InstanceNo(0),
                state: 0,
                text: DeviceText::default(),
                detail: Vec::new(),
            }],
        })
    };
    let decade = 10 * 365 * 86_400_000;
    let correction = ClockCorrection {
        offset_ms: decade,
        approximate: false,
    };
    let batch = bench.batch(batch::EVENTS, event(T0.plus_ms(-decade - 1_000)));
    apply_batch(&bench.c, &bench.scope, true, &batch, correction, bench.now).unwrap();
    assert_eq!(bench.one::<i64>("SELECT at_ms FROM events"), T0.0 - 1_000);
    let batch = bench.batch(batch::EVENTS, event(T0.plus_ms(decade)));
    apply_batch(
        &bench.c,
        &bench.scope,
        true,
        &batch,
        ClockCorrection::default(),
        bench.now,
    )
    .unwrap();
    assert_eq!(bench.one::<i64>("SELECT max(at_ms) FROM events"), T0.0);
}

#[test]
fn garbage_and_later_versions_are_told_apart_and_change_nothing() {
    let mut bench = Bench::new();
    let garbage = bench.batch(batch::DEVICES, vec![0xff; 300]);
    assert!(matches!(
        apply_batch(
            &bench.c,
            &bench.scope,
            true,
            &garbage,
            ClockCorrection::default(),
            bench.now
        ),
        Err(ApplyError::Undecodable(_))
    ));
    let later = Batch {
        version: 9,
        ..bench.batch(batch::DEVICES, Vec::new())
    };
    assert!(matches!(
        apply_batch(
            &bench.c,
            &bench.scope,
            true,
            &later,
            ClockCorrection::default(),
            bench.now
        ),
        Err(ApplyError::Unknown { version: 9, .. })
    ));
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM devices"), 0);
}

#[test]
fn a_port_that_was_down_before_the_probe_started_is_down_since_then() {
    let mut bench = Bench::new();
    bench.devices(vec![record(1, "10.0.0.1", "A")]);
    let since = "SELECT oper_since_ms FROM interfaces";
    bench.snapshot(Vec::new());
    let first = bench.one::<i64>(since);
    assert_eq!(first, bench.now.ms());
    bench.now = bench.now.plus_ms(600_000);
    bench.snapshot(Vec::new());
    assert_eq!(bench.one::<i64>(since), first);
}
