//! Instants of every kind: each record is stored at its own, and sealed into the hour and the day that it is in.

use flush::run;
use serde_json::{Value, json};
use shared::{Micros, Span, timestamp};

use crate::serving::send;
use crate::support::{Place, batch, hours_ago, record_at, seal_step};

const SECOND: i64 = 1_000_000;

fn record(timestamp: &str) -> Value {
    json!({"url": "https://a.test", "timestamp": timestamp, "http_status_code": 200, "response_time_ms": 12.5})
}

#[tokio::test]
async fn each_instant_is_stored_as_it_is() {
    let place = Place::new("clocks_instants").await;
    let cases = [
        ("2000-01-01T00:00:00Z", "2000-01-01 00:00:00"),
        ("9999-12-30T22:00:00.999999Z", "9999-12-30 22:00:00.999999"),
        // The last hours of the year 9999 are its last instant that is kept.
        ("9999-12-31T23:59:59Z", "9999-12-30 22:00:00.999999"),
        // The hour that comes twice in Berlin, and the one that does not come; with an offset, each is another instant.
        ("2026-10-25T02:30:00+02:00", "2026-10-25 00:30:00"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25 01:30:00"),
        ("2026-03-29T02:30:00+01:00", "2026-03-29 01:30:00"),
        // A second that was put in: Postgres has none, so it is the last one of its minute.
        ("2016-12-31T23:59:60Z", "2016-12-31 23:59:59"),
        ("2024-02-29T12:00:00Z", "2024-02-29 12:00:00"),
        // Beyond a microsecond, nothing.
        ("2026-11-23T12:00:00.123456789Z", "2026-11-23 12:00:00.123456"),
        ("2026-11-23 12:00:00.000001", "2026-11-23 12:00:00.000001"),
    ];
    let records: Vec<_> = cases.iter().map(|(timestamp, _)| record(timestamp)).collect();

    let summary = run(&place.flush(), batch(0, &records)).await.unwrap();

    assert_eq!((summary.stored, summary.rejected), (cases.len(), 0));
    let query = "select (probed_at at time zone 'UTC')::text from probes";
    let stored: Vec<String> =
        place.client().await.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    for (timestamp, expected) in cases {
        assert!(stored.iter().any(|stored| stored == expected), "{timestamp}: {expected} is not in {stored:?}");
    }
    while seal_step(&place.client().await).await.unwrap().is_some() {}
    assert_eq!(place.count("select sum(probes)::bigint from chunks where hour = '2000-01-01T00:00:00Z'").await, 1);
    // A text that is no instant goes to the rejects, and so does an instant of a clock that was never set.
    let bad = [
        "1970-01-01T00:00:10Z",
        "1999-12-31T23:59:59.999999Z",
        "2026-02-30T00:00:00Z",
        "2026-11-23T24:01:00Z",
        "10000-01-01T00:00:00Z",
        "yesterday",
        "",
    ];
    let summary = run(&place.flush(), batch(100, &bad.map(record))).await.unwrap();
    assert_eq!(summary.rejected, bad.len());
}

#[tokio::test]
async fn certificate_without_expiry_is_stored_and_answered() {
    let place = Place::new("clocks_certificate").await;
    let mut record = record_at("https://a.test", Micros(Micros::from(timestamp::now()).0 - SECOND));
    record["certificate_expires_at"] = json!("9999-12-31T23:59:59Z");

    let summary = run(&place.flush(), batch(0, &[record])).await.unwrap();

    assert_eq!((summary.stored, summary.rejected), (1, 0));
    let (_, overview) = send(&place.stats(), "GET", "/overview").await;
    assert_eq!(overview["targets"][0]["certificate_expires_at"], "9999-12-31T23:59:59.000000Z");
}

#[tokio::test]
async fn probes_at_one_microsecond_are_as_many_as_there_are() {
    let place = Place::new("clocks_ties").await;
    let instant = hours_ago(30);
    let ties: Vec<_> = (0..5).map(|_| record_at("https://a.test", instant)).collect();

    assert_eq!(run(&place.flush(), batch(0, &ties)).await.unwrap().stored, 5);
    assert_eq!(run(&place.flush(), batch(0, &ties)).await.unwrap().duplicates, 5);

    while seal_step(&place.client().await).await.unwrap().is_some() {}
    assert_eq!(place.count("select sum(probes)::bigint from chunks").await, 5);
    assert_eq!(place.count("select sum(probes)::bigint from summaries where span = 1").await, 5);
}

#[tokio::test]
async fn what_is_at_the_edge_of_an_hour_or_a_day_is_sealed_on_its_own_side() {
    let place = Place::new("clocks_edges").await;
    let midnight = Span::Day.start(hours_ago(24 * 40));
    let noon = Micros(midnight.0 + 12 * 3_600 * SECOND);
    // Around midnight and around noon, and written while others seal.
    let around: Vec<_> = [midnight, noon]
        .iter()
        .flat_map(|edge| [-1, 0, 1].map(|micros| record_at("https://a.test", Micros(edge.0 + micros))))
        .collect();
    let flush = place.flush();
    for (offset, record) in (0..).zip(&around) {
        run(&flush, batch(offset, std::slice::from_ref(record))).await.unwrap();
        seal_step(&place.client().await).await.unwrap();
    }
    while seal_step(&place.client().await).await.unwrap().is_some() {}

    let probes = async |query: &str, from: Micros| {
        let row = place.client().await.query_one(query, &[&from]).await.unwrap();
        row.get::<_, i64>(0)
    };
    let of_hour = "select coalesce(sum(probes), 0)::bigint from chunks where hour = $1";
    let hour = 3_600 * SECOND;
    for (edge, [before, after]) in [(midnight, [1, 2]), (noon, [1, 2])] {
        assert_eq!(probes(of_hour, Micros(edge.0 - hour)).await, before);
        assert_eq!(probes(of_hour, edge).await, after);
    }
    let of_day = "select coalesce(sum(probes), 0)::bigint from summaries where span = 1 and starts_at = $1";
    assert_eq!(probes(of_day, Micros(midnight.0 - 24 * hour)).await, 1);
    assert_eq!(probes(of_day, midnight).await, 5);
}
