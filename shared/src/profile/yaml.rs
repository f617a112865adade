//! YAML as people write it: every scalar is text, whatever it looks like, and knows its line.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Deeper documents are refused.
const DEEPEST: usize = 40;
/// More nodes are refused: aliases of aliases grow without end.
const MOST_NODES: usize = 400_000;

/// A value of a document and the line it begins on (from 1).
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub line: u32,
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing, `~` or `null`, without quotes.
    Null,
    /// Any other scalar.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys in the order of the document, each once.
    Map(Vec<(Key, Node)>),
}

/// A key, with its line.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub line: u32,
    pub text: String,
}

/// Why a text is no document that can be read.
#[derive(Debug)]
pub(super) struct YamlError {
    pub line: u32,
    pub why: String,
}

/// The first document of a text; `Null` for an empty one. `twice` hears of keys that stand twice (the later counts).
pub(super) fn parse(text: &str, twice: &mut dyn FnMut(&Key)) -> Result<Node, YamlError> {
    // A tab is no indentation, but some write one before a comment or at the end of a line.
    let untabbed;
    let text = if text.contains('\t') {
        untabbed = text.replace('\t', " ");
        untabbed.as_str()
    } else {
        text
    };
    let mut tree = Tree {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
        twice,
    };
    loop {
        let (event, span) = tree.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => {
                return Ok(Node {
                    line: 1,
                    value: Value::Null,
                });
            }
            event => return tree.node(event, span, 0),
        }
    }
}

struct Tree<'a, 'f> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    twice: &'f mut dyn FnMut(&Key),
}

impl<'a> Tree<'a, '_> {
    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(YamlError {
                line: line(error.marker().line()),
                why: error.info().to_owned(),
            }),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, YamlError> {
        let at = line(span.start.line());
        let refused = |why: &str| YamlError {
            line: at,
            why: why.to_owned(),
        };
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(refused("this document is too large"));
        }
        if depth > DEEPEST {
            return Err(refused("this document is nested too deeply"));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let nothing = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if nothing {
                    Value::Null
                } else {
                    Value::Text(text.into_owned())
                };
                (value, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    items.push(self.node(event, span, depth + 1)?);
                }
                (Value::List(items), anchor)
            }
            Event::MappingStart(anchor, _) => (Value::Map(self.map(depth)?), anchor),
            Event::Alias(anchor) => {
                let meant = self.anchors.get(&anchor);
                let meant = meant.ok_or_else(|| refused("an alias of nothing"))?.clone();
                self.nodes += meant.size();
                return Ok(meant);
            }
            _ => return Err(refused("the document ends in the middle")),
        };
        let node = Node { line: at, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, YamlError> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, ..) => Key {
                    line: line(span.start.line()),
                    text: text.into_owned(),
                },
                _ => {
                    return Err(YamlError {
                        line: line(span.start.line()),
                        why: "a key that is not a word".to_owned(),
                    });
                }
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if key.text == "<<" {
                merged.push(value);
                continue;
            }
            if let Some(place) = entries.iter_mut().find(|(had, _)| had.text == key.text) {
                (self.twice)(&key);
                place.1 = value;
            } else {
                entries.push((key, value));
            }
        }
        // What is merged in stands behind what is said here.
        for node in merged {
            let maps = match node.value {
                Value::List(items) => items,
                _ => vec![node],
            };
            for map in maps {
                let Value::Map(more) = map.value else {
                    continue;
                };
                for (key, value) in more {
                    if !entries.iter().any(|(had, _)| had.text == key.text) {
                        entries.push((key, value));
                    }
                }
            }
        }
        Ok(entries)
    }
}

impl Node {
    /// As text; nothing for what is null, a list or a map.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) const fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// What a message shows of it.
    pub(super) fn shown(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Text(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::List(items) => items.iter().map(Self::size).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| node.size()).sum(),
            _ => 0,
        }
    }
}

fn line(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        parse(text, &mut |_| {}).unwrap()
    }

    fn at<'a>(node: &'a Node, key: &str) -> &'a Node {
        let Value::Map(entries) = &node.value else {
            panic!("{node:?}");
        };
        &entries.iter().find(|(k, _)| k.text == key).unwrap().1
    }

    #[test]
    fn every_scalar_is_text_and_knows_its_line() {
        let doc = tree("a: on\nb: 1.10\nc:\n  1: yes\n  2: ~\nd: '~'\n");
        assert_eq!(at(&doc, "a").text(), Some("on"));
        assert_eq!(at(&doc, "b").text(), Some("1.10"));
        assert_eq!(at(at(&doc, "c"), "1").text(), Some("yes"));
        assert!(at(at(&doc, "c"), "2").is_null());
        assert_eq!(at(&doc, "d").text(), Some("~"));
        assert_eq!(at(at(&doc, "c"), "1").line, 4);
    }

    #[test]
    fn aliases_and_merges_are_followed_and_bombs_are_not() {
        let doc = tree("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n");
        assert_eq!(at(at(&doc, "use"), "x").text(), Some("1"));
        assert_eq!(at(at(&doc, "use"), "y").text(), Some("3"));
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            let list = vec![below; 9].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert!(parse(&bomb, &mut |_| {}).is_err());
    }

    #[test]
    fn a_key_twice_is_told_and_the_later_one_counts() {
        let mut told = Vec::new();
        let doc = parse("a: 1\nb: 2\na: 3\n", &mut |key| told.push(key.line)).unwrap();
        assert_eq!((at(&doc, "a").text(), told), (Some("3"), vec![3]));
    }
}
