//! Every form of the answer, whole, beside the files in `golden/`. After a change that is meant to be, `UPDATE_GOLDEN=1 cargo
//! test golden` writes them anew, and their difference is what there is to review.

use local_stack::workspace;
use serde_json::{Value, json};
use stats::response::Body;

use crate::{
    serving::request,
    support::{Place, batch},
};

/// Two targets, one from two locations: a slot that was tried again, a timeout, one that is slow, and one that was missed.
fn records() -> Vec<Value> {
    let record = |url: &str, time: &str, location: &str, more: Value| {
        let mut record = json!({
            "url": url, "monitor": "shop", "timestamp": format!("2026-11-23T{time}Z"), "location": location,
            "http_status_code": 200, "response_time_ms": 120.5, "outcome": "up", "interval_ms": 60_000, "tags": ["public"],
            "phases": {"dns": 1.5, "connect": 10, "tls": 25, "first_byte": 80, "download": 3}
        });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let (shop, other) = ("https://shop.test/?a=1&b=\"2\"", "https://other.test/");
    let timeout = json!({
        "http_status_code": null, "response_time_ms": 10_000, "outcome": "down", "phases": {"dns": 1},
        "error": {"kind": "timeout", "message": "no response within 10 s"}
    });
    let refused = json!({
        "http_status_code": 503, "outcome": "down", "retried": true, "error": {"kind": "assertion", "message": "HTTP status 503"}
    });
    let missed = json!({
        "http_status_code": null, "response_time_ms": null, "outcome": "missed", "phases": null, "reason": "no time left"
    });
    vec![
        record(shop, "11:59:00", "eu", json!({"response_time_ms": 99})),
        record(shop, "12:00:00", "eu", json!({})),
        record(shop, "12:01:00", "eu", refused),
        record(shop, "12:01:02", "eu", json!({"attempt": 2, "response_time_ms": 340})),
        record(shop, "12:02:00", "eu", json!({"outcome": "degraded", "response_time_ms": 2_500})),
        record(shop, "12:00:30", "us", json!({"response_time_ms": 210, "prober": {"late_ms": 6_500}})),
        record(shop, "12:01:30", "us", timeout),
        record(shop, "12:02:30", "us", missed),
        record(other, "12:00:00", "eu", json!({"monitor": null, "interval_ms": null, "tags": [], "phases": null})),
    ]
}

#[tokio::test]
async fn answers_are_those_of_the_golden_files() {
    let place = Place::new("golden").await;
    flush::run(&place.flush(), batch(0, &records())).await.unwrap();
    let stats = place.stats();
    let window = "from=2026-11-23T12:00:00Z&to=2026-11-23T12:03:00Z";
    let shop = "url=https://shop.test/%3Fa%3D1%26b%3D%222%22";

    for (file, path, accept) in [
        ("stats.json", format!("/stats?{window}"), "application/json"),
        (
            "stats-parts.json",
            format!("/stats?{window}&{shop}&by=location&bucket=1m&percentiles=90"),
            "application/json",
        ),
        ("stats-phases.json", format!("/stats?{window}&{shop}&by=outcome,phase&percentiles=90"), "application/json"),
        (
            "stats-compared.json",
            format!("/stats?{window}&compare=previous&quorum=majority&limit=1&sort=-p95_ms"),
            "application/json",
        ),
        ("stats.csv", format!("/stats?{window}&{shop}&by=location&bucket=1m&percentiles=90"), "text/csv"),
        ("metrics.txt", "/metrics?window=all".to_owned(), "text/plain"),
        (
            "metrics.openmetrics.txt",
            format!("/metrics?window=all&{shop}&percentiles=99.9"),
            "application/openmetrics-text",
        ),
        ("badge.svg", format!("/badge.svg?window=all&{shop}&metric=p95"), "image/svg+xml"),
        ("problem.json", "/stats?window=soon&limit=0&colour=red".to_owned(), "application/json"),
    ] {
        let response = request(&stats, "GET", &path, &[("accept", accept)]).await;
        let Body::Text(text) = response.body() else { panic!("{:?}", response.body()) };
        let text = if file.ends_with(".json") {
            let value: Value = serde_json::from_str(text).unwrap();
            serde_json::to_string_pretty(&value).unwrap() + "\n"
        } else {
            // What is expected up to now grows with it.
            let is_of_now = |line: &&str| ["expected_slots{", "coverage_ratio{"].iter().any(|name| line.contains(name));
            text.split_inclusive('\n').filter(|line| !is_of_now(line)).collect()
        };
        let golden = workspace().join("tests/pipeline/golden").join(file);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap();
        assert_eq!(text, expected, "{path} is not as in {}", golden.display());
    }
}
