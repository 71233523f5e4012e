//! In which state a target is. Pure.

use jiff::Timestamp;
use serde::Serialize;
use shared::{
    Micros,
    record::{FailureKind, Outcome},
    timestamp,
};

use crate::history::{Schedule, State};

/// What is not probed by a schedule that is known is stale after this, in microseconds.
const FRESH_WITHOUT_INTERVAL: i64 = 3_600_000_000;
/// How long a record may take to the database, in microseconds: batches wait to be filled.
const ON_THE_WAY: i64 = 120_000_000;

/// In which state a target is, or a location sees it; from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// Its newest verdict is old: more than two intervals and two minutes, or an hour where no interval is known. Nothing is
    /// known of now.
    Stale,
    /// As expected.
    Up,
    /// As expected, but slow.
    Degraded,
    /// No response, or not the expected one.
    Down,
}

/// How a location sees a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LocationState {
    /// Its name; empty where it has none.
    pub location: String,
    /// What it sees.
    pub state: TargetState,
    /// Since when: the first probe with this outcome after one with another, or after none; null where it may have begun
    /// before the last 24 hours, and for stale.
    #[serde(with = "timestamp::option")]
    pub since: Option<Timestamp>,
    /// When the probe of its newest verdict started.
    #[serde(with = "timestamp")]
    pub last_probe_at: Timestamp,
    /// The status of that probe; null without a response.
    pub status: Option<u16>,
    /// Why it is not up: the kind.
    pub error: Option<FailureKind>,
    /// And in words; null where there are none, or the row of the probe is not there any more.
    pub reason: Option<String>,
}

impl LocationState {
    /// What a location sees as of an instant, of what was looked at `from` another one on; without a reason.
    #[must_use]
    pub fn new(location: String, seen: &State, schedule: Option<&Schedule>, (from, as_of): (Micros, Micros)) -> Self {
        let fresh = |at: Micros| {
            let interval = schedule.and_then(|schedule| schedule.interval(at));
            interval.map_or(FRESH_WITHOUT_INTERVAL, |micros| micros.saturating_mul(2).saturating_add(ON_THE_WAY))
        };
        let state = match seen.verdict.outcome {
            _ if as_of.0.saturating_sub(seen.last.0) > fresh(seen.last) => TargetState::Stale,
            Outcome::Degraded => TargetState::Degraded,
            Outcome::Down => TargetState::Down,
            // What was missed is no verdict.
            Outcome::Up | Outcome::Missed => TargetState::Up,
        };
        // What is as it was from the very beginning may have been so before.
        let is_known = seen.has_changed || seen.since.0.saturating_sub(from.0) > fresh(seen.since);
        let since = (is_known && state != TargetState::Stale).then(|| seen.since.timestamp());
        Self {
            location,
            state,
            since,
            last_probe_at: seen.last.timestamp(),
            status: seen.verdict.status,
            error: seen.verdict.error,
            reason: None,
        }
    }
}

/// What locations see together: the worst of it, and since when. It is down since the first of those began to see it so that
/// still do, and up since the last of all came to see it so.
#[must_use]
pub fn together(locations: &[LocationState]) -> (TargetState, Option<Timestamp>) {
    let worst = locations.iter().map(|seen| seen.state).max().unwrap_or(TargetState::Stale);
    let sinces = locations.iter().filter(|seen| seen.state == worst).map(|seen| seen.since);
    // `None` is before every instant.
    let since = if worst == TargetState::Up { sinces.max() } else { sinces.min() };
    (worst, since.flatten())
}

#[cfg(test)]
mod tests {
    use shared::history::Verdict;

    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn seen(outcome: Outcome, since: Option<i64>, age: i64, interval_ms: Option<i32>) -> LocationState {
        let verdict = Verdict { status: None, outcome, error: None, is_retried: false, is_late: false };
        let (begun, has_changed) = (Micros(since.unwrap_or(-60 * MINUTE)), since.is_some());
        let state = State { verdict, last: Micros(-age), since: begun, has_changed };
        let mut schedule = Schedule::default();
        schedule.push(Micros(-100 * MINUTE), interval_ms);
        LocationState::new(String::new(), &state, Some(&schedule), (Micros(-60 * MINUTE), Micros(0)))
    }

    #[test]
    fn what_is_new_is_as_it_is_since_it_came_and_what_is_old_perhaps_longer() {
        let verdict = Verdict { status: None, outcome: Outcome::Up, error: None, is_retried: false, is_late: false };
        let mut schedule = Schedule::default();
        schedule.push(Micros(-100 * MINUTE), Some(60_000));
        let since = |begun: i64| {
            let state = State { verdict, last: Micros(0), since: Micros(begun), has_changed: false };
            let seen = LocationState::new(String::new(), &state, Some(&schedule), (Micros(-60 * MINUTE), Micros(0)));
            seen.since.map(|since| Micros::from(since).0)
        };

        assert_eq!((since(-56 * MINUTE), since(-56 * MINUTE + 1)), (None, Some(-56 * MINUTE + 1)));
    }

    #[test]
    fn what_was_not_seen_for_two_intervals_and_two_minutes_is_stale() {
        let state = |age, interval| seen(Outcome::Down, Some(-5), age, interval).state;

        assert_eq!(state(4 * MINUTE, Some(60_000)), TargetState::Down);
        assert_eq!(state(4 * MINUTE + 1, Some(60_000)), TargetState::Stale);
        assert_eq!(state(60 * MINUTE, None), TargetState::Down);
        assert_eq!(state(60 * MINUTE + 1, None), TargetState::Stale);
        // As of an instant before the newest probe.
        assert_eq!(state(-MINUTE, Some(60_000)), TargetState::Down);
        assert_eq!(seen(Outcome::Up, Some(-5), 5 * MINUTE, Some(60_000)).since, None);
    }

    #[test]
    fn together_is_the_worst_of_what_is_fresh() {
        let at = |micros: i64| Some(Micros(micros).timestamp());
        let fresh = |outcome, since| seen(outcome, since, MINUTE, Some(60_000));
        let stale = || seen(Outcome::Down, Some(-9), 9 * MINUTE, Some(60_000));
        let (up, down) = (fresh(Outcome::Up, Some(-7)), fresh(Outcome::Down, Some(-8)));

        assert_eq!(together(&[up.clone(), stale()]), (TargetState::Up, at(-7)));
        assert_eq!(together(&[up.clone(), down.clone(), fresh(Outcome::Down, Some(-6))]), (TargetState::Down, at(-8)));
        assert_eq!(together(&[down, fresh(Outcome::Down, None)]), (TargetState::Down, None));
        assert_eq!(together(&[up.clone(), fresh(Outcome::Up, None)]), (TargetState::Up, at(-7)));
        assert_eq!(together(&[up, fresh(Outcome::Degraded, Some(-2))]), (TargetState::Degraded, at(-2)));
        assert_eq!(together(&[stale()]), (TargetState::Stale, None));
        assert_eq!(together(&[]), (TargetState::Stale, None));
    }
}
