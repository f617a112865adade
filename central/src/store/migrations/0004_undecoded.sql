-- Events-lane batches that were committed as they came because this version could not apply them: tried again at each
-- start, and kept for a later version.
CREATE TABLE undecoded_events (
    probe_id    BLOB    NOT NULL REFERENCES probes (id) ON DELETE CASCADE,
    epoch       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    why         TEXT    NOT NULL,
    -- The wire's Batch, encoded.
    batch       BLOB    NOT NULL,
    PRIMARY KEY (probe_id, epoch, seq)
) STRICT, WITHOUT ROWID;

-- Where probes were last told to reach Central (JSON list); addresses_revision moves when the configured list is another.
ALTER TABLE deployment ADD COLUMN addresses TEXT NOT NULL DEFAULT '[]';
