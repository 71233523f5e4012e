//! What browsers talk to in place of the emulator. A client that goes away before it has its answer, as browsers do whenever one
//! turns a page, ends the function under cargo-lambda 1.9, and nothing starts it again. So each request is handed on by itself,
//! and its answer is awaited whole, whether or not anybody still wants it.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// The longest head of a request, which is more than the emulator takes.
const MAX_HEAD: u64 = 1 << 20;
/// How long a client may take to send one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Listens on a port of the emulator's address, or on any where that is taken, as long as this process lives.
///
/// # Errors
/// The system has no port left.
pub fn start(port: u16, emulator: SocketAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((emulator.ip(), port)).or_else(|_| TcpListener::bind((emulator.ip(), 0)))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // One that goes away is no news.
            thread::spawn(move || drop(serve(client, emulator)));
        }
    });
    Ok(address)
}

/// Hands one request on, without its body since stats reads none, and sends the answer back.
fn serve(mut client: TcpStream, emulator: SocketAddr) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(client.try_clone()?.take(MAX_HEAD));
    let mut head = Vec::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if matches!(line.as_slice(), b"\r\n" | b"\n") {
            break;
        }
        if !is_of_the_connection(&line) {
            head.extend(line);
        }
    }
    let mut upstream = TcpStream::connect(emulator)?;
    upstream.write_all(&head)?;
    upstream.write_all(b"connection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    client.write_all(&answer)
}

/// Whether a header line speaks of the connection, or of a body, which are not handed on.
fn is_of_the_connection(line: &[u8]) -> bool {
    const NAMES: [&[u8]; 4] = [b"connection", b"content-length", b"transfer-encoding", b"expect"];
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}
