//! What to read from a device, and what was read.

use std::{collections::BTreeMap, time::Duration};

use farwatch_shared::oid::{Index, Oid};

use super::{
    error::WalkError,
    value::{Value, VarBind},
};

/// What is worth reading from a device in one go. The engine finds the cheapest mix of GET and GETBULK for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Instances, with their `.0`.
    pub scalars: Vec<Oid>,
    pub tables: Vec<TablePlan>,
}

/// Columns that share their index: those of ifTable and of ifXTable belong into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePlan {
    pub columns: Vec<Oid>,
    pub rows: Rows,
}

/// Which rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// All there are: read until each column is proven to have ended.
    All,
    /// These, known from before and most of the table, in any order. New rows among them may come along; what lies after
    /// the last is not looked for.
    Known(Vec<Index>),
    /// As [`Rows::Known`], of an index of one number; and only whole numbers are kept: see [`Column::numbers`].
    Numbers(Vec<Index>),
    /// These and no others, each asked for by name.
    Only(Vec<Index>),
}

/// What a device answered to a [`Plan`].
#[derive(Debug, Default)]
pub struct Reading {
    /// Those of [`Plan::scalars`] that were read, in the plan's order; missing ones with the exception as their value.
    pub scalars: Vec<VarBind>,
    /// One for each of [`Plan::tables`].
    pub tables: Vec<Table>,
    pub cost: Cost,
    /// Why it is not all that was asked for.
    pub cut: Option<WalkError>,
}

impl Reading {
    /// The value of a scalar, if it was read and is there.
    #[must_use]
    pub fn scalar(&self, oid: &Oid) -> Option<&Value> {
        let found = self.scalars.iter().find(|varbind| varbind.oid == *oid)?;
        (!found.value.is_missing()).then_some(&found.value)
    }
}

/// The columns of a [`TablePlan`], in its order.
#[derive(Debug, Default)]
pub struct Table {
    pub columns: Vec<Column>,
}

#[derive(Debug, Default)]
pub struct Column {
    pub oid: Oid,
    /// In the order of their OIDs; missing ones are left out.
    pub cells: Vec<VarBind>,
    /// Of [`Rows::Numbers`], in a third of the room: (row, value), in the order of rows. Where the table was read by
    /// GET they are in `cells`.
    pub numbers: Vec<(u32, u64)>,
}

impl Table {
    /// The value in a row of the column at `column` in the plan.
    #[must_use]
    pub fn value(&self, column: usize, row: &Index) -> Option<&Value> {
        let column = self.columns.get(column)?;
        let oid = column.oid.with_index(row);
        let at = column
            .cells
            .binary_search_by(|cell| cell.oid.cmp(&oid))
            .ok()?;
        Some(&column.cells[at].value)
    }

    /// A whole number that is not negative, of [`Rows::Numbers`]. Rows are asked for in about the order in which they
    /// were read: `place` is where to look first.
    #[must_use]
    pub fn number_near(&self, column: usize, row: u32, place: usize) -> Option<u64> {
        let numbers = &self.columns.get(column)?.numbers;
        if let Some((_, number)) = numbers.get(place).filter(|(at, _)| *at == row) {
            return Some(*number);
        }
        match numbers.binary_search_by_key(&row, |(at, _)| *at) {
            Ok(at) => Some(numbers[at].1),
            Err(_) => self.value(column, &Index::from(row))?.as_u64(),
        }
    }

    /// Row by row: for each index the values in the plan's order of columns, `None` where a column has none.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<Index, Vec<Option<&Value>>> {
        let mut rows = BTreeMap::new();
        for (at, column) in self.columns.iter().enumerate() {
            for cell in &column.cells {
                if let Some(index) = cell.oid.index_under(&column.oid) {
                    rows.entry(index)
                        .or_insert_with(|| vec![None; self.columns.len()])[at] = Some(&cell.value);
                }
            }
        }
        rows
    }
}

/// Everything under one OID.
#[derive(Debug, Default)]
pub struct Walk {
    /// In the order of their OIDs.
    pub varbinds: Vec<VarBind>,
    pub cost: Cost,
    /// Why the walk ended before its end.
    pub cut: Option<WalkError>,
}

/// What a reading cost the device and the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Datagrams sent, those sent again included.
    pub requests: u32,
    pub sent_again: u32,
    /// Values received, those of no use included.
    pub varbinds: u32,
    /// SNMP messages without the headers below.
    pub sent_octets: u64,
    pub received_octets: u64,
    pub duration: Duration,
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            sent_again: self.sent_again.saturating_add(other.sent_again),
            varbinds: self.varbinds.saturating_add(other.varbinds),
            sent_octets: self.sent_octets.saturating_add(other.sent_octets),
            received_octets: self.received_octets.saturating_add(other.received_octets),
            duration: self.duration.saturating_add(other.duration),
        }
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
