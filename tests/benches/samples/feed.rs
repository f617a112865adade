//! The set as probes send it: batches with layouts, hour by hour.

use std::collections::HashMap;

use farwatch_central::metrics::{ClockCorrection, Metrics};
use farwatch_central::scope::ProbeScope;
use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::{CustomerId, ProbeId, SiteId};
use farwatch_shared::model::{Epoch, Lane, Layout, LayoutNo, SampleBatch};
use farwatch_shared::wire::columns;
use farwatch_shared::wire::message::batch::{Batch, LayoutsBody, SAMPLES, layout_hash};

use super::set::{INTERVAL_S, Set, layout};

/// A batch closes after so many seconds, as at a probe.
const CLOSE_S: i64 = 5;
/// And at so many bytes encoded, of which this is a fair guess in samples.
const CLOSE_SAMPLES: usize = 40_000;
/// Batches that a session commits together at the most.
const GROUP: usize = 64;

/// One pretended probe: a part of the set's devices, with its place in its lane.
pub(crate) struct Probe {
    pub(crate) scope: ProbeScope,
    pub(crate) layouts: HashMap<LayoutNo, Layout>,
    epoch: Epoch,
    first: usize,
    count: usize,
    seq: u64,
}

/// How batches are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Samples that close a batch; 0 is "five seconds", as a probe does it.
    pub(crate) samples: usize,
    pub(crate) jitter_ms: u64,
    /// The first slot, unix seconds.
    pub(crate) start_s: i64,
}

/// Batches with what is in them.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) batches: Vec<Batch>,
    pub(crate) samples: u64,
    pub(crate) bytes: u64,
}

/// So many probes share the set's devices.
pub(crate) fn probes(set: &Set, count: usize) -> Vec<Probe> {
    let each = set.devices.div_ceil(count.max(1));
    (0..set.devices)
        .step_by(each)
        .map(|first| {
            let count = each.min(set.devices - first);
            let layouts = (1..=count as u32)
                .map(|no| (LayoutNo(no), layout(no)))
                .collect();
            let (customer, site) = (CustomerId::generate(), SiteId::generate());
            Probe {
                scope: ProbeScope::pretended(customer, site, ProbeId::generate()),
                layouts,
                epoch: Epoch::new(1, 1),
                first,
                count,
                seq: 0,
            }
        })
        .collect()
}

impl Probe {
    /// The same at a site that there is.
    pub(crate) fn at(mut self, customer: &str, site: &str) -> anyhow::Result<Self> {
        self.scope = ProbeScope::pretended(customer.parse()?, site.parse()?, ProbeId::generate());
        Ok(self)
    }

    /// The record of its layouts.
    pub(crate) fn layouts_body(&self) -> LayoutsBody {
        LayoutsBody {
            epoch: self.epoch.0,
            layouts: self
                .layouts
                .values()
                .map(|layout| (layout.clone(), layout_hash(layout)))
                .collect(),
        }
    }

    /// Batches of the steps `[from, to)`.
    pub(crate) fn make(&mut self, set: &Set, from: usize, to: usize, cut: Cut) -> Made {
        let mut made = Made::default();
        let mut open = SampleBatch::default();
        let mut count = 0;
        for step in from..to {
            for second in 0..INTERVAL_S {
                for no in 1..=self.count as u32 {
                    let layout = &self.layouts[&LayoutNo(no)];
                    if i64::from(layout.phase_s) != second {
                        continue;
                    }
                    let device = self.first + no as usize - 1;
                    let (scrape, anchors) =
                        set.poll(device, step, layout, cut.start_s, cut.jitter_ms);
                    count += scrape.values.iter().flatten().count();
                    open.scrapes.push(scrape);
                    open.anchors.extend(anchors);
                    if count
                        >= if cut.samples == 0 {
                            CLOSE_SAMPLES
                        } else {
                            cut.samples
                        }
                    {
                        self.close(&mut open, &mut made);
                        count = 0;
                    }
                }
                if cut.samples == 0 && second % CLOSE_S == CLOSE_S - 1 {
                    self.close(&mut open, &mut made);
                    count = 0;
                }
            }
        }
        self.close(&mut open, &mut made);
        made
    }

    fn close(&mut self, open: &mut SampleBatch, made: &mut Made) {
        if open.scrapes.is_empty() {
            return;
        }
        let samples = std::mem::take(open);
        let body =
            columns::encode(&samples, &self.layouts).expect("layouts are those of the scrapes");
        self.seq += 1;
        made.samples += samples.samples() as u64;
        made.bytes += body.len() as u64;
        let slots = || {
            samples
                .scrapes
                .iter()
                .map(|scrape| Timestamp::from_secs(scrape.slot_s))
        };
        made.batches.push(Batch {
            epoch: self.epoch,
            lane: Lane::Samples.code(),
            seq: self.seq,
            kind: SAMPLES,
            version: columns::VERSION,
            crc: crc32fast::hash(&body),
            boot_id: String::new(),
            boot_ms: 0,
            closed: slots().max().unwrap_or_default(),
            from: slots().min().unwrap_or_default(),
            to: slots().max().unwrap_or_default(),
            body,
        });
    }
}

/// Commits everything, all probes at once, each waiting for its acknowledgement before it sends more, as sessions do.
pub(crate) async fn commit(
    metrics: &Metrics,
    work: Vec<(ProbeScope, Vec<Batch>)>,
    group: usize,
) -> anyhow::Result<()> {
    let mut running = tokio::task::JoinSet::new();
    for (scope, batches) in work {
        let metrics = metrics.clone();
        running.spawn(async move {
            let mut batches = batches.into_iter().peekable();
            while batches.peek().is_some() {
                let some: Vec<Batch> = batches.by_ref().take(group.clamp(1, GROUP)).collect();
                metrics
                    .commit(&scope, ClockCorrection::default(), some)
                    .await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}
