//! Instants as Postgres keeps them, whole microseconds, and the spans of UTC time that history is kept in.

use jiff::{Timestamp, civil::Date, tz::Offset};

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

/// A span of UTC time that is sealed as a whole. Its code is stored, so it may never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    /// Code 0: one chunk per target and location, every probe exactly.
    Hour,
    /// Code 1: one summary per target and location.
    Day,
    /// Code 2: the days of a calendar month, merged.
    Month,
}

/// How far ahead a clock may be, in microseconds: those of Lambda and Postgres differ by less than 5 minutes.
const MAX_AHEAD: i64 = 5 * 60 * 1_000_000;
const MICROS_PER_HOUR: i64 = 3_600_000_000;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

impl Micros {
    /// The latest instant that a record may say when it is `self` here. A later one is of a clock that is wrong, and sets
    /// nothing that its target has now.
    #[must_use]
    pub fn latest_plausible(self) -> Self {
        Self(self.0.saturating_add(MAX_AHEAD))
    }
}

impl Span {
    /// The number that stands for it in the database.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::Hour => 0,
            Self::Day => 1,
            Self::Month => 2,
        }
    }

    /// The span with this code.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        [Self::Hour, Self::Day, Self::Month].into_iter().find(|span| span.code() == code)
    }

    /// The start of the span that `instant` lies in.
    #[must_use]
    pub fn start(self, instant: Micros) -> Micros {
        match self {
            Self::Hour => Micros(instant.0 - instant.0.rem_euclid(MICROS_PER_HOUR)),
            Self::Day => Micros(instant.0 - instant.0.rem_euclid(MICROS_PER_DAY)),
            Self::Month => start_of_day(date(instant).first_of_month()),
        }
    }

    /// The end, exclusive, of the span that `instant` lies in: the start of the next one.
    #[must_use]
    pub fn end(self, instant: Micros) -> Micros {
        match self {
            Self::Hour => Micros(self.start(instant).0 + MICROS_PER_HOUR),
            Self::Day => Micros(self.start(instant).0 + MICROS_PER_DAY),
            Self::Month => Micros(start_of_day(date(instant).last_of_month()).0 + MICROS_PER_DAY),
        }
    }
}

/// The UTC day; of an instant beyond the years −9999 to 9999, the nearest one.
fn date(instant: Micros) -> Date {
    Offset::UTC.to_datetime(instant.timestamp()).date()
}

fn start_of_day(date: Date) -> Micros {
    let days = date.since(Date::constant(1970, 1, 1)).map_or(0, |span| span.get_days());
    Micros(i64::from(days) * MICROS_PER_DAY)
}

impl Micros {
    /// Before everything: Postgres' `-infinity`.
    pub const MIN: Self = Self(i64::MIN);
    /// After everything: Postgres' `infinity`.
    pub const MAX: Self = Self(i64::MAX);

    /// The instant as jiff has it; the nearest one, where it lies beyond the years −9999 to 9999.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        let nearest = if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_microsecond(self.0).unwrap_or(nearest)
    }
}

impl From<Timestamp> for Micros {
    /// Digits below the microsecond are cut downwards.
    fn from(instant: Timestamp) -> Self {
        // Towards zero, which is upwards before 1970.
        let micros = instant.as_microsecond();
        Self(micros - i64::from(instant.subsec_nanosecond() % 1_000 < 0))
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::error::Error;

    use bytes::BytesMut;

    use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

    use super::Micros;

    /// Postgres counts from 2000-01-01.
    const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

    impl Micros {
        /// The number that is sent for it: microseconds since 2000-01-01, or an infinity.
        #[must_use]
        pub fn to_postgres(self) -> i64 {
            if self == Self::MAX { i64::MAX } else { self.0.saturating_sub(POSTGRES_EPOCH) }
        }
    }

    impl ToSql for Micros {
        fn to_sql(&self, type_: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
            self.to_postgres().to_sql(type_, out)
        }

        accepts!(TIMESTAMPTZ);
        to_sql_checked!();
    }

    impl<'raw> FromSql<'raw> for Micros {
        fn from_sql(type_: &Type, raw: &'raw [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
            let since_2000 = i64::from_sql(type_, raw)?;
            Ok(if since_2000 == i64::MIN { Self::MIN } else { Self(since_2000.saturating_add(POSTGRES_EPOCH)) })
        }

        accepts!(TIMESTAMPTZ);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Micros {
        text.parse::<Timestamp>().unwrap().into()
    }

    #[test]
    fn spans_are_those_of_the_utc_calendar() {
        let cases = [
            (Span::Hour, "2026-11-24T12:34:56.789Z", "2026-11-24T12:00:00Z", "2026-11-24T13:00:00Z"),
            (Span::Day, "2026-11-24T12:34:56Z", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"),
            (Span::Day, "1969-12-31T23:59:59.999999Z", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z"),
            (Span::Month, "2024-02-29T23:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            (Span::Month, "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            (Span::Month, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-02-01T00:00:00Z"),
        ];
        for (span, instant, start, end) in cases {
            assert_eq!((span.start(at(instant)), span.end(at(instant))), (at(start), at(end)), "{span:?} {instant}");
        }
        // The last month that there is has an end as well.
        assert_eq!(Span::Month.end(Micros(253_402_207_200_000_000)), Micros(253_402_300_800_000_000));
    }

    #[test]
    fn below_the_microsecond_is_cut_downwards_before_1970_too() {
        assert_eq!(at("1969-12-31T23:59:59.9999999Z"), Micros(-1));
        assert_eq!(at("1970-01-01T00:00:00.0000019Z"), Micros(1));
        assert_eq!(Micros(1_234_567).timestamp(), "1970-01-01T00:00:01.234567Z".parse().unwrap());
    }
}
