//! Instants on the wire: RFC 3339 in UTC with microseconds out, that or the seed's naive form in.

use std::{borrow::Cow, time::Duration};

use jiff::{
    Timestamp,
    civil::{DateTime, Time},
    fmt::temporal::Pieces,
    tz::Offset,
};
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// The last instant of the range, which stands for every later one, too: certificates that never expire end with the year 9999
/// (RFC 5280, section 4.1.2.5), and the library's range ends 26 hours before.
const LAST: &str = "9999-12-31T23:59:59.000000Z";
/// Digits of a fraction that the parser takes.
const FRACTION_DIGITS: usize = 9;

/// Reads `2021-01-01T00:00:00.123456Z`, any RFC 3339 offset, or `2021-01-01 00:00:00.123456` (naive, taken as UTC).
/// Digits beyond the microsecond are cut, since Postgres keeps no more; a fraction may have any number of them. A leap second is
/// the second before it. An instant in the last 26 hours of the year 9999 is the last one of the range.
///
/// # Errors
/// A sentence that names the value and the accepted forms; years outside 1 to 9999 are refused, because Postgres and
/// RFC 3339 do not share a wider range.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    let instant = instant(&with_short_fraction(text)).ok_or_else(|| {
        format!("{text:?} is not a timestamp: expected RFC 3339 (2021-01-01T00:00:00Z) or 2021-01-01 00:00:00")
    })?;
    let year = Offset::UTC.to_datetime(instant).year();
    if !(1..=9999).contains(&year) {
        return Err(format!("{text:?} is not a timestamp: the year must be from 1 to 9999 in UTC"));
    }
    to_microseconds(instant).ok_or_else(|| format!("{text:?} is not a timestamp: out of range"))
}

fn instant(text: &str) -> Option<Timestamp> {
    let pieces = Pieces::parse(text).ok()?;
    let offset = match pieces.to_numeric_offset() {
        Some(offset) => offset,
        None if pieces.time_zone_annotation().is_none() => Offset::UTC,
        // The name of a time zone is not an offset.
        None => return None,
    };
    let civil = DateTime::from_parts(pieces.date(), pieces.time().unwrap_or(Time::midnight()));
    let after_the_range = || (civil.year() == 9999).then_some(Timestamp::MAX);
    offset.to_timestamp(civil).ok().or_else(after_the_range)
}

/// The text without the digits of its fraction that the parser does not take.
fn with_short_fraction(text: &str) -> Cow<'_, str> {
    let Some((whole, rest)) = text.split_once(['.', ',']) else { return text.into() };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    match rest.split_at_checked(FRACTION_DIGITS).zip(rest.get(digits..)) {
        Some(((kept, _), after)) if digits > FRACTION_DIGITS => format!("{whole}.{kept}{after}").into(),
        _ => text.into(),
    }
}

/// Now, cut to the microsecond.
#[must_use]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    to_microseconds(now).unwrap_or(now)
}

/// `instant` as it is written in a record: `2021-01-01T00:00:00.123456Z`. [`parse`] reads the same instant from it.
#[must_use]
pub fn format(instant: Timestamp) -> String {
    if to_microseconds(instant) == to_microseconds(Timestamp::MAX) { LAST.to_owned() } else { format!("{instant:.6}") }
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
    fn every_form_of_rfc_3339_is_read() {
        let instant = parse("2016-12-31T23:59:59.1Z").unwrap();
        for text in [
            "2016-12-31t23:59:59.1z",
            "2016-12-31 23:59:59.10Z",
            "2016-12-31T23:59:59.1000000000Z",
            &format!("2016-12-31T23:59:59.1{}+00:00", "0".repeat(1_000)),
            "2016-12-31T23:59:59,1000000000009Z",
            "2016-12-31T23:59:59.1-00:00",
            "2016-12-31T23:59:60.1Z",
            "2017-01-01T08:59:60.1000000000999+09:00",
            "2016-12-31 23:59:59.1000000000999",
        ] {
            assert_eq!(parse(text), Ok(instant), "{text}");
        }
    }

    #[test]
    fn the_end_of_the_year_9999_is_a_timestamp_and_year_0_is_not() {
        let last = parse("9999-12-31T23:59:59Z").unwrap();
        for text in ["9999-12-31T23:59:59.999999999999Z", "9999-12-30T22:00:01Z", "9999-12-31T23:59:59-12:00"] {
            assert_eq!(parse(text), Ok(last), "{text}");
        }
        assert!(parse("9999-12-30T22:00:00.5Z").unwrap() < last && parse("0001-01-01T00:00:00Z").is_ok());
        for text in ["0000-12-31T23:59:59Z", "0001-01-01T00:00:00+00:01", "-004800-01-01T00:00:00Z"] {
            assert!(parse(text).unwrap_err().contains("year"), "{text}");
        }
        for text in ["10000-01-01T00:00:00Z", "+010000-01-01T00:00:00Z"] {
            assert!(parse(text).unwrap_err().contains("RFC 3339"), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same_instant() {
        for text in ["0001-01-01T00:00:00.000000Z", "9999-12-30T22:00:00.999998Z", "9999-12-31T23:59:59.000000Z"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        assert_eq!(parse(&format(jiff::Timestamp::MAX)), parse("9999-12-31T23:59:59Z"));
    }

    #[test]
    fn what_is_no_timestamp_is_refused_by_name() {
        for text in [
            "",
            "yesterday",
            "1609459200",
            "2021-13-01T00:00:00Z",
            "2021-02-30 00:00:00",
            "2021-01-01T00:00:00[Europe/Berlin]",
            "2021-01-01T00:00:00.Z",
            "2021-01-01T24:00:00Z",
            "2021-01-01T00:00:61Z",
            "2021-01-01T00:00:00.1234567890x",
            "2021-01-01T00:00:00+24:60",
        ] {
            assert!(parse(text).unwrap_err().contains(&format!("{text:?}")), "{text}");
        }
    }
}
