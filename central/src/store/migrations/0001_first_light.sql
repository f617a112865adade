-- central.db: everything but samples. Ids are 16-byte UUIDv7, times are _ms INTEGER UTC, one customer's rows carry its id.

CREATE TABLE deployment (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    id             BLOB    NOT NULL,
    created_ms     INTEGER NOT NULL,
    -- Moves on when the list of addresses that probes dial changes.
    addresses_revision INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE customers (
    id         BLOB    PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE COLLATE NOCASE,
    note       TEXT    NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sites (
    id          BLOB    PRIMARY KEY,
    customer_id BLOB    NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    name        TEXT    NOT NULL COLLATE NOCASE,
    time_zone   TEXT    NOT NULL DEFAULT 'UTC',
    note        TEXT    NOT NULL DEFAULT '',
    created_ms  INTEGER NOT NULL,
    UNIQUE (customer_id, name)
) STRICT, WITHOUT ROWID;

-- One revisioned document per site; `document` is JSON without secrets, credentials by id.
CREATE TABLE site_configs (
    site_id     BLOB    PRIMARY KEY REFERENCES sites (id) ON DELETE CASCADE,
    customer_id BLOB    NOT NULL,
    revision    INTEGER NOT NULL,
    document    TEXT    NOT NULL,
    updated_ms  INTEGER NOT NULL,
    updated_by  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Secrets are sealed: XChaCha20-Poly1305 under key `key_id`, with customer and credential id as associated data.
CREATE TABLE credentials (
    id             BLOB    PRIMARY KEY,
    customer_id    BLOB    NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    site_id        BLOB    REFERENCES sites (id) ON DELETE CASCADE,
    name           TEXT    NOT NULL COLLATE NOCASE,
    kind           TEXT    NOT NULL CHECK (kind IN ('v1', 'v2c', 'v3')),
    user_name      TEXT,
    security_level TEXT,
    auth_protocol  TEXT,
    priv_protocol  TEXT,
    context_name   TEXT,
    key_id         TEXT    NOT NULL,
    sealed         BLOB    NOT NULL,
    created_ms     INTEGER NOT NULL,
    updated_ms     INTEGER NOT NULL,
    UNIQUE (customer_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id            BLOB    PRIMARY KEY,
    user_name     TEXT    NOT NULL UNIQUE COLLATE NOCASE,
    display_name  TEXT    NOT NULL,
    role          TEXT    NOT NULL CHECK (role IN ('admin', 'operator', 'technician', 'viewer')),
    customer_id   BLOB    REFERENCES customers (id) ON DELETE CASCADE,
    password_hash TEXT    NOT NULL,
    preferences   TEXT    NOT NULL DEFAULT '{}',
    created_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Only hashes: a copy of this file signs nobody in.
CREATE TABLE sessions (
    token_hash   BLOB    PRIMARY KEY,
    user_id      BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    csrf_token   TEXT    NOT NULL,
    created_ms   INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    from_address TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE setup_tokens (
    token_hash BLOB    PRIMARY KEY,
    expires_ms INTEGER NOT NULL,
    -- NULL makes the first admin; else whose password it resets.
    user_id    BLOB    REFERENCES users (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Append only, written before the act.
CREATE TABLE audit (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms        INTEGER NOT NULL,
    who          TEXT    NOT NULL,
    from_address TEXT    NOT NULL,
    customer_id  BLOB,
    action       TEXT    NOT NULL,
    object_kind  TEXT    NOT NULL,
    object_id    TEXT    NOT NULL,
    detail       TEXT    NOT NULL
) STRICT;
CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'audit is append-only'); END;
CREATE INDEX audit_by_customer ON audit (customer_id, id);

CREATE TABLE join_tokens (
    id          BLOB    PRIMARY KEY,
    customer_id BLOB    NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    site_id     BLOB    NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    secret_hash BLOB    NOT NULL UNIQUE,
    probe_name  TEXT,
    created_ms  INTEGER NOT NULL,
    created_by  TEXT    NOT NULL,
    expires_ms  INTEGER NOT NULL,
    used_ms     INTEGER,
    probe_id    BLOB,
    void        INTEGER NOT NULL DEFAULT 0,
    last_failure TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE probes (
    id              BLOB    PRIMARY KEY,
    customer_id     BLOB    NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    site_id         BLOB    NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    name            TEXT    NOT NULL,
    -- SHA-256 of the SubjectPublicKeyInfo that was enrolled.
    key_hash        BLOB    NOT NULL,
    created_ms      INTEGER NOT NULL,
    revoked_ms      INTEGER,
    revoked_reason  TEXT,
    lease_offered   INTEGER NOT NULL DEFAULT 0,
    lease_confirmed INTEGER NOT NULL DEFAULT 0,
    -- What the last session said of itself.
    epoch           INTEGER NOT NULL DEFAULT 0,
    program         TEXT    NOT NULL DEFAULT '',
    host_name       TEXT    NOT NULL DEFAULT '',
    os              TEXT    NOT NULL DEFAULT '',
    peer_address    TEXT    NOT NULL DEFAULT '',
    connected_ms    INTEGER,
    last_heard_ms   INTEGER,
    certificate_not_after_ms INTEGER NOT NULL,
    -- Newest slot or event committed.
    newest_ms       INTEGER NOT NULL DEFAULT 0,
    -- JSON of the last Status frame, so that a restart of Central still shows it, with its age.
    last_status     TEXT    NOT NULL DEFAULT '{}',
    -- JSON list of {severity, text, at}: rolled back, cloned, restored.
    notices         TEXT    NOT NULL DEFAULT '[]'
) STRICT, WITHOUT ROWID;
CREATE INDEX probes_by_site ON probes (site_id);

-- A device. Only Central mints these; probes' numbers map to them.
CREATE TABLE devices (
    id              BLOB    PRIMARY KEY,
    customer_id     BLOB    NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    site_id         BLOB    NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    -- What a person said.
    display_name    TEXT,
    note            TEXT    NOT NULL DEFAULT '',
    muted_until_ms  INTEGER,
    forgotten_ms    INTEGER,
    -- What the probe said last (JSON of DeviceRecord), and what lists need of it.
    record          TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    address         TEXT    NOT NULL,
    vendor          TEXT    NOT NULL DEFAULT '',
    model           TEXT    NOT NULL DEFAULT '',
    role            TEXT    NOT NULL DEFAULT '',
    snmp            TEXT    NOT NULL DEFAULT 'none',
    -- State as last told by the probe; `unknown` for a silent probe is derived, never stored.
    state           INTEGER NOT NULL DEFAULT 3,
    state_since_ms  INTEGER NOT NULL,
    state_reason    TEXT    NOT NULL DEFAULT '',
    behind_device_id BLOB,
    uptime_ms       INTEGER,
    uptime_at_ms    INTEGER,
    last_ping_ms    INTEGER,
    last_snmp_ms    INTEGER,
    first_seen_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_by_site ON devices (site_id);
CREATE INDEX devices_by_customer ON devices (customer_id);

-- (probe, number) → device; merging and undoing change only this.
CREATE TABLE device_numbers (
    probe_id    BLOB    NOT NULL REFERENCES probes (id) ON DELETE CASCADE,
    device_no   INTEGER NOT NULL,
    device_id   BLOB    NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    customer_id BLOB    NOT NULL,
    -- JSON of the whole DeviceRecord as this probe last said it: what `pull inventory` answers.
    record      TEXT    NOT NULL,
    PRIMARY KEY (probe_id, device_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_numbers_by_device ON device_numbers (device_id);

CREATE TABLE device_evidence (
    site_id   BLOB    NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    kind      TEXT    NOT NULL,
    value     TEXT    NOT NULL,
    device_id BLOB    NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    at_ms     INTEGER NOT NULL,
    PRIMARY KEY (site_id, kind, value, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_evidence_by_device ON device_evidence (device_id);

CREATE TABLE interfaces (
    id          BLOB    PRIMARY KEY,
    device_id   BLOB    NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    customer_id BLOB    NOT NULL,
    if_index    INTEGER,
    name        TEXT    NOT NULL,
    descr       TEXT    NOT NULL,
    alias       TEXT    NOT NULL,
    mac         TEXT    NOT NULL,
    if_type     INTEGER NOT NULL,
    speed_bps   INTEGER NOT NULL,
    present     INTEGER NOT NULL,
    admin       INTEGER NOT NULL DEFAULT 0,
    oper        INTEGER NOT NULL DEFAULT 0,
    oper_since_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX interfaces_by_device ON interfaces (device_id);

-- (probe, device number, instance number) → interface.
CREATE TABLE interface_numbers (
    probe_id     BLOB    NOT NULL REFERENCES probes (id) ON DELETE CASCADE,
    device_no    INTEGER NOT NULL,
    instance_no  INTEGER NOT NULL,
    interface_id BLOB    NOT NULL REFERENCES interfaces (id) ON DELETE CASCADE,
    PRIMARY KEY (probe_id, device_no, instance_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX interface_numbers_by_interface ON interface_numbers (interface_id);

-- State transitions, for strips and availability. `unknown` is written when the probe falls silent and when it is back.
CREATE TABLE device_states (
    device_id   BLOB    NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    from_ms     INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    -- 1 = said by a probe, 0 = derived by Central (silent probe, mute).
    said        INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (device_id, from_ms)
) STRICT, WITHOUT ROWID;

-- State of a device whose record has not arrived yet (JSON of DeviceNow).
CREATE TABLE orphan_states (
    probe_id    BLOB    NOT NULL REFERENCES probes (id) ON DELETE CASCADE,
    device_no   INTEGER NOT NULL,
    state       TEXT    NOT NULL,
    PRIMARY KEY (probe_id, device_no)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id  BLOB    NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    site_id      BLOB    NOT NULL,
    probe_id     BLOB,
    -- The probe's number; it finds its device when the device's record arrives after the event.
    device_no    INTEGER NOT NULL DEFAULT 0,
    device_id    BLOB,
    interface_id BLOB,
    at_ms        INTEGER NOT NULL,
    received_ms  INTEGER NOT NULL,
    late         INTEGER NOT NULL,
    approximate  INTEGER NOT NULL DEFAULT 0,
    kind         TEXT    NOT NULL,
    severity     INTEGER NOT NULL,
    text         TEXT    NOT NULL,
    detail       TEXT    NOT NULL
) STRICT;
CREATE INDEX events_by_device ON events (device_id, at_ms DESC);
CREATE INDEX events_by_customer ON events (customer_id, at_ms DESC);
CREATE INDEX events_by_time ON events (at_ms);
CREATE INDEX events_without_device ON events (probe_id, device_no) WHERE device_id IS NULL AND device_no > 0;

CREATE TABLE addresses (
    probe_id    BLOB    NOT NULL REFERENCES probes (id) ON DELETE CASCADE,
    site_id     BLOB    NOT NULL,
    customer_id BLOB    NOT NULL,
    address     TEXT    NOT NULL,
    device_no   INTEGER NOT NULL,
    icmp        TEXT    NOT NULL,
    snmp        TEXT    NOT NULL,
    attempts    TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    last_seen_ms INTEGER,
    PRIMARY KEY (probe_id, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX addresses_by_site ON addresses (site_id);

-- Addresses that a person asked to watch.
CREATE TABLE added_addresses (
    site_id    BLOB    NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    address    TEXT    NOT NULL,
    port       INTEGER NOT NULL DEFAULT 0,
    added_ms   INTEGER NOT NULL,
    added_by   TEXT    NOT NULL,
    PRIMARY KEY (site_id, address)
) STRICT, WITHOUT ROWID;

CREATE TABLE incidents (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id     BLOB    NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    site_id         BLOB    NOT NULL,
    -- device_down | probe_silent
    kind            TEXT    NOT NULL,
    device_id       BLOB,
    probe_id        BLOB,
    severity        INTEGER NOT NULL,
    title           TEXT    NOT NULL,
    consequence     TEXT    NOT NULL,
    held_back       INTEGER NOT NULL DEFAULT 0,
    opened_ms       INTEGER NOT NULL,
    acknowledged_ms INTEGER,
    acknowledged_by TEXT,
    resolved_ms     INTEGER,
    resolved_by     TEXT
) STRICT;
-- One open incident per cause.
CREATE UNIQUE INDEX one_open_incident_per_device ON incidents (kind, device_id) WHERE resolved_ms IS NULL AND device_id IS NOT NULL;
CREATE UNIQUE INDEX one_open_incident_per_probe ON incidents (kind, probe_id) WHERE resolved_ms IS NULL AND probe_id IS NOT NULL;
CREATE INDEX incidents_by_customer ON incidents (customer_id, id);
CREATE INDEX incidents_open ON incidents (resolved_ms, id);

CREATE TABLE incident_entries (
    incident_id INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    at_ms       INTEGER NOT NULL,
    -- opened | acknowledged | resolved | note | consequence | notified
    kind        TEXT    NOT NULL,
    who         TEXT    NOT NULL,
    text        TEXT    NOT NULL
) STRICT;
CREATE INDEX incident_entries_by_incident ON incident_entries (incident_id, at_ms);

CREATE TABLE channels (
    id          BLOB    PRIMARY KEY,
    customer_id BLOB    REFERENCES customers (id) ON DELETE CASCADE,
    name        TEXT    NOT NULL COLLATE NOCASE,
    kind        TEXT    NOT NULL CHECK (kind IN ('email', 'webhook')),
    enabled     INTEGER NOT NULL DEFAULT 1,
    settings    TEXT    NOT NULL,
    key_id      TEXT,
    sealed      BLOB,
    created_ms  INTEGER NOT NULL,
    last_state  TEXT,
    last_ms     INTEGER,
    last_detail TEXT
) STRICT, WITHOUT ROWID;

-- Written in the transaction that opens or resolves an incident; sent afterwards, at least once, under one dedup key.
CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    channel_id  BLOB    NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    incident_id INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    -- opened | resolved
    what        TEXT    NOT NULL,
    dedup_key   TEXT    NOT NULL,
    -- pending | sent | failed
    state       TEXT    NOT NULL DEFAULT 'pending',
    attempts    INTEGER NOT NULL DEFAULT 0,
    next_ms     INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    done_ms     INTEGER,
    detail      TEXT    NOT NULL DEFAULT '',
    UNIQUE (channel_id, dedup_key)
) STRICT;
CREATE INDEX outbox_pending ON outbox (state, next_ms);
