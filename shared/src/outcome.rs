//! What came of a probe: two closed sets, whose members have numbers in the database.

use serde::{Deserialize, Serialize};

/// The verdict of a probe. Correctness decides first, speed second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The response was as expected.
    Up,
    /// As expected, but slow.
    Degraded,
    /// No response, or not the expected one.
    Down,
    /// The slot came and no request was made.
    Missed,
}

/// The closed set of failures, in the order a request meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The name could not be resolved.
    Dns,
    /// No connection: refused, reset, unreachable.
    Connect,
    /// The TLS handshake failed, or the certificate was refused.
    Tls,
    /// The request did not finish in time, in whichever phase.
    Timeout,
    /// Too many redirects, or one that leads nowhere.
    Redirect,
    /// The address is one that must not be probed.
    Blocked,
    /// What came was not valid HTTP, or the connection closed before an answer.
    Protocol,
    /// The body broke off.
    Body,
    /// A response came and was not the expected one.
    Assertion,
}

impl Outcome {
    /// Every verdict; the position is its code in the database, so the order may never change.
    pub const ALL: [Self; 4] = [Self::Up, Self::Degraded, Self::Down, Self::Missed];

    /// The number that stands for it in the database.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl FailureKind {
    /// Every kind; the position is its code in the database, so the order may never change.
    pub const ALL: [Self; 9] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Redirect,
        Self::Blocked,
        Self::Protocol,
        Self::Body,
        Self::Assertion,
    ];

    /// The number that stands for it in the database.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_positions() {
        assert!(Outcome::ALL.iter().enumerate().all(|(position, outcome)| usize::from(outcome.code()) == position));
        assert!(FailureKind::ALL.iter().enumerate().all(|(position, kind)| usize::from(kind.code()) == position));
    }
}
