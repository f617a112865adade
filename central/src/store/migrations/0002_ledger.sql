-- What is committed of each probe's batches. The same text in central.db (events lane) and in metrics.db (samples lane):
-- it lives in the file, and moves in the transaction, of the data that it counts.

CREATE TABLE lane_progress (
    probe_id    BLOB    NOT NULL,
    epoch       INTEGER NOT NULL,
    lane        INTEGER NOT NULL,
    -- Every seq up to and including this one is done.
    watermark   INTEGER NOT NULL DEFAULT 0,
    -- Latest time in what is done up to there, probe's clock.
    watermark_ms INTEGER NOT NULL DEFAULT 0,
    -- Counted once per admitted batch.
    batches     INTEGER NOT NULL DEFAULT 0,
    samples     INTEGER NOT NULL DEFAULT 0,
    -- Batches kept raw because their layout or form is not known (yet).
    undecoded   INTEGER NOT NULL DEFAULT 0,
    -- Batches set aside with a gap: here or at the probe.
    quarantined INTEGER NOT NULL DEFAULT 0,
    -- Seqs that the probe dropped and that were not committed before.
    dropped     INTEGER NOT NULL DEFAULT 0,
    repeats     INTEGER NOT NULL DEFAULT 0,
    conflicts   INTEGER NOT NULL DEFAULT 0,
    -- Newest time in a committed batch, probe's clock.
    newest_ms   INTEGER NOT NULL DEFAULT 0,
    updated_ms  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (probe_id, epoch, lane)
) STRICT, WITHOUT ROWID;

-- Done ranges above the watermark, inclusive, never touching.
CREATE TABLE lane_ranges (
    probe_id BLOB    NOT NULL,
    epoch    INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    to_seq   INTEGER NOT NULL,
    -- Latest time in it, probe's clock.
    to_ms    INTEGER NOT NULL,
    PRIMARY KEY (probe_id, epoch, lane, from_seq)
) STRICT, WITHOUT ROWID;

-- The crc of what is committed, 256 seqs a row (block = seq / 256), four bytes each, little endian; 0 or beyond the end =
-- done without content (dropped).
CREATE TABLE lane_crcs (
    probe_id  BLOB    NOT NULL,
    epoch     INTEGER NOT NULL,
    lane      INTEGER NOT NULL,
    block     INTEGER NOT NULL,
    crcs      BLOB    NOT NULL,
    newest_ms INTEGER NOT NULL,
    PRIMARY KEY (probe_id, epoch, lane, block)
) STRICT, WITHOUT ROWID;
CREATE INDEX lane_crcs_by_age ON lane_crcs (newest_ms);

-- What the probe said it dropped and what it lost here: drawn as gaps where not committed before.
CREATE TABLE lane_dropped (
    probe_id BLOB    NOT NULL,
    epoch    INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    to_seq   INTEGER NOT NULL,
    from_ms  INTEGER NOT NULL,
    to_ms    INTEGER NOT NULL,
    reason   INTEGER NOT NULL,
    -- How many of the seqs had not been committed.
    missing  INTEGER NOT NULL,
    PRIMARY KEY (probe_id, epoch, lane, from_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX lane_dropped_by_time ON lane_dropped (probe_id, to_ms);

CREATE TABLE ledger_meta (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    -- Crcs of what was committed before this are gone.
    crcs_pruned_ms  INTEGER NOT NULL
) STRICT;
INSERT INTO ledger_meta (one, crcs_pruned_ms) VALUES (1, 0);
