//! The local Kafka event source: what it hands to flush, how much at a time, and what it commits.

use flush::event::{KafkaEvent, Position};
use local_stack::{
    event_source::{self, Delivery, EventSourceConfig, is_drained, lambda_event},
    functions::FunctionsClient,
    website::Website,
};
use rdkafka::{
    Timestamp,
    message::{Header, OwnedHeaders, OwnedMessage},
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::support::{Place, until};

/// The event source of a place.
pub(crate) fn source_of(place: &Place) -> EventSourceConfig {
    EventSourceConfig::new(place.stream.clone(), &place.name, "flush")
}

/// Runs an event source; returns it, and what becomes of its batches: flush's answer, or its error.
pub(crate) fn deliver(
    config: EventSourceConfig,
    functions: &FunctionsClient,
) -> (JoinHandle<()>, mpsc::UnboundedReceiver<Result<Value, String>>) {
    let functions = functions.clone();
    let (sender, deliveries) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        let observe = |delivery: Delivery<'_>| {
            let delivery = match delivery {
                Delivery::Done(answer) => Ok(answer.clone()),
                Delivery::Failed(error) => Err(error.to_string()),
                Delivery::Trouble(error) => panic!("{error}"),
            };
            sender.send(delivery).unwrap_or_default();
        };
        event_source::run(&config, &functions, observe).await.unwrap();
    });
    (task, deliveries)
}

/// Waits until all that is in the topic was flushed.
pub(crate) async fn drained(config: &EventSourceConfig) {
    until("all is flushed", async || {
        let config = config.clone();
        tokio::task::spawn_blocking(move || is_drained(&config).is_ok_and(|drained| drained)).await.unwrap()
    })
    .await;
}

#[test]
fn the_event_is_the_one_that_lambda_sends() {
    let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some(&[104_u8, 226, 130][..]) });
    let full = OwnedMessage::new(
        Some(b"value".to_vec()),
        Some(b"key".to_vec()),
        "a-topic".to_owned(),
        Timestamp::CreateTime(1_595_035_749_700),
        3,
        15,
        Some(headers),
    );
    let bare = OwnedMessage::new(None, None, "a-topic".to_owned(), Timestamp::NotAvailable, 0, 7, None);

    let event = lambda_event("b-1:9092,b-2:9092", &[full, bare]);

    let expected = json!({
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": "b-1:9092,b-2:9092",
        "records": {
            "a-topic-3": [{
                "topic": "a-topic", "partition": 3, "offset": 15, "timestamp": 1_595_035_749_700_i64,
                "timestampType": "CREATE_TIME", "key": "a2V5", "value": "dmFsdWU=",
                "headers": [{"trace": [104, -30, -126]}]
            }],
            "a-topic-0": [{
                "topic": "a-topic", "partition": 0, "offset": 7, "timestamp": -1,
                "timestampType": "NO_TIMESTAMP_TYPE", "key": null, "value": null, "headers": []
            }]
        }
    });
    assert_eq!(event, expected);
    let read = KafkaEvent::read(&event.to_string()).unwrap();
    assert_eq!(read.records[1].position, Position { topic: "a-topic".to_owned(), partition: 3, offset: 15 });
    assert_eq!(read.records[1].value, Ok(Some(b"value".to_vec())));
}

#[tokio::test]
async fn batches_keep_to_their_size_and_what_was_flushed_does_not_come_again() {
    let place = Place::new("delivering_batches").await;
    let website = Website::start(0).await.unwrap();
    let functions = place.functions(&[]).await;
    let urls: Vec<_> = (0..25).map(|number| website.url(&format!("/{number}"))).collect();
    functions.client().invoke("probe", &json!({"urls": urls})).await.unwrap();

    let config = EventSourceConfig { batch_size: 10, ..source_of(&place) };
    let (source, mut deliveries) = deliver(config, functions.client());
    let mut received = Vec::new();
    while received.iter().sum::<u64>() < 25 {
        received.push(deliveries.recv().await.unwrap().unwrap()["received"].as_u64().unwrap());
    }
    assert!(received.len() >= 3 && received.iter().all(|records| *records <= 10), "{received:?}");
    source.abort();
    assert!(source.await.unwrap_err().is_cancelled());

    functions.client().invoke("probe", &json!({"url": urls[0]})).await.unwrap();
    let (source, mut deliveries) = deliver(source_of(&place), functions.client());
    assert_eq!(deliveries.recv().await.unwrap().unwrap()["received"], 1);
    source.abort();

    // Two records of about 900 bytes each are more than 1,500.
    let config = EventSourceConfig { batch_bytes: 1_500, group: "bytes".to_owned(), ..source_of(&place) };
    let (source, mut deliveries) = deliver(config, functions.client());
    for _ in 0..26 {
        let answer = deliveries.recv().await.unwrap().unwrap();
        assert_eq!((&answer["received"], &answer["duplicates"]), (&json!(1), &json!(1)));
    }
    source.abort();
}
