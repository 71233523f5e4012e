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
    /// before what was looked at, and for stale.
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

/// What was seen from an instant to another one, by one location.
#[derive(Debug, Clone, Copy)]
struct Run {
    from: Micros,
    to: Micros,
    state: TargetState,
}

/// What all locations see, and since when.
#[derive(Debug)]
pub struct Seen {
    /// Each of them, by name.
    pub locations: Vec<(i16, LocationState)>,
    runs: Vec<Run>,
    /// Since when it was looked at, and for how long a verdict is fresh, at most.
    from: Micros,
    fresh: i64,
}

impl Seen {
    /// Nothing, of what was looked at from an instant on.
    #[must_use]
    pub fn new(from: Micros) -> Self {
        Self { locations: Vec::new(), runs: Vec::new(), from, fresh: 0 }
    }

    /// Adds what a location sees as of an instant; without a reason.
    pub fn add(&mut self, (id, name): (i16, String), seen: &State, schedule: Option<&Schedule>, as_of: Micros) {
        let interval = schedule.and_then(|schedule| schedule.interval(seen.last));
        let fresh = interval.map_or(FRESH_WITHOUT_INTERVAL, fresh);
        self.fresh = self.fresh.max(fresh);
        let state = if as_of.0.saturating_sub(seen.last.0) > fresh {
            TargetState::Stale
        } else {
            TargetState::of(seen.verdict.outcome)
        };
        // The last run goes on, or until nobody could say so any more.
        let end = if state == TargetState::Stale { Micros(seen.last.0.saturating_add(fresh)) } else { Micros::MAX };
        let ends = seen.changes.iter().skip(1).map(|(instant, _)| *instant).chain([end]);
        let runs = seen.changes.iter().zip(ends).map(|((from, outcome), to)| Run {
            from: *from,
            to,
            state: TargetState::of(*outcome),
        });
        let before = self.runs.len();
        self.runs.extend(runs);
        let since = self.since(self.runs.get(before..).unwrap_or_default(), state);
        let location = LocationState {
            location: name,
            state,
            since,
            last_probe_at: seen.last.timestamp(),
            status: seen.verdict.status,
            error: seen.verdict.error,
            reason: None,
        };
        self.locations.push((id, location));
    }

    /// What they see together: the worst that is not stale, and since when the worst has been that.
    #[must_use]
    pub fn together(&self) -> (TargetState, Option<Timestamp>) {
        let worst = self.locations.iter().map(|(_, seen)| seen.state).max().unwrap_or(TargetState::Stale);
        (worst, self.since(&self.runs, worst))
    }

    /// Since when the worst of some runs has been what it is now; `None` where that may be since before what was looked at.
    fn since(&self, runs: &[Run], worst: TargetState) -> Option<Timestamp> {
        if worst == TargetState::Stale {
            return None;
        }
        // Back from one run that is that bad to another one that it goes on from.
        let mut since = Micros::MAX;
        while let Some(earlier) = runs
            .iter()
            .filter(|run| run.state == worst && run.from < since && run.to >= since)
            .map(|run| run.from)
            .min()
        {
            since = earlier;
        }
        // It was worse before.
        let worse = runs.iter().filter(|run| run.state > worst).map(|run| run.to).max();
        let since = worse.map_or(since, |worse| since.max(worse));
        // What is as it was from the very beginning may have been so before.
        let has_changed = runs.iter().any(|run| run.from < since);
        (has_changed || since.0.saturating_sub(self.from.0) > self.fresh).then(|| since.timestamp())
    }
}

impl TargetState {
    fn of(outcome: Outcome) -> Self {
        match outcome {
            // What was missed is no verdict.
            Outcome::Up | Outcome::Missed => Self::Up,
            Outcome::Degraded => Self::Degraded,
            Outcome::Down => Self::Down,
        }
    }
}

/// For how long a verdict is fresh, by the interval; both in microseconds.
#[must_use]
pub fn fresh(interval: i64) -> i64 {
    interval.saturating_mul(2).saturating_add(ON_THE_WAY)
}

#[cfg(test)]
mod tests {
    use Outcome::{Degraded, Down, Up};
    use shared::history::Verdict;

    use super::*;

    const MINUTE: i64 = 60_000_000;

    /// What is seen together as of minute 0, of what was looked at from minute -60 on: of each location its changes, and
    /// when it was probed last. Minutes.
    fn together(locations: &[(&[(i64, Outcome)], i64)], interval_ms: Option<i32>) -> (TargetState, Option<i64>) {
        let mut schedule = Schedule::default();
        schedule.push(Micros(-1_000 * MINUTE), interval_ms);
        let mut all = Seen::new(Micros(-60 * MINUTE));
        for (changes, last) in locations {
            let changes: Vec<_> = changes.iter().map(|(at, outcome)| (Micros(at * MINUTE), *outcome)).collect();
            let outcome = changes.last().unwrap().1;
            let verdict = Verdict { status: None, outcome, error: None, is_retried: false, is_late: false };
            let state = State { verdict, last: Micros(last * MINUTE), changes };
            all.add((0, String::new()), &state, Some(&schedule), Micros(0));
        }
        let (state, since) = all.together();
        (state, since.map(|since| Micros::from(since).0 / MINUTE))
    }

    #[test]
    fn what_was_not_seen_for_two_intervals_and_two_minutes_is_stale() {
        let state = |last, interval| together(&[(&[(-50, Up), (-40, Down)], last)], interval);

        assert_eq!(state(-4, Some(60_000)), (TargetState::Down, Some(-40)));
        assert_eq!(state(-5, Some(60_000)), (TargetState::Stale, None));
        // As of an instant before the newest probe.
        assert_eq!(state(1, Some(60_000)).0, TargetState::Down);
        assert_eq!((state(-60, None).0, state(-61, None).0), (TargetState::Down, TargetState::Stale));
    }

    #[test]
    fn what_is_new_is_as_it_is_since_it_came_and_what_is_old_perhaps_longer() {
        let since = |begun| together(&[(&[(begun, Up)], 0)], Some(60_000)).1;

        assert_eq!((since(-56), since(-55)), (None, Some(-55)));
    }

    #[test]
    fn together_it_is_the_worst_of_what_is_fresh_since_it_was_that() {
        let together = |locations: &[(&[(i64, Outcome)], i64)]| together(locations, Some(60_000));
        let up: (&[_], _) = (&[(-60, Up)], 0);

        assert_eq!(together(&[up, (&[(-60, Up), (-8, Down)], 0)]), (TargetState::Down, Some(-8)));
        // One after the other, and both at once.
        let down = together(&[(&[(-60, Up), (-30, Down), (-10, Up)], 0), (&[(-60, Up), (-20, Down)], 0), up]);
        assert_eq!(down, (TargetState::Down, Some(-30)));
        let down = together(&[(&[(-60, Up), (-30, Down), (-21, Up)], 0), (&[(-60, Up), (-20, Down)], 0), up]);
        assert_eq!(down, (TargetState::Down, Some(-20)));
        assert_eq!(together(&[up, (&[(-60, Down)], 0)]), (TargetState::Down, None));
        // Up since the last of all came up, degraded since none was down any more.
        assert_eq!(together(&[up, (&[(-60, Down), (-7, Up)], 0)]), (TargetState::Up, Some(-7)));
        let degraded = together(&[(&[(-60, Down), (-10, Degraded)], 0), (&[(-60, Up), (-50, Degraded)], 0)]);
        assert_eq!(degraded, (TargetState::Degraded, Some(-10)));
        // What one saw that sees nothing now counted for as long as it was fresh.
        assert_eq!(together(&[up, (&[(-60, Down)], -10)]), (TargetState::Up, Some(-6)));
        assert_eq!(together(&[(&[(-60, Down)], -10)]), (TargetState::Stale, None));
        assert_eq!(together(&[]), (TargetState::Stale, None));
    }
}
