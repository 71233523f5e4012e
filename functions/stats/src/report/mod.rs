//! The report: what is known about each target, whole and in parts, in the order that was asked for.
//!
//! [`question`] says what has to be read for it, `writer` makes figures of that.

pub mod question;
mod writer;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::{Micros, timestamp};

use self::writer::Writer;
use crate::{
    figures::Figures,
    history::{History, HistoryError},
    order::{Cursor, sort},
    query::StatsQuery,
};

/// The answer of `GET /stats`. The envelope and the first five names of an entry are those of the Python CLI `wm`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatsReport {
    /// One entry per target, in the order that was asked for.
    pub stats: Vec<TargetStats>,
    /// Start of what is counted, inclusive, for every entry: later than asked for where older history was dropped; null without
    /// a start.
    #[serde(with = "timestamp::option")]
    pub from: Option<Timestamp>,
    /// End of what is counted, exclusive; null without an end.
    #[serde(with = "timestamp::option")]
    pub to: Option<Timestamp>,
    /// The cursor of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What is known about one target within the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetStats {
    /// The URL of now, as configured.
    pub url: String,
    /// Where it had another URL in the window: those that it had, in their order. Absent where it had that of now alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<UrlStats>>,
    /// About all of its probes.
    #[serde(flatten)]
    pub figures: Figures,
    /// The id of its monitor; null for a target that has none.
    pub monitor: Option<String>,
    /// The tags that were said last.
    pub tags: Vec<String>,
    /// From one slot to the next, at the last of them, in milliseconds; null where no schedule asked.
    pub interval_ms: Option<i64>,
    /// The window as asked for, `all`, or `custom` with ends of its own.
    pub window: String,
    /// Where what is counted begins, inclusive: with the window, or later where older history was dropped; null where
    /// nothing was and everything is counted.
    #[serde(with = "timestamp::option")]
    pub from: Option<Timestamp>,
    /// Where it ends, exclusive; null where everything is counted.
    #[serde(with = "timestamp::option")]
    pub to: Option<Timestamp>,
    /// With `compare=previous`: about the window before this one; null where nothing was in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousStats>,
    /// With `by=`: about parts of them, each of which has at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<GroupStats>>,
    /// With `bucket=` alone: about each bucket of the window, in their order; one without a probe has zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Vec<BucketStats>>,
}

/// A URL that a monitor had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlStats {
    /// As configured then.
    pub url: String,
    /// When its first probe started, maybe before the window.
    #[serde(with = "timestamp")]
    pub since: Timestamp,
}

/// What is known about probes that have something in common, or about a phase of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupStats {
    /// What they have in common, by what it is: the `location`, the class of the `status` (`none` without a response), the
    /// `outcome`; or the `phase`.
    pub group: BTreeMap<String, String>,
    /// About these probes.
    #[serde(flatten)]
    pub figures: Figures,
    /// With `compare=previous`: about the same in the window before; null where nothing was in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousStats>,
    /// With `bucket=`: about each bucket of the window, in their order; one without a probe has zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Vec<BucketStats>>,
}

/// What is known about probes that started within some time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BucketStats {
    /// When the bucket begins: at a multiple of its length in UTC, be the window what it may.
    #[serde(with = "timestamp")]
    pub bucket: Timestamp,
    /// About its probes that are in the window.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What is known about the window before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreviousStats {
    /// Where it begins, inclusive.
    #[serde(with = "timestamp::option")]
    pub from: Option<Timestamp>,
    /// Where it ends, exclusive: where the window begins.
    #[serde(with = "timestamp::option")]
    pub to: Option<Timestamp>,
    /// About its probes.
    #[serde(flatten)]
    pub figures: Figures,
}

impl StatsReport {
    /// The report of what was read, and of what was read of the window before. Slots are expected to have been probed until
    /// `as_of`.
    ///
    /// # Errors
    /// It would have more than [`MAX_BUCKETS`](crate::history::MAX_BUCKETS) buckets.
    pub fn new(
        history: History,
        previous: Option<History>,
        query: &StatsQuery,
        as_of: Micros,
    ) -> Result<Self, HistoryError> {
        let writer = |locations, window| Writer::new(query, window, as_of, locations);
        let mut before = BTreeMap::new();
        if let Some(previous) = previous {
            let mut writer = writer(previous.locations, previous.window);
            for target in previous.targets {
                before.insert(target.target.clone(), writer.previous(&target));
            }
        }
        let (from, to) = history.window;
        let [from, to] = [from, to].map(|end| end.map(Micros::timestamp));
        let mut writer = writer(history.locations, history.window);
        let mut stats = Vec::with_capacity(history.targets.len());
        for target in history.targets {
            let (total, groups) = before.remove(&target.target).unwrap_or_default();
            stats.push(writer.target(target, total, groups)?);
        }
        let next = history.next.map(|last| Cursor::new(query.sort, None, last.url, last.monitor));
        let next = sort(&mut stats, query).or(next);
        Ok(Self { stats, from, to, next: next.map(|next| next.encode()) })
    }
}
