//! Whatever the bytes: no decoder of either program panics, takes long, takes much memory, or believes what does not
//! travel back.
//!
//! Each test changes valid inputs at random, the same ones in every run. `FARWATCH_MUTATIONS=2000000` tries that many for
//! each target instead of the few of an ordinary run (dear targets take proportionally fewer); a failure prints the input,
//! and `FARWATCH_INPUT=target=hex` runs that input alone. `FARWATCH_EXAMPLES=dir` writes the valid inputs to `dir/target/`,
//! where libFuzzer begins (`tests/fuzz/README.md`).

#[cfg(test)]
mod mutations;

use farwatch_central::fuzz as central;
use farwatch_probe::fuzz as probe;
use farwatch_shared::fuzz as shared;
use mutations::mutate;

#[test]
fn frames_and_messages() {
    mutate(shared::message::TARGETS);
}

#[test]
fn bodies_of_samples() {
    mutate(shared::samples::TARGETS);
}

#[test]
fn both_halves_of_a_session() {
    mutate(shared::session::TARGETS);
}

#[test]
fn tokens_names_and_certificates() {
    mutate(shared::identity::TARGETS);
}

#[test]
fn what_devices_send() {
    mutate(probe::snmp::fuzz::TARGETS);
    mutate(probe::icmp::fuzz::TARGETS);
}

#[test]
fn what_is_read_out_of_devices() {
    mutate(probe::snmp::fuzz::AGENT_TARGETS);
}

#[test]
fn what_central_says_and_the_files_of_a_probe() {
    mutate(probe::TARGETS);
}

#[test]
fn what_a_probe_does_to_central_and_the_files_of_central() {
    mutate(central::TARGETS);
}

#[test]
fn the_files_of_the_metrics_store_and_what_batches_do_to_it() {
    mutate(central::metrics::fuzz::TARGETS);
}

#[test]
fn questions_and_bodies_over_http() {
    mutate(central::api::fuzz::TARGETS);
}

/// libFuzzer runs the same functions: a file for each, and none that runs nothing.
#[test]
fn every_target_has_its_file_for_libfuzzer() {
    let mut targets: Vec<&str> = [shared::targets(), probe::targets(), central::targets()]
        .concat()
        .iter()
        .map(|target| target.name)
        .collect();
    targets.sort_unstable();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut files: Vec<String> = std::fs::read_dir(root.join("fuzz_targets"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    files.sort_unstable();
    assert_eq!(targets, files);
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for target in targets {
        assert!(
            manifest.contains(&format!("\"fuzz_targets/{target}.rs\"")),
            "{target}"
        );
    }
}
