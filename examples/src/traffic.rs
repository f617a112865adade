//! How much has flowed: a pure function of seed and time, so that anybody can compute what a counter must say.

use std::f64::consts::TAU;

/// What is counted at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Column {
    InOctets,
    OutOctets,
    InUcastPkts,
    OutUcastPkts,
    InMulticastPkts,
    OutMulticastPkts,
    InBroadcastPkts,
    OutBroadcastPkts,
    InErrors,
    OutErrors,
    InDiscards,
    OutDiscards,
}

/// One direction of one cable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    /// Octets per second, on average.
    mean: f64,
    /// Shifts the waves, so that no two flows look alike.
    phase: f64,
    /// Packets with errors, per second.
    errors: f64,
    /// Octets in an average packet.
    packet: f64,
}

impl Flow {
    #[must_use]
    pub fn new(mean_octets_per_s: f64, errors_per_s: f64, seed: u64) -> Self {
        let phase = unit(mix(seed));
        Self {
            mean: mean_octets_per_s,
            phase: phase * TAU,
            errors: errors_per_s,
            packet: 400.0 + 500.0 * phase,
        }
    }

    /// Octets per second, on average.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// What has flowed between two moments (seconds; `from` ≤ `to`).
    #[must_use]
    pub fn between(&self, column: Column, from: f64, to: f64) -> u64 {
        let total = |at: f64| match column {
            Column::InOctets | Column::OutOctets => self.octets(at),
            Column::InUcastPkts | Column::OutUcastPkts => self.octets(at) / self.packet,
            Column::InMulticastPkts | Column::OutMulticastPkts => at * (0.2 + self.mean / 4e6),
            Column::InBroadcastPkts | Column::OutBroadcastPkts => at * (0.1 + self.mean / 9e6),
            Column::InErrors | Column::OutErrors => at * self.errors,
            Column::InDiscards | Column::OutDiscards => at * self.errors * 2.5,
        };
        let grown = (total(to).floor() - total(from).floor()).max(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, not negative, below 2^53"
        )]
        let grown = grown as u64;
        grown
    }

    /// Grows always, since the waves' shares add up to less than 1: a day, ten minutes, forty seconds.
    fn octets(&self, at: f64) -> f64 {
        let waves = WAVES.iter().map(|(share, period)| {
            let turn = TAU / period;
            share / turn * (turn * at + self.phase).sin()
        });
        self.mean * (at + waves.sum::<f64>())
    }
}

/// (share of the mean, period in seconds)
const WAVES: [(f64, f64); 3] = [(0.35, 86_400.0), (0.3, 600.0), (0.2, 40.0)];

/// A well stirred number (splitmix64).
#[must_use]
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The same as a fraction, 0 to 1.
#[must_use]
pub fn unit(n: u64) -> f64 {
    f64::from(u32::try_from(n >> 32).expect("the upper half")) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_never_runs_backwards_and_keeps_its_mean() {
        for seed in 0..20 {
            let flow = Flow::new(1e7, 0.01, seed);
            let mut sum = 0;
            for second in 0..3600 {
                sum += flow.between(Column::InOctets, f64::from(second), f64::from(second + 1));
            }
            assert_eq!(
                sum,
                flow.between(Column::InOctets, 0.0, 3600.0),
                "pieces add up to the whole"
            );
            let mean = f64::from(u32::try_from(sum / 3600).unwrap());
            assert!((mean / 1e7 - 1.0).abs() < 0.5, "seed {seed}: {mean}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_traffic() {
        let count = |seed| Flow::new(5e5, 0.0, seed).between(Column::OutUcastPkts, -1e6, 12_345.6);
        assert_eq!(count(7), count(7));
        assert_ne!(count(7), count(8));
    }
}
