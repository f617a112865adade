//! One device's sensors, storage and processors, once: all of it the first time, from then on only values.

use std::sync::Arc;
use std::time::Duration;

use farwatch_shared::profile::Library;

use super::gauge::{Described, Telling};
use crate::profile::ask::{Begun, Want, ask};
use crate::profile::watch::{Watch, Ways};
use crate::snmp::{Cost, Limits, Snmp, Target};

/// What a device measures, and how that is read.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Its columns.
    pub described: Described,
    /// Everything was read when this was found out.
    pub whole: bool,
    /// `None` where there is nothing.
    watch: Option<Watch>,
}

/// What is to be read.
#[derive(Clone, Debug)]
pub struct ReadingsJob {
    /// Where, and with which credential.
    pub target: Target,
    /// What it is known to measure; `None`: that is to be found out.
    pub known: Option<Arc<Measured>>,
    /// What asking it has cost since its last reading.
    pub spent: Cost,
    /// How long reading values may take.
    pub deadline: Duration,
    /// How long finding out may take.
    pub first_deadline: Duration,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct ReadingsAnswer {
    /// What it measures.
    pub measured: Arc<Measured>,
    /// What Central is to be told, where that was found out just now.
    pub telling: Option<Telling>,
    /// One per column.
    pub values: Vec<Option<i64>>,
}

/// Reads it; `None` when the device does not answer.
pub async fn read(
    snmp: &dyn Snmp,
    profiles: &Library,
    ways: &Ways,
    job: &ReadingsJob,
) -> Option<ReadingsAnswer> {
    match &job.known {
        Some(measured) => {
            let (known, cost) = match &measured.watch {
                Some(watch) => {
                    let limits = Limits::default().with_deadline(job.deadline);
                    watch.read(snmp, &job.target, limits).await.ok()?
                }
                None => Default::default(),
            };
            Some(ReadingsAnswer {
                values: measured.described.values(&known, job.spent + cost),
                measured: measured.clone(),
                telling: None,
            })
        }
        None => {
            let limits = Limits::default().with_deadline(job.first_deadline);
            let begun = Begun::default();
            let asked = ask(profiles, snmp, &job.target, limits, begun, Want::Readings)
                .await
                .ok()?;
            let (described, telling) = Described::of(&asked.known);
            let cost = Cost {
                requests: asked.cost.requests + asked.first,
                ..asked.cost
            };
            Some(ReadingsAnswer {
                values: described.values(&asked.known, job.spent + cost),
                measured: Arc::new(Measured {
                    described,
                    whole: asked.cut.is_none(),
                    watch: Watch::of(asked, ways),
                }),
                telling: Some(telling),
            })
        }
    }
}
