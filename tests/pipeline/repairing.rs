//! `cargo migrate --repair-schedules`: schedules that began where no probe did.

use serde_json::{Value, json};
use shared::{Micros, timestamp};
use stats::{query::StatsQuery, run};

use crate::support::{Place, batch, example, hours_ago, seal_step};

const MINUTE: i64 = 60_000_000;

fn slot(monitor: &str, at: i64, more: &Value) -> Value {
    let mut record = json!({
        "url": "https://a.test", "monitor": monitor, "timestamp": timestamp::format(Micros(at).timestamp()),
        "http_status_code": 200, "response_time_ms": 12.5, "location": "eu", "interval_ms": 60_000, "tags": ["shop"]
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record
}

#[tokio::test]
async fn command_has_schedules_begin_with_their_first_probe() {
    let place = Place::new("repairing").await;
    let start = hours_ago(4).0 + 17 * MINUTE;
    let mut records: Vec<_> = (0..60).map(|minute| slot("a", start + minute * MINUTE, &json!({}))).collect();
    records.extend((60..120).map(|minute| slot("a", start + minute * MINUTE, &json!({"interval_ms": 30_000}))));
    records.extend((0..30).map(|number| slot("sealed", start + number * MINUTE, &json!({}))));
    // Of this one there are only slots that were missed.
    records.push(slot(
        "missed",
        start,
        &json!({"outcome": "missed", "http_status_code": null, "response_time_ms": null}),
    ));
    // This one was probed by hand first.
    records.push(slot("hand", start, &json!({"interval_ms": null, "tags": ["hand"]})));
    records.extend((1..10).map(|minute| slot("hand", start + minute * MINUTE, &json!({}))));
    flush::run(&place.flush(), batch(0, &records)).await.unwrap();
    let expected = async |monitor: &str| {
        let query = StatsQuery::parse(&format!("monitor={monitor}")).unwrap();
        let as_of = Micros(start + 120 * MINUTE).timestamp();
        let entry = run(&place.stats(), &query, as_of).await.unwrap().stats.remove(0);
        (entry.figures.coverage.unwrap().expected, entry.interval_ms, entry.tags)
    };
    let right = [expected("a").await, expected("sealed").await];
    assert_eq!(right.clone().map(|(expected, ..)| expected), [Some(60 + 120), Some(120)]);

    // As stores are in which records said slots of other times.
    let client = place.client().await;
    let wrong = "update target_settings set since = '1970-01-01' where interval_ms = 60000;
        insert into target_settings (target_id, location_id, since, interval_ms, tags)
        select id, 1, '1970-01-01', 60000, '{shop}' from targets where monitor = 'missed';
        insert into target_settings (target_id, location_id, since, interval_ms, tags)
        select id, 1, now() + interval '400 days', 1000, '{shop}' from targets where monitor = 'a';
        delete from target_settings using targets where id = target_id and monitor = 'hand' and interval_ms = 60000;
        insert into target_settings (target_id, location_id, since, interval_ms, tags)
        select id, 1, '1970-01-01', 60000, '{shop}' from targets where monitor = 'hand'";
    client.batch_execute(wrong).await.unwrap();
    // Some of it is in chunks alone.
    while seal_step(&client).await.unwrap().is_some() {}
    client
        .batch_execute("delete from probes using targets where targets.id = target_id and monitor = 'sealed'")
        .await
        .unwrap();
    assert!(expected("a").await.0.unwrap() > 20_000_000);

    for words in [
        "3 schedules now begin at their first probe; 2 schedules without a probe were removed",
        "0 schedules now begin at their first probe; 0 schedules without a probe were removed",
    ] {
        let run = example("migrate")
            .arg("--repair-schedules")
            .env("WM_DB_CONNECTION_STRING", &place.connection_string)
            .output();
        let output = run.unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(words), "{output:?}");
        assert_eq!([expected("a").await, expected("sealed").await], right);
    }
    assert_eq!(place.count("select count(*) from target_settings").await, 4);
    let (expected, interval, tags) = expected("hand").await;
    assert_eq!((expected, interval, tags), (Some(120), Some(60_000), vec!["hand".to_owned()]));
}
