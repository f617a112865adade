use std::net::SocketAddr;
use std::path::PathBuf;

use super::*;
use crate::snmp::recording::{Recording, Recordings};
use crate::snmp::{Auth, Limits, Snmp as _, Target};

/// Reads a plan from a recording, as the engine would from the device.
pub(crate) fn answer(recording: Recording, plan: &Plan) -> Reading {
    let address: SocketAddr = "192.0.2.1:161".parse().unwrap();
    let devices: Recordings = [(address, recording)].into_iter().collect();
    let target = Target::new(address, Auth::v2c("public"));
    use futures::FutureExt as _;
    let reading = devices
        .read(&target, plan, Limits::default())
        .now_or_never()
        .expect("a recording answers at once");
    reading.unwrap()
}

pub(in super::super) fn recording(lines: &[&str]) -> Recording {
    Recording::parse(lines.join("\n").as_bytes()).unwrap()
}

#[test]
fn a_switch_says_who_it_is() {
    let facts = Facts::read(&answer(
        recording(&[
            "1.3.6.1.2.1.1.1.0|4|Test switch",
            "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.9.1.1208",
            "1.3.6.1.2.1.1.3.0|67|12345",
            "1.3.6.1.2.1.1.5.0|4|sw1",
            "1.3.6.1.2.1.17.1.1.0|4x|001122334455",
            "1.3.6.1.6.3.10.2.1.1.0|4x|80001f8801",
            "1.3.6.1.2.1.2.2.1.2.1|4|GigabitEthernet0/1",
            "1.3.6.1.2.1.2.2.1.3.1|2|6",
            "1.3.6.1.2.1.2.2.1.5.1|66|4294967295",
            "1.3.6.1.2.1.2.2.1.6.1|4x|001122334456",
            "1.3.6.1.2.1.2.2.1.7.1|2|1",
            "1.3.6.1.2.1.2.2.1.8.1|2|1",
            "1.3.6.1.2.1.2.2.1.10.1|65|17",
            "1.3.6.1.2.1.31.1.1.1.1.1|4|Gi0/1",
            "1.3.6.1.2.1.31.1.1.1.6.1|70|17",
            "1.3.6.1.2.1.31.1.1.1.15.1|66|10000",
            "1.3.6.1.2.1.31.1.1.1.18.1|4|uplink",
            "1.3.6.1.2.1.4.20.1.2.10.0.0.1|2|1",
            "1.3.6.1.2.1.4.20.1.2.127.0.0.1|2|1",
            "1.3.6.1.2.1.47.1.1.1.1.5.1|2|9",
            "1.3.6.1.2.1.47.1.1.1.1.11.1|4|MODULE1",
            "1.3.6.1.2.1.47.1.1.1.1.5.2|2|3",
            "1.3.6.1.2.1.47.1.1.1.1.11.2|4|CHASSIS1",
            "1.3.6.1.2.1.47.1.1.1.1.13.2|4|WS-TEST",
        ]),
        &identity_plan(),
    ));
    assert_eq!(facts.sys_name.as_str(), "sw1");
    assert_eq!(facts.uptime_ticks, Some(12_345));
    assert_eq!(facts.engine_id, "80001f8801");
    assert_eq!(facts.chassis_mac, "00:11:22:33:44:55");
    assert!(facts.bridges && !facts.routes && facts.whole);
    assert_eq!(
        (facts.serial.as_str(), facts.model.as_str()),
        ("CHASSIS1", "WS-TEST")
    );
    assert_eq!(facts.addresses, vec!["10.0.0.1".parse::<IpAddr>().unwrap()]);
    let [port] = facts.interfaces.as_slice() else {
        panic!("one interface");
    };
    assert_eq!(
        (port.name.as_str(), port.descr.as_str(), port.alias.as_str()),
        ("Gi0/1", "GigabitEthernet0/1", "uplink")
    );
    assert_eq!(port.speed_bps, 10_000_000_000);
    let named: Vec<_> = plan::columns(port.mask)
        .map(|i| INTERFACE[i].name)
        .collect();
    assert_eq!(named, vec!["ifHCInOctets", "ifOperStatus", "ifAdminStatus"]);
}

#[test]
fn neighbours_are_read_with_their_ports_and_addresses() {
    let interfaces = [InterfaceFacts {
        if_index: 10_101,
        name: "Gi1/0/1".into(),
        ..InterfaceFacts::default()
    }];
    let around = Around::read(
        &answer(
            recording(&[
                "1.0.8802.1.1.2.1.3.7.1.2.1|2|5",
                "1.0.8802.1.1.2.1.3.7.1.3.1|4|Gi1/0/1",
                "1.0.8802.1.1.2.1.4.1.1.4.0.1.7|2|4",
                "1.0.8802.1.1.2.1.4.1.1.5.0.1.7|4x|aabbccddeeff",
                "1.0.8802.1.1.2.1.4.1.1.6.0.1.7|2|5",
                "1.0.8802.1.1.2.1.4.1.1.7.0.1.7|4|eth0",
                "1.0.8802.1.1.2.1.4.1.1.9.0.1.7|4|server <b>1</b>",
                "1.0.8802.1.1.2.1.4.2.1.3.0.1.7.1.4.10.0.0.9|2|2",
                "1.3.6.1.4.1.9.9.23.1.2.1.1.4.10101.3|4x|0a000008",
                "1.3.6.1.4.1.9.9.23.1.2.1.1.6.10101.3|4|sw8",
                "1.3.6.1.4.1.9.9.23.1.2.1.1.7.10101.3|4|Gi0/24",
                "1.3.6.1.2.1.4.22.1.2.5.10.0.0.77|4x|001122334455",
            ]),
            &around_plan(),
        ),
        &interfaces,
    );
    let words: Vec<_> = around
        .neighbours
        .iter()
        .map(|n| {
            (
                n.protocol.as_str(),
                n.local_port.as_str(),
                n.remote_name.as_str(),
                n.remote_port.as_str(),
                n.remote_chassis.as_str(),
                n.remote_address.as_str(),
            )
        })
        .collect();
    assert_eq!(
        words,
        vec![
            (
                "lldp",
                "Gi1/0/1",
                "server <b>1</b>",
                "eth0",
                "aa:bb:cc:dd:ee:ff",
                "10.0.0.9"
            ),
            ("cdp", "Gi1/0/1", "sw8", "Gi0/24", "", "10.0.0.8"),
        ]
    );
    let candidates: Vec<String> = around.candidates().map(|a| a.to_string()).collect();
    assert_eq!(candidates, vec!["10.0.0.77", "10.0.0.9", "10.0.0.8"]);
}

#[test]
fn nonsense_from_a_device_is_nothing_worse_than_missing() {
    let facts = Facts::read(&answer(
        recording(&[
            "1.3.6.1.2.1.1.5.0|2|17",
            "1.3.6.1.2.1.1.2.0|4|not an oid",
            "1.3.6.1.2.1.2.2.1.2.1.2.3|4|two indexes too many",
            "1.3.6.1.2.1.2.2.1.6.4|4|short",
            "1.3.6.1.2.1.31.1.1.1.6.4|4|text for a counter",
            "1.3.6.1.2.1.2.2.1.10.4|65|5",
            "1.3.6.1.2.1.4.20.1.2.300.0.0.1|2|1",
            "1.3.6.1.2.1.4.34.1.3.2.16.1|2|1",
        ]),
        &identity_plan(),
    ));
    assert!(facts.sys_name.is_empty() && facts.sys_object_id.is_none());
    assert!(facts.addresses.is_empty());
    assert_eq!(facts.interfaces.len(), 1);
    assert_eq!(facts.interfaces[0].mac, "");
    let named: Vec<_> = plan::columns(facts.interfaces[0].mask)
        .map(|i| INTERFACE[i].name)
        .collect();
    assert_eq!(named, vec!["ifInOctets"]);
}

/// Recordings of real devices beside the repository, where they are.
fn corpus() -> Option<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    ["../../shared/devices", "../../../shared/devices"]
        .iter()
        .map(|path| here.join(path))
        .find(|path| path.join("expected.json").exists())
}

#[test]
fn real_devices_have_the_interfaces_that_were_counted_by_hand() {
    let Some(corpus) = corpus() else { return };
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(corpus.join("expected.json")).unwrap()).unwrap();
    let mut read = 0;
    for (name, expected) in expected.as_object().unwrap() {
        let Ok(file) = std::fs::read(corpus.join(format!("{name}.snmprec"))) else {
            continue;
        };
        let Ok(recording) = Recording::parse(&file) else {
            continue;
        };
        let facts = Facts::read(&answer(recording, &identity_plan()));
        let Some(rows) = expected["interfaces"]["rows"].as_array() else {
            continue;
        };
        read += 1;
        for row in rows {
            let index = row["ifIndex"].as_u64().unwrap();
            if ["ifDescr", "ifName", "ifType"]
                .iter()
                .all(|key| row[*key].is_null())
            {
                continue; // a row of which nothing but its index was recorded
            }
            let Some(seen) = facts
                .interfaces
                .iter()
                .find(|f| u64::from(f.if_index) == index)
            else {
                panic!("{name}: interface {index} was not read");
            };
            let same = |key: &str, text: &str| {
                let Some(expected) = row[key].as_str() else {
                    return;
                };
                let expected = DeviceText::name(expected.as_bytes());
                assert_eq!(expected.as_str(), text, "{name}: {key} of {index}");
            };
            same("ifName", seen.name.as_str());
            if let Some(mac) = row["mac"].as_str().filter(|mac| {
                mac.len() == 17 && !["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"].contains(mac)
            }) {
                assert_eq!(mac, seen.mac, "{name}: MAC of {index}");
            }
            if row["hc"] == true {
                // some agents give 32 bits even there: then the 32-bit column is read
                assert!(seen.mask & 0b11_0011 != 0, "{name}: {index} counts octets");
            }
        }
        let object = expected["system"]["sysObjectID"].as_str();
        assert_eq!(
            facts
                .sys_object_id
                .as_ref()
                .map(ToString::to_string)
                .as_deref(),
            object,
            "{name}"
        );
    }
    assert!(read > 50, "{read} recordings were read");
}

#[test]
fn a_mac_address_is_read_however_it_is_written() {
    for (octets, read) in [
        (&b"\x00\x60\xa7\x0a\x7f\x96"[..], "00:60:a7:0a:7f:96"),
        (b"00-60-A7-0A-7F-96", "00:60:a7:0a:7f:96"),
        (b"00:60:a7:0a:7f:96", "00:60:a7:0a:7f:96"),
        (b"GigabitEthernet01", ""),
        (b"00-60-A7-0A-7F+96", ""),
        (b"+0-60-A7-0A-7F-96", ""),
        (b"00-00-00-00-00-00", ""),
        (b"", ""),
    ] {
        assert_eq!(mac(octets), read, "{octets:?}");
    }
}
