//! A request over HTTP/2, by the crate h2: one stream on one connection, no retry.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use h2::{
    Reason, RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{
    HeaderName, Method, Request, Response, Version,
    header::{CONTENT_LENGTH, TE},
    response::Parts,
};
use hyper::body::Bytes;
use shared::record::{Failure, FailureKind};

use super::{
    connect::Stream,
    driver::Driver,
    failure,
    head::{self, RequestHead},
    hop::{Sent, check_status},
    response_stream::ResponseStream,
};

/// The window of a stream and of its connection: more than is read of a body, so that nothing waits for it.
const WINDOW: u32 = 2 << 20;
/// What is announced as the largest list of headers. Somewhat above the limit, since HTTP/2 counts 32 bytes more for each
/// header, so that a head beyond the limit is seen and named. h2 itself refuses what is beyond this.
const MAX_HEADER_LIST: u32 = 1 << 20;
/// Headers of a connection, which HTTP/2 has not (RFC 9113, section 8.2.2). The monitors file refuses the others.
const OF_CONNECTIONS: [HeaderName; 2] =
    [HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection")];

/// The body of a response.
pub(super) struct Body {
    stream: RecvStream,
    length: Option<u64>,
    /// Whether the response has a body. One without is complete with its head, whatever length it announces.
    is_present: bool,
    read: u64,
    driver: Driver,
    sender: Option<SendRequest<Bytes>>,
}

/// Sends the request and awaits the head of the response.
pub(super) async fn send(stream: Stream, sent: &Sent) -> Result<(Parts, Body), Failure> {
    let request = request(sent)?;
    let is_complete = Arc::new(AtomicBool::new(false));
    let limit = MAX_HEADER_LIST as usize + head::SLACK;
    let stream = ResponseStream::http2(stream, limit, Arc::clone(&is_complete));
    // Each setting has its reason in the table of the module `exchange`.
    let handshake = Builder::new()
        .enable_push(false)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(16_384)
        .max_header_list_size(MAX_HEADER_LIST)
        .handshake::<_, Bytes>(stream)
        .await;
    let (sender, connection) = handshake.map_err(|error| failure::of_http2(&error))?;
    let mut driver = Driver::new(async { connection.await.unwrap_or_default() });
    let body = Bytes::from(sent.body.clone().unwrap_or_default());
    let mut sender = driver.drive(sender.ready()).await.map_err(|error| failure::of_http2(&error))?;
    let (mut response, upload) =
        sender.send_request(request, body.is_empty()).map_err(|error| failure::of_http2(&error))?;
    // A response may come before the server has taken the body of the request.
    driver.join(upload_body(upload, body));
    let mut interim = Interim::default();
    let response = driver.drive(poll_fn(|context| interim.poll_final(&mut response, context))).await?;
    is_complete.store(true, Relaxed);
    let (parts, stream) = response.into_parts();
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let is_present = sent.method != Method::HEAD && !matches!(parts.status.as_u16(), 204 | 304);
    Ok((parts, Body { stream, length, is_present, read: 0, driver, sender: Some(sender) }))
}

/// The interim responses (1xx) so far.
#[derive(Default)]
struct Interim {
    heads: usize,
    bytes: usize,
}

impl Interim {
    /// Passes interim responses over until the final one.
    fn poll_final(
        &mut self,
        response: &mut ResponseFuture,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<RecvStream>, Failure>> {
        while let Poll::Ready(Some(interim)) = response.poll_informational(context) {
            let interim = interim.map_err(|error| failure::of_http2(&error))?;
            check_status(interim.status())?;
            self.heads += 1 + interim.headers().len();
            self.bytes += head::size(interim.headers());
            if self.heads > head::MAX_HEADERS || self.bytes > head::MAX_BYTES {
                return Poll::Ready(Err(head::too_large()));
            }
        }
        Pin::new(response).poll(context).map_err(|error| failure::of_http2(&error))
    }
}

fn request(sent: &Sent) -> Result<Request<()>, Failure> {
    let head = RequestHead::new(sent)?;
    let failed = |error: http::Error| Failure {
        kind: FailureKind::Protocol,
        message: format!("the request cannot be sent: {error}"),
    };
    let mut request = Request::new(());
    *request.method_mut() = sent.method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = head.absolute(&sent.url).map_err(failed)?;
    *request.headers_mut() = head.headers;
    for name in OF_CONNECTIONS {
        request.headers_mut().remove(name);
    }
    if request.headers().get(TE).is_some_and(|value| value != "trailers") {
        request.headers_mut().remove(TE);
    }
    Ok(request)
}

/// Sends the body as fast as the server takes it. Never ends: the response ends the request.
async fn upload_body(mut upload: SendStream<Bytes>, mut body: Bytes) {
    while !body.is_empty() {
        upload.reserve_capacity(body.len());
        match poll_fn(|context| upload.poll_capacity(context)).await {
            Some(Ok(0)) => {}
            Some(Ok(capacity)) => {
                let part = body.split_to(capacity.min(body.len()));
                let is_end = body.is_empty();
                if upload.send_data(part, is_end).is_err() {
                    break;
                }
            }
            // The server takes no more of it. Its response says the rest.
            Some(Err(_)) | None => break,
        }
    }
    std::future::pending::<()>().await;
}

impl Body {
    /// The next bytes, or none at the end of a complete body.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        if !self.is_present {
            return Ok(None);
        }
        let stream = &mut self.stream;
        let data = self.driver.drive(poll_fn(|context| stream.poll_data(context))).await;
        match data {
            Some(Ok(data)) => {
                self.read += data.len() as u64;
                // Fails only if there are fewer bytes to release.
                self.stream.flow_control().release_capacity(data.len()).unwrap_or_default();
                Ok(Some(data))
            }
            Some(Err(error)) => Err(failure::of_body(&reason(&error, self.length), self.read, self.length)),
            None => {
                let stream = &mut self.stream;
                let trailers = self.driver.drive(poll_fn(|context| stream.poll_trailers(context))).await;
                match trailers {
                    Err(error) => Err(failure::of_body(&reason(&error, self.length), self.read, self.length)),
                    // Only END_STREAM completes a body (RFC 9113, section 8.1).
                    Ok(_) if !self.stream.is_end_stream() => {
                        Err(failure::of_body("the stream ended without END_STREAM", self.read, self.length))
                    }
                    Ok(_) => Ok(None),
                }
            }
        }
    }

    pub(super) fn finish(&mut self) {
        self.sender = None;
        self.driver.finish();
    }
}

/// Why a body broke off. h2 names no reason for one that is not as long as announced.
fn reason(error: &h2::Error, length: Option<u64>) -> String {
    let is_ours = error.is_library();
    match length {
        _ if is_ours && error.is_go_away() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM) => {
            "the server sends too many empty or tiny frames".to_owned()
        }
        Some(_) if is_ours && error.is_reset() => "its length is not the announced one".to_owned(),
        None if is_ours && error.is_reset() => "the server breaks the rules of HTTP/2 in the body".to_owned(),
        _ => failure::of_http2(error).message,
    }
}
