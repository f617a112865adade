//! Patterns of profiles: RE2's language without Unicode classes, each compiled when it is first needed.

use std::sync::OnceLock;

use regex_lite::Regex;

/// A pattern that has been proven to compile.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<str>,
    compiled: OnceLock<Regex>,
}

impl Pattern {
    /// Takes a pattern as it stands in a profile.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn new(text: &str) -> Result<Self, String> {
        compile(text)?;
        Ok(Self {
            text: text.into(),
            compiled: OnceLock::new(),
        })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it occurs in a text.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.regex().is_match(text)
    }

    /// The first group that took part; without groups the whole match.
    #[must_use]
    pub fn extract<'t>(&self, text: &'t str) -> Option<&'t str> {
        let found = self.regex().captures(text)?;
        match found.len() {
            1 => found.get(0),
            _ => found.iter().skip(1).find_map(|group| group),
        }
        .map(|group| group.as_str())
    }

    /// A template with `$1` or `${1}` filled from the first match; `None` without one.
    #[must_use]
    pub fn rewrite(&self, text: &str, template: &str) -> Option<String> {
        let found = self.regex().captures(text)?;
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            let (number, after) = match after.strip_prefix('{').and_then(|a| a.split_once('}')) {
                Some((number, after)) => (number, after),
                None => after.split_at(
                    after
                        .find(|c: char| !c.is_ascii_digit())
                        .unwrap_or(after.len()),
                ),
            };
            match number.parse::<usize>() {
                Ok(group) => out.push_str(found.get(group).map_or("", |group| group.as_str())),
                Err(_) => {
                    out.push('$');
                    rest = &rest[at + 1..];
                    continue;
                }
            }
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    }

    fn regex(&self) -> &Regex {
        self.compiled
            .get_or_init(|| compile(&self.text).expect("it was compiled once when it was read"))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    // RE2 writes a named group with a P; both stand for the same.
    regex_lite::RegexBuilder::new(text)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| {
            error
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .trim()
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_templates_and_whole_matches() {
        let version = Pattern::new(r"Version ([\d.]+)|V([\d.]+)").unwrap();
        assert_eq!(version.extract("IOS Version 12.4, x"), Some("12.4"));
        assert_eq!(version.extract("V7.1"), Some("7.1"));
        assert_eq!(version.extract("none"), None);
        assert_eq!(Pattern::new(r"\d+").unwrap().extract("a 12"), Some("12"));
        let two = Pattern::new(r"(\w+)-(\w+)").unwrap();
        assert_eq!(
            two.rewrite("ab-cd!", "${2}/$1 $9 $").as_deref(),
            Some("cd/ab  $")
        );
        assert_eq!(two.rewrite("nothing", "$1"), None);
    }

    #[test]
    fn what_re2_has_not_is_refused() {
        for bad in [r"(?=x)", r"(a)\1", "[", "(?<!x)y"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }
}
