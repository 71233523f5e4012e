//! What nobody should send: it is kept with the reason, stops nobody, and is stored when the cause is mended.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flush::run;
#[cfg(target_os = "linux")]
use local_stack::instance::Instance;
use serde_json::{Value, json};
use shared::Micros;

use crate::support::{Place, batch, example, hours_ago, record_at};

const LIMIT: Duration = Duration::from_secs(60);

fn good(number: i64) -> Value {
    record_at("https://a.test", Micros(hours_ago(0).0 + number * 1_000))
}

/// A batch of values that need not be text.
fn raw_batch(values: &[&[u8]]) -> Value {
    let records: Vec<_> = values
        .iter()
        .zip(0..)
        .map(|(value, offset)| {
            json!({"topic": "t", "partition": 0, "offset": offset, "value": BASE64_STANDARD.encode(value)})
        })
        .collect();
    json!({"eventSource": "SelfManagedKafka", "records": {"t-0": records}})
}

#[tokio::test]
async fn whatever_is_no_record_is_kept_as_it_came_and_stops_nobody() {
    let place = Place::new("poisoning_kinds").await;
    let with = |field: &str, value: &str| {
        let record = json!({"url": "https://a.test", "timestamp": "2026-11-23T12:00:00Z", "http_status_code": 200,
                            "response_time_ms": 1});
        record.to_string().replace(&format!("\"{field}\":{}", record[field]), &format!("\"{field}\":{value}"))
    };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_field = with("response_time_ms", &format!("1,\"more\":{}", "{\"a\":".repeat(5_000)));
    let good = good(0).to_string();
    let poison: Vec<Vec<u8>> = vec![
        b"not json".to_vec(),
        b"".to_vec(),
        b"\xff\xfe\x00\x01".to_vec(),
        good.replace("a.test", "a.\u{0}test").into_bytes(),
        [good.as_bytes(), b"\xc3"].concat(),
        good.replace("https://a.test", "\u{1}").replace("url", "u\u{0}rl").into_bytes(),
        deep.into_bytes(),
        deep_field.into_bytes(),
        with("response_time_ms", "NaN").into_bytes(),
        with("response_time_ms", "-1").into_bytes(),
        with("response_time_ms", "1e400").into_bytes(),
        with("response_time_ms", "99999999999999999999").into_bytes(),
        with("http_status_code", "-200").into_bytes(),
        with("http_status_code", "\"200\"").into_bytes(),
        with("http_status_code", "18446744073709551616").into_bytes(),
        with("url", "[]").into_bytes(),
        with("url", &format!("\"{}\"", "x".repeat(1 << 20))).into_bytes(),
        b"{\"url\": \"https://a.test\"}".to_vec(),
        b"null".to_vec(),
    ];
    let mut values: Vec<&[u8]> = poison.iter().map(Vec::as_slice).collect();
    values.push(good.as_bytes());

    let summary = run(&place.flush(), raw_batch(&values)).await.unwrap();

    assert_eq!((summary.stored, summary.rejected), (1, poison.len()));
    let query = "select value, reason from rejects order by \"offset\"";
    let rejects = place.client().await.query(query, &[]).await.unwrap();
    for (row, value) in rejects.iter().zip(&poison) {
        assert_eq!(row.get::<_, &[u8]>(0), value, "{}", row.get::<_, &str>(1));
        let reason: &str = row.get(1);
        assert!(!reason.is_empty() && reason.len() <= 2_048 && !reason.contains('\n'), "{reason}");
    }
    // Delivered again, they are the same.
    run(&place.flush(), raw_batch(&values)).await.unwrap();
    assert_eq!(place.count("select count(*) from rejects").await, poison.len() as i64);
}

#[tokio::test]
async fn the_largest_batches_that_lambda_delivers_are_taken() {
    let place = Place::new("poisoning_large").await;
    // 10,000 records, one in ten of them no record.
    let many: Vec<_> = (0..10_000).map(|number| if number % 10 == 0 { json!("{") } else { good(number) }).collect();
    let summary = run(&place.flush(), batch(0, &many)).await.unwrap();
    assert_eq!((summary.received, summary.stored, summary.rejected), (10_000, 9_000, 1_000));

    // Six megabytes of event in a few records.
    let message = "x".repeat(1_150_000);
    let large: Vec<_> = (0..4)
        .map(|number| {
            let mut record = good(20_000 + number);
            record["error"] = json!({"kind": "body", "message": message});
            record
        })
        .collect();
    let event = batch(20_000, &large);
    assert!((6_000_000..=6 << 20).contains(&event.to_string().len()), "{}", event.to_string().len());
    assert_eq!(run(&place.flush(), event).await.unwrap().stored, 4);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn headers_however_many_take_no_more_memory_than_their_text() {
    let place = Place::new("poisoning_headers").await;
    // Half a million of them: as a tree, more than the function has.
    let mut event = batch(0, &[good(0)]);
    event["records"]["t-0"][0]["headers"] = "HEADERS".into();
    let headers = format!("[{}]", vec![r#"{"":[]}"#; 500_000].join(","));
    let text = event.to_string().replace("\"HEADERS\"", &headers);
    let event = serde_json::value::RawValue::from_string(text).unwrap();
    let mut flush = place.instance("flush", &place.variables()).await;
    assert_eq!(flush.invoke(&json!({"records": {}}), LIMIT).await.unwrap().0["received"], 0);
    let before = peak_bytes(&flush);

    let (answer, _) = flush.invoke_text(event.get(), LIMIT).await.unwrap();

    assert_eq!(answer["stored"], 1);
    let taken = peak_bytes(&flush) - before;
    assert!(taken < 100 << 20, "{taken}");
}

/// The most memory that was resident.
#[cfg(target_os = "linux")]
fn peak_bytes(instance: &Instance) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", instance.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn rejects_are_stored_when_the_cause_is_mended_by_one_command() {
    let place = Place::new("poisoning_redriven").await;
    let flush = place.flush();
    run(&flush, batch(0, &[])).await.unwrap();
    let client = place.client().await;
    client.batch_execute("alter table probes add constraint no_mars check (error_message <> 'mars')").await.unwrap();
    let mut values: Vec<_> = (0..1_500).map(good).collect();
    for value in values.iter_mut().skip(1) {
        value["error"] = json!({"kind": "body", "message": "mars"});
    }
    values.push(json!("not json"));
    let mut event = batch(1, &values);
    event["records"]["t-0"][3]["headers"] = json!([{"trace": [1, -1]}]);
    event["records"]["t-0"][3]["timestamp"] = json!(1_700_000_000_000_i64);
    assert_eq!(run(&flush, event).await.unwrap().rejected, 1_500);
    let kept = "select more from rejects where timestamp_ms = 1700000000000";
    let more: String = client.query_one(kept, &[]).await.unwrap().get(0);
    assert_eq!(serde_json::from_str::<Value>(&more).unwrap(), json!({"headers": [{"trace": [1, -1]}]}));

    let redrive = async |arguments: &[&str]| {
        let mut command = example("redrive");
        command.env("WM_DB_CONNECTION_STRING", &place.connection_string).args(arguments);
        command.env("WM_RAW_RETENTION", "36500d");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // Not mended yet: all stay, and none becomes two.
    let told = redrive(&[]).await;
    assert!(told.contains("1500 rejects tried: 0 stored, 0 duplicates, 1500 refused again"), "{told}");
    assert_eq!(place.count("select count(*) from rejects").await, 1_500);

    client.batch_execute("alter table probes drop constraint no_mars").await.unwrap();
    let told = redrive(&["--reason", "%no\\_mars%"]).await;
    assert!(told.contains("1499 rejects tried: 1499 stored, 0 duplicates, 0 refused again"), "{told}");
    assert_eq!(place.count("select count(*) from probes").await, 1_500);
    let told = redrive(&[]).await;
    assert!(told.contains("1 rejects tried: 0 stored") && told.contains("not a record: expected ident"), "{told}");
    assert_eq!(place.count("select count(*) from rejects").await, 1);
}
