//! What time an SNMP engine thinks it is (RFC 3414 §2.2 and §3.2).

use tokio::time::Instant;

/// The boots and time of one device's engine, carried on by our own clock between its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EngineClock {
    stamp: Stamp,
    /// When `stamp` was true.
    at: Instant,
    /// Whether an authenticated message ever said so. Until then it is what a discovery answered, which anybody could
    /// have sent.
    trusted: bool,
}

/// snmpEngineBoots and snmpEngineTime (seconds), each 0..2³¹-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    pub(crate) boots: u32,
    pub(crate) time: u32,
}

/// RFC 3414 §2.2.3.
const WINDOW_S: u32 = 150;
const MAX: u32 = (1 << 31) - 1;

impl EngineClock {
    /// From a discovery: believed until something better comes.
    pub(crate) const fn discovered(stamp: Stamp, now: Instant) -> Self {
        Self {
            stamp,
            at: now,
            trusted: false,
        }
    }

    /// What to put into a message sent `now`.
    pub(crate) fn stamp(&self, now: Instant) -> Stamp {
        let passed = u32::try_from(now.saturating_duration_since(self.at).as_secs()).unwrap_or(MAX);
        Stamp {
            boots: self.stamp.boots,
            time: self.stamp.time.saturating_add(passed).min(MAX),
        }
    }

    /// Judges an authenticated answer by §3.2.7b, and follows it when it is ahead of us.
    pub(crate) fn accept(&mut self, received: Stamp, now: Instant) -> bool {
        let own = self.stamp(now);
        if !self.trusted || received > own {
            *self = Self {
                stamp: received,
                at: now,
                trusted: true,
            };
        }
        let own = self.stamp(now);
        received.boots != MAX && received.boots == own.boots && own.time - received.time <= WINDOW_S
    }

    /// An authenticated report says that we are outside its window: its time is the right one, even when it is earlier.
    ///
    /// RFC 3414 would have it only move forward, against replay. But this report carries the random message id of a
    /// request under way, so it cannot be an old one; and devices that cannot keep their boots go back to (1, 0) at
    /// every start, which would lock us out for ever.
    pub(crate) const fn resynchronize(&mut self, received: Stamp, now: Instant) {
        *self = Self {
            stamp: received,
            at: now,
            trusted: true,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const fn stamp(boots: u32, time: u32) -> Stamp {
        Stamp { boots, time }
    }

    #[test]
    fn the_clock_goes_on_by_itself() {
        let start = Instant::now();
        let clock = EngineClock::discovered(stamp(3, 100), start);
        assert_eq!(
            clock.stamp(start + Duration::from_secs(3600)),
            stamp(3, 3700)
        );
        let late = EngineClock::discovered(stamp(3, MAX - 1), start);
        assert_eq!(
            late.stamp(start + Duration::from_secs(3600)),
            stamp(3, MAX),
            "and stops at its end"
        );
    }

    #[test]
    fn an_answer_is_judged_by_the_window_of_150_seconds() {
        let start = Instant::now();
        let mut clock = EngineClock::discovered(stamp(3, 1000), start);
        assert!(clock.accept(stamp(3, 1000), start));
        assert!(clock.accept(stamp(3, 900), start), "a little behind");
        assert!(!clock.accept(stamp(3, 849), start), "too far behind");
        assert!(!clock.accept(stamp(2, 1000), start), "an earlier boot");
        assert_eq!(
            clock.stamp(start),
            stamp(3, 1000),
            "and none of them moved it"
        );
        assert!(
            clock.accept(stamp(3, 5000), start),
            "ahead of us: we follow"
        );
        assert!(clock.accept(stamp(4, 7), start), "restarted: we follow");
        assert!(
            !clock.accept(stamp(MAX, 1), start),
            "an engine at its last boot is never in time"
        );
    }

    #[test]
    fn what_a_discovery_said_yields_to_the_first_true_message() {
        let start = Instant::now();
        let mut clock = EngineClock::discovered(stamp(MAX, MAX), start); // forged
        assert!(clock.accept(stamp(2, 50), start));
        assert_eq!(clock.stamp(start), stamp(2, 50));
    }
}
