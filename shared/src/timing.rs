//! Where the time of a request went.

use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::Millis;

/// The phases of a request, in their order; one that did not happen, or did not come to its end, is null, never 0. They
/// follow each other without a gap, so that their sum is the response time, less the client's own work, which is well
/// under a millisecond, and less what a request that failed was doing when it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Phases {
    /// Resolving the name.
    pub dns: Option<Millis>,
    /// The TCP handshake.
    pub connect: Option<Millis>,
    /// The TLS handshake.
    pub tls: Option<Millis>,
    /// From the connection being there to the response: the request, and what the other side does. The client tells of a
    /// response when it has the whole head; where that comes in pieces, their time is in here.
    pub first_byte: Option<Millis>,
    /// From the head to the last byte of the body.
    pub download: Option<Millis>,
}

/// One of the requests that redirects led through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// Its URL, without the query.
    pub url: String,
    /// The status of its response; null when none came.
    pub http_status_code: Option<u16>,
    /// Where its time went.
    pub phases: Phases,
}

impl Add for Phases {
    type Output = Self;

    /// The sums of what happened in both, or in one of them.
    fn add(self, other: Self) -> Self {
        let sum = |one: Option<Millis>, other: Option<Millis>| match (one, other) {
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        };
        Self {
            dns: sum(self.dns, other.dns),
            connect: sum(self.connect, other.connect),
            tls: sum(self.tls, other.tls),
            first_byte: sum(self.first_byte, other.first_byte),
            download: sum(self.download, other.download),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn phases_add_up_and_what_never_happened_stays_so() {
        let millis = |millis| Some(Millis::from(Duration::from_millis(millis)));
        let one = Phases { dns: millis(1), connect: millis(2), ..Phases::default() };
        let other = Phases { connect: millis(3), first_byte: millis(4), ..Phases::default() };

        let expected = Phases { dns: millis(1), connect: millis(5), first_byte: millis(4), ..Phases::default() };
        assert_eq!(one + other, expected);
    }
}
