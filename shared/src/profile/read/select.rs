//! Selectors: which devices a profile is for.

use super::{Map, Reader, Told};
use crate::oid::Oid;
use crate::profile::pattern::Pattern;

/// One way to be meant; all its conditions must hold.
#[derive(Clone, Debug, Default)]
pub(in crate::profile) struct Rule {
    pub oids: Vec<Entry>,
    pub other_oids: Vec<Entry>,
    /// In lower case; one of them occurs in `sysDescr`.
    pub descr: Vec<String>,
    pub descr_matches: Vec<Pattern>,
    /// In lower case; none of them does.
    pub other_descr: Vec<String>,
    pub has_descr: bool,
    pub present: Vec<(Oid, Option<Pattern>)>,
    pub absent: Vec<Oid>,
}

/// An entry of `sysobjectid`, as it was written and as it counts.
#[derive(Clone, Debug)]
pub(in crate::profile) struct Entry {
    pub text: String,
    pub pattern: OidPattern,
}

#[derive(Clone, Debug)]
pub(in crate::profile) enum OidPattern {
    Exact(Oid),
    /// It and everything below.
    Below(Oid),
    /// On the dotted text; how many arcs it names at its beginning.
    Matches(Pattern, usize),
}

impl OidPattern {
    /// Whether it means an OID; `dotted` is that OID as text.
    pub(in crate::profile) fn hits(&self, oid: &Oid, dotted: &str) -> bool {
        match self {
            Self::Exact(exact) => oid == exact,
            Self::Below(root) => oid.starts_with(root),
            Self::Matches(pattern, _) => pattern.is_in(dotted),
        }
    }

    /// How many arcs it names.
    pub(in crate::profile) fn arcs(&self) -> usize {
        match self {
            Self::Exact(oid) | Self::Below(oid) => oid.arcs().count(),
            Self::Matches(_, arcs) => *arcs,
        }
    }
}

impl Reader<'_> {
    pub(super) fn rule(&mut self, map: &Map<'_>) -> Told<Rule> {
        self.known(
            map,
            &["sysobjectid", "sysdescr", "present", "absent"],
            "a selector",
        );
        let mut rule = Rule::default();
        if let Some(node) = map.get("sysobjectid") {
            match Map::of(node) {
                Some(ids) => {
                    self.known(&ids, &["include", "exclude"], "sysobjectid");
                    rule.oids = self.entries(&ids, "include")?;
                    rule.other_oids = self.entries(&ids, "exclude")?;
                }
                None => rule.oids = self.entries(map, "sysobjectid")?,
            }
            if rule.oids.is_empty() {
                return self.refuse(node.line, "sysobjectid without include".to_owned());
            }
        }
        if let Some(node) = map.get("sysdescr") {
            let Some(descr) = Map::of(node) else {
                return self.refuse(
                    node.line,
                    "sysdescr: include, matches or exclude is meant".to_owned(),
                );
            };
            self.known(&descr, &["include", "matches", "exclude"], "sysdescr");
            rule.has_descr = true;
            rule.descr = lower(self.texts(&descr, "include"));
            rule.other_descr = lower(self.texts(&descr, "exclude"));
            rule.descr_matches = self.patterns(&descr, "matches")?;
        }
        for one in self.maps(map, "present") {
            self.known(&one, &["OID", "name", "MIB", "matches"], "present");
            let pattern = self.pattern(&one, "matches")?;
            rule.present.push((self.oid(&one, "OID")?, pattern));
        }
        for one in self.maps(map, "absent") {
            self.known(&one, &["OID", "name", "MIB"], "absent");
            rule.absent.push(self.oid(&one, "OID")?);
        }
        if rule.oids.is_empty() && !rule.has_descr && rule.present.is_empty() {
            return self.refuse(map.line, "a selector without a condition".to_owned());
        }
        Ok(rule)
    }

    fn entries(&mut self, map: &Map<'_>, key: &str) -> Told<Vec<Entry>> {
        let line = map.line_of(key);
        let mut entries = Vec::new();
        for text in self.texts(map, key) {
            let plain = text.trim();
            let dotless = plain.strip_prefix('.').unwrap_or(plain);
            let pattern = if let Ok(oid) = dotless.parse() {
                OidPattern::Exact(oid)
            } else if let Some(Ok(root)) = dotless.strip_suffix(".*").map(str::parse) {
                OidPattern::Below(root)
            } else {
                match Pattern::new(dotless) {
                    Ok(pattern) => OidPattern::Matches(pattern, arcs_at_start(dotless)),
                    Err(why) => {
                        return self.refuse(line, format!("sysobjectid {plain:?}: {why}"));
                    }
                }
            };
            entries.push(Entry {
                text: plain.to_owned(),
                pattern,
            });
        }
        Ok(entries)
    }
}

/// How many arcs a regular expression names before anything else.
fn arcs_at_start(pattern: &str) -> usize {
    let mut rest = pattern.strip_prefix('^').unwrap_or(pattern);
    let mut arcs = 0;
    loop {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let after = &rest[digits..];
        let dot = after
            .strip_prefix("\\.")
            .or_else(|| after.strip_prefix('.'));
        match dot {
            Some(after) if digits > 0 => (rest, arcs) = (after, arcs + 1),
            _ => return arcs,
        }
    }
}

fn lower(texts: Vec<String>) -> Vec<String> {
    texts.into_iter().map(|text| text.to_lowercase()).collect()
}
