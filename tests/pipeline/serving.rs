//! stats over HTTP: every path, every form of the answer, who gets it, and what is said where there is none.

use std::{io::Read as _, sync::OnceLock};

use flate2::read::GzDecoder;
use lambda_http::{Body, Request, Response, http};
use local_stack::workspace;
use serde_json::{Value, json};
use shared::{Micros, timestamp};
use stats::{Stats, StatsConfig, handle};

use crate::support::{Place, batch, event, free_port, lookup, record_at, until};

const URL: &str = "https://a.test/?q=1&r=<\"x\">";
/// The same in a query.
const QUERY: &str = "url=https%3A%2F%2Fa.test%2F%3Fq%3D1%26r%3D%3C%22x%22%3E";

/// Asks, with headers.
pub(crate) async fn request(stats: &Stats, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let request = http::Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request: Request = request.body(Body::Empty).unwrap();
    handle(stats, request).await.unwrap()
}

/// Asks for JSON, which has to be as the description of the API says.
pub(crate) async fn send(stats: &Stats, method: &str, path: &str) -> (Response<Body>, Value) {
    let response = request(stats, method, path, &[]).await;
    let body: Value = serde_json::from_str(text(&response)).unwrap();
    let schema = match response.headers()["content-type"].to_str().unwrap() {
        "application/problem+json" => "Problem",
        _ if path.starts_with("/health") => "Health",
        _ => "Stats",
    };
    let described =
        json!({"$ref": format!("#/components/schemas/{schema}"), "components": description()["components"]});
    let validator = jsonschema::draft202012::new(&described).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}: {body:#}");
    (response, body)
}

fn description() -> &'static Value {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    DESCRIPTION.get_or_init(|| {
        let text = std::fs::read_to_string(workspace().join("functions/stats/src/openapi.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    })
}

fn text(response: &Response<Body>) -> &str {
    match response.body() {
        Body::Text(text) => text,
        Body::Empty => "",
        other => panic!("{other:?}"),
    }
}

fn header<'response>(response: &'response Response<Body>, name: &str) -> &'response str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Three probes of a target within the last hour: 100 ms, 200 ms, and a timeout after a second.
async fn probed(place: &Place) -> Micros {
    let first = Micros(Micros::from(timestamp::now()).0 - 600_000_000);
    let record = |minute: i64, more: Value| {
        let mut record = record_at(URL, Micros(first.0 + minute * 60_000_000));
        let always = json!({"interval_ms": 60_000, "location": "eu", "monitor": "shop \"1\"\\", "tags": ["public"]});
        for more in [always, more] {
            record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        }
        record
    };
    let timeout = json!({
        "http_status_code": null, "response_time_ms": 1_000, "error": {"kind": "timeout", "message": "x"}
    });
    let records =
        [record(0, json!({"response_time_ms": 100})), record(1, json!({"response_time_ms": 200})), record(2, timeout)];
    flush::run(&place.flush(), batch(0, &records)).await.unwrap();
    first
}

#[tokio::test]
async fn an_answer_is_sent_again_only_when_it_is_another_one() {
    let place = Place::new("serving_tags").await;
    let first = probed(&place).await;
    let stats = place.stats();
    let get = async |path: &str, headers: &[(&str, &str)]| request(&stats, "GET", path, headers).await;
    // What ended before is the same at any time.
    let ended = format!("/stats?from={}&to={}", first.timestamp(), Micros(first.0 + 121_000_000).timestamp());

    let one = get(&ended, &[]).await;
    assert_eq!((one.status().as_u16(), header(&one, "cache-control")), (200, "public, max-age=10"));
    // The tests beside this one change the state that their server is in, and with it the tag.
    until("nothing changes for a moment", async || {
        let tag = header(&get(&ended, &[]).await, "etag").to_owned();
        let mut is_same = true;
        for known in [&tag, &format!("\"x\", W/{tag}"), "*"] {
            let same = get(&ended, &[("if-none-match", known)]).await;
            assert_eq!(header(&same, "cache-control"), "public, max-age=10");
            assert_eq!(text(&same), if same.status() == 304 { "" } else { text(&one) });
            is_same &= same.status() == 304 && header(&same, "etag") == tag;
        }
        is_same
    })
    .await;

    // Another question, form or coding has another one.
    let mut tags = vec![header(&one, "etag").to_owned()];
    for (path, headers) in [
        ("/stats?window=7d", vec![]),
        (ended.as_str(), vec![("accept", "text/csv")]),
        (ended.as_str(), vec![("accept-encoding", "gzip")]),
        ("/metrics?window=24h", vec![]),
    ] {
        tags.push(header(&get(path, &headers).await, "etag").to_owned());
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 5);

    // And so has what comes later.
    let tag = header(&get(&ended, &[]).await, "etag").to_owned();
    let record = record_at(URL, Micros(first.0 + 120_500_000));
    flush::run(&place.flush(), batch(10, &[record])).await.unwrap();
    let other = get(&ended, &[("if-none-match", &tag)]).await;
    assert_eq!(other.status(), 200);
    assert_ne!((header(&other, "etag"), text(&other)), (tag.as_str(), text(&one)));
}

#[tokio::test]
async fn the_same_question_again_reads_no_table() {
    let place = Place::new("serving_scans").await;
    let first = probed(&place).await;
    let path = format!("/stats?to={}", Micros(first.0 + 121_000_000).timestamp());
    // What a connection has scanned is known for certain once it has ended.
    let scans = async |times: usize| -> i64 {
        let before = scans(&place).await;
        let stats = place.stats();
        for _ in 0..times {
            assert_eq!(request(&stats, "GET", &path, &[]).await.status(), 200);
        }
        drop(stats);
        let others =
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
        until("the connection ends", async || place.count(others).await == 0).await;
        self::scans(&place).await - before
    };
    // The first may plan with tables that no other one looked at.
    scans(1).await;
    let once = scans(1).await;

    assert!(once > 0);
    // Unless the tests beside this one change the state that their server is in.
    until("nothing changes for a moment", async || scans(5).await == once).await;
}

/// How often the tables were looked at.
async fn scans(place: &Place) -> i64 {
    place.count("select sum(seq_scan + coalesce(idx_scan, 0))::bigint from pg_stat_user_tables").await
}

#[tokio::test]
async fn what_is_long_is_compressed_for_whoever_takes_that() {
    let place = Place::new("serving_gzip").await;
    probed(&place).await;
    let stats = place.stats();
    let path = format!("/stats?to={}", timestamp::now());

    let plain = request(&stats, "GET", &path, &[]).await;
    // Made, then perhaps from the cache.
    for _ in 0..2 {
        let response = request(&stats, "GET", &path, &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(header(&response, "content-encoding"), "gzip");
        assert!(header(&response, "vary").contains("Accept-Encoding"));
        let Body::Binary(bytes) = response.body() else { panic!("{:?}", response.body()) };
        let mut unpacked = String::new();
        GzDecoder::new(bytes.as_slice()).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, text(&plain));
        let tag = header(&response, "etag");
        assert!(tag.ends_with("-gzip\""));
    }
    until("the client is known to have it", async || {
        let response = request(&stats, "GET", &path, &[("accept-encoding", "gzip")]).await;
        let tag = header(&response, "etag");
        let same = request(&stats, "GET", &path, &[("accept-encoding", "gzip"), ("if-none-match", tag)]).await;
        same.status() == 304 && header(&same, "content-encoding").is_empty()
    })
    .await;
    // A badge is short.
    let path = format!("/badge.svg?{QUERY}");
    let badge = request(&stats, "GET", &path, &[("accept-encoding", "gzip")]).await;
    assert_eq!((header(&badge, "content-encoding"), badge.status().as_u16()), ("", 200));
}

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
        format!(r#"website_monitor_response_seconds{of},quantile="0.5"}} 0.15"#),
        format!(r#"website_monitor_response_seconds{of},quantile="0.999"}} 0.1999"#),
        format!(r#"website_monitor_response_with_timeouts_seconds{of},quantile="0.5"}} 0.2"#),
        format!(r#"website_monitor_response_at_least_seconds{of},quantile="0.999"}} 0.9984"#),
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
async fn tokens_are_for_what_their_tags_say() {
    let place = Place::new("serving_tokens").await;
    probed(&place).await;
    let mut other = record_at("https://private.test", timestamp::now().into());
    other
        .as_object_mut()
        .unwrap()
        .extend(json!({"interval_ms": 60_000, "tags": ["private"]}).as_object().unwrap().clone());
    flush::run(&place.flush(), batch(10, &[other])).await.unwrap();
    let tokens = "for-everything-there-is for-what-is-public:public,shop";
    let stats = place.stats_with(&[("WM_STATS_PUBLIC", "false"), ("WM_STATS_TOKENS", tokens)]);
    let urls = async |path: &str, token: &str| -> Vec<String> {
        let authorization = format!("Bearer {token}");
        let response = request(&stats, "GET", path, &[("authorization", &authorization)]).await;
        assert_eq!((response.status().as_u16(), header(&response, "cache-control")), (200, "private, max-age=10"));
        let body: Value = serde_json::from_str(text(&response)).unwrap();
        body["stats"].as_array().unwrap().iter().map(|entry| entry["url"].as_str().unwrap().to_owned()).collect()
    };

    assert_eq!(urls("/stats", "for-everything-there-is").await, [URL, "https://private.test"]);
    assert_eq!(urls("/stats", "for-what-is-public").await, [URL]);
    // What it is not for is not there, by whatever name.
    for query in ["url=https://private.test", "tag=private", "sort=-probes&limit=5&tag=private", "limit=5&tag=private"]
    {
        assert!(urls(&format!("/stats?{query}"), "for-what-is-public").await.is_empty(), "{query}");
    }
    let metrics = request(&stats, "GET", "/metrics", &[("authorization", "Bearer for-what-is-public")]).await;
    assert!(!text(&metrics).contains("private.test") && text(&metrics).contains("a.test"));

    for (path, headers, challenge) in [
        ("/stats", vec![], "Bearer"),
        ("/metrics", vec![("authorization", "Bearer wrong")], "Bearer error=\"invalid_token\""),
        ("/badge.svg?url=x", vec![("authorization", "Basic Zm9vOmJhcg==")], "Bearer"),
        ("/health", vec![], "Bearer"),
    ] {
        let response = request(&stats, "GET", path, &headers).await;
        assert_eq!((response.status().as_u16(), header(&response, "www-authenticate")), (401, challenge), "{path}");
    }
    // The description is no secret, and neither is what may be asked.
    assert_eq!(request(&stats, "GET", "/openapi.json", &[]).await.status(), 200);
    assert_eq!(request(&stats, "OPTIONS", "/stats", &[]).await.status(), 204);
}

#[tokio::test]
async fn what_aws_lets_in_may_ask_about_everything() {
    let place = Place::new("serving_iam").await;
    probed(&place).await;
    let stats = place.stats_with(&[("WM_STATS_PUBLIC", "false")]);
    let ask = async |change: &dyn Fn(&mut Value)| {
        let mut event = event("stats-request.json");
        change(&mut event);
        handle(&stats, lambda_http::request::from_str(&event.to_string()).unwrap()).await.unwrap()
    };

    let response = ask(&|_| {}).await;
    assert_eq!((response.status().as_u16(), text(&response).contains("a.test")), (200, true));
    let jwt = |event: &mut Value| {
        event["requestContext"]["authorizer"] = json!({"jwt": {"claims": {"sub": "x"}, "scopes": null}});
    };
    assert_eq!(ask(&jwt).await.status(), 200);
    // Nobody let it in: the function URL was opened, and nothing else said.
    let nobody = |event: &mut Value| drop(event["requestContext"].as_object_mut().unwrap().remove("authorizer"));
    assert_eq!(ask(&nobody).await.status(), 401);
    let nobody = |event: &mut Value| event["requestContext"]["authorizer"] = json!({});
    assert_eq!(ask(&nobody).await.status(), 401);
}

#[tokio::test]
async fn paths_may_have_a_stage_and_a_prefix_before_them() {
    let place = Place::new("serving_prefix").await;
    let stats = place.stats_with(&[("WM_STATS_PREFIX", "/monitor")]);
    let ask = async |stage: &str, path: &str| {
        let mut event = event("stats-request.json");
        event["rawPath"] = json!(path);
        event["requestContext"]["http"]["path"] = json!(path);
        event["requestContext"]["stage"] = json!(stage);
        handle(&stats, lambda_http::request::from_str(&event.to_string()).unwrap()).await.unwrap().status().as_u16()
    };

    for (stage, path, status) in [
        ("$default", "/stats", 200),
        ("$default", "/stats/", 200),
        ("$default", "/monitor/stats", 200),
        ("prod", "/prod/stats", 200),
        ("prod", "/prod/monitor/stats", 200),
        ("stats", "/stats/stats", 200),
        ("$default", "/prod/stats", 404),
        ("$default", "/monitorstats", 404),
        ("$default", "/monitor/monitor/stats", 404),
        ("$default", "/", 404),
    ] {
        assert_eq!(ask(stage, path).await, status, "{stage} {path}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_read_if_they_are_named() {
    let place = Place::new("serving_cors").await;
    let allowed = async |origins: &str, origin: &str| {
        let stats = place.stats_with(&[("WM_STATS_CORS_ORIGINS", origins)]);
        let response = request(&stats, "GET", "/stats", &[("origin", origin)]).await;
        header(&response, "access-control-allow-origin").to_owned()
    };

    assert_eq!(allowed("", "https://a.test").await, "");
    assert_eq!(allowed("*", "https://a.test").await, "*");
    assert_eq!(allowed("https://a.test,https://b.test", "https://b.test").await, "https://b.test");
    assert_eq!(allowed("https://a.test", "https://a.test.evil").await, "");
    // A cache may keep what is sent without an origin for a page that has one.
    for (origins, expected, varies) in [("*", "*", false), ("https://a.test", "", true), ("", "", false)] {
        let stats = place.stats_with(&[("WM_STATS_CORS_ORIGINS", origins)]);
        for path in ["/stats", "/openapi.json"] {
            let response = request(&stats, "GET", path, &[]).await;
            assert_eq!(header(&response, "access-control-allow-origin"), expected);
            // Of several of one name, Lambda sends one.
            assert!(response.headers().get_all("vary").iter().count() <= 1);
            assert_eq!(header(&response, "vary").contains("Origin"), varies, "{origins} {path}");
        }
    }

    let stats = place.stats_with(&[("WM_STATS_CORS_ORIGINS", "https://a.test")]);
    let asked = [("origin", "https://a.test"), ("access-control-request-method", "GET")];
    let response = request(&stats, "OPTIONS", "/metrics", &asked).await;
    assert_eq!((response.status().as_u16(), header(&response, "allow")), (204, "GET, HEAD, OPTIONS"));
    assert_eq!(header(&response, "access-control-allow-methods"), "GET, HEAD, OPTIONS");
    assert_eq!(header(&response, "access-control-allow-headers"), "authorization, if-none-match");
    // A page can read why it is refused, too.
    let response = request(&stats, "GET", "/stats?window=x", &asked).await;
    assert_eq!((response.status().as_u16(), header(&response, "access-control-allow-origin")), (400, "https://a.test"));
}

#[tokio::test]
async fn a_user_with_the_readers_role_reads_what_stats_needs_and_nothing_else() {
    let place = Place::new("serving_role").await;
    probed(&place).await;
    let admin = place.client().await;
    let user = "create role serving_role_user login password 'pw' in role website_monitor_reader";
    admin.batch_execute(user).await.unwrap();
    let (start, end) = place.connection_string.split_once("//").unwrap();
    let (_, host) = end.split_once('@').unwrap();
    let connection_string = format!("{start}//serving_role_user:pw@{host}");
    let stats = place.stats_with(&[("WM_DB_CONNECTION_STRING", &connection_string)]);

    for path in [
        "/stats?by=location,phase",
        "/stats?tag=public&bucket=1m&quorum=all",
        "/stats?by=status&compare=previous&window=1h",
        "/health",
    ] {
        let (response, body) = send(&stats, "GET", path).await;
        assert_eq!(response.status(), 200, "{body}");
    }
    let (client, connection) = tokio_postgres::connect(&connection_string, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for (statement, what) in [
        ("insert into targets (url) values ('x')", "targets"),
        ("update chunks set probes = 0", "chunks"),
        ("delete from probes", "probes"),
        ("select * from rejects", "rejects"),
        ("create schema mine", "database serving_role"),
    ] {
        let error = client.batch_execute(statement).await.unwrap_err();
        assert!(
            shared::database::causes(&error).contains(&format!(
                "permission denied for {}",
                if what.contains(' ') { what.to_owned() } else { format!("table {what}") }
            )),
            "{error:?}"
        );
    }
    drop(client);
    drop(stats);
    admin.batch_execute("drop role serving_role_user").await.unwrap();
}

#[tokio::test]
async fn a_question_that_takes_the_database_too_long_is_ended_and_says_so() {
    let place = Place::new("serving_timeout").await;
    probed(&place).await;
    let stats = place.stats_with(&[("WM_STATS_QUERY_TIMEOUT", "1s")]);
    let blocker = place.client().await;
    blocker.batch_execute("begin; lock table targets in access exclusive mode").await.unwrap();

    let (response, body) = send(&stats, "GET", "/stats").await;

    assert_eq!(response.status().as_u16(), 503);
    assert!(body["detail"].as_str().unwrap().contains("longer than 1s"), "{body}");
    blocker.batch_execute("rollback").await.unwrap();
    assert_eq!(send(&stats, "GET", "/stats").await.0.status(), 200);
}

#[tokio::test]
async fn what_cannot_be_answered_is_a_problem_that_says_why() {
    let place = Place::new("serving_problems").await;
    let stats = place.stats();

    let (response, body) = send(&stats, "GET", "/stats?window=soon&color=red").await;
    assert_eq!((response.status().as_u16(), body["status"].as_u64()), (400, Some(400)));
    assert_eq!((&body["errors"][0]["parameter"], &body["errors"][1]["parameter"]), (&json!("window"), &json!("color")));

    for path in ["/health?window=1h", "/openapi.json?x=1"] {
        let (response, body) = send(&stats, "GET", path).await;
        assert_eq!((response.status().as_u16(), body["errors"].as_array().unwrap().len()), (400, 1), "{path}");
    }
    let (response, body) = send(&stats, "GET", "/status").await;
    assert_eq!((response.status().as_u16(), body["title"].as_str()), (404, Some("Not Found")));

    let (response, _) = send(&stats, "POST", "/stats").await;
    assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, "GET, HEAD, OPTIONS"));
    let head = request(&stats, "HEAD", "/stats", &[]).await;
    assert_eq!((head.status().as_u16(), text(&head), header(&head, "etag").len()), (200, "", 18));
}

#[tokio::test]
async fn hostile_parameters_are_refused_or_harmless() {
    let place = Place::new("serving_hostile").await;
    probed(&place).await;
    let stats = place.stats();
    let long = "9".repeat(5_000);
    let many = "&url=x".repeat(1_001);
    let bad = [
        "window=-1h",
        "window=NaN",
        "window=99999999999999999999h",
        "window=1h%00",
        "window=%D9%A1h",
        "window=1h&window=1h",
        "limit=0",
        "limit=-1",
        "limit=1e3",
        "limit=1001",
        "limit=18446744073709551616",
        "limit=%2B1",
        "percentiles=NaN",
        "percentiles=inf",
        "percentiles=-1",
        "percentiles=1e1",
        "from=0000-01-01T00:00:00Z",
        "from=99999-01-01T00:00:00Z",
        "to=9999-12-31T23:59:59.999999Z",
        "from=2026-02-30T00:00:00Z",
        "bucket=1s",
        "by=",
        "by=location,",
        "by=location,location",
        "quorum=2",
        "quorum=-1",
        "compare=previous",
        "compare=previous&from=0001-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "percentiles=50,50.0",
        "compare=",
        "sort=",
        "sort=--url",
        "sort=url;drop",
        "url=",
        "url=%00",
        "tag=",
        "cursor=",
        "cursor=%ff",
        "metric=p95",
        "=",
        "%00=1",
        "url[]=x",
        &format!("limit={long}"),
        &format!("percentiles={long}"),
        &many[1..],
        "from=2026-01-01T00:00:00Z&from=2026-01-01T00:00:00Z",
    ];
    for query in bad {
        let (response, body) = send(&stats, "GET", &format!("/stats?{query}")).await;
        assert_eq!(response.status().as_u16(), 400, "{query}: {body}");
        assert!(!body["errors"].as_array().unwrap().is_empty());
    }
    // What is only a name is only looked for.
    for query in [
        "url='; drop table targets; --",
        "url=%27%20or%20%271%27=%271",
        "monitor=$1",
        "tag=%7B%22a%22%7D",
        "tag={a,b}",
        "url=%F0%9F%A6%80",
        "url=%ff%fe",
        &format!("url={long}"),
        "tag=%25&monitor=_",
        "window=36500d",
        "from=0001-01-01T00:00:00Z",
        "to=9999-12-30T22:00:00Z",
    ] {
        let path = format!("/stats?{}", query.replace(' ', "%20").replace(['{', '}'], "").replace('"', ""));
        let (response, body) = send(&stats, "GET", &path).await;
        assert_eq!(response.status().as_u16(), 200, "{query}: {body}");
    }
    assert_eq!(place.count("select count(*) from targets").await, 1);
}

#[tokio::test]
async fn an_unreachable_database_is_a_503_that_says_no_more_than_it_should() {
    let secret = format!("postgres://someone:hunter2@127.0.0.1:{}/internal_name", free_port());
    let variables = lookup(vec![("WM_DB_CONNECTION_STRING", secret), ("WM_STATS_PUBLIC", "true".to_owned())]);
    let stats = Stats::new(StatsConfig::from_env(&variables).unwrap());

    let (response, body) = send(&stats, "GET", "/stats").await;

    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, "5"));
    let text = body.to_string();
    assert!(["hunter2", "someone", "127.0.0.1", "internal_name"].iter().all(|word| !text.contains(word)), "{text}");
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
