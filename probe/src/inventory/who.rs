//! Who a device is: what every device tells, then what its profiles read.

use farwatch_shared::profile::Library;
use farwatch_shared::profile::model::Fact;
use farwatch_shared::text::DeviceText;

use super::facts::{Facts, Told, identity_plan};
use crate::profile::answers::Answers;
use crate::profile::ask::{Begun, Want, ask};
use crate::snmp::{Limits, Snmp, Target, WalkError};

/// Asks a device who it is. What its profiles cannot read is left to what every device tells.
///
/// # Errors
/// It does not answer.
pub async fn who(
    snmp: &dyn Snmp,
    profiles: &Library,
    target: &Target,
    limits: Limits,
) -> Result<Facts, WalkError> {
    let plan = identity_plan();
    let reading = snmp.read(target, &plan, limits).await?;
    let mut facts = Facts::read(&reading);
    if reading.scalars.is_empty() || reading.cut.is_some() {
        return Ok(facts);
    }
    let columns = plan.tables.into_iter().flat_map(|table| table.columns);
    let mut begun = Begun {
        answers: Answers::default(),
        columns: columns.collect(),
    };
    begun.answers.take(reading);
    if let Ok(asked) = ask(profiles, snmp, target, limits, begun, Want::Facts).await {
        let fact = |fact| asked.known.fact(fact).unwrap_or_default().to_owned();
        facts.told = Told {
            vendor: fact(Fact::Vendor),
            model: fact(Fact::Model),
            os: fact(Fact::Os),
            os_version: fact(Fact::OsVersion),
            serial: fact(Fact::Serial),
            role: fact(Fact::Role),
        };
        if facts.serial.is_empty() {
            facts.serial = DeviceText::name(facts.told.serial.as_bytes());
        }
        facts.cost.0 += asked.first + asked.cost.requests;
        facts.cost.1 += asked.cost.varbinds;
    }
    Ok(facts)
}
