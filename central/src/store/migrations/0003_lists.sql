-- What lists read, without the long records beside it.
CREATE INDEX devices_in_lists ON devices (
    customer_id, site_id, id, forgotten_ms, muted_until_ms, state, state_since_ms, display_name, name, address,
    vendor, model, role, snmp, state_reason, uptime_ms, uptime_at_ms, first_seen_ms
);

-- How many present interfaces a device has, kept by triggers: a list of 10,000 devices does not count 480,000 rows.
CREATE TABLE interface_counts (
    device_id  BLOB    PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE,
    interfaces INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER interface_counted AFTER INSERT ON interfaces WHEN new.present = 1 BEGIN
    INSERT INTO interface_counts (device_id, interfaces) VALUES (new.device_id, 1)
    ON CONFLICT (device_id) DO UPDATE SET interfaces = interfaces + 1;
END;
CREATE TRIGGER interface_uncounted AFTER DELETE ON interfaces WHEN old.present = 1 BEGIN
    UPDATE interface_counts SET interfaces = interfaces - 1 WHERE device_id = old.device_id;
END;
CREATE TRIGGER interface_moved_in AFTER UPDATE OF present, device_id ON interfaces WHEN new.present = 1 BEGIN
    INSERT INTO interface_counts (device_id, interfaces) VALUES (new.device_id, 1)
    ON CONFLICT (device_id) DO UPDATE SET interfaces = interfaces + 1;
END;
CREATE TRIGGER interface_moved_out AFTER UPDATE OF present, device_id ON interfaces WHEN old.present = 1 BEGIN
    UPDATE interface_counts SET interfaces = interfaces - 1 WHERE device_id = old.device_id;
END;
