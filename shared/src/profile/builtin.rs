//! The profiles that are compiled in, and the registry of enterprise numbers.

use std::borrow::Cow;
use std::sync::Arc;

use super::SourceFile;
use crate::oid::Oid;

include!(concat!(env!("OUT_DIR"), "/profiles.rs"));

/// IANA's private enterprise numbers: number, tab, the name as people say it; ascending.
const ENTERPRISES: &str = include_str!("../../profiles/enterprises.tsv");
/// `1.3.6.1.4.1`: what follows is the enterprise.
const PRIVATE: Oid = Oid::of(&[1, 3, 6, 1, 4, 1]);

/// The library that comes with the program.
#[must_use]
pub fn files() -> Vec<SourceFile> {
    FILES
        .iter()
        .map(|(name, text)| SourceFile {
            name: Arc::from(*name),
            text: Cow::Borrowed(*text),
        })
        .collect()
}

/// Who registered the number under which a device's `sysObjectID` lies.
#[must_use]
pub fn enterprise(id: &Oid) -> Option<&'static str> {
    if !id.starts_with(&PRIVATE) {
        return None;
    }
    let number = id.arcs().nth(6)?;
    ENTERPRISES.lines().find_map(|line| {
        let (registered, name) = line.split_once('\t')?;
        (registered.parse() == Ok(number)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Level, Library};

    #[test]
    fn nothing_is_wrong_with_what_comes_with_the_program() {
        let (library, notes) = Library::load(vec![files()]);
        let texts: Vec<String> = notes.iter().map(ToString::to_string).collect();
        assert!(texts.is_empty(), "{}", texts.join("\n"));
        assert!(notes.iter().all(|note| note.level != Level::Error));
        assert!(library.len() > 100, "{}", library.len());
    }

    #[test]
    fn enterprises_are_known_by_the_names_people_say() {
        for (id, name) in [
            ("1.3.6.1.4.1.9.1.1", "Cisco"),
            ("1.3.6.1.4.1.2636.1", "Juniper"),
        ] {
            assert_eq!(enterprise(&id.parse().unwrap()), Some(name));
        }
        assert_eq!(enterprise(&"1.3.6.1.2.1.1".parse().unwrap()), None);
    }
}
