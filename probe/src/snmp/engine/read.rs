//! Walks and tables: several columns in one GETBULK, filled to the packet, with GETs where they are cheaper.

use std::{collections::HashMap, sync::Arc};

use farwatch_shared::oid::{Index, Oid};

use super::{
    columns::{Columns, Cursor, Known, Rider},
    exchange::{Call, Got},
};
use crate::snmp::{
    auth::Version,
    error::{GetError, WalkError},
    plan::{Column, Plan, Reading, Rows, Table, TablePlan, Walk},
    value::{Value, VarBind},
};

/// Octets of a varbind, before any was seen.
const ORDINARY_VARBIND: u64 = 22;

impl Call<'_> {
    pub(super) async fn walk(mut self, root: &Oid) -> Result<Walk, WalkError> {
        let peer = Arc::clone(&self.peer);
        let _one = self.one_walk(&peer.walks).await?;
        let mut columns = Columns::default();
        columns.cursors.push(Cursor::new(root, None, false));
        self.read_columns(&mut columns).await;
        let mut varbinds = columns
            .cursors
            .pop()
            .map(|cursor| cursor.cells)
            .unwrap_or_default();
        if varbinds.is_empty() {
            if let Some(error) = columns.cut {
                return Err(error);
            }
            // what has nothing under it may be an instance itself
            varbinds = self.get(std::slice::from_ref(root)).await?;
            varbinds.retain(|varbind| !varbind.value.is_missing());
        }
        Ok(Walk {
            varbinds,
            cost: self.finished_cost(),
            cut: columns.cut,
        })
    }

    pub(super) async fn read(mut self, plan: &Plan) -> Result<Reading, WalkError> {
        let peer = Arc::clone(&self.peer);
        let _one = self.one_walk(&peer.walks).await?;

        // which tables by GETBULK, and what remains for GET
        let mut columns = Columns::default();
        let mut names: Vec<Oid> = Vec::new();
        let mut by_get = Vec::with_capacity(plan.tables.len());
        for table in &plan.tables {
            let rows = self.rows_to_get(table);
            by_get.push(rows.is_some());
            if let Some(rows) = rows {
                names.extend(
                    table
                        .columns
                        .iter()
                        .flat_map(|c| rows.iter().map(move |row| c.with_index(row))),
                );
            } else {
                let known = match &table.rows {
                    Rows::Known(rows) | Rows::Numbers(rows) => Some(Known::of(rows)),
                    _ => None,
                };
                let numbers = matches!(table.rows, Rows::Numbers(_));
                columns.cursors.extend(
                    table
                        .columns
                        .iter()
                        .map(|column| Cursor::new(column, known.as_ref(), numbers)),
                );
            }
        }
        columns.riders = self.riders(plan, columns.cursors.len());
        self.read_columns(&mut columns).await;

        // the scalars that did not ride along, then single cells
        let mut scalars: HashMap<&Oid, Value> = HashMap::new();
        for rider in &mut columns.riders {
            scalars.extend(rider.value.take().map(|value| (&rider.instance, value)));
        }
        let left: Vec<Oid> = plan
            .scalars
            .iter()
            .filter(|oid| !scalars.contains_key(oid))
            .cloned()
            .collect();
        let left_count = left.len();
        names.splice(0..0, left);
        let mut got = Got::new(names.len());
        if columns.cut.as_ref().is_none_or(goes_on)
            && let Err(error) = self.get_into(&names, &mut got, true).await
        {
            columns.cut = Some(self.cut_by(error));
        }
        let cells = got.values.split_off(left_count);
        for (oid, value) in names.iter().zip(got.values) {
            scalars.extend(value.map(|value| (oid, value)));
        }
        let cells = names[left_count..].iter().zip(cells);
        let cells = cells.filter_map(|(oid, value)| Some(VarBind::new(oid.clone(), value?)));
        let mut cells: Vec<VarBind> = cells.filter(|cell| !cell.value.is_missing()).collect();
        cells.sort_by(|a, b| a.oid.cmp(&b.oid));

        let scalars = plan
            .scalars
            .iter()
            .filter_map(|oid| Some(VarBind::new(oid.clone(), scalars.remove(oid)?)));
        let scalars = scalars.collect();
        let mut cursors = columns.cursors.into_iter();
        let tables = plan.tables.iter().zip(by_get).map(|(table, by_get)| {
            let columns = table.columns.iter().map(|column| {
                let read = if by_get { None } else { cursors.next() };
                let (cells, numbers) = match read {
                    Some(cursor) => (cursor.cells, cursor.numbers.unwrap_or_default()),
                    None => (under(&cells, column), Vec::new()),
                };
                Column {
                    oid: column.clone(),
                    cells,
                    numbers,
                }
            });
            Table {
                columns: columns.collect(),
            }
        });
        let tables = tables.collect();
        let cost = self.finished_cost();
        match columns.cut {
            Some(error) if cost.varbinds == 0 => Err(error),
            cut => Ok(Reading {
                scalars,
                tables,
                cost,
                cut,
            }),
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

    pub(super) fn out_of_time(&self) -> WalkError {
        WalkError::OutOfTime {
            target: self.peer.address,
            deadline: self.allowed(),
        }
    }

    /// A time-out because the deadline came is the deadline's.
    pub(super) fn cut_by(&self, error: GetError) -> WalkError {
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
            Rows::Known(rows) | Rows::Numbers(rows) => {
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
    pub(super) fn bulk_values(&self) -> usize {
        let learned = *self.peer.learned();
        let octets = match self.cost.varbinds {
            0..8 => learned
                .varbind_octets
                .map_or(ORDINARY_VARBIND, |octets| u64::from(octets.get()).max(10)),
            seen => (self.cost.received_octets / u64::from(seen)).max(10),
        };
        let fit = self.packet_octets() / usize::try_from(octets).unwrap_or(usize::MAX);
        fit.clamp(1, learned.bulk.limit())
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

/// Whether a device that gave this is worth asking for the rest.
const fn goes_on(cut: &WalkError) -> bool {
    matches!(
        cut,
        WalkError::NotIncreasing { .. }
            | WalkError::Get(
                GetError::Refused { .. } | GetError::Malformed { .. } | GetError::Mismatch { .. }
            )
    )
}
