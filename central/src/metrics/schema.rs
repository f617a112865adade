//! What the store's files look like.

use farwatch_shared::sqlite::Schema;

/// `metrics.db`.
pub(super) const METRICS: Schema = Schema {
    application_id: 0x4657_0002,
    migrations: &[
        crate::ledger::SCHEMA,
        include_str!("migrations/0002_metrics.sql"),
    ],
};

/// `days/YYYY-MM-DD.db`.
pub(super) const DAY: Schema = Schema {
    application_id: 0x4657_0003,
    migrations: &[
        include_str!("migrations/0001_day.sql"),
        include_str!("migrations/0002_day_columns.sql"),
    ],
};

/// `days/YYYY-MM-DD.5min.db` and `days/YYYY-MM.1h.db`.
pub(super) const ROLL_UPS: Schema = Schema {
    application_id: 0x4657_0004,
    migrations: &[
        include_str!("migrations/0001_roll_ups.sql"),
        include_str!("migrations/0002_roll_up_days.sql"),
    ],
};

/// Milliseconds of an hour: samples are sealed by it.
pub(super) const HOUR_MS: i64 = 3_600_000;
/// Milliseconds of a day: files hold one.
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

/// The hour, counted from 1970, that a moment is in.
pub(super) const fn hour_of(ms: i64) -> i64 {
    ms.div_euclid(HOUR_MS)
}

/// The day, counted from 1970, that an hour is in.
pub(super) const fn day_of(hour: i64) -> i64 {
    hour.div_euclid(24)
}
