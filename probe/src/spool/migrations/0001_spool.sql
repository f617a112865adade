-- spool.db of a probe: what is durable and not yet (or only lately) acknowledged, and what must move with it.

CREATE TABLE meta (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    -- The highest start counter ever used here.
    starts     INTEGER NOT NULL,
    -- The epoch of new batches.
    running    INTEGER NOT NULL,
    -- The lease last stored; 0 before the first.
    lease      INTEGER NOT NULL,
    -- Latest time in the last samples batch: until then the probe is known to have run.
    last_tick_ms INTEGER NOT NULL,
    -- From here on this store accounts for all time: its birth, or the start of the gap written for the time before.
    known_from_ms INTEGER NOT NULL DEFAULT 0,
    -- When acknowledged data last went early because space was short; 0 = never.
    squeezed_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO meta (one, starts, running, lease, last_tick_ms) VALUES (1, 0, 0, 0, 0);

-- One row per lane of each epoch that had a batch. Counts are of batches ever made under these keys.
CREATE TABLE lanes (
    epoch    INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    next_seq INTEGER NOT NULL,
    batches  INTEGER NOT NULL,
    samples  INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    PRIMARY KEY (epoch, lane)
) STRICT, WITHOUT ROWID;

-- id grows with age's end: the lowest is the oldest.
CREATE TABLE batches (
    id       INTEGER PRIMARY KEY,
    epoch    INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    crc      INTEGER NOT NULL,
    boot_id  TEXT    NOT NULL,
    boot_ms  INTEGER NOT NULL,
    from_ms  INTEGER NOT NULL,
    to_ms    INTEGER NOT NULL,
    samples  INTEGER NOT NULL,
    made_ms  INTEGER NOT NULL,
    acked_ms INTEGER,
    -- How often Central closed the session while this was its oldest undecided batch.
    closes   INTEGER NOT NULL DEFAULT 0,
    size     INTEGER NOT NULL,
    UNIQUE (epoch, lane, seq)
) STRICT;
CREATE INDEX batches_acked ON batches (acked_ms, id) WHERE acked_ms IS NOT NULL;
CREATE INDEX batches_waiting ON batches (lane, id, epoch, seq, size, made_ms) WHERE acked_ms IS NULL;

-- Apart from their rows, so that an acknowledgement does not write them again.
CREATE TABLE bodies (
    id   INTEGER PRIMARY KEY REFERENCES batches (id) ON DELETE CASCADE,
    body BLOB    NOT NULL
) STRICT;

-- Dropped unsent (or lost); kept until Central's watermark has passed them.
CREATE TABLE dropped (
    epoch    INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    to_seq   INTEGER NOT NULL,
    from_ms  INTEGER NOT NULL,
    to_ms    INTEGER NOT NULL,
    reason   INTEGER NOT NULL,
    PRIMARY KEY (epoch, lane, from_seq)
) STRICT, WITHOUT ROWID;

-- The same, for ever (a few numbers per lane): what `spool ledger` counts.
CREATE TABLE dropped_totals (
    epoch   INTEGER NOT NULL,
    lane    INTEGER NOT NULL,
    reason  INTEGER NOT NULL,
    batches INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    PRIMARY KEY (epoch, lane, reason)
) STRICT, WITHOUT ROWID;

-- How far acknowledged data was pruned, with its times, about one row per hour of data: should Central turn out to lack
-- it, the gap has exact ends.
CREATE TABLE pruned (
    epoch    INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    to_seq   INTEGER NOT NULL,
    from_ms  INTEGER NOT NULL,
    to_ms    INTEGER NOT NULL,
    PRIMARY KEY (epoch, lane, from_seq)
) STRICT, WITHOUT ROWID;

-- Kept as long as the epoch has a samples batch here.
CREATE TABLE layouts (
    epoch  INTEGER NOT NULL,
    layout INTEGER NOT NULL,
    hash   INTEGER NOT NULL,
    body   BLOB    NOT NULL,
    PRIMARY KEY (epoch, layout)
) STRICT, WITHOUT ROWID;

-- Epochs under whose keys somebody else has written: a copy of this probe, or its own lost future.
CREATE TABLE shared_epochs (
    epoch INTEGER PRIMARY KEY
) STRICT;

-- Gaps of shared epochs, to be told under a key of the next epoch as well.
CREATE TABLE owed (
    id      INTEGER PRIMARY KEY,
    lane    INTEGER NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms   INTEGER NOT NULL,
    reason  INTEGER NOT NULL
) STRICT;

-- Where batches went whose keys Central has from a clone.
CREATE TABLE rekeyed (
    from_epoch INTEGER PRIMARY KEY,
    to_epoch   INTEGER NOT NULL
) STRICT;

-- What other parts keep in the same transaction as their batches: inventory, last readings, schedule.
CREATE TABLE kept (
    kind  TEXT    NOT NULL,
    key   INTEGER NOT NULL,
    value BLOB    NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
