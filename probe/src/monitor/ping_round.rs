//! The ICMP round: every device once in its interval, many at a time.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use farwatch_shared::model::DeviceNo;
use futures::future::BoxFuture;

use crate::icmp::{Pace, PingOutcome, Pinger};

/// What can be sent echo requests: the network, or a list in a test.
pub trait Echo: fmt::Debug + Send + Sync {
    /// One request to each; outcomes in the order of the addresses.
    fn round<'a>(
        &'a self,
        addresses: &'a [IpAddr],
        pace: Pace,
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<PingOutcome>>;
}

impl Echo for Pinger {
    fn round<'a>(
        &'a self,
        addresses: &'a [IpAddr],
        pace: Pace,
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<PingOutcome>> {
        Box::pin(self.round(addresses, pace, timeout))
    }
}

/// One device to be pinged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingJob {
    /// Which.
    pub device: DeviceNo,
    /// Where.
    pub address: IpAddr,
    /// The slot that the answer belongs to; `None` for a check outside the slots.
    pub slot_s: Option<i64>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinged {
    /// It answered, after this many µs.
    Answer {
        /// Round-trip time, µs.
        rtt_us: i64,
    },
    /// It did not.
    Silence,
    /// The system would not let us ask.
    NotPermitted,
}

/// Asks all of them once; the next round is `interval` later, and this one has ended by then.
pub async fn round(
    echo: &dyn Echo,
    jobs: &[PingJob],
    interval: Duration,
) -> Vec<(PingJob, Pinged)> {
    let addresses: Vec<IpAddr> = jobs.iter().map(|job| job.address).collect();
    let patience = PATIENCE.min(interval.mul_f64(0.75));
    let outcomes = echo.round(&addresses, Pace::FlatOut, patience).await;
    jobs.iter()
        .zip(outcomes)
        .map(|(job, outcome)| (*job, pinged(outcome)))
        .collect()
}

fn pinged(outcome: PingOutcome) -> Pinged {
    match outcome {
        PingOutcome::Reply { rtt } => Pinged::Answer {
            rtt_us: i64::try_from(rtt.as_micros()).unwrap_or(i64::MAX),
        },
        PingOutcome::NotSent { errno } if errno == NOT_PERMITTED || errno == NO_ACCESS => {
            Pinged::NotPermitted
        }
        _ => Pinged::Silence,
    }
}

const NOT_PERMITTED: i32 = nix::errno::Errno::EPERM as i32;
const NO_ACCESS: i32 = nix::errno::Errno::EACCES as i32;
/// How long an echo may take.
const PATIENCE: Duration = Duration::from_secs(2);
