//! The report: what is known about each URL, with the population and the strength of every figure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{
    Micros,
    record::{FailureKind, Outcome},
    timestamp,
};

use crate::{
    estimate::{Intervals, Percentile, estimate, millis},
    history::{
        History, HistoryError, MAX_BUCKETS, Tally,
        split::{Bucket, Group, Part},
    },
    query::StatsQuery,
    response::StatsError,
};

/// Classes of statuses, in the order in which they are counted.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// The answer of `GET /stats`. The envelope and the first five names of an entry are those of the Python CLI `wm`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatsReport {
    /// One entry per URL, in the order of the URLs.
    pub stats: Vec<UrlStats>,
}

/// What is known about one URL within the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UrlStats {
    /// The URL as configured.
    pub url: String,
    /// About all of its probes.
    #[serde(flatten)]
    pub figures: Figures,
    /// The window as asked for, `all`, or `custom` with ends of its own.
    pub window: String,
    /// Where what is counted begins, inclusive: with the window, or later where older history was dropped; null where
    /// nothing was and everything is counted.
    #[serde(with = "timestamp::option")]
    pub from: Option<Timestamp>,
    /// Where it ends, exclusive; null where everything is counted.
    #[serde(with = "timestamp::option")]
    pub to: Option<Timestamp>,
    /// With `by=`: about parts of them, each of which has at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<GroupStats>>,
    /// With `bucket=` alone: about each bucket of the window, in their order; one without a probe has zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Vec<BucketStats>>,
}

/// What is known about probes that have something in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupStats {
    /// The location, the class of the status (`none` without a response) or the outcome.
    pub group: String,
    /// About these probes.
    #[serde(flatten)]
    pub figures: Figures,
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

/// What percentiles are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Population {
    /// Requests that got a response, of any status.
    Responses,
}

/// What is known about some probes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Every probe, whatever came of it; of a slot that was tried again, each attempt.
    pub probes: i64,
    /// Half of the responses were at least this fast. In milliseconds, to the microsecond; null without a response.
    pub p50_ms: Option<f64>,
    /// The 95th percentile.
    pub p95_ms: Option<f64>,
    /// The 99th percentile.
    pub p99_ms: Option<f64>,
    /// Probes that got a response of any status: those that the percentiles are over.
    pub responses: i64,
    /// Probes that got none; `probes` is `responses` and `failures`.
    pub failures: i64,
    /// Slots with the verdict down: failures, and responses that were not as expected, at the last attempt.
    pub down: i64,
    /// Slots with the verdict up.
    pub up: i64,
    /// Slots with the verdict degraded: as expected, but slow.
    pub degraded: i64,
    /// Slots in which no request was made that could tell anything; they are not among the probes.
    pub missed: i64,
    /// Attempts that failed and were made again in the same slot.
    pub retried: i64,
    /// Probes by the kind of their error; kinds that did not occur are left out.
    pub errors: BTreeMap<String, i64>,
    /// Responses by the class of their status, `1xx` to `5xx` and `other`; classes that did not occur are left out.
    pub statuses: BTreeMap<String, i64>,
    /// The fastest response.
    pub min_ms: Option<f64>,
    /// The mean over the responses.
    pub mean_ms: Option<f64>,
    /// The slowest response.
    pub max_ms: Option<f64>,
    /// What the percentiles are over.
    pub population: Population,
    /// The percentiles that were asked for, and how much is known of each.
    pub percentiles: Vec<Percentile>,
    /// Whether percentiles, extremes and mean are exact; otherwise whole days in them come from histograms.
    pub exact: bool,
    /// By how much they may be off, relative to themselves: 0 where they are exact. Counts are always exact.
    pub max_relative_error: f64,
    /// When the first probe started.
    #[serde(with = "timestamp::option")]
    pub first_probe_at: Option<Timestamp>,
    /// When the last one started.
    #[serde(with = "timestamp::option")]
    pub last_probe_at: Option<Timestamp>,
}

impl StatsReport {
    /// The report of what was read.
    ///
    /// # Errors
    /// It would have more than [`MAX_BUCKETS`] buckets.
    pub fn new(history: History, query: &StatsQuery) -> Result<Self, StatsError> {
        let History { urls, mut parts, locations, window: (from, to) } = history;
        let mut stats = Vec::with_capacity(urls.len());
        let mut buckets = 0;
        let mut intervals = Intervals::default();
        for (url, tally) in urls {
            let range = tally.range;
            let figures = figures(tally, &query.percentiles, &mut intervals);
            let mut by_group: BTreeMap<Option<Group>, BTreeMap<Option<Micros>, Tally>> = BTreeMap::new();
            for (Part { group, bucket }, tally) in parts.remove(&url).unwrap_or_default() {
                by_group.entry(group).or_default().insert(bucket, tally);
            }
            let ends = range.map(|(first, last)| (from.unwrap_or(first), to.map_or(last, |to| Micros(to.0 - 1))));
            let mut series = |tallies: BTreeMap<Option<Micros>, Tally>, intervals: &mut Intervals| {
                let (Some(bucket), Some(ends)) = (query.split.bucket, ends) else { return Ok(None) };
                buckets += bucket.count(ends);
                if buckets > MAX_BUCKETS {
                    return Err(StatsError::from(HistoryError::TooLarge { buckets }));
                }
                Ok(Some(fill(bucket, ends, tallies, &query.percentiles, intervals)))
            };
            let mut entry = UrlStats {
                url,
                figures,
                window: query.window.name().to_owned(),
                from: from.map(Micros::timestamp),
                to: to.map(Micros::timestamp),
                groups: None,
                series: None,
            };
            if query.split.by.is_none() {
                entry.series = series(by_group.remove(&None).unwrap_or_default(), &mut intervals)?;
            } else {
                let mut groups = Vec::new();
                for (group, tallies) in by_group {
                    let group = group.map_or_else(String::new, |group| group_name(group, &locations));
                    let whole = tallies.values().cloned().reduce(|mut whole, tally| {
                        whole.merge(tally);
                        whole
                    });
                    let Some(whole) = whole else { continue };
                    let figures = self::figures(whole, &query.percentiles, &mut intervals);
                    groups.push(GroupStats { group, figures, series: series(tallies, &mut intervals)? });
                }
                groups.sort_by(|one, other| one.group.cmp(&other.group));
                entry.groups = Some(groups);
            }
            stats.push(entry);
        }
        Ok(Self { stats })
    }
}

/// Each bucket from the one of an instant to the one of another, with what is known about it.
fn fill(
    bucket: Bucket,
    (first, last): (Micros, Micros),
    mut tallies: BTreeMap<Option<Micros>, Tally>,
    percentiles: &[f64],
    intervals: &mut Intervals,
) -> Vec<BucketStats> {
    let mut series = Vec::new();
    let mut start = bucket.start(first);
    while start <= last {
        let tally = tallies.remove(&Some(start)).unwrap_or_default();
        series.push(BucketStats { bucket: start.timestamp(), figures: figures(tally, percentiles, intervals) });
        start = Micros(start.0 + bucket.length());
    }
    series
}

fn figures(mut tally: Tally, asked: &[f64], intervals: &mut Intervals) -> Figures {
    let always = [50.0, 95.0, 99.0];
    let wanted: Vec<f64> = always.into_iter().chain(asked.iter().copied()).collect();
    let (mut percentiles, extremes) = estimate(&mut tally, &wanted, intervals);
    let asked = percentiles.split_off(always.len());
    let mut always = percentiles.into_iter().map(|percentile| percentile.ms);
    let [p50_ms, p95_ms, p99_ms] = [(); 3].map(|()| always.next().flatten());
    let counts = &tally.counts;
    let (probes, responses) = (counts.probes(), counts.responses());
    Figures {
        probes: count(probes),
        p50_ms,
        p95_ms,
        p99_ms,
        responses: count(responses),
        failures: count(probes.saturating_sub(responses)),
        down: count(counts.of(Outcome::Down)),
        up: count(counts.of(Outcome::Up)),
        degraded: count(counts.of(Outcome::Degraded)),
        missed: count(counts.of(Outcome::Missed)),
        retried: count(counts.retried),
        errors: named(FailureKind::ALL.map(name), counts.errors),
        statuses: named(CLASSES.map(str::to_owned), counts.status_classes),
        min_ms: extremes.map(|(least, _)| least),
        mean_ms: tally.mean().map(millis),
        max_ms: extremes.map(|(_, largest)| largest),
        population: Population::Responses,
        percentiles: asked,
        exact: tally.is_exact(),
        max_relative_error: tally.relative_error(),
        first_probe_at: tally.range.map(|(first, _)| first.timestamp()),
        last_probe_at: tally.range.map(|(_, last)| last.timestamp()),
    }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The counts that are not 0, by name.
fn named<const N: usize>(names: [String; N], counts: [u64; N]) -> BTreeMap<String, i64> {
    names.into_iter().zip(counts).filter(|(_, count)| *count > 0).map(|(name, number)| (name, count(number))).collect()
}

fn group_name(group: Group, locations: &BTreeMap<i16, String>) -> String {
    match group {
        Group::Location(location) => locations.get(&location).cloned().unwrap_or_default(),
        Group::Status(None) => "none".to_owned(),
        Group::Status(Some(class)) => {
            let class = usize::from(class).checked_sub(1).and_then(|class| CLASSES.get(class));
            class.map_or("other", |class| class).to_owned()
        }
        Group::Outcome(outcome) => name(outcome),
    }
}

/// What something is called in records.
fn name(value: impl Serialize) -> String {
    json!(value).as_str().map(str::to_owned).unwrap_or_default()
}
