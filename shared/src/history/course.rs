//! The course of a target's verdicts as one location saw them: for how long each held, in a form that is added up without
//! keeping each.
//!
//! A verdict holds until the next one comes, but no longer than until the next one should have come: the interval, which
//! whoever reads knows. What is kept is how far apart verdicts were, after those that were up and after the others, in
//! histograms of milliseconds, so that the limit can be applied later. Two courses of which one ended before the other
//! began make one: from the last verdict of the first to the first of the second is a distance like any other.

use super::{
    FormatError, Verdict,
    histogram::{bucket, middle},
    varint::{Reader, put, put_bytes},
};
use crate::{micros::Micros, record::Outcome};

/// Verdicts in the order of time, at least one. Of verdicts of the same instant, the last that was added counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// When the first came.
    pub first: Micros,
    /// When the last came.
    pub last: Micros,
    /// Whether the last was up.
    pub last_is_up: bool,
    /// How far the next verdict was, after each that was up: milliseconds.
    after_up: Distances,
    /// The same, after each that was not.
    after_down: Distances,
}

/// A histogram with the buckets of [`Histogram`](super::Histogram), of which few have a count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Distances {
    /// In the order of buckets, none with 0.
    counts: Vec<(usize, u64)>,
}

impl Distances {
    fn add(&mut self, bucket: usize, count: u64) {
        match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(place) => self.counts.get_mut(place).into_iter().for_each(|(_, sum)| *sum = sum.saturating_add(count)),
            Err(place) => self.counts.insert(place, (bucket, count)),
        }
    }

    /// The sum of all of them, each no more than `limit`.
    #[expect(clippy::cast_precision_loss, reason = "what is lost is far below the bound")]
    fn sum_of_at_most(&self, limit: f64) -> f64 {
        self.counts.iter().map(|&(bucket, count)| middle(bucket).min(limit) * count as f64).sum()
    }

    /// As a histogram is encoded.
    fn encode(&self, out: &mut Vec<u8>) {
        let mut next = 0;
        for &(bucket, count) in &self.counts {
            put(out, (bucket - next) as u64);
            put(out, count);
            next = bucket + 1;
        }
    }

    fn read(mut reader: Reader<'_>) -> Result<Self, FormatError> {
        const LAST: usize = bucket(i32::MAX.unsigned_abs());
        let (mut distances, mut next) = (Self::default(), 0_usize);
        while reader.remaining() > 0 {
            let bucket = next.saturating_add(reader.take_as()?);
            if bucket > LAST {
                return reader.damaged("a distance is too long");
            }
            distances.counts.push((bucket, reader.take()?));
            next = bucket + 1;
        }
        Ok(distances)
    }
}

impl Verdict {
    /// Whether this is a verdict that says up (or degraded) or down; none where the slot was missed or tried again.
    #[must_use]
    pub fn is_up(self) -> Option<bool> {
        match self.outcome {
            _ if self.is_retried => None,
            Outcome::Up | Outcome::Degraded => Some(true),
            Outcome::Down => Some(false),
            Outcome::Missed => None,
        }
    }
}

impl Course {
    /// One verdict.
    #[must_use]
    pub fn new(instant: Micros, is_up: bool) -> Self {
        let (after_up, after_down) = Default::default();
        Self { first: instant, last: instant, last_is_up: is_up, after_up, after_down }
    }

    /// Adds the next verdict, not before the last one.
    pub fn push(&mut self, instant: Micros, is_up: bool) {
        let distance = instant.0.saturating_sub(self.last.0) / 1_000;
        let after = if self.last_is_up { &mut self.after_up } else { &mut self.after_down };
        after.add(bucket(i32::try_from(distance).unwrap_or(i32::MAX).max(0).unsigned_abs()), 1);
        (self.last, self.last_is_up) = (instant, is_up);
    }

    /// Adds what came later.
    pub fn append(&mut self, later: &Self) {
        // Whether the first of the later ones was up is in its own distances: here only the last of the earlier ones matters.
        self.push(later.first, later.last_is_up);
        later.after_up.counts.iter().for_each(|&(bucket, count)| self.after_up.add(bucket, count));
        later.after_down.counts.iter().for_each(|&(bucket, count)| self.after_down.add(bucket, count));
        self.last = later.last;
    }

    /// All of them as one, whatever their order; `None` where there is none.
    #[must_use]
    pub fn join(mut courses: Vec<Self>) -> Option<Self> {
        courses.sort_by_key(|course| course.first);
        courses.into_iter().reduce(|mut course, later| {
            course.append(&later);
            course
        })
    }

    /// For how long verdicts held that were up, and others, if none holds longer than `limit`; without the last, in
    /// microseconds. Within the relative error of histograms.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "microseconds of years are below 2^53")]
    pub fn held(&self, limit: i64) -> [f64; 2] {
        let limit = limit as f64 / 1_000.0;
        [&self.after_up, &self.after_down].map(|after| after.sum_of_at_most(limit) * 1_000.0)
    }

    /// Appends the course, in a span that begins at `start`; what reads it knows that there is one.
    pub(super) fn encode(&self, start: Micros, out: &mut Vec<u8>) {
        for instant in [self.first, self.last] {
            put(out, instant.0.saturating_sub(start.0).max(0).unsigned_abs());
        }
        put(out, self.last_is_up.into());
        for after in [&self.after_up, &self.after_down] {
            let mut bytes = Vec::new();
            after.encode(&mut bytes);
            put_bytes(out, &bytes);
        }
    }

    /// Reads what [`Course::encode`] wrote.
    pub(super) fn read(start: Micros, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut instant = || reader.take_as().map(|offset: i64| Micros(start.0.saturating_add(offset)));
        let mut course = Self { first: instant()?, last: instant()?, ..Self::new(start, true) };
        course.last_is_up = reader.take()? != 0;
        course.after_up = Distances::read(reader.take_bytes()?)?;
        course.after_down = Distances::read(reader.take_bytes()?)?;
        Ok(course)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verdicts at seconds.
    fn course(verdicts: &[(i64, bool)]) -> Course {
        let mut course = Course::new(Micros(verdicts[0].0 * 1_000_000), verdicts[0].1);
        verdicts[1..].iter().for_each(|&(second, is_up)| course.push(Micros(second * 1_000_000), is_up));
        course
    }

    #[test]
    fn a_verdict_holds_until_the_next_one_and_no_longer_than_the_limit() {
        let course = course(&[(0, true), (60, false), (120, true), (300, true), (301, false)]);

        // 60 up, 60 down, 60 of 180 up, 1 up; the last is not in it.
        let [up, down] = course.held(60_000_000).map(|micros| micros / 1_000_000.0);
        assert!((up - 121.0).abs() < 0.01 && (down - 60.0).abs() < 0.01, "{up} {down}");
        let [up, down] = course.held(10_000_000).map(|micros| micros / 1_000_000.0);
        assert!((up - 21.0).abs() < 0.01 && (down - 10.0).abs() < 0.01, "{up} {down}");
    }

    #[test]
    fn courses_in_any_order_are_joined_as_if_they_had_been_one() {
        let verdicts = [(0, true), (60, false), (120, true), (300, false), (301, false), (400, true)];
        let parts = [&verdicts[4..], &verdicts[..1], &verdicts[1..4]].map(course);

        assert_eq!(Course::join(parts.to_vec()), Some(course(&verdicts)));
        assert_eq!(Course::join(Vec::new()), None);
    }

    #[test]
    fn what_is_no_verdict_does_not_count() {
        let verdict = Verdict { status: None, outcome: Outcome::Down, error: None, is_retried: false, is_late: false };

        assert_eq!(verdict.is_up(), Some(false));
        assert_eq!(Verdict { is_retried: true, ..verdict }.is_up(), None);
        assert_eq!(Verdict { outcome: Outcome::Missed, ..verdict }.is_up(), None);
        assert_eq!(Verdict { outcome: Outcome::Degraded, ..verdict }.is_up(), Some(true));
    }
}
