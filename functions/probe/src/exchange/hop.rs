//! One hop: a fresh connection, a request, the head of its response.

use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode};
use hyper::body::Bytes;
use shared::{
    Millis,
    record::{Failure, FailureKind, Phases},
};
use tokio::time::timeout_at;
use url::Url;

use super::{
    connect::{Connection, Progress, connect},
    egress::Egress,
    head, http1, http2, tls,
};

/// What is sent in a hop. Not to be printed: headers and body may hold secrets.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) url: Url,
    pub(super) method: Method,
    /// Those of the monitor, without the defaults.
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
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    pub(super) phases: Phases,
    /// When it was there.
    pub(super) at: Instant,
}

/// The body of a response.
pub(super) enum Body {
    Http1(http1::Body),
    Http2(http2::Body),
}

impl Body {
    /// The next bytes, or none at the end of a complete body.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Http1(body) => body.chunk().await,
            Self::Http2(body) => body.chunk().await,
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        match self {
            Self::Http1(body) => body.finish(),
            Self::Http2(body) => body.finish(),
        }
    }
}

/// Sends a request on a connection of its own and awaits the head of the response. `progress` has the phases that
/// ended, also when the hop fails.
pub(super) async fn send(
    settings: &tls::Settings,
    egress: &Egress,
    sent: &Sent,
    limits: Limits,
    progress: &mut Progress,
) -> Result<Head, Failure> {
    let connect_by = progress.since + limits.connect_timeout;
    let connected =
        timeout_at(limits.deadline.min(connect_by).into(), connect(settings, egress, &sent.url, progress)).await;
    let connection = match connected {
        Ok(Ok(connection)) => connection,
        Ok(Err(failure)) => return Err(failure),
        Err(_) if connect_by < limits.deadline => {
            let message = progress.step.unfinished(limits.connect_timeout);
            return Err(Failure { kind: FailureKind::Timeout, message });
        }
        Err(_) => return Err(given_up(limits, progress.step.doing())),
    };
    let Connection { stream, is_http2 } = connection;
    let sending = async {
        if is_http2 {
            http2::send(stream, sent).await.map(|(parts, body)| (parts, Body::Http2(body)))
        } else {
            http1::send(stream, sent).await.map(|(parts, body)| (parts, Body::Http1(body)))
        }
    };
    let (parts, body) = match timeout_at(limits.deadline.into(), sending).await {
        Ok(Ok(response)) => response,
        Ok(Err(failure)) => return Err(failure),
        Err(_) => return Err(given_up(limits, progress.step.doing())),
    };
    let at = Instant::now();
    let first_byte = Some(Millis::from(at.saturating_duration_since(progress.since)));
    let (status, mut headers) = (parts.status, parts.headers);
    check_status(status)?;
    head::check_response(&mut headers)?;
    Ok(Head { status, headers, body, phases: Phases { first_byte, ..progress.phases }, at })
}

/// Refuses 101, after which the connection speaks another protocol. No request asks for one.
pub(super) fn check_status(status: StatusCode) -> Result<(), Failure> {
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    let message = "HTTP status 101: the server switches to another protocol without being asked to".to_owned();
    Err(Failure { kind: FailureKind::Protocol, message })
}

/// The failure of an exchange that was not finished in time.
pub(super) fn given_up(limits: Limits, doing: &str) -> Failure {
    let message = format!("not finished within {} ms: {doing}", limits.timeout.as_millis());
    Failure { kind: FailureKind::Timeout, message }
}
