//! The first two frames of a session: who may hold it, and what Central has.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::link::Connection as Link;
use farwatch_shared::session::receiver::{Accept, Known, LeaseRow, Refuse, Rival, Verdict, judge};
use farwatch_shared::text::DeviceText;
use farwatch_shared::wire::message::session::Hello;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;

use super::pulls::addresses_revision;
use super::{Inner, PullSource, SampleStore};
use crate::ledger;
use crate::live::{Change, Effects};
use crate::scope::ProbeScope;

/// Central cannot commit now: the probe comes back after this, and up to as much again.
const BUSY_RETRY_MS: u32 = 10_000;
/// Notices kept on a probe's page.
const NOTICES: usize = 20;

/// An accepted hello.
pub(super) struct Welcome {
    pub(super) accept: Accept,
    pub(super) known: Known,
}

/// Judges a hello, stores the new lease, and gathers what the answer says.
pub(super) async fn hello<S: SampleStore, P: PullSource>(
    inner: &Inner<S, P>,
    scope: &ProbeScope,
    link: &Link,
    hello: &Hello,
) -> Result<Welcome, Refuse> {
    let now = inner.clock.now();
    let rival = inner.registry.rival(scope.probe(), inner.tick());
    let seen = Seen {
        scope: *scope,
        program: DeviceText::name(hello.program.as_bytes()).to_string(),
        host_name: DeviceText::name(hello.host_name.as_bytes()).to_string(),
        os: DeviceText::name(hello.os.as_bytes()).to_string(),
        peer: link.remote_address().to_string(),
        now,
    };
    let asked = hello.clone();
    let stored = inner
        .writer
        .write(move |c| store(c, &seen, &asked, rival))
        .await
        .map_err(|error| busy(&error))?;
    let (accept, mut known) = match stored {
        Stored::Accepted(accept, known) => (accept, known),
        Stored::Refused(refuse) => return Err(refuse),
    };
    let samples = inner.samples.committed(scope.probe()).await;
    known
        .committed
        .extend(samples.map_err(|error| busy(&error))?);
    known.want_layouts = inner.samples.want_layouts(scope.probe());
    let complete_to = inner.samples.complete_to(scope.probe()).await;
    known.newest_committed = complete_to.map_err(|error| busy(&error))?;
    if accept.restored
        && let Err(error) = inner.enroll.after_restore().await
    {
        return Err(busy(&error));
    }
    if accept.new_epoch || accept.restored {
        let mut effects = Effects::new(scope.customer(), scope.site());
        effects.push(Change::Probe {
            probe: scope.probe(),
        });
        inner.publish(&effects);
    }
    Ok(Welcome { accept, known })
}

fn busy(error: &(dyn std::error::Error + 'static)) -> Refuse {
    tracing::error!(error = %farwatch_shared::error::Chain(error), "a probe is sent away: nothing can be kept now");
    Refuse {
        word: "busy",
        retry_after_ms: BUSY_RETRY_MS + rand::random_range(0..BUSY_RETRY_MS),
    }
}

struct Seen {
    scope: ProbeScope,
    program: String,
    host_name: String,
    os: String,
    peer: String,
    now: Timestamp,
}

enum Stored {
    Accepted(Accept, Known),
    Refused(Refuse),
}

fn store(
    c: &Connection,
    seen: &Seen,
    hello: &Hello,
    rival: Option<Rival>,
) -> rusqlite::Result<Stored> {
    let scope = &seen.scope;
    let row: Option<(i64, i64, Option<Timestamp>)> = c
        .prepare_cached(
            "SELECT lease_offered, lease_confirmed, revoked_ms FROM probes
             WHERE id = ?1 AND customer_id = ?2 AND site_id = ?3",
        )?
        .query_row(
            params![scope.probe(), scope.customer(), scope.site()],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let Some((offered, confirmed, None)) = row else {
        return Ok(Stored::Refused(Refuse {
            word: "revoked",
            retry_after_ms: 3_600_000,
        }));
    };
    let row = LeaseRow {
        offered: offered.cast_unsigned(),
        confirmed: confirmed.cast_unsigned(),
    };
    let accept = match judge(row, hello, rival) {
        Verdict::Accept(accept) => accept,
        Verdict::Refuse(refuse) => {
            if refuse.word == "clone" {
                let text = format!(
                    "a second machine ({}, {}) shows this probe's certificate: it was copied, and is kept out while this one is connected",
                    seen.host_name, seen.peer
                );
                notice(c, seen, "major", &text, "probe.clone")?;
            }
            return Ok(Stored::Refused(refuse));
        }
    };
    if accept.restored {
        let text = "this probe holds a later lease than Central gave it: Central was restored from a backup; unused join tokens were withdrawn";
        notice(c, seen, "warning", text, "central.restored")?;
    }
    if accept.new_epoch {
        let text = if accept.store_is_new {
            "this probe came back without its store: what it had not sent is lost"
        } else {
            "this probe was rolled back or copied: it goes on under a new epoch"
        };
        notice(c, seen, "warning", text, "probe.rolled-back")?;
    }
    c.prepare_cached(
        "UPDATE probes SET lease_offered = ?2, epoch = ?3, program = ?4, host_name = ?5, os = ?6, peer_address = ?7,
             connected_ms = ?8
         WHERE id = ?1",
    )?
    .execute(params![
        scope.probe(),
        accept.row.offered.cast_signed(),
        hello.epoch,
        seen.program,
        seen.host_name,
        seen.os,
        seen.peer,
        seen.now
    ])?;
    let highest: u32 = c
        .prepare_cached(
            "SELECT coalesce(max(device_no), 0) FROM device_numbers WHERE probe_id = ?1",
        )?
        .query_row([scope.probe()], |row| row.get(0))?;
    let known = Known {
        committed: ledger::committed(c, scope.probe())?,
        want_layouts: Vec::new(),
        newest_committed: Timestamp::default(),
        highest_device_no: highest,
        config_revision: config_revision(c, scope)?,
        addresses_revision: addresses_revision(c)?,
        now: seen.now,
    };
    Ok(Stored::Accepted(accept, known))
}

/// Newest revision of the site's configuration; 0 before the first.
fn config_revision(c: &Connection, scope: &ProbeScope) -> rusqlite::Result<u64> {
    let revision: Option<i64> = c
        .prepare_cached(
            "SELECT revision FROM site_configs WHERE site_id = ?1 AND customer_id = ?2",
        )?
        .query_row(params![scope.site(), scope.customer()], |row| row.get(0))
        .optional()?;
    Ok(revision.map_or(0, i64::cast_unsigned))
}

/// Something an admin has to know of a probe: in the audit, and on its page. The same text is not piled up.
fn notice(
    c: &Connection,
    seen: &Seen,
    severity: &str,
    text: &str,
    action: &str,
) -> rusqlite::Result<()> {
    let scope = &seen.scope;
    let (notices, name): (String, String) = c
        .prepare_cached("SELECT notices, name FROM probes WHERE id = ?1")?
        .query_row([scope.probe()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut notices: Vec<serde_json::Value> = serde_json::from_str(&notices).unwrap_or_default();
    let again = notices.iter().any(|notice| notice["text"] == text);
    notices.retain(|notice| notice["text"] != text);
    notices.push(json!({ "severity": severity, "text": text, "at": seen.now.to_string() }));
    let surplus = notices.len().saturating_sub(NOTICES);
    notices.drain(..surplus);
    if !again {
        c.prepare_cached(
            "INSERT INTO audit (at_ms, who, from_address, customer_id, action, object_kind, object_id, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, 'probe', ?6, ?7)",
        )?
        .execute(params![
            seen.now,
            format!("probe {name}"),
            seen.peer,
            scope.customer(),
            action,
            scope.probe().to_string(),
            json!({ "text": text }).to_string()
        ])?;
    }
    c.prepare_cached("UPDATE probes SET notices = ?2 WHERE id = ?1")?
        .execute(params![
            scope.probe(),
            serde_json::Value::from(notices).to_string()
        ])?;
    Ok(())
}
