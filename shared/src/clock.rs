//! Time: the system's in production, moved by hand in tests.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment of wall time: milliseconds since 1970, UTC.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds since 1970.
    #[must_use]
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// From whole seconds since 1970.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Milliseconds from `earlier` to here; negative when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment moved by `ms`.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, as the API writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{} ms since 1970", self.0),
        }
    }
}

impl rusqlite::ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

impl rusqlite::types::FromSql for Timestamp {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

/// Where the time comes from.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Hands>),
}

#[derive(Debug)]
struct Hands {
    wall_ms: AtomicI64,
    boot_ms: AtomicI64,
}

impl Clock {
    /// The machine's own clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is moved.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(Hands {
            wall_ms: AtomicI64::new(start.0),
            boot_ms: AtomicI64::new(1_000_000),
        })))
    }

    /// Wall time now. May jump; order is never taken from it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "this is the one place that asks the system"
            )]
            Source::System => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                Timestamp(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
            }
            Source::Manual(hands) => Timestamp(hands.wall_ms.load(Ordering::Relaxed)),
        }
    }

    /// Milliseconds since this machine booted, suspend included (`CLOCK_BOOTTIME`); never jumps within one boot.
    #[must_use]
    pub fn boot_ms(&self) -> i64 {
        match &self.0 {
            Source::System => {
                nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map_or(0, |t| {
                    t.tv_sec()
                        .saturating_mul(1_000)
                        .saturating_add(t.tv_nsec() / 1_000_000)
                })
            }
            Source::Manual(hands) => hands.boot_ms.load(Ordering::Relaxed),
        }
    }

    /// Moves a manual clock on: wall and boot time together. Does nothing to the system's.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(hands) = &self.0 {
            let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            hands.wall_ms.fetch_add(ms, Ordering::Relaxed);
            hands.boot_ms.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// Sets a manual clock's wall time alone, as an administrator or NTP would.
    pub fn set_wall(&self, to: Timestamp) {
        if let Source::Manual(hands) = &self.0 {
            hands.wall_ms.store(to.0, Ordering::Relaxed);
        }
    }
}

/// Whether a wall clock may be believed by whoever removes things for their age.
///
/// A clock that was set far, or that is far from the newest thing there is, may be wrong: what it calls old waits until
/// it has stood for a day. What is too much for the disk goes by other rules.
#[derive(Debug)]
pub struct Steady {
    clock: Clock,
    base_ms: i64,
    since_boot_ms: i64,
}

impl Steady {
    /// A clock that is set by more than this may be wrong.
    const FAR_MS: i64 = 3_600_000;
    /// As long as this.
    const WAIT_MS: i64 = 24 * 3_600_000;
    /// A program that was off for longer than this may have woken with a wrong clock.
    const OFF_MS: i64 = 7 * 24 * 3_600_000;

    /// From a start on; `newest` is the newest moment that is stored.
    #[must_use]
    pub fn new(clock: Clock, newest: Option<Timestamp>) -> Self {
        let (now, boot_ms) = (clock.now(), clock.boot_ms());
        let strange = newest
            .is_some_and(|newest| !(-Self::FAR_MS..=Self::OFF_MS).contains(&now.since(newest)));
        let waited = if strange { 0 } else { Self::WAIT_MS };
        Self {
            base_ms: now.ms().saturating_sub(boot_ms),
            since_boot_ms: boot_ms.saturating_sub(waited),
            clock,
        }
    }

    /// To be asked now and then, at the least before each removal.
    pub fn holds(&mut self) -> bool {
        let boot_ms = self.clock.boot_ms();
        let base_ms = self.clock.now().ms().saturating_sub(boot_ms);
        if base_ms.saturating_sub(self.base_ms).saturating_abs() > Self::FAR_MS {
            (self.base_ms, self.since_boot_ms) = (base_ms, boot_ms);
        }
        boot_ms.saturating_sub(self.since_boot_ms) >= Self::WAIT_MS
    }
}

/// This boot of this machine, from `/proc/sys/kernel/random/boot_id`; empty where there is none.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_rfc_3339() {
        assert_eq!(
            Timestamp(1_763_900_000_123).to_string(),
            "2025-11-23T12:13:20.123Z"
        );
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(Timestamp(5_000));
        assert_eq!(clock.now(), Timestamp(5_000));
        let boot = clock.boot_ms();
        clock.advance(Duration::from_secs(2));
        assert_eq!(
            (clock.now(), clock.boot_ms() - boot),
            (Timestamp(7_000), 2_000)
        );
        clock.set_wall(Timestamp(0));
        assert_eq!((clock.now(), clock.boot_ms() - boot), (Timestamp(0), 2_000));
    }

    #[test]
    fn a_clock_that_was_set_far_is_believed_after_a_day() {
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let day = Duration::from_secs(86_400);
        let mut steady = Steady::new(clock.clone(), Some(clock.now().plus_ms(-60_000)));
        assert!(steady.holds());
        clock.set_wall(clock.now().plus_ms(10 * 365 * 86_400_000));
        assert!(!steady.holds());
        clock.advance(day / 2);
        assert!(!steady.holds());
        clock.set_wall(Timestamp::from_secs(1_800_000_000));
        clock.advance(day / 2);
        assert!(!steady.holds(), "it was set again");
        clock.advance(day);
        assert!(steady.holds());
        let ahead = Timestamp::from_secs(2_200_000_000);
        let mut steady = Steady::new(Clock::manual(ahead), Some(clock.now()));
        assert!(!steady.holds(), "a start far from what is stored");
        assert!(Steady::new(clock, None).holds());
    }
}
