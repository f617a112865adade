//! What is read from a device: the first plan, a constant. Later ones come from profiles.

use farwatch_shared::model::{Metric, MetricKind};
use farwatch_shared::oid::Oid;

use crate::increase::Width;

/// One column of a table that is read and sent: its object, and what its values are.
#[derive(Clone, Copy, Debug)]
pub struct PlanColumn {
    /// The MIB's symbol, and the metric's name.
    pub name: &'static str,
    /// The column's OID.
    pub oid: Oid0,
    /// Counter, with its width; or a state.
    pub counter: Option<Width>,
    /// Unit of the value.
    pub unit: &'static str,
    /// The column that is read instead where the device has it.
    pub better: Option<usize>,
    /// What the interface's speed says of its rate.
    pub line: Line,
}

/// The arcs of an OID known when the program is written.
pub type Oid0 = &'static [u32];

/// How fast a counter can grow on a line of a known speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// It counts octets.
    Octets,
    /// It counts packets: the smallest takes 84 octets of the line (IEEE 802.3: 64 + preamble and gap).
    Packets,
    /// It does not count.
    None,
}

impl Line {
    /// The most it can grow by in a second, for a speed in bit/s; `None` where that is not known.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a limit, not a value")]
    pub fn rate(self, speed_bps: u64) -> Option<f64> {
        match self {
            _ if speed_bps == 0 => None,
            Self::Octets => Some(speed_bps as f64 / 8.0),
            Self::Packets => Some(speed_bps as f64 / 672.0),
            Self::None => None,
        }
    }
}

const fn counter(
    name: &'static str,
    oid: Oid0,
    width: Width,
    line: Line,
    better: Option<usize>,
) -> PlanColumn {
    PlanColumn {
        name,
        oid,
        counter: Some(width),
        unit: match line {
            Line::Octets => "octets",
            _ => "packets",
        },
        better,
        line,
    }
}

const fn state(name: &'static str, oid: Oid0) -> PlanColumn {
    PlanColumn {
        name,
        oid,
        counter: None,
        unit: "",
        better: None,
        line: Line::None,
    }
}

/// What is read of each interface every minute (RFC 2863). Order is the order of a layout's metrics; a bit of
/// [`Mask`] each.
pub const INTERFACE: [PlanColumn; 14] = [
    counter(
        "ifHCInOctets",
        &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6],
        Width::Bits64,
        Line::Octets,
        None,
    ),
    counter(
        "ifHCOutOctets",
        &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 10],
        Width::Bits64,
        Line::Octets,
        None,
    ),
    counter(
        "ifHCInUcastPkts",
        &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 7],
        Width::Bits64,
        Line::Packets,
        None,
    ),
    counter(
        "ifHCOutUcastPkts",
        &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 11],
        Width::Bits64,
        Line::Packets,
        None,
    ),
    counter(
        "ifInOctets",
        &[1, 3, 6, 1, 2, 1, 2, 2, 1, 10],
        Width::Bits32,
        Line::Octets,
        Some(0),
    ),
    counter(
        "ifOutOctets",
        &[1, 3, 6, 1, 2, 1, 2, 2, 1, 16],
        Width::Bits32,
        Line::Octets,
        Some(1),
    ),
    counter(
        "ifInUcastPkts",
        &[1, 3, 6, 1, 2, 1, 2, 2, 1, 11],
        Width::Bits32,
        Line::Packets,
        Some(2),
    ),
    counter(
        "ifOutUcastPkts",
        &[1, 3, 6, 1, 2, 1, 2, 2, 1, 17],
        Width::Bits32,
        Line::Packets,
        Some(3),
    ),
    counter(
        "ifInErrors",
        &[1, 3, 6, 1, 2, 1, 2, 2, 1, 14],
        Width::Bits32,
        Line::Packets,
        None,
    ),
    counter(
        "ifOutErrors",
        &[1, 3, 6, 1, 2, 1, 2, 2, 1, 20],
        Width::Bits32,
        Line::Packets,
        None,
    ),
    counter(
        "ifInDiscards",
        &[1, 3, 6, 1, 2, 1, 2, 2, 1, 13],
        Width::Bits32,
        Line::Packets,
        None,
    ),
    counter(
        "ifOutDiscards",
        &[1, 3, 6, 1, 2, 1, 2, 2, 1, 19],
        Width::Bits32,
        Line::Packets,
        None,
    ),
    state("ifOperStatus", &[1, 3, 6, 1, 2, 1, 2, 2, 1, 8]),
    state("ifAdminStatus", &[1, 3, 6, 1, 2, 1, 2, 2, 1, 7]),
];

/// Place of `ifOperStatus` in [`INTERFACE`].
pub const OPER_STATUS: usize = 12;
/// Place of `ifAdminStatus` in [`INTERFACE`].
pub const ADMIN_STATUS: usize = 13;

/// `sysUpTime.0` (RFC 3418).
pub const SYS_UP_TIME: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 3, 0]);
/// `ifTableLastChange.0` (RFC 2863): rows came or went since.
pub const IF_TABLE_LAST_CHANGE: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 31, 1, 5, 0]);
/// `ifCounterDiscontinuityTime` (RFC 2863).
pub const IF_COUNTER_DISCONTINUITY_TIME: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 19]);

/// Which of [`INTERFACE`] an interface has: a bit each; [`HAS_DISCONTINUITY`] besides.
pub type Mask = u16;

/// Bit of a [`Mask`]: the interface tells when its counters were interrupted.
pub const HAS_DISCONTINUITY: Mask = 1 << 15;

/// The columns worth reading where `present` says which the device has: 64-bit counters in place of 32-bit ones.
#[must_use]
pub fn preferred(present: Mask) -> Mask {
    let mut mask = present;
    for (i, column) in INTERFACE.iter().enumerate() {
        if column
            .better
            .is_some_and(|better| present & 1 << better != 0)
        {
            mask &= !(1 << i);
        }
    }
    mask
}

/// The columns of a mask, in their order.
pub fn columns(mask: Mask) -> impl Iterator<Item = usize> {
    (0..INTERFACE.len()).filter(move |i| mask & 1 << i != 0)
}

/// The metrics of poll layouts: `sysUpTime` first, then [`INTERFACE`].
#[must_use]
pub fn poll_metrics() -> Vec<Metric> {
    let uptime = Metric {
        name: "sysUpTime".to_owned(),
        kind: MetricKind::Gauge.code(),
        scale: -2,
        width: 0,
        unit: "s".to_owned(),
    };
    std::iter::once(uptime)
        .chain(INTERFACE.iter().map(|column| {
            Metric {
                name: column.name.to_owned(),
                kind: column
                    .counter
                    .map_or(MetricKind::State, |_| MetricKind::Counter)
                    .code(),
                scale: 0,
                width: column.counter.map_or(0, Width::bits),
                unit: column.unit.to_owned(),
            }
        }))
        .collect()
}

/// The metrics of ping layouts: `rtt` in ms with three digits, `loss_ratio` likewise.
#[must_use]
pub fn ping_metrics() -> Vec<Metric> {
    [("rtt", "ms"), ("loss_ratio", "ratio")]
        .map(|(name, unit)| Metric {
            name: name.to_owned(),
            kind: MetricKind::Gauge.code(),
            scale: -3,
            width: 0,
            unit: unit.to_owned(),
        })
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_64_bit_counter_is_read_where_there_is_one() {
        let named = |mask| columns(mask).map(|i| INTERFACE[i].name).collect::<Vec<_>>();
        assert_eq!(
            named(preferred(0b1_0001_0001)),
            vec!["ifHCInOctets", "ifInErrors"]
        );
        assert_eq!(
            named(preferred(0b1_0001_0000)),
            vec!["ifInOctets", "ifInErrors"]
        );
        assert_eq!(preferred(HAS_DISCONTINUITY), HAS_DISCONTINUITY);
    }

    #[test]
    fn places_and_names_agree() {
        assert_eq!(INTERFACE[OPER_STATUS].name, "ifOperStatus");
        assert_eq!(INTERFACE[ADMIN_STATUS].name, "ifAdminStatus");
        for column in INTERFACE {
            if let Some(better) = column.better {
                assert_eq!(
                    INTERFACE[better].name.replace("HC", ""),
                    column.name,
                    "the better one counts the same"
                );
                assert_eq!(INTERFACE[better].counter, Some(Width::Bits64));
            }
        }
    }

    #[test]
    fn a_line_carries_no_more_than_its_speed() {
        assert_eq!(Line::Octets.rate(1_000_000_000), Some(125_000_000.0));
        assert!(Line::Packets.rate(1_000_000_000).unwrap() > 1_488_095.0);
        assert_eq!(Line::Octets.rate(0), None);
    }
}
