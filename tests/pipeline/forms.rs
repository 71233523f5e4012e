//! The answer in other forms than JSON, health, and the description of it all.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use shared::{Micros, timestamp};
use stats::{Stats, StatsConfig};

use crate::{
    serving::{QUERY, URL, description, header, probed, request, send, text},
    support::{Place, batch, free_port, lookup, record_at},
};

#[tokio::test]
async fn the_answer_is_a_table_for_whoever_takes_csv() {
    let place = Place::new("serving_csv").await;
    let first = probed(&place).await;
    let path = format!("/stats?from={}&by=location&percentiles=75&limit=1", first.timestamp());
    let other = record_at("https://b.test", timestamp::now().into());
    flush::run(&place.flush(), batch(10, &[other])).await.unwrap();

    let response = request(&place.stats(), "GET", &path, &[("accept", "text/csv")]).await;

    assert_eq!(header(&response, "content-type"), "text/csv; charset=utf-8; header=present");
    let mut lines = csv_lines(text(&response));
    let head = lines.remove(0);
    let column = |name: &str| head.iter().position(|column| column == name).unwrap();
    assert_eq!(&head[..3], ["url", "monitor", "location"]);
    assert_eq!(lines.len(), 2);
    for (line, location) in lines.iter().zip(["", "eu"]) {
        let cell = |name: &str| line[column(name)].as_str();
        assert_eq!((cell("url"), cell("monitor"), cell("location")), (URL, "shop \"1\"\\", location));
        assert_eq!((cell("probes"), cell("p50_ms"), cell("down"), cell("exact")), ("3", "150.0", "1", "true"));
        assert_eq!((cell("uptime.by_probes"), cell("coverage.observed"), cell("bucket")), ("0.666666", "3", ""));
        assert_eq!((cell("errors.timeout"), cell("errors.dns"), cell("statuses.2xx")), ("1", "", "2"));
        let percentile =
            (cell("percentile.75.ms"), cell("percentile.75.with_timeouts_ms"), cell("percentile.75.at_least_ms"));
        assert_eq!((percentile, cell("tags")), (("175.0", "", "600.0"), "public"));
    }
    // The next page is told as well.
    let link = header(&response, "link").strip_prefix("<").unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    let next = request(&place.stats(), "GET", &format!("/stats{link}"), &[("accept", "text/csv")]).await;
    assert!(text(&next).contains("https://b.test") && !text(&next).contains("a.test"), "{link}");
    let path = "/stats?window=1h&compare=previous";
    let compared = request(&place.stats(), "GET", path, &[("accept", "text/csv")]).await;
    assert!(text(&compared).lines().next().unwrap().contains(",previous.p95_ms,"));
}

/// The cells of a table whose cells have no line ends.
fn csv_lines(text: &str) -> Vec<Vec<String>> {
    let line = |line: &str| {
        let (mut cells, mut is_quoted, mut cell) = (Vec::new(), false, String::new());
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '"' if is_quoted && letters.next_if_eq(&'"').is_some() => cell.push('"'),
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => cells.push(std::mem::take(&mut cell)),
                letter => cell.push(letter),
            }
        }
        cells.push(cell);
        cells
    };
    assert!(text.ends_with("\r\n"));
    text.trim_end().split("\r\n").map(line).collect()
}

#[tokio::test]
async fn the_answer_is_metrics_for_prometheus() {
    let place = Place::new("serving_metrics").await;
    probed(&place).await;
    let stats = place.stats();
    let of = r#"{url="https://a.test/?q=1&r=<\"x\">",monitor="shop \"1\"\\",window="1h""#;

    let response = request(&stats, "GET", "/metrics?percentiles=50,99.9", &[]).await;
    assert_eq!(header(&response, "content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let body = text(&response);
    for line in [
        "# TYPE website_monitor_probes gauge".to_owned(),
        format!("website_monitor_probes{of}}} 3"),
        format!(r#"website_monitor_slots{of},outcome="up"}} 2"#),
        format!(r#"website_monitor_slots{of},outcome="missed"}} 0"#),
        format!(r#"website_monitor_errors{of},kind="timeout"}} 1"#),
        format!(r#"website_monitor_responses{of},class="2xx"}} 2"#),
        format!(r#"website_monitor_response_seconds{of},percentile="50"}} 0.15"#),
        format!(r#"website_monitor_response_seconds{of},percentile="99.9"}} 0.1999"#),
        format!(r#"website_monitor_response_with_timeouts_seconds{of},percentile="50"}} 0.2"#),
        format!(r#"website_monitor_response_at_least_seconds{of},percentile="99.9"}} 0.9984"#),
        format!(r#"website_monitor_uptime_ratio{of},by="probes"}} 0.666666"#),
    ] {
        assert!(body.lines().any(|found| found == line), "{line}\n{body}");
    }
    // Every line has the form that Prometheus reads, and no sample is there twice.
    let mut samples: Vec<_> =
        body.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap()).collect();
    assert!(samples.iter().all(|(_, value)| value.parse::<f64>().is_ok()));
    samples.sort_unstable();
    let count = samples.len();
    samples.dedup_by_key(|(sample, _)| *sample);
    assert_eq!(samples.len(), count);

    let response = request(
        &stats,
        "GET",
        "/metrics",
        &[("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")],
    )
    .await;
    assert!(header(&response, "content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(text(&response).ends_with("\n# EOF\n"));
}

#[tokio::test]
async fn promtool_accepts_metrics_with_every_option() {
    let has_promtool = Command::new("promtool").arg("--version").output().is_ok();
    if !has_promtool && std::env::var_os("WEBSITE_MONITOR_TEST_ALL").is_none() {
        eprintln!("not checked: promtool is missing; install it, such as by apt-get install prometheus");
        return;
    }
    let place = Place::new("forms_promtool").await;
    let first = probed(&place).await;
    let other = |more: Value| {
        let mut record = record_at("https://b.test/\n\"\\{}\u{1f980}", Micros(first.0 + 60_000_000));
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let records = [
        other(json!({"location": "us", "interval_ms": 60_000, "http_status_code": 503, "outcome": "down"})),
        other(json!({"location": "eu", "outcome": "degraded", "phases": {"dns": 1}})),
        other(
            json!({"monitor": "m", "http_status_code": null, "response_time_ms": null, "outcome": "missed", "reason": "late"}),
        ),
    ];
    flush::run(&place.flush(), batch(10, &records)).await.unwrap();
    let stats = place.stats();

    let windows = ["", "window=1h", "window=30d", "window=all"];
    let percentiles = ["", "percentiles=50", "percentiles=0.000001,50,99.9,99.999999"];
    let quorums = ["", "quorum=1", "quorum=majority", "quorum=all"];
    let targets = ["", QUERY, "monitor=m", "tag=public", "url=https://nothing.test"];
    let queries = windows.iter().flat_map(|window| percentiles.map(|percentiles| [*window, percentiles]));
    let queries = queries.flat_map(|[window, percentiles]| quorums.map(|quorum| [window, percentiles, quorum]));
    for (parts, target) in queries.zip(targets.iter().cycle()) {
        let query =
            [&parts[..], &[*target]].concat().into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("&");
        for accept in ["text/plain", "application/openmetrics-text"] {
            let response = request(&stats, "GET", &format!("/metrics?{query}"), &[("accept", accept)]).await;
            assert_eq!(response.status(), 200, "{query}: {}", text(&response));
            let mut promtool = Command::new("promtool");
            promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut promtool = promtool.spawn().unwrap();
            promtool.stdin.take().unwrap().write_all(text(&response).as_bytes()).unwrap();
            let output = promtool.wait_with_output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            assert!(output.status.success() && said.is_empty(), "{query}: {}", String::from_utf8_lossy(&said));
        }
    }
}

#[tokio::test]
async fn a_badge_shows_one_figure_of_one_target() {
    let place = Place::new("serving_badge").await;
    let first = probed(&place).await;
    let stats = place.stats();
    let badge = async |query: &str| {
        let response = request(&stats, "GET", &format!("/badge.svg?{query}"), &[]).await;
        assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, "image/svg+xml"), "{query}");
        let text = text(&response).to_owned();
        let title = text.split("<title>").nth(1).unwrap().split("</title>").next().unwrap().to_owned();
        assert!(text.starts_with("<svg xmlns=") && !text.contains("href"), "{text}");
        title
    };

    assert_eq!(badge(QUERY).await, "uptime 30d: 66.66 %");
    assert_eq!(badge(&format!("{QUERY}&metric=p50&window=1h")).await, "p50 1h: 200 ms (few probes)");
    assert_eq!(badge(&format!("{QUERY}&metric=p99")).await, "p99 30d: ≥ 984 ms");
    assert_eq!(badge("url=https://other.test&metric=p95").await, "p95 30d: no data");

    let (_, body) = send(&stats, "GET", "/badge.svg").await;
    assert_eq!(body["errors"][0]["parameter"], "url");
    let record = record_at(URL, first);
    flush::run(&place.flush(), batch(10, &[record])).await.unwrap();
    let (response, body) = send(&stats, "GET", &format!("/badge.svg?{QUERY}")).await;
    assert_eq!((response.status().as_u16(), &body["errors"][0]["parameter"]), (400, &json!("monitor")));
    assert_eq!(badge("monitor=shop+%221%22%5C").await, "uptime 30d: 66.66 %");
}

#[tokio::test]
async fn health_says_how_far_the_answers_are_behind() {
    let place = Place::new("serving_health").await;
    let (response, body) = send(&place.stats(), "GET", "/health").await;
    assert_eq!((response.status().as_u16(), header(&response, "cache-control")), (200, "no-store"));
    assert_eq!(body, json!({"status": "ok", "last_probe_at": null, "lag_seconds": null}));

    let first = probed(&place).await;
    // One of the future, by a clock that is wrong, says nothing about now.
    let future = record_at(URL, Micros(first.0 + 86_400_000_000));
    flush::run(&place.flush(), batch(10, &[future])).await.unwrap();
    let (_, body) = send(&place.stats(), "GET", "/health").await;
    let last = Micros(first.0 + 120_000_000).timestamp();
    assert_eq!((&body["status"], &body["last_probe_at"]), (&json!("ok"), &json!(timestamp::format(last))));
    let lag = body["lag_seconds"].as_i64().unwrap();
    assert!((480..600).contains(&lag), "{lag}");

    let variables = vec![
        ("WM_DB_CONNECTION_STRING", format!("postgres://someone:hunter2@127.0.0.1:{}/x", free_port())),
        ("WM_STATS_PUBLIC", "true".to_owned()),
    ];
    let stats = Stats::new(StatsConfig::from_env(&lookup(variables)).unwrap());
    let (response, body) = send(&stats, "GET", "/health").await;
    assert_eq!((response.status().as_u16(), &body["status"]), (503, &json!("unavailable")));
}

#[tokio::test]
async fn the_description_has_every_path_and_parameter() {
    let place = Place::new("serving_description").await;
    let response = request(&place.stats(), "GET", "/openapi.json", &[]).await;

    let served: Value = serde_json::from_str(text(&response)).unwrap();
    assert_eq!(&served, description());
    assert_eq!(served["info"]["version"], env!("CARGO_PKG_VERSION"));
    let names = |path: &str| -> Vec<String> {
        let parameters = served["paths"][path]["get"]["parameters"].as_array().unwrap();
        let name = |parameter: &Value| match parameter["$ref"].as_str() {
            Some(reference) => {
                served.pointer(reference.trim_start_matches('#')).unwrap()["name"].as_str().unwrap().to_owned()
            }
            None => parameter["name"].as_str().unwrap().to_owned(),
        };
        parameters.iter().map(name).filter(|name| name != "If-None-Match").collect()
    };
    for (path, allowed) in [
        ("/stats", stats::query::StatsQuery::STATS),
        ("/metrics", stats::query::StatsQuery::METRICS),
        ("/badge.svg", stats::query::StatsQuery::BADGE),
    ] {
        assert_eq!(names(path), allowed, "{path}");
    }
}
