-- metrics.db beside the ledger's tables: raw batches until their hours are sealed, layouts, gaps, proofs.

CREATE TABLE layouts (
    probe_id BLOB    NOT NULL,
    epoch    INTEGER NOT NULL,
    no       INTEGER NOT NULL,
    hash     INTEGER NOT NULL,
    body     BLOB    NOT NULL,
    PRIMARY KEY (probe_id, epoch, no)
) STRICT;

-- A batch as it came. It goes when every hour it touches is sealed and its anchors are accounted for.
CREATE TABLE raw (
    id            INTEGER PRIMARY KEY,
    probe_id      BLOB    NOT NULL,
    epoch         INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    kind          INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    -- CRC-32 of the body.
    crc           INTEGER NOT NULL,
    received_ms   INTEGER NOT NULL,
    -- Added to the probe's times; both are kept.
    correction_ms INTEGER NOT NULL,
    approximate   INTEGER NOT NULL,
    from_ms       INTEGER NOT NULL,
    to_ms         INTEGER NOT NULL,
    -- 0 readable, 1 waits for a layout, 2 set aside.
    state         INTEGER NOT NULL,
    sealed        INTEGER NOT NULL DEFAULT 0,
    body          BLOB    NOT NULL,
    UNIQUE (probe_id, epoch, seq)
) STRICT;
CREATE INDEX raw_open ON raw (probe_id, epoch, seq) WHERE sealed = 0;

-- Known to be missing. `device` 0 is the whole probe; `columns` lists (metric, instance), NULL is all of the group.
CREATE TABLE gaps (
    id       INTEGER PRIMARY KEY,
    probe_id BLOB    NOT NULL,
    device   INTEGER NOT NULL,
    grp      INTEGER NOT NULL,
    from_ms  INTEGER NOT NULL,
    to_ms    INTEGER NOT NULL,
    reason   INTEGER NOT NULL,
    columns  BLOB,
    -- The batch that Central set aside, when the gap is Central's own and may be taken back.
    epoch    INTEGER,
    seq      INTEGER
) STRICT;
CREATE INDEX gaps_by_device ON gaps (probe_id, device, to_ms);

-- Hours that are sealed in a day file, so that a lost file is a known gap.
CREATE TABLE hours (
    probe_id BLOB    NOT NULL,
    hour     INTEGER NOT NULL,
    PRIMARY KEY (probe_id, hour)
) STRICT, WITHOUT ROWID;

-- How far a lane's anchors are accounted for, and what each counter is expected to say next.
CREATE TABLE proofs (
    probe_id BLOB    NOT NULL,
    epoch    INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    body     BLOB    NOT NULL,
    PRIMARY KEY (probe_id, epoch)
) STRICT;

CREATE TABLE proof_counts (
    probe_id   BLOB    NOT NULL,
    device     INTEGER NOT NULL,
    checked    INTEGER NOT NULL,
    mismatched INTEGER NOT NULL,
    last_ms    INTEGER NOT NULL,
    PRIMARY KEY (probe_id, device)
) STRICT, WITHOUT ROWID;
