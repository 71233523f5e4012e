//! The event: what to probe and for which tick.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;
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

/// The fields of the input that a person, a test or a schedule with its own `Input` sends.
const CUSTOM: [&str; 7] = ["url", "urls", "monitors", "tags", "shard", "shards", "scheduled_at"];

/// The fields of a JSON object, each name once, each value as its text: numbers keep all their digits.
struct Fields<'text>(Vec<(String, &'text str)>);

impl Tick {
    /// Reads the JSON text of an event of any accepted form.
    ///
    /// # Errors
    /// What is wrong with the event, and the accepted forms.
    pub fn from_event(event: &str) -> Result<Self, InputError> {
        if event.trim() == "null" {
            return Ok(Self::default());
        }
        let fields = Fields::read(event)?;
        if fields.get("detail-type").is_none() {
            return custom(&fields);
        }
        // An EventBridge rule has an object here, EventBridge Scheduler a string of JSON.
        let inner = match fields.get("detail") {
            None => Self::default(),
            Some(detail) => match text(detail) {
                Some(text) => read_detail(&text)?,
                None => read_detail(detail)?,
            },
        };
        let time = match inner.scheduled_at {
            Some(time) => time,
            None => read_time("time", fields.get("time").unwrap_or("null"))?,
        };
        Ok(Self { scheduled_at: Some(time), ..inner })
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

/// Reads the detail of an EventBridge event; an empty one and `null` select all that is configured.
fn read_detail(detail: &str) -> Result<Tick, InputError> {
    if matches!(detail.trim(), "" | "null") {
        return Ok(Tick::default());
    }
    serde_json::from_str::<&RawValue>(detail)
        .map_err(|error| InputError(format!("its detail is not JSON: {error}")))?;
    custom(&Fields::read(detail)?)
}

fn custom(fields: &Fields<'_>) -> Result<Tick, InputError> {
    if let Some((name, _)) = fields.0.iter().find(|(name, _)| !CUSTOM.contains(&name.as_str())) {
        return Err(InputError(format!("unknown field `{name}`: expected one of {}", CUSTOM.join(", "))));
    }
    let url = fields.parse::<String>("url", "a URL, as in \"https://a.test\"")?;
    let urls = fields.parse::<Vec<String>>("urls", "a list of URLs, as in [\"https://a.test\"]")?;
    let monitors = fields.parse::<Vec<&RawValue>>("monitors", "a list of ids, or one of monitors")?;
    let tags = fields.parse::<Vec<String>>("tags", "a list of tags, as in [\"shop\"]")?;
    let shard = fields.parse::<u32>("shard", "a whole number in digits, as in 0")?;
    let shards = fields.parse::<u32>("shards", "a whole number in digits, as in 16")?;
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
        (None, Some(monitors), None) => read_monitors(&monitors)?,
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
    let scheduled_at = match fields.get("scheduled_at") {
        None | Some("null") => None,
        Some(time) => Some(read_time("scheduled_at", time)?),
    };
    Ok(Tick { selection, shard, scheduled_at })
}

/// Reads the time of a schedule from the JSON text of a field.
fn read_time(name: &str, value: &str) -> Result<Timestamp, InputError> {
    let expected = "expected the time of the schedule, as in \"2026-11-23T12:00:00Z\"; to probe now, send {} or another form \
                    below";
    match text(value) {
        Some(text) if text.contains("<aws.") => Err(InputError(format!(
            "\"{name}\" is {text:?}, which EventBridge Scheduler alone replaces by a time; to probe now, leave it out"
        ))),
        Some(text) if text.trim().is_empty() => Err(InputError(format!("\"{name}\" is empty: {expected}"))),
        Some(text) => {
            timestamp::parse(&text).map_err(|error| InputError(format!("\"{name}\" is wrong: {error}; {expected}")))
        }
        None if value == "null" => Err(InputError(format!("\"{name}\" is missing: {expected}"))),
        None => Err(InputError(format!("\"{name}\" is {value}: {expected}"))),
    }
}

/// Reads ids, or complete monitors, which stay text.
fn read_monitors(list: &[&RawValue]) -> Result<Selection, InputError> {
    if let Some(ids) = list.iter().map(|monitor| text(monitor.get())).collect() {
        return Ok(Selection::Ids(ids));
    }
    if !list.iter().all(|monitor| monitor.get().starts_with('{')) {
        return Err(InputError("\"monitors\" is to be a list of ids, or one of monitors".to_owned()));
    }
    // One monitor per line, so that a mistake has a place.
    let monitors = list.iter().map(|monitor| monitor.get()).collect::<Vec<_>>().join(",\n");
    Ok(Selection::Monitors(format!("{{\"monitors\": [\n{monitors}\n]}}")))
}

/// The text that a JSON string stands for; `None` for other JSON.
fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

impl<'text> Fields<'text> {
    fn read(json: &'text str) -> Result<Self, InputError> {
        let kind = match json.trim_start().bytes().next() {
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b'-' | b'0'..=b'9') => "a number",
            Some(b'n') => "null",
            Some(b't' | b'f') => "a boolean",
            _ => return serde_json::from_str(json).map_err(|error| InputError(error.to_string())),
        };
        Err(InputError(format!("it is {kind} and not an object")))
    }

    /// The JSON text of a field.
    fn get(&self, name: &str) -> Option<&'text str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// The value of a field; `None` if the event does not have the field.
    fn parse<T: Deserialize<'text>>(&self, name: &str, expected: &str) -> Result<Option<T>, InputError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let parsed = serde_json::from_str(value);
        parsed.map(Some).map_err(|_| InputError(format!("\"{name}\" is {value}: expected {expected}")))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields(Vec::new());
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if fields.get(&name).is_some() {
                        return Err(A::Error::custom(format!("{name:?} is there twice: expected it once")));
                    }
                    fields.0.push((name, value.get()));
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tick(event: &Value) -> Tick {
        Tick::from_event(&event.to_string()).unwrap()
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
        assert_eq!(text, "{\"monitors\": [\n{\"id\":\"a\",\"url\":\"https://a.test\"}\n]}");
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
            (json!({"urls": "https://a.test"}), "\"urls\" is \"https://a.test\": expected a list of URLs"),
            (json!({"url": "https://a.test", "urls": ["https://b.test"]}), "both"),
            (json!({"url": "https://a.test", "tags": ["b"]}), "more than one of"),
            (json!({"monitors": ["a", {"id": "b"}]}), "a list of ids, or one of monitors"),
            (json!({"shard": 16, "shards": 16}), "\"shard\" is 16 of 16"),
            (json!({"shard": 0, "shards": 0}), "\"shard\" is 0 of 0"),
            (json!({"shard": 1}), "go together"),
            (json!({"shard": -1, "shards": 2}), "\"shard\" is -1: expected a whole number"),
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
            let error = Tick::from_event(&event.to_string()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("{\"url\": \"https://…\"}"), "{error}");
        }
    }

    #[test]
    fn monitors_of_an_event_keep_every_digit_and_both_of_two_equal_keys() {
        let monitor = r#"{"id": "a", "url": "https://a.test", "expect": {"body": {"json": {"path": "$.a", "equals": 0.10000000000000001}}}}"#;
        let other = r#"{"id": "b", "id": "c", "equals": [18446744073709551616, 1e-400, 1e400]}"#;

        let tick = Tick::from_event(&format!("{{\"monitors\": [{monitor} , {other}]}}")).unwrap();

        assert_eq!(tick.selection, Selection::Monitors(format!("{{\"monitors\": [\n{monitor},\n{other}\n]}}")));
    }

    #[test]
    fn field_that_is_null_or_there_twice_selects_nothing() {
        for (event, expected) in [
            (r#"{"url": null}"#, "\"url\" is null: expected a URL"),
            (r#"{"urls": null}"#, "\"urls\" is null: expected a list of URLs"),
            (r#"{"monitors": null}"#, "\"monitors\" is null: expected a list of ids"),
            (r#"{"tags": null}"#, "\"tags\" is null: expected a list of tags"),
            (r#"{"shard": null, "shards": null}"#, "\"shard\" is null: expected a whole number"),
            (r#"{"shard": 0.0, "shards": 2}"#, "\"shard\" is 0.0: expected a whole number in digits"),
            (r#"{"shard": 0, "shards": 1e3}"#, "\"shards\" is 1e3: expected a whole number in digits"),
            (r#"{"tags": ["a"], "tags": ["b"]}"#, "\"tags\" is there twice"),
            ("[] x", "an array"),
            ("{} x", "trailing characters"),
        ] {
            let error = Tick::from_event(event).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}\nfor {event}");
        }
    }

    #[test]
    fn detail_that_is_null_in_either_form_selects_all() {
        for detail in ["null", "\"null\"", "\" null\\n\"", "\"\"", "{}", "\"{}\""] {
            let event = format!(r#"{{"detail-type": "x", "time": "2026-11-23T12:00:00Z", "detail": {detail}}}"#);
            assert_eq!(Tick::from_event(&event).unwrap().selection, Selection::All, "{detail}");
        }
    }
}
