//! Flap damping: every change is kept, people hear of it once.

use std::collections::VecDeque;

/// The latest changes of one device.
#[derive(Clone, Debug, Default)]
pub(super) struct Flap {
    changes_ms: VecDeque<i64>,
    flapping: bool,
}

/// What a change of state, or quiet, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlapChange {
    /// From now on it is flapping: that many changes within [`WINDOW_MS`].
    Flapping(usize),
    /// It has been quiet for [`WINDOW_MS`].
    Steady,
}

impl Flap {
    /// The state changed.
    pub(super) fn changed(&mut self, now_ms: i64) -> Option<FlapChange> {
        self.changes_ms.push_back(now_ms);
        while self.changes_ms.len() > LIMIT
            || self
                .changes_ms
                .front()
                .is_some_and(|at| now_ms - at > WINDOW_MS)
        {
            self.changes_ms.pop_front();
        }
        if !self.flapping && self.changes_ms.len() >= LIMIT {
            self.flapping = true;
            return Some(FlapChange::Flapping(LIMIT));
        }
        None
    }

    /// Time passes.
    pub(super) fn tick(&mut self, now_ms: i64) -> Option<FlapChange> {
        let quiet = self
            .changes_ms
            .back()
            .is_none_or(|at| now_ms - at > WINDOW_MS);
        if self.flapping && quiet {
            self.flapping = false;
            self.changes_ms.clear();
            return Some(FlapChange::Steady);
        }
        None
    }

    pub(super) const fn is_flapping(&self) -> bool {
        self.flapping
    }
}

/// As many changes within [`WINDOW_MS`] are flapping.
pub(super) const LIMIT: usize = 6;
/// The time in which changes are counted, and the quiet that ends it.
pub(super) const WINDOW_MS: i64 = 600_000;
