//! Postgres to stats: the figures, the filters, and every kind of answer.

use jiff::Timestamp;
use lambda_http::{Body, Request, Response, http};
use local_stack::workspace;
use serde_json::{Value, json};
use stats::{Stats, StatsConfig, handle, query::StatsQuery, response::UrlStats, run};

use crate::support::{Place, free_port, lookup};

/// The hour of the fixtures below.
fn at(time: &str) -> Timestamp {
    format!("2026-11-23T{time}Z").parse().unwrap()
}

/// Stores probes through flush: URL, time, status, milliseconds.
async fn store(place: &Place, probes: &[(&str, &str, Option<u16>, f64)]) {
    let records: Vec<_> = probes
        .iter()
        .enumerate()
        .map(|(offset, (url, time, status, millis))| {
            let record = json!({
                "url": url, "timestamp": format!("2026-11-23T{time}Z"), "http_status_code": status,
                "response_time_ms": millis
            });
            let value = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, record.to_string());
            json!({"topic": "t", "partition": 0, "offset": offset, "value": value})
        })
        .collect();
    let stored = flush::run(&place.flush(), json!({"records": {"t-0": records}})).await.unwrap();
    assert_eq!(stored.stored, probes.len());
}

async fn ask(place: &Place, query: &str, now: Timestamp) -> Vec<UrlStats> {
    run(&place.stats(), &StatsQuery::parse(query).unwrap(), now).await.unwrap().stats
}

async fn send(stats: &Stats, method: &str, path: &str) -> (Response<Body>, Value) {
    let request: Request = http::Request::builder().method(method).uri(path).body(Body::Empty).unwrap();
    let response = handle(stats, request).await.unwrap();
    let Body::Text(text) = response.body() else { panic!("{:?}", response.body()) };
    let body = serde_json::from_str(text).unwrap();
    (response, body)
}

#[tokio::test]
async fn percentiles_are_interpolated_between_the_nearest_ranks() {
    let place = Place::new("answering_percentiles").await;
    let url = "https://a.test";
    store(&place, &[3_000.0, 1_000.0, 2_000.0].map(|millis| (url, "12:00:00", Some(200), millis))).await;

    let stats = ask(&place, "", at("13:00:00")).await;

    assert_eq!((stats[0].p50_ms, stats[0].p95_ms, stats[0].p99_ms), (Some(2_000.0), Some(2_900.0), Some(2_980.0)));
    assert_eq!((stats[0].probes, stats[0].responses, stats[0].failures), (3, 3, 0));
}

#[tokio::test]
async fn failures_are_counted_apart_and_are_no_latencies() {
    let place = Place::new("answering_failures").await;
    let probes = [
        ("https://a.test", "12:00:00", Some(200), 100.0),
        ("https://a.test", "12:01:00", None, 10_000.0),
        ("https://a.test", "12:02:00", Some(503), 300.0),
        ("https://down.test", "12:00:00", None, 5.0),
    ];
    store(&place, &probes).await;

    let stats = ask(&place, "", at("13:00:00")).await;

    let (a, down) = (&stats[0], &stats[1]);
    assert_eq!((a.probes, a.responses, a.failures, a.down), (3, 2, 1, 2));
    assert_eq!(a.p50_ms, Some(200.0));
    assert_eq!((a.first_probe_at, a.last_probe_at), (Some(at("12:00:00")), Some(at("12:02:00"))));
    assert_eq!((down.probes, down.responses, down.failures, down.down), (1, 0, 1, 1));
    assert_eq!((down.p50_ms, down.p95_ms, down.p99_ms), (None, None, None));
}

#[tokio::test]
async fn a_window_of_an_hour_covers_one_hour() {
    let place = Place::new("answering_window").await;
    let times = ["10:59:59.999999", "11:00:00", "11:59:59.999999", "12:00:00"];
    store(&place, &times.map(|time| ("https://a.test", time, Some(200), 1.0))).await;

    let window = ask(&place, "window=1h", at("12:00:00")).await;
    assert_eq!((window[0].probes, window[0].window.as_str()), (2, "1h"));
    assert_eq!(window[0].first_probe_at, Some(at("11:00:00")));
    assert_eq!(window[0].last_probe_at, Some(at("11:59:59.999999")));
    let all = ask(&place, "", at("12:00:00")).await;
    assert_eq!((all[0].probes, all[0].window.as_str()), (4, "all"));
    assert!(ask(&place, "window=1h", at("20:00:00")).await.is_empty());
}

#[tokio::test]
async fn urls_are_filtered_exactly_and_listed_in_order() {
    let place = Place::new("answering_urls").await;
    let urls = ["https://b.test", "https://a.test", "https://a.test/?q=1&r=%25", "https://a.test'--"];
    store(&place, &urls.map(|url| (url, "12:00:00", Some(200), 1.0))).await;
    let asked = async |query: &str| -> Vec<String> {
        ask(&place, query, at("13:00:00")).await.into_iter().map(|stats| stats.url).collect()
    };

    assert_eq!(asked("").await, ["https://a.test", "https://a.test'--", "https://a.test/?q=1&r=%25", "https://b.test"]);
    assert_eq!(asked("url=https%3A%2F%2Fa.test%2F%3Fq%3D1%26r%3D%2525").await, ["https://a.test/?q=1&r=%25"]);
    assert_eq!(asked("url=https://b.test&url=https://a.test").await, ["https://a.test", "https://b.test"]);
    assert!(asked("url=https://c.test").await.is_empty());
}

#[tokio::test]
async fn a_database_that_has_seen_nothing_has_an_empty_answer() {
    let place = Place::new("answering_nothing").await;

    // Without a schema, and with an empty one.
    assert_eq!(send(&place.stats(), "GET", "/stats").await.1, json!({"stats": []}));
    flush::run(&place.flush(), json!({"records": {}})).await.unwrap();
    let (response, body) = send(&place.stats(), "GET", "/stats").await;
    assert_eq!((response.status().as_u16(), body), (200, json!({"stats": []})));
}

#[tokio::test]
async fn the_envelope_and_its_first_names_are_the_seeds() {
    let place = Place::new("answering_names").await;
    store(&place, &[("https://example.com", "12:00:00", Some(200), 592.0)]).await;

    let (response, _) = send(&place.stats(), "GET", "/stats").await;

    assert_eq!(response.headers()["content-type"], "application/json");
    let Body::Text(text) = response.body() else { panic!("{:?}", response.body()) };
    let expected = "{\"stats\":[{\"url\":\"https://example.com\",\"probes\":1,\
                    \"p50_ms\":592.0,\"p95_ms\":592.0,\"p99_ms\":592.0,";
    assert!(text.starts_with(expected), "{text}");
}

#[tokio::test]
async fn what_cannot_be_answered_is_a_problem_that_says_why() {
    let place = Place::new("answering_problems").await;
    let stats = place.stats();

    let (response, body) = send(&stats, "GET", "/stats?window=soon&color=red").await;
    assert_eq!((response.status().as_u16(), body["status"].as_u64()), (400, Some(400)));
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!((&body["errors"][0]["parameter"], &body["errors"][1]["parameter"]), (&json!("window"), &json!("color")));

    let (response, body) = send(&stats, "GET", "/status").await;
    assert_eq!((response.status().as_u16(), body["title"].as_str()), (404, Some("Not Found")));

    let (response, _) = send(&stats, "POST", "/stats").await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &http::HeaderValue::from_static("GET"))
    );
}

#[tokio::test]
async fn an_unreachable_database_is_a_503_that_says_no_more_than_it_should() {
    let secret = format!("postgres://someone:hunter2@127.0.0.1:{}/internal_name", free_port());
    let variables = lookup(vec![("WM_DB_CONNECTION_STRING", secret)]);
    let stats = Stats::new(StatsConfig::from_env(&variables).unwrap().database);

    let (response, body) = send(&stats, "GET", "/stats").await;

    assert_eq!(response.status().as_u16(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    let text = body.to_string();
    assert!(["hunter2", "someone", "127.0.0.1", "internal_name"].iter().all(|word| !text.contains(word)), "{text}");
}

#[tokio::test]
async fn a_function_url_request_of_aws_is_understood() {
    let text = std::fs::read_to_string(workspace().join("events/stats-request.json")).unwrap();
    let request = lambda_http::request::from_str(&text).unwrap();
    let place = Place::new("answering_function_url").await;

    let response = handle(&place.stats(), request).await.unwrap();

    assert_eq!(response.status().as_u16(), 200);
}
