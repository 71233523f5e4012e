//! Instants on the wire: RFC 3339 in UTC with microseconds out, that or the seed's naive form in.

use std::time::Duration;

use jiff::{Timestamp, civil::DateTime, tz::Offset};
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// Reads `2021-01-01T00:00:00.123456Z`, any RFC 3339 offset, or `2021-01-01 00:00:00.123456` (naive, taken as UTC).
/// Digits beyond the microsecond are cut, since Postgres keeps no more.
///
/// # Errors
/// A sentence that names the value and the accepted forms; years outside 1 to 9999 are refused, because Postgres and
/// RFC 3339 do not share a wider range.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    let naive = |text: &str| Offset::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    let instant = text.parse::<Timestamp>().ok().or_else(|| naive(text));
    let instant = instant.ok_or_else(|| {
        format!("{text:?} is not a timestamp: expected RFC 3339 (2021-01-01T00:00:00Z) or 2021-01-01 00:00:00")
    })?;
    let year = Offset::UTC.to_datetime(instant).year();
    if !(1..=9999).contains(&year) {
        return Err(format!("{text:?} is not a timestamp: the year must be from 1 to 9999"));
    }
    to_microseconds(instant).ok_or_else(|| format!("{text:?} is not a timestamp: out of range"))
}

/// Now, cut to the microsecond.
#[must_use]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    to_microseconds(now).unwrap_or(now)
}

/// `instant` as it is written in a record: `2021-01-01T00:00:00.123456Z`.
#[must_use]
pub fn format(instant: Timestamp) -> String {
    format!("{instant:.6}")
}

fn to_microseconds(instant: Timestamp) -> Option<Timestamp> {
    let below = instant.subsec_nanosecond().rem_euclid(1_000);
    instant.checked_sub(Duration::from_nanos(u64::from(below.unsigned_abs()))).ok()
}

/// Writes an instant into a record (for `#[serde(with)]`).
///
/// # Errors
/// Only those of the serializer.
pub fn serialize<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*instant))
}

/// Reads an instant from a record (for `#[serde(with)]`).
///
/// # Errors
/// Those of [`parse`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// The same for an instant that may be null or absent.
pub mod option {
    use super::{Deserialize, Deserializer, Serializer, Timestamp, parse};
    use serde::de::Error as _;

    /// Writes an instant or null.
    ///
    /// # Errors
    /// Only those of the serializer.
    pub fn serialize<S: Serializer>(instant: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match instant {
            Some(instant) => super::serialize(instant, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads an instant or null.
    ///
    /// # Errors
    /// Those of [`parse`].
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let text: Option<String> = Option::deserialize(deserializer)?;
        text.map(|text| parse(&text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::{format, parse};

    #[test]
    fn the_forms_of_one_instant_are_equal() {
        let instant = parse("2021-01-01T00:00:00.123456Z").unwrap();

        assert_eq!(parse("2021-01-01 00:00:00.123456"), Ok(instant));
        assert_eq!(parse("2021-01-01T02:00:00.123456+02:00"), Ok(instant));
        assert_eq!(parse("2021-01-01T00:00:00.123456999Z"), Ok(instant));
        assert_eq!(format(instant), "2021-01-01T00:00:00.123456Z");
    }

    #[test]
    fn digits_beyond_the_microsecond_are_cut_downwards_before_1970_too() {
        assert_eq!(format(parse("1969-12-31T23:59:59.123456789Z").unwrap()), "1969-12-31T23:59:59.123456Z");
    }

    #[test]
    fn year_1_is_a_timestamp_and_year_0_is_not() {
        assert!(parse("0001-01-01T00:00:00Z").is_ok());
        assert!(parse("9999-12-30T22:00:00.999999Z").is_ok());
        assert!(parse("0000-12-31T23:59:59Z").unwrap_err().contains("year"));
        assert!(parse("-004800-01-01T00:00:00Z").unwrap_err().contains("year"));
    }

    #[test]
    fn what_is_no_timestamp_is_refused_by_name() {
        for text in ["", "yesterday", "1609459200", "2021-13-01T00:00:00Z", "2021-02-30 00:00:00"] {
            assert!(parse(text).unwrap_err().contains(&format!("{text:?}")), "{text}");
        }
    }
}
