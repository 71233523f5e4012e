//! The query string: what is asked for, or everything that is wrong with it.

use std::time::Duration;

use serde::Serialize;
use shared::env::parse_length;

/// What `GET /stats` is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatsQuery {
    /// `url=`, repeatable: these URLs only. Empty for all.
    pub urls: Vec<String>,
    /// `window=`: probes that started within this time before now. `None` for everything ever seen.
    pub window: Option<Window>,
}

/// A window that ends now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// As it was asked for: `24h`.
    pub name: String,
    /// Exactly that long.
    pub length: Duration,
}

/// A parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadParameter {
    /// Its name, as it was sent.
    pub parameter: String,
    /// What is wrong, and what is expected.
    pub detail: String,
}

impl StatsQuery {
    /// Reads a query string.
    ///
    /// # Errors
    /// Every parameter that is unknown, repeated or unusable.
    pub fn parse(query: &str) -> Result<Self, Vec<BadParameter>> {
        let mut parsed = Self::default();
        let mut bad = Vec::new();
        let mut windows = 0;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let result = match name.as_ref() {
                "url" if value.is_empty() => Err("it is empty: expected a URL".to_owned()),
                "url" if value.contains('\0') => Err("it contains a NUL character".to_owned()),
                "url" => {
                    parsed.urls.push(value.into_owned());
                    Ok(())
                }
                "window" => {
                    windows += 1;
                    parse_window(&value).map(|window| parsed.window = window)
                }
                _ => Err("unknown parameter: expected url or window".to_owned()),
            };
            bad.extend(result.err().map(|detail| BadParameter { parameter: name.into_owned(), detail }));
        }
        if windows > 1 {
            let detail = "it is given more than once".to_owned();
            bad.push(BadParameter { parameter: "window".to_owned(), detail });
        }
        if bad.is_empty() { Ok(parsed) } else { Err(bad) }
    }
}

fn parse_window(text: &str) -> Result<Option<Window>, String> {
    if text == "all" {
        return Ok(None);
    }
    let length = parse_length(text).map_err(|error| format!("{error}, or all"))?;
    Ok(Some(Window { name: text.to_owned(), length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(query: &str) -> u64 {
        StatsQuery::parse(query).unwrap().window.unwrap().length.as_secs()
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
