//! What Central's directory shows when Central's own code opens it: every value of every series, every gap, the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use farwatch_central::api::Central;
use farwatch_central::config::{Config, Overrides};
use farwatch_central::metrics::query::{RangeQuery, Source};
use farwatch_shared::clock::{Clock, Timestamp};
use farwatch_shared::id::ProbeId;
use farwatch_shared::model::{DeviceNo, InstanceNo};
use farwatch_shared::session::SeqSet;
use farwatch_shared::wire::message::session::LaneCommitted;

/// One value: whose, what, when (ms); and what it says.
pub type Values = BTreeMap<(u32, String, u32, i64), (u32, i64)>;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Question {
    /// Of which probe.
    pub probe: ProbeId,
    /// Its devices.
    pub devices: u32,
    /// Metrics.
    pub metrics: Vec<String>,
    /// From when on.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
}

/// What is shown.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Increases of counters and values of gauges.
    pub values: Values,
    /// Per device: from, to (ms), reason.
    pub gaps: BTreeSet<(u32, i64, i64, String)>,
    /// What the ledgers of both files say is committed.
    pub committed: Vec<LaneCommitted>,
}

impl Shown {
    /// The seqs of a lane that are committed.
    #[must_use]
    pub fn seqs(&self, epoch: u64, lane: u8) -> SeqSet {
        let mut all = SeqSet::default();
        for of in self
            .committed
            .iter()
            .filter(|of| of.epoch.0 == epoch && of.lane == lane)
        {
            if of.watermark > 0 {
                all.insert(1, of.watermark);
            }
            for &(from, to) in &of.ranges {
                all.insert(from, to);
            }
        }
        all
    }

    /// Values here that `truth` does not have, or has otherwise.
    #[must_use]
    pub fn wrong_against(&self, truth: &Values) -> Vec<String> {
        self.values
            .iter()
            .filter(|(key, value)| truth.get(key) != Some(value))
            .map(|(key, value)| format!("{key:?} is {value:?}, the truth is {:?}", truth.get(key)))
            .collect()
    }
}

/// Opens a data directory as Central does at its start.
///
/// # Errors
/// What Central would say before it ends.
pub async fn open(dir: &Path, clock: Clock) -> anyhow::Result<Central> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = dir.with_extension("toml");
    std::fs::write(&config, "")?;
    let config = Config::load(&Overrides {
        config: Some(config),
        data_dir: Some(dir.to_owned()),
        listen_probes: Some("127.0.0.1:4433".to_owned()),
        listen_probes_tcp: None,
        listen_https: Some("off".to_owned()),
        listen_http: None,
    })?;
    farwatch_central::app::open(&config, clock).await
}

/// Asks an open Central.
///
/// # Errors
/// It does not answer.
pub async fn ask(central: &Central, question: &Question) -> anyhow::Result<Shown> {
    let probe = question.probe;
    let source = |no: u32| Source {
        probe,
        device: DeviceNo(no),
    };
    let range = central
        .metrics
        .range(RangeQuery {
            sources: (1..=question.devices).map(source).collect(),
            metrics: question.metrics.clone(),
            instances: None,
            from: question.from,
            to: question.to,
            step_s: Some(1),
            raw: true,
        })
        .await
        .context("a range")?;
    let mut shown = Shown::default();
    for series in range.series {
        let (device, InstanceNo(instance)) = (series.source.device.0, series.instance);
        for increase in &series.increases {
            let key = (device, series.metric.clone(), instance, increase.at_ms);
            shown
                .values
                .insert(key, (increase.span_ms, increase.increase));
        }
        if series.increases.is_empty() {
            for point in &series.points {
                let key = (device, series.metric.clone(), instance, point.at_ms);
                shown
                    .values
                    .insert(key, (0, point.mean.to_bits().cast_signed()));
            }
        }
        for gap in series.gaps {
            let reason = gap.reason.as_str().to_owned();
            shown
                .gaps
                .insert((device, gap.from.ms(), gap.to.ms(), reason));
        }
    }
    shown.committed = central.metrics.committed(probe).await?;
    let events = central
        .store
        .read(move |c| farwatch_central::ledger::committed(c, probe))
        .await?;
    shown.committed.extend(events);
    Ok(shown)
}
