//! `ca`: which certificate authority signs, and another one in its place. Central must not run meanwhile: it holds the
//! key in memory.

use anyhow::Context as _;
use clap::Subcommand;
use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::DeploymentId;
use farwatch_shared::sqlite;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::app::{Lock, user_name};
use crate::config::Config;
use crate::enroll::LEAF_MS;
use crate::enroll::ca::{Ca, succession};
use crate::store::{self, audit};

/// The certificate authority.
#[derive(Debug, Subcommand)]
pub enum Authority {
    /// Which CA signs, and which probes still know only the one before it.
    Show,
    /// Makes a new CA in place of the present one, whose key is deleted. No probe needs a visit.
    Rotate,
    /// Forgets the CAs before the present one.
    Retire {
        /// Also when probes have not renewed since: they will have to join again.
        #[arg(long)]
        even_so: bool,
    },
}

/// Does it; `--json` prints what it returns.
///
/// # Errors
/// One sentence per cause: Central runs, the CA's files, probes that would be locked out.
pub fn run(command: &Authority, config: &Config) -> anyhow::Result<Value> {
    let dir = config.data_dir.join("ca");
    let path = store::Store::path_in(&config.data_dir);
    let now = Clock::system().now();
    if matches!(command, Authority::Show) {
        let c = sqlite::open_reader(&path)?;
        return said(&c, &Ca::open(&dir, deployment(&c)?)?);
    }
    let _lock = Lock::take(&config.data_dir)
        .context("Central runs on this data directory: stop it, do this, start it again")?;
    let c = sqlite::open(&path, &store::SCHEMA)?;
    let deployment = deployment(&c)?;
    let before = Ca::open(&dir, deployment)?;
    let action = match command {
        Authority::Retire { even_so } => {
            let behind = behind(&c, before.since())?;
            anyhow::ensure!(
                *even_so || behind.is_empty(),
                "{} probes have not renewed since the CA changed ({}); they will within 36 h of being on. To let them join again instead: --even-so",
                behind.len(),
                behind.join(", ")
            );
            "ca.retire"
        }
        _ => "ca.rotate",
    };
    let act = audit::Act {
        action,
        object_kind: "deployment",
        object_id: &deployment,
        customer: None,
        detail: json!({ "ca_sha256": data_encoding::HEXLOWER.encode(&before.key_hash()) }),
    };
    audit::write_as(&c, &user_name(nix::unistd::getuid()), "local", now, &act)?;
    let ca = match command {
        Authority::Retire { .. } => succession::retire(&dir, deployment)?,
        _ => succession::rotate(&dir, deployment, now)?,
    };
    said(&c, &ca)
}

fn said(c: &Connection, ca: &Ca) -> anyhow::Result<Value> {
    Ok(json!({
        "sha256": data_encoding::HEXLOWER.encode(&ca.key_hash()),
        "earlier": ca.earlier(),
        "since": ca.since().map(|since| since.to_string()),
        "probes_behind": behind(c, ca.since())?,
    }))
}

fn deployment(c: &Connection) -> anyhow::Result<DeploymentId> {
    c.query_row("SELECT id FROM deployment", [], |row| row.get(0))
        .context("this data directory holds no Central yet")
}

/// Names of the probes whose certificate is older than the CA's coming.
fn behind(c: &Connection, since: Option<Timestamp>) -> rusqlite::Result<Vec<String>> {
    let Some(since) = since else {
        return Ok(Vec::new());
    };
    c.prepare(
        "SELECT name FROM probes WHERE revoked_ms IS NULL AND certificate_not_after_ms < ?1 ORDER BY name",
    )?
    .query_map([Timestamp::from_secs(since.plus_ms(LEAF_MS).secs())], |row| row.get(0))?
    .collect()
}
