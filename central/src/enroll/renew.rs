//! The same key gets a new certificate; a revoked one never does.

use std::net::IpAddr;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::error::Chain;
use farwatch_shared::id::{CustomerId, ProbeId};
use farwatch_shared::link::RenewingKey;
use farwatch_shared::wire::message::enroll::{CertificateAnswer, RenewRequest};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::json;

use super::revocations::Revocations;
use super::{Act, Inner, csr, redeem, refused};

pub(super) async fn renew(
    inner: &Inner,
    key: RenewingKey,
    request: RenewRequest,
    from: IpAddr,
    now: Timestamp,
) -> CertificateAnswer {
    let asked = match csr::read(&request.csr) {
        Ok(asked) => asked,
        Err(error) => return refused("bad_request", &error.to_string()),
    };
    if &asked.hash != key.key_hash() {
        return refused("wrong_key", "a certificate is renewed for its own key only");
    }
    let name = key.name();
    if inner.revocations.contains(name.probe) {
        return refused("revoked", "this probe was revoked");
    }
    let (ca, addresses) = (inner.ca.clone(), inner.addresses.borrow().clone());
    let done = inner
        .writer
        .write(move |c| {
            let row: Option<(bool, [u8; 32], String, String, String)> = c
                .prepare_cached(
                    "SELECT p.revoked_ms IS NOT NULL, p.key_hash, k.name, s.name, p.name
                     FROM probes p JOIN customers k ON k.id = p.customer_id JOIN sites s ON s.id = p.site_id
                     WHERE p.id = ?1 AND p.customer_id = ?2 AND p.site_id = ?3",
                )?
                .query_row((name.probe, name.customer, name.site), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                })
                .optional()?;
            let Some((revoked, enrolled, customer_name, site_name, probe_name)) = row else {
                return Ok(refused("revoked", "this probe is not known here: join again with a new token"));
            };
            if revoked {
                return Ok(refused("revoked", "this probe was revoked"));
            }
            if enrolled != asked.hash {
                return Ok(refused("wrong_key", "a certificate is renewed for its own key only"));
            }
            let (certificate, not_after) = ca.issue(&name, &asked.key, now).map_err(redeem::other)?;
            Act { who: &format!("probe {probe_name}"), from_address: &from.to_string(), customer: Some(name.customer), action: "probe.renew", object: ("probe", &name.probe), detail: json!({ "not_after": not_after.to_string() }) }.write(c, now)?;
            c.execute(
                "UPDATE probes SET certificate_not_after_ms = ?2 WHERE id = ?1",
                (name.probe, not_after),
            )?;
            Ok(CertificateAnswer {
                refused: String::new(),
                reason: String::new(),
                certificate: certificate.to_vec(),
                ca: ca.trusted(),
                probe_id: *name.probe.as_bytes(),
                site_id: *name.site.as_bytes(),
                customer_id: *name.customer.as_bytes(),
                addresses,
                names: (customer_name, site_name, probe_name),
            })
        })
        .await;
    done.unwrap_or_else(|error| {
        tracing::error!(error = %Chain(&error), "a renewal could not be kept");
        refused(
            "busy",
            "Central cannot keep anything at the moment: try again in a minute",
        )
    })
}

/// The row of a revoked probe; `None` when there is none, `false` when it was revoked before.
pub(super) fn mark_revoked(
    c: &Connection,
    probe: ProbeId,
    reason: &str,
    who: &str,
    from_address: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<bool>> {
    let row: Option<(CustomerId, Option<Timestamp>)> = c
        .query_row(
            "SELECT customer_id, revoked_ms FROM probes WHERE id = ?1",
            [probe],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((customer, revoked)) = row else {
        return Ok(None);
    };
    if revoked.is_some() {
        return Ok(Some(false));
    }
    Act {
        who,
        from_address,
        customer: Some(customer),
        action: "probe.revoke",
        object: ("probe", &probe),
        detail: json!({ "reason": reason }),
    }
    .write(c, now)?;
    c.execute(
        "UPDATE probes SET revoked_ms = ?2, revoked_reason = ?3 WHERE id = ?1",
        (probe, now, reason),
    )?;
    Ok(Some(true))
}

/// Makes rows and list say the same: whoever one of them revokes, both do.
pub(super) fn agree_with(
    c: &Connection,
    revocations: &Revocations,
    now: Timestamp,
) -> rusqlite::Result<std::io::Result<()>> {
    for probe in revocations.all() {
        let reason = "revoked before this database was restored";
        if mark_revoked(c, probe, reason, "Central", "local", now)? == Some(true) {
            tracing::warn!(probe.id = %probe, "a probe that the database took for good was revoked before; it stays revoked");
        }
    }
    let mut revoked = c.prepare(
        "SELECT id, coalesce(revoked_reason, '') FROM probes WHERE revoked_ms IS NOT NULL",
    )?;
    let rows = revoked
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(ProbeId, String)>>>()?;
    for (probe, reason) in rows {
        if !revocations.contains(probe)
            && let Err(error) = revocations.add(probe, &reason, now)
        {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// Withdraws every token that is not used.
pub(super) fn void_tokens(c: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let open: i64 = c.query_row(
        "SELECT count(*) FROM join_tokens WHERE used_ms IS NULL AND void = 0",
        [],
        |row| row.get(0),
    )?;
    if open > 0 {
        Act {
            who: "Central",
            from_address: "local",
            customer: None,
            action: "join-token.void",
            object: ("join-token", &"every unused one"),
            detail: json!({ "reason": "Central was restored from a backup", "tokens": open }),
        }
        .write(c, now)?;
        c.execute("UPDATE join_tokens SET void = 1 WHERE used_ms IS NULL", [])?;
    }
    Ok(())
}
