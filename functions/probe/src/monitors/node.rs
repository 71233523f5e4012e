//! YAML with places: whatever is read from it knows where it stands, so that a mistake says line and column, and all of
//! them are found in one reading.

use std::{collections::BTreeSet, fmt};

use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};

/// A node and its place.
pub(super) type Node<'text> = MarkedYaml<'text>;

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

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.line, self.column, self.text)
    }
}

/// The mistakes found so far, each once, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    found: BTreeSet<Mistake>,
}

impl Mistakes {
    pub(super) fn at(&mut self, node: &Node<'_>, text: impl Into<String>) {
        let (line, column) = (node.span.start.line(), node.span.start.col() + 1);
        self.found.insert(Mistake { line, column, text: text.into() });
    }

    /// The value of a result, or its error as a mistake.
    pub(super) fn check<T>(&mut self, node: &Node<'_>, result: Result<T, String>) -> Option<T> {
        result.map_err(|error| self.at(node, error)).ok()
    }

    pub(super) fn finish(self) -> Vec<Mistake> {
        self.found.into_iter().collect()
    }
}

/// The documents of a text.
pub(super) fn parse(text: &str) -> Result<Vec<Node<'_>>, Mistake> {
    Node::load_from_str(text).map_err(|error| Mistake {
        line: error.marker().line(),
        column: error.marker().col() + 1,
        text: format!("this is not YAML: {}", error.info()),
    })
}

/// What a node is, for whoever expected something else.
pub(super) fn kind(node: &Node<'_>) -> String {
    match &node.data {
        YamlData::Value(Scalar::Null) => "nothing".to_owned(),
        YamlData::Value(Scalar::Boolean(value)) => value.to_string(),
        YamlData::Value(Scalar::Integer(value)) => value.to_string(),
        YamlData::Value(Scalar::FloatingPoint(value)) => value.to_string(),
        YamlData::Value(Scalar::String(value)) => format!("{value:?}"),
        YamlData::Sequence(_) => "a list".to_owned(),
        YamlData::Mapping(_) => "a mapping".to_owned(),
        _ => "something else".to_owned(),
    }
}

/// The keys of a mapping, as they are asked for.
pub(super) struct Fields<'node, 'text> {
    what: &'static str,
    own: &'node Node<'text>,
    defaults: Option<&'node Node<'text>>,
    known: Vec<&'static str>,
}

impl<'node, 'text> Fields<'node, 'text> {
    /// Reads a mapping, whose missing keys come from `defaults`.
    pub(super) fn of(
        what: &'static str,
        own: &'node Node<'text>,
        defaults: Option<&'node Node<'text>>,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        if own.data.as_mapping().is_none() {
            mistakes.at(own, format!("{what} is {}: expected keys and their values", kind(own)));
            return None;
        }
        Some(Self { what, own, defaults, known: Vec::new() })
    }

    /// The value of a key. Null is a value too: where it is not expected, something is missing, such as text that begins
    /// with a `#`.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'node Node<'text>> {
        self.known.push(key);
        self.own.data.as_mapping_get(key).or_else(|| self.defaults?.data.as_mapping_get(key))
    }

    /// The values of a key by itself and in the defaults, for mappings that are merged.
    pub(super) fn get_both(&mut self, key: &'static str) -> [Option<&'node Node<'text>>; 2] {
        self.known.push(key);
        let own = self.own.data.as_mapping_get(key);
        let default = self.defaults.and_then(|defaults| defaults.data.as_mapping_get(key));
        [default, own]
    }

    /// Refuses keys that were not asked for.
    pub(super) fn finish(self, mistakes: &mut Mistakes) {
        for (key, _) in self.own.data.as_mapping().into_iter().flatten() {
            if !key.data.as_str().is_some_and(|name| self.known.contains(&name)) {
                let known = self.known.join(", ");
                mistakes.at(key, format!("{} is not a key of {}: expected one of {known}", kind(key), self.what));
            }
        }
    }
}
