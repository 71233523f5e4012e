//! JSONPath (RFC 9535).
//!
//! Why there is no crate for it here: an expectation about an answer that a stranger wrote needs exact numbers and a bound
//! on the work. Of the crates that came into question, jsonpath-rust 1.0 fails seven cases of the compliance suite;
//! serde_json_path 0.7 passes it, but compares numbers as 64-bit floats, does not know `@[-1]` in comparisons, and takes
//! time and memory without limit (`$..*..*..*`). `parse` reads a path and refuses what RFC 9535 refuses; `evaluate` looks it
//! up in at most [`MAX_STEPS`] steps.
//!
//! Stricter than RFC 9535: a pattern of `match` or `search` that is written in the path and is no regular expression is a
//! mistake, and a pattern of the document that cannot be used ends the search with an error. By the standard both would
//! silently match nothing.

mod evaluate;
mod parse;
mod pattern;

use regex::Regex;

use super::document::Node;

/// Steps that a path may take: values that it visits or compares. Some tens of milliseconds.
pub(crate) const MAX_STEPS: usize = 2_000_000;

/// A path.
#[derive(Debug, Clone)]
pub(crate) struct JsonPath {
    text: String,
    query: Query,
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let query = parse::query(text).map_err(|error| format!("{text:?} is not a JSONPath (RFC 9535): {error}"))?;
        Ok(Self { text: text.to_owned(), query })
    }

    /// The nodes that it selects.
    ///
    /// # Errors
    /// It takes too many steps, or a pattern of the document cannot be used.
    pub(crate) fn select<'node>(&'node self, root: &'node Node) -> Result<Vec<&'node Node>, String> {
        let found = evaluate::query(&self.query, root, MAX_STEPS);
        found.map_err(|error| format!("{} cannot be looked up: {error}", self.text))
    }

    /// The path as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether two paths are the same, in whichever way they are written, as `$.a` and `$['a']`.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        // Regular expressions have no equality but that of their text.
        format!("{:?}", self.query) == format!("{:?}", other.query)
    }

    /// Whether it selects the whole document, and so always something.
    pub(crate) fn is_root(&self) -> bool {
        self.query.segments.is_empty()
    }
}

/// A query: where it starts, and segments.
#[derive(Debug, Clone)]
struct Query {
    start: Start,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, Copy)]
enum Start {
    /// `$`
    Root,
    /// `@`
    Current,
}

/// Selectors that are applied to each node, or to each node and all that is in it.
#[derive(Debug, Clone)]
struct Segment {
    descends: bool,
    selectors: Vec<Selector>,
}

#[derive(Debug, Clone)]
enum Selector {
    Name(String),
    Wildcard,
    Index(i64),
    Slice { start: Option<i64>, end: Option<i64>, step: i64 },
    Filter(Condition),
}

/// A logical expression of a filter.
#[derive(Debug, Clone)]
enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    Exists(Query),
    Compare(Operand, Operator, Operand),
    Match(Operand, Pattern),
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What has one value, or none.
#[derive(Debug, Clone)]
enum Operand {
    Literal(Node),
    /// A query that selects one node at most.
    Singular(Query),
    Length(Box<Operand>),
    Count(Query),
    Value(Query),
}

/// The pattern of `match`, which fits all of a text, or of `search`, which fits a part.
#[derive(Debug, Clone)]
enum Pattern {
    Written(Regex),
    Found { operand: Operand, is_whole: bool },
}

impl Query {
    fn is_singular(&self) -> bool {
        self.segments.iter().all(|segment| {
            let is_single = matches!(segment.selectors.as_slice(), [Selector::Name(_) | Selector::Index(_)]);
            is_single && !segment.descends
        })
    }
}

#[cfg(test)]
mod tests;
