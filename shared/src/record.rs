//! The record: what probe publishes and flush stores, one JSON object per Kafka message, keyed by its URL.
//!
//! The wire form is pinned by `fixtures/record.json`. Unknown fields are ignored; only `url`, `timestamp`,
//! `http_status_code` and `response_time_ms` are required, which is the form of the Python CLI `wm`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Millis, timestamp};
pub use crate::{
    outcome::{FailureKind, Outcome},
    timing::{Hop, Phases},
};

/// The longest URL a record may carry, in bytes.
pub const MAX_URL_BYTES: usize = 2_048;

/// The longest monitor and location, in bytes. Each is a key in Postgres, whose index takes no entry above 2,704 bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// The most tags of a target: each is in every answer about it.
pub const MAX_TAGS: usize = 50;

/// 2000-01-01T00:00:00Z: an earlier timestamp comes from a clock that was never set.
const EARLIEST: Timestamp = Timestamp::constant(946_684_800, 0);

/// The highest number of an attempt.
const MAX_ATTEMPT: u16 = (1 << 14) - 1;

/// One request and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The URL as configured. It names the target where there is no `monitor`.
    pub url: String,
    /// When the request started, to the microsecond.
    #[serde(with = "timestamp")]
    pub timestamp: Timestamp,
    /// The status of the response, null when none came.
    #[serde(deserialize_with = "present")]
    pub http_status_code: Option<u16>,
    /// From the start of the request to the last byte of the body, or to the moment it was given up; null when no
    /// request was made.
    #[serde(deserialize_with = "present")]
    pub response_time_ms: Option<Millis>,
    /// The tick of the schedule that asked for this probe.
    #[serde(default, with = "timestamp::option")]
    pub scheduled_at: Option<Timestamp>,
    /// Where it was probed from, such as an AWS region.
    #[serde(default)]
    pub location: Option<String>,
    /// The stable id of the monitor, where the target comes from a monitors file: it names the target, whatever its URL is.
    #[serde(default)]
    pub monitor: Option<String>,
    /// The verdict. A record without one (as `wm` wrote them) gets it from its status: below 400 is up.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// Why the verdict is not up.
    #[serde(default)]
    pub error: Option<Failure>,
    /// Why the slot was missed; null for every other verdict. Not an `error`, which is the target's.
    #[serde(default)]
    pub reason: Option<String>,
    /// Where the time went.
    #[serde(default)]
    pub phases: Option<Phases>,
    /// Each hop, where there were redirects; their phases add up to those above.
    #[serde(default)]
    pub hops: Vec<Hop>,
    /// Whether the body was longer than what is read of one.
    #[serde(default)]
    pub body_cut: bool,
    /// When the leaf certificate of an HTTPS target runs out.
    #[serde(default, with = "timestamp::option")]
    pub certificate_expires_at: Option<Timestamp>,
    /// 1 for the first attempt of a slot; every attempt is its own record.
    #[serde(default = "first_attempt")]
    pub attempt: u16,
    /// Whether another attempt followed in the same slot, so that the verdict of this one is not the slot's.
    #[serde(default)]
    pub retried: bool,
    /// From one slot to the next, in milliseconds; null where no schedule asks.
    #[serde(default)]
    pub interval_ms: Option<u32>,
    /// The tags of the monitor.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What the prober itself was doing meanwhile.
    #[serde(default)]
    pub prober: Option<Prober>,
    /// Made by probe, so that a record is recognised wherever it is copied.
    #[serde(default)]
    pub id: Option<Uuid>,
}

/// The prober's own part in a probe, so that its slowness is not taken for the target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prober {
    /// Whether this was the first invocation of its execution environment.
    #[serde(default)]
    pub cold_start: bool,
    /// Requests under way as this one started, itself included.
    #[serde(default)]
    pub in_flight: u32,
    /// How long after its intended time (the slot's and its place in the spread) the first attempt started; null for
    /// further ones, and where no schedule asked.
    #[serde(default)]
    pub late_ms: Option<Millis>,
}

/// Why a target is not up: a kind from a closed set, and a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What failed.
    pub kind: FailureKind,
    /// The client's own words.
    pub message: String,
}

/// Why bytes are not a record; the sentence names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a record: {0}")]
pub struct DecodeError(String);

impl Record {
    /// The bytes of the Kafka message.
    ///
    /// # Errors
    /// None for a record made of finite numbers, which [`Millis`] ensures.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads the bytes of a Kafka message, and refuses whatever the database could not hold, so that a record that
    /// decodes can always be stored.
    ///
    /// # Errors
    /// A sentence that names the field and what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| DecodeError(error.to_string()))?;
        record.check().map_err(DecodeError)?;
        Ok(record)
    }

    /// The verdict: the record's own, or the one that follows from its status.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome.unwrap_or(match self.http_status_code {
            Some(status) if status < 400 => Outcome::Up,
            _ => Outcome::Down,
        })
    }

    /// Whether its slot began late: a tenth of its interval, and no less than a second, after it was due. Where the interval is
    /// not known, it did not.
    #[must_use]
    pub fn is_late(&self) -> bool {
        let late = self.prober.and_then(|prober| prober.late_ms).map(|late| i64::from(late.as_micros()));
        let interval = self.interval_ms.map(|millis| i64::from(millis) * 1_000);
        late.zip(interval).is_some_and(|(late, interval)| late >= 1_000_000 && late * 10 >= interval)
    }

    fn check(&self) -> Result<(), String> {
        if self.url.is_empty() {
            return Err("url is empty".to_owned());
        }
        if self.timestamp < EARLIEST {
            let timestamp = timestamp::format(self.timestamp);
            return Err(format!("timestamp is {timestamp}: expected {EARLIEST} or later; set the clock of the prober"));
        }
        if let Some(status) = self.http_status_code.filter(|status| !(100..=999).contains(status)) {
            return Err(format!("http_status_code is {status}: expected 100 to 999"));
        }
        if self.http_status_code.is_some() && self.response_time_ms.is_none() {
            return Err("response_time_ms is null, but there is a response: http_status_code is not".to_owned());
        }
        if self.outcome == Some(Outcome::Missed) && self.response_time_ms.is_some() {
            return Err("outcome is missed, but response_time_ms is not null: a missed slot has no request".to_owned());
        }
        if !(1..=MAX_ATTEMPT).contains(&self.attempt) {
            return Err(format!("attempt is {}: expected 1 to {MAX_ATTEMPT}", self.attempt));
        }
        if self.interval_ms.is_some_and(|millis| i32::try_from(millis).is_err()) {
            return Err(format!("interval_ms is above {}", i32::MAX));
        }
        if self.tags.len() > MAX_TAGS {
            return Err(format!("there are {} tags: expected at most {MAX_TAGS}", self.tags.len()));
        }
        let message = self.error.as_ref().map(|error| error.message.as_str());
        let texts = [
            ("url", Some(self.url.as_str()), MAX_URL_BYTES),
            ("location", self.location.as_deref(), MAX_NAME_BYTES),
            ("monitor", self.monitor.as_deref(), MAX_NAME_BYTES),
            ("error.message", message, usize::MAX),
            ("reason", self.reason.as_deref(), usize::MAX),
        ];
        let tags = self.tags.iter().map(|tag| ("tags", Some(tag.as_str()), MAX_NAME_BYTES));
        for (name, text, limit) in texts.into_iter().chain(tags) {
            let text = text.unwrap_or_default();
            if text.len() > limit {
                return Err(format!("{name} has {} bytes: expected at most {limit}", text.len()));
            }
            if text.contains('\0') {
                return Err(format!("{name} contains a NUL character, which Postgres cannot hold"));
            }
        }
        Ok(())
    }
}

fn first_attempt() -> u16 {
    1
}

/// Reads a field that may be null but must be there (serde takes an absent `Option` for null).
fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = include_str!("../fixtures/record.json");

    fn decode(json: &serde_json::Value) -> Result<Record, DecodeError> {
        Record::decode(json.to_string().as_bytes())
    }

    fn seed() -> serde_json::Value {
        serde_json::json!({
            "url": "https://example.com", "timestamp": "2021-01-01 00:00:00.123456",
            "http_status_code": 200, "response_time_ms": 832
        })
    }

    #[test]
    fn the_wire_form_is_the_one_of_the_fixture() {
        let record = Record::decode(FULL.as_bytes()).unwrap();
        let printed: serde_json::Value = serde_json::from_slice(&record.encode().unwrap()).unwrap();

        assert_eq!(printed, serde_json::from_str::<serde_json::Value>(FULL).unwrap());
        assert_eq!(record.error.unwrap().kind, FailureKind::Assertion);
        assert_eq!(record.phases.unwrap().first_byte.unwrap().as_micros(), 101_300);
    }

    #[test]
    fn the_seeds_four_fields_are_a_record() {
        let record = decode(&seed()).unwrap();

        assert_eq!(timestamp::format(record.timestamp), "2021-01-01T00:00:00.123456Z");
        assert_eq!(record.response_time_ms.unwrap().as_micros(), 832_000);
        assert_eq!((record.outcome(), record.attempt, record.id), (Outcome::Up, 1, None));
    }

    #[test]
    fn a_record_without_a_verdict_gets_it_from_its_status() {
        let expected = [
            (serde_json::json!(399), Outcome::Up),
            (serde_json::json!(400), Outcome::Down),
            (serde_json::json!(null), Outcome::Down),
        ];
        for (status, outcome) in expected {
            let mut json = seed();
            json["http_status_code"] = status;
            assert_eq!(decode(&json).unwrap().outcome(), outcome);
        }
    }

    #[test]
    fn the_four_fields_are_required_even_where_they_may_be_null() {
        for field in ["url", "timestamp", "http_status_code", "response_time_ms"] {
            let mut json = seed();
            json.as_object_mut().unwrap().remove(field);
            assert!(decode(&json).unwrap_err().to_string().contains(field), "{field}");
        }
    }

    #[test]
    fn a_target_has_so_many_tags() {
        let mut json = seed();
        json["tags"] = vec!["tag"; MAX_TAGS].into();
        assert!(decode(&json).is_ok());
        json["tags"] = vec!["tag"; MAX_TAGS + 1].into();
        assert!(decode(&json).unwrap_err().to_string().contains("there are 51 tags"));
    }

    #[test]
    fn what_the_database_could_not_hold_is_refused_by_name() {
        let refused = [
            ("url", serde_json::json!("")),
            ("url", serde_json::json!("x".repeat(MAX_URL_BYTES + 1))),
            ("url", serde_json::json!("http://a/\u{0}")),
            ("http_status_code", serde_json::json!(99)),
            ("http_status_code", serde_json::json!(1_000)),
            ("response_time_ms", serde_json::json!(null)),
            ("timestamp", serde_json::json!("1999-12-31T23:59:59.999999Z")),
            ("outcome", serde_json::json!("missed")),
            ("attempt", serde_json::json!(0)),
            ("attempt", serde_json::json!(16_384)),
            ("interval_ms", serde_json::json!(2_147_483_648_u32)),
            ("tags", serde_json::json!(["a\u{0}"])),
            ("tags", serde_json::json!(["t".repeat(MAX_NAME_BYTES + 1)])),
            ("location", serde_json::json!("eu\u{0}")),
            ("monitor", serde_json::json!("m".repeat(MAX_NAME_BYTES + 1))),
        ];
        for (field, value) in refused {
            let mut json = seed();
            json[field] = value;
            assert!(decode(&json).unwrap_err().to_string().contains(field), "{field}");
        }
    }

    #[test]
    fn unknown_fields_are_ignored_and_unknown_kinds_are_not() {
        let mut json = seed();
        json["colour"] = serde_json::json!("blue");
        assert!(decode(&json).is_ok());
        json["error"] = serde_json::json!({"kind": "gremlins", "message": ""});
        assert!(decode(&json).unwrap_err().to_string().contains("gremlins"));
    }
}
