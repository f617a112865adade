//! Objects, mappings, columns, conditions and templates: what all sections share.

use std::collections::BTreeMap;

use super::{Map, Reader, Told};
use crate::oid::Oid;
use crate::profile::model::{
    Choice, Column, Condition, Format, Mapping, Object, Part, Pick, Piece, Place, State, Status,
    Symbol, Template, Test,
};
use crate::profile::pattern::Pattern;
use crate::profile::yaml::{Node, Value};

/// Keys of an object, and those that only describe it.
pub(super) const OBJECT: &[&str] = &[
    "OID",
    "name",
    "format",
    "extract_value",
    "match_pattern",
    "match_value",
    "mapping",
    "MIB",
    "chart_meta",
    "metric_type",
    "description",
    "family",
    "consumers",
];

/// Names that conditions, templates and the like may use beside the columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    pub columns: &'a [Column],
    pub values: &'a [String],
}

impl Names<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        let arc = name
            .strip_prefix("index.")
            .is_some_and(|arc| arc.parse::<usize>().is_ok());
        name == "index"
            || arc
            || self.has_column(name)
            || self.values.iter().any(|value| value == name)
    }

    fn has_column(&self, name: &str) -> bool {
        self.columns
            .iter()
            .any(|column| &*column.object.name == name)
    }
}

impl Reader<'_> {
    pub(super) fn oid(&mut self, map: &Map<'_>, key: &str) -> Told<Oid> {
        let line = map.line_of(key);
        let Some(node) = map.get(key) else {
            return self.refuse(line, format!("{key} is missing"));
        };
        let text = node.text().unwrap_or_default().trim();
        if text.starts_with('.') {
            self.warn(line, format!("{key} begins with a dot"));
        }
        match text.strip_prefix('.').unwrap_or(text).parse::<Oid>() {
            Ok(oid) if !oid.is_empty() => Ok(oid),
            _ => self.refuse(
                line,
                format!("{key}: {} is not digits and dots", node.shown()),
            ),
        }
    }

    pub(super) fn pattern(&mut self, map: &Map<'_>, key: &str) -> Told<Option<Pattern>> {
        let Some(text) = map.text(key) else {
            return Ok(None);
        };
        self.compiled(text, key, map.line_of(key)).map(Some)
    }

    pub(super) fn patterns(&mut self, map: &Map<'_>, key: &str) -> Told<Vec<Pattern>> {
        let line = map.line_of(key);
        let texts = self.texts(map, key);
        texts
            .iter()
            .map(|text| self.compiled(text, key, line))
            .collect()
    }

    fn compiled(&mut self, text: &str, key: &str, line: u32) -> Told<Pattern> {
        match Pattern::new(text) {
            Ok(pattern) => Ok(pattern),
            Err(why) => self.refuse(line, format!("{key} {text:?}: {why}")),
        }
    }

    pub(super) fn object(&mut self, map: &Map<'_>) -> Told<Object> {
        let mut object = self.object_unmapped(map)?;
        object.mapping = self.mapping(map)?;
        Ok(object)
    }

    /// An object whose mapping means something else than words.
    pub(super) fn object_unmapped(&mut self, map: &Map<'_>) -> Told<Object> {
        let format = match map.text("format") {
            None => None,
            Some(word) => Some(match word {
                "ip_address" => Format::IpAddress,
                "uint32" => Format::Uint32,
                "hex" => Format::Hex,
                "text_date" => Format::TextDate,
                "mac_address" => Format::MacAddress,
                "snmp_dateandtime" => Format::DateAndTime,
                _ => {
                    return self.refuse(
                        map.line_of("format"),
                        format!("format {word:?} is not known"),
                    );
                }
            }),
        };
        let rewrite = match self.pattern(map, "match_pattern")? {
            Some(pattern) => Some((pattern, map.text("match_value").unwrap_or("$1").into())),
            None => {
                if map.has("match_value") {
                    self.warn(
                        map.line_of("match_value"),
                        "match_value without match_pattern".to_owned(),
                    );
                }
                None
            }
        };
        Ok(Object {
            oid: self.oid(map, "OID")?,
            name: map.text("name").unwrap_or_default().into(),
            format,
            extract: self.pattern(map, "extract_value")?,
            rewrite,
            mapping: None,
        })
    }

    /// `mapping`, flat or `{mode, items}`, as words.
    pub(super) fn mapping(&mut self, map: &Map<'_>) -> Told<Option<Mapping<Box<str>>>> {
        self.mapping_of(map, |reader, node| match node.text() {
            Some(word) => Ok(word.into()),
            None if node.is_null() => Ok("".into()),
            None => reader.refuse(node.line, format!("a word is meant, not {}", node.shown())),
        })
    }

    /// `mapping` of what each of its values means.
    pub(super) fn mapping_of<T>(
        &mut self,
        map: &Map<'_>,
        mut read: impl FnMut(&mut Self, &Node) -> Told<T>,
    ) -> Told<Option<Mapping<T>>> {
        let Some(node) = map.get("mapping") else {
            return Ok(None);
        };
        let Some(mut entries) = Map::of(node) else {
            return self.refuse(node.line, "mapping: a mapping is meant".to_owned());
        };
        let mut bits = false;
        if let (Some(items), Some(mode)) =
            (entries.get("items").and_then(Map::of), entries.text("mode"))
        {
            (bits, entries) = (mode == "bitmask", items);
        }
        let mut words = BTreeMap::new();
        for (key, value) in entries.entries {
            let dotted = key.text.bytes().all(|c| c == b'.' || c.is_ascii_digit());
            let text = match key.text.strip_prefix('.') {
                Some(rest) if dotted => rest,
                _ => &key.text,
            };
            words.insert(text.into(), read(self, value)?);
        }
        Ok(Some(Mapping { words, bits }))
    }

    /// `mapping` to `ok`, `warning`, … or `{status, word}`.
    pub(super) fn states(&mut self, map: &Map<'_>) -> Told<Mapping<State>> {
        let states = self.mapping_of(map, |reader, node| {
            let (word, shown) = match Map::of(node) {
                Some(both) => {
                    reader.known(&both, &["status", "word"], "a state");
                    (both.text("status").unwrap_or("unknown"), both.text("word"))
                }
                None => (node.text().unwrap_or_default(), None),
            };
            match Status::from_word(word) {
                Some(status) => Ok(State {
                    status,
                    word: shown.map(Into::into),
                }),
                None => reader.refuse(
                    node.line,
                    format!("{word:?} is none of ok, warning, critical, unknown, absent"),
                ),
            }
        })?;
        match states {
            Some(states) => Ok(states),
            None => self.refuse(map.line, "a status needs a mapping".to_owned()),
        }
    }

    /// A value that becomes a fact.
    pub(super) fn symbol(&mut self, map: &Map<'_>) -> Told<Symbol> {
        let more = ["row", "columns", "where", "scale_factor", "label"];
        self.known(map, &[OBJECT, &more].concat(), "a symbol");
        let object = self.object(map)?;
        let rows = match map.text("row") {
            None => Choice::Scalar,
            Some("first") => Choice::First,
            Some("all") => Choice::All,
            Some(other) => {
                return self.refuse(
                    map.line_of("row"),
                    format!("row: {other:?} is neither first nor all"),
                );
            }
        };
        let columns = self.columns(map);
        if rows == Choice::Scalar && (map.has("columns") || map.has("where")) {
            self.warn(
                map.line,
                "columns and where need row: first or row: all".to_owned(),
            );
        }
        let values = [object.name.to_string()];
        let names = Names {
            columns: &columns,
            values: &values,
        };
        let conditions = self.conditions(map, names)?;
        Ok(Symbol {
            object,
            rows,
            columns,
            conditions,
        })
    }

    pub(super) fn columns(&mut self, map: &Map<'_>) -> Vec<Column> {
        let mut columns: Vec<Column> = Vec::new();
        for one in self.maps(map, "columns") {
            self.known(
                &one,
                &[OBJECT, &["via", "index_transform", "scalar"]].concat(),
                "a column",
            );
            let Ok(object) = self.object(&one) else {
                continue;
            };
            if object.name.is_empty() {
                let _: Told<()> = self.refuse(one.line, "a column without a name".to_owned());
                continue;
            }
            let place = if let Some(via) = one.text("via") {
                Place::Via(via.into())
            } else if one.is_true("scalar") {
                Place::Scalar
            } else if let Ok(Some(parts)) = self.parts(&one) {
                Place::Parts(parts)
            } else {
                Place::SameRow
            };
            columns.retain(|had| had.object.name != object.name);
            columns.push(Column { object, place });
        }
        for column in &columns {
            if let Place::Via(via) = &column.place
                && !columns.iter().any(|other| other.object.name == *via)
            {
                let what = format!(
                    "column {}: via {via}, which is not listed",
                    column.object.name
                );
                let _: Told<()> = self.refuse(map.line_of("columns"), what);
            }
        }
        columns
    }

    /// `index_transform: [{start, end}]`.
    pub(super) fn parts(&mut self, map: &Map<'_>) -> Told<Option<Vec<Part>>> {
        if !map.has("index_transform") {
            return Ok(None);
        }
        let mut parts = Vec::new();
        for part in self.maps(map, "index_transform") {
            self.known(&part, &["start", "end", "drop_right"], "index_transform");
            let arc = |number: f64| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "an arc's place"
                )]
                let arc = number.clamp(0.0, 128.0) as usize;
                arc
            };
            let start = self.number(&part, "start")?.map_or(0, arc);
            parts.push((start, self.number(&part, "end")?.map(arc)));
        }
        Ok(Some(parts))
    }

    pub(super) fn conditions(&mut self, map: &Map<'_>, names: Names<'_>) -> Told<Vec<Condition>> {
        let mut conditions = Vec::new();
        for one in self.maps(map, "where") {
            self.known(
                &one,
                &[
                    "column", "value", "equals", "not", "matches", "above", "below",
                ],
                "where",
            );
            let on = match one.text("column") {
                Some(name) if !names.has(name) => {
                    return self
                        .refuse(one.line, format!("where: {name} is not among the columns"));
                }
                Some(name) => Some(name.into()),
                None if one.has("value") => None,
                None => return self.refuse(one.line, "where without column or value".to_owned()),
            };
            let mut tests = Vec::new();
            let texts = |texts: Vec<String>| texts.into_iter().map(Into::into).collect();
            if one.has("equals") {
                tests.push(Test::Equals(texts(self.texts(&one, "equals"))));
            }
            if one.has("not") {
                tests.push(Test::Not(texts(self.texts(&one, "not"))));
            }
            if one.has("matches") {
                tests.push(Test::Matches(self.patterns(&one, "matches")?));
            }
            tests.extend(self.number(&one, "above")?.map(Test::Above));
            tests.extend(self.number(&one, "below")?.map(Test::Below));
            if tests.is_empty() {
                return self.refuse(
                    one.line,
                    "where tests nothing: equals, not, matches, above or below".to_owned(),
                );
            }
            conditions.push(Condition { on, tests });
        }
        Ok(conditions)
    }

    /// A text with names in braces, or several of which the first without gaps counts.
    pub(super) fn templates(
        &mut self,
        map: &Map<'_>,
        key: &str,
        names: Names<'_>,
    ) -> Vec<Template> {
        let line = map.line_of(key);
        let texts = self.texts(map, key);
        let mut templates = Vec::new();
        for text in texts {
            let template = Template::read(&text);
            for piece in &template.0 {
                if let Piece::Name(name) = piece
                    && !names.has(name)
                {
                    self.warn(line, format!("{key}: {{{name}}} is not among the columns"));
                }
            }
            templates.push(template);
        }
        templates
    }

    /// A word, or `{column, mapping, default}`.
    pub(super) fn pick<T: Clone>(
        &mut self,
        map: &Map<'_>,
        key: &str,
        names: Names<'_>,
        word: impl Fn(&str) -> Option<T>,
    ) -> Told<Option<Pick<T>>> {
        let Some(node) = map.get(key) else {
            return Ok(None);
        };
        let meant = |reader: &mut Self, node: &Node| match node.text().and_then(&word) {
            Some(meant) => Ok(meant),
            None => reader.refuse(node.line, format!("{key}: {} is not known", node.shown())),
        };
        let Some(by) = Map::of(node) else {
            return meant(self, node).map(|word| Some(Pick::Word(word)));
        };
        self.known(&by, &["column", "mapping", "default"], key);
        let column = by.text("column").unwrap_or_default();
        if !names.has(column) {
            return self.refuse(
                by.line,
                format!("{key}: column {column:?} is not among the columns"),
            );
        }
        let default = by
            .get("default")
            .map(|node| meant(self, node))
            .transpose()?;
        let Some(mapping) = self.mapping_of(&by, meant)? else {
            return Ok(Some(Pick::Text(column.into())));
        };
        Ok(Some(Pick::Column {
            column: column.into(),
            mapping,
            default,
        }))
    }
}

impl Template {
    /// Reads a text with names in braces.
    pub(super) fn read(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        let mut plain = String::new();
        while let Some(at) = rest.find('{') {
            plain.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let name = after.find('}').map(|end| &after[..end]);
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            match name {
                Some(name) if !name.is_empty() && name.chars().all(is_name) => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
                    }
                    pieces.push(Piece::Name(name.into()));
                    rest = &after[name.len() + 1..];
                }
                _ => {
                    plain.push('{');
                    rest = after;
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into()));
        }
        Self(pieces)
    }
}

/// Whether a node is a mapping.
pub(super) const fn is_map(node: &Node) -> bool {
    matches!(node.value, Value::Map(_))
}
