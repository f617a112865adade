//! What is durable here: batches until Central has them (and 48 h more), and what must move with them.
//!
//! ```text
//! monitor, discovery ─ commit(drafts, extra) ─▶ one transaction, fsynced = durable ─▶ changed() ─▶ uplink
//! uplink: stock() → Sender.hello … greet(lease, settlements) … read(order) … settle(settlement) … rekey, emit_layouts
//! a task, every few seconds: maintain() → prunes, keeps the bounds, re-makes the reserve
//! ```
//!
//! One thread writes; reads go through a read-only connection of their own. The file is bounded: 4 GiB or 20 % of the
//! file system, whichever is less; 7 days for what is not acknowledged. What makes room is, in this order: acknowledged
//! data, the oldest unsent samples, the oldest unsent events; unsent data leaves a `dropped` record in the deleting
//! transaction. A full disk stops nothing: pages of old batches are used again, without the file growing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::failpoint;
use farwatch_shared::model::{
    BatchKey, Epoch, GapReason, Lane, Layout, LayoutNo, ProbeGap, SampleBatch,
};
use farwatch_shared::session::sender::{Heads, Order, Settlement, Stock};
use farwatch_shared::sqlite::{self, SqliteError, Writer};
use farwatch_shared::wire::columns;
use farwatch_shared::wire::message::batch::{Batch, SAMPLES};
use farwatch_shared::wire::message::session::WantedLayout;
use rusqlite::Connection;
use tokio::sync::watch;

mod append;
pub mod kept;
mod layouts;
mod report;
mod settle;
mod space;
mod start;
mod stock;

pub use report::{DroppedTotal, LaneReport, SpoolReport, SpoolStatus, report_of_file};
pub use space::SpoolLimits;
pub use start::Opened;

/// The file in the data directory.
pub const FILE: &str = "spool.db";
/// Its schema.
pub const SCHEMA: sqlite::Schema = sqlite::Schema {
    application_id: 0x4657_0010,
    migrations: &[include_str!("spool/migrations/0001_spool.sql")],
};

/// Why the spool could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// No room, even after everything that may go has gone. Nothing was stored, `extra` did not happen. Go on polling:
    /// the spool itself records the span of these drafts as dropped (`disk_full`) with its next commit.
    #[error("no room on the disk")]
    Full,
    /// The drafts were encoded for another epoch: encode them again, with layouts of this one.
    #[error("the running epoch is {running} now")]
    EpochMoved {
        /// The epoch of new batches.
        running: Epoch,
    },
    /// The file is damaged. It is set aside at the next start: end the process in order.
    #[error("the spool's file is damaged")]
    Damaged(#[source] SqliteError),
    /// Anything else that SQLite says.
    #[error("spool")]
    Sqlite(#[from] SqliteError),
    /// The file system.
    #[error("spool: {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A batch before it has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// For a body that names layouts by number: the epoch they belong to. `None` goes into whatever epoch is running.
    pub epoch: Option<Epoch>,
    /// Which lane.
    pub lane: Lane,
    /// What the body is (`wire::message::batch::{EVENTS, …, SAMPLES}`).
    pub kind: u16,
    /// Which version of it.
    pub version: u16,
    /// Earliest time in it, wall clock.
    pub from: Timestamp,
    /// Latest time in it.
    pub to: Timestamp,
    /// Samples in it.
    pub samples: u64,
    /// At most 64 KiB.
    pub body: Vec<u8>,
}

/// What was read for an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// In the order of their seqs.
    pub batches: Vec<Batch>,
    /// Bodies that are not what their crc says: `set_aside(key, Quarantined)`, then refresh the sender.
    pub damaged: Vec<BatchKey>,
    /// Not there (any more): `Sender::missing`.
    pub missing: Vec<BatchKey>,
}

/// The handle; cheap to clone. The writing thread ends with the last clone.
#[derive(Clone, Debug)]
pub struct Spool {
    writer: Writer,
    reader: Arc<Mutex<Connection>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    limits: SpoolLimits,
    clock: Clock,
    boot_id: Arc<str>,
    epoch: watch::Sender<Epoch>,
    changed: watch::Sender<u64>,
    /// Spans that could not be stored because the disk was full.
    owed: Mutex<Vec<Owed>>,
    rate: Mutex<space::Rate>,
}

/// A batch that never got a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owed {
    lane: Lane,
    from: Timestamp,
    to: Timestamp,
    batches: u64,
}

impl Spool {
    /// Opens the file of `data_dir` (or makes it) and begins a new epoch.
    ///
    /// A damaged file is set aside under a name with the time and a fresh one begun; what could still be read of start
    /// counter and lease is taken over.
    ///
    /// # Errors
    /// [`SpoolError`]: the directory cannot be written, or the file is a newer version's.
    pub fn open(
        data_dir: &Path,
        limits: SpoolLimits,
        clock: Clock,
    ) -> Result<(Self, Opened), SpoolError> {
        let path = data_dir.join(FILE);
        let (connection, opened) = start::open(&path, &limits, &clock)?;
        let reader = sqlite::open_reader(&path)?;
        let writer =
            Writer::start(connection, &path, "spool").map_err(|source| SpoolError::Io {
                path: path.clone(),
                source,
            })?;
        let shared = Shared {
            rate: Mutex::new(space::Rate::new(clock.boot_ms())),
            path,
            limits,
            clock,
            boot_id: farwatch_shared::clock::boot_id().into(),
            epoch: watch::Sender::new(opened.epoch),
            changed: watch::Sender::new(0),
            owed: Mutex::new(Vec::new()),
        };
        let spool = Self {
            writer,
            reader: Arc::new(Mutex::new(reader)),
            shared: Arc::new(shared),
        };
        Ok((spool, opened))
    }

    /// The epoch of new batches. It moves when Central finds that this probe was rolled back or cloned; layouts are
    /// then minted anew.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        *self.shared.epoch.borrow()
    }

    /// Tells when the epoch moves.
    #[must_use]
    pub fn watch_epoch(&self) -> watch::Receiver<Epoch> {
        self.shared.epoch.subscribe()
    }

    /// Tells when something became durable, was dropped or got a new key: time for `Sender::refresh`.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Makes drafts durable, together with whatever `extra` writes (readings, inventory): one transaction.
    ///
    /// When this returns the keys, it is on disk. `extra` may run twice (after room was made), never with effect twice.
    ///
    /// # Errors
    /// [`SpoolError`]; then nothing was stored, of drafts and `extra` alike.
    pub async fn commit<F>(&self, drafts: Vec<Draft>, extra: F) -> Result<Vec<BatchKey>, SpoolError>
    where
        F: Fn(&Connection) -> rusqlite::Result<()> + Send + Sync + 'static,
    {
        let drafts = Arc::new(drafts);
        let extra = Arc::new(extra);
        let mut outcome = self.try_commit(drafts.clone(), extra.clone()).await;
        if matches!(outcome, Err(SpoolError::Full)) {
            self.relieve(&drafts).await;
            outcome = self.try_commit(drafts.clone(), extra).await;
        }
        match &outcome {
            Ok(_) => self.tell(),
            Err(SpoolError::Full) => self.owe(&drafts),
            Err(_) => {}
        }
        outcome
    }

    /// Stores layouts of the running epoch for as long as its batches stay, and appends the batches that carry them.
    ///
    /// # Errors
    /// [`SpoolError`]; then nothing was stored.
    pub async fn commit_layouts(
        &self,
        epoch: Epoch,
        layouts: Vec<Layout>,
    ) -> Result<Vec<BatchKey>, SpoolError> {
        let drafts = layouts::drafts(epoch, Some(epoch), &layouts, self.shared.clock.now());
        self.commit(drafts, move |c| layouts::put(c, epoch, &layouts))
            .await
    }

    /// Sends layouts again that Central lacks, as new batches; what is not known here any more is left out.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn emit_layouts(&self, wants: Vec<WantedLayout>) -> Result<(), SpoolError> {
        let now = self.shared.clock.now();
        let found = self.reading(move |c| layouts::wanted(c, &wants)).await?;
        let drafts: Vec<Draft> = found
            .iter()
            .flat_map(|(epoch, layouts)| layouts::drafts(*epoch, None, layouts, now))
            .collect();
        if !drafts.is_empty() {
            self.commit(drafts, |_| Ok(())).await?;
        }
        Ok(())
    }

    /// Everything the sender needs for a hello.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn stock(&self) -> Result<Stock, SpoolError> {
        self.reading(stock::stock).await
    }

    /// What changes during a session; cheap.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn heads(&self) -> Result<Heads, SpoolError> {
        self.reading(stock::heads).await
    }

    /// Reads what the sender ordered: at least one batch when there is one, else no more than `max_bytes`.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn read(&self, order: Order) -> Result<Read, SpoolError> {
        self.reading(move |c| stock::read(c, &order)).await
    }

    /// Stores what a hello's answer says, lease and all, in one transaction: before the first push.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn greet(&self, lease: u64, settlements: Vec<Settlement>) -> Result<(), SpoolError> {
        self.settled(Some(lease), settlements).await
    }

    /// Stores what an ack says.
    ///
    /// # Errors
    /// [`SpoolError`]. Harmless: what is not marked is sent again and known there.
    pub async fn settle(&self, settlement: Settlement) -> Result<(), SpoolError> {
        self.settled(None, vec![settlement]).await
    }

    /// Begins a new epoch, its start counter above `above` and all of our own.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn start_epoch(&self, above: u32) -> Result<Epoch, SpoolError> {
        let epoch = self.writing(move |c| start::begin_epoch(c, above)).await?;
        self.shared.epoch.send_replace(epoch);
        self.tell();
        Ok(epoch)
    }

    /// Accounts for time before this file was begun, which neither Central nor this file knows anything of: a gap.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn account_for(&self, from: Timestamp, to: Timestamp) -> Result<(), SpoolError> {
        let gap = SampleBatch {
            probe_gaps: vec![ProbeGap {
                from,
                to,
                reason: GapReason::ProbeOff.code(),
            }],
            ..SampleBatch::default()
        };
        let body = columns::encode(&gap, &HashMap::<LayoutNo, Layout>::new())
            .expect("a batch without scrapes names no layout");
        let draft = Draft {
            epoch: None,
            lane: Lane::Samples,
            kind: SAMPLES,
            version: columns::VERSION,
            from,
            to,
            samples: 0,
            body,
        };
        self.commit(vec![draft], move |c| start::account_from(c, from))
            .await?;
        Ok(())
    }

    /// Gives batches new keys whose old ones Central has with other content. They go, with the layouts of their epoch,
    /// into an epoch of their own; when the running epoch is concerned, a new one is begun.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn rekey(&self, conflicts: Vec<BatchKey>) -> Result<(), SpoolError> {
        let made = self.made();
        let running = self
            .writing(move |c| settle::rekey(c, &conflicts, &made))
            .await?;
        self.shared.epoch.send_if_modified(|epoch| {
            let moved = *epoch != running;
            *epoch = running;
            moved
        });
        self.tell();
        Ok(())
    }

    /// Counts that Central closed the session while this was the oldest undecided batch; returns how often by now.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn blame(&self, key: BatchKey) -> Result<u32, SpoolError> {
        self.writing(move |c| settle::blame(c, key)).await
    }

    /// Takes a batch out of the queue and leaves a `dropped` record in its place.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn set_aside(&self, key: BatchKey, reason: GapReason) -> Result<(), SpoolError> {
        self.writing(move |c| settle::set_aside(c, key, reason))
            .await?;
        self.tell();
        Ok(())
    }

    /// Prunes, keeps the bounds, re-makes the reserve. To be called every few seconds.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn maintain(&self) -> Result<(), SpoolError> {
        let limits = self.shared.limits;
        let bound = space::bound(&limits, &self.shared.path);
        loop {
            let made = self.made();
            let pass = self
                .writing(move |c| space::prune(c, &limits, bound, &made))
                .await?;
            if pass.pruned > 0 {
                failpoint::hit("P8");
            }
            if pass.dropped > 0 {
                self.tell();
            }
            if !pass.more {
                break;
            }
        }
        space::keep_reserve(&self.shared.path, &limits);
        self.writer
            .alone(|c| space::shrink(c))
            .await?
            .map_err(|source| {
                self.failed(SqliteError::Sqlite {
                    path: self.shared.path.clone(),
                    source,
                })
            })
    }

    /// For `Status` and `farwatch-probe status`.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn status(&self) -> Result<SpoolStatus, SpoolError> {
        let now = self.shared.clock.now();
        let bound = space::bound(&self.shared.limits, &self.shared.path);
        let per_s = lock(&self.shared.rate).bytes_per_s(self.shared.clock.boot_ms());
        let limits = self.shared.limits;
        let path = self.shared.path.clone();
        self.reading(move |c| report::status(c, &path, &limits, bound, per_s, now))
            .await
    }

    /// For `spool ledger --json`.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn ledger(&self) -> Result<SpoolReport, SpoolError> {
        self.reading(report::report).await
    }

    /// Reads what other parts keep here (see [`kept`]); at most 5 s.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn reading<T, F>(&self, read: F) -> Result<T, SpoolError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let reader = self.reader.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut connection = lock(&reader);
            // One state for all statements of the read.
            let transaction = connection.transaction()?;
            read(&transaction)
        })
        .await;
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(self.failed(SqliteError::Sqlite {
                path: self.shared.path.clone(),
                source,
            })),
            Err(_) => Err(SpoolError::Sqlite(SqliteError::Stopped)),
        }
    }

    /// Writes what other parts keep here, without a batch.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn writing<T, F>(&self, write: F) -> Result<T, SpoolError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.writer
            .write(write)
            .await
            .map_err(|error| self.failed(error))
    }

    async fn try_commit<F>(
        &self,
        drafts: Arc<Vec<Draft>>,
        extra: Arc<F>,
    ) -> Result<Vec<BatchKey>, SpoolError>
    where
        F: Fn(&Connection) -> rusqlite::Result<()> + Send + Sync + 'static,
    {
        let owed = std::mem::take(&mut *lock(&self.shared.owed));
        let bytes: u64 = drafts.iter().map(|draft| draft.body.len() as u64).sum();
        let bound = space::bound(&self.shared.limits, &self.shared.path);
        let made = self.made();
        let (paid, running) = (owed.clone(), self.epoch());
        let outcome = self
            .writing(move |c| {
                space::make_room(c, bound, bytes, GapReason::SpoolOverflow, made.now)?;
                append::pay(c, &paid)?;
                let keys = append::append(c, &drafts, &made)?;
                if keys.is_some() {
                    extra(c)?;
                }
                failpoint::hit("P3");
                Ok(keys)
            })
            .await;
        match outcome {
            Ok(Some(keys)) => {
                failpoint::hit("P4");
                lock(&self.shared.rate).add(bytes);
                Ok(keys)
            }
            Ok(None) => Err(SpoolError::EpochMoved { running }),
            Err(error) => {
                lock(&self.shared.owed).extend(owed);
                Err(error)
            }
        }
    }

    /// The disk is full: lets the reserve go and frees pages of the file for as much as these drafts need.
    async fn relieve(&self, drafts: &[Draft]) {
        space::release_reserve(&self.shared.path);
        let bytes: u64 = drafts.iter().map(|draft| draft.body.len() as u64).sum();
        let now = self.shared.clock.now();
        let freed = self
            .writing(move |c| space::free_pages(c, bytes, GapReason::DiskFull, now))
            .await;
        if let Err(error) = freed {
            tracing::warn!(error = %farwatch_shared::error::Chain(&error), "no room could be made on a full disk");
        }
    }

    fn owe(&self, drafts: &[Draft]) {
        let mut owed = lock(&self.shared.owed);
        for draft in drafts {
            match owed.iter_mut().find(|owed| owed.lane == draft.lane) {
                Some(owed) => {
                    owed.from = owed.from.min(draft.from);
                    owed.to = owed.to.max(draft.to);
                    owed.batches += 1;
                }
                None => owed.push(Owed {
                    lane: draft.lane,
                    from: draft.from,
                    to: draft.to,
                    batches: 1,
                }),
            }
        }
    }

    async fn settled(
        &self,
        lease: Option<u64>,
        settlements: Vec<Settlement>,
    ) -> Result<(), SpoolError> {
        let now = self.shared.clock.now();
        let lost = settlements
            .iter()
            .any(|settlement| !settlement.lost.is_empty());
        self.writing(move |c| settle::settle(c, lease, &settlements, now))
            .await?;
        failpoint::hit("P7");
        if lost {
            self.tell();
        }
        Ok(())
    }

    fn made(&self) -> append::Made {
        append::Made {
            boot_id: self.shared.boot_id.clone(),
            boot_ms: self.shared.clock.boot_ms(),
            now: self.shared.clock.now(),
        }
    }

    fn tell(&self) {
        self.shared.changed.send_modify(|count| *count += 1);
    }

    fn failed(&self, error: SqliteError) -> SpoolError {
        if error.is_full() {
            SpoolError::Full
        } else if error.is_corrupt() || error.is_misread() {
            sqlite::suspect(&self.shared.path);
            SpoolError::Damaged(error)
        } else {
            SpoolError::Sqlite(error)
        }
    }
}

/// A poisoned lock only means that a reader panicked; what it guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn to_sql(n: u64) -> rusqlite::Result<i64> {
    i64::try_from(n).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

fn to_seq(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

#[cfg(test)]
mod tests;
