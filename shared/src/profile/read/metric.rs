//! The public format's metrics: scalars, and rows of tables with tags.

use super::object::OBJECT;
use super::{Map, Reader, Told};
use crate::profile::model::{MetricRows, MetricSymbol, MetricType, Rows, Tag, TagFrom};

impl Reader<'_> {
    pub(super) fn metric_rows(&mut self, map: &Map<'_>) -> Told<MetricRows> {
        let keys = [
            "MIB",
            "symbol",
            "table",
            "symbols",
            "metric_tags",
            "metric_type",
            "poll_interval",
            "where",
            "columns",
            "chart_meta",
            "description",
            "family",
            "consumers",
            "OID",
            "name",
            "scale_factor",
            "static_tags",
        ];
        self.known(map, &keys, "a metric");
        let kind = self.metric_type(map);
        let mut rows = Rows {
            file: self.file.clone(),
            is_table: false,
            columns: Vec::new(),
            conditions: Vec::new(),
            names: Vec::new(),
            every: self.duration(map, "poll_interval"),
        };
        if let Some(symbol) = map.get("symbol") {
            let symbol = match Map::of(symbol) {
                Some(symbol) => self.metric_symbol(&symbol, kind)?,
                // The old form: the OID beside the name.
                None => {
                    let mut read = self.metric_symbol(map, kind)?;
                    read.object.name = symbol.text().unwrap_or_default().into();
                    read
                }
            };
            return Ok(MetricRows {
                rows,
                symbols: vec![symbol],
                tags: Vec::new(),
            });
        }
        let Some(table) = map.get("table") else {
            return self.refuse(map.line, "a metric without symbol or table".to_owned());
        };
        match Map::of(table) {
            Some(table) if table.has("OID") => {
                self.known(&table, &["OID", "name", "MIB"], "table");
                let _ = self.oid(&table, "OID");
            }
            Some(table) => self.warn(table.line, "a table without OID".to_owned()),
            None => {}
        }
        rows.is_table = true;
        rows.columns = self.columns(map);
        rows.conditions = self.conditions(
            map,
            super::object::Names {
                columns: &rows.columns,
                values: &[],
            },
        )?;
        let symbols: Vec<_> = self
            .maps(map, "symbols")
            .iter()
            .filter_map(|symbol| self.metric_symbol(symbol, kind).ok())
            .collect();
        let tags = self
            .maps(map, "metric_tags")
            .iter()
            .filter_map(|tag| self.tag(tag).ok())
            .collect();
        Ok(MetricRows {
            rows,
            symbols,
            tags,
        })
    }

    fn metric_type(&mut self, map: &Map<'_>) -> Option<MetricType> {
        let word = map.text("metric_type")?;
        let kind = MetricType::from_word(word);
        if kind.is_none() {
            self.warn(
                map.line_of("metric_type"),
                format!("metric_type {word:?} is not known"),
            );
        }
        kind
    }

    fn metric_symbol(&mut self, map: &Map<'_>, kind: Option<MetricType>) -> Told<MetricSymbol> {
        self.known(
            map,
            &[
                OBJECT,
                &[
                    "scale_factor",
                    "transform",
                    "constant_value_one",
                    "symbol",
                    "tag",
                    "metric_tags",
                    "table",
                    "symbols",
                    "poll_interval",
                ],
            ]
            .concat(),
            "a metric's symbol",
        );
        if let Some(node) = map.get("transform") {
            let line = node.line;
            self.warn(
                line,
                "transform: templates are not run; the value is taken as it is".to_owned(),
            );
        }
        let unit = map.get("chart_meta").and_then(Map::of);
        Ok(MetricSymbol {
            object: self.object(map)?,
            scale: self.number(map, "scale_factor")?.unwrap_or(1.0),
            unit: unit.and_then(|chart| chart.text("unit").map(Into::into)),
            is_one: map.is_true("constant_value_one"),
            kind: self.metric_type(map).or(kind),
        })
    }

    fn tag(&mut self, map: &Map<'_>) -> Told<Tag> {
        let keys = [
            "tag",
            "symbol",
            "table",
            "index",
            "index_transform",
            "mapping",
            "mapping_ref",
            "MIB",
            "OID",
            "description",
            "match",
            "tags",
            "column",
        ];
        self.known(map, &keys, "a metric's tag");
        for unused in ["match", "tags", "mapping_ref"] {
            if map.has(unused) {
                self.warn(
                    map.line_of(unused),
                    format!("{unused} of a tag is not used"),
                );
            }
        }
        let mapping = self.mapping(map)?;
        let parts = self.parts(map)?;
        let mut name: Box<str> = map.text("tag").unwrap_or_default().into();
        let from = match (
            map.get("symbol").and_then(Map::of),
            self.number(map, "index")?,
        ) {
            (Some(symbol), _) => {
                self.known(
                    &symbol,
                    &[OBJECT, &["scale_factor"]].concat(),
                    "a tag's symbol",
                );
                let object = self.object(&symbol)?;
                if name.is_empty() {
                    name.clone_from(&object.name);
                }
                TagFrom::Object(Box::new(object))
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "an arc's place"
            )]
            (None, Some(index)) => TagFrom::Index(index.clamp(0.0, 128.0) as usize),
            (None, None) if parts.is_some() => TagFrom::Parts,
            (None, None) => {
                return self.refuse(map.line, "a tag without symbol or index".to_owned());
            }
        };
        Ok(Tag {
            name,
            from,
            parts,
            mapping,
        })
    }
}
