//! One file: its tree to what it says, with a note for everything that cannot be taken as it stands.
//!
//! - [`select`] which devices
//! - [`object`] objects, columns, conditions: what all sections share
//! - [`fact`] metadata
//! - [`rows`] sensors, storage, processors
//! - [`metric`] the public format's metrics

mod fact;
mod metric;
mod object;
mod rows;
mod select;

use std::sync::Arc;
use std::time::Duration;

use super::model::{Profile, Quirks};
use super::yaml::{self, Key, Node, Value};
use super::{Level, Note};

pub(super) use self::select::{OidPattern, Rule};

/// What a file says, without its parts.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// A part of others; never applies by itself.
    pub is_part: bool,
    /// Names of the parts it takes, and their line.
    pub extends: Vec<String>,
    pub extends_line: u32,
    pub rules: Vec<Rule>,
    pub profile: Profile,
}

/// Something was wrong, and has been noted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted;

type Told<T> = Result<T, Noted>;

/// Reads a file. What cannot be read is left out: the entry, never the file.
pub(super) fn file(name: &Arc<str>, text: &str, notes: &mut Vec<Note>) -> File {
    let mut reader = Reader {
        file: name,
        notes,
        left_out: Level::Error,
    };
    let mut file = File {
        is_part: name
            .rsplit('/')
            .next()
            .is_some_and(|base| base.starts_with('_')),
        ..File::default()
    };
    file.profile.name = Arc::clone(name);
    let mut twice = Vec::new();
    let tree = yaml::parse(text, &mut |key| twice.push(key.clone()));
    for key in twice {
        reader.warn(
            key.line,
            format!("{} stands twice, the later one counts", key.text),
        );
    }
    match tree {
        Err(error) => reader
            .refuse(error.line, format!("no YAML: {}", error.why))
            .unwrap_or(()),
        Ok(tree) if tree.is_null() => reader.warn(1, "an empty file".to_owned()),
        Ok(tree) => match Map::of(&tree) {
            None => reader
                .refuse(tree.line, "a mapping is meant".to_owned())
                .unwrap_or(()),
            Some(top) => reader.top(&top, &mut file),
        },
    }
    file
}

/// The entries of a mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map<'n> {
    pub line: u32,
    entries: &'n [(Key, Node)],
}

impl<'n> Map<'n> {
    fn of(node: &'n Node) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self {
                line: node.line,
                entries,
            }),
            _ => None,
        }
    }

    /// The value of a key; nothing where it is null.
    fn get(&self, key: &str) -> Option<&'n Node> {
        let (_, node) = self.entries.iter().find(|(had, _)| had.text == key)?;
        (!node.is_null()).then_some(node)
    }

    fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn text(&self, key: &str) -> Option<&'n str> {
        self.get(key)?.text()
    }

    fn line_of(&self, key: &str) -> u32 {
        self.entries
            .iter()
            .find(|(had, _)| had.text == key)
            .map_or(self.line, |(key, _)| key.line)
    }

    fn is_true(&self, key: &str) -> bool {
        self.text(key).is_some_and(|word| {
            matches!(
                word.to_ascii_lowercase().as_str(),
                "true" | "yes" | "on" | "1"
            )
        })
    }
}

/// Reads, and notes what is wrong.
struct Reader<'a> {
    file: &'a Arc<str>,
    notes: &'a mut Vec<Note>,
    /// How bad an entry is that has to be left out.
    left_out: Level,
}

const TOP: &[&str] = &[
    "extends",
    "selector",
    "metadata",
    "sensors",
    "storage",
    "processors",
    "metrics",
    "quirks",
    "generic",
    "instead_of",
    "description",
];
/// What the public format has, and this loader does not use.
const UNUSED: &[(&str, &str)] = &[
    (
        "topology",
        "neighbours, bridges and addresses are read from every device that has them",
    ),
    ("virtual_metrics", "sums of metrics are not computed"),
    ("bgp", "typed BGP peers are not read"),
    ("licensing", "licences are not read"),
    ("metric_tags", "labels of the whole device are not attached"),
    ("static_tags", "labels of the whole device are not attached"),
    (
        "sysobjectid_metadata",
        "categories by sysObjectID are not used",
    ),
    ("poll_interval", "stands beside a table"),
    ("actions", "actions are not read yet"),
];

impl Reader<'_> {
    fn top(&mut self, top: &Map<'_>, file: &mut File) {
        for (key, _) in top.entries {
            if let Some((_, why)) = UNUSED.iter().find(|(unused, _)| *unused == key.text) {
                self.warn(key.line, format!("{} is not used: {why}", key.text));
            } else if !TOP.contains(&key.text.as_str()) {
                self.warn(key.line, format!("{} is not known here", key.text));
            }
        }
        file.extends_line = top.line_of("extends");
        file.extends = self.texts(top, "extends");
        for map in self.maps(top, "selector") {
            file.rules.extend(self.rule(&map).ok());
        }
        if !file.is_part && file.rules.is_empty() {
            let line = top.line_of("selector");
            self.warn(line, "without a selector it never applies".to_owned());
        }
        let profile = &mut file.profile;
        profile.generic = top.is_true("generic");
        profile.instead_of = self.texts(top, "instead_of");
        profile.quirks = self.quirks(top);
        profile.facts = self.facts(top);
        for map in self.maps(top, "sensors") {
            profile
                .sensors
                .extend(self.sensor_rows(&map).ok().map(Arc::new));
        }
        for map in self.maps(top, "storage") {
            profile
                .storage
                .extend(self.storage_rows(&map).ok().map(Arc::new));
        }
        for map in self.maps(top, "processors") {
            profile
                .processors
                .extend(self.processor_rows(&map).ok().map(Arc::new));
        }
        // Public libraries have slips in their metrics; one metric less is no reason to call a file broken.
        self.left_out = Level::Warning;
        for map in self.maps(top, "metrics") {
            profile
                .metrics
                .extend(self.metric_rows(&map).ok().map(Arc::new));
        }
    }

    fn quirks(&mut self, top: &Map<'_>) -> Quirks {
        let Some(map) = top.get("quirks").and_then(Map::of) else {
            return Quirks::default();
        };
        self.known(&map, &["no_bulk", "max_repetitions", "timeout"], "quirks");
        Quirks {
            no_bulk: map.is_true("no_bulk"),
            max_repetitions: map.text("max_repetitions").and_then(|n| n.parse().ok()),
            timeout: self.duration(&map, "timeout"),
        }
    }

    /// `90`, `90s`, `5m`, `1h`.
    fn duration(&mut self, map: &Map<'_>, key: &str) -> Option<Duration> {
        let node = map.get(key)?;
        let text = node.text().unwrap_or_default().trim();
        let (number, unit) = text.split_at(
            text.find(|c: char| !c.is_ascii_digit())
                .unwrap_or(text.len()),
        );
        let seconds = match unit {
            "" | "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => 0,
        };
        match number.parse::<u64>() {
            Ok(number) if seconds > 0 && number > 0 => {
                Some(Duration::from_secs(number.saturating_mul(seconds)))
            }
            _ => {
                self.warn(
                    node.line,
                    format!("{key}: {} is no time such as 300s", node.shown()),
                );
                None
            }
        }
    }

    fn warn(&mut self, line: u32, what: String) {
        self.note(Level::Warning, line, what);
    }

    fn refuse<T>(&mut self, line: u32, what: String) -> Told<T> {
        self.note(self.left_out, line, what);
        Err(Noted)
    }

    fn note(&mut self, level: Level, line: u32, what: String) {
        self.notes.push(Note {
            level,
            file: Arc::clone(self.file),
            line,
            what,
        });
    }

    fn known(&mut self, map: &Map<'_>, keys: &[&str], place: &str) {
        for (key, _) in map.entries {
            if !keys.contains(&key.text.as_str()) {
                self.warn(key.line, format!("{} is not known in {place}", key.text));
            }
        }
    }

    /// The entries of a list, or the one thing that stands in its place.
    fn items<'n>(map: &Map<'n>, key: &str) -> &'n [Node] {
        match map.get(key) {
            None => &[],
            Some(node) => match &node.value {
                Value::List(items) => items,
                _ => std::slice::from_ref(node),
            },
        }
    }

    fn texts(&mut self, map: &Map<'_>, key: &str) -> Vec<String> {
        let mut out = Vec::new();
        for node in Self::items(map, key) {
            match node.text() {
                Some(text) => out.push(text.to_owned()),
                None if node.is_null() => {}
                None => self.warn(node.line, format!("{key}: {} is no text", node.shown())),
            }
        }
        out
    }

    fn maps<'n>(&mut self, map: &Map<'n>, key: &str) -> Vec<Map<'n>> {
        let mut out = Vec::new();
        for node in Self::items(map, key) {
            match Map::of(node) {
                Some(map) => out.push(map),
                None if node.is_null() => self.warn(node.line, format!("{key}: an empty entry")),
                None => {
                    let shown = node.shown();
                    self.note(
                        Level::Error,
                        node.line,
                        format!("{key}: a mapping is meant, not {shown}"),
                    );
                }
            }
        }
        out
    }

    fn number(&mut self, map: &Map<'_>, key: &str) -> Told<Option<f64>> {
        let Some(node) = map.get(key) else {
            return Ok(None);
        };
        let text = node.text().unwrap_or_default().replace('_', "");
        match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => self.refuse(node.line, format!("{key}: {} is no number", node.shown())),
        }
    }
}
