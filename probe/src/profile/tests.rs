//! Small profiles on small recordings, and the whole library on real ones where they are at hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use farwatch_shared::profile::model::{Fact, Status};
use farwatch_shared::profile::{Library, SourceFile};

use super::ask::{Asked, Begun, Want, ask};
use crate::snmp::recording::{Recording, Recordings};
use crate::snmp::{Auth, Limits, Target};

const SYSTEM: &str =
    "1.3.6.1.2.1.1.1.0|4|Acme OS Version 7.2(3), build 9\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99.1.5\n";

async fn asked(files: &[(&str, &str)], recording: &str) -> Asked {
    let files = files
        .iter()
        .map(|(name, text)| SourceFile {
            name: Arc::from(*name),
            text: (*text).to_owned().into(),
        })
        .collect();
    let (library, notes) = Library::load(vec![files]);
    let notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes, Vec::<String>::new());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 161));
    let mut agents = Recordings::default();
    agents.insert(
        address,
        Recording::parse(format!("{SYSTEM}{recording}").as_bytes()).unwrap(),
    );
    let target = Target::new(address, Auth::v2c("public"));
    ask(
        &library,
        &agents,
        &target,
        Limits::default(),
        Begun::default(),
        Want::All,
    )
    .await
    .unwrap()
}

/// A profile for the device of [`SYSTEM`] that says this besides.
fn acme(more: &str) -> String {
    format!("selector: [{{sysobjectid: ['1.3.6.1.4.1.99.*']}}]\n{more}")
}

/// Kind, name, value, status of each sensor.
async fn sensors(
    profile: &str,
    recording: &str,
) -> Vec<(String, String, Option<f64>, Option<Status>)> {
    let asked = asked(&[("acme.yaml", &acme(profile))], recording).await;
    let sensors = asked.known.sensors.into_iter();
    sensors
        .map(|sensor| {
            (
                sensor.kind.word().to_owned(),
                sensor.name,
                sensor.value,
                sensor.status,
            )
        })
        .collect()
}

fn named(kind: &str, name: &str, value: f64) -> (String, String, Option<f64>, Option<Status>) {
    (kind.to_owned(), name.to_owned(), Some(value), None)
}

#[tokio::test]
async fn facts_come_from_the_first_source_that_says_something() {
    let fields = r#"
metadata:
  device:
    fields:
      vendor: {value: Acme}
      os_version:
        symbols:
          - {OID: 1.3.6.1.4.1.99.2.1.0, name: acmeVersion}
          - {OID: 1.3.6.1.2.1.1.1.0, name: sysDescr, match_pattern: 'Version ([\d.]+)\((\d+)\)', match_value: '$1.$2'}
      model: {symbols: [{OID: 1.3.6.1.4.1.99.3.1.2, name: unitModel, row: first, columns: [{OID: 1.3.6.1.4.1.99.3.1.1, name: unitClass}], where: [{column: unitClass, equals: [3]}]}]}
      serial: {template: "{a}-{b}", symbols_all: [{OID: 1.3.6.1.4.1.99.4.1.0, name: a}, {OID: 1.3.6.1.4.1.99.4.2.0, name: b}]}
      role: {symbols: [{OID: 1.3.6.1.4.1.99.5.0, name: kind, mapping: {2: Access Point}}], value: switch}
"#;
    let recording = "1.3.6.1.4.1.99.2.1.0|4|  \n1.3.6.1.4.1.99.3.1.1.1|2|9\n1.3.6.1.4.1.99.3.1.1.2|2|3\n\
        1.3.6.1.4.1.99.3.1.2.1|4|Fan tray\n1.3.6.1.4.1.99.3.1.2.2|4|AX  100\n1.3.6.1.4.1.99.4.1.0|4|S1\n\
        1.3.6.1.4.1.99.4.2.0|2|7\n1.3.6.1.4.1.99.5.0|2|2\n";
    let known = asked(&[("acme.yaml", &acme(fields))], recording)
        .await
        .known;
    for (fact, text) in [
        (Fact::Vendor, "Acme"),
        (Fact::OsVersion, "7.2.3"),
        (Fact::Model, "AX 100"),
        (Fact::Serial, "S1-7"),
        (Fact::Role, "access_point"),
    ] {
        assert_eq!(known.fact(fact), Some(text), "{fact:?}");
    }
    let known = asked(&[("acme.yaml", &acme(fields))], "").await.known;
    assert_eq!(known.fact(Fact::Role), Some("switch"));
    assert_eq!(known.fact(Fact::Serial), None, "half a serial is none");
}

#[tokio::test]
async fn numbers_are_scaled_as_the_device_says() {
    let items = r"
sensors:
  - table: {OID: 1.3.6.1.4.1.99.10.1, name: probes}
    columns:
      - {OID: 1.3.6.1.4.1.99.10.1.2, name: kind}
      - {OID: 1.3.6.1.4.1.99.10.1.3, name: decimals}
      - {OID: 1.3.6.1.4.1.99.10.1.5, name: board}
      - {OID: 1.3.6.1.4.1.99.11.1.2, name: boardName, via: board}
      - {OID: 1.3.6.1.4.1.99.12.1.2, name: slot, index_transform: [{start: 0, end: 0}]}
    name: '{boardName} {slot} {index.2}'
    values:
      - kind: {column: kind, mapping: {1: temperature, 2: voltage}}
        OID: 1.3.6.1.4.1.99.10.1.4
        name: value
        exponent: [{column: decimals, negate: true}]
        where: [{value: true, not: [-999]}]
";
    let recording = "1.3.6.1.4.1.99.10.1.2.7.1|2|1\n1.3.6.1.4.1.99.10.1.2.7.2|2|2\n1.3.6.1.4.1.99.10.1.2.7.3|2|9\n1.3.6.1.4.1.99.10.1.2.7.4|2|1\n\
        1.3.6.1.4.1.99.10.1.3.7.1|2|1\n1.3.6.1.4.1.99.10.1.3.7.2|2|3\n1.3.6.1.4.1.99.10.1.3.7.3|2|0\n1.3.6.1.4.1.99.10.1.3.7.4|2|0\n\
        1.3.6.1.4.1.99.10.1.4.7.1|2|235\n1.3.6.1.4.1.99.10.1.4.7.2|4|12034 mV\n1.3.6.1.4.1.99.10.1.4.7.3|2|1\n1.3.6.1.4.1.99.10.1.4.7.4|2|-999\n\
        1.3.6.1.4.1.99.10.1.5.7.1|2|4\n1.3.6.1.4.1.99.10.1.5.7.2|6|.0.4\n1.3.6.1.4.1.99.11.1.2.4|4|Board A\n1.3.6.1.4.1.99.12.1.2.7|4|Slot 7\n";
    assert_eq!(
        sensors(items, recording).await,
        [
            named("temperature", "Board A Slot 7 1", 23.5),
            named("voltage", "Slot 7 2", 12.034)
        ]
    );
}

#[tokio::test]
async fn units_of_the_device_become_peoples() {
    let items = r"
sensors:
  - name: Scalars
    columns: [{OID: 1.3.6.1.4.1.99.20.9.0, name: unit}, {OID: 1.3.6.1.4.1.99.20.8.0, name: most}]
    values:
      - {kind: temperature, OID: 1.3.6.1.4.1.99.20.1.0, name: f, label: In, convert: {column: unit, mapping: {1: none, 2: fahrenheit_to_celsius}}}
      - {kind: temperature, OID: 1.3.6.1.4.1.99.20.2.0, name: k, label: Out, convert: kelvin_to_celsius}
      - {kind: dbm, OID: 1.3.6.1.4.1.99.20.3.0, name: w, scale_factor: 0.000001, convert: watt_to_dbm}
      - {kind: level, OID: 1.3.6.1.4.1.99.20.4.0, name: l, divide_by: {column: most, times: 100}}
      - {kind: state, OID: 1.3.6.1.4.1.99.20.5.0, name: s, mapping: {1: ok, 2: {status: critical, word: failed}, 5: absent}}
      - {kind: state, OID: 1.3.6.1.4.1.99.20.6.0, name: t, mapping: {5: absent}}
";
    let recording = "1.3.6.1.4.1.99.20.1.0|2|212\n1.3.6.1.4.1.99.20.2.0|68x|9f780443898000\n1.3.6.1.4.1.99.20.3.0|2|500\n\
        1.3.6.1.4.1.99.20.4.0|2|30\n1.3.6.1.4.1.99.20.5.0|2|2\n1.3.6.1.4.1.99.20.6.0|2|5\n1.3.6.1.4.1.99.20.8.0|2|40\n1.3.6.1.4.1.99.20.9.0|2|2\n";
    let mut state = named("state", "Scalars", 2.0);
    state.3 = Some(Status::Critical);
    assert_eq!(
        sensors(items, recording).await,
        [
            named("temperature", "Scalars In", 100.0),
            named("temperature", "Scalars Out", 1.85),
            named("dbm", "Scalars", -3.01),
            named("level", "Scalars", 75.0),
            state,
        ]
    );
}

#[tokio::test]
async fn what_shares_a_name_is_told_apart() {
    let items = r"
sensors:
  - table: {OID: 1.3.6.1.4.1.99.30.1, name: fans}
    columns: [{OID: 1.3.6.1.4.1.99.30.1.2, name: label}, {OID: 1.3.6.1.4.1.99.30.1.3, name: bay}]
    name: '{label}'
    same_name: '{label} bay {bay}'
    values: [{kind: fan, OID: 1.3.6.1.4.1.99.30.1.4, name: rpm}]
";
    let recording = "1.3.6.1.4.1.99.30.1.2.1|4|Fan\n1.3.6.1.4.1.99.30.1.2.2|4|Fan\n1.3.6.1.4.1.99.30.1.2.3|4|Fan\n1.3.6.1.4.1.99.30.1.2.4|4|Pump\n\
        1.3.6.1.4.1.99.30.1.3.1|2|1\n1.3.6.1.4.1.99.30.1.3.2|2|2\n1.3.6.1.4.1.99.30.1.3.3|2|2\n\
        1.3.6.1.4.1.99.30.1.4.1|2|10\n1.3.6.1.4.1.99.30.1.4.2|2|20\n1.3.6.1.4.1.99.30.1.4.3|2|30\n1.3.6.1.4.1.99.30.1.4.4|2|40\n";
    let names: Vec<String> = sensors(items, recording)
        .await
        .into_iter()
        .map(|sensor| sensor.1)
        .collect();
    assert_eq!(
        names,
        ["Fan bay 1", "Fan bay 2 (2)", "Fan bay 2 (3)", "Pump"]
    );
}

#[tokio::test]
async fn a_generic_profile_gives_way_to_one_that_knows_more() {
    let own = acme(
        "sensors:\n- {name: Battery, values: [{kind: charge, OID: 1.3.6.1.4.1.99.40.1.0, name: c}, {kind: voltage, OID: 1.3.6.1.2.1.33.1.2.5.0, name: v}]}",
    );
    let generic = "generic: true\nselector: [{present: [{OID: 1.3.6.1.2.1.33, name: upsMIB}]}]\nsensors:\n\
        - {name: Battery 1, values: [{kind: charge, OID: 1.3.6.1.2.1.33.1.2.4.0, name: c}, {kind: temperature, OID: 1.3.6.1.2.1.33.1.2.7.0, name: t}]}\n\
        - {name: Voltage, values: [{kind: voltage, OID: 1.3.6.1.2.1.33.1.2.5.0, name: v}]}";
    let recording = "1.3.6.1.2.1.33.1.2.4.0|2|50\n1.3.6.1.2.1.33.1.2.5.0|2|27\n1.3.6.1.2.1.33.1.2.7.0|2|30\n1.3.6.1.4.1.99.40.1.0|2|51\n";
    let files = [("a-generic.yaml", generic), ("own.yaml", own.as_str())];
    let known = asked(&files, recording).await.known;
    let names: Vec<_> = known
        .sensors
        .iter()
        .map(|s| (s.kind.word(), s.name.as_str(), s.value))
        .collect();
    assert_eq!(
        names,
        [
            ("charge", "Battery", Some(51.0)),
            ("voltage", "Battery", Some(27.0)),
            ("temperature", "Battery 1", Some(30.0)),
        ]
    );
    let silent = format!("instead_of: [a-generic.yaml]\n{own}");
    let known = asked(
        &[("a-generic.yaml", generic), ("own.yaml", &silent)],
        recording,
    )
    .await
    .known;
    assert_eq!(known.sensors.len(), 2);
    let order: Vec<&str> = known.profiles.iter().map(|(name, _)| &**name).collect();
    assert_eq!(order, ["own.yaml", "a-generic.yaml"]);
}

#[tokio::test]
async fn storage_and_processors_are_worked_out_from_what_there_is() {
    let items = r"
storage:
  - table: {OID: 1.3.6.1.4.1.99.50.1, name: disks}
    columns: [{OID: 1.3.6.1.4.1.99.50.1.2, name: unit}]
    name: 'disk {index}'
    kind: disk
    unit: {column: unit}
    size: {OID: 1.3.6.1.4.1.99.50.1.3, name: size}
    used: {OID: 1.3.6.1.4.1.99.50.1.4, name: used}
  - {name: RAM, kind: memory, used_percent: {OID: 1.3.6.1.4.1.99.51.0, name: ram}}
processors:
  - {name: CPU, idle: {OID: 1.3.6.1.4.1.99.52.0, name: idle}}
";
    let recording = "1.3.6.1.4.1.99.50.1.2.1|2|4096\n1.3.6.1.4.1.99.50.1.2.2|2|1\n1.3.6.1.4.1.99.50.1.3.1|2|-1\n1.3.6.1.4.1.99.50.1.3.2|2|10\n\
        1.3.6.1.4.1.99.50.1.4.1|2|2147483648\n1.3.6.1.4.1.99.50.1.4.2|2|20\n1.3.6.1.4.1.99.51.0|66|40\n1.3.6.1.4.1.99.52.0|4|87.5 %\n";
    let known = asked(&[("acme.yaml", &acme(items))], recording).await.known;
    let storage: Vec<_> = known
        .storage
        .iter()
        .map(|s| (s.name.as_str(), s.size_bytes, s.used_percent))
        .collect();
    assert_eq!(
        storage,
        [
            ("disk 1", Some(4_294_967_295.0 * 4_096.0), Some(50.0)),
            ("disk 2", None, None),
            ("RAM", None, Some(40.0)),
        ]
    );
    assert!((known.processors[0].load_ratio - 0.125).abs() < 1e-9);
}

#[tokio::test]
async fn metrics_of_the_public_format_carry_their_tags() {
    let items = r"
metrics:
  - {MIB: ACME, symbol: {OID: 1.3.6.1.4.1.99.60.0, name: acmeSessions, scale_factor: 2, chart_meta: {unit: '{session}'}}}
  - MIB: ACME
    table: {OID: 1.3.6.1.4.1.99.61, name: acmeTable}
    symbols:
      - {OID: 1.3.6.1.4.1.99.61.1.3, name: acmeIn, metric_type: rate}
      - {OID: 1.3.6.1.4.1.99.61.1.4, name: acmeState, mapping: {1: up, 2: down}}
      - {OID: 1.3.6.1.4.1.99.61.1.5, name: _hidden}
    metric_tags:
      - {tag: port, symbol: {OID: 1.3.6.1.4.1.99.61.1.2, name: acmeName}}
      - {tag: name, symbol: {OID: 1.3.6.1.2.1.31.1.1.1.1, name: ifName}, table: ifXTable, index_transform: [{start: 1, end: 1}]}
      - {tag: unit, index: 1, mapping: {7: seven}}
";
    let recording = "1.3.6.1.2.1.31.1.1.1.1.3|4|ge-0/0/3\n1.3.6.1.4.1.99.60.0|66|21\n1.3.6.1.4.1.99.61.1.2.7.3|4|Port 3\n\
        1.3.6.1.4.1.99.61.1.3.7.3|65|100\n1.3.6.1.4.1.99.61.1.4.7.3|2|2\n1.3.6.1.4.1.99.61.1.5.7.3|2|2\n";
    let known = asked(&[("acme.yaml", &acme(items))], recording).await.known;
    let shown: Vec<String> = known
        .metrics
        .iter()
        .map(|m| format!("{} {:?} {:?} {:?}", m.name, m.value, m.word, m.tags))
        .collect();
    let tags = r#"{"name": "ge-0/0/3", "port": "Port 3", "unit": "seven"}"#;
    assert_eq!(
        shown,
        [
            "acmeSessions Some(42.0) None {}".to_owned(),
            format!("acmeIn Some(100.0) None {tags}"),
            format!("acmeState Some(2.0) Some(\"down\") {tags}"),
        ]
    );
}
