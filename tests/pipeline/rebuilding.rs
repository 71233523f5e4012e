//! A database filled from the topic by the command in the docs.

use flush::run;
use local_stack::{event_source::lambda_event, rebuild};
use rdkafka::{
    consumer::{Consumer as _, StreamConsumer},
    message::OwnedMessage,
    producer::{FutureProducer, FutureRecord},
};
use serde_json::Value;
use shared::{Micros, timestamp};
use stats::query::StatsQuery;

use crate::support::{Place, example, hours_ago, record_at};

/// What is in a topic, in the order of its arrival.
async fn consume(place: &Place, count: usize) -> Vec<OwnedMessage> {
    let mut config = place.stream.client_config();
    let consumer: StreamConsumer =
        config.set("group.id", &place.name).set("auto.offset.reset", "earliest").create().unwrap();
    consumer.subscribe(&[&place.name]).unwrap();
    let mut messages = Vec::new();
    while messages.len() < count {
        messages.push(consumer.recv().await.unwrap().detach());
    }
    messages
}

async fn answers(place: &Place) -> Vec<Value> {
    let now = timestamp::now();
    let mut answers = Vec::new();
    for window in ["all", "30h", "60d"] {
        let query = StatsQuery::parse(&format!("window={window}")).unwrap();
        let report = stats::run(&place.stats(), &query, now).await.unwrap();
        // The window ends now, which is not the same twice.
        let stats = report.stats.into_iter().map(|stats| stats::report::TargetStats { from: None, to: None, ..stats });
        answers.extend(stats.map(|stats| serde_json::to_value(stats).unwrap()));
    }
    answers
}

#[tokio::test]
async fn a_rebuild_ends_with_the_answers_of_the_database_it_replaces() {
    let place = Place::new("rebuilding").await;
    let producer: FutureProducer = place.stream.client_config().create().unwrap();
    let mut sent = 0;
    for number in 0..900_i64 {
        let url = format!("https://{}.test", number % 3);
        let at = Micros(hours_ago(24 * 50).0 + number * 4_000_000_000 + number * number % 7_777);
        let mut record = record_at(&url, at);
        record["response_time_ms"] = serde_json::json!(number % 97 + 1);
        let value = if number % 100 == 7 { "not a record".to_owned() } else { record.to_string() };
        // Some are in the topic twice, at two offsets.
        for _ in 0..=usize::from(number % 50 == 0) {
            producer.send(FutureRecord::to(&place.name).key(&url).payload(&value), None).await.unwrap();
            sent += 1;
        }
    }
    // Delivered in small batches, some of them again, with sealing in between.
    let messages = consume(&place, sent).await;
    let flush = place.flush();
    for part in messages.chunks(100) {
        run(&flush, lambda_event("b", part)).await.unwrap();
        run(&flush, lambda_event("b", &part[50.min(part.len())..])).await.unwrap();
    }
    let before = answers(&place).await;
    assert_eq!(before.iter().take(3).map(|stats| stats["probes"].as_u64().unwrap()).sum::<u64>(), sent as u64 - 9);

    // Into an empty database, by the command itself.
    let empty = Place::new("rebuilding_empty").await;
    let mut command = tokio::process::Command::from(example("rebuild"));
    let output = command.envs(empty.variables()).env("WM_STREAM_TOPIC", &place.name).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.trim(), format!("{sent} records read: {} stored, 0 duplicates, 9 rejected", sent - 9));
    assert_eq!(answers(&empty).await, before);
    assert!(empty.count("select count(*) from summaries where span = 2").await > 0);

    // Once more, into the same: nothing is new.
    let again = rebuild::run(&place.stream, &place.name, &empty.flush(), |_| {}).await.unwrap();
    assert_eq!((again.read, again.stored, again.rejected), (sent as u64, 0, 9));
    assert_eq!(answers(&empty).await, before);

    let missing = rebuild::run(&place.stream, "no_such_topic", &empty.flush(), |_| {}).await.unwrap_err().to_string();
    assert!(missing.contains("no topic \"no_such_topic\""), "{missing}");
}
