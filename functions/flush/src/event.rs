//! The event of a Kafka trigger, of Amazon MSK and of self-managed Kafka, taken apart leniently.
//!
//! The shape is documented in the AWS Lambda developer guide ("Using Lambda with Amazon MSK"): `records` maps
//! `"<topic>-<partition>"` to lists of records whose key and value are base64. Real payloads vary: keys are absent or
//! null, values null, partitions strings, timestamps missing, header bytes signed. A strict parser refuses the whole
//! batch over any one of these, before the function could save the rest; here only the record itself suffers.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, value::RawValue};

/// The longest name of a topic in Kafka.
const MAX_TOPIC_CHARS: usize = 249;

/// The fields of an object, each as it is written.
type Fields<'text> = BTreeMap<String, &'text RawValue>;

/// The records of a trigger, in order within each partition.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaEvent {
    /// All records of all partitions.
    pub records: Vec<KafkaRecord>,
}

/// One Kafka record as delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaRecord {
    /// Where it is in Kafka.
    pub position: Position,
    /// When it was written to Kafka, in milliseconds since 1970, where the event says so.
    pub timestamp_ms: Option<i64>,
    /// The bytes of its key.
    pub key: Option<Vec<u8>>,
    /// The bytes of its value; `None` for a tombstone; an error where the event does not carry what it should.
    pub value: Result<Option<Vec<u8>>, Malformed>,
    /// What else the event says of it: headers, the type of its timestamp, the schema that a registry has for it.
    /// As JSON.
    pub more: String,
}

/// The place of a record in Kafka. What the event does not say is empty or −1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A record that is not as the trigger should deliver it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub reason: String,
    /// What there is, as text.
    pub raw: Vec<u8>,
}

/// An event that is not one of a Kafka trigger at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the event of a Kafka trigger: expected {{\"records\": {{\"<topic>-<partition>\": […]}}}}, {0}")]
pub struct EventError(String);

impl KafkaEvent {
    /// Takes the text of the event apart. What is not needed of it stays text: as a tree, it may take a hundred times the
    /// memory, and whoever writes to the topic chooses what headers there are.
    ///
    /// # Errors
    /// It has no `records`, or they are not named by partition.
    pub fn read(event: &str) -> Result<Self, EventError> {
        let mut event = object(event).ok_or_else(|| EventError(format!("got {}", kind(event))))?;
        let partitions = match event.remove("records").map(RawValue::get) {
            Some("null") => Fields::new(),
            Some(records) => {
                object(records).ok_or_else(|| EventError(format!("got records that are {}", kind(records))))?
            }
            None => {
                let fields: Vec<_> = event.keys().take(10).collect();
                let hint = if event.contains_key("payload") { "; the event may be the text in payload" } else { "" };
                let got = if fields.is_empty() { "no fields".to_owned() } else { format!("the fields {fields:?}") };
                return Err(EventError(format!("got {got}{hint}")));
            }
        };
        let mut records = Vec::new();
        for (name, list) in partitions {
            match serde_json::from_str::<Option<Vec<&RawValue>>>(list.get()) {
                Ok(list) => {
                    let list = list.unwrap_or_default().into_iter();
                    records.extend(list.map(|record| KafkaRecord::read(&name, record.get())));
                }
                // Whatever it is, the other lists are not to suffer.
                Err(_) => records.push(KafkaRecord::stray(&name, list.get())),
            }
        }
        Ok(Self { records })
    }
}

impl KafkaRecord {
    fn read(partition_name: &str, record: &str) -> Self {
        let Some(mut fields) = object(record) else { return Self::stray(partition_name, record) };
        Self {
            position: Position::read(partition_name, &mut fields),
            timestamp_ms: integer(take(&mut fields, "timestamp")),
            key: bytes(take(&mut fields, "key")).unwrap_or_else(|malformed| Some(malformed.raw)),
            value: bytes(take(&mut fields, "value")),
            more: rest(&fields),
        }
    }

    /// What is no record at all, kept as if it were one.
    fn stray(partition_name: &str, other: &str) -> Self {
        let reason = format!("it is {} in the event, where a record should be", kind(other));
        Self {
            position: Position::read(partition_name, &mut Fields::new()),
            timestamp_ms: None,
            key: None,
            value: Err(Malformed { reason, raw: other.as_bytes().to_vec() }),
            more: rest(&Fields::new()),
        }
    }
}

impl Position {
    /// From the record's own fields, which it takes, or from the name of its list. A topic may contain dashes, a partition
    /// cannot.
    fn read(partition_name: &str, fields: &mut Fields<'_>) -> Self {
        let named = partition_name.rsplit_once('-');
        let named = named.and_then(|(topic, partition)| Some((topic, partition.parse().ok()?)));
        let topic = match take(fields, "topic") {
            Some(Value::String(topic)) => topic,
            _ => named.map_or(partition_name, |(topic, _)| topic).to_owned(),
        };
        let partition = integer(take(fields, "partition")).and_then(|partition| partition.try_into().ok());
        Self {
            // Kafka's names are shorter and plainer; whatever else comes must still fit a key in Postgres.
            topic: topic.replace('\0', "\u{fffd}").chars().take(MAX_TOPIC_CHARS).collect(),
            partition: partition.or(named.map(|(_, partition)| partition)).unwrap_or(-1),
            offset: integer(take(fields, "offset")).unwrap_or(-1),
        }
    }
}

/// The fields of an object by their names.
fn object(text: &str) -> Option<Fields<'_>> {
    serde_json::from_str(text).ok()
}

/// Takes a field out.
fn take(fields: &mut Fields<'_>, name: &str) -> Option<Value> {
    serde_json::from_str(fields.remove(name)?.get()).ok()
}

/// The object of the fields that are left.
fn rest(fields: &Fields<'_>) -> String {
    let mut text = String::from("{");
    for (name, value) in fields {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&Value::from(name.as_str()).to_string());
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    text
}

/// A number, also where it is written as a string.
fn integer(value: Option<Value>) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// What something is, not what it says: an event may be megabytes, and hold what is not for logs.
fn kind(text: &str) -> &'static str {
    match text.trim_start().bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(b'-' | b'0'..=b'9') => "a number",
        _ => "no JSON",
    }
}

fn bytes(value: Option<Value>) -> Result<Option<Vec<u8>>, Malformed> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => match BASE64_STANDARD.decode(&text) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => Err(Malformed { reason: format!("it is not base64: {error}"), raw: text.into_bytes() }),
        },
        Some(other) => {
            Err(Malformed { reason: "it is not a string of base64".to_owned(), raw: other.to_string().into_bytes() })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_event(event: &Value) -> Result<KafkaEvent, EventError> {
        KafkaEvent::read(&event.to_string())
    }

    fn read(record: Value) -> KafkaRecord {
        let event = read_event(&json!({"records": {"a-dashed-topic-7": [record]}})).unwrap();
        event.records.into_iter().next().unwrap()
    }

    #[test]
    fn a_record_as_documented() {
        let record = read(json!({
            "topic": "a-dashed-topic", "partition": 7, "offset": 15, "timestamp": 1_595_035_749_700_i64,
            "timestampType": "CREATE_TIME", "key": "a2V5", "value": "dmFsdWU=", "headers": [{"h": [104, -30, -126]}]
        }));

        assert_eq!(record.position, Position { topic: "a-dashed-topic".into(), partition: 7, offset: 15 });
        assert_eq!(record.timestamp_ms, Some(1_595_035_749_700));
        assert_eq!(record.key.as_deref(), Some(&b"key"[..]));
        assert_eq!(record.value, Ok(Some(b"value".to_vec())));
    }

    #[test]
    fn what_is_missing_null_or_a_string_does_not_stop_the_record() {
        let record = read(json!({"partition": "7", "offset": "15", "key": null, "value": null, "headers": null}));
        assert_eq!(record.position, Position { topic: "a-dashed-topic".into(), partition: 7, offset: 15 });
        assert_eq!((record.timestamp_ms, record.key, record.value), (None, None, Ok(None)));

        let record = read(json!({"value": "dmFsdWU=", "timestamp": -1, "headers": [{}, {"h": [300]}, {"h": "text"}]}));
        assert_eq!(record.position, Position { topic: "a-dashed-topic".into(), partition: 7, offset: -1 });
        assert_eq!(record.value, Ok(Some(b"value".to_vec())));
    }

    #[test]
    fn a_value_that_is_not_base64_is_kept_as_it_is() {
        assert_eq!(read(json!({"value": "%%%"})).value.unwrap_err().raw, b"%%%");
        assert_eq!(read(json!({"value": {"url": 1}})).value.unwrap_err().raw, br#"{"url":1}"#);
        assert_eq!(read(json!("stray")).value.unwrap_err().raw, b"\"stray\"");
        assert_eq!(read(json!({"key": "%%%", "value": null})).key.unwrap(), b"%%%");
    }

    #[test]
    fn several_partitions_and_none() {
        let event = json!({"records": {"t-0": [{"offset": 1}, {"offset": 2}], "t-1": [{"offset": 1}]}});
        assert_eq!(read_event(&event).unwrap().records.len(), 3);
        assert!(read_event(&json!({"records": null})).unwrap().records.is_empty());
        assert!(read_event(&json!({"records": {"t-0": null}})).unwrap().records.is_empty());
    }

    #[test]
    fn what_is_no_list_spoils_no_other() {
        let event = json!({"records": {"t-0": {"value": "dmFsdWU="}, "t-1": [{"value": "dmFsdWU=", "offset": 5}]}});
        let records = read_event(&event).unwrap().records;

        assert_eq!(records[0].value.as_ref().unwrap_err().raw, br#"{"value":"dmFsdWU="}"#);
        assert_eq!(
            (records[0].position.partition, records[1].value.as_ref().unwrap().as_deref()),
            (0, Some(&b"value"[..]))
        );
    }

    #[test]
    fn a_name_of_a_list_without_a_partition_is_a_topic() {
        let event = json!({"records": {"website-monitor": [{"offset": 3}]}});
        let position = &read_event(&event).unwrap().records[0].position;
        assert_eq!(*position, Position { topic: "website-monitor".to_owned(), partition: -1, offset: 3 });
    }

    #[test]
    fn what_else_is_said_of_a_record_is_kept() {
        let record = read(json!({
            "topic": "t", "partition": 0, "offset": 1, "timestamp": 1, "timestampType": "CREATE_TIME", "key": null,
            "value": null, "headers": [{"trace": [1]}], "valueSchemaMetadata": {"dataFormat": "AVRO", "schemaId": "9"}
        }));
        let more = json!({
            "timestampType": "CREATE_TIME", "headers": [{"trace": [1]}],
            "valueSchemaMetadata": {"dataFormat": "AVRO", "schemaId": "9"}
        });
        assert_eq!(serde_json::from_str::<Value>(&record.more).unwrap(), more);
    }

    #[test]
    fn another_event_is_refused_with_what_is_expected() {
        for event in
            [json!({}), json!({"Records": []}), json!(["secret"]), json!({"records": ["secret"]}), json!("secret")]
        {
            let error = read_event(&event).unwrap_err().to_string();
            assert!(error.contains("\"<topic>-<partition>\"") && !error.contains("secret"), "{error}");
        }
        assert!(read_event(&json!({})).unwrap_err().to_string().ends_with("got no fields"));
        let kept = json!({"requestContext": {}, "payload": "{\"records\": {}}"});
        assert!(read_event(&kept).unwrap_err().to_string().ends_with("the event may be the text in payload"));
    }
}
