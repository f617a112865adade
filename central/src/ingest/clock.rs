//! How far a probe's wall clock is from ours.
//!
//! Measured at each hello and status; used beyond 2 s, with hysteresis, so that shown times do not tremble. Batches of
//! another boot, or made before the probe's clock was set, cannot be measured: they are marked approximate.

use farwatch_shared::clock::Timestamp;

use crate::store::inbound::ClockCorrection;

/// Beyond this a probe's times are corrected.
const ENTER_MS: i64 = 2_000;
/// Below this a correction ends.
const LEAVE_MS: i64 = 1_000;
/// A correction moves when the measurement is this far from it.
const STEP_MS: i64 = 500;
/// A batch is closed at most this long after the newest time in it.
const CLOSING_MS: i64 = 15_000;

/// The clock of one session's probe.
#[derive(Clone, Debug)]
pub(super) struct ProbeClock {
    boot_id: String,
    /// Ours minus the probe's wall clock, as last measured.
    measured_ms: i64,
    /// Ours minus the probe's boot-time clock.
    base_ms: i64,
    /// What is added to its times.
    used_ms: i64,
}

impl ProbeClock {
    /// From a hello: the probe's clocks at sending, and ours when it had come, half a round trip later.
    pub(super) fn new(boot_id: &str, wall: Timestamp, boot_ms: i64, now: Timestamp) -> Self {
        let mut clock = Self {
            boot_id: boot_id.to_owned(),
            measured_ms: 0,
            base_ms: 0,
            used_ms: 0,
        };
        clock.measure(wall, boot_ms, now);
        clock
    }

    /// Measures again; from a status.
    pub(super) fn measure(&mut self, wall: Timestamp, boot_ms: i64, now: Timestamp) {
        self.measured_ms = now.since(wall);
        self.base_ms = now.ms().saturating_sub(boot_ms);
        let off = self.measured_ms.saturating_abs();
        if self.used_ms == 0 {
            if off > ENTER_MS {
                self.used_ms = self.measured_ms;
            }
        } else if off < LEAVE_MS {
            self.used_ms = 0;
        } else if self
            .measured_ms
            .saturating_sub(self.used_ms)
            .saturating_abs()
            > STEP_MS
        {
            self.used_ms = self.measured_ms;
        }
    }

    /// What is added to the probe's times now, ms.
    pub(super) const fn offset_ms(&self) -> i64 {
        self.used_ms
    }

    /// For a batch closed at `boot_ms` of the boot `boot_id`, with `to` as its newest time.
    pub(super) fn correction(&self, boot_id: &str, boot_ms: i64, to: Timestamp) -> ClockCorrection {
        if boot_id.is_empty() || boot_id != self.boot_id {
            return ClockCorrection {
                offset_ms: self.used_ms,
                approximate: true,
            };
        }
        // The same boot: the boot-time clock says when the batch was closed, whatever the wall clock was then.
        let closed = Timestamp(self.base_ms.saturating_add(boot_ms));
        let late_by = closed.since(to.plus_ms(self.measured_ms));
        if (-LEAVE_MS..=CLOSING_MS).contains(&late_by) {
            ClockCorrection {
                offset_ms: self.used_ms,
                approximate: false,
            }
        } else {
            ClockCorrection {
                offset_ms: closed.since(to),
                approximate: true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn clock(behind_ms: i64) -> ProbeClock {
        ProbeClock::new("boot", NOW.plus_ms(-behind_ms), 5_000, NOW)
    }

    #[test]
    fn a_clock_within_two_seconds_is_left_alone() {
        for behind in [-2_000, -10, 0, 10, 2_000] {
            assert_eq!(clock(behind).offset_ms(), 0, "{behind}");
        }
        assert_eq!(clock(2_001).offset_ms(), 2_001);
        assert_eq!(clock(-3_600_000).offset_ms(), -3_600_000);
    }

    #[test]
    fn a_correction_does_not_tremble() {
        let mut probe = clock(2_500);
        let mut at = |behind: i64| {
            probe.measure(NOW.plus_ms(-behind), 5_000, NOW);
            probe.offset_ms()
        };
        assert_eq!(at(2_400), 2_500, "a small move changes nothing");
        assert_eq!(at(1_800), 1_800, "a greater one is followed");
        assert_eq!(at(1_000), 1_000, "still corrected at the lower edge");
        assert_eq!(at(999), 0);
        assert_eq!(at(1_900), 0, "and begins again only beyond two seconds");
        assert_eq!(at(i64::MAX), i64::MAX, "absurd clocks do not overflow");
    }

    #[test]
    fn a_batch_of_this_boot_is_exact_and_of_another_approximate() {
        let probe = clock(60_000);
        let to = NOW.plus_ms(-60_000 - 3_000);
        let same = probe.correction("boot", 2_500, to);
        assert_eq!((same.offset_ms, same.approximate), (60_000, false));
        let other = probe.correction("older", 2_500, to);
        assert_eq!((other.offset_ms, other.approximate), (60_000, true));
        assert!(probe.correction("", 2_500, to).approximate);
    }

    #[test]
    fn a_batch_from_before_the_clock_was_set_is_dated_by_the_boot_time() {
        // Booted in 1970; NTP set the clock 4 s after boot; the batch was closed 1 s after boot.
        let probe = clock(0);
        let made = probe.correction("boot", 1_000, Timestamp(900));
        assert!(made.approximate);
        assert_eq!(made.apply(Timestamp(900)), NOW.plus_ms(-4_000));
    }
}
