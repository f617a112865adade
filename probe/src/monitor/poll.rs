//! One device, once: what is asked, and what its answer is worth.

use std::sync::Arc;
use std::time::Duration;

use farwatch_shared::error::Chain;
use farwatch_shared::model::{DeviceNo, InstanceNo};
use farwatch_shared::oid::{Index, Oid};

use super::layout::Port;
use super::plan::{
    self, ADMIN_STATUS, HAS_DISCONTINUITY, IF_COUNTER_DISCONTINUITY_TIME, IF_TABLE_LAST_CHANGE,
    INTERFACE, Mask, OPER_STATUS, SYS_UP_TIME,
};
use crate::inventory::facts::{self, Facts, InterfaceFacts};
use crate::snmp::{
    Cost, GetError, Limits, Plan, Reading, Rows, Snmp, TablePlan, Target, Value, WalkError,
};

/// What is to be polled.
#[derive(Clone, Debug)]
pub struct PollJob {
    /// Whose.
    pub device: DeviceNo,
    /// Where, and with which credential.
    pub target: Target,
    /// The interfaces, as they were when they were last read.
    pub ports: Arc<[Port]>,
    /// `ifTableLastChange` at that time.
    pub table_changed: Option<u32>,
    /// `sysUpTime` of the last poll: less than that means new indexes, maybe.
    pub uptime_before: Option<u32>,
    /// The device is known not to answer: it is asked one cheap thing first.
    pub cheap_first: bool,
    /// Hard: the poll never takes longer.
    pub deadline: Duration,
}

/// What a poll came to.
#[derive(Debug)]
pub enum PollOutcome {
    /// It answered, maybe not everything.
    Read(Box<PollAnswer>),
    /// Nothing came back.
    Silent,
    /// It answers, and will not say; why, in words.
    Refused(String),
}

/// What was read.
#[derive(Debug, Default)]
pub struct PollAnswer {
    /// One per column of the layout of [`PollJob::ports`].
    pub raw: Vec<Option<i64>>,
    /// `ifCounterDiscontinuityTime`, one per port.
    pub discontinuity: Vec<Option<u32>>,
    /// `sysUpTime`.
    pub uptime_ticks: Option<u32>,
    /// (instance, `ifAdminStatus`, `ifOperStatus`).
    pub states: Vec<(InstanceNo, Option<u8>, Option<u8>)>,
    /// The interface table, read again because its indexes may have moved; with its `ifTableLastChange`.
    pub rows: Option<(Vec<InterfaceFacts>, Option<u32>)>,
    /// The poll ran out of time before all was read.
    pub overran: bool,
    /// Requests, varbinds, ms.
    pub cost: (u32, u32, u32),
    /// What all of it cost, names that were read again included.
    pub spent: Cost,
}

/// Polls a device. Ends within the job's deadline, whatever the device does.
pub async fn poll(snmp: &dyn Snmp, job: &PollJob) -> PollOutcome {
    if job.cheap_first {
        match check(snmp, &job.target).await {
            Ok(_) => {}
            Err(outcome) => return outcome,
        }
    }
    let limits = Limits::default().with_deadline(job.deadline);
    let groups = groups(&job.ports);
    let reading = match snmp.read(&job.target, &plan_of(&groups), limits).await {
        Ok(reading) => reading,
        Err(error) => return failed(&error),
    };
    let nothing = reading.scalars.is_empty()
        && reading
            .tables
            .iter()
            .flat_map(|table| &table.columns)
            .all(|column| column.cells.is_empty() && column.numbers.is_empty());
    if nothing && let Some(error) = &reading.cut {
        return failed(error);
    }
    let mut answer = PollAnswer::read(&reading, job, &groups);
    let table_changed = reading
        .scalar(&IF_TABLE_LAST_CHANGE)
        .and_then(Value::as_u64)
        .and_then(|ticks| u32::try_from(ticks).ok());
    let moved = table_changed.is_some() && table_changed != job.table_changed;
    let restarted = matches!((job.uptime_before, answer.uptime_ticks), (Some(before), Some(now)) if now < before);
    if moved || restarted {
        let left = job.deadline.saturating_sub(reading.cost.duration);
        let limits = Limits::default().with_deadline(left.max(Duration::from_secs(1)));
        if let Ok(names) = snmp.read(&job.target, &facts::names_plan(), limits).await {
            answer.spent += names.cost;
            let (rows, changed, whole) = Facts::read_names(&names);
            if whole && !rows.is_empty() {
                answer.rows = Some((rows, changed));
            }
        }
        if answer.rows.is_none() {
            answer.distrust();
        }
    }
    PollOutcome::Read(Box::new(answer))
}

/// The cheapest question: `sysUpTime`, once.
///
/// # Errors
/// What the silence or refusal is to be taken for.
pub async fn check(snmp: &dyn Snmp, target: &Target) -> Result<Option<u32>, PollOutcome> {
    match snmp
        .get(target, &[SYS_UP_TIME], Limits::once(CHECK_PATIENCE))
        .await
    {
        Ok(values) => Ok(values
            .first()
            .and_then(|varbind| varbind.value.as_u64())
            .and_then(|ticks| u32::try_from(ticks).ok())),
        Err(error) => Err(refused(&error)),
    }
}

impl PollAnswer {
    fn read(reading: &Reading, job: &PollJob, groups: &[Group]) -> Self {
        let mut answer = Self {
            uptime_ticks: reading
                .scalar(&SYS_UP_TIME)
                .and_then(Value::as_u64)
                .and_then(|ticks| u32::try_from(ticks).ok()),
            cost: (
                reading.cost.requests,
                reading.cost.varbinds,
                u32::try_from(reading.cost.duration.as_millis()).unwrap_or(u32::MAX),
            ),
            spent: reading.cost,
            overran: matches!(reading.cut, Some(WalkError::OutOfTime { .. })),
            ..Self::default()
        };
        answer.raw.reserve(1 + job.ports.len() * INTERFACE.len());
        answer.raw.push(answer.uptime_ticks.map(i64::from));
        answer.discontinuity.reserve(job.ports.len());
        answer.states.reserve(job.ports.len());
        // Rows of each group met so far: where the next one's cells are, when none is missing.
        let mut met = vec![0_usize; groups.len()];
        for port in &*job.ports {
            let row = port.if_index;
            let place = groups.iter().position(|group| group.mask == port.mask);
            let table = place.and_then(|at| reading.tables.get(at));
            let near = place.map_or(0, |at| {
                met[at] += 1;
                met[at] - 1
            });
            let value = |place: usize| table.and_then(|table| table.number_near(place, row, near));
            let mut state = (port.instance, None, None);
            let mut place = 0;
            for column in plan::columns(port.mask) {
                // 64 bits travel through a signed number and come back as they were.
                let number = value(place);
                answer.raw.push(number.map(u64::cast_signed));
                let small = number.and_then(|number| u8::try_from(number).ok());
                match column {
                    ADMIN_STATUS => state.1 = small,
                    OPER_STATUS => state.2 = small,
                    _ => {}
                }
                place += 1;
            }
            answer.discontinuity.push(
                (port.mask & HAS_DISCONTINUITY != 0)
                    .then(|| value(place))
                    .flatten()
                    .and_then(|ticks| u32::try_from(ticks).ok()),
            );
            if state.1.is_some() || state.2.is_some() {
                answer.states.push(state);
            }
        }
        answer
    }

    /// Takes back what may belong to other interfaces than it says.
    pub fn distrust(&mut self) {
        self.raw.iter_mut().skip(1).for_each(|value| *value = None);
        self.discontinuity
            .iter_mut()
            .for_each(|value| *value = None);
        self.states.clear();
    }
}

/// Ports with the same columns: they are read as one table.
#[derive(Debug)]
struct Group {
    mask: Mask,
    rows: Vec<Index>,
}

fn groups(ports: &[Port]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for port in ports {
        let row = Index::from(port.if_index);
        match groups.iter_mut().find(|group| group.mask == port.mask) {
            Some(group) => group.rows.push(row),
            None => groups.push(Group {
                mask: port.mask,
                rows: vec![row],
            }),
        }
    }
    groups
}

fn plan_of(groups: &[Group]) -> Plan {
    let all: usize = groups.iter().map(|group| group.rows.len()).sum();
    Plan {
        scalars: vec![SYS_UP_TIME, IF_TABLE_LAST_CHANGE],
        tables: groups
            .iter()
            .map(|group| {
                let mut columns: Vec<Oid> = plan::columns(group.mask)
                    .map(|i| Oid::of(INTERFACE[i].oid))
                    .collect();
                if group.mask & HAS_DISCONTINUITY != 0 {
                    columns.push(IF_COUNTER_DISCONTINUITY_TIME);
                }
                let rows = group.rows.clone();
                TablePlan {
                    columns,
                    rows: if rows.len() * 2 > all {
                        Rows::Numbers(rows)
                    } else {
                        Rows::Only(rows)
                    },
                }
            })
            .collect(),
    }
}

fn failed(error: &WalkError) -> PollOutcome {
    match error {
        WalkError::Get(error) => refused(error),
        WalkError::OutOfTime { .. } => PollOutcome::Silent,
        other => PollOutcome::Refused(Chain(other).to_string()),
    }
}

fn refused(error: &GetError) -> PollOutcome {
    match error {
        GetError::Timeout { .. } | GetError::Send { .. } | GetError::Stopped => PollOutcome::Silent,
        GetError::Security { reason, .. } => PollOutcome::Refused(reason.to_string()),
        GetError::Refused { status, .. } => {
            PollOutcome::Refused(format!("the device refuses: {status}"))
        }
        _ => PollOutcome::Refused("its answers cannot be read".to_owned()),
    }
}

/// How long one cheap question waits.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::snmp::Auth;
    use crate::snmp::recording::{Recording, Recordings};

    const TWO_PORTS: &str = "1.3.6.1.2.1.1.3.0|67|1000
1.3.6.1.2.1.31.1.5.0|67|5
1.3.6.1.2.1.2.2.1.2.1|4|lo
1.3.6.1.2.1.2.2.1.3.1|2|24
1.3.6.1.2.1.2.2.1.7.1|2|1
1.3.6.1.2.1.2.2.1.8.1|2|1
1.3.6.1.2.1.2.2.1.10.1|65|11
1.3.6.1.2.1.2.2.1.2.9|4|eth0
1.3.6.1.2.1.2.2.1.3.9|2|6
1.3.6.1.2.1.2.2.1.7.9|2|1
1.3.6.1.2.1.2.2.1.8.9|2|2
1.3.6.1.2.1.2.2.1.10.9|65|90
1.3.6.1.2.1.31.1.1.1.6.9|70|18446744073709551615
1.3.6.1.2.1.31.1.1.1.19.9|67|77";

    fn address() -> SocketAddr {
        "192.0.2.1:161".parse().unwrap()
    }

    fn job(ports: &[Port], table_changed: Option<u32>) -> PollJob {
        PollJob {
            device: DeviceNo(1),
            target: Target::new(address(), Auth::v2c("public")),
            ports: ports.into(),
            table_changed,
            uptime_before: None,
            cheap_first: false,
            deadline: Duration::from_secs(5),
        }
    }

    fn ports() -> Vec<Port> {
        let states = 1 << OPER_STATUS | 1 << ADMIN_STATUS;
        [
            (1, 1, 1 << 4 | states),
            (2, 9, 1 | states | HAS_DISCONTINUITY),
        ]
        .map(|(instance, if_index, mask)| Port {
            instance: InstanceNo(instance),
            if_index,
            mask,
            speed_bps: 0,
        })
        .to_vec()
    }

    fn device() -> Recordings {
        let recording = Recording::parse(TWO_PORTS.as_bytes()).unwrap();
        [(address(), recording)].into_iter().collect()
    }

    #[tokio::test]
    async fn a_poll_reads_every_column_of_its_layout() {
        let PollOutcome::Read(answer) = poll(&device(), &job(&ports(), Some(5))).await else {
            panic!("it answers");
        };
        assert_eq!(
            answer.raw,
            vec![
                Some(1_000),
                Some(11),
                Some(1),
                Some(1),
                Some(-1),
                Some(2),
                Some(1)
            ]
        );
        assert_eq!(answer.discontinuity, vec![None, Some(77)]);
        assert_eq!(
            answer.states,
            vec![
                (InstanceNo(1), Some(1), Some(1)),
                (InstanceNo(2), Some(1), Some(2))
            ]
        );
        assert!(answer.rows.is_none());
    }

    #[tokio::test]
    async fn a_table_that_changed_is_read_again() {
        let PollOutcome::Read(answer) = poll(&device(), &job(&ports(), Some(4))).await else {
            panic!("it answers");
        };
        let (rows, changed) = answer.rows.expect("indexes may have moved");
        assert_eq!((rows.len(), changed), (2, Some(5)));
    }

    #[tokio::test]
    async fn who_is_silent_costs_one_question() {
        let nobody = Recordings::default();
        let cheap = PollJob {
            cheap_first: true,
            ..job(&ports(), None)
        };
        assert!(matches!(poll(&nobody, &cheap).await, PollOutcome::Silent));
        assert!(matches!(
            poll(&nobody, &job(&ports(), None)).await,
            PollOutcome::Silent
        ));
    }
}
