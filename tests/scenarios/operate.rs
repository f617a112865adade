//! What those who run Farwatch see of it: health, Prometheus' figures, diagnostics bundles without secrets.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use farwatch_tests::world::World;
use farwatch_tests::{binary, eventually};

const SOON: Duration = Duration::from_secs(60);
/// What must be in no bundle: the pretend site's v3 passwords.
const SECRETS: [&str; 2] = ["look-but-do-not-touch", "between-you-and-me"];

#[tokio::test(flavor = "multi_thread")]
async fn health_figures_and_bundles_say_what_is_and_no_secret() {
    let mut world = World::start(75, |site| site.devices(4)).await.unwrap();
    world.devices_up(4, SOON).await;
    eventually(SOON, "the probe's figures have come", || async {
        let text = world
            .central
            .prometheus()
            .await
            .map_err(|e| e.to_string())?;
        let devices = text
            .lines()
            .find(|line| line.starts_with("farwatch_probe_devices{"))
            .unwrap_or_default()
            .to_owned();
        match devices.contains("customer=\"Customer 75\"") && devices.ends_with("} 4") {
            true => Ok(()),
            false => Err(devices),
        }
    })
    .await;
    let health = world.central.get("/health").await.unwrap();
    assert_eq!(health["sessions"]["connected"], 1, "{health}");
    assert_eq!(health["sessions"]["over_tcp"], 0, "{health}");
    assert!(
        health["ingest"]["samples"].as_u64().unwrap() > 0,
        "{health}"
    );
    assert!(
        health["disk"]["used_bytes"].as_u64().unwrap() > 0,
        "{health}"
    );
    for writer in health["writers"].as_array().unwrap() {
        assert!(writer["commits"].as_u64().unwrap() > 0, "{writer}");
        assert!(writer["commit_ms_p50"].as_f64().unwrap() > 0.0, "{writer}");
    }
    let dir = tempfile::tempdir().unwrap();
    let probe = bundle("farwatch-probe", &world.probe.dir, dir.path());
    let central = bundle("farwatch-central", &world.central.dir, dir.path());
    for (text, says) in [
        (&probe, "check.json"),
        (&probe, "\"connected\":true"),
        (&probe, "ledger.json"),
        (&central, "health.json"),
        (&central, "Customer 75"),
        (&central, "settings.txt"),
    ] {
        assert!(text.contains(says), "{says} is not in {text}");
    }
    for secret in SECRETS {
        assert!(
            !probe.contains(secret) && !central.contains(secret),
            "{secret}"
        );
    }
    world.end();
}

/// Makes a bundle and gives its names and contents as one text.
fn bundle(program: &str, data_dir: &Path, to: &Path) -> String {
    let file = to.join(format!("{program}.tar.gz"));
    let made = Command::new(binary(program).unwrap())
        .arg("diagnostics")
        .arg(&file)
        .arg("--data-dir")
        .arg(data_dir)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let unpacked = to.join(program);
    std::fs::create_dir(&unpacked).unwrap();
    let tar = Command::new("tar")
        .arg("-xzf")
        .arg(&file)
        .arg("-C")
        .arg(&unpacked)
        .status()
        .unwrap();
    assert!(tar.success());
    let mut text = String::new();
    read_all(&unpacked, &mut text);
    text
}

fn read_all(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else {
            text.push_str(&path.display().to_string());
            text.push('\n');
            text.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()));
            text.push('\n');
        }
    }
}
