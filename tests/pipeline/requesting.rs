//! One request and what probe says of it, against a website that misbehaves as asked.

use std::time::Duration;

use jiff::Timestamp;
use local_stack::website::Website;
use probe::{
    ProbeConfig,
    monitors::{Defaults, Monitor, Monitors, secrets::Secrets},
    plan::Slot,
    request::{Circumstances, Requester},
};
use shared::{
    Record,
    record::{FailureKind, Outcome},
    timestamp,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{free_port, lookup};

/// More time than any request here takes.
pub(crate) const ENOUGH: Duration = Duration::from_secs(60);

/// Requests as probe does, one at a time.
pub(crate) struct Prober {
    requester: Requester,
    defaults: Defaults,
}

impl Prober {
    /// The record of one attempt at a URL.
    pub(crate) async fn request(&self, url: &str, scheduled_at: Option<Timestamp>, time_left: Duration) -> Record {
        let monitor = Monitor::of_url(url, &self.defaults).unwrap();
        self.attempt(&monitor, scheduled_at, time_left).await
    }

    /// The record of one attempt at the only monitor of a file.
    pub(crate) async fn monitor(&self, file: &str) -> Record {
        let monitors = Monitors::read(file, &self.defaults, Secrets::default()).unwrap();
        self.attempt(&monitors.enabled[0], None, ENOUGH).await
    }

    async fn attempt(&self, monitor: &Monitor, scheduled_at: Option<Timestamp>, time_left: Duration) -> Record {
        let slot = Slot { scheduled_at, ..Slot::now(monitor, scheduled_at.unwrap_or_else(timestamp::now)) };
        self.requester
            .request(&slot, Circumstances { attempt: 1, is_cold: false, time_left }, &Monitors::default())
            .await
    }
}

fn requester(timeout_ms: u32) -> Prober {
    requester_with(&[("WM_PROBE_TIMEOUT_MS", &timeout_ms.to_string())])
}

/// A requester that may go anywhere and has time, unless these variables say otherwise.
pub(crate) fn requester_with(more: &[(&'static str, &str)]) -> Prober {
    let mut variables = vec![
        ("WM_STREAM_BOOTSTRAP_SERVER", "unused:9092"),
        ("WM_STREAM_TOPIC", "unused"),
        ("WM_PROBE_TIMEOUT_MS", "60000"),
        ("WM_PROBE_CONNECT_TIMEOUT_MS", "60000"),
        ("WM_URL", "http://unused.test"),
        ("WM_ALLOW_PRIVATE_TARGETS", "true"),
        ("WM_LOCATION", "eu-test-1"),
    ];
    variables.extend(more);
    let variables = lookup(variables.into_iter().map(|(name, value)| (name, value.to_owned())).collect());
    let config = ProbeConfig::from_env(&variables).unwrap();
    Prober { requester: Requester::new(&config).unwrap(), defaults: config.defaults }
}

async fn request(url: &str) -> Record {
    requester(60_000).request(url, None, ENOUGH).await
}

pub(crate) fn kind(record: &Record) -> Option<FailureKind> {
    record.error.as_ref().map(|error| error.kind)
}

#[tokio::test]
async fn a_page_that_answers_is_up_and_takes_as_long_as_it_takes() {
    let website = Website::start(0).await.unwrap();
    let before = timestamp::now();

    let record = requester(60_000).request(&website.url("/slow/150"), Some(before), ENOUGH).await;

    assert_eq!((record.outcome(), record.http_status_code, kind(&record)), (Outcome::Up, Some(200), None));
    assert!(record.response_time_ms.unwrap().as_micros() >= 150_000, "{record:?}");
    assert!(record.timestamp >= before && record.timestamp <= timestamp::now());
    assert_eq!(record.scheduled_at, Some(before));
    assert_eq!(record.location.as_deref(), Some("eu-test-1"));
    assert!(record.id.is_some());
}

#[tokio::test]
async fn a_status_of_400_or_above_is_down_with_its_response() {
    let website = Website::start(0).await.unwrap();
    for (status, outcome) in [(204, Outcome::Up), (399, Outcome::Up), (400, Outcome::Down), (503, Outcome::Down)] {
        let record = request(&website.url(&format!("/status/{status}"))).await;

        assert_eq!((record.outcome(), record.http_status_code), (outcome, Some(status)));
        assert_eq!(kind(&record), (outcome == Outcome::Down).then_some(FailureKind::Assertion));
    }
}

#[tokio::test]
async fn each_way_to_fail_is_a_record_with_its_kind_and_no_status() {
    let website = Website::start(0).await.unwrap();
    let https = website.url("/fast").replace("http://", "https://");
    let refused = format!("http://127.0.0.1:{}/", free_port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hangs_up = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        // Takes the greeting and says nothing.
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read_buf(&mut Vec::with_capacity(64 << 10)).await.unwrap();
    });
    let cases = [
        (refused.as_str(), FailureKind::Connect, "refused"),
        // A label longer than names may have: no name server is asked.
        (&format!("http://{}.invalid/", "x".repeat(64)), FailureKind::Dns, ""),
        (https.as_str(), FailureKind::Tls, ""),
        (hangs_up.as_str(), FailureKind::Tls, "closed the connection in the TLS handshake"),
        (&website.url("/elsewhere"), FailureKind::Redirect, ""),
        (&website.url("/redirect"), FailureKind::Redirect, "more than 10 redirects"),
        (&website.url("/garbage"), FailureKind::Protocol, ""),
        (&website.url("/close"), FailureKind::Protocol, ""),
        (&website.url("/truncated"), FailureKind::Body, ""),
    ];
    for (url, expected, words) in cases {
        let record = request(url).await;

        assert_eq!(kind(&record), Some(expected), "{record:?}");
        assert_eq!((record.outcome(), record.http_status_code), (Outcome::Down, None), "{url}");
        assert!(record.response_time_ms.is_some(), "{url}");
        let message = record.error.unwrap().message;
        assert!(message.contains(words) && !message.is_empty() && !message.contains(url), "{message}");
    }
}

#[tokio::test]
async fn a_page_that_hangs_is_given_up_after_the_timeout() {
    let website = Website::start(0).await.unwrap();

    let record = requester(200).request(&website.url("/hang"), None, ENOUGH).await;

    assert_eq!(kind(&record), Some(FailureKind::Timeout));
    assert_eq!(record.error.as_ref().unwrap().message, "not finished within 200 ms: waiting for the first byte");
    assert!(record.response_time_ms.unwrap().as_micros() >= 200_000, "{record:?}");
}

#[tokio::test]
async fn a_request_that_has_to_end_with_its_invocation_says_nothing_of_its_target() {
    let website = Website::start(0).await.unwrap();
    let requester = requester(60_000);

    let record = requester.request(&website.url("/hang"), None, Duration::from_millis(200)).await;
    assert_eq!((record.outcome(), record.http_status_code, record.response_time_ms), (Outcome::Missed, None, None));
    assert!(record.error.is_none() && record.phases.is_none(), "{record:?}");
    let reason = record.reason.unwrap();
    assert!(reason.starts_with("given up after 20") && reason.contains("of 60000 ms"), "{reason}");

    // What is known by then is known, however little time there was.
    let record = requester.request(&website.url("/close"), None, Duration::from_secs(30)).await;
    assert_eq!((record.outcome(), kind(&record)), (Outcome::Down, Some(FailureKind::Protocol)));
}

#[tokio::test]
async fn redirects_are_followed_and_an_endless_body_is_not_waited_for() {
    let website = Website::start(0).await.unwrap();

    assert_eq!(request(&website.url("/moved")).await.http_status_code, Some(200));
    let record = tokio::time::timeout(ENOUGH, request(&website.url("/endless"))).await.unwrap();
    assert_eq!(record.outcome(), Outcome::Up, "{record:?}");
}

#[tokio::test]
async fn each_probe_makes_a_connection_of_its_own() {
    let website = Website::start(0).await.unwrap();
    let requester = requester(60_000);
    for _ in 0..3 {
        requester.request(&website.url("/fast"), None, ENOUGH).await;
    }

    assert_eq!(website.connections(), 3);
}

#[tokio::test]
async fn an_answer_is_held_against_everything_that_is_expected_of_it() {
    let website = Website::start(0).await.unwrap();
    let prober = requester(60_000);
    let cases = [
        ("/fast", "status: 200, body: {contains: [a, page], matches: '^a p.ge'}", None),
        ("/fast", "status: [201, 300-399]", Some("HTTP status 200: expected 201 or 300-399")),
        ("/status/404", "status: 404", None),
        ("/moved", "status: 200", None),
        ("/fast", "headers: {content-length: '7', x-none: {exists: false}}", None),
        ("/fast", "headers: {content-length: '8'}", Some("the header content-length is \"7\": expected \"8\"")),
        ("/fast", "headers: {x-none: {matches: a}}", Some("there is no header x-none: expected a match of \"a\"")),
        ("/fast", "headers: {content-length: {exists: false}}", Some("expected none")),
        ("/fast", "body: {contains: another}", Some("\"another\" is not in the body")),
        ("/fast", "body: {matches: '^page'}", Some("nothing in the body matches \"^page\"")),
        ("/fast", "status: 500, body: {contains: x}", Some("HTTP status 200: expected 500; \"x\" is not in the body")),
        ("/json", "body: {json: [{path: $.status, equals: ok}, {path: '$.items[?@.id == 2]', exists: true}]}", None),
        ("/json", "body: {json: {path: '$.items[*].id', equals: 1}}", Some("$.items[*].id is 2: expected 1")),
        ("/json", "body: {json: {path: $.none, exists: false}}", None),
        ("/json", "body: {json: {path: $.none, equals: null}}", Some("$.none is not in the body")),
        ("/json", "body: {json: {path: $.status, exists: false}}", Some("$.status is \"ok\": expected nothing")),
        ("/fast", "body: {json: {path: $.a, exists: true}}", Some("the body is not JSON")),
        ("/gzip", "body: {contains: a page}", None),
        ("/endless", "body: {contains: y}", Some("\"y\" is not in the first 1048576 bytes of the body")),
        ("/fast", "certificate_days: 1", Some("there is no certificate")),
    ];
    for (page, expect, wrong) in cases {
        let url = website.url(page);
        let file = format!("monitors: [{{id: a, url: '{url}', redirects: {{max: 10}}, expect: {{{expect}}}}}]");
        let record = prober.monitor(&file).await;

        let expected = if wrong.is_some() { Outcome::Down } else { Outcome::Up };
        assert_eq!(record.outcome(), expected, "{expect}: {record:?}");
        assert!(record.http_status_code.is_some());
        let Some(words) = wrong else { continue };
        assert_eq!(kind(&record), Some(FailureKind::Assertion), "{expect}");
        let message = &record.error.as_ref().unwrap().message;
        assert!(message.contains(words), "{expect}: {message}");
    }
}

#[tokio::test]
async fn a_small_body_that_becomes_a_large_one_is_not_read_further_than_it_may() {
    let website = Website::start(0).await.unwrap();
    let file = format!("monitors: [{{id: a, url: '{}', expect: {{body: {{contains: x}}}}}}]", website.url("/bomb"));

    let record = requester(60_000).monitor(&file).await;
    assert_eq!((kind(&record), record.outcome()), (Some(FailureKind::Body), Outcome::Down));
    assert!(record.error.unwrap().message.contains("larger than 8388608 bytes when it is decompressed"));

    // Where nothing is expected of it, nothing is decompressed.
    assert_eq!(request(&website.url("/bomb")).await.outcome(), Outcome::Up);
}

#[tokio::test]
async fn what_is_as_expected_but_slow_is_degraded() {
    let website = Website::start(0).await.unwrap();
    let prober = requester(60_000);
    let outcome = async |page: &str, degraded_after: &str| {
        let url = website.url(page);
        prober
            .monitor(&format!("monitors: [{{id: a, url: '{url}', degraded_after: {degraded_after}}}]"))
            .await
            .outcome()
    };

    assert_eq!(outcome("/slow/100", "99ms").await, Outcome::Degraded);
    assert_eq!(outcome("/slow/100", "59s").await, Outcome::Up);
    assert_eq!(outcome("/failing", "1ms").await, Outcome::Down);
}

#[tokio::test]
async fn a_monitor_says_how_it_is_requested() {
    let website = Website::start(0).await.unwrap();
    let prober = requester(60_000);
    let monitor = |page: &str, more: &str| format!("monitors: [{{id: a, url: '{}', {more}}}]", website.url(page));

    let record =
        prober.monitor(&monitor("/echo", "headers: {authorization: me}, expect: {headers: {x-echo: me}}")).await;
    assert_eq!((record.outcome(), record.monitor.as_deref()), (Outcome::Up, Some("a")));
    let record = prober.monitor(&monitor("/moved", "redirects: {max: 0}, expect: {status: 301}")).await;
    assert_eq!((record.outcome(), record.hops.len()), (Outcome::Up, 0));
    let record = prober.monitor(&monitor("/redirect", "redirects: {max: 2}")).await;
    assert_eq!((kind(&record), record.hops.len()), (Some(FailureKind::Redirect), 3));
    let record = prober.monitor(&monitor("/hang", "timeout: 100ms")).await;
    assert_eq!(record.error.unwrap().message, "not finished within 100 ms: waiting for the first byte");
    let record = prober.monitor(&monitor("/fast", "method: POST, body: hello")).await;
    assert_eq!(record.outcome(), Outcome::Up, "{record:?}");
}

/// The URL of a server that sends these bytes to whoever asks, and hangs up.
async fn serve(response: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                connection.read_buf(&mut head).await.unwrap();
            }
            connection.write_all(&response).await.unwrap();
        }
    });
    url
}

fn response(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status} Page\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn body_is_decoded_by_its_codings_and_charset_before_it_is_judged() {
    const BROTLI: &[u8] = b"\x0b\x02\x80hello\x03";
    let prober = requester(60_000);
    let (assertion, body) = (Some(FailureKind::Assertion), Some(FailureKind::Body));
    let mut wrong = Vec::new();
    let gzipped = gzip(b"the word");
    let cut = &gzipped[..gzipped.len() - 9];
    for (response, expect, kind_of_it, words) in [
        // Nothing to decode.
        (b"HTTP/1.1 204 No\r\ncontent-encoding: gzip\r\n\r\n".to_vec(), "body: {matches: ^$}", None, ""),
        (b"HTTP/1.1 304 No\r\ncontent-encoding: gzip\r\n\r\n".to_vec(), "body: {matches: ^$}", None, ""),
        (response(200, "content-encoding: gzip\r\n", b""), "body: {matches: ^$}", None, ""),
        (response(200, "content-encoding: gzip\r\n", cut), "body: {contains: the}", body, "cannot be decompressed"),
        // Codings that are unknown, and several.
        (response(200, "content-encoding: none\r\n", b"the word"), "body: {contains: the word}", None, ""),
        (
            response(200, "content-encoding: br\r\n", BROTLI),
            "body: {contains: hello}",
            body,
            "the content coding \"br\"",
        ),
        (
            response(200, "content-encoding: GZIP\r\ncontent-encoding: , identity,x-gzip\r\n", &gzip(&gzipped)),
            "body: {contains: the word}",
            None,
            "",
        ),
        // The status first, and all of it.
        (
            response(503, "content-encoding: br\r\n", BROTLI),
            "headers: {x-a: b}, body: {contains: hello}",
            assertion,
            "HTTP status 503: expected below 400; there is no header x-a: expected \"b\"; the body has the content coding \"br\"",
        ),
        // Charsets.
        (
            response(200, "content-type: text/html; charset=Shift_JIS\r\n", b"\x93\xfa\x96\x7b"),
            "body: {contains: 日本}",
            None,
            "",
        ),
        (response(200, "", "\u{feff}{\"a\": 1}".as_bytes()), "body: {json: {path: $.a, equals: 1.0}}", None, ""),
        // Exact numbers, and paths that are looked up right.
        (
            response(200, "", b"{\"a\": 18446744073709551615}"),
            "body: {json: {path: $.a, equals: 18446744073709551614}}",
            assertion,
            "$.a is 18446744073709551615: expected 18446744073709551614",
        ),
        (response(200, "", b"{\"a\": [10.0]}"), "body: {json: {path: $.a, equals: [10]}}", None, ""),
        (
            response(200, "", b"[[0],[42]]"),
            "body: {json: {path: '$[?@[?@>1]]', exists: false}}",
            assertion,
            "is [42]: expected nothing",
        ),
        (
            response(200, "", format!("[{}0]", "0,".repeat(40_000)).as_bytes()),
            "body: {json: {path: '$[?count($..*) > 1]', exists: true}}",
            assertion,
            "it takes more than 2000000 steps in this document: expected a more specific path",
        ),
    ] {
        let file = format!("monitors: [{{id: a, url: '{}', expect: {{{expect}}}}}]", serve(response).await);
        let record = prober.monitor(&file).await;

        let message = record.error.as_ref().map(|error| error.message.as_str()).unwrap_or_default();
        if kind(&record) != kind_of_it || !message.contains(words) {
            wrong.push(format!("{expect}: {:?} {message}", kind(&record)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let head = serve(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 100\r\n\r\n".to_vec()).await;
    let record = prober.monitor(&format!("monitors: [{{id: a, url: '{head}', method: HEAD}}]")).await;
    assert_eq!(record.outcome(), Outcome::Up, "{record:?}");
}
