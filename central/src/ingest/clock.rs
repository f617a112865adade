//! How far a probe's wall clock is from ours.
//!
//! Measured at each hello and status, by the fastest message of the last minutes (a lossy way holds some back for
//! seconds); used beyond 2 s, with hysteresis, so that shown times do not tremble. A batch of the same boot says both
//! clocks of its closing, so that one made before the probe's clock was set is corrected by what the clock was off then.
//! Batches of another boot cannot be measured: they are marked approximate.

use farwatch_shared::clock::Timestamp;

use crate::store::inbound::ClockCorrection;

/// Beyond this a probe's times are corrected.
const ENTER_MS: i64 = 2_000;
/// Below this a correction ends.
const LEAVE_MS: i64 = 1_000;
/// A correction moves when the measurement is this far from it.
const STEP_MS: i64 = 500;

/// A message that took longer than this did not come late: one of the clocks was set.
const LONGEST_WAY_MS: i64 = 60_000;
/// The fastest message of the last one or two of these counts: a clock that runs wrong by 100 ppm is 60 ms off by then.
const WINDOW_MS: i64 = 300_000;

/// The clock of one probe.
#[derive(Clone, Debug)]
pub(super) struct ProbeClock {
    boot_id: String,
    /// Ours minus the probe's wall clock, as last measured.
    measured_ms: i64,
    /// Ours minus the probe's boot-time clock.
    base_ms: Fastest,
    /// Our wall clock minus our boot-time clock, as it was when that was measured.
    ours_ms: i64,
    /// What is added to its times.
    used_ms: i64,
}

/// The least of what was measured lately: whatever a message waited on its way only adds to it.
#[derive(Clone, Copy, Debug)]
struct Fastest {
    now_ms: i64,
    before_ms: i64,
    since: Timestamp,
}

impl Fastest {
    const fn new(base_ms: i64, now: Timestamp) -> Self {
        Self {
            now_ms: base_ms,
            before_ms: base_ms,
            since: now,
        }
    }

    fn shift(&mut self, by_ms: i64) {
        self.now_ms = self.now_ms.saturating_add(by_ms);
        self.before_ms = self.before_ms.saturating_add(by_ms);
        self.since = self.since.plus_ms(by_ms);
    }

    fn get(self) -> i64 {
        self.now_ms.min(self.before_ms)
    }

    fn take(&mut self, base_ms: i64, now: Timestamp) {
        if base_ms.saturating_sub(self.get()) > LONGEST_WAY_MS {
            *self = Self::new(base_ms, now);
        } else if now.since(self.since).saturating_abs() > WINDOW_MS {
            *self = Self {
                now_ms: base_ms,
                before_ms: self.now_ms,
                since: now,
            };
        } else {
            self.now_ms = self.now_ms.min(base_ms);
        }
    }
}

impl ProbeClock {
    /// From a hello: the probe's clocks at sending, and ours when it had come, half a round trip later. What an earlier
    /// session of the same boot has measured still counts.
    pub(super) fn new(
        earlier: Option<Self>,
        boot_id: &str,
        wall: Timestamp,
        boot_ms: i64,
        now: Timestamp,
        ours_ms: i64,
    ) -> Self {
        let base_ms = now.ms().saturating_sub(boot_ms);
        let mut clock = earlier
            .filter(|earlier| earlier.boot_id == boot_id && !boot_id.is_empty())
            .unwrap_or_else(|| Self {
                boot_id: boot_id.to_owned(),
                measured_ms: 0,
                base_ms: Fastest::new(base_ms, now),
                ours_ms,
                used_ms: 0,
            });
        clock.ours_is(ours_ms);
        clock.measure(wall, boot_ms, now);
        clock
    }

    /// Our wall clock minus our boot-time clock now: where our own clock was set since the last measurement, what was
    /// measured moves with it, before the probe has said another word.
    pub(super) fn ours_is(&mut self, ours_ms: i64) {
        let by_ms = ours_ms.saturating_sub(self.ours_ms);
        if by_ms.saturating_abs() > STEP_MS {
            self.ours_ms = ours_ms;
            self.base_ms.shift(by_ms);
            self.is_off_by(self.measured_ms.saturating_add(by_ms));
        }
    }

    /// Measures again; from a status. The two clocks of the probe were read at one moment, so that only their common
    /// base depends on how long the message took.
    pub(super) fn measure(&mut self, wall: Timestamp, boot_ms: i64, now: Timestamp) {
        self.base_ms.take(now.ms().saturating_sub(boot_ms), now);
        self.is_off_by(Timestamp(self.base_ms.get().saturating_add(boot_ms)).since(wall));
    }

    fn is_off_by(&mut self, measured_ms: i64) {
        self.measured_ms = measured_ms;
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

    /// For a batch closed at `boot_ms` of the boot `boot_id`, when the probe's wall clock was `closed`.
    pub(super) fn correction(
        &self,
        boot_id: &str,
        boot_ms: i64,
        closed: Timestamp,
    ) -> ClockCorrection {
        if boot_id.is_empty() || boot_id != self.boot_id {
            return ClockCorrection {
                offset_ms: self.used_ms,
                approximate: true,
            };
        }
        // The same boot: the boot-time clock says when that was, whatever the wall clock said then.
        let off = Timestamp(self.base_ms.get().saturating_add(boot_ms)).since(closed);
        let as_now = off.saturating_sub(self.measured_ms).saturating_abs() <= STEP_MS;
        ClockCorrection {
            offset_ms: if as_now {
                self.used_ms
            } else if off.saturating_abs() > ENTER_MS {
                off
            } else {
                0
            },
            approximate: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn clock(behind_ms: i64) -> ProbeClock {
        ProbeClock::new(None, "boot", NOW.plus_ms(-behind_ms), 5_000, NOW, 0)
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
    fn what_a_message_waits_on_its_way_is_not_taken_for_a_wrong_clock() {
        let mut probe = clock(0);
        // A status every 5 s; most of them take up to 4 s.
        for (nth, way_ms) in [(1, 4_000), (2, 10), (3, 2_500), (4, 3_900), (80, 2_600)] {
            let sent = NOW.plus_ms(nth * 5_000);
            probe.measure(sent, 5_000 + nth * 5_000, sent.plus_ms(way_ms));
            assert_eq!(probe.offset_ms(), 0, "status {nth}");
        }
        // The hello of the next session takes its time, too.
        let sent = NOW.plus_ms(500_000);
        let later = sent.plus_ms(3_000);
        let mut probe = ProbeClock::new(Some(probe), "boot", sent, 505_000, later, 0);
        assert_eq!(probe.offset_ms(), 0);
        // A clock that was set is noticed by the very message that says so, however late.
        let sent = NOW.plus_ms(505_000);
        let hour = 3_600_000;
        probe.measure(sent.plus_ms(-hour), 510_000, sent.plus_ms(4_000));
        assert!(
            (hour - 100..=hour + 3_000).contains(&probe.offset_ms()),
            "{probe:?}"
        );
        // Ours was set by two hours.
        probe.measure(sent.plus_ms(-hour), 510_000, sent.plus_ms(2 * hour));
        assert_eq!(probe.offset_ms(), 3 * hour);
        // Another boot begins anew.
        let other = ProbeClock::new(Some(probe), "next", NOW, 1_000, NOW, 0);
        assert_eq!(other.offset_ms(), 0);
    }

    #[test]
    fn a_batch_of_this_boot_is_exact_and_of_another_approximate() {
        let probe = clock(60_000);
        let closed = NOW.plus_ms(-60_000 - 2_500);
        let same = probe.correction("boot", 2_500, closed);
        assert_eq!((same.offset_ms, same.approximate), (60_000, false));
        let other = probe.correction("older", 2_500, closed);
        assert_eq!((other.offset_ms, other.approximate), (60_000, true));
        assert!(probe.correction("", 2_500, closed).approximate);
    }

    #[test]
    fn our_own_clock_counts_as_soon_as_it_is_set() {
        let ten_years = 315_360_000_000;
        let mut probe = clock(0);
        // Ours was ten years behind while the session began, and is right from here on.
        probe.ours_is(ten_years);
        assert_eq!(probe.offset_ms(), ten_years);
        let made = probe.correction("boot", 6_000, NOW.plus_ms(1_000));
        assert_eq!((made.offset_ms, made.approximate), (ten_years, false));
        probe.ours_is(0);
        assert_eq!(probe.offset_ms(), 0);
        assert_eq!(
            probe
                .correction("boot", 6_000, NOW.plus_ms(1_000))
                .offset_ms,
            0
        );
        probe.ours_is(400);
        assert_eq!(
            probe.offset_ms(),
            0,
            "what NTP does by and by is not a clock that was set"
        );
        let again = ProbeClock::new(
            Some(probe),
            "boot",
            NOW,
            5_000,
            NOW.plus_ms(-ten_years),
            -ten_years,
        );
        assert_eq!(again.offset_ms(), -ten_years);
    }

    #[test]
    fn a_batch_from_before_the_clock_was_set_is_dated_by_the_boot_time() {
        // Booted in 1970; NTP set the clock 4 s after boot; the batch was closed 1 s after boot.
        let probe = clock(0);
        let made = probe.correction("boot", 1_000, Timestamp(900));
        assert!(!made.approximate);
        assert_eq!(made.apply(Timestamp(900)), NOW.plus_ms(-4_000));
    }

    #[test]
    fn a_batch_is_corrected_by_its_own_clock_before_the_session_has_heard_of_the_change() {
        // As last measured, the probe was 3 s ahead; it was set 4 s back and its next batch is here before its status.
        let probe = clock(-3_000);
        assert_eq!(probe.offset_ms(), -3_000);
        let closed = NOW.plus_ms(1_000 - 1_000);
        let made = probe.correction("boot", 6_000, closed);
        assert_eq!(
            (made.offset_ms, made.approximate),
            (0, false),
            "1 s behind is near enough"
        );
        let made = probe.correction("boot", 6_000, closed.plus_ms(-2_000));
        assert_eq!((made.offset_ms, made.approximate), (3_000, false));
        assert_eq!(
            probe
                .correction("boot", 6_000, Timestamp(i64::MIN))
                .offset_ms,
            i64::MAX
        );
    }
}
