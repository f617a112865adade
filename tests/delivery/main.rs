//! Delivery with the real SQL on both sides: the probe's spool and Central's ledger under the state machines, killed,
//! rolled back, restored and squeezed at random; no network, no processes. `FARWATCH_SQL_SEED=17` runs one seed.
//!
//! The wide search is the simulator of `farwatch_shared::session`, over models; this one shows that the SQL does what
//! the models say.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use farwatch_central::ledger::{self, Admission, Entry};
use farwatch_probe::spool::{FILE, Spool, SpoolError, SpoolLimits, kept};
use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{BatchKey, GapReason, Lane};
use farwatch_shared::session::receiver::{
    BatchStep, Decided, Known, LeaseRow, Receiver, SnapshotStep, Verdict, judge,
};
use farwatch_shared::session::sender::{Answered, Closed, Facts, Limits, Next, Sender};
use farwatch_shared::session::{Stream, Tick};
use farwatch_shared::wire::message::batch::{Batch, EVENTS, SAMPLES};
use farwatch_shared::wire::message::session::SnapshotPart;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rusqlite::{Connection, params};

const START: Timestamp = Timestamp(1_763_900_000_000);
const SEEDS: u64 = 240;

/// One of Central's two files: the ledger beside rows that stand for data.
struct File(Connection);

impl File {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(ledger::SCHEMA).unwrap();
        connection
            .execute_batch("CREATE TABLE shown (epoch INTEGER, lane INTEGER, seq INTEGER, content INTEGER) STRICT")
            .unwrap();
        Self(connection)
    }

    fn copy(&self) -> Self {
        let mut copy = Connection::open_in_memory().unwrap();
        rusqlite::backup::Backup::new(&self.0, &mut copy)
            .unwrap()
            .run_to_completion(1_000, Duration::ZERO, None)
            .unwrap();
        Self(copy)
    }

    fn contents(&self) -> Vec<u64> {
        let mut select = self.0.prepare("SELECT content FROM shown").unwrap();
        let rows = select.query_map([], |row| row.get::<_, i64>(0)).unwrap();
        rows.map(|content| content.unwrap().cast_unsigned())
            .collect()
    }
}

struct World {
    rng: StdRng,
    dir: tempfile::TempDir,
    clock: Clock,
    limits: SpoolLimits,
    probe: ProbeId,
    spool: Option<Spool>,
    sender: Sender,
    receiver: Option<Receiver>,
    leases: LeaseRow,
    events: File,
    samples: File,
    backup: Option<(File, File, LeaseRow)>,
    copies: Vec<(PathBuf, BTreeSet<u64>)>,
    /// content → (lane, time), durable at the probe and not destroyed since.
    durable: BTreeMap<u64, (Lane, Timestamp)>,
    made: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let shm = std::path::Path::new("/dev/shm");
        let dir = if shm.is_dir() {
            tempfile::tempdir_in(shm).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let limits = SpoolLimits {
            max_bytes: if rng.random_ratio(1, 3) {
                2_000_000
            } else {
                1 << 30
            },
            reserve_bytes: 0,
            ..SpoolLimits::default()
        };
        Self {
            rng,
            dir,
            clock: Clock::manual(START),
            limits,
            probe: ProbeId::generate(),
            spool: None,
            sender: Sender::new(Limits::default()),
            receiver: None,
            leases: LeaseRow::default(),
            events: File::new(),
            samples: File::new(),
            backup: None,
            copies: Vec::new(),
            durable: BTreeMap::new(),
            made: 0,
        }
    }

    fn tick(&self) -> Tick {
        Tick(self.clock.boot_ms())
    }

    fn spool(&mut self) -> Spool {
        if self.spool.is_none() {
            let (spool, _) = Spool::open(self.dir.path(), self.limits, self.clock.clone()).unwrap();
            self.spool = Some(spool);
            self.sender = Sender::new(Limits::default());
        }
        self.spool.clone().unwrap()
    }

    async fn poll(&mut self) {
        self.clock.advance(Duration::from_secs(5));
        let lane = if self.rng.random_ratio(1, 4) {
            Lane::Events
        } else {
            Lane::Samples
        };
        self.made += 1;
        let (content, now) = (self.made, self.clock.now());
        let mut body = content.to_le_bytes().to_vec();
        body.resize(self.rng.random_range(8..60_000), 1);
        let draft = farwatch_probe::spool::Draft {
            epoch: None,
            lane,
            kind: if lane == Lane::Events {
                EVENTS
            } else {
                SAMPLES
            },
            version: 1,
            from: now,
            to: now,
            samples: 1,
            body,
        };
        let fails = self.rng.random_ratio(1, 10);
        let committed = self
            .spool()
            .commit(vec![draft], move |c| {
                kept::put(c, "reading", 1, &content.to_le_bytes())?;
                if fails {
                    // As a kill in the open transaction: nothing of it stays.
                    return Err(rusqlite::Error::InvalidQuery);
                }
                Ok(())
            })
            .await;
        match committed {
            Ok(_) => {
                assert!(!fails);
                self.durable.insert(content, (lane, now));
            }
            Err(SpoolError::Sqlite(_)) => assert!(fails),
            Err(other) => panic!("{other:?}"),
        }
        let reading = self
            .spool()
            .reading(|c| kept::get(c, "reading", 1))
            .await
            .unwrap();
        let expected = (!fails).then(|| content.to_le_bytes().to_vec());
        assert!(
            fails || reading == expected,
            "the reading moved with its batch"
        );
    }

    fn hang_up(&mut self, why: Closed) {
        self.receiver = None;
        let now = self.tick();
        self.sender.closed(why, now, self.rng.random());
    }

    /// The process ends between two steps; perhaps a copy of its disk is made.
    async fn kill_probe(&mut self) {
        self.hang_up(Closed::Lost);
        self.spool = None;
        let wal = self.dir.path().join(format!("{FILE}-wal"));
        let limit = Instant::now() + Duration::from_secs(20);
        while std::fs::metadata(&wal).is_ok_and(|meta| meta.len() > 0) {
            assert!(Instant::now() < limit, "the writer did not end");
            tokio::task::yield_now().await;
        }
        let file = self.dir.path().join(FILE);
        if !file.exists() {
            return;
        }
        if self.rng.random_ratio(1, 3) {
            let copy = self.dir.path().join(format!("copy-{}", self.copies.len()));
            std::fs::copy(&file, &copy).unwrap();
            let held = self.durable.keys().copied().collect();
            self.copies.push((copy, held));
        } else if !self.copies.is_empty() && self.rng.random_ratio(1, 4) {
            let at = self.rng.random_range(0..self.copies.len());
            let (copy, held) = &self.copies[at];
            std::fs::copy(copy, &file).unwrap();
            // What was made since is gone with the disk, unless Central has it.
            self.durable.retain(|content, _| held.contains(content));
        }
    }

    async fn connect(&mut self) {
        let spool = self.spool();
        let stock = spool.stock().await.unwrap();
        let facts = Facts {
            now: self.clock.now(),
            boot_ms: self.clock.boot_ms(),
            ..Facts::default()
        };
        let hello = self.sender.hello(&stock, facts);
        let Verdict::Accept(accept) = judge(self.leases, &hello, None) else {
            panic!("nobody else is here");
        };
        self.leases = accept.row;
        if self.rng.random_ratio(1, 12) {
            return self.hang_up(Closed::Lost); // the answer is lost
        }
        let mut receiver = Receiver::new(&accept, self.tick());
        let answer = receiver.answer(&accept, &hello, self.known());
        let now = self.tick();
        let Answered::Accepted(greeting) = self.sender.answer(&answer, now, 0) else {
            panic!("refused");
        };
        assert_eq!(greeting.lease, accept.lease);
        spool
            .greet(greeting.lease, greeting.settlements)
            .await
            .unwrap();
        if let Some(above) = greeting.new_epoch_above {
            if self.rng.random_ratio(1, 8) {
                drop(spool);
                return self.kill_probe().await;
            }
            spool.start_epoch(above).await.unwrap();
        }
        if let Some((from, to)) = greeting.unaccounted {
            spool.account_for(from, to).await.unwrap();
        }
        let marks = {
            let heads = spool.heads().await.unwrap();
            self.sender.begin(&heads, now)
        };
        let part = SnapshotPart {
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
        assert!(matches!(
            receiver.snapshot_part(part),
            Ok(SnapshotStep::Complete(_))
        ));
        self.leases.confirmed = self.leases.confirmed.max(receiver.lease());
        receiver.confirmed();
        self.receiver = Some(receiver);
    }

    fn known(&self) -> Known {
        let mut committed = ledger::committed(&self.events.0, self.probe).unwrap();
        committed.extend(ledger::committed(&self.samples.0, self.probe).unwrap());
        Known {
            committed,
            newest_committed: ledger::complete_to(&self.samples.0, self.probe, self.clock.now())
                .unwrap(),
            now: self.clock.now(),
            ..Known::default()
        }
    }

    /// One order from the spool to an ack and back; may die at each step.
    async fn push(&mut self, faults: bool) {
        let spool = self.spool();
        let heads = spool.heads().await.unwrap();
        self.sender.refresh(&heads);
        for dropped in self.sender.next_dropped() {
            let receiver = self.receiver.as_mut().unwrap();
            let lane = receiver.dropped(&dropped).unwrap();
            let file = file_of(&mut self.events, &mut self.samples, lane);
            let transaction = file.0.transaction().unwrap();
            ledger::mark_dropped(&transaction, self.probe, &dropped, self.clock.now()).unwrap();
            let committed =
                ledger::committed_lane(&transaction, self.probe, dropped.epoch, lane).unwrap();
            transaction.commit().unwrap();
            let ack = receiver.ack(Decided {
                committed,
                seqs: Vec::new(),
                conflicts: Vec::new(),
                want_layouts: Vec::new(),
            });
            let acked = self.sender.ack(&ack);
            spool.settle(acked.settlement).await.unwrap();
        }
        for stream in Stream::ALL {
            let now = self.tick();
            let order = match self.sender.next(stream, now) {
                Next::Send(order) => order,
                Next::Wait(until) => {
                    self.clock
                        .advance(Duration::from_millis(until.since(now).unsigned_abs()));
                    continue;
                }
                Next::Idle => continue,
            };
            let read = spool.read(order).await.unwrap();
            assert!(read.damaged.is_empty());
            for key in read.missing {
                self.sender.missing(key);
            }
            for batch in &read.batches {
                let key = BatchKey {
                    epoch: batch.epoch,
                    lane: order.lane,
                    seq: batch.seq,
                };
                self.sender.sent(stream, key, batch.body.len() as u64);
            }
            if read.batches.is_empty() {
                continue;
            }
            if faults && self.rng.random_ratio(1, 16) {
                return self.hang_up(Closed::Lost);
            }
            let kill = faults && self.rng.random_ratio(1, 12);
            let Some(decided) = self.commit(&read.batches, kill) else {
                return self.hang_up(Closed::Lost);
            };
            if faults && self.rng.random_ratio(1, 10) {
                return self.hang_up(Closed::Lost); // the ack is lost
            }
            let receiver = self.receiver.as_mut().unwrap();
            let ack = receiver.ack(decided);
            let acked = self.sender.ack(&ack);
            if faults && self.rng.random_ratio(1, 16) {
                drop(spool);
                return self.kill_probe().await;
            }
            spool.settle(acked.settlement).await.unwrap();
            if !acked.conflicts.is_empty() {
                spool.rekey(acked.conflicts).await.unwrap();
            }
            return;
        }
    }

    /// A group commit; `None` when Central is killed before it.
    fn commit(&mut self, batches: &[Batch], kill: bool) -> Option<Decided> {
        let receiver = self.receiver.as_mut().unwrap();
        let first = &batches[0];
        let lane = Lane::from_code(first.lane).unwrap();
        let file = file_of(&mut self.events, &mut self.samples, lane);
        let transaction = file.0.transaction().unwrap();
        let mut decided = Decided {
            committed: ledger::committed_lane(&transaction, self.probe, first.epoch, lane).unwrap(),
            seqs: Vec::new(),
            conflicts: Vec::new(),
            want_layouts: Vec::new(),
        };
        for batch in batches {
            assert!(matches!(
                receiver.batch(batch),
                Ok(BatchStep::Commit { .. })
            ));
            let entry = Entry {
                samples: 1,
                ..Entry::of(batch, lane)
            };
            decided.seqs.push(batch.seq);
            match ledger::admit(&transaction, self.probe, &entry, self.clock.now()).unwrap() {
                Admission::New => {
                    let content = i64::from_le_bytes(batch.body[..8].try_into().unwrap());
                    transaction
                        .execute(
                            "INSERT INTO shown (epoch, lane, seq, content) VALUES (?1, ?2, ?3, ?4)",
                            params![batch.epoch, batch.lane, batch.seq.cast_signed(), content],
                        )
                        .unwrap();
                }
                Admission::Conflict => decided.conflicts.push(batch.seq),
                Admission::Repeat | Admission::Full => {}
            }
        }
        decided.committed =
            ledger::committed_lane(&transaction, self.probe, first.epoch, lane).unwrap();
        if kill {
            return None; // dropped without commit
        }
        transaction.commit().unwrap();
        Some(decided)
    }

    fn restore_central(&mut self) {
        self.hang_up(Closed::Lost);
        if let Some((events, samples, leases)) = &self.backup
            && self.rng.random_bool(0.5)
        {
            match self.rng.random_range(0..3) {
                0 => (self.events, self.leases) = (events.copy(), *leases),
                1 => self.samples = samples.copy(),
                _ => {
                    (self.events, self.samples, self.leases) =
                        (events.copy(), samples.copy(), *leases)
                }
            }
        } else {
            self.backup = Some((self.events.copy(), self.samples.copy(), self.leases));
        }
    }

    async fn storm(&mut self) {
        for _ in 0..self.rng.random_range(40..110) {
            match self.rng.random_range(0..20) {
                0..7 => self.poll().await,
                7..16 if self.receiver.is_some() => self.push(true).await,
                7..16 => self.connect().await,
                16 => self.kill_probe().await,
                17 => self.restore_central(),
                18 => self.hang_up(Closed::Lost),
                _ => {
                    let spool = self.spool();
                    spool.maintain().await.unwrap();
                }
            }
        }
    }

    async fn heal(&mut self) {
        for _ in 0..2_000 {
            if self.receiver.is_none() {
                self.connect().await;
                continue;
            }
            self.push(false).await;
            let stock = self.spool().stock().await.unwrap();
            let settled = stock.lanes.iter().all(|lane| lane.held == lane.acked);
            if settled && stock.dropped.is_empty() {
                return;
            }
        }
        let stock = self.spool().stock().await.unwrap();
        panic!("not delivered: {stock:?}");
    }

    fn check(&self) {
        let mut times: BTreeMap<u64, u32> = BTreeMap::new();
        for content in self
            .events
            .contents()
            .into_iter()
            .chain(self.samples.contents())
        {
            *times.entry(content).or_default() += 1;
        }
        assert!(times.values().all(|n| *n == 1), "shown twice: {times:?}");
        let gaps = |file: &File| {
            ledger::gaps(&file.0, self.probe, Timestamp(0), Timestamp(i64::MAX)).unwrap()
        };
        let (in_events, in_samples) = (gaps(&self.events), gaps(&self.samples));
        for (content, (lane, at)) in &self.durable {
            let gaps = if *lane == Lane::Events {
                &in_events
            } else {
                &in_samples
            };
            let covered = gaps
                .iter()
                .any(|(_, of, gap)| of == lane && gap.from <= *at && *at <= gap.to);
            assert!(
                times.contains_key(content) || covered,
                "content {content} of {at} is neither shown nor covered by {gaps:?}"
            );
            let reasons = [GapReason::SpoolOverflow.code(), GapReason::TooOld.code()];
            assert!(gaps.iter().all(|(_, _, gap)| reasons.contains(&gap.reason)));
        }
        for file in [&self.events, &self.samples] {
            let total: u64 = ledger::ledger(&file.0, self.probe)
                .unwrap()
                .iter()
                .map(|lane| lane.batches)
                .sum();
            assert_eq!(
                total,
                file.contents().len() as u64,
                "the ledger counts what is shown"
            );
        }
    }
}

fn file_of<'a>(events: &'a mut File, samples: &'a mut File, lane: Lane) -> &'a mut File {
    match lane {
        Lane::Events => events,
        Lane::Samples => samples,
    }
}

async fn run(seed: u64) {
    let mut world = World::new(seed);
    world.storm().await;
    world.heal().await;
    world.check();
}

#[test]
fn the_sql_of_both_sides_loses_nothing_and_doubles_nothing() {
    let only = std::env::var("FARWATCH_SQL_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seeds = only.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for seed in seeds {
        let one = std::panic::AssertUnwindSafe(|| runtime.block_on(run(seed)));
        if let Err(why) = std::panic::catch_unwind(one) {
            println!("seed {seed} (FARWATCH_SQL_SEED={seed} runs it alone)");
            std::panic::resume_unwind(why);
        }
    }
}
