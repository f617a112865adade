-- Roll-ups by the day instead of by the hour: steps of five minutes or of an hour, 288 or 24 of them a row.
DROP TABLE roll_ups;

-- One device's day, computed anew from its samples; id = day since 1970 << 32 | source.
CREATE TABLE roll_ups (
    id   INTEGER PRIMARY KEY,
    body BLOB    NOT NULL
) STRICT;
