-- What a device measures beside its interfaces: sensors, storage, processors. A whole record replaces the one before.
CREATE TABLE device_readings (
    probe_id    BLOB    NOT NULL REFERENCES probes (id) ON DELETE CASCADE,
    device_no   INTEGER NOT NULL,
    customer_id BLOB    NOT NULL,
    -- JSON of the wire's ReadingsRecord.
    record      TEXT    NOT NULL,
    at_ms       INTEGER NOT NULL,
    PRIMARY KEY (probe_id, device_no)
) STRICT, WITHOUT ROWID;
