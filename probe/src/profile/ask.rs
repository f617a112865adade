//! From a device to what its profiles make of it: system group, selectors' questions, plan, answers.

use std::sync::Arc;

use farwatch_shared::oid::Oid;
use farwatch_shared::profile::{Applied, Library, Presence};

use super::answers::Answers;
use super::evaluate::SYS_OBJECT_ID;
use super::{cell, evaluate, known::Known, plan};
use crate::snmp::{Cost, GetError, Limits, Snmp, Target, Value, WalkError};

const SYS_DESCR: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 1, 0]);
/// `sysUpTime`, `sysName`, `sysLocation` (RFC 3418): every device is asked for them anyway.
const SYSTEM: [Oid; 5] = [
    SYS_DESCR,
    SYS_OBJECT_ID,
    Oid::of(&[1, 3, 6, 1, 2, 1, 1, 3, 0]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 1, 5, 0]),
    Oid::of(&[1, 3, 6, 1, 2, 1, 1, 6, 0]),
];
/// Names in one request of ours; the engine parts them further where the device wants it.
const TOGETHER: usize = 24;

/// A device that was asked.
#[derive(Debug, Default)]
pub struct Asked {
    /// All that it said.
    pub answers: Answers,
    /// What came of it.
    pub known: Known,
    /// What the plan cost; the few requests before it are counted by `first`.
    pub cost: Cost,
    /// Requests before the plan: system group and selectors' questions.
    pub first: u32,
    /// Why it is not all.
    pub cut: Option<WalkError>,
    /// Which profiles, the best first.
    pub applied: Arc<[Applied]>,
}

/// What of a device is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Who it is.
    Facts,
    /// What it measures: sensors, storage, processors.
    Readings,
    /// All of that, and every other metric.
    All,
}

/// What was read before: it is not asked for again.
#[derive(Debug, Default)]
pub struct Begun {
    /// The values.
    pub answers: Answers,
    /// Columns that were read to their end.
    pub columns: Vec<Oid>,
}

/// Asks a device what the library's profiles for it want to know.
///
/// # Errors
/// It does not answer at all; what it leaves out later is in [`Asked::cut`].
pub async fn ask(
    library: &Library,
    snmp: &dyn Snmp,
    target: &Target,
    limits: Limits,
    begun: Begun,
    want: Want,
) -> Result<Asked, GetError> {
    let mut asked = Asked {
        answers: begun.answers,
        ..Asked::default()
    };
    if asked.answers.get(&SYS_DESCR).is_none() && asked.answers.get(&SYS_OBJECT_ID).is_none() {
        let system = snmp.get(target, &SYSTEM, limits).await?;
        asked.answers.extend(system);
        asked.first = 1;
    }
    let id = asked.answers.get(&SYS_OBJECT_ID).and_then(Value::as_oid);
    let id = id.cloned();
    let descr = asked.answers.get(&SYS_DESCR).and_then(cell::text_of);
    let descr = descr.unwrap_or_default();

    let questions = library.questions(id.as_ref(), &descr);
    let below = presences(snmp, target, limits, &questions, &mut asked).await?;
    let mut has = |oid: &Oid| match asked.answers.presence(oid) {
        Presence::Nothing => below
            .iter()
            .find(|(asked, _)| asked == oid)
            .map_or(Presence::Nothing, |(_, text)| Presence::Below(text.clone())),
        found => found,
    };
    let applied = library.applying(id.as_ref(), &descr, &mut has);
    let plan = plan::plan(&applied, want, &asked.answers, begun.columns);
    if !plan.scalars.is_empty() || !plan.tables.is_empty() {
        match snmp.read(target, &plan, limits).await {
            Ok(mut reading) => {
                asked.cost = reading.cost;
                asked.cut = reading.cut.take();
                asked.answers.take(reading);
            }
            Err(error) => asked.cut = Some(error),
        }
    }
    asked.known = match want {
        Want::Facts => evaluate::identify(&applied, &asked.answers),
        Want::Readings => evaluate::measure(&applied, &asked.answers),
        Want::All => evaluate::evaluate(&applied, &asked.answers),
    };
    asked.applied = applied.into();
    Ok(asked)
}

/// GETs what selectors ask for; where nothing answers, one GETNEXT says whether something lies below.
async fn presences(
    snmp: &dyn Snmp,
    target: &Target,
    limits: Limits,
    questions: &[Oid],
    asked: &mut Asked,
) -> Result<Vec<(Oid, String)>, GetError> {
    let new: Vec<Oid> = questions
        .iter()
        .filter(|oid| asked.answers.get(oid).is_none())
        .cloned()
        .collect();
    for names in new.chunks(TOGETHER) {
        asked.answers.extend(snmp.get(target, names, limits).await?);
        asked.first += 1;
    }
    let open: Vec<Oid> = questions
        .iter()
        .filter(|oid| asked.answers.get(oid).is_none())
        .cloned()
        .collect();
    let mut below = Vec::new();
    for names in open.chunks(TOGETHER) {
        let next = snmp.get_next(target, names, limits).await?;
        asked.first += 1;
        for (name, varbind) in names.iter().zip(next) {
            if varbind.oid != *name && varbind.oid.starts_with(name) && !varbind.value.is_missing()
            {
                below.push((
                    name.clone(),
                    cell::text_of(&varbind.value).unwrap_or_default(),
                ));
            }
        }
    }
    Ok(below)
}
