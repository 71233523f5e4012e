//! From the records of a trigger to observations and rejects. Pure: nothing is read or written here.

use shared::Record;

use crate::{
    event::{KafkaEvent, KafkaRecord, Position},
    identity::{content_hash, record_id},
};

/// What is kept of a reason, at most.
const MAX_REASON_BYTES: usize = 2_048;

/// A batch, decoded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// What can be stored.
    pub observations: Vec<Observation>,
    /// What cannot, and why.
    pub rejects: Vec<Reject>,
}

/// A record that can be stored, with the part of its key that comes from Kafka.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The record.
    pub record: Record,
    /// See [`record_id`].
    pub record_id: i64,
    /// The record as it came, should the database refuse it.
    pub source: KafkaRecord,
}

/// A record that cannot be decoded or that the database refuses, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Its place in Kafka.
    pub position: Position,
    /// See [`content_hash`].
    pub content_hash: i64,
    /// The bytes of its key.
    pub key: Option<Vec<u8>>,
    /// The bytes of its value.
    pub value: Option<Vec<u8>>,
    /// When it was written to Kafka, in milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// What else the event said of it, as JSON.
    pub more: String,
    /// A sentence for a person.
    pub reason: String,
}

impl Batch {
    /// Decodes every record. Whatever is wrong with one is its own affair.
    #[must_use]
    pub fn decode(event: KafkaEvent) -> Self {
        let mut batch = Self { observations: Vec::with_capacity(event.records.len()), rejects: Vec::new() };
        for record in event.records {
            match decode(&record) {
                Ok((decoded, record_id)) => {
                    batch.observations.push(Observation { record: decoded, record_id, source: record });
                }
                Err(reason) => batch.rejects.push(Reject::new(record, &reason)),
            }
        }
        batch
    }
}

/// The record and its `record_id`, or why there is none.
fn decode(kafka: &KafkaRecord) -> Result<(Record, i64), String> {
    let value = kafka.value.as_ref().map_err(|malformed| malformed.reason.clone())?;
    let value = value.as_deref().ok_or("it has no value (a tombstone)")?;
    let record = Record::decode(value).map_err(|error| error.to_string())?;
    if record.id.is_none() && kafka.position.offset < 0 {
        return Err("it has neither an id nor an offset, so it could not be recognised when delivered again".to_owned());
    }
    let record_id = record_id(&record, &kafka.position);
    Ok((record, record_id))
}

impl Reject {
    /// Keeps `record`, whole.
    #[must_use]
    pub fn new(record: KafkaRecord, reason: &str) -> Self {
        Self {
            content_hash: content_hash(&record),
            position: record.position,
            timestamp_ms: record.timestamp_ms,
            more: record.more,
            key: record.key,
            value: record.value.unwrap_or_else(|malformed| Some(malformed.raw)),
            reason: one_line(reason),
        }
    }
}

/// A reason as it is kept and logged: a parser may quote what it met, which is no line of ours, may be long, and may hold a NUL,
/// which Postgres does not.
fn one_line(reason: &str) -> String {
    let mut line = String::with_capacity(reason.len().min(MAX_REASON_BYTES));
    for character in reason.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
        if line.len() > MAX_REASON_BYTES {
            line.truncate(line.floor_char_boundary(MAX_REASON_BYTES));
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_file(event: &str) -> Batch {
        Batch::decode(KafkaEvent::read(event).unwrap())
    }

    #[test]
    fn the_batches_of_both_kinds_of_trigger_decode() {
        let msk = decode_file(include_str!("../../../events/kafka-msk.json"));
        assert_eq!((msk.observations.len(), msk.rejects.len()), (3, 0));

        let self_managed = decode_file(include_str!("../../../events/kafka-self-managed.json"));
        assert_eq!((self_managed.observations.len(), self_managed.rejects.len()), (2, 0));
        assert!(self_managed.observations.iter().all(|observation| observation.record.id.is_none()));
    }

    #[test]
    fn the_shapes_in_which_records_come_are_understood() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
        let expected = include_str!("../fixtures/expected.tsv").lines().skip(1);
        for line in expected {
            let [file, observations, rejects] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            let event = std::fs::read_to_string(format!("{directory}/{file}")).unwrap();
            let read = KafkaEvent::read(&event).map(Batch::decode);
            let told = match &read {
                Ok(batch) => [batch.observations.len().to_string(), batch.rejects.len().to_string()],
                Err(_) => ["refused", "refused"].map(str::to_owned),
            };
            assert_eq!(told, [observations, rejects], "{file}: {read:?}");
        }
    }

    #[test]
    fn a_reason_is_one_short_line_whatever_the_record_says() {
        assert_eq!(
            one_line("unknown variant `x\n2026 INFO forged\u{1b}[31m`\0"),
            "unknown variant `x\\n2026 INFO forged\\u{1b}[31m`\\u{0}"
        );
        assert_eq!(one_line(&"é".repeat(5_000)).len(), MAX_REASON_BYTES);
        assert!(one_line(&"\u{1b}".repeat(5_000)).len() <= MAX_REASON_BYTES);
    }

    #[test]
    fn bad_records_are_set_apart_whole_and_with_their_reason() {
        let batch = decode_file(include_str!("../../../events/kafka-bad-records.json"));

        let reasons: Vec<_> = batch.rejects.iter().map(|reject| reject.reason.as_str()).collect();
        assert_eq!(batch.observations.len(), 2);
        assert_eq!(reasons.len(), 4, "{reasons:?}");
        assert!(reasons[0].contains("not a record: expected ident"), "{reasons:?}");
        assert!(reasons[1].contains("tombstone"), "{reasons:?}");
        assert!(reasons[2].contains("missing field `http_status_code`"), "{reasons:?}");
        assert!(reasons[3].contains("not base64"), "{reasons:?}");
        assert_eq!(batch.rejects[0].value.as_deref(), Some(&b"not json"[..]));
        assert_eq!(batch.rejects[0].position.offset, 41);
    }
}
