//! Made-up monitoring data, the same for ever: a device has 50 series, eight interfaces with octets (20 % noise), errors,
//! state and speed, uptime and round-trip time; a quarter of the interfaces are idle.
//!
//! [`Set::own`] makes it; [`Set::read`] takes it from JSON lines (`{"metric":…,"values":[…],"timestamps":[…]}`, one line per
//! series, device by device), so that the same bytes can go to a peer.

use std::io::BufRead as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use farwatch_shared::model::{
    Anchor, AnchorKind, Column, DeviceNo, InstanceNo, Layout, LayoutNo, Metric, Scrape,
};

/// Series of one device.
pub(crate) const PER: usize = 50;
/// Seconds between two values of a series.
pub(crate) const INTERVAL_S: i64 = 60;
/// Values an hour.
const HOUR: usize = 60;

/// Values of all series over all steps; counters as they stand, round-trip times in µs.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) devices: usize,
    pub(crate) steps: usize,
    values: Vec<i64>,
}

impl Set {
    /// Made here.
    pub(crate) fn own(devices: usize, steps: usize) -> Self {
        let mut values = Vec::with_capacity(devices * PER * steps);
        for series in 0..(devices * PER) as u64 {
            let mut made = Made::new(series);
            values.extend((0..steps).map(|_| made.next()));
        }
        Self {
            devices,
            steps,
            values,
        }
    }

    /// From a file of JSON lines.
    pub(crate) fn read(path: &Path, devices: usize, steps: usize) -> anyhow::Result<Self> {
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        let mut values = Vec::with_capacity(devices * PER * steps);
        for (series, line) in std::io::BufReader::with_capacity(1 << 20, file)
            .lines()
            .enumerate()
        {
            let line = line?;
            let (_, list) = line.split_once("\"values\":[").context("values")?;
            let (list, _) = list.split_once(']').context("an end of the values")?;
            let scale = if series % PER == PER - 1 { 1000.0 } else { 1.0 };
            let before = values.len();
            for text in list.split(',') {
                let value: f64 = text.parse()?;
                values.push((value * scale).round() as i64);
            }
            ensure!(
                values.len() == before + steps,
                "series {series} has another length"
            );
        }
        ensure!(
            values.len() == devices * PER * steps,
            "another count of series"
        );
        Ok(Self {
            devices,
            steps,
            values,
        })
    }

    /// Whether both hold the same values.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.values == other.values
    }

    /// A value as a peer is told it: counters as they stand, round-trip times in ms.
    pub(crate) fn shown(&self, series: usize, step: usize) -> f64 {
        let value = self.values[series * self.steps + step] as f64;
        if series % PER == PER - 1 {
            value / 1e3
        } else {
            value
        }
    }

    fn at(&self, device: usize, series: usize, step: usize) -> i64 {
        self.values[(device * PER + series) * self.steps + step]
    }

    /// One poll of a device (counted from 0) as a probe says it, with its anchors: at the start and hourly. `jitter_ms` is
    /// the most that a reading comes after its second.
    pub(crate) fn poll(
        &self,
        device: usize,
        step: usize,
        layout: &Layout,
        start_s: i64,
        jitter_ms: u64,
    ) -> (Scrape, Vec<Anchor>) {
        let slot_s = start_s + step as i64 * INTERVAL_S + i64::from(layout.phase_s);
        let off = |step: usize| (mix(device as u64 ^ (step as u64) << 20) % (jitter_ms + 1)) as i64;
        let span_ms = if step == 0 {
            0
        } else {
            (INTERVAL_S * 1_000 + off(step) - off(step - 1)) as u32
        };
        let mut anchors = Vec::new();
        let hourly = step > 0 && step % HOUR == device % HOUR;
        let values = (0..PER)
            .map(|series| {
                let value = self.at(device, series, step);
                if !is_counter(series) {
                    return Some(value);
                }
                if step == 0 || hourly {
                    let kind = if step == 0 {
                        AnchorKind::Start
                    } else {
                        AnchorKind::Hourly
                    };
                    anchors.push(Anchor {
                        layout: layout.no,
                        column: series as u16,
                        kind: kind.code(),
                        slot_s,
                        raw: value.cast_unsigned(),
                    });
                }
                (step > 0).then(|| value - self.at(device, series, step - 1))
            })
            .collect();
        let scrape = Scrape {
            layout: layout.no,
            slot_s,
            offset_ms: off(step) as i32,
            span_ms,
            values,
            spans: Vec::new(),
        };
        (scrape, anchors)
    }
}

const fn is_counter(series: usize) -> bool {
    series < 48 && series % 6 < 4
}

/// The layout of one device; its polls fall due at a second of their own.
pub(crate) fn layout(no: u32) -> Layout {
    let metric = |name: &str, kind: u8, scale: i8, unit: &str| Metric {
        name: name.to_owned(),
        kind,
        scale,
        width: if kind == 0 { 64 } else { 0 },
        unit: unit.to_owned(),
    };
    let mut columns: Vec<Column> = (1..=8)
        .flat_map(|port| (0..6).map(move |metric| (metric, port)))
        .map(|(metric, port)| Column {
            metric,
            instance: InstanceNo(port),
        })
        .collect();
    columns.extend([6, 7].map(|metric| Column {
        metric,
        instance: InstanceNo(0),
    }));
    Layout {
        no: LayoutNo(no),
        device: DeviceNo(no),
        group: 1,
        interval_s: INTERVAL_S as u32,
        phase_s: (mix(u64::from(no)) % INTERVAL_S as u64) as u32,
        valid_from_s: 0,
        metrics: vec![
            metric("ifHCInOctets", 0, 0, "octets"),
            metric("ifHCOutOctets", 0, 0, "octets"),
            metric("ifInErrors", 0, 0, "packets"),
            metric("ifOutErrors", 0, 0, "packets"),
            metric("ifOperStatus", 2, 0, ""),
            metric("ifHighSpeed", 1, 0, "Mbit/s"),
            metric("sysUpTime", 1, -2, "s"),
            metric("rtt", 1, -3, "ms"),
        ],
        columns,
    }
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn unit(h: u64) -> f64 {
    (h >> 11) as f64 / (1_u64 << 53) as f64
}

/// One series on its way.
struct Made {
    series: u64,
    step: u64,
    counter: f64,
    rate: f64,
}

impl Made {
    fn new(series: u64) -> Self {
        let h = mix(series ^ 0x51);
        Self {
            series,
            step: 0,
            counter: (h % 40_000_000_000) as f64,
            rate: 10_f64.powf(3.0 + unit(mix(h)) * 4.0),
        }
    }

    fn next(&mut self) -> i64 {
        let (device, k) = (self.series / PER as u64, self.series % PER as u64);
        let step = self.step;
        self.step += 1;
        let h = mix(self.series.wrapping_mul(0x1_0000_0001) ^ (step << 40) ^ step);
        let seconds = step as f64 * INTERVAL_S as f64;
        let idle = mix(device * 8 + k / 6) % 100 < 25;
        match (k, k % 6) {
            (48, _) => {
                let base = ((mix(device) % 8_000_000_000) as f64 / 100.0).floor() * 100.0;
                (base + seconds * 100.0 + (h % 3) as f64) as i64
            }
            (49, _) => {
                let base = 0.2 + unit(mix(device ^ 7)) * 40.0;
                let late = if h.is_multiple_of(97) { base } else { 0.0 };
                ((base + unit(h) * base * 0.1 + late) * 1000.0).round() as i64
            }
            (_, 0 | 1) => {
                if !idle {
                    let turn = seconds / 86_400.0 * std::f64::consts::TAU;
                    let day = 1.0 + 0.6 * (turn + self.rate).sin();
                    let grown = self.rate * day * INTERVAL_S as f64 * (0.8 + 0.4 * unit(h));
                    self.counter += grown.floor();
                } else if step == 0 {
                    self.counter = 0.0;
                }
                self.counter as i64
            }
            (_, 2 | 3) => {
                let own = mix(self.series);
                if step == 0 {
                    self.counter = if own.is_multiple_of(10) {
                        (own % 5000) as f64
                    } else {
                        0.0
                    };
                }
                if own.is_multiple_of(20) && h.is_multiple_of(20) {
                    self.counter += (1 + h % 7) as f64;
                }
                self.counter as i64
            }
            (_, 4) => 1 + i64::from(idle),
            _ if k / 6 == 7 => 10_000,
            _ => 1_000,
        }
    }
}
