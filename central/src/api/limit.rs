//! One address cannot keep Central busy for all others: a bucket of requests per address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use farwatch_shared::clock::{Clock, Timestamp};

use super::Central;
use super::error::ApiError;
use crate::auth::session::{Transport, Via};

/// A full bucket holds this many seconds of requests.
const BURST_S: u32 = 10;
/// Addresses remembered.
const MOST: usize = 50_000;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of a request.
    left_m: i64,
    at: Timestamp,
}

/// Requests per address.
#[derive(Clone, Debug)]
pub struct Limit {
    clock: Clock,
    per_s: i64,
    buckets: Arc<Mutex<HashMap<String, Bucket>>>,
}

impl Limit {
    /// As the settings say; 0 is no limit.
    #[must_use]
    pub fn new(central: &Central) -> Self {
        Self {
            clock: central.clock.clone(),
            per_s: i64::from(central.settings.requests_per_s),
            buckets: Arc::default(),
        }
    }

    /// Takes one request out of the bucket; `Err` is seconds to wait.
    fn take(&self, address: &str) -> Result<(), u64> {
        if self.per_s == 0 {
            return Ok(());
        }
        let now = self.clock.now();
        let full = self.per_s * i64::from(BURST_S) * 1_000;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST {
            buckets.retain(|_, bucket| now.since(bucket.at) < i64::from(BURST_S) * 1_000);
        }
        let bucket = buckets.entry(address.to_owned()).or_insert(Bucket {
            left_m: full,
            at: now,
        });
        let gained = now.since(bucket.at).clamp(0, 3_600_000) * self.per_s;
        bucket.left_m = (bucket.left_m + gained).min(full);
        bucket.at = now;
        if bucket.left_m < 1_000 {
            return Err(1);
        }
        bucket.left_m -= 1_000;
        Ok(())
    }
}

/// Refuses with 429 what is too much. This machine's own control socket is never slowed.
pub async fn slow_down(
    State(limit): State<Limit>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let Some(via) = request.extensions().get::<Via>()
        && via.transport != Transport::Local
    {
        limit
            .take(&via.peer)
            .map_err(|retry_after_s| ApiError::TooMany { retry_after_s })?;
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_with_time_per_address() {
        let clock = Clock::manual(Timestamp(1_000));
        let limit = Limit {
            clock: clock.clone(),
            per_s: 10,
            buckets: Arc::default(),
        };
        let taken = (0..200).filter(|_| limit.take("192.0.2.1").is_ok()).count();
        assert_eq!(taken, 100);
        assert!(limit.take("192.0.2.2").is_ok());
        clock.advance(Duration::from_secs(1));
        let taken = (0..200).filter(|_| limit.take("192.0.2.1").is_ok()).count();
        assert_eq!(taken, 10);
    }
}
