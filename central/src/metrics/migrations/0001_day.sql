-- One UTC day of sealed hours.

CREATE TABLE sources (
    id       INTEGER PRIMARY KEY,
    probe_id BLOB    NOT NULL,
    device   INTEGER NOT NULL,
    UNIQUE (probe_id, device)
) STRICT;

-- What columns a block of a chunk has; its name is the hash of its content.
CREATE TABLE shapes (
    hash INTEGER PRIMARY KEY,
    body BLOB    NOT NULL
) STRICT;

-- Which batches an hour of a probe holds. Written with its chunks, so that a batch is merged once.
CREATE TABLE sealed (
    probe_id BLOB    NOT NULL,
    hour     INTEGER NOT NULL,
    batches  BLOB    NOT NULL,
    samples  INTEGER NOT NULL,
    -- Whether the roll-ups are computed from what is here now.
    rolled   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (probe_id, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX sealed_to_roll ON sealed (hour) WHERE rolled = 0;

-- One hour of one device; id = hour of the day << 32 | source.
CREATE TABLE chunks (
    id   INTEGER PRIMARY KEY,
    body BLOB    NOT NULL
) STRICT;
