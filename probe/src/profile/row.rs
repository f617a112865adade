//! One row of a table, or the scalars of an item: its cells by name, conditions, names.

use std::borrow::Cow;

use farwatch_shared::oid::{Index, Oid};
use farwatch_shared::profile::model::{Column, Condition, Mapping, Object, Pick, Place, Template};

use super::answers::Answers;
use super::cell::{self, Cell};
use crate::snmp::Value;

/// How far columns may name the index of other columns.
const DEEPEST: usize = 4;

/// A row; without an index the item's scalars.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub answers: &'a Answers,
    pub columns: &'a [Column],
    /// Values that may be named as columns are.
    pub values: &'a [&'a Object],
    pub index: Option<&'a Index>,
}

impl<'a> Row<'a> {
    /// The value of an object in this row.
    pub(super) fn at(&self, oid: &Oid) -> Option<&'a Value> {
        match self.index {
            Some(index) => self.answers.get(&oid.with_index(index)),
            None => self.answers.get(oid),
        }
    }

    /// A cell by its name, in shape, without its word.
    pub(super) fn cell(&self, name: &str) -> Option<Cell<'a>> {
        self.cell_within(name, DEEPEST)
    }

    fn cell_within(&self, name: &str, deep: usize) -> Option<Cell<'a>> {
        if let Some(column) = self
            .columns
            .iter()
            .find(|column| &*column.object.name == name)
        {
            let value = self.value_of(column, deep)?;
            return cell::shaped(value, &column.object, false);
        }
        if name == "index" {
            let text = self.index.map(Index::to_string).unwrap_or_default();
            return Some(Cell::Text(text.into()));
        }
        if let Some(arc) = name
            .strip_prefix("index.")
            .and_then(|arc| arc.parse::<usize>().ok())
        {
            let arc = self.index?.arcs().nth(arc.checked_sub(1)?)?;
            return Some(Cell::Number(arc.into()));
        }
        let object = self.values.iter().find(|object| &*object.name == name)?;
        Some(Cell::Raw(self.at(&object.oid)?))
    }

    fn value_of(&self, column: &Column, deep: usize) -> Option<&'a Value> {
        let oid = &column.object.oid;
        match (&column.place, self.index) {
            (Place::Scalar, _) | (Place::SameRow | Place::Parts(_), None) => self.answers.get(oid),
            (Place::SameRow, Some(index)) => self.answers.get(&oid.with_index(index)),
            (Place::Parts(parts), Some(index)) => {
                self.answers.get(&oid.with_index(&part_of(index, parts)?))
            }
            (Place::Via(via), _) => {
                let named = self.cell_within(via, deep.checked_sub(1)?)?;
                let text = named.text()?;
                let arcs: Vec<u32> = text
                    .trim()
                    .trim_start_matches('.')
                    .split('.')
                    .map(str::parse)
                    .collect::<Result<_, _>>()
                    .ok()?;
                self.answers.get(&oid.with_index(&Index::from_arcs(&arcs)))
            }
        }
    }

    /// A cell by its name, as people read it.
    fn shown(&self, name: &str) -> Option<String> {
        let cell = self.cell(name)?;
        let text = cell.text()?;
        let column = self
            .columns
            .iter()
            .find(|column| &*column.object.name == name);
        let word = column
            .and_then(|column| column.object.mapping.as_ref())
            .and_then(|mapping| mapping.word(text.trim()));
        Some(word.unwrap_or_else(|| text.into_owned()))
    }

    /// The first template that has no gaps, else the last one with its gaps; empty without templates.
    pub(super) fn fill(&self, templates: &[Template]) -> String {
        let mut filled = String::new();
        for template in templates {
            let mut whole = true;
            let text = template.fill(|name| {
                let text = self
                    .shown(name)
                    .map(|text| text.trim().to_owned())
                    .unwrap_or_default();
                whole &= !text.is_empty();
                Cow::Owned(text)
            });
            filled = one_spaced(&text);
            if whole && !filled.is_empty() {
                break;
            }
        }
        filled
    }

    /// Whether all conditions on columns hold.
    pub(super) fn meets_columns(&self, conditions: &[Condition]) -> bool {
        conditions
            .iter()
            .filter_map(|condition| Some((condition, condition.on.as_deref()?)))
            .all(|(condition, name)| cell::meets(self.cell(name).as_ref(), condition))
    }

    /// What a column says, or the word that stands there.
    pub(super) fn pick<T: Clone>(&self, pick: &Pick<T>) -> Option<T> {
        match pick {
            Pick::Word(word) => Some(word.clone()),
            Pick::Text(_) => None,
            Pick::Column {
                column,
                mapping,
                default,
            } => self.mapped(column, mapping).or_else(|| default.clone()),
        }
    }

    /// As [`pick`](Self::pick), of a text that may be the column's own.
    pub(super) fn pick_text(&self, pick: &Pick<Box<str>>) -> Option<String> {
        match pick {
            Pick::Text(column) => Some(self.cell(column)?.text()?.trim().to_owned()),
            other => self.pick(other).map(String::from),
        }
    }

    fn mapped<T: Clone>(&self, column: &str, mapping: &Mapping<T>) -> Option<T> {
        let cell = self.cell(column)?;
        let text = cell.text()?;
        mapping.get(text.trim()).cloned()
    }
}

/// Whether the conditions on the value itself hold.
pub(super) fn meets_value(conditions: &[Condition], value: &Value) -> bool {
    let cell = Cell::Raw(value);
    conditions
        .iter()
        .filter(|condition| condition.on.is_none())
        .all(|condition| cell::meets(Some(&cell), condition))
}

/// Parts of an index; `None` where it is too short.
pub(super) fn part_of(index: &Index, parts: &[(usize, Option<usize>)]) -> Option<Index> {
    let arcs: Vec<u32> = index.arcs().collect();
    let mut out = Vec::new();
    for (start, end) in parts {
        let end = end.unwrap_or(arcs.len().checked_sub(1)?);
        out.extend_from_slice(arcs.get(*start..=end)?);
    }
    Some(Index::from_arcs(&out))
}

/// White space runs become one space.
pub(super) fn one_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
