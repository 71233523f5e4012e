//! Postgres to stats: the figures, the filters and the parts.

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::{Micros, timestamp};
use stats::{query::StatsQuery, report::TargetStats, response::Body, run};

use crate::{
    serving::send,
    support::{Place, batch, hours_ago, record_at},
};

/// A time of the day of the fixtures below.
pub(crate) fn at(time: &str) -> Timestamp {
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

pub(crate) async fn ask(place: &Place, query: &str, now: Timestamp) -> Vec<TargetStats> {
    run(&place.stats(), &StatsQuery::parse(query).unwrap(), now).await.unwrap().stats
}

#[tokio::test]
async fn percentiles_are_interpolated_between_the_nearest_ranks() {
    let place = Place::new("answering_percentiles").await;
    let url = "https://a.test";
    store(&place, &[3_000.0, 1_000.0, 2_000.0].map(|millis| (url, "12:00:00", Some(200), millis))).await;

    let stats = ask(&place, "", at("13:00:00")).await;

    assert_eq!(
        (stats[0].figures.p50_ms, stats[0].figures.p95_ms, stats[0].figures.p99_ms),
        (Some(2_000.0), Some(2_900.0), Some(2_980.0))
    );
    assert_eq!((stats[0].figures.probes, stats[0].figures.responses, stats[0].figures.failures), (3, 3, 0));
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
    assert_eq!((a.figures.probes, a.figures.responses, a.figures.failures, a.figures.down), (3, 2, 1, 2));
    assert_eq!(a.figures.p50_ms, Some(200.0));
    assert_eq!((a.figures.first_probe_at, a.figures.last_probe_at), (Some(at("12:00:00")), Some(at("12:02:00"))));
    assert_eq!((down.figures.probes, down.figures.responses, down.figures.failures, down.figures.down), (1, 0, 1, 1));
    assert_eq!((down.figures.p50_ms, down.figures.p95_ms, down.figures.p99_ms), (None, None, None));
}

#[tokio::test]
async fn a_window_of_an_hour_covers_one_hour() {
    let place = Place::new("answering_window").await;
    let times = ["10:59:59.999999", "11:00:00", "11:59:59.999999", "12:00:00"];
    store(&place, &times.map(|time| ("https://a.test", time, Some(200), 1.0))).await;

    let window = ask(&place, "window=1h", at("12:00:00")).await;
    assert_eq!((window[0].figures.probes, window[0].window.as_str()), (2, "1h"));
    assert_eq!(window[0].figures.first_probe_at, Some(at("11:00:00")));
    assert_eq!(window[0].figures.last_probe_at, Some(at("11:59:59.999999")));
    let all = ask(&place, "", at("12:00:00")).await;
    assert_eq!((all[0].figures.probes, all[0].window.as_str()), (4, "all"));
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
    assert_eq!(send(&place.stats(), "GET", "/stats").await.1, json!({"stats": [], "from": null, "to": null}));
    flush::run(&place.flush(), json!({"records": {}})).await.unwrap();
    let (response, body) = send(&place.stats(), "GET", "/stats").await;
    assert_eq!((response.status().as_u16(), body), (200, json!({"stats": [], "from": null, "to": null})));
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
async fn an_entry_says_what_its_figures_are_of_and_how_much_they_know() {
    let place = Place::new("answering_entry").await;
    let url = "https://a.test";
    let record = |second: u32, more: Value| {
        let mut record = json!({
            "url": url, "timestamp": format!("2026-11-23T12:00:{second:02}Z"), "http_status_code": 200,
            "response_time_ms": 100 * (second + 1)
        });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let timeout = json!({"kind": "timeout", "message": ""});
    let records = [
        record(0, json!({})),
        record(1, json!({"outcome": "degraded"})),
        record(2, json!({"http_status_code": 503, "retried": true, "error": {"kind": "assertion", "message": ""}})),
        record(3, json!({"attempt": 2})),
        record(4, json!({"http_status_code": null, "error": timeout})),
        record(5, json!({"http_status_code": null, "response_time_ms": null, "outcome": "missed", "reason": "late"})),
    ];
    flush::run(&place.flush(), batch(0, &records)).await.unwrap();

    let query = "from=2026-11-23T12:00:00Z&to=2026-11-23T13:00:00Z&percentiles=50,75";
    let (_, body) = send(&place.stats(), "GET", &format!("/stats?{query}")).await;

    assert_eq!(
        body["stats"][0],
        json!({
            "url": url, "probes": 5, "p50_ms": 250.0, "p95_ms": 385.0, "p99_ms": 397.0,
            "population": "responses", "population_size": 4,
            "responses": 4, "failures": 1, "timeouts": 1, "up": 2, "degraded": 1, "down": 1, "missed": 1, "retried": 1,
            "errors": {"assertion": 1, "timeout": 1}, "statuses": {"2xx": 3, "5xx": 1},
            "min_ms": 100.0, "mean_ms": 250.0, "max_ms": 400.0,
            "percentiles": [
                // Bin(4, 0.5) is 0 in 6 % of all samples, and 4 as often: there is no interval.
                // With the timeout of 500 ms there are five: of these it is the third.
                {"percentile": 50.0, "ms": 250.0, "low_ms": null, "high_ms": null, "insufficient": true,
                 "with_timeouts_ms": 300.0, "at_least_ms": null},
                // Bin(4, 0.75) is 1 or less in 5 %, 0 in less than 1 %.
                {"percentile": 75.0, "ms": 325.0, "low_ms": 100.0, "high_ms": null, "insufficient": true,
                 "with_timeouts_ms": 400.0, "at_least_ms": null}
            ],
            "window": "custom", "from": "2026-11-23T12:00:00.000000Z", "to": "2026-11-23T13:00:00.000000Z",
            "exact": true, "max_relative_error": 0.0, "monitor": null, "tags": [], "interval_ms": null,
            // Three of four slots; no schedule says how long a verdict holds, or how many there should be.
            "uptime": {"by_probes": 0.75, "by_time": null, "up_seconds": null, "down_seconds": null},
            "coverage": {"expected": null, "observed": 4, "missed": 1, "late": null, "share": null},
            "first_probe_at": "2026-11-23T12:00:00.000000Z", "last_probe_at": "2026-11-23T12:00:05.000000Z"
        })
    );
}

#[tokio::test]
async fn a_large_sample_has_intervals_and_a_small_one_says_that_it_is_small() {
    let place = Place::new("answering_intervals").await;
    let of = |url: &str, count: u32| -> Vec<Value> {
        let at = |n: u32| Micros(hours_ago(30).0 + i64::from(n) * 1_000_000);
        let record = |n| {
            let mut record = record_at(url, at(n));
            record["response_time_ms"] = json!(n + 1);
            record
        };
        (0..count).map(record).collect()
    };
    flush::run(&place.flush(), batch(0, &[of("https://large.test", 1_000), of("https://small.test", 10)].concat()))
        .await
        .unwrap();

    // From chunks, and from rows and chunks of a window that cuts the hour.
    let now = timestamp::now();
    for query in ["window=all&percentiles=99", "window=31d&percentiles=99"] {
        let stats = ask(&place, query, now).await;
        let [large, small] = [0, 1].map(|index| stats[index].figures.percentiles[0].clone());
        // Bin(1000, 0.99): 2.5 % at 983, 97.5 % at 996; ranks from 1 are the milliseconds.
        assert_eq!((large.ms, large.low_ms, large.high_ms), (Some(990.01), Some(983.0), Some(997.0)));
        assert!(!large.insufficient && small.insufficient && small.high_ms.is_none(), "{small:?}");
        assert_eq!(small.ms, Some(9.91));
    }
}

#[tokio::test]
async fn an_answer_is_split_by_what_and_into_buckets_of_which_none_is_left_out() {
    let place = Place::new("answering_parts").await;
    let record = |time: &str, location: &str, status: u16| {
        json!({
            "url": "https://a.test", "timestamp": format!("2026-11-23T{time}Z"), "http_status_code": status,
            "response_time_ms": status, "location": location
        })
    };
    let records = [
        record("10:59:59.999999", "eu", 200),
        record("11:00:00", "eu", 200),
        record("12:59:59", "us", 503),
        record("13:00:00", "us", 200),
    ];
    flush::run(&place.flush(), batch(0, &records)).await.unwrap();
    let ask = async |query: &str| send(&place.stats(), "GET", &format!("/stats?{query}")).await.1["stats"][0].clone();
    let probes = |parts: &Value, name: &str| -> Vec<(String, i64)> {
        let part = |part: &Value| (part[name].as_str().unwrap().to_owned(), part["probes"].as_i64().unwrap());
        parts.as_array().unwrap().iter().map(part).collect()
    };
    let named = |expected: &[(&str, i64)]| -> Vec<(String, i64)> {
        expected.iter().map(|(name, probes)| ((*name).to_owned(), *probes)).collect()
    };

    // Half-open, and the hour without a probe is there.
    let entry = ask("from=2026-11-23T10:59:59.999999Z&to=2026-11-23T13:00:00Z&bucket=1h").await;
    let hours = ["10", "11", "12"].map(|hour| format!("2026-11-23T{hour}:00:00.000000Z"));
    assert_eq!(probes(&entry["series"], "bucket"), named(&[(&hours[0], 1), (&hours[1], 1), (&hours[2], 1)]));
    assert_eq!((entry["probes"].as_i64(), entry.get("groups")), (Some(3), None));
    let entry = ask("from=2026-11-23T11:00:00Z&to=2026-11-23T11:10:00Z&bucket=5m").await;
    assert_eq!(entry["series"].as_array().unwrap().len(), 2);
    assert_eq!((&entry["series"][1]["probes"], &entry["series"][1]["p50_ms"]), (&json!(0), &Value::Null));

    let groups = |entry: &Value| -> Vec<(Value, i64)> {
        let group = |part: &Value| (part["group"].clone(), part["probes"].as_i64().unwrap());
        entry["groups"].as_array().unwrap().iter().map(group).collect()
    };
    let entry = ask("by=location").await;
    assert_eq!(groups(&entry), [(json!({"location": "eu"}), 2), (json!({"location": "us"}), 2)]);
    assert_eq!(entry["groups"][1]["p50_ms"], 351.5);
    assert_eq!(
        (&entry["groups"][1]["uptime"]["by_probes"], &entry["uptime"]["by_probes"]),
        (&json!(0.5), &json!(0.75))
    );
    let entry = ask("by=status&bucket=1d").await;
    assert_eq!(groups(&entry), [(json!({"status": "2xx"}), 3), (json!({"status": "5xx"}), 1)]);
    assert_eq!(probes(&entry["groups"][1]["series"], "bucket"), named(&[("2026-11-23T00:00:00.000000Z", 1)]));
    // What is down by definition is not up by any share.
    assert_eq!((entry["groups"][1].get("uptime"), entry["groups"][1].get("coverage")), (None, None));
    let entry = ask("by=outcome").await;
    assert_eq!(groups(&entry), [(json!({"outcome": "down"}), 1), (json!({"outcome": "up"}), 3)]);
    let entry = ask("by=outcome,location").await;
    let expected = [("eu", "up", 2), ("us", "down", 1), ("us", "up", 1)];
    let expected =
        expected.map(|(location, outcome, probes)| (json!({"location": location, "outcome": outcome}), probes));
    assert_eq!(groups(&entry), expected);

    let (response, body) = send(&place.stats(), "GET", "/stats?bucket=1m&from=1990-01-01T00:00:00Z").await;
    assert_eq!((response.status().as_u16(), &body["errors"][0]["parameter"]), (400, &json!("bucket")));
    assert!(body["errors"][0]["detail"].as_str().unwrap().contains("may take 5000"), "{body}");
    let (_, body) = send(&place.stats(), "GET", "/stats?bucket=2h&by=colour").await;
    assert_eq!(body["errors"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn targets_are_filtered_by_monitor() {
    let place = Place::new("answering_monitors").await;
    let now = Micros::from(timestamp::now());
    let mut records =
        vec![record_at("https://a.test", now), record_at("https://a.test", now), record_at("https://b.test", now)];
    records[1]["monitor"] = json!("a");
    flush::run(&place.flush(), batch(0, &records)).await.unwrap();
    let probes = async |query: &str| -> Vec<(String, i64)> {
        ask(&place, query, timestamp::now()).await.into_iter().map(|stats| (stats.url, stats.figures.probes)).collect()
    };

    assert_eq!(probes("monitor=a").await, [("https://a.test".to_owned(), 1)]);
    // A URL that is probed in two names is two targets.
    assert_eq!(
        probes("url=https://a.test").await,
        [("https://a.test".to_owned(), 1), ("https://a.test".to_owned(), 1)]
    );
    assert!(probes("url=https://b.test&monitor=a").await.is_empty());
    assert!(probes("monitor='; drop table targets; --").await.is_empty());
    assert_eq!(probes("").await.len(), 3);
}

#[tokio::test]
async fn targets_are_filtered_by_the_tags_that_they_had_last() {
    let place = Place::new("answering_tags").await;
    let now = Micros::from(timestamp::now());
    let record = |url: &str, second: i64, tags: Value| {
        let mut record = record_at(url, Micros(now.0 + second * 1_000_000));
        record
            .as_object_mut()
            .unwrap()
            .extend(json!({"interval_ms": 60_000, "tags": tags}).as_object().unwrap().clone());
        record
    };
    let (a, b) = ("https://a.test", "https://b.test");
    let asked = async |query: &str| -> Vec<String> {
        ask(&place, query, timestamp::now()).await.into_iter().map(|stats| stats.url).collect()
    };
    let flush = place.flush();
    let first =
        [record(a, 1, json!(["shop", "public"])), record(b, 1, json!(["public"])), record_at("https://c.test", now)];
    flush::run(&flush, batch(0, &first)).await.unwrap();

    assert_eq!(asked("tag=public").await, [a, b]);
    assert_eq!(asked("tag=shop").await, [a]);
    assert_eq!(asked("tag=shop&tag=other").await, [a]);
    assert!(asked("tag=shop&url=https://b.test").await.is_empty());
    assert!(asked("tag=SHOP").await.is_empty());

    // They change with what is said later; what comes late changes nothing, nor does a probe by hand, which says nothing.
    let late = record(b, 0, json!(["late"]));
    let by_hand = record_at(b, Micros(now.0 + 3_000_000));
    flush::run(&flush, batch(10, &[record(a, 2, json!(["other"])), late.clone(), by_hand])).await.unwrap();
    flush::run(&place.flush(), batch(20, &[late])).await.unwrap();
    assert!(asked("tag=shop").await.is_empty() && asked("tag=late").await.is_empty());
    assert_eq!((asked("tag=public").await, asked("tag=other").await), (vec![b.to_owned()], vec![a.to_owned()]));
    let entry = ask(&place, "tag=other", timestamp::now()).await.remove(0);
    assert_eq!((entry.tags, entry.interval_ms), (vec!["other".to_owned()], Some(60_000)));
    // Each change is kept with its time: two of a, and two of b, of which the first came late.
    assert_eq!(place.count("select count(*) from target_settings").await, 4);
}

#[tokio::test]
async fn query_of_wm_has_the_figures_of_stats() {
    let place = Place::new("answering_wm").await;
    let record = |second: i64, status: Value, millis: Value, more: Value| {
        let mut record = record_at("https://a.test", Micros(hours_ago(3).0 + second * 1_000_000));
        (record["http_status_code"], record["response_time_ms"]) = (status, millis);
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    // A failure that took long, one that was tried again, a response that was not as expected, and a slot that was missed.
    let timeout = json!({"outcome": "down", "error": {"kind": "timeout", "message": "no response"}});
    let mut records: Vec<_> =
        (0..40).map(|number| record(number, json!(200), json!(100 + number), json!({}))).collect();
    records.push(record(50, Value::Null, json!(10_000), timeout.clone()));
    records.push(record(60, Value::Null, json!(30_000), json!({"outcome": "down", "retried": true})));
    records.push(record(61, json!(503), json!(700), json!({"outcome": "down", "attempt": 2})));
    records.push(record(70, json!(200), json!(900), json!({"outcome": "up", "retried": true})));
    records.push(record(80, Value::Null, Value::Null, json!({"outcome": "missed"})));
    let mut other = record(90, Value::Null, json!(5), timeout);
    other["url"] = json!("https://down.test");
    records.push(other);
    flush::run(&place.flush(), batch(0, &records)).await.unwrap();

    // As the Python CLI asks.
    let query = "select url, count(*) as probes, \
                 percentile_cont(0.50) within group (order by response_time_ms) as p50, \
                 percentile_cont(0.95) within group (order by response_time_ms) as p95, \
                 percentile_cont(0.99) within group (order by response_time_ms) as p99 \
                 from url_probes group by url order by url";
    let rows = place.client().await.query(query, &[]).await.unwrap();
    let stats = ask(&place, "", timestamp::now()).await;
    assert_eq!((stats.len(), rows.len()), (2, 2));
    for (entry, row) in stats.iter().zip(&rows) {
        assert_eq!((entry.url.as_str(), entry.figures.probes), (row.get(0), row.get(1)));
        let figures = [entry.figures.p50_ms, entry.figures.p95_ms, entry.figures.p99_ms];
        for (found, column) in figures.into_iter().zip(2..) {
            let expected: Option<f64> = row.get(column);
            assert_eq!(found.map(|ms| (ms * 1e3).round()), expected.map(|ms| (ms * 1e3).round()));
        }
    }
    assert_eq!((stats[0].figures.probes, stats[1].figures.p50_ms), (44, None));
}
