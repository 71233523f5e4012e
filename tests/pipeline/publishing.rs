//! probe to Kafka: what is in the topic, and what an invocation says when it is not.

use std::{collections::BTreeMap, time::Duration};

use local_stack::website::Website;
use probe::{ProbeError, input::Tick, run};
use rdkafka::{
    Message as _,
    consumer::{Consumer as _, StreamConsumer},
};
use shared::{Record, record::Outcome, timestamp};
use uuid::Uuid;

use crate::support::{Place, free_port};

/// Longer than any of these takes; what is awaited ends sooner.
const BUDGET: Duration = Duration::from_secs(120);

fn tick(urls: &[String]) -> Tick {
    Tick { scheduled_at: Some(timestamp::now()), ..Tick::of_urls(urls) }
}

/// The first records of the topic, by key.
async fn consume(place: &Place, count: usize) -> BTreeMap<String, Record> {
    consume_all(place, count).await.into_iter().map(|record| (record.url.clone(), record)).collect()
}

/// The first records of the topic, in the order of their requests; partitions have none among them.
pub(crate) async fn consume_all(place: &Place, count: usize) -> Vec<Record> {
    let consumer: StreamConsumer = place
        .stream
        .client_config()
        .set("group.id", Uuid::now_v7().to_string())
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[&place.name]).unwrap();
    let mut records = Vec::new();
    while records.len() < count {
        let message = tokio::time::timeout(BUDGET, consumer.recv()).await.unwrap().unwrap();
        let record = Record::decode(message.payload().unwrap()).unwrap();
        assert_eq!(message.key(), Some(record.url.as_bytes()));
        records.push(record);
    }
    records.sort_by_key(|record| record.timestamp);
    records
}

#[tokio::test]
async fn every_probe_is_a_record_under_its_url() {
    let place = Place::new("publishing_records").await;
    let website = Website::start(0).await.unwrap();
    let refused = format!("http://127.0.0.1:{}/", free_port());
    let urls = [website.url("/fast"), website.url("/failing"), refused];

    let tick = tick(&urls);
    let scheduled_at = tick.scheduled_at;
    let summary = run(&place.probe(&[]), tick, BUDGET).await.unwrap();

    assert_eq!((summary.probed, summary.up, summary.down, summary.published), (3, 1, 2, 3));
    let records = consume(&place, 3).await;
    let outcomes = urls.clone().map(|url| (records[&url].outcome(), records[&url].http_status_code));
    assert_eq!(outcomes, [(Outcome::Up, Some(200)), (Outcome::Down, Some(503)), (Outcome::Down, None)]);
    for url in &urls {
        assert_eq!(&records[url].url, url);
        assert_eq!(records[url].scheduled_at, scheduled_at);
    }
}

#[tokio::test]
async fn records_that_kafka_does_not_acknowledge_fail_the_invocation_with_their_count() {
    let website = Website::start(0).await.unwrap();
    let place = Place::new("publishing_no_broker").await;
    let nobody = format!("127.0.0.1:{}", free_port());
    let probe = place.probe(&[("WM_STREAM_BOOTSTRAP_SERVER", nobody.as_str())]);

    let error = run(&probe, tick(&[website.url("/fast"), website.url("/slow/1")]), Duration::from_secs(5)).await;

    match error.unwrap_err() {
        ProbeError::Unacknowledged { records, unacknowledged, reason } => {
            assert_eq!((records, unacknowledged), (2, 2));
            assert!(reason.contains("no time left after 5000 ms"), "{reason}");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_topic_that_does_not_exist_fails_the_invocation() {
    let website = Website::start(0).await.unwrap();
    let place = Place::new("publishing_no_topic").await;
    let probe = place.probe(&[("WM_STREAM_TOPIC", "nobody_made_this_topic")]);

    let error = run(&probe, tick(&[website.url("/fast")]), BUDGET).await.unwrap_err().to_string();

    assert!(error.contains("of 1 records, Kafka did not acknowledge 1") && error.contains("Unknown topic"), "{error}");
}
