//! Kafka's batches to Postgres: every record ends as one row, whatever comes with it and however often it comes.

use std::hash::{DefaultHasher, Hasher as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flush::{FlushError, run};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Place, batch, event, free_port, lookup, until};

/// What the table holds, in an order of its own.
const ROWS: &str = "select count(*) || ' ' || md5(coalesce(string_agg(probes::text, '|' order by probes::text), '')) \
                    from probes";

async fn fingerprint(place: &Place) -> String {
    place.client().await.query_one(ROWS, &[]).await.unwrap().get(0)
}

fn record(url: &str, second: u32) -> Value {
    json!({
        "url": url, "timestamp": format!("2026-11-23T12:{:02}:{:02}Z", second / 60, second % 60),
        "http_status_code": 200, "response_time_ms": 12.5
    })
}

#[tokio::test]
async fn the_same_batch_twice_is_stored_once() {
    let place = Place::new("flushing_twice").await;
    let flush = place.flush();

    let first = run(&flush, event("kafka-msk.json")).await.unwrap();
    let rows = fingerprint(&place).await;
    let second = run(&flush, event("kafka-msk.json")).await.unwrap();

    assert_eq!((first.received, first.stored, first.duplicates, first.rejected), (3, 3, 0, 0));
    assert_eq!((second.received, second.stored, second.duplicates, second.rejected), (3, 0, 3, 0));
    assert_eq!(fingerprint(&place).await, rows);
}

#[tokio::test]
async fn batches_that_overlap_and_records_that_repeat_add_only_what_is_new() {
    let place = Place::new("flushing_overlap").await;
    let flush = place.flush();
    let records: Vec<_> = (0..5).map(|second| record("https://a.test", second)).collect();

    assert_eq!(run(&flush, batch(0, &records[..3])).await.unwrap().stored, 3);
    let overlapping = run(&flush, batch(1, &records[1..])).await.unwrap();
    assert_eq!((overlapping.stored, overlapping.duplicates), (2, 2));

    // A producer's retry: one id at two offsets.
    let mut twice = record("https://a.test", 9);
    twice["id"] = json!("01936a2c-5b7a-7c3e-9f21-3d2b8a6f4c10");
    let repeated = run(&flush, batch(50, &[twice.clone(), twice])).await.unwrap();
    assert_eq!((repeated.received, repeated.stored, repeated.duplicates), (2, 1, 1));
    assert_eq!(place.count("select count(*) from probes").await, 6);
}

#[tokio::test]
async fn two_records_with_one_url_and_timestamp_are_two_observations() {
    let place = Place::new("flushing_ties").await;

    let summary = run(&place.flush(), batch(0, &[record("https://a.test", 0), record("https://a.test", 0)])).await;

    assert_eq!(summary.unwrap().stored, 2);
}

#[tokio::test]
async fn bad_records_are_kept_whole_once_and_stop_nobody() {
    let place = Place::new("flushing_rejects").await;
    let flush = place.flush();
    for _ in 0..2 {
        let summary = run(&flush, event("kafka-bad-records.json")).await.unwrap();
        assert_eq!((summary.received, summary.rejected), (6, 4));
    }

    assert_eq!(place.count("select count(*) from probes").await, 2);
    let query = "select topic, partition, \"offset\", key, value, reason from rejects order by \"offset\"";
    let rejects = place.client().await.query(query, &[]).await.unwrap();
    let offsets: Vec<i64> = rejects.iter().map(|row| row.get("offset")).collect();
    assert_eq!(offsets, [41, 42, 43, 44]);
    assert_eq!(rejects[0].get::<_, &[u8]>("value"), b"not json");
    assert_eq!(rejects[0].get::<_, &[u8]>("key"), b"https://example.com");
    assert_eq!((rejects[0].get::<_, &str>("topic"), rejects[0].get::<_, i32>("partition")), ("website-monitor", 0));
    assert_eq!(rejects[1].get::<_, Option<&[u8]>>("value"), None);
    assert!(rejects[1].get::<_, &str>("reason").contains("tombstone"));
}

/// Letters and digits in no order that an index could compress.
fn noise(length: usize) -> String {
    let mut hasher = DefaultHasher::new();
    let bytes: Vec<_> = (0..length)
        .map(|number| {
            hasher.write_usize(number);
            hasher.finish().to_be_bytes()[0]
        })
        .collect();
    BASE64_STANDARD.encode(bytes)[..length].to_owned()
}

#[tokio::test]
async fn whatever_decodes_can_be_stored() {
    let place = Place::new("flushing_extremes").await;
    let base = record("https://a.test", 0);
    let with = |field: &str, value: Value| {
        let mut record = base.clone();
        record[field] = value;
        record
    };
    // As long as they may be.
    let mut incompressible = with("url", json!(noise(2_048)));
    incompressible["monitor"] = json!(noise(255));
    let mut no_request = with("response_time_ms", json!(null));
    no_request["http_status_code"] = json!(null);
    let mut last_and_late = with("attempt", json!(16_383));
    last_and_late["interval_ms"] = json!(1);
    last_and_late["prober"] = json!({"late_ms": 1_000});
    let values = [
        with("timestamp", json!("2000-01-01T00:00:00Z")),
        with("timestamp", json!("9999-12-30T22:00:00.999999Z")),
        with("certificate_expires_at", json!("9999-12-30T00:00:00Z")),
        with("response_time_ms", json!(2_147_483.647)),
        no_request,
        with("http_status_code", json!(999)),
        last_and_late,
        with("url", json!(format!("https://a.test/{}", "é".repeat(1_000)))),
        with("monitor", json!("m".repeat(255))),
        incompressible.clone(),
        with("location", json!("'; drop table probes; --")),
        with("error", json!({"kind": "tls", "message": "\u{1}\t\\x00\u{10ffff}".repeat(1_000)})),
        // These do not decode, and must not get as far as the table either.
        with("url", json!("https://a.test/\u{0}")),
        with("timestamp", json!("1969-12-31T23:59:59.999999Z")),
        with("timestamp", json!("-009999-01-01T00:00:00Z")),
        with("response_time_ms", json!(1e300)),
        json!("{\"url\": \"unfinished"),
        json!("\u{0}"),
    ];

    let summary = run(&place.flush(), batch(0, &values)).await.unwrap();

    let client = place.client().await;
    let reasons = client.query("select reason from rejects order by \"offset\"", &[]).await.unwrap();
    let reasons: Vec<&str> = reasons.iter().map(|row| row.get(0)).collect();
    assert_eq!((summary.stored, summary.rejected), (12, 6), "{reasons:#?}");
    // Closed long ago, it is sealed at once, and its row too old to stay.
    let earliest = "select sum(probes) from chunks where hour = '2000-01-01T00:00:00Z'";
    assert_eq!(place.count(earliest).await, 1);
}

#[tokio::test]
async fn a_record_is_stored_in_every_detail_both_ways_in() {
    let place = Place::new("flushing_details").await;
    let flush = place.flush();
    let full: Value = serde_json::from_str(include_str!("../../shared/fixtures/record.json")).unwrap();
    let stored = "select concat_ws(' ', url, monitor, probed_at at time zone 'UTC', scheduled_at at time zone 'UTC', \
                  expires_at at time zone 'UTC', response_time_us, dns_us, connect_us, tls_us, \
                  first_byte_us, download_us, http_status_code, attempt, outcome, error_kind, name, error_message) \
                  from probes join targets on targets.id = target_id join locations on locations.id = location_id \
                  join certificates using (target_id) order by probed_at desc limit 1";
    let expected = |second: &str| {
        format!(
            "https://example.com/shop shop 2026-11-23 12:00:{second}.25 2026-11-23 12:00:00 2027-01-31 23:59:59 \
             256700 31300 200 51700 101300 72200 503 -1 2 8 eu-west-1 HTTP status 503: expected below 400"
        )
    };

    // By COPY.
    run(&flush, batch(0, std::slice::from_ref(&full))).await.unwrap();
    let row = place.client().await.query_one(stored, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), expected("00"));

    // By the tolerant statement, since the first record is there already.
    let mut later = full.clone();
    later["timestamp"] = json!("2026-11-23T12:00:01.250000Z");
    assert_eq!(run(&flush, batch(0, &[full, later])).await.unwrap().stored, 1);
    let row = place.client().await.query_one(stored, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), expected("01"));
}

#[tokio::test]
async fn instances_at_work_at_once_neither_double_nor_deadlock() {
    let place = Place::new("flushing_at_once").await;
    let urls: Vec<_> = (0..40).map(|number| format!("https://{number}.test")).collect();
    let forwards: Vec<_> = (0..400).map(|second| record(&urls[second as usize % 40], second)).collect();
    // The same records at the same offsets, new URLs in the opposite order within the batch.
    let mut backwards = batch(0, &forwards);
    backwards["records"]["t-0"].as_array_mut().unwrap().reverse();

    // All of them stand before the targets that they are to make, and go at once.
    run(&place.flush(), batch(-1, &[])).await.unwrap();
    let admin = place.client().await;
    admin.batch_execute("begin; lock table targets in exclusive mode").await.unwrap();
    let waiting = "select count(*) from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock'";
    let release = async {
        until("all of them wait", async || place.count(waiting).await == 12).await;
        admin.batch_execute("commit").await.unwrap();
    };
    let batches = [batch(0, &forwards), backwards];
    let runs = join_all((0..12).map(|instance| run_alone(&place, batches[instance % 2].clone())));
    let (runs, ()) = tokio::join!(runs, release);

    let stored: usize = runs.into_iter().map(|summary| summary.unwrap().stored).sum();
    assert_eq!(stored, 400);
    assert_eq!(place.count("select count(*) from probes").await, 400);
    assert_eq!(place.count("select count(*) from targets").await, 40);
}

/// With a connection of its own, as every instance has.
async fn run_alone(place: &Place, event: Value) -> Result<flush::Summary, FlushError> {
    run(&place.flush(), event).await
}

#[tokio::test]
async fn a_connection_that_was_cut_is_replaced_and_the_batch_stored() {
    let place = Place::new("flushing_cut").await;
    let flush = place.flush();
    run(&flush, batch(0, &[record("https://a.test", 0)])).await.unwrap();

    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where datname = current_database() and pid <> pg_backend_pid()";
    assert_eq!(place.count(cut).await, 1);
    let summary = run(&flush, batch(1, &[record("https://a.test", 1)])).await.unwrap();

    assert_eq!(summary.stored, 1);
    assert_eq!(place.count("select count(*) from probes").await, 2);
}

#[tokio::test]
async fn a_warm_invocation_opens_no_connection_and_migrates_nothing() {
    let place = Place::new("flushing_warm").await;
    let flush = place.flush();
    run(&flush, batch(0, &[record("https://a.test", 0)])).await.unwrap();
    let sessions = "select count(*) from pg_stat_activity where datname = current_database() \
                    and application_name = 'website-monitor' and backend_start < now()";
    assert_eq!(place.count(sessions).await, 1);
    // Were the schema looked at again, this would bring an error.
    place.client().await.batch_execute("drop table website_monitor_migrations").await.unwrap();

    run(&flush, batch(1, &[record("https://a.test", 1)])).await.unwrap();

    assert_eq!(place.count(sessions).await, 1);
    assert_eq!(place.count("select count(*) from pg_tables where tablename = 'website_monitor_migrations'").await, 0);
}

#[tokio::test]
async fn a_database_that_is_down_fails_the_batch() {
    let place = Place::new("flushing_down").await;
    let nowhere = format!("postgres://postgres@127.0.0.1:{}/nowhere", free_port());
    let variables = lookup(vec![("WM_DB_CONNECTION_STRING", nowhere)]);
    let flush = flush::Flush::new(flush::FlushConfig::from_env(&variables).unwrap());

    let error = run(&flush, event("kafka-msk.json")).await.unwrap_err().to_string();
    assert!(error.contains("cannot connect to the database") && error.contains("refused"), "{error}");

    // Half a batch is no batch: what goes wrong on the way leaves nothing behind.
    let flush = place.flush();
    run(&flush, batch(0, &[record("https://a.test", 0)])).await.unwrap();
    let client = place.client().await;
    client.batch_execute("alter table rejects rename to away").await.unwrap();
    let values = [record("https://a.test", 1), json!("not json")];
    let error = run(&flush, batch(1, &values)).await.unwrap_err().to_string();
    assert!(error.contains("relation \"rejects\" does not exist"), "{error}");
    assert_eq!(place.count("select count(*) from probes").await, 1);

    client.batch_execute("alter table away rename to rejects").await.unwrap();
    let summary = run(&flush, batch(1, &values)).await.unwrap();
    assert_eq!((summary.stored, summary.rejected), (1, 1));
}

#[tokio::test]
async fn what_the_schema_refuses_is_set_apart_with_the_databases_words() {
    let place = Place::new("flushing_refused").await;
    let flush = place.flush();
    run(&flush, batch(0, &[record("https://a.test", 0)])).await.unwrap();
    let constraints = "alter table probes add constraint no_mars check (error_message <> 'mars');
                       alter table targets add constraint no_venus check (url <> 'https://venus.test')";
    place.client().await.batch_execute(constraints).await.unwrap();
    let mut values: Vec<_> = (0..50).map(|second| record("https://a.test", second)).collect();
    for refused in [7, 8, 49] {
        values[refused]["error"] = json!({"kind": "body", "message": "mars"});
    }
    values.push(record("https://venus.test", 50));
    values.push(record("https://b.test", 51));

    // The first is there already, so both reasons to refuse the batch are at work.
    for (stored, duplicates) in [(47, 1), (0, 48)] {
        let summary = run(&flush, batch(0, &values)).await.unwrap();
        assert_eq!((summary.received, summary.stored, summary.duplicates), (52, stored, duplicates));
        assert_eq!(summary.rejected, 4);
    }

    let query = "select \"offset\", reason, value from rejects order by \"offset\"";
    let rejects = place.client().await.query(query, &[]).await.unwrap();
    let offsets: Vec<i64> = rejects.iter().map(|row| row.get(0)).collect();
    assert_eq!(offsets, [7, 8, 49, 50]);
    assert!(rejects[0].get::<_, &str>(1).contains("no_mars"), "{rejects:?}");
    assert!(rejects[3].get::<_, &str>(1).contains("no_venus"), "{rejects:?}");
    assert_eq!(serde_json::from_slice::<Value>(rejects[3].get(2)).unwrap(), values[50]);
}
