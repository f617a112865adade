//! What probes pull: their site's document, their inventory, Central's addresses, a new certificate.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use farwatch_shared::link::{FrameSender, ProbeIdentity, ReadError};
use farwatch_shared::wire;
use farwatch_shared::wire::codec::{Message, PULL_LIMIT};
use farwatch_shared::wire::message::batch::DeviceRecord;
use farwatch_shared::wire::message::enroll::RenewRequest;
use farwatch_shared::wire::message::pull::{
    ADDRESSES, Addresses, INVENTORY, Inventory, PullRefused, PullRequest, RENEW, SITE_DOCUMENT,
    SiteDocument,
};
use rusqlite::{Connection, params};

use super::{Inner, SampleStore};
use crate::scope::ProbeScope;

/// One answer of an inventory; the probe asks again for the rest.
const INVENTORY_BYTES: usize = PULL_LIMIT / 2;

/// Where the site's document comes from: site-config with the credentials opened.
pub trait PullSource: Clone + Send + Sync + 'static {
    /// The document for one probe; an error is one sentence for the probe's log.
    fn site_document(
        &self,
        scope: &ProbeScope,
    ) -> impl Future<Output = Result<SiteDocument, String>> + Send;
}

/// Answers one pull.
pub(super) async fn answer<S: SampleStore, P: PullSource>(
    inner: &Arc<Inner<S, P>>,
    identity: &ProbeIdentity,
    scope: &ProbeScope,
    from: IpAddr,
    request: PullRequest,
    send: &mut FrameSender,
) -> Result<(), ReadError> {
    let now = inner.clock.now();
    let answered = if !inner.pull_limit.take(&scope.probe(), now) {
        Err("too many pulls: wait a minute".to_owned())
    } else {
        match request.what {
            SITE_DOCUMENT => match inner.pulls.site_document(scope).await {
                Ok(document) => queue(send, &document),
                Err(why) => Err(why),
            },
            INVENTORY => {
                let scope = *scope;
                let part = inner
                    .read(move |c| inventory(c, &scope, request.after))
                    .await;
                part.and_then(|part| queue(send, &part))
            }
            ADDRESSES => {
                let revision = inner.read(addresses_revision).await;
                revision.and_then(|revision| {
                    let addresses = inner.enroll.addresses();
                    queue(
                        send,
                        &Addresses {
                            revision,
                            addresses,
                        },
                    )
                })
            }
            RENEW => {
                let request = RenewRequest {
                    csr: request.argument,
                };
                let answer = inner.enroll.renew(identity.renewing(), request, from).await;
                queue(send, &answer)
            }
            other => Err(format!("{other} cannot be pulled here")),
        }
    };
    if let Err(reason) = answered {
        send.queue(&PullRefused { reason });
    }
    send.flush().await?;
    send.finish();
    Ok(())
}

fn queue<M: Message>(send: &mut FrameSender, message: &M) -> Result<(), String> {
    let payload = wire::encode(message);
    if payload.len() > PULL_LIMIT {
        return Err(format!(
            "the answer has {} bytes, more than fit",
            payload.len()
        ));
    }
    send.queue_payload(M::TYPE, M::VERSION, &payload);
    Ok(())
}

/// Newest revision of the list of Central's addresses.
pub(super) fn addresses_revision(c: &Connection) -> rusqlite::Result<u64> {
    let revision: i64 = c.query_row("SELECT addresses_revision FROM deployment", [], |row| {
        row.get(0)
    })?;
    Ok(revision.cast_unsigned())
}

fn inventory(c: &Connection, scope: &ProbeScope, after: u64) -> rusqlite::Result<Inventory> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut rows = c.prepare_cached(
        "SELECT device_no, record FROM device_numbers WHERE probe_id = ?1 AND customer_id = ?2 AND device_no > ?3
         ORDER BY device_no",
    )?;
    let mut rows = rows.query(params![scope.probe(), scope.customer(), after])?;
    let mut part = Inventory::default();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let no: u32 = row.get(0)?;
        let record = serde_json::from_str::<DeviceRecord>(row.get_ref(1)?.as_str()?);
        let Ok(record) = record else {
            tracing::warn!(probe.id = %scope.probe(), "the record of device number {no} cannot be read; the probe will make a new one");
            continue;
        };
        bytes += wire::encode(&record).len();
        if bytes > INVENTORY_BYTES && !part.devices.is_empty() {
            part.more = true;
            break;
        }
        part.devices.push(record);
    }
    Ok(part)
}
