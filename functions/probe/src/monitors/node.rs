//! The keys of a monitors file, and what is wrong with them: whatever is read knows where it stands, so that a mistake says
//! line and column, and all of them are found in one reading.

use std::collections::BTreeSet;

use super::document::{Map, Mistake, Node, Place};

/// The mistakes found so far, each once, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    found: BTreeSet<Mistake>,
}

impl Mistakes {
    pub(super) fn at(&mut self, node: &Node, text: impl Into<String>) {
        self.at_place(node.place, text);
    }

    pub(super) fn at_place(&mut self, place: Place, text: impl Into<String>) {
        self.found.insert(place.mistake(text));
    }

    /// The value of a result, or its error as a mistake.
    pub(super) fn check<T>(&mut self, node: &Node, result: Result<T, String>) -> Option<T> {
        result.map_err(|error| self.at(node, error)).ok()
    }

    pub(super) fn extend(&mut self, mistakes: impl IntoIterator<Item = Mistake>) {
        self.found.extend(mistakes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn finish(self) -> Vec<Mistake> {
        self.found.into_iter().collect()
    }
}

/// The keys of a mapping, as they are asked for.
pub(super) struct Fields<'node> {
    what: &'static str,
    own: &'node Node,
    defaults: Option<&'node Node>,
    known: Vec<&'static str>,
}

impl<'node> Fields<'node> {
    /// Reads a mapping, whose missing keys come from `defaults`.
    pub(super) fn of(
        what: &'static str,
        own: &'node Node,
        defaults: Option<&'node Node>,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        if own.as_map().is_none() {
            mistakes.at(own, format!("{what} is {}: expected keys and their values", own.kind()));
            return None;
        }
        Some(Self { what, own, defaults, known: Vec::new() })
    }

    /// The value of a key. Null is a value too: where it is not expected, something is missing, such as text that begins
    /// with a `#`.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'node Node> {
        self.known.push(key);
        self.own.get(key).or_else(|| self.defaults?.get(key))
    }

    /// The values of a key by itself and in the defaults, for mappings that are merged.
    pub(super) fn get_both(&mut self, key: &'static str) -> [Option<&'node Node>; 2] {
        self.known.push(key);
        [self.defaults.and_then(|defaults| defaults.get(key)), self.own.get(key)]
    }

    /// The value of a key that was asked for, by itself or else in the defaults.
    pub(super) fn known(&self, key: &str) -> Option<&'node Node> {
        self.own(key).or_else(|| self.defaults?.get(key))
    }

    /// The value of a key that was asked for, where the mapping itself has it.
    pub(super) fn own(&self, key: &str) -> Option<&'node Node> {
        self.own.get(key)
    }

    /// Refuses keys that were not asked for.
    pub(super) fn finish(&self, mistakes: &mut Mistakes) {
        for entry in self.own.as_map().into_iter().flat_map(Map::entries) {
            if !self.known.contains(&entry.name.as_str()) {
                let known = self.known.join(", ");
                let text = format!("{:?} is not a key of {}: expected one of {known}", entry.name, self.what);
                mistakes.at_place(entry.place, text);
            }
        }
    }
}
