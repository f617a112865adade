//! What was measured: a table for people, JSON for the next run, a plot of how cost grows.

use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What one run cost.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cost {
    /// Which program.
    pub(crate) who: String,
    /// How many devices.
    pub(crate) devices: u32,
    /// How often each was polled; 0 = as fast as it could.
    pub(crate) interval_s: u32,
    /// How late each answer was.
    pub(crate) delay_ms: u64,
    /// Devices polled a second.
    pub(crate) devices_per_s: f64,
    /// Values of one poll.
    pub(crate) values_per_device: f64,
    /// The figure that counts.
    pub(crate) cpu_s_per_1000: f64,
    /// Of one processor.
    pub(crate) cpu_share: f64,
    /// At the end of the window.
    pub(crate) memory_mib: f64,
    /// The most since it was started.
    pub(crate) peak_mib: f64,
    /// The most of the process that discovered the devices.
    pub(crate) after_discovery_mib: f64,
    /// Polls that did not finish in time, or could not start.
    pub(crate) overran: f64,
    /// From the start of the process to its first finished poll.
    pub(crate) start_s: f64,
    /// Waiting for Central at the end of the window.
    pub(crate) unsent_mib: f64,
    /// Load average at the start of the window.
    pub(crate) load: String,
}

impl Cost {
    /// The head of the table.
    pub(crate) fn head() -> String {
        format!(
            "{:<26}{:>8}{:>7}{:>7}{:>10}{:>8}{:>11}{:>7}{:>8}{:>8}{:>8}{:>8}{:>7}",
            "who",
            "devices",
            "every",
            "delay",
            "devices/s",
            "values",
            "CPU s/1000",
            "CPU",
            "MiB",
            "peak",
            "overran",
            "start",
            "load"
        )
    }

    /// A line of it.
    pub(crate) fn line(&self) -> String {
        let every = match self.interval_s {
            0 => "flat".to_owned(),
            s => format!("{s} s"),
        };
        let start = match self.start_s {
            0.0 => String::new(),
            s => format!("{s:.1} s"),
        };
        format!(
            "{:<26}{:>8}{every:>7}{:>7}{:>10.0}{:>8.0}{:>11.3}{:>6.0}%{:>8.0}{:>8.0}{:>8.0}{start:>8}{:>7}",
            self.who,
            self.devices,
            format!("{} ms", self.delay_ms),
            self.devices_per_s,
            self.values_per_device,
            self.cpu_s_per_1000,
            self.cpu_share * 100.0,
            self.memory_mib,
            self.peak_mib,
            self.overran,
            self.load,
        )
    }
}

/// Writes everything as JSON.
///
/// # Errors
/// The file system's.
pub(crate) fn write(
    path: &Path,
    machine: &str,
    responder: &str,
    costs: &[Cost],
) -> anyhow::Result<()> {
    let whole = serde_json::json!({ "machine": machine, "responder": responder, "runs": costs });
    Ok(std::fs::write(
        path,
        serde_json::to_string_pretty(&whole)? + "\n",
    )?)
}

/// How cost grows with the number of devices: CPU of 1,000 polls, and memory, both axes by powers of ten.
///
/// # Errors
/// The file system's.
pub(crate) fn plot(path: &Path, costs: &[&Cost]) -> anyhow::Result<()> {
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 330\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"720\" height=\"330\" fill=\"#fff\"/>\n",
    );
    let panels: [Panel; 2] = [
        Panel {
            title: "CPU seconds of 1,000 device polls",
            left: 50.0,
            decades: (-2.0, 0.0),
            limits: &[("must 0.16", 0.16), ("aim 0.10", 0.10)],
            value: |cost| cost.cpu_s_per_1000,
        },
        Panel {
            title: "resident memory, MiB",
            left: 410.0,
            decades: (1.0, 3.0),
            limits: &[("must 128 at 10,000", 128.0), ("aim 80", 80.0)],
            value: |cost| cost.memory_mib,
        },
    ];
    for panel in panels {
        panel.draw(&mut svg, costs)?;
    }
    svg += "</svg>\n";
    Ok(std::fs::write(path, svg)?)
}

struct Panel {
    title: &'static str,
    left: f64,
    decades: (f64, f64),
    limits: &'static [(&'static str, f64)],
    value: fn(&Cost) -> f64,
}

impl Panel {
    const WIDTH: f64 = 280.0;
    const TOP: f64 = 40.0;
    const HEIGHT: f64 = 240.0;

    fn x(&self, devices: f64) -> f64 {
        self.left + (devices.max(1.0).log10() - 1.7) / 2.6 * Self::WIDTH
    }

    fn y(&self, value: f64) -> f64 {
        let (low, high) = self.decades;
        let share = (value.max(1e-9).log10() - low) / (high - low);
        Self::TOP + (1.0 - share.clamp(0.0, 1.0)) * Self::HEIGHT
    }

    fn draw(&self, svg: &mut String, costs: &[&Cost]) -> std::fmt::Result {
        let (left, right) = (self.left, self.left + Self::WIDTH);
        let bottom = Self::TOP + Self::HEIGHT;
        writeln!(
            svg,
            "<text x=\"{left}\" y=\"24\" font-weight=\"bold\">{}</text>",
            self.title
        )?;
        writeln!(
            svg,
            "<path d=\"M{left} {} V{bottom} H{right}\" fill=\"none\" stroke=\"#333\"/>",
            Self::TOP
        )?;
        for (devices, name) in [(100.0, "100"), (1_000.0, "1,000"), (10_000.0, "10,000")] {
            let x = self.x(devices);
            writeln!(
                svg,
                "<text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{name}</text>",
                bottom + 16.0
            )?;
        }
        writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">devices</text>",
            (left + right) / 2.0,
            bottom + 34.0
        )?;
        for (name, limit) in self.limits {
            let y = self.y(*limit);
            writeln!(
                svg,
                "<path d=\"M{left} {y:.1} H{right}\" stroke=\"#b00\" stroke-dasharray=\"4 4\"/>\
                 <text x=\"{:.0}\" y=\"{:.1}\" fill=\"#b00\">{name}</text>",
                left + 6.0,
                y - 4.0
            )?;
        }
        for (interval_s, colour) in [(60, "#1660c0"), (2, "#0a7d33")] {
            let of: Vec<_> = costs
                .iter()
                .filter(|c| c.interval_s == interval_s)
                .collect();
            let points: Vec<_> = of
                .iter()
                .map(|c| {
                    (
                        self.x(f64::from(c.devices)),
                        self.y((self.value)(c)),
                        (self.value)(c),
                    )
                })
                .collect();
            let path: Vec<_> = points
                .iter()
                .map(|(x, y, _)| format!("{x:.1},{y:.1}"))
                .collect();
            writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            )?;
            for (x, y, value) in &points {
                let digits = if *value < 10.0 { 3 } else { 0 };
                writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>\
                     <text x=\"{x:.1}\" y=\"{:.1}\" fill=\"{colour}\" text-anchor=\"middle\">{value:.digits$}</text>",
                    y + 16.0
                )?;
            }
            if let (Some((x, y, _)), Some(_)) = (points.last(), points.first()) {
                writeln!(
                    svg,
                    "<text x=\"{:.0}\" y=\"{:.0}\" fill=\"{colour}\" text-anchor=\"end\">every {interval_s} s</text>",
                    x + 20.0,
                    y - 8.0
                )?;
            }
        }
        Ok(())
    }
}
