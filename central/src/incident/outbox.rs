//! The outbox: notifications written in the transaction of their incident, sent afterwards, at least once.
//!
//! A crash between sending and marking sends again, under the same dedup key: a receiver that keeps keys sees one.

use std::sync::Arc;
use std::time::Duration;

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::error::Chain;
use farwatch_shared::failpoint;
use farwatch_shared::id::ChannelId;
use farwatch_shared::sqlite::{SqliteError, Writer};
use rusqlite::{Connection, params};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::notify::{Channel, Notification, Sender};
use super::rules;

/// How long a notification is tried before it is given up, ms. Longer than any mail server's maintenance.
const GIVE_UP_AFTER_MS: i64 = 24 * 3_600 * 1_000;
/// Waits between tries, s; the last one repeats.
const BACKOFF_S: [i64; 6] = [5, 15, 60, 300, 900, 3_600];
/// Notifications sent at the same time.
const AT_ONCE: i64 = 8;
/// The longest wait between two looks when nothing wakes it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Wakes the sender after a commit that wrote into the outbox. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    wake: Arc<Notify>,
}

impl Outbox {
    /// There may be something to send.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Sends what is in the outbox.
#[derive(Debug)]
pub struct Delivery {
    writer: Writer,
    outbox: Outbox,
    sender: Sender,
    clock: Clock,
}

impl Delivery {
    /// A sender for this outbox.
    #[must_use]
    pub const fn new(writer: Writer, outbox: Outbox, sender: Sender, clock: Clock) -> Self {
        Self {
            writer,
            outbox,
            sender,
            clock,
        }
    }

    /// Sends until `drain`; what was not sent is still in the outbox.
    ///
    /// # Errors
    /// The writer has stopped.
    pub async fn run(self, drain: CancellationToken) -> Result<(), SqliteError> {
        while !drain.is_cancelled() {
            match drain.run_until_cancelled(self.send_due()).await {
                Some(Err(SqliteError::Stopped)) => return Err(SqliteError::Stopped),
                Some(Err(error)) => {
                    tracing::error!(error = %Chain(&error), "the outbox could not be read; it is tried again")
                }
                Some(Ok(0)) | None => {}
                Some(Ok(_)) => continue,
            }
            let rest = tokio::time::timeout(LOOK_EVERY, self.outbox.wake.notified());
            let _ = drain.run_until_cancelled(rest).await;
        }
        Ok(())
    }

    /// Sends what is due, once each; returns how many were tried.
    ///
    /// # Errors
    /// The store's own.
    pub async fn send_due(&self) -> Result<usize, SqliteError> {
        let now = self.clock.now();
        let due = self.writer.write(move |c| due(c, now)).await?;
        let tried = due.len();
        let sends = due.into_iter().map(|item| self.send_one(item));
        for done in futures::future::join_all(sends).await {
            done?;
        }
        Ok(tried)
    }

    async fn send_one(&self, item: Item) -> Result<(), SqliteError> {
        let outcome = self.sender.send(&item.channel, &item.notification).await;
        failpoint::hit("C7");
        let now = self.clock.now();
        let name = item.channel.name.clone();
        self.writer
            .write(move |c| match outcome {
                Ok(detail) => sent(c, &item, &detail, now),
                Err(error) => failed(c, &item, &error, now),
            })
            .await?;
        failpoint::hit("C8");
        tracing::debug!(channel = %name, "a notification was tried");
        Ok(())
    }
}

struct Item {
    id: i64,
    attempts: u32,
    created: Timestamp,
    incident: i64,
    channel: Channel,
    notification: Notification,
}

fn due(c: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Item>> {
    // Of one incident and channel the resolution waits until the opening is through.
    let mut due = c.prepare_cached(
        "SELECT o.id, o.attempts, o.created_ms, o.incident_id, o.what, o.dedup_key, ch.id, ch.name, ch.kind, ch.settings, ch.key_id, \
         ch.sealed, i.title, i.consequence, i.severity, i.opened_ms, i.resolved_ms, cu.name, coalesce(s.name, ''), i.kind \
         FROM outbox o JOIN channels ch ON ch.id = o.channel_id JOIN incidents i ON i.id = o.incident_id \
         JOIN customers cu ON cu.id = i.customer_id LEFT JOIN sites s ON s.id = i.site_id \
         WHERE o.state = 'pending' AND o.next_ms <= ?1 AND NOT EXISTS (SELECT 1 FROM outbox p WHERE p.channel_id = o.channel_id \
         AND p.incident_id = o.incident_id AND p.id < o.id AND p.state = 'pending') ORDER BY o.id LIMIT ?2",
    )?;
    let rows = due.query_map(params![now, AT_ONCE], |row| {
        let incident: i64 = row.get(3)?;
        Ok(Item {
            id: row.get(0)?,
            attempts: row.get(1)?,
            created: row.get(2)?,
            incident,
            channel: Channel {
                id: row.get::<_, ChannelId>(6)?,
                name: row.get(7)?,
                kind: row.get(8)?,
                settings: row.get(9)?,
                key_id: row.get(10)?,
                sealed: row.get(11)?,
            },
            notification: Notification {
                what: row.get(4)?,
                dedup_key: row.get(5)?,
                incident,
                kind: row.get(19)?,
                title: row.get(12)?,
                consequence: row.get(13)?,
                severity: row.get(14)?,
                opened: row.get(15)?,
                resolved: row.get(16)?,
                customer: row.get(17)?,
                site: row.get(18)?,
            },
        })
    })?;
    rows.collect()
}

fn sent(c: &Connection, item: &Item, detail: &str, now: Timestamp) -> rusqlite::Result<()> {
    c.execute("UPDATE outbox SET state = 'sent', done_ms = ?2, detail = ?3, attempts = attempts + 1 WHERE id = ?1", params![item.id, now, detail])?;
    told(c, item, "sent", detail, now)?;
    rules::entry(
        c,
        item.incident,
        "notified",
        &item.channel.name,
        &format!("told {}", item.channel.name),
        now,
    )
}

fn failed(c: &Connection, item: &Item, error: &str, now: Timestamp) -> rusqlite::Result<()> {
    let wait = BACKOFF_S[(item.attempts as usize).min(BACKOFF_S.len() - 1)];
    let given_up = now.since(item.created) >= GIVE_UP_AFTER_MS;
    c.execute(
        "UPDATE outbox SET attempts = attempts + 1, next_ms = ?2, detail = ?3, state = ?4, done_ms = ?5 WHERE id = ?1",
        params![item.id, now.plus_ms(wait * 1_000), error, if given_up { "failed" } else { "pending" }, given_up.then_some(now)],
    )?;
    told(c, item, "failed", error, now)?;
    if given_up {
        let text = format!("{} could not be told for a day: {error}", item.channel.name);
        rules::entry(c, item.incident, "notified", &item.channel.name, &text, now)?;
    }
    tracing::warn!(channel = %item.channel.name, %error, "a notification was not delivered; it is tried again in {wait} s");
    Ok(())
}

fn told(
    c: &Connection,
    item: &Item,
    state: &str,
    detail: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    c.execute(
        "UPDATE channels SET last_state = ?2, last_ms = ?3, last_detail = ?4 WHERE id = ?1",
        params![item.channel.id, state, now, detail],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU16, Ordering};

    use axum::Router;
    use axum::extract::State;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use farwatch_shared::id::{CustomerId, ProbeId, SiteId};
    use farwatch_shared::sqlite::{self, Schema};

    use super::super::notify::Secrets;
    use super::*;
    use crate::live::Effects;

    struct NoSecrets;
    impl Secrets for NoSecrets {
        fn open_channel(&self, _: ChannelId, _: &str, sealed: &[u8]) -> Result<String, String> {
            Ok(String::from_utf8_lossy(sealed).into_owned())
        }
    }

    #[derive(Clone)]
    struct Hook {
        answer: Arc<AtomicU16>,
        heard: Arc<Mutex<Vec<(String, String, String)>>>,
    }

    async fn hook(State(hook): State<Hook>, headers: HeaderMap, body: String) -> StatusCode {
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let event = body["event"].as_str().unwrap().to_owned();
        hook.heard.lock().unwrap().push((
            header("idempotency-key"),
            header("authorization"),
            event,
        ));
        StatusCode::from_u16(hook.answer.load(Ordering::Relaxed)).unwrap()
    }

    struct Bench {
        _dir: tempfile::TempDir,
        _server: tokio::task::JoinSet<()>,
        writer: Writer,
        delivery: Delivery,
        clock: Clock,
        hook: Hook,
        customer: CustomerId,
        probe: ProbeId,
    }

    impl Bench {
        async fn new() -> Self {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let hook_state = Hook {
                answer: Arc::new(AtomicU16::new(200)),
                heard: Arc::default(),
            };
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/hook", listener.local_addr().unwrap());
            let app = Router::new()
                .route("/hook", post(hook))
                .with_state(hook_state.clone());
            let mut server = tokio::task::JoinSet::new();
            server.spawn(async move { axum::serve(listener, app).await.unwrap() });

            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("central.db");
            let schema = Schema {
                application_id: 0x4657_0001,
                migrations: &[include_str!("../store/migrations/0001_first_light.sql")],
            };
            let c = sqlite::open(&path, &schema).unwrap();
            let (customer, site, probe) = (
                CustomerId::generate(),
                SiteId::generate(),
                ProbeId::generate(),
            );
            c.execute(
                "INSERT INTO customers (id, name, created_ms) VALUES (?1, 'Kestrel', 0)",
                [customer],
            )
            .unwrap();
            c.execute(
                "INSERT INTO sites (id, customer_id, name, created_ms) VALUES (?1, ?2, 'R', 0)",
                params![site, customer],
            )
            .unwrap();
            c.execute(
                "INSERT INTO probes (id, customer_id, site_id, name, key_hash, created_ms, certificate_not_after_ms) \
                 VALUES (?1, ?2, ?3, 'rtm-1', x'', 0, 0)",
                params![probe, customer, site],
            )
            .unwrap();
            c.execute(
                "INSERT INTO channels (id, name, kind, settings, key_id, sealed, created_ms) VALUES (?1, 'NOC', 'webhook', ?2, 'k', ?3, 0)",
                params![ChannelId::generate(), serde_json::json!({ "url": url }).to_string(), b"s3cret".as_slice()],
            )
            .unwrap();
            let writer = Writer::start(c, &path, "test").unwrap();
            let clock = Clock::manual(Timestamp(1_800_000_000_000));
            let sender =
                Sender::new(Arc::new(NoSecrets), "https://noc.example".to_owned()).unwrap();
            let delivery = Delivery::new(writer.clone(), Outbox::default(), sender, clock.clone());
            let bench = Self {
                _dir: dir,
                _server: server,
                writer,
                delivery,
                clock,
                hook: hook_state,
                customer,
                probe,
            };
            bench.silent(site).await;
            bench
        }

        async fn silent(&self, site: SiteId) {
            let (customer, probe, now) = (self.customer, self.probe, self.clock.now());
            self.writer
                .write(move |c| {
                    rules::probe_is_silent(
                        c,
                        customer,
                        site,
                        probe,
                        now,
                        now,
                        &mut Effects::new(customer, site),
                    )
                })
                .await
                .unwrap();
        }

        async fn back(&self) {
            let (customer, probe, now) = (self.customer, self.probe, self.clock.now());
            self.writer
                .write(move |c| {
                    rules::resolve_probe(
                        c,
                        probe,
                        "back",
                        now,
                        &mut Effects::new(customer, SiteId::generate()),
                    )
                })
                .await
                .unwrap();
        }

        fn heard(&self) -> Vec<(String, String, String)> {
            std::mem::take(&mut self.hook.heard.lock().unwrap())
        }
    }

    #[tokio::test]
    async fn an_incident_is_told_once_and_its_end_after_it() {
        let bench = Bench::new().await;
        bench.back().await;
        // Both are in the outbox; the end waits for the beginning.
        assert_eq!(bench.delivery.send_due().await.unwrap(), 1);
        assert_eq!(bench.delivery.send_due().await.unwrap(), 1);
        assert_eq!(bench.delivery.send_due().await.unwrap(), 0);
        let events: Vec<_> = bench
            .heard()
            .into_iter()
            .map(|(_, secret, event)| (secret, event))
            .collect();
        let bearer = "Bearer s3cret".to_owned();
        assert_eq!(
            events,
            [
                (bearer.clone(), "incident.opened".to_owned()),
                (bearer, "incident.resolved".to_owned())
            ]
        );
    }

    #[tokio::test]
    async fn a_receiver_that_fails_is_tried_again_later_under_the_same_key() {
        let bench = Bench::new().await;
        bench.hook.answer.store(503, Ordering::Relaxed);
        bench.delivery.send_due().await.unwrap();
        assert_eq!(
            bench.delivery.send_due().await.unwrap(),
            0,
            "not before its time"
        );
        bench.clock.advance(Duration::from_secs(6));
        bench.hook.answer.store(200, Ordering::Relaxed);
        assert_eq!(bench.delivery.send_due().await.unwrap(), 1);
        let keys: Vec<_> = bench.heard().into_iter().map(|(key, _, _)| key).collect();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0], keys[1]);
        let state: String = bench
            .writer
            .write(|c| c.query_row("SELECT state FROM outbox", [], |row| row.get(0)))
            .await
            .unwrap();
        assert_eq!(state, "sent");
    }

    #[tokio::test]
    async fn after_a_day_of_failures_it_is_given_up_and_said_so() {
        let bench = Bench::new().await;
        bench.hook.answer.store(500, Ordering::Relaxed);
        for _ in 0..40 {
            bench.delivery.send_due().await.unwrap();
            bench.clock.advance(Duration::from_secs(3_600));
        }
        let (state, entry): (String, String) = bench
            .writer
            .write(|c| {
                let state = c.query_row("SELECT state FROM outbox", [], |row| row.get(0))?;
                Ok((
                    state,
                    c.query_row(
                        "SELECT text FROM incident_entries WHERE kind = 'notified'",
                        [],
                        |row| row.get(0),
                    )?,
                ))
            })
            .await
            .unwrap();
        assert_eq!(state, "failed");
        assert!(entry.contains("could not be told for a day"), "{entry}");
    }
}
