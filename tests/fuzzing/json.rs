//! JSON documents with random changes: any node replaced, left out, doubled or renamed.
//!
//! A document here may have what a parsed one cannot: a name twice in one object, numbers beyond every type, halves of surrogate
//! pairs.

use serde_json::Value;

/// A node of a document; anything but lists and objects is text as it is written.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// Names and values that readers stumble over.
const ODD: &[&str] = &[
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "18446744073709551616",
    "-9223372036854775809",
    "1e999",
    "[]",
    "{}",
    "{\"\":\"\"}",
    "[[[[]]]]",
    "\"\"",
    "\" \"",
    "\"\\u0000\"",
    "\"\\ud83e\\udd80\"",
    "\"\\ud800\"",
    "\"a\\nb\\r\\n\"",
    "\"\\\"<x>\\\\\"",
    "\"http, https\"",
    "\"%\"",
    "\"%ff%00\"",
    "\"/\"",
    "\"//\"",
    "\"/../stats\"",
    "\"/assets/0/x\"",
    "\"/badge.svg\"",
    "\"GET\"",
    "\"G<T\"",
    "\"$default\"",
    "\"window=1h&url=%\"",
    "\"from=9999-12-31T23:59:59.9999999999Z&bucket=1m\"",
    "\"Bearer \"",
    "\"gzip\"",
    "\"0001-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:60Z\"",
    "\"1970-01-01T00:00:00Z\"",
    "\"{\\\"url\\\": 1}\"",
    "\"bnVsbA==\"",
    "\"-1\"",
    "\"é\"",
];

impl Node {
    pub(crate) fn read(text: &str) -> Self {
        Self::from(serde_json::from_str::<Value>(text).unwrap())
    }

    /// The document with changes that `input` chooses, of four bytes each.
    pub(crate) fn changed(&self, input: &[u8]) -> String {
        let mut root = self.clone();
        for change in input.chunks_exact(4) {
            let &[what, high, low, which] = change else { continue };
            let at = usize::from(u16::from_be_bytes([high, low]));
            root.change(what, at, which);
        }
        let mut text = String::new();
        root.write(&mut text);
        text
    }

    fn change(&mut self, what: u8, at: usize, which: u8) {
        let count = self.count();
        let odd = ODD[usize::from(which) % ODD.len()];
        // A copy of another part of the document, or something odd.
        let other = match (what / 8 % 4, which % 8) {
            (0, _) => self.node((at * 31 + usize::from(which)) % count).cloned(),
            (1, 0) => Some(Self::Text("[".repeat(200) + &"]".repeat(200))),
            (1, 1) => Some(Self::Text(format!("\"{}\"", "x".repeat(5_000)))),
            _ => Some(Self::Text(odd.to_owned())),
        };
        let other = other.unwrap_or_else(|| Self::Text(odd.to_owned()));
        let Some(node) = self.node_mut(at % count) else { return };
        let index = usize::from(which);
        match (what % 8, node) {
            (0, Self::Object(fields)) if !fields.is_empty() => drop(fields.remove(index % fields.len())),
            (0, Self::List(items)) if !items.is_empty() => drop(items.remove(index % items.len())),
            (1, Self::Object(fields)) if !fields.is_empty() => {
                let (name, _) = fields[index % fields.len()].clone();
                fields.push((name, other));
            }
            (1, Self::List(items)) => items.push(other),
            (2, Self::Object(fields)) if !fields.is_empty() => {
                let length = fields.len();
                fields[index % length].0 = odd.trim_matches('"').replace(['"', '\\'], "");
            }
            (3, Self::Object(fields)) => fields.push((odd.trim_matches('"').replace(['"', '\\'], ""), other)),
            (_, node) => *node = other,
        }
    }

    /// Nodes of the document, itself included.
    fn count(&self) -> usize {
        1 + match self {
            Self::Text(_) => 0,
            Self::List(items) => items.iter().map(Self::count).sum(),
            Self::Object(fields) => fields.iter().map(|(_, node)| node.count()).sum(),
        }
    }

    /// The node of a number, itself being 0.
    fn node(&self, mut number: usize) -> Option<&Self> {
        if number == 0 {
            return Some(self);
        }
        number -= 1;
        let children: Vec<_> = match self {
            Self::Text(_) => return None,
            Self::List(items) => items.iter().collect(),
            Self::Object(fields) => fields.iter().map(|(_, node)| node).collect(),
        };
        for child in children {
            match child.count() {
                count if number < count => return child.node(number),
                count => number -= count,
            }
        }
        None
    }

    fn node_mut(&mut self, mut number: usize) -> Option<&mut Self> {
        if number == 0 {
            return Some(self);
        }
        number -= 1;
        let children: Vec<_> = match self {
            Self::Text(_) => return None,
            Self::List(items) => items.iter_mut().collect(),
            Self::Object(fields) => fields.iter_mut().map(|(_, node)| node).collect(),
        };
        for child in children {
            match child.count() {
                count if number < count => return child.node_mut(number),
                count => number -= count,
            }
        }
        None
    }

    fn write(&self, text: &mut String) {
        match self {
            Self::Text(value) => text.push_str(value),
            Self::List(items) => {
                text.push('[');
                for (index, item) in items.iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    item.write(text);
                }
                text.push(']');
            }
            Self::Object(fields) => {
                text.push('{');
                for (index, (name, node)) in fields.iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    text.push_str(&Value::from(name.as_str()).to_string());
                    text.push(':');
                    node.write(text);
                }
                text.push('}');
            }
        }
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        match value {
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(fields) => {
                Self::Object(fields.into_iter().map(|(name, value)| (name, Self::from(value))).collect())
            }
            other => Self::Text(other.to_string()),
        }
    }
}

#[test]
fn changes_reach_every_kind_of_node() {
    let document = Node::read("{\"a\": [1, \"b\"], \"c\": {\"d\": null}}");
    let changed = |what, at, which| document.changed(&[what, 0, at, which]);

    assert_eq!(document.changed(&[]), "{\"a\":[1,\"b\"],\"c\":{\"d\":null}}");
    assert_eq!(changed(0, 0, 1), "{\"a\":[1,\"b\"]}");
    assert_eq!(changed(0, 1, 0), "{\"a\":[\"b\"],\"c\":{\"d\":null}}");
    assert_eq!(changed(17, 0, 0), "{\"a\":[1,\"b\"],\"c\":{\"d\":null},\"a\":null}");
    assert_eq!(changed(17, 1, 1), "{\"a\":[1,\"b\",true],\"c\":{\"d\":null}}");
    assert_eq!(changed(2, 4, 33), "{\"a\":[1,\"b\"],\"c\":{\"gzip\":null}}");
    assert_eq!(changed(20, 5, 16), "{\"a\":[1,\"b\"],\"c\":{\"d\":\"\\ud800\"}}");
    // A part of the document in place of another one.
    assert_eq!(changed(4, 2, 5), "{\"a\":[[1,\"b\"],\"b\"],\"c\":{\"d\":null}}");
}
