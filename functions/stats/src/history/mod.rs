//! The one read: counts and percentiles per URL over a window, from rows, chunks and summaries, each instant once.
//!
//! [`read`] looks at one snapshot of the database. An hour that is named in `unsealed` is read as it lies there, every other
//! hour from its chunk, or within its day or month from a summary. `cover` decides which, `reader` reads, [`split`] says
//! which part a probe belongs to, `tally` adds up.

mod cover;
mod reader;
pub mod split;
mod tally;
mod targets;

use std::collections::{BTreeMap, BTreeSet};

use futures::{TryStreamExt as _, join};
use shared::{Micros, Span, database::DatabaseError, history::Measure};
use tokio_postgres::{
    Client, Error,
    error::SqlState,
    types::{ToSql, Type},
};

pub use self::tally::Tally;
use self::{
    cover::{Unsealed, Window},
    reader::{Reader, Tallies, summaries},
    split::{Part, Split},
    targets::Targets,
};

/// Where an answer stops being exact unless it is asked to: up to here that takes tens of milliseconds.
pub const EXACT_PROBES: i64 = 4_000_000;

/// Buckets of time in one answer, at most: more would not fit into the six megabytes that Lambda answers with.
pub const MAX_BUCKETS: u64 = 5_000;
/// Parts that are read for one answer, at most, so that they fit into the memory of a small function.
const MAX_PARTS: usize = 100_000;

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryQuery<'query> {
    /// These URLs; `None` for all.
    pub urls: Option<&'query [String]>,
    /// Targets of these monitors; `None` for all.
    pub monitors: Option<&'query [String]>,
    /// Targets with any of these tags, as they were said last; `None` for all.
    pub tags: Option<&'query [String]>,
    /// Probes that started at this instant or later; `None` for the oldest there are.
    pub from: Option<Micros>,
    /// And before this one; `None` for the newest there are.
    pub to: Option<Micros>,
    /// What the percentiles are of.
    pub measure: Measure,
    /// Into which parts.
    pub split: Split,
    /// How many probes there may be in the whole days of the window for the answer to be exact.
    pub exact_probes: i64,
}

impl Default for HistoryQuery<'_> {
    /// Response times of everything there is.
    fn default() -> Self {
        let (urls, monitors, tags, from, to) = (None, None, None, None, None);
        let (measure, split) = (Measure::ResponseTime, Split::default());
        Self { urls, monitors, tags, from, to, measure, exact_probes: EXACT_PROBES, split }
    }
}

/// What was read.
pub struct History {
    /// Per URL, those without a probe in the window left out.
    pub urls: BTreeMap<String, Tally>,
    /// The parts of each URL, those without a probe left out; empty where nothing is split.
    pub parts: BTreeMap<String, BTreeMap<Part, Tally>>,
    /// The names of locations, where it is split by them.
    pub locations: BTreeMap<i16, String>,
    /// The window that is covered: the one asked for, unless part of it was dropped (`WM_CHUNK_RETENTION`,
    /// `WM_DAY_RETENTION`). `None` where it has no end on that side.
    pub window: (Option<Micros>, Option<Micros>),
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The database refused, or holds what this release cannot read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// There are so many probes that they are not gone through one by one, as this split would need.
    #[error(
        "there are {probes} probes in the whole days of this window, and at most {limit} are split like this: expected a \
         shorter window, fewer targets, or bucket=1d without by=status or by=outcome"
    )]
    TooMany {
        /// So many.
        probes: i64,
        /// And so many could be.
        limit: i64,
    },
    /// More parts than an answer may have.
    #[error(
        "this takes {buckets} buckets or more, and may take {MAX_BUCKETS}: expected longer ones, a shorter window or fewer targets"
    )]
    TooLarge {
        /// So many.
        buckets: u64,
    },
    /// What this split would need was dropped.
    #[error(
        "probes of some of this window are kept by the day only: expected bucket=1d, or a window that begins later"
    )]
    Dropped,
}

impl From<Error> for HistoryError {
    fn from(error: Error) -> Self {
        Self::Database(error.into())
    }
}

/// Reads the history. An exact answer, unless there are more than `exact_probes` in the whole days of the window, or
/// chunks of it were dropped; then whole days come from histograms, within their bound, and the edges are exact still.
///
/// A database without the schema has seen no probe yet: its history is empty.
///
/// # Errors
/// The database refused, or holds what this release cannot read; or it is split in a way that cannot be had for so much.
pub async fn read(client: &Client, query: &HistoryQuery<'_>) -> Result<History, HistoryError> {
    match read_snapshot(client, query).await {
        Ok(history) => {
            client.batch_execute("commit").await?;
            Ok(history)
        }
        Err(HistoryError::Database(DatabaseError::Query(error)))
            if error.code() == Some(&SqlState::UNDEFINED_TABLE) =>
        {
            client.batch_execute("rollback").await?;
            let there = "select to_regclass('website_monitor_migrations') is not null";
            if client.query_typed(there, &[]).await?.first().map_or(Ok(false), |row| row.try_get(0))? {
                return Err(error.into());
            }
            let (urls, parts, locations) = Default::default();
            Ok(History { urls, parts, locations, window: (query.from, query.to) })
        }
        Err(error @ (HistoryError::TooMany { .. } | HistoryError::Dropped | HistoryError::TooLarge { .. })) => {
            client.batch_execute("rollback").await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// The same, leaving its transaction open.
async fn read_snapshot(client: &Client, query: &HistoryQuery<'_>) -> Result<History, HistoryError> {
    // The lock comes before the snapshot: no partition whose rows the snapshot holds can then be dropped.
    let begin = "begin isolation level repeatable read read only; set local jit = off; \
                 lock table only probes in access share mode";
    let mut names = vec![&query.urls, &query.monitors];
    // A database that flush has not brought up to date yet has no tags.
    let select_targets = match &query.tags {
        None => include_str!("select_targets.sql"),
        tags => {
            names.push(tags);
            include_str!("select_tagged_targets.sql")
        }
    };
    let names: Vec<_> = names.into_iter().map(|names| (names as &(dyn ToSql + Sync), Type::TEXT_ARRAY)).collect();
    let (begun, targets, unsealed) = join!(
        client.batch_execute(begin),
        client.query_typed(select_targets, &names),
        client.query_typed(include_str!("select_unsealed.sql"), &[]),
    );
    begun?;
    let targets = Targets::read(&targets?, [query.urls, query.monitors, query.tags].iter().all(Option::is_none))?;
    let unsealed = unsealed?;
    let (horizon, unsealed) = Unsealed::read(&unsealed)?;
    let window = Window::new(query.from, query.to, horizon);
    if let (Some(bucket), (Some(from), Some(to))) = (query.split.bucket, window.ends()) {
        let urls = targets.urls.values().collect::<BTreeSet<_>>().len();
        let buckets = bucket.count((from, Micros(to.0.max(from.0 + 1) - 1))).saturating_mul(urls as u64);
        if buckets > MAX_BUCKETS {
            return Err(HistoryError::TooLarge { buckets });
        }
    }
    let probes = whole_days(client, &targets, &unsealed, window).await?;
    let is_exact = probes.is_some_and(|probes| probes <= query.exact_probes);
    let coarsest = match probes {
        _ if is_exact => Span::Hour,
        Some(probes) if query.split.coarsest() == Span::Hour => {
            return Err(HistoryError::TooMany { probes, limit: query.exact_probes });
        }
        None if query.split.coarsest() == Span::Hour => return Err(HistoryError::Dropped),
        _ => query.split.coarsest(),
    };

    let reader = Reader { client, targets: &targets, measure: query.measure, split: query.split, window, is_exact };
    let mut tallies = Tallies::new();
    for &block in targets.blocks.keys() {
        tallies.extend(reader.read_block(&unsealed.cover(block, window, coarsest)).await?);
        reader.check(&tallies)?;
    }
    let is_split = query.split != Split::default();
    let (mut urls, mut parts): (BTreeMap<String, Tally>, BTreeMap<String, BTreeMap<Part, Tally>>) = Default::default();
    // Of a chunk that is cut by the window there may be nothing left.
    for ((target, part), tally) in tallies.into_iter().filter(|(_, tally)| tally.counts.all() > 0) {
        let Some(url) = targets.urls.get(&target) else { continue };
        if is_split {
            merge(parts.entry(url.clone()).or_default(), part, tally.clone());
        }
        match urls.get_mut(url) {
            Some(other) => other.merge(tally),
            None => drop(urls.insert(url.clone(), tally)),
        }
    }
    let locations = match query.split.by {
        Some(split::By::Location) => {
            let rows = client.query_typed("select id, name from locations", &[]).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, Error>>()?
        }
        _ => BTreeMap::new(),
    };
    Ok(History { urls, parts, locations, window: window.ends() })
}

/// Adds a tally to the one of its key.
fn merge<Key: Ord>(tallies: &mut BTreeMap<Key, Tally>, key: Key, tally: Tally) {
    match tallies.get_mut(&key) {
        Some(other) => other.merge(tally),
        None => drop(tallies.insert(key, tally)),
    }
}

/// How many probes there are in the whole days of the window; `None` where some of their chunks were dropped.
async fn whole_days(
    client: &Client,
    targets: &Targets,
    unsealed: &Unsealed,
    window: Window,
) -> Result<Option<i64>, DatabaseError> {
    let mut probes = 0;
    for &block in targets.blocks.keys() {
        let cover = unsealed.cover(block, window, Span::Month);
        if cover.summaries.is_empty() {
            continue;
        }
        let rows = summaries(client, include_str!("count_summaries.sql"), targets, &cover, None).await?;
        for row in rows.try_collect::<Vec<_>>().await? {
            let oldest: Option<Micros> = row.try_get("oldest")?;
            if oldest.is_some_and(|oldest| oldest < window.chunks_from) {
                return Ok(None);
            }
            probes += row.try_get::<_, i64>("probes")?;
        }
    }
    Ok(Some(probes))
}
