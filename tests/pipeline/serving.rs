//! stats over HTTP: what is sent, when it is sent again, to whom it may be shown, and what is said where there is no answer.

use std::{io::Read as _, sync::OnceLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::read::GzDecoder;
use http::Response;
use lambda_runtime::{Context, LambdaEvent};
use local_stack::workspace;
use serde_json::{Value, json, value::RawValue};
use shared::{Micros, timestamp};
use stats::{Stats, StatsConfig, handle, response::Body};

use crate::support::{Place, batch, event, free_port, lookup, record_at, until};

pub(crate) const URL: &str = "https://a.test/?q=1&r=<\"x\">";
/// The same in a query.
pub(crate) const QUERY: &str = "url=https%3A%2F%2Fa.test%2F%3Fq%3D1%26r%3D%3C%22x%22%3E";

/// Sends a request with headers through a function URL.
pub(crate) async fn request(stats: &Stats, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let headers: serde_json::Map<_, _> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "headers": headers,
        "requestContext": {"http": {"method": method, "path": path}, "stage": "$default"}, "isBase64Encoded": false
    });
    response(&invoke(stats, &event).await)
}

/// Invokes stats with an event; the response as Lambda takes it.
pub(crate) async fn invoke(stats: &Stats, event: &Value) -> Value {
    let event = RawValue::from_string(event.to_string()).unwrap();
    json!(handle(stats, LambdaEvent::new(event, Context::default())).await.unwrap())
}

/// The response that a client gets.
pub(crate) fn response(sent: &Value) -> Response<Body> {
    let body = sent["body"].as_str().unwrap();
    let body = match sent["isBase64Encoded"].as_bool().unwrap() {
        true => Body::Binary(BASE64_STANDARD.decode(body).unwrap()),
        false if body.is_empty() => Body::Empty,
        false => Body::Text(body.to_owned()),
    };
    let response = Response::builder().status(u16::try_from(sent["statusCode"].as_u64().unwrap()).unwrap());
    let headers = sent["headers"].as_object().unwrap().iter();
    headers.fold(response, |response, (name, value)| response.header(name, value.as_str().unwrap())).body(body).unwrap()
}

/// Asks as an API of API Gateway does, by a stage of it.
pub(crate) async fn through_api(stats: &Stats, stage: &str, path: &str) -> Response<Body> {
    let mut event = event("stats-request.json");
    event["rawPath"] = json!(path);
    event["requestContext"]["http"]["path"] = json!(path);
    event["requestContext"]["stage"] = json!(stage);
    response(&invoke(stats, &event).await)
}

/// Asks for JSON, which has to be as the description of the API says.
pub(crate) async fn send(stats: &Stats, method: &str, path: &str) -> (Response<Body>, Value) {
    let response = request(stats, method, path, &[]).await;
    let body: Value = serde_json::from_str(text(&response)).unwrap();
    let schema = match response.headers()["content-type"].to_str().unwrap() {
        "application/problem+json" => "Problem",
        _ if path.starts_with("/health") => "Health",
        _ if path.starts_with("/overview") => "Overview",
        _ if path.starts_with("/failures") => "Failures",
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

pub(crate) fn description() -> &'static Value {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    DESCRIPTION.get_or_init(|| {
        let text = std::fs::read_to_string(workspace().join("functions/stats/src/openapi.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    })
}

pub(crate) fn text(response: &Response<Body>) -> &str {
    match response.body() {
        Body::Text(text) => text,
        Body::Empty => "",
        other => panic!("{other:?}"),
    }
}

pub(crate) fn header<'response>(response: &'response Response<Body>, name: &str) -> &'response str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Three probes of a target within the last hour: 100 ms, 200 ms, and a timeout after a second.
pub(crate) async fn probed(place: &Place) -> Micros {
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
async fn paths_may_have_a_stage_and_a_prefix_before_them() {
    let place = Place::new("serving_prefix").await;
    let stats = place.stats_with(&[("WM_STATS_PREFIX", "/monitor")]);
    let ask = async |stage: &str, path: &str| through_api(&stats, stage, path).await.status().as_u16();

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
    ] {
        assert_eq!(ask(stage, path).await, status, "{stage} {path}");
    }
}

#[tokio::test]
async fn requests_of_each_service_are_answered_in_its_form() {
    let place = Place::new("serving_services").await;
    probed(&place).await;
    let stats = place.stats_with(&[("WM_STATS_PUBLIC", "false"), ("WM_STATS_TOKENS", "for-everything-there-is")]);
    let fixture = |name: &str| -> Value {
        let path = workspace().join("functions/stats/fixtures").join(name);
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };

    // As AWS lets them in; a load balancer lets in nobody.
    for (name, status) in [
        ("function-url.json", 200),
        ("http-api-jwt.json", 200),
        ("http-api-lambda-authorizer.json", 200),
        ("http-api-no-authorizer.json", 401),
        ("http-api-payload-1.json", 401),
        ("rest-api.json", 401),
        ("rest-api-iam.json", 200),
        ("rest-api-authorizer.json", 200),
        ("load-balancer.json", 401),
        ("load-balancer-lists.json", 401),
        ("websocket.json", 400),
        ("vpc-lattice.json", 400),
    ] {
        let sent = invoke(&stats, &fixture(name)).await;
        assert_eq!(sent["statusCode"], status, "{name}: {sent}");
        let has_lists =
            ["rest-api", "http-api-payload-1", "load-balancer-lists"].iter().any(|one| name.starts_with(one));
        assert_eq!(
            (sent["headers"].is_object(), sent["multiValueHeaders"].is_object()),
            (!has_lists, has_lists),
            "{name}"
        );
        assert_eq!(sent["statusDescription"].is_string(), name.starts_with("load-balancer"), "{name}");
    }
    let mut event = fixture("load-balancer.json");
    event["headers"]["authorization"] = json!("Bearer for-everything-there-is");
    event["queryStringParameters"] = json!({QUERY.split_once('=').unwrap().0: QUERY.split_once('=').unwrap().1});
    let sent = invoke(&stats, &event).await;
    assert_eq!((&sent["statusDescription"], &sent["isBase64Encoded"]), (&json!("200 OK"), &json!(true)));
    event["headers"].as_object_mut().unwrap().remove("accept-encoding");
    let body: Value = serde_json::from_str(invoke(&stats, &event).await["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["stats"][0]["url"], URL);
}

#[tokio::test]
async fn any_header_host_and_query_string_is_answered() {
    let place = Place::new("serving_any").await;
    let stats = place.stats();
    let event = event("stats-request.json");
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut event = event.clone();
        change(&mut event);
        event
    };
    for event in [
        changed(&|event| event["headers"]["x-forwarded-proto"] = json!("http, https")),
        changed(&|event| event["headers"]["host"] = json!("<x>")),
        changed(&|event| {
            event["headers"].as_object_mut().unwrap().remove("host");
            event["requestContext"]["domainName"] = json!("<url-id>.lambda-url.us-west-2.on.aws");
        }),
        changed(&|event| event["headers"]["x-forwarded-port"] = json!("443, <y>")),
        changed(&|event| event["headers"] = json!({"accept": "\u{0}", "if-none-match": "é", "": "", "a b": "\n"})),
        changed(&|event| event["rawQueryString"] = json!("url=\"<a b>\"&tag=é&monitor=#")),
    ] {
        assert_eq!(invoke(&stats, &event).await["statusCode"], 200, "{event}");
    }
    let sent = invoke(&stats, &changed(&|event| event["rawQueryString"] = json!("\"<a b>"))).await;
    assert_eq!(sent["statusCode"], 400);
    // A redirect has the query as a URL may have it.
    let mut event = changed(&|event| event["rawQueryString"] = json!("a=\"é <\n>"));
    event["rawPath"] = json!("/prod");
    event["requestContext"]["stage"] = json!("prod");
    let sent = invoke(&stats, &event).await;
    assert_eq!(
        (&sent["statusCode"], &sent["headers"]["location"]),
        (&json!(308), &json!("prod/?a=%22%C3%A9%20%3C%0A%3E"))
    );
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
        assert_eq!(
            body["errors"][0]["detail"], "unknown parameter: this path takes no parameters; remove it",
            "{path}"
        );
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
        "to=10000-01-01T00:00:00Z",
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
        "to=9999-12-31T23:59:59Z",
        "to=2026-11-23t12:00:00.1234567890123z",
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
