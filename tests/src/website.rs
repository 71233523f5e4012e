//! A small website on 127.0.0.1 that answers as its paths say: well, slowly, badly, or not at all. The demonstration
//! of `cargo local` and the target of the tests.

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

/// The longest request head that is read.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// The website; it is gone when this is dropped.
pub struct Website {
    address: SocketAddr,
    scheme: &'static str,
    load: Arc<Load>,
    server: JoinHandle<()>,
}

/// How many connections there were, how many slow pages are being made, and how many were at most.
#[derive(Default)]
struct Load {
    connections: AtomicUsize,
    making: AtomicUsize,
    peak: AtomicUsize,
    flaky: AtomicUsize,
}

impl Website {
    /// Serves on `port`, or on a free one where that is taken.
    ///
    /// # Errors
    /// There is none.
    pub async fn start(port: u16) -> io::Result<Self> {
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        };
        Self::serve(listener, None)
    }

    /// Serves HTTPS on a free port.
    ///
    /// # Errors
    /// There is none.
    pub async fn start_tls(tls: Arc<ServerConfig>) -> io::Result<Self> {
        Self::serve(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?, Some(tls.into()))
    }

    fn serve(listener: TcpListener, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let (address, scheme) = (listener.local_addr()?, if tls.is_some() { "https" } else { "http" });
        let load = Arc::new(Load::default());
        let counted = Arc::clone(&load);
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (load, tls) = (Arc::clone(&counted), tls.clone());
                tokio::spawn(async move {
                    load.connections.fetch_add(1, Relaxed);
                    // A client that goes away is its own affair.
                    match tls {
                        None => serve(connection, &load).await.unwrap_or_default(),
                        Some(tls) => {
                            if let Ok(connection) = tls.accept(connection).await {
                                serve(connection, &load).await.unwrap_or_default();
                            }
                        }
                    }
                });
            }
        });
        Ok(Self { address, scheme, load, server })
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.load.connections.load(Relaxed)
    }

    /// How many slow pages were being made at the same time, at most.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.load.peak.load(Relaxed)
    }

    /// The URL of a page.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// The URL of a page, by the name `localhost`.
    #[must_use]
    pub fn named_url(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.address.port())
    }
}

impl Drop for Website {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A connection, with or without TLS.
trait Connection: AsyncRead + AsyncWrite + Unpin {}

impl<C: AsyncRead + AsyncWrite + Unpin> Connection for C {}

/// Answers the requests of a connection, one after the other.
async fn serve(mut connection: impl Connection, load: &Load) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        // A body that comes with it is left at its end.
        while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
            if connection.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
            // The record type of a TLS handshake: somebody speaks HTTPS to a site that does not.
            if head.first() == Some(&0x16) {
                return respond(&mut connection, 400, "").await.map(|_| ());
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        if !answer(&mut connection, &head, load).await? {
            return Ok(());
        }
    }
}

/// Answers as the path says; returns whether the connection may take another request.
async fn answer(connection: &mut impl Connection, head: &str, load: &Load) -> io::Result<bool> {
    let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let path = path.split('?').next().unwrap_or_default();
    let (page, number) = path.split_once('/').unwrap_or((path, ""));
    let number: u16 = number.parse().unwrap_or(0);
    match page {
        // A response that never comes.
        "hang" => std::future::pending().await,
        // The connection closes before any answer.
        "close" => Ok(false),
        // Not HTTP.
        "garbage" => write(connection, b"\x16\x03\x01 this is no HTTP\r\n\r\n").await,
        // A body that breaks off.
        "truncated" => write(connection, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbreaks off").await,
        // A body without end.
        "endless" => {
            write(connection, b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
            loop {
                write(connection, &[b'x'; 8_192]).await?;
            }
        }
        "redirect" => respond(connection, 302, "location: /redirect\r\n").await,
        "elsewhere" => respond(connection, 302, "location: ftp://127.0.0.1/\r\n").await,
        // A body of so many milliseconds, in two parts.
        "dripping" => {
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await?;
            sleep(Duration::from_millis(number.into())).await;
            write(connection, b"half").await
        }
        // A head of which a byte comes now and then.
        "crawling" => {
            connection.write_all(b"HTTP/1.1 200 OK\r\nx-crawling: ").await?;
            loop {
                connection.write_all(b"x").await?;
                sleep(Duration::from_millis(20)).await;
            }
        }
        "far" => respond(connection, 302, "location: /slow/100\r\n").await,
        "metadata" => respond(connection, 302, "location: http://169.254.169.254/latest/meta-data/\r\n").await,
        "moved" => respond(connection, 301, "location: /fast\r\n").await,
        "slow" => {
            load.peak.fetch_max(load.making.fetch_add(1, Relaxed) + 1, Relaxed);
            sleep(Duration::from_millis(if number == 0 { 300 } else { number.into() })).await;
            load.making.fetch_sub(1, Relaxed);
            respond(connection, 200, "").await
        }
        "failing" => respond(connection, 503, "").await,
        // As often as the number says, it fails; then it is well.
        "flaky" if load.flaky.fetch_add(1, Relaxed) < number.into() => respond(connection, 503, "").await,
        // What it was sent as authorization, once more.
        "echo" => {
            let sent = head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or_default();
            respond(connection, 200, &format!("x-echo: {sent}\r\n")).await
        }
        "json" => respond_with(connection, 200, "", br#"{"status": "ok", "items": [{"id": 1}, {"id": 2}]}"#).await,
        "gzip" => respond_with(connection, 200, "content-encoding: gzip\r\n", &compressed(b"a page\n")).await,
        // A small body that becomes a large one.
        "bomb" => respond_with(connection, 200, "content-encoding: gzip\r\n", &compressed(&vec![b'0'; 16 << 20])).await,
        "status" => respond(connection, number, "").await,
        _ => respond(connection, 200, "").await,
    }
}

/// A whole response, after which the connection stays open.
async fn respond(connection: &mut impl Connection, status: u16, headers: &str) -> io::Result<bool> {
    let body: &[u8] = if status == 204 { b"" } else { b"a page\n" };
    respond_with(connection, status, headers, body).await
}

/// The same with a body of its own.
async fn respond_with(connection: &mut impl Connection, status: u16, headers: &str, body: &[u8]) -> io::Result<bool> {
    let head = format!("HTTP/1.1 {status} Page\r\n{headers}content-length: {}\r\n\r\n", body.len());
    connection.write_all(&[head.as_bytes(), body].concat()).await?;
    Ok(true)
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).unwrap_or_default()
}

/// Bytes as they are, after which the connection closes.
async fn write(connection: &mut impl Connection, bytes: &[u8]) -> io::Result<bool> {
    connection.write_all(bytes).await?;
    Ok(false)
}
