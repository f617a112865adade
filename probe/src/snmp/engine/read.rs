//! Walks and tables: several columns in one GETBULK, filled to the packet, with GETs where they are cheaper.

use farwatch_shared::oid::{Index, Oid};

use super::exchange::{Call, Got};
use crate::snmp::{
    auth::Version,
    error::{GetError, WalkError},
    pdu::{Answer, ErrorStatus, Request},
    plan::{Column, Plan, Reading, Rows, Table, TablePlan, Walk},
    value::{Value, VarBind},
};

/// Where the reading of one column stands.
struct Cursor {
    column: Oid,
    /// The last instance read; at first the column, or just before the first known row.
    at: Oid,
    /// Rows still to come, when they are known: the instance of the last, and how many.
    until: Option<(Oid, usize)>,
    cells: Vec<VarBind>,
    done: bool,
}

/// Octets of a varbind, before any was seen.
const ORDINARY_VARBIND: u64 = 22;

impl Call<'_> {
    pub(super) async fn walk(mut self, root: &Oid) -> Result<Walk, WalkError> {
        let peer = std::sync::Arc::clone(&self.peer);
        let _one = self.one_walk(&peer.walks).await?;
        let mut cursors = vec![Cursor::new(root, None)];
        let cut = self.run(&mut cursors, &mut []).await;
        let mut varbinds = cursors.pop().map(|cursor| cursor.cells).unwrap_or_default();
        if varbinds.is_empty() {
            match cut {
                Some(error) => return Err(error),
                // what has nothing under it may be an instance itself
                None => {
                    varbinds = self.get(std::slice::from_ref(root)).await?;
                    varbinds.retain(|varbind| !varbind.value.is_missing());
                    return Ok(Walk {
                        varbinds,
                        cost: self.finished_cost(),
                        cut: None,
                    });
                }
            }
        }
        Ok(Walk {
            varbinds,
            cost: self.finished_cost(),
            cut,
        })
    }

    pub(super) async fn read(mut self, plan: &Plan) -> Result<Reading, WalkError> {
        let peer = std::sync::Arc::clone(&self.peer);
        let _one = self.one_walk(&peer.walks).await?;

        // which tables by GETBULK, and what remains for GET
        let mut cursors: Vec<Cursor> = Vec::new();
        let mut by_cursor: Vec<Option<usize>> = Vec::new();
        let mut names: Vec<Oid> = Vec::new();
        for table in &plan.tables {
            by_cursor.push(match self.rows_to_get(table) {
                Some(rows) => {
                    names.extend(
                        table
                            .columns
                            .iter()
                            .flat_map(|c| rows.iter().map(move |row| c.with_index(row))),
                    );
                    None
                }
                None => Some(cursors.len()),
            });
            if by_cursor.last().is_some_and(Option::is_some) {
                let known = match &table.rows {
                    Rows::Known(rows) => Some(Known::of(rows)),
                    _ => None,
                };
                let known = known.as_ref();
                cursors.extend(
                    table
                        .columns
                        .iter()
                        .map(|column| Cursor::new(column, known)),
                );
            }
        }
        let mut riders = self.riders(plan, cursors.len());
        if riders.is_empty() {
            names.splice(0..0, plan.scalars.iter().cloned());
        }

        let mut cut = self.run(&mut cursors, &mut riders).await;
        let mut got = Got::new(names.len());
        if cut
            .as_ref()
            .is_none_or(|cut| matches!(cut, WalkError::NotIncreasing { .. }))
            && let Err(error) = self.get_into(&names, &mut got, true).await
        {
            cut = Some(self.cut_by(error));
        }

        let mut values = got.into_varbinds(&names).into_iter().peekable();
        let scalars = if riders.is_empty() {
            std::iter::from_fn(|| values.next_if(|varbind| plan.scalars.contains(&varbind.oid)))
                .collect()
        } else {
            riders
                .into_iter()
                .filter_map(|rider| Some(VarBind::new(rider.instance, rider.value?)))
                .collect()
        };
        let mut asked: Vec<VarBind> = values
            .filter(|varbind| !varbind.value.is_missing())
            .collect();
        asked.sort_by(|a, b| a.oid.cmp(&b.oid));
        let mut cursors = cursors.into_iter();
        let mut tables = Vec::with_capacity(plan.tables.len());
        for (table, by_cursor) in plan.tables.iter().zip(by_cursor) {
            let columns = table.columns.iter().map(|column| {
                let cells = match by_cursor {
                    Some(_) => cursors
                        .next()
                        .map(|cursor| cursor.cells)
                        .unwrap_or_default(),
                    None => under(&asked, column),
                };
                Column {
                    oid: column.clone(),
                    cells,
                }
            });
            tables.push(Table {
                columns: columns.collect(),
            });
        }
        let reading = Reading {
            scalars,
            tables,
            cost: self.finished_cost(),
            cut,
        };
        match reading.cut {
            Some(error) if reading.cost.varbinds == 0 => Err(error),
            cut => Ok(Reading { cut, ..reading }),
        }
    }

    async fn one_walk<'s>(
        &self,
        walks: &'s tokio::sync::Semaphore,
    ) -> Result<tokio::sync::SemaphorePermit<'s>, WalkError> {
        match tokio::time::timeout_at(self.deadline, walks.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(self.out_of_time()),
        }
    }

    fn out_of_time(&self) -> WalkError {
        WalkError::OutOfTime {
            target: self.peer.address,
            deadline: self.allowed(),
        }
    }

    /// A time-out because the deadline came is the deadline's.
    fn cut_by(&self, error: GetError) -> WalkError {
        if error.is_silence() && self.is_late() && self.cost.varbinds > 0 {
            self.out_of_time()
        } else {
            error.into()
        }
    }

    /// The rows to read by GET, when that is how this table is read.
    fn rows_to_get<'t>(&self, table: &'t TablePlan) -> Option<&'t [Index]> {
        match &table.rows {
            Rows::All => None,
            Rows::Only(rows) => Some(rows),
            Rows::Known(rows) => {
                // GETNEXT brings one row a request: never cheaper
                let values = rows.len() * table.columns.len();
                let example = table.columns.first()?.with_index(rows.first()?);
                let by_get = values.div_ceil(self.fitting(std::iter::repeat(&example)));
                let by_bulk = values.div_ceil(self.bulk_values());
                (self.version() == Version::V1 || by_get < by_bulk).then_some(rows)
            }
        }
    }

    /// Values to ask for in one GETBULK: what the device takes, and what fits into a packet by what it sent so far.
    fn bulk_values(&self) -> usize {
        let octets = match self.cost.varbinds {
            0..8 => ORDINARY_VARBIND,
            seen => (self.cost.received_octets / u64::from(seen)).max(10),
        };
        let fit = self.packet_octets() / usize::try_from(octets).unwrap_or(usize::MAX);
        fit.clamp(1, self.peer.learned().bulk.limit())
    }

    /// The scalars of a plan, when they can ride along with the first GETBULK.
    fn riders(&self, plan: &Plan, columns: usize) -> Vec<Rider> {
        if columns == 0
            || self.version() == Version::V1
            || plan.scalars.len() + columns > self.bulk_values()
        {
            return Vec::new();
        }
        let riders: Option<Vec<Rider>> = plan.scalars.iter().map(Rider::new).collect();
        riders.unwrap_or_default()
    }

    /// Reads on all columns until each is done; says what cut it short.
    async fn run(&mut self, cursors: &mut [Cursor], riders: &mut [Rider]) -> Option<WalkError> {
        let mut cut = None;
        let mut by_next = self.version() == Version::V1;
        loop {
            let active: Vec<usize> = (0..cursors.len()).filter(|&at| !cursors[at].done).collect();
            if active.is_empty() {
                return cut;
            }
            if self.is_late() {
                return Some(self.out_of_time());
            }
            let room = if by_next {
                self.peer.learned().get.limit()
            } else {
                self.bulk_values()
            };
            let aboard = riders.iter().filter(|rider| rider.value.is_none()).count();
            let aboard = if by_next || aboard + active.len() > room {
                0
            } else {
                aboard
            };
            let group = &active[..active.len().min(room - aboard)];
            let wanted = group
                .iter()
                .map(|&at| {
                    cursors[at]
                        .until
                        .as_ref()
                        .map_or(usize::MAX, |(_, rows)| *rows)
                })
                .max();
            let rows = if by_next {
                1
            } else {
                ((room - aboard) / group.len())
                    .min(wanted.unwrap_or(1))
                    .clamp(1, 512)
            };
            let asked = aboard + rows * group.len();

            let names = group.iter().map(|&at| cursors[at].at.clone());
            let request = if by_next {
                Request::get_next(&names.collect::<Vec<_>>())
            } else {
                let scalars = riders
                    .iter()
                    .filter(|rider| aboard > 0 && rider.value.is_none());
                let names = scalars
                    .map(|rider| rider.object.clone())
                    .chain(names)
                    .collect();
                let count = |n: usize| u16::try_from(n).expect("room is at most 512");
                Request::get_bulk(count(aboard), count(rows), names)
            };
            let answer = match self.transact(&request, self.limits.attempts).await {
                Ok(answer)
                    if answer.error_status == ErrorStatus::NoError
                        && !answer.varbinds.is_empty() =>
                {
                    answer
                }
                Ok(answer) => match self.complaint(&answer, cursors, group, asked, &mut by_next) {
                    Ok(()) => continue,
                    Err(error) => return Some(error.into()),
                },
                Err(error @ (GetError::Timeout { .. } | GetError::Malformed { .. }))
                    if asked > 1 && !self.is_late() =>
                {
                    // too much for it, or is it gone?
                    let first = request.names[0].clone();
                    let may_ask = self.peer.has_answered() || self.limits.attempts > 1;
                    if error.is_silence() && !(may_ask && self.is_alive(&first).await) {
                        return Some(self.cut_by(error));
                    }
                    let mut learned = self.peer.learned();
                    let size = if by_next {
                        &mut learned.get
                    } else {
                        &mut learned.bulk
                    };
                    if error.is_silence() {
                        size.shrink_after_silence(asked);
                    } else {
                        size.shrink(asked);
                    }
                    continue;
                }
                Err(error) => return Some(self.cut_by(error)),
            };
            if !by_next && answer.varbinds.len() >= asked {
                self.peer.learned().bulk.succeeded(asked);
            }
            let mut varbinds = answer.varbinds.into_iter();
            if aboard > 0 {
                for rider in riders.iter_mut().filter(|rider| rider.value.is_none()) {
                    rider.take(varbinds.next());
                }
            }
            for (varbind, &at) in varbinds.zip(group.iter().cycle()) {
                if let Err((previous, next)) = cursors[at].take(varbind) {
                    let target = self.peer.address;
                    cut.get_or_insert(WalkError::NotIncreasing {
                        target,
                        previous,
                        next,
                    });
                }
            }
            if cursors
                .iter()
                .map(|cursor| cursor.cells.len())
                .sum::<usize>()
                > self.limits.max_values
            {
                let (target, max_values) = (self.peer.address, self.limits.max_values);
                return Some(WalkError::TooManyValues { target, max_values });
            }
        }
    }

    /// An agent that answered with an error or with nothing: ask for less, by GETNEXT, or one column less.
    fn complaint(
        &self,
        answer: &Answer,
        cursors: &mut [Cursor],
        group: &[usize],
        asked: usize,
        by_next: &mut bool,
    ) -> Result<(), GetError> {
        let blamed = answer
            .error_index
            .checked_sub(1)
            .and_then(|at| group.get(at))
            .copied();
        match (answer.error_status, blamed) {
            // how v1 says that nothing follows
            (ErrorStatus::NoSuchName, Some(at)) if *by_next => cursors[at].done = true,
            _ if asked > 1 => {
                let mut learned = self.peer.learned();
                let size = if *by_next {
                    &mut learned.get
                } else {
                    &mut learned.bulk
                };
                size.shrink(asked);
            }
            _ if !*by_next => *by_next = true,
            (ErrorStatus::NoSuchName | ErrorStatus::NoError, _) => cursors[group[0]].done = true,
            (status, _) => return Err(self.refused(status, Some(cursors[group[0]].at.clone()))),
        }
        Ok(())
    }
}

impl Cursor {
    fn new(column: &Oid, known: Option<&Known>) -> Self {
        let mut cursor = Self {
            column: column.clone(),
            at: column.clone(),
            until: None,
            cells: Vec::new(),
            done: false,
        };
        match known {
            Some(Known {
                bounds: Some((before_first, last)),
                rows,
            }) => {
                cursor.at = column.with_index(before_first);
                cursor.until = Some((column.with_index(last), *rows));
                cursor.cells.reserve(*rows);
            }
            Some(Known { bounds: None, .. }) => cursor.done = true,
            None => {}
        }
        cursor
    }

    /// Takes the next value of this column, or finds that it has ended. An OID that does not increase is an error.
    fn take(&mut self, VarBind { oid, value }: VarBind) -> Result<(), (Oid, Oid)> {
        if self.done {
            return Ok(());
        }
        if value == Value::EndOfMibView || !oid.starts_with(&self.column) {
            self.done = true;
            return Ok(());
        }
        if oid <= self.at {
            self.done = true;
            return Err((self.at.clone(), oid));
        }
        if let Some((last, rows)) = &mut self.until {
            if oid > *last {
                self.done = true;
                return Ok(());
            }
            *rows = rows.saturating_sub(1).max(1);
            self.done = oid == *last;
        }
        self.at = oid.clone();
        if !value.is_missing() {
            self.cells.push(VarBind { oid, value });
        }
        Ok(())
    }
}

/// Rows known from before, the same for all columns of a table.
struct Known {
    /// An index after which the first row is the next to come, and the last row.
    bounds: Option<(Index, Index)>,
    rows: usize,
}

impl Known {
    fn of(rows: &[Index]) -> Self {
        let bounds = rows.iter().min().zip(rows.iter().max());
        Self {
            bounds: bounds.map(|(first, last)| (before(first), last.clone())),
            rows: rows.len(),
        }
    }
}

/// Row 6 for row 7; nothing, which is the column itself, for row 0 or 1.
fn before(first: &Index) -> Index {
    let mut arcs: Vec<u32> = first.arcs().collect();
    match arcs.pop() {
        None | Some(0) => {}
        Some(1) if arcs.is_empty() => {}
        Some(last) => arcs.push(last - 1),
    }
    Index::from_arcs(&arcs)
}

/// The cells of one column among sorted ones.
fn under(cells: &[VarBind], column: &Oid) -> Vec<VarBind> {
    let start = cells.partition_point(|cell| cell.oid < *column);
    cells[start..]
        .iter()
        .take_while(|cell| cell.oid.starts_with(column))
        .cloned()
        .collect()
}

/// A scalar that rides along with a GETBULK, as a non-repeater.
struct Rider {
    instance: Oid,
    /// What it is asked by: the instance is the next after it.
    object: Oid,
    value: Option<Value>,
}

impl Rider {
    fn new(instance: &Oid) -> Option<Self> {
        let object = instance.parent().filter(|_| instance.last() == Some(0))?;
        Some(Self {
            instance: instance.clone(),
            object,
            value: None,
        })
    }

    fn take(&mut self, answer: Option<VarBind>) {
        self.value = Some(match answer {
            Some(varbind) if varbind.oid == self.instance => varbind.value,
            _ => Value::NoSuchInstance,
        });
    }
}
