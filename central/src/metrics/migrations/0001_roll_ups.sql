-- Roll-ups of sealed hours: a day of five minutes, or a month of hours.

CREATE TABLE sources (
    id       INTEGER PRIMARY KEY,
    probe_id BLOB    NOT NULL,
    device   INTEGER NOT NULL,
    UNIQUE (probe_id, device)
) STRICT;

CREATE TABLE shapes (
    hash INTEGER PRIMARY KEY,
    body BLOB    NOT NULL
) STRICT;

-- One hour of one device, computed anew from its chunk; id = hour since 1970 << 32 | source.
CREATE TABLE roll_ups (
    id   INTEGER PRIMARY KEY,
    body BLOB    NOT NULL
) STRICT;
