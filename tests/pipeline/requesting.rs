//! One request and what probe says of it, against a website that misbehaves as asked.

use std::time::Duration;

use local_stack::website::Website;
use probe::{ProbeConfig, request::Requester};
use shared::{
    Record,
    record::{FailureKind, Outcome},
    timestamp,
};

use tokio::{io::AsyncReadExt as _, net::TcpListener};

use crate::support::{free_port, lookup};

/// More time than any request here takes.
pub(crate) const ENOUGH: Duration = Duration::from_secs(60);

fn requester(timeout_ms: u32) -> Requester {
    requester_with(&[("WM_PROBE_TIMEOUT_MS", &timeout_ms.to_string())])
}

/// A requester that may go anywhere and has time, unless these variables say otherwise.
pub(crate) fn requester_with(more: &[(&'static str, &str)]) -> Requester {
    let mut variables = vec![
        ("WM_STREAM_BOOTSTRAP_SERVER", "unused:9092"),
        ("WM_STREAM_TOPIC", "unused"),
        ("WM_PROBE_TIMEOUT_MS", "60000"),
        ("WM_PROBE_CONNECT_TIMEOUT_MS", "60000"),
        ("WM_ALLOW_PRIVATE_TARGETS", "true"),
        ("WM_LOCATION", "eu-test-1"),
    ];
    variables.extend(more);
    let variables = lookup(variables.into_iter().map(|(name, value)| (name, value.to_owned())).collect());
    Requester::new(&ProbeConfig::from_env(&variables).unwrap()).unwrap()
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
        (hangs_up.as_str(), FailureKind::Tls, "eof"),
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
async fn a_request_has_no_more_time_than_its_invocation() {
    let website = Website::start(0).await.unwrap();

    let record = requester(60_000).request(&website.url("/hang"), None, Duration::from_millis(200)).await;

    assert_eq!(record.error.unwrap().message, "not finished within 200 ms: waiting for the first byte");
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
