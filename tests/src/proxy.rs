//! A TCP proxy that does harm: it cuts or holds a connection at the very bytes that it was told of, and says when it has.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::sleep,
};

/// What is passed at once.
const PIECE_BYTES: usize = 16 << 10;
/// Marked bytes are shorter.
const MARKER_BYTES: usize = 64;

/// A proxy on a port of 127.0.0.1; its connections end with it.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// Who connected.
    Client,
    /// Who was connected to.
    Server,
}

/// What happens where the marked bytes begin; what comes before them is passed, and what was passed before the rest of them
/// had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Both sides find the connection reset.
    Cut,
    /// Nothing more of that sender passes until the trap is [released](Trap::release), whether or not it is still there. When the
    /// trap is dropped instead, nothing ever does, and the connection is reset.
    Hold,
}

/// A trap that was set. Dropped before it has sprung, it is taken away again.
pub struct Trap {
    shared: Arc<Shared>,
    number: usize,
    sprung: oneshot::Receiver<()>,
    release: Option<oneshot::Sender<()>>,
}

struct Shared {
    upstream: Mutex<SocketAddr>,
    traps: Mutex<Vec<Armed>>,
    numbers: AtomicUsize,
    /// Before each piece, in milliseconds.
    delay_ms: AtomicU64,
    pieces_delayed: AtomicUsize,
}

struct Armed {
    number: usize,
    sender: Sender,
    marker: Vec<u8>,
    harm: Harm,
    sprung: oneshot::Sender<()>,
    released: oneshot::Receiver<()>,
}

impl Proxy {
    /// Starts a proxy in front of `upstream`.
    ///
    /// # Errors
    /// There is no port left.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            traps: Mutex::default(),
            numbers: AtomicUsize::new(0),
            delay_ms: AtomicU64::new(0),
            pieces_delayed: AtomicUsize::new(0),
        });
        let served = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&served);
                // A side that goes away takes the other with it.
                connections.spawn(async move { pass(&shared, client).await.unwrap_or_default() });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, shared, server })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where new connections lead from now on.
    pub fn lead_to(&self, upstream: SocketAddr) {
        *self.shared.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    /// Keeps every piece back for so long, in both directions.
    pub fn slow_down(&self, delay: Duration) {
        self.shared.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// How many pieces were kept back.
    #[must_use]
    pub fn pieces_delayed(&self) -> usize {
        self.shared.pieces_delayed.load(Relaxed)
    }

    /// Sets a trap for the next connection on which `sender` sends `marker`.
    #[must_use]
    pub fn trap(&self, sender: Sender, marker: &[u8], harm: Harm) -> Trap {
        let number = self.shared.numbers.fetch_add(1, Relaxed);
        let ((sprung, sprung_receiver), (release, released)) = (oneshot::channel(), oneshot::channel());
        let armed = Armed { number, sender, marker: marker.to_vec(), harm, sprung, released };
        self.shared.traps().push(armed);
        Trap { shared: Arc::clone(&self.shared), number, sprung: sprung_receiver, release: Some(release) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Trap {
    /// Waits until it has sprung.
    ///
    /// # Errors
    /// The proxy is gone.
    pub async fn sprung(&mut self) -> Result<()> {
        (&mut self.sprung).await.context("the proxy ended before the trap had sprung")
    }

    /// Lets pass what was held.
    pub fn release(mut self) {
        // If nothing is held, there is nobody to tell.
        let _ = self.release.take().map(|release| release.send(()));
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.shared.traps().retain(|armed| armed.number != self.number);
    }
}

impl Shared {
    fn traps(&self) -> std::sync::MutexGuard<'_, Vec<Armed>> {
        self.traps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The trap that the bytes of a piece spring, together with those that were `passed` before, and where in the piece.
    fn spring(&self, sender: Sender, passed: &[u8], piece: &[u8]) -> Option<(Armed, usize)> {
        let mut traps = self.traps();
        let bytes = [passed, piece].concat();
        let (index, at) = traps.iter().enumerate().find_map(|(index, armed)| {
            // Not what was there before the trap.
            let unseen = passed.len().saturating_sub(armed.marker.len() - 1);
            let unseen = bytes.get(unseen..)?;
            let find = || unseen.windows(armed.marker.len()).position(|window| window == armed.marker);
            let find = || Some((find()? + bytes.len() - unseen.len()).saturating_sub(passed.len()));
            Some((index, if armed.sender == sender { find() } else { None }?))
        })?;
        Some((traps.remove(index), at))
    }

    async fn delay(&self) {
        let delay = self.delay_ms.load(Relaxed);
        if delay > 0 {
            self.pieces_delayed.fetch_add(1, Relaxed);
            sleep(Duration::from_millis(delay)).await;
        }
    }
}

/// Passes what both sides send, until both have ended or one is cut.
async fn pass(shared: &Shared, mut client: TcpStream) -> io::Result<()> {
    let upstream = *shared.upstream.lock().unwrap_or_else(PoisonError::into_inner);
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let result = {
        let ((client_reads, client_writes), (server_reads, server_writes)) = (client.split(), server.split());
        tokio::try_join!(
            pump(shared, Sender::Client, client_reads, server_writes),
            pump(shared, Sender::Server, server_reads, client_writes)
        )
    };
    if result.is_err() {
        // As a network does that breaks: without a word of goodbye.
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    result.map(drop)
}

async fn pump(
    shared: &Shared,
    sender: Sender,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut passed = Vec::new();
    loop {
        let length = from.read(&mut buffer).await?;
        let piece = buffer.get(..length).unwrap_or_default();
        if piece.is_empty() {
            return to.shutdown().await;
        }
        shared.delay().await;
        let sprung = shared.spring(sender, &passed, piece);
        passed.extend_from_slice(piece);
        passed.drain(..passed.len().saturating_sub(MARKER_BYTES));
        let Some((armed, at)) = sprung else {
            to.write_all(piece).await?;
            continue;
        };
        let (before, marked) = piece.split_at(at);
        to.write_all(before).await?;
        // Nobody may wait for it.
        let _ = armed.sprung.send(());
        match armed.harm {
            Harm::Cut => return Err(io::ErrorKind::ConnectionReset.into()),
            Harm::Hold => {
                armed.released.await.map_err(|_| io::ErrorKind::ConnectionReset)?;
                to.write_all(marked).await?;
            }
        }
    }
}
