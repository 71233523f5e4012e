//! The forms in which history is kept once it is sealed: [`chunk`] for an hour, every probe exactly; [`summary`] for a
//! day or a month, counts and a [`histogram`] of each [`Measure`]; and until an hour is sealed, [`fragment`]s of it. flush
//! writes them, stats reads them.
//!
//! Each form leads with a version byte, and a reader refuses one that it does not know.

pub mod block;
pub mod chunk;
pub mod course;
pub mod durations;
pub mod fragment;
pub mod histogram;
#[cfg(feature = "postgres")]
pub mod open;
pub mod percentile;
#[cfg(feature = "postgres")]
pub mod rows;
pub mod sample;
pub mod summary;
mod varint;

#[cfg(test)]
mod properties;

pub use block::Block;
pub use course::Course;
pub use histogram::Histogram;
pub use sample::{Measure, Sample, Verdict};
pub use summary::{Counts, Summary};

/// Why bytes are not what they are said to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Written by a newer release.
    #[error("{form} is in version {version} of its format, and this release does not know that: update it")]
    UnknownVersion {
        /// What it is: a chunk, a histogram.
        form: &'static str,
        /// The version byte.
        version: u8,
    },
    /// Damaged.
    #[error("{form} is damaged: {reason}")]
    Damaged {
        /// What it is.
        form: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
}
