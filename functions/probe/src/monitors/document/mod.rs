//! Documents: JSON, or the part of YAML that JSON has too, each value with its place in the text.
//!
//! Monitors files and the bodies of answers are both read into a [`Node`]. Numbers keep their exact value: neither reader
//! goes through a 64-bit float.

mod json;
mod number;
mod yaml;

use std::fmt;

pub(crate) use self::{json::parse as parse_json, number::Number};

/// How deep lists and mappings may be nested.
const MAX_DEPTH: usize = 128;

/// A value and where it starts.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// A place in a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: u32,
    /// From 1, in characters.
    pub(crate) column: u32,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Map),
    /// A value of YAML that JSON does not have, as it is written: `.inf` or `.nan`.
    NotJson(String),
}

/// A mapping, sorted by its names, each of which it has once.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Map(Vec<Entry>);

/// A name and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Where the name stands.
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// A mistake and its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong, and what is allowed.
    pub text: String,
}

/// A text that was read, with mistakes that a reader of a file must know of, while a reader of an answer need not:
/// names that are there twice, or escapes that are half a character.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) documents: Vec<Node>,
    pub(crate) mistakes: Vec<Mistake>,
}

/// Reads a monitors file: JSON, or YAML.
///
/// Most JSON is YAML too, but not all of it: the reader of YAML takes no surrogate pairs and not every tab. So a text that
/// may be JSON is read as that first.
///
/// # Errors
/// It is neither. Of the two reasons, that of the reader which came further.
pub(crate) fn parse(text: &str) -> Result<Parsed, Mistake> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let json = without_marks(text);
    if !json.trim_start().starts_with(['{', '[']) {
        return yaml::parse(text);
    }
    parse_json(&json, usize::MAX).or_else(|not_json| {
        yaml::parse(text).map_err(|not_yaml| {
            let place = |mistake: &Mistake| (mistake.line, mistake.column);
            if place(&not_json) > place(&not_yaml) {
                Mistake { text: format!("this is {}", not_json.text), ..not_json }
            } else {
                not_yaml
            }
        })
    })
}

/// Blanks in the place of what YAML allows around JSON: lines of comments, and the marks of a document. In JSON, no line
/// begins with `#` or `...`.
fn without_marks(text: &str) -> String {
    let blanks =
        |text: &str| text.chars().map(|character| if character == '\n' { '\n' } else { ' ' }).collect::<String>();
    let mut is_before = true;
    let mut json = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if trimmed.starts_with('#') || (!is_before && trimmed == "...") {
            json.push_str(&blanks(line));
        } else if let Some(rest) =
            line.strip_prefix("---").filter(|rest| is_before && rest.trim_start().len() < rest.len())
        {
            is_before = false;
            json.push_str("   ");
            json.push_str(rest);
        } else {
            is_before &= trimmed.is_empty();
            json.push_str(line);
        }
    }
    json
}

impl Node {
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        match &self.value {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn as_integer(&self) -> Option<i64> {
        match &self.value {
            Value::Number(number) => number.as_integer(),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(nodes) => Some(nodes),
            _ => None,
        }
    }

    pub(crate) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The value of a name, if this is a mapping that has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.as_map()?.get(name)
    }

    /// What it is, for a message to someone who wrote something else.
    pub(crate) fn kind(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Text(text) => format!("{text:?}"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::NotJson(text) => text.clone(),
        }
    }

    /// Calls `visit` with each text in it that is a value.
    pub(crate) fn each_text(&self, visit: &mut impl FnMut(&str)) {
        match &self.value {
            Value::Text(text) => visit(text),
            Value::List(nodes) => nodes.iter().for_each(|node| node.each_text(visit)),
            Value::Map(map) => map.entries().iter().for_each(|entry| entry.node.each_text(visit)),
            _ => {}
        }
    }

    /// The first value in it that JSON does not have.
    pub(crate) fn not_json(&self) -> Option<&Node> {
        match &self.value {
            Value::NotJson(_) => Some(self),
            Value::List(nodes) => nodes.iter().find_map(Self::not_json),
            Value::Map(map) => map.entries().iter().find_map(|entry| entry.node.not_json()),
            _ => None,
        }
    }
}

impl PartialEq for Node {
    /// Whether the values are the same, wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.node == other.node
    }
}

impl Map {
    /// Sorts entries by name. Of several with one name, the last stays, and the others are returned.
    fn new(mut entries: Vec<Entry>) -> (Self, Vec<Entry>) {
        // Stable: those of one name stay in the order of the text.
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let mut twice = Vec::new();
        let mut unique: Vec<Entry> = Vec::with_capacity(entries.len());
        for entry in entries {
            match unique.last_mut() {
                Some(last) if last.name == entry.name => twice.push(std::mem::replace(last, entry)),
                _ => unique.push(entry),
            }
        }
        (Self(unique), twice)
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        let index = self.0.binary_search_by(|entry| entry.name.as_str().cmp(name)).ok()?;
        self.0.get(index).map(|entry| &entry.node)
    }
}

impl Place {
    pub(super) fn mistake(self, text: impl Into<String>) -> Mistake {
        Mistake { line: self.line as usize, column: self.column as usize, text: text.into() }
    }
}

/// The mistake of a name that is there twice, at the place of the later one.
fn twice(map: &Map, earlier: &Entry) -> Mistake {
    let later = map.entries().iter().find(|entry| entry.name == earlier.name).unwrap_or(earlier);
    later.place.mistake(format!("{:?} is a key of line {} already: expected it once", earlier.name, earlier.place.line))
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.line, self.column, self.text)
    }
}

impl fmt::Display for Node {
    /// Compact JSON.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Null => formatter.write_str("null"),
            Value::Bool(value) => value.fmt(formatter),
            Value::Number(number) => number.fmt(formatter),
            Value::Text(text) => serde_json::Value::from(text.as_str()).fmt(formatter),
            Value::List(nodes) => {
                formatter.write_str("[")?;
                for (index, node) in nodes.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(formatter, "{comma}{node}")?;
                }
                formatter.write_str("]")
            }
            Value::Map(map) => {
                formatter.write_str("{")?;
                for (index, Entry { name, node, .. }) in map.entries().iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(formatter, "{comma}{}:{node}", serde_json::Value::from(name.as_str()))?;
                }
                formatter.write_str("}")
            }
            Value::NotJson(text) => formatter.write_str(text),
        }
    }
}
