//! What history keeps of a probe.

use std::cmp::Ordering;

use crate::{
    micros::Micros,
    record::{FailureKind, Outcome},
};

/// A probe as history keeps it, exactly. Durations are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// When the request started.
    pub probed_at: Micros,
    /// What came of it.
    pub verdict: Verdict,
    /// How long the request took; `None` where none was made.
    pub response_time_us: Option<i32>,
    /// The phases, in the order of [`Measure::PHASES`]; `None` where one did not happen.
    pub phases_us: [Option<i32>; 5],
}

/// What came of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verdict {
    /// The HTTP status, `None` without a response.
    pub status: Option<u16>,
    /// The verdict proper.
    pub outcome: Outcome,
    /// Why it is not up.
    pub error: Option<FailureKind>,
    /// Whether another attempt followed in its slot, so that this is not the verdict of the slot.
    pub is_retried: bool,
    /// Whether its slot began late, as [`Record::is_late`](crate::record::Record::is_late) has it.
    pub is_late: bool,
}

/// A duration of a probe that there are percentiles of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// From the start of the request to its end, of probes that got a response: a failure's duration says when it was
    /// given up, not how fast the target is.
    ResponseTime,
    /// Resolving the name.
    Dns,
    /// The TCP handshake.
    Connect,
    /// The TLS handshake.
    Tls,
    /// From the request being sent to the first byte.
    FirstByte,
    /// From the first byte to the last.
    Download,
}

impl Measure {
    /// The phases, in the order in which they are stored.
    pub const PHASES: [Self; 5] = [Self::Dns, Self::Connect, Self::Tls, Self::FirstByte, Self::Download];

    /// The place among the phases; `None` for the response time.
    #[must_use]
    pub fn phase(self) -> Option<usize> {
        Self::PHASES.iter().position(|&phase| phase == self)
    }

    /// What it is called in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ResponseTime => "response_time",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::FirstByte => "first_byte",
            Self::Download => "download",
        }
    }

    /// This duration of a sample, if the sample has it.
    #[must_use]
    pub fn of(self, sample: &Sample) -> Option<i32> {
        match self.phase() {
            Some(phase) => sample.phases_us.get(phase).copied().flatten(),
            None => sample.response_time_us.filter(|_| sample.verdict.status.is_some()),
        }
    }
}

/// The union of two sorted lists of samples, sorted: each sample as often as the list that has more of it.
///
/// This is what makes sealing idempotent. What is in both lists is the same probe, delivered again after its row was
/// dropped; what is twice in one list is two probes.
#[must_use]
pub fn union(left: &[Sample], right: &[Sample]) -> Vec<Sample> {
    let mut union = Vec::with_capacity(left.len().max(right.len()));
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(left), Some(right)) => left.cmp(right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return union,
        };
        let from_left = if order.is_le() { left.next() } else { None };
        let from_right = if order.is_ge() { right.next() } else { None };
        union.extend(from_left.or(from_right));
    }
}
