//! What makes a record the same record when it is delivered again.

use shared::Record;
use twox_hash::XxHash3_64;

use crate::event::{KafkaRecord, Position};

/// The `record_id` of an observation: a stable 64-bit hash of the record's own id or, where it has none, of its topic,
/// partition and offset. Not of the brokers: their list changes its order between deliveries.
///
/// Together with the target and the microsecond of the request it is the row's key, so two records would have to agree
/// in all three to be taken for one. The hash is XXH3 (<https://xxhash.com>), whose output is fixed by its
/// specification; it is stored, so it may never change.
#[must_use]
pub fn record_id(record: &Record, position: &Position) -> i64 {
    match record.id {
        Some(id) => hash(&[b"id", id.as_bytes()]),
        None => hash(&[
            b"at",
            position.topic.as_bytes(),
            &[0],
            &position.partition.to_be_bytes(),
            &position.offset.to_be_bytes(),
        ]),
    }
}

/// Tells rejected records apart that have the same place in Kafka, as they do when a topic is created anew.
#[must_use]
pub fn content_hash(record: &KafkaRecord) -> i64 {
    let value = match &record.value {
        Ok(value) => value.as_deref(),
        Err(malformed) => Some(malformed.raw.as_slice()),
    };
    let key = record.key.as_deref();
    hash(&[
        &record.timestamp_ms.unwrap_or(-1).to_be_bytes(),
        &key.map_or(-1, length).to_be_bytes(),
        key.unwrap_or_default(),
        &value.map_or(-1, length).to_be_bytes(),
        value.unwrap_or_default(),
    ])
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

fn hash(parts: &[&[u8]]) -> i64 {
    XxHash3_64::oneshot(&parts.concat()).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: Option<&str>) -> Record {
        let json = serde_json::json!({
            "url": "https://a.test", "timestamp": "2026-11-23T12:00:00Z", "http_status_code": 200,
            "response_time_ms": 1, "id": id
        });
        Record::decode(json.to_string().as_bytes()).unwrap()
    }

    fn at(topic: &str, partition: i32, offset: i64) -> Position {
        Position { topic: topic.to_owned(), partition, offset }
    }

    #[test]
    fn an_id_of_its_own_is_the_identity_wherever_the_record_is_copied() {
        let record = record(Some("01936a2c-5b7a-7c3e-9f21-3d2b8a6f4c10"));

        assert_eq!(record_id(&record, &at("t", 0, 1)), record_id(&record, &at("copy", 5, 99)));
    }

    #[test]
    fn without_one_the_place_is_the_identity() {
        let record = record(None);
        let ids = [at("t", 0, 1), at("t", 0, 2), at("t", 1, 1), at("u", 0, 1)].map(|place| record_id(&record, &place));

        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn stored_identities_never_change() {
        let with_id = record(Some("01936a2c-5b7a-7c3e-9f21-3d2b8a6f4c10"));

        // From an independent implementation of XXH3 (the Python package xxhash) over the same bytes.
        assert_eq!(record_id(&with_id, &at("t", 0, 1)), -5_363_882_629_802_656_202);
        assert_eq!(record_id(&record(None), &at("website-monitor", 3, 4_711)), 8_708_390_862_386_854_196);
    }
}
