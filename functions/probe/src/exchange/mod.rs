//! One exchange over HTTP: from a URL, hop by hop, to the last byte of the answer, timed.
//!
//! Every hop makes a connection of its own: a probe that reused one would leave out the very phases that most often
//! fail. **The sum rule**: the phases of a hop follow each other without a gap but for the client's own work between them,
//! and those of the exchange are the sums over its hops; so `dns + connect + tls + first_byte + download` is the response
//! time, less well under a millisecond. Only what came to its end is counted: what a hop was doing when it failed is the
//! difference.
//!
//! `first_byte` begins with the connection and ends with the complete head. With several addresses, `connect` is the time
//! until one of them answered.
//!
//! One hop is `connect` (`resolver`, `tcp`, `tls`), then one request by `http1` or `http2`, driven by the `driver` in the task
//! of the exchange. `egress` judges every address before it is connected to.
//!
//! # What the client does and does not do
//!
//! The client does nothing on its own that a record does not show. These are the defaults of its libraries (hyper for
//! HTTP/1.1, h2 for HTTP/2, rustls for TLS), each with the value that is set here and the reason.
//!
//! **The request**
//!
//! | default | value | reason |
//! |---|---|---|
//! | retries | none | One request per attempt. A pooled client, such as that of reqwest, sends a request again after `REFUSED_STREAM`, `GOAWAY` or a lost connection, and no record would show it. |
//! | connections | one per hop, no pool | A reused one would leave out the phases that fail most often. |
//! | redirects | by `redirect`, up to the monitor's limit | Each is a hop of the record. |
//! | headers | `host` or `:authority`, `user-agent`, `accept: */*`, then the monitor's | As curl sends them. The monitor replaces any of them. |
//! | `content-length` | with a body; 0 for POST, PUT and PATCH without one | RFC 9110, section 8.6. The libraries leave it out for HTTP/1.1, and add it to OPTIONS for HTTP/2. |
//! | `host` of the monitor | `Host`, or `:authority` without a `host` | RFC 9113, section 8.3.1. SNI and the certificate stay those of the URL, as in curl. It does not follow to another origin. |
//! | `accept-encoding`, cookies, `referer` | none | The monitor sets them if it expects them. |
//! | `te`, `keep-alive`, `proxy-connection` of the monitor | left out over HTTP/2, but for `te: trailers` | RFC 9113, section 8.2.2: they would make the request malformed. |
//! | `expect: 100-continue` | not waited for | It is not sent unless the monitor sets it. |
//! | header names | lower case | The same in both protocols; case means nothing (RFC 9110, section 5.1). |
//! | proxies of the environment | none | One would connect in place of `egress`. |
//! | HTTP/2 without TLS, upgrades | never | `http://` is HTTP/1.1. |
//!
//! **The connection**
//!
//! | default | value | reason |
//! |---|---|---|
//! | name resolution | the system's, within `connect_timeout` | `getaddrinfo` asks again by its own rules: glibc waits 5 s for a lost packet, all of the default `connect_timeout`. The template sets `RES_OPTIONS: timeout:1 attempts:3`, so that it asks again after 1 s; elsewhere set it in the environment or in `resolv.conf`. A lookup that is given up ends in its thread. |
//! | several addresses | 250 ms apart, families in turn | RFC 8305. |
//! | `TCP_NODELAY` | on | The request is not held back. |
//! | TCP keep-alive, HTTP/2 pings | none | The timeout ends what is silent. |
//! | TLS versions | 1.3, and 1.2 with ECDHE and an AEAD cipher | The library has no others: servers with CBC or RSA key exchange only are down, and the message names the alert and this limit. |
//! | ALPN | `h2`, `http/1.1` | A server that chooses neither is spoken to in HTTP/1.1. |
//! | SNI | the host of the URL | Not that of a `host` header. |
//! | session resumption, 0-RTT | off | Every probe makes a complete handshake. |
//! | certificates | `trust` | Mozilla's roots, the authorities (CA:TRUE) in `WM_PROBE_CA_FILE`, and the certificates in that file themselves. No revocation lists. |
//!
//! **The response**
//!
//! | default | value | reason |
//! |---|---|---|
//! | size of the head | 307,200 bytes and 5,000 headers, in both protocols | The limits of curl. hyper has 100 headers and h2 16 KiB. Status lines are not counted: they, and the heads of interim responses before, have 64 KiB more. |
//! | HTTP/2 header list | 1 MiB, of at most 80 CONTINUATION frames | More than the limit above, which is counted without the 32 bytes that HTTP/2 adds to each header, so that the limit is the same and is named. |
//! | folded header lines | unfolded to one blank | RFC 9112, section 5.2. |
//! | blanks before a colon | taken away | As curl and browsers do. |
//! | lines that are no header | ignored | As browsers do. A NUL or a bare CR in a line is a failure. |
//! | line ends | CRLF, or LF alone in a head | RFC 9112, section 2.2. |
//! | HTTP/0.9, status lines of other forms | a failure | Nothing says where such a response ends. |
//! | interim responses (1xx) | passed over, up to 5,000 heads and headers of them | RFC 9110, section 15.2. 101 is a failure in both protocols: no request asks for it. |
//! | reading | 16 KiB, then other tasks have their turn | A server that sends without a pause delays neither the deadline nor other probes. |
//! | transfer codings | `chunked` | Nothing else was asked for, and nothing else is undone. HTTP/1.0 has none. |
//! | `content-length` that is no number, or is several | a failure | RFC 9112, section 6.3. Equal ones are one. |
//! | a body shorter than announced | a failure | Also after `RST_STREAM` with `NO_ERROR` or `CANCEL`, without END_STREAM (RFC 9113, section 8.1), and with a chunk missing. |
//! | a longer body | a failure over HTTP/2; what follows it is not read over HTTP/1.1 | RFC 9113, section 8.1.1. |
//! | a body that the connection ends | complete after the end of TCP, or of TLS | RFC 9112, section 9.8: TLS that ends without `close_notify` may be cut. Stricter than curl. |
//! | HEAD, 204, 304 | complete with the head, whatever length they announce | RFC 9110, section 8.6, and RFC 9113, section 8.1.1. END_STREAM is not waited for. |
//! | trailers | read, and not kept | Nothing is expected of them. A line that is not a header is a failure, unlike in a head. |
//! | trailers of `chunked` | up to hyper's limits: the bytes and headers of a head | More is a failure. |
//! | chunk extensions | ignored, up to 16 KiB in a body | The limit of hyper; more is a failure. |
//! | control characters in a value | the header is not read | `content-length`, `transfer-encoding` and the `location` of a redirect are a failure: without them, the message would end or lead elsewhere. |
//! | content codings | kept as they come | `monitors::body` undoes `gzip` and `deflate`. |
//! | bodies | read up to [`MAX_BODY_BYTES`] | The rest is not waited for, and the record says so. |
//! | HTTP/2 windows | 2 MiB | More than is read of a body. |
//! | HTTP/2 push | off | Nothing is asked for but the URL. |
//! | HTTP/2 frames without data | 100 empty DATA frames in a body | The limit of h2. A flood ends the connection with `ENHANCE_YOUR_CALM`, and is a failure. |

mod connect;
mod driver;
pub mod egress;
mod failure;
mod head;
mod hop;
mod http1;
mod http2;
mod redirect;
mod resolver;
mod response_stream;
mod tcp;
mod tls;
mod tls_error;
mod trust;

use std::time::Instant;

use http::{HeaderMap, Method};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use shared::{
    Millis,
    record::{Failure, FailureKind, Hop, Phases},
};
use tokio::time::timeout_at;
use url::Url;

pub(crate) use self::head::authority;
use self::{
    connect::Progress,
    egress::Egress,
    hop::{Body, Head, Sent, given_up},
};
pub use self::{hop::Limits, tls::TlsError};

/// How much of a body is read, in bytes as they come; what is behind it is not waited for.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// What every exchange starts from.
pub struct Exchanger {
    tls: tls::Settings,
    egress: Egress,
}

/// What is asked. Not to be printed: headers and body may hold secrets.
#[derive(Clone)]
pub struct Request<'request> {
    /// Where.
    pub url: &'request Url,
    /// How.
    pub method: Method,
    /// With what. Headers do not follow a redirect to another origin.
    pub headers: &'request HeaderMap,
    /// And what else.
    pub body: Option<&'request str>,
    /// Redirects that are followed; with 0, one is an answer like any other.
    pub max_redirects: usize,
    /// Whether the bytes of the body are wanted.
    pub keeps_body: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Exchange {
    /// The answer, or why there is none.
    pub result: Result<Answer, Failure>,
    /// The sums over the hops.
    pub phases: Phases,
    /// Each hop; more than one where there were redirects.
    pub hops: Vec<Hop>,
    /// Expiry of the leaf certificate of the last hop that showed one, also of one that is refused.
    pub certificate_expires_at: Option<Timestamp>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status of the last hop.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// The body as it came, if it was wanted.
    pub body: Vec<u8>,
    /// Whether the body is longer than [`MAX_BODY_BYTES`], and was not read further.
    pub is_cut: bool,
}

impl Exchanger {
    /// Prepares TLS with Mozilla's roots and `extra_roots`.
    ///
    /// # Errors
    /// A root is no certificate.
    pub fn new(egress: Egress, extra_roots: &[CertificateDer<'static>]) -> Result<Self, TlsError> {
        Ok(Self { tls: tls::settings(extra_roots)?, egress })
    }

    /// Makes an exchange. It ends by the deadline of its limits.
    pub async fn exchange(&self, request: &Request<'_>, limits: Limits) -> Exchange {
        let mut exchange = Exchange {
            result: Err(Failure { kind: FailureKind::Protocol, message: String::new() }),
            phases: Phases::default(),
            hops: Vec::new(),
            certificate_expires_at: None,
        };
        let mut sent = Sent {
            url: request.url.clone(),
            method: request.method.clone(),
            headers: request.headers.clone(),
            body: request.body.map(str::to_owned),
        };
        exchange.result = loop {
            let mut progress = Progress::new(Instant::now());
            let sending = hop::send(&self.tls, &self.egress, &sent, limits, &mut progress).await;
            exchange.certificate_expires_at = progress.certificate_expires_at.or(exchange.certificate_expires_at);
            let head = match sending {
                Ok(head) => head,
                Err(failure) => {
                    exchange.add(&sent.url, None, progress.phases);
                    break Err(failure);
                }
            };
            let Head { status, headers, body, mut phases, at } = head;
            let location = match redirect::location(status, &headers) {
                Ok(location) => location.filter(|_| request.max_redirects > 0),
                // With 0, one is an answer like any other.
                Err(_) if request.max_redirects == 0 => None,
                Err(failure) => {
                    exchange.add(&sent.url, Some(status.as_u16()), phases);
                    break Err(failure);
                }
            };
            if let Some(location) = location {
                exchange.add(&sent.url, Some(status.as_u16()), phases);
                if exchange.hops.len() > request.max_redirects {
                    let message = format!("more than {} redirects", request.max_redirects);
                    break Err(Failure { kind: FailureKind::Redirect, message });
                }
                match redirect::follow(&sent, status, &location) {
                    Ok(next) => sent = next,
                    Err(failure) => break Err(failure),
                }
                continue;
            }
            let answer = answer(status.as_u16(), headers, body, request.keeps_body, limits).await;
            if answer.is_ok() {
                phases.download = Some(Millis::from(Instant::now().saturating_duration_since(at)));
            }
            exchange.add(&sent.url, Some(status.as_u16()), phases);
            break answer;
        };
        exchange
    }
}

impl Exchange {
    fn add(&mut self, url: &Url, status: Option<u16>, phases: Phases) {
        self.phases = self.phases + phases;
        // Without its query, which may hold what is nobody's business.
        let mut url = url.clone();
        url.set_query(None);
        url.set_fragment(None);
        self.hops.push(Hop { url: url.into(), http_status_code: status, phases });
    }
}

/// Reads a response to its end, or as far as it is read.
async fn answer(
    status: u16,
    headers: HeaderMap,
    mut source: Body,
    keeps_body: bool,
    limits: Limits,
) -> Result<Answer, Failure> {
    let (mut body, mut read) = (Vec::new(), 0);
    let reading = async {
        while let Some(chunk) = source.chunk().await? {
            read += chunk.len();
            if keeps_body {
                let room = MAX_BODY_BYTES.saturating_sub(body.len());
                body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
            }
            if read > MAX_BODY_BYTES {
                break;
            }
        }
        Ok(())
    };
    match timeout_at(limits.deadline.into(), reading).await {
        Ok(Ok(())) => Ok(Answer { status, headers, body, is_cut: read > MAX_BODY_BYTES }),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(given_up(limits, "reading the body")),
    }
}
