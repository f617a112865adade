//! How busy a writer is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Commits that the quantiles look back on.
const KEPT: usize = 512;

/// What a writer's thread leaves behind at each turn.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    pub(super) waiting: AtomicU64,
    commits: AtomicU64,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    times: Vec<Duration>,
    next: usize,
}

/// How busy a writer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterFigures {
    /// Jobs that wait for it now, those of the running commit included.
    pub waiting: u64,
    /// Group commits since the start.
    pub commits: u64,
    /// How long a commit takes, from its first job to its fsync, over the last 512; `None` before the first.
    pub p50: Option<Duration>,
    /// The slowest in a hundred of them.
    pub p99: Option<Duration>,
}

impl Pulse {
    /// So many jobs are done.
    pub(super) fn done(&self, jobs: usize) {
        self.waiting.fetch_sub(jobs as u64, Ordering::Relaxed);
    }

    pub(super) fn committed(&self, took: Duration) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = recent.next % KEPT;
        match recent.times.get_mut(at) {
            Some(time) => *time = took,
            None => recent.times.push(took),
        }
        recent.next = at + 1;
    }

    pub(super) fn figures(&self) -> WriterFigures {
        let mut times = {
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.times.clone()
        };
        times.sort_unstable();
        let quantile = |percent: usize| {
            let last = times.len().checked_sub(1)?;
            times.get(last * percent / 100).copied()
        };
        WriterFigures {
            waiting: self.waiting.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            p50: quantile(50),
            p99: quantile(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_commits_alone_count() {
        let pulse = Pulse::default();
        assert_eq!(pulse.figures(), WriterFigures::default());
        for _ in 0..KEPT {
            pulse.committed(Duration::from_secs(9));
        }
        for ms in 0..KEPT as u64 {
            pulse.committed(Duration::from_millis(ms));
        }
        let figures = pulse.figures();
        assert_eq!(figures.commits, 2 * KEPT as u64);
        assert_eq!(figures.p50, Some(Duration::from_millis(255)));
        assert_eq!(figures.p99, Some(Duration::from_millis(505)));
    }
}
