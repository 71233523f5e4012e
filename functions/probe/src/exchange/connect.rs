//! A connection for one hop: the name, TCP, TLS, each timed.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use shared::{
    Millis,
    record::{Failure, FailureKind, Phases},
};
use tokio::io::{AsyncRead, AsyncWrite};
use url::{Host, Url};

use super::{
    egress::Egress,
    resolver::{self, ResolveError, judged},
    tcp, tls,
};

/// A byte stream, with or without TLS.
pub(super) type Stream = Box<dyn ByteStream>;

/// What HTTP needs of a connection.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// A connection that is ready for a request.
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// Whether the server chose HTTP/2 in the TLS handshake.
    pub(super) is_http2: bool,
}

/// The step that is being made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Name,
    Tcp,
    Tls,
    Response,
}

/// How far a hop has come. The next step begins where the one before ended.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) step: Step,
    pub(super) phases: Phases,
    /// When the step began.
    pub(super) since: Instant,
    /// Expiry of the certificate that the server showed; null without one.
    pub(super) certificate_expires_at: Option<Timestamp>,
}

impl Progress {
    pub(super) fn new(now: Instant) -> Self {
        Self { step: Step::Name, phases: Phases::default(), since: now, certificate_expires_at: None }
    }

    /// Ends the step; returns how long it took.
    pub(super) fn next(&mut self, step: Step) -> Option<Millis> {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.since);
        (self.step, self.since) = (step, now);
        Some(Millis::from(took))
    }
}

impl Step {
    /// The step in progress, for an attempt that reaches its deadline.
    pub(super) fn doing(self) -> &'static str {
        match self {
            Self::Name => "resolving the name",
            Self::Tcp => "connecting",
            Self::Tls => "in the TLS handshake",
            Self::Response => "waiting for the first byte",
        }
    }

    /// The message for a step that did not end within the time for connecting.
    pub(super) fn unfinished(self, limit: Duration) -> String {
        let what = match self {
            Self::Name => "no address of the name",
            Self::Tcp => "no TCP connection",
            Self::Tls | Self::Response => "no TLS handshake",
        };
        format!("{what} within {} ms", limit.as_millis())
    }
}

/// Connects to the server of a URL. `progress` says how far it came, also when it is given up.
pub(super) async fn connect(
    settings: &tls::Settings,
    egress: &Egress,
    url: &Url,
    progress: &mut Progress,
) -> Result<Connection, Failure> {
    let failed = |kind, message| Failure { kind, message };
    let host = url.host().ok_or_else(|| failed(FailureKind::Protocol, "the URL has no host".to_owned()))?;
    let port = url.port_or_known_default().unwrap_or_default();
    let literal = |ip: std::net::IpAddr| judged(vec![(ip, port).into()], egress).map_err(ResolveError::Blocked);
    let addresses = match host {
        Host::Domain(name) => resolver::resolve(name, port, egress).await,
        Host::Ipv4(ip) => literal(ip.into()),
        Host::Ipv6(ip) => literal(ip.into()),
    };
    let is_resolved = matches!(host, Host::Domain(_)) && !matches!(addresses, Err(ResolveError::Dns(_)));
    let dns = progress.next(Step::Tcp);
    progress.phases.dns = dns.filter(|_| is_resolved);
    let addresses = addresses.map_err(|error| match error {
        ResolveError::Dns(error) => failed(FailureKind::Dns, error.to_string()),
        ResolveError::Blocked(refused) => failed(FailureKind::Blocked, refused.to_string()),
    })?;
    let tcp = tcp::connect(addresses).await.map_err(|error| failed(FailureKind::Connect, error.to_string()))?;
    if url.scheme() != "https" {
        progress.phases.connect = progress.next(Step::Response);
        return Ok(Connection { stream: Box::new(tcp), is_http2: false });
    }
    progress.phases.connect = progress.next(Step::Tls);
    let stream = tls::handshake(settings, host, tcp, &mut progress.certificate_expires_at).await?;
    progress.phases.tls = progress.next(Step::Response);
    let (_, session) = stream.get_ref();
    let is_http2 = session.alpn_protocol() == Some(tls::H2);
    Ok(Connection { stream: Box::new(stream), is_http2 })
}
