//! Strips and availability, from the transitions in `device_states`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::DeviceId;
use farwatch_shared::model::DeviceState;
use rusqlite::Connection;

/// Slots of a strip.
pub const SLOTS: usize = 48;
/// Length of one slot.
pub const SLOT_MS: i64 = 30 * 60 * 1_000;
const DAY_MS: i64 = 86_400_000;

/// One day of one device: the worst state per half hour, and how much of the known time it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// Worst state in each slot, oldest first; `None` where nothing is known yet.
    pub slots: [Option<DeviceState>; SLOTS],
    /// Milliseconds in which it answered.
    pub available_ms: i64,
    /// Milliseconds in which it should have answered: neither unknown nor in maintenance.
    pub known_ms: i64,
}

impl Default for Day {
    fn default() -> Self {
        Self {
            slots: [None; SLOTS],
            available_ms: 0,
            known_ms: 0,
        }
    }
}

impl Day {
    /// Share of the known time in which it answered; `None` when nothing is known.
    #[must_use]
    pub fn availability(&self) -> Option<f64> {
        ratio(self.available_ms, self.known_ms)
    }

    /// Takes the worse of each slot, and the sum of the times.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.slots.iter_mut().zip(other.slots) {
            *mine = match (*mine, theirs) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        self.available_ms += other.available_ms;
        self.known_ms += other.known_ms;
    }

    /// The state now, laid over the last slot.
    #[must_use]
    pub fn with_now(mut self, state: DeviceState) -> Self {
        if let Some(last) = self.slots.last_mut() {
            *last = Some(last.map_or(state, |worst| worst.min(state)));
        }
        self
    }

    /// 48 letters, oldest first.
    #[must_use]
    pub fn strip(&self) -> String {
        self.slots.iter().map(|slot| letter(*slot)).collect()
    }
}

/// Milliseconds of `part` in `whole`.
#[must_use]
pub fn ratio(part: i64, whole: i64) -> Option<f64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of a month are far below 2^53"
    )]
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A strip without any data.
#[must_use]
pub fn empty_strip() -> String {
    "n".repeat(SLOTS)
}

const fn letter(state: Option<DeviceState>) -> char {
    match state {
        Some(DeviceState::Up) => 'u',
        Some(DeviceState::Degraded) => 'g',
        Some(DeviceState::Down) => 'd',
        Some(DeviceState::Unreachable) => 'r',
        Some(DeviceState::Maintenance) => 'm',
        Some(DeviceState::Unknown) => 's',
        None => 'n',
    }
}

/// The last 24 hours before `now` of one device.
///
/// # Errors
/// SQLite's.
pub fn day(c: &Connection, device: DeviceId, now: Timestamp) -> rusqlite::Result<Day> {
    let from = now.plus_ms(-DAY_MS);
    let mut day = Day::default();
    for (from_ms, to_ms, state) in spans(c, device, from, now)? {
        add_time(&mut day, from_ms, to_ms, state);
        let first = (from_ms - from.ms()) / SLOT_MS;
        let last = (to_ms - 1 - from.ms()).max(from_ms - from.ms()) / SLOT_MS;
        for slot in first..=last.min(SLOTS as i64 - 1) {
            if let Some(slot) = usize::try_from(slot)
                .ok()
                .and_then(|i| day.slots.get_mut(i))
            {
                *slot = Some(slot.map_or(state, |worst| worst.min(state)));
            }
        }
    }
    Ok(day)
}

/// The last 24 hours of several devices, by device.
///
/// # Errors
/// SQLite's.
pub fn days_of(
    c: &Connection,
    devices: impl IntoIterator<Item = DeviceId>,
    now: Timestamp,
) -> rusqlite::Result<HashMap<DeviceId, Day>> {
    devices
        .into_iter()
        .map(|device| Ok((device, day(c, device, now)?)))
        .collect()
}

/// The last 24 hours of every device, kept for a few seconds: overview, customers, sites and lists all need them.
#[derive(Debug, Default)]
pub struct DayCache(Mutex<Option<(Timestamp, Days)>>);

/// The last 24 hours by device.
pub type Days = Arc<HashMap<DeviceId, Day>>;

/// How old the cached days may be. The state now is laid over the last slot, so this only delays the colour of a slot.
const CACHED_MS: i64 = 5_000;

impl DayCache {
    /// The days of all devices, at most five seconds old.
    ///
    /// # Errors
    /// SQLite's.
    pub fn get(&self, c: &Connection, now: Timestamp) -> rusqlite::Result<Days> {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, days)) = &*cached
            && (0..CACHED_MS).contains(&now.since(*at))
        {
            return Ok(days.clone());
        }
        let devices = c
            .prepare_cached(
                "SELECT id FROM devices INDEXED BY devices_in_lists WHERE forgotten_ms IS NULL",
            )?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<DeviceId>>>()?;
        let days = Arc::new(days_of(c, devices, now)?);
        *cached = Some((now, days.clone()));
        Ok(days)
    }
}

/// One calendar day (UTC) of a device: its worst state and its availability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CalendarDay {
    /// Days since 1970.
    pub day: i64,
    /// Worst state; `None` when nothing is known.
    pub worst: Option<DeviceState>,
    /// Milliseconds answered.
    pub available_ms: i64,
    /// Milliseconds known.
    pub known_ms: i64,
}

/// The last `count` calendar days, oldest first, today included.
///
/// # Errors
/// SQLite's.
pub fn calendar(
    c: &Connection,
    device: DeviceId,
    now: Timestamp,
    count: u16,
) -> rusqlite::Result<Vec<CalendarDay>> {
    let today = now.ms().div_euclid(DAY_MS);
    let first = today - i64::from(count) + 1;
    let mut days: Vec<CalendarDay> = (first..=today)
        .map(|day| CalendarDay {
            day,
            ..CalendarDay::default()
        })
        .collect();
    for (from, to, state) in spans(c, device, Timestamp(first * DAY_MS), now)? {
        for day in &mut days {
            let (start, end) = (from.max(day.day * DAY_MS), to.min((day.day + 1) * DAY_MS));
            if start >= end {
                continue;
            }
            day.worst = Some(day.worst.map_or(state, |worst| worst.min(state)));
            if is_known(state) {
                day.known_ms += end - start;
                if is_available(state) {
                    day.available_ms += end - start;
                }
            }
        }
    }
    Ok(days)
}

/// (from, to, state) between `from` and `to`, newest first, without what came before the first transition.
fn spans(
    c: &Connection,
    device: DeviceId,
    from: Timestamp,
    to: Timestamp,
) -> rusqlite::Result<Vec<(i64, i64, DeviceState)>> {
    let mut spans = Vec::new();
    let mut until = to.ms();
    let mut statement = c.prepare_cached(
        "SELECT from_ms, state FROM device_states WHERE device_id = ?1 AND from_ms < ?2 ORDER BY from_ms DESC",
    )?;
    let mut rows = statement.query((device, to))?;
    while let Some(row) = rows.next()? {
        let at: i64 = row.get(0)?;
        let state = DeviceState::from_code(row.get(1)?).unwrap_or(DeviceState::Unknown);
        spans.push((at.max(from.ms()), until, state));
        if at <= from.ms() {
            break;
        }
        until = at;
    }
    Ok(spans)
}

fn add_time(day: &mut Day, from: i64, to: i64, state: DeviceState) {
    if is_known(state) {
        day.known_ms += to - from;
        if is_available(state) {
            day.available_ms += to - from;
        }
    }
}

const fn is_known(state: DeviceState) -> bool {
    !matches!(state, DeviceState::Unknown | DeviceState::Maintenance)
}

const fn is_available(state: DeviceState) -> bool {
    matches!(state, DeviceState::Up | DeviceState::Degraded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Connection {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch("CREATE TABLE device_states (device_id BLOB, from_ms INTEGER, state INTEGER, said INTEGER DEFAULT 1)")
            .unwrap();
        c
    }

    fn put(c: &Connection, device: DeviceId, from_ms: i64, state: DeviceState) {
        c.execute(
            "INSERT INTO device_states (device_id, from_ms, state) VALUES (?1, ?2, ?3)",
            (device, from_ms, state.code()),
        )
        .unwrap();
    }

    #[test]
    fn a_strip_shows_the_worst_state_of_each_half_hour() {
        let c = file();
        let device = DeviceId::generate();
        let now = Timestamp(100 * DAY_MS);
        let start = now.ms() - DAY_MS;
        put(&c, device, start + 10 * SLOT_MS, DeviceState::Up);
        put(&c, device, start + 20 * SLOT_MS + 60_000, DeviceState::Down);
        put(&c, device, start + 20 * SLOT_MS + 120_000, DeviceState::Up);
        put(&c, device, start + 47 * SLOT_MS, DeviceState::Unknown);
        let day = day(&c, device, now).unwrap();
        let mut wanted = "n".repeat(10) + &"u".repeat(37) + "s";
        wanted.replace_range(20..21, "d");
        assert_eq!(day.strip(), wanted);
        assert_eq!(day.known_ms, 37 * SLOT_MS);
        assert_eq!(day.known_ms - day.available_ms, 60_000);
    }

    #[test]
    fn a_state_from_before_the_window_counts_from_its_start() {
        let c = file();
        let device = DeviceId::generate();
        let now = Timestamp(100 * DAY_MS + 7);
        put(&c, device, 5, DeviceState::Up);
        let day = day(&c, device, now).unwrap();
        assert_eq!(day.strip(), "u".repeat(SLOTS));
        assert_eq!((day.available_ms, day.known_ms), (DAY_MS, DAY_MS));
    }

    #[test]
    fn calendar_days_split_at_midnight() {
        let c = file();
        let device = DeviceId::generate();
        let now = Timestamp(10 * DAY_MS + DAY_MS / 2);
        put(&c, device, 9 * DAY_MS - DAY_MS / 4, DeviceState::Up);
        put(&c, device, 10 * DAY_MS, DeviceState::Down);
        let days = calendar(&c, device, now, 3).unwrap();
        let seen: Vec<_> = days
            .iter()
            .map(|d| (d.day, d.worst, ratio(d.available_ms, d.known_ms)))
            .collect();
        assert_eq!(
            seen,
            [
                (8, Some(DeviceState::Up), Some(1.0)),
                (9, Some(DeviceState::Up), Some(1.0)),
                (10, Some(DeviceState::Down), Some(0.0)),
            ]
        );
    }
}
