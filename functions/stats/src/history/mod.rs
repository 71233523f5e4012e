//! The one read: counts and percentiles per URL over a window, from rows, chunks and summaries, each instant once.
//!
//! [`read`] looks at one snapshot of the database. An hour that is named in `unsealed` is read as it lies there, every other
//! hour from its chunk, or within its day or month from a summary. `cover` decides which, `reader` reads, [`split`] says
//! which part a probe belongs to, `tally` adds up.

mod cover;
pub mod details;
mod held;
mod reader;
mod schedule;
mod snapshot;
pub mod split;
mod states;
mod tallies;
mod tally;
mod targets;

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    Micros,
    database::DatabaseError,
    history::{Measure, open},
    timestamp,
};
use tokio_postgres::{Client, Error};

use self::split::{Part, Split};
pub use self::{
    held::{Held, Quorum},
    schedule::Schedule,
    snapshot::Snapshot,
    states::State,
    tally::Tally,
    targets::Target,
};

/// Where an answer stops being exact unless it is asked to: up to here that takes tens of milliseconds.
pub const EXACT_PROBES: i64 = 4_000_000;

/// Durations that are kept one by one, whatever they are of: 32 MB of them.
const EXACT_DURATIONS: u64 = 8_000_000;

/// Buckets of time in one answer, at most: more would not fit into the six megabytes that Lambda answers with.
pub const MAX_BUCKETS: u64 = 5_000;
/// Parts that are read for one answer, at most, so that they fit into the memory of a small function.
const MAX_PARTS: usize = 20_000;
/// The same where each is a histogram, of some eight kilobytes.
const MAX_HISTOGRAMS: usize = 6_000;

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery<'query> {
    /// Targets with any of these URLs; `None` for all. One counts that the target has now, or had within `urls_within`.
    pub urls: Option<&'query [String]>,
    /// From when to when; `None` for the beginning and the end of everything.
    pub urls_within: (Option<Micros>, Option<Micros>),
    /// Targets of these monitors; `None` for all.
    pub monitors: Option<&'query [String]>,
    /// Targets with any of these tags, as they were said last; `None` for all.
    pub tags: Option<&'query [String]>,
    /// Probes that started at this instant or later; `None` for the oldest there are.
    pub from: Option<Micros>,
    /// And before this one; `None` for the newest there are.
    pub to: Option<Micros>,
    /// Targets with any of these tags as well, whatever else is asked for; `None` for all.
    pub scope: Option<&'query [String]>,
    /// Which of these targets, in their order; `None` for all.
    pub page: Option<Page>,
    /// What the percentiles are of; `None` where probes are only to be counted.
    pub measure: Option<Measure>,
    /// Into which parts.
    pub split: Split,
    /// How many probes there may be in the whole days of the window for the answer to be exact.
    pub exact_probes: i64,
    /// How many durations are kept one by one, with those at the edges of the window, which no summary has; beyond, they are
    /// kept as histograms.
    pub exact_durations: u64,
    /// How many samples of hours that are not sealed are held at a time, about.
    pub samples_at_a_time: i64,
    /// Whether it is to be known for how long verdicts held, and by which quorum of the locations, if by any.
    pub held: Option<Option<Quorum>>,
    /// Whether it is to be known in which state each target is, which takes that it is to be known for how long verdicts held,
    /// and that each hour of the window is read by itself.
    pub states: bool,
    /// The last verdict of all holds no longer than until this instant.
    pub as_of: Micros,
}

/// Some of the targets, in the order of URLs and monitors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Those after this one; `None` for the first.
    pub after: Option<Target>,
    /// At most so many.
    pub limit: usize,
    /// From the last to the first.
    pub is_descending: bool,
}

impl Default for HistoryQuery<'_> {
    /// Response times of everything there is.
    fn default() -> Self {
        Self {
            urls: None,
            urls_within: (None, None),
            monitors: None,
            tags: None,
            scope: None,
            page: None,
            from: None,
            to: None,
            measure: Some(Measure::ResponseTime),
            split: Split::default(),
            exact_probes: EXACT_PROBES,
            exact_durations: EXACT_DURATIONS,
            samples_at_a_time: open::AT_A_TIME,
            held: None,
            states: false,
            as_of: Micros::MAX,
        }
    }
}

/// What was read.
#[derive(Default)]
pub struct History {
    /// Those with something in the window, in the order of URLs and monitors.
    pub targets: Vec<TargetHistory>,
    /// The last target of the page, if others follow.
    pub next: Option<Target>,
    /// The names of locations, where it is split by them or has the states that they see.
    pub locations: BTreeMap<i16, String>,
    /// The window that is covered: the one asked for, unless part of it was dropped (`WM_CHUNK_RETENTION`,
    /// `WM_DAY_RETENTION`). `None` where it has no end on that side.
    pub window: (Option<Micros>, Option<Micros>),
}

/// What was read of a target.
#[derive(Default)]
pub struct TargetHistory {
    /// Its key in the table of targets.
    pub id: i32,
    /// Which.
    pub target: Target,
    /// Its tags, as they were said last.
    pub tags: Vec<String>,
    /// Whether its monitor has had several URLs.
    pub(crate) has_moved: bool,
    /// The URLs that it had in the window, each with when it began; empty where it never had another one than now.
    pub urls: Vec<(Micros, String)>,
    /// All of it.
    pub total: Tally,
    /// Its parts, those without a probe left out; empty where nothing is split.
    pub parts: BTreeMap<Part, Tally>,
    /// How often it was to be probed from each location that there is something of in the window.
    pub schedules: BTreeMap<i16, Schedule>,
    /// The locations that there is something of in the window, where it is known for how long verdicts held.
    pub(crate) seen_from: BTreeSet<i16>,
    /// When the first verdict of each location came, where that is known.
    pub(crate) first_verdicts: BTreeMap<i16, Micros>,
    /// For how long verdicts held, where that is asked for and known: by bucket, `None` for the whole window, and where it is
    /// split by location, by these; `None` for all of them together.
    pub held: BTreeMap<(Option<Micros>, Option<i16>), Held>,
    /// In which state it is, from each location with a verdict in the window, where that is asked for.
    pub states: BTreeMap<i16, State>,
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The database refused, or holds what this release cannot read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// There are so many probes that they are not gone through one by one, as this split would need.
    #[error(
        "there are {probes} probes in this window or more, and at most {limit} are looked at one by one, as this takes: \
         expected a shorter window, fewer targets, or bucket=1d without by=status, by=outcome or quorum"
    )]
    TooMany {
        /// So many.
        probes: i64,
        /// And so many could be.
        limit: i64,
    },
    /// More parts than an answer may have.
    #[error(
        "this takes {parts} parts or more, and may take {limit}: expected longer buckets, fewer groups, a shorter window or fewer \
         targets"
    )]
    TooLarge {
        /// So many.
        parts: u64,
        /// And so many could be.
        limit: u64,
        /// The parameter by which it is split.
        parameter: &'static str,
    },
    /// What this split would need was dropped.
    #[error(
        "probes of some of this window are kept by the day only: expected a window that begins later, or bucket=1d without \
         by=status, by=outcome or quorum"
    )]
    Dropped,
    /// Nothing of the window is kept that could be counted.
    #[error("{}", not_kept(*.days_before, *.nothing_before))]
    NotKept {
        /// Days before this instant are kept as a whole only.
        days_before: Micros,
        /// Days before this one are dropped.
        nothing_before: Micros,
        /// The parameter that asks for the window.
        parameter: &'static str,
    },
}

fn not_kept(days_before: Micros, nothing_before: Micros) -> String {
    let [days, nothing] = [days_before, nothing_before].map(|before| timestamp::format(before.timestamp()));
    let dropped = if nothing_before == Micros::MIN { String::new() } else { format!(", and none before {nothing}") };
    format!(
        "no probes of this window are kept one by one: before {days} there are only whole days (UTC){dropped}; request at least one \
         whole day that is kept, or a window that begins later"
    )
}

impl From<Error> for HistoryError {
    fn from(error: Error) -> Self {
        Self::Database(error.into())
    }
}

/// Reads the history in a snapshot of its own. See [`Snapshot::read`].
///
/// # Errors
/// Those of [`Snapshot::begin`] and [`Snapshot::read`].
pub async fn read(client: &Client, query: &HistoryQuery<'_>) -> Result<History, HistoryError> {
    let snapshot = Snapshot::begin(client, None).await?;
    let history = snapshot.read(query).await;
    // What went wrong before is more telling than what may go wrong here.
    let ended = snapshot.end().await;
    let history = history?;
    ended?;
    Ok(history)
}
