//! The messages that probe sends and takes, byte for byte, over HTTP/1.1 and HTTP/2.

use std::fmt::Write as _;

use shared::{
    Record,
    record::{FailureKind, Outcome},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    exchanging::{message, prober_trusting},
    requesting::{Prober, kind, requester_with},
    wire::{END_STREAM, End, Wire, data, go_away, head, reset, tls},
};

const REFUSED_STREAM: u32 = 7;
const AGENT: &str = concat!("website-monitor/", env!("CARGO_PKG_VERSION"));

/// The record of a monitor with a URL and these fields.
async fn probe(prober: &Prober, url: &str, fields: &str) -> Record {
    prober.monitor(&format!("monitors: [{{id: a, url: '{url}'{fields}}}]")).await
}

/// The outcome of an HTTP/1.1 response, and the words for it.
async fn http1(response: impl Into<Vec<u8>>) -> Record {
    let wire = Wire::http1(response).await;
    probe(&requester_with(&[]), &wire.url("/"), "").await
}

/// A prober, and a server of frames.
async fn http2(name: &str, frames: impl Into<Vec<u8>>) -> (Prober, Wire) {
    let (authority, server) = tls();
    (prober_trusting(&authority, name, &[]), Wire::http2(&server, frames, End::Wait).await)
}

/// The record of a response of these frames.
async fn http2_record(name: &str, frames: impl Into<Vec<u8>>) -> Record {
    let (prober, wire) = http2(name, frames).await;
    probe(&prober, &wire.https("/"), "").await
}

fn assert_up(record: &Record, what: &str) {
    assert_eq!((record.outcome(), record.http_status_code), (Outcome::Up, Some(200)), "{what}: {record:?}");
}

fn assert_down(record: &Record, expected: FailureKind, words: &str, what: &str) {
    assert_eq!((kind(record), record.http_status_code), (Some(expected), None), "{what}: {record:?}");
    assert!(message(record).contains(words), "{what}: {record:?}");
}

#[tokio::test]
async fn http1_request_has_exactly_the_documented_bytes() {
    let wire = Wire::http1("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let prober = requester_with(&[]);
    let host = wire.address;
    let common = format!("host: {host}\r\nuser-agent: {AGENT}\r\naccept: */*\r\n");
    let cases = [
        ("", format!("GET /a?b HTTP/1.1\r\n{common}\r\n")),
        (", method: HEAD", format!("HEAD /a?b HTTP/1.1\r\n{common}\r\n")),
        (", method: DELETE", format!("DELETE /a?b HTTP/1.1\r\n{common}\r\n")),
        (", method: OPTIONS", format!("OPTIONS /a?b HTTP/1.1\r\n{common}\r\n")),
        (", method: POST", format!("POST /a?b HTTP/1.1\r\n{common}content-length: 0\r\n\r\n")),
        (", method: POST, body: ''", format!("POST /a?b HTTP/1.1\r\n{common}content-length: 0\r\n\r\n")),
        (", method: PUT", format!("PUT /a?b HTTP/1.1\r\n{common}content-length: 0\r\n\r\n")),
        (", method: PATCH", format!("PATCH /a?b HTTP/1.1\r\n{common}content-length: 0\r\n\r\n")),
        (", method: POST, body: abc", format!("POST /a?b HTTP/1.1\r\n{common}content-length: 3\r\n\r\nabc")),
        (
            ", headers: {host: 'other.test:81', user-agent: me, x-a: b}",
            "GET /a?b HTTP/1.1\r\nhost: other.test:81\r\nuser-agent: me\r\naccept: */*\r\nx-a: b\r\n\r\n".to_owned(),
        ),
    ];
    for (index, (fields, expected)) in cases.into_iter().enumerate() {
        assert_up(&probe(&prober, &wire.url("/a?b"), fields).await, fields);
        assert_eq!(String::from_utf8_lossy(&wire.requests()[index]), expected, "{fields}");
    }
}

#[tokio::test]
async fn http2_request_has_exactly_the_documented_fields() {
    let response = head(END_STREAM, &[(":status", "200")]);
    let (prober, wire) = http2("http2_request_fields", response).await;
    let host = wire.address.to_string();
    let fields_of = |method: &str, host: &str, agent: &str, more: &[&str]| {
        let mut fields = vec![format!("{method} https://{host}/a?b"), format!("user-agent: {agent}")];
        fields.push("accept: */*".to_owned());
        fields.extend(more.iter().map(|field| (*field).to_owned()));
        fields
    };
    let length = "content-length: 0";
    let cases = [
        ("", fields_of("GET", &host, AGENT, &[])),
        (", method: HEAD", fields_of("HEAD", &host, AGENT, &[])),
        (", method: DELETE", fields_of("DELETE", &host, AGENT, &[])),
        (", method: OPTIONS", fields_of("OPTIONS", &host, AGENT, &[])),
        (", method: POST", fields_of("POST", &host, AGENT, &[length])),
        (", method: PUT, body: ''", fields_of("PUT", &host, AGENT, &[length])),
        (", method: PATCH", fields_of("PATCH", &host, AGENT, &[length])),
        (", method: POST, body: abc", fields_of("POST", &host, AGENT, &["content-length: 3"])),
        (", headers: {host: other.test}", fields_of("GET", "other.test", AGENT, &[])),
        (", headers: {host: 'other.test:81', user-agent: me}", fields_of("GET", "other.test:81", "me", &[])),
        (", headers: {te: gzip, keep-alive: a, x-a: b}", fields_of("GET", &host, AGENT, &["x-a: b"])),
    ];
    for (index, (fields, expected)) in cases.into_iter().enumerate() {
        assert_up(&probe(&prober, &wire.https("/a?b"), fields).await, fields);
        assert_eq!(decoded(&wire.requests()[index]).await, expected, "{fields}");
    }
}

/// The request of these bytes, as a server of HTTP/2 reads it: its pseudo fields, then its headers in their order.
async fn decoded(bytes: &[u8]) -> Vec<String> {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(bytes).await.unwrap();
    let mut connection = h2::server::handshake(server).await.unwrap();
    let (request, _) = connection.accept().await.unwrap().unwrap();
    let mut fields = vec![format!("{} {}", request.method(), request.uri())];
    let headers = request.headers().iter();
    fields.extend(headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())));
    fields
}

#[tokio::test]
async fn overridden_host_stays_with_its_origin() {
    let other = Wire::http1("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let elsewhere = other.url("/there");
    let wire = Wire::answering(move |request| {
        let location = if request.starts_with("GET /same ") { "/next" } else { &elsewhere };
        format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n").into_bytes()
    })
    .await;

    let record = probe(&requester_with(&[]), &wire.url("/same"), ", headers: {host: other.test}").await;

    assert_up(&record, "redirected twice");
    let hosts = |wire: &Wire| {
        let requests = wire.requests();
        let heads = requests.iter().map(|request| String::from_utf8_lossy(request).into_owned());
        heads
            .map(|head| head.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned)))
            .collect::<Vec<_>>()
    };
    assert_eq!(hosts(&wire), [Some("other.test".to_owned()), Some("other.test".to_owned())]);
    assert_eq!(hosts(&other), [Some(other.address.to_string())]);
}

#[tokio::test]
async fn http2_request_that_is_refused_is_sent_once() {
    for (frames, words) in [
        (reset(REFUSED_STREAM), "RST_STREAM, REFUSED_STREAM"),
        (reset(8), "RST_STREAM, CANCEL"),
        (reset(0), "RST_STREAM, NO_ERROR"),
        (reset(77), "RST_STREAM, error code 77"),
        (go_away(0, 0), "GOAWAY, NO_ERROR"),
        (go_away(0, 11), "GOAWAY, ENHANCE_YOUR_CALM"),
        (go_away(0, 2), "GOAWAY, INTERNAL_ERROR"),
    ] {
        let (prober, wire) = http2("http_messages_refused", frames).await;
        let record = probe(&prober, &wire.https("/"), ", method: POST, body: once").await;

        assert_down(&record, FailureKind::Protocol, words, words);
        assert_eq!((wire.requests().len(), record.attempt, record.retried), (1, 1, false), "{words}");
    }
}

#[tokio::test]
async fn http1_connection_that_closes_without_a_response_is_tried_once() {
    let wire = Wire::http1("").await;
    for method in ["GET", "POST"] {
        let record = probe(&requester_with(&[]), &wire.url("/"), &format!(", method: {method}")).await;
        assert_down(&record, FailureKind::Protocol, "closed the connection", method);
    }
    assert_eq!(wire.requests().len(), 2);
}

#[tokio::test]
async fn http1_response_that_comes_before_the_request_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            tokio::spawn(async move { stream.read_to_end(&mut Vec::new()).await.unwrap_or_default() });
        }
    });
    for _ in 0..20 {
        assert_up(&probe(&requester_with(&[]), &url, ", expect: {body: {contains: ok}}").await, "early");
    }
}

/// A head of HTTP/1.1 with these lines and no body.
fn http1_head(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{lines}\r\n")
}

#[tokio::test]
async fn large_http1_head_is_taken_up_to_the_stated_limit() {
    let lines = |count: usize, length: usize| {
        (0..count).fold(String::new(), |mut lines, index| {
            write!(lines, "x-{index}: {}\r\n", "v".repeat(length)).unwrap();
            lines
        })
    };
    for (what, head) in [
        ("101 headers", http1_head(&lines(101, 1))),
        ("4,999 headers", http1_head(&lines(4_998, 1))),
        ("280 KB", http1_head(&lines(280, 1_000))),
        ("one header of 290 KB", http1_head(&lines(1, 290_000))),
        ("a long reason", format!("HTTP/1.1 200 {}\r\ncontent-length: 0\r\n\r\n", "r".repeat(30_000))),
    ] {
        assert_up(&http1(head).await, what);
    }
    for (what, head) in [
        ("5,001 headers", http1_head(&lines(5_000, 1))),
        ("9,000 headers", http1_head(&lines(9_000, 1))),
        ("320 KB", http1_head(&lines(320, 1_000))),
        ("one header of 400 KB", http1_head(&lines(1, 400_000))),
        ("2 MB", http1_head(&lines(2_000, 1_000))),
    ] {
        assert_down(&http1(head).await, FailureKind::Protocol, "307200 bytes or 5000 headers", what);
    }
}

#[tokio::test]
async fn large_http2_head_is_taken_up_to_the_same_limit() {
    let fields = |count: usize, name: &'static str, length: usize| {
        let value: &'static str = String::leak("v".repeat(length));
        let mut fields = vec![(":status", "200")];
        fields.extend((0..count).map(|_| (name, value)));
        head(END_STREAM, &fields)
    };
    for (what, frames) in [
        ("16 headers of 1,000 bytes", fields(16, "x-a", 1_000)),
        ("90 cookies", fields(90, "set-cookie", 200)),
        ("5,000 headers", fields(5_000, "x-a", 1)),
        ("280 KB", fields(280, "x-a", 1_000)),
        ("one header of 290 KB", fields(1, "x-a", 290_000)),
    ] {
        assert_up(&http2_record("http_messages_large", frames).await, what);
    }
    for (what, frames) in [
        ("5,001 headers", fields(5_001, "x-a", 1)),
        ("320 KB", fields(320, "x-a", 1_000)),
        ("one header of 400 KB", fields(1, "x-a", 400_000)),
        ("2 MB", fields(2_000, "x-a", 1_000)),
        ("8 MB", fields(8_000, "x-a", 1_000)),
    ] {
        let record = http2_record("http_messages_larger", frames).await;
        assert_down(&record, FailureKind::Protocol, "307200 bytes or 5000 headers", what);
    }
}

#[tokio::test]
async fn interim_responses_are_passed_over() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", early, "HTTP/1.1 102 Processing\r\n\r\n"] {
        assert_up(&http1(format!("{interim}{interim}{}", http1_head(""))).await, interim);
    }
    let frames = [
        head(0, &[(":status", "100")]),
        head(0, &[(":status", "103"), ("link", "</a.css>; rel=preload")]),
        head(END_STREAM, &[(":status", "200")]),
    ];
    assert_up(&http2_record("http_messages_interim", frames.concat()).await, "HTTP/2");

    let switched = http1("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").await;
    assert_down(&switched, FailureKind::Protocol, "101", "101");
    let frames = [head(0, &[(":status", "101")]), head(END_STREAM, &[(":status", "200")])].concat();
    let switched = http2_record("http_messages_switched", frames).await;
    assert_down(&switched, FailureKind::Protocol, "101", "101 over HTTP/2");
}

#[tokio::test]
async fn flood_of_interim_responses_is_a_head_that_is_too_large() {
    let large = format!("HTTP/1.1 103 Early Hints\r\nx-a: {}\r\n\r\n", "v".repeat(1_000));
    for (what, interim, count) in
        [("small", "HTTP/1.1 103 E\r\n\r\n", 6_000), ("large", large.as_str(), 400), ("status lines", "\r\n", 200_000)]
    {
        let record = http1(format!("{}{}", interim.repeat(count), http1_head(""))).await;
        assert_down(&record, FailureKind::Protocol, "307200 bytes or 5000 headers", what);
    }
    let value = "v".repeat(1_000);
    let large = head(0, &[(":status", "103"), ("x-a", &value)]);
    for (what, interim, count) in [("small", head(0, &[(":status", "103")]), 6_000), ("large", large, 400)] {
        let frames = [interim.repeat(count), head(END_STREAM, &[(":status", "200")])].concat();
        let record = http2_record("http_messages_flood", frames).await;
        assert_down(&record, FailureKind::Protocol, "307200 bytes or 5000 headers", what);
    }
}

#[tokio::test]
async fn header_that_frames_or_redirects_may_not_have_a_control_character() {
    for (name, response) in [
        ("location", "HTTP/1.1 302 Found\r\nlocation: /a\x01\r\ncontent-length: 0\r\n\r\n"),
        ("content-length", "HTTP/1.1 200 OK\r\ncontent-length: 2\x01\r\n\r\nok"),
        ("transfer-encoding", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\x01\r\n\r\n0\r\n\r\n"),
    ] {
        let words = format!("the header {name} has a control character");
        assert_down(&http1(response).await, FailureKind::Protocol, &words, name);
    }
    let huge = "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\nok";
    assert_down(&http1(huge).await, FailureKind::Protocol, "the header content-length is 18446744073709551615", "huge");
}

#[tokio::test]
async fn body_shorter_or_longer_than_announced_is_a_failure() {
    let announced = [(":status", "200"), ("content-length", "100")];
    let unknown = [(":status", "200")];
    let eight = |flags| data(flags, b"12345678");
    for (what, frames, words) in [
        ("NO_ERROR", [head(0, &announced), eight(0), reset(0)].concat(), "after 8 of 100 bytes"),
        ("NO_ERROR, no length", [head(0, &unknown), eight(0), reset(0)].concat(), "after 8 bytes"),
        ("CANCEL", [head(0, &announced), eight(0), reset(8)].concat(), "CANCEL"),
        ("CANCEL, no length", [head(0, &unknown), eight(0), reset(8)].concat(), "CANCEL"),
        ("no data", [head(0, &announced), reset(0)].concat(), "after 0 of 100 bytes"),
        ("END_STREAM", [head(0, &announced), eight(END_STREAM)].concat(), "not the announced one"),
        ("empty frames", [head(0, &unknown), eight(0), data(0, b"").repeat(200)].concat(), "too many empty or tiny"),
        (
            "a rule",
            [head(0, &unknown), eight(0), head(0, &[("x-a", "b")])].concat(),
            "breaks the rules of HTTP/2 in the body",
        ),
        ("GOAWAY", [head(0, &unknown), eight(0), go_away(0, 2)].concat(), "GOAWAY, INTERNAL_ERROR"),
        (
            "too long",
            [head(0, &[(":status", "200"), ("content-length", "4")]), eight(END_STREAM)].concat(),
            "not the announced one",
        ),
    ] {
        let record = http2_record("http_messages_short", frames).await;
        assert_down(&record, FailureKind::Body, words, what);
    }
    for (what, end) in [("closed", End::Close), ("cut", End::Cut)] {
        let (authority, server) = tls();
        let wire = Wire::http2(&server, [head(0, &unknown), eight(0)].concat(), end).await;
        let prober = prober_trusting(&authority, "http_messages_cut", &[]);
        let record = probe(&prober, &wire.https("/"), "").await;
        assert_down(&record, FailureKind::Body, "closed the connection", what);
    }
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (what, response) in [
        ("content-length", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n12345678".to_owned()),
        ("within a chunk", format!("{chunked}64\r\n12345678")),
        ("before the last chunk", format!("{chunked}8\r\n12345678\r\n")),
    ] {
        let record = http1(response).await;
        assert_down(&record, FailureKind::Body, "after 8", what);
        assert!(message(&record).contains("the server closed the connection"), "{record:?}");
    }
}

#[tokio::test]
async fn body_that_the_connection_ends_is_complete_only_in_order() {
    let close_delimited = "HTTP/1.1 200 OK\r\n\r\nall of it";
    assert_up(&http1(close_delimited).await, "TCP");
    let (authority, server) = tls();
    let prober = prober_trusting(&authority, "http_messages_delimited", &[]);
    let wire = Wire::https1(&server, close_delimited, End::Close).await;
    assert_up(&probe(&prober, &wire.https("/"), ", expect: {body: {contains: all of it}}").await, "close_notify");
    let wire = Wire::https1(&server, close_delimited, End::Cut).await;
    assert_down(&probe(&prober, &wire.https("/"), "").await, FailureKind::Body, "close_notify", "cut");
    // With a length, the end is known.
    let wire = Wire::https1(&server, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", End::Cut).await;
    assert_up(&probe(&prober, &wire.https("/"), "").await, "a length");
}

#[tokio::test]
async fn response_without_a_body_is_complete_whatever_length_it_announces() {
    let prober = requester_with(&[]);
    for (response, fields) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", ", method: HEAD"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", ", method: HEAD"),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 100\r\n\r\n", ""),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n", ""),
    ] {
        let wire = Wire::http1(response).await;
        let record = probe(&prober, &wire.url("/"), fields).await;
        assert_eq!(record.outcome(), Outcome::Up, "{response}: {record:?}");
    }
    for (status, fields) in [("200", ", method: HEAD"), ("204", ""), ("304", "")] {
        let response = head(END_STREAM, &[(":status", status), ("content-length", "100")]);
        let open = head(0, &[(":status", status), ("content-length", "100")]);
        let trailers = head(END_STREAM, &[("x-a", "b")]);
        for (what, frames) in [
            ("END_STREAM", response),
            ("an empty frame", [open.clone(), data(END_STREAM, b"")].concat()),
            ("trailers", [open.clone(), trailers].concat()),
            ("no END_STREAM", open),
        ] {
            let (prober, wire) = http2("http_messages_no_body", frames).await;
            let record = probe(&prober, &wire.https("/"), fields).await;
            assert_eq!(record.outcome(), Outcome::Up, "{status}, {what}: {record:?}");
        }
    }
}

#[tokio::test]
async fn lenient_http1_heads_are_read_as_browsers_and_curl_do() {
    let ok = "content-length: 2\r\n\r\nok";
    for (what, response, value) in [
        ("folded", format!("HTTP/1.1 200 OK\r\nx-a: one\r\n two\r\n\tthree\r\n{ok}"), Some("one two three")),
        ("folded before its value", format!("HTTP/1.1 200 OK\r\nx-a:\r\n one\r\n{ok}"), Some("one")),
        ("folded to its end", format!("HTTP/1.1 200 OK\r\nx-a: one\r\n \r\n{ok}"), Some("one")),
        ("folded length", "HTTP/1.1 200 OK\r\nx-a: one\r\ncontent-length:\r\n 2\r\n\r\nok".to_owned(), Some("one")),
        ("blank before the colon", format!("HTTP/1.1 200 OK\r\nx-a : one\r\n{ok}"), Some("one")),
        ("no name", format!("HTTP/1.1 200 OK\r\n: x\r\nx-a: one\r\n{ok}"), Some("one")),
        ("name that is none", format!("HTTP/1.1 200 OK\r\nx(a: x\r\nx-a: one\r\n{ok}"), Some("one")),
        ("no colon", format!("HTTP/1.1 200 OK\r\nbroken\r\nx-a: one\r\n{ok}"), Some("one")),
        ("bytes", format!("HTTP/1.1 200 OK\r\nx-a: café\r\n{ok}"), Some("café")),
        ("LF", "HTTP/1.1 200 OK\nx-a: one\ncontent-length: 2\n\nok".to_owned(), Some("one")),
        ("no reason", format!("HTTP/1.1 200\r\nx-a: one\r\n{ok}"), Some("one")),
        ("no reason, a blank", format!("HTTP/1.1 200 \r\nx-a: one\r\n{ok}"), Some("one")),
        ("equal lengths", format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{ok}"), None),
    ] {
        let wire = Wire::http1(response).await;
        let expected = value.map(|value| format!("headers: {{x-a: '{value}'}}, ")).unwrap_or_default();
        let expected = format!(", expect: {{{expected}body: {{matches: '^ok$'}}}}");
        assert_up(&probe(&requester_with(&[]), &wire.url("/"), &expected).await, what);
    }
    for (what, response) in [
        ("different lengths", format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n{ok}")),
        ("length that is none", "HTTP/1.1 200 OK\r\ncontent-length: 2x\r\n\r\nok".to_owned()),
        ("HTTP/0.9", "ok".to_owned()),
        ("chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()),
    ] {
        assert_down(&http1(response).await, FailureKind::Protocol, "", what);
    }
    let nul = http1(format!("HTTP/1.1 200 OK\r\nx-a: a\0b\r\n{ok}")).await;
    assert_down(&nul, FailureKind::Protocol, "a header line has a NUL or a bare CR", "NUL");
    let extension = format!("2;{}\r\nok\r\n0\r\n\r\n", "a".repeat(20_000));
    let extension = http1(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{extension}")).await;
    assert_down(&extension, FailureKind::Body, "the chunk extensions are larger than 16384 bytes", "extension");
    for coding in ["gzip, chunked", "foo", "chunked, chunked", "chunked, identity"] {
        let response = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {coding}\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        assert_down(&http1(response).await, FailureKind::Protocol, "transfer-encoding", coding);
    }
}

#[tokio::test]
async fn location_of_a_redirect_is_read_as_bytes_and_only_once() {
    let hops = async |lines: &'static [u8]| {
        let wire = Wire::answering(move |request| {
            if request.starts_with("GET / ") {
                [b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n", lines, b"\r\n"].concat()
            } else {
                http1_head("").into_bytes()
            }
        })
        .await;
        let record = probe(&requester_with(&[]), &wire.url("/"), "").await;
        let paths = wire
            .requests()
            .into_iter()
            .map(|request| String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or_default().to_owned());
        (record, paths.skip(1).collect::<Vec<_>>())
    };
    for (lines, expected) in [
        (b"location: /caf\xe9\r\n".as_slice(), "/caf%E9"),
        ("location: /café\r\n".as_bytes(), "/caf%C3%A9"),
        (b"location: /a b\r\n", "/a%20b"),
        (b"location: /a\r\nlocation: /a\r\n", "/a"),
        (b"location:\r\n /folded\r\n", "/folded"),
        (b"location: /a#b\r\n", "/a"),
    ] {
        let (record, paths) = hops(lines).await;
        assert_up(&record, expected);
        assert_eq!(paths, [expected]);
    }
    for lines in [b"location:\r\n".as_slice(), b"", b"location: \r\nlocation: \r\n"] {
        let (record, paths) = hops(lines).await;
        assert_eq!((record.outcome(), record.http_status_code, paths.len()), (Outcome::Up, Some(302), 0), "{record:?}");
    }
    let (record, paths) = hops(b"location: /a\r\nlocation: /b\r\n").await;
    assert_down(&record, FailureKind::Redirect, "several places", "different");
    assert!(paths.is_empty());
}

#[tokio::test]
async fn redirect_to_get_drops_the_content_and_its_headers() {
    let wire = Wire::answering(|request| {
        if request.starts_with("POST ") {
            b"HTTP/1.1 303 See Other\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n".to_vec()
        } else {
            http1_head("").into_bytes()
        }
    })
    .await;
    let fields = ", method: POST, body: abc, headers: {content-type: text/plain, content-language: en, x-a: b}";

    assert_up(&probe(&requester_with(&[]), &wire.url("/"), fields).await, "303");

    let host = wire.address;
    let expected = format!("GET /b HTTP/1.1\r\nhost: {host}\r\nuser-agent: {AGENT}\r\naccept: */*\r\nx-a: b\r\n\r\n");
    assert_eq!(String::from_utf8_lossy(&wire.requests()[1]), expected);
}

#[tokio::test]
async fn http2_body_larger_than_the_window_is_sent_and_read_completely() {
    // A server of HTTP/2 that takes a byte of the body after the other, and answers while it comes.
    let (authority, server) = tls();
    let mut server = tokio_rustls::rustls::ServerConfig::clone(&server);
    server.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let (sizes, mut received) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let tls = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(server)).accept(tcp).await.unwrap();
        let mut connection = h2::server::handshake(tls).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        tokio::spawn(async move {
            let mut body = request.into_body();
            let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
            let mut size = 0;
            while let Some(part) = body.data().await {
                let part = part.unwrap();
                size += part.len();
                body.flow_control().release_capacity(part.len()).unwrap();
                stream.send_data(part, false).unwrap();
            }
            stream.send_data(bytes::Bytes::new(), true).unwrap();
            sizes.send(size).unwrap();
        });
        while connection.accept().await.is_some() {}
    });
    let body = "b".repeat(200_000);
    let prober = prober_trusting(&authority, "http_messages_upload", &[]);

    let fields = format!(", method: POST, body: {body}, expect: {{body: {{matches: '^b{{{}}}'}}}}", 900);
    assert_up(&probe(&prober, &url, &fields).await, "echoed");
    assert_eq!(received.recv().await, Some(200_000));
}
