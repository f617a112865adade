//! `farwatch-probe profile`: what the library makes of devices, and what is said of a profile that is wrong.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::{Command, Stdio};

use farwatch_tests::binary;
use serde_json::Value;

fn probe(args: &[&str]) -> std::process::Output {
    Command::new(binary("farwatch-probe").unwrap())
        .args(args)
        .output()
        .unwrap()
}

/// Recordings of real devices with the facts expected of each, where they are at hand.
#[test]
fn the_library_knows_real_devices() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/devices");
    let scorer = corpus.join("score.py");
    if !scorer.exists() || Command::new("python3").arg("--version").output().is_err() {
        eprintln!("left out: no recordings with expected facts are at hand, or no python3");
        return;
    }
    let folder = corpus.to_str().unwrap();
    let said = probe(&["profile", "test", "--json", folder]);
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let mut score = Command::new("python3")
        .arg(&scorer)
        .args([folder, "--list", "--min"])
        .arg("answered=100,vendor=98,model=95,version=95,serial=95,interfaces=95,sensors=88,storage=95,processors=95,neighbours=95")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut score.stdin.take().unwrap(), &said.stdout).unwrap();
    let scored = score.wait_with_output().unwrap();
    assert!(
        scored.status.success(),
        "{}",
        String::from_utf8_lossy(&scored.stdout)
    );
}

/// The links of small real networks, as another project expects them of the same recordings.
#[test]
fn the_links_of_real_networks_come_out_exactly() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/devices/topology");
    let Ok(networks) = std::fs::read_dir(&corpus) else {
        eprintln!("left out: no recordings of networks are at hand");
        return;
    };
    let mut links = 0;
    for network in networks {
        let folder = network.unwrap().path();
        let expected: Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("links.json")).unwrap())
                .unwrap();
        let said = probe(&["profile", "test", "--json", folder.to_str().unwrap()]);
        let said: HashMap<String, Value> = String::from_utf8_lossy(&said.stdout)
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|one| (stem(one["recording"].as_str().unwrap()), one))
            .collect();
        let recorded =
            |device: &Value| -> Option<&Value> { said.get(&stem(device["recording"].as_str()?)) };
        let devices = list(&expected["devices"]);
        for scenario in list(&expected["expected"]) {
            // A neighbour is known by its chassis, where that was asked too, else by the name that it tells.
            let by_chassis: HashMap<&str, &str> = devices
                .iter()
                .filter(|device| list(&scenario["recordings"]).contains(&device["device"]))
                .filter_map(|device| {
                    Some((
                        recorded(device)?["chassis_mac"].as_str()?,
                        text(&device["device"]),
                    ))
                })
                .collect();
            let hosts: HashMap<String, &str> = list(&scenario["devices"])
                .iter()
                .map(|device| {
                    (
                        text(&device["hostname"]).to_lowercase(),
                        text(&device["id"]),
                    )
                })
                .collect();
            let wanted: BTreeSet<String> = list(&scenario["links"])
                .iter()
                .map(|link| {
                    let ends = [
                        "source_device",
                        "source_port",
                        "target_device",
                        "target_port",
                    ];
                    let ends = ends.map(|end| plain(text(&link[end])));
                    format!("{}\t{}", text(&link["protocol"]), ends.join("\t"))
                })
                .collect();
            let protocols: BTreeSet<&str> = list(&scenario["links"])
                .iter()
                .map(|link| text(&link["protocol"]))
                .collect();
            let found: BTreeSet<String> = list(&scenario["recordings"])
                .iter()
                .filter_map(|name| devices.iter().find(|device| device["device"] == *name))
                .filter_map(|device| Some((text(&device["device"]), recorded(device)?)))
                .flat_map(|(device, said)| {
                    list(&said["neighbours"]).iter().map(move |n| (device, n))
                })
                .filter(|(_, neighbour)| protocols.contains(text(&neighbour["protocol"])))
                .map(|(device, neighbour)| {
                    let name = [&neighbour["remote_name"], &neighbour["remote_chassis"]]
                        .map(text)
                        .into_iter()
                        .find(|name| !name.is_empty())
                        .unwrap_or_default()
                        .to_lowercase();
                    let target = by_chassis
                        .get(text(&neighbour["remote_chassis"]))
                        .or_else(|| hosts.get(&name))
                        .map_or_else(|| name.clone(), |id| (*id).to_owned());
                    let ends = [
                        device,
                        text(&neighbour["local_port"]),
                        &target,
                        text(&neighbour["remote_port"]),
                    ];
                    format!(
                        "{}\t{}",
                        text(&neighbour["protocol"]),
                        ends.map(plain).join("\t")
                    )
                })
                .collect();
            let what = text(&scenario["scenario"]);
            // Port 0 is none: where agents leave a part of the index out, the other project did not find the port.
            let portless = |link: &String| {
                let words: Vec<&str> = link.splitn(4, '\t').collect();
                [words[0], words[1], words[3]].join("\t")
            };
            let unknown: BTreeSet<String> = wanted
                .iter()
                .filter(|link| link.split('\t').nth(2) == Some("0"))
                .map(portless)
                .collect();
            let is_open = |link: &&String| !unknown.contains(&portless(link));
            let missing: Vec<_> = wanted.difference(&found).filter(is_open).collect();
            let more: Vec<_> = found.difference(&wanted).filter(is_open).collect();
            assert_eq!(wanted.len(), found.len(), "{what}");
            assert!(
                missing.is_empty() && more.is_empty(),
                "{what}: missing {missing:#?}, too many {more:#?}"
            );
            links += wanted.len();
        }
    }
    assert!(links > 200, "{links} links");
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn stem(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.trim_end_matches(".snmprec").to_owned()
}

/// A MAC address is written in many ways.
fn plain(text: &str) -> String {
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    match text.len() == 17 && hex.len() == 12 {
        true => hex.to_lowercase(),
        false => text.trim().to_lowercase(),
    }
}

#[test]
fn a_recording_says_who_it_is_with_a_profile_of_ones_own_on_top() {
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("box.snmprec");
    std::fs::write(&recording, "1.3.6.1.2.1.1.1.0|4|Toaster 9\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.9.9999.1\n1.3.6.1.4.1.9.9999.2.0|2|215\n").unwrap();
    let own = dir.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(
        own.join("toaster.yaml"),
        "selector: [{sysobjectid: [1.3.6.1.4.1.9.9999.1]}]\nmetadata: {device: {fields: {model: {value: Toaster}}}}\n\
         sensors:\n- {name: Slot, values: [{kind: temperature, OID: 1.3.6.1.4.1.9.9999.2.0, name: heat}]}\n",
    )
    .unwrap();
    let path = recording.to_str().unwrap();
    let said = probe(&[
        "profile",
        "test",
        "--json",
        path,
        "--profiles",
        own.to_str().unwrap(),
    ]);
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(
        (said["vendor"].as_str(), said["model"].as_str()),
        (Some("Cisco"), Some("Toaster"))
    );
    let sensor = &said["sensors"][0];
    assert_eq!(
        (sensor["kind"].as_str(), sensor["value"].as_f64()),
        (Some("temperature"), Some(215.0))
    );
    assert_eq!(said["profiles"][0]["file"], "toaster.yaml");
}

#[test]
fn a_profile_that_is_wrong_is_said_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("bad.yaml"),
        "selector:\n- sysobjectid: ['1.3.6.1.4.1.9(']\nnonsense: 1\n",
    )
    .unwrap();
    let said = probe(&["profile", "lint", dir.path().to_str().unwrap()]);
    assert_eq!(said.status.code(), Some(1));
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains("bad.yaml:2: error: sysobjectid"), "{text}");
    assert!(
        text.contains("bad.yaml:3: warning: nonsense is not known here"),
        "{text}"
    );
    let nothing = probe(&[
        "profile",
        "test",
        "--json",
        dir.path().join("none.snmprec").to_str().unwrap(),
    ]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("none.snmprec"));
}
