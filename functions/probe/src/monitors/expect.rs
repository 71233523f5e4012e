//! What an answer must be like for its target to be up.

use std::{borrow::Cow, ops::RangeInclusive};

use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use reqwest::header::{HeaderMap, HeaderName};
use shared::record::{Failure, FailureKind};

use super::{body::Body, document::Node, jsonpath::JsonPath};
use crate::exchange::Answer;

const HOURS_PER_DAY: i64 = 24;
/// The most bytes of a value that a message shows, so that a long value does not push later expectations out of the message.
const MAX_SHOWN_BYTES: usize = 200;
/// The most bytes of a sentence that has text of the answer in it.
const MAX_SENTENCE_BYTES: usize = 400;

/// Puts references in the place of secrets.
pub(crate) type Mask<'mask> = &'mask (dyn for<'text> Fn(&'text str) -> Cow<'text, str> + Sync);

/// Shows a value in a message. Masking comes before shortening: a mask does not find a part of a secret.
fn show(text: &str, mask: Mask<'_>) -> String {
    shorten(&mask(text), MAX_SHOWN_BYTES)
}

/// Shows a sentence in a message, masked and shortened as a value is.
fn show_sentence(text: &str, mask: Mask<'_>) -> String {
    shorten(&mask(text), MAX_SENTENCE_BYTES)
}

fn shorten(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let start = text.get(..text.floor_char_boundary(max_bytes)).unwrap_or_default();
    format!("{start}… ({} bytes)", text.len())
}

/// What is expected of an answer.
#[derive(Debug, Clone)]
pub struct Expect {
    /// One of these statuses.
    pub status: Vec<RangeInclusive<u16>>,
    /// Each of these headers.
    pub(crate) headers: Vec<(HeaderName, ExpectText)>,
    /// All of this in the body.
    pub(crate) body: Vec<ExpectBody>,
    /// A certificate that is good for so many more days.
    pub certificate_days: Option<u16>,
}

/// What is expected of a header.
#[derive(Debug, Clone)]
pub(crate) enum ExpectText {
    /// It is this.
    Equals(String),
    /// This is in it.
    Contains(String),
    /// This is found in it.
    Matches(Regex),
    /// It is there, or it is not.
    Exists(bool),
}

/// What is expected of a body.
#[derive(Debug, Clone)]
pub(crate) enum ExpectBody {
    /// This is in it.
    Contains(String),
    /// This is found in it.
    Matches(Regex),
    /// It is JSON, in which a path selects something, and nothing but this value; or nothing at all.
    Json {
        /// The path.
        path: JsonPath,
        /// What it selects.
        selects: Selects,
    },
}

/// What a path selects.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Selects {
    /// At least one value, and each is this.
    Only(Node),
    /// At least one value.
    Something,
    /// None.
    Nothing,
}

/// The certificate of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// There was no TLS.
    None,
    /// When it expires, if that can be read.
    Expires(Option<Timestamp>),
}

impl Default for Expect {
    /// A status below 400.
    fn default() -> Self {
        Self { status: vec![100..=399], headers: Vec::new(), body: Vec::new(), certificate_days: None }
    }
}

impl Expect {
    /// Whether the answer is as expected. Messages show long values in part, after `mask`.
    ///
    /// # Errors
    /// All that is not, the status first, in one sentence. Of kind `body` only where nothing is wrong but that the body
    /// cannot be decoded.
    pub(crate) fn check(
        &self,
        answer: &Answer,
        certificate: Certificate,
        now: Timestamp,
        mask: Mask<'_>,
    ) -> Result<(), Failure> {
        let mut wrong = Vec::new();
        if !self.status.iter().any(|range| range.contains(&answer.status)) {
            wrong.push(format!("HTTP status {}: expected {}", answer.status, print(&self.status)));
        }
        wrong.extend(
            self.headers.iter().filter_map(|(name, expected)| expected.check(name, &answer.headers, mask).err()),
        );
        let mut undecodable = 0;
        if !self.body.is_empty() {
            match Body::decode(answer) {
                Ok(body) => wrong.extend(self.body.iter().filter_map(|expected| expected.check(&body, mask).err())),
                Err(error) => {
                    undecodable = 1;
                    wrong.push(show_sentence(&error, mask));
                }
            }
        }
        wrong.extend(self.check_certificate(certificate, now).err());
        if wrong.is_empty() {
            return Ok(());
        }
        let kind = if wrong.len() == undecodable { FailureKind::Body } else { FailureKind::Assertion };
        Err(Failure { kind, message: wrong.join("; ") })
    }

    fn check_certificate(&self, certificate: Certificate, now: Timestamp) -> Result<(), String> {
        let Some(days) = self.certificate_days else { return Ok(()) };
        let expires_at = match certificate {
            Certificate::None => return Err("there is no certificate: the answer came without TLS".to_owned()),
            Certificate::Expires(None) => return Err("the expiry of the certificate cannot be read".to_owned()),
            Certificate::Expires(Some(expires_at)) => expires_at,
        };
        // One without an expiry (RFC 5280, section 4.1.2.5), or one beyond what a timestamp can hold, ends with the range.
        if expires_at.as_second() >= Timestamp::MAX.as_second() {
            return Ok(());
        }
        let left = expires_at.duration_since(now);
        if left >= SignedDuration::from_hours(i64::from(days) * HOURS_PER_DAY) {
            return Ok(());
        }
        if left.is_negative() {
            return Err(format!("the certificate expired at {expires_at}: expected {days} more days"));
        }
        Err(format!("the certificate is good for {} days: expected {days}", left.as_hours() / HOURS_PER_DAY))
    }
}

impl ExpectText {
    fn check(&self, name: &HeaderName, headers: &HeaderMap, mask: Mask<'_>) -> Result<(), String> {
        let quote = |text: &str| show(&format!("{text:?}"), mask);
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        // As RFC 9110 has it, several lines of a header are one list.
        let value = values.join(", ");
        let (holds, expected) = match self {
            Self::Exists(true) => (true, "it".to_owned()),
            Self::Exists(false) => {
                return if values.is_empty() {
                    Ok(())
                } else {
                    Err(format!("the header {name} is {}: expected none", quote(&value)))
                };
            }
            Self::Equals(text) => (value == *text, quote(text)),
            Self::Contains(text) => (value.contains(text), format!("{} in it", quote(text))),
            Self::Matches(regex) => (regex.is_match(&value), format!("a match of {}", quote(regex.as_str()))),
        };
        match (holds, values.is_empty()) {
            (_, true) => Err(format!("there is no header {name}: expected {expected}")),
            (false, false) => Err(format!("the header {name} is {}: expected {expected}", quote(&value))),
            (true, false) => Ok(()),
        }
    }
}

impl ExpectBody {
    /// Whether a body is as expected.
    ///
    /// # Errors
    /// What is not.
    pub(super) fn check(&self, body: &Body, mask: Mask<'_>) -> Result<(), String> {
        let quote = |text: &str| show(&format!("{text:?}"), mask);
        let part = body.part();
        match self {
            Self::Contains(text) if body.text.contains(text) => Ok(()),
            Self::Contains(text) => Err(format!("{} is not in {part}", quote(text))),
            Self::Matches(regex) if regex.is_match(&body.text) => Ok(()),
            Self::Matches(regex) => Err(format!("nothing in {part} matches {}", quote(regex.as_str()))),
            Self::Json { path, selects } => {
                let json = body.json().map_err(|error| show_sentence(&error, mask))?;
                let found = path.select(json).map_err(|error| show_sentence(&error, mask))?;
                let path = show(path.text(), mask);
                let print = |node: &Node| show(&node.to_string(), mask);
                match selects {
                    Selects::Nothing => match found.first() {
                        None => Ok(()),
                        Some(value) => Err(format!("{path} is {}: expected nothing", print(value))),
                    },
                    _ if found.is_empty() => Err(format!("{path} is not in {part}")),
                    Selects::Something => Ok(()),
                    Selects::Only(expected) => match found.iter().find(|value| **value != expected) {
                        None => Ok(()),
                        Some(value) => Err(format!("{path} is {}: expected {}", print(value), print(expected))),
                    },
                }
            }
        }
    }
}

fn print(ranges: &[RangeInclusive<u16>]) -> String {
    let range = |range: &RangeInclusive<u16>| match (*range.start(), *range.end()) {
        (first, last) if first == last => first.to_string(),
        (100, last) => format!("below {}", last + 1),
        (first, last) => format!("{first}-{last}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitors::document;

    fn value(text: &str) -> Node {
        document::parse(text).unwrap().documents.remove(0)
    }

    fn check_json(path: &str, selects: Selects, body: &str) -> Result<(), String> {
        let expected = ExpectBody::Json { path: JsonPath::parse(path).unwrap(), selects };
        expected.check(&Body::new(body.to_owned(), false), &|text| text.into())
    }

    #[test]
    fn numbers_equal_by_exact_value_at_any_depth() {
        for (expected, sent, is_equal) in [
            ("18446744073709551614", "18446744073709551615", false),
            ("18446744073709551615", "18446744073709551615", true),
            ("9007199254740993", "9007199254740992", false),
            ("[10]", "[10.0]", true),
            ("{a: [1, {b: 0.10}]}", r#"{"a": [1.0, {"b": 0.1}]}"#, true),
            ("{a: [18446744073709551614]}", r#"{"a": [18446744073709551615]}"#, false),
            ("1e400", "1e400", true),
            ("1e400", "1e401", false),
            ("-0", "0", true),
            ("10", "\"10\"", false),
            ("null", "null", true),
            ("0.1", "0.1000000000000000055511151231257827", false),
        ] {
            let outcome = check_json("$", Selects::Only(value(expected)), sent);
            assert_eq!(outcome.is_ok(), is_equal, "{expected} and {sent}: {outcome:?}");
        }
        let error = check_json("$.a", Selects::Only(value("18446744073709551614")), r#"{"a": 18446744073709551615}"#);
        assert_eq!(error.unwrap_err(), "$.a is 18446744073709551615: expected 18446744073709551614");
    }

    fn answer(status: u16, lines: &[(&'static str, &str)], body: &[u8]) -> Answer {
        let header = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        Answer { status, headers: lines.iter().map(header).collect(), body: body.to_vec(), is_cut: false }
    }

    fn check(expect: &Expect, answer: &Answer) -> (Option<FailureKind>, String) {
        let failure = expect.check(answer, Certificate::None, Timestamp::UNIX_EPOCH, &|text| text.into()).err();
        failure.map_or((None, String::new()), |failure| (Some(failure.kind), failure.message))
    }

    #[test]
    fn every_failed_expectation_is_reported_with_the_status_first() {
        let expect = Expect { body: vec![ExpectBody::Contains("x".to_owned())], ..Expect::default() };
        let brotli = b"\x0b\x02\x80hello\x03";

        let (kind, message) = check(&expect, &answer(503, &[("content-encoding", "br")], brotli));
        assert_eq!(kind, Some(FailureKind::Assertion));
        assert!(
            message.starts_with("HTTP status 503: expected below 400; the body has the content coding \"br\""),
            "{message}"
        );

        let (kind, message) = check(&expect, &answer(200, &[("content-encoding", "br")], brotli));
        assert_eq!(kind, Some(FailureKind::Body));
        assert!(message.starts_with("the body has the content coding \"br\""), "{message}");

        let with_certificate = Expect { certificate_days: Some(1), ..expect };
        let (kind, message) = check(&with_certificate, &answer(200, &[("content-encoding", "br")], brotli));
        assert_eq!(kind, Some(FailureKind::Assertion));
        assert!(message.contains("; there is no certificate"), "{message}");
    }

    #[test]
    fn long_values_leave_room_for_later_expectations_and_show_no_part_of_a_secret() {
        let secret = "s3cret".repeat(50);
        let long = format!("{}{secret}{}", "x".repeat(MAX_SHOWN_BYTES - 10), "é".repeat(2_000));
        let is_long = ExpectText::Equals("y".repeat(3_000));
        let path = |path: &str| JsonPath::parse(path).unwrap();
        let expect = Expect {
            headers: vec![
                (HeaderName::from_static("x-a"), is_long),
                (HeaderName::from_static("x-b"), ExpectText::Exists(true)),
            ],
            body: vec![
                ExpectBody::Json { path: path("$.a"), selects: Selects::Only(value("1")) },
                ExpectBody::Contains("z".repeat(5_000)),
                ExpectBody::Json { path: path("$.b"), selects: Selects::Something },
            ],
            ..Expect::default()
        };
        let body = format!("{{\"a\": \"{long}\"}}");
        let answer = answer(500, &[("x-a", &long)], body.as_bytes());
        let mask = |text: &str| text.replace(&secret, "${TOKEN}").into();

        let message =
            expect.check(&answer, Certificate::None, Timestamp::UNIX_EPOCH, &|text| mask(text)).unwrap_err().message;

        assert!(message.len() < 2_048, "{}: {message}", message.len());
        assert!(!message.contains("s3"), "{message}");
        assert!(message.starts_with("HTTP status 500: expected below 400; the header x-a is \"xxx"), "{message}");
        for words in
            ["… (4200 bytes)", "there is no header x-b", "$.a is \"xx", "… (5002 bytes)", "$.b is not in the body"]
        {
            assert!(message.contains(words), "{words} is not in {message}");
        }
        let digits = check_json("$", Selects::Something, &format!("[0{}]", "1".repeat(5_000))).unwrap_err();
        assert!(digits.len() < 500 && digits.contains("is not JSON"), "{digits}");
    }

    #[test]
    fn statuses_are_printed_as_they_were_written() {
        for (ranges, expected) in [
            (vec![100..=100, 200..=200], "100 or 200"),
            (vec![100..=399], "below 400"),
            (vec![200..=299, 304..=304], "200-299 or 304"),
        ] {
            assert_eq!(print(&ranges), expected);
        }
    }

    #[test]
    fn header_that_is_absent_is_as_expected_only_where_it_must_not_exist() {
        for (expected, absent, empty) in [
            (ExpectText::Equals(String::new()), false, true),
            (ExpectText::Matches(Regex::new("^$").unwrap()), false, true),
            (ExpectText::Exists(true), false, true),
            (ExpectText::Exists(false), true, false),
        ] {
            let expect = Expect { headers: vec![(HeaderName::from_static("x-a"), expected)], ..Expect::default() };
            assert_eq!(check(&expect, &answer(200, &[], b"")).0.is_none(), absent, "{expect:?}");
            assert_eq!(check(&expect, &answer(200, &[("x-a", "")], b"")).0.is_none(), empty, "{expect:?}");
        }
    }

    #[test]
    fn certificate_is_good_for_days_to_the_nanosecond_and_one_without_expiry_for_all() {
        let now: Timestamp = "2026-11-23T12:00:00.5Z".parse().unwrap();
        let at = |text: &str| Certificate::Expires(Some(text.parse().unwrap()));
        let check = |days: u16, certificate: Certificate| {
            Expect { certificate_days: Some(days), ..Expect::default() }.check_certificate(certificate, now)
        };
        assert_eq!(check(1, at("2026-11-24T12:00:00.5Z")), Ok(()));
        assert_eq!(check(1, at("2026-11-24T12:00:00Z")).unwrap_err(), "the certificate is good for 0 days: expected 1");
        assert_eq!(check(3_650, at("2036-11-21T12:00:01Z")), Ok(()));
        assert_eq!(
            check(3_650, at("2036-11-20T12:00:00Z")).unwrap_err(),
            "the certificate is good for 3649 days: expected 3650"
        );
        assert_eq!(
            check(14, at("2026-11-23T12:00:00Z")).unwrap_err(),
            "the certificate expired at 2026-11-23T12:00:00Z: expected 14 more days"
        );
        assert!(check(14, at("-009999-01-02T01:59:59Z")).unwrap_err().contains("expired"));
        assert!(check(1, Certificate::None).unwrap_err().contains("there is no certificate"));
        assert!(check(1, Certificate::Expires(None)).unwrap_err().contains("cannot be read"));
        let last = Certificate::Expires(Some(Timestamp::MAX));
        assert_eq!(check(3_650, last), Ok(()));
        let late = Timestamp::MAX - SignedDuration::from_hours(1);
        let expect = Expect { certificate_days: Some(3_650), ..Expect::default() };
        assert_eq!(expect.check_certificate(last, late), Ok(()));
    }
}
