//! `farwatch-probe status`: what the running probe last wrote of itself. Needs neither Central nor the probe to answer.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use farwatch_shared::clock::{Clock, Timestamp};
use serde_json::Value;

use crate::cli::say;

/// Replaced by the running probe every two seconds.
pub const FILE: &str = "status.json";
/// Octets that the file takes at the least: a site of a few hundred devices.
const ROOM: usize = 64 * 1024;
/// Older than this, the probe is not running.
const STALE_AFTER_MS: i64 = 15_000;

/// Writes the status in one move, readable by the owner alone; `devices` is the JSON of its last field, which is long.
///
/// The file that is replaced becomes the next one to write on, with its blocks: a disk that has since become full does
/// not make a running probe look dead.
///
/// # Errors
/// The file system's own.
pub fn keep(data_dir: &Path, status: &Value, devices: &str) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let (shown, next) = (data_dir.join(FILE), data_dir.join("status.json.next"));
    let mut head = status.to_string();
    head.pop(); // the brace, which comes after the devices
    let tail = format!(",\"devices\":{devices}}}");
    // Spaces after the text are no part of it: the file never shrinks, so its blocks stay.
    let room = std::fs::metadata(&next).map_or(0, |next| next.len());
    let room = usize::try_from(room).unwrap_or(ROOM).max(ROOM);
    let spaces = " ".repeat(room.saturating_sub(head.len() + tail.len()));
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(&next)?;
    for part in [&head, &tail, &spaces] {
        file.write_all(part.as_bytes())?;
    }
    let swapped = renameat_with(CWD, &next, CWD, &shown, RenameFlags::EXCHANGE);
    // The first time there is nothing to exchange with, and some file systems cannot.
    swapped.or_else(|_| std::fs::rename(&next, &shown))
}

/// What the running probe last wrote, and how long ago, ms; `None` when it never ran here or cannot be read.
#[must_use]
pub fn last(data_dir: &Path, clock: &Clock) -> Option<(Value, i64)> {
    let text = std::fs::read_to_string(data_dir.join(FILE)).ok()?;
    let status: Value = serde_json::from_str(&text).ok()?;
    let age_ms = clock.now().since(Timestamp(status["at_ms"].as_i64()?));
    Some((status, age_ms))
}

/// Whether a status of this age, ms, is a running probe's.
#[must_use]
pub const fn is_running(age_ms: i64) -> bool {
    age_ms < STALE_AFTER_MS
}

/// Prints the status; exit code 1 when the probe is not running. Whether it reaches Central is said, and judged by `check`.
///
/// # Errors
/// It never ran here, or the file is not readable.
pub fn show(data_dir: &Path, json: bool, clock: &Clock) -> anyhow::Result<ExitCode> {
    let path = data_dir.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!(
                "no probe has run with {} yet: start it with `farwatch-probe run`",
                data_dir.display()
            )
        }
        Err(error) => {
            return Err(error)
                .with_context(|| format!("{} cannot be read (are you root?)", path.display()));
        }
    };
    let mut status: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is not readable", path.display()))?;
    let age_ms = clock
        .now()
        .since(Timestamp(status["at_ms"].as_i64().unwrap_or_default()));
    let running = is_running(age_ms);
    status["running"] = running.into();
    status["age_s"] = (age_ms / 1_000).into();
    if json {
        say(&status.to_string());
    } else {
        for line in lines(&status, running, age_ms) {
            say(&line);
        }
    }
    Ok(if running {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn lines(status: &Value, running: bool, age_ms: i64) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let probe = &status["probe"];
    let mut lines = vec![format!(
        "Probe {} at {} / {}",
        text(&probe["name"]),
        text(&probe["customer"]),
        text(&probe["site"])
    )];
    if !running {
        lines.push(format!(
            "NOT RUNNING: this was written {} s ago",
            age_ms / 1_000
        ));
    }
    if status["connected"] == true {
        let over = match status["transport"].as_str() {
            Some("tcp") => " over TCP, because UDP is blocked",
            _ => "",
        };
        lines.push(format!(
            "Connected to Central at {}{over}",
            text(&status["central"])
        ));
    } else {
        lines.push(format!(
            "NOT CONNECTED to Central ({}); what is seen meanwhile is kept",
            text(&status["last_error"])
        ));
    }
    let spool = &status["spool"];
    let room = match spool["time_left_s"].as_i64() {
        Some(left) if left >= 0 => format!("room for {} more", crate::detect::span(left)),
        _ => "for how long there is room is known after a few minutes".to_owned(),
    };
    lines.push(format!(
        "Waiting for Central: {} batches, {} bytes; {room}",
        spool["waiting_batches"], spool["waiting_bytes"]
    ));
    let discovery = &status["discovery"];
    lines.push(format!(
        "Discovery: {}, {} of {} addresses asked",
        text(&discovery["state"]),
        discovery["swept"],
        discovery["to_sweep"]
    ));
    for notice in status["notices"].as_array().into_iter().flatten() {
        lines.push(format!("Note: {}", text(notice)));
    }
    let devices = status["devices"].as_array().cloned().unwrap_or_default();
    lines.push(format!("{} devices", devices.len()));
    for device in &devices {
        lines.push(format!(
            "  {:<12} {:<16} {:<5} {}",
            text(&device["state"]),
            text(&device["address"]),
            text(&device["snmp"]),
            text(&device["name"])
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_shown_with_its_age_and_names_the_devices() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp(1_000_000));
        let status = serde_json::json!({
            "at_ms": 1_000_000, "probe": { "name": "p1", "site": "Main", "customer": "Kestrel" }, "connected": false,
            "last_error": "no answer", "spool": {}, "discovery": { "state": "idle" },
        });
        let devices = r#"[{"address":"10.0.0.1","name":"core-sw1","state":"up","snmp":"v3"}]"#;
        keep(dir.path(), &status, devices).unwrap();
        let (status, _) = last(dir.path(), &clock).unwrap();
        let said = lines(&status, true, 0).join("\n");
        assert!(
            said.contains("core-sw1")
                && said.contains("NOT CONNECTED")
                && said.contains("no answer"),
            "{said}"
        );
        let exit = |json| {
            show(dir.path(), json, &clock)
                .map(|code| format!("{code:?}"))
                .unwrap()
        };
        let (fine, problem) = (
            format!("{:?}", ExitCode::SUCCESS),
            format!("{:?}", ExitCode::FAILURE),
        );
        assert_eq!((exit(true), exit(false)), (fine.clone(), fine));
        clock.advance(std::time::Duration::from_secs(60));
        assert!(
            lines(&status, false, 60_000)
                .join("\n")
                .contains("NOT RUNNING")
        );
        assert_eq!((exit(true), exit(false)), (problem.clone(), problem));
        assert!(show(Path::new("/nowhere/at/all"), false, &clock).is_err());
    }
}
