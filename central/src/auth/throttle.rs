//! Guessing passwords is slow; nobody else is locked out by it.
//!
//! Five attempts of one address on one account are free, then each failure doubles the wait. One address on many
//! accounts, and many addresses on one account, are slowed too; but an address that has signed in to an account before
//! only ever waits for its own failures.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use farwatch_shared::clock::Timestamp;

/// Failures that cost nothing: of one address on one account; of one address; of one account.
const FREE: [u32; 3] = [5, 20, 50];
/// The longest wait: of one address on one account; of one address; of one account.
const LONGEST_S: [i64; 3] = [300, 300, 10];
/// Failures are forgotten after this long.
const FORGET_MS: i64 = 15 * 60 * 1_000;
/// Entries kept; beyond it the oldest failures are forgotten.
const MOST: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Pair(String, String),
    Address(String),
    Account(String),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Timestamp,
}

#[derive(Debug, Default)]
struct Known {
    failures: HashMap<Key, Failures>,
    trusted: HashSet<(String, String)>,
}

/// Counts failed attempts, in memory.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<Known>);

impl Throttle {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether an attempt may be made now.
    ///
    /// # Errors
    /// Seconds to wait.
    pub fn ask(&self, account: &str, address: &str, now: Timestamp) -> Result<(), u64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trusted = known
            .trusted
            .contains(&(account.to_lowercase(), network(address)));
        let keys = keys(account, address);
        let asked = if trusted { &keys[..1] } else { &keys[..] };
        let wait = asked
            .iter()
            .enumerate()
            .filter_map(|(i, key)| known.failures.get(key).map(|failures| (i, failures)))
            .map(|(i, failures)| wait_ms(i, failures, now))
            .max()
            .unwrap_or(0);
        if wait > 0 {
            Err(u64::try_from(wait).unwrap_or(0).div_ceil(1_000))
        } else {
            Ok(())
        }
    }

    /// It was wrong.
    pub fn failed(&self, account: &str, address: &str, now: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.failures.len() > MOST {
            known
                .failures
                .retain(|_, failures| now.since(failures.last) < FORGET_MS);
            if known.failures.len() > MOST {
                known.failures.clear();
            }
        }
        for key in keys(account, address) {
            let failures = known.failures.entry(key).or_insert(Failures {
                count: 0,
                last: now,
            });
            if now.since(failures.last) >= FORGET_MS {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
        }
    }

    /// It was right.
    pub fn succeeded(&self, account: &str, address: &str, _now: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [pair, ..] = keys(account, address);
        known.failures.remove(&pair);
        if known.trusted.len() >= MOST {
            known.trusted.clear();
        }
        known
            .trusted
            .insert((account.to_lowercase(), network(address)));
    }
}

fn keys(account: &str, address: &str) -> [Key; 3] {
    let (account, address) = (account.to_lowercase(), network(address));
    [
        Key::Pair(account.clone(), address.clone()),
        Key::Address(address),
        Key::Account(account),
    ]
}

/// An IPv6 address stands for its /64, which one machine has as a whole.
fn network(address: &str) -> String {
    match address.parse() {
        Ok(std::net::IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => std::net::Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).to_string(),
        },
        _ => address.to_owned(),
    }
}

fn wait_ms(kind: usize, failures: &Failures, now: Timestamp) -> i64 {
    let over = failures.count.saturating_sub(FREE[kind]);
    if over == 0 || failures.count < FREE[kind] {
        return 0;
    }
    let seconds = 1i64
        .checked_shl(over.min(20))
        .unwrap_or(i64::MAX)
        .min(LONGEST_S[kind]);
    failures.last.plus_ms(seconds * 1_000).since(now).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_few_failures_each_one_doubles_the_wait() {
        let throttle = Throttle::new();
        let mut now = Timestamp(1_000_000);
        for _ in 0..6 {
            assert_eq!(throttle.ask("eva", "192.0.2.1", now), Ok(()));
            throttle.failed("eva", "192.0.2.1", now);
        }
        let mut waits = Vec::new();
        for _ in 0..10 {
            let wait = throttle.ask("Eva", "192.0.2.1", now).unwrap_err();
            waits.push(wait);
            now = now.plus_ms(i64::try_from(wait).unwrap() * 1_000);
            assert_eq!(throttle.ask("eva", "192.0.2.1", now), Ok(()));
            throttle.failed("eva", "192.0.2.1", now);
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn an_attacker_does_not_lock_out_whoever_signed_in_before() {
        let throttle = Throttle::new();
        let now = Timestamp(1_000_000);
        throttle.succeeded("eva", "192.0.2.1", now);
        for i in 0..200 {
            throttle.failed("eva", &format!("198.51.100.{i}"), now);
        }
        assert_eq!(throttle.ask("eva", "192.0.2.1", now), Ok(()));
        let stranger = throttle.ask("eva", "203.0.113.9", now).unwrap_err();
        assert!(
            stranger <= 10,
            "a stranger with the right password waits {stranger} s, not for ever"
        );
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let throttle = Throttle::new();
        let now = Timestamp(1_000_000);
        for i in 1..=6 {
            throttle.failed("eva", &format!("2001:db8::{i}"), now);
        }
        assert!(throttle.ask("eva", "2001:db8::ffff", now).is_err());
        assert!(throttle.ask("eva", "2001:db8:0:1::1", now).is_ok());
    }
}
