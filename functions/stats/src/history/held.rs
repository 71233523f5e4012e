//! For how long verdicts held. Pure.
//!
//! A verdict holds until the next one of its target and location, no longer than the interval it was to be probed at, and
//! no longer than what is asked about. What lies between the end of one and the next is time in which nobody looked.

use shared::{Micros, history::Course};

use super::schedule::Schedule;

/// How many of the locations from which a target is seen have to see it down for it to be down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    /// One of them.
    One,
    /// More than half of them. Half of them are not enough.
    Majority,
    /// Each of them.
    All,
}

/// For how long a target was up, and down, in microseconds; of several locations without a quorum, the sum of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Held {
    /// Up or degraded.
    pub up: f64,
    /// Down.
    pub down: f64,
}

/// What was read of the verdicts of one target, from one location, in one bucket of time.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    stretches: Vec<Stretch>,
    /// Each of them, where that is needed.
    each: Option<Vec<(Micros, bool)>>,
    /// Whether some cannot be added up: the interval was not known then, or no distances were kept.
    is_unknown: bool,
}

/// When verdicts came that follow each other and are the same, and whether that is up.
pub(super) type Run<'instants> = (&'instants [Micros], bool);

/// Verdicts that follow each other, and for how long those before the last held.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    first: Micros,
    last: Micros,
    last_is_up: bool,
    held: Held,
}

impl Quorum {
    /// Whether a target is down that so many see up, and so many down.
    fn is_down(self, up: i32, down: i32) -> bool {
        match self {
            Self::One => down > 0,
            Self::Majority => down > up,
            Self::All => down > 0 && up == 0,
        }
    }
}

impl Held {
    fn add(&mut self, is_up: bool, micros: f64) {
        *if is_up { &mut self.up } else { &mut self.down } += micros;
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { up: self.up + other.up, down: self.down + other.down }
    }
}

impl Verdicts {
    /// Nothing yet; each verdict is kept where a quorum has to be made.
    pub(super) fn new(keeps_each: bool) -> Self {
        Self { each: keeps_each.then(Vec::new), ..Self::default() }
    }

    /// Adds verdicts in the order of time.
    #[expect(clippy::cast_precision_loss, reason = "microseconds of years are below 2^53")]
    pub(super) fn extend<'runs>(&mut self, schedule: &Schedule, runs: impl IntoIterator<Item = Run<'runs>>) {
        let mut stretch: Option<Stretch> = None;
        for (instants, is_up) in runs {
            let (Some(&first), Some(&last)) = (instants.first(), instants.last()) else { continue };
            if let Some(each) = &mut self.each {
                each.extend(instants.iter().map(|instant| (*instant, is_up)));
            }
            // There are many of them, and nearly always one interval.
            let through = schedule.interval_through(first, last);
            let mut micros = 0;
            for pair in instants.windows(2) {
                let &[one, next] = pair else { continue };
                let interval = through.or_else(|| schedule.interval(one));
                self.is_unknown |= interval.is_none();
                micros += next.0.saturating_sub(one.0).min(interval.unwrap_or(0));
            }
            let mut held = Held::default();
            held.add(is_up, micros as f64);
            let next = Stretch { first, last, last_is_up: is_up, held };
            match stretch.as_mut() {
                Some(stretch) => self.is_unknown |= !stretch.join(next, schedule),
                None => stretch = Some(next),
            }
        }
        self.stretches.extend(stretch);
    }

    /// Adds the verdicts of a summary. One that does not know its course, or during which the interval changed, makes all of it
    /// unknown.
    pub(super) fn add_course(&mut self, schedule: &Schedule, course: Option<Option<Course>>) {
        let Some(course) = course else {
            self.is_unknown = true;
            return;
        };
        let Some(course) = course else { return };
        match schedule.interval_through(course.first, course.last) {
            Some(interval) => {
                let [up, down] = course.held(interval);
                let Course { first, last, last_is_up, .. } = course;
                self.stretches.push(Stretch { first, last, last_is_up, held: Held { up, down } });
            }
            None => self.is_unknown = true,
        }
    }

    /// Adds those of another time.
    pub(super) fn append(&mut self, other: &Self) {
        self.stretches.extend_from_slice(&other.stretches);
        if let (Some(each), Some(more)) = (&mut self.each, &other.each) {
            each.extend_from_slice(more);
        }
        self.is_unknown |= other.is_unknown;
    }

    /// Whether there was none, not even one of which no more is known.
    pub(super) fn is_empty(&self) -> bool {
        self.stretches.is_empty() && !self.is_unknown
    }

    /// When the first one came; `None` where that is not known.
    pub(super) fn first(&self) -> Option<Micros> {
        self.stretches.iter().map(|stretch| stretch.first).min().filter(|_| !self.is_unknown)
    }

    /// For how long they held, up to `end`; `None` where that is not known.
    pub(super) fn held(&self, schedule: &Schedule, end: Micros) -> Option<Held> {
        let mut stretches = self.stretches.clone();
        stretches.sort_by_key(|stretch| stretch.first);
        let mut is_known = !self.is_unknown;
        let whole = stretches.into_iter().reduce(|mut whole, next| {
            is_known &= whole.join(next, schedule);
            whole
        });
        let Some(mut whole) = whole else { return is_known.then(Held::default) };
        is_known &= whole.hold(end, schedule);
        is_known.then_some(whole.held)
    }

    /// When each began and ceased to hold, up to `end`; `None` where that is not known.
    fn holds(&self, schedule: &Schedule, end: Micros) -> Option<Vec<(Micros, Micros, bool)>> {
        let mut each = self.each.clone()?;
        each.sort_by_key(|(instant, _)| *instant);
        let next = each.iter().skip(1).map(|(instant, _)| *instant).chain([end]);
        let hold = |(&(from, is_up), next): (&(Micros, bool), Micros)| {
            let interval = schedule.interval(from)?;
            Some((from, next.min(end).min(Micros(from.0.saturating_add(interval))), is_up))
        };
        each.iter().zip(next).map(hold).collect()
    }
}

impl Stretch {
    /// Adds what followed; whether that could be done.
    fn join(&mut self, next: Self, schedule: &Schedule) -> bool {
        let is_known = self.hold(next.first, schedule);
        self.held = self.held.plus(next.held);
        (self.last, self.last_is_up) = (next.last, next.last_is_up);
        is_known
    }

    /// Lets the last verdict hold up to an instant, no longer than it may; whether the interval is known.
    #[expect(clippy::cast_precision_loss, reason = "microseconds of years are below 2^53")]
    fn hold(&mut self, until: Micros, schedule: &Schedule) -> bool {
        let interval = schedule.interval(self.last);
        let distance = until.0.saturating_sub(self.last.0).max(0);
        self.held.add(self.last_is_up, distance.min(interval.unwrap_or(0)) as f64);
        interval.is_some()
    }
}

/// For how long a quorum of the locations saw a target up or down, up to `end`; `None` where that is not known. Of the time
/// at which none of them had a verdict, nothing is known either way, and it does not count.
#[expect(clippy::cast_precision_loss, reason = "microseconds of years are below 2^53")]
pub(super) fn by_quorum<'verdicts>(
    quorum: Quorum,
    locations: impl IntoIterator<Item = (&'verdicts Verdicts, &'verdicts Schedule)>,
    end: Micros,
) -> Option<Held> {
    // What changes when: so many more see it up, and so many more down.
    let mut changes = Vec::new();
    for (verdicts, schedule) in locations {
        for (from, to, is_up) in verdicts.holds(schedule, end)? {
            if from < to {
                let votes = if is_up { (1, 0) } else { (0, 1) };
                changes.extend([(from, votes), (to, (-votes.0, -votes.1))]);
            }
        }
    }
    changes.sort_unstable_by_key(|(instant, _)| *instant);
    let (mut held, mut votes, mut before) = (Held::default(), (0, 0), Micros::MIN);
    for (instant, (up, down)) in changes {
        if votes != (0, 0) {
            held.add(!quorum.is_down(votes.0, votes.1), (instant.0 - before.0) as f64);
        }
        votes = (votes.0 + up, votes.1 + down);
        before = instant;
    }
    Some(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(second: i64) -> Micros {
        Micros(second * SECOND)
    }

    fn every(seconds: i32) -> Schedule {
        let mut schedule = Schedule::default();
        schedule.push(Micros::MIN, Some(seconds * 1_000));
        schedule
    }

    fn verdicts(schedule: &Schedule, verdicts: &[(i64, bool)]) -> Verdicts {
        let mut all = Verdicts::new(true);
        let instants: Vec<_> = verdicts.iter().map(|&(second, _)| at(second)).collect();
        let runs = verdicts.iter().zip(instants.chunks(1)).map(|(&(_, is_up), instant)| (instant, is_up));
        all.extend(schedule, runs);
        all
    }

    fn seconds(held: Option<Held>) -> (f64, f64) {
        let held = held.unwrap();
        (held.up / 1e6, held.down / 1e6)
    }

    #[test]
    fn a_verdict_holds_until_the_next_the_interval_or_the_end() {
        let every_minute = every(60);
        // 60 up, 60 down; of three minutes one is up; then 20 down, and up until the end.
        let all = verdicts(&every_minute, &[(0, true), (60, false), (120, true), (300, false), (320, true)]);

        assert_eq!(seconds(all.held(&every_minute, at(350))), (60.0 + 60.0 + 30.0, 80.0));
        assert_eq!(seconds(all.held(&every_minute, at(380))), (180.0, 80.0));
        assert_eq!(seconds(all.held(&every_minute, at(9_999))), (180.0, 80.0));
        // An end before the last, by a clock that is wrong, takes nothing away.
        assert_eq!(seconds(all.held(&every_minute, at(0))), (120.0, 80.0));
        assert_eq!(all.held(&Schedule::default(), at(350)), None);
        assert_eq!(Verdicts::new(false).held(&every_minute, at(0)), Some(Held::default()));
    }

    #[test]
    fn what_was_read_in_parts_is_what_would_have_been_read_at_once() {
        let every_minute = every(60);
        let all = [(0, true), (60, false), (120, true), (300, false), (320, true)];
        let mut parts = verdicts(&every_minute, &all[3..]);
        parts.append(&verdicts(&every_minute, &all[..1]));
        parts.append(&verdicts(&every_minute, &all[1..3]));

        assert_eq!(parts.held(&every_minute, at(350)), verdicts(&every_minute, &all).held(&every_minute, at(350)));
        // A change of the interval in between is heeded at every verdict.
        let mut changing = every(60);
        changing.push(at(120), Some(100_000));
        assert_eq!(seconds(verdicts(&changing, &all).held(&changing, at(350))), (60.0 + 100.0 + 30.0, 80.0));
        // A summary that does not know its course, and one without a verdict.
        parts.add_course(&every_minute, Some(None));
        assert!(parts.held(&every_minute, at(350)).is_some());
        parts.add_course(&every_minute, None);
        assert_eq!(parts.held(&every_minute, at(350)), None);
    }

    #[test]
    fn a_quorum_decides_at_every_instant_by_those_who_see() {
        let every_minute = every(60);
        // From 60 to 120 one of three is down, from 120 to 180 two; then one is left, which is down.
        let one = verdicts(&every_minute, &[(0, true), (60, false), (120, false), (180, false)]);
        let two = verdicts(&every_minute, &[(0, true), (60, true), (120, false)]);
        let three = verdicts(&every_minute, &[(0, true), (60, true), (120, true)]);
        let by = |quorum, locations: &[&Verdicts]| {
            let locations = locations.iter().map(|verdicts| (*verdicts, &every_minute));
            seconds(by_quorum(quorum, locations, at(1_000)))
        };

        assert_eq!(by(Quorum::One, &[&one, &two, &three]), (60.0, 180.0));
        assert_eq!(by(Quorum::Majority, &[&one, &two, &three]), (120.0, 120.0));
        assert_eq!(by(Quorum::All, &[&one, &two, &three]), (180.0, 60.0));
        // Of two, one is not more than half.
        assert_eq!(by(Quorum::Majority, &[&one, &three]), (180.0, 60.0));
        // A time at which nobody looked does not count.
        let later = verdicts(&every_minute, &[(500, true)]);
        assert_eq!(by(Quorum::One, &[&later]), (60.0, 0.0));
        assert_eq!(by(Quorum::One, &[&later, &three]), (240.0, 0.0));
    }
}
