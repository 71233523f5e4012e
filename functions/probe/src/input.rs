//! The event: what to probe and for which tick.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

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

/// What an EventBridge rule and EventBridge Scheduler put around a `detail`. The rule's is an object, the Scheduler's
/// a string of JSON.
#[derive(Deserialize)]
struct Envelope {
    #[serde(with = "shared::timestamp")]
    time: Timestamp,
    #[serde(default)]
    detail: Value,
}

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
    #[serde(default, with = "shared::timestamp::option")]
    scheduled_at: Option<Timestamp>,
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
                let envelope: Envelope = read(event)?;
                let inner = match &envelope.detail {
                    Value::Null => Self::default(),
                    Value::String(text) if text.trim().is_empty() => Self::default(),
                    Value::String(text) => custom(&read_text(text)?)?,
                    detail => custom(detail)?,
                };
                Ok(Self { scheduled_at: inner.scheduled_at.or(Some(envelope.time)), ..inner })
            }
            event => custom(event),
        }
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
    Ok(Tick { selection, shard, scheduled_at })
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
            (json!({"scheduled_at": "soon"}), "\"soon\" is not a timestamp"),
            (json!(["https://a.test"]), "not an object"),
            (json!("https://a.test"), "not an object"),
            (json!({"detail-type": "x", "time": "2026-11-23T12:00:00Z", "detail": "{"}), "its detail is not JSON"),
            (json!({"detail-type": "x", "detail": {}}), "missing field `time`"),
        ];
        for (event, expected) in refused {
            let error = Tick::from_event(&event).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("{\"url\": \"https://…\"}"), "{error}");
        }
    }
}
