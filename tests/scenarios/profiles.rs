//! `farwatch-probe profile`: what the library makes of devices, and what is said of a profile that is wrong.

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
