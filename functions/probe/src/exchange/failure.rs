//! From the error of the HTTP client to a failure of the closed set. Pure: no client in sight.

use std::{error::Error, io};

use shared::record::{Failure, FailureKind};

use super::egress::Refused;

/// The failure that `error` is. The kind is the first that fits, from the surest sign to the vaguest; the message is
/// the deepest cause, which says what happened without repeating the URL.
pub(super) fn failure(error: &reqwest::Error) -> Failure {
    let kind = if causes(error).any(<dyn Error>::is::<Refused>) {
        FailureKind::Blocked
    } else if error.is_timeout() {
        FailureKind::Timeout
    } else if error.is_dns() {
        FailureKind::Dns
    } else if causes(error).any(is_tls) {
        FailureKind::Tls
    } else if error.is_connect() {
        FailureKind::Connect
    } else if error.is_body() || error.is_decode() {
        FailureKind::Body
    } else {
        FailureKind::Protocol
    };
    Failure { kind, message: causes(error).last().map(ToString::to_string).unwrap_or_default() }
}

/// A TLS error, or a connection that was closed in the handshake, for which the TLS library has words but no type.
fn is_tls(cause: &(dyn Error + 'static)) -> bool {
    let io = cause.downcast_ref::<io::Error>();
    cause.is::<rustls::Error>() || io.is_some_and(|error| error.to_string().contains("tls handshake"))
}

/// The error and its causes, outermost first. Looks into `io::Error`, whose `source` skips the error that it wraps.
fn causes<'error>(error: &'error (dyn Error + 'static)) -> impl Iterator<Item = &'error (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}
