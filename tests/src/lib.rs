//! The test bench: both programs as processes, a pretend site, and a checker that believes neither.
//!
//! - [`cable`] a network of its own, with pings and a plug
//! - [`central`] Central as a process, and its API as a browser would use it
//! - [`probe`] a probe as a process
//! - [`eventually`] wait for a state with a limit, never for a time
//! - [`shim`] clocks, files and limits of a program, moved and written down from outside
//! - [`disk`] what a disk holds after the power went
//! - [`tmpfs`] a disk that can be filled
//! - [`shown`] what Central's own code shows of a directory
//! - [`damage`] what a bad disk does to files
//! - [`gauge`] what a process costs, from /proc
//! - [`checker`] is everything that was durable at the probe shown once by Central, or covered by a gap?
//! - [`proxy`] a bad network between probe and Central
//! - [`world`] all of it together

pub mod cable;
pub mod central;
pub mod checker;
pub mod damage;
pub mod disk;
pub mod gauge;
pub mod probe;
mod process;
pub mod proxy;
pub mod shim;
pub mod shown;
pub mod tinyproxy;
pub mod tmpfs;
pub mod world;

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

pub use process::{Kill, Process, binary, free_udp_and_tcp_port};

/// Waits until `look` says `Ok`, at most `limit`; fails with the last thing it said instead.
///
/// # Panics
/// When the limit is over.
pub async fn eventually<T, E: Debug, F, Fut>(limit: Duration, what: &str, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let start = Instant::now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(last) if start.elapsed() > limit => {
                panic!("not within {limit:?}: {what}; last: {last:?}")
            }
            Err(_) => pause().await,
        }
    }
}

/// Between two looks.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
