//! One exchange over HTTP: from a URL, hop by hop, to the last byte of the answer, timed.
//!
//! Every hop makes a connection of its own: a probe that reused one would leave out the very phases that most often
//! fail. **The sum rule**: the phases of a hop follow each other without a gap but for the client's own work between them,
//! and those of the exchange are the sums over its hops; so `dns + connect + tls + first_byte + download` is the response
//! time, less well under a millisecond. Only what came to its end is counted: what a hop was doing when it failed is the
//! difference.
//!
//! What stock hooks cannot tell: when the request had been written, and when the very first byte came. `first_byte` begins
//! with the connection and ends with the whole head. With several addresses, `connect` is the time until one of them
//! answered (RFC 8305, as the client does it).
//!
//! `clock` is told by the hooks of a stock HTTP client when what happens, `egress` says what may be connected to.

mod clock;
pub mod egress;
mod failure;
mod hop;
mod redirect;
mod resolver;
mod tls;

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;
use reqwest::{Method, Response, header::HeaderMap};
use rustls::{ClientConfig, pki_types::CertificateDer};
use shared::{
    Millis,
    record::{Failure, FailureKind, Hop, Phases},
};
use tokio::time::timeout_at;
use url::Url;

use self::{
    egress::Egress,
    hop::{Head, Sent, given_up},
};
pub use self::{hop::Limits, tls::TlsError};

/// How much of a body is read, in bytes as they come; what is behind it is not waited for.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// What every exchange starts from.
pub struct Exchanger {
    tls: ClientConfig,
    egress: Arc<Egress>,
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
    /// When the leaf certificate of the last hop that showed one runs out.
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
    /// Prepares TLS with Mozilla's roots and more.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(egress: Egress, extra_roots: &[CertificateDer<'static>]) -> Result<Self, TlsError> {
        Ok(Self { tls: tls::settings(extra_roots)?, egress: Arc::new(egress) })
    }

    /// One that may go to this machine as well, for what is no target.
    pub(crate) fn to_this_machine(&self) -> Self {
        Self { tls: self.tls.clone(), egress: Arc::new(Egress::new(true, None)) }
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
            let head = match hop::send(&self.tls, &self.egress, &sent, limits).await {
                Ok(head) => head,
                Err((failure, phases)) => {
                    exchange.add(&sent.url, None, phases);
                    break Err(failure);
                }
            };
            let Head { response, mut phases, at, certificate_expires_at } = head;
            exchange.certificate_expires_at = certificate_expires_at.or(exchange.certificate_expires_at);
            let status = response.status();
            let location = redirect::location(&response).filter(|_| request.max_redirects > 0);
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
            let answer = answer(response, request.keeps_body, limits).await;
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
async fn answer(mut response: Response, keeps_body: bool, limits: Limits) -> Result<Answer, Failure> {
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let (mut body, mut read) = (Vec::new(), 0);
    let reading = async {
        while let Some(chunk) = response.chunk().await? {
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
        Ok(Err(error)) => Err(Failure { kind: FailureKind::Body, message: failure::failure(&error).message }),
        Err(_) => Err(given_up(limits, "reading the body")),
    }
}
