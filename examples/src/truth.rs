//! What really is and happens at the site, one JSON object a line, for a checker to compare with.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::device::Device;
use crate::site::Site;

/// An open truth file.
#[derive(Debug)]
pub struct Truth {
    file: BufWriter<File>,
    /// Wall time at which the site opened, Unix ms.
    opened_ms: i64,
    told_until: f64,
}

impl Truth {
    /// Begins the file (an older one goes on at its end) with every device that there is.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn begin(path: &Path, site: &Site, opened_ms: i64) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let now = site.now();
        let mut truth = Self {
            file: BufWriter::new(file),
            opened_ms,
            told_until: now,
        };
        truth.write(
            now,
            json!({"event": "site_started", "port": site.port(), "devices": site.devices().len()}),
        )?;
        for device in site.devices() {
            truth.write(now, describe(device))?;
        }
        truth.file.flush()?;
        Ok(truth)
    }

    /// Tells what has happened since it was last called, each with the moment at which it did.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn go_on(&mut self, site: &Site) -> io::Result<()> {
        let now = site.now();
        let mut edges: Vec<_> = site
            .devices()
            .iter()
            .flat_map(|device| {
                device
                    .edges(self.told_until, now)
                    .into_iter()
                    .map(move |edge| (device.address(), edge))
            })
            .collect();
        edges.sort_by(|one, other| one.1.0.total_cmp(&other.1.0));
        for (address, (at, event, if_index)) in edges {
            self.write(
                at,
                json!({"event": event, "address": address, "if_index": if_index}),
            )?;
        }
        self.told_until = now;
        self.file.flush()
    }

    /// Closes it with what every device was asked.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn end(mut self, site: &Site) -> io::Result<()> {
        self.go_on(site)?;
        let now = site.now();
        for device in site.devices() {
            self.write(
                now,
                json!({"event": "counts", "address": device.address(), "counts": device.counts()}),
            )?;
        }
        self.write(now, json!({"event": "site_stopped"}))?;
        self.file.flush()
    }

    fn write(&mut self, at: f64, mut line: Value) -> io::Result<()> {
        #[expect(clippy::cast_possible_truncation, reason = "a moment in this century")]
        let ms = self.opened_ms + (at * 1000.0).round() as i64;
        let time = Timestamp::from_millisecond(ms).map_err(io::Error::other)?;
        line["at"] = json!(time.to_string());
        writeln!(self.file, "{line}")
    }
}

fn describe(device: &Device) -> Value {
    let access = device.access();
    let hex: String = device
        .engine_id()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let ports: Vec<Value> = device
        .ports()
        .iter()
        .map(|port| json!({"if_index": port.if_index, "name": port.name, "up": port.up, "leads_to": port.leads_to}))
        .collect();
    json!({
        "event": "device",
        "address": device.address(),
        "kind": device.kind(),
        "name": device.name(),
        "serial": device.serial(),
        "engine_id": hex,
        "v1": access.v1,
        "v2c": access.v2c,
        "v3_users": access.users.iter().map(|user| user.name.clone()).collect::<Vec<_>>(),
        "hostile": device.hostile().map(super::hostile::Hostile::word),
        "ports": ports,
    })
}
