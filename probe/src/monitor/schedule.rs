//! When what is due. No I/O, no tasks: seconds go in, due work comes out.
//!
//! Slots fall where `unix seconds mod interval == phase`; the phase is a stable hash of (device, work), so that a restart
//! or a new configuration moves nothing and no second of the minute is crowded. What could not be started in time is not
//! made up for: its slots are reported as missed and become a gap.

use std::collections::{BTreeMap, HashMap};

use farwatch_shared::model::DeviceNo;

/// What is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// One echo request.
    Ping,
    /// States and counters.
    Poll,
    /// Sensors, storage, processors.
    Readings,
    /// Names, neighbours, serials: what changes rarely.
    Inventory,
}

/// Which work of which device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Whose.
    pub device: DeviceNo,
    /// Which.
    pub work: Work,
}

/// What [`Schedule::due`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Start this now; it belongs to `slot_s`. Call [`Schedule::finished`] when it is done.
    Run {
        /// Which.
        key: Key,
        /// Its slot, unix seconds.
        slot_s: i64,
    },
    /// These slots passed without a start.
    Missed {
        /// Which.
        key: Key,
        /// The first of them, unix seconds.
        first_slot_s: i64,
        /// How many, one interval apart.
        slots: u32,
    },
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    interval_s: u32,
    phase_s: u32,
    next_s: i64,
    busy: bool,
}

/// All slots of all devices.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    entries: HashMap<Key, Entry>,
    /// Keys by their next slot. A key that moved on is left behind and known by its entry's `next_s`.
    wheel: BTreeMap<i64, Vec<Key>>,
}

impl Schedule {
    /// Adds work, or gives it another interval; what already runs at that interval is not disturbed.
    ///
    /// Returns the phase. The first slot is the first one after `now_s`.
    pub fn set(&mut self, key: Key, interval_s: u32, now_s: i64) -> u32 {
        let interval_s = interval_s.max(1);
        let phase_s = phase(key, interval_s);
        let known = self.entries.get(&key).copied();
        if known.is_some_and(|entry| entry.interval_s == interval_s) {
            return phase_s;
        }
        let next_s = slot_at_or_before(now_s, interval_s, phase_s) + i64::from(interval_s);
        let entry = Entry {
            interval_s,
            phase_s,
            next_s,
            busy: known.is_some_and(|entry| entry.busy),
        };
        self.entries.insert(key, entry);
        self.wheel.entry(next_s).or_default().push(key);
        phase_s
    }

    /// Forgets work. What is under way ends by itself.
    pub fn remove(&mut self, key: Key) {
        self.entries.remove(&key);
    }

    /// Whether this work is scheduled.
    #[must_use]
    pub fn contains(&self, key: Key) -> bool {
        self.entries.contains_key(&key)
    }

    /// What is due at `now_s`, spread as the slots are.
    ///
    /// A slot that is more than [`LATE_LIMIT_S`] old (the process stood still, or the clock jumped) is missed, not run:
    /// else everything would start at once. So is one whose work is still under way.
    pub fn due(&mut self, now_s: i64) -> Vec<Due> {
        let mut due = Vec::new();
        let later = self.wheel.split_off(&(now_s + 1));
        for (slot_s, keys) in std::mem::replace(&mut self.wheel, later) {
            for key in keys {
                let Some(entry) = self.entries.get_mut(&key) else {
                    continue;
                };
                if entry.next_s != slot_s {
                    continue;
                }
                let newest = slot_at_or_before(now_s, entry.interval_s, entry.phase_s);
                let runs = !entry.busy && now_s - newest <= LATE_LIMIT_S;
                let missed = (newest - slot_s) / i64::from(entry.interval_s) + i64::from(!runs);
                if let Ok(slots @ 1..) = u32::try_from(missed) {
                    due.push(Due::Missed {
                        key,
                        first_slot_s: slot_s,
                        slots,
                    });
                }
                if runs {
                    entry.busy = true;
                    due.push(Due::Run {
                        key,
                        slot_s: newest,
                    });
                }
                entry.next_s = newest + i64::from(entry.interval_s);
                self.wheel.entry(entry.next_s).or_default().push(key);
            }
        }
        due
    }

    /// Marks work as under way outside its slots (a device that was just found is polled at once); `false` if it already is.
    pub fn begin(&mut self, key: Key) -> bool {
        match self.entries.get_mut(&key) {
            Some(entry) if !entry.busy => {
                entry.busy = true;
                true
            }
            _ => false,
        }
    }

    /// Work that was started has ended, however it ended.
    pub fn finished(&mut self, key: Key) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.busy = false;
        }
    }

    /// The newest slot that has begun, for work that is done outside its slots.
    #[must_use]
    pub fn current_slot(&self, key: Key, now_s: i64) -> Option<i64> {
        let entry = self.entries.get(&key)?;
        Some(slot_at_or_before(now_s, entry.interval_s, entry.phase_s))
    }

    /// The wall clock was set back: all slots are counted anew from `now_s`.
    pub fn rebase(&mut self, now_s: i64) {
        self.wheel.clear();
        for (key, entry) in &mut self.entries {
            entry.next_s = slot_at_or_before(now_s, entry.interval_s, entry.phase_s)
                + i64::from(entry.interval_s);
            self.wheel.entry(entry.next_s).or_default().push(*key);
        }
    }

    /// How much work there is.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The newest slot not after `now_s`.
#[must_use]
pub fn slot_at_or_before(now_s: i64, interval_s: u32, phase_s: u32) -> i64 {
    let interval = i64::from(interval_s.max(1));
    now_s - (now_s - i64::from(phase_s)).rem_euclid(interval)
}

/// Where in its interval a device's work falls: the same for ever, and even over many devices.
#[must_use]
pub fn phase(key: Key, interval_s: u32) -> u32 {
    let salt = match key.work {
        Work::Ping => 1,
        Work::Poll => 2,
        Work::Inventory => 3,
        Work::Readings => 4,
    };
    // SplitMix64's finish: neighbouring numbers land far apart
    let mut x = (u64::from(key.device.0) << 8 | salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from((x ^ (x >> 31)) % u64::from(interval_s.max(1)))
        .expect("a remainder of a 32-bit number")
}

/// The wall clock as the schedule sees it: it may pause, and it may start anew, but it never runs backwards unnoticed.
#[derive(Clone, Copy, Debug)]
pub struct SlotClock {
    newest_s: i64,
}

impl SlotClock {
    /// Starts at `now_s`.
    #[must_use]
    pub const fn new(now_s: i64) -> Self {
        Self { newest_s: now_s }
    }

    /// From which second on nothing has been asked for yet. `first_under_way` is the oldest slot without its answer.
    ///
    /// The wall clock may have passed into a second whose slots were not started: it does not say how far work has come.
    #[must_use]
    pub fn done_until(self, first_under_way: Option<i64>) -> i64 {
        let next = self.newest_s + 1;
        first_under_way.map_or(next, |slot_s| slot_s.min(next))
    }

    /// The second to ask [`Schedule::due`] for. `Err` with the new time: the clock was set back by more than
    /// [`BACK_LIMIT_S`]; the schedule must be rebased and every layout gets a new number, so that no slot comes twice.
    pub fn step(&mut self, now_s: i64) -> Result<i64, i64> {
        if now_s < self.newest_s - BACK_LIMIT_S {
            self.newest_s = now_s;
            return Err(now_s);
        }
        self.newest_s = self.newest_s.max(now_s);
        Ok(self.newest_s)
    }
}

/// A slot older than this is not started any more.
pub const LATE_LIMIT_S: i64 = 3;
/// A clock that goes back by no more than this is waited for.
pub const BACK_LIMIT_S: i64 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(device: u32) -> Key {
        Key {
            device: DeviceNo(device),
            work: Work::Poll,
        }
    }

    /// Runs from `from` to `to`, finishing all at once; returns (key, slot) of runs and misses.
    #[expect(clippy::type_complexity, reason = "two lists of a test")]
    fn drive(schedule: &mut Schedule, from: i64, to: i64) -> (Vec<(Key, i64)>, Vec<(Key, i64)>) {
        let (mut ran, mut missed) = (Vec::new(), Vec::new());
        for now in from..=to {
            for due in schedule.due(now) {
                match due {
                    Due::Run { key, slot_s } => {
                        schedule.finished(key);
                        ran.push((key, slot_s));
                    }
                    Due::Missed {
                        key,
                        first_slot_s,
                        slots,
                    } => {
                        for i in 0..i64::from(slots) {
                            missed.push((key, first_slot_s + i * 60));
                        }
                    }
                }
            }
        }
        (ran, missed)
    }

    #[test]
    fn phases_are_even_and_stay() {
        let mut seconds = [0_u32; 60];
        for device in 0..12_000 {
            seconds[phase(key(device), 60) as usize] += 1;
        }
        assert!(
            seconds.iter().all(|n| (140..260).contains(n)),
            "{seconds:?}"
        );
        assert_eq!(phase(key(7), 60), phase(key(7), 60));
    }

    #[test]
    fn a_standstill_is_missed_and_not_made_up_for() {
        let mut schedule = Schedule::default();
        for device in 0..1_000 {
            schedule.set(key(device), 60, 0);
        }
        drive(&mut schedule, 1, 120);
        let after = schedule.due(600);
        let started = after
            .iter()
            .filter(|due| matches!(due, Due::Run { .. }))
            .count();
        assert!(started < 120, "{started} of 1,000 started at once");
        assert!(
            after
                .iter()
                .any(|due| matches!(due, Due::Missed { slots: 7..=8, .. }))
        );
    }

    #[test]
    fn work_under_way_is_not_started_twice() {
        let mut schedule = Schedule::default();
        let phase = i64::from(schedule.set(key(1), 60, 0));
        let first = 60 + phase - if phase == 0 { 0 } else { 60 };
        assert_eq!(
            schedule.due(first),
            vec![Due::Run {
                key: key(1),
                slot_s: first
            }]
        );
        assert_eq!(
            schedule.due(first + 60),
            vec![Due::Missed {
                key: key(1),
                first_slot_s: first + 60,
                slots: 1
            }]
        );
        schedule.finished(key(1));
        assert_eq!(
            schedule.due(first + 120),
            vec![Due::Run {
                key: key(1),
                slot_s: first + 120
            }]
        );
    }

    #[test]
    fn a_configuration_that_says_the_same_moves_nothing() {
        let mut schedule = Schedule::default();
        schedule.set(key(1), 60, 0);
        let before = schedule.entries[&key(1)].next_s;
        schedule.set(key(1), 60, 59);
        assert_eq!(schedule.entries[&key(1)].next_s, before);
        schedule.set(key(1), 10, 1_000);
        assert!((1_001..=1_010).contains(&schedule.entries[&key(1)].next_s));
        let (ran, _) = drive(&mut schedule, 1_001, 1_100);
        assert_eq!(ran.len(), 10, "the old slot of the wheel is dead");
    }

    #[test]
    fn a_second_that_nobody_asked_for_is_not_done() {
        let mut clock = SlotClock::new(1_000);
        assert_eq!(clock.done_until(None), 1_001);
        // The wall clock says 1,010, and the slots of 1,010 are under way; then 1,011 begins, unasked.
        assert_eq!(clock.step(1_010), Ok(1_010));
        assert_eq!(clock.done_until(Some(1_010)), 1_010);
        assert_eq!(clock.done_until(Some(1_004)), 1_004);
        assert_eq!(clock.done_until(None), 1_011);
    }

    #[test]
    fn a_clock_set_back_starts_anew_and_a_small_step_is_waited_for() {
        let mut clock = SlotClock::new(1_000);
        assert_eq!(clock.step(1_010), Ok(1_010));
        assert_eq!(clock.step(1_008), Ok(1_010));
        assert_eq!(clock.step(500), Err(500));
        assert_eq!(clock.step(501), Ok(501));
        let mut schedule = Schedule::default();
        schedule.set(key(1), 60, 10_000);
        schedule.rebase(500);
        let (ran, missed) = drive(&mut schedule, 501, 680);
        assert_eq!((ran.len(), missed.len()), (3, 0));
    }

    proptest! {
        /// However time passes, every slot is run or missed, exactly once, in order.
        #[test]
        fn every_slot_is_run_or_missed_exactly_once(
            device in 0_u32..5_000,
            steps in prop::collection::vec((0_i64..200, any::<bool>()), 1..60),
        ) {
            let mut schedule = Schedule::default();
            let start = 1_700_000_000;
            let phase = schedule.set(key(device), 60, start);
            let mut now = start;
            let mut seen = Vec::new();
            for (step, finishes) in steps {
                now += step;
                for due in schedule.due(now) {
                    match due {
                        Due::Run { slot_s, .. } => {
                            prop_assert!(now - slot_s <= LATE_LIMIT_S);
                            seen.push(slot_s);
                        }
                        Due::Missed { first_slot_s, slots, .. } => {
                            seen.extend((0..i64::from(slots)).map(|i| first_slot_s + i * 60));
                        }
                    }
                }
                if finishes {
                    schedule.finished(key(device));
                }
            }
            let first = slot_at_or_before(start, 60, phase) + 60;
            let expected: Vec<_> = (first..=now).step_by(60).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
