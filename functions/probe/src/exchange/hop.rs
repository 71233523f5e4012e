//! One hop: a fresh connection, a request, the head of its response.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use reqwest::{Client, Method, Response, header::HeaderMap, redirect::Policy, tls::TlsInfo};
use rustls::ClientConfig;
use shared::{
    Millis,
    record::{Failure, FailureKind, Phases},
};
use tokio::time::timeout_at;
use url::{Host, Url};

use super::{
    clock::{Clock, TimedLayer},
    egress::Egress,
    failure::failure,
    resolver::Resolver,
    tls,
};

/// What is sent in a hop. Not to be printed: headers and body may hold secrets.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<String>,
}

/// Until when, and how these limits are called.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the name, TCP and TLS of a hop together.
    pub connect_timeout: Duration,
    /// For everything.
    pub timeout: Duration,
    /// When that is over.
    pub deadline: Instant,
}

/// The head of a response.
pub(super) struct Head {
    pub(super) response: Response,
    pub(super) phases: Phases,
    /// When it was there.
    pub(super) at: Instant,
    pub(super) certificate_expires_at: Option<Timestamp>,
}

/// Sends a request on a connection of its own and awaits the head of the response. In any case returns the phases that
/// came to their end.
pub(super) async fn send(
    settings: &ClientConfig,
    egress: &Arc<Egress>,
    sent: &Sent,
    limits: Limits,
) -> Result<Head, (Failure, Phases)> {
    let clock = Arc::new(Clock::default());
    let is_https = sent.url.scheme() == "https";
    let sending = async {
        check_literal(egress, &sent.url)?;
        let client = client(settings, egress, sent, &clock, limits).map_err(|error| failure(&error))?;
        let mut request = client.request(sent.method.clone(), sent.url.clone()).headers(sent.headers.clone());
        if let Some(body) = &sent.body {
            request = request.body(body.clone());
        }
        request.send().await.map_err(|error| describe(&error, limits))
    };
    let response = match timeout_at(limits.deadline.into(), sending).await {
        Ok(Ok(response)) => response,
        Ok(Err(failure)) => return Err((failure, clock.phases(is_https))),
        Err(_) => return Err((given_up(limits, clock.doing()), clock.phases(is_https))),
    };
    let at = Instant::now();
    let first_byte = clock.connected_at().map(|connected| Millis::from(at.saturating_duration_since(connected)));
    let certificate = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
    let certificate_expires_at = certificate.and_then(tls::expires_at);
    Ok(Head { phases: Phases { first_byte, ..clock.phases(is_https) }, response, at, certificate_expires_at })
}

/// The failure of an exchange that was not finished in time.
pub(super) fn given_up(limits: Limits, doing: &str) -> Failure {
    let message = format!("not finished within {} ms: {doing}", limits.timeout.as_millis());
    Failure { kind: FailureKind::Timeout, message }
}

/// A client for one hop, so that its clock is that hop's alone, and its connection with it. Making one takes some tens of
/// microseconds.
fn client(
    settings: &ClientConfig,
    egress: &Arc<Egress>,
    sent: &Sent,
    clock: &Arc<Clock>,
    limits: Limits,
) -> reqwest::Result<Client> {
    let port = sent.url.port_or_known_default().unwrap_or_default();
    let resolver = Resolver { clock: Arc::clone(clock), egress: Arc::clone(egress), port };
    Client::builder()
        .user_agent(concat!("website-monitor/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls::timed(settings, Arc::<Clock>::clone(clock)))
        .tls_info(true)
        .dns_resolver(Arc::new(resolver))
        .connector_layer(TimedLayer(Arc::clone(clock)))
        .connect_timeout(limits.connect_timeout)
        .redirect(Policy::none())
        .pool_max_idle_per_host(0)
        // A proxy of the environment would connect for us, unguarded.
        .no_proxy()
        .build()
}

/// A literal address never reaches the resolver.
fn check_literal(egress: &Egress, url: &Url) -> Result<(), Failure> {
    let port = url.port_or_known_default().unwrap_or_default();
    let checked = match url.host() {
        Some(Host::Ipv4(ip)) => egress.check((ip, port).into()),
        Some(Host::Ipv6(ip)) => egress.check((ip, port).into()),
        Some(Host::Domain(_)) | None => Ok(()),
    };
    checked.map_err(|refused| Failure { kind: FailureKind::Blocked, message: refused.to_string() })
}

fn describe(error: &reqwest::Error, limits: Limits) -> Failure {
    let failure = failure(error);
    match failure.kind {
        FailureKind::Timeout if error.is_connect() => {
            Failure { message: format!("no connection within {} ms", limits.connect_timeout.as_millis()), ..failure }
        }
        _ => failure,
    }
}
