//! `metadata.device.fields`: who a device is.

use std::collections::BTreeMap;

use super::object::is_map;
use super::{Map, Reader, Told};
use crate::profile::model::{Choice, Fact, Piece, Source, Symbol, Template};

/// A field's names: ours, and those of the public format. The first that a profile has counts.
const FIELDS: &[(&str, Fact)] = &[
    ("vendor", Fact::Vendor),
    ("role", Fact::Role),
    ("type", Fact::Role),
    ("os", Fact::Os),
    ("os_name", Fact::Os),
    ("os_version", Fact::OsVersion),
    ("version", Fact::OsVersion),
    ("model", Fact::Model),
    ("product_name", Fact::Model),
    ("serial", Fact::Serial),
    ("serial_number", Fact::Serial),
    ("name", Fact::Name),
    ("location", Fact::Location),
];
/// Fields of the public format that are read elsewhere, from every device.
const READ_ELSEWHERE: &[&str] = &[
    "description",
    "sys_object_id",
    "bridge_base_address",
    "ospf_router_id",
    "lldp_loc_chassis_id",
    "lldp_loc_chassis_id_subtype",
    "lldp_loc_sys_name",
    "lldp_loc_sys_desc",
    "lldp_loc_sys_cap_supported",
    "lldp_loc_sys_cap_enabled",
    "hardware_version",
    "firmware_version",
    "os_hostname",
    "category",
];

impl Reader<'_> {
    pub(super) fn facts(&mut self, top: &Map<'_>) -> BTreeMap<Fact, Vec<Source>> {
        let mut facts = BTreeMap::new();
        let Some(metadata) = top.get("metadata").and_then(Map::of) else {
            return facts;
        };
        self.known(&metadata, &["device"], "metadata");
        let Some(device) = metadata.get("device").and_then(Map::of) else {
            return facts;
        };
        self.known(&device, &["fields"], "metadata.device");
        let Some(fields) = device.get("fields").and_then(Map::of) else {
            return facts;
        };
        // In our order of names, so that of two names for one fact the better one counts first.
        for (name, fact) in FIELDS {
            let Some(node) = fields.get(name) else {
                continue;
            };
            match Map::of(node) {
                Some(field) => {
                    let sources = self.sources(&field, name, *fact);
                    facts.entry(*fact).or_insert_with(Vec::new).extend(sources);
                }
                None => {
                    let _: Told<()> = self.refuse(
                        node.line,
                        format!("{name}: write {{value: …}} or {{symbols: […]}}"),
                    );
                }
            }
        }
        for (key, _) in fields.entries {
            let name = key.text.as_str();
            if !FIELDS.iter().any(|(field, _)| *field == name) && !READ_ELSEWHERE.contains(&name) {
                self.warn(key.line, format!("the field {name} is not known"));
            }
        }
        facts
    }

    fn sources(&mut self, field: &Map<'_>, name: &str, fact: Fact) -> Vec<Source> {
        let keys = [
            "value",
            "symbol",
            "symbols",
            "template",
            "symbols_all",
            "consumers",
            "mapping",
            "format",
        ];
        self.known(field, &keys, name);
        let mut sources = Vec::new();
        if field.has("symbols_all") {
            sources.extend(self.joined(field).ok());
        }
        for key in ["symbol", "symbols"] {
            for node in Self::items(field, key) {
                let Some(map) = Map::of(node) else {
                    let _: Told<()> =
                        self.refuse(node.line, format!("{name}: a symbol is {{OID, name}}"));
                    continue;
                };
                let source = if map.has("symbols_all") {
                    self.joined(&map)
                } else {
                    self.symbol(&map)
                        .map(|symbol| Source::Read(Box::new(symbol)))
                };
                sources.extend(source.ok());
            }
        }
        if let Some(word) = field
            .text("value")
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            if fact == Fact::Role && super::super::role(word).is_none() {
                self.warn(
                    field.line_of("value"),
                    format!("the role {word:?} is not one of ours"),
                );
            }
            sources.push(Source::Fixed(word.into()));
        }
        if sources.is_empty()
            && field.get("symbol").is_none_or(|node| !is_map(node))
            && !field.has("symbols")
        {
            self.warn(field.line, format!("{name} has neither value nor symbol"));
        }
        sources
    }

    fn joined(&mut self, map: &Map<'_>) -> Told<Source> {
        let keys = [
            "template",
            "symbols_all",
            "value",
            "symbol",
            "symbols",
            "consumers",
            "mapping",
            "name",
        ];
        self.known(map, &keys, "a joined text");
        let mut parts: Vec<Symbol> = Vec::new();
        for part in self.maps(map, "symbols_all") {
            parts.push(self.symbol(&part)?);
        }
        let template = match map.text("template") {
            Some(text) => Template::read(text),
            None => Template(
                parts
                    .iter()
                    .enumerate()
                    .flat_map(|(i, part)| {
                        let gap = (i > 0).then(|| Piece::Text(" ".into()));
                        gap.into_iter()
                            .chain([Piece::Name(part.object.name.clone())])
                    })
                    .collect(),
            ),
        };
        for piece in &template.0 {
            if let Piece::Name(name) = piece
                && !parts.iter().any(|part| part.object.name == *name)
            {
                return self.refuse(
                    map.line,
                    format!("template: {{{name}}} is not among symbols_all"),
                );
            }
        }
        Ok(Source::Joined { template, parts })
    }
}

impl Symbol {
    /// A scalar's instance, read as it stands.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        self.rows == Choice::Scalar
    }
}
