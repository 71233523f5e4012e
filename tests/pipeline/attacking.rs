//! What somebody may try who controls a website, a record, or a question: none of it leads where it should not.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use flush::run;
use local_stack::{kafka::secured::USER, website::Website};
use serde_json::{Value, json};
use shared::{record::FailureKind, timestamp};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    requesting::{ENOUGH, kind, requester_with},
    securing::secured,
    serving::{request, text},
    support::{Place, batch, directory, record_at},
};

/// Answers every request with `head`; the port, and how many connections there were.
async fn answering(head: String) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (port, connections) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            counted.fetch_add(1, Relaxed);
            let head = head.clone();
            tokio::spawn(async move {
                let _ = connection.read(&mut [0; 4_096]).await;
                // Who does not want to hear more goes away.
                let _ = connection.write_all(head.as_bytes()).await;
            });
        }
    });
    (port, connections)
}

/// However loopback and metadata may be written.
const LOOPBACK: [&str; 9] =
    ["127.0.0.1", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "127.0.0.1.", "0", "①②⑦.0.0.1", "[::ffff:127.0.0.1]"];
const METADATA: [&str; 11] = [
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.254.169.254.",
    "１６９.２５４.１６９.２５４",
    "%31%36%39.254.169.254",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[fd00:ec2::254]",
];

#[tokio::test]
async fn an_address_is_judged_however_it_is_written() {
    let website = Website::start(0).await.unwrap();
    let port = website.url("").rsplit_once(':').unwrap().1.to_owned();
    let (guarded, permitted) = (requester_with(&[("WM_ALLOW_PRIVATE_TARGETS", "false")]), requester_with(&[]));
    for host in LOOPBACK {
        let record = guarded.request(&format!("http://{host}:{port}/fast"), None, ENOUGH).await;
        assert_eq!(kind(&record), Some(FailureKind::Blocked), "{host}: {record:?}");
    }
    for host in METADATA {
        for prober in [&guarded, &permitted] {
            let record = prober.request(&format!("http://{host}/"), None, ENOUGH).await;
            assert_eq!(kind(&record), Some(FailureKind::Blocked), "{host}: {record:?}");
        }
        // Spellings that only lenient parsers take for the same URL are refused before.
        for url in [format!("http://@{host}/"), format!("http:\\\\{host}/")] {
            assert!(probe::config::check_url(&url).is_err(), "{url}");
        }
    }
    assert_eq!(website.connections(), 0);
}

#[tokio::test]
async fn a_redirect_leads_nowhere_that_a_url_may_not() {
    let prober = requester_with(&[]);
    for (location, expected) in [
        ("//2852039166/", FailureKind::Blocked),
        ("http:\\\\0xa9fea9fe/", FailureKind::Blocked),
        ("//[::ffff:a9fe:a9fe]/latest/", FailureKind::Blocked),
        ("http://me:hunter2@169.254.169.254/", FailureKind::Redirect),
        ("file:///etc/passwd", FailureKind::Redirect),
        ("gopher://127.0.0.1/", FailureKind::Redirect),
    ] {
        let (port, _) =
            answering(format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")).await;
        let record = prober.request(&format!("http://127.0.0.1:{port}/"), None, ENOUGH).await;
        assert_eq!(kind(&record), Some(expected), "{location}: {record:?}");
        assert!(!format!("{record:?}").contains("hunter2"), "{record:?}");
    }
}

#[tokio::test]
async fn heads_without_end_are_failures_of_the_protocol() {
    let prober = requester_with(&[]);
    for more in [format!("x: {}\r\n", "x".repeat(1 << 20)), "x: y\r\n".repeat(10_000)] {
        let (port, _) = answering(format!("HTTP/1.1 200 OK\r\n{more}content-length: 0\r\n\r\n")).await;
        let record = prober.request(&format!("http://127.0.0.1:{port}/"), None, ENOUGH).await;
        assert_eq!(kind(&record), Some(FailureKind::Protocol), "{record:?}");
    }
}

#[tokio::test]
async fn no_proxy_of_the_environment_is_used() {
    let place = Place::new("attacking_proxy").await;
    let website = Website::start(0).await.unwrap();
    let (port, asked) = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let mut variables = place.variables();
    variables.push(("WM_URL", website.url("/fast")));
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"] {
        variables.push((name, format!("http://127.0.0.1:{port}")));
    }

    let mut probe = place.instance("probe", &variables).await;
    let (summary, _) = probe.invoke(&json!({}), ENOUGH).await.unwrap();

    assert_eq!((&summary["up"], website.connections(), asked.load(Relaxed)), (&json!(1), 1, 0));
}

#[tokio::test]
async fn names_are_data_wherever_they_go() {
    let place = Place::new("attacking_names").await;
    let evil = "'; drop table probes; --\r\n\u{1b}[31m\"><script>{}\\";
    let mut record = record_at(&format!("https://a.test/{evil}"), timestamp::now().into());
    for field in ["monitor", "location"] {
        record[field] = evil.into();
    }
    record["interval_ms"] = 60_000.into();
    record["tags"] = json!([evil]);
    record["error"] = json!({"kind": "body", "message": "said by the target"});
    assert_eq!(run(&place.flush(), batch(0, &[record])).await.unwrap().stored, 1);

    let stats = place.stats();
    let encoded: String = url::form_urlencoded::byte_serialize(evil.as_bytes()).collect();
    for query in ["monitor", "tag"] {
        let answer = request(&stats, "GET", &format!("/stats?{query}={encoded}"), &[]).await;
        let body: Value = serde_json::from_str(text(&answer)).unwrap();
        assert_eq!((&body["stats"][0]["monitor"], &body["stats"][0]["tags"]), (&json!(evil), &json!([evil])), "{body}");
    }
    let metrics = request(&stats, "GET", "/metrics", &[]).await;
    for line in text(&metrics).lines() {
        assert!(line.starts_with('#') || line.starts_with("website_monitor_"), "{line}");
    }
    let badge = request(&stats, "GET", &format!("/badge.svg?monitor={encoded}"), &[]).await;
    assert!(!text(&badge).contains("<script"), "{}", text(&badge));
    // What targets say in an error is in no answer.
    for (path, accept) in
        [("/stats?by=status,outcome", "application/json"), ("/stats", "text/csv"), ("/metrics", "*/*")]
    {
        let answer = request(&stats, "GET", path, &[("accept", accept)]).await;
        assert_eq!(answer.status(), 200);
        assert!(!text(&answer).contains("said by the target"), "{path}");
    }
    assert_eq!(place.count("select count(*) from probes").await, 1);
}

#[tokio::test]
async fn a_record_with_the_identity_of_another_does_not_replace_it() {
    let place = Place::new("attacking_identity").await;
    let flush = place.flush();
    let mut record = record_at("https://a.test", timestamp::now().into());
    record["id"] = json!("01936a2c-5b7a-7c3e-9f21-3d2b8a6f4c10");
    run(&flush, batch(0, std::slice::from_ref(&record))).await.unwrap();
    record["http_status_code"] = json!(500);

    let summary = run(&flush, batch(1, &[record])).await.unwrap();

    assert_eq!((summary.stored, summary.duplicates), (0, 1));
    assert_eq!(place.count("select count(*) from probes where http_status_code = 200").await, 1);
}

#[tokio::test]
async fn no_secret_is_in_any_line_that_a_run_prints() {
    const SECRETS: [&str; 4] =
        ["hunter2-of-the-database", "hunter2-of-a-monitor", "hunter2-of-a-token", "hunter2-of-a-stranger"];
    let place = Place::new("attacking_secrets").await;
    let website = Website::start(0).await.unwrap();
    let file = directory("attacking_secrets").join("monitors.yaml");
    std::fs::create_dir_all(directory("attacking_secrets")).unwrap();
    let monitor = |id: &str, page: &str, expect: &str| {
        format!(
            "- {{id: {id}, url: '{}', headers: {{authorization: '${{A_SECRET}}'}}, expect: {expect}}}\n",
            website.url(page)
        )
    };
    // One sends back what it was sent, as what was not expected.
    let monitors =
        monitor("echo", "/echo", "{headers: {x-echo: something else}}") + &monitor("down", "/close", "{status: 200}");
    std::fs::write(&file, format!("monitors:\n{monitors}")).unwrap();
    let string = place.connection_string.replace("postgres@", &format!("postgres:{}@", SECRETS[0]));
    let functions = place
        .functions(&[
            ("WM_URL", String::new()),
            ("WM_MONITORS_FILE", file.display().to_string()),
            ("A_SECRET", SECRETS[1].to_owned()),
            ("WM_DB_CONNECTION_STRING", string),
            ("WM_STATS_PUBLIC", "false".to_owned()),
            ("WM_STATS_TOKENS", SECRETS[2].to_owned()),
            ("RUST_LOG", "debug".to_owned()),
            ("AWS_LAMBDA_LOG_LEVEL", "DEBUG".to_owned()),
        ])
        .await;
    let client = functions.client();
    let mut told = vec![client.invoke("probe", &json!({})).await.unwrap().to_string()];
    for (function, event) in [
        ("flush", crate::support::event("kafka-bad-records.json")),
        ("flush", json!({"records": SECRETS[3]})),
        ("probe", json!({"url": format!("htps://me:{}@a.test", SECRETS[3])})),
    ] {
        told.push(
            client.invoke(function, &event).await.map_or_else(|error| error.to_string(), |answer| answer.to_string()),
        );
    }
    for token in [SECRETS[2], SECRETS[3]] {
        let response = reqwest::Client::new().get(client.url("/stats")).bearer_auth(token).send().await.unwrap();
        told.push(response.text().await.unwrap());
    }
    drop(functions);

    for entry in std::fs::read_dir(directory("attacking_secrets")).unwrap() {
        told.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let printed = told.concat();
    assert!(printed.contains("tick done") && printed.contains("batch stored"), "{printed}");
    for secret in SECRETS {
        assert!(!printed.contains(secret), "{secret} is in {printed}");
    }
}

#[tokio::test]
async fn no_secret_is_in_what_is_said_where_it_lets_nobody_in() {
    const SECRETS: [&str; 2] = ["hunter2-of-the-database", "hunter2-of-kafka"];
    let (place, secured) = (Place::new("attacking_refused").await, secured().await);
    let website = Website::start(0).await.unwrap();
    let mut variables = place.variables();
    variables.extend(secured.user(secured.listeners.scram, "SCRAM-SHA-512", USER, SECRETS[1]));
    variables.extend([
        ("WM_URL", website.url("/fast")),
        ("WM_DB_CONNECTION_STRING", format!("postgres://nobody:{}@127.0.0.1:1/nowhere", SECRETS[0])),
        ("RUST_LOG", "trace".to_owned()),
        ("AWS_LAMBDA_LOG_LEVEL", "TRACE".to_owned()),
    ]);

    let mut told = Vec::new();
    for (function, event, setting) in [
        ("probe", json!({}), "WM_STREAM_SASL_PASSWORD"),
        ("flush", crate::support::event("kafka-msk.json"), "cannot connect to the database"),
    ] {
        let mut function = place.instance(function, &variables).await;
        let error = function.invoke(&event, ENOUGH).await.unwrap_err().to_string();
        assert!(error.contains(setting), "{error}");
        told.push(error);
    }
    for entry in std::fs::read_dir(directory("attacking_refused")).unwrap() {
        told.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }

    let printed = told.concat();
    assert!(printed.contains("TRACE"), "{printed}");
    for secret in SECRETS {
        assert!(!printed.contains(secret), "{secret} is in {printed}");
    }
}

#[tokio::test]
async fn what_a_target_says_is_no_line_of_the_log() {
    let place = Place::new("attacking_logs").await;
    let forged = "\u{1b}[31mforged\nERROR forged";
    let heads = [
        format!("HTTP/1.1 200 {forged}\r\ncontent-length: 0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nx-said: {forged}\r\ncontent-length: 0\r\n\r\n"),
        format!("HTTP/1.1 302 Found\r\nlocation: http://a.test/{forged}\r\ncontent-length: 0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n\"\n{forged}\n{forged}\n\""),
        format!("\r\n{forged}\r\n{forged}\r\n\r\n"),
    ];
    let mut monitors = String::from("monitors:\n");
    for (number, head) in heads.iter().enumerate() {
        let (port, _) = answering(head.clone()).await;
        let expect = "{headers: {x-said: else}, body: {json: [{path: $.forged, equals: 1}]}}";
        monitors += &format!("- {{id: m{number}, url: 'http://127.0.0.1:{port}/', expect: {expect}}}\n");
    }
    let (file, log) = ["monitors.yaml", "probe.log"].map(|name| directory("attacking_logs").join(name)).into();
    std::fs::create_dir_all(directory("attacking_logs")).unwrap();
    drop(std::fs::remove_file(&log));
    std::fs::write(&file, monitors).unwrap();
    let mut variables = place.variables();
    variables.extend([
        ("WM_URL", String::new()),
        ("WM_MONITORS_FILE", file.display().to_string()),
        ("RUST_LOG", "debug".to_owned()),
        ("AWS_LAMBDA_LOG_LEVEL", "DEBUG".to_owned()),
    ]);

    let (summary, _) = place.instance("probe", &variables).await.invoke(&json!({}), ENOUGH).await.unwrap();

    assert_eq!(summary["down"], heads.len(), "{summary}");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("tick done") && log.contains("DEBUG"), "{log}");
    assert!(!log.contains('\u{1b}') && !log.contains("forged"), "{log}");
}
