//! When to dial again.

use crate::session::Tick;

/// Backoff with full jitter, capped at 5 s; the jitter is taken after the cap, or a herd would move as one.
///
/// Useful work (a batch acknowledged) resets it; a mere connection does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Redial {
    failures: u32,
}

impl Redial {
    /// The longest wait of our own choice, ms.
    pub const CAP_MS: u64 = 5_000;
    /// The ceiling of the first wait, ms.
    const FIRST_MS: u64 = 250;

    /// When to dial after an attempt or a session that ended.
    pub fn after_failure(&mut self, now: Tick, random: u64) -> Tick {
        let ceiling = Self::FIRST_MS
            .saturating_mul(1 << self.failures.min(10))
            .min(Self::CAP_MS);
        self.failures = self.failures.saturating_add(1);
        now.plus_ms(i64::try_from(random % (ceiling + 1)).unwrap_or(0))
    }

    /// When to dial after a refusal: never before `retry_after_ms`, and up to a fifth (or our cap) later.
    pub fn after_refusal(&mut self, now: Tick, retry_after_ms: i64, random: u64) -> Tick {
        self.failures = self.failures.saturating_add(1);
        let asked = retry_after_ms.clamp(0, 3_600_000);
        let spread = (asked.unsigned_abs() / 5).max(Self::CAP_MS);
        now.plus_ms(asked.saturating_add(i64::try_from(random % (spread + 1)).unwrap_or(0)))
    }

    /// A batch was acknowledged.
    pub fn useful(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_cap_a_herd_spreads_over_the_whole_of_it() {
        let mut waits: Vec<i64> = (0..1_000u64)
            .map(|n| {
                let mut redial = Redial { failures: 20 };
                let random = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                redial.after_failure(Tick(0), random >> 7).0
            })
            .collect();
        waits.sort_unstable();
        assert!(waits.iter().all(|ms| (0..=5_000).contains(ms)));
        let spread = waits[900] - waits[100];
        assert!(spread >= 2_500, "middle 80 % within {spread} ms");
    }

    #[test]
    fn a_refusal_is_obeyed_and_work_resets() {
        let mut redial = Redial::default();
        for random in 0..50 {
            assert!(redial.after_refusal(Tick(0), 30_000, random * 977).0 >= 30_000);
        }
        redial.useful();
        assert!(redial.after_failure(Tick(0), 249).0 <= 250);
    }
}
