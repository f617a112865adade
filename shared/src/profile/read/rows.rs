//! Sensors, storage and processors.

use super::object::{Names, OBJECT};
use super::{Map, Reader, Told};
use crate::profile::model::{
    Amount, Conversion, Exponent, Pick, ProcessorRows, Rows, SensorKind, SensorRows, SensorValue,
    StatusFrom, StatusOf, StorageKind, StorageRows, Unit,
};

const ROWS: &[&str] = &[
    "table",
    "columns",
    "where",
    "name",
    "poll_interval",
    "MIB",
    "description",
];
const VALUE: &[&str] = &[
    "kind",
    "label",
    "scale_factor",
    "where",
    "exponent",
    "divide_by",
    "unit",
    "status",
    "convert",
];

impl Reader<'_> {
    /// What rows have in common; `values` are the names of their values.
    fn rows(&mut self, map: &Map<'_>, values: &[String]) -> Told<Rows> {
        let is_table = match map.get("table") {
            None => false,
            Some(node) => {
                let Some(table) = Map::of(node) else {
                    return self.refuse(node.line, "table: {OID, name} is meant".to_owned());
                };
                self.known(&table, &["OID", "name", "MIB"], "table");
                self.oid(&table, "OID")?;
                true
            }
        };
        let columns = self.columns(map);
        let names = Names {
            columns: &columns,
            values,
        };
        let conditions = self.conditions(map, names)?;
        let templates = self.templates(map, "name", names);
        Ok(Rows {
            file: self.file.clone(),
            is_table,
            conditions,
            names: templates,
            every: self.duration(map, "poll_interval"),
            columns,
        })
    }

    pub(super) fn sensor_rows(&mut self, map: &Map<'_>) -> Told<SensorRows> {
        self.known(
            map,
            &[ROWS, &["values", "status", "same_name"]].concat(),
            "sensors",
        );
        let maps = self.maps(map, "values");
        if maps.is_empty() {
            return self.refuse(map.line, "sensors without values".to_owned());
        }
        let values: Vec<String> = names_of(&maps);
        let rows = self.rows(map, &values)?;
        let names = Names {
            columns: &rows.columns,
            values: &values,
        };
        let status = self.status(map, names)?;
        let same_name = self.templates(map, "same_name", names);
        let mut read: Vec<SensorValue> = maps
            .iter()
            .filter_map(|value| self.sensor_value(value, names).ok())
            .collect();
        let kinds: Vec<_> = read
            .iter()
            .map(|value| (kind_key(&value.kind), value.object.oid.clone()))
            .collect();
        for value in &mut read {
            let kind = kind_key(&value.kind);
            value.is_one_of_several = kinds
                .iter()
                .any(|(other, oid)| *other == kind && *oid != value.object.oid);
        }
        Ok(SensorRows {
            values: read,
            same_name,
            status,
            rows,
        })
    }

    fn sensor_value(&mut self, map: &Map<'_>, names: Names<'_>) -> Told<SensorValue> {
        self.known(map, &[OBJECT, VALUE].concat(), "a sensor's value");
        let mut object = self.object_unmapped(map)?;
        let Some(kind) = self.pick(map, "kind", names, SensorKind::from_word)? else {
            return self.refuse(map.line, "a sensor's value without kind".to_owned());
        };
        let may_be_state = match &kind {
            Pick::Word(kind) => *kind == SensorKind::State,
            Pick::Column { mapping, .. } => mapping.values().any(|kind| *kind == SensorKind::State),
            Pick::Text(_) => {
                return self.refuse(map.line, "kind: a column needs a mapping".to_owned());
            }
        };
        let words = if may_be_state && map.has("mapping") {
            Some(self.states(map)?)
        } else {
            object.mapping = self.mapping(map)?;
            None
        };
        if matches!(kind, Pick::Word(SensorKind::State)) && words.is_none() {
            return self.refuse(map.line, "a state needs a mapping".to_owned());
        }
        Ok(SensorValue {
            kind,
            words,
            label: self.templates(map, "label", names),
            is_one_of_several: false,
            scale: self.number(map, "scale_factor")?.unwrap_or(1.0),
            exponents: self.exponents(map, names)?,
            divide: self.divisor(map, names)?,
            convert: self.pick(map, "convert", names, Conversion::from_word)?,
            unit: self.pick(map, "unit", names, |word| Some(word.into()))?,
            conditions: self.conditions(map, names)?,
            status: self.status(map, names)?,
            object,
        })
    }

    fn exponents(&mut self, map: &Map<'_>, names: Names<'_>) -> Told<Vec<Exponent>> {
        let mut exponents = Vec::new();
        for one in self.maps(map, "exponent") {
            self.known(
                &one,
                &["column", "negate", "mapping", "default"],
                "exponent",
            );
            let column = self.listed(&one, names, "exponent")?;
            let mapping = self.mapping_of(&one, |reader, node| {
                match node.text().and_then(|text| text.trim().parse::<i32>().ok()) {
                    Some(power) => Ok(power),
                    None => reader.refuse(
                        node.line,
                        format!("exponent: {} is no whole number", node.shown()),
                    ),
                }
            })?;
            #[expect(clippy::cast_possible_truncation, reason = "a power of ten")]
            let default = self.number(&one, "default")?.map(|power| power as i32);
            exponents.push(Exponent {
                column,
                negate: one.is_true("negate"),
                mapping,
                default,
            });
        }
        Ok(exponents)
    }

    fn divisor(&mut self, map: &Map<'_>, names: Names<'_>) -> Told<Option<(Box<str>, f64)>> {
        let Some(node) = map.get("divide_by") else {
            return Ok(None);
        };
        let Some(by) = Map::of(node) else {
            return self.refuse(node.line, "divide_by: {column, times} is meant".to_owned());
        };
        self.known(&by, &["column", "times"], "divide_by");
        let column = self.listed(&by, names, "divide_by")?;
        Ok(Some((column, self.number(&by, "times")?.unwrap_or(1.0))))
    }

    fn listed(&mut self, map: &Map<'_>, names: Names<'_>, place: &str) -> Told<Box<str>> {
        let column = map.text("column").unwrap_or_default();
        if names.has(column) {
            Ok(column.into())
        } else {
            self.refuse(
                map.line,
                format!("{place}: {column:?} is not among the columns"),
            )
        }
    }

    fn status(&mut self, map: &Map<'_>, names: Names<'_>) -> Told<Option<StatusOf>> {
        let Some(node) = map.get("status") else {
            return Ok(None);
        };
        let Some(status) = Map::of(node) else {
            return self.refuse(
                node.line,
                "status: {OID, name, mapping} is meant".to_owned(),
            );
        };
        let keys = [
            "OID",
            "name",
            "mapping",
            "column",
            "MIB",
            "format",
            "extract_value",
        ];
        self.known(&status, &keys, "status");
        let mapping = self.states(&status)?;
        let from = if status.has("column") {
            StatusFrom::Column(self.listed(&status, names, "status")?)
        } else {
            StatusFrom::Object(self.oid(&status, "OID")?)
        };
        Ok(Some(StatusOf { from, mapping }))
    }

    fn amount(&mut self, map: &Map<'_>, key: &str) -> Told<Option<Amount>> {
        let Some(node) = map.get(key) else {
            return Ok(None);
        };
        let Some(amount) = Map::of(node) else {
            return self.refuse(node.line, format!("{key}: {{OID, name}} is meant"));
        };
        self.known(&amount, &[OBJECT, &["scale_factor", "where"]].concat(), key);
        let columns = self.columns(map);
        let values = names_of(&[amount]);
        let names = Names {
            columns: &columns,
            values: &values,
        };
        Ok(Some(Amount {
            object: self.object(&amount)?,
            scale: self.number(&amount, "scale_factor")?.unwrap_or(1.0),
            conditions: self.conditions(&amount, names)?,
        }))
    }

    pub(super) fn storage_rows(&mut self, map: &Map<'_>) -> Told<StorageRows> {
        let amounts = ["size", "used", "free", "used_percent"];
        self.known(
            map,
            &[ROWS, &amounts, &["kind", "unit"]].concat(),
            "storage",
        );
        let values = names_of(
            &amounts
                .map(|key| map.get(key).and_then(Map::of))
                .into_iter()
                .flatten()
                .collect::<Vec<_>>(),
        );
        let rows = self.rows(map, &values)?;
        let names = Names {
            columns: &rows.columns,
            values: &values,
        };
        let kind = self.pick(map, "kind", names, StorageKind::from_word)?;
        let unit = match map.get("unit").and_then(Map::of) {
            Some(_) => self
                .pick(map, "unit", names, |word| Some(word.into()))?
                .map(Unit::Column),
            None => self.number(map, "unit")?.map(Unit::Bytes),
        };
        let storage = StorageRows {
            kind: kind.unwrap_or(Pick::Word(StorageKind::Other)),
            size: self.amount(map, "size")?,
            used: self.amount(map, "used")?,
            free: self.amount(map, "free")?,
            used_percent: self.amount(map, "used_percent")?,
            unit: unit.unwrap_or(Unit::Bytes(1.0)),
            rows,
        };
        if storage.size.is_none()
            && storage.used_percent.is_none()
            && (storage.used.is_none() || storage.free.is_none())
        {
            return self.refuse(
                map.line,
                "storage needs size, or used with free, or used_percent".to_owned(),
            );
        }
        Ok(storage)
    }

    pub(super) fn processor_rows(&mut self, map: &Map<'_>) -> Told<ProcessorRows> {
        let amounts = ["load", "idle"];
        self.known(map, &[ROWS, &amounts].concat(), "processors");
        let values = names_of(
            &amounts
                .map(|key| map.get(key).and_then(Map::of))
                .into_iter()
                .flatten()
                .collect::<Vec<_>>(),
        );
        let processors = ProcessorRows {
            rows: self.rows(map, &values)?,
            load: self.amount(map, "load")?,
            idle: self.amount(map, "idle")?,
        };
        if processors.load.is_none() && processors.idle.is_none() {
            return self.refuse(map.line, "processors need load or idle".to_owned());
        }
        Ok(processors)
    }
}

fn names_of(maps: &[Map<'_>]) -> Vec<String> {
    maps.iter()
        .filter_map(|map| map.text("name"))
        .map(str::to_owned)
        .collect()
}

/// What makes two kinds the same one.
fn kind_key(kind: &Pick<SensorKind>) -> String {
    match kind {
        Pick::Word(kind) => kind.word().to_owned(),
        Pick::Text(column) => format!("{{{column}}}"),
        Pick::Column {
            column, mapping, ..
        } => {
            let kinds: Vec<&str> = mapping.values().map(|kind| kind.word()).collect();
            format!("{{{column}}}{}", kinds.join(","))
        }
    }
}
