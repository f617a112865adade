//! A store of the first version is opened by this one, which is killed at any step of that: each version is whole or has
//! not begun, nothing that was there changes, and the next start goes on.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};

use farwatch_shared::sqlite::{self, Schema};
use farwatch_tests::binary;
use farwatch_tests::disk::Trace;
use farwatch_tests::shim::{Envs, Shim};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

/// Steps at the end of a start that may not come.
const LAST_STEPS: usize = 3;
const FILE: &str = "central.db";
const SCHEMA: &Schema = &farwatch_central::store::SCHEMA;
/// What a start writes of its own accord is left out of the comparison.
const FILLED: [&str; 6] = [
    "customers",
    "sites",
    "probes",
    "devices",
    "incidents",
    "incident_entries",
];
/// A customer, ten sites, twenty devices each with a long record, a week of incidents with their lines.
const FILL: &str = "
    INSERT INTO customers (id, name, created_ms) VALUES (randomblob(16), 'Meyer', 0);
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10)
    INSERT INTO sites (id, customer_id, name, created_ms) SELECT randomblob(16), c.id, 'site ' || i, i FROM n, customers c;
    INSERT INTO probes (id, customer_id, site_id, name, key_hash, created_ms, certificate_not_after_ms)
    SELECT randomblob(16), customer_id, id, 'probe at ' || name, randomblob(32), 0, 0 FROM sites;
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
    INSERT INTO devices (id, customer_id, site_id, record, name, address, state_since_ms, first_seen_ms)
    SELECT randomblob(16), customer_id, id, hex(randomblob(800)), name || ' device ' || i, '10.0.0.' || i, i, i FROM n, sites;
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
    INSERT INTO incidents (customer_id, site_id, kind, severity, title, consequence, opened_ms, resolved_ms)
    SELECT c.id, randomblob(16), 'device_down', 1, 'device ' || i, hex(randomblob(40)), i, i + 1 FROM n, customers c;
    INSERT INTO incident_entries (incident_id, at_ms, kind, who, text)
    SELECT id, opened_ms, 'opened', 'Farwatch', hex(randomblob(30)) FROM incidents;
";

#[test]
fn a_migration_that_is_killed_at_any_step_is_whole_or_has_not_begun() {
    let Some(shim) = Shim::build() else { return };
    let mut dice = StdRng::seed_from_u64(super::seed());
    let scratch = super::scratch();
    let old = scratch.path().join("old");
    std::fs::create_dir(&old).unwrap();
    migrate(&old, 1).execute_batch(FILL).unwrap();

    // What every version should hold: the step made in one go, by the program's own code.
    let stepped = scratch.path().join("stepped");
    super::copy_tree(&old, &stepped).unwrap();
    let known = SCHEMA.migrations.len();
    let expected: Vec<String> = (1..=known)
        .map(|version| content(&migrate(&stepped, version)))
        .collect();

    let steps = steps_of(&shim, scratch.path(), &old);
    let kills = super::scaled(40);
    let mut left_at = vec![0; known];
    for _ in 0..kills {
        let dir = scratch.path().join("killed");
        super::copy_tree(&old, &dir).unwrap();
        let after = dice.random_range(1..=steps);
        let mut envs = shim.tracing(&scratch.path().join("trace"), &dir.join(FILE));
        envs.push(("FARWATCH_DIES".to_owned(), after.to_string()));
        let ended = start(&dir, envs);
        // How often a file is synced differs by one or two from run to run: the last step may not come.
        let was_done = after + LAST_STEPS > steps && ended.success();
        assert!(
            ended.signal() == Some(9) || was_done,
            "step {after} of {steps}: {ended}"
        );

        let version = version(&dir);
        assert!((1..=known).contains(&version), "{version}");
        left_at[version - 1] += 1;
        let again = content(&migrate(&dir, version));
        assert_eq!(
            again,
            expected[version - 1],
            "step {after}: version {version} is not whole"
        );
        let finished = content(&migrate(&dir, known));
        assert_eq!(
            finished,
            expected[known - 1],
            "step {after}: the next start"
        );
        std::fs::remove_dir_all(&dir).unwrap();
    }
    println!("{kills} kills among {steps} steps; left at versions 1 to {known}: {left_at:?} times");
    assert!(left_at[0] > 0 && left_at[known - 1] > 0);
}

/// The store of a directory, brought to `version` and no further.
fn migrate(dir: &Path, version: usize) -> Connection {
    let schema = Schema {
        application_id: SCHEMA.application_id,
        migrations: &SCHEMA.migrations[..version],
    };
    sqlite::open(&dir.join(FILE), &schema).unwrap()
}

fn version(dir: &Path) -> usize {
    let c = sqlite::open_reader(&dir.join(FILE)).unwrap();
    let version: u32 = c
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    version as usize
}

/// A start of this version with the store of a directory; it ends by itself.
fn start(dir: &Path, envs: Envs) -> ExitStatus {
    Command::new(binary("farwatch-central").unwrap())
        .args(["summary", "--json", "--data-dir"])
        .arg(dir)
        .envs(envs)
        .output()
        .unwrap()
        .status
}

/// How many steps a start takes that nobody kills.
fn steps_of(shim: &Shim, scratch: &Path, old: &Path) -> usize {
    let (dir, trace) = (scratch.join("counted"), scratch.join("counted.trace"));
    super::copy_tree(old, &dir).unwrap();
    let traced = dir.join(FILE);
    assert!(start(&dir, shim.tracing(&trace, &traced)).success());
    Trace::read(&trace, &traced).unwrap().len()
}

/// The schema's text and every row of what was filled in, as one hash.
fn content(c: &Connection) -> String {
    let mut hash = Sha256::new();
    let mut all = vec![
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name".to_owned(),
        "PRAGMA integrity_check".to_owned(),
    ];
    all.extend(FILLED.map(|table| format!("SELECT * FROM {table} ORDER BY 1, 2")));
    for sql in all {
        let mut statement = c.prepare(&sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                hash.update(format!("{:?}\u{0}", row.get_ref(column).unwrap()));
            }
        }
    }
    data_encoding::HEXLOWER.encode(&hash.finalize())
}
