//! What was done to the pipeline, and how often it is known to have hit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

/// Counters by name.
#[derive(Default)]
pub struct Faults {
    hits: Mutex<BTreeMap<&'static str, u64>>,
    /// What was said by batches that failed for none of the reasons that are meant.
    others: Mutex<BTreeSet<String>>,
}

/// Batches that failed for none of the reasons that are meant.
const OTHER: &str = "batches that failed for another reason";

/// Why flush may fail in a storm: what its errors say then, and what is meant by it.
const FAILURES: [(&str, &str); 12] = [
    ("read-only", "batches refused by a database that is read-only"),
    ("statement timeout", "batches ended by a statement timeout"),
    ("too many clients", "batches without a connection"),
    ("remaining connection slots", "batches without a connection"),
    ("deadlock", "batches in a deadlock"),
    ("starting up", "batches while the database recovered"),
    ("shutting down", "batches while the database recovered"),
    ("recovery mode", "batches while the database recovered"),
    ("not yet accepting", "batches while the database recovered"),
    ("Connection refused", "batches while the database was away"),
    ("connection closed", "batches whose connection broke twice"),
    ("terminating connection", "batches whose connection broke twice"),
];

impl Faults {
    /// Counts one.
    pub fn hit(&self, fault: &'static str) {
        self.hits(fault, 1);
    }

    /// Counts several.
    pub fn hits(&self, fault: &'static str, count: u64) {
        if count > 0 {
            *self.hits.lock().unwrap_or_else(PoisonError::into_inner).entry(fault).or_default() += count;
        }
    }

    /// Counts why a batch failed, where that is a fault that was meant.
    pub fn failed(&self, reason: &str) {
        let meant = FAILURES.iter().find(|(words, _)| reason.contains(words));
        self.hit(meant.map_or(OTHER, |(_, fault)| fault));
        if meant.is_none() {
            self.others.lock().unwrap_or_else(PoisonError::into_inner).insert(reason.to_owned());
        }
    }

    /// How often each has hit.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.hits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was said by batches that failed for another reason.
    #[must_use]
    pub fn others(&self) -> BTreeSet<String> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often this one has.
    #[must_use]
    pub fn count(&self, fault: &str) -> u64 {
        self.counts().get(fault).copied().unwrap_or_default()
    }
}
