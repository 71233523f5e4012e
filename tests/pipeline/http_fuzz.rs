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
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, Wire, frame, frames, hpack, tls,
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

/// A response, and what both clients make of it.
struct Case {
    response: Vec<u8>,
    probe: Verdict,
    curl: Verdict,
}

/// A kind of difference that is judged to be right.
struct Accepted {
    reason: &'static str,
    applies: fn(&Case) -> bool,
}

/// Where probe and curl (7.88) differ over HTTP/1.1, and why probe is right.
const ACCEPTED_HTTP1: &[Accepted] = &[
    Accepted {
        reason: "a head that the connection cuts off: curl takes it for complete, RFC 9112 section 8 does not",
        applies: |case| case.is_probe_strict() && !Head::of(&case.response).is_complete,
    },
    Accepted {
        reason: "a status line of another form: RFC 9112 section 4 has one form, and lets a client be lenient",
        applies: |case| case.is_probe_strict() && !Head::of(&case.response).status_lines.iter().all(is_status_line),
    },
    Accepted {
        reason: "101, which nothing asks for: curl takes what follows for a body",
        applies: |case| case.is_probe_strict() && Head::of(&case.response).status_lines.iter().any(is_switch),
    },
    Accepted {
        reason: "a bare CR or a NUL in a head: RFC 9110 section 5.5 has it refused or replaced, curl does neither",
        applies: |case| {
            let head = Head::of(&case.response);
            case.is_probe_strict() && head.lines.iter().any(|line| line.contains(&b'\r') || line.contains(&0))
        },
    },
    Accepted {
        reason: "a Content-Length that is no number, or several: RFC 9112 section 6.3 has it an error, curl reads a part of it",
        applies: |case| case.is_probe_strict() && !Head::of(&case.response).has_one_length(),
    },
    Accepted {
        reason: "a transfer coding in HTTP/1.0, or one that is not asked for: RFC 9112 section 6.1 has the framing faulty",
        applies: |case| case.is_probe_strict() && !Head::of(&case.response).has_known_framing(),
    },
    Accepted {
        reason: "a chunk or a trailer of another form than in RFC 9112 section 7.1: hyper refuses it, curl reads over it",
        applies: |case| {
            let head = Head::of(&case.response);
            case.is_probe_strict() && head.is_chunked() && !is_chunked_body(head.body)
        },
    },
    Accepted {
        reason: "a control character in the line that frames the body: the line is no header and is ignored, so that the \
                 connection ends the body; no server sends it, and to tell it from other such lines is not worth a parser",
        applies: |case| {
            let head = Head::of(&case.response);
            let values = [head.values("content-length"), head.values("transfer-encoding")].concat();
            values.iter().any(|value| value.bytes().any(|byte| byte.is_ascii_control()))
        },
    },
    Accepted {
        reason: "a line of a head that is no header: browsers ignore it and RFC 9112 does not forbid that, curl refuses it",
        applies: |case| case.is_probe_lenient() && Head::of(&case.response).has_colonless_line,
    },
    Accepted {
        reason: "a folded line in the place of the first header: curl fails with a bad argument, RFC 9112 section 2.2 has it ignored",
        applies: |case| case.is_probe_lenient() && Head::of(&case.response).is_first_folded,
    },
    Accepted {
        reason: "an empty line before a status line: hyper passes over it, RFC 9112 section 2.2 has it so for requests",
        applies: |case| case.is_probe_lenient() && Head::of(&case.response).has_empty_line,
    },
];

/// Where they differ over HTTP/2.
const ACCEPTED_HTTP2: &[Accepted] = &[
    Accepted {
        reason: "a body without END_STREAM, or of which bytes are missing: curl takes it for complete when its library ends \
                 the connection, RFC 9113 section 8.1 does not",
        applies: |case| {
            let (size, end) = body_of(&case.response);
            case.is_probe_strict()
                && (end != Some(DATA) || !matches!(case.curl, Verdict::Complete(_, read) if read == size))
        },
    },
    Accepted {
        reason: "a status below 100: RFC 9110 section 15 has none",
        applies: |case| case.is_probe_strict() && matches!(case.curl, Verdict::Complete(..100, _)),
    },
    Accepted {
        reason: "a malformed block of headers in several frames: h2 loses sight of that, and the response is complete",
        applies: |case| case.is_probe_lenient() && kinds(&case.response).contains(&CONTINUATION),
    },
    Accepted {
        reason: "a Content-Length that is repeated and equal: RFC 9110 section 8.6 allows to take it for one, curl refuses it",
        applies: |case| {
            let lengths = case.response.windows(14).filter(|window| *window == b"content-length");
            case.is_probe_lenient() && lengths.count() > 1
        },
    },
    Accepted {
        reason: "GOAWAY with a last stream that is none of a client: curl ends the connection, h2 awaits the response",
        applies: |case| case.is_probe_lenient() && kinds(&case.response).contains(&GOAWAY),
    },
    Accepted {
        reason: "a pseudo-header of requests in a response: RFC 9113 section 8.3 has it malformed, h2 drops it unseen",
        applies: |case| case.is_probe_lenient() && case.response.windows(5).any(|window| window == b":path"),
    },
];

impl Case {
    fn is_probe_strict(&self) -> bool {
        self.probe == Verdict::Failed
    }

    fn is_probe_lenient(&self) -> bool {
        self.curl == Verdict::Failed
    }
}

/// The heads of a response of HTTP/1.1, interim ones first.
#[derive(Default)]
struct Head<'response> {
    status_lines: Vec<&'response [u8]>,
    lines: Vec<&'response [u8]>,
    /// Those of headers, unfolded.
    fields: Vec<Vec<u8>>,
    is_complete: bool,
    is_first_folded: bool,
    has_colonless_line: bool,
    has_empty_line: bool,
    body: &'response [u8],
}

impl<'response> Head<'response> {
    fn of(response: &'response [u8]) -> Self {
        let mut head = Self::default();
        let (mut is_start, mut read) = (true, 0);
        for (line, has_cr) in lines(response) {
            read += line.len() + 1 + usize::from(has_cr);
            match (is_start, line.is_empty()) {
                (true, true) => head.has_empty_line = true,
                (true, false) => {
                    head.status_lines.push(line);
                    head.lines.push(line);
                    is_start = false;
                }
                (false, true) => {
                    let last = head.status_lines.last().copied().unwrap_or_default();
                    is_start = last.get(9) == Some(&b'1') && !is_switch(&last);
                    if !is_start {
                        head.is_complete = true;
                        head.body = response.get(read..).unwrap_or_default();
                        break;
                    }
                }
                (false, false) => {
                    let is_folded = line.starts_with(b" ") || line.starts_with(b"\t");
                    let is_first = head.lines.last() == head.status_lines.last();
                    head.is_first_folded |= is_folded && is_first;
                    head.has_colonless_line |= !is_folded && !line.contains(&b':');
                    match head.fields.last_mut() {
                        Some(field) if is_folded && !is_first => field.extend(line),
                        _ if is_folded => {}
                        _ => head.fields.push(line.to_vec()),
                    }
                    head.lines.push(line);
                }
            }
        }
        head
    }

    /// The values of a header, in lower case and without blanks.
    fn values(&self, name: &str) -> Vec<String> {
        let fields = self.fields.iter().map(|line| String::from_utf8_lossy(line).to_ascii_lowercase());
        let named = fields.filter_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found.trim() == name).then(|| value.trim().to_owned())
        });
        named.collect()
    }

    fn has_one_length(&self) -> bool {
        let lengths = self.values("content-length");
        lengths.iter().all(|length| length.parse::<u64>().is_ok() && !length.starts_with('+') && *length == lengths[0])
    }

    fn is_chunked(&self) -> bool {
        self.values("transfer-encoding").iter().any(|value| value.contains("chunked"))
    }

    fn has_known_framing(&self) -> bool {
        let codings = self.values("transfer-encoding");
        let is_old = self.status_lines.last().is_some_and(|line| line.starts_with(b"HTTP/1.0"));
        codings.is_empty() || !is_old && codings.len() == 1 && (codings == ["chunked"] || codings == ["identity"])
    }
}

/// The lines of a text that come to their end, each with whether that is CRLF.
fn lines(text: &[u8]) -> Vec<(&[u8], bool)> {
    let mut lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
    lines.pop();
    lines.into_iter().map(|line| line.strip_suffix(b"\r").map_or((line, false), |line| (line, true))).collect()
}

/// Whether a body is chunked as RFC 9112 section 7.1 has it, with trailers that are headers.
fn is_chunked_body(mut body: &[u8]) -> bool {
    fn line(body: &[u8]) -> Option<(&[u8], &[u8])> {
        let end = body.windows(2).position(|pair| pair == b"\r\n")?;
        Some((&body[..end], &body[end + 2..]))
    }
    loop {
        let Some((size, rest)) = line(body) else { return false };
        let (digits, extension) = size.split_at(size.iter().take_while(|byte| byte.is_ascii_hexdigit()).count());
        let has_end = matches!(extension.first(), None | Some(b';')) && !extension.iter().any(u8::is_ascii_control);
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let Some(size) = size.filter(|_| has_end) else { return false };
        body = rest;
        if size == 0 {
            break;
        }
        let Some(rest) = body.get(size..).and_then(|rest| rest.strip_prefix(b"\r\n")) else { return false };
        body = rest;
    }
    loop {
        match line(body) {
            None => return false,
            Some((b"", _)) => return true,
            Some((trailer, rest)) => {
                let name = trailer.split(|byte| *byte == b':').next().unwrap_or_default();
                let is_token = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
                if name.len() == trailer.len() || !is_token || trailer.iter().any(u8::is_ascii_control) {
                    return false;
                }
                body = rest;
            }
        }
    }
}

/// Whether a line is a status line of HTTP/1.0 or HTTP/1.1 with a status from 100, and a reason without control characters.
fn is_status_line(line: &&[u8]) -> bool {
    let Some((version, rest)) = line.split_at_checked(9) else { return false };
    let Some((status, reason)) = rest.split_at_checked(3) else { return false };
    matches!(version, b"HTTP/1.0 " | b"HTTP/1.1 ")
        && status[0] != b'0'
        && status.iter().all(u8::is_ascii_digit)
        && (reason.is_empty() || reason[0] == b' ')
        && !reason.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

fn is_switch(line: &&[u8]) -> bool {
    line.get(9..12) == Some(b"101")
}

/// The types of the frames of a response.
fn kinds(response: &[u8]) -> Vec<u8> {
    // As if a client had sent it.
    frames(&[&[0; 24], response].concat()).into_iter().map(|(kind, ..)| kind).collect()
}

/// The bytes of a body on stream 1, and by which type of frame it ends.
fn body_of(response: &[u8]) -> (usize, Option<u8>) {
    let mut size = 0;
    // As if a client had sent it.
    let response = [&[0; 24], response].concat();
    for (kind, flags, stream, payload) in frames(&response) {
        if stream != 1 || !matches!(kind, DATA | HEADERS) {
            continue;
        }
        if kind == DATA {
            let padding =
                if flags & 8 == 0 { 0 } else { payload.first().map_or(0, |padding| 1 + usize::from(*padding)) };
            let Some(length) = payload.len().checked_sub(padding) else { return (size, None) };
            size += length;
        }
        if flags & END_STREAM != 0 {
            return (size, Some(kind));
        }
    }
    (size, None)
}

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
    let (mut complete, mut judged, mut differences) = (0, vec![0; accepted.len()], Vec::new());
    for index in 0..cases {
        let response = case(&mut random);
        current.lock().unwrap().clone_from(&response);
        let (probe, curl) = tokio::join!(probe(exchanger, url), curl(has_curl, url));
        complete += usize::from(probe != Verdict::Failed);
        let Some(curl) = curl.filter(|curl| *curl != probe) else { continue };
        let case = Case { response, probe, curl };
        match accepted.iter().position(|kind| (kind.applies)(&case)) {
            Some(kind) => judged[kind] += 1,
            None => differences.push(format!(
                "{protocol} case {index} of seed {seed}: probe {:?}, curl {:?}\n  {}",
                case.probe,
                case.curl,
                case.response.escape_ascii()
            )),
        }
    }
    for (kind, count) in accepted.iter().zip(&judged) {
        eprintln!("{protocol}: {count} of {cases} cases are {}", kind.reason);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
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
