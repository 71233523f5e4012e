//! The event: what to probe and for which tick.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::config::check_url;

/// What an event asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tick {
    /// The URLs to probe; those of the configuration where the event names none.
    pub urls: Option<Vec<String>>,
    /// The slot of the schedule that this is.
    pub scheduled_at: Option<Timestamp>,
}

/// An event that probe does not take; says what it does take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot understand the event: {0}. Accepted are an EventBridge rule event, an EventBridge Scheduler event, \
     {{\"url\": \"https://…\"}}, {{\"urls\": [\"https://…\", …]}} (both with an optional \"scheduled_at\"), and {{}} for \
     the URLs in WM_URL"
)]
pub struct InputError(String);

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
}

fn custom(event: &Value) -> Result<Tick, InputError> {
    let Custom { url, urls, scheduled_at } = read(event)?;
    let urls = match (url, urls) {
        (Some(_), Some(_)) => {
            return Err(InputError("it has both \"url\" and \"urls\"".to_owned()));
        }
        (Some(url), None) => Some(vec![url]),
        (None, urls) => urls,
    };
    if urls.as_ref().is_some_and(Vec::is_empty) {
        return Err(InputError("\"urls\" is empty".to_owned()));
    }
    urls.iter().flatten().try_for_each(|url| check_url(url)).map_err(InputError)?;
    Ok(Tick { urls, scheduled_at })
}

fn read<T: for<'de> Deserialize<'de>>(value: &Value) -> Result<T, InputError> {
    if !value.is_object() {
        return Err(InputError(format!("it is {value} and not an object")));
    }
    T::deserialize(value).map_err(|error| InputError(error.to_string()))
}

fn read_text(text: &str) -> Result<Value, InputError> {
    serde_json::from_str(text).map_err(|error| InputError(format!("its detail is not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

        let expected = Tick { urls: None, scheduled_at: instant("2026-11-23T12:00:00Z") };
        assert_eq!(tick(&rule), expected);
        assert_eq!(tick(&scheduler), expected);
    }

    #[test]
    fn a_detail_may_name_urls_and_a_slot_of_its_own() {
        let mut event = json!({
            "detail-type": "check", "source": "me", "time": "2026-11-23T12:00:00Z", "detail": {"url": "https://a.test"}
        });
        let expected =
            Tick { urls: Some(vec!["https://a.test".into()]), scheduled_at: instant("2026-11-23T12:00:00Z") };
        assert_eq!(tick(&event), expected);

        event["detail"] = json!("{\"urls\": [\"https://a.test\"], \"scheduled_at\": \"2026-11-23T11:00:00Z\"}");
        assert_eq!(tick(&event), Tick { scheduled_at: instant("2026-11-23T11:00:00Z"), ..expected });
    }

    #[test]
    fn custom_input_names_one_url_several_or_none() {
        assert_eq!(tick(&json!({"url": "https://a.test"})).urls.unwrap(), ["https://a.test"]);
        assert_eq!(tick(&json!({"urls": ["https://a.test", "http://b.test"]})).urls.unwrap().len(), 2);
        assert_eq!(tick(&json!({})), Tick::default());
        assert_eq!(tick(&Value::Null), Tick::default());
        assert_eq!(
            tick(&json!({"scheduled_at": "2026-11-23T12:00:00Z"})),
            Tick { urls: None, scheduled_at: instant("2026-11-23T12:00:00Z") }
        );
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_what_is_accepted() {
        let refused = [
            (json!({"targets": ["https://a.test"]}), "unknown field `targets`"),
            (json!({"url": "a.test"}), "\"a.test\" is not a URL"),
            (json!({"url": "ftp://a.test"}), "cannot be probed"),
            (json!({"url": "http://a.test/\u{0}"}), "control character"),
            (json!({"urls": []}), "\"urls\" is empty"),
            (json!({"urls": "https://a.test"}), "invalid type"),
            (json!({"url": "https://a.test", "urls": ["https://b.test"]}), "both"),
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
