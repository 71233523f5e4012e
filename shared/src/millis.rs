//! Durations of a request.

use std::{ops::Add, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A duration of a request or of one of its phases: kept in whole microseconds, written in a record as milliseconds
/// with up to three digits after the point. From 0 to 2,147,483.647 ms (35 minutes, twice the longest invocation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis {
    micros: i32,
}

impl Millis {
    /// The duration in microseconds.
    #[must_use]
    pub fn as_micros(self) -> i32 {
        self.micros
    }
}

impl From<Duration> for Millis {
    /// Digits below the microsecond are cut; what is longer than the range is its end.
    fn from(duration: Duration) -> Self {
        Self { micros: i32::try_from(duration.as_micros()).unwrap_or(i32::MAX) }
    }
}

impl Add for Millis {
    type Output = Self;

    /// What is longer than the range is its end.
    fn add(self, other: Self) -> Self {
        Self { micros: self.micros.saturating_add(other.micros) }
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.micros) / 1_000.0)
    }
}

impl<'de> Deserialize<'de> for Millis {
    /// Rounds to the nearest microsecond; refuses what is negative or beyond the range.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let millis = f64::deserialize(deserializer)?;
        let micros = (millis * 1_000.0).round();
        if (0.0..=f64::from(i32::MAX)).contains(&micros) {
            #[expect(clippy::cast_possible_truncation, reason = "whole, and in the range of an i32")]
            Ok(Self { micros: micros as i32 })
        } else {
            Err(D::Error::custom(format!("{millis:?} ms is not a duration: expected 0 to 2147483.647 ms")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Millis;

    #[test]
    fn a_duration_keeps_its_microseconds_over_the_wire() {
        for micros in [0, 1, 999, 1_000, 832_000, 123_456_789, i32::MAX] {
            let millis = Millis::from(Duration::from_micros(u64::from(micros.unsigned_abs())));
            let text = serde_json::to_string(&millis).unwrap();

            assert_eq!(serde_json::from_str::<Millis>(&text).unwrap().as_micros(), micros, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_durations_and_impossible_ones_are_refused() {
        assert_eq!(serde_json::from_str::<Millis>("832").unwrap().as_micros(), 832_000);
        for text in ["-1", "-0.001", "2147483.648", "1e300", "null", "\"5\""] {
            assert!(serde_json::from_str::<Millis>(text).is_err(), "{text}");
        }
    }
}
