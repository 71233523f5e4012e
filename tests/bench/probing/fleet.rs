//! A thousand websites on loopback, each with an address of its own and a delay that is known: of every request the site
//! itself measures how long it kept the answer back.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use local_stack::authority::Authority;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

/// The websites; they are gone when this is dropped.
pub(crate) struct Fleet {
    /// One for each.
    pub(crate) urls: Vec<String>,
    delays: Arc<Delays>,
    _stop: oneshot::Sender<()>,
}

/// How long each site kept its last answer back.
type Delays = Mutex<HashMap<IpAddr, Duration>>;

impl Fleet {
    /// Starts so many websites that keep every answer back for so long, on a thread of their own; with HTTPS if there is an
    /// authority.
    pub(crate) fn start(count: u16, delay: Duration, authority: Option<&Authority>) -> Result<Self> {
        let addresses: Vec<_> =
            (0..count).map(|n| Ipv4Addr::from([127, 1, n.to_be_bytes()[0], n.to_be_bytes()[1]])).collect();
        let mut certificates = HashMap::new();
        for address in &addresses {
            if let Some(authority) = authority {
                certificates.insert(IpAddr::V4(*address), authority.server(&address.to_string(), false)?);
            }
        }
        let delays = Arc::<Delays>::default();
        let (stop, stopped) = oneshot::channel();
        let (ready, port) = std::sync::mpsc::channel();
        let measured = Arc::clone(&delays);
        thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                // All of 127.0.0.0/8 leads here.
                let socket = tokio::net::TcpSocket::new_v4()?;
                socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
                let listener = socket.listen(4_096)?;
                ready.send(listener.local_addr()?.port())?;
                tokio::select! {
                    result = serve(&listener, delay, &measured, &certificates) => result,
                    _ = stopped => Ok(()),
                }
            })
        });
        let port = port.recv().context("the websites do not start")?;
        let scheme = if authority.is_some() { "https" } else { "http" };
        let urls = addresses.iter().map(|address| format!("{scheme}://{address}:{port}/")).collect();
        Ok(Self { urls, delays, _stop: stop })
    }

    /// How long the site of a URL kept its last answer back.
    pub(crate) fn delay(&self, url: &str) -> Option<Duration> {
        let host: IpAddr = url.split(['/', ':']).nth(3)?.parse().ok()?;
        self.delays.lock().unwrap_or_else(PoisonError::into_inner).get(&host).copied()
    }
}

async fn serve(
    listener: &TcpListener,
    delay: Duration,
    delays: &Arc<Delays>,
    certificates: &HashMap<IpAddr, Arc<ServerConfig>>,
) -> Result<()> {
    loop {
        let (connection, _) = listener.accept().await?;
        let site = connection.local_addr()?.ip();
        let tls = certificates.get(&site).cloned();
        let delays = Arc::clone(delays);
        tokio::spawn(async move {
            let delayed = answer(connection, tls, delay).await;
            if let Ok(delayed) = delayed {
                delays.lock().unwrap_or_else(PoisonError::into_inner).insert(site, delayed);
            }
        });
    }
}

async fn answer(connection: TcpStream, tls: Option<Arc<ServerConfig>>, delay: Duration) -> Result<Duration> {
    connection.set_nodelay(true)?;
    match tls {
        None => answer_on(connection, delay).await,
        Some(tls) => answer_on(TlsAcceptor::from(tls).accept(connection).await?, delay).await,
    }
}

/// Reads a request, waits, answers, and says how long it waited.
async fn answer_on(mut connection: impl AsyncRead + AsyncWrite + Unpin, delay: Duration) -> Result<Duration> {
    let mut head = Vec::with_capacity(1_024);
    while !head.ends_with(b"\r\n\r\n") {
        if connection.read_buf(&mut head).await? == 0 {
            anyhow::bail!("gone");
        }
    }
    let received = Instant::now();
    sleep(delay).await;
    let delayed = received.elapsed();
    connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await?;
    connection.shutdown().await?;
    Ok(delayed)
}
