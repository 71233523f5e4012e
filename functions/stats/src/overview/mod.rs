//! The overview: of each target its state now, how much of it was up over four windows, how fast it was in the last day beside
//! the one before, and the course of these. It is what the status page shows first.
//!
//! [`question`] reads, [`state`] says what state a target is in. Every count and every figure of latency is that of `GET /stats`
//! for the same window. Uptime by time is as well for 24 hours; the other windows have it from summaries, where these are, so
//! it is as exact as their histograms, and null where an interval changed within a day.

pub mod question;
pub mod state;

use jiff::Timestamp;
use serde::Serialize;
use shared::timestamp;

use self::state::{LocationState, TargetState};
use crate::{
    estimate::Percentile,
    figures::{Coverage, Figures, Uptime},
    report::{BucketStats, TargetStats, UrlStats},
};

/// The answer of `GET /overview`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// The last full minute: slots are expected to have been probed by then. States and windows have the probes after it, too.
    #[serde(with = "timestamp")]
    pub as_of: Timestamp,
    /// Those with anything in the last 90 days, in the order of URLs and monitors.
    pub targets: Vec<TargetOverview>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What is known about one target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetOverview {
    /// The URL of now, as configured.
    pub url: String,
    /// Where it had another URL in the last 90 days: those that it had, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<UrlStats>>,
    /// The id of its monitor; null for a target that has none.
    pub monitor: Option<String>,
    /// The tags that were said last.
    pub tags: Vec<String>,
    /// From one slot to the next, at the last of them, in milliseconds; null where no schedule asked.
    pub interval_ms: Option<i64>,
    /// Its state: the worst that a location sees; stale where none has seen it for too long.
    pub state: TargetState,
    /// Since when; null where it may have begun before the last 24 hours, and for stale.
    #[serde(with = "timestamp::option")]
    pub since: Option<Timestamp>,
    /// When the newest probe started, or the newest slot that was missed.
    #[serde(with = "timestamp::option")]
    pub last_probe_at: Option<Timestamp>,
    /// When the leaf certificate that was seen last runs out; null where none was seen.
    #[serde(with = "timestamp::option")]
    pub certificate_expires_at: Option<Timestamp>,
    /// What each location sees that has a verdict in the last 24 hours, or where its interval takes longer, in two of that; by
    /// name.
    pub locations: Vec<LocationState>,
    /// The last 24 hours, 7, 30 and 90 days.
    pub windows: Vec<WindowOverview>,
    /// How fast it was in the last 24 hours.
    pub latency: Latency,
    /// And in the 24 hours before; null where nothing was in these.
    pub previous: Option<Latency>,
    /// Each hour of the last 24, in their order; the first and the last are cut by the window.
    pub hours: Vec<HourOverview>,
    /// Each day (UTC) of the last 90, in their order; cut like that.
    pub days: Vec<DayOverview>,
}

/// How much of a window was looked at and up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WindowOverview {
    /// `24h`, `7d`, `30d` or `90d`.
    pub window: &'static str,
    /// Where it begins, inclusive; later where older history was dropped.
    #[serde(with = "timestamp::option")]
    pub from: Option<Timestamp>,
    /// End, exclusive: when the answer was made.
    #[serde(with = "timestamp::option")]
    pub to: Option<Timestamp>,
    /// When the first probe in it started, or the first slot that was missed; null where there was none.
    #[serde(with = "timestamp::option")]
    pub first_probe_at: Option<Timestamp>,
    /// Probes, each attempt being one.
    pub probes: i64,
    /// Slots with the verdict up.
    pub up: i64,
    /// With the verdict degraded.
    pub degraded: i64,
    /// With the verdict down.
    pub down: i64,
    /// Slots in which no request was made.
    pub missed: i64,
    /// As in `GET /stats`.
    pub uptime: Option<Uptime>,
    /// As in `GET /stats`.
    pub coverage: Option<Coverage>,
}

/// How fast a target was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// Requests that got a response, which the percentiles are over.
    pub population_size: i64,
    /// Whether the percentiles are exact.
    pub exact: bool,
    /// By how much they may be off, relative to themselves.
    pub max_relative_error: f64,
    /// The 50th, 95th and 99th.
    pub percentiles: Vec<Percentile>,
}

/// How fast a target was in an hour.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HourOverview {
    /// When it begins.
    #[serde(with = "timestamp")]
    pub at: Timestamp,
    /// Probes in it.
    pub probes: i64,
    /// The median, in milliseconds; null without a response.
    pub p50_ms: Option<f64>,
    /// The 95th percentile.
    pub p95_ms: Option<f64>,
}

/// What the slots of a day came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DayOverview {
    /// When it begins.
    #[serde(with = "timestamp")]
    pub at: Timestamp,
    /// Slots with the verdict up.
    pub up: i64,
    /// With the verdict degraded.
    pub degraded: i64,
    /// With the verdict down.
    pub down: i64,
    /// Slots in which no request was made.
    pub missed: i64,
    /// Slots that were due; null where no schedule says how many.
    pub expected: Option<i64>,
}

impl WindowOverview {
    /// Of a target without anything in the window.
    fn nothing(window: &'static str, (from, to): (Option<Timestamp>, Option<Timestamp>)) -> Self {
        Self {
            window,
            from,
            to,
            first_probe_at: None,
            probes: 0,
            up: 0,
            degraded: 0,
            down: 0,
            missed: 0,
            uptime: None,
            coverage: None,
        }
    }

    fn new(window: &'static str, stats: &TargetStats) -> Self {
        let TargetStats { from, to, figures, .. } = stats;
        let Figures { probes, up, degraded, down, missed, first_probe_at, .. } = *figures;
        let (uptime, coverage) = (figures.uptime.clone(), figures.coverage.clone());
        Self { window, from: *from, to: *to, first_probe_at, probes, up, degraded, down, missed, uptime, coverage }
    }
}

impl Latency {
    fn new(figures: &Figures) -> Self {
        Self {
            population_size: figures.population_size,
            exact: figures.exact,
            max_relative_error: figures.max_relative_error,
            percentiles: figures.percentiles.clone(),
        }
    }
}

impl HourOverview {
    fn new(bucket: &BucketStats) -> Self {
        let BucketStats { bucket: at, figures } = bucket;
        Self { at: *at, probes: figures.probes, p50_ms: figures.p50_ms, p95_ms: figures.p95_ms }
    }
}

impl DayOverview {
    fn new(bucket: &BucketStats) -> Self {
        let BucketStats { bucket: at, figures } = bucket;
        let Figures { up, degraded, down, missed, .. } = *figures;
        let expected = figures.coverage.as_ref().and_then(|coverage| coverage.expected);
        Self { at: *at, up, degraded, down, missed, expected }
    }
}
