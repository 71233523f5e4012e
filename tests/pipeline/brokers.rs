//! Kafka broken in every way that it breaks, by causing it: what it acknowledged is delivered and stored, once.

use std::time::Duration;

use local_stack::{
    event_source::{self, Delivery, EventSourceConfig},
    functions::FunctionsClient,
    instance::{Instance, InvokeError},
    kafka::{Cluster, Context, Kafka, Stream, create_topic},
    schedule::rule_event,
    website::Website,
};
use nix::sys::signal::{Signal, kill};
use probe::stream::Publisher;
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    consumer::{BaseConsumer, Consumer as _},
};
use serde_json::json;
use shared::{Micros, Record, timestamp};
use tokio::task::JoinHandle;

use crate::{
    delivering::{deliver, drained, source_of},
    support::{Place, directory, hours_ago, record_at, until},
};

/// What Lambda would give an invocation, and Kafka an answer.
const LIMIT: Duration = Duration::from_secs(60);

/// A record of a URL, with an id or without.
fn record(url: &str, number: i64, has_id: bool) -> Record {
    let mut record = record_at(url, Micros(hours_ago(0).0 + number * 1_000));
    if has_id {
        record["id"] = json!(uuid::Uuid::now_v7());
    }
    Record::decode(record.to_string().as_bytes()).unwrap()
}

/// How many records the topic has.
fn in_topic(stream: &Stream, topic: &str) -> i64 {
    let consumer: BaseConsumer = stream.client_config().create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT).unwrap();
    let partitions = metadata.topics()[0].partitions();
    partitions
        .iter()
        .map(|partition| {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), LIMIT).unwrap();
            high - low
        })
        .sum()
}

/// The place of a test, in another Kafka.
async fn elsewhere(name: &str, stream: &Stream, partitions: i32) -> Place {
    let place = Place { stream: stream.clone(), ..Place::new(name).await };
    create_topic(stream, name, partitions).await.unwrap();
    place
}

/// Runs an event source to which Kafka may be away.
fn deliver_through_trouble(source: EventSourceConfig, functions: &FunctionsClient) -> JoinHandle<()> {
    let functions = functions.clone();
    tokio::spawn(async move { event_source::run(&source, &functions, |_: Delivery<'_>| {}).await.unwrap() })
}

async fn start(name: &'static str) -> Kafka {
    tokio::task::spawn_blocking(move || Kafka::start(&directory(name).join("kafka"), true).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_or_stands_still_loses_nothing_that_it_acknowledged() {
    let mut kafka = start("brokers_crashed").await;
    let place = elsewhere("brokers_crashed", &kafka.stream(), 2).await;
    let website = Website::start(0).await.unwrap();
    let mut variables = place.variables();
    variables.push(("WM_URL", (0..5).map(|page| website.url(&format!("/fast?{page}"))).collect::<Vec<_>>().join(",")));
    let mut probe = place.instance("probe", &variables).await;
    let functions = place.functions(&[]).await;
    let source = deliver_through_trouble(source_of(&place), functions.client());
    let tick = async |probe: &mut Instance, seconds: i64| {
        probe.invoke(&rule_event(timestamp::now() + jiff::SignedDuration::from_secs(seconds)), LIMIT).await
    };
    assert_eq!(tick(&mut probe, 0).await.unwrap().0["published"], 5);

    // Frozen, as between invocations, while the broker dies and comes back: every connection is dead when it thaws.
    probe.signal(Signal::SIGSTOP).unwrap();
    tokio::task::block_in_place(|| kafka.crash()).unwrap();
    probe.signal(Signal::SIGCONT).unwrap();
    assert_eq!(tick(&mut probe, 1).await.unwrap().0["published"], 5);

    // Killed between the request and its acknowledgement: the broker stands still, and the pages have been asked for.
    let before = website.connections();
    kafka.signal(Signal::SIGSTOP).unwrap();
    let pid = probe.pid();
    {
        let mut invocation = std::pin::pin!(tick(&mut probe, 2));
        tokio::select! {
            answer = &mut invocation => panic!("{answer:?}"),
            () = until("all pages were asked for", async || website.connections() == before + 5) => {}
        }
        kill(pid, Signal::SIGKILL).unwrap();
        assert!(matches!(invocation.await, Err(InvokeError::Ended(_))));
    }
    kafka.signal(Signal::SIGCONT).unwrap();

    // The next one is as ever.
    let mut probe = place.instance("probe", &variables).await;
    assert_eq!(tick(&mut probe, 3).await.unwrap().0["published"], 5);

    // It stands still for longer than probe waits: the invocation fails and says why.
    kafka.signal(Signal::SIGSTOP).unwrap();
    let error = tick(&mut probe, 4).await.unwrap_err().to_string();
    assert!(error.contains("of 5 records, Kafka did not acknowledge 5"), "{error}");
    kafka.signal(Signal::SIGCONT).unwrap();
    assert_eq!(tick(&mut probe, 5).await.unwrap().0["published"], 5);
    drained(&source_of(&place)).await;
    source.abort();
    let slots =
        "select count(*) from (select from probes group by scheduled_at, target_id having count(*) = 1) as slots";
    let (slots, rows) = (place.count(slots).await, place.count("select count(*) from probes").await);
    assert_eq!(slots, rows);
    // Of the one that was killed, and the one that was not acknowledged, nobody knows.
    assert!((20..=30).contains(&rows), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_lost_is_followed_by_another_that_has_everything() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(&directory("brokers_leader")).unwrap()).await.unwrap();
    let place = elsewhere("brokers_leader", &cluster.stream(), 1).await;
    let leader = || {
        let consumer: BaseConsumer = cluster.stream().client_config().create().unwrap();
        let metadata = consumer.fetch_metadata(Some("brokers_leader"), LIMIT).unwrap();
        metadata.topics()[0].partitions()[0].leader()
    };
    let publisher = Publisher::new(place.stream.connection(), &place.name).unwrap();
    let first = leader();
    for number in 0..200 {
        if number == 100 {
            cluster.kill(first).unwrap();
        }
        publisher.publish(&record("https://a.test", number, number % 2 == 0)).await.unwrap();
    }

    assert_ne!(leader(), first);
    assert_eq!(in_topic(&place.stream, &place.name), 200);
    let functions = place.functions(&[]).await;
    let source = deliver_through_trouble(source_of(&place), functions.client());
    drained(&source_of(&place)).await;
    source.abort();
    assert_eq!(place.count("select count(*) from probes").await, 200);
}

#[tokio::test]
async fn records_of_a_topic_that_was_made_anew_are_not_taken_for_those_before() {
    let place = Place::new("brokers_anew").await;
    let admin: AdminClient<Context> = place.stream.create(&place.stream.client_config()).unwrap();
    let functions = place.functions(&[]).await;
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    for life in 0..2 {
        let publisher = Publisher::new(place.stream.connection(), &place.name).unwrap();
        // At the same offsets, without ids.
        for number in 0..10 {
            publisher.publish(&record("https://a.test", life * 10 + number, false)).await.unwrap();
        }
        let (source, _deliveries) = deliver(source_of(&place), functions.client());
        drained(&source_of(&place)).await;
        source.abort();
        assert_eq!(place.count("select count(*) from probes").await, (life + 1) * 10);

        admin.delete_topics(&[&place.name], &options).await.unwrap()[0].as_ref().unwrap();
        until("a topic can be made", async || create_topic(&place.stream, &place.name, 2).await.is_ok()).await;
        until("it is empty", async || in_topic(&place.stream, &place.name) == 0).await;
    }
}

#[tokio::test]
async fn what_the_topic_dropped_before_it_was_delivered_is_gone_and_the_rest_is_stored() {
    let place = Place::new("brokers_retention").await;
    let publisher = Publisher::new(place.stream.connection(), &place.name).unwrap();
    let publish = async |numbers: std::ops::Range<i64>| {
        for number in numbers {
            publisher.publish(&record("https://a.test", number, true)).await.unwrap();
        }
    };
    let admin: AdminClient<Context> = place.stream.create(&place.stream.client_config()).unwrap();
    let consumer: BaseConsumer = place.stream.client_config().create().unwrap();
    let functions = place.functions(&[]).await;
    // At first before anything was delivered, then behind what was committed: those offsets are there no more.
    for (numbers, dropped, stored) in [(0..20, 12, 8), (20..50, 41, 17)] {
        publish(numbers.clone()).await;
        let mut up_to = TopicPartitionList::new();
        for partition in 0..2 {
            // All have one key, so they are in one partition.
            let (_, high) = consumer.fetch_watermarks(&place.name, partition, LIMIT).unwrap();
            up_to.add_partition_offset(&place.name, partition, Offset::Offset(high.min(dropped))).unwrap();
        }
        admin.delete_records(&up_to, &AdminOptions::new()).await.unwrap();
        assert_eq!(in_topic(&place.stream, &place.name), numbers.end - dropped);

        let (source, _deliveries) = deliver(source_of(&place), functions.client());
        drained(&source_of(&place)).await;
        source.abort();

        assert_eq!(place.count("select count(*) from probes").await, stored);
    }
}

#[tokio::test]
async fn a_record_that_a_producer_sends_twice_is_one() {
    let place = Place::new("brokers_twice").await;
    let publisher = Publisher::new(place.stream.connection(), &place.name).unwrap();
    let twice = record("https://a.test", 0, true);
    for _ in 0..2 {
        publisher.publish(&twice).await.unwrap();
    }
    assert_eq!(in_topic(&place.stream, &place.name), 2);

    let functions = place.functions(&[]).await;
    let (source, mut deliveries) = deliver(source_of(&place), functions.client());
    drained(&source_of(&place)).await;
    source.abort();

    let mut duplicates = 0;
    while let Ok(answer) = deliveries.try_recv() {
        duplicates += answer.unwrap()["duplicates"].as_u64().unwrap();
    }
    assert_eq!((duplicates, place.count("select count(*) from probes").await), (1, 1));
}
