//! How an answer is split into parts, and which part a probe belongs to. Pure.

use shared::{
    Micros, Span,
    history::{Measure, Verdict},
    record::Outcome,
};

/// How an answer is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split {
    /// By what, beside time.
    pub by: By,
    /// Into buckets of time.
    pub bucket: Option<Bucket>,
}

/// What an answer is split by: any of these together, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct By {
    /// Where the probe was made from.
    pub location: bool,
    /// The class of the status.
    pub status: bool,
    /// The verdict; of an attempt that was made again, its own.
    pub outcome: bool,
    /// The phase: not parts of the probes, but parts of their time.
    pub phase: bool,
}

/// The length of a bucket of time. Buckets begin at multiples of it in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bucket {
    /// `1m`.
    Minute,
    /// `5m`.
    FiveMinutes,
    /// `1h`.
    Hour,
    /// `1d`.
    Day,
}

/// What probes have in common, beside time: as much of it as is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Group {
    /// The id of their location.
    pub location: Option<i16>,
    /// The first digit of their status, 0 where it is beyond 599; none without a response.
    pub status: Option<Option<u16>>,
    /// Their verdict.
    pub outcome: Option<Outcome>,
    /// A place in [`Measure::PHASES`].
    pub phase: Option<usize>,
}

/// A part of what is known about a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Part {
    /// What its probes have in common.
    pub group: Group,
    /// When its bucket begins.
    pub bucket: Option<Micros>,
}

impl Bucket {
    /// Its length, in microseconds.
    #[must_use]
    pub fn length(self) -> i64 {
        const MINUTE: i64 = 60_000_000;
        match self {
            Self::Minute => MINUTE,
            Self::FiveMinutes => 5 * MINUTE,
            Self::Hour => 60 * MINUTE,
            Self::Day => 24 * 60 * MINUTE,
        }
    }

    /// How many there are from the one of an instant to the one of another.
    #[must_use]
    pub fn count(self, (first, last): (Micros, Micros)) -> u64 {
        let distance = self.start(last).0.saturating_sub(self.start(first).0);
        u64::try_from(distance / self.length() + 1).unwrap_or(0)
    }

    /// The end of the bucket of an instant, which is the start of the next one.
    #[must_use]
    pub fn end(self, instant: Micros) -> Micros {
        Micros(self.start(instant).0.saturating_add(self.length()))
    }

    /// The start of the bucket of an instant.
    #[must_use]
    pub fn start(self, instant: Micros) -> Micros {
        Micros(instant.0 - instant.0.rem_euclid(self.length()))
    }
}

impl By {
    /// Whether it is split at all.
    #[must_use]
    pub fn is_any(self) -> bool {
        self.location || self.status || self.outcome || self.phase
    }

    /// Whether the groups are of probes that have nothing but their location in common, so that there are uptime and
    /// coverage of each.
    #[must_use]
    pub fn is_by_location_alone(self) -> bool {
        self == Self { location: true, ..Self::default() }
    }
}

impl Split {
    /// Whether each probe has to be looked at: a chunk holds several parts.
    pub(super) fn needs_samples(self) -> bool {
        self.by.status || self.by.outcome || self.bucket.is_some_and(|bucket| bucket < Bucket::Hour)
    }

    /// The longest span that lies in one part.
    pub(super) fn coarsest(self) -> Span {
        match self.bucket {
            _ if self.needs_samples() => Span::Hour,
            None => Span::Month,
            Some(Bucket::Day) => Span::Day,
            Some(_) => Span::Hour,
        }
    }

    /// What is to be measured of each probe, and in which group by phase.
    pub(super) fn measures(self, measure: Measure) -> Vec<(Option<usize>, Measure)> {
        let phases = Measure::PHASES.into_iter().enumerate().filter(|_| self.by.phase);
        std::iter::once((None, measure)).chain(phases.map(|(phase, measure)| (Some(phase), measure))).collect()
    }

    /// The bucket of an instant.
    pub(super) fn bucket(self, instant: Micros) -> Option<Micros> {
        self.bucket.map(|bucket| bucket.start(instant))
    }

    /// The part of a probe; or of a span, with any verdict, where parts are not smaller than that.
    pub(super) fn part(self, location: i16, verdict: Option<Verdict>, instant: Micros) -> Part {
        let group = Group {
            location: self.by.location.then_some(location),
            status: verdict.filter(|_| self.by.status).map(|verdict| verdict.status.map(class)),
            outcome: verdict.filter(|_| self.by.outcome).map(|verdict| verdict.outcome),
            phase: None,
        };
        Part { group, bucket: self.bucket(instant) }
    }
}

impl Part {
    /// The same of a phase.
    pub(super) fn with_phase(mut self, phase: Option<usize>) -> Self {
        self.group.phase = phase;
        self
    }
}

fn class(status: u16) -> u16 {
    if status < 600 { status / 100 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_begin_at_multiples_of_their_length() {
        let at = |text: &str| Micros::from(text.parse::<jiff::Timestamp>().unwrap());
        for (bucket, expected) in [
            (Bucket::Minute, "2026-11-23T12:59:00Z"),
            (Bucket::FiveMinutes, "2026-11-23T12:55:00Z"),
            (Bucket::Hour, "2026-11-23T12:00:00Z"),
            (Bucket::Day, "2026-11-23T00:00:00Z"),
        ] {
            assert_eq!(bucket.start(at("2026-11-23T12:59:59.999999Z")), at(expected));
            assert_eq!(bucket.start(at(expected)), at(expected));
        }
        assert_eq!(Bucket::Hour.start(at("1969-12-31T23:59:59Z")), at("1969-12-31T23:00:00Z"));
    }
}
