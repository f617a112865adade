//! How often somebody may ask: one token bucket per asker, in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;

use farwatch_shared::clock::Timestamp;

/// Askers remembered at once. When more come, those whose buckets are full again are forgotten; when none is, all are:
/// memory stays bounded, and a flood from that many addresses is not held back by counting addresses anyway.
const MOST_ASKERS: usize = 10_000;

/// Token buckets by `K`: so many a minute, and as many at once.
#[derive(Debug)]
pub struct Limiter<K> {
    per_minute: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Timestamp,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// So many a minute for each asker.
    #[must_use]
    pub fn per_minute(per_minute: f64) -> Self {
        Self {
            per_minute,
            buckets: Mutex::default(),
        }
    }

    /// Takes one; `false` when there is none left for now.
    pub fn take(&self, who: &K, now: Timestamp) -> bool {
        let Ok(mut buckets) = self.buckets.lock() else {
            return false;
        };
        if buckets.len() >= MOST_ASKERS && !buckets.contains_key(who) {
            buckets.retain(|_, bucket| self.filled(*bucket, now) < self.per_minute);
            if buckets.len() >= MOST_ASKERS {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(who.clone()).or_insert(Bucket {
            left: self.per_minute,
            at: now,
        });
        let left = self.filled(*bucket, now);
        let free = left >= 1.0;
        *bucket = Bucket {
            left: if free { left - 1.0 } else { left },
            at: now,
        };
        free
    }

    /// Whether one is left, without taking it.
    #[must_use]
    pub fn is_free(&self, who: &K, now: Timestamp) -> bool {
        self.buckets.lock().is_ok_and(|buckets| {
            buckets
                .get(who)
                .is_none_or(|bucket| self.filled(*bucket, now) >= 1.0)
        })
    }

    fn filled(&self, bucket: Bucket, now: Timestamp) -> f64 {
        // A clock that was set back fills nothing, and takes nothing away.
        let passed = u32::try_from(now.since(bucket.at).clamp(0, 3_600_000)).unwrap_or(0);
        (bucket.left + f64::from(passed) / 60_000.0 * self.per_minute).min(self.per_minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_asker_is_held_back_and_another_is_not() {
        let limit = Limiter::per_minute(6.0);
        let now = Timestamp::from_secs(1_000);
        let taken = (0..20).filter(|_| limit.take(&"a", now)).count();
        assert_eq!(taken, 6);
        assert!(!limit.is_free(&"a", now));
        assert!(limit.is_free(&"b", now) && limit.take(&"b", now));
        assert!(
            limit.take(&"a", now.plus_ms(10_000)),
            "one every ten seconds"
        );
        assert!(!limit.take(&"a", now.plus_ms(10_000)));
    }

    #[test]
    fn memory_stays_bounded() {
        let limit = Limiter::per_minute(1.0);
        for asker in 0..50_000_u32 {
            limit.take(&asker, Timestamp::from_secs(1_000));
        }
        assert!(limit.buckets.lock().unwrap().len() <= MOST_ASKERS);
    }
}
