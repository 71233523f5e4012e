//! Servers that answer with exactly the bytes of a test, over HTTP/1.1 and HTTP/2.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use local_stack::authority::Authority;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

/// What begins a connection of HTTP/2.
const PREFACE: usize = 24;

/// The types of HTTP/2 frames (RFC 9113, section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
/// Their flags.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// How the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// In order: TLS first.
    Close,
    /// Without the end of TLS.
    Cut,
    /// Not before the client does.
    Wait,
}

/// A server that answers each request with the same bytes.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    /// Answers HTTP/1.1 with these bytes, and closes the connection.
    pub(crate) async fn http1(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::serve(None, End::Close, false, move |_| response.clone()).await
    }

    /// Answers HTTP/1.1 with the bytes for a request.
    pub(crate) async fn answering(respond: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::serve(None, End::Close, false, move |request| respond(&String::from_utf8_lossy(request))).await
    }

    /// Answers HTTP/1.1 over TLS with these bytes.
    pub(crate) async fn https1(tls: &Arc<ServerConfig>, response: impl Into<Vec<u8>>, end: End) -> Self {
        let response = response.into();
        Self::serve(Some(Arc::clone(tls)), end, false, move |_| response.clone()).await
    }

    /// Answers HTTP/2 with these frames, behind its settings.
    pub(crate) async fn http2(tls: &Arc<ServerConfig>, frames: impl Into<Vec<u8>>, end: End) -> Self {
        let mut tls = ServerConfig::clone(tls);
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let response = [frame(SETTINGS, 0, 0, b""), frame(SETTINGS, 1, 0, b""), frames.into()].concat();
        Self::serve(Some(Arc::new(tls)), end, true, move |_| response.clone()).await
    }

    /// Answers HTTP/2 with the frames of the moment, behind its settings, and closes the connection.
    pub(crate) async fn http2_answering(
        tls: &Arc<ServerConfig>,
        respond: impl Fn() -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let mut tls = ServerConfig::clone(tls);
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let settings = [frame(SETTINGS, 0, 0, b""), frame(SETTINGS, 1, 0, b"")].concat();
        Self::serve(Some(Arc::new(tls)), End::Close, true, move |_| [settings.clone(), respond()].concat()).await
    }

    async fn serve(
        tls: Option<Arc<ServerConfig>>,
        end: End,
        is_http2: bool,
        respond: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, respond) = (Arc::clone(&requests), Arc::new(respond));
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (seen, respond, tls) = (Arc::clone(&seen), Arc::clone(&respond), tls.clone());
                tokio::spawn(async move {
                    let respond = |request: Vec<u8>| {
                        let response = respond(&request);
                        seen.lock().unwrap().push(request);
                        response
                    };
                    // A client that goes away ends its connection alone.
                    match tls {
                        None => answer(tcp, end, is_http2, respond).await.unwrap_or_default(),
                        Some(tls) => {
                            if let Ok(stream) = TlsAcceptor::from(tls).accept(tcp).await {
                                answer(stream, end, is_http2, respond).await.unwrap_or_default();
                            }
                        }
                    }
                });
            }
        });
        Self { address, requests, task }
    }

    /// The requests so far, as bytes.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().unwrap().clone()
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The same over TLS.
    pub(crate) fn https(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    end: End,
    is_http2: bool,
    respond: impl FnOnce(Vec<u8>) -> Vec<u8>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !(if is_http2 { has_http2_request(&request) } else { has_http1_request(&request) }) {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(&respond(request)).await?;
    stream.flush().await?;
    match end {
        End::Close => stream.shutdown().await?,
        End::Cut => return Ok(()),
        End::Wait => {}
    }
    // Until the client goes: closing with bytes unread would reset the connection and lose the response.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.map(drop)
}

fn has_http1_request(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    bytes.len() >= end + 4 + length.unwrap_or(0)
}

/// Whether there is the preface of HTTP/2 and a frame that ends a request.
fn has_http2_request(bytes: &[u8]) -> bool {
    frames(bytes).iter().any(|(kind, flags, _, _)| matches!(*kind, HEADERS | DATA) && flags & END_STREAM != 0)
}

/// The complete frames behind the preface of HTTP/2.
pub(crate) fn frames(bytes: &[u8]) -> Vec<(u8, u8, u32, &[u8])> {
    let mut found = Vec::new();
    let mut rest = bytes.get(PREFACE..).unwrap_or_default();
    while let Some((head, after)) = rest.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, after)) = after.split_at_checked(length) else { break };
        found.push((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload));
        rest = after;
    }
    found
}

/// A frame of HTTP/2.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a response in HPACK, without compression (RFC 7541, section 6.2.2).
pub(crate) fn hpack(fields: &[(&str, &str)]) -> Vec<u8> {
    fn string(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        if text.len() < 127 {
            bytes.push(u8::try_from(text.len()).unwrap());
        } else {
            bytes.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).unwrap());
        }
        bytes.extend(text.as_bytes());
        bytes
    }
    fields.iter().flat_map(|(name, value)| [vec![0], string(name), string(value)].concat()).collect()
}

/// A response head on stream 1, in as many frames as it needs.
pub(crate) fn head(flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let block = hpack(fields);
    let parts: Vec<_> = block.chunks(16_384).collect();
    let last = parts.len() - 1;
    let frames = parts.iter().enumerate().map(|(index, part)| {
        let end = if index == last { END_HEADERS } else { 0 };
        if index == 0 { frame(HEADERS, flags | end, 1, part) } else { frame(CONTINUATION, end, 1, part) }
    });
    frames.collect::<Vec<_>>().concat()
}

/// Bytes of a body on stream 1.
pub(crate) fn data(flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, flags, 1, bytes)
}

/// The reset of stream 1 with a code (RFC 9113, section 7).
pub(crate) fn reset(code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, 1, &code.to_be_bytes())
}

/// The end of a connection, of which streams up to `last` are still answered.
pub(crate) fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// An authority, and TLS for 127.0.0.1 by it.
pub(crate) fn tls() -> (Authority, Arc<ServerConfig>) {
    let authority = Authority::new().unwrap();
    let server = authority.server("127.0.0.1", false).unwrap();
    (authority, server)
}
