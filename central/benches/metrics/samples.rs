//! Made-up monitoring data, the same for ever: eight interfaces a device with in and out octets (20 % noise), errors,
//! state and speed, uptime, round-trip time; a quarter of the interfaces idle.
//!
//! The values are those of the work that the peers were measured with; octets and errors as increases.

use std::collections::HashMap;

use farwatch_shared::model::{Column, DeviceNo, InstanceNo, Layout, LayoutNo, Metric, Scrape};

const INTERFACES: u64 = 8;
const PER: u64 = INTERFACES * 6 + 2;

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn unit(h: u64) -> f64 {
    (h >> 11) as f64 / (1_u64 << 53) as f64
}

fn metric(name: &str, kind: u8, scale: i8, unit: &str) -> Metric {
    Metric {
        name: name.to_owned(),
        kind,
        scale,
        width: if kind == 0 { 64 } else { 0 },
        unit: unit.to_owned(),
    }
}

/// How devices are polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All 50 series in one poll a minute, as the peers got them.
    Fifty,
    /// As our probe does: 49 series a minute, round-trip time and loss every ten seconds.
    Ours,
}

/// The layouts of `devices` devices, numbered from 1 (and the ping layouts above them).
pub(crate) fn layouts(devices: u32, shape: Shape) -> HashMap<LayoutNo, Layout> {
    let mut all = HashMap::new();
    for device in 1..=devices {
        let mut metrics = vec![
            metric("ifHCInOctets", 0, 0, "octets"),
            metric("ifHCOutOctets", 0, 0, "octets"),
            metric("ifInErrors", 0, 0, "packets"),
            metric("ifOutErrors", 0, 0, "packets"),
            metric("ifOperStatus", 2, 0, ""),
            metric("ifHighSpeed", 1, 0, ""),
            metric("sysUpTime", 1, -2, "s"),
        ];
        let mut columns = Vec::new();
        for instance in 1..=8 {
            for metric in 0..6 {
                columns.push(Column {
                    metric,
                    instance: InstanceNo(instance),
                });
            }
        }
        columns.push(Column {
            metric: 6,
            instance: InstanceNo(0),
        });
        if shape == Shape::Fifty {
            metrics.push(metric("rtt", 1, -3, "ms"));
            columns.push(Column {
                metric: 7,
                instance: InstanceNo(0),
            });
        }
        let phase_s = (mix(u64::from(device)) % 60) as u32;
        all.insert(
            LayoutNo(device),
            Layout {
                no: LayoutNo(device),
                device: DeviceNo(device),
                group: 1,
                interval_s: 60,
                phase_s,
                valid_from_s: 0,
                metrics,
                columns,
            },
        );
        if shape == Shape::Ours {
            let no = LayoutNo(devices + device);
            all.insert(
                no,
                Layout {
                    no,
                    device: DeviceNo(device),
                    group: 0,
                    interval_s: 10,
                    phase_s: phase_s % 10,
                    valid_from_s: 0,
                    metrics: vec![
                        metric("rtt", 1, -3, "ms"),
                        metric("loss_ratio", 1, -3, "ratio"),
                    ],
                    columns: vec![
                        Column {
                            metric: 0,
                            instance: InstanceNo(0),
                        },
                        Column {
                            metric: 1,
                            instance: InstanceNo(0),
                        },
                    ],
                },
            );
        }
    }
    all
}

/// One device's poll number `step` (60 s apart).
pub(crate) fn poll(device: u32, step: u64, shape: Shape, layout: &Layout, start_s: i64) -> Scrape {
    let d = u64::from(device);
    let mut values = Vec::with_capacity(PER as usize);
    for port in 0..INTERFACES {
        for k in 0..6 {
            values.push(Some(column(d, port * 6 + k, step)));
        }
    }
    values.push(Some(column(d, 48, step)));
    if shape == Shape::Fifty {
        values.push(Some(rtt(d, step)));
    }
    Scrape {
        layout: layout.no,
        slot_s: start_s + step as i64 * 60 + i64::from(layout.phase_s),
        offset_ms: (mix(d ^ (step << 20)) % 6) as i32,
        span_ms: 60_000 + (mix(d ^ (step << 20)) % 6) as u32 - 3,
        values,
        spans: Vec::new(),
    }
}

/// One device's ping number `step` (10 s apart).
pub(crate) fn ping(device: u32, step: u64, layout: &Layout, start_s: i64) -> Scrape {
    let d = u64::from(device);
    Scrape {
        layout: layout.no,
        slot_s: start_s + step as i64 * 10 + i64::from(layout.phase_s),
        offset_ms: (mix(d ^ (step << 21)) % 10) as i32,
        span_ms: 0,
        values: vec![Some(rtt(d, step)), Some(0)],
        spans: Vec::new(),
    }
}

fn rtt(d: u64, step: u64) -> i64 {
    let h = mix((d * PER + 49).wrapping_mul(0x1_0000_0001) ^ (step << 40) ^ step);
    let base = 0.2 + unit(mix(d ^ 7)) * 40.0;
    let late = if h.is_multiple_of(97) { base } else { 0.0 };
    ((base + unit(h) * base * 0.1 + late) * 1000.0).round() as i64
}

fn column(d: u64, k: u64, step: u64) -> i64 {
    let s = d * PER + k;
    let h = mix(s.wrapping_mul(0x1_0000_0001) ^ (step << 40) ^ step);
    let t = step as f64 * 60.0;
    let idle = k < 48 && mix(d * 8 + k / 6) % 100 < 25;
    match (k, k % 6) {
        (48, _) => {
            (mix(d) % 8_000_000_000) as i64 / 100 * 100 + (t * 100.0) as i64 + (h % 3) as i64
        }
        (_, 0 | 1) if idle => 0,
        (_, 0 | 1) => {
            let rate = 10_f64.powf(3.0 + unit(mix(mix(s ^ 0x51))) * 4.0);
            let day = 1.0 + 0.6 * (t / 86_400.0 * std::f64::consts::TAU + rate).sin();
            (rate * day * 60.0 * (0.8 + 0.4 * unit(h))).floor() as i64
        }
        (_, 2 | 3) if mix(s).is_multiple_of(20) && h.is_multiple_of(20) => 1 + (h % 7) as i64,
        (_, 2 | 3) => 0,
        (_, 4) => 1 + i64::from(idle),
        _ if k / 6 == 7 => 10_000,
        _ => 1_000,
    }
}
