//! How much the files of samples take, and what they will grow to.

use std::io;

use farwatch_shared::clock::Timestamp;

use super::days::Days;
use super::schema::DAY_MS;
use super::{Metrics, Settings};

/// Whole days that the forecast looks back on.
const LOOK_BACK: i64 = 7;

/// One file of samples or roll-ups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayFile {
    /// `samples`, `five_minutes` or `one_hour`.
    pub what: &'static str,
    /// Days since 1970; for `one_hour` months since the year 0.
    pub number: i64,
    /// With what SQLite keeps beside it.
    pub bytes: u64,
}

/// What is to come, if the days to come are as the last ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// What a day adds, roll-ups included.
    pub bytes_per_day: u64,
    /// Growth until old data goes as fast as new comes.
    pub still_to_come: u64,
}

impl Metrics {
    /// Every file of samples and roll-ups.
    ///
    /// # Errors
    /// A file cannot be looked at.
    pub fn day_files(&self) -> io::Result<Vec<DayFile>> {
        let mut files = sizes(&self.0.days, "samples")?;
        files.append(&mut sizes(&self.0.five_minutes, "five_minutes")?);
        files.append(&mut sizes(&self.0.hours, "one_hour")?);
        Ok(files)
    }

    /// How long what is kept.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.0.settings
    }
}

fn sizes(days: &Days, what: &'static str) -> io::Result<Vec<DayFile>> {
    let mut files = Vec::new();
    for number in days.within(i64::MIN, i64::MAX) {
        let path = days.path(number);
        let mut bytes = 0;
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            match std::fs::metadata(name) {
                Ok(file) => bytes += file.len(),
                // Pruned or set aside a moment ago, or SQLite keeps nothing beside it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        files.push(DayFile {
            what,
            number,
            bytes,
        });
    }
    Ok(files)
}

impl Forecast {
    /// From the whole days of the last week; `None` while there is none.
    #[must_use]
    pub fn of(files: &[DayFile], settings: &Settings, now: Timestamp) -> Option<Self> {
        let today = now.ms().div_euclid(DAY_MS);
        let whole = |what: &str| {
            let sizes: Vec<u64> = files
                .iter()
                .filter(|file| {
                    file.what == what && (today - LOOK_BACK..today).contains(&file.number)
                })
                .map(|file| file.bytes)
                .collect();
            let count = u64::try_from(sizes.len()).expect("a week has few days");
            (count > 0).then(|| sizes.iter().sum::<u64>() / count)
        };
        let (samples, five_minutes) = (whole("samples")?, whole("five_minutes").unwrap_or(0));
        let hours: u64 = files
            .iter()
            .filter(|file| file.what == "one_hour")
            .map(|file| file.bytes)
            .sum();
        let first = |what: &str| {
            let of = files.iter().filter(|file| file.what == what);
            of.map(|file| file.number).min().unwrap_or(today)
        };
        // Hours of a month lie in one file: what is there was gathered since the first day of any file.
        let known_days =
            u64::try_from((today - first("five_minutes").min(first("samples"))).max(1))
                .expect("at least one");
        let hour = hours / known_days;
        let missing = |kept: u32, there: i64| {
            u64::try_from((i64::from(kept) - there).max(0)).expect("not negative")
        };
        let there = |what: &str| today - first(what);
        Some(Self {
            bytes_per_day: samples + five_minutes + hour,
            still_to_come: samples * missing(settings.raw_days, there("samples"))
                + five_minutes * missing(settings.five_minutes_days, there("five_minutes"))
                + hour
                    * missing(
                        settings.hour_days,
                        i64::try_from(known_days).unwrap_or(i64::MAX),
                    ),
        })
    }

    /// Days until so many free bytes are used up; `None` when growth ends before.
    #[must_use]
    pub fn days_left(&self, free: u64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "an estimate in days")]
        (self.still_to_come > free && self.bytes_per_day > 0)
            .then(|| free as f64 / self.bytes_per_day as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: i64 = 20_780;

    fn day(what: &'static str, number: i64, bytes: u64) -> DayFile {
        DayFile {
            what,
            number,
            bytes,
        }
    }

    fn forecast(files: &[DayFile]) -> Option<Forecast> {
        Forecast::of(files, &Settings::default(), Timestamp(TODAY * DAY_MS + 7))
    }

    #[test]
    fn the_running_day_says_nothing_and_whole_days_say_what_is_to_come() {
        assert_eq!(forecast(&[]), None);
        assert_eq!(forecast(&[day("samples", TODAY, 5)]), None);
        let files = [
            day("samples", TODAY, 10),
            day("samples", TODAY - 1, 1_000),
            day("samples", TODAY - 2, 3_000),
            day("five_minutes", TODAY - 1, 100),
            day("five_minutes", TODAY - 2, 100),
            day("one_hour", 24_322, 20),
        ];
        let found = forecast(&files).unwrap();
        assert_eq!(found.bytes_per_day, 2_000 + 100 + 10);
        // 12 more days of samples, 88 of five minutes, 728 of hours.
        assert_eq!(found.still_to_come, 12 * 2_000 + 88 * 100 + 728 * 10);
        assert_eq!(found.days_left(1 << 30), None);
        let left = found.days_left(21_100).unwrap();
        assert!((left - 10.0).abs() < 0.01, "{left}");
    }

    #[test]
    fn what_is_kept_for_as_long_as_it_is_kept_grows_no_more() {
        let mut files: Vec<_> = (1..=14)
            .map(|ago| day("samples", TODAY - ago, 500))
            .collect();
        files.extend((1..=90).map(|ago| day("five_minutes", TODAY - ago, 50)));
        let found = forecast(&files).unwrap();
        assert_eq!((found.bytes_per_day, found.still_to_come), (550, 0));
        assert_eq!(found.days_left(1), None);
    }
}
