-- Days: when a day is over, each device's hours become one row with a column per series.

-- One device's day; id = source.
CREATE TABLE device_days (
    id   INTEGER PRIMARY KEY,
    body BLOB    NOT NULL
) STRICT;

-- Chunks and days that were found damaged, as they were found; what they held is a gap. `hour` is NULL for a day.
CREATE TABLE aside (
    id       INTEGER PRIMARY KEY,
    source   INTEGER NOT NULL,
    hour     INTEGER,
    found_ms INTEGER NOT NULL,
    body     BLOB    NOT NULL
) STRICT;

-- Polls of the hour, so that no probe fills it without end.
ALTER TABLE sealed ADD COLUMN polls INTEGER NOT NULL DEFAULT 0;

-- Which sources have samples of the hour, so that a row that is gone is noticed.
ALTER TABLE sealed ADD COLUMN sources BLOB NOT NULL DEFAULT x'';

-- `rolled`: 1 the day's row and the roll-ups say what is here; 0 something came since; 2 the roll-ups were lost.
DROP INDEX sealed_to_roll;
UPDATE sealed SET rolled = 0;
CREATE INDEX sealed_open ON sealed (probe_id, hour) WHERE rolled <> 1;
