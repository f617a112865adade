//! One probe of the crowd: its identity from a real join, real QUIC, the real state machine of delivery; no devices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use farwatch_probe::identity::Identity;
use farwatch_shared::clock::{Clock, Timestamp, boot_id};
use farwatch_shared::link::{
    Alpn, CloseCode, Connection, Credentials, Dialer, Priority, ServerTrust,
};
use farwatch_shared::model::Epoch;
use farwatch_shared::session::sender::{Answered, Closed, Facts, Limits, Sender, Stock};
use farwatch_shared::session::{ATTEMPT_DEADLINE_MS, STATUS_INTERVAL_MS, Tick};
use farwatch_shared::wire::message::session::{HelloAnswer, SnapshotPart, Status};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_millis(ATTEMPT_DEADLINE_MS.unsigned_abs());

/// What the crowd counts together.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Probes with an accepted hello now.
    pub(crate) sessions: AtomicUsize,
    /// Handshakes begun.
    pub(crate) dialled: AtomicU64,
    /// Handshakes that came to nothing.
    pub(crate) failed: AtomicU64,
    /// Hellos refused with a time to come back.
    pub(crate) refused: AtomicU64,
}

/// One probe.
pub(crate) struct Client {
    credentials: Credentials,
    trust: ServerTrust,
    central: std::net::SocketAddr,
    clock: Clock,
    sender: Sender,
    stock: Stock,
    counts: Arc<Counts>,
}

impl Client {
    pub(crate) fn new(
        identity: &Identity,
        central: std::net::SocketAddr,
        clock: &Clock,
        counts: &Arc<Counts>,
    ) -> Self {
        Self {
            credentials: identity.credentials(),
            trust: identity.trust(clock),
            central,
            clock: clock.clone(),
            sender: Sender::new(Limits::default()),
            stock: Stock {
                running: Epoch::new(1, rand::random()),
                lease: 0,
                lanes: Vec::new(),
                dropped: Vec::new(),
                known_from: clock.now(),
            },
            counts: counts.clone(),
        }
    }

    /// Dials, and dials again as a probe does, until `end`.
    pub(crate) async fn run(mut self, mut dialer: Dialer, end: CancellationToken) {
        while !end.is_cancelled() {
            self.counts.dialled.fetch_add(1, Ordering::Relaxed);
            let dialled = dialer
                .connect(
                    self.central,
                    Alpn::Work,
                    Some(self.credentials.clone()),
                    self.trust.clone(),
                    DEADLINE,
                )
                .await;
            let wait = match dialled {
                Ok(connection) => {
                    let wait = end.run_until_cancelled(self.session(&connection)).await;
                    connection.close(CloseCode::Shutdown, "");
                    wait.unwrap_or_default()
                }
                Err(_) => {
                    self.counts.failed.fetch_add(1, Ordering::Relaxed);
                    self.lost()
                }
            };
            end.run_until_cancelled(sleep(wait)).await;
        }
    }

    fn tick(&self) -> Tick {
        Tick(self.clock.boot_ms())
    }

    fn until(&self, at: Tick) -> Duration {
        Duration::from_millis(u64::try_from(at.since(self.tick())).unwrap_or_default())
    }

    fn lost(&mut self) -> Duration {
        let now = self.tick();
        let after = self.sender.closed(Closed::Lost, now, rand::random());
        self.until(after.redial_at)
    }

    /// How long to wait after it ended.
    async fn session(&mut self, link: &Connection) -> Duration {
        let facts = Facts {
            program: farwatch_probe::uplink::PROGRAM.to_owned(),
            host_name: "crowd".to_owned(),
            os: "Linux".to_owned(),
            boot_id: boot_id(),
            now: self.clock.now(),
            boot_ms: self.clock.boot_ms(),
            highest_device_no: 0,
        };
        let hello = self.sender.hello(&self.stock, facts);
        let opened = timeout(DEADLINE, async {
            let (mut send, mut receive) = link.open(Priority::Events).await.ok()?;
            send.send(&hello).await.ok()?;
            let answer: HelloAnswer = receive.expect().await.ok()?;
            Some((send, receive, answer))
        })
        .await;
        let Ok(Some((mut send, mut receive, answer))) = opened else {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
            return self.lost();
        };
        let now = self.tick();
        match self.sender.answer(&answer, now, rand::random()) {
            Answered::Accepted(greeting) => self.stock.lease = greeting.lease,
            Answered::Refused { redial_at, .. } => {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                return self.until(redial_at);
            }
        }
        let marks = self.sender.begin(&self.stock.heads(), now);
        let snapshot = SnapshotPart {
            lease: marks.lease,
            part: 0,
            parts: 1,
            epoch: marks.epoch,
            events_from_seq: marks.events_from_seq,
            samples_from_seq: marks.samples_from_seq,
            at: self.clock.now(),
            devices: Vec::new(),
            interfaces: Vec::new(),
        };
        self.counts.sessions.fetch_add(1, Ordering::Relaxed);
        let working = async {
            send.send(&snapshot).await?;
            let mut timer = interval(Duration::from_millis(STATUS_INTERVAL_MS.unsigned_abs()));
            loop {
                timer.tick().await;
                send.send(&self.status()).await?;
            }
        };
        let reading = async { while let Ok(Some(_)) = receive.next().await {} };
        tokio::select! {
            ended = working => drop::<Result<(), farwatch_shared::link::Closed>>(ended),
            () = reading => {}
        }
        self.counts.sessions.fetch_sub(1, Ordering::Relaxed);
        self.lost()
    }

    fn status(&self) -> Status {
        Status {
            now: self.clock.now(),
            boot_ms: self.clock.boot_ms(),
            spool_batches: 0,
            spool_bytes: 4_096,
            spool_limit_bytes: 1 << 32,
            oldest_unacked: Timestamp(0),
            time_left_s: -1,
            replay_window_s: 172_800,
            certificate_not_after: self.clock.now().plus_ms(72 * 3_600_000),
            certificate_renew_after: self.clock.now().plus_ms(36 * 3_600_000),
            config_revision: 1,
            devices: 0,
            polls_total: 0,
            polls_overran_total: 0,
            rss_bytes: 20 << 20,
            notices: Vec::new(),
            discovery_state: "idle".to_owned(),
            discovery_range: String::new(),
            discovery_swept: 0,
            discovery_to_sweep: 0,
            discovery_answered: 0,
            discovery_identified: 0,
            discovery_started: Timestamp(0),
            discovery_finished: Timestamp(0),
        }
    }
}
