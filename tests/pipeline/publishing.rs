//! probe to Kafka: what is in the topic, and what an invocation says when it is not.

use std::{collections::BTreeMap, time::Duration};

use local_stack::website::Website;
use probe::{ProbeError, input::Tick, run};
use rdkafka::{
    Message as _,
    consumer::{Consumer as _, StreamConsumer},
};
use shared::{
    Record,
    record::{FailureKind, Outcome},
};

use crate::support::{Place, free_port};

/// Longer than any of these takes; what is awaited ends sooner.
const BUDGET: Duration = Duration::from_secs(120);

fn tick(urls: &[String]) -> Tick {
    Tick { urls: Some(urls.to_vec()), scheduled_at: Some("2026-11-23T12:00:00Z".parse().unwrap()) }
}

/// The next records of the topic, by key.
async fn consume(place: &Place, count: usize) -> BTreeMap<String, Record> {
    let consumer: StreamConsumer = place
        .stream
        .client_config()
        .set("group.id", "publishing")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[&place.name]).unwrap();
    let mut records = BTreeMap::new();
    while records.len() < count {
        let message = tokio::time::timeout(BUDGET, consumer.recv()).await.unwrap().unwrap();
        let key = String::from_utf8(message.key().unwrap().to_vec()).unwrap();
        records.insert(key, Record::decode(message.payload().unwrap()).unwrap());
    }
    records
}

#[tokio::test]
async fn every_probe_is_a_record_under_its_url() {
    let place = Place::new("publishing_records").await;
    let website = Website::start(0).await.unwrap();
    let refused = format!("http://127.0.0.1:{}/", free_port());
    let urls = [website.url("/fast"), website.url("/failing"), refused];

    let summary = run(&place.probe(&[]), tick(&urls), BUDGET).await.unwrap();

    assert_eq!((summary.probed, summary.up, summary.down, summary.published), (3, 1, 2, 3));
    let records = consume(&place, 3).await;
    let outcomes = urls.clone().map(|url| (records[&url].outcome(), records[&url].http_status_code));
    assert_eq!(outcomes, [(Outcome::Up, Some(200)), (Outcome::Down, Some(503)), (Outcome::Down, None)]);
    for url in &urls {
        assert_eq!(&records[url].url, url);
        assert_eq!(records[url].scheduled_at, Some("2026-11-23T12:00:00Z".parse().unwrap()));
    }
}

#[tokio::test]
async fn requests_are_made_at_the_same_time_but_not_too_many() {
    let place = Place::new("publishing_concurrency").await;
    let website = Website::start(0).await.unwrap();
    let urls: Vec<_> = (0..12).map(|_| website.url("/slow/100")).collect();

    let summary = run(&place.probe(&[("WM_PROBE_CONCURRENCY", "3")]), tick(&urls), BUDGET).await.unwrap();

    assert_eq!((summary.up, website.connections()), (12, 12));
    assert!((2..=3).contains(&website.peak()), "{}", website.peak());
}

#[tokio::test]
async fn records_that_kafka_does_not_acknowledge_fail_the_invocation_with_their_count() {
    let website = Website::start(0).await.unwrap();
    let place = Place::new("publishing_no_broker").await;
    let nobody = format!("127.0.0.1:{}", free_port());
    let probe = place.probe(&[("WM_STREAM_BOOTSTRAP_SERVER", nobody.as_str())]);

    let error = run(&probe, tick(&[website.url("/fast"), website.url("/slow/1")]), Duration::from_secs(5)).await;

    match error.unwrap_err() {
        ProbeError::Incomplete { urls, unacknowledged, unprobed, reason } => {
            assert_eq!((urls, unacknowledged, unprobed), (2, 2, 0));
            assert!(reason.contains("no time left after 5000 ms"), "{reason}");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn when_time_runs_out_what_was_begun_is_a_record_and_what_was_not_is_counted() {
    let website = Website::start(0).await.unwrap();
    let place = Place::new("publishing_no_time").await;
    let probe = place.probe(&[("WM_PROBE_CONCURRENCY", "1")]);
    run(&probe, tick(&[website.url("/fast")]), BUDGET).await.unwrap();

    let urls = [website.url("/hang"), website.url("/hang/2"), website.url("/hang/3")];
    let error = run(&probe, tick(&urls), Duration::from_secs(10)).await.unwrap_err();

    assert!(matches!(error, ProbeError::Incomplete { urls: 3, unacknowledged: 0, unprobed: 2, .. }), "{error}");
    let records = consume(&place, 2).await;
    assert_eq!(records[&urls[0]].error.as_ref().unwrap().kind, FailureKind::Timeout);
}

#[tokio::test]
async fn a_topic_that_does_not_exist_fails_the_invocation() {
    let website = Website::start(0).await.unwrap();
    let place = Place::new("publishing_no_topic").await;
    let probe = place.probe(&[("WM_STREAM_TOPIC", "nobody_made_this_topic")]);

    let error = run(&probe, tick(&[website.url("/fast")]), BUDGET).await.unwrap_err().to_string();

    assert!(error.contains("of 1 URLs, 1 have a record") && error.contains("Unknown topic"), "{error}");
}

#[tokio::test]
async fn without_a_url_there_is_nothing_to_do_and_the_error_says_what_to_set() {
    let place = Place::new("publishing_no_url").await;

    let error = run(&place.probe(&[]), Tick::default(), BUDGET).await.unwrap_err();

    assert!(error.to_string().contains("WM_URL"), "{error}");
}
