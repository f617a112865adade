//! Makes things durable, one after the other: what happened at once, what was sampled every few seconds.

use farwatch_shared::clock::Timestamp;
use farwatch_shared::error::Chain;
use farwatch_shared::model::{DeviceNo, Epoch, Lane, Layout, SampleBatch};
use farwatch_shared::wire::codec::BATCH_BYTES;
use farwatch_shared::wire::columns::{self, EncodeError, LayoutLookup};
use farwatch_shared::wire::encode;
use farwatch_shared::wire::message::batch::{
    ADDRESSES, AddressRecord, AddressesBody, DEVICES, DeviceRecord, DevicesBody, EVENTS,
    EventRecord, EventsBody, READINGS, ReadingsBody, ReadingsRecord, SAMPLES,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::layout::Shapes;
use crate::inventory::copy::Changes;
use crate::inventory::store::{self, Row, StateRow, Tick, Told};
use crate::spool::{Draft, Spool, SpoolError};

/// What happened, to be durable at once and together.
#[derive(Debug, Default)]
pub struct News {
    /// In the order they happened.
    pub events: Vec<EventRecord>,
    /// Records that changed, to be told.
    pub devices: Vec<DeviceRecord>,
    /// What devices measure, where that changed.
    pub readings: Vec<ReadingsRecord>,
    /// What discovery found out of addresses.
    pub addresses: Vec<AddressRecord>,
    /// With them: what is told by it.
    pub told: Vec<(DeviceNo, Told)>,
    /// Rows of the inventory that changed with it.
    pub rows: Vec<Row>,
    /// States that changed with it.
    pub states: Vec<StateRow>,
    /// Devices whose state is forgotten.
    pub forgotten: Vec<DeviceNo>,
    /// The highest device number ever given.
    pub highest: Option<u32>,
    /// Where the sweep is.
    pub sweep: Option<crate::discovery::sweep::Place>,
}

/// A closed batch of samples.
#[derive(Debug)]
pub struct Samples {
    /// The epoch that its layouts' numbers belong to.
    pub epoch: Epoch,
    /// The batch.
    pub batch: SampleBatch,
    /// What the layouts it names look like.
    pub shapes: Shapes,
    /// Those that are new.
    pub new: Vec<Layout>,
    /// Earliest time in it.
    pub from: Timestamp,
    /// Latest time in it.
    pub to: Timestamp,
    /// Every slot before this is durable with it.
    pub tick: Tick,
}

/// How storing samples went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// On disk: the readings count.
    Durable,
    /// No room: the spool accounts for the span, the readings do not count.
    Lost,
    /// No room even for the layouts: nothing is lost yet, to be tried again.
    Later,
    /// The epoch has moved: number the layouts anew and try again.
    EpochMoved,
    /// The file is damaged or gone; the process should end in order.
    Broken,
}

enum Work {
    News(Box<News>),
    Samples(Box<Samples>, oneshot::Sender<Stored>),
    Tick(Tick),
    /// Everything before this has been done.
    Flush(oneshot::Sender<()>),
}

/// The handle of the one that stores. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keeper {
    work: mpsc::Sender<Work>,
}

impl Keeper {
    /// The handle, and the task to run.
    #[must_use]
    pub fn new(spool: Spool) -> (Self, Keeping) {
        let (work, queue) = mpsc::channel(QUEUE);
        let keeping = Keeping {
            spool,
            queue,
            changes: watch::Sender::default(),
            owed: News::default(),
            part: PART_VALUES,
        };
        (Self { work }, keeping)
    }

    /// Stores what happened. Waits while too much is waiting already.
    pub async fn news(&self, news: News) {
        if !news.is_empty() {
            self.send(Work::News(Box::new(news))).await;
        }
    }

    /// Stores a batch; the answer comes when it is on disk, or will not be.
    pub async fn samples(&self, samples: Samples) -> oneshot::Receiver<Stored> {
        let (tell, answer) = oneshot::channel();
        self.send(Work::Samples(Box::new(samples), tell)).await;
        answer
    }

    /// Stores until when everything is durable, when there is nothing else to store.
    pub async fn tick(&self, tick: Tick) {
        self.send(Work::Tick(tick)).await;
    }

    /// Waits until everything given so far has been done.
    pub async fn flush(&self) {
        let (tell, answer) = oneshot::channel();
        self.send(Work::Flush(tell)).await;
        let _ = answer.await;
    }

    async fn send(&self, work: Work) {
        if self.work.send(work).await.is_err() {
            tracing::debug!("nothing is stored any more: the probe is stopping");
        }
    }
}

/// The task: owns the order in which things become durable.
#[derive(Debug)]
pub struct Keeping {
    spool: Spool,
    queue: mpsc::Receiver<Work>,
    /// Rows that could not be stored with their news; they go with the next.
    owed: News,
    /// Who copies the inventory is told.
    changes: watch::Sender<Changes>,
    /// Values that filled a batch last.
    part: usize,
}

impl Keeping {
    /// Moves with every change of the inventory that is on disk.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }

    /// Ends when the last [`Keeper`] is gone.
    ///
    /// # Errors
    /// The spool's file is damaged.
    pub async fn run(mut self) -> Result<(), SpoolError> {
        while let Some(work) = self.queue.recv().await {
            match work {
                Work::News(news) => {
                    let mut all = *news;
                    // Take what else is waiting: one commit for all of a storm.
                    let mut next = None;
                    while let Ok(work) = self.queue.try_recv() {
                        match work {
                            Work::News(news) if all.events.len() < NEWS_AT_ONCE => {
                                all.extend(*news);
                            }
                            other => {
                                next = Some(other);
                                break;
                            }
                        }
                    }
                    self.store_news(all).await?;
                    if let Some(work) = next {
                        self.other(work).await?;
                    }
                }
                other => self.other(other).await?,
            }
        }
        Ok(())
    }

    async fn other(&mut self, work: Work) -> Result<(), SpoolError> {
        match work {
            Work::News(news) => self.store_news(*news).await,
            Work::Samples(samples, tell) => {
                let outcome = self.store_samples(*samples).await;
                let stored = match &outcome {
                    Ok(stored) => *stored,
                    Err(_) => Stored::Broken,
                };
                let _ = tell.send(stored);
                outcome.map(|_| ())
            }
            Work::Tick(tick) => {
                let stored = self.spool.writing(move |c| store::put_tick(c, &tick)).await;
                tolerate(stored)
            }
            Work::Flush(tell) => {
                let _ = tell.send(());
                Ok(())
            }
        }
    }

    async fn store_news(&mut self, news: News) -> Result<(), SpoolError> {
        let mut rows = std::mem::take(&mut self.owed);
        let drafts = news.drafts();
        rows.keep_rows_of(news);
        let rows = std::sync::Arc::new(rows);
        let extra = rows.clone();
        let stored = self.spool.commit(drafts, move |c| extra.put(c)).await;
        match stored {
            Ok(_) => {
                if !rows.rows.is_empty() {
                    self.changes.send_modify(|changes| {
                        changes.rows += rows.rows.len() as u64;
                        changes.highest = rows.highest.unwrap_or(changes.highest);
                    });
                }
                Ok(())
            }
            Err(error @ (SpoolError::Full | SpoolError::EpochMoved { .. })) => {
                tracing::warn!(error = %Chain(&error), "news could not be stored");
                self.owed = std::sync::Arc::into_inner(rows).unwrap_or_default();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn store_samples(&mut self, samples: Samples) -> Result<Stored, SpoolError> {
        let part = self.part;
        let encoded = tokio::task::spawn_blocking(move || {
            let parts = parts_of(samples.batch, &samples.shapes, part);
            (
                parts,
                samples.new,
                (samples.epoch, samples.from, samples.to, samples.tick),
            )
        })
        .await;
        let Ok((parts, new, (epoch, from, to, tick))) = encoded else {
            tracing::error!("a batch of samples could not be encoded");
            return Ok(Stored::Lost);
        };
        if !new.is_empty()
            && let Err(error) = self.spool.commit_layouts(epoch, new).await
        {
            return match lost(error) {
                Ok(Stored::Lost) => Ok(Stored::Later),
                other => other,
            };
        }
        if let Some((count, body)) = parts.iter().max_by_key(|(count, _)| *count) {
            self.part = filling(*count, body.len());
        }
        let drafts = parts
            .into_iter()
            .map(|(count, body)| Draft {
                epoch: Some(epoch),
                lane: Lane::Samples,
                kind: SAMPLES,
                version: columns::VERSION,
                from,
                to,
                samples: count,
                body,
            })
            .collect();
        match self
            .spool
            .commit(drafts, move |c| store::put_tick(c, &tick))
            .await
        {
            Ok(_) => Ok(Stored::Durable),
            Err(error) => lost(error),
        }
    }
}

fn lost(error: SpoolError) -> Result<Stored, SpoolError> {
    match error {
        SpoolError::EpochMoved { .. } => Ok(Stored::EpochMoved),
        SpoolError::Full => {
            tracing::warn!("no room on the disk: samples are lost, polling goes on");
            Ok(Stored::Lost)
        }
        error => Err(error),
    }
}

fn tolerate(stored: Result<(), SpoolError>) -> Result<(), SpoolError> {
    match stored {
        Err(SpoolError::Full) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}

/// How many values fill a batch, where so many took so many bytes; with some room, for no two batches are alike.
fn filling(values: u64, bytes: usize) -> usize {
    let values = usize::try_from(values).unwrap_or(usize::MAX);
    (values.saturating_mul(BATCH_BYTES * 7 / 8) / bytes.max(1)).clamp(PART_VALUES / 8, PART_LIMIT)
}

/// Bodies that each fit into a batch, with their number of samples: cut where `part` values fill one, and halved where
/// that was too many.
fn parts_of(batch: SampleBatch, layouts: &impl LayoutLookup, part: usize) -> Vec<(u64, Vec<u8>)> {
    let mut waiting = cut(batch, part);
    let mut parts = Vec::new();
    while let Some(mut batch) = waiting.pop() {
        match columns::encode(&batch, layouts) {
            Ok(body) if body.len() <= BATCH_BYTES => {
                parts.push((batch.samples() as u64, body));
                continue;
            }
            Ok(_) | Err(EncodeError::TooMany(_)) => {}
            Err(error) => {
                tracing::error!(error = %Chain(&error), "a batch of samples contradicts its layouts");
                continue;
            }
        }
        // The later half is put away first, so that parts come out in their order.
        let rest = SampleBatch {
            scrapes: batch.scrapes.split_off(batch.scrapes.len() / 2),
            anchors: batch.anchors.split_off(batch.anchors.len() / 2),
            gaps: batch.gaps.split_off(batch.gaps.len() / 2),
            probe_gaps: batch.probe_gaps.split_off(batch.probe_gaps.len() / 2),
        };
        if batch == SampleBatch::default() {
            // Nothing could be halved any more: kinds go apart, and what is alone and still too large is left out.
            let kinds = [
                SampleBatch {
                    scrapes: rest.scrapes,
                    ..SampleBatch::default()
                },
                SampleBatch {
                    anchors: rest.anchors,
                    ..SampleBatch::default()
                },
                SampleBatch {
                    gaps: rest.gaps,
                    probe_gaps: rest.probe_gaps,
                    ..SampleBatch::default()
                },
            ];
            let left: Vec<_> = kinds
                .into_iter()
                .filter(|kind| *kind != SampleBatch::default())
                .collect();
            if left.len() > 1 {
                waiting.extend(left.into_iter().rev());
            } else {
                tracing::error!("one scrape takes more than a batch holds and is left out");
            }
            continue;
        }
        waiting.push(rest);
        waiting.push(batch);
    }
    parts
}

/// Batches of about `part` values each, the last one first.
fn cut(mut batch: SampleBatch, part: usize) -> Vec<SampleBatch> {
    let cells: usize = batch.scrapes.iter().map(|scrape| scrape.values.len()).sum();
    let mut parts = Vec::new();
    for left in (1..cells.div_ceil(part).max(1)).rev() {
        let at = |len: usize| len * left / (left + 1);
        parts.push(SampleBatch {
            scrapes: batch.scrapes.split_off(at(batch.scrapes.len())),
            anchors: batch.anchors.split_off(at(batch.anchors.len())),
            gaps: batch.gaps.split_off(at(batch.gaps.len())),
            probe_gaps: batch.probe_gaps.split_off(at(batch.probe_gaps.len())),
        });
    }
    parts.push(batch);
    parts
}

impl News {
    /// Whether there is nothing to store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.devices.is_empty()
            && self.readings.is_empty()
            && self.addresses.is_empty()
            && self.told.is_empty()
            && self.rows.is_empty()
            && self.states.is_empty()
            && self.forgotten.is_empty()
            && self.highest.is_none()
            && self.sweep.is_none()
    }

    fn extend(&mut self, later: Self) {
        self.events.extend(later.events);
        self.devices.extend(later.devices);
        self.readings.extend(later.readings);
        self.told.extend(later.told);
        self.addresses.extend(later.addresses);
        self.rows.extend(later.rows);
        self.states.extend(later.states);
        self.forgotten.extend(later.forgotten);
        self.highest = later.highest.or(self.highest);
        if later.sweep.is_some() {
            self.sweep = later.sweep;
        }
    }

    fn keep_rows_of(&mut self, later: Self) {
        self.extend(Self {
            events: Vec::new(),
            devices: Vec::new(),
            readings: Vec::new(),
            told: Vec::new(),
            addresses: Vec::new(),
            ..later
        });
    }

    fn put(&self, c: &rusqlite::Connection) -> rusqlite::Result<()> {
        for row in &self.rows {
            row.put(c)?;
        }
        for state in &self.states {
            state.put(c)?;
        }
        for device in &self.forgotten {
            store::remove_state(c, *device)?;
        }
        if let Some(highest) = self.highest {
            store::put_highest(c, highest)?;
        }
        for (device, told) in &self.told {
            store::put_told(c, *device, told)?;
        }
        if let Some(place) = &self.sweep {
            store::put_sweep(c, place)?;
        }
        Ok(())
    }

    /// Batches of the events lane: devices first, so that events name what is known.
    fn drafts(&self) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for part in chunks(&self.devices) {
            drafts.push(draft(
                DEVICES,
                part.iter().map(|device| device.at),
                encode(&DevicesBody {
                    devices: part.to_vec(),
                }),
            ));
        }
        for part in chunks(&self.readings) {
            drafts.push(draft(
                READINGS,
                part.iter().map(|device| device.at),
                encode(&ReadingsBody {
                    devices: part.to_vec(),
                }),
            ));
        }
        for part in chunks(&self.events) {
            drafts.push(draft(
                EVENTS,
                part.iter().map(|event| event.at),
                encode(&EventsBody {
                    events: part.to_vec(),
                }),
            ));
        }
        for part in chunks(&self.addresses) {
            drafts.push(draft(
                ADDRESSES,
                part.iter()
                    .flat_map(|record| record.attempts.iter().map(|(_, _, _, at)| *at))
                    .chain(part.iter().map(|record| record.last_seen))
                    .filter(|at| at.ms() != 0),
                encode(&AddressesBody {
                    addresses: part.to_vec(),
                }),
            ));
        }
        drafts
    }
}

/// Runs of records that together fit into a batch.
fn chunks<T: serde::Serialize>(records: &[T]) -> Vec<&[T]> {
    let mut parts = Vec::new();
    let (mut from, mut size) = (0, 0);
    for (at, record) in records.iter().enumerate() {
        let bytes = encode(record).len();
        if size + bytes > BATCH_BYTES - MARGIN_BYTES && at > from {
            parts.push(&records[from..at]);
            (from, size) = (at, 0);
        }
        size += bytes;
    }
    if from < records.len() {
        parts.push(&records[from..]);
    }
    parts
}

fn draft(kind: u16, times: impl Iterator<Item = Timestamp>, body: Vec<u8>) -> Draft {
    let (from, to) = times.fold(
        (Timestamp(i64::MAX), Timestamp(i64::MIN)),
        |(from, to), at| (from.min(at), to.max(at)),
    );
    Draft {
        epoch: None,
        lane: Lane::Events,
        kind,
        version: 1,
        from: if from > to {
            Timestamp::default()
        } else {
            from
        },
        to: if from > to { Timestamp::default() } else { to },
        samples: 0,
        body,
    }
}

/// Jobs that may wait: a storm of events is taken into few commits, and whoever makes more waits for the disk.
const QUEUE: usize = 256;
/// Events taken into one commit.
const NEWS_AT_ONCE: usize = 2_000;
/// Room in a batch for its body's own head.
const MARGIN_BYTES: usize = 64;
/// Values that fill a batch, before any was encoded: 1.6 bytes each.
const PART_VALUES: usize = 40_000;
/// Values cut into one batch at the most: what is nearly all zeros fits many, and a decoder holds them all.
const PART_LIMIT: usize = 80_000;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use farwatch_shared::clock::Clock;
    use farwatch_shared::model::{Column, InstanceNo, LayoutNo, Metric, Scrape};

    use super::*;
    use crate::spool::SpoolLimits;

    fn wide_layout() -> HashMap<LayoutNo, Layout> {
        let layout = Layout {
            no: LayoutNo(1),
            device: DeviceNo(1),
            group: 1,
            interval_s: 60,
            phase_s: 0,
            valid_from_s: 0,
            metrics: vec![Metric {
                name: "x".to_owned(),
                kind: 1,
                scale: 0,
                width: 0,
                unit: String::new(),
            }],
            columns: (0..500)
                .map(|i| Column {
                    metric: 0,
                    instance: InstanceNo(i),
                })
                .collect(),
        };
        HashMap::from([(layout.no, layout)])
    }

    #[test]
    fn a_batch_too_large_is_parted_and_nothing_is_lost() {
        let layouts = wide_layout();
        let mut noise = 88_172_645_463_325_252_u64;
        let mut next = || {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise.cast_signed()
        };
        let batch = SampleBatch {
            scrapes: (0..100)
                .map(|i| Scrape {
                    layout: LayoutNo(1),
                    slot_s: i * 60,
                    offset_ms: 0,
                    span_ms: 0,
                    values: (0..500).map(|_| Some(next())).collect(),
                    spans: Vec::new(),
                })
                .collect(),
            ..SampleBatch::default()
        };
        let parts = parts_of(batch.clone(), &layouts, PART_VALUES);
        assert!(parts.len() > 4);
        let mut scrapes = Vec::new();
        for (count, body) in parts {
            assert!(body.len() <= BATCH_BYTES);
            let part = columns::decode(&body, &layouts).unwrap();
            assert_eq!(part.samples() as u64, count);
            scrapes.extend(part.scrapes);
        }
        assert_eq!(scrapes, batch.scrapes);
    }

    #[test]
    fn what_waited_long_for_the_disk_is_more_than_one_body_holds_and_all_of_it_is_kept() {
        let layouts = wide_layout();
        let batch = SampleBatch {
            scrapes: (0..1_200)
                .map(|i| Scrape {
                    layout: LayoutNo(1),
                    slot_s: i * 60,
                    offset_ms: 0,
                    span_ms: 0,
                    values: vec![Some(7); 500],
                    spans: Vec::new(),
                })
                .collect(),
            ..SampleBatch::default()
        };
        assert!(matches!(
            columns::encode(&batch, &layouts),
            Err(EncodeError::TooMany(_))
        ));
        for part in [PART_VALUES, usize::MAX] {
            let parts = parts_of(batch.clone(), &layouts, part);
            let counts: Vec<u64> = parts.iter().map(|(count, _)| *count).collect();
            assert_eq!(counts.iter().sum::<u64>(), 600_000, "{counts:?}");
        }
    }

    #[tokio::test]
    async fn news_and_their_rows_are_stored_together() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(dir.path(), SpoolLimits::default(), Clock::system()).unwrap();
        let (keeper, keeping) = Keeper::new(spool.clone());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(keeping.run());
        keeper
            .news(News {
                devices: vec![DeviceRecord {
                    device: 7,
                    address: "10.0.0.7".to_owned(),
                    ..DeviceRecord::default()
                }],
                highest: Some(7),
                ..News::default()
            })
            .await;
        keeper.flush().await;
        let stored = spool.reading(store::load).await.unwrap();
        assert_eq!(stored.inventory.highest(), 7);
        assert!(stored.is_complete);
        let ledger = spool.ledger().await.unwrap();
        assert_eq!(ledger.lanes[0].batches, 1);
    }
}
