//! The backlog's rate.

use crate::session::Tick;

/// A token bucket: a quarter of a second's bytes at most, and one order may overdraw it.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    bytes_per_s: i64,
    tokens: i64,
    at: Tick,
}

impl Bucket {
    /// Empty, at this rate; at least one byte a second.
    #[must_use]
    pub fn new(bytes_per_s: u64) -> Self {
        Self {
            bytes_per_s: i64::try_from(bytes_per_s)
                .unwrap_or(i64::MAX / 2_000)
                .clamp(1, i64::MAX / 2_000),
            tokens: 0,
            at: Tick(0),
        }
    }

    /// Full, from `now` on.
    pub(super) fn start(&mut self, now: Tick) {
        self.at = now;
        self.tokens = self.depth();
    }

    /// How many bytes may go now (at least 1), or when the next may.
    ///
    /// # Errors
    /// When to ask again.
    pub(super) fn ready(&mut self, now: Tick) -> Result<u64, Tick> {
        let earned = now.since(self.at).clamp(0, 60_000) * self.bytes_per_s / 1_000;
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned).min(self.depth());
            // What is not yet a whole byte keeps earning.
            self.at = self
                .at
                .plus_ms((earned * 1_000 / self.bytes_per_s).min(now.since(self.at)));
        }
        if self.tokens > 0 {
            Ok(self.tokens.unsigned_abs())
        } else {
            let wait_ms = (1 - self.tokens) * 1_000 / self.bytes_per_s + 1;
            Err(now.plus_ms(wait_ms))
        }
    }

    /// Bytes went.
    pub(super) fn take(&mut self, bytes: u64) {
        self.tokens = self
            .tokens
            .saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn depth(&self) -> i64 {
        (self.bytes_per_s / 4).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_a_minute_the_rate_is_kept() {
        let mut bucket = Bucket::new(1_000_000);
        let mut now = Tick(5);
        bucket.start(now);
        let mut bytes = 0;
        while now.since(Tick(5)) < 60_000 {
            match bucket.ready(now) {
                Ok(_) => {
                    bucket.take(65_536);
                    bytes += 65_536;
                }
                Err(at) => {
                    assert!(at > now);
                    now = at;
                }
            }
        }
        assert!((59_000_000..=60_500_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_slow_rate_earns_in_the_end() {
        let mut bucket = Bucket::new(10);
        bucket.start(Tick(0));
        bucket.take(1_000);
        let at = bucket.ready(Tick(0)).unwrap_err();
        assert!((99_000..101_000).contains(&at.0), "{at:?}");
        // Asked every millisecond, nothing is rounded away.
        let ready = (0..200_000).find(|ms| bucket.ready(Tick(*ms)).is_ok());
        assert!(
            ready.is_some_and(|ms| (99_000..=100_200).contains(&ms)),
            "{ready:?}"
        );
    }
}
