//! What a device measures, read again and again: names, scales and conditions once, values each time.

use std::sync::Arc;

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
    applied: Arc<[Applied]>,
    /// What does not change from one minute to the next.
    fixed: Answers,
    values: Plan,
}

impl Watch {
    /// From a reading of all of it; `None` where nothing is measured.
    #[must_use]
    pub fn of(asked: Asked) -> Option<Self> {
        let known = &asked.known;
        if known.sensors.is_empty() && known.storage.is_empty() && known.processors.is_empty() {
            return None;
        }
        let values = plan::values(&asked.applied);
        let columns = values.tables.iter().flat_map(|table| &table.columns);
        let mut fixed = asked.answers;
        fixed.forget(columns.chain(&values.scalars));
        Some(Self {
            applied: asked.applied,
            fixed,
            values,
        })
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
        let reading = snmp.read(target, &self.values, limits).await?;
        let cost = reading.cost;
        let mut answers = self.fixed.clone();
        answers.take(reading);
        Ok((measure(&self.applied, &answers), cost))
    }
}
