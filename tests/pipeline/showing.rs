//! The last failures and the page: what is shown, to whom, and what is said where there is nothing to show.

use http::Response;
use serde_json::{Value, json};
use shared::{Micros, Span};
use stats::{page::POLICY, response::Body};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{
    overviewing::{Clock, down, get, store},
    serving::{header, request, text, through_api},
    support::{Place, record_at, seal_step},
};

const HOUR: i64 = 3_600_000_000;

#[tokio::test]
async fn the_last_failures_come_with_their_words_and_what_is_left_out_is_said() {
    let clock = Clock::new();
    let place = Place::new("overviewing_failures").await;
    let retried = json!({
        "outcome": "down", "retried": true, "http_status_code": null, "response_time_ms": 10_000,
        "error": {"kind": "timeout", "message": "no response within 10 s"}, "prober": {"late_ms": 30_000}
    });
    let missed = json!({
        "outcome": "missed", "http_status_code": null, "response_time_ms": null, "reason": "no time left"
    });
    let records = [
        clock.record(9, "a", &down("the oldest")),
        clock.record(8, "a", &retried),
        clock.record(7, "a", &json!({"attempt": 2})),
        clock.record(6, "a", &missed),
        clock.record(5, "b", &down("of b")),
        clock.record(4, "b", &json!({"outcome": "degraded"})),
    ];
    store(&place, 0, &records).await;
    let stats = place.stats();

    let all = get(&stats, "/failures").await;
    let failures = all["failures"].as_array().unwrap();
    let reasons: Vec<_> = failures.iter().map(|failure| failure["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["of b", "no time left", "no response within 10 s", "the oldest"]);
    assert_eq!((&all["more"], &all["rows_from"], &all["window"]), (&json!(false), &Value::Null, &json!("24h")));
    assert_eq!(
        failures[2],
        json!({
            "url": "https://a.test/", "monitor": "a", "probed_at": clock.minute(8), "location": "eu", "outcome": "down",
            "status": null, "error": "timeout", "reason": "no response within 10 s", "response_time_ms": 10_000.0,
            "attempt": 1, "retried": true
        })
    );
    assert_eq!(
        (&failures[1]["outcome"], &failures[1]["error"], &failures[1]["response_time_ms"]),
        (&json!("missed"), &Value::Null, &Value::Null)
    );
    let some = get(&stats, "/failures?monitor=a&limit=2").await;
    assert_eq!((some["failures"].as_array().unwrap().as_slice(), &some["more"]), (&failures[1..3], &json!(true)));
    let until = clock.minute(8);
    let some = get(&stats, &format!("/failures?to={}", until.as_str().unwrap())).await;
    assert_eq!(some["failures"].as_array().unwrap().as_slice(), &failures[3..]);

    // Rows of a day that went are only counted; the index of failures is that of each partition.
    let then = Micros(Span::Day.start(clock.0).0 - 12 * HOUR);
    let day: Vec<_> =
        (0..1_200).map(|second| record_at("https://a.test/", Micros(then.0 + second * 1_000_000))).collect();
    store(&place, 100, &day).await;
    let client = place.client().await;
    while seal_step(&client).await.unwrap().is_some() {}
    assert_eq!(get(&stats, "/failures?window=7d").await["rows_from"], Value::Null);
    let drop = "select website_monitor_drop_partition(($1::timestamptz at time zone 'UTC')::date)";
    let dropped: bool = client.query_one(drop, &[&then]).await.unwrap().get(0);
    assert!(dropped);
    let week = get(&stats, "/failures?window=7d").await;
    let oldest = client
        .query_one("select min(relname) from pg_class where relkind = 'r' and relname ~ '^probes_[0-9]+$'", &[])
        .await
        .unwrap();
    let oldest: String = oldest.get(0);
    let from = week["rows_from"].as_str().unwrap().replace('-', "");
    assert_eq!(from[..8], oldest[7..]);
    assert_eq!(week["failures"], all["failures"]);
    let indexed =
        place.count("select count(*) from pg_indexes where indexdef like '%(target_id, probed_at) WHERE%'").await;
    assert_eq!(indexed, place.count("select count(*) from pg_class where relname ~ '^probes(_[0-9]+|_other)?$'").await);
}

#[tokio::test]
async fn the_page_is_one_document_that_loads_nothing_from_elsewhere() {
    let clock = Clock::new();
    let place = Place::new("overviewing_page").await;
    let evil = "<script>alert(1)</script>\"'&";
    let mut record = clock.record(1, "x", &json!({"monitor": evil}));
    record["url"] = json!("https://a.test/?q=\"><img src=x onerror=alert(1)>");
    store(&place, 0, &[record]).await;
    let stats = place.stats();

    let page = request(&stats, "GET", "/?url=whatever&colour=red", &[]).await;
    assert_eq!((page.status().as_u16(), header(&page, "content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(header(&page, "content-security-policy"), POLICY);
    for rule in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(POLICY.split("; ").any(|part| part == rule), "{rule}");
    }
    let html = text(&page);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && html.contains(">100 %<"), "{html}");
    assert!(html.contains("href=\"?monitor=%3Cscript%3Ealert%281%29"), "{html}");
    assert!(!html.contains("<script>") && !html.contains("<img"), "{html}");

    // What it asks for is there, for ever, and for no other release.
    let paths: Vec<_> = html.split('"').filter(|part| part.starts_with("assets/")).collect();
    assert!(paths.len() >= 2);
    for path in paths {
        let asset = request(&stats, "GET", &format!("/{path}"), &[]).await;
        assert_eq!(
            (asset.status().as_u16(), header(&asset, "cache-control")),
            (200, "public, max-age=31536000, immutable")
        );
        let bytes = text(&asset);
        let packed = request(&stats, "GET", &format!("/{path}"), &[("accept-encoding", "gzip")]).await;
        let Body::Binary(packed_bytes) = packed.body() else { panic!("{path}") };
        assert_eq!(header(&packed, "content-encoding"), "gzip");
        assert!(!bytes.is_empty() && packed_bytes.len() < bytes.len(), "{path}");
        let name = path.rsplit('/').next().unwrap();
        let other = request(&stats, "GET", &format!("/assets/0123456789abcdef/{name}"), &[]).await;
        assert_eq!((other.status().as_u16(), header(&other, "cache-control")), (200, "no-store"));
    }
    assert_eq!(request(&stats, "GET", "/assets/0123456789abcdef/nothing.js", &[]).await.status(), 404);
}

#[tokio::test]
async fn the_page_says_why_it_shows_nothing() {
    let clock = Clock::new();
    let place = Place::new("overviewing_notices").await;
    let notice = |response: &Response<Body>| {
        let mut kinds =
            text(response).split("data-kind=\"").skip(1).filter_map(|part| Some(part.split_once('"')?.0.to_owned()));
        kinds.find(|kind| kind != "plain")
    };

    let page = request(&place.stats(), "GET", "/", &[]).await;
    assert_eq!((page.status().as_u16(), notice(&page).as_deref()), (200, Some("empty")));

    store(&place, 0, &[clock.record(1, "secret", &json!({}))]).await;
    let page = request(&place.stats(), "GET", "/", &[]).await;
    assert!(text(&page).contains("secret.test") && notice(&page).is_none(), "{:?}", notice(&page));
    let closed = place.stats_with(&[("WM_STATS_PUBLIC", "false")]);
    for authorization in ["", "Bearer some-token-of-nobody"] {
        let page = request(&closed, "GET", "/", &[("authorization", authorization)]).await;
        assert_eq!((page.status().as_u16(), notice(&page).as_deref()), (200, Some("unauthorized")));
        assert_eq!((header(&page, "content-security-policy"), header(&page, "cache-control")), (POLICY, "no-store"));
        assert!(!text(&page).contains("secret"));
    }
    // Nobody listens there.
    let broken = place.stats_with(&[("WM_DB_CONNECTION_STRING", "postgres://u@127.0.0.1:1/none?connect_timeout=1")]);
    let page = request(&broken, "GET", "/", &[]).await;
    assert_eq!((page.status().as_u16(), notice(&page).as_deref()), (503, Some("error")));
}

#[tokio::test]
async fn the_page_is_below_a_slash_wherever_it_is() {
    let place = Place::new("overviewing_prefix").await;
    let stats = place.stats_with(&[("WM_STATS_PREFIX", "/monitor")]);
    let ask = async |stage: &str, path: &str| {
        let response = through_api(&stats, stage, path).await;
        (response.status().as_u16(), header(&response, "location").to_owned())
    };

    for (stage, path, status, location) in [
        ("$default", "/", 200, ""),
        ("$default", "/monitor/", 200, ""),
        ("$default", "/monitor", 308, "monitor/?window=24h"),
        ("prod", "/prod/", 200, ""),
        ("prod", "/prod", 308, "prod/?window=24h"),
        ("prod", "/prod/monitor", 308, "monitor/?window=24h"),
        ("prod", "/prod/monitor/", 200, ""),
        ("$default", "/monitors", 404, ""),
    ] {
        assert_eq!(ask(stage, path).await, (status, location.to_owned()), "{stage} {path}");
    }
}

#[tokio::test]
async fn a_browser_that_goes_away_leaves_the_local_page_as_it_was() {
    let place = Place::new("showing_leaving").await;
    let functions = place.functions(&[]).await;
    let page = functions.client().page_url(0).unwrap();
    let address = page.trim_start_matches("http://").split('/').next().unwrap();

    for _ in 0..40 {
        let mut browser = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /lambda-url/stats/overview HTTP/1.1\r\nhost: {address}\r\n\r\n");
        browser.write_all(request.as_bytes()).await.unwrap();
    }

    let answer = reqwest::get(format!("{page}health")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(reqwest::get(&page).await.unwrap().text().await.unwrap().contains("Nothing was probed"));
}
