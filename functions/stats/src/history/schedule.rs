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
    pub(super) fn push(&mut self, since: Micros, interval_ms: Option<i32>) {
        let interval = interval_ms.filter(|millis| *millis > 0).map(|millis| i64::from(millis) * 1_000);
        self.periods.push((since, interval));
    }

    /// The interval at an instant, in microseconds; `None` before the first one is known, and where no schedule asked.
    #[must_use]
    pub fn interval(&self, instant: Micros) -> Option<i64> {
        let known = self.periods.partition_point(|(since, _)| *since <= instant);
        self.periods.get(known.checked_sub(1)?)?.1
    }

    /// The interval that was said last.
    #[must_use]
    pub fn last_interval(&self) -> Option<i64> {
        self.periods.last()?.1
    }

    /// How many slots there are from one instant up to another: so many intervals, rounded down. What came before the first
    /// interval is known has none. `None` where some of the rest has no interval.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "below 2^53"
    )]
    pub fn slots(&self, from: Micros, to: Micros) -> Option<u64> {
        let (mut slots, mut is_known) = (0.0, false);
        let ends = self.periods.iter().skip(1).map(|(since, _)| *since).chain([Micros::MAX]);
        for (&(since, interval), end) in self.periods.iter().zip(ends) {
            let length = end.min(to).0.saturating_sub(since.max(from).0);
            if length > 0 {
                slots += length as f64 / interval? as f64;
                is_known = true;
            }
        }
        // What is a whole number but for how floating-point numbers are added is that number.
        is_known.then_some((slots + 1e-6) as u64)
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
        assert_eq!(slots(0, 59), Some(0));
        assert_eq!(slots(0, 60), Some(1));
        // Half of a slot before, a fifth after.
        assert_eq!(slots(570, 660), Some(0));
        assert_eq!(slots(-600, 120), Some(2));
        assert_eq!(slots(-600, 0), None);
        assert_eq!(schedule.interval(Micros(-1)), None);
        assert_eq!(schedule.interval(Micros(600 * SECOND - 1)), Some(60 * SECOND));
        assert_eq!(schedule.interval(Micros(600 * SECOND)), Some(300 * SECOND));
        schedule.push(Micros(1_200 * SECOND), None);
        assert_eq!(schedule.slots(Micros(0), Micros(1_200 * SECOND + 1)), None);
        assert_eq!(schedule.last_interval(), None);
    }
}
