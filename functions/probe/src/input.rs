//! The event: what to probe and for which tick.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::timestamp;

use crate::{config::check_url, plan::Shard};

/// What an event asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tick {
    /// What to probe.
    pub selection: Selection,
    /// The part of it.
    pub shard: Option<Shard>,
    /// The time of the schedule. With it, monitors are probed when it is their turn; without it, all at once and now.
    pub scheduled_at: Option<Timestamp>,
}

/// The oldest tick that a schedule still delivers: Lambda keeps an event for six hours at most
/// (`MaximumEventAgeInSeconds`).
const MAX_AGE: SignedDuration = SignedDuration::from_hours(6);
/// How far the clock of a schedule may be ahead of this one.
const MAX_AHEAD: SignedDuration = SignedDuration::from_mins(1);

/// What to probe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selection {
    /// All that is configured.
    #[default]
    All,
    /// Monitors of the configuration, by their ids.
    Ids(Vec<String>),
    /// Monitors of the configuration, by any of these tags.
    Tags(Vec<String>),
    /// URLs that the event carries.
    Urls(Vec<String>),
    /// Monitors that the event carries: the text of a monitors file.
    Monitors(String),
}

/// An event that probe does not take; says what it does take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot understand the event: {0}. Accepted are an EventBridge rule event, an EventBridge Scheduler event, and any of \
     {{\"url\": \"https://…\"}}, {{\"urls\": [\"https://…\", …]}}, {{\"monitors\": [\"id\", …]}}, {{\"monitors\": [{{\"id\": …, \
     \"url\": …}}, …]}}, {{\"tags\": [\"…\"]}}, or {{}} for all that is configured, each with an optional \"scheduled_at\" \
     and an optional \"shard\" (from 0) and \"shards\""
)]
pub struct InputError(pub(crate) String);

/// The input that a person, a test or a schedule with an `Input` of its own sends.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Custom {
    url: Option<String>,
    urls: Option<Vec<String>>,
    monitors: Option<Vec<Value>>,
    tags: Option<Vec<String>>,
    shard: Option<u32>,
    shards: Option<u32>,
    #[serde(default)]
    scheduled_at: Value,
}

impl Tick {
    /// Reads an event of any accepted form.
    ///
    /// # Errors
    /// What is wrong with the event, and the accepted forms.
    pub fn from_event(event: &Value) -> Result<Self, InputError> {
        match event {
            Value::Null => Ok(Self::default()),
            Value::Object(fields) if fields.contains_key("detail-type") => {
                // An EventBridge rule has an object here, EventBridge Scheduler a string of JSON.
                let inner = match &event["detail"] {
                    Value::Null => Self::default(),
                    Value::String(text) if text.trim().is_empty() => Self::default(),
                    Value::String(text) => custom(&read_text(text)?)?,
                    detail => custom(detail)?,
                };
                let time = match inner.scheduled_at {
                    Some(time) => time,
                    None => read_time("time", &event["time"])?,
                };
                Ok(Self { scheduled_at: Some(time), ..inner })
            }
            event => custom(event),
        }
    }

    /// Takes away a time that no schedule has at `now`: more than six hours ago, or more than a minute ahead. Sample events and
    /// events that are sent again by hand have such times. Their monitors are probed once and now, and nothing counts as
    /// scheduled since then. Returns a sentence about that for people, or `None` where the time stays.
    pub fn drop_implausible_time(&mut self, now: Timestamp) -> Option<String> {
        let time = self.scheduled_at?;
        let reason = match now.duration_since(time) {
            age if age > MAX_AGE => "more than six hours ago",
            age if age < -MAX_AHEAD => "more than a minute ahead",
            _ => return None,
        };
        self.scheduled_at = None;
        Some(format!("the event has the schedule time {time}, which is {reason}: probed now, outside the schedule"))
    }

    /// A tick that probes these URLs, once and now.
    #[must_use]
    pub fn of_urls(urls: &[String]) -> Self {
        Self { selection: Selection::Urls(urls.to_vec()), ..Self::default() }
    }
}

fn custom(event: &Value) -> Result<Tick, InputError> {
    let Custom { url, urls, monitors, tags, shard, shards, scheduled_at } = read(event)?;
    let urls = match (url, urls) {
        (Some(_), Some(_)) => {
            return Err(InputError("it has both \"url\" and \"urls\"".to_owned()));
        }
        (Some(url), None) => Some(vec![url]),
        (None, urls) => urls,
    };
    let selection = match (urls, monitors, tags) {
        (None, None, None) => Selection::All,
        (Some(urls), None, None) => Selection::Urls(urls),
        (None, Some(monitors), None) => read_monitors(monitors)?,
        (None, None, Some(tags)) => Selection::Tags(tags),
        _ => return Err(InputError("it has more than one of \"urls\", \"monitors\" and \"tags\"".to_owned())),
    };
    match &selection {
        Selection::Urls(list) if list.is_empty() => return Err(InputError("\"urls\" is empty".to_owned())),
        Selection::Ids(list) if list.is_empty() => return Err(InputError("\"monitors\" is empty".to_owned())),
        Selection::Tags(list) if list.is_empty() => return Err(InputError("\"tags\" is empty".to_owned())),
        Selection::Urls(urls) => urls.iter().try_for_each(|url| check_url(url)).map_err(InputError)?,
        _ => {}
    }
    let shard = match (shard, shards) {
        (None, None) => None,
        (Some(index), Some(count)) if index < count => Some(Shard { index, count }),
        (Some(index), Some(count)) => {
            return Err(InputError(format!("\"shard\" is {index} of {count}: expected 0 to below \"shards\"")));
        }
        _ => return Err(InputError("\"shard\" and \"shards\" go together".to_owned())),
    };
    let scheduled_at = match &scheduled_at {
        Value::Null => None,
        time => Some(read_time("scheduled_at", time)?),
    };
    Ok(Tick { selection, shard, scheduled_at })
}

/// Reads the time of a schedule from a field.
fn read_time(name: &str, value: &Value) -> Result<Timestamp, InputError> {
    let expected = "expected the time of the schedule, as in \"2026-11-23T12:00:00Z\"; to probe now, send {} or another form \
                    below";
    match value {
        Value::String(text) if text.contains("<aws.") => Err(InputError(format!(
            "\"{name}\" is {text:?}, which EventBridge Scheduler alone replaces by a time; to probe now, leave it out"
        ))),
        Value::String(text) if text.trim().is_empty() => Err(InputError(format!("\"{name}\" is empty: {expected}"))),
        Value::String(text) => {
            timestamp::parse(text).map_err(|error| InputError(format!("\"{name}\" is wrong: {error}; {expected}")))
        }
        Value::Null => Err(InputError(format!("\"{name}\" is missing: {expected}"))),
        other => Err(InputError(format!("\"{name}\" is {other}: {expected}"))),
    }
}

/// Ids, or whole monitors.
fn read_monitors(list: Vec<Value>) -> Result<Selection, InputError> {
    if list.iter().all(Value::is_string) {
        return Ok(Selection::Ids(list.iter().filter_map(Value::as_str).map(str::to_owned).collect()));
    }
    if !list.iter().all(Value::is_object) {
        return Err(InputError("\"monitors\" is to be a list of ids, or one of monitors".to_owned()));
    }
    // In lines, so that a mistake has a place in them. JSON is YAML too.
    Ok(Selection::Monitors(format!("{:#}", json!({ "monitors": list }))))
}

fn read<T: for<'de> Deserialize<'de>>(value: &Value) -> Result<T, InputError> {
    if !value.is_object() {
        let kind = match value {
            Value::Array(_) => "an array",
            Value::String(_) => "a string",
            Value::Number(_) => "a number",
            Value::Null => "null",
            _ => "a boolean",
        };
        return Err(InputError(format!("it is {kind} and not an object")));
    }
    T::deserialize(value).map_err(|error| InputError(error.to_string()))
}

fn read_text(text: &str) -> Result<Value, InputError> {
    serde_json::from_str(text).map_err(|error| InputError(format!("its detail is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(event: &Value) -> Tick {
        Tick::from_event(event).unwrap()
    }

    fn instant(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_schedules_time_is_the_slot_in_both_forms_of_eventbridge() {
        let rule = serde_json::from_str(include_str!("../../../events/schedule-rule.json")).unwrap();
        let scheduler = serde_json::from_str(include_str!("../../../events/schedule-scheduler.json")).unwrap();

        let expected = Tick { scheduled_at: instant("2026-11-23T12:00:00Z"), ..Tick::default() };
        assert_eq!(tick(&rule), expected);
        assert_eq!(tick(&scheduler), expected);
    }

    #[test]
    fn a_detail_may_name_urls_and_a_slot_of_its_own() {
        let mut event = json!({
            "detail-type": "check", "source": "me", "time": "2026-11-23T12:00:00Z", "detail": {"url": "https://a.test"}
        });
        let expected =
            Tick { scheduled_at: instant("2026-11-23T12:00:00Z"), ..Tick::of_urls(&["https://a.test".to_owned()]) };
        assert_eq!(tick(&event), expected);

        event["detail"] = json!("{\"urls\": [\"https://a.test\"], \"scheduled_at\": \"2026-11-23T11:00:00Z\"}");
        assert_eq!(tick(&event), Tick { scheduled_at: instant("2026-11-23T11:00:00Z"), ..expected });
    }

    #[test]
    fn time_that_no_schedule_has_now_is_dropped_with_words() {
        let now = "2026-11-23T12:00:00Z";
        let kept = ["2026-11-23T12:00:00", "2026-11-23T12:01:00.000000001Z", "2026-11-23T07:00:00+01:00"];
        let dropped = [
            ("1970-01-01T00:00:00Z", "which is more than six hours ago: probed now"),
            ("2026-11-23T05:59:59.999999Z", "which is more than six hours ago: probed now"),
            ("0001-01-01T00:00:00Z", "which is more than six hours ago: probed now"),
            ("2026-11-23T12:01:00.000001Z", "which is more than a minute ahead: probed now"),
            ("9999-12-30T22:00:00Z", "which is more than a minute ahead: probed now"),
        ];
        for time in kept {
            let mut tick = tick(&json!({"detail-type": "Scheduled Event", "time": time, "detail": {}}));
            assert_eq!(tick.drop_implausible_time(now.parse().unwrap()), None);
            assert!(tick.scheduled_at.is_some());
        }
        for (time, words) in dropped {
            let mut tick = tick(&json!({"scheduled_at": time}));
            assert!(tick.drop_implausible_time(now.parse().unwrap()).unwrap().contains(words), "{time}");
            assert_eq!(tick, Tick::default());
        }
        assert_eq!(Tick::default().drop_implausible_time(now.parse().unwrap()), None);
    }

    #[test]
    fn custom_input_carries_urls_or_monitors_or_selects_them() {
        let selection = |event: Value| tick(&event).selection;
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();

        assert_eq!(selection(json!({"url": "https://a.test"})), Selection::Urls(names(&["https://a.test"])));
        assert_eq!(selection(json!({"monitors": ["a", "b"]})), Selection::Ids(names(&["a", "b"])));
        assert_eq!(selection(json!({"tags": ["shop"]})), Selection::Tags(names(&["shop"])));
        let Selection::Monitors(text) = selection(json!({"monitors": [{"id": "a", "url": "https://a.test"}]})) else {
            panic!("not carried")
        };
        assert!(text.starts_with("{\n  \"monitors\": ["), "{text}");
        assert_eq!(tick(&json!({})), Tick::default());
        assert_eq!(tick(&Value::Null), Tick::default());
        assert_eq!(tick(&json!({"shard": 3, "shards": 16})).shard, Some(Shard { index: 3, count: 16 }));
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_what_is_accepted() {
        let refused = [
            (json!({"targets": ["https://a.test"]}), "unknown field `targets`"),
            (json!({"url": "a.test"}), "\"a.test\" is not a URL"),
            (json!({"url": "ftp://a.test"}), "cannot be probed"),
            (json!({"url": "http://a.test/\u{0}"}), "control character"),
            (json!({"urls": []}), "\"urls\" is empty"),
            (json!({"monitors": []}), "\"monitors\" is empty"),
            (json!({"tags": []}), "\"tags\" is empty"),
            (json!({"urls": "https://a.test"}), "invalid type"),
            (json!({"url": "https://a.test", "urls": ["https://b.test"]}), "both"),
            (json!({"url": "https://a.test", "tags": ["b"]}), "more than one of"),
            (json!({"monitors": ["a", {"id": "b"}]}), "a list of ids, or one of monitors"),
            (json!({"shard": 16, "shards": 16}), "\"shard\" is 16 of 16"),
            (json!({"shard": 0, "shards": 0}), "\"shard\" is 0 of 0"),
            (json!({"shard": 1}), "go together"),
            (json!({"shard": -1, "shards": 2}), "invalid value"),
            (json!({"scheduled_at": "soon"}), "\"scheduled_at\" is wrong: \"soon\" is not a timestamp"),
            (json!({"scheduled_at": ""}), "\"scheduled_at\" is empty: expected the time of the schedule"),
            (
                json!({"scheduled_at": 1_795_435_200}),
                "\"scheduled_at\" is 1795435200: expected the time of the schedule",
            ),
            (json!({"scheduled_at": "0000-01-01T00:00:00Z"}), "the year must be from 1 to 9999"),
            (json!({"scheduled_at": "<aws.scheduler.scheduled-time>"}), "EventBridge Scheduler alone replaces"),
            (json!(["https://a.test"]), "not an object"),
            (json!("https://a.test"), "not an object"),
            (json!({"detail-type": "x", "time": "2026-11-23T12:00:00Z", "detail": "{"}), "its detail is not JSON"),
            (json!({"detail-type": "x", "detail": {}}), "\"time\" is missing: expected the time of the schedule"),
            (json!({"detail-type": "x", "time": null}), "\"time\" is missing: expected the time of the schedule"),
            (json!({"detail-type": "x", "time": " ", "detail": {}}), "\"time\" is empty"),
            (json!({"detail-type": "x", "time": 0, "detail": {}}), "\"time\" is 0: expected"),
        ];
        for (event, expected) in refused {
            let error = Tick::from_event(&event).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("{\"url\": \"https://…\"}"), "{error}");
        }
    }
}
