//! What a device answered, by OID.

use std::collections::BTreeMap;

use farwatch_shared::oid::{Index, Oid};
use farwatch_shared::profile::Presence;

use super::cell;
use crate::snmp::{Reading, Value, VarBind};

/// Values of one device, in the order of their OIDs.
#[derive(Clone, Debug, Default)]
pub struct Answers(BTreeMap<Oid, Value>);

impl Answers {
    /// Adds all that was read.
    pub fn take(&mut self, reading: Reading) {
        let cells = reading.tables.into_iter().flat_map(|table| table.columns);
        let all = cells.flat_map(|column| column.cells).chain(reading.scalars);
        self.extend(all);
    }

    /// Leaves out what lies at some OIDs, or below them.
    pub fn forget<'a>(&mut self, oids: impl IntoIterator<Item = &'a Oid>) {
        for oid in oids {
            let below = self.0.range(oid.clone()..);
            let below = below.take_while(|(at, _)| at.starts_with(oid));
            let below: Vec<Oid> = below.map(|(at, _)| at.clone()).collect();
            below.iter().for_each(|at| drop(self.0.remove(at)));
        }
    }

    /// The value of an instance.
    #[must_use]
    pub fn get(&self, oid: &Oid) -> Option<&Value> {
        self.0.get(oid)
    }

    /// The cells of a column, in the order of their rows.
    pub fn column<'a>(&'a self, column: &'a Oid) -> impl Iterator<Item = (Index, &'a Value)> + 'a {
        self.0
            .range(column.clone()..)
            .take_while(|(oid, _)| oid.starts_with(column))
            .filter_map(|(oid, value)| Some((oid.index_under(column)?, value)))
            .filter(|(index, _)| !index.is_empty())
    }

    /// Whether there is something at an OID or below it.
    #[must_use]
    pub fn presence(&self, oid: &Oid) -> Presence {
        if let Some(value) = self.get(oid) {
            return Presence::Value(cell::text_of(value).unwrap_or_default());
        }
        match self.column(oid).next() {
            Some((_, value)) => Presence::Below(cell::text_of(value).unwrap_or_default()),
            None => Presence::Nothing,
        }
    }
}

impl Extend<VarBind> for Answers {
    fn extend<I: IntoIterator<Item = VarBind>>(&mut self, varbinds: I) {
        let there = varbinds
            .into_iter()
            .filter(|varbind| !varbind.value.is_missing() && varbind.value != Value::Null);
        self.0
            .extend(there.map(|varbind| (varbind.oid, varbind.value)));
    }
}

impl FromIterator<VarBind> for Answers {
    fn from_iter<I: IntoIterator<Item = VarBind>>(varbinds: I) -> Self {
        let mut this = Self::default();
        this.extend(varbinds);
        this
    }
}
