//! Many files: parts put together, and which profiles are for a device.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::model::Profile;
use super::read::{self, OidPattern, Rule};
use super::{Level, Note};
use crate::oid::Oid;

/// A profile's file.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path below its folder, with `/`.
    pub name: Arc<str>,
    /// Its YAML.
    pub text: Cow<'static, str>,
}

/// Profiles by the devices they are for. Only the selectors are kept in memory; a profile's body is read when a device
/// needs it and shared by all that do.
#[derive(Debug)]
pub struct Library {
    files: Vec<SourceFile>,
    by_name: HashMap<Arc<str>, usize>,
    selectors: Vec<Selector>,
    /// Those that were needed last, the latest at the end.
    bodies: Mutex<VecDeque<(usize, Arc<Profile>)>>,
}

/// Bodies kept: a site has a few kinds of devices.
const KEPT: usize = 48;

#[derive(Debug)]
struct Selector {
    file: usize,
    generic: bool,
    rules: Vec<Rule>,
}

/// A profile that is for a device.
#[derive(Clone, Debug)]
pub struct Applied {
    /// It, with its parts.
    pub profile: Arc<Profile>,
    /// What it was told by.
    pub why: String,
    /// Another one has its sensors, storage and processors, and better.
    pub is_silenced: bool,
}

/// What a device has at an OID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A value, as text.
    Value(String),
    /// None, but an object below it, as text.
    Below(String),
    /// Nothing.
    Nothing,
}

/// How well a rule fits: arcs named, exactly, further conditions.
type Fit = (usize, bool, usize);

impl Library {
    /// Takes folders of files, the most important first: a file hides one of the same name in a later folder.
    ///
    /// What is wrong with a file is noted and left out, never the file or the rest.
    #[must_use]
    pub fn load(folders: Vec<Vec<SourceFile>>) -> (Self, Vec<Note>) {
        let (mut notes, mut files, mut by_name) = (Vec::new(), Vec::new(), HashMap::new());
        for file in folders.into_iter().flatten() {
            if let std::collections::hash_map::Entry::Vacant(place) =
                by_name.entry(Arc::clone(&file.name))
            {
                place.insert(files.len());
                files.push(file);
            }
        }
        let mut this = Self {
            files,
            by_name,
            selectors: Vec::new(),
            bodies: Mutex::default(),
        };
        let mut parts: BTreeMap<usize, (Vec<String>, u32)> = BTreeMap::new();
        for (i, source) in this.files.iter().enumerate() {
            let mut file = read::file(&source.name, &source.text, &mut notes);
            file.rules.shrink_to_fit();
            if !file.is_part && !file.rules.is_empty() {
                this.selectors.push(Selector {
                    file: i,
                    generic: file.profile.generic,
                    rules: file.rules,
                });
            }
            parts.insert(i, (file.extends, file.extends_line));
        }
        this.check_parts(&parts, &mut notes);
        (this, notes)
    }

    /// How many profiles there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.selectors.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.selectors.is_empty()
    }

    /// What a device has to be asked before it is known which profiles are for it.
    #[must_use]
    pub fn questions(&self, id: Option<&Oid>, descr: &str) -> Vec<Oid> {
        let (dotted, low) = (dotted(id), descr.to_lowercase());
        let mut oids = Vec::new();
        for rule in self.selectors.iter().flat_map(|selector| &selector.rules) {
            if rule.fits_name(id, &dotted, descr, &low).is_some() {
                oids.extend(
                    rule.present
                        .iter()
                        .map(|(oid, _)| oid)
                        .chain(&rule.absent)
                        .cloned(),
                );
            }
        }
        oids.sort();
        oids.dedup();
        oids
    }

    /// The profiles for a device, the best first; `has` answers the [`questions`](Self::questions).
    pub fn applying(
        &self,
        id: Option<&Oid>,
        descr: &str,
        has: &mut dyn FnMut(&Oid) -> Presence,
    ) -> Vec<Applied> {
        let (dotted, low) = (dotted(id), descr.to_lowercase());
        let mut fitting = Vec::new();
        for selector in &self.selectors {
            // Of rules that fit equally well the first one is named.
            let best = selector
                .rules
                .iter()
                .filter_map(|rule| rule.fits(id, &dotted, descr, &low, has))
                .reduce(|best, next| if next.0 > best.0 { next } else { best });
            if let Some((fit, why)) = best {
                fitting.push((selector, fit, why));
            }
        }
        fitting.sort_by(|(a, fit_a, _), (b, fit_b, _)| {
            let names = || self.files[a.file].name.cmp(&self.files[b.file].name);
            a.generic
                .cmp(&b.generic)
                .then(fit_b.cmp(fit_a))
                .then_with(names)
        });
        let mut applied: Vec<Applied> = fitting
            .into_iter()
            .map(|(selector, _, why)| Applied {
                profile: self.body(selector.file),
                why,
                is_silenced: false,
            })
            .collect();
        let better: Vec<String> = applied
            .iter()
            .filter(|applied| !applied.profile.generic)
            .flat_map(|applied| applied.profile.instead_of.clone())
            .collect();
        for applied in &mut applied {
            applied.is_silenced = applied.profile.generic
                && better.iter().any(|name| **name == *applied.profile.name);
        }
        applied
    }

    /// A profile with its parts.
    fn body(&self, file: usize) -> Arc<Profile> {
        let mut kept = self.bodies.lock().expect("nobody panics with it");
        let body = match kept.iter().position(|(of, _)| *of == file) {
            Some(at) => kept.remove(at).expect("it was there").1,
            None => Arc::new(self.merged(file, &mut Vec::new())),
        };
        kept.push_back((file, Arc::clone(&body)));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        body
    }

    fn merged(&self, file: usize, trail: &mut Vec<usize>) -> Profile {
        let source = &self.files[file];
        // Its notes were taken when the library was loaded.
        let own = read::file(&source.name, &source.text, &mut Vec::new());
        let mut profile = own.profile;
        trail.push(file);
        let mut facts = BTreeMap::new();
        let mut parts = Vec::new();
        for name in &own.extends {
            let Some(part) = self
                .find(&source.name, name)
                .filter(|part| !trail.contains(part))
            else {
                continue;
            };
            let mut part = self.merged(part, trail);
            facts.append(&mut part.facts);
            parts.push(part);
        }
        trail.pop();
        // What a later part says counts before what an earlier one does, and what the file itself says before both.
        for part in parts.into_iter().rev() {
            profile.sensors.extend(part.sensors);
            profile.storage.extend(part.storage);
            profile.processors.extend(part.processors);
            profile.metrics.extend(part.metrics);
            profile.instead_of.extend(part.instead_of);
            let (quirks, of_part) = (&mut profile.quirks, part.quirks);
            quirks.no_bulk |= of_part.no_bulk;
            quirks.max_repetitions = quirks.max_repetitions.or(of_part.max_repetitions);
            quirks.timeout = quirks.timeout.or(of_part.timeout);
        }
        facts.append(&mut profile.facts);
        profile.facts = facts;
        profile
    }

    /// A part by its name: beside the file, by its path, or anywhere.
    fn find(&self, from: &str, name: &str) -> Option<usize> {
        let beside = match from.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{name}"),
            None => name.to_owned(),
        };
        let base = name.rsplit('/').next().unwrap_or(name);
        let found = self
            .by_name
            .get(beside.as_str())
            .or_else(|| self.by_name.get(name));
        found.copied().or_else(|| {
            self.files
                .iter()
                .position(|file| file.name.rsplit('/').next() == Some(base))
        })
    }

    /// Notes parts that are missing, and parts that contain themselves.
    fn check_parts(&self, parts: &BTreeMap<usize, (Vec<String>, u32)>, notes: &mut Vec<Note>) {
        for (file, (names, line)) in parts {
            for name in names {
                let what = match self.find(&self.files[*file].name, name) {
                    None => format!("extends {name}: there is no such file"),
                    Some(part) if self.leads_to(part, *file, parts, &mut Vec::new()) => {
                        format!("extends {name}: which extends this file again")
                    }
                    Some(_) => continue,
                };
                notes.push(Note {
                    level: Level::Error,
                    file: Arc::clone(&self.files[*file].name),
                    line: *line,
                    what,
                });
            }
        }
    }

    fn leads_to(
        &self,
        from: usize,
        to: usize,
        parts: &BTreeMap<usize, (Vec<String>, u32)>,
        seen: &mut Vec<usize>,
    ) -> bool {
        if from == to {
            return true;
        }
        if seen.contains(&from) {
            return false;
        }
        seen.push(from);
        parts[&from].0.iter().any(|name| {
            let part = self.find(&self.files[from].name, name);
            part.is_some_and(|part| self.leads_to(part, to, parts, seen))
        })
    }
}

impl Rule {
    /// Whether sysObjectID and sysDescr fit, and how well.
    fn fits_name(
        &self,
        id: Option<&Oid>,
        dotted: &str,
        descr: &str,
        low: &str,
    ) -> Option<(Fit, Vec<String>)> {
        let (mut fit, mut why) = ((0, false, 0), Vec::new());
        if !self.oids.is_empty() {
            let id = id?;
            let best = self
                .oids
                .iter()
                .filter(|entry| entry.pattern.hits(id, dotted))
                .max_by_key(|entry| {
                    (
                        entry.pattern.arcs(),
                        matches!(entry.pattern, OidPattern::Exact(_)),
                    )
                })?;
            if self
                .other_oids
                .iter()
                .any(|entry| entry.pattern.hits(id, dotted))
            {
                return None;
            }
            // A number that many makers borrow says little: then what else was found out decides.
            if !is_borrowed(id) {
                fit.0 = best.pattern.arcs();
                fit.1 = matches!(best.pattern, OidPattern::Exact(_));
            }
            why.push(format!("sysObjectID {}", best.text));
        }
        if !self.descr.is_empty() {
            let word = self.descr.iter().find(|word| low.contains(word.as_str()))?;
            why.push(format!("sysDescr has {word:?}"));
        }
        if !self.descr_matches.is_empty() {
            let pattern = self
                .descr_matches
                .iter()
                .find(|pattern| pattern.is_in(descr))?;
            why.push(format!("sysDescr matches {}", pattern.as_str()));
        }
        if self
            .other_descr
            .iter()
            .any(|word| low.contains(word.as_str()))
        {
            return None;
        }
        fit.2 = usize::from(self.has_descr) + self.present.len() + self.absent.len();
        Some((fit, why))
    }

    fn fits(
        &self,
        id: Option<&Oid>,
        dotted: &str,
        descr: &str,
        low: &str,
        has: &mut dyn FnMut(&Oid) -> Presence,
    ) -> Option<(Fit, String)> {
        let (fit, mut why) = self.fits_name(id, dotted, descr, low)?;
        for (oid, pattern) in &self.present {
            let text = match has(oid) {
                Presence::Value(text) if !text.trim().is_empty() => text,
                Presence::Below(text) => text,
                Presence::Value(_) | Presence::Nothing => return None,
            };
            if pattern
                .as_ref()
                .is_some_and(|pattern| !pattern.is_in(&text))
            {
                return None;
            }
            why.push(format!("has {oid}"));
        }
        for oid in &self.absent {
            match has(oid) {
                Presence::Value(text) if text.trim().is_empty() => {}
                Presence::Nothing => {}
                _ => return None,
            }
            why.push(format!("lacks {oid}"));
        }
        Some((fit, why.join(", ")))
    }
}

/// Net-SNMP's and UCD's numbers: appliances of many makers answer with them.
const BORROWED: [Oid; 2] = [
    Oid::of(&[1, 3, 6, 1, 4, 1, 8072]),
    Oid::of(&[1, 3, 6, 1, 4, 1, 2021]),
];

fn is_borrowed(id: &Oid) -> bool {
    BORROWED.iter().any(|root| id.starts_with(root))
}

fn dotted(id: Option<&Oid>) -> String {
    id.map(Oid::to_string).unwrap_or_default()
}
