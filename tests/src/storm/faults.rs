//! What was done to the pipeline, and how often it is known to have hit.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Counters by name.
#[derive(Default)]
pub struct Faults(Mutex<BTreeMap<&'static str, u64>>);

/// Why flush may fail in a storm: what its errors say then, and what is meant by it.
const FAILURES: [(&str, &str); 8] = [
    ("read-only", "batches refused by a database that is read-only"),
    ("statement timeout", "batches ended by a statement timeout"),
    ("too many clients", "batches without a connection"),
    ("remaining connection slots", "batches without a connection"),
    ("deadlock", "batches in a deadlock"),
    ("starting up", "batches while the database recovered"),
    ("shutting down", "batches while the database recovered"),
    ("recovery mode", "batches while the database recovered"),
];

impl Faults {
    /// Counts one.
    pub fn hit(&self, fault: &'static str) {
        self.hits(fault, 1);
    }

    /// Counts several.
    pub fn hits(&self, fault: &'static str, count: u64) {
        if count > 0 {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(fault).or_default() += count;
        }
    }

    /// Counts why a batch failed, where that is a fault that was meant.
    pub fn failed(&self, reason: &str) {
        let meant = FAILURES.iter().find(|(words, _)| reason.contains(words));
        self.hit(meant.map_or("batches that failed for another reason", |(_, fault)| fault));
    }

    /// How often each has hit.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often this one has.
    #[must_use]
    pub fn count(&self, fault: &str) -> u64 {
        self.counts().get(fault).copied().unwrap_or_default()
    }
}
