//! What an answer must be like for its target to be up.

use std::{cell::OnceCell, io::Read as _, ops::RangeInclusive};

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use jiff::Timestamp;
use jsonpath_rust::{parser::model::JpQuery, parser::parse_json_path, query::js_path_process};
use regex::Regex;
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderName};
use serde_json::Value;
use shared::record::{Failure, FailureKind};

use crate::exchange::{Answer, MAX_BODY_BYTES};

/// How long a body may become when it is decompressed, for what is expected of it.
const MAX_DECODED_BYTES: u64 = 8 << 20;
/// How much JSON is taken apart. A tree takes a hundred times the memory of its text where that is all brackets, and a path is
/// looked up with the whole way to each value in memory: a target could end the function with either.
const MAX_JSON_VALUES: usize = 50_000;
const MAX_JSON_WAYS_BYTES: usize = 8 << 20;
const SECONDS_PER_DAY: i64 = 86_400;

/// What is expected of an answer.
#[derive(Debug, Clone)]
pub struct Expect {
    /// One of these statuses.
    pub status: Vec<RangeInclusive<u16>>,
    /// Each of these headers.
    pub headers: Vec<(HeaderName, ExpectText)>,
    /// All of this in the body.
    pub body: Vec<ExpectBody>,
    /// A certificate that is good for so many more days.
    pub certificate_days: Option<u16>,
}

/// What is expected of a header.
#[derive(Debug, Clone)]
pub enum ExpectText {
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
pub enum ExpectBody {
    /// This is in it.
    Contains(String),
    /// This is found in it.
    Matches(Regex),
    /// It is JSON, in which a path (RFC 9535) selects something, and nothing but this value; or nothing at all.
    Json {
        /// The path as it was written.
        path: String,
        /// The same, understood.
        query: Box<JpQuery>,
        /// What it selects.
        selects: Selects,
    },
}

/// What a path selects.
#[derive(Debug, Clone, PartialEq)]
pub enum Selects {
    /// At least one value, and each is this.
    Only(Value),
    /// At least one value.
    Something,
    /// None.
    Nothing,
}

/// Understands a path.
///
/// # Errors
/// What is wrong with it.
pub(super) fn query(path: &str) -> Result<Box<JpQuery>, String> {
    let error = |error| format!("{path:?} is not a JSONPath (RFC 9535): {error}");
    parse_json_path(path).map(Box::new).map_err(|found| error(found.to_string().replace('\n', " ")))
}

impl Default for Expect {
    /// A status below 400.
    fn default() -> Self {
        Self { status: vec![100..=399], headers: Vec::new(), body: Vec::new(), certificate_days: None }
    }
}

impl Expect {
    /// Whether the answer is as expected.
    ///
    /// # Errors
    /// All that is not, in one sentence; or that the body cannot be read as it must be.
    pub fn check(&self, answer: &Answer, expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), Failure> {
        let mut wrong = Vec::new();
        if !self.status.iter().any(|range| range.contains(&answer.status)) {
            wrong.push(format!("HTTP status {}: expected {}", answer.status, print(&self.status)));
        }
        wrong.extend(self.headers.iter().filter_map(|(name, expected)| expected.check(name, &answer.headers).err()));
        if !self.body.is_empty() {
            let body = Body::decode(answer)?;
            wrong.extend(self.body.iter().filter_map(|expected| expected.check(&body).err()));
        }
        wrong.extend(self.certificate(expires_at, now).err());
        if wrong.is_empty() { Ok(()) } else { Err(failure(FailureKind::Assertion, wrong.join("; "))) }
    }

    fn certificate(&self, expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), String> {
        let Some(days) = self.certificate_days else { return Ok(()) };
        let Some(expires_at) = expires_at else { return Err("there is no certificate".to_owned()) };
        let left = expires_at.as_second().saturating_sub(now.as_second());
        if left >= i64::from(days) * SECONDS_PER_DAY {
            return Ok(());
        }
        Err(format!("the certificate is good for {} days: expected {days}", left.div_euclid(SECONDS_PER_DAY)))
    }
}

impl ExpectText {
    fn check(&self, name: &HeaderName, headers: &HeaderMap) -> Result<(), String> {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        // As RFC 9110 has it, several lines of a header are one list.
        let value = values.join(", ");
        let (holds, expected) = match self {
            Self::Exists(exists) => (*exists == values.is_empty(), if *exists { "it" } else { "none" }.to_owned()),
            Self::Equals(text) => (value != *text, format!("{text:?}")),
            Self::Contains(text) => (!value.contains(text), format!("{text:?} in it")),
            Self::Matches(regex) => (!regex.is_match(&value), format!("a match of {:?}", regex.as_str())),
        };
        match (holds, values.is_empty()) {
            (false, _) => Ok(()),
            (true, true) => Err(format!("there is no header {name}: expected {expected}")),
            (true, false) => Err(format!("the header {name} is {value:?}: expected {expected}")),
        }
    }
}

impl ExpectBody {
    fn check(&self, body: &Body) -> Result<(), String> {
        let part = body.part();
        match self {
            Self::Contains(text) if body.text.contains(text) => Ok(()),
            Self::Contains(text) => Err(format!("{text:?} is not in {part}")),
            Self::Matches(regex) if regex.is_match(&body.text) => Ok(()),
            Self::Matches(regex) => Err(format!("nothing in {part} matches {:?}", regex.as_str())),
            Self::Json { path, query, selects } => {
                let json = body.json.get_or_init(|| body.parse()).as_ref().map_err(Clone::clone)?;
                let found =
                    js_path_process(query, json).map_err(|error| format!("{path} cannot be looked up: {error}"))?;
                let found: Vec<_> = found.into_iter().map(jsonpath_rust::query::QueryRef::val).collect();
                match selects {
                    Selects::Nothing => match found.first() {
                        None => Ok(()),
                        Some(value) => Err(format!("{path} is {value}: expected nothing")),
                    },
                    _ if found.is_empty() => Err(format!("{path} is not in {part}")),
                    Selects::Something => Ok(()),
                    Selects::Only(expected) => match found.iter().find(|value| !is_same(value, expected)) {
                        None => Ok(()),
                        Some(value) => Err(format!("{path} is {value}: expected {expected}")),
                    },
                }
            }
        }
    }
}

/// The body of an answer as what is expected of it needs it.
struct Body {
    /// Decompressed.
    text: String,
    /// Whether there was more.
    is_cut: bool,
    /// Parsed when it is first asked for.
    json: OnceCell<Result<Value, String>>,
}

impl Body {
    fn decode(answer: &Answer) -> Result<Self, Failure> {
        Ok(Self { text: decode(answer)?, is_cut: answer.is_cut, json: OnceCell::new() })
    }

    fn part(&self) -> String {
        if self.is_cut { format!("the first {MAX_BODY_BYTES} bytes of the body") } else { "the body".to_owned() }
    }

    fn parse(&self) -> Result<Value, String> {
        let part = self.part();
        // Each value but the first follows on one of these.
        let values = self.text.bytes().filter(|byte| matches!(byte, b'[' | b'{' | b',')).count();
        if values > MAX_JSON_VALUES {
            return Err(format!("{part} may be JSON of {values} values: expected at most {MAX_JSON_VALUES}"));
        }
        let json = serde_json::from_str(&self.text).map_err(|error| format!("{part} is not JSON: {error}"))?;
        let ways = ways(&json, 0);
        if ways > MAX_JSON_WAYS_BYTES {
            return Err(format!(
                "{part} is JSON whose paths have {ways} bytes: expected at most {MAX_JSON_WAYS_BYTES}"
            ));
        }
        Ok(json)
    }
}

/// The bytes of the ways to all values below one that is `way` bytes deep. JSON is at most 128 levels deep when it is parsed.
fn ways(json: &Value, way: usize) -> usize {
    // Around a name stand brackets and quotes, around a number brackets.
    match json {
        Value::Array(list) => list.iter().map(|value| way + 8 + ways(value, way + 8)).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let way = way + name.len() + 4;
                way + ways(value, way)
            })
            .sum(),
        _ => 0,
    }
}

/// The body as text, decompressed.
fn decode(answer: &Answer) -> Result<String, Failure> {
    let encoding = answer.headers.get(CONTENT_ENCODING).map_or("identity", |value| value.to_str().unwrap_or("?"));
    let mut decoded = Vec::new();
    let bytes = answer.body.as_slice();
    let limit = MAX_DECODED_BYTES + 1;
    let read = match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => bytes.take(limit).read_to_end(&mut decoded),
        "gzip" | "x-gzip" => MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut decoded),
        "deflate" => ZlibDecoder::new(bytes).take(limit).read_to_end(&mut decoded),
        other => {
            return Err(failure(
                FailureKind::Body,
                format!("the body is encoded with {other:?}, which was not asked for"),
            ));
        }
    };
    match read {
        // What was cut ends in the middle.
        Err(error) if !answer.is_cut => {
            Err(failure(FailureKind::Body, format!("the body cannot be decompressed: {error}")))
        }
        _ if decoded.len() as u64 > MAX_DECODED_BYTES => Err(failure(
            FailureKind::Body,
            format!("the body is larger than {MAX_DECODED_BYTES} bytes when it is decompressed"),
        )),
        _ => Ok(String::from_utf8_lossy(&decoded).into_owned()),
    }
}

fn failure(kind: FailureKind, message: String) -> Failure {
    Failure { kind, message }
}

/// Whether two values are the same; numbers by what they are worth, not by how they are written.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one_number), Some(other_number)) if !(one.is_i64() && other.is_i64()) => one_number == other_number,
        _ => one == other,
    }
}

fn print(ranges: &[RangeInclusive<u16>]) -> String {
    let range = |range: &RangeInclusive<u16>| match (*range.start(), *range.end()) {
        (100, last) => format!("below {}", last + 1),
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_the_same_by_what_they_are_worth() {
        for (one, other, expected) in [
            (json!(10), json!(10.0), true),
            (json!(10), json!(10), true),
            (json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992_i64), false),
            (json!(10), json!("10"), false),
            (json!(null), json!(null), true),
        ] {
            assert_eq!(is_same(&one, &other), expected, "{one} and {other}");
        }
    }

    fn check(path: &str, body: &str) -> Result<(), String> {
        let expected =
            ExpectBody::Json { path: path.to_owned(), query: query(path).unwrap(), selects: Selects::Something };
        expected.check(&Body { text: body.to_owned(), is_cut: false, json: OnceCell::new() })
    }

    #[test]
    fn json_that_would_take_the_memory_of_the_function_is_refused_before_it_does() {
        let numbers = |count: usize| format!("[{}]", vec!["0"; count].join(","));
        assert_eq!(check("$[0]", &numbers(40_000)), Ok(()));
        let objects = format!("[{}]", vec![r#"{"":0}"#; 30_000].join(","));
        for many in [numbers(60_000), objects] {
            let error = check("$[0]", &many).unwrap_err();
            assert!(error.contains("values: expected at most 50000"), "{error}");
        }
        // A name is in the path of everything below it.
        let below = |name: usize| format!(r#"{{"{}": {}}}"#, "k".repeat(name), numbers(1_000));
        assert_eq!(check("$..*", &below(1_000)), Ok(()));
        let error = check("$..*", &below(10_000)).unwrap_err();
        assert!(error.contains("whose paths have"), "{error}");
    }
}
