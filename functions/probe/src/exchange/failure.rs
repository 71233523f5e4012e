//! From the errors of the libraries to a failure of the closed set. Pure: no client in sight.

use std::{error::Error, io};

use h2::Reason;
use shared::record::{Failure, FailureKind};

use super::{head, tls_error};

/// The failure of an HTTP/1.1 connection before the head of a response.
pub(super) fn of_http1(error: &hyper::Error) -> Failure {
    // Only a server of hyper has a method for this.
    if error.is_parse() && error.to_string().contains("too large") {
        return head::too_large();
    }
    if let Some(io) = find::<io::Error>(error) {
        return of_io(io);
    }
    let message = if error.is_incomplete_message() {
        "the server closed the connection before the end of a response head".to_owned()
    } else {
        let reason = deepest(error);
        let reason = match reason.as_str() {
            "invalid HTTP header parsed" => "a header line has a NUL or a bare CR",
            reason => reason,
        };
        format!("invalid HTTP/1.1 response: {reason}")
    };
    Failure { kind: FailureKind::Protocol, message }
}

/// The failure of an HTTP/2 stream before the head of a response.
pub(super) fn of_http2(error: &h2::Error) -> Failure {
    if let Some(io) = error.get_io() {
        return of_io(io);
    }
    let Some(reason) = error.reason() else {
        return Failure { kind: FailureKind::Protocol, message: format!("HTTP/2 request failed: {error}") };
    };
    let code = code(reason);
    let message = match (error.is_remote(), error.is_go_away()) {
        (true, true) => format!("the server ended the HTTP/2 connection with GOAWAY, {code}"),
        (true, false) => format!("the server reset the HTTP/2 stream with RST_STREAM, {code}"),
        // The library ends a connection so for a head that is far beyond its limit or in too many pieces.
        (false, true) if reason == Reason::ENHANCE_YOUR_CALM => return head::too_large(),
        (false, _) => format!("the server breaks the rules of HTTP/2: {code}"),
    };
    Failure { kind: FailureKind::Protocol, message }
}

/// The failure below HTTP.
pub(super) fn of_io(error: &io::Error) -> Failure {
    if let Some(error) = find::<rustls::Error>(error) {
        return Failure { kind: FailureKind::Tls, message: tls_error::sentence(error) };
    }
    let message = match error.kind() {
        io::ErrorKind::ConnectionReset => "the server reset the connection".to_owned(),
        // So rustls calls the end of TCP without the end of TLS.
        io::ErrorKind::UnexpectedEof if error.to_string().contains("close_notify") => {
            "the server closed the connection without ending TLS (close_notify)".to_owned()
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => "the server closed the connection".to_owned(),
        _ => match error.to_string().as_str() {
            "chunk extensions over limit" => "the chunk extensions are larger than 16384 bytes".to_owned(),
            text => text.to_owned(),
        },
    };
    Failure { kind: FailureKind::Protocol, message }
}

/// The failure of a body of which `read` bytes have come, with `length` announced.
pub(super) fn of_body(reason: &str, read: u64, length: Option<u64>) -> Failure {
    let of = length.map(|length| format!(" of {length}")).unwrap_or_default();
    Failure { kind: FailureKind::Body, message: format!("the body is incomplete after {read}{of} bytes: {reason}") }
}

/// Why an HTTP/1.1 body broke off.
pub(super) fn body_reason(error: &hyper::Error) -> String {
    match find::<io::Error>(error) {
        Some(io) if io.kind() == io::ErrorKind::UnexpectedEof && !io.to_string().contains("close_notify") => {
            "the server closed the connection".to_owned()
        }
        Some(io) => of_io(io).message,
        None if error.is_incomplete_message() => "the server closed the connection".to_owned(),
        None => match deepest(error).as_str() {
            "invalid HTTP header parsed" => "the trailers have a line that is not a header".to_owned(),
            reason => reason.to_owned(),
        },
    }
}

/// The name of an HTTP/2 error code (RFC 9113, section 7).
fn code(reason: Reason) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let number = u32::from(reason);
    let name = usize::try_from(number).ok().and_then(|index| NAMES.get(index));
    name.map_or_else(|| format!("error code {number}"), |name| (*name).to_owned())
}

fn find<'error, E: Error + 'static>(error: &'error (dyn Error + 'static)) -> Option<&'error E> {
    causes(error).find_map(<dyn Error>::downcast_ref)
}

/// The deepest cause, which says what happened.
fn deepest(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The error and its causes, outermost first. Looks into `io::Error`, whose `source` skips the error that it wraps.
fn causes<'error>(error: &'error (dyn Error + 'static)) -> impl Iterator<Item = &'error (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}
