//! A Central without console and a probe without network, joined by the real link.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farwatch_central::control::Registry;
use farwatch_central::enroll::Enroll;
use farwatch_central::incident::outbox::Outbox;
use farwatch_central::ingest::{Ingest, Parts, PullSource, SampleStore};
use farwatch_central::ledger::{self, Admission, Entry};
use farwatch_central::live::Live;
use farwatch_central::metrics::query::CommitOutcome;
use farwatch_central::scope::ProbeScope;
use farwatch_central::store::inbound::ClockCorrection;
use farwatch_probe::identity::Identity;
use farwatch_probe::spool::{Draft, Spool, SpoolLimits};
use farwatch_probe::uplink::{Source, States, Uplink, UplinkHandle, Wish};
use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::{CustomerId, DeploymentId, ProbeId, SiteId, TokenId};
use farwatch_shared::lifecycle::Lifecycle;
use farwatch_shared::link::Listener;
use farwatch_shared::model::{BatchKey, Epoch, Lane};
use farwatch_shared::session::sender::Limits;
use farwatch_shared::sqlite::{self, Writer};
use farwatch_shared::wire::message::batch::{
    Batch, Dropped, EVENTS, EventRecord, EventsBody, LayoutsBody, SAMPLES,
};
use farwatch_shared::wire::message::pull::SiteDocument;
use farwatch_shared::wire::message::session::{LaneCommitted, Status, WantedLayout};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Samples in memory, admitted through the real ledger.
#[derive(Clone)]
pub(crate) struct Samples(Arc<SamplesInner>);

struct SamplesInner {
    ledger: Mutex<Connection>,
    kept: Mutex<BTreeMap<(ProbeId, BatchKey), Vec<u8>>>,
    layouts: Mutex<Vec<LayoutsBody>>,
    dropped: Mutex<Vec<Dropped>>,
    /// Commits fail while this is set, as on a full disk.
    full: AtomicBool,
    commits: AtomicU32,
}

#[derive(Debug, thiserror::Error)]
#[error("no room")]
pub(crate) struct NoRoom;

impl Samples {
    fn new() -> Self {
        let ledger = Connection::open_in_memory().unwrap();
        ledger.execute_batch(ledger::SCHEMA).unwrap();
        Self(Arc::new(SamplesInner {
            ledger: Mutex::new(ledger),
            kept: Mutex::default(),
            layouts: Mutex::default(),
            dropped: Mutex::default(),
            full: AtomicBool::new(false),
            commits: AtomicU32::new(0),
        }))
    }

    /// Bodies that were committed, each once.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.0.kept.lock().unwrap().values().cloned().collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.kept.lock().unwrap().len()
    }

    pub(crate) fn layouts(&self) -> usize {
        self.0.layouts.lock().unwrap().len()
    }

    pub(crate) fn dropped(&self) -> Vec<Dropped> {
        self.0.dropped.lock().unwrap().clone()
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.0.full.store(full, Ordering::Relaxed);
    }
}

impl SampleStore for Samples {
    type Error = NoRoom;

    async fn commit(
        &self,
        scope: &ProbeScope,
        _correction: ClockCorrection,
        batches: Vec<Batch>,
    ) -> Result<CommitOutcome, NoRoom> {
        if self.0.full.load(Ordering::Relaxed) {
            return Err(NoRoom);
        }
        self.0.commits.fetch_add(1, Ordering::Relaxed);
        let c = self.0.ledger.lock().unwrap();
        let mut outcome = CommitOutcome::default();
        let mut epochs: Vec<Epoch> = Vec::new();
        for batch in batches {
            let entry = Entry::of(&batch, Lane::Samples);
            match ledger::admit(&c, scope.probe(), &entry, batch.to).unwrap() {
                Admission::New => {
                    let before = self
                        .0
                        .kept
                        .lock()
                        .unwrap()
                        .insert((scope.probe(), entry.key), batch.body);
                    assert!(before.is_none(), "{:?} was shown twice", entry.key);
                }
                Admission::Conflict => outcome.conflicts.push((batch.epoch, batch.seq)),
                Admission::Repeat | Admission::Full => {}
            }
            if !epochs.contains(&batch.epoch) {
                epochs.push(batch.epoch);
            }
        }
        for epoch in epochs {
            let committed =
                ledger::committed_lane(&c, scope.probe(), epoch, Lane::Samples).unwrap();
            outcome.committed.push(committed);
        }
        Ok(outcome)
    }

    async fn put_layouts(&self, _scope: &ProbeScope, body: &LayoutsBody) -> Result<(), NoRoom> {
        if self.0.full.load(Ordering::Relaxed) {
            return Err(NoRoom);
        }
        self.0.layouts.lock().unwrap().push(body.clone());
        Ok(())
    }

    async fn dropped(
        &self,
        scope: &ProbeScope,
        _correction: ClockCorrection,
        dropped: &Dropped,
    ) -> Result<LaneCommitted, NoRoom> {
        let c = self.0.ledger.lock().unwrap();
        ledger::mark_dropped(&c, scope.probe(), dropped, dropped.to).unwrap();
        self.0.dropped.lock().unwrap().push(dropped.clone());
        Ok(ledger::committed_lane(&c, scope.probe(), dropped.epoch, Lane::Samples).unwrap())
    }

    async fn committed(&self, probe: ProbeId) -> Result<Vec<LaneCommitted>, NoRoom> {
        Ok(ledger::committed(&self.0.ledger.lock().unwrap(), probe).unwrap())
    }

    fn want_layouts(&self, _probe: ProbeId) -> Vec<WantedLayout> {
        Vec::new()
    }

    async fn complete_to(&self, probe: ProbeId) -> Result<Timestamp, NoRoom> {
        let c = self.0.ledger.lock().unwrap();
        Ok(ledger::complete_to(&c, probe, Clock::system().now()).unwrap())
    }
}

#[derive(Clone)]
pub(crate) struct Documents;

impl PullSource for Documents {
    async fn site_document(&self, _scope: &ProbeScope) -> Result<SiteDocument, String> {
        Ok(SiteDocument {
            revision: 7,
            names: ("Meyer".into(), "Office".into(), "box".into()),
            ranges: vec!["10.0.0.0/24".into()],
            exclude: Vec::new(),
            addresses: Vec::new(),
            snmp_ports: vec![161],
            allow_loopback: false,
            icmp_interval_s: 10,
            poll_interval_s: 60,
            inventory_interval_s: 3_600,
            discovery_interval_s: 3_600,
            icmp_rate_per_s: 100,
            credentials: Vec::new(),
            at: Timestamp(0),
        })
    }
}

/// Central's door and everything behind it that the link needs.
pub(crate) struct Hall {
    pub(crate) dir: TempDir,
    pub(crate) writer: Writer,
    pub(crate) registry: Registry,
    pub(crate) enroll: Enroll,
    pub(crate) samples: Samples,
    pub(crate) live: Live,
    pub(crate) clock: Clock,
    pub(crate) customer: CustomerId,
    pub(crate) site: SiteId,
    pub(crate) address: SocketAddr,
    life: Option<Lifecycle>,
}

impl Hall {
    pub(crate) async fn open() -> Self {
        Self::open_at(Clock::system()).await
    }

    pub(crate) async fn open_at(clock: Clock) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("central.db");
        let c = sqlite::open(&path, &farwatch_central::store::SCHEMA).unwrap();
        let (customer, site) = (CustomerId::generate(), SiteId::generate());
        c.execute(
            "INSERT INTO deployment (one, id, created_ms) VALUES (1, ?1, 0)",
            [DeploymentId::generate()],
        )
        .unwrap();
        c.execute(
            "INSERT INTO customers (id, name, created_ms) VALUES (?1, 'Meyer', 0)",
            [customer],
        )
        .unwrap();
        c.execute(
            "INSERT INTO sites (id, customer_id, name, created_ms) VALUES (?1, ?2, 'Office', 0)",
            (site, customer),
        )
        .unwrap();
        let live = Live::load(&c, clock.clone()).unwrap();
        let writer = Writer::start(c, &path, "central.db").unwrap();
        let registry = Registry::default();
        let enroll = Enroll::open(
            dir.path(),
            &path,
            writer.clone(),
            registry.clone(),
            vec!["127.0.0.1:1".to_owned()],
            clock.clone(),
        )
        .await
        .unwrap();
        let mut hall = Self {
            dir,
            writer,
            registry,
            enroll,
            samples: Samples::new(),
            live,
            clock,
            customer,
            site,
            address: ([127, 0, 0, 1], 0).into(),
            life: None,
        };
        hall.start();
        let reached = vec![hall.address.to_string()];
        hall.enroll.set_addresses(reached).await.unwrap();
        hall
    }

    /// Listens, where it listened before.
    pub(crate) fn start(&mut self) {
        let credentials = self.enroll.ca().central_credentials().unwrap();
        let listener =
            Listener::bind(self.address, credentials, self.enroll.authority().anchors).unwrap();
        self.address = listener.local_address().unwrap();
        let parts = Parts {
            writer: self.writer.clone(),
            enroll: self.enroll.clone(),
            registry: self.registry.clone(),
            live: self.live.clone(),
            outbox: Outbox::default(),
            samples: self.samples.clone(),
            pulls: Documents,
            clock: self.clock.clone(),
        };
        let ingest = Ingest::new(&self.dir.path().join("central.db"), parts).unwrap();
        let life = Lifecycle::new(Duration::from_secs(5));
        life.spawn("ingest", ingest.run(listener, life.clone()));
        self.life = Some(life);
    }

    /// Stops in order, as at the first signal.
    pub(crate) async fn stop(&mut self) {
        if let Some(life) = self.life.take() {
            life.shut_down().await;
        }
    }

    /// A token's text.
    pub(crate) async fn token(&self) -> String {
        let new = self.enroll.new_token(30 * 60_000);
        let (customer, site, hash, expires) =
            (self.customer, self.site, new.secret_hash, new.expires);
        self.writer
            .write(move |c| {
                c.execute(
                    "INSERT INTO join_tokens (id, customer_id, site_id, secret_hash, created_ms, created_by, expires_ms)
                     VALUES (?1, ?2, ?3, ?4, 0, 'anna', ?5)",
                    (TokenId::generate(), customer, site, hash, expires),
                )
            })
            .await
            .unwrap();
        new.text
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        self.writer
            .write(move |c| c.query_row(sql, [], |row| row.get(0)))
            .await
            .unwrap()
    }
}

/// What a probe's app would answer.
#[derive(Default)]
pub(crate) struct Nothing;

impl Source for Nothing {
    fn states(&self) -> States {
        States::default()
    }

    fn highest_device_no(&self) -> u32 {
        0
    }

    fn vitals(&self, status: &mut Status) {
        status.devices = 3;
    }
}

/// A probe that has joined: identity and spool, and an uplink when it runs.
pub(crate) struct Box {
    pub(crate) dir: PathBuf,
    pub(crate) id: ProbeId,
    pub(crate) spool: Spool,
    pub(crate) running: Option<Running>,
    clock: Clock,
    number: u64,
}

pub(crate) struct Running {
    pub(crate) handle: UplinkHandle,
    pub(crate) wishes: mpsc::Receiver<Wish>,
    pub(crate) drain: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Box {
    /// Joins with a new token.
    pub(crate) async fn join(hall: &Hall, name: &str) -> Self {
        let dir = hall.dir.path().join(name);
        let token = hall.token().await;
        farwatch_probe::join::join(&token, &dir, Some(name), None, &hall.clock)
            .await
            .unwrap();
        Self::at(&dir, &hall.clock)
    }

    /// From the files in `dir`.
    pub(crate) fn at(dir: &Path, clock: &Clock) -> Self {
        let (spool, _) = Spool::open(dir, SpoolLimits::default(), clock.clone()).unwrap();
        Self {
            dir: dir.to_owned(),
            id: Self::identity(dir).name().probe,
            spool,
            running: None,
            clock: clock.clone(),
            number: 0,
        }
    }

    pub(crate) fn identity(dir: &Path) -> Identity {
        Identity::load(dir).unwrap().unwrap()
    }

    /// Starts the uplink.
    pub(crate) fn start(&mut self) -> &UplinkHandle {
        let mut identity = Self::identity(&self.dir);
        identity.keep_time(Timestamp(0)).unwrap();
        let (uplink, handle, wishes) = Uplink::new(
            identity,
            self.spool.clone(),
            Arc::new(Nothing),
            Limits {
                backlog_bytes_per_s: 200_000_000,
                ..Limits::default()
            },
            Duration::from_secs(600),
            self.clock.clone(),
        );
        let drain = CancellationToken::new();
        let told = drain.clone();
        #[expect(clippy::disallowed_methods, reason = "the test holds the handle")]
        let task = tokio::spawn(async move { uplink.run(told).await.unwrap() });
        self.running = Some(Running {
            handle,
            wishes,
            drain,
            task,
        });
        &self.running.as_ref().unwrap().handle
    }

    /// Stops the uplink in order.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.drain.cancel();
            running.task.await.unwrap();
        }
    }

    pub(crate) fn handle(&self) -> &UplinkHandle {
        &self.running.as_ref().unwrap().handle
    }

    /// Waits for a session.
    pub(crate) async fn connected(&self) {
        let mut status = self.handle().watch_status();
        let connected = tokio::time::timeout(SOON, status.wait_for(|status| status.connected));
        connected.await.expect("a session within its time").unwrap();
    }

    /// Waits for a session with Central at `address`.
    pub(crate) async fn connected_at(&self, address: SocketAddr) {
        let mut status = self.handle().watch_status();
        let there = |status: &farwatch_probe::uplink::LinkStatus| {
            status.connected && status.address == address.to_string()
        };
        let connected = tokio::time::timeout(SOON, status.wait_for(there));
        connected
            .await
            .expect("a session at the new place")
            .unwrap();
    }

    /// Waits until there is none, and says why.
    pub(crate) async fn apart(&self) -> String {
        let mut status = self.handle().watch_status();
        let apart = tokio::time::timeout(SOON, status.wait_for(|status| !status.connected));
        apart
            .await
            .expect("the end of the session within its time")
            .unwrap()
            .problem
            .clone()
    }

    /// Makes samples batches durable: `count` of `bytes` each, told apart by their number.
    pub(crate) async fn samples(&mut self, count: u64, bytes: usize) {
        let now = self.clock.now();
        let mut drafts = Vec::new();
        for _ in 0..count {
            self.number += 1;
            let mut body = self.number.to_be_bytes().to_vec();
            // Not compressible, and not the same twice.
            let mut state = self.number;
            while body.len() < bytes {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                body.extend_from_slice(&state.to_be_bytes());
            }
            drafts.push(Draft {
                epoch: None,
                lane: Lane::Samples,
                kind: SAMPLES,
                version: 1,
                from: now,
                to: now,
                samples: 1,
                body,
            });
        }
        for some in drafts.chunks(64) {
            self.spool.commit(some.to_vec(), |_| Ok(())).await.unwrap();
        }
    }

    /// Makes one event durable.
    pub(crate) async fn event(&self, text: &str) {
        let now = self.clock.now();
        let body = EventsBody {
            events: vec![EventRecord {
                at: now,
                kind: farwatch_shared::model::EventKind::ProbeNotice.code(),
                severity: 3,
                device: farwatch_shared::model::DeviceNo(0),
                instance: farwatch_shared::model::InstanceNo(0),
                state: 255,
                text: text.into(),
                detail: Vec::new(),
            }],
        };
        let draft = Draft {
            epoch: None,
            lane: Lane::Events,
            kind: EVENTS,
            version: 1,
            from: now,
            to: now,
            samples: 0,
            body: farwatch_shared::wire::encode(&body),
        };
        self.spool.commit(vec![draft], |_| Ok(())).await.unwrap();
    }

    /// How many samples batches were ever made.
    pub(crate) fn made(&self) -> usize {
        usize::try_from(self.number).unwrap()
    }

    /// Waits until everything in the spool is acknowledged.
    pub(crate) async fn all_acknowledged(&self) {
        farwatch_tests::eventually(SOON, "everything is acknowledged", || async {
            match self.spool.status().await.unwrap().waiting_batches {
                0 => Ok(()),
                left => Err(left),
            }
        })
        .await;
    }
}
