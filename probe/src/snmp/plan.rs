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

#[derive(Debug)]
pub struct Column {
    pub oid: Oid,
    /// In the order of their OIDs; missing ones are left out.
    pub cells: Vec<VarBind>,
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

    /// The same, where rows are asked for in about the order in which they were read: `place` is where to look first.
    #[must_use]
    pub fn value_near(&self, column: usize, row: &Index, place: usize) -> Option<&Value> {
        let cells = self.columns.get(column)?;
        match cells.cells.get(place) {
            Some(cell) if cell.oid.is_instance(&cells.oid, row) => Some(&cell.value),
            _ => self.value(column, row),
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
