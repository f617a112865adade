//! What a device's profiles ask for: each object once, columns that share rows together.

use std::collections::HashSet;

use farwatch_shared::oid::Oid;
use farwatch_shared::profile::Applied;
use farwatch_shared::profile::model::{
    Amount, Choice, Column, MetricRows, Place, Profile, Rows, Source, StatusFrom, StatusOf, Symbol,
    TagFrom,
};

use super::answers::Answers;
use super::ask::Want;
use crate::snmp::{self, Plan, TablePlan};

/// What `applied` read, without the scalars that are among the answers and the columns that were read to their end.
pub(super) fn plan(applied: &[Applied], want: Want, answers: &Answers, columns: Vec<Oid>) -> Plan {
    let mut gather = Gather {
        asked: columns.into_iter().collect(),
        ..Gather::default()
    };
    for applied in applied {
        let profile = &applied.profile;
        if want != Want::Readings {
            gather.facts(profile);
        }
        if want == Want::All {
            profile.metrics.iter().for_each(|item| gather.metrics(item));
        }
        if want == Want::Facts || applied.is_silenced {
            continue;
        }
        for item in &profile.sensors {
            let mut group = Vec::new();
            for value in &item.values {
                group.push(value.object.oid.clone());
                group.extend(of_row(value.status.as_ref()));
            }
            group.extend(of_row(item.status.as_ref()));
            gather.rows(&item.rows, group);
        }
        for item in &profile.storage {
            let amounts = [&item.size, &item.used, &item.free, &item.used_percent];
            gather.rows(&item.rows, amounts_of(amounts));
        }
        for item in &profile.processors {
            gather.rows(&item.rows, amounts_of([&item.load, &item.idle]));
        }
    }
    let mut plan = gather.plan;
    plan.scalars.retain(|oid| answers.get(oid).is_none());
    plan
}

/// Of what `applied` measure only that which changes: names, scales and conditions are known.
pub(super) fn values(applied: &[Applied]) -> Plan {
    let mut gather = Gather::default();
    for Applied { profile, .. } in applied.iter().filter(|applied| !applied.is_silenced) {
        for item in &profile.sensors {
            let mut group = Vec::new();
            for value in &item.values {
                group.push(value.object.oid.clone());
                group.extend(status_object(value.status.as_ref(), &item.rows));
            }
            group.extend(status_object(item.status.as_ref(), &item.rows));
            gather.objects(item.rows.is_table, group);
        }
        for item in &profile.storage {
            let amounts = [&item.size, &item.used, &item.free, &item.used_percent];
            gather.objects(item.rows.is_table, amounts_of(amounts));
        }
        for item in &profile.processors {
            gather.objects(item.rows.is_table, amounts_of([&item.load, &item.idle]));
        }
    }
    gather.plan
}

/// What a status is read from, be it an object of the row or a listed column of it.
fn status_object(status: Option<&StatusOf>, rows: &Rows) -> Option<Oid> {
    match &status?.from {
        StatusFrom::Object(oid) => Some(oid.clone()),
        StatusFrom::Column(name) => rows
            .columns
            .iter()
            .find(|column| column.object.name == *name)
            .filter(|column| matches!(column.place, Place::SameRow))
            .map(|column| column.object.oid.clone()),
    }
}

fn of_row(status: Option<&StatusOf>) -> Option<Oid> {
    match &status?.from {
        StatusFrom::Object(oid) => Some(oid.clone()),
        StatusFrom::Column(_) => None,
    }
}

fn amounts_of<const N: usize>(amounts: [&Option<Amount>; N]) -> Vec<Oid> {
    amounts
        .into_iter()
        .flatten()
        .map(|amount| amount.object.oid.clone())
        .collect()
}

#[derive(Default)]
struct Gather {
    plan: Plan,
    asked: HashSet<Oid>,
}

impl Gather {
    fn facts(&mut self, profile: &Profile) {
        for source in profile.facts.values().flatten() {
            match source {
                Source::Fixed(_) => {}
                Source::Read(symbol) => self.symbol(symbol),
                Source::Joined { parts, .. } => parts.iter().for_each(|part| self.symbol(part)),
            }
        }
    }

    fn symbol(&mut self, symbol: &Symbol) {
        if symbol.rows == Choice::Scalar {
            return self.scalar(symbol.object.oid.clone());
        }
        let group = vec![symbol.object.oid.clone()];
        self.grouped(true, &symbol.columns, group);
    }

    fn metrics(&mut self, item: &MetricRows) {
        let symbols = item.symbols.iter();
        let mut group: Vec<Oid> = symbols.map(|symbol| symbol.object.oid.clone()).collect();
        for tag in &item.tags {
            let TagFrom::Object(object) = &tag.from else {
                continue;
            };
            if tag.parts.is_none() {
                group.push(object.oid.clone());
            } else {
                self.column(object.oid.clone());
            }
        }
        self.rows(&item.rows, group);
    }

    fn rows(&mut self, rows: &Rows, group: Vec<Oid>) {
        self.grouped(rows.is_table, &rows.columns, group);
    }

    fn grouped(&mut self, is_table: bool, columns: &[Column], mut group: Vec<Oid>) {
        for column in columns {
            let oid = column.object.oid.clone();
            match &column.place {
                Place::Scalar => self.scalar(oid),
                Place::SameRow if is_table => group.push(oid),
                Place::SameRow => self.scalar(oid),
                Place::Via(_) | Place::Parts(_) => self.column(oid),
            }
        }
        self.objects(is_table, group);
    }

    /// Columns that share rows, or scalars.
    fn objects(&mut self, is_table: bool, mut group: Vec<Oid>) {
        if is_table {
            group.retain(|oid| self.asked.insert(oid.clone()));
            self.table(group);
        } else {
            group.into_iter().for_each(|oid| self.scalar(oid));
        }
    }

    fn scalar(&mut self, oid: Oid) {
        if self.asked.insert(oid.clone()) {
            self.plan.scalars.push(oid);
        }
    }

    /// A column whose rows are not those of its item.
    fn column(&mut self, oid: Oid) {
        if self.asked.insert(oid.clone()) {
            self.table(vec![oid]);
        }
    }

    fn table(&mut self, columns: Vec<Oid>) {
        if !columns.is_empty() {
            self.plan.tables.push(TablePlan {
                columns,
                rows: snmp::Rows::All,
            });
        }
    }
}
