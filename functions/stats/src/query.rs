//! The query string: what is asked for, or everything that is wrong with it.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use shared::{env::parse_length, timestamp};

use crate::history::split::{Bucket, By, Split};

/// Percentiles in one answer, at most.
const MAX_PERCENTILES: usize = 20;

/// What `GET /stats` is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct StatsQuery {
    /// `url=`, repeatable: these URLs only. Empty for all.
    pub urls: Vec<String>,
    /// `monitor=`, repeatable: targets of these monitors only. Empty for all.
    pub monitors: Vec<String>,
    /// `tag=`, repeatable: targets with any of these tags only. Empty for all.
    pub tags: Vec<String>,
    /// `window=`, or `from=` and `to=`.
    pub window: Window,
    /// `percentiles=`, each above 0 and below 100.
    pub percentiles: Vec<f64>,
    /// `by=` and `bucket=`: into which parts the answer is split beside its totals.
    pub split: Split,
}

/// Which probes, by the time of their start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Window {
    /// All.
    #[default]
    All,
    /// A length of time that ends now.
    Last {
        /// As it was asked for: `24h`.
        name: String,
        /// Exactly that long.
        length: Duration,
    },
    /// From an instant up to another one, which is not in it. One without an end goes on for ever.
    Between {
        /// The first instant.
        from: Option<Timestamp>,
        /// The first that is not in it.
        to: Option<Timestamp>,
    },
}

/// A parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadParameter {
    /// Its name, as it was sent.
    pub parameter: String,
    /// What is wrong, and what is expected.
    pub detail: String,
}

impl Default for StatsQuery {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            monitors: Vec::new(),
            tags: Vec::new(),
            window: Window::All,
            percentiles: vec![50.0, 95.0, 99.0],
            split: Split::default(),
        }
    }
}

impl Window {
    /// What it is called in the answer.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::All => "all",
            Self::Last { name, .. } => name,
            Self::Between { .. } => "custom",
        }
    }

    /// Its ends at an instant: the first that is in it, and the first that is not.
    #[must_use]
    pub fn ends(&self, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        match self {
            Self::All => (None, None),
            // It reaches back at most a hundred years, so its start always exists.
            Self::Last { length, .. } => (now.checked_sub(*length).ok(), Some(now)),
            Self::Between { from, to } => (*from, *to),
        }
    }
}

impl StatsQuery {
    /// Reads a query string.
    ///
    /// # Errors
    /// Every parameter that is unknown, repeated or unusable.
    pub fn parse(query: &str) -> Result<Self, Vec<BadParameter>> {
        let mut parsed = Self::default();
        let mut bad = Vec::new();
        let (mut window, mut from, mut to) = (None, None, None);
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let is_repeated = seen.contains(&name) && !matches!(name.as_ref(), "url" | "monitor" | "tag");
            let result = match name.as_ref() {
                _ if is_repeated => Err("it is given more than once".to_owned()),
                "url" => parse_name(&value, "a URL").map(|url| parsed.urls.push(url)),
                "monitor" => parse_name(&value, "the id of a monitor").map(|id| parsed.monitors.push(id)),
                "tag" => parse_name(&value, "a tag").map(|tag| parsed.tags.push(tag)),
                "window" => parse_window(&value).map(|parsed| window = Some(parsed)),
                "from" => parse_instant(&value).map(|instant| from = Some(instant)),
                "to" => parse_instant(&value).map(|instant| to = Some(instant)),
                "percentiles" => parse_percentiles(&value).map(|list| parsed.percentiles = list),
                "by" => parse_by(&value).map(|by| parsed.split.by = Some(by)),
                "bucket" => parse_bucket(&value).map(|bucket| parsed.split.bucket = Some(bucket)),
                _ => Err("unknown parameter: expected url, monitor, tag, window, from, to, percentiles, by or bucket"
                    .to_owned()),
            };
            bad.extend(result.err().map(|detail| BadParameter { parameter: name.to_string(), detail }));
            seen.push(name);
        }
        let mut refuse = |parameter: &str, detail: &str| {
            bad.push(BadParameter { parameter: parameter.to_owned(), detail: detail.to_owned() });
        };
        parsed.window = match (window, from, to) {
            (Some(window), None, None) => window,
            (None, None, None) => Window::All,
            (None, from, to) => {
                if from.zip(to).is_some_and(|(from, to)| from >= to) {
                    refuse("to", "it is not after from: expected a later instant, which is itself not in the window");
                }
                Window::Between { from, to }
            }
            (Some(_), ..) => {
                refuse("window", "it is given with from or to: expected one or the other");
                Window::All
            }
        };
        if bad.is_empty() { Ok(parsed) } else { Err(bad) }
    }
}

fn parse_name(text: &str, what: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("it is empty: expected {what}"));
    }
    if text.contains('\0') {
        return Err("it contains a NUL character".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_window(text: &str) -> Result<Window, String> {
    if text == "all" {
        return Ok(Window::All);
    }
    let length = parse_length(text).map_err(|error| format!("{error}, or all"))?;
    Ok(Window::Last { name: text.to_owned(), length })
}

fn parse_by(text: &str) -> Result<By, String> {
    match text {
        "location" => Ok(By::Location),
        "status" => Ok(By::Status),
        "outcome" => Ok(By::Outcome),
        _ => Err(format!("{text:?}: expected location, status or outcome")),
    }
}

fn parse_bucket(text: &str) -> Result<Bucket, String> {
    match text {
        "1m" => Ok(Bucket::Minute),
        "5m" => Ok(Bucket::FiveMinutes),
        "1h" => Ok(Bucket::Hour),
        "1d" => Ok(Bucket::Day),
        _ => Err(format!("{text:?}: expected 1m, 5m, 1h or 1d")),
    }
}

fn parse_instant(text: &str) -> Result<Timestamp, String> {
    timestamp::parse(text).map_err(|error| format!("{error}, as in 2026-11-23T12:00:00Z (RFC 3339; + is written %2B)"))
}

fn parse_percentiles(text: &str) -> Result<Vec<f64>, String> {
    let percentiles: Option<Vec<f64>> = text
        .split(',')
        .map(|part| part.parse().ok().filter(|percentile: &f64| *percentile > 0.0 && *percentile < 100.0))
        .collect();
    percentiles.filter(|percentiles| percentiles.len() <= MAX_PERCENTILES).ok_or_else(|| {
        format!("{text:?}: expected at most {MAX_PERCENTILES} numbers above 0 and below 100, as in 50,95,99.9")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(query: &str) -> u64 {
        match StatsQuery::parse(query).unwrap().window {
            Window::Last { length, .. } => length.as_secs(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_window_is_exactly_as_long_as_its_name() {
        assert_eq!(length("window=90s"), 90);
        assert_eq!(length("window=15m"), 900);
        assert_eq!(length("window=1h"), 3_600);
        assert_eq!(length("window=7d"), 604_800);
        assert_eq!(StatsQuery::parse("window=all").unwrap(), StatsQuery::default());
        assert_eq!(StatsQuery::parse("").unwrap(), StatsQuery::default());
    }

    #[test]
    fn urls_are_decoded_and_may_be_several() {
        let query = StatsQuery::parse("url=https%3A%2F%2Fa.test%2F%3Fq%3D1%262&url=https://b.test/a+b").unwrap();

        assert_eq!(query.urls, ["https://a.test/?q=1&2", "https://b.test/a b"]);
    }

    #[test]
    fn a_window_may_have_ends_of_its_own() {
        let instant = |text: &str| Some(text.parse().unwrap());
        let window = |query: &str| StatsQuery::parse(query).unwrap().window;

        let (from, to) = (instant("2026-11-23T10:00:00Z"), instant("2026-11-23T12:00:00.5Z"));
        assert_eq!(window("from=2026-11-23T11:00:00%2B01:00&to=2026-11-23T12:00:00.5Z"), Window::Between { from, to });
        assert_eq!(window("to=2026-11-23T12:00:00.5Z"), Window::Between { from: None, to });
        for (query, parameter, words) in [
            ("from=2026-11-23T10:00:00Z&to=2026-11-23T10:00:00Z", "to", "not after from"),
            ("from=2026-11-23T10:00:00Z&window=1h", "window", "with from or to"),
            ("from=yesterday", "from", "RFC 3339"),
            ("to=2026-11-23T11:00:00+01:00", "to", "%2B"),
        ] {
            let bad = StatsQuery::parse(query).unwrap_err();
            assert!(bad[0].parameter == parameter && bad[0].detail.contains(words), "{bad:?}");
        }
    }

    #[test]
    fn percentiles_are_numbers_between_nothing_and_everything() {
        let percentiles = |query: &str| StatsQuery::parse(query).map(|query| query.percentiles);

        assert_eq!(percentiles("").unwrap(), [50.0, 95.0, 99.0]);
        assert_eq!(percentiles("percentiles=99.9,50").unwrap(), [99.9, 50.0]);
        for text in ["", "0", "100", "-1", "NaN", "inf", "50,", "1e400", "50;95", &"1,".repeat(20), "p99"] {
            assert!(percentiles(&format!("percentiles={text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn everything_wrong_is_listed_by_name() {
        let bad = StatsQuery::parse("window=soon&url=&windw=1h&window=1h").unwrap_err();

        let names: Vec<_> = bad.iter().map(|bad| bad.parameter.as_str()).collect();
        assert_eq!(names, ["window", "url", "windw", "window"]);
        assert!(bad[0].detail.contains("15m, 24h or 7d"), "{bad:?}");
    }

    #[test]
    fn a_window_that_is_none_is_refused() {
        for text in
            ["", "h", "0h", "-1h", "1.5h", "1w", "1 h", "+1h", "١h", "99999999999999999999d", "36501d", "24H", "%00"]
        {
            assert!(StatsQuery::parse(&format!("window={text}")).is_err(), "{text:?}");
        }
    }
}
