//! How an answer is split into parts, and which part a probe belongs to. Pure.

use shared::{Micros, Span, history::Verdict, record::Outcome};

/// How an answer is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split {
    /// By what, beside time.
    pub by: Option<By>,
    /// Into buckets of time.
    pub bucket: Option<Bucket>,
}

/// What an answer is split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Where the probe was made from.
    Location,
    /// The class of the status.
    Status,
    /// The verdict; of an attempt that was made again, its own.
    Outcome,
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

/// What probes have in common, beside time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The id of their location.
    Location(i16),
    /// The first digit of their status, 0 where it is beyond 599; none without a response.
    Status(Option<u16>),
    /// Their verdict.
    Outcome(Outcome),
}

/// A part of what is known about a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Part {
    /// What its probes have in common.
    pub group: Option<Group>,
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

    /// The start of the bucket of an instant.
    #[must_use]
    pub fn start(self, instant: Micros) -> Micros {
        Micros(instant.0 - instant.0.rem_euclid(self.length()))
    }
}

impl Split {
    /// Whether each probe has to be looked at: a chunk holds several parts.
    pub(super) fn needs_samples(self) -> bool {
        matches!(self.by, Some(By::Status | By::Outcome)) || self.bucket.is_some_and(|bucket| bucket < Bucket::Hour)
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

    /// The part of a probe; or of a span, with any verdict, where parts are not smaller than that.
    pub(super) fn part(self, location: i16, verdict: Option<Verdict>, instant: Micros) -> Part {
        let group = self.by.and_then(|by| match by {
            By::Location => Some(Group::Location(location)),
            By::Status => verdict.map(|verdict| Group::Status(verdict.status.map(class))),
            By::Outcome => verdict.map(|verdict| Group::Outcome(verdict.outcome)),
        });
        Part { group, bucket: self.bucket.map(|bucket| bucket.start(instant)) }
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
