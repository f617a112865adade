//! A wall clock that is set while the probe runs.
//!
//! Slots are seconds of the wall clock. When it is set, what waits and what is under way is dated anew as the clock would
//! have dated it, so that a batch never holds times of two clocks: Central corrects each batch by one offset. The
//! schedule goes on from the new second, without the slots in between: nobody slept through them. (A machine that slept
//! moves its boot-time clock as well; those slots are missed.)

use crate::detect::Moment;
use crate::monitor::schedule::{Key, SlotClock};

use super::Working;

impl Working {
    /// To be called each second, before anything is asked of the schedule.
    pub(super) fn follow_clock(&mut self) {
        let now = self.now();
        let base_ms = base_of(now);
        let moved_s = base_ms
            .saturating_sub(self.base_ms)
            .saturating_add(500)
            .div_euclid(1_000);
        if moved_s == 0 {
            return;
        }
        // What is less than a second is counted with the next.
        self.base_ms = self.base_ms.saturating_add(moved_s.saturating_mul(1_000));
        tracing::warn!(
            by_s = moved_s,
            "the clock was set: slots are counted anew, what waits is dated anew"
        );
        self.pending.shift(moved_s);
        self.under_way = std::mem::take(&mut self.under_way)
            .into_iter()
            .map(|(slot_s, key)| (slot_s.saturating_add(moved_s), key))
            .collect();
        for (_, slot_s) in &mut self.waiting_polls {
            *slot_s = slot_s.saturating_add(moved_s);
        }
        self.slots = SlotClock::new(now.wall.secs());
        self.schedule.rebase(now.wall.secs());
        self.layouts.renumber();
    }

    /// The slot of work that was started as `slot_s`, as the clock of now counts it.
    pub(super) fn slot_now(&self, slot_s: i64, key: Key) -> i64 {
        if self.under_way.contains(&(slot_s, key)) {
            return slot_s;
        }
        self.under_way
            .iter()
            .find(|(_, under_way)| *under_way == key)
            .map_or(slot_s, |(slot_s, _)| *slot_s)
    }

    /// A moment of before, as the clock of now would tell it.
    pub(super) fn moment_now(&self, at: Moment) -> Moment {
        let moved = self.base_ms.saturating_sub(base_of(at));
        if moved.saturating_abs() < 1_000 {
            return at;
        }
        Moment {
            wall: at.wall.plus_ms(moved),
            ..at
        }
    }
}

/// Wall clock minus boot-time clock, ms: moves when the clock is set, and only then.
pub(super) const fn base_of(at: Moment) -> i64 {
    at.wall.ms().saturating_sub(at.boot_ms)
}
