//! How often a target was to be probed from a location. Pure.

use shared::Micros;

/// The intervals that records said, each from when on; the last one holds still.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// In the order of time, in microseconds; none where no schedule asked.
    periods: Vec<(Micros, Option<i64>)>,
}

impl Schedule {
    /// One that nothing is known of.
    pub(super) const fn unknown() -> Self {
        Self { periods: Vec::new() }
    }

    /// Adds what held from an instant on, after all that was added before.
    pub(crate) fn push(&mut self, since: Micros, interval_ms: Option<i32>) {
        let interval = interval_ms.filter(|millis| *millis > 0).map(|millis| i64::from(millis) * 1_000);
        // Something else may have changed, or what was said late may be stored twice.
        if self.periods.last().is_none_or(|(_, last)| *last != interval) {
            self.periods.push((since, interval));
        }
    }

    /// The interval at an instant, in microseconds; `None` before the first one is known, and where no schedule asked.
    #[must_use]
    pub fn interval(&self, instant: Micros) -> Option<i64> {
        let known = self.periods.partition_point(|(since, _)| *since <= instant);
        self.periods.get(known.checked_sub(1)?)?.1
    }

    /// The interval that holds from one instant to another; `None` where it is not known, or another one comes between.
    pub(super) fn interval_through(&self, first: Micros, last: Micros) -> Option<i64> {
        let changes = self.periods.iter().any(|(since, _)| first < *since && *since <= last);
        self.interval(first).filter(|_| !changes)
    }

    /// How many slots there are from one instant up to another: an interval apart, the first one at the instant from which on
    /// the interval is known. Before another interval, one that would have less than half of its own left is none: probes do
    /// not start at the very microsecond. `None` where some of the time has no interval; what comes before the first one has no slots.
    #[must_use]
    pub fn slots(&self, from: Micros, to: Micros) -> Option<u64> {
        let (mut slots, mut is_known) = (0, false);
        let ends = self.periods.iter().skip(1).map(|(since, _)| *since).chain([Micros::MAX]);
        for (&(since, interval), end) in self.periods.iter().zip(ends) {
            let (from, to) = (from.max(since), to.min(end));
            if from < to {
                let interval = interval?;
                let all = end.0.saturating_sub(since.0).saturating_add(interval / 2) / interval;
                // The number of slots before an instant.
                let before = |instant: Micros| {
                    let distance = instant.0.saturating_sub(since.0);
                    (distance / interval + i64::from(distance % interval > 0)).min(all)
                };
                slots += u64::try_from(before(to) - before(from)).unwrap_or(0);
                is_known = true;
            }
        }
        is_known.then_some(slots)
    }

    /// Since when it is known.
    #[must_use]
    pub fn since(&self) -> Option<Micros> {
        self.periods.first().map(|(since, _)| *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn slots_are_those_of_each_period() {
        let mut schedule = Schedule::default();
        schedule.push(Micros(0), Some(60_000));
        schedule.push(Micros(600 * SECOND), Some(300_000));
        let slots = |from, to| schedule.slots(Micros(from * SECOND), Micros(to * SECOND));

        // Ten minutes of one minute, ten of five.
        assert_eq!(slots(0, 1_200), Some(12));
        assert_eq!(slots(0, 60), Some(1));
        assert_eq!(slots(0, 61), Some(2));
        assert_eq!(slots(1, 60), Some(0));
        // The one that begins the second period.
        assert_eq!(slots(570, 660), Some(1));
        // Parts add up, wherever they are cut.
        let parts: u64 =
            [0, 7, 60, 61, 599, 600, 601, 900, 1_200].windows(2).filter_map(|ends| slots(ends[0], ends[1])).sum();
        assert_eq!(parts, 12);
        assert_eq!(slots(-600, 120), Some(2));
        assert_eq!(slots(-600, 0), None);
        assert_eq!(schedule.interval(Micros(-1)), None);
        assert_eq!(schedule.interval_through(Micros(0), Micros(600 * SECOND - 1)), Some(60 * SECOND));
        assert_eq!(schedule.interval_through(Micros(0), Micros(600 * SECOND)), None);
        assert_eq!(schedule.interval(Micros(600 * SECOND - 1)), Some(60 * SECOND));
        assert_eq!(schedule.interval(Micros(600 * SECOND)), Some(300 * SECOND));
        schedule.push(Micros(1_200 * SECOND), None);
        assert_eq!(schedule.slots(Micros(0), Micros(1_200 * SECOND + 1)), None);
    }

    #[test]
    fn what_is_said_again_and_what_starts_a_little_later_adds_no_slot() {
        let mut schedule = Schedule::default();
        schedule.push(Micros(10), Some(60_000));
        schedule.push(Micros(300 * SECOND), Some(60_000));
        schedule.push(Micros(600 * SECOND + 20), Some(300_000));

        assert_eq!(schedule.slots(Micros(0), Micros(1_200 * SECOND)), Some(12));
        assert_eq!(schedule.interval_through(Micros(10), Micros(599 * SECOND)), Some(60 * SECOND));
    }
}
