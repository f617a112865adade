//! What a device measures, read again and again: names, scales and conditions once, values each time.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use farwatch_shared::profile::Applied;

use super::answers::Answers;
use super::ask::Asked;
use super::evaluate::measure;
use super::known::Known;
use super::plan;
use crate::snmp::{Cost, Limits, Plan, Snmp, Target, WalkError};

/// How a device's measurements are read.
#[derive(Clone, Debug)]
pub struct Watch {
    way: Arc<Way>,
    /// What does not change from one minute to the next.
    fixed: Answers,
}

/// How all devices with the same profiles are read.
#[derive(Debug)]
struct Way {
    applied: Arc<[Applied]>,
    values: Plan,
}

/// The ways in use: most devices of a site are of a few kinds.
#[derive(Debug, Default)]
pub struct Ways(Mutex<Vec<Weak<Way>>>);

impl Ways {
    fn of(&self, applied: &Arc<[Applied]>) -> Arc<Way> {
        let same = |way: &Arc<Way>| {
            let both = || way.applied.iter().zip(applied.iter());
            way.applied.len() == applied.len()
                && both().all(|(a, b)| {
                    Arc::ptr_eq(&a.profile, &b.profile) && a.is_silenced == b.is_silenced
                })
        };
        let mut ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = ways.iter().filter_map(Weak::upgrade).find(same) {
            return way;
        }
        let way = Arc::new(Way {
            values: plan::values(applied),
            applied: applied.clone(),
        });
        ways.retain(|way| way.strong_count() > 0);
        ways.push(Arc::downgrade(&way));
        way
    }
}

impl Watch {
    /// From a reading of all of it; `None` where nothing is measured.
    #[must_use]
    pub fn of(asked: Asked, ways: &Ways) -> Option<Self> {
        let known = &asked.known;
        if known.sensors.is_empty() && known.storage.is_empty() && known.processors.is_empty() {
            return None;
        }
        let way = ways.of(&asked.applied);
        let columns = way.values.tables.iter().flat_map(|table| &table.columns);
        let mut fixed = asked.answers;
        fixed.forget(columns.chain(&way.values.scalars));
        Some(Self { way, fixed })
    }

    /// The values now. What the device leaves out is missing from it.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn read(
        &self,
        snmp: &dyn Snmp,
        target: &Target,
        limits: Limits,
    ) -> Result<(Known, Cost), WalkError> {
        let reading = snmp.read(target, &self.way.values, limits).await?;
        let cost = reading.cost;
        let mut answers = self.fixed.clone();
        answers.take(reading);
        Ok((measure(&self.way.applied, &answers), cost))
    }
}
