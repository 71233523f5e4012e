//! The query string: what is asked for, or everything that is wrong with it.

mod values;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use self::values::{
    add_name, parse_bucket, parse_by, parse_compare, parse_instant, parse_limit, parse_metric, parse_percentiles,
    parse_quorum, parse_window,
};
use crate::{
    badge,
    history::{Quorum, split::Split},
    order::{self, Cursor, Sort},
};

/// Targets in a page of an overview, at most: with the days of each, they have nearly as many buckets as an answer may.
pub const MAX_OVERVIEW: usize = 50;
/// Failures in an answer, at most.
pub const MAX_FAILURES: usize = 200;

/// The first second of the year 1, before which there are no probes.
const FIRST_SECOND: i64 = -62_135_596_800;

/// What is asked for, whatever the answer is to look like.
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
    /// `quorum=`: how many locations have to see a target down for it to be down at a time.
    pub quorum: Option<Quorum>,
    /// `compare=previous`: whether the window before is answered as well.
    pub compare: bool,
    /// `sort=`.
    pub sort: Sort,
    /// `limit=`: so many targets at most.
    pub limit: Option<usize>,
    /// `cursor=`: the targets after this one.
    pub cursor: Option<Cursor>,
    /// `metric=`: what a badge shows.
    pub metric: Metric,
}

/// What a badge shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metric {
    /// `uptime`, by probes.
    #[default]
    Uptime,
    /// `p50`.
    P50,
    /// `p95`.
    P95,
    /// `p99`.
    P99,
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
            quorum: None,
            compare: false,
            sort: Sort::default(),
            limit: None,
            cursor: None,
            metric: Metric::default(),
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
    /// The parameters of `GET /stats`.
    pub const STATS: &[&str] = &[
        "url",
        "monitor",
        "tag",
        "window",
        "from",
        "to",
        "percentiles",
        "by",
        "bucket",
        "quorum",
        "compare",
        "sort",
        "limit",
        "cursor",
    ];
    /// Those of `GET /metrics`.
    pub const METRICS: &[&str] = &["url", "monitor", "tag", "window", "percentiles", "quorum"];
    /// Those of `GET /overview`.
    pub const OVERVIEW: &[&str] = &["url", "monitor", "tag", "limit", "cursor"];
    /// Those of `GET /failures`.
    pub const FAILURES: &[&str] = &["url", "monitor", "tag", "window", "from", "to", "limit"];
    /// Those of `GET /badge.svg`.
    pub const BADGE: &[&str] = &["url", "monitor", "window", "metric"];

    /// Reads the query string of `GET /stats`.
    ///
    /// # Errors
    /// Every parameter that is unknown, repeated or unusable.
    pub fn parse(query: &str) -> Result<Self, Vec<BadParameter>> {
        Self::parse_some(query, Self::STATS, None)
    }

    /// Reads a query string that may have some of the parameters, and where it says no window, is about `usual` or everything.
    ///
    /// # Errors
    /// Every parameter that is not one of these, repeated or unusable.
    pub fn parse_some(query: &str, allowed: &[&str], usual: Option<&str>) -> Result<Self, Vec<BadParameter>> {
        let mut parsed = Self::default();
        let mut bad = Vec::new();
        let (mut window, mut from, mut to) = (None, None, None);
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let is_repeated = seen.contains(&name) && !matches!(name.as_ref(), "url" | "monitor" | "tag");
            let result = match name.as_ref() {
                name if !allowed.contains(&name) => Err(unknown(allowed)),
                _ if is_repeated => Err("it is given more than once".to_owned()),
                "url" => add_name(&mut parsed.urls, &value, "a URL"),
                "monitor" => add_name(&mut parsed.monitors, &value, "the id of a monitor"),
                "tag" => add_name(&mut parsed.tags, &value, "a tag"),
                "window" => parse_window(&value).map(|parsed| window = Some(parsed)),
                "from" => parse_instant(&value).map(|instant| from = Some(instant)),
                "to" => parse_instant(&value).map(|instant| to = Some(instant)),
                "percentiles" => parse_percentiles(&value).map(|list| parsed.percentiles = list),
                "by" => parse_by(&value).map(|by| parsed.split.by = by),
                "bucket" => parse_bucket(&value).map(|bucket| parsed.split.bucket = Some(bucket)),
                "quorum" => parse_quorum(&value).map(|quorum| parsed.quorum = Some(quorum)),
                "compare" => parse_compare(&value).map(|compare| parsed.compare = compare),
                "sort" => order::parse_sort(&value).map(|sort| parsed.sort = sort),
                "limit" => parse_limit(&value).map(|limit| parsed.limit = Some(limit)),
                "cursor" => order::parse_cursor(&value).map(|cursor| parsed.cursor = Some(cursor)),
                "metric" => parse_metric(&value).map(|metric| parsed.metric = metric),
                _ => Err("unknown parameter".to_owned()),
            };
            bad.extend(result.err().map(|detail| BadParameter { parameter: name.to_string(), detail }));
            seen.push(name);
        }
        let mut refuse = |parameter: &str, detail: &str| {
            bad.push(BadParameter { parameter: parameter.to_owned(), detail: detail.to_owned() });
        };
        parsed.window = match (window, from, to) {
            (Some(window), None, None) => window,
            (None, None, None) => usual.and_then(|usual| parse_window(usual).ok()).unwrap_or_default(),
            (None, from, to) => {
                if from.zip(to).is_some_and(|(from, to)| from >= to) {
                    refuse(
                        "to",
                        "it is not after from, to the microsecond: pass a later instant; the window ends before it",
                    );
                }
                Window::Between { from, to }
            }
            (Some(_), ..) => {
                refuse("window", "it is given with from or to: expected one or the other");
                Window::All
            }
        };
        if parsed.compare
            && matches!(
                parsed.window,
                Window::All | Window::Between { from: None, .. } | Window::Between { to: None, .. }
            )
        {
            refuse("compare", "nothing is before this window: expected one such as window=24h, or from and to");
        }
        if let Window::Between { from: Some(from), to: Some(to) } = parsed.window
            && parsed.compare
            && from.as_second() - (to.as_second() - from.as_second()) < FIRST_SECOND
        {
            refuse(
                "compare",
                "the window before would begin before the year 1: expected a later one, or a shorter one",
            );
        }
        if parsed.cursor.as_ref().is_some_and(|cursor| cursor.sort != parsed.sort.name()) {
            refuse("cursor", "it is of an answer in another order: expected the same sort as there");
        }
        let most = match allowed {
            _ if allowed == Self::OVERVIEW => MAX_OVERVIEW,
            _ if allowed == Self::FAILURES => MAX_FAILURES,
            _ => usize::MAX,
        };
        if parsed.limit.is_some_and(|limit| limit > most) {
            refuse("limit", &format!("it is too large: expected {most} at most"));
        }
        if allowed == Self::BADGE {
            parsed.percentiles = vec![badge::percentile(parsed.metric)];
            if parsed.urls.is_empty() && parsed.monitors.is_empty() {
                refuse("url", "it is not given: expected url= or monitor=");
            }
        }
        if bad.is_empty() { Ok(parsed) } else { Err(bad) }
    }
}

/// What is wrong with a parameter that is not one of these.
fn unknown(allowed: &[&str]) -> String {
    match allowed {
        [] => "unknown parameter: this path takes no parameters; remove it".to_owned(),
        [only] => format!("unknown parameter: expected {only}"),
        several => format!("unknown parameter: expected one of {}", several.join(", ")),
    }
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
        // A fraction has any number of digits, and the year 9999 is complete.
        assert_eq!(window("to=2026-11-23t12:00:00.5000000000z"), Window::Between { from: None, to });
        assert!(matches!(window("to=9999-12-31T23:59:59Z"), Window::Between { to: Some(_), .. }));
        for (query, parameter, words) in [
            ("from=2026-11-23T10:00:00Z&to=2026-11-23T10:00:00Z", "to", "not after from"),
            ("from=2026-11-23T10:00:00Z&window=1h", "window", "with from or to"),
            ("from=0000-01-01T00:00:00Z", "from", "the year must be from 1 to 9999"),
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
        assert_eq!(percentiles("percentiles=0.000001,99.999999,5").unwrap(), [0.000_001, 99.999_999, 5.0]);
        let bad = [
            "",
            "0",
            "0.0",
            "100",
            "-1",
            "+5",
            "05",
            "5.",
            ".5",
            "5e1",
            "99.9999999",
            "NaN",
            "inf",
            "50,",
            "50;95",
            "50,50.0",
            "p99",
        ];
        for text in bad.into_iter().chain([&*"1,".repeat(20), &"1,".repeat(20)]) {
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
    fn unknown_parameter_names_what_the_path_takes() {
        let detail = |allowed: &[&str]| StatsQuery::parse_some("x=1", allowed, None).unwrap_err()[0].detail.clone();

        assert_eq!(detail(&[]), "unknown parameter: this path takes no parameters; remove it");
        assert_eq!(detail(&["url"]), "unknown parameter: expected url");
        assert_eq!(detail(&["url", "tag"]), "unknown parameter: expected one of url, tag");
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
