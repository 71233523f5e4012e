//! A request over HTTP/1.1, by hyper's connection: one request, no pool, no retry.

use std::{future::poll_fn, pin::Pin};

use http::{
    HeaderMap, HeaderValue, Request, Uri,
    header::{HOST, TRANSFER_ENCODING},
    response::Parts,
};
use hyper::{
    body::{Body as _, Bytes, Incoming},
    client::conn::http1::Builder,
};
use hyper_util::rt::TokioIo;
use shared::record::{Failure, FailureKind};

use super::{
    connect::Stream,
    driver::Driver,
    failure,
    head::{self, RequestHead},
    hop::Sent,
    response_stream::ResponseStream,
};

/// The body of a response.
pub(super) struct Body {
    incoming: Incoming,
    length: Option<u64>,
    read: u64,
    driver: Driver,
}

/// Sends the request and awaits the head of the response.
pub(super) async fn send(stream: Stream, sent: &Sent) -> Result<(Parts, Body), Failure> {
    let RequestHead { authority, path, headers } = RequestHead::new(sent)?;
    let failed = |error: &dyn std::error::Error| Failure {
        kind: FailureKind::Protocol,
        message: format!("the request cannot be sent: {error}"),
    };
    let mut request = Request::new(sent.body.clone().unwrap_or_default());
    *request.method_mut() = sent.method.clone();
    *request.uri_mut() = Uri::from(path);
    request.headers_mut().insert(HOST, authority.as_str().parse().map_err(|error| failed(&error))?);
    request.headers_mut().extend(headers);

    // Each setting has its reason in the table of the module `exchange`.
    let (mut sender, connection) = Builder::new()
        .http09_responses(false)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .max_headers(head::MAX_HEADERS + 1)
        .max_header_size(head::MAX_BYTES + head::SLACK)
        .max_buf_size(head::MAX_BYTES + 2 * head::SLACK)
        .title_case_headers(false)
        .preserve_header_case(false)
        .handshake(TokioIo::new(ResponseStream::http1(stream, head::MAX_BYTES + head::SLACK)))
        .await
        .map_err(|error| failure::of_http1(&error))?;
    let mut driver = Driver::new(async { connection.await.unwrap_or_default() });
    let response = driver.drive(sender.send_request(request)).await.map_err(|error| failure::of_http1(&error))?;
    let (parts, incoming) = response.into_parts();
    let length = incoming.size_hint().exact();
    if length.is_none() {
        check_transfer_coding(&parts.headers)?;
    }
    Ok((parts, Body { incoming, length, read: 0, driver }))
}

/// Refuses a transfer coding that is not undone: nothing but `chunked` was asked for (RFC 9112, section 7).
fn check_transfer_coding(headers: &HeaderMap) -> Result<(), Failure> {
    let lines: Vec<_> = headers.get_all(TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes).collect();
    let codings = lines.join(&b", "[..]);
    let codings = String::from_utf8_lossy(&codings).to_ascii_lowercase();
    let mut known = codings.split(',').map(str::trim).filter(|coding| !coding.is_empty());
    match (known.next(), known.next()) {
        (None | Some("chunked" | "identity"), None) => Ok(()),
        _ => Err(Failure {
            kind: FailureKind::Protocol,
            message: format!("the header transfer-encoding is {codings:?}: expected nothing but \"chunked\""),
        }),
    }
}

impl Body {
    /// The next bytes, or none at the end of a complete body.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let incoming = &mut self.incoming;
            let frame = self.driver.drive(poll_fn(|context| Pin::new(&mut *incoming).poll_frame(context))).await;
            match frame.map(|frame| frame.map(hyper::body::Frame::into_data)) {
                Some(Ok(Ok(data))) => {
                    self.read += data.len() as u64;
                    return Ok(Some(data));
                }
                // Trailers are read and mean nothing here.
                Some(Ok(Err(_))) => {}
                Some(Err(error)) => {
                    return Err(failure::of_body(&failure::body_reason(&error), self.read, self.length));
                }
                None => return Ok(None),
            }
        }
    }

    pub(super) fn finish(&mut self) {
        self.driver.finish();
    }
}
