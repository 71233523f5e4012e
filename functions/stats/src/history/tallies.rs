//! What was read, added up.

use std::collections::BTreeMap;

use shared::Micros;

use super::{held::Verdicts, split::Part, states::States, tally::Tally};

/// What was read.
#[derive(Default)]
pub(super) struct Tallies {
    /// Per target and part.
    pub(super) parts: BTreeMap<(i32, Part), Tally>,
    /// Per target, location and bucket; empty unless it is asked for.
    pub(super) verdicts: BTreeMap<(i32, i16, Option<Micros>), Verdicts>,
    /// Per target and location; empty unless it is asked for.
    pub(super) states: BTreeMap<(i32, i16), States>,
    /// Whether there were too many durations to keep each, so that there are histograms.
    pub(super) is_coarse: bool,
}

impl Tallies {
    /// Adds those of another part of the window.
    pub(super) fn extend(&mut self, more: Self) {
        for (key, tally) in more.parts {
            merge(&mut self.parts, key, tally);
        }
        for (key, verdicts) in more.verdicts {
            match self.verdicts.get_mut(&key) {
                Some(others) => others.append(&verdicts),
                None => drop(self.verdicts.insert(key, verdicts)),
            }
        }
        for (key, states) in more.states {
            self.states.entry(key).or_default().append(states);
        }
    }
}

/// Adds a tally to the one of its key.
pub(super) fn merge<Key: Ord>(tallies: &mut BTreeMap<Key, Tally>, key: Key, tally: Tally) {
    match tallies.get_mut(&key) {
        Some(other) => other.merge(tally),
        None => drop(tallies.insert(key, tally)),
    }
}
