//! A small website on 127.0.0.1 that answers as its paths say: well, slowly, badly, or not at all. The demonstration
//! of `cargo local` and the target of the tests.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

/// The longest request head that is read.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// The website; it is gone when this is dropped.
pub struct Website {
    address: SocketAddr,
    server: JoinHandle<()>,
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
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                // A client that goes away is its own affair.
                tokio::spawn(async move { serve(connection).await.unwrap_or_default() });
            }
        });
        Ok(Self { address, server })
    }

    /// The URL of a page.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Website {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Answers one request, the same way every time.
async fn serve(mut connection: TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
        if connection.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (page, number) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let number: u64 = number.parse().unwrap_or(0);
    match page {
        // A response that never comes.
        "hang" => std::future::pending().await,
        // The connection closes before any answer.
        "close" => Ok(()),
        // Not HTTP.
        "garbage" => connection.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n").await,
        // A body that breaks off.
        "truncated" => connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbreaks off").await,
        // A body without end.
        "endless" => {
            connection.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
            loop {
                connection.write_all(&[b'x'; 8_192]).await?;
            }
        }
        "redirect" => respond(&mut connection, 302, "location: /redirect\r\n").await,
        "moved" => respond(&mut connection, 301, "location: /fast\r\n").await,
        "slow" => {
            sleep(Duration::from_millis(if number == 0 { 300 } else { number })).await;
            respond(&mut connection, 200, "").await
        }
        "failing" => respond(&mut connection, 503, "").await,
        "status" => respond(&mut connection, number, "").await,
        _ => respond(&mut connection, 200, "").await,
    }
}

async fn respond(connection: &mut TcpStream, status: u64, headers: &str) -> io::Result<()> {
    let body = "a page\n";
    let length = body.len();
    let response =
        format!("HTTP/1.1 {status} Page\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    connection.write_all(response.as_bytes()).await
}
