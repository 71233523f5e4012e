//! Responses that a seeded generator breaks, to probe and to curl. Both come to the same result, or the difference is of a
//! kind that is judged and listed below.
//!
//! `WEBSITE_MONITOR_FUZZ_CASES` makes more cases than the few hundred of a usual run, `WEBSITE_MONITOR_FUZZ_SEED` other ones.
//! Without curl, probe still has to end by its deadline.

use std::{
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use fastrand::Rng;
use http::{HeaderMap, Method};
use probe::exchange::{Exchanger, Limits, Request, egress::Egress};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};
use url::Url;

use crate::wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, Wire, frame, hpack, tls,
};

/// The cases of each protocol in a usual run.
const CASES: usize = 250;
/// More than any case takes.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a client makes of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It is complete, with this status and so many bytes of a body.
    Complete(u16, usize),
    /// It is not, or it is no response.
    Failed,
}

/// A kind of difference that is judged to be right.
struct Accepted {
    reason: &'static str,
    /// Whether a response is of this kind.
    applies: fn(&[u8]) -> bool,
}

/// Where probe and curl (7.88 to 8.x) may differ over HTTP/1.1.
const ACCEPTED_HTTP1: &[Accepted] = &[];

/// Where they may differ over HTTP/2.
const ACCEPTED_HTTP2: &[Accepted] = &[];

#[tokio::test]
async fn broken_http1_responses_are_judged_as_by_curl() {
    let current = Arc::new(Mutex::new(Vec::new()));
    let response = Arc::clone(&current);
    let wire = Wire::answering(move |_| response.lock().unwrap().clone()).await;
    let exchanger = Exchanger::new(Egress::new(true, None), &[]).unwrap();
    compare("http1", &exchanger, &wire.url("/"), &current, broken_http1, ACCEPTED_HTTP1).await;
}

#[tokio::test]
async fn broken_http2_responses_are_judged_as_by_curl() {
    let (authority, server) = tls();
    let current = Arc::new(Mutex::new(Vec::new()));
    let response = Arc::clone(&current);
    let wire = Wire::http2_answering(&server, move || response.lock().unwrap().clone()).await;
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
    let exchanger = Exchanger::new(Egress::new(true, None), &[root]).unwrap();
    compare("http2", &exchanger, &wire.https("/"), &current, broken_http2, ACCEPTED_HTTP2).await;
}

/// Has each case answered to both clients. Fails where they differ in a way that is not accepted.
async fn compare(
    protocol: &str,
    exchanger: &Exchanger,
    url: &str,
    current: &Mutex<Vec<u8>>,
    case: fn(&mut Rng) -> Vec<u8>,
    accepted: &[Accepted],
) {
    let number = |name: &str| std::env::var_os(name).and_then(|text| text.to_str()?.parse().ok());
    let seed = number("WEBSITE_MONITOR_FUZZ_SEED").unwrap_or(18);
    let cases = number("WEBSITE_MONITOR_FUZZ_CASES").map_or(CASES, |cases| usize::try_from(cases).unwrap());
    let has_curl = Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !has_curl {
        eprintln!("not compared, since this machine has no curl");
    }
    let mut random = Rng::with_seed(seed);
    let (mut complete, mut judged, mut differences) = (0, 0, Vec::new());
    for index in 0..cases {
        let response = case(&mut random);
        current.lock().unwrap().clone_from(&response);
        let (probed, curled) = tokio::join!(probe(exchanger, url), curl(has_curl, url));
        complete += usize::from(probed != Verdict::Failed);
        let Some(curled) = curled.filter(|curled| *curled != probed) else { continue };
        match accepted.iter().find(|kind| (kind.applies)(&response)) {
            Some(_) => judged += 1,
            None => differences.push(format!(
                "{protocol} case {index} of seed {seed}: probe {probed:?}, curl {curled:?}\n  {}",
                response.escape_ascii()
            )),
        }
    }
    eprintln!("{protocol}: {cases} cases, {complete} complete, {judged} differ as is accepted");
    let reasons: Vec<_> = accepted.iter().map(|kind| kind.reason).collect();
    assert!(differences.is_empty(), "{}\naccepted are:\n{}", differences.join("\n"), reasons.join("\n"));
    // The generator breaks some and not all.
    assert!(complete > cases / 10 && complete < cases * 9 / 10, "{complete} of {cases}");
}

async fn probe(exchanger: &Exchanger, url: &str) -> Verdict {
    let url = Url::parse(url).unwrap();
    let request = Request {
        url: &url,
        method: Method::GET,
        headers: &HeaderMap::new(),
        body: None,
        max_redirects: 0,
        keeps_body: true,
    };
    let limits = Limits { connect_timeout: DEADLINE, timeout: DEADLINE, deadline: Instant::now() + DEADLINE };
    let exchange = tokio::time::timeout(DEADLINE * 2, exchanger.exchange(&request, limits)).await.unwrap();
    match exchange.result {
        Ok(answer) => Verdict::Complete(answer.status, answer.body.len()),
        Err(failure) => {
            assert!(!failure.message.is_empty());
            Verdict::Failed
        }
    }
}

async fn curl(has_curl: bool, url: &str) -> Option<Verdict> {
    if !has_curl {
        return None;
    }
    let mut command = Command::new("curl");
    command.args(["--silent", "--insecure", "--noproxy", "*", "--http2", "--output", "/dev/null"]);
    command.args(["--max-time", &DEADLINE.as_secs().to_string(), "--write-out", "%{http_code} %{size_download}", url]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (status, size) = text.split_once(' ').unwrap();
    Some(match output.status.success() {
        true => Verdict::Complete(status.parse().unwrap(), size.parse().unwrap()),
        false => Verdict::Failed,
    })
}

/// Valid responses of HTTP/1.1 and of HTTP/1.0.
const HTTP1: [&str; 10] = [
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nhello body",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5;a=b\r\n body\r\n0\r\nX-Trailer: a\r\n\r\n",
    "HTTP/1.1 200 OK\r\nServer: a\r\nConnection: close\r\n\r\nhello body",
    "HTTP/1.1 204 No Content\r\nServer: a\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello body",
    "HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nhello body",
    "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nX-Folded: a\r\n b\r\nContent-Length: 10\r\n\r\nhello body",
    "HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 10\r\n\r\nhello body",
    "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 10\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nDate: Sun, 29 Nov 2026 00:00:00 GMT\r\n\r\n",
];

/// Lines that matter where they come in.
const LINES: [&str; 14] = [
    "Content-Length: 3",
    "Content-Length: 10",
    "Content-Length: 99",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity",
    "Connection: close",
    "Connection: keep-alive",
    "X-Bytes: \u{e9}",
    " folded",
    "\tfolded",
    ": nameless",
    "no colon",
    "X-Blank : a",
];

const PIECES: [&str; 16] =
    ["\r\n", "\n", "\r", " ", "\t", "\0", ":", ";", ",", "+", "-", "0", "1", "A", "\u{7f}", "\u{1}"];

/// A response of HTTP/1.1 with one to three things wrong.
fn broken_http1(random: &mut Rng) -> Vec<u8> {
    let mut bytes = random.choice(HTTP1).unwrap().as_bytes().to_vec();
    for _ in 0..random.usize(1..=3) {
        let at = random.usize(..=bytes.len());
        let lines: Vec<_> =
            bytes.windows(2).enumerate().filter(|(_, pair)| pair == b"\r\n").map(|(at, _)| at + 2).collect();
        let line = random.choice(lines).unwrap_or(at);
        match random.u8(..8) {
            0 => drop(bytes.splice(at..at, random.choice(PIECES).unwrap().bytes())),
            1 if at < bytes.len() => bytes[at] = random.choice(PIECES).unwrap().as_bytes()[0],
            2 => drop(bytes.drain(at..(at + random.usize(1..=6)).min(bytes.len()))),
            3 => bytes.truncate(at),
            4 => drop(bytes.splice(line.saturating_sub(2)..line, *b"\n")),
            5 => {
                let text = format!("{}\r\n", random.choice(LINES).unwrap());
                bytes.splice(line..line, text.into_bytes());
            }
            6 => {
                let end =
                    bytes[line..].windows(2).position(|pair| pair == b"\r\n").map_or(bytes.len(), |end| line + end + 2);
                let again = bytes[line..end].to_vec();
                bytes.splice(line..line, again);
            }
            _ => bytes.extend(b"more"),
        }
    }
    bytes
}

/// A frame before it is written.
#[derive(Clone)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn plain(kind: u8, flags: u8, payload: impl Into<Vec<u8>>) -> Frame {
    let stream = if matches!(kind, SETTINGS | GOAWAY | 6) { 0 } else { 1 };
    Frame { kind, flags, stream, payload: payload.into() }
}

/// Fields that a response should not have, or that matter to its body.
const FIELDS: [(&str, &str); 16] = [
    ("content-length", "10"),
    ("content-length", "3"),
    ("content-length", "a"),
    ("X-Upper", "a"),
    ("connection", "close"),
    ("transfer-encoding", "chunked"),
    ("upgrade", "a"),
    ("te", "trailers"),
    (":status", "200"),
    (":path", "/"),
    ("x-blank", " a "),
    ("x-line", "a\r\nb"),
    ("x-nul", "a\0b"),
    ("x bad", "a"),
    ("", "a"),
    ("x-long", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
];

/// A response of HTTP/2 with one or two things wrong.
fn broken_http2(random: &mut Rng) -> Vec<u8> {
    let status = [(":status", "200"), ("server", "a")];
    let mut fields = status.to_vec();
    if random.u8(..3) == 0 {
        fields.push(("content-length", "10"));
    }
    let field = random.choice(FIELDS).unwrap();
    match random.u8(..6) {
        0 => fields.push(field),
        1 => fields.insert(0, field),
        2 => drop(fields.remove(random.usize(..fields.len()))),
        _ => {}
    }
    let block = hpack(&fields);
    let (start, rest) = block.split_at(block.len() / 2);
    let headers = plain(HEADERS, END_HEADERS, block.clone());
    let body = [plain(DATA, 0, *b"hello"), plain(DATA, END_STREAM, *b" body")];
    let trailers = plain(HEADERS, END_HEADERS | END_STREAM, hpack(&[("x-trailer", "a")]));
    let early = plain(HEADERS, END_HEADERS, hpack(&[(":status", "103"), ("link", "</a>")]));
    let mut frames = match random.u8(..8) {
        0 => vec![plain(HEADERS, END_HEADERS | END_STREAM, block)],
        1 => vec![plain(HEADERS, 0, start), plain(CONTINUATION, END_HEADERS, rest), body[0].clone(), body[1].clone()],
        2 => vec![early, headers, body[0].clone(), trailers],
        3 => vec![headers, body[0].clone(), plain(RST_STREAM, 0, [0, 0, 0, random.u8(..14)])],
        4 => vec![headers, plain(6, 0, [0; 8]), plain(SETTINGS, 0, []), body[0].clone(), body[1].clone()],
        5 => vec![plain(GOAWAY, 0, [0, 0, 0, random.u8(..2), 0, 0, 0, random.u8(..2)]), headers, body[1].clone()],
        6 => vec![headers, plain(DATA, 8 | END_STREAM, *b"\x02hello body\0\0")],
        _ => vec![headers, body[0].clone(), body[1].clone()],
    };
    for _ in 0..random.usize(..=2) {
        let at = random.usize(..frames.len());
        match random.u8(..9) {
            0 if frames.len() > 1 => drop(frames.remove(at)),
            1 => frames.insert(at, frames[at].clone()),
            2 => frames.swap(at, 0),
            3 => frames[at].flags ^= 1 << random.u8(..6),
            4 => frames[at].stream = random.u32(..4),
            5 => frames[at].kind = random.u8(..12),
            6 if !frames[at].payload.is_empty() => {
                let byte = random.usize(..frames[at].payload.len());
                frames[at].payload[byte] ^= 1 << random.u8(..8);
            }
            7 => drop(frames[at].payload.pop()),
            _ => frames[at].payload.push(0),
        }
    }
    frames.iter().flat_map(|Frame { kind, flags, stream, payload }| frame(*kind, *flags, *stream, payload)).collect()
}
