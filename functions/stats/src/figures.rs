//! The figures: what is known about some probes, with the population and the strength of each.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{
    Micros,
    history::Counts,
    record::{FailureKind, Outcome},
    timestamp,
};

use crate::{
    estimate::{Intervals, Percentile, estimate, millis},
    history::{Held, Quorum, Schedule, Tally},
};

/// Classes of statuses, in the order in which they are counted.
pub(crate) const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// What percentiles are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Population {
    /// Requests that got a response, of any status.
    Responses,
    /// Requests in which the phase happened.
    Phase,
}

/// What is known about some probes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Every probe, whatever came of it; of a slot that was tried again, each attempt.
    pub probes: i64,
    /// Half of the population were at least this fast. In milliseconds, to the microsecond; null where there is none.
    pub p50_ms: Option<f64>,
    /// The 95th percentile.
    pub p95_ms: Option<f64>,
    /// The 99th percentile.
    pub p99_ms: Option<f64>,
    /// What the percentiles are over.
    pub population: Population,
    /// How many there are in it.
    pub population_size: i64,
    /// Probes that got a response of any status.
    pub responses: i64,
    /// Probes that got none; `probes` is `responses` and `failures`.
    pub failures: i64,
    /// Those of them that ended in a timeout, and are known to have waited for some time.
    pub timeouts: i64,
    /// Slots with the verdict up.
    pub up: i64,
    /// Slots with the verdict degraded: as expected, but slow.
    pub degraded: i64,
    /// Slots with the verdict down: failures, and responses that were not as expected, at the last attempt.
    pub down: i64,
    /// Slots in which no request was made that could tell anything; they are not among the probes.
    pub missed: i64,
    /// Attempts that failed and were made again in the same slot.
    pub retried: i64,
    /// Probes by the kind of their error; kinds that did not occur are left out.
    pub errors: BTreeMap<String, i64>,
    /// Responses by the class of their status, `1xx` to `5xx` and `other`; classes that did not occur are left out.
    pub statuses: BTreeMap<String, i64>,
    /// The least of the population.
    pub min_ms: Option<f64>,
    /// Its mean.
    pub mean_ms: Option<f64>,
    /// Its largest.
    pub max_ms: Option<f64>,
    /// The percentiles that were asked for, and how much is known of each.
    pub percentiles: Vec<Percentile>,
    /// Whether percentiles, extremes, mean and times are exact; otherwise whole days in them come from histograms.
    pub exact: bool,
    /// By how much they may be off, relative to themselves: 0 where they are exact. Counts are always exact.
    pub max_relative_error: f64,
    /// By how much the target was up; left out of groups by anything but location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<Uptime>,
    /// How much of the time was looked at; left out like that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// When the first probe started.
    #[serde(with = "timestamp::option")]
    pub first_probe_at: Option<Timestamp>,
    /// When the last one started.
    #[serde(with = "timestamp::option")]
    pub last_probe_at: Option<Timestamp>,
}

/// By how much a target was up, by two definitions. Shares have six digits, and are cut, not rounded: 1 is all of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Uptime {
    /// Of the slots with a verdict, the share that is up or degraded; null where there is none.
    pub by_probes: Option<f64>,
    /// Of the time in which a verdict held, the share in which it was up or degraded. A verdict holds until the next one, no
    /// longer than the interval and the window; null where no schedule says how long that is.
    pub by_time: Option<f64>,
    /// That time, in seconds; of several locations without a quorum, the sum of theirs.
    pub up_seconds: Option<f64>,
    /// And the rest of it.
    pub down_seconds: Option<f64>,
    /// How many of the locations had to see it down at a time, where that was asked for: `1`, `majority` or `all`. It decides
    /// by time; by probes, each location has its own verdicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<String>,
}

/// How much of what was to be probed was, in slots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// The slots of the window up to now, as the schedule has them; null where no schedule asked, or not for all of it.
    pub expected: Option<i64>,
    /// Those that have a verdict.
    pub observed: i64,
    /// Those that are known to have been missed; what is neither observed nor missed is not known to anybody.
    pub missed: i64,
    /// Those that began a tenth of their interval, and at least a second, after they were due; null where no schedule asked.
    pub late: Option<i64>,
    /// The share that was observed, at most 1, cut to six digits.
    pub share: Option<f64>,
}

impl Figures {
    /// The figures of what was read, with these percentiles; without uptime and coverage.
    #[must_use]
    pub fn new(mut tally: Tally, population: Population, asked: &[f64], intervals: &mut Intervals) -> Self {
        let always = [50.0, 95.0, 99.0];
        let wanted: Vec<f64> = always.into_iter().chain(asked.iter().copied()).collect();
        let (mut percentiles, extremes) = estimate(&mut tally, &wanted, intervals);
        let mut asked = percentiles.split_off(always.len());
        if population == Population::Phase {
            // A request that timed out says nothing of how long a phase would have taken that it did not come to.
            asked.iter_mut().for_each(|found| (found.with_timeouts_ms, found.at_least_ms) = (None, None));
        }
        let mut always = percentiles.into_iter().map(|percentile| percentile.ms);
        let [p50_ms, p95_ms, p99_ms] = [(); 3].map(|()| always.next().flatten());
        let counts = &tally.counts;
        let (probes, responses) = (counts.probes(), counts.responses());
        Self {
            probes: count(probes),
            p50_ms,
            p95_ms,
            p99_ms,
            population,
            population_size: count(tally.durations()),
            responses: count(responses),
            failures: count(probes.saturating_sub(responses)),
            timeouts: count(tally.timeouts()),
            up: count(counts.of(Outcome::Up)),
            degraded: count(counts.of(Outcome::Degraded)),
            down: count(counts.of(Outcome::Down)),
            missed: count(counts.of(Outcome::Missed)),
            retried: count(counts.retried),
            errors: named(FailureKind::ALL.map(name), counts.errors),
            statuses: named(CLASSES.map(str::to_owned), counts.status_classes),
            min_ms: extremes.map(|(least, _)| least),
            mean_ms: tally.mean().map(millis),
            max_ms: extremes.map(|(_, largest)| largest),
            percentiles: asked,
            exact: tally.is_exact(),
            max_relative_error: tally.relative_error(),
            uptime: None,
            coverage: None,
            first_probe_at: tally.range.map(|(first, _)| first.timestamp()),
            last_probe_at: tally.range.map(|(_, last)| last.timestamp()),
        }
    }
}

impl Uptime {
    /// From slots, and for how long verdicts held, if that is known.
    #[must_use]
    pub fn new(counts: &Counts, held: Option<Held>, quorum: Option<Quorum>) -> Self {
        let up = counts.of(Outcome::Up).saturating_add(counts.of(Outcome::Degraded));
        let seconds = |micros: f64| micros.round() / 1e6;
        Self {
            by_probes: share(whole(up), whole(up.saturating_add(counts.of(Outcome::Down)))),
            by_time: held.and_then(|held| share(held.up, held.up + held.down)),
            up_seconds: held.map(|held| seconds(held.up)),
            down_seconds: held.map(|held| seconds(held.down)),
            quorum: quorum.map(|quorum| {
                match quorum {
                    Quorum::One => "1",
                    Quorum::Majority => "majority",
                    Quorum::All => "all",
                }
                .to_owned()
            }),
        }
    }
}

impl Coverage {
    /// From counts, and how many slots there were, if that is known.
    #[must_use]
    pub fn new(counts: &Counts, expected: Option<u64>) -> Self {
        let observed = [Outcome::Up, Outcome::Degraded, Outcome::Down].map(|outcome| counts.of(outcome));
        let observed = observed.into_iter().fold(0, u64::saturating_add);
        Self {
            expected: expected.map(count),
            observed: count(observed),
            missed: count(counts.of(Outcome::Missed)),
            late: expected.map(|_| count(counts.late)),
            share: expected.and_then(|expected| share(whole(observed.min(expected)), whole(expected))),
        }
    }
}

/// How many slots the locations of a target had from one instant up to another, the first of whose probes was at `first`;
/// `None` where the schedule is not known for all of that.
pub(crate) fn expected<'schedules>(
    schedules: impl Iterator<Item = &'schedules Schedule> + Clone,
    first: Micros,
    (from, to): (Micros, Micros),
) -> Option<u64> {
    let since = schedules.clone().map(Schedule::since).collect::<Option<Vec<_>>>()?.into_iter().min()?;
    if first < since && from < since {
        return None;
    }
    // A location that came later had none before.
    let slots = |schedule: &Schedule| {
        if schedule.since().is_none_or(|since| since >= to) { Some(0) } else { schedule.slots(from, to) }
    };
    schedules.map(slots).sum()
}

/// A share with six digits, cut; `None` of nothing.
fn share(part: f64, whole: f64) -> Option<f64> {
    // What is all but for how floating-point numbers are added is all.
    (whole > 0.0).then(|| if whole - part < 0.5 { 1.0 } else { (part / whole * 1e6).floor() / 1e6 })
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn whole(count: u64) -> f64 {
    count as f64
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The counts that are not 0, by name.
fn named<const N: usize>(names: [String; N], counts: [u64; N]) -> BTreeMap<String, i64> {
    names.into_iter().zip(counts).filter(|(_, count)| *count > 0).map(|(name, number)| (name, count(number))).collect()
}

/// What something is called in records.
pub(crate) fn name(value: impl Serialize) -> String {
    json!(value).as_str().map(str::to_owned).unwrap_or_default()
}
